"""Sets of many classes: the row is summed in vectors, with a sign for each class of the list.

Exponentials are positive, so their sign can say which of them are listed. Then each class of the
list costs one change of sign, and the sums and the gradient are passes over the row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, jit

__all__ = ["FAR", "all_alike", "long_set"]

FAR = 1e-25  # a share of exponentials that float32 still adds up

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@jit(SUMS, part=True)
def all_alike(values: Floats, start: int, stop: int) -> bool:
    """Whether the numbers start .. stop are one number; there is at least one."""
    first, difference = values[np.uintp(start)], np.float32(0.0)
    for j in range(start, stop):
        difference += abs(values[np.uintp(j)] - first)
    return difference == np.float32(0.0)


@jit(EXACT, part=True)
def _twice(x: np.float32) -> np.float32:
    """Return 2 x of a positive number and 0 of a negative one, without a question asked."""
    return abs(x) + x


@jit(SUMS, part=True)
def _sums_by_sign(signed: Floats) -> Any:
    """Return minus the sum of what is negative, and the sum of the others."""
    negative, others = np.float32(0.0), np.float32(0.0)
    for k in range(signed.shape[0]):
        x = signed[k]
        negative += _twice(-x)
        others += _twice(x)
    return np.float32(0.5) * negative, np.float32(0.5) * others


@jit(SUMS, part=True)
def _scale_by_sign(signed: Floats, negative: np.float32, other: np.float32, shift: Any) -> None:
    for k in range(signed.shape[0]):
        x = signed[k]
        signed[k] = x * (negative if x < np.float32(0.0) else other) - shift


@jit(EXACT, bare=True)
def long_set(
    indices: Integers,
    start: int,
    stop: int,
    value: float,
    rest: float,
    smoothing: float,
    top: float,
    out: Floats,
) -> float:
    """-log of the share of what is allowed, and its gradient; nan if float32 cannot tell.

    With ``l`` and ``u`` the sums of the exponentials e listed and unlisted, v and r their weights,
    ``t = l + u`` and ``a = v l + r u``, the loss is ``log(t / a)``; its gradient is
    ``e (r - v) u / (a t)`` where a class is listed and ``e (v - r) l / (a t)`` where it is not. No
    digits are lost where nearly all is allowed.

    Parameters
    ----------
    indices, start, stop, rest, smoothing
        As in `eitheror._kernels.losses.statement_gradient`.
    value : float
        Of every class that is listed.
    top : float
        The largest logit.
    out : float32 array of shape (n_classes,)
        Holds the exponentials of the logits less the largest, and then the gradient. Smoothing's
        share of the value that depends on the logits themselves is left to the caller.
    """
    for j in range(start, stop):
        k = np.uintp(indices[np.uintp(j)])
        out[k] = -out[k]
    sums = _sums_by_sign(out)
    listed, unlisted = np.float64(sums[0]), np.float64(sums[1])
    total, allowed = listed + unlisted, value * listed + rest * unlisted
    if allowed < FAR * total:
        return math.nan
    by = 1.0 / (allowed * total)
    pull = ((rest - value) * unlisted + smoothing * value * total) * by
    push = ((value - rest) * listed + smoothing * rest * total) * by
    shift = np.float32(smoothing / out.shape[0])
    _scale_by_sign(out, np.float32(-pull), np.float32(push), shift)
    loss = (1.0 - smoothing) * math.log(total / allowed)
    return loss + smoothing * (top + math.log(total)) if smoothing > 0.0 else loss
