"""Rules for one true class, conformal sets, expected F1, and sets under joint laws."""

import itertools
import json

import numpy as np
import pytest

from eitheror import decide
from eitheror.decide import (
    ConformalSet,
    CostMatrix,
    ExpectedF1,
    Reject,
    best_f1_set,
    best_set_of_draws,
    condition,
    conformal_rank,
    expected_f1,
    f1_parameters,
    product_of_experts,
)
from eitheror.labels import Labels, either, evidence, not_, soft
from eitheror.metrics import evaluate

THREE = ["a", "b", "c"]


def rows_that_add_to_one(rng, n, k):
    """Random distributions over k classes."""
    return rng.dirichlet(np.ones(k), n)


def score_of(metric, chosen, truth):
    """The score of one set against one truth, by its definition."""
    hits, union = (chosen & truth).sum(), (chosen | truth).sum()
    if metric == "f1":
        return 2 * hits / (chosen.sum() + truth.sum()) if union else 1.0
    if metric == "jaccard":
        return hits / union if union else 1.0
    if metric == "accuracy":
        return float((chosen == truth).all())
    return float((chosen == truth).mean())


def all_sets(k):
    """Every subset of k classes as a bool row."""
    return np.array(list(itertools.product([False, True], repeat=k)))


# --- one true class -------------------------------------------------------------------------


def test_reject_says_nothing_exactly_where_that_is_cheaper():
    """Chow: a class is named iff its chance of being wrong costs no more than silence."""
    proba = rows_that_add_to_one(np.random.default_rng(0), 500, 3)
    for cost in (0.0, 0.2, 0.5, 1.0):
        decided = Reject(cost).predict(proba)
        wrong = 1 - proba.max(axis=1)
        expected = np.where(wrong <= cost, proba.argmax(axis=1), -1)
        np.testing.assert_array_equal(expected, decided)


def test_a_certain_class_is_named_even_when_silence_is_free():
    """Cost 0 names a class only at probability 1; cost 1 always names one."""
    assert [0, -1] == Reject(0.0).predict([[1.0, 0.0], [0.999, 0.001]]).tolist()
    assert [0, 1] == Reject(1.0).predict([[0.5, 0.5], [0.4, 0.6]]).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_cost_matrix_has_the_lowest_expected_cost(seed):
    """No decision costs less in expectation than the one chosen."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    costs, proba = rng.random((k, k + seed % 2)), rows_that_add_to_one(rng, 30, k)
    decided = CostMatrix(costs).predict(proba)
    expected = proba @ costs
    picked = np.where(decided < 0, k, decided)
    np.testing.assert_array_equal(expected.min(axis=1), expected[np.arange(30), picked])


def test_usual_costs_are_argmax_and_chow():
    """Cost 1 for every mistake is the most probable class; with a column for silence, Chow."""
    proba = rows_that_add_to_one(np.random.default_rng(1), 200, 3)
    mistakes = 1 - np.eye(3)
    np.testing.assert_array_equal(proba.argmax(axis=1), CostMatrix(mistakes).predict(proba))
    with_silence = np.column_stack([mistakes, np.full(3, 0.4)])
    np.testing.assert_array_equal(
        Reject(0.4).predict(proba), CostMatrix(with_silence).predict(proba)
    )


def test_no_decision_is_never_right():
    """A row without a decision counts as wrong in the scores."""
    report = evaluate(
        Labels(["a", "a"], classes=["a", "b"]), [[0.9, 0.1], [0.6, 0.4]], None, Reject(0.2)
    )
    assert 0.5 == report["metrics"]["accuracy"]["lower"] == report["metrics"]["accuracy"]["upper"]


def test_d05_extra_evidence_about_an_item():
    """p = (.2, .4, .3, .1) and "not 1 or 2": (2/3, 0, 0, 1/3)."""
    labels = Labels([not_("b", "c")], classes=list("abcd"))
    actual = condition([[0.2, 0.4, 0.3, 0.1]], labels)
    np.testing.assert_allclose([[2 / 3, 0, 0, 1 / 3]], actual, rtol=1e-12, atol=1e-16)


def test_pieces_of_evidence_in_turn_are_the_evidence_together():
    """Conditioning twice is conditioning on the product of the weights; nothing changes nothing."""
    proba = rows_that_add_to_one(np.random.default_rng(2), 1, 3)
    first = Labels([evidence({"a": 1.0, "b": 0.5, "c": 0.2})], classes=THREE)
    second = Labels([not_("c", trust=0.75)], classes=THREE)
    both = Labels([first[0] & second[0]], classes=THREE)
    np.testing.assert_allclose(
        condition(proba, both), condition(condition(proba, first), second), rtol=1e-12
    )
    np.testing.assert_allclose(proba, condition(proba, Labels([None], classes=THREE)), rtol=1e-15)


def test_condition_refuses_what_is_no_evidence():
    """Shares and impossible statements are named with their row."""
    proba = [[1.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match="row 0 holds shares"):
        condition(proba, Labels([soft({"a": 0.5, "b": 0.5})], classes=THREE))
    with pytest.raises(ValueError, match="rows 0: the statement has probability 0"):
        condition(proba, Labels([not_("a")], classes=THREE))
    with pytest.raises(ValueError, match="labels are 1 rows x 2 classes, proba is 1 x 3"):
        condition(proba, Labels(["a"], classes=["a", "b"]))


def test_d06_the_same_source_twice_is_counted_twice():
    """p q of .7 and .7 is 49/58; with rejection rates (.9, .1, .5) p q picks the wrong class."""
    assert 49 / 58 == pytest.approx(product_of_experts([[0.7, 0.3]], [[0.7, 0.3]])[0, 0], rel=1e-12)
    eta, rates = np.array([0.5, 0.45, 0.05]), np.array([0.9, 0.1, 0.5])
    kept = 1 - rates * (1 - eta)  # P(not rejected as i)
    assert 0 == eta.argmax()
    assert 1 == product_of_experts(eta[None], kept[None]).argmax()


def test_product_with_the_prior_is_bayes_for_independent_views():
    """Two views, independent given the class: p q / prior is the posterior from both."""
    rng = np.random.default_rng(3)
    prior = np.array([0.9, 0.07, 0.03])
    first, second = (rng.dirichlet(np.ones(4), 3) for _ in range(2))  # P(outcome | class)
    for i, j in itertools.product(range(4), repeat=2):
        p, q = prior * first[:, i], prior * second[:, j]
        exact = prior * first[:, i] * second[:, j]
        actual = product_of_experts([p / p.sum()], [q / q.sum()], prior=prior)[0]
        np.testing.assert_allclose(exact / exact.sum(), actual, rtol=1e-12)


def test_sources_that_exclude_each_other_are_named():
    """No class left is an error with the row, never a division by zero."""
    with pytest.raises(ValueError, match="rows 1: no class is possible for both"):
        product_of_experts([[0.5, 0.5], [1, 0]], [[0.5, 0.5], [0, 1]])


# --- conformal sets -------------------------------------------------------------------------


def test_d07_ranks():
    """alpha = .1: n = 8 is too few, n = 9 takes the 9th, n = 200 the 181st."""
    assert [None, 9, 181] == [conformal_rank(n, 0.9) for n in (8, 9, 200)]


def candidates_of(rng, y, k, rate):
    """The true class and each other class with one common rate."""
    mask = rng.random((len(y), k)) < rate
    mask[np.arange(len(y)), y] = True
    return mask


def coverage(rng, weights_of, rate, *, repetitions=60, n=200, k=5):
    """Mean coverage and set size over draws of calibration and new rows."""
    found = []
    for _ in range(repetitions):
        proba = rng.dirichlet(np.full(k, 0.4), 2 * n)
        y = np.array([rng.choice(k, p=p) for p in proba])
        mask = candidates_of(rng, y[:n], k, rate)
        rule = ConformalSet(0.9)
        rule.fit(Labels.from_candidates(mask), proba[:n], weights=weights_of(mask))
        chosen = rule.predict(proba[n:])
        found.append((chosen[np.arange(n), y[n:]].mean(), chosen.sum(axis=1).mean()))
    return np.mean(found, axis=0)


def test_candidate_sets_keep_the_promise():
    """Coverage is at least the level with exact labels and with distractors at any rate."""
    for rate in (0.0, 0.3):
        covered, _ = coverage(np.random.default_rng(4), lambda mask: None, rate)
        assert covered > 0.9 - 0.006  # 60 x 200 rows: standard error .003


def test_known_distractor_rate_gives_small_sets_at_the_level():
    """R = (1{k in S} - q) / (1 - q) reaches the level with sets about as small as exact labels."""
    q = 0.3
    covered, size = coverage(np.random.default_rng(5), lambda mask: (mask - q) / (1 - q), q)
    _, loose = coverage(np.random.default_rng(5), lambda mask: None, q)
    _, exact = coverage(np.random.default_rng(5), lambda mask: None, 0.0)
    assert abs(covered - 0.9) < 0.015
    assert size < exact + 0.3 < loose


def test_too_few_rows_choose_everything():
    """Without enough rows for a cut every class is chosen, and the config says so."""
    rule = ConformalSet(0.9).fit(Labels(["a"] * 8, classes=["a", "b"]), [[0.9, 0.1]] * 8)
    assert [[True, True]] == rule.predict([[1.0, 0.0]]).tolist()
    assert rule.to_config()["threshold"] is None
    assert "every class: too few calibration rows for 0.9" == rule.describe()


def test_rows_that_say_nothing_take_no_part():
    """An unknown row neither widens nor counts."""
    proba = rows_that_add_to_one(np.random.default_rng(6), 40, 3)
    data = ["a", either("a", "b"), None, "c"] * 10
    kept = [i for i, label in enumerate(data) if label is not None]
    whole = ConformalSet(0.8).fit(Labels(data, classes=THREE), proba)
    part = ConformalSet(0.8).fit(Labels([data[i] for i in kept], classes=THREE), proba[kept])
    assert part == whole


def test_without_noise_weights_change_nothing():
    """Exact labels with R = the identity give the threshold of exact labels."""
    rng = np.random.default_rng(7)
    proba, y = rows_that_add_to_one(rng, 100, 3), rng.integers(0, 3, 100)
    labels = Labels([THREE[k] for k in y], classes=THREE)
    plain = ConformalSet(0.9).fit(labels, proba)
    weighted = ConformalSet(0.9).fit(labels, proba, weights=np.eye(3)[y])
    assert plain.threshold_ == weighted.threshold_
    assert ("finite sample", "asymptotic") == (plain.guarantee_, weighted.guarantee_)


# --- expected F1 ----------------------------------------------------------------------------


def independent_law(p):
    """All sets and their probabilities for independent tags."""
    sets = all_sets(len(p))
    return sets, np.where(sets, p, 1 - p).prod(axis=1)


def test_expected_f1_of_every_prefix_is_exact():
    """The quadrature equals the sum over all outcomes."""
    rng = np.random.default_rng(8)
    for _ in range(100):
        p = np.sort(rng.random(int(rng.integers(1, 8))))[::-1]
        sets, law = independent_law(p)
        actual = expected_f1(p[None])[0]
        for k in range(len(p) + 1):
            prefix = np.arange(len(p)) < k
            expected = sum(w * score_of("f1", prefix, y) for y, w in zip(sets, law, strict=True))
            assert expected == pytest.approx(actual[k], abs=1e-12)


def test_no_set_beats_the_chosen_prefix():
    """For independent tags the rule's set is the best of all sets, in 500 small problems."""
    rng = np.random.default_rng(9)
    for _ in range(500):
        p = rng.random(int(rng.integers(1, 6)))
        sets, law = independent_law(p)
        scores = [
            sum(w * score_of("f1", chosen, y) for y, w in zip(sets, law, strict=True))
            for chosen in sets
        ]
        chosen = ExpectedF1().predict(p[None])[0]
        mine = scores[int("".join("01"[int(c)] for c in chosen), 2)]
        assert max(scores) == pytest.approx(mine, abs=1e-12)


def test_d04_f1_set_of_a_joint_law():
    """Law {A} .5, {A,B} .3, {B,C} .2: the set {A, B} with expected F1 .7333."""
    chosen, score = best_f1_set(*f1_parameters([[1, 0, 0], [1, 1, 0], [0, 1, 1]], [0.5, 0.3, 0.2]))
    assert [0, 1] == np.flatnonzero(chosen).tolist()
    assert 0.733333333333333333 == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("metric", ["f1", "jaccard", "accuracy", "hamming"])
def test_no_set_beats_the_set_of_the_draws(metric):
    """Under any joint law the set is the best of all sets and its score is the expectation."""
    rng = np.random.default_rng(10)
    for _ in range(125):
        k = int(rng.integers(1, 6))
        draws, weights = rng.random((6, k)) < 0.5, rng.dirichlet(np.ones(6))
        chosen, score = best_set_of_draws(draws, metric, weights)
        expectations = [
            sum(w * score_of(metric, h, y) for y, w in zip(draws, weights, strict=True))
            for h in all_sets(k)
        ]
        assert max(expectations) == pytest.approx(score, abs=1e-12)
        mine = sum(w * score_of(metric, chosen, y) for y, w in zip(draws, weights, strict=True))
        assert score == pytest.approx(mine, abs=1e-12)


def test_jaccard_search_with_many_tags_is_at_least_every_draw_and_prefix():
    """Beyond enumeration the search never ends below its starts."""
    rng = np.random.default_rng(11)
    draws = rng.random((40, 20)) < rng.random(20)
    chosen, score = best_set_of_draws(draws, "jaccard")
    order = np.argsort(-draws.mean(axis=0))
    starts = [*draws, *(np.isin(np.arange(20), order[:m]) for m in range(21))]
    for start in starts:
        assert score >= np.mean([score_of("jaccard", start, y) for y in draws]) - 1e-12
    assert score == pytest.approx(np.mean([score_of("jaccard", chosen, y) for y in draws]))


# --- storage and words ----------------------------------------------------------------------


def fitted_rules():
    """One of each new rule."""
    proba = rows_that_add_to_one(np.random.default_rng(12), 50, 3)
    labels = Labels(["a", "b"] * 25, classes=THREE)
    tags = np.random.default_rng(13).random((50, 3)) < proba
    return [
        Reject(0.25),
        CostMatrix([[0, 1, 2], [1, 0, 1], [5, 1, 0]]),
        ConformalSet(0.8).fit(labels, proba),
        ConformalSet(0.99).fit(labels, proba),
        ExpectedF1(at_least_one=True),
        ExpectedF1().fit(tags, proba),
    ]


@pytest.mark.parametrize("rule", fitted_rules(), ids=repr)
def test_rules_come_back_from_their_config(rule):
    """JSON holds the config, and the rule read back decides the same."""
    again = decide.from_config(json.loads(json.dumps(rule.to_config())))
    proba = rows_that_add_to_one(np.random.default_rng(14), 20, 3)
    np.testing.assert_array_equal(rule.predict(proba), again.predict(proba))
    assert rule == again
    assert rule.describe() == again.describe()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Reject(2), r"Reject\(2\): the cost of no decision lies between 0 and 1"),
        (lambda: CostMatrix([[1, 2, 3]]), r"costs has shape \(1, 3\); give a row for each"),
        (lambda: CostMatrix([[np.nan]]), "costs must be finite"),
        (
            lambda: CostMatrix(np.eye(2)).predict([[0.2, 0.3, 0.5]]),
            "proba has 3 classes, the costs 2",
        ),
        (
            lambda: ConformalSet(90),
            r"the confidence level lies between 0 and 1; it is \.9 for 90 %",
        ),
        (lambda: ConformalSet().predict([[0.5, 0.5]]), "has no threshold yet"),
        (
            lambda: ConformalSet().fit(Labels([None], classes=THREE), [[1, 0, 0.0]]),
            "every label is",
        ),
        (lambda: best_set_of_draws([[1]], "rand"), "unknown metric 'rand'"),
        (lambda: f1_parameters([[1]], [0.0]), "weights must be 1 numbers"),
        (lambda: product_of_experts([[1.0]], [[-1.0]]), "these look like logits"),
    ],
)
def test_misuse_is_named(call, message):
    """Each refusal says what came and what to write."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("draws", [[[0.2, 0.9]], [[float("nan"), 0.0]]])
def test_probabilities_are_no_draws(draws):
    """What is neither 0 nor 1 is refused: as a set it would hold every tag."""
    for chosen_from in (decide.best_set_of_draws, decide.f1_parameters):
        with pytest.raises(ValueError, match="draws are sets, 1 where a tag is present"):
            chosen_from(draws)
