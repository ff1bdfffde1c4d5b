"""Scores of the probabilities themselves: log loss of what is stated, calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import checked_proba
from eitheror.labels import SHARES, UNKNOWN
from eitheror.losses import (
    at_least_one,
    partial_sigmoid_binary_cross_entropy,
    partial_softmax_cross_entropy,
)
from eitheror.metrics._truth import Truth, align
from eitheror.metrics.intervals import Bounds, between, mean_of

__all__ = [
    "TOLERANCE",
    "calibration_error",
    "checked_range",
    "log_loss_of",
    "losses_of",
    "reliability_of",
    "scored_entries",
    "statement_log_loss",
]

_BINS = 15
TOLERANCE = 1e-2
"""How far from 1 a sum may be: float32 softmax over many classes, files with rounded numbers."""
_CHUNK = 2**18


def statement_log_loss(
    labels: Any, proba: Any, classes: Sequence[Any] | None = None
) -> NDArray[np.float64]:
    """Return minus the log of the probability that the model gives to each statement.

    One true class: -log sum w p for evidence weights w, -sum q log p for shares q. Tags: the sum
    over the known entries of -y log s - (1 - y) log(1 - s), plus -log(1 - prod(1 - s)) for each
    "at least one of". No probability is clipped: a statement with probability 0 costs inf.

    Parameters
    ----------
    labels : Labels
    proba : array of shape (n_samples, n_classes)
        Rows that add to 1 for one true class, marginals for tags.
    classes : sequence of str, optional
        Names of the columns, if they are not `labels.classes`.

    Returns
    -------
    array of shape (n_samples,)
        nan for rows that say nothing about the model's classes.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels([either("a", "b"), None], classes=["a", "b", "c"])
    >>> statement_log_loss(labels, [[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]]).round(6)
    array([0.693147,      nan])
    """
    proba = checked_range(proba)
    return losses_of(align(labels, proba, classes), proba)


def calibration_error(labels: Any, proba: Any, classes: Sequence[Any] | None = None) -> Bounds:
    """Return how far probabilities are from frequencies, over every truth the labels allow.

    The expected calibration error: entries are put in 15 bins of equal width by probability;
    the mean over entries of |mean probability - frequency| of their bin. One true class: the
    largest probability of each row against "that class is the true one". Tags: every entry. What
    the labels leave open may have come true or not, which gives a bin a range of frequencies; both
    bounds are sharp (but for "at least one of" on tags).

    Returns
    -------
    Bounds
        Without an interval: the error of a sample is too high on average, even a calibrated
        model's is not 0, and by how much depends on what is not known.

    Examples
    --------
    >>> from eitheror.labels import Labels
    >>> error = calibration_error(Labels(["a", "a", "b", None]), [[0.8, 0.2]] * 4)
    >>> round(error.lower, 6), round(error.upper, 6)
    (0.05, 0.3)

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger (2017), "On Calibration of Modern Neural Networks".
    """
    proba = checked_range(proba)
    return reliability_of(align(labels, proba, classes), proba)


def checked_range(proba: Any) -> NDArray[np.floating[Any]]:
    """Return `proba` checked, between 0 and 1 up to rounding; ValueError if these are no shares."""
    proba = checked_proba(proba)
    if ((proba < 0) | (proba > 1 + TOLERANCE)).any():
        raise ValueError("proba must lie between 0 and 1; these look like logits or scores")
    return np.asarray(proba)


def reliability_of(truth: Truth, proba: NDArray[np.floating[Any]]) -> Bounds:
    """Return the least and the largest expected calibration error."""
    score, low, high = scored_entries(truth, proba)
    bins = np.clip((score * _BINS).astype(np.int64), 0, _BINS - 1)
    sums = [np.bincount(bins, part.astype(np.float64), _BINS) for part in (score, low, high)]
    below, above = sums[0] - sums[1], sums[0] - sums[2]  # below >= above
    nearest = np.where((below >= 0) & (above <= 0), 0.0, np.minimum(abs(below), abs(above)))
    farthest = np.maximum(abs(below), abs(above))
    # A bin's frequency moves in steps of one entry: the nearest count may miss the middle.
    whole = np.abs(sums[0] - np.clip(np.rint(sums[0]), sums[1], sums[2]))
    nearest = np.where(nearest == 0, whole, nearest)
    return Bounds(float(nearest.sum() / len(score)), float(farthest.sum() / len(score)))


def scored_entries(
    truth: Truth, proba: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return probability, "surely came true" and "may have" of each entry that is judged.

    One true class: a row's largest probability, shape (n_samples,). Tags: every entry of the
    model's classes, row by row.
    """
    certain, possible = (part[:, : truth.n_model] for part in (truth.certain, truth.possible))
    if truth.task == "multiclass":
        rows, best = np.arange(len(proba)), proba.argmax(axis=1)
        return proba[rows, best], certain[rows, best], possible[rows, best]
    return proba.ravel(), certain.ravel(), possible.ravel()


def log_loss_of(truth: Truth, proba: NDArray[np.floating[Any]]) -> tuple[Bounds | None, int]:
    """Return the mean statement loss of the rows that say something, and their number."""
    losses = losses_of(truth, proba)
    losses = losses[~np.isnan(losses)]
    if not len(losses):
        return None, 0
    if not np.isfinite(losses).all():
        return Bounds(float("inf"), float("inf"), None), len(losses)
    mean = mean_of(losses)
    return between(mean, mean, top=float("inf")), len(losses)


def losses_of(truth: Truth, proba: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the statement loss of each row over the model's classes; nan where it says nothing."""
    losses = np.empty(len(proba))
    step = max(1, _CHUNK // truth.targets.n_classes)
    loss = _class_losses if truth.task == "multiclass" else _tag_losses
    for start in range(0, len(proba), step):
        rows = np.arange(start, min(start + step, len(proba)))
        with np.errstate(divide="ignore"):
            losses[rows] = loss(truth, proba[rows].astype(np.float64), rows)
    return losses


def _class_losses(
    truth: Truth, proba: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    weights = truth.targets.take(rows).dense(np.float64)
    unseen = weights.shape[1] - truth.n_model
    logits = np.pad(np.log(proba), ((0, 0), (0, unseen)), constant_values=-np.inf)
    losses = np.array(partial_softmax_cross_entropy(logits, weights))
    mode = truth.targets.mode[rows]
    partly_unseen = (weights[:, truth.n_model :] > 0).any(axis=1)
    about_unseen = ~(weights[:, : truth.n_model] > 0).any(axis=1)
    losses[(mode == UNKNOWN) | about_unseen | (partly_unseen & (mode == SHARES))] = np.nan
    return losses


def _tag_losses(
    truth: Truth, proba: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    values = truth.targets.take(rows).dense()[:, : truth.n_model]
    proba = np.minimum(proba, 1.0)  # a rounded 1 is 1
    logits = np.log(proba) - np.log1p(-proba)
    losses = np.array(partial_sigmoid_binary_cross_entropy(logits, values.astype(np.float64)))
    losses[np.isnan(values).all(axis=1)] = np.nan
    owned = truth.targets.group_indptr[rows[0] : rows[-1] + 2]
    for group in range(owned[0], owned[-1]):
        row = int(np.searchsorted(owned, group, side="right")) - 1
        ends = truth.targets.group_ends[group : group + 2]
        members = truth.targets.group_indices[ends[0] : ends[1]]
        if (members < truth.n_model).all():  # of an unseen class there is no probability
            chosen = logits[row : row + 1, members]
            added = at_least_one(chosen, np.ones(chosen.shape, dtype=bool))[0]
            losses[row] = np.nan_to_num(losses[row], posinf=np.inf) + added
    return losses
