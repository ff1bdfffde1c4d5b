"""Search over options for the best decisions on your data (`eo.tune_hyperparameters`).

In: inputs and Labels, and the metric that counts. Out: a `SearchResult` with the very model that
was measured. Optuna proposes and drops candidates; everything that is scored is scored by what
the statements say about rows that the candidate was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from eitheror.comparison.data import Data, as_inputs
from eitheror.labels import Labels
from eitheror.search.parts import deal_parts, deal_rungs, split_valid
from eitheror.search.result import SearchResult, Trial
from eitheror.search.run import Dealt, Limits, load_optuna, run_search
from eitheror.search.score import Judge, checked_metric
from eitheror.search.space import Space, losses_for
from eitheror.training import TrainOptions
from eitheror.training.checks import (
    check_lengths,
    check_sample_weight,
    check_speaking,
    check_targets,
    check_valid,
)
from eitheror.training.folds import content_keys, deal_folds
from eitheror.training.priors import mean_tags

__all__ = ["SearchResult", "Trial", "tune_hyperparameters"]

_N_TRIALS = 30


def tune_hyperparameters(
    inputs: Any,
    labels: Any,
    *,
    metric: str | None = None,
    budget: float | None = None,
    n_trials: int | None = None,
    valid: tuple[Any, Any] | None = None,
    validation: float = 0.2,
    random_state: int = 0,
    n_jobs: int = 1,
    options: TrainOptions | None = None,
    sample_weight: ArrayLike | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> SearchResult:
    """Search features, loss, regularisation and decision rule for one metric.

    The first trial is always the defaults. Candidates are trained on a part of the training rows
    first, and only the best third of them on more (successive halving). Each finished one gets
    the decision rule that earns most on the selection rows, across folds; the best of them is
    returned as it is, without another fit, with its score on check rows that no trial saw. The
    defaults are kept where it is not ahead of them by a standard error of the difference.

    Parameters
    ----------
    inputs : sequence of str, or array of shape (n_samples, ...)
        Texts, or numbers; images are read as rows of numbers.
    labels : Labels, or what `Labels` accepts
    metric : str, optional
        One true class: ``"accuracy"`` (the default), estimated from the statements as `compare`
        does, or ``"log_loss"``. Tags: a score of `decide.METRICS`, by default ``"f1_micro"``.
    budget : float, optional
        Seconds. No trial is begun that is expected to go beyond, and one that does is given up;
        the first always ends.
    n_trials : int, optional
        Trials at most; default 30, or without limit where `budget` is given.
    valid : (inputs, labels), optional
        Held-out rows: two thirds to choose by, one third to check. All `inputs` are then trained
        on.
    validation : float, default 0.2
        Without `valid`, the share of the rows held out, in the same proportions.
    random_state : int, default 0
        Seed of the parts, the proposals and the models.
    n_jobs : int, default 1
        Threads of a fit; the result does not depend on it.
    options : TrainOptions, optional
        Fields that are given are fixed and not searched.
    sample_weight : array of shape (n_samples,), optional
        For training; scores count each row once.
    progress : callable, optional
        Called with a dict when a fit begins (``event`` "fit", ``trial``, ``rows``) and when a
        trial has ended ("trial", ``trial``, ``state``, ``score``, ``best``, ``seconds``); both
        with ``seconds_left``, None where nothing limits the search yet.

    Returns
    -------
    SearchResult
        Same data, seed and number of trials: same trials and same model, whatever the clock said.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError
        Labels that say nothing, an unknown metric, too few rows to hold any out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(m, 1, (80, 2)) for m in ([0, 0], [3, 0], [0, 3])])
    >>> truth = np.repeat(["a", "b", "c"], 80)
    >>> found = tune_hyperparameters(X, truth, n_trials=3)
    >>> found.trials[0].state, found.n_trials, found.model.classes
    ('finished', 3, ['a', 'b', 'c'])

    References
    ----------
    K. Jamieson, A. Talwalkar (2016), "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization". L. Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning".
    J. Bergstra et al. (2011), "Algorithms for Hyper-Parameter Optimization" (TPE).
    """
    load_optuna()
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    rows = Data(as_inputs(inputs), labels)
    check_lengths(rows.inputs, labels)
    check_targets(labels, labels.sparse(), "ova")  # which reads every statement
    weight = check_sample_weight(sample_weight, len(labels), np.float64)
    check_speaking(labels.sparse(), weight)
    rows = replace(rows, weight=None if sample_weight is None else weight)
    limits = _limits(budget, n_trials)
    metric = checked_metric(metric, labels.task)
    given = _given(options, random_state)
    rng = np.random.default_rng(random_state)
    dealt = _dealt(rows, valid, validation, rng)
    text = isinstance(rows.inputs, list)
    space = Space(
        given,
        labels.task,
        text,
        len(dealt.train.labels),
        losses_for(dealt.train.labels, text=text),
        balance=metric.endswith("macro"),
        n_tags=_mean_tags(dealt.train),
    )
    keys = content_keys(dealt.selection.inputs)
    folds = deal_folds(dealt.selection.labels, min(3, len(np.unique(keys))), keys=keys, rng=rng)
    judge = Judge(metric, dealt.selection.labels, folds, random_state, keys)
    return run_search(
        dealt, space, judge, limits, n_jobs=n_jobs, seed=random_state, progress=progress
    )


def _mean_tags(rows: Data) -> float:
    weight = np.ones(len(rows.labels)) if rows.weight is None else rows.weight
    return mean_tags(rows.labels.sparse(), weight.astype(np.float32))


def _limits(budget: float | None, n_trials: int | None) -> Limits:
    if budget is not None and not budget > 0:
        raise ValueError(f"budget={budget!r}; expected seconds above 0")
    if n_trials is not None and (
        isinstance(n_trials, bool) or n_trials != int(n_trials) or n_trials < 1
    ):
        raise ValueError(f"n_trials={n_trials!r}; expected a whole number from 1 up")
    return Limits(budget, _N_TRIALS if budget is None and n_trials is None else n_trials)


def _given(options: TrainOptions | None, seed: int) -> TrainOptions:
    given = options or TrainOptions()
    if given.hogwild:
        raise ValueError("hogwild gives another model each time; a search that repeats needs none")
    if given.optimizer == "newton":
        raise ValueError(
            "optimizer='newton' goes to the optimum and chooses its penalty itself, and a search "
            "tries learning rates and passes: leave one of them out"
        )
    return given if given.seed != TrainOptions.seed else replace(given, seed=seed)


def _dealt(
    rows: Data, valid: tuple[Any, Any] | None, validation: float, rng: np.random.Generator
) -> Dealt:
    """Deal the rows into the three parts, and the training rows into rungs."""
    if valid is None:
        held_out = rows
        parts = deal_parts(rows.labels, content_keys(rows.inputs), validation, rng)
    else:
        held_out = _valid_rows(valid, rows)
        keys = content_keys(held_out.inputs)
        parts = split_valid(len(rows.labels), held_out.labels, keys, rng)
    train = rows.take(parts.train) if valid is None else rows
    rungs = deal_rungs(train.labels, content_keys(train.inputs), rng)
    return Dealt(train, held_out.take(parts.selection), held_out.take(parts.check), rungs, parts)


def _valid_rows(valid: tuple[Any, Any], rows: Data) -> Data:
    inputs, labels = valid
    labels = labels if isinstance(labels, Labels) else Labels(labels, task=rows.labels.task)
    inputs = as_inputs(inputs)
    if isinstance(inputs, list) != isinstance(rows.inputs, list):
        raise ValueError("validation inputs and training inputs differ: texts and numbers")
    return Data(*check_valid((inputs, labels), rows.labels, "ova"))
