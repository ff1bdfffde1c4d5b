"""Intervals and conformal sets hold what they promise: benchmarks/interval_coverage.py in small.

The benchmark has 2,000 data sets for each interval and its result is stored; here are a few
hundred, with the thresholds that their number allows, and the stored tables against the page.
"""

import json
import runpy
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from eitheror.labels import Labels, either
from eitheror.metrics import evaluate, paired_difference

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
LEVEL = 0.95
# What the stored run found for the worst interval at n = 50: macro averages of rare classes.
SMALL_SAMPLES = 0.02


@pytest.fixture(scope="module")
def coverage():
    """The functions of the benchmark."""
    return runpy.run_path(str(BENCHMARKS / "interval_coverage.py"))


def least(data_sets):
    """Return the coverage that an interval at its level stays above but once in 30,000 times."""
    return LEVEL - SMALL_SAMPLES - 4 * sqrt(LEVEL * (1 - LEVEL) / data_sets)


@pytest.mark.parametrize(("task", "share"), [("classes", 0.0), ("classes", 0.6), ("tags", 0.4)])
def test_intervals_of_scores_hold_both_bounds(coverage, task, share):
    """The score of the population, at either end of what the labels allow, n = 50."""
    for name, held in coverage["of_scores"](task, share, 50, 250).items():
        assert held >= least(250), name


@pytest.mark.parametrize("channel", ["complementary", "30 % flipped", "sets, 40 % distractors"])
def test_intervals_through_a_channel_hold_the_score(coverage, channel):
    """Accuracy and log loss, n = 50; macro F1 needs more rows (see the stored table)."""
    held = coverage["of_channels"](channel, 50, 250)
    assert min(held["accuracy"], held["log_loss"]) >= least(250)


def test_intervals_of_differences_hold_the_difference(coverage):
    """Two models on the same rows, both bounds, for one class and for tags."""
    for task, names in (("classes", ["accuracy"]), ("tags", ["f1_micro"])):
        (held,) = coverage["of_differences"](task, 0.4, 50, 150, names, 200).values()
        assert held >= least(150), task


def test_intervals_of_comparisons_hold_the_true_accuracy_and_difference(coverage):
    """What `compare` writes beside two strategies: five classes; exact rows, sets and "not l"."""
    for name, held in coverage["of_comparisons"]("a third of each", 5, 200, 150).items():
        assert held >= least(150), name


def won_rows(n, won, lost=0):
    """Return tags of n rows, and two models of which one is right alone in `won` rows."""
    truth = np.zeros((n, 3), dtype=bool)
    truth[:, 0] = True
    first, second = truth * 1.0, truth * 1.0
    second[:won] = [0.0, 1.0, 0.0]
    first[n - lost :] = [0.0, 1.0, 0.0]
    return Labels.from_indicator(truth), first, second


@pytest.mark.parametrize("n", [4, 10, 40, 400])
@pytest.mark.parametrize("metric", ["accuracy", "f1_micro", "f1_samples", "jaccard_micro"])
def test_four_rows_won_and_none_lost_are_no_clear_difference(n, metric):
    """A sign test gives .125; ten rows won and none lost are clear, and so from either side."""
    labels, first, second = won_rows(n, 4)
    bounds = paired_difference(labels, first, second, metric)
    assert bounds.lower > 0
    assert bounds.interval[0] <= 0
    assert paired_difference(labels, second, first, metric).interval[1] >= 0
    if n >= 40:
        labels, first, second = won_rows(n, 10)
        assert paired_difference(labels, first, second, metric).interval[0] > 0
        assert paired_difference(labels, second, first, metric).interval[1] < 0


def test_models_that_decide_alike_may_still_differ_elsewhere():
    """No difference in n rows leaves room for one in about 3.7 of n; the same model has none."""
    labels, first, _ = won_rows(100, 0)
    bounds = paired_difference(labels, first, 0.9 * first)
    assert (0.0, 0.0) == bounds[:2]
    assert (-0.0362, 0.0362) == pytest.approx(bounds.interval, abs=1e-4)
    assert (0.0, 0.0) == paired_difference(labels, first, first).interval
    assert paired_difference(labels, first, 0.9 * first, "f1_macro").interval is None


def test_every_bound_has_its_interval():
    """No score of decisions is without one, for open labels, known ones and all-right ones."""
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 12)
    names = list("abc")
    right = [names[k] for k in proba.argmax(axis=1)]
    for rows in (right, [either("a", "b"), "c", None] * 4, [None] * 12):
        labels = Labels(rows, classes=names)
        for task in ("multiclass", "multilabel"):
            read = Labels(rows, classes=names, task=task)
            for name, entry in evaluate(read, proba)["metrics"].items():
                if entry["lower"] is None or name == "calibration_error":
                    continue
                low, high = entry["interval"]
                assert low <= entry["lower"] <= entry["upper"] <= high, (name, task)
    assert labels.task == "multiclass"


def test_bounds_say_where_they_are_outer():
    """Macro averages where one class is true and a row is open; "at least one of" for tags."""
    proba = np.full((3, 3), 1 / 3)

    def outer(rows, task):
        report = evaluate(Labels(rows, classes=list("abc"), task=task), proba)["metrics"]
        return {name for name, entry in report.items() if entry.get("outer")}

    assert {"f1_macro", "jaccard_macro"} == outer(["b", "c", either("a", "b")], "multiclass")
    assert set() == outer(["b", "c", "a"], "multiclass")
    assert "hamming" in outer(["b", "c", either("a", "b")], "multilabel")
    assert set() == outer(["b", "c", None], "multilabel")


@pytest.mark.parametrize("name", ["interval_coverage", "conformal_coverage"])
def test_the_page_shows_the_stored_figures(name):
    """The tables of docs/evaluate.md are those of the stored run."""
    script = runpy.run_path(str(BENCHMARKS / f"{name}.py"))
    stored = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert script["with_tables"](page, stored["coverage"]) == page


def test_stored_coverage_is_nominal_within_the_error_of_its_simulation(coverage):
    """2,000 data sets each; n = 50 and macro averages through a channel are named exceptions."""
    stored = json.loads((BENCHMARKS / "results" / "interval_coverage.json").read_text())
    assert 2000 == stored["data_sets"]
    assert list(coverage["KINDS"]) == list(stored["coverage"])
    sizes = {str(n) for n in coverage["SIZES"]}
    slack = 2 * stored["monte_carlo_error"]  # four standard errors: there are hundreds of figures
    for kind, part in stored["coverage"].items():
        for name, held in part.items():
            assert sizes == set(held), (kind, name)
            for n, share in held.items():
                if kind == "channels" and name.startswith("f1_macro") and n != "1000":
                    continue
                small = SMALL_SAMPLES if n == "50" else 0.0
                assert share >= stored["nominal"] - slack - small, (kind, name, n)


def test_conformal_sets_cover_as_promised_and_the_naive_ones_do_not():
    """Exact and largest reach the level, the channel nearly; smallest and posterior fall short."""
    script = runpy.run_path(str(BENCHMARKS / "conformal_coverage.py"))
    found = script["measure"](40)
    error = 3 * 0.022 / sqrt(40)  # of 200 calibration rows, from set to set
    for case, methods in found.items():
        assert methods["exact"]["coverage"] >= 0.9 - error, case
        assert methods["largest"]["coverage"] >= 0.99, case
        assert methods["channel"]["coverage"] >= 0.87 - error, case
        assert methods["channel"]["size"] < methods["largest"]["size"] / 2, case
        assert methods["smallest"]["coverage"] < 0.9, case
        assert methods["posterior"]["coverage"] < 0.9, case
