"""Channels: what the generators draw, the weights that undo it, and the matrix from data."""

import itertools

import numpy as np
import pytest

import eitheror as eo
from eitheror import losses, noise

N = 20_000
K = 4


def truths(n=N, n_classes=K):
    """Each class equally often."""
    return np.arange(n) % n_classes


def frequencies(rows, y, n_classes=K):
    """Share of each distinct row among the rows of each true class."""
    kinds, index = np.unique(rows, axis=0, return_inverse=True)
    table = np.zeros((n_classes, len(kinds)))
    np.add.at(table, (y, index.ravel()), 1.0)
    return kinds, table / table.sum(axis=1, keepdims=True)


def within_error(actual, expected, n=N // K, sigmas=5.0):
    """Frequencies of n draws are within a few standard errors of their probabilities."""
    expected = np.broadcast_to(expected, actual.shape)
    error = sigmas * np.sqrt(expected * (1 - expected) / n)
    assert np.all(np.abs(actual - expected) <= error + 1e-12)


# --- generators ----------------------------------------------------------------------------


def test_uniform_complementary_labels_are_equally_likely_wrong_classes():
    """One wrong class each, 1 / (K - 1), and never the true one: CAR."""
    y = truths()
    labels = noise.corrupt_complementary(y, K, random_state=0)
    assert {"not": N} == {kind: n for kind, n in labels.kind_counts().items() if n}
    ruled_out = 1 - labels.to_targets()
    _, table = frequencies(ruled_out[:, ::-1], y)  # rows sorted as the classes are
    within_error(table, (1 - np.eye(K)) / (K - 1))
    assert 0 == np.trace(table)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_several_complementary_labels_are_a_uniform_subset(n):
    """n wrong classes, every subset equally likely; n = K - 1 names the class."""
    y = truths()
    labels = noise.corrupt_complementary(y, K, n=n, random_state=1)
    kinds, table = frequencies(labels.to_targets(), y)
    inside = kinds.T == 1  # (class, kind)
    share = 1 / np.count_nonzero(inside, axis=1, keepdims=True)
    within_error(table, np.where(inside, share, 0.0))


def test_biased_complementary_labels_follow_the_matrix():
    """The class ruled out is drawn from the row of the transition."""
    y = truths()
    T = noise.complementary_transition(K, (0.7, 0.2, 0.1), random_state=2)
    labels = noise.corrupt_complementary(y, K, transition=T, random_state=3)
    _, table = frequencies(1 - labels.to_targets()[:, ::-1], y)
    within_error(table, T)


def test_instance_dependent_complementary_labels_follow_each_row():
    """With proba, the class ruled out is drawn from it, the true class left out."""
    y = truths()
    p = np.array([0.4, 0.3, 0.2, 0.1])
    labels = noise.corrupt_complementary(y, K, proba=np.tile(p, (N, 1)), random_state=4)
    expected = np.where(np.eye(K) == 1, 0.0, p)
    _, table = frequencies(1 - labels.to_targets()[:, ::-1], y)
    within_error(table, expected / expected.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("pair", [False, True])
def test_flips_follow_the_matrix(pair):
    """A share of labels is wrong: any class alike, or the next one."""
    y = truths()
    T = noise.flip_transition(K, 0.3, pair=pair)
    labels = noise.corrupt_flip(y, K, transition=T, random_state=5)
    table = np.zeros((K, K))
    np.add.at(table, (y, labels.exact_index()), 1.0)
    within_error(table / (N // K), T)


def test_flips_by_rate_and_by_instance():
    """rate flips to all classes alike; with proba, to those likely in the row."""
    y = truths()
    p = np.array([0.4, 0.3, 0.2, 0.1])
    wrong = np.where(np.eye(K) == 1, 0.0, p)
    chance = 0.4 * wrong / wrong.sum(axis=1, keepdims=True) + 0.6 * np.eye(K)
    for arguments, expected in (
        ({}, noise.flip_transition(K, 0.4)),
        ({"proba": np.tile(p, (N, 1))}, chance),
    ):
        labels = noise.corrupt_flip(y, K, rate=0.4, random_state=6, **arguments)
        table = np.zeros((K, K))
        np.add.at(table, (y, labels.exact_index()), 1.0)
        within_error(table / (N // K), expected)


def is_coarsening_at_random(kinds, table):
    """Every set is as often written for each of its members."""
    for kind, column in zip(kinds, table.T, strict=True):
        members = column[kind == 1]
        within_error(members, members.mean(), sigmas=6.0)
        assert 0 == column[kind == 0].sum()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, lambda size: 1 / (2 ** (K - 1) - 1)),
        ({"rate": 0.3}, lambda size: 0.3 ** (size - 1) * 0.7 ** (K - size)),
        ({"size": 2}, lambda size: 1 / (K - 1) if size == 2 else 0.0),
    ],
)
def test_sets_are_drawn_by_their_size_alone(how, expected):
    """Uniform sets, independent distractors and sets of one size: known frequencies, CAR."""
    y = truths()
    kinds, table = frequencies(noise.corrupt_sets(y, K, random_state=7, **how).to_targets(), y)
    wanted = np.where(kinds.T == 1, [expected(size) for size in kinds.sum(axis=1)], 0.0)
    within_error(table, wanted)
    is_coarsening_at_random(kinds, table)
    every = {s for s in itertools.product([0.0, 1.0], repeat=K) if any(s) and expected(sum(s)) > 0}
    if not how:
        every.remove((1.0,) * K)
    assert every == set(map(tuple, kinds.tolist()))


def test_pairs_are_coarsening_at_random_only_if_mutual():
    """Partners of each other: CAR. A ring of partners: a pair comes from one of its members."""
    y = truths()
    mutual = noise.corrupt_sets(y, K, rate=0.4, partner=[1, 0, 3, 2], random_state=8)
    is_coarsening_at_random(*frequencies(mutual.to_targets(), y))
    ring = noise.corrupt_sets(y, K, rate=0.4, partner=[1, 2, 3, 0], random_state=8)
    kinds, table = frequencies(ring.to_targets(), y)
    pairs = kinds.sum(axis=1) == 2
    within_error(table[:, pairs].max(axis=0), 0.4)
    assert np.all(1 == np.count_nonzero(table[:, pairs], axis=0))


def test_instance_dependent_sets_take_in_what_looks_alike():
    """Class k joins with probability rate * p_k / mean(wrong p), at most 1."""
    y = truths()
    p = np.array([0.1, 0.2, 0.3, 0.4])
    labels = noise.corrupt_sets(y, K, rate=0.4, proba=np.tile(p, (N, 1)), random_state=9)
    joined = np.stack([labels.to_targets()[y == k].mean(axis=0) for k in range(K)])
    for k in range(K):
        others = np.arange(K) != k
        within_error(joined[k, others], np.minimum(1, 0.4 * p[others] / p[others].mean()))
        assert 1 == joined[k, k]


@pytest.mark.parametrize("how", [{}, {"rate": 0.3}, {"size": 2}])
def test_missed_sets_leave_the_truth_out(how):
    """The truth is outside the set at the rate asked for, and no set is empty."""
    y = truths()
    mask = noise.corrupt_sets(y, K, miss=0.2, random_state=10, **how).to_targets()
    within_error(np.array([1 - mask[np.arange(N), y].mean()]), 0.2, n=N)
    assert mask.max(axis=1).min() == 1
    if "size" in how:
        assert {2.0} == set(mask.sum(axis=1))


def test_the_same_seed_draws_the_same_labels():
    """Generators depend on random_state alone."""
    y = truths(50)
    for draw in (
        lambda seed: noise.corrupt_complementary(y, K, random_state=seed),
        lambda seed: noise.corrupt_flip(y, K, rate=0.5, random_state=seed),
        lambda seed: noise.corrupt_sets(y, K, random_state=seed),
    ):
        assert draw(3) == draw(np.random.default_rng(3))
        assert draw(3) != draw(4)


def test_names_of_classes_are_kept():
    """Exact labels as truth keep their names."""
    y = eo.Labels(["a", "b"], classes=["a", "b"])
    assert ["!b", "!a"] == noise.corrupt_complementary(y, random_state=0).format()
    assert ["a", "b"] == noise.corrupt_flip(y, rate=0.0, random_state=0).format()


def test_biases_are_dealt_in_groups():
    """Each row of a biased transition holds the shares of the groups, and 0 for itself."""
    T = noise.complementary_transition(10, (0.75, 0.24, 0.01), random_state=0)
    expected = np.sort(np.repeat([0, 0.25, 0.08, 0.01 / 3], [1, 3, 3, 3]))
    np.testing.assert_allclose(np.sort(T, axis=1), np.tile(expected, (10, 1)))
    assert 0 == np.trace(T)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise.corrupt_complementary([0, 5], 3), "row 1: class 5 came; expected 0 to 2"),
        (lambda: noise.corrupt_complementary([0.0], 3), "expected true classes as whole numbers"),
        (lambda: noise.corrupt_complementary([0, 1]), "say how many classes there are"),
        (lambda: noise.corrupt_complementary([0], 3, n=3), "n=3; expected a whole number from 1"),
        (
            lambda: noise.corrupt_complementary([0], 2, transition=[[0, 1], [0.5, 0.6]]),
            "row 1 of transition",
        ),
        (lambda: noise.corrupt_flip([0], 2), "say how labels go wrong"),
        (lambda: noise.corrupt_flip([0], 2, rate=1.5), "rate=1.5; expected a probability"),
        (lambda: noise.corrupt_sets([0], 3, size=4), "size=4; expected a whole number from 1 to 3"),
        (lambda: noise.corrupt_sets([0], 3, size=2, rate=0.1), "size draws sets of one size"),
        (lambda: noise.corrupt_sets([0], 3, partner=[1, 0, 2]), "need rate="),
        (lambda: noise.corrupt_sets([0], 3, rate=0.1, partner=[1, 0, 3]), "partner=.*below 3"),
        (
            lambda: noise.corrupt_sets(eo.Labels([eo.either("a", "b")], classes=["a", "b", "c"])),
            "row 0: y must name one true class",
        ),
        (
            lambda: noise.corrupt_sets([0], 3, rate=0.1, partner=[1, 0, 2], proba=[[1, 0, 0]]),
            "two ways to say which class joins",
        ),
        (
            lambda: noise.corrupt_complementary([0], 2, transition=np.eye(2), proba=[[0, 1]]),
            "two ways to say which class is ruled out",
        ),
        (lambda: noise.corrupt_flip([0], 2, transition=[[1.0], [1.0]]), "expected 2 columns"),
        (lambda: noise.corrupt_flip([0], 1, rate=0.1), "1 class came"),
        (
            lambda: noise.corrupt_flip(eo.Labels(["a"], classes=["a", "b"]), 3, rate=0.1),
            "n_classes=3, but y has 2 classes",
        ),
        (lambda: noise.flip_transition(1, 0.1), "n_classes=1; expected two or more"),
        (lambda: noise.complementary_transition(1), "n_classes=1; expected two or more"),
        (lambda: noise.complementary_transition(3, (0.5, 0.3, 0.2)), "3 groups for 2 wrong"),
        (lambda: noise.complementary_transition(3, (0.5, 0.4)), "shares of groups"),
        (lambda: noise.trust_from_error_rate(0.6, 2), "speak against what they say"),
        (lambda: noise.trust_from_error_rate(0.1, 3, allowed=3), "allowed=3; expected 1 to 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    """Errors name what came and what was expected."""
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# --- known channels ------------------------------------------------------------------------


def population_minimiser(rows, weights):
    """Class probabilities of the highest likelihood of evidence that occurs so often, by EM."""
    p = np.full(rows.shape[1], 1 / rows.shape[1])
    for _ in range(20_000):
        p = p * ((weights / (rows @ p)) @ rows)
        p /= p.sum()
    return p


@pytest.mark.parametrize("kind", ["written", "not"])
def test_the_likelihood_through_the_channel_finds_the_truth(kind):
    """A biased channel misleads the plain likelihood; the weights of its matrix do not."""
    eta = np.array([0.3, 0.5, 0.2])
    if kind == "not":
        T = np.array([[0, 0.9, 0.1], [0.5, 0, 0.5], [0.1, 0.9, 0]])
        labels = eo.Labels([eo.not_(e) for e in range(3)], classes=range(3))
    else:
        T = np.array([[0.6, 0.4, 0], [0, 0.7, 0.3], [0.2, 0, 0.8]])
        labels = eo.Labels(list(range(3)), classes=range(3))
    occurs = eta @ T
    plain = population_minimiser(labels.to_targets(), occurs)
    assert np.abs(plain - eta).max() > 0.02
    through = noise.apply_transition(labels, T, kind=kind)
    np.testing.assert_allclose(population_minimiser(through.to_targets(), occurs), eta, atol=1e-6)


def test_a_set_through_the_channel_sums_its_members():
    """The perceived class is in the set: the weights of its members add."""
    T = noise.flip_transition(3, 0.2)
    labels = eo.Labels([0, eo.either(0, 1), eo.not_(0), None], classes=range(3))
    rows = np.stack([T[:, 0], T[:, 0] + T[:, 1], T[:, 1] + T[:, 2], np.ones(3)])
    expected = rows / rows.max(axis=1, keepdims=True)
    np.testing.assert_allclose(noise.apply_transition(labels, T).to_targets(), expected)


def test_votes_through_the_channel_multiply():
    """Each voter errs alone: likelihood weights prod T[k, v]^count, not shares."""
    T = noise.flip_transition(2, 0.2)
    labels = eo.Labels([eo.votes({0: 2, 1: 1})], classes=[0, 1])
    expected = [[1.0, 0.25]]  # .8 * .8 * .2 against .2 * .2 * .8
    np.testing.assert_allclose(noise.apply_transition(labels, T).to_targets(), expected)


def test_several_classes_ruled_out_count_every_order():
    """Two draws without replacement: both orders, as the generator draws them."""
    T = noise.complementary_transition(K, (0.7, 0.2, 0.1), random_state=2)
    y = truths()
    drawn = noise.corrupt_complementary(y, K, transition=T, n=2, random_state=11)
    kinds, table = frequencies(1 - drawn.to_targets(), y)
    labels = eo.Labels([eo.not_(*np.flatnonzero(k).tolist()) for k in kinds], classes=range(K))
    chance = np.zeros((K, len(kinds)))
    for j, (a, b) in enumerate(np.flatnonzero(k) for k in kinds):
        chance[:, j] = T[:, a] * T[:, b] * (1 / (1 - T[:, a]) + 1 / (1 - T[:, b]))
    within_error(table, chance)
    through = noise.apply_transition(labels, T, kind="not").to_targets()
    np.testing.assert_allclose(through, (chance / chance.max(axis=0)).T, atol=1e-12)


def test_a_uniform_channel_changes_nothing_that_counts():
    """Uniform complementary labels through their matrix are "not" again."""
    labels = eo.Labels([eo.not_("a"), eo.not_("c"), eo.not_("a")], classes=["a", "b", "c"])
    T = noise.complementary_transition(3)
    through = noise.apply_transition(labels, T, kind="not")
    np.testing.assert_array_equal(through.to_targets(), labels.to_targets())
    assert ["b|c", "a|b", "b|c"] == through.format()


def test_a_channel_that_says_nothing_leaves_nothing():
    """Through a matrix of equal rows every statement is as likely whatever is true: unknown."""
    labels = eo.Labels(["a", "a", eo.either("a", "b")], classes=["a", "b", "c"])
    through = noise.apply_transition(labels, np.full((3, 3), 1 / 3))
    assert [eo.unknown, eo.unknown, eo.unknown] == list(through)


def test_only_the_rows_of_the_channel_change():
    """rows= names them; other statements, and unknown ones, stay as they are."""
    labels = eo.Labels(["a", "b", None, eo.not_("a")], classes=["a", "b"])
    T = noise.flip_transition(2, 0.25)
    some = noise.apply_transition(labels, T, rows=[True, False, True, False])
    assert [False, True, True, True] == [some[i] == labels[i] for i in range(4)]
    excluded = noise.apply_transition(labels, [[0.0, 1.0], [1.0, 0.0]], kind="not")
    assert [True, True, True] == [excluded[i] == labels[i] for i in range(3)]


def test_trust_is_the_channel_of_one_number():
    """trust_from_error_rate gives the weights of the symmetric flip matrix."""
    trust = noise.trust_from_error_rate(0.1, 3)
    labels = eo.Labels([eo.exact(0, trust=trust)], classes=range(3))
    through = noise.apply_transition(
        eo.Labels([0], classes=range(3)), noise.flip_transition(3, 0.1)
    )
    np.testing.assert_allclose(labels.to_targets(), through.to_targets())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_trust_of_sets_that_miss(size):
    """Of sets of one size that miss at a known rate: P(set | outside) / P(set | inside)."""
    y, error = truths(), 0.2
    labels = noise.corrupt_sets(y, K, size=size, miss=error, random_state=12)
    kinds, table = frequencies(labels.to_targets(), y)
    inside = np.where(kinds.T == 1, table, np.nan)
    outside = np.where(kinds.T == 0, table, np.nan)
    expected = np.nanmean(outside) / np.nanmean(inside)
    trust = noise.trust_from_error_rate(error, K, allowed=size)
    assert 1 - trust == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (eo.soft({"a": 0.5, "b": 0.5}), r"row 1: soft\(.* gives shares"),
        ("c", r"row 1: exact\('c'\) is never written"),
    ],
)
def test_statements_that_no_channel_writes_are_refused(label, message):
    """Shares are no evidence; a class that is never written cannot be there."""
    labels = eo.Labels(["a", label], classes=["a", "b", "c"])
    with pytest.raises(ValueError, match=message):
        noise.apply_transition(labels, [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])


def test_channels_of_other_shapes_are_refused():
    """The matrix must be square over the classes, the words known, the task exclusive."""
    labels = eo.Labels([eo.not_("a", trust=0.9)], classes=["a", "b"])
    T = np.eye(2)
    for call, message in (
        (lambda: noise.apply_transition(labels, np.eye(3)), "one row for each of the 2"),
        (lambda: noise.apply_transition(labels, np.ones((2, 1))), "one column for each"),
        (lambda: noise.apply_transition(labels, T, kind="nto"), 'did you mean "not"'),
        (lambda: noise.apply_transition(labels, T, kind="not"), "has a trust of its own"),
        (
            lambda: noise.apply_transition(eo.Labels([eo.tags("a")]), [[1.0]]),
            "the labels are tags",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    many = eo.Labels([eo.not_(*range(13))], classes=range(20))
    uniform = noise.complementary_transition(20)
    with pytest.raises(ValueError, match="13 classes are ruled out"):
        noise.apply_transition(many, uniform, kind="not")


# --- estimation ----------------------------------------------------------------------------


def overlapping(n=8000, seed=13):
    """Three classes on a line, and their exact probabilities at each row."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.normal(size=n) + 2.0 * y
    density = np.exp(-0.5 * (x[:, None] - 2.0 * np.arange(3)) ** 2)
    return y, density / density.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["written", "not"])
def test_em_finds_the_matrix(kind):
    """With the class probabilities of each row, the estimate is the matrix within its error."""
    y, proba = overlapping()
    if kind == "written":
        T = np.array([[0.7, 0.3, 0.0], [0.1, 0.6, 0.3], [0.0, 0.2, 0.8]])
        labels = noise.corrupt_flip(y, 3, transition=T, random_state=14)
    else:
        T = np.array([[0, 0.8, 0.2], [0.3, 0, 0.7], [0.5, 0.5, 0]])
        labels = noise.corrupt_complementary(y, 3, transition=T, random_state=14)
    found = noise.estimate_transition(labels, proba, kind=kind)
    np.testing.assert_allclose(found, T, atol=0.05)
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    assert 3 == found.rank
    assert [] == found.notes
    if kind == "not":
        assert 0 == np.trace(found.matrix)


def test_em_reads_sets_through_the_channel():
    """Sets around the perceived class carry the matrix as exact labels do, with less of it."""
    y, proba = overlapping()
    T = noise.flip_transition(3, 0.3, pair=True)
    perceived = noise.corrupt_flip(y, 3, transition=T, random_state=15).exact_index()
    labels = noise.corrupt_sets(perceived, 3, rate=0.3, random_state=16)
    found = noise.estimate_transition(labels, proba)
    np.testing.assert_allclose(found, T, atol=0.06)


def test_known_truths_are_counted():
    """With the truth of every row the estimate is the contingency table, plus the prior."""
    truth = eo.Labels([0, 0, 0, 1, 1, None], classes=range(2))
    written = eo.Labels([0, 0, 1, 1, 1, 0], classes=range(2))
    found = noise.estimate_transition(written, truth=truth, prior=1.0)
    np.testing.assert_allclose(found, [[2.5 / 4, 1.5 / 4], [0.5 / 3, 2.5 / 3]], atol=1e-5)
    np.testing.assert_allclose(found.counts, [3, 2])


def test_a_few_exact_rows_help():
    """Truths of 5 % of the rows mend an estimate from probabilities that are off."""
    y, proba = overlapping()
    T = np.array([[0, 0.8, 0.2], [0.3, 0, 0.7], [0.5, 0.5, 0]])
    labels = noise.corrupt_complementary(y, 3, transition=T, random_state=17)
    vague = 0.5 * proba + 0.5 / 3
    known = eo.Labels([int(k) if i % 20 == 0 else None for i, k in enumerate(y)], classes=range(3))

    def error(**how):
        found = noise.estimate_transition(labels, vague, kind="not", **how)
        return np.abs(np.asarray(found) - T).sum()

    assert error(truth=known) < error()


def test_the_confident_joint_counts_sure_rows():
    """Rows are counted where the model is as sure as it is on average for that label."""
    labels = eo.Labels([0, 0, 1, 1], classes=range(2))
    proba = [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]
    found = noise.estimate_transition(labels, proba, method="confident", prior=0.0)
    # class 0: mean .55, sure of row 0; class 1: mean .75, sure of rows 1 and 2
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]])
    assert 0 == found.iterations


def test_what_is_not_identified_is_said():
    """A matrix of low rank, and classes without rows, are reported."""
    y, _ = overlapping(2000)
    T = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    labels = noise.corrupt_flip(y, 3, transition=T, random_state=18)
    found = noise.estimate_transition(labels, np.eye(3)[y], prior=0.0)
    assert found.condition > 20
    few = noise.estimate_transition(labels, np.tile([0.5, 0.5, 0.0], (2000, 1)))
    assert any("class 2: only 0.0 rows" in note for note in few.notes)
    flat = noise.estimate_transition(
        eo.Labels([0, 1, 0, 1], classes=[0, 1]), truth=eo.Labels([0, 0, 1, 1], classes=[0, 1])
    )
    assert 1 == flat.rank
    assert "has rank 1 of 2" in flat.notes[0]


def test_estimates_that_cannot_be_made_are_refused():
    """Errors name what is missing."""
    labels = eo.Labels([eo.not_("a"), "b"], classes=["a", "b"])
    exact = eo.Labels(["a", None], classes=["a", "b"])
    even = np.full((2, 2), 0.5)
    for how, message in (
        ({}, "give proba"),
        ({"proba": even[:1]}, r"proba has shape \(1, 2\)"),
        ({"proba": even * 3}, "row 0: proba is"),
        ({"truth": exact[:1]}, "truth has 1 rows and labels 2"),
        ({"proba": even, "kind": "nit"}, "unknown kind"),
        ({"proba": even, "method": "confident"}, "counts exact labels"),
        ({"proba": even, "prior": -1}, "prior=-1"),
        ({"proba": even, "max_iter": 0}, "max_iter=0"),
        ({"truth": exact, "kind": "not"}, "row 0: the statement cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            noise.estimate_transition(labels, **how)
    unread = eo.Labels([None, None], classes=["a", "b"])
    with pytest.raises(ValueError, match="none of the 2 rows"):
        noise.estimate_transition(unread, even)
    with pytest.raises(ValueError, match="tags"):
        noise.estimate_transition(eo.Labels([eo.tags("a")]), [[1.0]])


def test_wrong_complementary_labels_can_be_estimated():
    """allow_wrong=True estimates the diagonal."""
    y, proba = overlapping()
    T = 0.9 * noise.complementary_transition(3) + 0.1 * np.eye(3)
    labels = noise.corrupt_complementary(y, 3, transition=T, random_state=19)
    found = noise.estimate_transition(labels, proba, kind="not", allow_wrong=True)
    np.testing.assert_allclose(np.diag(found), 0.1, atol=0.04)


def test_steps_are_counted_and_limited():
    """EM ends when it has settled, or at the limit."""
    y, proba = overlapping(500)
    labels = noise.corrupt_flip(y, 3, rate=0.2, random_state=20)
    settled = noise.estimate_transition(labels, proba)
    assert 3 == noise.estimate_transition(labels, proba, max_iter=3).iterations
    assert 3 < settled.iterations < 1000
    more = noise.estimate_transition(labels, proba, max_iter=settled.iterations + 100)
    np.testing.assert_array_equal(more, settled)


def test_statements_of_several_classes_are_not_read_as_one():
    """kind="not" estimates from rows that rule out one class without doubt."""
    _, proba = overlapping(4)
    one = [eo.not_(0), eo.not_(1)]
    labels = eo.Labels([*one, eo.not_(0, 1), eo.not_(2, trust=0.5)], classes=range(3))
    found = noise.estimate_transition(labels, proba, kind="not")
    alone = noise.estimate_transition(labels[:2], proba[:2], kind="not")
    np.testing.assert_array_equal(found, alone)


def test_weights_of_the_channel_train():
    """The loss of the weights is the forward loss: -log P(written), up to a constant a row."""
    T = noise.flip_transition(3, 0.2)
    logits = np.array([[0.3, -1.0, 2.0]])
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    for e in range(3):
        row = noise.apply_transition(eo.Labels([e], classes=range(3)), T).to_targets()
        expected = -np.log(p @ T[:, e]) + np.log(T[:, e].max())
        value = losses.partial_softmax_cross_entropy(logits, row)[0]
        assert expected == pytest.approx(value, rel=1e-12)
