"""The cells of a block of CSV or TSV, found in NumPy.

CSV is read as the module `csv` with `strict` reads it: cells may be quoted, and then a quotation
mark is written twice. A block in which a quotation mark stands anywhere else is not read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.text.sequence import Piece

__all__ = ["CellBlock", "cut_out", "find_cells"]

_QUOTE: Final = ord('"')
_LINE_END: Final = ord("\n")
_RETURN: Final = ord("\r")
_WIDEST: Final = 128  # bytes up to which many short spans are cut out at once

Longs = NDArray[np.int64]


def cut_out(data: bytes, starts: Longs, ends: Longs) -> list[bytes]:
    """Return spans of bytes that hold no NUL, one after the other.

    Examples
    --------
    >>> cut_out(b"one two", np.array([0, 4]), np.array([3, 7]))
    [b'one', b'two']
    """
    lengths = ends - starts
    size = int(lengths.max(initial=0))
    if not 0 < size <= _WIDEST or size > len(data):
        return [data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    windows: NDArray[Any] = np.ndarray((len(data) - size + 1,), f"S{size}", data, strides=(1,))
    first = np.minimum(starts, len(data) - size)  # the last windows begin before their span
    signs = windows[first].view(np.uint8).reshape(-1, size)
    signs *= np.arange(size) < (lengths + starts - first)[:, None]
    found: list[bytes] = signs.view(f"S{size}")[:, 0].tolist()
    for i in np.flatnonzero(first < starts).tolist():
        found[i] = data[starts[i] : ends[i]]
    return found


@dataclass(frozen=True)
class CellBlock:
    """Whole records, one after the other.

    Attributes
    ----------
    data : bytes
        The block.
    starts, ends : int64 arrays of shape (n_records, n_columns)
        Where each cell begins and ends, without its quotation marks.
    doubled : bool array of shape (n_records, n_columns)
        Cells in which quotation marks stand twice.
    ragged : bool array of shape (n_records,)
        Records with more or fewer cells; their cells above mean nothing.
    bounds : int64 array of shape (n_records, 2)
        Where each record begins and ends.
    lines : int64 array of shape (n_records,)
        The line in which each begins, from 0.
    size, n_lines : int
        Bytes and lines of the block up to the end of its last whole record.
    """

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    doubled: NDArray[np.bool_]
    ragged: NDArray[np.bool_]
    bounds: NDArray[np.int64]
    lines: NDArray[np.int64]
    size: int
    n_lines: int

    def column(self, place: int) -> list[bytes]:
        """Return the cells of one column."""
        found = cut_out(self.data, self.starts[:, place], self.ends[:, place])
        for row in np.flatnonzero(self.doubled[:, place]).tolist():
            found[row] = found[row].replace(b'""', b'"')
        return found

    def piece(self, place: int) -> Piece:
        """Return one column as texts; cells that must be changed are put behind the block."""
        starts, ends = self.starts[:, place].copy(), self.ends[:, place].copy()
        rows = np.flatnonzero(self.doubled[:, place])
        if not len(rows):
            return self.data, starts, ends
        spans = zip(starts[rows].tolist(), ends[rows].tolist(), strict=True)
        changed = [self.data[a:b].replace(b'""', b'"') for a, b in spans]
        lengths = np.array([len(cell) for cell in changed], dtype=np.int64)
        ends[rows] = len(self.data) + np.cumsum(lengths)
        starts[rows] = ends[rows] - lengths
        return b"".join([self.data, *changed]), starts, ends


def find_cells(data: bytes, sep: str, width: int, *, quoted: bool) -> CellBlock | None:
    r"""Find the cells of all whole records.

    Parameters
    ----------
    data : bytes
        UTF-8 that begins where a record does.
    sep : str
        What stands between cells, an ASCII character.
    width : int
        Cells of a record.
    quoted : bool
        Whether cells may be quoted.

    Returns
    -------
    CellBlock or None
        None where the block cannot be read this way.

    Examples
    --------
    >>> cells = find_cells(b'one,a\n"two, ""2"" ",b\nthr', ",", 2, quoted=True)
    >>> cells.column(0), cells.column(1), cells.size
    ([b'one', b'two, "2" '], [b'a', b'b'], 22)
    """
    if b"\0" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return None
    signs = np.frombuffer(data, dtype=np.uint8)
    marked = (signs == ord(sep)) | (signs == _LINE_END)
    if quoted and b'"' in data:
        marked |= signs == _QUOTE
    places = np.flatnonzero(marked)
    kinds = signs[places]
    lines = places[kinds == _LINE_END]
    n_quotes = np.zeros(len(places), dtype=np.int64)
    if quoted:
        quote = kinds == _QUOTE
        np.cumsum(quote, out=n_quotes)
        if not _are_closed(signs, places[quote], ord(sep)):
            return None
        outside = ~quote & (n_quotes % 2 == 0)
        places, kinds, n_quotes = places[outside], kinds[outside], n_quotes[outside]
    stops = np.flatnonzero(kinds == _LINE_END)
    n = int(stops[-1]) + 1 if len(stops) else 0
    return _block(data, signs, places[:n], n_quotes[:n], stops, lines, width)


def _are_closed(signs: NDArray[np.uint8], quotes: Longs, sep: int) -> bool:
    """Tell whether every quotation mark begins a cell, ends one, or stands twice in one."""
    opening, closing = quotes[::2], quotes[1::2]
    before = signs[opening[opening > 0] - 1]
    behind = signs[closing[closing < len(signs) - 1] + 1]
    begins = (before == sep) | (before == _LINE_END) | (before == _QUOTE)
    ends = (behind == sep) | (behind == _LINE_END) | (behind == _QUOTE) | (behind == _RETURN)
    return bool(begins.all() and ends.all())


def _block(
    data: bytes,
    signs: NDArray[np.uint8],
    ends: Longs,
    n_quotes: Longs,
    stops: Longs,
    lines: Longs,
    width: int,
) -> CellBlock:
    """Put cells together to records; `stops` are the last cells of each."""
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    size = int(ends[-1]) + 1 if len(ends) else 0
    n_quotes = np.diff(n_quotes, prepend=0)
    ends = ends.copy()
    ends[stops] -= (signs[ends[stops] - 1] == _RETURN) & (ends[stops] > starts[stops])
    first = np.concatenate([[0], stops[:-1] + 1])[: len(stops)]
    some = (stops > first) | (ends[stops] > starts[stops])  # other lines are blank
    first, stops = first[some], stops[some]
    bounds = np.stack([starts[first], ends[stops]], axis=1)
    ragged = stops - first + 1 != width
    cells = np.where(ragged, 0, first)[:, None] + np.arange(width)
    cells = np.minimum(cells, max(len(ends) - 1, 0))
    has_quotes = n_quotes[cells] > 0
    return CellBlock(
        data,
        starts[cells] + has_quotes,
        ends[cells] - has_quotes,
        n_quotes[cells] > 2,
        ragged,
        bounds,
        np.searchsorted(lines, bounds[:, 0]),
        size,
        int(np.searchsorted(lines, size)),
    )
