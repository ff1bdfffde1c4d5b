"""Documents of any number: walks through the words of AG News, one of its four classes each."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from pathlib import Path

__all__ = ["DATA", "write_documents"]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ag_news" / "ag_news.jsonl.gz"
_OTHER_CLASS = 0.4


def write_documents(path: Path, n: int, seed: int) -> None:
    """Write n lines in fastText's format.

    Each is a chain of words that follow each other in texts of its class; now and then a sentence
    is of another class.
    """
    draw = random.Random(seed)
    chains: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    lengths = []
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            words = row["text"].lower().split()
            lengths.append(len(words))
            for one, two in zip(["", *words], [*words, ""], strict=True):
                chains[row["label"]][one].append(two)
    classes = sorted(chains)
    with path.open("w", encoding="utf-8") as out:
        for _ in range(n):
            label = draw.choice(classes)
            words, word, chain = [], "", chains[label]
            for _ in range(draw.choice(lengths)):
                if not word:
                    other = draw.random() < _OTHER_CLASS
                    chain = chains[draw.choice(classes) if other else label]
                word = draw.choice(chain.get(word) or chain[""])
                words.append(word)
            out.write(f"__label__{label} {' '.join(words)}\n")
