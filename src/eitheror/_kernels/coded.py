"""Rows times weights that are kept as one-byte codes, and the nearest of a few points.

The codes are looked up where they are needed, so a table stays as small in memory as on disk.
Every kernel adds in the order of the row's features: threads do not change the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, jit

__all__ = ["nearest", "parts_product", "values_product"]

Floats = NDArray[np.float32]


@jit(EXACT, bare=True)
def values_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: Floats,
    weight_indptr: NDArray[np.int64],
    weight_indices: NDArray[Any],
    codes: NDArray[np.uint8],
    codebook: Floats,
    out: Floats,
) -> None:
    """Add to `out`, (n, k), the product with CSR weights whose values are `codebook[codes]`."""
    for i in range(len(indptr) - 1):
        row = np.uintp(i)
        for j in range(indptr[i], indptr[i + 1]):
            value = values[np.uintp(j)]
            feature = np.uintp(indices[np.uintp(j)])
            for place in range(weight_indptr[feature], weight_indptr[feature + np.uintp(1)]):
                at = np.uintp(place)
                out[row, np.uintp(weight_indices[at])] += value * codebook[np.uintp(codes[at])]


@jit(SUMS, bare=True)
def parts_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: Floats,
    exact: Floats,
    codes: NDArray[np.uint8],
    centroids: Floats,
    scale: Floats,
    out: Floats,
) -> None:
    """Add to `out`, (n, n_parts * width), rows of which the first are exact, the others coded.

    `centroids` has shape (n_parts, n_centroids, width), and its last part may be padded with 0.
    """
    n_exact, dim = exact.shape
    n_parts, _, width = centroids.shape
    for i in range(len(indptr) - 1):
        for j in range(indptr[i], indptr[i + 1]):
            value = values[j]
            feature = indices[j]
            if feature < n_exact:
                for d in range(dim):
                    out[i, d] += value * exact[feature, d]
            else:
                factor = value * scale[feature - n_exact]
                for part in range(n_parts):
                    code = codes[feature - n_exact, part]
                    for d in range(width):
                        out[i, part * width + d] += factor * centroids[part, code, d]


@jit(SUMS)
def nearest(points: Floats, centroids: Floats, codes: NDArray[np.uint8]) -> None:
    """Write to `codes`, (n,), the centroid with the least squared distance to each point.

    `centroids` has shape (width, n_centroids), one column a centroid; the first of equals is taken.
    """
    width, n = centroids.shape
    halves = np.zeros(n, np.float32)
    for d in range(width):
        for c in range(n):
            halves[c] += np.float32(0.5) * centroids[d, c] * centroids[d, c]
    far = np.empty(n, np.float32)
    for i in range(len(points)):
        for c in range(n):
            far[c] = halves[c]
        for d in range(width):
            x = points[i, d]
            for c in range(n):
                far[c] -= x * centroids[d, c]
        best = 0
        for c in range(1, n):
            if far[c] < far[best]:
                best = c
        codes[i] = best
