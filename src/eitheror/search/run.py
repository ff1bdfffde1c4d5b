"""The search itself: propose, train on growing parts of the rows, drop, keep the best.

In: the rows by part, the `Space`, the `Judge`. Out: a `SearchResult`. Optuna is asked for options
and told merits, one trial at a time, so nothing depends on the clock but the moment at which the
search ends; a trial that the budget cuts short is left out of what can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison.data import Data
from eitheror.metrics.intervals import Z
from eitheror.model import Model
from eitheror.search.parts import REDUCTION, Parts
from eitheror.search.result import SearchResult, Trial
from eitheror.search.score import Chosen, Judge, Scored, score_of
from eitheror.search.space import Space
from eitheror.training import TrainOptions, fit
from eitheror.training.folds import content_keys

__all__ = ["Dealt", "Limits", "load_optuna", "run_search"]

Progress = Callable[[dict[str, Any]], None]

_RANDOM_FIRST = 8  # trials before proposals follow what was found
_REPEATS = 20  # proposals in a row that are known already: the space is used up


@dataclass(frozen=True)
class Dealt:
    """The rows of each part.

    Attributes
    ----------
    train, selection, check : Data
    rungs : list of int64 arrays
        Growing parts of the training rows; the last is all.
    parts : Parts
        Where the rows came from.
    """

    train: Data
    selection: Data
    check: Data
    rungs: list[NDArray[np.int64]]
    parts: Parts


@dataclass(frozen=True)
class Limits:
    """When a search ends: so many seconds, so many trials; None is no limit."""

    seconds: float | None
    n_trials: int | None


class _OutOfTimeError(Exception):
    """The budget ended during a trial."""


@dataclass
class _Ended:
    """How a trial ended, and what is kept of it."""

    state: str
    rows: int
    score: float | None = None
    chosen: Chosen | None = None
    model: Model | None = None
    note: str | None = None

    def row(self, number: int, options: TrainOptions, seconds: float) -> Trial:
        """Return what the table says."""
        chosen = self.chosen
        return Trial(
            number,
            options,
            self.state,
            self.rows,
            self.score if chosen is None else chosen.scored.score,
            None if chosen is None else chosen.scored.interval,
            None if chosen is None else chosen.describe(),
            round(seconds, 3),
            self.note,
        )


def run_search(
    dealt: Dealt,
    space: Space,
    judge: Judge,
    limits: Limits,
    *,
    n_jobs: int,
    seed: int,
    progress: Progress | None,
) -> SearchResult:
    """Run trials until a limit is reached, and score the best on the check rows.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError
        If the defaults cannot be trained.
    """
    with _quiet_optuna() as optuna:
        search = _Search(dealt, space, judge, limits, n_jobs, progress, _study(optuna, seed, space))
        search.run()
    return search.result()


def load_optuna() -> Any:
    """Import Optuna; ImportError says how to install it."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "eitheror.tune_hyperparameters needs Optuna, which is not installed: "
            "pip install 'eitheror[tune]'"
        ) from error
    return optuna


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Keep Optuna from telling about each step."""
    optuna = load_optuna()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(level)


def _study(optuna: Any, seed: int, space: Space) -> Any:
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION),
    )
    for start in space.starts():
        study.enqueue_trial(start)
    return study


@dataclass
class _Search:
    """One search under way."""

    dealt: Dealt
    space: Space
    judge: Judge
    limits: Limits
    n_jobs: int
    progress: Progress | None
    study: Any
    start: float = field(default_factory=time.monotonic)
    trials: list[Trial] = field(default_factory=list)
    best: tuple[int, _Ended] | None = None
    first: _Ended | None = None  # the defaults
    default: Scored | None = None  # their score on the check rows
    first_fits: list[float] = field(default_factory=list)  # seconds, of the lowest rung
    known: dict[tuple[str, int], _Ended] = field(default_factory=dict)

    def run(self) -> None:
        """Run trials until a limit is reached or nothing new is proposed."""
        repeats = 0
        while repeats < _REPEATS and self._another():
            asked = self.study.ask()
            options = self.space.suggest(asked)
            new = (repr(options), 0) not in self.known
            repeats = 0 if new else repeats + 1
            if not self._one(asked, options):
                return

    def result(self) -> SearchResult:
        """Score the chosen trial on the check rows."""
        assert self.default is not None
        number, ended = self._choice()
        assert ended.model is not None
        assert ended.chosen is not None
        final = self._on_check(ended.model)
        gain, gain_interval = (0.0, None) if number == 0 else final.ahead_of(self.default)
        parts = self.dealt.parts
        return SearchResult(
            model=ended.model,
            metric=self.judge.metric,
            score=final.score,
            interval=final.interval,
            selection_score=ended.chosen.scored.score,
            selection_interval=ended.chosen.scored.interval,
            default_score=self.default.score,
            gain=gain,
            gain_interval=gain_interval,
            best=number,
            trials=self.trials,
            n_trials=sum(trial.state != "out of time" for trial in self.trials),
            rows={"train": parts.train, "selection": parts.selection, "check": parts.check},
            seconds=round(self._spent(), 3),
        )

    def _choice(self) -> tuple[int, _Ended]:
        """Return the best trial; the defaults, unless it is ahead of them by a standard error.

        Many candidates come out ahead of the defaults on few rows by luck, and the luckiest would
        be taken.
        """
        assert self.best is not None
        assert self.first is not None
        chosen, default = self.best[1].chosen, self.first.chosen
        assert chosen is not None
        assert default is not None
        if not np.isfinite(default.scored.score):  # a log loss: a statement that was ruled out
            return self.best
        ahead, interval = chosen.scored.ahead_of(default.scored)
        error = np.inf if interval is None else (interval[1] - interval[0]) / (2 * Z)
        return self.best if ahead > error else (0, self.first)

    def _one(self, asked: Any, options: TrainOptions) -> bool:
        """Run one trial; False if the time is up."""
        number, began = len(self.trials), time.monotonic()
        try:
            ended = self._climb(asked, number, options)
        except _OutOfTimeError:
            ended = _Ended("out of time", len(self.dealt.train.labels))
        except ValueError as error:  # diverged, or more weights than memory
            if number == 0:
                raise
            ended = _Ended("failed", len(self.dealt.train.labels), note=str(error))
        self._tell(asked, ended)
        self.trials.append(ended.row(number, options, time.monotonic() - began))
        if number == 0:
            assert ended.model is not None
            self.first, self.default = ended, self._on_check(ended.model)
        self._keep(number, ended)
        self._report_trial()
        return ended.state != "out of time"

    def _climb(self, asked: Any, number: int, options: TrainOptions) -> _Ended:
        """Train on one rung after the other while the trial is among the best third."""
        top, seconds = len(self.dealt.rungs) - 1, 0.0
        for rung, rows in enumerate(self.dealt.rungs):
            if rung and number:
                self._check_time(seconds * len(rows) / len(self.dealt.rungs[rung - 1]))
            began = time.monotonic()
            ended = self._fitted(number, options, rung)
            seconds = time.monotonic() - began
            if rung == top:
                return ended
            assert ended.score is not None
            asked.report(self.judge.merit(ended.score), REDUCTION**rung)
            if number and asked.should_prune():
                return replace(ended, state="stopped")
        raise AssertionError("a search has at least one rung")

    def _fitted(self, number: int, options: TrainOptions, rung: int) -> _Ended:
        """Train and score on one rung, or find what the same options did there before."""
        key = (repr(options), rung)
        if key in self.known:
            return self.known[key]
        began, rows = time.monotonic(), self.dealt.rungs[rung]
        train = (
            self.dealt.train if rung == len(self.dealt.rungs) - 1 else self.dealt.train.take(rows)
        )
        self._report({"event": "fit", "trial": number, "rows": len(rows)})
        model = fit(
            train.inputs,
            train.labels,
            self.space.at(options, len(rows)),
            sample_weight=train.weight,
            n_jobs=self.n_jobs,
            progress=None if number == 0 else self._watch,
        )
        proba = model.predict_proba(self.dealt.selection.inputs, self.n_jobs)
        if rung < len(self.dealt.rungs) - 1:
            ended = _Ended("stopped", len(rows), self.judge.quick(proba))
        else:
            chosen = self.judge.choose(proba)
            chosen.store_in(model)
            ended = _Ended("finished", len(rows), chosen.scored.score, chosen, model)
        if rung == 0:
            self.first_fits.append(time.monotonic() - began)
        # the same options again are never better, so their model is not needed
        self.known[key] = replace(ended, model=None)
        return ended

    def _tell(self, asked: Any, ended: _Ended) -> None:
        from optuna.trial import TrialState

        if ended.state == "finished":
            assert ended.score is not None
            self.study.tell(asked, self.judge.merit(ended.score))
        else:
            state = TrialState.PRUNED if ended.state == "stopped" else TrialState.FAIL
            self.study.tell(asked, state=state)

    def _keep(self, number: int, ended: _Ended) -> None:
        if ended.state != "finished" or ended.model is None:
            return
        assert ended.score is not None
        merit = self.judge.merit(ended.score)
        if self.best is None or merit > self.judge.merit(self.best[1].score or 0.0):
            self.best = (number, ended)

    def _on_check(self, model: Model) -> Scored:
        judge, check = self.judge, self.dealt.check
        proba = model.predict_proba(check.inputs, self.n_jobs)
        keys = content_keys(check.inputs)
        return score_of(judge.metric, check.labels, proba, model.rule(), judge.seed, keys)

    def _another(self) -> bool:
        if not self.trials:
            return True
        if self.limits.n_trials is not None and len(self.trials) >= self.limits.n_trials:
            return False
        left = self._left()
        # the first fit of all also compiled, so it is not counted where there are others
        usual = float(np.median(self.first_fits[1:] or self.first_fits))
        return left is None or usual <= left

    def _watch(self, event: dict[str, Any]) -> None:
        self._check_time(0.0)

    def _check_time(self, needed: float) -> None:
        left = self._left()
        if left is not None and needed > left:
            raise _OutOfTimeError

    def _spent(self) -> float:
        return time.monotonic() - self.start

    def _left(self) -> float | None:
        return None if self.limits.seconds is None else self.limits.seconds - self._spent()

    def _report_trial(self) -> None:
        last = self.trials[-1]
        best = None if self.best is None else self.best[1].score
        self._report(
            {
                "event": "trial",
                "trial": last.number,
                "state": last.state,
                "score": last.score,
                "best": best,
                "seconds": last.seconds,
            }
        )

    def _report(self, event: dict[str, Any]) -> None:
        if self.progress is None:
            return
        guesses = [] if (left := self._left()) is None else [max(left, 0.0)]
        done, n_trials = len(self.trials), self.limits.n_trials
        if n_trials is not None and done:
            guesses.append(self._spent() / done * (n_trials - done))
        self.progress({**event, "n_trials": n_trials, "seconds_left": min(guesses, default=None)})
