"""Outputs that are not plain files, bad rows by the hundred, and what reading leaves untouched."""

import csv
import io
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eitheror import Labels
from eitheror.files import open_output, read_table, write
from eitheror.files._checks import bad_rows
from eitheror.files._features import FeatureStack
from eitheror.labels import RowError
from label_strategies import exclusive, multilabel

LABELS = Labels(["a", "b"])
WRITTEN = '{"text":"x","label":"a"}\n{"text":"y","label":"b"}\n'


def refusals(labels, classes, task):
    """Return the problem of each row that `Labels` refuses on its own."""
    found = {}
    for row, label in enumerate(labels):
        try:
            Labels([label], classes, task)
        except RowError as error:
            found[row] = error.problem
    return found


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(exclusive, multilabel), max_size=6),
    st.sampled_from([None, "a", "ab", "abc", "abcdef"]),
    st.sampled_from(["multiclass", "multilabel"]),
)
def test_bad_rows_are_those_that_are_refused_alone(labels, classes, task):
    """All bad rows found together are the rows that Labels refuses one by one."""
    classes = None if classes is None else list(classes)
    assert refusals(labels, classes, task) == bad_rows(labels, range(len(labels)), classes, task)


@pytest.mark.parametrize("classes", [None, ["a", "b"]])
def test_many_bad_rows_are_skipped_in_one_pass(classes):
    """Thousands of wrong sums in a large file are found without starting over for each."""
    shares = [{"a": 0.5, "b": 0.2 if row % 3 == 0 else 0.5} for row in range(9_000)]
    lines = [json.dumps({"text": f"t{i}", "soft": share}) + "\n" for i, share in enumerate(shares)]
    table = read_table(
        io.BytesIO("".join(lines).encode()), format="jsonl", skip_bad=True, classes=classes
    )
    assert (6_000, 3_000) == (len(table), len(table.skipped))
    assert ["stream:1", "stream:4"] == [error.where for error in table.skipped[:2]]
    assert ["t1", "t2", "t4"] == table.inputs[:3]
    assert [1, 2, 4] == table.places[:3].tolist()


def test_a_row_that_leaves_no_class_is_skipped():
    """With the class list given, a row that rules out all of it is a bad row."""
    rows = [{"text": "x", "not": ["a", "b"]}, {"text": "y", "label": "a"}]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = read_table(io.BytesIO(data), format="jsonl", skip_bad=True, classes=["a", "b"])
    assert (["y"], ["stream:1"]) == (table.inputs, [error.where for error in table.skipped])


def test_a_refused_row_of_features_leaves_nothing_behind():
    """After a row with an unknown name the matrix holds the other rows."""
    stack = FeatureStack(["x", "y"])
    stack.add({"x": 1.0})
    with pytest.raises(ValueError, match='unknown feature "z"'):
        stack.add({"y": 2.0, "z": 3.0})
    stack.add({"y": 4.0})
    assert np.array_equal([[1, 0], [0, 4]], stack.matrix().toarray())


def test_a_refused_first_row_does_not_fix_the_form():
    """A list after a refused mapping is taken, since no mapping was."""
    stack = FeatureStack(["x"])
    with pytest.raises(ValueError, match='unknown feature "z"'):
        stack.add({"z": 3.0})
    stack.add([5.0])
    assert [[5.0]] == stack.matrix().tolist()


def test_skipped_features_leave_a_readable_table():
    """`skip_bad` with features by name drops the row with the unknown name only."""
    rows = [{"x": 1}, {"x": 2, "q": 3}, {"x": 4, "y": 5}]
    data = "".join(json.dumps({"features": f, "label": "a"}) + "\n" for f in rows).encode()
    table = read_table(
        io.BytesIO(data),
        format="jsonl",
        skip_bad=True,
        feature_names=["x", "y"],
        need_labels=False,
    )
    assert [[1, 0], [4, 5]] == table.inputs.toarray().tolist()
    assert ["stream:2"] == [error.where for error in table.skipped]


def test_a_link_keeps_pointing_to_the_file_that_is_written(tmp_path):
    """The file behind a link is replaced; the link stays one, also before its file exists."""
    (tmp_path / "data").mkdir()
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "data" / "real.jsonl")
    for old in (None, "old"):
        if old is not None:
            link.write_text(old)
        write(link, ["x", "y"], LABELS)
        assert link.is_symlink()
        assert (WRITTEN,) == tuple(p.read_text() for p in (tmp_path / "data").iterdir())


def test_the_name_of_a_link_says_how_to_pack(tmp_path):
    """The compression follows the name that was given, whatever the link points to."""
    link = tmp_path / "link.jsonl.gz"
    link.symlink_to(tmp_path / "real")
    write(link, ["x", "y"], LABELS)
    assert b"\x1f\x8b" == (tmp_path / "real").read_bytes()[:2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_stays_one(tmp_path):
    """Rows go through a pipe to its reader; no file takes its name."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, ["x", "y"], LABELS)
    reader.join(10)
    assert [WRITTEN] == read
    assert pipe.is_fifo()
    assert [pipe] == list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the system has no /dev/full")
def test_a_device_is_written_to_as_it_is():
    """The bytes reach the device, whose own error comes back; no file is put in its place."""
    with pytest.raises(OSError, match="No space left"), open_output("/dev/full") as stream:
        stream.write(b"x")
    assert Path("/dev/full").is_char_device()


def test_the_limit_of_the_csv_module_is_left_as_it_was():
    """A long cell is read, while other users of csv keep their own limit, between rows too."""
    before = csv.field_size_limit(1000)
    try:
        data = f"text,label\n{'x' * 5000},a\ny,b\n".encode()
        table = read_table(io.BytesIO(data), format="csv")
        assert [5000, 1] == [len(text) for text in table.inputs]
        assert 1000 == csv.field_size_limit()
    finally:
        csv.field_size_limit(before)
