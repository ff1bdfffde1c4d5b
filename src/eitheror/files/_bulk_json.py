"""JSONL, a block of lines at a time: rows that hold a text, a plain label, an id and a weight.

Each line is decoded straight into the fields that the first lines have. A line with other keys or
other types, or one that cannot be read, is left to the careful reader in `_jsonl`.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from eitheror.files._batches import Careful, Columns, Pieces, Statements, in_turns, mostly_odd
from eitheror.files._jsonl import JsonReader, decode_object, records
from eitheror.files._options import ReadOptions
from eitheror.files._rows import Reading, Row
from eitheror.files._streams import Source

__all__ = ["jsonl_pieces"]

_KEY: Final = re.compile(rb'"\s*:')
_ROLES: Final = ("text", "label", "id", "weight")
_LOOKED_AT: Final = 100  # lines whose keys are taken for those of the file
_LABELS: Final = {str, int, type(None)}
_NESTED: Final = {list, dict}


def jsonl_pieces(source: Source, reading: Reading, blocks: Iterable[tuple[int, bytes]]) -> Pieces:
    """Yield what `read_jsonl` yields, many rows at once.

    Parameters
    ----------
    source : Source
        The file.
    reading : Reading
        What all files share.
    blocks : iterable of (int, bytes)
        Its blocks of whole lines, with the number of the first line of each.
    """
    reader = JsonReader(source.name, reading)
    statements = Statements()
    decoder = None
    for first, data in blocks:
        lines = list(io.BytesIO(data))
        careful = _one_by_one(reader, source, first, lines)
        begin = 0
        while reading.missing and begin < len(lines):
            yield from careful(begin, begin + 1)
            begin += 1
        decoder = decoder or _Decoder.like(lines[begin : begin + _LOOKED_AT], reading.options)
        if decoder is None:
            yield from careful(begin, len(lines))
            continue
        columns = decoder.columns(lines[begin:])
        if mostly_odd(len(columns.odd), len(columns.lines)):
            decoder = None  # the next block may have other keys
        columns.lines += first + begin
        careful = _one_by_one(reader, source, first + begin, lines[begin:])
        yield from in_turns(source.name, columns, statements, reader.plain, careful)


def _one_by_one(reader: JsonReader, source: Source, first: int, lines: list[bytes]) -> Careful:
    """Return what reads lines of a block carefully."""

    def careful(begin: int, end: int) -> Iterator[Row]:
        some = enumerate(lines[begin:end], start=first + begin)
        return reader.rows(records(source, some, blanks=reader.options.unlabelled))

    return careful


class _Decoder:
    """Decodes lines that have certain keys.

    Parameters
    ----------
    keys : dict from str to str
        From roles (`text`, `label`, `id`, `weight`) to keys.
    always : set of str
        The roles that every line has.
    labelled : bool
        Whether labels are wanted.
    """

    def __init__(self, keys: dict[str, str], always: set[str], labelled: bool) -> None:
        fields: list[Any] = []
        for role in sorted(keys, key=lambda role: role not in always):  # the optional ones last
            kind = str if role == "text" else Any
            fields.append((role, kind) if role in always else (role, kind, msgspec.UNSET))
        self._roles = list(keys)
        self._optional = [role for role in keys if role not in always]
        row = msgspec.defstruct(
            "Line", fields, rename=keys.get, forbid_unknown_fields=True, gc=False
        )
        self._row = row
        self._decoder = msgspec.json.Decoder(row)
        self._labelled = labelled

    @classmethod
    def like(cls, lines: Sequence[bytes], options: ReadOptions) -> _Decoder | None:
        """Return a decoder for lines with the keys of the plain ones among these."""
        keys: dict[str, str] = {getattr(options, role): role for role in _ROLES}
        found: list[set[str]] = []
        for raw in lines:
            try:
                record = decode_object(raw)
            except ValueError:
                continue
            if options.text in record and record.keys() <= keys.keys():
                found.append({keys[key] for key in record})
        if not found or options.ignore or mostly_odd(len(lines) - len(found), len(lines)):
            return None
        present = set.union(*found)
        chosen: dict[str, str] = {
            role: getattr(options, role) for role in _ROLES if role in present
        }
        return cls(chosen, set.intersection(*found), not options.unlabelled)

    def columns(self, lines: list[bytes]) -> Columns:
        """Return the lines by column; they count from 0."""
        data = b"".join(lines)
        rows, odd = self._all_rows(data, lines) or self._rows(lines)
        self._mark_twice(data, lines, rows, odd)
        columns = Columns(
            np.arange(len(lines)),
            [row.text for row in rows],
            self._labels(rows, odd),
            (),
            self._weights(rows, odd),
            self._ids(rows, odd),
        )
        columns.odd = sorted(odd)
        return columns

    def _all_rows(self, data: bytes, lines: list[bytes]) -> tuple[list[Any], set[int]] | None:
        """Decode all lines at once; None if one of them is odd."""
        # No string goes over a line break, so a line that begins with { begins an object. As no
        # object holds another, there are as many objects as lines only if each line is one.
        if any(line[:1] != b"{" for line in lines):
            return None
        try:
            rows = self._decoder.decode_lines(data)
        except ValueError:
            return None
        for role in self._roles:
            if not _NESTED.isdisjoint(map(type, map(attrgetter(role), rows))):
                return None
        return (rows, set()) if len(rows) == len(lines) else None

    def _rows(self, lines: list[bytes]) -> tuple[list[Any], set[int]]:
        """Decode the lines; in place of an odd one stands a row without anything."""
        decode = self._decoder.decode
        rows: list[Any] = []
        odd: set[int] = set()
        empty = self._row(**dict.fromkeys(self._roles, None) | {"text": ""})
        for i, line in enumerate(lines):
            try:
                rows.append(decode(line))
            except ValueError:
                rows.append(empty)
                odd.add(i)
        return rows, odd

    def _mark_twice(self, data: bytes, lines: list[bytes], rows: list[Any], odd: set[int]) -> None:
        """Mark lines with more keys than fields: one stands there twice, or in the text."""
        wanted = np.full(len(rows), len(self._roles))
        for role in self._optional:
            absent = [getattr(row, role) is msgspec.UNSET for row in rows]
            wanted -= np.array(absent, dtype=np.int64)
        if not odd and len(_KEY.findall(data)) == wanted.sum():
            return  # no line has fewer than it has fields
        ends = np.cumsum([len(line) for line in lines])
        places = [match.start() for match in _KEY.finditer(data)]
        found = np.bincount(np.searchsorted(ends, places, side="right"), minlength=len(rows))
        odd.update(np.flatnonzero(found != wanted).tolist())

    def _labels(self, rows: list[Any], odd: set[int]) -> list[Any]:
        if not self._labelled or "label" not in self._roles:
            return [None] * len(rows)
        labels = [row.label for row in rows]
        if not {*map(type, labels)} <= _LABELS:
            for i, label in enumerate(labels):
                if label is msgspec.UNSET:
                    labels[i] = None
                elif type(label) not in _LABELS:
                    odd.add(i)
        return labels

    def _weights(self, rows: list[Any], odd: set[int]) -> list[float | None] | None:
        if "weight" not in self._roles:
            return None
        weights: list[float | None] = []
        for i, row in enumerate(rows):
            weight = row.weight
            if type(weight) in (int, float) and math.isfinite(weight) and weight >= 0:
                weights.append(float(weight))
                continue
            weights.append(None)
            if weight is not None and weight is not msgspec.UNSET:
                odd.add(i)
        return weights

    def _ids(self, rows: list[Any], odd: set[int]) -> list[Any] | None:
        if "id" not in self._roles:
            return None
        ids = [None if row.id is msgspec.UNSET else row.id for row in rows]
        if not _NESTED.isdisjoint(map(type, ids)):
            odd.update(i for i, value in enumerate(ids) if type(value) in _NESTED)
        return ids
