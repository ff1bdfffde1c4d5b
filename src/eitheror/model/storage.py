"""A model on disk: a folder of `config.json` and `model.safetensors`, replaced as one.

Writing: the new folder is made complete as PATH.new, the old one moves to PATH.old, then PATH.new
takes the name. A reader therefore finds a whole model whatever moment the writer died at: under
the name itself, or, between the two moves, under PATH.new. Reading runs no code from the files.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["FORMAT", "check_output", "read_folder", "write_folder", "write_tensors"]

FORMAT = "eitheror-model"
_VERSION = 1
_CONFIG = "config.json"
_TENSORS = "model.safetensors"
_KINDS = {  # in the order of the safetensors package, which writes the last ones first
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16",
    "float16": "F16", "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64",
    "int64": "I64", "uint64": "U64",
}  # fmt: skip
_RANKS = {name: rank for rank, name in enumerate(_KINDS)}
_DTYPES = {kind: name for name, kind in _KINDS.items()}

_PART = 1 << 22  # bytes that are read and hashed at a time
_MOST_SIDES = 32  # of an array of NumPy 1
_MOST_NUMBERS = 1 << 60

_T = TypeVar("_T")
_Entry = tuple[str, list[int], int, int]


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise unless a model can be written to `path`: nothing is there, or a model is.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    FileExistsError
        If `path`, or PATH.new or PATH.old next to it, is something else than a model folder.
    FileNotFoundError
        If the folder that it should stand in does not exist.
    PermissionError
        If that folder cannot be written to.
    """
    target = _target(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{path}: the folder {target.parent} cannot be written to; choose another place"
        )
    if os.path.lexists(target):
        _check_is_model(target)
    for name in (_beside(target, "new"), _beside(target, "old")):
        _check_replaceable(name)


def write_folder(
    path: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write a model to `path`, replacing the model that is there.

    Parameters
    ----------
    path : str or path
    config : mapping
        JSON-able; the format, its version and the description of the tensors are added.
    tensors : mapping of str to array

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        As `check_output`.
    OSError
        If the disk is full or fails; a model that is there is as it was.
    """
    target = _target(path)
    check_output(target)
    new, old = _beside(target, "new"), _beside(target, "old")
    if not target.exists() and old.exists() and new.exists():
        os.rename(new, target)  # a writer died between the two moves: finish its work first
    _remove(new)
    try:
        new.mkdir()
        _write_files(new, config, tensors)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise type(error)(
            f"{path}: {error.strerror}: the model was not written"
            + ("; the one that is there is as it was" if target.exists() else "")
        ) from None
    if target.exists():
        _remove(old)
        os.rename(target, old)
    os.rename(new, target)
    _sync(target.parent)
    _remove(old)


def read_folder(
    path: str | os.PathLike[str], make: Callable[[dict[str, Any], dict[str, NDArray[Any]]], _T]
) -> _T:
    """Read config and tensors of the model at `path`, and return what `make` makes of them.

    The file's hash is compared while `make` works; if it is wrong, that is what is raised, whatever
    `make` did.

    Parameters
    ----------
    path : str or path
    make : callable
        From the config and the arrays that the config lists, with its dtypes and shapes; they are
        parts of one block of memory.

    Returns
    -------
    What `make` returned.

    Raises
    ------
    FileNotFoundError
        If there is no model.
    ValueError
        Naming the file and what is wrong with it.
    """
    target = _target(path)
    while True:
        folder = _find(target, path)
        identity = _inode(folder)
        if identity is None:  # renamed away since it was found
            continue
        try:
            return _read_files(folder, make)
        except (OSError, ValueError):
            # Another process may have replaced the model while it was read: then read the new one.
            if _inode(folder) == identity:
                raise


def write_tensors(
    stream: BinaryIO, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, str] | None = None
) -> None:
    """Write arrays as a safetensors file; the package would first copy all of them in memory.

    Parameters
    ----------
    stream : binary stream
    tensors : mapping of str to array
    header : mapping of str to str, optional
        Metadata.

    Examples
    --------
    >>> import io
    >>> import safetensors.numpy
    >>> stream = io.BytesIO()
    >>> write_tensors(stream, {"b": np.zeros(2), "a": np.uint8([1])})
    >>> sorted(safetensors.numpy.load(stream.getvalue()))
    ['a', 'b']
    """
    described: dict[str, Any] = {} if header is None else {"__metadata__": dict(header)}
    names = sorted(tensors, key=lambda name: (-_RANKS[tensors[name].dtype.name], name))
    end = 0
    for name in names:
        array = tensors[name]
        described[name] = {
            "dtype": _KINDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        stream.write(tensors[name].reshape(-1).view(np.uint8).data)


def _target(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))  # a link stays a link: what it points to is replaced


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}.{ending}")


def _find(target: Path, path: str | os.PathLike[str]) -> Path:
    if os.path.lexists(target):
        return target
    if _beside(target, "old").is_dir():
        new = _beside(target, "new")
        return new if new.is_dir() else _beside(target, "old")
    raise FileNotFoundError(
        f"{path}: there is no model; `eitheror train FILE -o {path}` writes one"
    )


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _write_files(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(tensors.items())}
    with (folder / _TENSORS).open("wb") as stream:
        write_tensors(stream, arrays)
    full = {
        **config,
        "format": FORMAT,
        "format_version": _VERSION,
        "tensors": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in arrays.items()
        },
        "tensors_bytes": (folder / _TENSORS).stat().st_size,
        "tensors_sha256": _sha256(folder / _TENSORS),
    }
    text = json.dumps(full, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / _CONFIG).write_bytes(text.encode() + b"\n")
    for place in (folder / _TENSORS, folder / _CONFIG, folder):
        _sync(place)


def _read_files(folder: Path, make: Callable[[dict[str, Any], dict[str, NDArray[Any]]], _T]) -> _T:
    config, file = _read_config(folder), folder / _TENSORS
    digest = hashlib.sha256()
    parts: SimpleQueue[memoryview | None] = SimpleQueue()

    def hash_all() -> None:
        while (part := parts.get()) is not None:
            digest.update(part)

    # The hash takes as long as all the rest, and leaves Python: they go side by side.
    thread = Thread(target=hash_all)
    try:
        thread.start()
        data = _read_bytes(file, config.get("tensors_bytes"), parts)
    finally:
        parts.put(None)
    try:
        return make(config, _arrays(file, data, config.get("tensors")))
    finally:
        thread.join()
        if digest.hexdigest() != config.get("tensors_sha256"):
            raise ValueError(
                f"{file}: its SHA-256 is not the one in {_CONFIG}: the file was changed or "
                "belongs to another model; copy the model folder again"
            ) from None


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / _CONFIG
    if not folder.is_dir():
        fasttext = "; `eitheror import` reads a model of fastText"
        raise ValueError(
            f"{folder}: not a model: a model is a folder of {_CONFIG} and {_TENSORS}"
            + fasttext * (folder.suffix in (".bin", ".ftz"))
        )
    if not file.is_file():
        raise ValueError(f"{folder}: not a model: {_CONFIG} is missing")
    try:
        config = json.loads(file.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f'{file}: not a model of eitheror: "format": "{FORMAT}" is missing')
    if config.get("format_version") != _VERSION:
        raise ValueError(
            f"{file}: format version {config.get('format_version')!r}; this eitheror reads version "
            f"{_VERSION}: install the eitheror that wrote the model, or train it again"
        )
    return config


def _read_bytes(
    file: Path, expected: Any, parts: SimpleQueue[memoryview | None]
) -> NDArray[np.uint8]:
    """Return all bytes of a file that is as long as it should be; hand them on as they come."""
    if not file.is_file():
        raise ValueError(f"{file}: the file is missing; copy the whole model folder")
    with file.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        _check_size(file, size, expected)  # before memory is taken for it
        memory = _memory(size)
        done, read = 0, 1
        while done < size and read:
            read = opened.readinto(memory[done : done + _PART]) or 0
            parts.put(memory[done : done + read])
            done += read
    _check_size(file, done, expected)
    return np.frombuffer(memory, np.uint8, done)


def _check_size(file: Path, size: int, expected: Any) -> None:
    if size != expected:
        way = "cut short" if isinstance(expected, int) and size < expected else "too long"
        raise ValueError(
            f"{file}: {way}: {size} bytes, {expected} were written; copy the model folder again"
        )


def _memory(size: int) -> memoryview:
    """Return memory whose pages are all there: to be given them one by one takes twice as long."""
    flags = {}
    if hasattr(mmap, "MAP_PRIVATE"):  # not shared with processes that are forked later
        there = getattr(mmap, "MAP_POPULATE", 0)  # Linux
        flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | there}
    return memoryview(mmap.mmap(-1, max(size, 1), **flags))[:size]


def _arrays(file: Path, data: NDArray[np.uint8], described: Any) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file, as parts of its bytes."""
    if not isinstance(described, dict):
        raise ValueError(f"{file.parent / _CONFIG}: tensors: an object was expected")
    start, entries = _header(file, data)
    arrays = {}
    for name in sorted(set(entries) | set(described)):
        if name not in entries:
            raise ValueError(f"{file}: {name}: the array is missing")
        code, shape, begin, end = entries[name]
        found = {"dtype": _DTYPES.get(code, code), "shape": shape}
        if found != described.get(name):
            raise ValueError(
                f"{file}: {name}: {_described(found)} came; "
                f"{_described(described.get(name))} was expected"
            )
        if code not in _DTYPES:
            raise ValueError(f"{file}: {name}: {code} is no type of the arrays of a model")
        part = data[start + begin : start + end].view(_DTYPES[code]).reshape(shape)
        arrays[name] = np.require(part, requirements="A")  # others than ours may not align them
    return arrays


def _header(file: Path, data: NDArray[np.uint8]) -> tuple[int, dict[str, _Entry]]:
    """Return where the numbers begin, and dtype, shape and place of each array."""
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    try:
        if not 8 < start <= len(data):
            raise ValueError(f"a header of {start - 8} bytes")
        header = json.loads(data[8:start].tobytes())
        header.pop("__metadata__", None)
        entries = {name: _entry(**entry) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: not a safetensors file: {error}") from None
    position = 0
    for _, _, begin, end in sorted(entries.values(), key=lambda entry: entry[2:]):
        if begin != position:
            raise ValueError(f"{file}: not a safetensors file: an array begins at {begin}")
        position = end
    if start + position != len(data):
        raise ValueError(f"{file}: not a safetensors file: the arrays end at {position}")
    return start, entries


def _entry(dtype: str, shape: list[int], data_offsets: list[int]) -> _Entry:
    begin, end = data_offsets
    if type(shape) is not list or len(shape) > _MOST_SIDES:
        raise ValueError(f"shape {shape!r:.80}")
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError("a length below 0")
    size = np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else 0
    if math.prod(max(side, 1) for side in shape) >= _MOST_NUMBERS:  # beside a side of 0
        raise ValueError(f"shape {shape!r:.80}")
    if end < begin or (size and math.prod(shape) * size != end - begin):
        raise ValueError(f"{end - begin} bytes for an array of shape {shape}")
    return dtype, shape, begin, end


def _described(tensor: Any) -> str:
    if isinstance(tensor, dict):
        return f"{tensor.get('dtype')} of shape {tensor.get('shape')}"
    return "no such array"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _check_is_model(target: Path) -> None:
    try:
        _read_config(target)
    except (OSError, ValueError):
        raise FileExistsError(
            f"{target} exists and is not a model, so it is not replaced; choose another name, or "
            "move it away"
        ) from None
    others = sorted({entry.name for entry in target.iterdir()} - {_CONFIG, _TENSORS})
    if others:
        raise FileExistsError(
            f"{target} holds {others[0]!r} besides a model, which replacing it would delete; move "
            "it out of that folder"
        )


def _check_replaceable(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        others = [folder.name]
    else:
        others = sorted({entry.name for entry in folder.iterdir()} - {_CONFIG, _TENSORS})
        if folder.suffix == ".new":  # left by an earlier version, killed inside safetensors
            others = [name for name in others if not name.startswith(".tmp")]
    if others:
        raise FileExistsError(
            f"{folder} is needed while a model is written and holds something else ({others[0]}); "
            "move it away"
        )


def _remove(folder: Path) -> None:
    _check_replaceable(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sync(place: Path) -> None:
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) if place.is_dir() else os.O_RDONLY
    handle = os.open(place, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
