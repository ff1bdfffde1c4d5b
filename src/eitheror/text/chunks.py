"""Texts in chunks of rows: read by the kernels in threads, merged in order.

Chunks are cut by the texts alone, never by the number of threads, and merged in the texts' order,
so the vocabulary and every row come out the same however many threads there are.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from threading import local
from typing import Any, TypeVar
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.tokens_plain import character_classes
from eitheror.text.options import TextOptions
from eitheror.text.sequence import Texts

__all__ = [
    "MAX_WORD_BYTES",
    "Chunk",
    "Filled",
    "RawChunk",
    "Table",
    "WordCounts",
    "count_buckets",
    "encoded",
    "gathered",
    "in_threads",
    "inverse_frequencies",
    "kept_buckets",
    "learned",
    "n_characters",
    "n_threads",
    "normalised",
    "read_chunk",
    "scan_chunk",
    "split_chunks",
]

MAX_WORD_BYTES = 1000  # longer ones (base64, a broken file) get no row of their own
_CHUNK = 1 << 20  # characters
_LARGE_PAGE = 1 << 21
_SLAB = 1 << 20  # numbers
_KEPT = 1 << 23  # bytes of a chunk, tokens or places of a table: room for more is given back
_BEHIND = 8  # bytes that the scanner may read behind the text
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
_LARGE_TABLE = 1 << 19
_LARGE = 1 << 22  # features
_ASKED = 128  # words whose n-grams are asked for at the same time
_SHORT = np.uint16(0xFFFF)

_T = TypeVar("_T")
_R = TypeVar("_R")

RawChunk = tuple[int, Sequence[str]]  # number of the first row, the rows' texts
Filled = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32] | None]
Encoded = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
Words = tuple[NDArray[np.uint8], NDArray[np.int32]]
Scanned = tuple[
    NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]
]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Tokenised rows: `ids` numbers the distinct words of the chunk by first occurrence."""

    ids: NDArray[np.int32]  # one a token
    token_ends: NDArray[np.int64]  # one a row
    hashes: NDArray[np.uint64]  # one a distinct word, as all below
    counts: NDArray[np.int64]
    word_bytes: NDArray[np.uint8]
    word_lengths: NDArray[np.int32]
    subword_ends: NDArray[np.int64]
    subwords: NDArray[np.int32]  # buckets


def _returnable(n: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Return zeros whose memory goes back to the system as soon as they are freed.

    Large ones lie in large pages where the system has them: the first touch of a page costs more
    than what the kernels do with it.
    """
    size = max(n, 1) * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size, **_PRIVATE)
    if size >= _LARGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    found: NDArray[Any] = np.frombuffer(memory, dtype)
    return found[:n]


class Table:
    """64-bit hashes numbered by first occurrence; at most half full."""

    def __init__(self, expected: int = 0) -> None:
        self.n = 0
        self._resize(max(1 << 12, 1 << (2 * expected).bit_length()))

    @property
    def next_size(self) -> int:
        """Places after the next growth; a large table grows less, as the old one is still there."""
        return (4 if len(self.keys) < _LARGE_TABLE else 2) * len(self.keys)

    def add(
        self, hashes: NDArray[np.uint64], out: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of the hashes, and where in `hashes` each new id came first."""
        ids = np.empty(len(hashes), dtype=np.int32) if out is None else out
        position = 0
        firsts: list[NDArray[np.int64]] = []
        while True:
            capacity = len(self.keys) // 2
            first = np.empty(capacity, dtype=np.int64)
            start = self.n
            position, self.n = native("tokens").intern(
                hashes, position, self.keys, self.slots, start, capacity, ids, first
            )
            firsts.append(first[start : self.n])
            if position == len(hashes):
                return ids, np.concatenate(firsts)
            self._grow()

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Ids of the hashes, -1 where unknown."""
        ids = np.empty(len(hashes), dtype=np.int32)
        nowhere = np.empty(0, dtype=np.int64)
        native("tokens").intern(hashes, 0, self.keys, self.slots, self.n, 0, ids, nowhere)
        return ids

    def clear(self) -> None:
        """Forget all hashes, and keep the size."""
        self.slots.fill(-1)
        self.n = 0

    def _resize(self, size: int) -> None:
        self.keys = np.zeros(size, dtype=np.uint64)
        self.slots = np.full(size, -1, dtype=np.int32)

    def _grow(self) -> None:
        taken = self.slots >= 0
        known = np.empty(self.n, dtype=np.uint64)
        known[self.slots[taken]] = self.keys[taken]
        self._resize(self.next_size)
        self.n = 0
        self.add(known)


class _Room:
    """What one thread works in, kept from chunk to chunk: fresh pages cost more than the work."""

    def __init__(self) -> None:
        self._table = Table()
        self._ids = np.empty(0, dtype=np.int32)
        self._bytes = np.empty(0, dtype=np.uint8)
        self._tokens: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None

    @classmethod
    def of(cls, scratch: local) -> _Room:
        """Return the room of this thread."""
        room: _Room | None = getattr(scratch, "room", None)
        if room is None:
            room = scratch.room = cls()
        return room

    def table(self) -> Table:
        """Return a table that knows nothing."""
        if len(self._table.keys) > _KEPT:
            self._table = Table()
        self._table.clear()
        return self._table

    def bytes(self, n: int) -> NDArray[np.uint8]:
        """Return room for n bytes."""
        if n > _KEPT:
            return _returnable(n, np.uint8)
        if len(self._bytes) < n:
            self._bytes = _returnable(n, np.uint8)
        return self._bytes

    def tokens(self, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return room for starts, ends and hashes; pages that no token reaches are not backed."""
        if self._tokens is not None and len(self._tokens[0]) >= n:
            return self._tokens
        made = _returnable(n, np.int64), _returnable(n, np.int64), _returnable(n, np.uint64)
        if n <= _KEPT:
            self._tokens = made
        return made

    def ids(self, n: int) -> NDArray[np.int32]:
        """Return n numbers that are never handed out again; those of some chunks lie together."""
        if len(self._ids) < n:
            self._ids = _returnable(max(n, _SLAB), np.int32)
        taken, self._ids = self._ids[:n], self._ids[n:]
        return taken


def scan_chunk(raw: RawChunk, options: TextOptions, scratch: local) -> Scanned:
    """Tokenise the rows of a chunk: their bytes; each token's place, end and hash; row ends.

    The bytes and the tokens' arrays are those of `scratch`, good until the thread's next chunk.
    """
    room = _Room.of(scratch)
    first, texts = raw
    data, row_starts, row_ends, wide = _folded(first, texts, options, room)
    starts, stops, hashes = room.tokens(len(data) + 1)
    token_ends = np.empty(len(texts), dtype=np.int64)
    classes = character_classes(options.split_punctuation)
    n = native("tokens").scan(
        data, row_starts, row_ends, wide, classes, starts, stops, hashes, token_ends
    )
    return data, starts[:n], stops[:n], hashes[:n], token_ends


def read_chunk(raw: RawChunk, options: TextOptions, scratch: local) -> Chunk:
    """Tokenise the rows of a chunk and number its words by first occurrence."""
    tokens, room = native("tokens"), _Room.of(scratch)
    data, starts, stops, hashes, token_ends = scan_chunk(raw, options, scratch)
    ids, firsts = room.table().add(hashes, room.ids(len(hashes)))
    counts = np.zeros(len(firsts), dtype=np.int64)
    tokens.tally(ids, counts)
    starts = starts[firsts]
    lengths = (stops[firsts] - starts).astype(np.int32)
    ends = np.zeros(len(firsts), dtype=np.int64)
    buckets = np.empty(0, dtype=np.int32)
    shortest, longest = options.char_ngrams
    if longest:
        most = (longest - shortest + 1) * int(lengths.sum(dtype=np.int64) + 2 * len(lengths))
        buckets = np.empty(most, dtype=np.int32)
        many = tokens.subwords(
            data, starts, lengths, shortest, longest, options.bucket, ends, buckets
        )
        buckets = buckets[:many]
    words = _runs(data, starts, lengths)
    return Chunk(ids, token_ends, hashes[firsts], counts, words, lengths, ends, buckets)


def _runs(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Bytes of some words, one word after the other."""
    out = np.empty(int(lengths.sum(dtype=np.int64)), dtype=np.uint8)
    native("tokens").copy_runs(data, starts, lengths, out)
    return out


def _folded(
    first: int, texts: Sequence[str], options: TextOptions, room: _Room
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Lower-cased UTF-8 of all the rows and some bytes more; each one's bounds; which are wide."""
    data, starts, ends = _utf8(first, texts, options)
    lengths = ends - starts
    stops = np.cumsum(lengths)
    wide = np.empty(len(texts), dtype=np.uint8)
    out = room.bytes((int(stops[-1]) if len(stops) else 0) + _BEHIND)
    n = native("tokens").fold(data, starts, ends, options.lowercase, out, wide)
    begins = stops - lengths
    if isinstance(texts, Texts) and (options.lowercase or options.nfc) and wide.any():
        # What only Unicode's rules can tell is put behind the others.
        rows = np.flatnonzero(wide)
        lines = [normalised(texts[row], first + row, options) for row in rows.tolist()]
        sizes = np.array([len(line) for line in lines], dtype=np.int64)
        stops[rows] = n + np.cumsum(sizes)
        begins[rows] = stops[rows] - sizes
        more = np.frombuffer(b"".join([*lines, bytes(_BEHIND)]), dtype=np.uint8)
        out = np.concatenate([out[:n], more])
    return out, begins, stops, wide


def _utf8(first: int, texts: Sequence[str], options: TextOptions) -> Encoded:
    """UTF-8 of all the rows and where each begins and ends; rows of str that are wide are ready."""
    if isinstance(texts, Texts):
        if len(texts) and (texts.which == texts.which[0]).all():
            data = texts.buffers[texts.which[0]]
            bounds = np.ascontiguousarray(texts.starts), np.ascontiguousarray(texts.ends)
            return np.frombuffer(data, dtype=np.uint8), *bounds
        data, starts, ends = texts.joined()
        return np.frombuffer(data, dtype=np.uint8), starts, ends
    joined = "".join(texts)
    if joined.isascii():
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        data = joined.encode()
    else:
        # One by one: a single wide character would make all that is joined wide and slow.
        lines = [normalised(text, row, options) for row, text in enumerate(texts, start=first)]
        lengths = np.array([len(line) for line in lines], dtype=np.int64)
        data = b"".join(lines)
    ends = np.cumsum(lengths)
    return np.frombuffer(data, dtype=np.uint8), ends - lengths, ends


def normalised(text: str, row: int, options: TextOptions) -> bytes:
    """UTF-8 of a text, lower-cased and in NFC where asked; ValueError for half a surrogate pair."""
    if options.lowercase:
        text = text.lower()
    if options.nfc and not text.isascii():
        text = normalize("NFC", text)
    return encoded(text, row)


def encoded(text: str, row: int) -> bytes:
    """UTF-8 of a text; ValueError for half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        raise ValueError(
            f"row {row}: the text holds {character!r}, half of a surrogate pair, which is no "
            "character; Unicode text was expected: read the file with errors='replace', or pass "
            "text.encode('utf-8', 'replace').decode()"
        ) from None


class WordCounts:
    """The distinct words of chunks that come one after the other, and how often each came."""

    def __init__(self) -> None:
        self.table = Table()
        self.counts = np.zeros(0, dtype=np.int64)
        self._new: list[Words] = []  # the words that each chunk brought

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        words = sum(word_bytes.nbytes + lengths.nbytes for word_bytes, lengths in self._new)
        return self.table.keys.nbytes + self.table.slots.nbytes + self.counts.nbytes + words

    def add(self, chunk: Chunk) -> NDArray[np.int32]:
        """Count the words of a chunk and return their numbers, by first occurrence in all."""
        ids, firsts = self.table.add(chunk.hashes)
        if self.table.n > len(self.counts):
            more = np.zeros(2 * self.table.n - len(self.counts), dtype=np.int64)
            self.counts = np.concatenate([self.counts, more])
        self.counts[ids] += chunk.counts  # a chunk's words are distinct
        self._new.append(_select(chunk.word_bytes, chunk.word_lengths, firsts))
        return ids

    def vocabulary(self, options: TextOptions) -> tuple[Words, NDArray[np.int32]]:
        """Words by falling count, ties by first occurrence; and the feature of each number."""
        counts = self.counts[: self.table.n]
        data = np.concatenate([word_bytes for word_bytes, _ in self._new])
        lengths = np.concatenate([word_lengths for _, word_lengths in self._new])
        kept = np.flatnonzero((counts >= options.min_count) & (lengths <= MAX_WORD_BYTES))
        kept = kept[_falling(counts[kept])]
        rows = np.full(self.table.n, -1, dtype=np.int32)
        rows[kept] = np.arange(len(kept)) + int(options.weighting == "mean")
        return _select(data, lengths, kept), rows


def vocabulary(chunks: list[Chunk], options: TextOptions) -> tuple[Words, list[NDArray[np.int32]]]:
    """Words by falling count, ties by first occurrence; and the feature of each chunk's words."""
    counted = WordCounts()
    numbers = [counted.add(chunk) for chunk in chunks]
    words, rows = counted.vocabulary(options)
    return words, [rows[ids] for ids in numbers]


def _select(data: NDArray[np.uint8], lengths: NDArray[np.int32], which: NDArray[Any]) -> Words:
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    return _runs(data, starts[which], lengths[which]), lengths[which]


def learned(
    chunks: list[Chunk], options: TextOptions, n_jobs: int
) -> tuple[Words, list[NDArray[np.int32]], NDArray[np.int32]]:
    """Return what `vocabulary` and `kept_buckets` say; words and n-grams are counted together."""
    if not options.has_ngrams:
        return *vocabulary(chunks, options), np.empty(0, dtype=np.int32)
    found: list[tuple[Words, list[NDArray[np.int32]]]] = []
    counters: list[NDArray[np.uint32]] = []
    scratch = local()

    def work(chunk: Chunk | None) -> None:
        if chunk is None:
            found.append(vocabulary(chunks, options))
            return
        if not hasattr(scratch, "counts"):
            scratch.counts = _returnable(options.bucket, np.uint32)
            counters.append(scratch.counts)
        count_buckets(chunk, options, scratch.counts)

    in_threads(work, [None, *chunks], n_jobs)
    total, *others = counters
    for counts in others:
        total += counts
    return *found[0], kept_buckets(total, options)


def kept_buckets(total: NDArray[np.uint32], options: TextOptions) -> NDArray[np.int32]:
    """Buckets hit often enough, by falling count."""
    kept = np.flatnonzero(total >= options.ngram_min_count).astype(np.int32)
    return kept[_falling(total[kept])]


def _falling(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return the order of falling counts, ties as they stand.

    NumPy sorts short integers by their digits, ten times as fast: the few large counts come after.
    """
    short = np.minimum(counts, _SHORT).astype(np.uint16)
    order = np.argsort(_SHORT - short, kind="stable")
    n_large = int(np.count_nonzero(short == _SHORT))
    large = order[:n_large]
    order[:n_large] = large[np.argsort(-counts[large].astype(np.int64), kind="stable")]
    return order


def count_buckets(chunk: Chunk, options: TextOptions, counts: NDArray[np.uint32]) -> None:
    """Add to `counts` how often each bucket is hit by the n-grams of the chunk."""
    native("tokens").count(
        chunk.ids,
        chunk.token_ends,
        chunk.hashes,
        chunk.counts,
        chunk.subword_ends,
        chunk.subwords,
        options.word_ngrams,
        counts,
        np.empty(_ASKED * options.word_ngrams, dtype=np.int32),
    )


def inverse_frequencies(
    parts: Iterable[NDArray[np.int32]], n: int, n_features: int
) -> NDArray[np.float32]:
    """1 + log((1 + n) / (1 + rows with the feature)); a part names a feature once a row."""
    rows_with = np.zeros(n_features, dtype=np.int64)
    for indices in parts:
        native("tokens").tally(indices, rows_with)
    return (1 + np.log((1 + n) / (1 + rows_with))).astype(np.float32)


def split_chunks(texts: Sequence[str], first_row: int = 0) -> list[RawChunk]:
    """Cut the texts into chunks of about a million characters; TypeError if one is no str."""
    if isinstance(texts, str):
        raise TypeError("one str came; a list of texts was expected: write [text]")
    if isinstance(texts, Texts):
        return _split_buffers(texts, first_row)
    rows = texts if isinstance(texts, list) else list(texts)
    for row, text in () if set(map(type, rows)) <= {str} else enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(
                f"row {first_row + row}: {text!r:.80} is a {type(text).__name__}; a text (str) "
                "was expected"
            )
    sizes = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    bounds, done = [0], 0
    while bounds[-1] < len(rows):  # a chunk ends with the row that makes it large enough
        bounds.append(min(int(np.searchsorted(sizes, done + _CHUNK)) + 1, len(rows)))
        done = int(sizes[bounds[-1] - 1])
    if len(bounds) <= 2:
        return [(first_row, rows)]
    return [(first_row + a, rows[a:b]) for a, b in pairwise(bounds)]


def _split_buffers(texts: Texts, first_row: int) -> list[RawChunk]:
    """Cut where a buffer ends, if that gives chunks of a fair size."""
    ends = np.cumsum(texts.ends - texts.starts)
    stops = np.append(np.flatnonzero(np.diff(texts.which)) + 1, len(texts)).tolist()
    bounds = [0]
    for stop in stops:
        while _size(ends, bounds[-1], stop) > 2 * _CHUNK:
            enough = ends[bounds[-1]] + _CHUNK
            bounds.append(int(np.searchsorted(ends, enough)) + 1)
        if _size(ends, bounds[-1], stop) > _CHUNK // 2:
            bounds.append(stop)
    bounds = sorted({*bounds, len(texts)})
    if len(bounds) < 2:
        return [(first_row, texts)]
    return [(first_row + a, texts[a:b]) for a, b in pairwise(bounds)]


def _size(ends: NDArray[np.int64], first: int, last: int) -> int:
    """Bytes of the rows from `first` to before `last`, the very first of them left out."""
    return int(ends[last - 1] - ends[first]) if first < last else 0


def n_characters(texts: Sequence[str]) -> int:
    """Characters of texts; of `Texts`, bytes."""
    return texts.n_bytes if isinstance(texts, Texts) else sum(map(len, texts))


def n_threads(n_jobs: int) -> int:
    """Threads that `n_jobs` asks for; -1 is all cores, -2 all but one, as in scikit-learn.

    Cores are those that this process may run on, where the system tells.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs={n_jobs!r}: expected a number of threads, or -1 for all cores")
    if n_jobs > 0:
        return int(n_jobs)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, cores + 1 + int(n_jobs))


def in_threads(work: Callable[[_T], _R], items: Sequence[_T], n_jobs: int) -> list[_R]:
    """Results of `work` on each item, in order, from at most `n_jobs` threads."""
    if n_jobs == 1 or len(items) <= 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # not for a few lines

    with ThreadPoolExecutor(min(n_jobs, len(items))) as threads:
        return list(threads.map(work, items))


def gathered(
    fill: Callable[[_T, NDArray[np.int32] | None], Filled],
    items: list[_T],
    n_jobs: int,
    n_rows: int,
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Rows of all items, one after the other: where each ends, and at most `most` features.

    `fill` may be given where to write. `items` is emptied on the way: what an item holds is free
    when its rows are there.
    """
    row_ends = np.empty(n_rows, dtype=np.int64)
    indices = np.empty(most, dtype=np.int32)  # pages that no row reaches are never backed by memory
    from concurrent.futures import Future

    behind: list[Future[tuple[int, int]]] = [Future() for _ in range(len(items) + 1)]
    behind[0].set_result((0, 0))
    waiting = dict(enumerate(items))
    items.clear()

    def work(number: int) -> None:
        before, after = behind[number], behind[number + 1]
        try:
            # In place, unless it is not known yet where the rows before will end.
            room = indices[before.result()[1] :] if before.done() else None
            ends, features, _ = fill(waiting.pop(number), room)
            row, n = before.result()
        except BaseException as error:
            after.set_exception(error)
            raise
        after.set_result((row + len(ends), n + len(features)))
        np.add(ends, n, out=row_ends[row : row + len(ends)])
        if room is None:
            indices[n : n + len(features)] = features

    in_threads(work, range(len(waiting)), n_jobs)
    if most > _LARGE:
        _trim()
    return row_ends, indices[: behind[-1].result()[1]]


def _trim() -> None:
    """Give the memory that the tokenised chunks took back to the system, where glibc keeps it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
