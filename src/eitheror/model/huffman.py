"""Averaged embeddings with a binary tree over the classes: hierarchical softmax.

A tree that was trained here, or fastText's of an imported model.

In: `Rows`. Out: the log of each class's probability, which is the product of one sigmoid a turn on
the way from the root to the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows
from eitheror._kernels.search_plain import best_leaves
from eitheror.model.parameters import check_array, check_names, rows_product
from eitheror.model.quantised import (
    CodedRows,
    coded_rows_from_tensors,
    coded_rows_names,
    floats,
    narrow,
)

__all__ = [
    "CodedHuffmanParameters",
    "HuffmanParameters",
    "coded_huffman_from_tensors",
    "huffman_from_tensors",
    "huffman_tree",
]

_BLOCK = 256  # rows whose way through the tree stays in the processor's cache
_FEW = 64  # rows below which loading a kernel costs more than plain Python
_COUNT_LIMIT = 10**15  # what fastText takes for infinitely many


@dataclass(frozen=True, eq=False)
class HuffmanParameters:
    """Embeddings and a tree: `log p(class) = sum of log sigmoid(+- (weight[v] . h + bias[v]))`.

    `h = x @ embedding` is the hidden vector, and the sum is over the nodes v on the class's way.

    Nodes are numbered: the classes, then the inner nodes, each behind its two children; the last
    one is the root. A turn to the right is the sigmoid, a turn to the left one minus it.

    Parameters
    ----------
    embedding : float32 array of shape (n_features, dim)
    weight : float32 array of shape (n_classes - 1, dim)
        One row an inner node.
    children : int32 array of shape (n_classes - 1, 2)
        The left and the right child of each inner node.
    bias : float32 array of shape (n_classes - 1,) or None
        fastText has none.

    Examples
    --------
    >>> tree = HuffmanParameters(
    ...     np.float32([[1.0]]), np.float32([[0.0], [0.0]]), huffman_tree([5, 2, 1])
    ... )
    >>> np.exp(tree.logits(Rows.from_dense([[1.0]]))).tolist()
    [[0.5, 0.25, 0.25]]
    """

    family: ClassVar[str] = "huffman"
    embedding: NDArray[np.float32]
    weight: NDArray[np.float32]
    children: NDArray[np.int32]
    bias: NDArray[np.float32] | None = None

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return int(self.embedding.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return len(self.weight) + 1

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Log-probabilities of sparse rows, float32 of shape (n_samples, n_classes)."""
        return self.logits_of(rows_product(rows, self.embedding))

    def logits_of(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities given the hidden vectors, float32 of shape (n_samples, dim)."""
        out = np.empty((len(hidden), self.n_classes), dtype=np.float32)
        for start in range(0, len(hidden), _BLOCK):
            block = slice(start, start + _BLOCK)
            margins = self.weight @ hidden[block].T
            if self.bias is not None:
                margins += self.bias[:, None]
            out[block] = self._along_the_tree(margins).T
        return out

    def _along_the_tree(self, margins: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities of the classes, one row a class, from margins, one row an inner node.

        Rows are nodes, so that a level of the tree is gathered and scattered in whole rows.
        """
        scores = np.zeros((2 * self.n_classes - 1, margins.shape[1]), dtype=np.float32)
        for nodes in self._levels:
            above, margin = scores[nodes + self.n_classes], margins[nodes]
            # log sigmoid(m) = min(m, 0) - log(1 + exp(-|m|)), without cancellation
            both = above - np.log1p(np.exp(-np.abs(margin)))
            scores[self.children[nodes, 0]] = both - np.maximum(margin, 0)
            scores[self.children[nodes, 1]] = both + np.minimum(margin, 0)
        return scores[: self.n_classes]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name."""
        arrays = {"embedding": self.embedding, "weight": self.weight, "children": self.children}
        return arrays if self.bias is None else arrays | {"bias": self.bias}

    def top(self, rows: Rows, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the k most probable classes of each row, without a look at most of the others.

        Parameters
        ----------
        rows : Rows
        k : int
            At least 1 and at most the number of classes.

        Returns
        -------
        classes : int32 array of shape (n_samples, k)
            The most probable one first, of equal ones the one that comes first.
        log_proba : float32 array of shape (n_samples, k)
        """
        return self.top_of(rows_product(rows, self.embedding), k)

    def top_of(
        self, hidden: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the k most probable classes given the hidden vectors; see `top`."""
        bias = np.zeros(len(self.weight), np.float32) if self.bias is None else self.bias
        tree = self.children, np.ascontiguousarray(self.weight), bias
        classes = np.empty((len(hidden), k), np.int32)
        scores = np.empty((len(hidden), k), np.float32)
        if len(hidden) < _FEW:
            best_leaves(hidden, *tree, classes, scores)
        else:
            heap = np.empty(self.n_classes), np.empty(self.n_classes, np.int32)
            native("search").best_leaves(hidden, *tree, classes, scores, *heap)
        return classes, scores

    @cached_property
    def _levels(self) -> list[NDArray[np.int64]]:
        """Inner nodes by their distance from the root, nearest first."""
        levels = []
        nodes = np.arange(len(self.weight))[-1:]
        while len(nodes):
            levels.append(nodes)
            below = self.children[nodes].ravel().astype(np.int64) - self.n_classes
            nodes = below[below >= 0]
        return levels


@dataclass(frozen=True, eq=False)
class CodedHuffmanParameters:
    """A tree whose embeddings, and if need be nodes, are put together from coded parts.

    Parameters
    ----------
    embedding : CodedRows
        Of shape (n_features, dim).
    weight : float32 array of shape (n_classes - 1, dim), or CodedRows
    children : int32 array of shape (n_classes - 1, 2)
    bias : float32 array of shape (n_classes - 1,) or None
        As in `HuffmanParameters`.
    """

    family: ClassVar[str] = "huffman-coded"
    embedding: CodedRows
    weight: NDArray[np.float32] | CodedRows
    children: NDArray[np.int32]
    bias: NDArray[np.float32] | None = None

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return len(self.embedding)

    @property
    def n_classes(self) -> int:
        """Number of logits a row."""
        return len(self.weight) + 1

    @cached_property
    def tree(self) -> HuffmanParameters:
        """The tree with its nodes as numbers, and without embeddings: those are looked up."""
        weight = self.weight
        if isinstance(weight, CodedRows):
            weight = weight.take(np.arange(len(weight)))
        none = np.empty((0, weight.shape[1]), np.float32)
        return HuffmanParameters(none, weight, self.children, self.bias)

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Log-probabilities of sparse rows, float32 of shape (n_samples, n_classes)."""
        return self.tree.logits_of(self.embedding.product(rows))

    def top(self, rows: Rows, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the k most probable classes of each row, as `HuffmanParameters.top` does."""
        return self.tree.top_of(self.embedding.product(rows), k)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name."""
        arrays = {**self.embedding.tensors("embedding"), "children": self.children}
        if isinstance(self.weight, CodedRows):
            arrays |= self.weight.tensors("weight")
        else:
            arrays["weight"] = narrow(self.weight)
        return arrays if self.bias is None else arrays | {"bias": self.bias}


def huffman_from_tensors(
    tensors: Mapping[str, NDArray[Any]], n_features: int | None, n_classes: int
) -> HuffmanParameters:
    """Inverse of `HuffmanParameters.tensors`, with every array checked.

    Parameters
    ----------
    tensors : mapping of str to array
    n_features : int or None
        Width that is expected; None takes the arrays' own.
    n_classes : int
        Number of classes that is expected.

    Returns
    -------
    HuffmanParameters

    Raises
    ------
    ValueError
        Naming the array that is missing or unknown, has another dtype or shape, or is no tree.
    """
    check_names(tensors, {"embedding", "weight", "children"}, {"bias"})
    if n_features is None:
        n_features = len(tensors["embedding"])
    dim = tensors["weight"].shape[-1] if tensors["weight"].ndim else 0
    embedding = check_array(tensors, "embedding", np.float32, (n_features, dim))
    weight = check_array(tensors, "weight", np.float32, (n_classes - 1, dim))
    return HuffmanParameters(embedding, weight, *_tree(tensors, n_classes))


def coded_huffman_from_tensors(
    tensors: Mapping[str, NDArray[Any]], n_features: int | None, n_classes: int
) -> CodedHuffmanParameters:
    """Inverse of `CodedHuffmanParameters.tensors`; see `huffman_from_tensors`."""
    embedding, optional = coded_rows_names("embedding")
    coded = "weight" not in tensors
    nodes, more = coded_rows_names("weight") if coded else ({"weight"}, set())
    check_names(tensors, embedding | nodes | {"children"}, optional | more | {"bias"})
    if tensors["embedding.exact"].ndim != 2:
        raise ValueError("embedding.exact: no matrix")
    dim = tensors["embedding.exact"].shape[1]
    weight: NDArray[np.float32] | CodedRows
    if coded:
        weight = coded_rows_from_tensors("weight", tensors, n_classes - 1, dim)
    else:
        weight = floats(tensors, "weight", (n_classes - 1, dim))
    rows = coded_rows_from_tensors("embedding", tensors, n_features, dim)
    return CodedHuffmanParameters(rows, weight, *_tree(tensors, n_classes))


def _tree(
    tensors: Mapping[str, NDArray[Any]], n_classes: int
) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
    """Return the children and the intercepts, checked."""
    children = check_array(tensors, "children", np.int32, (n_classes - 1, 2))
    behind = children < np.arange(n_classes, 2 * n_classes - 1)[:, None]
    every = np.array_equal(np.sort(children, axis=None), np.arange(2 * n_classes - 2))
    if not (every and behind.all()):
        raise ValueError(
            "children: no tree: each node but the root must be the child of one node behind it"
        )
    bias = None
    if "bias" in tensors:
        bias = check_array(tensors, "bias", np.float32, (n_classes - 1,))
    return children, bias


def huffman_tree(counts: Sequence[int]) -> NDArray[np.int32]:
    """Join the two rarest nodes until one is left, as fastText does.

    Parameters
    ----------
    counts : sequence of int
        How often each class came, most often first, each below 10^15.

    Returns
    -------
    int32 array of shape (n_classes - 1, 2)
        The children of each inner node.

    Raises
    ------
    ValueError
        If a count is out of its range.

    Examples
    --------
    >>> huffman_tree([5, 2, 1]).tolist()
    [[2, 1], [3, 0]]
    """
    n = len(counts)
    if not all(0 <= count < _COUNT_LIMIT for count in counts):
        raise ValueError(f"the count of a label is not 0 .. {_COUNT_LIMIT - 1}")
    totals = [*counts, *[_COUNT_LIMIT] * (n - 1)]
    leaf, inner = n - 1, n
    children = np.empty((max(n - 1, 0), 2), dtype=np.int32)
    for node in range(n, 2 * n - 1):
        total = 0
        for side in range(2):
            if leaf >= 0 and totals[leaf] < totals[inner]:
                chosen, leaf = leaf, leaf - 1
            else:
                chosen, inner = inner, inner + 1
            children[node - n, side] = chosen
            total += totals[chosen]
        totals[node] = total
    return children
