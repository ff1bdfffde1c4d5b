"""From out-of-fold probabilities to scores and paired differences, by partial labels only.

One true class: a decision h earns the weight w_h that its row's statement gives it, less what a
wrong decision would earn on average, q = (sum(w) - 1) / (K - 1):

    estimate = sum_i (w_i,h - q_i) / sum_i (1 - q_i).

On exact rows that is the accuracy, on "not l" rows 1 - (K - 1) r, r the share of decisions that are
ruled out. It estimates the accuracy if the true class has the largest weight and,
given their number, candidates are as likely for one wrong class as for another. Bounds that do
not assume the latter stand beside it.

Rows with the same input are statements about one truth. Where there are several, a partial row
counts for those of its classes that they allow most, which leaves few wrong ones to be taken for
right; and they vary together, so that intervals are over inputs and not over rows. Row weights
multiply both sums.

Tags: each strategy is decided by the rule that suits it best on the other folds, tuned there, and
the score counts the known entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison.data import Data
from eitheror.comparison.rules import decided_by_best_rule
from eitheror.comparison.run import Outcome
from eitheror.comparison.tags import DecidedTags
from eitheror.decide import Rule
from eitheror.labels import SHARES, UNKNOWN, Labels
from eitheror.metrics import evaluate
from eitheror.metrics.intervals import Estimate, Z, between, ratio_of

__all__ = ["Difference", "Gap", "Row", "agreement", "score_outcomes"]

Interval = tuple[float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How far one strategy is ahead of another on the same rows.

    Attributes
    ----------
    name, other : str
    value : float
        Score of `name` minus score of `other`.
    interval : (float, float) or None
        95 %.
    bounds : (float, float) or None
        One true class: the least and the largest difference of the accuracies on these rows over
        every truth that the labels allow, with nothing assumed about what they leave open.
    """

    name: str
    other: str
    value: float
    interval: Interval | None
    bounds: Interval | None

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is clear of 0, else 0."""
        return 0 if self.interval is None else (self.interval[0] > 0) - (self.interval[1] < 0)


Gap = Callable[[str, str], Difference]
"""(name, other name) to their difference."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name, what : str
    score : float
        The number that the strategies are ranked by.
    interval : (float, float) or None
        95 %.
    behind : float
        score of the best strategy minus this one.
    behind_interval : (float, float) or None
        95 %, from the same rows.
    behind_bounds : (float, float) or None
        One true class: `Difference.bounds` of the best and this one.
    level : bool
        Whether the best one and this one cannot be told apart.
    metrics : dict
        As `evaluate` gives them, for the decisions of this strategy.
    decision : str
        The rule that made decisions of probabilities.
    seconds : float
        Training time of a fold, median.
    n_parameters : int
    """

    name: str
    what: str
    score: float
    interval: Interval | None
    behind: float
    behind_interval: Interval | None
    behind_bounds: Interval | None
    level: bool
    metrics: dict[str, Any]
    decision: str
    seconds: float
    n_parameters: int


def score_outcomes(
    outcomes: list[Outcome], data: Data, folds: NDArray[np.int64], metric: str, seed: int
) -> tuple[list[Row], Gap]:
    """Return the table, best first, and the paired difference of any two strategies.

    Rows outside the finished folds take no part.
    """
    used = np.flatnonzero(~np.isnan(outcomes[0].proba).any(axis=1))
    part = data.take(used)
    judge = _Classes if data.labels.task == "multiclass" else _Tags
    judges: list[Any] = [judge(o, part, o.proba[used], folds[used], metric, seed) for o in outcomes]
    order = sorted(range(len(judges)), key=lambda i: (-judges[i].score, i))
    by_name = {o.strategy.name: judged for o, judged in zip(outcomes, judges, strict=True)}

    def gap(name: str, other: str) -> Difference:
        return Difference(name, other, *by_name[name].ahead_of(by_name[other]))

    best = outcomes[order[0]].strategy.name
    return [_row(outcomes[i], judges[i], best, gap) for i in order], gap


def _row(outcome: Outcome, mine: Any, best: str, gap: Gap) -> Row:
    name = outcome.strategy.name
    behind = Difference(best, name, 0.0, None, None) if best == name else gap(best, name)
    return Row(
        name,
        outcome.strategy.what,
        mine.score,
        mine.interval,
        behind.value,
        behind.interval,
        behind.bounds,
        behind.sign <= 0,
        mine.metrics,
        mine.decision,
        float(np.median(outcome.seconds)),
        outcome.n_parameters,
    )


class _Classes:
    """A strategy for one true class."""

    def __init__(
        self,
        outcome: Outcome,
        data: Data,
        proba: NDArray[np.float32],
        folds: NDArray[np.int64],
        metric: str,
        seed: int,
    ) -> None:
        labels = data.labels
        report = evaluate(labels, proba, meaning="probabilities")
        self.metrics, self.decision = report["metrics"], report["decision"]
        self.weight = np.ones(len(labels)) if data.weight is None else data.weight
        self.unit = np.arange(len(labels))
        if data.keys is not None:
            self.unit = np.unique(data.keys, return_inverse=True)[1].ravel()
        self.decided = proba.argmax(axis=1)
        self.allowed = _Allowed(labels)
        if data.weight is not None:
            self.metrics["accuracy"] = self.allowed.accuracy(self.decided, self.weight)
        earned, at_stake = agreement(labels, self.decided, data.keys)
        self.earned, self.at_stake = self._summed(earned), self._summed(at_stake)
        found = ratio_of(self.earned, self.at_stake)
        # what the rows are worth together, fewer where weights or repeated inputs are uneven
        rows = self._summed((at_stake > 0).astype(np.float64))
        worth = self.at_stake.sum() / max(rows.sum(), 1e-300)
        self.stake = float(worth * rows.sum() ** 2 / max((rows * rows).sum(), 1e-300))
        self.score, self.interval = found.value, _share(found, self.stake)

    def _summed(self, values: Floats) -> Floats:
        """Return weighted sums over the rows of each input."""
        return np.bincount(self.unit, values * self.weight).astype(np.float64)

    def ahead_of(self, other: _Classes) -> tuple[float, Interval | None, Interval | None]:
        """Return the difference of the scores, its interval, and its bounds over all truths.

        Half a row won and half a row lost are added to the variance (Agresti and Min, 2005):
        otherwise four rows won and none lost would pass for a difference.
        """
        found = ratio_of(self.earned - other.earned, self.at_stake)
        bounds = self.allowed.difference(self.decided, other.decided, self.weight)
        if found.error is None or not self.stake:
            return found.value, None, bounds
        error = Z * hypot(found.error, 1 / self.stake)
        return found.value, (found.value - error, found.value + error), bounds


class _Allowed:
    """Which classes the rows that say something leave open."""

    def __init__(self, labels: Labels) -> None:
        targets = labels.sparse()
        self.speaks = targets.mode != UNKNOWN
        self.open = targets.dense(np.float64) > 0
        self.settled = self.open.sum(axis=1) == 1

    def accuracy(self, decided: NDArray[np.int64], weight: Floats) -> dict[str, Any]:
        """Return the weighted share of right decisions as `evaluate` writes it."""
        may = self.open[np.arange(len(decided)), decided]
        low, high = (ratio_of(weight * right, weight) for right in (may & self.settled, may))
        bounds = between(low, high)
        interval = None if bounds.interval is None else list(bounds.interval)
        return {"lower": bounds.lower, "upper": bounds.upper, "interval": interval}

    def difference(self, a: NDArray[np.int64], b: NDArray[np.int64], weight: Floats) -> Interval:
        """Return the least and the largest difference of the shares of right decisions."""
        rows = np.arange(len(a))
        may_a, may_b = self.open[rows, a], self.open[rows, b]
        differ = (a != b) & self.speaks
        low = np.where(may_b, -1.0, np.where(may_a & self.settled, 1.0, 0.0))
        high = np.where(may_a, 1.0, np.where(may_b & self.settled, -1.0, 0.0))
        total = float(weight[self.speaks].sum()) or 1.0
        return float(weight @ (low * differ)) / total, float(weight @ (high * differ)) / total


def agreement(
    labels: Labels, decided: NDArray[np.int64], keys: NDArray[np.uint64] | None = None
) -> tuple[Floats, Floats]:
    """Return what each row's decision earns beyond chance, and what it could.

    Parameters
    ----------
    labels : Labels
        ``(n_samples,)``, one true class a row.
    decided : int array of shape (n_samples,)
        Columns of `labels.classes`.
    keys : array of shape (n_samples,), optional
        Equal for rows with the same input, whose statements then narrow each other.

    Returns
    -------
    earned, at_stake : arrays of shape (n_samples,)
        ``sum(earned) / sum(at_stake)`` estimates the accuracy; both are 0 where the label says
        nothing.

    Examples
    --------
    >>> from eitheror.labels import either
    >>> labels = Labels(["a", either("a", "b"), None], classes=["a", "b", "c"])
    >>> earned, at_stake = agreement(labels, np.array([0, 2, 1]))
    >>> earned.tolist(), at_stake.tolist()
    ([1.0, -0.5, 0.0], [1.0, 0.5, 0.0])
    """
    targets = labels.sparse()
    weights = targets.dense(np.float64)
    speaks = targets.mode != UNKNOWN
    shares = targets.mode == SHARES
    weights[shares] /= weights[shares].max(axis=1, keepdims=True)
    if keys is not None:
        weights = _narrowed(weights, np.flatnonzero(speaks), keys)
    chance = (weights.sum(axis=1) - 1) / max(labels.n_classes - 1, 1)
    earned = weights[np.arange(len(labels)), decided] - chance
    return np.where(speaks, earned, 0.0), np.where(speaks, 1 - chance, 0.0)


def _narrowed(weights: Floats, speaking: NDArray[np.int64], keys: NDArray[np.uint64]) -> Floats:
    """Keep, of the classes of a row, those that all rows with its input together allow most."""
    _, unit, size = np.unique(keys[speaking], return_inverse=True, return_counts=True)
    several = size[unit] > 1
    rows, unit = speaking[several], unit[several]
    together = np.zeros((len(size), weights.shape[1]))
    np.add.at(together, unit, weights[rows])
    value = weights[rows] * together[unit]
    narrowed = weights.copy()
    narrowed[rows] = value >= value.max(axis=1, keepdims=True) * (1 - 1e-9)
    return narrowed


class _Tags:
    """A strategy for tags, with the rule that suits it best on the other folds."""

    def __init__(
        self,
        outcome: Outcome,
        data: Data,
        proba: NDArray[np.float32],
        folds: NDArray[np.int64],
        metric: str,
        seed: int,
    ) -> None:
        values = data.labels.sparse().dense(np.float64)
        rows = np.flatnonzero(~np.isnan(values).all(axis=1))
        decided = np.zeros(proba.shape, dtype=bool)
        decided[rows], chosen = decided_by_best_rule(
            values[rows], proba[rows], folds[rows], metric, outcome.meaning
        )
        report = evaluate(data.labels, proba, decision=_Given(decided), meaning=outcome.meaning)
        self.metrics = report["metrics"]
        self.decision = _in_words(chosen)
        self.tags = DecidedTags(metric, values, decided, data.labels.classes, seed)
        self.score, self.interval = self.tags.score, self.tags.interval

    def ahead_of(self, other: _Tags) -> tuple[float, Interval | None, None]:
        """Return the difference of the scores and its interval."""
        return *self.tags.ahead_of(other.tags), None


def _in_words(chosen: Mapping[str, int]) -> str:
    if len(chosen) == 1:
        return next(iter(chosen))
    total = sum(chosen.values())
    ordered = sorted(chosen.items(), key=lambda item: -item[1])
    return "; ".join(f"{name} ({count} of {total} parts)" for name, count in ordered)


def _share(found: Estimate, stake: float) -> Interval | None:
    """Return an interval within 0 and 1; the estimate itself can lie beyond.

    Two rows are added to the standard error, so that a share of 0 or 1 gets the interval that
    the rule of three and Wilson's give it and not one without width.
    """
    if found.error is None or not stake:
        return None
    half = Z * hypot(found.error, 2 / stake)
    low, high = (min(max(found.value + sign * half, 0.0), 1.0) for sign in (-1, 1))
    return low, high


class _Given(Rule):
    """Decisions that were made elsewhere."""

    def __init__(self, decided: NDArray[np.bool_]) -> None:
        self.decided = decided

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return the decisions."""
        return self.decided

    def to_config(self) -> dict[str, Any]:
        """Return nothing that could be stored."""
        raise ValueError("decisions of a comparison are not a rule that can be stored")

    def describe(self) -> str:
        """Return the rule in words."""
        return "cross-fitted threshold"
