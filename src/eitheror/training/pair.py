"""Two threads on the same text: halves of its features, and whether that pays at the moment.

A text's features are cut in two by their number, so each row of the embeddings belongs to one
thread. The sum of either half is added up on its own for one thread as well, so the model is the
same. Both threads meet at every text; if the system does not let both run, one waits for the other,
and a single thread would be faster.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows

__all__ = ["Pace", "halve", "halves_pay", "with_share"]

_FEW_NUMBERS = 4000  # of a text's embeddings: with fewer, meeting takes what the halves save
_SAMPLE = 1000  # texts that the cut is taken from
_BELOW = 0.57  # share of the features below the cut: the frequent ones, which are at hand
_ALIGNED = 16  # row Adagrad's sums of that many features share a cache line
_FIRST, _LARGEST = 1_024, 16_384  # texts in a block of two threads
_REST, _LONGEST = 4_096, 65_536  # texts of one thread after a block that waited
_BUSY = 0.7  # of the time each of two threads has to run


def halves_pay(rows: Rows, width: int) -> bool:
    """Whether texts are long and embeddings wide enough for two threads; the rows alone decide.

    Examples
    --------
    >>> rows = Rows(np.arange(4) * 40, np.arange(120, dtype=np.int32), None, 120)
    >>> halves_pay(rows, 112), halves_pay(rows, 16)
    (True, False)
    """
    return len(rows.indices) * width >= _FEW_NUMBERS * max(1, len(rows.indptr) - 1)


def halve(rows: Rows) -> NDArray[np.int32]:
    """Put the features of the first half first in each row, in place; return how many they are.

    The cut is a number of a feature, taken from some of the rows; the order of a row's features
    has no part in it, so rows that are halved again stay as they are. Values of features would
    stay where they are: these are rows of averages, which have none.

    Examples
    --------
    >>> indices = np.tile(np.array([40, 3, 50, 2], np.int32), 5)
    >>> rows = Rows(np.arange(6) * 4, indices, None, 60)
    >>> halve(rows)
    array([2, 2, 2, 2, 2], dtype=int32)
    >>> rows.indices[:4]
    array([ 3,  2, 40, 50], dtype=int32)
    """
    lengths = np.diff(rows.indptr)
    sample = range(0, len(lengths), -(-len(lengths) // _SAMPLE))
    seen = np.concatenate([rows.indices[rows.indptr[i] : rows.indptr[i + 1]] for i in sample])
    place, cut = int(len(seen) * _BELOW), 0
    if len(seen):
        seen.partition(place)
        cut = int(seen[place]) // _ALIGNED * _ALIGNED
    middle = np.empty(len(lengths), np.int32)
    room = np.empty(int(lengths.max(initial=0)), np.int32)
    native("halves").arrange(rows.indptr, rows.indices, cut, middle, room)
    return middle


def with_share(work: Callable[[], float]) -> tuple[float, float]:
    """Return the value of `work()`, and the share of the time in which this thread ran.

    Examples
    --------
    >>> value, share = with_share(lambda: 2.0)
    >>> value
    2.0
    """
    start, ran = time.perf_counter(), time.thread_time()
    value = work()
    ran = time.thread_time() - ran
    return value, ran / max(time.perf_counter() - start, 1e-9)


class Pace:
    """How many texts come next, and whether two threads take them together.

    Blocks grow while both threads run. After one in which either had to wait long, one thread goes
    on alone, each time for longer.

    Parameters
    ----------
    n_jobs : int
        Threads that may run; with 1 there is one block.

    Examples
    --------
    >>> pace = Pace(2)
    >>> pace.texts, pace.together
    (1024, True)
    >>> pace.ran(0.9)
    >>> pace.texts, pace.together
    (2048, True)
    >>> pace.ran(0.3)
    >>> pace.texts, pace.together
    (4096, False)
    """

    def __init__(self, n_jobs: int) -> None:
        self.possible = n_jobs > 1 and hasattr(os, "sched_yield")
        self.together = self.possible
        self._block, self._rest = _FIRST, _REST

    @property
    def texts(self) -> int:
        """Texts of the next block."""
        return self._block if self.together else self._rest

    def ran(self, busy: float) -> None:
        """Go on after a block in which each thread ran for at least this share of the time."""
        if not self.together:
            self.together, self._rest = True, min(2 * self._rest, _LONGEST)
        elif busy < _BUSY:
            self.together, self._block = False, _FIRST
        else:
            self._block, self._rest = min(2 * self._block, _LARGEST), _REST
