"""Sets that contain the true class with a stated confidence, calibrated on partial labels.

Split conformal prediction with the score ``1 - p``. A calibration row that only names candidates
has one score per candidate. Taking the largest keeps the guarantee whatever the candidates are,
at the price of larger sets; with a known annotation channel the distribution of the true score
can be estimated without bias, which gives small sets but an asymptotic promise only.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._targets import checked_proba
from eitheror.decide.rules import Rule
from eitheror.labels import UNKNOWN, Labels

__all__ = ["ConformalSet", "conformal_rank"]


def conformal_rank(n: int, confidence_level: float) -> int | None:
    """Return ``ceil((n + 1) confidence_level)``, or None where n rows are too few for a cut.

    Examples
    --------
    >>> [conformal_rank(n, 0.9) for n in (8, 9, 200)]
    [None, 9, 181]
    """
    # 1e-9: (9 + 1) * .9 is a little above 9 in binary
    rank = max(ceil((n + 1) * confidence_level - 1e-9), 1)
    return None if rank > n else rank


class ConformalSet(Rule):
    """Choose the smallest sets that contain the true class with probability `confidence_level`.

    Every class with ``1 - p <= threshold_`` is chosen, where the threshold is the
    ``ceil((n + 1) confidence_level)``-th smallest score of n calibration rows. Rows with several
    candidates S enter with the largest score of a candidate: since it is never below the score of
    the true class, coverage is at least `confidence_level` for every way in which the candidates
    came about, as long as the truth is among them and calibration rows and new rows are
    exchangeable. If the truth is outside S in a share e of the rows, coverage is at least
    ``confidence_level - e``.

    Parameters
    ----------
    confidence_level : float, default 0.9
        Between 0 and 1.

    Attributes
    ----------
    threshold_ : float
        inf where the calibration rows are too few for any cut: all classes are chosen.
    n_rows_ : int
        Calibration rows that say something.
    guarantee_ : {"finite sample", "asymptotic"}
        The second if `fit` was given `weights`.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror.labels import Labels
    >>> proba = np.linspace(0.05, 0.95, 19)[:, None] * [1, -1] + [0, 1]
    >>> rule = ConformalSet(0.8).fit(Labels(["a"] * 19, classes=["a", "b"]), proba)
    >>> round(rule.threshold_, 2)
    0.8
    >>> rule.predict([[0.3, 0.7], [0.9, 0.1]])
    array([[ True,  True],
           [ True, False]])

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer (2005), "Algorithmic Learning in a Random World".
    A. Javanmardi et al. (2023), "Conformal Prediction with Partially Labeled Data".
    """

    def __init__(self, confidence_level: float = 0.9) -> None:
        if not 0 < confidence_level < 1:
            raise ValueError(
                f"ConformalSet({confidence_level!r}): the confidence level lies between 0 and 1; "
                "it is .9 for 90 %"
            )
        self.confidence_level = float(confidence_level)

    def fit(self, labels: Any, proba: Any, weights: Any = None) -> Self:
        """Calibrate the threshold.

        Parameters
        ----------
        labels : Labels, or what `Labels` accepts
            One true class. Rows that say nothing are left out (they must be unlabelled
            for reasons that have nothing to do with their class). Every class with a weight or
            share above 0 is a candidate.
        proba : array of shape (n_samples, n_classes)
            Probabilities of a model that has not been trained on these rows.
        weights : array of shape (n_samples, n_classes), optional
            For a known annotation channel: numbers R with ``E[R_k | true class y] = 1{k = y}``, so
            that ``mean_i sum_k R_ik 1{score_ik <= t}`` estimates the distribution of the true
            score. They may be negative. Coverage then holds in the limit of many rows only.
        """
        proba = checked_proba(proba)
        labels = labels if isinstance(labels, Labels) else Labels(labels)
        if labels.task != "multiclass":
            raise ValueError("ConformalSet is for one true class; these labels are tags")
        if (len(labels), labels.n_classes) != proba.shape:
            raise ValueError(
                f"labels are {len(labels)} rows x {labels.n_classes} classes, proba is "
                f"{proba.shape[0]} x {proba.shape[1]}; both need the same rows and classes"
            )
        targets = labels.sparse()
        speaks = targets.mode != UNKNOWN
        if not speaks.any():
            raise ValueError("every label is unknown: there is nothing to calibrate on")
        scores = 1 - proba[speaks].astype(np.float64)
        self.n_rows_ = int(speaks.sum())
        rank = conformal_rank(self.n_rows_, self.confidence_level)
        self.guarantee_ = "finite sample" if weights is None else "asymptotic"
        if rank is None:
            self.threshold_ = inf
        elif weights is None:
            candidates = targets.dense()[speaks] > 0
            largest = np.where(candidates, scores, -inf).max(axis=1)
            self.threshold_ = float(np.sort(largest)[rank - 1])
        else:
            weights = np.asarray(weights, dtype=np.float64)
            if weights.shape != proba.shape:
                raise ValueError(f"weights have shape {weights.shape}, proba {proba.shape}")
            if not np.isfinite(weights[speaks]).all():
                raise ValueError("weights must be finite numbers")
            self.threshold_ = _weighted_cut(scores, weights[speaks], rank / self.n_rows_)
        return self

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return a bool matrix (n_samples, n_classes); a row may be empty."""
        self._check_fitted()
        chosen: NDArray[np.bool_] = 1 - checked_proba(proba).astype(np.float64) <= self.threshold_
        return chosen

    def to_config(self) -> dict[str, Any]:
        """Return the threshold (None for infinity) under ``{"rule": "conformal_set"}``."""
        self._check_fitted()
        return {
            "rule": "conformal_set",
            "confidence_level": self.confidence_level,
            "threshold": None if self.threshold_ == inf else self.threshold_,
            "n_rows": self.n_rows_,
            "guarantee": self.guarantee_,
        }

    def describe(self) -> str:
        """Return the rule in words."""
        self._check_fitted()
        if self.threshold_ == inf:
            return f"every class: too few calibration rows for {self.confidence_level:.4g}"
        limit = "" if self.guarantee_ == "finite sample" else ", in the limit of many rows"
        return (
            f"every class with probability {1 - self.threshold_:.4g} or more: "
            f"{self.confidence_level:.4g} of the sets contain the true class{limit}"
        )

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise ValueError(f"{self!r} has no threshold yet; call fit(labels, proba) first")

    def __repr__(self) -> str:
        return f"ConformalSet({self.confidence_level!r})"


def _weighted_cut(scores: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> float:
    """Return the smallest score at which the estimated distribution reaches `level`."""
    order = np.argsort(scores, axis=None, kind="stable")
    flat = scores.ravel()[order]
    reached = np.cumsum(weights.ravel()[order]) / len(scores)
    last = np.append(flat[1:] > flat[:-1], True)  # equal scores step together
    enough = np.flatnonzero(last & (reached >= level - 1e-12))
    return float(flat[enough[0]]) if len(enough) else inf
