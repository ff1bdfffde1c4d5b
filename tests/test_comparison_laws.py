"""`compare`: laws of its scores, rules, weights and inputs."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array

from eitheror.comparison import STRATEGIES, Data, Setting, compare
from eitheror.comparison.data import as_inputs
from eitheror.comparison.rules import decided_by_best_rule, rules_for
from eitheror.comparison.run import Outcome
from eitheror.comparison.score import agreement, score_outcomes
from eitheror.decide import METRICS, TunedThreshold
from eitheror.labels import Labels, either, evidence, not_, tags, votes
from eitheror.metrics import paired_difference
from eitheror.noise import complementary_transition, corrupt_complementary, corrupt_sets
from eitheror.training import TrainOptions

CLASSES = ["a", "b", "c"]
FAST = TrainOptions(l2=0.01)
BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}


def outcome(name, proba, meaning="probabilities"):
    """What a strategy might have done."""
    return Outcome(BY_NAME[name], np.asarray(proba, np.float32), [1.0], meaning, 2)


def two_judges(rng, n):
    """Random distributions over three classes, of two strategies."""
    return [
        outcome(name, rng.dirichlet(np.ones(3), n)) for name in ("likelihood", "uniform target")
    ]


def random_labels(rng, n):
    """Statements of every kind but shares."""
    choices = ["a", "b", "c", either("a", "b"), not_("a"), evidence({"a": 1, "c": 0.4}), None]
    return Labels([choices[k] for k in rng.integers(0, len(choices), n)], classes=CLASSES)


# --- scores of one true class ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_differences_without_assumption_are_those_of_the_metrics(seed):
    """Over the rows that speak, the bounds of two strategies are `paired_difference`'s."""
    rng = np.random.default_rng(seed)
    labels, judges = random_labels(rng, 60), two_judges(rng, 60)
    _, gap = score_outcomes(
        judges, Data(np.zeros((60, 1)), labels), np.arange(60) % 2, "accuracy", 0
    )
    speaks = np.flatnonzero(labels.kinds != 0)
    a, b = (judge.proba[speaks] for judge in judges)
    expected = paired_difference(labels[speaks], a, b, repetitions=0)
    found = gap("likelihood", "uniform target")
    assert (expected.lower, expected.upper) == pytest.approx(found.bounds, abs=1e-12)
    assert found.bounds[0] - 1e-12 <= found.bounds[1]


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_of_two_is_the_row_twice(seed):
    """Score, difference and bounds with whole weights are those of the repeated rows."""
    rng = np.random.default_rng(seed)
    labels, judges = random_labels(rng, 60), two_judges(rng, 60)
    weight = rng.integers(0, 4, 60).astype(float)
    folds = np.arange(60) % 2
    rows, gap = score_outcomes(
        judges, Data(np.zeros((60, 1)), labels, weight), folds, "accuracy", 0
    )
    often = np.repeat(np.arange(60), weight.astype(int))
    twice = [outcome(j.strategy.name, j.proba[often]) for j in judges]
    expected, expected_gap = score_outcomes(
        twice, Data(np.zeros((len(often), 1)), labels[often]), folds[often], "accuracy", 0
    )
    assert [row.score for row in expected] == pytest.approx([row.score for row in rows])
    names = ("likelihood", "uniform target")
    assert expected_gap(*names).value == pytest.approx(gap(*names).value)
    assert expected_gap(*names).bounds == pytest.approx(gap(*names).bounds)


def test_equal_weights_change_nothing():
    """All rows of weight 3 give the intervals that no weights give."""
    rng = np.random.default_rng(0)
    labels, judges = random_labels(rng, 80), two_judges(rng, 80)
    X, folds = np.zeros((80, 1)), np.arange(80) % 2
    plain, _ = score_outcomes(judges, Data(X, labels), folds, "accuracy", 0)
    heavy, _ = score_outcomes(judges, Data(X, labels, np.full(80, 3.0)), folds, "accuracy", 0)
    for a, b in zip(plain, heavy, strict=True):
        assert a.interval == pytest.approx(b.interval)
        if a.behind_interval is not None:
            assert a.behind_interval == pytest.approx(b.behind_interval)


def test_rows_without_weight_teach_and_score_nothing():
    """Wrong labels of weight 0 leave the comparison as good as without them."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 200)
    X = 4 * np.eye(3)[y] + rng.normal(0, 1, (200, 3))
    wrong = np.arange(200) % 2 == 0
    labels = [CLASSES[(k + w) % 3] for k, w in zip(y, wrong, strict=True)]
    weight = np.where(wrong, 0.0, 1.0)
    found = compare(X, labels, ["likelihood"], sample_weight=weight, folds=2, options=FAST)
    assert 100 == found.n
    assert found.rows[0].score > 0.95
    with pytest.raises(ValueError, match="row 0: sample weight -1"):
        compare(X, labels, sample_weight=-np.ones(200))


def test_weights_of_tags_are_for_training_only_and_it_says_so():
    """Tags are scored row by row, which the notes and the table's text tell."""
    rng = np.random.default_rng(2)
    X = rng.normal(0, 1, (80, 2))
    labels = Labels.from_indicator((X > 0).astype(float), classes=["x", "y"])
    found = compare(X, labels, ["ova"], sample_weight=rng.random(80), folds=2, options=FAST)
    assert ["used in training" in note for note in found.notes] == [True]


def test_the_order_may_hang_on_the_assumption_and_the_verdict_says_so():
    """With sets only the order of the first two is not settled; with exact rows it is."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 400)
    good = np.eye(3)[truth] * 0.8 + 0.0667
    bad = np.eye(3)[(truth + (rng.random(400) < 0.5)) % 3] * 0.8 + 0.0667
    judges = [outcome("likelihood", good), outcome("uniform target", bad)]
    for labels, settled in (
        (corrupt_sets(truth, 3, rate=0.9, random_state=0), False),
        (Labels([CLASSES[k] for k in truth], classes=CLASSES), True),
    ):
        data = Data(np.zeros((400, 1)), labels)
        rows, _ = score_outcomes(judges, data, np.arange(400) % 2, "accuracy", 0)
        low, _high = rows[1].behind_bounds
        assert settled == (low > 0)


def test_statements_about_one_input_narrow_each_other():
    """Of a row's classes those count that all rows of its input allow most; exact rows stay."""
    labels = Labels([either("a", "b"), not_("b"), "b", None, either("a", "b")], classes=CLASSES)
    keys = np.array([7, 7, 7, 7, 8], dtype=np.uint64)
    earned = {
        name: agreement(labels, np.full(5, place), keys)[0].tolist()
        for place, name in enumerate(CLASSES)
    }
    # together: a twice, b twice, c once
    assert {
        "a": [0.5, 1, 0, 0, 0.5],
        "b": [0.5, 0, 1, 0, 0.5],
        "c": [-0.5, 0, 0, 0, -0.5],
    } == earned
    alone = agreement(labels, np.zeros(5, dtype=int), np.arange(5, dtype=np.uint64))
    np.testing.assert_array_equal(alone, agreement(labels, np.zeros(5, dtype=int)))


def test_many_judges_of_one_item_find_the_accuracy_that_each_alone_overstates():
    """Distractors that look like the truth pass for right in one row, not in five together."""
    rng = np.random.default_rng(10)
    y = np.repeat(rng.integers(0, 6, 2000), 5)
    like = (y + 1) % 6  # a neighbour that is often left open, and often mistaken for it
    rows = [
        either(int(k), int(other)) if rng.random() < 0.6 else either(int(k), int(k + 3) % 6)
        for k, other in zip(y, like, strict=True)
    ]
    labels = Labels(rows, classes=range(6))
    decided = np.where(np.repeat(rng.random(2000) < 0.7, 5), y, like)
    keys = np.repeat(np.arange(2000, dtype=np.uint64), 5)
    alone, together = (
        earned.sum() / stake.sum()
        for earned, stake in (agreement(labels, decided), agreement(labels, decided, keys))
    )
    assert alone > 0.8
    assert 0.7 == pytest.approx(together, abs=0.03)


def test_repeated_inputs_count_once_in_the_intervals():
    """Every row five times over has the scores and intervals of the rows once."""
    rng = np.random.default_rng(11)
    choices = ["a", "b", "c", either("a", "b"), not_("a")]
    labels = Labels([choices[k] for k in rng.integers(0, 5, 80)], classes=CLASSES)
    judges, often = two_judges(rng, 80), np.repeat(np.arange(80), 5)
    one = Data(np.zeros((80, 1)), labels)
    many = Data(np.zeros((400, 1)), labels[often], keys=often.astype(np.uint64))
    repeated = [outcome(j.strategy.name, j.proba[often]) for j in judges]
    once, _ = score_outcomes(judges, one, np.arange(80) % 2, "accuracy", 0)
    five, _ = score_outcomes(repeated, many, often % 2, "accuracy", 0)
    for a, b in zip(once, five, strict=True):
        assert a.score == pytest.approx(b.score)
        assert a.interval == pytest.approx(b.interval)
        if a.behind_interval is not None:
            assert a.behind_interval == pytest.approx(b.behind_interval)


# --- tags -----------------------------------------------------------------------------------


def tags_and_proba(rng, n=120, k=4):
    """Tags, some unknown, and probabilities that know something about them."""
    present = (rng.random((n, k)) < 0.3).astype(float)
    proba = 1 / (1 + np.exp(-(2 * present - 1 + rng.normal(0, 1, (n, k)))))
    present[rng.random((n, k)) < 0.2] = np.nan
    present[np.isnan(present).all(axis=1)] = 0.0
    return present, proba


@pytest.mark.parametrize("n_folds", [1, 2, 3, 5])
@pytest.mark.parametrize("metric", METRICS)
def test_no_row_helps_to_choose_its_own_rule(metric, n_folds):
    """Other labels in a fold (or the part of it decided together) leave its decisions alone."""
    rng = np.random.default_rng(4)
    targets, proba = tags_and_proba(rng)
    folds = np.arange(len(targets)) % n_folds
    decided, chosen = decided_by_best_rule(targets, proba, folds, metric, "marginals")
    assert set(chosen) <= set(rules_for(metric, "marginals"))
    assert max(n_folds, 3) <= sum(chosen.values()) <= 5
    other = targets.copy()
    other[0] = 1 - np.nan_to_num(other[0])
    again, _ = decided_by_best_rule(other, proba, folds, metric, "marginals")
    np.testing.assert_array_equal(decided[0], again[0])


def test_rules_that_suit_are_tried_and_the_better_one_found():
    """Tags whose probabilities are off by their own amount need a threshold each."""
    rng = np.random.default_rng(5)
    truth = rng.random((2000, 2))
    labels = (rng.random((2000, 2)) < truth).astype(float)
    shifted = np.stack([truth[:, 0] ** 4, truth[:, 1] ** 0.25], axis=1)
    _, chosen = decided_by_best_rule(labels, shifted, np.arange(2000) % 3, "f1_micro", "marginals")
    assert {"a threshold a tag": 3} == dict(chosen)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("meaning", ["marginals", "shares"])
def test_every_rule_suits_its_metric(metric, meaning):
    """Each can be fitted on tags with gaps and decides every row; the first is one threshold."""
    rng = np.random.default_rng(6)
    targets, proba = tags_and_proba(rng)
    rules = rules_for(metric, meaning)
    assert "one threshold" == next(iter(rules))
    assert rules["one threshold"]() == TunedThreshold(metric)
    for make in rules.values():
        assert targets.shape == make().fit(targets, proba).predict(proba).shape


def test_a_tag_that_every_row_has_is_as_probable_as_rounding_lets_it_be():
    """Shares of sets add up to 1.0000001 at times; the rules that need probabilities take that."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    labels = Labels.from_indicator(np.c_[np.ones(120), X[:, :3] > 0], classes=list("abcd"))
    found = compare(X, labels, ["ova", "label powerset"], metric="jaccard_samples", folds=3)
    assert all(row.score > 0.8 for row in found.rows)


def test_a_set_of_its_own_for_most_rows_is_no_class():
    """The label powerset is refused where most sets occur once."""
    rng = np.random.default_rng(7)
    labels = Labels.from_indicator((rng.random((40, 10)) < 0.5).astype(float))
    reason = BY_NAME["label powerset"].refuse(labels)
    assert "40 of 40 rows have a set of tags that no other row has" in reason


# --- what cannot be trained -----------------------------------------------------------------


def test_a_strategy_without_anything_to_learn_from_does_not_end_the_others():
    """Both exact rows are one input: the fold that holds it leaves "drop partial rows" nothing."""
    rng = np.random.default_rng(9)
    X = rng.random((40, 2))
    X[1] = X[0]
    labels = Labels(["a", "b", *[either("a", "b")] * 20, *[not_("a")] * 18], classes=CLASSES)
    events = []
    found = compare(X, labels, folds=2, options=FAST, progress=events.append)
    reason = found.refused["drop partial rows"]
    assert reason.endswith("none of the 20 labels says anything: all are unknown")
    assert "held out" in reason
    names = {row.name for row in found.rows}
    assert {"likelihood", "uniform target"} <= names
    assert not names & {*found.refused}
    fits = [event for event in events if event["event"] == "fit"]
    assert fits[-1]["done"] == fits[-1]["total"] == 2 * len(names)
    with pytest.raises(ValueError, match="says anything"):
        compare(X, labels, ["drop partial rows"], folds=2, options=FAST)


def test_one_set_of_tags_is_nothing_to_tell_apart():
    """Where every known row has the same tags the label powerset is left out, with the reason."""
    data = [tags("a") if row % 2 else tags(rest="unknown") for row in range(40)]
    found = compare(np.random.default_rng(0).random((40, 2)), data, folds=2, options=FAST)
    assert "have the same set" in found.refused["label powerset"]
    assert "ova" in [row.name for row in found.rows]


def test_one_or_two_rows_tell_no_rule():
    """There the decision is the threshold of .5, and is called so."""
    proba = np.array([[0.7, 0.2], [0.5, 0.4]])
    decided, chosen = decided_by_best_rule(
        np.array([[0.0, 1.0], [1.0, 0.0]]), proba, np.arange(2), "f1_micro", "marginals"
    )
    assert [[True, False], [True, False]] == decided.tolist()
    assert {"threshold .5": 1} == dict(chosen)


def test_tags_of_which_none_is_known_cannot_be_scored():
    """Rows that only say "at least one of" are told from rows that a decision can be held to."""
    labels = Labels([either("a", "b")] * 20, classes=CLASSES, task="multilabel")
    with pytest.raises(ValueError, match="nothing can be scored"):
        compare(np.random.default_rng(0).random((20, 2)), labels, folds=2, options=FAST)


# --- forward with an estimated matrix -------------------------------------------------------


def test_forward_undoes_a_habit_of_what_is_ruled_out():
    """Where people rule out mostly one class, the estimated matrix beats the plain likelihood."""
    rng = np.random.default_rng(8)
    y, fresh = rng.integers(0, 3, 900), rng.integers(0, 3, 2000)
    X, new = (3 * np.eye(3)[k] + rng.normal(0, 1.2, (len(k), 3)) for k in (y, fresh))
    habit = complementary_transition(3, (0.95, 0.05), random_state=0)
    said = corrupt_complementary(y, 3, transition=habit, random_state=0)
    exact = Labels(y.tolist(), classes=range(3))
    labels = Labels([exact[i] if i < 45 else said[i] for i in range(900)], classes=range(3))
    right = {}
    for name in ("likelihood", "forward, estimated T"):
        assert BY_NAME[name].refuse(labels) is None
        fitted = BY_NAME[name].fit(Setting(FAST, 1, 0), Data(X, labels))
        right[name] = (fitted.predict_proba(new).argmax(axis=1) == fresh).mean()
    assert right["forward, estimated T"] > right["likelihood"] + 0.05


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a", "b", "c"] * 9, "no row rules out one class"),
        ([not_("a"), not_("b")] * 9, "class 'a' has 0 exact rows"),
        ([votes({"a": 2, "b": 1}), "a"] * 9, "no row rules out one class"),
    ],
)
def test_forward_is_refused_where_nothing_tells_the_matrix(labels, reason):
    """Without rows that came another way, or exact ones, there is nothing to learn it from."""
    assert reason in BY_NAME["forward, estimated T"].refuse(Labels(labels, classes=CLASSES))


# --- inputs ---------------------------------------------------------------------------------


def test_images_frames_and_sparse_tables_are_the_same_numbers():
    """Bytes of shape (n, h, w, channels), a DataFrame and a COO matrix give one table."""
    rng = np.random.default_rng(9)
    y = rng.integers(0, 3, 60)
    images = (rng.random((60, 2, 2, 3)) * 120 + 60 * y[:, None, None, None]).astype(np.uint8)
    flat = images.reshape(60, 12).astype(float)
    labels = [CLASSES[k] for k in y]
    scores = {
        round(compare(inputs, labels, ["likelihood"], folds=2, options=FAST).rows[0].score, 6)
        for inputs in (images, flat, pd.DataFrame(flat), coo_array(flat), flat.tolist())
    }
    assert 1 == len(scores)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ("one text", TypeError, "inputs is one string"),
        (["one", 2], TypeError, "inputs row 1 is 2, of type int"),
        (np.array([1.0, 2.0]), ValueError, r"inputs have shape \(2,\)"),
        (np.array([[1.0], [np.nan]]), ValueError, "features row 1, column 0 is nan"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), ValueError, "give one column of texts"),
    ],
)
def test_inputs_of_no_use_are_named(inputs, error, message):
    """Each refusal names the row, or the kind of table, and what to write instead."""
    with pytest.raises(error, match=message):
        as_inputs(inputs)


def test_texts_may_come_as_a_column():
    """A Series of texts is a list of texts."""
    assert ["one", "two"] == as_inputs(pd.Series(["one", "two"]))


# --- the truth ------------------------------------------------------------------------------


def test_two_strategies_that_are_level_are_called_level():
    """Where sets name every other class alike, an even target decides as the likelihood does."""
    level = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, 300)
        X = 4 * np.eye(3)[y] + rng.normal(0, 1.5, (300, 3))
        labels = corrupt_sets(y, 3, rate=0.5, random_state=rng)
        found = compare(X, labels, ["likelihood", "uniform target"], folds=3, options=FAST)
        level += 2 == len(found.best)
        assert ("are level" in found.verdict) == (2 == len(found.best))
    assert level >= 7  # 95 % of them
