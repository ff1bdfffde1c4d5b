"""Compiled one-vs-rest logistic regression: sixteen classes solved side by side, each on its own.

Arrays in, weights and intercepts changed in place. The sixteen lanes of a vector are sixteen
classes: a feature row is read once for all of them, and a feature's sixteen weights are one cache
line. Each lane makes its own Newton steps: directions by conjugate gradients, step lengths by the
slope along them. Lanes never meet, so a class gets the same bits in whatever block it stands.

The intercept is not penalised. Conjugate gradients never see it: for any weights it has its own
best value, and putting that in leaves a system whose rows are centred by the curvature's mean,
``H v = X' D (u - mean_D(u)) + penalty v`` with ``u = X v``. Features that are never negative would
make the plain system badly conditioned.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, Features, jit
from eitheror._kernels.losses import exp32
from eitheror._kernels.simd import LANES, add_product, add_scaled, load, store, zeros

__all__ = ["Block", "Scratch", "block_loss", "solve_block"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_CHUNKS = (0,)  # one vector of sixteen
_RUN = 64  # numbers that are added in float32
_CG_STEPS = 50  # at most, in one Newton step
_TRIALS = 20  # step lengths tried


class Block(NamedTuple):
    """Sixteen logistic regressions on the same rows.

    ``sum_i w_i c_k loss(x_i W_k + b_k, t_ik) + penalty / 2 |W_k|^2`` over the rows whose target
    ``t_ik`` in [0, 1] is known; nan is unknown.
    """

    features: Features
    targets: Floats  # (n_samples, 16)
    row_weight: Floats  # (n_samples,)
    class_weight: Floats  # (16,)
    penalty: float


class Scratch(NamedTuple):
    """Tables that a block works in: by feature (n_features, 16), by row (n_samples, 16)."""

    step: Floats
    residual: Floats
    direction: Floats
    product: Floats
    mean: Floats  # sum_i d_i x_ij
    diagonal: Floats  # of the system
    logits: Floats  # without the intercept
    slope: Floats  # of the loss by the logit
    curvature: Floats
    along: Floats  # X times the step


@jit(SUMS)
def _multiply(features: Features, table: Floats, out: Floats) -> None:
    """Write out_i = sum_j x_ij table_j."""
    for i in range(out.shape[0]):
        total = zeros(_CHUNKS)
        for j in range(features.indptr[i], features.indptr[i + 1]):
            place = np.intp(features.indices[j]) * LANES
            total = add_scaled(total, features.values[j], load(table, place, _CHUNKS))
        store(out, i * LANES, total)


@jit(EXACT)
def _slopes(block: Block, scratch: Scratch, bias: Doubles, sums: Doubles) -> None:
    """Slope and curvature of every row's loss; sums[0], sums[1] are their sums by lane."""
    sums[:] = 0.0
    targets, logits = block.targets, scratch.logits
    for i in range(targets.shape[0]):
        weight = block.row_weight[i]
        for k in range(LANES):
            t = targets[i, k]
            z = logits[i, k] + np.float32(bias[k])
            e = exp32(-abs(z))
            small = e / (np.float32(1.0) + e)
            large = np.float32(1.0) / (np.float32(1.0) + e)
            p, q = (large, small) if z >= 0 else (small, large)
            factor = weight * block.class_weight[k]
            known = t == t
            # (1 - t) p - t (1 - p): no digits cancel where p is near t
            slope = factor * ((np.float32(1.0) - t) * p - t * q) if known else np.float32(0.0)
            curvature = factor * (p * q) if known else np.float32(0.0)
            scratch.slope[i, k] = slope
            scratch.curvature[i, k] = curvature
            sums[0, k] += slope
            sums[1, k] += curvature


@jit(SUMS)
def _gather(block: Block, scratch: Scratch, weight: Floats) -> None:
    """Write the gradient (into `product`), the curvature's mean row and the diagonal."""
    features = block.features
    gradient, mean, diagonal = scratch.product, scratch.mean, scratch.diagonal
    penalty = np.float32(block.penalty)
    diagonal[:] = penalty
    mean[:] = np.float32(0.0)
    for j in range(weight.shape[0]):
        pull = add_scaled(zeros(_CHUNKS), penalty, load(weight, j * LANES, _CHUNKS))
        store(gradient, j * LANES, pull)
    for i in range(scratch.slope.shape[0]):
        slope = load(scratch.slope, i * LANES, _CHUNKS)
        curvature = load(scratch.curvature, i * LANES, _CHUNKS)
        for j in range(features.indptr[i], features.indptr[i + 1]):
            place, x = np.intp(features.indices[j]) * LANES, features.values[j]
            store(gradient, place, add_scaled(load(gradient, place, _CHUNKS), x, slope))
            store(mean, place, add_scaled(load(mean, place, _CHUNKS), x, curvature))
            store(diagonal, place, add_scaled(load(diagonal, place, _CHUNKS), x * x, curvature))


@jit(SUMS)
def _curve(block: Block, scratch: Scratch, sums: Doubles) -> None:
    """Write ``product = X' D X direction``; sums[2] is ``sum_i d_i x_i direction`` by lane."""
    features, curvature = block.features, scratch.curvature
    direction, product = scratch.direction, scratch.product
    part = np.empty((1, LANES), np.float32)
    product[:] = np.float32(0.0)
    sums[2] = 0.0
    for i in range(curvature.shape[0]):
        first, last = features.indptr[i], features.indptr[i + 1]
        total = zeros(_CHUNKS)
        for j in range(first, last):
            place = np.intp(features.indices[j]) * LANES
            total = add_scaled(total, features.values[j], load(direction, place, _CHUNKS))
        store(part, 0, total)
        for k in range(LANES):
            part[0, k] *= curvature[i, k]
            sums[2, k] += part[0, k]
        total = load(part, 0, _CHUNKS)
        for j in range(first, last):
            place = np.intp(features.indices[j]) * LANES
            moved = add_scaled(load(product, place, _CHUNKS), features.values[j], total)
            store(product, place, moved)


@jit(SUMS)
def _dot_lanes(a: Floats, b: Floats, out: Doubles) -> None:
    """Sum of a * b over the features, lane by lane: float32 in short runs, float64 beyond."""
    out[:] = 0.0
    part = np.empty((1, LANES), np.float32)
    for start in range(0, a.shape[0], _RUN):
        total = zeros(_CHUNKS)
        for j in range(start, min(start + _RUN, a.shape[0])):
            total = add_product(total, load(a, j * LANES, _CHUNKS), load(b, j * LANES, _CHUNKS))
        store(part, 0, total)
        for k in range(LANES):
            out[k] += part[0, k]


@jit(SUMS)
def _start_descent(block: Block, scratch: Scratch, sums: Doubles, rho: Doubles) -> None:
    """Conjugate gradients begin: no step, the residual, the first direction; rho = r' M^-1 r.

    The diagonal is replaced by its inverse.
    """
    rho[:] = 0.0
    scratch.step[:] = np.float32(0.0)
    penalty = np.float32(block.penalty)
    inverse, centre = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for k in range(LANES):
        inverse[k] = 1 / max(sums[1, k], 1e-30)
        centre[k] = sums[0, k] * inverse[k]
    for j in range(scratch.step.shape[0]):
        for k in range(LANES):
            mean = scratch.mean[j, k]
            residual = centre[k] * mean - scratch.product[j, k]
            scale = np.float32(1.0) / max(
                scratch.diagonal[j, k] - mean * mean * inverse[k], penalty
            )
            scratch.diagonal[j, k] = scale
            scratch.residual[j, k] = residual
            scratch.direction[j, k] = residual * scale
            rho[k] += residual * residual * scale


@jit(SUMS)
def _close_product(block: Block, scratch: Scratch, sums: Doubles, curved: Doubles) -> None:
    """Centre the product by the intercept's part and add the penalty; curved = v' H v."""
    lane = np.empty((1, LANES), np.float32)
    for k in range(LANES):
        lane[0, k] = -sums[2, k] / max(sums[1, k], 1e-30)
    centre = load(lane, 0, _CHUNKS)
    penalty = np.float32(block.penalty)
    for place in range(0, scratch.product.size, LANES):
        product = add_product(
            load(scratch.product, place, _CHUNKS), load(scratch.mean, place, _CHUNKS), centre
        )
        direction = load(scratch.direction, place, _CHUNKS)
        store(scratch.product, place, add_scaled(product, penalty, direction))
    _dot_lanes(scratch.direction, scratch.product, curved)


@jit(SUMS)
def _move(scratch: Scratch, alpha: Doubles, new: Doubles) -> None:
    """Step and residual go alpha along the direction; new = r' M^-1 r."""
    new[:] = 0.0
    n = scratch.step.shape[0]
    lane = np.empty((2, LANES), np.float32)
    for k in range(LANES):
        lane[0, k], lane[1, k] = alpha[k], -alpha[k]
    forward, back = load(lane, 0, _CHUNKS), load(lane, LANES, _CHUNKS)
    for start in range(0, n, _RUN):
        total = zeros(_CHUNKS)
        for j in range(start, min(start + _RUN, n)):
            place = j * LANES
            step = load(scratch.step, place, _CHUNKS)
            direction = load(scratch.direction, place, _CHUNKS)
            store(scratch.step, place, add_product(step, direction, forward))
            residual = load(scratch.residual, place, _CHUNKS)
            product = load(scratch.product, place, _CHUNKS)
            residual = add_product(residual, product, back)
            store(scratch.residual, place, residual)
            scaled = add_product(zeros(_CHUNKS), residual, load(scratch.diagonal, place, _CHUNKS))
            total = add_product(total, residual, scaled)
        store(lane, 0, total)
        for k in range(LANES):
            new[k] += lane[0, k]


@jit(SUMS)
def _turn(scratch: Scratch, beta: Doubles) -> None:
    """Write the next direction: ``M^-1 r + beta`` times the last one."""
    lane = np.empty((1, LANES), np.float32)
    for k in range(LANES):
        lane[0, k] = beta[k]
    kept = load(lane, 0, _CHUNKS)
    for place in range(0, scratch.direction.size, LANES):
        scaled = add_product(
            zeros(_CHUNKS),
            load(scratch.residual, place, _CHUNKS),
            load(scratch.diagonal, place, _CHUNKS),
        )
        direction = load(scratch.direction, place, _CHUNKS)
        store(scratch.direction, place, add_product(scaled, direction, kept))


@jit(EXACT)
def _descend(
    block: Block,
    scratch: Scratch,
    sums: Doubles,
    active: NDArray[np.bool_],
    accuracy: Doubles,
) -> int:
    """Solve for the Newton step by conjugate gradients; return how many directions it took."""
    rho, new, curved = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    alpha, beta = np.zeros(LANES), np.zeros(LANES)
    _start_descent(block, scratch, sums, rho)
    target = np.empty(LANES)
    running = active.copy()
    for k in range(LANES):
        target[k] = rho[k] * accuracy[k] * accuracy[k]
        running[k] &= rho[k] > 0
    for number in range(_CG_STEPS):
        left = 0
        for k in range(LANES):
            left += running[k]
        if left == 0:
            return number
        _curve(block, scratch, sums)
        _close_product(block, scratch, sums, curved)
        for k in range(LANES):
            running[k] &= curved[k] > 0
            alpha[k] = rho[k] / curved[k] if running[k] else 0.0
        _move(scratch, alpha, new)
        for k in range(LANES):
            beta[k] = new[k] / rho[k] if running[k] else 0.0
            rho[k] = new[k]
            running[k] &= new[k] > target[k]
        _turn(scratch, beta)
    return _CG_STEPS


@jit(EXACT)
def _slope_along(
    block: Block, scratch: Scratch, bias: Doubles, turn: Doubles, length: Doubles, out: Doubles
) -> None:
    """Write the loss's derivative by the length of the step (intercept: `turn`), no penalty."""
    out[:] = 0.0
    for i in range(block.targets.shape[0]):
        weight = block.row_weight[i]
        for k in range(LANES):
            t = block.targets[i, k]
            u = scratch.along[i, k] + np.float32(turn[k])
            z = scratch.logits[i, k] + np.float32(bias[k]) + np.float32(length[k]) * u
            e = exp32(-abs(z))
            small = e / (np.float32(1.0) + e)
            large = np.float32(1.0) / (np.float32(1.0) + e)
            p, q = (large, small) if z >= 0 else (small, large)
            slope = weight * ((np.float32(1.0) - t) * p - t * q)
            out[k] += slope * u if t == t else np.float32(0.0)
    for k in range(LANES):
        out[k] *= block.class_weight[k]


@jit(EXACT)
def _step_lengths(
    block: Block,
    scratch: Scratch,
    weight: Floats,
    bias: Doubles,
    turn: Doubles,
    active: NDArray[np.bool_],
) -> Doubles:
    """Lengths near the lowest point of the objective along the step, at most 1.

    The objective is convex along the step: its slope rises. The full length is taken if the slope
    there is at most a tenth of the first one's size. Else 0 lies between two lengths, which a
    straight line through their slopes, kept off the ends, brings together until the slope has
    fallen to a third.
    """
    length, low, high = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    low_slope, high_slope = np.zeros(LANES), np.zeros(LANES)
    slope, first = np.empty(LANES), np.empty(LANES)
    crossed, squared = np.empty(LANES), np.empty(LANES)
    trying = active.copy()
    _dot_lanes(weight, scratch.step, crossed)
    _dot_lanes(scratch.step, scratch.step, squared)
    _slope_along(block, scratch, bias, turn, length, first)
    for k in range(LANES):
        first[k] += block.penalty * crossed[k]
        trying[k] &= first[k] < 0
        low_slope[k] = first[k]
        length[k] = 1.0 if trying[k] else 0.0
    for _ in range(_TRIALS):
        left = 0
        for k in range(LANES):
            left += trying[k]
        if left == 0:
            break
        _slope_along(block, scratch, bias, turn, length, slope)
        for k in range(LANES):
            if not trying[k]:
                continue
            here = slope[k] + block.penalty * (crossed[k] + length[k] * squared[k])
            if here <= -0.1 * first[k] if length[k] == 1.0 else abs(here) <= -0.3 * first[k]:
                trying[k] = False
            elif here > 0:
                high[k], high_slope[k] = length[k], here
            else:
                low[k], low_slope[k] = length[k], here
            if trying[k]:
                part = low_slope[k] / (low_slope[k] - high_slope[k])
                length[k] = low[k] + min(max(part, 0.1), 0.9) * (high[k] - low[k])
    for k in range(LANES):
        if trying[k]:
            length[k] = low[k]
    return length


@jit(SUMS)
def _add_lengths(table: Floats, step: Floats, length: Doubles) -> None:
    """Move every lane of a table by its length along a step."""
    lane = np.empty((1, LANES), np.float32)
    for k in range(LANES):
        lane[0, k] = length[k]
    factor = load(lane, 0, _CHUNKS)
    for place in range(0, table.size, LANES):
        moved = add_product(load(table, place, _CHUNKS), load(step, place, _CHUNKS), factor)
        store(table, place, moved)


@jit(EXACT)
def _gradient_norm(scratch: Scratch, sums: Doubles, out: Doubles) -> None:
    _dot_lanes(scratch.product, scratch.product, out)
    for k in range(LANES):
        out[k] = math.sqrt(out[k] + sums[0, k] * sums[0, k])


@jit(EXACT)
def solve_block(
    block: Block,
    scratch: Scratch,
    weight: Floats,
    bias: Doubles,
    lanes: NDArray[np.bool_],
    tolerance: float,
    steps: int,
) -> int:
    """Minimise the objective of every lane; returns how many Newton steps were made.

    Parameters
    ----------
    block : Block
    scratch : Scratch
        Written over.
    weight, bias : float32 array of shape (n_features, 16), float64 array of shape (16,)
        Where the lanes start; changed in place. The weights must be 0.
    lanes : bool array of shape (16,)
        Which lanes have something to solve; the others keep their weights.
    tolerance : float
        A lane is done when its gradient is no longer than this share of the first one.
    steps : int
        At most so many Newton steps.
    """
    sums = np.zeros((3, LANES))
    turn, accuracy = np.zeros(LANES), np.zeros(LANES)
    first, norm = np.zeros(LANES), np.zeros(LANES)
    active = lanes.copy()
    scratch.logits[:] = np.float32(0.0)
    for number in range(steps + 1):
        _slopes(block, scratch, bias, sums)
        _gather(block, scratch, weight)
        _gradient_norm(scratch, sums, norm)
        left = 0
        for k in range(LANES):
            if number == 0:
                first[k] = norm[k]
            active[k] &= norm[k] > tolerance * first[k]
            accuracy[k] = min(0.1, math.sqrt(norm[k] / max(first[k], 1e-30)))
            left += active[k]
        if number == steps or left == 0:
            return number
        _descend(block, scratch, sums, active, accuracy)
        _multiply(block.features, scratch.step, scratch.along)
        _intercept_step(scratch, sums, turn)
        length = _step_lengths(block, scratch, weight, bias, turn, active)
        for k in range(LANES):
            active[k] &= length[k] > 0  # no way down is left that float32 can see
        _add_lengths(weight, scratch.step, length)
        _add_lengths(scratch.logits, scratch.along, length)
        for k in range(LANES):
            bias[k] += length[k] * turn[k]
    return steps


@jit(EXACT)
def _intercept_step(scratch: Scratch, sums: Doubles, turn: Doubles) -> None:
    """Write the intercept's step that goes with the weights' step."""
    turn[:] = 0.0
    for i in range(scratch.along.shape[0]):
        for k in range(LANES):
            turn[k] += scratch.curvature[i, k] * scratch.along[i, k]
    for k in range(LANES):
        turn[k] = -(sums[0, k] + turn[k]) / max(sums[1, k], 1e-30)


@jit(EXACT)
def block_loss(block: Block, logits: Floats, weight: Floats, bias: Doubles, out: Doubles) -> None:
    """Write each lane's weighted sum of losses, without the penalty.

    Parameters
    ----------
    block : Block
    logits : float32 array of shape (n_samples, 16)
        Written over.
    weight, bias : float32 array of shape (n_features, 16), float64 array of shape (16,)
    out : float64 array of shape (16,)
    """
    _multiply(block.features, weight, logits)
    out[:] = 0.0
    for i in range(logits.shape[0]):
        for k in range(LANES):
            t = float(block.targets[i, k])
            if t == t:
                z = logits[i, k] + bias[k]
                loss = max(z, 0.0) + math.log1p(math.exp(-abs(z))) - t * z
                out[k] += block.row_weight[i] * loss
    for k in range(LANES):
        out[k] *= block.class_weight[k]
