"""Question 1: rows that only say what the class is not, and what to train on instead of a class.

Options: the statement's own likelihood; the uniform target over what is left; one sigmoid a class
with "possible" as 1; the product of these sigmoids and a softmax trained on the exact rows alone;
dropping the rows that are not exact; and, as a ceiling, the true classes of all rows.

Fashion-MNIST, 3,000 training images a seed, a linear model and a small network, two ways in which
rows come to be partial; and people's own answers about CIFAR-10 images.

    python benchmarks/questions/q1_known_not.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import matplotlib as mpl
import numpy as np
from common import (
    DATA,
    cifar_images,
    fashion,
    jsonl,
    patch_features,
    publish,
    save,
    spread,
    stored,
    table,
)
from common import style as line_style

import eitheror as eo
from eitheror.losses import LOSSES

OPTIONS = (
    "statements",
    "uniform target",
    "multi-label recoding",
    "product p*q",
    "drop the partial rows",
)
CEILING = "ceiling: true labels of all rows"
ROWS = 3_000
SHARES = (0.02, 0.1, 0.5)
PEOPLE_SHARES = (0.1, 0.25, 0.5)
STEPS = 600
K = 10
# What people mix up on sight; rows of the second mechanism name a whole group.
GROUPS = ((0, 6, 3), (2, 4), (5, 7, 9), (1,), (8,))


def ruled_out_at_random(y: np.ndarray, rng: np.random.Generator) -> list[Any]:
    """Rule out 1 to 8 of the nine wrong classes, any of them alike."""
    return [
        eo.not_(*rng.permutation([k for k in range(K) if k != t])[: rng.integers(1, 9)].tolist())
        for t in y.tolist()
    ]


def look_alikes_left(y: np.ndarray, rng: np.random.Generator) -> list[Any]:
    """Rule out everything but the group of look-alikes that the truth belongs to."""
    group = {k: members for members in GROUPS for k in members}
    return [eo.not_(*[k for k in range(K) if k not in group[t]]) for t in y.tolist()]


MECHANISMS = {"random classes": ruled_out_at_random, "all but look-alikes": look_alikes_left}


class Linear:
    """The library's linear model; the penalty is chosen on held-out statements."""

    def __init__(self, X: np.ndarray, test: np.ndarray, seed: int) -> None:
        self.X, self.test = X, test

    def proba(self, labels: eo.Labels, rows: np.ndarray, loss: str) -> np.ndarray:
        """Train on some of the rows; return the probabilities of the test rows."""
        task = LOSSES[loss].task
        y = labels.candidates()[rows] if task == "multilabel" else labels[rows]
        model = eo.LinearClassifier(loss=loss, task=task, classes=labels.classes)
        return model.fit(self.X[rows], y).predict_proba(self.test)


class Network:
    """One hidden layer of 128 units, Adam, a fixed number of steps for every option."""

    def __init__(self, X: np.ndarray, test: np.ndarray, seed: int) -> None:
        import torch

        self.torch, self.seed = torch, seed
        mean, scale = X.mean(axis=0), X.std() + 1e-6
        self.X = torch.tensor((X - mean) / scale)
        self.test = torch.tensor((test - mean) / scale)

    def proba(self, labels: eo.Labels, rows: np.ndarray, loss: str) -> np.ndarray:
        """Train on some of the rows; return the probabilities of the test rows."""
        torch, chosen = self.torch, LOSSES[loss]
        torch.manual_seed(self.seed)
        multilabel = chosen.task == "multilabel"
        known = labels.candidates().astype(np.float32) if multilabel else labels.to_targets()
        targets = torch.tensor(known, dtype=torch.float32)
        net = torch.nn.Sequential(
            torch.nn.Linear(self.X.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, K)
        )
        optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
        for _ in range(STEPS):
            batch = torch.tensor(rows)[torch.randint(len(rows), (128,))]
            logits = net(self.X[batch])
            gradient = chosen.gradient(logits.detach(), targets[batch])
            optimiser.zero_grad()
            logits.backward(gradient / len(batch))
            optimiser.step()
        with torch.no_grad():
            logits = net(self.test)
        link = torch.sigmoid if multilabel else lambda z: torch.softmax(z, dim=1)
        return link(logits).numpy()


def options(model: Any, labels: eo.Labels) -> dict[str, np.ndarray]:
    """Scores of the test rows under every option."""
    every = np.arange(len(labels))
    exact = np.flatnonzero(labels.candidates().sum(axis=1) == 1)  # named, or all but one ruled out
    p = model.proba(labels, every, "ova")
    q = model.proba(labels, exact, "softmax")
    return {
        "statements": model.proba(labels, every, "softmax"),
        "uniform target": model.proba(labels, every, "uniform"),
        "multi-label recoding": p,
        "product p*q": p * q,
        "drop the partial rows": q,
    }


def ceiling(model: Any, truth: list[int]) -> np.ndarray:
    """Scores of the test rows where every row has its true label."""
    return model.proba(eo.Labels(truth, classes=range(K)), np.arange(len(truth)), "softmax")


def run(given: dict[str, Any], seeds: int, models: dict[str, Any]) -> dict[str, list[float]]:
    """Test accuracies by option, one a seed; key: model | mechanism | share exact | option."""
    found: dict[str, list[float]] = {}
    best: dict[tuple[str, int], np.ndarray] = {}  # the same images under every mechanism
    for seed in range(seeds):
        for where, data in given.items():
            X, labels, truth, test, y_test = data(np.random.default_rng(seed))
            for kind, build in models.items():
                model = build(X, test, seed)
                if (kind, seed) not in best:
                    best[kind, seed] = ceiling(model, truth)
                outcomes = {**options(model, labels), CEILING: best[kind, seed]}
                for option, scores in outcomes.items():
                    accuracy = float((scores.argmax(axis=1) == y_test).mean())
                    found.setdefault(f"{kind} | {where} | {option}", []).append(round(accuracy, 4))
            print(seed, where, flush=True)
    return found


def made_up() -> dict[str, Any]:
    """Fashion-MNIST with made-up partial rows, for each mechanism and share of exact rows."""
    (X, y), (test, y_test) = fashion("train"), fashion("t10k")

    def draw(mechanism: Any, share: float) -> Any:
        def data(rng: np.random.Generator) -> Any:
            chosen = rng.permutation(len(y))[:ROWS]
            rows = mechanism(y[chosen], rng)
            for i in np.flatnonzero(rng.random(ROWS) < share):
                rows[i] = int(y[chosen][i])
            labels = eo.Labels(rows, classes=range(K))
            return X[chosen], labels, y[chosen].tolist(), test, y_test

        return data

    return {
        f"{name} | {share}": draw(mechanism, share)
        for name, mechanism in MECHANISMS.items()
        for share in SHARES
    }


def people() -> tuple[dict[str, Any], dict[str, float]]:
    """CIFAR-10 images; most people's "impossible" classes, or the official class."""
    images, index = cifar_images("test_images.zip")
    features = patch_features(images)
    where = {i: row for row, i in enumerate(index.tolist())}
    classes = (DATA / "cifar10_human" / "classes.txt").read_text().split()
    with_votes = np.genfromtxt(
        DATA / "cifar10_human" / "test_votes.csv.gz", delimiter=",", skip_header=1, dtype=int
    )
    official = dict(with_votes[:, :2].tolist())
    rows, truth, said = [], [], []
    for answer in jsonl(DATA / "cifar10_human" / "elicited.jsonl.gz"):
        named = [name for one in answer["annotators"] for name in one["impossible"]]
        out = [k for k, c in enumerate(classes) if 2 * named.count(c) > len(answer["annotators"])]
        rows.append(where[answer["index"]])
        truth.append(official[answer["index"]])
        said.append(eo.not_(*out) if out else None)
    test = np.setdiff1d(np.arange(len(index)), rows)
    y_test = np.array([official[i] for i in index[test].tolist()])
    wrong = [label is not None and t in label.named for label, t in zip(said, truth, strict=True)]
    facts = {
        "images": len(rows),
        "test images": len(test),
        "classes ruled out, mean": round(
            float(np.mean([len(s.named) if s else 0 for s in said])), 2
        ),
        "official class ruled out": round(float(np.mean(wrong)), 4),
        "nothing ruled out": round(float(np.mean([s is None for s in said])), 4),
    }

    def draw(share: float) -> Any:
        def data(rng: np.random.Generator) -> Any:
            exact = rng.random(len(rows)) < share
            mixed = [t if e else s for t, s, e in zip(truth, said, exact.tolist(), strict=True)]
            labels = eo.Labels(mixed, classes=range(K))
            return features[rows], labels, truth, features[test], y_test

        return data

    return {f"people's answers | {share}": draw(share) for share in PEOPLE_SHARES}, facts


def picture(found: dict[str, list[float]]) -> None:
    """Accuracy against the share of exact rows, one panel a model and mechanism."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    panels = [(m, w) for m in ("linear", "network") for w in (*MECHANISMS, "people's answers")]
    figure, axes = plt.subplots(2, 3, figsize=(9.5, 6.2))
    for axis, (kind, where) in zip(axes.flat, panels, strict=True):
        if (kind, where) == ("network", "people's answers"):
            axis.axis("off")
            axis.legend(*axes[0, 0].get_legend_handles_labels(), loc="center", fontsize=9)
            continue
        shares = PEOPLE_SHARES if where == "people's answers" else SHARES
        for number, option in enumerate((*OPTIONS, CEILING)):
            values = [found[f"{kind} | {where} | {share} | {option}"] for share in shares]
            means, errors = np.mean(values, axis=1), np.std(values, axis=1, ddof=1)
            axis.errorbar(range(3), means, errors, label=option, **line_style(number))
        axis.set_xticks(range(3), [f"{share:.0%}" for share in shares])
        axis.set_title(f"{where}, {kind}", fontsize=10)
        axis.set_xlabel("rows with an exact label", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("test accuracy", fontsize=9)
    figure.tight_layout()
    save(figure, "q1")


def tables(found: dict[str, list[float]]) -> dict[str, list[str]]:
    made = {}
    for name in (*MECHANISMS, "people's answers"):
        shares = PEOPLE_SHARES if name == "people's answers" else SHARES
        kinds = [
            k for k in ("linear", "network") if f"{k} | {name} | {shares[0]} | {CEILING}" in found
        ]
        header = ["", *(f"{kind}, {share:.0%} exact" for kind in kinds for share in shares)]
        rows = [
            [
                option,
                *(
                    spread(found[f"{kind} | {name} | {share} | {option}"])
                    for kind in kinds
                    for share in shares
                ),
            ]
            for option in (*OPTIONS, CEILING)
        ]
        made[name] = table(header, rows)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--redraw", action="store_true", help="tables and picture as stored")
    args = parser.parse_args()
    if args.redraw:
        record = stored("q1")
        publish("q1", record, tables(record["accuracy"]))
        return picture(record["accuracy"])
    start = time.perf_counter()
    found = run(made_up(), args.seeds, {"linear": Linear, "network": Network})
    answers, facts = people()
    found |= run(answers, args.seeds, {"linear": Linear})
    record = {
        "command": f"python benchmarks/questions/q1_known_not.py --seeds {args.seeds}",
        "data": f"fashion_mnist: {ROWS:,} training images a seed, 10,000 test images, 196 pixels; "
        "cifar10_human: 700 images with answers, the other test images",
        "seconds": round(time.perf_counter() - start),
        "people": facts,
        "accuracy": found,
    }
    publish("q1", record, tables(found))
    picture(found)


if __name__ == "__main__":
    main()
