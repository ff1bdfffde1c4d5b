"""The report of one model: its curves are the scores of `evaluate`, its page is self-contained."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eitheror as eo
from eitheror import decide, metrics
from eitheror.report import (
    learning_curve,
    model_page,
    model_report,
    rejection_curve,
    set_sizes,
    threshold_curve,
)
from eitheror.report.learning import stored_options
from eitheror.report.plot import Plot
from eitheror.report.words import score_of_rule, shown_scores
from eitheror.training import TrainOptions, fit


def open_tags(n_samples, n_classes, seed):
    """Return labels of tags of which about a third is unknown, and probabilities."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 1.0, np.nan], size=(n_samples, n_classes))
    names = [f"t{k}" for k in range(n_classes)]
    # few distinct numbers, so that there are ties
    return eo.Labels.from_indicator(values, classes=names), rng.integers(0, 8, values.shape) / 8


def open_classes(n_samples, n_classes, seed):
    """Return labels of one true class of which many leave it open, and probabilities."""
    rng = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(n_classes)]
    data = []
    for _ in range(n_samples):
        size = int(rng.integers(1, n_classes + 1))
        chosen = rng.choice(names, size=size, replace=False).tolist()
        data.append(None if size == n_classes else eo.either(*chosen) if size > 1 else chosen[0])
    proba = rng.dirichlet(np.ones(n_classes), n_samples).round(2)
    proba[:, 0] += 1 - proba.sum(axis=1)
    return eo.Labels(data, classes=names, task="multiclass"), np.clip(proba, 0, 1)


def ends(entry):
    """Return the bounds of a score."""
    return entry["lower"], entry["upper"]


class TestCurves:
    """Each point of a curve is what `evaluate` says of the rule at that point."""

    @settings(max_examples=30)
    @given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 999), st.booleans())
    def test_thresholds(self, n_samples, n_classes, seed, at_least_one):
        """Each score of the threshold curve is that of `Threshold`, as bounds."""
        labels, proba = open_tags(n_samples, n_classes, seed)
        cuts = [0.0, 0.25, 0.5, 0.51, 1.0]
        curve = threshold_curve(
            labels, proba, metrics=decide.METRICS, cuts=cuts, at_least_one=at_least_one
        )
        for place, cut in enumerate(cuts):
            rule = decide.Threshold(cut, at_least_one=at_least_one)
            expected = eo.evaluate(labels, proba, decision=rule)["metrics"]
            for name in decide.METRICS:
                found = curve[name]["lower"][place], curve[name]["upper"][place]
                assert pytest.approx(ends(expected[name]), abs=1e-6) == found, (name, cut)

    def test_blocks_change_nothing(self, monkeypatch):
        """Entries counted a few rows at a time give the same curve."""
        labels, proba = open_tags(17, 3, 0)
        whole = threshold_curve(labels, proba, metrics=decide.METRICS)
        monkeypatch.setattr("eitheror.report.curves._BLOCK", 12)
        assert whole == threshold_curve(labels, proba, metrics=decide.METRICS)

    def test_precision_and_recall(self):
        """Precision has no value where nothing is chosen; recall counts what is open as missed."""
        labels = eo.Labels([eo.tags("a"), eo.tags("a", rest="unknown")], classes=["a", "b"])
        curve = threshold_curve(labels, [[0.9, 0.2], [0.6, 0.3]], cuts=[0.25, 0.5, 0.95])
        assert {"lower": [0.666667, 1.0, None], "upper": [1.0, 1.0, None]} == curve["precision"]
        assert {"lower": [1.0, 0.666667, 0.0], "upper": [1.0, 1.0, 0.0]} == curve["recall"]

    def test_a_tag_the_model_does_not_know_is_missed(self):
        """Recall stays below one at threshold 0, as in `evaluate`."""
        labels = eo.Labels([eo.tags("a", "new"), eo.tags("a")])
        proba = [[0.9], [0.8]]
        curve = threshold_curve(labels, proba, ["a"], metrics=["f1_macro"], cuts=[0.0])
        expected = eo.evaluate(labels, proba, ["a"], decide.Threshold(0.0))["metrics"]["f1_macro"]
        assert ([2 / 3], [expected["lower"]]) == (
            pytest.approx(curve["recall"]["lower"], abs=1e-6),
            curve["f1_macro"]["lower"],
        )

    @settings(max_examples=30)
    @given(st.integers(1, 15), st.integers(2, 4), st.integers(0, 999))
    def test_rejection(self, n_samples, n_classes, seed):
        """Each point of the rejection curve is the rule `Reject` at that cut."""
        labels, proba = open_classes(n_samples, n_classes, seed)
        curve = rejection_curve(labels, proba)
        top = proba.max(axis=1)
        assert sorted(np.unique(top).round(6).tolist()) == curve["cut"]
        for place, cut in enumerate(np.unique(top).tolist()):
            rule = decide.Reject(1 - cut)
            if not np.array_equal(rule.predict(proba) >= 0, top >= cut):
                continue  # 1 - (1 - cut) is not cut in binary
            found = eo.evaluate(labels, proba, decision=rule)["metrics"]
            assert pytest.approx(found["decided"]["lower"], abs=1e-6) == curve["decided"][place]
            assert pytest.approx(ends(found["accuracy_decided"]), abs=1e-6) == (
                curve["lower"][place],
                curve["upper"][place],
            )

    @given(st.integers(1, 15), st.integers(2, 4), st.integers(0, 999))
    def test_set_sizes_add_up(self, n_samples, n_classes, seed):
        """Coverage over the sizes, weighed by rows, is the coverage of `evaluate`."""
        labels, proba = open_classes(n_samples, n_classes, seed)
        sets = proba >= 0.3
        table = set_sizes(labels, sets)
        bounds = metrics.coverage_bounds(labels, sets)
        assert n_samples == sum(line["rows"] for line in table)
        for place in (0, 1):
            mean = sum(line["rows"] * line["coverage"][place] for line in table) / n_samples
            assert pytest.approx(bounds[place]) == mean

    def test_the_wrong_task_is_refused(self):
        """A threshold is for tags, silence for one true class."""
        with pytest.raises(ValueError, match="a threshold curve is for tags"):
            threshold_curve(["a", "b"], np.eye(2))
        with pytest.raises(ValueError, match="is for one true class"):
            rejection_curve([eo.tags("a", "b")], [[0.5, 0.5]])
        with pytest.raises(ValueError, match="is for one true class"):
            metrics.coverage_bounds([eo.tags("a", "b")], [[True, True]])


class TestSelectiveScores:
    """Silence and sets where one class is true."""

    @settings(max_examples=30)
    @given(st.integers(1, 12), st.integers(2, 4), st.integers(0, 999))
    def test_bounds_hold_for_every_truth(self, n_samples, n_classes, seed):
        """Coverage, accuracy among the decided and cost lie in their bounds, and reach them."""
        labels, proba = open_classes(n_samples, n_classes, seed)
        rng = np.random.default_rng(seed)
        costs = rng.integers(-2, 6, (n_classes, n_classes + 1)).astype(float)
        rule = decide.CostMatrix(costs)
        sets = {"rule": "threshold", "threshold": 0.3, "at_least_one": False}
        found = eo.evaluate(labels, proba, decision=rule)["metrics"]
        covered = eo.evaluate(labels, proba, decision=sets)["metrics"]["coverage"]
        decided, chosen = rule.predict(proba), proba >= 0.3
        possible = labels.sparse().dense() > 0
        reached = {"cost": [], "coverage": [], "accuracy_decided": []}
        for _ in range(200):
            truth = np.array([rng.choice(np.flatnonzero(row)) for row in possible])
            reached["cost"].append(costs[truth, decided].mean())
            reached["coverage"].append(chosen[np.arange(n_samples), truth].mean())
            right = (truth == decided)[decided >= 0]
            reached["accuracy_decided"].append(right.mean() if len(right) else np.nan)
        for name, values in reached.items():
            entry = covered if name == "coverage" else found[name]
            if np.isnan(values).any():
                assert entry["lower"] is None
                continue
            assert entry["lower"] <= min(values) + 1e-9
            assert max(values) - 1e-9 <= entry["upper"]
        best = np.where(possible, costs.T[decided], np.inf).min(axis=1)
        assert pytest.approx(best.mean()) == found["cost"]["lower"]

    @settings(max_examples=40)
    @given(st.integers(1, 8), st.integers(2, 4), st.integers(0, 999))
    def test_silence_is_wrong_in_every_score_over_all_rows(self, n_samples, n_classes, seed):
        """A silent row is never right, also where its truth is open; F1 and Jaccard say the same.

        Each score lies between its bounds for drawn truths, and the scores of sets with one entry
        or none are those of the general definition.
        """
        labels, proba = open_classes(n_samples, n_classes, seed)
        rule = decide.Reject(0.45)
        found = eo.evaluate(labels, proba, decision=rule)["metrics"]
        decided = rule.predict(proba)
        assert found["accuracy"]["upper"] <= found["decided"]["lower"]
        predicted = np.zeros(proba.shape, dtype=bool)
        predicted[decided >= 0, decided[decided >= 0]] = True
        possible = labels.sparse().dense() > 0
        rng = np.random.default_rng(seed)
        for _ in range(20):
            truth = np.zeros(proba.shape)
            truth[np.arange(n_samples), [rng.choice(np.flatnonzero(row)) for row in possible]] = 1
            for name in decide.METRICS:
                low, high = ends(found[name])
                score = decide.score_decision(name, truth, predicted)
                assert low - 1e-9 <= score <= high + 1e-9, name
        exact = eo.Labels([labels.classes[k] for k in truth.argmax(axis=1)], classes=labels.classes)
        found = eo.evaluate(exact, proba, decision=rule)["metrics"]
        for name in decide.METRICS:
            score = decide.score_decision(name, truth, predicted)
            assert pytest.approx((score, score)) == ends(found[name]), name

    def test_silence_is_never_ahead(self):
        """A silent model is no more often right than one that decides, whatever the truth."""
        labels = eo.Labels([eo.either("a", "b"), "a"], classes=["a", "b", "c"])
        bounds = metrics.paired_difference(
            labels, [[0.4, 0.3, 0.3]] * 2, [[0.4, 0.3, 0.3]] * 2, decision=decide.Reject(0.1)
        )
        assert (-1.0, -0.5) == (bounds.lower, bounds.upper)

    def test_reject_is_the_cost_matrix_of_mistakes_and_silence(self):
        """Chow's rule and the same costs as a matrix decide and score alike."""
        labels, proba = open_classes(40, 3, 0)
        costs = np.column_stack([1 - np.eye(3), np.full(3, 0.4)])
        one, other = (
            eo.evaluate(labels, proba, decision=rule)["metrics"]
            for rule in (decide.Reject(0.4), decide.CostMatrix(costs))
        )
        for name in ("decided", "accuracy_decided", "cost", "cost_of_argmax"):
            assert one[name] == other[name]

    def test_silence_never_costs_more_on_true_probabilities(self):
        """Where probabilities are right Chow's rule is no dearer than the most probable class."""
        rng = np.random.default_rng(0)
        proba = rng.dirichlet(np.ones(3), 4000)
        truth = np.array([rng.choice(3, p=row) for row in proba])
        labels = eo.Labels([f"c{k}" for k in truth], classes=["c0", "c1", "c2"])
        found = eo.evaluate(labels, proba, decision=decide.Reject(0.3))["metrics"]
        assert found["cost"]["upper"] < found["cost_of_argmax"]["lower"]

    def test_cost_is_not_known_for_a_class_without_costs(self):
        """A row that may be of a class the model does not know has no cost."""
        labels = eo.Labels(["a", "new"])
        found = eo.evaluate(labels, [[0.9, 0.1]] * 2, ["a", "b"], decide.Reject(0.3))["metrics"]
        assert (None, 0.5) == (found["cost"]["lower"], found["accuracy_decided"]["lower"])

    def test_a_rule_that_always_decides_has_the_old_scores(self):
        """The most probable class has neither silence nor costs, and a set no accuracy."""
        labels, proba = open_classes(20, 3, 1)
        plain = eo.evaluate(labels, proba)["metrics"]
        never_silent = eo.evaluate(labels, proba, decision=decide.Reject(1.0))["metrics"]
        sets = eo.evaluate(labels, proba, decision=decide.TopK(2))["metrics"]
        assert plain["accuracy"] == never_silent["accuracy"] == never_silent["accuracy_decided"]
        assert {"decided", "cost", "coverage"}.isdisjoint(plain)
        assert (None, 2.0) == (sets["accuracy"]["lower"], sets["set_size"]["lower"])
        assert plain["precision_at_1"] == sets["precision_at_1"]

    def test_the_mean_size_of_sets_has_the_interval_of_a_mean(self):
        """Many classes do not widen it: it depends on how the sizes differ, and on nothing else."""
        rng = np.random.default_rng(1)
        proba = rng.dirichlet(np.full(60, 0.1), 400)
        labels = eo.Labels([int(k) for k in rng.integers(0, 60, 400)], classes=list(range(60)))
        alike = eo.evaluate(labels, proba, decision=decide.TopK(6))["metrics"]["set_size"]
        assert {"lower": 6.0, "upper": 6.0, "interval": None} == alike
        rule = decide.ConformalSet(0.9).fit(labels[:100], proba[:100])
        sizes = rule.predict(proba).sum(axis=1)
        low, high = eo.evaluate(labels, proba, decision=rule)["metrics"]["set_size"]["interval"]
        assert pytest.approx(2 * 1.97 * sizes.std() / 20, rel=0.1) == high - low


class Page(HTMLParser):
    """The tags of a page, in order, with what closes checked against what opened."""

    void = frozenset("meta br path circle rect polygon line".split())

    def __init__(self, html):
        super().__init__()
        self.opened, self.stack = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.opened.append((tag, dict(attrs)))
        if tag not in self.void:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note a tag that closes itself."""
        self.opened.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Close the tag that was opened last."""
        assert self.stack.pop() == tag

    def ids(self):
        """Return all ids."""
        return [attrs["id"] for _, attrs in self.opened if "id" in attrs]


def report_of(task="tags", rule=None, n=60, **more):
    """Return the report of made-up labels and probabilities."""
    labels, proba = open_tags(n, 4, 0) if task == "tags" else open_classes(n, 4, 0)
    return model_report(labels, proba, decision=rule, **more)


RULES = {
    "threshold": ("tags", decide.Threshold(0.4)),
    "tuned": ("tags", decide.TunedThreshold("jaccard_samples").fit(*open_tags(60, 4, 0))),
    "per class": ("tags", decide.TunedThreshold("f1_macro", True).fit(*open_tags(60, 4, 0))),
    "expected": ("tags", decide.ExpectedJaccard()),
    "argmax": ("classes", decide.Argmax()),
    "silent": ("classes", decide.Reject(0.4)),
    "always silent": ("classes", decide.Reject(0.0)),
    "sets": ("classes", decide.ConformalSet(0.8).fit(*open_classes(60, 4, 0))),
}


class TestPage:
    """The page holds what the report holds, and stands alone."""

    @pytest.mark.parametrize("name", RULES)
    def test_every_rule_has_its_page(self, name):
        """The report is JSON; the page is well-formed, fetches nothing and runs nothing."""
        history = [{"epoch": 1.0, "loss": 2.0, "valid_loss": 2.5}, {"epoch": 2.0, "loss": 1.0}]
        found = report_of(*RULES[name], history=history)
        assert found == json.loads(json.dumps(found))
        html = model_page(found)
        page = Page(html)
        assert [] == page.stack
        assert len(set(page.ids())) == len(page.ids())
        assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in page.opened)
        assert not re.search(r"https?:|src=|@import|url\(|nan|inf\b|None", html)

    @pytest.mark.parametrize("name", RULES)
    def test_every_picture_has_a_name_and_a_description(self, name):
        """Each picture is told to those who do not see it; its label leads to its own texts."""
        page = Page(model_page(report_of(*RULES[name])))
        pictures = [attrs for tag, attrs in page.opened if tag == "svg"]
        named = [attrs["aria-labelledby"].split() for attrs in pictures if "role" in attrs]
        assert len(named) >= 2
        assert {word for words in named for word in words} <= set(page.ids())
        assert all("aria-hidden" in attrs or attrs["role"] == "img" for attrs in pictures)

    def test_the_report_is_evaluate_and_more(self):
        """The scores are those of `evaluate`, key by key."""
        labels, proba = open_tags(40, 3, 3)
        found = model_report(labels, proba)
        expected = eo.evaluate(labels, proba)
        assert expected == {key: found[key] for key in expected}

    def test_the_chosen_cut_is_a_point_of_the_curve(self):
        """At the tuned cut the curve has the score of `evaluate`, and the page names the cut."""
        task, rule = RULES["tuned"]
        found = report_of(task, rule)
        curve = found["threshold_curve"]
        place = curve["cut"].index(rule.threshold_)
        score = curve["jaccard_samples"]
        assert pytest.approx(ends(found["metrics"]["jaccard_samples"]), abs=1e-6) == (
            score["lower"][place],
            score["upper"][place],
        )
        assert f"the rule: {rule.threshold_:.3g}" in model_page(found)

    def test_a_page_of_a_tuned_rule_says_so(self):
        """The cross-fitted score and the optimism stand first, and the cut is marked."""
        tuning = {
            "metric": "f1_micro",
            "score_cross_fitted": 0.5,
            "score_on_file": 0.625,
            "optimism": 0.125,
        }
        html = model_page(report_of(*RULES["threshold"]) | {"tuning": tuning})
        assert "0.500 cross-fitted, which is what to expect" in html
        assert "optimism +0.125" in html
        assert "tuned here" in html

    def test_texts_are_escaped_and_cut_short(self):
        """A text is shown as text, up to 300 characters, with its place in the file."""
        labels = eo.Labels(["<b>x", "b&"])
        found = model_report(
            labels,
            [[0.9, 0.1], [0.1, 0.9]],
            inputs=["<script>alert(1)</script>" + "\n x" * 900, "fine"],
            where=lambda row: f"<i>.jsonl:{row + 7}",
        )
        shown = found["contradicted_rows"]
        assert all(len(row["text"]) <= 300 for row in shown)
        html = model_page(found, "<title>")
        assert "<script" not in html
        assert "&lt;script&gt;alert(1)" in html
        assert "&lt;i&gt;.jsonl:7" in html
        assert [] == Page(html).stack

    def test_numbers_are_not_shown_as_texts(self):
        """A model of numbers has contradicted rows without a text."""
        found = model_report(["a", "b"], [[0.4, 0.6], [0.6, 0.4]], inputs=np.eye(2))
        assert ["row", "statement"] == list(found["contradicted_rows"][0])[:2]
        assert "text" not in found["contradicted_rows"][0]

    def test_many_classes_are_folded(self):
        """After 15 classes, the most frequent first, the rest opens on demand; weak ones show."""
        names = [f"c{k:02}" for k in range(30)]
        rows = [names[k] for k in range(30) for _ in range(40 - k)]
        proba = np.full((len(rows), 30), 0.01)
        for row, name in enumerate(rows):
            at = names.index(name)
            proba[row, (at + 1) % 30 if at == 29 else at] = 0.71
        found = model_report(eo.Labels(rows, classes=names), proba)
        html = model_page(found)
        assert "<summary>15 more classes</summary>" in html
        first, rest = html.split("<summary>15 more classes", 1)
        assert first.index("c00</td>") < first.index("c14</td>")
        assert "c29 (0.00, 11 rows)" in first
        assert "c29</td>" in rest

    def test_shares_have_no_reliability(self):
        """Shares are no probabilities, so no diagram compares them with frequencies."""
        labels, proba = open_tags(20, 3, 0)
        found = model_report(labels, proba / 8, decision=decide.TopK(1), meaning="shares")
        assert found["reliability"] is None
        assert "Do the probabilities hold" not in model_page(found)

    def test_one_row_has_a_page(self):
        """A single row, on which nothing has an interval."""
        assert [] == Page(model_page(model_report(["a"], [[1.0, 0.0]], ["a", "b"]))).stack


def test_scores_say_over_how_many_rows_they_were_taken():
    """Where rows say nothing about the model's classes, log loss names the number of the others."""
    labels = eo.Labels(["a", "new", None, "b"], classes=["a", "b", "new"])
    report = eo.evaluate(labels, [[0.9, 0.1]] * 4, ["a", "b"])
    said = {name: what for name, _, what in shown_scores(report)}
    assert "mean loss of the statements, 2 rows" == said["log_loss"]
    assert "rows decided right" == said["accuracy"]


def test_a_plot_without_spread_is_still_a_plot():
    """Axes whose ends meet are moved apart; gaps leave no broken numbers."""
    plot = Plot("p", "t", "a", (3.0, 3.0), (0.5, 0.5), "x", "y")
    plot.line([3.0], [0.5], "one & only")
    plot.band([3.0], [None], [0.5])
    plot.mark(3.0, 0.5, "diamond", "here")
    svg = plot.svg()
    assert [] == Page(svg).stack
    assert "one &amp; only" in svg
    assert "nan" not in svg


class TestLearningCurve:
    """Would more rows help?"""

    @pytest.fixture(scope="class")
    @staticmethod
    def rows():
        """Return inputs and labels for training and testing, and a model."""
        rng = np.random.default_rng(0)
        centres = rng.normal(0, 1.2, (4, 6))
        truth = np.arange(840) % 4
        X = centres[truth] + rng.normal(0, 1, (840, 6))
        names = np.array(list("abcd"))
        data = [
            eo.either(names[k], names[(k + 1) % 4]) if i % 3 == 0 else names[k]
            for i, k in enumerate(truth)
        ]
        labels = eo.Labels(data, classes=list("abcd"))
        model = fit(X[:240], labels[:240], TrainOptions(l2=1e-3))
        return X[:240], labels[:240], X[240:], labels[240:], model

    def test_the_last_point_is_the_model_itself(self, rows):
        """All rows with the stored options give the model and its scores."""
        X, labels, X_test, test_labels, model = rows
        found = learning_curve(model, X, labels, X_test, test_labels)
        assert [30, 60, 120, 240] == [point["rows"] for point in found["points"]]
        scores = eo.evaluate(test_labels, model.predict_proba(X_test), model.classes)["metrics"]
        last = found["points"][-1]
        assert scores["accuracy"] == {name: last[name] for name in scores["accuracy"]}

    def test_the_verdict_rests_on_the_paired_difference(self, rows):
        """The sentence says what the interval of the last step says."""
        X, labels, X_test, test_labels, model = rows
        grows = learning_curve(model, X, labels, X_test, test_labels, shares=(0.02, 1.0))
        assert grows["gain"]["interval"][0] > 0
        assert grows["verdict"].startswith("More rows still help: from 5 to 240 rows accuracy")
        level = learning_curve(model, X, labels, X_test, test_labels, shares=(0.9, 1.0))
        low, high = level["gain"]["interval"]
        assert low <= 0 <= high
        assert level["verdict"].startswith("These test rows do not settle")

    def test_the_same_seed_gives_the_same_curve(self, rows):
        """Everything but the seconds is the same again, on any number of threads."""
        X, labels, X_test, test_labels, model = rows
        once, again = (
            learning_curve(model, X, labels, X_test, test_labels, shares=(0.5,), n_jobs=n)
            for n in (1, 2)
        )
        for found in (once, again):
            del found["points"][0]["seconds"]
        assert once == again
        assert "There are too few rows for a curve." == once["verdict"]

    def test_progress_and_page(self, rows):
        """Each training is announced; the page shows the curve and its verdict."""
        X, labels, X_test, test_labels, model = rows
        events = []
        found = learning_curve(
            model, X, labels, X_test, test_labels, shares=(0.5, 1.0), progress=events.append
        )
        assert [
            {"rows": 120, "done": 0, "total": 2},
            {"rows": 240, "done": 1, "total": 2},
        ] == events
        report = model_report(test_labels, model.predict_proba(X_test), model.classes)
        html = model_page(report | {"learning_curve": found})
        assert "Would more rows help?" in html
        assert found["verdict"] in html

    def test_what_does_not_fit_is_refused(self, rows):
        """Other classes, shares that do not rise, and scores that are better when lower."""
        X, labels, X_test, test_labels, model = rows
        other = eo.Labels(["a", "z"] * 120)
        with pytest.raises(ValueError, match="name 'z', which the model does not know"):
            learning_curve(model, X, other, X_test, test_labels)
        with pytest.raises(ValueError, match="give rising numbers"):
            learning_curve(model, X, labels, X_test, test_labels, shares=(1.0, 0.5))
        unknown = eo.Labels([None] * 240, classes=list("abcd"))
        with pytest.raises(ValueError, match="says anything"):
            learning_curve(model, X, unknown, X_test, test_labels)
        with pytest.raises(ValueError, match="better when lower"):
            learning_curve(model, X, labels, X_test, test_labels, metric="log_loss")

    def test_stored_options_are_those_of_the_training(self):
        """What a model records gives the options back, character n-grams and weights included."""
        weight = {"a": 2.0, "b": 1.0}
        options = TrainOptions(epochs=2, char_ngrams=(3, 4), class_weight=weight, seed=3)
        model = fit(["red apple", "blue sky"] * 4, eo.Labels(["a", "b"] * 4), options)
        stored = stored_options(model)
        assert ((3, 4), weight, 3, 2) == (
            stored.char_ngrams,
            dict(stored.class_weight),
            stored.seed,
            stored.epochs,
        )

    def test_the_score_is_the_one_the_rule_is_for(self):
        """One true class is scored by accuracy, tags by what their rule maximises."""
        tuned = decide.TunedThreshold("jaccard_macro").fit(*open_tags(30, 3, 0))
        rules = (decide.Threshold(0.5), tuned, decide.ExpectedJaccard(), decide.ExpectedF1())
        assert ["f1_micro", "jaccard_macro", "jaccard_samples", "f1_samples"] == [
            score_of_rule(rule) for rule in rules
        ]

    def test_a_rule_without_a_cut_has_its_score_as_a_line(self):
        """The curve of thresholds shows what the model's own rule reaches."""
        found = report_of("tags", decide.ExpectedF1())
        assert ("f1_samples", None) == (
            found["threshold_curve"]["metrics"][0],
            found["threshold_curve"]["chosen"],
        )
        assert "F1 (mean over rows) of the model&#x27;s own rule" in model_page(found)


def test_a_perfect_class_is_never_called_weak():
    """Among five classes of which one is confused, the others are not marked for having 1."""
    truth = [name for name in "abcde" for _ in range(12)]
    labels = eo.Labels(truth, classes=list("abcde"))
    decided = np.array([0] * 10 + [1] * 2 + [k for k in range(1, 5) for _ in range(12)])
    html = model_page(model_report(labels, np.eye(5)[decided], list("abcde")))
    mark = "\N{BLACK DOWN-POINTING TRIANGLE}"
    assert (
        f"{mark} lowest F1 among the classes with 10 rows or more: a (0.91, 12 rows), b (" in html
    )
    assert 3 == html.count(mark)


def test_the_optimism_of_sets_is_two_differences():
    """They may fall, so they are not written as a range."""
    ends = {"lower": 0.9, "upper": 0.98}
    tuning = {
        "metric": "coverage",
        "score_cross_fitted": ends,
        "score_on_file": ends,
        "optimism": {"lower": 0.005, "upper": 0.003},
    }
    report = model_report(["a", "b"], [[0.9, 0.1], [0.6, 0.4]])
    html = model_page(report | {"tuning": tuning})
    assert "optimism +0.005 (lowest), +0.003 (highest)." in html


@pytest.mark.parametrize(("x", "word", "at"), [(0, 16 * "m", 52.0), (1, "p > 0.", 420.5)])
def test_a_small_word_stays_within_the_picture(x, word, at):
    """At an end of the axis it is moved inwards by what would be cut off."""
    plot = Plot("p", "A word", "It fits.", (0, 1), (0, 1), "", "")
    plot.text(x, 0, word)
    line = next(line for line in plot.svg().splitlines() if 'class="small"' in line)
    assert f'x="{at:.1f}"' in line
