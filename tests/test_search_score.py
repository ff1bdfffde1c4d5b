"""How a search scores candidates: across folds, over inputs, and never by the check rows."""

import numpy as np
import pytest

from eitheror.comparison.data import Data
from eitheror.decide import METRICS, Argmax, Threshold
from eitheror.labels import Labels, either, evidence, not_
from eitheror.metrics import statement_log_loss
from eitheror.search.parts import Parts
from eitheror.search.run import Dealt, Limits, run_search
from eitheror.search.score import Judge, _rules, score_of
from eitheror.search.space import Space
from eitheror.training import TrainOptions


@pytest.mark.parametrize("metric", METRICS)
def test_a_rule_never_sees_the_rows_it_decides(metric):
    """Turning the labels of one fold round leaves the decisions of that fold as they were."""
    rng = np.random.default_rng(0)
    truth = (rng.random((90, 4)) < 0.4).astype(float)
    proba = (0.7 * truth + 0.5 * rng.random((90, 4))) / 1.3
    folds = np.arange(90) % 3
    turned = np.where((folds == 0)[:, None], 1 - truth, truth)
    decided = []
    for values in (truth, turned):
        judge = Judge(metric, Labels.from_indicator(values), folds, 0)
        decided.append(judge._decided(_rules(metric), proba))
    for before, after in zip(*decided, strict=True):
        np.testing.assert_array_equal(before[folds == 0], after[folds == 0])


def test_the_best_rule_is_chosen_and_fitted_to_all_rows():
    """The score is that of decisions across folds; the rule has seen every selection row."""
    rng = np.random.default_rng(1)
    truth = (rng.random((120, 3)) < 0.3).astype(float)
    proba = (0.4 * truth + 0.5 * rng.random((120, 3))).astype(np.float32)
    labels = Labels.from_indicator(truth)
    judge = Judge("f1_micro", labels, np.arange(120) % 3, 0)
    chosen = judge.choose(proba)
    read = proba if chosen.calibration is None else chosen.calibration.transform(proba)
    again = type(chosen.rule)("f1_micro", at_least_one=chosen.rule.at_least_one)
    assert again.fit(labels, read.astype(np.float32)).threshold_ == chosen.rule.threshold_
    assert chosen.scored.score >= judge.quick(proba)
    assert chosen.scored.interval[0] < chosen.scored.score < chosen.scored.interval[1]


def test_scores_of_classes_are_those_of_compare_and_of_the_statements():
    """Accuracy on exact rows is the share of right rows; log loss is the mean statement loss."""
    rng = np.random.default_rng(2)
    proba = rng.dirichlet([1, 1, 1], 50)
    labels = Labels([["a", "b", "c"][k] for k in rng.integers(0, 3, 50)], classes=["a", "b", "c"])
    accuracy = score_of("accuracy", labels, proba, Argmax(), 0)
    assert np.mean(labels.exact_index() == proba.argmax(axis=1)) == pytest.approx(accuracy.score)
    loss = score_of("log_loss", labels, proba, Argmax(), 0)
    assert statement_log_loss(labels, proba).mean() == pytest.approx(loss.score)
    better = score_of("log_loss", labels, 0.5 * proba + 0.5 * np.eye(3)[labels.exact_index()],
                      Argmax(), 0)  # fmt: skip
    assert 0 < better.ahead_of(loss)[1][0] < better.ahead_of(loss)[0]


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_a_part_of_the_rows_is_scored_as_all_of_them_are(metric):
    """Where one class is true the quick score is the final one, in the metric's own sign."""
    rng = np.random.default_rng(3)
    labels = Labels([["a", "b", "c"][k] for k in rng.integers(0, 3, 30)], classes=["a", "b", "c"])
    proba = rng.dirichlet([1, 1, 1], 30)
    judge = Judge(metric, labels, np.arange(30) % 3, 0)
    assert judge.choose(proba).scored.score == judge.quick(proba) > 0


def test_rows_that_earn_nothing_have_no_interval():
    """Weights that are level over all classes put nothing at stake."""
    labels = Labels([evidence({"a": 1, "b": 1})] * 12, classes=["a", "b"])
    found = score_of("accuracy", labels, np.full((12, 2), 0.5), Argmax(), 0)
    assert (0.0, None) == (found.score, found.interval)


def test_a_score_without_spread_has_an_interval_with_width():
    """All 40 right: the interval ends at 1 and begins below."""
    labels = Labels(["a", "b"] * 20)
    proba = np.eye(2)[labels.exact_index()]
    found = score_of("accuracy", labels, proba, Argmax(), 0)
    assert 1.0 == found.score == found.interval[1]
    assert 0.8 < found.interval[0] < 1.0


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_repeated_inputs_count_once_in_the_intervals(metric):
    """Every row five times over has the score, the gain and the intervals of the rows once."""
    rng = np.random.default_rng(4)
    choices = ["a", "b", "c", either("a", "b"), not_("a")]
    labels = Labels([choices[k] for k in rng.integers(0, 5, 60)], classes=["a", "b", "c"])
    often = np.repeat(np.arange(60), 5)
    ends = []
    for rows in (np.arange(60), often):
        first, second = (
            score_of(metric, labels[rows], proba[rows], Argmax(), 0, rows.astype(np.uint64))
            for proba in np.random.default_rng(5).dirichlet([1, 1, 1], (2, 60))
        )
        gain, interval = first.ahead_of(second)
        ends.append([first.score, *first.interval, gain, *interval])
    assert ends[0] == pytest.approx(ends[1])


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_check_rows_have_no_say(metric, tmp_path):
    """With every label of the check rows another, trials, choice and model are the same bytes."""
    pytest.importorskip("optuna", reason="optuna is not installed")
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 150)
    X = 1.5 * np.eye(3)[y] + rng.normal(0, 1, (150, 3))
    parts = Parts(np.arange(90), np.arange(90, 130), np.arange(130, 150))
    found = []
    for name, turned in (("as it is", 0), ("turned", 1)):
        said = y.copy()
        said[parts.check] = (y[parts.check] + turned) % 3
        data = Data(X, Labels(said.tolist(), classes=range(3)))
        train, selection, check = (
            data.take(rows) for rows in (parts.train, parts.selection, parts.check)
        )
        space = Space(TrainOptions(), "multiclass", False, 90, ("softmax",), balance=False)
        judge = Judge(metric, selection.labels, np.arange(40) % 3, 0)
        dealt = Dealt(train, selection, check, [np.arange(90)], parts)
        result = run_search(dealt, space, judge, Limits(None, 4), n_jobs=1, seed=0, progress=None)
        result.model.save(tmp_path / name)
        trials = [(trial.options, trial.state, trial.score) for trial in result.trials]
        files = [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]
        found.append((trials, result.best, result.selection_score, files))
        scores = score_of(metric, check.labels, result.model.predict_proba(check.inputs),
                          Argmax(), 0)  # fmt: skip
        assert scores.score == result.score
    assert found[0] == found[1]


def test_rows_of_which_nothing_is_known_are_no_rows():
    """They neither score nor make an interval narrower: an empty set is not right about them."""
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 3)) < 0.4).astype(float)
    proba = np.clip(0.7 * truth + 0.3 * rng.random((60, 3)), 0, 1)
    silent = np.full((200, 3), np.nan)
    known, rule = Labels.from_indicator(truth), Threshold(0.5)
    more = Labels.from_indicator(np.concatenate([truth, silent]))
    both = np.concatenate([proba, np.zeros((200, 3))])
    for metric in ("accuracy", "f1_samples", "jaccard_micro"):
        alone = score_of(metric, known, proba, rule, 0)
        among = score_of(metric, more, both, rule, 0)
        assert (alone.score, alone.interval) == (among.score, among.interval)
