"""The page of a single model: scores, pictures, classes, mistakes, in this order.

In: the dict of `model_report`, if wanted with a ``learning_curve`` and a ``tuning`` entry. Out:
one HTML page. Each section says what it shows and what it cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import inf
from typing import Any

from eitheror.report.figures import (
    history_plot,
    learning_plot,
    rejection_plot,
    reliability_plot,
    threshold_plot,
)
from eitheror.report.page import Html, page, table
from eitheror.report.words import shown_scores

__all__ = ["model_page"]

_OPEN = 5e-4
_SHOWN_CLASSES = 15
_SHOWN_PAIRS = 10
_SELECTIVE: tuple[str, ...] = ("decided", "accuracy_decided", "coverage")
_CLASS_HEADER = ("class", "rows", "F1", "precision", "recall", "decided", "F1 from 0 to 1")
_WORST = 3
_ENOUGH = 10  # rows of a class before it is called weak
_MARK = "\N{BLACK DOWN-POINTING TRIANGLE} "


def model_page(found: Mapping[str, Any], title: str = "Report of a model") -> str:
    """Return the HTML page of what `model_report` gives.

    Parameters
    ----------
    found : mapping
        May also hold ``learning_curve``, what `learning_curve` gives, and ``tuning``, what
        `eitheror tune --json` prints.
    title : str

    Examples
    --------
    >>> from eitheror.report import model_report
    >>> html = model_page(model_report(["a", "b"], [[0.9, 0.1], [0.6, 0.4]]), "Two rows")
    >>> "<svg" in html, "http" in html, "<script" in html
    (True, False, False)
    """
    parts = [
        *_headline(found, title),
        *_scores(found),
        *_pictures(found),
        *_sets(found["set_sizes"]),
        *_classes(found),
        *_confusions(found),
        *_contradicted(found),
    ]
    return page(title, *parts)


def _headline(found: Mapping[str, Any], title: str) -> list[str]:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found["kinds"].items())
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{found["n"]:,} rows: {escape(kinds)}</p>',
        f"<p>Decision: {escape(found['decision'])}.</p>",
    ]
    unseen = found["unseen_labels"]
    if unseen:
        what = "label is of a class" if unseen == 1 else "labels are of classes"
        parts.append(f"<p>{unseen:,} {what} that the model does not know: always missed.</p>")
    parts.append(f'<p class="verdict">{escape(_verdict(found))}</p>')
    return parts


def _verdict(found: Mapping[str, Any]) -> str:
    """Return the page in a sentence; of a rule tuned here, never its score on these rows."""
    tuning = found.get("tuning")
    if tuning and tuning["optimism"] is not None:
        return _tuned(tuning)
    scores = {name: (entry, what) for name, entry, what in shown_scores(found)}
    curve = found["threshold_curve"]
    wanted = "accuracy" if curve is None else curve["metrics"][0]
    names = [name for name in _SELECTIVE if name in scores] or [wanted]
    said = "; ".join(_said(name, *scores[name]) for name in names)
    unflattered = " Nothing was fitted to these rows, so no score is flattered." if tuning else ""
    return f"{said}.{unflattered}"


def _said(name: str, entry: Mapping[str, Any], what: str) -> str:
    chance = f" (95 %: {_range(entry['interval'])})" if entry["interval"] else ""
    return f"{name} {_range((entry['lower'], entry['upper']))}{chance}: {what}"


def _tuned(tuning: Mapping[str, Any]) -> str:
    known = "" if tuning["metric"] == "coverage" else ", over the entries that are known"
    return (
        "The rule was tuned on these very rows, so every score on this page is flattered. "
        f"{tuning['metric']}: {_value(tuning['score_cross_fitted'])} cross-fitted, which is what "
        f"to expect; {_value(tuning['score_on_file'])} on the rows themselves; optimism "
        f"{_optimism(tuning['optimism'])}{known}."
    )


def _optimism(value: Any) -> str:
    if isinstance(value, Mapping):  # two differences, not a range: the first may be the larger
        return f"{value['lower']:+.3f} (lowest), {value['upper']:+.3f} (highest)"
    return f"{value:+.3f}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _range((value["lower"], value["upper"]))
    return f"{value:.3f}"


def _scores(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, _range((entry["lower"], entry["upper"])), _range(entry["interval"]), what)
        for name, entry, what in shown_scores(found)
    ]
    parts = ["<h2>Scores</h2>", table(("score", "value", "95 %", "what it is"), rows, words=3)]
    if any(" to " in row[1] for row in rows):
        parts.append(
            '<p class="about">Where the labels leave the truth open a score is a range: from the '
            "least to the most favourable truth that they allow. The 95 % interval adds chance."
            "</p>"
        )
    return parts


def _pictures(found: Mapping[str, Any]) -> list[str]:
    figures = [
        *_reliability(found),
        *_thresholds(found),
        *_rejection(found),
        *_learning(found.get("learning_curve")),
        *_history(found["history"]),
    ]
    return ["<h2>Curves</h2>", f'<div class="figures">{"".join(figures)}</div>']


def _figure(title: str, svg: str, caption: str) -> str:
    return (
        f"<figure>\n<h3>{escape(title)}</h3>\n{svg}\n"
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _reliability(found: Mapping[str, Any]) -> list[str]:
    if not found["reliability"]:
        return []
    error = found["metrics"]["calibration_error"]
    what = "entries (row and tag)" if found["task"] == "multilabel" else "rows"
    caption = (
        "Above the diagonal the model is too timid, below it too sure. The small numbers count "
        f"{what}."
    )
    if error["lower"] is not None:
        caption += f" Calibration error {_range((error['lower'], error['upper']))}."
    svg = reliability_plot(found["reliability"], found["task"] == "multilabel")
    return [_figure("Do the probabilities hold?", svg, caption)]


def _thresholds(found: Mapping[str, Any]) -> list[str]:
    curve = found["threshold_curve"]
    if curve is None:
        return []
    caption = "One threshold for all tags."
    if curve["at_least_one"]:
        caption += " The most probable tag is always chosen as well."
    if curve["chosen"] is None:
        caption += f" The model's rule is another: {found['decision']}."
    tuned = ", tuned here" if found.get("tuning") else ""
    level = found["metrics"][curve["metrics"][0]] if curve["chosen"] is None else None
    basic = "More tags named to the left, surer ones to the right."
    return [
        _figure("Which threshold?", threshold_plot(curve, curve["metrics"], tuned, level), caption),
        _figure(
            "Precision and recall", threshold_plot(curve, ("precision", "recall"), tuned), basic
        ),
    ]


def _rejection(found: Mapping[str, Any]) -> list[str]:
    curve, metrics = found["rejection_curve"], found["metrics"]
    if curve is None:
        return []
    point = None
    if metrics["accuracy"]["lower"] is not None:
        share = metrics.get("decided", {"lower": 1.0})["lower"]
        among = metrics.get("accuracy_decided", metrics["accuracy"])
        point = None if among["lower"] is None else (share, among["lower"], among["upper"])
    caption = "What silence would buy. p is the probability from which a row is decided."
    return [
        _figure(
            "Deciding only the surest rows",
            rejection_plot(curve, point, found["decision"]),
            caption,
        )
    ]


def _learning(curve: Mapping[str, Any] | None) -> list[str]:
    if not curve:
        return []
    seconds = sum(point["seconds"] for point in curve["points"])
    caption = f"{curve['verdict']} Trained in {seconds:.1f} s. Rule: {curve['decision']}."
    return [_figure("Would more rows help?", learning_plot(curve), caption)]


def _history(history: Sequence[Mapping[str, float]] | None) -> list[str]:
    if not history:
        return []
    caption = "A line that still falls at the last pass could gain from more passes."
    if any("valid_loss" in entry for entry in history):
        caption += " Where the held-out line rises again, fewer would do."
    return [_figure("Training", history_plot(history), caption)]


def _sets(sizes: Sequence[Mapping[str, Any]] | None) -> list[str]:
    if not sizes:
        return []
    total = sum(entry["rows"] for entry in sizes)
    rows = [
        (
            f"{entry['size']:,}",
            f"{entry['rows']:,}",
            f"{entry['rows'] / total:.0%}",
            _range(entry["coverage"]),
        )
        for entry in sizes
    ]
    return [
        "<h2>Sets by size</h2>",
        table(("classes in the set", "rows", "share", "hold the true class"), rows),
    ]


def _classes(found: Mapping[str, Any]) -> list[str]:
    order = sorted(
        found["class_table"], key=lambda line: (-line["present"][1], -line["present"][0])
    )
    weak = _weakest(order)
    parts = ["<h2>Classes, the most frequent first</h2>"]
    if weak:
        names = ", ".join(
            f"{line['class']} ({_range(line['f1'], 2)}, {_rows(line['present'])})" for line in weak
        )
        parts.append(
            f"<p>{_MARK}lowest F1 among the classes with {_ENOUGH} rows or more: "
            f"{escape(names)}.</p>"
        )
    marked = [line in weak for line in order]
    rows = [_class_row(line, weak) for line, weak in zip(order, marked, strict=True)]
    parts += _folded(_CLASS_HEADER, rows, marked, _SHOWN_CLASSES, "class", "classes")
    if found["set_sizes"]:
        parts.append(
            '<p class="about">Decided: the class is in the set. Recall is the share of its rows '
            "whose set holds it: the promise is kept over all classes together, not for each.</p>"
        )
    return parts


def _weakest(order: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the classes with the lowest F1, if there are classes to spare; 1 is not low."""
    known = [line for line in order if line["f1"] is not None and line["present"][0] >= _ENOUGH]
    if len(known) <= _WORST:
        return []
    low = [line for line in known if line["f1"][0] < 1]
    return sorted(low, key=lambda line: (line["f1"][1], line["f1"][0]))[:_WORST]


def _class_row(line: Mapping[str, Any], weak: bool) -> tuple[str, ...]:
    return (
        (_MARK if weak else "") + str(line["class"]),
        _counts(line["present"]),
        *(_range(line[score], 2) for score in ("f1", "precision", "recall")),
        f"{line['decided']:,}",
        _bar(line["f1"]),
    )


def _bar(ends: Sequence[float] | None) -> str:
    """Return a line from 0 to 1 with the range on it; the numbers stand beside it."""
    if ends is None:
        return ""
    low, high = (100 * end for end in ends)
    return Html(
        '<svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="M0 6H100" stroke="#bbb"/>'
        f'<path d="M0 6H{low:.1f}" stroke="#1b1b1b" stroke-width="6"/>'
        f'<path d="M{low:.1f} 6H{high:.1f}" stroke="#8a8a8a" stroke-width="6"/></svg>'
    )


def _confusions(found: Mapping[str, Any]) -> list[str]:
    pairs = found["confusions"]
    if not pairs:
        return []
    tags = found["task"] == "multilabel"
    arrow = "\N{RIGHTWARDS ARROW}"
    first = f"named, absent {arrow} missing, present" if tags else f"decided {arrow} true"
    rows = [
        (
            f"{pair['decided']} {arrow} {pair['true']}",
            _counts(pair["rows"]),
            f"{pair['ruled_out']:,}",
        )
        for pair in pairs
    ]
    header = (first, "rows", "surely wrong")
    parts = [
        "<h2>Taken for one another</h2>",
        *_folded(header, rows, [False] * len(rows), _SHOWN_PAIRS, "pair", "pairs"),
    ]
    if any(pair["rows"][0] < pair["rows"][1] for pair in pairs):
        parts.append(
            '<p class="about">A range of rows: the labels leave open whether they are such a '
            "mistake. Surely wrong: they rule the decision out, and this may be how.</p>"
        )
    if found["set_sizes"]:
        parts.append('<p class="about">Counted for the most probable class, not the set.</p>')
    return parts


def _folded(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    marked: Sequence[bool],
    shown: int,
    one: str,
    many: str,
) -> list[str]:
    """Return a table whose rows after the first few open on demand."""
    parts = [table(header, rows[:shown], marked=marked[:shown])]
    if len(rows) > shown:
        rest = len(rows) - shown
        parts.append(
            f"<details><summary>{rest:,} more {one if rest == 1 else many}</summary>\n"
            f"{table(header, rows[shown:], marked=marked[shown:])}</details>"
        )
    return parts


def _contradicted(found: Mapping[str, Any]) -> list[str]:
    rows = found["contradicted_rows"]
    if not rows:
        return []
    items = "\n".join(f"<li>{_row(row)}</li>" for row in rows)
    return [
        "<h2>Rows that contradict the model most</h2>",
        '<p class="about">The statements that the model finds least probable. Each is a mistake of '
        "the model or of the label; the numbers cannot say which.</p>",
        f'<ol class="rows">\n{items}\n</ol>',
    ]


def _row(row: Mapping[str, Any]) -> str:
    where = escape(row.get("where", f"row {row['row']}"))
    text = f"<br><q>{escape(row['text'])}</q>" if "text" in row else ""
    decided = row["decided"]
    if isinstance(decided, list):
        decided = ", ".join(map(str, decided)) or None
    said = "no decision" if decided is None else f"decided {decided}"
    return (
        f"<b>{where}</b>{text}<br><span>the label says {escape(str(row['statement']))}, of "
        f"probability {row['probability']:.2g}; {escape(said)}</span>"
    )


def _range(ends: Sequence[float] | None, digits: int = 3) -> str:
    if ends is None:
        return ""
    low, high = ("infinite" if end == inf else f"{end:.{digits}f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _counts(ends: Sequence[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _rows(ends: Sequence[int]) -> str:
    return f"{_counts(ends)} rows"
