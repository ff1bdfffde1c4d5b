"""Every sensible treatment of your labels, side by side on your data (`eo.compare`).

In: inputs and Labels. Out: a `Comparison`: a table with intervals and paired differences from
the same folds, and a verdict in words. Nothing but the statements themselves is used to score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison.run import run_folds
from eitheror.comparison.score import Row, score_outcomes
from eitheror.comparison.strategies import STRATEGIES, Fitted, Setting, Strategy, applicable
from eitheror.comparison.verdict import verdict_of
from eitheror.decide import METRICS
from eitheror.labels import Labels, suggest
from eitheror.training import TrainOptions
from eitheror.training.checks import n_rows
from eitheror.training.folds import content_keys, deal_folds

__all__ = ["STRATEGIES", "Comparison", "Fitted", "Row", "Setting", "Strategy", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What came out of `compare`.

    Attributes
    ----------
    rows : list of Row
        One a strategy, best first.
    verdict : str
        The table in a few sentences.
    best : list of str
        The best strategy and those that cannot be told from it.
    metric : str
        What `score` is.
    refused : dict
        Strategies that could not be tried, and why.
    n : int
        Rows that say something and were scored.
    folds : int
        Folds that were run.
    task : str
    kinds : dict
        Rows of each kind of statement.
    """

    rows: list[Row]
    verdict: str
    best: list[str]
    metric: str
    refused: dict[str, str]
    n: int
    folds: int
    task: str
    kinds: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a dict that JSON can hold."""
        found = {name: value for name, value in vars(self).items() if name != "rows"}
        return {"strategies": [asdict(row) for row in self.rows], **found}

    def __str__(self) -> str:
        lines = [f"{'strategy':22} {self.metric:>20}   {'behind':>23} {'s/fold':>7}"]
        for row in self.rows:
            mark = "=" if row.level else " "
            lines.append(
                f"{row.name:22} {_with(row.score, row.interval):>20} {mark} "
                f"{_with(row.behind, row.behind_interval):>23} {row.seconds:7.1f}"
            )
        return "\n".join([*lines, "", self.verdict])


def compare(
    inputs: Any,
    labels: Any,
    strategies: Sequence[str] | None = None,
    *,
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
    inputs : sequence of str, or array of shape (n_samples, ...)
        Texts, or numbers; images are read as rows of numbers.
    labels : Labels, or what `Labels` accepts
    strategies : sequence of str, optional
        Names from `STRATEGIES`; default all that make sense for these statements.
    metric : str, optional
        What to rank by. One true class: ``"accuracy"``, estimated from the statements under the
        assumption that candidates are as likely for one wrong class as for another, given their
        number. Tags: a score of `decide.METRICS`, by default ``"f1_micro"``, over the known
        entries, with a threshold tuned on the other folds.
    folds : int, default 5
    budget : float, optional
        Seconds. No fold is begun that would go beyond them; the first is always run.
    options : TrainOptions, optional
        For every model; the loss in it is replaced by each strategy's own.
    random_state : int, default 0
        Seed of the folds, of the models, and of the intervals of tags.
    n_jobs : int, default 1
    progress : callable, optional
        Called with a dict after each fit: ``strategy``, ``fold``, ``done``, ``total``,
        ``seconds_left``.
    resume : path, optional
        Folder in which finished fits are kept, and found again by a later call with the same
        data and options.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Labels that say nothing, an unknown name, too few rows.

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
    inputs = _as_inputs(inputs)
    n = n_rows(inputs)
    if n != len(labels):
        raise ValueError(f"{n} inputs and {len(labels)} labels; give one label a row")
    speaking = int((labels.kinds != 0).sum())
    if speaking < folds or folds < 2:
        raise ValueError(
            f"{speaking} rows say something and folds={folds}; expected 2 folds or more and at "
            "least a row for each"
        )
    if budget is not None and not budget > 0:
        raise ValueError(f"budget={budget!r}; expected seconds above 0")
    metric = _checked_metric(metric, labels.task)
    chosen, refused = applicable(labels)
    if strategies is not None:
        chosen = _named(strategies, chosen, refused)
    keys = _keys(inputs)
    if (distinct := len(np.unique(keys))) < folds:
        raise ValueError(
            f"{distinct} different inputs among {n} rows and folds={folds}; rows with the same "
            "input share a fold, so expected an input for each: give fewer folds or more rows"
        )
    dealt = deal_folds(labels, folds, keys=keys, rng=np.random.default_rng(random_state))
    setting = Setting(options or TrainOptions(), n_jobs, random_state)
    outcomes, finished = run_folds(
        chosen,
        setting,
        inputs,
        labels,
        dealt,
        budget=budget,
        progress=progress,
        store=None if resume is None else Path(resume),
    )
    used = dealt < finished
    rows, gap = score_outcomes(outcomes, labels, dealt, metric, random_state)
    return Comparison(
        rows,
        verdict_of(rows, labels, metric, gap),
        [row.name for row in rows if row.level],
        metric,
        refused,
        int((used & (labels.kinds != 0)).sum()),
        finished,
        labels.task,
        labels.kind_counts(),
    )


def _as_inputs(inputs: Any) -> Any:
    if isinstance(inputs, str):
        raise TypeError("inputs is one string; give a list of texts")
    if not hasattr(inputs, "shape"):
        inputs = list(inputs)
        if inputs and isinstance(inputs[0], str):
            return inputs
        inputs = np.asarray(inputs, dtype=np.float64)
    if hasattr(inputs, "toarray"):
        return inputs.tocsr()
    array = np.asarray(inputs)
    if array.dtype.kind in "OUS":
        return [str(text) for text in array.tolist()]
    if array.ndim < 2:
        raise ValueError(f"inputs have shape {array.shape}; expected (n_samples, n_features)")
    return np.ascontiguousarray(array.reshape(len(array), -1))


def _keys(inputs: Any) -> NDArray[np.uint64]:
    """Return a key of each row's content, so that a repeated row stays in one fold."""
    if hasattr(inputs, "shape"):
        return content_keys(inputs)
    digests = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in inputs)
    return np.frombuffer(digests, dtype="<u8")


def _checked_metric(metric: str | None, task: str) -> str:
    known = ("accuracy",) if task == "multiclass" else METRICS
    metric = metric or ("accuracy" if task == "multiclass" else "f1_micro")
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r} for {task}; write {', '.join(known)}")
    return metric


def _named(names: Sequence[str], usable: list[Strategy], refused: dict[str, str]) -> list[Strategy]:
    by_name = {strategy.name: strategy for strategy in usable}
    if isinstance(names, str) or not names:
        raise ValueError(
            f"strategies={names!r}; expected a list of one or more names, of {', '.join(by_name)}"
        )
    for name in names:
        if name in refused:
            raise ValueError(f"{name!r} cannot be tried on these labels: {refused[name]}")
        if name not in by_name:
            raise ValueError(
                f"unknown strategy {name!r}{suggest(name, list(by_name))}; for these labels write "
                f"{', '.join(by_name)}"
            )
    return [by_name[name] for name in dict.fromkeys(names)]


def _with(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}, {interval[1]:.3f})"
