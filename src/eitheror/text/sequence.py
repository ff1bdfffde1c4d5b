"""`Texts`: many texts over few buffers of UTF-8, made into `str` one at a time when asked for.

A file of a million lines stays what it was read as, bytes; the kernels take them from there without
a Python object a row.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Piece", "Texts", "TextsBuilder", "piece_of"]

Piece = tuple[bytes, NDArray[np.int64], NDArray[np.int64]]
"""A buffer of UTF-8, and where in it each text begins and ends."""
_SHOWN = 20
_AT_ONCE = 4096


class Texts(Sequence[str]):
    """A sequence of texts: indexed, sliced, iterated, compared and added like a list of str.

    It cannot be changed; `list(texts)` makes a list of it.

    Parameters
    ----------
    pieces : iterable of (bytes, int64 array, int64 array)
        Valid UTF-8, and where in it each text begins and ends.

    Examples
    --------
    >>> texts = Texts.of(["one", "two", "three"])
    >>> texts[-1], list(texts[:2]), len(texts)
    ('three', ['one', 'two'], 3)
    >>> texts == ["one", "two", "three"]
    True
    """

    __hash__ = None  # type: ignore[assignment]  # compared by value, like a list

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        kept = [piece for piece in pieces if len(piece[1])]
        empty = np.empty(0, dtype=np.int64)
        self.buffers = [data for data, _, _ in kept]
        self.which = np.repeat(
            np.arange(len(kept), dtype=np.int32), [len(starts) for _, starts, _ in kept]
        )
        self.starts = np.concatenate([empty, *(starts for _, starts, _ in kept)])
        self.ends = np.concatenate([empty, *(ends for _, _, ends in kept)])

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Return a copy of texts that hold no half of a surrogate pair."""
        return cls([piece_of(texts)])

    @classmethod
    def concatenate(cls, parts: Sequence[Texts]) -> Texts:
        """Return the texts of all parts, in order; the buffers are shared.

        Examples
        --------
        >>> Texts.concatenate([Texts.of(["one", "two"]), Texts.of(["three"])])
        ['one', 'two', 'three']
        """
        whole = cls()
        if parts:
            first = np.cumsum([0, *(len(part.buffers) for part in parts[:-1])]).tolist()
            numbers = [part.which + i for part, i in zip(parts, first, strict=True)]
            whole.buffers = [data for part in parts for data in part.buffers]
            whole.which = np.concatenate(numbers, dtype=np.int32)
            whole.starts = np.concatenate([part.starts for part in parts])
            whole.ends = np.concatenate([part.ends for part in parts])
        return whole

    @property
    def n_bytes(self) -> int:
        """Bytes of the texts in UTF-8."""
        return int((self.ends - self.starts).sum())

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), _AT_ONCE):
            spans = self._spans(slice(begin, begin + _AT_ONCE))
            yield from [text.decode() for text in spans]

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> Texts: ...
    def __getitem__(self, key: Any) -> str | Texts:
        if isinstance(key, slice):
            return self._at(key)
        row = operator.index(key)
        row += len(self) if row < 0 else 0
        if not 0 <= row < len(self):
            raise IndexError(f"row {key} of {len(self)} texts")
        text: str = self.buffers[self.which[row]][self.starts[row] : self.ends[row]].decode()
        return text

    def take(self, rows: ArrayLike) -> Texts:
        """Return the texts of the given rows, in that order; the buffers are shared.

        Examples
        --------
        >>> Texts.of(["one", "two", "three"]).take([2, 0])
        ['three', 'one']
        """
        numbers = np.asarray(rows)
        if len(numbers) and numbers.dtype.kind not in "iu":  # a mask would be read as rows 0 and 1
            raise TypeError(f"take: {numbers.dtype} came; row numbers were expected")
        return self._at(numbers.astype(np.int64))

    def joined(self) -> Piece:
        """Return one buffer, and where in it each text begins and ends.

        It is made of the stretches of the buffers that the texts lie in, where they take up most of
        them.
        """
        lengths = self.ends - self.starts
        size = int(lengths.sum())
        bounds = [0, *(np.flatnonzero(np.diff(self.which)) + 1).tolist(), len(self)]
        if len(self) and len(bounds) - 1 <= len(self.buffers):
            begins = np.minimum.reduceat(self.starts, bounds[:-1])
            stops = np.maximum.reduceat(self.ends, bounds[:-1])
            if (stops - begins).sum() <= 2 * size:
                which = self.which[bounds[:-1]]
                spans = zip(which.tolist(), begins.tolist(), stops.tolist(), strict=True)
                parts = [self.buffers[i][begin:stop] for i, begin, stop in spans]
                places = np.cumsum(stops - begins) - stops  # where each buffer itself would begin
                shift = np.repeat(places, np.diff(bounds))
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                return data, self.starts + shift, self.ends + shift
        ends = np.cumsum(lengths)
        return b"".join(self._spans(slice(None))), ends - lengths, ends

    def _spans(self, rows: slice) -> list[bytes]:
        spans = zip(
            self.which[rows].tolist(),
            self.starts[rows].tolist(),
            self.ends[rows].tolist(),
            strict=True,
        )
        return [self.buffers[i][start:end] for i, start, end in spans]

    def _at(self, rows: Any) -> Texts:
        taken = Texts()
        taken.buffers = self.buffers
        taken.which, taken.starts, taken.ends = self.which[rows], self.starts[rows], self.ends[rows]
        return taken

    def __reduce__(self) -> tuple[Any, ...]:
        # A few rows go to another process without the buffers that they were cut from.
        return Texts, ([self.joined()],)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Texts):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other: Iterable[str]) -> list[str]:
        return [*self, *other]

    def __radd__(self, other: Iterable[str]) -> list[str]:
        return [*other, *self]

    def __repr__(self) -> str:
        if len(self) <= _SHOWN:
            return repr(list(self))
        return f"<{len(self)} texts: {list(self[:3])!r:.300} ...>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        out = np.empty(len(self), dtype=object)
        out[:] = list(self)
        return out if dtype is None else out.astype(dtype)


class TextsBuilder:
    """Gathers texts one by one or many at once, then `build` the `Texts`.

    Examples
    --------
    >>> builder = TextsBuilder()
    >>> builder.append("one")
    >>> builder.extend(piece_of(["two", "three"]))
    >>> builder.build()
    ['one', 'two', 'three']
    """

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._single: list[str] = []
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, text: str) -> None:
        """Add one text."""
        self._single.append(text)
        self._n += 1
        if len(self._single) == 1 << 14:
            self._flush()

    def extend(self, piece: Piece) -> None:
        """Add the texts of a buffer."""
        self._flush()
        self._pieces.append(piece)
        self._n += len(piece[1])

    def build(self) -> Texts:
        """Return all of them."""
        self._flush()
        return Texts(self._pieces)

    def _flush(self) -> None:
        if self._single:
            self._pieces.append(piece_of(self._single))
            self._single = []


def piece_of(texts: Sequence[str]) -> Piece:
    """Return the UTF-8 of texts one after the other, and where each begins and ends."""
    joined = "".join(texts)
    if joined.isascii():
        data, lengths = joined.encode(), list(map(len, texts))
    else:
        lines = [text.encode() for text in texts]
        data, lengths = b"".join(lines), list(map(len, lines))
    ends = np.cumsum(lengths, dtype=np.int64)
    return data, ends - np.array(lengths, dtype=np.int64), ends
