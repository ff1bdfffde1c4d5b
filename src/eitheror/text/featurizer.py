"""The fitted vocabulary of a model: texts to `Rows`, compiled, or in plain Python when small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows
from eitheror._kernels.tokens_plain import (
    hash_word,
    hash_words,
    ngram_buckets,
    subword_buckets,
    tokenise,
)
from eitheror._kernels.tokens_plain import weigh as weigh_plain
from eitheror.text.chunks import (
    MAX_WORD_BYTES,
    Chunk,
    Filled,
    RawChunk,
    Table,
    gathered,
    in_threads,
    inverse_frequencies,
    learned,
    n_characters,
    n_threads,
    normalised,
    read_chunk,
    scan_chunk,
    split_chunks,
)
from eitheror.text.options import TextOptions
from eitheror.text.packed import packed_vocabulary, unpacked_vocabulary

__all__ = ["Featurizer", "checked_array"]

_SMALL = 20_000  # characters below which starting Numba costs more than plain Python


@dataclass(frozen=True, eq=False)
class Featurizer:
    """A fitted vocabulary: turns texts into `Rows`.

    Made by `Featurizer.fit` or, from a stored model, by `Featurizer.from_parts`. Feature numbers:
    the bias (weighting "mean" only), then the words, then the n-gram buckets, each by falling
    count.

    Parameters
    ----------
    options : TextOptions
    word_bytes : uint8 array
        The words in UTF-8, one after the other.
    word_lengths : int32 array of shape (n_words,)
        Bytes of each word.
    buckets : int32 array of shape (n_ngrams,)
        The hash buckets that have rows.
    idf : float32 array of shape (n_features,), or None
        Weights of weighting "tfidf".
    packed : bool
        Whether `tensors` writes few bytes; the buckets must rise then (`eitheror.text.packed`).

    Examples
    --------
    >>> featurizer, rows = Featurizer.fit(["One word, two words"], TextOptions())
    >>> featurizer.words()
    ['one', 'word', ',', 'two', 'words']
    >>> rows.indices.tolist()
    [0, 1, 2, 3, 4, 5]
    >>> featurizer.transform(["two new words"]).indices.tolist()
    [0, 4, 5]
    """

    options: TextOptions
    word_bytes: NDArray[np.uint8]
    word_lengths: NDArray[np.int32]
    buckets: NDArray[np.int32]
    idf: NDArray[np.float32] | None
    packed: bool = False

    def __getstate__(self) -> dict[str, Any]:
        # Tables that are made on first use are not copied or pickled.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return self._bias + len(self.word_lengths) + len(self.buckets)

    @property
    def first_word(self) -> int:
        """Feature of the first word: 1 behind a bias, else 0."""
        return self._bias

    def words(self) -> list[str]:
        """Return the vocabulary, by falling count; word i is feature i, or i + 1 after a bias."""
        ends = np.cumsum(self.word_lengths, dtype=np.int64).tolist()
        data = self.word_bytes.tobytes()
        return [data[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=False)]

    @classmethod
    def fit(
        cls, texts: Sequence[str], options: TextOptions, n_jobs: int = 1
    ) -> tuple[Featurizer, Rows]:
        """Learn the vocabulary of the texts and return it with the texts' rows.

        Parameters
        ----------
        texts : sequence of str
        options : TextOptions
        n_jobs : int
            Threads; -1 is all cores. The result does not depend on it.

        Returns
        -------
        featurizer : Featurizer
        rows : Rows
            What `featurizer.transform(texts)` gives.

        Raises
        ------
        TypeError
            If an item is not a str.
        ValueError
            If a text holds half a surrogate pair, which is no character.
        """
        n_jobs = n_threads(n_jobs)
        chunks = in_threads(
            partial(read_chunk, options=options, scratch=local()), split_chunks(texts), n_jobs
        )
        words, word_rows, buckets = learned(chunks, options, n_jobs)
        featurizer = cls(options, *words, buckets, None)
        _ = featurizer._bucket_rows  # made once, before several threads ask for it
        items = list(zip(chunks, word_rows, strict=True))
        if options.weighting == "mean":
            most = sum(map(featurizer._most, chunks))
            del chunks, word_rows  # a chunk goes when its rows are there
            filled = gathered(featurizer._fill, items, n_jobs, len(texts), most)
            rows = featurizer._rows((*filled, None), weigh_plain)
            return cls(options, *words, buckets, None), rows  # without the table of buckets
        parts = in_threads(featurizer._fill, items, n_jobs)
        if options.weighting == "tfidf":
            idf = inverse_frequencies(
                [indices for _, indices, _ in parts], len(texts), featurizer.n_features
            )
            featurizer = cls(options, *words, buckets, idf)
        return featurizer, Rows.concatenate(in_threads(featurizer._weigh, parts, n_jobs))

    def transform(self, texts: Sequence[str], n_jobs: int = 1, *, first_row: int = 0) -> Rows:
        """Rows of texts; words and n-grams that were not seen in `fit` are left out.

        Parameters
        ----------
        texts : sequence of str
        n_jobs : int
            Threads; -1 is all cores. The result does not depend on it.
        first_row : int
            What error messages call the first text.

        Returns
        -------
        Rows

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        chunks = split_chunks(texts, first_row)
        if len(chunks) == 1 and n_characters(chunks[0][1]) < _SMALL:
            return self._rows(self._transform_plain(*chunks[0]), weigh_plain)
        return self._transform_compiled(chunks, n_jobs)

    def config(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON."""
        config = {**asdict(self.options), "char_ngrams": list(self.options.char_ngrams)}
        return {**config, "packed": True} if self.packed else config

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name."""
        arrays: dict[str, NDArray[Any]] = {
            "words.bytes": self.word_bytes,
            "words.lengths": self.word_lengths,
            "ngrams.buckets": self.buckets,
        }
        if self.idf is not None:
            arrays["idf"] = self.idf
        return packed_vocabulary(arrays) if self.packed else arrays

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Featurizer:
        """Inverse of `config` and `tensors`, checked.

        Parameters
        ----------
        config : mapping
            What `config` gave.
        tensors : mapping of str to array
            What `tensors` gave; other names are ignored.

        Returns
        -------
        Featurizer

        Raises
        ------
        ValueError
            If a key or an array is missing, or holds what no `fit` can have made.
        """
        options = TextOptions.from_config({k: v for k, v in config.items() if k != "packed"})
        packed = config.get("packed", False)
        if packed not in (True, False):
            raise ValueError(f"packed={packed!r}: expected true or false")
        if packed:
            tensors = unpacked_vocabulary(tensors)
        dtypes: dict[str, type[np.generic]] = {
            "words.bytes": np.uint8,
            "words.lengths": np.int32,
            "ngrams.buckets": np.int32,
        }
        if options.weighting == "tfidf":
            dtypes["idf"] = np.float32
        arrays = [checked_array(tensors, name, dtype) for name, dtype in dtypes.items()]
        idf = arrays[3] if options.weighting == "tfidf" else None
        featurizer = cls(options, arrays[0], arrays[1], arrays[2], idf, bool(packed))
        featurizer._check()
        return featurizer

    @property
    def _bias(self) -> int:
        return int(self.options.weighting == "mean")

    @cached_property
    def _word_hashes(self) -> NDArray[np.uint64]:
        return hash_words(self.word_bytes, self.word_lengths.astype(np.int64))

    @cached_property
    def _words_by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        # The sorted hashes, and the word of each: made faster than a table, for few look-ups.
        order = np.argsort(self._word_hashes)
        return self._word_hashes[order], order

    @cached_property
    def _table(self) -> Table:
        table = Table(2 * len(self.word_lengths))
        table.add(self._word_hashes)
        return table

    @cached_property
    def _bucket_rows(self) -> NDArray[np.int32]:
        size = self.options.bucket if self.options.has_ngrams else 0
        rows = np.full(size, -1, dtype=np.int32)
        first = self._bias + len(self.word_lengths)
        rows[self.buckets] = np.arange(first, first + len(self.buckets), dtype=np.int32)
        return rows

    def _check(self) -> None:
        lengths = self.word_lengths
        if len(lengths) and (lengths.min() < 1 or lengths.max() > MAX_WORD_BYTES):
            raise ValueError(f"words.lengths: a length outside 1 .. {MAX_WORD_BYTES}")
        total = int(lengths.sum(dtype=np.int64))
        if total != len(self.word_bytes):
            raise ValueError(
                f"words.bytes has {len(self.word_bytes)} bytes; words.lengths adds up to {total}"
            )
        hashes, _ = self._words_by_hash
        if (hashes[1:] == hashes[:-1]).any():
            raise ValueError("words.bytes: a word stands there twice")
        self._check_characters()
        size = self.options.bucket if self.options.has_ngrams else 0
        if len(self.buckets) and (self.buckets.min() < 0 or self.buckets.max() >= size):
            raise ValueError(f"ngrams.buckets: a bucket outside 0 .. {size - 1}")
        # Of two rows that claim a bucket the table holds one.
        first = self._bias + len(lengths)
        if (self._bucket_rows[self.buckets] != np.arange(first, first + len(self.buckets))).any():
            raise ValueError("ngrams.buckets: a bucket stands there twice")
        if self.idf is not None and len(self.idf) != self.n_features:
            raise ValueError(f"idf has {len(self.idf)} values for {self.n_features} features")
        if self.idf is not None and not ((self.idf > 0) & (self.idf < np.inf)).all():
            raise ValueError("idf: a weight that is not finite and above 0")

    def _check_characters(self) -> None:
        # All bytes at once, then that no word begins inside a character.
        try:
            self.word_bytes.tobytes().decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"words.bytes is not UTF-8: {error}") from None
        starts = np.cumsum(self.word_lengths, dtype=np.int64) - self.word_lengths
        if (self.word_bytes[starts] & 0xC0 == 0x80).any():
            raise ValueError("words.bytes is not UTF-8: a word begins inside a character")

    def _transform_compiled(self, chunks: Sequence[RawChunk], n_jobs: int) -> Rows:
        table, _ = self._table, self._bucket_rows  # made once, before several threads ask for them
        scratch = self._scratch

        def rows_of(raw: RawChunk) -> Rows:
            if not self.options.char_ngrams[1]:
                return self._weigh(self._looked_up(raw))
            chunk = read_chunk(raw, self.options, scratch)
            found = table.find(chunk.hashes)
            found[found >= 0] += self._bias
            return self._weigh(self._fill((chunk, found)))

        parts = in_threads(rows_of, chunks, n_threads(n_jobs))
        return parts[0] if len(parts) == 1 else Rows.concatenate(parts)

    @cached_property
    def _scratch(self) -> local:
        # From call to call: a model predicts some thousand texts at a time.
        return local()

    def _looked_up(self, raw: RawChunk) -> Filled:
        """Return what `_fill` returns, for words without character n-grams."""
        *_, hashes, token_ends = scan_chunk(raw, self.options, self._scratch)
        most = len(hashes) * self.options.word_ngrams + len(token_ends) * self._bias
        row_ends = np.empty(len(token_ends), dtype=np.int64)
        indices = np.empty(most, dtype=np.int32)
        n = native("lookup").find_rows(
            hashes,
            token_ends,
            self._table.keys,
            self._table.slots,
            self.options.word_ngrams,
            self._bucket_rows,
            self._bias,
            row_ends,
            indices,
        )
        return self._counted(row_ends, indices[:n])

    def _transform_plain(self, first: int, texts: Sequence[str]) -> Filled:
        tokens = [
            tokenise(
                normalised(text, number, self.options).decode(), self.options.split_punctuation
            )
            for number, text in enumerate(texts, start=first)
        ]
        known = self._word_features(list({word: None for row in tokens for word in row}))
        rows = [self._row_plain(words, known) for words in tokens]
        repeats = None
        if self.options.weighting == "tfidf":
            counted = [_count(row) for row in rows]
            rows = [list(row) for row in counted]
            repeats = np.array([n for row in counted for n in row.values()], dtype=np.int32)
        row_ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        return row_ends, np.array([f for row in rows for f in row], dtype=np.int32), repeats

    def _row_plain(
        self, words: Sequence[str], known: Mapping[str, tuple[int, list[int]]]
    ) -> list[int]:
        row = [0] * self._bias
        for word in words:
            row += known[word][1]
        if self.options.word_ngrams > 1:
            hashes = [known[word][0] for word in words]
            row += self._rows_of_buckets(
                ngram_buckets(hashes, self.options.word_ngrams, self.options.bucket)
            )
        return row

    def _rows_of_buckets(self, buckets: list[int]) -> list[int]:
        return [row for row in self._bucket_rows[buckets].tolist() if row >= 0] if buckets else []

    def _word_features(self, words: Sequence[str]) -> dict[str, tuple[int, list[int]]]:
        """Return the hash and the features of each word, its own and those of its subwords."""
        hashes = [hash_word(word.encode()) for word in words]
        rows = [[row] if row >= 0 else [] for row in self._rows_of_hashes(hashes)]
        shortest, longest = self.options.char_ngrams
        if longest:
            for word, row in zip(words, rows, strict=True):
                buckets = subword_buckets(word, shortest, longest, self.options.bucket)
                row += self._rows_of_buckets(buckets)
        return dict(zip(words, zip(hashes, rows, strict=True), strict=True))

    def _rows_of_hashes(self, hashes: Sequence[int]) -> list[int]:
        known, order = self._words_by_hash
        if not len(known):
            return [-1] * len(hashes)
        asked = np.array(hashes, dtype=np.uint64)
        places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        rows: list[int] = np.where(known[places] == asked, order[places] + self._bias, -1).tolist()
        return rows

    def _most(self, chunk: Chunk) -> int:
        """Return how many features the rows of a chunk have, if none is left out."""
        n_words = np.diff(chunk.token_ends, prepend=0)
        n_ngrams = sum(
            int(np.maximum(n_words - n + 1, 0).sum())
            for n in range(2, self.options.word_ngrams + 1)
        )
        n_subwords = np.diff(chunk.subword_ends, prepend=0)
        return (
            len(n_words) * self._bias + len(chunk.ids) + n_ngrams + int(chunk.counts @ n_subwords)
        )

    def _fill(
        self, item: tuple[Chunk, NDArray[np.int32]], room: NDArray[np.int32] | None = None
    ) -> Filled:
        """Return the rows of a chunk; weighting "mean" writes the features into `room`."""
        chunk, word_rows = item
        row_ends = np.empty(len(chunk.token_ends), dtype=np.int64)
        indices = np.empty(self._most(chunk), dtype=np.int32) if room is None else room
        n = native("tokens").fill(
            chunk.ids,
            chunk.token_ends,
            word_rows,
            chunk.hashes,
            chunk.subword_ends,
            self._bucket_rows[chunk.subwords] if len(chunk.subwords) else chunk.subwords,
            self.options.word_ngrams,
            self._bucket_rows,
            self._bias,
            row_ends,
            indices,
        )
        return self._counted(row_ends, indices[:n])

    def _counted(self, row_ends: NDArray[np.int64], indices: NDArray[np.int32]) -> Filled:
        if self.options.weighting == "mean":
            return row_ends, indices, None
        repeats = np.empty(len(indices), dtype=np.int32)
        place_of = np.full(self.n_features, -1, dtype=np.int32)
        n = native("tokens").combine(row_ends, indices, repeats, place_of)
        return row_ends, indices[:n], repeats[:n]

    def _weigh(self, filled: Filled) -> Rows:
        return self._rows(filled, native("tokens").weigh)

    def _rows(self, filled: Filled, weigh: Callable[..., None]) -> Rows:
        row_ends, indices, repeats = filled
        indptr = np.concatenate([np.zeros(1, dtype=np.int64), row_ends])
        if self.idf is None or repeats is None:
            return Rows(indptr, indices, None, self.n_features)
        damped = 1 + np.log(np.arange(1, int(repeats.max(initial=0)) + 1)).astype(np.float32)
        values = np.empty(len(indices), dtype=np.float32)
        weigh(row_ends, indices, repeats, damped, self.idf, values)
        return Rows(indptr, indices, values, self.n_features)


def _count(features: Iterable[int]) -> dict[int, int]:
    # In order of first occurrence, as the kernel `combine` has them.
    counts: dict[int, int] = {}
    for feature in features:
        counts[feature] = counts.get(feature, 0) + 1
    return counts


def checked_array(tensors: Mapping[str, Any], name: str, dtype: Any) -> NDArray[Any]:
    """Return the one-dimensional array of a stored featurizer; ValueError if it is another."""
    if name not in tensors:
        raise ValueError(f"{name}: the array is missing")
    array = np.asarray(tensors[name])
    if array.dtype != dtype or array.ndim != 1:
        raise ValueError(
            f"{name}: {array.dtype} of shape {array.shape} came; one-dimensional "
            f"{np.dtype(dtype)} was expected"
        )
    return array
