"""What may stand in place of `y`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eitheror.labels import Labels

__all__ = ["class_names", "read_labels"]


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
