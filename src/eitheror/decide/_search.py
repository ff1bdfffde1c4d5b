"""The best cut of a score, found by sorting once.

A cut t predicts every entry with score >= t. Going down the sorted scores, each step adds
one predicted entry, so every score of the cut is a running sum; nothing is tried twice.
Entries with equal scores can only be taken together, so only the places between *distinct*
scores count, and the cut reported is the midpoint between them. "Predict nothing" is the
first place. O(n log n) for n known entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide.scoring import set_score

__all__ = ["best_cut", "best_cut_per_class", "top_mask"]

Floats = NDArray[np.float64]


def top_mask(proba: NDArray[np.floating[Any]], k: int) -> NDArray[np.bool_]:
    """Return where the k largest entries of each row are; ties go to the first class."""
    n_samples, n_classes = proba.shape
    if k >= n_classes:
        return np.ones(proba.shape, dtype=bool)
    mask = np.zeros(proba.shape, dtype=bool)
    if k == 1:
        mask[np.arange(n_samples), proba.argmax(axis=1)] = True
        return mask
    smallest = np.partition(proba, n_classes - k, axis=1)[:, n_classes - k, None]
    np.greater(proba, smallest, out=mask)
    missing = k - mask.sum(axis=1, keepdims=True)
    ties = proba == smallest
    np.logical_or(mask, ties & (np.cumsum(ties, axis=1) <= missing), out=mask)
    return mask


def best_cut(
    metric: str,
    targets: NDArray[np.floating[Any]],
    proba: NDArray[np.floating[Any]],
    *,
    at_least_one: bool = False,
) -> tuple[float, float]:
    """Return (cut, score): the one cut for all classes that scores best on known entries."""
    measure, _, average = metric.partition("_")
    entries = _sorted_entries(targets, proba, at_least_one)
    if average == "micro":
        scores = _micro_curve(measure, entries)
    elif average == "macro":
        scores = _macro_curve(measure, entries)
    else:
        scores = _samples_curve(measure, entries)
    scores[1:-1][entries.scores[1:] == entries.scores[:-1]] = -1.0
    place = int(np.argmax(scores))
    return _cut(entries.scores, place), float(scores[place])


def best_cut_per_class(
    metric: str,
    targets: NDArray[np.floating[Any]],
    proba: NDArray[np.floating[Any]],
    *,
    at_least_one: bool = False,
    min_present: float = 0,
) -> Floats:
    """Return one cut per class, together the best for a micro or macro score.

    Macro scores fall apart into classes. A micro score a/b is maximised by asking for the
    ratio r that no choice of cuts beats: sum over classes of max(a_c - r b_c) = 0
    (Dinkelbach 1967). A class with no known entry to learn from, or present less often than
    `min_present`, takes the one cut for all.
    """
    measure, _, average = metric.partition("_")
    entries = _sorted_entries(targets, proba, at_least_one)
    groups = _grouped(entries, entries.columns, entries.per_class)
    choose = _best_macro_places if average == "macro" else _best_micro_places
    places = choose(measure, groups)
    cuts = np.array(
        [
            _cut(groups.scores[start:end], place)
            for start, end, place in zip(
                groups.starts[:-1].tolist(),
                groups.starts[1:].tolist(),
                places.tolist(),
                strict=True,
            )
        ]
    )
    undecided = (np.diff(groups.starts) == 0) | (groups.counts.present < min_present)
    if undecided.any():
        cuts[undecided] = best_cut(metric, targets, proba, at_least_one=at_least_one)[0]
    return cuts


@dataclass(frozen=True)
class _Counts:
    """Hits, predicted and present before the first step, one entry per group."""

    hits: Floats
    predicted: Floats
    present: Floats

    def total(self) -> tuple[float, float, float]:
        return float(self.hits.sum()), float(self.predicted.sum()), float(self.present.sum())


@dataclass(frozen=True)
class _Entries:
    """The known entries in descending order of score; what is predicted anyway is left out."""

    scores: NDArray[np.floating[Any]]
    values: Floats
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    per_row: _Counts
    per_class: _Counts
    rows_known: NDArray[np.bool_]


def _sorted_entries(
    targets: NDArray[np.floating[Any]], proba: NDArray[np.floating[Any]], at_least_one: bool
) -> _Entries:
    known = ~np.isnan(targets)
    present = np.where(known, targets, 0.0)
    forced = top_mask(proba, 1) & known if at_least_one else np.zeros(proba.shape, dtype=bool)
    free = np.flatnonzero(known & ~forced)
    scores = proba.ravel()[free]
    order = np.argsort(-scores, kind="stable")
    flat = free[order]
    rows, columns = np.divmod(flat, proba.shape[1])
    taken = np.where(forced, present, 0.0)

    def counts(axis: int) -> _Counts:
        parts = (taken, forced, present)
        return _Counts(*(part.sum(axis=axis, dtype=np.float64) for part in parts))

    values = present.ravel()[flat].astype(np.float64)
    return _Entries(scores[order], values, rows, columns, counts(1), counts(0), known.any(axis=1))


def _micro_curve(measure: str, entries: _Entries) -> Floats:
    hits, predicted, present = entries.per_class.total()
    hit_curve = hits + np.concatenate([[0.0], np.cumsum(entries.values)])
    predicted_curve = predicted + np.arange(len(entries.values) + 1)
    return set_score(measure, hit_curve, predicted_curve, present, empty=0.0)


def _macro_curve(measure: str, entries: _Entries) -> Floats:
    groups = _grouped(entries, entries.columns, entries.per_class)
    start = groups.before_first(measure, empty=0.0)
    total = _running_total(measure, groups, start, empty=0.0)
    occurs = (groups.counts.present > 0) | (groups.counts.predicted > 0)
    appears = np.zeros(len(entries.values) + 1)
    filled = np.flatnonzero(~occurs & (np.diff(groups.starts) > 0))
    appears[1 + groups.order[groups.starts[filled]]] = 1.0
    occurring = occurs.sum() + np.cumsum(appears)
    mean: Floats = np.zeros_like(total)
    np.divide(total, occurring, out=mean, where=occurring > 0)
    return mean


def _samples_curve(measure: str, entries: _Entries) -> Floats:
    groups = _grouped(entries, entries.rows, entries.per_row)
    start = groups.before_first(measure, empty=1.0) * entries.rows_known
    total = _running_total(measure, groups, start, empty=1.0)
    return total / max(int(entries.rows_known.sum()), 1)


@dataclass(frozen=True)
class _Groups:
    """The entries again, put together by class (or row), still descending inside each."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    scores: NDArray[np.floating[Any]]
    members: NDArray[np.int64]
    hits: Floats
    predicted: Floats
    counts: _Counts

    def before_first(self, measure: str, *, empty: float) -> Floats:
        counts = self.counts
        return set_score(measure, counts.hits, counts.predicted, counts.present, empty=empty)

    def after_each(self, measure: str, *, empty: float) -> Floats:
        present = self.counts.present[self.members]
        return set_score(measure, self.hits, self.predicted, present, empty=empty)


def _grouped(entries: _Entries, members: NDArray[np.int64], counts: _Counts) -> _Groups:
    n_groups = len(counts.present)
    small = members.astype(np.int16 if n_groups < 2**15 else np.int64)  # int16: radix sort
    order = np.argsort(small, kind="stable")
    members = members[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(members, minlength=n_groups))])
    running = np.concatenate([[0.0], np.cumsum(entries.values[order])])
    hits = running[1:] - running[starts[members]] + counts.hits[members]
    rank = np.arange(1, len(members) + 1) - starts[members]
    predicted = rank + counts.predicted[members]
    return _Groups(order, starts, entries.scores[order], members, hits, predicted, counts)


def _running_total(measure: str, groups: _Groups, start: Floats, *, empty: float) -> Floats:
    """Sum over groups of their scores, before any step and after each global step."""
    after = groups.after_each(measure, empty=empty)
    before = np.concatenate([[0.0], after[:-1]])
    first = groups.starts[:-1][np.diff(groups.starts) > 0]
    before[first] = start[groups.members[first]]
    steps = np.empty(len(after) + 1)
    steps[0] = start.sum()
    steps[1 + groups.order] = after - before
    return np.cumsum(steps)


def _best_macro_places(measure: str, groups: _Groups) -> NDArray[np.int64]:
    gain = groups.after_each(measure, empty=0.0)
    return _best_places(gain, groups.before_first(measure, empty=0.0), groups)


def _best_micro_places(measure: str, groups: _Groups) -> NDArray[np.int64]:
    # Jaccard = F1 / (2 - F1) grows with F1, so both have the same best cuts.
    _, _, present = groups.counts.total()
    ratio, places = -1.0, np.zeros(len(groups.counts.present), dtype=np.int64)
    while True:
        gain = 2 * groups.hits - max(ratio, 0.0) * groups.predicted
        nothing = 2 * groups.counts.hits - max(ratio, 0.0) * groups.counts.predicted
        candidate = _best_places(gain, nothing, groups)
        hits, predicted = _totals_at(candidate, groups)
        better = float(set_score("f1", hits, predicted, present, empty=0.0))
        if better <= ratio:
            return places
        ratio, places = better, candidate


def _totals_at(
    places: NDArray[np.int64], groups: _Groups
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    some = places > 0
    last = groups.starts[:-1][some] + places[some] - 1
    hits = groups.counts.hits[~some].sum() + groups.hits[last].sum()
    predicted = groups.counts.predicted[~some].sum() + groups.predicted[last].sum()
    return np.asarray(hits), np.asarray(predicted)


def _best_places(gain: Floats, nothing: Floats, groups: _Groups) -> NDArray[np.int64]:
    """Return, per group, how many of its entries to take; the fewest among equals."""
    places = np.zeros(len(nothing), dtype=np.int64)
    filled = np.flatnonzero(np.diff(groups.starts) > 0)
    if not len(filled):
        return places
    gain = gain.copy()
    tied = np.zeros(len(gain), dtype=bool)  # the next entry has the same score: no cut here
    same_group = groups.members[1:] == groups.members[:-1]
    tied[:-1] = same_group & (groups.scores[1:] == groups.scores[:-1])
    gain[tied] = -np.inf
    best = np.full(len(nothing), -np.inf)
    best[filled] = np.maximum.reduceat(gain, groups.starts[filled])
    winners = np.flatnonzero(gain == best[groups.members])
    groups_of, first = np.unique(groups.members[winners], return_index=True)
    places[groups_of] = winners[first] - groups.starts[groups_of] + 1
    places[best <= nothing] = 0
    return places


def _cut(scores: NDArray[np.floating[Any]], place: int) -> float:
    """Return the cut that takes the first `place` of these descending scores."""
    if not len(scores):
        return 0.5
    if place == 0:
        return float(np.nextafter(float(scores[0]), np.inf))
    if place == len(scores):
        return float(scores[-1])
    above, below = float(scores[place - 1]), float(scores[place])
    middle = below + (above - below) / 2
    return middle if middle > below else above
