"""A featurizer that knows some of its features only.

In: a featurizer and which features to keep. Out: the smaller featurizer, and where its features
were. Words keep their order, by falling count; n-grams are ordered by bucket, which takes the
fewest bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eitheror.small.quantise import halves
from eitheror.text import FastTextFeaturizer, Featurizer

__all__ = ["feature_bytes", "kept"]

_BUCKET_BYTES = 4  # of a fastText model; a gap between rising buckets takes 1 to 4

Bools = NDArray[np.bool_]
Longs = NDArray[np.int64]


def kept(
    featurizer: Featurizer | FastTextFeaturizer, keep: Bools
) -> tuple[Featurizer | FastTextFeaturizer, Longs]:
    """Leave features out.

    Parameters
    ----------
    featurizer : Featurizer or FastTextFeaturizer
    keep : bool array of shape (n_features,)
        A bias is kept whatever it says.

    Returns
    -------
    smaller : Featurizer or FastTextFeaturizer
    places : int64 array of shape (n_kept,)
        Which of the old features each new one is.

    Examples
    --------
    >>> from eitheror.text import TextOptions
    >>> featurizer, _ = Featurizer.fit(["one two three"], TextOptions())
    >>> smaller, places = kept(featurizer, np.array([False, False, True, True]))
    >>> smaller.words(), places.tolist()
    (['two', 'three'], [0, 2, 3])
    """
    first = featurizer.first_word if isinstance(featurizer, Featurizer) else 0
    n_words = len(featurizer.word_lengths)
    words = keep[first : first + n_words]
    word_bytes = featurizer.word_bytes[np.repeat(words, featurizer.word_lengths)]
    word_lengths = featurizer.word_lengths[words]
    of_words = np.concatenate([np.arange(first), first + np.flatnonzero(words)])
    chosen = np.flatnonzero(keep[first + n_words :])
    if isinstance(featurizer, FastTextFeaturizer):
        pruned = featurizer.options.pruned
        buckets = featurizer.kept[chosen] if pruned else chosen.astype(np.int32)
        options = replace(featurizer.options, pruned=featurizer.options.has_ngrams)
        smaller = replace(
            featurizer,
            options=options,
            word_bytes=word_bytes,
            word_lengths=word_lengths,
            kept=buckets if options.pruned else featurizer.kept,
        )
        return smaller, np.concatenate([of_words, first + n_words + chosen])
    chosen = chosen[np.argsort(featurizer.buckets[chosen], kind="stable")]
    places = np.concatenate([of_words, first + n_words + chosen])
    idf = None if featurizer.idf is None else halves(featurizer.idf[places])
    return (
        Featurizer(
            featurizer.options, word_bytes, word_lengths, featurizer.buckets[chosen], idf, True
        ),
        places,
    )


def feature_bytes(featurizer: Featurizer | FastTextFeaturizer) -> Longs:
    """Estimate the bytes that each feature takes in the vocabulary.

    Parameters
    ----------
    featurizer : Featurizer or FastTextFeaturizer

    Returns
    -------
    int64 array of shape (n_features,)
    """
    sizes = np.full(featurizer.n_features, _BUCKET_BYTES, dtype=np.int64)
    first, length = 0, 4
    if isinstance(featurizer, Featurizer):
        first, length = featurizer.first_word, 1
        sizes[:first] = 0
    lengths = featurizer.word_lengths
    sizes[first : first + len(lengths)] = lengths + length
    return sizes
