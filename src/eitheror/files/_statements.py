"""What a file says about a label -> `Label`, with class names checked against the class list.

In: the values under the statement keys of one record, or one cell of a label column. Out: a label
(or the plain name, where one class is named exactly). Problems know the path inside the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from eitheror.files._options import ReadOptions
from eitheror.labels import Label, exact, suggest, tags, unknown

__all__ = ["Names", "Problem", "StatementReader", "as_json", "kind_of", "plain_name"]

_LISTS: Final = ("either", "not", "tags", "absent")
_MAPPINGS: Final = ("soft", "votes", "evidence")
_CACHE: Final = 1 << 16

Found = Label | str | int | None
"""A label, or the name of one class, or None where nothing is known."""


class Problem(ValueError):
    """What is wrong inside one record, and at which path of it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)


class Names:
    """The class list of a reading: turns what stands in files into class names.

    Attributes
    ----------
    new : dict
        Names that the given class list does not hold, in order of appearance.
    """

    def __init__(self, options: ReadOptions) -> None:
        classes = list(options.classes or ())
        self.known: dict[str, str | int] = {str(name): name for name in classes}
        self.closed = options.classes is not None and not options.new_classes
        self.new: dict[str | int, None] = {}
        self._numbered = classes if options.classes_file is not None else []
        self._numbers = bool(classes) and all(isinstance(name, int) for name in classes)

    def resolve(self, name: str, path: str = "") -> str | int:
        """Return a class as the class list writes it, or refuse it."""
        found = self.known.get(name)
        if found is not None:
            return found
        if not name:
            raise Problem(path, "the class name is empty; leave it out if nothing is known")
        if len(name) < 10 and name.isdecimal() and int(name) < len(self._numbered):
            return self._numbered[int(name)]
        if self.closed:
            raise Problem(path, f'unknown class "{name}"{suggest(name, self.known)}')
        made = self._number(name, path) if self._numbers else name
        if self.known:
            self.new[made] = None
        return made

    def _number(self, name: str, path: str) -> int:
        try:
            return int(name)
        except ValueError:
            raise Problem(
                path, f'the class "{name}" is text, but all given ones are numbers'
            ) from None


class StatementReader:
    """Turns statement keys and label cells into labels.

    Parameters
    ----------
    file : str
        Its name in messages.
    options : ReadOptions
        What the user said about the layout.
    names : Names
        The class list, shared by all files of a reading.
    json : bool
        Whether a path in a message is a JSON path or a column.
    """

    def __init__(self, file: str, options: ReadOptions, names: Names, *, json: bool) -> None:
        self.file = file
        self.options = options
        self.names = names
        self.json = json
        self._type_line: dict[str, int] = {}
        self._cells: dict[str, Found] = {}
        self._label_path = self.path(options.label)

    def path(self, key: str, *inner: object) -> str:
        """Return how messages name a place inside the record."""
        steps = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in inner)
        return f"$.{key}{steps}" if self.json else f"column {key!r}"

    # -- keys --------------------------------------------------------------------------------

    def statement(self, keys: dict[str, Any], line: int = 0) -> Found:
        """Return the label that statement keys state; `label` holds a plain name."""
        if len(keys) == 1 and "label" in keys:
            return self.plain(keys["label"], line)
        named = {key: self._named(key, value, line) for key, value in keys.items()}
        try:
            return Label.from_dict(named)
        except (ValueError, TypeError) as error:
            only = self.path(next(iter(keys))) if len(keys) == 1 else ""
            raise Problem(only, str(error)) from None

    def plain(self, value: Any, line: int = 0) -> Found:
        """Return the value of `label`: the name of one class, or None."""
        if value is None:
            return None
        path = self._label_path
        if type(value) is not str:
            value = _number_name(value, path)
        elif self.options.label_sep is not None:
            return self.separated(value)
        if not self.names.known:
            self._check_type(value, line, path)
        return self.names.resolve(str(value), path)

    def _check_type(self, value: object, line: int, path: str) -> None:
        """Refuse a file that writes some class names as text and some as numbers."""
        kind, other = ("text", "number") if type(value) is str else ("number", "text")
        if kind in self._type_line:
            return
        if other in self._type_line:
            raise Problem(
                path,
                f"the {kind} {as_json(value)} as class name, but line {self._type_line[other]} "
                f"has a {other}; write all names in quotes",
            )
        self._type_line[kind] = line

    def _named(self, key: str, value: Any, line: int) -> Any:
        """Return the value of one statement key with its class names in their final form."""
        if key == "label":
            found = self.plain(value, line)
            return value if isinstance(found, Label) else found
        if key in _LISTS and isinstance(value, str | int) and not isinstance(value, bool):
            value = [value]
        if key in _LISTS and isinstance(value, list):
            return [self._name(item, key, i) for i, item in enumerate(value)]
        if key in _MAPPINGS and isinstance(value, dict):
            return {self.names.resolve(n, self.path(key, n)): v for n, v in value.items()}
        return value

    def _name(self, item: Any, *steps: Any) -> Any:
        if isinstance(item, list):  # either: several lists, each an "at least one of"
            return [self._name(inner, *steps, i) for i, inner in enumerate(item)]
        if type(item) is int:
            item = str(item)
        path = self.path(*steps)
        if not isinstance(item, str) or not item:
            raise Problem(path, f"{kind_of(item)} is no class name; write a name in quotes")
        return self.names.resolve(item, path)

    # -- cells -------------------------------------------------------------------------------

    def cell(self, text: str) -> Found:
        """Return the label of one cell of a label column: the short form, or a plain name."""
        try:
            return self._cells[text]
        except KeyError:
            found = self._read_cell(text)
        if len(self._cells) < _CACHE:
            self._cells[text] = found
        return found

    def _read_cell(self, text: str) -> Found:
        path = self._label_path
        if not text:
            return None
        if self.options.label_sep is not None:
            return self.separated(text)
        if self.options.plain_labels:
            return self.names.resolve(text, path)
        if text.strip() == "-1":
            raise Problem(
                path,
                "-1 can be read two ways: nothing is known -- leave the cell empty -- or the class "
                "that is called -1 -- add --plain-labels (plain_labels=True)",
            )
        return self.short(text, path)

    def short(self, text: str, path: str) -> Found:
        """Return the label of a text in the short form."""
        try:
            label = Label.parse(text)
        except ValueError as error:
            raise Problem(path, str(error)) from None
        label = self.resolved(label, path)
        return label.named[0] if plain_name(label) else label

    def separated(self, text: str) -> Label:
        """Return the tags of a cell that lists them with `label_sep` between them."""
        path = self._label_path
        names = [name.strip() for name in text.split(self.options.label_sep)]
        if names == [""]:
            return unknown
        if "" in names:
            sep = self.options.label_sep
            raise Problem(path, f"{text!r} has an empty name before or behind a {sep!r}")
        return tags(*(self.names.resolve(name, path) for name in names))

    def resolved(self, label: Label, path: str) -> Label:
        """Return a label with its class names in their final form."""
        names = {name: self.names.resolve(str(name), path) for name in label.named}
        if all(old == new for old, new in names.items()):
            return label
        return Label.from_dict({k: _renamed(v, names) for k, v in label.to_dict().items()})


def plain_name(label: Label) -> bool:
    """Tell whether a plain class name says the same as the label."""
    return label.kind == "exact" and label == exact(label.named[0])


def _renamed(value: Any, names: Mapping[Any, Any]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {names[key]: number for key, number in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def _number_name(value: Any, path: str) -> int:
    """Return a class that is named by a number; anything else is no class name."""
    if isinstance(value, list):
        raise Problem(path, _two_lists(value))
    if isinstance(value, dict):
        shown = as_json(value)
        raise Problem(
            path,
            f'{shown} can be read two ways: "soft": {shown} -- shares that add to 1 -- or '
            f'"votes": {shown} -- people counted. Write the one you mean',
        )
    if isinstance(value, bool) or not isinstance(value, int):
        raise Problem(path, f"{kind_of(value)} is no class name; write a name in quotes")
    if value == -1:
        raise Problem(
            path,
            '-1 can be read two ways: nothing is known -- leave "label" out -- or the class that '
            'is called -1 -- write "-1" in quotes. Write the one you mean',
        )
    return value


def _two_lists(value: Sequence[object]) -> str:
    shown = as_json(value)
    if not value:
        readings = 'no "label" at all -- nothing is known -- or "tags": [] -- no tag applies'
    elif len(value) == 1:
        readings = (
            f'"label": {shown[1:-1]} -- one class is true -- or "tags": {shown} -- this tag applies'
        )
    else:
        readings = (
            f'"either": {shown} -- one of them is true -- or "tags": {shown} -- all of them are'
        )
    return f"{shown} can be read two ways: {readings}. Write the one you mean"


def as_json(value: object) -> str:
    """Return a value as it stands in a JSON file."""
    return msgspec.json.encode(value).decode()


def kind_of(value: object) -> str:
    """Return what a JSON value is, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {as_json(value)}"
    return "a list" if isinstance(value, list | tuple) else "an object"
