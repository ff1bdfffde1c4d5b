"""A model of averaged embeddings in few bytes: fewer rows, the frequent ones exact, others coded.

The rows of a text are averaged, so a row matters as its length times the root of how often it
comes: |row| * sqrt(1 / rank), with the rank by count that the vocabulary keeps (Zipf's law). What
is lost is estimated before anything is coded: all of a row that is left out, nothing of one that
is kept exactly, and of a coded one the share n^(-2 / width) of its square, which is the least that
one of n codes for `width` numbers can lose (Shannon's bound for Gaussian numbers). Of all ways to
spend the bytes that which loses least is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eitheror.model import (
    CodedEmbeddingParameters,
    CodedHuffmanParameters,
    CodedRows,
    EmbeddingParameters,
    HuffmanParameters,
    Model,
)
from eitheror.small.quantise import coded_rows, halves
from eitheror.small.vocabulary import feature_bytes, kept
from eitheror.text import FastTextFeaturizer, Featurizer

__all__ = ["EmbeddingShrinker", "Plan"]

_WIDTHS = (1, 2, 4, 8)
_EXACT = (0, 64, 256, 1024, 4096, 2**31)
_CODES = (256, 64, 16)  # few centroids leave room for rows where bytes are few
_HALF = 2  # bytes of a number in 16 bits
_RESERVE = 2048  # bytes of names, shapes and settings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """How a budget is spent.

    Parameters
    ----------
    n_rows : int
        Features that are kept.
    n_exact : int
        The most frequent of them, whose rows are kept in 16 bits.
    width : int
        Columns of a part of the other rows.
    n_codes : int
        Centroids of a part.
    output_width : int
        Columns of a part of the output's rows (a tree's nodes); 0 keeps them in 16 bits.
    """

    n_rows: int
    n_exact: int
    width: int
    n_codes: int
    output_width: int


class EmbeddingShrinker:
    """Makes smaller forms of a model of averaged embeddings.

    Parameters
    ----------
    model : Model
        With `EmbeddingParameters` or `HuffmanParameters`.
    seed : int
    """

    def __init__(self, model: Model, seed: int) -> None:
        assert isinstance(model.parameters, EmbeddingParameters | HuffmanParameters)
        assert model.featurizer is not None
        self.model = model
        self.featurizer = model.featurizer
        self.parameters = model.parameters
        self.seed = seed
        embedding = self.parameters.embedding
        squares = np.square(embedding, dtype=np.float64).sum(axis=1) * _share(self.featurizer)
        self.least = 1 if _has_bias(self.featurizer) else 0
        squares[: self.least] = np.inf  # every text has the bias
        self.order = np.argsort(-squares, kind="stable")
        self.loss = np.where(np.isfinite(squares), squares, 0.0)[self.order]
        self.bytes = feature_bytes(self.featurizer)[self.order]
        self.most = len(embedding)

    def plan(self, budget: int) -> Plan:
        """Return the plan that loses least by the estimate.

        Parameters
        ----------
        budget : int
            Bytes.

        Returns
        -------
        Plan
        """
        output_width, left = self._output(budget - _RESERVE)
        plans = [
            self._plan(left, width, n_codes, n_exact, output_width)
            for width in _widths(self.parameters.embedding.shape[1])
            for n_codes in _CODES
            for n_exact in _EXACT
        ]
        return min(plans, key=lambda found: found[0])[1]

    def built(self, plan: Plan) -> Model:
        """Return the model that a plan makes.

        Parameters
        ----------
        plan : Plan

        Returns
        -------
        Model
        """
        keep = np.zeros(self.most, dtype=np.bool_)
        keep[self.order[: plan.n_rows]] = True
        featurizer, places = kept(self.featurizer, keep)
        rows = np.ascontiguousarray(self.parameters.embedding[places])
        n_exact = min(plan.n_exact, len(rows))
        embedding = coded_rows(rows, plan.width, n_exact, n_codes=plan.n_codes, seed=self.seed)
        weight: Floats | CodedRows = halves(self.parameters.weight)
        if plan.output_width:
            weight = coded_rows(self.parameters.weight, plan.output_width, seed=self.seed)
        parameters: CodedEmbeddingParameters | CodedHuffmanParameters
        if isinstance(self.parameters, HuffmanParameters):
            tree = self.parameters.children, self.parameters.bias
            parameters = CodedHuffmanParameters(embedding, weight, *tree)
        else:
            parameters = CodedEmbeddingParameters(embedding, weight, self.parameters.bias)
        shrunk = {
            "features": len(rows),
            "of_features": self.most,
            "exact_features": n_exact,
            "part_width": plan.width,
            "part_codes": plan.n_codes,
            "output_part_width": plan.output_width,
        }
        options = {**self.model.options, "shrunk": shrunk}
        return replace(self.model, options=options, featurizer=featurizer, parameters=parameters)

    def smallest(self) -> Plan:
        """Return the plan with the fewest features: the bias, or the one that matters most."""
        n_classes, dim = self.parameters.weight.shape
        widest = max(_widths(dim))
        plain = n_classes * dim * _HALF <= _coded_bytes(n_classes, dim, widest)
        return Plan(1, 1, widest, _CODES[0], 0 if plain else widest)

    def _output(self, budget: int) -> tuple[int, float]:
        """Width of the output's parts, 0 for none, and the bytes that are left."""
        n_rows, dim = self.parameters.weight.shape
        tensors = self.parameters.tensors()
        left = budget - sum(tensors[name].nbytes for name in {*tensors} & {"bias", "children"})
        sizes = {0: n_rows * dim * _HALF}
        sizes |= {width: _coded_bytes(n_rows, dim, width) for width in _widths(dim)}
        for width, size in sizes.items():
            if size <= left / 2:
                return width, left - size
        width = min(sizes, key=sizes.__getitem__)
        return width, left - sizes[width]

    def _plan(
        self, budget: float, width: int, n_codes: int, n_exact: int, output_width: int
    ) -> tuple[float, Plan]:
        """Return the loss by the estimate, and the plan."""
        dim = self.parameters.embedding.shape[1]
        coded = n_exact < self.most
        if coded:
            budget -= n_codes * dim * _HALF
        sizes = self.bytes + (-(-dim // width) + _HALF)
        more = _HALF * dim - (-(-dim // width) + _HALF)  # bytes of an exact row beyond a coded one
        # the most frequent rows are exact, and those are among the first that are kept
        totals = np.cumsum(sizes) + more * np.minimum(np.arange(1, self.most + 1), n_exact)
        n_rows = max(int(np.searchsorted(totals, budget, side="right")), 1)
        coded_share = n_codes ** (-2 / width)
        exact = min(n_exact, n_rows)
        kept_loss = coded_share * self.loss[exact:n_rows].sum()
        loss = self.loss[n_rows:].sum() + kept_loss
        fits = totals[n_rows - 1] <= budget
        return (float(loss) if fits else np.inf), Plan(n_rows, exact, width, n_codes, output_width)


def _widths(dim: int) -> tuple[int, ...]:
    return tuple(width for width in _WIDTHS if width <= dim)


def _coded_bytes(n_rows: int, dim: int, width: int) -> int:
    return n_rows * (-(-dim // width) + _HALF) + min(_CODES[0], n_rows) * dim * _HALF


def _has_bias(featurizer: Featurizer | FastTextFeaturizer) -> bool:
    return isinstance(featurizer, Featurizer) and featurizer.first_word == 1


def _share(featurizer: Featurizer | FastTextFeaturizer) -> NDArray[np.float64]:
    """How often a feature comes, up to a factor: words and n-grams are numbered by count.

    The buckets of a fastText model are in no order; each is taken for as rare as the rarest word.
    """
    n_words = len(featurizer.word_lengths) + int(_has_bias(featurizer))
    n_ngrams = featurizer.n_features - n_words
    rank = np.arange(1, n_ngrams + 1)
    if isinstance(featurizer, FastTextFeaturizer):
        rank = np.full(n_ngrams, max(n_words, 1))
    return 1.0 / np.concatenate([np.arange(1, n_words + 1), rank])
