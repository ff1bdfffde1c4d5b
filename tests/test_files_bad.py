"""Bad files: every row that cannot be read says where it stands, what came and what to write."""

import bz2
import gzip
import io
import lzma

import pytest

from eitheror.files import FORMATS, read, read_table
from eitheror.labels import DataError


def from_bytes(data, **options):
    """Read bytes (or text) as a table."""
    data = data.encode() if isinstance(data, str) else data
    return read_table(io.BytesIO(data), **options)


def problem_of(data, **options):
    """Return the message of the error that reading raises."""
    with pytest.raises(DataError) as caught:
        from_bytes(data, **options)
    return str(caught.value)


A = '{"text":"x","label":"a"}\n'
BAD_JSONL = {
    "empty file": ("", "stream: the file is empty: it holds no row of data"),
    "blank lines only": ("\n\n", "stream: the file is empty: it holds no row of data"),
    "no label": (
        '{"text":"x"}\n',
        'stream: no label in the whole file; write "label": "name" (or either, not, tags, soft, '
        "votes) in the rows that have one",
    ),
    "one class": (
        A,
        'stream: only one class in the whole file: "a"; a classifier needs two or more. If there '
        "are others that no row names, list them: --classes-file classes.txt (classes=[...])",
    ),
    "missing text": (
        A + '{"body":"y","label":"b"}',
        'stream:2: $: no "text" and no "features"; every row needs one of them; if the text stands '
        "under another key: --text body",
    ),
    "null text": (
        A + '{"text":null,"label":"b"}',
        "stream:2: $.text: the text is missing; write it, or leave the row out",
    ),
    "number as text": (
        A + '{"text":5}',
        'stream:2: $.text: the number 5 is no text; write "5" in quotes',
    ),
    "unknown key": (
        A + '{"text":"y","nott":["b"]}',
        'stream:2: $.nott: unknown key "nott" (did you mean "not"?); to leave it out: '
        "--ignore nott",
    ),
    "contradictory row": (
        A + '{"text":"y","label":"b","not":["b"]}',
        "stream:2: exact('b') and not_('b') contradict each other: no class is left",
    ),
    "soft not adding to 1": (
        A + '{"text":"y","soft":{"a":0.5,"b":0.2}}',
        "stream:2: soft() shares must add to 1, got 0.7",
    ),
    "negative votes": (
        A + '{"text":"y","votes":{"a":-1}}',
        "stream:2: $.votes: votes(): the count of 'a' must be 0 or more, got -1",
    ),
    "nan feature": (
        '{"features":[1.0,NaN],"label":"a"}',
        "stream:1: NaN is no finite number; fill the gap, or leave the row out",
    ),
    "text feature": (
        '{"features":[1.0,"x"],"label":"a"}',
        'stream:1: $.features[1]: the text "x" is no number; features are numbers',
    ),
    "feature count": (
        '{"features":[1,2],"label":"a"}\n{"features":[1],"label":"b"}',
        "stream:2: $.features: 1 features, but stream:1 has 2",
    ),
    "text and features mixed": (
        A + '{"features":[1],"label":"b"}',
        "stream:2: features, but the rows before it have texts",
    ),
    "mixed column types": (
        A + '{"text":"y","label":3}',
        "stream:2: $.label: the number 3 as class name, but line 1 has a text; write all names in "
        "quotes",
    ),
    "list as label": (
        A + '{"text":"y","label":["a","b"]}',
        'stream:2: $.label: ["a","b"] can be read two ways: "either": ["a","b"] -- one of them is '
        'true -- or "tags": ["a","b"] -- all of them are. Write the one you mean',
    ),
    "object as label": (
        A + '{"text":"y","label":{"a":1}}',
        'stream:2: $.label: {"a":1} can be read two ways: "soft": {"a":1} -- shares that add to 1 '
        '-- or "votes": {"a":1} -- people counted. Write the one you mean',
    ),
    "-1 as label": (
        '{"text":"y","label":-1}',
        'stream:1: $.label: -1 can be read two ways: nothing is known -- leave "label" out -- or '
        'the class that is called -1 -- write "-1" in quotes. Write the one you mean',
    ),
    "true as label": (
        '{"text":"y","label":true}',
        "stream:1: $.label: true is no class name; write a name in quotes",
    ),
    "duplicate key": (
        A + '{"text":"y","label":"a","label":"b"}',
        'stream:2: $: the key "label" stands twice in one object; keep one',
    ),
    "cut line": (
        A + '{"text":"y","lab',
        "stream:2: not valid JSON: the line is truncated; write one object a line: {...}",
    ),
    "not an object": (A + "[1]\n", "stream:2: $: a list; a line holds one JSON object: {...}"),
    "negative weight": (
        A + '{"text":"y","label":"b","weight":-2}',
        "stream:2: $.weight: -2 is no weight; a weight is a finite number, 0 or more",
    ),
    "lone surrogate": (
        A + '{"text":"\\ud800","label":"b"}',
        "stream:2: half of a surrogate pair (\\ud800 to \\udfff) stands alone in a text",
    ),
}


@pytest.mark.parametrize("case", BAD_JSONL)
def test_bad_jsonl(case):
    """Each bad row says its line, what came and what to write instead."""
    data, message = BAD_JSONL[case]
    assert message == problem_of(data, format="jsonl")


CSV = "text,label\nx,a\ny,b\n"
BAD_TABLES = {
    "empty file": ("", "csv", {}, "stream: the file is empty: it holds no row of data"),
    "header only": (
        "text,label\n",
        "csv",
        {},
        "stream: the file is empty: it holds no row of data",
    ),
    "no label": (
        "text,label\nx,\n",
        "csv",
        {},
        'stream: no label in the whole file; write "label": "name" (or either, not, tags, soft, '
        "votes) in the rows that have one",
    ),
    "only question marks": (
        "text,label\nx,?\n",
        "csv",
        {},
        'stream: no label in the whole file; write "label": "name" (or either, not, tags, soft, '
        "votes) in the rows that have one",
    ),
    "text among numbers": (
        CSV,
        "csv",
        {"classes": [1, 2], "new_classes": True},
        "stream:2: column 'label': the class \"a\" is text, but all given ones are numbers",
    ),
    "missing text": (
        CSV + ",b\n",
        "csv",
        {},
        "stream:4: column 'text': the text is missing; write it, or leave the row out",
    ),
    "no text column": (
        "body,label\nx,a\n",
        "csv",
        {},
        'stream:1: no column "text"; the columns are "body", "label". Write --text NAME, or for '
        "numbers --feature-columns 'x*'",
    ),
    "no header": (
        "x,a\n",
        "csv",
        {"no_header": True},
        'stream:1: no column "text"; the columns are "1", "2". Write --text NAME, or for numbers '
        "--feature-columns 'x*'; name the columns in order: --columns text,label",
    ),
    "misspelt label column": (
        "text,labels\nx,a\n",
        "csv",
        {},
        'stream:1: unknown column "labels" (did you mean "label"?); name the label column: '
        "--label labels, or leave it out: --ignore labels",
    ),
    "two columns of one name": (
        "text,label,text\nx,a,b\n",
        "csv",
        {},
        'stream:1: two columns are called "text"; name all columns in order: --columns a,b,c',
    ),
    "wrong number of names": (
        CSV,
        "csv",
        {"columns": "text,label,id"},
        "stream:1: 2 columns, but columns names 3: text, label, id",
    ),
    "too many cells": (
        CSV + "z, and more,b\n",
        "csv",
        {},
        "stream:4: 3 cells, but the table has 2 columns; quote cells that contain ',': \"a,b\"",
    ),
    "too few cells": (
        CSV + "z\n",
        "csv",
        {},
        "stream:4: 1 cells, but the table has 2 columns; write the missing cells, empty if need be",
    ),
    "open quote": (
        CSV + '"z,b\n',
        "csv",
        {},
        'stream:4: a quoted cell begins in this row and never ends; close it with ", and write a '
        "quotation mark inside a cell twice",
    ),
    "text behind a quote": (
        CSV + '"z" z,b\n',
        "csv",
        {},
        "stream:4: a quoted cell is followed by something other than ','; write a quotation mark "
        "inside a quoted cell twice",
    ),
    "contradictory row": (
        "text,label,not\nx,a,\ny,b,b\n",
        "csv",
        {},
        "stream:3: exact('b') and not_('b') contradict each other: no class is left",
    ),
    "soft not adding to 1": (
        CSV + 'z,"a:.5,b:.2"\n',
        "csv",
        {},
        "stream:4: soft() shares must add to 1, got 0.7",
    ),
    "unreadable short form": (
        CSV + "z,a:b\n",
        "csv",
        {},
        "stream:4: column 'label': cannot read 'a:b' in the short form: 'b' is no number; write "
        "a:.7,b:.3, or use JSONL for a name that contains ':'",
    ),
    "-1 as label": (
        CSV + "z,-1\n",
        "csv",
        {},
        "stream:4: column 'label': -1 can be read two ways: nothing is known -- leave the cell "
        "empty -- or the class that is called -1 -- add --plain-labels (plain_labels=True)",
    ),
    "unknown class": (
        CSV + "z,a|catt\n",
        "csv",
        {"classes": ["a", "b", "cat"]},
        'stream:4: column \'label\': unknown class "catt" (did you mean "cat"?)',
    ),
    "either of one": (
        "text,either\nx,bug\n",
        "csv",
        {},
        "stream:2: column 'either': either() needs two or more classes, got 'bug'; if the class is "
        "known, write exact('bug')",
    ),
    "nan feature": (
        "x1,x2,label\n1,2,a\n3,nan,b\n",
        "csv",
        {"feature_columns": "x*"},
        "stream:3: column 'x2': nan is no finite number; fill the gap, or leave the row out",
    ),
    "infinite feature": (
        "x1,x2,label\n1,2,a\n3,-inf,b\n",
        "csv",
        {"feature_columns": "x*"},
        "stream:3: column 'x2': -inf is no finite number; fill the gap, or leave the row out",
    ),
    "mixed column types": (
        "x1,x2,label\n1,2,a\n3,red,b\n",
        "csv",
        {"feature_columns": "x*"},
        "stream:3: column 'x2': 'red' is no number; features are finite numbers",
    ),
    "weight in words": (
        "text,label,weight\nx,a,much\n",
        "csv",
        {},
        "stream:2: column 'weight': \"much\" is no number; a weight is 0 or more",
    ),
    "list cell": (
        'text,either\nx,"[""a"""\n',
        "csv",
        {},
        "stream:2: column 'either': '[\"a\"' begins like JSON but is not (Input data was "
        "truncated); write a JSON list or object, or names with | between them",
    ),
    "numbers by class": (
        "text,soft\nx,a and b\n",
        "csv",
        {},
        "stream:2: column 'soft': 'a and b': write a:.7,b:.3, or a JSON object "
        '{"a": 0.7, "b": 0.3}',
    ),
    "label inside the text": (
        "__label__a x\n__label__b see __label__c there\n",
        "fasttext",
        {},
        "stream:2: the label __label__c stands inside the text; labels come first in a line. Move "
        "it to the front, or change the word if it belongs to the text",
    ),
    "no label in a fastText file": (
        "x\ny\n",
        "fasttext",
        {},
        "stream: no label in the whole file: no line begins with __label__; write __label__name "
        "before each text, or say what labels begin with: --prefix WORD (prefix=)",
    ),
    "label without a name": (
        "__label__ x\n",
        "fasttext",
        {},
        "stream:1: __label__ without a name; write __label__name",
    ),
    "label without a text": (
        "__label__a\n",
        "fasttext",
        {},
        "stream:1: no text behind the labels; write the text, or leave the line out",
    ),
    "unknown class in fastText": (
        "__label__catt x\n",
        "fasttext",
        {"classes": ["cat", "dog"]},
        'stream:1: __label__catt: unknown class "catt" (did you mean "cat"?)',
    ),
    "tags in multiclass": (
        "__label__a x\n__label__a __label__b y\n",
        "fasttext",
        {"task": "multiclass"},
        "stream:2: tags('a', 'b') names several true classes but task='multiclass' allows one; use "
        "either(), or task='multilabel'",
    ),
    "two texts of one id": (
        "id,text,label\n1,x,a\n1,y,b\n",
        "long",
        {},
        "stream:3: the id '1' stands with another text in line 2; give every item its own id, or "
        "leave the id out: --ignore id",
    ),
    "several labels of one class": (
        "text,label\nx,a\nx,b\n",
        "long",
        {"task": "multiclass"},
        "stream:2: the item has 2 labels ('a', 'b') but task='multiclass' allows one; leave the "
        "task out, or keep one row an item",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_and_lines(case):
    """CSV, TSV, fastText and long: each bad row says its line and what to write instead."""
    data, format, options, message = BAD_TABLES[case]
    assert message == problem_of(data, format=format, **options)


def test_unknown_class_in_a_list_names_its_place():
    """The path inside the row is part of the message."""
    data = A + '{"text":"y","not":["a","catt"]}'
    assert 'stream:2: $.not[1]: unknown class "catt" (did you mean "cat"?)' == problem_of(
        data, format="jsonl", classes=["a", "cat"]
    )


def test_the_error_carries_its_place():
    """`where` is the file and the line, for programs."""
    with pytest.raises(DataError) as caught:
        from_bytes(A + "{", format="jsonl")
    assert "stream:2" == caught.value.where


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv", "fasttext"])
def test_invalid_utf8_names_its_line(format):
    """Bytes that are not UTF-8 are refused with line and position."""
    good = {
        "jsonl": b'{"text":"x","label":"a"}\n',
        "csv": b"text,label\n",
        "tsv": b"text\tlabel\n",
        "fasttext": b"__label__a x\n",
    }[format]
    bad = {
        "jsonl": b'{"text":"caf\xe9","label":"a"}\n',
        "csv": b"x,caf\xe9\n",
        "tsv": b"x\tcaf\xe9\n",
        "fasttext": b"__label__a caf\xe9\n",
    }[format]
    position = bad.index(b"\xe9")
    assert (
        f"stream:2: invalid UTF-8: byte 0xe9 at position {position}; save the file as UTF-8"
    ) == problem_of(good + bad, format=format)


def test_utf16_is_recognised():
    """A UTF-16 file says how to convert it."""
    assert (
        "stream:1: the file is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"
    ) == problem_of("text,label\n".encode("utf-16"), format="csv")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, "zstd"])
def test_truncated_packed_files_are_refused(pack):
    """A packed file that was cut off is an error, with `skip_bad` too."""
    if pack == "zstd":
        pack = pytest.importorskip("zstandard").ZstdCompressor().compress
    data = pack("".join(f'{{"text":"row {i * i}","label":"a"}}\n' for i in range(20000)).encode())
    for options in ({}, {"skip_bad": True}):
        message = problem_of(data[: len(data) * 2 // 3], format="jsonl", **options)
        assert "the compressed file is damaged or cut off" in message
        assert "get a complete copy" in message


def test_truncated_gz_names_the_last_good_line():
    """The message says how far the file could be read."""
    packed = gzip.compress(A.encode() * 1000, mtime=0)
    assert (
        "stream: the compressed file is damaged or cut off; get a complete copy (Compressed file "
        "ended before the end-of-stream marker was reached)"
    ) == problem_of(packed[:20], format="jsonl")


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("jsonl", '{{"text":"{}","label":"b"}}\n'),
        ("csv", '"{}",b\n'),
        ("tsv", "{}\tb\n"),
        ("fasttext", "__label__b {}\n"),
    ],
)
def test_a_line_of_ten_megabytes_is_read(format, line):
    """Very long lines work, in a time that grows no faster than the line."""
    head = {"csv": "text,label\n", "tsv": "text\tlabel\n"}.get(format, "")
    long = 'see "page" 7: and '.replace('"', "") * 600_000
    table = from_bytes(
        head + line.format("x") + line.format(long), format=format, need_labels=False
    )
    assert len(long) == len(table.inputs[1])


def test_a_line_of_many_labels_is_read():
    """A fastText line of 100,000 labels is read in one pass."""
    line = " ".join(f"__label__{i}" for i in range(100_000)) + " x"
    assert 100_000 == len(from_bytes(line).labels[0].named)


def test_an_open_quote_does_not_swallow_a_large_file():
    """The CSV reader gives up a quoted cell after 100,000 lines and says where it began."""
    data = 'text,label\nx,a\n"y,b\n' + "z,b\n" * 100_100
    assert problem_of(data, format="csv").startswith(
        "stream:3: a quoted cell begins here and does not end within 100,000 lines"
    )


@pytest.mark.slow
def test_one_bad_row_of_a_million_names_its_line():
    """The line number is right however long the file is."""
    data = A.encode() * 999_999 + b'{"text":"y","label":["a","b"]}\n'
    assert problem_of(data, format="jsonl").startswith("stream:1000000: $.label: ")


def test_features_must_agree_across_files(tmp_path):
    """The number of features is the same in all files; the message names the first row."""
    (tmp_path / "a.jsonl").write_text('{"features":[1,2],"label":"a"}\n')
    (tmp_path / "b.jsonl").write_text('{"features":[1],"label":"b"}\n')
    with pytest.raises(DataError) as caught:
        read([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert (f"{tmp_path}/b.jsonl:1: $.features: 1 features, but {tmp_path}/a.jsonl:1 has 2") == str(
        caught.value
    )


def test_unknown_feature_name():
    """A feature that the given list does not hold is refused, with the nearest name."""
    data = '{"features":{"widht":1},"label":"a"}'
    assert 'stream:1: unknown feature "widht" (did you mean "width"?)' == problem_of(
        data, format="jsonl", feature_names=["width", "height"]
    )


def test_format_that_cannot_be_told():
    """A name and first bytes that tell nothing need format=."""
    assert (
        "stream: the format cannot be told from the name or the first bytes; say it: --format "
        "jsonl, csv, tsv, parquet, fasttext, prodigy, label-studio or argilla"
    ) == problem_of("text,label\nx,a\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"format": "jsonll"},
            "unknown format 'jsonll' (did you mean \"jsonl\"?); the formats are "
            + ", ".join(FORMATS),
        ),
        ({"task": "multi"}, 'task is "multiclass" or "multilabel", got \'multi\''),
        ({"sep": ", "}, "sep is one character between the cells (or tab), got ', '"),
        ({"prefix": "a b"}, "prefix needs a word without white space, got 'a b'"),
        ({"text": "label"}, "'label' is given both as the label and as the text"),
    ],
)
def test_bad_options(options, message):
    """An option that cannot be is refused with what it may be."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        from_bytes('{"text":"x","label":"a"}', **options)
    assert message == str(caught.value)


def test_unknown_option():
    """A misspelt keyword is refused with the nearest one."""
    with pytest.raises(TypeError, match=r"unknown option 'lable' \(did you mean \"label\"\?\)"):
        read("x.jsonl", lable="y")


def test_missing_file(tmp_path):
    """A file that is not there says so, and names a packed twin."""
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(FileNotFoundError) as caught:
        read(tmp_path / "a.jsonl")
    path = tmp_path / "a.jsonl"
    assert f"{path}: there is no such file (did you mean {path}.gz?)" == str(caught.value)


def test_class_file_with_a_name_twice(tmp_path):
    """The class list is checked as well."""
    path = tmp_path / "classes.txt"
    path.write_text("a\nb\na\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.jsonl", classes_file=path)
    assert f'{path}:3: class "a" stands in line 1 already' == str(caught.value)
