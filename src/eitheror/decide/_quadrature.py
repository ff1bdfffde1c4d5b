"""Gauss-Legendre rules on [0, 1]: expectations of 1/(n + 1) as integrals of t^n.

A rule of Q nodes integrates t^n exactly up to n = 2Q - 1, and far beyond that almost exactly: to
5e-13 of its value up to n = Q^2 / 8.5 (the tests measure it). So a thousand tags need 96 nodes, and
the two dozen tags that a row with few expected tags can hold need 12.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["integration_rule", "ladder", "nodes_for"]

_NEWTON_STEPS = 5
_FEWEST, _GROWTH = 8, 1.4


def nodes_for(degree: int) -> int:
    """Return how many nodes integrate every t^n, n <= degree, to 5e-13 of its value.

    Examples
    --------
    >>> nodes_for(3), nodes_for(733)
    (4, 80)
    """
    needed = min((degree + 1) / 2, sqrt(8.5 * degree))
    return 4 * max(ceil(needed / 4), 1)


@lru_cache(maxsize=64)
def integration_rule(n_nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (1 - nodes, weights) of the rule on [0, 1], nodes ascending.

    Newton's method on the Legendre polynomial P. A root x is known to an ulp, which near 1 would
    show in w = 2 / ((1 - x^2) P'(x)^2), so the last step enters the weight to first order.

    Examples
    --------
    >>> rest, weights = integration_rule(4)
    >>> round(float(weights @ (1 - rest) ** 7), 15)
    0.125
    """
    x = np.cos(np.pi * (np.arange(n_nodes, 0, -1) - 0.25) / (n_nodes + 0.5))
    step = np.zeros(n_nodes)
    for _ in range(_NEWTON_STEPS):
        x = x - step
        before, value = np.ones(n_nodes), x.copy()
        for n in range(2, n_nodes + 1):
            before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
        ends = (1 - x) * (1 + x)
        slope = n_nodes * (before - x * value) / ends
        step = value / slope
    weights = 1 / (slope**2 * (ends - 2 * x * step))  # 2 / .. on [-1, 1], half of it on [0, 1]
    return (1 - x) / 2, weights


def ladder(
    degree: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rules of growing size, the last good up to `degree`: a kernel picks one for each row.

    Returns
    -------
    rest, weights : arrays of shape (n_rules, most_nodes)
        1 - nodes and weights; a rule fills the first `sizes` entries of its row.
    sizes, reach : int64 arrays of shape (n_rules,)
        How many nodes, and the degree up to which they are good.
    """
    sizes = [_FEWEST]
    while sizes[-1] < nodes_for(degree):
        sizes.append(4 * ceil(sizes[-1] * _GROWTH / 4))
    rest, weights = np.ones((len(sizes), sizes[-1])), np.zeros((len(sizes), sizes[-1]))
    for row, size in enumerate(sizes):
        rest[row, :size], weights[row, :size] = integration_rule(size)
    reach = [max(2 * size - 1, int(size**2 / 8.5)) for size in sizes]
    return rest, weights, np.array(sizes), np.array(reach)
