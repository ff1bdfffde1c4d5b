"""`fit` on texts: it learns, repeats itself byte for byte, stops, resumes, weighs and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eitheror.labels import Label, Labels, RowError, either, not_, soft, tags, unknown
from eitheror.losses import LOSSES, at_least_one
from eitheror.model import Model
from eitheror.training import Checkpoint, TrainingDivergedError, TrainOptions, fit

TOPICS = {
    "bread": ["dough", "yeast", "flour", "oven", "knead"],
    "fish": ["salmon", "fillet", "grill", "bones", "scales"],
    "sweet": ["sugar", "honey", "cake", "glaze", "syrup"],
}
CLASSES = list(TOPICS)
TRAINABLE = [name for name, loss in LOSSES.items() if loss.trainable and loss.text]


def texts(n: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Made texts of one to two topics each, in their words and some of nobody's."""
    random = np.random.default_rng(seed)
    rows, truth = [], []
    for _ in range(n):
        chosen = [CLASSES[k] for k in random.permutation(3)[: random.integers(1, 3)]]
        words = [str(random.choice(TOPICS[name])) for name in chosen for _ in range(4)]
        words += [f"w{random.integers(40)}" for _ in range(4)]
        rows.append(" ".join(random.permutation(words)))
        truth.append(chosen)
    return rows, truth


def labels_for(task: str, truth: list[list[str]]) -> Labels:
    """Exact labels of the first topic, or the tags of all."""
    if task == "multiclass":
        return Labels([row[0] for row in truth], classes=CLASSES)
    return Labels([tags(*row) for row in truth], classes=CLASSES, task="multilabel")


def arrays(model: Model) -> dict[str, np.ndarray]:
    """Every array of the model's parameters."""
    return dict(model.parameters.tensors())


def assert_same(expected: Model, actual: Model) -> None:
    """Same options and the same bytes in every array."""
    assert expected.options == actual.options
    for name, array in arrays(expected).items():
        assert array.tobytes() == arrays(actual)[name].tobytes(), name


def precision(model: Model, seed: int = 1) -> float:
    """Share of new texts whose top class is one of their topics."""
    rows, truth = texts(200, seed)
    top = model.predict_proba(rows).argmax(axis=1)
    return float(np.mean([model.classes[k] in row for k, row in zip(top, truth, strict=True)]))


@pytest.mark.parametrize("features", ["tfidf", "embedding"])
@pytest.mark.parametrize("loss", TRAINABLE)
def test_every_loss_learns_with_either_features(loss: str, features: str) -> None:
    """On easy texts each trainable loss puts a right topic first for 95 % of new texts."""
    rows, truth = texts(300)
    options = TrainOptions(features=features, loss=loss, epochs=20, lr=0.5, dim=None)
    model = fit(rows, labels_for(LOSSES[loss].task, truth), options)
    assert model.loss == loss
    assert precision(model) >= 0.95


def test_defaults_follow_the_task() -> None:
    """Without options tags are trained one-vs-all and exclusive classes by softmax, on TF-IDF."""
    rows, truth = texts(60)
    for task, loss in (("multiclass", "softmax"), ("multilabel", "ova")):
        model = fit(rows, labels_for(task, truth))
        assert (model.options["features"], model.options["loss"]) == ("tfidf", loss)
        assert None not in model.options.values()


@pytest.mark.parametrize(
    "statement",
    [
        lambda name, others: either(name, others[0]),
        lambda name, others: not_(*others),
        lambda name, others: not_(others[0], trust=0.9),
        lambda name, others: soft({name: 0.8, others[1]: 0.2}),
        lambda name, others: Label.parse(f"{name}*3,{others[0]}*1"),
    ],
    ids=["either", "not", "trust", "soft", "votes"],
)
def test_partial_statements_teach(statement: Any) -> None:
    """A model learns from statements none of which names one class for sure."""
    rows, truth = texts(600)
    random = np.random.default_rng(0)
    made = []
    for row in truth:
        others = [name for name in random.permutation(CLASSES).tolist() if name != row[0]]
        made.append(statement(row[0], others))
    model = fit(rows, Labels(made, classes=CLASSES), TrainOptions(epochs=20))
    assert precision(model) >= 0.9


@pytest.mark.parametrize("loss", ["softmax", "uniform", "random-pick"])
def test_a_set_of_all_classes_teaches_nothing(loss: str) -> None:
    """A text that may be of any class leaves the model as one about which nothing is known."""
    rows, truth = texts(120)
    options = TrainOptions(features="tfidf", loss=loss, epochs=5, label_smoothing=0.1)
    fitted = []
    for nothing in (None, either(*CLASSES)):
        made = [row[0] if i % 3 else nothing for i, row in enumerate(truth)]
        model = fit(rows, Labels(made, classes=CLASSES, task="multiclass"), options)
        fitted.append(model.predict_proba(rows))
    np.testing.assert_allclose(fitted[0], fitted[1], rtol=1e-5, atol=1e-7)


def test_unknown_tags_are_left_out() -> None:
    """Tags that a row does not speak of are not learnt as absent."""
    rows, truth = texts(400)
    random = np.random.default_rng(0)
    opened = []
    for row in truth:
        absent = [name for name in CLASSES if name not in row]
        shown = [name for name in row if random.random() < 0.5]
        opened.append(tags(*shown, absent=absent[:1], rest="unknown"))
    closed = [
        tags(*(n for n in label.named if n in row))
        for label, row in zip(opened, truth, strict=True)
    ]
    half, hidden = (
        fit(rows, Labels(made, classes=CLASSES, task="multilabel"), TrainOptions(epochs=10))
        for made in (opened, closed)
    )
    truths = np.array([[name in row for name in CLASSES] for row in truth])
    assert half.predict_proba(rows)[truths].mean() > hidden.predict_proba(rows)[truths].mean() + 0.1


def test_at_least_one_of_several_tags_teaches() -> None:
    """`either` on tags raises what the text speaks for, and only one-vs-all can read it."""
    rows, truth = texts(300)
    made = [either(*row) if len(row) == 2 else tags(*row) for row in truth]
    labels = Labels(made, classes=CLASSES, task="multilabel")
    assert precision(fit(rows, labels, TrainOptions(epochs=10))) >= 0.95
    with pytest.raises(
        ValueError, match=r"cannot read 'at least one of'.*use loss='ova'"
    ) as caught:
        fit(rows, labels, TrainOptions(loss="pal-n"))
    assert isinstance(caught.value, RowError)
    first = next(row for row, label in enumerate(labels) if label.kind == "either")
    assert first == caught.value.row


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(epochs=3),
        TrainOptions(epochs=3, optimizer="adagrad", l2=1e-4, label_smoothing=0.1),
        TrainOptions(features="embedding", loss="pol", epochs=3),
        TrainOptions(features="embedding", loss="ova", epochs=3, optimizer="adagrad"),
    ],
    ids=["ova", "adagrad", "pol", "embedding"],
)
def test_same_seed_same_bytes_on_any_number_of_threads(options: TrainOptions) -> None:
    """With 300 classes, 1 and 2 threads give equal bytes; another seed gives others."""
    random = np.random.default_rng(0)
    rows = [" ".join(f"w{k}" for k in random.integers(0, 90, 12)) for _ in range(150)]
    chosen = random.integers(0, 300, (150, 2))
    classes = [f"c{k}" for k in range(300)]
    labels = Labels([tags(*{f"c{k}" for k in row}) for row in chosen.tolist()], classes=classes)
    one, two = (fit(rows, labels, options, n_jobs=n) for n in (1, 2))
    assert_same(one, two)
    other = fit(rows, labels, replace(options, seed=1))
    assert any(arrays(one)[k].tobytes() != arrays(other)[k].tobytes() for k in arrays(one))


def test_hogwild_learns() -> None:
    """The fast mode trains with two threads on one model and learns the same task."""
    rows, truth = texts(300)
    options = TrainOptions(features="embedding", loss="pol", epochs=20, hogwild=True)
    model = fit(rows, labels_for("multilabel", truth), options, n_jobs=2)
    assert precision(model) >= 0.95


@pytest.mark.parametrize("features", ["tfidf", "embedding", "numeric"])
def test_held_out_rows_count_with_their_weight(features: str) -> None:
    """Weight 2 is the held-out row twice, and weight 0 is the row left out."""
    rows, truth = texts(60)
    labels = labels_for("multiclass", truth)
    inputs: Any = rows
    if features == "numeric":
        inputs = np.random.default_rng(0).standard_normal((60, 3))
    options = TrainOptions(features=features, epochs=3)
    weight = np.arange(20) % 3
    twice = np.repeat(np.arange(20), weight)
    chosen = inputs[:20] if features == "numeric" else rows[:20]
    repeated = inputs[twice] if features == "numeric" else [rows[i] for i in twice]
    one, two = (
        fit(inputs, labels, options, valid=valid)
        for valid in ((chosen, labels[:20], weight), (repeated, labels[twice]))
    )
    found = [
        [e["valid_loss"] for e in model.options.get("history", [model.options])]
        for model in (one, two)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        ((["a"], Labels(["a"]), [-1.0]), "validation rows: row 0: sample weight -1"),
        ((["a"], Labels(["a"]), [1.0, 2.0]), r"validation rows: sample_weight of shape \(2,\)"),
        ((["a"], Labels(["a"]), [0.0]), "validation rows: none of the 1 labels says anything"),
        ((["a"],), r"valid= takes \(inputs, labels\) or .* got 1 parts"),
    ],
)
def test_validation_weights_are_checked(valid: Any, message: str) -> None:
    """A wrong weight of a held-out row says that it is one of theirs."""
    with pytest.raises(ValueError, match=message):
        fit(["a", "b"], Labels(["a", "b"]), valid=valid)


def test_early_stopping_keeps_the_best_epoch() -> None:
    """With patience the parameters are those of the epoch with the best held-out likelihood."""
    rows, truth = texts(80)
    noisy = Labels(np.random.default_rng(0).choice(CLASSES, 80).tolist(), classes=CLASSES)
    valid = texts(60, 5)
    held_out = (valid[0], labels_for("multiclass", valid[1]))
    options = TrainOptions(epochs=30, lr=20.0, patience=3)
    model = fit(rows, noisy, options, valid=held_out)
    losses = [entry["valid_loss"] for entry in model.options["history"]]
    assert len(losses) < 30
    assert len(losses) == int(np.argmin(losses)) + 1 + 3
    value = LOSSES["softmax"].value(model.decision_function(held_out[0]), held_out[1].to_targets())
    assert float(value.mean()) == pytest.approx(min(losses), rel=1e-4)
    inner = fit(rows, labels_for("multiclass", truth), replace(options, validation=0.2))
    assert "valid_loss" in inner.options["history"][0]


def test_early_stopping_reads_partial_statements() -> None:
    """Held-out rows may be partial; their statements' likelihood is what is watched."""
    rows, truth = texts(200)
    partial = Labels(
        [not_(next(n for n in CLASSES if n not in row)) for row in truth], classes=CLASSES
    )
    model = fit(rows, partial, TrainOptions(epochs=10, patience=2, validation=0.25))
    losses = [entry["valid_loss"] for entry in model.options["history"]]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("features", ["tfidf", "embedding"])
def test_weight_zero_is_a_row_that_is_not_there(features: str) -> None:
    """Rows of weight 0 change no parameter of the model."""
    rows, truth = texts(120)
    labels = labels_for("multiclass", truth)
    wrong = Labels([CLASSES[(CLASSES.index(row[0]) + 1) % 3] for row in truth], classes=CLASSES)
    both = Labels.concatenate([labels, wrong])
    options = TrainOptions(features=features, epochs=4)
    weight = np.repeat([1.0, 0.0], 120)
    silent = Labels.concatenate([labels, Labels([None] * 120, classes=CLASSES)])
    weighted = fit(rows + rows, both, options, sample_weight=weight)
    unknown_rows = fit(rows + rows, silent, options)
    assert_same(unknown_rows, weighted)


@pytest.mark.parametrize("loss", ["softmax", "ova", "pal-n"])
def test_weight_two_is_the_row_twice(loss: str) -> None:
    """At a small learning rate, weight 2 and a repeated row give the same model, nearly."""
    rows, truth = texts(60)
    labels = labels_for(LOSSES[loss].task, truth)
    options = TrainOptions(loss=loss, epochs=5, lr=0.002, word_ngrams=1, char_ngrams=(0, 0))
    weighted = fit(rows, labels, options, sample_weight=np.full(60, 2.0))
    twice = fit(rows + rows, Labels.concatenate([labels, labels]), options)
    a, b = (model.decision_function(rows) for model in (weighted, twice))
    prior = fit(rows, labels, options, sample_weight=np.full(60, 1e-6)).decision_function(rows)
    assert np.abs(a - b).max() < 0.1 * np.abs(a - prior).max()


@pytest.mark.parametrize("loss", ["softmax", "ova", "pal", "pol"])
def test_class_weight_raises_its_class(loss: str) -> None:
    """A class of weight 5 gets more probability than without weights; names are checked."""
    rows, truth = texts(150)
    labels = labels_for(LOSSES[loss].task, truth)
    options = TrainOptions(loss=loss, epochs=3, lr=0.2)
    plain = fit(rows, labels, options).predict_proba(rows)[:, 1].mean()
    heavy = fit(rows, labels, replace(options, class_weight={"fish": 5.0}))
    assert heavy.options["class_weight"] == {"fish": 5.0}
    if loss != "ova":  # one-vs-all: the same balance of yes and no, approached faster
        assert heavy.predict_proba(rows)[:, 1].mean() > plain + 0.02
    fit(rows, labels, replace(options, class_weight="balanced"))
    with pytest.raises(ValueError, match=r"'fsh'.*did you mean \"fish\""):
        fit(rows, labels, replace(options, class_weight={"fsh": 5.0}))


def test_divergence_is_an_error_with_advice() -> None:
    """A loss that stops being finite ends training with a smaller learning rate to try."""
    rows, truth = texts(60)
    options = TrainOptions(features="embedding", loss="ova", lr=1e9, epochs=3)
    with pytest.raises(TrainingDivergedError, match=r"diverged.*smaller learning rate"):
        fit(rows, labels_for("multilabel", truth), options)


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(epochs=6),
        TrainOptions(epochs=6, optimizer="adagrad", patience=4, validation=0.2),
        TrainOptions(features="embedding", loss="pol", epochs=6),
    ],
    ids=["linear", "early stopping", "embedding"],
)
def test_resuming_equals_never_stopping(options: TrainOptions, tmp_path: Path) -> None:
    """A run killed after epoch 4 and resumed ends in the same bytes; a finished one stays."""
    rows, truth = texts(100)
    labels = labels_for("multilabel", truth)
    whole = fit(rows, labels, options)
    checkpoint = Checkpoint(tmp_path / "m.checkpoint", every=2)

    class Killed(Exception):
        pass

    def kill(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 5:
            raise Killed

    with pytest.raises(Killed):
        fit(rows, labels, options, checkpoint=checkpoint, progress=kill)
    assert checkpoint.exists()
    seen: list[int] = []
    resumed = fit(
        rows,
        labels,
        options,
        checkpoint=checkpoint,
        resume=True,
        progress=lambda facts: seen.append(facts["epoch"]) if "epoch" in facts else None,
    )
    assert seen[0] == 5
    assert_same(whole, resumed)
    seen.clear()
    again = fit(
        rows,
        labels,
        options,
        checkpoint=checkpoint,
        resume=True,
        progress=lambda facts: seen.append(facts["epoch"]) if "epoch" in facts else None,
    )
    assert seen == []
    assert_same(whole, again)


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path) -> None:
    """Other options, other labels or a damaged file: an error that says what to do."""
    rows, truth = texts(40)
    labels = labels_for("multiclass", truth)
    checkpoint = Checkpoint(tmp_path / "m.checkpoint")
    fit(rows, labels, TrainOptions(epochs=2), checkpoint=checkpoint)
    changed = Labels([*list(labels)[:39], None], classes=CLASSES)
    for other, options in (
        (labels, TrainOptions(epochs=3)),
        (changed, TrainOptions(epochs=2)),
    ):
        with pytest.raises(ValueError, match=r"other data or options.*delete the folder"):
            fit(rows, other, options, checkpoint=checkpoint, resume=True)
    checkpoint.file.write_bytes(b"\x08")
    with pytest.raises(ValueError, match=r"no readable checkpoint.*delete the folder"):
        fit(rows, labels, TrainOptions(epochs=2), checkpoint=checkpoint, resume=True)
    with pytest.raises(ValueError, match="every 0 epochs"):
        Checkpoint(tmp_path, every=0)


@pytest.mark.parametrize("features", ["tfidf", "embedding"])
def test_warm_start_goes_on(features: str) -> None:
    """A warm start keeps the features and begins where the model stands."""
    rows, truth = texts(200)
    labels = labels_for("multiclass", truth)
    options = TrainOptions(features=features, epochs=4, lr=0.5)
    first = fit(rows, labels, options)
    second = fit(rows[:50], labels[:50], options, warm_start=first)
    assert second.featurizer is first.featurizer
    assert second.options["history"][0]["loss"] < first.options["history"][0]["loss"]
    other = "embedding" if features == "tfidf" else "tfidf"
    with pytest.raises(ValueError, match=f"features='{other}' came.*has features='{features}'"):
        fit(rows, labels, TrainOptions(features=other), warm_start=first)


def test_resume_without_a_checkpoint_is_refused() -> None:
    """Nobody said where the state is: training anew without a word would be wrong."""
    with pytest.raises(ValueError, match="resume=True came without a checkpoint"):
        fit(["a", "b"], Labels(["x", "y"]), resume=True)


def test_numbers_are_fitted_all_at_once() -> None:
    """A table of numbers goes to the full-batch linear model."""
    random = np.random.default_rng(0)
    X = random.standard_normal((90, 2))
    labels = Labels([CLASSES[int(x > 0)] for x in X[:, 0]], classes=CLASSES[:2])
    model = fit(X, labels)
    assert model.options["features"] == "numeric"
    assert (model.predict_proba(X).argmax(axis=1) == (X[:, 0] > 0)).mean() > 0.95
    with pytest.raises(ValueError, match=r"warm_start \(--continue\) is for texts"):
        fit(X, labels, warm_start=model)


def test_options_are_recorded_as_plain_numbers() -> None:
    """NumPy's numbers are numbers, and the record of the options is plain JSON."""
    options = TrainOptions(l2=np.float32(0.5), epochs=np.int64(3), lr=np.float64(0.25))
    found = options.to_dict()
    assert {"l2": 0.5, "epochs": 3, "lr": 0.25} == {k: found[k] for k in ("l2", "epochs", "lr")}
    assert found == json.loads(json.dumps(found))


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (Labels(["a", "b"]), {"loss": "negated"}, "cannot be trained: it has no minimum"),
        (Labels(["a", "b"]), {"loss": "ova"}, "is for tags"),
        (Labels([tags("a"), tags("b", "a")]), {"loss": "softmax"}, "use 'pol'"),
        (Labels(["a", "a"]), {}, "only one class"),
        (Labels([unknown, None], classes=["a", "b"]), {}, "none of the 2 labels says anything"),
        (Labels(["a"]), {}, "2 inputs came with 1 labels"),
        (Labels(["a", "b"]), {"features": "numeric"}, "came with texts"),
        (Labels(["a", "b"]), {"loss": "sofmax"}, 'did you mean "softmax"'),
        (
            Labels(["a", "b"]),
            {"epochs": 0},
            r"epochs=0 \(--epoch\): expected a whole number from 1 up",
        ),
        (Labels(["a", "b"]), {"char_ngrams": (5, 3)}, r"char_ngrams=\(5, 3\) \(--minn, --maxn\)"),
        (Labels(["a", "b"]), {"char_ngrams": (3, 0)}, r"\(0, 0\) for none"),
        (Labels(["a", "b"]), {"lr": -1.0}, "expected a number above 0"),
        (Labels(["a", "b"]), {"lr": True}, "lr=True: expected a number above 0"),
        (Labels(["a", "b"]), {"l2": True}, "l2=True: expected 0 or a number above"),
        (Labels(["a", "b"]), {"l2": np.float32(-1)}, "expected 0 or a number above"),
        (Labels(["a", "b"]), {"l2": [1.0]}, r"l2=\[1.0\]: expected 0 or a number above"),
        (Labels(["a", "b"]), {"l2": "much"}, "l2='much': expected a number, as the features are"),
        (Labels(["a", "b"]), {"label_smoothing": 1.0}, "expected 0 <= value < 1"),
        (Labels(["a", "b"]), {"validation": 1.5}, "expected a share between 0 and 1"),
        (Labels(["a", "b"]), {"class_weight": "best"}, "expected 'balanced'"),
        (Labels(["a", "b"]), {"dim": 10}, "features='embedding'"),
        (Labels(["a", "b"]), {"features": "embedding", "l2": 0.1}, "l2 is for linear models"),
        (Labels(["a", "b"]), {"l2": "auto"}, "expected a number"),
        (Labels(["a", "b"]), {"optimizer": "adam"}, "unknown optimizer 'adam'"),
    ],
)
def test_refusals_say_what_to_write(labels: Labels, options: dict[str, Any], message: str) -> None:
    """Options and labels that do not go together are refused with a way out."""
    with pytest.raises(ValueError, match=message):
        fit(["red", "blue"], labels, TrainOptions(**options))


@pytest.mark.parametrize("weight", [[1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_bad_sample_weights_are_refused(weight: list[float]) -> None:
    """Weights of a wrong length or sign, or nan, are refused."""
    for inputs in (["red", "blue"], np.eye(2)):
        with pytest.raises(ValueError, match=r"row 1: sample weight|sample_weight of shape"):
            fit(inputs, Labels(["a", "b"]), sample_weight=weight)


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (Labels(["a"], classes=["a", "b"]), "2 validation inputs came with 1 validation labels"),
        (Labels([tags("a"), tags("b")]), "read both with the same task="),
        (Labels(["a", "zebra"]), r"validation labels: .*'zebra'.*same classes="),
        (Labels([None, None], classes=["a", "b"]), "none of the 2 validation labels says anything"),
    ],
)
@pytest.mark.parametrize("inputs", [["red", "blue"], np.eye(2)], ids=["texts", "numbers"])
def test_validation_rows_that_do_not_fit_are_refused(
    inputs: Any, valid: Labels, message: str
) -> None:
    """Texts and numbers refuse the same held-out rows, with the same words."""
    with pytest.raises(ValueError, match=message):
        fit(inputs, Labels(["a", "b"]), valid=(inputs, valid))


@pytest.mark.parametrize("loss", ["pal", "pal-n", "pol", "ova"])
@pytest.mark.parametrize("features", ["tfidf", "numeric"])
def test_rows_that_teach_nothing_are_counted(features: str, loss: str) -> None:
    """Losses over the tags that apply learn nothing from other rows, and say so."""
    made = [tags("a"), not_("a"), tags(), tags("b", rest="unknown"), unknown]
    labels = Labels(made, classes=["a", "b"], task="multilabel")
    inputs: Any = np.eye(5) if features == "numeric" else ["red", "blue", "green", "grey", "pink"]
    told: list[dict[str, Any]] = []
    options = TrainOptions(features=features, loss=loss, epochs=1)
    fit(inputs, labels, options, progress=told.append)
    notes = [facts["message"] for facts in told if "teach nothing" in facts.get("message", "")]
    assert (0 if loss == "ova" else 1) == len(notes)
    assert all(note.startswith("2 of 5 rows") and repr(loss) in note for note in notes)


def test_progress_is_told() -> None:
    """Each epoch reports its number and its mean loss, which falls."""
    rows, truth = texts(100)
    told: list[dict[str, Any]] = []
    fit(rows, labels_for("multiclass", truth), TrainOptions(epochs=4), progress=told.append)
    epochs = [facts for facts in told if facts["event"] == "epoch"]
    assert [facts["epoch"] for facts in epochs] == [1, 2, 3, 4]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_too_many_weights_fall_back_to_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model that would not fit is not begun: embeddings instead, and it is said."""
    monkeypatch.setattr("eitheror.training.fitting.MAX_WEIGHTS", 100)
    rows, truth = texts(60)
    labels = labels_for("multilabel", truth)
    told: list[dict[str, Any]] = []
    model = fit(rows, labels, TrainOptions(epochs=2), progress=told.append)
    assert model.options["features"] == "embedding"
    assert "too many for a linear model" in told[0]["message"]
    with pytest.raises(ValueError, match=r"needs \d+ GB; use features='embedding'"):
        fit(rows, labels, TrainOptions(features="tfidf"))


MANY = [f"c{k}" for k in range(200)]


def group_losses(model: Model, rows: list[str], labels: Labels) -> np.ndarray:
    """One-vs-all losses of rows that name whole tag sets or say "at least one of"."""
    losses = []
    for row, label in enumerate(labels):
        logits = model.decision_function([rows[row]]).astype(np.float64)
        if label.kind == "either":
            mask = np.array([[name in label.named for name in labels.classes]])
            losses.append(at_least_one(logits, mask)[0])
        else:
            losses.append(LOSSES["ova"].value(logits, labels[row : row + 1].to_targets())[0])
    return np.array(losses)


def test_held_out_groups_over_many_classes_are_scored_right() -> None:
    """Groups in `valid` alone reach over all of 200 classes, and have the reference's loss."""
    rows = [f"w{k}" for k in range(40)]
    labels = Labels([tags(f"c{5 * k}") for k in range(40)], classes=MANY)
    either_of = [either(f"c{k}", f"c{199 - k}", "c100") for k in range(20)]
    groups = Labels(either_of, classes=MANY, task="multilabel")
    model = fit(rows, labels, TrainOptions(epochs=2), valid=(rows[:20], groups))
    expected = float(group_losses(model, rows[:20], groups).mean())
    assert expected == pytest.approx(model.options["history"][-1]["valid_loss"], rel=1e-4)
    with pytest.raises(ValueError, match=r"validation row 0: .*'at least one of'"):
        fit(rows, labels, TrainOptions(loss="pal-n"), valid=(rows[:20], groups))


def test_groups_held_out_by_patience_are_scored_right() -> None:
    """Where patience holds out the only group of 200 classes, its loss is the reference's."""
    rows = ["red", "blue", "grey"]
    made = [tags("c0"), tags("c150"), either("c3", "c120", "c199")]
    labels = Labels(made, classes=MANY, task="multilabel")
    found = []
    for seed in range(8):
        options = TrainOptions(epochs=1, patience=1, validation=0.34, seed=seed)
        model = fit(rows, labels, options)
        actual = model.options["history"][0]["valid_loss"]
        near = np.isclose(group_losses(model, rows, labels), actual, rtol=1e-4)
        assert near.any()
        found.append(int(near.argmax()))
    assert 2 in found


def test_validation_classes_may_stand_in_another_order() -> None:
    """The held-out loss does not depend on the order of the validation labels' classes."""
    rows, truth = texts(60)
    labels, options = labels_for("multiclass", truth), TrainOptions(epochs=2)
    turned = Labels(list(labels), classes=CLASSES[::-1])
    one, two = (fit(rows, labels, options, valid=(rows, held)) for held in (labels, turned))
    assert one.options["history"] == two.options["history"]


def test_all_weights_zero_is_refused() -> None:
    """Rows that all weigh nothing teach nothing, and that is said."""
    with pytest.raises(ValueError, match="label of positive weight"):
        fit(["red", "blue"], Labels(["a", "b"]), sample_weight=[0.0, 0.0])


@pytest.mark.parametrize("l2", [-1.0, float("nan"), float("inf")])
def test_a_penalty_below_zero_is_refused(l2):
    """A negative penalty would reward large weights."""
    with pytest.raises(ValueError, match=r"l2=.*: expected 0 or a number above"):
        TrainOptions(l2=l2)
