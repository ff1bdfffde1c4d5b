"""Checks of rows against each other and against a model: repeats, and what seems unlikely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eitheror.audit._facts import Facts
from eitheror.audit.report import Finding, count, in_words, listed
from eitheror.labels import Label
from eitheror.metrics import statement_log_loss

__all__ = ["about_inputs", "unlikely"]

_LONG_FORMAT_SHARE = 0.2
_UNLIKELY = 0.01
_MOST_JOINED = 32
"""Different statements about one text that are joined; the text of a form letter may have more."""


def about_inputs(facts: Facts, inputs: Any) -> list[Finding]:
    texts = isinstance(inputs[0], str) if len(inputs) else False
    found = []
    if texts:
        found += _empty_texts(facts, inputs)
    same: dict[str, list[list[int]]] = {"equal": [], "compatible": [], "contradictory": []}
    for rows in _repeated(inputs, texts):
        same[_relation(facts, rows)].append(rows)
    noun = "text" if texts else "features"
    if _looks_long(facts, same):
        return [*found, _long_format(same, noun)]
    if same["contradictory"]:
        found.append(_contradictions(facts, same["contradictory"], noun))
    if same["compatible"]:
        found.append(_to_combine(facts, same["compatible"], noun))
    if same["equal"]:
        found.append(_duplicates(same["equal"], noun))
    return found


def _empty_texts(facts: Facts, texts: Sequence[str]) -> list[Finding]:
    rows = tuple(row for row, text in enumerate(texts) if not text.strip())
    if not rows:
        return []
    places = listed([facts.where(row) for row in rows])
    return [
        Finding(
            "empty_text",
            "warning",
            rows,
            f"{count(len(rows), 'row')} without any text: {places}.",
            "Remove them: a model sees nothing there.",
        )
    ]


def _repeated(inputs: Any, texts: bool) -> list[list[int]]:
    """Return groups of rows with the same text (but for white space) or the same numbers."""
    first: dict[Any, int] = {}
    groups: dict[int, list[int]] = {}
    for row, value in enumerate(inputs):
        key = " ".join(value.split()) if texts else np.asarray(value).tobytes()
        if not key:
            continue
        start = first.setdefault(key, row)
        if start != row:
            groups.setdefault(start, [start]).append(row)
    return list(groups.values())


def _relation(facts: Facts, rows: list[int]) -> str:
    statements = list(dict.fromkeys(facts.labels[row] for row in rows))
    if len(statements) == 1:
        return "equal"
    return "contradictory" if _contradict(facts, statements) else "compatible"


def _contradict(facts: Facts, statements: list[Label]) -> bool:
    """Return whether no truth is allowed by all these statements, as `&` has it."""
    try:
        joined = _joined(facts, statements[:_MOST_JOINED])
    except ValueError as error:  # else there is no agreed product, as of two soft()
        return _is_contradiction(error)
    return facts.one_true and _rules_out_all(joined, facts.labels.n_classes)


def _is_contradiction(error: ValueError) -> bool:
    said = str(error)
    return " contradict each other: " in said or " contradicts itself: " in said


def _joined(facts: Facts, statements: list[Label]) -> Label:
    task = facts.labels.task
    joined = statements[0]
    for statement in statements[1:]:
        joined = joined & statement
    return joined.reduce(task)


def _rules_out_all(label: Label, n_classes: int) -> bool:
    """Return whether no class of the list is left; `&` knows the statements, not the list."""
    if label.kind == "evidence":
        return len(label.named) == n_classes and not any(v for _, v in label.parts[0].items)
    return label.kind == "not" and len(label.named) == n_classes


def _looks_long(facts: Facts, same: dict[str, list[list[int]]]) -> bool:
    """Return whether the rows look like one row per (text, tag) rather than per text."""
    conflicting = sum(map(len, same["contradictory"]))
    kinds = set(facts.labels.kind_counts()) - {"unknown"}
    return (
        facts.one_true
        and kinds == {"exact"}
        and len(same["contradictory"]) > 1
        and conflicting >= _LONG_FORMAT_SHARE * len(facts.labels)
    )


def _long_format(same: dict[str, list[list[int]]], noun: str) -> Finding:
    groups = same["contradictory"]
    rows = _flat(groups)
    return Finding(
        "long_format",
        "warning",
        rows,
        f"{len(groups):,} {noun}s stand in several rows ({len(rows):,} together), each time under "
        "another class: this looks like one row per text and tag.",
        "Read it with --format long (format='long' in Python) and each text becomes one row with "
        "all its tags.",
    )


def _contradictions(facts: Facts, groups: list[list[int]], noun: str) -> Finding:
    one, other = _disagreeing(facts, groups[0])
    message = (
        f"{facts.where(one)} and {facts.where(other)} have the same {noun}; one says "
        f"{in_words(facts.labels[one])}, the other {in_words(facts.labels[other])}"
    )
    more = len(groups) - 1
    if more:
        message += f"; {more:,} more {noun}{'' if more == 1 or noun[-1] == 's' else 's'} like that"
    advice = "They cannot both be right: correct or remove one of each."
    if facts.labels.task == "multilabel":
        advice += " If the tags were never meant to be complete, write rest='unknown'."
    return Finding("contradiction", "error", _flat(groups), message + ".", advice)


def _disagreeing(facts: Facts, rows: list[int]) -> tuple[int, int]:
    first = {facts.labels[row]: row for row in reversed(rows)}  # the first row of each statement
    rows = sorted(first.values())[:_MOST_JOINED]
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            if _contradict(facts, [facts.labels[one], facts.labels[other]]):
                return one, other
    return rows[0], rows[-1]


def _to_combine(facts: Facts, groups: list[list[int]], noun: str) -> Finding:
    one = groups[0][0]
    other = next(row for row in groups[0] if facts.labels[row] != facts.labels[one])
    return Finding(
        "different_statements",
        "info",
        _flat(groups),
        f"{count(len(groups), 'group')} of rows with the same {noun} and different statements that "
        f"can all hold: {facts.where(one)} ({in_words(facts.labels[one])}) and "
        f"{facts.where(other)} ({in_words(facts.labels[other])}).",
        _how_to_join(facts, facts.labels[one], facts.labels[other]),
    )


def _how_to_join(facts: Facts, one: Label, other: Label) -> str:
    try:
        _joined(facts, [one, other])
    except ValueError as error:
        return f"Keep one row; & has no rule for these: {error}."
    return "One row with both statements joined (& in Python) says more than two rows."


def _duplicates(groups: list[list[int]], noun: str) -> Finding:
    rows = _flat(groups)
    return Finding(
        "duplicate",
        "info",
        rows,
        f"{count(len(rows) - len(groups), 'row')} repeat the {noun} and the statement of an "
        "earlier row.",
        "They count double in training; keep repeats out of a test file.",
    )


def _flat(groups: list[list[int]]) -> tuple[int, ...]:
    return tuple(sorted(row for rows in groups for row in rows))


def unlikely(facts: Facts, proba: Any) -> list[Finding]:
    if not facts.one_true:
        return []
    losses = statement_log_loss(facts.labels, proba)
    doubtful = np.flatnonzero(losses > -np.log(_UNLIKELY))
    rows = doubtful[np.argsort(-losses[doubtful], kind="stable")].tolist()
    if not rows:
        return []
    worst = rows[0]
    return [
        Finding(
            "unlikely",
            "warning",
            tuple(rows),
            f"the model gives less than {_UNLIKELY:.0%} to what {count(len(rows), 'row')} say, "
            f"least to {facts.where(worst)} ({in_words(facts.labels[worst])}).",
            "Look at them first, most doubtful first: a wrong label or a hard case.",
        )
    ]
