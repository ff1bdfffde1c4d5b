"""How much memory a streaming run may take, and what it says when that is too little.

The limit is on the peak of the process (its resident set): Python, NumPy and the compiled kernels
take about 150 MB of it before the first row. What a process holds beyond that when training begins,
such as a notebook's data, is its own affair and does not count.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from eitheror._kernels.arrays import layout
from eitheror.training.options import TREE, TrainOptions

__all__ = ["SMALLEST", "Budget", "MemoryLimitError", "memory_limit", "model_bytes"]

SMALLEST: Final = 256 << 20
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_FRESH: Final = 160 << 20  # a process that has imported what training needs, and nothing else
_TREE: Final = (128, 384)  # of a class: on the tree, and beside it while the tree is built
_SLACK: Final = 24 << 20  # the kernels of training, and what the allocator keeps


class MemoryLimitError(ValueError):
    """What has to be in memory at the same time does not fit under the limit."""


def memory_limit(memory: str | int) -> int:
    """Return the bytes in `500M`, `2G` or a number of bytes; K, M, G are 1024, 1024^2, 1024^3.

    Parameters
    ----------
    memory : str or int

    Raises
    ------
    ValueError
        If it is no size, or smaller than what Python and the kernels take by themselves.

    Examples
    --------
    >>> memory_limit("500M"), memory_limit("2G")
    (524288000, 2147483648)
    >>> memory_limit("10M")
    Traceback (most recent call last):
    ...
    ValueError: memory='10M' (--memory): the limit is on the whole process, Python and the compiled
    kernels included; 256M is the smallest
    """
    word = str(memory).strip().upper().removesuffix("B").removesuffix("I")
    unit = _UNITS.get(word[-1:])
    try:
        size = float(word[:-1] if unit else word) * (unit or 1)
    except ValueError:
        size = float("nan")
    if isinstance(memory, bool) or not 0 < size < float("inf"):
        raise ValueError(f"memory={memory!r} (--memory): expected a size such as 500M or 2G")
    if size < SMALLEST:
        raise ValueError(
            f"memory={memory!r} (--memory): the limit is on the whole process, Python and the "
            "compiled kernels included; 256M is the smallest"
        )
    return int(size)


class Budget:
    """The limit, and what of it is left.

    Parameters
    ----------
    limit : int
        Bytes that the process may have resident, besides what it holds now and a fresh one does
        not.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._before = max(0, _resident() - _FRESH)

    @property
    def left(self) -> int:
        """Bytes under the limit that the process does not hold now."""
        return self.limit - (_resident() - self._before) - _SLACK

    def release(self) -> None:
        """Give back to the system what the allocator keeps of memory that is free (glibc)."""
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)

    def need(self, size: int, what: str, advice: str) -> None:
        """Raise unless `size` more bytes fit.

        Raises
        ------
        MemoryLimitError
        """
        left = self.left
        if size > left:
            raise MemoryLimitError(
                f"{what} {_mega(size)} more, and of the limit of {_mega(self.limit)} "
                f"{_mega(max(left, 0))} are left: {advice}, or raise the limit (--memory)"
            )

    def ahead(self, size: int, most: int) -> int:
        """Return how many things of `size` bytes may be in work at a time: 1 to `most`."""
        return int(min(max(self.left // (2 * max(size, 1)), 1), most))


def model_bytes(
    plan: TrainOptions, n_features: int, n_classes: int, vocabulary: int, rows: int = 0
) -> int:
    """Return what a model takes at most while it is trained and written.

    Parameters
    ----------
    plan : TrainOptions
        Resolved.
    n_features, n_classes : int
    vocabulary : int
        Bytes of the featurizer.
    rows : int
        Bytes of the rows that are visited at a time.

    Returns
    -------
    int
        The largest of three: parameters, what the optimiser keeps (with `patience` all that
        twice), a copy of the parameters, and the rows; or the finished model with its vocabulary;
        or what a label tree is built from.
    """
    if plan.features == "embedding":
        assert plan.dim is not None
        width = layout(plan.dim)[1]
        parameters = 4 * (n_features + n_classes) * width
        written = 4 * (n_features + n_classes) * plan.dim
    else:
        parameters = written = 4 * n_features * n_classes
    state = parameters + 4 * n_features * (plan.optimizer == "adagrad")
    training = (1 + (plan.patience is not None)) * state + written + rows
    building = 0
    if plan.loss == TREE:
        training += _TREE[0] * n_classes
        building = sum(_TREE) * n_classes + 24 * n_features + rows
    return max(training, building, written + vocabulary)


def _mega(size: int) -> str:
    return f"{-(-size // (1 << 20)):,} MB"


def _resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * 4096
    try:
        import resource
    except ImportError:  # Windows tells no size without another package
        return 160 << 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
