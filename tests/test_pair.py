"""Two threads on the same text: the model is that of one, to the last bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eitheror._kernels.arrays import Stretch
from eitheror._kernels.rows import Rows
from eitheror.labels import Labels, either, not_, tags, unknown
from eitheror.training import Checkpoint, TrainOptions, fit
from eitheror.training.embedding import EmbeddingTrainer
from eitheror.training.examples import Examples
from eitheror.training.options import resolve
from eitheror.training.pair import Pace, halve, halves_pay

N_ROWS, N_FEATURES = 120, 700
MULTICLASS = ("softmax", "uniform", "random-pick")


class Always(Pace):
    """Two threads, however busy the machine is; or in turns with one."""

    def __init__(self, texts: int, *, turns: bool = False) -> None:
        super().__init__(2)
        self.turns, self.most = turns, texts

    @property
    def texts(self) -> int:
        """Texts of each block."""
        return self.most

    def ran(self, busy: float) -> None:
        """Change over."""
        assert 0.0 <= busy
        self.together = not self.together if self.turns else True


def features(dim: int, seed: int = 0) -> Rows:
    """Rows of any length, some empty, few features frequent and some twice in a row."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 2 + 12_000 // dim, N_ROWS)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = (N_FEATURES * random.random(indptr[-1]) ** 3).astype(np.int32)
    return Rows(indptr, indices, None, N_FEATURES)


def examples(task: str, n_classes: int, dim: int) -> Examples:
    """Rows with statements of every kind."""
    names = [f"c{k:02}" for k in range(n_classes)]
    random = np.random.default_rng(1)
    one, two = random.integers(0, n_classes, (2, N_ROWS))
    if task == "multiclass":
        kinds = [
            lambda k, m: names[k],
            lambda k, m: either(names[k], names[(k + 1) % n_classes]),
            lambda k, m: not_(names[m]),
            lambda k, m: unknown,
        ]
    else:
        kinds = [lambda k, m: tags(names[k], names[m]), lambda k, m: tags(names[k])]
    said = [kinds[i % len(kinds)](k, m) for i, (k, m) in enumerate(zip(one, two, strict=True))]
    labels = Labels(said, classes=names, task=task)
    weight = random.uniform(0.5, 1.5, N_ROWS).astype(np.float32)
    return Examples(features(dim), labels.sparse(), weight)


def trained(
    pace: Pace | None, task: str, n_classes: int, n_jobs: int = 2, **given: Any
) -> tuple[list[float], dict[str, bytes]]:
    """Train two epochs; the losses, and every array of the trainer as bytes."""
    options = TrainOptions(**{"features": "embedding", "epochs": 2, "lr": 0.5, **given})
    plan = resolve(options, task, text=True, n_samples=N_ROWS)
    data = examples(task, n_classes, given["dim"])
    bias = np.zeros(n_classes, np.float32)
    model = EmbeddingTrainer(N_FEATURES, bias, plan, class_weight=None, n_jobs=n_jobs)
    assert halves_pay(data.rows, model.embedding.shape[1])
    if pace is not None:
        model.pace = pace
    order = np.random.default_rng(2).permutation(data.speaking())
    losses = [model.epoch(data, order, number) for number in range(2)]
    return losses, {name: array.tobytes() for name, array in model.state().items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("n_classes", [4, 20])
@pytest.mark.parametrize(
    ("loss", "dim"),
    [
        ("softmax", 10), ("softmax", 16), ("softmax", 33), ("softmax", 100), ("softmax", 200),
        ("uniform", 33), ("random-pick", 100), ("ova", 10), ("ova-n", 100), ("pal", 33),
        ("pal-n", 16), ("pol", 100),
    ],
)  # fmt: skip
def test_two_threads_train_the_model_of_one(
    loss: str, dim: int, n_classes: int, optimizer: str
) -> None:
    """Losses and every array have the same bits, for each loss, width and layout of classes."""
    task = "multiclass" if loss in MULTICLASS else "multilabel"
    given = {"loss": loss, "dim": dim, "optimizer": optimizer}
    expected = trained(None, task, n_classes, 1, **given)
    assert expected == trained(Always(50), task, n_classes, **given)


@pytest.mark.parametrize("n_jobs", [2, 3, 8])
def test_any_number_of_threads_trains_the_model_of_one(n_jobs: int) -> None:
    """Left to itself, a trainer ends in the same bits with any number of threads."""
    given: dict[str, Any] = {"loss": "softmax", "dim": 100}
    expected = trained(None, "multiclass", 5, 1, **given)
    assert expected == trained(None, "multiclass", 5, n_jobs, **given)


@pytest.mark.parametrize("texts", [1, 7, 64])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_change_of_threads_in_mid_epoch_changes_nothing(optimizer: str, texts: int) -> None:
    """Blocks of any size by one thread and by two in turns end where one thread does."""
    given = {"loss": "softmax", "dim": 40, "optimizer": optimizer}
    expected = trained(None, "multiclass", 5, 1, **given)
    assert expected == trained(Always(texts, turns=True), "multiclass", 5, **given)


def test_halves_are_cut_by_number_and_stay() -> None:
    """A row keeps its features, either half its order, and cutting again changes nothing."""
    rows = features(40)
    before = [list(part) for part in np.split(rows.indices.copy(), rows.indptr[1:-1])]
    middle = halve(rows)
    after = [list(part) for part in np.split(rows.indices.copy(), rows.indptr[1:-1])]
    cut = max(max(row[:n], default=0) for row, n in zip(after, middle, strict=True)) + 1
    for old, new, n in zip(before, after, middle, strict=True):
        assert [x for x in old if x < cut] == new[:n]
        assert [x for x in old if x >= cut] == new[n:]
    assert 0.4 < middle.sum() / len(rows.indices) < 0.6
    np.testing.assert_array_equal(middle, halve(rows))
    assert after == [list(part) for part in np.split(rows.indices, rows.indptr[1:-1])]


@pytest.mark.parametrize("thread", [0, 1])
def test_a_thread_that_fails_does_not_leave_the_other_waiting(thread: int) -> None:
    """What stops one thread is raised, and the other ends as well."""
    options = TrainOptions(features="embedding", epochs=1, loss="softmax", dim=40)
    plan = resolve(options, "multiclass", text=True, n_samples=N_ROWS)
    data, bias = examples("multiclass", 4, 40), np.zeros(4, np.float32)
    model = EmbeddingTrainer(N_FEATURES, bias, plan, class_weight=None, n_jobs=2)
    stretch = Stretch(0, N_ROWS, -1, 0.0, halve(data.rows), np.empty((0, 0), np.float32))

    def work(shift: int, outputs: Any, common: Any, stretch: Stretch) -> float:
        if stretch.thread == thread:
            raise MemoryError("no room")
        return model._pass(data, 0, np.arange(N_ROWS), shift, outputs, common, stretch)

    with ThreadPoolExecutor(1) as pool, pytest.raises(MemoryError, match="no room"):
        model._together(pool, work, stretch)


def texts_and_labels(n: int = 60) -> tuple[list[str], Labels]:
    """Texts of many words, and one of three names each."""
    random = np.random.default_rng(3)
    names = [f"c{k}" for k in random.integers(0, 3, n)]
    words = [f"w{k}" for k in range(300)]
    texts = [f"{name} " + " ".join(random.choice(words, 30)) for name in names]
    return texts, Labels(names, classes=["c0", "c1", "c2"])


@pytest.mark.parametrize("options", [{"patience": 2}, {"optimizer": "adagrad"}])
def test_fits_agree_and_resume_on_another_number_of_threads(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """A run stopped on two threads goes on alone to the bytes of one that never stopped."""
    texts, labels = texts_and_labels()
    plan = TrainOptions(features="embedding", dim=80, epochs=5, word_ngrams=2, **options)
    expected = fit(texts, labels, plan, n_jobs=1).parameters.tensors()
    at = Checkpoint(tmp_path / "checkpoint", every=2)

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(texts, labels, plan, n_jobs=2, checkpoint=at, progress=stop)
    resumed = fit(texts, labels, plan, n_jobs=1, checkpoint=at, resume=True).parameters.tensors()
    assert {k: a.tobytes() for k, a in expected.items()} == {
        k: a.tobytes() for k, a in resumed.items()
    }


def test_going_on_agrees_as_well() -> None:
    """A model that learns new rows is the same for any number of threads."""
    texts, labels = texts_and_labels()
    plan = TrainOptions(features="embedding", dim=80, epochs=2, word_ngrams=2)
    ends = []
    for n_jobs in (1, 2):
        first = fit(texts[:40], labels[:40], plan, n_jobs=n_jobs)
        later = fit(texts[40:], labels[40:], plan, n_jobs=n_jobs, warm_start=first)
        ends.append({k: a.tobytes() for k, a in later.parameters.tensors().items()})
    assert ends[0] == ends[1]


def test_blocks_go_on_alone_where_threads_are_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a pass in which threads waited one makes the next ones, to the same bits."""
    texts = [f"w{k} w{k // 3}" for k in range(90)]
    labels = Labels([f"c{k % 40}" for k in range(90)])
    options = TrainOptions(features="embedding", dim=1300, epochs=4)
    expected = fit(texts, labels, options)
    together: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, n_threads: int) -> None:
            together.append(n_threads)
            super().__init__(n_threads)

    monkeypatch.setattr("eitheror.training.blocked.ThreadPoolExecutor", Pool)
    for share, passes in ((2.0, [3]), (-1.0, [3, 3, 3, 3])):  # all are too little; none is
        together.clear()
        monkeypatch.setattr("eitheror.training.blocked._BUSY", share)
        model = fit(texts, labels, options, n_jobs=3)
        assert passes == together
        assert expected.options == model.options
        np.testing.assert_array_equal(expected.parameters.weight, model.parameters.weight)
