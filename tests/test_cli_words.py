"""The command says the same words as the Python functions, and keeps a row on one line."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse

import eitheror as eo
from eitheror.cli import main
from eitheror.cli._model import input_of, inputs_of
from eitheror.cli._options import FileOptions
from eitheror.cli._train import TrainFlags
from eitheror.files import ReadOptions, Row
from eitheror.training import TrainOptions

NOT_SAID = {
    "feature_names": "told by the files or the model",
    "classes": "--classes-file",
    "new_classes": "told by the command",
    "task": "--task, of the commands that need it",
    "unlabelled": "told by the command",
    "need_labels": "told by the command",
}


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command in an empty folder: (exit code, output)."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, capsys.readouterr().out

    return call


def write_rows(name, rows):
    """Write a JSONL file."""
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_way_to_read_a_file_can_be_said():
    """The command has each option of `eo.read` that it does not settle itself."""
    said = {field.name for field in dataclasses.fields(FileOptions)}
    assert {field.name for field in dataclasses.fields(ReadOptions)} == said | NOT_SAID.keys()


def test_every_option_of_training_can_be_said():
    """`train` has each field of `TrainOptions`, three of them under another word."""
    said = {field.name for field in dataclasses.fields(TrainFlags)}
    other = {"epochs": "epoch", "lowercase": "keep_case", "char_ngrams": "minn"}
    assert set() == {
        field.name
        for field in dataclasses.fields(TrainOptions)
        if other.get(field.name, field.name) not in said
    }


def test_training_options_reach_the_trainer(run):
    """--validation and --ngram-min-count are those of the model."""
    flags = TrainFlags(validation=0.25, ngram_min_count=3)
    assert (0.25, 3) == (flags.options().validation, flags.options().ngram_min_count)
    write_rows("rows.jsonl", [{"text": f"word {i}", "label": "ab"[i % 2]} for i in range(8)])
    words = ("--validation", "0.25", "--ngram-min-count", "3", "--json")
    code, out = run("train", "rows.jsonl", "-o", "m", *words)
    options = json.loads(out)["options"]
    assert (0, 0.25, 3) == (code, options["validation"], options["ngram_min_count"])


def test_prefix_and_underscores(run):
    """Labels of fastText lines are read, and written, with another prefix and underscores."""
    Path("rows.txt").write_text("#food_safety x\n#rice y\n")
    layout = ("--format", "fasttext", "--prefix", "#", "--underscores")
    assert 0 == run("convert", "rows.txt", "rows.jsonl", *layout)[0]
    assert ["food safety", "rice"] == [
        json.loads(line)["label"] for line in Path("rows.jsonl").read_text().splitlines()
    ]
    words = ("--to", "fasttext", "--prefix", "#", "--underscores")
    assert 0 == run("convert", "rows.jsonl", "back.txt", *words)[0]
    assert "#food_safety x\n#rice y\n" == Path("back.txt").read_text()


def test_a_class_name_does_not_break_the_line(run):
    """A tab, a line break and a backslash in a name are escaped; JSON has the name itself."""
    name = "a\tb\nc\\d\r"
    rows = [{"features": [i], "label": name if i > 2 else "lo"} for i in range(6)]
    write_rows("rows.jsonl", rows)
    run("train", "rows.jsonl", "-o", "m")
    write_rows("new.jsonl", [{"features": [9]}, {"features": [-9]}])
    assert (0, "a\\tb\\nc\\\\d\\r\nlo\n") == run("predict", "m", "new.jsonl")
    out = run("predict", "m", "new.jsonl", "--json")[1]
    assert [name] == json.loads(out.splitlines()[0])["decision"]


@pytest.fixture
def named(run):
    """A model of 300 features by name, of which each row has two."""
    rows = [
        {"features": {f"f{i:03}": 1.0, f"f{(i + 1) % 300:03}": -1.0}, "label": "ab"[i % 2]}
        for i in range(300)
    ]
    write_rows("rows.jsonl", rows)
    assert 0 == run("train", "rows.jsonl", "-o", "m")[0]
    return eo.load("m")


def test_features_by_name_stay_sparse(named):
    """A batch of rows by name takes the room of what they name, in the columns of the model."""
    rows = [Row("new", 1, {"f007": 2.0}), Row("new", 2, {}), Row("new", 3, {"f001": 1, "f000": 3})]
    found = inputs_of(named, [input_of(named, row) for row in rows])
    assert issparse(found)
    assert ((3, 300), 3) == (found.shape, found.nnz)
    expected = np.zeros((3, 300))
    expected[0, 7], expected[2, 1], expected[2, 0] = 2, 1, 3
    assert np.array_equal(expected, found.toarray())


def test_rows_by_name_and_in_order_predict_the_same(run, named):
    """A row as a list and the same row by name, in one file, have the same probabilities."""
    by_name = {"f004": 1.0, "f005": -1.0}
    in_order = [by_name.get(name, 0.0) for name in named.feature_names]
    write_rows("new.jsonl", [{"features": by_name}, {"features": in_order}, {"features": by_name}])
    code, out = run("predict", "m", "new.jsonl", "--json")
    assert (0, 1) == (code, len(set(out.splitlines())))
    write_rows("list.jsonl", [{"features": in_order}])
    assert out.splitlines()[0] == run("predict", "m", "list.jsonl", "--json")[1].strip()
