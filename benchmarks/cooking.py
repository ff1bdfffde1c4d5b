"""Cooking Stack Exchange (fastText's tutorial): our command and our embeddings against fastText.

Train on the first 12,404 questions, test on the last 3,000. Four contestants run in turn, several
rounds, so that a busy machine hits all of them; medians are reported.

- `eitheror train` with no options, the whole process (start, reading, training, writing).
- the same, in-process, by `fit`.
- averaged embeddings with the settings at the end of fastText's tutorial, in-process.
- fastText with these settings, through its Python interface, on 2 threads: on the text prepared
  as in the tutorial, and on the raw text that ours reads.

The cut for micro-F1 is tuned on training rows that were held out, never on the test rows.

    python benchmarks/cooking.py [--rounds 3]     # writes benchmarks/results/cooking.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from eitheror.decide import TunedThreshold
from eitheror.labels import Labels, tags
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cooking"
RESULTS = Path(__file__).parent / "results" / "cooking.json"
TRAIN = 12_404
TUTORIAL = {"lr": 1.0, "epochs": 25, "word_ngrams": 2, "loss": "pol", "dim": 100}


def read() -> tuple[list[str], list[list[str]]]:
    """Texts and tags of all questions."""
    texts, rows = [], []
    path = DATA / "cooking.stackexchange.txt.gz"
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in lines:
            words = line.split()
            rows.append([w.removeprefix("__label__") for w in words if w.startswith("__label__")])
            texts.append(" ".join(w for w in words if not w.startswith("__label__")))
    return texts, rows


def write(path: Path, texts: list[str], rows: list[list[str]]) -> None:
    lines = (
        " ".join([*(f"__label__{tag}" for tag in row), text])
        for text, row in zip(texts, rows, strict=True)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf8")


def normalise(text: str) -> str:
    """Prepare a text as the tutorial does: punctuation set apart, lower case."""
    return re.sub(r"([.!?,'/()])", r" \1 ", text).lower()


def precision_at_1(proba: np.ndarray, classes: list[str], rows: list[list[str]]) -> float:
    top = proba.argmax(axis=1)
    return float(np.mean([classes[k] in row for k, row in zip(top, rows, strict=True)]))


def f1_micro(chosen: np.ndarray, classes: list[str], rows: list[list[str]]) -> float:
    """Tags that training never saw count as missed."""
    hits = sum(classes[k] in rows[i] for i, k in zip(*np.nonzero(chosen), strict=True))
    return 2 * hits / (int(chosen.sum()) + sum(len(set(row)) for row in rows))


class Benchmark:
    """The data, in memory and as files, and the contestants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        texts, rows = read()
        self.texts, self.rows = texts[:TRAIN], rows[:TRAIN]
        self.test_texts, self.test_rows = texts[TRAIN:], rows[TRAIN:]
        self.labels = Labels([tags(*row) for row in self.rows])
        write(folder / "train.txt", self.texts, self.rows)
        write(folder / "test.txt", self.test_texts, self.test_rows)
        write(folder / "train.clean.txt", [normalise(t) for t in self.texts], self.rows)
        write(folder / "test.clean.txt", [normalise(t) for t in self.test_texts], self.test_rows)

    def command(self) -> dict[str, float]:
        """Run the command line tool, from its start to the model on disk."""
        model = self.folder / "cooking.model"
        call = [sys.executable, "-m", "eitheror"]
        start = time.perf_counter()
        train = [*call, "train", self.folder / "train.txt", "-o", model]
        subprocess.run(train, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        call += ["evaluate", model, self.folder / "test.txt", "--json"]
        found = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
        return {
            "seconds": seconds,
            "precision_at_1": found["metrics"]["precision_at_1"]["lower"],
            "model_mb": sum(f.stat().st_size for f in model.iterdir()) / 1e6,
        }

    def ours(self, options: TrainOptions) -> dict[str, float]:
        """Train in this process."""
        start = time.perf_counter()
        model = fit(self.texts, self.labels, options, n_jobs=2)
        seconds = time.perf_counter() - start
        proba = model.predict_proba(self.test_texts)
        return {
            "seconds": seconds,
            "precision_at_1": precision_at_1(proba, model.classes, self.test_rows),
        }

    def fasttext(self, threads: int, clean: bool) -> dict[str, float]:
        """Train fastText in this process, on prepared or raw text."""
        import fasttext

        name = "clean.txt" if clean else "txt"
        start = time.perf_counter()
        model = fasttext.train_supervised(
            str(self.folder / f"train.{name}"), lr=1.0, epoch=25, wordNgrams=2, dim=100,
            thread=threads, verbose=0,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        _, precision, _ = model.test(str(self.folder / f"test.{name}"))
        return {"seconds": seconds, "precision_at_1": precision}

    def tuned(self) -> dict[str, float]:
        """Score micro-F1 on the test rows, the cut tuned on the last 2,000 training rows."""
        first = TRAIN - 2000
        part = fit(self.texts[:first], self.labels[:first], n_jobs=2)
        held_out = self.labels[first:]
        rule = TunedThreshold("f1_micro")
        rule.fit(held_out, part.predict_proba(self.texts[first:]))
        model = fit(self.texts, self.labels, n_jobs=2)
        chosen = rule.predict(model.predict_proba(self.test_texts))
        alone = rule.predict(part.predict_proba(self.test_texts))
        return {
            "threshold": float(rule.threshold_),
            "f1_micro": f1_micro(chosen, model.classes, self.test_rows),
            "f1_micro_of_the_part_model": f1_micro(alone, model.classes, self.test_rows),
        }


def contestants(bench: Benchmark) -> dict[str, Callable[[], dict[str, float]]]:
    tutorial = TrainOptions(features="embedding", **TUTORIAL)
    return {
        "eitheror train, no options, whole process": bench.command,
        "fit, no options": lambda: bench.ours(TrainOptions()),
        "fit, embedding, tutorial settings": lambda: bench.ours(tutorial),
        "fastText, tutorial settings, prepared text": lambda: bench.fasttext(2, True),
        "fastText, tutorial settings, raw text": lambda: bench.fasttext(2, False),
    }


def report(found: dict[str, list[dict[str, float]]], tuned: dict[str, float]) -> dict[str, object]:
    """Medians over the rounds so far."""
    medians = {
        name: {key: round(statistics.median(r[key] for r in rows), 4) for key in rows[0]}
        for name, rows in found.items()
    }
    return {
        "command": "python benchmarks/cooking.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "data": "cooking.stackexchange.txt, first 12,404 questions train, last 3,000 test",
        "rounds": min(map(len, found.values())),
        "medians": medians,
        "tuned on held-out training rows": {k: round(v, 4) for k, v in tuned.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        bench = Benchmark(Path(folder))
        runs = contestants(bench)
        tuned = bench.tuned()
        runs["fit, embedding, tutorial settings"]()  # compiles, on a first run
        found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                found[name].append(run())
                print(name, found[name][-1], flush=True)
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(report(found, tuned), indent=1) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
