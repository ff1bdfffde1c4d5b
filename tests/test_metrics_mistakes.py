"""Confusions and contradicted rows: what they count, and how they are ordered."""

import numpy as np
import pytest

from eitheror.decide import ConformalSet, Reject, TopK
from eitheror.labels import Labels, either, not_, soft, tags
from eitheror.metrics import (
    confusions,
    contradicted_rows,
    evaluate_through_channel,
    statement_log_loss,
)

CLASSES = list("abc")
PROBA = np.array([[0.7, 0.2, 0.1]] * 4)


def test_known_labels_give_the_confusion_matrix():
    """Off the diagonal, the counts are scikit-learn's."""
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y, proba = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    matrix = sk.confusion_matrix(y, proba.argmax(axis=1))
    found = confusions(Labels(y.tolist(), classes=range(3)), proba)
    expected = {(d, t): matrix[t, d] for d in range(3) for t in range(3) if d != t}
    assert {(row["decided"], row["true"]): row["rows"][0] for row in found} == expected
    assert all(row["rows"] == [row["ruled_out"]] * 2 for row in found)
    assert found == sorted(found, key=lambda row: -row["rows"][0])


def test_sure_confusions_come_first():
    """A certain mistake stands before a certain error with an open truth, and before a maybe."""
    labels = Labels(["c", not_("a"), either("a", "b"), "a"], classes=CLASSES)
    found = confusions(labels, PROBA)
    assert [("a", "c", [1, 2], 2), ("a", "b", [0, 2], 1)] == [
        (row["decided"], row["true"], row["rows"], row["ruled_out"]) for row in found
    ]
    assert found[:1] == confusions(labels, PROBA, most=1)


def test_silence_is_no_confusion_and_sets_are_taken_class_by_class():
    """A row without a decision confuses nothing; a set that holds the truth misses nothing."""
    labels = Labels(["c"] * 4, classes=CLASSES)
    assert [] == confusions(labels, PROBA, decision=Reject(0.1))
    assert [] == confusions(labels, PROBA, decision=TopK(3))
    two = confusions(labels, PROBA, decision=TopK(2))
    assert [("a", "c"), ("b", "c")] == [(row["decided"], row["true"]) for row in two]


def test_classes_of_the_labels_alone_can_be_true():
    """A class that the model does not know is confused with what was decided."""
    labels = Labels(["z", "a"], classes=["a", "b", "z"])
    (row,) = confusions(labels, [[0.8, 0.2]] * 2, classes=["a", "b"])
    assert {"decided": "a", "true": "z", "rows": [1, 1], "ruled_out": 1} == row


def test_contradicted_rows_are_those_with_the_largest_loss():
    """Sorted by the loss of the statement; rows that say nothing or agree are left out."""
    labels = Labels(["c", None, either("a", "b"), "a"], classes=CLASSES)
    found = contradicted_rows(labels, PROBA)
    assert [0, 3, 2] == [row["row"] for row in found]
    losses = statement_log_loss(labels, PROBA)
    for row in found:
        assert losses[row["row"]] == pytest.approx(row["loss"])
        assert np.exp(-row["loss"]) == pytest.approx(row["probability"])
    assert found[:2] == contradicted_rows(labels, PROBA, most=2)


def test_shares_that_the_model_shares_contradict_nothing():
    """A 50:50 row at .5 and .5 has a loss of log 2 but agrees fully."""
    shares = Labels([soft({"a": 0.5, "b": 0.5})] * 2, classes=["a", "b"])
    found = contradicted_rows(shares, [[0.5, 0.5], [0.9, 0.1]])
    assert [1] == [row["row"] for row in found]
    kl = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert kl == pytest.approx(found[0]["loss"])


def test_decisions_are_named_by_kind_of_rule():
    """A class, None for silence, a list for sets and for tags."""
    labels = Labels(["c"] * 4, classes=CLASSES)
    assert "a" == contradicted_rows(labels, PROBA)[0]["decided"]
    assert contradicted_rows(labels, PROBA, decision=Reject(0.1))[0]["decided"] is None
    rule = ConformalSet(0.5).fit(labels, PROBA)
    assert CLASSES == contradicted_rows(labels, PROBA, decision=rule)[0]["decided"]
    named = Labels([tags("a", "c")], classes=CLASSES)
    assert ["a"] == contradicted_rows(named, PROBA[:1])[0]["decided"]


@pytest.mark.parametrize("function", [confusions, contradicted_rows])
def test_most_is_at_least_one(function):
    """Asking for no rows at all is a mistake."""
    with pytest.raises(ValueError, match="most=0; give 1 or more"):
        function(Labels(["a"], classes=CLASSES), PROBA[:1], most=0)


@pytest.mark.parametrize("weights", [Labels(["a", "b"]), ["not a", "not b"]])
def test_labels_where_numbers_are_wanted_are_named(weights):
    """How the labels came about must be said: the message names unbiased_weights."""
    with pytest.raises(TypeError, match=r"unbiased_weights\(labels,"):
        evaluate_through_channel(weights, [[0.9, 0.1]] * 2)
