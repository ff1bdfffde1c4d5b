"""Reading many rows at once gives what reading them one by one gives: rows, errors and places."""

import gzip
import io
import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eitheror import Labels, exact, not_, tags
from eitheror.files import ReadOptions, _batches, _bulk_lines, iter_blocks, read, read_table
from eitheror.files._collect import Collector
from eitheror.files._rows import Reading
from eitheror.files._streams import _ahead
from eitheror.files._table import _iterate, _rows
from eitheror.labels import DataError, LabelsBuilder, RowError
from eitheror.labels._build import settle, stack
from eitheror.text import Featurizer, TextOptions, Texts

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one_by_one(stream, **options):
    """Read with the careful readers only."""
    settled = ReadOptions.make(options)
    reading, collector = Reading(settled), Collector(settled)
    for row in _iterate([stream], reading, _rows):
        collector.add(row)
    return collector.table(reading)


def facts(read_it, data, **options):
    """Return everything that a reading gives, or its error."""
    try:
        table = read_it(io.BytesIO(data), **options)
    except (DataError, RowError, ValueError) as error:
        return type(error), str(error)
    return {
        "inputs": np.asarray(table.inputs, dtype=object).tolist(),
        "labels": [table.labels.classes, table.labels.task, list(table.labels)],
        "weight": None if table.weight is None else table.weight.tolist(),
        "ids": table.ids,
        "columns": table.columns,
        "skipped": [str(error) for error in table.skipped],
        "files": table.files,
        "places": [a.tolist() for a in (table.file_index, table.lines, table.places)],
    }


def check_same(data, **options):
    """Fail unless both ways of reading agree, with odd rows among others or all one by one."""
    alone = facts(one_by_one, data, **options)
    for most in (1, _batches._MOST_ODD):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_batches, "_MOST_ODD", most)
            assert alone == facts(read_table, data, **options)


OPTIONS = st.fixed_dictionaries(
    {"need_labels": st.just(False)},
    optional={
        "skip_bad": st.booleans(),
        "unlabelled": st.booleans(),
        "classes": st.sampled_from([["a", "b"], ["a", "b", "c c"], [0, 1]]),
        "new_classes": st.booleans(),
        "task": st.sampled_from(["multiclass", "multilabel"]),
    },
)
FASTTEXT = [
    *[b"__label__a some text", b"__label__b  more \t text ", b"__label__a __label__b both"] * 30,
    b"no label", b"", b" ", b"\t\r", b"\r", b"__label__a", b"__label__a ", b"__label__ x",
    b"__label__a x\r", b"__label__a \r", b"  __label__a x", b"__label__a    \v   \0 __label__c_c y",
    b"__label__a    \v __label__c_c y", b"x __label__b y", b"x__label__b y", b"__label__a|b x",
    b"__label__!a __label__b+ x", b"__label__" + b"n" * 40 + b" x",
    b"__label__" + b"n" * 400 + b" x",
    "__label__é où".encode(), b"__label__\xff x", b"__label__a \xff", b"\x1c", b"\0", b"\0\0\0\0\0",
    b"__label__a\r x", b"__label__a __label__a x", b"\xef\xbb\xbf__label__a x", b"__label__-1 x",
    b"#a x", b"##a #b x", b"__label__1 __label__0 x __label__", b"__label__a __label__",
]  # fmt: skip
JSON = [
    *[b'{"text": "some text", "label": "a"}', b'{"label":"b","text":"x: y"}'] * 30,
    *[b'{"text": "t", "label": "a", "id": 1, "weight": 2}'] * 9, b'{"text": "t", "id": 3}',
    b'{"text": "said \\": yes", "label": "a"}', b'{"text": "", "label": "a"}', b'{"text": "only"}',
    b'{"text": "a", "text": "b", "label": "a"}', b'{"text" : "a", "label"\t: "a"}', b"", b"  ",
    b'{"text": null, "label": "a"}', b'{"text": "t", "label": null}', b'{"text": "t", "label": 1}',
    b'{"text": "t", "label": -1}', b'{"text": "t", "label": 1.0}', b'{"text": "t", "label": true}',
    b'{"text": "t", "label": ["a"]}', b'{"text": "t", "label": ""}',
    b'{"text": "t", "label": "c c"}',
    b'{"text": "t", "either": ["a", "b"]}', b'{"text": "t", "tags": []}',
    b'{"text": "t", "odd": 1}',
    b'{"text": "t", "meta": {"u": 1}, "_k": 2}', b'{"features": [1, 2], "label": "a"}', b"{",
    b'{"text": "t", "label": "a"', b'{"text": "t", "label": "a"} x', b"[1]", b'"x"', b"nan",
    b'{"text": "t", "label": "a", "id":\n{}}', b'{"text": "t", "label": "a", "id": {}}',
    b'{"text": "t", "label": "a"}{"text": "t", "label": "a"}', b'{"text": "\xff", "label": "a"}',
    b'{"text": "\\ud800", "label": "a"}', '{"text": "où", "label": "é"}'.encode(),
    b'{"text": "\\u00e9\\n", "label": "a"}\r', b'{"text": "t", "label": "a", "id": [1]}',
    b'{"text": "t", "label": "a", "id": null, "weight": null}', b'{"text": "t", "id": "x"}',
    b'{"text": "t", "label": "a", "id": 123456789012345678901234567890, "weight": 0.5}',
    b'{"text": "t", "label": "a", "id": true, "weight": -1}', b'{"text": "t", "weight": "2"}',
    b'{"text": "t", "label": "a", "weight": 1e999}', b'{"text": "t", "label": "a", "weight": true}',
]  # fmt: skip
CSV = [
    *[b"some text,a,1,2,u", b'"quoted, ""so""",b,2,,', b"x,,,1.5,v"] * 30,
    b"", b",a,1,2,u", b"x,a", b"x,a,1,2,3,4", b'"two\nlines",a,1,2,u', b'"two\r\n\nlines",a,1,2,u',
    b'"open,a,1,2,u', b'x,"a"b,1,2,u', b"x,a|b,1,2,u", b"x,!a,1,2,u", b"x,-1,1,2,u", b"x,a,1,-2,u",
    b"x,a,1,nan,u", b"x,a,1,many,u", b"\xff,a,1,2,u", b'"\xff\nx",b,1,2,u', "où,é,1,2,ü".encode(),
    b"x,a,1,2,u\r", b"\r", b" ", b'5" pipe,a,1,2,u', b"x,a:.7,1,2,u", b"x,a\0,1,2,u", b"x,1,1,2,u",
]  # fmt: skip


def lines_from(pool):
    """Files made of lines of a pool, the end of the last one may be missing."""
    ended = st.sampled_from([b"\n", b""])
    lines = st.lists(st.sampled_from(pool), min_size=1, max_size=25)
    return st.tuples(lines, ended).map(lambda drawn: b"\n".join(drawn[0]) + drawn[1])


@many
@given(
    lines_from(FASTTEXT),
    OPTIONS,
    st.fixed_dictionaries(
        {},
        optional={
            "short_form": st.booleans(),
            "underscores": st.booleans(),
            "prefix": st.sampled_from(["#", "__label__a", "x", "__label__" * 3]),
        },
    ),
)
def test_fasttext_lines_read_together_are_the_lines_read_alone(data, options, more):
    """Labels, texts, blank lines, labels inside texts, bad bytes: wherever they stand."""
    check_same(data, format="fasttext", **options, **more)


@pytest.mark.parametrize("prefix", [b"#", b"__label__", b"aab"])
@pytest.mark.parametrize("part", [1, 2, 7])
def test_first_signs_of_a_prefix_are_counted_across_parts(monkeypatch, prefix, part):
    """Wherever the bytes are cut, each place with the first two signs of the prefix counts once."""
    monkeypatch.setattr(_bulk_lines, "_PART", part)
    own = np.frombuffer(prefix, dtype=np.uint8)
    for seed in range(20):
        signs = np.random.default_rng(seed).choice(np.frombuffer(b"_#ab", dtype=np.uint8), seed)
        expected = sum(signs.tobytes().startswith(prefix[:2], i) for i in range(seed))
        assert expected == _bulk_lines._pairs(signs, own)


@some
@given(lines_from(FASTTEXT), st.booleans())
def test_plain_lines_read_together_are_the_lines_read_alone(data, skip_bad):
    """Every line is a text, the empty ones too."""
    check_same(data, format="text", unlabelled=True, skip_bad=skip_bad)


@many
@given(
    lines_from(JSON),
    OPTIONS,
    st.fixed_dictionaries(
        {},
        optional={
            "format": st.just("jsonl"),
            "ignore": st.sampled_from(["odd", "label", "odd,weight"]),
            "label": st.sampled_from(["either", "name"]),
            "label_sep": st.just(" "),
            "id": st.just("weight"),
            "weight": st.just("id"),
        },
    ),
)
def test_json_lines_read_together_are_the_lines_read_alone(data, options, more):
    """Other keys, other types, keys that stand twice, damage: wherever they stand."""
    check_same(data, **{"format": "jsonl"} | options | more)


@many
@given(
    lines_from(CSV),
    OPTIONS,
    st.sampled_from(
        ["text,label,id,weight,u", "u,text,label,weight,id", "label,text,a,b,c", "x,y"]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "no_header": st.booleans(),
            "plain_labels": st.booleans(),
            "ignore": st.sampled_from(["u", "label"]),
            "columns": st.just("text,label,not,weight,id"),
            "label_sep": st.just("|"),
        },
    ),
    st.sampled_from([b",", b"\t"]),
)
def test_table_lines_read_together_are_the_lines_read_alone(data, options, header, more, sep):
    """Quotes, line breaks in cells, ragged rows, bad numbers, bad bytes: wherever they stand."""
    data = (header.encode() + b"\n" + data).replace(b",", sep)
    check_same(data, format="csv" if sep == b"," else "tsv", **options, **more)


@some
@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from(["one text", "où", ""]),
            st.none() | st.sampled_from(["a", "b", "", "-1", "c c"]),
            st.none() | st.sampled_from([1.0, -1.0, float("nan"), 0.5]),
            st.none() | st.integers(0, 3),
        ),
        min_size=1,
        max_size=20,
    ),
    OPTIONS,
    st.sampled_from(["string", "large_string", "dictionary", "int64", "list"]),
)
def test_parquet_rows_read_together_are_the_rows_read_alone(rows, options, kind):
    """Missing texts, labels of any type, bad weights: wherever they stand."""
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is not installed")
    import pyarrow.parquet

    texts, labels, weights, ids = map(list, zip(*rows, strict=True))
    if kind == "int64":
        label = arrow.array([None if name is None else len(name) for name in labels], arrow.int64())
    elif kind == "list":
        label = arrow.array([None if name is None else [name] for name in labels])
    elif kind == "dictionary":
        label = arrow.array(labels, arrow.string()).dictionary_encode()
    else:
        label = arrow.array(labels, getattr(arrow, kind)())
    text = arrow.array(texts, arrow.large_string() if kind == "large_string" else arrow.string())
    table = {"text": text, "label": label, "weight": weights, "id": ids, "u": ids}
    stream = io.BytesIO()
    pyarrow.parquet.write_table(arrow.table(table), stream)
    check_same(stream.getvalue(), format="parquet", **options)


@few
@given(st.sampled_from([FASTTEXT, JSON, CSV]), st.data())
def test_blocks_join_where_lines_and_records_go_on(pool, drawn):
    """In files of several megabytes odd rows near the end of a block are what they are."""
    format = {id(FASTTEXT): "fasttext", id(JSON): "jsonl", id(CSV): "csv"}[id(pool)]
    plain = pool[0] + b"\n" if format != "csv" else b'"' + b"x\n" * 5000 + b'",a,1,2,u\n'
    odd = drawn.draw(lines_from(pool)) + b"\n"
    pad = drawn.draw(st.integers(0, 200))
    data = (b"text,label,id,weight,u\n" if format == "csv" else b"") + plain * (
        (2**20 + pad) // len(plain)
    )
    check_same(data + odd + data + odd, format=format, skip_bad=True, need_labels=False)


@some
@given(st.integers(0, 4000), st.integers(0, 255))
def test_damage_in_packed_files_is_found_at_the_same_line(cut, byte):
    """A packed file that is cut off or changed somewhere gives the same error."""
    rows = [f"__label__{i % 3} text {i * 7919 % 1000}" for i in range(1200)]
    packed = bytearray(gzip.compress("\n".join(rows).encode(), mtime=0))
    check_same(bytes(packed[:cut]), format="fasttext")
    packed[min(cut, len(packed) - 1)] ^= byte
    check_same(bytes(packed), format="fasttext")


def test_a_reading_that_is_given_up_waits_for_no_thread():
    """What reads ahead is not joined: it may be collected in a thread that is just starting."""
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def items():
        yield 1
        started.set()
        seen.append(go_on.wait(10))
        done.set()

    ahead = _ahead(items())
    assert next(ahead) == 1
    assert started.wait(10)
    ahead.close()
    go_on.set()
    assert done.wait(10)
    assert seen == [True]


def test_utf16_and_a_byte_order_mark_are_told_at_the_front():
    """A mark is taken off, UTF-16 is refused, as line by line."""
    check_same(b"\xef\xbb\xbf__label__a x\n__label__b y\n", format="fasttext")
    check_same("__label__a x\n".encode("utf-16"), format="fasttext")


@some
@given(st.lists(st.sampled_from(["a", "b", None, 3, exact("a"), not_("b"), tags("a")]), max_size=9))
def test_labels_added_together_are_labels_added_alone(values):
    """A builder that takes many values at once gives the same labels, or the same refusal."""

    def built(extend):
        try:
            return list(extend(LabelsBuilder()).build())
        except ValueError as error:
            return str(error)

    def alone(builder):
        for value in values:
            builder.append(value)
        return builder

    def together(builder):
        builder.extend(values)
        return builder

    assert built(alone) == built(together)


def test_a_bad_value_among_many_is_named_with_its_row():
    """The first bad row is named, whatever comes behind it."""
    with pytest.raises(RowError, match="empty") as caught:
        Labels(["a", "b", "a", "", "", -1])
    assert caught.value.row == 3


# -- blocks --------------------------------------------------------------------------------------


@some
@given(lines_from(FASTTEXT + [b"__label__a __label__b x"] * 20), st.integers(1, 9))
def test_blocks_together_are_the_table(data, rows):
    """Blocks hold the rows of the table in order, and their stores settle to its labels."""
    options = {"format": "fasttext", "skip_bad": True, "need_labels": False}
    try:
        table = read_table(io.BytesIO(data), **options)
    except ValueError:
        return
    blocks = list(iter_blocks(io.BytesIO(data), rows=rows, **options))
    assert list(table.inputs) == [text for block in blocks for text in block.inputs]
    assert [table.where(i) for i in range(len(table))] == [
        block.where(i) for block in blocks for i in range(len(block))
    ]
    if table.skipped == [error for block in blocks for error in block.skipped] and len(table):
        whole = stack([b.labels for b in blocks])._replace(classes=blocks[-1].labels.classes)
        assert table.labels == Labels._of(settle(whole, None, None))


def test_blocks_are_no_larger_than_asked_for_by_much():
    """A stream comes in blocks of about `rows` rows, and nothing is read ahead of them."""
    lines = "".join(f"__label__{i % 3} text {i}\n" for i in range(200_000)).encode()
    sizes = [len(block) for block in iter_blocks(io.BytesIO(lines), rows=50_000, format="fasttext")]
    assert sum(sizes) == 200_000
    assert max(sizes) < 50_000 + 2**20 // len("__label__1 text 1")


def test_features_by_name_need_all_names_when_read_in_blocks():
    """A block cannot know the features of the blocks behind it."""
    data = json.dumps({"features": {"x": 1.0}, "label": "a"}).encode()
    with pytest.raises(DataError, match="feature_names"):
        list(iter_blocks(io.BytesIO(data), format="jsonl"))
    (block,) = iter_blocks(io.BytesIO(data), format="jsonl", feature_names=["w", "x"])
    assert block.inputs.toarray().tolist() == [[0.0, 1.0]]


def test_blocks_need_a_number_of_rows():
    """A block of no rows is refused."""
    with pytest.raises(ValueError, match="rows=0"):
        iter_blocks(io.BytesIO(b""), rows=0)


# -- texts ---------------------------------------------------------------------------------------

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=12)


@some
@given(TEXTS, st.data())
def test_texts_behave_like_a_list(texts, drawn):
    """Length, items, slices, iteration, comparison, sums, search and repr are a list's."""
    cut = drawn.draw(st.integers(0, len(texts)))
    kept = Texts.of(texts[:cut])
    made = Texts([(b"".join(t.encode() for t in texts), *_bounds(texts))])
    assert made == texts
    assert texts == made
    assert list(made) == texts
    assert repr(made) == repr(texts)
    assert kept + texts[cut:] == texts
    assert texts[:cut] + made[cut:] == texts
    step = drawn.draw(st.slices(len(texts)))
    assert texts[step] == made[step]
    assert [made[i] for i in range(-len(texts), len(texts))] == texts + texts
    assert made.n_bytes == sum(len(text.encode()) for text in texts)
    for text in texts:
        assert texts.index(text) == made.index(text)
        assert texts.count(text) == made.count(text)
    with pytest.raises(IndexError):
        made[len(texts)]


def test_a_few_texts_travel_without_the_others():
    """A pickled slice holds its own bytes, not the buffer of the file."""
    texts = Texts.of([f"text {i} é" for i in range(5000)])
    packed = pickle.dumps(texts[7:9])
    assert len(packed) < 1000
    assert pickle.loads(packed) == ["text 7 é", "text 8 é"]
    assert pickle.loads(pickle.dumps(texts[:0])) == []


def test_texts_refuse_what_is_no_row_number():
    """Wrong indices raise what a list raises; a mask is not taken for row numbers."""
    texts = Texts.of(["a", "b", "c"])
    for key in ("a", 1.5, None):
        with pytest.raises(TypeError):
            texts[key]
    for rows in ([True, False, True], [0.9]):
        with pytest.raises(TypeError, match="row numbers were expected"):
            texts.take(rows)
    assert texts.take([]) == []


def _bounds(texts):
    ends = np.cumsum([len(text.encode()) for text in texts], dtype=np.int64)
    return ends - [len(text.encode()) for text in texts], ends


WORDS = st.lists(
    st.lists(
        st.sampled_from(["Word", "wörd", "ÉTÉ", "e\u0301", "İx", "ΑΣ", "a-b", "!"]), max_size=5
    ).map(" ".join),
    min_size=1,
    max_size=15,
)  # fmt: skip


@some
@given(WORDS, st.booleans(), st.booleans(), st.integers(1, 2), st.data())
def test_texts_of_a_file_and_of_a_list_have_the_same_features(texts, lowercase, nfc, n_jobs, drawn):
    """Words, n-grams and rows do not depend on how the texts are stored."""
    options = TextOptions(lowercase=lowercase, nfc=nfc, min_count=1, ngram_min_count=1)
    data = "".join(f"__label__a {text} .\n" for text in texts).encode()
    stored, _ = read(io.BytesIO(data), format="fasttext", need_labels=False)
    order = drawn.draw(st.permutations(range(len(texts))))
    for mine, theirs in [
        (stored, list(stored)),
        (stored.take(order), [stored[i] for i in order]),
        (stored[::2], list(stored)[::2]),
    ]:
        one, rows = Featurizer.fit(theirs, options)
        two, same = Featurizer.fit(mine, options, n_jobs=n_jobs)
        assert one.words() == two.words()
        assert rows == same
        assert one.transform(theirs * 300) == two.transform(Texts.of(theirs * 300))
