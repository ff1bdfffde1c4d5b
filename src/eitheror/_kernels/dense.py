"""Sparse feature rows times a dense weight table: the arrays that the kernel reads and writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import layout
from eitheror._kernels.native import native

__all__ = ["dense_product"]


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
    native("product").dense_rows(
        indptr, indices, values, stored is None, weight.reshape(-1), tail, safe, k, chunks,
        out.reshape(-1), width,
    )  # fmt: skip
    return np.ascontiguousarray(out[:, :k])
