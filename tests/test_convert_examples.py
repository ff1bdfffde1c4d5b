"""The converters under examples/convert turn small files of the public form into readable JSONL."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eitheror import Labels, either, exact, not_, read, soft, tags, unknown, votes
from eitheror.files import read_table

CONVERTERS = Path(__file__).parents[1] / "examples" / "convert"


def convert(name, *arguments):
    """Run one converter as a user does."""
    command = [sys.executable, str(CONVERTERS / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def write_lines(path, *records):
    """Write records as packed JSONL."""
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in records).encode()))


@pytest.mark.parametrize("path", sorted(CONVERTERS.glob("*.py")), ids=lambda path: path.stem)
def test_converters_are_small(path):
    """A converter is short enough to be read before it is trusted."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80


def test_goemotions(tmp_path):
    """Numbers are line numbers of labels.txt, several are tags."""
    (tmp_path / "labels.txt").write_text("joy\nanger\nfear\n")
    (tmp_path / "a.tsv").write_text('so "nice"\t0,2\tk1\nbah\t1\tk2\n')
    convert("goemotions", tmp_path / "a.tsv", tmp_path / "labels.txt", "-o", tmp_path / "a.jsonl")
    table = read_table(tmp_path / "a.jsonl")
    assert ['so "nice"', "bah"] == table.inputs
    assert [tags("joy", "fear"), tags("anger")] == list(table.labels)
    assert ["k1", "k2"] == table.ids


def test_reuters(tmp_path):
    """An empty list of topics says that no topic applies."""
    story = {"id": 1, "title": "Cocoa", "body": "Rain.", "topics": ["cocoa"], "places": []}
    write_lines(tmp_path / "a.jsonl.gz", story, {**story, "id": 2, "body": "", "topics": []})
    convert("reuters", tmp_path / "a.jsonl.gz", "-o", tmp_path / "b.jsonl")
    texts, labels = read(tmp_path / "b.jsonl")
    assert ["Cocoa\nRain.", "Cocoa"] == texts
    assert [tags("cocoa"), tags()] == list(labels)


def test_imdb_reviewed(tmp_path):
    """Votes stay votes; as `not`, only a majority against the given label speaks against it."""
    answers = [(3, 2, 0, 0), (1, 4, 0, 0), (0, 0, 5, 0)]
    names = ("given", "guessed", "neutral", "off-topic")
    rows = [
        {
            "id": i,
            "part": "reviewed",
            "label": 1,
            "text": "x",
            "votes": dict(zip(names, a, strict=True)),
        }
        for i, a in enumerate(answers)
    ]
    write_lines(tmp_path / "a.gz", *rows)
    convert("imdb_reviewed", tmp_path / "a.gz", "-o", tmp_path / "votes.jsonl")
    convert("imdb_reviewed", tmp_path / "a.gz", "--as", "not", "-o", tmp_path / "not.jsonl")
    counted = [
        votes({"positive": 3, "negative": 2}),
        votes({"positive": 1, "negative": 4}),
        unknown,
    ]
    assert counted == list(read(tmp_path / "votes.jsonl")[1])
    assert [exact("positive"), not_("positive"), unknown] == list(
        read(tmp_path / "not.jsonl", classes=["negative", "positive"])[1]
    )


def test_lost_npz(tmp_path):
    """Candidates become either, a single one is exact, and the truth is not written."""
    candidates = np.array([[True, True, False], [False, False, True]])
    np.savez(
        tmp_path / "a.npz", X=np.eye(2, dtype=np.float32), candidates=candidates, y=np.array([0, 2])
    )
    convert("lost_npz", tmp_path / "a.npz", "-o", tmp_path / "a.jsonl")
    inputs, labels = read(tmp_path / "a.jsonl")
    assert [[1.0, 0.0], [0.0, 1.0]] == inputs.tolist()
    assert Labels([either("c00", "c01"), exact("c02")]) == labels


def test_cifar10_elicited(tmp_path):
    """Two probabilities are shares, what they leave goes to the possible classes."""
    (tmp_path / "classes.txt").write_text("cat\ndog\nfrog\nship\n")
    base = {"first": "cat", "first_p": 60.0, "second": "dog", "second_p": 20.0}
    answers = [{**base, "impossible": ["ship"]}, {**base, "impossible": ["cat"]}]
    write_lines(tmp_path / "a.gz", {"index": 7, "label": "cat", "annotators": answers})
    done = convert("cifar10_elicited", tmp_path / "a.gz", tmp_path / "classes.txt")
    record = json.loads(done.stdout)
    expected = {"cat": 0.6, "dog": 0.2, "frog": 0.2}
    assert {"id": "7/0", "soft": expected, "not": ["ship"]} == record
    assert "1 answers rule out a class they name; left out\n" == done.stderr
    assert soft(expected) == (soft(record["soft"]) & not_("ship")).reduce("multiclass")
