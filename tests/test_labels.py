"""Labels: statements, how they combine, what they mean as numbers, and how they are stored."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eitheror.labels import (
    EVIDENCE,
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
from label_strategies import (
    NAMES,
    any_label,
    exclusive,
    hard_exclusive,
    hard_tags,
    multilabel,
    weighted,
)

TRUTHS = [frozenset(s) for k in range(5) for s in itertools.combinations(NAMES, k)]


def allowed(label):
    """Return the classes a hard label leaves possible when one class is true."""
    return frozenset(np.flatnonzero(Labels([label], classes=NAMES).candidates()[0]).tolist())


def consistent(label):
    """Return the sets of true tags that a label allows, straight from its parts."""
    return frozenset(t for t in TRUTHS if all(_holds(part, t) for part in label.parts))


def _holds(part, truth):
    names = set(part.names)
    if part.kind == "not":
        return not names & truth
    if part.kind == "either":
        return bool(names & truth)
    present = {n for n, v in part.items if v == 1}
    return present <= truth and not (names - present) & truth if part.open else present == truth


def consistent_by_targets(label):
    """Return the same sets from the sparse numbers that trainers read."""
    found = Labels([label], classes=NAMES, task="multilabel").sparse()
    value = dict.fromkeys(range(4), found.rest[0])
    value |= dict(zip(found.indices.tolist(), found.values.tolist(), strict=True))
    groups = [
        set(found.group_indices[a:b].tolist()) for a, b in itertools.pairwise(found.group_ends)
    ]
    kept = []
    for truth in TRUTHS:
        columns = {NAMES.index(n) for n in truth}
        fits = all(np.isnan(v) or v == (c in columns) for c, v in value.items())
        if fits and all(group & columns for group in groups):
            kept.append(truth)
    return frozenset(kept)


# --- & ------------------------------------------------------------------------------------------


@given(hard_exclusive, hard_exclusive)
def test_and_intersects_candidates(a, b):
    """Two hard statements leave the classes that both leave, and raise iff none is left."""
    expected = allowed(a) & allowed(b)
    if not expected:
        with pytest.raises(ValueError, match=r"no class is|contradict"):
            Labels([a & b], classes=NAMES)
    else:
        assert expected == allowed(a & b)


@given(hard_tags, hard_tags)
def test_and_intersects_tag_worlds(a, b):
    """With tags, `a & b` allows exactly the truths that both allow."""
    if not any(part.kind == "tags" for part in (*a.parts, *b.parts)):
        a = a & tags(rest="unknown")
    expected = consistent(a) & consistent(b)
    if expected:
        assert expected == consistent((a & b).reduce("multilabel"))
    else:
        with pytest.raises(ValueError, match="contradict"):
            (a & b).reduce("multilabel")


@given(hard_exclusive, hard_exclusive)
def test_reduction_keeps_the_meaning_for_tags(a, b):
    """Parts that wait for the task mean the same after `reduce("multilabel")`."""
    try:
        both = a & b
    except ValueError:
        return
    assert consistent(a) & consistent(b) == consistent(both)
    assert consistent(both) == consistent(both.reduce("multilabel"))


@given(hard_tags)
def test_sparse_numbers_hold_the_statement(label):
    """The sparse multilabel numbers allow exactly the truths that the label allows."""
    if consistent(label):
        assert consistent(label) == consistent_by_targets(label)


@given(any_label, any_label)
def test_and_is_order_free(a, b):
    """`a & b == b & a`, and both raise or neither does."""
    results = []
    for left, right in ((a, b), (b, a)):
        try:
            results.append(left & right)
        except ValueError:
            results.append(None)
    assert results[0] == results[1]


@given(hard_tags, hard_tags, hard_tags)
def test_and_is_associative(a, b, c):
    """Three hard statements combine in any grouping, or contradict each other in every one."""
    results = []
    for grouping in (lambda: (a & b) & c, lambda: a & (b & c), lambda: (c & a) & b):
        try:
            results.append(grouping().reduce("multilabel"))
        except ValueError:
            results.append(None)
    assert results[0] == results[1] == results[2]


@given(st.one_of(hard_exclusive, hard_tags))
def test_and_is_idempotent_for_hard_statements(label):
    """Saying the same thing twice says nothing more."""
    assert label & label == label


@given(st.one_of(hard_exclusive, weighted), st.one_of(hard_exclusive, weighted))
def test_evidence_multiplies(a, b):
    """Weights multiply class by class, up to the division by the maximum."""
    one, two = (Labels([x], classes=NAMES).to_targets()[0] if _fits(x) else None for x in (a, b))
    if one is None or two is None:
        return
    product = one * two
    if product.max() == 0:
        with pytest.raises(ValueError, match="no class is left"):
            Labels([a & b], classes=NAMES)
    else:
        found = Labels([a & b], classes=NAMES).to_targets()[0]
        np.testing.assert_allclose(product / product.max(), found, rtol=1e-12)


def _fits(label):
    try:
        Labels([label], classes=NAMES)
    except ValueError:
        return False
    return True


def test_contradictions_name_both_sides():
    """The message shows both statements."""
    with pytest.raises(ValueError, match=r"exact\('a'\) and not_\('a'\) contradict each other"):
        exact("a") & not_("a")
    with pytest.raises(ValueError, match=r"either\('a', 'b'\) and not_\('a', 'b'\) contradict"):
        either("a", "b") & not_("a", "b")
    with pytest.raises(ValueError, match=r"tags\('a'\) and not_\('a'\) contradict each other"):
        tags("a") & not_("a")


def test_votes_add_and_soft_renormalises():
    """SEMANTICS 2: votes add, soft & not_ renormalises, soft & soft is refused."""
    assert votes({"a": 3, "b": 1}) == votes({"a": 1}) & votes({"a": 2, "b": 1})
    blend = soft({"a": 0.5, "b": 0.25, "c": 0.25}) & not_("c")
    assert soft({"a": 2 / 3, "b": 1 / 3}) == blend.reduce("multiclass")
    with pytest.raises(ValueError, match="two soft"):
        soft({"a": 1.0}) & soft({"a": 1.0})


def test_either_and_not_says_more_for_tags():
    """The class that is ruled out stays known to be absent when any number may be true."""
    label = either("a", "b", "c") & not_("c")
    assert either("a", "b") == label.reduce("multiclass")
    assert frozenset({"c"}) == frozenset(NAMES) - frozenset().union(*consistent(label)) - {"d"}


# --- constructors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: either("a"), r"write exact\('a'\)"),
        (lambda: not_(), "got none"),
        (lambda: not_(["a", "b"]), "without the brackets"),
        (lambda: exact(""), "empty"),
        (lambda: exact(True), "no class name"),
        (lambda: exact("a", rest="open"), "rest must be"),
        (lambda: not_("a", trust=0), "trust must be"),
        (lambda: soft({"a": 3}), "for counts use votes"),
        (lambda: soft({}), "at least one class"),
        (lambda: soft({"a": float("nan")}), "finite"),
        (lambda: soft(["a"]), "takes a mapping"),
        (lambda: votes({"a": -1}), "0 or more"),
        (lambda: votes({"a": 0}), "no vote at all"),
        (lambda: votes({"a": 3}, voters=2), "only 2 voters"),
        (lambda: votes({"a": 3}, voters=0), "only 0 voters|above 0"),
        (lambda: tags("a", absent=["a"]), "both as present and as absent"),
        (lambda: tags("a", absent="b"), r"write \['b'\]"),
        (lambda: tags("a", rest="open"), "rest must be"),
        (lambda: evidence({"a": -1}), "0 or more"),
        (lambda: evidence({"a": 0}), "no class is left"),
        (lambda: exact(exact("a")), "combine labels with &"),
    ],
)
def test_constructor_errors(call, message):
    """Each constructor says what came and what to write instead."""
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_unknown_is_a_label_and_a_constructor():
    """`unknown` and `unknown()` are the same label."""
    assert unknown == unknown() == Label()
    assert hash(unknown) == hash(Label())
    assert unknown & exact("a") == exact("a") == exact("a") & unknown
    assert unknown == pickle.loads(pickle.dumps(unknown))


# --- Labels ---------------------------------------------------------------------------------------


def test_targets_of_every_multiclass_kind():
    """SEMANTICS 3 to 5 and 10 as one table."""
    labels = Labels(
        [
            "a",
            either("a", "b"),
            not_("c"),
            soft({"a": 0.7, "b": 0.3}),
            votes({"a": 3, "b": 1}),
            not_("c", trust=0.95),
            exact("a", trust=0.9),
            evidence({"a": 0.8, "b": 0.2}),
            None,
        ]
    )
    expected = [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
        [0.7, 0.3, 0],
        [0.75, 0.25, 0],
        [1, 1, 0.05],
        [1, 0.1, 0.1],
        [1, 0.25, 0],
        [1, 1, 1],
    ]
    np.testing.assert_allclose(expected, labels.to_targets(), rtol=1e-12)


def test_targets_of_every_multilabel_kind():
    """SEMANTICS 7: closed worlds are 0 elsewhere, open worlds nan."""
    labels = Labels(
        [
            tags("a", "b"),
            tags("a", absent=["c"], rest="unknown"),
            not_("c"),
            "a",
            exact("a", rest="unknown"),
            votes({"a": 3}, voters=5),
            soft({"a": 0.2}),
            tags(),
            None,
        ]
    )
    n = np.nan
    expected = [
        [1, 1, 0],
        [1, n, 0],
        [n, n, 0],
        [1, 0, 0],
        [1, n, n],
        [0.6, 0, 0],
        [0.2, n, n],
        [0, 0, 0],
        [n, n, n],
    ]
    np.testing.assert_array_equal(expected, labels.to_targets())


@given(st.lists(exclusive, min_size=1, max_size=6))
def test_dense_and_sparse_targets_agree(rows):
    """`sparse()` and `to_targets()` hold the same numbers, and each row has one reading."""
    try:
        labels = Labels(rows, classes=NAMES)
    except RowError:
        return
    dense, sparse = labels.to_targets(), labels.sparse()
    for row in range(len(labels)):
        span = slice(sparse.indptr[row], sparse.indptr[row + 1])
        values = np.full(4, 1.0 if sparse.mode[row] == 0 else sparse.rest[row])
        values[sparse.indices[span]] = sparse.values[span]
        np.testing.assert_allclose(dense[row], values, rtol=1e-6)
        is_evidence = dense[row].max() == 1
        assert is_evidence or abs(dense[row].sum() - 1) < 1e-6
        assert not (sparse.mode[row] == EVIDENCE and not is_evidence)


@given(st.lists(multilabel, min_size=1, max_size=6), st.data())
def test_slicing_commutes_with_targets(rows, data):
    """`labels[i].to_targets() == labels.to_targets()[i]` for index arrays, masks and slices."""
    kept = [r for r in rows if all(p.kind != "either" for p in r.parts)]
    if not kept:
        return
    labels = Labels(kept, classes=NAMES, task="multilabel")
    index = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1))), dtype=int)
    np.testing.assert_array_equal(labels[index].to_targets(), labels.to_targets()[index])
    mask = np.arange(len(labels)) % 2 == 0
    np.testing.assert_array_equal(labels[mask].to_targets(), labels.to_targets()[mask])
    np.testing.assert_array_equal(labels[1:].to_targets(), labels.to_targets()[1:])
    assert labels[::-1][0] == labels[-1]


@given(st.lists(st.one_of(exclusive, multilabel), min_size=1, max_size=5))
def test_storage_is_lossless(rows):
    """What goes in comes out, once reduced under the task; pickles and reprs too."""
    for task in ("multiclass", "multilabel"):
        try:
            labels = Labels(rows, classes=[*NAMES, "e"], task=task)
        except (RowError, ValueError):
            continue
        assert [r.reduce(task) for r in rows] == list(labels)
        assert labels == pickle.loads(pickle.dumps(labels))
        assert labels == eval(repr(labels))


@given(st.lists(exclusive, min_size=1, max_size=5), st.permutations(NAMES))
def test_class_order_permutes_columns(rows, order):
    """Reordering and adding classes moves columns and keeps every statement."""
    try:
        labels = Labels(rows, classes=NAMES)
    except RowError:
        return
    moved = labels.with_classes([*order, "new"])
    assert list(labels) == list(moved)
    columns = [moved.classes.index(name) for name in NAMES]
    same = labels.to_targets() == moved.to_targets()[:, columns]
    no_rescaling = np.diff(labels.sparse().indptr) < 4
    assert same[no_rescaling].all()


def test_not_keeps_its_meaning_when_a_class_is_added():
    """The statement is stored, numbers are derived late."""
    labels = Labels([not_("a")], classes=["a", "b"])
    assert [[0, 1]] == labels.to_targets().tolist()
    assert [[0, 1, 1]] == labels.with_classes(["a", "b", "c"]).to_targets().tolist()


def test_an_inferred_class_list_may_grow():
    """`not_` of every class named so far is kept; only its numbers need another class."""
    labels = Labels([not_("a", "b")])
    assert [[0, 0, 1]] == labels.with_classes(["a", "b", "c"]).to_targets().tolist()
    with pytest.raises(RowError, match=r"row 0: .*rules out every class.*pass classes="):
        labels.to_targets()


def test_task_is_inferred_from_tags():
    """SEMANTICS 6."""
    assert Labels(["a", "b"]).task == "multiclass"
    assert Labels(["a", tags("b")]).task == "multilabel"
    assert Labels(["a", tags("b", rest="unknown") & either("a", "c")]).task == "multilabel"
    assert Labels.from_indicator([[1, 0]]).task == "multilabel"


@pytest.mark.parametrize(
    ("data", "kwargs", "message"),
    [
        ([{"a", "b"}], {}, r"row 0: .*either\('a', 'b'\).*tags\('a', 'b'\)"),
        ([{"a": 1.0}], {}, r"soft\(.*votes\("),
        (["a", -1], {}, r"row 1: -1 can be read two ways"),
        (["a", float("nan")], {}, "row 1: nan"),
        ([1.5], {}, "no class name"),
        (["a", tags("a", "b")], {"task": "multiclass"}, r"row 1: tags\('a', 'b'\).*use either"),
        ([soft({"a": 0.5, "b": 0.4})], {}, "row 0: .*must add to 1, got 0.9"),
        (["a", "dgo"], {"classes": ["a", "dog"]}, r"row 1: .*\['dgo'\].*did you mean \"dog\""),
        (["1"], {"classes": [1, 2]}, "of another type: write 1"),
        (["a", 1], {}, "strings and by integers"),
        ([not_("a", "b")], {"classes": ["a", "b"]}, "row 0: .*rules out every class"),
        ([votes({"a": 1})], {"task": "multilabel"}, "number of voters"),
        ([not_("a", trust=0.5)], {"task": "multilabel"}, "exactly one true class"),
        ([evidence({"a": 1, "b": 0.5})], {"task": "multilabel"}, "exactly one true class"),
        ([votes({}, voters=3)], {"task": "multiclass", "classes": ["a"]}, "no vote at all"),
        (["a"], {"task": "multi"}, "task must be"),
        (["a"], {"classes": ["a", "a"]}, "'a' twice"),
        ("abc", {}, "one label a row"),
        (np.zeros((2, 2)), {}, "from_candidates"),
    ],
)
def test_labels_errors(data, kwargs, message):
    """Bad data names the row, what came, and what to write."""
    with pytest.raises((ValueError, TypeError), match=message):
        Labels(data, **kwargs)


def test_minus_one_is_a_class_when_the_class_list_says_so():
    """-1 is refused as a bare label, but not when classes= names it."""
    assert [[1, 0]] == Labels([-1], classes=[-1, 1]).to_targets().tolist()


def test_numpy_sees_one_dimension():
    """Shape (n,), object dtype, an array of Label; a cast to numbers fails loudly."""
    labels = Labels(["a", either("a", "b")])
    array = np.asarray(labels)
    assert (2,) == labels.shape == array.shape
    assert object == array.dtype
    assert list(labels) == list(array)
    assert ["exact('a')", "either('a', 'b')"] == np.asarray(labels, dtype=str).tolist()
    for numbers in (float, bool, np.int32):
        with pytest.raises(TypeError, match=r"labels are statements, not .*labels.to_targets\(\)"):
            np.asarray(labels, dtype=numbers)


def test_passes_through_scikit_learn_unchanged():
    """Splitters and searches hand `Labels` on; label encoding is refused, never silent."""
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split

    seen = []

    class Probe(BaseEstimator):
        def __init__(self, width=1):
            self.width = width

        def fit(self, X, y):
            seen.append(type(y))
            return self

        def predict_proba(self, X):
            return np.ones((len(X), 2)) / 2

        def score(self, X, y):
            return 0.0

    labels = Labels(["a", "b", either("a", "b"), not_("a"), None, "a"])
    X = np.arange(12.0).reshape(6, 2)
    _, _, train, test = train_test_split(X, labels, test_size=2, random_state=0)
    assert (Labels, Labels) == (type(train), type(test))
    GridSearchCV(Probe(), {"width": [1, 2]}, cv=2).fit(X, labels)
    assert {Labels} == set(seen)
    with pytest.raises(TypeError):
        cross_val_predict(Probe(), X, labels, method="predict_proba", cv=2)


@given(st.lists(exclusive, min_size=1, max_size=4), st.lists(exclusive, min_size=1, max_size=4))
def test_concatenation_appends_rows(first, second):
    """Rows stay, classes are united."""
    try:
        parts = [Labels(first), Labels(second)]
        whole = Labels(first + second)
    except ValueError:
        return
    joined = Labels.concatenate(parts)
    assert list(whole) == list(joined)
    assert set(whole.classes) == set(joined.classes)


def test_labels_combine_row_by_row():
    """`labels & labels` is `&` on each row; a contradiction names its row."""
    left = Labels([either("a", "b"), "a"], classes=["a", "b"])
    assert [exact("a"), exact("a")] == list(left & Labels([not_("b"), None], classes=["a", "b"]))
    with pytest.raises(RowError, match=r"row 1: exact\('a'\) and not_\('a'\)"):
        left & Labels([None, not_("a")], classes=["a", "b"])


@given(st.lists(exclusive, min_size=1, max_size=5))
def test_frame_round_trip(rows):
    """A pandas table holds every statement."""
    try:
        labels = Labels(rows, classes=NAMES)
    except RowError:
        return
    assert labels == Labels.from_frame(labels.to_frame(), classes=NAMES)


def test_arrays_become_statements():
    """The matrix constructors store the statement of each row."""
    assert [either(0, 1), exact(2)] == list(Labels.from_candidates([[1, 1, 0], [0, 0, 1]]))
    n = np.nan
    indicator = Labels.from_indicator([[1, 0], [1, n], [0.5, 0], [n, n]], classes=["a", "b"])
    assert [
        tags("a"),
        tags("a", rest="unknown"),
        soft({"a": 0.5, "b": 0}),
        unknown,
    ] == list(indicator)
    assert [votes({"a": 2}), unknown] == list(
        Labels.from_votes([[2, 0], [0, 0]], classes=["a", "b"])
    )
    assert votes({"a": 2}, voters=3) == Labels.from_votes([[2, 0]], ["a", "b"], voters=3)[0]
    assert soft({"a": 0.5, "b": 0.5}) == Labels.from_proba([[0.5, 0.5]], ["a", "b"])[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Labels.from_candidates([[0, 0]]), "row 0: no class is possible"),
        (lambda: Labels.from_candidates([[1, 0.5]]), "only 0 and 1"),
        (lambda: Labels.from_candidates([1, 0]), r"shape \(2,\)"),
        (lambda: Labels.from_candidates([[1, 0]], classes=["a"]), "2 columns"),
        (lambda: Labels.from_indicator([[1, 0], [2, 0]]), "row 1: entries are"),
        (lambda: Labels.from_proba([[0.5, 0.4]]), "row 0: .*add to 1"),
        (lambda: Labels.from_votes([[-1, 0]]), "row 0: votes are counts"),
        (lambda: Labels.from_votes([[4, 0]], voters=3), "only 3 voters"),
        (lambda: Labels.from_evidence([[1, 2], [0, 0]]), "row 1: every weight is 0"),
        (lambda: Labels.from_evidence([[1, -1]]), "row 0: weights are numbers of 0 or more"),
        (lambda: Labels.from_evidence([[1, np.inf]]), "row 0: weights are numbers of 0 or more"),
        (lambda: Labels.from_proba([["x"]]), "takes numbers"),
    ],
)
def test_array_errors(call, message):
    """Wrong arrays name the row and what was expected."""
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_joint_rows_have_no_matrix_form():
    """SEMANTICS 11: `to_targets` raises and names the rows; `sparse` holds the groups."""
    labels = Labels([tags("a"), either("a", "b")])
    with pytest.raises(ValueError, match="rows 1 say 'at least one of'"):
        labels.to_targets()
    assert [0, 0, 1] == labels.sparse().group_indptr.tolist()
    assert [0, 1] == labels.sparse().take(np.array([1])).group_indices.tolist()


def test_strata_can_be_split():
    """Every stratum has at least `min_count` rows."""
    labels = Labels(["a"] * 20 + ["b"] * 9 + [either("a", "b")] * 2 + [not_("a")] * 5 + [None])
    words, counts = np.unique(labels.strata(), return_counts=True)
    assert counts.min() >= 5
    assert 37 == counts.sum()
    assert {"a", "b", "!a"} <= set(words.tolist())


def test_a_million_rows_of_a_hundred_thousand_classes():
    """A million `not_` rows over 100,000 classes stay under 100 MB, sliced and joined too."""
    classes = [f"class {i}" for i in range(100_000)]
    builder = LabelsBuilder()
    for i in range(2_000):
        builder.append(not_(classes[i * 50]))
    small = builder.build(classes)
    tracemalloc.start()
    million = Labels.concatenate([small] * 500)
    kept = million[::2]
    joined = Labels.concatenate([kept, kept])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1_000_000 == len(million) == len(joined)
    assert million.nbytes < 30e6
    assert peak < 200e6  # three such containers and their temporaries; dense would be 100 GB
    assert not_("class 50") == joined[1] or not_("class 100") == joined[1]


@settings(max_examples=30)
@given(st.lists(st.tuples(exclusive, exclusive), min_size=1, max_size=4))
def test_builder_equals_constructor(pairs):
    """Accumulating rows one by one gives what the list gives."""
    rows = [a for a, _ in pairs]
    builder = LabelsBuilder()
    for row in rows:
        builder.append(row)
    try:
        expected = Labels(rows)
    except ValueError:
        return
    assert expected == builder.build()
