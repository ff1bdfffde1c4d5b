"""Folds dealt by what the labels say: the same share of every statement in every fold.

In: :class:`~eitheror.labels.Labels`, and optionally one key per row. Out: a fold number per row.
Multiclass rows are stratified by ``labels.strata()``; multilabel rows by iterative stratification,
which keeps the share of every tag. Rows with the same key (the same content) never fall in two
folds, so a repeated row is not learnt in one and tested in another.

References
----------
Sechidis, Tsoumakas, Vlahavas (2011), On the stratification of multi-label data, ECML PKDD.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries

__all__ = ["content_keys", "deal_folds"]

Keys = NDArray[np.uint64]


def content_keys(X: Any) -> Keys:
    """Return a 64-bit key for each row of features, whatever its position.

    Parameters
    ----------
    X : array, sparse matrix or table of shape (n_samples, n_features), or sequence of texts

    Returns
    -------
    uint64 array of shape (n_samples,)
        Equal rows have equal keys.

    Examples
    --------
    >>> keys = content_keys(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    >>> bool(keys[0] == keys[2]), bool(keys[0] == keys[1])
    (True, False)
    >>> len(set(content_keys(["red apple", "blue sky", "red apple"]).tolist()))
    2
    """
    digests = b"".join(blake2b(row, digest_size=8).digest() for row in _row_bytes(X))
    return np.frombuffer(digests, dtype="<u8")


def _row_bytes(X: Any) -> Iterator[bytes]:
    if hasattr(X, "indptr") or hasattr(X, "tocsr"):
        X = X.tocsr() if hasattr(X, "tocsr") else X
        X = X if getattr(X, "has_sorted_indices", True) else X.sorted_indices()
        spans = zip(X.indptr[:-1], X.indptr[1:], strict=True)
        return (X.indices[a:b].tobytes() + X.data[a:b].tobytes() for a, b in spans)
    # an array of texts would be as wide as the longest
    texts = isinstance(X, Sequence) and all(isinstance(row, str) for row in X)
    rows = X if texts else np.asarray(X)
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "biuf":
        return (row.tobytes() for row in rows)
    listed = rows.tolist() if isinstance(rows, np.ndarray) else rows
    spelt = (row if isinstance(row, str) else repr(row) for row in listed)
    return (text.encode("utf-8", "surrogatepass") for text in spelt)


def deal_folds(
    labels: Labels,
    n_folds: int,
    *,
    keys: Keys | None = None,
    rng: np.random.Generator | None = None,
) -> NDArray[np.int64]:
    """Give each row a fold number so that every fold has its share of each statement.

    Parameters
    ----------
    labels
        ``(n_samples,)`` labels of either task.
    n_folds
        Number of folds, at least 2 and at most the number of rows.
    keys
        ``(n_samples,)`` content keys; rows with one key go to one fold and the order of rows
        does not matter. Without keys every row stands alone.
    rng
        Shuffles the order in which rows (or keys) are dealt; None deals in the order of the keys,
        or of the rows.

    Returns
    -------
    numpy.ndarray
        ``(n_samples,)`` fold numbers 0 to ``n_folds - 1``.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "a", either("a", "b"), either("a", "b"), "b", "b"])
    >>> folds = deal_folds(labels, 2)
    >>> [sorted(folds[i : i + 2].tolist()) for i in (0, 2, 4)]
    [[0, 1], [0, 1], [0, 1]]
    """
    n = len(labels)
    if not 2 <= n_folds <= n:
        raise ValueError(
            f"n_folds={n_folds} with {n} rows; expected a number from 2 to the number of rows"
        )
    first, unit = _units(n, keys)
    if rng is not None:
        order = rng.permutation(len(first))
    else:
        order = np.arange(len(first))
    if labels.task == "multilabel":
        fold = _deal_tags(labels.sparse().take(first[order]), n_folds)
    else:
        fold = _deal_strata(labels[first[order]].strata(), n_folds)
    dealt = np.empty(len(first), dtype=np.int64)
    dealt[order] = fold
    return dealt[unit]


def _units(n: int, keys: Keys | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each distinct key (in key order), and the unit of each row."""
    if keys is None:
        return np.arange(n), np.arange(n)
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), unit.reshape(-1).astype(np.int64)


def _deal_strata(strata: NDArray[Any], n_folds: int) -> NDArray[np.int64]:
    """Deal rows like cards, one stratum after the other, without starting again at fold 0."""
    order = np.argsort(strata, kind="stable")
    fold = np.empty(len(strata), dtype=np.int64)
    fold[order] = np.arange(len(strata)) % n_folds
    return fold


def _deal_tags(targets: SparseTargets, n_folds: int) -> NDArray[np.int64]:
    """Deal by iterative stratification: rarest tag first, each row to the fold that lacks it."""
    n, k = len(targets), targets.n_classes
    rows = row_of_entries(targets.indptr)
    present = targets.values > 0
    rows, tags = rows[present], np.asarray(targets.indices)[present]
    of_tag = rows[np.argsort(tags, kind="stable")]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(tags, minlength=k))])
    row_ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    remaining = np.diff(bounds).astype(np.int64)
    wanted_tag = np.repeat(remaining[:, None] / n_folds, n_folds, axis=1)
    wanted = np.full(n_folds, n / n_folds)
    fold = np.full(n, -1, dtype=np.int64)
    while remaining.any():
        tag = int(np.argmin(np.where(remaining > 0, remaining, n + 1)))
        for row in of_tag[bounds[tag] : bounds[tag + 1]]:
            if fold[row] >= 0:
                continue
            own = tags[row_ends[row] : row_ends[row + 1]]
            best = _neediest(wanted_tag[tag], wanted)
            fold[row] = best
            wanted_tag[own, best] -= 1
            wanted[best] -= 1
            remaining[own] -= 1
    for row in np.flatnonzero(fold < 0):  # rows without a tag even out the sizes
        fold[row] = int(np.argmax(wanted))
        wanted[fold[row]] -= 1
    return fold


def _neediest(tag_wanted: NDArray[Any], wanted: NDArray[Any]) -> int:
    """Fold that lacks the tag most; among equals the emptiest, then the first."""
    return int(np.lexsort((-wanted, -tag_wanted))[0])
