"""`EmbeddingTrainer`: where it starts, what it hands over, and threads with copies of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eitheror._kernels.arrays import Features, Stretch, embedding_room
from eitheror._kernels.embedding import Common, aligned, class_layout, embedding_epoch, layout
from eitheror._kernels.losses import CODES
from eitheror._kernels.rows import Rows
from eitheror.labels import Labels, either, not_
from eitheror.training import Checkpoint, TrainOptions, fit
from eitheror.training.continuing import Start
from eitheror.training.embedding import EmbeddingTrainer
from eitheror.training.examples import Examples
from eitheror.training.options import resolve

N_FEATURES, N_ROWS = 900, 600
NOTHING = np.empty(0, np.float32)
NO_TABLE = np.empty((0, 0), np.float32)
_SHARED = NO_TABLE, NOTHING, NOTHING, NO_TABLE, NOTHING
ALONE = Common(*_SHARED, *_SHARED, 0, 0)


def examples(n_classes: int, seed: int = 0) -> Examples:
    """Rows whose class is named by two of their ten features; some statements are partial."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_classes, N_ROWS)
    indices = random.integers(2 * n_classes, N_FEATURES, (N_ROWS, 10))
    indices[:, 0], indices[:, 5] = truth, n_classes + truth
    names = [f"c{k:02}" for k in range(n_classes)]
    kinds = [
        lambda k: names[k],
        lambda k: either(names[k], names[(k + 1) % n_classes]),
        lambda k: names[k],
        lambda k: not_(names[(k + 2) % n_classes]),
    ]
    labels = Labels([kinds[i % 4](k) for i, k in enumerate(truth)], classes=names)
    indptr = np.arange(N_ROWS + 1, dtype=np.int64) * 10
    rows = Rows(indptr, indices.ravel().astype(np.int32), None, N_FEATURES)
    return Examples(rows, labels.sparse(), np.ones(N_ROWS, np.float32))


def trainer(n_classes: int, n_jobs: int = 1, **given: Any) -> EmbeddingTrainer:
    """Make a trainer of a few epochs."""
    options = TrainOptions(**{"features": "embedding", "dim": 12, "epochs": 4, "lr": 0.5, **given})
    plan = resolve(options, "multiclass", text=True, n_samples=N_ROWS)
    bias = np.zeros(n_classes, np.float32)
    return EmbeddingTrainer(N_FEATURES, bias, plan, class_weight=None, n_jobs=n_jobs)


@pytest.mark.parametrize("dim", [12, 100])
def test_embeddings_start_uniform(dim: int) -> None:
    """Rows start as one draw of numbers in [-1/dim, 1/dim], and the output rows at 0."""
    start = trainer(3, dim=dim, seed=5).parameters()
    draws = np.random.default_rng([5, 0]).random((N_FEATURES, dim), dtype=np.float32)
    np.testing.assert_array_equal(start.embedding, (2.0 * draws - 1.0) / np.float32(dim))
    assert not start.weight.any()


@pytest.mark.parametrize(
    ("n_old", "n_new"), [(3, 3), (3, 15), (10, 20), (15, 16), (16, 40), (33, 33)]
)
def test_a_model_is_carried_over_whichever_way_the_weights_lie(n_old: int, n_new: int) -> None:
    """Old classes keep their rows, new ones start at 0, and what is padding stays 0."""
    first = trainer(n_old)
    first.epoch(examples(n_old), np.arange(N_ROWS), 0)
    before = first.parameters()
    later = trainer(n_new)
    nothing: Any = None  # no text is read
    Start(nothing, np.arange(N_FEATURES), before).carry_over(later)
    after = later.parameters()
    assert before.weight.any()
    np.testing.assert_array_equal(before.embedding, after.embedding)
    np.testing.assert_array_equal(before.weight, after.weight[:n_old])
    assert not after.weight[n_old:].any()
    assert np.count_nonzero(before.weight) == np.count_nonzero(later.weight)


def test_many_classes_lie_along_the_vector() -> None:
    """The table is turned from 16 classes on, and padded to whole vectors."""
    assert class_layout(15, 12, 16) == (False, (15, 16))
    assert class_layout(16, 12, 16) == (True, (12, 32))
    assert class_layout(33, 12, 16) == (True, (12, 64))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("dim", [10, 100])
def test_merging_changes_nothing_for_one_thread(dim: int, optimizer: str) -> None:
    """Copies that are merged every few texts end where training in place does."""
    n_hot, n_classes = 50, 5
    data = examples(n_classes)
    features, targets = data.arrays()
    chunks, width = layout(dim)
    table = aligned(N_FEATURES + n_hot, width)
    table[:N_FEATURES, :dim] = np.random.default_rng(1).standard_normal((N_FEATURES, dim)) / dim
    table[N_FEATURES:] = table[:n_hot]
    sums = np.full(len(table) if optimizer == "adagrad" else 0, 0.01, np.float32)
    class_sums = np.full(n_classes if optimizer == "adagrad" else 0, 0.01, np.float32)
    shared = aligned(n_classes, width), np.zeros(n_classes, np.float32), class_sums.copy()
    ends = []
    for merged in (False, True):
        rows, squares = table.copy(), sums.copy()
        own = [array.copy() for array in shared]
        now = *shared, rows[:n_hot], squares[:n_hot]
        common = Common(*now, *(a.copy() for a in now), 7, 3) if merged else ALONE
        embedding_epoch(
            np.arange(N_ROWS), Features(*features), targets, NOTHING, rows, own[0], own[1], squares,
            own[2], chunks, dim, False, n_hot if merged else 0, N_FEATURES, common,
            Stretch(0, N_ROWS, -1, 0.0, np.empty(0, np.int32), NO_TABLE), CODES["softmax"],
            0.5, 0.1, 0.0, 0, 0, embedding_room(n_classes, width, width),
        )  # fmt: skip
        weight, bias, _ = shared if merged else own
        ends.append((rows[:N_FEATURES], weight, bias))
    for plain, split in zip(*ends, strict=True):
        assert plain.any()
        np.testing.assert_allclose(split, plain, atol=1e-4)


@pytest.mark.parametrize("n_classes", [4, 20])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("n_jobs", [2, 12])
def test_hogwild_learns_as_well(n_classes: int, optimizer: str, n_jobs: int) -> None:
    """Threads with copies of the frequent rows end at about the loss of one, few or many."""
    data, ends = examples(n_classes), {}
    order = np.random.default_rng(3).permutation(N_ROWS)
    for hogwild in (False, True):
        model = trainer(n_classes, n_jobs, optimizer=optimizer, hogwild=hogwild, epochs=12)
        losses = [model.epoch(data, order, number) for number in range(12)]
        assert losses[-1] < 0.8 * losses[0]
        ends[hogwild] = model.loss(data, order)
    assert ends[True] < 1.5 * ends[False]


@pytest.mark.parametrize("options", [{"dim": 100}, {"optimizer": "adagrad", "patience": 3}])
def test_many_classes_resume_to_the_same_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    """With turned output weights, a run that goes on ends as one that was never stopped."""
    random = np.random.default_rng(0)
    names = [f"c{k:02}" for k in range(20)]
    truth = [names[k] for k in random.integers(0, 20, 80)]
    texts = [f"{name} {random.integers(30)} {random.integers(30)}" for name in truth]
    plan = TrainOptions(features="embedding", epochs=6, **options)
    whole = fit(texts, Labels(truth, classes=names), plan)
    at = Checkpoint(tmp_path / "checkpoint", every=2)

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 3:
            raise Stop

    with pytest.raises(Stop):
        fit(texts, Labels(truth, classes=names), plan, checkpoint=at, progress=stop)
    resumed = fit(texts, Labels(truth, classes=names), plan, checkpoint=at, resume=True)
    for name, array in whole.parameters.tensors().items():
        assert array.tobytes() == resumed.parameters.tensors()[name].tobytes()
