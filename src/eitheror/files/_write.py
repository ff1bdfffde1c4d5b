"""Writing: (inputs, labels) -> a file, complete or not at all.

Every statement is written so that reading gives it back. What a format cannot hold is refused with
the row and a format that can. The formats are in `_write_json`, `_write_tables`, `_write_fasttext`
and `_write_parquet`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO, Any, BinaryIO, Final

from eitheror.files._options import separator
from eitheror.files._out import Lines, Rows, encoded
from eitheror.files._streams import bare_suffix, open_output, show_path
from eitheror.files._write_fasttext import fasttext_lines
from eitheror.files._write_json import json_lines
from eitheror.files._write_parquet import write_parquet
from eitheror.files._write_tables import delimited_lines, long_table, row_table
from eitheror.labels import STATEMENT_KEYS, Labels, suggest

__all__ = ["WRITE_FORMATS", "write"]

WRITE_FORMATS: Final = ("jsonl", "csv", "tsv", "parquet", "fasttext", "long")
"""The words that `write(format=...)` takes."""

_BY_SUFFIX: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "fasttext",
    ".ft": "fasttext",
    ".fasttext": "fasttext",
}


def write(
    path: str | os.PathLike[str] | BinaryIO,
    inputs: Any,
    labels: Labels | None = None,
    *,
    format: str | None = None,
    weight: Sequence[float] | None = None,
    ids: Sequence[Any] | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    text: str = "text",
    label: str = "label",
    sep: str | None = None,
    plain_labels: bool = False,
    prefix: str = "__label__",
    underscores: bool = False,
    flatten: bool = False,
    feature_names: Sequence[str] | None = None,
) -> None:
    r"""Write texts or features with their labels; `read` gives the same back.

    Parameters
    ----------
    path : path or binary stream
        `-` is standard output; .gz, .bz2, .xz and .zst pack. The file is written under another
        name and renamed at the end.
    inputs : list of str, or array or CSR matrix of shape (n_samples, n_features)
        The texts, or the features.
    labels : Labels, optional
        What is known about each row.
    format : {"jsonl", "csv", "tsv", "parquet", "fasttext", "long"}, optional
        Default: told by the extension.
    weight, ids, columns : optional
        Sample weights, row ids and other columns (JSONL: under `meta`).
    text, label : str
        Names of the text and the plain label.
    sep : str, optional
        CSV, TSV, long: what stands between cells.
    plain_labels : bool, default False
        CSV, TSV: one column for each statement (`label`, `either`, `not`, ...) in place of the
        short form in `label`; holds every statement and every name. To be read with the same word.
    prefix, underscores :
        fastText: what a label begins with; whether spaces in names become underscores.
    flatten : bool, default False
        fastText, TSV: replace line breaks and tabs in texts by spaces instead of refusing them.
    feature_names : sequence of str, optional
        Names of the features. JSONL: features are written as an object.

    Raises
    ------
    RowError
        A row that the format cannot hold; the message names the row and a format that can.

    Examples
    --------
    >>> import sys
    >>> from eitheror.labels import either
    >>> import io
    >>> file = io.BytesIO()
    >>> write(file, ["it hangs"], Labels([either("bug", "install")]), format="jsonl")
    >>> file.getvalue()
    b'{"text":"it hangs","either":["bug","install"]}\n'
    """
    kind = _format_of(path, format)
    rows = _checked(inputs, labels, weight, ids, columns or {}, text, label, feature_names)
    if kind == "parquet":
        with open_output(path) as stream:
            write_parquet(stream, rows)
        return
    lines = _lines(kind, path, rows, sep, plain_labels, prefix, underscores, flatten)
    with open_output(path) as stream:
        _write_lines(stream, lines)


def _format_of(path: Any, format: str | None) -> str:
    if format is not None:
        if format not in WRITE_FORMATS:
            raise ValueError(
                f"cannot write the format {format!r}{suggest(format, WRITE_FORMATS)}; "
                f"the formats are {', '.join(WRITE_FORMATS)}"
            )
        return format
    name = show_path(path)
    suffix = bare_suffix(name)
    if suffix not in _BY_SUFFIX:
        raise ValueError(
            f"{name}: the format cannot be told from the name; end it in .jsonl, .csv, .tsv, "
            f".parquet or .txt, or say format= ({', '.join(WRITE_FORMATS)})"
        )
    return _BY_SUFFIX[suffix]


def _checked(
    inputs: Any,
    labels: Labels | None,
    weight: Sequence[float] | None,
    ids: Sequence[Any] | None,
    columns: Mapping[str, Sequence[Any]],
    text: str,
    label: str,
    feature_names: Sequence[str] | None,
) -> Rows:
    numeric = hasattr(inputs, "toarray") or (
        hasattr(inputs, "dtype") and inputs.dtype.kind in "fiub"
    )
    if numeric and getattr(inputs, "ndim", 2) != 2:
        raise ValueError(f"features have the shape (n_samples, n_features), got {inputs.shape}")
    if numeric and hasattr(inputs, "toarray"):
        inputs = inputs.tocsr()
    rows = Rows(
        inputs if numeric else list(inputs),
        labels,
        weight,
        ids,
        columns,
        text,
        label,
        feature_names,
    )
    parts = {"labels": labels, "weight": weight, "ids": ids, **columns}
    for name, part in parts.items():
        if part is not None and len(part) != len(rows):
            raise ValueError(f"{len(rows)} inputs, but {name} has {len(part)} rows")
    taken = {*STATEMENT_KEYS, text, label, "features", "weight", "id"}
    clash = next((name for name in columns if name in taken), None)
    if clash is not None:
        raise ValueError(f"a column called {clash!r} would be read as something else; rename it")
    if feature_names is not None and numeric and len(feature_names) != inputs.shape[1]:
        raise ValueError(f"{inputs.shape[1]} features, but {len(feature_names)} feature_names")
    return rows


def _lines(
    kind: str,
    path: Any,
    rows: Rows,
    sep: str | None,
    plain_labels: bool,
    prefix: str,
    underscores: bool,
    flatten: bool,
) -> Lines:
    if kind == "jsonl":
        return json_lines(rows)
    if kind == "fasttext":
        return fasttext_lines(rows, prefix, underscores, flatten)
    tab = kind == "tsv" or (kind == "long" and bare_suffix(show_path(path)) in (".tsv", ".tab"))
    between = separator(sep) if sep else ("\t" if tab else ",")
    table = long_table(rows) if kind == "long" else row_table(rows, plain_labels)
    return delimited_lines(table, between, flatten)


def _write_lines(stream: IO[bytes], lines: Lines) -> None:
    for row, line in lines:
        stream.write(line if isinstance(line, bytes) else encoded(line, row))
