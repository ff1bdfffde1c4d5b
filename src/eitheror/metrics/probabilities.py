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

__all__ = ["calibration_error", "log_loss_of", "reliability_of", "statement_log_loss"]

_BINS = 15
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
    proba = checked_proba(proba)
    return losses_of(align(labels, proba, classes), proba)


def calibration_error(
    labels: Any, proba: Any, classes: Sequence[Any] | None = None
) -> tuple[float, int]:
    """Return how far probabilities are from frequencies, and over how many rows.

    The expected calibration error: entries are put in 15 bins of equal width by probability;
    the mean over entries of |mean probability - frequency| of their bin. One true class: the
    largest probability of each row against "that class is the true one". Tags: every entry.
    Only rows whose truth is fully known count. nan where there is none.

    Examples
    --------
    >>> from eitheror.labels import Labels
    >>> labels = Labels(["a", "a", "b", "b"])
    >>> error, rows = calibration_error(labels, [[0.8, 0.2]] * 4)
    >>> round(error, 6), rows
    (0.3, 4)

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger (2017), "On Calibration of Modern Neural Networks".
    """
    proba = checked_proba(proba)
    return reliability_of(align(labels, proba, classes), proba)


def reliability_of(truth: Truth, proba: NDArray[np.floating[Any]]) -> tuple[float, int]:
    """Return the expected calibration error and the number of fully known rows."""
    known = (truth.certain == truth.possible).all(axis=1)
    n_rows = int(known.sum())
    if n_rows == 0:
        return float("nan"), 0
    certain = truth.certain[:, : truth.n_model]
    if truth.task == "multiclass":
        best = proba.argmax(axis=1)
        rows = np.flatnonzero(known)
        score, present = proba[rows, best[rows]], certain[rows, best[rows]]
    else:
        score, present = proba[known].ravel(), certain[known].ravel()
    bins = np.clip((score * _BINS).astype(np.int64), 0, _BINS - 1)
    excess = np.bincount(bins, score.astype(np.float64) - present, _BINS)
    return float(np.abs(excess).sum() / len(score)), n_rows


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
