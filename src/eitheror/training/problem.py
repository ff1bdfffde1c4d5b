"""The optimisation problem of a linear model: mean statement loss plus penalty, and its gradient.

In: standardised features, sparse targets, row weights. Out: a :class:`Problem` that gives value
and gradient at any parameters, and :func:`minimise`. Rows are worked on in blocks whose size
depends on the data only, and the blocks' sums are added in their order: any number of threads
gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import EVIDENCE, SparseTargets
from eitheror.losses import LOSSES
from eitheror.text.chunks import n_threads
from eitheror.training.objectives import (
    Block,
    Objective,
    effective_mode,
    make_block,
    order_by_mode,
)

__all__ = ["Problem", "Setup", "Threads", "minimise", "one_blas_thread", "second_moments"]

_BLOCK_CELLS = 1 << 19  # feature and class cells of a block: a few MB, near the caches' size

_MOMENT_ROWS = 16_384  # rows that the second moments are measured on
_MOMENT_COLUMNS = 2_000  # wider tables go without them, and so do
_MOMENT_RATIO = 5  # tables with fewer rows a column: classes come apart there, the curvature left
# is mostly the penalty's, and that is even in the raw weights

Vector = NDArray[np.float64]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread: its own threads would change the order of sums.

    The limit holds for the whole process, so fits that run at the same time share one: the first
    sets it and the last one to end takes it back.
    """
    _BLAS.enter()
    try:
        yield
    finally:
        _BLAS.leave()


class _SharedLimit:
    """One limit on the threads of BLAS, and how many fits need it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limit: Any = None

    def enter(self) -> None:
        import scipy.optimize  # noqa: F401  # loads the BLAS that must obey the limit
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        with self._lock:
            if self._users == 0:
                self._limit = threadpool_limits(limits=1, user_api="blas")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()
                self._limit = None


_BLAS = _SharedLimit()


class Threads:
    """A pool of threads for blocks of rows; with one thread, a plain loop."""

    def __init__(self, n_jobs: int) -> None:
        self._n = n_threads(n_jobs)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._n > 1:
            self._pool = ThreadPoolExecutor(self._n)
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def map(self, function: Callable[[Any], Any], items: list[Any]) -> Iterator[Any]:
        """Results in the order of the items, few of them waiting at a time."""
        if self._pool is None:
            yield from map(function, items)
            return
        wave = 4 * self._n
        for start in range(0, len(items), wave):
            yield from self._pool.map(function, items[start : start + wave])


def second_moments(Z: Any, weight: Vector) -> NDArray[np.float64] | None:
    """Weighted mean of ``x x'``, x a row with a 1 at its end; None for wide tables.

    The Hessian of the mean loss is near a multiple of it (class by class), so that steps measured
    by it need several times fewer iterations than steps in the raw weights.
    """
    n, d = Z.shape
    if d > min(_MOMENT_COLUMNS, weight.sum() / _MOMENT_RATIO):
        return None
    step = max(1, n // _MOMENT_ROWS)
    rows, weight = Z[::step], weight[::step]
    weight = weight / weight.sum()
    scaled = rows.multiply(weight[:, None]) if hasattr(rows, "multiply") else None
    if scaled is None:
        scaled = rows * weight[:, None].astype(rows.dtype)
    product = rows.T @ scaled
    moments = np.empty((d + 1, d + 1))
    moments[:d, :d] = product.toarray() if hasattr(product, "toarray") else product
    moments[:d, d] = moments[d, :d] = np.asarray(scaled.sum(axis=0)).reshape(-1)
    moments[d, d] = 1.0
    return moments


@dataclass(frozen=True)
class Setup:
    """How rows become a problem: the loss, its options, second moments, the threads to use."""

    objective: Objective
    loss: str
    smoothing: float
    class_weight: Vector | None
    moments: NDArray[np.float64] | None
    threads: Threads

    def problem(self, Z: Any, targets: SparseTargets, weight: Vector) -> Problem | None:
        """Problem of the rows that say something and have weight, or None if there are none."""
        kept = order_by_mode(targets)
        kept = kept[weight[kept] > 0]
        if len(kept) == 0:
            return None
        modes = effective_mode(targets.mode[kept])
        columns = self.class_weight if targets.task == "multilabel" else None
        step = max(16, _BLOCK_CELLS // (Z.shape[1] + 4 * targets.n_classes))
        parts = []
        for mode in np.unique(modes):
            rows = kept[modes == mode]
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                block = make_block(targets.take(part), self.smoothing, columns)
                parts.append((Z[part], block, weight[part]))
        kind = LOSSES[self.loss].convex
        convex = kind == "always" or (kind == "exact" and _convex(parts))
        return Problem(self, parts, kept, (Z.shape[1], targets.n_classes), convex)

    def row_cost(self, Z: Any, n_classes: int) -> float:
        """Multiplications of one row."""
        features = Z.nnz / max(1, Z.shape[0]) if hasattr(Z, "nnz") else Z.shape[1]
        return float(features * n_classes)


def _convex(parts: list[tuple[Any, Block, Vector]]) -> bool:
    # -log w.p is convex in the logits only for one class; "at least one of" is not either
    return all(
        block.groups is None
        and (block.mode != EVIDENCE or bool(((block.dense > 0).sum(axis=1) == 1).all()))
        for _, block, _ in parts
    )


class Problem:
    """Mean loss of fixed rows as a function of ``theta = (W row by row, b)``.

    Attributes
    ----------
    kept : int64 array
        The rows that take part.
    total : float
        Sum of their weights.
    convex : bool
        Whether there is one optimum.
    coarse : bool
        Whether the rows are so many that the work is done in float32.
    size : int
        Length of theta.
    n_classes : int
        Number of logits.
    moments : array of shape (n_features + 1, n_features + 1), or None
        See `second_moments`.
    """

    def __init__(
        self,
        setup: Setup,
        parts: list[tuple[Any, Block, Vector]],
        kept: NDArray[np.int64],
        shape: tuple[int, int],
        convex: bool,
    ) -> None:
        self._setup = setup
        self._parts = parts
        self._shape = shape
        self.moments = setup.moments
        self.n_classes = shape[1]
        self.kept = kept
        self.convex = convex
        self.coarse = parts[0][0].dtype == np.float32
        self.total = float(sum(weight.sum() for _, _, weight in parts))
        self.size = (shape[0] + 1) * shape[1]
        self._baseline: float | None = None

    @property
    def baseline(self) -> float:
        """Mean loss when all weights are 0."""
        if self._baseline is None:
            self._baseline = self.loss(np.zeros(self.size))
        return self._baseline

    def value_and_gradient(self, theta: Vector, l2: float) -> tuple[float, Vector]:
        """Mean loss ``+ l2 / 2 * |W|^2`` and its gradient."""
        d, k = self._shape
        weights = theta[: d * k].reshape(d, k)
        gradient = np.zeros(self.size)
        value = 0.0
        for part_value, part_weights, part_bias in self._map(theta, gradients=True):
            value += part_value
            gradient[: d * k] += part_weights.reshape(-1)
            gradient[d * k :] += part_bias
        gradient /= self.total
        gradient[: d * k] += l2 * theta[: d * k]
        return value / self.total + 0.5 * l2 * float(np.vdot(weights, weights)), gradient

    def loss(self, theta: Vector) -> float:
        """Mean loss without the penalty."""
        return float(sum(self._map(theta, gradients=False))) / self.total

    def _map(self, theta: Vector, gradients: bool) -> Iterable[Any]:
        d, k = self._shape
        dtype = self._parts[0][0].dtype
        weights, bias = theta[: d * k].reshape(d, k).astype(dtype), theta[d * k :]

        def work(part: tuple[Any, Block, Vector]) -> Any:
            Z, block, weight = part
            value, slope = self._setup.objective(Z @ weights + bias, block)
            total = float(value @ weight)
            if not gradients:
                return total
            slope *= weight[:, None]
            return total, Z.T @ slope.astype(dtype, copy=False), slope.sum(axis=0)

        return self._setup.threads.map(work, self._parts)


def minimise(
    problem: Problem,
    l2: float,
    start: Vector,
    *,
    iterations: int,
    tolerance: float,
    after: Callable[[Vector, float], bool] | None = None,
) -> tuple[Vector, int]:
    """L-BFGS from `start`.

    Parameters
    ----------
    problem : Problem
    l2 : float
        Penalty.
    start : array of shape (problem.size,)
    iterations : int
        At most so many.
    tolerance : float
        Stop when an iteration lowers the value by less than this share of what was won since
        all weights were 0 (a share of the value itself would stop too early where shares or
        unsure statements leave a large loss that no model can remove).
    after : callable, optional
        Called with (theta, value) after each iteration; True stops.

    Returns
    -------
    theta : array of shape (problem.size,)
    iterations : int
        How many were made.
    """
    from scipy.optimize import minimize

    metric = _Metric(problem, l2)

    def value_and_gradient(phi: Vector) -> tuple[float, Vector]:
        value, gradient = problem.value_and_gradient(metric.theta(phi), l2)
        return value, metric.pull(gradient)

    previous = np.inf

    def callback(intermediate_result: Any) -> None:
        nonlocal previous
        value = float(intermediate_result.fun)
        stop = after is not None and after(metric.theta(intermediate_result.x), value)
        if stop or previous - value <= tolerance * (problem.baseline - value):
            raise StopIteration
        previous = value

    result = minimize(
        value_and_gradient,
        metric.phi(start),
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={
            "maxiter": iterations,
            "maxfun": 2 * iterations + 20,
            "ftol": 0.0,
            "gtol": 1e-7,
            "maxcor": 10,
        },
    )
    return metric.theta(result.x), int(result.nit)


class _Metric:
    """Coordinates ``phi = L' theta`` in which the Hessian is near the identity.

    ``L L' = M / K + l2 I`` with the second moments M (the intercept has no l2): 1 / K is the order
    of the softmax's curvature. Without moments, phi is theta.
    """

    def __init__(self, problem: Problem, l2: float) -> None:
        moments = problem.moments
        self._k = problem.n_classes
        self._factor = None
        if moments is not None:
            matrix = moments / self._k
            diagonal = np.full(len(matrix), max(l2, 1e-6))
            diagonal[-1] = 1e-6
            matrix[np.diag_indices_from(matrix)] += diagonal
            self._factor = np.linalg.cholesky(matrix)

    def phi(self, theta: Vector) -> Vector:
        if self._factor is None:
            return theta
        return np.asarray(self._factor.T @ theta.reshape(-1, self._k)).reshape(-1)

    def theta(self, phi: Vector) -> Vector:
        return self._solve(phi, trans="T")

    def pull(self, gradient: Vector) -> Vector:
        """Gradient with respect to phi."""
        return self._solve(gradient, trans="N")

    def _solve(self, vector: Vector, trans: str) -> Vector:
        if self._factor is None:
            return vector
        from scipy.linalg import solve_triangular

        columns = vector.reshape(-1, self._k)
        solved = solve_triangular(
            self._factor, columns, trans=trans, lower=True, check_finite=False
        )
        return np.asarray(solved).reshape(-1)
