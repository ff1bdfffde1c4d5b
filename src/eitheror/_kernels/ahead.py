"""What a pass over the rows asks the memory for before it comes to it: the statements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.simd import prefetch

__all__ = ["ask_for_statement"]

_LINE = 16  # numbers of four bytes in a cache line
_ASKED = 1024  # classes of a list that are asked for; the processor sees the rest coming


@jit(EXACT, part=True)
def ask_for_statement(
    order: NDArray[np.int64],
    position: int,
    ends: NDArray[np.int64],
    named: NDArray[np.int32],
    worth: NDArray[np.float32],
    rest: NDArray[np.float32],
    mode: NDArray[np.uint8],
    group_indptr: NDArray[np.int64],
    group_ends: NDArray[np.int64],
    group_indices: NDArray[np.int32],
    row_weight: NDArray[np.float32],
) -> None:
    """Prefetch the statement of the fourth row from here, later the classes that it lists.

    Parameters
    ----------
    order : int64 array
        The rows as they are visited.
    position : int
        Where in it the pass is.
    ends, named, worth, rest, mode, group_indptr, group_ends, group_indices, row_weight
        The arrays of `Targets`.
    """
    n_rows = order.shape[0]
    if position + 4 < n_rows:
        later = order[position + 4]
        prefetch(ends, later)
        prefetch(rest, later)
        prefetch(mode, later)
        prefetch(row_weight, later)
        prefetch(group_indptr, later)
    if position + 2 < n_rows:
        later = order[position + 2]
        first = ends[later]
        # A list of several classes may end in a line that it does not begin.
        for j in range(first, min(ends[later + 1], first + _ASKED) + _LINE - 1, _LINE):
            prefetch(named, j)
            prefetch(worth, j)
        if group_indices.shape[0] > 0:
            prefetch(group_ends, group_indptr[later])
            prefetch(group_indices, group_ends[group_indptr[order[position + 1]]])
