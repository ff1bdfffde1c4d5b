"""A vocabulary from chunks that come one after the other: what fits no memory is counted once.

First `Counting.add` takes every chunk, which may then leave memory but for its word numbers. Then
`Counting.featurizer` settles the features, and `filled` turns a chunk that came back into rows. The
result is that of `Featurizer.fit` on all the texts, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import Rows
from eitheror.text.chunks import (
    Chunk,
    Filled,
    WordCounts,
    count_buckets,
    inverse_frequencies,
    kept_buckets,
)
from eitheror.text.featurizer import Featurizer
from eitheror.text.options import TextOptions

__all__ = ["Counting", "filled", "weighed", "with_idf"]


class Counting:
    """Counts of words and n-grams over chunks.

    Parameters
    ----------
    options : TextOptions

    Examples
    --------
    >>> from threading import local
    >>> from eitheror.text.chunks import read_chunk
    >>> options = TextOptions()
    >>> counting = Counting(options)
    >>> chunks = [read_chunk((0, [text]), options, local()) for text in ("one word", "two words")]
    >>> numbers = [counting.add(chunk) for chunk in chunks]
    >>> featurizer, features = counting.featurizer()
    >>> featurizer.words(), features[numbers[1]].tolist()
    (['one', 'word', 'two', 'words'], [3, 4])
    """

    def __init__(self, options: TextOptions) -> None:
        self.options = options
        self.words = WordCounts()
        self._hits = np.zeros(options.bucket if options.has_ngrams else 0, dtype=np.uint32)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.words.nbytes + self._hits.nbytes

    def growth(self, n: int) -> int:
        """Bytes that are needed on top when `n` more distinct words come, at the worst."""
        table = self.words.table
        if table.n + n <= len(table.keys) // 2:
            return 0
        # The table is made anew while the old one is there, and its keys are put in order.
        return 12 * table.next_size + 24 * table.n

    def add(self, chunk: Chunk) -> NDArray[np.int32]:
        """Count a chunk; returns the number of each of its distinct words."""
        if len(self._hits):
            count_buckets(chunk, self.options, self._hits)
        return self.words.add(chunk)

    def featurizer(self) -> tuple[Featurizer, NDArray[np.int32]]:
        """Return the featurizer, still without idf, and the feature of each word number."""
        words, features = self.words.vocabulary(self.options)
        if self.options.has_ngrams:
            buckets = kept_buckets(self._hits, self.options)
        else:
            buckets = np.empty(0, dtype=np.int32)
        featurizer = Featurizer(self.options, *words, buckets, None)
        _ = featurizer._bucket_rows  # made once, before several threads ask for it
        return featurizer, features


def filled(featurizer: Featurizer, chunk: Chunk, features: NDArray[np.int32]) -> Filled:
    """Return the rows of a chunk: where each ends, the features, and how often each came.

    Parameters
    ----------
    featurizer : Featurizer
    chunk : Chunk
        Its word bytes are not read.
    features : int32 array
        The feature of each distinct word of the chunk, -1 for none.

    Returns
    -------
    tuple of (int64 array, int32 array, int32 array or None)
        Weighting "mean" names a feature as often as it came, and has no third array.
    """
    return featurizer._fill((chunk, features))


def weighed(featurizer: Featurizer, rows: Filled) -> Rows:
    """Return filled rows with their values."""
    return featurizer._weigh(rows)


def with_idf(featurizer: Featurizer, parts: Iterable[NDArray[np.int32]], n: int) -> Featurizer:
    """Return the featurizer with the idf of `n` rows; a part names a feature once a row."""
    return replace(featurizer, idf=inverse_frequencies(parts, n, featurizer.n_features))
