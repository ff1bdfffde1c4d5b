"""Fashion-MNIST with mixed statements: how much of all-exact accuracy a linear model keeps.

Draws one statement a row (exact, either of 3, not one, unknown) in two mixtures, and trains the
same linear model four ways: on the statements, on the uniform target over the candidates, on the
exact rows alone, and on all exact labels. Test images are looked at once each, for the accuracy.

    python benchmarks/mixed_statements.py [--rows 60000] [--seed 0] [--out FILE]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import eitheror as eo
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "fashion_mnist"
MIXTURES = {
    "10/30/50/10": (0.10, 0.30, 0.50, 0.10),
    "1/30/59/10": (0.01, 0.30, 0.59, 0.10),
}
N_CLASSES = 10


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.open(DATA / f"{name}-images-idx3-ubyte.gz").read()
    labels = gzip.open(DATA / f"{name}-labels-idx1-ubyte.gz").read()
    pixels = np.frombuffer(images, np.uint8)[16:].reshape(-1, 784).astype(np.float32)
    return pixels, np.frombuffer(labels, np.uint8)[8:].astype(int)


def statements(y: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator) -> eo.Labels:
    """One statement a row: exact, either of 3 (the truth and two others), not one, unknown."""
    kinds = rng.choice(4, size=len(y), p=shares)
    rows: list[Any] = []
    for truth, kind in zip(y.tolist(), kinds.tolist(), strict=True):
        wrong = rng.permutation([k for k in range(N_CLASSES) if k != truth]).tolist()
        rows.append([truth, eo.either(truth, *wrong[:2]), eo.not_(wrong[0]), None][kind])
    return eo.Labels(rows, classes=range(N_CLASSES))


def score(X: Any, labels: eo.Labels, test: Any, loss: str, n_jobs: int) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    model = fit(X, labels, TrainOptions(loss=loss), n_jobs=n_jobs)
    accuracy = float((model.predict_proba(test[0]).argmax(axis=1) == test[1]).mean())
    return {
        "accuracy": round(accuracy, 4),
        "l2": round(model.options["l2"], 6),
        "iterations": model.options["iterations"],
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the data are not there: {DATA}")
    X, y = read("train")
    X, y = X[: args.rows], y[: args.rows]
    test = read("t10k")
    results: dict[str, Any] = {
        "all exact": score(X, eo.Labels(y.tolist()), test, "softmax", args.jobs)
    }
    print("all exact", results["all exact"], flush=True)
    for name, shares in MIXTURES.items():
        labels = statements(y, shares, np.random.default_rng(args.seed))
        exact = np.flatnonzero(labels.exact_index() >= 0)
        runs = {
            "statements": (X, labels, "softmax"),
            "uniform target": (X, labels, "uniform"),
            "exact rows only": (X[exact], labels[exact], "softmax"),
        }
        for how, (features, given, loss) in runs.items():
            results[f"{name} {how}"] = score(features, given, test, loss, args.jobs)
            print(name, how, results[f"{name} {how}"], flush=True)
    record = {
        "command": "python benchmarks/mixed_statements.py "
        f"--rows {args.rows} --seed {args.seed} --jobs {args.jobs}",
        "data": "fashion_mnist, train -> test (10,000)",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "results": results,
    }
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
