"""Small models: coded parameters, and `shrink` under a budget of bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eitheror as eo
from eitheror._kernels.rows import Rows
from eitheror._kernels.varint import packed, packed_rising, unpacked, unpacked_rising
from eitheror.cli import main
from eitheror.model import CodedRows, CodedWeight, LinearParameters, Model, SparseWeight
from eitheror.model.parameters import parameters_from_tensors
from eitheror.model.quantised import coded_from_tensors
from eitheror.small.embedding import EmbeddingShrinker, Plan
from eitheror.small.quantise import coded_rows, coded_values
from eitheror.small.vocabulary import kept
from eitheror.text import FastTextFeaturizer, FastTextOptions, Featurizer, TextOptions
from eitheror.training import TrainOptions, fit
from models import MODELS, file_bytes, number_model, tree_model
from models import TEXTS as SOME

WORDS = [f"w{i}" for i in range(300)]
EVERYTHING = np.arange(10_000)


def data(n: int, seed: int) -> tuple[list[str], eo.Labels]:
    """Return texts of Zipf words; the first word of a text says its class."""
    rng = np.random.default_rng(seed)
    ranks = np.minimum(rng.zipf(1.3, size=(n, 8)) - 1, len(WORDS) - 1)
    texts = [" ".join(WORDS[k] for k in row) for row in ranks]
    return texts, eo.Labels([f"c{min(row[0], 5)}" for row in ranks], classes=CLASSES)


CLASSES = [f"c{i}" for i in range(6)]
TEXTS, LABELS = data(2000, 0)
HELD_OUT = data(500, 1)


@pytest.fixture(scope="module", params=["tfidf", "embedding", "tree"])
def trained(request) -> Model:
    """Return a trained model of texts of either kind."""
    kind = {"loss": "hs"} if request.param == "tree" else {"features": request.param}
    return fit(TEXTS, LABELS, TrainOptions(**kind, epochs=8))


def folder_size(model: Model, path) -> int:
    """Return the bytes that a model takes on disk."""
    model.save(path)
    return sum(map(len, file_bytes(path).values()))


@given(st.lists(st.integers(0, 2**62)))
def test_packed_numbers_come_back(numbers):
    """Any number below 2**63 is read as it was written."""
    assert numbers == unpacked(packed(np.array(numbers, dtype=np.int64))).tolist()


@given(st.lists(st.sets(st.integers(0, 2**31 - 2)), max_size=8))
def test_packed_lists_come_back(lists):
    """Rising lists are read as they were written, empty ones too."""
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    numbers = np.array([n for one in lists for n in sorted(one)], dtype=np.int64)
    assert numbers.tolist() == unpacked_rising(packed_rising(numbers, indptr), indptr).tolist()


@pytest.mark.parametrize(
    ("data", "problem"), [([128], "cut short"), ([128] * 9 + [1], "more than 9 bytes")]
)
def test_damaged_numbers_are_refused(data, problem):
    """A number without an end, or without end."""
    with pytest.raises(ValueError, match=problem):
        unpacked(np.array(data, dtype=np.uint8))


@given(st.integers(0, 2**32 - 1))
def test_more_values_lose_less(seed):
    """The squared error of coded numbers falls as the table grows, and is 0 once all have room."""
    values = np.random.default_rng(seed).standard_t(2, size=200).astype(np.float32)
    errors = []
    for n in (2, 8, 32, 128):
        codes, codebook = coded_values(values, n)
        errors.append(float(np.square(codebook[codes] - values).sum()))
    assert sorted(errors, reverse=True) == errors
    codes, codebook = coded_values(np.repeat(values[:2], 3))
    np.testing.assert_allclose(codebook[codes], np.repeat(values[:2], 3), rtol=1e-6)


def distortion(matrix: np.ndarray, **settings) -> float:
    """Return the share of the square that product quantisation loses."""
    rows = coded_rows(matrix, **settings)
    return float(np.square(rows.take(np.arange(len(matrix))) - matrix).sum() / matrix.size)


def test_product_quantisation_loses_less_with_more_centroids_and_narrower_parts():
    """Distortion falls with the number of centroids, rises with the width of a part."""
    matrix = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    by_codes = [distortion(matrix, width=2, n_codes=n) for n in (4, 16, 64, 256)]
    assert sorted(by_codes, reverse=True) == by_codes
    by_width = [distortion(matrix, width=width) for width in (1, 2, 4, 8)]
    assert sorted(by_width) == by_width
    # a bound of theory for what 8 bits a part must lose, and it is not far off
    assert 2**-8 < by_width[1] < 4 * 2**-8


def test_the_first_rows_are_exact_and_few_rows_are_their_own_centroids():
    """Rows that are kept are only rounded to 16 bits, and so are rows that are fewer than codes."""
    matrix = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    rows = coded_rows(matrix, 2, 50)
    np.testing.assert_array_equal(rows.take(np.arange(50)), matrix[:50].astype(np.float16))
    assert distortion(matrix[:200], width=2) < 1e-6


def coded_weight(rng: np.random.Generator, share: float = 0.2) -> CodedWeight:
    """Return coded weights of 200 features and 40 classes, a share of which is not 0."""
    dense = rng.normal(size=(200, 40)).astype(np.float32) * (rng.random((200, 40)) < share)
    sparse = SparseWeight.from_dense(dense)
    codes, codebook = coded_values(sparse.values)
    return CodedWeight(sparse.indptr, sparse.indices, codes, codebook, 40)


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize(("n", "share"), [(3, 0.1), (3000, 0.1), (3000, 0.4)])
def test_looking_codes_up_is_the_product_with_what_they_stand_for(mean, n, share):
    """Few rows (NumPy) and many (compiled; or dense) give the product with the whole matrix."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 20, n)
    indices = rng.integers(0, 200, lengths.sum()).astype(np.int32)
    values = None if mean else rng.normal(size=len(indices)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = Rows(indptr, indices, values, 200)
    weight = coded_weight(rng, share)
    plain = SparseWeight(weight.indptr, weight.indices, weight.codebook[weight.codes], 40)
    table = coded_rows(rng.normal(size=(200, 7)).astype(np.float32), 2, 30)
    for coded, dense in ((weight, plain.to_dense()), (table, table.take(np.arange(200)))):
        expected = rows.to_dense().astype(float) @ dense
        np.testing.assert_allclose(coded.product(rows), expected, rtol=0, atol=1e-5)


def test_rows_of_both_paths_are_the_same_numbers():
    """What a row of a coded model gives does not depend on how many others are asked for."""
    model = eo.shrink(fit(TEXTS, LABELS, TrainOptions(features="embedding", epochs=1)), "40K")
    many = model.predict_proba(TEXTS * 3)
    few = np.concatenate([model.predict_proba([text]) for text in TEXTS[:20]])
    np.testing.assert_allclose(many[:20], few, rtol=0, atol=1e-6)


def test_a_vocabulary_without_some_features_gives_the_rows_without_them():
    """Texts have the features that were kept, under their new numbers."""
    whole, _ = Featurizer.fit(TEXTS[:50], TextOptions("tfidf", 2, (2, 3)))
    keep = np.random.default_rng(0).random(whole.n_features) < 0.4
    small, places = kept(whole, keep)
    assert np.flatnonzero(keep).tolist() == sorted(places.tolist())
    assert [word for word, use in zip(whole.words(), keep, strict=False) if use] == small.words()
    for text in TEXTS[:50]:
        old, new = whole.transform([text]).indices, small.transform([text]).indices
        assert {f for f in old.tolist() if keep[f]} == set(places[new].tolist())


@pytest.mark.parametrize("pruned", [True, False])
def test_a_vocabulary_of_fasttext_is_pruned_too(pruned):
    """Words and buckets that are left out are unknown."""
    options = FastTextOptions(2, (0, 0), 50, pruned)
    whole = FastTextFeaturizer.of([b"</s>", b"a", b"b"], [], options, range(50) if pruned else ())
    keep = np.ones(whole.n_features, dtype=bool)
    keep[[1, *range(3, 30)]] = False
    small, places = kept(whole, keep)
    assert ["</s>", "b"] == small.words()
    old, new = whole.transform(["a b a b"]).indices, small.transform(["a b a b"]).indices
    assert [f for f in old.tolist() if keep[f]] == places[new].tolist()


@pytest.mark.parametrize("size", ["6K", "12K", "30K", "60K"])
def test_the_budget_holds_and_the_model_is_saved_as_it_predicts(trained, size, tmp_path):
    """The folder never takes more bytes; loaded, it predicts the same bits on any threads."""
    small = eo.shrink(trained, size)
    assert folder_size(small, tmp_path / "small") <= int(size[:-1]) * 1000
    loaded = eo.load(tmp_path / "small")
    loaded.save(tmp_path / "again")
    assert file_bytes(tmp_path / "small") == file_bytes(tmp_path / "again")
    proba = small.predict_proba(HELD_OUT[0])
    np.testing.assert_array_equal(proba, loaded.predict_proba(HELD_OUT[0], n_jobs=2))
    assert trained.classes == loaded.classes


def test_a_model_of_fasttext_is_shrunk_too(tmp_path):
    """Words and buckets of an imported `.bin` are pruned and coded under the budget."""
    model = eo.import_fasttext(Path(__file__).parent / "files" / "fasttext" / "ngrams.bin")
    small = eo.shrink(model, 5000)
    assert folder_size(small, tmp_path / "small") <= 5000
    assert small.parameters.n_features < model.parameters.n_features
    loaded = eo.load(tmp_path / "small")
    np.testing.assert_array_equal(small.predict_proba(["a b"]), loaded.predict_proba(["a b"]))


def test_the_same_model_size_and_seed_give_the_same_bytes(trained, tmp_path):
    """Shrinking is deterministic."""
    for name in ("one", "two"):
        eo.shrink(trained, "20K").save(tmp_path / name)
    assert file_bytes(tmp_path / "one") == file_bytes(tmp_path / "two")


def test_a_small_model_is_nearly_as_good(trained, tmp_path):
    """A third of the bytes costs next to nothing, and the record says what it costs."""
    bytes_before = folder_size(trained, tmp_path / "whole")
    small = eo.shrink(trained, bytes_before // 3, valid=HELD_OUT)
    assert folder_size(small, tmp_path / "small") <= bytes_before // 3
    record = small.options["shrunk"]["valid"]
    assert len(HELD_OUT[0]) == record["rows"]
    for model, scores in ((trained, record["before"]), (small, record["after"])):
        found = eo.evaluate(HELD_OUT[1], model.predict_proba(HELD_OUT[0]), model.classes)
        assert round(found["metrics"]["accuracy"]["lower"], 4) == scores["accuracy"]
    assert record["after"]["accuracy"] > record["before"]["accuracy"] - 0.02


@pytest.mark.parametrize("output_width", [0, 2])
def test_a_small_tree_is_searched_and_checked(output_width, tmp_path):
    """The best classes are those of sorting; arrays that are no tree, or miss, are refused."""
    small = EmbeddingShrinker(tree_model(), 0).built(Plan(60, 20, 2, 16, output_width))
    small.save(tmp_path / "small")
    loaded = eo.load(tmp_path / "small")
    assert "huffman-coded" == loaded.parameters.family
    proba = loaded.predict_proba(SOME)
    np.testing.assert_array_equal(small.predict_proba(SOME), proba)
    columns, values = loaded.predict_top(SOME, 3)
    np.testing.assert_allclose(-np.sort(-proba, axis=1)[:, :3], values, rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(proba, columns, 1), values, rtol=1e-5)
    assert [[loaded.classes[k]] for k in proba.argmax(axis=1)] == loaded.predict(SOME)
    tensors = loaded.parameters.tensors()
    for name, wrong in {"children": tensors["children"][::-1], "bias": tensors["bias"][1:]}.items():
        with pytest.raises(ValueError, match=name):
            parameters_from_tensors("huffman-coded", {**tensors, name: wrong}, 60, 7)


def test_a_score_without_end_is_recorded_as_null(tmp_path):
    """A class of probability 0 that is true makes the log loss infinite, which JSON cannot hold."""
    model = MODELS["linear"]()
    model.parameters.bias[:] = [-1e4, 0, 0]
    labels = eo.Labels([eo.tags("bug")] * 2, classes=model.classes)
    small = eo.shrink(model, "9K", valid=(["the app", "it crashed"], labels))
    small.save(tmp_path / "small")
    scores = eo.load(tmp_path / "small").options["shrunk"]["valid"]["after"]
    assert scores["log_loss"] is None


def test_a_model_that_fits_loses_nothing(trained):
    """Under a budget with room for all, the model predicts the same bits."""
    small = eo.shrink(trained, "1G")
    np.testing.assert_array_equal(
        trained.predict_proba(HELD_OUT[0]), small.predict_proba(HELD_OUT[0])
    )


def test_too_small_a_budget_names_the_smallest_size(trained):
    """What no form fits into is refused with the size of the smallest, and that size works."""
    with pytest.raises(ValueError, match="no form of this model fits into 500 bytes") as caught:
        eo.shrink(trained, 500)
    smallest = int(str(caught.value).split("takes ")[1].split(" (")[0].replace(",", ""))
    assert eo.shrink(trained, smallest).classes == trained.classes
    with pytest.raises(ValueError, match="no form of this model"):
        eo.shrink(trained, smallest - 200)


@pytest.mark.parametrize("size", ["", "two", "-1", "0", "1T", True, float("nan")])
def test_a_size_that_is_none_is_refused(size):
    """The message says what to write."""
    with pytest.raises(ValueError, match="expected bytes, such as"):
        eo.shrink(MODELS["linear"](), size)


def test_what_cannot_be_shrunk_is_said(trained):
    """Numbers, and models that are small already, are refused with the reason."""
    with pytest.raises(ValueError, match="only models of texts"):
        eo.shrink(number_model())
    with pytest.raises(ValueError, match="shrunk before"):
        eo.shrink(eo.shrink(trained, "10K"), "8K")


def test_training_does_not_go_on_from_a_small_model(trained):
    """A shrunk model forgot what training needs, and the message says so in a sentence."""
    small = eo.shrink(trained, "10K")
    features = trained.options["features"]
    with pytest.raises(ValueError, match="cannot be trained further"):
        fit(TEXTS[:50], LABELS[:50], TrainOptions(features=features, epochs=1), warm_start=small)


DAMAGE = {
    "weight.counts": (lambda a: a[:-1], "weight.counts"),
    "weight.classes": (lambda a: a[:-1], "weight.classes"),
    "weight.codes": (lambda a: a[:-1], "weight.counts"),
    "weight.values": (lambda a: a[:1], r"weight.codes: a code of"),
    "bias": (lambda a: a[:-1], "bias"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_linear_codes_are_refused(name):
    """An array that cannot be true is named."""
    weight = coded_weight(np.random.default_rng(0))
    tensors = {"bias": np.zeros(40, np.float32), **weight.tensors()}
    whole = coded_from_tensors("linear-coded", tensors, 200, 40)
    np.testing.assert_array_equal(weight.indices, whole.weight.indices)
    change, message = DAMAGE[name]
    with pytest.raises(ValueError, match=message):
        coded_from_tensors("linear-coded", {**tensors, name: change(tensors[name])}, 200, 40)


@pytest.mark.parametrize("part", ["exact", "codes", "centroids", "scale"])
def test_damaged_row_codes_are_refused(part):
    """An array of another shape, or codes beyond the centroids, are named."""
    rows = coded_rows(np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32), 2, 20)
    output = coded_rows(np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32), 2)
    tensors = {
        **rows.tensors("embedding"),
        **output.tensors("weight"),
        "bias": np.zeros(4, np.float32),
    }
    whole = coded_from_tensors("embedding-coded", tensors, 300, 4)
    which = np.arange(300)
    np.testing.assert_array_equal(rows.take(which), whole.embedding.take(which))
    np.testing.assert_array_equal(output.take(np.arange(4)), whole.output)
    name = f"embedding.{part}"
    for change in (lambda a: a[:-1], lambda a: a[:, :-1] if a.ndim > 1 else a[1:]):
        with pytest.raises(ValueError, match=r"embedding|weight\.centroids"):
            coded_from_tensors("embedding-coded", {**tensors, name: change(tensors[name])}, 300, 4)


@pytest.mark.parametrize("name", ["words.lengths", "ngrams.buckets"])
def test_a_damaged_packed_vocabulary_is_refused(name):
    """Bytes that are cut short, of another type, or too large for a number are named."""
    whole, _ = Featurizer.fit(TEXTS[:50], TextOptions("tfidf", 2))
    small, _ = kept(whole, np.ones(whole.n_features, dtype=bool))
    config, tensors = small.config(), small.tensors()
    again = Featurizer.from_parts(config, tensors)
    assert again.transform(TEXTS[:50]) == small.transform(TEXTS[:50])
    huge = packed(np.array([2**40]))
    for wrong in (np.append(tensors[name], np.uint8(128)), tensors[name].astype(np.int32), huge):
        with pytest.raises(ValueError, match=name):
            Featurizer.from_parts(config, {**tensors, name: wrong})
    with pytest.raises(ValueError, match="packed='yes'"):
        Featurizer.from_parts({**config, "packed": "yes"}, tensors)


def test_a_family_that_is_not_known_is_named(trained, tmp_path):
    """A reader that does not know a family says so, as one of before small models does."""
    eo.shrink(trained, "10K").save(tmp_path / "small")
    file = tmp_path / "small" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "family": "linear-coded-2"}))
    with pytest.raises(ValueError, match="family: 'linear-coded-2' came; one of"):
        eo.load(tmp_path / "small")


def test_scales_take_few_bytes_where_they_repeat():
    """Few different scales are codes, and one for all is one number; both come back."""
    codes = np.zeros((1000, 1), np.uint8)
    for scale in (np.ones(1000), np.arange(1000) % 3 + 0.1):
        rows = CodedRows(
            np.zeros((0, 1), np.float32), codes, np.ones((1, 1, 1), np.float32), np.float32(scale)
        )
        tensors = {**rows.tensors("embedding"), "weight": np.ones((1, 1), np.float32)}
        tensors["bias"] = np.zeros(1, np.float32)
        assert sum(array.nbytes for array in tensors.values()) < 2100
        found = coded_from_tensors("embedding-coded", tensors, 1000, 1)
        np.testing.assert_array_equal(rows.scale, found.embedding.scale)


def test_the_command_shrinks_and_reports(tmp_path, capsys):
    """`eitheror shrink` writes the folder, says what was kept and lost, or that nobody measured."""
    fit(TEXTS, LABELS, TrainOptions(epochs=2)).save(tmp_path / "model")
    rows = "".join(
        f"__label__{k[0]} {t}\n" for k, t in zip(names(HELD_OUT[1]), HELD_OUT[0], strict=True)
    )
    (tmp_path / "valid.txt").write_text(rows)
    words = ["shrink", str(tmp_path / "model"), "-o", str(tmp_path / "small"), "--size", "20K"]
    assert 0 == main(words)
    assert "accuracy: not measured; --valid FILE" in capsys.readouterr().out
    assert 0 == main([*words, "--valid", str(tmp_path / "valid.txt"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert sum(map(len, file_bytes(tmp_path / "small").values())) == report["bytes"] <= 20_000
    assert report["bytes_before"] > report["bytes"]
    assert {"before", "after", "rows"} == set(report["valid"])
    assert 0 == main(["info", str(tmp_path / "small")])
    assert 2 == main([*words[:-1], "300"])
    assert "no form of this model fits into 300 bytes" in capsys.readouterr().err


def test_a_small_model_does_not_replace_the_one_it_was_made_of(trained, tmp_path, capsys):
    """`-o` that names the model itself, however it is spelt, is refused and changes nothing."""
    trained.save(tmp_path / "model")
    before = file_bytes(tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    assert 2 == main(["shrink", str(tmp_path / "model"), "-o", "-"])
    assert "a model is a folder" in capsys.readouterr().err
    for same in ("model", "link", "../" + tmp_path.name + "/model/"):
        words = ["shrink", str(tmp_path / "model"), "-o", str(tmp_path / same), "--size", "20K"]
        assert 2 == main(words)
        assert "is the model itself" in capsys.readouterr().err
    assert before == file_bytes(tmp_path / "model")


def names(labels: eo.Labels) -> list[list[str]]:
    """Return the classes that each exact label names."""
    return [list(label.named) for label in labels]


def test_a_linear_model_keeps_the_weights_that_matter():
    """Of two weights the one that moves the logits more over texts is kept."""
    featurizer, _ = Featurizer.fit(["x common", "common", "common y"], TextOptions("tfidf"))
    weight = np.zeros((3, 2), np.float32)
    weight[featurizer.words().index("common")] = [1, 0]
    weight[featurizer.words().index("x")] = [0, 0.1]
    model = Model("multiclass", ["a", "b"], {}, "softmax", featurizer,
                  LinearParameters(weight, np.zeros(2, np.float32)))  # fmt: skip
    from eitheror.small.linear import LinearShrinker

    assert ["common"] == LinearShrinker(model).with_entries(1).featurizer.words()
