"""Training that goes on from a finished model: what it keeps, what it adds, what it refuses."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eitheror.cli import main
from eitheror.decide import Reject
from eitheror.labels import Labels, not_, tags
from eitheror.model import LinearParameters, Model, SparseWeight, import_fasttext, load
from eitheror.sklearn import LinearClassifier, TextClassifier
from eitheror.text import Featurizer, TextOptions
from eitheror.text.growing import grown
from eitheror.training import Checkpoint, TrainOptions, fit
from eitheror.training.continuing import Start, with_replayed

WORDS = ["red", "apple", "blue", "sky", "green", "pear", "grey", "sea"]
TOPICS = {
    "bread": ["dough", "yeast", "flour", "oven"],
    "fish": ["salmon", "fillet", "grill", "bones"],
    "sweet": ["sugar", "honey", "cake", "glaze"],
    "soup": ["broth", "ladle", "simmer", "bowl"],
}
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), min_size=1, max_size=6)
TEXT_OPTIONS = st.builds(
    TextOptions,
    weighting=st.sampled_from(["mean", "tfidf"]),
    word_ngrams=st.integers(1, 2),
    char_ngrams=st.sampled_from([(0, 0), (2, 3)]),
    bucket=st.sampled_from([50, 5000]),
    min_count=st.integers(1, 2),
    ngram_min_count=st.integers(1, 2),
)


def rows(names: list[str], n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of one topic each: two of its words among two of nobody's."""
    random = np.random.default_rng(seed)
    truth = [str(name) for name in random.choice(names, n)]
    made = [
        [*random.choice(TOPICS[name], 2), *(f"w{k}" for k in random.integers(60, size=2))]
        for name in truth
    ]
    return [" ".join(map(str, words)) for words in made], truth


def accuracy(model: Model, names: list[str], seed: int = 9) -> float:
    """Share of fresh texts of these topics that are decided right."""
    texts, truth = rows(names, 200, seed)
    decided = model.predict(texts)
    return float(np.mean([[name] == chosen for name, chosen in zip(truth, decided, strict=True)]))


OLD = ["bread", "fish", "sweet"]
BOTH = [TrainOptions(epochs=5, char_ngrams=(0, 0)), TrainOptions(features="embedding", epochs=20)]
both = pytest.mark.parametrize("options", BOTH, ids=["tfidf", "embedding"])


def trained(options: TrainOptions, task: str = "multiclass") -> Model:
    """A model of the three old topics."""
    texts, truth = rows(OLD, 300)
    said: list[Any] = [tags(name) for name in truth] if task == "multilabel" else truth
    return fit(texts, Labels(said, classes=OLD, task=task), options)


# --- the vocabulary -------------------------------------------------------------------------


@given(TEXTS, TEXTS, TEXT_OPTIONS)
def test_old_features_keep_their_meaning(
    old: list[str], new: list[str], options: TextOptions
) -> None:
    """Old words, buckets and idf stand at their places; nothing stands there twice."""
    before, _ = Featurizer.fit(old, options)
    after, places = grown(before, new)
    assert (np.diff(places) > 0).all()
    assert before.words() == [
        after.words()[place - after.first_word]
        for place in places[before.first_word : before.first_word + len(before.word_lengths)]
    ]
    rebuilt = Featurizer.from_parts(after.config(), after.tensors())  # its checks refuse doubles
    assert rebuilt.n_features == after.n_features
    if before.idf is not None and after.idf is not None:
        assert before.idf.tobytes() == after.idf[places].tobytes()


@given(TEXTS, TEXTS, TEXT_OPTIONS)
def test_texts_without_new_features_keep_their_values(
    old: list[str], new: list[str], options: TextOptions
) -> None:
    """A text in which nothing is new has the same values, at the new numbers of its features."""
    before, _ = Featurizer.fit(old, options)
    after, places = grown(before, new)
    for text in [*old, *new]:
        first, second = before.transform([text]), after.transform([text])
        if np.isin(second.indices, places).all():
            expected = dict(zip(places[first.indices].tolist(), first.values.tolist(), strict=True))
            actual = dict(zip(second.indices.tolist(), second.values.tolist(), strict=True))
            assert expected == actual


@given(TEXTS, TEXTS)
def test_a_word_that_is_new_gets_the_idf_of_all_texts(old: list[str], new: list[str]) -> None:
    """New words have the idf that one fit on all texts gives them, if a word came only once."""
    once = [*old, "unique"]
    options = TextOptions(weighting="tfidf")
    before, _ = Featurizer.fit(once, options)
    after, places = grown(before, new)
    whole, _ = Featurizer.fit([*once, *new], options)
    assert after.idf is not None
    assert whole.idf is not None
    expected = dict(zip(whole.words(), whole.idf.tolist(), strict=True))
    fresh = np.setdiff1d(np.arange(after.n_features), places)
    for place in fresh.tolist():
        assert after.idf[place] == pytest.approx(expected[after.words()[place]], rel=1e-5)


def test_growing_does_not_depend_on_threads() -> None:
    """One and three threads add the same features."""
    texts, _ = rows(list(TOPICS), 200)
    before, _ = Featurizer.fit(texts[:20], TextOptions(word_ngrams=2))
    one, three = grown(before, texts, 1), grown(before, texts, 3)
    for name, array in one[0].tensors().items():
        assert array.tobytes() == three[0].tensors()[name].tobytes()


# --- the parameters -------------------------------------------------------------------------


@both
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_before_the_first_step_old_texts_have_their_scores(
    options: TrainOptions, task: str
) -> None:
    """At a rate of nearly 0 the scores of the old classes are those of the model before."""
    model = trained(options, task)
    texts, truth = rows(list(TOPICS), 50, 3)
    said: list[Any] = [tags(name) for name in truth] if task == "multilabel" else truth
    went_on = fit(texts, Labels(said, task=task), TrainOptions(lr=1e-12, l2=None), warm_start=model)
    seen = [" ".join(TOPICS[name]) for name in OLD]
    np.testing.assert_allclose(
        went_on.decision_function(seen)[:, :3], model.decision_function(seen), atol=1e-5
    )
    assert went_on.predict(seen) == model.predict(seen)


@both
def test_new_words_and_classes_are_learnt_and_old_ones_kept(options: TrainOptions) -> None:
    """With a new class among further rows, old and new texts are decided right."""
    model = trained(options)
    texts, truth = rows(list(TOPICS), 300, 1)
    went_on = fit(texts, Labels(truth), warm_start=model)
    assert went_on.classes == [*OLD, "soup"]
    assert {"broth", "ladle"} <= set(went_on.featurizer.words())  # type: ignore[union-attr]
    assert accuracy(model, OLD) > 0.95
    assert accuracy(went_on, OLD) > 0.95
    assert accuracy(went_on, ["soup"]) > 0.95


@both
def test_replayed_rows_keep_what_the_new_ones_do_not_show(options: TrainOptions) -> None:
    """Rows of a new class alone: with rows of before the old classes stay, and it is said."""
    model = trained(options)
    texts, truth = rows(["soup"], 60, 1)
    told: list[dict[str, Any]] = []
    fit(texts, Labels(truth), warm_start=model, progress=told.append)
    assert any("'bread', 'fish', 'sweet'" in event.get("message", "") for event in told)
    old_texts, old = rows(OLD, 300)
    kept = fit(texts, Labels(truth), warm_start=model, replay=(old_texts, Labels(old)))
    assert accuracy(kept, OLD) > 0.95
    assert accuracy(kept, ["soup"]) > 0.9


def test_a_kept_sample_stands_for_all_rows() -> None:
    """The rows of a sample come so often that together they are all of before, or 4 a new one."""
    labels, sample = Labels(["a"] * 60, classes=["a", "b"]), [f"old {k}" for k in range(30)]
    kept: Any = (sample, Labels(["b"] * 30), np.full(30, 0.5))
    for n_before, copies, weight in ((0, 1, 0.5), (30, 1, 0.5), (150, 5, 0.5), (360, 8, 0.75)):
        texts, both, weights = with_replayed(["new"] * 60, labels, None, kept, 0, n_before)
        assert {"new": 60} | dict.fromkeys(sample, copies) == Counter(texts)
        assert [1.0] * 60 + [weight] * (30 * copies) == weights.tolist()
        assert ["a"] * 60 + ["b"] * 30 * copies == [label.named[0] for label in both]
    heaviest = with_replayed(["new"] * 60, labels, None, kept, 0, 10**9)[2]
    assert 2 * 0.5 == heaviest[60:].max()
    many = with_replayed(["new"], labels[:1], None, kept, 0, 0)
    assert (5, 5) == (len(many[0]), len(set(many[0])))


def test_statements_keep_their_meaning_under_more_classes() -> None:
    """Not-bread allows the new class too; a model learns it from such rows and exact ones."""
    model = trained(BOTH[0])
    texts, truth = rows([*OLD, "soup"], 300, 1)
    said = [not_("bread") if k % 2 and name != "bread" else name for k, name in enumerate(truth)]
    went_on = fit(texts, Labels(said), warm_start=model)
    assert accuracy(went_on, list(TOPICS)) > 0.9


@both
def test_continuing_is_deterministic(options: TrainOptions, tmp_path: Path) -> None:
    """The same model, rows and seed give the same two files, with any number of threads."""
    model = trained(options)
    texts, truth = rows(list(TOPICS), 100, 1)
    for jobs in (1, 2):
        fit(texts, Labels(truth), warm_start=model, n_jobs=jobs).save(tmp_path / f"m{jobs}")
    for name in ("config.json", "model.safetensors"):
        one, two = (tmp_path / f"m{jobs}" / name for jobs in (1, 2))
        assert one.read_bytes() == two.read_bytes()


def test_a_model_can_be_continued_again_and_again(tmp_path: Path) -> None:
    """Saved and loaded between, class after class is added, and each is decided right."""
    texts, truth = rows(OLD[:2], 200)
    model = fit(texts, Labels(truth), BOTH[0])
    for step, name in enumerate(["sweet", "soup"]):
        model.save(tmp_path / "m")
        texts, truth = rows([*model.classes, name], 200, step + 1)
        model = fit(texts, Labels(truth), warm_start=load(tmp_path / "m"))
    assert model.classes == ["bread", "fish", "sweet", "soup"]
    assert accuracy(model, list(TOPICS)) > 0.95


@pytest.mark.parametrize("before", [200, 254, 300])
def test_many_classes_go_on_whatever_trains_them(before: int) -> None:
    """Between few classes and many, where another trainer takes over, no score is lost."""
    names = [f"n{k}" for k in range(before)]
    options = TrainOptions(features="embedding", epochs=2, dim=8)
    model = fit([f"t{name}" for name in names], Labels(names), options)
    more = Labels([*names, "x", "y", "z"])
    went_on = fit(
        [f"t{name}" for name in more.classes], more, TrainOptions(lr=1e-9), warm_start=model
    )
    seen = [f"t{name}" for name in names]
    expected = model.decision_function(seen)
    np.testing.assert_allclose(went_on.decision_function(seen)[:, :before], expected, atol=1e-5)


def test_sparse_weights_are_carried_over() -> None:
    """A model whose weights are stored sparse goes on as one whose weights are dense."""
    model = trained(BOTH[0])
    parameters = model.parameters
    assert isinstance(parameters, LinearParameters)
    weight = parameters.weight
    dense = weight.to_dense() if isinstance(weight, SparseWeight) else weight
    texts, truth = rows(list(TOPICS), 60, 1)
    one, two = (
        fit(
            texts,
            Labels(truth),
            warm_start=replace(model, parameters=replace(parameters, weight=form)),
        )
        for form in (dense, SparseWeight.from_dense(dense))
    )
    assert one.decision_function(texts).tobytes() == two.decision_function(texts).tobytes()


@both
def test_patience_and_checkpoints_go_with_continuing(options: TrainOptions, tmp_path: Path) -> None:
    """A stopped run that continues a model ends in the same bytes; it stops early as well."""
    model = trained(options)
    texts, _ = rows(list(TOPICS), 200, 1)
    noise = np.random.default_rng(0).choice(list(TOPICS), 200).tolist()  # nothing to be gained
    labels, given = Labels(noise), TrainOptions(epochs=30, patience=2, validation=0.2)
    whole = fit(texts, labels, given, warm_start=model)
    assert len(whole.options["history"]) < 30
    checkpoint = Checkpoint(tmp_path / "c")

    class Killed(Exception):
        pass

    def kill(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(texts, labels, given, warm_start=model, checkpoint=checkpoint, progress=kill)
    resumed = fit(texts, labels, given, warm_start=model, checkpoint=checkpoint, resume=True)
    assert whole.decision_function(texts).tobytes() == resumed.decision_function(texts).tobytes()
    with pytest.raises(ValueError, match="written with other data or options"):
        fit(texts, labels, given, warm_start=whole, checkpoint=checkpoint, resume=True)


# --- what is carried over, and what is refused ----------------------------------------------


def test_options_are_the_models_unless_given() -> None:
    """Epochs and rate can be changed; the rest is recorded as it was."""
    model = trained(TrainOptions(epochs=3, lr=0.7, min_count=2, word_ngrams=3))
    texts, truth = rows(OLD, 30, 1)
    went_on = fit(texts, Labels(truth, classes=OLD), TrainOptions(epochs=2), warm_start=model)
    same = {**went_on.options, "epochs": 3, "rows": 300, "history": model.options["history"]}
    assert model.options == same
    assert (2, 330) == (went_on.options["epochs"], went_on.options["rows"])


def test_the_decision_rule_is_left_out_and_it_is_said() -> None:
    """A rule fitted to other weights, or to fewer classes, does not go on."""
    model = trained(BOTH[0])
    model.set_decision(Reject(0.2))
    told: list[dict[str, Any]] = []
    texts, truth = rows(OLD, 30, 1)
    went_on = fit(texts, Labels(truth, classes=OLD), warm_start=model, progress=told.append)
    assert went_on.decision is None
    assert any("decision rule" in event.get("message", "") for event in told)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TrainOptions(word_ngrams=4), "word_ngrams=4 came.*has word_ngrams=2"),
        (TrainOptions(char_ngrams=(2, 3)), r"char_ngrams=\(2, 3\) came"),
        (TrainOptions(features="embedding"), "features='embedding' came.*'tfidf'"),
        (TrainOptions(loss="uniform"), "loss='uniform' came.*'softmax'"),
        (TrainOptions(lowercase=False), "lowercase=False came"),
        (TrainOptions(bucket=7), "bucket=7 came"),
    ],
)
def test_options_that_are_part_of_the_model_are_refused(given: TrainOptions, message: str) -> None:
    """What cannot change is named with both values."""
    texts, truth = rows(OLD, 10)
    with pytest.raises(ValueError, match=message):
        fit(texts, Labels(truth, classes=OLD), given, warm_start=trained(BOTH[0]))


def test_a_model_of_fasttext_keeps_its_features() -> None:
    """Rows and classes are added to an imported model; its words, and what is recorded, stay."""
    model = import_fasttext(Path(__file__).parent / "files" / "fasttext" / "softmax.bin")
    texts, truth = ["bread oven", "no such word"] * 5, [model.classes[0], "new"] * 5
    went_on = fit(texts, Labels(truth), warm_start=model)
    assert [*model.classes, "new"] == went_on.classes
    assert model.featurizer is went_on.featurizer
    for name in ("source", "word_ngrams", "char_ngrams", "bucket", "dim"):
        assert model.options[name] == went_on.options[name]


def test_models_that_cannot_go_on_are_refused() -> None:
    """Numbers and trees say what to do instead; the other task is named."""
    X = np.eye(2)
    numbers = fit(X, Labels(["a", "b"]))
    with pytest.raises(ValueError, match=r"one of numbers.*train again on the old rows"):
        fit(["x", "y"], Labels(["a", "b"]), warm_start=numbers)
    tree = import_fasttext(Path(__file__).parent / "files" / "fasttext" / "hs.bin")
    with pytest.raises(ValueError, match=r"tree over its 7 classes.*train a new model"):
        fit(["x", "y"], Labels(["a", "b"]), warm_start=tree)
    with pytest.raises(ValueError, match=r"multilabel, and the model .* is multiclass"):
        fit(["x"], Labels([tags("a")]), warm_start=trained(BOTH[0]))
    with pytest.raises(ValueError, match="replay came without warm_start"):
        fit(["x", "y"], Labels(["a", "b"]), replay=(["x"], Labels(["a"])))


@pytest.mark.parametrize(
    ("replay", "message"),
    [
        ((["x"], Labels(["bread", "fish"])), "rows to replay: 1 inputs came with 2 labels"),
        ((["x"], Labels(["bread"]), [-1.0]), "rows to replay: row 0: sample weight -1"),
        ((["x"], Labels(["none"])), "rows to replay: .*none"),
    ],
)
def test_bad_rows_to_replay_are_named(replay: Any, message: str) -> None:
    """Their mistakes read as those of rows, and say which rows they are."""
    texts, truth = rows(OLD, 10)
    with pytest.raises(ValueError, match=message):
        fit(texts, Labels(truth), warm_start=trained(BOTH[0]), replay=replay)


def test_new_classes_start_lower_than_every_old_one() -> None:
    """Where classes compete, a class without weights claims no more than the least old one."""
    model = trained(BOTH[0])
    start = Start.of(model, ["broth"])
    bias = start.bias(np.zeros(5, np.float32), separable=False)
    assert bias[:3].tolist() == model.parameters.bias.tolist()
    assert [model.parameters.bias.min()] * 2 == bias[3:].tolist()


# --- the estimator and the command ----------------------------------------------------------


def test_partial_fit_of_texts_adds_words_and_classes() -> None:
    """A later call may name classes and use words that the first did not."""
    model = TextClassifier(char_ngrams=(0, 0))
    model.partial_fit(*rows(OLD, 300)).partial_fit(*rows(list(TOPICS), 300, 1))
    assert [*OLD, "soup"] == model.classes_.tolist()
    assert accuracy(model.model_, list(TOPICS)) > 0.95
    texts, _ = rows(["soup"], 20, 5)
    assert {"soup"} == set(model.predict(texts))


def test_partial_fit_keeps_the_class_list_that_was_given() -> None:
    """With classes= at the start the list is whole, and another name is a mistake."""
    model = TextClassifier(classes=["a", "b"]).partial_fit(["x", "y"], ["a", "b"])
    with pytest.raises(ValueError, match=r"names 'c'.*classes=\["):
        model.partial_fit(["x", "z"], ["a", "c"])
    first = TextClassifier().partial_fit(["x", "y"], ["a", "b"], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"names 'c'.*classes=\["):
        first.partial_fit(["x", "z"], ["a", "c"])
    first.fit(["x", "y"], ["a", "b"])  # begins anew, and says nothing of the whole list
    assert ["a", "b", "c"] == first.partial_fit(["x", "z"], ["a", "c"]).classes_.tolist()
    numbers = LinearClassifier(l2=0.1).partial_fit(np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match=r"names 'c'.*classes=\["):
        numbers.partial_fit(np.eye(2), ["a", "c"])


def write(path: Path, names: list[str], n: int, seed: int) -> str:
    """A file of rows of these topics."""
    lines = [
        json.dumps({"text": text, "label": name})
        for text, name in zip(*rows(names, n, seed), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_command_continues_a_model_in_its_place(tmp_path: Path, capsys: Any) -> None:
    """`train NEW --continue MODEL -o MODEL` replaces the model by the larger one."""
    old, new = write(tmp_path / "old", OLD, 200, 0), write(tmp_path / "new", list(TOPICS), 200, 1)
    only = write(tmp_path / "only", ["soup"], 50, 2)
    model = str(tmp_path / "m")
    assert 0 == main(["train", old, "-o", model, "--format", "jsonl", "--maxn", "0"])
    capsys.readouterr()
    assert 0 == main(["train", new, "--continue", model, "-o", model, "--format", "jsonl"])
    assert "1 new class ('soup')" in capsys.readouterr().out
    assert accuracy(load(model), list(TOPICS)) > 0.95
    words = ["train", only, "--continue", model, "-o", model, "--format", "jsonl"]
    assert 0 == main([*words, "--replay", old])
    assert accuracy(load(model), OLD) > 0.95


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--continue", "nowhere"], "nowhere: there is no model"),
        (["--replay", "old"], "--replay came without --continue"),
        (["--continue", "m", "--dim", "5"], "dim=5 came"),
        (["--continue", "m", "--pretrained-vectors", "v.vec"], "--continue"),
        (["--continue", "m", "--autotune-trials", "2"], "--autotune trains new models"),
        (["--continue", "m", "--replay", "strange"], "strange"),
        (["--continue", "m", "--task", "multilabel"], "multilabel"),
    ],
)
def test_the_command_refuses_and_leaves_the_model(
    tmp_path: Path, capsys: Any, monkeypatch: Any, more: list[str], message: str
) -> None:
    """A mistake is one line with exit code 2, and the model keeps its bytes."""
    monkeypatch.chdir(tmp_path)
    write(Path("old"), OLD, 30, 0)
    write(Path("strange"), ["soup"], 5, 0)
    main(["train", "old", "-o", "m", "--format", "jsonl"])
    before = Path("m/config.json").read_bytes()
    capsys.readouterr()
    assert 2 == main(["train", "old", "-o", "m", "--format", "jsonl", *more])
    error = capsys.readouterr().err
    assert (1, True) == (error.count("\n"), message in error), error
    assert before == Path("m/config.json").read_bytes()
