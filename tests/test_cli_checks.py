"""The command refuses what it would otherwise ignore or mix up."""

import json
from pathlib import Path

import pytest

from eitheror.cli import main

TEXTS = [{"text": f"it fails {i}", "label": "ab"[i % 2]} for i in range(6)]
NUMBERS = [{"features": [float(i), 1.0], "label": "ab"[i % 2]} for i in range(6)]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command in an empty folder: (exit code, out, err)."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("texts", TEXTS), ("numbers", NUMBERS)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        Path(f"{name}.jsonl").write_text(lines)

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


def table_of(order, n=12):
    """Return a CSV table of two numbers of which x1 alone tells the class."""
    lines = [",".join([*order, "label"])]
    for i in range(n):
        row = {"x1": 1.0 - 2.0 * (i % 2), "x2": 2.0 * (i % 2) - 1.0 if i % 3 else 0.0}
        lines.append(",".join([*(str(row[name]) for name in order), "ab"[i % 2]]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("layout", [(), ("--feature-columns", "x*")])
def test_columns_in_another_order_are_the_same_rows(run, layout):
    """A model finds its features by name, in every command and in --valid."""
    Path("a.csv").write_text(table_of(["x1", "x2"]))
    Path("b.csv").write_text(table_of(["x2", "x1"]))
    held_out = []
    for name in ("a.csv", "b.csv"):
        words = ("--feature-columns", "x*", "--valid", name, "-o", "m", "--json")
        held_out.append(json.loads(run("train", "a.csv", *words)[1])["valid"])
    assert held_out[0] == held_out[1]
    for command in ("predict", "evaluate"):
        first = run(command, "m", "a.csv", *layout, "--json")
        assert 0 == first[0]
        assert first == run(command, "m", "b.csv", *layout, "--json")


def test_a_feature_that_the_file_lacks_is_named(run):
    """A file without a column of the model is refused, whatever stands in its place."""
    Path("a.csv").write_text(table_of(["x1", "x2"]))
    Path("c.csv").write_text("x1,x3,label\n1,2,a\n")
    assert 0 == run("train", "a.csv", "--feature-columns", "x*", "-o", "m")[0]
    code, _, err = run("evaluate", "m", "c.csv", "--feature-columns", "x*")
    assert 2 == code
    assert err.startswith('c.csv:1: no column is called "x2"')


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ("texts", "numbers", "numbers.jsonl:1: numbers came, and the training rows are texts\n"),
        ("numbers", "texts", "texts.jsonl:1: texts came, and the training rows are numbers\n"),
    ],
)
def test_held_out_rows_of_another_kind(run, train, valid, message):
    """Texts and numbers do not mix."""
    words = ("train", f"{train}.jsonl", "--valid", f"{valid}.jsonl", "-o", "m")
    assert (2, "", message) == run(*words)


def test_held_out_rows_of_another_width(run):
    """Held-out rows have as many features as those of training."""
    Path("wide.jsonl").write_text('{"features": [1, 2, 3], "label": "a"}\n')
    code, _, err = run("train", "numbers.jsonl", "--valid", "wide.jsonl", "-o", "m")
    assert (2, "wide.jsonl:1: 3 features; the training rows have 2\n") == (code, err)


@pytest.mark.parametrize("threads", ["0", "-3"])
def test_threads_are_one_or_more(run, threads):
    """No threads, or fewer, is a usage error."""
    code, _, err = run("train", "texts.jsonl", "-o", "m", "--thread", threads)
    assert 2 == code
    assert "--thread" in err
    assert ">= 1" in err
    assert not Path("m").exists()


def test_top_needs_json(run):
    """--top alone would change nothing."""
    assert 0 == run("train", "texts.jsonl", "-o", "m")[0]
    expected = "--top says how many probabilities --json shows; add --json\n"
    assert (2, "", expected) == run("predict", "m", "texts.jsonl", "--top", "1")


def test_a_model_does_not_go_to_standard_output(run):
    """A model is a folder; - is none."""
    code, _, err = run("train", "texts.jsonl", "-o", "-")
    assert (2, "a model is a folder, which standard output cannot be: -o MODEL\n") == (code, err)
    assert not Path("-").exists()


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_blank_line_has_its_line(run, as_json):
    """Each line in has a line out; for a blank line of JSONL it is null."""
    assert 0 == run("train", "texts.jsonl", "-o", "m")[0]
    Path("in.jsonl").write_text('{"text": "it fails 0"}\n\n{"text": "it fails 1"}\n')
    code, out, err = run("predict", "m", "in.jsonl", *as_json)
    assert (0, "") == (code, err)
    assert 3 == len(out.splitlines())
    assert "null" == out.splitlines()[1]
