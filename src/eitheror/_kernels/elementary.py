"""Elementary functions of the kernels: exponentials, logarithms, and numbers drawn by counting."""

from __future__ import annotations

import math

import numpy as np

from eitheror._kernels.common import EXACT, jit

_FUSED = frozenset({"contract"})
"""A product and the sum after it may be one operation, which only makes it more exact."""

__all__ = ["exp32", "log_1_plus", "log_add", "share", "softplus", "uniform_draw"]


@jit(_FUSED, part=True)
def exp32(x: np.float32) -> np.float32:
    """exp(x) of a float32, by range reduction and a polynomial; relative error below 2e-7.

    It is 0 below -87.7, where float32 has few digits left. No reordering is allowed here: the
    reduction ``x - n log 2`` is done in two exact steps.
    """
    x = min(max(x, np.float32(-88.0)), np.float32(88.0))
    n = (x * np.float32(1.44269504) + np.float32(12582912.0)) - np.float32(12582912.0)
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    square = r * r
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    q = np.float32(8.3334519073e-3) * r + np.float32(4.1665795894e-2)
    s = np.float32(1.6666665459e-1) * r + np.float32(5.0000001201e-1)
    p = (p * square + q) * square + s
    p = p * square + (r + np.float32(1.0))
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return p * power.view(np.float32)


@jit(EXACT, part=True)
def uniform_draw(seed: int, epoch: int, row: int) -> float:
    """One number in [0, 1) that depends on nothing but (seed, epoch, row): splitmix64."""
    z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch)
    z = z * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(row) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@jit(EXACT, part=True)
def log_1_plus(e: float) -> float:
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


@jit(EXACT, part=True)
def log_add(a: float, b: float) -> float:
    top, bottom = max(a, b), min(a, b)
    if bottom == -math.inf:
        return top
    return top + log_1_plus(math.exp(bottom - top))


@jit(EXACT, part=True)
def softplus(x: float) -> float:
    return max(x, 0.0) + log_1_plus(math.exp(-abs(x)))


@jit(EXACT, part=True)
def share(weight: float, log_ratio: float) -> float:
    """Weight times exp(log_ratio), 0 for an empty group."""
    return weight * math.exp(log_ratio) if weight > 0.0 else 0.0
