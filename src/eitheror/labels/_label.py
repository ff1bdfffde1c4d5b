"""One statement about one item: the `Label` class, its constructors and `&`.

In: what a person knows ("not this", "one of these", three votes for A). Out: an immutable `Label`.
A label keeps the statement, not numbers: it is a tuple of parts joined by "and", reduced only as
far as the reading is the same for both tasks, because `either("a", "b") & not_("c")` says more when
any number of classes may be true. `reduce` finishes the work once the task is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

ClassName = str | int
"""A class is named by a string or an integer."""

SHARE_TOLERANCE: Final = 1e-6
_NUMBERS: Final = (int, float, np.integer, np.floating)


class Part(NamedTuple):
    """One atomic statement; which fields count depends on `kind`.

    `number` is the trust (exact, either, not), the number of voters or 0 (votes), or the weight
    of every class that is not named (evidence). `open` says that unnamed classes are unknown
    rather than absent when any number of classes may be true (exact, tags).
    """

    kind: str
    items: tuple[tuple[ClassName, float], ...]
    number: float = 1.0
    open: bool = False

    @property
    def names(self) -> tuple[ClassName, ...]:
        """The class names, in order."""
        return tuple(name for name, _ in self.items)


class RowError(ValueError):
    """A label that cannot be used, and the row it stands in.

    Attributes
    ----------
    row : int
        Position of the label, counted from 0.
    problem : str
        The message without the row.
    """

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(f"row {row}: {problem}")
        self.row = row
        self.problem = problem

    def __reduce__(self) -> tuple[type[RowError], tuple[int, str]]:
        return type(self), (self.row, self.problem)


def suggest(name: object, candidates: Iterable[object]) -> str:
    """Return ' (did you mean "cat"?)' when a candidate is spelt nearly like `name`, else ''.

    Examples
    --------
    >>> suggest("catt", ["cat", "dog"])
    ' (did you mean "cat"?)'
    """
    wanted = str(name)
    near = [str(c) for c in candidates if abs(len(str(c)) - len(wanted)) <= 3]
    from difflib import get_close_matches  # not where every name is known

    found = get_close_matches(wanted, near, n=1, cutoff=0.6)
    return f' (did you mean "{found[0]}"?)' if found else ""


def check_name(name: object) -> ClassName:
    """Return `name` as a plain `str` or `int`, or say why it cannot name a class."""
    if isinstance(name, str):
        if not name:
            raise ValueError("a class name is empty; write a name, or unknown for no knowledge")
        return str(name)
    if isinstance(name, bool | np.bool_):
        raise TypeError(f"{name!r} is no class name; write the class as a string or an integer")
    if isinstance(name, int | np.integer):
        return int(name)
    if isinstance(name, Label):
        raise TypeError(f"{name!r} is a label, not a class name; combine labels with &")
    if isinstance(name, set | frozenset | list | tuple):
        inner = ", ".join(repr(n) for n in name)
        raise TypeError(f"class names are given one by one: write ({inner}), without the brackets")
    raise TypeError(
        f"a class name must be a string or an integer, got {name!r} of type {type(name).__name__}"
    )


def _sort_key(name: ClassName) -> tuple[bool, Any]:
    return isinstance(name, str), name


def sort_names(names: Iterable[ClassName]) -> list[ClassName]:
    """Return class names in order, integers before strings."""
    names = list(names)
    try:
        return sorted(names)  # several times faster than with a key
    except TypeError:  # integers beside strings
        return sorted(names, key=_sort_key)


def _ordered(items: Mapping[ClassName, float]) -> tuple[tuple[ClassName, float], ...]:
    return tuple((name, items[name]) for name in sort_names(items))


def _names(function: str, names: tuple[object, ...], at_least: int) -> tuple[ClassName, ...]:
    checked = tuple(sort_names({check_name(name) for name in names}))
    if len(checked) < at_least:
        if function == "either" and checked:
            raise ValueError(
                f"either() needs two or more classes, got {checked[0]!r}; "
                f"if the class is known, write exact({checked[0]!r})"
            )
        raise ValueError(f"{function}() needs class names, got none")
    return checked


def _number(function: str, name: object, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(f"{function}(): the value of {name!r} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(
            f"{function}(): the value of {name!r} is {number}; a finite number is needed"
        )
    return number


def _mapping(function: str, mapping: object) -> dict[ClassName, float]:
    if not isinstance(mapping, Mapping):
        raise TypeError(
            f'{function}() takes a mapping from class to number such as {{"a": 1}}, got {mapping!r}'
        )
    return {check_name(name): _number(function, name, value) for name, value in mapping.items()}


def _trust(trust: object) -> float:
    number = _number("trust", "trust", trust)
    if not 0.0 < number <= 1.0:
        raise ValueError(f"trust must be above 0 and at most 1, got {number:g}")
    return number


@dataclass(frozen=True, slots=True, repr=False)
class Label:
    """What is known about the class, or the classes, of one item.

    Made by `exact`, `either`, `not_`, `soft`, `votes`, `tags`, `evidence` and `unknown`; statements
    about the same item combine with `&`. Labels are immutable, hashable and comparable, and their
    `repr` evaluates back to an equal label.

    Attributes
    ----------
    parts : tuple of Part
        The statements that hold together, in a canonical order; empty when nothing is known.

    Examples
    --------
    >>> either("cat", "dog", "fox") & not_("fox")
    either('cat', 'dog') & not_('fox')
    >>> exact("cat") & not_("cat")
    Traceback (most recent call last):
    ...
    ValueError: exact('cat') and not_('cat') contradict each other: no class is left
    """

    parts: tuple[Part, ...] = ()

    @property
    def kind(self) -> str:
        """`unknown exact either not soft votes tags evidence`, or `mixed` for several parts."""
        if not self.parts:
            return "unknown"
        return self.parts[0].kind if len(self.parts) == 1 else "mixed"

    @property
    def named(self) -> tuple[ClassName, ...]:
        """Every class that the label names, sorted."""
        return tuple(sort_names({n for part in self.parts for n in part.names}))

    def __and__(self, other: Label) -> Label:
        from eitheror.labels._combine import combine

        return combine(self, other) if isinstance(other, Label) else NotImplemented

    def reduce(self, task: str) -> Label:
        """Return the simplest label with the same meaning under `task`; contradictions raise.

        Parameters
        ----------
        task : {"multiclass", "multilabel"}
            Whether exactly one class is true, or any number.

        Examples
        --------
        >>> (either("cat", "dog", "fox") & not_("fox")).reduce("multiclass")
        either('cat', 'dog')
        """
        from eitheror.labels._combine import reduce_multiclass, reduce_multilabel

        return reduce_multiclass(self) if task == "multiclass" else reduce_multilabel(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the label under the keys that JSONL files use; {} when nothing is known.

        Examples
        --------
        >>> not_("cat", trust=0.9).to_dict()
        {'not': ['cat'], 'trust': 0.9}
        """
        from eitheror.labels._text import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, keys: Mapping[str, Any]) -> Label:
        """Return the label that the JSONL keys state; several keys combine with `&`.

        Examples
        --------
        >>> Label.from_dict({"tags": ["cat"], "absent": ["dog"], "rest": "unknown"})
        tags('cat', absent=['dog'], rest='unknown')
        """
        from eitheror.labels._text import from_dict

        return from_dict(keys)

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read the short form: `a`, `a|b`, `!a`, `!a|b`, `a+b`, `a:.7,b:.3`, `a*3,b*1`, `?`.

        Examples
        --------
        >>> Label.parse("bug|install")
        either('bug', 'install')
        """
        from eitheror.labels._text import parse

        return parse(text)

    def format(self) -> str:
        """Return the short form, or raise `ValueError` where it cannot hold the statement.

        Examples
        --------
        >>> votes({"bug": 3, "install": 1}).format()
        'bug*3,install*1'
        """
        from eitheror.labels._text import format_label

        return format_label(self)

    def __repr__(self) -> str:
        return " & ".join(map(_part_repr, self.parts)) if self.parts else "unknown"


class _Unknown(Label):
    """The label that says nothing; calling it returns it, so `unknown()` is `unknown`."""

    __slots__ = ()

    def __call__(self) -> Label:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Label) and not other.parts

    def __hash__(self) -> int:
        return hash(Label())

    def __reduce__(self) -> str:
        return "unknown"


unknown: Final = _Unknown()
"""Nothing is known: loss 0, no gradient. `unknown` and `unknown()` are the same label."""


def _part_repr(part: Part) -> str:
    names = ", ".join(map(repr, part.names))
    values = "{" + ", ".join(f"{n!r}: {_plain(v)}" for n, v in part.items) + "}"
    if part.kind in ("exact", "either", "not"):
        trust = f", trust={part.number!r}" if part.number < 1 else ""
        rest = ", rest='unknown'" if part.open else ""
        return f"{'not_' if part.kind == 'not' else part.kind}({names}{trust}{rest})"
    if part.kind == "tags":
        present = [repr(n) for n, v in part.items if v == 1]
        absent = [n for n, v in part.items if v == 0]
        extra = [f"absent={absent!r}"] if absent else []
        extra += ["rest='unknown'"] if part.open else []
        return f"tags({', '.join(present + extra)})"
    if part.kind == "votes":
        voters = f", voters={_plain(part.number)}" if part.number else ""
        return f"votes({values}{voters})"
    if part.kind == "evidence":
        rest = f", rest={part.number!r}" if part.number else ""
        return f"evidence({values}{rest})"
    return f"soft({values})"


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def exact(name: ClassName, *, trust: float = 1.0, rest: str | None = None) -> Label:
    """State that the class is `name`.

    multiclass: loss -log p_name. multilabel: `name` is present and the rest absent, or, with
    `rest="unknown"`, the rest unknown.

    Parameters
    ----------
    name : str or int
        The class.
    trust : float in (0, 1], default 1
        Every class that the statement rules out gets weight 1 - trust instead of 0.
    rest : {"absent", "unknown"}, optional
        What is known about the other tags when any number may be true.

    Examples
    --------
    >>> exact("cat", trust=0.9)
    exact('cat', trust=0.9)
    """
    if rest not in (None, "absent", "unknown"):
        raise ValueError(f'exact(): rest must be "absent" or "unknown", got {rest!r}')
    return Label((Part("exact", ((check_name(name), 1.0),), _trust(trust), rest == "unknown"),))


def either(*names: ClassName, trust: float = 1.0) -> Label:
    """State that one of the named classes is true (multilabel: at least one of them).

    Loss -log(p_a + p_b + ...). "Both" is `tags`; "in between" is `soft`.

    Parameters
    ----------
    *names : str or int
        Two or more classes.
    trust : float in (0, 1], default 1
        Every class that is not named gets weight 1 - trust instead of 0.

    Examples
    --------
    >>> either("dog", "cat")
    either('cat', 'dog')
    """
    checked = _names("either", names, 2)
    return Label((Part("either", tuple((n, 1.0) for n in checked), _trust(trust)),))


def not_(*names: ClassName, trust: float = 1.0) -> Label:
    """State that none of the named classes is true; keeps that meaning when classes are added.

    Loss -log(1 - p_a - p_b - ...).

    Parameters
    ----------
    *names : str or int
        One or more classes that are ruled out.
    trust : float in (0, 1], default 1
        The named classes get weight 1 - trust instead of 0.

    Examples
    --------
    >>> not_("cat") & not_("dog")
    not_('cat', 'dog')
    """
    checked = _names("not_", names, 1)
    return Label((Part("not", tuple((n, 1.0) for n in checked), _trust(trust)),))


def soft(shares: Mapping[Any, float]) -> Label:
    """State a blend: shares that add to 1, or (multilabel) one probability for each named tag.

    Loss -sum q log p. "A or B, I cannot tell which" is `either`, another statement.

    Parameters
    ----------
    shares : mapping from class to float in [0, 1]
        multiclass: they add to 1 (tolerance 1e-6, checked when the task is known), classes not
        named have share 0. multilabel: tags not named are unknown.

    Examples
    --------
    >>> soft({"cat": 0.7, "dog": 0.3})
    soft({'cat': 0.7, 'dog': 0.3})
    """
    items = _mapping("soft", shares)
    if not items:
        raise ValueError("soft() needs at least one class with its share, got none")
    for name, value in items.items():
        if not 0.0 <= value <= 1.0 + SHARE_TOLERANCE:
            hint = "; for counts use votes()" if value > 1 else ""
            raise ValueError(
                f"soft(): the share of {name!r} must be in [0, 1], got {value:g}{hint}"
            )
    return Label((Part("soft", _ordered({n: min(v, 1.0) for n, v in items.items()})),))


def votes(counts: Mapping[Any, float], voters: float | None = None) -> Label:
    """State how many people chose each class; a class that is not named got no vote.

    multiclass: shares count / sum. multilabel: count / `voters`, so `voters` is needed there.

    Parameters
    ----------
    counts : mapping from class to number >= 0
        At least one vote in all, unless `voters` is given.
    voters : number > 0, optional
        How many people were asked.

    Examples
    --------
    >>> votes({"cat": 2}) & votes({"cat": 1, "dog": 1})
    votes({'cat': 3, 'dog': 1})
    """
    items = _mapping("votes", counts)
    for name, value in items.items():
        if value < 0:
            raise ValueError(f"votes(): the count of {name!r} must be 0 or more, got {value:g}")
    if voters is None:
        if sum(items.values()) <= 0:
            raise ValueError("votes() holds no vote at all; write unknown")
        return Label((Part("votes", _ordered(items), 0.0),))
    asked = _number("votes", "voters", voters)
    if asked <= 0:
        raise ValueError(f"votes(): voters must be above 0, got {asked:g}")
    for name, value in items.items():
        if value > asked:
            raise ValueError(f"votes(): {name!r} has {value:g} votes of only {asked:g} voters")
    return Label((Part("votes", _ordered(items), asked),))


def tags(*names: ClassName, absent: Iterable[ClassName] = (), rest: str = "absent") -> Label:
    """State which tags apply when any number of them may (multilabel).

    Parameters
    ----------
    *names : str or int
        The tags that apply; none at all is a statement too: nothing applies.
    absent : iterable of str or int
        Tags that surely do not apply.
    rest : {"absent", "unknown"}, default "absent"
        What is known about every other tag.

    Examples
    --------
    >>> tags("bread", absent=["rice"], rest="unknown")
    tags('bread', absent=['rice'], rest='unknown')
    """
    if rest not in ("absent", "unknown"):
        raise ValueError(f'tags(): rest must be "absent" or "unknown", got {rest!r}')
    if isinstance(absent, str | int):
        raise TypeError(
            f"tags(): absent takes a list of classes, got {absent!r}; write [{absent!r}]"
        )
    present = {check_name(n): 1.0 for n in names}
    ruled_out = {check_name(n): 0.0 for n in absent}
    both = sort_names(present.keys() & ruled_out.keys())
    if both:
        raise ValueError(f"tags(): {both[0]!r} is named both as present and as absent")
    return Label((Part("tags", _ordered(present | ruled_out), open=rest == "unknown"),))


def evidence(weights: Mapping[Any, float], rest: float = 0.0) -> Label:
    """State how likely the evidence at hand would be under each class (multiclass).

    Loss -log sum_k w_k p_k. The weights are divided by their maximum. `exact`, `either`, `not_`
    with their `trust` are special cases; independent pieces of evidence multiply (`&`).

    Parameters
    ----------
    weights : mapping from class to number >= 0
        Proportional to P(evidence | class).
    rest : number >= 0, default 0
        The weight of every class that is not named.

    Examples
    --------
    >>> evidence({"cat": 0.8, "dog": 0.4})
    evidence({'cat': 1, 'dog': 0.5})
    """
    items = _mapping("evidence", weights)
    other = _number("evidence", "rest", rest)
    for name, value in [*items.items(), ("rest", other)]:
        if value < 0:
            raise ValueError(f"evidence(): the weight of {name!r} must be 0 or more, got {value:g}")
    largest = max([other, *items.values()])
    if largest <= 0:
        raise ValueError("evidence(): every weight is 0, so no class is left")
    scaled = {name: value / largest for name, value in items.items()}
    return Label((Part("evidence", _ordered(scaled), other / largest),))
