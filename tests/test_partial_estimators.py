"""Any classifier on statements: the laws of its EM, what it equals, what it refuses."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from eitheror.labels import Labels, either, evidence, exact, not_, soft, tags, votes
from eitheror.sklearn import (
    LabelsKFold,
    MultilabelPartialClassifier,
    PartialLabelClassifier,
    TextClassifier,
)
from eitheror.sklearn._multilabel import _Tied
from eitheror.sklearn._statements import Statements, candidate_rows, fit_pool, pool

LOGISTIC = LogisticRegression(C=1e6, max_iter=2000)
NAMES = np.array(["ant", "bee", "cat", "dog"])


def clouds(n=200, k=4, spread=1.0, seed=0):
    """Clouds of numbers around the corners of a cube: features and true classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    return 2.5 * np.eye(k)[y] + spread * rng.normal(size=(n, k)), y


def sets_of(y, k=4, seed=0, size=2):
    """Candidate sets that hold the truth and `size - 1` others, drawn evenly."""
    rng = np.random.default_rng(seed + 1)
    mask = np.zeros((len(y), k), dtype=bool)
    for row, truth in enumerate(y):
        mask[row, rng.choice(np.delete(np.arange(k), truth), size - 1, replace=False)] = True
        mask[row, truth] = True
    return mask


def mixed(y, k=4):
    """A statement of each kind in turn, every one true."""
    forms = [
        lambda c, d: exact(c),
        lambda c, d: either(c, d),
        lambda c, d: not_(d),
        lambda c, d: evidence({c: 1.0, d: 0.4}, rest=0.1),
        lambda c, d: soft({c: 0.8, d: 0.2}),
        lambda c, d: votes({c: 3, d: 1}),
        lambda c, d: not_(d, trust=0.9),
        lambda c, d: exact(c, trust=0.9),
    ]
    rows = [forms[i % len(forms)](int(c), int(c + 1) % k) for i, c in enumerate(y)]
    return Labels(rows, classes=list(range(k)))


@parametrize_with_checks(
    [PartialLabelClassifier(LogisticRegression()), PartialLabelClassifier(GaussianNB())]
)
def test_scikit_learn_checks(estimator, check):
    """Every check of scikit-learn passes around an estimator that passes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


# --- the numbers --------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_candidate_rows_keep_the_likeliest(seed, most):
    """Each row keeps at most so many classes, the likeliest ones, and weights that add to 1."""
    posterior = np.random.default_rng(seed).dirichlet(np.full(5, 0.5), size=7)
    rows, classes, weights = candidate_rows(posterior, most)
    np.testing.assert_allclose(np.bincount(rows, weights), np.ones(7))
    assert np.bincount(rows).max() <= most
    for row in range(7):
        left_out = np.delete(posterior[row], classes[rows == row])
        assert left_out.max(initial=0.0) <= posterior[row, classes[rows == row]].min() + 1e-6


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_fitted_pool_is_no_worse_than_its_start_or_its_members(seed):
    """The fitted exponents make the statements at least as likely as each member alone does."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((30, 3)) < 0.6) | np.eye(3, dtype=bool)[rng.integers(3, size=30)]
    statements = Statements(mask.astype(float), np.zeros(30, dtype=bool))
    probas = [rng.dirichlet(np.ones(3), size=30) for _ in range(2)]
    weight = rng.random(30) + 0.1
    exponents, both = fit_pool(probas, statements, weight)
    found = np.average(statements.log_likelihood(pool(probas, exponents)), weights=weight)
    assert found == pytest.approx(both)
    for proba in probas:
        assert both >= fit_pool([proba], statements, weight)[1] - 1e-3


def test_posterior_is_bayes_rule():
    """q_k = w_k p_k / sum w p; shares stay as they are; a model that says 0 changes nothing."""
    labels = Labels([either("a", "b"), soft({"a": 0.3, "c": 0.7}), either("a", "b")])
    proba = np.array([[0.2, 0.6, 0.2], [0.2, 0.6, 0.2], [0.0, 0.0, 1.0]])
    expected = [[0.25, 0.75, 0.0], [0.3, 0.0, 0.7], [0.5, 0.5, 0.0]]
    np.testing.assert_allclose(expected, Statements.of(labels).posterior(proba), atol=1e-7)


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_classical_em_never_lowers_the_likelihood(seed):
    """With the E-step on the rows themselves, logistic regression climbs at every round."""
    X, y = clouds(150, seed=seed)
    model = PartialLabelClassifier(LOGISTIC, cv=None, start="prior", tol=-1.0, max_candidates=None)
    found = model.fit(X, Labels.from_candidates(sets_of(y, seed=seed))).log_likelihood_
    assert 10 == len(found)
    assert (np.diff(found) > -1e-5).all()
    assert found[-1] > found[0] + 0.05


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(10, random_state=3),
        HistGradientBoostingClassifier(max_iter=5),
    ],
)
def test_exact_labels_give_the_plain_estimator(estimator):
    """With exact labels the probabilities are those of the estimator itself, bit for bit."""
    X, y = clouds(120)
    expected = estimator.fit(X, NAMES[y]).predict_proba(X)
    model = PartialLabelClassifier(estimator).fit(X, Labels(NAMES[y].tolist()))
    assert expected.tobytes() == model.predict_proba(X).tobytes()
    assert NAMES.tolist() == model.classes_.tolist()
    assert 1 == model.n_iter_


def test_unknown_rows_change_nothing():
    """A row that says nothing, or weighs nothing, is as good as absent."""
    X, y = clouds(90)
    labels = mixed(y)
    expected = PartialLabelClassifier(GaussianNB()).fit(X, labels).predict_proba(X)
    padded = Labels.concatenate([Labels([None] * 5, classes=labels.classes), labels, labels[:7]])
    more = np.vstack([X[:5] + 9, X, X[:7] - 9])
    weight = np.r_[np.ones(95), np.zeros(7)]
    model = PartialLabelClassifier(GaussianNB()).fit(more, padded, sample_weight=weight)
    np.testing.assert_allclose(expected, model.predict_proba(X), rtol=1e-12)


def test_weight_two_is_the_row_twice():
    """Repeated rows share a fold, so that a weight of 2 and a repeated row are the same."""
    X, y = clouds(60)
    labels = Labels.from_candidates(sets_of(y))
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.r_[np.arange(60), np.arange(20)]
    once = PartialLabelClassifier(GaussianNB()).fit(X, labels, sample_weight=weight)
    repeated = PartialLabelClassifier(GaussianNB()).fit(X[twice], labels[twice])
    np.testing.assert_allclose(once.predict_proba(X), repeated.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize(
    "estimator", [GaussianNB(), LOGISTIC, ExtraTreesClassifier(20), RandomForestClassifier(20)]
)
def test_statements_of_every_kind_are_learnt(estimator):
    """Rows of all kinds together train a model that is right on nearly all new rows."""
    X, y = clouds(240, spread=0.7)
    model = PartialLabelClassifier(estimator).fit(X[:160], mixed(y[:160]))
    assert (model.predict(X[160:]) == y[160:]).mean() > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_shares_are_fixed_fractional_rows():
    """Soft labels need no EM: each row enters once per class, weighted by its share."""
    X, _ = clouds(50)
    P = np.random.default_rng(1).dirichlet(np.ones(3), size=50).astype(np.float32)
    P /= P.sum(axis=1, keepdims=True)
    model = PartialLabelClassifier(LogisticRegression()).fit(X, Labels.from_proba(P))
    plain = LogisticRegression().fit(
        np.repeat(X, 3, axis=0), np.tile([0, 1, 2], 50), sample_weight=P.ravel()
    )
    np.testing.assert_allclose(plain.predict_proba(X), model.predict_proba(X), atol=1e-4)


def test_sets_beat_the_uniform_target():
    """Where sets are drawn evenly, EM on trees is right more often than even shares are."""
    X, y = clouds(400, k=6, spread=0.8)
    mask = sets_of(y, k=6, size=4)[:300]
    forest = RandomForestClassifier(30, min_samples_leaf=2)
    sets = PartialLabelClassifier(forest).fit(X[:300], Labels.from_candidates(mask))
    even = PartialLabelClassifier(forest).fit(X[:300], Labels.from_proba(mask / 4.0))
    right = [(model.predict(X[300:]) == y[300:]).mean() for model in (sets, even)]
    assert right[0] > right[1] + 0.02


def test_rejections_recover_the_classes():
    """One class ruled out per row is enough to find all four."""
    X, y = clouds(500, spread=0.6)
    wrong = (y + np.random.default_rng(5).integers(1, 4, size=500)) % 4
    labels = Labels([not_(int(c)) for c in wrong[:400]], classes=[0, 1, 2, 3])
    model = PartialLabelClassifier(GaussianNB()).fit(X[:400], labels)
    assert (model.predict(X[400:]) == y[400:]).mean() > 0.9


def test_the_round_with_the_likeliest_statements_is_kept():
    """EM stops after a round that is no better, and says how likely each was."""
    X, y = clouds(120)
    model = PartialLabelClassifier(RandomForestClassifier(10), start="prior")
    found = model.fit(X, Labels.from_candidates(sets_of(y))).log_likelihood_
    assert len(found) == model.n_iter_ <= 10
    assert found[-1] <= max(found) + 1e-4


# --- surroundings -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_same_seed_gives_the_same_model(n_jobs):
    """The estimator's open random_state is set too, whatever the number of workers."""
    X, y = clouds(80)
    labels = Labels.from_candidates(sets_of(y))
    make = [PartialLabelClassifier(RandomForestClassifier(5), n_jobs=j) for j in (None, n_jobs)]
    with parallel_config("threading"):
        expected, actual = (model.fit(X, labels).predict_proba(X) for model in make)
    assert expected.tobytes() == actual.tobytes()


def test_a_class_that_one_fold_lacks():
    """A class of two rows has its column in every fold."""
    X, y = clouds(60, k=3)
    rows = [either(int(c), int(c + 1) % 3) for c in y] + [either(2, 3), 3]
    model = PartialLabelClassifier(GaussianNB()).fit(
        np.vstack([X, [[20.0] * 3, [21.0] * 3]]), Labels(rows, classes=[0, 1, 2, 3, 4])
    )
    assert (62, 5) == model.predict_proba(np.vstack([X, X[:2]])).shape
    assert 0.0 == model.predict_proba(X)[:, 4].max()
    assert [3] == model.predict([[20.5] * 3]).tolist()


def test_one_class_left_is_a_constant():
    """Where only one class is ever possible, its probability is 1 and nothing is fitted."""
    X, _ = clouds(10)
    model = PartialLabelClassifier(GaussianNB()).fit(X, Labels(["a"] * 10, classes=["a", "b"]))
    assert [1.0, 0.0] == model.predict_proba(X[:1])[0].tolist()
    assert model.estimator_ is None


@pytest.mark.parametrize(
    ("module", "name", "options"),
    [
        ("lightgbm", "LGBMClassifier", {"n_estimators": 10, "verbose": -1, "n_jobs": 1}),
        ("xgboost", "XGBClassifier", {"n_estimators": 10, "n_jobs": 1}),
    ],
)
def test_other_boosters(module, name, options):
    """LightGBM and XGBoost learn from statements, with class names and rare classes."""
    package = pytest.importorskip(module, reason=f"{module} is not installed")
    X, y = clouds(150, spread=0.5)
    rows = [either(*NAMES[m]) for m in sets_of(y)] + ["eel"]
    labels = Labels(rows)
    X = np.vstack([X, [[9.0] * 4]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PartialLabelClassifier(getattr(package, name)(**options)).fit(X, labels)
        assert (model.predict(X[:150]) == NAMES[y]).mean() > 0.9
    assert [*NAMES, "eel"] == model.classes_.tolist()


def test_data_frames_and_sparse_rows():
    """Column names are kept and checked; sparse rows are learnt too."""
    X, y = clouds(80)
    labels = Labels.from_candidates(sets_of(y))
    frame = pd.DataFrame(X, columns=list("wxyz"), index=range(100, 180))
    model = PartialLabelClassifier(LogisticRegression()).fit(frame, labels)
    assert list("wxyz") == model.feature_names_in_.tolist()
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("wxyv"[:3])].assign(v=1.0))
    plain = PartialLabelClassifier(LogisticRegression()).fit(X, labels)
    np.testing.assert_allclose(plain.predict_proba(X), model.predict_proba(frame))
    sparse = sp.csr_matrix(X)
    assert PartialLabelClassifier(LogisticRegression()).fit(sparse, labels).score(sparse, y) > 0.9


def test_gaps_are_the_estimators_business():
    """A model that reads nan gets it; the linear start fills gaps for itself."""
    X, y = clouds(100, spread=0.5)
    X[::7, 1] = np.nan
    model = PartialLabelClassifier(HistGradientBoostingClassifier(max_iter=10))
    model.fit(X, Labels.from_candidates(sets_of(y)))
    assert (model.predict(X) == y).mean() > 0.85
    with pytest.raises(ValueError, match="NaN"):
        PartialLabelClassifier(LogisticRegression()).fit(X, Labels.from_candidates(sets_of(y)))


def test_texts_through_a_pipeline():
    """A pipeline gets weighted texts; the start may be any estimator that knows statements."""
    words = {"fruit": "apple pear plum fig", "sky": "cloud star moon sun"}
    rng = np.random.default_rng(0)
    names = ["fruit", "sky"] * 30
    texts = [" ".join(rng.choice(words[name].split(), 3)) for name in names]
    rows = [name if i % 3 else either("fruit", "sky") for i, name in enumerate(names)]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    for start in ("prior", TextClassifier(epochs=3, bucket=100)):
        model = PartialLabelClassifier(pipeline, start=start).fit(texts, Labels(rows))
        assert names == model.predict(texts).tolist()
    with pytest.raises(ValueError, match="start=TextClassifier"):
        PartialLabelClassifier(pipeline).fit(texts, Labels(rows))


def test_inside_pipelines_and_searches():
    """Statements pass through pipelines, searches and scores of scikit-learn."""
    X, y = clouds(60)
    labels = Labels.from_candidates(sets_of(y))
    model = make_pipeline(StandardScaler(), PartialLabelClassifier(GaussianNB(), start="prior"))
    assert cross_val_score(model, X, labels, cv=LabelsKFold(3)).mean() > 0.7
    search = GridSearchCV(
        PartialLabelClassifier(GaussianNB(), start="prior"),
        {"estimator__var_smoothing": [1e-9, 10.0]},
        cv=LabelsKFold(2),
    )
    assert 1e-9 == search.fit(X, labels).best_params_["estimator__var_smoothing"]


def test_class_weights_name_classes():
    """A class_weight of the inner estimator names the classes as the labels do."""
    X, y = clouds(100)
    weight = {"ant": 50.0, "bee": 1.0, "cat": 1.0, "dog": 1.0}
    inner = LogisticRegression(class_weight=weight)
    model = PartialLabelClassifier(inner).fit(X, Labels(NAMES[y].tolist()))
    expected = inner.fit(X, NAMES[y]).predict_proba(X)
    np.testing.assert_allclose(expected, model.predict_proba(X))


@pytest.mark.parametrize(
    "cv", [LabelsKFold(2), [(range(40), range(40, 80)), (range(40, 80), range(40))]]
)
def test_given_folds(cv):  # fmt: skip
    """Folds may be a splitter or a list, if their test rows hold each row."""
    X, y = clouds(80)
    model = PartialLabelClassifier(GaussianNB(), cv=cv)
    assert model.fit(X, Labels.from_candidates(sets_of(y))).score(X, y) > 0.7


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (KNeighborsClassifier(), "fit of KNeighborsClassifier takes no sample_weight"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), "takes no sample_weight"),
        (SVC(), "SVC has no predict_proba"),
        (GaussianNB, "expected a classifier object"),
        ("trees", "expected a classifier object"),
    ],
)
@pytest.mark.parametrize("owner", [PartialLabelClassifier, MultilabelPartialClassifier])
def test_unfit_estimators_are_refused(owner, estimator, message):
    """What has no probabilities or takes no weights is named, with what to use instead."""
    with pytest.raises(TypeError, match=message):
        owner(estimator).fit([[0.0], [1.0]], ["a", "b"])


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"cv": 1}, ["a", either("a", "b")], "cv=1; expected a whole number of at least 2"),
        ({"max_iter": 0}, ["a", "b"], "max_iter=0"),
        ({"max_candidates": 0}, ["a", "b"], "max_candidates=0"),
        ({"start": "tree"}, ["a", either("a", "b")], "start='tree'; expected 'linear', 'prior'"),
        ({}, [None, None], "none of the 2 rows says anything"),
        ({}, [tags("a"), tags("a", "b")], "write MultilabelPartialClassifier"),
        ({}, ["a"], "2 rows of X, 1 labels"),
        ({"cv": [([0], [1])]}, ["a", either("a", "b")], "row 0 is in the test rows of none"),
    ],
)
def test_bad_arguments_are_refused(options, labels, message):
    """Each wrong parameter or label is named with what was expected."""
    model = PartialLabelClassifier(GaussianNB(), **options)
    labels = Labels(labels, classes=["a", "b"])
    with pytest.raises(ValueError, match=message):
        model.fit([[0.0], [1.0]], labels)


# --- auto ---------------------------------------------------------------------------------------


def check_choice(model, members):
    """The best score was kept, every pool of the members has one, probabilities add to 1."""
    assert max(model.scores_, key=lambda n: model.scores_[n]["log_likelihood"]) == model.best_
    assert members == list(model.members_)
    assert 2 ** len(members) - 1 == len(model.scores_)


def test_auto_keeps_what_held_out_statements_prefer():
    """Each member and pool has its score, and the best is kept; sparse rows know no network."""
    X, y = clouds(90, k=3)
    X = sp.csr_matrix(X)
    labels = Labels.from_candidates(sets_of(y, k=3), classes=NAMES[:3].tolist())
    model = PartialLabelClassifier().fit(X, labels)
    check_choice(model, ["linear", "trees"])
    assert (model.predict(X) == NAMES[y]).mean() > 0.8
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


@pytest.mark.slow
def test_auto_tries_a_network():
    """Dense rows are learnt by a network too, and the same seed gives the same model."""
    pytest.importorskip("torch", reason="torch is not installed")
    X, y = clouds(60, k=3)
    labels = Labels.from_candidates(sets_of(y, k=3))
    models = [PartialLabelClassifier().fit(X, labels) for _ in range(2)]
    check_choice(models[0], ["linear", "trees", "network"])
    expected, actual = (model.predict_proba(X) for model in models)
    np.testing.assert_allclose(expected, actual, rtol=1e-6)


def test_auto_needs_rows_to_compare_on():
    """Without folds there is nothing to choose by."""
    with pytest.raises(ValueError, match="it needs cv of"):
        PartialLabelClassifier(cv=None).fit([[0.0], [1.0]], ["a", "b"])


# --- tags ---------------------------------------------------------------------------------------


def tag_rows(n=160, k=3, seed=0):
    """Numbers and tags that depend on them, each on its own column."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k))
    return X, X + 0.3 * rng.normal(size=(n, k)) > 0.2


def test_known_tags_are_one_versus_rest():
    """With every tag known the model is scikit-learn's one-versus-rest."""
    X, Y = tag_rows()
    model = MultilabelPartialClassifier(LogisticRegression()).fit(X, Y)
    plain = OneVsRestClassifier(LogisticRegression()).fit(X, Y.astype(int))
    np.testing.assert_allclose(plain.predict_proba(X), model.predict_proba(X))
    assert (bool, (160, 3)) == (model.predict(X).dtype, model.predict(X).shape)
    assert plain.score(X, Y.astype(int)) == pytest.approx(model.score(X, Y))


def test_each_tag_learns_from_the_rows_that_know_it():
    """A tag that is unknown in a row is fitted without that row, and only that tag."""
    X, Y = tag_rows()
    known = np.where(np.arange(160)[:, None] % 3 == np.arange(3), np.nan, Y)
    model = MultilabelPartialClassifier(GaussianNB()).fit(X, Labels.from_indicator(known))
    rows = ~np.isnan(known[:, 1])
    plain = GaussianNB().fit(X[rows], Y[rows, 1])
    np.testing.assert_allclose(plain.predict_proba(X)[:, 1], model.predict_proba(X)[:, 1])


def test_probabilities_of_tags_are_weighted_double_rows():
    """soft({"a": .7}) enters as present with weight .7 and absent with weight .3."""
    X, Y = tag_rows(60, 1)
    rows = [soft({"a": 0.75 if present else 0.25}) for present in Y[:, 0]]
    model = MultilabelPartialClassifier(LogisticRegression()).fit(
        X, Labels(rows, classes=["a"], task="multilabel")
    )
    weight = np.where(Y[:, 0], 0.75, 0.25)
    plain = LogisticRegression().fit(
        np.vstack([X, X]), np.repeat([0, 1], 60), sample_weight=np.r_[1 - weight, weight]
    )
    np.testing.assert_allclose(plain.predict_proba(X)[:, 1:], model.predict_proba(X), atol=1e-4)


def test_a_tag_of_one_value_is_constant_and_one_of_none_is_refused():
    """A tag that is always absent has probability 0; one that no row knows is named."""
    X, Y = tag_rows(20, 2)
    Y[:, 1] = False
    model = MultilabelPartialClassifier(GaussianNB()).fit(X, Y)
    assert 0.0 == model.predict_proba(X)[:, 1].max()
    assert model.estimators_[1] is None
    rows = [tags("a", rest="unknown")] * 10 + [not_("a")] * 10
    labels = Labels(rows, classes=["a", "b"], task="multilabel")
    with pytest.raises(ValueError, match="no row says whether 'b' applies"):
        MultilabelPartialClassifier(GaussianNB()).fit(X, labels)


def test_at_least_one_of_helps():
    """Rows that say "a or b, maybe both" make the model better than leaving them out does."""
    X, Y = tag_rows(600, 2, seed=4)
    rows = []
    for i, (a, b) in enumerate(Y[:400]):
        if i < 12:
            rows.append(tags(*np.array(["a", "b"])[[a, b]]))
        else:
            rows.append(either("a", "b") if a or b else tags())
    labels = Labels(rows, classes=["a", "b"], task="multilabel")
    kept = np.array([i for i in range(400) if i < 12])
    model = MultilabelPartialClassifier(GaussianNB()).fit(X[:400], labels)
    without = MultilabelPartialClassifier(GaussianNB()).fit(X[kept], labels[kept])
    right = [(m.predict(X[400:]) == Y[400:]).mean() for m in (model, without)]
    assert right[0] > right[1]
    assert model.log_likelihood_[-1] > -np.log(2)


def test_at_least_one_of_the_last_open_tag_makes_it_present():
    """If all but one tag of a group are absent, the last is present; a met group says nothing."""
    X, Y = tag_rows(40, 2)
    whole = [tags(*np.array(["a", "b"])[list(row)]) for row in Y]
    tied = [
        row & either("a", "b") if present.any() else row
        for row, present in zip(whole, Y, strict=True)
    ]
    expected, actual = (
        MultilabelPartialClassifier(GaussianNB())
        .fit(X, Labels(rows, classes=["a", "b"], task="multilabel"))
        .predict_proba(X)
        for rows in (whole, tied)
    )
    np.testing.assert_allclose(expected, actual)


def test_groups_with_a_common_tag_are_refused():
    """Two groups of one row that share a tag are refused with the row."""
    rows = [either("a", "b") & either("b", "c"), tags("a"), tags("b"), tags("c")]
    labels = Labels(rows, task="multilabel")
    with pytest.raises(ValueError, match="row 0 names 'b' in two statements"):
        MultilabelPartialClassifier(GaussianNB()).fit(np.eye(4), labels)


def test_a_given_probability_counts_in_its_group():
    """Given "b with .5" and "a or b", a has the posterior s / (1 - (1 - s)(1 - .5))."""
    rows = [either("a", "b") & soft({"b": 0.5}), tags("a"), tags("b")]
    tied = _Tied.of(Labels(rows, classes=["a", "b"], task="multilabel"))
    posterior, likelihood = tied.posterior(np.array([[0.4, 0.5], [0.5, 0.5], [0.5, 0.5]]))
    np.testing.assert_allclose([0.4 / 0.7], posterior)
    np.testing.assert_allclose([np.log(0.7)], likelihood)


def test_one_true_class_is_no_set_of_tags():
    """Labels of one true class are refused with the estimator to use."""
    with pytest.raises(ValueError, match="write PartialLabelClassifier"):
        MultilabelPartialClassifier(GaussianNB()).fit([[0.0], [1.0]], Labels(["a", "b"]))
