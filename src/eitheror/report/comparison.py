"""The page of a comparison: verdict, picture, table, and how the numbers came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eitheror.report.intervals import Line, interval_plot
from eitheror.report.page import page, table

__all__ = ["comparison_page"]

_HOW = {
    "multiclass": (
        "Accuracy is estimated from the statements: a decision earns what its row's statement "
        "gives it, less what a wrong decision would earn by chance. That is the accuracy on "
        "exact rows, and on the others if the true class has the largest weight and candidates "
        "are as likely for one wrong class as for another."
    ),
    "multilabel": (
        "Each strategy is decided by the rule that suits it best; which one, and its thresholds, "
        "are told by the other folds alone. Scores count the entries that are known."
    ),
}


def comparison_page(found: Mapping[str, Any], title: str = "Comparison of strategies") -> str:
    """Return the HTML page of what `Comparison.to_dict` gives.

    Parameters
    ----------
    found : mapping
    title : str

    Examples
    --------
    >>> row = {"name": "likelihood", "what": "", "score": 0.8, "interval": (0.7, 0.9),
    ...        "behind": 0.0, "behind_interval": None, "behind_bounds": None, "level": True,
    ...        "seconds": 1.0, "n_parameters": 10, "decision": "the most probable class",
    ...        "metrics": {"accuracy": {"lower": 0.6, "upper": 0.9}}}
    >>> html = comparison_page({"strategies": [row], "sentences": ["One."], "metric": "accuracy",
    ...                         "task": "multiclass", "n": 10, "folds": 5, "folds_dealt": 5,
    ...                         "kinds": {"exact": 10}, "refused": {}, "notes": [],
    ...                         "differences": [], "counts": {}})
    >>> "<svg" in html and "http" not in html
    True
    """
    rows = found["strategies"]
    metric, task = found["metric"], found["task"]
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found["kinds"].items())
    lines = [Line(row["name"], row["score"], row["interval"], row["level"]) for row in rows]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{found["n"]:,} rows scored in {found["folds"]} of '
        f"{found['folds_dealt']} folds ({escape(kinds)}); ranked by {escape(metric)}</p>",
        _verdict(found["sentences"]),
        "<h2>Scores with 95 % intervals</h2>",
        f"<figure>{interval_plot(lines, metric)}<figcaption>Filled: cannot be told from the best "
        "on these rows. Hollow: behind it.</figcaption></figure>",
        "<h2>Table</h2>",
        _table(rows, metric),
        f'<p class="about">= cannot be told from the best. {_HOW[task]} "Behind" is the paired '
        "difference from the best on the same rows, with its 95 % interval. s: seconds of a fold, "
        "training and prediction. Numbers: parameters of the model.</p>",
        *(f'<p class="about">{escape(note)}</p>' for note in found["notes"]),
    ]
    if any(row["behind_bounds"] for row in rows):
        parts += [
            "<h2>With nothing assumed</h2>",
            _bounds(rows, metric),
            '<p class="about">The range over every truth that the labels allow: of the accuracy '
            "on these rows, and of the difference from the best.</p>",
        ]
    parts += ["<h2>What each strategy does</h2>", _treatments(rows, task)]
    if found["differences"] or found["counts"]:
        parts += ["<h2>What else the verdict quotes</h2>", _quoted(found)]
    if found["refused"]:
        parts += [
            "<h2>Not tried</h2>",
            table(("strategy", "why"), [*found["refused"].items()], words=1),
        ]
    return page(title, *parts)


def _verdict(sentences: Sequence[str]) -> str:
    """Return the answer, which is the first sentence, and its reasons below."""
    reasons = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences[1:])
    more = f"<ul>{reasons}</ul>" if reasons else ""
    return f'<div class="verdict"><p><strong>{escape(sentences[0])}</strong></p>{more}</div>'


def _table(rows: Any, metric: str) -> str:
    header = ("strategy", metric, "95 %", "behind", "95 %", "s", "numbers")
    cells = [
        (
            _name(row),
            f"{row['score']:.3f}",
            _interval(row["interval"]),
            "" if row["behind_interval"] is None else f"{row['behind']:.3f}",
            _interval(row["behind_interval"]),
            f"{row['seconds']:.1f}",
            f"{row['n_parameters']:,}",
        )
        for row in rows
    ]
    return table(header, cells, marked=[row["level"] for row in rows])


def _bounds(rows: Any, metric: str) -> str:
    cells = []
    for row in rows:
        accuracy = row["metrics"][metric]
        own = (accuracy["lower"], accuracy["upper"])
        cells.append((_name(row), _interval(own), _interval(row["behind_bounds"])))
    marked = [row["level"] for row in rows]
    return table(("strategy", metric, "behind the best"), cells, marked=marked)


def _name(row: Any) -> str:
    return f"{row['name']} =" if row["level"] else str(row["name"])


def _treatments(rows: Any, task: str) -> str:
    if task == "multiclass":
        return table(("strategy", "what"), [(row["name"], row["what"]) for row in rows], words=1)
    cells = [(row["name"], f"{row['what']}. Decided by: {row['decision']}.") for row in rows]
    return table(("strategy", "what, and how decisions were made"), cells, words=1)


def _quoted(found: Mapping[str, Any]) -> str:
    cells = [
        (
            f"{row['name']} before {row['other']}",
            f"{row['value']:.3f}" + (f" ({_interval(row['interval'])})" if row["interval"] else ""),
        )
        for row in found["differences"]
    ]
    cells += [(name, f"{number:,}") for name, number in found["counts"].items()]
    return table(("what", "number"), cells)


def _interval(interval: Any) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
