"""Trainer of a label tree (`loss="hs"`): one true class of many, at a cost of the tree's depth.

The embeddings are those of `EmbeddingTrainer`. The tree is built from the training rows before the
first step: classes whose texts share words stand near each other, and each node parts what hangs
below it into two halves that are true about as often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.clustering import SIGNS, class_signatures, split_classes, unit_rows
from eitheror._kernels.embedding import aligned, layout
from eitheror._kernels.tree import Tree, Ways, tree_epoch, tree_loss, ways_room
from eitheror.model import HuffmanParameters
from eitheror.training.embedding import ADAGRAD_START, random_embedding, unpadded
from eitheror.training.examples import Examples
from eitheror.training.options import TrainOptions, learning_rates

__all__ = ["TreeTrainer", "label_tree"]

Floats = NDArray[np.float32]
Parts = Callable[[], Iterable[Examples]]


class TreeTrainer:
    """Embeddings and a tree under training.

    Parameters
    ----------
    n_features : int
    children : int32 array of shape (n_classes - 1, 2)
        The tree; see `HuffmanParameters`.
    bias : float32 array of shape (n_classes - 1,)
        Where the intercepts of the inner nodes start.
    options : TrainOptions
        Resolved.
    """

    def __init__(
        self, n_features: int, children: NDArray[np.int32], bias: Floats, options: TrainOptions
    ) -> None:
        self.options = options
        assert options.dim is not None
        self.dim = options.dim
        self.chunks, width = layout(self.dim)
        self.children = children
        self.embedding = aligned(n_features, width)
        random_embedding(self.embedding, self.dim, options.seed)
        self.weight = aligned(len(children), width)
        self.bias = np.array(bias, np.float32)
        adaptive = options.optimizer == "adagrad"
        self.squares = np.full(n_features if adaptive else 0, ADAGRAD_START, np.float32)
        self.weight_squares = np.full(len(bias) if adaptive else 0, ADAGRAD_START, np.float32)
        self.bias_squares = self.weight_squares.copy()
        self._up = _parents(children)
        self._depth = _depth(children)

    @classmethod
    def fresh(
        cls, parts: Parts, n_features: int, mass: NDArray[np.float64], options: TrainOptions
    ) -> Self:
        """Start with a tree that is built from the rows; for the rest see `label_tree`."""
        children = label_tree(parts, n_features, mass)
        return cls(n_features, children, _log_odds(children, mass), options)

    @classmethod
    def on_tree_of(cls, old: HuffmanParameters, n_features: int, options: TrainOptions) -> Self:
        """Start with the tree of a model; its other numbers are left to the caller."""
        bias = np.zeros(len(old.weight), np.float32) if old.bias is None else old.bias
        return cls(n_features, old.children, bias, options)

    def epoch(self, examples: Examples, order: NDArray[np.int64], number: int) -> float:
        """One pass over the rows of `order`; returns the weighted sum of their losses."""
        return tree_epoch(
            order,
            *examples.arrays(),
            self.embedding,
            self._tree(),
            self.squares,
            self.weight_squares,
            self.bias_squares,
            self._ways(examples),
            self.chunks,
            self.dim,
            *learning_rates(self.options, number),
        )

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Weighted sum of the statement losses of the rows of `order`."""
        ways = self._ways(examples)
        return tree_loss(order, *examples.arrays(), self.embedding, self._tree(), ways, self.chunks)

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

    def parameters(self) -> HuffmanParameters:
        """Return the model's parameters, in the trainer's memory: it cannot go on from here."""
        return HuffmanParameters(
            unpadded(self.embedding, self.dim),
            unpadded(self.weight, self.dim),
            self.children,
            self.bias,
        )

    def _tree(self) -> Tree:
        return Tree(self.children, self._up, self.weight, self.bias)

    def _ways(self, examples: Examples) -> Ways:
        most = int(np.diff(examples.targets.indptr).max(initial=0))
        return ways_room(examples.targets.n_classes, most, self._depth)


def label_tree(parts: Parts, n_features: int, mass: NDArray[np.float64]) -> NDArray[np.int32]:
    """Build a tree over the classes from the rows that name them.

    Parameters
    ----------
    parts : callable
        Called twice; returns the rows in parts. How they are cut changes nothing.
    n_features : int
    mass : float64 array of shape (n_classes,)
        How often each class is true, above 0.

    Returns
    -------
    int32 array of shape (n_classes - 1, 2)
        The left and the right child of each inner node; see `HuffmanParameters`.
    """
    named, n_rows = np.zeros(n_features, np.int64), 0
    for part in parts():
        named += np.bincount(part.rows.indices, minlength=n_features)
        n_rows += len(part)
    rarity = np.log(n_rows / np.maximum(named, 1) + 1.0).astype(np.float32)
    signatures = np.zeros((len(mass), SIGNS), np.float32)
    for part in parts():
        class_signatures(part.speaking(), *part.arrays(), rarity, signatures)
    unit_rows(signatures)
    children = np.empty((len(mass) - 1, 2), np.int32)
    split_classes(signatures, mass, children)
    return children


def _parents(children: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return where each node hangs: 2 v + side for a child of inner node v, -1 for the root."""
    up = np.full(2 * len(children) + 1, -1, np.int32)
    up[children.ravel()] = np.arange(children.size, dtype=np.int32)
    return up


def _depth(children: NDArray[np.int32]) -> int:
    """Return the number of inner nodes on the longest way."""
    n_classes = len(children) + 1
    longest, nodes = 0, np.array([2 * n_classes - 2])
    while len(nodes := nodes[nodes >= n_classes]):
        nodes = children[nodes - n_classes].ravel()
        longest += 1
    return longest


def _log_odds(children: NDArray[np.int32], mass: NDArray[np.float64]) -> Floats:
    """Log of how much more often a class on the right is true than one on the left."""
    n_classes = len(mass)
    total = np.append(mass, np.zeros(n_classes - 1)).tolist()
    for v, (left, right) in enumerate(children.tolist()):
        total[n_classes + v] = total[left] + total[right]
    sums = np.array(total)
    odds: Floats = np.log(sums[children[:, 1]] / sums[children[:, 0]]).astype(np.float32)
    return odds
