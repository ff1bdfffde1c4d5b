"""Rows, rate and remaining time of a pass, as progress events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["Pace", "Progress"]

Progress = Callable[[dict[str, Any]], None]
_EVERY = 0.2  # seconds between two events


class Pace:
    """Tells how far a pass is.

    Events: ``{"event": "rows", "phase", "rows", "of", "rate", "left"}``: the rows done, of how many
    (None while unknown), rows a second, and the seconds left (None while unknown).

    Parameters
    ----------
    progress : callable, optional
    phase : str
        "reading", "rows" (features are numbered), "tree" (of classes), or "pass".
    total : int, optional
        Rows in all.

    Examples
    --------
    >>> events = []
    >>> Pace(events.append, "reading").end(3)
    >>> events[0]["rows"], events[0]["left"]
    (3, 0.0)
    """

    def __init__(self, progress: Progress | None, phase: str, total: int | None = None) -> None:
        self.progress = progress
        self.phase = phase
        self.total = total
        self._start = self._last = time.perf_counter()

    def at(self, rows: int, share: float | None = None) -> None:
        """Tell that so many rows are done, and what share of the pass that is if no total is known.

        Not every call makes an event.
        """
        now = time.perf_counter()
        if self.progress is None or now - self._last < _EVERY:
            return
        self._last = now
        done = rows / self.total if self.total else share
        left = (now - self._start) * (1 / done - 1) if done else None
        self._tell(rows, now, left)

    def end(self, rows: int) -> None:
        """Tell that the pass is over."""
        if self.progress is not None:
            self._tell(rows, time.perf_counter(), 0.0)

    def _tell(self, rows: int, now: float, left: float | None) -> None:
        assert self.progress is not None
        rate = rows / max(now - self._start, 1e-9)
        self.progress(
            {
                "event": "rows",
                "phase": self.phase,
                "rows": rows,
                "of": self.total,
                "rate": rate,
                "left": left,
            }
        )
