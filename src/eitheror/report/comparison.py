"""The page of a comparison: verdict, picture, table, and how the numbers came about."""

from __future__ import annotations

from collections.abc import Mapping
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
        "are as likely for one wrong class as for another. The columns lowest and highest assume "
        "nothing."
    ),
    "multilabel": (
        "The threshold of each strategy was tuned on the other folds. Scores count the entries "
        "that are known."
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
    ...        "behind": 0.0, "behind_interval": None, "level": True, "seconds": 1.0,
    ...        "n_parameters": 10, "metrics": {"accuracy": {"lower": 0.6, "upper": 0.9}}}
    >>> html = comparison_page({"strategies": [row], "verdict": "One.", "metric": "accuracy",
    ...                         "task": "multiclass", "n": 10, "folds": 5, "kinds": {"exact": 10},
    ...                         "refused": {}})
    >>> "<svg" in html and "http" not in html
    True
    """
    rows = found["strategies"]
    metric, task = found["metric"], found["task"]
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found["kinds"].items())
    lines = [Line(row["name"], row["score"], row["interval"], row["level"]) for row in rows]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{found["n"]:,} rows scored in {found["folds"]} folds, {escape(kinds)}'
        f"; ranked by {escape(metric)}</p>",
        f'<p class="verdict">{escape(found["verdict"])}</p>',
        "<h2>Scores with 95 % intervals</h2>",
        f'<div class="wide">{interval_plot(lines, metric)}</div>',
        '<p class="about">Filled: cannot be told from the best on these rows. Hollow: behind it.'
        "</p>",
        "<h2>Table</h2>",
        _table(rows, metric),
        f'<p class="about">{_HOW[task]} "Behind" is the paired difference from the best on the '
        "same rows. Time is for a fold.</p>",
        "<h2>What each strategy does</h2>",
        table(("strategy", "what"), [(row["name"], row["what"]) for row in rows], words=1),
    ]
    if found["refused"]:
        parts += [
            "<h2>Not tried</h2>",
            table(("strategy", "why"), [*found["refused"].items()], words=1),
        ]
    return page(title, *parts)


def _table(rows: Any, metric: str) -> str:
    header = ("strategy", metric, "95 %", "behind", "95 %", "lowest", "highest", "s", "numbers")
    cells = []
    for row in rows:
        bounds = row["metrics"].get(metric, {})
        cells.append(
            (
                row["name"] + (" =" if row["level"] else ""),
                f"{row['score']:.3f}",
                _interval(row["interval"]),
                f"{row['behind']:.3f}",
                _interval(row["behind_interval"]),
                *(_number(bounds.get(end)) for end in ("lower", "upper")),
                f"{row['seconds']:.1f}",
                f"{row['n_parameters']:,}",
            )
        )
    return table(header, cells, marked=[row["level"] for row in rows])


def _interval(interval: Any) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"
