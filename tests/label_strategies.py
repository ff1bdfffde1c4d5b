"""Hypothesis strategies for labels: statements over a few short class names."""

from hypothesis import strategies as st

from eitheror.labels import either, evidence, exact, not_, soft, tags, unknown, votes

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
subsets = st.sets(names, min_size=1, max_size=3)
trusts = st.sampled_from([1.0, 0.95, 0.5, 0.3])
counts = st.dictionaries(names, st.integers(1, 9), min_size=1)


def _shares(weights):
    total = sum(weights.values())
    return {name: value / total for name, value in weights.items()}


hard_exclusive = st.one_of(
    names.map(exact),
    st.sets(names, min_size=2, max_size=4).map(lambda s: either(*s)),
    subsets.map(lambda s: not_(*s)),
    st.just(unknown),
)
"""Statements that rule classes in or out when one class is true."""

weighted = st.one_of(
    st.builds(lambda n, t: exact(n, trust=t), names, trusts),
    st.builds(lambda s, t: not_(*s, trust=t), subsets, trusts),
    st.builds(lambda s, t: either(*s, trust=t), st.sets(names, min_size=2, max_size=3), trusts),
    st.builds(evidence, counts, st.sampled_from([0.0, 0.5, 3.0])),
)

exclusive = st.one_of(hard_exclusive, weighted, counts.map(_shares).map(soft), counts.map(votes))
"""Every statement for `task="multiclass"`."""


@st.composite
def tag_sets(draw):
    """Closed and open worlds, with and without tags known to be absent."""
    present = draw(st.sets(names, max_size=3))
    absent = draw(st.sets(names, max_size=3)) - present
    return tags(*present, absent=absent, rest=draw(st.sampled_from(["absent", "unknown"])))


hard_tags = st.one_of(tag_sets(), hard_exclusive)
"""Statements that rule tags in or out when any number is true."""

multilabel = st.one_of(
    hard_tags,
    st.dictionaries(names, st.sampled_from([0.0, 0.25, 0.9, 1.0]), min_size=1).map(soft),
    counts.map(lambda c: votes(c, voters=9)),
)
"""Every statement for `task="multilabel"`."""

any_label = st.one_of(exclusive, multilabel, st.builds(lambda n: exact(n, rest="unknown"), names))
