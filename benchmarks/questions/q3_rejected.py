"""Question 3: a model predicts, a person rejects some of the predictions; how to learn from that.

A network is trained on few exact rows until it is sure of itself. It predicts on new rows; where it
is right the person accepts (an exact label), elsewhere rejects (`not_(prediction)`). Then the same
network goes on with everything known, under each of the options. Everything is float32.

1. Fashion-MNIST, 300 exact rows, 3,000 reviewed predictions, made up from the true classes.
2. IMDB reviews (two classes): five people judged the predictions of a model that disagreed with
   the given label. Half of the judged rows teach, the other half is scored.
3. CIFAR-10 images: people judged 168 predictions "given", "guessed", "both" or "neither".

    python benchmarks/questions/q3_rejected.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import copy
import json
import lzma
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
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
    style,
    table,
)
from torch import Tensor, nn

import eitheror as eo
from eitheror.torch import HierarchicalSoftmax, partial_cross_entropy

OPTIONS = (
    "negated gradient",
    "-log(1 - p)",
    "-log(1 - p + 1e-7)",
    "statements",
    "accepted rows only",
    "tree: negated gradient",
    "tree: statements",
)
BEFORE = "before the reviews"
EXACT, REVIEWED, TEST = 300, 3_000, 2_000
FIRST_STEPS, STEPS, EVERY, BATCH = 1_500, 400, 20, 128
LEADS = (5, 12, 17, 30, 110)


class Flat(nn.Module):
    """A softmax over all classes; `losses` are those of one batch under an option."""

    def __init__(self, n_inputs: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        body = [nn.Linear(n_inputs, hidden), nn.ReLU()] if hidden else []
        self.net = nn.Sequential(*body, nn.Linear(hidden or n_inputs, n_classes))

    def log_proba(self, x: Tensor) -> Tensor:
        """Log probability of every class."""
        return torch.log_softmax(self.net(x), dim=1)

    def statements(self, x: Tensor, targets: Tensor) -> Tensor:
        """Loss of the statements of a batch."""
        return partial_cross_entropy(self.net(x), targets)


class Tree(nn.Module):
    """The same with a hierarchical softmax on top."""

    def __init__(self, n_inputs: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_inputs, hidden), nn.ReLU())
        self.top = HierarchicalSoftmax(hidden, np.ones(n_classes))

    def log_proba(self, x: Tensor) -> Tensor:
        """Log probability of every class."""
        return self.top.log_proba(self.body(x))

    def statements(self, x: Tensor, targets: Tensor) -> Tensor:
        """Loss of the statements of a batch."""
        return self.top(self.body(x), targets).mean()


@dataclass(frozen=True)
class Known:
    """What is known about rows: `named` is true, or, where `rejected`, is not."""

    named: Tensor
    rejected: Tensor
    targets: Tensor

    @classmethod
    def of(cls, named: Any, rejected: Any, n_classes: int) -> Known:
        """Statements of named classes, accepted or rejected."""
        said = [
            eo.not_(k) if no else k for k, no in zip(named.tolist(), rejected.tolist(), strict=True)
        ]
        targets = eo.Labels(said, classes=range(n_classes)).to_targets(np.float32)
        return cls(torch.as_tensor(named), torch.as_tensor(rejected), torch.as_tensor(targets))

    def take(self, rows: Tensor) -> Known:
        """Pick some of the rows."""
        return Known(self.named[rows], self.rejected[rows], self.targets[rows])


def by_hand(form: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Exact rows by -log p, rejected rows by `form` of the log probability of what was rejected."""

    def loss(model: Any, x: Tensor, known: Known) -> Tensor:
        log_p = model.log_proba(x).gather(1, known.named[:, None])[:, 0]
        # rows apart: torch.where() over both forms would bring nan from rows it does not choose
        no, yes = form(log_p[known.rejected]), -log_p[~known.rejected]
        return (no.sum() + yes.sum()) / len(x)

    return loss


def accepted_only(model: Any, x: Tensor, known: Known) -> Tensor:
    """Leave out the rejected rows."""
    return model.statements(x[~known.rejected], known.targets[~known.rejected])


def likelihood(model: Any, x: Tensor, known: Known) -> Tensor:
    """Take what is known as it is."""
    return model.statements(x, known.targets)


FORMS: dict[str, Callable[..., Tensor]] = {
    "negated gradient": by_hand(lambda log_p: log_p),
    "-log(1 - p)": by_hand(lambda log_p: -torch.log(1 - log_p.exp())),
    "-log(1 - p + 1e-7)": by_hand(lambda log_p: -torch.log(1 - log_p.exp() + 1e-7)),
    "statements": likelihood,
    "accepted rows only": accepted_only,
}


def go_on(model: Any, loss: Any, x: Tensor, known: Known, test: Any = None) -> list[Any]:
    """Train on; at every 20th step the loss of the batch and the test accuracy.

    Without test rows: the first training, until the model is sure of itself.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3 if test else 5e-3)
    curve = []
    for step in range(STEPS + 1 if test else FIRST_STEPS):
        rows = torch.randint(len(x), (BATCH,))
        value = loss(model, x[rows], known.take(rows))
        if test and step % EVERY == 0:
            curve.append([step, value.item(), accuracy(model, *test)])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return curve


@torch.no_grad()
def accuracy(model: Any, x: Tensor, y: Tensor) -> float:
    """Share right; a model whose scores are not numbers has none right."""
    log_p = model.log_proba(x)
    right = (log_p.argmax(1) == y) & ~log_p.isnan().any(1)
    return round(float(right.float().mean()), 4)


def made_up(seeds: int) -> dict[str, Any]:
    """Fashion-MNIST: curves of every option, seed by seed."""
    (X, y), (X_test, y_test) = fashion("train"), fashion("t10k")
    mean, scale = X.mean(axis=0), X.std()
    test = (torch.tensor((X_test[:TEST] - mean) / scale), torch.tensor(y_test[:TEST]))
    found: dict[str, Any] = {"curves": {}, "repeats": {}}
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(len(X))[: EXACT + REVIEWED]
        x, truth = torch.tensor((X[rows] - mean) / scale), torch.tensor(y[rows])
        for prefix, build in (("", Flat), ("tree: ", Tree)):
            torch.manual_seed(seed)
            first = build(x.shape[1], 10, 128)
            exact = Known.of(truth[:EXACT], torch.zeros(EXACT, dtype=torch.bool), 10)
            go_on(first, likelihood, x[:EXACT], exact)
            with torch.no_grad():
                guess = first.log_proba(x).max(1)
            rejected = (guess.indices != truth) & (torch.arange(len(x)) >= EXACT)
            known = Known.of(torch.where(rejected, guess.indices, truth), rejected, 10)
            facts = {
                "accuracy": accuracy(first, *test),
                "rejected": int(rejected.sum()),
                "rejected with 1 - p = 0": int((guess.values.exp() == 1)[rejected].sum()),
            }
            found.setdefault(prefix + BEFORE, []).append(facts)
            for option in (o for o in OPTIONS if o.startswith("tree: ") == bool(prefix)):
                torch.manual_seed(seed)
                model = copy.deepcopy(first)
                curve = go_on(model, FORMS[option.removeprefix(prefix)], x, known, test)
                found["curves"].setdefault(option, []).append(curve)
                again = accuracy(model, x[rejected], guess.indices[rejected])
                found["repeats"].setdefault(option, []).append(again)
                print(seed, option, curve[-1], again, flush=True)
    return found


def one_row() -> dict[str, list[list[float]]]:
    """Loss and gradient of the rejected class's logit, which leads nine others, in float32."""
    found: dict[str, list[list[float]]] = {}
    for name in ("-log(1 - p)", "-log(1 - p + 1e-7)", "statements"):
        for lead in LEADS:
            logits = torch.zeros(1, 10)
            logits[0, 0] = lead
            logits.requires_grad_()
            rejected = Known.of(torch.tensor([0]), torch.tensor([True]), 10)
            value = FORMS[name](_Logits(), logits, rejected)
            value.backward()
            found.setdefault(name, []).append([value.item(), logits.grad[0, 0].item()])
    return found


class _Logits:
    """A model that returns its inputs as logits."""

    def log_proba(self, x: Tensor) -> Tensor:
        """Log probability of every class."""
        return torch.log_softmax(x, dim=1)

    def statements(self, x: Tensor, targets: Tensor) -> Tensor:
        """Loss of the statements."""
        return partial_cross_entropy(x, targets)


def imdb(seeds: int) -> dict[str, Any]:
    """Two classes: a rejected prediction names the other one."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    with lzma.open(DATA / "imdb_reviewed" / "imdb.jsonl.xz", "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    words = TfidfVectorizer(max_features=3_000, sublinear_tf=True)
    words.fit([row["text"] for row in rows if row["part"] == "train"])
    part = {name: [r for r in rows if r["part"] == name] for name in ("train", "test", "reviewed")}

    def numbers(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        x = words.transform([row["text"] for row in rows]).toarray() * 10
        return torch.tensor(x, dtype=torch.float32), torch.tensor([row["label"] for row in rows])

    (x, y), (x_test, y_test) = numbers(part["train"]), numbers(part["test"])
    x_seen, given = numbers(part["reviewed"])
    verdict = np.array([most(row["votes"]) for row in part["reviewed"]])
    judged = np.flatnonzero((verdict == "given") | (verdict == "guessed"))
    # the prediction that people judged is the class that was not given
    guess, rejected = 1 - given, torch.tensor(verdict == "given")
    truth = torch.where(rejected, given, guess)
    found: dict[str, Any] = {"verdicts": dict(Counter(verdict.tolist())), "scores": {}}
    for seed in range(seeds):
        order = torch.tensor(np.random.default_rng(seed).permutation(judged))
        teach, score = order.split(len(order) // 2 + 1)
        torch.manual_seed(seed)
        first = Flat(x.shape[1], 2, 0)
        none = torch.zeros(len(y), dtype=torch.bool)
        go_on(first, likelihood, x, Known.of(y, none, 2))
        known = Known.of(torch.cat([y, guess[teach]]), torch.cat([none, rejected[teach]]), 2)
        for option in (BEFORE, *FORMS):
            torch.manual_seed(seed)
            model = copy.deepcopy(first)
            if option != BEFORE:
                go_on(model, FORMS[option], torch.cat([x, x_seen[teach]]), known, (x_test, y_test))
            row = {
                "test rows": accuracy(model, x_test, y_test),
                "judged rows kept aside": accuracy(model, x_seen[score], truth[score]),
            }
            for key, value in row.items():
                found["scores"].setdefault(option, {}).setdefault(key, []).append(value)
        print("imdb", seed, row, flush=True)
    return found


def most(votes: dict[str, int]) -> str:
    """Return what most people said; "tie" where two answers lead."""
    best = [answer for answer, count in votes.items() if count == max(votes.values())]
    return best[0] if len(best) == 1 else "tie"


def cifar(seeds: int) -> dict[str, Any]:
    """Statements from 168 judged predictions, beside 2,000 images with their given class."""
    folder = DATA / "cifar10_human"
    classes = (folder / "classes.txt").read_text().split()
    official = np.genfromtxt(folder / "test_votes.csv.gz", delimiter=",", skip_header=1, dtype=int)
    images, index = cifar_images("test_images.zip")
    judged = {row["index"]: row for row in jsonl(folder / "reviewed_predictions.jsonl.gz")}
    is_judged = np.isin(index, list(judged))
    others = np.flatnonzero(~is_judged)[:4_000]
    use = np.concatenate([np.flatnonzero(is_judged), others])
    features, index = patch_features(images[use], 60), index[use]
    label = dict(official[:, :2].tolist())
    y = np.array([label[i] for i in index.tolist()])
    n = int(is_judged.sum())
    rows = [judged[i] for i in index[:n].tolist()]
    verdict = [most(row["votes"]) for row in rows]
    said = []
    for row, v in zip(rows, verdict, strict=True):
        given, guessed = classes.index(row["given"]), classes.index(row["guessed"])
        said.append(
            {
                "given": eo.exact(given) & eo.not_(guessed),
                "guessed": eo.exact(guessed),
                "both": eo.either(given, guessed),
                "neither": eo.not_(given, guessed),
            }.get(v)
        )
    found: dict[str, Any] = {"verdicts": dict(Counter(verdict)), "scores": {}}
    for seed in range(seeds):
        order = n + np.random.default_rng(seed).permutation(len(others))
        train, test = order[:2_000], order[2_000:]
        ways = {
            "judged images left out": (train, [*y[train].tolist()]),
            "judged images with the given class": (
                np.concatenate([np.arange(n), train]),
                [*y[:n].tolist(), *y[train].tolist()],
            ),
            "judged images with people's statements": (
                np.concatenate([np.arange(n), train]),
                [*said, *y[train].tolist()],
            ),
        }
        for way, (chosen, labels) in ways.items():
            model = eo.LinearClassifier(l2=0.1).fit(
                features[chosen], eo.Labels(labels, classes=range(10))
            )
            score = float((model.predict(features[test]) == y[test]).mean())
            found["scores"].setdefault(way, []).append(round(score, 4))
    return found


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    curves, repeats = record["made up"]["curves"], record["made up"]["repeats"]
    rows = [
        [
            f"{prefix}{BEFORE}",
            "",
            spread(facts["accuracy"] for facts in record["made up"][prefix + BEFORE]),
            "1.000",
        ]
        for prefix in ("", "tree: ")
    ]
    for option in OPTIONS:
        losses = [float(curve[-1][1]) for curve in curves[option]]
        cells = [
            spread(losses, 2),
            spread(curve[-1][2] for curve in curves[option]),
            spread(repeats[option]),
        ]
        rows.append([option, *(["nan"] * 3 if any(map(math.isnan, losses)) else cells)])
    header = ["", f"loss after {STEPS} steps", "test accuracy", "rejected predictions repeated"]
    made = {"made-up reviews": table(header, rows)}
    made["one rejected row"] = table(
        ["loss / gradient, the rejected class leads by", *map(str, LEADS)],
        [
            [name, *(f"{float(value):.3g} / {float(gradient):.3g}" for value, gradient in pairs)]
            for name, pairs in record["one row"].items()
        ],
    )
    scores = record["imdb"]["scores"]
    keys = ("test rows", "judged rows kept aside")
    made["imdb_reviewed"] = table(
        ["", *keys], [[option, *(spread(row[k]) for k in keys)] for option, row in scores.items()]
    )
    made["cifar10_human"] = table(
        ["", "test accuracy"], [[w, spread(s)] for w, s in record["cifar"]["scores"].items()]
    )
    return made


def picture(curves: dict[str, Any]) -> None:
    """Training loss and test accuracy against steps."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9))
    for number, option in enumerate(OPTIONS):
        steps = [point[0] for point in curves[option][0]]
        found = np.array([[point[1:] for point in curve] for curve in curves[option]], float)
        broken = np.isnan(found).any(axis=(0, 2))
        for axis, column in ((left, 0), (right, 1)):
            values = np.where(broken, np.nan, found[..., column].mean(axis=0))
            axis.plot(
                steps,
                values,
                label=option,
                markevery=[0] if broken.any() else (number % 4, 4),
                **style(number),
            )
            if broken.any():
                first = int(broken.argmax()) - 1
                place = {"xy": (steps[first], values[first]), "xytext": (0.04, 0.1)}
                axis.annotate(f"{option}: nan from here on", textcoords="axes fraction", fontsize=8,
                              arrowprops={"arrowstyle": "->"}, **place)  # fmt: skip
    left.set_title("training loss", fontsize=9)
    left.set_ylim(-8, 1.6)
    right.set_title("test accuracy", fontsize=9)
    for axis in (left, right):
        axis.set_xlabel("steps after the reviews", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncol=4, fontsize=8)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    save(figure, "q3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--redraw", action="store_true", help="tables and picture as stored")
    args = parser.parse_args()
    if args.redraw:
        record = stored("q3")
        publish("q3", record, tables(record))
        return picture(record["made up"]["curves"])
    torch.set_num_threads(1)
    start = time.perf_counter()
    record: dict[str, Any] = {
        "command": f"python benchmarks/questions/q3_rejected.py --seeds {args.seeds}",
        "data": f"fashion_mnist: {EXACT} exact rows and {REVIEWED:,} reviewed predictions a seed, "
        f"{TEST:,} test images; imdb_reviewed; cifar10_human: 168 judged predictions",
        "one row": one_row(),
        "made up": made_up(args.seeds),
        "imdb": imdb(args.seeds),
        "cifar": cifar(args.seeds),
    }
    record["seconds"] = round(time.perf_counter() - start)
    publish("q3", _plain(record), tables(record))
    picture(record["made up"]["curves"])


def _plain(value: Any) -> Any:
    """JSON has no nan and no inf: they become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
