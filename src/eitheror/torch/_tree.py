"""Hierarchical softmax: a Huffman tree over the classes, a yes/no logit at each inner node.

An exact class costs its path, O(log K) for balanced counts. A set or an exclusion costs the paths
of the classes that it names: every subtree without such a class has one weight throughout, so its
evidence is known without a look inside. Sums of probabilities are taken in log space from the
leaves up, for what the statement allows and for what it rules out side by side, so that neither
is ever one minus the other.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from eitheror.labels import EVIDENCE, SHARES, UNKNOWN, Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries, take_rows

__all__ = ["HierarchicalSoftmax"]

Ints = NDArray[np.int64]


class HierarchicalSoftmax(nn.Module):  # type: ignore[misc]
    """Softmax over many classes as yes/no decisions along a Huffman tree.

    ``P(class) = prod_v sigmoid(± z_v)`` over the inner nodes v of the class's path, with
    ``z = W x + b``. The loss of a statement with weights w is
    ``-log sum_k w_k P(k) = softplus(log B - log A)`` with ``A = sum_k w_k P(k)`` and
    ``B = sum_k (1 - w_k) P(k)``; of shares t, ``-sum_k t_k log P(k)``.

    Parameters
    ----------
    in_features : int
        Length of a row of features.
    counts : array-like of shape (n_classes,)
        How often each class occurs; frequent classes get short paths. Any numbers >= 0; equal
        ones give a balanced tree. The same counts make the same tree, which a `state_dict` needs
        to mean the same.

    Attributes
    ----------
    weight : parameter of shape (n_classes - 1, in_features)
    bias : parameter of shape (n_classes - 1,)
    tree : int buffer of shape (n_classes - 1, 2)
        The left and the right child of each inner node: an inner node, or -1 - class. It is part of
        the `state_dict`, and one of another tree is refused.
    depths : int array of shape (n_classes,)
        Length of each class's path.

    Notes
    -----
    **Domain.** Finite for all finite logits. A row of targets that is no statement (all zero, out
    of range) has loss nan. Only statements with one true class; for tags use a sigmoid each.

    Examples
    --------
    >>> import eitheror as eo
    >>> tree = HierarchicalSoftmax(2, counts=[50, 30, 15, 5])
    >>> tree.depths.tolist()
    [1, 2, 3, 3]
    >>> labels = eo.Labels(["a", eo.not_("a"), None], classes=["a", "b", "c", "d"])
    >>> _ = nn.init.zeros_(tree.weight)
    >>> tree(torch.zeros(3, 2), labels).tolist() == [np.log(np.float32(2))] * 2 + [0]
    True
    """

    tree: Tensor

    def __init__(self, in_features: int, counts: ArrayLike) -> None:
        super().__init__()
        self._tree = _Tree.huffman(_checked_counts(counts))
        n_inner = self._tree.n_classes - 1
        self.in_features = in_features
        self.weight = nn.Parameter(torch.empty(n_inner, in_features))
        self.bias = nn.Parameter(torch.zeros(n_inner))
        self.register_buffer("tree", torch.from_numpy(self._tree.children.copy()))
        nn.init.uniform_(self.weight, -(in_features**-0.5), in_features**-0.5)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self._tree.n_classes

    @property
    def depths(self) -> Ints:
        """Length of each class's path."""
        return np.diff(self._tree.path_indptr)

    def logits(self, features: Tensor) -> Tensor:
        """Logits of the inner nodes: of going left.

        Parameters
        ----------
        features : tensor of shape (n_samples, in_features)

        Returns
        -------
        tensor of shape (n_samples, n_classes - 1)
            Column 0 is the root's.
        """
        return nn.functional.linear(features, self.weight, self.bias)

    def log_proba(self, features: Tensor) -> Tensor:
        """Log probability of every class.

        Parameters
        ----------
        features : tensor of shape (n_samples, in_features)

        Returns
        -------
        tensor of shape (n_samples, n_classes)
        """
        logits = _widen(self.logits(features))
        above = logits.new_zeros(len(logits), 1)
        leaves, order = [], []
        for level in self._tree.levels:
            z = logits[:, torch.as_tensor(level.nodes, device=logits.device)]
            log_left, log_right = _log_sigmoid(z), _log_sigmoid(-z)
            below = torch.cat([above + log_left, above + log_right], dim=1)
            is_leaf = torch.as_tensor(level.children < 0, device=logits.device)
            leaves.append(below[:, is_leaf])
            order.append(~level.children[level.children < 0])
            above = below[:, ~is_leaf]
        place = np.argsort(np.concatenate(order))
        return torch.cat(leaves, dim=1)[:, torch.as_tensor(place, device=logits.device)]

    def forward(self, features: Tensor, targets: Tensor | Labels | SparseTargets) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        features : tensor of shape (n_samples, in_features)
        targets : Labels, SparseTargets, or tensor
            Statements, ``labels.sparse().take(rows)`` for those of a batch; or their matrix
            ``labels.to_targets()`` of shape (n_samples, n_classes); or whole numbers of shape
            (n_samples,), exact classes. Labels keep what is named apart from the rest and need no
            matrix; their weights and shares are float32.

        Returns
        -------
        tensor of shape (n_samples,)
            In the features' precision, float32 for 16-bit ones; 0 where nothing is known.
        """
        known = _statements(targets, self.n_classes)
        if tuple(features.shape) != (len(known.mode), self.in_features):
            raise ValueError(
                f"features of shape {tuple(features.shape)} came with {len(known.mode)} targets; "
                f"expected ({len(known.mode)}, {self.in_features})"
            )
        loss = self._named(features, known)
        names = np.diff(known.indptr) > 0
        rows = np.flatnonzero((known.mode == EVIDENCE) & ~known.is_exact & names)
        if len(rows):
            value = self._evidence(features, known, rows)
            loss = loss.index_add(0, torch.as_tensor(rows, device=loss.device), value)
        if known.invalid.any():
            invalid = torch.as_tensor(known.invalid, device=loss.device)
            loss = torch.where(invalid, torch.full_like(loss, torch.nan), loss)
        return loss

    def extra_repr(self) -> str:
        """Return the shape for `repr`."""
        return f"in_features={self.in_features}, n_classes={self.n_classes}"

    # --- inside -------------------------------------------------------------------------------

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **options: Any
    ) -> None:
        given = state_dict.get(prefix + "tree")
        if given is not None and not torch.equal(given.cpu(), self.tree.cpu()):
            raise ValueError(
                f"the state at {prefix + 'tree'!r} is of a tree over other counts; make "
                "HierarchicalSoftmax with the counts it was trained with"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest, **options)

    def _named(self, features: Tensor, known: _Known) -> Tensor:
        """Sum of share times minus log probability: rows of exact classes and of shares."""
        rows = row_of_entries(known.indptr)
        chosen = (known.is_exact | (known.mode == SHARES))[rows] & (known.values > 0)
        rows, leaves, shares = rows[chosen], known.indices[chosen], known.values[chosen]
        indptr, steps = take_rows(self._tree.path_indptr, leaves)
        entry = row_of_entries(indptr)
        z = self._at(features, rows[entry], self._tree.path_nodes[steps])
        device = z.device
        sign = torch.as_tensor(self._tree.path_signs[steps], device=device).to(z)
        share = torch.as_tensor(shares[entry], device=device).to(z)
        loss = z.new_zeros(len(features))
        return loss.index_add(
            0, torch.as_tensor(rows[entry], device=device), -share * _log_sigmoid(sign * z)
        )

    def _evidence(self, features: Tensor, known: _Known, rows: Ints) -> Tensor:
        """Loss of rows of weights: what is allowed and what is ruled out, from the leaves up."""
        visit = _Visit.plan(self._tree, known, rows)
        z_all = self._at(features, rows[visit.row], visit.node)
        allowed = against = z_all.new_zeros(0)  # log mass of each visited subtree one depth below
        for part in reversed(visit.parts):
            log_left, log_right = _log_sigmoid(z_all[part.pairs]), _log_sigmoid(-z_all[part.pairs])
            left, right = part.left, part.right
            allowed = _log_add(
                log_left + _below(allowed, left.place, left.log_weight),
                log_right + _below(allowed, right.place, right.log_weight),
            )
            against = _log_add(
                log_left + _below(against, left.place, left.log_other),
                log_right + _below(against, right.place, right.log_other),
            )
        # -log(A / (A + B)) = softplus(log B - log A); nothing ruled out costs exactly 0
        speaks = against > -torch.inf
        difference = torch.where(speaks, against - allowed, 0.0)
        return torch.where(speaks, -_log_sigmoid(-difference), 0.0)

    def _at(self, features: Tensor, rows: Ints, nodes: Ints) -> Tensor:
        """Logits of chosen pairs of row and node, without the others where few are chosen."""
        row, node = (torch.as_tensor(a, device=features.device) for a in (rows, nodes))
        if len(rows) * 4 >= len(features) * len(self.weight):
            return _widen(self.logits(features))[row, node]
        return _widen((features[row] * self.weight[node]).sum(dim=-1) + self.bias[node])


# --- the tree -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """Inner nodes of one depth, left to right, and their children: inner index, or ~class."""

    nodes: Ints
    children: Ints  # all left ones, then all right ones


@dataclass(frozen=True)
class _Tree:
    """A binary tree as flat arrays; inner nodes are numbered from the root down, by depth."""

    n_classes: int
    children: Ints  # (n_classes - 1, 2): inner node, or ~class
    levels: list[_Level]
    path_indptr: Ints  # class k passes path_nodes[path_indptr[k] : path_indptr[k + 1]]
    path_nodes: Ints
    path_signs: NDArray[np.float32]  # 1 goes left, -1 right
    depth: Ints  # of each inner node

    @classmethod
    def huffman(cls, counts: NDArray[np.float64]) -> _Tree:
        """Join the two rarest parts until one is left; ties by the order of the classes."""
        k = len(counts)
        heap = [(float(c), i, ~i) for i, c in enumerate(counts)]
        heapq.heapify(heap)
        joined: list[tuple[int, int]] = []
        for order in range(k, 2 * k - 1):
            rare, common = heapq.heappop(heap), heapq.heappop(heap)
            joined.append((common[2], rare[2]))
            heapq.heappush(heap, (rare[0] + common[0], order, len(joined) - 1))
        return cls._by_depth(np.array(joined, dtype=np.int64), k)

    @classmethod
    def _by_depth(cls, joined: Ints, k: int) -> _Tree:
        """Renumber the nodes by depth and write down the paths."""
        level = np.array([len(joined) - 1])
        order, sizes = [], []
        while len(level):
            order.append(level)
            sizes.append(len(level))
            below = joined[level].T.ravel()
            level = below[below >= 0]
        old = np.concatenate(order)
        new = np.empty(len(old), dtype=np.int64)
        new[old] = np.arange(len(old))
        children = joined[old]
        children = np.where(children >= 0, new[np.maximum(children, 0)], children)
        depth = np.repeat(np.arange(len(sizes)), sizes)
        ends = np.cumsum([0, *sizes])
        levels = [
            _Level(np.arange(a, b), children[a:b].T.ravel()) for a, b in pairwise(ends.tolist())
        ]
        return cls(k, children, levels, *_paths(children, depth, k), depth)


def _paths(children: Ints, depth: Ints, k: int) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Return the nodes and turns from the root to each class, class by class."""
    n = len(children)
    parent, turn = np.full(n + k, -1, dtype=np.int64), np.zeros(n + k, dtype=np.float32)
    place = np.where(children >= 0, children, n + ~children)  # inner nodes, then classes
    for side, sign in ((0, 1.0), (1, -1.0)):
        parent[place[:, side]] = np.arange(n)
        turn[place[:, side]] = sign
    lengths = depth[parent[n:]] + 1
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    nodes, signs = np.empty(indptr[-1], dtype=np.int64), np.empty(indptr[-1], dtype=np.float32)
    at, slot = np.arange(n, n + k), indptr[1:] - 1
    while len(at):
        nodes[slot], signs[slot] = parent[at], turn[at]
        at, slot = parent[at], slot - 1
        going = parent[at] >= 0
        at, slot = at[going], slot[going]
    return indptr, nodes, signs


# --- what is known, and which nodes it touches --------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """Multiclass statements in compressed rows, in float64; see `SparseTargets`."""

    indptr: Ints
    indices: Ints
    values: NDArray[np.float64]
    rest: NDArray[np.float64]
    mode: NDArray[np.uint8]
    is_exact: NDArray[np.bool_]
    invalid: NDArray[np.bool_]


def _statements(targets: Tensor | Labels | SparseTargets, k: int) -> _Known:
    if isinstance(targets, Labels | SparseTargets):
        if targets.task != "multiclass":
            raise ValueError(
                "the labels are tags; a hierarchical softmax is for one true class: use "
                "PartialBCEWithLogitsLoss"
            )
        if targets.n_classes != k:
            raise ValueError(f"the labels have {targets.n_classes} classes, the tree has {k}")
        return _from_sparse(targets.sparse() if isinstance(targets, Labels) else targets)
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"targets are a {type(targets).__name__}; give Labels, labels.sparse() or "
            "torch.from_numpy(labels.to_targets())"
        )
    array = targets.detach().cpu()
    if array.ndim == 1 and not array.is_floating_point():
        return _from_classes(array.numpy().astype(np.int64), k)
    if array.ndim != 2 or array.shape[1] != k:
        raise ValueError(
            f"targets of shape {tuple(array.shape)} came; expected (n_samples, {k}), or whole "
            "numbers of shape (n_samples,)"
        )
    sum_error = 1e-2 if array.dtype in (torch.float16, torch.bfloat16) else 1e-6
    return _from_dense(array.double().numpy(), sum_error)


def _from_sparse(t: SparseTargets) -> _Known:
    rows = row_of_entries(t.indptr)
    values, rest = t.values.astype(np.float64), t.rest.astype(np.float64)
    return _known(t.indptr, t.indices.astype(np.int64), values, rest, t.mode, rows)


def _from_classes(classes: Ints, k: int) -> _Known:
    wrong = np.flatnonzero((classes < 0) | (classes >= k))
    if len(wrong):
        raise ValueError(f"row {wrong[0]}: class {classes[wrong[0]]}; expected 0 to {k - 1}")
    n = len(classes)
    mode = np.full(n, EVIDENCE, dtype=np.uint8)
    return _known(np.arange(n + 1), classes, np.ones(n), np.zeros(n), mode, np.arange(n))


def _from_dense(matrix: NDArray[np.float64], sum_error: float) -> _Known:
    """Read rows of numbers; what differs from the row's middle value is named."""
    evidence = (matrix.max(axis=1) == 1.0) & (matrix >= 0).all(axis=1)
    shares = ~evidence & (matrix >= 0).all(axis=1) & (abs(matrix.sum(axis=1) - 1) <= sum_error)
    mode = np.where(evidence, EVIDENCE, np.where(shares, SHARES, UNKNOWN)).astype(np.uint8)
    mode[(matrix == 1.0).all(axis=1)] = UNKNOWN
    rest = np.where(
        evidence, np.partition(matrix, matrix.shape[1] // 2, axis=1)[:, matrix.shape[1] // 2], 0.0
    )
    rows, indices = np.nonzero((matrix != rest[:, None]) & (evidence | shares)[:, None])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    known = _known(indptr, indices, matrix[rows, indices], rest, mode, rows)
    return replace(known, invalid=~(evidence | shares))


def _known(
    indptr: Ints,
    indices: Ints,
    values: NDArray[np.float64],
    rest: NDArray[np.float64],
    mode: NDArray[np.uint8],
    rows: Ints,
) -> _Known:
    """Mark the rows that name one class for certain and rule out all others."""
    n = len(mode)
    only = (np.bincount(rows, values != 0, n) == 1) & (np.bincount(rows, values == 1, n) == 1)
    exact = (mode == EVIDENCE) & (rest == 0) & only
    return _Known(indptr, indices, values, rest, mode, exact, np.zeros(n, dtype=bool))


@dataclass(frozen=True)
class _Side:
    """The left, or the right, children of visited pairs."""

    place: Ints  # among the visited pairs one depth below; -1 for a child that is not visited
    log_weight: NDArray[np.float64]  # log w of a child that is not visited
    log_other: NDArray[np.float64]  # log (1 - w)


@dataclass(frozen=True)
class _Part:
    """The visited pairs of one depth: a slice of all, and their children."""

    pairs: slice
    left: _Side
    right: _Side


@dataclass(frozen=True)
class _Visit:
    """Every (row, node) on the path of a class that the row names, by depth, then row."""

    row: Ints
    node: Ints
    parts: list[_Part]

    @classmethod
    def plan(cls, tree: _Tree, known: _Known, rows: Ints) -> _Visit:
        """Find the pairs for chosen rows, which are numbered from 0 on."""
        weights = _Weights.of(known, rows, tree.n_classes)
        n_inner = len(tree.children)
        leaf = weights.keys % tree.n_classes
        indptr, steps = take_rows(tree.path_indptr, leaf)
        owner = np.repeat(weights.keys // tree.n_classes, np.diff(indptr))
        keys = np.unique(owner * n_inner + tree.path_nodes[steps])
        keys = keys[np.argsort(tree.depth[keys % n_inner], kind="stable")]
        row, node = keys // n_inner, keys % n_inner
        ends = np.searchsorted(tree.depth[node], np.arange(len(tree.levels) + 2))
        parts = []
        for here, below in zip(pairwise(ends), pairwise([*ends[1:], ends[-1]]), strict=True):
            a, b = (int(end) for end in here)
            sides = (
                _side(tree.children[node[a:b], side], row[a:b], keys[slice(*below)], weights, tree)
                for side in (0, 1)
            )
            if b > a:
                parts.append(_Part(slice(a, b), *sides))
        return cls(row, node, parts)


@dataclass(frozen=True)
class _Weights:
    """Weights of named classes by the sorted key ``row * n_classes + class``; else the rest's."""

    keys: Ints
    values: NDArray[np.float64]
    rest: NDArray[np.float64]

    @classmethod
    def of(cls, known: _Known, rows: Ints, n_classes: int) -> _Weights:
        indptr, entries = take_rows(known.indptr, rows)
        keys = row_of_entries(indptr) * n_classes + known.indices[entries]
        order = np.argsort(keys)
        return cls(keys[order], known.values[entries][order], known.rest[rows])


def _side(child: Ints, row: Ints, below: Ints, weights: _Weights, tree: _Tree) -> _Side:
    inner = child >= 0
    place = _find(below, row * len(tree.children) + child, inner)
    named = _find(weights.keys, row * tree.n_classes + ~child, ~inner)
    weight = weights.rest[row]
    weight[named >= 0] = weights.values[named[named >= 0]]
    with np.errstate(divide="ignore"):
        return _Side(place, np.log(weight), np.log1p(-weight))


def _find(keys: Ints, wanted: Ints, where: NDArray[np.bool_]) -> Ints:
    """Return the place of each wanted key among sorted keys, -1 where it is missing."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(where & (keys[place] == wanted), place, -1)


# --- log space ----------------------------------------------------------------------------------


def _below(values: Tensor, place: Ints, logs: NDArray[np.float64]) -> Tensor:
    """Return the log mass of children: of visited ones as found, of others their log weight."""
    known = torch.as_tensor(logs, device=values.device).to(values.dtype)
    if len(values) == 0:
        return known
    at = torch.as_tensor(place, device=values.device)
    return torch.where(at >= 0, values[at.clamp_min(0)], known)


def _log_add(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b); a side of -inf has no part in the value nor in any derivative."""
    a_empty, b_empty = a == -torch.inf, b == -torch.inf
    either = a_empty | b_empty
    both = torch.logaddexp(torch.where(either, 0.0, a), torch.where(either, 0.0, b))
    return torch.where(a_empty, b, torch.where(b_empty, a, both))


def _log_sigmoid(z: Tensor) -> Tensor:
    return nn.functional.logsigmoid(z)


def _widen(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _checked_counts(counts: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(
            f"counts of shape {array.shape} came; expected one finite number >= 0 a class, for "
            "two classes or more"
        )
    return array
