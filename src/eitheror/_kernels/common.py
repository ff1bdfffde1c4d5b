"""What the training kernels share: the compiler's settings, and the arrays of a data set.

`Features` and `Targets` are named tuples, which Numba reads like plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from eitheror._kernels.arrays import Features, Targets

__all__ = ["EXACT", "SUMS", "Features", "Targets", "jit"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

EXACT: frozenset[str] = frozenset()
"""Every operation as written."""
SUMS = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Sums may be reordered for the vector units; nan and infinity keep their meaning, so that a
diverging run is seen."""


def jit(
    fastmath: frozenset[str], *, part: bool = False, bare: bool = False
) -> Callable[[_Function], _Function]:
    """Compile to machine code that is kept on disk and runs without the interpreter's lock.

    `part` puts the code into that of its callers: an array is seven words, and handing over a
    handful of arrays costs as much as the loss of a few classes. `bare` code makes no arrays, and
    so needs nothing of Numba when it runs: `native` can keep it. A part is bare.
    """
    options = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": set(fastmath)}
    options["forceinline"] = part
    options["_nrt"] = not (part or bare)  # Numba's own memory: arrays are counted, and can be made

    def compile_later(function: _Function) -> _Function:
        return cast(_Function, numba.njit(**options)(function))

    return compile_later
