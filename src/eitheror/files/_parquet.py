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

from eitheror.files._rows import Reading, Row, RowReader, rows_of
from eitheror.files._statements import Problem
from eitheror.files._streams import Source
from eitheror.labels import STATEMENT_KEYS, DataError, suggest

__all__ = ["import_pyarrow", "read_parquet"]

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
    pyarrow = import_pyarrow()
    stream = source.stream
    if not (isinstance(stream, io.BufferedReader) and stream.seekable()):
        stream = io.BytesIO(source.read())
    try:
        table = pyarrow.parquet.ParquetFile(stream)
    except pyarrow.ArrowException as error:
        raise DataError(source.name, f"not a readable Parquet file ({error})") from None
    layout = _Layout(source.name, table.schema_arrow.names, reading)
    rows = _records(source, table, layout, pyarrow)
    yield from rows_of(source.name, rows, layout.row)


def _records(
    source: Source, table: Any, layout: _Layout, pyarrow: Any
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    number = 0
    try:
        for batch in table.iter_batches(_BATCH, columns=layout.columns):
            columns = [batch.column(name).to_pylist() for name in layout.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield number, values
    except (pyarrow.ArrowException, OSError) as error:
        where = f"{source.name}:{number + 1}"
        raise DataError(where, f"the Parquet file is damaged ({error})") from None


class _Layout:
    """Which column means what, told once from the schema."""

    def __init__(self, file: str, names: list[str], reading: Reading) -> None:
        options = reading.options
        self.file = file
        self.reader = RowReader(file, reading, json=False)
        self._maps = {"soft", "votes", "evidence"}
        self.columns = [name for name in names if name not in options.ignore]
        wanted = options.feature_columns or options.feature_names or ()
        if "features" in names and options.feature_columns is None:
            wanted = ()
        self.features = [
            name for name in self.columns if any(fnmatch.fnmatchcase(name, w) for w in wanted)
        ]
        for pattern in wanted:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self.columns):
                raise DataError(file, f'no column is called "{pattern}"{suggest(pattern, names)}')
        reading.name_features(file, self.features)
        own = {*STATEMENT_KEYS, "features", options.text, options.label, options.id, options.weight}
        own -= {"label"} - {options.label}
        self._extra = {n for n in self.columns if n not in own and n not in self.features}
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

    def row(self, number: int, values: tuple[Any, ...]) -> Row:
        """Return the row of one record."""
        record: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        features: list[Any] = []
        for name, value in zip(self.columns, values, strict=True):
            if name in self._extra:
                extra[name] = value
            elif name in self.features:
                features.append(self._number(name, value))
            elif name in self._maps:
                record[name] = _as_dict(value)
            else:
                record[name] = _plain(value)
        if self.features:
            record["features"] = features
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


def _as_dict(value: Any) -> Any:
    """Return a map (a list of pairs) or a struct (null for what is not named) as a dict."""
    if isinstance(value, list):
        return dict(value)
    if isinstance(value, dict):
        return {key: number for key, number in value.items() if number is not None}
    return value


def _plain(value: Any) -> Any:
    """Return a missing number as null: a column of numbers with gaps is a column of floats."""
    return None if isinstance(value, float) and math.isnan(value) else value
