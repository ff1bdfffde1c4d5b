"""Numeric tables: checked once at the edge, then brought to mean 0 and a common scale.

A column is divided by its standard deviation; one of two values only (an indicator) by half their
distance, because a standard deviation would blow up the rare ones: a word that occurs in one row of
a thousand would weigh thirty times one that occurs in every second row.

Tables of counts or indicators, a bag of words a row, may be scaled like texts instead: every row to
length 1 ("unit"), after each column was multiplied by ``log((1 + n) / (1 + df)) + 1`` ("tfidf").

In: anything that can be a 2-D table of numbers. Out: a C-contiguous array or a CSR matrix, and a
:class:`Standardiser`. CSR columns are scaled but not centred, which would fill them; with an
unpenalised intercept the fitted model is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.model import LinearParameters, SparseWeight
from eitheror.model.parameters import unit_matrix, unit_rows

__all__ = ["Standardiser", "as_matrix"]

Vector = NDArray[np.float64]

_FLOAT64_CELLS = 8_000_000  # tables with more cells than this are worked on in float32
_BLOCK_ROWS = 4096


def as_matrix(X: Any) -> Any:
    """Check a table of features and return it as a float array or a CSR matrix.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Finite numbers.

    Returns
    -------
    numpy.ndarray or scipy.sparse CSR
        float32 stays float32, everything else becomes float64.

    Raises
    ------
    ValueError
        For another shape than 2-D, no columns, or an entry that is nan or infinite (named).

    Examples
    --------
    >>> as_matrix([[1, 2], [3, 4]]).dtype
    dtype('float64')
    """
    X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
    if X.ndim != 2 or X.shape[1] == 0:
        raise ValueError(
            f"features have shape {X.shape}; expected a table (n_samples, n_features) with at "
            "least one column"
        )
    if X.dtype != np.float32:
        X = X.astype(np.float64)
    _check_finite(X)
    return X


def _check_finite(X: Any) -> None:
    values = X.data if hasattr(X, "tocsr") else X
    # the sum is finite unless an entry is not (or the sum overflows): a cheap first look
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    if hasattr(X, "tocsr"):
        at = int(np.flatnonzero(bad)[0])
        row, column = int(np.searchsorted(X.indptr, at, side="right")) - 1, int(X.indices[at])
        value = values[at]
    else:
        row, column = (int(i) for i in np.argwhere(bad)[0])
        value = values[row, column]
    raise ValueError(
        f"features row {row}, column {column} is {value}; expected a finite number: replace "
        "missing values first (an imputer, or an indicator column)"
    )


@dataclass(frozen=True)
class Standardiser:
    """Column means (None for CSR input) and scales; constant columns have scale 1.

    `unit_rows` says that a row is divided by its length after that.

    Examples
    --------
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> Standardiser.fit(X).transform(X).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: Vector | None
    scale: Vector
    unit_rows: bool = False

    @classmethod
    def fit(cls, X: Any, weight: Vector | None = None, scaling: str | None = None) -> Standardiser:
        """Measure the columns of a table.

        Parameters
        ----------
        X : array or CSR matrix of shape (n_samples, n_features)
            What :func:`as_matrix` returned.
        weight : array of shape (n_samples,), optional
        scaling : {"standard", "unit", "tfidf"}, optional
            None is "standard".

        Raises
        ------
        ValueError
            For "tfidf" and a number below 0.
        """
        if weight is None:
            weight = np.ones(X.shape[0])
        if not (weight > 0).all():
            X, weight = X[weight > 0], weight[weight > 0]
        if scaling == "unit":
            return cls(None, np.ones(X.shape[1]), unit_rows=True)
        if scaling == "tfidf":
            return cls(None, 1 / _inverse_frequency(X, weight), unit_rows=True)
        measured = _measure_sparse(X, weight) if hasattr(X, "tocsr") else _measure(X, weight)
        return cls(None if hasattr(X, "tocsr") else measured[0], _scale(X.shape[0], *measured))

    def transform(self, X: Any) -> Any:
        """Return the standardised table, in float64 while it is small and float32 beyond."""
        dtype = np.float64 if X.shape[0] * X.shape[1] <= _FLOAT64_CELLS else np.float32
        if hasattr(X, "tocsr"):
            scaled = X.copy() if X.dtype == np.float64 else X.astype(np.float64)
            scaled.data /= self.scale[scaled.indices]
            if self.unit_rows:
                scaled.data = unit_rows(scaled.indptr, scaled.data)
            return scaled
        out = np.empty(X.shape, dtype=dtype)
        for start in range(0, len(X), _BLOCK_ROWS):
            part = X[start : start + _BLOCK_ROWS]
            centred = part if self.mean is None else part - self.mean
            scaled = centred / self.scale
            out[start : start + _BLOCK_ROWS] = unit_matrix(scaled) if self.unit_rows else scaled
        return out

    def parameters(self, theta: Vector, n_classes: int) -> LinearParameters:
        """Put the model together from weights (row by row) and intercepts, laid end to end."""
        weight, bias = theta[:-n_classes], theta[-n_classes:]
        dense = weight.reshape(-1, n_classes).astype(np.float32)
        return self.model(dense, bias.astype(np.float32))

    def model(
        self, weight: NDArray[np.float32] | SparseWeight, bias: NDArray[np.float32]
    ) -> LinearParameters:
        """Put the model together from the weights of scaled features and the intercepts."""
        return LinearParameters(weight, bias, self.mean, self.scale, self.unit_rows)


def _inverse_frequency(X: Any, weight: Vector) -> Vector:
    """``log((1 + n) / (1 + df)) + 1`` of each column, rows counted by weight."""
    if hasattr(X, "tocsr"):
        lowest = X.data.min(initial=0.0)
        rows = np.repeat(weight, np.diff(X.indptr)) * (X.data != 0)
        seen = np.bincount(X.indices, rows, X.shape[1])
    else:
        lowest = X.min(initial=0.0)
        seen = weight @ (X != 0)
    if lowest < 0:
        raise ValueError(
            f"features hold {lowest}; scaling='tfidf' is for counts, which are 0 or more: use "
            "scaling='unit' or 'standard'"
        )
    return np.asarray(np.log((1 + weight.sum()) / (1 + seen)) + 1)


def _blocks(X: Any, weight: Vector) -> Any:
    for start in range(0, len(X), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        yield X[part].astype(np.float64, copy=False), weight[part]


def _measure(X: Any, weight: Vector) -> tuple[Vector, Vector, Vector]:
    """Return each column's mean and variance, and the distance of two values or 0."""
    total = weight.sum()
    mean = sum(w @ part for part, w in _blocks(X, weight)) / total
    variance = sum(w @ (part - mean) ** 2 for part, w in _blocks(X, weight)) / total
    low, high = X.min(axis=0), X.max(axis=0)
    two = np.ones(X.shape[1], dtype=bool)
    for start in range(0, len(X), _BLOCK_ROWS):
        part = X[start : start + _BLOCK_ROWS]
        two &= ((part == low) | (part == high)).all(axis=0)
    return mean, variance, np.where(two, high.astype(np.float64) - low, 0.0)


def _measure_sparse(X: Any, weight: Vector) -> tuple[Vector, Vector, Vector]:
    n, d = X.shape
    total = weight.sum()
    values = X.data.astype(np.float64)
    entry_weight = np.repeat(weight, np.diff(X.indptr))
    mean = np.bincount(X.indices, entry_weight * values, d) / total
    # sum over stored entries of (x - m)^2, plus m^2 for every entry that is not stored
    deviation = np.bincount(X.indices, entry_weight * (values - mean[X.indices]) ** 2, d)
    stored = np.bincount(X.indices, entry_weight, d)
    variance = (deviation + (total - stored) * mean**2) / total
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    empty = np.bincount(X.indices, minlength=d) < n
    low[empty] = high[empty] = 0.0
    np.minimum.at(low, X.indices, values)
    np.maximum.at(high, X.indices, values)
    between = (values != low[X.indices]) & (values != high[X.indices])
    two = np.bincount(X.indices, between, d) == 0
    return mean, variance, np.where(two, high - low, 0.0)


def _scale(n: int, mean: Vector, variance: Vector, distance: Vector) -> Vector:
    # a constant column has only rounding errors left: no scale can be read from it
    eps = np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * eps * mean) ** 2
    spread = np.where(distance > 0, distance / 2, np.sqrt(variance))
    return np.where(constant, 1.0, spread)
