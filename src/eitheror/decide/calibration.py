"""Make the numbers of a model read as probabilities of tags (Platt scaling with context).

One logistic regression for all classes, on four numbers per entry: the score's log-odds, the
same with its size squared, the log of how often the class was present in the rows given to `fit`,
and the largest log-odds of the row. The second lets the many hopeless entries and the few promising
ones have their own slope; the last two let rare classes and hesitant rows have their own level
without a parameter per class, so a few hundred rows are enough to fit five numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._targets import checked_proba, tag_targets

__all__ = ["Calibration", "sigmoid"]

_STEPS = 50
_RIDGE = 1e-6
_BLOCK = 2**14  # entries


class Calibration:
    """Logistic calibration of tag scores, shared by all classes.

    p' = sigma(a + (b + e |logit(p)|) logit(p) + c log(1 + count of the class)
               + d logit(row maximum))

    A probability of exactly 0 (a class the model does not know) stays 0 and teaches nothing.
    It does not keep the order of all scores (that is its use: one global threshold on p' is
    a sensible threshold for each class and row), but keeps that of a class at equal row maxima,
    unless b < 0: the rows given to `fit` say that higher scores are less often right.

    Attributes
    ----------
    coefficients_ : array (5,)
        a, b, c, d, e.
    log_counts_ : array (n_classes,)
        log(1 + present count) of each class in the rows given to `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((2000, 3))
    >>> labels = rng.random((2000, 3)) < truth
    >>> overconfident = 1 / (1 + ((1 - truth) / truth) ** 3)
    >>> calibrated = Calibration().fit(labels, overconfident).transform(overconfident)
    >>> bool(abs(calibrated - truth).mean() < 0.02)
    True

    References
    ----------
    J. Platt (1999), "Probabilistic Outputs for Support Vector Machines".
    """

    def fit(self, labels: Any, proba: Any) -> Self:
        """Fit on labels and probabilities of a model that has not seen these rows."""
        proba = checked_proba(proba)
        targets = tag_targets(labels, proba)
        known = ~np.isnan(targets) & (proba > 0)
        if not known.any():
            raise ValueError("every label is unknown: there is nothing to calibrate on")
        self.log_counts_ = np.log1p(np.where(known, targets, 0.0).sum(axis=0, dtype=np.float64))
        rows = max(1, _BLOCK // proba.shape[1])
        blocks = [slice(start, start + rows) for start in range(0, len(proba), rows)]
        examples = [
            (_features(proba[b], self.log_counts_, known[b]), targets[b][known[b]]) for b in blocks
        ]
        found = _logistic_regression(examples)
        if min(found[1], found[4]) < 0:
            straight = [(features[:4], values) for features, values in examples]
            found = np.append(_logistic_regression(straight), 0.0)
        self.coefficients_ = found
        return self

    def transform(self, proba: Any) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape of `proba`."""
        if not hasattr(self, "coefficients_"):
            raise ValueError("this Calibration is not fitted; call fit(labels, proba) first")
        proba = checked_proba(proba)
        if proba.shape[1] != len(self.log_counts_):
            raise ValueError(
                f"proba has {proba.shape[1]} classes, the calibration {len(self.log_counts_)}"
            )
        a, b, c, d, e = self.coefficients_
        odds = _log_odds(proba)
        raised = (b + e * np.abs(odds)) * odds
        raised += a + c * self.log_counts_
        raised += d * odds.max(axis=1, keepdims=True)
        return np.where(proba > 0, sigmoid(raised), 0.0)

    def to_config(self) -> dict[str, Any]:
        """Return the fitted numbers as a dict that JSON can hold."""
        if not hasattr(self, "coefficients_"):
            raise ValueError("this Calibration is not fitted; call fit(labels, proba) first")
        return {
            "calibration": "logistic",
            "coefficients": self.coefficients_.tolist(),
            "log_counts": self.log_counts_.tolist(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Calibration:
        """Read back what `to_config` wrote."""
        if not isinstance(config, Mapping):
            raise ValueError(f"not a calibration: {config!r:.200}")
        calibration = cls()
        try:
            numbers = [
                np.array(config[key], dtype=np.float64) for key in ("coefficients", "log_counts")
            ]
        except (KeyError, TypeError, ValueError, OverflowError):
            numbers = []
        shapes = [array.shape for array in numbers]
        known = shapes[:1] in ([(4,)], [(5,)]) and len(shapes[1]) == 1
        known = known and all(np.isfinite(array).all() for array in numbers)
        if config.get("calibration") != "logistic" or not known:
            raise ValueError(f"not a calibration: {dict(config)!r:.200}")
        coefficients, calibration.log_counts_ = numbers
        # Models saved before there was a fifth number were calibrated without a curve.
        calibration.coefficients_ = np.append(coefficients, np.zeros(5 - len(coefficients)))
        return calibration


def _log_odds(proba: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    # Scores of exactly 0 or 1 are finite here: a rounded probability is not a certainty.
    tiny = np.finfo(proba.dtype).tiny
    wide = proba.astype(np.float64)
    near = float(np.finfo(proba.dtype).epsneg)
    return np.asarray(np.log(np.maximum(wide, tiny)) - np.log(np.maximum(1 - wide, near / 2)))


def _features(
    proba: NDArray[np.floating[Any]],
    log_counts: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    odds = _log_odds(proba)
    rows, columns = np.nonzero(known)
    own = odds[known]
    level = np.ones(len(rows))
    return np.stack([level, own, log_counts[columns], odds.max(axis=1)[rows], own * np.abs(own)])


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """1 / (1 + exp(-z)), for any z without overflow."""
    small = np.exp(-np.abs(logits))
    proba: NDArray[Any] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return proba


def _logistic_regression(
    blocks: list[tuple[NDArray[np.float64], NDArray[np.floating[Any]]]],
) -> NDArray[np.float64]:
    """Newton's method with halving; blocks of features (k, m) and values in [0, 1] of shape (m,).

    A block is small enough to stay in the processor's cache through all that is done with it.
    """
    weights = np.zeros(len(blocks[0][0]))
    weights[1] = 1.0
    ridge = _RIDGE * sum(len(values) for _, values in blocks)
    loss, gradient, curvature = _derivatives(weights, blocks, ridge)
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6:
            better = _derivatives(weights - size * step, blocks, ridge)
            if better[0] <= loss:
                break
            size /= 2
        if not better[0] < loss - 1e-10 * abs(loss):
            break
        weights = weights - size * step
        loss, gradient, curvature = better
    return weights


def _derivatives(
    weights: NDArray[np.float64],
    blocks: list[tuple[NDArray[np.float64], NDArray[np.floating[Any]]]],
    ridge: float,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the penalised log loss, its gradient and its curvature."""
    loss = float(ridge * (weights @ weights) / 2)
    gradient = ridge * weights
    curvature = ridge * np.eye(len(weights))
    for features, values in blocks:
        logits = weights @ features
        small = np.exp(-np.abs(logits))
        # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))
        loss += float(np.sum(np.maximum(logits, 0) + np.log1p(small) - values * logits))
        proba = np.where(logits >= 0, 1.0, small) / (1.0 + small)
        gradient = gradient + features @ (proba - values)
        curvature = curvature + (features * (proba * (1 - proba))) @ features.T
    return loss, gradient, curvature
