"""Parquet files with a column of texts, a batch of rows at a time, without an object a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.files._batches import Columns, Pieces, Statements, in_turns
from eitheror.files._bulk_tables import checked_weights
from eitheror.files._parquet import ParquetTable, without_nan
from eitheror.files._rows import Reading, Row
from eitheror.files._statements import Found
from eitheror.files._streams import Source
from eitheror.labels import STATEMENT_KEYS
from eitheror.text.sequence import Piece

__all__ = ["parquet_pieces"]


def parquet_pieces(source: Source, reading: Reading) -> Pieces:
    """Yield what `read_parquet` yields, many rows at once."""
    table = ParquetTable(source, reading)
    bulk = _Bulk(table, reading)
    for first, columns in table.batches():
        yield from bulk.pieces(first, columns) if bulk.quick else table.rows(first, columns)


class _Bulk:
    """Turns batches of Arrow arrays into pieces."""

    def __init__(self, table: ParquetTable, reading: Reading) -> None:
        options, layout = reading.options, table.layout
        self.table = table
        self.statements = Statements()
        plain = {options.text, options.label, options.id, options.weight, *layout.extra}
        self.quick = (
            options.text in layout.columns
            and not layout.features
            and plain.issuperset(layout.columns)
            and not layout.extra & {*STATEMENT_KEYS}
        )
        place = {name: i for i, name in enumerate(layout.columns)}
        self.text = place.get(options.text, -1)
        self.label = None if options.unlabelled else place.get(options.label)
        self.id = place.get(options.id)
        self.weight = place.get(options.weight)
        self.extra = {name: place[name] for name in layout.columns if name in layout.extra}

    def pieces(self, first: int, columns: list[Any]) -> Pieces:
        """Yield the rows of one batch."""

        def careful(begin: int, end: int) -> Iterator[Row]:
            return self.table.rows(first + begin, [c.slice(begin, end - begin) for c in columns])

        found = self._columns(first, columns)
        if found is None:
            yield from self.table.rows(first, columns)
        else:
            file = self.table.file
            yield from in_turns(file, found, self.statements, self._resolve, careful)

    def _resolve(self, value: Any, line: int) -> Found:
        return self.table.layout.reader.statements.plain(value, line)

    def _columns(self, first: int, columns: list[Any]) -> Columns | None:
        """Return the batch by column; None where text or label are of another type."""
        n = len(columns[self.text])
        texts = self._texts(columns[self.text])
        labels: list[Any] | None = [None] * n
        if self.label is not None:
            labels = self._labels(columns[self.label])
        if texts is None or labels is None:
            return None
        odd = set(np.flatnonzero(columns[self.text].is_null()).tolist())
        reader = self.table.layout.reader
        weight = ids = None
        if self.weight is not None:
            values = map(without_nan, columns[self.weight].to_pylist())
            weight = checked_weights(values, reader.weight, odd)
        if self.id is not None:
            ids = [without_nan(value) for value in columns[self.id].to_pylist()]
            odd.update(i for i, value in enumerate(ids) if isinstance(value, list | dict))
        extra = {name: columns[place].to_pylist() for name, place in self.extra.items()}
        return Columns(first + np.arange(n), texts, labels, sorted(odd), weight, ids, extra)

    def _texts(self, column: Any) -> Piece | None:
        types = self.table.pyarrow.types
        wide = types.is_large_string(column.type)
        if not (wide or types.is_string(column.type)) or not len(column):
            return None
        try:
            column.validate(full=True)  # UTF-8 too
        except self.table.pyarrow.ArrowInvalid:
            return None
        _, where, data = column.buffers()
        offsets: NDArray[Any] = np.frombuffer(where, np.int64 if wide else np.int32)
        offsets = offsets[column.offset : column.offset + len(column) + 1].astype(np.int64)
        begin, end = int(offsets[0]), int(offsets[-1])
        signs = b"" if data is None else data.slice(begin, end - begin).to_pybytes()
        offsets -= begin
        return signs, offsets[:-1], offsets[1:]

    def _labels(self, column: Any) -> list[Any] | None:
        types = self.table.pyarrow.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (types.is_string(column.type) or types.is_large_string(column.type)):
            if not types.is_integer(column.type):
                return None
        distinct = column.dictionary_encode()
        values = np.array([*distinct.dictionary.to_pylist(), None], dtype=object)
        numbers = distinct.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
        found: list[Any] = values[numbers].tolist()
        return found
