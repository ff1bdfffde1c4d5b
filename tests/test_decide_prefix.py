"""The compiled choice of expected-score sets: against all sets, against all prefixes, threads."""

import itertools

import numpy as np
import pytest

from eitheror.decide import (
    ExpectedF1,
    ExpectedJaccard,
    expected_f1,
    expected_jaccard,
    from_config,
    score_decision,
)
from eitheror.decide._quadrature import integration_rule, ladder, nodes_for
from eitheror.decide.scoring import samples_scores

MANY = 100_001  # entries from which rows are decided by the compiled kernel
RULES = [ExpectedJaccard, ExpectedF1]
EXPECTED = {ExpectedJaccard: expected_jaccard, ExpectedF1: expected_f1}


def all_sets(k):
    """Every subset of k classes as a row of 0 and 1."""
    return np.array(list(itertools.product([0, 1], repeat=k)), dtype=float)


def score_table(rule_type, sets):
    """The score of every set (row) where another one is true (column)."""
    hits, sizes = sets @ sets.T, sets.sum(axis=1)
    both = sizes[:, None] + sizes
    top, bottom = (2 * hits, both) if rule_type is ExpectedF1 else (hits, both - hits)
    return np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0)


def problems(rng, n, k):
    """Random marginals: smooth, rare, tied, with certain tags and impossible ones."""
    p = rng.random((n, k))
    kinds = np.arange(n) % 5
    p[kinds == 1] **= 6
    p[kinds == 2] = rng.integers(0, 5, (int((kinds == 2).sum()), k)) / 4
    p[kinds == 3] *= 0.05
    p[kinds == 4] = np.where(rng.random((int((kinds == 4).sum()), k)) < 0.3, 1.0, 0.3)
    return p


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("rule_type", RULES)
@pytest.mark.parametrize("k", range(1, 9))
def test_no_set_beats_the_compiled_choice(k, rule_type, at_least_one):
    """For 12,500 rows of up to 8 independent tags and more, no set has a higher expectation."""
    p = problems(np.random.default_rng(k), MANY // k + 1, k)
    sets = all_sets(k)
    law = np.ones((len(sets), len(p)))
    for tag in range(k):
        law *= np.where(sets[:, tag, None] == 1, p[:, tag], 1 - p[:, tag])
    expectations = score_table(rule_type, sets) @ law
    chosen = rule_type(at_least_one=at_least_one).predict(p)
    assert not at_least_one or chosen.any(axis=1).all()
    mine = expectations[chosen @ (1 << np.arange(k)[::-1]), np.arange(len(p))]
    best = expectations[int(at_least_one) :].max(axis=0)
    np.testing.assert_allclose(best, mine, rtol=0, atol=2e-12)


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("rule_type", RULES)
def test_the_compiled_choice_at_734_tags_is_that_of_all_prefixes(rule_type, at_least_one):
    """Few or many expected tags, ties, certain tags: the set is the smallest best prefix."""
    rng = np.random.default_rng(734)
    p = np.concatenate([
        rng.random((60, 734)) ** 12, rng.random((30, 734)) ** 60, rng.random((10, 734)),
        rng.random((20, 734)) * 0.002, problems(rng, 30, 734), np.zeros((1, 734)),
        np.ones((1, 734)), np.full((1, 734), 0.25),
    ])  # fmt: skip
    chosen = rule_type(at_least_one=at_least_one).predict(p)
    assert p.size >= MANY
    scores = EXPECTED[rule_type](p)[:, int(at_least_one) :]
    near = scores >= scores.max(axis=1, keepdims=True) - 1e-12
    np.testing.assert_array_equal(near.argmax(axis=1) + int(at_least_one), chosen.sum(axis=1))
    smallest_chosen = np.where(chosen, p, 2).min(axis=1)
    largest_other = np.where(chosen, -1, p).max(axis=1)
    assert (largest_other <= smallest_chosen).all()


@pytest.mark.parametrize("rule_type", RULES)
def test_a_row_is_decided_alike_alone_and_among_many(rule_type):
    """NumPy for few rows, the kernel for many, any number of threads: the same sets."""
    p = problems(np.random.default_rng(3), 4000, 60)
    rule = rule_type().fit(np.random.default_rng(4).random(p.shape) < p, p)
    together = rule.predict(p)
    np.testing.assert_array_equal(together, rule.predict(p, n_jobs=3))
    np.testing.assert_array_equal(together[:500], rule.predict(p[:500]))


@pytest.mark.parametrize("rows", [1, MANY])
def test_equal_tags_enter_in_the_order_of_the_classes(rows):
    """Of tags that are equally probable the first are chosen."""
    p = np.tile([[0.1, 0.6, 0.9, 0.6, 0.6]], (rows, 1))
    p[:, 4] = 0.0
    chosen = ExpectedJaccard().predict(p)
    assert [False, True, True, True, False] == chosen[-1].tolist()
    few = ExpectedJaccard(at_least_one=True).predict(np.full((rows, 3), 0.0))
    assert [True, False, False] == few[-1].tolist()


@pytest.mark.parametrize("rows", [1, MANY])
def test_of_equally_good_sizes_the_smallest_is_chosen(rows):
    """One tag of probability .5: the empty set and the tag alone expect .5 both."""
    assert not ExpectedJaccard().predict(np.full((rows, 1), 0.5)).any()
    assert [0.5, 0.5] == pytest.approx(expected_jaccard([[0.5]])[0], abs=1e-12)


def test_expectations_of_many_tags_are_exact():
    """At 734 tags, 56 or 370 of them expected, every prefix is within 1e-12 of the exact law."""
    rng = np.random.default_rng(0)
    for p in (rng.random(734) ** 12, rng.random(734)):
        p = np.sort(p)[::-1]
        outside = np.ones(1)
        exact = np.empty(len(p))
        for k in range(len(p), 0, -1):
            exact[k - 1] = p[:k].sum() * (outside / (k + np.arange(len(outside)))).sum()
            outside = np.convolve(outside, [1 - p[k - 1], p[k - 1]])
        np.testing.assert_allclose(exact, expected_jaccard([p])[0, 1:], rtol=0, atol=1e-12)
        number = np.ones(1)
        for share in p:
            number = np.convolve(number, [1 - share, share])
        # E[F1] of all tags is 2 E[|Y| / (K + |Y|)].
        both = (2 * number * np.arange(735) / (734 + np.arange(735))).sum()
        assert both == pytest.approx(expected_f1([p])[0, -1], abs=1e-12)


def test_integration_rules_reach_as_far_as_they_say():
    """Each rule of a ladder integrates t^n to 5e-13 of 1 / (n + 1) for every n in its reach."""
    rest, weights, sizes, reach = ladder(1500)
    assert reach[-1] >= 1500
    for row, (size, degree) in enumerate(zip(sizes.tolist(), reach.tolist(), strict=True)):
        powers, worst = weights[row, :size].copy(), 0.0
        for n in range(degree + 1):
            worst = max(worst, abs(powers.sum() * (n + 1) - 1))
            powers *= 1 - rest[row, :size]
        assert worst < 5e-13
        assert nodes_for(degree) <= size


@pytest.mark.parametrize("n_nodes", [4, 16, 64])
def test_integration_rules_are_those_of_gauss(n_nodes):
    """Nodes and weights are the ones NumPy gives for [-1, 1], mapped to [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    rest, mine = integration_rule(n_nodes)
    np.testing.assert_allclose((nodes + 1) / 2, 1 - rest, rtol=0, atol=1e-14)
    np.testing.assert_allclose(weights / 2, mine, rtol=1e-11)


@pytest.mark.parametrize("rule_type", RULES)
def test_numbers_that_are_no_probabilities_are_named(rule_type):
    """Logits are refused with their place and the way out, and so is a wrong n_jobs."""
    message = rf"{rule_type.__name__} needs probabilities .*; row 1, column 0 is -3\. For logits"
    with pytest.raises(ValueError, match=message):
        rule_type().predict([[0.5, 0.5], [-3.0, 0.1]])
    with pytest.raises(ValueError, match="n_jobs=0: expected a number of threads"):
        rule_type().predict([[0.5]], n_jobs=0)
    other = rule_type().fit([[1, 0], [0, 1]], [[0.6, 0.3], [0.2, 0.7]])
    with pytest.raises(ValueError, match="proba has 3 classes, the calibration 2"):
        other.predict([[0.1, 0.2, 0.3]])


# --- the shift ------------------------------------------------------------------------------


def common_cause(rng, n, k):
    """Marginals, and tags that depend on each other: one draw decides all tags of a row."""
    proba = rng.random((n, k)) ** 2
    return rng.random((n, 1)) < proba, proba


def fitted_with(rule_type, shift, labels, proba):
    """The sets that a rule with this shift chooses on the file that calibrated it."""
    return rule_type(shift=shift).fit(labels, proba).predict(proba)


@pytest.mark.parametrize(
    ("rule_type", "metric"), [*zip(RULES, ["jaccard_samples", "f1_samples"], strict=True)]
)
def test_the_tuned_shift_is_the_best_on_the_file(rule_type, metric):
    """No shift of the grid scores better on the rows given to `fit`."""
    labels, proba = common_cause(np.random.default_rng(5), 2000, 10)
    tuned = rule_type().fit(labels, proba)
    assert tuned.shift_ != 0
    scores = {
        shift: score_decision(
            metric, labels, rule_type(shift=shift).fit(labels, proba).predict(proba)
        )
        for shift in np.linspace(-1, 1, 21).round(1).tolist()
    }
    assert max(scores.values()) == pytest.approx(scores[tuned.shift_], abs=1e-12)
    assert tuned.describe().endswith(f", log-odds shifted by {tuned.shift_:+.4g}")


def test_a_shift_that_may_be_luck_is_not_taken():
    """Independent tags need no shift, and thirty rows are too few to tell."""
    rng = np.random.default_rng(6)
    proba = rng.random((8000, 6)) ** 2
    labels = rng.random(proba.shape) < proba
    assert abs(ExpectedJaccard().fit(labels, proba).shift_) <= 0.2
    shifts = [
        ExpectedJaccard().fit(labels[i : i + 30], proba[i : i + 30]).shift_
        for i in range(0, 600, 30)
    ]
    assert 0.0 == np.median(shifts)


def test_a_given_shift_raises_the_odds():
    """shift= adds to the log-odds, keeps 0 and 1, and survives the config."""
    rule = ExpectedJaccard(shift=0.7)
    p = np.array([[0.4, 0.3, 0.0, 1.0]])
    raised = 1 / (1 + np.exp(-(np.log(p[:, :2] / (1 - p[:, :2])) + 0.7)))
    plain = ExpectedJaccard().predict(np.concatenate([raised, p[:, 2:]], axis=1))
    np.testing.assert_array_equal(plain, rule.predict(p))
    assert "ExpectedJaccard(shift=0.7)" == repr(rule)
    assert rule == from_config(rule.to_config())
    assert 0.7 == rule.fit([[1, 0, 0, 1]], p).shift_
    with pytest.raises(ValueError, match="shift=nan: write a finite number from -100 to"):
        ExpectedF1(shift=float("nan"))


def test_row_scores_average_to_the_samples_score():
    """`samples_scores` is the definition, row by row, with unknown entries and empty rows."""
    rng = np.random.default_rng(7)
    for _ in range(100):
        targets = rng.choice([0.0, 1.0, 0.25, np.nan], (6, 4), p=[0.5, 0.3, 0.1, 0.1])
        targets[0] = np.nan
        chosen = rng.random((6, 4)) < 0.4
        for measure in ("jaccard", "f1"):
            means = samples_scores(measure, targets, [chosen, ~chosen]).mean(axis=1)
            for decision, mean in zip((chosen, ~chosen), means, strict=True):
                expected = score_decision(f"{measure}_samples", targets, decision)
                assert expected == pytest.approx(mean, abs=1e-12)
