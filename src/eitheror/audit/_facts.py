"""What the statements say, class by class: the counts that the checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from eitheror.audit.report import listed
from eitheror.labels import EVIDENCE, SHARES, UNKNOWN, Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries

__all__ = ["Facts", "Where", "worth"]

Where = Callable[[int], str]


class Facts:
    """The labels with the per-class counts that several checks need."""

    def __init__(self, labels: Labels, targets: SparseTargets, where: Where) -> None:
        self.labels, self.targets, self.where = labels, targets, where
        self.one_true = labels.task == "multiclass"
        owner = row_of_entries(targets.indptr)
        stated = targets.mode[owner] != UNKNOWN
        self.owner = owner[stated]
        self.column = targets.indices[stated]
        self.value = targets.values[stated]
        base = targets.rest[self.owner]
        self.deviates = ~((self.value == base) | (np.isnan(base) & np.isnan(self.value)))
        self.affirms = (self.value > (np.nan_to_num(base) if self.one_true else 0)) & (
            self.value > 0
        )
        self.in_group = np.zeros(labels.n_classes, dtype=bool)
        self.in_group[targets.group_indices] = True

    def per_class(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(self.column[chosen], minlength=self.labels.n_classes)

    def possible(self) -> NDArray[np.int64]:
        """Return in how many rows each class of a multiclass file is not ruled out."""
        open_row = (self.targets.mode == UNKNOWN) | (self.targets.rest > 0)
        excluded = (self.value == 0) & (self.targets.rest[self.owner] > 0)
        added = (self.value > 0) & (self.targets.rest[self.owner] == 0)
        return int(open_row.sum()) - self.per_class(excluded) + self.per_class(added)

    def absent(self) -> NDArray[np.int64]:
        """Return in how many rows each tag is said to be absent."""
        closed = self.targets.rest == 0  # rows that say nothing have nan here
        given = (self.value > 0) & closed[self.owner]
        denied = (self.value == 0) & ~closed[self.owner]
        return int(closed.sum()) - self.per_class(given) + self.per_class(denied)

    def rows_of(self, columns: Iterable[int], chosen: NDArray[np.bool_]) -> tuple[int, ...]:
        hit = np.isin(self.column, list(columns)) & chosen
        return tuple(np.unique(self.owner[hit]).tolist())

    def names(self, columns: Iterable[int]) -> str:
        return listed([repr(self.labels.classes[column]) for column in columns])


def worth(targets: SparseTargets) -> float:
    """Return about how many exact rows the statements are worth before anything is learned.

    With the evidence turned into a posterior q from a flat prior, a row is worth
    (K |q|^2 - 1) / (K - 1): 1 for an exact label, (K - s) / (s (K - 1)) for a set of s classes,
    the ratio of the Fisher informations at equal probabilities. Shares count as a whole row. A row
    of tags is worth its share of known entries.
    """
    k = targets.n_classes
    counts = np.diff(targets.indptr)
    if targets.task == "multilabel":
        known = np.where(np.isnan(targets.rest), counts, k)
        return float(np.where(targets.mode == UNKNOWN, 0, known).sum() / k)
    owner = row_of_entries(targets.indptr)
    values = targets.values.astype(np.float64)
    rest, others = targets.rest.astype(np.float64), k - counts
    total = np.bincount(owner, values, len(targets)) + rest * others
    squares = np.bincount(owner, values**2, len(targets)) + rest**2 * others
    with np.errstate(divide="ignore", invalid="ignore"):
        row = (k * squares / total**2 - 1) / max(k - 1, 1)
    worth = float(np.clip(row[targets.mode == EVIDENCE], 0, 1).sum())
    return worth + float((targets.mode == SHARES).sum())
