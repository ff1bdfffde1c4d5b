"""What the SGD trainers read from the labels besides the loss: weights and class frequencies.

Class weights reach a kernel in the form that its loss can use: as weights of rows (one class true),
as factors of the gradient's columns (one-vs-all), or as heavier tags (the losses that pick tags).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import EVIDENCE, UNKNOWN, Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.training.weights import balanced_or_given, row_weights

__all__ = ["apply_class_weight", "class_prior", "mean_tags", "prior_sums"]

Floats = NDArray[np.float32]


def apply_class_weight(
    option: Any, loss: str, labels: Labels, targets: SparseTargets, weight: Floats
) -> tuple[SparseTargets, Floats, Floats | None]:
    """Targets, row weights and column factors that together carry the class weights.

    Parameters
    ----------
    option : None, "balanced", mapping or array
    loss : str
        Resolved.
    labels, targets : Labels, SparseTargets
        The same rows.
    weight : float32 array of shape (n_samples,)
        Sample weights.
    """
    by_class = balanced_or_given(option, labels, targets, weight.astype(np.float64))
    if by_class is None:
        return targets, weight, None
    if loss in ("ova", "ova-n"):
        return targets, weight, by_class.astype(np.float32)
    if targets.task == "multiclass":
        return targets, (weight * row_weights(targets, by_class)).astype(np.float32), None
    heavier = replace(targets, values=(targets.values * by_class[targets.indices]).astype("f4"))
    if loss == "pal":
        return heavier, weight, None
    # pal-n and pol divide by the row's sum; the row's weight puts the scale back.
    before, after = _tag_sums(targets), _tag_sums(heavier)
    mean = np.divide(after, before, out=np.ones(len(targets)), where=before > 0)
    return heavier, (weight * mean).astype(np.float32), None


def _tag_sums(targets: SparseTargets) -> NDArray[np.float64]:
    rows = row_of_entries(targets.indptr)
    return np.bincount(rows, targets.values, len(targets)).astype(np.float64)


def class_prior(targets: SparseTargets, weight: Floats) -> NDArray[np.float64]:
    """Share of the weighted rows in which each class is true, shrunk by half a row.

    multiclass: a set counts one share for each member. multilabel: the share among the rows in
    which the tag's entry is known.
    """
    mass, known = prior_sums(targets, weight)
    return np.asarray((mass + 0.5) / (known + 1.0))


def mean_tags(targets: SparseTargets, weight: Floats) -> float:
    """Return how many tags are true in a row that says something, on average; 1 of one class.

    Examples
    --------
    >>> from eitheror.labels import tags, unknown
    >>> targets = Labels([tags("a", "b"), tags("a"), unknown]).sparse()
    >>> mean_tags(targets, np.ones(3, np.float32))
    1.5
    """
    if targets.task == "multiclass":
        return 1.0
    true, _ = prior_sums(targets, weight)
    said = float(weight[targets.mode != UNKNOWN].sum(dtype=np.float64))
    return float(true.sum()) / max(said, 1e-30)


def prior_sums(
    targets: SparseTargets, weight: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted rows in which each class is true, and among how many; sums over parts add up."""
    n, k = len(targets), targets.n_classes
    rows = row_of_entries(targets.indptr)
    speaks = np.where(targets.mode == UNKNOWN, 0.0, weight)
    if targets.task == "multilabel":
        mass = np.bincount(targets.indices, targets.values * speaks[rows], k)
        closed = np.where(np.isnan(targets.rest), 0.0, speaks)
        known = closed.sum() + np.bincount(targets.indices, (speaks - closed)[rows], k)
        return mass.astype(np.float64), np.asarray(known, dtype=np.float64)
    rest = np.where(targets.mode == EVIDENCE, targets.rest, 0.0).astype(np.float64)
    sums = _tag_sums(targets) + rest * (k - np.diff(targets.indptr))
    share = np.divide(speaks, sums, out=np.zeros(n), where=sums > 0)
    listed = np.bincount(targets.indices, (targets.values - rest[rows]) * share[rows], k)
    return np.asarray(listed + float(rest @ share)), np.full(k, speaks.sum())
