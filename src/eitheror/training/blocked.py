"""Trainer of averaged embeddings for many classes: blocks of texts share the pass over the weights.

The model is that of `EmbeddingTrainer`. A block is the same rows for any number of threads, which
share out its rows and then its classes: the result is the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import CODES, EVALUATION, LANES, aligned, layout
from eitheror._kernels.blocks import DIMS, FAILED, GROUPS, Room, Weights, block_room, meeting_words
from eitheror._kernels.native import native
from eitheror.model import EmbeddingParameters
from eitheror.training.embedding import ADAGRAD_START, random_embedding, unpadded
from eitheror.training.examples import Examples
from eitheror.training.options import TrainOptions, learning_rates
from eitheror.training.pair import with_share

__all__ = ["BlockedTrainer"]

# Rows of a block: more of them save little, and steps that many rows share lead further astray,
# plain ones first.
_BLOCK = {"sgd": 8, "adagrad": 16}

# Threads that had less of their time than this waited for each other more than they worked: on a
# machine that is busy otherwise a meeting takes milliseconds. One goes on alone for so many calls.
_BUSY = 0.5
_ALONE = 8

_NEVER = -3.0e38  # logit of a class that is padding

Floats = NDArray[np.float32]


class BlockedTrainer:
    """Embeddings and output weights under training, for hundreds of classes and more.

    The gradients of a block of rows are taken at the weights that the block finds, and added.
    Row Adagrad's sums of the intercepts are their own: an intercept's input is 1 where a mean
    embedding is near 0, and a step shared by many rows would throw the intercepts about.

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
        Threads at most; the result does not depend on them. One makes the work of all for a while
        where the machine did not let them run side by side.
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
        self._alone = 0
        self.code = CODES[options.loss]
        assert options.dim is not None
        assert options.optimizer is not None
        self.dim = options.dim
        self.block = _BLOCK[options.optimizer]
        self.chunks, width = layout(self.dim)
        self.embedding = aligned(n_features, width)
        random_embedding(self.embedding, self.dim, options.seed)
        self.weight = aligned(len(bias), width)
        self.bias = np.array(bias, np.float32)
        adaptive = options.optimizer == "adagrad"
        self.squares = np.full(n_features if adaptive else 0, ADAGRAD_START, np.float32)
        self.weight_squares = np.full(len(bias) if adaptive else 0, ADAGRAD_START, np.float32)
        self.bias_squares = self.weight_squares.copy()
        self.class_weight = np.zeros(0, np.float32) if class_weight is None else class_weight

    def epoch(self, examples: Examples, order: NDArray[np.int64], number: int) -> float:
        """One pass over the rows of `order`; returns the weighted sum of their losses."""
        options = self.options
        weights = self._cut()
        room = self._room(weights)
        rows = (order, *examples.arrays_for(self.code), self.class_weight, weights, room)
        how = (self.chunks, self.dim, self.code)
        rates: tuple[Any, ...] = learning_rates(options, number)
        what: tuple[Any, ...] = (options.label_smoothing, options.seed, number)
        total = self._in_threads((*rows, *how, *rates, *what))
        self._put_back(weights)
        return total if np.isfinite(self.bias).all() else np.nan

    def _in_threads(self, arguments: tuple[Any, ...]) -> float:
        """`blocked_epoch` with these arguments, of which each thread makes its part."""
        kernel = native("blocked").blocked_epoch
        words = meeting_words()
        n_threads = 1 if self._alone else min(self.n_jobs, GROUPS)

        def run(thread: int) -> tuple[float, float]:
            try:
                return with_share(partial(kernel, *arguments, words, thread, n_threads))
            except BaseException:
                words[FAILED] = 1
                raise

        if n_threads == 1:
            self._alone = max(0, self._alone - 1)
            return run(0)[0]
        kernel(arguments[0][:0], *arguments[1:], words, 0, 1)  # it is loaded before clocks start
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                totals, shares = zip(*pool.map(run, range(n_threads)), strict=True)
            except BaseException:  # Ctrl-C, say: nobody is to wait for a thread that never comes
                words[FAILED] = 1
                raise
        self._alone = _ALONE if min(shares) < _BUSY else 0
        return float(totals[0])

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Weighted sum of the statement losses of the rows of `order`."""
        weights = self._cut()
        loss: float = native("blocked").blocked_loss(
            order,
            *examples.arrays_for(EVALUATION[self.code]),
            weights,
            self._room(weights),
            self.chunks,
            EVALUATION[self.code],
        )
        return loss

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array that the next epoch starts from, by name; the arrays themselves."""
        return {
            "embedding": self.embedding,
            "weight": self.weight,
            "bias": self.bias,
            "squares": self.squares,
            "weight_squares": self.weight_squares,
            "bias_squares": self.bias_squares,
        }

    def parameters(self) -> EmbeddingParameters:
        """Return the model's parameters, in the trainer's memory: it cannot go on from here."""
        return EmbeddingParameters(
            unpadded(self.embedding, self.dim),
            unpadded(self.weight, self.dim),
            self.bias,
        )

    def _room(self, weights: Weights) -> Room:
        return block_room(self.block, len(self.weight), weights)

    def _cut(self) -> Weights:
        """Return the weights in tiles; classes and numbers that are padding are 0."""
        n_classes = len(self.weight)
        n_tiles = -(-n_classes // LANES)
        dims = -(-self.dim // DIMS) * DIMS
        flat = np.zeros((n_tiles * LANES, dims), np.float32)
        flat[:n_classes, : self.dim] = self.weight[:, : self.dim]
        tiles = aligned(n_tiles * dims, LANES).reshape(n_tiles, dims, LANES)
        tiles[...] = flat.reshape(n_tiles, LANES, dims).transpose(0, 2, 1)
        squares = [
            _padded(sums, len(flat), 1.0) for sums in (self.weight_squares, self.bias_squares)
        ]
        return Weights(
            self.embedding, tiles, _padded(self.bias, len(flat), _NEVER), self.squares, *squares
        )

    def _put_back(self, weights: Weights) -> None:
        n_classes = len(self.weight)
        n_tiles, dims, _ = weights.tiles.shape
        flat = weights.tiles.transpose(0, 2, 1).reshape(n_tiles * LANES, dims)
        self.weight[:, : self.dim] = flat[:n_classes, : self.dim]
        self.bias[:] = weights.bias[:n_classes]
        if len(self.weight_squares):
            self.weight_squares[:] = weights.weight_squares[:n_classes]
            self.bias_squares[:] = weights.bias_squares[:n_classes]


def _padded(values: Floats, length: int, rest: float) -> Floats:
    """Return the values followed by `rest`; no values stay none."""
    if not len(values):
        return values
    padded = np.full(length, rest, np.float32)
    padded[: len(values)] = values
    return padded
