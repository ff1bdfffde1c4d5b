"""Every sensible treatment of your labels, side by side on your data (`eo.compare`).

In: inputs and Labels. Out: a `Comparison`: a table with intervals and paired differences from
the same folds, and a verdict in words. Nothing but the statements themselves is used to score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.comparison.data import Data, as_inputs
from eitheror.comparison.run import run_folds
from eitheror.comparison.score import Difference, Row, score_outcomes
from eitheror.comparison.strategies import STRATEGIES, Fitted, Setting, Strategy, applicable
from eitheror.comparison.verdict import verdict_of
from eitheror.decide import METRICS
from eitheror.labels import Labels, suggest
from eitheror.training import TrainOptions
from eitheror.training.checks import check_sample_weight, n_rows
from eitheror.training.folds import content_keys, deal_folds

__all__ = [
    "STRATEGIES",
    "Comparison",
    "Data",
    "Difference",
    "Fitted",
    "Row",
    "Setting",
    "Strategy",
    "compare",
]


@dataclass(frozen=True)
class Comparison:
    """What came out of `compare`.

    Attributes
    ----------
    rows : list of Row
        One a strategy, best first.
    verdict : str
        The table in a few sentences, the answer first.
    best : list of str
        The best strategy and those that cannot be told from it.
    metric : str
        What `score` is.
    refused : dict
        Strategies that could not be tried or trained, and why.
    n : int
        Rows that say something and were scored.
    folds : int
        Folds that were run.
    folds_dealt : int
        Folds that the rows were dealt into; more than `folds` where the budget ended before.
    task : str
    kinds : dict
        Rows of each kind of statement.
    sentences : list of str
        Of the verdict.
    differences : list of Difference
        Those that the verdict quotes beside the table.
    counts : dict
        Numbers of rows and classes that the verdict quotes.
    notes : list of str
        What was left out, and why.
    """

    rows: list[Row]
    verdict: str
    best: list[str]
    metric: str
    refused: dict[str, str]
    n: int
    folds: int
    folds_dealt: int
    task: str
    kinds: dict[str, int]
    sentences: list[str]
    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a dict that JSON can hold."""
        found = {"strategies" if n == "rows" else n: v for n, v in vars(self).items()}
        for name in ("strategies", "differences"):
            found[name] = [asdict(row) for row in found[name]]
        return found

    def __str__(self) -> str:
        wide = max(len(row.name) for row in self.rows)
        lines = [
            f"{'strategy':{wide}} {self.metric:>20}   {'behind':>23} {'s/fold':>7} {'numbers':>11}"
        ]
        for row in self.rows:
            mark = "=" if row.level else " "
            lines.append(
                f"{row.name:{wide}} {_with(row.score, row.interval):>20} {mark} "
                f"{_with(row.behind, row.behind_interval):>23} {row.seconds:7.1f} "
                f"{row.n_parameters:11,}"
            )
        if self.task == "multilabel":
            lines += ["", f"{'strategy':{wide}} decided by"]
            lines += [f"{row.name:{wide}} {row.decision}" for row in self.rows]
        run = f"{self.folds} of {self.folds_dealt} folds, {self.n:,} rows scored"
        return "\n".join([*lines, "", f"{run}; = is level with the best", "", self.verdict])


def compare(
    inputs: Any,
    labels: Any,
    strategies: Sequence[str] | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    metric: str | None = None,
    folds: int = 5,
    budget: float | None = None,
    options: TrainOptions | None = None,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: Callable[[dict[str, Any]], None] | None = None,
    resume: str | Path | None = None,
) -> Comparison:
    """Try every sensible treatment of the labels on the same folds, and say which is best.

    All strategies train the built-in linear model on the same features with the same options; only
    the treatment of the labels differs. They are scored on held-out rows by what the
    statements say, never by a truth that the labels do not hold.

    Parameters
    ----------
    inputs : sequence of str, or array, DataFrame or sparse matrix of shape (n_samples, ...)
        Texts, or numbers; images of any shape and channels are read as rows of numbers.
    labels : Labels, or what `Labels` accepts
    strategies : sequence of str, optional
        Names from `STRATEGIES`; default all that make sense for these statements.
    sample_weight : array of shape (n_samples,), optional
        Weight 2 is the row twice. For one true class both in training and in the score; tags are
        trained with it and scored row by row, which `notes` then says.
    metric : str, optional
        What to rank by. One true class: ``"accuracy"``, estimated from the statements under the
        assumption that candidates are as likely for one wrong class as for another, given their
        number. Tags: a score of `decide.METRICS`, by default ``"f1_micro"``, over the known
        entries; which decision rule a strategy gets, and its thresholds, are told by the other
        folds.
    folds : int, default 5
    budget : float, optional
        Seconds. No fold is begun that would go beyond them. The first is always run; strategies
        not begun on it when the time is spent are left out, and `refused` says so.
    options : TrainOptions, optional
        For every model; the loss in it is replaced by each strategy's own.
    random_state : int, default 0
        Seed of the folds, of the models, and of the intervals of tags.
    n_jobs : int, default 1
    progress : callable, optional
        Called with a dict after each fit: ``event="fit"``, ``strategy``, ``fold``, ``folds``,
        ``done``, ``total``, ``seconds_left``; and with ``event="score"`` when all are done.
    resume : path, optional
        Folder in which finished fits are kept, and found again by a later call with the same
        data and options.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Labels that say nothing, an unknown name, too few rows, or no strategy can be trained.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror.labels import either
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(m, 1, (60, 2)) for m in ([0, 0], [3, 0], [0, 3])])
    >>> truth = np.repeat(["a", "b", "c"], 60)
    >>> data = [either("a", "b") if t != "c" and i % 2 else t for i, t in enumerate(truth)]
    >>> found = compare(X, data, ["likelihood", "uniform target"], folds=3)
    >>> sorted(row.name for row in found.rows), found.n
    (['likelihood', 'uniform target'], 180)
    """
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    inputs = as_inputs(inputs)
    n = n_rows(inputs)
    if n != len(labels):
        raise ValueError(f"{n} inputs and {len(labels)} labels; give one label a row")
    weight = None
    if sample_weight is not None:
        weight = check_sample_weight(sample_weight, n, np.float64)
    speaking = int(_speaks(labels, weight).sum())
    if speaking < folds or folds < 2:
        raise ValueError(
            f"{speaking} rows say something and folds={folds}; expected 2 folds or more and at "
            "least a row for each"
        )
    if budget is not None and not budget > 0:
        raise ValueError(f"budget={budget!r}; expected seconds above 0")
    metric = _checked_metric(metric, labels.task)
    if labels.task == "multilabel" and np.isnan(labels.sparse().dense(np.float64)).all():
        raise ValueError(
            "no row says of any tag that it applies or not, so nothing can be scored; expected "
            "some rows with known tags"
        )
    chosen, refused = applicable(labels)
    if strategies is not None:
        chosen = _named(strategies, chosen, refused)
    keys = content_keys(inputs)
    if (distinct := len(np.unique(keys))) < folds:
        raise ValueError(
            f"{distinct} different inputs among {n} rows and folds={folds}; rows with the same "
            "input share a fold, so expected an input for each: give fewer folds or more rows"
        )
    dealt = deal_folds(labels, folds, keys=keys, rng=np.random.default_rng(random_state))
    data = Data(inputs, labels, weight, keys)
    outcomes, finished, left_out = run_folds(
        chosen,
        Setting(options or TrainOptions(), n_jobs, random_state),
        data,
        dealt,
        budget=budget,
        progress=progress,
        store=None if resume is None else Path(resume),
    )
    refused |= left_out
    if progress is not None:
        progress({"event": "score"})
    rows, gap = score_outcomes(outcomes, data, dealt, metric, random_state)
    verdict = verdict_of(rows, labels, metric, gap, (finished, folds), distinct)
    notes = []
    if weight is not None and labels.task == "multilabel":
        notes.append("The rows' weights are used in training; each row counts once in the scores.")
    return Comparison(
        rows=rows,
        verdict=str(verdict),
        best=[row.name for row in rows if row.level],
        metric=metric,
        refused=refused,
        n=int(((dealt < finished) & _speaks(labels, weight)).sum()),
        folds=finished,
        folds_dealt=folds,
        task=labels.task,
        kinds=labels.kind_counts(),
        sentences=verdict.sentences,
        differences=verdict.differences,
        counts=verdict.counts,
        notes=notes,
    )


def _speaks(labels: Labels, weight: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Say which rows have a label and a weight above 0."""
    says: NDArray[np.bool_] = labels.kinds != 0
    return says if weight is None else says & (weight > 0)


def _checked_metric(metric: str | None, task: str) -> str:
    known = ("accuracy",) if task == "multiclass" else METRICS
    metric = metric or ("accuracy" if task == "multiclass" else "f1_micro")
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r} for {task}; write {', '.join(known)}")
    return metric


def _named(names: Sequence[str], usable: list[Strategy], refused: dict[str, str]) -> list[Strategy]:
    by_name = {strategy.name: strategy for strategy in usable}
    known = ", ".join(f'"{name}"' for name in by_name)  # in quotes: a name may hold a comma
    if isinstance(names, str) or not names:
        raise ValueError(f"strategies={names!r}; expected a list of one or more names, of {known}")
    for name in names:
        if name in refused:
            raise ValueError(f"{name!r} cannot be tried on these labels: {refused[name]}")
        if name not in by_name:
            raise ValueError(
                f"unknown strategy {name!r}{suggest(name, list(by_name))}; for these labels write "
                f"{known}"
            )
    return [by_name[name] for name in dict.fromkeys(names)]


def _with(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}, {interval[1]:.3f})"
