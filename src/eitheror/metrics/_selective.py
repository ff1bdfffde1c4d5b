"""Scores of decisions for one true class that may name no class, or several.

A rule that may keep silent (-1) trades the share of rows it decides for how many of those are
right; a rule that gives sets trades their size for how often they hold the true class. In: a bool
matrix of decisions over the columns of a `Truth`. Out: named `Bounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.metrics._truth import Truth, align
from eitheror.metrics.intervals import Bounds, between, mean_of, proportion

__all__ = ["cost_of", "coverage_bounds", "decided_scores", "held", "set_scores"]

Bools = NDArray[np.bool_]


def coverage_bounds(labels: Any, chosen: Any, classes: Sequence[Any] | None = None) -> Bounds:
    """Return the range of the share of sets that hold the true class.

    Sharp: some truth that the labels allow reaches either end.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
        One true class.
    chosen : bool array of shape (n_samples, n_classes)
        A set for each row, of `decide.ConformalSet` or any other library.
    classes : sequence of n_classes names, optional
        Names of the columns, if they are not `labels.classes`.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", either("a", "b")], classes=["a", "b"])
    >>> coverage_bounds(labels, [[True, True], [True, False]])[:2]
    (0.5, 1.0)
    """
    sets = np.asarray(chosen)
    if sets.ndim != 2 or not np.isin(sets, (0, 1)).all():
        raise ValueError(
            f"chosen has shape {sets.shape} and type {sets.dtype}; expected a bool matrix "
            "(n_samples, n_classes), True where a class is in the set"
        )
    sets = sets.astype(bool)
    truth = align(labels, sets.astype(np.float32), classes)
    if truth.task != "multiclass":
        raise ValueError("coverage_bounds is for one true class; these labels are tags")
    wide = np.zeros(truth.certain.shape, dtype=bool)
    wide[:, : sets.shape[1]] = sets
    return set_scores(truth, wide)["coverage"]


def held(truth: Truth, chosen: Bools) -> tuple[Bools, Bools]:
    """Return the rows whose true class is certainly, and is possibly, among those chosen."""
    outside: Bools = np.any(truth.possible & ~chosen, axis=1)
    maybe: Bools = np.any(truth.possible & chosen, axis=1)
    return maybe & ~outside, maybe


def decided_scores(truth: Truth, predicted: Bools) -> dict[str, Bounds | None]:
    """Return ``decided``, the share of rows with a decision, and the accuracy among them."""
    decided: Bools = np.any(predicted, axis=1)
    n_decided = int(decided.sum())
    scores: dict[str, Bounds | None] = {
        "decided": proportion(n_decided, n_decided, len(decided)),
        "accuracy_decided": None,
    }
    if n_decided:
        surely, maybe = held(truth, predicted)
        scores["accuracy_decided"] = proportion(int(surely.sum()), int(maybe.sum()), n_decided)
    return scores


def set_scores(truth: Truth, chosen: Bools) -> dict[str, Bounds]:
    """Return ``coverage``, the share of sets with the true class in them, and ``set_size``.

    Coverage is sharp: some truth that the labels allow reaches either end.
    """
    surely, maybe = held(truth, chosen)
    size = mean_of(chosen.sum(axis=1).astype(np.float64))
    return {
        "coverage": proportion(int(surely.sum()), int(maybe.sum()), len(chosen)),
        "set_size": between(size, size, top=inf),  # no interval where all are of one size
    }


def cost_of(truth: Truth, decided: NDArray[np.int64], costs: NDArray[np.float64]) -> Bounds | None:
    """Return the mean cost of a row; None where it depends on a class the costs do not name.

    Parameters
    ----------
    truth : Truth
    decided : array of shape (n_samples,)
        Class indices, -1 for no decision.
    costs : array of shape (n_classes, n_classes + 1)
        Of deciding the column when the row is true; the last column is no decision.
    """
    n = truth.n_model
    if truth.possible[:, n:].any():
        return None
    least = float(costs.min())
    above = (costs - least).T[decided]  # (n_samples, n_classes): -1 is the last column
    low = mean_of(np.where(truth.possible, above, np.inf).min(axis=1))
    high = mean_of(np.where(truth.possible, above, -np.inf).max(axis=1))
    if not (costs > least).any():
        return Bounds(least, least, None)
    found = between(low, high, top=float(costs.max()) - least)
    interval = found.interval and (found.interval[0] + least, found.interval[1] + least)
    return Bounds(found.lower + least, found.upper + least, interval)
