"""Softmax losses of a block of rows where each thread has classes of its own.

What crosses from thread to thread is a few numbers a row: the largest logit, the sum of the
exponentials, and the part of it that the statement allows. This is the likelihood of `losses` for
statements that list all that is true, without smoothing; `parted_rows` says whether a block has no
others. Sums are those of the groups of classes, put together in their order.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import CODES, LANES, Targets
from eitheror._kernels.blocks import GROUPS, TEXTS, Room
from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.marks import FAR
from eitheror._kernels.simd import (
    add,
    add_scaled,
    every,
    exponential,
    larger,
    largest,
    load,
    store,
    total,
    zeros,
)

__all__ = ["parted_gradients", "parted_rows", "parted_sums", "parted_tops"]

_SOFTMAX = CODES["softmax"]
_EVIDENCE = 1  # the mode of `Targets`
_TOP, _SUM, _ALLOWED = 0, 1, 2  # the rows of `Room.shares`


@jit(EXACT, bare=True)
def parted_rows(
    order: NDArray[np.int64],
    origin: int,
    n_block: int,
    targets: Targets,
    code: int,
    smoothing: float,
) -> bool:
    """Whether the losses of all the rows of a block can be parted; not those of a short one."""
    if code != _SOFTMAX or smoothing != 0.0 or origin + n_block > order.shape[0]:
        return False
    for position in range(origin, origin + n_block):
        i = order[position]
        if targets.mode[i] != _EVIDENCE or targets.rest[i] != 0.0:
            return False
    return True


@jit(EXACT, bare=True)
def parted_tops(first: int, last: int, room: Room) -> None:
    """Write the largest logits of groups first .. last."""
    logits, shares = room.logits, room.shares
    n_tiles, n_block, _ = logits.shape
    stride = n_block * LANES
    begin, end = n_tiles * first // GROUPS, n_tiles * last // GROUPS
    one = (0,)
    for text in range(0, n_block, TEXTS):
        a = every(np.float32(-3.0e38), one)
        b, c, d = a, a, a
        for place in range(begin * stride + text * LANES, end * stride, stride):
            a = larger(load(logits, place, one), a)
            b = larger(load(logits, place + LANES, one), b)
            c = larger(load(logits, place + 2 * LANES, one), c)
            d = larger(load(logits, place + 3 * LANES, one), d)
        for group in range(first, last):
            shares[_TOP, group, text] = largest(a)
            shares[_TOP, group, text + 1] = largest(b)
            shares[_TOP, group, text + 2] = largest(c)
            shares[_TOP, group, text + 3] = largest(d)


@jit(EXACT, bare=True)
def parted_sums(
    order: NDArray[np.int64], origin: int, group: int, targets: Targets, room: Room
) -> None:
    """Write a group's exponentials to `gradient`, their sum, and the part that is allowed."""
    logits, gradient, shares = room.logits, room.gradient, room.shares
    below, sums = room.scales[group], room.sums[group]
    n_tiles, n_block, _ = logits.shape
    stride = n_block * LANES
    begin, end = n_tiles * group // GROUPS, n_tiles * (group + 1) // GROUPS
    one = (0,)
    for text in range(n_block):
        top = shares[_TOP, 0, text]
        for other in range(1, GROUPS):
            top = max(top, shares[_TOP, other, text])
        below[text] = np.float32(-top)
        store(sums, text * LANES, zeros(one))
    for tile in range(begin, end):
        for text in range(n_block):
            place = tile * stride + text * LANES
            powers = exponential(add(load(logits, place, one), every(below[text], one)))
            store(gradient, place, powers)
            store(sums, text * LANES, add(load(sums, text * LANES, one), powers))
    for text in range(n_block):
        allowed = 0.0
        i = order[origin + text]
        for j in range(targets.indptr[i], targets.indptr[i + 1]):
            k = np.intp(targets.indices[j])
            if begin <= k // LANES < end:
                e = gradient[k // LANES, text, k % LANES]
                allowed += float(targets.values[j]) * float(e)
        shares[_SUM, group, text] = total(load(sums, text * LANES, one))
        shares[_ALLOWED, group, text] = allowed


@jit(EXACT, part=True)
def _added(shares: NDArray[np.float64], text: int) -> tuple[float, float]:
    """Return the sum of a row's exponentials and of those that are allowed."""
    whole, allowed = 0.0, 0.0
    for group in range(GROUPS):
        whole += shares[_SUM, group, text]
        allowed += shares[_ALLOWED, group, text]
    return max(whole, allowed), allowed


@jit(EXACT, bare=True)
def parted_gradients(
    order: NDArray[np.int64], origin: int, first: int, last: int, targets: Targets, room: Room
) -> bool:
    """Turn the exponentials of groups first .. last into gradients; write the losses.

    False, and nothing is changed, where a row allows so little that it needs logarithms. Each
    thread writes all the losses, to the row of its first group in `values`.
    """
    gradient, shares = room.gradient, room.shares
    value, scales = room.values[first], room.scales[first]
    n_tiles, n_block, _ = gradient.shape
    stride = n_block * LANES
    begin, end = n_tiles * first // GROUPS, n_tiles * last // GROUPS
    one = (0,)
    for text in range(n_block):
        whole, allowed = _added(shares, text)
        if allowed < FAR * whole:
            return False
    for text in range(n_block):
        whole, allowed = _added(shares, text)
        factor = float(targets.row_weight[order[origin + text]])
        value[text] = factor * math.log(whole / allowed)
        scales[text] = np.float32(factor / whole)
    for tile in range(begin, end):
        for text in range(n_block):
            place = tile * stride + text * LANES
            scaled = add_scaled(zeros(one), scales[text], load(gradient, place, one))
            store(gradient, place, scaled)
    for text in range(n_block):
        whole, allowed = _added(shares, text)
        i = order[origin + text]
        for j in range(targets.indptr[i], targets.indptr[i + 1]):
            k = np.intp(targets.indices[j])
            if begin <= k // LANES < end:
                share = np.float32(1.0 - whole / allowed * targets.values[j])
                gradient[k // LANES, text, k % LANES] *= share
    return True
