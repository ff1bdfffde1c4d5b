"""`Examples`: features, targets and weights of the same rows, as the kernels read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import CODES, SHORT, Features, Targets
from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows
from eitheror.labels import UNKNOWN, SparseTargets

__all__ = ["Examples", "Visited"]


class Visited(Protocol):
    """What the epoch loop visits: rows in memory (`Examples`), or pieces of rows on disk."""

    @property
    def n_classes(self) -> int:
        """Number of classes that the statements are about."""

    @property
    def weight(self) -> NDArray[np.floating[Any]]:
        """The weight of each."""

    def speaking(self) -> NDArray[np.int64]:
        """Return the positions of those that say something and count."""

    def arrays(self) -> Iterable[Iterable[NDArray[Any]]]:
        """Return what tells them from others."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows of features with what is known about each.

    Parameters
    ----------
    rows : Rows
    targets : SparseTargets
    weight : float32 array of shape (n_samples,)
    """

    rows: Rows
    targets: SparseTargets
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def n_classes(self) -> int:
        """Number of classes that the statements are about."""
        return self.targets.n_classes

    def take(self, positions: NDArray[np.int64]) -> Examples:
        """Return these rows, in this order."""
        return Examples(
            self.rows.take(positions), self.targets.take(positions), self.weight[positions]
        )

    def speaking(self) -> NDArray[np.int64]:
        """Positions of the rows that say something and count."""
        return np.flatnonzero((self.targets.mode != UNKNOWN) & (self.weight > 0))

    def arrays(self) -> tuple[Features, Targets]:
        """Return the arrays as the kernels take them."""
        rows, targets = self.rows, self.targets
        values = np.empty(0, np.float32) if rows.stored is None else rows.stored
        return Features(rows.indptr, rows.indices, values), Targets(
            targets.indptr,
            targets.indices,
            targets.values,
            targets.rest,
            targets.mode,
            targets.group_indptr,
            targets.group_ends,
            targets.group_indices,
            self.weight,
        )

    def arrays_for(self, code: int) -> tuple[Features, Targets]:
        """Return the arrays for a loss: with softmax a set of many classes is bits, not a list."""
        features, targets = self.arrays()
        return features, self._marked if code == CODES["softmax"] else targets

    @cached_property
    def _marked(self) -> Targets:
        _, targets = self.arrays()
        if int(np.diff(targets.indptr).max(initial=0)) <= SHORT:
            return targets
        indptr, indices = np.empty_like(targets.indptr), np.empty_like(targets.indices)
        values, mode = np.empty_like(targets.values), np.empty_like(targets.mode)
        size = native("marks").mark_sets(
            self.targets.n_classes,
            targets.indptr,
            targets.indices,
            targets.values,
            targets.mode,
            indptr,
            indices,
            values,
            mode,
        )
        if size == len(targets.indices):  # no set is shorter as bits
            return targets
        return targets._replace(
            indptr=indptr, indices=indices[:size].copy(), values=values[:size].copy(), mode=mode
        )
