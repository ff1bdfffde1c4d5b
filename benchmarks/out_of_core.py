"""Training on files larger than memory: peak memory and speed against the limit and the rows.

The text is made here: words by Zipf's law, a quarter of them from the topic of the row's class, one
label in ten wrong, and one row in five a set or a "not this" instead of a label. Each run is a
process of its own, and its peak is what the system counted (`VmHWM`). "first" reads the text
and builds the cache, "again" finds it; "memory" is `fit` on all rows at once.

    python benchmarks/out_of_core.py                   # stores benchmarks/results/out_of_core.json
    python benchmarks/out_of_core.py --rows 10000000   # one long file, under 500M, added to it
    python benchmarks/out_of_core.py --rows 200000     # a quick look
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

import numpy as np
from _process import command_line, peak_mb

RESULT = Path(__file__).parent / "results" / "out_of_core.json"
CLASSES = [f"topic{k}" for k in range(8)]
WORDS, TOPIC, LENGTH = 200_000, 2_000, 36
ROWS = (250_000, 1_000_000, 5_000_000)
LIMITS = ("256M", "384M", "512M")
DIM, EPOCHS = 16, 3
CHUNK = 50_000


def zipf(n: int, size: int) -> np.ndarray:
    """Return ranks below n, as often as Zipf's law has them, for drawing with equal chances."""
    share = 1.0 / np.arange(1, n + 1)
    return np.searchsorted(np.cumsum(share / share.sum()), (np.arange(size) + 0.5) / size)


def write_rows(path: Path, n: int, seed: int, *, clean: bool = False) -> None:
    """Write n rows of JSONL; clean ones name the true class."""
    rng = np.random.default_rng(seed)
    common, topical = zipf(WORDS, 1 << 22), zipf(TOPIC, 1 << 18)
    names = [f"w{rank:x}" for rank in range(WORDS)]
    names += [f"t{k}x{rank:x}" for k in range(len(CLASSES)) for rank in range(TOPIC)]
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            truth = rng.integers(len(CLASSES), size=size)
            ids = common[rng.integers(len(common), size=(size, LENGTH))]
            about = topical[rng.integers(len(topical), size=(size, LENGTH))]
            # Some words of each row are those of its topic, and as many those of any topic.
            topic = np.where(rng.random((size, LENGTH)) < 0.5, truth[:, None],
                             rng.integers(len(CLASSES), size=(size, LENGTH)))  # fmt: skip
            ids = np.where(
                rng.random((size, LENGTH)) < 0.1, WORDS + topic * TOPIC + about, ids
            ).tolist()
            said = np.where(rng.random(size) < 0.1, rng.integers(len(CLASSES), size=size), truth)
            other = (truth + rng.integers(1, len(CLASSES), size=size)) % len(CLASSES)
            kind = np.zeros(size) if clean else rng.random(size)
            said = truth if clean else said
            lines = []
            for row in range(size):
                one, two = CLASSES[said[row]], CLASSES[other[row]]
                if kind[row] < 0.8:
                    label = f'"label": "{one}"'
                elif kind[row] < 0.9:
                    label = f'"either": ["{CLASSES[truth[row]]}", "{two}"]'
                else:
                    label = f'"not": ["{two}"]'
                text = " ".join([names[i] for i in ids[row]])
                lines.append(f'{{"text": "{text}", {label}}}\n')
            out.writelines(lines)


def child(arguments: list[str]) -> None:
    """Train on one file and print what it took; `limit` "all" is training in memory."""
    path, test, limit, threads = arguments
    import eitheror as eo
    from eitheror.training import TrainOptions, fit, fit_files

    options = TrainOptions(features="embedding", dim=DIM, epochs=EPOCHS, min_count=2)
    phases: dict[str, float] = {}
    at = [time.perf_counter()]

    def progress(event: dict[str, object]) -> None:
        if (event["event"] == "rows" and event["left"] == 0) or event["event"] == "epoch":
            now = time.perf_counter()
            phase = str(event.get("phase", "pass"))
            phases[phase] = phases.get(phase, 0.0) + now - at[0]
            at[0] = now

    start = at[0], time.process_time()
    if limit == "all":
        texts, labels = eo.read(path)
        phases["reading"] = time.perf_counter() - at[0]
        at[0] = time.perf_counter()
        model = fit(texts, labels, options, n_jobs=int(threads), progress=progress)
        n = len(texts)
    else:
        rows = []
        model = fit_files(
            path, options, memory=limit, n_jobs=int(threads),
            progress=lambda e: (progress(e), rows.append(e)),
        )  # fmt: skip
        n = next(event["rows"] for event in rows if event["event"] == "data")
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    model.save(path + ".model")
    peak = peak_mb()
    texts, labels = eo.read(test, classes=model.classes)
    found = (model.predict_proba(texts).argmax(axis=1) == labels.exact_index()).mean()
    print(json.dumps({
        "rows": n, "peak_mb": peak, "seconds": spent[0], "cpu": spent[1], "phases": phases,
        "features": model.featurizer.n_features, "accuracy": float(found),
    }))  # fmt: skip


def measured(path: Path, test: Path, limit: str, what: str, threads: int) -> dict[str, object]:
    """Run one process and print its line of the table."""
    command = [sys.executable, __file__, "--child", str(path), str(test), limit, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    found |= {"limit": limit, "run": what, "file_mb": path.stat().st_size / 2**20}
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["phases"].items())
    print(
        f"{found['rows']:>10,} rows {found['file_mb']:6.0f} MB  limit {limit:>5} {what:7}"
        f" peak {found['peak_mb']:5.0f} MB {found['seconds']:7.1f} s"
        f" {found['rows'] / found['seconds']:9,.0f} rows/s  P@1 {found['accuracy']:.4f}"
        f"  ({phases})",
        flush=True,
    )
    return found


def main() -> None:
    """Measure, print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="one file of that many rows instead")
    parser.add_argument("--memory", default="500M", help="the limit for --rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the files are made [default: a temporary folder]")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        test = Path(name) / "test.jsonl"
        write_rows(test, 5_000, seed=1, clean=True)
        for rows in (options.rows,) if options.rows else ROWS:
            path = Path(name) / f"{rows}.jsonl"
            write_rows(path, rows, seed=2)
            limit = options.memory if options.rows else LIMITS[0]
            found.append(measured(path, test, limit, "first", options.threads))
            if options.rows or rows == ROWS[-1]:
                again = (limit,) if options.rows else LIMITS
                found += [measured(path, test, one, "again", options.threads) for one in again]
            if not options.rows and rows <= 1_000_000:
                found.append(measured(path, test, "all", "memory", options.threads))
            path.unlink()
    if options.rows is None or options.rows >= 10_000_000:
        stored = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
        stored |= {
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "settings": {"dim": DIM, "epochs": EPOCHS, "classes": len(CLASSES), "words": WORDS},
            "long" if options.rows else "table": {
                "command": command_line(),
                "load": os.getloadavg()[0],
                "runs": found,
            },
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
