"""Compiled loss of joint statements about tags: at least one of a group is true."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.elementary import exp32, log_add, softplus

__all__ = ["group_gradient"]

_TINY = 1e-4  # groups whose probability is below it are computed by logarithms

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@jit(EXACT, part=True)
def group_gradient(
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
        none, weight = 1.0, 1.0  # none: the probability that no class of the group is true
        for j in range(ends[group], ends[group + 1]):
            k = np.uintp(members[np.uintp(j)])
            e = float(exp32(-abs(logits[k])))
            none *= (e if logits[k] >= np.float32(0.0) else 1.0) / (1.0 + e)
            if class_weight.shape[0] > 0:
                weight += (class_weight[k] - weight) / (j - ends[group] + 1)
        if none > 1.0 - _TINY:
            value += _far_group(logits, ends[group], ends[group + 1], members, weight, out)
            continue
        value -= weight * math.log(1.0 - none)
        speed = np.float32(weight * none / (1.0 - none))
        for j in range(ends[group], ends[group + 1]):
            k = np.uintp(members[np.uintp(j)])
            z = logits[k]
            e_k = exp32(-abs(z))
            sigma = (np.float32(1.0) if z >= np.float32(0.0) else e_k) / (np.float32(1.0) + e_k)
            out[k] -= speed * sigma
    return value


@jit(EXACT, bare=True)
def _far_group(
    logits: Floats, start: int, stop: int, members: Integers, weight: float, out: Floats
) -> float:
    """Do the same for one group by logarithms: its s may be so small that float64 has 0."""
    log_s = -math.inf
    for j in range(start, stop):
        z = float(logits[members[j]])
        # log softplus(z) is z itself far below 0.
        log_s = log_add(log_s, z if z < -30.0 else math.log(softplus(z)))
    s = math.exp(log_s)
    # log(exp(s) - 1), from log s where s is tiny
    log_odds = log_s if s < 1e-8 else s + math.log(-math.expm1(-s))
    for j in range(start, stop):
        z = float(logits[members[j]])
        out[members[j]] -= np.float32(weight * math.exp(z - softplus(z) - log_odds))
    return weight * (s - log_odds)
