"""Scores against a cut that moves: thresholds for tags, silence and sets for one true class.

In: labels and probabilities. Out: plain lists that JSON holds, each score as `[lower, upper]`
because the labels may leave the truth open. Every cut is scored from sorted counts, so a curve
costs one pass over the entries and not one pass a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import checked_proba
from eitheror.decide.scoring import check_metric, set_fraction
from eitheror.metrics._selective import held
from eitheror.metrics._truth import Truth, align

__all__ = ["rejection_curve", "set_sizes", "threshold_curve"]

_POINTS = 100
_BASIC = ("precision", "recall")
_BLOCK = 2**22  # entries that are counted at a time

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def threshold_curve(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    metrics: Sequence[str] = ("f1_micro", "jaccard_micro"),
    *,
    cuts: Sequence[float] | None = None,
    at_least_one: bool = False,
) -> dict[str, Any]:
    """Return the scores of one threshold for all tags, for many thresholds.

    Parameters
    ----------
    labels : Labels
        Tags; what is open makes a score a range, sharp as in `evaluate`.
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
    metrics : sequence of str
        Words of `decide.METRICS`; micro ``precision`` and ``recall`` always come with them.
    cuts : sequence of float, optional
        Rising; default 100 from 0 to a little above the highest row maximum but for one in 1,000.
    at_least_one : bool, default False
        Also choose the most probable tag of a row where nothing reaches the threshold.

    Returns
    -------
    dict
        ``{"cut": [...], metric: {"lower": [...], "upper": [...]}}``; precision is None where
        nothing is chosen.

    Examples
    --------
    >>> from eitheror.labels import Labels, tags
    >>> labels = Labels([tags("a"), tags("a", rest="unknown")], classes=["a", "b"])
    >>> curve = threshold_curve(labels, [[0.9, 0.2], [0.6, 0.3]], cuts=[0.25, 0.5])
    >>> curve["f1_micro"]
    {'lower': [0.8, 0.8], 'upper': [1.0, 1.0]}
    """
    proba = checked_proba(proba)
    truth = align(labels, proba, classes)
    if truth.task != "multilabel":
        raise ValueError("a threshold curve is for tags; one class is true in each of these rows")
    for metric in metrics:
        check_metric(metric)
    top = proba.max(axis=1)
    at = np.linspace(0.0, _ceiling(top), _POINTS) if cuts is None else np.asarray(cuts, float)
    found: dict[str, Any] = {"cut": at.tolist()}
    kept: dict[str, _Counts] = {}
    for metric in dict.fromkeys([*metrics, *_BASIC]):
        average = _average_of(metric)
        if average not in kept:
            kept[average] = _counts(truth, proba, at, average, at_least_one)
        low, high = _scored(metric, kept[average])
        found[metric] = {"lower": _plain(low), "upper": _plain(high)}
    return found


class _Counts(NamedTuple):
    """Per group (row, class, or all) and cut; the last two do not depend on the cut."""

    chosen: Floats
    certain: Floats  # chosen and certainly true
    possible: Floats  # chosen and possibly true
    all_certain: Floats
    all_possible: Floats


def _ceiling(top: NDArray[np.floating[Any]]) -> float:
    return min(1.0, float(np.quantile(top, 0.999)) * 1.05)


def _average_of(metric: str) -> str:
    if metric in _BASIC:
        return "micro"
    return metric.partition("_")[2] or "samples"  # accuracy looks at rows


def _counts(
    truth: Truth, proba: NDArray[Any], cuts: Floats, average: str, at_least_one: bool
) -> _Counts:
    """Count by the number of cuts that a score reaches, then add up from the highest."""
    n_rows, n_classes = proba.shape
    n_groups = {"micro": 1, "macro": truth.certain.shape[1], "samples": n_rows}[average]
    width = len(cuts) + 1
    found = np.zeros((3, n_groups, width))
    step = max(1, _BLOCK // n_classes)
    for start in range(0, n_rows, step):
        block = slice(start, start + step)
        at = _places(proba[block], cuts, at_least_one)
        if average == "macro":
            at += np.arange(n_classes) * width
        groups = slice(None)
        if average == "samples":
            at += np.arange(len(at))[:, None] * width
            groups = block
        rows = found[:, groups]
        for part, values in enumerate((None, truth.certain, truth.possible)):
            weights = None if values is None else values[block, :n_classes].ravel()
            size = rows.shape[1] * width
            rows[part] += np.bincount(at.ravel(), weights, size).reshape(-1, width)
    above = found[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
    axis = {"micro": None, "macro": 0, "samples": 1}[average]
    totals = [
        np.asarray(part.sum(axis=axis), np.float64).reshape(-1, 1)
        for part in (truth.certain, truth.possible)
    ]
    return _Counts(*above, *totals)


def _places(proba: NDArray[Any], cuts: Floats, at_least_one: bool) -> NDArray[np.int64]:
    """Return how many cuts each score reaches; all of them where it is chosen anyway."""
    scores = proba.astype(np.float64)
    if at_least_one:
        scores[np.arange(len(proba)), proba.argmax(axis=1)] = np.inf
    return np.asarray(np.searchsorted(cuts, scores, side="right"), np.int64)


def _scored(metric: str, counts: _Counts) -> tuple[Floats, Floats]:
    """Return the score at each cut for the least and for the most favourable truth."""
    if metric == "precision":
        return _ratio(counts.certain[0], counts.chosen[0]), _ratio(
            counts.possible[0], counts.chosen[0]
        )
    # least favourable: what is open is absent where chosen and present where not
    worst = counts.certain + counts.all_possible - counts.possible
    best = counts.possible + counts.all_certain - counts.certain
    if metric == "recall":
        return _ratio(counts.certain[0], worst[0]), _ratio(counts.possible[0], best[0])
    measure, _, average = metric.partition("_")
    if measure == "accuracy":
        return _exact_sets(counts)
    return (
        _averaged(measure, average, counts.certain, counts.chosen, worst),
        _averaged(measure, average, counts.possible, counts.chosen, best),
    )


def _exact_sets(counts: _Counts) -> tuple[Floats, Floats]:
    surely = (counts.certain == counts.chosen) & (counts.possible == counts.all_possible)
    maybe = (counts.certain == counts.all_certain) & (counts.possible == counts.chosen)
    return surely.mean(axis=0), maybe.mean(axis=0)


def _averaged(measure: str, average: str, hits: Floats, chosen: Floats, present: Floats) -> Floats:
    top, bottom = set_fraction(measure, hits, chosen, present)
    empty = 1.0 if average == "samples" else 0.0  # an empty set for an empty row is right
    score = np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0)
    if average != "macro":
        return np.asarray(score.mean(axis=0))
    occurs = (bottom > 0).sum(axis=0)
    return np.asarray(score.sum(axis=0) / np.maximum(occurs, 1))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 6) for value in values.tolist()]


def rejection_curve(
    labels: Any, proba: Any, classes: Sequence[Any] | None = None
) -> dict[str, list[float]]:
    """Return the accuracy among the surest rows, for many shares of rows that are decided.

    A row is decided where its largest probability reaches the cut, as `decide.Reject` does with
    cost ``1 - cut``. The curve is known as risk against coverage.

    Parameters
    ----------
    labels : Labels
        One true class; what is open makes the accuracy a range.
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional

    Returns
    -------
    dict
        ``cut``, ``decided`` (share of the rows), ``lower`` and ``upper`` (accuracy among them), at
        up to 100 cuts from the lowest.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", either("a", "b")], classes=["a", "b"])
    >>> rejection_curve(labels, [[0.9, 0.1], [0.6, 0.4]])
    {'cut': [0.6, 0.9], 'decided': [1.0, 0.5], 'lower': [0.5, 1.0], 'upper': [1.0, 1.0]}
    """
    proba = checked_proba(proba)
    truth = align(labels, proba, classes)
    if truth.task != "multiclass":
        raise ValueError("a rejection curve is for one true class; these labels are tags")
    top = proba.max(axis=1).astype(np.float64)
    chosen = np.zeros(truth.certain.shape, dtype=bool)
    chosen[np.arange(len(proba)), proba.argmax(axis=1)] = True
    order = np.argsort(-top, kind="stable")
    surely, maybe = (np.cumsum(part[order]) for part in held(truth, chosen))
    # equal probabilities are decided together: the last of them closes the step
    ends = np.flatnonzero(np.append(top[order][1:] < top[order][:-1], True))[::-1]
    if len(ends) > _POINTS:
        ends = ends[np.linspace(0, len(ends) - 1, _POINTS).round().astype(int)]
    decided = ends + 1
    return {
        "cut": [round(value, 6) for value in top[order][ends].tolist()],
        "decided": [round(value, 6) for value in (decided / len(top)).tolist()],
        "lower": [round(value, 6) for value in (surely[ends] / decided).tolist()],
        "upper": [round(value, 6) for value in (maybe[ends] / decided).tolist()],
    }


def set_sizes(
    labels: Any, chosen: NDArray[np.bool_], classes: Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """Return how many sets have each size, and how many of those hold the true class.

    Parameters
    ----------
    labels : Labels
        One true class.
    chosen : bool array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional

    Returns
    -------
    list of dict
        ``size``, ``rows`` and ``coverage`` as ``[lower, upper]``, smallest size first.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror.labels import Labels
    >>> labels = Labels(["a", "b"], classes=["a", "b"])
    >>> set_sizes(labels, np.array([[True, True], [True, False]]))[0]
    {'size': 1, 'rows': 1, 'coverage': [0.0, 0.0]}
    """
    truth = align(labels, chosen.astype(np.float32), classes)
    wide = np.zeros(truth.certain.shape, dtype=bool)
    wide[:, : chosen.shape[1]] = chosen
    surely, maybe = held(truth, wide)
    sizes = chosen.sum(axis=1)
    return [
        {
            "size": int(size),
            "rows": int((sizes == size).sum()),
            "coverage": [float(part[sizes == size].mean()) for part in (surely, maybe)],
        }
        for size in np.unique(sizes)
    ]
