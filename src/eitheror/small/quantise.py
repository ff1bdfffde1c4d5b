"""Numbers to one-byte codes: a table of values for single numbers, centroids for rows.

Same numbers and seed, same codes, whatever the number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror.model import CodedRows

__all__ = ["coded_rows", "coded_values", "halves"]

_CODES = 256
_ROUNDS = 15
_SAMPLE = 2**14  # rows that the centroids are fitted to
_HALF = 65504.0  # the largest number of 16 bits

Floats = NDArray[np.float32]


def halves(array: Floats) -> Floats:
    """Round to what 16 bits hold; unchanged if a number is too large for them.

    Parameters
    ----------
    array : float32 array

    Returns
    -------
    float32 array of the same shape

    Examples
    --------
    >>> halves(np.float32([1.0001, 2.0])).tolist()
    [1.0, 2.0]
    """
    if np.abs(array).max(initial=0) > _HALF:
        return array
    return array.astype(np.float16).astype(np.float32)


def coded_values(values: Floats, n_codes: int = _CODES) -> tuple[NDArray[np.uint8], Floats]:
    """Replace each number by the nearest of a few (Lloyd's algorithm on the line).

    Parameters
    ----------
    values : float32 array of shape (n,)
    n_codes : int
        At most 256.

    Returns
    -------
    codes : uint8 array of shape (n,)
    codebook : float32 array of shape (n_codes,) or less
        Rising.

    References
    ----------
    S. Lloyd (1982), "Least Squares Quantization in PCM".

    Examples
    --------
    >>> codes, codebook = coded_values(np.float32([5, 1, 5, 1.5]), 2)
    >>> codebook[codes].tolist()
    [5.0, 1.25, 5.0, 1.25]
    """
    ordered = np.sort(values).astype(np.float64)
    if not len(ordered):
        return np.empty(0, np.uint8), np.empty(0, np.float32)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    # Weights have long tails, and in quantiles the few large ones would share a value. Even
    # steps of the cube root reach the ends, and are close to the best density of values.
    low, high = float(np.cbrt(ordered[0])), float(np.cbrt(ordered[-1]))
    codebook = np.unique(np.linspace(low, high, n_codes) ** 3)
    for _ in range(_ROUNDS):
        cuts = np.searchsorted(ordered, (codebook[1:] + codebook[:-1]) / 2)
        edges = np.concatenate([[0], cuts, [len(ordered)]])
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        codebook = np.unique(np.where(counts > 0, means, codebook))
    found = codebook.astype(np.float32)
    between = ((codebook[1:] + codebook[:-1]) / 2).astype(np.float32)
    return np.searchsorted(between, values).astype(np.uint8), found


def coded_rows(
    matrix: Floats, width: int, n_exact: int = 0, *, n_codes: int = _CODES, seed: int = 0
) -> CodedRows:
    """Product quantisation of rows: their directions part by part, and their lengths in 16 bits.

    Parameters
    ----------
    matrix : float32 array of shape (n_rows, dim)
    width : int
        Columns of a part.
    n_exact : int
        So many first rows are kept as they are, in 16 bits.
    n_codes : int
        Centroids of a part, at most 256.
    seed : int

    Returns
    -------
    CodedRows

    Examples
    --------
    >>> matrix = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    >>> error = coded_rows(matrix, 2).take(np.arange(1000)) - matrix
    >>> bool(np.square(error).mean() < 0.02)
    True
    """
    rest = matrix[n_exact:]
    dim = matrix.shape[1]
    n_parts = -(-dim // width)
    lengths = np.linalg.norm(rest, axis=1)
    unit = np.zeros((len(rest), n_parts * width), dtype=np.float32)
    unit[:, :dim] = rest / np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    codes = np.empty((len(rest), n_parts), dtype=np.uint8)
    centroids = np.zeros((n_parts, min(n_codes, len(rest)), width), dtype=np.float32)
    rng = np.random.default_rng(seed)
    order = np.sort(rng.choice(len(rest), min(len(rest), _SAMPLE), replace=False))
    starts = rng.choice(len(rest), centroids.shape[1], replace=False)
    for part in range(n_parts if len(rest) else 0):
        points = np.ascontiguousarray(unit[:, part * width : (part + 1) * width])
        centroids[part] = halves(_centroids(points[order], points[starts]))
        codes[:, part] = _nearest(points, centroids[part])
    rough = CodedRows(
        halves(matrix[:n_exact]), codes, centroids, np.ones(len(rest), dtype=np.float32)
    )
    near = rough.take(np.arange(n_exact, len(matrix)))
    # the factor s with the least |row - s near|^2 is row . near / |near|^2
    least = np.maximum(np.square(near).sum(axis=1), np.finfo(np.float32).tiny)
    scale = halves(((rest * near).sum(axis=1) / least).astype(np.float32))
    return CodedRows(rough.exact, codes, centroids, scale)


def _centroids(points: Floats, start: Floats) -> Floats:
    """Lloyd's algorithm; a centroid without points stays where it is."""
    centroids = start.copy()
    for _ in range(_ROUNDS):
        codes = _nearest(points, centroids)
        counts = np.bincount(codes, minlength=len(centroids))
        for column in range(points.shape[1]):
            sums = np.bincount(codes, points[:, column], minlength=len(centroids))
            means = sums / np.maximum(counts, 1)
            centroids[:, column] = np.where(counts > 0, means, centroids[:, column])
    return centroids


def _nearest(points: Floats, centroids: Floats) -> NDArray[np.uint8]:
    from eitheror._kernels.coded import nearest

    codes = np.empty(len(points), dtype=np.uint8)
    nearest(points, np.ascontiguousarray(centroids.T), codes)
    return codes
