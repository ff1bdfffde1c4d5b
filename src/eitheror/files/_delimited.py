r"""CSV and TSV tables.

CSV cells may be quoted and then hold anything, line breaks too. TSV cells are never quoted: a
quotation mark is a character like any other, and a tab or a line break cannot stand in a cell.
"""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from eitheror.files._fasttext import decoded_line
from eitheror.files._jsonl import utf8_problem
from eitheror.files._options import ReadOptions
from eitheror.files._rows import Reading, Row, RowReader, rows_of
from eitheror.files._statements import Found, Problem
from eitheror.files._streams import Source
from eitheror.labels import STATEMENT_KEYS, DataError, Label, exact, suggest

__all__ = [
    "LONGEST_RECORD",
    "Cells",
    "Layout",
    "cell_value",
    "csv_cells",
    "layout_of",
    "read_delimited",
    "separator_of",
    "tab_cells",
]

LONGEST_RECORD: Final = 100_000
_LONGEST_CELL: Final = 2**31 - 1
_NUMBERS: Final = ("voters", "trust")

Cells = tuple[int, list[str] | Exception]


def read_delimited(source: Source, reading: Reading, kind: str) -> Iterator[Row]:
    """Yield the rows of a table; `kind` is "csv" or "tsv"."""
    sep = separator_of(reading.options, kind)
    # with a tab between the cells there is no quoting, whatever the file is called
    lines = source.lines()
    cells = tab_cells(lines) if sep == "\t" else csv_cells(lines, source.name, sep)
    layout = layout_of(source.name, cells, reading, sep)
    if layout is not None:
        yield from rows_of(source.name, layout.first, layout.row)
        yield from rows_of(source.name, cells, layout.row)


def separator_of(options: ReadOptions, kind: str) -> str:
    """Return what stands between the cells of a "csv" or "tsv" file."""
    return options.sep or ("\t" if kind == "tsv" else ",")


def layout_of(file: str, cells: Iterator[Cells], reading: Reading, sep: str) -> Layout | None:
    """Take the header off the cells; None if there is no row at all."""
    options = reading.options
    header: list[str] | None = None
    if not options.no_header:
        line, found = next(cells, (1, None))
        if isinstance(found, Exception):
            raise DataError(f"{file}:{line}", str(found))
        if found is None:
            return None
        header = found
    if header is not None:
        return Layout(file, _names(file, header, options), reading, sep)
    first = next(cells, None)
    if first is None:
        return None
    width = len(first[1]) if isinstance(first[1], list) else 0
    names = [str(i + 1) for i in range(width)]
    return Layout(file, _names(file, names, options), reading, sep, [first])


def _names(file: str, header: Sequence[str], options: ReadOptions) -> list[str]:
    names = [name.strip() for name in header]
    if options.columns is not None:
        if len(options.columns) != len(header):
            raise DataError(
                f"{file}:1",
                f"{len(header)} columns, but columns names {len(options.columns)}: "
                f"{', '.join(options.columns)}",
            )
        names = list(options.columns)
    twice = next((name for i, name in enumerate(names) if name in names[:i] and name), None)
    if twice is not None:
        raise DataError(
            f"{file}:1",
            f'two columns are called "{twice}"; name all columns in order: --columns a,b,c',
        )
    return names


# -- from lines to cells -----------------------------------------------------------------------


def tab_cells(lines: Iterable[tuple[int, bytes]]) -> Iterator[Cells]:
    """Yield the cells of each line; what cannot be read is an exception."""
    for line, raw in lines:
        if not raw.strip(b"\r\n"):
            continue
        try:
            yield line, decoded_line(raw).split("\t")
        except ValueError as error:
            yield line, error


class _TextLines:
    """Feeds decoded lines to the CSV parser and remembers where the record began."""

    def __init__(self, lines: Iterable[tuple[int, bytes]], name: str) -> None:
        self._lines = iter(lines)
        self.name = name
        self.line = 0
        self.start = 0  # where the record began; 0 between records
        self.bad: ValueError | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.line, raw = next(self._lines)
        self.start = self.start or self.line
        if self.line - self.start > LONGEST_RECORD:
            raise DataError(
                f"{self.name}:{self.start}",
                f"a quoted cell begins here and does not end within {LONGEST_RECORD:,} lines; "
                'close it with ", and write a quotation mark inside a cell twice',
            )
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.bad = utf8_problem(error)
            return raw.decode("utf-8", "replace")


def csv_cells(numbered: Iterable[tuple[int, bytes]], file: str, sep: str) -> Iterator[Cells]:
    """Yield the cells of each record; what cannot be read is an exception."""
    lines = _TextLines(numbered, file)
    parser = csv.reader(lines, delimiter=sep, strict=True)
    while True:
        lines.start, lines.bad = 0, None
        try:
            cells: list[str] | Exception = _next_record(parser)
        except StopIteration:
            return
        except csv.Error as error:
            cells = ValueError(_csv_problem(str(error), sep))
        if cells or lines.bad is not None:
            yield lines.start, lines.bad or cells


def _next_record(parser: Iterator[list[str]]) -> list[str]:
    """Return the next record, however long; the limit that other users of csv set stays theirs."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        return next(parser)
    finally:
        csv.field_size_limit(limit)


def _csv_problem(message: str, sep: str) -> str:
    if "end of data" in message:
        return (
            "a quoted cell begins in this row and never ends; "
            'close it with ", and write a quotation mark inside a cell twice'
        )
    if "expected after" in message:
        return (
            f"a quoted cell is followed by something other than {sep!r}; write a quotation mark "
            "inside a quoted cell twice"
        )
    return f"not readable as CSV: {message}"


# -- from cells to rows ------------------------------------------------------------------------


class Layout:
    """Which cell means what, told once from the header."""

    def __init__(
        self,
        file: str,
        names: list[str],
        reading: Reading,
        sep: str,
        first: Sequence[Cells] = (),
    ) -> None:
        self.file = file
        self.first = first  # a record that was looked at before
        self.names = names
        self.reading = reading
        self.options = options = reading.options
        self.sep = sep
        self.reader = RowReader(file, reading, json=False)
        self.features = self._feature_columns()
        reading.name_features(f"{file}:1", [names[i] for i in self.features])
        self.text = self._column(options.text)
        self.label = None if options.unlabelled else self._column(options.label)
        self.id = self._column(options.id)
        self.weight = self._column(options.weight)
        taken = {self.text, self._column(options.label), self.id, self.weight, *self.features}
        # a label column of another name takes the place of "label"
        keys = {*STATEMENT_KEYS} - ({"label"} - {options.label})
        self.statements = [
            (i, name)
            for i, name in enumerate(names)
            if i not in taken and name in keys and name not in options.ignore
        ]
        taken |= {i for i, _ in self.statements}
        self.extra = [
            (i, name)
            for i, name in enumerate(names)
            if i not in taken and name not in options.ignore
        ]
        self._check()
        for name in reading.named_columns():
            self._place(name)

    def _column(self, name: str) -> int | None:
        return (
            self.names.index(name)
            if name in self.names and name not in self.options.ignore
            else None
        )

    def _feature_columns(self) -> list[int]:
        if self.options.feature_names is not None:  # a model's: by name, whatever the file's order
            return [self._place(name) for name in self.options.feature_names]
        wanted = self.options.feature_columns or ()
        found: list[int] = []
        for pattern in wanted:
            hits = [i for i, name in enumerate(self.names) if fnmatch.fnmatchcase(name, pattern)]
            found += [i for i in hits or [self._place(pattern)] if i not in found]
        reserved = {getattr(self.options, role) for role in ("text", "label", "id", "weight")}
        reserved |= {*STATEMENT_KEYS, *self.options.ignore}
        return [i for i in found if self.names[i] not in reserved or self.names[i] in wanted]

    def _place(self, name: str) -> int:
        """Return where a column stands that must be there."""
        if name not in self.names:
            raise DataError(
                f"{self.file}:1",
                f'no column is called "{name}"{suggest(name, self.names)}; {self._columns()}',
            )
        return self.names.index(name)

    def _columns(self) -> str:
        shown = ", ".join(f'"{name}"' for name in self.names[:20])
        return f"the columns are {shown}" + (", ..." if len(self.names) > 20 else "")

    def _check(self) -> None:
        if self.text is None and not self.features:
            advice = "--text NAME, or for numbers --feature-columns 'x*'"
            if self.options.no_header and self.options.columns is None:
                advice += "; name the columns in order: --columns text,label"
            raise DataError(
                f"{self.file}:1",
                f'no column "{self.options.text}"; {self._columns()}. Write {advice}',
            )
        if self.text is not None and self.features:
            raise DataError(
                f"{self.file}:1",
                f'a text column "{self.options.text}" and feature columns; leave one out: '
                f"--ignore {self.options.text}",
            )
        if self.options.unlabelled:
            return
        for _, name in self.extra:
            near = suggest(name, STATEMENT_KEYS)
            if near and self.label is None and not self.statements:
                raise DataError(
                    f"{self.file}:1",
                    f'unknown column "{name}"{near}; name the label column: --label {name}, or '
                    f"leave it out: --ignore {name}",
                )

    def row(self, line: int, cells: list[str]) -> Row:
        """Return the row of one record."""
        if len(cells) != len(self.names):
            self._refuse_ragged(cells)
        found = Row(self.file, line, self._input(cells, line))
        if self.label is not None or self.statements:
            found.label = self._label(cells)
        if self.id is not None and cells[self.id]:
            found.id = cells[self.id]
        if self.weight is not None:
            found.weight = self.reader.weight(cells[self.weight])
        if self.extra:
            found.extra = {name: cells[i] for i, name in self.extra}
        return found

    def _refuse_ragged(self, cells: list[str]) -> None:
        more = len(cells) > len(self.names)
        advice = f'quote cells that contain {self.sep!r}: "a{self.sep}b"'
        if self.sep == "\t":
            advice = "a tab inside a cell must be replaced"
        raise ValueError(
            f"{len(cells)} cells, but the table has {len(self.names)} columns; "
            + (advice if more else "write the missing cells, empty if need be")
        )

    def _input(self, cells: list[str], line: int) -> Any:
        if self.text is not None:
            text = cells[self.text]
            if not text:
                raise Problem(
                    self.reader.path(self.options.text),
                    "the text is missing; write it, or leave the row out",
                )
            return text
        numbers = {self.names[i]: self._number(self.names[i], cells[i]) for i in self.features}
        return list(self.reader.features(list(numbers.values()), line))

    def _number(self, name: str, cell: str) -> float:
        try:
            number = float(cell)
        except ValueError:
            shown = f"{cell!r} is no number" if cell.strip() else "the cell is empty"
            raise Problem(self.reader.path(name), f"{shown}; features are finite numbers") from None
        if number - number != 0:  # nan or infinite
            raise Problem(
                self.reader.path(name),
                f"{cell.strip()} is no finite number; fill the gap, or leave the row out",
            )
        return number

    def _label(self, cells: list[str]) -> Found:
        statements = self.reader.statements
        stated = statements.cell(cells[self.label]) if self.label is not None else None
        keys = {name: cell_value(name, cells[i]) for i, name in self.statements if cells[i].strip()}
        if not keys:
            return stated
        if stated is None:
            return statements.statement(keys)
        label = stated if isinstance(stated, Label) else exact(stated)
        said = label.to_dict()
        if said.keys() & keys.keys():
            other = statements.statement(keys)
            return label & (other if isinstance(other, Label) else exact(other or ""))
        return statements.statement({**said, **keys})


def cell_value(name: str, cell: str) -> Any:
    """Return the value of a statement column: JSON where it looks like JSON, else the plain form.

    `a|b` for lists, `a:.7,b:.3` or `a*3,b*1` for numbers by class.

    Examples
    --------
    >>> cell_value("either", "bug|install")
    ['bug', 'install']
    >>> cell_value("soft", '{"bug": 0.7, "install": 0.3}')
    {'bug': 0.7, 'install': 0.3}
    """
    text = cell.strip()
    if text[:1] in "[{":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise Problem(
                f"column {name!r}",
                f"{cell!r} begins like JSON but is not ({str(error).removeprefix('JSON is ')}); "
                "write a JSON list or object, or names with | between them",
            ) from None
    if name in ("soft", "votes", "evidence"):
        return _numbers_by_class(name, text)
    if name in ("either", "not", "tags", "absent"):
        return [] if text == "+" else [part.strip() for part in text.split("|")]
    return _plain_number(name, text)


def _numbers_by_class(name: str, text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        key, sign, number = part.rpartition(":")
        if not sign:
            key, sign, number = part.rpartition("*")
        value = _float(number)
        if not key.strip() or value is None:
            raise Problem(
                f"column {name!r}",
                f'{text!r}: write a:.7,b:.3, or a JSON object {{"a": 0.7, "b": 0.3}}',
            )
        if key.strip() in found:
            raise Problem(f"column {name!r}", f"{text!r} names {key.strip()!r} twice")
        found[key.strip()] = value
    return found


def _plain_number(name: str, text: str) -> float | str:
    value = _float(text)
    if value is None and name in _NUMBERS:
        raise Problem(f"column {name!r}", f"{text!r} is no number")
    return text if value is None else value  # text for rest: "unknown" or "absent"


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
