"""How good a candidate is on the selection rows, by partial labels and by the metric asked for.

In: probabilities of held-out rows. Out: a `Scored`, a score with its interval that can be compared
with another's on the same rows; and for tags the decision rule that earned it. Every rule is
scored by decisions from the other folds, so that no cut is scored on the rows it was tuned on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison.score import agreement
from eitheror.comparison.tags import DecidedTags
from eitheror.decide import (
    METRICS,
    Argmax,
    Calibration,
    ExpectedF1,
    ExpectedJaccard,
    Rule,
    TunedThreshold,
    score_decision,
)
from eitheror.labels import Labels
from eitheror.metrics.intervals import Estimate, Z, between, mean_of, ratio_of
from eitheror.metrics.probabilities import statement_log_loss
from eitheror.model import Model

__all__ = ["CLASS_METRICS", "Chosen", "Judge", "Scored", "checked_metric", "score_of"]

CLASS_METRICS = ("accuracy", "log_loss")

Interval = tuple[float, float]
Proba = NDArray[np.floating[Any]]
Keys = NDArray[np.uint64]


class Scored(Protocol):
    """A score on some rows.

    Attributes
    ----------
    score : float
    interval : (float, float) or None
        95 %.
    """

    score: float
    interval: Interval | None

    def ahead_of(self, other: Any) -> tuple[float, Interval | None]:
        """Return how much better this one is on the same rows, and the 95 % interval."""


@dataclass(frozen=True)
class Chosen:
    """The decision rule of a candidate, and what it earned.

    Attributes
    ----------
    scored : Scored
        From decisions made across folds.
    rule : Rule
        Fitted to all selection rows.
    calibration : Calibration or None
        To be applied before the rule.
    """

    scored: Scored
    rule: Rule
    calibration: Calibration | None

    def describe(self) -> str:
        """Return the decision in words."""
        before = "" if self.calibration is None else "probabilities calibrated; "
        return before + self.rule.describe()

    def store_in(self, model: Model) -> None:
        """Make the model decide by this rule."""
        model.set_decision(self.rule)
        model.calibration = None if self.calibration is None else self.calibration.to_config()


def checked_metric(metric: str | None, task: str) -> str:
    """Return the metric or the default of the task; ValueError for a word that is not known."""
    known = CLASS_METRICS if task == "multiclass" else METRICS
    metric = metric or ("accuracy" if task == "multiclass" else "f1_micro")
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r} for {task}; write {', '.join(known)}")
    return metric


def score_of(
    metric: str, labels: Labels, proba: Proba, rule: Rule, seed: int, keys: Keys | None = None
) -> Scored:
    """Score probabilities, and the decisions that a fitted rule makes of them.

    `keys`, equal for rows with the same input, let their statements narrow each other.
    """
    if metric == "log_loss":
        return _Losses(labels, proba, keys)
    decided = rule.predict(proba)
    if decided.ndim == 1:
        return _Classes(labels, decided, keys)
    return _of_tags(metric, labels, decided, seed)


class Judge:
    """Scores candidates on the selection rows.

    Parameters
    ----------
    metric : str
    labels : Labels
        Of the selection rows.
    folds : int64 array
        Dealt by content; rules are fitted across them.
    seed : int
        Of the intervals of tags.
    keys : uint64 array, optional
        Content of each row.
    """

    def __init__(
        self,
        metric: str,
        labels: Labels,
        folds: NDArray[np.int64],
        seed: int,
        keys: Keys | None = None,
    ) -> None:
        self.metric, self.labels, self.folds, self.seed = metric, labels, folds, seed
        self.keys = keys

    def merit(self, score: float) -> float:
        """Return the score so that more is better."""
        return -score if self.metric == "log_loss" else score

    def quick(self, proba: Proba) -> float:
        """Return the score under the plainest rule: enough to rank candidates by."""
        if self.labels.task == "multiclass":
            return self._of_classes(proba).score
        decided = self._decided([_rules(self.metric)[0]], proba)[0]
        return score_decision(self.metric, self.labels, decided)

    def choose(self, proba: Proba) -> Chosen:
        """Return the decision rule that earns most across folds, fitted to all rows."""
        if self.labels.task == "multiclass":
            return Chosen(self._of_classes(proba), Argmax(), None)
        rules = _rules(self.metric)
        decided = self._decided(rules, proba)
        scores = [score_decision(self.metric, self.labels, each) for each in decided]
        best = int(np.argmax(scores))
        calibrates, rule = rules[best]
        calibration = Calibration().fit(self.labels, proba) if calibrates else None
        rule.fit(self.labels, _read(calibration, proba))
        return Chosen(
            _of_tags(self.metric, self.labels, decided[best], self.seed), rule, calibration
        )

    def _of_classes(self, proba: Proba) -> Scored:
        return score_of(self.metric, self.labels, proba, Argmax(), self.seed, self.keys)

    def _decided(self, rules: list[tuple[bool, Rule]], proba: Proba) -> list[NDArray[np.bool_]]:
        """Decide each fold with rules that are fitted on the others."""
        decided = [np.zeros(proba.shape, dtype=bool) for _ in rules]
        for fold in np.unique(self.folds):
            rest, mine = np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)
            labels = self.labels[rest]
            calibrated = any(calibrates for calibrates, _ in rules)
            fitted = Calibration().fit(labels, proba[rest]) if calibrated else None
            for place, (calibrates, rule) in enumerate(rules):
                reader = fitted if calibrates else None
                rule.fit(labels, _read(reader, proba[rest]))
                decided[place][mine] = rule.predict(_read(reader, proba[mine]))
        return decided


def _read(calibration: Calibration | None, proba: Proba) -> Proba:
    # float32, as the model itself gives them: the cut must fall between the numbers it will meet
    return proba if calibration is None else calibration.transform(proba).astype(np.float32)


def _rules(metric: str) -> list[tuple[bool, Rule]]:
    """Return rules worth trying for a metric, the plainest first: (calibrate before?, rule)."""
    tuned, or_best = TunedThreshold(metric), TunedThreshold(metric, at_least_one=True)
    if metric.endswith("macro"):
        own = TunedThreshold(metric, per_class=True)
        return [(False, own), (True, TunedThreshold(metric, per_class=True)), (True, tuned)]
    plain: list[tuple[bool, Rule]] = [
        (False, tuned),
        (True, TunedThreshold(metric)),
        (True, or_best),
    ]
    expected = {"jaccard_samples": ExpectedJaccard, "f1_samples": ExpectedF1}.get(metric)
    if expected is None:
        return plain
    return [*plain, (False, expected()), (False, expected(at_least_one=True))]


class _Classes:
    """Accuracy of decided classes, estimated as `eitheror.compare` does."""

    def __init__(self, labels: Labels, decided: NDArray[np.int64], keys: Keys | None) -> None:
        earned, at_stake = agreement(labels, decided, keys)
        unit = _inputs(len(labels), keys)
        self.earned, self.at_stake = (
            np.bincount(unit, each).astype(np.float64) for each in (earned, at_stake)
        )
        rows = np.bincount(unit, at_stake > 0)
        # what the rows are worth together: fewer where repeated inputs are uneven
        self.worth = float(at_stake.sum() * rows.sum() / max((rows * rows).sum(), 1))
        found = ratio_of(self.earned, self.at_stake)
        self.score = found.value
        self.interval = _widened(found, 2.0, self.worth, within=(0.0, 1.0))

    def ahead_of(self, other: _Classes) -> tuple[float, Interval | None]:
        found = ratio_of(self.earned - other.earned, self.at_stake)
        return found.value, _widened(found, 1.0, self.worth, within=(-1.0, 1.0))


class _Losses:
    """Mean of minus the log of the probability of each statement."""

    def __init__(self, labels: Labels, proba: Proba, keys: Keys | None) -> None:
        unit = _inputs(len(labels), keys)
        of_input = np.bincount(unit, statement_log_loss(labels, proba))
        self.losses = of_input * (len(of_input) / len(unit))  # their mean is that of the rows
        finite = np.isfinite(self.losses).all()  # inf where a statement was ruled out
        found = mean_of(self.losses) if finite else Estimate(np.inf, None)
        self.score = found.value
        self.interval = between(found, found, top=np.inf).interval

    def ahead_of(self, other: _Losses) -> tuple[float, Interval | None]:
        found = mean_of(other.losses - self.losses)
        n = float(len(self.losses))
        return found.value, _widened(found, 0.0, n, within=(-np.inf, np.inf))


def _of_tags(metric: str, labels: Labels, decided: NDArray[np.bool_], seed: int) -> DecidedTags:
    values = labels.sparse().dense(np.float64)
    return DecidedTags(metric, values, decided, labels.classes, seed)


def _inputs(n: int, keys: Keys | None) -> NDArray[np.int64]:
    """Return the input of each row, as a number: errors are over inputs, whose rows go together."""
    if keys is None:
        return np.arange(n)
    return np.unique(keys, return_inverse=True)[1].ravel().astype(np.int64)


def _widened(found: Estimate, rows: float, n: float, within: Interval) -> Interval | None:
    """Return an interval; `rows` of n keep one without any spread from having no width.

    Two rows are added to the error of a score, one to that of a difference (A. Agresti,
    Y. Min, 2005), as in a comparison.
    """
    if found.error is None or not n or not np.isfinite(found.value):
        return None
    half = Z * hypot(found.error, rows / n)
    low, high = (min(max(found.value + sign * half, within[0]), within[1]) for sign in (-1, 1))
    return low, high
