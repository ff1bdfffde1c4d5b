"""Statements as numbers for EM: their likelihood, their posterior, and their candidate rows.

In: :class:`~eitheror.labels.Labels` where one class is true, and probabilities of shape
``(n_samples, n_classes)`` from any model. Out: log likelihoods, posteriors, and the weighted rows
that a classifier without statements can be fitted on. Everything is dense, because the
probabilities of such classifiers are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from eitheror.labels import Labels
from eitheror.labels._sparse import SHARES

__all__ = ["Statements", "candidate_rows", "fit_pool", "pool"]

Array = NDArray[np.float64]

_SMOOTHING = 0.01
"""Share of the uniform distribution in pooled probabilities: forests say 0 of what may be."""
_NEGLIGIBLE = 1e-6
"""Candidates with less than this share of their row are left out of the candidate rows."""


@dataclass(frozen=True)
class Statements:
    """What is known about rows of which each has one true class.

    Attributes
    ----------
    weights : float64 array of shape (n_samples, n_classes)
        Evidence weights ``w``, or the shares of a row that has some.
    shares : bool array of shape (n_samples,)
        Which rows are shares: their posterior is what they say.
    """

    weights: Array
    shares: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Labels) -> Statements:
        """Read multiclass labels; unknown rows weigh every class 1."""
        targets = labels.sparse()
        return cls(targets.dense(np.float64), targets.mode == SHARES)

    def take(self, rows: NDArray[np.int64]) -> Statements:
        """Return the statements of `rows`."""
        return Statements(self.weights[rows], self.shares[rows])

    def open_rows(self) -> NDArray[np.bool_]:
        """Which rows leave several classes open, so that their posterior depends on a model."""
        return np.asarray(~self.shares & ((self.weights > 0).sum(axis=1) > 1))

    def log_likelihood(self, proba: Array) -> Array:
        """Return ``log sum_k w_k p_k`` of each row, ``sum_k s_k log p_k`` where it is shares."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.log((self.weights * proba).sum(axis=1))
            named = np.where(self.weights > 0, self.weights * np.log(proba), 0.0)
        return np.asarray(np.where(self.shares, named.sum(axis=1), found))

    def posterior(self, proba: Array) -> Array:
        """Return ``q_k = w_k p_k / sum_j w_j p_j``; shares as they are.

        A row to all of whose candidates the model gives probability 0 keeps its weights.
        """
        joint = np.where(self.shares[:, None], self.weights, self.weights * proba)
        total = joint.sum(axis=1, keepdims=True)
        joint = np.where(total > 0, joint, self.weights)
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def candidate_rows(
    posterior: Array, most: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return one entry for each row and class that the row may be: row, class, weight.

    Parameters
    ----------
    posterior : array of shape (n_samples, n_classes)
        Rows add to 1.
    most : int or None
        Keep at most so many classes of a row, the likeliest; the rest of its weight is spread
        over them in proportion.

    Returns
    -------
    rows, classes, weights : arrays of shape (n_entries,)
        In the order of the rows; the weights of a row add to 1.

    Examples
    --------
    >>> rows, classes, weights = candidate_rows(np.array([[0.0, 1.0, 0.0], [0.5, 0.3, 0.2]]), 2)
    >>> rows.tolist(), classes.tolist(), weights.round(3).tolist()
    ([0, 1, 1], [1, 0, 1], [1.0, 0.625, 0.375])
    """
    kept = np.where(posterior < _NEGLIGIBLE, 0.0, posterior)
    if most is not None and most < kept.shape[1]:
        order = np.argsort(-kept, axis=1, kind="stable")
        np.put_along_axis(kept, order[:, most:], 0.0, axis=1)
    kept /= kept.sum(axis=1, keepdims=True)
    rows, classes = np.nonzero(kept)
    return rows, classes, kept[rows, classes]


def pool(probas: list[Array], weights: Array) -> Array:
    """Return the logarithmic pool ``p ∝ prod_j p_j ** a_j`` of several models' probabilities.

    Parameters
    ----------
    probas : list of arrays of shape (n_samples, n_classes)
        Each is mixed with one hundredth of the uniform distribution first.
    weights : array of shape (n_models,)
        Exponents ``a``; for one model ``1 / a`` is a temperature.

    Returns
    -------
    float64 array of shape (n_samples, n_classes)
    """
    z = np.tensordot(weights, _logs(probas), axes=1)
    return np.asarray(np.exp(z - logsumexp(z, axis=1, keepdims=True)))


def fit_pool(
    probas: list[Array], statements: Statements, sample_weight: Array
) -> tuple[Array, float]:
    """Find the exponents of the pool under which the statements are likeliest.

    Parameters
    ----------
    probas : list of arrays of shape (n_samples, n_classes)
        From models that did not see the rows.
    statements : Statements
    sample_weight : array of shape (n_samples,)

    Returns
    -------
    weights : array of shape (n_models,)
        At least 0.
    log_likelihood : float
        Weighted mean over the rows, at those weights.
    """
    logs = _logs(probas)
    shares = statements.shares[:, None]
    share = sample_weight / sample_weight.sum()

    def loss(weights: Array) -> tuple[float, Array]:
        z = np.tensordot(weights, logs, axes=1)
        proba = np.exp(z - logsumexp(z, axis=1, keepdims=True))
        value = share @ statements.log_likelihood(np.maximum(proba, 1e-300))
        slope = np.where(shares, statements.weights, statements.posterior(proba)) - proba
        return -value, -np.einsum("i,ik,jik->j", share, slope, logs)

    start = np.full(len(probas), 1.0 / len(probas))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 20.0)] * len(probas))
    return found.x, -float(found.fun)


def _logs(probas: list[Array]) -> Array:
    k = probas[0].shape[1]
    return np.log([(1 - _SMOOTHING) * p + _SMOOTHING / k for p in probas])
