"""The best cut of a score, found by sorting once.

A cut t predicts every entry with score >= t. Going down the sorted scores, each step adds
one predicted entry, so every score of the cut is a running sum; nothing is tried twice.
Entries with equal scores can only be taken together, so only the places between *distinct*
scores count, and the cut reported is the midpoint between them. "Predict nothing" is the
first place. O(n log n) for n known entries; most of the time is the sort, so what is sorted are
plain 64-bit integers that hold score and place together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
    groups = _by_class(entries)
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
    places: NDArray[np.int64]
    n_classes: int
    per_row: _Counts
    per_class: _Counts
    rows_known: NDArray[np.bool_]


def _sorted_entries(
    targets: NDArray[np.floating[Any]], proba: NDArray[np.floating[Any]], at_least_one: bool
) -> _Entries:
    known = ~np.isnan(targets)
    complete = bool(known.all())
    present = targets if complete else np.where(known, targets, 0.0)
    forced = top_mask(proba, 1) & known if at_least_one else None
    if complete and forced is None:
        scores, free = proba.ravel(), None
    else:
        free = np.flatnonzero(known if forced is None else known & ~forced)
        scores = proba.ravel()[free]
    order = _descending_order(scores)
    places = order if free is None else free[order]

    def counts(axis: int) -> _Counts:
        all_present = present.sum(axis=axis, dtype=np.float64)
        if forced is None:
            return _Counts(np.zeros_like(all_present), np.zeros_like(all_present), all_present)
        taken = np.where(forced, present, 0.0).sum(axis=axis, dtype=np.float64)
        return _Counts(taken, forced.sum(axis=axis, dtype=np.float64), all_present)

    values = present.ravel()[places].astype(np.float64, copy=False)
    return _Entries(
        scores[order], values, places, proba.shape[1], counts(1), counts(0), known.any(axis=1)
    )


def _descending_order(scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the stable descending argsort of float32 or float64 numbers without nan.

    The bits of a float, read as an integer, are in the order of the floats once negative numbers
    are flipped. The upper bits of that integer and the place in the lower bits are sorted as one
    number. The lower bits of a float64 that had to make room are compared afterwards.
    """
    width = scores.dtype.itemsize * 8
    bits = (scores + scores.dtype.type(0)).view(f"u{width // 8}")  # + 0: -0 equals 0
    negative = bits.dtype.type(1 << (width - 1))
    descending = ~(bits | negative)
    np.copyto(descending, bits, where=scores < 0)
    n_low, low = _place_bits(len(scores))
    keys = descending.astype(np.uint64, copy=False)
    keys <<= np.uint64(64 - width)
    keys &= ~low
    _write_places(keys)
    order: NDArray[np.int64] = (keys & low).view(np.int64)
    if width + n_low <= 64:
        return order
    found = scores[order]
    rising = np.flatnonzero(found[1:] > found[:-1])
    if len(rising):
        run = np.concatenate([[0], np.cumsum((keys[1:] ^ keys[:-1]) > low)])
        wrong = np.zeros(run[-1] + 1, dtype=bool)
        wrong[run[rising]] = True
        again = np.flatnonzero(wrong[run])
        order[again] = order[again][np.lexsort((order[again], -found[again], run[again]))]
    return order


def _write_places(keys: NDArray[np.uint64]) -> None:
    """Write their places into the empty low bits of the keys and sort them, in place."""
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()


def _place_bits(n: int) -> tuple[np.uint64, np.uint64]:
    """Return how many low bits a place among n takes, and the mask of these bits."""
    n_low = max(n - 1, 1).bit_length()
    return np.uint64(n_low), np.uint64((1 << n_low) - 1)


def _micro_curve(measure: str, entries: _Entries) -> Floats:
    hits, predicted, present = entries.per_class.total()
    hit_curve = hits + np.concatenate([[0.0], np.cumsum(entries.values)])
    predicted_curve = predicted + np.arange(len(entries.values) + 1)
    return set_score(measure, hit_curve, predicted_curve, present, empty=0.0)


def _macro_curve(measure: str, entries: _Entries) -> Floats:
    groups = _by_class(entries)
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
    groups = _grouped(entries, entries.places // entries.n_classes, entries.per_row)
    start = groups.before_first(measure, empty=1.0) * entries.rows_known
    total = _running_total(measure, groups, start, empty=1.0)
    return total / max(int(entries.rows_known.sum()), 1)


@dataclass(frozen=True)
class _Groups:
    """The entries again, put together by class (or row), still descending inside each."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    descending: NDArray[np.floating[Any]]
    members: NDArray[np.int64]
    hits: Floats
    predicted: Floats
    counts: _Counts

    @cached_property
    def scores(self) -> NDArray[np.floating[Any]]:
        scores: NDArray[np.floating[Any]] = self.descending[self.order]
        return scores

    def before_first(self, measure: str, *, empty: float) -> Floats:
        counts = self.counts
        return set_score(measure, counts.hits, counts.predicted, counts.present, empty=empty)

    def after_each(self, measure: str, *, empty: float) -> Floats:
        present = self.counts.present[self.members]
        return set_score(measure, self.hits, self.predicted, present, empty=empty)


def _by_class(entries: _Entries) -> _Groups:
    return _grouped(entries, entries.places % entries.n_classes, entries.per_class)


def _grouped(entries: _Entries, members: NDArray[np.int64], counts: _Counts) -> _Groups:
    n_low, low = _place_bits(len(members))
    keys = members.astype(np.uint64) << n_low
    _write_places(keys)
    order = (keys & low).view(np.int64)
    members = (keys >> n_low).view(np.int64)
    sizes = np.bincount(members, minlength=len(counts.present))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    values = entries.values[order]
    running = np.cumsum(values)
    # What was counted before a group's first entry is not the group's.
    before = np.concatenate([[0.0], running])[starts[:-1]]
    hits = running - np.repeat(before, sizes)
    predicted = np.arange(1.0, len(members) + 1) - np.repeat(starts[:-1], sizes)
    if counts.predicted.any():
        hits += np.repeat(counts.hits, sizes)
        predicted += np.repeat(counts.predicted, sizes)
    return _Groups(order, starts, entries.scores, members, hits, predicted, counts)


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
