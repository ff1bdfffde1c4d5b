"""Compiled building of a label tree: classes whose texts share words come to stand side by side.

`class_signatures` gives every class a short vector, the sum of its texts' random projections, and
`unit_rows` gives them one length; `split_classes` cuts the classes in two, again and again, until
each is alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, Features, Targets, jit

__all__ = ["SIGNS", "class_signatures", "split_classes", "unit_rows"]

SIGNS = 64
"""Length of a signature."""

_SAMPLE = 1024  # classes that the direction of a cut is looked for in
_ROUNDS = 4

Floats = NDArray[np.float32]


@jit(EXACT)
def _signs(feature: int) -> np.uint64:
    """Return 64 random bits that depend on nothing but the feature: splitmix64."""
    z = (np.uint64(feature) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit(SUMS)
def _unit(vector: Floats) -> float:
    """Scale to length 1; return what the length was."""
    total = np.float32(0.0)
    for d in range(vector.shape[0]):
        total += vector[d] * vector[d]
    length = math.sqrt(total)
    if length > 0.0:
        for d in range(vector.shape[0]):
            vector[d] /= np.float32(length)
    return length


@jit(SUMS)
def _add_signs(bits: np.uint64, amount: np.float32, out: Floats) -> None:
    for d in range(SIGNS):
        out[d] += amount if (bits >> np.uint64(d)) & np.uint64(1) else -amount


@jit(SUMS)
def _add_scaled(vector: Floats, amount: np.float32, out: Floats) -> None:
    for d in range(SIGNS):
        out[d] += amount * vector[d]


@jit(EXACT)
def class_signatures(
    order: NDArray[np.int64], features: Features, targets: Targets, rarity: Floats, out: Floats
) -> None:
    """Add every text's projection to the signatures of the classes that its statement names.

    Parameters
    ----------
    order : int64 array
        The rows to read.
    features, targets : Features, Targets
    rarity : float32 array of shape (n_features,)
        What a feature counts.
    out : float32 array of shape (n_classes, SIGNS)
        Changed in place, so that the rows may come in several calls.
    """
    text = np.empty(SIGNS, np.float32)
    for i in order:
        text[:] = np.float32(0.0)
        for j in range(features.indptr[i], features.indptr[i + 1]):
            feature = features.indices[j]
            _add_signs(_signs(feature), rarity[feature], text)
        _unit(text)
        total = 0.0
        for j in range(targets.indptr[i], targets.indptr[i + 1]):
            total += max(0.0, targets.values[j] - targets.rest[i])
        for j in range(targets.indptr[i], targets.indptr[i + 1]):
            amount = targets.values[j] - targets.rest[i]
            if amount > 0.0:
                amount = amount / total * targets.row_weight[i]
                _add_scaled(text, np.float32(amount), out[targets.indices[j]])


@jit(EXACT)
def unit_rows(vectors: Floats) -> None:
    """Scale each row to length 1; rows of 0 stay."""
    for k in range(vectors.shape[0]):
        _unit(vectors[k])


@jit(SUMS)
def _product(vector: Floats, direction: Floats) -> np.float32:
    total = np.float32(0.0)
    for d in range(SIGNS):
        total += vector[d] * direction[d]
    return total


@jit(EXACT)
def _cut(keys: Floats, members: NDArray[np.int32], mass: NDArray[np.float64]) -> int:
    """Sort the members by their keys; return how many hold the nearest to half of the mass."""
    by_key = np.argsort(keys, kind="mergesort")
    sorted_members = members[by_key]
    members[:] = sorted_members
    total = 0.0
    for k in members:
        total += mass[k]
    before, n = 0.0, 0
    while n < members.shape[0] - 1:
        with_next = before + mass[members[n]]
        if n > 0 and abs(with_next - 0.5 * total) >= abs(before - 0.5 * total):
            break
        before = with_next
        n += 1
    return n


@jit(EXACT)
def _direction(
    members: NDArray[np.int32], signatures: Floats, mass: NDArray[np.float64], out: Floats
) -> None:
    """Write the direction in which two halves of the members lie the furthest apart.

    2-means with halves of one mass, on at most `_SAMPLE` members; it begins at the line from the
    member that is the least like the first one.
    """
    step = -(-members.shape[0] // _SAMPLE)
    sample = members[::step].copy()
    keys = np.empty(sample.shape[0], np.float32)
    for side in range(2):
        for j in range(sample.shape[0]):
            keys[j] = _product(signatures[sample[j]], signatures[sample[0]])
        if side == 0:
            far = np.argmin(keys)
            sample[0], sample[far] = sample[far], sample[0]
    far = np.argmin(keys)
    for d in range(SIGNS):
        out[d] = signatures[sample[0], d] - signatures[sample[far], d]
    means = np.empty((2, SIGNS), np.float32)
    for _ in range(_ROUNDS):
        for j in range(sample.shape[0]):
            keys[j] = _product(signatures[sample[j]], out)
        n = _cut(keys, sample, mass)
        means[:] = np.float32(0.0)
        for j in range(sample.shape[0]):
            _add_scaled(signatures[sample[j]], np.float32(1.0), means[0 if j < n else 1])
        _unit(means[0])
        _unit(means[1])
        for d in range(SIGNS):
            out[d] = means[1, d] - means[0, d]


@jit(EXACT)
def split_classes(
    signatures: Floats, mass: NDArray[np.float64], children: NDArray[np.int32]
) -> None:
    """Write a tree over the classes whose nodes part what hangs below into halves of one mass.

    Parameters
    ----------
    signatures : float32 array of shape (n_classes, SIGNS)
        From `class_signatures`, of length 1, or 0 for a class that no statement names.
    mass : float64 array of shape (n_classes,)
        How often each class is true, above 0.
    children : int32 array of shape (n_classes - 1, 2)
        Written: the left and the right child of each inner node, which come before it.
    """
    n_classes = signatures.shape[0]
    members = np.arange(n_classes).astype(np.int32)
    starts = np.empty(n_classes, np.int64)
    stops = np.empty(n_classes, np.int64)
    direction = np.empty(SIGNS, np.float32)
    keys = np.empty(n_classes, np.float32)
    # The node of a stretch of the members is numbered when it is met, from the root downwards.
    free = n_classes - 2
    starts[n_classes - 2], stops[n_classes - 2] = 0, n_classes
    for v in range(n_classes - 2, -1, -1):
        start, stop = starts[v], stops[v]
        part = members[start:stop]
        _direction(part, signatures, mass, direction)
        for j in range(start, stop):
            keys[j] = _product(signatures[members[j]], direction)
        middle = start + _cut(keys[start:stop], part, mass)
        for side in range(2):
            a, b = (start, middle) if side == 0 else (middle, stop)
            if b - a == 1:
                children[v, side] = members[a]
            else:
                free -= 1
                starts[free], stops[free] = a, b
                children[v, side] = n_classes + free
