"""The table in words: every sentence says a number that stands in the table or in the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eitheror.comparison.recode import joined
from eitheror.comparison.score import Gap, Row
from eitheror.labels import SHARES, Labels

__all__ = ["verdict_of"]

_FEW = 30


def verdict_of(rows: Sequence[Row], labels: Labels, metric: str, gap: Gap) -> str:
    """Return the verdict as a few sentences."""
    sentences = [_winner(rows, metric)]
    by_name = {row.name: row for row in rows}
    if labels.task == "multiclass":
        sentences += _about_classes(by_name, labels, gap)
    else:
        sentences += _about_tags(by_name, labels, gap)
    return " ".join(sentences)


def _winner(rows: Sequence[Row], metric: str) -> str:
    best, level = rows[0], [row for row in rows if row.level]
    if len(rows) == 1:
        return f'Only "{best.name}" was tried; its {metric} is {_number(best)}.'
    behind = [row for row in rows if not row.level]
    if len(level) == 1:
        second = rows[1]
        return (
            f'"{best.name}" is best, {metric} {_number(best)}: '
            f'{_gap(second)} ahead of "{second.name}", the next.'
        )
    names = _listed([row.name for row in level])
    text = (
        f"{names} are level: {metric} from {min(row.score for row in level):.3f} to "
        f"{best.score:.3f}, and no difference from the best stands clear of 0."
    )
    if behind:
        text += f' "{behind[0].name}" is {_gap(behind[0])} behind the best.'
    return text


def _about_classes(rows: dict[str, Row], labels: Labels, gap: Gap) -> list[str]:
    found = []
    partial = int(((labels.exact_index() < 0) & (labels.kinds != 0)).sum())
    if {"likelihood", "drop partial rows"} <= rows.keys():
        ahead, clear = _difference(gap, "likelihood", "drop partial rows")
        word = "is worth" if clear > 0 else "costs" if clear else "makes no clear difference:"
        found.append(f"Using the {partial:,} partial rows {word} {ahead} over dropping them.")
    if {"likelihood", "uniform target"} <= rows.keys():
        ahead, clear = _difference(gap, "likelihood", "uniform target")
        word = "below" if clear > 0 else "above"
        found.append(
            f"The even target is {ahead} {word} the likelihood on the same rows."
            if clear
            else f"The likelihood and the even target do not differ clearly: {ahead}."
        )
    shared = int((labels.sparse().mode == SHARES).sum())
    if shared:
        found.append(
            f"On the {shared:,} rows with votes or shares, accuracy takes the leading class "
            "for the true one."
        )
    if "joint classes" in rows:
        counts = joined(labels)[2]
        few = sum(count < _FEW for count in counts.values())
        if few:
            found.append(
                f"{few} of {len(counts)} joint classes have fewer than {_FEW} rows "
                f"({counts.most_common()[-1][1]} at the least), which is little to learn a class "
                "from."
            )
    return found


def _about_tags(rows: dict[str, Row], labels: Labels, gap: Gap) -> list[str]:
    found = []
    joint = int((np.diff(labels.sparse().group_indptr) > 0).sum())
    if joint:
        found.append(f"Only \"ova\" learns from the {joint:,} rows that say 'at least one of'.")
    sigmoid = rows.get("ova")
    softmaxes = [rows[name] for name in ("pal", "pal-n", "pol") if name in rows]
    if sigmoid is not None and softmaxes:
        best = max(softmaxes, key=lambda row: row.score)
        ahead, clear = _difference(gap, "ova", best.name)
        found.append(
            f"A sigmoid a tag is {ahead} {'above' if clear > 0 else 'below'} the best softmax, "
            f'"{best.name}".'
            if clear
            else f'A sigmoid a tag and the best softmax, "{best.name}", do not differ clearly: '
            f"{ahead}."
        )
    if "pol" in rows and "pal-n" in rows:
        drawn, mean = rows["pol"], rows["pal-n"]
        found.append(
            f"Drawing one tag at each visit takes {drawn.seconds:.1f} s a fold and the mean over "
            f"them {mean.seconds:.1f} s."
        )
    return found


def _number(row: Row) -> str:
    if row.interval is None:
        return f"{row.score:.3f}"
    return f"{row.score:.3f} ({row.interval[0]:.3f} to {row.interval[1]:.3f})"


def _gap(row: Row) -> str:
    if row.behind_interval is None:
        return f"{row.behind:.3f}"
    low, high = row.behind_interval
    return f"{row.behind:.3f} ({low:.3f} to {high:.3f})"


def _difference(gap: Gap, name: str, other: str) -> tuple[str, int]:
    """Return the difference in words, and its sign, 0 where its interval reaches 0.

    What is clear is told without its sign, for the sentence around it says which way.
    """
    value, interval = gap(name, other)
    if interval is None:
        return f"{value:.3f}", 0
    low, high = interval
    sign = int(low > 0) - int(high < 0)
    if sign < 0:
        value, low, high = -value, -high, -low
    return f"{value:.3f} ({low:.3f} to {high:.3f})", sign


def _listed(names: Sequence[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
