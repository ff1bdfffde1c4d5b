"""Texts in chunks of rows: read by the kernels in threads, merged in order.

Chunks are cut by the texts alone, never by the number of threads, and merged in the texts' order,
so the vocabulary and every row come out the same however many threads there are.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from mmap import mmap
from numbers import Integral
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.rows import expand
from eitheror._kernels.tokens_plain import character_classes
from eitheror.text.options import TextOptions
from eitheror.text.sequence import Texts

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = [
    "MAX_WORD_BYTES",
    "Chunk",
    "Filled",
    "RawChunk",
    "Table",
    "WordCounts",
    "count_buckets",
    "encoded",
    "frequent_buckets",
    "gathered",
    "in_threads",
    "inverse_frequencies",
    "kept_buckets",
    "n_characters",
    "n_threads",
    "normalised",
    "read_chunk",
    "scan_chunk",
    "split_chunks",
    "vocabulary",
]

MAX_WORD_BYTES = 1000  # longer ones (base64, a broken file) get no row of their own
_CHUNK = 1 << 20  # characters
_SOME_WORDS = 1 << 17
_LARGE_TABLE = 1 << 19
_LARGE = 1 << 22  # features
_ASKED = 16  # counters that are fetched at the same time

_T = TypeVar("_T")
_R = TypeVar("_R")

RawChunk = tuple[int, Sequence[str]]  # number of the first row, the rows' texts
Filled = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32] | None]
Encoded = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
Words = tuple[NDArray[np.uint8], NDArray[np.int32]]
Scanned = tuple[
    NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint64], NDArray[np.int64]
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
    """Return zeros whose memory goes back to the system as soon as they are freed."""
    found: NDArray[Any] = np.frombuffer(mmap(-1, max(n, 1) * np.dtype(dtype).itemsize), dtype)
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

    def add(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of the hashes, and where in `hashes` each new id came first."""
        ids = _returnable(len(hashes), np.int32)
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


def scan_chunk(raw: RawChunk, options: TextOptions, scratch: local) -> Scanned:
    """Tokenise the rows of a chunk: their bytes; each token's place, bytes and hash; row ends.

    The tokens' arrays are those of `scratch`, good until the next chunk of the thread.
    """
    first, texts = raw
    data, row_starts, row_ends = _encoded(first, texts, options)
    size = int((row_ends - row_starts).sum())
    starts, lengths, hashes = _token_arrays(size, scratch)
    token_ends = np.empty(len(texts), dtype=np.int64)
    classes = character_classes(options.split_punctuation)
    n = native("tokens").scan(
        data, row_starts, row_ends, classes, starts, lengths, hashes, token_ends
    )
    return data, starts[:n], lengths[:n], hashes[:n], token_ends


def read_chunk(raw: RawChunk, options: TextOptions, scratch: local) -> Chunk:
    """Tokenise the rows of a chunk and number its words by first occurrence."""
    tokens = native("tokens")
    data, starts, lengths, hashes, token_ends = scan_chunk(raw, options, scratch)
    ids, firsts = Table().add(hashes)
    starts, lengths = starts[firsts], lengths[firsts]
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
    return Chunk(
        ids,
        token_ends,
        hashes[firsts],
        np.bincount(ids, minlength=len(firsts)),
        data[expand(starts, lengths.astype(np.int64))],
        lengths,
        ends,
        buckets,
    )


def _encoded(first: int, texts: Sequence[str], options: TextOptions) -> Encoded:
    """UTF-8 of all the rows and where each begins and ends; in one go where it is ASCII."""
    if isinstance(texts, Texts):
        return _from_buffer(first, texts, options)
    joined = "".join(texts)
    if joined.isascii():
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        data = normalised(joined, first, options)
    else:
        # One by one: a single wide character would make all that is joined wide and slow.
        lines = [normalised(text, row, options) for row, text in enumerate(texts, start=first)]
        lengths = np.array([len(line) for line in lines], dtype=np.int64)
        data = b"".join(lines)
    ends = np.cumsum(lengths)
    return np.frombuffer(data, dtype=np.uint8), ends - lengths, ends


def _from_buffer(first: int, texts: Texts, options: TextOptions) -> Encoded:
    """Do the same without a `str` for a text that is ASCII; the others are put at the end."""
    given, starts, ends = texts.joined()
    data = given.lower() if options.lowercase else given
    if not given.isascii() and (options.lowercase or options.nfc):
        wide = np.zeros(len(given) + 1, dtype=np.int64)
        np.cumsum(np.frombuffer(given, dtype=np.uint8) > 127, out=wide[1:])
        rows = np.flatnonzero(wide[starts] < wide[ends])
        lines = [
            normalised(given[starts[row] : ends[row]].decode(), first + row, options)
            for row in rows.tolist()
        ]
        starts, ends = starts.copy(), ends.copy()
        ends[rows] = len(data) + np.cumsum([len(line) for line in lines], dtype=np.int64)
        starts[rows] = ends[rows] - [len(line) for line in lines]
        data = b"".join([data, *lines])
    return np.frombuffer(data, dtype=np.uint8), starts, ends


def _token_arrays(n: int, scratch: local) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    # Starts, lengths and hashes of at most one token a byte. Kept from chunk to chunk: fresh pages
    # cost more than the scan itself, and pages that no token reaches are never backed by memory.
    arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None
    arrays = getattr(scratch, "arrays", None)
    if arrays is None or len(arrays[0]) < n:
        arrays = (
            _returnable(n, np.int64),
            _returnable(n, np.int32),
            _returnable(n, np.uint64),
        )
        scratch.arrays = arrays
    return arrays


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
        kept = kept[np.argsort(-counts[kept], kind="stable")]
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
    long = lengths.astype(np.int64)
    starts = np.cumsum(long) - long
    parts = [  # in parts, as a place takes eight bytes for each byte of a word
        data[expand(starts[some], long[some])]
        for some in np.array_split(which, 1 + len(which) // _SOME_WORDS)
    ]
    return np.concatenate(parts), lengths[which]


def frequent_buckets(chunks: list[Chunk], options: TextOptions, n_jobs: int) -> NDArray[np.int32]:
    """Buckets hit often enough, by falling count. Each thread has its own counters."""
    if not options.has_ngrams:
        return np.empty(0, dtype=np.int32)
    groups = [chunks[start::n_jobs] for start in range(min(n_jobs, len(chunks)))]
    total, *others = in_threads(partial(_bucket_counts, options=options), groups, n_jobs)
    for counts in others:
        total += counts
    return kept_buckets(total, options)


def kept_buckets(total: NDArray[np.uint32], options: TextOptions) -> NDArray[np.int32]:
    """Buckets hit often enough, by falling count."""
    kept = np.flatnonzero(total >= options.ngram_min_count)
    return kept[np.argsort(-total[kept].astype(np.int64), kind="stable")].astype(np.int32)


def _bucket_counts(chunks: Sequence[Chunk], options: TextOptions) -> NDArray[np.uint32]:
    counts = _returnable(options.bucket, np.uint32)
    for chunk in chunks:
        count_buckets(chunk, options, counts)
    return counts


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
        np.zeros(_ASKED, np.uint64),
    )


def inverse_frequencies(
    parts: Iterable[NDArray[np.int32]], n: int, n_features: int
) -> NDArray[np.float32]:
    """1 + log((1 + n) / (1 + rows with the feature)); a part names a feature once a row."""
    rows_with = np.zeros(n_features, dtype=np.int64)
    for indices in parts:
        rows_with += np.bincount(indices, minlength=n_features)
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
    if n_jobs == 1 or len(items) == 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # not for a few lines

    with ThreadPoolExecutor(min(n_jobs, len(items))) as threads:
        return list(threads.map(work, items))


def gathered(
    fill: Callable[[_T], Filled], items: list[_T], n_jobs: int, n_rows: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Rows of all items, one after the other: where each ends, and at most `most` features.

    `items` is emptied on the way: what an item holds is free when its rows are there.
    """
    row_ends = np.empty(n_rows, dtype=np.int64)
    indices = np.empty(most, dtype=np.int32)  # pages that no row reaches are never backed by memory
    row = n = 0
    for ends, features, _ in _one_after_the_other(fill, items, n_jobs):
        np.add(ends, n, out=row_ends[row : row + len(ends)])
        indices[n : n + len(features)] = features
        row, n = row + len(ends), n + len(features)
    if most > _LARGE:
        _trim()
    return row_ends, indices[:n]


def _trim() -> None:
    """Give the memory that the tokenised chunks took back to the system, where glibc keeps it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _one_after_the_other(work: Callable[[_T], _R], items: list[_T], n_jobs: int) -> Iterator[_R]:
    """Results of `work` in order; each thread is at most two items ahead."""
    items.reverse()
    if n_jobs == 1 or len(items) == 1:
        while items:
            yield work(items.pop())
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(n_jobs, len(items))) as threads:
        waiting: deque[Future[_R]] = deque()
        while items or waiting:
            while items and len(waiting) < 2 * n_jobs:
                waiting.append(threads.submit(work, items.pop()))
            yield waiting.popleft().result()
