"""Texts cut in halves, and how the two threads that visit them meet: parts of `embedding_epoch`.

Each thread adds up the embeddings of its half and leaves the sum for the other. Two slots a thread
are enough: who has the other's sum of one text knows that the other has read that of the text
before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import SLOT_GAP
from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.simd import (
    LANES,
    add,
    add_scaled,
    give_way,
    heard,
    load,
    store,
    tell,
    zeros,
)

__all__ = ["FIRST_NUMBER", "add_halves", "arrange", "leave_half", "wait_for"]

Floats = NDArray[np.float32]
Chunks = tuple[int, ...]

FIRST_NUMBER = 0x3F800000
"""What is told at a block's first text: as float32 no tiny number, which would take long to add."""
_PATIENCE = 4096  # turns of waiting, some microseconds, after which another thread may run


@jit(EXACT, part=True)
def leave_half(
    indices: NDArray[np.int32],
    start: int,
    stop: int,
    embedding: Floats,
    chunks: Chunks,
    slots: Floats,
    slot: int,
    number: np.int32,
) -> None:
    """Write the sum over some features to a slot, and say so."""
    width, place = embedding.shape[1], slot * slots.shape[1]
    for part in range(0, width, LANES * len(chunks)):
        h = zeros(chunks)
        for j in range(start, stop):
            h = add(h, load(embedding, np.intp(indices[np.uintp(j)]) * width + part, chunks))
        store(slots, place + part, h)
    tell(slots, place + slots.shape[1] - SLOT_GAP - 1, number)


@jit(EXACT, part=True)
def wait_for(slots: Floats, slot: int, number: np.int32) -> bool:
    """Wait until the other thread has written its slot; False if it never will."""
    width, turns = slots.shape[1], 0
    while heard(slots, slot * width + width - SLOT_GAP - 1) != number:
        turns += 1
        if turns % _PATIENCE == 0:
            give_way()
            if heard(slots, 4 * width) != 0:
                return False
    return True


@jit(EXACT, part=True)
def add_halves(
    slots: Floats,
    slot: int,
    other: int,
    width: int,
    share: np.float32,
    chunks: Chunks,
    hidden: Floats,
) -> None:
    """Write h from the two slots."""
    one, two = slot * slots.shape[1], other * slots.shape[1]
    for part in range(0, width, LANES * len(chunks)):
        h = add(load(slots, one + part, chunks), load(slots, two + part, chunks))
        store(hidden, part, add_scaled(zeros(chunks), share, h))
    if width == slots.shape[1] - SLOT_GAP:
        hidden[width - 1] = np.float32(0.0)


@jit(EXACT, bare=True)
def arrange(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    cut: int,
    middle: NDArray[np.int32],
    above: NDArray[np.int32],
) -> None:
    """Put the features below `cut` of each row first, either kind in its order, and count them.

    Parameters
    ----------
    indptr, indices : arrays
        Of the rows; `indices` is changed in place.
    cut : int
    middle : int32 array of shape (n_rows,)
        Written: how many features of each row are below `cut`.
    above : int32 array
        Room for the longest row.
    """
    for i in range(indptr.shape[0] - 1):
        n_below, n_above = np.uintp(indptr[i]), np.uintp(0)
        for j in range(indptr[i], indptr[i + 1]):
            # Both are written and one is counted: a branch would be guessed wrong every other time.
            feature = indices[np.uintp(j)]
            is_above = np.uintp(feature >= cut)
            indices[n_below] = feature
            above[n_above] = feature
            n_below += np.uintp(1) - is_above
            n_above += is_above
        for j in range(n_above):
            indices[n_below + np.uintp(j)] = above[np.uintp(j)]
        middle[i] = np.intp(n_below) - indptr[i]
