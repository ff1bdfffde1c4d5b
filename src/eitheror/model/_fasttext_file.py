"""The bytes of a fastText model file (.bin, .ftz): what stands where, and whether it can be true.

In: a path. Out: `FastTextFile`. No size field is believed before it is held against the bytes that
are left. Compressed tables stay codes; those that a prediction needs whole are put together up to
4 GiB, so a damaged file never makes the reader ask for more. The layout was read off fastText's
source (args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc, productquantizer.cc).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from eitheror.model.quantised import CodedRows

__all__ = ["FastTextFile", "read_fasttext_file"]

_MAGIC: Final = 793712314
_VERSIONS: Final = (11, 12)
_LOSSES: Final = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_MODELS: Final = {1: "cbow", 2: "skipgram", 3: "supervised"}
_CENTROIDS: Final = 256
_MOST_NUMBERS: Final = 2**30  # of a table that was compressed: 4 GiB
_ARGS: Final = (
    "dim", "ws", "epoch", "min_count", "neg", "word_ngrams", "loss", "model", "bucket", "minn",
    "maxn", "lr_update_rate",
)  # fmt: skip
_COUNT_KIND: Final = struct.Struct("<qb")
_LEAST_ENTRY: Final = 10  # bytes of an entry of the vocabulary: an empty word, a count, a kind

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class FastTextFile:
    """What a fastText model file holds; matrices stay codes where the file compresses them.

    Parameters
    ----------
    version : int
    args : dict of str to int
        The numbers that training was told.
    loss : {"hs", "ns", "softmax", "ova"}
    quantised : bool
        Whether the file keeps codes instead of the numbers.
    words, labels : list of bytes
    label_counts : list of int
        How often each label came in training.
    kept : dict of int to int, or None
        Row of each bucket that has one; None where all have, in their order.
    embedding : float32 array of shape (n_words + n_buckets, dim), or CodedRows
        Numbers with the loss hs, whose tree has no coded form.
    weight : float32 array of shape (n_labels, dim), or CodedRows
    """

    version: int
    args: dict[str, int]
    loss: str
    quantised: bool
    words: list[bytes]
    labels: list[bytes]
    label_counts: list[int]
    kept: dict[int, int] | None
    embedding: NDArray[np.float32] | CodedRows
    weight: NDArray[np.float32] | CodedRows


def read_fasttext_file(path: str | os.PathLike[str]) -> FastTextFile:
    """Read a classifier that fastText saved.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    FastTextFile

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read.
    ValueError
        Naming the file, the place, what came and what was expected.
    """
    with open(path, "rb") as opened:
        return _with_bytes(opened, str(os.fspath(path)), _read)


def _with_bytes(opened: BinaryIO, name: str, work: Callable[[_Bytes], _T]) -> _T:
    size = os.fstat(opened.fileno()).st_size
    if not size:
        raise ValueError(f"{name}: the file is empty; a fastText model was expected")
    with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return work(_Bytes(name, mapped, size))


class _Bytes:
    """A file under reading: every piece is checked against what is left."""

    def __init__(self, name: str, data: mmap.mmap, size: int) -> None:
        self.name = name
        self.data = data
        self.size = size
        self.place = 0

    def wrong(self, problem: str) -> ValueError:
        """Return the error, with the file's name."""
        return ValueError(f"{self.name}: {problem}")

    def need(self, n: int, what: str) -> None:
        """Raise unless `n` more bytes are there."""
        left = self.size - self.place
        if n > left:
            raise self.wrong(
                f"{what} needs {n} bytes from byte {self.place} on, and {left} are left: the file "
                "is cut short or damaged; copy it again"
            )

    def array(self, n: int, dtype: str, what: str) -> NDArray[Any]:
        """Return the next `n` numbers (little-endian), copied."""
        kind = np.dtype(dtype)
        self.need(n * kind.itemsize, what)
        found = np.frombuffer(self.data, kind, n, self.place).astype(kind.newbyteorder("="))
        self.place += n * kind.itemsize
        return found

    def number(self, dtype: str, what: str, low: int = -(2**63), high: int = 2**63) -> int:
        """Return the next whole number; ValueError unless it is from `low` to `high`."""
        value = int(self.array(1, dtype, what)[0])
        if not low <= value <= high:
            raise self.wrong(
                f"{what} is {value}; {low} to {high} was expected: the file is damaged"
            )
        return value

    def flag(self, what: str) -> bool:
        """Return the next truth value."""
        return bool(self.number("u1", what, 0, 1))

    def entry(self, place: int) -> tuple[bytes, int, int]:
        """Return the next word of the vocabulary, its count and its kind."""
        end = self.data.find(b"\0", self.place)
        if end < 0 or end + 1 + _COUNT_KIND.size > self.size:
            raise self.wrong(
                f"word {place} of the vocabulary has no end: the file is cut short or damaged; "
                "copy it again"
            )
        word = self.data[self.place : end]
        count, kind = _COUNT_KIND.unpack_from(self.data, end + 1)
        self.place = end + 1 + _COUNT_KIND.size
        return word, count, kind


def _read(file: _Bytes) -> FastTextFile:
    version = _read_version(file)
    args = {name: file.number("<i4", name) for name in _ARGS}
    file.array(1, "<f8", "t")
    loss = _named(file, "loss", args["loss"], _LOSSES)
    model = _named(file, "model", args["model"], _MODELS)
    if model != "supervised":
        raise file.wrong(
            f"a {model} model, which has word vectors and no labels; a supervised one was expected."
            " Its vectors can start training: `eitheror train FILE --features embedding "
            "--pretrained-vectors VECTORS.vec`, with the .vec file that fastText wrote beside it"
        )
    if version == 11:
        args["maxn"] = 0  # as fastText does: these models do not use character n-grams
    words, labels, label_counts, kept = _read_dictionary(file)
    dim = args["dim"]
    quantised = file.flag("the flag of a compressed model")
    if kept is not None and not quantised:
        raise file.wrong("the vocabulary is pruned and the matrix is not compressed")
    n_rows = len(words) + (max(args["bucket"], 0) if kept is None else len(kept))
    embedding = _read_matrix(file, quantised, n_rows, dim, "the input matrix")
    squeezed = file.flag("the flag of a compressed output") and quantised
    weight = _read_matrix(file, squeezed, len(labels), dim, "the output matrix")
    if isinstance(weight, CodedRows):
        _check_room(file, weight, "the output matrix")
    if loss == "hs":
        embedding = _dense(file, embedding, "the input matrix")
        weight = _dense(file, weight, "the output matrix")
    if file.place != file.size:
        raise file.wrong(
            f"{file.size - file.place} bytes are left behind the model's end (byte {file.place}): "
            "the file is damaged, or no fastText model"
        )
    return FastTextFile(
        version, args, loss, quantised, words, labels, label_counts, kept, embedding, weight
    )


def _read_version(file: _Bytes) -> int:
    begins = bytes(file.data[:4])
    if file.size < 8 or file.number("<i4", "the magic number") != _MAGIC:
        packed = "; unpack it first" if begins[:2] in (b"\x1f\x8b", b"BZ", b"PK") else ""
        raise file.wrong(
            f"begins with {begins!r}; a fastText model (.bin, .ftz) begins with "
            f"{_MAGIC.to_bytes(4, 'little')!r}{packed}"
        )
    version = file.number("<i4", "the version")
    if version not in _VERSIONS:
        raise file.wrong(
            f"format version {version} came; 11 and 12 can be read: read and save the model with "
            "fastText 0.9"
        )
    return version


def _named(file: _Bytes, what: str, code: int, names: dict[int, str]) -> str:
    if code not in names:
        raise file.wrong(f"{what} is {code}; one of {names} was expected: the file is damaged")
    return names[code]


def _read_dictionary(
    file: _Bytes,
) -> tuple[list[bytes], list[bytes], list[int], dict[int, int] | None]:
    size = file.number("<i4", "the size of the vocabulary", 0, 2**31 - 1)
    n_words = file.number("<i4", "the number of words", 0, size)
    n_labels = file.number("<i4", "the number of labels", 1, 2**31 - 1)
    if n_words + n_labels != size:
        raise file.wrong(
            f"{n_words} words and {n_labels} labels in a vocabulary of {size}: the file is damaged"
        )
    file.number("<i8", "the number of tokens")
    n_kept = file.number("<i8", "the number of kept buckets", -1)
    file.need(size * _LEAST_ENTRY, f"a vocabulary of {size}")
    entries: list[bytes] = []
    counts: list[int] = []
    for place in range(size):
        word, count, kind = file.entry(place)
        if kind != (place >= n_words):
            raise file.wrong(
                f"word {place} of the vocabulary is of kind {kind}: words (0) come first, then "
                "labels (1)"
            )
        entries.append(word)
        counts.append(count)
    kept = None if n_kept < 0 else _read_kept(file, n_kept)
    return entries[:n_words], entries[n_words:], counts[n_words:], kept


def _read_kept(file: _Bytes, n: int) -> dict[int, int]:
    pairs = file.array(2 * n, "<i4", f"a list of {n} kept buckets").reshape(n, 2)
    kept = dict(pairs.tolist())
    if len(kept) != n or sorted(kept.values()) != list(range(n)):
        raise file.wrong(f"the kept buckets do not have the rows 0 .. {n - 1} once each")
    return kept


def _read_matrix(
    file: _Bytes, quantised: bool, n_rows: int, dim: int, what: str
) -> NDArray[np.float32] | CodedRows:
    by_norm = quantised and file.flag(f"the flag of norms of {what}")
    shape = tuple(file.number("<i8", f"the shape of {what}") for _ in range(2))
    if shape != (n_rows, dim) or dim < 1:
        raise file.wrong(
            f"{what} has shape {shape}; {(n_rows, dim)} was expected from the vocabulary, the "
            "buckets and the dimension: the file is damaged"
        )
    if quantised:
        return _read_codes(file, n_rows, dim, by_norm, what)
    matrix = file.array(n_rows * dim, "<f4", what).reshape(n_rows, dim)
    _check_finite(file, matrix, what)
    return cast("NDArray[np.float32]", matrix)


def _check_finite(file: _Bytes, numbers: NDArray[Any], what: str) -> None:
    if not np.isfinite(numbers).all():
        raise file.wrong(f"{what} holds a value that is nan or infinite")


def _check_room(file: _Bytes, rows: CodedRows, what: str) -> None:
    n_rows, dim = rows.shape
    if n_rows * dim > _MOST_NUMBERS:
        raise file.wrong(
            f"{what} has {n_rows} rows of {dim} numbers, which is "
            f"{n_rows * dim / 2**28:.1f} GiB when it is no longer compressed; "
            f"{_MOST_NUMBERS / 2**28:.1f} GiB is the most that is read"
        )


def _dense(file: _Bytes, matrix: NDArray[np.float32] | CodedRows, what: str) -> NDArray[np.float32]:
    if not isinstance(matrix, CodedRows):
        return matrix
    _check_room(file, matrix, what)
    return matrix.take(np.arange(len(matrix)))


def _read_codes(file: _Bytes, n_rows: int, dim: int, by_norm: bool, what: str) -> CodedRows:
    """Rows as the centroids of their parts, times their norms."""
    n_codes = file.number("<i4", f"the number of codes of {what}", 0, 2**31 - 1)
    codes = file.array(n_codes, "u1", f"the codes of {what}")
    centroids = _read_quantiser(file, dim, what)
    if n_codes != n_rows * len(centroids):
        raise file.wrong(
            f"{what} has {n_codes} codes; {n_rows} rows of {len(centroids)} parts were expected"
        )
    scale = np.ones(n_rows, dtype=np.float32)
    if by_norm:
        norm_codes = file.array(n_rows, "u1", f"the norms of {what}")
        norms = _read_quantiser(file, 1, f"the norms of {what}")
        scale = norms.ravel()[norm_codes]
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.abs(centroids).max() * np.abs(scale).max(initial=1)
    _check_finite(file, largest, what)
    none = np.zeros((0, dim), dtype=np.float32)
    return CodedRows(none, codes.reshape(n_rows, len(centroids)), centroids, scale)


def _read_quantiser(file: _Bytes, dim: int, what: str) -> NDArray[np.float32]:
    """Centroids of the parts of a row, float32 of shape (n_parts, 256, width), padded with 0."""
    came = {
        name: file.number("<i4", f"{name} of {what}")
        for name in ("dim", "nsubq", "dsub", "lastdsub")
    }
    width = came["dsub"]
    n = -(-dim // width) if width > 0 else 0
    last = dim - (n - 1) * width
    if came != {"dim": dim, "nsubq": n, "dsub": width, "lastdsub": last} or n < 1:
        raise file.wrong(f"the quantiser of {what} has {came}; it does not fit {dim} columns")
    centroids = file.array(dim * _CENTROIDS, "<f4", f"the centroids of {what}")
    whole = (n - 1) * _CENTROIDS * width
    parts = np.zeros((n, _CENTROIDS, width), dtype=np.float32)
    parts[:-1] = centroids[:whole].reshape(n - 1, _CENTROIDS, width)
    parts[-1, :, :last] = centroids[whole:].reshape(_CENTROIDS, last)
    return parts
