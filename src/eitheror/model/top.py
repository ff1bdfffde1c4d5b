"""The most probable classes of each input: by search on a tree, else by sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import Rows
from eitheror.model.huffman import CodedHuffmanParameters, HuffmanParameters

if TYPE_CHECKING:
    from eitheror.model.fitted import Model

__all__ = ["largest", "top_classes"]

_TREES = (HuffmanParameters, CodedHuffmanParameters)

_ROWS = 4096  # rows that are worked on at a time
_CELLS = 1 << 22  # probabilities that are in memory at a time

Found = tuple[NDArray[np.int32], NDArray[np.float32]]


def top_classes(model: Model, inputs: Any, k: int, n_jobs: int = 1) -> Found:
    """Columns and probabilities of the k most probable classes; see `Model.predict_top`.

    Parameters
    ----------
    model : Model
    inputs : sequence of str, or array, sparse matrix or Rows of shape (n_samples, n_features)
        Already checked.
    k, n_jobs : int
    """
    from eitheror.text.chunks import in_threads, n_threads

    n_classes = len(model.classes)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n_classes:
        raise ValueError(f"k={k!r} came; a whole number from 1 to {n_classes} was expected")
    n_samples = inputs.shape[0] if hasattr(inputs, "shape") else len(inputs)
    columns = np.empty((n_samples, k), np.int32)
    values = np.empty((n_samples, k), np.float32)
    searches = isinstance(model.parameters, _TREES) and model.calibration is None
    step = _ROWS if searches else max(1, min(_ROWS, _CELLS // n_classes))

    def work(start: int) -> None:
        block = slice(start, min(start + step, n_samples))
        part = inputs.take(block) if isinstance(inputs, Rows) else inputs[block]
        found = (
            _searched(model, part, k, start) if searches else largest(model.predict_proba(part), k)
        )
        columns[block], values[block] = found

    in_threads(work, list(range(0, n_samples, step)), n_threads(n_jobs))
    return columns, values


def largest(values: NDArray[np.float32], k: int) -> Found:
    """Return the columns of each row's k largest values, and the values, largest first.

    Of equal values the first column comes first.

    Examples
    --------
    >>> columns, found = largest(np.float32([[0.2, 0.5, 0.2, 0.1]]), 2)
    >>> columns.tolist()
    [[1, 0]]
    """
    if k == 1:
        columns = values.argmax(axis=1)[:, None]
    elif 2 * k >= values.shape[1]:
        columns = np.argsort(-values, axis=1, kind="stable")[:, :k]
    else:
        # Those above the k-th largest, and of its equals the first.
        least = -np.partition(-values, k - 1, axis=1)[:, k - 1]
        columns = np.empty((len(values), k), np.int64)
        for i, row in enumerate(values):
            near = np.flatnonzero(row >= least[i])
            columns[i] = near[np.argsort(-row[near], kind="stable")[:k]]
    return columns.astype(np.int32), np.take_along_axis(values, columns, axis=1)


def _searched(model: Model, part: Any, k: int, first_row: int) -> Found:
    assert isinstance(model.parameters, _TREES)
    assert model.featurizer is not None
    rows = part
    if not isinstance(part, Rows):
        rows = model.featurizer.transform(part, first_row=first_row)
    columns, log_proba = model.parameters.top(rows, k)
    return columns, np.exp(log_proba)
