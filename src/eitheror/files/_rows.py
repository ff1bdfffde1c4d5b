"""One record of a file -> one `Row`: the input, the label, and what else the row carries.

In: a mapping from key (or column) to value. Out: `Row`, or an error that knows the path inside the
record. What does not depend on the file format is checked here, so that all formats say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from eitheror.files._options import ReadOptions
from eitheror.files._statements import Names, Problem, StatementReader, as_json, kind_of
from eitheror.labels import STATEMENT_KEYS, DataError, Label, suggest

__all__ = ["Reading", "Row", "RowReader", "rows_of"]

_MOST_KEYS: Final = 1000


@dataclass(slots=True)
class Row:
    """One item of a file.

    Attributes
    ----------
    file, line : str, int
        Where it begins; lines count from 1 (Parquet: rows).
    input : str, list of float, dict or None
        The text or the features; None where the row could not be read, and (only with
        `unlabelled`) for a blank line of JSONL.
    label : Label, str, int or None
        What is known; a plain name is one exact class, None is unknown.
    weight : float, optional
        Sample weight.
    id : object, optional
        The row's own id.
    extra : dict, optional
        Other columns, and the keys `meta` and `_...`.
    error : DataError, optional
        Why the row could not be read (only with `skip_bad`).
    """

    file: str
    line: int
    input: str | list[float] | dict[str, float] | None
    label: Label | str | int | None = None
    weight: float | None = None
    id: Any = None
    extra: dict[str, Any] | None = None
    error: DataError | None = None

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


def rows_of(
    file: str, records: Iterable[tuple[int, Any]], build: Callable[[int, Any], Row]
) -> Iterator[Row]:
    """Build the row of each (line, record); a record that fails gives a row with its error."""
    for line, record in records:
        try:
            if isinstance(record, Exception):
                raise record
            row = build(line, record)
        except (ValueError, TypeError) as error:
            row = Row(file, line, None, error=as_data_error(error, f"{file}:{line}"))
        yield row


def as_data_error(error: Exception, where: str) -> DataError:
    """Return an error with its place."""
    return error if isinstance(error, DataError) else DataError(where, str(error))


class Reading:
    """What the files of one reading share: options, class names, number and names of features."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.names = Names(options)
        self.width: tuple[int, str] | None = None
        self.feature_names: list[str] | None = None
        self.missing: set[str] = set()
        self.keys: set[str] = set()

    def named_columns(self) -> list[str]:
        """Return the columns that were named and must be there: label, id, weight."""
        options = self.options
        if options.unlabelled:
            return []
        named = {role: getattr(options, role) for role in ("label", "id", "weight")}
        return [name for role, name in named.items() if name != role]

    def note_keys(self, record: Mapping[str, Any]) -> None:
        """Remember which of the named keys have come; JSON rows may leave keys out."""
        self.keys |= self.missing.intersection(record)
        self.missing.difference_update(record)
        if len(self.keys) < _MOST_KEYS:
            self.keys.update(record)

    def check_missing(self, file: str) -> None:
        """Refuse a key that was named and that no row has."""
        for name in sorted(self.missing):
            near = suggest(name, self.keys)
            raise DataError(file, f'no row has the key "{name}"{near}; name a key that is there')

    def check_width(self, width: int, where: str, path: str) -> None:
        """Refuse a row with more or fewer features than the first one."""
        if self.width is None:
            self.width = (width, where)
        elif self.width[0] != width:
            raise Problem(path, f"{width} features, but {self.width[1]} has {self.width[0]}")

    def name_features(self, where: str, names: list[str]) -> None:
        """Take the names of feature columns; all files must have the same, in one order."""
        if not names:
            return
        if self.feature_names is not None and self.feature_names != names:
            raise DataError(
                where,
                f"the feature columns are {', '.join(names[:10])}, in the file before it "
                f"{', '.join(self.feature_names[:10])}; name them in one order: --feature-columns",
            )
        self.feature_names = names


class RowReader:
    """Turns the records of one file into rows.

    Parameters
    ----------
    file : str
        Its name in messages.
    reading : Reading
        What all files share.
    json : bool, default True
        Whether a path in a message is a JSON path or a column.
    """

    def __init__(self, file: str, reading: Reading, *, json: bool = True) -> None:
        self.file = file
        self.reading = reading
        self.options = reading.options
        self.statements = StatementReader(file, reading.options, reading.names, json=json)
        self.path = self.statements.path
        self._json = json
        self._roles = _roles(reading.options)

    def row(self, line: int, record: Mapping[str, Any]) -> Row:
        """Return the row of a record with any keys."""
        row = Row(self.file, line, None)
        statement: dict[str, Any] = {}
        strangers: list[str] = []
        features: Any = None
        for key, value in record.items():
            role = self._roles.get(key)
            if role == "text":
                row.input = self.text(value)
            elif role == "features":
                features = value
            elif role == "weight":
                row.weight = self.weight(value)
            elif role == "id":
                row.id = self.id(value)
            elif role is not None:
                statement[role] = value
            elif key == "meta" or key[:1] == "_":
                self.pass_through(row, key, value)
            elif key not in self.options.ignore:
                strangers.append(key)
        row.input = self._only_input(row.input, features, record, line)
        if self.options.unlabelled:
            return row
        if strangers:
            self._refuse_strangers(strangers)
        statement = {key: value for key, value in statement.items() if value is not None}
        if statement:
            row.label = self.statements.statement(statement, line)
        return row

    def pass_through(self, row: Row, key: str, value: Any) -> None:
        """Keep a key that says nothing about the label; what `meta` holds becomes columns.

        A name inside `meta` that would mean something outside is kept as `meta.name`.
        """
        extra = value if key == "meta" and isinstance(value, dict) else {key: value}
        row.extra = row.extra or {}
        for given, inner in extra.items():
            name = f"meta.{given}" if given in self._roles else given
            if name in row.extra:
                raise Problem(self.path(key), f'"{name}" stands in the row twice; keep one')
            row.extra[name] = inner

    def _refuse_strangers(self, keys: list[str]) -> None:
        near = suggest(keys[0], [*self._roles, "meta"])
        raise Problem(
            self.path(keys[0]),
            f'unknown key "{keys[0]}"{near}; to leave it out: --ignore {",".join(keys)}',
        )

    def _only_input(self, text: Any, features: Any, record: Mapping[str, Any], line: int) -> Any:
        if features is not None:
            if text is not None:
                raise Problem(
                    self.path("features"),
                    "the row has a text and features; keep one (--ignore leaves a key out)",
                )
            return self.features(features, line)
        if text is None:
            self._refuse_missing(record)
        return text

    def _refuse_missing(self, record: Mapping[str, Any]) -> None:
        text = self.options.text
        if text in record:
            raise Problem(self.path(text), "the text is missing; write it, or leave the row out")
        keys = [k for k, v in record.items() if k not in self._roles and isinstance(v, str)]
        found = f"; if the text stands under another key: --text {keys[0]}" if keys else ""
        raise Problem(
            "$" if self._json else "",
            f'no "{text}" and no "features"; every row needs one of them{found}',
        )

    def text(self, value: object) -> str | None:
        """Return a text."""
        if value is None or isinstance(value, str):
            return value
        advice = f'; write "{value}" in quotes' if isinstance(value, int | float) else ""
        raise Problem(self.path(self.options.text), f"{kind_of(value)} is no text{advice}")

    def id(self, value: object) -> object:
        """Return an id."""
        if isinstance(value, list | dict):
            raise Problem(
                self.path(self.options.id), f"{kind_of(value)}; an id is a text or a number"
            )
        return value

    def weight(self, value: object) -> float | None:
        """Return a sample weight."""
        path = self.path(self.options.weight)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise Problem(
                    path, f"{as_json(value)} is no number; a weight is 0 or more"
                ) from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Problem(path, f"{kind_of(value)}; a weight is a number, 0 or more")
        if not (math.isfinite(value) and value >= 0):
            raise Problem(path, f"{value:g} is no weight; a weight is a finite number, 0 or more")
        return float(value)

    def features(self, value: Any, line: int) -> list[float] | dict[str, float]:
        """Return checked features: a list of floats, or a dict from name to float."""
        path = self.path("features")
        try:
            if isinstance(value, dict):
                named = msgspec.convert(value, dict[str, float])
                self._check_numbers(named.values(), value, path)
                return named
            numbers = msgspec.convert(value, list[float])
        except msgspec.ValidationError as error:
            raise _feature_problem(value, path, str(error)) from None
        self._check_numbers(numbers, value, path)
        self.reading.check_width(len(numbers), f"{self.file}:{line}", path)
        return numbers

    def _check_numbers(self, numbers: Iterable[float], value: Any, path: str) -> None:
        if not value:
            raise Problem(path, "no features at all; write at least one number")
        if math.isfinite(sum(numbers)):  # a sum is finite only if every number is
            return
        for key, number in _pairs(value):
            if not math.isfinite(number):
                raise Problem(
                    _step(path, key),
                    f"{number} is no finite number; fill the gap, or leave the row out",
                )


def _roles(options: ReadOptions) -> dict[str, str]:
    """Return what each key means; two options must not claim the same one."""
    roles = {key: key for key in STATEMENT_KEYS if key != "label"}
    roles["features"] = "features"
    chosen: dict[str, str] = {}
    for role in ("weight", "id", "label", "text"):
        key = getattr(options, role)
        if key in chosen:
            raise ValueError(f"{key!r} is given both as the {chosen[key]} and as the {role}")
        chosen[key] = role
    roles |= chosen
    return {key: role for key, role in roles.items() if key not in options.ignore}


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _step(path: str, key: object) -> str:
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}"


def _feature_problem(value: object, path: str, error: str) -> Problem:
    if not isinstance(value, list | dict):
        advice = "write a list of numbers, or an object from name to number"
        return Problem(path, f"{kind_of(value)} is no row of features; {advice}")
    for key, number in _pairs(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            return Problem(
                _step(path, key), f"{kind_of(number)} is no number; features are numbers"
            )
    return Problem(path, error)
