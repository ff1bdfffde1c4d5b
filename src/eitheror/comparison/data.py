"""What the strategies learn from: inputs of any kind, labels and row weights, and rows of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels
from eitheror.training.standardise import as_matrix

__all__ = ["Data", "as_inputs"]


@dataclass(frozen=True)
class Data:
    """Rows to learn from.

    Parameters
    ----------
    inputs : list of str, or array or CSR matrix of shape (n_samples, n_features)
    labels : Labels
    weight : array of shape (n_samples,), optional
        Weight 2 is the row twice.
    keys : array of shape (n_samples,), optional
        Equal for rows with the same input.

    Examples
    --------
    >>> data = Data(["one", "two"], Labels(["a", "b"]))
    >>> data.take(np.array([1])).inputs
    ['two']
    """

    inputs: Any
    labels: Labels
    weight: NDArray[np.float64] | None = None
    keys: NDArray[np.uint64] | None = None

    def take(self, rows: NDArray[np.int64]) -> Data:
        """Return some of the rows."""
        dense = hasattr(self.inputs, "shape")
        inputs = self.inputs[rows] if dense else [self.inputs[i] for i in rows.tolist()]
        weight = None if self.weight is None else self.weight[rows]
        keys = None if self.keys is None else self.keys[rows]
        return Data(inputs, self.labels[rows], weight, keys)

    def saying(self, labels: Labels) -> Data:
        """Return the same rows with other labels."""
        return replace(self, labels=labels)

    def given(self, inputs: Any) -> Data:
        """Return the same rows with other inputs."""
        return replace(self, inputs=inputs)


def as_inputs(inputs: Any) -> Any:
    """Return texts as a list, and everything else as a table of finite numbers.

    Parameters
    ----------
    inputs : sequence of str, array of shape (n_samples, ...), DataFrame or sparse matrix
        An image is a row of its numbers, whatever its shape and channels.

    Examples
    --------
    >>> as_inputs(np.zeros((2, 8, 8, 3), dtype=np.uint8)).shape
    (2, 192)
    >>> as_inputs(("one", "two"))
    ['one', 'two']
    """
    if isinstance(inputs, str):
        raise TypeError("inputs is one string; give a list of texts")
    if not hasattr(inputs, "shape"):
        inputs = list(inputs)
        if inputs and isinstance(inputs[0], str):
            return _texts(inputs)
        inputs = np.asarray(inputs)
    if hasattr(inputs, "tocsr"):
        table = inputs.tocsr()
        table.sum_duplicates()  # so that equal rows are stored alike
        return as_matrix(table)
    array = np.asarray(inputs)
    if array.ndim == 1 and array.dtype.kind in "OUST":
        return _texts(array.tolist())
    if array.ndim < 2:
        raise ValueError(f"inputs have shape {array.shape}; expected (n_samples, n_features)")
    try:
        return np.ascontiguousarray(as_matrix(array.reshape(len(array), -1)))
    except (TypeError, ValueError) as error:
        if array.dtype.kind not in "OUST":
            raise
        raise ValueError(
            f"inputs are a table of shape {array.shape} with entries that are no numbers "
            f"({error}); give one column of texts, or numbers only"
        ) from None


def _texts(items: list[Any]) -> list[str]:
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(
                f"inputs row {row} is {item!r:.60}, of type {type(item).__name__}; the others are "
                "texts: write '' for an empty one"
            )
    return items
