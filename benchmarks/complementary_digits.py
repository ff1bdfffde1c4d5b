"""One uniform complementary label a row (digits), and candidate sets (lost): `TorchClassifier`.

Digits: 1,400 rows to learn from, each known only not to be one wrong class drawn at random, 397 to
test; five draws of split and labels. The default model, the default without each of its
ingredients, and other losses. Lost: five folds as in partial_label.py. True labels make the
statements and score the result; no choice sees them. `choose` shows how the defaults came about:
held-out statements of training rows, on draws that the results do not use.

    python benchmarks/complementary_digits.py digits|lost|choose [--only NAME ...] [--out FILE]

Results: complementary_digits.json, torch_lost.json and torch_defaults.json in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eitheror as eo
from eitheror.torch import SkipMLP, TorchClassifier

LOST = Path(__file__).resolve().parents[2] / "shared" / "data" / "partial_label" / "lost.npz"


class SpreadOnly(SkipMLP):
    """Every column at spread 1, however little it varies."""

    def standardise(self, mean: Any, spread: Any) -> None:
        """Divide by the spread alone."""
        self.mean.copy_(torch.as_tensor(mean))
        self.scale.copy_(torch.as_tensor(spread))


class NoSkip(SkipMLP):
    """The hidden layer alone."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        self.skip.weight.requires_grad_(False)
        self.output.reset_parameters()


def bare(n_features: int, n_outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 256), torch.nn.ReLU(), torch.nn.Linear(256, n_outputs)
    )


def bare_pipeline(**options: Any) -> Any:
    model = TorchClassifier(bare, epochs=60, schedule="constant", mean_penalty=0.0, **options)
    return make_pipeline(StandardScaler(), model)


VARIANTS: dict[str, Callable[..., Any]] = {
    "default": TorchClassifier,
    "no penalty on the mean prediction": partial(TorchClassifier, mean_penalty=0.0),
    "no noise": partial(TorchClassifier, partial(SkipMLP, noise=0.0)),
    "no linear path": partial(TorchClassifier, NoSkip),
    "every column at spread 1": partial(TorchClassifier, SpreadOnly),
    "plain MLP-256, 60 epochs of Adam": bare_pipeline,
    "loss proden": partial(TorchClassifier, loss="proden"),
    "loss uniform": partial(TorchClassifier, loss="uniform"),
    "early stopping on 15 % of the rows": partial(TorchClassifier, patience=10, validation=0.15),
}


def complementary(y: np.ndarray, k: int, rng: np.random.Generator) -> eo.Labels:
    """Say of each row one class that it is not, every wrong one equally likely."""
    excluded = (y + rng.integers(1, k, len(y))) % k
    return eo.Labels([eo.not_(int(c)) for c in excluded], classes=range(k))


def measure_digits(make: Callable[..., Any], draws: range) -> dict[str, Any]:
    X, y = load_digits(return_X_y=True)
    accuracies, reported, lost = [], [], []
    start = time.perf_counter()
    for draw in draws:
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(y))
        train, test = order[:1400], order[1400:]
        labels = complementary(y[train], 10, rng)
        model = make(random_state=draw).fit(X[train], labels)
        accuracies.append(float((model.predict(X[test]) == y[test]).mean()))
        fitted = model[-1] if hasattr(model, "steps") else model
        reported.append(fitted.never_predicted_)
        lost.append(sorted(set(range(10)) - set(model.predict(X[test]).tolist())))
    return {
        "accuracy": round(float(np.mean(accuracies)), 4),
        "sd": round(float(np.std(accuracies)), 4),
        "worst": round(min(accuracies), 4),
        "draws": [round(a, 4) for a in accuracies],
        "never predicted, as reported": reported,
        "never predicted on test rows": lost,
        "seconds": round(time.perf_counter() - start, 1),
    }


def measure_lost(make: Callable[..., Any]) -> dict[str, Any]:
    data = np.load(LOST)
    X, y = data["X"], data["y"].astype(int)
    labels = eo.Labels.from_candidates(data["candidates"].astype(bool))
    rows = []
    start = time.perf_counter()
    for train, test in StratifiedKFold(5, shuffle=True, random_state=42).split(X, y):
        model = make(random_state=0).fit(X[train], labels[train])
        found = model.predict(X[test])
        rows.append([float((found == y[test]).mean()), model.score(X[test], labels[test])])
    accuracy = [row[0] for row in rows]
    return {
        "accuracy": round(float(np.mean(accuracy)), 4),
        "sd": round(float(np.std(accuracy)), 4),
        "covered": round(float(np.mean([row[1] for row in rows])), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }


def held_out(make: Callable[..., Any], draws: range) -> dict[str, float]:
    """Mean log loss of held-out statements: a fifth of the training rows, fresh draws."""
    found: dict[str, list[float]] = {"digits": [], "lost": []}
    X, y = load_digits(return_X_y=True)
    for draw in draws:
        rng = np.random.default_rng(1000 + draw)
        rows = np.random.default_rng(0).permutation(len(y))[:1400]
        labels = eo.Labels.concatenate([complementary(y[rows], 10, rng) for _ in range(5)])
        part = rng.permutation(1400)
        model = make(random_state=draw).fit(X[rows][part[280:]], labels[part[280:]])
        log_p = np.log(model.predict_proba(X[rows][part[:280]]).astype(float))
        watched = [labels[part[:280] + 1400 * i].to_targets() for i in range(5)]
        found["digits"] += [statement_loss(log_p, targets) for targets in watched]
    data = np.load(LOST)
    labels = eo.Labels.from_candidates(data["candidates"].astype(bool))
    for draw in draws:
        part = np.random.default_rng(1000 + draw).permutation(len(labels))
        model = make(random_state=draw).fit(data["X"][part[220:]], labels[part[220:]])
        log_p = np.log(model.predict_proba(data["X"][part[:220]]).astype(float))
        found["lost"].append(statement_loss(log_p, labels[part[:220]].to_targets()))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def statement_loss(log_p: np.ndarray, targets: np.ndarray) -> float:
    return float(eo.losses.partial_softmax_cross_entropy(log_p, targets).mean())


CHOICES: dict[str, Callable[..., Any]] = {
    "default": TorchClassifier,
    "noise 0": partial(TorchClassifier, partial(SkipMLP, noise=0.0)),
    "noise 1": partial(TorchClassifier, partial(SkipMLP, noise=1.0)),
    "mean_penalty 0": partial(TorchClassifier, mean_penalty=0.0),
    "mean_penalty 0.5": partial(TorchClassifier, mean_penalty=0.5),
    "half the epochs": partial(TorchClassifier, epochs=80),
    "every column at spread 1": partial(TorchClassifier, SpreadOnly),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("digits", "lost", "choose"))
    parser.add_argument("--only", nargs="*", help="some of the variants")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.what != "digits" and not LOST.is_file():
        sys.exit(f"the data are not there: {LOST}")
    torch.set_num_threads(1)
    runs: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
        "digits": (VARIANTS, partial(measure_digits, draws=range(args.draws))),
        "lost": ({"default": TorchClassifier}, measure_lost),
        "choose": (CHOICES, partial(held_out, draws=range(args.draws))),
    }
    variants, measure = runs[args.what]
    record: dict[str, Any] = {"results": {}}
    if args.out and args.out.exists():
        record = json.loads(args.out.read_text())
    record |= {
        "command": f"python benchmarks/complementary_digits.py {args.what} --draws {args.draws}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "true_labels": "used to make the statements (digits) and to score; for no choice",
    }
    for name, make in variants.items():
        if args.only and name not in args.only:
            continue
        record["results"][name] = measure(make)
        print(args.what, name, record["results"][name], flush=True)
        if args.out:
            args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
