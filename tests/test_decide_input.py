"""What is no rule, and what is no probability: refused with a reason, never decided quietly."""

from math import inf, nan

import numpy as np
import pytest

from eitheror.decide import (
    Argmax,
    Calibration,
    ConformalSet,
    ExpectedF1,
    ExpectedJaccard,
    TunedThreshold,
    condition,
    conformal_rank,
    from_config,
)
from eitheror.labels import Labels
from eitheror.metrics import (
    calibration_error,
    contradicted_rows,
    coverage_bounds,
    evaluate,
    evaluate_through_channel,
    paired_difference,
    reliability_curve,
    statement_log_loss,
)

HUGE = 10**400
TUNED = TunedThreshold("f1_micro").fit([[1, 0]], [[0.9, 0.1]]).to_config()
EXPECTED = ExpectedJaccard().fit([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.7]]).to_config()
CALIBRATION = EXPECTED["calibration"]
SETS = {
    "rule": "conformal_set",
    "confidence_level": 0.9,
    "threshold": 0.4,
    "n_rows": 30,
    "guarantee": "finite sample",
}
HOSTILE = [
    None,
    "argmax",
    [["rule", 1]],
    {"rule": ["argmax"]},
    *({"rule": "top_k", "k": k} for k in (inf, nan, None, "3", [2], 2.5, True, 0)),
    *({"rule": "threshold", "threshold": t} for t in (nan, HUGE, "x", None, [0.1, 0.2])),
    {"rule": "threshold", "at_least_one": "no"},
    *({**TUNED, "threshold": t} for t in (nan, HUGE, "x", None, [0.5], {})),
    *({**TUNED, "min_present": m} for m in (inf, nan, "x")),
    *({**TUNED, word: "false"} for word in ("per_class", "at_least_one")),
    {**TUNED, "score_on_file": HUGE},
    *({"rule": "reject", "cost": c} for c in (nan, HUGE, "x", None, [0.1])),
    *(
        {"rule": "cost_matrix", "costs": c}
        for c in (nan, "x", {}, [[HUGE]], [[1, 2], [3]], [[nan]])
    ),
    *({**SETS, "threshold": t} for t in (nan, inf, -inf, HUGE, "x", [1])),
    *({**SETS, "n_rows": n} for n in (inf, nan, 0, -3, "x")),
    *({**SETS, "guarantee": g} for g in (7, "certain", [])),
    *({**SETS, "confidence_level": c} for c in (0, 1, nan, "0.9")),
    *({**EXPECTED, "shift": s} for s in (nan, inf, HUGE, 800.0, "x", True)),
    *({**EXPECTED, "calibration": c} for c in ([1], "x", 7, {}, {**CALIBRATION, "calibration": 1})),
    *(
        {**EXPECTED, "calibration": {**CALIBRATION, "coefficients": c}}
        for c in ([0, 1, 0, 0, nan], [inf] * 5, [HUGE] * 5, "abcde", [1], [[0, 1, 0, 0]], None)
    ),
    {**EXPECTED, "calibration": {**CALIBRATION, "log_counts": [nan, 0]}},
]


@pytest.mark.parametrize("config", HOSTILE, ids=lambda config: repr(config)[:60])
def test_a_hostile_config_is_refused(config):
    """Whatever stands in a config, the answer is a rule or a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        from_config(config)


LABELS = Labels(["a", "b"], classes=["a", "b"])
LOGITS = [[5.0, -3.0], [0.0, 2.0]]


@pytest.mark.parametrize(
    "score",
    [
        lambda p: statement_log_loss(LABELS, p),
        lambda p: calibration_error(LABELS, p),
        lambda p: reliability_curve(LABELS, p),
        lambda p: contradicted_rows(LABELS, p),
        lambda p: evaluate(LABELS, p),
        lambda p: evaluate_through_channel(np.eye(2), p),
        lambda p: paired_difference(LABELS, p, [[0.5, 0.5]] * 2, "log_loss"),
        lambda p: paired_difference(LABELS, [[0.5, 0.5]] * 2, p, "log_loss"),
        lambda p: condition(p, LABELS),
    ],
)
@pytest.mark.parametrize("proba", [LOGITS, [[inf, 0], [0, 1]], [[-inf, 1], [0, 1]]])
def test_logits_are_no_probabilities(score, proba):
    """A negative number has no logarithm: its row would have passed for one that says nothing."""
    with pytest.raises(ValueError, match="look like logits"):
        score(proba)


def test_a_sum_that_is_a_rounding_above_one_is_one():
    """Shares of a float32 softmax add up to 1.0000001 at times."""
    above = np.nextafter(np.float32(1), np.float32(2))
    proba = np.array([[above, 0.25], [above, 0.75]], dtype=np.float32)
    labels = Labels.from_indicator([[1, 0], [1, 1]])
    for rule in (ExpectedJaccard(), ExpectedF1()):
        expected = rule.predict(np.minimum(proba, 1))
        np.testing.assert_array_equal(expected, rule.predict(proba))
        assert rule.fit(labels, proba).predict(proba)[:, 0].all()
    expected = -np.log([0.75, 0.75])
    np.testing.assert_allclose(statement_log_loss(labels, proba), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"row 0, column 0 is 1\.001"):
        ExpectedF1().predict([[1.001, 0.2]])


@pytest.mark.parametrize("chosen", [None, [True, False], [[0.3, 0.7], [0, 1]], [["a", "b"]] * 2])
def test_sets_are_true_and_false(chosen):
    """Probabilities in the place of decisions would all count as chosen."""
    with pytest.raises(ValueError, match="expected a bool matrix"):
        coverage_bounds(LABELS, chosen)


def test_complex_numbers_are_refused():
    """Their imaginary part would be lost."""
    with pytest.raises(ValueError, match="complex"):
        Argmax().predict([[0.5j, 0.5]])


def test_a_conformal_rank_is_one_at_least():
    """The least score is the cut of the smallest level; rank 0 would have been the largest."""
    assert 1 == conformal_rank(5, 1e-12)
    proba = [[0.9, 0.1], [0.6, 0.4]]
    rule = ConformalSet(1e-12).fit(Labels(["a", "a"], classes=["a", "b"]), proba)
    assert 0.1 == pytest.approx(rule.threshold_)
    with pytest.raises(ValueError, match="weights must be finite"):
        ConformalSet(0.5).fit(Labels(["a", "a"], classes=["a", "b"]), proba, np.full((2, 2), nan))


@pytest.mark.parametrize("seed", range(20))
def test_calibration_keeps_the_order_of_a_class_unless_its_slope_is_negative(seed):
    """At an equal row maximum p' rises with p where b >= 0, and else falls."""
    rng = np.random.default_rng(seed)
    proba = rng.random((40, 3))
    chance = (proba, 1 - proba, np.full((40, 3), 0.3), proba**4)[seed % 4]
    fitted = Calibration().fit(rng.random((40, 3)) < chance, proba)
    rising = np.tile([0.0, 0.995, 0.4], (99, 1))
    rising[:, 0] = np.linspace(0.01, 0.99, 99)
    steps = np.diff(fitted.transform(rising)[:, 0])
    assert (steps >= 0).all() if fitted.coefficients_[1] >= 0 else (steps <= 0).all()
    assert fitted.coefficients_[4] >= 0
