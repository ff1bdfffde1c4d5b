"""Estimators inside scikit-learn's own tools: labels arrive whole, or are refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from eitheror.decide import Reject, Threshold
from eitheror.labels import Labels, either, exact, not_, soft, tags, votes
from eitheror.model import load
from eitheror.sklearn import (
    LabelsKFold,
    LinearClassifier,
    TextClassifier,
    as_labels,
    out_of_fold_proba,
)

QUICK = {"epochs": 3, "bucket": 1000}
WORDS = {"fruit": "apple pear plum fig", "sky": "cloud star moon sun", "sea": "wave tide salt fish"}


def table(n=90, seed=0):
    """Three clouds with mixed statements: features, labels, truth."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + 3.0 * np.eye(4)[y]
    forms = [exact, lambda k: either(k, (k + 1) % 3), lambda k: not_((k + 2) % 3)]
    rows = [forms[row // 3 % 3](k) for row, k in enumerate(y.tolist())]
    return X, Labels(rows, classes=[0, 1, 2]), y


def texts(n=60, seed=0):
    """Short texts of three topics with mixed statements."""
    rng = np.random.default_rng(seed)
    names = list(WORDS)
    rows, labels = [], []
    for i in range(n):
        name = names[i % 3]
        rows.append(" ".join(rng.choice(WORDS[name].split(), 4)))
        labels.append(
            [name, either(name, names[(i + 1) % 3]), not_(names[(i + 2) % 3])][i // 3 % 3]
        )
    return rows, Labels(labels, classes=sorted(names))


def tag_table(n=80):
    """Two clouds of numbers with three tags."""
    X = np.random.default_rng(0).normal(size=(n, 3))
    return X, X > [0.0, 0.3, -0.3]


@parametrize_with_checks([LinearClassifier(), LinearClassifier(l2=1e-3)])
def test_scikit_learn_checks(estimator, check):
    """Every check of scikit-learn passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types",
        "check_estimator_repr", "check_no_attributes_set_in_init", "check_mixin_order",
        "check_parameters_default_constructible", "check_get_params_invariance",
        "check_set_params", "check_do_not_raise_errors_in_init_or_set_params",
    ],
)  # fmt: skip
def test_scikit_learn_checks_for_texts(check):
    """The checks that bring no table of numbers pass for the text classifier."""
    getattr(estimator_checks, check)("TextClassifier", TextClassifier())


@pytest.mark.parametrize("estimator", [LinearClassifier(l2=0.1), TextClassifier(**QUICK)])
def test_clone_keeps_parameters(estimator):
    """A clone has the same parameters and no model."""
    copy = clone(estimator)
    assert estimator.get_params() == copy.get_params()
    assert not hasattr(copy, "model_")


def test_statements_beat_nothing():
    """Mixed statements train a model that is right on nearly all rows."""
    X, labels, y = table()
    model = LinearClassifier(l2=0.01).fit(X, labels)
    assert (model.predict(X) == y).mean() > 0.9
    assert [0, 1, 2] == model.classes_.tolist()


def test_text_classifier_learns_and_names_classes():
    """predict gives class names, predict_proba rows that add to 1."""
    rows, labels = texts()
    model = TextClassifier(random_state=0).fit(rows, labels)
    assert ["fruit", "sea"] == model.predict(["apple pear", "tide wave salt"]).tolist()
    np.testing.assert_allclose(model.predict_proba(rows).sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("container", [list, np.array, lambda r: pd.Series(r, index=range(7, 67))])
def test_texts_in_any_container(container):
    """Lists, arrays and Series of texts are the same."""
    rows, labels = texts()
    expected = TextClassifier(**QUICK).fit(rows, labels).predict_proba(rows)
    actual = TextClassifier(**QUICK).fit(container(rows), labels).predict_proba(container(rows))
    assert expected.tobytes() == actual.tobytes()


@pytest.mark.parametrize("X", ["one text", [1, 2], [["a", "b"], ["c", "d"]], [None]])
def test_what_is_no_text_is_refused(X):
    """X of a text classifier is a list of strings, else the row is named."""
    with pytest.raises(ValueError, match="expected a list of texts"):
        TextClassifier().fit(X, ["a"] * len(X))


# --- y --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "kinds"),
    [
        (["a", "b"], {"exact": 2}),
        (np.array(["a", "b"], dtype=object), {"exact": 2}),
        (pd.Series(["a", "b"], index=[5, 9]), {"exact": 2}),
        (pd.Categorical(["a", "b"]), {"exact": 2}),
        ([1, 2], {"exact": 2}),
        ([either("a", "b"), "a"], {"exact": 1, "either": 1}),
        (np.array([not_("a"), None], dtype=object), {"unknown": 1, "not": 1}),
        (pd.Series([exact("a"), soft({"a": 0.5, "b": 0.5})]), {"exact": 1, "soft": 1}),
        (np.array([[True, False], [True, True]]), {"tags": 2}),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), {"tags": 2}),
        (sp.csr_matrix([[1, 0], [1, 1]]), {"tags": 2}),
    ],
)
def test_forms_of_y(y, kinds):
    """Every usual form of y becomes the labels it means."""
    assert kinds == as_labels(y).kind_counts()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([{"a", "b"}, "a"], "either.*tags"),
        (np.array([[0.5, 0.5], [1.0, 0.0]]), "shares or as tag probabilities"),
        (np.array([[1, 2], [0, 1]]), "ranks that scikit-learn's cross_val_predict"),
        (np.array([[1, 0], [1, 0]]), "column 1 of y is 0 in every row"),
        (np.array([["a", "b"], ["c", "d"]]), "from_indicator"),
        ([0.5, 1.5, 2.25], "continuous"),
        ([1.0, np.nan], "NaN"),
        (None, "y cannot be None|requires y|target y is None"),
    ],
)
def test_forms_of_y_that_are_refused(y, message):
    """What can be read in two ways, or was re-encoded, is refused with what to write."""
    with pytest.raises((ValueError, TypeError), match=message):
        as_labels(y)


def test_numbers_that_are_no_classes_are_refused():
    """Codes in place of the class names that were given are refused."""
    with pytest.raises(ValueError, match="not in classes"):
        LinearClassifier(classes=["a", "b"]).fit(np.eye(2), [0, 1])


@pytest.mark.parametrize("method", ["predict_proba", "predict"])
def test_cross_val_predict_never_corrupts_statements(method):
    """cross_val_predict either hands labels over whole or fails loudly."""
    X, labels, y = table()
    if method == "predict":
        found = cross_val_predict(LinearClassifier(l2=0.01), X, labels, method=method)
        assert (found == y).mean() > 0.9
    else:
        with pytest.raises(TypeError, match="uniformly strings or numbers"):
            cross_val_predict(LinearClassifier(l2=0.01), X, labels, method=method)


def test_cross_val_predict_never_corrupts_tags():
    """A column of ones that cross_val_predict turned to zeros is refused, not learnt."""
    X, Y = tag_table()
    Y[:, 1] = True
    with pytest.raises(ValueError, match="out_of_fold_proba"):
        cross_val_predict(LinearClassifier(l2=0.01), X, Y, method="predict_proba")


def test_unequal_lengths_are_refused():
    """As many labels as rows, or an error with both numbers."""
    with pytest.raises(ValueError, match="3 rows of X, 2 labels"):
        LinearClassifier().fit(np.eye(3), Labels(["a", "b"]))


def test_class_names_keep_the_dtype_of_y():
    """Plain y comes back in its own dtype, as from any scikit-learn classifier."""
    for y in (np.array([0.0, 1.0] * 10), np.array([True, False] * 10), np.array(["b", "a"] * 10)):
        model = LinearClassifier(l2=0.1).fit(np.arange(20.0)[:, None], y)
        assert y.dtype == model.predict([[0.0]]).dtype


# --- tags -----------------------------------------------------------------------------------


def test_tags_come_back_as_a_bool_matrix():
    """Several tags are decided as a bool matrix, in the classes' order."""
    X, Y = tag_table()
    labels = Labels([tags(*np.array(["x", "y", "z"])[row].tolist()) for row in Y])
    model = LinearClassifier(l2=1e-3).fit(X, labels)
    decided = model.predict(X)
    assert bool == decided.dtype
    assert (decided == Y).mean() > 0.9
    assert (80, 3) == model.decision_function(X).shape


def test_matrix_of_whole_numbers_comes_back_as_such():
    """A 0/1 matrix is answered by a 0/1 matrix of its dtype."""
    X, Y = tag_table()
    assert np.int64 == LinearClassifier(l2=1e-3).fit(X, Y.astype(np.int64)).predict(X).dtype


def test_stored_decision_rule_decides():
    """A rule that was stored in the model is what predict uses."""
    X, Y = tag_table()
    model = LinearClassifier(l2=1e-3).fit(X, Y)
    model.model_.set_decision(Threshold(0.999))
    assert model.predict(X).sum() < Y.sum() / 2


# --- score ----------------------------------------------------------------------------------


def test_score_is_accuracy_on_exact_labels():
    """With exact labels the score is the share of right answers; weights count."""
    X, labels, y = table()
    model = LinearClassifier(l2=0.01).fit(X, labels)
    right = model.predict(X) == y
    assert right.mean() == model.score(X, y)
    weight = np.arange(len(y))
    assert np.average(right, weights=weight) == pytest.approx(model.score(X, y, weight))


@pytest.mark.parametrize(
    ("label", "agrees"),
    [
        ("a", True), ("b", False), (either("a", "b"), True), (either("b", "c"), False),
        (not_("a"), False), (not_("b"), True), (None, True), (not_("a", trust=0.9), True),
        (soft({"b": 0.5, "c": 0.5}), False), (votes({"a": 1, "b": 5}), True), ("new", False),
    ],
)  # fmt: skip
def test_score_of_one_statement(label, agrees):
    """The prediction "a" scores unless the statement rules it out."""
    X = np.array([[0.0], [1.0], [2.0]])
    model = LinearClassifier(l2=0.01).fit(X, ["a", "b", "c"])
    assert float(agrees) == model.score(X[:1], Labels([label]))


@pytest.mark.parametrize(
    ("label", "agrees"),
    [
        (tags("a", "b"), True), (tags("a"), False), (tags("a", rest="unknown"), True),
        (not_("c"), True), (not_("b"), False), (either("b", "c"), True), (either("c", "d"), False),
        (soft({"a": 0.2, "b": 0.9}), True), (tags("a", "new"), False),
    ],
)  # fmt: skip
def test_score_of_tags(label, agrees):
    """The decision {a, b} scores unless a known tag differs or a group is missed."""
    model = LinearClassifier(l2=1e-3).fit(
        np.array([[0.0], [9.0]] * 5), Labels([tags("a", "b"), tags("c", "d")] * 5)
    )
    classes = [*"abcd", "new"] if "new" in label.named else list("abcd")
    labels = Labels([label], classes=classes, task="multilabel")
    assert float(agrees) == model.score([[0.0]], labels)


# --- scikit-learn's tools -------------------------------------------------------------------


def test_grid_search_over_a_pipeline():
    """Labels pass whole through Pipeline and GridSearchCV with the stratified splitter."""
    X, labels, _ = table()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LinearClassifier()),
        {"linearclassifier__l2": [0.01, 10.0]},
        cv=LabelsKFold(3),
    ).fit(X, labels)
    assert 0.01 == search.best_params_["linearclassifier__l2"]
    assert search.best_score_ > 0.9


def test_cross_val_score_and_train_test_split_of_texts():
    """Texts and labels go through the usual functions."""
    rows, labels = texts()
    train, test, labels_train, labels_test = train_test_split(
        rows, labels, stratify=labels.strata(), random_state=0
    )
    model = TextClassifier().fit(train, labels_train)
    assert model.score(test, labels_test) > 0.9
    assert cross_val_score(TextClassifier(), rows, labels, cv=3).mean() > 0.9


def test_text_pipeline():
    """A text classifier ends a pipeline of text transformers."""
    rows, labels = texts()
    lower = FunctionTransformer(lambda texts: [t.upper() for t in texts])
    assert make_pipeline(lower, TextClassifier()).fit(rows, labels).score(rows, labels) > 0.9


def test_splitter_gives_every_row_once():
    """The test parts of LabelsKFold are a partition, another seed gives another one."""
    _, labels, _ = table()
    parts = [test for _, test in LabelsKFold(4).split(labels, labels)]
    assert list(range(90)) == sorted(np.concatenate(parts).tolist())
    other = [test for _, test in LabelsKFold(4, random_state=1).split(labels, labels)]
    assert any(a.tolist() != b.tolist() for a, b in zip(parts, other, strict=True))


@pytest.mark.parametrize("as_frame", [False, True])
def test_out_of_fold_proba(as_frame):
    """Every row has a probability in the labels' order from a model that did not see it."""
    X, labels, y = table()
    features = pd.DataFrame(X, columns=list("abcd"), index=range(100, 190)) if as_frame else X
    proba = out_of_fold_proba(LinearClassifier(l2=0.01), features, labels, cv=3)
    assert (90, 3) == proba.shape
    assert (proba.argmax(axis=1) == y).mean() > 0.9
    train, test = next(iter(LabelsKFold(3).split(X, labels)))
    expected = LinearClassifier(l2=0.01).fit(X[train], labels[train]).predict_proba(X[test])
    np.testing.assert_array_equal(expected, proba[test])


def test_out_of_fold_proba_of_texts_tags_and_others():
    """Texts in a list, tags, pipelines and foreign estimators work too."""
    rows, labels = texts()
    assert (60, 3) == out_of_fold_proba(TextClassifier(**QUICK), rows, labels, cv=2).shape
    X, Y = tag_table()
    weight = np.ones(80)
    pipeline = make_pipeline(StandardScaler(), LinearClassifier(l2=0.01))
    assert (80, 3) == out_of_fold_proba(pipeline, X, Y, cv=3, sample_weight=weight).shape


def test_out_of_fold_proba_tells_a_re_encoded_target():
    """An estimator whose classes are not those of the labels is refused."""

    class Recoding(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X, np.arange(len(X)) % 2)

    X, _, _ = table()
    with pytest.raises(ValueError, match="re-encoded"):
        out_of_fold_proba(Recoding(), X, Labels(["a", "b", "c"] * 30), cv=2)


def test_out_of_fold_proba_wants_every_row_once():
    """Test parts that miss a row are refused by its number."""
    X, labels, _ = table()
    with pytest.raises(ValueError, match="row 2 0 times"):
        out_of_fold_proba(
            LinearClassifier(l2=0.1), X, labels, cv=[(np.arange(30, 90), np.array([0, 1]))]
        )


# --- partial_fit, persistence, determinism --------------------------------------------------


def test_partial_fit_of_numbers_gets_near_fit():
    """Batches seen once give nearly the model of all rows."""
    X, labels, y = table(n=600)
    model = LinearClassifier(l2=0.01)
    for start in range(0, 600, 60):
        model.partial_fit(X[start : start + 60], labels[start : start + 60])
    assert (model.predict(X) == y).mean() > (
        LinearClassifier(l2=0.01).fit(X, labels).predict(X) == y
    ).mean() - 0.03


def test_partial_fit_goes_on_from_fit():
    """After fit, new rows move the model and keep its classes."""
    X, labels, y = table()
    model = LinearClassifier(l2=0.01).fit(X, labels)
    before = model.predict_proba(X)
    model.partial_fit(X[:30], labels[:30])
    assert not np.array_equal(before, model.predict_proba(X))
    assert (model.predict(X) == y).mean() > 0.9


def test_partial_fit_of_texts():
    """A first call fixes the classes, later calls go on from its weights."""
    rows, labels = texts()
    model = TextClassifier().partial_fit(rows[:30], labels[:30])
    model.partial_fit(rows[30:], labels[30:])
    assert model.score(rows, labels) > 0.9


@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_save_and_load_give_the_same_answers(tmp_path, kind):
    """A saved model predicts the same, as an estimator and as a plain model."""
    if kind == "numbers":
        X, labels, _ = table()
        model = LinearClassifier(l2=0.05).fit(X, labels)
    else:
        X, labels = texts()
        model = TextClassifier(word_ngrams=2).fit(X, labels)
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), again.predict_proba(X))
    name, value = ("l2", 0.05) if kind == "numbers" else ("word_ngrams", 2)
    assert value == again.get_params()[name]


def test_weights_of_numbered_classes_survive_saving(tmp_path):
    """A loaded estimator has its `class_weight` under the class names and can be fitted again."""
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [1, 1, 2, 2]
    model = LinearClassifier(l2=0.1, class_weight={1: 3.0}).fit(X, y)
    model.save(tmp_path / "model")
    again = LinearClassifier.load(tmp_path / "model")
    assert {1: 3.0} == again.get_params()["class_weight"]
    np.testing.assert_array_equal(model.predict_proba(X), again.fit(X, y).predict_proba(X))


def test_load_refuses_the_other_kind(tmp_path):
    """A model of numbers is not read into a text classifier."""
    X, labels, _ = table()
    LinearClassifier(l2=0.1).fit(X, labels).save(tmp_path / "model")
    with pytest.raises(ValueError, match="model of numbers, which TextClassifier does not read"):
        TextClassifier.load(tmp_path / "model")


def test_feature_names_travel_with_the_model(tmp_path):
    """Column names of a table are kept, checked, and saved."""
    X, labels, _ = table()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = LinearClassifier(l2=0.1).fit(frame, labels)
    model.save(tmp_path / "model")
    again = LinearClassifier.load(tmp_path / "model")
    assert list("abcd") == again.feature_names_in_.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame[list("dcba")])


def test_same_seed_same_bytes_on_any_number_of_threads():
    """n_jobs changes the time only."""
    rows, labels = texts()
    first = TextClassifier(random_state=3, n_jobs=1).fit(rows, labels).predict_proba(rows)
    second = TextClassifier(random_state=3, n_jobs=2).fit(rows, labels).predict_proba(rows)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("state", [None, np.random.RandomState(0), np.random.default_rng(0)])
def test_random_state_may_be_a_generator(state):
    """None, a RandomState and a Generator are taken as scikit-learn takes them."""
    X, labels, _ = table()
    assert LinearClassifier(l2=0.1, random_state=state).fit(X, labels).score(X, labels) > 0.9


@pytest.mark.parametrize("gap", [float("nan"), np.nan])
def test_gaps_among_names_are_refused_with_their_readings(gap):
    """nan among class names is no class, in a list and in an object array."""
    for y in (["a", gap, "b"], np.array(["a", gap, "b"], dtype=object)):
        with pytest.raises(ValueError, match=r"row 1: nan can be read two ways"):
            as_labels(y)


def test_minus_one_is_only_the_second_of_two_classes():
    """-1 beside 1 is scikit-learn's coding; beside other classes it is refused or named."""
    assert [-1, 1] == as_labels([-1, 1, 1]).classes
    with pytest.raises(ValueError, match=r"row 0: -1 can be read two ways"):
        as_labels([-1, 0, 1])
    assert [-1, 0, 1] == as_labels([-1, 0, 1], classes=[-1, 0, 1]).classes


def test_a_row_without_a_decision_is_named_none_and_never_right():
    """A model whose rule may decline predicts None there and scores it as wrong."""
    X = np.array([[0.0], [0.1], [0.9], [1.0]] * 10)
    y = ["a", "a", "b", "b"] * 10
    model = LinearClassifier(l2=1.0).fit(X, y)
    model.model_.set_decision(Reject(0.0))
    assert [None] * 4 == model.predict(X[:4]).tolist()
    assert 0.0 == model.score(X, y)
