"""The table in words. Each number that is said stands in the table, the differences or the counts.

`Verdict` carries the sentences together with the differences and counts that they quote, so that
`Comparison.to_dict` and the report hold all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eitheror.comparison.recode import joined, ruled_out
from eitheror.comparison.score import Difference, Gap, Row
from eitheror.labels import SHARES, Labels

__all__ = ["Verdict", "verdict_of"]

_FEW = 30


@dataclass
class Verdict:
    """Sentences, and what they quote beside the table.

    Attributes
    ----------
    sentences : list of str
    differences : list of Difference
    counts : dict of str to int
        Words to numbers of rows, classes or tags.
    """

    sentences: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(self.sentences)


def verdict_of(
    rows: Sequence[Row],
    labels: Labels,
    metric: str,
    gap: Gap,
    folds: tuple[int, int] = (1, 1),
    inputs: int | None = None,
) -> Verdict:
    """Return the verdict.

    Parameters
    ----------
    rows : sequence of Row
        The table, best first.
    labels : Labels
    metric : str
    gap : callable
        ``(name, other) -> Difference``.
    folds : (int, int)
        Folds that were run, and that were dealt.
    inputs : int, optional
        Different inputs among the rows.
    """
    verdict = Verdict()
    names = [row.name for row in rows]
    _winner(verdict, rows, metric)
    if labels.task == "multiclass":
        _about_classes(verdict, names, labels, gap)
        if inputs is not None and inputs < len(labels):
            verdict.counts |= {"rows": len(labels), "different inputs": inputs}
            verdict.sentences.append(
                f"There are {inputs:,} different inputs among the {len(labels):,} rows; statements "
                "about the same one are taken together."
            )
        if len(rows) > 1:
            _assumption(verdict, rows)
    else:
        _about_tags(verdict, rows, labels, gap)
    if folds[0] < folds[1]:
        verdict.counts |= {"folds run": folds[0], "folds dealt": folds[1]}
        verdict.sentences.append(
            f"Only {folds[0]} of {folds[1]} folds {'was' if folds[0] == 1 else 'were'} run; the "
            "others would narrow the intervals."
        )
    return verdict


def _winner(verdict: Verdict, rows: Sequence[Row], metric: str) -> None:
    best, level = rows[0], [row for row in rows if row.level]
    say = verdict.sentences.append
    if len(rows) == 1:
        say(f'Only "{best.name}" was tried; its {metric} is {_number(best)}.')
        return
    behind = [row for row in rows if not row.level]
    if len(level) == 1:
        say(
            f'"{best.name}" is best, {metric} {_number(best)}: '
            f'{_gap(behind[0])} ahead of "{behind[0].name}", the next.'
        )
        return
    low, high = (f"{end(row.score for row in level):.3f}" for end in (min, max))
    scores = low if low == high else f"from {low} to {high}"
    say(
        f"{_listed([row.name for row in level])} are level: {metric} {scores}, and no difference "
        "from the best stands clear of 0, so choose among them by time, size or taste."
    )
    if behind:
        say(f'"{behind[0].name}" is {_gap(behind[0])} behind the best.')


def _about_classes(verdict: Verdict, names: Sequence[str], labels: Labels, gap: Gap) -> None:
    say, counts = verdict.sentences.append, verdict.counts
    if {"likelihood", "drop partial rows"} <= {*names}:
        partial = int(((labels.exact_index() < 0) & (labels.kinds != 0)).sum())
        counts["partial rows"] = partial
        found = _quoted(verdict, gap("likelihood", "drop partial rows"))
        word = {1: "is worth", -1: "costs", 0: "makes no clear difference:"}[found.sign]
        say(f"Using the {partial:,} partial rows {word} {_told(found)} over dropping them.")
    if {"likelihood", "uniform target"} <= {*names}:
        found = _quoted(verdict, gap("likelihood", "uniform target"))
        say(
            f"The even target is {_told(found)} {_side(-found.sign)} the likelihood on the same "
            "rows."
            if found.sign
            else f"The likelihood and the even target do not differ clearly: {_told(found)}."
        )
    if "forward, estimated T" in names and "likelihood" in names:
        counts["rows that rule out one class"] = rows = len(ruled_out(labels))
        found = _quoted(verdict, gap("forward, estimated T", "likelihood"))
        say(
            f"Estimating how the class that is ruled out was chosen, on {rows:,} rows, "
            + (
                f"{'gains' if found.sign > 0 else 'loses'} {_told(found)}."
                if found.sign
                else f"makes no clear difference: {_told(found)}."
            )
        )
    if "joint classes" in names:
        _about_joint(verdict, labels)
    shared = int((labels.sparse().mode == SHARES).sum())
    if shared:
        counts["rows with votes or shares"] = shared
        say(
            f"On the {shared:,} rows with votes or shares, accuracy takes the leading class "
            "for the true one."
        )


def _about_joint(verdict: Verdict, labels: Labels) -> None:
    sizes = joined(labels)[2].values()
    few = sum(size < _FEW for size in sizes)
    if not few:
        return
    verdict.counts |= {
        "joint classes": len(sizes),
        f"joint classes of fewer than {_FEW} rows": few,
        "rows of the smallest joint class": min(sizes),
        "rows that make a joint class large enough": _FEW,
    }
    whole = "The in-between rows are too few for joint classes"
    part = "The in-between rows are too few for some of the joint classes"
    verdict.sentences.append(
        f"{whole if few * 2 > len(sizes) else part}: {few} of {len(sizes)} "
        f"{'has' if few == 1 else 'have'} fewer than {_FEW} rows, the smallest {min(sizes)}."
    )


def _assumption(verdict: Verdict, rows: Sequence[Row]) -> None:
    """Say whether the order of the best and the first behind it needs the assumption."""
    other = next((row for row in rows[1:] if not row.level), rows[1])
    if other.behind_bounds is None:
        return
    low, high = other.behind_bounds
    if high - low < 5e-4:  # exact rows, or the same decisions
        return
    best = f'"{rows[0].name}"'
    if low > 0:
        verdict.sentences.append(
            f"The scores assume that, of the wrong classes, none is more often a candidate than "
            f'another; without that {best} is still ahead of "{other.name}" on these rows, by '
            f"{_three(low)} to {_three(high)}."
        )
        return
    verdict.sentences.append(
        f"The scores assume that, of the wrong classes, none is more often a candidate than "
        f'another; without that the order of {best} and "{other.name}" is not settled: the labels '
        f"allow a difference from {_three(low)} to {_three(high)}."
    )


def _about_tags(verdict: Verdict, rows: Sequence[Row], labels: Labels, gap: Gap) -> None:
    say, by_name = verdict.sentences.append, {row.name: row for row in rows}
    joint = int((np.diff(labels.sparse().group_indptr) > 0).sum())
    if joint and "ova" in by_name:
        verdict.counts["rows that say 'at least one of'"] = joint
        say(f"Only \"ova\" learns from the {joint:,} rows that say 'at least one of'.")
    softmaxes = [by_name[name] for name in ("pal", "pal-n", "pol") if name in by_name]
    if "ova" in by_name and softmaxes:
        best = max(softmaxes, key=lambda row: row.score)
        found = _quoted(verdict, gap("ova", best.name))
        say(
            f"A sigmoid a tag is {_told(found)} {_side(found.sign)} the best softmax, "
            f'"{best.name}".'
            if found.sign
            else f'A sigmoid a tag and the best softmax, "{best.name}", do not differ clearly: '
            f"{_told(found)}."
        )
    if "pol" in by_name and "pal-n" in by_name:
        drawn, mean = by_name["pol"], by_name["pal-n"]
        say(
            f"Drawing one tag at each visit takes {drawn.seconds:.1f} s a fold and the mean over "
            f"them {mean.seconds:.1f} s."
        )


def _quoted(verdict: Verdict, found: Difference) -> Difference:
    verdict.differences.append(found)
    return found


def _number(row: Row) -> str:
    if row.interval is None:
        return f"{row.score:.3f}"
    return f"{row.score:.3f} ({row.interval[0]:.3f} to {row.interval[1]:.3f})"


def _gap(row: Row) -> str:
    if row.behind_interval is None:
        return f"{row.behind:.3f}"
    low, high = row.behind_interval
    return f"{_three(row.behind)} ({_three(low)} to {_three(high)})"


def _told(found: Difference) -> str:
    """Return a difference in words.

    What is clear is told without its sign, for the sentence around it says which way.
    """
    if found.interval is None:
        return _three(found.value)
    value, (low, high) = found.value, found.interval
    if found.sign < 0:
        value, low, high = -value, -high, -low
    return f"{_three(value)} ({_three(low)} to {_three(high)})"


def _three(value: float) -> str:
    """Return three decimals, and no minus before a zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def _side(sign: int) -> str:
    return "above" if sign > 0 else "below"


def _listed(names: Sequence[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
