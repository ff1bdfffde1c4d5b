"""fastText files: labels first, then the text. Plain text files: one text a line.

Only the tokens at the front of a line are labels. fastText itself takes a label anywhere in the
line, so a text that contains one would mean two things; it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from eitheror.files._jsonl import utf8_problem
from eitheror.files._rows import Reading, Row, RowReader, rows_of
from eitheror.files._statements import Found, plain_name
from eitheror.files._streams import Source
from eitheror.labels import Label, tags, unknown

__all__ = [
    "SPACE",
    "LineReader",
    "decoded_line",
    "label_inside",
    "read_fasttext",
    "read_text",
    "text_row",
]

_CACHE: Final = 1 << 16
SPACE: Final = " \t\v\f\0"
"""What fastText splits a line at, besides the line end."""


def read_text(source: Source, reading: Reading) -> Iterator[Row]:
    """Yield one unlabelled row a line, empty lines too."""
    return rows_of(source.name, source.lines(), text_row(source.name))


def text_row(file: str) -> Callable[[int, bytes], Row]:
    """Return what makes the row of a line that is only text."""
    return lambda line, raw: Row(file, line, decoded_line(raw))


def read_fasttext(source: Source, reading: Reading) -> Iterator[Row]:
    """Yield the rows of a file in the format of fastText.

    One label is an exact class, several are tags, none is unknown.
    """
    return LineReader(source.name, reading).rows(source.lines())


def decoded_line(raw: bytes) -> str:
    """Return a line as text without its end."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise utf8_problem(error) from None
    return text.removesuffix("\n").removesuffix("\r")


def label_inside(prefix: str) -> re.Pattern[str]:
    """Return the pattern of a word in a text that fastText would take for a label."""
    return re.compile(f"(?:^|[{SPACE}\r\n])({re.escape(prefix)}[^{SPACE}\r\n]*)")


class LineReader:
    """Turns lines into labels and text.

    Parameters
    ----------
    file : str
        Its name in messages.
    reading : Reading
        What all files share.
    """

    def __init__(self, file: str, reading: Reading) -> None:
        self.file = file
        self.options = reading.options
        self._reader = RowReader(file, reading).statements
        self._labels: dict[tuple[str, ...], Found] = {}
        prefix = re.escape(self.options.prefix)
        self._leading = re.compile(f"[{SPACE}]*{prefix}([^{SPACE}]*)")
        self._inside = label_inside(self.options.prefix)

    def rows(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Row]:
        """Yield the row of each (number, line); a blank line is none if labels are read."""
        if not self.options.unlabelled:
            lines = ((number, raw) for number, raw in lines if not raw.isspace())
        return rows_of(self.file, lines, self._row)

    def label(self, head: str) -> Found:
        """Return what the beginning of a line states that holds labels only."""
        return self._labelled(self._split(head)[0])

    def _row(self, line: int, raw: bytes) -> Row:
        tokens, text = self._split(decoded_line(raw))
        if self.options.unlabelled:
            return Row(self.file, line, text)
        self._refuse_inside(text)
        if not text:
            raise ValueError("no text behind the labels; write the text, or leave the line out")
        return Row(self.file, line, text, self._labelled(tokens))

    def _split(self, line: str) -> tuple[tuple[str, ...], str]:
        """Return (labels without their prefix, text)."""
        tokens = []
        end = 0
        while found := self._leading.match(line, end):
            tokens.append(found[1])
            end = found.end()
        return tuple(tokens), line[end:].lstrip(SPACE)

    def _refuse_inside(self, text: str) -> None:
        """Refuse a label behind the beginning of the text."""
        if self.options.prefix in text and (found := self._inside.search(text)):
            raise ValueError(
                f"the label {found[1]} stands inside the text; labels come first in a line. Move "
                "it to the front, or change the word if it belongs to the text"
            )

    def _labelled(self, tokens: tuple[str, ...]) -> Found:
        """Return what the labels of one line state."""
        try:
            return self._labels[tokens]
        except KeyError:
            found = self._label(tokens)
        if len(self._labels) < _CACHE:
            self._labels[tokens] = found
        return found

    def _label(self, tokens: tuple[str, ...]) -> Found:
        prefix = self.options.prefix
        if "" in tokens:
            raise ValueError(f"{prefix} without a name; write {prefix}name")
        names = [t.replace("_", " ") for t in tokens] if self.options.underscores else list(tokens)
        if not names:
            return None
        if self.options.short_form:
            return self._short(tokens, names)
        resolve = self._reader.names.resolve
        found = [resolve(n, prefix + t) for n, t in zip(names, tokens, strict=True)]
        return found[0] if len(found) == 1 else tags(*found)

    def _short(self, tokens: tuple[str, ...], names: list[str]) -> Found:
        cells = [
            self._reader.short(n, self.options.prefix + t)
            for n, t in zip(names, tokens, strict=True)
        ]
        if len(cells) == 1:
            return cells[0]
        if not any(isinstance(cell, Label) for cell in cells):
            return tags(
                *(cell for cell in cells if not isinstance(cell, Label) and cell is not None)
            )
        combined: Label = unknown
        for cell in cells:
            combined = combined & self._as_label(cell)
        return combined.named[0] if plain_name(combined) else combined

    def _as_label(self, cell: Found) -> Label:
        """Return a token as a statement; a plain name leaves the rest open for the others."""
        if isinstance(cell, Label):
            return cell
        return unknown if cell is None else tags(cell, rest="unknown")
