"""`tune_hyperparameters` against the defaults, and fastText's autotune in the same time.

Cooking: the last 3,000 questions are the test, GoEmotions: its dev file is. A fifth of the training
rows is held out once, by `tune_hyperparameters`; fastText gets the same training rows and all the
held-out rows as its autotuneValidationFile, and its cut for micro-F1 is tuned on these. Test rows
are looked at after all choices. lost: three splits, a fifth as test; true labels only score it.

    python benchmarks/autotune.py [cooking goemotions lost] [--seconds 240]

writes benchmarks/results/autotune.json, data set by data set.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cooking import TRAIN, normalise, precision_at_1, read, write

import eitheror as eo
from eitheror.decide import TunedThreshold, score_decision
from eitheror.labels import Labels, tags
from eitheror.search import SearchResult
from eitheror.training import fit

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "autotune.json"
METRIC = "f1_micro"
Text = tuple[list[str], list[list[str]]]


def goemotions(name: str) -> Text:
    names = (SHARED / "goemotions" / "labels.txt").read_text().split()
    texts, rows = [], []
    with gzip.open(SHARED / "goemotions" / f"{name}.tsv.gz", "rt", encoding="utf8") as lines:
        for text, numbers, _ in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            texts.append(text)
            rows.append([names[int(number)] for number in numbers.split(",")])
    return texts, rows


def data_of(name: str) -> tuple[Text, Text]:
    """Training and test rows."""
    if name == "cooking":
        texts, rows = read()
        return (texts[:TRAIN], rows[:TRAIN]), (texts[TRAIN:], rows[TRAIN:])
    return goemotions("train"), goemotions("dev")


def scores(proba: np.ndarray, decided: np.ndarray, labels: Labels, test: Text) -> dict[str, float]:
    """Return true scores on the test rows; tags that training never saw count as missed."""
    classes = list(labels.classes)
    truth = Labels([tags(*row) for row in test[1]])
    wide = sorted({*classes, *truth.classes})
    place = [wide.index(name) for name in classes]
    chosen = np.zeros((len(decided), len(wide)), dtype=bool)
    chosen[:, place] = decided
    return {
        METRIC: round(score_decision(METRIC, truth.with_classes(wide), chosen), 4),
        "precision_at_1": round(precision_at_1(proba, classes, test[1]), 4),
    }


def of_model(model: Any, labels: Labels, test: Text) -> dict[str, float]:
    proba = model.predict_proba(test[0], n_jobs=2)
    return scores(proba, model.rule().predict(proba), labels, test)


def taken(found: list[Any], rows: np.ndarray) -> list[Any]:
    return [found[i] for i in rows.tolist()]


def of_search(found: SearchResult, train: Text, labels: Labels, test: Text) -> dict[str, Any]:
    """Return what the search said, and the truth about its model and about the defaults."""
    rows = found.rows["train"]
    default = fit(taken(train[0], rows), labels[rows], found.trials[0].options, n_jobs=2)
    held_out = found.rows["selection"]
    proba = default.predict_proba(taken(train[0], held_out), n_jobs=2)
    default.set_decision(TunedThreshold(METRIC).fit(labels[held_out], proba))
    everything = fit(train[0], labels, found.chosen.options, n_jobs=2)
    everything.decision, everything.calibration = found.model.decision, found.model.calibration
    return {
        "defaults, test": of_model(default, labels, test),
        "searched, test": of_model(found.model, labels, test),
        "searched options on all training rows, rule kept, test": of_model(
            everything, labels, test
        ),
        "searched, said on check rows": round(found.score, 4),
        "searched, interval": [round(end, 4) for end in found.interval or ()],
        "searched, said on selection rows": round(found.selection_score, 4),
        "gain over defaults on check rows": [round(found.gain, 4), *(found.gain_interval or ())],
        "decision": found.chosen.decision,
        "options": found.chosen.options.to_dict(),
        "trials": {
            state: sum(trial.state == state for trial in found.trials)
            for state in ("finished", "stopped", "failed", "out of time")
        },
        "seconds": round(found.seconds, 1),
    }


def of_fasttext(
    found: SearchResult, train: Text, labels: Labels, test: Text, seconds: int
) -> dict[str, Any]:
    """Return fastText's autotune on the same rows for the same time, its cut tuned afterwards.

    Texts are prepared as in fastText's tutorial.
    """
    import fasttext

    rows = found.rows["train"]
    held_out = np.setdiff1d(np.arange(len(labels)), rows)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, part in (("train", rows), ("valid", held_out)):
            texts = [normalise(text) for text in taken(train[0], part)]
            files.append(Path(folder) / name)
            write(files[-1], texts, taken(train[1], part))
        start = time.perf_counter()
        model = fasttext.train_supervised(
            str(files[0]), autotuneValidationFile=str(files[1]), autotuneDuration=seconds,
            thread=2, verbose=0, seed=0,
        )  # fmt: skip
        spent = time.perf_counter() - start
    classes = list(labels.classes)
    column = {f"__label__{name}": k for k, name in enumerate(classes)}

    def proba(texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), len(classes)), dtype=np.float32)
        for i, text in enumerate(texts):
            # the wrapper around this call does not run with NumPy 2
            for value, label in model.f.predict(normalise(text) + "\n", -1, 0.0, "strict"):
                found[i, column[label]] = min(value, 1.0)
        return found

    rule = TunedThreshold(METRIC).fit(labels[held_out], proba(taken(train[0], held_out)))
    seen = proba(test[0])
    return {
        "test": scores(seen, rule.predict(seen), labels, test),
        "seconds": round(spent, 1),
    }


def texts(name: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Search, then let fastText search; yield each as it ends."""
    train, test = data_of(name)
    labels = Labels([tags(*row) for row in train[1]])
    found = eo.tune_hyperparameters(train[0], labels, metric=METRIC, budget=seconds, n_jobs=2)
    print(found, flush=True)
    yield "eitheror", of_search(found, train, labels, test)
    yield "fastText autotune", of_fasttext(found, train, labels, test, seconds)


def lost(seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Three splits of a table of numbers with candidate sets; true labels score the test rows."""
    with np.load(SHARED / "partial_label" / "lost.npz") as data:
        inputs, truth = data["X"], data["y"].astype(np.int64)
        labels = Labels.from_candidates(data["candidates"])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(inputs))
        train, test = np.sort(order[225:]), np.sort(order[:225])
        found = eo.tune_hyperparameters(
            inputs[train], labels[train], budget=seconds / 3, n_jobs=2, random_state=seed
        )
        print(found, flush=True)
        part = train[found.rows["train"]]
        default = fit(inputs[part], labels[part], found.trials[0].options, n_jobs=2)
        report = {
            name: round(
                float(np.mean(model.predict_proba(inputs[test]).argmax(1) == truth[test])), 4
            )
            for name, model in (("defaults, test", default), ("searched, test", found.model))
        } | {
            "searched, said on check rows": round(found.score, 4),
            "searched, interval": [round(end, 4) for end in found.interval or ()],
            "searched, said on selection rows": round(found.selection_score, 4),
            "options": found.chosen.options.to_dict(),
            "n_trials": found.n_trials,
        }
        yield f"split {seed}", report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["cooking", "goemotions", "lost"])
    parser.add_argument("--seconds", type=int, default=240)
    arguments = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"data": {}}
    for name in arguments.names:
        seconds = arguments.seconds
        report: dict[str, Any] = {}
        for part, figures in lost(seconds) if name == "lost" else texts(name, seconds):
            report[part] = figures | {"load_average": [round(x, 1) for x in os.getloadavg()]}
            found = {
                "command": f"python benchmarks/autotune.py --seconds {arguments.seconds}",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
                "metric": f"{METRIC} for tags, accuracy for lost",
                "data": {**found["data"], name: report},
            }
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(report, indent=1), flush=True)


if __name__ == "__main__":
    main()
