"""Sparse feature rows times a weight table: `out[i] = sum_j values[j] * weight[indices[j]]`.

For prediction; training has kernels of its own. Both kernels add in the order of the row's
features, so the result does not depend on how rows are spread over threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["dense_product", "sparse_product"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function) -> _Function:
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
    return cast(_Function, compiled(function))


@_jit
def dense_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add to `out`, (n, k), the product with a dense `weight`, (n_features, k)."""
    for i in range(len(indptr) - 1):
        target = out[i]
        for j in range(indptr[i], indptr[i + 1]):
            value = values[np.uintp(j)]
            row = weight[np.uintp(indices[np.uintp(j)])]
            for k in range(len(target)):
                target[k] += value * row[k]


@_jit
def sparse_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    weight_indptr: NDArray[np.int64],
    weight_indices: NDArray[np.int32],
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
