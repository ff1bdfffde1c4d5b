"""Bytes in and out: compression, line numbers, temporary names.

In: a path, `-` or an open binary stream. Out: lines of bytes with their numbers, or an output
stream whose file appears under its name only when it is complete. Compression is told by the first
bytes, not by the name, so it works on standard input too.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Self, TypeVar, cast

import numpy as np

from eitheror.labels import DataError

__all__ = [
    "Source",
    "bare_suffix",
    "lines_of",
    "open_lines",
    "open_output",
    "show_path",
]

_SUFFIXES: Final = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BROKEN: Final = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""What the decompressors raise for a damaged file."""
_CHUNK: Final = 1 << 18
_BLOCK: Final = 1 << 20
_T = TypeVar("_T")
_LINE_END: Final = ord("\n")


def show_path(path: object) -> str:
    """Return the name of an input as it stands in messages."""
    if path == "-":
        return "stdin"
    return (
        str(path) if isinstance(path, str | os.PathLike) else str(getattr(path, "name", "stream"))
    )


def bare_suffix(name: str) -> str:
    """Return the extension in lower case, that of the compression left out; "" without one."""
    bare = Path(name)
    return (bare.with_suffix("") if bare.suffix.lower() in _SUFFIXES else bare).suffix.lower()


class Source:
    """One open input: `with Source(path) as source: ...`.

    Attributes
    ----------
    name : str
        How messages call it.
    stream : binary stream
        The decompressed bytes.
    """

    def __init__(self, path: str | os.PathLike[str] | BinaryIO) -> None:
        self.path = path
        self.name = show_path(path)
        self.stream: IO[bytes]
        self._step = _BLOCK
        self._packed = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.stream = self._decompress(self._open())
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def head(self) -> bytes:
        """Return the first bytes without taking them."""
        try:
            head: bytes = cast("Any", self.stream).peek(4096)
        except _BROKEN as error:
            raise self._broken(error) from None
        return head[:4096].removeprefix(b"\xef\xbb\xbf")

    def read(self) -> bytes:
        """Return all the bytes that are left, without a byte order mark."""
        try:
            return self._without_mark(self.stream.read())
        except _BROKEN as error:
            raise self._broken(error) from None

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number from 1, line with its end); a byte order mark is taken off."""
        number = 0
        try:
            for number, line in enumerate(self.stream, start=1):
                yield number, self._without_mark(line) if number == 1 else line
        except _BROKEN as error:
            raise self._broken(error, number) from None

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number of its first line, many whole lines); the last may lack its end.

        A packed file is unpacked one block ahead, in a thread.
        """
        return _ahead(self._blocks()) if self._packed else self._blocks()

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        read = getattr(self.stream, "read1", self.stream.read)
        line, parts, size = 1, [], 0
        data, failure = b"", None
        while True:
            try:
                data = read(self._step)
            except _BROKEN as error:
                data, failure = b"", error
            size += len(data)
            if data and (size < _BLOCK or b"\n" not in data):
                parts.append(data)
                continue
            if data:
                end = data.rfind(b"\n") + 1
                block, rest = b"".join([*parts, memoryview(data)[:end]]), data[end:]
            elif failure is None:
                block, rest = b"".join(parts), b""
            else:
                block = b"".join(parts)
                block, rest = block[: block.rfind(b"\n") + 1], b""
            if line == 1:
                block = self._without_mark(block)
            if block:
                yield line, block
            line += int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == _LINE_END))
            if failure is not None:
                raise self._broken(failure, line - 1) from None
            if not data:
                return
            parts, size = [rest], len(rest)

    def _without_mark(self, data: bytes) -> bytes:
        if data.startswith(_UTF16):
            raise DataError(
                f"{self.name}:1",
                "the file is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
            )
        return data.removeprefix(b"\xef\xbb\xbf")

    def _broken(self, error: Exception, line: int = 0) -> Exception:
        """Return what to raise for an error from below: a damaged compressed file is bad data."""
        if isinstance(error, OSError) and error.errno is not None:
            return error  # the disk, not the data
        after = f" after line {line}" if line else ""
        return DataError(
            f"{self.name}:{line + 1}" if line else self.name,
            f"the compressed file is damaged or cut off{after}; get a complete copy ({error})",
        )

    def _open(self) -> IO[bytes]:
        if self.path == "-":
            # sys.stdin itself: a second buffer around it would wait for more than one line
            return sys.stdin.buffer
        if isinstance(self.path, io.TextIOBase):
            raise TypeError(f"{self.name}: open the file in binary mode, open(path, 'rb')")
        if not isinstance(self.path, str | os.PathLike):
            return cast("IO[bytes]", self.path)
        path = Path(self.path)
        if path.is_dir():
            raise DataError(self.name, "this is a folder; name the file in it")
        try:
            return self._stack.enter_context(path.open("rb", buffering=_CHUNK))
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.name}: there is no such file{_beside(path)}") from None

    def _decompress(self, raw: IO[bytes]) -> IO[bytes]:
        stream: Any = raw
        if not hasattr(raw, "peek"):
            stream = io.BufferedReader(cast("io.RawIOBase", raw))
            self._stack.callback(stream.detach)  # the caller's stream stays open
        head = stream.peek(6)[:6]
        kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
        if kind is None:
            return cast("IO[bytes]", stream)
        # a damaged file gives as many of its rows as when it is read by lines
        self._step, self._packed = io.DEFAULT_BUFFER_SIZE, True
        unpacked: Any
        if kind == "gzip":
            unpacked = gzip.GzipFile(fileobj=stream)
        elif kind == "bz2":
            unpacked = bz2.BZ2File(stream)
        elif kind == "xz":
            unpacked = lzma.LZMAFile(stream)
        else:
            unpacked = io.BufferedReader(_ZstdReader(stream, self.name), _CHUNK)
            self._step = _CHUNK
        return cast("IO[bytes]", self._stack.enter_context(unpacked))


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yield the items while a thread makes the next one."""
    from concurrent.futures import ThreadPoolExecutor

    thread = ThreadPoolExecutor(1)
    try:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item
    finally:
        # Never joined: after an error this may be collected while another thread starts, and to
        # wait there would be for ever.
        thread.shutdown(wait=False, cancel_futures=True)


def lines_of(blocks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of blocks as `Source.lines` does."""
    for first, data in blocks:
        yield from enumerate(io.BytesIO(data), start=first)


def open_lines(path: str | os.PathLike[str] | BinaryIO) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its end) of a text file, packed or not.

    For programs that turn files of other forms into JSONL; `-` is standard input.

    Examples
    --------
    >>> list(open_lines(io.BytesIO(b"one\r\ntwo")))
    [(1, 'one'), (2, 'two')]
    """
    with Source(path) as source:
        for number, raw in source.lines():
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{source.name}:{number}", f"invalid UTF-8 ({error})") from None
            yield number, text.removesuffix("\n").removesuffix("\r")


def _beside(path: Path) -> str:
    """Return a hint when a compressed or plain twin of a missing file exists."""
    twins = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    twins += [path.with_suffix("")] if path.suffix in _SUFFIXES else []
    found = next((twin for twin in twins if twin.exists()), None)
    return f" (did you mean {found}?)" if found else ""


def _zstandard(name: str) -> Any:
    try:
        import zstandard
    except ImportError:
        raise ImportError(
            f"{name}: zst files need zstandard, which is not installed: "
            "pip install 'eitheror[data]'"
        ) from None
    return zstandard


class _ZstdReader(io.RawIOBase):
    """Decompress zst; unlike the library's own reader it notices that the file was cut off."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._library = _zstandard(name)
        self._stream = stream
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not self._decompress_some():
                return 0
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decompress_some(self) -> bool:
        unused = b""
        if self._frame is not None and self._frame.eof:
            unused, self._frame = self._frame.unused_data, None
        data = unused or self._stream.read(_CHUNK)
        if not data:
            if self._frame is not None:
                raise EOFError("the last frame has no end")
            return False
        if self._frame is None:
            self._frame = self._library.ZstdDecompressor().decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(data))
        except self._library.ZstdError as error:
            raise EOFError(str(error)) from None
        return True


@contextmanager
def open_output(path: str | os.PathLike[str] | BinaryIO) -> Iterator[IO[bytes]]:
    """Open an output of bytes; a file takes its name only when the block ends without an error.

    The compression follows the extension. `-` is standard output. A link keeps pointing to its
    file, which is replaced; a pipe or a device is written to as it is.

    Examples
    --------
    >>> with open_output(io.BytesIO()) as out:
    ...     out.write(b"one line")
    8
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not isinstance(path, str | os.PathLike):
        yield path
        return
    name = Path(path)
    if name.is_dir():
        raise IsADirectoryError(f"{name}: this is a folder; name the file to write")
    if name.exists() and not name.is_file():
        with _packed(name, name) as stream:
            yield stream
        return
    target = Path(os.path.realpath(name))  # to replace a link would leave its file as it was
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {target.parent}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with _packed(temporary, name) as stream:
            yield stream
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _packed(path: Path, name: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing, compressed as `name` says."""
    with path.open("wb") as stream:
        packed = _compress(stream, name)
        yield packed
        if packed is not stream:
            packed.close()


def _compress(stream: IO[bytes], target: Path) -> IO[bytes]:
    kind = _SUFFIXES.get(target.suffix.lower())
    if kind == "gzip":
        # no name and no time inside: the same data give the same bytes
        return cast("IO[bytes]", gzip.GzipFile("", "wb", fileobj=stream, mtime=0))
    if kind == "bz2":
        return cast("IO[bytes]", bz2.BZ2File(stream, "wb"))
    if kind == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(stream, "wb"))
    if kind == "zstd":
        compressor = _zstandard(str(target)).ZstdCompressor()
        return cast("IO[bytes]", compressor.stream_writer(stream, closefd=False))
    return stream
