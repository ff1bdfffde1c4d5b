"""The folder of tokenised rows beside a file: what it was made from, and whether it still holds.

`FILE.eitheror-cache/` is made complete as `FILE.eitheror-cache.new/` and then takes its name, so a
run that was stopped, or a disk that was full, leaves no half of one. `meta.json` is written last
and says from which files and with which options; a run with the same ones reads the cache, any
other builds it anew. Everything in it has a checksum.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from eitheror.files import ReadOptions
from eitheror.text import Featurizer, TextOptions
from eitheror.training.stream_store import CacheDamagedError, Entry, RecordReader, RecordWriter

try:
    import fcntl
except ImportError:  # Windows: no lock, so two runs must not build one cache at the same time
    fcntl = None  # type: ignore[assignment]

__all__ = ["Cache", "building", "cache_folder", "cache_key", "finish", "open_cache"]

_FORMAT = 1
_META = "meta.json"
_ENDS = 1 << 20  # bytes at the head and the tail of a file that its key holds


@dataclass(frozen=True)
class Cache:
    """A complete cache.

    Attributes
    ----------
    folder : Path
    facts : dict
        What was settled for the files as a whole; JSON values.
    index : dict of str to array
        Where each piece of rows stands, and sums over the rows.
    featurizer : Featurizer
    rows : RecordReader
        Of the pieces; open, so that they stay when another run replaces the cache.
    """

    folder: Path
    facts: dict[str, Any]
    index: dict[str, NDArray[Any]]
    featurizer: Featurizer
    rows: RecordReader

    def forget(self) -> None:
        """Make the next run build the cache anew."""
        with suppress(OSError):
            (self.folder / _META).unlink(missing_ok=True)


def cache_folder(
    paths: Sequence[str | os.PathLike[str]], cache: str | os.PathLike[str] | None
) -> Path:
    """Return where the cache of these files stands: beside the first one, or in `cache`.

    Examples
    --------
    >>> cache_folder(["data/tickets.jsonl"], "scratch").as_posix()
    'scratch/tickets.jsonl.eitheror-cache'
    """
    first = Path(paths[0])
    return (first.parent if cache is None else Path(cache)) / f"{first.name}.eitheror-cache"


def cache_key(
    paths: Sequence[str | os.PathLike[str]], text: TextOptions, read: ReadOptions, piece: int
) -> dict[str, Any]:
    """Return all that the cached rows depend on, as JSON values."""
    from eitheror import __version__

    key = {
        "format": _FORMAT,
        "eitheror": __version__,
        "files": [_identity(Path(path)) for path in paths],
        "text": dataclasses.asdict(text),
        "read": dataclasses.asdict(read),
        "piece": piece,
    }
    plain: dict[str, Any] = json.loads(json.dumps(key, default=str))
    return plain


def _identity(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        found = os.fstat(stream.fileno())
        digest = hashlib.blake2b(stream.read(_ENDS), digest_size=16)
        stream.seek(max(0, found.st_size - _ENDS))
        digest.update(stream.read(_ENDS))
    return {
        "path": str(path.resolve()),
        "bytes": found.st_size,
        "changed": found.st_mtime_ns,
        "ends": digest.hexdigest(),
    }


def open_cache(folder: Path, key: Mapping[str, Any]) -> tuple[Cache | None, str | None]:
    """Return the cache if it was made with this key, or why it cannot be used (None: none there).

    Parameters
    ----------
    folder : Path
    key : mapping
        From `cache_key`.
    """
    try:
        meta = json.loads((folder / _META).read_bytes())
        if zlib.crc32(_canonical(meta["content"])) != meta["checksum"]:
            return None, "meta.json was changed"
        content = meta["content"]
        if content["key"] != key:
            return None, _difference(content["key"], key)
        return _read(folder, content), None
    except (FileNotFoundError, NotADirectoryError):
        return None, "it is not complete" if folder.exists() else None
    except CacheDamagedError as error:
        return None, str(error)
    except (ValueError, KeyError, TypeError):
        return None, "meta.json is damaged"


def _read(folder: Path, content: Mapping[str, Any]) -> Cache:
    with RecordReader(folder, "index") as reader:
        index = reader.read(_entry(content["index"]))
        arrays = reader.read(_entry(content["featurizer"]))
    for name, size in content["sizes"].items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else -1
        if found != size:
            raise CacheDamagedError(f"{path}: {found} bytes; {size} were written")
    # The checksum vouches for the arrays, so they need not be checked as those of a model are.
    featurizer = Featurizer(
        TextOptions.from_config(content["text"]),
        arrays["words.bytes"],
        arrays["words.lengths"],
        arrays["ngrams.buckets"],
        arrays.get("idf"),
    )
    rows = RecordReader(folder, "rows")
    rows.hold(sum(name.startswith("rows-") for name in content["sizes"]))
    return Cache(folder, content["facts"], index, featurizer, rows)


def _entry(given: Sequence[int]) -> Entry:
    number, place, size, checksum = given
    return number, place, size, checksum


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words what differs between the keys of the cache and of the run."""
    before, now = old.get("files", []), new["files"]
    if [file.get("path") for file in before] != [file["path"] for file in now]:
        return "it was made from other files"
    for was, file in zip(before, now, strict=True):
        if was != file:
            return f"{Path(file['path']).name} has changed"
    for part in ("text", "read"):
        was, now = old.get(part, {}), new[part]
        for name in now:
            if was.get(name) != now[name]:
                return f"{name} was {was.get(name)!r} and is {now[name]!r}"
    return "another version of eitheror made it"


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Give an empty folder to build the cache in; it takes its name when the block ends.

    Parameters
    ----------
    folder : Path
        The name of the finished cache.

    Raises
    ------
    OSError
        If the folder cannot be written to, with the option that names another one.
    """
    new = folder.with_name(folder.name + ".new")
    try:
        handle = _locked(new)
    except OSError as error:
        raise _elsewhere(error, new) from None
    try:
        _empty(new)
        yield new
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise _elsewhere(error, new) from None
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        if handle is not None:
            os.close(handle)


def _locked(new: Path) -> int | None:
    """Make the folder and hold it until the handle is closed, or the process is gone."""
    while True:
        new.mkdir(exist_ok=True)
        if not os.access(new, os.W_OK):
            raise PermissionError(13, "Permission denied", str(new))
        if fcntl is None:
            return None
        try:
            handle = os.open(new, os.O_RDONLY)
        except FileNotFoundError:  # another run has just renamed it
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have renamed the folder meanwhile: then this is another one.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), new.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            raise BlockingIOError(11, "another run is building this cache") from None
        os.close(handle)


def _empty(folder: Path) -> None:
    for left in folder.iterdir():  # by a run that was stopped
        left.unlink()


def _elsewhere(error: OSError, new: Path) -> OSError:
    """Return an error of the file system with the folder, and the option that names another."""
    if error.filename is not None and new not in (
        Path(error.filename),
        *Path(error.filename).parents,
    ):
        return error  # about a data file, not about the cache
    said = type(error)(
        f"the cache of tokenised rows cannot be written in {new.parent.resolve()} "
        f"({error.strerror or error}); name a folder with enough room: --cache DIR (cache=)"
    )
    said.errno = error.errno
    return said


def finish(
    folder: Path,
    key: Mapping[str, Any],
    facts: dict[str, Any],
    index: Mapping[str, NDArray[Any]],
    featurizer: Featurizer,
) -> None:
    """Write what makes the folder a complete cache: the index, the featurizer, the facts."""
    with RecordWriter(folder, "index") as writer:
        content = {
            "key": key,
            "facts": facts,
            "text": featurizer.config(),
            "index": writer.add(index),
            "featurizer": writer.add(featurizer.tensors()),
        }
    content["sizes"] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    meta = {"checksum": zlib.crc32(_canonical(content)), "content": content}
    with (folder / _META).open("w", encoding="utf-8") as stream:
        json.dump(meta, stream, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
