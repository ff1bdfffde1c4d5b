"""The pictures of a model's page, each from one entry of `model_report` or `learning_curve`.

In: an entry of the dict. Out: SVG, by way of `Plot`. Nothing is computed here but places on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2
from typing import Any

from eitheror.report.plot import DASHES, Plot

__all__ = [
    "history_plot",
    "learning_plot",
    "rejection_plot",
    "reliability_plot",
    "threshold_plot",
]

_UNIT = (0.0, 1.0)
_CUTS = (0.9, 0.7, 0.5)  # of the probability, shown on the curve of silence
_FEWEST = 0.05  # of the rows: the accuracy of fewer is mostly chance
_APART = 0.14  # of the axis, for their words
_OPEN = 5e-4  # a range narrower than this is a number
_CURVES = {
    "f1_micro": "F1 (micro)",
    "f1_macro": "F1 (macro)",
    "f1_samples": "F1 (mean over rows)",
    "jaccard_micro": "Jaccard (micro)",
    "jaccard_macro": "Jaccard (macro)",
    "jaccard_samples": "Jaccard (mean over rows)",
    "accuracy": "accuracy (exact set)",
    "precision": "precision",
    "recall": "recall",
}


def reliability_plot(bins: Sequence[Mapping[str, Any]], tags: bool) -> str:
    """Return probability against frequency; a thick bar where the labels leave it open."""
    what = "tag" if tags else "most probable class"
    plot = Plot(
        "reliability",
        "Reliability diagram",
        f"How often the {what} was true, by the probability it was given.",
        _UNIT,
        (-0.14, 1.0),
        "probability given",
        "came true",
        y_ticks=[(value / 5, f"{value / 5:g}") for value in range(6)],
    )
    plot.line([0, 1], [0, 1], "perfectly calibrated", DASHES[2])
    opened = False
    for entry in bins:
        low, high = entry["frequency"]
        at = entry["probability"]
        if entry["interval"] is not None:
            plot.range(at, *entry["interval"])
        says = f"{at:.3f} given, {_range(low, high)} came true, {entry['entries']:,} entries"
        if high - low < _OPEN:
            plot.mark(at, low, "dot", says)
        else:
            opened = True
            plot.range(at, low, high, "bar")
            plot.mark(at, (low + high) / 2, "ring", says)
        plot.text((entry["from"] + entry["to"]) / 2, 0, _short(entry["entries"]), below=18)
    plot.note("dot", "how often it came true")
    if opened:
        plot.note("bar", "open labels: anywhere along the bar")
    if not tags:
        plot.note("whisker", "95 % interval")
    return plot.svg()


def threshold_plot(
    curve: Mapping[str, Any],
    names: Sequence[str],
    tuned: str = "",
    level: Mapping[str, Any] | None = None,
) -> str:
    """Return some scores against the threshold, with the rule's own cut or score.

    Parameters
    ----------
    curve : mapping
        The ``threshold_curve`` of `model_report`.
    names : sequence of str
        The scores to draw, up to three; the first has a mark at the cut.
    tuned : str
        What to add to the cut's name.
    level : mapping, optional
        ``lower`` and ``upper`` of the first score under a rule that is no threshold.
    """
    cuts, chosen = curve["cut"], curve["chosen"]
    words = [_CURVES[name] for name in names]
    named = "" if chosen is None else f" The rule cuts at {chosen:.3g}{tuned}."
    plot = Plot(
        f"threshold-{names[0]}",
        f"{', '.join(words)} by threshold",
        f"The scores of one threshold for all tags.{named}",
        (0.0, cuts[-1]),
        _UNIT,
        "threshold",
        "score",
    )
    for name, label, dash in zip(names, words, DASHES, strict=False):
        _banded(plot, cuts, curve[name], label, dash)
    if level is not None:
        for end in sorted({level["lower"], level["upper"]}):
            plot.level(end)
        plot.note("level", f"{words[0]} of the model's own rule")
    if chosen is not None:
        plot.upright(chosen, f"the rule: {chosen:.3g}{tuned}")
        low, high = (curve[names[0]][end][cuts.index(chosen)] for end in ("lower", "upper"))
        if low is not None:
            plot.mark(chosen, (low + high) / 2, "diamond", f"{words[0]} {_range(low, high)}")
    return plot.svg()


def _banded(
    plot: Plot, xs: Sequence[float], ends: Mapping[str, Any], label: str, dash: str
) -> None:
    """Draw a score as a line, or its lower end and a band up to the upper one."""
    low, high = ends["lower"], ends["upper"]
    pairs = [(a, b) for a, b in zip(low, high, strict=True) if a is not None and b is not None]
    if any(b - a >= _OPEN for a, b in pairs):
        plot.band(xs, low, high)
        plot.line(xs, high, "", dash)
        label += ", lowest and highest"
    plot.line(xs, low, label, dash)


def rejection_plot(
    curve: Mapping[str, Any], point: tuple[float, float, float] | None, rule: str
) -> str:
    """Return accuracy among the rows decided against their share, with the rule's own point.

    Parameters
    ----------
    curve : mapping
        Of `rejection_curve`.
    point : (share decided, lower, upper), optional
        Where the model's rule stands.
    rule : str
        The rule in words.
    """
    shown = [at for at, share in enumerate(curve["decided"]) if share >= _FEWEST]
    cuts, shares, lows, highs = (
        [curve[key][at] for at in shown] for key in ("cut", "decided", "lower", "upper")
    )
    bottom = max(0.0, min(*lows, *(point[1:2] if point else ()), 1.0) - 0.05)
    plot = Plot(
        "rejection",
        "Accuracy by share decided",
        "Accuracy among the surest rows, for every share of rows that are decided. "
        f"The model's rule: {rule}.",
        _UNIT,
        (bottom, 1.0),
        "share of rows decided, the surest first",
        "accuracy among them",
    )
    _banded(plot, shares, {"lower": lows, "upper": highs}, "accuracy", "")
    last = -1.0
    for wanted in _CUTS:
        place = next((at for at, cut in enumerate(cuts) if cut >= wanted), None)
        if place is None or shares[place] - last < _APART:
            continue
        last = shares[place]
        plot.range(last, bottom + 0.1 * (1 - bottom), max(lows[place], bottom), "stem")
        plot.mark(last, lows[place], "square", f"cut {cuts[place]:.2f}")
        plot.text(last, bottom, f"p \N{GREATER-THAN OR EQUAL TO} {wanted:g}", below=-5)
    if point is not None:
        share, low, high = point
        if high - low >= _OPEN:
            plot.range(share, low, high, "bar")
        plot.mark(share, (low + high) / 2, "diamond", _range(low, high), "the model's rule")
    return plot.svg()


def learning_plot(found: Mapping[str, Any]) -> str:
    """Return the score against the number of rows, with intervals."""
    points = found["points"]
    at = [log2(point["rows"]) for point in points]
    ends = [end for point in points for end in point["interval"] or (point["lower"],)]
    ends += [point["upper"] for point in points]
    space = (max(ends) - min(ends)) * 0.08 or 0.05
    plot = Plot(
        "learning",
        "Learning curve",
        f"{found['metric']} on {found['test_rows']:,} rows by number of training rows. "
        f"{found['verdict']}",
        (at[0] - 0.3, at[-1] + 0.3),
        (min(ends) - space, max(ends) + space),
        "training rows",
        found["metric"],
        x_ticks=[(x, f"{point['rows']:,}") for x, point in zip(at, points, strict=True)],
    )
    lows, highs = ([point[end] for point in points] for end in ("lower", "upper"))
    _banded(plot, at, {"lower": lows, "upper": highs}, found["metric"], "")
    for x, point in zip(at, points, strict=True):
        if point["interval"] is not None:
            plot.range(x, *point["interval"])
        says = f"{point['rows']:,} rows: {_range(point['lower'], point['upper'])}"
        for end in sorted({point["lower"], point["upper"]}):
            plot.mark(x, end, "dot", says)
    plot.note("whisker", "95 % interval")
    return plot.svg()


def history_plot(history: Sequence[Mapping[str, float]]) -> str:
    """Return the loss of each pass over the training rows, and of the held-out rows."""
    passes = [entry["epoch"] for entry in history]
    lines = [("loss", "training rows", "", "dot"), ("valid_loss", "held-out rows", "7 4", "ring")]
    values = [entry[key] for entry in history for key, *_ in lines if key in entry]
    step = ceil(len(passes) / 10)
    plot = Plot(
        "history",
        "Loss of each pass",
        "Mean loss of a row after each pass over the training rows.",
        (passes[0], passes[-1]),
        (0.0, max(values) * 1.05 or 1.0),
        "pass",
        "mean loss of a row",
        x_ticks=[(value, f"{value:g}") for value in passes[:: max(step, 1)]],
    )
    for key, label, dash, shape in lines:
        if not any(key in entry for entry in history):
            continue
        plot.line(passes, [entry.get(key) for entry in history], label, dash)
        for entry in history[:: max(step, 1)]:
            if key in entry:
                plot.mark(entry["epoch"], entry[key], shape, f"{entry[key]:.4f}")
    return plot.svg()


def _range(low: float, high: float) -> str:
    return f"{low:.3f}" if high - low < _OPEN else f"{low:.3f} to {high:.3f}"


def _short(number: int) -> str:
    """Return 950, 1.2k, 34k, 2.1M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            value = number / size
            return f"{value:.1f}{letter}" if value < 10 else f"{value:.0f}{letter}"
    return str(number)
