"""Small models: what a budget of bytes costs, next to fastText's own `quantize`, in one run.

Cooking Stack Exchange (735 tags; the first 12,404 questions train, the last 3,000 test) and
GoEmotions (28 emotions; its train and dev parts). Both kinds of models of texts are trained with no
options, shrunk to several sizes and scored; nothing is chosen on the test rows. fastText trains on
text prepared as in its tutorial, with the settings that end it (but for `hs`) on Cooking, and the
same but for 5 epochs and lr 0.5 on GoEmotions. It quantises with `qnorm`, several cut-offs and
`retrain` (5 epochs at its learning rate); each of its `.ftz` files is imported too. P@1 is the
share of test rows whose first tag is one of theirs. Bytes are those of the files.

`predict_ratio` is the time that the shrunk model takes for the test rows (in process, one thread)
by the time of the whole one: medians of neighbours' ratios over rounds in turn.

    python benchmarks/shrink.py [--rounds 7]      # writes benchmarks/results/shrink.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import fasttext
from _process import command_line

import eitheror as eo
from eitheror.labels import Labels, tags
from eitheror.model import Model, import_fasttext
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "shrink.json"
SIZES = ("2M", "1M", "500K", "200K")
CUTOFFS = (100_000, 20_000, 5_000)
TUTORIAL = {"dim": 50, "wordNgrams": 2, "bucket": 200_000}
SETTINGS = {
    "cooking": {"lr": 1.0, "epoch": 25, **TUTORIAL},
    "goemotions": {"lr": 0.5, "epoch": 5, **TUTORIAL},
}

Rows = list[tuple[str, list[str]]]


def cooking() -> tuple[Rows, Rows]:
    """Return training and test rows."""
    rows = []
    path = DATA / "cooking" / "cooking.stackexchange.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            marked = [word for word in words if word.startswith("__label__")]
            text = " ".join(words[len(marked) :])
            rows.append((text, [word.removeprefix("__label__") for word in marked]))
    return rows[:12_404], rows[12_404:]


def goemotions() -> tuple[Rows, Rows]:
    """Return training and test rows."""
    names = (DATA / "goemotions" / "labels.txt").read_text(encoding="utf-8").split()
    parts: list[Rows] = []
    for part in ("train", "dev"):
        path = DATA / "goemotions" / f"{part}.tsv.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            cells = [line.rstrip("\n").split("\t") for line in lines]
        parts.append([(row[0], [names[int(k)] for k in row[1].split(",")]) for row in cells])
    return parts[0], parts[1]


def precision_at_1(model: Model, texts: list[str], rows: Rows) -> float:
    """Return the share of rows whose most probable tag is one of theirs."""
    top = model.predict_proba(texts).argmax(axis=1)
    hits = [model.classes[k] in found for k, (_, found) in zip(top, rows, strict=True)]
    return round(sum(hits) / len(hits), 4)


def folder_bytes(model: Model, folder: Path) -> int:
    """Return the bytes of the model's folder."""
    model.save(folder)
    return sum(file.stat().st_size for file in folder.iterdir())


def predict_ratio(small: Model, whole: Model, texts: list[str], rounds: int) -> float:
    """Return the small model's time by the whole one's."""
    ratios = []
    for _ in range(rounds + 1):
        spent = []
        for model in (small, whole):
            start = time.process_time()
            model.predict_proba(texts)
            spent.append(time.process_time() - start)
        ratios.append(spent[0] / spent[1])
    return round(statistics.median(ratios[1:]), 2)  # the first round loads compiled code


def ours(train: Rows, test: Rows, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Train, shrink and score both kinds of models."""
    texts = [text for text, _ in test]
    labels = Labels([tags(*found) for _, found in train])
    table = []
    for features in ("tfidf", "embedding"):
        options = TrainOptions(features=features)
        whole = fit([text for text, _ in train], labels, options, n_jobs=2)
        before = precision_at_1(whole, texts, test)
        size = folder_bytes(whole, folder / "whole")
        table.append({"model": f"eitheror {features}", "bytes": size, "precision_at_1": before})
        for budget in SIZES:
            start = time.process_time()
            small = eo.shrink(whole, budget)
            spent = time.process_time() - start
            after = precision_at_1(small, texts, test)
            table.append(
                {
                    "model": f"eitheror {features}, shrink --size {budget}",
                    "bytes": folder_bytes(small, folder / "small"),
                    "precision_at_1": after,
                    "change": round(after - before, 4),
                    "kept": small.options["shrunk"],
                    "cpu_seconds": round(spent, 1),
                    "predict_ratio": predict_ratio(small, whole, texts, rounds),
                }
            )
            print(json.dumps(table[-1]), flush=True)
    return table


def prepared(text: str) -> str:
    """Prepare a text as fastText's tutorial does."""
    return " ".join(re.sub(r"([.!?,'/()])", r" \1 ", text).lower().split())


def theirs(name: str, train: Rows, test: Rows, folder: Path) -> list[dict[str, Any]]:
    """Train fastText, quantise, score, and import what it wrote."""
    files = {}
    for part, rows in (("train", train), ("test", test)):
        lines = [
            f"{' '.join('__label__' + tag for tag in found)} {prepared(text)}\n"
            for text, found in rows
        ]
        files[part] = str(folder / f"{part}.txt")
        Path(files[part]).write_text("".join(lines), encoding="utf-8")
    texts = [prepared(text) for text, _ in test]
    settings = {"thread": 1, "seed": 1, "verbose": 0, **SETTINGS[name]}
    whole = folder / "model.bin"
    fasttext.train_supervised(files["train"], **settings).save_model(str(whole))
    table = []
    for cutoff in (None, *CUTOFFS):
        model = fasttext.load_model(str(whole))
        what, path = "fastText", whole
        if cutoff is not None:
            again = {"retrain": True, "epoch": 5, "lr": settings["lr"], "thread": 1}
            model.quantize(files["train"], cutoff=cutoff, qnorm=True, verbose=0, **again)
            what, path = f"fastText, quantize cutoff {cutoff:,}", folder / "model.ftz"
            model.save_model(str(path))
        score = round(model.test(files["test"])[1], 4)
        row = {"model": what, "bytes": path.stat().st_size, "precision_at_1": score}
        if cutoff is not None:
            row["change"] = round(score - table[0]["precision_at_1"], 4)
            imported = import_fasttext(path, task="multilabel")
            row["imported_bytes"] = folder_bytes(imported, folder / "imported")
            row["imported_precision_at_1"] = precision_at_1(imported, texts, test)
        table.append(row)
        print(json.dumps(row), flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    fasttext.FastText.eprint = lambda *words: None
    found = {}
    for name, read in (("cooking", cooking), ("goemotions", goemotions)):
        train, test = read()
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            found[name] = ours(train, test, folder, rounds) + theirs(name, train, test, folder)
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "command": command_line(),
        "data": "cooking: 12,404 train, 3,000 test; goemotions: 43,410 train, 5,426 dev",
        "rounds": rounds,
        "models": found,
    }
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, table in found.items():
        print(f"\n{name:<44}{'bytes':>13}{'P@1':>9}{'change':>9}")
        for row in table:
            change = f"{row['change']:+.4f}" if "change" in row else ""
            print(f"{row['model']:<44}{row['bytes']:>13,}{row['precision_at_1']:>9.4f}{change:>9}")


if __name__ == "__main__":
    main()
