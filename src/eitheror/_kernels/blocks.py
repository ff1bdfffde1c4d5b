"""Arrays of the kernels that train many classes in blocks of texts (`blocked`), without Numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import LANES, aligned

__all__ = [
    "CAME",
    "DIMS",
    "FAILED",
    "GROUPS",
    "TEXTS",
    "Room",
    "Weights",
    "block_room",
    "meeting_words",
]

TEXTS = 4
"""Texts whose sums are held in registers at a time; a block is a multiple of it."""
DIMS = 4
"""Numbers of an embedding whose sums are held at a time; tiles are padded to a multiple of it."""
GROUPS = 4
"""Parts of the classes, whose sums are put together: so many threads can share out a block."""
CAME, FAILED = 16, 17
"""Places of `meeting_words`: how often a thread came, and whether one has failed."""


class Weights(NamedTuple):
    """What is trained; the three sums of row Adagrad are empty for plain steps.

    embedding (n_features, width), tiles (n_tiles, dims, 16), bias (n_tiles * 16,),
    embedding_squares (n_features,), weight_squares and bias_squares (n_tiles * 16,).
    """

    embedding: NDArray[np.float32]
    tiles: NDArray[np.float32]
    bias: NDArray[np.float32]
    embedding_squares: NDArray[np.float32]
    weight_squares: NDArray[np.float32]
    bias_squares: NDArray[np.float32]


class Room(NamedTuple):
    """What a block leaves between its parts, one row a text, and what the parts work in.

    The mean embeddings (n_block, width), the logits and the gradients with respect to them
    (n_tiles, n_block, 16), what each group of classes passes back (GROUPS, n_block, dims) and the
    sum of that (n_block, width), the losses (n_block,) float64, and for losses in parts (`parted`)
    three numbers of each group (3, GROUPS, 16) float64. Gradients of padding stay 0.

    Threads share the rest, of which each has the place of its first text or group: row_logits,
    row_gradients and listed (n_block, n_classes), the last one float64, sums (GROUPS, n_block,
    dims, 16), sizes and scales (GROUPS, 16), values (GROUPS, 16) float64. Places that no thread
    begins at stay untouched, and take no memory.
    """

    hidden: NDArray[np.float32]
    logits: NDArray[np.float32]
    gradient: NDArray[np.float32]
    parts: NDArray[np.float32]
    back: NDArray[np.float32]
    value: NDArray[np.float64]
    shares: NDArray[np.float64]
    row_logits: NDArray[np.float32]
    row_gradients: NDArray[np.float32]
    listed: NDArray[np.float64]
    sums: NDArray[np.float32]
    sizes: NDArray[np.float32]
    scales: NDArray[np.float32]
    values: NDArray[np.float64]


def block_room(n_block: int, n_classes: int, weights: Weights) -> Room:
    """Return the room for blocks of `n_block` texts, a multiple of `TEXTS`.

    Examples
    --------
    >>> empty = np.zeros(0, np.float32)
    >>> tiles = np.zeros((3, 4, 16), np.float32)
    >>> room = block_room(8, 40, Weights(np.zeros((9, 16)), tiles, np.zeros(48), *[empty] * 3))
    >>> room.hidden.shape, room.gradient.shape, room.logits.shape
    ((8, 16), (3, 8, 16), (3, 8, 16))
    """
    width, (n_tiles, dims, _) = weights.embedding.shape[1], weights.tiles.shape
    return Room(
        aligned(n_block, width),
        aligned(n_tiles * n_block, LANES).reshape(n_tiles, n_block, LANES),
        aligned(n_tiles * n_block, LANES).reshape(n_tiles, n_block, LANES),
        aligned(GROUPS * n_block, dims).reshape(GROUPS, n_block, dims),
        aligned(n_block, width),
        np.zeros(n_block),
        aligned(3 * GROUPS, 2 * LANES).view(np.float64).reshape(3, GROUPS, LANES),
        np.zeros((n_block, n_classes), np.float32),
        np.zeros((n_block, n_classes), np.float32),
        np.zeros((n_block, n_classes)),
        np.zeros((GROUPS, n_block, dims, LANES), np.float32),
        aligned(GROUPS, LANES),
        aligned(GROUPS, LANES),
        aligned(GROUPS, 2 * LANES).view(np.float64),
    )


def meeting_words() -> NDArray[np.int64]:
    """Return the words by which threads meet (`barrier`), far from what else they write.

    Examples
    --------
    >>> meeting_words()[[CAME, FAILED]]
    array([0, 0])
    """
    return np.zeros(48, np.int64)
