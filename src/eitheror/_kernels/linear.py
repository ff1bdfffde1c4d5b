"""Compiled epoch of a linear model on sparse rows: stochastic gradient steps, one row at a time.

Arrays in, arrays changed in place, one loss out. The weights of a feature lie next to each other,
``(n_features, n_block)``, so that forward and update run along the classes. A block is all the
classes, or for one-vs-all losses a fixed range of them: such blocks share nothing, so threads may
take them in any order and the bytes stay the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.ahead import ask_for_statement
from eitheror._kernels.arrays import Features, Room, Targets
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.losses import row_gradient, statement_gradient, uniform_draw
from eitheror._kernels.simd import prefetch

__all__ = ["linear_epoch", "linear_loss"]

Floats = NDArray[np.float32]

_LINE = 16  # float32 numbers in a cache line
_ASKED = 128  # classes of a row that are asked for; the processor sees the rest coming


@jit(SUMS, part=True)
def _forward(
    indices: NDArray[np.int32],
    values: Floats,
    start: int,
    stop: int,
    weight: Floats,
    bias: Floats,
    scale: np.float32,
    out: Floats,
) -> None:
    """Write scale * sum_j x_j weight[j] + bias."""
    n = out.shape[0]
    for k in range(n):
        out[k] = np.float32(0.0)
    for j in range(start, stop):
        feature, x = np.uintp(indices[np.uintp(j)]), values[np.uintp(j)]
        for k in range(n):
            out[k] += x * weight[feature, k]
    for k in range(n):
        out[k] = out[k] * scale + bias[k]


@jit(SUMS, part=True)
def _step(weight: Floats, feature: np.uintp, gradient: Floats, rate: np.float32) -> None:
    for k in range(gradient.shape[0]):
        weight[feature, k] -= rate * gradient[k]


@jit(SUMS, part=True)
def _step_bias(bias: Floats, gradient: Floats, rate: np.float32) -> None:
    for k in range(gradient.shape[0]):
        bias[k] -= rate * gradient[k]


@jit(SUMS, part=True)
def _square_sum(gradient: Floats) -> float:
    total = np.float32(0.0)
    for k in range(gradient.shape[0]):
        total += gradient[k] * gradient[k]
    return float(total)


@jit(EXACT, part=True)
def _ask_for_rows(
    order: NDArray[np.int64],
    position: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: Floats,
    weight: Floats,
    squares: Floats,
) -> None:
    """Prefetch the weights of the next row's features, and the features of the third from here."""
    n_rows, n = order.shape[0], weight.shape[1]
    if position + 3 < n_rows:
        later = order[position + 3]
        for j in range(indptr[later], indptr[later + 1], _LINE):
            prefetch(indices, j)
            prefetch(values, j)
    if position + 1 < n_rows:
        later = order[position + 1]
        for j in range(indptr[later], indptr[later + 1]):
            feature = np.intp(indices[np.uintp(j)])
            for line in range(0, min(n, _ASKED), _LINE):
                prefetch(weight, feature * n + line)
            if squares.shape[0] > 0:
                prefetch(squares, feature)


@jit(EXACT, bare=True)
def _rescale(weight: Floats, scale: float) -> None:
    factor = np.float32(scale)
    for j in range(weight.shape[0]):
        for k in range(weight.shape[1]):
            weight[j, k] *= factor


@jit(EXACT, bare=True)
def linear_epoch(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    class_weight: Floats,
    weight: Floats,
    bias: Floats,
    squares: Floats,
    bias_squares: Floats,
    code: int,
    first: int,
    rate_start: float,
    rate_stop: float,
    decay: float,
    smoothing: float,
    seed: int,
    epoch: int,
    room: Room,
) -> float:
    """One pass over the rows of `order`; returns the weighted sum of their losses.

    Parameters
    ----------
    order : int64 array
        The rows, in the order in which they are visited.
    features, targets : Features, Targets
        All rows.
    class_weight : float32 array of shape (n_block,) or (0,)
        See `eitheror._kernels.losses.row_gradient`, as `code`, `first` and `smoothing`.
    weight, bias : float32 arrays of shape (n_features, n_block), (n_block,)
        Changed in place.
    squares, bias_squares : float32 arrays of shape (n_features,), (1,), or empty
        Adagrad's sums, one a feature; empty means plain steps.
    rate_start, rate_stop : float
        The learning rate falls linearly from the first to the second during the pass.
    decay : float
        L2 penalty: each step multiplies the weights by ``1 - rate * decay``.
    seed, epoch : int
        Which labels are drawn, where the loss draws any.
    room : Room
        From `linear_room`.
    """
    logits, gradient, listed = room.logits, room.gradient, room.listed
    adaptive = squares.shape[0] > 0
    scale = 1.0
    indptr, indices, values = features
    ends, named, worth, rest, mode, group_indptr, group_ends, group_indices, row_weight = targets
    total = 0.0
    n_rows = order.shape[0]
    for position in range(n_rows):
        i = order[position]
        start, stop = indptr[i], indptr[i + 1]
        _ask_for_rows(order, position, indptr, indices, values, weight, squares)
        ask_for_statement(
            order,
            position,
            ends,
            named,
            worth,
            rest,
            mode,
            group_indptr,
            group_ends,
            group_indices,
            row_weight,
        )
        _forward(indices, values, start, stop, weight, bias, np.float32(scale), logits)
        factor = row_weight[i]
        total += factor * statement_gradient(
            code,
            mode[i],
            ends[i],
            ends[i + 1],
            rest[i],
            named,
            worth,
            group_indptr[i],
            group_indptr[i + 1],
            group_ends,
            group_indices,
            logits,
            first,
            class_weight,
            smoothing,
            uniform_draw(seed, epoch, i),
            listed,
            gradient,
        )
        rate = rate_start + (rate_stop - rate_start) * (position / n_rows)
        if decay > 0.0:
            scale *= 1.0 - rate * decay
            if scale < 1e-4:
                _rescale(weight, scale)
                scale = 1.0
        step = rate * factor
        size = 0.0
        bias_step = step
        if adaptive:
            size = factor * factor * _square_sum(gradient)
            bias_squares[0] += size
            bias_step = step / np.sqrt(bias_squares[0])
        _step_bias(bias, gradient, np.float32(bias_step))
        for j in range(start, stop):
            feature, x = np.uintp(indices[np.uintp(j)]), values[np.uintp(j)]
            speed = step * x / scale
            if adaptive:
                squares[feature] += x * x * size
                speed /= np.sqrt(squares[feature])
            _step(weight, feature, gradient, np.float32(speed))
    if scale != 1.0:
        _rescale(weight, scale)
    return total


@jit(EXACT, bare=True)
def linear_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    weight: Floats,
    bias: Floats,
    code: int,
    first: int,
    room: Room,
) -> float:
    """Weighted sum of the losses of the rows in `order`, nothing changed but the room."""
    logits, gradient, listed = room.logits, room.gradient, room.listed
    no_weight = gradient[:0]
    indptr, indices, values = features
    total = 0.0
    for i in order:
        start, stop = indptr[i], indptr[i + 1]
        _forward(indices, values, start, stop, weight, bias, np.float32(1.0), logits)
        total += targets.row_weight[i] * row_gradient(
            code, i, targets, logits, first, no_weight, 0.0, 0.0, listed, gradient
        )
    return total
