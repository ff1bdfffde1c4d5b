"""Make the numbers of a model read as probabilities of tags (Platt scaling with context).

One logistic regression for all classes, on three numbers per entry: the score's log-odds,
the log of how often the class was present in the rows given to `fit`, and the largest
log-odds of the row. The last two let rare classes and hesitant rows have their own level
without a parameter per class, so a few hundred rows are enough to fit four numbers.
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


class Calibration:
    """Logistic calibration of tag scores, shared by all classes.

    p' = sigma(a + b logit(p) + c log(1 + count of the class) + d logit(row maximum))

    A probability of exactly 0 (a class the model does not know) stays 0 and teaches nothing.
    It does not keep the order of all scores (that is its use: one global threshold on p' is
    a sensible threshold for each class and row), but keeps the order within a class and row.

    Attributes
    ----------
    coefficients_ : array (4,)
        a, b, c, d.
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
        values = targets[known].astype(np.float64)
        self.coefficients_ = _logistic_regression(_features(proba, self.log_counts_, known), values)
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
        a, b, c, d = self.coefficients_
        odds = _log_odds(proba)
        raised = a + b * odds + c * self.log_counts_ + d * odds.max(axis=1, keepdims=True)
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
        calibration = cls()
        try:
            numbers = [
                np.array(config[key], dtype=np.float64) for key in ("coefficients", "log_counts")
            ]
        except (KeyError, TypeError, ValueError):
            numbers = []
        shapes = [array.shape for array in numbers]
        if config.get("calibration") != "logistic" or shapes[:1] != [(4,)] or len(shapes[1]) != 1:
            raise ValueError(f"not a calibration: {dict(config)!r:.200}")
        calibration.coefficients_, calibration.log_counts_ = numbers
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
    return np.stack([np.ones(len(rows)), odds[known], log_counts[columns], odds.max(axis=1)[rows]])


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """1 / (1 + exp(-z)), for any z without overflow."""
    small = np.exp(-np.abs(logits))
    proba: NDArray[Any] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return proba


def _logistic_regression(
    features: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Newton's method with halving; features (4, m), values in [0, 1] of shape (m,)."""
    weights = np.array([0.0, 1.0, 0.0, 0.0])
    ridge = _RIDGE * len(values)
    loss = _loss(weights, features, values, ridge)
    for _ in range(_STEPS):
        proba = sigmoid(weights @ features)
        gradient = features @ (proba - values) + ridge * weights
        curvature = (features * (proba * (1 - proba))) @ features.T + ridge * np.eye(4)
        step = np.linalg.solve(curvature, gradient)
        size, better = 1.0, np.inf
        while size > 1e-6:
            better = _loss(weights - size * step, features, values, ridge)
            if better <= loss:
                break
            size /= 2
        if not better < loss - 1e-10 * abs(loss):
            break
        weights, loss = weights - size * step, better
    return weights


def _loss(
    weights: NDArray[np.float64],
    features: NDArray[np.float64],
    values: NDArray[np.float64],
    ridge: float,
) -> float:
    logits = weights @ features
    return float(np.sum(np.logaddexp(0.0, logits) - values * logits)) + float(
        ridge * (weights @ weights) / 2
    )
