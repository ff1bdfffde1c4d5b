"""Methods beside the plain likelihood: where each helps and where it does not.

Every row of a table sees the same statements, drawn by `eitheror.noise`; true classes serve to draw
them and to score. Penalties of the linear models are chosen by held-out statements under the
method's own loss. Parts:

    complementary   digits, one wrong class a row, uniform
    biased          digits, one wrong class a row, drawn by a biased matrix; 50 rows exact
    flips           digits, wrong exact labels
    missed          digits, candidate sets that miss the truth
    lost            real candidate sets, five folds

    python benchmarks/methods.py PART [--draws 3] [--network] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

import eitheror as eo
from eitheror import noise
from eitheror.sklearn import LinearClassifier, out_of_fold_proba

LOST = Path(__file__).resolve().parents[2] / "shared" / "data" / "partial_label" / "lost.npz"
K = 10
EXACT_ROWS = 50
PENALTIES = (0.003, 0.01, 0.03)
BIASES = {"weak": (0.45, 0.30, 0.25), "strong": (0.75, 0.24, 0.01)}
ROBUST = {"set-MAE": "set-mae", "generalised CE": "gce"}
PLAIN = {
    "likelihood": "softmax",
    "uniform target": "uniform",
    **ROBUST,
    "SCL-EXP": "scl-exp",
    "order-preserving": "op",
}
NETWORK = {"moving weights (PRODEN)": "proden", **PLAIN, "random pick": "random-pick"}


class Data(NamedTuple):
    """Rows to learn from and to score on."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


Method = Callable[[Data, eo.Labels], Any]


def digits(draw: int) -> Data:
    """1,400 rows to learn from and 397 to score on, another split each draw."""
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(draw).permutation(len(y))
    a, b = rows[:1400], rows[1400:]
    return Data(X[a], y[a], X[b], y[b])


def fitted(X: Any, labels: eo.Labels, loss: str = "softmax") -> LinearClassifier:
    """Fit a linear model with the penalty under which held-out statements cost least."""
    out = np.random.default_rng(0).random(len(X)) < 0.2
    targets, cost = labels[out].to_targets(), {}
    for l2 in PENALTIES:
        model = LinearClassifier(loss=loss, l2=l2).fit(X[~out], labels[~out])
        logits = model.decision_function(X[out]).astype(float)
        cost[l2] = eo.losses.LOSSES[loss].value(logits, targets).mean()
    return LinearClassifier(loss=loss, l2=min(cost, key=cost.__getitem__)).fit(X, labels)


def linear(loss: str = "softmax") -> Method:
    """Return a linear model trained on the statements as they are."""
    return lambda data, labels: fitted(data.X, labels, loss)


def network(loss: str) -> Method:
    """Return the default network trained on the statements as they are."""
    from eitheror.torch import TorchClassifier

    return lambda data, labels: TorchClassifier(loss=loss).fit(data.X, labels)


def through(transition: Any, kind: str) -> Method:
    """Forward correction with a known matrix."""

    def method(data: Data, labels: eo.Labels) -> Any:
        return linear()(data, noise.apply_transition(labels, transition, kind=kind))

    return method


def estimated(kind: str, rounds: int = 2) -> Method:
    """Forward correction with a matrix estimated from the same statements.

    The first round looks at the exact rows (kind "not"), or at a model of the written labels; the
    later ones at out-of-fold probabilities of the model of the round before.
    """

    def method(data: Data, labels: eo.Labels) -> Any:
        if kind == "not":
            exact = labels.exact_index()
            truth = eo.Labels([k if k >= 0 else None for k in exact.tolist()], classes=range(K))
            first = LinearClassifier(l2=0.01).fit(data.X, truth).predict_proba(data.X)
            found = noise.estimate_transition(labels, first, truth=truth, kind="not")
            known: dict[str, Any] = {"truth": truth, "kind": "not"}
        else:
            first = out_of_fold_proba(LinearClassifier(l2=0.01), data.X, labels)
            found = noise.estimate_transition(labels, first, method="confident")
            known = {}
        for _ in range(rounds - 1):
            weights = noise.apply_transition(labels, found, kind=kind)
            proba = out_of_fold_proba(LinearClassifier(l2=0.01), data.X, weights)
            found = noise.estimate_transition(labels, proba, **known)
        return linear()(data, noise.apply_transition(labels, found, kind=kind))

    return method


def trusted(error: float) -> Method:
    """Return the likelihood with the trust that a known share of wrong statements leaves."""

    def method(data: Data, labels: eo.Labels) -> Any:
        new = []
        for label in labels:
            size = len(label.named)
            likely = size < K * (1 - error)  # else the set says nothing, or the opposite
            trust = noise.trust_from_error_rate(error, K, size) if likely else 0.0
            if trust > 0:
                new.append((eo.exact if size == 1 else eo.either)(*label.named, trust=trust))
            else:
                new.append(eo.unknown)
        return linear()(data, eo.Labels(new, classes=labels.classes))

    return method


def exact_rows_only(data: Data, labels: eo.Labels) -> Any:
    """Drop every row but the exact ones."""
    rows = np.flatnonzero(labels.exact_index() >= 0)
    return fitted(data.X[rows], labels[rows])


def true_classes(data: Data, labels: eo.Labels) -> Any:
    """Return the ceiling: every true class known."""
    return fitted(data.X, eo.Labels(data.y.tolist(), classes=labels.classes))


Case = tuple[Data, eo.Labels, dict[str, Method]]


def complementary(args: Any) -> Iterator[tuple[str, Case]]:
    """Uniform complementary labels: the likelihood is right, the others are approximations."""
    methods = {
        name: (network if args.network else linear)(loss)
        for name, loss in (NETWORK if args.network else PLAIN).items()
    }
    if not args.network:
        methods["(true classes)"] = true_classes
    for draw in range(args.draws):
        data = digits(draw)
        yield "uniform", (data, noise.corrupt_complementary(data.y, K, random_state=draw), methods)


def biased(args: Any) -> Iterator[tuple[str, Case]]:
    """Biased complementary labels with 50 exact rows: the channel counts."""
    for name, bias in BIASES.items():
        for draw in range(args.draws):
            data = digits(draw)
            T = noise.complementary_transition(K, bias, random_state=draw)
            labels = noise.corrupt_complementary(data.y, K, transition=T, random_state=draw)
            exact = eo.Labels(data.y[:EXACT_ROWS].tolist(), classes=range(K))
            labels = eo.Labels.concatenate([exact, labels[EXACT_ROWS:]])
            yield (
                name,
                (
                    data,
                    labels,
                    {
                        "exact rows only": exact_rows_only,
                        "likelihood": linear(),
                        "generalised CE": linear("gce"),
                        "forward, known T": through(T, "not"),
                        "forward, estimated T": estimated("not"),
                    },
                ),
            )


def flips(args: Any) -> Iterator[tuple[str, Case]]:
    """Wrong exact labels, .3 to all classes alike or .4 to the next class."""
    for name, T in {
        ".3 to any class": noise.flip_transition(K, 0.3),
        ".4 to the next class": noise.flip_transition(K, 0.4, pair=True),
    }.items():
        error = 1 - T[0, 0]
        for draw in range(args.draws):
            data = digits(draw)
            labels = noise.corrupt_flip(data.y, K, transition=T, random_state=draw)
            yield (
                name,
                (
                    data,
                    labels,
                    {
                        "likelihood": linear(),
                        **{name: linear(loss) for name, loss in ROBUST.items()},
                        "trust, known rate": trusted(error),
                        "forward, known T": through(T, "written"),
                        "forward, estimated T": estimated("written"),
                    },
                ),
            )


def missed(args: Any) -> Iterator[tuple[str, Case]]:
    """Draw sets (each wrong class with probability .3) that miss the truth in some rows."""
    for miss in (0.1, 0.2):
        for draw in range(args.draws):
            data = digits(draw)
            labels = noise.corrupt_sets(data.y, K, rate=0.3, miss=miss, random_state=draw)
            yield (
                f"truth outside: {miss}",
                (
                    data,
                    labels,
                    {
                        "likelihood": linear(),
                        "uniform target": linear("uniform"),
                        **{name: linear(loss) for name, loss in ROBUST.items()},
                        "trust, known rate": trusted(miss),
                    },
                ),
            )


def lost(args: Any) -> Iterator[tuple[str, Case]]:
    """Real candidate sets; the truth is in each of them."""
    if not LOST.exists():
        sys.exit(f"the data are not there: {LOST}")
    stored = np.load(LOST)
    X, y, candidates = stored["X"], stored["y"].astype(int), stored["candidates"].astype(bool)
    labels = eo.Labels.from_candidates(candidates)
    folds = StratifiedKFold(5, shuffle=True, random_state=42)
    present = np.bincount(y, minlength=candidates.shape[1])
    rows = np.flatnonzero(present[y] >= 5)
    methods = {name: linear(loss) for name, loss in PLAIN.items()}
    for train, test in folds.split(rows, y[rows]):
        data = Data(X[rows[train]], y[rows[train]], X[rows[test]], y[rows[test]])
        yield "lost", (data, labels[rows[train]], methods)


PARTS = {f.__name__: f for f in (complementary, biased, flips, missed, lost)}


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, lowest and standard deviation of the accuracies of some runs."""
    return {
        "accuracy": round(float(np.mean(values)), 4),
        "lowest": round(min(values), 4),
        "sd": round(float(np.std(values)), 4),
        "runs": len(values),
    }


def run(part: str, args: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the test accuracy of each method in each setting, once more after each run."""
    found: dict[str, dict[str, list[float]]] = {}
    for setting, (data, labels, methods) in PARTS[part](args):
        for name, method in methods.items():
            start = time.perf_counter()
            model = method(data, labels)
            accuracy = float((model.predict(data.X_test) == data.y_test).mean())
            found.setdefault(setting, {}).setdefault(name, []).append(accuracy)
            seconds = time.perf_counter() - start
            print(f"{setting:20} {name:25} {accuracy:.4f} {seconds:5.1f} s", flush=True)
            yield {
                setting: {name: summary(values) for name, values in rows.items()}
                for setting, rows in found.items()
            }


def main() -> None:
    """Run one part and store what it finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--network", action="store_true", help="the default network of torch")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    record: dict[str, Any] = {
        "command": "python benchmarks/methods.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "true_labels": "used to draw the statements and to score; for no choice",
    }
    for record["results"] in run(args.part, args):
        if args.out:
            args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["results"], indent=1))


if __name__ == "__main__":
    main()
