"""Rules inside model folders, and rules on the probabilities of another library."""

import json

import numpy as np
import pytest

from eitheror import decide
from eitheror.decide import (
    Argmax,
    Calibration,
    ConformalSet,
    CostMatrix,
    ExpectedF1,
    ExpectedJaccard,
    Reject,
    Threshold,
    TopK,
    TunedThreshold,
    score_decision,
)
from eitheror.labels import Labels
from eitheror.model import load
from models import CLASSES, TEXTS, text_model

RNG = np.random.default_rng(0)
PROBA = RNG.random((40, 3)).astype(np.float32)
TAGS = RNG.random((40, 3)) < PROBA
ONE = Labels([CLASSES[k] for k in PROBA.argmax(axis=1)], classes=CLASSES)

TAG_RULES = [
    Threshold(0.3, at_least_one=True),
    TopK(2),
    TunedThreshold("f1_micro").fit(TAGS, PROBA),
    TunedThreshold("jaccard_samples", at_least_one=True).fit(TAGS, PROBA),
    TunedThreshold("f1_macro", per_class=True, min_present=2).fit(TAGS, PROBA),
    ExpectedJaccard(),
    ExpectedJaccard(at_least_one=True, shift=0.3).fit(TAGS, PROBA),
    ExpectedF1().fit(TAGS, PROBA),
]
ONE_CLASS_RULES = [
    Argmax(),
    Reject(0.4),
    CostMatrix([[0, 1, 2, 0.5], [1, 0, 1, 0.5], [5, 1, 0, 0.5]]),
    ConformalSet(0.8).fit(ONE, PROBA),
]


def test_every_rule_is_stored():
    """The lists below hold every rule that a config can name."""
    with pytest.raises(ValueError, match="known are ") as error:
        decide.from_config({"rule": "?"})
    known = set(str(error.value).split("known are ")[1].split(", "))
    assert known == {rule.to_config()["rule"] for rule in TAG_RULES + ONE_CLASS_RULES}


@pytest.mark.parametrize("rule", TAG_RULES + ONE_CLASS_RULES, ids=repr)
def test_a_rule_comes_back_with_its_model(rule, tmp_path):
    """save and load: the same rule, the same words, the same decisions, the same bytes."""
    model = text_model("linear", "ova" if rule in TAG_RULES else "softmax", list(CLASSES))
    model.set_decision(rule)
    decided = model.predict(TEXTS)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert rule == again.rule()
    assert rule.describe() == again.rule().describe()
    assert decided == again.predict(TEXTS)
    again.save(tmp_path / "again")
    config = (tmp_path / "model" / "config.json").read_bytes()
    assert config == (tmp_path / "again" / "config.json").read_bytes()
    assert rule.to_config() == json.loads(config)["decision"]


def test_a_rule_for_other_classes_is_refused_with_its_model(tmp_path):
    """A model never stores cuts of another number of classes."""
    model = text_model("linear", "ova", list(CLASSES))
    model.set_decision(ExpectedJaccard().fit([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]]))
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="does not fit 3 classes: proba has 3 classes, the cal"):
        load(tmp_path / "model")


def test_a_damaged_shift_or_calibration_is_named():
    """What a config must hold is checked when it is read."""
    config = ExpectedJaccard().fit(TAGS, PROBA).to_config()
    for change, message in (
        ({"shift": "much"}, "'expected_jaccard' does not fit its entries"),
        ({"shift": None}, "'expected_jaccard' does not fit its entries"),
        ({"calibration": {"calibration": "isotonic"}}, "not a calibration"),
        ({"speed": 1}, "'expected_jaccard' does not fit its entries"),
    ):
        with pytest.raises(ValueError, match=message):
            decide.from_config(config | change)


def test_rules_decide_the_probabilities_of_scikit_learn():
    """fit and predict on predict_proba of other estimators, with columns in the labels' order."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    multioutput = pytest.importorskip("sklearn.multioutput")
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 5))
    truth = X @ rng.normal(size=(5, 4)) + rng.normal(size=(600, 4)) > 0.8
    logistic = linear_model.LogisticRegression()
    several = multioutput.MultiOutputClassifier(logistic).fit(X[:200], truth[:200])
    proba = np.stack([columns[:, 1] for columns in several.predict_proba(X)], axis=1)
    tuning, test = slice(200, 400), slice(400, 600)
    for metric, rule in (
        ("jaccard_samples", TunedThreshold("jaccard_samples")),
        ("f1_macro", TunedThreshold("f1_macro", per_class=True)),
        ("jaccard_samples", ExpectedJaccard()),
        ("f1_samples", ExpectedF1()),
    ):
        chosen = rule.fit(truth[tuning], proba[tuning]).predict(proba[test])
        nothing = score_decision(metric, truth[test], np.zeros_like(chosen))
        assert nothing + 0.1 < score_decision(metric, truth[test], chosen)
    calibrated = Calibration().fit(truth[tuning], proba[tuning]).transform(proba[test])
    assert ((calibrated > 0) & (calibrated < 1)).all()

    one = logistic.fit(X[:200], truth[:200] @ [1, 2, 0, 0])
    labels = Labels((truth[tuning] @ [1, 2, 0, 0]).tolist(), classes=one.classes_.tolist())
    sets = ConformalSet(0.9).fit(labels, one.predict_proba(X[tuning]))
    chosen = sets.predict(one.predict_proba(X[test]))
    covered = chosen[np.arange(200), truth[test] @ [1, 2, 0, 0]].mean()
    assert covered > 0.83
    np.testing.assert_array_equal(
        one.predict(X[test]), one.classes_[Argmax().predict(one.predict_proba(X[test]))]
    )
