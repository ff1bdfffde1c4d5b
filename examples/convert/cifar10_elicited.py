"""Elicited answers about images (CIFAR-10S) -> one row an answer: soft, not, or both.

    python cifar10_elicited.py elicited.jsonl.gz classes.txt --images test_images.zip -o rows.jsonl

A person gave a first and perhaps a second class with probabilities (0-100) and the classes that are
impossible. What the two leave of 100 is spread over the classes neither named nor ruled out; where
there is none, or they exceed 100, the two are scaled. Answers that rule out a class they name are
left out and counted on standard error. Pixels need Pillow.
"""

import argparse
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from eitheror.files import open_lines, open_output


def statement(answer: dict, classes: list[str], form: str) -> dict[str, object] | None:
    """Return the statement keys of one answer; None where it contradicts itself."""
    impossible, shares = answer["impossible"], {answer["first"]: float(answer["first_p"])}
    if answer["second_p"]:
        shares[answer["second"]] = shares.get(answer["second"], 0.0) + answer["second_p"]
    if set(impossible) & set(shares):
        return None
    if form == "not":
        return {"not": impossible} if impossible else {}
    left = [name for name in classes if name not in shares and name not in impossible]
    if left and (missing := 100.0 - sum(shares.values())) > 0:
        shares |= dict.fromkeys(left, missing / len(left))
    total = sum(shares.values())
    return {"soft": {name: p / total for name, p in shares.items()}, "not": impossible or None}


def pixels(images: zipfile.ZipFile, index: int, size: int) -> list[float]:
    """Return the size x size x 3 values of one image, scaled to [0, 1]."""
    from PIL import Image

    with Image.open(io.BytesIO(images.read(f"{index:05d}.jpg"))) as image:
        small = image.convert("RGB").resize((size, size))
        return [round(byte / 255, 4) for byte in small.tobytes()]


def records(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield one record an answer, and say how many were left out."""
    classes = Path(args.classes).read_text(encoding="utf-8").split()
    images = zipfile.ZipFile(args.images) if args.images else None
    contradictory = 0
    for _, line in open_lines(args.input):
        image = json.loads(line)
        features = {"features": pixels(images, image["index"], args.size)} if images else {}
        for number, answer in enumerate(image["annotators"]):
            said = statement(answer, classes, args.form)
            if said is not None:
                yield {"id": f"{image['index']}/{number}", **features, **said}
            contradictory += said is None
    print(f"{contradictory} answers rule out a class they name; left out", file=sys.stderr)


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="elicited.jsonl, packed or not; - is standard input")
    parser.add_argument("classes", help="classes.txt: one class a line")
    parser.add_argument("--images", help="zip of NNNNN.jpg; adds the pixels as features")
    parser.add_argument("--size", type=int, default=32, help="pixels a side (default: 32)")
    parser.add_argument("--form", choices=["soft", "not"], default="soft", help="default: soft")
    parser.add_argument("-o", "--output", default="-", help="JSONL file (default: standard output)")
    args = parser.parse_args()
    with open_output(args.output) as out:
        for record in records(args):
            out.write(json.dumps(record).encode() + b"\n")


if __name__ == "__main__":
    main()
