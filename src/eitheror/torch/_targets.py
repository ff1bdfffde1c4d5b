"""What may stand in place of `y`, and which decisions it contradicts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eitheror.labels import Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.metrics._truth import align
from eitheror.metrics.evaluation import decided_matrix

__all__ = ["class_names", "not_contradicted", "read_labels"]


def read_labels(y: Any, classes: Any, task: str | None) -> tuple[Labels, NDArray[Any]]:
    """Return the labels and the names of their classes in the caller's dtype."""
    classes = None if classes is None else np.asarray(classes).tolist()
    if isinstance(y, Labels):
        labels = Labels(y, classes=classes, task=task) if classes or task else y
        return labels, class_names(labels.classes)
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    if isinstance(y, np.ndarray | Tensor) and y.ndim == 2:
        labels = Labels.from_indicator(np.asarray(y), classes=classes)
        return labels, class_names(labels.classes)
    values = y.tolist() if isinstance(y, np.ndarray | Tensor) else list(y)
    labels = Labels(values, classes=classes, task=task)
    return labels, class_names(labels.classes)


def class_names(classes: list[Any]) -> NDArray[Any]:
    """Return the class list as an array that keeps str and int apart."""
    mixed = len({type(name) for name in classes}) > 1
    return np.asarray(classes, dtype=object if mixed or not classes else None)


def not_contradicted(
    labels: Labels, decided: NDArray[Any], proba: NDArray[Any], classes: list[Any]
) -> NDArray[np.bool_]:
    """Say for each row whether the decision can be true given the label."""
    truth = align(labels, proba, classes)
    chosen = decided_matrix(decided, truth, proba.shape)
    wrong = ((truth.certain & ~chosen) | (chosen & ~truth.possible)).any(axis=1)
    return ~wrong & _groups_met(truth.targets, chosen)


def _groups_met(targets: SparseTargets, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say for each row whether every "at least one of" group of it has a chosen tag."""
    group = row_of_entries(targets.group_ends)
    owner = row_of_entries(targets.group_indptr)
    met = np.bincount(group, chosen[owner[group], targets.group_indices], len(owner)) > 0
    failed = np.bincount(owner, ~met, len(targets)) > 0
    return ~failed
