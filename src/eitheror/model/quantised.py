"""Parameters of small models: weights as one-byte codes, looked up when a row asks for them.

In: `Rows`. Out: logits, as of the models of `eitheror.model.parameters`. `eitheror.shrink` makes
these from a trained model, and a `.ftz` file of fastText is read as one. The files hold the codes;
numbers are written in 16 bits where that loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows, expand
from eitheror._kernels.varint import packed, packed_rising, unpacked, unpacked_rising
from eitheror.model.parameters import SparseWeight, check_array, check_names, rows_product

__all__ = [
    "CodedEmbeddingParameters",
    "CodedLinearParameters",
    "CodedRows",
    "CodedWeight",
    "coded_from_tensors",
    "coded_rows_from_tensors",
    "coded_rows_names",
    "floats",
    "narrow",
]

_SMALL = 20_000  # features below which starting Numba costs more than NumPy
_FULL = 0.15  # share of weights that are kept from which a dense product is faster
_CODES = 256
_Tensors = Mapping[str, NDArray[Any]]
_Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CodedWeight:
    """Sparse weights of shape (n_features, n_classes) with at most 256 different values.

    Parameters
    ----------
    indptr : int64 array of shape (n_features + 1,)
    indices : uint16 or int32 array of shape (nnz,)
        Classes, rising within a feature.
    codes : uint8 array of shape (nnz,)
        Which value each entry has.
    codebook : float32 array of shape (n_values,)
        The values, at most 256.
    n_classes : int

    Examples
    --------
    >>> weight = CodedWeight(
    ...     np.array([0, 1, 3]), np.array([1, 0, 1]), np.uint8([1, 0, 0]), np.float32([2, -1]), 2
    ... )
    >>> weight.product(Rows.from_dense([[1.0, 10.0]])).tolist()
    [[20.0, 19.0]]
    """

    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    codes: NDArray[np.uint8]
    codebook: Floats
    n_classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_classes)."""
        return len(self.indptr) - 1, self.n_classes

    def product(self, rows: Rows) -> Floats:
        """Rows times weights, float32 of shape (n_samples, n_classes)."""
        out = np.zeros((len(rows), self.n_classes), dtype=np.float32)
        if len(rows.indices) < _SMALL:
            starts = self.indptr[rows.indices]
            lengths = self.indptr[rows.indices + 1] - starts
            places = expand(starts, lengths)
            values = np.repeat(rows.values, lengths) * self.codebook[self.codes[places]]
            row = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
            np.add.at(out, (np.repeat(row, lengths), self.indices[places]), values)
            return out
        if self._dense is not None:
            return rows_product(rows, self._dense)
        arrays = rows.indptr, rows.indices, rows.values
        weights = self.indptr, self.indices, self.codes, self.codebook
        native("coded").values_product(*arrays, *weights, out)
        return out

    @cached_property
    def _dense(self) -> Floats | None:
        # Where few weights are 0 whole rows are faster; made for the first large input only.
        if len(self.codes) < _FULL * self.shape[0] * self.n_classes:
            return None
        values = self.codebook[self.codes]
        return SparseWeight(self.indptr, self.indices, values, self.n_classes).to_dense()

    def tensors(self) -> _Arrays:
        """Return the arrays, by name: counts and classes as packed gaps."""
        return {
            "weight.counts": packed(np.diff(self.indptr)),
            "weight.classes": packed_rising(self.indices, self.indptr),
            "weight.codes": self.codes,
            "weight.values": self.codebook,
        }


@dataclass(frozen=True, eq=False)
class CodedRows:
    """A matrix whose first rows are kept, and whose other rows are put together from parts.

    Row `n_exact + i` is `scale[i]` times the centroids `codes[i]` of its parts, one after the other
    (product quantisation: Jégou, Douze, Schmid, 2011, "Product Quantization for Nearest Neighbor
    Search").

    Parameters
    ----------
    exact : float32 array of shape (n_exact, dim)
        The first rows; there may be none, and the shape still says how wide the rows are.
    codes : uint8 array of shape (n_coded, n_parts)
    centroids : float32 array of shape (n_parts, n_centroids, width)
        At most 256 a part; what reaches beyond `dim` in the last part is 0.
    scale : float32 array of shape (n_coded,)

    Examples
    --------
    >>> rows = CodedRows(
    ...     np.float32([[1, 2]]), np.uint8([[1]]), np.float32([[[0, 1], [3, 4]]]), np.float32([2])
    ... )
    >>> rows.take(np.array([1, 0])).tolist()
    [[6.0, 8.0], [1.0, 2.0]]
    """

    exact: Floats
    codes: NDArray[np.uint8]
    centroids: Floats
    scale: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, dim)."""
        return len(self.exact) + len(self.codes), int(self.exact.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, which: NDArray[np.integer]) -> Floats:
        """Rows by number, float32 of shape (n, dim)."""
        n_exact, dim = self.exact.shape
        out = np.empty((len(which), dim), dtype=np.float32)
        first = which < n_exact
        out[first] = self.exact[which[first]]
        coded = which[~first] - n_exact
        parts = self.centroids[np.arange(len(self.centroids)), self.codes[coded]]
        flat = parts.reshape(len(coded), len(self.centroids) * self.centroids.shape[2])
        out[~first] = flat[:, :dim] * self.scale[coded, None]
        return out

    def product(self, rows: Rows) -> Floats:
        """Rows times this matrix, float32 of shape (n_samples, dim)."""
        if len(rows.indices) < _SMALL:
            named, places = np.unique(rows.indices, return_inverse=True)
            narrow = Rows(rows.indptr, places.astype(np.int32), rows.stored, len(named))
            return rows_product(narrow, self.take(named))
        dim = self.exact.shape[1]
        wide = max(dim, len(self.centroids) * self.centroids.shape[2])
        out = np.zeros((len(rows), wide), dtype=np.float32)
        arrays = rows.indptr, rows.indices, rows.values
        weights = self.exact, self.codes, self.centroids, self.scale
        native("coded").parts_product(*arrays, *weights, out)
        return np.ascontiguousarray(out[:, :dim])

    def tensors(self, name: str) -> _Arrays:
        """Return the arrays, by name; few different scales as codes, and all alike as one."""
        arrays = {
            f"{name}.exact": narrow(self.exact),
            f"{name}.codes": self.codes,
            f"{name}.centroids": narrow(self.centroids),
            f"{name}.scale": narrow(self.scale),
        }
        values, codes = np.unique(self.scale, return_inverse=True)
        if len(values) <= _CODES < len(codes):
            arrays[f"{name}.scale"] = values
            if len(values) > 1:
                arrays[f"{name}.scale.codes"] = codes.astype(np.uint8)
        return arrays


@dataclass(frozen=True, eq=False)
class CodedLinearParameters:
    """A linear model of texts with coded weights: `logits = x @ weight + bias`.

    Parameters
    ----------
    weight : CodedWeight
    bias : float32 array of shape (n_classes,)
    """

    family: ClassVar[str] = "linear-coded"
    weight: CodedWeight
    bias: Floats

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return self.weight.shape[0]

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return self.weight.n_classes

    def logits(self, rows: Rows) -> Floats:
        """Logits of sparse rows, float32 of shape (n_samples, n_classes)."""
        return self.weight.product(rows) + self.bias

    def tensors(self) -> _Arrays:
        """Return the arrays, by name."""
        return {"bias": self.bias, **self.weight.tensors()}


@dataclass(frozen=True, eq=False)
class CodedEmbeddingParameters:
    """Averaged embeddings with coded rows: `logits = (x @ embedding) @ output.T + bias`.

    Parameters
    ----------
    embedding : CodedRows
        Of shape (n_features, dim).
    weight : float32 array of shape (n_classes, dim), or CodedRows
    bias : float32 array of shape (n_classes,)
    """

    family: ClassVar[str] = "embedding-coded"
    embedding: CodedRows
    weight: Floats | CodedRows
    bias: Floats

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return len(self.embedding)

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return len(self.weight)

    @cached_property
    def output(self) -> Floats:
        """The output weights as numbers: every row needs all of them."""
        if isinstance(self.weight, CodedRows):
            return self.weight.take(np.arange(len(self.weight)))
        return self.weight

    def logits(self, rows: Rows) -> Floats:
        """Logits of sparse rows, float32 of shape (n_samples, n_classes)."""
        logits: Floats = self.embedding.product(rows) @ self.output.T + self.bias
        return logits

    def tensors(self) -> _Arrays:
        """Return the arrays, by name."""
        weight: _Arrays
        if isinstance(self.weight, CodedRows):
            weight = self.weight.tensors("weight")
        else:
            weight = {"weight": narrow(self.weight)}
        return {**self.embedding.tensors("embedding"), **weight, "bias": self.bias}


def coded_from_tensors(
    family: str, tensors: _Tensors, n_features: int | None, n_classes: int
) -> CodedLinearParameters | CodedEmbeddingParameters:
    """Inverse of `tensors`, with every array checked.

    Parameters
    ----------
    family : {"linear-coded", "embedding-coded"}
    tensors : mapping of str to array
    n_features : int or None
        Width that is expected; None takes the arrays' own.
    n_classes : int
        Number of classes that is expected.

    Returns
    -------
    CodedLinearParameters or CodedEmbeddingParameters

    Raises
    ------
    ValueError
        Naming the array that is missing, unknown, or has the wrong dtype, shape or values.
    """
    if family == CodedLinearParameters.family:
        named = {f"weight.{part}" for part in ("counts", "classes", "codes", "values")}
        check_names(tensors, {"bias"} | named, set())
        bias = check_array(tensors, "bias", np.float32, (n_classes,))
        return CodedLinearParameters(_coded_weight(tensors, n_features, n_classes), bias)
    embedding, optional = coded_rows_names("embedding")
    coded_output = "weight" not in tensors
    output, more = coded_rows_names("weight") if coded_output else ({"weight"}, set())
    check_names(tensors, embedding | output | {"bias"}, optional | more)
    if tensors["embedding.exact"].ndim != 2:
        raise ValueError("embedding.exact: no matrix")
    dim = tensors["embedding.exact"].shape[1]
    weight: Floats | CodedRows
    if coded_output:
        weight = coded_rows_from_tensors("weight", tensors, n_classes, dim)
    else:
        weight = floats(tensors, "weight", (n_classes, dim))
    return CodedEmbeddingParameters(
        coded_rows_from_tensors("embedding", tensors, n_features, dim),
        weight,
        check_array(tensors, "bias", np.float32, (n_classes,)),
    )


def coded_rows_names(name: str) -> tuple[set[str], set[str]]:
    """Return the names of the arrays of a `CodedRows`, needed and optional.

    Examples
    --------
    >>> sorted(coded_rows_names("embedding")[1])
    ['embedding.scale.codes']
    """
    needed = {f"{name}.{part}" for part in ("exact", "codes", "centroids", "scale")}
    return needed, {f"{name}.scale.codes"}


def coded_rows_from_tensors(
    name: str, tensors: _Tensors, n_rows: int | None, dim: int
) -> CodedRows:
    """Inverse of `CodedRows.tensors`, with every array checked.

    Parameters
    ----------
    name : str
        What the arrays' names begin with.
    tensors : mapping of str to array
        With the arrays of `coded_rows_names`.
    n_rows : int or None
        Rows that are expected; None takes the arrays' own.
    dim : int
        Columns that are expected.

    Returns
    -------
    CodedRows

    Raises
    ------
    ValueError
        Naming the array that has the wrong dtype, shape or values.
    """
    codes, centroids = tensors[f"{name}.codes"], tensors[f"{name}.centroids"]
    exact = tensors[f"{name}.exact"]
    if codes.ndim != 2 or centroids.ndim != 3 or exact.ndim != 2:
        raise ValueError(f"{name}.codes, {name}.centroids or {name}.exact: not 2, 3, 2 dimensions")
    n_coded, n_parts = codes.shape
    n_exact = len(exact) if n_rows is None else n_rows - n_coded
    _, n_centroids, width = centroids.shape
    if not (n_parts - 1) * width < dim <= n_parts * width and n_coded:
        raise ValueError(f"{name}.centroids: {n_parts} parts of {width} for {dim} columns")
    if n_centroids > _CODES:
        raise ValueError(f"{name}.centroids: {n_centroids} a part; at most {_CODES} were expected")
    check_array(tensors, f"{name}.codes", np.uint8, (n_coded, n_parts))
    _check_codes(f"{name}.codes", codes, n_centroids)
    return CodedRows(
        floats(tensors, f"{name}.exact", (n_exact, dim)),
        codes,
        floats(tensors, f"{name}.centroids", (n_parts, n_centroids, width)),
        _scale(name, tensors, n_coded),
    )


def _scale(name: str, tensors: _Tensors, n: int) -> Floats:
    if f"{name}.scale.codes" not in tensors:
        alike = tensors[f"{name}.scale"].shape == (1,)
        given = floats(tensors, f"{name}.scale", (1 if alike else n,))
        return np.repeat(given, n) if alike and n != 1 else given
    values = tensors[f"{name}.scale"]
    check_array(tensors, f"{name}.scale", np.float32, (min(values.size, _CODES),))
    codes = check_array(tensors, f"{name}.scale.codes", np.uint8, (n,))
    _check_codes(f"{name}.scale.codes", codes, len(values))
    found: Floats = values[codes]
    return found


def _coded_weight(tensors: _Tensors, n_features: int | None, n_classes: int) -> CodedWeight:
    counts = _numbers(tensors, "weight.counts")
    if n_features is not None and len(counts) != n_features:
        raise ValueError(f"weight.counts: {len(counts)} features; {n_features} were expected")
    codes, codebook = tensors["weight.codes"], tensors["weight.values"]
    if counts.max(initial=0) > n_classes or int(counts.sum()) != codes.size:
        raise ValueError(f"weight.counts: they do not add to the {codes.size} codes")
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    check_array(tensors, "weight.codes", np.uint8, (int(indptr[-1]),))
    check_array(tensors, "weight.values", np.float32, (min(codebook.size, _CODES),))
    _check_codes("weight.codes", codes, len(codebook))
    _bytes(tensors, "weight.classes")
    try:
        indices = unpacked_rising(tensors["weight.classes"], indptr)
    except ValueError as error:
        raise ValueError(f"weight.classes: {error}") from None
    if indices.max(initial=0) >= n_classes:
        raise ValueError(f"weight.classes: a class outside 0 .. {n_classes - 1}")
    narrow = np.uint16 if n_classes <= 1 << 16 else np.int32
    return CodedWeight(indptr, indices.astype(narrow), codes, codebook, n_classes)


def _numbers(tensors: _Tensors, name: str) -> NDArray[np.int64]:
    try:
        return unpacked(_bytes(tensors, name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _bytes(tensors: _Tensors, name: str) -> NDArray[np.uint8]:
    return check_array(tensors, name, np.uint8, (tensors[name].size,))


def _check_codes(name: str, codes: NDArray[np.uint8], n: int) -> None:
    if codes.max(initial=0) >= n and codes.size:
        raise ValueError(f"{name}: a code of {codes.max()}; there are {n} values")


def narrow(array: Floats) -> NDArray[Any]:
    """Return the numbers in 16 bits if that changes none."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def floats(tensors: _Tensors, name: str, shape: tuple[int, ...]) -> Floats:
    """Return the numbers of an array of 16 or 32 bits, checked."""
    half = tensors[name].dtype == np.float16
    checked = check_array(tensors, name, np.float16 if half else np.float32, shape)
    return checked.astype(np.float32, copy=False)
