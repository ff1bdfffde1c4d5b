"""Texts with their labels in blocks, for files that do not fit into memory.

In: paths and `ReadOptions`. Out: `TextBlock`s of a bounded number of rows and characters, the same
whatever machine reads them. What is settled for the files as a whole (the class list, the bad rows)
stands in the `BlockReader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.files._collect import Block, check_labels
from eitheror.files._options import ReadOptions
from eitheror.files._streams import Source
from eitheror.files._table import iter_blocks
from eitheror.labels import ClassName, DataError, Labels
from eitheror.labels._build import Store
from eitheror.text.sequence import Texts

__all__ = ["BlockReader", "TextBlock"]

_ROWS: Final = 4096
_BYTES: Final = 1 << 20
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
        self._names: list[ClassName] = []
        self._streams: list[IO[bytes]] = []

    @property
    def position(self) -> int:
        """Bytes of the files taken so far, of `size`."""
        return sum(stream.tell() for stream in self._streams if not stream.closed)

    def __iter__(self) -> Iterator[TextBlock]:
        given = {field.name: getattr(self.options, field.name) for field in fields(self.options)}
        if self.options.classes_file is not None:
            del given["classes"]  # the file says the same
        with ExitStack() as stack:
            self._streams = [stack.enter_context(path.open("rb")) for path in self.paths]
            for block in iter_blocks(self._streams, rows=_ROWS, **given):  # type: ignore[arg-type]
                for error in block.skipped:
                    self.skip(error)
                self._names = block.labels.classes
                yield from _parts(block)

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
        return [*given, *sorted(set(self._names) - set(given), key=str)]

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
            check_labels(Labels([one], list(classes), task), str(self.paths[0]), self.options)


def _parts(block: Block) -> Iterator[TextBlock]:
    """Cut a block of long texts by their bytes."""
    if not len(block):
        return
    texts = block.inputs
    if not isinstance(texts, Texts):
        raise DataError(block.where(0), "numbers came; only texts are read in blocks")
    weight = np.ones(len(block)) if block.weight is None else block.weight
    ends = np.cumsum(texts.ends - texts.starts)
    which = (ends - 1) // _BYTES
    bounds = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), len(block)]
    for start, stop in pairwise(bounds):
        rows = slice(start, stop)
        yield TextBlock(
            texts[rows],
            block.labels.take(np.arange(start, stop)),
            weight[rows],
            block.files,
            block.file_index[rows],
            block.lines[rows],
        )


def _named(path: Any) -> Path:
    if path == "-" or not isinstance(path, str | os.PathLike):
        raise ValueError(
            "files are read in blocks by name, and standard input or an open stream came; write it "
            "to a file first"
        )
    return Path(path)
