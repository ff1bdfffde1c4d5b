"""Question 2: pictures between two classes, and what to write down for them.

Options: a new class for each pair, decoded by splitting its probability; the target [.5, .5] with
the framework's own cross-entropy; one sigmoid a class; one of the two labels at random, drawn once
or anew each epoch; the row twice, under both labels; the statements `either` and `soft`; leaving
the rows out. Each gets the same small convolutional network, batches and steps.

Made-up in-betweens: Fashion-MNIST, a T-shirt blended with a shirt, a sneaker with an ankle boot.
Real ones: CIFAR-10 pictures of which at least a quarter of some 50 people named a second class.

    python benchmarks/questions/q2_in_between.py [--seeds 3] [--again]

`--again` builds tables and picture from the stored record.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from common import DATA, RESULTS, cifar_images, fashion, publish, save, spread, table
from common import style as line_style
from torch import Tensor, nn

import eitheror as eo
from eitheror.torch import PartialCrossEntropyLoss

OPTIONS = (
    "new joint classes",
    "soft targets",
    "sigmoid",
    "random label, once",
    "random label, each epoch",
    "row doubled",
    "either",
    "soft",
    "dropped",
)
MORE = ("soft, the votes of these rows", "soft, the votes of all rows")
COUNTS = (5, 50, 500, 2000)
PAIRS = ((0, 6), (7, 9))  # T-shirt and shirt, sneaker and ankle boot
NAMES = {(0, 6): "T-shirt / shirt", (7, 9): "sneaker / ankle boot"}
CLEAR = 6_000
EPOCHS = 5
BATCH = 64
RATES = (4e-3, 1e-2, 2e-2)
BETWEEN = 0.25  # share of the second class from which a row counts as in-between
FOLDS = 5
K = 10
REAL = ("accuracy", "log loss, in-between", "less that of `soft`", "log loss, all", "ECE")


@dataclass(frozen=True)
class Rows:
    """Training rows: the class, and for the in-betweens a second one (else the same again)."""

    X: Tensor
    first: np.ndarray
    second: np.ndarray

    @property
    def between(self) -> np.ndarray:
        """Tell which rows have two classes."""
        return self.first != self.second


@dataclass(frozen=True)
class Task:
    """What a network is trained on: rows and targets of each epoch, the loss, and the way back."""

    n_outputs: int
    epoch: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    loss: Callable[[Tensor, Tensor], Tensor]
    log_proba: Callable[[Tensor], Tensor]
    both: Callable[[Tensor, tuple[int, int]], Tensor]


def one_hot(classes: np.ndarray, n: int = K) -> np.ndarray:
    return np.eye(n, dtype=np.float32)[classes]


def shares_say_both(logits: Tensor, pair: tuple[int, int]) -> Tensor:
    """Of the two classes alone, the lesser has at least a quarter."""
    return logits[:, pair].softmax(1).min(1).values >= BETWEEN


def normalised_sigmoids(logits: Tensor) -> Tensor:
    log_sigmoid = nn.functional.logsigmoid(logits)
    return log_sigmoid - log_sigmoid.logsumexp(1, keepdim=True)


def statements(rows: Rows, pair: Callable[[int, int], eo.Label]) -> np.ndarray:
    """Targets of rows whose in-betweens carry a statement about the pair."""
    said = [
        a if a == b else pair(a, b)
        for a, b in zip(rows.first.tolist(), rows.second.tolist(), strict=True)
    ]
    return eo.Labels(said, classes=range(K), task="multiclass").to_targets(np.float32)


def half(a: int, b: int) -> eo.Label:
    return eo.soft({a: 0.5, b: 0.5})


def task_of(option: str, rows: Rows, seed: int, shares: np.ndarray | None = None) -> Task:
    """Say what the option makes of the rows."""
    everything = np.arange(len(rows.first))
    a, b = one_hot(rows.first), one_hot(rows.second)
    plain = {
        "n_outputs": K,
        "loss": nn.CrossEntropyLoss(),
        "log_proba": lambda f: f.log_softmax(1),
        "both": shares_say_both,
    }

    def fixed(targets: np.ndarray, index: np.ndarray = everything) -> Any:
        return lambda rng: (index, targets)

    def picked(rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random((len(a), 1)) < 0.5, a, b)

    if option == "new joint classes":
        return joint_classes(rows, plain)
    if option == "sigmoid":
        return Task(
            K,
            fixed(np.maximum(a, b)),
            nn.BCEWithLogitsLoss(),
            normalised_sigmoids,
            lambda f, pair: (f[:, pair] >= 0).all(1),
        )
    if option == "random label, each epoch":
        return Task(**plain, epoch=lambda rng: (everything, picked(rng)))
    if option == "row doubled":
        twice = np.concatenate([everything, everything[rows.between]])
        return Task(**plain, epoch=fixed(np.concatenate([a, b[rows.between]]), twice))
    if option == "dropped":
        kept = everything[~rows.between]
        return Task(**plain, epoch=fixed(a[kept], kept))
    if option == "soft targets":
        return Task(**plain, epoch=fixed((a + b) / 2))
    if option == "random label, once":
        return Task(**plain, epoch=fixed(picked(np.random.default_rng(seed + 1000))))
    if option == "either":
        targets = statements(rows, eo.either)
    elif option == "soft":
        targets = statements(rows, half)
    else:  # the votes
        targets = a if option == MORE[0] else shares
        targets = np.where(rows.between[:, None], shares, targets).astype(np.float32)
    return Task(**{**plain, "loss": PartialCrossEntropyLoss()}, epoch=fixed(targets))


def joint_classes(rows: Rows, plain: dict[str, Any]) -> Task:
    """One more class for every pair that occurs; half of it counts for either member."""
    found = sorted({tuple(sorted(p)) for p in zip(rows.first, rows.second, strict=True)})
    pairs = [pair for pair in found if pair[0] != pair[1]]
    number = {pair: K + i for i, pair in enumerate(pairs)}
    label = [
        int(a) if a == b else number[tuple(sorted((a, b)))]
        for a, b in zip(rows.first, rows.second, strict=True)
    ]
    split = np.concatenate([np.eye(K), *[np.eye(K)[[p]].mean(1) for p in pairs]])
    split = torch.tensor(split, dtype=torch.float64)
    targets = one_hot(np.array(label), K + len(pairs))

    def log_proba(f: Tensor) -> Tensor:
        # log(p_A + p_AB / 2 + ...), in logs: small shares keep their digits
        return (f.log_softmax(1)[:, :, None] + split.log()[None]).logsumexp(1)

    def both(f: Tensor, pair: tuple[int, int]) -> Tensor:
        if pair not in number:
            return torch.zeros(len(f), dtype=torch.bool)
        return f[:, number[pair]] >= f[:, pair].max(1).values

    everything = np.arange(len(label))
    own = {"n_outputs": K + len(pairs), "log_proba": log_proba, "both": both}
    return Task(**{**plain, **own}, epoch=lambda rng: (everything, targets))


def network(channels: int, size: int, widths: tuple[int, int], n_outputs: int) -> nn.Sequential:
    c, d = widths
    return nn.Sequential(
        *(nn.Conv2d(channels, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        nn.Linear(d * (size // 4) ** 2, n_outputs),
    )


def train(net: nn.Module, X: Tensor, task: Task, seed: int, epochs: int, lr: float) -> None:
    """AdamW with a one-cycle schedule; the batches are drawn from the seed."""
    rng = np.random.default_rng(seed)
    draws = np.random.default_rng(seed + 500)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    steps = epochs * -(-len(task.epoch(np.random.default_rng(0))[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1)
    for _ in range(epochs):
        index, targets = task.epoch(draws)
        for batch in np.split(
            order := rng.permutation(len(index)), range(BATCH, len(order), BATCH)
        ):
            loss = task.loss(net(X[index[batch]]), torch.from_numpy(targets[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def calibration_error(truth: np.ndarray, proba: np.ndarray) -> float:
    """Top probability against the mean truth share of that class, in 15 bins of equal width."""
    top = proba.argmax(1)
    says, is_ = proba.max(1), truth[np.arange(len(top)), top]
    bins = np.minimum((says * 15).astype(int), 14)
    gaps = [abs((says - is_)[bins == k].sum()) for k in range(15)]
    return float(sum(gaps) / len(top))


# --- Fashion-MNIST: made-up in-betweens ------------------------------------------------------


def blends(
    X: Tensor, y: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Blend n pictures, half of each pair: pictures, pairs (n, 2), share of the first class."""
    pairs = np.array(PAIRS)[np.arange(n) % len(PAIRS)]
    share = rng.uniform(0.3, 0.7, n)
    chosen = np.stack([[rng.choice(np.flatnonzero(y == k)) for k in pair] for pair in pairs])
    weight = torch.tensor(share, dtype=torch.float32)[:, None, None, None]
    return weight * X[chosen[:, 0]] + (1 - weight) * X[chosen[:, 1]], pairs, share


def chosen_rates() -> dict[str, float]:
    """Choose a learning rate for softmax and for sigmoids on clear-cut training rows alone."""
    X, y = fashion("train")
    pixels = torch.from_numpy((X - 0.286) / 0.353).reshape(-1, 1, 14, 14)
    order = np.random.default_rng(99).permutation(len(X))
    fit, held_out = order[:CLEAR], order[CLEAR : CLEAR + 4000]
    rows = Rows(pixels[fit], y[fit], y[fit])
    best = {}
    for link, option in (("softmax", "soft targets"), ("sigmoid", "sigmoid")):
        found = []
        for rate in RATES:
            task = task_of(option, rows, 0)
            torch.manual_seed(0)
            net = network(1, 14, (8, 16), K)
            train(net, rows.X, task, 0, EPOCHS, rate)
            with torch.no_grad():
                found.append((net(pixels[held_out]).argmax(1).numpy() == y[held_out]).mean())
        print(link, found)
        best[link] = RATES[int(np.argmax(found))]
    return best


def fashion_seed(seed: int, rates: dict[str, float]) -> list[dict[str, Any]]:
    """All options and counts for one draw of training and test rows."""
    X, y = fashion("train")
    X_test, y_test = fashion("t10k")
    X, X_test = (torch.from_numpy((x - 0.286) / 0.353).reshape(-1, 1, 14, 14) for x in (X, X_test))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    clear, spare = order[:CLEAR], order[CLEAR:]
    mixed, pairs, _ = blends(X[spare], y[spare], max(COUNTS), rng)
    seen = slice(0, 5000)
    test_mixed, test_pairs, share = blends(X_test[5000:], y_test[5000:], 1000, rng)
    truth = share[:, None] * one_hot(test_pairs[:, 0]) + (1 - share[:, None]) * one_hot(
        test_pairs[:, 1]
    )
    found = []
    for count in COUNTS:
        rows = Rows(
            torch.cat([X[clear], mixed[:count]]),
            np.concatenate([y[clear], pairs[:count, 0]]),
            np.concatenate([y[clear], pairs[:count, 1]]),
        )
        for option in OPTIONS:
            if option == "dropped" and count > COUNTS[0]:
                continue  # the same rows whatever the count
            task = task_of(option, rows, seed)
            torch.manual_seed(seed)
            net = network(1, 14, (8, 16), task.n_outputs)
            train(
                net,
                rows.X,
                task,
                seed,
                EPOCHS,
                rates["sigmoid" if option == "sigmoid" else "softmax"],
            )
            with torch.no_grad():
                on_clear, on_mixed = net(X_test[seen]).double(), net(test_mixed).double()
            scores = fashion_scores(task, on_clear, on_mixed, y_test[seen], truth, test_pairs)
            found.append({"option": option, "count": count, "seed": seed, **scores})
            print(seed, count, option, {k: v for k, v in scores.items() if k != "confusion"})
    return found


def fashion_scores(
    task: Task, on_clear: Tensor, on_mixed: Tensor, y: np.ndarray, truth: np.ndarray, pairs: Any
) -> dict[str, Any]:
    """Confusion among A, B and A&B pair by pair, and the probabilities of both kinds of rows."""
    clear, mixed = task.log_proba(on_clear).numpy(), task.log_proba(on_mixed).numpy()
    confusion = {}
    for a, b in PAIRS:
        rows = [on_clear[y == a], on_clear[y == b], on_mixed[pairs[:, 0] == a]]
        counts = []
        for logits in rows:
            log_proba = task.log_proba(logits)
            said = torch.where(log_proba[:, a] >= log_proba[:, b], 0, 1)
            said = torch.where(task.both(logits, (a, b)), 2, said)
            counts.append(torch.bincount(said, minlength=3).tolist())
        confusion[NAMES[a, b]] = counts
    recalls = np.mean([np.diag(c) / np.sum(c, 1) for c in confusion.values()], axis=0)
    return {
        "accuracy_clear": float((clear.argmax(1) == y).mean()),
        "log_loss_clear": float(-clear[np.arange(len(y)), y].mean()),
        "log_loss_between": float(-(truth * mixed).sum(1).mean()),
        "least_log_loss_between": float(
            -(truth * np.log(truth, out=np.zeros_like(truth), where=truth > 0)).sum(1).mean()
        ),
        "ece_clear": calibration_error(one_hot(y), np.exp(clear)),
        "ece_between": calibration_error(truth, np.exp(mixed)),
        "recall_A": float(recalls[:2].mean()),
        "recall_AB": float(recalls[2]),
        "balanced": float((recalls[:2].mean() * 2 + recalls[2]) / 3),
        "confusion": confusion,
    }


# --- CIFAR-10: what people saw ----------------------------------------------------------------


def small(images: np.ndarray) -> Tensor:
    """32 x 32 colour pictures as (n, 3, 16, 16), centred."""
    pixels = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    return (nn.functional.avg_pool2d(pixels, 2) - 0.47) / 0.25


def csv_gz(name: str) -> dict[str, np.ndarray]:
    with gzip.open(DATA / "cifar10_human" / name, "rt") as lines:
        header, *rows = [line.rstrip("\n").split(",") for line in lines]
    return {
        key: np.array(column) for key, column in zip(header, zip(*rows, strict=True), strict=True)
    }


def voted() -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Pictures, official class, shares of the votes."""
    images, index = cifar_images("test_images.zip")
    columns = csv_gz("test_votes.csv.gz")
    order = {int(i): row for row, i in enumerate(columns["index"])}
    rows = np.array([order[i] for i in index])
    official, *votes = (columns[key][rows].astype(int) for key in list(columns)[1:])
    counts = np.stack(votes, axis=1)
    return small(images), official, counts / counts.sum(1, keepdims=True)


def pretrained(seed: int) -> nn.Sequential:
    """Return a network that has seen 20,000 other pictures; every option starts from it."""
    images, index = cifar_images("train_images.zip")
    columns = csv_gz("train_three_votes.csv.gz")
    order = {int(i): row for row, i in enumerate(columns["index"])}
    y = columns["clean_label"][[order[i] for i in index]].astype(int)
    torch.manual_seed(seed)
    net = network(3, 16, (12, 24), K)
    X = small(images)
    train(net, X, task_of("soft targets", Rows(X, y, y), seed), seed, 5, 6e-3)
    return net


def cifar() -> list[dict[str, Any]]:
    """Five folds over the voted pictures, one row an option and fold."""
    X, official, shares = voted()
    ranked = np.argsort(-shares, axis=1)
    real = np.sort(shares, axis=1)[:, -2] >= BETWEEN
    first = np.where(real, ranked[:, 0], official)
    second = np.where(real, ranked[:, 1], official)
    fold = np.random.default_rng(0).permutation(len(X)) % FOLDS
    body = pretrained(0).state_dict()
    found = []
    for k in range(FOLDS):
        train_rows, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        rows = Rows(X[train_rows], first[train_rows], second[train_rows])
        for option in OPTIONS + MORE:
            task = task_of(option, rows, k, shares[train_rows])
            torch.manual_seed(k)
            net = network(3, 16, (12, 24), task.n_outputs)
            net.load_state_dict({**net.state_dict(), **_without_head(body)})
            train(net, rows.X, task, k, 4, 3e-3)
            with torch.no_grad():
                log_proba = task.log_proba(net(X[test]).double()).numpy()
            losses = -(shares[test] * log_proba).sum(1)
            top = log_proba.argmax(1)
            found.append(
                {
                    "option": option,
                    "fold": k,
                    "accuracy": float((top == official[test]).mean()),
                    "log_loss_between": losses[real[test]].tolist(),
                    "log_loss": float(losses.mean()),
                    "ece": calibration_error(shares[test], np.exp(log_proba)),
                }
            )
            print(k, option, found[-1]["accuracy"], losses[real[test]].mean())
    return found


def _without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("7.")}


# --- what is shown ----------------------------------------------------------------------------


def values(rows: list[dict[str, Any]], option: str, count: int | None, metric: str) -> list[float]:
    count = COUNTS[0] if option == "dropped" else count
    return [r[metric] for r in rows if r["option"] == option and r["count"] == count]


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    rows, people = record["fashion_mnist"], record["cifar10_human"]
    least = np.mean([r["least_log_loss_between"] for r in rows])
    by_count = table(
        (f"log loss on in-betweens (least possible {least:.3f})", *[f"{n:,} rows" for n in COUNTS]),
        [(o, *[spread(values(rows, o, n, "log_loss_between")) for n in COUNTS]) for o in OPTIONS],
    )
    found = table(
        ("A&B found", *[f"{n:,} rows" for n in COUNTS]),
        [(o, *[spread(values(rows, o, n, "recall_AB"), 2) for n in COUNTS]) for o in OPTIONS],
    )
    metrics = ("accuracy_clear", "recall_A", "recall_AB", "ece_clear", "ece_between")
    at_500 = table(
        (
            "500 in-between rows",
            *("accuracy, clear-cut", "A or B told", "A&B told", "ECE, clear-cut"),
            "ECE, in-between",
        ),
        [(o, *[spread(values(rows, o, 500, m)) for m in metrics]) for o in OPTIONS],
    )
    confusion = table(
        ("sneaker (A) / ankle boot (B)", "A→A", "A→B", "A→A&B", "A&B→A", "A&B→B", "A&B→A&B"),
        [(o, *_confused(rows, o)) for o in OPTIONS],
    )
    base = _per_image(people, "soft")
    real = table(
        ("CIFAR-10, people's votes", *REAL),
        [
            (
                o,
                spread(_folds(people, o, "accuracy")),
                f"{_per_image(people, o).mean():.3f}",
                _difference(_per_image(people, o) - base),
                spread(_folds(people, o, "log_loss")),
                spread(_folds(people, o, "ece")),
            )
            for o in OPTIONS + MORE
        ],
    )
    return {
        "in-between log loss": by_count,
        "in-betweens found": found,
        "with 500 rows": at_500,
        "confusion": confusion,
        "real in-betweens": real,
    }


def _confused(rows: list[dict[str, Any]], option: str) -> list[str]:
    name = NAMES[PAIRS[1]]
    matrices = [np.array(c[name]) for c in values(rows, option, 500, "confusion")]
    share = np.mean([m / m.sum(1, keepdims=True) for m in matrices], axis=0)
    return [f"{share[i, j]:.2f}" for i, j in ((0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2))]


def _folds(people: list[dict[str, Any]], option: str, metric: str) -> list[float]:
    return [r[metric] for r in people if r["option"] == option]


def _per_image(people: list[dict[str, Any]], option: str) -> np.ndarray:
    return np.concatenate([r["log_loss_between"] for r in people if r["option"] == option])


def _difference(gaps: np.ndarray) -> str:
    """Mean over the pictures ± its standard error."""
    return f"{gaps.mean():+.3f} ± {gaps.std(ddof=1) / len(gaps) ** 0.5:.3f}"


def picture(record: dict[str, Any]) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = record["fashion_mnist"]
    least = np.mean([r["least_log_loss_between"] for r in rows])
    # Same loss, same line: what is equal up to rounding or chance is drawn once.
    shown = {
        "new joint classes": "new joint classes",
        "soft targets": "soft targets = soft",
        "random label, once": "random label, once",
        "random label, each epoch": "random label, each epoch",
        "row doubled": "row doubled",
        "sigmoid": "sigmoid",
        "either": "either",
    }
    panels = (
        ("log_loss_between", "log loss on in-betweens (less is better)"),
        ("recall_AB", "share of in-betweens told as A&B"),
        ("accuracy_clear", "accuracy on clear-cut rows"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    for axis, (metric, title) in zip(axes, panels, strict=True):
        for i, (option, name) in enumerate(shown.items()):
            means = [np.mean(values(rows, option, n, metric)) for n in COUNTS]
            axis.plot(COUNTS, means, label=name, **line_style(i))
        dropped = np.mean(values(rows, "dropped", None, metric))
        axis.axhline(dropped, color="#777777", linewidth=1, label="dropped")
        axis.set_xscale("log")
        axis.set_xticks(COUNTS, [f"{n:,}" for n in COUNTS])
        axis.minorticks_off()
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(f"in-between rows beside {CLEAR:,} clear-cut ones", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(least, color="#777777", linewidth=1, linestyle=":")
    axes[0].annotate("least possible", (COUNTS[0], least), (0, 3), textcoords="offset points")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncol=4, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    save(figure, "q2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="tables and picture only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    if args.again:
        record = json.loads((RESULTS / "q2.json").read_text())
    else:
        rates = chosen_rates()
        record = {
            "question": "rows between two classes: what to write down for them",
            "command": f"python benchmarks/questions/q2_in_between.py --seeds {args.seeds}",
            "data": (
                f"fashion_mnist: {CLEAR} clear-cut training rows a seed and {COUNTS} blends of two "
                "training pictures, 14 x 14 pixels; 5,000 clear-cut test rows and 1,000 blends of "
                "other test pictures. cifar10_human: 6,700 pictures with votes in 5 folds, 16 x 16 "
                "pixels, network pretrained on 20,000 training pictures"
            ),
            "network": "2 convolutions 3 x 3 (8, 16 or 12, 24 filters), max pooling, linear",
            "training": f"AdamW, {EPOCHS} epochs, batches of {BATCH}, one cycle of rate {rates}",
            "cifar10_human": cifar(),
            "fashion_mnist": [r for seed in range(args.seeds) for r in fashion_seed(seed, rates)],
        }
        record["seconds"] = round(time.perf_counter() - start)
    publish("q2", record, tables(record))
    picture(record)


if __name__ == "__main__":
    main()
