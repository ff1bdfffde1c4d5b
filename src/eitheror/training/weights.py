"""Class weights for statements: one factor per row (one class true) or per column (tags).

The weight of a row that allows several classes is the mean of their weights, weighted as the
statement weighs the classes; for tags each class's own binary loss is weighted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import UNKNOWN, Labels, SparseTargets, suggest
from eitheror.labels._sparse import row_of_entries

__all__ = ["balanced", "balanced_or_given", "class_mass", "row_weights"]


def balanced_or_given(
    class_weight: Any, labels: Labels, targets: SparseTargets, weight: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the weight of each class, ``(n_classes,)``, or None for all equal.

    Parameters
    ----------
    class_weight : None, "balanced", mapping or array
        "balanced" is inverse to how often a class is stated, a row of several candidates counting
        as an equal part of each, scaled so that the mean weight of a statement is 1.
    labels, targets : Labels, SparseTargets
        The statements.
    weight : array of shape (n_samples,)
        Row weights.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        return balanced(class_mass(targets, weight))
    if isinstance(class_weight, Mapping):
        index = {name: i for i, name in enumerate(labels.classes)}
        out = np.ones(targets.n_classes)
        for name, value in class_weight.items():
            if name not in index:
                raise ValueError(
                    f"class_weight names {name!r}, which is not a class"
                    f"{suggest(name, labels.classes)}"
                )
            out[index[name]] = value
    else:
        out = np.asarray(class_weight, dtype=np.float64)
    if out.shape != (targets.n_classes,) or not (out >= 0).all() or not np.isfinite(out).all():
        raise ValueError(
            f"class_weight={class_weight!r}; expected None, 'balanced', or a finite non-negative "
            "number for each class, as a mapping from class name to number"
        )
    return out


def balanced(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return class weights inverse to the rows of each class; 1 for a class without rows."""
    seen = mass > 0
    out = np.ones(len(mass))
    out[seen] = mass.sum() / (seen.sum() * mass[seen])
    return out


def row_weights(
    targets: SparseTargets, class_weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the factor of each row: ``sum_k w_k c_k / sum_k w_k``; 1 for tags."""
    if class_weight is None or targets.task == "multilabel":
        return np.ones(len(targets))
    return _row_sums(targets, class_weight) / np.maximum(
        _row_sums(targets, np.ones_like(class_weight)), 1e-300
    )


def _row_sums(targets: SparseTargets, per_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """``sum_k w_k c_k`` of each row, without a dense row."""
    rows = row_of_entries(targets.indptr)
    rest = np.nan_to_num(targets.rest).astype(np.float64)
    listed = per_class[targets.indices]
    sums = np.bincount(rows, (targets.values - rest[rows]) * listed, len(targets))
    total: NDArray[np.float64] = sums + rest * per_class.sum()
    return total


def class_mass(targets: SparseTargets, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the rows of each class: a row of weights w gives w / sum(w), each tag gives 1.

    Counts of parts add up to that of the whole.
    """
    k = targets.n_classes
    rows = row_of_entries(targets.indptr)
    rest = np.nan_to_num(targets.rest).astype(np.float64)
    share: NDArray[np.floating[Any]] = np.where(targets.mode == UNKNOWN, 0.0, weight)
    if targets.task == "multiclass":
        share = share / np.maximum(_row_sums(targets, np.ones(k)), 1e-300)
    listed = np.bincount(targets.indices, (targets.values - rest[rows]) * share[rows], k)
    return np.asarray(listed + float(rest @ share))
