"""Two passes over texts that do not fit into memory: files in, a `Cache` of rows out.

First pass: blocks of rows are read and tokenised, their words counted, and tokens and statements
put aside on disk. Then the features, the class list and the task are settled. Second pass: what was
put aside becomes rows of final feature numbers and targets, in pieces of a fixed number of rows.
Neither memory nor threads change a byte of the result.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import local
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from eitheror.files._stream import BlockReader, TextBlock
from eitheror.labels import KINDS, UNKNOWN, DataError, Label, Labels, RowError, SparseTargets
from eitheror.labels._build import settle
from eitheror.text import Featurizer, TextOptions
from eitheror.text.cache import Counting, filled, with_idf
from eitheror.text.chunks import Chunk, Filled, read_chunk
from eitheror.training.checks import idle_rows
from eitheror.training.priors import prior_sums
from eitheror.training.stream_budget import Budget
from eitheror.training.stream_pace import Pace, Progress
from eitheror.training.stream_pieces import cuts, pack
from eitheror.training.stream_statements import Statements
from eitheror.training.stream_store import Entry, RecordReader, RecordWriter
from eitheror.training.weights import class_mass

__all__ = ["Built", "build", "in_order"]

_BLOCK_BYTES = 32 << 20  # what a block takes while it is tokenised or filled, at the worst
_VOCABULARY = "fewer distinct words (shorter texts, --word-ngrams 1, no --maxn)"
_T = TypeVar("_T")
_R = TypeVar("_R")


class Built(NamedTuple):
    """What `finish` writes beside the pieces."""

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    featurizer: Featurizer


class _Aside(NamedTuple):
    """A block that was put aside."""

    entry: Entry
    files: list[str]

    def where(self, arrays: dict[str, NDArray[Any]], row: int) -> str:
        """Return the place of a row."""
        return f"{self.files[arrays['files'][row]]}:{arrays['lines'][row]}"


def build(
    folder: Path,
    reader: BlockReader,
    options: TextOptions,
    budget: Budget,
    *,
    n_jobs: int,
    progress: Progress | None,
    check: Callable[[Featurizer, list[Any], str], object],
) -> Built:
    """Fill a folder with the pieces of the rows.

    Parameters
    ----------
    folder : Path
        Empty.
    reader : BlockReader
    options : TextOptions
    budget : Budget
    n_jobs : int
        Threads.
    progress : callable, optional
    check : callable
        Called with the featurizer, the classes and the task when they are known; raises if no
        model of that size can be trained.
    """
    work = _Build(folder, reader, options, budget, n_jobs, progress)
    featurizer, features = work.first_pass()
    budget.release()
    classes, task = work.settled()
    check(featurizer, classes, task)
    return work.second_pass(featurizer, features, classes, task)


class _Build:
    def __init__(
        self,
        folder: Path,
        reader: BlockReader,
        options: TextOptions,
        budget: Budget,
        n_jobs: int,
        progress: Progress | None,
    ) -> None:
        self.folder = folder
        self.reader = reader
        self.options = options
        self.budget = budget
        self.n_jobs = n_jobs
        self.progress = progress
        self.statements = Statements()
        self.aside: list[_Aside] = []
        self.n_rows = 0

    # -- first pass ----------------------------------------------------------------------------

    def first_pass(self) -> tuple[Featurizer, NDArray[np.int32]]:
        """Read, tokenise, count, put aside; returns the featurizer without idf, and features."""
        counting = Counting(self.options)
        scratch = local()

        def tokenised(block: TextBlock) -> tuple[TextBlock, Chunk]:
            return block, read_chunk((0, block.texts), self.options, scratch)

        read_chunk((0, [""]), self.options, scratch)  # the kernels take memory once they are loaded
        ahead = self.budget.ahead(_BLOCK_BYTES, self.n_jobs)
        pace = Pace(self.progress, "reading")
        with RecordWriter(self.folder, "tokens") as writer:
            for block, chunk in in_order(tokenised, self.reader, ahead):
                more = counting.growth(len(chunk.hashes))
                self.budget.need(more, "counting the words needs", _VOCABULARY)
                arrays = _tokens(chunk, self.options) | {"numbers": counting.add(chunk)}
                arrays |= self.statements.add(block.labels)
                arrays["weight"] = _weight(block)
                arrays |= {"files": block.file_index, "lines": block.lines}
                self.aside.append(_Aside(writer.add(arrays), block.files))
                self.n_rows += len(block)
                pace.at(self.n_rows, self.reader.position / max(self.reader.size, 1))
        pace.end(self.n_rows)
        self.budget.need(32 * counting.words.table.n, "the vocabulary needs", _VOCABULARY)
        return counting.featurizer()

    def settled(self) -> tuple[list[Any], str]:
        """Return the class list and the task, as `eitheror.files.read` settles them."""
        given = self.reader.classes()
        classes, task = self.statements.settled(given, self.reader.options.task)
        self.reader.check(classes, task, said=self.statements.said)
        return classes, task

    # -- second pass ---------------------------------------------------------------------------

    def second_pass(
        self, featurizer: Featurizer, features: NDArray[np.int32], classes: list[Any], task: str
    ) -> Built:
        """Turn what was put aside into pieces."""
        pieces = _Pieces()
        with (
            RecordReader(self.folder, "tokens") as tokens,
            RecordWriter(self.folder, "rows") as writer,
        ):
            filling = partial(self._filled, tokens, featurizer, features, classes, task)
            rows = self._written(filling, tokens, writer, pieces)
            if self.options.weighting == "tfidf":
                featurizer = with_idf(featurizer, rows, self.n_rows)
            else:
                deque(rows, maxlen=0)
        facts = {
            "task": task,
            "classes": classes,
            "n_rows": self.n_rows,
            "n_features": featurizer.n_features,
            "kinds": {KINDS[k]: n for k, n in sorted(pieces.kinds.items())},
            "n_skipped": self.reader.n_skipped,
            "skipped": [[error.where, error.problem] for error in self.reader.skipped],
            "joint": pieces.joint,
            "idle": pieces.idle,
        }
        return Built(facts, pieces.index(), featurizer)

    def _filled(
        self,
        tokens: RecordReader,
        featurizer: Featurizer,
        features: NDArray[np.int32],
        classes: list[Any],
        task: str,
        aside: _Aside,
    ) -> _Block:
        arrays = tokens.read(aside.entry)
        rows = filled(featurizer, _chunk(arrays), features[arrays["numbers"]])
        store = self.statements.store(arrays)
        bad: list[DataError] = []
        while True:
            try:
                labels = Labels._of(settle(store, classes, task))
                break
            except RowError as error:
                bad.append(DataError(aside.where(arrays, error.row), error.problem))
                if not self.reader.options.skip_bad:
                    raise bad[0] from None
                # The row keeps its place and says nothing.
                store = store.replace(np.array([error.row]), [Label()])
        return _Block(aside, rows, labels, arrays, bad)

    def _written(
        self,
        filling: Callable[[_Aside], _Block],
        tokens: RecordReader,
        writer: RecordWriter,
        pieces: _Pieces,
    ) -> Iterator[NDArray[np.int32]]:
        """Write the pieces block by block; yields each block's features."""
        ahead = self.budget.ahead(_BLOCK_BYTES, self.n_jobs)
        pace = Pace(self.progress, "rows", self.n_rows)
        file = 0
        for block in in_order(filling, self.aside, ahead):
            for error in block.bad:
                self.reader.skip(error)
            if block.aside.entry[0] > file:
                tokens.remove(file)
                file = block.aside.entry[0]
            targets = block.labels.sparse().full_sets_unknown()
            pieces.count(block, targets)
            for part in cuts(block.rows[0]):
                where = writer.add(pack(block.rows, targets, block.weight, part))
                pieces.add(where, targets, block.weight, part)
            pace.at(pieces.n_rows)
            yield block.rows[1]
        tokens.remove(file)
        pace.end(pieces.n_rows)


class _Block(NamedTuple):
    """A block whose rows and labels are final."""

    aside: _Aside
    rows: Filled
    labels: Labels
    arrays: dict[str, NDArray[Any]]
    bad: list[DataError]

    @property
    def weight(self) -> NDArray[np.float32]:
        """The weight of each row."""
        return self.arrays["weight"]


class _Pieces:
    """What is known of the pieces together."""

    def __init__(self) -> None:
        self.kinds: Counter[int] = Counter()
        self.idle = 0
        self.n_rows = 0
        self.joint: str | None = None  # the first row that joins several tags
        self._entries: list[Entry] = []
        self._counts: list[tuple[int, int, float]] = []  # rows, speaking rows, their weight
        self._sums: dict[str, Any] = {}

    def count(self, block: _Block, targets: SparseTargets) -> None:
        """Take in what does not depend on how a block is cut."""
        self.kinds.update(block.labels.kinds.tolist())
        self.idle += idle_rows(targets)
        if self.joint is None and len(targets.group_indices):
            row = int(np.flatnonzero(np.diff(targets.group_indptr))[0])
            self.joint = block.aside.where(block.arrays, row)
        true, known = prior_sums(targets, block.weight)
        mass = class_mass(targets, block.weight.astype(np.float64))
        for name, total in (("true", true), ("known", known), ("mass", mass)):
            self._sums[name] = self._sums.get(name, 0.0) + total

    def add(
        self, entry: Entry, targets: SparseTargets, weight: NDArray[np.float32], part: slice
    ) -> None:
        """Take in one piece."""
        said = (targets.mode[part] != UNKNOWN) & (weight[part] > 0)
        total = float(weight[part][said].sum(dtype=np.float64))
        self._entries.append(entry)
        self._counts.append((len(said), int(said.sum()), total))
        self.n_rows += len(said)

    def index(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the cache's index."""
        rows, speaking, weight = zip(*self._counts, strict=True)
        return {
            "entries": np.array(self._entries, dtype=np.int64),
            "rows": np.array(rows, dtype=np.int64),
            "speaking": np.array(speaking, dtype=np.int64),
            "weight": np.array(weight, dtype=np.float64),
            **{f"sum.{name}": total for name, total in self._sums.items()},
        }


def in_order(work: Callable[[_T], _R], items: Iterable[_T], ahead: int) -> Iterator[_R]:
    """Yield `work` of each item in order, from as many threads as items may be in work.

    Examples
    --------
    >>> list(in_order(abs, [-1, 2, -3], 2))
    [1, 2, 3]
    """
    if ahead == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        try:
            for item in items:
                if len(waiting) == ahead:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _weight(block: TextBlock) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows is infinite
        weight = block.weight.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(weight))
    if len(bad):
        where = f"{block.files[block.file_index[bad[0]]]}:{block.lines[bad[0]]}"
        raise DataError(where, f"sample weight {block.weight[bad[0]]:g}; write a smaller one")
    return weight


def _tokens(chunk: Chunk, options: TextOptions) -> dict[str, NDArray[Any]]:
    """Return what of a chunk the second pass needs."""
    return {
        "ids": chunk.ids,
        "token_ends": chunk.token_ends,
        "hashes": chunk.hashes if options.word_ngrams > 1 else chunk.hashes[:0],
        "counts": chunk.counts,
        "subword_ends": chunk.subword_ends,
        "subwords": chunk.subwords,
    }


def _chunk(arrays: dict[str, NDArray[Any]]) -> Chunk:
    return Chunk(
        arrays["ids"],
        arrays["token_ends"],
        arrays["hashes"],
        arrays["counts"],
        np.empty(0, dtype=np.uint8),
        np.empty(0, dtype=np.int32),
        arrays["subword_ends"],
        arrays["subwords"],
    )
