"""Trainer of sparse linear models: the parameters, and what one epoch does to them.

One-vs-all losses treat each class by itself, so their classes are split into fixed blocks that
threads train side by side; the split depends on the number of classes only, and so does the result.
Other losses couple the classes: one block, one thread, or `hogwild`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import CODES, EVALUATION, Features, Targets, linear_room
from eitheror._kernels.native import native
from eitheror.model import LinearParameters
from eitheror.training.examples import Examples
from eitheror.training.options import TrainOptions, learning_rates

__all__ = ["LinearTrainer"]

_BLOCKS = 4  # at most, of classes that are trained side by side, and not narrower than
_NARROWEST = 64  # this: narrow blocks read the features too often
_ADAGRAD_START = 1e-2
# Three of four weights of a model with many classes are smaller than this and change no decision;
# without them a file shrinks to a third.
_TINY = np.float32(0.01)
_PRUNED_ABOVE = 4_000_000

Floats = NDArray[np.float32]


@dataclass(eq=False)
class _Block:
    first: int
    weight: Floats
    bias: Floats
    squares: Floats
    bias_squares: Floats
    class_weight: Floats


def _block(n_classes: int) -> int:
    """Classes in a block, a multiple of 16; never depends on the number of threads."""
    return max(_NARROWEST, -(-n_classes // (16 * _BLOCKS)) * 16)


class LinearTrainer:
    """Weights of a linear model under training.

    Parameters
    ----------
    n_features : int
    bias : float32 array of shape (n_classes,)
        Where the intercepts start.
    options : TrainOptions
        Resolved.
    class_weight : float32 array of shape (n_classes,) or None
        Factor of each class's gradient.
    separable : bool
        Whether the loss is a sum over classes (one-vs-all, no joint statements).
    n_jobs : int
    """

    def __init__(
        self,
        n_features: int,
        bias: Floats,
        options: TrainOptions,
        *,
        class_weight: Floats | None,
        separable: bool,
        n_jobs: int,
    ) -> None:
        self.options = options
        self.n_jobs = n_jobs
        self.code = CODES[options.loss]
        n_classes = len(bias)
        adaptive = options.optimizer == "adagrad"
        edges = [*range(0, n_classes, _block(n_classes) if separable else n_classes), n_classes]
        self.blocks = [
            _Block(
                first,
                np.zeros((n_features, last - first), np.float32),
                np.array(bias[first:last], np.float32),
                np.full(n_features if adaptive else 0, _ADAGRAD_START, np.float32),
                np.full(1 if adaptive else 0, _ADAGRAD_START, np.float32),
                np.zeros(0, np.float32) if class_weight is None else class_weight[first:last],
            )
            for first, last in pairwise(edges)
        ]

    def epoch(self, examples: Examples, order: NDArray[np.int64], number: int) -> float:
        """One pass over the rows of `order`; returns the weighted sum of their losses."""
        options = self.options
        rates = learning_rates(options, number)
        features, targets = self._arrays(examples, self.code)

        def run(block: _Block, part: NDArray[np.int64]) -> float:
            loss: float = native("linear").linear_epoch(
                part,
                features,
                targets,
                block.class_weight,
                block.weight,
                block.bias,
                block.squares,
                block.bias_squares,
                self.code,
                block.first,
                *rates,
                float(options.l2 or 0.0),
                options.label_smoothing,
                options.seed,
                number,
                linear_room(len(block.bias)),
            )
            return loss

        if options.hogwild and len(self.blocks) == 1 and self.n_jobs > 1:
            jobs = [(self.blocks[0], part) for part in np.array_split(order, self.n_jobs)]
        else:
            jobs = [(block, order) for block in self.blocks]
        return self._sum(run, jobs)

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Weighted sum of the statement losses of the rows of `order`."""
        features, targets = self._arrays(examples, EVALUATION[self.code])
        code = EVALUATION[self.code]

        def run(block: _Block) -> float:
            loss: float = native("linear").linear_loss(
                order,
                features,
                targets,
                block.weight,
                block.bias,
                code,
                block.first,
                linear_room(len(block.bias)),
            )
            return loss

        return self._sum(run, [(block,) for block in self.blocks])

    def _arrays(self, examples: Examples, code: int) -> tuple[Features, Targets]:
        # A group's classes lie in several blocks, and the kernel sees the logits of one.
        assert len(self.blocks) == 1 or len(examples.targets.group_indices) == 0
        return examples.arrays_for(code)

    def _sum(self, run: Any, jobs: list[tuple[Any, ...]]) -> float:
        # Blocks are summed in order, so that the reported loss has the same bytes too.
        if len(jobs) == 1 or self.n_jobs == 1:
            return float(sum(run(*job) for job in jobs))
        with ThreadPoolExecutor(min(self.n_jobs, len(jobs))) as pool:
            return float(sum(pool.map(lambda job: run(*job), jobs)))

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array that the next epoch starts from, by name; the arrays themselves."""
        arrays: dict[str, NDArray[Any]] = {}
        for block in self.blocks:
            for name in ("weight", "bias", "squares", "bias_squares"):
                arrays[f"{name}.{block.first}"] = getattr(block, name)
        return arrays

    def parameters(self) -> LinearParameters:
        """Return the model's parameters; many weights are stored without the tiny ones."""
        if sum(block.weight.size for block in self.blocks) > _PRUNED_ABOVE:
            for block in self.blocks:
                block.weight[np.abs(block.weight) < _TINY] = 0.0
        if len(self.blocks) == 1:
            return LinearParameters(self.blocks[0].weight, self.blocks[0].bias)
        return LinearParameters(
            np.concatenate([block.weight for block in self.blocks], axis=1),
            np.concatenate([block.bias for block in self.blocks]),
        )
