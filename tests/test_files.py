"""Files: every format gives back what was written, and every bad row says where and what."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eitheror import Labels, either, exact, not_, soft, tags, unknown, votes
from eitheror.files import Row, iter_rows, read, read_table, write
from eitheror.labels import DataError, Label, RowError
from label_strategies import exclusive, multilabel

FILES = Path(__file__).parent / "files"
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def from_bytes(data, **options):
    """Read bytes (or text) as a table."""
    data = data.encode() if isinstance(data, str) else data
    return read_table(io.BytesIO(data), **options)


def need_library(name):
    """Skip the test where the format, or the file, needs a library that is not installed."""
    for ending, library in {"parquet": "pyarrow", ".zst": "zstandard"}.items():
        if name.endswith(ending):
            pytest.importorskip(library, reason=f"{ending} needs {library}, which is not installed")


def from_lines(*records, **options):
    """Read records as JSONL."""
    return from_bytes("".join(json.dumps(r) + "\n" for r in records), format="jsonl", **options)


def problem_of(data, **options):
    """Return the message of the error that reading raises."""
    with pytest.raises(DataError) as caught:
        from_bytes(data, **options)
    return str(caught.value)


def there_and_back(inputs, labels, format, **options):
    """Write and read again with the same class list and task."""
    stream = io.BytesIO()
    also = {k: options.pop(k) for k in ("weight", "ids", "columns") if k in options}
    write(stream, inputs, labels, format=format, **also, **options)
    stream.seek(0)
    options.pop("flatten", None)
    return read_table(
        stream,
        format=format,
        classes=labels.classes,
        task=labels.task,
        need_labels=False,
        **options,
    )


# -- laws ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
any_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
one_line = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), min_size=1
)
word = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=" \t\v\f\0\r\n"), min_size=1
)
sentence = (
    st.lists(word, min_size=1)
    .map(" ".join)
    .filter(lambda text: "__label__" not in text and text[0] != "\ufeff")
)


def renamed(label, names):
    """Return a label over "a".."d" with other class names."""
    found = {k: new_names(v, names) for k, v in label.to_dict().items()}
    return Label.from_dict(found)


def new_names(value, names):
    """Rename inside one value of a statement key."""
    if isinstance(value, list):
        return [new_names(item, names) for item in value]
    if isinstance(value, dict):
        return {names[key]: number for key, number in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


@st.composite
def data_sets(draw, statements, name, text=texts, task="multiclass"):
    """Texts with labels over four classes of any name."""
    names = draw(st.lists(name, min_size=4, max_size=4, unique=True))
    found = draw(st.lists(statements, min_size=1, max_size=6))
    found = [renamed(label, dict(zip("abcd", names, strict=True))) for label in found]
    inputs = [draw(text) for _ in found]
    try:
        return inputs, Labels(found, classes=sorted(names), task=task)
    except ValueError:
        assume(False)


either_task = st.one_of(
    data_sets(exclusive, any_name), data_sets(multilabel, any_name, task="multilabel")
)


@quick
@given(either_task)
def test_jsonl_gives_back_every_statement(data):
    """file -> Labels -> file is the identity for every statement, name and text in JSONL."""
    inputs, labels = data
    found = there_and_back(inputs, labels, "jsonl")
    assert (inputs, labels) == (found.inputs, found.labels)


@quick
@given(either_task)
def test_statement_columns_give_back_every_statement(data):
    """A CSV with one column a statement holds every statement, name and text."""
    inputs, labels = data
    found = there_and_back(inputs, labels, "csv", plain_labels=True)
    assert (inputs, labels) == (found.inputs, found.labels)


@quick
@given(either_task)
def test_short_form_cells_give_back_what_they_hold(data):
    """A CSV in the short form gives back every label it holds, and refuses the others."""
    inputs, labels = data
    if all(has_short_form(label) for label in labels):
        found = there_and_back(inputs, labels, "csv")
        assert (inputs, labels) == (found.inputs, found.labels)
    else:
        with pytest.raises(RowError, match="JSONL can"):
            there_and_back(inputs, labels, "csv")


def has_short_form(label):
    """Tell whether the short form holds a label."""
    try:
        return "-1" != label.format()
    except ValueError:
        return False


@quick
@given(either_task)
def test_parquet_gives_back_every_statement(data):
    """Parquet holds every statement, name and text."""
    pytest.importorskip("pyarrow")
    inputs, labels = data
    found = there_and_back(inputs, labels, "parquet")
    assert (inputs, labels) == (found.inputs, found.labels)


@quick
@given(
    st.one_of(
        data_sets(exclusive, one_line, one_line),
        data_sets(multilabel, one_line, one_line, task="multilabel"),
    )
)
def test_tsv_gives_back_what_has_no_tab_and_no_line_break(data):
    """A TSV gives back every statement over names and texts without tabs and line breaks."""
    inputs, labels = data
    found = there_and_back(inputs, labels, "tsv", plain_labels=True)
    assert (inputs, labels) == (found.inputs, found.labels)


tag_rows = st.sets(st.sampled_from("abcd"), min_size=2, max_size=4).map(lambda s: tags(*s))
tags_or_nothing = st.one_of(tag_rows, st.just(unknown))
plain_rows = st.one_of(st.sampled_from("abcd").map(exact), st.just(unknown))


@quick
@given(
    st.one_of(
        data_sets(plain_rows, word, sentence),
        data_sets(tags_or_nothing, word, sentence, task="multilabel"),
    )
)
def test_fasttext_gives_back_what_it_holds(data):
    """A fastText file gives back one class or several tags a row, with names of one word."""
    inputs, labels = data
    assume(labels.task == "multiclass" or (labels.kinds > 0).any())
    found = there_and_back(inputs, labels, "fasttext")
    assert (inputs, labels) == (found.inputs, found.labels)


@quick
@given(data_sets(tags_or_nothing, any_name, task="multilabel"))
def test_long_format_gives_back_tags(data):
    """The long format gives back the tags of each item when the items have ids."""
    inputs, labels = data
    ids = [str(i) for i in range(len(inputs))]
    found = there_and_back(inputs, labels, "long", ids=ids)
    assert (inputs, labels, ids) == (found.inputs, found.labels, found.ids)


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv", "parquet"])
@quick
@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_numbers_come_back_to_the_last_bit(format, rows):
    """Features are float64 in every format that holds them."""
    need_library(format)
    inputs = np.array(rows)
    labels = Labels([exact("a")] * len(rows), classes=["a", "b"])
    options = {} if format in ("jsonl", "parquet") else {"feature_columns": "x*"}
    stream = io.BytesIO()
    write(stream, inputs, labels, format=format)
    found = from_bytes(stream.getvalue(), format=format, classes=["a", "b"], **options)
    assert np.array_equal(inputs, found.inputs)
    assert labels == found.labels


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv", "parquet"])
def test_weights_ids_and_columns_come_back(format):
    """The sample weight, the id and other columns pass through."""
    need_library(format)
    labels = Labels(["a", "b", either("a", "b")])
    weight, ids, columns = (
        [1.0, 0.5, 2.0],
        ["x", "y", "z"],
        {"_by": ["me", "you", "me"], "lang": ["de", "en", "fr"]},
    )
    found = there_and_back(["p", "q", "r"], labels, format, weight=weight, ids=ids, columns=columns)
    assert weight == found.weight.tolist()
    assert (ids, columns) == (found.ids, found.columns)


def test_meta_may_hold_any_key():
    """What `meta` holds passes through, also under a name that means something outside."""
    record = {"text": "x", "label": "a", "meta": {"label": "old", "lang": "de"}}
    table = from_lines(record, need_labels=False)
    assert {"meta.label": ["old"], "lang": ["de"]} == table.columns
    stream = io.BytesIO()
    write(stream, table.inputs, table.labels, format="jsonl", columns=table.columns)
    assert record == json.loads(stream.getvalue())


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet"])
def test_packed_files_are_read_and_written(tmp_path, name, suffix):
    """Compression is transparent in both directions, for every format."""
    need_library(suffix)
    need_library(name)
    path = tmp_path / (name + suffix)
    labels = Labels(["bug", "install"])
    write(path, ["it crashes", "setup stops"], labels)
    assert (["it crashes", "setup stops"], labels) == read(path)
    assert [path] == list(tmp_path.iterdir())


def test_the_same_data_give_the_same_packed_bytes(tmp_path):
    """A gz file holds no time and no name."""
    labels = Labels(["a", "b"])
    write(tmp_path / "one.jsonl.gz", ["x", "y"], labels)
    write(tmp_path / "two.jsonl.gz", ["x", "y"], labels)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


# -- what formats mean -----------------------------------------------------------------------


def test_every_key_of_jsonl():
    """Each statement key is read as its constructor, extras go to their columns."""
    table = read_table(FILES / "mixed.jsonl")
    expected = [
        exact("bug"),
        either("bug", "install"),
        not_("billing", trust=0.9),
        soft({"bug": 0.5, "install": 0.5}),
        votes({"billing": 3, "bug": 1}),
        unknown,
    ]
    assert expected == list(table.labels)
    assert [1, 2, 1, 1, 1, 1] == table.weight.tolist()
    assert [1, None, None, None, None, None] == table.ids
    assert {"channel": [None, None, "mail", None, None, None]} == table.columns
    assert f"{FILES / 'mixed.jsonl'}:3" == table.where(2)


def test_prodigy_answers_combine_by_input():
    """accept is exact, reject is not_, ignore is unknown; one `_input_hash` is one item."""
    table = read_table(FILES / "prodigy.jsonl")
    assert [exact("bug"), not_("bug", "install"), unknown, exact("install")] == list(table.labels)
    assert 4 == len(table.inputs)
    assert {"source": [None, None, None, "mail"]} == table.columns


def test_prodigy_accept_is_present_when_several_may_be_true():
    """In multilabel an accepted label is present and says nothing about the others."""
    _, labels = read(FILES / "prodigy.jsonl", task="multilabel")
    assert tags("bug", absent=["billing"], rest="unknown") == labels[0]


def test_prodigy_two_accepts_make_it_multilabel():
    """Two labels accepted for one input tell the task."""
    rows = [
        {"text": "x", "label": name, "answer": "accept", "_input_hash": 1} for name in ("a", "b")
    ]
    table = from_bytes("\n".join(map(json.dumps, rows)))
    assert [tags("a", "b", rest="unknown")] == list(table.labels)


def test_prodigy_contradiction_names_both_sides_and_lines():
    """Answers of two people that exclude each other are an error at the second one."""
    rows = [
        {"text": "x", "label": "a", "answer": "accept", "_input_hash": 1},
        {"text": "x", "label": "a", "answer": "reject", "_input_hash": 1},
    ]
    assert (
        "stream:2: the answers about this text (lines 1, 2) do not fit together: "
        "exact('a') and not_('a') contradict each other: no class is left"
    ) == problem_of("\n".join(map(json.dumps, rows)))


def test_label_studio_export():
    """A choice is exact, several are tags, skipped is unknown, a rejected one is not_."""
    table = read_table(FILES / "label_studio.json")
    expected = [exact("bug"), tags("billing", "bug"), unknown, not_("billing"), unknown]
    assert expected == list(table.labels)
    assert [1, 2, 3, 4, 5] == table.ids
    assert f"{FILES / 'label_studio.json'}:11" == table.where(3)


def test_label_studio_short_export():
    """JSON-MIN: the name of the control is said with label=."""
    _, labels = read(FILES / "label_studio_min.json", label="topic")
    assert [exact("bug"), tags("billing", "bug")] == list(labels)


def test_argilla_nested_export():
    """A submitted answer is exact, no answer is unknown, people who disagree are votes."""
    _, labels = read(FILES / "argilla.json")
    assert [exact("bug"), votes({"billing": 1, "bug": 1}, voters=2), unknown] == list(labels)


def test_argilla_flat_export():
    """A discarded answer is unknown; suggestions of models are not answers."""
    _, labels = read(FILES / "argilla_flat.jsonl")
    assert [exact("bug"), unknown, exact("billing")] == list(labels)


def test_long_format_groups_rows_by_text():
    """One row an item and tag becomes one row an item; names are never the short form."""
    texts, labels = read(FILES / "long.csv", format="long", text="Description", label="Tag")
    assert ["how long does bread keep", "boiled rice turns sticky"] == texts
    assert [tags("bread", "storage"), tags("c++", "rice")] == list(labels)


def test_without_long_repeated_texts_stay_rows():
    """Nothing is grouped unless the format says so."""
    texts, _ = read(FILES / "long.csv", text="Description", label="Tag", plain_labels=True)
    assert 4 == len(texts)


def test_fasttext_lines():
    """One label is exact, several are tags, none is unknown; the text stays as it is."""
    table = from_bytes("__label__a __label__b  Hello, you\r\n\n__label__c x __y\nplain\n")
    assert ["Hello, you", "x __y", "plain"] == table.inputs
    assert [tags("a", "b"), exact("c"), unknown] == list(table.labels)
    assert [1, 3, 4] == table.lines.tolist()


def test_fasttext_options():
    """Another prefix, underscores as spaces, and the short form on request."""
    table = from_bytes("#food_safety x\n#rice y\n", format="fasttext", prefix="#", underscores=True)
    assert ["food safety", "rice"] == table.labels.classes
    table = from_bytes("__label__a|b x\n__label__!a y\n__label__a __label__!b z", short_form=True)
    opened = tags("a", absent=["b"], rest="unknown")
    assert [either("a", "b"), not_("a"), opened] == list(table.labels)


def test_reading_without_labels_keeps_every_line():
    """For prediction every line keeps its place, and labels in front are taken off."""
    rows = list(iter_rows(io.BytesIO(b"one\n\n__label__a two __label__b\n"), unlabelled=True))
    assert ["one", "", "two __label__b"] == [row.input for row in rows]
    assert [None, None, None] == [row.label for row in rows]


def test_reading_without_labels_ignores_what_is_said_about_them():
    """For prediction the statements are not looked at, right or wrong."""
    table = from_lines({"text": "x", "soft": {"a": 7}, "lable": 1}, unlabelled=True)
    assert [unknown] == list(table.labels)


def test_csv_with_other_names_and_separator():
    """Columns are mapped by name, the separator is said."""
    data = "Body;Class;Key\nit crashes;bug|install;7\n"
    table = from_bytes(data, format="csv", sep=";", text="Body", label="Class", id="Key")
    assert (["it crashes"], [either("bug", "install")], ["7"]) == (
        table.inputs,
        list(table.labels),
        table.ids,
    )


def test_csv_without_header():
    """Columns are named in order, or counted from 1."""
    data = "x,a\ny,b\n"
    named = from_bytes(data, format="csv", no_header=True, columns="text,label")
    counted = from_bytes(data, format="csv", no_header=True, text="1", label="2")
    assert (
        (named.inputs, named.labels)
        == (counted.inputs, counted.labels)
        == (["x", "y"], Labels(["a", "b"]))
    )


def test_quoted_cells_keep_line_numbers_right():
    """A quoted cell may hold line breaks; later rows still know their line."""
    table = from_bytes('text,label\n"a\n""b""\nc",x\n\nd,y\n', format="csv")
    assert ['a\n"b"\nc', "d"] == table.inputs
    assert [2, 6] == table.lines.tolist()


def test_quotation_marks_in_a_tsv_are_characters():
    """TSV has no quoting."""
    table = from_bytes('text\tlabel\n"so" he said\tx\n"open\ty\n', format="tsv")
    assert ['"so" he said', '"open'] == table.inputs


def test_numbers_of_a_class_file(tmp_path):
    """With a class file a number means the name in that line, from 0."""
    (tmp_path / "classes.txt").write_text("joy\nanger\nfear\n")
    table = from_bytes(
        "I like it\t0,2\tk1\nbah\t1\tk2\n",
        format="tsv",
        no_header=True,
        columns="text,labels,id",
        label="labels",
        label_sep=",",
        classes_file=tmp_path / "classes.txt",
    )
    assert [tags("fear", "joy"), tags("anger")] == list(table.labels)
    assert ["joy", "anger", "fear"] == table.labels.classes


def test_statement_columns_in_a_csv():
    """Statements may stand in columns of their own; cells take lists and numbers by class."""
    table = from_bytes(
        "text,label,either,not,soft,trust\n"
        'p,a,,,,\nq,,a|b,,,\nr,,,c,,0.9\ns,,,,"a:0.5,b:0.5",\n'
        't,,"[""a|b"",""c""]",,,\n',
        format="csv",
        plain_labels=True,
    )
    expected = [
        exact("a"),
        either("a", "b"),
        not_("c", trust=0.9),
        soft({"a": 0.5, "b": 0.5}),
        either("a|b", "c"),
    ]
    assert expected == list(table.labels)


def test_integer_classes_stay_integers():
    """A given class list of integers names the columns; in files they are decimal text."""
    labels = Labels([3, not_(5), either(3, 5)], classes=[3, 5, 7])
    assert labels == there_and_back(["x", "y", "z"], labels, "jsonl").labels


def test_new_classes_are_added_behind_the_given_ones():
    """A test file may name classes that the model does not know."""
    table = from_lines(
        {"text": "x", "label": "z"},
        {"text": "y", "label": "b"},
        classes=["c", "b"],
        new_classes=True,
    )
    assert ["c", "b", "z"] == table.labels.classes


def test_features_by_name():
    """Mappings with all names are dense; a left-out name is 0 in a sparse matrix."""
    dense = from_lines(
        {"features": {"u": 1, "v": 2}, "label": "a"}, {"features": {"v": 3, "u": 4}, "label": "b"}
    )
    assert [[1.0, 2.0], [4.0, 3.0]] == dense.inputs.tolist()
    sparse = from_lines({"features": {"u": 1}, "label": "a"}, {"features": {"v": 3}, "label": "b"})
    assert [[1.0, 0.0], [0.0, 3.0]] == sparse.inputs.toarray().tolist()
    assert ["u", "v"] == sparse.feature_names


def test_features_in_a_given_order():
    """A test file's features are put into the order of the training file."""
    row = {"features": {"u": 1, "v": 2}, "label": "a"}
    table = from_lines(row, feature_names=["v", "u"], need_labels=False)
    assert [[2.0, 1.0]] == table.inputs.tolist()
    table = from_bytes("u,v,label\n1,2,a\n3,4,b", format="csv", feature_names=["v", "u"])
    assert [[2.0, 1.0], [4.0, 3.0]] == table.inputs.tolist()


def test_several_files_are_one_data_set(tmp_path):
    """Files of different formats are read one after the other, and rows know their file."""
    (tmp_path / "a.jsonl").write_text('{"text":"x","label":"a"}\n')
    (tmp_path / "b.csv").write_text("text,label\ny,b\nz,a\n")
    table = read_table([tmp_path / "a.jsonl", tmp_path / "b.csv"])
    assert (["x", "y", "z"], ["a", "b"]) == (table.inputs, table.labels.classes)
    assert [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/b.csv:3"] == [table.where(0), table.where(2)]


def test_standard_input_and_output(monkeypatch):
    """`-` reads standard input and writes standard output."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text":"x","label":"a"}\n')))
    texts, labels = read("-", need_labels=False)
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    write("-", texts, labels, format="jsonl")
    assert b'{"text":"x","label":"a"}\n' == out.buffer.getvalue()


def test_byte_order_mark_and_windows_line_ends():
    """A BOM and CRLF are no part of the data, in every line format."""
    mark = b"\xef\xbb\xbf"
    for data, format in [
        (b'{"text":"x","label":"a"}\r\n\r\n{"text":"y","label":"b"}\r\n', "jsonl"),
        (b"text,label\r\nx,a\r\n\r\ny,b\r\n", "csv"),
        (b"text\tlabel\r\nx\ta\r\n\r\ny\tb\r\n", "tsv"),
        (b"__label__a x\r\n\r\n__label__b y\r\n", "fasttext"),
    ]:
        table = from_bytes(mark + data, format=format)
        assert (["x", "y"], Labels(["a", "b"])) == (table.inputs, table.labels)


def test_skipped_rows_are_counted_and_listed():
    """`skip_bad` leaves out what cannot be read, and says which rows and why."""
    data = '{"text":"x","label":"a"}\n{"txt":"y"}\nnonsense\n{"text":"z","label":"b"}\n'
    table = from_bytes(data, format="jsonl", skip_bad=True)
    assert ["x", "z"] == table.inputs
    assert ["stream:2", "stream:3"] == [error.where for error in table.skipped]
    assert [0, 3] == table.places.tolist()


def test_skipped_rows_keep_their_place_for_prediction():
    """Row by row, a line that cannot be read comes as None with its error."""
    data = io.BytesIO(b'{"text":"x"}\n{"txt":"y"}\n{"text":"z"}\n')
    rows = list(iter_rows(data, format="jsonl", unlabelled=True, skip_bad=True))
    assert ["x", None, "z"] == [row.input for row in rows]
    assert "stream:2" == rows[1].error.where


def test_rows_that_fail_only_under_the_task_are_skipped_too():
    """soft() is checked when the task is known, at the end of the file; its line is kept."""
    rows = [
        {"text": "x", "soft": {"a": 0.5, "b": 0.2}},
        {"text": "y", "label": "a"},
        {"text": "z", "label": "b"},
    ]
    table = from_lines(*rows, skip_bad=True)
    assert (["y", "z"], ["stream:1"]) == (table.inputs, [e.where for e in table.skipped])


def test_streaming_reads_one_row_at_a_time():
    """A row is there before the next line is read."""

    class Lines(io.RawIOBase):
        given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.given += 1
            line = f'{{"text":"row {self.given}","label":"a"}}\n'.encode()
            buffer[: len(line)] = line
            return len(line)

    lines = Lines()
    rows = iter_rows(io.BufferedReader(lines, 64), format="jsonl")
    first = next(rows)
    assert isinstance(first, Row)
    assert "row 1" == first.input
    assert lines.given < 10
