"""Trainer of averaged embeddings (fastText's model): the parameters and what one epoch does.

Two threads share each text where that pays (`pair`), and many share the rows with `hogwild`.

Every embedding row starts at random, uniform in [-1/dim, 1/dim]; the output rows start at 0. Rows
are padded with zeros to the vector size, and padding stays zero by itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import (
    CODES,
    EVALUATION,
    Common,
    Room,
    Stretch,
    aligned,
    class_layout,
    embedding_room,
    layout,
    meeting_place,
)
from eitheror._kernels.native import native
from eitheror.model import EmbeddingParameters
from eitheror.training.examples import Examples
from eitheror.training.options import TrainOptions, learning_rates
from eitheror.training.pair import Pace, halve, halves_pay, with_share

__all__ = ["ADAGRAD_START", "EmbeddingTrainer", "random_embedding", "unpadded"]

ADAGRAD_START = 1e-3
"""Where the sums of squared gradients start."""
_MERGE_ROWS = 512  # of all threads together: what they learn apart is added up
_HOT_ROWS = 512
_DRAWN_ROWS = 1024
_NO_MIDDLE, _NO_SLOTS = np.empty(0, np.int32), np.empty((0, 0), np.float32)

Floats = NDArray[np.float32]
_Outputs = tuple[Floats, Floats, Floats]


def random_embedding(rows: Floats, dim: int, seed: int) -> None:
    """Fill the first `dim` columns of padded rows with numbers uniform in [-1/dim, 1/dim]."""
    random = np.random.default_rng([seed, 0])
    draws = np.empty((_DRAWN_ROWS, dim), np.float32)
    for first in range(0, len(rows), _DRAWN_ROWS):  # a few rows at a time, to save memory
        part = rows[first : first + _DRAWN_ROWS, :dim]
        drawn = draws[: len(part)]
        random.random(out=drawn, dtype=np.float32)
        np.multiply(drawn, np.float32(2.0), out=drawn)
        np.subtract(drawn, np.float32(1.0), out=drawn)
        np.divide(drawn, np.float32(dim), out=part)


def unpadded(table: Floats, dim: int) -> Floats:
    """Close the gaps between the rows of a padded table, in its own memory, and return the rows.

    Parameters
    ----------
    table : float32 array of shape (n, width), C-contiguous
        Not to be used any more.
    dim : int
        Numbers of a row that are not padding.

    Returns
    -------
    float32 array of shape (n, dim)

    Examples
    --------
    >>> unpadded(np.arange(12, dtype=np.float32).reshape(3, 4), 2).tolist()
    [[0.0, 1.0], [4.0, 5.0], [8.0, 9.0]]
    """
    n = len(table)
    rows = table.reshape(-1)[: n * dim].reshape(n, dim)
    for first in range(0, n, _DRAWN_ROWS):  # a row never moves over one that is still to come
        part = slice(first, first + _DRAWN_ROWS)
        rows[part] = table[part, :dim]
    return rows


def _own(array: Floats) -> Floats:
    """Copy an array to cache lines of its own."""
    copy = aligned(1, -(-array.size // 16) * 16 + 16)[0, : array.size].reshape(array.shape)
    copy[...] = array
    return copy


class EmbeddingTrainer:
    """Embeddings and output weights under training.

    Parameters
    ----------
    n_features : int
    bias : float32 array of shape (n_classes,)
        Where the intercepts start.
    options : TrainOptions
        Resolved.
    class_weight : float32 array of shape (n_classes,) or None
        Factor of each class's gradient.
    n_jobs : int
        Threads: two work together on texts of many features and wide rows, which changes nothing
        but the time; `hogwild` uses all.
    """

    def __init__(
        self,
        n_features: int,
        bias: Floats,
        options: TrainOptions,
        *,
        class_weight: Floats | None,
        n_jobs: int,
    ) -> None:
        self.options = options
        self.n_jobs = n_jobs
        self.code = CODES[options.loss]
        assert options.dim is not None
        self.dim = options.dim
        self.chunks, width = layout(self.dim)
        self.n_features = n_features
        # Below the features' rows lie the threads' own copies of the frequent ones.
        self.n_hot = min(_HOT_ROWS, n_features) if options.hogwild and n_jobs > 1 else 0
        self._table = aligned(n_features + n_jobs * self.n_hot, width)
        self.embedding = self._table[:n_features]
        self.bias = np.array(bias, np.float32)
        self.turned, shape = class_layout(len(bias), self.dim, width)
        self.weight = aligned(*shape)
        random_embedding(self.embedding, self.dim, options.seed)
        adaptive = options.optimizer == "adagrad"
        self.squares = np.full(len(self._table) if adaptive else 0, ADAGRAD_START, np.float32)
        self.weight_squares = np.full(len(bias) if adaptive else 0, ADAGRAD_START, np.float32)
        self.class_weight = np.zeros(0, np.float32) if class_weight is None else class_weight
        self.pace = Pace(n_jobs)
        self._halved: tuple[weakref.ref[Examples], NDArray[np.int32]] | None = None

    def _weight_rows(self) -> Floats:
        """View the output weights as (n_classes, dim)."""
        rows = self.weight.T if self.turned else self.weight
        return rows[: len(self.bias), : self.dim]

    def epoch(self, examples: Examples, order: NDArray[np.int64], number: int) -> float:
        """One pass over the rows of `order`; returns the weighted sum of their losses.

        The features of each row may change places, in the arrays of `examples`.
        """
        if self.n_hot:
            return self._apart(examples, order, number)
        middle = self._middle(examples)
        work = partial(self._pass, examples, number, order)
        if not (self.pace.possible and len(middle)):
            whole = Stretch(0, len(order), -1, 0.0, middle, _NO_SLOTS)
            return work(*self._alone(), whole)
        done, loss = 0, 0.0
        with ThreadPoolExecutor(1) as pool:
            while done < len(order):
                stop = min(done + self.pace.texts, len(order))
                stretch, busy = Stretch(done, stop, -1, loss, middle, _NO_SLOTS), 0.0
                if self.pace.together:
                    loss, busy = self._together(pool, work, stretch)
                else:
                    loss = work(*self._alone(), stretch)
                self.pace.ran(busy)
                done = stop
        return loss

    def _apart(self, examples: Examples, order: NDArray[np.int64], number: int) -> float:
        """Let every thread visit rows of its own."""
        parts = np.array_split(order, self.n_jobs)
        whole = [Stretch(0, len(part), -1, 0.0, _NO_MIDDLE, _NO_SLOTS) for part in parts]
        shares = [self._share(thread) for thread in range(self.n_jobs)]
        with ThreadPoolExecutor(self.n_jobs) as pool:
            work = partial(self._pass, examples, number)
            return float(sum(pool.map(work, parts, *zip(*shares, strict=True), whole)))

    def _middle(self, examples: Examples) -> NDArray[np.int32]:
        """Return how many features of each row are in its first half; none if it is not cut."""
        if self._halved is None or self._halved[0]() is not examples:
            pays = halves_pay(examples.rows, self.embedding.shape[1])
            middle = halve(examples.rows) if pays else _NO_MIDDLE
            self._halved = weakref.ref(examples), middle
        return self._halved[1]

    def _together(
        self, pool: Executor, work: Callable[..., float], stretch: Stretch
    ) -> tuple[float, float]:
        """Visit rows on two threads; returns the loss, and the least share of the time one ran.

        The second thread makes the steps of the output weights as well, in a copy.
        """
        slots = meeting_place(self.dim, self.embedding.shape[1])

        def half(thread: int, outputs: _Outputs) -> tuple[float, float]:
            own = stretch._replace(thread=thread, slots=slots)
            try:
                return with_share(partial(work, 0, outputs, self._alone()[2], own))
            except BaseException:
                slots[-1] = 1.0  # or the other would wait forever
                raise

        outputs = self.weight, self.bias, self.weight_squares
        try:
            second = pool.submit(half, 1, (_own(self.weight), _own(self.bias), _own(outputs[2])))
            loss, busy = half(0, outputs)
        except BaseException:
            slots[-1] = 1.0
            raise
        return loss, min(busy, second.result()[1])

    def _alone(self) -> tuple[int, _Outputs, Common]:
        nothing, table = np.empty(0, np.float32), np.empty((0, 0), np.float32)
        arrays = (table, nothing, nothing, table, nothing)
        return 0, (self.weight, self.bias, self.weight_squares), Common(*arrays, *arrays, 0, 0)

    def _share(self, thread: int) -> tuple[int, _Outputs, Common]:
        """Make one thread's copies of what every text touches; they are merged now and then.

        These are the output weights and the embeddings of frequent words. If threads wrote to the
        same ones, each would wait for the other's cache and two would be slower than one.
        """
        shift, n_hot = self.n_features + thread * self.n_hot, self.n_hot
        outputs = self.weight, self.bias, self.weight_squares
        now = *outputs, self._table[:n_hot], self.squares[:n_hot]
        for array in (self._table, self.squares):
            array[shift : shift + n_hot] = array[:n_hot]
        every = max(1, _MERGE_ROWS // self.n_jobs)
        # Threads merge at different moments, as one would write what another reads.
        phase = thread * every // self.n_jobs + 1
        old_weight, old_bias, old_squares, old_rows, old_row_squares = (a.copy() for a in now)
        old = old_weight, old_bias, old_squares, old_rows, old_row_squares
        common = Common(*now, *old, every, phase)
        weight, bias, squares = (_own(array) for array in outputs)
        return shift, (weight, bias, squares), common

    def _pass(
        self,
        examples: Examples,
        number: int,
        order: NDArray[np.int64],
        hot_shift: int,
        outputs: _Outputs,
        common: Common,
        stretch: Stretch,
    ) -> float:
        """Visit rows during an epoch; `outputs` are the output weights, bias and squares."""
        options = self.options
        rates = learning_rates(options, number)
        features, targets = examples.arrays_for(self.code)
        weight, bias, weight_squares = outputs
        loss: float = native("embedding").embedding_epoch(
            order,
            features,
            targets,
            self.class_weight,
            self._table,
            weight,
            bias,
            self.squares,
            weight_squares,
            self.chunks,
            self.dim,
            self.turned,
            self.n_hot,
            hot_shift,
            common,
            stretch,
            self.code,
            *rates,
            options.label_smoothing,
            options.seed,
            number,
            self._room(),
        )
        return loss

    def _room(self) -> Room:
        return embedding_room(len(self.bias), self.weight.shape[1], self.embedding.shape[1])

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Weighted sum of the statement losses of the rows of `order`."""
        loss: float = native("embedding").embedding_loss(
            order,
            *examples.arrays_for(EVALUATION[self.code]),
            self.embedding,
            self.weight,
            self.bias,
            self.chunks,
            self.turned,
            EVALUATION[self.code],
            self._room(),
        )
        return loss

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array that the next epoch starts from, by name; the arrays themselves."""
        return {
            "embedding": self.embedding,
            "weight": self.weight,
            "bias": self.bias,
            "squares": self.squares[: self.n_features],
            "weight_squares": self.weight_squares,
        }

    def parameters(self) -> EmbeddingParameters:
        """Return the model's parameters, in the trainer's memory: it cannot go on from here."""
        return EmbeddingParameters(
            unpadded(self.embedding, self.dim),
            np.ascontiguousarray(self._weight_rows()),
            self.bias,
        )
