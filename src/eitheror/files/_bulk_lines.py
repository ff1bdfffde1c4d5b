"""fastText and plain text files, a block of lines at a time, in NumPy.

A line is plain if its labels are short and stand behind at most a few signs of white space; every
other line is left to the careful reader in `_fasttext`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.files._batches import Careful, Columns, Pieces, Statements, in_turns
from eitheror.files._cells import cut_out
from eitheror.files._fasttext import SPACE, LineReader, text_row
from eitheror.files._rows import Reading, Row, rows_of
from eitheror.files._statements import Found
from eitheror.files._streams import Source, lines_of

__all__ = ["fasttext_pieces", "is_utf8", "line_bounds", "text_pieces"]

_WINDOWS: Final = (16, 128)  # bytes that the name of a label and what ends it may take
_LONGEST_PREFIX: Final = 32
_PART: Final = 1 << 16  # bytes looked at together
_GAP: Final = 3  # signs of white space before a label or the text
_ENDS: Final = np.zeros(256, dtype=bool)
_ENDS[[ord(c) for c in SPACE + "\n"]] = True
_SPACES: Final = _ENDS & (np.arange(256) != ord("\n"))

Lines = tuple[NDArray[np.int64], NDArray[np.int64]]


def text_pieces(source: Source, reading: Reading) -> Pieces:
    """Yield what `read_text` yields, many rows at once."""
    statements = Statements()
    for first, data in source.blocks():
        if not is_utf8(data):
            yield from rows_of(source.name, lines_of([(first, data)]), text_row(source.name))
            continue
        starts, ends = line_bounds(data)
        columns = Columns(
            first + np.arange(len(starts)), (data, starts, ends), [None] * len(starts), []
        )
        yield from in_turns(source.name, columns, statements, _nothing, lambda *_: ())


def fasttext_pieces(source: Source, reading: Reading) -> Pieces:
    """Yield what `read_fasttext` yields, many rows at once."""
    reader = LineReader(source.name, reading)
    statements = Statements()
    prefix = reading.options.prefix.encode()
    quick = len(prefix) <= _LONGEST_PREFIX and b"\0" not in prefix

    def resolve(head: bytes, line: int) -> Found:
        return reader.label(head.decode())

    for first, data in source.blocks():
        if not quick or not is_utf8(data):
            yield from reader.rows(lines_of([(first, data)]))
            continue
        starts, ends = line_bounds(data)
        rows, block = _split(data, starts, ends, prefix, reading.options.unlabelled)

        careful = _one_by_one(reader, first, data, starts, rows)
        block.lines += first
        resolving = _nothing if reading.options.unlabelled else resolve
        yield from in_turns(source.name, block, statements, resolving, careful)


def _one_by_one(
    reader: LineReader,
    first: int,
    data: bytes,
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> Careful:
    """Return what reads rows of a block carefully."""

    def careful(begin: int, end: int) -> Iterator[Row]:
        row, behind = int(rows[begin]), int(rows[end - 1]) + 1
        stop = int(starts[behind]) if behind < len(starts) else len(data)
        return reader.rows(lines_of([(first + row, data[starts[row] : stop])]))

    return careful


def _nothing(label: Any, line: int) -> Found:
    return None


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are valid UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def line_bounds(data: bytes) -> Lines:
    r"""Return where each line begins and ends, without its end (\n or \r\n).

    Examples
    --------
    >>> line_bounds(b"one\r\n\ntwo")
    (array([0, 5, 6]), array([3, 5, 9]))
    """
    signs = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(signs == 10)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
    if b"\r" in data:
        ends = ends - ((ends > starts) & (signs[ends - 1] == 13))
    return starts, ends


def _split(
    data: bytes,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    prefix: bytes,
    unlabelled: bool,
) -> tuple[NDArray[np.int64], Columns]:
    """Return the lines that are rows, and their columns; lines count from 0."""
    rows = np.arange(len(starts)) if unlabelled else np.flatnonzero(ends > starts)
    heads = _Heads(data, starts[rows], ends[rows], prefix)
    odd = heads.read()
    text, last = heads.position, ends[rows]
    signs = heads.signs
    if not unlabelled:
        odd |= text >= last
        odd[~odd] |= signs[text[~odd]] == 13  # may be white space only
        _mark_inside(data, prefix, heads, odd)
        labels: list[Any] = cut_out(data, heads.starts, heads.label_end)
    else:
        odd |= text > last
        labels = [None] * len(rows)
    return rows, Columns(rows.copy(), (data, text, last), labels, np.flatnonzero(odd).tolist())


def _mark_inside(data: bytes, prefix: bytes, heads: _Heads, odd: NDArray[np.bool_]) -> None:
    """Mark the rows with the prefix of a label somewhere in the text."""
    # Its first two signs are counted three times as fast as the whole prefix.
    own = np.frombuffer(prefix, dtype=np.uint8)
    if _pairs(heads.signs, own) == heads.n_labels * _pairs(own, own):
        return
    if data.count(prefix) == heads.n_labels:
        return
    found = np.array([match.start() for match in re.finditer(re.escape(prefix), data)])
    row = np.searchsorted(heads.starts, found, side="right") - 1
    inside = found >= heads.position[row]
    odd[row[inside]] = True


def _pairs(signs: NDArray[np.uint8], prefix: NDArray[np.uint8]) -> int:
    """Return how often the first one or two signs of the prefix come."""
    n, last = 0, min(len(prefix), 2) - 1
    for start in range(0, len(signs) - last, _PART):  # in parts that stay in the cache
        part = signs[start : start + _PART + last]
        here = (part[: len(part) - last] == prefix[0]) & (part[last:] == prefix[last])
        n += int(np.count_nonzero(here))
    return n


class _Heads:
    """Finds the labels at the front of lines.

    Attributes
    ----------
    position : int64 array of shape (n,)
        Where the text begins.
    label_end : int64 array of shape (n,)
        Where the last label ends; the beginning of the line without one.
    n_labels : int
        Labels in all lines.
    """

    def __init__(
        self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], prefix: bytes
    ) -> None:
        self.signs = np.frombuffer(
            data + bytes(_WINDOWS[-1] + _LONGEST_PREFIX + _GAP), dtype=np.uint8
        )
        self.prefix = prefix
        self.starts = starts
        self.ends = ends
        self.position = starts.copy()
        self.label_end = starts.copy()
        self.n_labels = 0

    def read(self) -> NDArray[np.bool_]:
        """Find all labels; return which lines are odd."""
        odd = np.zeros(len(self.starts), dtype=bool)
        left = np.arange(len(self.starts))
        while len(left):
            odd[left] |= self._skip_space(left)
            left = left[~odd[left]]
            left = left[self._at_prefix(left)]
            self.n_labels += len(left)
            for window in _WINDOWS:
                found, left = self._read_label(left, window)
                odd[found] |= self.label_end[found] >= self.ends[found]
                if window == _WINDOWS[0]:
                    quick = found
            odd[left] = True
            left = np.concatenate([quick, found])
            left = left[~odd[left]]
        return odd

    def _skip_space(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Step over white space; return where there is too much of it."""
        space = _SPACES[self.signs[self.position[rows]]]
        for _ in range(_GAP):
            if not space.any():
                break
            self.position[rows[space]] += 1
            space = _SPACES[self.signs[self.position[rows]]]
        left: NDArray[np.bool_] = space & (self.position[rows] < self.ends[rows])
        return left

    def _at_prefix(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self._spans(len(self.prefix))[self.position[rows]] == self.prefix
        return found

    def _read_label(
        self, rows: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Step over labels that end in a window; return (rows where one does, other rows)."""
        behind = self.position[rows] + len(self.prefix)
        stops = _ENDS[self._spans(size)[behind].view(np.uint8).reshape(-1, size)]
        first = stops.argmax(axis=1)
        found = stops[np.arange(len(rows)), first]
        done = rows[found]
        self.label_end[done] = self.position[done] = behind[found] + first[found]
        return done, rows[~found]

    def _spans(self, size: int) -> NDArray[Any]:
        """Return the `size` bytes from each position on; zeros at their end are not compared."""
        shape = (len(self.signs) - size + 1,)
        return np.ndarray(shape, f"S{size}", self.signs, strides=(1,))
