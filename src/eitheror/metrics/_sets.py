"""Scores of predicted sets, for the least and the most favourable truth.

For tags every score here is monotone in each open entry: the least favourable truth is "open and
predicted: absent; open and not predicted: present", the most favourable the opposite.
Open entries are free of each other, so both truths are possible and the bounds are sharp.

For one true class the same two completions are taken class by class. They respect each class's
count but not that a row has exactly one class, so macro scores get *outer* bounds: valid, not
always reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from eitheror.decide.scoring import set_fraction
from eitheror.metrics.intervals import Bounds, Estimate, between, mean_of, ratio_of, spread

__all__ = ["Completion", "completions", "hamming", "macro", "micro", "samples", "with_rare_classes"]

_CHUNK = 2**22

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Completion:
    """A decision against one truth: per entry, was it hit, was it missed.

    `hits` and `missed` are bool matrices; the truth is their union.
    """

    predicted: Bools
    hits: Bools
    missed: Bools

    def counts(self, axis: int) -> tuple[Floats, Floats, Floats]:
        """Return hits, predicted and present counts per row (axis 1) or class (axis 0)."""
        hits, predicted, missed = (
            part.sum(axis=axis).astype(np.float64)
            for part in (self.hits, self.predicted, self.missed)
        )
        return hits, predicted, hits + missed


def completions(predicted: Bools, certain: Bools, possible: Bools) -> tuple[Completion, Completion]:
    """Return the decision against the least and against the most favourable truth."""
    return (
        Completion(predicted, predicted & certain, ~predicted & possible),
        Completion(predicted, predicted & possible, ~predicted & certain),
    )


def micro(measure: str, worst: Completion, best: Completion) -> Bounds:
    """Return F1 or Jaccard over all entries together."""
    return between(_micro(measure, worst), _micro(measure, best))


def macro(measure: str, worst: Completion, best: Completion) -> Bounds:
    """Return the mean F1 or Jaccard of the classes that are predicted or present somewhere."""
    return between(_macro(measure, worst), _macro(measure, best))


def samples(measure: str, worst: Completion, best: Completion) -> Bounds:
    """Return the mean F1 or Jaccard of the rows; an empty set for an empty row scores 1."""
    return between(_samples(measure, worst), _samples(measure, best))


def hamming(worst: Completion, best: Completion) -> Bounds:
    """Return the share of entries that are decided wrongly."""
    return between(_hamming(best), _hamming(worst))


def _micro(measure: str, completion: Completion) -> Estimate:
    return ratio_of(*set_fraction(measure, *completion.counts(1)))


def _samples(measure: str, completion: Completion) -> Estimate:
    top, bottom = set_fraction(measure, *completion.counts(1))
    return mean_of(np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0))


def _hamming(completion: Completion) -> Estimate:
    hits, predicted, present = completion.counts(1)
    return mean_of((predicted + present - 2 * hits) / completion.predicted.shape[1])


def _macro(measure: str, completion: Completion) -> Estimate:
    hits, predicted, present = completion.counts(0)
    top, bottom = set_fraction(measure, hits, predicted, present)
    occurs = bottom > 0
    n_classes = int(occurs.sum())
    if not n_classes:
        return Estimate(0.0, None)
    scale = np.divide(1.0, bottom, out=np.zeros_like(bottom), where=occurs) / n_classes
    score = np.divide(top, bottom, out=np.zeros_like(top), where=occurs)
    # A row moves class c by (top - score bottom) / sum(bottom), as in `ratio_of`.
    loss = -score * scale
    gain = (2 * scale + loss) if measure == "f1" else scale
    influence = _weighed(completion, gain, loss)
    error = spread(influence)
    value = float(score[occurs].mean())
    if error is None:
        return Estimate(value, None)
    return with_rare_classes(measure, Estimate(value, error, len(influence)), score, bottom)


def with_rare_classes(measure: str, estimate: Estimate, score: Floats, bottom: Floats) -> Estimate:
    """Return a macro average with the uncertainty of classes that few rows are about.

    A class with three rows, all of them right, has no spread to be seen. So each class's own
    variance is taken at a score with one hit and one miss more. F1 as a ratio of counts that hang
    together is too low by F (1 - F) / (p + t) on average.
    """
    occurs = bottom > 0
    score, bottom = score[occurs], bottom[occurs]
    n_classes = len(score)
    # rows that a class's score is about: var = s (1 - s) / rows
    rows = bottom / (2 - score) if measure == "f1" else bottom
    moved = (score * rows + 1) / (rows + 2)
    seen, likely = _variance(measure, score, bottom), _variance(measure, moved, bottom)
    assert estimate.error is not None
    variance = estimate.error**2 + float(np.maximum(likely - seen, 0).sum()) / n_classes**2
    bias = float((score * (1 - score) / bottom).mean()) if measure == "f1" else 0.0
    middle = float(moved.mean())
    return estimate._replace(
        error=sqrt(variance), centre=estimate.value + bias, spread=middle * (1 - middle)
    )


def _variance(measure: str, score: Floats, bottom: Floats) -> Floats:
    """Return the variance of a class's score, linearised: of hits in rows that concern it."""
    variance = score * (1 - score) / bottom
    return variance * (2 - score) if measure == "f1" else variance


def _weighed(completion: Completion, gain: Floats, loss: Floats) -> Floats:
    """Return per row: sum of `gain` over hits + sum of `loss` over predicted and missed."""
    n_samples, n_classes = completion.predicted.shape
    influence = np.empty(n_samples)
    step = max(1, _CHUNK // n_classes)
    for start in range(0, n_samples, step):
        part = slice(start, start + step)
        others = completion.predicted[part].astype(np.float64) + completion.missed[part]
        influence[part] = completion.hits[part].astype(np.float64) @ gain + others @ loss
    return influence
