"""Which decisions a statement contradicts: the score of an estimator on labels of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels
from eitheror.labels._sparse import row_of_entries

__all__ = ["names_of", "not_contradicted"]


def not_contradicted(
    labels: Labels, decided: NDArray[Any], classes: list[Any]
) -> NDArray[np.bool_]:
    """Say for each row whether the decision can be true given the label.

    Parameters
    ----------
    labels : Labels
        ``(n_samples,)``; classes outside `classes` are never decided.
    decided : array
        ``(n_samples,)`` column numbers, -1 for no decision, which agrees with nothing; or a bool
        matrix ``(n_samples, n_classes)``.
    classes : list
        Names of the columns.

    Returns
    -------
    bool array of shape (n_samples,)

    Examples
    --------
    >>> from eitheror.labels import either, not_
    >>> labels = Labels(["a", either("a", "b"), not_("b"), None])
    >>> not_contradicted(labels, np.array([1, 1, 1, 1]), ["a", "b"]).tolist()
    [False, True, False, True]
    """
    known = set(classes)
    labels = labels.with_classes([*classes, *(c for c in labels.classes if c not in known)])
    task = "multiclass" if decided.ndim == 1 else "multilabel"
    if labels.task != task:
        raise ValueError(
            f"the labels are {labels.task} and the model decides as {task}; read them with "
            f"Labels(..., task={task!r})"
        )
    if decided.ndim == 1:
        return np.asarray(labels.candidates()[np.arange(len(labels)), decided]) & (decided >= 0)
    return _tags_agree(labels, decided)


def names_of(classes: NDArray[Any], decided: NDArray[np.int64]) -> NDArray[Any]:
    """Return the name of each decided column; None where the rule declined to choose (-1).

    Examples
    --------
    >>> names_of(np.array(["a", "b"]), np.array([1, 0]))
    array(['b', 'a'], dtype='<U1')
    >>> names_of(np.array(["a", "b"]), np.array([1, -1]))
    array(['b', None], dtype=object)
    """
    if (decided >= 0).all():
        return np.asarray(classes[decided])
    named = np.full(len(classes) + 1, None, dtype=object)
    named[:-1] = classes
    return named[decided]  # -1 is the last


def _tags_agree(labels: Labels, decided: NDArray[Any]) -> NDArray[np.bool_]:
    targets = labels.sparse()
    n = len(targets)
    chosen = np.zeros((n, targets.n_classes), dtype=bool)
    chosen[:, : decided.shape[1]] = decided
    rows = row_of_entries(targets.indptr)
    picked = chosen[rows, targets.indices]
    wrong = np.where(picked, targets.values == 0, targets.values == 1)
    bad = np.bincount(rows, wrong, n) > 0
    # a closed world (rest 0) has no room for tags that are not listed
    unlisted = chosen.sum(axis=1) - np.bincount(rows, picked, n)
    bad |= (targets.rest == 0) & (unlisted > 0)
    groups = row_of_entries(targets.group_ends)
    owner = row_of_entries(targets.group_indptr)
    met = np.bincount(groups, chosen[owner[groups], targets.group_indices], len(owner)) > 0
    bad[owner[~met]] = True
    return ~bad
