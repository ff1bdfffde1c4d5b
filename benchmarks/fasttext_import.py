"""Models that fastText trained: whether we predict the same, and how fast.

fastText trains on Cooking Stack Exchange (735 tags) and on 20,000 rows of AG News (4 classes) with
several losses and kinds of n-grams. Each file is imported and predicts the held-out rows, in turn
with fastText's Python interface (a list of lines, one label a line, which is the fastest way there
is), one thread each; medians of the rounds. Ours gives the probabilities of all classes.

- `difference`: the largest between our probability and fastText's less 1e-5, over the five labels
  that fastText finds most probable for each line. fastText looks the sigmoid of ova up in a table:
  ours goes through the same table first, where a sum on the edge of a step can fall to its other
  side. With hs it adds 1e-5 at each turn, which is left in.
- `difference_same_order`: the same after our model's numbers went through 32-bit sums in fastText's
  order (softmax only), which is where the difference comes from.
- `ours_from_exact`, `fasttext_from_exact`: the largest distance to the same sums in 64 bits, where
  there is no table and no tree; what differs is the rounding of 32-bit sums.

    python benchmarks/fasttext_import.py      # writes benchmarks/results/fasttext_import.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fasttext
import numpy as np

from eitheror.model import CodedRows, Model, import_fasttext

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "fasttext_import.json"
GRAMS = {"wordNgrams": 2, "bucket": 200_000}
SETTINGS: dict[str, dict[str, Any]] = {
    "softmax, words": {"lr": 0.5},
    "softmax, bigrams": {"lr": 0.5, **GRAMS},
    "softmax, bigrams, characters 3 to 6": {"lr": 0.5, **GRAMS, "minn": 3, "maxn": 6},
    "ova, bigrams": {"loss": "ova", "lr": 0.5, **GRAMS},
    "hs, bigrams": {"loss": "hs", "lr": 0.5, **GRAMS},
    "softmax, bigrams, quantised to 20,000 rows": {
        "lr": 0.5,
        **GRAMS,
        "quantise": {"cutoff": 20_000, "qnorm": True},
    },
}


def cooking() -> tuple[list[str], list[str]]:
    """Return lines to train on, and texts."""
    with gzip.open(DATA / "cooking" / "cooking.stackexchange.txt.gz", "rt", encoding="utf-8") as f:
        lines = f.read().splitlines()
    texts = [
        " ".join(word for word in line.split(" ") if not word.startswith("__label__"))
        for line in lines[12_404:]
    ]
    return lines[:12_404], texts


def ag_news() -> tuple[list[str], list[str]]:
    """Return lines to train on, and texts."""
    with gzip.open(DATA / "ag_news" / "ag_news.jsonl.gz", "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    texts = [" ".join(row["text"].split()) for row in rows]
    lines = [f"__label__{row['label']} {text}" for row, text in zip(rows, texts, strict=True)]
    return lines[:20_000], texts[-10_000:]


def train(lines: list[str], settings: dict[str, Any], folder: str) -> Path:
    """Train fastText and return its file."""
    settings = dict(settings)
    quantise = settings.pop("quantise", None)
    text = Path(folder, "train.txt")
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(
        input=str(text), dim=50, epoch=10, thread=1, seed=1, verbose=0, **settings
    )
    if quantise is not None:
        model.quantize(input=str(text), **quantise)
    file = Path(folder, "model.bin")
    model.save_model(str(file))
    return file


def looked_up(logits: np.ndarray) -> np.ndarray:
    """Return fastText's sigmoid."""
    step = 1 / (1 + np.exp(-(np.floor((logits + 8) * 32) / 32 - 8)))
    return np.where(logits < -8, 0.0, np.where(logits > 8, 1.0, step))


def features_of(model: Model, texts: list[str]) -> Iterator[np.ndarray]:
    """Yield the embeddings of each text's features."""
    rows, embedding = model.featurizer.transform(texts), model.parameters.embedding
    for i in range(len(texts)):
        features = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
        coded = isinstance(embedding, CodedRows)
        yield embedding.take(features) if coded else embedding[features]


def fasttext_order_proba(model: Model, texts: list[str]) -> np.ndarray:
    """Return the softmax with 32-bit sums one after the other, as fastText adds them."""
    weight = model.parameters.weight
    logits = np.zeros((len(texts), len(weight)), np.float32)
    for row, found in zip(logits, features_of(model, texts), strict=True):
        if len(found):
            total = np.add.accumulate(found, axis=0, dtype=np.float32)[-1]
            hidden = total * np.float32(1 / len(found))
            row[:] = np.add.accumulate(hidden * weight, axis=1, dtype=np.float32)[:, -1]
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    return proba / np.add.accumulate(proba, axis=1, dtype=np.float32)[:, -1:]


def exact_proba(model: Model, texts: list[str]) -> np.ndarray:
    """Return the softmax of the sums in 64 bits."""
    parameters = model.parameters
    hidden = np.zeros((len(texts), parameters.embedding.shape[1]))
    for row, found in zip(hidden, features_of(model, texts), strict=True):
        if len(found):
            row[:] = found.mean(axis=0, dtype=np.float64)
    logits = hidden @ parameters.weight.T.astype(np.float64)
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    return proba / proba.sum(axis=1, keepdims=True)


def agreement(file: Path, model: Model, texts: list[str]) -> dict[str, float]:
    """Return how far our probabilities are from fastText's, and both from exact ones."""
    theirs = fasttext.load_model(str(file))
    ours = model.predict_proba(texts).astype(np.float64)
    if model.loss == "ova":
        ours = looked_up(model.decision_function(texts).astype(np.float64))
    place = {name: column for column, name in enumerate(model.classes)}
    rows, columns, found = [], [], []
    for row, text in enumerate(texts):
        for p, label in theirs.f.predict(text + "\n", 5, 0.0, "strict"):
            rows.append(row)
            columns.append(place[label.removeprefix("__label__")])
            found.append(p - 1e-5)
    named = np.array(rows), np.array(columns)
    result = {"difference": np.abs(ours[named] - found).max()}
    if model.options["fasttext_loss"] == "softmax":
        exact = exact_proba(model, texts)[named]
        same = fasttext_order_proba(model, texts)[named].astype(np.float64)
        result["difference_same_order"] = np.abs(same - found).max()
        result["ours_from_exact"] = np.abs(ours[named] - exact).max()
        result["fasttext_from_exact"] = np.abs(found - exact).max()
    return {name: float(value) for name, value in result.items()}


def speed(file: Path, model: Model, texts: list[str], rounds: int) -> dict[str, float]:
    """Return lines a second, medians of rounds in turn."""
    theirs = fasttext.load_model(str(file))
    model.predict_proba(texts)  # compiled kernels are loaded once
    taken: dict[str, list[float]] = {"fasttext": [], "ours": []}
    for _ in range(rounds):
        for name, work in (
            ("fasttext", lambda: theirs.predict(texts, k=1)),
            ("ours", lambda: model.predict_proba(texts)),
        ):
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {
        f"{name}_lines_a_second": round(len(texts) / statistics.median(seconds))
        for name, seconds in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    fasttext.FastText.eprint = lambda *words: None
    table = []
    for data, (lines, texts) in (("cooking", cooking()), ("ag_news", ag_news())):
        for name, settings in SETTINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                file = train(lines, settings, folder)
                start = time.perf_counter()
                model = import_fasttext(file)
                row: dict[str, Any] = {
                    "data": data,
                    "model": name,
                    "megabytes": round(file.stat().st_size / 1e6, 1),
                    "import_seconds": round(time.perf_counter() - start, 2),
                    **agreement(file, model, texts),
                    **speed(file, model, texts, rounds),
                }
            table.append(row)
            print(json.dumps(row), flush=True)
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "command": "python benchmarks/fasttext_import.py",
        "rounds": rounds,
        "models": table,
    }
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
