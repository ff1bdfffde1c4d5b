"""Reading: files of any format -> rows one by one, or one `Table`.

One row is in memory at a time, besides what is kept of it: the text or the numbers, and the encoded
label. Formats that combine rows (long, Prodigy) keep their rows until the file ends.
"""

from __future__ import annotations

import dataclasses
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, Final, Unpack

import numpy as np
from numpy.typing import NDArray

from eitheror.files._checks import bad_rows
from eitheror.files._delimited import read_delimited
from eitheror.files._exports import dialect_of, read_argilla, read_label_studio, read_prodigy
from eitheror.files._fasttext import read_fasttext, read_text
from eitheror.files._features import FeatureStack
from eitheror.files._jsonl import read_jsonl, records
from eitheror.files._long import group_rows
from eitheror.files._options import ReadKeywords, ReadOptions
from eitheror.files._parquet import read_parquet
from eitheror.files._rows import Reading, Row
from eitheror.files._streams import Source, bare_suffix
from eitheror.labels import DataError, Label, Labels, LabelsBuilder, RowError, exact
from eitheror.labels._text import bare

__all__ = ["Path", "Table", "iter_rows", "read", "read_table"]

Path = str | os.PathLike[str] | BinaryIO
"""One input: a path, `-` for standard input, or an open binary stream."""

_BY_SUFFIX: Final = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "fasttext",
    ".ft": "fasttext",
    ".fasttext": "fasttext",
}


@dataclass(frozen=True)
class Table:
    """What `read_table` returns.

    Attributes
    ----------
    inputs : list of str, or float array or CSR matrix of shape (n_samples, n_features)
        The texts, or the numeric features.
    labels : Labels
        What is known about each row.
    weight : float array of shape (n_samples,), optional
        Sample weights, 1 where a row has none; None when no row has one.
    ids : list, optional
        The rows' own ids, None where a row has none; None when no row has one.
    columns : dict from str to list
        Other columns, and the keys `meta` and `_...`; None where a row lacks them.
    skipped : list of DataError
        The rows left out by `skip_bad`, each with its place and reason.
    files : list of str
        The files read.
    file_index, lines : int arrays of shape (n_samples,)
        Where each row began; `where(row)` joins them.
    places : int array of shape (n_samples,)
        Position of each row among all rows, the skipped ones counted.
    feature_names : list of str, optional
        The names of the features, in column order, when the files give them.
    """

    inputs: Any
    labels: Labels
    weight: NDArray[np.float64] | None = None
    ids: list[Any] | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)
    skipped: list[DataError] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    file_index: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    lines: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    feature_names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, row: int) -> str:
        """Return the place of a row, such as `tickets.jsonl:17`."""
        return f"{self.files[self.file_index[row]]}:{self.lines[row]}"


def read(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> tuple[Any, Labels]:
    r"""Read one or several files: (inputs, labels).

    Parameters
    ----------
    path : path or list of paths
        JSONL, CSV, TSV, Parquet, fastText, exports of Prodigy, Label Studio and Argilla; `-` is
        standard input; gz, bz2, xz and zst are unpacked.
    **options
        The fields of `ReadOptions`.

    Returns
    -------
    inputs : list of str, or array of shape (n_samples, n_features)
        The texts, or the numeric features.
    labels : Labels
        What is known about each row.

    Raises
    ------
    DataError
        The first row that cannot be read, with its file and line and what to write instead.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO(b'{"text": "it fails", "label": "bug"}\n{"text": "hm", "not": ["bug"]}')
    >>> texts, labels = read(file, classes=["billing", "bug"])
    >>> labels
    Labels([exact('bug'), not_('bug')], classes=['billing', 'bug'], task='multiclass')
    """
    table = read_table(path, **options)
    return table.inputs, table.labels


def iter_rows(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> Iterator[Row]:
    r"""Yield the rows of one or several files one by one.

    With `skip_bad=True` a row that cannot be read comes as a `Row` with `input=None` and its
    `error`, so that every row keeps its place; otherwise the error is raised.

    Examples
    --------
    >>> import io
    >>> [row.input for row in iter_rows(io.BytesIO(b"one\ntwo\n"), format="text")]
    ['one', 'two']
    """
    settled = ReadOptions.make(dict(options))
    return _iterate(_as_paths(path), Reading(settled))


def read_table(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> Table:
    r"""Read one or several files with everything their rows carry.

    Parameters and errors as in `read`.

    Examples
    --------
    >>> import io
    >>> table = read_table(io.BytesIO(b"text,label,id\nit crashes,bug|install,7\n"), format="csv")
    >>> table.labels[0], table.ids, table.where(0)
    (either('bug', 'install'), ['7'], 'stream:2')
    """
    settled = ReadOptions.make(dict(options))
    reading = Reading(settled)
    collector = _Collector(settled)
    for row in _iterate(_as_paths(path), reading):
        collector.add(row)
    return collector.table(reading)


def _as_paths(path: Path | Sequence[Path]) -> list[Path]:
    if isinstance(path, str | os.PathLike) or hasattr(path, "read"):
        return [path]  # type: ignore[list-item]
    paths = list(path)
    if not paths:
        raise ValueError("no file to read")
    return paths


def _iterate(paths: Sequence[Path], reading: Reading) -> Iterator[Row]:
    options = reading.options
    for path in paths:
        empty = True
        with Source(path) as source:
            for row in _rows(source, reading):
                empty = False
                if row.error is not None and not options.skip_bad:
                    raise row.error
                yield row
        if empty and not options.unlabelled:
            raise DataError(source.name, "the file is empty: it holds no row of data")
    if paths:
        reading.check_missing(source.name)


def _rows(source: Source, reading: Reading) -> Iterator[Row]:
    options = reading.options
    if options.format == "long":
        return group_rows(_ungrouped(source, reading), options.task)
    return _ungrouped(source, reading)


def _ungrouped(source: Source, reading: Reading) -> Iterator[Row]:
    kind = _format_of(source, reading.options)
    if kind in ("csv", "tsv"):
        return read_delimited(source, reading, kind)
    if kind == "parquet":
        return read_parquet(source, reading)
    if kind == "fasttext":
        return read_fasttext(source, reading)
    if kind == "text":
        return read_text(source, reading)
    return _json_rows(source, reading, kind)


def _json_rows(source: Source, reading: Reading, kind: str) -> Iterator[Row]:
    # a blank line keeps its place where every line is answered; rows that combine have none
    options = reading.options
    found: Iterator[tuple[int, Any]] = records(
        source, blanks=options.unlabelled and options.format != "long"
    )
    if kind == "json":
        lead = []
        for item in found:
            lead.append(item)
            if item[1] is not None:
                break
        first = lead[-1][1] if lead else None
        kind = dialect_of(first) if isinstance(first, dict) else "jsonl"
        found = chain(lead, found)
    if kind != "jsonl":
        found = (item for item in found if item[1] is not None)
    readers = {
        "jsonl": read_jsonl,
        "prodigy": read_prodigy,
        "label-studio": read_label_studio,
        "argilla": read_argilla,
    }
    return readers[kind](found, source.name, reading)


def _format_of(source: Source, options: ReadOptions) -> str:
    """Return the format; "json" means one of those written in JSON, told by its first record."""
    if options.format is not None and options.format != "long":
        return options.format
    suffix = bare_suffix(source.name)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    head = source.head().lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"{", b"[{")) or (head.startswith(b"[") and head[1:].lstrip()[:1] == b"{"):
        return "json"
    if head.startswith(options.prefix.encode()) or (options.unlabelled and options.format is None):
        return "fasttext"
    if options.format == "long":
        return "csv"
    if not head:
        return "text"
    raise DataError(
        source.name,
        "the format cannot be told from the name or the first bytes; say it: "
        "--format jsonl, csv, tsv, parquet, fasttext, prodigy, label-studio or argilla",
    )


class _Collector:
    """Gathers rows into the columns of a `Table`."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.builder = LabelsBuilder()
        self.texts: list[str] = []
        self.features = FeatureStack(options.feature_names)
        self.weights: list[float | None] = []
        self.ids: list[Any] = []
        self.columns: dict[str, list[Any]] = {}
        self.files: list[tuple[str, int]] = [("", 0)]  # each file and its first row
        self.lines = array("q")
        self.gaps = array("q")  # for each skipped row, how many good ones came before it
        self.skipped: list[DataError] = []
        self.kept: list[Label] = []  # with skip_bad, to build again without some
        self._exact: dict[str, Label] = {}
        self.n = 0

    def add(self, row: Row) -> None:
        """Take one row, or note why it is left out."""
        if row.input is None and row.error is None:
            return  # a blank line
        error = row.error or self._add_input(row)
        if error is not None:
            if not self.options.skip_bad:
                raise error
            self.skipped.append(error)
            self.gaps.append(self.n)
            return
        if row.file != self.files[-1][0]:
            self.files.append((row.file, self.n))
        label = self._label(row.label)
        self.builder.append(label)
        if self.options.skip_bad:
            self.kept.append(bare(label))
        self.lines.append(row.line)
        if row.weight is not None:
            self._put(self.weights, row.weight)
        if row.id is not None:
            self._put(self.ids, row.id)
        if row.extra is not None:
            for key, value in row.extra.items():
                self._put(self.columns.setdefault(key, []), value)
        self.n += 1

    def _label(self, found: Label | str | int | None) -> Label | str | int | None:
        """Return a label; that of a plain name is made once."""
        if type(found) is not str:
            return found
        label = self._exact.get(found)
        if label is None:
            label = self._exact.setdefault(found, exact(found))
        return label

    def _put(self, column: list[Any], value: Any) -> None:
        column.extend([None] * (self.n - len(column)))
        column.append(value)

    def _add_input(self, row: Row) -> DataError | None:
        try:
            if isinstance(row.input, str):
                if self.features:
                    raise ValueError("a text, but the rows before it have features")
                self.texts.append(row.input)
            else:
                if self.texts:
                    raise ValueError("features, but the rows before it have texts")
                self.features.add(row.input)
        except ValueError as error:
            return DataError(row.where, str(error))
        return None

    def where(self, row: int) -> str:
        """Return the place of a row."""
        name = next(name for name, start in reversed(self.files) if start <= row)
        return f"{name}:{self.lines[row]}"

    def table(self, reading: Reading) -> Table:
        """Return everything, checked as a whole."""
        files = self.files[1:] or [("the input", 0)]
        name = files[0][0]
        labels, rows = self._labels(reading)
        inputs: Any = self.features.matrix() if self.features else self.texts
        for column in (self.weights, self.ids, *self.columns.values()):
            if column:
                column.extend([None] * (self.n - len(column)))
        order = np.arange(self.n, dtype=np.int64)
        starts = [start for _, start in files]
        table = Table(
            inputs,
            labels,
            _weights(self.weights),
            self.ids or None,
            self.columns,
            self.skipped,
            [name for name, _ in self.files[1:]],
            (np.searchsorted(starts, order, side="right") - 1).astype(np.int32),
            np.array(self.lines, dtype=np.int64),
            order + np.searchsorted(np.array(self.gaps), order, side="right"),
            reading.feature_names or self.features.names(),
        )
        table = table if rows is None else _take(table, rows, labels)
        if self.options.need_labels and not self.options.unlabelled:
            _check_labels(labels, name, self.options)
        return table

    def _labels(self, reading: Reading) -> tuple[Labels, NDArray[np.int64] | None]:
        """Return the labels, and the rows that are left when some had to be skipped."""
        options = self.options
        classes = options.classes
        if classes is not None and options.new_classes:
            classes = [*classes, *sorted(reading.names.new, key=str)]
        try:
            return self.builder.build(classes, options.task), None
        except RowError as error:
            if not options.skip_bad:
                raise DataError(self.where(error.row), error.problem) from None
        rows = list(range(self.n))
        while True:  # again only where the rows left are of another task than all together
            try:
                labels = Labels([self.kept[row] for row in rows], classes, options.task)
                return labels, np.array(rows, dtype=np.int64)
            except RowError as error:
                bad = bad_rows(self.kept, rows, classes, options.task)
                bad.setdefault(rows[error.row], error.problem)
            self.skipped += [DataError(self.where(row), bad[row]) for row in sorted(bad)]
            rows = [row for row in rows if row not in bad]


def _weights(given: list[float | None]) -> NDArray[np.float64] | None:
    if not given:
        return None
    return np.array([1.0 if weight is None else weight for weight in given], dtype=np.float64)


def _no_label(name: str, options: ReadOptions) -> str:
    if bare_suffix(name) in (".csv", ".tsv", ".parquet"):
        return (
            f'no label in the whole file: there is no column "{options.label}", or every cell of '
            "it is empty; name the column: --label NAME"
        )
    if options.format == "fasttext" or _BY_SUFFIX.get(bare_suffix(name)) == "fasttext":
        return (
            f"no label in the whole file: no line begins with {options.prefix}; write "
            f"{options.prefix}name before each text, or say what labels begin with: "
            "--prefix WORD (prefix=)"
        )
    return (
        f'no label in the whole file; write "{options.label}": "name" (or either, not, tags, soft, '
        "votes) in the rows that have one"
    )


def _check_labels(labels: Labels, name: str, options: ReadOptions) -> None:
    """Refuse a data set from which nothing can be learnt."""
    if len(labels) and not labels.kinds.any():
        raise DataError(name, _no_label(name, options))
    if labels.task == "multiclass" and labels.n_classes < 2 and len(labels):
        only = f'"{labels.classes[0]}"' if labels.classes else "none"
        raise DataError(
            name,
            f"only one class in the whole file: {only}; a classifier needs two or more. If there "
            "are others that no row names, list them: --classes-file classes.txt (classes=[...])",
        )


def _take(table: Table, rows: NDArray[np.int64], labels: Labels) -> Table:
    def column(values: list[Any] | None) -> list[Any] | None:
        return None if values is None else [values[row] for row in rows]

    texts = isinstance(table.inputs, list)
    return dataclasses.replace(
        table,
        inputs=column(table.inputs) if texts else table.inputs[rows],
        labels=labels,
        weight=None if table.weight is None else table.weight[rows],
        ids=column(table.ids),
        columns={key: column(values) or [] for key, values in table.columns.items()},
        file_index=table.file_index[rows],
        lines=table.lines[rows],
        places=table.places[rows],
    )
