"""Going on from a finished model: what is forgotten, what is learnt, beside training on everything.

Each data set is cut in three: rows of before, which name none of the new classes, further rows, and
a held-out quarter. A model of the rows of before goes on with the further rows, alone and with rows
of before mixed in (`replay=`: a sample of 1000 that was kept, or all there are); the last line of a
block is a fresh model of all rows. Two settings: the further rows hold old and new classes, or the
new ones alone. P@1 on held-out rows of old and of new classes, and the processor seconds that the
model took (the first one was there already).

- ag_news: 4 classes, one of them new, each in turn (medians)
- cooking: 735 tags, every fourth of the 40 most frequent is new
- goemotions: 28 tags, every seventh is new (20,000 rows)

The length of Adagrad's first steps was chosen on the first quarter of the shuffled rows, which is
left out of the held-out rows here: they are the last quarter.

    python benchmarks/continue.py                  # writes benchmarks/results/continue.json
    python benchmarks/continue.py --data ag_news    # a look at one of them, nothing stored
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _process import command_line

from eitheror.labels import Labels, tags
from eitheror.model import Model
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "continue.json"
Row = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Split:
    """Rows of before, further rows, and held-out rows without and with new classes."""

    before: list[Row]
    further: list[Row]
    held_old: list[Row]
    held_new: list[Row]


def ag_news() -> list[Row]:
    with gzip.open(DATA / "ag_news" / "ag_news.jsonl.gz", "rt", encoding="utf8") as lines:
        found = [json.loads(line) for line in lines]
    return [(row["text"], (f"c{row['label']}",)) for row in found]


def cooking() -> list[Row]:
    rows = []
    with gzip.open(DATA / "cooking" / "cooking.stackexchange.txt.gz", "rt") as lines:
        for line in lines:
            words = line.split()
            names = tuple(w.removeprefix("__label__") for w in words if w.startswith("__label__"))
            rows.append((" ".join(w for w in words if not w.startswith("__label__")), names))
    return rows


def goemotions() -> list[Row]:
    with gzip.open(DATA / "goemotions" / "train.tsv.gz", "rt", encoding="utf8") as lines:
        cells = [line.rstrip("\n").split("\t") for line in lines][:20_000]
    return [(text, tuple(f"e{k}" for k in names.split(","))) for text, names, _ in cells]


def new_classes(name: str, rows: list[Row]) -> list[set[str]]:
    """Return the sets of classes to keep for later, one a run."""
    often = [k for k, _ in Counter(n for _, names in rows for n in names).most_common()]
    if name == "ag_news":
        return [{k} for k in sorted(often)]
    return [set(often[1:40:4] if name == "cooking" else often[2::7])]


def split(rows: list[Row], new: set[str], alone: bool) -> Split:
    """Cut shuffled rows; with `alone`, further rows are those of new classes only."""
    first, last = len(rows) // 2, 3 * len(rows) // 4

    def has(row: Row) -> bool:
        return not new.isdisjoint(row[1])

    before, further = rows[:first], rows[first:last]
    if alone:
        further = [row for row in rows[:last] if has(row)]
        before = rows[:last]
    held = rows[last:]
    return Split(
        [row for row in before if not has(row)],
        further,
        [row for row in held if not has(row)],
        [row for row in held if has(row)],
    )


def labels(rows: list[Row], many: bool) -> Labels:
    if many:
        return Labels([tags(*names) for _, names in rows], task="multilabel")
    return Labels([names[0] for _, names in rows])


def texts(rows: list[Row]) -> list[str]:
    return [text for text, _ in rows]


def first_right(model: Model, rows: list[Row]) -> float:
    """Share of rows whose most probable class is one of theirs."""
    top = model.predict_proba(texts(rows)).argmax(axis=1).tolist()
    right = [model.classes[k] in names for k, (_, names) in zip(top, rows, strict=True)]
    return float(np.mean(right))


def measured(make: Callable[[], Model], cut: Split) -> dict[str, float]:
    start = time.process_time()
    model = make()
    seconds = time.process_time() - start
    return {
        "old": first_right(model, cut.held_old),
        "new": first_right(model, cut.held_new),
        "all": first_right(model, cut.held_old + cut.held_new),
        "seconds": seconds,
    }


def run(cut: Split, many: bool, options: TrainOptions) -> dict[str, dict[str, float]]:
    """Measure every way to get a model for one cut."""
    old = texts(cut.before), labels(cut.before, many)
    more = texts(cut.further), labels(cut.further, many)
    kept = texts(cut.before[:1000]), labels(cut.before[:1000], many)
    base = fit(*old, options)
    whole = cut.before + cut.further
    return {
        "before": measured(lambda: base, cut),
        "continued": measured(lambda: fit(*more, warm_start=base), cut),
        "continued, 1000 kept": measured(lambda: fit(*more, warm_start=base, replay=kept), cut),
        "continued, replay": measured(lambda: fit(*more, warm_start=base, replay=old), cut),
        "all rows anew": measured(lambda: fit(texts(whole), labels(whole, many), options), cut),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=["ag_news", "cooking", "goemotions"])
    given = parser.parse_args()
    if not DATA.is_dir():
        print("continue: ../shared/data is not there; skipped")
        return
    read = {"ag_news": ag_news, "cooking": cooking, "goemotions": goemotions}
    results: list[dict[str, Any]] = []
    fit(["warm", "up"], Labels(["a", "b"]), TrainOptions(epochs=1))
    for name in given.data:
        rows = read[name]()
        rows = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
        for features in ("tfidf", "embedding"):
            for alone in (False, True):
                options = TrainOptions(features=features, char_ngrams=(0, 0))
                runs = [
                    run(split(rows, new, alone), name != "ag_news", options)
                    for new in new_classes(name, rows)
                ]
                setting = "new classes alone" if alone else "old and new classes"
                print(f"{name}, {features}; further rows: {setting}")
                for way in runs[0]:
                    found = {k: statistics.median(r[way][k] for r in runs) for k in runs[0][way]}
                    line = f"old {found['old']:.3f}  new {found['new']:.3f}  all {found['all']:.3f}"
                    print(f"  {way:<22}{line}  {found['seconds']:.1f} s", flush=True)
                    results.append(
                        {"data": name, "features": features, "further": setting, "way": way}
                        | {k: round(v, 4) for k, v in found.items()}
                    )
    if len(given.data) < len(read):
        return
    RESULT.write_text(
        json.dumps(
            {
                "data": "ag_news, cooking, 20,000 rows of goemotions",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
                "command": command_line(),
                "load_average": os.getloadavg(),
                "results": results,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
