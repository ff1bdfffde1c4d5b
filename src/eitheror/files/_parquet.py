"""Parquet files, through pyarrow (the extra `data`), a batch of rows at a time.

Columns are named like the keys of JSONL: `text` or `features`, `label` (a plain name), `either`,
`not`, `tags`, `absent` (lists), `soft`, `votes`, `evidence` (maps or structs). Other columns are
passed through.
"""

from __future__ import annotations

import fnmatch
import io
import math
from collections.abc import Iterator
from typing import Any, Final

from eitheror.files._options import ReadOptions
from eitheror.files._rows import Reading, Row, RowReader, rows_of
from eitheror.files._statements import Problem
from eitheror.files._streams import Source
from eitheror.labels import STATEMENT_KEYS, DataError, suggest

__all__ = ["Layout", "ParquetTable", "import_pyarrow", "read_parquet", "without_nan"]

_BATCH: Final = 4096


def import_pyarrow() -> Any:
    """Return pyarrow with its Parquet module, or say how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "Parquet files need pyarrow, which is not installed: pip install 'eitheror[data]'"
        ) from None
    return pyarrow


def read_parquet(source: Source, reading: Reading) -> Iterator[Row]:
    """Yield the rows of a Parquet file; its "lines" are row numbers from 1."""
    table = ParquetTable(source, reading)
    for first, columns in table.batches():
        yield from table.rows(first, columns)


class ParquetTable:
    """An open Parquet file.

    Parameters
    ----------
    source : Source
        The file.
    reading : Reading
        What all files share.

    Attributes
    ----------
    layout : Layout
        Which column means what.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self.pyarrow = import_pyarrow()
        self.file = source.name
        stream = source.stream
        if not (isinstance(stream, io.BufferedReader) and stream.seekable()):
            stream = io.BytesIO(source.read())
        try:
            self._table = self.pyarrow.parquet.ParquetFile(stream)
        except self.pyarrow.ArrowException as error:
            raise DataError(source.name, f"not a readable Parquet file ({error})") from None
        self.layout = Layout(source.name, self._table.schema_arrow.names, reading)

    def batches(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield (number of the first row, the columns of `layout.columns` as Arrow arrays)."""
        number = 1
        try:
            for batch in self._table.iter_batches(_BATCH, columns=self.layout.columns):
                yield number, [batch.column(name) for name in self.layout.columns]
                number += batch.num_rows
        except (self.pyarrow.ArrowException, OSError) as error:
            where = f"{self.file}:{number}"
            raise DataError(where, f"the Parquet file is damaged ({error})") from None

    def rows(self, first: int, columns: list[Any]) -> Iterator[Row]:
        """Yield the rows of some columns, numbered from `first` on."""
        values = zip(*(column.to_pylist() for column in columns), strict=True)
        return rows_of(self.file, enumerate(values, start=first), self.layout.row)


class Layout:
    """Which column means what, told once from the schema."""

    def __init__(self, file: str, names: list[str], reading: Reading) -> None:
        options = reading.options
        self.file = file
        self.reader = RowReader(file, reading, json=False)
        self._maps = {"soft", "votes", "evidence"}
        self.columns = [name for name in names if name not in options.ignore]
        self.features = self._feature_columns(options)
        reading.name_features(file, self.features)
        for name in reading.named_columns():
            self._need(name)
        own = {*STATEMENT_KEYS, "features", options.text, options.label, options.id, options.weight}
        own -= {"label"} - {options.label}
        self.extra = {n for n in self.columns if n not in own and n not in self.features}
        if (
            options.text not in self.columns
            and "features" not in self.columns
            and not self.features
        ):
            shown = ", ".join(f'"{name}"' for name in names[:20])
            raise DataError(
                file,
                f'no column "{options.text}" and no "features"; the columns are {shown}. '
                "Write --text NAME, or for numbers --feature-columns 'x*'",
            )

    def _feature_columns(self, options: ReadOptions) -> list[str]:
        if "features" in self.columns and options.feature_columns is None:
            return []
        if options.feature_names is not None:  # a model's: by name, whatever the file's order
            for name in options.feature_names:
                self._need(name)
            return list(options.feature_names)
        wanted = options.feature_columns or ()
        for pattern in wanted:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self.columns):
                self._need(pattern)
        return [name for name in self.columns if any(fnmatch.fnmatchcase(name, w) for w in wanted)]

    def _need(self, name: str) -> None:
        if name not in self.columns:
            near = suggest(name, self.columns)
            raise DataError(self.file, f'no column is called "{name}"{near}')

    def row(self, number: int, values: tuple[Any, ...]) -> Row:
        """Return the row of one record."""
        record: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        features: dict[str, float] = {}
        for name, value in zip(self.columns, values, strict=True):
            if name in self.extra:
                extra[name] = value
            elif name in self.features:
                features[name] = self._number(name, value)
            elif name in self._maps or (name == "features" and _is_mapping(value)):
                record[name] = _as_dict(value)
            else:
                record[name] = without_nan(value)
        if self.features:
            record["features"] = [features[name] for name in self.features]
        found = self.reader.row(number, record)
        found.extra = extra or None
        return found

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Problem(
                self.reader.path(name), f"{value!r} is no number; features are finite numbers"
            )
        if not math.isfinite(value):
            raise Problem(
                self.reader.path(name),
                f"{value} is no finite number; fill the gap, or leave the row out",
            )
        return float(value)


def _is_mapping(value: Any) -> bool:
    """Tell a map (a list of pairs) or a struct from a list of numbers."""
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], tuple)
    )


def _as_dict(value: Any) -> Any:
    """Return a map (a list of pairs) or a struct (null for what is not named) as a dict."""
    if isinstance(value, list):
        return dict(value)
    if isinstance(value, dict):
        return {key: number for key, number in value.items() if number is not None}
    return value


def without_nan(value: Any) -> Any:
    """Return a missing number as null: a column of numbers with gaps is a column of floats."""
    return None if isinstance(value, float) and math.isnan(value) else value
