"""Writing CSV, TSV and the long format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from eitheror.files._out import Lines, Rows, closed_tags, numpy_value, statement_keys
from eitheror.labels import STATEMENT_KEYS, RowError

__all__ = ["delimited_lines", "long_table", "row_table", "statement_cell"]

Table = tuple[list[str], Iterator[tuple[int, list[str]]]]
"""Header, and (row of the input, cells)."""


def row_table(rows: Rows, plain_labels: bool) -> Table:
    """Return the cells of one line a row."""
    header: list[str] = []
    makers: list[Callable[[int], list[str]]] = []

    def add(names: Sequence[str], make: Callable[[int], list[str]]) -> None:
        header.extend(names)
        makers.append(make)

    ids, weight, columns = rows.ids, rows.weight, rows.columns
    if ids is not None:
        add(["id"], lambda row: [_cell(ids[row])])
    if rows.numeric:
        names = rows.feature_names or [f"x{i + 1}" for i in range(rows.inputs.shape[1])]
        add(names, lambda row: [repr(value) for value in rows.features_of(row)])
    else:
        add([rows.text], lambda row: [_text_cell(rows, row)])
    if rows.labels is not None:
        add(*(_statement_columns(rows) if plain_labels else _short_column(rows)))
    if weight is not None:
        add(["weight"], lambda row: [repr(float(weight[row]))])
    add(list(columns), lambda row: [_cell(values[row]) for values in columns.values()])
    cells = ((row, [c for make in makers for c in make(row)]) for row in range(len(rows)))
    return header, cells


def _text_cell(rows: Rows, row: int) -> str:
    text = rows.text_of(row)
    if not text:
        raise RowError(row, "the text is empty, which a table cannot tell from missing; JSONL can")
    return text


def _short_column(rows: Rows) -> tuple[list[str], Callable[[int], list[str]]]:
    labels = rows.labels
    assert labels is not None

    def make(row: int) -> list[str]:
        try:
            cell = labels[row].format()
        except ValueError as error:
            raise RowError(
                row, f"{error}, and so can a table with one column a statement (plain_labels=True)"
            ) from None
        if cell == "-1":
            raise RowError(row, "the class '-1' reads like a missing label; JSONL can hold it")
        return ["" if cell == "?" else cell]

    return [rows.label], make


def _statement_columns(rows: Rows) -> tuple[list[str], Callable[[int], list[str]]]:
    labels = rows.labels
    assert labels is not None
    used = {key for row, label in enumerate(labels) for key in statement_keys(label, row)}
    keys = [key for key in STATEMENT_KEYS if key in used or key == "label"]

    def make(row: int) -> list[str]:
        said = statement_keys(labels[row], row)
        return [statement_cell(key, said[key]) if key in said else "" for key in keys]

    return [rows.label if key == "label" else key for key in keys], make


def statement_cell(key: str, value: Any) -> str:
    """Return one cell of a statement column: the plain form where it is safe, else JSON.

    Examples
    --------
    >>> statement_cell("either", ["a", "b"]), statement_cell("either", ["a|b", "c"])
    ('a|b', '["a|b","c"]')
    """
    if isinstance(value, list):
        if value and all(isinstance(name, str) and _is_plain(name, "|") for name in value):
            return "|".join(value)
        return msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        if value and all(_is_plain(name, ",:*") for name in value):
            sign = "*" if key == "votes" else ":"
            return ",".join(f"{name}{sign}{number!r}" for name, number in value.items())
        return msgspec.json.encode(value).decode()
    return value if isinstance(value, str) else repr(value)


def _is_plain(name: str, signs: str) -> bool:
    return name == name.strip() != "" and name[0] not in "[{" and not any(s in name for s in signs)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float):
        return repr(value)
    return msgspec.json.encode(value, enc_hook=numpy_value).decode()


def long_table(rows: Rows) -> Table:
    """Return the cells of one line an item and tag."""
    labels = rows.labels
    if labels is None or rows.numeric:
        raise ValueError("the long format holds texts with their tags; JSONL holds the rest")
    header = [*(["id"] if rows.ids is not None else []), rows.text, rows.label]
    seen: dict[Any, int] = {}

    def cells() -> Iterator[tuple[int, list[str]]]:
        for row, label in enumerate(labels):
            lead = [] if rows.ids is None else [_cell(rows.ids[row])]
            text = _text_cell(rows, row)
            key = lead[0] if lead and lead[0] else text
            if key in seen:
                raise RowError(
                    row,
                    f"the same {'id' if lead and lead[0] else 'text'} as row {seen[key]}: the long "
                    "format would join them; give every row its own id, or write JSONL",
                )
            seen[key] = row
            for name in closed_tags(label, labels.task, row, "the long format") or [""]:
                yield row, [*lead, text, name]

    return header, cells()


def delimited_lines(table: Table, sep: str, flatten: bool) -> Lines:
    """Yield the header and the lines of a table."""
    header, cells = table
    join = _tab_line if sep == "\t" else _csv_line
    yield 0, join([_flat(name) if flatten else name for name in header], sep, 0)
    for row, line in cells:
        yield row, join([_flat(cell) for cell in line] if flatten else line, sep, row)


def _csv_line(cells: list[str], sep: str, row: int) -> str:
    quoted = [
        '"' + c.replace('"', '""') + '"' if any(s in c for s in (sep, '"', "\n", "\r")) else c
        for c in cells
    ]
    return sep.join(quoted) + "\n"


def _tab_line(cells: list[str], sep: str, row: int) -> str:
    for cell in cells:
        if any(sign in cell for sign in "\t\n\r"):
            raise RowError(
                row,
                f"{cell[:60]!r} contains a tab or a line break, which TSV cannot hold; CSV and "
                "JSONL can, or flatten=True puts spaces there",
            )
    return "\t".join(cells) + "\n"


def _flat(text: str) -> str:
    return " ".join(text.split()) if any(sign in text for sign in "\t\n\r\v\f\0") else text
