"""What the training kernels share: the compiler's settings and the arrays of a data set.

`Features` and `Targets` are named tuples, which Numba reads like plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "SUMS", "Features", "Targets", "jit"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

EXACT: frozenset[str] = frozenset()
"""Every operation as written."""
SUMS = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Sums may be reordered for the vector units; nan and infinity keep their meaning, so that a
diverging run is seen."""


def jit(fastmath: frozenset[str], *, part: bool = False) -> Callable[[_Function], _Function]:
    """Compile to machine code that is kept on disk and runs without the interpreter's lock.

    `part` puts the code into that of its callers: an array is seven words, and handing over a
    handful of arrays costs as much as the loss of a few classes.
    """
    options = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": set(fastmath)}
    options["forceinline"] = part

    def compile_later(function: _Function) -> _Function:
        return cast(_Function, numba.njit(**options)(function))

    return compile_later


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
