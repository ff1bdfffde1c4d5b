"""Thousands to a million classes: blocks of rows and the label tree against fastText.

Part 1: texts of 5,000 classes, softmax and tree, fastText and eitheror taking turns, each run a
process of its own. "cpu" is the processor time of reading the file and training, in the process,
on one thread, with compiled code in its cache. The learning rate of each row of the table is the
best of a short list on held-out texts, which are not the test texts. Five passes, where the table
does not say otherwise. Medians.

Part 2: what one text costs in training and in prediction (its five best classes, exactly) as the
number of classes grows, with the exponent of a power of K fitted to it.

Classes are drawn by Zipf's law and stand in groups of a hundred and subgroups of ten, as products
do: a text has words of its group, its subgroup and its class (half of these are those of another
class), and words that come everywhere.

    python benchmarks/many_classes.py    # stores benchmarks/results/many_classes.json
    python benchmarks/many_classes.py --documents 5000 --largest 10000   # a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _process import command_line, on_threads

RESULT = Path(__file__).parent / "results" / "many_classes.json"
N_CLASSES, DIM, EPOCHS = 5000, 10, 5
WORDS = {"common": 20_000, "group": 20, "subgroup": 10, "class": 5}
RATES = {
    "fasttext softmax": (0.5, 1.0, 2.0),
    "fasttext hs": (0.5, 1.0, 2.0),
    "eitheror softmax sgd": (0.5, 1.0, 2.0),
    "eitheror softmax adagrad": (0.3, 0.6, 1.0),
    "eitheror softmax adagrad epochs=2": (0.6, 1.0),
    "eitheror hs adagrad": (0.3, 0.6, 1.0),
}
STEADY = "fasttext softmax"  # what ratios are taken of


def write_documents(path: Path, n: int, n_classes: int, seed: int) -> None:
    """Write n lines of 16 words; the classes and their words are the same for every seed."""
    fixed, draw = np.random.default_rng(0), np.random.default_rng([seed, 1])
    p = 1.0 / np.arange(1, n_classes + 1)
    ids = fixed.permutation(n_classes)[draw.choice(n_classes, n, p=p / p.sum())]
    group, subgroup = ids // 100, ids // 10
    common = (WORDS["common"] * draw.random((n, 8)) ** 3).astype(int)
    parts = [
        (np.repeat("x", n), common),
        (
            np.char.add(np.char.add("g", group.astype(str)), "_"),
            draw.integers(0, WORDS["group"], (n, 2)),
        ),
        (
            np.char.add(np.char.add("s", subgroup.astype(str)), "_"),
            draw.integers(0, WORDS["subgroup"], (n, 2)),
        ),
        (
            np.char.add(np.char.add("c", ids.astype(str)), "_"),
            draw.integers(0, WORDS["class"], (n, 4)),
        ),
    ]
    # A class word is now and then that of another class.
    other = draw.choice(n_classes, (n, 4), p=p / p.sum())
    wrong = draw.random((n, 4)) < 0.5
    with path.open("w", encoding="utf-8") as out:
        for row in range(n):
            words = [f"{part[row]}{k}" for part, ks in parts[:3] for k in ks[row].tolist()]
            own = zip(
                parts[3][1][row].tolist(), wrong[row].tolist(), other[row].tolist(), strict=True
            )
            words += [f"c{o}_{k}" if bad else f"{parts[3][0][row]}{k}" for k, bad, o in own]
            out.write(f"__label__{ids[row]} {' '.join(words)}\n")


def run_fasttext(loss: str, rate: float, folder: Path) -> dict[str, float]:
    """Train with fastText's Python binding and score."""
    import fasttext

    start = time.process_time()
    model = fasttext.train_supervised(
        str(folder / "train.txt"), dim=DIM, epoch=EPOCHS, lr=rate, thread=1, minCount=1,
        loss=loss, verbose=0,
    )  # fmt: skip
    cpu = time.process_time() - start
    scores = {part: model.test(str(folder / f"{part}.txt"))[1] for part in ("valid", "test")}
    return {"cpu": cpu, **scores}


def run_eitheror(
    loss: str, optimizer: str, rate: float, epochs: int, folder: Path
) -> dict[str, float]:
    """Train with the same settings and score; the time includes reading the file."""
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    options = TrainOptions(
        features="embedding", loss=loss, optimizer=optimizer, dim=DIM, epochs=epochs, lr=rate,
        word_ngrams=1, min_count=1,
    )  # fmt: skip
    texts, labels = eo.read(str(folder / "warm.txt"))
    # As many classes as later: fewer are trained by other code.
    fit(texts, labels.with_classes([str(k) for k in range(N_CLASSES)]), options)
    start = time.process_time()
    texts, labels = eo.read(str(folder / "train.txt"))
    model = fit(texts, labels, options)
    found = {"cpu": time.process_time() - start}
    for part in ("valid", "test"):
        texts, labels = eo.read(str(folder / f"{part}.txt"))
        columns, _ = model.predict_top(texts, 1)
        told = [model.classes[column] for column in columns[:, 0].tolist()]
        truth = [next(iter(label.items))[0] for label in (row.parts[0] for row in labels)]
        found[part] = float(np.mean([a == b for a, b in zip(told, truth, strict=True)]))
    return found


def run_growth(n_classes: int, n: int, folder: Path) -> dict[str, float]:
    """Train a tree over so many classes; microseconds a text of training and of prediction."""
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    options = TrainOptions(loss="hs", dim=16, epochs=5, lr=0.6)
    warm = fit(*eo.read(str(folder / "warm.txt")), options)
    write_documents(folder / "grow.txt", n, n_classes, 5)
    texts, labels = eo.read(str(folder / "grow.txt"))
    names = [str(k) for k in range(n_classes)]
    labels = labels.with_classes(names)
    moments: list[float] = []

    def tell(event: dict[str, object]) -> None:
        if event["event"] == "epoch":
            moments.append(time.process_time())

    model = fit(texts, labels, options, progress=tell)
    write_documents(folder / "later.txt", 20_000, n_classes, 6)
    texts, labels = eo.read(str(folder / "later.txt"))
    rows = model.featurizer.transform(texts)
    warm.predict_top(texts[:100], 5)
    start = time.process_time()
    columns, _ = model.predict_top(rows, 5)
    spent = time.process_time() - start
    truth = labels.with_classes(names).sparse().indices
    return {
        "documents": n,
        "train_us": 1e6 * (moments[-1] - moments[0]) / (len(moments) - 1) / n,
        "predict_us": 1e6 * spent / len(texts),
        "p_at_1": float(np.mean(columns[:, 0] == truth)),
    }


def child(words: list[str]) -> None:
    """Run one tool and print what it measured."""
    kind, folder = words[0], Path(words[-1])
    if kind == "growth":
        found = run_growth(int(words[1]), int(words[2]), folder)
    elif kind == "fasttext":
        found = run_fasttext(words[1], float(words[2]), folder)
    else:
        epochs = next((int(word[7:]) for word in words if word.startswith("epochs=")), EPOCHS)
        found = run_eitheror(words[1], words[2], float(words[-2]), epochs, folder)
    print(json.dumps(found))


def measured(*words: object) -> dict[str, float] | None:
    """Return what a process of its own found, None if it died."""
    command = [sys.executable, __file__, "--child", *map(str, words)]
    done = subprocess.run(command, env=on_threads(1), capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def compare(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Let the tools take turns at their best rates; return medians, and ratios of neighbours."""
    runs: dict[str, list[dict[str, float]]] = {}
    rates = {}
    for tool, choices in RATES.items():
        tried = {rate: measured(*tool.split(), rate, folder) for rate in choices}
        done = {rate: found for rate, found in tried.items() if found is not None}
        rates[tool] = max(done, key=lambda rate: done[rate]["valid"])
        runs[tool] = []
    for _ in range(repeats):
        for tool, rate in rates.items():
            found = measured(*tool.split(), rate, folder)
            assert found is not None
            runs[tool].append(found)
    table = {}
    for tool, found in runs.items():
        pairs = zip(found, runs[STEADY], strict=True)
        table[tool] = {
            "lr": rates[tool],
            "cpu": statistics.median(run["cpu"] for run in found),
            "cpu_ratio": statistics.median(one["cpu"] / two["cpu"] for one, two in pairs),
            "p_at_1": statistics.median(run["test"] for run in found),
        }
        row = table[tool]
        print(
            f"{tool:34} lr {row['lr']:3} cpu {row['cpu']:6.2f} s ({row['cpu_ratio']:.3f}) "
            f"P@1 {row['p_at_1']:.4f}",
            flush=True,
        )
    return table


def growth(folder: Path, largest: int, repeats: int) -> dict[str, object]:
    """Cost of one text by the number of classes, and the exponents fitted to it."""
    sizes = [k for k in (1000, 10_000, 100_000, 1_000_000) if k <= largest]
    rows: dict[int, dict[str, float]] = {}
    for n_classes in sizes:
        found = [measured("growth", n_classes, 300_000, folder) for _ in range(repeats)]
        done = [run for run in found if run is not None]
        rows[n_classes] = {key: statistics.median(run[key] for run in done) for key in done[0]}
        row = rows[n_classes]
        print(
            f"{n_classes:9,} classes: training {row['train_us']:6.2f} us a text, "
            f"prediction {row['predict_us']:7.1f} us, P@1 {row['p_at_1']:.3f}",
            flush=True,
        )
    exponents = {}
    for key in ("train_us", "predict_us"):
        costs = [rows[k][key] for k in sizes]
        exponents[key] = float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
    print(", ".join(f"{key} ~ K^{value:.2f}" for key, value in exponents.items()))
    return {"rows": {str(k): row for k, row in rows.items()}, "exponents": exponents}


def main() -> None:
    """Measure, print the tables and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = (("train", options.documents), ("valid", 3000), ("test", 5000), ("warm", 500))
        for seed, (file, n) in enumerate(sizes):
            write_documents(folder / f"{file}.txt", n, N_CLASSES, seed)
        table = compare(folder, options.repeats)
        grown = growth(folder, options.largest, 1)
    if options.documents >= 40_000 and options.largest >= 1_000_000:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{options.documents:,} texts of {N_CLASSES:,} classes by Zipf's law; "
            "300,000 texts of 1,000 to 1,000,000 classes",
            "settings": {"epochs": EPOCHS, "dim": DIM, "threads": 1},
            "repeats": options.repeats,
            "load": os.getloadavg()[0],
            "results": table,
            "growth": grown,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
