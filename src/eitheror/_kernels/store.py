"""Files of compiled kernels: the machine code of one kernel for one kind of arguments.

A file is a line with the digest of all that follows, a line of JSON (`Stored` but the code), and
the code, an object file. What a file was made from (`identity`) must be word for word what would
be made now: the sources of all kernels, the versions of Numba, llvmlite and Python, the processor
and its features, and Numba's settings. What is damaged, of something else, or in a folder or file
that others may write to, is as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Stored", "folders", "identity", "read", "unchanged_since", "writable", "write"]

_FORMAT = b"eitheror kernel 1 "
_HERE = Path(__file__).parent
_FOLDER = "eitheror-native"
# Settings of Numba that change no code.
_NO_MATTER = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"}


@dataclass(frozen=True)
class Stored:
    """A compiled kernel.

    Attributes
    ----------
    identity : str
        What it was made from.
    symbol : str
        Its name in the object file.
    needs : list of str
        Names that the object file does not define.
    returns : str
        Type of the value: "none", "int64", "uint64", "float64", or "int64 int64" for two numbers;
        "numba" where the code cannot run without Numba, and is not kept.
    code : bytes
        An ELF object file.
    """

    identity: str
    symbol: str
    needs: list[str]
    returns: str
    code: bytes


def folders() -> Iterator[Path]:
    """Yield where kernels may be kept, the best place first: where Numba keeps its own.

    That is NUMBA_CACHE_DIR alone where it is set; else beside the package, then in the user's cache
    folder.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named) / _FOLDER
        return
    yield _HERE / "__pycache__" / _FOLDER
    with suppress(RuntimeError):  # no home
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        yield Path(cache) / _FOLDER


@lru_cache(1)
def _sources() -> str:
    """Digest of the sources of all kernels: a kernel holds code of others."""
    digest = hashlib.sha256()
    for file in sorted(_HERE.glob("*.py")):
        digest.update(b"%s %d\n" % (file.name.encode(), file.stat().st_size))
        digest.update(file.read_bytes())
    return digest.hexdigest()


def unchanged_since(start: float) -> bool:
    """Whether the sources that a process has imported since `start` are those of the digest."""
    return all(file.stat().st_ctime < start for file in _HERE.glob("*.py"))


@lru_cache(1)
def _compiler() -> str:
    """Return Numba's version and settings, and llvmlite's version."""
    import llvmlite

    spec = find_spec("numba")  # where Numba is; it is not imported
    assert spec is not None
    assert spec.origin is not None
    version = (Path(spec.origin).parent / "_version.py").read_bytes()
    settings = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith("NUMBA_") and name not in _NO_MATTER
    }
    numba = f"numba {hashlib.sha256(version).hexdigest()} {json.dumps(settings)}"
    return f"{numba} llvmlite {llvmlite.__version__}"


@lru_cache(1)
def _machine() -> str:
    """Return Python's version, the platform, and the processor with its features."""
    import llvmlite.binding as llvm

    return " ".join(
        (
            f"{sys.implementation.cache_tag} {sys.platform} {os.uname().machine}",
            llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten(),
        )
    )


def identity(module: str, name: str, signature: str) -> str:
    """Return all that the code of a kernel depends on."""
    return f"{module}.{name}({signature}) {_sources()} {_compiler()} {_machine()}"


def _file(module: str, name: str, signature: str) -> str:
    """Return a file's name; a new version of the sources or of Numba writes over the old file."""
    mark = hashlib.sha256(f"{signature} {_machine()}".encode()).hexdigest()[:24]
    return f"{module}.{name}-{mark}.kernel"


def _ours(found: os.stat_result) -> bool:
    """Whether nobody but this user or the administrator can have written it."""
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o022


def read(module: str, name: str, signature: str) -> tuple[Path, Stored] | None:
    """Return a folder and its kernel; None where there is none that is whole, ours and current."""
    expected = identity(module, name, signature)
    for folder in folders():
        with suppress(OSError):
            if not _ours(folder.stat()):
                continue
            with open(folder / _file(module, name, signature), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or not _ours(found):
                    continue
                stored = _parsed(file.read())
            if stored is not None and stored.identity == expected:
                return folder, stored
    return None


def _parsed(data: bytes) -> Stored | None:
    first, _, rest = data.partition(b"\n")
    if first != _FORMAT + hashlib.sha256(rest).hexdigest().encode():
        return None
    head, _, code = rest.partition(b"\n")
    try:
        return Stored(code=code, **json.loads(head))
    except (TypeError, ValueError):  # of another version
        return None


def writable() -> Iterator[Path]:
    """Yield the folders that take kernels and are read; they are made where they are missing."""
    for folder in folders():
        with suppress(OSError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o755, exist_ok=True)
            if _ours(folder.stat()) and os.access(folder, os.W_OK | os.X_OK):
                yield folder


def write(module: str, name: str, signature: str, stored: Stored) -> Path | None:
    """Keep a kernel in the first folder that takes it, which is returned; None where none does."""
    words = {key: value for key, value in vars(stored).items() if key != "code"}
    rest = json.dumps(words).encode() + b"\n" + stored.code
    data = _FORMAT + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest
    for folder in writable():
        with suppress(OSError):
            _write(folder / _file(module, name, signature), data)
            return folder
    return None


def _write(path: Path, data: bytes) -> None:
    import tempfile  # not to read

    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".tmp")
    try:
        with open(number, "wb") as file:
            file.write(data)
            os.fchmod(number, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
