"""Pieces of rows on disk: cut, packed, and put together again as `Examples`.

A piece is up to 512 rows that follow each other. A pass visits pieces in an order drawn
from the seed, some from all over the file at a time, so that files sorted by class are mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import SparseTargets
from eitheror.text import Featurizer
from eitheror.text.cache import weighed
from eitheror.text.chunks import Filled
from eitheror.training.examples import Examples

__all__ = ["PIECE_ROWS", "cuts", "pack", "unpack"]

PIECE_ROWS = 512
_PIECE_ENTRIES = 1 << 16  # of long texts fewer rows make a piece


def cuts(row_ends: NDArray[np.int64]) -> Iterator[slice]:
    """Yield the rows of each piece of a block.

    Parameters
    ----------
    row_ends : int64 array of shape (n_rows,)
        Where the features of each row end.

    Examples
    --------
    >>> list(cuts(np.arange(1, 601)))
    [slice(0, 300, None), slice(300, 600, None)]
    """
    even = -(-len(row_ends) // -(-len(row_ends) // PIECE_ROWS))
    start = 0
    while start < len(row_ends):
        before = int(row_ends[start - 1]) if start else 0
        most = int(np.searchsorted(row_ends, before + _PIECE_ENTRIES, side="right"))
        stop = min(max(most, start + 1), start + even, len(row_ends))
        yield slice(start, stop)
        start = stop


def pack(
    rows: Filled, targets: SparseTargets, weight: NDArray[np.float32], part: slice
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a piece.

    Parameters
    ----------
    rows : tuple of arrays
        From `eitheror.text.cache.filled`.
    targets : SparseTargets
    weight : float32 array of shape (n_rows,)
    part : slice
        The rows of the piece.
    """
    row_ends, indices, repeats = rows
    begin = int(row_ends[part.start - 1]) if part.start else 0
    entries = slice(begin, int(row_ends[part.stop - 1]))
    found = targets.take(np.arange(part.start, part.stop))
    arrays: dict[str, NDArray[Any]] = {
        "lengths": np.diff(row_ends[part], prepend=begin).astype(np.int32),
        "indices": indices[entries],
        "weight": weight[part],
        "target.lengths": np.diff(found.indptr).astype(np.int32),
        "target.indices": found.indices,
        "target.values": found.values,
        "target.rest": found.rest,
        "target.mode": found.mode,
        "group.counts": np.diff(found.group_indptr).astype(np.int32),
        "group.lengths": np.diff(found.group_ends).astype(np.int32),
        "group.indices": found.group_indices,
    }
    if repeats is not None:
        few = int(repeats[entries].max(initial=0)) < 256
        arrays["repeats"] = repeats[entries].astype(np.uint8 if few else np.int32)
    return arrays


def unpack(
    pieces: Sequence[dict[str, NDArray[Any]]], featurizer: Featurizer, task: str, n_classes: int
) -> Examples:
    """Return the rows of several pieces, one after the other.

    Parameters
    ----------
    pieces : sequence of dict
        What `pack` made.
    featurizer : Featurizer
    task : str
    n_classes : int
    """

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([piece[name] for piece in pieces])

    repeats = joined("repeats").astype(np.int32) if "repeats" in pieces[0] else None
    row_ends = np.cumsum(joined("lengths"), dtype=np.int64)
    rows = weighed(featurizer, (row_ends, joined("indices"), repeats))
    targets = SparseTargets(
        task,
        n_classes,
        _starts(joined("target.lengths")),
        joined("target.indices"),
        joined("target.values"),
        joined("target.rest"),
        joined("target.mode"),
        _starts(joined("group.counts")),
        _starts(joined("group.lengths")),
        joined("group.indices"),
    )
    return Examples(rows, targets, joined("weight"))


def _starts(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
