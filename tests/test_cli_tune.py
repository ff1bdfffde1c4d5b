"""`eitheror tune` and what it leaves: a rule that `predict`, `evaluate` and `info` read back."""

import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import eitheror as eo
from eitheror.cli import main
from eitheror.cli._costs import read_costs

DEMO = Path(__file__).parents[1] / "src" / "eitheror" / "_demo"
TAGS, TICKETS = DEMO / "tags_valid.jsonl", DEMO / "tickets_test.jsonl"
TEXT = "charged twice\n"


class Result:
    """What a run of the command left."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """Standard output, read as one JSON value."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the demo's tickets (one class true) and tags (any number)."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("tickets", "tags"):
        assert 0 == main(["train", str(DEMO / f"{name}.jsonl"), "-o", str(folder / name)])
    return folder


@pytest.fixture
def tags(models, tmp_path):
    """Return a copy of the model of tags, `m` in the folder of the test."""
    return shutil.copytree(models / "tags", tmp_path / "m")


@pytest.fixture
def tickets(models, tmp_path):
    """Return a copy of the model of one true class, `m` in the folder of the test."""
    return shutil.copytree(models / "tickets", tmp_path / "m")


@pytest.mark.usefixtures("tags")
class TestTags:
    """Any number of tags: a threshold, or the set with the highest expected score."""

    @pytest.mark.parametrize(
        "words",
        [
            ("--metric", "jaccard_micro"),
            ("--metric", "f1_macro", "--per-class"),
            ("--rule", "expected-jaccard"),
            ("--rule", "expected-f1", "--metric", "f1_micro", "--at-least-one"),
        ],
    )
    def test_only_the_decision_is_replaced(self, run, tags, words):
        """The tensors stay as they were, byte by byte; the report keeps its keys."""
        before = {path.name: path.read_bytes() for path in tags.iterdir()}
        report = run("tune", "m", TAGS, *words, "--json").json
        assert {
            "metric",
            "decision",
            "score_cross_fitted",
            "score_on_file",
            "optimism",
        } == set(report)
        assert before["model.safetensors"] == (tags / "model.safetensors").read_bytes()
        old, new = json.loads(before["config.json"]), json.loads((tags / "config.json").read_text())
        assert {"decision", "calibration"} == {key for key in new if new[key] != old[key]}

    def test_the_optimism_is_printed(self, run):
        """It is the score on the file less the cross-fitted one."""
        words = ("tune", "m", TAGS, "--metric", "f1_micro")
        report = run(*words, "--json").json
        difference = report["score_on_file"] - report["score_cross_fitted"]
        assert pytest.approx(difference) == report["optimism"]
        out = run(*words).out
        assert f"f1_micro: {report['score_cross_fitted']:.3f} cross-fitted" in out
        assert f"optimism: {difference:+.3f}; the cross-fitted score is what to expect" in out

    def test_tuning_helps_on_other_rows(self, run):
        """A rule tuned on held-out rows scores no less on the test rows than the default cut."""
        test = DEMO / "tags_test.jsonl"
        before = run("evaluate", "m", test, "--json").json["metrics"]
        run("tune", "m", TAGS, "--metric", "jaccard_micro")
        after = run("evaluate", "m", test, "--json").json
        assert before["jaccard_micro"]["lower"] <= after["metrics"]["jaccard_micro"]["lower"]

    def test_an_expected_score_decides_on_the_probabilities_that_are_printed(self, run):
        """The calibration is the model's own, so `predict --json` shows what the rule saw."""
        run("tune", "m", TAGS, "--rule", "expected-jaccard")
        model = eo.load("m")
        assert ("marginals", None) == (model.proba_meaning, model.rule().calibration_)
        line = run("predict", "m", "-", "--json", stdin=TEXT).json
        proba = np.array([[line["proba"][name] for name in model.classes]])
        chosen = eo.decide.ExpectedJaccard().predict(proba)[0]
        assert [c for c, yes in zip(model.classes, chosen, strict=True) if yes] == line["decision"]

    def test_the_rule_and_its_calibration_are_those_of_the_library(self, run):
        """`tune` stores what `ExpectedF1().fit` finds on the same probabilities."""
        model = eo.load("m")
        texts, labels = eo.read(TAGS, classes=model.classes)
        proba = model.predict_proba(texts)
        rule = eo.decide.ExpectedF1().fit(labels, proba)
        run("tune", "m", TAGS, "--rule", "expected-f1")
        tuned = eo.load("m")
        assert rule.calibration_.to_config() == tuned.calibration
        assert np.array_equal(rule.predict(proba), tuned.rule().predict(tuned.predict_proba(texts)))

    def test_without_calibration_nothing_is_fitted(self, run):
        """The probabilities are taken as they are, and there is no optimism."""
        words = ("--rule", "expected-jaccard", "--no-calibrate", "--json")
        report = run("tune", "m", TAGS, *words).json
        assert (None, None) == (report["optimism"], eo.load("m").calibration)
        assert report["score_on_file"] == report["score_cross_fitted"]
        assert "nothing is fitted to the rows" in run("tune", "m", TAGS, *words[:3]).out

    @pytest.mark.parametrize(
        "words",
        [
            ["--metric", "f1_micro"],
            ["--metric", "f1_micro", "--per-class"],
            ["--metric", "f1_micro", "--at-least-one"],
            ["--rule", "expected-f1"],
        ],
    )
    def test_a_tag_the_model_does_not_know_counts_as_missed(self, run, words):
        """Tuning on a file with a new tag works, and the stored rule still fits the model."""
        rows = TAGS.read_text()
        file = ["tune", "m", "-", "--json", *words]
        before = run(*file, stdin=rows).json
        after = run(*file, stdin=rows + '{"text": "new", "tags": ["new"]}\n' * 5).json
        assert after["score_cross_fitted"] < before["score_cross_fitted"]
        assert 0 == run("predict", "m", "-", stdin=TEXT).code

    def test_the_report_marks_where_the_cut_was_tuned(self, run):
        """--report writes the threshold curve of these rows, and says that they were tuned on."""
        result = run("tune", "m", TAGS, "--metric", "f1_micro", "--report", "r.html")
        assert (0, "r.html written\n") == (result.code, result.err)
        html = Path("r.html").read_text()
        cut = eo.load("m").rule().threshold_
        assert f"the rule: {cut:.3g}, tuned here" in html
        assert "cross-fitted, which is what to expect" in html

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "--metric says which score the threshold is chosen for: f1_micro"),
            (["--rule", "expected-f1", "--per-class"], "--per-class is about thresholds"),
            (["--reject-cost", "0.3"], "--reject-cost is for one true class"),
            (["--metric", "f1_micro", "--conformal", "0.9"], "--conformal is for one true class"),
            (["--metric", "f1_micro", "--report", "no/r.html"], "there is no folder no"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, run, tags, words, message):
        """The message names the option; the model stays as it was."""
        before = (tags / "config.json").read_bytes()
        result = run("tune", "m", TAGS, *words)
        assert (2, True) == (result.code, message in result.err), result.err
        assert before == (tags / "config.json").read_bytes()

    def test_too_few_rows_to_tune_on_are_refused(self, run):
        """One row is no basis for a decision rule."""
        row = '{"text": "x", "tags": ["bug"]}\n'
        result = run("tune", "m", "-", "--metric", "f1_micro", stdin=row)
        assert (2, True) == (result.code, "tuning needs 5" in result.err)


def test_shares_are_calibrated_before_an_expectation(run):
    """Numbers that are shares become probabilities, or the rule is refused."""
    rows = (DEMO / "tags.jsonl").read_text().splitlines()
    Path("rows.jsonl").write_text("\n".join(row for row in rows if '"either"' not in row))
    assert 0 == run("train", "rows.jsonl", "-o", "m", "--loss", "pal-n").code
    words = ("tune", "m", TAGS, "--rule", "expected-jaccard")
    result = run(*words, "--no-calibrate")
    assert (2, True) == (result.code, "numbers are shares; leave --no-calibrate out" in result.err)
    assert 0 == run(*words).code
    assert "marginals" == eo.load("m").proba_meaning


@pytest.mark.usefixtures("tickets")
class TestOneTrueClass:
    """One true class: silence, costs, sets."""

    def test_silence_is_an_empty_decision(self, run):
        """`predict` prints an empty line and [] where the rule says nothing."""
        assert 0 == run("tune", "m", TICKETS, "--reject-cost", "0.3").code
        lines = run("predict", "m", TICKETS).out.splitlines()
        decided = [json.loads(x) for x in run("predict", "m", TICKETS, "--json").out.splitlines()]
        assert [line["decision"] for line in decided] == [[line] if line else [] for line in lines]
        for line in decided:
            assert (max(line["proba"].values()) >= 0.7) == bool(line["decision"])

    def test_silence_is_scored_by_what_it_decides(self, run):
        """`tune` and `evaluate` say how much is decided, how well, and what it costs."""
        tuned = run("tune", "m", TICKETS, "--reject-cost", "0.3", "--json").json
        report = run("evaluate", "m", TICKETS, "--json").json
        assert tuned["metrics"] == report["metrics"]
        assert (None, "cost") == (tuned["optimism"], tuned["metric"])
        metrics = report["metrics"]
        assert metrics["accuracy"]["lower"] < metrics["accuracy_decided"]["lower"]
        assert 0 < metrics["decided"]["lower"] < 1
        out = run("evaluate", "m", TICKETS).out
        for word in ("decided", "accuracy_decided", "cost", "where its probability is 0.7"):
            assert word in out
        assert "probability is 0.7 or more" in run("info", "m").out

    def test_a_cost_of_one_undoes_it(self, run):
        """With silence as dear as a mistake every row is decided, as before."""
        before = run("predict", "m", TICKETS).out
        run("tune", "m", TICKETS, "--reject-cost", "0.1")
        assert before != run("predict", "m", TICKETS).out
        run("tune", "m", TICKETS, "--reject-cost", "1")
        assert before == run("predict", "m", TICKETS).out

    def test_costs_by_name(self, run):
        """A matrix in another order of classes is that of the library in the model's order."""
        classes = eo.load("m").classes
        rng = np.random.default_rng(0)
        costs = rng.integers(1, 9, (6, 7)).astype(float)
        costs[np.arange(6), np.arange(6)] = 0
        order = rng.permutation(6)
        head = [*(classes[k] for k in order), "nothing"]
        lines = [",".join(["true", *head])]
        for row in order[::-1]:
            numbers = [costs[row, k] for k in [*order, 6]]
            lines.append(",".join([classes[row], *map(str, numbers)]))
        Path("costs.csv").write_text("\n".join(lines) + "\n")
        assert np.array_equal(costs, read_costs("costs.csv", classes))
        assert 0 == run("tune", "m", TICKETS, "--cost-matrix", "costs.csv").code
        assert eo.decide.CostMatrix(costs) == eo.load("m").rule()
        found = run("evaluate", "m", TICKETS, "--json").json["metrics"]
        assert found["cost"]["upper"] <= found["cost_of_argmax"]["upper"]

    def test_sets_keep_their_promise_and_say_so(self, run):
        """The sets are those of the library; coverage and size stand in place of the accuracy."""
        report = run("tune", "m", TICKETS, "--conformal", "0.8", "--json").json
        model = eo.load("m")
        texts, labels = eo.read(TICKETS, classes=model.classes)
        rule = eo.decide.ConformalSet(0.8).fit(labels, model.predict_proba(texts))
        assert rule == model.rule()
        assert ("finite sample", 120, 26) == (
            report["guarantee"],
            report["rows"],
            report["rows_with_several_candidates"],
        )
        assert 0.8 <= report["score_on_file"]["lower"]
        for end in ("lower", "upper"):
            difference = report["score_on_file"][end] - report["score_cross_fitted"][end]
            assert pytest.approx(difference) == report["optimism"][end]
        found = run("evaluate", "m", TICKETS, "--json").json["metrics"]
        assert None is found["accuracy"]["lower"]
        assert report["score_on_file"]["lower"] == found["coverage"]["lower"]
        assert report["set_size_on_file"] == found["set_size"]["lower"]
        lines = run("predict", "m", TICKETS).out.splitlines()
        sizes = [len(line.split("\t")) if line else 0 for line in lines]
        assert pytest.approx(np.mean(sizes)) == found["set_size"]["lower"]
        out = run("tune", "m", TICKETS, "--conformal", "0.8").out
        assert "guarantee: of new rows like these, 0.8 or more have the true class" in out
        assert "26 of them leave the class open" in out
        assert "optimism: " in out
        assert "0.8 of the sets contain the true class" in run("info", "m").out

    def test_a_class_the_model_does_not_know_is_in_no_set(self, run):
        """Rows of a new class raise the cut, and the stored rule still fits the model."""
        rows = TICKETS.read_text() + '{"text": "x", "label": "new"}\n' * 8
        report = run("tune", "m", "-", "--conformal", "0.8", "--json", stdin=rows).json
        assert report["score_on_file"]["upper"] <= 120 / 128
        assert 0 == run("predict", "m", "-", stdin=TEXT).code

    @pytest.mark.parametrize("words", [("--reject-cost", "0.2"), ("--conformal", "0.9")])
    def test_the_report_of_silence_and_of_sets(self, run, words):
        """`evaluate --report` and `tune --report` have pages for these rules too."""
        assert 0 == run("tune", "m", TICKETS, *words, "--report", "a.html").code
        report = run("evaluate", "m", TICKETS, "--report", "b.html", "--json").json
        for name in ("a.html", "b.html"):
            assert "Deciding only the surest rows" in Path(name).read_text()
        assert ("--conformal" in words) == (report["set_sizes"] is not None)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "there is no score to tune for. Write one of --reject-cost"),
            (["--metric", "f1_macro"], "--metric is for models of tags. Write one of"),
            (["--reject-cost", "0.1", "--conformal", "0.9"], "a model has one decision rule"),
            (["--reject-cost", "2"], "the cost of no decision lies between 0 and 1"),
            (["--conformal", "90"], "the confidence level lies between 0 and 1"),
            (["--cost-matrix", "no.csv"], "no.csv"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, run, tickets, words, message):
        """The message names the option; the model stays as it was."""
        before = (tickets / "config.json").read_bytes()
        result = run("tune", "m", TICKETS, *words)
        assert (2, True) == (result.code, message in result.err), result.err
        assert before == (tickets / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "costs.csv: the file is empty; the first line names the classes"),
        (",a,b\na,0,1\nb,1,0\nc,1,1\n", 'costs.csv: no class is called "c"'),
        (",a,bb\na,0,1\nb,1,0\n", 'costs.csv:1: no class is called "bb" (did you mean "b"?)'),
        (",a,b\na,0,1\n", 'costs.csv: no line for the class "b"'),
        (",a\na,0\nb,1\n", 'costs.csv:1: no column for the class "b"'),
        (",a,b,b\na,0,1,1\nb,1,0,0\n", 'costs.csv:1: the class "b" has two columns'),
        (",a,b\na,0,1\na,1,0\n", 'costs.csv: the class "a" has two lines'),
        (",a,b\n\na,0,1\nb,1\n", "costs.csv:4: 2 cells; the first line has 3"),
        (",a,b\na,0,dear\nb,1,0\n", 'costs.csv:2: "dear" in column "b"; a number was expected'),
        (",a,b\na,0,inf\nb,1,0\n", 'costs.csv:2: "inf" in column "b"; a number was expected'),
    ],
)
def test_a_table_of_costs_that_does_not_fit(run, text, message):
    """What is wrong is named with its line and its cell."""
    Path("costs.csv").write_text(text)
    with pytest.raises(eo.labels.DataError, match=f"^{re.escape(message)}"):
        read_costs("costs.csv", ["a", "b"])


def test_a_table_of_costs_that_is_not_there(run):
    """A missing file, a folder and a file of bytes are named, each for what it is."""
    with pytest.raises(FileNotFoundError, match=r"^costs.csv: there is no such file$"):
        read_costs("costs.csv", ["a", "b"])
    with pytest.raises(eo.labels.DataError, match="this is a folder"):
        read_costs(".", ["a", "b"])
    Path("costs.csv").write_bytes(b"\xff\xfe,a")
    with pytest.raises(eo.labels.DataError, match=r"^costs.csv: no CSV file in UTF-8"):
        read_costs("costs.csv", ["a", "b"])


def test_a_class_called_nothing_is_a_class(run):
    """The column of silence has no special meaning where a class has its name."""
    Path("costs.csv").write_text(",nothing,7\nnothing,0,1\n7,2,0\n")
    assert [[0, 1], [2, 0]] == read_costs("costs.csv", ["nothing", 7]).tolist()


class TestEvaluate:
    """The page and the learning curve."""

    def test_the_report_is_written_and_printed(self, run, models):
        """--report writes the page; with --json all its numbers are printed."""
        test = DEMO / "tags_test.jsonl"
        plain = run("evaluate", models / "tags", test, "--json").json
        result = run("evaluate", models / "tags", test, "--report", "r.html", "--json")
        assert "r.html written\n" == result.err
        assert plain.items() <= result.json.items()
        rows = result.json["contradicted_rows"]
        assert rows[0]["where"].startswith(f"{test}:")
        assert rows[0]["text"] in Path("r.html").read_text().replace("&#x27;", "'")
        same = run("evaluate", models / "tags", test, "--report", "r.html").out
        assert run("evaluate", models / "tags", test).out == same

    def test_no_half_page_is_left(self, run, models):
        """A report that cannot be written is refused before anything is computed."""
        result = run("evaluate", models / "tags", "missing.jsonl", "--report", "no/r.html")
        assert (2, True) == (result.code, "there is no folder no" in result.err)

    def test_the_learning_curve(self, run, models):
        """Four models on growing parts: the last is the model, and a sentence says what follows."""
        words = (
            "evaluate",
            "--learning-curve",  # in front, it takes one file and not the model with it
            DEMO / "tickets.jsonl",
            models / "tickets",
            TICKETS,
        )
        report = run(*words, "--report", "r.html", "--json").json
        curve = report["learning_curve"]
        assert [50, 100, 200, 400] == [point["rows"] for point in curve["points"]]
        last = curve["points"][-1]
        assert report["metrics"]["accuracy"] == {
            name: last[name] for name in ("lower", "upper", "interval")
        }
        out = run(*words).out
        assert curve["verdict"] in out
        assert curve["verdict"] in Path("r.html").read_text()

    def test_rows_of_another_model_are_refused(self, run, models):
        """A training file with a class that the model does not know is not its training file."""
        Path("rows.jsonl").write_text('{"text": "x", "label": "new"}\n' * 8)
        words = ("evaluate", models / "tickets", TICKETS, "--learning-curve", "rows.jsonl")
        result = run(*words)
        assert (2, True) == (result.code, "name 'new', which the model does not know" in result.err)
