"""The linear model on numbers: its objective, its choices, and what must not change them."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from eitheror.labels import Labels, either, evidence, exact, not_, soft, tags, votes
from eitheror.losses import LOSSES, at_least_one, at_least_one_gradient
from eitheror.training import TrainOptions, fit
from eitheror.training.folds import content_keys, deal_folds
from eitheror.training.incremental import Increment
from eitheror.training.numeric import fit_numeric
from eitheror.training.objectives import OBJECTIVES, make_block, order_by_mode
from eitheror.training.problem import Setup, Threads, one_blas_thread, second_moments
from eitheror.training.standardise import Standardiser, as_matrix
from eitheror.training.weights import balanced_or_given, row_weights

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "partial_label"

STATEMENTS = [
    "a", exact("b", trust=0.875), either("a", "c"), not_("b"), not_("c", trust=0.75),
    soft({"a": 0.25, "d": 0.75}), votes({"b": 3, "c": 1}),
    evidence({"a": 0.5, "b": 1.0}, rest=0.125), either("a", "b", "c", "d"),
]  # fmt: skip
TAGS = [
    tags("a"), tags("a", "c", absent=["b"], rest="unknown"), not_("d"), tags(),
    either("a", "b"), either("b", "c") & not_("d"),
]  # fmt: skip


def statements(task="multiclass"):
    """Labels of every kind over four classes."""
    return Labels(STATEMENTS if task == "multiclass" else TAGS, classes=list("abcd"), task=task)


def blobs(n=120, n_classes=3, seed=0, partial=True):
    """Overlapping clouds, and labels of which two thirds are partial."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n, 5)) + 1.5 * np.eye(5)[y] + 10.0
    rows = []
    for row, truth in enumerate(y.tolist()):
        wrong = (truth + 1 + rng.integers(n_classes - 1)) % n_classes
        partial_rows = [truth, either(truth, int(wrong)), not_(int(wrong))]
        rows.append(partial_rows[row // n_classes % 3] if partial else truth)
    return X, Labels(rows, classes=range(n_classes)), y


def evaluate(loss, labels, logits, smoothing=0.0):
    """Value and gradient of every row by the fused objective, in the labels' order."""
    targets = labels.sparse()
    kept = order_by_mode(targets)
    value, gradient = np.zeros(len(labels)), np.zeros_like(logits)
    for row in kept:
        block = make_block(targets.take(np.array([row])), smoothing)
        value[row], gradient[row] = (a[0] for a in OBJECTIVES[loss](logits[[row]], block))
    return value, gradient


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("loss", sorted(set(OBJECTIVES) - {"random-pick", "pol"}))
def test_objective_equals_reference(loss, scale, smoothing):
    """The fused value and gradient are those of the reference losses."""
    task = LOSSES[loss].task
    labels = statements(task)
    if task == "multilabel":
        labels = labels[:4]
    logits = scale * np.random.default_rng(1).normal(size=(len(labels), 4))
    value, gradient = evaluate(loss, labels, logits, smoothing)
    targets = labels.to_targets()
    np.testing.assert_allclose(
        value, LOSSES[loss].value(logits, targets, label_smoothing=smoothing), rtol=1e-10
    )
    np.testing.assert_allclose(
        gradient,
        LOSSES[loss].gradient(logits, targets, label_smoothing=smoothing),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("scale", [1.0, 40.0, 1e4])
def test_groups_equal_reference(scale):
    """A row "at least one of" has the reference's loss, also where probabilities underflow."""
    labels = Labels(
        [either("a", "b"), either("b", "c", "d")], classes=list("abcd"), task="multilabel"
    )
    logits = scale * np.random.default_rng(2).normal(size=(2, 4)) - scale
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 1]], dtype=bool)
    value, gradient = evaluate("ova", labels, logits)
    np.testing.assert_allclose(value, at_least_one(logits, mask), rtol=1e-9)
    np.testing.assert_allclose(gradient, at_least_one_gradient(logits, mask), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("loss", sorted(OBJECTIVES))
def test_gradient_of_the_whole_problem(loss):
    """The gradient in the weights is that of the value, with penalty, weights and all kinds."""
    labels = statements(LOSSES[loss].task)
    if loss != "ova" and labels.task == "multilabel":
        labels = labels[:4]
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(len(labels), 3))
    setup = Setup(OBJECTIVES[loss], loss, 0.05, None, None, Threads(1))
    problem = setup.problem(Z, labels.sparse(), rng.uniform(0.5, 2, len(labels)))
    error = check_grad(
        lambda t: problem.value_and_gradient(t, 0.1)[0],
        lambda t: problem.value_and_gradient(t, 0.1)[1],
        rng.normal(size=problem.size),
    )
    assert error < 1e-5


def test_exact_labels_give_logistic_regression():
    """With exact labels the model is scikit-learn's penalised logistic regression."""
    X, labels, y = blobs(partial=False)
    ours = fit(X, labels, TrainOptions(l2=0.01)).predict_proba(X)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    stock = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-10, max_iter=1000).fit(Z, y)
    np.testing.assert_allclose(ours, stock.predict_proba(Z), atol=1e-5)


def test_candidates_beat_the_uniform_target_on_the_likelihood():
    """The fit of candidate sets has a lower set loss than the fit of the uniform target."""
    X, labels, _ = blobs()
    sets = fit(X, labels, TrainOptions(l2=0.01))
    uniform = fit(X, labels, TrainOptions(l2=0.01, loss="uniform"))
    losses = [
        LOSSES["softmax"].value(m.decision_function(X).astype(float), labels.to_targets()).mean()
        for m in (sets, uniform)
    ]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("l2", [0.01, "auto"])
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_change_nothing(l2, n_jobs, monkeypatch):
    """Any number of threads gives the same bits, with many blocks of rows too."""
    monkeypatch.setattr("eitheror.training.problem._BLOCK_CELLS", 512)
    X, labels, _ = blobs()
    one = fit_numeric(X, labels, TrainOptions(loss="softmax", l2=l2))
    several = fit_numeric(X, labels, TrainOptions(loss="softmax", l2=l2), n_jobs=n_jobs)
    assert one.parameters.weight.tobytes() == several.parameters.weight.tobytes()
    assert one.chosen == several.chosen


def test_blas_threads_change_nothing():
    """The number of BLAS threads around the call does not reach the result."""
    X, labels, _ = blobs(n=2000)
    results = []
    for limit in (1, 2):
        with threadpool_limits(limit):
            results.append(fit_numeric(X, labels, TrainOptions(loss="softmax", l2=0.01)))
    assert results[0].parameters.weight.tobytes() == results[1].parameters.weight.tobytes()


@pytest.mark.parametrize("l2", [0.01, "auto"])
def test_weight_two_is_the_row_twice(l2):
    """A whole-number weight gives the model of the repeated rows, weight 0 that without the row."""
    X, labels, _ = blobs()
    weight = np.random.default_rng(5).integers(0, 3, len(X))
    again = np.repeat(np.arange(len(X)), weight)
    weighted = fit(X, labels, TrainOptions(l2=l2), sample_weight=weight)
    repeated = fit(X[again], labels[again], TrainOptions(l2=l2))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-3)


def test_order_of_rows_changes_no_choice():
    """The penalty chosen does not depend on the order of the rows."""
    X, labels, _ = blobs()
    order = np.random.default_rng(0).permutation(len(X))
    first = fit(X, labels).options["l2"]
    second = fit(X[order], labels[order]).options["l2"]
    assert first == pytest.approx(second, rel=1e-3)


def test_sparse_and_dense_agree():
    """The same table dense and as CSR gives the same probabilities."""
    X, labels, _ = blobs()
    X = np.where(X > 10.0, X, 0.0)
    dense = fit(X, labels, TrainOptions(l2=0.01))
    sparse = fit(sp.csr_matrix(X), labels, TrainOptions(l2=0.01))
    np.testing.assert_allclose(
        dense.predict_proba(X), sparse.predict_proba(sp.csr_matrix(X)), atol=1e-4
    )


def test_scale_and_shift_of_a_column_change_nothing():
    """Features are standardised: other units give the same probabilities."""
    X, labels, _ = blobs()
    other = X * np.array([1e-6, 1.0, 1e6, 3.0, 1.0]) + np.array([0, 1e7, 0, 0, -5.0])
    np.testing.assert_allclose(
        fit(X, labels, TrainOptions(l2=0.01)).predict_proba(X),
        fit(other, labels, TrainOptions(l2=0.01)).predict_proba(other),
        atol=1e-3,
    )


def test_unknown_rows_cost_nothing():
    """Rows that say nothing leave the weights of standardised features as they are."""
    X, labels, _ = blobs()
    more = Labels([*labels, *[None] * len(X)], classes=labels.classes)
    with_unknown = fit(np.vstack([X, X]), more, TrainOptions(l2=0.01))
    without = fit(X, labels, TrainOptions(l2=0.01))
    np.testing.assert_allclose(with_unknown.predict_proba(X), without.predict_proba(X), atol=1e-5)


def test_early_stopping_keeps_the_best_iteration():
    """With held-out rows the iterations end early and the best of them is kept."""
    X, labels, _ = blobs(seed=1)
    X_valid, valid, _ = blobs(seed=2)
    reports = []
    options = TrainOptions(loss="softmax", l2=0.0, patience=3)
    fitted = fit_numeric(X, labels, options, valid=(X_valid, valid), progress=reports.append)
    losses = [report["valid_loss"] for report in reports]
    assert min(losses) == fitted.chosen["valid_loss"]
    assert len(losses) <= int(np.argmin(losses)) + 1 + 3


def test_validation_classes_may_stand_in_another_order():
    """The held-out loss does not depend on the order of the validation labels' classes."""
    X, labels, _ = blobs(seed=1)
    X_valid, valid, _ = blobs(seed=2)
    turned = Labels(list(valid), classes=valid.classes[::-1])
    one, two = (
        fit(X, labels, TrainOptions(l2=0.01), valid=(X_valid, held)).options["valid_loss"]
        for held in (valid, turned)
    )
    assert one == two


def test_validation_rows_have_the_same_columns():
    """Held-out rows with another number of features are refused."""
    X, labels, _ = blobs(n=12)
    with pytest.raises(ValueError, match=r"validation inputs have 4 features and .* 5;"):
        fit(X, labels, valid=(X[:, :4], labels))


@pytest.mark.parametrize("weight", [[1.0], [1.0, np.nan, 1.0], [1.0, -1.0, 1.0]])
def test_small_steps_refuse_odd_weights(weight):
    """Steps over new rows check the weights before they change anything."""
    X, labels = np.eye(3), Labels(["a", "b", "a"])
    state = Increment.begin(X, labels)
    before = state.model(TrainOptions()).parameters.weight.tobytes()
    with pytest.raises(ValueError, match=r"row 1: sample weight|shape \(1,\) came with 3 rows"):
        state.learn(X, labels, TrainOptions(), 0.1, sample_weight=weight)
    assert before == state.model(TrainOptions()).parameters.weight.tobytes()


def blas_threads():
    """Numbers of threads that the BLAS libraries may use now."""
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


def test_fits_side_by_side_share_the_limit_on_blas():
    """The limit lasts until the last of several fits ends, whichever began first."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert {1} == blas_threads()
        second.__exit__(None, None, None)
        assert before == blas_threads()


@pytest.mark.parametrize("n_jobs", [0, True, 1.5])
def test_odd_numbers_of_threads_are_refused(n_jobs):
    """Numbers and texts read n_jobs the same way."""
    for inputs in (np.eye(2), ["red", "blue"]):
        with pytest.raises(ValueError, match="expected a number of threads"):
            fit(inputs, Labels(["a", "b"]), n_jobs=n_jobs)


def test_patience_alone_holds_out_rows():
    """Without validation rows, patience holds out a share of the training rows."""
    X, labels, _ = blobs()
    assert "valid_loss" in fit(X, labels, TrainOptions(l2=0.01, patience=2)).options


def test_balanced_class_weight_lifts_the_rare_class():
    """Balanced weights give a rare class more probability."""
    X, labels, y = blobs(n=300, partial=False)
    rows = np.flatnonzero((y > 0) | (np.arange(300) % 10 == 0))
    plain = fit(X[rows], labels[rows], TrainOptions(l2=0.1)).predict_proba(X)[:, 0].mean()
    options = TrainOptions(l2=0.1, class_weight="balanced")
    assert fit(X[rows], labels[rows], options).predict_proba(X)[:, 0].mean() > plain


def test_row_weight_of_a_set_is_the_mean_over_its_classes():
    """SEMANTICS: the class weight of a set row is the mean over its classes."""
    labels = Labels(["a", either("a", "c"), not_("b"), soft({"a": 0.25, "b": 0.75})])
    targets = labels.sparse()
    given = balanced_or_given({"a": 1, "b": 2, "c": 4}, labels, targets, np.ones(4))
    assert [1.0, 2.5, 2.5, 1.75] == row_weights(targets, given).tolist()


def test_unknown_class_in_class_weight_is_refused():
    """A class weight for a name that is no class says what was meant."""
    labels = Labels(["cat", "dog"])
    with pytest.raises(ValueError, match=r"'catt'.*did you mean \"cat\""):
        balanced_or_given({"catt": 2}, labels, labels.sparse(), np.ones(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix])
def test_entries_that_are_not_finite_are_named(bad, wrap):
    """A feature that is nan or infinite is named by row and column."""
    X = np.ones((3, 2))
    X[1, 1] = bad
    with pytest.raises(ValueError, match="row 1, column 1 is"):
        as_matrix(wrap(X))


def test_constant_columns_are_left_alone():
    """A constant column has scale 1 and standardises to exactly 0, also when it is huge."""
    X = np.array([[1e9 + 0.1, 1.0], [1e9 + 0.1, 2.0], [1e9 + 0.1, 4.0]])
    scaler = Standardiser.fit(X)
    assert scaler.scale[0] == 1.0
    np.testing.assert_allclose(scaler.transform(X)[:, 0], 0.0, atol=1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix])
def test_indicator_columns_are_not_blown_up(wrap):
    """A column of two values is divided by half their distance, however rare one of them is."""
    X = np.zeros((50, 3))
    X[0, 0], X[::2, 1], X[:, 2] = 1.0, 4.0, np.arange(50)
    scale = Standardiser.fit(wrap(X)).scale
    assert [0.5, 2.0] == scale[:2].tolist()
    assert np.arange(50).std() == pytest.approx(scale[2])


@pytest.mark.parametrize("l2", ["best", -1.0, np.nan, True])
def test_odd_penalties_are_refused(l2):
    """l2 is a number that is not negative, or "auto"."""
    X, labels, _ = blobs(n=12)
    with pytest.raises(ValueError, match="l2="):
        fit_numeric(X, labels, TrainOptions(loss="softmax", l2=l2))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"lr": 0.5}, "--lr"),
        ({"dim": 10}, "--dim"),
        ({"word_ngrams": 2}, "--word-ngrams"),
        ({"char_ngrams": (3, 5)}, "--minn, --maxn"),
        ({"bucket": 10}, "--bucket"),
        ({"min_count": 2}, "--min-count"),
        ({"ngram_min_count": 2}, "--ngram-min-count"),
        ({"lowercase": False}, "--keep-case"),
        ({"optimizer": "sgd"}, "--optimizer"),
        ({"hogwild": True}, "--hogwild"),
    ],
)
def test_options_for_texts_are_refused(option, words):
    """An option that a table of numbers would ignore is refused, by both of its names."""
    X, labels, _ = blobs(n=12)
    (name,) = option
    message = rf"^{name}=.* \({words}\) has no meaning for a table of numbers"
    with pytest.raises(ValueError, match=message):
        fit(X, labels, TrainOptions(**option))


def test_only_options_that_were_used_are_recorded():
    """The record of a model of numbers names no option of texts."""
    X, labels, _ = blobs(n=12)
    options = fit(X, labels, TrainOptions(l2=0.1)).options
    assert {"lowercase", "hogwild", "lr", "optimizer"}.isdisjoint(options)
    assert 0.1 == options["l2"]


def test_labels_that_say_nothing_are_refused():
    """All rows unknown, or of weight 0, is an error."""
    X, labels, _ = blobs(n=12)
    with pytest.raises(ValueError, match="says anything"):
        fit_numeric(X, labels, TrainOptions(loss="softmax"), sample_weight=np.zeros(12))


def test_folds_hold_every_statement_evenly():
    """Each fold has its share of each frequent statement, to within one row."""
    labels = blobs(n=90)[1]
    fold = deal_folds(labels, 3, rng=np.random.default_rng(0))
    words = labels.strata()
    counts = np.array([[(words[fold == k] == w).sum() for k in range(3)] for w in set(words)])
    assert (np.ptp(counts, axis=1) <= 1).all()


def test_folds_hold_every_tag_evenly():
    """Each fold has its share of each tag, also of a rare one."""
    rng = np.random.default_rng(0)
    matrix = rng.random((300, 6)) < [0.5, 0.3, 0.2, 0.1, 0.03, 0.02]
    labels = Labels.from_indicator(matrix)
    fold = deal_folds(labels, 3, rng=rng)
    counts = np.array([matrix[fold == k].sum(axis=0) for k in range(3)])
    assert (np.ptp(counts, axis=0) <= 2).all()
    assert np.ptp(np.bincount(fold)) <= 6


def test_equal_rows_share_a_fold():
    """Rows of equal content never fall into different folds."""
    X = np.repeat(np.arange(10.0)[:, None], 3, axis=0)
    labels = Labels(["a", "b"] * 15)
    fold = deal_folds(labels, 2, keys=content_keys(X))
    assert (fold.reshape(10, 3) == fold[::3, None]).all()


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows,
        sp.csr_matrix,
        sp.csc_matrix,
        lambda rows: rows.tolist(),
        lambda rows: [f"text {row[0]}" for row in rows],
        lambda rows: np.array([f"text {row[0]}" for row in rows], dtype=object),
        lambda rows: [["a", int(row[0])] for row in rows],
    ],
    ids=["array", "csr", "csc", "lists", "texts", "objects", "mixed"],
)
def test_content_keys_are_those_of_the_content(form):
    """In every form of table, rows have one key exactly where their content is one."""
    rows = np.array([[1.0, 0.0], [2.0, 3.0], [1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    keys = content_keys(form(rows))
    assert [0, 1, 0, 3, 1] == [keys.tolist().index(key) for key in keys.tolist()]


def test_second_moments_of_sparse_and_dense_agree():
    """The metric of the optimiser is the same for CSR and dense tables."""
    Z = np.random.default_rng(0).normal(size=(20, 4))
    weight = np.arange(20.0)
    dense, sparse = (second_moments(table, weight) for table in (Z, sp.csr_matrix(Z)))
    np.testing.assert_allclose(dense, sparse)


def test_a_data_frame_is_a_table_of_numbers():
    """A data frame iterates over its column names, and is not taken for texts because of that."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    Z = np.random.default_rng(0).normal(size=(20, 2))
    labels = Labels(["a", "b"] * 10)
    options = TrainOptions(l2=0.01)
    frame = fit(pandas.DataFrame(Z, columns=["p", "q"]), labels, options)
    np.testing.assert_array_equal(frame.predict_proba(Z), fit(Z, labels, options).predict_proba(Z))


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/partial_label")
def test_lost_from_candidates_only():
    """One fold of lost: set likelihood well above the uniform target, no true label used."""
    data = np.load(DATA / "lost.npz")
    rows = np.random.default_rng(0).permutation(len(data["y"]))
    train, test = rows[:900], rows[900:]
    labels = Labels.from_candidates(data["candidates"])
    scores = {}
    for loss in ("softmax", "uniform"):
        model = fit(data["X"][train], labels[train], TrainOptions(loss=loss))
        found = model.predict_proba(data["X"][test]).argmax(axis=1)
        scores[loss] = (found == data["y"][test]).mean()
    assert scores["softmax"] > 0.7
    assert scores["softmax"] > scores["uniform"] + 0.1
