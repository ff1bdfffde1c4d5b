"""Compiled label tree: averaged embeddings, and a yes/no question at each inner node of a tree.

``p(class) = product of sigma(+-(weight[node] . h + bias[node]))`` over the nodes on the class's
way, plus where it turns right. The leaves are the classes ``0 .. K-1``; inner node v of the K - 1
is node ``K + v``; every node comes before its parent and the root is the last one.
``up[node] = 2 v + side`` says where a node hangs (side 1 is right), -1 for the root.

A statement gives the classes weights w (1 possible, 0 ruled out), most of them all the same r.
From the leaves up, ``a[v] = log sum_k w_k p(k | v)`` and ``c[v] = log sum_k (1 - w_k) p(k | v)``
are known at once below a node that has no listed class: log r and log(1 - r). So only the ways of
the listed classes are walked, ``loss = softplus(c - a)`` at the root, and one walk down gives the
gradient: what a set, a complement or a class costs is its number of listed classes times the depth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, Features, Targets, jit
from eitheror._kernels.simd import LANES, add, add_scaled, dot, load, prefetch, store, zeros

__all__ = ["Tree", "Ways", "tree_epoch", "tree_loss", "ways_room"]

UNKNOWN, EVIDENCE, SHARES = 0, 1, 2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int32]
Chunks = tuple[int, ...]

_LINE = 16  # float32 numbers in a cache line


class Tree(NamedTuple):
    """The tree and its numbers.

    children int32 (n_classes - 1, 2), up int32 (2 n_classes - 1,), weight float32
    (n_classes - 1, width), bias float32 (n_classes - 1,).
    """

    children: NDArray[np.int32]
    up: NDArray[np.int32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Ways(NamedTuple):
    """Room for the nodes on the ways of a statement's classes, a chain of them for each class.

    A chain begins with its class and ends below the first node that an earlier chain holds, so
    that the chains from the last to the first, each from its class upwards, come children first.
    ``place[node]`` is where a node stands, if `nodes` there says so: nothing is ever cleared.
    """

    place: NDArray[np.int32]
    nodes: NDArray[np.int32]
    starts: NDArray[np.int64]
    margin: NDArray[np.float64]
    allowed: NDArray[np.float64]
    denied: NDArray[np.float64]
    reach_allowed: NDArray[np.float64]
    reach_denied: NDArray[np.float64]
    slope: NDArray[np.float64]


def ways_room(n_classes: int, most_listed: int, depth: int) -> Ways:
    """Return room for statements that list up to `most_listed` classes of a tree of that depth."""
    size = min(2 * n_classes - 1, max(most_listed, 1) * (depth + 1))
    return Ways(
        np.zeros(2 * n_classes - 1, np.int32),
        np.zeros(size, np.int32),
        np.zeros(most_listed + 1, np.int64),
        *(np.zeros(size) for _ in range(6)),
    )


@jit(EXACT)
def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@jit(EXACT)
def _sigmoid(x: float) -> float:
    e = math.exp(-abs(x))  # of a negative number only
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@jit(EXACT)
def _log_add(a: float, b: float) -> float:
    top, bottom = max(a, b), min(a, b)
    if bottom == -math.inf:
        return top
    return top + math.log1p(math.exp(bottom - top))


@jit(EXACT)
def _margin(tree: Tree, node: int, hidden: Floats, chunks: Chunks) -> float:
    width = tree.weight.shape[1]
    total = tree.bias[node]
    for part in range(0, width, LANES * len(chunks)):
        w = load(tree.weight, np.intp(node) * width + part, chunks)
        total += dot(load(hidden, part, chunks), w)
    return float(total)


@jit(EXACT)
def _walk(
    tree: Tree, indices: Integers, start: int, stop: int, hidden: Floats, chunks: Chunks, ways: Ways
) -> int:
    """Write the chains of the listed classes and the margins of their nodes; return their length.

    `slope` is 0 where nothing else is written later: at the classes.
    """
    place, nodes, starts, margin, _, _, _, _, slope = ways
    n_classes = tree.bias.shape[0] + 1
    n = 0
    for j in range(start, stop):
        starts[j - start] = n
        node = np.int64(indices[j])
        nodes[n], place[node], slope[n] = node, n, 0.0
        n += 1
        turn = tree.up[node]
        while turn >= 0:
            node = np.int64(n_classes + (turn >> 1))
            seen = place[node]
            if seen < n and nodes[seen] == node:
                break
            nodes[n], place[node] = node, n
            margin[n] = _margin(tree, node - n_classes, hidden, chunks)
            n += 1
            turn = tree.up[node]
    starts[stop - start] = n
    return n


@jit(EXACT)
def _find(ways: Ways, node: int, n: int) -> int:
    """Return where a node stands, -1 if it is on none of the ways."""
    place = ways.place[node]
    return place if place < n and ways.nodes[place] == node else -1


@jit(EXACT)
def _shares(tree: Tree, values: Floats, start: int, stop: int, ways: Ways, n: int) -> float:
    """Loss -sum t_k log p_k of listed shares t; the gradient goes to `slope`."""
    n_classes = tree.bias.shape[0] + 1
    share = ways.allowed
    value = 0.0
    for chain in range(stop - start - 1, -1, -1):
        share[ways.starts[chain]] = values[start + chain]
        for at in range(ways.starts[chain] + 1, ways.starts[chain + 1]):
            v = ways.nodes[at] - n_classes
            left, right = _find(ways, tree.children[v, 0], n), _find(ways, tree.children[v, 1], n)
            to_left = share[left] if left >= 0 else 0.0
            to_right = share[right] if right >= 0 else 0.0
            share[at] = to_left + to_right
            m = ways.margin[at]
            value += to_left * _softplus(m) + to_right * _softplus(-m)
            ways.slope[at] = share[at] * _sigmoid(m) - to_right
    return value


@jit(EXACT)
def _evidence(
    tree: Tree, values: Floats, start: int, stop: int, rest: float, ways: Ways, n: int
) -> float:
    """Loss softplus(c - a) at the root; the gradient goes to `slope`."""
    n_classes = tree.bias.shape[0] + 1
    _, nodes, starts, margin, allowed, denied, reach_allowed, reach_denied, slope = ways
    log_rest = math.log(rest) if rest > 0.0 else -math.inf
    log_none = math.log1p(-rest) if rest < 1.0 else -math.inf
    n_chains = stop - start
    for chain in range(n_chains - 1, -1, -1):
        w, leaf = float(values[start + chain]), starts[chain]
        allowed[leaf] = math.log(w) if w > 0.0 else -math.inf
        denied[leaf] = math.log1p(-w) if w < 1.0 else -math.inf
        for at in range(leaf + 1, starts[chain + 1]):
            v = nodes[at] - n_classes
            left, right = _find(ways, tree.children[v, 0], n), _find(ways, tree.children[v, 1], n)
            turn_left, turn_right = -_softplus(margin[at]), -_softplus(-margin[at])
            allowed[at] = _log_add(
                turn_left + (allowed[left] if left >= 0 else log_rest),
                turn_right + (allowed[right] if right >= 0 else log_rest),
            )
            denied[at] = _log_add(
                turn_left + (denied[left] if left >= 0 else log_none),
                turn_right + (denied[right] if right >= 0 else log_none),
            )
    root = starts[1] - 1
    d = denied[root] - allowed[root] if denied[root] > -math.inf else -math.inf
    reach_allowed[root] = reach_denied[root] = _sigmoid(d)
    for chain in range(n_chains):
        for at in range(starts[chain + 1] - 1, starts[chain], -1):
            v = nodes[at] - n_classes
            left, right = _find(ways, tree.children[v, 0], n), _find(ways, tree.children[v, 1], n)
            turn_left, turn_right = -_softplus(margin[at]), -_softplus(-margin[at])
            a = allowed[right] if right >= 0 else log_rest
            c = denied[right] if right >= 0 else log_none
            # How much of what is allowed, and of what is denied, lies on the right.
            a = math.exp(turn_right + a - allowed[at]) if a > -math.inf else 0.0
            c = math.exp(turn_right + c - denied[at]) if c > -math.inf else 0.0
            p = _sigmoid(margin[at])
            slope[at] = reach_denied[at] * (c - p) - reach_allowed[at] * (a - p)
            if right >= 0:
                reach_allowed[right] = reach_allowed[at] * a
                reach_denied[right] = reach_denied[at] * c
            if left >= 0:
                a = allowed[left]
                c = denied[left]
                a = math.exp(turn_left + a - allowed[at]) if a > -math.inf else 0.0
                c = math.exp(turn_left + c - denied[at]) if c > -math.inf else 0.0
                reach_allowed[left] = reach_allowed[at] * a
                reach_denied[left] = reach_denied[at] * c
    return _softplus(d) if d > -math.inf else 0.0


@jit(EXACT)
def _statement(
    tree: Tree,
    mode: int,
    indices: Integers,
    values: Floats,
    start: int,
    stop: int,
    rest: float,
    hidden: Floats,
    chunks: Chunks,
    ways: Ways,
) -> tuple[float, int]:
    """Loss of one statement and how many nodes its ways have; the gradient goes to `slope`."""
    if mode == UNKNOWN or stop == start:
        return 0.0, 0
    n = _walk(tree, indices, start, stop, hidden, chunks, ways)
    if mode == SHARES:
        return _shares(tree, values, start, stop, ways, n), n
    if stop - start > 1 or rest != 0.0 or values[start] != 1.0:
        return _evidence(tree, values, start, stop, rest, ways, n), n
    value = 0.0
    for at in range(1, n):  # one class: each turn on its way is known
        side = tree.up[ways.nodes[at - 1]] & 1
        m = ways.margin[at]
        value += _softplus(-m if side else m)
        ways.slope[at] = _sigmoid(m) - side
    return value, n


@jit(EXACT)
def _average(
    indices: Integers, start: int, stop: int, embedding: Floats, chunks: Chunks, hidden: Floats
) -> None:
    width = embedding.shape[1]
    share = np.float32(1.0 / max(stop - start, 1))
    for part in range(0, width, LANES * len(chunks)):
        h = zeros(chunks)
        for j in range(start, stop):
            h = add(h, load(embedding, np.intp(indices[j]) * width + part, chunks))
        store(hidden, part, add_scaled(zeros(chunks), share, h))


@jit(EXACT)
def _ask_for(row: int, features: Features, targets: Targets, embedding: Floats, tree: Tree) -> None:
    """Prefetch the embeddings of a text, and the lowest nodes of its first class."""
    width = embedding.shape[1]
    for j in range(features.indptr[row], features.indptr[row + 1]):
        for line in range(0, width, _LINE):
            prefetch(embedding, np.intp(features.indices[j]) * width + line)
    if targets.indptr[row] < targets.indptr[row + 1]:
        turn = tree.up[targets.indices[targets.indptr[row]]]
        while turn >= 0:
            prefetch(tree.weight, np.intp(turn >> 1) * width)
            turn = tree.up[tree.bias.shape[0] + 1 + (turn >> 1)]


@jit(EXACT)
def _square_mean(vector: Floats, dim: int) -> float:
    total = 0.0
    for d in range(dim):
        total += float(vector[d]) * float(vector[d])
    return total / dim


@jit(EXACT)
def _step_tree(
    tree: Tree,
    ways: Ways,
    n: int,
    factor: float,
    rate: float,
    hidden: Floats,
    dim: int,
    chunks: Chunks,
    weight_squares: Floats,
    bias_squares: Floats,
    back: Floats,
) -> None:
    """Write W' g with the old W to `back`; then W -= rate g h', bias -= rate g."""
    n_classes = tree.bias.shape[0] + 1
    width = tree.weight.shape[1]
    adaptive = weight_squares.shape[0] > 0
    size = _square_mean(hidden, dim) if adaptive else 0.0
    for part in range(0, width, LANES * len(chunks)):
        store(back, part, zeros(chunks))
    for at in range(n):
        v = np.intp(ways.nodes[at]) - n_classes
        if v < 0:
            continue
        g = ways.slope[at] * factor
        own = speed = -rate * g
        if adaptive:
            weight_squares[v] += np.float32(g * g * size)
            bias_squares[v] += np.float32(g * g)
            speed /= math.sqrt(weight_squares[v])
            own /= math.sqrt(bias_squares[v])
        tree.bias[v] += np.float32(own)
        for part in range(0, width, LANES * len(chunks)):
            w = load(tree.weight, v * width + part, chunks)
            store(back, part, add_scaled(load(back, part, chunks), np.float32(g), w))
            moved = add_scaled(w, np.float32(speed), load(hidden, part, chunks))
            store(tree.weight, v * width + part, moved)


@jit(EXACT)
def _step_embedding(
    indices: Integers,
    start: int,
    stop: int,
    rate: float,
    back: Floats,
    dim: int,
    chunks: Chunks,
    embedding: Floats,
    squares: Floats,
) -> None:
    width = embedding.shape[1]
    share = 1.0 / max(stop - start, 1)
    speed = np.float32(-rate * share)
    adaptive = squares.shape[0] > 0
    if adaptive:
        size = np.float32(share * share * _square_mean(back, dim))
        for j in range(start, stop):
            squares[indices[j]] += size
    for part in range(0, width, LANES * len(chunks)):
        b = load(back, part, chunks)
        for j in range(start, stop):
            place = np.intp(indices[j]) * width + part
            own = speed / np.sqrt(squares[indices[j]]) if adaptive else speed
            store(embedding, place, add_scaled(load(embedding, place, chunks), own, b))


@jit(EXACT)
def tree_epoch(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    embedding: Floats,
    tree: Tree,
    embedding_squares: Floats,
    weight_squares: Floats,
    bias_squares: Floats,
    ways: Ways,
    chunks: Chunks,
    dim: int,
    rate_start: float,
    rate_stop: float,
) -> float:
    """One pass over the rows of `order`; returns the weighted sum of their losses.

    Parameters
    ----------
    order, features, targets, chunks, dim, rate_start, rate_stop
        As in `eitheror._kernels.embedding.embedding_epoch`.
    embedding : float32 array of shape (n_features, width)
        Changed in place, as the weights of the tree.
    tree : Tree
    embedding_squares, weight_squares, bias_squares : float32 arrays
        Row Adagrad's sums, one a feature or an inner node; empty means plain steps.
    ways : Ways
        Room for the largest statement.
    """
    width = embedding.shape[1]
    hidden = np.empty(width, np.float32)
    back = np.empty(width, np.float32)
    indptr, indices, _ = features
    ends, named, worth, rest, mode = (
        targets.indptr,
        targets.indices,
        targets.values,
        targets.rest,
        targets.mode,
    )
    total = 0.0
    n_rows = order.shape[0]
    for position in range(n_rows):
        i = order[position]
        if position + 1 < n_rows:
            _ask_for(order[position + 1], features, targets, embedding, tree)
        start, stop = indptr[i], indptr[i + 1]
        _average(indices, start, stop, embedding, chunks, hidden)
        value, n = _statement(
            tree, mode[i], named, worth, ends[i], ends[i + 1], rest[i], hidden, chunks, ways
        )
        factor = float(targets.row_weight[i])
        total += factor * value
        rate = rate_start + (rate_stop - rate_start) * (position / n_rows)
        _step_tree(
            tree, ways, n, factor, rate, hidden, dim, chunks, weight_squares, bias_squares, back
        )
        _step_embedding(indices, start, stop, rate, back, dim, chunks, embedding, embedding_squares)
    return total


@jit(EXACT)
def tree_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    embedding: Floats,
    tree: Tree,
    ways: Ways,
    chunks: Chunks,
) -> float:
    """Weighted sum of the losses of the rows in `order`, nothing changed."""
    hidden = np.empty(embedding.shape[1], np.float32)
    total = 0.0
    for i in order:
        start, stop = features.indptr[i], features.indptr[i + 1]
        _average(features.indices, start, stop, embedding, chunks, hidden)
        value, _ = _statement(
            tree,
            targets.mode[i],
            targets.indices,
            targets.values,
            targets.indptr[i],
            targets.indptr[i + 1],
            targets.rest[i],
            hidden,
            chunks,
            ways,
        )
        total += float(targets.row_weight[i]) * value
    return total
