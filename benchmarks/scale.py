"""How the cost of training and predicting grows: with the rows, the classes, the features a row.

One of the three grows by steps of 2 while the other two stay; made-up texts of words drawn with
Zipf frequencies, every class with words of its own. The exponent is the slope of log(time) against
log(size), by least squares over all sizes: 1 is "twice as many, twice the time". Time is processor
time inside the process, on one thread, kernels compiled beforehand; the smallest of the repeats,
since other work can only add to it. Peak memory is not looked at here; out_of_core.py does that.

    python benchmarks/scale.py              # stores benchmarks/results/scale.json
    python benchmarks/scale.py --quick       # small sizes, nothing stored
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from _process import command_line
from threadpoolctl import threadpool_limits

from eitheror.labels import Labels
from eitheror.training import TrainOptions, fit

RESULT = Path(__file__).parent / "results" / "scale.json"
SIZES = {
    "rows": (12_500, 25_000, 50_000, 100_000, 200_000),
    "classes": (8, 16, 32, 64, 128, 256),
    "words": (10, 20, 40, 80, 160),
}
STANDARD = {"rows": 20_000, "classes": 10, "words": 30}
VOCABULARY = 50_000
KINDS = {
    "embedding": TrainOptions(features="embedding", dim=10, epochs=2, optimizer="sgd", lr=0.5),
    "tfidf": TrainOptions(features="tfidf", char_ngrams=(0, 0), word_ngrams=1, epochs=2),
}


def made_up(rows: int, classes: int, words: int, seed: int = 0) -> tuple[list[str], Labels]:
    """Texts whose every fifth word is one of their class's ten, and their labels."""
    draw = np.random.default_rng(seed)
    share = 1 / np.arange(1, VOCABULARY + 1)
    numbers = draw.choice(VOCABULARY, (rows, words), p=share / share.sum())
    label = draw.integers(classes, size=rows)
    own = VOCABULARY + 10 * label[:, None] + draw.integers(10, size=(rows, words))
    numbers = np.where(draw.random((rows, words)) < 0.2, own, numbers)
    texts = [" ".join(map(str, row)) for row in numbers.tolist()]
    names = [f"class {number}" for number in range(classes)]
    return texts, Labels([names[number] for number in label], classes=names)


def timed(options: TrainOptions, size: dict[str, int], repeats: int) -> tuple[float, float]:
    """Return the least processor time of a fit and of a prediction of the same rows."""
    texts, labels = made_up(**size)
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        model = fit(texts, labels, options)
        middle = time.process_time()
        model.predict(texts)
        spent.append((middle - start, time.process_time() - middle))
    return min(one for one, _ in spent), min(two for _, two in spent)


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Slope of log(seconds) against log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Measure every kind of model along every axis, print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    quick = (options := parser.parse_args()).quick
    results: dict[str, dict[str, object]] = {}
    for kind, training in KINDS.items():
        timed(training, STANDARD | {"rows": 2000}, 1)
        for axis, sizes in SIZES.items():
            sizes = sizes[:3] if quick else sizes
            with threadpool_limits(1):
                found = [timed(training, STANDARD | {axis: n}, options.repeats) for n in sizes]
            fits, predictions = ([one[place] for one in found] for place in (0, 1))
            row = {
                "sizes": sizes,
                "fit": [round(seconds, 4) for seconds in fits],
                "predict": [round(seconds, 4) for seconds in predictions],
                "fit_exponent": round(exponent(sizes, fits), 3),
                "predict_exponent": round(exponent(sizes, predictions), 3),
            }
            results[f"{kind}, {axis}"] = row
            print(
                f"{kind:9} {axis:7} {sizes[0]:6} to {sizes[-1]:6}: fit {fits[0]:6.3f} to "
                f"{fits[-1]:6.3f} s, exponent {row['fit_exponent']:5.2f}; predict "
                f"{predictions[0]:6.3f} to {predictions[-1]:6.3f} s, exponent "
                f"{row['predict_exponent']:5.2f}",
                flush=True,
            )
    if not quick:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"made-up texts; {STANDARD} unless the axis says otherwise",
            "repeats": options.repeats,
            "load": os.getloadavg()[0],
            "results": results,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
