"""GoEmotions (simplified): TSV of text, label numbers and id, plus labels.txt -> tags.

    python goemotions.py train.tsv.gz labels.txt -o train.jsonl

The labels of a row are what at least two raters agreed on: these tags and no others.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from eitheror.files import open_lines, open_output


def records(path: str, names: list[str]) -> Iterator[dict[str, object]]:
    """Yield one record a line."""
    for number, line in open_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 3:
            raise SystemExit(f"{path}:{number}: {len(cells)} cells, expected text, labels, id")
        text, labels, key = cells
        yield {"id": key, "text": text, "tags": [names[int(i)] for i in labels.split(",")]}


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="train.tsv or dev.tsv, packed or not; - is standard input")
    parser.add_argument("classes", help="labels.txt: one emotion a line")
    parser.add_argument("-o", "--output", default="-", help="JSONL file (default: standard output)")
    args = parser.parse_args()
    names = Path(args.classes).read_text(encoding="utf-8").split()
    with open_output(args.output) as out:
        for record in records(args.input, names):
            out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


if __name__ == "__main__":
    main()
