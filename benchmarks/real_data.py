"""Four public data sets of real label knowledge, through the public readers and defaults.

- goemotions: train -> dev, 28 emotions; thresholds tuned on out-of-fold probabilities of train.
  `seconds` is everything from reading the files to the last score, on two threads.
- reuters21578: the first 80 % of the stories train, the rest test; many stories have no topic.
- cifar10_human: what people ruled out ("impossible") or believed, on 560 images; the other 140
  images, judged by other answers, and by their official label, which training never sees.
- imdb_reviewed: 6,000 labelled reviews with five people's judgements of doubtful labels added as
  votes or as `not_`; the unreviewed test reviews.

Public formats become JSONL through `examples/convert/`; nothing is chosen on test rows.

    python benchmarks/real_data.py [--only goemotions]   # writes benchmarks/results/real_data.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import eitheror as eo
from eitheror.sklearn import out_of_fold_proba

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "real_data.json"


def converted(folder: Path, converter: str, name: str, *arguments: object) -> Path:
    """Run one converter and return the JSONL file that it wrote."""
    path = folder / f"{name}.jsonl"
    script = ROOT / "examples" / "convert" / f"{converter}.py"
    command = [sys.executable, str(script), *map(str, arguments), "-o", str(path)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return path


def score(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Keep some metrics: one number where the truth is known, else the bounds."""
    kept = {}
    for name in names:
        metric = found["metrics"][name]
        low, high = (round(metric[end], 4) for end in ("lower", "upper"))
        kept[name] = low if low == high else [low, high]
    return kept


def goemotions(folder: Path) -> dict[str, Any]:
    """Emotions of comments."""
    source = DATA / "goemotions"
    files = [
        converted(folder, "goemotions", part, source / f"{part}.tsv.gz", source / "labels.txt")
        for part in ("train", "dev")
    ]
    begin = time.perf_counter()
    texts, labels = eo.read(files[0])
    test_texts, test_labels = eo.read(files[1])
    start = time.perf_counter()
    model = eo.TextClassifier(n_jobs=2).fit(texts, labels)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(test_texts)
    held_out = out_of_fold_proba(eo.TextClassifier(n_jobs=2), texts, labels, cv=3)
    report: dict[str, Any] = {"fit_seconds": round(seconds, 1)}
    report["at .5"] = score(eo.evaluate(test_labels, proba), "f1_macro", "f1_micro")
    for metric, per_class in (("f1_macro", True), ("f1_micro", False)):
        rule = eo.decide.TunedThreshold(metric, per_class=per_class).fit(labels, held_out)
        found = eo.evaluate(test_labels, proba, decision=rule)
        report[f"tuned for {metric}"] = score(found, "f1_macro", "f1_micro", "precision_at_1")
    report["seconds"] = round(time.perf_counter() - begin, 1)
    return report


def reuters21578(folder: Path) -> dict[str, Any]:
    """Topics of news stories, none for a fifth of them."""
    path = converted(folder, "reuters", "reuters", DATA / "reuters21578" / "modapte_train.jsonl.gz")
    texts, labels = eo.read(path)
    cut = int(0.8 * len(texts))
    start = time.perf_counter()
    model = eo.TextClassifier(n_jobs=2).fit(texts[:cut], labels[:cut])
    seconds = time.perf_counter() - start
    proba = model.predict_proba(texts[cut:])
    held_out = out_of_fold_proba(eo.TextClassifier(n_jobs=2), texts[:cut], labels[:cut], cv=3)
    rule = eo.decide.TunedThreshold("f1_micro").fit(labels[:cut], held_out)
    wanted = ("f1_micro", "f1_macro", "f1_samples")
    return {
        "fit_seconds": round(seconds, 1),
        "at .5": score(eo.evaluate(labels[cut:], proba), *wanted),
        "tuned for f1_micro": score(eo.evaluate(labels[cut:], proba, decision=rule), *wanted),
    }


def cifar10_human(folder: Path) -> dict[str, Any]:
    """Images: each row is one person's answer, as what they ruled out or as a blend."""
    source = DATA / "cifar10_human"
    with gzip.open(source / "elicited.jsonl.gz", "rt", encoding="utf8") as lines:
        official = {str(row["index"]): row["label"] for row in map(json.loads, lines)}
    images = list(official)
    test_images = set(images[560:])
    report: dict[str, Any] = {}
    for form in ("not", "soft"):
        arguments = (source / "elicited.jsonl.gz", source / "classes.txt", "--form", form)
        pictures = ("--images", source / "test_images.zip", "--size", "8")
        path = converted(folder, "cifar10_elicited", f"cifar_{form}", *arguments, *pictures)
        table = eo.files.read_table(path)
        owner = np.array([str(key).split("/")[0] for key in table.ids])
        test = np.isin(owner, list(test_images))
        X, labels = np.asarray(table.inputs), table.labels
        model = eo.LinearClassifier().fit(X[~test], labels[~test])
        proba = model.predict_proba(X[test])
        _, first = np.unique(owner[test], return_index=True)
        truth = eo.Labels([official[i] for i in owner[test][first]], classes=labels.classes)
        report[form] = {
            "rows": labels.kind_counts(),
            "against people's answers": score(eo.evaluate(labels[test], proba), "accuracy"),
            "against official labels": score(eo.evaluate(truth, proba[first]), "accuracy"),
        }
    return report


def imdb_reviewed(folder: Path) -> dict[str, Any]:
    """Sentiment of reviews, with judgements of doubtful labels added in three ways."""
    source = DATA / "imdb_reviewed" / "imdb.jsonl.xz"
    texts, labels = eo.read(converted(folder, "imdb_reviewed", "train", source, "--part", "train"))
    test_texts, test_labels = eo.read(
        converted(folder, "imdb_reviewed", "test", source, "--part", "test")
    )
    report: dict[str, Any] = {}
    forms = {"labels alone": None, "and as given": "given", "and votes": "votes", "and not_": "not"}
    for name, form in forms.items():
        more_texts: list[str] = []
        parts = [labels]
        if form:
            arguments = (source, "--part", "reviewed", "--as", form)
            path = converted(folder, "imdb_reviewed", f"reviewed_{form}", *arguments)
            more_texts, more = eo.read(path, classes=labels.classes)
            parts.append(more)
        joined = eo.Labels.concatenate(parts)
        model = eo.TextClassifier(n_jobs=2).fit([*texts, *more_texts], joined)
        found = eo.evaluate(test_labels, model.predict_proba(test_texts))
        report[name] = {"rows": joined.kind_counts(), **score(found, "accuracy", "log_loss")}
    return report


SETS = {f.__name__: f for f in (goemotions, reuters21578, cifar10_human, imdb_reviewed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(SETS), action="append")
    chosen = parser.parse_args().only or list(SETS)
    if not DATA.exists():
        raise SystemExit(f"this benchmark reads public data sets from {DATA}, which is not there")
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    report["command"] = "python benchmarks/real_data.py"
    report["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, shared with other work"
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            report[name] = SETS[name](Path(folder))
            print(name, json.dumps(report[name], indent=1), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
