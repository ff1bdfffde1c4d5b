"""Labels in bulk: the fast paths state the same as one label at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eitheror.labels import Labels, LabelsBuilder, RowError, evidence, exact, unknown
from label_strategies import NAMES, exclusive, multilabel

BULK = st.one_of(
    st.tuples(st.lists(exclusive, min_size=1, max_size=6), st.just("multiclass")),
    st.tuples(st.lists(multilabel, min_size=1, max_size=6), st.just("multilabel")),
)


def one_by_one(labels):
    """Return the labels by index, without the iterator."""
    return [labels[row] for row in range(len(labels))]


@given(BULK)
def test_iteration_equals_indexing(bulk):
    """Iterating gives the labels that single indices give."""
    rows, task = bulk
    labels = Labels(rows, classes=NAMES, task=task)
    assert one_by_one(labels) == list(labels)


def test_iteration_over_many_rows_equals_indexing():
    """More rows than are decoded at once come in order, none left out."""
    weights = np.random.default_rng(0).random((70_000, 3)).round(1)
    labels = Labels.from_evidence(1 + weights)
    found = list(labels)
    rows = [0, 1, 65_534, 65_535, 65_536, 65_537, 69_999]
    assert 70_000 == len(found)
    assert [labels[row] for row in rows] == [found[row] for row in rows]


@given(BULK, st.permutations(NAMES), st.permutations(NAMES))
def test_equality_does_not_see_the_order_of_storage(bulk, first, second):
    """The same statements are equal, whatever the class order they were stored under before."""
    rows, task = bulk
    left = Labels(rows, classes=first, task=task).with_classes(NAMES)
    right = Labels(rows, classes=second, task=task).with_classes(NAMES)
    assert left == right


@given(st.lists(st.tuples(exclusive, exclusive), min_size=1, max_size=3))
def test_equality_is_that_of_every_row(pairs):
    """Two `Labels` are equal exactly when all their rows are."""
    left = Labels([a for a, _ in pairs], classes=NAMES)
    right = Labels([b for _, b in pairs], classes=NAMES)
    assert (one_by_one(left) == one_by_one(right)) == (left == right)


@given(st.lists(st.tuples(multilabel, multilabel), min_size=1, max_size=3))
def test_equality_is_that_of_every_row_of_tags(pairs):
    """So it is for tags, whose rows may hold several parts."""
    left = Labels([a for a, _ in pairs], classes=NAMES, task="multilabel")
    right = Labels([b for _, b in pairs], classes=NAMES, task="multilabel")
    assert (one_by_one(left) == one_by_one(right)) == (left == right)


@given(st.lists(st.one_of(st.sampled_from(NAMES), st.none()), min_size=1, max_size=9))
def test_plain_values_are_exact(values):
    """A repeated plain value is stored as `exact`, from lists, arrays and the builder alike."""
    expected = Labels([unknown if v is None else exact(v) for v in values], classes=NAMES)
    builder = LabelsBuilder()
    for value in values:
        builder.append(value)
    assert expected == builder.build(NAMES)
    assert expected == Labels(values, classes=NAMES)
    assert expected == Labels(np.array(values, dtype=object), classes=NAMES)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.str_])
def test_arrays_of_names_are_exact(dtype):
    """Classes in a NumPy array become plain integers or strings."""
    labels = Labels(np.array([2, 1, 2, 2]).astype(dtype))
    plain = str if dtype is np.str_ else int
    assert [exact(plain(v)) for v in (2, 1, 2, 2)] == list(labels)
    assert {plain} == {type(name) for name in labels.classes}


@pytest.mark.parametrize("odd", [True, 1.0, np.True_, -1])
def test_what_equals_a_class_is_no_class(odd):
    """`True == 1` and `1.0 == 1`, yet they are refused after a 1 as before it."""
    with pytest.raises(RowError, match=r"row 2: "):
        Labels([1, 1, odd])


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.1, 0.3, 1.0, 7.0]), min_size=3, max_size=3).filter(any),
        min_size=1,
        max_size=6,
    ),
    st.permutations(NAMES[:3]),
)
def test_evidence_from_an_array_equals_evidence_row_by_row(weights, classes):
    """`from_evidence` states what `evidence` states; equal weights say nothing."""
    rows = [evidence(dict(zip(classes, row, strict=True))) for row in weights]
    flat = [len(set(row)) == 1 for row in weights]
    expected = [unknown if f else row for row, f in zip(rows, flat, strict=True)]
    labels = Labels.from_evidence(weights, classes)
    assert expected == list(labels)
    assert Labels(expected, classes=classes) == labels
    assert np.array_equal(Labels(rows, classes=classes).to_targets(), labels.to_targets())
