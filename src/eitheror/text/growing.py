"""A vocabulary that grows: words and n-grams of further texts behind those that are there.

In: a `Featurizer` and texts. Out: a larger one, and where each old feature now stands. A text
without any new feature keeps the values it had, so a model that is carried over predicts as before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import expand
from eitheror._kernels.tokens_plain import hash_words
from eitheror.text.featurizer import Featurizer

__all__ = ["grown"]


def grown(
    featurizer: Featurizer, texts: Sequence[str], n_jobs: int = 1
) -> tuple[Featurizer, NDArray[np.int64]]:
    """Return the featurizer with the words and n-grams of these texts added.

    New words stand behind the old words and new buckets behind the old buckets, each by falling
    count in the new texts, of which they need `min_count` or `ngram_min_count`. Old features keep
    their idf; a new one gets `1 + log((1 + N) / (1 + rows with it))`, where N counts the old and
    the new texts. The number of old texts is not stored: it is what makes the rarest old feature
    one that stood in a single text, exact where `min_count` is 1.

    Parameters
    ----------
    featurizer : Featurizer
    texts : sequence of str
    n_jobs : int
        Threads; -1 is all cores. The result does not depend on it.

    Returns
    -------
    featurizer : Featurizer
    places : int64 array of shape (n_features of the old one,)
        The new number of each old feature, rising.

    Raises
    ------
    TypeError, ValueError
        As `Featurizer.fit`.

    Examples
    --------
    >>> from eitheror.text import TextOptions
    >>> old, _ = Featurizer.fit(["red apple"], TextOptions())
    >>> new, places = grown(old, ["green apple"])
    >>> new.words(), places.tolist()
    (['red', 'apple', 'green'], [0, 1, 2])
    """
    seen, _ = Featurizer.fit(texts, featurizer.options, n_jobs)
    lengths = seen.word_lengths.astype(np.int64)
    words = np.flatnonzero(~np.isin(_hashes(seen), _hashes(featurizer)))
    starts = np.cumsum(lengths) - lengths
    buckets = np.flatnonzero(~np.isin(seen.buckets, featurizer.buckets))
    n_words, n_buckets = len(featurizer.word_lengths), len(featurizer.buckets)
    first = featurizer.first_word
    behind = first + n_words + len(words)
    places = np.concatenate([np.arange(first + n_words), behind + np.arange(n_buckets)])
    larger = Featurizer(
        featurizer.options,
        np.concatenate(
            [featurizer.word_bytes, seen.word_bytes[expand(starts[words], lengths[words])]]
        ),
        np.concatenate([featurizer.word_lengths, seen.word_lengths[words]]),
        np.concatenate([featurizer.buckets, seen.buckets[buckets]]),
        None,
    )
    if larger.n_features == featurizer.n_features:
        return featurizer, places
    if featurizer.idf is None or seen.idf is None:
        return larger, places
    old = np.exp(featurizer.idf.max(initial=1.0).astype(np.float64) - 1.0) * 2.0 - 1.0
    # (1 + N) / (1 + rows) is the ratio among the new texts, times what the old ones add to N.
    more = (1.0 + old + len(texts)) / (1.0 + len(texts))
    idf = np.empty(larger.n_features, dtype=np.float32)
    idf[places] = featurizer.idf
    came = np.concatenate([first + words, first + len(lengths) + buckets])
    idf[_others(places, larger.n_features)] = seen.idf[came] + np.log(more)
    return Featurizer(
        larger.options, larger.word_bytes, larger.word_lengths, larger.buckets, idf
    ), places


def _hashes(featurizer: Featurizer) -> NDArray[np.uint64]:
    return hash_words(featurizer.word_bytes, featurizer.word_lengths.astype(np.int64))


def _others(places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    free = np.ones(n, dtype=bool)
    free[places] = False
    return np.flatnonzero(free)
