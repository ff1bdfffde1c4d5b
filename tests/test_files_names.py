"""Files: columns are found by name, and a name that is not there is an error."""

import io
import json

import pytest

from eitheror import Labels, exact, tags, unknown, votes
from eitheror.files import iter_rows, read_table, write
from eitheror.labels import DataError


def from_text(text, **options):
    """Read a text as a table."""
    return read_table(io.BytesIO(text.encode()), **options)


def as_lines(*records):
    """Return records as JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


def as_parquet(columns):
    """Return the bytes of a Parquet file."""
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return io.BytesIO(stream.getvalue())


NUMBERS = "x2,label,x1\n2,a,1\n4,b,3\n"


@pytest.mark.parametrize("given", [{}, {"feature_columns": "x*"}])
def test_feature_names_are_taken_by_name_in_a_table(given):
    """The order of `feature_names` counts, not that of the file."""
    table = from_text(NUMBERS, format="csv", feature_names=["x1", "x2"], **given)
    assert [[1.0, 2.0], [3.0, 4.0]] == table.inputs.tolist()
    assert ["x1", "x2"] == table.feature_names


@pytest.mark.parametrize("given", [{}, {"feature_columns": "x*"}])
def test_feature_names_are_taken_by_name_in_parquet(given):
    """The order of `feature_names` counts, not that of the file."""
    stream = as_parquet({"x2": [2.0, 4.0], "label": ["a", "b"], "x1": [1, 3]})
    table = read_table(stream, feature_names=["x1", "x2"], **given)
    assert [[1.0, 2.0], [3.0, 4.0]] == table.inputs.tolist()
    assert ["x1", "x2"] == table.feature_names


def test_a_feature_name_is_no_pattern():
    """A name with a sign of patterns means the column of that name alone."""
    table = from_text("x*,xa,label\n1,2,a\n3,4,b\n", format="csv", feature_names=["x*"])
    assert [[1.0], [3.0]] == table.inputs.tolist()


def test_a_missing_feature_is_named():
    """A column of the model that the file lacks is an error, in a table and in Parquet."""
    with pytest.raises(DataError, match=r'stream:1: no column is called "width".*"widht"'):
        from_text("widht,label\n1,a\n", format="csv", feature_names=["width"])
    with pytest.raises(DataError, match=r'no column is called "width".*"widht"'):
        read_table(as_parquet({"widht": [1.0], "label": ["a"]}), feature_names=["width"])


def test_parquet_keeps_feature_names():
    """Features written with their names are read with them."""
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    table = from_text(NUMBERS, format="csv", feature_columns="x1,x2")
    stream = io.BytesIO()
    names = table.feature_names
    write(stream, table.inputs, table.labels, format="parquet", feature_names=names)
    back = read_table(io.BytesIO(stream.getvalue()))
    assert ["x1", "x2"] == back.feature_names
    assert table.inputs.tolist() == back.inputs.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": "wieght"}, 'no column is called "wieght" (did you mean "weight"?)'),
        ({"id": "nope"}, 'no column is called "nope"'),
        ({"label": "golld"}, 'no column is called "golld" (did you mean "gold"?)'),
    ],
)
def test_a_named_column_must_be_there(options, message):
    """A column that was asked for and does not exist is an error in CSV and Parquet."""
    with pytest.raises(DataError) as caught:
        from_text("text,gold,weight\nx,a,1\ny,b,1\n", format="csv", **options)
    assert message in str(caught.value)
    stream = as_parquet({"text": ["x", "y"], "gold": ["a", "b"], "weight": [1.0, 2.0]})
    with pytest.raises(DataError) as caught:
        read_table(stream, **options)
    assert message in str(caught.value)


def test_a_named_key_must_be_in_some_row():
    """JSONL rows may leave a key out; one that no row has is an error."""
    rows = [{"text": "x", "label": "a"}, {"text": "y", "label": "b", "wt": 2}]
    assert [1.0, 2.0] == from_text(as_lines(*rows), format="jsonl", weight="wt").weight.tolist()
    with pytest.raises(DataError) as caught:
        from_text(as_lines(rows[0], {"text": "y", "label": "b"}), format="jsonl", weight="labl")
    assert (
        'stream: no row has the key "labl" (did you mean "label"?); name a key that is there'
        == str(caught.value)
    )


def test_rows_without_labels_need_no_named_label():
    """What is read without labels may lack the columns that go with them."""
    options = {"format": "csv", "label": "gold", "weight": "w", "unlabelled": True}
    assert ["x"] == [row.input for row in iter_rows(io.BytesIO(b"text\nx\n"), **options)]


def test_a_named_label_column_replaces_label():
    """Beside `--label gold` a column "label" is passed through."""
    table = from_text("text,label,gold\nx,a,b\ny,b,a\n", format="csv", label="gold")
    assert [exact("b"), exact("a")] == list(table.labels)
    assert {"label": ["a", "b"]} == table.columns


def argilla(*responses):
    """Return a record with one response a person, each a value (or values) and a status."""
    listed = [{"values": {"label": {"value": v}}, "status": status} for v, status in responses]
    return {"fields": {"text": "x"}, "responses": listed}


def test_argilla_responses_by_person():
    """A list of responses combines like the object by question."""
    rows = [
        argilla(("bug", "submitted"), ("bug", "submitted")),
        argilla(("bug", "submitted"), ("billing", "submitted")),
        argilla(("bug", "discarded")),
        {"fields": {"text": "x"}, "responses": [{"values": None, "status": "discarded"}]},
    ]
    expected = [exact("bug"), votes({"bug": 1, "billing": 1}, voters=2), unknown, unknown]
    assert expected == list(from_text(as_lines(*rows), format="argilla").labels)


@pytest.mark.parametrize("responses", ["bug", [{"label": "bug"}], [{"values": {"label": "bug"}}]])
def test_other_argilla_responses_are_refused(responses):
    """Responses in no form that Argilla writes are an error, not unknown."""
    with pytest.raises(DataError, match=r"stream:1: .*Argilla writes"):
        from_text(as_lines({"fields": {"text": "x"}, "responses": responses}), format="argilla")


def test_people_disagree_beside_several_choices():
    """Votes keep the number of voters, which a task of tags needs."""
    rows = [
        argilla((["bug", "billing"], "submitted")),
        argilla(("bug", "submitted"), ("billing", "submitted")),
    ]
    labels = from_text(as_lines(*rows), format="argilla").labels
    assert "multilabel" == labels.task
    assert [tags("bug", "billing"), votes({"bug": 1, "billing": 1}, voters=2)] == list(labels)
    single = from_text(as_lines(rows[1]), format="argilla", task="multiclass").labels
    assert Labels([votes({"bug": 1, "billing": 1})]) == single


def test_blank_lines_keep_their_place_without_labels():
    """Without labels each line of JSONL is a row; a blank one has no input and no error."""
    data = b'\n{"text": "x"}\n \n'
    rows = list(iter_rows(io.BytesIO(data), format="jsonl", unlabelled=True))
    assert [(1, None, None), (2, "x", None), (3, None, None)] == [
        (row.line, row.input, row.error) for row in rows
    ]
    assert ["x"] == read_table(io.BytesIO(data), format="jsonl", unlabelled=True).inputs
