"""CSV, TSV and Parquet with a column of texts, some thousand rows at a time.

Columns may be the text, the label, an id, a weight and others that are passed through; in tables
with numeric features or other statements every row is left to the careful readers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from eitheror.files._batches import Columns, Pieces, Statements, in_turns
from eitheror.files._bulk_lines import is_utf8
from eitheror.files._delimited import (
    LONGEST_CELL,
    LONGEST_RECORD,
    Cells,
    Layout,
    csv_problem,
    layout_of,
    runaway,
    separator_of,
    tab_cells,
)
from eitheror.files._jsonl import utf8_problem
from eitheror.files._rows import Reading, Row, rows_of
from eitheror.files._statements import Found
from eitheror.files._streams import Source, lines_of
from eitheror.labels import DataError

__all__ = ["checked_weights", "delimited_pieces"]

_ROWS: Final = 4096

Records = Sequence[Cells]


def delimited_pieces(source: Source, reading: Reading, kind: str) -> Pieces:
    """Yield what `read_delimited` yields, many rows at once."""
    sep = separator_of(reading.options, kind)
    batches = _tab_batches(source) if sep == "\t" else _CsvRecords(source, sep).batches()
    lead = iter(next(batches, ()))
    layout = layout_of(source.name, lead, reading, sep)
    if layout is None:
        return
    table = _Table(source.name, layout)
    for records in chain([[*layout.first, *lead]], batches):
        if table.quick:
            yield from table.pieces(records)
        else:
            yield from rows_of(source.name, records, layout.row)


class _Table:
    """Turns records into pieces."""

    def __init__(self, file: str, layout: Layout) -> None:
        self.file = file
        self.layout = layout
        self.quick = layout.text is not None and not layout.statements
        self._statements = Statements()

    def pieces(self, records: Records) -> Pieces:
        """Yield the rows of some records."""

        def careful(i: int) -> Iterator[Row]:
            return rows_of(self.file, [records[i]], self.layout.row)

        columns = self._columns(records)
        yield from in_turns(self.file, columns, self._statements, self._resolve, careful)

    def _resolve(self, cell: str | None, line: int) -> Found:
        return None if cell is None else self.layout.reader.statements.cell(cell)

    def _columns(self, records: Records) -> Columns:
        layout = self.layout
        width = len(layout.names)
        blank = [""] * width
        rows: list[list[str]] = []
        odd = set()
        for i, (_, cells) in enumerate(records):
            if isinstance(cells, list) and len(cells) == width:
                rows.append(cells)
            else:
                rows.append(blank)
                odd.add(i)

        def column(place: int) -> list[str]:
            return [cells[place] for cells in rows]

        texts = column(layout.text or 0)
        if "" in texts:
            odd.update(i for i, text in enumerate(texts) if not text)
        weight = None
        if layout.weight is not None:
            weight = checked_weights(column(layout.weight), layout.reader.weight, odd)
        return Columns(
            np.array([line for line, _ in records], dtype=np.int64),
            texts,
            [None] * len(rows) if layout.label is None else column(layout.label),
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


def _tab_batches(source: Source) -> Iterator[Records]:
    for first, data in source.blocks():
        if not is_utf8(data) or b"\r" in data:
            yield list(tab_cells(lines_of([(first, data)])))
        else:
            lines = enumerate(data.decode().removesuffix("\n").split("\n"), start=first)
            yield [(line, text.split("\t")) for line, text in lines if text]


class _CsvRecords:
    """The records of a CSV file, in batches, each with the line in which it begins."""

    def __init__(self, source: Source, sep: str) -> None:
        self._source = source
        self._sep = sep
        self._start = 1  # of the record that is being read
        self._bad: dict[int, ValueError] = {}  # lines that are not UTF-8

    def batches(self) -> Iterator[Records]:
        """Yield all records; one that cannot be read is an exception."""
        lines = chain.from_iterable(self._lines())
        parser = csv.reader(lines, delimiter=self._sep, strict=True)
        more = True
        while more:
            found: list[Cells] = []
            failure = None
            # the limit that other users of csv set stays theirs
            limit = csv.field_size_limit(LONGEST_CELL)
            try:
                more = self._some(parser, found)
            except (DataError, OSError) as error:
                more, failure = False, error
            finally:
                csv.field_size_limit(limit)
            if found:
                yield found
            if failure is not None:
                raise failure

    def _some(self, parser: Any, found: list[Cells]) -> bool:
        """Read some records; return whether there may be more."""
        while len(found) < _ROWS:
            try:
                for cells in parser:
                    start, last = self._start, parser.line_num
                    self._start = last + 1
                    if last != start or self._bad or not cells:
                        self._note(start, last, cells, found)
                    else:
                        found.append((start, cells))
                    if len(found) >= _ROWS:
                        return True
                return False
            except csv.Error as error:
                start, self._start = self._start, parser.line_num + 1
                problem = ValueError(csv_problem(str(error), self._sep))
                self._note(start, parser.line_num, problem, found)
        return True

    def _note(
        self, start: int, last: int, cells: list[str] | Exception, found: list[Cells]
    ) -> None:
        """Keep a record that is long, or stands near a bad line, or is blank, or cannot be read."""
        if last - start > LONGEST_RECORD:
            raise runaway(self._source.name, start)
        bad = None
        for line in [line for line in self._bad if line <= last]:
            bad = self._bad.pop(line)
        if cells or bad is not None:
            found.append((start, bad or cells))

    def _lines(self) -> Iterator[Iterable[str]]:
        for first, data in self._source.blocks():
            if first - self._start > LONGEST_RECORD:
                raise runaway(self._source.name, self._start)
            if is_utf8(data):
                yield io.StringIO(data.decode(), newline="\n")
            else:
                yield [self._decoded(line, raw) for line, raw in lines_of([(first, data)])]

    def _decoded(self, line: int, raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self._bad[line] = utf8_problem(error)
            return raw.decode("utf-8", "replace")
