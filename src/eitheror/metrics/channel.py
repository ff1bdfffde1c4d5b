"""Scores without exact labels, when it is known how the labels came about.

Bounds make no assumption and can be wide. A known channel (uniform complementary labels, label
noise with known rates, distractors that join at a known rate) buys an estimate instead: unbiased,
with an interval that is honest about how little a vague label says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Argmax, Rule
from eitheror.labels import Labels
from eitheror.metrics._sets import with_rare_classes
from eitheror.metrics.intervals import Bounds, Estimate, between, mean_of, proportion, spread
from eitheror.metrics.probabilities import checked_range

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
    (1 - a)(K - 2 + a) / n: ten times that of exact labels at K = 10, a = .9. The interval is
    Wilson's for the share of the way from the least to the largest number of R. Macro F1 is
    a function of estimated counts, so it is unbiased in the limit only.

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
    proba = checked_range(proba)
    matrix = _checked_weights(weights)
    if matrix.shape != proba.shape:
        raise ValueError(f"weights have shape {matrix.shape} and proba {proba.shape}")
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


def _checked_weights(weights: Any) -> NDArray[np.float64]:
    if isinstance(weights, Labels):
        raise TypeError(
            "evaluate_through_channel takes the numbers R, not Labels: how the labels came about "
            "must be said; write noise.unbiased_weights(labels, kind='not'), or with transition= "
            "or rate="
        )
    try:
        matrix = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"weights must be a matrix (n_samples, n_classes) of numbers, as from "
            f"noise.unbiased_weights(labels, ...); got {type(weights).__name__}"
        ) from None
    if not np.isfinite(matrix).all():
        raise ValueError("weights must be finite numbers")
    return matrix


def _accuracy(weights: NDArray[np.float64], decided: NDArray[np.int64]) -> Bounds:
    """Mean of R[i, h_i], with Wilson's interval stretched over the values that R takes."""
    scores = np.where(decided >= 0, weights[np.arange(len(weights)), np.maximum(decided, 0)], 0.0)
    value = float(scores.mean())
    values = np.unique(scores)
    low, high = values[0], values[-1]
    if low == high:  # every row alike: the other value is what a decision can also be given
        low, high = weights.min(), weights.max()
    found = mean_of(scores - low)
    if len(values) > 2:
        interval = between(found, found, top=float(high - low)).interval
    else:
        count = int(np.isclose(scores, high).sum())
        share = proportion(count, count, len(scores)).interval
        interval = None if share is None else (share[0] * (high - low), share[1] * (high - low))
    if interval is None:
        return Bounds(value, value, None)
    ends = [float(np.clip(low + end, 0.0, 1.0)) for end in interval]
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
    top, bottom, both = 2 * hits.sum(axis=0)[occurs], bottom[occurs], (named + weights)[:, occurs]
    score = top / bottom
    # a row moves class c by (2 hit - score (named + R)) / bottom to first order
    influence = ((2 * hits[:, occurs] - score * both) / bottom).sum(axis=1) / len(score)
    error = spread(influence)
    value = float(score.mean())
    if error is None:
        return Bounds(value, value, None)
    estimate = with_rare_classes("f1", Estimate(value, error, n), np.clip(score, 0, 1), bottom)
    estimate = estimate._replace(centre=value)
    return Bounds(value, value, between(estimate, estimate).interval)


def _log_loss(weights: NDArray[np.float64], proba: NDArray[np.floating[Any]]) -> Bounds:
    """Mean of -sum_k R_k log p_k; infinite where a class that counts has probability 0."""
    impossible = (proba == 0) & (weights != 0)
    if impossible.any():
        return Bounds(np.inf, np.inf, None)
    logs = np.log(np.where(proba > 0, proba, 1.0).astype(np.float64))
    estimate = mean_of(-(weights * logs).sum(axis=1))
    interval = between(estimate, estimate, top=np.inf).interval
    return Bounds(estimate.value, estimate.value, interval)
