"""`SearchResult`: the model that was chosen, every trial, and what the choice is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.model import Model
from eitheror.training import TrainOptions

__all__ = ["SearchResult", "Trial"]

Interval = tuple[float, float]
_SHOWN = 5
# Told in the table only where they differ from the defaults' trial.
_COLUMNS = (
    "features",
    "loss",
    "word_ngrams",
    "char_ngrams",
    "min_count",
    "ngram_min_count",
    "dim",
    "epochs",
    "lr",
    "l2",
    "class_weight",
)


@dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes
    ----------
    number : int
        From 0, the defaults.
    options : TrainOptions
        With everything filled in.
    state : str
        "finished": trained on all training rows. "stopped": behind the others on a part of the
        rows. "failed": could not be trained. "out of time": ended by the budget.
    rows : int
        Training rows of its last fit.
    score : float or None
        On the selection rows, after the last fit; of a finished one with the best decision rule,
        across folds.
    interval : (float, float) or None
        95 %, of a finished one.
    decision : str or None
        The rule in words.
    seconds : float
    note : str or None
        Why it failed.
    """

    number: int
    options: TrainOptions
    state: str
    rows: int
    score: float | None
    interval: Interval | None
    decision: str | None
    seconds: float
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the trial as a dict that JSON can hold."""
        return asdict(self) | {"options": self.options.to_dict()}


@dataclass(frozen=True)
class SearchResult:
    """What came out of `tune_hyperparameters`.

    Attributes
    ----------
    model : Model
        The chosen one, as it was measured: with its decision rule and calibration.
    metric : str
    score : float
        Of `model` on the check rows, which no trial saw: the number to report.
    interval : (float, float) or None
        Its 95 % interval.
    selection_score : float
        On the selection rows, the best of many and thereby flattered.
    selection_interval : (float, float) or None
    default_score : float
        Of the default options on the check rows.
    gain : float
        How much better than the defaults the chosen model is there (0 if it is the defaults).
    gain_interval : (float, float) or None
        95 %, from the same rows.
    best : int
        Number of the chosen trial: the one with the best selection score, or the defaults where
        that is ahead of them by less than the standard error of the difference.
    trials : list of Trial
    n_trials : int
        Trials that came to an end: give it as ``n_trials=`` for the same search without a clock.
    rows : dict of str to int64 array
        Row numbers of the parts "train", "selection" and "check"; the latter two count `valid`
        where it was given.
    seconds : float
    """

    model: Model
    metric: str
    score: float
    interval: Interval | None
    selection_score: float
    selection_interval: Interval | None
    default_score: float
    gain: float
    gain_interval: Interval | None
    best: int
    trials: list[Trial]
    n_trials: int
    rows: Mapping[str, NDArray[np.int64]]
    seconds: float

    @property
    def optimism(self) -> float:
        """How much the selection score flatters: the better of the two less the honest one."""
        difference = self.selection_score - self.score
        return -difference if self.metric == "log_loss" else difference

    @property
    def chosen(self) -> Trial:
        """The trial of `model`."""
        return self.trials[self.best]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the model as a dict that JSON can hold."""
        found = {name: value for name, value in vars(self).items() if name != "model"}
        return found | {
            "optimism": self.optimism,
            "decision": self.chosen.decision,
            "options": self.chosen.options.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
            "rows": {part: len(rows) for part, rows in self.rows.items()},
        }

    def __str__(self) -> str:
        return "\n".join([*self._table(), "", *self._verdict()])

    def ranked(self) -> list[Trial]:
        """Return the finished trials, best first."""
        done = [trial for trial in self.trials if trial.state == "finished"]
        sign = 1 if self.metric == "log_loss" else -1
        return sorted(done, key=lambda trial: (sign * (trial.score or 0.0), trial.number))

    def _table(self) -> list[str]:
        ranked = self.ranked()
        shown = ranked[:_SHOWN]
        if all(trial.number != 0 for trial in shown):
            shown += [trial for trial in ranked if trial.number == 0]
        lines = [f"{'trial':>5} {self.metric + ' (selection)':>28} {'seconds':>8}  options"]
        for trial in shown:
            lines.append(
                f"{trial.number:>5} {_with(trial.score, trial.interval):>28} {trial.seconds:8.1f}  "
                f"{'defaults: ' if trial.number == 0 else ''}{_told(trial.options)}"
            )
        return lines

    def _verdict(self) -> list[str]:
        check, selection = (f"{len(self.rows[part]):,}" for part in ("check", "selection"))
        states = {state: 0 for state in ("finished", "stopped", "failed", "out of time")}
        for trial in self.trials:
            states[trial.state] += 1
        counts = ", ".join(f"{n} {state}" for state, n in states.items() if n)
        lines = [
            f"{len(self.trials)} trial{'' if len(self.trials) == 1 else 's'}: {counts}",
            f"decision: {self.chosen.decision}",
            f"{self.metric} on {check} rows that no trial saw: {_with(self.score, self.interval)}",
            f"on the {selection} rows it was chosen by: {self.selection_score:.3f} "
            f"(optimism {self.optimism:+.3f})",
        ]
        return [*lines, self._gain()]

    def _gain(self) -> str:
        """Say what the search was worth, on rows that no trial saw."""
        first = self.ranked()[0].number
        if self.best == first == 0:
            return "the defaults were not beaten"
        if self.best == 0:
            return (
                f"the defaults are kept: trial {first} is ahead of them by less than the standard "
                "error of the difference"
            )
        low, high = self.gain_interval or (-np.inf, np.inf)
        told = ": cannot be told from the defaults" if low <= 0 <= high else ""
        return (
            f"gain over the defaults ({self.default_score:.3f}) there: "
            f"{_with(self.gain, self.gain_interval, sign='+')}{told}"
        )


def _told(options: TrainOptions) -> str:
    said = options.to_dict()
    return " ".join(f"{name}={_word(said[name])}" for name in _COLUMNS if name in said)


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _with(value: float | None, interval: Interval | None, sign: str = "") -> str:
    if value is None:
        return ""
    if interval is None:
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} ({interval[0]:{sign}.3f}, {interval[1]:{sign}.3f})"
