"""Numeric rows one by one -> one array: dense for lists, dense or sparse for mappings."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import suggest

__all__ = ["FeatureStack"]


class FeatureStack:
    """Gathers feature rows, all lists of one length or all mappings from name to number.

    Parameters
    ----------
    names : sequence of str, optional
        The whole list of features, in column order; a mapping with another name is refused.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self._given = None if names is None else list(names)
        self._index = {name: i for i, name in enumerate(names or ())}
        self._values = array("d")
        self._columns = array("i")
        self._ends = array("q", [0])
        self._named: bool | None = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, row: Any) -> None:
        """Take one row."""
        named = isinstance(row, Mapping)
        if self._named is not None and self._named != named:
            kinds = ("an object from name to number", "a list of numbers")
            raise ValueError(
                f"features as {kinds[not named]}, but the rows before it write {kinds[named]}"
            )
        if isinstance(row, Mapping):
            # all names before the first is kept: a refused row leaves nothing behind
            columns = [self._column(name) for name in row]
            values = array("d", row.values())
        else:
            if self._given is not None and len(row) != len(self._given):
                raise ValueError(f"{len(row)} features, but {len(self._given)} are expected")
            columns, values = [], array("d", row)
        self._named = named
        self._columns.extend(columns)
        self._values.extend(values)
        self._ends.append(len(self._values))

    def _column(self, name: str) -> int:
        if self._given is not None and name not in self._index:
            raise ValueError(f'unknown feature "{name}"{suggest(name, self._given)}')
        return self._index.setdefault(name, len(self._index))

    def names(self) -> list[str] | None:
        """Return the names of the columns; None for lists without names."""
        if self._given is not None:
            return self._given
        return sorted(self._index) if self._named else None

    def matrix(self) -> Any:
        """Return the array of shape (n_samples, n_features).

        Mappings give a CSR matrix when some row leaves a feature out, which then counts as 0.
        """
        values = np.frombuffer(self._values, dtype=np.float64).copy()
        if not self._named:
            return values.reshape(len(self), -1)
        names = self.names() or []
        place = {name: i for i, name in enumerate(names)}
        order = np.array([place[name] for name in self._index], dtype=np.int32)
        columns = order[np.frombuffer(self._columns, dtype=np.int32)]
        if len(values) == len(self) * len(names):
            return self._dense(values, columns, len(names))
        from scipy.sparse import csr_matrix

        ends = np.array(self._ends, dtype=np.int64)
        matrix = csr_matrix((values, columns, ends), shape=(len(self), len(names)))
        matrix.sort_indices()
        return matrix

    def _dense(
        self, values: NDArray[np.float64], columns: NDArray[np.int32], n_features: int
    ) -> NDArray[np.float64]:
        out = np.empty((len(self), n_features))
        rows = np.repeat(np.arange(len(self)), n_features)
        out[rows, columns] = values
        return out
