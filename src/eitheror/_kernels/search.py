"""Compiled search of a label tree for the most probable classes: the best leaf first, exactly.

A node is at least as probable as anything below it. The best open node is therefore looked into
until it is a leaf: no other leaf can be more probable. Plain arrays in, arrays written;
`search_plain` does the same without Numba.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, jit

__all__ = ["best_leaves"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@jit(SUMS, bare=True)
def _margin(hidden: Floats, row: int, weight: Floats, bias: Floats, node: int) -> float:
    total = bias[node]
    for d in range(weight.shape[1]):
        total += hidden[row, d] * weight[node, d]
    return float(total)


@jit(EXACT, bare=True)
def _before(score: float, node: int, other_score: float, other: int, n_classes: int) -> bool:
    """Whether a node is looked into before another: of equals an inner one, then the first."""
    if score != other_score:
        return score > other_score
    inner, other_inner = node >= n_classes, other >= n_classes
    return inner > other_inner if inner != other_inner else node < other


@jit(EXACT, bare=True)
def _push(
    scores: NDArray[np.float64], nodes: Integers, n: int, score: float, node: int, n_classes: int
) -> None:
    """Add a node to a heap of n."""
    at = n
    while at > 0:
        above = (at - 1) >> 1
        if not _before(score, node, scores[above], nodes[above], n_classes):
            break
        scores[at], nodes[at] = scores[above], nodes[above]
        at = above
    scores[at], nodes[at] = score, node


@jit(EXACT, bare=True)
def _drop_first(scores: NDArray[np.float64], nodes: Integers, n: int, n_classes: int) -> None:
    """Take the first node off a heap that is left with n."""
    score, node = scores[n], nodes[n]
    at = 0
    while 2 * at + 1 < n:
        below = 2 * at + 1
        if below + 1 < n and _before(
            scores[below + 1], nodes[below + 1], scores[below], nodes[below], n_classes
        ):
            below += 1
        if not _before(scores[below], nodes[below], score, node, n_classes):
            break
        scores[at], nodes[at] = scores[below], nodes[below]
        at = below
    scores[at], nodes[at] = score, node


@jit(EXACT, bare=True)
def best_leaves(
    hidden: Floats,
    children: Integers,
    weight: Floats,
    bias: Floats,
    classes: Integers,
    log_proba: Floats,
    scores: NDArray[np.float64],
    nodes: Integers,
) -> None:
    """Write the most probable classes of each row and the logs of their probabilities.

    Parameters
    ----------
    hidden : float32 array of shape (n_samples, dim)
    children, weight, bias
        See `eitheror.model.HuffmanParameters`.
    classes, log_proba : int32 and float32 arrays of shape (n_samples, k), k <= n_classes
        Written, best first; of equal classes the first.
    scores, nodes : float64 and int32 arrays of shape (n_classes,)
        Room to work in.
    """
    n_classes = children.shape[0] + 1
    for row in range(hidden.shape[0]):
        scores[0], nodes[0] = 0.0, 2 * n_classes - 2
        n, found = 1, 0
        while found < classes.shape[1]:
            score, node = scores[0], nodes[0]
            n -= 1
            _drop_first(scores, nodes, n, n_classes)
            if node < n_classes:
                classes[row, found], log_proba[row, found] = node, score
                found += 1
                continue
            v = node - n_classes
            m = _margin(hidden, row, weight, bias, v)
            both = score - math.log1p(math.exp(-abs(m)))
            _push(scores, nodes, n, both - max(m, 0.0), children[v, 0], n_classes)
            _push(scores, nodes, n + 1, both + min(m, 0.0), children[v, 1], n_classes)
            n += 2
