"""Scores class by class, and probability against frequency, as ranges where the truth is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Rule, checked_proba, default_rule, from_config
from eitheror.labels import Labels
from eitheror.metrics._truth import align
from eitheror.metrics.evaluation import decided_matrix

__all__ = ["class_table", "reliability_curve"]

Floats = NDArray[np.float64]


def class_table(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return how often each class is true and decided, and how well, one dict a class.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
        Names of the columns; default `labels.classes`.
    decision : decide.Rule or its config, optional
        Default `decide.default_rule`.

    Returns
    -------
    list of dict
        In the order of the columns: ``class``, ``decided`` (rows), and as ``[lower, upper]``
        ``present`` (rows), ``precision``, ``recall``, ``f1``; None where nothing is decided
        (precision) or possibly present (recall). Sharp for tags; for one true class valid, but
        the ends of different classes may exclude each other.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "b", either("a", "b")], classes=["a", "b"])
    >>> table = class_table(labels, [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> table[0]["present"], table[0]["decided"], table[0]["precision"]
    ([1, 2], 3, [0.3333333333333333, 0.6666666666666666])
    """
    proba = checked_proba(proba)
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    truth = align(labels, proba, classes)
    rule = default_rule(truth.task) if decision is None else decision
    rule = from_config(rule) if isinstance(rule, Mapping) else rule
    n = truth.n_model
    decided = decided_matrix(rule.predict(proba), truth, proba.shape)[:, :n]
    certain, possible = truth.certain[:, :n], truth.possible[:, :n]
    hits = [(decided & part).sum(axis=0).astype(np.float64) for part in (certain, possible)]
    missed = [(~decided & part).sum(axis=0).astype(np.float64) for part in (possible, certain)]
    named = decided.sum(axis=0).astype(np.float64)
    ends = [(h, h + m) for h, m in zip(hits, missed, strict=True)]  # worst, best
    scores = {
        "precision": [_ratio(h, named) for h, _ in ends],
        "recall": [_ratio(h, t) for h, t in ends],
        "f1": [_ratio(2 * h, named + t) for h, t in ends],
    }
    names = list(classes) if classes is not None else list(labels.classes)
    return [
        {
            "class": names[k],
            "present": [int(certain[:, k].sum()), int(possible[:, k].sum())],
            "decided": int(named[k]),
            **{word: _pair(low[k], high[k]) for word, (low, high) in scores.items()},
        }
        for k in range(n)
    ]


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))


def _pair(low: float, high: float) -> list[float] | None:
    """Return both ends; a worst case without any truth to find (0/0) scores as the best one."""
    if np.isnan(high):
        return None if np.isnan(low) else [float(low), float(low)]
    return [float(high if np.isnan(low) else low), float(high)]


def reliability_curve(
    labels: Any, proba: Any, classes: Sequence[Any] | None = None, *, bins: int = 15
) -> list[dict[str, Any]]:
    """Return how often what was given a probability came true, bin by bin, as ranges.

    One true class: the largest probability of each row, against "that class is the true one".
    Tags: every entry. A row or entry that the labels leave open may have come true or not, so each
    bin has a lowest and a highest frequency; a calibrated model's probability can lie anywhere
    between.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
    bins : int, default 15
        Of equal width.

    Returns
    -------
    list of dict
        Of the bins that are not empty: ``from``, ``to``, ``entries``, ``probability`` (mean) and
        ``frequency`` as ``[lower, upper]``.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "a", either("a", "b"), "b"], classes=["a", "b"])
    >>> reliability_curve(labels, [[0.8, 0.2]] * 4, bins=5)[0]["frequency"]
    [0.5, 0.75]
    """
    if bins < 1:
        raise ValueError(f"bins={bins}; give 1 or more")
    proba = checked_proba(proba)
    truth = align(labels, proba, classes)
    certain, possible = (part[:, : truth.n_model] for part in (truth.certain, truth.possible))
    if truth.task == "multiclass":
        rows, best = np.arange(len(proba)), proba.argmax(axis=1)
        score, low, high = (part[rows, best] for part in (proba, certain, possible))
    else:
        score, low, high = (part.ravel() for part in (proba, certain, possible))
    at = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    entries = np.bincount(at, minlength=bins)
    sums = [np.bincount(at, part.astype(np.float64), bins) for part in (score, low, high)]
    return [
        {
            "from": k / bins,
            "to": (k + 1) / bins,
            "entries": int(entries[k]),
            "probability": float(sums[0][k] / entries[k]),
            "frequency": [float(part[k] / entries[k]) for part in sums[1:]],
        }
        for k in np.flatnonzero(entries).tolist()
    ]
