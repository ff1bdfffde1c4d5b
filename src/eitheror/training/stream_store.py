"""Named arrays in files of bounded size, each written once and read with its checksum.

A record is one set of arrays (safetensors bytes); its `Entry` tells the file, the place, the size
and the CRC-32. What was changed on disk is never taken for data.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CacheDamagedError", "Entry", "RecordReader", "RecordWriter"]

_FILE_BYTES = 1 << 26
_HELD = 128  # files that are opened before they are needed

Entry = tuple[int, int, int, int]
"""Number of the file, first byte, bytes, CRC-32."""


class CacheDamagedError(ValueError):
    """A cached file is not what was written; the next run builds the cache anew."""


class RecordWriter:
    """Appends records to `STEM-0000`, `STEM-0001`, ... of a folder.

    Parameters
    ----------
    folder : Path
    stem : str

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     with RecordWriter(Path(name), "rows") as writer:
    ...         entry = writer.add({"ids": np.arange(3)})
    ...     with RecordReader(Path(name), "rows") as reader:
    ...         reader.read(entry)["ids"].tolist()
    [0, 1, 2]
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder = folder
        self.stem = stem
        self.n_bytes = 0
        self._file = -1
        self._place = _FILE_BYTES
        self._stream: IO[bytes] | None = None

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> Entry:
        """Write a record and return where it stands."""
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        if self._stream is None or self._place + len(data) > _FILE_BYTES:
            self.close()
            self._file += 1
            self._place = 0
            self._stream = _path(self.folder, self.stem, self._file).open("wb")
        self._stream.write(data)
        entry = self._file, self._place, len(data), zlib.crc32(data)
        self._place += len(data)
        self.n_bytes += len(data)
        return entry

    def close(self) -> None:
        """Bring the open file to the disk."""
        if self._stream is not None:
            with self._stream as stream:
                stream.flush()
                os.fsync(stream.fileno())
            self._stream = None

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self.close()
        elif self._stream is not None:
            stream, self._stream = self._stream, None
            with suppress(OSError):  # a full disk: the error that ended the block says so
                stream.close()


class RecordReader:
    """Reads records that a `RecordWriter` wrote; several threads may read.

    Parameters
    ----------
    folder : Path
    stem : str
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder = folder
        self.stem = stem
        self._streams: dict[int, IO[bytes]] = {}
        self._lock = Lock()

    def hold(self, n_files: int) -> None:
        """Open the files now, so that another run may put others in their place.

        Raises
        ------
        CacheDamagedError
            If one is missing.
        """
        for number in range(min(n_files, _HELD)):
            self._open(number)

    def _open(self, number: int) -> IO[bytes]:
        stream = self._streams.get(number)
        if stream is None:
            path = _path(self.folder, self.stem, number)
            try:
                stream = self._streams[number] = path.open("rb", buffering=0)
            except FileNotFoundError:
                raise CacheDamagedError(f"{path}: the file is missing") from None
        return stream

    def read(self, entry: Entry) -> dict[str, NDArray[Any]]:
        """Return the arrays of a record.

        Raises
        ------
        CacheDamagedError
            If its bytes are not those that were written.
        """
        from safetensors.numpy import load

        number, place, size, checksum = (int(part) for part in entry)
        path = _path(self.folder, self.stem, number)
        with self._lock:
            stream = self._open(number)
            stream.seek(place)
            data = stream.read(size)
        if len(data) != size:
            raise CacheDamagedError(f"{path}: cut short: {place + len(data)} bytes")
        if zlib.crc32(data) != checksum:
            raise CacheDamagedError(
                f"{path}: the checksum of bytes {place} to {place + size} is not the one that was "
                "written: the file was changed, or the disk is failing"
            )
        return load(data)

    def remove(self, number: int) -> None:
        """Delete a file that is not needed any more."""
        with self._lock:
            stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()
        _path(self.folder, self.stem, number).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _path(folder: Path, stem: str, number: int) -> Path:
    return folder / f"{stem}-{number:04d}"
