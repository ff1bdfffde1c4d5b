"""Decided tags under a score: the number, its interval, and the difference from other decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Threshold, score_decision
from eitheror.labels import Labels
from eitheror.metrics import evaluate, paired_difference

__all__ = ["DecidedTags"]


class DecidedTags:
    """Decisions about tags and their score over the known entries.

    Parameters
    ----------
    metric : str
        One of `decide.METRICS`.
    values : float array of shape (n_samples, n_classes)
        1 present, 0 absent, a part of a tag between; nan unknown.
    decided : bool array of shape (n_samples, n_classes)
    classes : sequence of n_classes names
    seed : int
        Of the intervals of differences.

    Attributes
    ----------
    score : float
    interval : (float, float) or None
        95 %.

    Examples
    --------
    >>> values = np.array([[1.0, 0.0], [np.nan, np.nan]])
    >>> DecidedTags("accuracy", values, values == 0, ["a", "b"], 0).score
    0.0
    """

    def __init__(
        self,
        metric: str,
        values: NDArray[np.float64],
        decided: NDArray[np.bool_],
        classes: Sequence[Any],
        seed: int,
    ) -> None:
        self._metric, self._seed = metric, seed
        self.score = score_decision(metric, values, decided)
        known = ~np.isnan(values)
        # A row without a known entry is no row: its empty set would count as perfectly decided.
        rows = np.flatnonzero(known.any(axis=1))
        values, known, decided = values[rows], known[rows], decided[rows]
        # An unknown entry counts for nobody: absent, and not named.
        self._labels = Labels.from_indicator(np.where(known, values, 0.0), classes=classes)
        self._decided = (decided & known).astype(np.float32)
        found = evaluate(self._labels, self._decided, decision=Threshold(0.5))["metrics"][metric]
        self.interval = None if found["interval"] is None else tuple(found["interval"])

    def ahead_of(self, other: DecidedTags) -> tuple[float, tuple[float, float] | None]:
        """Return the difference of the scores on the same rows, and its 95 % interval."""
        half = Threshold(0.5)
        bounds = paired_difference(
            self._labels,
            self._decided,
            other._decided,
            self._metric,
            decision=half,
            other_decision=half,
            seed=self._seed,
        )
        return (bounds.lower + bounds.upper) / 2, bounds.interval
