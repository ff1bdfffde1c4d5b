"""fastText's own command, compiled from the sources of the installed release."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

__all__ = ["fasttext_command"]

_FLAGS = "-O3 -march=native -funroll-loops -DNDEBUG -std=c++17 -include cstdint -pthread".split()


def fasttext_command(folder: Path) -> list[str]:
    """Return the words that call it; none, and a line that says so, where it cannot be built."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    made = folder / "fasttext"
    try:
        release = f"fasttext-wheel=={version('fasttext-wheel')}"
        subprocess.run([*pip, "--dest", folder, release], check=True, capture_output=True)
        with tarfile.open(next(folder.glob("fasttext*.tar.gz"))) as packed:
            packed.extractall(folder, filter="data")
        sources = sorted(map(str, folder.glob("fasttext*/src/*.cc")))
        subprocess.run(["g++", *_FLAGS, *sources, "-o", str(made)], check=True, capture_output=True)
    except (ImportError, OSError, subprocess.CalledProcessError, StopIteration) as error:
        print(f"fastText's command could not be built, its Python binding stands in: {error}")
        return []
    return [str(made)]
