"""What training refuses before it starts: rows, labels and weights that do not go together.

Texts and tables of numbers go through the same checks, so that a mistake reads the same for both.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import UNKNOWN, Labels, RowError, SparseTargets

__all__ = [
    "check_lengths",
    "check_resume",
    "check_sample_weight",
    "check_speaking",
    "check_targets",
    "check_valid",
    "idle_message",
    "idle_note",
    "idle_rows",
    "known_rows",
    "n_rows",
    "valid_weight",
]

Valid: TypeAlias = tuple[Any, Labels] | tuple[Any, Labels, ArrayLike | None]
"""Held-out inputs and labels, and where there are any the weights of the rows."""

_TAGS_THAT_APPLY = ("pal", "pal-n", "pol")
_Float = TypeVar("_Float", np.float32, np.float64)


def n_rows(inputs: Any) -> int:
    """Return the number of rows of an array, sparse matrix, DataFrame or list."""
    return int(inputs.shape[0]) if hasattr(inputs, "shape") else len(inputs)


def check_lengths(inputs: Any, labels: Labels, what: str = "") -> None:
    """Refuse inputs that are not one a label, and no rows at all.

    Parameters
    ----------
    inputs : sequence, array or sparse matrix
    labels : Labels
    what : str
        "validation " where these are the held-out rows.

    Raises
    ------
    ValueError
    """
    n = n_rows(inputs)
    if n != len(labels):
        raise ValueError(
            f"{n} {what}inputs came with {len(labels)} {what}labels; expected one label an input"
        )
    if n == 0:
        raise ValueError(f"no {what}rows came: training needs inputs with labels")


def check_resume(checkpoint: object, resume: bool) -> None:
    """Refuse to go on from a checkpoint that nobody named.

    Raises
    ------
    ValueError
    """
    if resume and checkpoint is None:
        raise ValueError(
            "resume=True came without a checkpoint to go on from: add checkpoint=Checkpoint(PATH)"
        )


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, dtype: type[_Float]
) -> NDArray[_Float]:
    """Return one finite weight >= 0 a row; None means 1.

    Raises
    ------
    ValueError
        For a wrong length, or a weight that is negative, nan or infinite (in `dtype`).

    Examples
    --------
    >>> check_sample_weight([2, 0], 2, np.float64)
    array([2., 0.])
    """
    if sample_weight is None:
        return np.ones(n_samples, dtype=dtype)
    given = np.asarray(sample_weight)
    with np.errstate(over="ignore"):  # what overflows is infinite, and named below
        weight: NDArray[_Float] = given.astype(dtype)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight of shape {weight.shape} came with {n_samples} rows; "
            f"expected ({n_samples},)"
        )
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(bad):
        raise ValueError(
            f"row {bad[0]}: sample weight {given[bad[0]]}; expected a finite number >= 0"
        )
    return weight


def check_targets(labels: Labels, targets: SparseTargets, loss: str) -> None:
    """Refuse labels that nothing can be learnt from, or that the loss cannot read.

    Raises
    ------
    ValueError
        A `RowError` where it is one row that the loss cannot read.
    """
    if labels.task == "multiclass" and labels.n_classes < 2:
        raise ValueError(
            f"the labels name only one class ({labels.classes[0]!r}); a classifier needs two or "
            "more: give the whole list with classes=[...]"
            if labels.classes
            else "the labels name no class; a classifier needs two or more"
        )
    _check_statements(targets, loss, "")


def check_speaking(targets: SparseTargets, weight: NDArray[Any]) -> None:
    """Refuse rows of which none both says something and has weight.

    Raises
    ------
    ValueError
    """
    if not np.any(weight[targets.mode != UNKNOWN] > 0):
        raise ValueError(
            f"none of the {len(targets)} labels says anything; expected at least one exact, "
            "either, not, soft, votes, tags or evidence label of positive weight"
        )


def idle_note(targets: SparseTargets, loss: str) -> str | None:
    """Return how many rows say something that the loss does not learn from; None if none do.

    "pal", "pal-n" and "pol" are sums over the tags that apply: a row that only rules tags out
    costs 0 whatever the model says.

    Examples
    --------
    >>> from eitheror.labels import not_, tags
    >>> labels = Labels([tags("a"), not_("a"), tags("b")], task="multilabel")
    >>> idle_note(labels.sparse(), "pal")[:30]
    '1 of 3 rows teaches nothing wi'
    >>> idle_note(labels.sparse(), "ova")
    """
    if loss not in _TAGS_THAT_APPLY:
        return None
    return idle_message(idle_rows(targets), len(targets), loss)


def idle_rows(targets: SparseTargets) -> int:
    """Count the rows that say something and name no tag that applies."""
    ends = np.concatenate([[0], np.cumsum(targets.values > 0)])  # nan is not above 0
    applying = np.diff(ends[targets.indptr])
    return int(np.count_nonzero((targets.mode != UNKNOWN) & (applying == 0)))


def idle_message(idle: int, n: int, loss: str) -> str | None:
    """Return what is said of `idle` rows of `n`; None where that is nothing."""
    if loss not in _TAGS_THAT_APPLY or not idle:
        return None
    verb = "teaches" if idle == 1 else "teach"
    return (
        f"{idle:,} of {n:,} rows {verb} nothing with loss={loss!r}, which learns only "
        "from tags that apply; loss='ova' also learns from tags that do not"
    )


def check_valid(valid: Valid, labels: Labels, loss: str) -> tuple[Any, Labels]:
    """Return the held-out rows with their labels under the classes of the training labels.

    Parameters
    ----------
    valid : tuple of (inputs, Labels) or (inputs, Labels, sample_weight)
        The classes may stand in another order, or some may be missing. `valid_weight` reads the
        weights.
    labels : Labels
        The training labels.
    loss : str
        Resolved.

    Raises
    ------
    ValueError
        For another task, a class that training does not know, a wrong length, or statements that
        say nothing or that the loss cannot read.
    """
    if len(valid) not in (2, 3):
        raise ValueError(
            f"valid= takes (inputs, labels) or (inputs, labels, sample_weight), got {len(valid)} "
            "parts"
        )
    inputs, held_out = valid[:2]
    check_lengths(inputs, held_out, "validation ")
    if held_out.task != labels.task:
        raise ValueError(
            f"the validation labels are {held_out.task} and the training labels "
            f"{labels.task}: read both with the same task="
        )
    if held_out.classes != labels.classes:
        try:
            held_out = held_out.with_classes(labels.classes)
        except ValueError as error:
            raise ValueError(
                f"validation labels: {error}; they must name classes of the training labels: "
                "read both with the same classes=[...]"
            ) from None
    _check_statements(held_out.sparse(), loss, "validation ")
    return inputs, held_out


def valid_weight(valid: Valid, dtype: type[_Float]) -> NDArray[_Float]:
    """Return the weights of the held-out rows that `check_valid` takes; 1 where none came.

    Raises
    ------
    ValueError
        As `check_sample_weight`, and where no row that says something has weight.

    Examples
    --------
    >>> valid_weight(([[0.0], [1.0]], Labels(["a", "b"]), [2, 1]), np.float64)
    array([2., 1.])
    """
    given = valid[2] if len(valid) == 3 else None
    try:
        weight = check_sample_weight(given, len(valid[1]), dtype)
        check_speaking(valid[1].sparse(), weight)
    except ValueError as error:
        raise ValueError(f"validation rows: {error}") from None
    return weight


def known_rows(
    inputs: Any, labels: Labels, weight: NDArray[np.float64] | None, n_classes: int
) -> tuple[Any, Labels, NDArray[np.float64]]:
    """Return the held-out rows that name no class which the training rows lack, with weights.

    Parameters
    ----------
    inputs : sequence of str, array or sparse matrix
    labels : Labels
        The first `n_classes` classes are those of the training rows.
    weight : float64 array of shape (n_samples,), optional
    n_classes : int

    Examples
    --------
    >>> known_rows(["x", "y"], Labels(["a", "c"], ["a", "b", "c"]), None, 2)
    (['x'], Labels([exact('a')], classes=['a', 'b'], task='multiclass'), array([1.]))
    """
    if weight is None:
        weight = np.ones(len(labels))
    if labels.n_classes == n_classes:
        return inputs, labels, weight
    new = set(labels.classes[n_classes:])
    rows = np.array([i for i, label in enumerate(labels) if not new & set(label.named)], dtype=int)
    chosen = inputs[rows] if hasattr(inputs, "shape") else [inputs[row] for row in rows.tolist()]
    return chosen, labels[rows].with_classes(labels.classes[:n_classes]), weight[rows]


def _check_statements(targets: SparseTargets, loss: str, what: str) -> None:
    if not np.any(targets.mode != UNKNOWN):
        raise ValueError(f"none of the {len(targets)} {what}labels says anything: all are unknown")
    if loss != "ova" and len(targets.group_indices):
        row = int(np.flatnonzero(np.diff(targets.group_indptr))[0])
        problem = (
            f"loss={loss!r} cannot read 'at least one of' some tags; use loss='ova', or leave "
            "such rows out"
        )
        if what:  # a RowError would point into the training rows
            raise ValueError(f"{what}row {row}: {problem}")
        raise RowError(row, problem)
