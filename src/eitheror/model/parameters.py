"""The numbers of a fitted model: linear or averaged embeddings; rows in, logits out.

In: `Rows`. Out: float32 logits. A few rows go through NumPy, many through the `product` kernels in
threads; the weights of a linear text model are mostly zero and may stay sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.dense import dense_product
from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows, expand

if TYPE_CHECKING:
    from eitheror.model.huffman import CodedHuffmanParameters, HuffmanParameters
    from eitheror.model.quantised import CodedEmbeddingParameters, CodedLinearParameters

    Parameters: TypeAlias = (
        "LinearParameters | EmbeddingParameters | HuffmanParameters | CodedLinearParameters | "
        "CodedEmbeddingParameters | CodedHuffmanParameters"
    )

__all__ = [
    "EmbeddingParameters",
    "LinearParameters",
    "SparseWeight",
    "check_array",
    "check_names",
    "parameters_from_tensors",
    "rows_product",
    "unit_matrix",
    "unit_rows",
]

_SMALL = 20_000  # features below which starting Numba costs more than NumPy
_SPARSE = 0.15  # share of entries that are not 0 below which a sparse product is faster
_Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class SparseWeight:
    """Weights of shape (n_features, n_classes) by feature (CSR); what is not listed is 0.

    Parameters
    ----------
    indptr : int64 array of shape (n_features + 1,)
    indices : uint16 or int32 array of shape (nnz,)
        Classes, at most once a feature.
    values : float32 array of shape (nnz,)
    n_classes : int

    Examples
    --------
    >>> SparseWeight.from_dense(np.float32([[0, 2], [0, 0]])).indptr.tolist()
    [0, 1, 1]
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint16] | NDArray[np.int32]
    values: NDArray[np.float32]
    n_classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_classes)."""
        return len(self.indptr) - 1, self.n_classes

    @classmethod
    def from_dense(cls, weight: NDArray[np.float32]) -> SparseWeight:
        """Keep the entries of a (n_features, n_classes) matrix that are not 0."""
        feature, column = np.nonzero(weight)
        counts = np.bincount(feature, minlength=len(weight))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        values = weight[feature, column].astype(np.float32)
        return cls(indptr, column.astype(_narrow(weight.shape[1])), values, weight.shape[1])

    def to_dense(self) -> NDArray[np.float32]:
        """Float32 matrix of shape (n_features, n_classes)."""
        dense = np.zeros(self.shape, dtype=np.float32)
        starts = np.arange(self.shape[0], dtype=np.int64) * self.n_classes
        dense.reshape(-1)[np.repeat(starts, np.diff(self.indptr)) + self.indices] = self.values
        return dense


@dataclass(frozen=True, eq=False)
class LinearParameters:
    """A linear model: `logits = ((x - mean) / scale) @ weight + bias`.

    With `unit_rows` the scaled row is divided by its length first; there is no mean then.

    Parameters
    ----------
    weight : float32 array of shape (n_features, n_classes), or SparseWeight
    bias : float32 array of shape (n_classes,)
    mean, scale : float64 arrays of shape (n_features,), or None
        Standardisation of numeric features; `scale` is above 0. Both or `scale` alone.
    unit_rows : bool
        Whether rows are brought to length 1; a row of zeros stays as it is.

    Examples
    --------
    >>> parameters = LinearParameters(np.float32([[1, -1], [0, 2]]), np.float32([0, 1]))
    >>> parameters.logits(Rows.from_dense([[1.0, 1.0]])).tolist()
    [[1.0, 2.0]]
    """

    family: ClassVar[str] = "linear"
    weight: NDArray[np.float32] | SparseWeight
    bias: NDArray[np.float32]
    mean: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    unit_rows: bool = False

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return int(self.weight.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return int(self.weight.shape[1])

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Logits of sparse rows, float32 of shape (n_samples, n_classes)."""
        offset = self.bias
        if self.scale is not None:
            values = rows.values / self.scale[rows.indices]
            if self.unit_rows:
                values = unit_rows(rows.indptr, values)
            scaled = values.astype(np.float32)
            rows = Rows(rows.indptr, rows.indices, scaled, rows.n_features)
        if self.mean is not None:
            # (x - m) / s @ W + b = x / s @ W + (b - m / s @ W); zeros of x stay unstored.
            offset = self.bias - self._dense_product(self.mean[None])[0]
        weight = self.weight if len(rows.indices) < _SMALL else self._fast_weight
        return rows_product(rows, weight) + offset

    def dense_logits(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Logits of a finite dense matrix of shape (n_samples, n_features)."""
        centred = X if self.mean is None else X - self.mean
        return self._dense_product(centred) + self.bias

    def _dense_product(self, X: NDArray[Any]) -> NDArray[np.float32]:
        scaled: NDArray[Any] = X if self.scale is None else X / self.scale
        if self.unit_rows:
            scaled = unit_matrix(scaled)
        scaled = scaled.astype(np.float32, copy=False)
        if isinstance(self.weight, SparseWeight):
            return rows_product(Rows.from_dense(scaled), self.weight)
        product: NDArray[np.float32] = scaled @ self.weight
        return product

    @cached_property
    def _fast_weight(self) -> NDArray[np.float32] | SparseWeight:
        # Dense where few weights are 0; made for the first large input, not for a few lines.
        weight = self.weight
        if not isinstance(weight, SparseWeight):
            return weight
        full = len(weight.values) >= _SPARSE * weight.shape[0] * weight.shape[1]
        return weight.to_dense() if full else weight

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name; weights that are at least half zeros as CSR."""
        weight = self.weight
        if not isinstance(weight, SparseWeight) and 2 * np.count_nonzero(weight) < weight.size:
            weight = SparseWeight.from_dense(weight)
        arrays: dict[str, NDArray[Any]] = {"bias": self.bias}
        if isinstance(weight, SparseWeight):
            arrays["weight.indptr"] = weight.indptr
            arrays["weight.indices"] = weight.indices.astype(_narrow(weight.n_classes))
            arrays["weight.values"] = weight.values
        else:
            arrays["weight"] = weight
        optional = {"mean": self.mean, "scale": self.scale}
        if self.unit_rows:
            arrays["unit_rows"] = np.ones(1, np.uint8)
        return arrays | {name: array for name, array in optional.items() if array is not None}


@dataclass(frozen=True, eq=False)
class EmbeddingParameters:
    """Averaged embeddings: `logits = (x @ embedding) @ weight.T + bias`, fastText's model.

    Parameters
    ----------
    embedding : float32 array of shape (n_features, dim)
    weight : float32 array of shape (n_classes, dim)
    bias : float32 array of shape (n_classes,)

    Examples
    --------
    >>> parameters = EmbeddingParameters(
    ...     np.float32([[1], [3]]), np.float32([[1], [-1]]), np.float32([0, 0])
    ... )
    >>> parameters.logits(Rows.from_dense([[0.5, 0.5]])).tolist()
    [[2.0, -2.0]]
    """

    family: ClassVar[str] = "embedding"
    embedding: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return int(self.embedding.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return int(self.weight.shape[0])

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Logits of sparse rows, float32 of shape (n_samples, n_classes)."""
        logits: NDArray[np.float32] = rows_product(rows, self.embedding) @ self.weight.T + self.bias
        return logits

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name."""
        return {"embedding": self.embedding, "weight": self.weight, "bias": self.bias}


def parameters_from_tensors(
    family: str, tensors: _Tensors, n_features: int | None, n_classes: int
) -> Parameters:
    """Inverse of `tensors`, with every array checked.

    Parameters
    ----------
    family : {"linear", "embedding", "huffman", "linear-coded", "embedding-coded", "huffman-coded"}
    tensors : mapping of str to array
        Exactly the arrays of the family.
    n_features : int or None
        Width that is expected; None takes the arrays' own.
    n_classes : int
        Number of classes that is expected.

    Returns
    -------
    LinearParameters, EmbeddingParameters, HuffmanParameters or one of the coded forms

    Raises
    ------
    ValueError
        Naming the array that is missing, unknown, or has the wrong dtype, shape or values.
    """
    if family.startswith("huffman"):
        from eitheror.model.huffman import coded_huffman_from_tensors, huffman_from_tensors

        read = coded_huffman_from_tensors if family.endswith("-coded") else huffman_from_tensors
        return read(tensors, n_features, n_classes)
    if family.endswith("-coded"):
        from eitheror.model.quantised import coded_from_tensors

        return coded_from_tensors(family, tensors, n_features, n_classes)
    if family == "embedding":
        check_names(tensors, {"embedding", "weight", "bias"}, set())
        if n_features is None:
            n_features = len(tensors["embedding"])
        dim = tensors["weight"].shape[-1] if tensors["weight"].ndim else 0
        check_array(tensors, "embedding", np.float32, (n_features, dim))
        check_array(tensors, "weight", np.float32, (n_classes, dim))
        check_array(tensors, "bias", np.float32, (n_classes,))
        return EmbeddingParameters(tensors["embedding"], tensors["weight"], tensors["bias"])
    sparse = {"weight.indptr", "weight.indices", "weight.values"}
    is_sparse = bool(sparse & set(tensors))
    needed = {"bias"} | (sparse if is_sparse else {"weight"})
    check_names(tensors, needed, {"mean", "scale", "unit_rows"})
    if n_features is None:
        by_feature = np.atleast_1d(tensors["weight.indptr" if is_sparse else "weight"])
        n_features = len(by_feature) - is_sparse
    check_array(tensors, "bias", np.float32, (n_classes,))
    for name in {"mean", "scale"} & set(tensors):
        check_array(tensors, name, np.float64, (n_features,))
    if "mean" in tensors and "scale" not in tensors:
        raise ValueError("scale: the array is missing, and there is a mean")
    if "unit_rows" in tensors:
        check_array(tensors, "unit_rows", np.uint8, (1,))
        if "mean" in tensors or "scale" not in tensors:
            raise ValueError("unit_rows: rows of length 1 come with a scale and without a mean")
    if "scale" in tensors and not (tensors["scale"] > 0).all():
        raise ValueError("scale: a value is not above 0")
    weight: NDArray[np.float32] | SparseWeight
    if is_sparse:
        weight = _sparse_weight(tensors, n_features, n_classes)
    else:
        weight = check_array(tensors, "weight", np.float32, (n_features, n_classes))
    return LinearParameters(
        weight,
        tensors["bias"],
        tensors.get("mean"),
        tensors.get("scale"),
        "unit_rows" in tensors,
    )


def _sparse_weight(tensors: _Tensors, n_features: int, n_classes: int) -> SparseWeight:
    indptr = check_array(tensors, "weight.indptr", np.int64, (n_features + 1,))
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError("weight.indptr: not a rising list that begins with 0")
    nnz = int(indptr[-1])
    indices = check_array(tensors, "weight.indices", _narrow(n_classes), (nnz,))
    values = check_array(tensors, "weight.values", np.float32, (nnz,))
    if nnz and (indices.min() < 0 or indices.max() >= n_classes):
        raise ValueError(f"weight.indices: a class outside 0 .. {n_classes - 1}")
    rising = indices[1:] > indices[:-1]
    rising[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < nnz)] - 1] = True
    if not rising.all():
        raise ValueError("weight.indices: the classes of a feature do not rise")
    return SparseWeight(indptr, indices, values, n_classes)


def _narrow(n_classes: int) -> Any:
    return np.uint16 if n_classes <= 1 << 16 else np.int32


def check_names(tensors: _Tensors, needed: set[str], optional: set[str]) -> None:
    """Raise ValueError unless all that is needed is there, and nothing unknown."""
    missing = sorted(needed - set(tensors))
    if missing:
        raise ValueError(f"{missing[0]}: the array is missing")
    unknown = sorted(set(tensors) - needed - optional)
    if unknown:
        raise ValueError(f"{unknown[0]}: no such array belongs here")


def check_array(tensors: _Tensors, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array of that name; ValueError if its dtype, shape or values are others."""
    array = tensors[name]
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name}: {array.dtype} of shape {array.shape} came; "
            f"{np.dtype(dtype)} of shape {shape} was expected"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name}: a value is nan or infinite")
    return array


def rows_product(rows: Rows, weight: NDArray[np.float32] | SparseWeight) -> NDArray[np.float32]:
    """Rows times weights, float32 of shape (n_samples, columns)."""
    if len(rows.indices) < _SMALL:
        return _product_plain(rows, weight)
    if not isinstance(weight, SparseWeight):
        table = np.ascontiguousarray(weight)
        return dense_product(rows.indptr, rows.indices, rows.stored, table)
    out = np.zeros((len(rows), weight.n_classes), dtype=np.float32)
    arrays = rows.indptr, rows.indices, rows.values
    native("product").sparse_product(*arrays, weight.indptr, weight.indices, weight.values, out)
    return out


def unit_rows(indptr: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """Values of sparse rows, each row divided by its length; rows of zeros as they are.

    Examples
    --------
    >>> unit_rows(np.array([0, 2, 3]), np.array([3.0, 4.0, 0.0])).tolist()
    [0.6, 0.8, 0.0]
    """
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    lengths = np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2, len(indptr) - 1))
    lengths[lengths == 0] = 1.0
    return values / lengths[rows]


def unit_matrix(X: NDArray[Any]) -> NDArray[Any]:
    """Return a dense matrix with its rows divided by their lengths; rows of zeros as they are.

    Examples
    --------
    >>> unit_matrix(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    lengths = np.sqrt((X.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return X / np.where(lengths == 0, 1.0, lengths)


def _product_plain(rows: Rows, weight: NDArray[np.float32] | SparseWeight) -> NDArray[np.float32]:
    out = np.zeros((len(rows), weight.shape[1]), dtype=np.float32)
    for i in range(len(rows)):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        features, values = rows.indices[span], rows.values[span]
        if isinstance(weight, SparseWeight):
            starts = weight.indptr[features]
            lengths = weight.indptr[features + 1] - starts
            places = expand(starts, lengths)
            terms = np.repeat(values, lengths) * weight.values[places]
            out[i] = np.bincount(weight.indices[places], terms, minlength=len(out[i]))
        else:
            out[i] = values @ weight[features]
    return out
