"""The search of `search` in plain Python, for a few rows: Numba takes longer to start."""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_leaves"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


def best_leaves(
    hidden: Floats,
    children: Integers,
    weight: Floats,
    bias: Floats,
    classes: Integers,
    log_proba: Floats,
) -> None:
    """Write the most probable classes of each row; see `search.best_leaves`."""
    n_classes = len(children) + 1
    for row, h in enumerate(hidden):
        # minus the score, whether a leaf, the node; of one class the root is the leaf
        heap = [(0.0, n_classes == 1, 2 * n_classes - 2)]
        for found in range(classes.shape[1]):
            cost, is_leaf, node = heapq.heappop(heap)
            while not is_leaf:
                v = node - n_classes
                m = float(h @ weight[v] + bias[v])
                both = cost + math.log1p(math.exp(-abs(m)))
                left, right = children[v].tolist()
                heapq.heappush(heap, (both + max(m, 0.0), left < n_classes, left))
                heapq.heappush(heap, (both - min(m, 0.0), right < n_classes, right))
                cost, is_leaf, node = heapq.heappop(heap)
            classes[row, found], log_proba[row, found] = node, -cost
