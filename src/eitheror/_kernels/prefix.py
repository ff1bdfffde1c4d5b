"""Compiled choice of the set with the highest expected Jaccard index or F1, row by row.

The best set of independent tags is a prefix: the k most probable ones. Three facts keep a row of
hundreds of tags cheap. S is the sum of p over the prefix, m the sum over all tags, B the number of
true tags outside, E_k the expectation for size k.

*A floor L.* 1/x is convex, so E_k >= S / (k + m - S) (Jaccard) and E_k >= 2 S / (k + 1 + m) (F1).

*Few candidates.* If k >= 2 is the smallest best size, then E_k > E_(k-1), and its least tag p obeys
    Jaccard   p / (1 - p) > E_(k-1) >= L - p / k,            so p (3 - p) / 2 > L (1 - p);
    F1        p (1 + E_(k-1) / (2k + 4)) > E_(k-1) / 2 >= L / 2 - p / (k + 1),  so 35 p > 12 L.
(Adding a tag to a Jaccard set of size k - 1 gains iff p/(1-p) E[1/(k+B)] > S E[1/((k-1+B)(k+B))],
B without that tag; both factors of the right side fall with B, so it is at least
S E[1/(k-1+B)] E[1/(k+B)], and S E[1/(k-1+B)] >= E_(k-1). For F1 alike, with the other tags of the
row in place of B.) Only these tags are sorted, and only their prefixes are scored.

*Few nodes.* The integrals see t^(k+B); B is rarely far above m. With x so large that
x log(x/m) - x + m >= 30, P(B > x) < 1e-13 (Chernoff), and a rule good to degree k + x is enough.

Together the expectations are within 1e-12 of exact. The empty set scores P(no tag is true); above
.5 nothing else can be better, since every other set needs a true tag to score at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, jit

__all__ = ["F1", "JACCARD", "choose_prefixes"]

Floats = NDArray[np.float64]

JACCARD, F1 = 0, 1
_CERTAIN = 30.0  # exp(-30) < 1e-13
_SAFE = 1 - 1e-9  # bounds are compared with this slack, far above their rounding


@jit(SUMS)
def _mean_none_most(row: Floats) -> tuple[float, float, float]:
    mean, none, most = 0.0, 1.0, 0.0
    for j in range(row.shape[0]):
        mean += row[j]
        none *= 1.0 - row[j]
        most = max(most, row[j])
    return mean, none, most


@jit(EXACT)
def _can_be_last(p: float, floor: float, measure: int) -> bool:
    if measure == JACCARD:
        return bool(p * (3.0 - p) > 2.0 * floor * _SAFE * (1.0 - p))
    return bool(35.0 * p > 12.0 * floor * _SAFE)


@jit(EXACT)
def _floor(total: float, size: int, mean: float, measure: int) -> float:
    if measure == JACCARD:
        return float(total / (size + max(mean - total, 0.0)))
    return float(2.0 * total / (size + 1 + mean))


@jit(EXACT)
def _candidates(
    row: Floats, mean: float, floor: float, most: float, measure: int, top: Floats
) -> int:
    """Write the tags that can be the last of the best set to `top`, descending; at least one."""
    count = 0
    floor = max(floor, _floor(most, 1, mean, measure))
    for j in range(row.shape[0]):
        if _can_be_last(row[j], floor, measure):
            top[count] = row[j]
            count += 1
    if count == 0:
        top[0] = most
        return 1
    top[:count] = -np.sort(-top[:count])
    total = 0.0
    for k in range(count):
        total += top[k]
        floor = max(floor, _floor(total, k + 1, mean, measure))
    while count > 1 and not _can_be_last(top[count - 1], floor, measure):
        count -= 1
    return count


@jit(EXACT)
def _rule(count: int, mean: float, n_classes: int, reach: NDArray[np.int64]) -> int:
    """Return the smallest rule that is good enough for `count` candidates in such a row."""
    for rule in range(reach.shape[0] - 1):
        most = float(reach[rule] - count)
        if most >= n_classes:
            return rule
        if most > mean and most * np.log(most / mean) - most + mean >= _CERTAIN:
            return rule
    return int(reach.shape[0] - 1)


@jit(EXACT)
def _products(row: Floats, rest: Floats, out: Floats) -> None:
    """Write prod_j (1 - p_j (1 - t)) at each node t; four tags at a time."""
    n, n_nodes = row.shape[0], out.shape[0]
    out[:] = 1.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        a, b, c, d = row[j], row[j + 1], row[j + 2], row[j + 3]
        for q in range(n_nodes):
            u = rest[q]
            out[q] *= ((1.0 - a * u) * (1.0 - b * u)) * ((1.0 - c * u) * (1.0 - d * u))
    for j in range(whole, n):
        a = row[j]
        for q in range(n_nodes):
            out[q] *= 1.0 - a * rest[q]


@jit(SUMS)
def _next_jaccard(p: float, rest: Floats, out: Floats) -> float:
    """Take one tag into the set: out holds w t^(k-1) prod over the tags outside."""
    total = 0.0
    for q in range(out.shape[0]):
        out[q] *= (1.0 - rest[q]) / (1.0 - p * rest[q])
        total += out[q]
    return total


@jit(SUMS)
def _next_f1(p: float, rest: Floats, out: Floats, hits: Floats) -> float:
    """Take one tag into the set: out holds w t^k prod over all tags, hits the sum of p / g."""
    total = 0.0
    for q in range(out.shape[0]):
        out[q] *= 1.0 - rest[q]
        hits[q] += p / (1.0 - p * rest[q])
        total += out[q] * hits[q]
    return total


@jit(EXACT)
def _scores(
    top: Floats, rest: Floats, weights: Floats, products: Floats, measure: int, scores: Floats
) -> None:
    """Write the expectations for the sizes 1 .. len(top) to `scores`."""
    hits = np.zeros(rest.shape[0])
    total = 0.0
    for q in range(rest.shape[0]):
        products[q] *= weights[q]
        if measure == JACCARD:
            products[q] /= 1.0 - rest[q]
    for k in range(top.shape[0]):
        if measure == JACCARD:
            total += top[k]
            scores[k + 1] = total * _next_jaccard(top[k], rest, products)
        else:
            scores[k + 1] = 2.0 * _next_f1(top[k], rest, products, hits)


@jit(EXACT)
def _take(row: Floats, least: float, size: int, chosen: NDArray[np.bool_]) -> None:
    """Choose the `size` largest, the smallest of them being `least`; the first among equals."""
    above = 0
    for j in range(row.shape[0]):
        chosen[j] = row[j] > least
        above += chosen[j]
    for j in range(row.shape[0]):
        if above == size:
            return
        if row[j] == least:
            chosen[j] = True
            above += 1


@jit(EXACT)
def choose_prefixes(
    proba: Floats,
    measure: int,
    fewest: int,
    tie: float,
    rest: Floats,
    weights: Floats,
    sizes: NDArray[np.int64],
    reach: NDArray[np.int64],
    chosen: NDArray[np.bool_],
) -> None:
    """Choose the best prefix of each row.

    Parameters
    ----------
    proba : float64 array of shape (n_samples, n_classes)
        Between 0 and 1.
    measure : JACCARD or F1
    fewest : 0 or 1
        The smallest size.
    tie : float
        Sizes within `tie` of the best expectation are equals; the smallest of them is taken.
    rest, weights, sizes, reach
        From `eitheror.decide._quadrature.ladder`.
    chosen : bool array of shape (n_samples, n_classes)
        All false; changed in place.
    """
    n_samples, n_classes = proba.shape
    top = np.empty(n_classes)
    scores = np.empty(n_classes + 1)
    products = np.empty(rest.shape[1])
    for i in range(n_samples):
        row = proba[i]
        mean, none, most = _mean_none_most(row)
        if fewest == 0 and none > 0.5 + tie:
            continue
        scores[0] = none if fewest == 0 else -1.0
        count = _candidates(row, mean, scores[0], most, measure, top)
        rule = _rule(count, mean, n_classes, reach)
        n_nodes = sizes[rule]
        _products(row, rest[rule, :n_nodes], products[:n_nodes])
        _scores(
            top[:count],
            rest[rule, :n_nodes],
            weights[rule, :n_nodes],
            products[:n_nodes],
            measure,
            scores,
        )
        best = scores[: count + 1].max() - tie
        size = 0
        while scores[size] < best:
            size += 1
        if size:
            _take(row, top[size - 1], size, chosen[i])
