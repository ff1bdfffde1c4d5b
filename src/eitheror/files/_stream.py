"""Texts with their labels in blocks, for files that do not fit into memory.

In: paths and `ReadOptions`. Out: `TextBlock`s of a bounded number of rows and characters, the same
whatever machine reads them. What is settled for the files as a whole (the class list, the bad rows)
stands in the `BlockReader`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.files._options import ReadOptions
from eitheror.files._rows import Reading, Row
from eitheror.files._streams import Source
from eitheror.files._table import _check_labels, _iterate
from eitheror.labels import ClassName, DataError, Labels
from eitheror.labels._build import RowArrays, Store
from eitheror.labels._text import bare

__all__ = ["BlockReader", "TextBlock"]

_ROWS: Final = 4096
_CHARACTERS: Final = 1 << 19
_SHOWN: Final = 20
_COMBINING: Final = ("long", "prodigy", "label-studio", "argilla")


@dataclass
class TextBlock:
    """Rows that follow each other.

    Attributes
    ----------
    texts : sequence of str
    labels : Store
        The statements; classes are numbered by first use in all blocks so far, and not yet checked
        against a task.
    weight : float64 array of shape (n,)
        Sample weights.
    files : list of str
        The files that rows came from.
    file_index, lines : int array of shape (n,)
        Where each row begins.
    """

    texts: Sequence[str]
    labels: Store
    weight: NDArray[np.float64]
    files: list[str]
    file_index: NDArray[np.int32]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


class BlockReader:
    r"""Reads texts with their labels block by block.

    Parameters
    ----------
    paths : sequence of path
        Files by name: JSONL, CSV, TSV, Parquet or fastText, plain or compressed.
    options : ReadOptions

    Attributes
    ----------
    skipped : list of DataError
        The first rows left out by `skip_bad`.
    n_skipped : int
        How many.

    Raises
    ------
    ValueError
        For standard input, an open stream, or a format whose rows are combined in memory.
    FileNotFoundError
        If a file is not there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "tickets.csv"
    ...     _ = path.write_text("text,label\nit fails,bug\ntoo dear,billing\n")
    ...     for block in BlockReader([path], ReadOptions()):
    ...         print(block.texts, block.labels.classes, block.labels.indices)
    ['it fails', 'too dear'] ['bug', 'billing'] [0 1]
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], options: ReadOptions) -> None:
        self.options = options
        self.paths = [_named(path) for path in paths]
        if not self.paths:
            raise ValueError("no file to read")
        if options.format in _COMBINING:
            raise ValueError(
                f"format={options.format!r} combines rows in memory; convert the files first "
                "(eitheror convert), and train on the result"
            )
        for path in self.paths:
            with Source(path):
                pass  # a missing file is refused before the work
        self.size = sum(os.path.getsize(path) for path in self.paths)
        self.skipped: list[DataError] = []
        self.n_skipped = 0
        self._reading = Reading(options)
        self._streams: list[IO[bytes]] = []

    @property
    def position(self) -> int:
        """Bytes of the files taken so far, of `size`."""
        return sum(stream.tell() for stream in self._streams if not stream.closed)

    def __iter__(self) -> Iterator[TextBlock]:
        with ExitStack() as stack:
            self._streams = [stack.enter_context(path.open("rb")) for path in self.paths]
            gathered = _Gathered("", {})
            for row in _iterate(self._streams, self._reading):  # type: ignore[arg-type]
                if row.error is not None:
                    self.skip(row.error)
                elif row.input is not None:  # else a blank line
                    if gathered.full(row.file):
                        yield gathered.block()
                        gathered = _Gathered(row.file, gathered.index)
                    gathered.add(row)
            if gathered.texts:
                yield gathered.block()

    def skip(self, error: DataError) -> None:
        """Note a row that is left out, or raise where `skip_bad` is not set."""
        if not self.options.skip_bad:
            raise error
        self.n_skipped += 1
        if len(self.skipped) < _SHOWN:
            self.skipped.append(error)

    def classes(self) -> list[str | int] | None:
        """Return the class list that was given, with the names found besides; None if none was."""
        given = self.options.classes
        if given is None or not self.options.new_classes:
            return None if given is None else list(given)
        return [*given, *sorted(self._reading.names.new, key=str)]

    def check(self, classes: Sequence[Any], task: str, *, said: bool) -> None:
        """Refuse files without any label, or with one class, as `read` does.

        Parameters
        ----------
        classes, task
            What was settled.
        said : bool
            Whether any row says something.
        """
        if self.options.need_labels:
            one = classes[0] if said and classes else None
            _check_labels(Labels([one], list(classes), task), str(self.paths[0]), self.options)


class _Gathered:
    """The rows of one block, one by one."""

    def __init__(self, file: str, index: dict[ClassName, int]) -> None:
        self.file = file
        self.index = index
        self.texts: list[str] = []
        self.labels = RowArrays(index)
        self.weight = array("d")
        self.lines = array("q")
        self.size = 0

    def full(self, file: str) -> bool:
        """Tell whether a row of this file belongs into another block."""
        if not self.texts:
            self.file = file
        return self.file != file or len(self.texts) == _ROWS or self.size >= _CHARACTERS

    def add(self, row: Row) -> None:
        """Take one row."""
        if not isinstance(row.input, str):
            raise DataError(row.where, "numbers came; only texts are read in blocks")
        label = row.label
        if type(label) is str and label in self.index:
            self.labels.append_exact(self.index[label])
        else:
            self.labels.append(bare(label))
        self.texts.append(row.input)
        self.size += len(row.input)
        self.weight.append(1.0 if row.weight is None else row.weight)
        self.lines.append(row.line)

    def block(self) -> TextBlock:
        """Return the rows."""
        return TextBlock(
            self.texts,
            self.labels.store(list(self.index), ""),
            np.array(self.weight, dtype=np.float64),
            [self.file],
            np.zeros(len(self.texts), dtype=np.int32),
            np.array(self.lines, dtype=np.int64),
        )


def _named(path: Any) -> Path:
    if path == "-" or not isinstance(path, str | os.PathLike):
        raise ValueError(
            "files are read in blocks by name, and standard input or an open stream came; write it "
            "to a file first"
        )
    return Path(path)
