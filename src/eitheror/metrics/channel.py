"""Scores without exact labels, when it is known how the labels came about.

Bounds make no assumption and can be wide. A known channel (uniform complementary labels, label
noise with known rates, distractors that join at a known rate) buys an estimate instead: unbiased,
with an interval that is honest about how little a vague label says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Argmax, Rule, checked_proba
from eitheror.metrics.intervals import Bounds, Z, mean_of, proportion, spread

__all__ = ["evaluate_through_channel"]


def evaluate_through_channel(
    weights: Any, proba: Any, *, decision: Rule | None = None
) -> dict[str, Any]:
    """Estimate the scores that exact labels would give, through a known channel.

    Parameters
    ----------
    weights : array of shape (n_samples, n_classes)
        R with ``E[R_k | true class y] = 1{k = y}``, from `eitheror.noise.unbiased_weights`. Rows
        of zeros (unlabelled) are left out.
    proba : array of shape (n_samples, n_classes)
        Rows that add to 1, of a model that was not trained on these rows.
    decision : decide.Rule, optional
        Default `decide.Argmax`.

    Returns
    -------
    dict
        ``{"n", "decision", "metrics": {name: {"lower", "upper", "interval"}}}`` for ``accuracy``,
        ``f1_macro`` and ``log_loss``, with ``lower == upper``: an estimate, not a bound, and as
        an unbiased one it can leave [0, 1]. ``interval`` is the 95 % interval, or None.

    Notes
    -----
    Accuracy is ``mean_i R[i, h_i]``. With one uniform complementary label and K classes that is
    1 - (K - 1) r, r the share of decisions that equal the class ruled out, and its variance is
    (1 - a)(K - 2 + a) / n: ten times that of exact labels at K = 10, a = .9. Where R takes
    two values over the rows, the interval is Wilson's for the share, carried over; otherwise it is
    normal. Macro F1 is a function of estimated counts, so it is unbiased in the limit only.

    Examples
    --------
    >>> import eitheror as eo
    >>> from eitheror.noise import unbiased_weights
    >>> labels = eo.Labels([eo.not_("a")] * 3 + [eo.not_("b")] * 47, classes=["a", "b", "c"])
    >>> report = evaluate_through_channel(
    ...     unbiased_weights(labels, kind="not"), [[0.8, 0.1, 0.1]] * 50
    ... )
    >>> round(report["metrics"]["accuracy"]["lower"], 3)  # 1 - 2 * 3 / 50
    0.88

    References
    ----------
    T. Ishida, G. Niu, A. Menon, M. Sugiyama (2019), "Complementary-Label Learning for Arbitrary
    Losses and Models".
    """
    proba = checked_proba(proba)
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != proba.shape:
        raise ValueError(f"weights have shape {matrix.shape} and proba {proba.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("weights must be finite numbers")
    speaks = (matrix != 0).any(axis=1)
    if not speaks.any():
        raise ValueError("every row of weights is zero: no row says anything")
    matrix, proba = matrix[speaks], proba[speaks]
    rule = Argmax() if decision is None else decision
    decided = rule.predict(proba)
    if decided.ndim != 1:
        raise ValueError(
            f"{rule!r} decides on sets; scores through a channel are of single classes"
        )
    metrics = {
        "accuracy": _accuracy(matrix, decided),
        "f1_macro": _f1_macro(matrix, decided),
        "log_loss": _log_loss(matrix, proba),
    }
    return {
        "n": len(proba),
        "decision": rule.describe(),
        "metrics": {
            name: {
                "lower": bounds.lower,
                "upper": bounds.upper,
                "interval": None if bounds.interval is None else list(bounds.interval),
            }
            for name, bounds in metrics.items()
        },
    }


def _accuracy(weights: NDArray[np.float64], decided: NDArray[np.int64]) -> Bounds:
    rows = np.arange(len(weights))
    scores = np.where(decided >= 0, weights[rows, np.maximum(decided, 0)], 0.0)
    values = np.unique(scores)
    if len(values) > 2:
        estimate = mean_of(scores)
        return _around(estimate.value, estimate.error)
    low, high = values[0], values[-1]
    if low == high:  # every row alike: the other value is what a decision can also be given
        low, high = weights.min(), weights.max()
    count = int(np.isclose(scores, high).sum())
    share = proportion(count, count, len(scores))
    assert share.interval is not None
    value = float(scores.mean())
    ends = [float(np.clip(low + (high - low) * end, 0.0, 1.0)) for end in share.interval]
    return Bounds(value, value, (ends[0], ends[1]))


def _f1_macro(weights: NDArray[np.float64], decided: NDArray[np.int64]) -> Bounds:
    """Mean of 2 h / (p + t) over the classes that occur, with estimated hits h and truths t."""
    n, n_classes = weights.shape
    named = np.zeros((n, n_classes))
    chosen = np.flatnonzero(decided >= 0)
    named[chosen, decided[chosen]] = 1.0
    hits = named * weights
    bottom = (named + weights).sum(axis=0)
    occurs = bottom > 0
    if not occurs.any():
        return Bounds(0.0, 0.0, None)
    scale = np.divide(1.0, bottom, out=np.zeros(n_classes), where=occurs)
    score = 2 * hits.sum(axis=0) * scale
    # a row moves class c by (2 hit - score (named + R)) / bottom to first order
    influence = ((2 * hits - score * (named + weights)) * scale).sum(axis=1) / occurs.sum()
    return _around(float(score[occurs].mean()), spread(influence))


def _log_loss(weights: NDArray[np.float64], proba: NDArray[np.floating[Any]]) -> Bounds:
    """Mean of -sum_k R_k log p_k; infinite where a class that counts has probability 0."""
    impossible = (proba == 0) & (weights != 0)
    if impossible.any():
        return Bounds(np.inf, np.inf, None)
    logs = np.log(np.where(proba > 0, proba, 1.0).astype(np.float64))
    estimate = mean_of(-(weights * logs).sum(axis=1))
    return _around(estimate.value, estimate.error, top=np.inf)


def _around(value: float, error: float | None, top: float = 1.0) -> Bounds:
    """Return the estimate as it is, and its normal interval within 0 and `top`."""
    if not error:
        return Bounds(value, value, None)
    low, high = (float(np.clip(value + sign * Z * error, 0.0, top)) for sign in (-1, 1))
    return Bounds(value, value, (low, high))
