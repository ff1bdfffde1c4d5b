"""Labels at their edges: every refusal, every odd container, and joint statements about tags."""

import pickle

import numpy as np
import pytest

from eitheror.labels import (
    DataError,
    Label,
    Labels,
    LabelsBuilder,
    RowError,
    either,
    evidence,
    exact,
    not_,
    soft,
    tags,
    unknown,
    votes,
)


def test_evidence_without_a_common_class_contradicts():
    """Weights whose product is 0 everywhere leave no class; the message names both."""
    with pytest.raises(ValueError, match=r"evidence\(.*\) and evidence\(.*no class is left"):
        evidence({"a": 1}) & evidence({"b": 1})


def test_a_contradiction_that_needs_the_class_list_names_the_label():
    """Evidence for one class beside `not_` of it raises at once."""
    with pytest.raises(ValueError, match="no class is left"):
        evidence({"a": 1}) & not_("a")
    forged = Label((*not_("a").parts, *evidence({"a": 1}).parts))
    with pytest.raises(ValueError, match=r"contradict each other: no class is left"):
        forged.reduce("multiclass")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (tags("a", rest="unknown") & soft({"b": 0.3}), [1, 0.3, np.nan]),
        (not_("a") & soft({"b": 0.3}), [0, 0.3, np.nan]),
        (not_("a") & soft({"a": 0.0, "b": 1.0}), [0, 1, np.nan]),
        (tags("a") & soft({"a": 1.0}), [1, 0, 0]),
        (exact("a") & soft({"a": 1.0}), [1, 0, 0]),
    ],
)
def test_probabilities_beside_tags(label, expected):
    """`soft` beside hard statements about tags fills in the rest."""
    targets = Labels([label], classes=["a", "b", "c"], task="multilabel").to_targets()
    np.testing.assert_array_equal([expected], targets)


def test_a_probability_against_a_tag_contradicts():
    """A tag that is surely absent has no probability above 0."""
    with pytest.raises(ValueError, match=r"soft\(\) gives 'a' the probability 0.5"):
        tags("b", absent=["a"], rest="unknown") & soft({"a": 0.5})
    with pytest.raises(RowError, match=r"row 0: .*contradicts itself"):
        Labels([not_("a") & soft({"a": 0.5, "b": 0.5})], task="multilabel")


def test_joint_statements_keep_their_marginals():
    """`either` beside closed and open worlds and probabilities: groups and entries side by side."""
    label = tags("d", absent=["c"], rest="unknown") & either("a", "b") & soft({"e": 0.5})
    found = Labels([label, not_("a") & either("b", "c")], task="multilabel").sparse()
    assert [0, 1, 2] == found.group_indptr.tolist()
    assert {2: 0.0, 3: 1.0, 4: 0.5} == dict(
        zip(found.indices[:3].tolist(), found.values[:3].tolist(), strict=True)
    )
    assert [0] == found.indices[3:].tolist()


def test_votes_lose_the_classes_that_are_ruled_out():
    """Counts of excluded classes are dropped; with weights the shares are the posterior."""
    assert votes({"a": 3}) == (votes({"a": 3, "b": 1}) & not_("b")).reduce("multiclass")
    weighed = (votes({"a": 1, "b": 1}) & not_("b", trust=0.5)).reduce("multiclass")
    assert soft({"a": 2 / 3, "b": 1 / 3}) == weighed
    with pytest.raises(ValueError, match=r"votes\(\) stands alone"):
        Labels([votes({"a": 1}, voters=2) & not_("b")], task="multilabel")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact(1.5), "string or an integer, got 1.5"),
        (lambda: soft({"a": "x"}), "must be a number, got 'x'"),
        (lambda: votes({"a": 1}) & soft({"a": 1.0}), r"as soft\(\) or as votes\(\)"),
        (lambda: tags("a") & votes({"a": 1}), "combines with exact"),
        (lambda: tags("a") & not_("b", trust=0.5), "combines with exact"),
        (lambda: Labels(["a"], classes="ab"), "got the string 'ab'"),
        (lambda: Labels({"a": 1}), "got a mapping"),
        (lambda: Labels([tags()]).candidates(), "use to_targets"),
        (lambda: Labels.concatenate([]), "at least one"),
        (lambda: Labels.from_frame({"x": [1]}), "none of the columns"),
        (lambda: Labels.from_frame({"label": ["a", 1.5]}), "row 1: 1.5 is no class name"),
        (lambda: Labels.from_frame({"label": ["a"], "not": []}), "different lengths"),
        (lambda: Labels.from_proba([[1.5, 0]]), "row 0: probabilities are between"),
        (lambda: Labels.parse(["a", "a|b+c"]), "row 1: cannot read"),
        (lambda: Labels([exact("a", trust=0.5)]).format(), "row 0: the short form"),
        (lambda: Labels(["a"]) & Labels(["a", "b"]), "row by row"),
        (lambda: Label.parse("a:.5,a:.5"), "stands there twice"),
        (
            lambda: (exact("a", rest="unknown") & evidence({"a": 1}, rest=0.5)).to_dict(),
            "under one set of keys",
        ),
        (lambda: exact(" a").format(), "begins or ends with a space"),
        (lambda: Label.from_dict({"rest": "unknown", "not": ["a"]}), "needs 'tags' or 'label'"),
        (lambda: Labels([[]]), r"\[\] can be read two ways: unknown .* or tags\(\)"),
        (lambda: Labels([["a"]]), r"exact\('a'\) .* or tags\('a'\)"),
    ],
)
def test_refusals(call, message):
    """Each refusal says what came and what to write."""
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("key", [(0, 0), 5, -6, np.zeros((1, 1), dtype=int)])
def test_indices_out_of_range_or_shape(key):
    """Labels have one dimension and as many rows as they have."""
    with pytest.raises(IndexError):
        Labels(["a", "b"])[key]


def test_container_habits():
    """What NumPy and lists do with their own kind."""
    labels = Labels(["a", "b", None])
    assert 1 == labels.ndim
    assert np.dtype(object) == labels.dtype
    assert 0 == len(labels[[]])
    assert labels == labels[...,] == Labels(labels)
    assert labels != ["a", "b", None]
    assert labels != labels[:2]
    assert NotImplemented is labels.__and__(["a"])
    assert "mixed" == (either("a", "b") & not_("c")).kind
    assert ("unknown", "exact") == (unknown.kind, exact("a").kind)
    builder = LabelsBuilder()
    builder.append("a")
    assert 1 == len(builder)


def test_long_labels_are_summarised():
    """`repr` of a large container counts instead of listing."""
    assert "<Labels: 20 rows, 2 classes, multiclass; 20 exact>" == repr(Labels(["a", "b"] * 10))


def test_exact_index_and_groups_of_tags():
    """Tags have no single column; several `either` survive a dictionary."""
    assert [-1] == Labels([tags("a")]).exact_index().tolist()
    assert 2 == len(Labels([tags("a"), "b"]).sparse())
    label = either("a", "b") & either("c", "d")
    assert label == Label.from_dict(label.to_dict())
    assert not_("a") == Label.from_dict({"not": "a"})


def test_tables_of_other_libraries():
    """pandas, pyarrow and NumPy cells become plain values; gaps say nothing."""
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"label": ["b", pd.NA], "not": [None, np.array(["a"])]})
    assert [exact("b"), not_("a")] == list(Labels.from_frame(frame))
    numbers = pd.DataFrame({"label": pd.array([3, None], dtype="Int64")})
    assert [exact(3), unknown] == list(Labels.from_frame(numbers))
    table = pa.table({"soft": [{"a": 0.5, "b": 0.5}, None], "label": [None, "a"]})
    columns = {name: table[name] for name in table.column_names}
    assert [soft({"a": 0.5, "b": 0.5}), exact("a")] == list(Labels.from_frame(columns))


def test_sparse_matrices_are_masks_too():
    """SciPy matrices are accepted where a dense mask is."""
    sparse = pytest.importorskip("scipy.sparse")
    assert [either(0, 1)] == list(Labels.from_candidates(sparse.csr_array([[1, 1, 0]])))


def test_a_sparse_indicator_stays_sparse():
    """A SciPy matrix of tags costs what it stores, and other numbers are refused with the row."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_array(([1, 1, 0], [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    assert [tags(0, 2), tags()] == list(Labels.from_indicator(matrix))
    wide = Labels.from_indicator(sparse.eye_array(20_000, format="csr"))
    assert wide.nbytes < 1e6
    with pytest.raises(RowError, match=r"row 1: a sparse indicator holds only 0 and 1, got 0.5"):
        Labels.from_indicator(sparse.csr_array([[0, 1], [0.5, 0]]))


def test_disjoint_statements_about_tags_do_not_contradict():
    """At least one of two pairs, twice: fine for tags, a contradiction where one class is true."""
    pair, other = either("a", "b"), either("c", "d")
    both = pair & other
    with pytest.raises(
        RowError, match=r"row 1: either\('a', 'b'\) & either\('c', 'd'\) contradict"
    ):
        Labels(["a", both])
    with pytest.raises(RowError, match=r"soft.* contradict each other: no class is left"):
        Labels([soft({"a": 1.0}) & either("b", "c")])
    with pytest.raises(ValueError, match=r"no class is left$"):
        exact("a") & exact("b")
    classes = ["a", "b", "c", "d"]
    left, right = (Labels([x], classes, "multilabel") for x in (pair, other))
    assert 2 == len((left & right).sparse().group_ends) - 1
    open_a, open_b = (Labels([exact(n, rest="unknown")], classes, "multilabel") for n in ("a", "b"))
    assert [tags("a", "b", rest="unknown")] == list(open_a & open_b)
    with pytest.raises(RowError, match=r"row 0: .*contradict"):
        left & Labels([not_("a", "b")], classes, "multilabel")


def test_errors_survive_pickling():
    """Errors cross process borders with their place."""
    for error in (RowError(3, "no"), DataError("t.jsonl:4", "no")):
        assert str(error) == str(pickle.loads(pickle.dumps(error)))


def test_strata_of_statements_without_a_short_form():
    """Trusted rows have strata as well."""
    assert {"not_('a', trust=0.5)"} == set(
        Labels([not_("a", trust=0.5)] * 5, classes=["a", "b"]).strata().tolist()
    )


def test_to_frame_says_what_to_install(monkeypatch):
    """Without pandas the message names the command."""
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Labels(["a"]).to_frame()
