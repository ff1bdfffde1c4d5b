"""What the user said about the layout of a file, checked once, the same words for every format."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict

from eitheror.labels import DataError, suggest

__all__ = ["FORMATS", "ReadKeywords", "ReadOptions", "separator"]

FORMATS: Final = (
    "jsonl",
    "csv",
    "tsv",
    "parquet",
    "fasttext",
    "text",
    "long",
    "prodigy",
    "label-studio",
    "argilla",
)
"""The words that `format=` takes; "text" (one text a line) is for reading without labels."""


class ReadKeywords(TypedDict, total=False):
    """The keywords of `read`, `read_table` and `iter_rows`; `ReadOptions` explains them."""

    format: str | None
    text: str
    label: str
    id: str
    weight: str
    columns: Sequence[str] | str | None
    feature_columns: Sequence[str] | str | None
    feature_names: Sequence[str] | None
    sep: str | None
    no_header: bool
    label_sep: str | None
    classes: Sequence[str | int] | None
    classes_file: str | os.PathLike[str] | None
    new_classes: bool
    task: str | None
    ignore: Sequence[str] | str
    plain_labels: bool
    short_form: bool
    prefix: str
    underscores: bool
    skip_bad: bool
    unlabelled: bool
    need_labels: bool


@dataclass(frozen=True)
class ReadOptions:
    r"""How to read a file; every field is a keyword of `read`, `read_table` and `iter_rows`.

    Attributes
    ----------
    format : str, optional
        One of `FORMATS`. Default: told by the extension, else by the first bytes. "long" is one
        row per item and tag, in a CSV, TSV, JSONL or Parquet file.
    text, label, id, weight : str
        Key or column of the text, of the plain label, of the row's id and of its sample weight.
        (A file without header and without `columns` has the columns "1", "2", ...)
    columns : sequence of str, optional
        CSV, TSV: names of the columns in order, in place of those in the header.
    feature_columns : sequence of str, optional
        CSV, TSV, Parquet: the columns that are numeric features, patterns such as "x*" allowed.
    feature_names : sequence of str, optional
        The features by name, in column order, for rows that give them as a mapping or by columns.
        Default: the names that occur, sorted (columns: in the order of the file).
    sep : str, optional
        CSV, TSV: what stands between cells; "\\t" may be written "tab".
    no_header : bool, default False
        CSV, TSV: the first line is data.
    label_sep : str, optional
        The cell of `label` holds several tags with this between them ("3,7").
    classes : sequence of str or int, optional
        The whole class list; another name in the file is an error.
    classes_file : path, optional
        The same from a file, one name a line; a number in the data then means the name in that
        line, from 0, unless the number itself is listed as a name.
    new_classes : bool, default False
        Names that are not in `classes` are added behind it instead of being errors.
    task : {"multiclass", "multilabel"}, optional
        Default: told by the statements.
    ignore : sequence of str
        Keys and columns to leave out.
    plain_labels : bool, default False
        CSV, TSV: a cell of `label` is the name of one class as it stands, never the short form.
    short_form : bool, default False
        fastText: read `__label__a|b`, `__label__!c` in the short form.
    prefix : str, default "__label__"
        fastText: what a label begins with.
    underscores : bool, default False
        fastText: underscores in labels stand for spaces.
    skip_bad : bool, default False
        Leave out rows that cannot be read, and list them in `Table.skipped`.
    unlabelled : bool, default False
        Do not read labels; fastText and plain text lines may be empty and all keep their place.
    need_labels : bool, default True
        A set of files that says nothing about any label, or names only one class, is an error.
    """

    format: str | None = None
    text: str = "text"
    label: str = "label"
    id: str = "id"
    weight: str = "weight"
    columns: Sequence[str] | str | None = None
    feature_columns: Sequence[str] | str | None = None
    feature_names: Sequence[str] | None = None
    sep: str | None = None
    no_header: bool = False
    label_sep: str | None = None
    classes: Sequence[str | int] | None = None
    classes_file: str | os.PathLike[str] | None = None
    new_classes: bool = False
    task: str | None = None
    ignore: Sequence[str] | str = ()
    plain_labels: bool = False
    short_form: bool = False
    prefix: str = "__label__"
    underscores: bool = False
    skip_bad: bool = False
    unlabelled: bool = False
    need_labels: bool = True

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise ValueError(
                f"unknown format {self.format!r}{suggest(self.format, FORMATS)}; "
                f"the formats are {', '.join(FORMATS)}"
            )
        if self.task not in (None, "multiclass", "multilabel"):
            raise ValueError(f'task is "multiclass" or "multilabel", got {self.task!r}')
        if self.format == "long":  # one row, one name: nothing to combine in a cell
            object.__setattr__(self, "plain_labels", True)
        for field in ("columns", "feature_columns", "ignore"):
            value = getattr(self, field)
            if isinstance(value, str):
                names = tuple(name.strip() for name in value.split(",") if name.strip())
                object.__setattr__(self, field, names)
        if self.sep is not None:
            object.__setattr__(self, "sep", separator(self.sep))
        if not self.prefix or any(c.isspace() for c in self.prefix):
            raise ValueError(f"prefix needs a word without white space, got {self.prefix!r}")
        if self.classes_file is not None:
            if self.classes is not None:
                raise ValueError("give the classes once, as classes or as classes_file")
            object.__setattr__(self, "classes", _read_classes(Path(self.classes_file)))

    @classmethod
    def make(cls, keywords: dict[str, Any]) -> ReadOptions:
        """Return the options, or say which keyword was meant."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in keywords:
            if name not in known:
                raise TypeError(f"unknown option {name!r}{suggest(name, known)}")
        return cls(**keywords)


def separator(given: str) -> str:
    """Return the character that `sep` means."""
    named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
    sep = named.get(given, given)
    if len(sep) != 1 or sep in '\r\n"':
        raise ValueError(f"sep is one character between the cells (or tab), got {given!r}")
    return sep


def _read_classes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"the class file is not UTF-8 text ({error})") from None
    names = [line.removesuffix("\r") for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(str(path), "the class file is empty; write one class name a line")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}:{number}", "an empty line where a class name should stand")
        if name in seen:
            raise DataError(
                f"{path}:{number}", f'class "{name}" stands in line {seen[name]} already'
            )
        seen[name] = number
    return names
