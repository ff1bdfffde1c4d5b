"""Texts to integer rows, once: tokens, vocabulary, hashed n-grams, weights.

In: a sequence of `str`. Out: `Rows`, and a fitted `Featurizer` that a model stores. A word has a
row if it came often enough; word and character n-grams are hashed into buckets, and only buckets
that were seen have rows. Rows are numbered by falling count, so that the often used ones lie
together in memory.
"""

from eitheror.text.fasttext import FastTextFeaturizer, FastTextOptions
from eitheror.text.featurizer import Featurizer
from eitheror.text.options import TextOptions
from eitheror.text.sequence import Texts
from eitheror.text.stored import check_featurizer_config, featurizer_from_parts

__all__ = [
    "FastTextFeaturizer",
    "FastTextOptions",
    "Featurizer",
    "TextOptions",
    "Texts",
    "check_featurizer_config",
    "featurizer_from_parts",
]
