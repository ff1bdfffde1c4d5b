"""The figure of the README: time as a share of fastText's, from the stored benchmark results.

Reads benchmarks/results/speed_train.json, time_to_accuracy.json and speed_predict.json (those that
are there) and measures nothing itself. Every bar is about the same work: the same settings, or a
model that is as accurate; where ours was less accurate its bar says so. Light and dark pages both
show through: the background is clear and the letters are grey.

    python benchmarks/figure.py          # writes docs/assets/speed.svg
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "assets" / "speed.svg"
TEXT, OURS, THEIRS = "#7d838c", "#2f81f7", "#a8adb5"
NAMES = {
    "ag_news": "AG News",
    "chains": "120,000 documents",
    "cooking": "Cooking",
    "goemotions": "GoEmotions",
}

Bars = list[tuple[str, float]]


def stored(name: str) -> dict:
    """Return the results of a benchmark, nothing where it was never run."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else {}


def bar(name: str, key: str, accuracy: str, ours: dict, theirs: dict) -> tuple[str, float]:
    """Return a bar's name and length; the accuracies of both, where ours is the lower one."""
    if ours[accuracy] < theirs[accuracy]:
        name += f"\n(accuracy {ours[accuracy]:.3f}, fastText {theirs[accuracy]:.3f})"
    return name, ours[f"{key}_ratio"]


def training() -> Bars:
    """Training with the same settings: in the process, and the commands."""
    bars = []
    for setting, tools in stored("speed_train").items():
        if setting.startswith("dim") and "eitheror" in tools:
            ours, theirs, key = tools["eitheror"], tools["fasttext"], "fit"
            name = f"train, {setting}"
        elif "eitheror pol" in tools:
            ours, theirs, key = tools["eitheror pol"], tools["fasttext softmax"], "process"
            data, _, threads = setting.split(", ")
            name = f"train, whole command, {NAMES[data]}, {threads}"
        else:
            continue
        bars.append(bar(name, key, "p_at_1", ours, theirs))
    return bars


def reaching() -> Bars:
    """Time to fastText's accuracy with its best loss, by data set, on one thread."""
    bars = []
    for data, found in stored("time_to_accuracy").items():
        tools = found["1 thread"]
        theirs = next(row for tool, row in tools.items() if tool.startswith("fastText"))
        ours = next(row for tool, row in tools.items() if tool.startswith("eitheror"))
        name = f"train to fastText's accuracy, {NAMES[data]}, 1 thread"
        bars.append(bar(name, "fit", "accuracy", ours, theirs))
    return bars


def predicting() -> Bars:
    """100,000 lines, model of the same shape, on one thread."""
    said = {"in the process": "predict", "command": "predict, whole command"}
    return [
        (f"{said[table]}, 1 thread", row["seconds_ratio"])
        for table, entries in stored("speed_predict").items()
        for tool, row in entries.items()
        if table in said and tool.startswith("eitheror embedding") and tool.endswith("1 thread")
    ]


def main() -> None:
    """Draw one bar a result, with fastText's time as the line at 1."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    bars = [*training(), *reaching(), *predicting()]
    if not bars:
        print("skipped: no stored results to draw; run benchmarks/speed_train.py first")
        return
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "eitheror", "font.size": 10}
    mpl.rcParams |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color"), TEXT)
    mpl.rcParams |= dict.fromkeys(("ytick.color", "axes.edgecolor"), TEXT)
    figure, axes = plt.subplots(figsize=(8.4, 0.36 * len(bars) + 0.9), layout="constrained")
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
    axes.set_xlabel("time of eitheror as a share of fastText's: shorter is faster")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, transparent=True, metadata={"Date": None})
    print(f"{FIGURE.relative_to(FIGURE.parents[2])}: {len(bars)} bars")


if __name__ == "__main__":
    main()
