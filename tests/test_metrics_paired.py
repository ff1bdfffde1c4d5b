"""Differences of two models, scores through a channel, tables: against every completion."""

import itertools

import numpy as np
import pytest

import eitheror as eo
from eitheror import metrics
from eitheror.decide import Reject, Threshold
from eitheror.labels import Labels, either, not_, tags
from eitheror.metrics import evaluate_through_channel, paired_difference
from eitheror.noise import (
    complementary_transition,
    corrupt_complementary,
    corrupt_flip,
    corrupt_sets,
    flip_transition,
    unbiased_weights,
)

CLASSES = list("abcd")
TAG_METRICS = [
    "accuracy",
    "hamming",
    *(f"{m}_{a}" for m in ("f1", "jaccard") for a in ("micro", "samples")),
]


def tag_labels(matrix):
    """Labels of a matrix of 1, 0 and nan."""
    rows = []
    for row in np.asarray(matrix, dtype=float):
        present = [c for c, v in zip(CLASSES, row, strict=False) if v == 1]
        absent = [c for c, v in zip(CLASSES, row, strict=False) if v == 0]
        rows.append(tags(*present, absent=absent, rest="unknown") if present or absent else None)
    return Labels(rows, classes=CLASSES[: np.shape(matrix)[1]], task="multilabel")


def random_proba(rng, n, k):
    """Rows that add to one."""
    return rng.dirichlet(np.ones(k), n)


# --- paired differences ---------------------------------------------------------------------


def every_truth(matrix):
    """Return the matrix with its nan filled in all ways."""
    holes = np.flatnonzero(np.isnan(matrix))
    for filling in itertools.product([0.0, 1.0], repeat=len(holes)):
        filled = matrix.copy()
        filled.ravel()[holes] = filling
        yield filled


@pytest.mark.parametrize("seed", range(20))
def test_tag_differences_are_sharp(seed):
    """The bounds are the least and largest difference over every truth that the tags allow."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    matrix = rng.integers(0, 2, (n, k)).astype(float)
    matrix.ravel()[rng.permutation(n * k)[: min(6, n * k - 1)]] = np.nan
    first, second = rng.random((n, k)), rng.random((n, k))
    second = np.where(rng.random((n, k)) < 0.5, first, second)  # agree on half of the entries
    seen = {name: [] for name in TAG_METRICS}
    for truth in every_truth(matrix):
        scores = [
            metrics.evaluate(tag_labels(truth), p, decision=Threshold(0.5))["metrics"]
            for p in (first, second)
        ]
        for name in TAG_METRICS:
            seen[name].append(scores[0][name]["lower"] - scores[1][name]["lower"])
    for name in TAG_METRICS:
        bounds = paired_difference(tag_labels(matrix), first, second, name, repetitions=0)
        expected = min(seen[name]), max(seen[name])
        assert expected == pytest.approx((bounds.lower, bounds.upper), abs=1e-12), name


@pytest.mark.parametrize("measure", ["f1", "jaccard"])
def test_many_open_entries_are_bounded_sharply_without_trying_them_all(measure):
    """With dozens of open entries on which both agree, no number of present ones does worse."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        k = 30
        a, b = rng.random(k) < rng.random(), rng.random(k) < rng.random()
        known = rng.random(k) < 0.3
        truth = rng.random(k) < 0.5
        row = np.where(known, truth, np.nan)
        names = [f"c{i}" for i in range(k)]
        present = [c for c, v in zip(names, row, strict=True) if v == 1]
        absent = [c for c, v in zip(names, row, strict=True) if v == 0]
        labels = Labels([tags(*present, absent=absent, rest="unknown")], names, "multilabel")
        bounds = paired_difference(
            labels, a[None] * 1.0, b[None] * 1.0, f"{measure}_samples", repetitions=0
        )
        both, neither = (a & b & ~known).sum(), (~a & ~b & ~known).sum()
        lowest = np.inf
        for x, y in itertools.product(range(both + 1), range(neither + 1)):
            t = (known & truth) | (~known & b & ~a)
            scores = []
            for h in (a, b):
                hits, total = (h & t).sum() + x, t.sum() + x + y
                top = 2 * hits if measure == "f1" else hits
                bottom = h.sum() + total - (0 if measure == "f1" else hits)
                scores.append(top / bottom if bottom else 1.0)
            lowest = min(lowest, scores[0] - scores[1])
        assert lowest == pytest.approx(bounds.lower, abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_class_differences_contain_every_completion(seed):
    """Accuracy is sharp under candidate sets; macro averages are contained."""
    rng = np.random.default_rng(seed)
    n = 4
    mask = rng.random((n, 3)) < 0.6
    mask[np.arange(n), rng.integers(0, 3, n)] = True
    labels = Labels.from_candidates(mask, classes=CLASSES[:3])
    first, second = random_proba(rng, n, 3), random_proba(rng, n, 3)
    names = ["accuracy", "f1_macro", "jaccard_macro"]
    seen = {name: [] for name in names}
    for truth in itertools.product(*(np.flatnonzero(row) for row in mask)):
        known = Labels([CLASSES[i] for i in truth], classes=CLASSES[:3])
        for name in names:
            seen[name].append(paired_difference(known, first, second, name, repetitions=0).lower)
    for name in names:
        bounds = paired_difference(labels, first, second, name, repetitions=0)
        assert bounds.lower <= min(seen[name]) + 1e-12
        assert bounds.upper >= max(seen[name]) - 1e-12
        if name == "accuracy":
            assert (min(seen[name]), max(seen[name])) == pytest.approx((bounds.lower, bounds.upper))


def test_macro_difference_on_known_labels_is_the_difference_of_macro_scores():
    """Where both models name every class, the score is scikit-learn's macro F1, twice."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 60)
    labels = Labels([CLASSES[i] for i in truth], classes=CLASSES[:3])
    first, second = random_proba(rng, 60, 3), random_proba(rng, 60, 3)
    scores = [metrics.evaluate(labels, p)["metrics"]["f1_macro"]["lower"] for p in (first, second)]
    bounds = paired_difference(labels, first, second, "f1_macro")
    assert scores[0] - scores[1] == pytest.approx(bounds.lower, abs=1e-12)
    assert bounds.lower == pytest.approx(bounds.upper, abs=1e-12)


def test_a_model_does_not_differ_from_itself():
    """Same probabilities: the difference is 0 whatever is unknown, with interval [0, 0]."""
    rng = np.random.default_rng(2)
    matrix = np.where(rng.random((30, 3)) < 0.5, np.nan, rng.integers(0, 2, (30, 3)))
    proba = rng.random((30, 3))
    for name in (*TAG_METRICS, "f1_macro", "jaccard_macro", "log_loss"):
        bounds = paired_difference(tag_labels(matrix), proba, proba, name, repetitions=50)
        assert (0.0, 0.0, (0.0, 0.0)) == (bounds.lower, bounds.upper, bounds.interval), name


def test_swapping_the_models_turns_the_sign():
    """score(a) - score(b) is minus score(b) - score(a), interval and all."""
    rng = np.random.default_rng(3)
    matrix = np.where(rng.random((40, 4)) < 0.3, np.nan, rng.integers(0, 2, (40, 4)))
    first, second = rng.random((40, 4)), rng.random((40, 4))
    for name in (*TAG_METRICS, "f1_macro"):
        one = paired_difference(tag_labels(matrix), first, second, name, repetitions=100)
        two = paired_difference(tag_labels(matrix), second, first, name, repetitions=100)
        assert (one.lower, one.upper) == pytest.approx((-two.upper, -two.lower)), name
        assert one.interval == pytest.approx((-two.interval[1], -two.interval[0])), name


def test_the_interval_covers_the_difference_of_a_larger_population():
    """95 % intervals from 150 rows hold the difference on 40,000 rows, in 200 draws."""
    rng = np.random.default_rng(4)
    n = 40_000
    truth = rng.integers(0, 3, n)
    proba = [np.eye(3)[truth] * s + rng.dirichlet(np.ones(3), n) for s in (0.6, 0.5)]
    first, second = (p / p.sum(axis=1, keepdims=True) for p in proba)
    labels = Labels([CLASSES[i] for i in truth], classes=CLASSES[:3])
    whole = paired_difference(labels, first, second, repetitions=0).lower
    held = 0
    for _ in range(200):
        rows = rng.integers(0, n, 150)
        low, high = paired_difference(
            labels[rows], first[rows], second[rows], repetitions=200, seed=0
        ).interval
        held += low <= whole <= high
    assert held / 200 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


# --- through a channel ----------------------------------------------------------------------


def test_v01_accuracy_from_complementary_labels():
    """K = 10, n = 1000, 11 decisions hit the class ruled out: .901 with standard error .0297."""
    proba = np.tile(np.r_[0.91, np.full(9, 0.01)], (1000, 1))
    labels = Labels([not_(0)] * 11 + [not_(1 + i % 9) for i in range(989)], classes=range(10))
    report = evaluate_through_channel(unbiased_weights(labels, kind="not"), proba)
    accuracy = report["metrics"]["accuracy"]
    assert 0.901 == pytest.approx(accuracy["lower"], rel=1e-12)
    low, high = accuracy["interval"]
    assert low < 0.901 < high
    assert 2 * 1.96 * 0.02968499621 == pytest.approx(high - low, rel=0.05)


def test_v02_variance_of_complementary_labels():
    """The spread of the estimate is (1 - a)(K - 2 + a) / n, 9.9 times that of exact labels."""
    rng = np.random.default_rng(5)
    k, n, a = 10, 400, 0.9
    found = []
    for _ in range(200):
        y = rng.integers(0, k, n)
        decided = np.where(rng.random(n) < a, y, (y + rng.integers(1, k, n)) % k)
        weights = unbiased_weights(corrupt_complementary(y, k, random_state=rng), kind="not")
        report = evaluate_through_channel(weights, np.eye(k)[decided])
        found.append(report["metrics"]["accuracy"]["lower"])
    expected = (1 - a) * (k - 2 + a) / n
    assert 9.888888888888889 == pytest.approx(expected / (a * (1 - a) / n))
    assert a == pytest.approx(np.mean(found), abs=4 * np.sqrt(expected / 200))
    assert expected == pytest.approx(np.var(found), rel=0.35)


CHANNELS = {
    "complementary": lambda y, rng: unbiased_weights(
        corrupt_complementary(y, 4, random_state=rng), kind="not"
    ),
    "two ruled out": lambda y, rng: unbiased_weights(
        corrupt_complementary(y, 4, n=2, random_state=rng), kind="not"
    ),
    "biased": lambda y, rng: unbiased_weights(
        corrupt_complementary(y, 4, transition=_BIASED, random_state=rng),
        kind="not",
        transition=_BIASED,
    ),
    "flips": lambda y, rng: unbiased_weights(
        corrupt_flip(y, 4, rate=0.3, random_state=rng), transition=flip_transition(4, 0.3)
    ),
    "distractors": lambda y, rng: unbiased_weights(
        corrupt_sets(y, 4, rate=0.4, random_state=rng), rate=0.4
    ),
}
_BIASED = complementary_transition(4, (0.5, 0.3, 0.2), random_state=0)


@pytest.mark.parametrize("channel", CHANNELS)
def test_estimates_through_a_channel_are_unbiased_with_honest_intervals(channel):
    """The mean over draws is the true score and the interval covers it as often as it says."""
    rng = np.random.default_rng(6)
    n, draws = 800, 60
    y = rng.integers(0, 4, n)
    proba = rng.dirichlet(np.ones(4), n) + 0.3 * np.eye(4)[y]
    proba /= proba.sum(axis=1, keepdims=True)
    exact = metrics.evaluate(Labels(y.tolist(), classes=range(4)), proba)["metrics"]
    found = {name: [] for name in ("accuracy", "f1_macro", "log_loss")}
    for _ in range(draws):
        report = evaluate_through_channel(CHANNELS[channel](y, rng), proba)["metrics"]
        for name, values in found.items():
            low, high = report[name]["interval"]
            values.append((report[name]["lower"], low <= exact[name]["lower"] <= high))
    for name, values in found.items():
        scores, held = np.array(values).T
        error = scores.std() / np.sqrt(draws)
        slack = 0.01 if name == "f1_macro" else 0.0  # unbiased in the limit only
        assert exact[name]["lower"] == pytest.approx(scores.mean(), abs=4 * error + slack), name
        assert held.mean() > 0.95 - 4 * np.sqrt(0.95 * 0.05 / draws), name


def test_exact_labels_through_no_channel_are_the_usual_scores():
    """With R = one-hot the estimates are accuracy, macro F1 and log loss."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, 3, 80)
    proba = random_proba(rng, 80, 3)
    usual = metrics.evaluate(Labels(y.tolist(), classes=range(3)), proba)["metrics"]
    report = evaluate_through_channel(np.eye(3)[y], proba)["metrics"]
    for name, entry in report.items():
        assert usual[name]["lower"] == pytest.approx(entry["lower"], rel=1e-12), name
    assert usual["accuracy"]["interval"] == pytest.approx(report["accuracy"]["interval"])


# --- tables ---------------------------------------------------------------------------------


def test_class_table_is_scikit_learns_on_known_labels():
    """Precision, recall and F1 of each class are the usual ones."""
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(8)
    y, proba = rng.integers(0, 4, 100), random_proba(rng, 100, 4)
    table = metrics.class_table(Labels(y.tolist(), classes=range(4)), proba)
    expected = sk.precision_recall_fscore_support(y, proba.argmax(axis=1))
    for name, values in zip(("precision", "recall", "f1", "present"), expected, strict=True):
        found = np.array([row[name] for row in table])
        np.testing.assert_allclose(np.c_[values, values], found, rtol=1e-12)


def test_class_table_bounds_contain_every_completion():
    """Each class's scores lie within its bounds for every truth that the tags allow."""
    rng = np.random.default_rng(9)
    matrix = rng.integers(0, 2, (3, 3)).astype(float)
    matrix.ravel()[[0, 3, 4, 8]] = np.nan
    proba = rng.random((3, 3))
    wide = metrics.class_table(tag_labels(matrix), proba)
    seen = {}
    for truth in every_truth(matrix):
        for k, row in enumerate(metrics.class_table(tag_labels(truth), proba)):
            for name in ("precision", "recall", "f1"):
                if row[name] is not None:
                    seen.setdefault((k, name), []).append(row[name][0])
    for (k, name), values in seen.items():
        assert [min(values), max(values)] == pytest.approx(wide[k][name]), (k, name)


def test_reliability_of_a_calibrated_model_is_the_diagonal():
    """Frequencies equal probabilities where labels are drawn from them; unknown rows widen."""
    rng = np.random.default_rng(10)
    proba = random_proba(rng, 20_000, 3)
    y = (proba.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1)
    names = [CLASSES[i] for i in y]
    curve = metrics.reliability_curve(Labels(names, classes=CLASSES[:3]), proba, bins=10)
    for row in curve:
        if row["entries"] > 500:
            assert row["frequency"][0] == row["frequency"][1]
            assert row["probability"] == pytest.approx(row["frequency"][0], abs=0.06)
    open_rows = [name if i % 2 else either("a", "b", "c") for i, name in enumerate(names)]
    for row in metrics.reliability_curve(Labels(open_rows, classes=CLASSES[:3]), proba, bins=10):
        assert row["frequency"][0] <= row["frequency"][1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, p: paired_difference(y, p, p, "f1_micro"), "unknown metric 'f1_micro' for mult"),
        (lambda y, p: paired_difference(y, p, p[:1]), r"proba has shape \(2, 2\) and other \(1"),
        (lambda y, p: evaluate_through_channel(np.eye(3), p), r"weights have shape \(3, 3\)"),
        (lambda y, p: evaluate_through_channel(np.zeros((2, 2)), p), "no row says anything"),
        (lambda y, p: unbiased_weights(y), "which channel"),
        (lambda y, p: unbiased_weights(y, transition=np.full((2, 2), 0.5)), "cannot be inverted"),
        (lambda y, p: unbiased_weights(y, rate=1.0), "rate=1"),
        (lambda y, p: metrics.reliability_curve(y, p, bins=0), "bins=0"),
    ],
)
def test_misuse_is_named(call, message):
    """Each refusal says what came and what to write."""
    labels = eo.Labels(["a", "b"], classes=["a", "b"])
    with pytest.raises(ValueError, match=message):
        call(labels, np.array([[0.9, 0.1], [0.3, 0.7]]))


def test_statements_that_the_channel_cannot_have_made_are_named():
    """A set where the matrix is of exact labels, a trust weight where sets are plain."""
    vague = Labels(["a", either("a", "b")], classes=CLASSES)
    with pytest.raises(ValueError, match=r"row 1: either\('a', 'b'\) is not exact"):
        unbiased_weights(vague, transition=flip_transition(4, 0.1))
    weighed = Labels([not_("a", trust=0.9)], classes=CLASSES)
    with pytest.raises(ValueError, match=r"row 0: .* is no plain set"):
        unbiased_weights(weighed, rate=0.2)


def test_rejected_rows_count_as_wrong_through_a_channel():
    """A row without a decision adds nothing to the estimate."""
    report = evaluate_through_channel(
        np.eye(2)[[0, 0]], [[0.9, 0.1], [0.6, 0.4]], decision=Reject(0.2)
    )
    assert 0.5 == report["metrics"]["accuracy"]["lower"]
