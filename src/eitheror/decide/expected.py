"""The set with the highest expected Jaccard index, row by row.

For independent tags with probabilities p_1 >= .. >= p_K and a predicted set of size k, the
hits A and the present tags outside B are independent, so

    E[J] = E[A / (k + B)] = (sum of p over the set) * E[1 / (k + B)].

Both factors are largest for the k most probable tags: the best set is a prefix. With
E[1/(k+B)] = integral_0^1 t^(k-1) prod_{j>k} (1 - p_j + p_j t) dt, a polynomial of degree
K - 1, Gauss-Legendre quadrature with ceil(K/2) nodes is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._targets import checked_proba
from eitheror.decide.prefix import PrefixRule

__all__ = ["ExpectedJaccard", "expected_jaccard"]

_MOST_NODES = 64
_CHUNK = 2**22


def expected_jaccard(proba: Any) -> NDArray[np.float64]:
    """Return the expected Jaccard index of predicting the k most probable tags.

    Parameters
    ----------
    proba : array of shape (n_samples, n_classes)
        Marginal probabilities; tags are taken as independent given the row.

    Returns
    -------
    array of shape (n_samples, n_classes + 1)
        Column k for the k most probable tags; column 0, the empty set, is the probability
        that no tag is present (an empty prediction of an empty truth scores 1). Exact up to
        128 classes; beyond, it grows with the number of tags expected (56 of 734: 2e-10).

    Examples
    --------
    >>> expected_jaccard([[0.9, 0.6, 0.45, 0.3, 0.1]]).round(5)
    array([[0.01386, 0.43357, 0.56274, 0.58695, 0.55125, 0.47   ]])
    """
    proba = checked_proba(proba).astype(np.float64)
    if ((proba < 0) | (proba > 1)).any():
        raise ValueError("expected_jaccard needs probabilities between 0 and 1")
    ordered = -np.sort(-proba, axis=1)
    rows = max(1, _CHUNK // proba.shape[1])
    parts = [_prefix_scores(ordered[i : i + rows]) for i in range(0, len(ordered), rows)]
    return np.concatenate(parts)


def _prefix_scores(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    n_samples, n_classes = ordered.shape
    nodes, weights = np.polynomial.legendre.leggauss(min(-(-n_classes // 2), _MOST_NODES))
    nodes, weights = (nodes + 1) / 2, weights / 2
    reciprocal = np.zeros((n_samples, n_classes))
    absent = np.ones((n_samples, n_classes + 1))
    for node, weight in zip(nodes, weights, strict=True):
        # absent[:, m] = product of (1 - p_j + p_j t) over the m least probable tags
        np.cumprod((1 - ordered * (1 - node))[:, ::-1], axis=1, out=absent[:, 1:])
        outside = absent[:, ::-1][:, 1:]
        reciprocal += weight * node ** np.arange(n_classes) * outside
    scores = np.empty((n_samples, n_classes + 1))
    scores[:, 0] = np.prod(1 - ordered, axis=1)
    scores[:, 1:] = np.cumsum(ordered, axis=1) * reciprocal
    return scores


class ExpectedJaccard(PrefixRule):
    """Choose, for each row, the set with the highest expected Jaccard index.

    Optimal for ``jaccard_samples`` when the probabilities are calibrated marginals and the
    tags are independent given the row. `fit` calibrates the marginals first; without `fit`
    they are taken as they are. The expectation itself is optimistic on real data: report
    scores on labels, never the expectation.

    Parameters
    ----------
    at_least_one : bool, default False
        Never choose the empty set.

    Examples
    --------
    >>> ExpectedJaccard().predict([[0.9, 0.6, 0.45, 0.3, 0.1]])
    array([[ True,  True,  True, False, False]])
    """

    name = "expected_jaccard"
    measure = "Jaccard index"
    scores = staticmethod(expected_jaccard)
