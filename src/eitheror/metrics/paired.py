"""Two models on the same test rows: the difference of their scores, as a range with an interval.

Where the labels leave entries open, the difference has bounds of its own, far tighter than those of
the two scores: an entry that both models decide alike moves both scores. The least favourable
completion follows entry by entry where the decisions differ; where they agree only the number of
present tags matters, and the extreme lies on an edge of the possible numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Rule, checked_proba
from eitheror.decide.scoring import METRICS, set_fraction
from eitheror.metrics._truth import Truth, align
from eitheror.metrics.evaluation import decided_matrix, rule_for
from eitheror.metrics.intervals import Bounds, critical_value, student
from eitheror.metrics.probabilities import checked_range, losses_of

__all__ = ["paired_difference"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_CHUNK = 2**23
_MULTICLASS = ("accuracy", "f1_macro", "jaccard_macro", "log_loss")
_MULTILABEL = (*METRICS, "hamming", "log_loss")
_TAIL = 0.025


def paired_difference(
    labels: Any,
    proba: Any,
    other: Any,
    metric: str = "accuracy",
    *,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
    other_decision: Rule | Mapping[str, Any] | None = None,
    repetitions: int = 1000,
    seed: int = 0,
) -> Bounds:
    """Return score(proba) - score(other) on the same rows, with a 95 % interval.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba, other : arrays of shape (n_samples, n_classes)
        Of the two models, for the same rows and classes.
    metric : str, default "accuracy"
        One true class: ``accuracy f1_macro jaccard_macro log_loss``. Tags: these,
        ``f1_micro f1_samples jaccard_micro jaccard_samples hamming``. Macro averages run over the
        classes that occur in the truth or in either decision.
    classes : sequence of n_classes names, optional
        Names of the columns, matched to `labels.classes` by name.
    decision, other_decision : decide.Rule or its config, optional
        Default `decide.default_rule`.
    repetitions : int, default 1000
        Samples of the rows, with replacement, that the interval is taken from; 0 for no interval.
    seed : int, default 0

    Returns
    -------
    Bounds
        ``lower`` and ``upper`` over every truth the labels allow: sharp, but for macro averages,
        which get outer bounds. ``interval`` is the 95 % interval of the difference; it leaves
        0 out where one model is better whatever the truth is. None for a single row, and for
        macro averages where both decide every row alike.

    Raises
    ------
    ValueError
        Unknown metric, or arrays that do not fit.

    Notes
    -----
    The interval comes from a bootstrap over rows. Rows that both models decide alike say
    nothing about how uncertain a difference is, and four rows won with none lost would always come
    out as a difference. So two rows are added to the sample: a typical row on which the models
    differ, and the same with the models exchanged (the pseudo-rows of Agresti and Min, 2005). Seven
    rows won and none lost are then a difference and four are not, as in the sign test; at five
    and six, its border, the seed can decide.
    Between two bounds each end is taken at the level of Imbens and Manski (2004).

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "b", either("a", "b"), None] * 25, classes=["a", "b"])
    >>> right = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]] * 25
    >>> wrong = [[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.9, 0.1]] * 25
    >>> bounds = paired_difference(labels, right, wrong)
    >>> bounds.lower, bounds.upper, bounds.interval[0] > 0
    (0.25, 0.25, True)

    References
    ----------
    B. Efron, R. Tibshirani (1993), "An Introduction to the Bootstrap".
    A. Agresti, Y. Min (2005), "Simple improved confidence intervals for comparing matched
    proportions".
    """
    first, second = checked_proba(proba), checked_proba(other)
    if first.shape != second.shape:
        raise ValueError(f"proba has shape {first.shape} and other {second.shape}; compare alike")
    truth = align(labels, first, classes)
    known = _MULTICLASS if truth.task == "multiclass" else _MULTILABEL
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r} for {truth.task}; write {', '.join(known)}")
    if metric == "log_loss":
        first, second = checked_range(first), checked_range(second)
        difference = _loss_difference(truth, first, second)
        apart = np.flatnonzero((first != second).any(axis=1) & ~np.isnan(difference))
        least = most = _mean_statistic(np.r_[difference, -difference[apart]])
    else:
        a = _decided(decision, truth, first)
        b = _decided(other_decision, truth, second)
        apart = np.flatnonzero((a != b).any(axis=1))
        least, most = _statistics(metric, truth, a, b, apart)
    if not len(apart):
        same = np.array_equal(first, second)
        return _never_apart(metric, len(first), same, repetitions)
    return _bootstrapped(least, most, len(first), apart, repetitions, seed)


Statistic = Callable[[Floats], Floats]
"""Row weights to values, (n_draws, n_samples + n_apart) to (n_draws,).

The rows are those of the sample and then, with the models exchanged, those that tell them apart.
"""


def _never_apart(metric: str, n: int, same: bool, repetitions: int) -> Bounds:
    """Return the difference of two models that decide every row alike: 0 so far."""
    if same or metric == "log_loss":
        return Bounds(0.0, 0.0, (0.0, 0.0) if n > 1 else None)
    if metric.endswith("macro") or n < 2 or repetitions < 1:
        return Bounds(0.0, 0.0, None)
    # with this share of rows won, and none lost, no row in n would be won once in 40 samples
    most = float(1 - _TAIL ** (1 / n))
    return Bounds(0.0, 0.0, (-most, most))


def _bootstrapped(
    least: Statistic,
    most: Statistic,
    n: int,
    apart: NDArray[np.int64],
    repetitions: int,
    seed: int,
) -> Bounds:
    everything = np.zeros((1, n + len(apart)))
    everything[0, :n] = 1.0
    lower, upper = float(least(everything)[0]), float(most(everything)[0])
    if n < 2 or repetitions < 1 or not np.isfinite([lower, upper]).all():
        return Bounds(lower, upper, None)
    rng = np.random.default_rng(seed)
    step = max(1, min(repetitions, _CHUNK // (n + len(apart))))
    lows, highs = [], []
    for start in range(0, repetitions, step):
        weights = _drawn(rng, min(step, repetitions - start), n, apart)
        lows.append(least(weights))
        highs.append(most(weights))
    low, high = np.concatenate(lows), np.concatenate(highs)
    error = max(float(low.std()), float(high.std()))
    tail = NormalDist().cdf(-student(critical_value(upper - lower, error), n))
    ends = float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))
    return Bounds(lower, upper, (min(ends[0], lower), max(ends[1], upper)))


def _drawn(rng: np.random.Generator, size: int, n: int, apart: NDArray[np.int64]) -> Floats:
    """Return how often each row is in each sample: of n rows and two typical ones."""
    picks = rng.integers(0, n + 2, (size, n + 2))
    as_it_is, exchanged = picks == n, picks == n + 1
    picks[as_it_is] = apart[rng.integers(0, len(apart), int(as_it_is.sum()))]
    picks[exchanged] = n + rng.integers(0, len(apart), int(exchanged.sum()))
    width = n + len(apart)
    flat = picks + width * np.arange(size)[:, None]
    return np.bincount(flat.ravel(), minlength=size * width).reshape(size, width).astype(np.float64)


def _decided(rule: Rule | Mapping[str, Any] | None, truth: Truth, proba: NDArray[Any]) -> Bools:
    return decided_matrix(rule_for(rule, truth.task).predict(proba), truth, proba.shape)


def _loss_difference(truth: Truth, first: NDArray[Any], second: NDArray[Any]) -> Floats:
    difference = losses_of(truth, first) - losses_of(truth, second)
    speaks = ~np.isnan(difference)
    if not speaks.any():
        raise ValueError("no row says anything about the classes: there is no loss to compare")
    return difference


def _statistics(
    metric: str, truth: Truth, a: Bools, b: Bools, apart: NDArray[np.int64]
) -> tuple[Statistic, Statistic]:
    measure, _, average = metric.partition("_")
    if measure in ("accuracy", "hamming"):
        low, high = (_accuracy_rows if measure == "accuracy" else _hamming_rows)(truth, a, b)
    else:
        favours_b, favours_a = _counts(a, b, truth, average), _counts(b, a, truth, average)
        if average != "samples":
            reduce = _micro if average == "micro" else _macro
            of_b = favours_b.joined(favours_a.at(apart))
            of_a = favours_a.joined(favours_b.at(apart))
            return (
                lambda weights: reduce(measure, of_b, weights),
                lambda weights: -reduce(measure, of_a, weights),
            )
        low = least_difference(measure, favours_b, empty=1.0)
        high = -least_difference(measure, favours_a, empty=1.0)
    return (
        _mean_statistic(np.r_[low, -high[apart]]),
        _mean_statistic(np.r_[high, -low[apart]]),
    )


def _mean_statistic(values: Floats) -> Statistic:
    """Return the mean of the values that are numbers, under row weights."""
    counted = ~np.isnan(values)
    filled = np.where(counted, values, 0.0)

    def mean(weights: Floats) -> Floats:
        total = weights @ counted.astype(np.float64)
        return np.asarray((weights @ filled) / np.maximum(total, 1e-300))

    return mean


def _accuracy_rows(truth: Truth, a: Bools, b: Bools) -> tuple[Floats, Floats]:
    """Return the least and the largest difference of "decided exactly right" in each row."""
    settled = (truth.certain == truth.possible).all(axis=1)
    possible = [~((truth.certain & ~h) | (h & ~truth.possible)).any(axis=1) for h in (a, b)]
    if truth.task == "multiclass":  # no decision is never right
        possible = [may & h.any(axis=1) for may, h in zip(possible, (a, b), strict=True)]
    alike = (a == b).all(axis=1)
    sure_a, sure_b = (settled & may for may in possible)
    low = np.where(possible[1], -1.0, np.where(sure_a, 1.0, 0.0))
    high = np.where(possible[0], 1.0, np.where(sure_b, -1.0, 0.0))
    return np.where(alike, 0.0, low), np.where(alike, 0.0, high)


def _hamming_rows(truth: Truth, a: Bools, b: Bools) -> tuple[Floats, Floats]:
    """Return the least and the largest difference of the share of wrong entries."""
    differ = a != b
    # a is wrong and b right where a tag is present and only b names it, or absent and only a does
    a_wrong = differ & np.where(b, truth.certain, ~truth.possible)
    b_wrong = differ & np.where(a, truth.certain, ~truth.possible)
    open_entries = differ & ~a_wrong & ~b_wrong
    base = a_wrong.sum(axis=1) - b_wrong.sum(axis=1)
    free = open_entries.sum(axis=1)
    width = a.shape[1]
    return (base - free) / width, (base + free) / width


@dataclass(frozen=True)
class Counts:
    """Counts of two decisions when every open entry that tells them apart speaks for b.

    Per row (samples, micro: shape (n,)) or per row and class (macro: shape (n, K)): hits of a and
    b, entries they name, present entries, and the open entries on which both agree: named by both
    (`both`) and by neither (`neither`). `occurs` is for macro averages: whether the class surely,
    and whether it possibly, is present or named.
    """

    hits_a: Floats
    hits_b: Floats
    named_a: Floats
    named_b: Floats
    present: Floats
    both: Floats
    neither: Floats

    def weighted(self, weights: Floats) -> Counts:
        """Return sums over rows under row weights, one set of counts a draw."""
        return Counts(*(weights @ part for part in vars(self).values()))

    def at(self, rows: NDArray[np.int64]) -> Counts:
        """Return the counts of some rows."""
        return Counts(*(part[rows] for part in vars(self).values()))

    def joined(self, other: Counts) -> Counts:
        """Return the rows of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(np.concatenate(pair) for pair in pairs))


def _counts(a: Bools, b: Bools, truth: Truth, average: str) -> Counts:
    present = truth.certain | (truth.possible & b & ~a)
    fixed = truth.certain | ~truth.possible | (a != b)
    parts = (a & present, b & present, a, b, present, ~fixed & a & b, ~fixed & ~a & ~b)
    if average == "macro":
        return Counts(*(part.astype(np.float64) for part in parts))
    return Counts(*(part.sum(axis=1).astype(np.float64) for part in parts))


def _micro(measure: str, counts: Counts, weights: Floats) -> Floats:
    return least_difference(measure, counts.weighted(weights), empty=0.0)


def _macro(measure: str, counts: Counts, weights: Floats) -> Floats:
    """Return the least difference of macro averages over the classes that occur anywhere."""
    step = max(1, _CHUNK // counts.present.size)
    found = []
    for start in range(0, len(weights), step):
        total = counts.weighted(weights[start : start + step])
        summed = least_difference(measure, total, empty=0.0).sum(axis=1)
        surely = (total.named_a + total.named_b + total.present > 0).sum(axis=1)
        possibly = (
            total.named_a + total.named_b + total.present + total.both + total.neither > 0
        ).sum(axis=1)
        found.append(summed / np.maximum(np.where(summed < 0, surely, possibly), 1))
    return np.concatenate(found)


def least_difference(measure: str, counts: Counts, *, empty: float) -> Floats:
    """Return the least score(a) - score(b) over the open entries on which both agree.

    With x of `both` and y of `neither` present, F1 is 2 (h + x) / (p + t + x + y) and Jaccard
    (h + x) / (p + t - h + y). For fixed x + y the difference is linear in x, so the extreme lies on
    an edge of the rectangle of (x, y); along an edge it is a difference of two hyperbolas with at
    most one stationary point, which is found in closed form and rounded both ways.
    """
    both, neither = counts.both, counts.neither
    best = np.full(both.shape, np.inf)
    for x in _ends(both):
        for y in [*_ends(neither), *_stationary(measure, counts, x, None)]:
            best = np.minimum(best, _difference(measure, counts, x, y, empty))
    for y in _ends(neither):
        for x in _stationary(measure, counts, None, y):
            best = np.minimum(best, _difference(measure, counts, x, y, empty))
    return best


def _ends(most: Floats) -> tuple[Floats, Floats, Floats]:
    """Nothing, one (the score of an empty set jumps there) and all."""
    return np.zeros_like(most), np.minimum(most, 1.0), most


def _difference(measure: str, counts: Counts, x: Floats, y: Floats, empty: float) -> Floats:
    present = counts.present + x + y
    scores = []
    for hits, named in ((counts.hits_a, counts.named_a), (counts.hits_b, counts.named_b)):
        top, bottom = set_fraction(measure, hits + x, named, present)
        scores.append(np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0))
    return np.asarray(scores[0] - scores[1])


def _stationary(
    measure: str, counts: Counts, x: Floats | None, y: Floats | None
) -> tuple[Floats, ...]:
    """Return where the difference is flat along y (for given x) or x (for given y), rounded."""
    along_y = y is None
    if not along_y and measure == "jaccard":
        return ()  # linear in x
    moved, most = (x, counts.neither) if along_y else (y, counts.both)
    assert moved is not None
    slopes, bottoms = [], []
    for hits, named in ((counts.hits_a, counts.named_a), (counts.hits_b, counts.named_b)):
        if along_y:
            top, bottom = set_fraction(measure, hits + moved, named, counts.present + moved)
            slope = top
        else:
            bottom = named + counts.present + moved
            slope = bottom - hits  # of 2 (h + x) / (bottom + x)
        slopes.append(slope)
        bottoms.append(bottom)
    # slope_a / (bottom_a + m)^2 = slope_b / (bottom_b + m)^2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(slopes[0] / slopes[1])
        at = (ratio * bottoms[1] - bottoms[0]) / (1 - ratio)
    at = np.where(np.isfinite(at), np.clip(at, 0.0, most), 0.0)
    return np.floor(at), np.minimum(np.ceil(at), most)
