"""What is known about each tag as one dense matrix: 1 present, 0 absent, nan unknown.

The matrix has the shape of the probabilities it is compared with, so it costs no more than
they do. Joint statements (`either` with several tags) say nothing about a single entry and
leave it unknown here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["checked_proba", "tag_targets"]


def checked_proba(proba: Any) -> NDArray[np.floating[Any]]:
    """Return `proba` as a 2-D float array without nan, or say what is wrong with it."""
    array = np.asarray(proba)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"proba must have shape (n_samples, n_classes), both at least 1; got {array.shape}"
        )
    if array.dtype.kind == "c":
        raise ValueError("proba holds complex numbers; probabilities are real")
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    bad = np.isnan(array).any(axis=1)
    if bad.any():
        raise ValueError(f"proba has nan in row {int(np.argmax(bad))}; every row needs numbers")
    return array


def tag_targets(labels: Any, proba: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return what `labels` says about each tag, shape of `proba`: [0, 1], or nan for unknown.

    Parameters
    ----------
    labels : Labels, SparseTargets or array of shape (n_samples, n_classes)
        An array holds 1 (present), 0 (absent), a fraction or nan (unknown).
    proba : array of shape (n_samples, n_classes)
        Only its shape is used.
    """
    sparse = labels.sparse() if hasattr(labels, "sparse") else labels
    if not hasattr(sparse, "indptr"):
        return _checked_matrix(labels, proba.shape)
    if sparse.task != "multilabel":
        raise ValueError(
            "these labels have one true class per row, so there is no cut to tune; "
            "use Argmax(), or read them with task='multilabel'"
        )
    _check_shape((len(sparse), sparse.n_classes), proba.shape)
    targets: NDArray[np.float32] = sparse.dense()
    return targets


def _checked_matrix(labels: Any, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    matrix = np.asarray(labels)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fbiu":
        raise TypeError(
            "labels must be Labels or a matrix (n_samples, n_classes) of 1, 0 and nan, "
            f"got {type(labels).__name__} of shape {matrix.shape}; write Labels(...) around it"
        )
    _check_shape(matrix.shape, shape)
    matrix = matrix.astype(np.float64)
    bad = (matrix < 0) | (matrix > 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"labels row {row}, column {column} is {matrix[row, column]:g}; "
            "write 1 for present, 0 for absent, nan for unknown"
        )
    return matrix


def _check_shape(labels: tuple[int, ...], proba: tuple[int, ...]) -> None:
    if labels != proba:
        raise ValueError(
            f"labels are {labels[0]} rows x {labels[1]} classes, "
            f"proba is {proba[0]} x {proba[1]}; both need the same rows and classes"
        )
