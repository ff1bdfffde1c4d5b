"""Training time of averaged embeddings against fastText: same data, same settings, same machine.

In the process: documents sampled from chains of words over AG News, each sentence now and then from
another class, so that there are enough of them. Every run is a process of its own; fastText and
eitheror take turns, and the table holds medians and the median of the ratios of neighbours. "fit"
is `train_supervised` or `TextClassifier.fit` with texts read from the same file, inside the
process, after a first fit of 500 lines; "process" is from start to exit, with imports, the model
written, the test file scored, and that first fit. Compiled code is in its cache.
fastText's other losses run once at each width. "bigrams twice" leaves out bigrams that come once
(`ngram_min_count=2`), which fastText cannot, so that row is not the same work.

The command: `eitheror train` against fastText's own command, compiled here from its source with
g++ (its Python binding where that fails), from start to the model on disk, on the questions of
Cooking Stack Exchange and on GoEmotions, two threads, fastText with each of its losses.

    python benchmarks/speed_train.py                    # stores benchmarks/results/speed_train.json
    python benchmarks/speed_train.py --documents 20000   # a quick look, nothing stored
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _documents import DATA, write_documents
from _fasttext import fasttext_command
from _process import command_line, on_threads, peak_mb

SHARED = DATA.parents[1]
RESULT = Path(__file__).parent / "results" / "speed_train.json"
EPOCHS, RATE = 5, 0.5
TWICE = "eitheror, bigrams twice"
HOGWILD = "eitheror --hogwild"
TOOLS = {1: ("fasttext", "eitheror", TWICE), 2: ("fasttext", "eitheror", HOGWILD)}
OTHER_LOSSES = ("fasttext ova", "fasttext hs")
SETTINGS = {
    "cooking": {"dim": 100, "epoch": 25, "lr": 1.0},
    "goemotions": {"dim": 10, "epoch": 5, "lr": 0.5},
}
CONTESTANTS = {
    "fasttext softmax": "softmax",
    "fasttext ova": "ova",
    "fasttext hs": "hs",
    "eitheror pol": "pol",
    "eitheror ova": "ova",
    "eitheror pol --hogwild": "pol",
}

Found = dict[str, float]


def run_fasttext(tool: str, train: str, test: str, dim: int, threads: int, model: str) -> Found:
    """Train with fastText's Python binding."""
    import fasttext

    start = time.perf_counter(), time.process_time()
    fitted = fasttext.train_supervised(
        train, dim=dim, wordNgrams=2, epoch=EPOCHS, lr=RATE, thread=threads, minCount=1,
        bucket=2_000_000, loss=tool.partition(" ")[2] or "softmax", verbose=0,
    )  # fmt: skip
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    fitted.save_model(model)
    return {"fit": spent[0], "cpu": spent[1], "p_at_1": fitted.test(test)[1]}


def run_eitheror(tool: str, train: str, test: str, dim: int, threads: int, model: str) -> Found:
    """Train with the same settings; the time includes reading the file, as fastText's does."""
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    options = TrainOptions(
        features="embedding", loss="softmax", optimizer="sgd", dim=dim, word_ngrams=2,
        epochs=EPOCHS, lr=RATE, min_count=1, ngram_min_count=2 if tool == TWICE else 1,
        hogwild=tool == HOGWILD,
    )  # fmt: skip
    warm = time.perf_counter()
    fit(*eo.read(str(Path(train).with_name("warm.txt"))), options, n_jobs=threads)
    start = time.perf_counter(), time.process_time()
    warm = start[0] - warm
    texts, labels = eo.read(train)
    read = time.perf_counter() - start[0]
    fitted = fit(texts, labels, options, n_jobs=threads)
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    fitted.save(model)
    texts, labels = eo.read(test, classes=labels.classes)
    scores = eo.evaluate(labels, fitted.predict_proba(texts))["metrics"]
    return {
        "fit": spent[0],
        "cpu": spent[1],
        "read": read,
        "warm": warm,
        "p_at_1": scores["precision_at_1"]["lower"],
    }


def child(arguments: list[str]) -> None:
    """Run one tool and print what it measured."""
    tool, train, test, dim, threads, model = arguments
    run = run_fasttext if tool.startswith("fasttext") else run_eitheror
    found = run(tool, train, test, int(dim), int(threads), model)
    found["peak_mb"] = peak_mb()
    print(json.dumps(found))


def measured(tool: str, folder: Path, train: str, dim: int, threads: int) -> Found:
    """Return what one process of a tool says, and how long it took as a whole."""
    model = str(folder / f"{tool.split()[0]}-{dim}.model")
    command = [sys.executable, __file__, "--child", tool, train, str(folder / "test.txt")]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, str(dim), str(threads), model],
        env=on_threads(threads), check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: Found = json.loads(done.stdout.splitlines()[-1])
    found["process"] = time.perf_counter() - start
    return found


def medians(runs: dict[str, list[Found]], peer: str) -> dict[str, Found]:
    """Return medians, and the median ratio to the peer's run of the same round."""
    found = {}
    for tool, rounds in runs.items():
        found[tool] = {key: statistics.median(run[key] for run in rounds) for key in rounds[0]}
        for key in ("fit", "cpu", "process", "peak_mb"):
            if key in rounds[0]:
                found[tool][f"{key}_ratio"] = statistics.median(
                    one[key] / two[key] for one, two in zip(rounds, runs[peer], strict=False)
                )
    return found


def compare(folder: Path, dim: int, threads: int, repeats: int) -> dict[str, Found]:
    """Let the tools take turns; fastText's other losses run once, on two threads."""
    runs: dict[str, list[Found]] = defaultdict(list)
    for turn in range(repeats):
        for tool in TOOLS[threads] + (OTHER_LOSSES if threads == 2 and turn == 0 else ()):
            runs[tool].append(measured(tool, folder, str(folder / "train.txt"), dim, threads))
    return medians(runs, "fasttext")


def write_cooking(folder: Path) -> None:
    """Write the split of fastText's tutorial, prepared as there: punctuation apart, lower case."""
    path = SHARED / "cooking" / "cooking.stackexchange.txt.gz"
    marks = str.maketrans({mark: f" {mark} " for mark in ".!?,'/()"})
    with gzip.open(path, "rt", encoding="utf8") as lines:
        rows = []
        for line in lines:
            names = [word for word in line.split() if word.startswith("__label__")]
            words = [word for word in line.split() if not word.startswith("__label__")]
            rows.append(" ".join([*names, " ".join(words).translate(marks).lower()]))
    (folder / "train.txt").write_text("\n".join(rows[:12_404]) + "\n", encoding="utf-8")
    (folder / "test.txt").write_text("\n".join(rows[12_404:]) + "\n", encoding="utf-8")


def write_goemotions(folder: Path) -> None:
    """Write comments with the emotions that two raters saw."""
    for part, file in (("train", "train.tsv.gz"), ("test", "dev.tsv.gz")):
        with gzip.open(SHARED / "goemotions" / file, "rt", encoding="utf8") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines]
        text = "".join(
            " ".join(f"__label__{k}" for k in row[1].split(",")) + f" {row[0].lower()}\n"
            for row in rows
        )
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")


WRITERS: dict[str, Callable[[Path], None]] = {
    "cooking": write_cooking,
    "goemotions": write_goemotions,
}


def train_command(tool: str, name: str, binary: list[str], train: Path, model: Path) -> list[str]:
    """Return the command line that trains on a file and writes a model, two threads."""
    s = {key: str(value) for key, value in SETTINGS[name].items()}
    if tool.startswith("eitheror"):
        extra = ["--hogwild"] * tool.endswith("hogwild")
        return [
            sys.executable, "-m", "eitheror", "train", str(train), "-o", str(model),
            "--features", "embedding", "--optimizer", "sgd", "--loss", CONTESTANTS[tool],
            "--dim", s["dim"], "--epoch", s["epoch"], "--lr", s["lr"], "--word-ngrams", "2",
            "--min-count", "1", "--ngram-min-count", "1", "--thread", "2", *extra,
        ]  # fmt: skip
    if binary:
        return [
            *binary, "supervised", "-input", str(train), "-output", str(model),
            "-loss", CONTESTANTS[tool], "-dim", s["dim"], "-epoch", s["epoch"], "-lr", s["lr"],
            "-wordNgrams", "2", "-minCount", "1", "-thread", "2", "-verbose", "0",
        ]  # fmt: skip
    code = (
        f"import fasttext; fasttext.train_supervised({str(train)!r}, loss={CONTESTANTS[tool]!r}, "
        f"dim={s['dim']}, epoch={s['epoch']}, lr={s['lr']}, wordNgrams=2, minCount=1, thread=2, "
        f"verbose=0).save_model({str(model) + '.bin'!r})"
    )
    return [sys.executable, "-c", code]


def p_at_1(tool: str, model: Path, test: Path) -> float:
    """Return the share of test rows whose first tag is right."""
    if tool.startswith("fasttext"):
        import fasttext

        return float(fasttext.load_model(f"{model}.bin").test(str(test))[1])
    call = [sys.executable, "-m", "eitheror", "evaluate", str(model), str(test), "--json"]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["metrics"]["precision_at_1"]["lower"])


def command_run(tool: str, name: str, binary: list[str], folder: Path) -> Found:
    """Time one run of a command, from its start to the model on disk."""
    model = folder / "model"
    for old in (folder / "model.bin", folder / "model.vec"):
        old.unlink(missing_ok=True)
    shutil.rmtree(model, ignore_errors=True)
    command = train_command(tool, name, binary, folder / "train.txt", model)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    process = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"process": process, "cpu": cpu, "p_at_1": p_at_1(tool, model, folder / "test.txt")}


def commands(name: str, binary: list[str], repeats: int) -> dict[str, Any]:
    """Let the commands take turns on one data set; the first turn of ours fills the cache."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        WRITERS[name](folder)
        for tool in CONTESTANTS:
            if tool.startswith("eitheror"):
                command_run(tool, name, binary, folder)
        runs: dict[str, list[Found]] = defaultdict(list)
        failed: dict[str, str] = {}
        for _ in range(repeats):
            for tool in [name for name in CONTESTANTS if name not in failed]:
                try:
                    runs[tool].append(command_run(tool, name, binary, folder))
                except subprocess.CalledProcessError as error:
                    if tool.startswith("eitheror"):
                        raise
                    failed[tool] = f"ended with status {error.returncode}"  # "Encountered NaN"
                    runs.pop(tool, None)
    found: dict[str, Any] = medians(runs, "fasttext softmax")
    return found | {tool: {"failed": reason} for tool, reason in failed.items()}


def show(title: str, found: dict[str, Any]) -> None:
    """Print one table."""
    print(title)
    for tool, row in found.items():
        if "failed" in row:
            print(f"    {tool:24} {row['failed']}", flush=True)
            continue
        cells = [
            f"{key} {row[key]:6.2f} s ({row[key + '_ratio']:.2f})"
            for key in ("fit", "cpu", "process")
            if key in row
        ]
        memory = f" {row['peak_mb']:5.0f} MB" if "peak_mb" in row else ""
        print(f"    {tool:24} {'  '.join(cells)}{memory}  P@1 {row['p_at_1']:.4f}", flush=True)


def chains(documents: int, dims: list[int], repeats: int) -> dict[str, dict[str, Any]]:
    """Measure training inside the process."""
    table = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, n, seed in (("train", documents, 0), ("test", 5000, 1), ("warm", 500, 2)):
            write_documents(folder / f"{file}.txt", n, seed)
        for dim in dims:
            for tool in {*TOOLS[1], *TOOLS[2]}:
                measured(tool, folder, str(folder / "warm.txt"), dim, 2)
            for threads in (1, 2):
                title = f"dim {dim}, {threads} thread{'s' * (threads > 1)}"
                table[title] = compare(folder, dim, threads, repeats)
                show(title, table[title])
    return table


def main() -> None:
    """Measure every setting, print the tables and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dims", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--commands", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    table = chains(options.documents, options.dims, options.repeats) if options.dims else {}
    with tempfile.TemporaryDirectory() as name:
        binary = fasttext_command(Path(name)) if options.commands else []
        for data in options.commands:
            title = f"{data}, command, 2 threads"
            table[title] = commands(data, binary, options.repeats)
            show(title, table[title])
    complete = options.documents >= 100_000 and set(options.commands) == set(SETTINGS)
    if complete and options.dims == [10, 100]:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{options.documents:,} documents from word chains over AG News; cooking; "
            "goemotions",
            "settings": {"epochs": EPOCHS, "lr": RATE, "word_ngrams": 2, "optimizer": "sgd"},
            "settings of the commands": SETTINGS,
            "fastText's command": "compiled from source" if binary else "Python binding",
            "repeats": options.repeats,
            "load": os.getloadavg()[0],
            "results": table,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
