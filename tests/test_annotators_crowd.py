"""Annotator models jointly with a classifier."""

import subprocess
import sys

import numpy as np
import pytest

import eitheror as eo
from crowds import accuracy_of, crowd
from eitheror.annotators import AnnotatorModel, CrowdClassifier
from eitheror.annotators._crowd import deal

# --- with a classifier ----------------------------------------------------------------------


def blobs(seed, n=240, right=(0.75, 0.65, 0.6)):
    """Return features, truth and votes: two features that tell three classes apart."""
    rng = np.random.default_rng(seed)
    truth, items, annotators, seen = crowd(rng, n_items=n, accuracy=right, share=0.7)
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    return rng.normal(centres[truth], 1.0), truth, items, annotators, seen


def test_classifier_helps_the_votes():
    """Items are named better with the classifier than from the votes alone."""
    X, truth, items, annotators, seen = blobs(0)
    alone = AnnotatorModel().fit(items, annotators, seen)
    joint = CrowdClassifier(max_iter=3).fit(X, items, annotators, seen)
    voted = np.array(alone.items_)
    both = (joint.item_proba_.argmax(axis=1) == truth)[voted].mean()
    assert both > accuracy_of(alone, truth) + 0.05
    assert (joint.predict(X) == truth).mean() > 0.85
    assert joint.annotator_model_.items_ == alone.items_


def test_no_rounds_means_fixed_weights():
    """With max_iter=0 the classifier is the one fitted on the weights of the votes alone."""
    from eitheror.training import TrainOptions, fit

    X, _, items, annotators, seen = blobs(1, n=90)
    joint = CrowdClassifier(max_iter=0).fit(X, items, annotators, seen)
    alone = AnnotatorModel().fit(items, annotators, seen)
    expected = fit(X[np.array(alone.items_)], alone.labels_, TrainOptions(loss="softmax"))
    np.testing.assert_allclose(joint.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    assert 0 == joint.n_iter_


def test_memorising_estimators_do_not_confirm_themselves():
    """A tree that knows its training rows by heart still learns who is wrong."""
    tree = pytest.importorskip("sklearn.tree", reason="needs scikit-learn")
    X, truth, items, annotators, seen = blobs(2, n=150)
    joint = CrowdClassifier(tree.DecisionTreeClassifier(random_state=0), max_iter=4).fit(
        X, items, annotators, seen
    )
    alone = AnnotatorModel().fit(items, annotators, seen)
    voted = np.array(alone.items_)
    both = (joint.item_proba_.argmax(axis=1) == truth)[voted].mean()
    assert both > accuracy_of(alone, truth)


def test_estimators_that_read_labels_get_evidence():
    """Estimators of eitheror, and pipelines that end in one, are fitted on likelihood weights."""
    pipeline = pytest.importorskip("sklearn.pipeline", reason="needs scikit-learn")
    X, _, items, annotators, seen = blobs(3, n=90)
    plain = CrowdClassifier(eo.LinearClassifier(l2=0.01), cv=2, max_iter=1)
    piped = CrowdClassifier(
        pipeline.make_pipeline(eo.LinearClassifier(l2=0.01)), targets="evidence", cv=2, max_iter=1
    )
    one, two = (m.fit(X, items, annotators, seen).predict_proba(X) for m in (plain, piped))
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_rows_without_votes_are_named_by_the_classifier():
    """Rows of X that nobody judged get the classifier's opinion and do not train it."""
    X, _, items, annotators, seen = blobs(4, n=120)
    more = np.vstack([X, X[:5] + 0.01])
    joint = CrowdClassifier(eo.LinearClassifier(l2=0.01), max_iter=1)
    joint.fit(more, items, annotators, seen)
    np.testing.assert_allclose(joint.item_proba_[-5:], joint.predict_proba(more[-5:]), atol=1e-12)


def test_texts_train_a_text_classifier():
    """X may be a list of texts where the estimator reads texts."""
    texts = ["red apple", "blue sky", "green apple", "grey sky"] * 5
    items, annotators = np.divmod(np.arange(40), 2)
    seen = ["air" if "sky" in texts[i] else "fruit" for i in items]
    joint = CrowdClassifier(eo.TextClassifier(epochs=5), cv=2, max_iter=1)
    joint.fit(texts, items, annotators, seen)
    assert ["fruit", "air"] == joint.predict(["apple", "sky"]).tolist()


def test_a_text_that_repeats_stays_in_one_fold():
    """No opinion of a fold is about a text that its classifier was fitted on."""
    texts = ["red apple", "blue sky", "green apple", "grey sky"] * 5
    items, annotators = np.divmod(np.arange(40), 2)
    seen = ["air" if "sky" in texts[i] else "fruit" for i in items]
    belief = AnnotatorModel().fit(items.tolist(), annotators, seen)
    rows = [texts[i] for i in belief.items_]
    fold = deal(rows, belief, 2, 0)
    assert [{"air", "fruit"}] * 2 == [
        {c for c, f in zip(belief.predict(), fold, strict=True) if f == k} for k in (0, 1)
    ]
    assert all(len({f for r, f in zip(rows, fold, strict=True) if r == text}) == 1 for text in rows)
    with pytest.raises(ValueError, match="cv=5 with 4 different rows"):
        CrowdClassifier(eo.TextClassifier(epochs=1), cv=5, max_iter=0).fit(
            texts, items, annotators, seen
        )


@pytest.mark.parametrize("form", ["lists", "frame", "sparse"])
def test_rows_may_come_in_any_table(form):
    """Lists of numbers, a data frame and a sparse matrix train the model that an array trains."""
    X, _, items, annotators, seen = blobs(6, n=60)
    table = X.tolist()
    if form == "frame":
        table = pytest.importorskip("pandas", reason="needs pandas").DataFrame(
            X, columns=["p", "q"]
        )
    if form == "sparse":
        table = pytest.importorskip("scipy.sparse", reason="needs SciPy").csr_matrix(X)
    one, two = (
        CrowdClassifier(cv=2, max_iter=0).fit(inputs, items, annotators, seen)
        for inputs in (X, table)
    )
    tolerance = 0.2 if form == "sparse" else 1e-6  # sparse columns are scaled, not centred
    np.testing.assert_allclose(two.predict_proba(table), one.predict_proba(X), atol=tolerance)


def test_importing_the_module_loads_numpy_alone():
    """What trains classifiers is imported where it is used."""
    code = (
        "import sys, eitheror.annotators; "
        "print([m for m in ('numba', 'scipy', 'sklearn', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_estimators_without_sample_weight_are_refused():
    """A classifier that cannot weigh rows cannot hear posteriors."""
    neighbors = pytest.importorskip("sklearn.neighbors", reason="needs scikit-learn")
    X, _, items, annotators, seen = blobs(5, n=30)
    with pytest.raises(TypeError, match="takes no sample_weight"):
        CrowdClassifier(neighbors.KNeighborsClassifier()).fit(X, items, annotators, seen)
