"""IMDB reviews whose doubtful labels five people judged -> votes, not, or the given label.

    python imdb_reviewed.py imdb.jsonl.xz --part reviewed -o reviewed.jsonl

Each judge answered given / guessed (by a model) / neutral / off-topic. With --as votes the two
classes get their votes; rows on which nobody chose a class say nothing. With --as not, a majority
against the given label says that it is wrong, a majority for it that it is right, and any other
majority (neutral, off-topic, a tie) says nothing.
"""

import argparse
import json
from collections.abc import Iterator

from eitheror.files import open_lines, open_output

CLASSES = ("negative", "positive")


def statement(row: dict, form: str) -> dict[str, object]:
    """Return the statement keys of one review."""
    given, guessed = CLASSES[row["label"]], CLASSES[1 - row["label"]]
    if "votes" not in row or form == "given":
        return {"label": given}
    votes = row["votes"]
    if form == "votes":
        counts = {given: votes["given"], guessed: votes["guessed"]}
        return {"votes": counts} if any(counts.values()) else {}
    most = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == most]
    return {"guessed": {"not": [given]}, "given": {"label": given}}.get(
        winners[0] if len(winners) == 1 else "", {}
    )


def records(path: str, part: str | None, form: str) -> Iterator[dict[str, object]]:
    """Yield one record a review."""
    for _, line in open_lines(path):
        row = json.loads(line)
        if part in (None, row["part"]):
            yield {"id": row["id"], "text": row["text"], **statement(row, form)}


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="JSON lines, packed or not; - is standard input")
    parser.add_argument("--part", choices=["train", "test", "reviewed"], help="default: all")
    parser.add_argument("--as", dest="form", choices=["votes", "not", "given"], default="votes")
    parser.add_argument("-o", "--output", default="-", help="JSONL file (default: standard output)")
    args = parser.parse_args()
    with open_output(args.output) as out:
        for record in records(args.input, args.part, args.form):
            out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


if __name__ == "__main__":
    main()
