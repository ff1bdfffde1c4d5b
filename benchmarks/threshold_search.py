"""Seconds to find one exact cut for a million scores, and a cut for each of 100 classes.

The scores are made up (uniform, the truth drawn from their squares, seed 0): the search sorts them,
so only their number matters. Each time is the best of three.

    python benchmarks/threshold_search.py    # writes benchmarks/results/threshold_search.json
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from eitheror.decide import METRICS, TunedThreshold

RESULT = Path(__file__).parent / "results" / "threshold_search.json"
ROWS, CLASSES, REPEATS = 10_000, 100, 3


def main() -> None:
    rng = np.random.default_rng(0)
    proba = rng.random((ROWS, CLASSES))
    truth = rng.random((ROWS, CLASSES)) < proba**2
    seconds = {}
    for per_class in (False, True):
        for metric in METRICS:
            if per_class and metric.endswith(("samples", "accuracy")):
                continue
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                TunedThreshold(metric, per_class=per_class).fit(truth, proba)
                times.append(time.perf_counter() - start)
            seconds[f"{metric}{', a cut per class' if per_class else ''}"] = round(min(times), 2)
            print(f"{min(times):6.2f} s  {metric} {'per class' if per_class else ''}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    found = {"rows": ROWS, "classes": CLASSES, "machine": machine, "seconds": seconds}
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
