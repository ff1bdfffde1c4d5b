"""`compare`: what each strategy does to labels, honest scores, budget, resume, the report."""

import json
import re

import numpy as np
import pytest
from scipy.sparse import csr_array

import eitheror as eo
from eitheror.cli import main
from eitheror.comparison import STRATEGIES, Data, Difference, Row, compare, recode
from eitheror.comparison.run import Outcome
from eitheror.comparison.score import agreement, score_outcomes
from eitheror.comparison.verdict import verdict_of
from eitheror.decide import METRICS
from eitheror.labels import Labels, either, evidence, not_, soft, tags, votes
from eitheror.noise import corrupt_sets
from eitheror.report import comparison_page, write_page
from eitheror.report.intervals import ticks
from eitheror.training import TrainOptions

CLASSES = ["a", "b", "c"]
FAST = TrainOptions(l2=0.01)  # nothing to choose


def blobs(rng, n, k=3, spread=1.2):
    """Points around k corners, and the corner of each."""
    y = rng.integers(0, k, n)
    corners = 3 * np.eye(k)
    return corners[y] + rng.normal(0, spread, (n, k)), y


def mixed(rng, y):
    """Exact, set, negative and unknown statements about classes a, b, c."""
    rows = []
    for k in y:
        name, other, third = (CLASSES[i % 3] for i in (k, k + 1 + rng.integers(2), k + 1))
        kinds = [name, either(name, other), not_(third), None]
        rows.append(kinds[rng.choice(4, p=[0.3, 0.4, 0.2, 0.1])])
    return Labels(rows, classes=CLASSES, task="multiclass")


def tag_problem(rng, n=240):
    """Three tags, each shown by one column."""
    X = rng.normal(0, 1, (n, 3))
    present = X + rng.normal(0, 0.7, (n, 3)) > 0.6
    return X, Labels.from_indicator(present.astype(float), classes=["x", "y", "z"])


# --- labels rewritten -----------------------------------------------------------------------


def test_exact_only_keeps_what_names_one_class():
    """Sets, weights and votes become unknown; exact rows stay."""
    labels = Labels(["a", either("a", "b"), not_("a"), votes({"a": 2, "b": 1}), None], CLASSES)
    assert ["a", None, None, None, None] == [
        label.named[0] if label.kind == "exact" else None for label in recode.exact_only(labels)
    ]


def test_candidates_become_tags():
    """Possible is 1, ruled out 0, weights are fractions, nothing known is unknown."""
    labels = Labels(["a", not_("a"), evidence({"a": 1, "b": 0.5}), None], CLASSES)
    expected = [[1, 0, 0], [0, 1, 1], [1, 0.5, 0], [np.nan] * 3]
    np.testing.assert_array_equal(expected, recode.candidates_as_tags(labels).to_targets())


def test_a_class_is_drawn_by_its_weight():
    """The class drawn is a candidate, and comes as often as its share says."""
    labels = Labels([soft({"a": 0.7, "b": 0.3})] * 4000 + [either("b", "c")] * 4000, CLASSES)
    drawn = recode.drawn_once(labels, np.random.default_rng(0)).exact_index()
    assert 0.7 == pytest.approx(np.mean(drawn[:4000] == 0), abs=0.03)
    assert 0.5 == pytest.approx(np.mean(drawn[4000:] == 2), abs=0.03)
    assert not (drawn[4000:] == 0).any()


def test_joint_classes_are_split_back():
    """Pairs become classes of their own, whose probability is shared out evenly."""
    labels = Labels(["a", either("a", "b"), soft({"a": 0.9, "b": 0.1}), not_("c"), "c"], CLASSES)
    wide, split, counts = recode.joined(labels)
    assert ["a", "b", "c", "a & b"] == wide.classes
    assert {("a", "b"): 2} == dict(counts)
    assert [0, 3, 3, -1, 2] == wide.exact_index().tolist()
    np.testing.assert_array_equal([0.5, 0.5, 0], split[3])
    np.testing.assert_array_equal(np.eye(3), split[:3])


def test_sets_of_tags_become_classes():
    """Each set that occurs is a class; a row with an unknown tag has no set."""
    labels = Labels([tags("x"), tags("x", "y"), tags("x"), tags("y", rest="unknown")], ["x", "y"])
    classes, sets = recode.tag_sets(labels)
    assert [0, 1, 0, -1] == classes.exact_index().tolist()
    assert [[True, False], [True, True]] == sets.tolist()


# --- scores ---------------------------------------------------------------------------------


def test_the_estimate_is_the_accuracy_when_every_label_is_exact():
    """On exact rows the score is the share of right decisions, chance or not."""
    rng = np.random.default_rng(1)
    y, decided = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    earned, stake = agreement(Labels([CLASSES[k] for k in y], CLASSES), decided)
    assert np.mean(y == decided) == pytest.approx(earned.sum() / stake.sum(), rel=1e-12)


def test_one_class_ruled_out_gives_the_complementary_estimate():
    """On "not l" rows the score is 1 - (K - 1) r."""
    rng = np.random.default_rng(2)
    out, decided = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    earned, stake = agreement(Labels([not_(CLASSES[k]) for k in out], CLASSES), decided)
    assert 1 - 2 * np.mean(out == decided) == pytest.approx(earned.sum() / stake.sum(), rel=1e-12)


def test_the_estimate_finds_the_accuracy_behind_candidate_sets():
    """With sets whose distractors do not depend on the class the score is the accuracy."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 6, 30_000)
    decided = np.where(rng.random(30_000) < 0.7, y, (y + rng.integers(1, 6, 30_000)) % 6)
    labels = corrupt_sets(y, 6, rate=0.4, random_state=rng)
    earned, stake = agreement(labels, decided)
    assert 0.7 == pytest.approx(earned.sum() / stake.sum(), abs=0.01)


# --- the whole ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """A comparison on mixed statements about three blobs."""
    rng = np.random.default_rng(4)
    X, y = blobs(rng, 300)
    return compare(X, mixed(rng, y), folds=3, options=FAST)


def test_every_strategy_of_the_task_is_tried(found):
    """All strategies for one true class stand in the table, best first."""
    names = {s.name for s in STRATEGIES if s.task == "multiclass"}
    assert names == {row.name for row in found.rows}
    assert sorted((row.score for row in found.rows), reverse=True) == [r.score for r in found.rows]
    assert found.best == [row.name for row in found.rows if row.level]


def numbers_in(value):
    """Every number in a dict or list, as a verdict would write it."""
    if isinstance(value, dict):
        return set().union(*map(numbers_in, value.values()), set())
    if isinstance(value, list | tuple):
        return set().union(*map(numbers_in, value), set())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return set()
    return {f"{abs(value):.3f}", f"{abs(value):.1f}", f"{abs(value):,}"}


def assert_backed(table):
    """Assert that each number of the verdict stands in what the program prints as JSON."""
    found = table.to_dict()
    verdict = re.sub(r'"[^"]*"', "", found.pop("verdict")).replace(table.metric, "")
    assert [] != found.pop("sentences")
    told = re.findall(r"\d[\d,]*(?:\.\d+)?", verdict)
    known = numbers_in(found) | {"0"}
    assert [] == [number for number in told if number.rstrip(",") not in known]
    assert len(told) > 1


def test_the_verdict_says_numbers_of_the_table(found):
    """Every number in the verdict stands in the table, the differences or the counts."""
    assert_backed(found)
    assert found.differences
    assert found.counts


def test_the_same_seed_gives_the_same_table(found):
    """Nothing but the seconds differs between two runs."""
    rng = np.random.default_rng(4)
    X, y = blobs(rng, 300)
    again = compare(X, mixed(rng, y), folds=3, options=FAST).to_dict()
    first = found.to_dict()
    for result in (first, again):
        for row in result["strategies"]:
            del row["seconds"]
    assert first == again


def test_a_treatment_that_loses_on_the_truth_loses_in_the_table():
    """A set {a, b} written nine times of ten for a or b: the even target prefers c, wrongly."""
    rng = np.random.default_rng(5)
    n = 1200
    X = np.ones((n, 1)) + rng.normal(0, 0.01, (n, 1))
    y = rng.choice(3, n, p=[0.5, 0.1, 0.4])
    vague = (y < 2) & (rng.random(n) < 0.9)
    rows = [either("a", "b") if v else CLASSES[k] for v, k in zip(vague, y, strict=True)]
    table = compare(
        X, Labels(rows, CLASSES), ["likelihood", "uniform target"], folds=2, options=FAST
    )
    assert "likelihood" == table.rows[0].name
    assert not table.rows[1].level


def test_exact_labels_leave_nothing_to_compare():
    """Where every label is exact the other treatments are refused, with the reason."""
    rng = np.random.default_rng(6)
    X, y = blobs(rng, 60)
    table = compare(X, Labels([CLASSES[k] for k in y], CLASSES), folds=2, options=FAST)
    assert ["likelihood"] == [row.name for row in table.rows]
    assert "every row is exact" in table.refused["uniform target"]
    assert table.verdict.startswith('Only "likelihood" was tried')


def test_tag_strategies_can_be_named():
    """Only the named strategies are run, in the order of their scores."""
    rng = np.random.default_rng(7)
    X, labels = tag_problem(rng)
    table = compare(X, labels, ["pal-n", "pol", "ova"], folds=2, options=FAST)
    rows = {row.name: row for row in table.rows}
    assert {"pal-n", "pol", "ova"} == set(rows)
    assert rows["ova"].score > 0.5
    assert all(row.decision for row in table.rows)
    assert_backed(table)


def test_all_tag_strategies_run_on_texts_and_tables():
    """Texts get a word for each tag of the chain, tables a column."""
    rng = np.random.default_rng(8)
    X, labels = tag_problem(rng, 160)
    texts = [" ".join(f"w{j}{'p' if v > 0.6 else 'n'}" for j, v in enumerate(row)) for row in X]
    for inputs in (X, texts):
        table = compare(inputs, labels, folds=2, options=FAST)
        assert {s.name for s in STRATEGIES if s.task == "multilabel"} == {
            row.name for row in table.rows
        }
        assert max(row.score for row in table.rows) > 0.5


def test_a_spent_budget_stops_after_a_whole_fold():
    """The first fold is always run, and the table is over its rows only."""
    rng = np.random.default_rng(10)
    X, y = blobs(rng, 120)
    names = ["likelihood", "uniform target", "random pick"]
    table = compare(X, mixed(rng, y), names, folds=4, budget=1e-6, options=FAST)
    assert (1, 30) == (table.folds, pytest.approx(table.n, abs=6))
    assert {"likelihood", "uniform target"} == {row.name for row in table.rows}
    assert "was spent before its first fold" in table.refused["random pick"]
    assert "Only 1 of 4 folds was run" in table.verdict
    assert "1 of 4 folds" in str(table)
    assert_backed(table)


def test_finished_fits_are_found_again(tmp_path):
    """A second call trains nothing; other data or a damaged file are trained anew."""
    rng = np.random.default_rng(11)
    X, y = blobs(rng, 90)
    labels = mixed(rng, y)
    names = ["likelihood", "uniform target"]
    first = compare(X, labels, names, folds=2, resume=tmp_path, options=FAST)
    files = sorted(tmp_path.glob("*.npz"))
    assert 4 == len(files)
    second = compare(X, labels, names, folds=2, resume=tmp_path, options=FAST)
    assert first == second  # even the seconds
    files[0].write_bytes(b"damaged")
    third = compare(X, labels, names, folds=2, resume=tmp_path, options=FAST)
    assert [r.score for r in first.rows] == [r.score for r in third.rows]
    compare(X + 1, labels, names, folds=2, resume=tmp_path, options=FAST)
    assert 8 == len(list(tmp_path.glob("*.npz")))


def test_an_interrupted_comparison_goes_on(tmp_path):
    """What was finished before Ctrl-C is not trained again, and the table is the same."""
    rng = np.random.default_rng(17)
    X, y = blobs(rng, 90)
    labels, names = mixed(rng, y), ["likelihood", "uniform target"]

    def stop(event):
        if event.get("done") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(X, labels, names, folds=2, resume=tmp_path, options=FAST, progress=stop)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 3 == len(before)
    told = []
    table = compare(X, labels, names, folds=2, resume=tmp_path, options=FAST, progress=told.append)
    assert {"event": "score"} == told.pop()
    assert [1, 2, 3, 4] == [event["done"] for event in told]
    assert 0 == told[-1]["seconds_left"]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    whole = compare(X, labels, names, folds=2, options=FAST)
    assert [row.score for row in whole.rows] == [row.score for row in table.rows]


def test_kept_fits_belong_to_an_order_of_classes_and_outlive_damage(tmp_path):
    """Other columns are other probabilities; half a file is trained anew."""
    rng = np.random.default_rng(12)
    X, y = blobs(rng, 90)
    rows = list(mixed(rng, y))
    scores = []
    for classes in (CLASSES, CLASSES[::-1], CLASSES):
        labels = Labels(rows, classes=classes)
        table = compare(X, labels, ["likelihood"], folds=2, resume=tmp_path, options=FAST)
        scores.append(table.rows[0].score)
        for path in tmp_path.glob("*.npz"):
            path.write_bytes(path.read_bytes()[:200])
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)
    assert scores[0] == scores[2]
    assert 4 == len(list(tmp_path.glob("*.npz")))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_tags_differ_by_what_stands_behind(metric):
    """Score, interval and difference speak of the same rows; one without a known tag is none."""
    rng = np.random.default_rng(13)
    X, labels = tag_problem(rng, 150)
    values = labels.to_targets().astype(float)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:60] = np.nan
    labels = Labels.from_indicator(values, classes=["x", "y", "z"])
    table = compare(X, labels, ["ova", "pal"], folds=3, metric=metric, options=FAST)
    first, second = table.rows
    assert int((~np.isnan(values).all(axis=1)).sum()) == table.n
    assert first.score - second.score == pytest.approx(second.behind, abs=1e-9)
    for row in table.rows:
        assert sum(row.interval) / 2 == pytest.approx(row.score, abs=0.02)


def test_sparse_inputs_are_those_numbers(tmp_path):
    """A CSR matrix can be compared for classes and tags, kept and found again."""
    rng = np.random.default_rng(14)
    X, labels = tag_problem(rng, 90)
    sparse = csr_array(np.where(X > 0, X, 0.0))
    names = ["ova", "one model a tag", "classifier chain"]
    for kept in (None, tmp_path, tmp_path):
        table = compare(sparse, labels, names, folds=2, resume=kept, options=FAST)
        assert set(names) == {row.name for row in table.rows}
    y = rng.integers(0, 3, 90)
    assert compare(sparse, [CLASSES[k] for k in y], folds=2, options=FAST).n == 90


def test_a_few_rows_won_are_no_difference():
    """Four rows of 1,000 won and none lost are luck (p = .125); forty are not."""
    truth = Labels(["a"] * 1000, classes=["a", "b"])
    for won, clear in ((0, False), (4, False), (40, True), (1000, True)):
        judges = []
        for strategy, wrong in zip(STRATEGIES, (0, won), strict=False):
            proba = np.tile(np.array([0.9, 0.1], np.float32), (1000, 1))
            proba[:wrong] = [0.1, 0.9]
            judges.append(Outcome(strategy, proba, [1.0], "probabilities", 2))
        data = Data(np.zeros((1000, 1)), truth)
        rows, _ = score_outcomes(judges, data, np.arange(1000) % 2, "accuracy", 0)
        assert rows[1].behind == pytest.approx(won / 1000)
        assert 0.996 == pytest.approx(rows[0].interval[0], abs=1e-3)  # all right, as Wilson's
        assert clear is not rows[1].level


def verdict_text(*arguments):
    """The verdict as one string."""
    return str(verdict_of(*arguments))


def test_a_verdict_claims_no_difference_that_luck_explains():
    """What is told as worth, below or above has an interval without 0."""
    rows = [
        Row(name, "", 0.5, (0.4, 0.6), 0.0, None, None, True, {}, "", 1.0, 2)
        for name in ("likelihood", "drop partial rows", "uniform target")
    ]
    labels = Labels(["a", either("a", "b")], classes=CLASSES)
    unclear = verdict_text(
        rows, labels, "accuracy", lambda a, b: Difference(a, b, 0.01, (-0.02, 0.04), None)
    )
    assert "makes no clear difference: 0.010 (-0.020 to 0.040)" in unclear
    assert "do not differ clearly: 0.010 (-0.020 to 0.040)" in unclear
    worse = verdict_text(
        rows, labels, "accuracy", lambda a, b: Difference(a, b, -0.03, (-0.05, -0.01), None)
    )
    assert "Using the 1 partial rows costs 0.030 (0.010 to 0.050) over dropping them" in worse
    assert "The even target is 0.030 (0.010 to 0.050) above the likelihood" in worse
    assert "leading class" not in worse
    voted = Labels(["a", votes({"a": 2, "b": 1})], classes=CLASSES)
    told = verdict_text(
        rows, voted, "accuracy", lambda a, b: Difference(a, b, 0.0, (-0.1, 0.1), None)
    )
    assert "On the 1 rows with votes or shares, accuracy takes the leading class" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "f1_micro"}, "unknown metric 'f1_micro' for multiclass; write accuracy"),
        ({"strategies": ["likelyhood"]}, r"unknown strategy 'likelyhood' \(did you mean"),
        ({"folds": 1}, "folds=1; expected 2 folds or more"),
        ({"folds": 2}, "1 different inputs among 6 rows and folds=2"),
        ({"strategies": "likelihood"}, "strategies='likelihood'; expected a list"),
        ({"strategies": []}, r"strategies=\[\]; expected a list"),
        ({"budget": 0.0}, "budget=0.0; expected seconds above 0"),
        ({"inputs": np.zeros((3, 2))}, "3 inputs and 6 labels"),
        ({"strategies": ["drop partial rows"], "labels": ["a", "b"] * 3}, "cannot be tried on"),
    ],
)
def test_misuse_is_named(change, message):
    """Each refusal says what came and what to write."""
    given = {"inputs": np.zeros((6, 2)), "labels": ["a", "b", either("a", "b")] * 2, **change}
    with pytest.raises(ValueError, match=message):
        compare(given.pop("inputs"), given.pop("labels"), **given)


# --- command and report ---------------------------------------------------------------------


@pytest.fixture
def tickets(tmp_path, monkeypatch):
    """The packaged tickets in a folder of their own."""
    source = eo.__path__[0] + "/_demo/tickets.jsonl"
    lines = open(source, encoding="utf-8").read().splitlines()[:150]
    (tmp_path / "tickets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints_a_table_json_and_a_report(tickets, capsys):
    """`compare FILE --json --report` keeps its contract and writes a page that fetches nothing."""
    words = ["compare", "tickets.jsonl", "--folds", "2", "--json", "--report", "c.html"]
    assert 0 == main(words)
    result = json.loads(capsys.readouterr().out)
    assert {"strategies", "verdict", "best"} <= set(result)
    assert {"name", "metrics", "seconds", "score"} <= set(result["strategies"][0])
    page = (tickets / "c.html").read_text(encoding="utf-8")
    assert result["strategies"][0]["name"] in page
    assert not re.search(r"https?:|<script|<link|src=", page)
    assert 0 == main(["compare", "tickets.jsonl", "--folds", "2", "--strategy", "likelihood"])
    out = capsys.readouterr().out
    assert 'Only "likelihood" was tried' in out
    assert "2 of 2 folds" in out


def test_weights_of_the_file_are_used(tickets, capsys):
    """Rows of weight 0 are not scored, whatever they say."""
    rows = [json.loads(line) for line in (tickets / "tickets.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):
        row["weight"] = place % 2
    (tickets / "w.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert 0 == main(["compare", "w.jsonl", "--folds", "2", "--strategy", "likelihood", "--json"])
    speaking = eo.read(tickets / "tickets.jsonl")[1].kinds[1::2] != 0
    assert int(speaking.sum()) == json.loads(capsys.readouterr().out)["n"]


def test_places_that_cannot_be_written_are_refused_before_training(tickets, capsys):
    """A report without a folder, and a file in the place of the folder of fits."""
    assert 2 == main(["compare", "no-such-file.jsonl", "--report", "no/c.html"])
    assert "there is no folder no; make it first" in capsys.readouterr().err
    assert 2 == main(["compare", "tickets.jsonl", "--resume", "tickets.jsonl"])
    assert "tickets.jsonl is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["soon", "0", "5 minutes"])
def test_a_budget_is_a_time(tickets, capsys, budget):
    """What is not a time is refused with an example."""
    assert 2 == main(["compare", "tickets.jsonl", "--budget", budget])
    assert "expected a time such as 60s, 5m or 1h" in capsys.readouterr().err


def test_names_are_escaped_in_the_report(found):
    """A class or file name cannot smuggle HTML into the page."""
    page = comparison_page(found.to_dict(), "<script>alert(1)</script>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    """Nothing is left beside the page, and a folder is refused."""
    write_page(tmp_path / "a.html", "<p>")
    assert ["a.html"] == [path.name for path in tmp_path.iterdir()]
    with pytest.raises(ValueError, match="is a folder"):
        write_page(tmp_path, "<p>")
    with pytest.raises(ValueError, match="there is no folder"):
        write_page(tmp_path / "no" / "a.html", "<p>")


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    """A file of data, named by mistake, is left as it is; so is a device."""
    data, old = tmp_path / "a.jsonl", tmp_path / "a.html"
    data.write_text('{"text": "a"}')
    old.write_text("<!DOCTYPE html>\nold")
    write_page(old, "<!doctype html>\nnew")
    assert old.read_text().endswith("new")
    for target in (data, "/dev/null"):
        with pytest.raises(ValueError, match="exists and is no HTML page"):
            write_page(target, "<!doctype html>")
    assert '{"text": "a"}' == data.read_text()


def test_where_no_report_can_be_written_is_told_before_the_work(tickets, tmp_path, capsys):
    """A file that the folder does not take is refused at once, and nothing is left there."""
    target = tmp_path / "reports" / f"{'x' * 300}.html"
    target.parent.mkdir()
    assert 2 == main(["compare", "tickets.jsonl", "--report", str(target)])
    assert "no file can be written there (file name too long)" in capsys.readouterr().err
    assert [] == list(target.parent.iterdir())


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.512, 0.523), (-3, 250), (1e-5, 3e-5)])
def test_ticks_are_few_and_inside(low, high):
    """Three to seven or so round numbers between the ends."""
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 8
    assert all(low <= mark <= high for mark in marks)
