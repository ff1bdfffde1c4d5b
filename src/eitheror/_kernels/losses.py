"""Compiled losses of one row: logits in, value and gradient out, for every trainable objective.

The trainers call `row_gradient` once a row, inside their own compiled loops. A trainer that owns
only the classes ``first .. first + len(logits)`` (one-vs-all in blocks) passes that offset; the
losses that couple the classes need the whole row.

The decision here: a set, a complement or a trusted rejection costs one exponential a class, as an
exact label does. With ``e = exp(f - max f)``, `allowed` the sum of w e and `denied` the sum of
(1 - w) e, the loss is ``log((allowed + denied) / allowed)``: the listed classes are lifted out of
the row, the rest is summed once, and the two sums are put together in float64. Where `allowed` is
below what float32 holds, logarithms take over:
``loss = softplus(d)``, ``d = lse(f + log(1 - w)) - lse(f + log w)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import CODES, EVALUATION, Targets
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.elementary import (
    exp32,
    log_1_plus,
    log_add,
    share,
    uniform_draw,
)
from eitheror._kernels.groups import group_gradient
from eitheror._kernels.marks import FAR, MARKED, marked_set
from eitheror._kernels.simd import (
    LANES,
    add,
    every,
    exponential,
    larger,
    largest,
    load,
    store,
)

__all__ = ["CODES", "EVALUATION", "exp32", "row_gradient", "statement_gradient", "uniform_draw"]

UNKNOWN, EVIDENCE, SHARES, MARGINALS = 0, 1, 2, 3
SOFTMAX, UNIFORM, RANDOM_PICK, OVA, OVA_N, PAL, PAL_N, POL = CODES.values()

_RULED_OUT = np.float32(-3.0e38)
_ONE = (0,)  # how long a vector of 16 classes is

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@jit(EXACT, part=True)
def _largest(logits: Floats) -> Any:
    """Return the largest number; of nan, any."""
    n = logits.shape[0]
    whole = n // LANES * LANES
    top = logits[0]
    if whole > 0:
        tops = load(logits, 0, _ONE)
        for k in range(LANES, whole, LANES):
            tops = larger(tops, load(logits, k, _ONE))
        top = largest(tops)
    for k in range(whole, n):
        top = logits[k] if logits[k] > top else top
    return top


@jit(EXACT, part=True)
def _exponentials(logits: Floats, top: np.float32, out: Floats) -> None:
    """Write exp(logits - top)."""
    n = logits.shape[0]
    whole = n // LANES * LANES
    below = every(-top, _ONE)
    for k in range(0, whole, LANES):
        store(out, k, exponential(add(load(logits, k, _ONE), below)))
    for k in range(whole, n):
        out[k] = exp32(logits[k] - top)


@jit(SUMS, part=True)
def _sum(values: Floats) -> float:
    total = np.float32(0.0)
    for k in range(values.shape[0]):
        total += values[k]
    return float(total)


@jit(SUMS, part=True)
def _scale_shift(out: Floats, factor: np.float32, shift: np.float32) -> None:
    for k in range(out.shape[0]):
        out[k] = out[k] * factor - shift


@jit(SUMS, part=True)
def _listed_sum(indices: Integers, values: Floats, start: int, stop: int, out: Floats) -> float:
    total = 0.0
    for j in range(start, stop):
        total += float(values[np.uintp(j)]) * float(out[np.uintp(indices[np.uintp(j)])])
    return total


@jit(EXACT, part=True)
def _evidence(
    logits: Floats,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    rest: float,
    smoothing: float,
    listed: NDArray[np.float64],
    out: Floats,
) -> float:
    """-log of the share of what is allowed; p - q, q the shares within what is allowed."""
    top = _largest(logits)
    _exponentials(logits, top, out)
    direct = rest == 0.0 and smoothing == 0.0
    if direct:  # all that is allowed is listed
        allowed = _listed_sum(indices, values, start, stop, out)
        total = max(_sum(out), allowed)
    else:
        allowed, denied = 0.0, 0.0
        for j in range(start, stop):
            k, w = np.uintp(indices[np.uintp(j)]), float(values[np.uintp(j)])
            e = float(out[k])
            out[k] = np.float32(0.0)
            listed[np.uintp(j - start)] = e
            allowed += w * e
            denied += (1.0 - w) * e
        others = _sum(out)
        allowed += rest * others
        total = allowed + denied + (1.0 - rest) * others
    if allowed < FAR * total:
        return _far_evidence(logits, indices, values, start, stop, rest, smoothing, listed, out)
    keep = 1.0 - smoothing
    constant = smoothing / logits.shape[0]
    p, q = 1.0 / total, keep / allowed
    _scale_shift(out, np.float32(p - q * rest), np.float32(constant))
    for j in range(start, stop):
        k, w = np.uintp(indices[np.uintp(j)]), float(values[np.uintp(j)])
        if direct:
            out[k] *= np.float32(1.0 - q / p * w)
        else:
            out[k] = np.float32(listed[np.uintp(j - start)] * (p - q * w) - constant)
    value = keep * math.log(total / allowed)
    if smoothing > 0.0:
        value += smoothing * (float(top) + math.log(total)) - constant * _sum(logits)
    return value


@jit(EXACT, part=True)
def _marked(
    logits: Floats,
    words: Integers,
    values: Floats,
    start: int,
    rest: float,
    smoothing: float,
    out: Floats,
) -> float:
    """Do the same for a set of many classes."""
    top = _largest(logits)
    _exponentials(logits, top, out)
    value = marked_set(logits, words, start, float(values[start]), rest, smoothing, float(top), out)
    return value - smoothing / logits.shape[0] * _sum(logits) if smoothing > 0.0 else value


@jit(EXACT, bare=True)
def _far_evidence(
    logits: Floats,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    rest: float,
    smoothing: float,
    listed: NDArray[np.float64],
    out: Floats,
) -> float:
    """softplus(d) and sigma(d) (r - q), r the shares within what is denied."""
    allowed, denied = -math.inf, -math.inf
    for j in range(start, stop):
        # In compiled code `float` leaves a float32 what it is; these sums need the digits.
        z, w = np.float64(logits[indices[j]]), np.float64(values[j])
        listed[j - start] = z
        logits[indices[j]] = _RULED_OUT
        if w == 1.0:
            allowed = log_add(allowed, z)
        elif w == 0.0:
            denied = log_add(denied, z)
        else:
            allowed = log_add(allowed, z + math.log(w))
            denied = log_add(denied, z + math.log1p(-w))
    top, total = np.float64(_largest(logits)), 0.0
    out[:] = np.float32(0.0)
    if top > _RULED_OUT:
        _exponentials(logits, np.float32(top), out)
        total = np.float64(_sum(out))
    others = top + math.log(total) if total > 0.0 else -math.inf
    if rest > 0.0:
        allowed = log_add(allowed, others + math.log(rest))
    if rest < 1.0:
        denied = log_add(denied, others + math.log1p(-rest))
    d = denied - allowed if denied > -math.inf else -math.inf
    e = math.exp(-abs(d))
    slope = (1.0 - smoothing) * (1.0 if d >= 0.0 else e) / (1.0 + e)
    value = (1.0 - smoothing) * (max(d, 0.0) + log_1_plus(e))
    # One constant turns every unlisted exponential into its gradient.
    factor, constant, whole = 0.0, 0.0, 0.0
    if total > 0.0:
        # Without a rest, what is denied can be just the unlisted: exp(top - denied) is 1 / total.
        if rest == 0.0 and denied == others:
            factor = slope / total
        else:
            factor = slope * (share(1.0 - rest, top - denied) - share(rest, top - allowed))
    if smoothing > 0.0:
        whole = log_add(allowed, denied)
        constant = smoothing / logits.shape[0]
        if total > 0.0:
            factor += share(smoothing, top - whole)
    _scale_shift(out, np.float32(factor), np.float32(constant))
    for j in range(start, stop):
        z, w = listed[j - start], np.float64(values[j])
        if z == allowed and w == 1.0:  # all of what is allowed
            g = -slope
        else:
            g = slope * (share(1.0 - w, z - denied) - share(w, z - allowed))
        if smoothing > 0.0:
            g += share(smoothing, z - whole) - constant
        out[indices[j]] = g
        logits[indices[j]] = z
    return (
        value + smoothing * (whole - _sum(logits) / logits.shape[0]) if smoothing > 0.0 else value
    )


@jit(EXACT, part=True)
def _cross_entropy(
    logits: Floats,
    indices: Integers,
    targets: Floats,
    start: int,
    stop: int,
    scale: float,
    rest: float,
    mass: float,
    smoothing: float,
    out: Floats,
) -> float:
    """Return mass lse(f) - sum t f; the gradient is mass p - t.

    t is scale * targets[j] at indices[j] and `rest` elsewhere; mass is the sum of t.
    """
    top = _largest(logits)
    _exponentials(logits, top, out)
    total = _sum(out)
    keep = 1.0 - smoothing
    constant = keep * rest + smoothing * mass / logits.shape[0]
    _scale_shift(out, np.float32(mass / total), np.float32(constant))
    value = mass * (float(top) + math.log(total))
    if constant > 0.0:
        value -= constant * _sum(logits)
    for j in range(start, stop):
        extra = keep * (scale * targets[j] - rest)
        k = np.uintp(indices[j])
        out[k] -= np.float32(extra)
        value -= extra * float(logits[k])
    return value


@jit(EXACT, bare=True)
def _pick(weights: Floats, start: int, stop: int, level: float) -> int:
    """Return the first position at which the running sum of the weights passes the level."""
    last = start
    for j in range(start, stop):
        if weights[j] > 0.0:
            last = j
            level -= weights[j]
            if level < 0.0:
                break
    return last


@jit(EXACT, bare=True)
def _unlisted(
    indices: Integers, start: int, stop: int, position: int, taken: NDArray[np.float64]
) -> int:
    """Return the class at `position` among those that the row does not list; `taken` is room."""
    taken[:] = 0.0
    for j in range(start, stop):
        taken[indices[j]] = 1.0
    last = 0
    for k in range(taken.shape[0]):
        if taken[k] == 0.0:
            last = k
            if position == 0:
                break
            position -= 1
    return last


@jit(SUMS, part=True)
def _sigmoids(logits: Floats, shift: np.float32, out: Floats) -> float:
    """Write sigma(f) - shift and return the sum of softplus(f).

    ``softplus(f) = max(f, 0) + log(1 + e)`` with e the exponential of -abs(f), and the logarithms
    of 64 factors in (1, 2] are that of their product.
    """
    total = 0.0
    n = logits.shape[0]
    for start in range(0, n, 64):
        linear, product = np.float32(0.0), np.float32(1.0)
        for k in range(start, min(start + 64, n)):
            z = logits[k]
            e = exp32(-abs(z))
            inverse = np.float32(1.0) / (np.float32(1.0) + e)
            out[k] = (inverse if z >= np.float32(0.0) else e * inverse) - shift
            linear += max(z, np.float32(0.0))
            product *= np.float32(1.0) + e
        total += float(linear) + math.log(float(product))
    return total


@jit(EXACT, part=True)
def _sigmoid_row(
    logits: Floats,
    first: int,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    scale: float,
    rest: float,
    smoothing: float,
    out: Floats,
) -> float:
    """Sum of softplus(f) - t f over the known entries; gradient sigma(f) - t."""
    n = logits.shape[0]
    half = 0.5 * smoothing
    value = 0.0
    closed = not math.isnan(rest)
    if closed:
        value = _sigmoids(logits, np.float32(half), out)
        if half > 0.0:
            value -= half * _sum(logits)
    else:
        out[:] = np.float32(0.0)
    product = 1.0  # of what softplus takes the logarithm
    for j in range(start, stop):
        k = indices[np.uintp(j)] - first
        if 0 <= k < n:
            z = logits[np.uintp(k)]
            target = (1.0 - smoothing) * scale * values[np.uintp(j)] + half
            if closed:
                out[np.uintp(k)] -= np.float32(target - half)
                value += (half - target) * float(z)
            else:
                e = exp32(-abs(z))
                inverse = np.float32(1.0) / (np.float32(1.0) + e)
                sigma = inverse if z >= np.float32(0.0) else e * inverse
                out[np.uintp(k)] = sigma - np.float32(target)
                value += max(float(z), 0.0) - target * float(z)
                product *= 1.0 + float(e)
                if product > 1e300:
                    value += math.log(product)
                    product = 1.0
    return value if closed else value + math.log(product)


@jit(SUMS, part=True)
def _weigh(gradient: Floats, class_weight: Floats) -> None:
    for k in range(gradient.shape[0]):
        gradient[k] *= class_weight[k]


@jit(EXACT, part=True)
def _multiclass(
    code: int,
    logits: Floats,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    rest: float,
    mode: int,
    smoothing: float,
    draw: float,
    listed: NDArray[np.float64],
    out: Floats,
) -> float:
    if code == SOFTMAX and mode == EVIDENCE:
        return _evidence(logits, indices, values, start, stop, rest, smoothing, listed, out)
    if code == SOFTMAX and mode == MARKED:
        return _marked(logits, indices, values, start, rest, smoothing, out)
    n = logits.shape[0]
    n_unlisted = n - (stop - start)
    sum_listed = 0.0
    for j in range(start, stop):
        sum_listed += values[j]
    total = sum_listed + rest * n_unlisted
    if code != RANDOM_PICK:
        return _cross_entropy(
            logits, indices, values, start, stop, 1.0 / total, rest / total, 1.0, smoothing, out
        )
    level = draw * total
    if level < sum_listed or rest == 0.0:
        picked = indices[_pick(values, start, stop, level)]
    else:
        picked = _unlisted(indices, start, stop, int((level - sum_listed) / rest), listed[:n])
    value = _cross_entropy(logits, indices, values, start, start, 1.0, 0.0, 1.0, smoothing, out)
    out[picked] -= np.float32(1.0 - smoothing)
    return value - (1.0 - smoothing) * float(logits[picked])


@jit(EXACT, part=True)
def _multilabel(
    code: int,
    logits: Floats,
    first: int,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    rest: float,
    smoothing: float,
    draw: float,
    out: Floats,
) -> float:
    present = 0.0
    if code != OVA:
        for j in range(start, stop):
            present += values[j]
    if code == OVA or code == OVA_N:
        scale = 1.0 / present if code == OVA_N and present > 0.0 else 1.0
        return _sigmoid_row(
            logits, first, indices, values, start, stop, scale, rest, smoothing, out
        )
    if present <= 0.0:
        out[:] = np.float32(0.0)
        return 0.0
    scale, mass = 1.0, present
    if code == PAL_N:
        scale, mass = 1.0 / present, 1.0
    elif code == POL:
        start = _pick(values, start, stop, draw * present)
        stop = start + 1
        scale, mass = 1.0 / values[start], 1.0
    return _cross_entropy(logits, indices, values, start, stop, scale, 0.0, mass, smoothing, out)


@jit(EXACT, part=True)
def statement_gradient(
    code: int,
    mode: int,
    start: int,
    stop: int,
    rest: float,
    indices: Integers,
    values: Floats,
    first_group: int,
    last_group: int,
    group_ends: NDArray[np.int64],
    group_indices: Integers,
    logits: Floats,
    first: int,
    class_weight: Floats,
    smoothing: float,
    draw: float,
    listed: NDArray[np.float64],
    out: Floats,
) -> float:
    """`row_gradient` of the statement ``start .. stop``, its arrays taken out of `Targets`.

    A training loop takes them out once: each time it does, references are counted, which for a
    handful of classes costs as much as the loss itself. Slices would cost the same again.
    """
    if mode == UNKNOWN:
        out[:] = np.float32(0.0)
        return 0.0
    if code <= RANDOM_PICK:
        return _multiclass(
            code, logits, indices, values, start, stop, rest, mode, smoothing, draw, listed, out
        )
    value = _multilabel(
        code, logits, first, indices, values, start, stop, rest, smoothing, draw, out
    )
    if class_weight.shape[0] > 0:
        _weigh(out, class_weight)
    if last_group > first_group and code == OVA:
        value += group_gradient(
            logits, first_group, last_group, group_ends, group_indices, class_weight, out
        )
    return value


@jit(EXACT, bare=True)
def row_gradient(
    code: int,
    row: int,
    targets: Targets,
    logits: Floats,
    first: int,
    class_weight: Floats,
    smoothing: float,
    draw: float,
    listed: NDArray[np.float64],
    out: Floats,
) -> float:
    """Loss of one row; its gradient with respect to the logits is written to `out`.

    Parameters
    ----------
    code : int
        One of `CODES`.
    row : int
        Which row of the targets; its weight is left to the caller.
    targets : Targets
    logits, out : float32 arrays of shape (n_block,)
        All the classes, or for the sigmoid losses those from `first` on. The logits are changed
        while the function runs and restored before it returns.
    first : int
        Column of the first logit.
    class_weight : float32 array of shape (n_block,) or (0,)
        Factor of each class's gradient, for the sigmoid losses; empty means 1. The value that is
        returned leaves it out, but for groups.
    smoothing, draw : float
        Label smoothing; a uniform number for the objectives that draw a label.
    listed : float64 array of shape (n_classes,)
        Room to work in.

    Returns
    -------
    float
        The loss, 0 with a zero gradient for a row that says nothing.
    """
    return statement_gradient(
        code,
        targets.mode[row],
        targets.indptr[row],
        targets.indptr[row + 1],
        targets.rest[row],
        targets.indices,
        targets.values,
        targets.group_indptr[row],
        targets.group_indptr[row + 1],
        targets.group_ends,
        targets.group_indices,
        logits,
        first,
        class_weight,
        smoothing,
        draw,
        listed,
        out,
    )
