"""Real candidate sets (lost, fgnet, italian): a linear model trained on candidates only.

Folds as published: StratifiedKFold(shuffle, seed 42) on the true classes. That is the only use of
the true labels before scoring: the penalty is chosen by the likelihood of held-out candidate sets
inside each training part. Three objectives side by side: the set likelihood, the uniform target
over the candidates, and (a ceiling) the true classes.

    python benchmarks/partial_label.py lost --folds 5 [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

import eitheror as eo
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "partial_label"


def folds(y: np.ndarray, n_folds: int) -> Any:
    """Stratified where every class has a row for each fold, else plain shuffled folds."""
    counts = np.bincount(y)
    stratified = counts[counts > 0].min() >= n_folds
    splitter = (StratifiedKFold if stratified else KFold)(n_folds, shuffle=True, random_state=42)
    return splitter.split(np.zeros((len(y), 1)), y)


def measure(X: Any, candidates: np.ndarray, y: np.ndarray, args: Any, how: str) -> dict[str, Any]:
    labels = eo.Labels.from_candidates(candidates)
    loss = "softmax"
    if how == "true classes":
        labels = eo.Labels(y.tolist(), classes=range(candidates.shape[1]))
    elif how == "uniform target":
        loss = "uniform"
    rows = []
    start = time.perf_counter()
    for train, test in list(folds(y, args.folds))[: args.only]:
        model = fit(X[train], labels[train], TrainOptions(loss=loss))
        found = model.predict_proba(X[test]).argmax(axis=1)
        rows.append(
            {
                "accuracy": float((found == y[test]).mean()),
                "covered": float(candidates[test, found].mean()),
                "mean_absolute_error": float(np.abs(found - y[test]).mean()),
                "l2": model.options["l2"],
            }
        )
    summary = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}
    summary["sd"] = round(float(np.std([row["accuracy"] for row in rows])), 4)
    summary["seconds"] = round(time.perf_counter() - start, 1)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("lost", "fgnet", "italian"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="measure the first folds only")
    parser.add_argument("--rows", type=int, help="a random sample of so many rows (seed 0)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the data are not there: {DATA}")
    data = np.load(DATA / f"{args.name}.npz")
    X, candidates, y = data["X"], data["candidates"].astype(bool), data["y"].astype(int)
    if args.rows:
        rows = np.random.default_rng(0).permutation(len(y))[: args.rows]
        X, candidates, y = X[rows], candidates[rows], y[rows]
    results = {}
    for how in ("set likelihood", "uniform target", "true classes"):
        results[how] = measure(X, candidates, y, args, how)
        print(args.name, args.folds, "folds,", how, results[how], flush=True)
    record = {
        "command": "python benchmarks/partial_label.py " + " ".join(sys.argv[1:]),
        "data": f"partial_label/{args.name}: {X.shape[0]} rows x {X.shape[1]}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "true_labels": "used to build the folds and to score; for no choice",
        "results": results,
    }
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
