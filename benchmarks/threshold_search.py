"""Seconds to find one exact cut for a million scores, and a cut for each of 100 classes.

The scores are made up (uniform, the truth drawn from their squares, seed 0): the search sorts them,
so only their number matters. For comparison, scikit-learn's `precision_recall_curve` on the same
entries, from which the best micro-F1 can be read off. Everything runs on one thread and in turn,
round by round. `seconds` are those of the processor, `wall` those of the clock, which on a shared
machine also count waiting; both are medians.

`optimism`: how much the score on the tuning rows flatters. Calibrated scores, p ~ Beta(1/2, 2), the
truth drawn from them; the cut tuned for micro-Jaccard on n entries, and what it is worth on the
whole law (a fine grid of its quantiles). Means over 2,000 draws, 200 for n = 10,000.

    python benchmarks/threshold_search.py [--rounds 9]   # writes results/threshold_search.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import precision_recall_curve

from eitheror.decide import METRICS, TunedThreshold

RESULT = Path(__file__).parent / "results" / "threshold_search.json"
ROWS, CLASSES = 10_000, 100


def contestants(truth: np.ndarray, proba: np.ndarray) -> dict[str, Callable[[], float]]:
    """Return name -> what to time; each returns the score of the cut on the file."""

    def ours(metric: str, per_class: bool, scores: np.ndarray) -> Callable[[], float]:
        return lambda: TunedThreshold(metric, per_class=per_class).fit(truth, scores).score_

    def curve() -> float:
        precision, recall, _ = precision_recall_curve(truth.ravel(), proba.ravel())
        return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)))

    found = {metric: ours(metric, False, proba) for metric in METRICS}
    found["f1_micro, float32 scores"] = ours("f1_micro", False, proba.astype(np.float32))
    for metric in METRICS:
        if metric.endswith(("micro", "macro")):
            found[f"{metric}, a cut per class"] = ours(metric, True, proba)
    return {**found, "scikit-learn precision_recall_curve": curve}


def optimism() -> dict[str, dict[str, float]]:
    """Return, by number of entries, the mean score reported on them and the mean true score."""
    rng = np.random.default_rng(0)
    law = np.sort(rng.beta(0.5, 2, 1_000_000))
    above = np.append(np.cumsum(law[::-1])[::-1], 0.0)  # expected hits of each cut

    def true_score(cut: float) -> float:
        first = int(np.searchsorted(law, cut))
        return float(above[first] / (above[0] + len(law) - first - above[first]))

    table = {}
    for n, draws in ((30, 2000), (100, 2000), (300, 2000), (1000, 2000), (10_000, 200)):
        pairs = []
        for _ in range(draws):
            proba = rng.beta(0.5, 2, (n, 1))
            rule = TunedThreshold("jaccard_micro").fit(rng.random((n, 1)) < proba, proba)
            pairs.append((rule.score_, true_score(rule.threshold_)))
        reported, true = np.mean(pairs, axis=0)
        table[str(n)] = {"reported": round(float(reported), 3), "true": round(float(true), 3)}
    everything = len(law) + above[0] - above[:-1] - np.arange(len(law))
    table["best possible"] = {"true": round(float((above[:-1] / everything).max()), 4)}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    proba = rng.random((ROWS, CLASSES))
    truth = rng.random((ROWS, CLASSES)) < proba**2
    runs = contestants(truth, proba)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    scores = {}
    for _ in range(rounds):
        for name, run in runs.items():
            start, wall = time.thread_time(), time.perf_counter()
            scores[name] = run()
            times[name].append((time.thread_time() - start, time.perf_counter() - wall))
    table = {
        name: {
            "seconds": round(statistics.median(cpu for cpu, _ in pairs), 3),
            "wall": round(statistics.median(wall for _, wall in pairs), 3),
            "score_on_file": round(scores[name], 6),
        }
        for name, pairs in times.items()
    }
    found = {
        "command": "python benchmarks/threshold_search.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work, one used",
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "data": f"{ROWS:,} rows x {CLASSES} classes of made-up scores",
        "rounds": rounds,
        "medians": table,
        "optimism": optimism(),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    for name, row in table.items():
        print(f"{row['seconds']:7.3f} s  {row['wall']:7.3f} s wall  {name}")
    print(json.dumps(found["optimism"], indent=1))


if __name__ == "__main__":
    main()
