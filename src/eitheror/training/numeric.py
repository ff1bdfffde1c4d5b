"""Linear models on numeric features: exact statement losses, all rows at once, L-BFGS.

In: features (dense or CSR), :class:`~eitheror.labels.Labels`, options. Out: a
:class:`NumericFit`, the parameters of a linear model and what was decided on the way. Full batch
rather than SGD because numeric tables are small next to text: no learning rate to choose, and the
same answer every time. Rows are summed in blocks of fixed size in a fixed order and BLAS runs on
one thread, so the answer does not depend on ``n_jobs``.

The likelihood of candidate sets is not convex. Walking from a weak penalty up to a strong one ends
in better optima than starting at the strong one (and much better than the way back), so both the
choice of ``l2`` and the last fit go up; `benchmarks/partial_label.py` has the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import Rows
from eitheror.labels import Labels, SparseTargets
from eitheror.model import LinearParameters
from eitheror.training.checks import (
    Valid,
    check_lengths,
    check_sample_weight,
    check_speaking,
    check_valid,
    valid_weight,
)
from eitheror.training.examples import Examples
from eitheror.training.folds import content_keys, deal_folds
from eitheror.training.objectives import OBJECTIVES
from eitheror.training.options import TrainOptions
from eitheror.training.problem import (
    Problem,
    Setup,
    Threads,
    minimise,
    one_blas_thread,
    second_moments,
)
from eitheror.training.standardise import Standardiser, as_matrix
from eitheror.training.weights import balanced_or_given, row_weights

__all__ = ["L2_GRID", "NumericFit", "fit_numeric", "vertex"]

L2_GRID = tuple(float(f"{10**e:.3g}") for e in np.arange(-4.0, -0.9, 0.25))
"""Penalties tried by ``l2="auto"``, weak to strong."""

_FIVE_FOLDS = 5_000_000  # rows * features * classes up to which l2 is chosen in five folds,
_SAMPLED = 200_000_000  # in one split of all rows, and beyond in one split of a sample
_FEW_ROWS = 10
_FEW_ROWS_L2 = 0.01
_MAX_ITERATIONS = 300
_EXPLORING = 40  # iterations spent at a tenth of the penalty before the last fit
_EXACT = 1e-10  # share of the loss won so far that an iteration must add; sums in float32 are
_COARSE = 1e-5  # not finer than this, and the rows are then so many that it does not matter

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class NumericFit:
    """A fitted linear model.

    Attributes
    ----------
    parameters : LinearParameters
        Weights for standardised features, with the mean and scale that standardise them.
    chosen : dict
        What was decided: ``l2``, ``iterations`` (of the last fit) and, where rows
        were held out, ``valid_loss``.
    """

    parameters: LinearParameters
    chosen: dict[str, Any]


def fit_numeric(
    X: Any,
    labels: Labels,
    options: TrainOptions,
    *,
    sample_weight: Any = None,
    valid: Valid | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> NumericFit:
    """Fit logits ``X @ W + b`` by minimising the mean statement loss ``+ l2 / 2 * |W|^2``.

    Features are scaled first; the intercept is not penalised; rows that say nothing count
    for the standardisation only.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
        Finite numbers. Columns of CSR input are scaled, not centred.
    labels : Labels
        ``(n_samples,)`` statements of either task.
    options : TrainOptions
        ``loss``: a word of `eitheror.training.objectives.OBJECTIVES`. ``l2``: a penalty, or "auto"
        (None) to choose it by the likelihood of held-out statements. ``epochs``: at most so many
        L-BFGS iterations (None: 300). ``class_weight``: None, "balanced", or a mapping from class
        to weight. ``patience``: stop after so many iterations without a better loss of the
        held-out rows, `valid` or else the share ``validation`` of the training rows. ``scaling``.
        ``optimizer="newton"``: tags one by one, by `eitheror.training.one_vs_rest`.
    sample_weight : array of shape (n_samples,), optional
        Weight 2 is the row twice.
    valid : tuple of (X, Labels) or (X, Labels, sample_weight), optional
        Held-out rows: the best iteration on them is kept, and ``l2="auto"`` looks at them
        (without them, at folds of the training rows).
    n_jobs : int
        Threads over blocks of rows; changes the time, not the result.
    progress : callable, optional
        Called with a dict after every iteration of the last fit.

    Returns
    -------
    NumericFit

    Raises
    ------
    ValueError
        For features that are not a finite table, weights that are negative, or labels that say
        nothing.
    """
    X = as_matrix(X)
    check_lengths(X, labels)
    targets = labels.sparse()
    weight = check_sample_weight(sample_weight, len(targets), np.float64)
    check_speaking(targets, weight)
    watched = None
    if valid is not None:
        watched = *check_valid(valid, labels, options.loss), valid_weight(valid, np.float64)
    scaler = Standardiser.fit(X, weight, options.scaling)
    class_weight = balanced_or_given(options.class_weight, labels, targets, weight)
    statement_weight = row_weights(targets, class_weight) * weight
    rows = _Rows(X, scaler.transform(X), labels, targets, statement_weight)
    if options.optimizer == "newton":
        return _solve_tags(rows, scaler, class_weight, watched, options, n_jobs, progress)
    with one_blas_thread(), Threads(n_jobs) as threads:
        setup = Setup(
            OBJECTIVES[options.loss],
            options.loss,
            options.label_smoothing,
            class_weight,
            second_moments(rows.Z, statement_weight),
            threads,
        )
        everything = np.arange(len(targets))
        if watched is not None:
            held_out = _held_out(setup, scaler, *watched, X.shape[1])
        elif options.patience is not None:
            everything, held_out = _hold_out(setup, rows, options.validation)
        else:
            held_out = None
        whole = rows.problem(setup, everything)
        if whole is None:
            raise ValueError(
                "no row that says something is left to learn from: all have class weight 0, or "
                "patience holds them out; give valid=(inputs, labels), or leave these out"
            )
        l2 = _given_l2(options.l2)
        if l2 is None:
            l2 = _choose_l2(setup, rows, whole, held_out)
            _say(progress, f"l2={l2:.2g} makes held-out statements likeliest")
        fitted = _last_fit(whole, l2, options, held_out, progress)
    parameters = scaler.parameters(fitted.theta, targets.n_classes)
    return NumericFit(parameters, {"l2": l2, **fitted.summary})


def _say(progress: Progress | None, message: str) -> None:
    if progress is not None:
        progress({"event": "choice", "message": message})


def _given_l2(l2: float | str | None) -> float | None:
    if l2 is None or l2 == "auto":
        return None
    if isinstance(l2, str) or isinstance(l2, bool) or not 0 <= l2 < np.inf:
        raise ValueError(f"l2={l2!r}; expected 'auto' or a finite number that is not negative")
    return float(l2)


def _held_out(
    setup: Setup,
    scaler: Standardiser,
    inputs: Any,
    labels: Labels,
    weight: NDArray[np.float64],
    n_features: int,
) -> Problem | None:
    return setup.problem(_scaled(scaler, inputs, n_features), labels.sparse(), weight)


def _scaled(scaler: Standardiser, inputs: Any, n_features: int) -> Any:
    X = as_matrix(inputs)
    if X.shape[1] != n_features:
        raise ValueError(
            f"the validation inputs have {X.shape[1]} features and the training inputs "
            f"{n_features}; expected the same columns"
        )
    return scaler.transform(X)


def _hold_out(setup: Setup, rows: _Rows, share: float) -> tuple[NDArray[np.int64], Problem | None]:
    """Rows to train on, and a share of the rows held out, both dealt by content."""
    n_folds = max(2, round(1 / share))
    fold = deal_folds(rows.labels, n_folds, keys=content_keys(rows.X))
    return np.flatnonzero(fold > 0), rows.problem(setup, np.flatnonzero(fold == 0))


def _solve_tags(
    rows: _Rows,
    scaler: Standardiser,
    class_weight: NDArray[np.float64] | None,
    watched: tuple[Any, Labels, NDArray[np.float64]] | None,
    options: TrainOptions,
    n_jobs: int,
    progress: Progress | None,
) -> NumericFit:
    """Solve one logistic regression a tag."""
    from eitheror.training.one_vs_rest import fit_one_vs_rest

    held_out = None
    if watched is not None:
        inputs, labels, weight = watched
        Z = _scaled(scaler, inputs, rows.X.shape[1])
        held_out = _examples(Z, labels.sparse(), weight)
    solved = fit_one_vs_rest(
        _examples(rows.Z, rows.targets, rows.weight),
        options,
        class_weight=None if class_weight is None else class_weight.astype(np.float32),
        held_out=held_out,
        n_jobs=n_jobs,
        progress=progress,
    )
    return NumericFit(scaler.model(solved.weight, solved.bias), solved.chosen)


def _examples(Z: Any, targets: SparseTargets, weight: NDArray[np.float64]) -> Examples:
    rows = Rows.from_csr(Z) if hasattr(Z, "tocsr") else Rows.from_dense(Z)
    with np.errstate(over="ignore"):  # infinite weights are refused where they are read
        return Examples(rows, targets, weight.astype(np.float32))


# --- the last fit --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fitted:
    theta: NDArray[np.float64]
    summary: dict[str, Any]


def _last_fit(
    rows: Problem,
    l2: float,
    options: TrainOptions,
    held_out: Problem | None,
    progress: Progress | None,
) -> _Fitted:
    theta = np.zeros(rows.size)
    if not rows.convex:
        theta, _ = minimise(rows, l2 / 10, theta, iterations=_EXPLORING, tolerance=1e-6)
    watch = _Watch(held_out, options, progress)
    limit = options.epochs or _MAX_ITERATIONS
    tolerance = _COARSE if rows.coarse else _EXACT
    theta, iterations = minimise(
        rows, l2, theta, iterations=limit, tolerance=tolerance, after=watch
    )
    if held_out is None or watch.best is None:
        return _Fitted(theta, {"iterations": iterations})
    return _Fitted(watch.best, {"iterations": watch.best_step, "valid_loss": watch.best_loss})


class _Watch:
    """Reports every iteration and keeps the parameters with the lowest held-out loss."""

    def __init__(
        self, held_out: Problem | None, options: TrainOptions, progress: Progress | None
    ) -> None:
        self._held_out = held_out
        self._patience = options.patience
        self._limit = options.epochs or _MAX_ITERATIONS
        self._progress = progress
        self._step = 0
        self.best: NDArray[np.float64] | None = None
        self.best_loss = np.inf
        self.best_step = 0

    def __call__(self, theta: NDArray[np.float64], loss: float) -> bool:
        """Take note of one iteration; True asks to stop."""
        self._step += 1
        report = {"event": "epoch", "epoch": self._step, "epochs": self._limit, "loss": loss}
        if self._held_out is not None:
            valid_loss = self._held_out.loss(theta)
            report["valid_loss"] = valid_loss
            if valid_loss < self.best_loss:
                self.best, self.best_loss, self.best_step = theta.copy(), valid_loss, self._step
        if self._progress is not None:
            self._progress(report)
        if self._held_out is None or self._patience is None:
            return False
        return self._step - self.best_step >= self._patience


# --- choosing the penalty ------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """All training rows: as they came, standardised, and what is said about them."""

    X: Any
    Z: Any
    labels: Labels
    targets: SparseTargets
    weight: NDArray[np.float64]  # of the statement: sample weight times class weight

    def problem(self, setup: Setup, rows: NDArray[np.int64]) -> Problem | None:
        return setup.problem(self.Z[rows], self.targets.take(rows), self.weight[rows])


def _choose_l2(setup: Setup, rows: _Rows, whole: Problem, held_out: Problem | None) -> float:
    """Penalty with the likeliest held-out statements, by a parabola through the best three."""
    shrink = 1.0
    if held_out is not None:
        splits = [(whole, held_out)]
    else:
        splits, shrink = _splits(setup, rows, np.sort(whole.kept))
        if not splits:
            return _FEW_ROWS_L2
    # strong to weak is the cheaper way where there is one optimum
    grid = L2_GRID[::-1] if whole.convex else L2_GRID
    if whole.coarse:
        grid = grid[::2]
    curve = _curve(splits, grid)
    best = vertex(np.log10(grid[: len(curve)]), np.array(curve)) * shrink
    return float(f"{best:.2g}")  # finer would only pass rounding errors on


def _splits(
    setup: Setup, rows: _Rows, kept: NDArray[np.int64]
) -> tuple[list[tuple[Problem, Problem]], float]:
    """Pairs of (training rows, held-out rows), and the factor from their penalty to that of all.

    Folds are dealt by content, so that the order of rows does not matter, a repeated row is never
    learnt and held out at once, and weight 2 gives the same split as the row twice.
    """
    keys = content_keys(rows.X[kept])
    cost = len(kept) * setup.row_cost(rows.Z, rows.targets.n_classes)
    shrink = 1.0
    if cost > _SAMPLED:  # the penalty of n rows is that of m rows times m / n: a fixed prior
        sampled = np.sort(np.argsort(keys, kind="stable")[: int(len(kept) * _SAMPLED / cost)])
        shrink = len(sampled) / len(kept)
        kept, keys = kept[sampled], keys[sampled]
    if len(np.unique(keys)) < _FEW_ROWS:
        return [], shrink
    fold = deal_folds(rows.labels[kept], 5, keys=keys)
    splits = []
    for k in range(5 if cost <= _FIVE_FOLDS else 1):
        train = rows.problem(setup, kept[fold != k])
        held_out = rows.problem(setup, kept[fold == k])
        assert train is not None
        assert held_out is not None  # a kept row says something
        splits.append((train, held_out))
    return splits, shrink


def _curve(splits: list[tuple[Problem, Problem]], grid: tuple[float, ...]) -> list[float]:
    """Return the held-out loss along the grid; ends once it has risen twice in a row."""
    thetas = [np.zeros(train.size) for train, _ in splits]
    total = sum(held_out.total for _, held_out in splits)
    curve: list[float] = []
    for l2 in grid:
        loss = 0.0
        for i, (train, held_out) in enumerate(splits):
            thetas[i], _ = minimise(
                train,
                l2,
                thetas[i],
                iterations=20 if train.coarse else 60,
                tolerance=1e-4 if train.coarse else 1e-6,
            )
            loss += held_out.loss(thetas[i]) * held_out.total / total
        curve.append(loss)
        if len(curve) > 2 and curve[-3] < curve[-2] < curve[-1]:
            break
    return curve


def vertex(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """10 to the lowest point of the parabola through the smallest y and its neighbours.

    Examples
    --------
    >>> vertex(np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 2.0]))
    10.0
    """
    i = int(np.argmin(y))
    if 0 < i < len(y) - 1:
        left, right = y[i - 1] - y[i], y[i + 1] - y[i]
        if left + right > 0:
            step = x[i + 1] - x[i]
            return float(10 ** (x[i] + 0.5 * step * (left - right) / (left + right)))
    return float(10 ** x[i])
