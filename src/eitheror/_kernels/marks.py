"""Sets of many classes: a bit for each class of the row in place of a list.

`mark_sets` makes the bits, once for all epochs: a list of half of 700 classes is 2,800 bytes that
each visit fetches, its bits are 88. `marked_set` is the loss. Exponentials are positive, so
their sign can say which of them are in the set, and all that is left are passes over the row: a set
costs the same however many classes it has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import SHORT
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.elementary import log_1_plus, log_add
from eitheror._kernels.simd import LANES, flipped, load, store

__all__ = ["FAR", "MARKED", "mark_sets", "marked_set"]

MARKED = 4
"""Mode of a row whose `indices` are bits, 32 classes each, and whose first value is the set's."""
FAR = 1e-25  # a share of exponentials that float32 still adds up
_BITS = 32
_ONE = (0,)  # how long a vector of 16 classes is
_EVIDENCE = 1

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Ends = NDArray[np.int64]
Modes = NDArray[np.uint8]


@jit(SUMS, part=True)
def _all_alike(values: Floats, start: int, stop: int) -> bool:
    first, difference = values[np.uintp(start)], np.float32(0.0)
    for j in range(start, stop):
        difference += abs(values[np.uintp(j)] - first)
    return bool(difference == np.float32(0.0))


@jit(EXACT, bare=True)
def mark_sets(
    n_classes: int,
    indptr: Ends,
    indices: Integers,
    values: Floats,
    mode: Modes,
    new_indptr: Ends,
    new_indices: Integers,
    new_values: Floats,
    new_mode: Modes,
) -> int:
    """Copy statements, long sets as bits; returns how many entries there are now.

    Parameters
    ----------
    n_classes : int
    indptr, indices, values, mode
        As in `eitheror.labels.SparseTargets`, of one true class.
    new_indptr, new_indices, new_values, new_mode
        Written: arrays of the same lengths, as no row becomes longer.
    """
    n_words = (n_classes + _BITS - 1) // _BITS
    place = 0
    new_indptr[0] = 0
    for i in range(mode.shape[0]):
        start, stop = indptr[i], indptr[i + 1]
        new_mode[i] = mode[i]
        size = stop - start
        long = size > SHORT and size >= n_words and mode[i] == _EVIDENCE
        if long and _all_alike(values, start, stop):
            new_mode[i] = MARKED
            for j in range(place, place + n_words):
                new_indices[j] = 0
                new_values[j] = values[start]
            for j in range(start, stop):
                k = np.uintp(indices[np.uintp(j)])
                bit = np.int32(1) << np.int32(k % _BITS)
                new_indices[np.uintp(place) + k // np.uintp(_BITS)] |= np.int32(bit)
            size = n_words
        else:
            for j in range(size):
                new_indices[np.uintp(place + j)] = indices[np.uintp(start + j)]
                new_values[np.uintp(place + j)] = values[np.uintp(start + j)]
        place += size
        new_indptr[i + 1] = place
    return place


@jit(EXACT, part=True)
def _is_in(words: Integers, start: int, k: int) -> bool:
    return bool((words[np.uintp(start + k // _BITS)] >> (k % _BITS)) & 1)


@jit(EXACT, part=True)
def _sign(words: Integers, start: int, signed: Floats) -> None:
    """Change the sign of what is in the set."""
    n = signed.shape[0]
    whole = n // LANES * LANES
    for place in range(0, whole, LANES):
        bits = words[np.uintp(start + place // _BITS)] >> (place % _BITS)
        store(signed, place, flipped(load(signed, place, _ONE), bits))
    for k in range(whole, n):
        bit = (words[np.uintp(start + k // _BITS)] >> (k % _BITS)) & 1
        signed[np.uintp(k)] *= np.float32(1 - 2 * bit)  # no branch, which would be guessed


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
def marked_set(
    logits: Floats,
    words: Integers,
    start: int,
    value: float,
    rest: float,
    smoothing: float,
    top: float,
    out: Floats,
) -> float:
    """-log of the share of what is allowed, and its gradient.

    With ``l`` and ``u`` the sums of the exponentials e in the set and out of it, v and r their
    weights, ``t = l + u`` and ``a = v l + r u``, the loss is ``log(t / a)``; its gradient is
    ``e (r - v) u / (a t)`` in the set and ``e (v - r) l / (a t)`` out of it. No digits are lost
    where nearly all is allowed.

    Parameters
    ----------
    logits, rest, smoothing
        As in `eitheror._kernels.losses.statement_gradient`.
    words, start, value
        The set's bits begin at `start`; its weight.
    top : float
        The largest logit.
    out : float32 array of shape (n_classes,)
        Holds the exponentials of the logits less the largest, and then the gradient.

    Returns
    -------
    float
        The loss, without what smoothing takes off for the mean of the logits.
    """
    _sign(words, start, out)
    sums = _sums_by_sign(out)
    inside, outside = np.float64(sums[0]), np.float64(sums[1])
    total, allowed = inside + outside, value * inside + rest * outside
    if allowed < FAR * total:
        return _far_set(logits, words, start, value, rest, smoothing, out)
    by = 1.0 / (allowed * total)
    pull = ((rest - value) * outside + smoothing * value * total) * by
    push = ((value - rest) * inside + smoothing * rest * total) * by
    shift = np.float32(smoothing / out.shape[0])
    _scale_by_sign(out, np.float32(-pull), np.float32(push), shift)
    loss = (1.0 - smoothing) * math.log(total / allowed)
    return loss + smoothing * (top + math.log(total)) if smoothing > 0.0 else loss


@jit(EXACT, bare=True)
def _log_sum(logits: Floats, words: Integers, start: int, inside: bool) -> float:
    """Log of the sum of the exponentials in the set, or of those out of it."""
    top, total = -math.inf, 0.0
    for k in range(logits.shape[0]):
        if _is_in(words, start, k) == inside:
            top = max(top, np.float64(logits[k]))
    for k in range(logits.shape[0]):
        if _is_in(words, start, k) == inside:
            total += math.exp(np.float64(logits[k]) - top)
    return top + math.log(total) if total > 0.0 else -math.inf


@jit(EXACT, part=True)
def _plus_log(log_sum: float, weight: float) -> float:
    return log_sum + math.log(weight) if weight > 0.0 else -math.inf


@jit(EXACT, bare=True)
def _far_set(
    logits: Floats,
    words: Integers,
    start: int,
    value: float,
    rest: float,
    smoothing: float,
    out: Floats,
) -> float:
    """Do the same by logarithms."""
    inside = _log_sum(logits, words, start, True)
    outside = _log_sum(logits, words, start, False)
    allowed = log_add(_plus_log(inside, value), _plus_log(outside, rest))
    denied = log_add(_plus_log(inside, 1.0 - value), _plus_log(outside, 1.0 - rest))
    total = log_add(inside, outside)
    for k in range(logits.shape[0]):
        weight, gain, others = rest, value - rest, inside
        if _is_in(words, start, k):
            weight, gain, others = value, rest - value, outside
        z = np.float64(logits[k])
        slope = gain * math.exp(z + others - allowed - total)
        if smoothing > 0.0:
            slope -= smoothing / logits.shape[0]
            if weight > 0.0:
                slope += smoothing * weight * math.exp(z - allowed)
        out[k] = slope
    d = denied - allowed
    loss = (1.0 - smoothing) * (max(d, 0.0) + log_1_plus(math.exp(-abs(d))))
    return loss + smoothing * total
