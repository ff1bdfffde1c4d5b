"""Labels against a model's classes: what is certainly true and what may be true, entry by entry.

Both tasks become two boolean matrices with the columns of the model first and a column for each
class that only the labels know after them. `certain <= truth <= possible` holds for every truth
that the labels allow. Trust weights, shares and fractions rule nothing out unless they are 0 (or,
for a tag, 1), so they leave an entry open: a probability is not knowledge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels, SparseTargets

__all__ = ["Truth", "align"]


@dataclass(frozen=True)
class Truth:
    """What the labels allow.

    Attributes
    ----------
    targets : SparseTargets
        The labels over all columns.
    n_model : int
        Number of columns the model has; the others are classes it has never heard of.
    certain, possible : bool arrays of shape (n_samples, n_columns)
    unseen_labels : int
        Tags (multilabel) or rows (multiclass) whose class is none of the model's.
    """

    targets: SparseTargets
    n_model: int
    certain: NDArray[np.bool_]
    possible: NDArray[np.bool_]
    unseen_labels: int

    @property
    def task(self) -> str:
        """Return "multiclass" or "multilabel"."""
        return self.targets.task


def align(labels: Any, proba: NDArray[Any], classes: Sequence[Any] | None) -> Truth:
    """Return the truth that `labels` allow, in the columns of `proba`.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
        The classes of the columns; without it they are `labels.classes`.
    """
    if not isinstance(labels, Labels):
        labels = Labels(labels)
    targets = _over_columns(labels, proba.shape[1], classes)
    if len(targets) != len(proba):
        raise ValueError(f"{len(targets)} labels for {len(proba)} rows of proba; give one a row")
    n_model = proba.shape[1]
    if targets.task == "multiclass":
        possible = targets.dense() > 0
        certain = possible & (possible.sum(axis=1, keepdims=True) == 1)
        unseen = int((~possible[:, :n_model].any(axis=1)).sum())
    else:
        values = targets.dense()
        certain, possible = values == 1, ~(values == 0)
        unseen = int(certain[:, n_model:].sum())
    return Truth(targets, n_model, certain, possible, unseen)


def _over_columns(labels: Labels, n_columns: int, classes: Sequence[Any] | None) -> SparseTargets:
    targets = labels.sparse()
    names = list(labels.classes)
    if classes is None or list(classes) == names:
        if len(names) != n_columns:
            raise ValueError(
                f"the labels have {len(names)} classes and proba has {n_columns} columns; "
                "give classes=, the names of the columns in their order"
            )
        return targets
    if len(classes) != n_columns:
        raise ValueError(f"classes= names {len(classes)} classes, proba has {n_columns} columns")
    column = {name: index for index, name in enumerate(classes)}
    as_text = {str(name): index for index, name in enumerate(classes)}
    extra = iter(range(n_columns, n_columns + len(names)))
    places = [column.get(name, as_text.get(str(name), -1)) for name in names]
    moved = np.array([next(extra) if at < 0 else at for at in places], dtype=np.int32)
    if len(np.unique(moved)) < len(moved):
        raise ValueError("two classes of the labels have the same text; rename one of them")
    return replace(
        targets,
        n_classes=max(n_columns, int(moved.max(initial=-1)) + 1),
        indices=moved[targets.indices],
        group_indices=moved[targets.group_indices],
    )
