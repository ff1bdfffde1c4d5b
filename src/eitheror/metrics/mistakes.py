"""Which classes are taken for which, and which rows speak against the model most.

Both work with labels that leave the truth open: a confusion has a sure and a possible count, and a
row's statement has a probability under the model whatever its kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Rule, checked_proba
from eitheror.labels import SHARES, Labels
from eitheror.labels._sparse import row_of_entries
from eitheror.metrics._truth import Truth, align
from eitheror.metrics.evaluation import decided_matrix, rule_for
from eitheror.metrics.probabilities import checked_range, losses_of

__all__ = ["confusions", "contradicted_rows"]

_CERTAIN = 1e-6
"""Losses up to here are rounding: shares are stored in float32."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def confusions(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
    most: int = 20,
) -> list[dict[str, Any]]:
    """Return the pairs of classes that are decided and true in each other's place.

    One true class: d is decided and t is true. Tags: d is named and absent in a row where t is
    present and not named. Where the labels leave the truth open, a row may or may not be such a
    mistake, so each count is a range.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
        Names of the columns; default `labels.classes`.
    decision : decide.Rule or its config, optional
        Default `decide.default_rule`.
    most : int, default 20
        Number of pairs to return.

    Returns
    -------
    list of dict
        ``decided``, ``true``, ``rows`` as ``[lower, upper]`` and ``ruled_out``: rows in which the
        labels rule `decided` out and leave `true` possible, so that the decision is wrong for
        certain and this may be how; ``lower <= ruled_out <= upper``. Sorted by
        lower, ruled_out and upper, largest first; pairs that cannot have happened are left out.
        For one true class each row gives one mistake at most, so the upper counts of a decided
        class do not add up.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["b", either("b", "c"), either("a", "b")], classes=["a", "b", "c"])
    >>> for row in confusions(labels, [[0.8, 0.1, 0.1]] * 3):
    ...     print(row)
    {'decided': 'a', 'true': 'b', 'rows': [1, 3], 'ruled_out': 2}
    {'decided': 'a', 'true': 'c', 'rows': [0, 1], 'ruled_out': 1}
    """
    proba = checked_proba(proba)
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    truth = align(labels, proba, classes)
    rule = rule_for(decision, truth.task)
    decided = decided_matrix(rule.predict(proba), truth, proba.shape, sets=True)
    decided_at, true_at, counts = _pairs(truth, decided)
    order = np.lexsort((true_at, decided_at, *(-counts[:, part] for part in (2, 1, 0))))
    names = _column_names(truth, labels, classes)
    return [
        {
            "decided": names[decided_at[at]],
            "true": names[true_at[at]],
            "rows": [int(counts[at, 0]), int(counts[at, 2])],
            "ruled_out": int(counts[at, 1]),
        }
        for at in order[: _checked_most(most)].tolist()
    ]


def contradicted_rows(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
    most: int = 20,
) -> list[dict[str, Any]]:
    """Return the rows whose statement the model finds least probable, worst first.

    On rows that the model has not been trained on these are its worst mistakes or the labels that
    are most worth a second look: which of the two, the numbers cannot say.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
        Rows that add to 1 for one true class, marginals for tags.
    classes : sequence of n_classes names, optional
        Names of the columns; default `labels.classes`.
    decision : decide.Rule or its config, optional
        Default `decide.default_rule`.
    most : int, default 20
        Number of rows to return.

    Returns
    -------
    list of dict
        ``row``, ``statement`` (as it would be written in Python), ``probability`` (of the statement
        under the model, exp(-loss)), ``loss`` (`statement_log_loss` less the
        least it can be, which is 0 but for shares and fractions), and ``decided``: a class name,
        None for no decision, or a list where the rule gives sets. Rows that say nothing are left
        out, and so are those that the model finds certain.

    Examples
    --------
    >>> from eitheror.labels import Labels, either, not_
    >>> labels = Labels(["a", either("b", "c"), not_("a"), None], classes=["a", "b", "c"])
    >>> found = contradicted_rows(labels, [[0.7, 0.2, 0.1]] * 4, most=2)
    >>> [(row["row"], row["statement"], round(row["probability"], 3)) for row in found]
    [(1, "either('b', 'c')", 0.3), (2, "not_('a')", 0.3)]
    >>> found[0]["decided"], round(found[0]["loss"], 3)
    ('a', 1.204)
    """
    proba = checked_range(proba)
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    truth = align(labels, proba, classes)
    rule = rule_for(decision, truth.task)
    decided = decided_matrix(rule.predict(proba), truth, proba.shape, sets=True)
    loss = np.maximum(losses_of(truth, proba) - _least_losses(truth), 0.0)
    against = np.flatnonzero(loss > _CERTAIN)  # nan, which says nothing, is not
    order = against[np.argsort(-loss[against], kind="stable")][: _checked_most(most)]
    names = _column_names(truth, labels, classes)
    sets = truth.task == "multilabel" or bool((decided.sum(axis=1) > 1).any())
    return [
        {
            "row": row,
            "statement": repr(labels[row]),
            "probability": float(np.exp(-loss[row])),
            "loss": float(loss[row]),
            "decided": _decided_names(decided[row], names, sets),
        }
        for row in order.tolist()
    ]


def _pairs(truth: Truth, decided: Bools) -> tuple[Any, Any, NDArray[np.int64]]:
    """Return columns decided, columns true, and (lower, ruled_out, upper) counts of each pair."""
    wrong, maybe_wrong = decided & ~truth.possible, decided & ~truth.certain
    missed, maybe_missed = truth.certain & ~decided, truth.possible & ~decided
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for column in np.flatnonzero(maybe_wrong.any(axis=0)).tolist():
        surely, maybe = wrong[:, column], maybe_wrong[:, column]
        counts = np.stack(
            [
                missed[surely].sum(axis=0),
                maybe_missed[surely].sum(axis=0),
                maybe_missed[maybe].sum(axis=0),
            ],
            axis=1,
        )
        others = np.flatnonzero(counts[:, 2])
        found.append((np.full(len(others), column), others, counts[others]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3), np.int64)
    decided_at, true_at, counts = (np.concatenate(part) for part in zip(*found, strict=True))
    return decided_at, true_at, counts


def _least_losses(truth: Truth) -> Floats:
    """Return the entropy of shares and fractions: what even the best probabilities lose."""
    targets = truth.targets
    rows = row_of_entries(targets.indptr)
    values = targets.values.astype(np.float64)
    if truth.task == "multiclass":
        values = np.where(targets.mode[rows] == SHARES, values, 1.0)
        lost = -_x_log_x(values)
    else:
        values = np.where(targets.indices < truth.n_model, values, 1.0)
        values = np.where(np.isnan(values), 1.0, values)
        lost = -_x_log_x(values) - _x_log_x(1 - values)
    return np.bincount(rows, lost, len(targets)).astype(np.float64)


def _x_log_x(values: Floats) -> Floats:
    return np.asarray(values * np.log(np.where(values > 0, values, 1.0)))


def _column_names(truth: Truth, labels: Labels, classes: Sequence[Any] | None) -> list[Any]:
    """Return the model's classes, then those that only the labels know, in their order."""
    names = list(labels.classes) if classes is None else list(classes)
    known = {str(name) for name in names}
    extra = [name for name in labels.classes if str(name) not in known]
    return (names + extra)[: truth.certain.shape[1]]


def _decided_names(decided: Bools, names: list[Any], sets: bool) -> Any:
    chosen = [names[column] for column in np.flatnonzero(decided).tolist()]
    if sets:
        return chosen
    return chosen[0] if chosen else None


def _checked_most(most: int) -> int:
    if most < 1:
        raise ValueError(f"most={most}; give 1 or more")
    return most
