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

from eitheror._kernels.embedding import layout
from eitheror._kernels.simd import LANES, add_scaled, load, prefetch, store, zeros

__all__ = ["dense_product", "sparse_product"]

_AHEAD = 16  # features whose rows are asked for before they are added

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function) -> _Function:
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
    return cast(_Function, compiled(function))


def dense_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    stored: NDArray[np.float32] | None,
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the product of rows with a dense `weight` of shape (n_features, k).

    Parameters
    ----------
    indptr, indices, stored
        The arrays of `Rows`; without `stored` a row is the mean of its features.
    weight : C-contiguous float32 array of shape (n_features, k)

    Returns
    -------
    C-contiguous float32 array of shape (n, k)
    """
    n_features, k = weight.shape
    chunks, width = layout(k)
    # A vector may reach beyond its row, which does no harm but behind the last rows of the table:
    # these are read from a copy with room behind it.
    safe = max(0, (weight.size - width) // max(k, 1) + 1) if weight.size >= width else 0
    tail = np.zeros((n_features - safe) * k + width, np.float32)
    tail[: (n_features - safe) * k] = weight.reshape(-1)[safe * k :]
    values = np.empty(0, np.float32) if stored is None else stored
    out = np.empty((len(indptr) - 1, width), np.float32)
    _dense(
        indptr, indices, values, stored is None, weight.reshape(-1), tail, safe, k, chunks,
        out.reshape(-1), width,
    )  # fmt: skip
    return np.ascontiguousarray(out[:, :k])


@_jit
def _dense(
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


@_jit
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
