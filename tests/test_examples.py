"""The examples run as they stand, and the pages of the questions show the stored results.

Every example of `examples/0*.py` answers one of the five questions: a short program that compares
all options which the question names. Real data are used where they are at hand; elsewhere an
example takes what the installed packages bring along.
"""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("0*.py"))
RECORDS = sorted((ROOT / "benchmarks" / "questions" / "results").glob("q*.json"))
SHOWN = re.compile(r"<!-- table: (.+?) -->\n+(.*?)\n+<!-- end -->", re.DOTALL)
FRAMEWORKS = ("torch", "keras", "jax", "transformers")

by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
by_record = pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)


def skip_without_its_framework(example: Path) -> None:
    """Skip an example whose framework is not installed."""
    text = example.read_text(encoding="utf-8")
    for package in FRAMEWORKS:
        if re.search(rf"^ *(import|from) {package}\b", text, re.MULTILINE):
            pytest.importorskip(package, reason=f"{example.name} needs {package}")


@by_name
def test_an_example_is_read_in_a_minute(example):
    """An example has fewer than 80 lines."""
    assert len(example.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.slow
@by_name
def test_an_example_compares_every_option_of_its_question(example):
    """An example ends well and prints a line with a number for each of its options."""
    skip_without_its_framework(example)
    options = runpy.run_path(str(example), run_name="example")["OPTIONS"]
    done = subprocess.run(
        [sys.executable, str(example)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"},
    )
    assert 0 == done.returncode, done.stderr
    printed = done.stdout.splitlines()
    shown = [
        name
        for name in options
        if any(re.match(rf"\W*{re.escape(name)}\W.*\d", line) for line in printed)
    ]
    assert list(options) == shown


@by_record
def test_a_page_shows_the_stored_tables(record):
    """The tables of docs/questions are those of the stored benchmark run, all of them."""
    page = ROOT / "docs" / "questions" / f"{record.stem.removeprefix('q')}.md"
    shown = dict(SHOWN.findall(page.read_text(encoding="utf-8")))
    tables = json.loads(record.read_text(encoding="utf-8"))["tables"]
    assert {name: "\n".join(lines) for name, lines in tables.items()} == shown


@by_record
def test_a_record_says_how_it_came_about(record):
    """A stored run names its command, its data and its machine."""
    stored = json.loads(record.read_text(encoding="utf-8"))
    assert set() == {"command", "data", "machine"} - set(stored)
