"""True classes and transition matrices, checked once at the public edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import ClassName, Labels, RowError

__all__ = ["Truth", "as_generator", "as_proba", "as_share", "as_transition", "as_truth"]


@dataclass(frozen=True)
class Truth:
    """The true class of each row as a column number, and the names of the columns."""

    columns: NDArray[np.int64]
    classes: list[ClassName]

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.classes)


def as_truth(y: ArrayLike | Labels, n_classes: int | None) -> Truth:
    """Read true classes: whole numbers below `n_classes`, or labels that are all exact."""
    if isinstance(y, Labels):
        columns = y.exact_index() if y.task == "multiclass" else np.full(len(y), -1)
        vague = np.flatnonzero(columns < 0)
        if len(vague):
            raise RowError(int(vague[0]), f"y must name one true class a row; got {y[vague[0]]!r}")
        if n_classes is not None and n_classes != y.n_classes:
            raise ValueError(f"n_classes={n_classes}, but y has {y.n_classes} classes")
        return Truth(columns, _two(list(y.classes)))
    array = np.asarray(y)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"y is an array of shape {array.shape} and dtype {array.dtype}; expected true classes "
            "as whole numbers 0, 1, ..., one a row, or Labels that are all exact"
        )
    if n_classes is None:
        raise ValueError("y is an array of numbers: say how many classes there are (n_classes)")
    classes: list[ClassName] = list(range(n_classes))
    wrong = np.flatnonzero((array < 0) | (array >= n_classes))
    if len(wrong):
        raise RowError(
            int(wrong[0]), f"class {array[wrong[0]]} came; expected 0 to {n_classes - 1}"
        )
    return Truth(array.astype(np.int64), _two(classes))


def _two(classes: list[ClassName]) -> list[ClassName]:
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} class came; noise needs two classes or more")
    return classes


def as_transition(transition: ArrayLike, n_classes: int, what: str = "transition") -> Any:
    """Read a matrix of P(column is written | row is true): each row adds to 1."""
    matrix = np.asarray(transition, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != n_classes:
        raise ValueError(
            f"{what} has shape {matrix.shape}; expected one row for each of the {n_classes} true "
            "classes and one column for each class that can be written"
        )
    bad = ~(matrix >= 0).all(axis=1) | ~(np.abs(matrix.sum(axis=1) - 1) <= 1e-6)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"row {row} of {what} is {matrix[row].tolist()}; expected probabilities that add to 1, "
            f"P(written | class {row} is true)"
        )
    return matrix


def as_proba(proba: ArrayLike, n_samples: int, n_classes: int) -> NDArray[np.float64]:
    """Read one distribution over the classes a row."""
    matrix = np.asarray(proba, dtype=np.float64)
    if matrix.shape != (n_samples, n_classes):
        raise ValueError(f"proba has shape {matrix.shape}; expected {(n_samples, n_classes)}")
    bad = ~(matrix >= 0).all(axis=1) | ~(np.abs(matrix.sum(axis=1) - 1) <= 1e-3)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise RowError(row, f"proba is {matrix[row].tolist()}; expected shares that add to 1")
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def as_share(name: str, value: float) -> float:
    """Read a probability."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r}; expected a probability between 0 and 1")
    return float(value)


def as_generator(random_state: int | np.random.Generator | None) -> np.random.Generator:
    """Return the generator of a seed."""
    return np.random.default_rng(random_state)
