"""A label as text: the keys of a JSONL row, and the short form of a table cell.

`from_dict(to_dict(label)) == label` always; `parse(format_label(label)) == label` wherever the
short form can hold the statement, and `format_label` raises where it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eitheror.labels._label import (
    ClassName,
    Label,
    Part,
    _plain,
    check_name,
    either,
    evidence,
    exact,
    not_,
    soft,
    suggest,
    tags,
    unknown,
    votes,
)

STATEMENT_KEYS: Final = (
    "label",
    "either",
    "not",
    "soft",
    "votes",
    "voters",
    "tags",
    "absent",
    "rest",
    "trust",
    "evidence",
)
_SIGNS: Final = "|!+:,*?"


def bare(value: object) -> Label:
    """Return the label that a plain value means, or refuse it with the readings it may have.

    A string or an integer is an exact class, None is unknown, a `Label` is itself.
    """
    if isinstance(value, Label):
        return value
    if value is None:
        return unknown
    if isinstance(value, set | frozenset | list | tuple):
        raise ValueError(_two_readings(value))
    if isinstance(value, Mapping):
        raise ValueError(
            f"{dict(value)!r} can be read two ways: soft({dict(value)!r}) -- shares that add to 1 "
            f"-- or votes({dict(value)!r}) -- people counted. Write the one you mean."
        )
    if isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f":
        raise ValueError(_number_readings(value))
    name = check_name(value)
    if name == -1:
        raise ValueError(
            "-1 can be read two ways: unknown -- nothing is known -- or exact(-1) -- "
            "the class that is called -1. Write the one you mean."
        )
    return exact(name)


def _two_readings(value: set[Any] | frozenset[Any] | Sequence[Any]) -> str:
    shown = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    inner = ", ".join(repr(v) for v in shown)
    given = "{" + inner + "}" if isinstance(value, set | frozenset) and shown else repr(value)
    if len(shown) < 2:
        return (
            f"{given} can be read two ways: {f'exact({inner})' if shown else 'unknown'} -- "
            f"{'one class is true' if shown else 'nothing is known'} -- or tags({inner}) -- "
            f"{'this tag applies' if shown else 'no tag applies'}. Write the one you mean."
        )
    return (
        f"{given} can be read two ways: either({inner}) -- one of them is true -- "
        f"or tags({inner}) -- all of them are. Write the one you mean."
    )


def _number_readings(value: Any) -> str:
    if math.isnan(float(value)):
        return (
            "nan can be read two ways: unknown -- nothing is known -- or a gap in a table that was "
            "read wrongly. Write unknown (or None) if nothing is known."
        )
    return (
        f"{value!r} is no class name; write an integer or a string such as {_plain(float(value))!r}"
    )


def to_dict(label: Label) -> dict[str, Any]:
    """Return the label under `STATEMENT_KEYS`."""
    keys: dict[str, Any] = {}
    eithers = [list(part.names) for part in label.parts if part.kind == "either"]
    for part in label.parts:
        found = _part_keys(part)
        if part.kind == "either" and len(eithers) > 1:
            found = {"either": eithers}
        if "rest" in keys and "rest" in found:
            raise ValueError(f"{label!r} cannot be written under one set of keys")
        keys |= found
    return keys


def _part_keys(part: Part) -> dict[str, Any]:
    values = {name: int(v) if v.is_integer() else v for name, v in part.items}
    trust = {"trust": part.number} if part.number < 1 else {}
    if part.kind == "exact":
        return {"label": part.names[0]} | ({"rest": "unknown"} if part.open else {}) | trust
    if part.kind in ("either", "not"):
        return {part.kind: list(part.names)} | trust
    if part.kind == "votes":
        voters = {"voters": float(part.number)} if part.number else {}
        return {"votes": values} | {k: int(v) if v.is_integer() else v for k, v in voters.items()}
    if part.kind == "evidence":
        return {"evidence": values} | ({"rest": part.number} if part.number else {})
    if part.kind == "soft":
        return {"soft": values}
    absent = [name for name, v in part.items if v == 0]
    keys: dict[str, Any] = {"tags": [name for name, v in part.items if v == 1]}
    return (
        keys | ({"absent": absent} if absent else {}) | ({"rest": "unknown"} if part.open else {})
    )


def from_dict(keys: Mapping[str, Any]) -> Label:
    """Return the label that the keys state; see `Label.from_dict`."""
    given = {key: value for key, value in keys.items() if value is not None}
    for key in given:
        if key not in STATEMENT_KEYS:
            raise ValueError(
                f"unknown key {key!r}{suggest(key, STATEMENT_KEYS)}; "
                f"statements use the keys {', '.join(STATEMENT_KEYS)}"
            )
    for key, needed in (("voters", ("votes",)), ("absent", ("tags",))):
        if key in given and not any(k in given for k in needed):
            advice = "; tags that do not apply stand under 'not'" if key == "absent" else ""
            raise ValueError(f"key {key!r} needs {needed[0]!r} beside it{advice}")
    _check_modifiers(given)
    trust = given.get("trust", 1.0)
    found: Label = unknown
    if "tags" in given:  # first, because it decides how the others combine
        names = _name_list("tags", given["tags"])
        absent = _name_list("absent", given.get("absent", []))
        found = tags(*names, absent=absent, rest=given.get("rest", "absent"))
    if "label" in given:
        found = found & _exact(given, trust)
    for key in ("either", "not"):
        for names in _groups(key, given[key]) if key in given else ():
            found = found & (
                either(*names, trust=trust) if key == "either" else not_(*names, trust=trust)
            )
    if "soft" in given:
        found = found & soft(given["soft"])
    if "votes" in given:
        found = found & votes(given["votes"], given.get("voters"))
    if "evidence" in given:
        rest = given.get("rest", 0.0)  # a word belongs to the label beside it
        found = found & evidence(given["evidence"], 0.0 if isinstance(rest, str) else rest)
    return found


def _check_modifiers(given: Mapping[str, Any]) -> None:
    if "trust" in given and not {"label", "either", "not"} & given.keys():
        raise ValueError("key 'trust' needs 'label', 'either' or 'not' beside it")
    if "rest" not in given:
        return
    if isinstance(given["rest"], str):
        if not {"label", "tags"} & given.keys():
            raise ValueError("key 'rest' needs 'tags' or 'label' beside it")
    elif "evidence" not in given:
        raise ValueError(f'key \'rest\' is "absent" or "unknown", got {given["rest"]!r}')


def _exact(given: Mapping[str, Any], trust: float) -> Label:
    stated = bare(given["label"])
    rest = given.get("rest") if isinstance(given.get("rest"), str) and "tags" not in given else None
    return exact(stated.named[0], trust=trust, rest=rest)


def _name_list(key: str, value: Any) -> list[ClassName]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise TypeError(f'key {key!r} takes a list of classes such as ["a", "b"], got {value!r}')
    return [check_name(name) for name in value]


def _groups(key: str, value: Any) -> list[list[ClassName]]:
    """Return the class lists of one key; `either` may hold several, as a list of lists."""
    if key == "either" and isinstance(value, list) and value and isinstance(value[0], list):
        return [_name_list(key, names) for names in value]
    return [_name_list(key, value)]


def parse(text: str) -> Label:
    """Read one cell of the short form; see `Label.parse`."""
    cell = text.strip()
    if cell in ("", "?"):
        return unknown
    if cell.startswith("!"):
        return not_(*_cell_names(cell, cell[1:], "|"))
    if "+" in cell:
        body = cell[:-1] if cell.endswith("+") else cell
        return tags(*_cell_names(cell, body, "+")) if body else tags()
    if "|" in cell:
        return either(*_cell_names(cell, cell, "|"))
    if ":" in cell:
        return soft(_cell_numbers(cell, ":"))
    if "*" in cell:
        return votes(_cell_numbers(cell, "*"))
    return exact(_cell_name(cell, cell))


def _cell_name(cell: str, name: str) -> str:
    stripped = name.strip()
    found = next((sign for sign in _SIGNS if sign in stripped), None)
    if stripped and found is None:
        return stripped
    problem = f"the name {stripped!r} contains {found!r}" if stripped else "a name is empty"
    readings = {",": "; for several classes write a|b (one of them) or a+b (all of them)"}
    raise ValueError(
        f"cannot read {cell!r} in the short form: {problem}{readings.get(found or '', '')}. Names "
        f"with one of {' '.join(_SIGNS)} need JSONL, or plain labels (one exact class a cell)"
    )


def _cell_names(cell: str, body: str, sign: str) -> list[str]:
    names = [_cell_name(cell, name) for name in body.split(sign)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"cannot read {cell!r} in the short form: {twice!r} stands there twice")
    return names


def _cell_numbers(cell: str, sign: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for item in cell.split(","):
        name, _, number = item.partition(sign)
        key = _cell_name(cell, name)
        if key in numbers:
            raise ValueError(f"cannot read {cell!r} in the short form: {key!r} stands there twice")
        try:
            numbers[key] = float(number)
        except ValueError:
            example = "a:.7,b:.3" if sign == ":" else "a*3,b*1"
            raise ValueError(
                f"cannot read {cell!r} in the short form: {number!r} is no number; "
                f"write {example}, or use JSONL for a name that contains {sign!r}"
            ) from None
    return numbers


def format_label(label: Label) -> str:
    """Return the short form; see `Label.format`."""
    if not label.parts:
        return "?"
    part = label.parts[0]
    if len(label.parts) > 1 or part.kind == "evidence" or part.open:
        raise ValueError(f"the short form cannot hold {label!r}; JSONL can")
    if part.kind in ("exact", "either", "not") and part.number < 1:
        raise ValueError(f"the short form cannot hold the trust of {label!r}; JSONL can")
    if part.kind == "votes" and part.number:
        raise ValueError(f"the short form cannot hold the voters of {label!r}; JSONL can")
    for name in part.names:
        shown = str(name)
        if shown != shown.strip() or any(sign in shown for sign in _SIGNS):
            raise ValueError(
                f"the short form cannot hold the class name {name!r}, which begins or ends with a "
                f"space or contains one of {' '.join(_SIGNS)}; JSONL can"
            )
    return _FORMATS[part.kind](part)


def _format_tags(part: Part) -> str:
    names = [str(name) for name, v in part.items if v == 1]
    if len(names) < len(part.items):
        raise ValueError(
            f"the short form cannot hold the absent tags of {Label((part,))!r}; JSONL can"
        )
    return "+".join(names) if len(names) > 1 else f"{''.join(names)}+"


def _format_numbers(part: Part, sign: str) -> str:
    return ",".join(f"{name}{sign}{_plain(value)}" for name, value in part.items)


_FORMATS: Final[dict[str, Callable[[Part], str]]] = {
    "exact": lambda part: str(part.names[0]),
    "either": lambda part: "|".join(map(str, part.names)),
    "not": lambda part: "!" + "|".join(map(str, part.names)),
    "tags": _format_tags,
    "soft": lambda part: _format_numbers(part, ":"),
    "votes": lambda part: _format_numbers(part, "*"),
}
