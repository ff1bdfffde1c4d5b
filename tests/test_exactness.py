"""Every "exact", "sharp" and "optimal" of decide and metrics, on 500 small random problems each.

Each is held against all sets, all truths or all outcomes, scored by plain definitions that stand
here and share nothing with the package. Two claims have their 500 problems elsewhere: one tuned cut
(test_decide, 250 problems with and without "at least one" for each metric) and the set of
`ExpectedF1` (test_decide_sets).
"""

import itertools

import numpy as np
import pytest

from eitheror import decide, metrics
from eitheror.labels import Labels, evidence
from eitheror.noise import unbiased_weights

PROBLEMS = 500
TAG_SCORES = (
    "accuracy",
    "hamming",
    *(f"{m}_{a}" for m in ("f1", "jaccard") for a in ("micro", "macro", "samples")),
)


def generators():
    """One random generator for each problem."""
    return map(np.random.default_rng, range(PROBLEMS))


def bits(k):
    """All 0/1 rows of length k, shape (2 ** k, k)."""
    return np.array(list(itertools.product([False, True], repeat=k))).reshape(2**k, k) == 1


def quotient(top, bottom, empty):
    """top / bottom, `empty` for 0/0."""
    return np.where(bottom > 0, top / np.maximum(bottom, 1e-300), empty)


def score(name, chosen, truth):
    """A score of one decision (n, k) against many truths (m, n, k), by its definition."""
    chosen = np.broadcast_to(chosen, truth.shape)
    if name == "accuracy":
        return (chosen == truth).all(axis=2).mean(axis=1)
    if name == "hamming":
        return (chosen != truth).mean(axis=(1, 2))
    measure, average = name.split("_")
    axis = {"micro": (1, 2), "macro": 1, "samples": 2}[average]
    h, p, t = ((part).sum(axis=axis) for part in (chosen & truth, chosen, truth))
    top, bottom = (2 * h, p + t) if measure == "f1" else (h, p + t - h)
    value = quotient(top, bottom, 1.0 if average == "samples" else 0.0)
    if average == "micro":
        return value
    if average == "samples":
        return value.mean(axis=1)
    occurs = bottom > 0
    return quotient(np.where(occurs, value, 0).sum(axis=1), occurs.sum(axis=1), 0.0)


def expected(measure, chosen, outcomes, law):
    """The expected score of each set (s, k) under a law over outcomes (o, k)."""
    h = (chosen[:, None] & outcomes).sum(axis=2)
    p, t = chosen.sum(axis=1)[:, None], outcomes.sum(axis=1)
    if measure == "accuracy":
        return (chosen[:, None] == outcomes).all(axis=2) @ law
    if measure == "hamming":
        return (chosen[:, None] == outcomes).mean(axis=2) @ law
    top, bottom = (2 * h, p + t) if measure == "f1" else (h, p + t - h)
    return quotient(top, bottom, 1.0) @ law


def independent(p):
    """All outcomes of independent tags and their probabilities."""
    outcomes = bits(len(p))
    return outcomes, np.where(outcomes, p, 1 - p).prod(axis=1)


# --- decisions ------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["f1", "jaccard"])
def test_expected_score_of_prefixes_is_exact_and_the_best_one_is_the_best_set(measure):
    """`expected_f1`, `expected_jaccard` and their rules, for independent tags."""
    expect = {"f1": decide.expected_f1, "jaccard": decide.expected_jaccard}[measure]
    rule = {"f1": decide.ExpectedF1(), "jaccard": decide.ExpectedJaccard()}[measure]
    for rng in generators():
        p = np.sort(rng.random(int(rng.integers(1, 6))))[::-1].copy()
        outcomes, law = independent(p)
        prefixes = np.tri(len(p) + 1, len(p), -1, dtype=bool)
        actual = expect(p[None])[0]
        np.testing.assert_allclose(expected(measure, prefixes, outcomes, law), actual, atol=1e-12)
        best = expected(measure, outcomes, outcomes, law).max()
        mine = expected(measure, rule.predict(p[None]), outcomes, law)[0]
        assert best == pytest.approx(mine, abs=1e-12)


@pytest.mark.parametrize("measure", ["f1", "jaccard", "accuracy", "hamming"])
def test_no_set_beats_the_set_of_any_joint_law(measure):
    """`best_set_of_draws` under laws of dependent tags."""
    for rng in generators():
        draws = rng.random((5, int(rng.integers(1, 6)))) < rng.random()
        law = rng.dirichlet(np.ones(5))
        chosen, found = decide.best_set_of_draws(draws, measure, law)
        best = expected(measure, bits(draws.shape[1]), draws, law).max()
        assert best == pytest.approx(found, abs=1e-12)
        assert best == pytest.approx(expected(measure, chosen[None], draws, law)[0], abs=1e-12)


def test_gfm_needs_the_parameters_only():
    """`best_f1_set` of `f1_parameters` is the best set of the law that they come from."""
    for rng in generators():
        draws = rng.random((5, int(rng.integers(1, 6)))) < rng.random()
        law = rng.dirichlet(np.ones(5))
        chosen, found = decide.best_f1_set(*decide.f1_parameters(draws, law))
        best = expected("f1", bits(draws.shape[1]), draws, law).max()
        assert best == pytest.approx(found, abs=1e-12)
        assert best == pytest.approx(expected("f1", chosen[None], draws, law)[0], abs=1e-12)


@pytest.mark.parametrize("measure", ["f1", "jaccard"])
def test_one_cut_is_the_best_of_all_rules_for_calibrated_marginals(measure):
    """No set of entries has a better ratio of expectations than the tuned cut."""
    for rng in generators():
        p = rng.random((int(rng.integers(1, 4)), int(rng.integers(1, 4)))).round(1)
        rule = decide.TunedThreshold(f"{measure}_micro").fit(p, p)
        chosen = bits(p.size)
        hits, named = chosen @ p.ravel(), chosen.sum(axis=1)
        top, bottom = (
            (2 * hits, named + p.sum()) if measure == "f1" else (hits, named + p.sum() - hits)
        )
        assert quotient(top, bottom, 0.0).max() == pytest.approx(rule.score_, abs=1e-12)


def test_cuts_per_class_are_the_best_of_all_combinations():
    """`TunedThreshold(per_class=True)` for micro and macro scores, with unknown entries."""
    names = [f"{m}_{a}" for m in ("f1", "jaccard") for a in ("micro", "macro")]
    for seed, rng in enumerate(generators()):
        n, k = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        proba = rng.random((n, k)).round(1)
        truth = rng.random((n, k)) < 0.5
        known = rng.random((n, k)) < 0.8
        known[0, 0] = True
        labels = np.where(known, truth, np.nan)
        name = names[seed % 4]
        rule = decide.TunedThreshold(name, per_class=True, min_present=0).fit(labels, proba)
        cuts = [[np.inf, *np.unique(column)] for column in proba.T]
        best = max(
            score(name, (proba >= np.array(cut)) & known, (truth & known)[None])[0]
            for cut in itertools.product(*cuts)
        )
        assert best == pytest.approx(rule.score_, abs=1e-12)


def test_rules_for_one_true_class_have_the_lowest_expected_cost():
    """Argmax, Reject and CostMatrix against every decision; TopK and .5 against every set."""
    for rng in generators():
        k = int(rng.integers(2, 6))
        p = rng.dirichlet(np.ones(k))
        assert p.max() == p[decide.Argmax().predict(p[None])[0]]
        cost = float(rng.random())
        said = decide.Reject(cost).predict(p[None])[0]
        paid = cost if said < 0 else 1 - p[said]
        assert min(cost, 1 - p.max()) == pytest.approx(paid, abs=1e-12)
        costs = rng.random((k, k + 1))
        said = decide.CostMatrix(costs).predict(p[None])[0]
        assert (p @ costs).min() == pytest.approx((p @ costs)[said], abs=1e-12)
        size = int(rng.integers(1, k + 1))
        sets = bits(k)
        top = decide.TopK(size).predict(p[None])[0]
        assert (sets[sets.sum(axis=1) == size] @ p).max() == pytest.approx(p[top].sum(), abs=1e-12)
        marginals = rng.random(k)
        wrong = np.where(sets, 1 - marginals, marginals).sum(axis=1)
        named = decide.Threshold(0.5).predict(marginals[None])[0]
        mine = np.where(named, 1 - marginals, marginals).sum()
        assert wrong.min() == pytest.approx(mine, abs=1e-12)


def test_a_tie_between_a_class_and_silence_goes_to_the_class():
    """Chow's rule predicts at max p = 1 - cost, in float32 and float64, for any cost."""
    for rng in generators():
        cost = float(rng.integers(0, 50)) / 100
        rest = 1 - cost
        for dtype in (np.float32, np.float64):
            proba = np.array([[rest, cost]], dtype=dtype)
            assert 0 == decide.Reject(cost).predict(proba)[0], cost
            proba = np.array([[rest - 1e-5, cost + 1e-5]], dtype=dtype)
            if cost < 0.49:
                assert -1 == decide.Reject(cost).predict(proba)[0], cost


def test_combined_sources_are_bayes_rule():
    """`condition` and `product_of_experts` against the joint law of class and evidence."""
    for rng in generators():
        k = int(rng.integers(2, 5))
        prior = rng.dirichlet(np.ones(k)) + 0.01
        prior /= prior.sum()
        first, second = rng.dirichlet(np.ones(3), k), rng.dirichlet(np.ones(3), k)
        joint = prior * first[:, 0] * second[:, 1]
        views = [prior * first[:, 0], prior * second[:, 1]]
        one, two = (view / view.sum() for view in views)
        found = decide.product_of_experts(one[None], two[None], prior=prior)[0]
        np.testing.assert_allclose(joint / joint.sum(), found, rtol=1e-12)
        said = Labels([evidence(dict(enumerate(second[:, 1].tolist())))], classes=range(k))
        found = decide.condition(one[None], said)[0]
        np.testing.assert_allclose(joint / joint.sum(), found, rtol=1e-6)  # weights are float32


def test_conformal_sets_cover_each_row_as_often_as_promised_by_all_others():
    """Each of n + 1 rows in turn is the new one: at least the promised share is covered.

    That is what exchangeability promises exactly, with candidate sets as with exact labels.
    """
    for rng in generators():
        n, k = int(rng.integers(3, 15)), int(rng.integers(2, 5))
        proba = rng.dirichlet(np.ones(k), n + 1)
        y = rng.integers(0, k, n + 1)
        mask = rng.random((n + 1, k)) < rng.choice([0.0, 0.4])
        mask[np.arange(n + 1), y] = True
        level = float(rng.choice([0.5, 0.7, 0.9]))
        labels, covered = Labels.from_candidates(mask), 0
        for new in range(n + 1):
            rest = np.flatnonzero(np.arange(n + 1) != new)
            rule = decide.ConformalSet(level).fit(labels[rest], proba[rest])
            covered += rule.predict(proba[[new]])[0, y[new]]
        assert covered >= level * (n + 1) - 1e-9


# --- scores ---------------------------------------------------------------------------------


def tag_problem(rng):
    """Labels with unknown tags, all truths they allow, and two models' probabilities."""
    n, k = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    matrix = (rng.random((n, k)) < 0.5).astype(float)
    holes = rng.permutation(n * k)[: rng.integers(0, min(5, n * k) + 1)]
    matrix.ravel()[holes] = np.nan
    truths = np.repeat(matrix.reshape(1, -1), 2 ** len(holes), axis=0)
    truths[:, holes] = bits(len(holes))
    first = rng.random((n, k))
    second = np.where(rng.random((n, k)) < 0.5, first, rng.random((n, k)))
    return Labels.from_indicator(matrix), truths.reshape(-1, n, k) == 1, first, second


def class_problem(rng):
    """Labels that name candidates, all truths they allow as one-hot rows, and two models."""
    n, k = int(rng.integers(1, 5)), int(rng.integers(2, 4))
    mask = rng.random((n, k)) < 0.5
    mask[np.arange(n), rng.integers(0, k, n)] = True
    truths = np.array(list(itertools.product(*(np.flatnonzero(row) for row in mask))))
    first, second = rng.dirichlet(np.ones(k), n), rng.dirichlet(np.ones(k), n)
    return Labels.from_candidates(mask), np.eye(k, dtype=bool)[truths], first, second


def one_hot(proba):
    """The most probable class of each row."""
    return np.eye(proba.shape[1], dtype=bool)[proba.argmax(axis=1)]


def test_bounds_of_tags_are_sharp():
    """Each bound of `evaluate`, P@k and R@k is the least or the largest over all truths."""
    for rng in generators():
        labels, truths, proba, _ = tag_problem(rng)
        report = metrics.evaluate(labels, proba)["metrics"]
        for name in TAG_SCORES:
            seen = score(name, proba >= 0.5, truths)
            found = report[name]["lower"], report[name]["upper"]
            assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12), name
        k = int(rng.integers(1, proba.shape[1] + 1))
        hits = (decide.TopK(k).predict(proba) & truths).sum(axis=(1, 2))
        seen = hits / (k * len(proba))
        found = metrics.precision_at_k(labels, proba, k)[:2]
        assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12)
        seen = quotient(hits, truths.sum(axis=(1, 2)), 0.0)
        found = metrics.recall_at_k(labels, proba, k)[:2]
        assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12)


def test_bounds_of_one_true_class_are_sharp_but_for_macro_averages_which_are_outer():
    """Sharp for accuracy and what follows from it; macro bounds hold for every truth."""
    for rng in generators():
        labels, truths, proba, _ = class_problem(rng)
        report = metrics.evaluate(labels, proba)["metrics"]
        for name in TAG_SCORES:
            entry = report[name]
            if name == "hamming":  # here the share of rows, not of entries
                seen = 1 - score("accuracy", one_hot(proba), truths)
            else:
                seen = score(name, one_hot(proba), truths)
            if name.endswith("macro"):
                assert entry["lower"] <= seen.min() + 1e-12
                assert entry["upper"] >= seen.max() - 1e-12
            else:
                found = entry["lower"], entry["upper"]
                assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12), name
        seen = score("accuracy", one_hot(proba), truths)
        found = metrics.accuracy_bounds(labels, proba)[:2]
        assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12)


def macro_apart(name, one, two, truths):
    """Mean of the classes' differences, over those in the truth or in either decision."""
    occurs = one.any(axis=0) | two.any(axis=0) | truths.any(axis=1)
    apart = 0.0
    for sign, chosen in ((1, one), (-1, two)):
        h, p, t = ((part).sum(axis=-2) for part in (chosen & truths, chosen, truths))
        top, bottom = (2 * h, p + t) if name.startswith("f1") else (h, p + t - h)
        apart = apart + sign * quotient(top, bottom, 0.0).sum(axis=1)
    return apart / np.maximum(occurs.sum(axis=1), 1)


def test_differences_of_two_models_are_sharp():
    """`paired_difference` against the difference under every truth; outer for macro averages."""
    for rng in generators():
        labels, truths, *probas = tag_problem(rng)
        for name in TAG_SCORES:
            found = metrics.paired_difference(labels, *probas, name, repetitions=0)
            if name.endswith("macro"):
                apart = macro_apart(name, *(proba >= 0.5 for proba in probas), truths)
                assert found.lower <= apart.min() + 1e-12, name
                assert found.upper >= apart.max() - 1e-12, name
                continue
            one, two = (score(name, proba >= 0.5, truths) for proba in probas)
            seen = (one - two).min(), (one - two).max()
            assert seen == pytest.approx(found[:2], abs=1e-12), name
        labels, truths, *probas = class_problem(rng)
        one, two = (score("accuracy", one_hot(proba), truths) for proba in probas)
        found = metrics.paired_difference(labels, *probas, repetitions=0)
        assert ((one - two).min(), (one - two).max()) == pytest.approx(found[:2], abs=1e-12)


def test_scores_of_each_class_are_sharp_for_tags():
    """Precision, recall and F1 of `class_table`; None only where no truth defines them."""
    for rng in generators():
        labels, truths, proba, _ = tag_problem(rng)
        chosen = proba >= 0.5
        h, p, t = ((part).sum(axis=1) for part in (chosen & truths, chosen[None], truths))
        for k, row in enumerate(metrics.class_table(labels, proba)):
            parts = {
                "precision": (h[:, k], np.broadcast_to(p[:, k], h[:, k].shape)),
                "recall": (h[:, k], t[:, k]),
                "f1": (2 * h[:, k], p[:, k] + t[:, k]),
            }
            for name, (top, bottom) in parts.items():
                defined = bottom > 0
                if not defined.any():
                    assert row[name] is None
                    continue
                seen = top[defined] / bottom[defined]
                assert [seen.min(), seen.max()] == pytest.approx(row[name], abs=1e-12), name


@pytest.mark.parametrize("problem", [tag_problem, class_problem])
def test_calibration_errors_are_sharp(problem):
    """`calibration_error` and the ends of `reliability_curve` against every truth."""
    for rng in generators():
        labels, truths, proba, _ = problem(rng)
        best = proba.argmax(axis=1)
        rows = np.arange(len(proba))
        single = problem is class_problem
        scores = proba[rows, best] if single else proba.ravel()
        came = truths[:, rows, best] if single else truths.reshape(len(truths), -1)
        at = np.minimum((scores * 15).astype(int), 14)
        gaps = [np.abs((scores - came)[:, at == b].sum(axis=1)) for b in np.unique(at)]
        seen = np.sum(gaps, axis=0) / len(scores)
        found = metrics.calibration_error(labels, proba)[:2]
        assert (seen.min(), seen.max()) == pytest.approx(found, abs=1e-12)
        curve = metrics.reliability_curve(labels, proba)
        shares = [came[:, at == b].mean(axis=1) for b in np.unique(at)]
        ends = [[share.min(), share.max()] for share in shares]
        np.testing.assert_allclose(ends, [row["frequency"] for row in curve], atol=1e-12)


def test_accuracy_through_a_channel_is_unbiased():
    """Weighed by the chances of all statements, the estimate is 1 for the truth, 0 otherwise."""
    for rng in generators():
        k = int(rng.integers(2, 5))
        transition = 0.6 * np.eye(k) + 0.4 * rng.dirichlet(np.ones(k), k)
        written = Labels(list(range(k)), classes=range(k))
        weights = unbiased_weights(written, transition=transition)
        proba = rng.dirichlet(np.ones(k), 1)
        estimates = [
            metrics.evaluate_through_channel(weights[[e]], proba)["metrics"]["accuracy"]["lower"]
            for e in range(k)
        ]
        truth = np.arange(k) == proba.argmax()
        np.testing.assert_allclose(truth.astype(float), transition @ estimates, atol=1e-9)


def test_confusions_count_each_mistake_at_least_and_at_most():
    """Both ends of every count are reached by some truth, for one class and for tags."""
    for seed, rng in enumerate(generators()):
        labels, truths, proba, _ = (class_problem if seed % 2 else tag_problem)(rng)
        chosen = one_hot(proba) if seed % 2 else proba >= 0.5
        found = {
            (row["decided"], row["true"]): row
            for row in metrics.confusions(labels, proba, most=100)
        }
        names = labels.classes
        for d, t in itertools.permutations(range(proba.shape[1]), 2):
            mistakes = chosen[:, d] & ~truths[:, :, d] & ~chosen[:, t] & truths[:, :, t]
            seen = mistakes.sum(axis=1)
            row = found.get((names[d], names[t]), {"rows": [0, 0], "ruled_out": 0})
            assert [seen.min(), seen.max()] == row["rows"]
            assert row["rows"][0] <= row["ruled_out"] <= row["rows"][1]
