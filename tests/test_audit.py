"""Findings about labels: what is reported, what is not, and how it reads."""

import json

import numpy as np
import pytest

from eitheror.audit import Finding, find_issues
from eitheror.labels import Labels, either, evidence, exact, not_, soft, tags, votes

KEYS = {"kind", "severity", "rows", "message", "advice"}


def kinds(labels, *args, **options):
    """Return the findings by kind."""
    return {finding.kind: finding for finding in find_issues(labels, *args, **options).findings}


# --- the contract ---------------------------------------------------------------------------


def test_the_report_keeps_its_contract():
    """`to_dict` has n, kinds and findings with five keys each, and survives JSON."""
    labels = Labels(["a", "b", either("a", "b"), None, "a"])
    report = find_issues(labels, inputs=["x", "y", "z", "z", "y"])
    stored = json.loads(json.dumps(report.to_dict()))
    assert stored == report.to_dict()
    assert {"n", "kinds", "findings"} <= set(stored)
    assert (5, {"unknown": 1, "exact": 3, "either": 1}) == (stored["n"], stored["kinds"])
    assert all(set(finding) == KEYS for finding in stored["findings"])
    assert report.has_errors


def test_findings_are_ordered_by_severity_and_speak_in_sentences():
    """Errors first; every message and advice ends with a full stop."""
    labels = Labels([exact("a"), exact("b"), either("c", "d"), None], classes=list("abcde"))
    report = find_issues(labels, inputs=["t", "t", "u", ""])
    severities = [finding.severity for finding in report.findings]
    assert sorted(severities, key=["error", "warning", "info"].index) == severities
    assert {"error", "warning", "info"} == set(severities)
    for finding in report.findings:
        assert finding.message.endswith(".")
        assert finding.advice.endswith(".")


def test_the_console_form():
    """The summary counts rows, classes and kinds and gives a rough worth in exact labels."""
    labels = Labels(
        ["a"] * 240 + [either("a", "b")] * 180 + [either("c", "d")] * 180 + [not_("e")] * 480
        + [None] * 120,
        classes=list("abcdefghij"),
    )  # fmt: skip
    report = find_issues(labels)
    first, *others = str(report).splitlines()
    assert first == (
        "1,200 rows, 10 classes, one true class each: 240 exact, 360 either, 480 not, 120 unknown; "
        "worth about 410 exact labels"
    )
    assert others[0].startswith("! 'c' and 'd' only ever appear together: nothing in this file")
    assert "Exact labels for about 20 of those 180 rows would." in others[0]


def test_nothing_to_report():
    """Sound labels give no findings and say so."""
    labels = Labels(["a", "b"] * 5)
    report = find_issues(labels, inputs=[f"text {i}" for i in range(10)])
    assert () == report.findings
    assert str(report).splitlines() == [
        "10 rows, 2 classes, one true class each: 10 exact",
        "Nothing found that needs attention.",
    ]


# --- worth ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("a", 1.0),
        (either("a", "b"), 4 / 9),
        (not_("a"), 1 / 81),
        (soft({"a": 0.5, "b": 0.5}), 1.0),
        (votes({"a": 2, "b": 1}), 1.0),
        (evidence({"a": 1.0}, rest=1.0), 0.0),
        (None, 0.0),
    ],
)
def test_worth_of_one_statement(label, expected):
    """Exact 1, a pair of ten (K - s)/(s (K - 1)) = 4/9, one rejection 1/81, nothing 0."""
    labels = Labels([label], classes=list("abcdefghij"), task="multiclass")
    assert expected == pytest.approx(find_issues(labels).worth, abs=1e-6)


def test_worth_of_tags_is_the_share_of_known_entries():
    """A closed row is worth one; two known tags of four are worth a half."""
    labels = Labels(
        [tags("a"), tags("a", absent=["b"], rest="unknown"), None], classes=list("abcd")
    )
    assert find_issues(labels).worth == 1.5


# --- classes --------------------------------------------------------------------------------


def test_classes_that_only_appear_together():
    """Classes with the same evidence in every row are never told apart; others are."""
    rows = [either("a", "b")] * 3 + [not_("a", "b"), "c", "d", either("c", "d")] + ["c"] * 5
    finding = kinds(Labels(rows))["never_apart"]
    assert ((0, 1, 2, 3), "warning") == (finding.rows, finding.severity)
    assert finding.message.startswith("'a' and 'b' only ever appear together")


@pytest.mark.parametrize(
    "apart", ["a", not_("b"), either("a", "c"), soft({"a": 0.6, "b": 0.4}), exact("a", trust=0.9)]
)
def test_one_row_tells_classes_apart(apart):
    """One statement that treats the two differently is enough."""
    rows = [either("a", "b")] * 3 + ["c", apart]
    assert "never_apart" not in kinds(Labels(rows))


def test_equal_columns_are_those_of_the_dense_targets():
    """Random statements: the groups found are the equal columns of `to_targets`."""
    rng = np.random.default_rng(0)
    names = list("abcdefgh")
    for _ in range(40):
        rows = []
        for _ in range(3):
            size = rng.integers(2, 7)
            chosen = rng.permutation(names)[:size].tolist()
            rows.append((either, not_)[rng.integers(2)](*chosen))
        labels = Labels(rows, classes=names)
        targets = labels.to_targets()
        groups = {}
        for column, name in enumerate(names):
            groups.setdefault(targets[:, column].tobytes(), []).append(name)
        expected = sorted(group for group in groups.values() if len(group) > 1)
        found = [f for f in find_issues(labels).findings if f.kind == "never_apart"]
        silent = {
            name for name in names
            if not any(name in label.named for label in rows)
        }  # fmt: skip
        expected = [group for group in expected if not silent & set(group)]
        said = sorted(f.message.split(" only ever")[0] for f in found)
        assert (
            sorted(
                ", ".join(f"'{n}'" for n in group[:-1]) + f" and '{group[-1]}'"
                for group in expected
            )
            == said
        )


def test_many_groups_are_summed_up():
    """Five groups are told one by one, largest first, the others together."""
    rows = [
        either(f"{letter}1", f"{letter}2")
        for times, letter in enumerate("abcdefgh", start=1)
        for _ in range(times)
    ]
    found = [f for f in find_issues(Labels(rows)).findings if f.kind == "never_apart"]
    assert [8, 7, 6, 5, 4, 6] == [len(finding.rows) for finding in found]
    assert "3 more groups of classes" in found[-1].message
    assert "'a1' with 'a2'" in found[-1].message
    single = Labels([either("a", "b"), "c"])
    assert kinds(single)["never_apart"].advice == "An exact label for that row would."


def test_tags_that_always_come_together():
    """Tags given or withheld together in several rows are told, not condemned."""
    labels = Labels([tags("a", "b")] * 5 + [tags("c")] * 5)
    finding = kinds(labels)["never_apart"]
    assert ("info", tuple(range(5))) == (finding.severity, finding.rows)
    assert "never_apart" not in kinds(Labels([tags("a", "b"), tags("c")] * 2))


def test_classes_without_rows():
    """A class of the list that no row names, one that every row rules out, one with few rows."""
    rows = ["a"] * 6 + ["b"] + [not_("c")] * 2
    found = kinds(Labels(rows, classes=list("abcd")))
    assert "'d' is in the class list but named by no row." == found["never_named"].message
    assert "'b' (1)" in found["few_rows"].message
    assert (6,) == found["few_rows"].rows
    ruled_out = kinds(Labels([either("a", "b") & not_("c"), not_("c")], classes=list("abc")))
    assert "every row rules out 'c'." == ruled_out["never_possible"].message


def test_classes_never_named_exactly():
    """A class that is only ever one of several is named; if all are, that is said once."""
    rows = ["a", "b", either("a", "c"), either("b", "c")]
    assert "'c' exactly" in kinds(Labels(rows))["never_exact"].message
    sets = Labels([either("a", "b"), either("b", "c"), either("a", "c")])
    assert "no row names its class exactly." == kinds(sets)["never_exact"].message


def test_only_one_class_is_an_error():
    """With a single possible class nothing can be learned."""
    finding = kinds(Labels(["a", "a"]))["one_class"]
    assert "error" == finding.severity
    assert "there is only one class, 'a'" in finding.message
    assert "one_class" not in kinds(Labels(["a", not_("a")], classes=["a", "b"]))


def test_everything_unknown_is_an_error():
    """Labels that say nothing are most likely an unread column."""
    found = kinds(Labels([None, None], classes=["a", "b"], task="multiclass"))
    assert "error" == found["all_unknown"].severity
    assert "mostly_unknown" not in found
    some = kinds(Labels([None, None, "a"], classes=["a", "b"]))
    assert (0, 1) == some["mostly_unknown"].rows


def test_tags_that_are_never_absent_or_never_present():
    """Positive examples alone teach "always", negative ones alone "never": both are told."""
    open_world = [tags("a", rest="unknown")] * 5 + [tags("b", absent=["c"], rest="unknown")] * 5
    found = kinds(Labels(open_world, task="multilabel"))
    assert found["never_absent"].message == "no row says that 'a' and 'b' are absent."
    assert found["never_possible"].message == "no row has the tag 'c'."
    assert {"few_rows"} == set(kinds(Labels([tags("a"), tags("b")])))


def test_at_least_one_names_its_tags():
    """Tags that only stand in `either` are named and possible."""
    labels = Labels([either("a", "b"), tags("c")], task="multilabel")
    assert not {"never_named", "never_possible", "all_unknown"} & set(kinds(labels))


# --- repeated inputs ------------------------------------------------------------------------


def test_the_same_text_with_statements_that_exclude_each_other():
    """Contradictions name both rows, both statements, and how many more there are."""
    labels = Labels(["a", not_("a"), "b", "a", "b", "c"])
    report = find_issues(labels, inputs=["hi", " hi ", "ho", "ho", "x", "y"])
    finding = next(f for f in report.findings if f.kind == "contradiction")
    assert ("error", (0, 1, 2, 3)) == (finding.severity, finding.rows)
    assert finding.message == (
        "row 0 and row 1 have the same text; one says 'a', the other not 'a'; "
        "1 more text like that."
    )


def test_places_can_be_named():
    """`where` turns row numbers into places of a file."""
    report = find_issues(
        Labels(["a", "b"]), inputs=["x", "x"], where=lambda row: f"tickets.jsonl:{row + 1}"
    )
    assert "tickets.jsonl:1 and tickets.jsonl:2 have the same text" in str(report)


def test_three_statements_can_contradict_jointly():
    """No two of these exclude each other, all three do."""
    labels = Labels([either("a", "b"), either("b", "c"), either("a", "c")])
    assert "contradiction" in kinds(labels, inputs=["x"] * 3)


@pytest.mark.parametrize(
    ("one", "other", "task", "kind"),
    [
        ("a", "a", "multiclass", "duplicate"),
        (either("a", "b"), "a", "multiclass", "different_statements"),
        (not_("a"), not_("b"), "multiclass", "different_statements"),
        (soft({"a": 0.5, "b": 0.5}), "a", "multiclass", "different_statements"),
        (None, "a", "multiclass", "different_statements"),
        (not_("a"), either("a", "b"), "multiclass", "different_statements"),
        (not_("a", "b"), either("a", "b"), "multiclass", "contradiction"),
        (soft({"a": 0.5, "b": 0.5}), "c", "multiclass", "contradiction"),
        (not_("a"), not_("b", "c"), "multiclass", "contradiction"),
        (exact("a", trust=0.9), "b", "multiclass", "different_statements"),
        (tags("a"), tags("a", "b"), "multilabel", "contradiction"),
        (tags("a", rest="unknown"), not_("b"), "multilabel", "different_statements"),
        (not_("a"), tags("a", rest="unknown"), "multilabel", "contradiction"),
        (tags("b"), tags("b"), "multilabel", "duplicate"),
        (either("a", "b"), not_("a", "b"), "multilabel", "contradiction"),
        (either("a", "b"), tags("c"), "multilabel", "contradiction"),
        (either("a", "b"), not_("a"), "multilabel", "different_statements"),
        (either("a", "b"), either("b", "c"), "multilabel", "different_statements"),
        (exact("a", trust=0.9), not_("a", "b", trust=0.5), "multiclass", "different_statements"),
        (soft({"a": 1.0}), soft({"a": 0.5, "b": 0.5}), "multiclass", "different_statements"),
    ],
)  # fmt: skip
def test_the_same_text_twice(one, other, task, kind):
    """Equal statements repeat, different ones may be joined, excluding ones contradict."""
    labels = Labels([one, other, None], classes=list("abc"), task=task)
    found = kinds(labels, inputs=["x", "x", "y"])
    assert {kind} == set(found) & {"duplicate", "different_statements", "contradiction"}


def test_three_statements_about_tags_can_contradict_jointly():
    """One of a, b is present, and a third and a second row rule out one each."""
    labels = Labels([either("a", "b"), not_("a"), not_("b")], task="multilabel")
    found = kinds(labels, inputs=["x"] * 3)
    assert {"contradiction"} == set(found) & {"contradiction", "different_statements"}


@pytest.mark.parametrize(
    ("one", "other", "task", "said"),
    [
        (not_("a"), not_("b"), "multiclass", "(& in Python)"),
        (either("a", "b"), not_("a"), "multilabel", "(& in Python)"),
        (either("a", "b"), either("c", "d"), "multilabel", "(& in Python)"),
        (soft({"a": 1.0}), soft({"a": 0.5, "b": 0.5}), "multiclass", "no rule"),
    ],
)
def test_the_advice_to_join_can_be_followed(one, other, task, said):
    """`&` is only advised where it works."""
    labels = Labels([one, other], classes=list("abcd"), task=task)
    assert said in kinds(labels, inputs=["x", "x"])["different_statements"].advice
    if "no rule" in said:
        with pytest.raises(ValueError, match="no agreed product"):
            one & other
    else:
        assert (one & other).reduce(task) == (labels[:1] & labels[1:])[0].reduce(task)


def test_long_format_is_recognised():
    """Texts that stand once per tag are reported as such, not as contradictions."""
    texts = ["p", "p", "q", "q", "r", "s", "s"]
    labels = Labels(["a", "b", "a", "c", "b", "b", "c"])
    found = kinds(labels, inputs=texts)
    assert "contradiction" not in found
    assert (0, 1, 2, 3, 5, 6) == found["long_format"].rows
    assert "--format long" in found["long_format"].advice


def test_numeric_rows_and_empty_texts():
    """Equal feature rows are found too; rows without text are named."""
    labels = Labels(["a", "b"])
    found = kinds(labels, inputs=np.ones((2, 3)))
    assert "have the same features" in found["contradiction"].message
    assert (1,) == kinds(labels, inputs=["x", " "])["empty_text"].rows


def test_sparse_features_are_left_alone():
    """Compressed features are not compared."""
    sparse = pytest.importorskip("scipy.sparse")
    assert "contradiction" not in kinds(Labels(["a", "b"]), inputs=sparse.csr_array((2, 3)))


# --- against a model ------------------------------------------------------------------------


def test_unlikely_statements_are_ranked():
    """Statements under one per cent, the least likely first."""
    labels = Labels(["a", "b", not_("a"), "a"])
    proba = [[0.005, 0.995], [0.999, 0.001], [0.5, 0.5], [0.9, 0.1]]
    finding = kinds(labels, proba)["unlikely"]
    assert (1, 0) == finding.rows
    assert "least to row 1 ('b')" in finding.message
    assert "unlikely" not in kinds(labels, np.full((4, 2), 0.5))


def test_lengths_are_checked():
    """Inputs and probabilities need one row a label."""
    with pytest.raises(ValueError, match="1 rows of inputs for 2 labels"):
        find_issues(Labels(["a", "b"]), inputs=["x"])
    with pytest.raises(ValueError, match="3 rows of proba for 2 labels"):
        find_issues(Labels(["a", "b"]), np.full((3, 2), 0.5))


def test_plain_names_are_taken():
    """What `Labels` accepts is accepted here."""
    report = find_issues(["a", "b"])
    assert 2 == report.n
    assert all(isinstance(finding, Finding) for finding in report.findings)
