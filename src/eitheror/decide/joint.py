"""The set of tags with the highest expected F1, and the best set under any joint law.

Independent tags: with the set of the k most probable tags and |Y| the number of true ones,

    E[F1] = E[2 A / (k + |Y|)] = 2 integral_0^1 t^k sum_{i <= k} p_i / g_i(t) prod_j g_j(t) dt,

g_j(t) = 1 - p_j + p_j t, and the best set is such a prefix. Any joint law: F1 needs only the
numbers P(tag k true, |Y| = s), from which the best set follows exactly (GFM); the Jaccard index
needs the law itself, here as draws from it.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._quadrature import integration_rule, nodes_for
from eitheror.decide.prefix import PrefixRule, checked_marginals, descending

__all__ = ["ExpectedF1", "best_f1_set", "best_set_of_draws", "expected_f1", "f1_parameters"]

_CHUNK = 2**21
_ENUMERATED = 12


def expected_f1(proba: Any) -> NDArray[np.float64]:
    """Return the expected F1 of predicting the k most probable tags, for independent tags.

    Parameters
    ----------
    proba : array of shape (n_samples, n_classes)
        Marginal probabilities, 0 to 1.

    Returns
    -------
    array of shape (n_samples, n_classes + 1)
        Between 0 and 1. Column k for the k most probable tags; column 0, the empty set, is the
        probability that no tag is present (an empty prediction of an empty truth scores 1).
        Within 1e-12 of exact up to some thousand classes.

    Raises
    ------
    ValueError
        If a number is nan, negative or above 1.

    Examples
    --------
    >>> expected_f1([[0.9, 0.6, 0.1]]).round(4)
    array([[0.036 , 0.699 , 0.8022, 0.6674]])
    """
    ordered = descending(checked_marginals(proba, "expected_f1"))
    rows = max(1, _CHUNK // ordered.shape[1])
    parts = [_prefix_scores(ordered[i : i + rows]) for i in range(0, len(ordered), rows)]
    return np.concatenate(parts)


def _prefix_scores(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    n_samples, n_classes = ordered.shape
    rest, weights = integration_rule(nodes_for(2 * n_classes - 1))
    scores = np.zeros((n_samples, n_classes + 1))
    for u, weight in zip(rest, weights, strict=True):
        g = 1 - ordered * u
        hits = np.cumsum(ordered / g, axis=1) * g.prod(axis=1, keepdims=True)
        scores[:, 1:] += 2 * weight * (1 - u) ** np.arange(1, n_classes + 1) * hits
    scores[:, 0] = np.prod(1 - ordered, axis=1)
    return scores


class ExpectedF1(PrefixRule):
    """Choose, for each row, the set with the highest expected F1.

    Optimal for ``f1_samples`` when the probabilities are calibrated marginals and the tags are
    independent given the row; `best_f1_set` needs no independence. `fit` calibrates the marginals
    and tunes a shift of their log-odds; without it they are taken as they are. The expectation is
    optimistic on real data: report scores on labels.

    Parameters
    ----------
    at_least_one : bool, default False
        Never choose the empty set. The right choice where no row is without tags.
    shift : float, optional
        Added to the log-odds of every (calibrated) marginal, -100 to 100. None lets `fit` tune it;
        0 leaves the marginals as they are.

    Attributes
    ----------
    calibration_ : Calibration or None
    shift_ : float
        The shift in use; 0 before `fit` unless given.

    Examples
    --------
    >>> ExpectedF1().predict([[0.9, 0.6, 0.1], [0.1, 0.05, 0.02]])
    array([[ True,  True, False],
           [False, False, False]])
    """

    name = "expected_f1"
    measure = "F1"
    score_word = "f1"
    scores = staticmethod(expected_f1)


def f1_parameters(draws: Any, weights: Any = None) -> tuple[NDArray[np.float64], float]:
    """Return P(tag k true, |Y| = s) and P(Y empty) of a law given by weighted sets.

    Parameters
    ----------
    draws : bool array of shape (n_draws, n_classes)
        Sets drawn from a joint model of one item, or all sets that have a probability.
    weights : array of shape (n_draws,), optional
        Probability of each set; equal without it.

    Returns
    -------
    parameters : array of shape (n_classes, n_classes)
        Row k, column s - 1.
    empty : float

    Examples
    --------
    >>> parameters, empty = f1_parameters([[1, 0], [1, 1]], weights=[0.75, 0.25])
    >>> parameters
    array([[0.75, 0.25],
           [0.  , 0.25]])
    """
    sets, share = _checked_draws(draws, weights)
    sizes = sets.sum(axis=1)
    parameters = np.zeros((sets.shape[1], sets.shape[1]))
    np.add.at(parameters.T, np.maximum(sizes, 1) - 1, sets * share[:, None])
    return parameters, float(share[sizes == 0].sum())


def best_f1_set(parameters: Any, empty: float = 0.0) -> tuple[NDArray[np.bool_], float]:
    """Return the set with the highest expected F1 of one item, exactly, and that expectation.

    For each size m the best set holds the m tags with the largest
    ``sum_s 2 P(tag k true, |Y| = s) / (s + m)``; the empty set scores ``P(Y empty)``.

    Parameters
    ----------
    parameters : array of shape (n_classes, n_classes)
        P(tag k true, |Y| = s) in row k, column s - 1, as `f1_parameters` gives it.
    empty : float, default 0
        P(Y empty).

    Examples
    --------
    >>> law = [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    >>> chosen, score = best_f1_set(*f1_parameters(law, weights=[0.5, 0.3, 0.2]))
    >>> chosen, round(score, 4)
    (array([ True,  True, False]), 0.7333)

    References
    ----------
    K. Dembczynski, W. Waegeman, W. Cheng, E. Hullermeier (2011), "An Exact Algorithm for F-Measure
    Maximization".
    """
    table = np.asarray(parameters, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"parameters have shape {table.shape}; they need (n_classes, n_classes)")
    n_classes = len(table)
    sizes = np.arange(1, n_classes + 1)
    gains = table @ (2 / (sizes[:, None] + sizes[None, :]))  # (tag, m)
    order = np.argsort(-gains, axis=0, kind="stable")
    ranked = np.take_along_axis(gains, order, axis=0)
    values = np.cumsum(ranked, axis=0)[sizes - 1, sizes - 1]
    chosen = np.zeros(n_classes, dtype=bool)
    best = int(values.argmax())
    if values[best] <= empty:
        return chosen, float(empty)
    chosen[order[: best + 1, best]] = True
    return chosen, float(values[best])


def best_set_of_draws(
    draws: Any, metric: str = "jaccard", weights: Any = None
) -> tuple[NDArray[np.bool_], float]:
    """Return the set with the best expected score under sets drawn from a joint model.

    Parameters
    ----------
    draws : bool array of shape (n_draws, n_classes)
        Sets drawn for one item, or all sets that have a probability.
    metric : {"jaccard", "f1", "accuracy", "hamming"}
        The score of the item. ``f1``, ``accuracy`` (the most frequent set) and ``hamming`` (every
        tag with probability .5 or more; the score is the share of right entries) are exact. The
        best Jaccard set is NP-hard in general: exact while at most 12 tags occur, beyond that the
        best of the drawn sets and the most probable tags, improved one tag at a time.
    weights : array of shape (n_draws,), optional
        Probability of each set; equal without it.

    Returns
    -------
    chosen : bool array of shape (n_classes,)
    score : float
        The expected score under the draws; optimistic if the draws are few.

    Examples
    --------
    >>> both_or_nothing = [[True, True], [False, False]]
    >>> best_set_of_draws(both_or_nothing, "jaccard", weights=[0.6, 0.4])
    (array([ True,  True]), 0.6)

    References
    ----------
    F. Chierichetti, R. Kumar, S. Pandey, S. Vassilvitskii (2010), "Finding the Jaccard Median".
    """
    sets, share = _checked_draws(draws, weights)
    if metric == "f1":
        return best_f1_set(*f1_parameters(sets, share))
    if metric == "hamming":
        marginal = share @ sets
        return marginal >= 0.5, float(np.maximum(marginal, 1 - marginal).mean())
    if metric == "accuracy":
        distinct, of_draw = np.unique(sets, axis=0, return_inverse=True)
        mass = np.bincount(of_draw.ravel(), share)
        return distinct[mass.argmax()], float(mass.max())
    if metric == "jaccard":
        return _jaccard_median(sets, share)
    raise ValueError(f"unknown metric {metric!r}; write jaccard, f1, accuracy or hamming")


def _checked_draws(draws: Any, weights: Any) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    given = np.asarray(draws)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"draws have shape {given.shape}; they need (n_draws, n_classes)")
    if not np.isin(given, (0, 1)).all():
        raise ValueError(
            "draws are sets, 1 where a tag is present and 0 where not; for probabilities of single "
            "tags write ExpectedF1 or ExpectedJaccard"
        )
    sets = given.astype(bool)
    share = np.ones(len(sets)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(sets),) or not (share >= 0).all() or not share.sum() > 0:
        raise ValueError(f"weights must be {len(sets)} numbers, not negative, not all zero")
    return sets, share / share.sum()


def _jaccard_median(
    sets: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], float]:
    chosen = np.zeros(sets.shape[1], dtype=bool)
    occurring = np.flatnonzero(sets.any(axis=0))
    sets = sets[:, occurring]
    if len(occurring) <= _ENUMERATED:
        tried = np.array(list(product([False, True], repeat=len(occurring))), dtype=bool)
        best, score = _best_of(tried.reshape(2 ** len(occurring), -1), sets, share)
    else:
        order = np.argsort(-(share @ sets), kind="stable")
        prefixes = np.zeros((len(order) + 1, len(order)), dtype=bool)
        for size in range(1, len(order) + 1):
            prefixes[size:, order[size - 1]] = True
        start = np.concatenate([prefixes, np.unique(sets, axis=0)])
        best, score = _improved(*_best_of(start, sets, share), sets, share)
    chosen[occurring[best]] = True
    return chosen, score


def _best_of(
    tried: NDArray[np.bool_], sets: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], float]:
    """Return the tried set with the highest expected Jaccard index; ties go to the first."""
    truth = sets.astype(np.float64).T
    size, best, at = sets.sum(axis=1), -1.0, 0
    for start in range(0, len(tried), 1024):
        part = tried[start : start + 1024].astype(np.float64)
        hits = part @ truth
        union = part.sum(axis=1, keepdims=True) + size - hits
        scores = np.divide(hits, union, out=np.ones_like(hits), where=union > 0) @ share
        if scores.max() > best:
            best, at = float(scores.max()), start + int(scores.argmax())
    return tried[at], best


def _improved(
    chosen: NDArray[np.bool_], score: float, sets: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], float]:
    """Change one tag at a time while that raises the score."""
    while True:
        better, value = _best_of(chosen ^ np.eye(len(chosen), dtype=bool), sets, share)
        if value <= score + 1e-15:
            return chosen, score
        chosen, score = better, value
