"""Tokens -> feature rows, for prediction: each token is looked up in the vocabulary itself.

Reading a text to train on numbers the distinct words of a chunk first, as all that is done with a
word is done once then. To predict, a word without character n-grams has nothing to do but to be
found, and numbering it would cost as much again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.simd import prefetch
from eitheror._kernels.tokens import JOIN, bucket_of, mixed

__all__ = ["find_rows"]


@jit(EXACT, bare=True)
def find_rows(
    hashes: NDArray[np.uint64],
    token_ends: NDArray[np.int64],
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    word_ngrams: int,
    bucket_rows: NDArray[np.int32],
    bias: int,
    row_ends: NDArray[np.int64],
    indices: NDArray[np.int32],
) -> int:
    """Write each row's features: the bias, its words, then word n-grams; returns how many.

    As `tokens.fill` with the numbers that `tokens.intern` gives. `keys` and `slots` are a table of
    `intern`; what is in none of the tables is left out. `indices` has room for `word_ngrams`
    features a token and the bias of each row.
    """
    mask = np.uint64(len(keys) - 1)
    many = np.uint64(len(bucket_rows))
    n = np.uintp(0)
    begin = np.int64(0)
    for row in range(len(token_ends)):
        end = token_ends[row]
        if bias:
            indices[n] = 0
            n += np.uintp(1)
        # First where all words and n-grams of the row stand in the tables, then what stands there.
        for i in range(begin, end):
            first = np.intp(mixed(hashes[np.uintp(i)]) & mask)
            prefetch(keys, first)
            prefetch(slots, first)
        last = n + np.uintp(end - begin)
        if word_ngrams > 1:
            for i in range(begin, end):
                h = hashes[np.uintp(i)]
                for j in range(i + 1, min(i + word_ngrams, end)):
                    h = (h * JOIN) ^ hashes[np.uintp(j)]
                    bucket = bucket_of(h, many)
                    prefetch(bucket_rows, np.intp(bucket))
                    indices[last] = bucket
                    last += np.uintp(1)
        grams = n + np.uintp(end - begin)
        for i in range(begin, end):
            h = hashes[np.uintp(i)]
            place = np.uintp(mixed(h) & mask)
            while slots[place] >= 0 and keys[place] != h:
                place = np.uintp((np.uint64(place) + np.uint64(1)) & mask)
            if slots[place] >= 0:
                indices[n] = slots[place] + np.int32(bias)
                n += np.uintp(1)
        for i in range(np.int64(grams), np.int64(last)):
            feature = bucket_rows[np.uintp(indices[np.uintp(i)])]
            if feature >= 0:
                indices[n] = feature
                n += np.uintp(1)
        row_ends[row] = n
        begin = end
    return int(n)
