"""The figure of the README: time as a share of fastText's, from the stored benchmark results.

Reads benchmarks/results/speed_train.json, time_to_accuracy.json and speed_predict.json (those that
are there) and measures nothing itself. Light and dark pages both show through: the background is
clear and the letters are grey.

    python benchmarks/figure.py          # writes docs/assets/speed.svg
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "assets" / "speed.svg"
TEXT, OURS, THEIRS = "#7d838c", "#2f81f7", "#a8adb5"

Bars = list[tuple[str, float]]


def stored(name: str) -> dict:
    """Return the results of a benchmark, nothing where it was never run."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else {}


def training() -> Bars:
    """Training in the process, same settings, by width and threads."""
    return [
        (f"train, {setting}", tools["eitheror"]["fit_ratio"])
        for setting, tools in stored("speed_train").items()
        if setting.startswith("dim") and "eitheror" in tools
    ]


def accuracy() -> Bars:
    """Time to fastText's accuracy, by data set, on one thread."""
    names = {"ag_news": "AG News", "chains": "120,000 documents"}
    return [
        (f"train to fastText's accuracy, {names[data]}", row["fit_ratio"])
        for data, found in stored("time_to_accuracy").items()
        for tool, row in found["1 thread"].items()
        if tool.startswith("eitheror")
    ]


def predicting() -> Bars:
    """100,000 lines, model of the same shape, on one thread."""
    said = {"in the process": "predict, in the process", "command": "predict, whole command"}
    return [
        (said[table], row["seconds_ratio"])
        for table, entries in stored("speed_predict").items()
        for tool, row in entries.items()
        if table in said and tool.startswith("eitheror embedding") and tool.endswith("1 thread")
    ]


def main() -> None:
    """Draw one bar a result, with fastText's time as the line at 1."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    bars = [*training(), *accuracy(), *predicting()]
    if not bars:
        print("skipped: no stored results to draw; run benchmarks/speed_train.py first")
        return
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "eitheror", "font.size": 10}
    mpl.rcParams |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color"), TEXT)
    mpl.rcParams |= dict.fromkeys(("ytick.color", "axes.edgecolor"), TEXT)
    figure, axes = plt.subplots(figsize=(7.2, 0.36 * len(bars) + 0.9), layout="constrained")
    places = range(len(bars))
    ratios = [ratio for _, ratio in bars]
    axes.barh(places, ratios, color=OURS, height=0.62)
    axes.axvline(1, color=THEIRS, linewidth=2)
    axes.text(1, -0.75, "fastText = 1", ha="center", va="bottom")
    for place, ratio in zip(places, ratios, strict=True):
        axes.text(ratio + 0.015, place, f"{ratio:.2f}", va="center", color=TEXT)
    axes.set_yticks(list(places), [name for name, _ in bars])
    axes.set_xlim(0, max(1.12, max(ratios) + 0.12))
    axes.set_ylim(len(bars) - 0.5, -0.6)
    axes.set_xlabel("time of eitheror, as a share of fastText's on the same data and machine")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, transparent=True, metadata={"Date": None})
    print(f"{FIGURE.relative_to(FIGURE.parents[2])}: {len(bars)} bars")


if __name__ == "__main__":
    main()
