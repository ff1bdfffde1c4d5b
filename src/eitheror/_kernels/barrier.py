"""A place where threads of compiled code wait for each other: words of memory that all can see.

Threads that share out a block of rows meet many thousand times a second; handing each part to a
thread through Python would cost more than the part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from eitheror._kernels.blocks import CAME, FAILED
from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.simd import give_way, intrinsic_of

__all__ = ["meet"]

_PATIENCE = 4000  # looks at the counter before the processor is offered to others
_WORD = ir.IntType(64)


@intrinsic_of
def _arrive(typing: Any, words: Any, place: Any) -> Any:
    """Add 1 to the word at a place; what was written before is seen by whoever reads the sum."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.atomic_rmw("add", builder.gep(data, [args[1]]), ir.Constant(_WORD, 1), "seq_cst")
        return context.get_dummy_value()

    return types.void(words, types.intp), generate


@intrinsic_of
def _read(typing: Any, words: Any, place: Any) -> Any:
    """Return the word at a place as it is now."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "seq_cst", 8)

    return types.int64(words, types.intp), generate


@jit(EXACT, bare=True)
def meet(words: NDArray[np.int64], expected: int) -> bool:
    """Wait until the threads have come as often as expected in all; False if they should give up.

    Parameters
    ----------
    words : int64 array
        From `meeting_words`. The count is raised; once a thread has failed, nobody waits for it.
    expected : int
        Threads times the number of this meeting, which begins with 1.
    """
    _arrive(words, CAME)
    looks = 0
    while _read(words, CAME) < expected:
        if _read(words, FAILED) != 0:
            return False
        looks += 1
        if looks > _PATIENCE:
            give_way()
    return bool(_read(words, FAILED) == 0)
