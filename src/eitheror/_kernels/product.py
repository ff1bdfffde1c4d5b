"""Sparse feature rows times a weight table: `out[i] = sum_j values[j] * weight[indices[j]]`.

For prediction; training has kernels of its own. Both kernels add in the order of the row's
features, so the result does not depend on how rows are spread over threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import jit
from eitheror._kernels.simd import LANES, add_scaled, load, prefetch, store, zeros

__all__ = ["dense_rows", "sparse_product"]

_FUSED = frozenset({"contract"})  # a product and the sum after it may be one operation
_AHEAD = 16  # features whose rows are asked for before they are added


@jit(_FUSED, bare=True)
def dense_rows(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    mean: bool,
    weight: NDArray[np.float32],
    tail: NDArray[np.float32],
    safe: int,
    k: int,
    chunks: tuple[int, ...],
    out: NDArray[np.float32],
    width: int,
) -> None:
    """Write the product with a dense weight to `out`; `eitheror._kernels.dense` prepares it all."""
    step = LANES * len(chunks)
    last = len(indices) - 1
    factor = np.float32(1.0)
    for i in range(len(indptr) - 1):
        begin, end = indptr[i], indptr[i + 1]
        for column in range(0, width, step):
            total = zeros(chunks)
            for j in range(begin, end):
                following = np.intp(indices[np.uintp(min(j + _AHEAD, last))])
                prefetch(weight, following * k + column)
                feature = np.intp(indices[np.uintp(j)])
                if not mean:
                    factor = values[np.uintp(j)]
                if feature < safe:
                    total = add_scaled(total, factor, load(weight, feature * k + column, chunks))
                else:
                    place = (feature - safe) * k + column
                    total = add_scaled(total, factor, load(tail, place, chunks))
            if mean and end > begin:
                part = np.float32(1.0) / np.float32(end - begin)
                total = add_scaled(zeros(chunks), part, total)
            store(out, i * width + column, total)


@jit(_FUSED, bare=True)
def sparse_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    weight_indptr: NDArray[np.int64],
    weight_indices: NDArray[Any],
    weight_values: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add to `out`, (n, k), the product with a CSR weight of n_features rows."""
    for i in range(len(indptr) - 1):
        target = out[i]
        for j in range(indptr[i], indptr[i + 1]):
            value = values[np.uintp(j)]
            feature = np.uintp(indices[np.uintp(j)])
            for place in range(weight_indptr[feature], weight_indptr[feature + np.uintp(1)]):
                k = np.uintp(weight_indices[np.uintp(place)])
                target[k] += value * weight_values[np.uintp(place)]
