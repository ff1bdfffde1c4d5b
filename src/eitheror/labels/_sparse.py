"""Labels as flat arrays: how rows are stored, and the numbers that trainers and metrics read.

Stored rows: one kind byte, and CSR `indices` / `weights` that hold the *statement* (which classes
are named, with shares, counts or trust). Derived late, by `derive`: `SparseTargets`, the *numbers*
(1 possible, 0 ruled out, ...). Two kinds of array, so that `not_("C")` keeps its meaning when
classes are added, and a row that says "all but C" stays one entry long.

Negative indices are marks, not classes: -1 carries a row's one extra number (voters, the weight of
the rest, the open flag of tags), -2 - kind opens a part of a `mixed` row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from eitheror.labels._label import ClassName, Label, Part, _ordered

KINDS: Final = ("unknown", "exact", "either", "not", "soft", "votes", "tags", "evidence", "mixed")
CODES: Final = {kind: code for code, kind in enumerate(KINDS)}
_EXTRA: Final = -1

UNKNOWN, EVIDENCE, SHARES, MARGINALS = range(4)
"""Values of `SparseTargets.mode`."""


@dataclass(frozen=True)
class SparseTargets:
    """What is known about each row as numbers, in compressed sparse rows.

    Attributes
    ----------
    task : {"multiclass", "multilabel"}
        Whether one class is true or any number.
    n_classes : int
        Number of classes, K.
    indptr : int64 array of shape (n_samples + 1,)
        Row i lists the entries `indptr[i]` to `indptr[i + 1]`.
    indices : int32 array of shape (n_entries,)
        Class of each entry; no class stands twice in a row.
    values : float32 array of shape (n_entries,)
        multiclass: weight in [0, 1] (mode `EVIDENCE`) or share (mode `SHARES`).
        multilabel: probability of the tag, 1 present, 0 absent.
    rest : float32 array of shape (n_samples,)
        Value of every class that is not listed; nan where it is unknown (multilabel only).
    mode : uint8 array of shape (n_samples,)
        `UNKNOWN` 0, `EVIDENCE` 1, `SHARES` 2, `MARGINALS` 3.
    group_indptr : int64 array of shape (n_samples + 1,)
        Row i owns the "at least one of" groups `group_indptr[i]` to `group_indptr[i + 1]`.
    group_ends : int64 array of shape (n_groups + 1,)
        Group g lists `group_indices[group_ends[g] : group_ends[g + 1]]`.
    group_indices : int32 array
        Classes of the groups.
    """

    task: str
    n_classes: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    rest: NDArray[np.float32]
    mode: NDArray[np.uint8]
    group_indptr: NDArray[np.int64]
    group_ends: NDArray[np.int64]
    group_indices: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.mode)

    def dense(self, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the numbers as a matrix of shape `(n_samples, n_classes)`, without the groups.

        A row that says nothing is 1 everywhere (multiclass) or nan everywhere (multilabel).

        Examples
        --------
        >>> from eitheror import Labels
        >>> Labels(["a", None], classes=["a", "b"]).sparse().dense()
        array([[1., 0.],
               [1., 1.]], dtype=float32)
        """
        return fill_dense(self, self.task, self.n_classes, dtype)

    def full_sets_unknown(self) -> SparseTargets:
        """Return the targets with evidence for every class alike marked as unknown.

        Among these classes a set of all of them says nothing; among more it would.
        """
        lengths = np.diff(self.indptr)
        less = np.bincount(row_of_entries(self.indptr), self.values != 1, len(self)) > 0
        full = (self.rest == 1) | (lengths == self.n_classes)
        nothing = (self.mode == EVIDENCE) & ~less & full & (self.n_classes > 1)
        return replace(self, mode=np.where(nothing, np.uint8(UNKNOWN), self.mode))

    def take(self, rows: ArrayLike) -> SparseTargets:
        """Return the targets of `rows`, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        indptr, entries = take_rows(self.indptr, rows)
        group_indptr, groups = take_rows(self.group_indptr, rows)
        group_ends, members = take_rows(self.group_ends, groups)
        return SparseTargets(
            self.task,
            self.n_classes,
            indptr,
            self.indices[entries],
            self.values[entries],
            self.rest[rows],
            self.mode[rows],
            group_indptr,
            group_ends,
            self.group_indices[members],
        )


def fill_dense(
    found: SparseTargets | Derived, task: str, n_classes: int, dtype: DTypeLike
) -> NDArray[Any]:
    """Return listed values and the rest of each row as one matrix."""
    nothing = 1.0 if task == "multiclass" else np.nan
    rest = np.where(found.mode == UNKNOWN, nothing, found.rest).astype(dtype)
    matrix = np.repeat(rest[:, None], n_classes, axis=1)
    matrix[row_of_entries(found.indptr), found.indices] = found.values
    return matrix


def take_rows(
    indptr: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the new `indptr` and the positions of the entries when `rows` are taken from a CSR."""
    lengths = indptr[rows + 1] - indptr[rows]
    new = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=new[1:])
    return new, np.arange(new[-1], dtype=np.int64) + np.repeat(indptr[rows] - new[:-1], lengths)


def row_of_entries(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of each entry of a CSR."""
    return np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))


def encode(label: Label, index: dict[ClassName, int]) -> tuple[int, list[int], list[float]]:
    """Return (kind code, indices, weights) of a label; names new to `index` are added to it."""
    if not label.parts:
        return 0, [], []
    if len(label.parts) == 1:
        part = label.parts[0]
        return CODES[part.kind], *_encode_part(part, index)
    indices: list[int] = []
    weights: list[float] = []
    for part in label.parts:
        part_indices, part_weights = _encode_part(part, index)
        indices += [-2 - CODES[part.kind], *part_indices]
        weights += [0.0, *part_weights]
    return CODES["mixed"], indices, weights


def _encode_part(part: Part, index: dict[ClassName, int]) -> tuple[list[int], list[float]]:
    indices = [index.setdefault(name, len(index)) for name, _ in part.items]
    if part.kind in ("exact", "either", "not"):  # a minus sign marks the open world
        return indices, [-part.number if part.open else part.number] * len(indices)
    weights = [value for _, value in part.items]
    if part.kind == "tags" and part.open:
        return [*indices, _EXTRA], [*weights, 1.0]
    if part.kind in ("votes", "evidence") and part.number:
        return [*indices, _EXTRA], [*weights, part.number]
    return indices, weights


def decode(kind: int, indices: list[int], weights: list[float], classes: list[ClassName]) -> Label:
    """Return the label that `encode` stored."""
    if kind == 0:
        return Label()
    if kind != CODES["mixed"]:
        return Label((_decode_part(kind, indices, weights, classes),))
    starts = [*(at for at, i in enumerate(indices) if i <= -2), len(indices)]
    return Label(
        tuple(
            _decode_part(-2 - indices[a], indices[a + 1 : b], weights[a + 1 : b], classes)
            for a, b in pairwise(starts)
        )
    )


def _decode_part(
    kind: int, indices: list[int], weights: list[float], classes: list[ClassName]
) -> Part:
    name = KINDS[kind]
    named = {classes[i]: w for i, w in zip(indices, weights, strict=True) if i >= 0}
    if name in ("exact", "either", "not"):
        trust = weights[0]
        items = _ordered(dict.fromkeys(named, 1.0))
        return Part(name, items, abs(trust), trust < 0)
    extra = [w for i, w in zip(indices, weights, strict=True) if i == _EXTRA]
    if name == "tags":
        return Part(name, _ordered(named), open=bool(extra))
    if name in ("votes", "evidence"):
        return Part(name, _ordered(named), extra[0] if extra else 0.0)
    return Part(name, _ordered(named))


@dataclass(frozen=True)
class Derived:
    """The arrays of `SparseTargets` in float64, before the groups."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    rest: NDArray[np.float64]
    mode: NDArray[np.uint8]


def derive(
    task: str,
    n_classes: int,
    kinds: NDArray[np.uint8],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    weights: NDArray[np.float64],
) -> Derived:
    """Turn stored rows without `mixed` and multilabel `either` into numbers, all rows at once."""
    is_class = indices >= 0
    rows = row_of_entries(indptr)
    extra = np.zeros(len(kinds))
    extra[rows[~is_class]] = weights[~is_class]
    kept = np.concatenate(([0], np.cumsum(is_class)))[indptr].astype(np.int64)
    rows, indices, weights = rows[is_class], indices[is_class], weights[is_class]
    convert = _multiclass if task == "multiclass" else _multilabel
    values, rest, mode = convert(n_classes, kinds, kept, rows, weights, extra)
    return Derived(kept, indices.astype(np.int32), values, rest, mode)


def _first_weight(indptr: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's first weight (its trust), 1 for an empty row."""
    first = np.ones(len(indptr) - 1)
    filled = np.diff(indptr) > 0
    first[filled] = weights[indptr[:-1][filled]]
    return first


def _multiclass(
    n_classes: int,
    kinds: NDArray[np.uint8],
    indptr: NDArray[np.int64],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    extra: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    trust = np.abs(_first_weight(indptr, weights))
    kind = kinds[rows]
    values = np.ones(len(weights))
    ruled_out = kind == CODES["not"]
    values[ruled_out] = 1.0 - trust[rows[ruled_out]]
    as_given = (kind == CODES["soft"]) | (kind == CODES["evidence"])
    values[as_given] = weights[as_given]
    counted = kind == CODES["votes"]
    totals = np.bincount(rows[counted], weights[counted], len(kinds))
    values[counted] = weights[counted] / totals[rows[counted]]

    rest = np.zeros(len(kinds))
    affirmed = (kinds == CODES["exact"]) | (kinds == CODES["either"])
    rest[affirmed] = 1.0 - trust[affirmed]
    rest[kinds == CODES["not"]] = 1.0
    weighed = kinds == CODES["evidence"]
    rest[weighed] = extra[weighed]
    mode = np.full(len(kinds), EVIDENCE, dtype=np.uint8)
    mode[(kinds == CODES["soft"]) | (kinds == CODES["votes"])] = SHARES
    mode[kinds == CODES["unknown"]] = UNKNOWN
    _rescale_full_rows(n_classes, indptr, rows, values, mode)
    return values, rest, mode


def _rescale_full_rows(
    n_classes: int,
    indptr: NDArray[np.int64],
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    mode: NDArray[np.uint8],
) -> None:
    """Divide a row that names every class by its maximum: the weight of the rest has no class."""
    full = (np.diff(indptr) == n_classes) & (mode == EVIDENCE)
    if full.any():
        largest = np.zeros(len(mode))
        np.maximum.at(largest, rows, values)
        scale = full[rows] & (largest[rows] > 0)
        values[scale] /= largest[rows[scale]]


def _multilabel(
    n_classes: int,
    kinds: NDArray[np.uint8],
    indptr: NDArray[np.int64],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    extra: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    kind = kinds[rows]
    values = np.ones(len(weights))
    values[kind == CODES["not"]] = 0.0
    as_given = (kind == CODES["soft"]) | (kind == CODES["tags"])
    values[as_given] = weights[as_given]
    counted = kind == CODES["votes"]
    values[counted] = weights[counted] / extra[rows[counted]]

    opened = (kinds == CODES["exact"]) & (_first_weight(indptr, weights) < 0)
    opened |= (kinds == CODES["tags"]) & (extra > 0)
    opened |= (kinds == CODES["not"]) | (kinds == CODES["soft"]) | (kinds == CODES["unknown"])
    rest = np.where(opened, np.nan, 0.0)
    mode = np.full(len(kinds), MARGINALS, dtype=np.uint8)
    mode[opened & (np.diff(indptr) == 0)] = UNKNOWN
    return values, rest, mode
