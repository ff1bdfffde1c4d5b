"""Scores under partial knowledge: against every completion, and against scikit-learn."""

import itertools
import json

import numpy as np
import pytest

from eitheror import decide, metrics
from eitheror.labels import Labels, either, evidence, exact, not_, soft, tags, votes
from eitheror.metrics._sets import _macro, completions
from eitheror.metrics.intervals import between, mean_of, proportion, ratio_of

CLASSES = ["a", "b", "c", "d"]
NAMES = {
    "accuracy",
    "precision_at_1",
    "recall_at_1",
    "precision_at_5",
    "f1_micro",
    "f1_macro",
    "f1_samples",
    "jaccard_micro",
    "jaccard_macro",
    "jaccard_samples",
    "hamming",
    "log_loss",
    "calibration_error",
}
SETS = sorted(NAMES - {"log_loss", "calibration_error"})


def tag_labels(matrix, classes=CLASSES):
    """Labels of a matrix of 1, 0 and nan."""
    rows = []
    for row in np.asarray(matrix, dtype=float):
        present = [c for c, v in zip(classes, row, strict=True) if v == 1]
        absent = [c for c, v in zip(classes, row, strict=True) if v == 0]
        rows.append(tags(*present, absent=absent, rest="unknown") if present or absent else None)
    return Labels(rows, classes=classes, task="multilabel")


def random_proba(rng, n, k):
    """Rows that add to one."""
    proba = rng.random((n, k)) + 0.05
    return proba / proba.sum(axis=1, keepdims=True)


def values(report):
    """Return the lower bound of every score of decisions."""
    return {name: report["metrics"][name]["lower"] for name in SETS}


# --- the laws -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("rule", [decide.Threshold(0.5), decide.TopK(2)])
def test_tag_bounds_are_reached_and_contain_every_completion(seed, rule):
    """With unknown tags each bound is the least and the largest score of any completion."""
    rng = np.random.default_rng(seed)
    n, k = 4, 3
    matrix = rng.integers(0, 2, (n, k)).astype(float)
    holes = rng.permutation(n * k)[:6]
    matrix.ravel()[holes] = np.nan
    proba = rng.random((n, k))
    report = metrics.evaluate(tag_labels(matrix, CLASSES[:k]), proba, decision=rule)
    seen = {name: [] for name in SETS}
    for filling in itertools.product([0.0, 1.0], repeat=len(holes)):
        matrix.ravel()[holes] = filling
        scored = metrics.evaluate(tag_labels(matrix, CLASSES[:k]), proba, decision=rule)
        for name, value in values(scored).items():
            seen[name].append(value)
    for name in SETS:
        entry = report["metrics"][name]
        assert (entry["lower"], entry["upper"]) == pytest.approx(
            (min(seen[name]), max(seen[name])), abs=1e-12
        ), name


@pytest.mark.parametrize("seed", range(25))
def test_class_bounds_contain_every_completion_and_are_reached_but_for_macro(seed):
    """With candidate sets all bounds but the macro ones are sharp, and those hold too."""
    rng = np.random.default_rng(seed)
    n = 5
    statements = [
        lambda x, y: exact(x),
        lambda x, y: either(x, y),
        lambda x, y: not_(x, y),
        lambda x, y: soft({x: 0.5, y: 0.5}),
        lambda x, y: not_(x, trust=0.9),
        lambda x, y: None,
    ]
    rows = [
        statements[rng.integers(len(statements))](*rng.permutation(CLASSES)[:2].tolist())
        for _ in range(n)
    ]
    labels = Labels(rows, classes=CLASSES, task="multiclass")
    proba = random_proba(rng, n, 4)
    report = metrics.evaluate(labels, proba)
    options = [np.flatnonzero(row).tolist() for row in labels.candidates()]
    seen = {name: [] for name in SETS}
    for truth in itertools.product(*options):
        known = Labels([CLASSES[i] for i in truth], classes=CLASSES)
        for name, value in values(metrics.evaluate(known, proba)).items():
            seen[name].append(value)
    for name in SETS:
        lower, upper = report["metrics"][name]["lower"], report["metrics"][name]["upper"]
        assert lower <= min(seen[name]) + 1e-12, name
        assert upper >= max(seen[name]) - 1e-12, name
        if not name.endswith("macro"):
            assert (lower, upper) == pytest.approx((min(seen[name]), max(seen[name]))), name


def test_at_least_one_statements_keep_the_bounds_valid():
    """`either` on tags leaves its tags open, so the bounds hold for every truth it allows."""
    proba = np.array([[0.9, 0.2, 0.6], [0.1, 0.7, 0.8]])
    labels = Labels([either("a", "b"), tags("c")], classes=list("abc"), task="multilabel")
    report = metrics.evaluate(labels, proba)["metrics"]
    for row in itertools.product([0, 1], repeat=3):
        if row[0] or row[1]:
            scored = values(metrics.evaluate(tag_labels([row, [0, 0, 1]], list("abc")), proba))
            for name, value in scored.items():
                assert report[name]["lower"] - 1e-12 <= value <= report[name]["upper"] + 1e-12


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_more_knowledge_never_widens_the_bounds(task):
    """Replacing unknown rows by facts moves the lower bound up and the upper bound down."""
    rng = np.random.default_rng(3)
    proba = random_proba(rng, 30, 4)
    facts = [exact(CLASSES[i]) for i in rng.integers(0, 4, 30)]
    some = Labels([None if i % 3 else fact for i, fact in enumerate(facts)], CLASSES, task)
    wide = metrics.evaluate(some, proba)["metrics"]
    tight = metrics.evaluate(Labels(facts, CLASSES, task), proba)["metrics"]
    for name in SETS:
        assert wide[name]["lower"] <= tight[name]["lower"] + 1e-12
        assert wide[name]["upper"] >= tight[name]["upper"] - 1e-12
        assert tight[name]["lower"] == tight[name]["upper"]


# --- full knowledge is the usual score ------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_known_tags_score_as_in_scikit_learn(seed):
    """On fully known tags every score is scikit-learn's, macro over the classes that occur."""
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    truth = (rng.random((60, 7)) < 0.2).astype(int)
    truth[:, 5] = 0
    proba = rng.random((60, 7)) * 0.7 + 0.25 * truth
    proba[:, 5:] *= 0.4
    names = [f"k{i}" for i in range(7)]
    got = values(metrics.evaluate(tag_labels(truth, names), proba))
    chosen = proba >= 0.5
    occurs = (truth.any(axis=0)) | chosen.any(axis=0)
    expected = {
        "accuracy": sk.accuracy_score(truth, chosen),
        "hamming": sk.hamming_loss(truth, chosen),
        "precision_at_1": np.mean([truth[i, proba[i].argmax()] for i in range(60)]),
        "recall_at_1": sum(truth[i, proba[i].argmax()] for i in range(60)) / truth.sum(),
        "precision_at_5": np.mean(
            [truth[i, np.argsort(-proba[i])[:5]].sum() / 5 for i in range(60)]
        ),
    }
    for word, score in (("f1", sk.f1_score), ("jaccard", sk.jaccard_score)):
        expected[f"{word}_micro"] = score(truth, chosen, average="micro", zero_division=0)
        expected[f"{word}_samples"] = score(truth, chosen, average="samples", zero_division=1)
        expected[f"{word}_macro"] = score(
            truth[:, occurs], chosen[:, occurs], average="macro", zero_division=0
        )
    assert expected == pytest.approx(got)


@pytest.mark.parametrize("seed", range(5))
def test_known_classes_score_as_in_scikit_learn(seed):
    """On exact labels every score is scikit-learn's."""
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    proba = random_proba(rng, 50, 8)
    truth = np.where(rng.random(50) < 0.5, proba.argmax(axis=1), rng.integers(0, 6, 50))
    names = [f"k{i}" for i in range(8)]
    report = metrics.evaluate(Labels([names[i] for i in truth], classes=names), proba)
    chosen = proba.argmax(axis=1)
    accuracy = sk.accuracy_score(truth, chosen)
    expected = {
        "accuracy": accuracy,
        "precision_at_1": accuracy,
        "recall_at_1": accuracy,
        "precision_at_5": sk.top_k_accuracy_score(truth, proba, k=5, labels=range(8)) / 5,
        "f1_micro": sk.f1_score(truth, chosen, average="micro"),
        "f1_macro": sk.f1_score(truth, chosen, average="macro", zero_division=0),
        "f1_samples": accuracy,
        "jaccard_micro": sk.jaccard_score(truth, chosen, average="micro"),
        "jaccard_macro": sk.jaccard_score(truth, chosen, average="macro", zero_division=0),
        "jaccard_samples": accuracy,
        "hamming": sk.hamming_loss(truth, chosen),
    }
    assert expected == pytest.approx(values(report))
    assert sk.log_loss(truth, proba, labels=range(8)) == pytest.approx(
        report["metrics"]["log_loss"]["lower"]
    )


# --- the contract ---------------------------------------------------------------------------


def test_evaluate_keeps_its_contract():
    """The report has the agreed keys, survives JSON, and counts all rows."""
    labels = Labels(["a", None, not_("b")], classes=CLASSES, task="multiclass")
    report = metrics.evaluate(labels, np.full((3, 4), 0.25))
    assert {"n", "task", "unseen_labels", "decision", "metrics"} == set(report)
    assert set(report["metrics"]) == NAMES
    assert all({"lower", "upper", "interval"} <= set(e) for e in report["metrics"].values())
    assert json.loads(json.dumps(report)) == report
    assert (report["n"], report["task"]) == (3, "multiclass")


def test_default_decisions_follow_the_meaning():
    """One class: argmax; marginals: .5; shares: the largest, and no log loss or calibration."""
    proba = np.array([[0.4, 0.3, 0.2, 0.1]])
    one = metrics.evaluate(Labels(["a"], classes=CLASSES), proba)
    several = Labels([tags("a")], classes=CLASSES)
    assert one["decision"] == "the most probable class"
    assert metrics.evaluate(several, proba)["metrics"]["accuracy"]["lower"] == 0.0
    shares = metrics.evaluate(several, proba, meaning="shares")
    assert shares["metrics"]["accuracy"]["lower"] == 1.0
    for name in ("log_loss", "calibration_error"):
        assert shares["metrics"][name]["lower"] is None


def test_a_config_decides_like_its_rule():
    """A rule and the config stored in a model give the same report."""
    rng = np.random.default_rng(0)
    proba, labels = rng.random((20, 4)), tag_labels(rng.integers(0, 2, (20, 4)))
    rule = decide.TunedThreshold("jaccard_micro").fit(labels, proba)
    stored = json.loads(json.dumps(rule.to_config()))
    assert metrics.evaluate(labels, proba, decision=rule) == metrics.evaluate(
        labels, proba, decision=stored
    )


def test_classes_are_aligned_by_name():
    """Columns in another order, named by `classes`, give the same report."""
    labels = Labels(["a", either("b", "d"), "c", not_("a")], classes=CLASSES)
    proba = random_proba(np.random.default_rng(1), 4, 4)
    order = [2, 0, 3, 1]
    moved = metrics.evaluate(labels, proba[:, order], classes=[CLASSES[i] for i in order])
    assert values(metrics.evaluate(labels, proba)) == pytest.approx(values(moved))


def test_integer_classes_match_the_text_of_files():
    """A model trained on integers meets a file, where integers are decimal text."""
    labels = Labels(["0", "1"], classes=["0", "1"])
    report = metrics.evaluate(labels, [[0.9, 0.1], [0.2, 0.8]], classes=[0, 1])
    assert (0, 1.0) == (report["unseen_labels"], report["metrics"]["accuracy"]["lower"])


def test_unseen_tags_are_false_negatives_and_counted():
    """A tag that the model does not know lowers recall and is counted."""
    labels = Labels([tags("a", "new"), tags("b"), tags("new", "newer")])
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.1]])
    report = metrics.evaluate(labels, proba, classes=["a", "b"])
    assert report["unseen_labels"] == 3
    assert report["n"] == 3
    assert report["metrics"]["recall_at_1"]["lower"] == pytest.approx(2 / 5)
    assert report["metrics"]["f1_micro"]["lower"] == pytest.approx(2 * 2 / (3 + 5))
    assert report["metrics"]["f1_macro"]["lower"] == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert report["metrics"]["log_loss"]["rows"] == 3


def test_unseen_classes_are_wrong_and_counted():
    """A row whose class the model does not know is wrong, and left out of the log loss."""
    labels = Labels(["a", "new", either("a", "new")])
    report = metrics.evaluate(labels, [[0.9, 0.1]] * 3, classes=["a", "b"])
    accuracy = report["metrics"]["accuracy"]
    assert report["unseen_labels"] == 1
    assert (accuracy["lower"], accuracy["upper"]) == pytest.approx((1 / 3, 2 / 3))
    assert report["metrics"]["log_loss"]["lower"] == pytest.approx(-np.log(0.9))
    assert report["metrics"]["log_loss"]["rows"] == 2


def test_classes_that_the_test_file_never_names_are_no_loss():
    """A model may know more classes than the test labels mention."""
    report = metrics.evaluate(
        Labels([tags("a"), tags("a")]), [[0.9, 0.1], [0.8, 0.3]], classes=["a", "b"]
    )
    assert report["metrics"]["accuracy"]["lower"] == 1.0
    assert report["metrics"]["f1_macro"]["lower"] == 1.0


def test_empty_prediction_of_an_empty_row_scores_one_in_samples_scores():
    """Nothing predicted where nothing applies is right; 0/0 in micro and macro is 0."""
    report = metrics.evaluate(
        Labels([tags()], classes=["a", "b"], task="multilabel"), [[0.1, 0.2]]
    )["metrics"]
    assert (1.0, 1.0) == (report["f1_samples"]["lower"], report["jaccard_samples"]["lower"])
    assert (0.0, 0.0) == (report["f1_micro"]["lower"], report["f1_macro"]["lower"])


def test_all_unknown_leaves_everything_open():
    """Labels that say nothing bound accuracy by 0 and 1 and give no log loss."""
    report = metrics.evaluate(
        Labels([None, None], classes=["a", "b"], task="multiclass"), [[0.5, 0.5], [0.1, 0.9]]
    )["metrics"]
    assert (0.0, 1.0) == (report["accuracy"]["lower"], report["accuracy"]["upper"])
    assert report["log_loss"] == {"lower": None, "upper": None, "interval": None, "rows": 0}
    error = report["calibration_error"]
    assert (pytest.approx(0.3), pytest.approx(0.7)) == (error["lower"], error["upper"])


# --- single scores --------------------------------------------------------------------------


def test_accuracy_bounds_of_sets():
    """Lower counts {h}, upper counts every set with h."""
    labels = Labels(["a", either("a", "b"), "b", None], classes=CLASSES)
    bounds = metrics.accuracy_bounds(labels, [[0.7, 0.1, 0.1, 0.1]] * 4)
    assert (0.25, 0.75) == (bounds.lower, bounds.upper)


def test_trust_and_shares_rule_nothing_out():
    """Only weight 0 excludes a class: a probable statement leaves the truth open."""
    labels = Labels(
        [exact("a", trust=0.9), votes({"b": 3, "a": 1}), evidence({"a": 1.0, "b": 0.5})],
        classes=CLASSES,
    )
    bounds = metrics.accuracy_bounds(labels, [[0.7, 0.1, 0.1, 0.1]] * 3)
    assert (0.0, 1.0) == (bounds.lower, bounds.upper)


def test_precision_and_recall_at_k():
    """Precision divides by k for every row, recall by all tags."""
    labels = Labels([tags("a", "b", "c"), tags()], classes=CLASSES)
    proba = [[0.9, 0.8, 0.1, 0.7], [0.5, 0.1, 0.2, 0.3]]
    assert metrics.precision_at_k(labels, proba, k=2).lower == 0.5
    assert metrics.recall_at_k(labels, proba, k=2).lower == pytest.approx(2 / 3)
    assert metrics.precision_at_k(labels, proba, k=9).lower == pytest.approx(3 / 8)


def test_statement_log_loss_of_each_kind():
    """Minus the log of the probability of what was said."""
    proba = np.tile([0.5, 0.3, 0.15, 0.05], (6, 1))
    labels = Labels(
        [
            "a",
            either("a", "b"),
            not_("a", "b"),
            soft({"a": 0.5, "b": 0.5}),
            not_("a", trust=0.9),
            None,
        ],
        classes=CLASSES,
    )
    expected = -np.log([0.5, 0.8, 0.2, np.sqrt(0.15), 0.55, np.nan])
    assert expected == pytest.approx(metrics.statement_log_loss(labels, proba), nan_ok=True)


def test_statement_log_loss_of_tags():
    """Known entries add up; `either` costs the log of at least one; the rest is silent."""
    labels = Labels(
        [
            tags("a", absent=["b"], rest="unknown"),
            tags("a"),
            either("a", "b"),
            soft({"a": 0.25}),
            None,
        ],
        classes=list("abc"),
        task="multilabel",
    )
    proba = np.tile([0.8, 0.4, 0.1], (5, 1))
    expected = -np.array(
        [
            np.log(0.8) + np.log(0.6),
            np.log(0.8) + np.log(0.6) + np.log(0.9),
            np.log(1 - 0.2 * 0.6),
            0.25 * np.log(0.8) + 0.75 * np.log(0.2),
            np.nan,
        ]
    )
    assert expected == pytest.approx(metrics.statement_log_loss(labels, proba), nan_ok=True)


def test_log_loss_of_the_impossible_is_infinite():
    """No probability is clipped: what happened with probability 0 costs inf, without interval."""
    report = metrics.evaluate(Labels(["a", "b"]), [[0.0, 1.0], [0.0, 1.0]])["metrics"]
    assert report["log_loss"]["lower"] == np.inf
    assert report["log_loss"]["interval"] is None
    sure = metrics.evaluate(Labels([tags("a")], classes=["a", "b"]), [[1.0, 0.0]])["metrics"]
    assert sure["log_loss"]["lower"] == 0.0


def test_calibration_error_is_a_range_where_rows_are_open():
    """The gap between probability and frequency, for the truths that suit it best and worst."""
    labels = Labels(["a", "b", either("a", "b"), either("b", "c")], classes=["a", "b", "c"])
    known = metrics.calibration_error(labels[[0, 1]], [[0.9, 0.05, 0.05]] * 2)
    assert (pytest.approx(0.4), pytest.approx(0.4)) == known[:2]
    # of four rows at .9 one or two come true
    bounds = metrics.calibration_error(labels, [[0.9, 0.05, 0.05]] * 4)
    assert (pytest.approx(0.4), pytest.approx(0.65)) == bounds[:2]
    assert bounds.interval is None
    entry = metrics.evaluate(labels, [[0.9, 0.05, 0.05]] * 4)["metrics"]["calibration_error"]
    assert (bounds.lower, bounds.upper, 4) == (entry["lower"], entry["upper"], entry["rows"])
    calm = tag_labels([[1, 0], [0, 0], [np.nan, 1]], ["a", "b"])
    bounds = metrics.calibration_error(calm, [[0.5, 0.0]] * 3)
    assert (pytest.approx(1.5 / 6), pytest.approx(1.5 / 6)) == bounds[:2]


# --- intervals ------------------------------------------------------------------------------


def test_wilson_interval_of_a_share():
    """8 of 10: Wilson's textbook interval."""
    assert (0.4901625, 0.9433178) == pytest.approx(proportion(8, 8, 10).interval, abs=1e-6)


def test_interval_between_bounds_is_narrower_than_two_wilson_intervals():
    """Imbens and Manski: far bounds need the one-sided critical value only."""
    bounds = proportion(600, 800, 1000)
    assert proportion(600, 600, 1000).interval[0] < bounds.interval[0] < 0.6
    assert proportion(800, 800, 1000).interval[1] > bounds.interval[1] > 0.8


def test_standard_errors_agree_with_the_bootstrap():
    """The linearised error of micro and macro F1 is the spread of resampled scores."""
    rng = np.random.default_rng(0)
    truth = rng.random((400, 5)) < [0.5, 0.4, 0.3, 0.2, 0.1]
    predicted = truth ^ (rng.random(truth.shape) < 0.2)
    completion = completions(predicted, truth, truth)[0]
    hits, chosen, present = completion.counts(1)

    def resampled(score):
        draws = [score(rng.integers(0, 400, 400)) for _ in range(400)]
        return np.std(draws)

    error = ratio_of(2 * hits, chosen + present).error
    assert error == pytest.approx(
        resampled(lambda i: 2 * hits[i].sum() / (chosen[i] + present[i]).sum()), rel=0.15
    )
    for measure in ("f1", "jaccard"):
        macro = _macro(measure, completion)
        assert macro.error == pytest.approx(
            resampled(
                lambda i, m=measure: (
                    _macro(m, completions(predicted[i], truth[i], truth[i])[0]).value
                )
            ),
            rel=0.15,
        )


@pytest.mark.slow
def test_intervals_cover_the_true_score():
    """Over many draws the 95 % interval of micro F1 holds the population value about so often."""
    rng = np.random.default_rng(5)
    odds = np.array([0.5, 0.3, 0.2, 0.1])

    def draw(n):
        truth = rng.random((n, 4)) < odds
        return truth, truth ^ (rng.random((n, 4)) < 0.15)

    truth, predicted = draw(200_000)
    target = 2 * (truth & predicted).sum() / (truth.sum() + predicted.sum())
    inside = 0
    for _ in range(400):
        truth, predicted = draw(150)
        hits, chosen, present = completions(predicted, truth, truth)[0].counts(1)
        estimate = ratio_of(2 * hits, chosen + present)
        low, high = between(estimate, estimate).interval
        inside += low <= target <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_one_row_has_no_interval_and_equal_rows_have_a_wide_one():
    """Five rows, all right, leave room for wrong ones; a single row says nothing about spread."""
    flat = mean_of(np.ones(5))
    low, high = between(flat, flat).interval
    assert low < 0.6
    assert 1.0 == high
    single = mean_of(np.ones(1))
    assert between(single, single).interval is None
    assert between(flat, flat, top=float("inf")).interval is None  # a loss without any spread


# --- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.eye(3)), "2 classes and proba has 3"),
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.eye(2)[:1]), "2 labels for 1 rows"),
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.eye(2) * 3), "logits or scores"),
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.full((2, 2), 0.9)), "adds to 1.8, not 1"),
        (lambda: metrics.evaluate(Labels(["a", "b"]), [[0.5, np.nan]] * 2), "nan in row 0"),
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.eye(2), ["a"]), "names 1 classes"),
        (
            lambda: metrics.paired_difference(
                Labels(["a", "b"]), np.eye(2), np.eye(2), decision=decide.Threshold(0.0)
            ),
            r"row 0 names 2; decide with Argmax\(\)",
        ),
        (
            lambda: metrics.evaluate(Labels(["a", "b"]), np.eye(2), meaning="logits"),
            "unknown meaning 'logits'",
        ),
        (lambda: metrics.evaluate(Labels(["a", "b"]), np.zeros((0, 2))), "at least 1"),
    ],
)
def test_wrong_input_is_named(call, message):
    """Each mistake is an error that says what came and what to write."""
    with pytest.raises(ValueError, match=message):
        call()
