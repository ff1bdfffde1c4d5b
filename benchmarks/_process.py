"""What benchmarks measure of processes: their peak memory, their environment, their command."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

__all__ = ["command_line", "on_threads", "peak_mb"]

_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def peak_mb() -> float:
    """Return the most memory that this process held.

    Linux hands `ru_maxrss` of the process that started this one down to it, so a small process of
    a large one would seem large; `VmHWM` begins anew with each program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def on_threads(n: int) -> dict[str, str]:
    """Return this environment with n threads for the libraries of linear algebra."""
    return os.environ | dict.fromkeys(_LIBRARIES, str(n))


def command_line() -> str:
    """Return how this script was called."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
