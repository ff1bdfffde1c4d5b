"""A table of costs by class names, as a CSV file, to the array that `CostMatrix` takes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOTHING", "read_costs"]

NOTHING = "nothing"
"""The column that holds the cost of no decision, unless a class has this name."""


def read_costs(path: str, classes: Sequence[Any]) -> NDArray[Any]:
    """Read the cost of deciding a class (column) when another is true (row).

    Parameters
    ----------
    path : str
        CSV: class names in the first line and in the first column, in any order; numbers between.
    classes : sequence
        The model's classes.

    Returns
    -------
    float64 array of shape (n_classes, n_classes) or (n_classes, n_classes + 1)
        In the order of `classes`; the last column is the cost of no decision, where the file
        has the column ``nothing``.

    Raises
    ------
    DataError
        Naming the line and the cell.
    """
    import numpy as np

    from eitheror.labels import DataError

    lines = _lines(path)
    if not lines:
        raise DataError(path, "the file is empty; the first line names the classes")
    names = [str(name) for name in classes]
    head = [cell.strip() for cell in lines[0][1]][1:]
    known = [*names, NOTHING] if NOTHING in head and NOTHING not in names else names
    columns = _places(head, known, f"{path}:1", "column")
    rows = _places([cells[0].strip() for _, cells in lines[1:]], names, path, "line")
    costs = np.zeros((len(names), len(known)))
    for (line, cells), row in zip(lines[1:], rows, strict=True):
        if len(cells) != len(head) + 1:
            raise DataError(
                f"{path}:{line}", f"{len(cells)} cells; the first line has {len(head) + 1}"
            )
        for name, column, cell in zip(head, columns, cells[1:], strict=True):
            costs[row, column] = _number(cell, f"{path}:{line}", name)
    return costs


def _lines(path: str) -> list[tuple[int, list[str]]]:
    """Return the lines that hold anything, with their numbers."""
    from eitheror.labels import DataError

    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(path, "this is a folder; name the file in it") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"no CSV file in UTF-8 ({error})") from None


def _places(found: list[str], names: list[str], where: str, what: str) -> list[int]:
    """Return where each name found stands among the names, all of which must come once."""
    from eitheror.labels import DataError, suggest

    for name in found:
        if name not in names:
            raise DataError(where, f'no class is called "{name}"{suggest(name, names)}')
        if found.count(name) > 1:
            raise DataError(where, f'the class "{name}" has two {what}s')
    for name in names:
        if name not in found:
            raise DataError(where, f'no {what} for the class "{name}"')
    return [names.index(name) for name in found]


def _number(cell: str, where: str, column: str) -> float:
    from eitheror.labels import DataError

    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise DataError(where, f'"{cell}" in column "{column}"; a number was expected')
    return value
