"""Writing: what a format cannot hold is refused, and a file is complete or not there."""

import io
import sys
from dataclasses import fields

import pytest

from eitheror import Labels, either, exact, not_, tags
from eitheror.files import ReadOptions, read_table, write
from eitheror.files._options import ReadKeywords
from eitheror.labels import DataError, RowError

REFUSED = [
    (
        "fasttext",
        either("a", "b"),
        "x",
        "row 1: a fastText file cannot hold either('a', 'b'); JSONL can",
    ),
    (
        "fasttext",
        exact("b c"),
        "x",
        "row 1: the name 'b c' contains white space, which a fastText label cannot hold; JSONL and "
        "CSV can, or underscores=True writes _ for a space",
    ),
    (
        "fasttext",
        exact("b"),
        "x\ny",
        "row 1: a fastText file cannot hold the line break in 'x\\ny'; JSONL and CSV can, or "
        "flatten=True puts single spaces there",
    ),
    (
        "fasttext",
        exact("b"),
        "see __label__b",
        "row 1: the word '__label__b' in the text would be read as a label; JSONL and CSV can "
        "hold it",
    ),
    (
        "csv",
        exact("b|c"),
        "x",
        "row 1: the short form cannot hold the class name 'b|c', which begins or ends with a space "
        "or contains one of | ! + : , * ?; JSONL can, and so can a table with one column a "
        "statement (plain_labels=True)",
    ),
    (
        "csv",
        exact("b"),
        "",
        "row 1: the text is empty, which a table cannot tell from missing; JSONL can",
    ),
    (
        "tsv",
        exact("b"),
        "x\ty",
        "row 1: 'x\\ty' contains a tab or a line break, which TSV cannot hold; CSV and JSONL can, "
        "or flatten=True puts spaces there",
    ),
    ("long", not_("a"), "x", "row 1: the long format cannot hold not_('a'); JSONL can"),
    (
        "long",
        exact("b"),
        "first",
        "row 1: the same text as row 0: the long format would join them; give every row its own "
        "id, or write JSONL",
    ),
    (
        "jsonl",
        exact("b"),
        "\ud800",
        "row 1: half of a surrogate pair stands alone in a text or a name; UTF-8 cannot hold it",
    ),
]


@pytest.mark.parametrize(("format", "label", "text", "message"), REFUSED)
def test_what_a_format_cannot_hold_is_refused(tmp_path, format, label, text, message):
    """The row and a format that can hold it are named, and no file is left behind."""
    path = tmp_path / "out"
    with pytest.raises(RowError) as caught:
        write(path, ["first", text], Labels([exact("a"), label], classes=None), format=format)
    assert message == str(caught.value)
    assert [] == list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The file is replaced only when the new one is complete."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RowError):
        write(path, ["x"], Labels([either("a", "b")]))
    assert "old" == path.read_text()


def test_single_tags_need_a_row_with_two():
    """A fastText file of single tags would be read as one class a row, so it is refused."""
    with pytest.raises(ValueError, match="no row has two tags"):
        write(io.BytesIO(), ["x"], Labels([tags("a")]), format="fasttext")


def test_flatten_puts_spaces_for_line_breaks():
    """On request texts lose their line breaks instead of being refused."""
    stream = io.BytesIO()
    write(stream, ["a\n b\tc"], Labels(["x"]), format="fasttext", flatten=True)
    assert b"__label__x a b c\n" == stream.getvalue()


def test_writing_needs_a_known_format(tmp_path):
    """A name without a known extension asks for format=."""
    with pytest.raises(ValueError, match="the format cannot be told from the name"):
        write(tmp_path / "out.xyz", ["x"], Labels(["a"]))


def test_a_column_that_would_be_read_as_a_label_is_refused():
    """A passed-through column must not carry the name of a statement key."""
    with pytest.raises(ValueError, match="a column called 'not' would be read as something else"):
        write(io.BytesIO(), ["x"], Labels(["a"]), format="csv", columns={"not": ["b"]})


def test_parquet_says_what_to_install(monkeypatch):
    """Without pyarrow the message is the line that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'eitheror\[data\]'"):
        read_table(io.BytesIO(b"PAR1"), format="parquet")
    with pytest.raises(ImportError, match=r"pip install 'eitheror\[data\]'"):
        write(io.BytesIO(), ["x"], Labels(["a"]), format="parquet")


def test_a_broken_parquet_file_is_a_data_error():
    """Bytes that are no Parquet file are refused by name."""
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"^stream: not a readable Parquet file"):
        read_table(io.BytesIO(b"PAR1 nothing"), format="parquet")


def test_parquet_feature_columns():
    """Numeric columns of a Parquet file are features when they are named."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"x1": [1.0, 3.0], "x2": [2, 4], "label": ["a", "b"], "who": ["me", "you"]}
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    stream.seek(0)
    found = read_table(stream, feature_columns="x*")
    assert [[1.0, 2.0], [3.0, 4.0]] == found.inputs.tolist()
    assert {"who": ["me", "you"]} == found.columns


def test_options_and_keywords_are_the_same_words():
    """The typed keywords and the fields of ReadOptions do not drift apart."""
    assert [field.name for field in fields(ReadOptions)] == list(ReadKeywords.__annotations__)
