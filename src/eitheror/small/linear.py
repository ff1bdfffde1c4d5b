"""A linear model of texts in few bytes: the weights that move the logits most, as codes.

A weight is as useful as the spread that it gives to its logit over texts,
|weight| * idf * sqrt(share of the texts with the feature); the share is known from the idf. A
feature without a weight left is forgotten.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eitheror.model import (
    CodedLinearParameters,
    CodedWeight,
    LinearParameters,
    Model,
    SparseWeight,
)
from eitheror.small.quantise import coded_values
from eitheror.small.vocabulary import kept
from eitheror.text import FastTextFeaturizer, Featurizer

__all__ = ["LinearShrinker"]

_WEIGHT_BYTES = 2  # at least: its value and its class

Longs = NDArray[np.int64]


class LinearShrinker:
    """Makes smaller forms of a linear model of texts.

    Parameters
    ----------
    model : Model
        With `LinearParameters` and a `Featurizer`.
    budget : int, optional
        Bytes that a form may take; weights that surely have no room are not looked at again.
    """

    def __init__(self, model: Model, budget: int | None = None) -> None:
        assert isinstance(model.parameters, LinearParameters)
        assert isinstance(model.featurizer, Featurizer)
        self.model = model
        self.featurizer = model.featurizer
        self.bias = model.parameters.bias
        weight = model.parameters.weight
        if not isinstance(weight, SparseWeight):
            weight = SparseWeight.from_dense(weight)
        self.weight = weight
        self.feature = np.repeat(np.arange(len(weight.indptr) - 1), np.diff(weight.indptr))
        useful = np.abs(weight.values) * _spread(self.featurizer)[self.feature]
        self.total = len(useful)
        self.most = self.total if budget is None else min(self.total, budget // _WEIGHT_BYTES)
        first = np.arange(self.total)
        if self.most < self.total:
            first = np.sort(np.argpartition(-useful, self.most)[: self.most])
        self.order = first[np.argsort(-useful[first], kind="stable")]

    def with_entries(self, n: int) -> Model:
        """Return the model with its `n` most useful weights.

        Parameters
        ----------
        n : int
            From 0 to `most`.

        Returns
        -------
        Model
        """
        chosen = self.order[:n]
        keep = np.zeros(self.featurizer.n_features, dtype=np.bool_)
        keep[self.feature[chosen]] = True
        featurizer, places = kept(self.featurizer, keep)
        row_of = np.empty(len(keep), dtype=np.int64)
        row_of[places] = np.arange(len(places))
        rows, columns = row_of[self.feature[chosen]], self.weight.indices[chosen]
        order = np.lexsort((columns, rows))
        counts = np.bincount(rows, minlength=len(places))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        codes, codebook = coded_values(self.weight.values[chosen])
        weight = CodedWeight(indptr, columns[order], codes[order], codebook, self.weight.n_classes)
        parameters = CodedLinearParameters(weight, self.bias)
        shrunk = {"weights": n, "of_weights": self.total, **_features(featurizer, self.featurizer)}
        options = {**self.model.options, "shrunk": shrunk}
        return replace(self.model, options=options, featurizer=featurizer, parameters=parameters)


def _spread(featurizer: Featurizer) -> NDArray[np.float32]:
    """How much a feature's value varies over texts; without an idf all alike."""
    idf = featurizer.idf
    if idf is None:
        return np.ones(featurizer.n_features, dtype=np.float32)
    # idf = 1 + log((1 + n) / (1 + rows with it)), so the share is about exp(1 - idf)
    spread: NDArray[np.float32] = idf * np.exp((1 - idf) / 2)
    return spread


def _features(smaller: Featurizer | FastTextFeaturizer, whole: Featurizer) -> dict[str, int]:
    return {"features": smaller.n_features, "of_features": whole.n_features}
