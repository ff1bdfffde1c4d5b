"""Compiled losses of one row: logits in, value and gradient out, for every trainable objective.

The trainers call `row_gradient` once a row, inside their own compiled loops. A trainer that owns
only the classes ``first .. first + len(logits)`` (one-vs-all in blocks) passes that offset; the
losses that couple the classes need the whole row.

The decision here: a set, a complement or a trusted rejection costs one exponential a class, as an
exact label does. Listed classes are lifted out of the row, the rest is summed once, and the two
groups of the stable form are put together from these sums in float64:
``loss = softplus(d)``, ``d = lse(f + log(1 - w)) - lse(f + log w)``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, Targets, jit

__all__ = ["CODES", "EVALUATION", "exp32", "row_gradient", "statement_gradient", "uniform_draw"]

UNKNOWN, EVIDENCE, SHARES, MARGINALS = 0, 1, 2, 3
SOFTMAX, UNIFORM, RANDOM_PICK, OVA, OVA_N, PAL, PAL_N, POL = range(8)
CODES = {
    "softmax": SOFTMAX,
    "uniform": UNIFORM,
    "random-pick": RANDOM_PICK,
    "ova": OVA,
    "ova-n": OVA_N,
    "pal": PAL,
    "pal-n": PAL_N,
    "pol": POL,
}
"""Number of each value of the `loss` option."""
EVALUATION = {code: code for code in CODES.values()} | {
    UNIFORM: SOFTMAX,
    RANDOM_PICK: SOFTMAX,
    POL: PAL_N,
}
"""The code that scores held-out rows: the statement's likelihood, and nothing drawn."""

_RULED_OUT = np.float32(-3.0e38)

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@jit(EXACT)
def exp32(x: np.float32) -> np.float32:
    """exp(x) of a float32, by range reduction and a polynomial; relative error below 2e-7.

    No reordering is allowed here: the reduction ``x - n log 2`` is done in two exact steps.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = (x * np.float32(1.44269504) + np.float32(12582912.0)) - np.float32(12582912.0)
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return p * power.view(np.float32)


@jit(EXACT)
def uniform_draw(seed: int, epoch: int, row: int) -> float:
    """One number in [0, 1) that depends on nothing but (seed, epoch, row): splitmix64."""
    z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch)
    z = z * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(row) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@jit(EXACT)
def _log_1_plus(e: float) -> float:
    """log(1 + e) for 0 <= e <= 1, relative error below 1e-10.

    ``2 artanh(e / (2 + e))`` by its series, which costs one division and no call.
    """
    s = e / (2.0 + e)
    t = s * s
    p = 1.0 / 19.0
    p = p * t + 1.0 / 17.0
    p = p * t + 1.0 / 15.0
    p = p * t + 1.0 / 13.0
    p = p * t + 1.0 / 11.0
    p = p * t + 1.0 / 9.0
    p = p * t + 1.0 / 7.0
    p = p * t + 1.0 / 5.0
    p = p * t + 1.0 / 3.0
    return 2.0 * s * (p * t + 1.0)


@jit(EXACT)
def _log_add(a: float, b: float) -> float:
    top, bottom = max(a, b), min(a, b)
    if bottom == -math.inf:
        return top
    return top + _log_1_plus(math.exp(bottom - top))


@jit(EXACT)
def _softplus(x: float) -> float:
    return max(x, 0.0) + _log_1_plus(math.exp(-abs(x)))


@jit(EXACT)
def _sigmoid(x: float) -> float:
    # Each branch exponentiates a negative number only.
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@jit(EXACT)
def _share(weight: float, log_ratio: float) -> float:
    """Weight times exp(log_ratio), 0 for an empty group."""
    return weight * math.exp(log_ratio) if weight > 0.0 else 0.0


@jit(SUMS)
def _exponentials(logits: Floats, out: Floats) -> tuple[float, float]:
    """Write exp(logits - top) and return (top, sum). Ruled-out logits give 0."""
    n = logits.shape[0]
    top = logits[0]
    for k in range(1, n):
        top = max(top, logits[k])
    if top <= _RULED_OUT:
        out[:] = np.float32(0.0)
        return -math.inf, 0.0
    total = np.float32(0.0)
    for k in range(n):
        value = exp32(logits[k] - top)
        out[k] = value
        total += value
    return float(top), float(total)


@jit(SUMS)
def _scale_shift(out: Floats, factor: np.float32, shift: np.float32) -> None:
    for k in range(out.shape[0]):
        out[k] = out[k] * factor - shift


@jit(SUMS)
def _mean(values: Floats) -> float:
    total = np.float32(0.0)
    for k in range(values.shape[0]):
        total += values[k]
    return float(total) / float(values.shape[0])


@jit(EXACT)
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
    """softplus(d) and sigma(d) (r - q), the row's listed classes lifted out and put back."""
    allowed, denied = -math.inf, -math.inf
    for j in range(start, stop):
        z, w = float(logits[indices[j]]), float(values[j])
        listed[j - start] = z
        logits[indices[j]] = _RULED_OUT
        if w == 1.0:
            allowed = _log_add(allowed, z)
        elif w == 0.0:
            denied = _log_add(denied, z)
        else:
            allowed = _log_add(allowed, z + math.log(w))
            denied = _log_add(denied, z + math.log1p(-w))
    top, total = _exponentials(logits, out)
    others = top + math.log(total) if total > 0.0 else -math.inf
    if rest > 0.0:
        allowed = _log_add(allowed, others + math.log(rest))
    if rest < 1.0:
        denied = _log_add(denied, others + math.log1p(-rest))
    d = denied - allowed if denied > -math.inf else -math.inf
    e = math.exp(-abs(d))
    slope = (1.0 - smoothing) * (1.0 if d >= 0.0 else e) / (1.0 + e)
    value = (1.0 - smoothing) * (max(d, 0.0) + _log_1_plus(e))
    # One constant turns every unlisted exponential into its gradient.
    factor, constant, whole = 0.0, 0.0, 0.0
    if total > 0.0:
        # Without a rest, what is denied can be just the unlisted: exp(top - denied) is 1 / total.
        if rest == 0.0 and denied == others:
            factor = slope / total
        else:
            factor = slope * (_share(1.0 - rest, top - denied) - _share(rest, top - allowed))
    if smoothing > 0.0:
        whole = _log_add(allowed, denied)
        constant = smoothing / logits.shape[0]
        if total > 0.0:
            factor += _share(smoothing, top - whole)
    _scale_shift(out, np.float32(factor), np.float32(constant))
    for j in range(start, stop):
        z, w = listed[j - start], float(values[j])
        if z == allowed and w == 1.0:  # all of what is allowed
            g = -slope
        else:
            g = slope * (_share(1.0 - w, z - denied) - _share(w, z - allowed))
        if smoothing > 0.0:
            g += _share(smoothing, z - whole) - constant
        out[indices[j]] = g
        logits[indices[j]] = z
    return value + smoothing * (whole - _mean(logits)) if smoothing > 0.0 else value


@jit(EXACT)
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
    top, total = _exponentials(logits, out)
    keep = 1.0 - smoothing
    constant = keep * rest + smoothing * mass / logits.shape[0]
    _scale_shift(out, np.float32(mass / total), np.float32(constant))
    value = mass * (top + math.log(total))
    if constant > 0.0:
        value -= constant * _mean(logits) * logits.shape[0]
    for j in range(start, stop):
        extra = keep * (scale * targets[j] - rest)
        out[indices[j]] -= np.float32(extra)
        value -= extra * float(logits[indices[j]])
    return value


@jit(EXACT)
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


@jit(EXACT)
def _unlisted(indices: Integers, start: int, stop: int, n: int, position: int) -> int:
    """Return the class at `position` among those that the row does not list."""
    taken = np.zeros(n, np.bool_)
    for j in range(start, stop):
        taken[indices[j]] = True
    last = 0
    for k in range(n):
        if not taken[k]:
            last = k
            if position == 0:
                break
            position -= 1
    return last


@jit(SUMS)
def _sigmoids(logits: Floats, shift: np.float32, out: Floats) -> None:
    """Write sigma(logits) - shift, from the exponential of a negative number."""
    for k in range(logits.shape[0]):
        z = logits[k]
        e = exp32(-abs(z))
        inverse = np.float32(1.0) / (np.float32(1.0) + e)
        out[k] = (inverse if z >= np.float32(0.0) else e * inverse) - shift


@jit(SUMS)
def _softplus_sum(logits: Floats) -> float:
    """Sum of softplus(f): max(f, 0) and the log of a product of factors in (1, 2]."""
    total = 0.0
    n = logits.shape[0]
    for start in range(0, n, 64):
        linear = np.float32(0.0)
        product = 1.0
        for k in range(start, min(start + 64, n)):
            z = logits[k]
            linear += max(z, np.float32(0.0))
            product *= 1.0 + float(exp32(-abs(z)))
        total += float(linear) + math.log(product)
    return total


@jit(EXACT)
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
        _sigmoids(logits, np.float32(half), out)
        value = _softplus_sum(logits)
        if half > 0.0:
            value -= half * _mean(logits) * n
    else:
        out[:] = np.float32(0.0)
    for j in range(start, stop):
        k = indices[j] - first
        if 0 <= k < n:
            z = float(logits[k])
            target = (1.0 - smoothing) * scale * values[j] + half
            out[k] = np.float32(_sigmoid(z) - target)
            value += (half - target) * z if closed else _softplus(z) - target * z
    return value


@jit(EXACT)
def _groups(
    logits: Floats,
    start: int,
    stop: int,
    ends: NDArray[np.int64],
    members: Integers,
    class_weight: Floats,
    out: Floats,
) -> float:
    """Add the loss and gradient of "at least one of" groups start .. stop.

    ``loss = -log(1 - exp(-s))`` with ``s = sum softplus(f)`` over the group; gradient
    ``-sigma(f) / (exp(s) - 1)``. A group weighs what its classes weigh on the mean.
    """
    value = 0.0
    for group in range(start, stop):
        log_s, weight = -math.inf, 1.0
        for j in range(ends[group], ends[group + 1]):
            z = float(logits[members[j]])
            # log softplus(z) is z itself far below 0.
            log_s = _log_add(log_s, z if z < -30.0 else math.log(_softplus(z)))
            if class_weight.shape[0] > 0:
                weight += (class_weight[members[j]] - weight) / (j - ends[group] + 1)
        s = math.exp(log_s)
        # log(exp(s) - 1), from log s where s is tiny
        log_odds = log_s if s < 1e-8 else s + math.log(-math.expm1(-s))
        value += weight * (s - log_odds)
        for j in range(ends[group], ends[group + 1]):
            z = float(logits[members[j]])
            slope = math.exp(z - _softplus(z) - log_odds)
            out[members[j]] -= np.float32(weight * slope)
    return value


@jit(SUMS)
def _weigh(gradient: Floats, class_weight: Floats) -> None:
    for k in range(gradient.shape[0]):
        gradient[k] *= class_weight[k]


@jit(EXACT)
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
        picked = _unlisted(indices, start, stop, n, int((level - sum_listed) / rest))
    value = _cross_entropy(logits, indices, values, start, start, 1.0, 0.0, 1.0, smoothing, out)
    out[picked] -= np.float32(1.0 - smoothing)
    return value - (1.0 - smoothing) * float(logits[picked])


@jit(EXACT)
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


@jit(EXACT)
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
        value += _groups(
            logits, first_group, last_group, group_ends, group_indices, class_weight, out
        )
    return value


@jit(EXACT)
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
