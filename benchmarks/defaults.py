"""How the default training options were chosen: a grid, scored on held-out training rows.

The official test rows of the data sets are never read. A share of the training rows is held out
(seed 7) and every setting is scored there by precision at 1, by micro-F1 at its best cut and by the
mean log loss of the statements. The default is one that is close to the best everywhere, not the
best of one data set.

    python benchmarks/defaults.py            # writes benchmarks/results/defaults.json
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import platform
import time
from pathlib import Path

import numpy as np

from eitheror.labels import Labels, tags
from eitheror.losses import LOSSES
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results"
GRID = {
    "tfidf": [
        {"lr": lr, "epochs": epochs, "l2": l2}
        for l2, lr, epochs in itertools.product((0.0, 3e-6, 1e-5), (1.0, 2.0, 4.0), (3, 5, 8))
    ]
    + [
        {"optimizer": "adagrad", "lr": lr, "epochs": epochs}
        for lr, epochs in itertools.product((0.25, 0.4, 0.5, 1.0, 2.0), (3, 5))
    ],
    "features": [
        {"word_ngrams": 1, "char_ngrams": (0, 0)},
        {"word_ngrams": 2, "char_ngrams": (0, 0)},
        {"word_ngrams": 1, "char_ngrams": (3, 5)},
        {"word_ngrams": 2, "char_ngrams": (3, 5)},
        {"word_ngrams": 2, "char_ngrams": (3, 6)},
        {"word_ngrams": 2, "char_ngrams": (2, 5)},
        {"word_ngrams": 2, "char_ngrams": (3, 5), "ngram_min_count": 1},
    ],
    "embedding": [
        {"features": "embedding", "lr": lr, "epochs": epochs, "word_ngrams": n}
        for lr, epochs, n in itertools.product((0.2, 0.5, 1.0), (5, 15), (1, 2))
    ]
    + [
        {"features": "embedding", "optimizer": "adagrad", "lr": lr, "epochs": epochs}
        for lr, epochs in itertools.product((0.1, 0.3), (2, 5))
    ],
}


def cooking() -> tuple[list[str], list[list[str]]]:
    """Read the first 12,404 lines, the training rows of the tutorial."""
    texts, rows = [], []
    path = DATA / "cooking" / "cooking.stackexchange.txt.gz"
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in itertools.islice(lines, 12_404):
            words = line.split()
            rows.append([w.removeprefix("__label__") for w in words if w.startswith("__label__")])
            texts.append(" ".join(w for w in words if not w.startswith("__label__")))
    return texts, rows


def goemotions() -> tuple[list[str], list[list[str]]]:
    """Read the training file."""
    texts, rows = [], []
    with gzip.open(DATA / "goemotions" / "train.tsv.gz", "rt", encoding="utf8") as lines:
        for line in lines:
            text, labels, _ = line.rstrip("\n").split("\t")
            texts.append(text)
            rows.append(labels.split(","))
    return texts, rows


def ag_news() -> tuple[list[str], list[list[str]]]:
    """Read the rows that are not the official test."""
    with gzip.open(DATA / "ag_news" / "ag_news.jsonl.gz", "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [row for row in rows if row["source"] == "extra"]
    return [row["text"] for row in rows], [[str(row["label"])] for row in rows]


SETS = {"cooking": cooking, "goemotions": goemotions, "ag_news": ag_news}


def split(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out positions."""
    order = np.random.default_rng(7).permutation(n)
    held_out = min(n // 5, 5000)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def scores(labels: Labels, truth: np.ndarray, model, texts: list[str]) -> dict[str, float]:
    logits = model.decision_function(texts)
    n = len(logits)
    order = np.argsort(-logits.ravel(), kind="stable")[: 20 * n]
    hits = np.cumsum(truth.ravel()[order])
    f1 = 2 * hits / (truth.sum() + np.arange(1, len(order) + 1))
    value = LOSSES["pal-n" if model.loss == "pol" else model.loss].value
    return {
        "precision_at_1": round(float(truth[np.arange(n), logits.argmax(1)].mean()), 4),
        "f1_micro_best_cut": round(float(f1.max()), 4),
        "log_loss": round(float(value(logits.astype(float), labels.to_targets()).mean()), 4),
    }


def study(name: str, group: str) -> list[dict]:
    texts, rows = SETS[name]()
    many = any(len(row) > 1 for row in rows)
    classes = sorted({label for row in rows for label in row})
    labels = Labels([tags(*row) if many else row[0] for row in rows], classes=classes)
    train, held_out = split(len(texts))
    test_labels = labels[held_out]
    truth = np.zeros((len(held_out), len(classes)), bool)
    for i, row in enumerate(held_out):
        truth[i, [labels.class_index[label] for label in rows[row]]] = True
    results = []
    for setting in GRID[group]:
        if group == "embedding" and many:
            setting = {**setting, "loss": "pol"}
        start = time.perf_counter()
        model = fit([texts[i] for i in train], labels[train], TrainOptions(**setting))
        seconds = round(time.perf_counter() - start, 2)
        found = scores(test_labels, truth, model, [texts[i] for i in held_out])
        results.append({**setting, **found, "seconds": seconds})
        print(name, group, results[-1], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--groups", nargs="*", default=list(GRID), choices=list(GRID))
    arguments = parser.parse_args()
    path = RESULTS / "defaults.json"
    stored = json.loads(path.read_text()) if path.exists() else {"results": {}}
    stored["machine"] = f"{platform.machine()}, {platform.system()}, 2 cores, shared"
    stored["command"] = "python benchmarks/defaults.py"
    for group, name in itertools.product(arguments.groups, arguments.sets):
        stored["results"].setdefault(group, {})[name] = study(name, group)
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
