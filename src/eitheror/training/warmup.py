"""Compile every kernel that training and predicting use, once, into the caches on disk.

There is no list of kernels: tiny models of every kind that `TrainOptions` knows are trained and
predict, so a new loss or trainer is covered from the day it can be chosen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eitheror._kernels.arrays import SHORT, layout
from eitheror._kernels.native import counts
from eitheror._kernels.rows import Rows
from eitheror.decide import ExpectedF1
from eitheror.labels import Labels, either
from eitheror.losses import LOSSES
from eitheror.model import CodedRows, CodedWeight
from eitheror.model.parameters import SparseWeight, rows_product
from eitheror.training.options import FEATURES, OPTIMIZERS, TREE, TrainOptions, model_loss, resolve
from eitheror.training.pair import halve

__all__ = ["DIMS", "Warmth", "warm_up"]

DIMS = (10, 100)  # fastText's default for vectors of words and ours
_N_CLASSES = (3, 40)  # few, and enough to fill vectors
_BLOCK_WEIGHTS = 250_000  # of classes: blocks of texts share them, and threads the blocks
_ROWS = 40
_WIDEST = 1000  # classes: every way to cut a row into vectors comes before
_LARGE = 1000  # repetitions of a text: an input that predicting hands to the kernels


@dataclass(frozen=True)
class Warmth:
    """What `warm_up` did.

    Attributes
    ----------
    compiled, loaded : int
        Versions of kernels that were compiled now, and that were found in a cache: Numba's, or the
        store of machine code that is loaded without Numba (`eitheror._kernels.native`).
    seconds : float
    folders : list of str
        Where the compiled kernels are kept.
    """

    compiled: int
    loaded: int
    seconds: float
    folders: list[str]


def warm_up(
    dims: Sequence[int] = DIMS, progress: Callable[[int, int], None] | None = None
) -> Warmth:
    """Train and predict with tiny models of every kind, so that all kernels get compiled.

    Parameters
    ----------
    dims : sequence of int
        Widths of embeddings; widths with the same number of 16s share their kernels.
    progress : callable, optional
        Called with how many kinds of models are done, and how many there are.

    Returns
    -------
    Warmth

    Raises
    ------
    ValueError
        If a width is not a whole number from 1 up.

    Examples
    --------
    >>> from eitheror.training.warmup import warm_up
    >>> warm_up(dims=[10]).seconds > 0  # doctest: +SKIP
    True
    """
    start = time.perf_counter()
    for dim in dims:
        TrainOptions(dim=dim)  # refuses a width that none can have
    kinds = list(_kinds(dims))
    for done, (options, labels) in enumerate(kinds):
        if progress is not None:
            progress(done, len(kinds))
        _try_out(options, labels)
    _try_blocks(dims)
    _try_files()
    _try_large()
    found = list(_kernels())
    kept = {str(folder) for folder in counts.folders}
    return Warmth(
        sum(sum(kernel.stats.cache_misses.values()) for kernel in found) + counts.made,
        sum(sum(kernel.stats.cache_hits.values()) for kernel in found) + counts.loaded,
        time.perf_counter() - start,
        sorted({str(kernel.stats.cache_path) for kernel in found} | kept),
    )


def _kinds(dims: Sequence[int]) -> Iterator[tuple[TrainOptions, Labels]]:
    """Every kind of model that texts can train: features, loss, optimiser, width, classes."""
    losses = [name for name, loss in LOSSES.items() if loss.trainable and loss.text]
    seen = set()
    choices = product(_features(), [*losses, TREE], OPTIMIZERS, (False, True), dims, _N_CLASSES)
    for features_name, loss_name, optimizer, hogwild, dim, n_classes in choices:
        task = LOSSES[model_loss(loss_name)].task
        width = dim if features_name == "embedding" else None
        try:
            options = TrainOptions(
                features=features_name,
                loss=loss_name,
                optimizer=optimizer,
                hogwild=hogwild,
                dim=width,
                char_ngrams=(3, 3),
                word_ngrams=2,
                bucket=1000,
                epochs=1,
            )
            kind = resolve(options, task, text=True), n_classes
        except ValueError:  # what options refuse together, nobody can train
            continue
        if kind not in seen:
            seen.add(kind)
            yield kind[0], _labels(task, n_classes)


def _features() -> list[str]:
    return [name for name in FEATURES if name not in ("auto", "numeric")]


def _labels(task: str, n_classes: int) -> Labels:
    names = [f"class {number}" for number in range(n_classes)]
    rows: list[Any] = [names[row % 3] for row in range(_ROWS)]
    if task == "multiclass" and n_classes > SHORT + 1:
        rows[-1] = either(*names[: SHORT + 1])
    return Labels(rows, classes=names, task=task)


def _texts() -> list[str]:
    return [f"a text of number {row % 7} and {row % 5}, é" for row in range(_ROWS)]


def _try_out(options: TrainOptions, labels: Labels) -> None:
    """Train and predict with a model of one kind."""
    from eitheror.training.fitting import fit

    texts = _texts()
    model = fit(texts, labels, options, n_jobs=2, valid=(texts[:9], labels[:9]))
    model.predict([f"{texts[0]} " * _LARGE, *texts, *texts])  # a tree: more than a few rows


def _try_blocks(dims: Sequence[int]) -> None:
    """Train embeddings with so many classes that blocks of texts share a pass over them."""
    from eitheror.training.fitting import fit

    texts = _texts()
    for dim, optimizer, n_jobs in product(dims, ("sgd", "adagrad"), (1, 2)):
        labels = _labels("multiclass", -(-_BLOCK_WEIGHTS // dim))
        options = TrainOptions(features="embedding", optimizer=optimizer, dim=dim, epochs=1)
        fit(texts, labels, options, n_jobs=n_jobs, valid=(texts[:9], labels[:9]))


def _try_files() -> None:
    """Train models of either features from a file, piece by piece."""
    from eitheror.training.stream import fit_files

    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.txt"
        rows = enumerate(_texts())
        file.write_text("".join(f"__label__{n % 3} {text}\n" for n, text in rows), encoding="utf-8")
        for features in _features():
            fit_files(file, TrainOptions(features=features, epochs=1))


def _try_large() -> None:
    """Predict with sparse and coded weights and any number of classes, code and cut rows, decide.

    Tiny models of few classes and short texts do none of this.
    """
    from eitheror._kernels.coded import nearest

    rows = Rows.from_dense(np.ones((_LARGE, 40)))
    halve(rows)
    for width in {layout(k)[0]: k for k in range(_WIDEST, 0, -1)}.values():
        rows_product(rows, np.ones((40, width), np.float32))
    rows_product(rows, SparseWeight.from_dense(np.eye(40, dtype=np.float32)))
    ones, zeros = np.ones((39, 1), np.float32), np.zeros((39, 1), np.uint8)
    narrow = np.arange(39, dtype=np.uint16)
    CodedWeight(np.arange(41).clip(max=39), narrow, zeros[:, 0], ones[0], 39).product(rows)
    CodedRows(ones[:1], zeros, ones[:1, :, None], ones[:, 0]).product(rows)
    nearest(ones, ones.T.copy(), zeros[:, 0].copy())
    ExpectedF1().predict(np.full((_LARGE, 200), 0.5))


def _kernels() -> Iterator[Any]:
    """Yield every kernel of this package that has been imported."""
    known = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("eitheror."):
            for value in list(vars(module).values()):
                if hasattr(value, "py_func") and hasattr(value, "stats") and id(value) not in known:
                    known.add(id(value))
                    yield value
