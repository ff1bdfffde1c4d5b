"""What the tests draw from: logits and targets of every kind, for Hypothesis and in bulk.

Hypothesis finds the awkward small case; the bulk draws (`draw_logits`, `draw_targets`) fill the
accuracy tables with thousands of rows.
"""

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra.numpy import arrays

__all__ = ["draw_logits", "draw_targets", "logits", "problems", "targets"]


def logits(n_samples, n_classes, bound=30.0):
    """Finite logits, shape (n_samples, n_classes)."""
    numbers = st.floats(-bound, bound) | st.sampled_from([0.0, 1.0, -bound, bound])
    return arrays(np.float64, (n_samples, n_classes), elements=numbers)


def _evidence_rows(n_classes):
    weight = st.sampled_from([0.0, 1.0, 1.0]) | st.floats(0.015625, 1.0)
    rows = st.lists(weight, min_size=n_classes, max_size=n_classes)
    return st.tuples(rows, st.integers(0, n_classes - 1)).map(
        lambda drawn: [1.0 if k == drawn[1] else w for k, w in enumerate(drawn[0])]
    )


def _exact_rows(n_classes):
    return st.integers(0, n_classes - 1).map(lambda k: list(np.eye(n_classes)[k]))


def _share_rows(n_classes):
    amounts = st.lists(st.integers(0, 20), min_size=n_classes, max_size=n_classes)
    return amounts.filter(lambda counts: sum(c > 0 for c in counts) > 1).map(
        lambda counts: list(np.array(counts) / sum(counts))
    )


def _tag_rows(n_classes):
    entry = st.sampled_from([0.0, 1.0, np.nan]) | st.floats(0.015625, 1.0)
    return st.lists(entry, min_size=n_classes, max_size=n_classes)


def _mask_rows(n_classes):
    rows = st.lists(st.sampled_from([0.0, 1.0]), min_size=n_classes, max_size=n_classes)
    return rows.filter(any)


def targets(task, n_samples, n_classes):
    """Valid targets of a task, or masks for the task "group"; shape (n_samples, n_classes)."""
    rows = {
        "multiclass": st.one_of(
            _exact_rows(n_classes),
            _evidence_rows(n_classes),
            _share_rows(n_classes),
            st.just([1.0] * n_classes),
        ),
        "multilabel": _tag_rows(n_classes),
        "group": _mask_rows(n_classes),
    }[task]
    return st.lists(rows, min_size=n_samples, max_size=n_samples).map(np.array)


@st.composite
def problems(draw, task, bound=30.0):
    """Logits and targets of a task, of a small shape."""
    shape = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    return draw(logits(*shape, bound=bound)), draw(targets(task, *shape))


def draw_logits(rng, n_samples, n_classes):
    """Logits of mixed scales up to 1e4: spread, crowded far from 0, tied, one far from the rest."""
    scale = 10.0 ** rng.uniform(-2, 4, (n_samples, 1))
    spread = rng.standard_normal((n_samples, n_classes)) * scale
    crowded = rng.standard_normal((n_samples, n_classes)) + rng.choice([-9e3, 9e3], (n_samples, 1))
    tied = rng.integers(-2, 3, (n_samples, n_classes)) * np.round(scale)
    lone = rng.standard_normal((n_samples, n_classes))
    column = rng.integers(0, n_classes, n_samples)
    lone[np.arange(n_samples), column] += rng.uniform(-200, 200, n_samples)
    kind = rng.integers(0, 6, (n_samples, 1))
    drawn = np.select([kind <= 2, kind == 3, kind == 4], [spread, crowded, tied], lone)
    return np.clip(drawn, -1e4, 1e4)


def draw_targets(rng, task, n_samples, n_classes):
    """Targets of every kind of a task, or masks for "group"."""
    shape = n_samples, n_classes
    sure = np.eye(n_classes)[rng.integers(0, n_classes, n_samples)]
    half = rng.random(shape) < rng.random((n_samples, 1))
    kind = rng.integers(0, 5, (n_samples, 1))
    if task == "group":
        return np.maximum(half, sure)
    if task == "multilabel":
        fractions = rng.uniform(1 / 16, 15 / 16, shape)
        open_world = np.where(rng.random(shape) < 0.3, np.nan, half)
        return np.select([kind == 0, kind == 1, kind == 2], [sure, half, open_world], fractions)
    trusted = np.where(np.maximum(half, sure) == 1, 1.0, 1 - rng.uniform(0, 1, (n_samples, 1)))
    weights = np.maximum(sure, 10.0 ** -rng.exponential(2.0, shape))
    shares = rng.dirichlet(np.ones(n_classes), n_samples)
    choices = [sure, np.maximum(half, sure), trusted, weights]
    return np.select([kind == 0, kind == 1, kind == 2, kind == 3], choices, shares)
