"""`Rows`: sparse feature rows (CSR) that text, numeric tables and the trainers share.

Made by `eitheror.text.Featurizer` or from numeric arrays; read by the training and prediction
kernels as three plain arrays. Indices are int32 because a feature row is read far more often than
written, and half the bytes is half the memory traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Rows", "expand"]

_MAX_FEATURES = 2**31 - 1


def expand(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions `starts[i] .. starts[i] + lengths[i] - 1` of all i, one after the other.

    Parameters
    ----------
    starts, lengths : int64 array of shape (n,)
        Where each run begins and how long it is.

    Returns
    -------
    int64 array of shape (lengths.sum(),)

    Examples
    --------
    >>> expand(np.array([10, 0]), np.array([2, 3])).tolist()
    [10, 11, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    shift: NDArray[np.int64] = np.repeat(starts - (ends - lengths), lengths)
    return np.arange(total, dtype=np.int64) + shift


@dataclass(frozen=True, eq=False)
class Rows:
    """Sparse feature rows: row i has `values[j]` at `indices[j]` for j in indptr[i]..indptr[i+1].

    Rows that are averages keep no values: half the memory, and half of what a pass reads.

    Parameters
    ----------
    indptr : int64 array of shape (n_samples + 1,)
        Where each row begins; `indptr[-1] == len(indices)`.
    indices : int32 array of shape (nnz,)
        Feature numbers, `0 <= index < n_features`, in no particular order. Averaged-embedding rows
        may name a feature twice, which means twice its value.
    stored : float32 array of shape (nnz,) or None
        Finite feature values. None: each of a row's n features counts 1 / n.
    n_features : int
        Width of the rows.

    Examples
    --------
    >>> rows = Rows.from_dense([[0.0, 2.0], [3.0, 0.0]])
    >>> rows.indices.tolist(), rows.values.tolist()
    ([1, 0], [2.0, 3.0])
    >>> rows.take([1]).to_dense().tolist()
    [[3.0, 0.0]]
    >>> Rows(np.array([0, 2]), np.array([0, 1], np.int32), None, 2).values.tolist()
    [0.5, 0.5]
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    stored: NDArray[np.float32] | None
    n_features: int

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """The feature values, float32 of shape (nnz,)."""
        if self.stored is not None:
            return self.stored
        lengths = np.diff(self.indptr)
        return np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows):
            return NotImplemented
        return (
            self.n_features == other.n_features
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows, {self.n_features} features, {len(self.indices)} values)"

    def take(self, rows: ArrayLike | slice) -> Rows:
        """Rows by position, boolean mask or slice, in the order given.

        Parameters
        ----------
        rows : int array, bool array of shape (n_samples,), or slice
            Which rows; a row may be taken several times.

        Returns
        -------
        Rows
        """
        which = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(which, np.ndarray) and which.size == 0:
            which = which.astype(np.int64)  # an empty list is float to NumPy
        positions = np.arange(len(self))[which]
        starts = self.indptr[:-1][positions]
        lengths = self.indptr[1:][positions] - starts
        places = expand(starts, lengths)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        stored = None if self.stored is None else self.stored[places]
        return Rows(indptr, self.indices[places], stored, self.n_features)

    def to_dense(self) -> NDArray[np.float32]:
        """Dense float32 matrix of shape (n_samples, n_features); repeated features are added."""
        dense = np.zeros((len(self), self.n_features), dtype=np.float32)
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        np.add.at(dense, (row, self.indices), self.values)
        return dense

    @classmethod
    def from_dense(cls, X: ArrayLike) -> Rows:
        """Rows of a dense matrix; zeros are not stored.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers within float32's range.

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            If `X` is not two-dimensional, or a value is nan, infinite or beyond float32.
        """
        matrix = np.asarray(X)
        if matrix.ndim != 2:
            raise ValueError(
                f"features of shape {matrix.shape} came; (n_samples, n_features) was expected: "
                "write X.reshape(len(X), -1), or X.reshape(1, -1) for one row"
            )
        _check_width(matrix.shape[1])
        row, column = np.nonzero(matrix)
        values = _finite_float32(matrix[row, column], row, column)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(matrix)))])
        return cls(indptr.astype(np.int64), column.astype(np.int32), values, matrix.shape[1])

    @classmethod
    def from_csr(cls, X: Any) -> Rows:
        """Rows of a SciPy sparse matrix or array of any format; repeated entries are added.

        Parameters
        ----------
        X : scipy.sparse matrix or array of shape (n_samples, n_features)

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            If a value is nan, infinite or beyond float32.
        """
        matrix = X.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        _check_width(matrix.shape[1])
        indptr = np.asarray(matrix.indptr, dtype=np.int64)
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(indptr))
        values = _finite_float32(np.asarray(matrix.data), row, matrix.indices)
        return cls(indptr, matrix.indices.astype(np.int32), values, int(matrix.shape[1]))

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        """One `Rows` from several of the same width, in order; at least one part."""
        widths = {part.n_features for part in parts}
        if len(widths) != 1:
            raise ValueError(
                f"rows with {sorted(widths)} features cannot be joined: one width was expected"
            )
        offsets = np.cumsum([0] + [len(part.indices) for part in parts])
        starts = [part.indptr[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
        return Rows(
            np.concatenate([*starts, offsets[-1:]]).astype(np.int64),
            np.concatenate([part.indices for part in parts]),
            None
            if all(part.stored is None for part in parts)
            else np.concatenate([part.values for part in parts]),
            widths.pop(),
        )


def _check_width(n_features: int) -> None:
    if n_features > _MAX_FEATURES:
        raise ValueError(f"{n_features} features came; at most {_MAX_FEATURES} fit an int32 index")


def _finite_float32(
    values: NDArray[Any], row: NDArray[Any], column: NDArray[Any]
) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"features of dtype {values.dtype} came; numbers were expected: "
            "write X.astype(float), or pass texts as a list of str"
        )
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(result))
    if len(bad):
        place = bad[0]
        raise ValueError(
            f"row {row[place]}, feature {column[place]} is {values[place]}; a finite number within "
            "float32's range was expected: drop the row, or fill it in (for instance with the "
            "feature's median)"
        )
    return result
