"""From out-of-fold probabilities to scores and paired differences, by partial labels only.

One true class: a decision h earns the weight w_h that its row's statement gives it, less what a
wrong decision would earn on average, q = (sum(w) - 1) / (K - 1):

    estimate = sum_i (w_i,h - q_i) / sum_i (1 - q_i).

On exact rows that is the accuracy, on "not l" rows 1 - (K - 1) r, r the share of decisions that are
ruled out. It estimates the accuracy if the true class has the largest weight and,
given their number, candidates are as likely for one wrong class as for another. Bounds that do
not assume the latter stand beside it.

Tags: the threshold of each strategy is tuned on the other folds, and the score counts the known
entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison.run import Outcome
from eitheror.decide import Rule, Threshold, TunedThreshold, score_decision
from eitheror.labels import SHARES, UNKNOWN, Labels
from eitheror.metrics import evaluate, paired_difference
from eitheror.metrics.intervals import Estimate, Z, ratio_of

__all__ = ["Gap", "Row", "score_outcomes"]

Interval = tuple[float, float]
Gap = Callable[[str, str], tuple[float, Interval | None]]
"""(name, other name) to score - other score on the same rows, and its 95 % interval."""


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
    level : bool
        Whether the best one and this one cannot be told apart.
    metrics : dict
        As `evaluate` gives them, for the decisions of this strategy.
    decision : str
        How probabilities became decisions.
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
    level: bool
    metrics: dict[str, Any]
    decision: str
    seconds: float
    n_parameters: int


def score_outcomes(
    outcomes: list[Outcome], labels: Labels, folds: NDArray[np.int64], metric: str, seed: int
) -> tuple[list[Row], Gap]:
    """Return the table, best first, and the paired difference of any two strategies.

    Rows outside the finished folds take no part.
    """
    used = np.flatnonzero(~np.isnan(outcomes[0].proba).any(axis=1))
    judge = _Classes if labels.task == "multiclass" else _Tags
    judges: list[Any] = [
        judge(o, labels[used], o.proba[used], folds[used], metric, seed) for o in outcomes
    ]
    order = sorted(range(len(judges)), key=lambda i: (-judges[i].score, i))
    best = order[0]
    by_name = {o.strategy.name: judged for o, judged in zip(outcomes, judges, strict=True)}
    rows = [_row(outcomes[i], judges[i], None if i == best else judges[best]) for i in order]
    return rows, lambda name, other: by_name[name].ahead_of(by_name[other])


def _row(outcome: Outcome, mine: Any, best: Any) -> Row:
    behind, interval = (0.0, None) if best is None else best.ahead_of(mine)
    return Row(
        outcome.strategy.name,
        outcome.strategy.what,
        mine.score,
        mine.interval,
        behind,
        interval,
        interval is None or interval[0] <= 0,
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
        labels: Labels,
        proba: NDArray[np.float32],
        folds: NDArray[np.int64],
        metric: str,
        seed: int,
    ) -> None:
        report = evaluate(labels, proba, meaning="probabilities")
        self.metrics, self.decision = report["metrics"], report["decision"]
        self.earned, self.at_stake = _agreement(labels, proba.argmax(axis=1))
        found = ratio_of(self.earned, self.at_stake)
        self.score, self.interval = found.value, _share(found, float(self.at_stake.sum()))

    def ahead_of(self, other: _Classes) -> tuple[float, Interval | None]:
        """Return the difference of the scores and its interval.

        Half a row won and half a row lost are added to the variance (Agresti and Min, 2005):
        otherwise four rows won and none lost would pass for a difference.
        """
        found = ratio_of(self.earned - other.earned, self.at_stake)
        if found.error is None:
            return found.value, None
        error = Z * hypot(found.error, 1 / float(self.at_stake.sum()))
        return found.value, (found.value - error, found.value + error)


def _agreement(
    labels: Labels, decided: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each row's decision earned beyond chance, and what it could."""
    targets = labels.sparse()
    weights = targets.dense(np.float64)
    shares = targets.mode == SHARES
    weights[shares] /= weights[shares].max(axis=1, keepdims=True)
    chance = (weights.sum(axis=1) - 1) / max(labels.n_classes - 1, 1)
    earned = weights[np.arange(len(labels)), decided] - chance
    speaks = targets.mode != UNKNOWN
    return np.where(speaks, earned, 0.0), np.where(speaks, 1 - chance, 0.0)


class _Tags:
    """A strategy for tags, with its threshold tuned on the other folds."""

    def __init__(
        self,
        outcome: Outcome,
        labels: Labels,
        proba: NDArray[np.float32],
        folds: NDArray[np.int64],
        metric: str,
        seed: int,
    ) -> None:
        self.metric, self.seed = metric, seed
        decided = _cross_fitted(labels, proba, folds, metric)
        report = evaluate(labels, proba, decision=_Given(decided), meaning=outcome.meaning)
        self.metrics = report["metrics"]
        where = "on the other folds" if len(np.unique(folds)) > 1 else "on the other half"
        self.decision = f"one threshold, tuned for {metric} {where}"
        self.score = score_decision(metric, labels, decided)
        # An unknown entry counts for nobody: absent, and not named.
        values = labels.sparse().dense(np.float64)
        # A row without a known entry is no row: its empty set would count as perfectly decided.
        rows = np.flatnonzero(~np.isnan(values).all(axis=1))
        values, decided = values[rows], decided[rows]
        known = ~np.isnan(values)
        self.labels = Labels.from_indicator(np.where(known, values, 0.0), classes=labels.classes)
        self.decided = (decided & known).astype(np.float32)
        found = evaluate(self.labels, self.decided, decision=Threshold(0.5))["metrics"][metric]
        self.interval = None if found["interval"] is None else tuple(found["interval"])

    def ahead_of(self, other: _Tags) -> tuple[float, Interval | None]:
        """Return the difference of the scores and its interval."""
        half = Threshold(0.5)
        bounds = paired_difference(
            self.labels,
            self.decided,
            other.decided,
            self.metric,
            decision=half,
            other_decision=half,
            seed=self.seed,
        )
        return (bounds.lower + bounds.upper) / 2, bounds.interval


def _cross_fitted(
    labels: Labels, proba: NDArray[np.float32], folds: NDArray[np.int64], metric: str
) -> NDArray[np.bool_]:
    """Decide each fold with the threshold that is best on the others (on its own if alone)."""
    decided = np.zeros(proba.shape, dtype=bool)
    present = np.unique(folds)
    if len(present) == 1:  # one fold was run: halve it
        present, folds = np.arange(2), np.arange(len(folds)) % 2
    for fold in present:
        others, mine = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        rule = TunedThreshold(metric).fit(labels[others], proba[others])
        decided[mine] = rule.predict(proba[mine])
    return decided


def _share(found: Estimate, stake: float) -> Interval | None:
    """Return an interval within 0 and 1; the estimate itself can lie beyond.

    Two rows are added to the standard error, so that a share of 0 or 1 gets the interval that
    the rule of three and Wilson's give it and not one without width.
    """
    if found.error is None:
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
