"""Sets of many classes as bits: the same statement as the list, in every trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eitheror._kernels.arrays import CODES, SHORT, Targets
from eitheror._kernels.losses import row_gradient
from eitheror._kernels.marks import MARKED
from eitheror._kernels.rows import Rows
from eitheror.labels import Label, Labels, either, evidence, exact, not_, unknown
from eitheror.losses import LOSSES
from eitheror.training.blocked import BlockedTrainer
from eitheror.training.embedding import EmbeddingTrainer
from eitheror.training.examples import Examples
from eitheror.training.linear import LinearTrainer
from eitheror.training.options import TrainOptions, resolve

SOFTMAX = CODES["softmax"]


def long_sets(n_classes: int) -> Labels:
    """Sets and denied sets of many sizes, trusted and not."""
    random = np.random.default_rng(n_classes)
    names = [f"c{k}" for k in range(n_classes)]
    rows: list[Label] = []
    for size in [2, SHORT + 1, n_classes // 2, n_classes - 1] * 3:
        some = [names[k] for k in random.choice(n_classes, size, replace=False)]
        rows += [either(*some), not_(*some), either(*some, trust=0.8), not_(*some, trust=0.7)]
    return Labels(rows, classes=names, task="multiclass")


def examples(labels: Labels) -> Examples:
    """Rows of one feature each, with these labels."""
    n = len(labels)
    rows = Rows(np.arange(n + 1), np.zeros(n, np.int32), np.ones(n, np.float32), 1)
    return Examples(rows, labels.sparse(), np.ones(n, np.float32))


def run(targets: Targets, row: int, logits: np.ndarray, smoothing: float) -> tuple[float, list]:
    """Value and gradient of a row; the logits must come back unchanged."""
    before, out = logits.copy(), np.full_like(logits, 7.0)
    room, none = np.empty(len(logits)), np.empty(0, np.float32)
    value = row_gradient(SOFTMAX, row, targets, logits, 0, none, smoothing, 0.0, room, out)
    np.testing.assert_array_equal(before, logits)
    return value, out.tolist()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("n_classes", [20, 32, 33, 77])
def test_bits_equal_the_reference(n_classes: int, smoothing: float) -> None:
    """Value and gradient are those of `eitheror.losses`, at logits of any size."""
    labels = long_sets(n_classes)
    _, targets = examples(labels).arrays_for(SOFTMAX)
    dense, loss = labels.to_targets(), LOSSES["softmax"]
    random = np.random.default_rng(1)
    assert np.count_nonzero(targets.mode == MARKED) > len(labels) // 2
    for scale in (0.0, 1.0, 20.0, 300.0):
        logits = (scale * random.standard_normal(dense.shape)).astype(np.float32)
        wide = logits.astype(np.float64)
        values = loss.value(wide, dense, label_smoothing=smoothing)
        slopes = loss.gradient(wide, dense, label_smoothing=smoothing)
        for row in range(len(labels)):
            value, gradient = run(targets, row, logits[row], smoothing)
            assert value == pytest.approx(values[row], rel=2e-5, abs=2e-5)
            np.testing.assert_allclose(gradient, slopes[row], rtol=2e-5, atol=2e-6)


def test_bits_are_the_classes_of_the_list() -> None:
    """Each marked row has the bits of its classes and their number; other rows are as they were."""
    labels = Labels(
        [
            either(*"abcdefghijk"),
            exact("b"),
            unknown,
            not_(*"bcdefghijkl", trust=0.5),
            evidence({**dict.fromkeys("abcdefghij", 0.5), "k": 1.0}),
        ],
        classes=list("abcdefghijklm"),
    )
    rows = examples(labels)
    (_, lists), (_, bits) = rows.arrays(), rows.arrays_for(SOFTMAX)
    assert bits.mode.tolist() == [MARKED, 1, 0, MARKED, 1]
    assert np.diff(bits.indptr).tolist() == [1, 1, 0, 1, 11]
    assert bits.indices[:3].tolist() == [0b11111111111, 1, 0b111111111110]
    assert bits.values[:3].tolist() == [1.0, 1.0, 0.5]
    assert bits.indices[3:].tolist() == list(range(11))
    np.testing.assert_array_equal(bits.values[3:], lists.values[-11:])
    np.testing.assert_array_equal(bits.rest, lists.rest)


@pytest.mark.parametrize("loss", ["uniform", "random-pick"])
def test_other_losses_read_the_list(loss: str) -> None:
    """What treats the classes of a set one by one is given them one by one."""
    rows = examples(long_sets(20))
    _, targets = rows.arrays_for(CODES[loss])
    np.testing.assert_array_equal(targets.indices, rows.targets.indices)


@pytest.mark.parametrize("trainer", [LinearTrainer, EmbeddingTrainer, BlockedTrainer])
def test_every_trainer_reads_the_bits(trainer: Any) -> None:
    """The loss of a new model, whose logits are its intercepts, is the reference's sum."""
    labels = long_sets(40)
    rows = examples(labels)
    features = "tfidf" if trainer is LinearTrainer else "embedding"
    options = resolve(TrainOptions(features=features), "multiclass", text=True, n_samples=len(rows))
    bias = np.random.default_rng(0).standard_normal(40).astype(np.float32)
    more = {"separable": False} if trainer is LinearTrainer else {}
    made = trainer(1, bias.copy(), options, class_weight=None, n_jobs=1, **more)
    logits = np.tile(bias.astype(np.float64), (len(rows), 1))
    expected = LOSSES["softmax"].value(logits, labels.to_targets()).sum()
    assert made.loss(rows, np.arange(len(rows))) == pytest.approx(expected, rel=1e-5)
