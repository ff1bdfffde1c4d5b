"""Reuters-21578 as JSON lines of title, body and topics -> tags.

    python reuters.py modapte_train.jsonl.gz -o train.jsonl

An empty list of topics means that no topic applies, which is a statement: "tags": [].
"""

import argparse
import json
from collections.abc import Iterator

from eitheror.files import open_lines, open_output


def records(path: str, key: str) -> Iterator[dict[str, object]]:
    """Yield one record a story; stories without any text are left out."""
    for _, line in open_lines(path):
        story = json.loads(line)
        text = "\n".join(part for part in (story["title"], story["body"]) if part)
        if text:
            yield {"id": story["id"], "text": text, "tags": story[key]}


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="JSON lines, packed or not; - is standard input")
    parser.add_argument("--key", default="topics", help="the list to use: topics (default), places")
    parser.add_argument("-o", "--output", default="-", help="JSONL file (default: standard output)")
    args = parser.parse_args()
    with open_output(args.output) as out:
        for record in records(args.input, args.key):
            out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


if __name__ == "__main__":
    main()
