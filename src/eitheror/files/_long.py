"""Long format: one row per item and tag, grouped to one row an item.

In: rows of any table whose label is one plain name. Out: one row for each id (or text, when the
rows have no id), in order of first appearance, with all its tags. All rows are held until the end,
because the rows of an item may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eitheror.files._rows import Row
from eitheror.labels import DataError, Label, tags

__all__ = ["group_rows"]


def group_rows(rows: Iterable[Row], task: str | None) -> Iterator[Row]:
    """Yield one row for each item.

    The label is `tags` of the names in its rows; with `task="multiclass"` the one name. An item
    without any name is unknown. A row that cannot be read passes through as it is.
    """
    items: dict[object, tuple[Row, dict[str | int, None]]] = {}
    for row in rows:
        if row.error is not None:
            yield row
            continue
        key = row.id if row.id is not None else _text(row)
        first, names = items.setdefault(key, (row, {}))
        problem = _mismatch(first, row)
        if problem:
            yield Row(row.file, row.line, None, error=DataError(row.where, problem))
        elif isinstance(row.label, Label):
            names |= dict.fromkeys(row.label.named)
        elif row.label is not None:
            names[row.label] = None
    for first, names in items.values():
        if task != "multiclass":
            first.label = tags(*names) if names else None
        elif len(names) > 1:
            problem = (
                f"the item has {len(names)} labels ({', '.join(map(repr, names))}) but "
                "task='multiclass' allows one; leave the task out, or keep one row an item"
            )
            first.input, first.error = None, DataError(first.where, problem)
        else:
            first.label = next(iter(names), None)
        yield first


def _text(row: Row) -> object:
    return tuple(row.input) if isinstance(row.input, list) else row.input


def _mismatch(first: Row, row: Row) -> str:
    if row.input != first.input:
        return (
            f"the id {row.id!r} stands with another text in line {first.line}; give every item its "
            "own id, or leave the id out: --ignore id"
        )
    if row.weight is not None and row.weight != first.weight:
        return (
            f"weight {row.weight:g}, but line {first.line} of the same item has "
            f"{'none' if first.weight is None else format(first.weight, 'g')}; write one weight"
        )
    return ""
