"""Decision rules: exact searches against trying everything, ties, unknown entries, storage."""

import itertools
import json

import numpy as np
import pytest

from eitheror import decide
from eitheror.decide import (
    METRICS,
    Argmax,
    Calibration,
    ExpectedJaccard,
    Threshold,
    TopK,
    TunedThreshold,
    cross_fitted_score,
    default_rule,
    expected_jaccard,
    from_config,
    score_decision,
)
from eitheror.decide._search import _descending_order
from eitheror.labels import Labels, either, not_, tags


def problem(rng, *, n=None, k=None):
    """A small random problem: ties in half of them, unknown entries in a third."""
    n, k = n or rng.integers(1, 7), k or rng.integers(1, 5)
    tied = rng.random() < 0.5
    proba = rng.integers(1, 6, (n, k)) / 6 if tied else rng.random((n, k)).astype(np.float32)
    labels = rng.integers(0, 2, (n, k)).astype(float)
    if rng.random() < 0.34:
        labels[rng.random((n, k)) < 0.3] = np.nan
        labels[0, 0] = rng.integers(0, 2)
    if rng.random() < 0.2:
        labels[labels == 1] = rng.choice([0.25, 1.0], int((labels == 1).sum()))
    return labels, proba


def with_best(chosen, proba):
    """Add the first most probable class of each row."""
    chosen = chosen.copy()
    chosen[np.arange(len(proba)), proba.argmax(axis=1)] = True
    return chosen


# --- tuned cuts are exact -------------------------------------------------------------------


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_one_cut_is_the_best_of_all_cuts(metric, at_least_one):
    """No cut at any score, nor predicting nothing, beats the cut that `fit` finds."""
    rng = np.random.default_rng(METRICS.index(metric))
    for _ in range(250):  # 500 with both values of at_least_one
        labels, proba = problem(rng)
        rule = TunedThreshold(metric, at_least_one=at_least_one).fit(labels, proba)
        tried = [proba >= cut for cut in [np.inf, *np.unique(proba).astype(float)]]
        if at_least_one:
            tried = [with_best(chosen, proba) for chosen in tried]
        best = max(score_decision(metric, labels, chosen) for chosen in tried)
        assert best == pytest.approx(rule.score_, abs=1e-12)
        assert best == pytest.approx(score_decision(metric, labels, rule.predict(proba)), abs=1e-12)


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("metric", [m for m in METRICS if m.endswith(("micro", "macro"))])
def test_cuts_per_class_are_the_best_of_all_combinations(metric, at_least_one):
    """No combination of cuts, one per class, beats the ones that `fit` finds."""
    rng = np.random.default_rng(METRICS.index(metric))
    for _ in range(60):
        labels, proba = problem(rng, n=rng.integers(1, 5), k=rng.integers(1, 4))
        rule = TunedThreshold(metric, per_class=True, at_least_one=at_least_one, min_present=0)
        rule.fit(labels, proba)
        cuts = [[np.inf, *np.unique(column).astype(float)] for column in proba.T]
        best = 0.0
        for combination in itertools.product(*cuts):
            chosen = proba >= np.array(combination)
            chosen = with_best(chosen, proba) if at_least_one else chosen
            best = max(best, score_decision(metric, labels, chosen))
        assert best == pytest.approx(rule.score_, abs=1e-12)


def test_the_cut_lies_midway_between_distinct_scores():
    """The cut never splits equal scores and keeps its distance from both neighbours."""
    rule = TunedThreshold("f1_micro").fit([[1, 1, 1, 0]], [[0.9, 0.6, 0.6, 0.2]])
    assert rule.threshold_ == pytest.approx(0.4)
    split = TunedThreshold("f1_micro").fit([[1, 1, 0, 0]], [[0.9, 0.6, 0.6, 0.2]])
    assert split.predict([[0.9, 0.6, 0.6, 0.2]]).tolist() == [[True, True, True, False]]


def test_neighbouring_floats_are_told_apart():
    """Where no number lies between two float32 scores the cut is the upper one."""
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    proba = np.array([[high, low]], dtype=np.float32)
    rule = TunedThreshold("f1_micro").fit([[1, 0]], proba)
    assert rule.predict(proba).tolist() == [[True, False]]


def test_scores_that_differ_in_their_last_bits_are_sorted():
    """Thousands of doubles an ulp apart, ties, zeros of both signs, infinities: a stable sort."""
    rng = np.random.default_rng(3)
    steps = rng.integers(0, 300, 5000)
    close = 0.5 + steps * 2.0**-53
    mixed = rng.choice([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, 5e-324, -5e-324], 5000)
    for scores in (close, -close, mixed, np.concatenate([close, mixed, rng.normal(size=5000)])):
        for dtype in (np.float64, np.float32):
            with np.errstate(over="ignore"):
                given = scores.astype(dtype)
            expected = np.argsort(-given, kind="stable")
            np.testing.assert_array_equal(expected, _descending_order(given))
    cut = TunedThreshold("f1_micro").fit((steps >= 150)[:, None], close[:, None])
    assert 1.0 == cut.score_
    np.testing.assert_array_equal(steps >= 150, cut.predict(close[:, None])[:, 0])


def test_predicting_nothing_can_be_the_best():
    """Without a true tag the best cut lies above every score, and stays finite for JSON."""
    proba = np.array([[0.2, 1.0], [0.3, 0.4]])
    rule = TunedThreshold("jaccard_samples").fit(np.zeros((2, 2)), proba)
    assert not rule.predict(proba).any()
    assert np.isfinite(rule.threshold_)
    assert rule.score_ == 1.0


def test_classes_without_known_entries_take_the_common_cut():
    """A class that nobody spoke about is cut where all classes together would be."""
    labels = np.array([[1, np.nan], [0, np.nan]])
    proba = np.array([[0.8, 0.5], [0.2, 0.9]])
    rule = TunedThreshold("f1_macro", per_class=True, min_present=1).fit(labels, proba)
    assert [0.5, 0.5] == pytest.approx(rule.threshold_.tolist())


def test_rare_classes_take_the_common_cut():
    """A class with fewer than min_present tags is cut where all classes together are."""
    rng = np.random.default_rng(4)
    labels, proba = rng.random((60, 4)) < [0.5, 0.4, 0.3, 0.02], rng.random((60, 4))
    common = TunedThreshold("f1_macro").fit(labels, proba).threshold_
    own = TunedThreshold("f1_macro", per_class=True, min_present=0).fit(labels, proba).threshold_
    mixed = TunedThreshold("f1_macro", per_class=True).fit(labels, proba).threshold_
    assert [*own[:3], common] == mixed.tolist()


def test_labels_and_matrices_tune_alike():
    """`Labels` and the matrix of 1, 0 and nan give the same cut; `either` stays open."""
    labels = Labels(
        [tags("a"), not_("b"), None, either("a", "c")], classes=list("abc"), task="multilabel"
    )
    matrix = np.full((4, 3), np.nan)
    matrix[0], matrix[1, 1] = [1, 0, 0], 0
    proba = np.random.default_rng(0).random((4, 3))
    assert TunedThreshold("f1_micro").fit(labels, proba) == TunedThreshold("f1_micro").fit(
        matrix, proba
    )


def test_micro_f1_and_jaccard_share_their_cut():
    """J = F / (2 - F) grows with F."""
    rng = np.random.default_rng(2)
    labels, proba = rng.random((40, 3)) < 0.3, rng.random((40, 3))
    f1 = TunedThreshold("f1_micro").fit(labels, proba)
    jaccard = TunedThreshold("jaccard_micro").fit(labels, proba)
    assert f1.threshold_ == jaccard.threshold_
    assert f1.score_ / (2 - f1.score_) == pytest.approx(jaccard.score_)


# --- the plain rules ------------------------------------------------------------------------


def test_argmax_takes_the_first_of_equals():
    """Ties go to the first class."""
    assert Argmax().predict([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]).tolist() == [0, 2]


@pytest.mark.parametrize("seed", range(10))
def test_top_k_equals_a_stable_sort(seed):
    """TopK is the first k of a stable descending sort, also with ties."""
    rng = np.random.default_rng(seed)
    proba = rng.integers(0, 4, (20, 6)) / 4
    for k in range(1, 8):
        expected = np.zeros(proba.shape, dtype=bool)
        order = np.argsort(-proba, axis=1, kind="stable")[:, :k]
        np.put_along_axis(expected, order, True, axis=1)
        assert expected.tolist() == TopK(k).predict(proba).tolist()


def test_threshold_includes_its_own_value():
    """A score equal to the threshold is chosen; at_least_one adds the best of an empty row."""
    proba = [[0.5, 0.6, 0.4], [0.1, 0.3, 0.3]]
    assert Threshold(0.5).predict(proba).tolist() == [[True, True, False], [False] * 3]
    assert Threshold(0.5, at_least_one=True).predict(proba).tolist() == [
        [True, True, False],
        [False, True, False],
    ]


def test_default_rules():
    """Argmax for one class, .5 for marginals, the largest for shares."""
    assert default_rule("multiclass", "probabilities") == Argmax()
    assert default_rule("multilabel", "marginals") == Threshold(0.5)
    assert default_rule("multilabel", "shares") == TopK(1)
    with pytest.raises(ValueError, match="unknown task 'other'"):
        default_rule("other")


# --- expected Jaccard -----------------------------------------------------------------------


def brute_force_jaccard(p):
    """Expected Jaccard of every set, by all outcomes."""
    k = len(p)
    outcomes = list(itertools.product([0, 1], repeat=k))
    chance = [np.prod([q if y else 1 - q for q, y in zip(p, o, strict=True)]) for o in outcomes]
    result = {}
    for chosen in outcomes:
        score = 0.0
        for truth, weight in zip(outcomes, chance, strict=True):
            union = sum(a | b for a, b in zip(chosen, truth, strict=True))
            both = sum(a & b for a, b in zip(chosen, truth, strict=True))
            score += weight * (both / union if union else 1.0)
        result[chosen] = score
    return result


@pytest.mark.parametrize("seed", range(20))
def test_expected_jaccard_against_all_sets_and_outcomes(seed):
    """The best prefix is the best of all sets, and its expectation is exact."""
    rng = np.random.default_rng(seed)
    p = rng.random(rng.integers(1, 6))
    every = brute_force_jaccard(p)
    scores = expected_jaccard([p])[0]
    order = np.argsort(-p)
    for size in range(len(p) + 1):
        chosen = tuple(int(i in order[:size]) for i in range(len(p)))
        assert every[chosen] == pytest.approx(scores[size], abs=1e-12)
    best = ExpectedJaccard().predict([p])[0]
    assert max(every.values()) == pytest.approx(every[tuple(best.astype(int))], abs=1e-12)


def test_expected_jaccard_of_many_classes():
    """Over 700 classes quadrature agrees with the exact law of the number of tags outside."""
    p = np.sort(np.random.default_rng(0).random(734) ** 12)[::-1]
    outside = np.ones(1)
    exact = np.empty(len(p))
    for k in range(len(p), 0, -1):
        exact[k - 1] = p[:k].sum() * (outside / (k + np.arange(len(outside)))).sum()
        outside = np.convolve(outside, [1 - p[k - 1], p[k - 1]])
    assert exact == pytest.approx(expected_jaccard([p])[0, 1:], abs=1e-9)


def test_expected_jaccard_of_certain_tags():
    """Certain tags are chosen, certain absence gives the empty set, and at_least_one forbids it."""
    assert ExpectedJaccard().predict([[1.0, 0.0, 1.0]]).tolist() == [[True, False, True]]
    assert not ExpectedJaccard().predict([[0.0, 0.0]]).any()
    assert ExpectedJaccard(at_least_one=True).predict([[0.1, 0.2]]).tolist() == [[False, True]]


# --- calibration ----------------------------------------------------------------------------


def test_calibration_undoes_a_logistic_distortion():
    """Scores distorted in odds, differently for rare classes, become frequencies again."""
    rng = np.random.default_rng(0)
    marginal = 1 / (1 + np.exp(-rng.normal(size=(4000, 5)) - np.linspace(-2, 1, 5)))
    labels = rng.random(marginal.shape) < marginal
    odds = np.log(marginal / (1 - marginal))
    distorted = 1 / (1 + np.exp(-2.5 * odds - 1))
    calibrated = Calibration().fit(labels, distorted).transform(distorted)
    assert np.abs(calibrated - marginal).mean() < 0.02


def test_calibration_keeps_the_order_inside_a_class_up_to_the_row():
    """At equal row maxima a larger score of a class stays larger; certain scores stay finite."""
    rng = np.random.default_rng(1)
    proba = rng.random((50, 3))
    calibration = Calibration().fit(rng.random((50, 3)) < proba, proba)
    low, high = calibration.transform([[0.2, 0.9, 0.1], [0.4, 0.9, 0.1]])[:, 0]
    assert low < high
    assert np.isfinite(calibration.transform([[0.0, 1.0, 0.5]])).all()


def test_calibration_follows_a_curve_and_never_turns_back():
    """A slope that grows with the log-odds is found; one that would turn back is left straight."""
    rng = np.random.default_rng(5)
    odds = rng.normal(size=(6000, 4)) * 2
    proba = 1 / (1 + np.exp(-odds))
    for curve in (0.4, -0.1):
        marginal = 1 / (1 + np.exp(-(0.5 + curve * np.abs(odds)) * odds))
        calibration = Calibration().fit(rng.random(odds.shape) < marginal, proba)
        if curve > 0:
            assert np.abs(calibration.transform(proba) - marginal).mean() < 0.02
        else:
            assert calibration.coefficients_[4] == 0.0
        same_row = np.column_stack([np.linspace(0.01, 0.98, 50), np.full((50, 3), 0.99)])
        assert (np.diff(calibration.transform(same_row)[:, 0]) > 0).all()


def test_calibrations_saved_without_a_curve_are_read():
    """Four coefficients mean e = 0."""
    config = {"calibration": "logistic", "coefficients": [0.1, 2.0, 0.3, 0.4], "log_counts": [1.0]}
    calibration = Calibration.from_config(config)
    assert [0.1, 2.0, 0.3, 0.4, 0.0] == calibration.coefficients_.tolist()
    odds = np.log(0.7 / 0.3)
    expected = 1 / (1 + np.exp(-(0.1 + 2 * odds + 0.3 + 0.4 * odds)))
    assert expected == pytest.approx(calibration.transform([[0.7]])[0, 0], rel=1e-12)


def test_calibration_survives_storage_and_separable_data():
    """The config gives the same numbers; perfectly separated labels give finite coefficients."""
    labels, proba = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.2, 0.8]])
    calibration = Calibration().fit(labels, proba)
    stored = Calibration.from_config(json.loads(json.dumps(calibration.to_config())))
    assert calibration.transform(proba).tolist() == stored.transform(proba).tolist()
    assert np.isfinite(calibration.coefficients_).all()


# --- cross-fitted scores --------------------------------------------------------------------


def test_cross_fitted_score_is_less_rosy():
    """On noise the score on the file flatters the cut; the cross-fitted one does so less."""
    gaps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels, proba = rng.random((30, 6)) < 0.2, rng.random((30, 6))
        rule = TunedThreshold("f1_macro", per_class=True, min_present=0)
        held_out, on_file = cross_fitted_score(rule, labels, proba, "f1_macro")
        gaps.append(on_file - held_out)
        assert not hasattr(rule, "threshold_")
    assert np.mean(gaps) > 0.1


def test_cross_fitted_score_of_a_fixed_rule_is_its_score():
    """A rule that learns nothing scores the same both ways, for any seed and folds."""
    rng = np.random.default_rng(0)
    labels, proba = rng.random((23, 4)) < 0.3, rng.random((23, 4))
    expected = score_decision("f1_samples", labels, Threshold(0.7).predict(proba))
    for cv, seed in ((2, 0), (5, 1), (23, 2)):
        pair = cross_fitted_score(Threshold(0.7), labels, proba, "f1_samples", cv, seed)
        assert (expected, expected) == pair


def test_cross_fitting_can_include_the_calibration():
    """The calibration is fitted inside the folds and left alone outside."""
    rng = np.random.default_rng(0)
    proba = rng.random((200, 4))
    labels = rng.random((200, 4)) < proba**3
    calibration = Calibration()
    held_out, on_file = cross_fitted_score(
        Threshold(0.4), labels, proba, "f1_micro", calibration=calibration
    )
    assert not hasattr(calibration, "coefficients_")
    assert abs(held_out - on_file) < 0.05


@pytest.mark.parametrize(("n", "reported", "true"), [(30, 0.519, 0.362), (300, 0.438, 0.394)])
def test_optimism_of_a_tuned_cut(n, reported, true):
    """Calibrated scores from a Beta(1/2, 2) law: what the cut reports and what it is worth."""
    rng = np.random.default_rng(0)
    law = np.sort(rng.beta(0.5, 2, 200_000))
    above = np.append(np.cumsum(law[::-1])[::-1], 0.0)
    found = []
    for _ in range(400):
        proba = rng.beta(0.5, 2, (n, 1))
        rule = TunedThreshold("jaccard_micro").fit(rng.random((n, 1)) < proba, proba)
        first = np.searchsorted(law, rule.threshold_)
        found.append((rule.score_, above[first] / (above[0] + len(law) - first - above[first])))
    noise = np.std(found, axis=0) / np.sqrt(400)
    # The theory's own figures come from some hundred draws as well.
    assert (np.abs(np.mean(found, axis=0) - [reported, true]) < 4 * noise).all()


# --- storage and words ----------------------------------------------------------------------


def fitted_rules():
    """One of each rule, fitted."""
    rng = np.random.default_rng(0)
    labels, proba = rng.random((30, 3)) < 0.3, rng.random((30, 3))
    return [
        Argmax(),
        TopK(2),
        Threshold(0.3, at_least_one=True),
        TunedThreshold("f1_samples", at_least_one=True).fit(labels, proba),
        TunedThreshold("f1_macro", per_class=True).fit(labels, proba),
        ExpectedJaccard(),
        ExpectedJaccard(at_least_one=True).fit(labels, proba),
        ExpectedJaccard(shift=-0.5).fit(labels, proba),
    ]


@pytest.mark.parametrize("rule", fitted_rules(), ids=repr)
def test_rules_survive_json(rule):
    """config -> JSON -> rule is the identity, and the two decide alike."""
    proba = np.random.default_rng(1).random((9, 3))
    stored = from_config(json.loads(json.dumps(rule.to_config())))
    assert rule == stored
    assert hash(rule) == hash(stored)
    assert rule.predict(proba).tolist() == stored.predict(proba).tolist()
    assert rule.describe() == stored.describe()
    assert "\n" not in rule.describe()


def test_rules_say_what_they_do():
    """Each rule has one plain line."""
    labels, proba = [[1, 1, 0, 1], [0, 1, 0, 0]], [[0.9, 0.8, 0.7, 0.6], [0.55, 0.4, 0.3, 0.2]]
    tuned = TunedThreshold("f1_micro", at_least_one=True).fit(labels, proba)
    assert TopK(3).describe() == "the 3 most probable classes"
    assert Threshold(0.25).describe() == "every class with probability 0.25 or more"
    assert tuned.describe() == (
        "every class with probability 0.35 or more (tuned for f1_micro), "
        "and always the most probable one"
    )
    per_class = TunedThreshold("f1_macro", per_class=True).fit(labels, proba)
    assert "4 cuts from" in per_class.describe()
    assert ExpectedJaccard(at_least_one=True).describe().startswith("the set of at least one")


def test_rules_are_equal_only_to_their_like():
    """Different options or other types are different rules."""
    assert Threshold(0.5) != Threshold(0.5, at_least_one=True)
    assert Argmax() != "argmax"
    assert TunedThreshold("f1_micro") != Argmax()
    assert TunedThreshold("f1_micro") == TunedThreshold("f1_micro")
    assert repr(TunedThreshold("f1_macro", True)) == "TunedThreshold('f1_macro', per_class=True)"
    assert "min_present=3" in repr(TunedThreshold("f1_micro", True, min_present=3))


# --- messages -------------------------------------------------------------------------------

SQUARE = np.eye(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TunedThreshold("f1"), "unknown metric 'f1'; write one of f1_micro"),
        (lambda: TunedThreshold("f1_samples", True), "ties the classes together"),
        (lambda: TunedThreshold("accuracy", True), "ties the classes together"),
        (lambda: TunedThreshold("f1_micro").predict(SQUARE), r"call fit\(labels, proba\) first"),
        (lambda: TunedThreshold("f1_micro").to_config(), "no cut yet"),
        (lambda: TunedThreshold("f1_micro").describe(), "no cut yet"),
        (lambda: TunedThreshold("f1_micro").fit(SQUARE * np.nan, SQUARE), "every label is unknown"),
        (lambda: TunedThreshold("f1_micro").fit(SQUARE, np.ones((2, 3))), "2 rows x 2 classes"),
        (lambda: TunedThreshold("f1_micro").fit(SQUARE * 2, SQUARE), "row 0, column 0 is 2"),
        (
            lambda: TunedThreshold("f1_micro").fit(Labels(["a", "b"]), SQUARE),
            "one true class per row",
        ),
        (
            lambda: TunedThreshold("f1_micro", True).fit(SQUARE, SQUARE).predict(np.ones((1, 3))),
            "3 classes, the rule was tuned for 2",
        ),
        (lambda: TopK(0), "1 or more"),
        (lambda: TopK(True), "1 or more"),
        (lambda: Threshold(float("nan")), "finite"),
        (lambda: Argmax().predict([0.5, 0.5]), r"shape \(n_samples, n_classes\)"),
        (lambda: Argmax().predict([[0.5, float("nan")]]), "nan in row 0"),
        (lambda: from_config({"rule": "magic"}), "unknown decision rule 'magic'; known are argmax"),
        (lambda: from_config({"rule": "top_k"}), "does not fit its entries"),
        (
            lambda: from_config(TunedThreshold("f1_micro").fit(SQUARE, SQUARE).to_config()
                                | {"threshold": [0.5]}),
            "needs one finite threshold",
        ),
        (lambda: cross_fitted_score(Threshold(), SQUARE, SQUARE, "f1_micro", 3), "cv=3 folds"),
        (lambda: expected_jaccard([[1.5]]), "between 0 and 1"),
        (lambda: Calibration().transform(SQUARE), "not fitted"),
        (lambda: Calibration().to_config(), "not fitted"),
        (lambda: Calibration().fit(SQUARE * np.nan, SQUARE), "nothing to calibrate on"),
        (lambda: Calibration().fit(SQUARE, SQUARE).transform([[0.5]]), "1 classes"),
        (lambda: Calibration.from_config({"calibration": "other"}), "not a calibration"),
    ],
)  # fmt: skip
def test_wrong_use_is_named(call, message):
    """Each mistake is a ValueError that says what came and what to write."""
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_that_are_no_matrix_are_refused():
    """A list of names is not tags; the message names the container to use."""
    with pytest.raises(TypeError, match=r"write Labels\(\.\.\.\) around it"):
        TunedThreshold("f1_micro").fit(["a", "b"], SQUARE)


def test_sixteen_bit_scores_are_taken():
    """float16 probabilities are read without loss."""
    rule = TunedThreshold("f1_micro").fit(SQUARE, SQUARE.astype(np.float16))
    assert rule.score_ == 1.0
    assert decide.score_decision("f1_micro", SQUARE, SQUARE) == 1.0
