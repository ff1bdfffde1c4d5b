"""Many rows at once: what the quick readers pass on, and how they take turns with the careful one.

In: columns of a block of records, and which records are odd. Out: `Batch` objects for the stretches
of plain rows and single `Row`s, read by the careful reader, for the odd ones, all in order; so a
bad row says the same, at the same time, as if all rows had been read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.files._rows import Row
from eitheror.files._statements import Found
from eitheror.text.sequence import Piece, piece_of

__all__ = [
    "Batch",
    "Careful",
    "Columns",
    "Pieces",
    "Resolve",
    "Statements",
    "in_turns",
    "mostly_odd",
]

_MOST_STATEMENTS: Final = 1 << 16
_MOST_ODD: Final = 16

Resolve = Callable[[Any, int], Found]
"""From what stands in a file, and its line, to the label; ValueError or TypeError if it is bad."""
Careful = Callable[[int, int], Iterable[Row]]
"""From the numbers of some records, `begin` to `end`, to their rows; a blank line has none."""


class Statements:
    """The distinct labels of a file, numbered in the order in which they came.

    Attributes
    ----------
    found : list
        The label of each number.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again; lists handed out before stay as they are."""
        self.found: list[Found] = []
        self.numbers: dict[Hashable, int] = {}


@dataclass(slots=True)
class Batch:
    """Consecutive rows of a file with texts.

    Attributes
    ----------
    file : str
        Where they stand.
    lines : int64 array of shape (n,)
        The line of each.
    texts : tuple of (bytes, int64 array, int64 array)
        UTF-8, and where in it each text begins and ends.
    found : list
        Distinct labels; those of later batches may be added behind.
    labels : int32 array of shape (n,)
        Positions in `found`, one a row.
    weight, ids : list, optional
        None where a row has none.
    extra : dict from str to list
        Other columns.
    """

    file: str
    lines: NDArray[np.int64]
    texts: Piece
    found: list[Found]
    labels: NDArray[np.int32]
    weight: Sequence[float | None] | None = None
    ids: Sequence[Any] | None = None
    extra: dict[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)


Pieces = Iterator[Batch | Row]


@dataclass(slots=True)
class Columns:
    """A block of records by column; what stands in odd records is never looked at.

    Attributes
    ----------
    lines : int64 array of shape (n,)
        The line of each record.
    texts : tuple of (bytes, int64 array, int64 array), or list of str
        The texts.
    labels : sequence
        What stands for the label in each.
    odd : list of int
        The records for the careful reader, ascending.
    weight, ids, extra
        As in `Batch`.
    """

    lines: NDArray[np.int64]
    texts: Piece | Sequence[str]
    labels: Sequence[Any]
    odd: Sequence[int]
    weight: Sequence[float | None] | None = None
    ids: Sequence[Any] | None = None
    extra: dict[str, Sequence[Any]] = field(default_factory=dict)


class _Turns:
    """One block on its way from columns to pieces."""

    def __init__(
        self, file: str, columns: Columns, statements: Statements, resolve: Resolve
    ) -> None:
        self.file = file
        self.columns = columns
        self.statements = statements
        self.resolve = resolve

    def stretch(self, first: int, last: int) -> tuple[Batch | None, int]:
        """Return the rows from `first` up to `last`, or up to one whose label is bad."""
        numbers = self.statements.numbers
        labels = self.columns.labels[first:last]
        try:
            found = list(map(numbers.__getitem__, labels))
        except KeyError:
            last = first + self._resolve(labels, first)
            found = [numbers[label] for label in self.columns.labels[first:last]]
        return (self._batch(first, last, found) if first < last else None), last

    def _resolve(self, labels: Sequence[Any], first: int) -> int:
        """Resolve the labels that are new; return how many rows there are before a bad one."""
        statements = self.statements
        for i, label in enumerate(labels):
            if label not in statements.numbers:
                try:
                    found = self.resolve(label, int(self.columns.lines[first + i]))
                except (ValueError, TypeError):
                    return i
                statements.numbers[label] = len(statements.found)
                statements.found.append(found)
        return len(labels)

    def _batch(self, first: int, last: int, labels: list[int]) -> Batch:
        columns, rows = self.columns, slice(first, last)
        if isinstance(columns.texts, tuple):
            data, starts, ends = columns.texts
            texts = data, starts[rows], ends[rows]
        else:
            texts = piece_of(columns.texts[rows])
        return Batch(
            self.file,
            columns.lines[rows],
            texts,
            self.statements.found,
            np.array(labels, dtype=np.int32),
            None if columns.weight is None else columns.weight[rows],
            None if columns.ids is None else columns.ids[rows],
            {name: values[rows] for name, values in columns.extra.items()},
        )


def mostly_odd(odd: int, n: int) -> bool:
    """Tell whether so many of `n` rows are odd that it is quicker to read all one by one."""
    return odd * _MOST_ODD > n


def in_turns(
    file: str, columns: Columns, statements: Statements, resolve: Resolve, careful: Careful
) -> Pieces:
    """Yield the rows of a block in order: plain ones in batches, odd ones read by `careful`.

    Parameters
    ----------
    file : str
        Its name.
    columns : Columns
        The block.
    statements : Statements
        The labels seen so far; new ones are added.
    resolve : callable
        From what stands for a label, and its line, to the label.
    careful : callable
        What reads records of the block one by one.
    """
    turns = _Turns(file, columns, statements, resolve)
    n = len(columns.lines)
    if mostly_odd(len(columns.odd), n):
        yield from careful(0, n)
        return
    first = 0
    for stop in (*columns.odd, n):
        while first < stop:
            batch, first = turns.stretch(first, stop)
            if batch is not None:
                yield batch
            if first < stop:  # its label is bad
                yield from careful(first, first + 1)
                first += 1
        if stop < n:
            yield from careful(stop, stop + 1)
        first = stop + 1
    if len(statements.found) > _MOST_STATEMENTS:
        statements.clear()
