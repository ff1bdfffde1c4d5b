"""Training time of averaged embeddings against fastText: same data, same settings, same machine.

Documents are sampled from chains of words over AG News, each sentence now and then from another
class, so that there are enough of them. Every run is a process of its own; fastText and eitheror
take turns, and the table holds medians and the median of the ratios of neighbours. "fit" is
`train_supervised` or `TextClassifier.fit` with texts read from the same file, inside the
process, after a first fit of 500 lines; "process" is from start to exit, with imports, the model
written and the test file scored, and without that first fit. Compiled code is in its cache.

    python benchmarks/speed_train.py                    # stores benchmarks/results/speed_train.json
    python benchmarks/speed_train.py --documents 20000   # a quick look, nothing stored
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data" / "ag_news" / "ag_news.jsonl.gz"
RESULT = Path(__file__).parent / "results" / "speed_train.json"
EPOCHS, RATE, OTHER_CLASS = 5, 0.5, 0.4
TOOLS = ("fasttext", "eitheror", "eitheror --hogwild")


def write_documents(path: Path, n: int, seed: int) -> None:
    """Write n lines, each a walk through the words of its class, at times of another class."""
    draw = random.Random(seed)
    chains: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    lengths = []
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            words = row["text"].lower().split()
            lengths.append(len(words))
            for one, two in zip(["", *words], [*words, ""], strict=True):
                chains[row["label"]][one].append(two)
    classes = sorted(chains)
    with path.open("w", encoding="utf-8") as out:
        for _ in range(n):
            label = draw.choice(classes)
            words, word, chain = [], "", chains[label]
            for _ in range(draw.choice(lengths)):
                if not word:
                    other = draw.random() < OTHER_CLASS
                    chain = chains[draw.choice(classes) if other else label]
                word = draw.choice(chain.get(word) or chain[""])
                words.append(word)
            out.write(f"__label__{label} {' '.join(words)}\n")


def run_fasttext(train: str, test: str, dim: int, threads: int, model: str) -> dict[str, float]:
    """Train with fastText's Python binding."""
    import fasttext

    start = time.perf_counter(), time.process_time()
    fitted = fasttext.train_supervised(
        train, dim=dim, wordNgrams=2, epoch=EPOCHS, lr=RATE, thread=threads, minCount=1,
        bucket=2_000_000, loss="softmax", verbose=0,
    )  # fmt: skip
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    fitted.save_model(model)
    return {"fit": spent[0], "cpu": spent[1], "p_at_1": fitted.test(test)[1]}


def run_eitheror(
    train: str, test: str, dim: int, threads: int, model: str, *, hogwild: bool = False
) -> dict[str, float]:
    """Train with the same settings; the time includes reading the file, as fastText's does."""
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    options = TrainOptions(
        features="embedding", loss="softmax", optimizer="sgd", dim=dim, word_ngrams=2,
        epochs=EPOCHS, lr=RATE, min_count=1, ngram_min_count=1, hogwild=hogwild,
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
    if tool == "fasttext":
        found = run_fasttext(train, test, int(dim), int(threads), model)
    else:
        found = run_eitheror(
            train, test, int(dim), int(threads), model, hogwild=tool.endswith("hogwild")
        )
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def measured(tool: str, folder: Path, train: str, dim: int, threads: int) -> dict[str, float]:
    """Return what one process of a tool says, and how long it took as a whole."""
    model = str(folder / f"{tool.split()[0]}-{dim}.model")
    command = [sys.executable, __file__, "--child", tool, train, str(folder / "test.txt")]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    done = subprocess.run(
        [*command, str(dim), str(threads), model],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]) | {"process": time.perf_counter() - start}


def compare(folder: Path, dim: int, threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """Let the tools take turns; return medians, and ratios to fastText's run next to it."""
    tools = TOOLS[: 2 + (threads > 1)]
    runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
    for _ in range(repeats):
        for tool in tools:
            runs[tool].append(measured(tool, folder, str(folder / "train.txt"), dim, threads))
    found = {}
    for tool in tools:
        found[tool] = {
            key: statistics.median(run[key] for run in runs[tool]) for key in runs[tool][0]
        }
        for key in ("fit", "cpu", "process", "peak_mb"):
            found[tool][f"{key}_ratio"] = statistics.median(
                one[key] / two[key] for one, two in zip(runs[tool], runs["fasttext"], strict=True)
            )
    return found


def main() -> None:
    """Measure every setting, print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dims", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    table = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = (("train", options.documents, 0), ("test", 5000, 1), ("warm", 500, 2))
        for file, n, seed in sizes:
            write_documents(folder / f"{file}.txt", n, seed)
        for dim in options.dims:
            for tool in TOOLS:
                measured(tool, folder, str(folder / "warm.txt"), dim, 2)
            for threads in (1, 2):
                found = compare(folder, dim, threads, options.repeats)
                table[f"dim {dim}, {threads} thread{'s' * (threads > 1)}"] = found
                for tool, row in found.items():
                    print(
                        f"dim {dim:3} threads {threads} {tool:18} fit {row['fit']:6.2f} s "
                        f"({row['fit_ratio']:.2f}) cpu {row['cpu']:6.2f} ({row['cpu_ratio']:.2f}) "
                        f"process {row['process']:6.2f} s ({row['process_ratio']:.2f}) "
                        f"{row['peak_mb']:5.0f} MB P@1 {row['p_at_1']:.4f}",
                        flush=True,
                    )
    if options.documents >= 100_000:
        stored = {
            "command": "python benchmarks/speed_train.py",
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{options.documents:,} documents from word chains over AG News",
            "settings": {"epochs": EPOCHS, "lr": RATE, "word_ngrams": 2, "optimizer": "sgd"},
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
