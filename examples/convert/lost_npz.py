"""Partial-label sets as npz (X, candidates, y) -> features with either.

    python lost_npz.py lost.npz -o lost.jsonl

Each row has a set of candidate classes, one of which is right. The right class y is not written,
unless --truth asks for it (as the label, in place of the candidates), for a test file.
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np

from eitheror.files import open_output


def records(path: str, truth: bool, rows: slice) -> Iterator[dict[str, object]]:
    """Yield one record a row."""
    with np.load(path, allow_pickle=False) as data:
        inputs, candidates, right = data["X"][rows], data["candidates"][rows], data["y"][rows]
    start = rows.start or 0
    for i, (features, mask, y) in enumerate(zip(inputs, candidates, right, strict=True)):
        names = [f"c{k:02d}" for k in np.flatnonzero(mask)]
        statement = {"either": names} if len(names) > 1 else {"label": names[0]}
        if truth:
            statement = {"label": f"c{y:02d}"}
        yield {"id": start + i, "features": [float(x) for x in features], **statement}


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="lost.npz, fgnet.npz, italian.npz")
    parser.add_argument("--truth", action="store_true", help="write the right class")
    parser.add_argument("--rows", default=":", help="such as 0:900 (default: all)")
    parser.add_argument("-o", "--output", default="-", help="JSONL file (default: standard output)")
    args = parser.parse_args()
    first, _, last = args.rows.partition(":")
    rows = slice(int(first) if first else None, int(last) if last else None)
    with open_output(args.output) as out:
        for record in records(args.input, args.truth, rows):
            out.write(json.dumps(record).encode() + b"\n")


if __name__ == "__main__":
    main()
