"""Many tags: accuracy, time and size of one-vs-rest models against other libraries.

bibtex, corel5k and delicious of the Mulan collection (159, 374 and 983 tags; bags of words and
image regions), with their published split into training and test rows. Every model is trained in a
process of its own. Choices (scaling, penalty) are made by held-out training rows; the test rows are
scored once. Other libraries have the settings that their documentation shows, LibMultiLabel on the
features as they are and with rows of length 1.

"lbfgs ova" minimises the same objective over all tags at once, with the penalty and scaling that
"newton" chose. The "text" rows read the bags of words as texts of made-up words: "newton" again,
the softmax losses of tags by steps over the rows, and averaged embeddings, with their defaults.

Time is CPU time of all threads, after a first small fit that loads compiled code; "newton" includes
the search of its scaling and penalty, "newton, given" starts with both. Size is the model's folder,
or where there is none the weights in memory.

    python benchmarks/many_labels.py [--peers PYTHON]   # stores benchmarks/results/many_labels.json
    python benchmarks/many_labels.py bibtex             # a quick look, nothing stored

PYTHON is an interpreter that has libmultilabel, napkinxc and scikit-learn; without one that has
them their rows are left out and said to be.
"""

from __future__ import annotations

import argparse
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
import scipy.sparse as sp

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "multilabel_tabular"
RESULT = Path(__file__).parent / "results" / "many_labels.json"
SETS = ("bibtex", "corel5k", "delicious")
SCALINGS = ("standard", "unit", "tfidf")
OURS = (
    "newton",
    "newton, given",
    "lbfgs ova",
    "text newton",
    "text pal",
    "text pol",
    "text embedding",
)
LIBMULTILABEL = {
    "libmultilabel": "-s 2 -B 1 -e 0.0001 -q",
    "libmultilabel, unit rows": "-s 2 -B 1 -e 0.0001 -q",
    "libmultilabel, unit rows, -s 1": "-s 1 -q",
}
PEERS = (*LIBMULTILABEL, "napkinxc", "scikit-learn")
# One after the other, ours and theirs, so that a busy spell of the machine meets both.
ORDER = tuple(
    name for pair in zip(OURS, (*PEERS, "", ""), strict=True) for name in pair if name
)  # fmt: skip
_KS = (1, 3, 5)
_FULL_BATCH = 1_000_000  # rows x tags up to which L-BFGS over all tags at once is worth its minutes


def read(name: str) -> tuple[Any, Any, Any, Any]:
    """Features and tags of the training rows, and of the test rows."""
    stored = np.load(DATA / f"{name}.npz", allow_pickle=False)
    names = ("X_data", "X_indices", "X_indptr")
    Y = sp.csr_matrix(
        (np.ones(len(stored["Y_indices"])), stored["Y_indices"], stored["Y_indptr"]),
        shape=stored["Y_shape"],
    )
    if "X" in stored:
        X = sp.csr_matrix(stored["X"])
    else:
        X = sp.csr_matrix(tuple(stored[part] for part in names), shape=stored["X_shape"])
    n = int(stored["n_train"])
    X = X.astype(np.float64)
    return X[:n], Y[:n], X[n:], Y[n:]


def precision(scores: Any, Y: Any) -> dict[str, float]:
    """Share of true tags among the first 1, 3 and 5."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, : max(_KS)]
    hit = np.take_along_axis(Y.toarray(), first, axis=1)
    return {f"P@{k}": round(float(hit[:, :k].mean()), 4) for k in _KS}


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self, name: str) -> dict[str, float]:
        """Return both, rounded."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {f"{name}_cpu": round(cpu, 2), f"{name}_wall": round(wall, 2)}


# --- eitheror ------------------------------------------------------------------------------


def texts_of(X: Any) -> list[str]:
    """Rows as texts of made-up words, one for each feature that is not 0."""
    return [" ".join(f"f{j}" for j in row.indices) for row in X]


def choose_scaling(X: Any, labels: Any, n_jobs: int) -> str:
    """Scaling with the likeliest held-out fifth of the training rows."""
    from eitheror.training import TrainOptions, fit
    from eitheror.training.folds import deal_folds

    fold = deal_folds(labels, 5)
    train, held_out = np.flatnonzero(fold > 0), np.flatnonzero(fold == 0)
    loss = {}
    for scaling in SCALINGS:
        model = fit(
            X[train],
            labels[train],
            TrainOptions(optimizer="newton", scaling=scaling),
            valid=(X[held_out], labels[held_out]),
            n_jobs=n_jobs,
        )
        loss[scaling] = model.options["held_out_loss"]
    return min(loss, key=lambda scaling: loss[scaling])


def run_ours(tool: str, name: str, n_jobs: int, given: dict[str, Any]) -> dict[str, Any]:
    """Train and score one of our options."""
    from eitheror.labels import Labels
    from eitheror.training import TrainOptions, fit

    X, Y, X_test, Y_test = read(name)
    labels = Labels.from_indicator(Y.toarray().astype(bool))
    text = tool.startswith("text")
    options: dict[str, Any] = dict(given)
    if text:
        X, X_test = texts_of(X), texts_of(X_test)
        options = {"word_ngrams": 1, "char_ngrams": (0, 0)}
    if "newton" in tool:
        options["optimizer"] = "newton"
    elif "embedding" in tool:
        options = {"features": "embedding", "loss": "ova"}
    else:
        options["loss"] = tool.split()[1]
    if tool == "lbfgs ova" and Y.shape[0] * Y.shape[1] > _FULL_BATCH:
        return {"skipped": f"{Y.shape[0]:,} rows x {Y.shape[1]} tags take minutes"}
    small = {**options, "epochs": 1} | ({} if "embedding" in tool else {"l2": 0.01})
    fit(X[:200], labels[:200], TrainOptions(**small)).predict_proba(X_test[:200])
    clock = Clock()
    if tool == "newton":
        options["scaling"] = choose_scaling(X, labels, n_jobs)
    model = fit(X, labels, TrainOptions(**options), n_jobs=n_jobs)
    found = clock.read("fit")
    clock = Clock()
    scores = model.decision_function(X_test, n_jobs=n_jobs)
    found |= clock.read("predict") | precision(scores, Y_test)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        found["bytes"] = folder_bytes(Path(folder))
    kept = ("l2", "scaling", "kept_weights", "steps", "epochs", "dim")
    return found | {key: model.options[key] for key in kept if key in model.options}


# --- other libraries -----------------------------------------------------------------------


def unit_rows(X: Any) -> Any:
    """Rows divided by their length."""
    lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    return sp.diags(1 / np.where(lengths == 0, 1, lengths)) @ X


def run_libmultilabel(tool: str, X: Any, Y: Any, X_test: Any) -> tuple[Any, Any, int]:
    """Their linear one-vs-rest."""
    from libmultilabel.linear import train_1vsrest

    clock = Clock()
    model = train_1vsrest(Y.tocsr(), X.tocsr(), options=LIBMULTILABEL[tool], verbose=False)
    found = clock.read("fit")
    clock = Clock()
    scores = np.asarray(model.predict_values(X_test.tocsr()))
    return found | clock.read("predict"), scores, int(np.asarray(model.weights).nbytes)


def run_napkinxc(X: Any, Y: Any, X_test: Any) -> tuple[Any, Any, int]:
    """Binary relevance with its defaults (logistic, unit rows, small weights dropped)."""
    from napkinxc.models import BR

    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        model = BR(folder)
        model.fit(X.tocsr(), [row.indices.tolist() for row in Y])
        found = clock.read("fit")
        clock = Clock()
        tops = model.predict(X_test.tocsr(), top_k=max(_KS))
        found |= clock.read("predict")
        size = folder_bytes(Path(folder))
    scores = np.zeros((X_test.shape[0], Y.shape[1]))
    for row, top in enumerate(tops):
        scores[row, top] = np.arange(len(top), 0, -1)
    return found, scores, size


def run_sklearn(X: Any, Y: Any, X_test: Any) -> tuple[Any, Any, int]:
    """One logistic regression a tag (C=1, liblinear)."""
    import warnings

    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    warnings.simplefilter("ignore")  # tags that never occur
    clock = Clock()
    model = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    model.fit(X, Y.toarray().astype(int))
    found = clock.read("fit")
    clock = Clock()
    scores = model.predict_proba(X_test)
    found |= clock.read("predict")
    return found, scores, 8 * (X.shape[1] + 1) * Y.shape[1]


def run_peer(tool: str, name: str) -> dict[str, Any]:
    """Train and score another library; says so if it is not installed."""
    X, Y, X_test, Y_test = read(name)
    if tool != "libmultilabel":
        X, X_test = unit_rows(X), unit_rows(X_test)
    try:
        if tool in LIBMULTILABEL:
            found, scores, size = run_libmultilabel(tool, X, Y, X_test)
        elif tool == "napkinxc":
            found, scores, size = run_napkinxc(X, Y, X_test)
        else:
            found, scores, size = run_sklearn(X, Y, X_test)
    except ImportError as error:
        return {"skipped": str(error)}
    return found | precision(scores, Y_test) | {"bytes": size}


# --- the table -----------------------------------------------------------------------------


def measured(tool: str, name: str, python: str, n_jobs: int, given: Any) -> dict[str, Any]:
    """Return what one process says; one that fails does not end the others' run."""
    command = [python, __file__, "--child", tool, name, str(n_jobs), json.dumps(given)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"skipped": f"failed: {done.stderr.strip().splitlines()[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: list[str]) -> None:
    """Run one tool and print what it found."""
    tool, name, n_jobs, given = arguments
    if tool in PEERS:
        found = run_peer(tool, name)
    else:
        found = run_ours(tool, name, int(n_jobs), json.loads(given))
    print(json.dumps(found))


def print_row(tool: str, row: dict[str, Any]) -> None:
    """One line of the table."""
    if "skipped" in row:
        print(f"{tool:32} skipped: {row['skipped']}", flush=True)
        return
    numbers = " ".join(f"{row[f'P@{k}']:.4f}" for k in _KS)
    print(
        f"{tool:32} {numbers} {row['fit_cpu']:9.1f} {row['predict_cpu']:8.2f} "
        f"{row['bytes'] / 1e6:7.2f}  {row.get('scaling', '')}",
        flush=True,
    )


def compare(name: str, peers: str, n_jobs: int, tools: list[str]) -> dict[str, Any]:
    """Run every tool on one data set and print the table."""
    print(f"\n{name:32} {'P@1':6} {'P@3':6} {'P@5':6} {'fit cpu s':>9} {'pred s':>8} {'MB':>7}")
    rows: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for tool in tools:
        start = {} if tool == "newton" else given
        python = peers if tool in PEERS else sys.executable
        rows[tool] = measured(tool, name, python, n_jobs, start)
        if tool == "newton":
            given = {key: rows[tool][key] for key in ("scaling", "l2")}
        print_row(tool, rows[tool])
    return rows


def main() -> None:
    """Measure every data set, print the tables and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], default=[])
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    results = {}
    for name in options.sets or SETS:
        results[name] = compare(name, options.peers, options.threads, list(ORDER))
        if not options.sets:
            store(results, options.threads)


def store(results: dict[str, Any], threads: int) -> None:
    """Write the tables that are done."""
    stored = {
        "command": "python benchmarks/many_labels.py --peers PYTHON",
        "machine": f"{platform.machine()}, 2 cores, shared with other work",
        "data": "multilabel_tabular: bibtex, corel5k, delicious, published splits",
        "threads": threads,
        "load": os.getloadavg()[0],
        "results": results,
    }
    RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
