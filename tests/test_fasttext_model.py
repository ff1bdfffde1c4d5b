"""Models that fastText trained, and its word vectors.

The files in tests/files/fasttext and what fastText predicts with them were written by
tests/files/fasttext/generate.py, with fastText 0.9.2.
"""

import gzip
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eitheror as eo
from eitheror._kernels.rows import Rows
from eitheror.cli import main
from eitheror.model import HuffmanParameters, import_fasttext
from eitheror.model.huffman import huffman_tree
from eitheror.text import FastTextFeaturizer, FastTextOptions
from eitheror.text.fasttext import hash_bytes, subword_hashes
from eitheror.training import TrainOptions, fit
from eitheror.training.vectors import read_vectors
from models import file_bytes

HERE = Path(__file__).parent / "files" / "fasttext"
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
TEXTS = EXPECTED["texts"]
MODELS = sorted(name for name in EXPECTED if name != "texts")
SOFTMAX = ["softmax.bin", "ngrams.bin", "norms.ftz"]
SIGMOID = ["ova.bin", "ns.bin", "pruned.ftz"]
TREE = ["hs.bin", "output.ftz"]
ADDED = 1e-5  # what fastText adds to each probability


def both(name: str, proba: np.ndarray, classes: list) -> tuple[np.ndarray, np.ndarray]:
    """Return fastText's probabilities and ours, of the labels that it names for each text."""
    theirs, ours = [], []
    for row, named in zip(proba, EXPECTED[name], strict=True):
        theirs += named.values()
        ours += [row[classes.index(label)] for label in named]
    return np.array(theirs), np.array(ours)


def test_every_kind_of_model_is_here():
    """Every loss, with and without n-grams, plain, compressed, pruned: one list names them all."""
    assert MODELS == sorted(SOFTMAX + SIGMOID + TREE)


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_probabilities_are_fasttexts(name):
    """With a softmax the probabilities are fastText's less the 1e-5 that it adds."""
    model = import_fasttext(HERE / name)
    theirs, ours = both(name, model.predict_proba(TEXTS), model.classes)
    np.testing.assert_allclose(ours, theirs - ADDED, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SIGMOID)
def test_sigmoids_are_fasttexts_up_to_its_table(name):
    """With ova and ns fastText looks the sigmoid up in 512 steps from -8 to 8, always downwards."""
    model = import_fasttext(HERE / name)
    theirs, logits = both(name, model.decision_function(TEXTS).astype(float), model.classes)
    step = np.floor((logits + 8) * 32) / 32 - 8
    looked_up = np.where(logits < -8, 0, np.where(logits > 8, 1, 1 / (1 + np.exp(-step))))
    np.testing.assert_allclose(looked_up, theirs - ADDED, rtol=0, atol=1e-6)
    theirs, ours = both(name, model.predict_proba(TEXTS), model.classes)
    assert np.abs(ours - theirs).max() < 0.0079


@pytest.mark.parametrize("name", TREE)
def test_leaf_probabilities_are_fasttexts_without_the_additions_on_the_way(name):
    """With hs fastText adds 1e-5 at each turn; its product is ours when the same is added."""
    model = import_fasttext(HERE / name)
    parameters = model.parameters
    rows, embedding = model.featurizer.transform(TEXTS), parameters.embedding.astype(float)
    hidden = [embedding[rows.take([i]).indices].mean(axis=0) for i in range(len(TEXTS))]
    turns = 1 / (1 + np.exp(-np.array(hidden) @ parameters.weight.T))
    n = parameters.n_classes
    exact, added = np.ones((2, len(TEXTS), 2 * n - 1))
    for node in range(n - 2, -1, -1):
        for child, turn in zip(
            parameters.children[node], (1 - turns[:, node], turns[:, node]), strict=True
        ):
            exact[:, child] = exact[:, n + node] * turn
            added[:, child] = added[:, n + node] * (turn + ADDED)
    proba = model.predict_proba(TEXTS)
    np.testing.assert_allclose(proba, exact[:, :n], rtol=0, atol=1e-6)
    theirs, ours = both(name, added[:, :n], model.classes)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_model_is_saved_and_read_like_any_other(name, tmp_path):
    """Saved and loaded, it predicts the same bits, and saved again it is the same bytes."""
    model = import_fasttext(HERE / name)
    model.save(tmp_path / "one")
    loaded = eo.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    assert file_bytes(tmp_path / "one") == file_bytes(tmp_path / "two")
    np.testing.assert_array_equal(model.predict_proba(TEXTS), loaded.predict_proba(TEXTS))
    np.testing.assert_array_equal(model.predict_proba(TEXTS), loaded.predict_proba(TEXTS, n_jobs=2))


@pytest.mark.parametrize("name", ["ngrams.bin", "pruned.ftz"])
def test_a_row_does_not_depend_on_its_neighbours(name):
    """Each text has the row that it has alone, and a batch has the rows in order."""
    featurizer = import_fasttext(HERE / name).featurizer
    alone = Rows.concatenate([featurizer.transform([text]) for text in TEXTS])
    assert alone == featurizer.transform(TEXTS)


def test_the_task_says_what_the_probabilities_are():
    """A softmax may be read as shares of tags; sigmoids are marginals and never one true class."""
    assert "shares" == import_fasttext(HERE / "hs.bin", task="multilabel").proba_meaning
    assert "marginals" == import_fasttext(HERE / "ova.bin").proba_meaning
    with pytest.raises(ValueError, match=r"ova\.bin: task='multiclass' came .* 'multilabel'"):
        import_fasttext(HERE / "ova.bin", task="multiclass")


def test_the_prefix_of_labels_is_taken_off():
    """Class names come without the prefix; with another prefix the error names a label."""
    assert {"c++", "a|b", "水"} < set(import_fasttext(HERE / "softmax.bin").classes)
    kept = import_fasttext(HERE / "softmax.bin", prefix="")
    assert all(name.startswith("__label__") for name in kept.classes)
    with pytest.raises(ValueError, match="'__label__baking' does not begin with '#'"):
        import_fasttext(HERE / "softmax.bin", prefix="#")


def test_a_label_that_is_no_utf8_has_a_name_that_can_be_stored(tmp_path):
    """Odd bytes in a label are written as backslash, x and two digits."""
    data = (HERE / "softmax.bin").read_bytes()
    assert 1 == data.count("café".encode())
    (tmp_path / "odd.bin").write_bytes(data.replace("café".encode(), b"caf\xe9\xff"))
    model = import_fasttext(tmp_path / "odd.bin")
    assert r"caf\xe9\xff" in model.classes
    model.save(tmp_path / "m")
    assert model.classes == eo.load(tmp_path / "m").classes


@pytest.mark.parametrize("name", ["ngrams.bin", "pruned.ftz", "output.ftz"])
def test_a_file_cut_short_anywhere_is_refused(name, tmp_path):
    """However much of a file is missing, the error names the file."""
    data = (HERE / name).read_bytes()
    file = tmp_path / "cut.bin"
    for size in [*range(0, 400, 3), *range(400, len(data), 97), len(data) - 1]:
        file.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"cut\.bin: "):
            import_fasttext(file)


@given(st.data())
def test_a_damaged_file_is_refused_or_read_and_never_more(data):
    """Any four bytes overwritten: a ValueError that names the file, or a model."""
    name = data.draw(st.sampled_from(MODELS))
    original = (HERE / name).read_bytes()
    place = data.draw(st.integers(0, min(len(original), 3000) - 4))
    value = data.draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\x01\0\0\0"]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "damaged.bin")
        file.write_bytes(original[:place] + value + original[place + 4 :])
        check_refused_or_read(file)


def check_refused_or_read(file: Path) -> None:
    """Import gives a model that predicts, or a ValueError with the file's name."""
    try:
        model = import_fasttext(file)
    except ValueError as error:
        refused = str(error)
    else:
        assert (2, len(model.classes)) == model.predict_proba(["bread", "水"]).shape
        return
    assert "damaged.bin: " in refused


def patched(tmp_path: Path, name: str, place: int, layout: str, value: int) -> Path:
    """Return a copy of a model file with one number changed."""
    data = bytearray((HERE / name).read_bytes())
    struct.pack_into(layout, data, place, value)
    file = tmp_path / "patched.bin"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("place", "layout", "value", "message"),
    [
        (0, "<i", 1, r"begins with b'\\x01.*; a fastText model \(\.bin, \.ftz\) begins with"),
        (4, "<i", 13, "format version 13 came; 11 and 12 can be read"),
        (8, "<i", 2**31 - 1, "the input matrix has shape .* was expected"),
        (32, "<i", 9, "loss is 9; one of .*softmax.* was expected"),
        (36, "<i", 1, "a cbow model, which has word vectors and no labels"),
        (40, "<i", 2**31 - 1, "the input matrix has shape"),
        (64, "<i", 2**31 - 1, r"\d+ words and 7 labels in a vocabulary of 2147483647"),
        (84, "<q", 2**62, "a list of 4611686018427387904 kept buckets needs"),
    ],
)
def test_a_size_that_cannot_be_is_refused_before_memory_is_asked_for(
    place, layout, value, message, tmp_path
):
    """A wrong field is named with what came and what was expected."""
    with pytest.raises(ValueError, match=rf"patched\.bin: .*{message}"):
        import_fasttext(patched(tmp_path, "softmax.bin", place, layout, value))


def test_bytes_behind_the_end_are_refused(tmp_path):
    """A file that goes on behind the model is damaged, or something else."""
    (tmp_path / "long.bin").write_bytes((HERE / "softmax.bin").read_bytes() + b"abc")
    with pytest.raises(ValueError, match=r"long\.bin: 3 bytes are left behind the model's end"):
        import_fasttext(tmp_path / "long.bin")


def test_version_11_has_no_character_ngrams(tmp_path):
    """As in fastText, a supervised model of format 11 never uses its character n-grams."""
    model = import_fasttext(patched(tmp_path, "hs.bin", 4, "<i", 11))
    assert (1, 0) == model.featurizer.options.char_ngrams
    assert 0 == len(model.featurizer.transform(["unknown"]).take([0]).indices) - 1


@given(st.lists(st.text(max_size=5), max_size=4), st.integers(0, 3), st.integers(1, 4))
def test_subwords_are_those_of_the_definition(words, shortest, longest):
    """All runs of `shortest` to `longest` characters of <word>, but not < or > alone."""
    marked = [f"<{word}>" for word in words]
    expected = [
        (place, word[begin : begin + n].encode())
        for place, word in enumerate(marked)
        for begin in range(len(word))
        for n in range(max(shortest, 1), longest + 1)
        if begin + n <= len(word) and not (n == 1 and begin in (0, len(word) - 1))
    ]
    owner, hashes = subword_hashes([word.encode() for word in marked], shortest, longest)
    wanted = [(place, slow_hash(part)) for place, part in expected]
    assert sorted(wanted) == sorted(zip(owner.tolist(), hashes.tolist(), strict=True))


def slow_hash(word: bytes) -> int:
    """Return 32-bit FNV-1a with each byte read as signed."""
    h = 2166136261
    for byte in word:
        signed = byte - 256 if byte > 127 else byte
        h = ((h ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return h


@given(st.lists(st.binary(max_size=8), max_size=6))
def test_hashes_are_those_of_the_definition(words):
    """FNV-1a with signed bytes, word by word."""
    data = np.frombuffer(b"".join(words), np.uint8)
    lengths = np.array([len(word) for word in words], np.int64)
    assert [slow_hash(word) for word in words] == hash_bytes(data, lengths).tolist()


def test_only_six_signs_and_nul_separate_and_a_line_break_is_a_space():
    """Unicode's spaces stay in words; fastText takes no line breaks, which are spaces here."""
    featurizer = FastTextFeaturizer.of([b"</s>", b"a", b"b", "a\u00a0b".encode()], [])
    rows = featurizer.transform(["a b", "a\0b", "a\nb", "a\x1fb", "a\u00a0b", "a \t\v\f\r\nb "])
    split = [rows.take([i]).indices.tolist() for i in range(6)]
    assert [[1, 2, 0], [1, 2, 0], [1, 2, 0], [0], [3, 0], [1, 2, 0]] == split


def test_labels_in_a_text_are_passed_over_also_with_another_prefix():
    """A known label is no word, nor is anything that begins with __label__."""
    featurizer = FastTextFeaturizer.of([b"a"], [b"#one"], FastTextOptions(2, (0, 0), 1))
    rows = featurizer.transform(["a #one", "a #two", "a __label__x"])
    assert [2, 3, 2] == np.diff(rows.indptr).tolist()


def test_half_a_surrogate_pair_is_named_with_its_row():
    """What has no UTF-8 is refused."""
    featurizer = FastTextFeaturizer.of([b"a"], [])
    with pytest.raises(ValueError, match=r"row 1: the text holds '\\ud800'"):
        featurizer.transform(["a", "\ud800"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word_lengths": np.array([5], np.int32)}, "words.bytes has 1 bytes"),
        ({"label_bytes": np.frombuffer(b"a", np.uint8)}, "stands there twice"),
        ({"kept": np.array([7], np.int32)}, "a bucket outside"),
    ],
)
def test_forged_vocabularies_are_refused(change, message):
    """A stored featurizer that cannot be is refused, with the array's name."""
    good = FastTextFeaturizer.of([b"a"], [b"l"], FastTextOptions(2, (0, 0), 5, True), [3])
    tensors = good.tensors()
    names = {
        "word_lengths": "words.lengths",
        "label_bytes": "labels.bytes",
        "kept": "ngrams.buckets",
    }
    tensors |= {names[name]: array for name, array in change.items()}
    with pytest.raises(ValueError, match=message):
        FastTextFeaturizer.from_parts(good.config(), tensors)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 2**32))
def test_leaves_of_a_tree_add_to_one(counts, seed):
    """Whatever the weights, the probabilities of the classes add to 1."""
    children = huffman_tree(sorted(counts, reverse=True))
    weight = np.random.default_rng(seed).normal(size=(len(counts) - 1, 2)).astype(np.float32) * 30
    tree = HuffmanParameters(np.eye(2, dtype=np.float32), weight, children)
    proba = np.exp(tree.logits(Rows.from_dense([[1.0, 0.5], [0.0, 3.0]])).astype(float))
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_a_forged_tree_is_refused(tmp_path):
    """Children that go in a circle, or a node with two parents, are no tree."""
    model = import_fasttext(HERE / "hs.bin")
    for place, child in (((0, 0), 12), ((1, 0), 0)):
        children = model.parameters.children.copy()
        children[place] = child
        broken = HuffmanParameters(model.parameters.embedding, model.parameters.weight, children)
        model_ = eo.model.Model(
            "multiclass", model.classes, {}, "softmax", model.featurizer, broken
        )
        with pytest.raises(ValueError, match="children: no tree"):
            model_.save(tmp_path / "m")


@pytest.mark.parametrize("file", ["softmax.bin", "hs.bin"])
def test_training_goes_on_from_an_imported_model(file):
    """An imported softmax can be the start of training, with its classes or with its tree."""
    texts = ["bread", "water"] * 4
    start = import_fasttext(HERE / file)
    labels = eo.Labels([start.classes[0], start.classes[1]] * 4, classes=start.classes)
    model = fit(texts, labels, TrainOptions(features="embedding", epochs=3), warm_start=start)
    assert (start.classes, start.parameters.family) == (model.classes, model.parameters.family)
    before, after = (m.predict_proba(["bread"])[0, 0] for m in (start, model))
    assert after > before


def test_the_command_imports_and_the_others_read_it(tmp_path, capsys):
    """`eitheror import` writes a model that info, predict, evaluate and tune take."""
    model, rows = str(tmp_path / "m"), tmp_path / "rows.txt"
    rows.write_text("__label__baking bread oven\n__label__boiling __label__baking water\n" * 10)
    file = str(HERE / "ova.bin")
    assert 0 == main(["import", file, "-o", model, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert ("multilabel", 7, "ova") == (report["task"], report["classes"], report["fasttext_loss"])
    assert 0 == main(["info", model])
    assert 0 == main(["evaluate", model, str(rows)])
    assert 0 == main(["tune", model, str(rows), "--metric", "f1_micro"])
    assert 0 == main(["predict", model, str(rows)])
    assert 2 == main(["predict", file, str(rows)])
    assert "`eitheror import` reads a model of fastText" in capsys.readouterr().err
    assert 2 == main(["import", str(HERE / "skipgram.bin"), "-o", str(tmp_path / "n")])
    assert "--pretrained-vectors" in capsys.readouterr().err
    assert not (tmp_path / "n").exists()


VECTORS = "3 2\nred 1 2 \nBlue 3 4\nblue 5 6\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_embeddings_start_from_the_vectors_given(pack, tmp_path):
    """Words that the file holds start at its vectors; the model says how many did."""
    file = tmp_path / "w.vec"
    file.write_bytes(pack(VECTORS.encode()))
    said = []
    model = fit(
        ["red blue", "green blue"],
        eo.Labels(["a", "b"]),
        TrainOptions(epochs=1, lr=1e-9),
        vectors=file,
        progress=lambda event: said.append(event.get("message", "")),
    )
    row = model.featurizer.first_word + model.featurizer.words().index("blue")
    np.testing.assert_allclose(model.parameters.embedding[row], [5, 6], atol=1e-6)
    assert ("embedding", 2, 2) == tuple(
        model.options[name] for name in ("features", "dim", "pretrained_words")
    )
    assert "2 of 3 words start from the vectors given" in said


def test_a_lower_cased_vocabulary_takes_the_first_spelling_unless_its_own_is_there(tmp_path):
    """The word itself wins over a spelling with capital letters, wherever the two stand."""
    file = tmp_path / "w.vec"
    file.write_text("4 1\nRED 1\nRed 2\nBlue 3\nblue 4\n")
    found = read_vectors(file, ["red", "blue"], lowercase=True)
    assert [[1.0], [4.0]] == found.vectors.tolist()
    assert [1] == read_vectors(file, ["red", "blue"], lowercase=False).places.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"w\.vec:1: b'' came; a \.vec file"),
        ("red 1 2\n", r"w\.vec:1: b'red 1 2\\n' came"),
        ("2 2\nred 1 2\nblue 1\n", r"w\.vec:3: 1 numbers behind the word; 2 were expected"),
        ("1 2\nred 1 x\n", r"w\.vec:2: .*no finite number"),
        ("1 2\nred 1 nan\n", r"w\.vec:2: .*no finite number"),
        ("9 2\nred 1 2\n", r"w\.vec:2: the file ends after 1 words; its first line promises 9"),
    ],
)
def test_a_wrong_vector_file_is_named_with_its_line(content, message, tmp_path):
    """What is wrong with a file of vectors is said with its line."""
    (tmp_path / "w.vec").write_text(content)
    with pytest.raises(ValueError, match=message):
        fit(
            ["red blue"] * 2,
            eo.Labels(["a", "b"]),
            TrainOptions(epochs=1),
            vectors=tmp_path / "w.vec",
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TrainOptions(features="tfidf"), "has no embeddings"),
        (TrainOptions(dim=3), "dim=3 came, and the word vectors have 2 numbers"),
    ],
)
def test_options_that_vectors_cannot_fit_are_refused(options, message, tmp_path):
    """A linear model has no embeddings, and the width is the file's."""
    (tmp_path / "w.vec").write_text(VECTORS)
    with pytest.raises(ValueError, match=message):
        fit(["red", "blue"], eo.Labels(["a", "b"]), options, vectors=tmp_path / "w.vec")


def test_vectors_come_neither_from_standard_input_nor_to_a_table_of_numbers(tmp_path):
    """The file is read twice, and numbers have no words."""
    (tmp_path / "w.vec").write_text(VECTORS)
    with pytest.raises(ValueError, match="read twice"):
        fit(["red", "blue"], eo.Labels(["a", "b"]), vectors="-")
    with pytest.raises(ValueError, match="a table of numbers came as well"):
        fit(np.eye(2), eo.Labels(["a", "b"]), vectors=tmp_path / "w.vec")


def test_a_compressed_table_is_not_blown_up_without_limit(monkeypatch):
    """A table of codes asks for many times the memory of its file: beyond a limit it is refused."""
    from eitheror.model import _fasttext_file

    monkeypatch.setattr(_fasttext_file, "_MOST_NUMBERS", 10)
    with pytest.raises(ValueError, match=r"output\.ftz.*GiB when it is no longer compressed"):
        eo.import_fasttext(HERE / "output.ftz")
