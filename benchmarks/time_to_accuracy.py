"""Time to fastText's final accuracy: how long each trainer takes to be as accurate as it.

fastText trains 5 epochs with word pairs and 10 numbers a word; its loss (softmax, ova, hs) and
rate are those that are best on held-out training rows. Of our settings (optimiser, epochs,
rate) the one with the fewest epochs is taken that is at least as accurate as fastText on the same
held-out rows. Test rows choose nothing: they only give the accuracies in the table, after all
have trained on all training rows. scikit-learn's TF-IDF with logistic regression and with SGD, and
Vowpal Wabbit (one-against-all, word pairs, 5 passes) run with settings that are usual for them.

Every run is a process of its own; fastText and eitheror take turns, and the table holds their
medians. The others run once, on one thread. The time is that of
reading the training file and of training, without imports, and for us with kernels in their cache
after a first fit of 500 lines; "process" is from start to exit.

    python benchmarks/time_to_accuracy.py               # stores results/time_to_accuracy.json
    python benchmarks/time_to_accuracy.py --rounds 1 --documents 20000    # a quick look
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _documents import DATA, write_documents
from _process import command_line, on_threads

RESULT = Path(__file__).parent / "results" / "time_to_accuracy.json"
EPOCHS = 5
FASTTEXT = [(loss, lr) for loss in ("softmax", "ova", "hs") for lr in (0.25, 0.5, 1.0)]
OURS = [
    *(("adagrad", epochs, lr) for epochs in (1, 2, 3, 5) for lr in (0.2, 0.5)),
    *(("sgd", epochs, lr) for epochs in (2, 5) for lr in (0.5, 1.0)),
]
PEERS = ("scikit-learn logistic regression", "scikit-learn SGD", "Vowpal Wabbit")
HELD_OUT = 10  # one training row in so many


def read(file: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a file in fastText's format."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    labels, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    return list(texts), list(labels)


def run_fasttext(train: str, test: str, threads: int, setting: list) -> dict[str, float]:
    import fasttext

    loss, lr = setting
    start = time.perf_counter(), time.process_time()
    fitted = fasttext.train_supervised(
        train, dim=10, wordNgrams=2, epoch=EPOCHS, lr=lr, thread=threads, minCount=1,
        bucket=2_000_000, loss=loss, verbose=0,
    )  # fmt: skip
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    texts, labels = read(test)
    right = [
        found[0] == label for found, label in zip(fitted.predict(texts)[0], labels, strict=True)
    ]
    return {"fit": spent[0], "cpu": spent[1], "accuracy": statistics.fmean(right)}


def run_eitheror(train: str, test: str, threads: int, setting: list) -> dict[str, float]:
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    optimizer, epochs, lr = setting
    options = TrainOptions(
        features="embedding", optimizer=optimizer, epochs=epochs, lr=lr, dim=10,
        word_ngrams=2, ngram_min_count=1,
    )  # fmt: skip
    fit(*eo.read(str(Path(train).with_name("warm.txt"))), options, n_jobs=threads)
    start = time.perf_counter(), time.process_time()
    fitted = fit(*eo.read(train), options, n_jobs=threads)
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    texts, labels = read(test)
    found = fitted.predict(texts, n_jobs=threads)
    right = [f"__label__{name}" == label for (name,), label in zip(found, labels, strict=True)]
    return {"fit": spent[0], "cpu": spent[1], "accuracy": statistics.fmean(right)}


def run_sklearn(train: str, test: str, threads: int, setting: list) -> dict[str, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.pipeline import make_pipeline

    if setting[0].endswith("SGD"):
        last = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=5, tol=None, random_state=0)
    else:
        last = LogisticRegression(C=10.0, max_iter=30)
    start = time.perf_counter(), time.process_time()
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), last)
    pipeline.fit(*read(train))
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    texts, labels = read(test)
    return {"fit": spent[0], "cpu": spent[1], "accuracy": pipeline.score(texts, labels)}


def run_vw(train: str, test: str, threads: int, setting: list) -> dict[str, float]:
    from vowpalwabbit import Workspace

    texts, labels = read(train)
    classes = sorted(set(labels))
    clean = str.maketrans(":|", "  ")
    lines = [
        f"{classes.index(label) + 1} | {text.translate(clean)}\n"
        for text, label in zip(texts, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file, cache = f"{folder}/train.vw", f"{folder}/cache"
        Path(file).write_text("".join(lines), encoding="utf-8")
        start = time.perf_counter(), time.process_time()
        fitted = Workspace(
            f"-d {file} --cache_file {cache} --passes {EPOCHS} --oaa {len(classes)} --ngram 2 "
            "-b 22 --loss_function logistic --holdout_off --quiet"
        )
        spent = time.perf_counter() - start[0], time.process_time() - start[1]
        texts, labels = read(test)
        right = [
            classes[fitted.predict(f"| {text.translate(clean)}") - 1] == label
            for text, label in zip(texts, labels, strict=True)
        ]
        fitted.finish()
    return {"fit": spent[0], "cpu": spent[1], "accuracy": statistics.fmean(right)}


def run(tool: str, train: str, test: str, threads: int, setting: list) -> dict[str, float]:
    """Train with one tool and score it."""
    runners = {"fasttext": run_fasttext, "eitheror": run_eitheror, "sklearn": run_sklearn}
    return runners.get(tool, run_vw)(train, test, threads, setting)


def measured(folder: Path, tool: str, files: tuple[str, str], threads: int, setting: tuple) -> dict:
    """Return what one process of a tool says, and how long it took as a whole."""
    train, test = (str(folder / name) for name in files)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", tool, train, test, str(threads), json.dumps(setting)],
        env=on_threads(threads), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]) | {"process": time.perf_counter() - start}


def choose(folder: Path) -> tuple[tuple, tuple, dict[str, float]]:
    """Choose fastText's best setting and our cheapest one that is as good, on held-out rows."""
    files = ("part.txt", "held_out.txt")
    scores = {
        setting: measured(folder, "fasttext", files, 2, setting)["accuracy"] for setting in FASTTEXT
    }
    best = max(FASTTEXT, key=scores.__getitem__)
    ours = {setting: measured(folder, "eitheror", files, 2, setting) for setting in OURS}
    good = [s for s in OURS if ours[s]["accuracy"] >= scores[best]]
    most = max(OURS, key=lambda s: ours[s]["accuracy"])
    chosen = min(good, key=lambda s: (s[1], -ours[s]["accuracy"]), default=most)
    seen = {f"fastText {loss} lr {lr}": value for (loss, lr), value in scores.items()}
    seen |= {f"eitheror {s[0]}, epochs {s[1]}, lr {s[2]}": ours[s]["accuracy"] for s in OURS}
    return best, chosen, seen


def compare(folder: Path, threads: int, rounds: int, best: tuple, chosen: tuple) -> dict:
    """Let all train on all training rows in turn; return medians and ratios to fastText."""
    files = ("train.txt", "test.txt")
    entries = [
        (f"fastText {best[0]}, lr {best[1]}", "fasttext", best),
        (f"eitheror {chosen[0]}, epochs {chosen[1]}, lr {chosen[2]}", "eitheror", chosen),
        *((name, "sklearn" if "scikit" in name else "vw", (name,)) for name in PEERS),
    ]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in entries}
    for number in range(rounds):
        for name, tool, setting in entries:
            peer = tool not in ("fasttext", "eitheror")
            if not peer or (number == 0 and threads == 1):  # slow, and all of them on one thread
                runs[name].append(measured(folder, tool, files, threads, setting))
    base = entries[0][0]
    found = {}
    for name, _, _ in entries:
        if runs[name]:
            found[name] = {k: statistics.median(r[k] for r in runs[name]) for k in runs[name][0]}
            for key in ("fit", "cpu", "process"):
                pairs = zip(runs[name], runs[base], strict=False)
                found[name][f"{key}_ratio"] = statistics.median(a[key] / b[key] for a, b in pairs)
    return found


def write_data(folder: Path, name: str, documents: int) -> None:
    """Write train.txt and test.txt of a data set, and the training rows in two parts."""
    if name == "ag_news":
        lines: dict[str, list[str]] = {"extra": [], "official_test": []}
        with gzip.open(DATA, "rt", encoding="utf-8") as rows:
            for row in map(json.loads, rows):
                text = " ".join(row["text"].lower().split())
                lines[row["source"]].append(f"__label__{row['label']} {text}")
        for file, key in (("train.txt", "extra"), ("test.txt", "official_test")):
            (folder / file).write_text("\n".join(lines[key]) + "\n", encoding="utf-8")
    else:
        write_documents(folder / "train.txt", documents, 0)
        write_documents(folder / "test.txt", 5000, 1)
    rows = (folder / "train.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "held_out.txt").write_text("".join(rows[::HELD_OUT]), encoding="utf-8")
    kept = [row for number, row in enumerate(rows) if number % HELD_OUT]
    (folder / "part.txt").write_text("".join(kept), encoding="utf-8")
    (folder / "warm.txt").write_text("".join(rows[:500]), encoding="utf-8")


def main() -> None:
    """Measure both data sets, print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    results = {}
    for data in ("ag_news", "chains"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_data(folder, data, options.documents)
            best, chosen, seen = choose(folder)
            results[data] = {"held_out_accuracy": seen}
            for threads in (1, 2):
                found = compare(folder, threads, options.rounds, best, chosen)
                results[data][f"{threads} thread{'s' * (threads > 1)}"] = found
                for tool, row in found.items():
                    print(
                        f"{data:8} {threads} {tool:36} fit {row['fit']:6.2f} s "
                        f"({row['fit_ratio']:.2f}) cpu {row['cpu']:6.2f} ({row['cpu_ratio']:.2f}) "
                        f"process {row['process']:6.2f} s ({row['process_ratio']:.2f}) "
                        f"accuracy {row['accuracy']:.4f}",
                        flush=True,
                    )
    if options.documents >= 100_000:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": "AG News (5,001 training and 7,600 test rows), and "
            f"{options.documents:,} documents from word chains over it (5,000 test rows)",
            "rounds": options.rounds,
            "load": os.getloadavg()[0],
            "results": results,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        tool, train, test, threads, setting = sys.argv[2:]
        print(json.dumps(run(tool, train, test, int(threads), json.loads(setting))))
    else:
        main()
