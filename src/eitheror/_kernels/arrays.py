"""What kernels and their callers share that needs no compiler: arrays, layouts, codes.

A process whose kernels are all in the store (`native`) imports this and never Numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLASS_CHUNKS",
    "CODES",
    "EVALUATION",
    "LANES",
    "SHORT",
    "SLOT_GAP",
    "Common",
    "Features",
    "Room",
    "Stretch",
    "Targets",
    "aligned",
    "class_layout",
    "embedding_room",
    "layout",
    "linear_room",
    "meeting_place",
]

Floats = NDArray[np.float32]
Chunks = tuple[int, ...]

LANES = 16
"""Numbers in a part of a vector."""
CLASS_CHUNKS = (0, 0)
"""Vectors of turned output weights: always the same, so that nothing is compiled anew."""
_MOST_CHUNKS = 7  # longer vectors run out of registers on processors with sixteen short ones
_FEW_CLASSES = 16  # from here on the output weights are turned
_LINE = 16  # float32 numbers in a cache line
SLOT_GAP = 4 * _LINE
"""Numbers between the slots of threads that meet."""

CODES = {
    "softmax": 0,
    "uniform": 1,
    "random-pick": 2,
    "ova": 3,
    "ova-n": 4,
    "pal": 5,
    "pal-n": 6,
    "pol": 7,
}
"""Number of each value of the `loss` option."""
EVALUATION = {code: code for code in CODES.values()} | {
    CODES["uniform"]: CODES["softmax"],
    CODES["random-pick"]: CODES["softmax"],
    CODES["pol"]: CODES["pal-n"],
}
"""The code that scores held-out rows: the statement's likelihood, and nothing drawn."""

SHORT = 8
"""Classes of a list that stays one; longer ones of a single weight become bits (`marks`)."""


class Features(NamedTuple):
    """Sparse feature rows; see `eitheror._kernels.rows.Rows`. Averages have no values."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]


class Targets(NamedTuple):
    """What is known about each row and what it weighs; see `eitheror.labels.SparseTargets`."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    rest: NDArray[np.float32]
    mode: NDArray[np.uint8]
    group_indptr: NDArray[np.int64]
    group_ends: NDArray[np.int64]
    group_indices: NDArray[np.int32]
    row_weight: NDArray[np.float32]


class Common(NamedTuple):
    """What threads share of parameters of which each has its own copy, and when they merge.

    The output weights, bias and their squares, the rows of frequent features and their squares;
    then what the thread's copies were at its last merge, in the same order.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    weight_squares: NDArray[np.float32]
    rows: NDArray[np.float32]
    row_squares: NDArray[np.float32]
    old_weight: NDArray[np.float32]
    old_bias: NDArray[np.float32]
    old_weight_squares: NDArray[np.float32]
    old_rows: NDArray[np.float32]
    old_row_squares: NDArray[np.float32]
    every: int
    phase: int


class Stretch(NamedTuple):
    """What of an epoch one call makes: positions begin .. end, all of each text or one half of it.

    `middle` says for each text how many of its features are in the first half, which come first;
    empty means all. `thread` is -1 for one thread that does everything, or 0 and 1 for two at the
    same time, which meet at every text in `slots`, new from `meeting_place`. `loss` is the sum of
    the losses before.
    """

    begin: int
    end: int
    thread: int
    loss: float
    middle: NDArray[np.int32]
    slots: NDArray[np.float32]


class Room(NamedTuple):
    """Arrays that a trainer's kernel works in: a kernel of the store cannot make its own."""

    logits: NDArray[np.float32]
    gradient: NDArray[np.float32]
    rates: NDArray[np.float32]
    listed: NDArray[np.float64]
    hidden: NDArray[np.float32]
    back: NDArray[np.float32]


def _apart(size: int) -> Floats:
    """Return zeros in cache lines of their own."""
    return aligned(1, -(-size // 32) * 32 + 32)[0, :size]


def embedding_room(n_classes: int, weight_width: int, width: int) -> Room:
    """Return the room of `embedding_epoch` and `embedding_loss`, one for each thread.

    Parameters
    ----------
    n_classes : int
    weight_width, width : int
        Columns of the tables of output weights and of embeddings.

    Examples
    --------
    >>> [len(array) for array in embedding_room(3, 16, 32)]
    [16, 16, 16, 3, 32, 32]
    """
    padded = max(n_classes, weight_width)  # the classes, and padding whose gradient stays 0
    logits, gradient, rates = (_apart(padded) for _ in range(3))
    hidden, back = (_apart(width) for _ in range(2))
    return Room(logits, gradient, rates, _apart(2 * n_classes).view(np.float64), hidden, back)


def meeting_place(dim: int, width: int) -> Floats:
    """Return where two threads leave their halves of h for each other: two slots for each.

    A slot ends with a number, in the last cache line of its data if that has room, and is far from
    the next one: a processor fetches neighbours as well. In the last row either thread says that
    it ended before its time.

    Examples
    --------
    >>> meeting_place(10, 16).shape, meeting_place(16, 16).shape
    ((5, 80), (5, 96))
    """
    return aligned(5, (width if dim < width else width + _LINE) + SLOT_GAP)


def linear_room(n_block: int) -> Room:
    """Return the room of `linear_epoch` and `linear_loss`, one for each thread.

    Examples
    --------
    >>> [len(array) for array in linear_room(3)]
    [3, 3, 0, 3, 0, 0]
    """
    return embedding_room(n_block, 0, 0)._replace(rates=np.zeros(0, np.float32))


def layout(dim: int) -> tuple[Chunks, int]:
    """Return how a row of `dim` numbers is cut into vectors, and its padded width.

    Returns
    -------
    chunks : tuple of zeros
        Its length says how many times 16 numbers a vector holds.
    width : int

    Examples
    --------
    >>> layout(10), layout(100)
    (((0,), 16), ((0, 0, 0, 0, 0, 0, 0), 112))
    """
    lanes = -(-dim // LANES)
    sizes = [(-(-lanes // n) * n + -(-lanes // n) / 2, -n) for n in range(1, _MOST_CHUNKS + 1)]
    n = -min(sizes)[1]
    return (0,) * n, -(-lanes // n) * n * LANES


def class_layout(n_classes: int, dim: int, width: int) -> tuple[bool, tuple[int, int]]:
    """Return whether the output weights are turned, and the shape of their table."""
    if n_classes < _FEW_CLASSES:
        return False, (n_classes, width)
    step = LANES * len(CLASS_CHUNKS)
    return True, (dim, -(-n_classes // step) * step)


def aligned(rows: int, width: int) -> Floats:
    """Return zeros whose rows begin at cache lines, for widths of whole lines."""
    block = np.zeros(rows * width + _LINE, np.float32)
    start = (-block.ctypes.data % 64) // block.itemsize
    return block[start : start + rows * width].reshape(rows, width)
