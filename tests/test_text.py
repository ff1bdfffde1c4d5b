import json
import pickle
import subprocess
import sys
import threading
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eitheror._kernels import tokens_plain
from eitheror._kernels.rows import Rows, expand
from eitheror.text import Featurizer, TextOptions, Texts, chunks

OPTIONS = [
    TextOptions(),
    TextOptions(word_ngrams=3, bucket=1000),
    TextOptions(char_ngrams=(1, 4), bucket=50, split_punctuation=False),
    TextOptions(weighting="tfidf", word_ngrams=2, char_ngrams=(3, 5), lowercase=False),
    TextOptions(weighting="tfidf", min_count=2, ngram_min_count=2, word_ngrams=2, bucket=7),
    TextOptions(weighting="tfidf", word_ngrams=3, bucket=40),
]
# Random Unicode, thick with what tokenisers trip over.
ODD = (
    " \u2009\u00a0\u3000\t\n\0\x1f.,'!<>_-ßİΣσé日本語かカ😀\ufe0f\u200b"
    "\U0001f468\u0300\U0001d538aAbB"
)
TEXTS = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=40)


def _transform_compiled(featurizer: Featurizer, texts: list[str], n_jobs: int = 1) -> Rows:
    return featurizer._transform_compiled([(0, texts)], n_jobs)


# --- laws ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS)
@settings(deadline=None, max_examples=40)
@given(texts=st.lists(TEXTS, max_size=6), others=st.lists(TEXTS, max_size=4))
def test_plain_python_and_kernels_give_the_same_bits(options, texts, others):
    """The Python twin and the kernels give identical rows, of seen and of new texts."""
    featurizer, rows = Featurizer.fit(texts, options)
    assert rows == featurizer.transform(texts)
    assert _transform_compiled(featurizer, texts) == rows
    assert _transform_compiled(featurizer, others) == featurizer.transform(others)


@pytest.mark.parametrize("options", OPTIONS)
@settings(deadline=None, max_examples=30)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_rows_are_valid_and_weighted_as_documented(options, texts):
    """Mean rows add to 1 and carry the bias; TF-IDF rows have length 1 and no repeats."""
    _, rows = Featurizer.fit(texts, options)
    assert len(texts) == len(rows)
    assert rows.indptr[-1] == len(rows.indices) == len(rows.values)
    assert ((rows.indices >= 0) & (rows.indices < rows.n_features)).all()
    for i in range(len(rows)):
        one = rows.take([i])
        if options.weighting == "mean":
            assert one.indices[0] == 0
            assert one.values.sum() == pytest.approx(1, abs=1e-5)
        elif len(one.indices):
            assert len(set(one.indices.tolist())) == len(one.indices)
            assert np.square(one.values).sum() == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=100)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_vocabulary_is_every_token_by_falling_count(texts):
    """Words come by falling count, ties by first occurrence."""
    featurizer, _ = Featurizer.fit(texts, TextOptions(split_punctuation=False))
    counts: dict[str, int] = {}
    for text in texts:
        for word in unicodedata.normalize("NFC", text.lower()).replace("\0", " ").split():
            counts[word] = counts.get(word, 0) + 1
    assert sorted(counts, key=lambda word: -counts[word]) == featurizer.words()


@settings(deadline=None, max_examples=100)
@given(words=st.lists(st.binary(min_size=0, max_size=12), max_size=8))
def test_hashing_many_words_equals_hashing_each(words):
    """`hash_words` is `hash_word` of each word."""
    data = np.frombuffer(b"".join(words), dtype=np.uint8)
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    expected = [tokens_plain.hash_word(word) for word in words]
    assert expected == tokens_plain.hash_words(data, lengths).tolist()


@pytest.mark.parametrize("options", OPTIONS)
def test_threads_do_not_change_a_byte(options, monkeypatch):
    """Any number of threads gives the same featurizer and the same rows."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(3000)])
    texts = [" ".join(words[rng.zipf(1.3, 12) % 3000]) for _ in range(5000)]
    monkeypatch.setattr("eitheror.text.chunks._CHUNK", 20_000)
    featurizer, rows = Featurizer.fit(texts, options)
    for n_jobs in (2, 3, -1):
        other, other_rows = Featurizer.fit(texts, options, n_jobs=n_jobs)
        assert rows == other_rows
        for name, array in featurizer.tensors().items():
            assert array.tobytes() == other.tensors()[name].tobytes()
        assert rows == other.transform(texts, n_jobs=n_jobs)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_room_for_a_very_long_text_is_given_back(n, monkeypatch):
    """What a thread keeps from text to text is bounded, and the rows do not depend on it."""
    options = OPTIONS[n]
    texts = ["one short text", " ".join(f"word{i % 900}" for i in range(9000)), "one text"]
    featurizer, rows = Featurizer.fit(texts, options)
    monkeypatch.setattr(chunks, "_KEPT", 1 << 12)
    monkeypatch.setattr("eitheror.text.featurizer._SMALL", 0)
    for text, number in zip([*texts, texts[0]], [0, 1, 2, 0], strict=True):
        assert rows.take([number]) == featurizer.transform([text])
        room = chunks._Room.of(featurizer._scratch)
        assert len(room.bytes(0)) <= 1 << 12
        assert len(room.tokens(0)[0]) <= 1 << 12
        assert len(room.table().keys) <= 1 << 12


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_ngrams_of_a_long_text_are_those_of_plain_python(n):
    """Every n-gram of a text of many words is counted once, wherever its stretches are cut."""
    rng = np.random.default_rng(n)
    words = [f"w{i}" for i in rng.integers(0, 50, 1000)]
    hashes = [tokens_plain.hash_word(word.encode()) for word in words]
    hits = np.bincount(tokens_plain.ngram_buckets(hashes, n, 300), minlength=300)
    options = TextOptions(word_ngrams=n, bucket=300)
    chunk = chunks.read_chunk((0, [" ".join(words)]), options, threading.local())
    counts = np.zeros(300, dtype=np.uint32)
    chunks.count_buckets(chunk, options, counts)
    assert hits.tolist() == counts.tolist()


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_rows_that_are_gathered_stand_in_order(n_jobs):
    """Rows of all items follow each other, however late or few they are; the items are gone."""
    sizes = np.random.default_rng(n_jobs).integers(0, 9, 40)
    rooms = []

    def fill(size, room):
        rooms.append(room)
        row_ends, features = np.arange(1, size + 1), np.arange(size, dtype=np.int32)
        if room is None:
            return row_ends, features, None
        room[:size] = features
        return row_ends, room[:size], None

    items = sizes.tolist()
    row_ends, features = chunks.gathered(fill, items, n_jobs, sizes.sum(), 2 * sizes.sum())
    assert [] == items
    assert np.arange(1, sizes.sum() + 1).tolist() == row_ends.tolist()
    assert [n for size in sizes for n in range(size)] == features.tolist()
    assert n_jobs > 1 or all(room is not None for room in rooms)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_error_of_one_item_ends_the_gathering(n_jobs):
    """What goes wrong in one thread is raised, and the others do not wait for it."""

    def fill(item, room):
        if item == 3:
            raise MemoryError("no room for item 3")
        return np.ones(1, np.int64), np.zeros(1, np.int32), None

    with pytest.raises(MemoryError, match="no room for item 3"):
        chunks.gathered(fill, list(range(20)), n_jobs, 20, 20)


@given(st.lists(st.integers(0, 3) | st.integers(65_530, 65_540) | st.integers(0, 2**32 - 1)))
def test_counts_fall_and_ties_stay_as_they_are(counts):
    """The order of falling counts is that of a stable sort, for small and for large counts."""
    expected = sorted(range(len(counts)), key=lambda i: -counts[i])
    assert expected == chunks._falling(np.array(counts, dtype=np.uint32)).tolist()


@settings(deadline=None)
@given(words=st.lists(st.text("aß", min_size=1, max_size=40), max_size=8))
def test_a_long_word_is_one_token(words):
    """Words of any length, in ASCII or beyond, are found and told from each other."""
    expected = list(dict.fromkeys(sorted(words, key=lambda word: -words.count(word))))
    assert expected == _words_of(" ".join(words))


def test_chunks_do_not_change_a_byte(monkeypatch):
    """Where the texts are cut into chunks does not show in the result."""
    texts = [f"text number {i} of {i % 7} with word{i * i % 1001}" for i in range(3000)]
    featurizer, rows = Featurizer.fit(texts, OPTIONS[3])
    monkeypatch.setattr("eitheror.text.chunks._CHUNK", 5000)
    other, other_rows = Featurizer.fit(texts, OPTIONS[3])
    assert rows == other_rows
    assert featurizer.words() == other.words()


@pytest.mark.parametrize("options", OPTIONS)
def test_config_and_tensors_hold_the_whole_featurizer(options):
    """A featurizer made from config (through JSON) and tensors gives the same rows."""
    texts = ["One two, two THREE!", "", "three 日本語 😀 four two"]
    featurizer, rows = Featurizer.fit(texts, options)
    config = json.loads(json.dumps(featurizer.config()))
    other = Featurizer.from_parts(config, featurizer.tensors())
    assert rows == other.transform(texts)
    assert options == other.options


def test_pickled_featurizers_leave_their_tables_behind():
    """A pickled featurizer holds its fields only and gives the same rows."""
    featurizer, rows = Featurizer.fit(["a b c"] * 10, OPTIONS[3])
    again = pickle.loads(pickle.dumps(featurizer))
    assert rows == again.transform(["a b c"] * 10)
    assert len(pickle.dumps(featurizer)) < 10_000


# --- tokens ----------------------------------------------------------------------------------


def _words_of(text: str, **options) -> list[str]:
    return Featurizer.fit([text], TextOptions(**options))[0].words()


@pytest.mark.parametrize("space", list(" \t\n\r\v\f\0\x85\u1680\u2009\u00a0\u3000\u2028\u202f"))
def test_every_unicode_white_space_separates_words(space):
    """Thin, no-break and ideographic spaces separate words as the space does."""
    assert ["one", "two"] == _words_of(f"one{space}two", split_punctuation=False)


def test_punctuation_ideographs_and_emoji_are_tokens():
    """With punctuation split off, signs, ideographs and emoji stand alone."""
    assert ["don", "'", "t", "(", "日", "本", "😀", ")"] == _words_of("don't (日本😀\ufe0f)")
    assert ["don't", "(日本😀)"] == _words_of("don't (日本😀)", split_punctuation=False)


def test_lower_case_is_unicode():
    """Lower-casing is Python's, not ASCII's; without it words keep their case."""
    assert ["été", "straße"] == _words_of("ÉTÉ Straße")
    assert ["ÉTÉ", "été"] == _words_of("ÉTÉ été", lowercase=False)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_letter_and_its_mark_are_one_sign(form, lowercase):
    """Words are the same whether marks were typed with their letters or after them."""
    text = unicodedata.normalize(form, "Été naïve Å 한국 Ǆ")
    composed = _words_of(unicodedata.normalize("NFC", text), lowercase=lowercase)
    assert composed == _words_of(text, lowercase=lowercase)
    assert text.lower().split() == _words_of(text, nfc=False)


def test_options_of_before_nfc_are_read_with_it_off():
    """A featurizer that was stored without the option gives the rows that it gave then."""
    texts = [unicodedata.normalize("NFD", "été"), "été"]
    old, rows = Featurizer.fit(texts, TextOptions(nfc=False))
    config = old.config()
    del config["nfc"]
    read = Featurizer.from_parts(config, old.tensors())
    assert TextOptions(nfc=False) == read.options
    assert rows == read.transform(texts)
    assert 2 == len(read.words())


def test_label_prefix_is_ordinary_text():
    """A token that looks like a fastText label is a word like any other."""
    assert ["__label__bug", "crash"] == _words_of("__label__bug crash", split_punctuation=False)


def test_min_count_leaves_rare_words_out_but_not_their_ngrams():
    """A rare word has no row; the n-grams it takes part in may have."""
    options = TextOptions(min_count=2, word_ngrams=2)
    featurizer, rows = Featurizer.fit(["a a b", "a c"], options)
    assert ["a"] == featurizer.words()
    assert 3 == len(featurizer.buckets)
    assert [1 + 2 + 2, 1 + 1 + 1] == np.diff(rows.indptr).tolist()


def test_ngram_min_count_leaves_rare_buckets_out():
    """A bucket that is hit less often than asked has no row."""
    options = TextOptions(word_ngrams=2, ngram_min_count=2)
    featurizer, _ = Featurizer.fit(["a b c", "a b"], options)
    assert 1 == len(featurizer.buckets)


def test_unseen_words_still_share_ngrams():
    """Character n-grams give a misspelt word features."""
    featurizer, _ = Featurizer.fit(["delicious"], TextOptions("tfidf", char_ngrams=(3, 4)))
    assert 0 < len(featurizer.transform(["delicius"]).indices)


def test_subwords_are_code_points_not_bytes():
    """`<é>` has the 2-grams `<é` and `é>`, and no half characters."""
    assert 2 == len(tokens_plain.subword_buckets("é", 2, 2, 100))
    featurizer, _ = Featurizer.fit(["é"], TextOptions(char_ngrams=(2, 2)))
    assert 2 == len(featurizer.buckets)


def test_tfidf_equals_its_formula():
    """Values are (1 + log count) * (1 + log((1 + n) / (1 + rows))), rows of length 1."""
    texts = ["a a b", "a c"]
    featurizer, rows = Featurizer.fit(texts, TextOptions("tfidf"))
    a, b = (1 + np.log(2)) * 1, 1 * (1 + np.log(3 / 2))
    assert ["a", "b", "c"] == featurizer.words()
    expected = np.array([a, b]) / np.hypot(a, b)
    np.testing.assert_allclose(expected, rows.values[:2], rtol=1e-6)


# --- hard inputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS)
def test_empty_texts_have_only_the_bias(options):
    """Empty and blank texts, and no texts at all, are rows without features."""
    featurizer, rows = Featurizer.fit(["", " \u3000", "a b"], options)
    bias = int(options.weighting == "mean")
    assert [bias, bias] == np.diff(rows.indptr)[:2].tolist()
    assert 0 == len(featurizer.transform([]))
    empty, none = Featurizer.fit([], options)
    assert (0, bias) == (len(none), empty.n_features)
    assert [bias] == np.diff(empty.transform(["a"]).indptr).tolist()


def test_ten_megabyte_line():
    """A line of 10 MB is read; a word of 10 MB is too long to be one and gets no row."""
    featurizer, rows = Featurizer.fit(["word " * 2_000_000, "x" * 10_000_000], TextOptions())
    assert ["word"] == featurizer.words()
    assert [2_000_001, 1] == np.diff(rows.indptr).tolist()


def test_many_distinct_words_grow_the_tables():
    """Tables grow as words come; each word keeps its own row."""
    texts = [
        " ".join(f"w{i}" for i in range(start, start + 1000)) for start in range(0, 50_000, 500)
    ]
    featurizer, rows = Featurizer.fit(texts, TextOptions("tfidf"))
    assert 50_500 == len(featurizer.words()) == len(set(featurizer.words()))
    assert _transform_compiled(featurizer, texts) == rows


@pytest.mark.parametrize("lowercase", [True, False])
def test_half_a_surrogate_pair_names_its_row(lowercase):
    """A lone surrogate is refused with the row and what to write."""
    texts = ["fine", "bad \ud83d"]
    with pytest.raises(ValueError, match=r"row 1: the text holds '\\ud83d'.*errors='replace'"):
        Featurizer.fit(texts, TextOptions(lowercase=lowercase))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", r"one str came; a list of texts was expected: write \[text\]"),
        (["a", None], r"row 1: None is a NoneType; a text \(str\) was expected"),
        ([b"a"], r"row 0: b'a' is a bytes; a text \(str\) was expected"),
    ],
)
def test_what_is_no_text_is_refused(texts, message):
    """The error names the row, what came and what was expected."""
    with pytest.raises(TypeError, match=message):
        Featurizer.fit(texts, TextOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "bm25"}, 'weighting=\'bm25\': expected "mean" or "tfidf"'),
        ({"word_ngrams": 0}, "word_ngrams=0: expected a whole number, 1 to 20"),
        ({"word_ngrams": True}, "word_ngrams=True: expected a whole number"),
        ({"char_ngrams": (4, 3)}, r"char_ngrams\[0\]=4: expected a whole number, 1 to 3"),
        ({"char_ngrams": 3}, r"char_ngrams=3: expected \(shortest, longest\)"),
        ({"bucket": 0}, "bucket=0: expected a whole number, 1 to 67108864"),
        ({"min_count": 0}, "min_count=0: expected a whole number, 1 or more"),
        ({"lowercase": 1}, "lowercase=1: expected True or False"),
        ({"nfc": "yes"}, "nfc='yes': expected True or False"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    """The error names the option, its value and its range."""
    with pytest.raises(ValueError, match=message):
        TextOptions(**options)


def _damaged(**changes):
    featurizer, _ = Featurizer.fit(["a b", "b c"], TextOptions("tfidf", word_ngrams=2))
    tensors = featurizer.tensors()
    return featurizer.config(), tensors | {k.replace("_", "."): v for k, v in changes.items()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words_bytes": np.frombuffer(b"bb", np.uint8)}, "words.bytes has 2 bytes"),
        ({"words_bytes": np.frombuffer(b"abb", np.uint8)}, "a word stands there twice"),
        ({"words_bytes": np.frombuffer(b"ab\xff", np.uint8)}, "words.bytes is not UTF-8"),
        ({"words_lengths": np.int32([0, 2, 1])}, r"a length outside 1 \.\. 1000"),
        ({"words_lengths": np.int64([1, 1, 1])}, "words.lengths: int64 of shape"),
        ({"ngrams_buckets": np.int32([1, 1])}, "a bucket stands there twice"),
        ({"ngrams_buckets": np.int32([1, 2_000_000])}, r"a bucket outside 0 \.\. 1999999"),
        ({"idf": np.float32([1, 1])}, "idf has 2 values for 5 features"),
        ({"idf": np.float32([1, 1, 1, 1, np.nan])}, "idf: a weight that is not finite and above"),
    ],
)
def test_damaged_parts_are_refused(changes, message):
    """What no `fit` can have made is refused with the array's name."""
    config, tensors = _damaged(**changes)
    with pytest.raises(ValueError, match=message):
        Featurizer.from_parts(config, tensors)


def test_a_missing_array_or_option_is_named():
    """A missing array and a missing option are named."""
    config, tensors = _damaged()
    with pytest.raises(ValueError, match="idf: the array is missing"):
        Featurizer.from_parts(config, {k: v for k, v in tensors.items() if k != "idf"})
    with pytest.raises(ValueError, match="text options"):
        Featurizer.from_parts({k: v for k, v in config.items() if k != "bucket"}, tensors)


def test_a_few_lines_do_not_start_numba():
    """Featurising a small input imports no Numba."""
    program = (
        "import sys, numpy as np\n"
        "from eitheror.text import Featurizer, TextOptions\n"
        "words = np.frombuffer(b'ab', np.uint8)\n"
        "featurizer = Featurizer(TextOptions(), words, np.int32([1, 1]), np.int32([]), None)\n"
        "assert [0, 1, 2] == featurizer.transform(['a b']).indices.tolist()\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- Rows ------------------------------------------------------------------------------------


def test_rows_take_is_indexing():
    """Taking rows equals indexing the dense matrix, by position, mask and slice."""
    X = np.arange(12, dtype=np.float32).reshape(4, 3) % 5
    rows = Rows.from_dense(X)
    for which in ([3, 0, 0], np.array([True, False, False, True]), slice(1, 3)):
        assert X[which].tolist() == rows.take(which).to_dense().tolist()
    assert 0 == len(rows.take([]))


def test_rows_from_csr_adds_repeats():
    """SciPy's repeated entries are added; the values are the dense matrix's."""
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_array(([1.0, 2.0, 3.0], [1, 1, 0], [0, 2, 3]), shape=(2, 3))
    assert [[0, 3, 0], [3, 0, 0]] == Rows.from_csr(X).to_dense().tolist()
    assert Rows.from_dense([[0, 3, 0], [3, 0, 0]]) == Rows.from_csr(X.tocoo())


def test_rows_concatenate_is_stacking():
    """Joined rows are the stacked matrix; different widths are refused."""
    a, b = Rows.from_dense([[1, 0]]), Rows.from_dense([[0, 0], [2, 3]])
    assert [[1, 0], [0, 0], [2, 3]] == Rows.concatenate([a, b]).to_dense().tolist()
    with pytest.raises(ValueError, match=r"rows with \[2, 3\] features cannot be joined"):
        Rows.concatenate([a, Rows.from_dense([[1, 2, 3]])])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.nan]], "row 0, feature 1 is nan; a finite number"),
        ([[1.0], [1e300]], r"row 1, feature 0 is 1e\+300; a finite number"),
        ([1.0, 2.0], r"features of shape \(2,\) came; \(n_samples, n_features\) was expected"),
        ([["a"]], "features of dtype <U1 came; numbers were expected"),
    ],
)
def test_rows_refuse_what_is_no_finite_matrix(X, message):
    """The error names the row, the feature and the value."""
    with pytest.raises(ValueError, match=message):
        Rows.from_dense(X)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_expand_lists_every_position(runs):
    """`expand` is the concatenation of the ranges."""
    starts = np.array([start for start, _ in runs], dtype=np.int64)
    lengths = np.array([length for _, length in runs], dtype=np.int64)
    expected = [p for start, length in runs for p in range(start, start + length)]
    assert expected == expand(starts, lengths).tolist()


@pytest.mark.parametrize("odd", ["ΟΔΟΣ", "ΟΔΟΣ.", "İstanbul", "a\0b", "\0", "", "é\r\nx", "ß ẞ"])
def test_joined_rows_are_read_as_each_alone(odd: str) -> None:
    """Rows that are lower-cased and encoded in one go give the bytes that each gives by itself."""
    texts = ["First Row", odd, "ΣΑΣ", odd, "", "last"]
    options = TextOptions()
    for form in (texts, Texts.of(texts)):
        data, starts, ends, _ = chunks._folded(0, form, options, chunks._Room())
        parts = [data[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
        assert parts == [chunks.normalised(text, 0, options) for text in texts]


@given(
    pieces=st.lists(st.lists(st.sampled_from(["", "one", "é", "日本"]), max_size=9), max_size=4),
    rows=st.lists(st.integers(0, 99), max_size=20),
)
def test_texts_of_many_buffers_join_as_they_are(pieces, rows):
    """One buffer of all texts holds each of them, in order, also of rows taken here and there."""
    texts = Texts.concatenate([Texts.of(piece) for piece in pieces])
    assert texts == [text for piece in pieces for text in piece]
    for some in (texts, texts[2:], texts.take([row % len(texts) for row in rows if len(texts)])):
        data, starts, ends = some.joined()
        assert list(some) == [data[a:b].decode() for a, b in zip(starts, ends, strict=True)]


def test_half_a_surrogate_pair_is_named_by_its_row() -> None:
    """The row that cannot be encoded is named, although rows are encoded together."""
    with pytest.raises(ValueError, match="row 7: the text holds"):
        chunks._utf8(5, ["fine", "also", "bad \ud800", "fine"], TextOptions())
