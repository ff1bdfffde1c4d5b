"""Checks of the statements alone: what can be learned about each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror.audit._facts import Facts
from eitheror.audit.report import Finding, count, listed
from eitheror.labels import UNKNOWN

__all__ = ["about_classes", "nothing_to_learn"]

_FEW_ROWS = 5
_EXACT_PER_CLASS = 10
_GROUPS = 5


def nothing_to_learn(facts: Facts) -> list[Finding]:
    targets = facts.targets
    silent = np.flatnonzero((targets.mode == UNKNOWN) & (np.diff(targets.group_indptr) == 0))
    n = len(targets)
    if len(silent) == n:
        return [
            Finding(
                "all_unknown",
                "error",
                (),
                f"none of the {count(n, 'row')} says anything about its class.",
                "Check that the label column or key was read (--label, --columns).",
            )
        ]
    found = []
    if facts.one_true and int((facts.possible() > 0).sum()) < 2:
        named = facts.names(np.flatnonzero(facts.possible() > 0).tolist())
        found.append(
            Finding(
                "one_class",
                "error",
                (),
                f"there is only one class, {named}: nothing can be told apart.",
                "Add rows of another class, or name all classes (classes=, --classes-file).",
            )
        )
    if len(silent) > n / 2:
        found.append(
            Finding(
                "mostly_unknown",
                "info",
                tuple(silent.tolist()),
                f"{len(silent):,} of {n:,} rows say nothing about their class.",
                "They do not disturb training, and do not help it either.",
            )
        )
    return found


def about_classes(facts: Facts) -> list[Finding]:
    named = facts.per_class(facts.deviates) + facts.in_group
    affirmed = facts.per_class(facts.affirms) + facts.in_group
    found = [*_never_apart(facts), *_never_named(facts, named)]
    if facts.one_true:
        found += _never_possible(facts, facts.possible() == 0)
        found += _never_exact(facts, affirmed)
    else:
        found += _never_possible(facts, affirmed == 0)
        found += _never_absent(facts, affirmed)
    return [*found, *_few_rows(facts, affirmed)]


def _never_apart(facts: Facts) -> list[Finding]:
    """Classes whose columns of evidence are the same in every row cannot be told apart."""
    marks = _column_marks(facts)
    n_rows = facts.per_class(facts.deviates)
    groups: dict[tuple[int, int], list[int]] = {}
    for column in np.flatnonzero((n_rows > 0) & ~facts.in_group).tolist():
        groups.setdefault(marks[column], []).append(column)
    few = 1 if facts.one_true else _FEW_ROWS
    twins = [group for group in groups.values() if len(group) > 1 and n_rows[group[0]] >= few]
    twins.sort(key=lambda group: -n_rows[group[0]])
    finding = _one_true_twins if facts.one_true else _tag_twins
    found = [
        finding(facts, group, facts.rows_of(group, facts.deviates)) for group in twins[:_GROUPS]
    ]
    return [*found, _more_twins(facts, twins[_GROUPS:])] if len(twins) > _GROUPS else found


def _one_true_twins(facts: Facts, columns: list[int], rows: tuple[int, ...]) -> Finding:
    wanted = min(_EXACT_PER_CLASS * len(columns), len(rows))
    return Finding(
        "never_apart",
        "warning",
        rows,
        f"{facts.names(columns)} only ever appear together: nothing in this file can tell them "
        "apart.",
        f"Exact labels for about {wanted} of those {count(len(rows), 'row')} would."
        if len(rows) > 1
        else "An exact label for that row would.",
    )


def _tag_twins(facts: Facts, columns: list[int], rows: tuple[int, ...]) -> Finding:
    return Finding(
        "never_apart",
        "info",
        rows,
        f"the tags {facts.names(columns)} are always given or withheld together "
        f"({count(len(rows), 'row')}).",
        "If they mean the same, merge them; if not, add rows that have one without the other.",
    )


def _more_twins(facts: Facts, groups: list[list[int]]) -> Finding:
    together = [
        f"{facts.labels.classes[g[0]]!r} with {facts.labels.classes[g[1]]!r}" for g in groups
    ]
    return Finding(
        "never_apart",
        "warning" if facts.one_true else "info",
        facts.rows_of([column for group in groups for column in group], facts.deviates),
        f"{count(len(groups), 'more group')} of classes only ever appear together: "
        f"{listed(together)}.",
        "Rows that name one of them without the other would tell them apart.",
    )


def _column_marks(facts: Facts) -> list[tuple[int, int]]:
    """Return two numbers per class, equal for equal columns: a sum of hashes of its entries."""
    entry = facts.owner.astype(np.uint64) << np.uint64(32)
    entry |= facts.value.view(np.uint32).astype(np.uint64)
    marks = []
    for salt in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F):
        hashed = _mixed(entry[facts.deviates] + np.uint64(salt))
        total = np.zeros(facts.labels.n_classes, dtype=np.uint64)
        np.add.at(total, facts.column[facts.deviates], hashed)
        marks.append(total.tolist())
    return list(zip(*marks, strict=True))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number over all 64 (the finaliser of splitmix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


def _never_named(facts: Facts, named: NDArray[np.int64]) -> list[Finding]:
    columns = np.flatnonzero(named == 0).tolist()
    if not columns:
        return []
    return [
        Finding(
            "never_named",
            "warning",
            (),
            f"{facts.names(columns)} {'is' if len(columns) == 1 else 'are'} in the class list but "
            "named by no row.",
            "Nothing can be learned about them; remove them from the list or add rows.",
        )
    ]


def _never_possible(facts: Facts, never: NDArray[np.bool_]) -> list[Finding]:
    columns = np.flatnonzero(never & (facts.per_class(facts.deviates) > 0)).tolist()
    if not columns:
        return []
    said = "every row rules out" if facts.one_true else "no row has the tag"
    return [
        Finding(
            "never_possible",
            "warning",
            (),
            f"{said} {facts.names(columns)}.",
            "A model will learn that it never occurs; add rows that have it, or leave it out.",
        )
    ]


def _never_absent(facts: Facts, affirmed: NDArray[np.int64]) -> list[Finding]:
    columns = np.flatnonzero((affirmed > 0) & (facts.absent() == 0)).tolist()
    if not columns:
        return []
    return [
        Finding(
            "never_absent",
            "warning",
            (),
            f"no row says that {facts.names(columns)} {'is' if len(columns) == 1 else 'are'} "
            "absent.",
            "A model can only learn that it always applies; add rows without it (absent=, not_), "
            "or close the rows whose tags are complete (rest='absent').",
        )
    ]


def _never_exact(facts: Facts, affirmed: NDArray[np.int64]) -> list[Finding]:
    exact = facts.labels.exact_index()
    counts = np.bincount(exact[exact >= 0], minlength=facts.labels.n_classes)
    columns = np.flatnonzero((counts == 0) & (affirmed > 0)).tolist()
    if not columns:
        return []
    if counts.any():
        message = f"no row names {facts.names(columns)} exactly, only as one of several."
    else:
        message = "no row names its class exactly."
    advice = (
        "Training works, but a few exact labels make sure that each class is learned as itself."
    )
    return [Finding("never_exact", "info", (), message, advice)]


def _few_rows(facts: Facts, affirmed: NDArray[np.int64]) -> list[Finding]:
    columns = np.flatnonzero((affirmed > 0) & (affirmed < _FEW_ROWS))
    if not len(columns):
        return []
    columns = columns[np.argsort(affirmed[columns], kind="stable")]
    shown = listed([f"{facts.labels.classes[c]!r} ({affirmed[c]})" for c in columns.tolist()])
    return [
        Finding(
            "few_rows",
            "info",
            facts.rows_of(columns.tolist(), facts.affirms),
            f"{count(len(columns), 'class', 'classes')} of {facts.labels.n_classes:,} with fewer "
            f"than {_FEW_ROWS} rows: {shown}.",
            "Expect little of them; more rows, or merging rare classes, would help.",
        )
    ]
