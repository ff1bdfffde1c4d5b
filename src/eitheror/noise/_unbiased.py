"""Weights that undo a known channel on average: what exact labels would have counted.

If ``sum_e P(e | y) R[e, k] = 1{k = y}``, then ``sum_k R[e_i, k] g_k`` has the expectation that
``g`` of the true class would have. Any score that is a mean over rows can so be estimated without
one exact label, and conformal sets calibrated. The weights can be negative, and the less a
statement says the larger they are: one complementary label of ten classes gives 1 - 9.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import EVIDENCE, UNKNOWN, Labels, RowError
from eitheror.noise._checks import as_share, as_transition

__all__ = ["unbiased_weights"]

_LARGEST_CONDITION = 1e6


def unbiased_weights(
    labels: Labels,
    *,
    transition: ArrayLike | None = None,
    kind: Literal["written", "not"] = "written",
    rate: float | None = None,
) -> NDArray[np.float64]:
    """Return R of shape (n_samples, n_classes) with ``E[R_k | true class y] = 1{k = y}``.

    Parameters
    ----------
    labels : Labels
        Statements about one true class. Every row that says something must have come through the
        channel, but for ``kind="not"``, where exact rows are taken as true.
    transition : array of shape (n_classes, n_classes), optional
        ``T[y, e]``, the probability that e is written (``kind="written"``, exact labels) or ruled
        out (``kind="not"``, one class a row) when y is true. R is then the row e of its inverse.
    kind : {"written", "not"}
        With "not" and no `transition`: s classes ruled out, every set of s wrong ones equally
        often; ``R_k = 1 - (K - 1) / s`` for a class ruled out and 1 for the others.
    rate : float, optional
        Instead of both: sets that hold the truth and each other class with this probability, on
        its own; ``R_k = (1{k in S} - rate) / (1 - rate)``.

    Returns
    -------
    array of shape (n_samples, n_classes)
        Rows that say nothing are 0.

    Raises
    ------
    ValueError
        A `RowError` for a statement that the channel cannot have made; a matrix that cannot be
        inverted (classes it does not tell apart).

    See Also
    --------
    apply_transition : the likelihood of the same channel, to train with.

    Examples
    --------
    >>> import eitheror as eo
    >>> labels = eo.Labels([eo.not_("a"), eo.not_("b"), None], classes=["a", "b", "c"])
    >>> unbiased_weights(labels, kind="not")
    array([[-1.,  1.,  1.],
           [ 1., -1.,  1.],
           [ 0.,  0.,  0.]])
    >>> unbiased_weights(eo.Labels(["a"], classes=["a", "b"]), transition=[[0.8, 0.2], [0.4, 0.6]])
    array([[ 1.5, -0.5]])

    References
    ----------
    T. Ishida, G. Niu, W. Hu, M. Sugiyama (2017), "Learning from Complementary Labels".
    B. van Rooyen, R. Williamson (2018), "A Theory of Learning with Corrupted Labels".
    """
    if labels.task != "multiclass":
        raise ValueError("unbiased_weights is for one true class; these labels are tags")
    if kind not in ("written", "not"):
        raise ValueError(f"unknown kind {kind!r}; write 'written' or 'not'")
    if rate is not None and (transition is not None or kind == "not"):
        raise ValueError("rate= describes sets by itself; leave out transition= and kind=")
    if rate is None and transition is None and kind == "written":
        raise ValueError("which channel? write rate=, transition=, or kind='not'")
    targets = labels.sparse()
    allowed = targets.dense(np.float64)
    speaks = targets.mode != UNKNOWN
    plain = (targets.mode == EVIDENCE) & np.isin(allowed, (0.0, 1.0)).all(axis=1)
    _refuse(labels, speaks & ~plain, "is no plain set of classes; the channel writes sets")
    if rate is not None:
        if as_share("rate", rate) == 1:
            raise ValueError("rate=1: every class is always written, which says nothing")
        weights = (allowed - rate) / (1 - rate)
    elif kind == "not":
        weights = _of_ruled_out(labels, allowed, speaks, transition)
    else:
        _refuse(labels, speaks & (labels.exact_index() < 0), "is not exact; the matrix is of those")
        weights = _inverse(transition, labels.n_classes)[labels.exact_index()]
    weights[~speaks] = 0.0
    return np.asarray(weights)


def _of_ruled_out(
    labels: Labels,
    allowed: NDArray[np.float64],
    speaks: NDArray[np.bool_],
    transition: ArrayLike | None,
) -> NDArray[np.float64]:
    ruled_out = labels.n_classes - allowed.sum(axis=1)
    exact = labels.exact_index() >= 0
    if labels.n_classes > 2:  # of two classes, "not a" and "b" are one statement
        ruled_out[exact] = 0
    weights = allowed.copy()
    rows = speaks & (ruled_out > 0)
    if transition is None:
        factor = (labels.n_classes - 1) / np.maximum(ruled_out, 1)
        weights[rows] = 1 - (1 - allowed[rows]) * factor[rows, None]
        return weights
    _refuse(labels, rows & (ruled_out != 1), "rules out several classes; the matrix is of one")
    weights[rows] = _inverse(transition, labels.n_classes)[allowed[rows].argmin(axis=1)]
    return weights


def _inverse(transition: ArrayLike | None, n_classes: int) -> NDArray[np.float64]:
    assert transition is not None
    matrix = as_transition(transition, n_classes)
    if matrix.shape[1] != n_classes:
        raise ValueError(f"transition has shape {matrix.shape}; expected {(n_classes, n_classes)}")
    condition = np.linalg.cond(matrix)
    if not condition < _LARGEST_CONDITION:
        raise ValueError(
            f"transition cannot be inverted (condition number {condition:.3g}): some classes are "
            "written alike, so nothing can tell how often each is true"
        )
    return np.asarray(np.linalg.inv(matrix))


def _refuse(labels: Labels, wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise RowError(row, f"{labels[row]!r} {why}")
