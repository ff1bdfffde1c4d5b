"""Question 5: one random label per visit (fastText's softmax on several tags), and what else.

Cooking questions (735 tags) and GoEmotions (28). Four losses on the same averaged embeddings: POL
(one tag drawn at each visit, what fastText does), PAL-N (its expectation), PAL (all tags), OVA (one
sigmoid a tag). The threshold for the aggregate Jaccard index is tuned on training rows that were
held out.

Then: what tuning on the test rows would have claimed; pairs of tags that occur together; models of
whole sets on few rows (`q5_remedies.py`); seconds an epoch.

    python benchmarks/questions/q5_random_label.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from common import DATA, publish, save, spread, stored, style, table

import eitheror as eo
from eitheror.training import TrainOptions, fit

OPTIONS = ("pol", "pal-n", "pal", "ova")
LEARNING_RATE = 1.0  # fastText's tutorial; on the held-out rows better than .5 for every loss
SETTINGS: dict[str, dict[str, Any]] = {
    "cooking": {"dim": 50, "word_ngrams": 2, "epochs": 15},
    "goemotions": {"dim": 50, "word_ngrams": 2, "epochs": 5},
}
HELD_OUT = 2_000
PAIRS = 20
TUNED_ON = (30, 100, 300, 1000)
SIZES = (200, 800, 2_400)
TEST_ROWS = 600  # for the models of whole sets
GOEMOTIONS_ROWS = 10_000
FREQUENT = 30


class Texts:
    """Texts and tags: rows to train on, rows held out of them, rows to test on."""

    def __init__(self, name: str) -> None:
        rows = {"cooking": read_cooking, "goemotions": read_goemotions}[name]()
        (train, train_tags), (self.test, test_tags) = rows
        order = np.random.default_rng(0).permutation(len(train))
        self.classes = sorted({tag for row in train_tags for tag in row})
        column = {tag: k for k, tag in enumerate(self.classes)}

        def matrix(rows: list[list[str]]) -> np.ndarray:
            Y = np.zeros((len(rows), len(column)), bool)
            for i, row in enumerate(rows):
                Y[i, [column[tag] for tag in row if tag in column]] = True
            return Y

        Y = matrix(train_tags)
        first, last = order[HELD_OUT:], order[:HELD_OUT]
        self.fit, self.held = [train[i] for i in first], [train[i] for i in last]
        self.Y_fit, self.Y_held, self.Y_test = Y[first], Y[last], matrix(test_tags)
        # Tags that training never saw cannot be found; they count as missed.
        self.missed = sum(len(set(row)) for row in test_tags) - int(self.Y_test.sum())
        self.labels = eo.Labels.from_indicator(self.Y_fit, classes=self.classes)

    def pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of tags that most training rows have both of."""
        counts = self.Y_fit.T.astype(np.float32) @ self.Y_fit
        both = [(counts[a, b], a, b) for a, b in combinations(range(len(counts)), 2)]
        return [(a, b) for _, a, b in sorted(both, reverse=True)[:PAIRS]]


def read_cooking() -> Any:
    rows = []
    with gzip.open(DATA / "cooking" / "cooking.stackexchange.txt.gz", "rt", encoding="utf8") as f:
        for words in map(str.split, f):
            named = [w.removeprefix("__label__") for w in words if w.startswith("__label__")]
            rows.append((" ".join(w for w in words if not w.startswith("__label__")), named))
    return tuple(list(map(list, zip(*part, strict=True))) for part in (rows[:12404], rows[12404:]))


def read_goemotions() -> Any:
    names = (DATA / "goemotions" / "labels.txt").read_text(encoding="utf-8").split()
    parts = []
    for part in ("train", "dev"):
        with gzip.open(DATA / "goemotions" / f"{part}.tsv.gz", "rt", encoding="utf-8") as lines:
            cells = [line.rstrip("\r\n").split("\t") for line in lines]
        tags = [[names[int(k)] for k in row[1].split(",")] for row in cells]
        parts.append(([row[0] for row in cells][:GOEMOTIONS_ROWS], tags[:GOEMOTIONS_ROWS]))
    return parts


def jaccard(chosen: np.ndarray, Y: np.ndarray, missed: int = 0) -> float:
    """Aggregate Jaccard index: hits over everything chosen or true."""
    return float((chosen & Y).sum() / max((chosen | Y).sum() + missed, 1))


def tuned(proba: np.ndarray, Y: np.ndarray) -> eo.decide.TunedThreshold:
    classes = range(Y.shape[1])
    rule = eo.decide.TunedThreshold("jaccard_micro")
    return rule.fit(eo.Labels.from_indicator(Y, classes=classes), proba)


def trained(data: Texts, name: str, loss: str, lr: float | None, seed: int) -> Any:
    if lr is None:  # the library's own choice of everything but the loss
        options = TrainOptions(loss=loss, seed=seed)
    else:
        options = TrainOptions(features="embedding", loss=loss, lr=lr, seed=seed, **SETTINGS[name])
    model = fit(data.fit, data.labels, options)
    return model.predict_proba(data.held), model.predict_proba(data.test)


def on_pairs(chosen: np.ndarray, Y: np.ndarray, pairs: list[tuple[int, int]]) -> dict[str, float]:
    """Count what becomes of rows that truly have both tags of a pair, all pairs together."""
    a, b = np.array(pairs).T
    both = Y[:, a] & Y[:, b]
    found = chosen[:, a].astype(int) + chosen[:, b]
    claimed = found == 2
    return {
        "both": float((claimed & both).sum() / both.sum()),
        "one": float(((found == 1) & both).sum() / both.sum()),
        "precision": float((claimed & both).sum() / max(claimed.sum(), 1)),
    }


def compare(name: str, seeds: int) -> tuple[dict[str, Any], dict[str, np.ndarray], Texts]:
    """Scores of every loss, and the first seed's probabilities of the test rows."""
    data = Texts(name)
    pairs, found, kept = data.pairs(), {}, {}
    for option in (*OPTIONS, "tfidf ova"):
        loss = option.split()[-1]
        lr = LEARNING_RATE if option in OPTIONS else None
        scores: dict[str, list[float]] = {}
        for seed in range(seeds):
            held, test = trained(data, name, loss, lr, seed)
            kept.setdefault(option, test)
            rule = tuned(held, data.Y_held)
            chosen = rule.predict(test)
            row = {
                "threshold": float(rule.threshold_),
                "jaccard": jaccard(chosen, data.Y_test, data.missed),
                "precision at 1": float(data.Y_test[np.arange(len(test)), test.argmax(1)].mean()),
                "on the tuning rows": float(rule.score_),
                **on_pairs(chosen, data.Y_test, pairs),
            }
            for key, value in row.items():
                scores.setdefault(key, []).append(round(value, 4))
        found[option] = {"lr": lr, **scores}
        print(name, option, found[option], flush=True)
    return (
        {"scores": found, "pairs": [[data.classes[k] for k in pair] for pair in pairs]},
        kept,
        data,
    )


def optimism(proba: np.ndarray, Y: np.ndarray, draws: int = 5) -> dict[str, list[float]]:
    """Tune on n test rows: the index on these rows, and on the test rows left over."""
    found = {}
    for n in TUNED_ON:
        claims, truths = [], []
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(len(Y))
            rows, rest = order[:n], order[n:]
            rule = tuned(proba[rows], Y[rows])
            claims.append(rule.score_)
            truths.append(jaccard(rule.predict(proba[rest]), Y[rest]))
        found[str(n)] = [round(float(np.mean(claims)), 4), round(float(np.mean(truths)), 4)]
    return found


def remedies(data: Texts, seeds: int) -> dict[str, Any]:
    """Models of whole sets on the most frequent tags, against the number of training rows."""
    import torch
    from q5_remedies import REMEDIES
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    top = np.argsort(-data.Y_fit.sum(0), kind="stable")[:FREQUENT]
    texts, Y = np.array(data.fit, object), data.Y_fit[:, top]
    texts, Y = texts[Y.any(1)], Y[Y.any(1)]
    keep = np.flatnonzero(data.Y_test[:, top].any(1))[:TEST_ROWS]
    test, Y_test = np.array(data.test, object)[keep], data.Y_test[keep][:, top]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(texts)
    svd = TruncatedSVD(100, random_state=0).fit(words.transform(texts))  # no label is looked at

    def numbers(rows: Any) -> Any:
        return torch.tensor(svd.transform(words.transform(rows)) * 10, dtype=torch.float32)

    x, x_test = numbers(texts), numbers(test)
    counts = Y.T.astype(int) @ Y
    both = sorted(((counts[a, b], a, b) for a, b in combinations(range(FREQUENT), 2)), reverse=True)
    pairs = [(a, b) for _, a, b in both[:PAIRS]]
    found: dict[str, dict[str, list[float]]] = {}
    sizes = [n for n in SIZES if n <= len(Y)]
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(Y))
        for n in sizes:
            held, rows = order[: n // 4], order[n // 4 : n]
            y = torch.tensor(Y, dtype=torch.float32)
            parts = [x[held], x[rows], x_test]
            for name, remedy in REMEDIES.items():
                torch.manual_seed(seed)
                tuning, training, testing = remedy(x[rows], y[rows], (x[held], y[held]), parts)
                rule = tuned(tuning[0], Y[held])
                chosen = rule.predict(testing[0])
                row = {
                    "jaccard": jaccard(chosen, Y_test),
                    "jaccard on its training rows": jaccard(rule.predict(training[0]), Y[rows]),
                    "whole set right": float((testing[1] == Y_test).all(1).mean()),
                    "both of a pair": on_pairs(chosen, Y_test, pairs)["both"],
                    "both, best guess": on_pairs(testing[1], Y_test, pairs)["both"],
                }
                for key, value in row.items():
                    found.setdefault(f"{name} | {n}", {}).setdefault(key, []).append(
                        round(value, 4)
                    )
        print("remedies", seed, flush=True)
    return {"rows with one of the tags": len(Y), "test rows": len(Y_test), "scores": found}


def seconds_an_epoch(data: Texts, rounds: int) -> dict[str, Any]:
    """Median processor seconds an epoch, the losses in turn, one thread."""
    rng = np.random.default_rng(0)
    drawn = [eo.tags(*rng.integers(5_000, size=3).tolist()) for _ in range(2_000)]
    many = eo.Labels(drawn, classes=range(5_000))
    jobs = {
        "735 tags": (data.fit[:5_000], data.labels[:5_000]),
        "5,000 tags": (data.fit[:2_000], many),
    }
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for size, (texts, labels) in jobs.items():
            for loss in OPTIONS:
                seconds = our_seconds(texts, labels, loss)
                found.setdefault(f"{size} | {loss}", []).append(seconds)
        for loss, seconds in fasttext_seconds(data).items():
            found.setdefault(f"735 tags | fastText {loss}", []).append(seconds)
    return {key: round(statistics.median(values), 3) for key, values in found.items()}


def our_seconds(texts: list[str], labels: eo.Labels, loss: str) -> float:
    """Processor seconds of an epoch of averaged embeddings: the faster of the last two of three."""
    ticks: list[float] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            ticks.append(time.process_time())

    options = TrainOptions(features="embedding", loss=loss, dim=100, epochs=3, lr=0.1)
    fit(texts, labels, options, progress=watch)
    return float(min(np.diff(ticks)))


def fasttext_seconds(data: Texts) -> dict[str, float]:
    """Processor seconds an epoch of fastText: two passes more, divided by two."""
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        named = [[data.classes[k] for k in np.flatnonzero(row)] for row in data.Y_fit[:5_000]]
        lines = (
            " ".join([*(f"__label__{tag}" for tag in row), text])
            for row, text in zip(named, data.fit[:5_000], strict=True)
        )
        path.write_text("\n".join(lines) + "\n", encoding="utf8")
        found = {}
        for loss in ("softmax", "ova"):
            ticks = [time.process_time()]
            for epochs in (1, 3):
                fasttext.train_supervised(
                    str(path), loss=loss, epoch=epochs, dim=100, thread=1, verbose=0, lr=0.1
                )
                ticks.append(time.process_time())
            once, thrice = np.diff(ticks)
            found[loss] = (thrice - once) / 2
    return found


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    made = {}
    for name in SETTINGS:
        scores = record[name]["scores"]
        keys = ("threshold", "jaccard", "precision at 1", "both", "one", "precision")
        header = ["", "threshold", "aggregate Jaccard", "precision at 1", "both tags of a pair",
                  "only one of the two", "pairs chosen that are true"]  # fmt: skip
        rows = [[option, *(spread(scores[option][key]) for key in keys)] for option in scores]
        made[name] = table(header, rows)
    header = ["tuned on", *(f"{n} rows" for n in TUNED_ON)]
    rows = [
        [f"{name}, {option}: {what}", *(f"{values[str(n)][i]:.3f}" for n in TUNED_ON)]
        for name in SETTINGS
        for option, values in record[name]["optimism"].items()
        for i, what in enumerate(("on the rows tuned on", "on the other rows"))
    ]
    made["optimism"] = table(header, rows)
    scores = record["remedies"]["scores"]
    names = list(dict.fromkeys(key.split(" | ")[0] for key in scores))
    for key in ("jaccard", "jaccard on its training rows", "whole set right", "both, best guess"):
        header = [key, *(f"{n} rows" for n in SIZES)]
        made[f"remedies: {key}"] = table(
            header, [[m, *(spread(scores[f"{m} | {n}"][key]) for n in SIZES)] for m in names]
        )
    times = record["seconds an epoch"]
    made["seconds an epoch"] = table(
        ["processor seconds an epoch", "735 tags, 5,000 rows", "5,000 tags, 2,000 rows"],
        [
            [what, times[f"735 tags | {what}"], times.get(f"5,000 tags | {what}", "")]
            for what in (*OPTIONS, "fastText softmax", "fastText ova")
        ],
    )
    return made


def picture(record: dict[str, Any]) -> None:
    """Optimism of tuning; models of whole sets against the number of training rows."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.9))
    lines = [
        (f"{option}: {what}", [values[str(n)][i] for n in TUNED_ON])
        for option, values in record["goemotions"]["optimism"].items()
        for i, what in enumerate(("the rows tuned on", "other rows"))
    ]
    for number, (label, values) in enumerate(lines):
        left.plot(TUNED_ON, values, label=label, **style(number))
    left.set_title("goemotions: what tuning claims", fontsize=9)
    left.set_xlabel("rows the threshold was tuned on", fontsize=8)
    left.set_ylabel("aggregate Jaccard index", fontsize=8)
    left.legend(fontsize=7)
    scores = record["remedies"]["scores"]
    names = list(dict.fromkeys(key.split(" | ")[0] for key in scores))
    panels = (
        (middle, "jaccard", "test rows"),
        (right, "jaccard on its training rows", "training rows"),
    )
    for axis, key, where in panels:
        for number, name in enumerate(names):
            values = [np.mean(scores[f"{name} | {n}"][key]) for n in SIZES]
            axis.plot(SIZES, values, label=name, **style(number))
        axis.set_title(f"30 tags: aggregate Jaccard, {where}", fontsize=9)
        axis.set_xlabel("training rows", fontsize=8)
    middle.legend(fontsize=7, loc="lower right")
    for axis in (left, middle, right):
        axis.set_xscale("log")
        ticks = TUNED_ON if axis is left else SIZES
        axis.set_xticks(ticks, [f"{n:,}" for n in ticks])
        axis.minorticks_off()
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    save(figure, "q5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--redraw", action="store_true", help="tables and picture as stored")
    args = parser.parse_args()
    if args.redraw:
        record = stored("q5")
        publish("q5", record, tables(record))
        return picture(record)
    start = time.perf_counter()
    record: dict[str, Any] = {
        "command": f"python benchmarks/questions/q5_random_label.py --seeds {args.seeds}",
        "data": "cooking: 12,404 training rows, 3,000 test rows; goemotions: the first "
        f"{GOEMOTIONS_ROWS:,}, and 5,426 of dev; {HELD_OUT:,} of the training rows held out",
        "settings": SETTINGS,
    }
    kept = {}
    for name in SETTINGS:
        record[name], proba, data = compare(name, args.seeds)
        kept[name] = data
        record[name]["optimism"] = {
            option: optimism(proba[option], data.Y_test) for option in ("pol", "ova")
        }
    record["remedies"] = remedies(kept["cooking"], args.seeds)
    record["seconds an epoch"] = seconds_an_epoch(kept["cooking"], rounds=3)
    record["seconds"] = round(time.perf_counter() - start)
    publish("q5", record, tables(record))
    picture(record)


if __name__ == "__main__":
    main()
