"""Scores class by class, and probability against frequency, as ranges where the truth is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Rule, checked_proba
from eitheror.labels import Labels
from eitheror.metrics._truth import align
from eitheror.metrics.evaluation import decided_matrix, rule_for
from eitheror.metrics.intervals import Estimate, between, proportion, ratio_of
from eitheror.metrics.probabilities import checked_range, scored_entries

__all__ = ["class_table", "reliability_curve"]

Bools = NDArray[np.bool_]
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
        the ends of different classes may exclude each other. ``precision_interval``,
        ``recall_interval`` and ``f1_interval`` are their 95 % intervals over rows, None where fewer
        than two rows are about the class.

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
    rule = rule_for(decision, truth.task)
    n = truth.n_model
    decided = decided_matrix(rule.predict(proba), truth, proba.shape, sets=True)[:, :n]
    certain, possible = truth.certain[:, :n], truth.possible[:, :n]
    hits = [(decided & part).sum(axis=0).astype(np.float64) for part in (certain, possible)]
    missed = [(~decided & part).sum(axis=0).astype(np.float64) for part in (possible, certain)]
    named = decided.sum(axis=0).astype(np.float64)
    ends = [(h, h + m) for h, m in zip(hits, missed, strict=True)]  # worst, best
    scores = {
        "precision": [(h, named) for h, _ in ends],
        "recall": [(h, t) for h, t in ends],
        "f1": [(2 * h, named + t) for h, t in ends],
    }
    names = list(classes) if classes is not None else list(labels.classes)
    return [
        {
            "class": names[k],
            "present": [int(certain[:, k].sum()), int(possible[:, k].sum())],
            "decided": int(named[k]),
            **{
                word: _pair(*(float(_ratio(top[k], bottom[k])) for top, bottom in both))
                for word, both in scores.items()
            },
            **{
                f"{word}_interval": _interval(word, *((top[k], bottom[k]) for top, bottom in both))
                for word, both in scores.items()
            },
        }
        for k in range(n)
    ]


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("nan")


def _interval(word: str, low: tuple[float, float], high: tuple[float, float]) -> list[float] | None:
    """Return the interval of a ratio of counts, from its least and its largest value."""
    found = between(*(_estimate(word, top, bottom) for top, bottom in (low, high))).interval
    return None if found is None else list(found)


def _estimate(word: str, top: float, bottom: float) -> Estimate:
    """Return a share of rows; F1 is a share f of (p + t) / (2 - f) rows, by its variance."""
    if bottom == 0:
        return Estimate(0.0, None)
    share = top / bottom
    rows = bottom / (2 - share) if word == "f1" else bottom
    # Where every row is alike the number of rows alone gives the interval.
    return Estimate(share, sqrt(share * (1 - share) / rows), int(np.ceil(rows)))


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
        ``frequency`` as ``[lower, upper]``, with its 95 % ``interval`` over rows (None for
        tags of a single row).

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "a", either("a", "b"), "b"], classes=["a", "b"])
    >>> reliability_curve(labels, [[0.8, 0.2]] * 4, bins=5)[0]["frequency"]
    [0.5, 0.75]
    """
    if bins < 1:
        raise ValueError(f"bins={bins}; give 1 or more")
    proba = checked_range(proba)
    truth = align(labels, proba, classes)
    score, low, high = scored_entries(truth, proba)
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
            "interval": _frequency_interval(at == k, low, high, len(proba)),
        }
        for k in np.flatnonzero(entries).tolist()
    ]


def _frequency_interval(inside: Bools, low: Bools, high: Bools, n: int) -> list[float] | None:
    """Return the interval of a frequency; the entries of a row hang together."""
    if len(inside) == n:
        counts = int(low[inside].sum()), int(high[inside].sum())
        found = proportion(*counts, int(inside.sum())).interval
    else:
        own = inside.reshape(n, -1)
        tops = ((own & part.reshape(n, -1)).sum(axis=1) for part in (low, high))
        found = between(*(ratio_of(top, own.sum(axis=1)) for top in tops)).interval
    return None if found is None else list(found)
