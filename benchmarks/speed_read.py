"""Reading and tokenising speed: CPU time a line, against what one would write by hand.

Documents from word chains in every format. "eitheror" is `eo.read`: texts, labels, line numbers,
every row checked. "row by row" is `iter_rows`, which reads one row at a time. The peers
do less: `str.split` by lines and labels, `json.loads` a line, the `csv` module, Arrow's reader and
gzip alone; none checks anything, and only the first three make lists of texts and of labels.
Processes take turns; figures are medians of CPU seconds in a process that has read a small file
before.

    python benchmarks/speed_read.py                     # stores benchmarks/results/speed_read.json
    python benchmarks/speed_read.py --documents 20000   # a quick look, nothing stored
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _documents import DATA, write_documents
from _process import command_line, peak_mb

RESULT = Path(__file__).parent / "results" / "speed_read.json"
FORMATS = ("txt", "jsonl", "csv", "tsv", "parquet", "txt.gz")
WAYS = ("eitheror", "row by row", "peer")


def write_formats(folder: Path, name: str, n: int, seed: int) -> None:
    """Write the same documents in every format."""
    import pyarrow
    import pyarrow.parquet

    plain = folder / f"{name}.txt"
    write_documents(plain, n, seed)
    lines = [line.rstrip("\n").split(" ", 1) for line in plain.open(encoding="utf-8")]
    labels = [label.removeprefix("__label__") for label, _ in lines]
    texts = [text for _, text in lines]
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as out:
        for text, label in zip(texts, labels, strict=True):
            out.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    with (folder / f"{name}.tsv").open("w", encoding="utf-8") as out:
        out.write("text\tlabel\n")
        out.writelines(f"{t}\t{label}\n" for t, label in zip(texts, labels, strict=True))
    table = pyarrow.table({"text": texts, "label": labels})
    pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    (folder / f"{name}.txt.gz").write_bytes(gzip.compress(plain.read_bytes()))


def read_by_hand(path: Path) -> Any:
    """Read a file as a short script would."""
    kind = path.name.split(".", 1)[1]
    if kind == "parquet":
        from pyarrow.parquet import read_table

        return read_table(path)
    if kind == "txt.gz":
        return gzip.decompress(path.read_bytes())
    with path.open(encoding="utf-8", newline="") as lines:
        if kind == "jsonl":
            rows = [json.loads(line) for line in lines]
            return [row["text"] for row in rows], [row["label"] for row in rows]
        if kind == "csv":
            cells = list(csv.reader(lines))
        elif kind == "tsv":
            cells = [line.rstrip("\n").split("\t") for line in lines]
        else:
            cells = [line.rstrip("\n").split(" ", 1) for line in lines]
        return [row[0] for row in cells], [row[1] for row in cells]


def read_rows(path: Path) -> Any:
    """Read a file with the careful readers only."""
    from eitheror.files import iter_rows

    return [(row.input, row.label) for row in iter_rows(path)]


def ingest(path: Path, threads: int) -> Callable[[], Any]:
    """Return what turns the texts of a file into rows of words and pairs of words."""
    import eitheror as eo
    from eitheror.text import Featurizer, TextOptions

    texts, _ = eo.read(path)
    options = TextOptions(word_ngrams=2, min_count=1, ngram_min_count=1, weighting="mean")
    return lambda: Featurizer.fit(texts, options, threads)


def child(arguments: list[str]) -> None:
    """Do one thing after a warm-up and print what it took."""
    way, folder, kind = arguments
    small, large = (Path(folder) / f"{name}.{kind}" for name in ("small", "large"))
    if way.startswith("ingest"):
        ingest(small, 1)()
        work = ingest(large, int(way.split()[1]))
    else:
        import eitheror as eo

        read = {"eitheror": eo.read, "row by row": read_rows, "peer": read_by_hand}[way]
        read(small)
        work = lambda: read(large)  # noqa: E731
    start = time.process_time(), time.perf_counter()
    found = work()
    spent = {"cpu": time.process_time() - start[0], "wall": time.perf_counter() - start[1]}
    del found
    print(json.dumps({**spent, "peak_mb": peak_mb()}))


def measured(way: str, folder: Path, kind: str) -> dict[str, float]:
    """Return what a process of its own says."""
    command = [sys.executable, __file__, "--child", way, str(folder), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, kind: str, ways: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """Let the ways take turns and return the medians of each."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            runs[way].append(measured(way, folder, kind))
    return {
        way: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for way, found in runs.items()
    }


def main() -> None:
    """Measure every format, print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    table = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_formats(folder, "small", 200, 1)
        write_formats(folder, "large", options.documents, 0)
        size = (folder / "large.txt").stat().st_size
        for kind in FORMATS:
            table[kind] = compare(folder, kind, WAYS, options.repeats)
            shown = "  ".join(
                f"{way} {1e6 * row['cpu'] / options.documents:5.2f} us a line "
                f"({options.documents / row['cpu'] / 1e6:.2f} M lines/s)"
                for way, row in table[kind].items()
            )
            print(f"{kind:8} {shown}", flush=True)
        found = compare(folder, "txt", ("ingest 1", "ingest 2"), options.repeats)
        table["ingest"] = found
        for way, row in found.items():
            print(
                f"{way} thread(s): cpu {row['cpu']:.2f} s, wall {row['wall']:.2f} s "
                f"({size / row['wall'] / 1e6:.0f} MB/s), peak {row['peak_mb']:.0f} MB"
            )
    if options.documents >= 100_000:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{options.documents:,} documents from word chains over AG News",
            "bytes": size,
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
