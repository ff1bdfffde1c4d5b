"""CSV and TSV with a column of texts, a block at a time.

Columns may be the text, the label, an id, a weight and others that are passed through; in tables
with numeric features or other statements every row is left to the careful reader, and so is a block
in which a quotation mark or a line end stands where none should be.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from eitheror.files._batches import Columns, Pieces, Statements, in_turns
from eitheror.files._bulk_lines import is_utf8
from eitheror.files._cells import CellBlock, find_cells
from eitheror.files._delimited import (
    LONGEST_RECORD,
    Cells,
    Layout,
    csv_cells,
    layout_of,
    separator_of,
    tab_cells,
)
from eitheror.files._rows import Reading, Row, rows_of
from eitheror.files._statements import Found
from eitheror.files._streams import Source

__all__ = ["checked_weights", "delimited_pieces"]

_LONGEST_WAIT: Final = 1 << 24  # bytes that a quoted cell may hold before each line is looked at


def delimited_pieces(source: Source, reading: Reading, kind: str) -> Pieces:
    """Yield what `read_delimited` yields, many rows at once."""
    feed = _Feed(source)
    sep = separator_of(reading.options, kind)
    layout = layout_of(source.name, _records(feed, sep), reading, sep)
    if layout is None:
        return
    yield from rows_of(source.name, layout.first, layout.row)
    table = _Table(source.name, layout, sep)
    while feed.ready() or feed.more():
        cells = table.cells(feed) if table.quick else None
        if cells is not None and cells.size:
            yield from table.pieces(cells, feed.line)
            feed.skip(cells)
        elif cells is None or not feed.may_grow() or not feed.more():
            yield from table.carefully(feed)


def _records(feed: _Feed, sep: str) -> Iterator[Cells]:
    return tab_cells(feed.lines()) if sep == "\t" else csv_cells(feed.lines(), feed.name, sep)


class _Feed:
    """What is left of a file, to be taken in lines or in records.

    Attributes
    ----------
    name : str
        The file.
    line : int
        The number of the next line.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.line = 1
        self._blocks = source.blocks()
        self._data = b""
        self._at = 0

    def ready(self) -> bool:
        """Tell whether something that was read is left."""
        return self._at < len(self._data)

    def more(self) -> bool:
        """Read one more block; return whether there was one."""
        _, block = next(self._blocks, (0, b""))
        self._data, self._at = self._data[self._at :] + block, 0
        return bool(block)

    def may_grow(self) -> bool:
        """Tell whether what is left may be the beginning of one record."""
        left = len(self._data) - self._at
        return left < _LONGEST_WAIT and self._data.count(b"\n", self._at) < LONGEST_RECORD

    def left(self) -> bytes:
        """Return what is left."""
        return self._data[self._at :] if self._at else self._data

    def skip(self, cells: CellBlock) -> None:
        """Take the records of a block that was found in what is left."""
        self._at += cells.size
        self.line += cells.n_lines

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Take line by line, with its number."""
        while True:
            end = self._data.find(b"\n", self._at) + 1
            if not end:
                if self.more():
                    continue
                if not self.ready():
                    return
                end = len(self._data)
            number, raw = self.line, self._data[self._at : end]
            self._at, self.line = end, number + 1
            yield number, raw


class _Table:
    """Turns records into pieces."""

    def __init__(self, file: str, layout: Layout, sep: str) -> None:
        self.file = file
        self.layout = layout
        self.sep = sep
        self.quick = layout.text is not None and not layout.statements and sep.isascii()
        self._statements = Statements()

    def cells(self, feed: _Feed) -> CellBlock | None:
        """Find the records in what is left of a file."""
        data = feed.left()
        if not is_utf8(data):
            return None
        width, quoted = len(self.layout.names), self.sep != "\t"
        cells = find_cells(data, self.sep, width, quoted=quoted)
        if cells is None or (np.diff(cells.lines, append=cells.n_lines) > LONGEST_RECORD).any():
            return None
        return cells

    def carefully(self, feed: _Feed) -> Iterator[Row]:
        """Yield the rows of what is left of a file, and of the record that goes on behind it."""
        for record in _records(feed, self.sep):
            yield from rows_of(self.file, [record], self.layout.row)
            if not feed.ready():
                return

    def pieces(self, cells: CellBlock, first: int) -> Pieces:
        """Yield the rows of the records of a block that begins in line `first`."""
        columns = self._columns(cells)
        columns.lines += first

        def careful(begin: int, end: int) -> Iterator[Row]:
            raw = cells.data[cells.bounds[begin, 0] : cells.bounds[end - 1, 1]]
            lines = enumerate(io.BytesIO(raw), start=int(columns.lines[begin]))
            tabs = self.sep == "\t"
            found = tab_cells(lines) if tabs else csv_cells(lines, self.file, self.sep)
            return rows_of(self.file, found, self.layout.row)

        yield from in_turns(self.file, columns, self._statements, self._resolve, careful)

    def _resolve(self, cell: bytes | None, line: int) -> Found:
        return None if cell is None else self.layout.reader.statements.cell(cell.decode())

    def _columns(self, cells: CellBlock) -> Columns:
        layout = self.layout

        def column(place: int) -> list[str]:
            return [cell.decode() for cell in cells.column(place)]

        data, starts, ends = cells.piece(layout.text or 0)
        odd = set(np.flatnonzero(cells.ragged | (starts == ends)).tolist())
        weight = None
        if layout.weight is not None:
            weight = checked_weights(column(layout.weight), layout.reader.weight, odd)
        return Columns(
            cells.lines.copy(),
            (data, starts, ends),
            [None] * len(starts) if layout.label is None else cells.column(layout.label),
            sorted(odd),
            weight,
            None if layout.id is None else [value or None for value in column(layout.id)],
            {name: column(i) for i, name in layout.extra},
        )


def checked_weights(
    values: Iterable[Any], read: Callable[[Any], float | None], odd: set[int]
) -> list[float | None]:
    """Return the weights that `read` finds; the rows that it refuses are added to `odd`."""
    weights: list[float | None] = []
    for i, value in enumerate(values):
        try:
            weights.append(read(value))
        except ValueError:
            weights.append(None)
            odd.add(i)
    return weights
