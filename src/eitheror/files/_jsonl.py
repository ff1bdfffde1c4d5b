"""JSON: one object a line, or one array of objects.

In: lines, or the whole of a `.json` file. Out: (line, object) pairs, decoded by msgspec and checked
for what msgspec lets pass (a key that stands twice); `read_jsonl` turns them into rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from eitheror.files._rows import Reading, Row, RowReader, rows_of
from eitheror.files._statements import Found, Problem, kind_of
from eitheror.files._streams import Source
from eitheror.labels import DataError

__all__ = ["JsonReader", "decode_object", "read_jsonl", "records"]

_DECODER: Final = msgspec.json.Decoder()
_KEYS: Final = re.compile(rb'"\s*:')
_LONE_SURROGATE: Final = re.compile(rb"(?i)\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]")
_NAN: Final = re.compile(rb"[:\[,]\s*(-?(?:NaN|nan|Infinity|inf))\b")


def read_jsonl(records: Iterator[tuple[int, Any]], file: str, reading: Reading) -> Iterator[Row]:
    """Yield the rows of decoded records with the keys that the docs list."""
    return JsonReader(file, reading).rows(records)


class JsonReader:
    """Turns decoded records into rows.

    Parameters
    ----------
    file : str
        Its name in messages.
    reading : Reading
        What all files share.
    """

    def __init__(self, file: str, reading: Reading) -> None:
        self.file = file
        self.options = options = reading.options
        self._reading = reading
        self._row = RowReader(file, reading)
        reading.missing.update(name for name in reading.named_columns() if name not in reading.keys)
        ignored = {options.text, options.label} & {*options.ignore}
        self._quick = not options.unlabelled and not ignored

    def rows(self, records: Iterator[tuple[int, Any]]) -> Iterator[Row]:
        """Yield the row of each (line, record)."""
        return rows_of(self.file, records, self._build)

    def plain(self, value: Any, line: int) -> Found:
        """Return the label that a plain value means."""
        return self._row.statements.plain(value, line)

    def _build(self, line: int, record: dict[str, Any] | None) -> Row:
        if record is None:
            return Row(self.file, line, None)
        if self._reading.missing:
            self._reading.note_keys(record)
        if self._quick and len(record) == 2:  # the common row: a text and one class
            text, name = record.get(self.options.text), record.get(self.options.label)
            if type(text) is str and type(name) is str:
                return Row(self.file, line, text, self.plain(name, line))
        return self._row.row(line, record)


def records(
    source: Source, lines: Iterator[tuple[int, bytes]] | None = None, *, blanks: bool = False
) -> Iterator[tuple[int, dict[str, Any] | Exception | None]]:
    """Yield (line, object) of JSONL or of a JSON array; what cannot be read is an exception.

    Blank lines between objects are left out, or with `blanks` come as None. `lines` are those of
    the source if they have been begun.
    """
    if lines is None and source.head().lstrip().startswith(b"["):
        yield from _array_items(source)
        return
    for line, raw in lines or source.lines():
        if raw.isspace():
            if blanks:
                yield line, None
            continue
        try:
            yield line, decode_object(raw)
        except ValueError as error:
            yield line, error


def decode_object(raw: bytes) -> dict[str, Any]:
    """Return one JSON object, or say what is wrong with it."""
    try:
        found = _DECODER.decode(raw)
    except UnicodeDecodeError:
        raise _not_utf8(raw) from None
    except msgspec.DecodeError as error:
        raise _malformed(raw, str(error)) from None
    if type(found) is not dict:
        raise Problem("$", f"{kind_of(found)}; a line holds one JSON object: {{...}}")
    if len(_KEYS.findall(raw)) != (
        len(found) if len(found) < 3 and _flat(found) else _count(found)
    ):
        _refuse_twice(raw)
    return found


def _flat(found: dict[str, Any]) -> bool:
    return all(type(value) is str for value in found.values())


def _count(value: Any) -> int:
    """Return the number of keys in a JSON value, all levels together."""
    if type(value) is dict:
        return len(value) + sum(_count(v) for v in value.values() if type(v) in (dict, list))
    return sum(_count(v) for v in value if type(v) in (dict, list))


def _refuse_twice(raw: bytes) -> None:
    """Refuse an object in which a key stands twice: which of the two is meant is unknown."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Problem("$", f'the key "{key}" stands twice in one object; keep one')
            found[key] = value
        return found

    json.loads(raw, object_pairs_hook=check)


def _not_utf8(raw: bytes) -> ValueError:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return utf8_problem(error)
    return ValueError("invalid UTF-8; save the file as UTF-8")


def utf8_problem(error: UnicodeDecodeError) -> ValueError:
    """Return what to say about bytes that are not UTF-8."""
    byte = error.object[error.start]
    return ValueError(
        f"invalid UTF-8: byte 0x{byte:02x} at position {error.start}; save the file as UTF-8"
    )


def _malformed(raw: bytes, message: str) -> ValueError:
    number = _NAN.search(raw)
    if number:
        shown = number.group(1).decode()
        return ValueError(f"{shown} is no finite number; fill the gap, or leave the row out")
    if "out of range" in message:
        return ValueError("a number is too large; write a finite number")
    if _LONE_SURROGATE.search(raw):
        return ValueError("half of a surrogate pair (\\ud800 to \\udfff) stands alone in a text")
    reason = message.removeprefix("JSON is malformed: ").replace("Input data was", "the line is")
    return ValueError(f"not valid JSON: {reason}; write one object a line: {{...}}")


def _array_items(source: Source) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Yield the items of a JSON array with the line each begins in; the array is held in memory."""
    data = source.read()
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except UnicodeDecodeError:
        raise DataError(source.name, str(_not_utf8(data))) from None
    except msgspec.DecodeError as error:
        raise _bad_array(source.name, data, str(error)) from None
    line, position = 1, 0
    for item in items:
        raw = bytes(item)
        start = data.index(raw, position)
        line += data.count(b"\n", position, start)
        try:
            yield line, decode_object(raw)
        except ValueError as error:
            yield line, error
        position = start + len(raw)
        line += raw.count(b"\n")


def _bad_array(file: str, data: bytes, message: str) -> DataError:
    reason = message.removeprefix("JSON is malformed: ").replace("Input data was", "the file is")
    found = re.search(r"\(byte (\d+)\)", reason)
    position = int(found[1]) if found else len(data.rstrip())
    line = data.count(b"\n", 0, position) + 1
    return DataError(f"{file}:{line}", f"not a valid JSON array of objects: {reason}")
