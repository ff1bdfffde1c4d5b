"""Rows, one by one or many at once -> one `Table`, or one `Block` after the other."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.files._batches import Batch
from eitheror.files._checks import bad_rows
from eitheror.files._features import FeatureStack
from eitheror.files._options import ReadOptions
from eitheror.files._rows import Reading, Row
from eitheror.files._statements import Found
from eitheror.files._streams import bare_suffix
from eitheror.labels import DataError, Labels, LabelsBuilder, RowError
from eitheror.labels._build import Store
from eitheror.text.sequence import Texts, TextsBuilder

__all__ = ["BY_SUFFIX", "Block", "Collector", "Table", "check_labels"]

_TEXT_AFTER_FEATURES: Final = "a text, but the rows before it have features"
BY_SUFFIX: Final = {
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
    inputs : Texts, or float array or CSR matrix of shape (n_samples, n_features)
        The texts, a sequence like a list of str, or the numeric features.
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


@dataclass(frozen=True)
class Block:
    """Some rows of a file that is read from one end to the other; see `iter_blocks`.

    Attributes
    ----------
    inputs : Texts, or float array or CSR matrix of shape (n_samples, n_features)
        The texts, a sequence like a list of str, or the numeric features.
    labels : Store
        What is known about each row, as stored arrays that are checked under no class list yet.
        Classes are numbered by their first use in all files, so that numbers stay from block to
        block; `labels.classes` are those named so far.
    weight : float array of shape (n_samples,), optional
        Sample weights, 1 where a row has none; None when no row of the block has one.
    skipped : list of DataError
        The rows left out by `skip_bad` since the block before.
    files : list of str
        The files of the rows.
    file_index, lines : int arrays of shape (n_samples,)
        Where each row began; `where(row)` joins them.
    """

    inputs: Any
    labels: Store
    weight: NDArray[np.float64] | None
    skipped: list[DataError]
    files: list[str]
    file_index: NDArray[np.int32]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """Return the place of a row, such as `tickets.jsonl:17`."""
        return f"{self.files[self.file_index[row]]}:{self.lines[row]}"


class Collector:
    """Gathers rows into the columns of a `Table`."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.builder = LabelsBuilder()
        self.skipped: list[DataError] = []
        self.begin()

    def begin(self) -> None:
        """Forget all rows, and keep the class names."""
        self.texts = TextsBuilder()
        self.features = FeatureStack(self.options.feature_names)
        self.weights: list[float | None] = []
        self.ids: list[Any] = []
        self.columns: dict[str, list[Any]] = {}
        self.files: list[tuple[str, int]] = [("", 0)]  # each file and its first row
        self.lines = array("q")
        self.gaps = array("q")  # for each skipped row, how many good ones came before it
        self.n = 0
        self.builder.restart()
        self._found: list[Found] = []  # the distinct labels of the batch before
        self._numbers: list[int] = []  # and their numbers in the builder

    def add(self, piece: Row | Batch) -> None:
        """Take rows, or note why one is left out."""
        if isinstance(piece, Batch):
            self._add_batch(piece)
            return
        if piece.input is None and piece.error is None:
            return  # a blank line
        error = piece.error or self._add_input(piece)
        if error is not None:
            self._leave_out(error)
            return
        self._note_file(piece.file)
        self.builder.append(piece.label)
        self.lines.append(piece.line)
        if piece.weight is not None:
            self._put(self.weights, [piece.weight])
        if piece.id is not None:
            self._put(self.ids, [piece.id])
        if piece.extra is not None:
            for key, value in piece.extra.items():
                self._put(self.columns.setdefault(key, []), [value])
        self.n += 1

    def _add_batch(self, batch: Batch) -> None:
        if self.features:
            for line in batch.lines.tolist():
                self._leave_out(DataError(f"{batch.file}:{line}", _TEXT_AFTER_FEATURES))
            return
        self._note_file(batch.file)
        self.texts.extend(batch.texts)
        if batch.found is not self._found:
            self._found, self._numbers = batch.found, []
        self._numbers += map(self.builder.number, self._found[len(self._numbers) :])
        self.builder.extend_numbers(np.array(self._numbers, dtype=np.int32)[batch.labels])
        self.lines.frombytes(batch.lines.astype(np.int64).tobytes())
        for column, values in ((self.weights, batch.weight), (self.ids, batch.ids)):
            if values is not None and any(value is not None for value in values):
                self._put(column, values)
        for key, values in batch.extra.items():
            self._put(self.columns.setdefault(key, []), values)
        self.n += len(batch.lines)

    def _leave_out(self, error: DataError) -> None:
        if not self.options.skip_bad:
            raise error
        self.skipped.append(error)
        self.gaps.append(self.n)

    def _note_file(self, name: str) -> None:
        if name != self.files[-1][0]:
            self.files.append((name, self.n))

    def _put(self, column: list[Any], values: Sequence[Any]) -> None:
        column.extend([None] * (self.n - len(column)))
        column.extend(values)

    def _add_input(self, row: Row) -> DataError | None:
        try:
            if isinstance(row.input, str):
                if self.features:
                    raise ValueError(_TEXT_AFTER_FEATURES)
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

    def block(self) -> Block:
        """Return the rows since the block before, and begin the next."""
        named = self.features.names()
        if named is not None and self.options.feature_names is None:
            raise DataError(
                self.where(0),
                "features by name are read block by block only with the list of all names: "
                "feature_names=[...]",
            )
        made = Block(
            self._inputs(),
            self.builder.rows(),
            _weights(self._filled(self.weights)),
            self.skipped,
            [name for name, _ in self.files[1:]],
            self._file_index(),
            np.array(self.lines, dtype=np.int64),
        )
        self.skipped = []
        self.begin()
        return made

    def _inputs(self) -> Any:
        return self.features.matrix() if self.features else self.texts.build()

    def _filled(self, column: list[Any]) -> list[Any]:
        """Return a column with None for the rows behind its last value; empty if it has none."""
        return [*column, *[None] * (self.n - len(column))] if column else column

    def _file_index(self) -> NDArray[np.int32]:
        starts = [start for _, start in self.files[1:]]
        index = np.searchsorted(starts, np.arange(self.n), side="right") - 1
        return index.astype(np.int32)

    def table(self, reading: Reading) -> Table:
        """Return everything, checked as a whole."""
        name = self.files[1][0] if len(self.files) > 1 else "the input"
        labels, rows = self._labels(reading)
        order = np.arange(self.n, dtype=np.int64)
        table = Table(
            self._inputs(),
            labels,
            _weights(self._filled(self.weights)),
            self._filled(self.ids) or None,
            {key: self._filled(values) for key, values in self.columns.items()},
            self.skipped,
            [name for name, _ in self.files[1:]],
            self._file_index(),
            np.array(self.lines, dtype=np.int64),
            order + np.searchsorted(np.array(self.gaps), order, side="right"),
            reading.feature_names or self.features.names(),
        )
        table = table if rows is None else _take(table, rows, labels)
        if self.options.need_labels and not self.options.unlabelled:
            check_labels(labels, name, self.options)
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
        kept = list(self.builder.rows().labels())
        rows = list(range(self.n))
        while True:  # again only where the rows left are of another task than all together
            try:
                labels = Labels([kept[row] for row in rows], classes, options.task)
                return labels, np.array(rows, dtype=np.int64)
            except RowError as error:
                bad = bad_rows(kept, rows, classes, options.task)
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
    if options.format == "fasttext" or BY_SUFFIX.get(bare_suffix(name)) == "fasttext":
        return (
            f"no label in the whole file: no line begins with {options.prefix}; write "
            f"{options.prefix}name before each text, or say what labels begin with: "
            "--prefix WORD (prefix=)"
        )
    return (
        f'no label in the whole file; write "{options.label}": "name" (or either, not, tags, soft, '
        "votes) in the rows that have one"
    )


def check_labels(labels: Labels, name: str, options: ReadOptions) -> None:
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

    texts = isinstance(table.inputs, Texts)
    return dataclasses.replace(
        table,
        inputs=table.inputs.take(rows) if texts else table.inputs[rows],
        labels=labels,
        weight=None if table.weight is None else table.weight[rows],
        ids=column(table.ids),
        columns={key: column(values) or [] for key, values in table.columns.items()},
        file_index=table.file_index[rows],
        lines=table.lines[rows],
        places=table.places[rows],
    )
