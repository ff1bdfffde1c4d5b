"""Real candidate sets (lost, fgnet, italian): models trained on candidates only, side by side.

Folds as published: StratifiedKFold(shuffle, seed 42) on the true classes (plain folds where a class
is too rare). That is the only use of true labels before scoring: penalties, rounds of EM and what
"auto" keeps are chosen by the likelihood of candidate sets inside each training part. Every model
has its defaults.

- linear, network, trees: the members of `PartialLabelClassifier("auto")`, that is
  `LinearClassifier()`, `TorchClassifier()` and a random forest by EM; "auto" is what it kept. It
  hands the linear model double precision, which deals other folds than single precision does:
  on lost in five folds .754 in place of .759.
- uniform target: linear and trees told that each candidate is as true as the others.
- true classes: the same models told the truth, a ceiling.

    python benchmarks/partial_label.py lost --folds 5 --out FILE [--resume]

Results are written after each fold; --resume goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold, StratifiedKFold

import eitheror as eo
from eitheror.sklearn import LinearClassifier, PartialLabelClassifier
from eitheror.torch import TorchClassifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "partial_label"
Fold = dict[str, dict[str, Any]]


def folds(y: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified where every class has a row for each fold, else plain shuffled folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = np.bincount(y)
        stratified = counts[counts > 0].min() >= n_folds
        splitter = (StratifiedKFold if stratified else KFold)(
            n_folds, shuffle=True, random_state=42
        )
        return list(splitter.split(np.zeros((len(y), 1)), y))


def forest() -> PartialLabelClassifier:
    """Return the forest that "auto" tries; exact labels and shares make it fit once, without EM."""
    return PartialLabelClassifier(RandomForestClassifier(100, min_samples_leaf=2))


def measure_fold(
    X: np.ndarray, candidates: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Fold:
    k = candidates.shape[1]
    scores: Fold = {}

    def add(name: str, predict: Callable[[], np.ndarray]) -> None:
        start = time.perf_counter()
        found = predict().argmax(axis=1)
        scores[name] = {
            "accuracy": float((found == y[test]).mean()),
            "covered": float(candidates[test, found].mean()),
            "mean_absolute_error": float(np.abs(found - y[test]).mean()),
            "seconds": time.perf_counter() - start,
        }

    sets = eo.Labels.from_candidates(candidates[train])
    auto = PartialLabelClassifier("auto")
    add("auto", lambda: auto.fit(X[train], sets).predict_proba(X[test]))
    scores["auto"]["kept"] = auto.best_
    scores["auto"]["scores"] = auto.scores_
    for name, member in auto.members_.items():
        add(name, partial(member.predict_proba, X[test].astype(float), k))
        scores[name]["seconds"] = None  # part of auto's
    shares = candidates[train] / candidates[train].sum(axis=1, keepdims=True)
    uniform = eo.Labels.from_proba(shares)
    exact = eo.Labels(y[train].tolist(), classes=range(k))
    linear = LinearClassifier(loss="softmax")
    network = TorchClassifier()
    single = X.astype(np.float32)
    for name, labels in (("uniform target", uniform), ("true classes", exact)):
        add(f"{name}, linear", partial(fit_predict, linear, X, labels, train, test))
        add(f"{name}, trees", partial(fit_predict, forest(), X, labels, train, test))
    add("true classes, network", partial(fit_predict, network, single, exact, train, test))
    return scores


def fit_predict(
    model: Any, X: np.ndarray, labels: eo.Labels, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Fit on the training rows, which `labels` describe, and predict the others."""
    return np.asarray(model.fit(X[train], labels).predict_proba(X[test]))


def summary(done: list[Fold]) -> dict[str, dict[str, float]]:
    """Means over the folds, and the spread of the accuracy."""
    found = {}
    for name in done[0]:
        rows = [fold[name] for fold in done]
        keys = ("accuracy", "covered", "mean_absolute_error")
        found[name] = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in keys}
        found[name]["sd"] = round(float(np.std([row["accuracy"] for row in rows])), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("lost", "fgnet", "italian"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="measure the first folds only")
    parser.add_argument("--rows", type=int, help="a random sample of so many rows (seed 0)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the data are not there: {DATA}")
    data = np.load(DATA / f"{args.name}.npz")
    X, candidates, y = data["X"], data["candidates"].astype(bool), data["y"].astype(int)
    if args.rows:
        rows = np.random.default_rng(0).permutation(len(y))[: args.rows]
        X, candidates, y = X[rows], candidates[rows], y[rows]
    done: list[Fold] = []
    if args.resume and args.out and args.out.exists():
        done = json.loads(args.out.read_text())["folds"]
    splits = folds(y, args.folds)[: args.only]
    for train, test in splits[len(done) :]:
        done.append(measure_fold(X, candidates, y, train, test))
        found = {name: round(row["accuracy"], 3) for name, row in done[-1].items()}
        print(len(done), "of", len(splits), done[-1]["auto"]["kept"], found, flush=True)
        if args.out:
            args.out.write_text(json.dumps(record(args, X, len(splits), done), indent=1) + "\n")


def record(args: Any, X: np.ndarray, n_splits: int, done: list[Fold]) -> dict[str, Any]:
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return {
        "command": "python benchmarks/partial_label.py " + " ".join(words),
        "data": f"partial_label/{args.name}: {X.shape[0]} rows x {X.shape[1]}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "true_labels": "used to build the folds and to score; for no choice",
        "folds_done": f"{len(done)} of {n_splits} (of {args.folds})",
        "results": summary(done),
        "folds": done,
    }


if __name__ == "__main__":
    main()
