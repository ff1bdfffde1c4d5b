"""One-vs-rest logistic regression over many tags: each tag to its optimum, small weights dropped.

In: feature rows, what is known about each tag, row weights. Out: a sparse linear model. A tag is
learnt from the rows that say something about it. Sixteen tags are solved at a time, in an order
that the data decide, and their small weights are dropped before the next sixteen begin: no matrix
of all features and all tags ever exists, so thousands of tags times a million features fit.

The objective of tag k is ``mean_i w_i c_k loss(x_i W_k + b_k, t_ik) + l2 / 2 |W_k|^2``, the mean
over all rows that say anything: the same sum that `eitheror.training.numeric` minimises.

References
----------
Babbar, Schölkopf (2017), DiSMEC: distributed sparse machines for extreme multi-label
classification, WSDM: dropping weights near 0 after each tag.
Galli, Lin (2022), A study on truncated Newton methods for linear classification, IEEE TNNLS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import Features
from eitheror._kernels.one_vs_rest import Block, Scratch, block_loss, solve_block
from eitheror._kernels.rows import Rows
from eitheror.labels import MARGINALS, RowError, SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.model import SparseWeight
from eitheror.text.chunks import n_threads
from eitheror.training.examples import Examples
from eitheror.training.folds import content_keys
from eitheror.training.numeric import vertex
from eitheror.training.options import TrainOptions

__all__ = ["L2_GRID", "OneVsRestFit", "fit_one_vs_rest"]

L2_GRID = (2.0, 1.0, 0.5, 0.25, 0.125, 0.06, 0.03, 0.015)
"""Penalties tried by ``l2="auto"``, times the mean squared length of a row over their number."""

_LANES = 16
_TOLERANCE = 1e-5  # of the gradient's length at the start
_STEPS = 100
_TINY = 0.01  # the largest weight that is dropped, where rows have length 1
_FEW_ROWS = 10
_FIVE_FOLDS = 20_000_000  # feature values x tags up to which l2 is chosen in five folds; beyond in
_SAMPLED = 1_000_000_000  # one, and from here on by some of the tags
_FEWEST_GROUPS = 4
_NOTHING = 1e-9
_HEAVIEST = 1e9  # mean weight of a row, and 1 over the least: squares stay what float32 holds

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class OneVsRestFit:
    """A fitted one-vs-rest model.

    Attributes
    ----------
    weight : SparseWeight or float32 array of shape (n_features, n_classes)
        Dense only where that is smaller: where half of the weights or more are kept.
    bias : float32 array of shape (n_classes,)
    chosen : dict
        ``l2``; ``steps``, the most Newton steps that sixteen tags took; ``kept_weights``; and
        ``held_out_loss``, where rows were held out: the mean loss of a row at this penalty.
    loss : float
        Mean loss of a training row, added over the tags, before weights are dropped.
    """

    weight: SparseWeight | Floats
    bias: Floats
    chosen: dict[str, Any]
    loss: float


def fit_one_vs_rest(
    examples: Examples,
    options: TrainOptions,
    *,
    class_weight: Floats | None = None,
    held_out: Examples | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> OneVsRestFit:
    """Solve one logistic regression a tag and keep the weights that matter.

    Weights below ``0.01 / r`` are dropped, r the root mean squared length of a row: a logit of such
    a row with n features moves by ``0.01 sqrt(n)`` at most, by about 0.01 where signs are mixed. A
    tag that applies in every row that knows it, or in none, gets no weights and the log odds of its
    share, shrunk by half a row.

    Parameters
    ----------
    examples : Examples
        Of task "multilabel".
    options : TrainOptions
        ``loss``: "ova" or "ova-n". ``l2``: a penalty above 0, or "auto" (None) to choose it by the
        likelihood of held-out statements. ``epochs``: at most so many Newton steps (None: 100).
        ``label_smoothing``.
    class_weight : float32 array of shape (n_classes,), optional
    held_out : Examples, optional
        Rows by which ``l2="auto"`` chooses; without them folds of the training rows.
    n_jobs : int
        Threads, each on sixteen tags of its own. The result does not depend on their number.
    progress : callable, optional
        Told the penalty chosen, and after every sixteen tags how many are solved.

    Returns
    -------
    OneVsRestFit

    Raises
    ------
    ValueError
        For "at least one of" some tags, which ties tags together (a `RowError`), ``l2=0``, and
        rows whose mean weight is not 1e-9 .. 1e9.

    Examples
    --------
    >>> from eitheror.labels import Labels, not_, tags
    >>> rows = Rows.from_dense([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> labels = Labels([tags("a"), tags("a", "b"), not_("a")], task="multilabel")
    >>> examples = Examples(rows, labels.sparse(), np.ones(3, np.float32))
    >>> fitted = fit_one_vs_rest(examples, TrainOptions(loss="ova", l2=0.1))
    >>> (fitted.weight[:, 0] > 0).tolist()
    [True, False]
    """
    _check(examples, options, held_out)
    problem = _Problem(examples, options, class_weight)
    with _Workers(n_threads(n_jobs)) as workers:
        l2, seen = _l2(workers, problem, examples, options, class_weight, held_out)
        if seen is not None and progress is not None:
            progress({"event": "choice", "message": f"l2={l2:.2g} makes held-out tags likeliest"})
        steps = options.epochs or _STEPS
        tiny = _TINY / problem.length()
        solved = workers.map(
            lambda bench, group: bench.solve(problem, group, l2, steps, tiny),
            problem,
            problem.groups,
        )
        parts, total = [], 0.0
        for part in solved:
            parts.append(part)
            total += part.loss
            if progress is not None:
                done = min(_LANES * len(parts), problem.n_tags)
                progress(
                    {
                        "event": "epoch",
                        "epoch": done,
                        "epochs": problem.n_tags,
                        "unit": "tag",
                        "loss": total / problem.total,
                    }
                )
    weight, bias = _assemble(parts, problem.n_features, problem.n_tags)
    chosen = {
        "l2": l2,
        "steps": max(part.steps for part in parts),
        "kept_weights": int(sum(len(part.values) for part in parts)),
    }
    if seen is not None:
        chosen["held_out_loss"] = seen
    return OneVsRestFit(weight, bias, chosen, total / problem.total)


def _check(examples: Examples, options: TrainOptions, held_out: Examples | None) -> None:
    for part in (examples, held_out):
        if part is not None and len(part.targets.group_indices):
            row = int(np.flatnonzero(np.diff(part.targets.group_indptr))[0])
            problem = (
                "says 'at least one of' some tags, and optimizer='newton' solves each tag alone; "
                "leave optimizer out, or leave such rows out"
            )
            if part is held_out:
                raise ValueError(f"validation row {row} {problem}")
            raise RowError(row, f"the label {problem}")
    for part, what in ((examples, ""), (held_out, "validation ")):
        mean = 1.0 if part is None else _mean_weight(part)
        if not 1 / _HEAVIEST <= mean <= _HEAVIEST:
            raise ValueError(
                f"the {what}rows weigh {mean:.3g} on the mean, and optimizer='newton' computes in "
                f"float32: expected a mean from {1 / _HEAVIEST:g} to {_HEAVIEST:g}; divide all "
                "weights by one number"
            )
    if options.l2 == 0:
        raise ValueError(
            "l2=0 came with optimizer='newton': a tag that the features tell apart would have no "
            "optimum; expected a number above 0, or 'auto'"
        )


def _mean_weight(examples: Examples) -> float:
    """Mean weight of the rows that say something; 0 where float32 leaves none a weight."""
    weight = examples.weight[examples.speaking()].astype(np.float64)
    return float(weight.mean()) if len(weight) else 0.0


@dataclass(frozen=True, eq=False)
class _Solved:
    """Up to sixteen tags after their solution: the weights that are kept, and what it took."""

    tags: Integers
    features: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: Floats
    bias: Doubles
    loss: float
    steps: int


class _Tags:
    """What is known about each tag: entries by tag, and the value of rows that do not list it."""

    def __init__(self, targets: SparseTargets, weight: Floats, options: TrainOptions) -> None:
        rows = row_of_entries(targets.indptr)
        values = targets.values.astype(np.float64)
        if options.loss == "ova-n":
            sums = np.bincount(rows, values, len(targets))
            values /= np.where(sums > 0, sums, 1.0)[rows]
        base = np.where(targets.mode == MARGINALS, targets.rest, np.nan).astype(np.float64)
        order = np.argsort(targets.indices, kind="stable")
        smoothing = options.label_smoothing
        self._base = ((1 - smoothing) * base + smoothing / 2).astype(np.float32)
        self._rows = rows[order]
        self._values = ((1 - smoothing) * values + smoothing / 2).astype(np.float32)[order]
        counts = np.bincount(targets.indices, minlength=targets.n_classes)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.present, self.absent = self._masses(weight)

    def _masses(self, weight: Floats) -> tuple[Doubles, Doubles]:
        """Weight of the rows for and against each tag."""
        entry = weight[self._rows].astype(np.float64)
        tag = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        k = len(self._starts) - 1
        base = np.nan_to_num(self._base).astype(np.float64)
        closed = weight * ~np.isnan(self._base)
        listed = closed[self._rows]  # of the rest, taken off where the tag is listed
        rest = float(closed @ base)
        present = np.bincount(tag, entry * self._values - listed * base[self._rows], k) + rest
        known = np.bincount(tag, entry - listed, k) + float(closed.sum())
        absent = known - present
        # what rounding leaves of a difference is nothing
        return np.where(present > _NOTHING * known, present, 0.0), np.where(
            absent > _NOTHING * known, absent, 0.0
        )

    def fill(self, tags: NDArray[np.int64], out: Floats) -> None:
        """Write the targets of up to 16 tags; nan where unknown, and in lanes without a tag."""
        out[:, : len(tags)] = self._base[:, None]
        out[:, len(tags) :] = np.nan
        for lane, tag in enumerate(tags):
            span = slice(self._starts[tag], self._starts[tag + 1])
            out[self._rows[span], lane] = self._values[span]


class _Problem:
    """Rows that say something, in the form that the kernels read."""

    def __init__(
        self, examples: Examples, options: TrainOptions, class_weight: Floats | None
    ) -> None:
        examples = examples.take(examples.speaking())
        rows = examples.rows
        self.n_tags = examples.targets.n_classes
        self.n_features = rows.n_features
        self.features = Features(rows.indptr, rows.indices, rows.values)
        self.weight = examples.weight
        self.total = float(examples.weight.sum(dtype=np.float64))
        self.tags = _Tags(examples.targets, examples.weight, options)
        factors = np.ones(self.n_tags, np.float32) if class_weight is None else class_weight
        # the tags that apply most come first: sixteen that stand together take as many steps
        order = np.argsort(-self.tags.present, kind="stable")
        self.groups = [order[start : start + _LANES] for start in range(0, self.n_tags, _LANES)]
        self.factors = factors

    def length(self) -> float:
        """Root of the mean squared length of a row, by weight; 1 if all rows are empty."""
        rows = row_of_entries(self.features.indptr)
        squares = np.bincount(rows, self.features.values.astype(np.float64) ** 2, len(self.weight))
        return float(np.sqrt(squares @ self.weight / self.total)) or 1.0

    def block(self, group: Integers, targets: Floats, l2: float) -> Block:
        """Sixteen tags of this problem; writes their targets into the table given."""
        self.tags.fill(group, targets)
        factors = np.zeros(_LANES, np.float32)
        factors[: len(group)] = self.factors[group]
        return Block(self.features, targets, self.weight, factors, l2 * self.total)

    def loss(self, group: Integers, weight: Floats, bias: Doubles) -> float:
        """Weighted sum of losses of these rows under sixteen solved tags."""
        targets, logits = (np.empty((len(self.weight), _LANES), np.float32) for _ in range(2))
        return _sum_of_losses(self.block(group, targets, 0.0), logits, weight, bias)


def _sum_of_losses(block: Block, logits: Floats, weight: Floats, bias: Doubles) -> float:
    out = np.empty(_LANES)
    block_loss(block, logits, weight, bias, out)
    return float(out.sum())


class _Bench:
    """The tables that one thread works in."""

    def __init__(self, n_samples: int, n_features: int) -> None:
        by_feature = [np.empty((n_features, _LANES), np.float32) for _ in range(6)]
        by_row = [np.empty((n_samples, _LANES), np.float32) for _ in range(4)]
        self._scratch = Scratch(*by_feature, *by_row)
        self._targets = np.empty((n_samples, _LANES), np.float32)
        self._weight = np.empty((n_features, _LANES), np.float32)

    def minimise(
        self, problem: _Problem, group: Integers, l2: float, steps: int
    ) -> tuple[Floats, Doubles, int]:
        """Weights (this bench's own table), intercepts and Newton steps of sixteen tags."""
        block = problem.block(group, self._targets, l2)
        present, absent = np.zeros(_LANES), np.zeros(_LANES)
        present[: len(group)] = problem.tags.present[group]
        absent[: len(group)] = problem.tags.absent[group]
        bias = np.log((present + 0.5) / (absent + 0.5))
        lanes = (present > 0) & (absent > 0) & (block.class_weight > 0)
        self._weight[:] = 0.0
        made = solve_block(block, self._scratch, self._weight, bias, lanes, _TOLERANCE, steps)
        return self._weight, bias, made

    def solve(
        self, problem: _Problem, group: Integers, l2: float, steps: int, tiny: float
    ) -> _Solved:
        """Solve sixteen tags and drop their weights below `tiny`."""
        weight, bias, made = self.minimise(problem, group, l2, steps)
        block = problem.block(group, self._targets, l2)
        loss = _sum_of_losses(block, self._scratch.logits, weight, bias)
        features, lanes = np.nonzero(np.abs(weight[:, : len(group)]) >= tiny)
        return _Solved(
            group,
            features.astype(np.int32),
            group[lanes].astype(np.int32),
            weight[features, lanes],
            bias[: len(group)],
            loss,
            made,
        )


class _Workers:
    """Threads that each take a bench, in any order; results come in the order of the groups."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __enter__(self) -> _Workers:
        self._pool = ThreadPoolExecutor(self._n)
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(
        self, work: Callable[[_Bench, Integers], Any], problem: _Problem, groups: list[Integers]
    ) -> Iterator[Any]:
        """Results of `work` for each group of tags of a problem."""
        free: SimpleQueue[_Bench] = SimpleQueue()
        for _ in range(min(self._n, len(groups))):
            free.put(_Bench(len(problem.weight), problem.n_features))

        def run(group: Integers) -> Any:
            bench = free.get()
            try:
                return work(bench, group)
            finally:
                free.put(bench)

        return self._pool.map(run, groups)


def _assemble(
    parts: list[_Solved], n_features: int, n_tags: int
) -> tuple[SparseWeight | Floats, Floats]:
    bias = np.empty(n_tags, np.float32)
    for part in parts:
        bias[part.tags] = part.bias
    features = np.concatenate([part.features for part in parts])
    columns = np.concatenate([part.columns for part in parts])
    order = np.argsort(features.astype(np.int64) * n_tags + columns)
    counts = np.bincount(features, minlength=n_features)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = np.concatenate([part.values for part in parts])[order]
    columns = columns[order]
    if n_tags <= 1 << 16:
        weight = SparseWeight(indptr, columns.astype(np.uint16), values, n_tags)
    else:
        weight = SparseWeight(indptr, columns, values, n_tags)
    return (weight if 2 * len(values) < n_features * n_tags else weight.to_dense()), bias


# --- choosing the penalty ------------------------------------------------------------------


def _l2(
    workers: _Workers,
    problem: _Problem,
    examples: Examples,
    options: TrainOptions,
    class_weight: Floats | None,
    held_out: Examples | None,
) -> tuple[float, float | None]:
    """Return the penalty, and where it was chosen the held-out loss of a row."""
    if options.l2 is not None and not isinstance(options.l2, str):
        return float(options.l2), None
    unit = problem.length() ** 2 / problem.total
    splits = [(examples, held_out)] if held_out is not None else _splits(examples)
    if not splits:
        return float(f"{unit * L2_GRID[3]:.2g}"), None
    problems = [tuple(_Problem(part, options, class_weight) for part in split) for split in splits]
    curve: list[float] = []
    for factor in L2_GRID:
        curve.append(_held_out_loss(workers, problems, factor))
        if len(curve) > 1 and curve[-1] > curve[-2]:
            break
    best = int(np.argmin(curve))
    return float(f"{unit * vertex(np.log10(L2_GRID[: len(curve)]), np.array(curve)):.2g}"), curve[
        best
    ]


def _splits(examples: Examples) -> list[tuple[Examples, Examples]]:
    """Four fifths to learn from and the rest, by content: equal rows stay together."""
    examples = examples.take(examples.speaking())
    rows = examples.rows
    keys, unit = np.unique(content_keys(_csr(rows)), return_inverse=True)
    if len(keys) < _FEW_ROWS:
        return []
    fold = unit.reshape(-1) % 5
    n_folds = 5 if len(rows.indices) * examples.targets.n_classes <= _FIVE_FOLDS else 1
    return [
        (examples.take(np.flatnonzero(fold != k)), examples.take(np.flatnonzero(fold == k)))
        for k in range(n_folds)
    ]


def _csr(rows: Rows) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), rows.n_features))


def _held_out_loss(workers: _Workers, problems: list[Any], factor: float) -> float:
    """Mean loss of a held-out row, added over the tags that are tried."""
    total = weight = 0.0
    for train, held_out in problems:
        l2 = factor * train.length() ** 2 / train.total
        cost = len(train.features.indices) * train.n_tags
        step = max(1, min(round(cost / _SAMPLED), len(train.groups) // _FEWEST_GROUPS))

        def work(
            bench: _Bench,
            group: Integers,
            train: Any = train,
            held_out: Any = held_out,
            l2: float = l2,
        ) -> float:
            return float(held_out.loss(group, *bench.minimise(train, group, l2, _STEPS)[:2]))

        total += sum(workers.map(work, train, train.groups[::step]))
        weight += held_out.total
    return total / weight
