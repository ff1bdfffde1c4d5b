"""A label as text: `repr`, the keys of a JSONL row, the short form; there and back."""

import pytest
from hypothesis import example, given

from eitheror.labels import (
    Label,
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
    any_label,
)


@given(any_label, any_label)
def test_repr_evaluates_back(a, b):
    """`eval(repr(label)) == label`, for several parts too."""
    assert a == eval(repr(a))
    try:
        both = a & b
    except ValueError:
        return
    assert both == eval(repr(both))


@example(exact("a", rest="unknown"), evidence({"a": 1}))
@given(any_label, any_label)
def test_dictionary_round_trip(a, b):
    """The JSONL keys hold every label; the few that they cannot hold are refused."""
    assert a == Label.from_dict(a.to_dict())
    try:
        both = a & b
        keys = both.to_dict()
    except ValueError:
        return
    assert both == Label.from_dict(keys)


@given(any_label)
def test_short_form_round_trip(label):
    """What the short form can hold comes back the same; the rest is refused with advice."""
    try:
        text = label.format()
    except ValueError:
        with pytest.raises(ValueError, match="JSONL can"):
            label.format()
        return
    assert label == Label.parse(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("bug", exact("bug")),
        ("bug|install", either("bug", "install")),
        ("!bug", not_("bug")),
        ("!bug|billing", not_("bug", "billing")),
        ("bug+billing", tags("bug", "billing")),
        ("bug+", tags("bug")),
        ("+", tags()),
        ("bug:.7,install:.3", soft({"bug": 0.7, "install": 0.3})),
        ("bug*3,install*1", votes({"bug": 3, "install": 1})),
        ("?", unknown),
        ("", unknown),
        ("  bug ", exact("bug")),
    ],
)
def test_short_form(text, label):
    """The short form of DESIGN 2."""
    assert label == Label.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c++", "JSONL"),
        ("a|b+c", "contains"),
        ("a,b", r"write a\|b"),
        ("a:x", "is no number"),
        ("a|", "a name is empty"),
        ("a|a", "stands there twice"),
    ],
)
def test_short_form_errors(text, message):
    """A cell that has no one reading is refused with what to write."""
    with pytest.raises(ValueError, match=message):
        Label.parse(text)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lable": "a"}, 'did you mean "label"'),
        ({"label": ["a", "b"]}, r"either\('a', 'b'\).*tags\('a', 'b'\)"),
        ({"label": {"a": 1}}, r"soft.*votes"),
        ({"label": -1}, r"unknown.*exact\(-1\)"),
        ({"voters": 3}, "needs 'votes'"),
        ({"absent": ["a"]}, "needs 'tags'"),
        ({"trust": 0.5}, "needs 'label'"),
        ({"tags": ["a"], "rest": 0.5}, "absent"),
        ({"either": ["a"]}, "two or more"),
        ({"not": 1.5}, "list of classes"),
    ],
)
def test_dictionary_errors(keys, message):
    """Wrong keys are refused with what to write."""
    with pytest.raises((ValueError, TypeError), match=message):
        Label.from_dict(keys)
