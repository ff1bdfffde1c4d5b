"""kill -9 at random moments of training: whether what is resumed ends in the same bytes.

Each job trains with a checkpoint after every pass, in place of an older model. A child process is
killed (SIGKILL) at a moment drawn evenly over the time of an undisturbed run, reading, training,
writing checkpoints and writing the model included, and started again with --resume, until it ends
before its moment comes. Then its model has to be, byte for byte, the one of the undisturbed run;
and after every kill the model folder has to hold the older model or the new one, whole.

    python benchmarks/kill_loop.py            # writes benchmarks/results/kill_loop.json
    python benchmarks/kill_loop.py --moments 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from _process import command_line

from eitheror.cli import main as command
from eitheror.model import load

RESULT = Path(__file__).parent / "results" / "kill_loop.json"
MODEL = Path("m")
JOBS = {
    "tfidf": ["train", "rows.jsonl", "--maxn", "0", "--epoch", "12"],
    "embedding": ["train", "rows.jsonl", "--features", "embedding", "--epoch", "12"],
    "tags, patience": ["train", "tags.jsonl", "--maxn", "0", "--epoch", "12", "--patience", "3"],
    "continue": ["train", "more.jsonl", "--continue", "older", "--epoch", "12"],
}
WORDS = ["--checkpoint-every", "1", "--resume", "-o", str(MODEL)]
FILES = ("config.json", "model.safetensors")


def write_rows(name: str, n: int, classes: int, tags: bool, seed: int) -> None:
    """Rows of Zipf words, some of which belong to a class."""
    draw = np.random.default_rng(seed)
    with Path(name).open("w") as out:
        for _ in range(n):
            own = draw.integers(classes)
            words = [f"w{k}" for k in draw.zipf(1.3, 12) if k < 50_000]
            words += [f"c{own}x{k}" for k in draw.integers(30, size=3)]
            said = {"tags": [f"c{own}"]} if tags else {"label": f"c{own}"}
            out.write(json.dumps({"text": " ".join(words), **said}) + "\n")


def child(words: list[str]) -> int:
    """Start the command in a copy of this process; returns its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = command(words)
    finally:
        os._exit(code)


def check_status(status: int) -> None:
    """Stop unless a child ended well."""
    if status:
        raise SystemExit(f"the command failed with status {status}")


def ends(number: int, seconds: float) -> bool:
    """Whether the child ended well by itself in that time; it is killed otherwise."""
    time.sleep(seconds)
    done, status = os.waitpid(number, os.WNOHANG)
    if done:
        check_status(status)
        return True
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return False


def model_bytes(folder: Path) -> list[bytes]:
    """Return the two files of a model."""
    return [(folder / name).read_bytes() for name in FILES]


def restart() -> None:
    """Put the older model in the place of the result, and no checkpoint."""
    for folder in (MODEL, Path("m.checkpoint"), Path("m.new"), Path("m.old")):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("older", MODEL)


def check_whole(expected: list[bytes]) -> str:
    """Say which model the folder holds; it can be read whatever the moment was."""
    load(MODEL)
    folder = next(f for f in (MODEL, Path("m.new"), Path("m.old")) if f.exists())
    found = model_bytes(folder)
    if found == expected:
        return "new"
    if found != model_bytes(Path("older")):
        raise SystemExit("the model folder holds neither the older model nor the new one")
    return "older"


def run_job(name: str, moments: int, chance: random.Random) -> dict[str, float | int | str]:
    """Kill a job so many times; every run that ends is compared."""
    words = [*JOBS[name], *WORDS]
    restart()
    start = time.perf_counter()
    check_status(os.waitpid(child(words), 0)[1])
    whole, expected = time.perf_counter() - start, model_bytes(MODEL)
    counts = {"kills": 0, "without checkpoint": 0, "model already new": 0, "compared": 0}
    while counts["kills"] < moments:
        restart()
        longest = 1.1 * whole
        while not ends(child(words), chance.uniform(0.0, longest)):
            longest *= 1.1  # so that it ends also where the machine has become slower
            counts["kills"] += 1
            counts["without checkpoint"] += not Path("m.checkpoint/state.safetensors").exists()
            counts["model already new"] += check_whole(expected) == "new"
        if model_bytes(MODEL) != expected:
            raise SystemExit(f"{name}: a resumed run ended in other bytes")
        counts["compared"] += 1
    return {"job": name, "seconds": round(whole, 2), **counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=100, help="kills, over all jobs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=6000)
    given = parser.parse_args()
    if not hasattr(os, "fork"):
        print("kill_loop: this system has no fork; skipped")
        return
    chance, home = random.Random(given.seed), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_rows("rows.jsonl", given.rows, 20, False, 1)
        write_rows("tags.jsonl", given.rows, 20, True, 2)
        write_rows("more.jsonl", given.rows, 25, False, 3)
        first = ["train", "rows.jsonl", "--features", "embedding", "--epoch", "2", "-o", "older"]
        for words in (first, [*JOBS["tfidf"], "-o", "w"], [*JOBS["tags, patience"], "-o", "w"]):
            command(words)  # what is compiled here need not be in every child
        each = -(-given.moments // len(JOBS))
        jobs = [run_job(name, each, chance) for name in JOBS]
        os.chdir(home)
    heads = ("seconds", 8), ("kills", 7), ("no checkpoint", 15), ("new model", 11), ("compared", 10)
    print(f"{'job':<16}" + "".join(f"{name:>{width}}" for name, width in heads))
    for job in jobs:
        print(
            f"{job['job']:<16}{job['seconds']:>8}{job['kills']:>7}{job['without checkpoint']:>15}"
            f"{job['model already new']:>11}{job['compared']:>10}"
        )
    print(f"{sum(int(job['kills']) for job in jobs)} kills; every resumed run ended in equal bytes")
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        "command": command_line(),
        "load_average": os.getloadavg(),
        "data": f"{given.rows} rows of synthetic Zipf text",
        "jobs": jobs,
    }
    if given.moments >= 100:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
