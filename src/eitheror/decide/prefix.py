"""What the expected-score rules share: calibrate, score prefixes, choose the best one.

The expectation takes tags as independent. Tags of real rows are not, and the sets come out too
small or too large. One number, a shift of all log-odds, repairs part of that; `fit` tunes it for
the score itself.

A few rows are decided in NumPy from the expectations of all prefixes; many rows by a kernel that
scores only the prefixes that can be the best.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._quadrature import ladder
from eitheror.decide._targets import checked_proba, tag_targets
from eitheror.decide.calibration import Calibration
from eitheror.decide.rules import Rule
from eitheror.decide.scoring import samples_scores

__all__ = ["PrefixRule", "checked_marginals", "descending"]

Chooser = Callable[[NDArray[np.float64]], NDArray[np.bool_]]

_TIE = 1e-12
_ROUNDING = 1e-5  # above 1; a float32 softmax summed over some classes
_LARGEST_SHIFT = 100.0  # exp of it is far from overflow, and no marginal resists it
_SHIFTS = [round(0.1 * step, 1) for step in range(-10, 11)]
_BLOCK = 2**18  # entries that a thread takes at once
_SMALL = 100_000  # entries below which starting Numba costs more than NumPy


def checked_marginals(proba: Any, name: str) -> NDArray[np.floating[Any]]:
    """Return `proba` as a 2-D float array of numbers from 0 to 1, or say what is wrong with it.

    A sum of shares that should be 1 may be a little more by rounding; it becomes 1.
    """
    proba = checked_proba(proba)
    outside = (proba < 0) | (proba > 1 + _ROUNDING)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(
            f"{name} needs probabilities between 0 and 1; row {row}, column {column} is "
            f"{proba[row, column]:.9g}. For logits write 1 / (1 + exp(-z)) of them"
        )
    return np.minimum(proba, proba.dtype.type(1)) if (proba > 1).any() else np.asarray(proba)


def descending(proba: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return each row in descending order, as float64."""
    return -np.sort(-proba.astype(np.float64), axis=1)


class PrefixRule(Rule):
    """Choose, for each row, the number of most probable tags with the highest expected score.

    A subclass gives `name` (the word in the config), `measure` (in words), `score_word` (as in
    `eitheror.decide.METRICS`) and `scores`.
    """

    name: str
    measure: str
    score_word: str

    def __init__(self, *, at_least_one: bool = False, shift: float | None = None) -> None:
        if shift is not None and not -_LARGEST_SHIFT <= shift <= _LARGEST_SHIFT:
            raise ValueError(
                f"shift={shift!r:.40}: write a finite number from -100 to 100, or None to let fit "
                "tune it"
            )
        self.at_least_one = bool(at_least_one)
        self.shift = None if shift is None else float(shift)
        self.shift_ = self.shift or 0.0
        self.calibration_: Calibration | None = None

    @staticmethod
    @abstractmethod
    def scores(proba: Any) -> NDArray[np.float64]:
        """Return the expected score of the k most probable tags, (n_samples, n_classes + 1)."""

    def fit(self, labels: Any, proba: Any) -> Self:
        """Calibrate the marginals, then tune the shift unless it was given.

        The shift is the one of -1, -.9 .. 1 whose sets score best on these rows, if it beats no
        shift by more than one standard error of the difference; else 0.

        Parameters
        ----------
        labels : Labels, SparseTargets or array of shape (n_samples, n_classes)
            Tags; unknown entries are left out, fractions count as parts of a tag.
        proba : array of shape (n_samples, n_classes)
            Probabilities of a model that has not been trained on these rows.
        """
        proba = checked_marginals(proba, type(self).__name__)
        self.calibration_ = Calibration().fit(labels, proba)
        if self.shift is None:
            self.shift_ = self._best_shift(tag_targets(labels, proba), proba)
        return self

    def _best_shift(
        self, targets: NDArray[np.floating[Any]], proba: NDArray[np.floating[Any]]
    ) -> float:
        rows = max(1, _BLOCK // proba.shape[1])
        choose = self._chooser(proba.shape)
        scores: list[NDArray[np.float64]] = []
        for start in range(0, len(proba), rows):
            truth = targets[start : start + rows]
            marginals = self._marginals(proba[start : start + rows], 0.0)
            chosen = (choose(_shifted(marginals, shift)) for shift in _SHIFTS)
            scores.append(samples_scores(self.score_word, truth, chosen))
        gains = np.concatenate(scores, axis=1)
        gains -= gains[_SHIFTS.index(0.0)]
        best = int(gains.mean(axis=1).argmax())
        noise = gains[best].std() / np.sqrt(max(gains.shape[1], 1))
        return _SHIFTS[best] if gains[best].mean() > noise else 0.0

    def predict(self, proba: Any, n_jobs: int = 1) -> NDArray[np.bool_]:
        """Return the best set of each row.

        Sizes whose expectations differ by less than 1e-12 are equals, of which the smallest is
        chosen; tags that are equally probable enter in the order of the classes.

        Parameters
        ----------
        proba : array of shape (n_samples, n_classes)
            Probabilities between 0 and 1.
        n_jobs : int, default 1
            Threads; -1 is all cores. The result does not depend on it.

        Returns
        -------
        bool array of shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            If a number is no probability, or the rule was calibrated for other classes.
        """
        from eitheror.text.chunks import in_threads, n_threads

        proba = checked_marginals(proba, type(self).__name__)
        threads = n_threads(n_jobs)
        chosen = np.empty(proba.shape, dtype=bool)
        choose = self._chooser(proba.shape)

        def work(block: slice) -> None:
            chosen[block] = choose(self._marginals(proba[block], self.shift_))

        rows = max(1, _BLOCK // proba.shape[1])
        in_threads(work, [slice(i, i + rows) for i in range(0, len(proba), rows)], threads)
        return chosen

    def _marginals(self, proba: NDArray[np.floating[Any]], shift: float) -> NDArray[np.float64]:
        if self.calibration_ is not None:
            proba = self.calibration_.transform(proba)
        return _shifted(proba.astype(np.float64, copy=False), shift)

    def _chooser(self, shape: tuple[int, ...]) -> Chooser:
        """Return what chooses the sets of rows of marginals; compiled if there are many entries."""
        n_samples, n_classes = shape
        if n_samples * n_classes <= _SMALL:
            return self._choose_plain
        from eitheror._kernels import prefix

        measure = prefix.JACCARD if self.score_word == "jaccard" else prefix.F1
        fewest, rules = int(self.at_least_one), ladder(2 * n_classes)

        def choose(proba: NDArray[np.float64]) -> NDArray[np.bool_]:
            chosen = np.zeros(proba.shape, dtype=bool)
            proba = np.ascontiguousarray(proba)
            prefix.choose_prefixes(proba, measure, fewest, _TIE, *rules, chosen)
            return chosen

        return choose

    def _choose_plain(self, proba: NDArray[np.float64]) -> NDArray[np.bool_]:
        scores = self.scores(proba)[:, int(self.at_least_one) :]
        near = scores >= scores.max(axis=1, keepdims=True) - _TIE
        sizes = near.argmax(axis=1) + int(self.at_least_one)
        order = np.argsort(-proba, axis=1, kind="stable")
        chosen = np.zeros(proba.shape, dtype=bool)
        np.put_along_axis(chosen, order, np.arange(proba.shape[1]) < sizes[:, None], axis=1)
        return chosen

    def to_config(self) -> dict[str, Any]:
        """Return the rule's word, options and calibration."""
        calibration = self.calibration_
        return {
            "rule": self.name,
            "at_least_one": self.at_least_one,
            "shift": self.shift_,
            "calibration": None if calibration is None else calibration.to_config(),
        }

    def describe(self) -> str:
        """Return the rule in words."""
        kind = "the set" if not self.at_least_one else "the set of at least one class"
        raised = f", log-odds shifted by {self.shift_:+.4g}" if self.shift_ else ""
        return f"{kind} with the highest expected {self.measure}{raised}"

    def __repr__(self) -> str:
        given = ["at_least_one=True"] * self.at_least_one
        given += [f"shift={self.shift!r}"] * (self.shift is not None)
        return f"{type(self).__name__}({', '.join(given)})"


def _shifted(proba: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Return sigmoid(logit(p) + shift), with 0 and 1 kept."""
    if shift == 0:
        return proba
    raised: NDArray[np.float64] = proba * np.exp(shift)
    return raised / (1 - proba + raised)
