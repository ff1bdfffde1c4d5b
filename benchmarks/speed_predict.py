"""Time to predict: 100,000 lines through the command and in the process, and one line from cold.

Models are trained on 120,000 documents from word chains over AG News (_documents.py), fastText
and ours with the same settings: 10 numbers a word, word pairs, 5 epochs. Peers: fastText's command,
built here from the same release's sources, its Python binding (`predict(list)`), with its three
losses; scikit-learn's TF-IDF and logistic regression. All take turns; the table holds medians and
the median ratio to fastText softmax in the same round.

"In the process": the model is loaded and has predicted 2,000 lines before the clock starts.
"Command": from start to exit, 100,000 lines of a file to a file. "One line": the same with one
line, compiled Python files in their cache, as an installed package has them; fastText's models
and ours are in the system's file cache. Compiled kernels are in their cache.

    python benchmarks/speed_predict.py                # stores results/speed_predict.json
    python benchmarks/speed_predict.py --lines 10000   # a quick look, nothing stored
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _documents import DATA, write_documents
from _fasttext import fasttext_command
from _process import command_line, on_threads, peak_mb

RESULT = Path(__file__).parent / "results" / "speed_predict.json"
EPOCHS, RATE = 5, 0.5
LOSSES = ("softmax", "hs", "ova")
OURS = {"embedding": "embedding, as fastText", "tfidf": "tfidf (default)"}
SKLEARN_ROWS = 20_000
WARM = 2000


def train_fasttext(train: str, model: str) -> None:
    """Train and store a model of fastText, with the loss that the file is called by."""
    import fasttext

    fitted = fasttext.train_supervised(
        train, dim=10, wordNgrams=2, epoch=EPOCHS, lr=RATE, thread=2, minCount=1,
        loss=Path(model).stem, verbose=0,
    )  # fmt: skip
    fitted.save_model(model)


def train_ours(train: str, model: str) -> None:
    """Train and store one of our models, with the features that the folder is called by."""
    import eitheror as eo
    from eitheror.training import TrainOptions, fit

    features = Path(model).name
    same = {"optimizer": "sgd", "epochs": EPOCHS, "lr": RATE, "dim": 10, "word_ngrams": 2}
    rest = same | {"ngram_min_count": 1} if features == "embedding" else {}
    fit(*eo.read(train), TrainOptions(features=features, **rest), n_jobs=2).save(model)


def train_sklearn(train: str, model: str) -> None:
    """Train and pickle scikit-learn's pipeline on the first documents."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    lines = Path(train).read_text(encoding="utf-8").splitlines()[:SKLEARN_ROWS]
    labels, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=200))
    Path(model).write_bytes(pickle.dumps(pipeline.fit(texts, labels)))


def predictor(tool: str, model: str, threads: int):
    """Load a model and return what predicts a list of lines."""
    if tool == "fasttext":
        import fasttext

        return fasttext.load_model(model).predict
    if tool == "sklearn":
        return pickle.loads(Path(model).read_bytes()).predict
    import eitheror as eo

    fitted = eo.load(model)
    return lambda lines: fitted.predict(lines, n_jobs=threads)


def child(arguments: list[str]) -> None:
    """Predict the lines of a file with one tool, print how long it took."""
    tool, model, file, threads, clock = arguments
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    predict = predictor(tool, model, int(threads))
    if clock == "whole":  # a script of its own, as a user of the binding writes it
        print(len(predict(lines)))
        return
    predict(lines[:WARM])
    start = time.perf_counter(), time.process_time()
    predict(lines)
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    print(json.dumps({"seconds": spent[0], "cpu": spent[1], "peak_mb": peak_mb()}))


def environment(folder: Path, threads: int) -> dict[str, str]:
    """Return the environment of every run: threads of the libraries, Python's own cache on."""
    kept = {k: v for k, v in on_threads(threads).items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "pyc")}


def in_process(folder: Path, tool: str, model: Path, threads: int) -> dict[str, float]:
    """Return what a process of its own measured."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", tool, model, folder / "lines.txt", str(threads), ""],
        env=environment(folder, threads), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def whole(folder: Path, command: list[str | Path], threads: int) -> dict[str, float]:
    """Time a process from start to exit, its output in a file."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with (folder / "out").open("wb") as out:
        subprocess.run(
            [str(word) for word in command], env=environment(folder, threads), check=True,
            stdout=out, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu}


def contestants(folder: Path, built: list[str]) -> dict[str, dict[str, object]]:
    """Return, by table and name, a function of no arguments that measures one run."""
    ours = [sys.executable, "-m", "eitheror", "predict"]
    script = [sys.executable, __file__, "--child"]
    tables: dict[str, dict[str, object]] = {"in the process": {}, "command": {}, "one line": {}}
    for loss in LOSSES:
        model, name = folder / f"{loss}.bin", f"fastText {loss}"
        tables["in the process"][f"{name}, Python"] = lambda m=model: in_process(
            folder, "fasttext", m, 1
        )
        for table, file in (("command", "lines.txt"), ("one line", "one.txt")):
            if built:
                call = [*built, "predict", model, folder / file]
                tables[table][name] = lambda c=call: whole(folder, c, 1)
            elif loss == "softmax":
                call = [*script, "fasttext", model, folder / file, "1", "whole"]
                tables[table][f"{name}, Python"] = lambda c=call: whole(folder, c, 1)
    for features, name in OURS.items():
        for threads in (1, 2):
            said = f"eitheror {name}, {threads} thread{'s' * (threads > 1)}"
            tables["in the process"][said] = lambda m=folder / features, t=threads: in_process(
                folder, "eitheror", m, t
            )
            call = [*ours, folder / features, folder / "lines.txt", "--format", "text"]
            tables["command"][said] = lambda c=[*call, "--thread", threads], t=threads: whole(
                folder, c, t
            )
        call = [*ours, folder / features, folder / "one.txt", "--format", "text"]
        tables["one line"][f"eitheror {name}"] = lambda c=call: whole(folder, c, 2)
    name, model = "scikit-learn TF-IDF + logistic regression", folder / "sklearn.pickle"
    tables["in the process"][name] = lambda: in_process(folder, "sklearn", model, 1)
    call = [*script, "sklearn", model, folder / "one.txt", "1", "whole"]
    tables["one line"][f"{name}, a script"] = lambda: whole(folder, call, 1)
    return tables


def prepare(folder: Path, n_lines: int, documents: int) -> None:
    """Write the data and train every model, each in a process of its own."""
    write_documents(folder / "train.txt", documents, 0)
    write_documents(folder / "labelled.txt", n_lines, 1)
    labelled = (folder / "labelled.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.split(" ", 1)[1] for line in labelled]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "one.txt").write_text(lines[0] + "\n", encoding="utf-8")
    models = {"fasttext": [f"{loss}.bin" for loss in LOSSES], "eitheror": OURS}
    for tool, names in {**models, "sklearn": ["sklearn.pickle"]}.items():
        for name in names:
            words = ["--train", tool, str(folder / "train.txt"), str(folder / name)]
            subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True)


def compare(tables: dict[str, dict[str, object]], rounds: int) -> dict[str, dict[str, object]]:
    """Let the contestants take turns; return medians and ratios to the first one."""
    found: dict[str, dict[str, object]] = {}
    for table, entries in tables.items():
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in entries}
        for number in range(rounds + 1):
            for name, measure in entries.items():
                run = measure()
                if number:  # the first round fills caches
                    runs[name].append(run)
        base = next(iter(entries))
        found[table] = {}
        for name in entries:
            row = {key: statistics.median(run[key] for run in runs[name]) for key in runs[name][0]}
            for key in ("seconds", "cpu"):
                pairs = zip(runs[name], runs[base], strict=True)
                row[f"{key}_ratio"] = statistics.median(one[key] / two[key] for one, two in pairs)
            found[table][name] = row
            print(
                f"{table:15} {name:45} {row['seconds']:7.3f} s ({row['seconds_ratio']:5.2f}) "
                f"cpu {row['cpu']:7.3f} ({row['cpu_ratio']:5.2f})",
                flush=True,
            )
    return found


def main() -> None:
    """Train the models, measure the contestants, print the tables and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = fasttext_command(folder)
        prepare(folder, options.lines, options.documents)
        load = os.getloadavg()[0]
        found = compare(contestants(folder, built), options.rounds)
    if min(options.lines, options.documents) >= 100_000:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{options.lines:,} lines from word chains over AG News; models of "
            f"{options.documents:,} documents, scikit-learn's of {SKLEARN_ROWS:,}",
            "start": "kernels, Python's compiled files and the system's file cache warm",
            "rounds": options.rounds,
            "load": [load, os.getloadavg()[0]],
            "results": found,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


TRAINERS = {"fasttext": train_fasttext, "eitheror": train_ours, "sklearn": train_sklearn}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    elif sys.argv[1:2] == ["--train"]:
        TRAINERS[sys.argv[2]](*sys.argv[3:])
    else:
        main()
