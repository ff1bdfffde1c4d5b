"""From single labels to the stored arrays of `Labels`: accumulate, settle, check.

In: labels one at a time. Out: `Store`, the arrays described in `_sparse`. Class names get numbers
in the order of their first use while rows arrive, so nothing but the arrays and one dictionary
grows; the final order, the class list and the task are settled once at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror.labels._label import ClassName, Label, RowError, check_name, sort_names, suggest
from eitheror.labels._sparse import CODES, decode, encode, row_of_entries, take_rows

TASKS = ("multiclass", "multilabel")
_CHUNK = 65_536  # rows decoded at once


class Store(NamedTuple):
    """Classes, task and the stored rows."""

    classes: list[ClassName]
    task: str
    kinds: NDArray[np.uint8]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float64]

    def label(self, row: int) -> Label:
        """Return the label of one row."""
        span = slice(self.indptr[row], self.indptr[row + 1])
        indices, weights = self.indices[span].tolist(), self.weights[span].tolist()
        return decode(int(self.kinds[row]), indices, weights, self.classes)

    def labels(self) -> Iterator[Label]:
        """Return the labels of all rows; rows that state the same share one object."""
        for start in range(0, len(self.kinds), _CHUNK):
            ends = self.indptr[start : start + _CHUNK + 1]
            span = slice(ends[0], ends[-1])
            indices, weights = self.indices[span].tolist(), self.weights[span].tolist()
            seen: dict[tuple[Any, ...], Label] = {}
            bounds = pairwise((ends - ends[0]).tolist())
            for kind, (a, b) in zip(
                self.kinds[start : start + _CHUNK].tolist(), bounds, strict=True
            ):
                stated = kind, *indices[a:b], *weights[a:b]
                label = seen.get(stated)
                if label is None:
                    label = seen[stated] = decode(kind, indices[a:b], weights[a:b], self.classes)
                yield label

    def take(self, rows: NDArray[np.int64]) -> Store:
        """Return the given rows, in that order."""
        indptr, entries = take_rows(self.indptr, rows)
        return self._replace(
            kinds=self.kinds[rows],
            indptr=indptr,
            indices=self.indices[entries],
            weights=self.weights[entries],
        )

    def replace(self, rows: NDArray[np.int64], labels: Iterable[Label]) -> Store:
        """Return the store with the labels of `rows` replaced."""
        accumulated = RowArrays({name: i for i, name in enumerate(self.classes)})
        for label in labels:
            accumulated.append(label)
        order = np.arange(len(self.kinds), dtype=np.int64)
        order[rows] = len(self.kinds) + np.arange(len(rows))
        return stack([self, accumulated.store(self.classes, self.task)]).take(order)


def stack(stores: Sequence[Store]) -> Store:
    """Return the rows of several stores that share one class list, one after the other."""
    offsets = np.cumsum([0, *(s.indptr[-1] for s in stores)])
    return stores[0]._replace(
        kinds=np.concatenate([s.kinds for s in stores]),
        indptr=np.concatenate(
            [np.zeros(1, dtype=np.int64)]
            + [s.indptr[1:] + o for s, o in zip(stores, offsets[:-1], strict=True)]
        ),
        indices=np.concatenate([s.indices for s in stores]),
        weights=np.concatenate([s.weights for s in stores]),
    )


def same_rows(a: Store, b: Store) -> bool:
    """Return whether two stores of one class list and task state the same, row by row."""
    if not (np.array_equal(a.kinds, b.kinds) and np.array_equal(a.indptr, b.indptr)):
        return False
    if np.array_equal(a.indices, b.indices) and np.array_equal(a.weights, b.weights):
        return True
    rows = row_of_entries(a.indptr)  # the classes of a row may stand in another order
    plain = a.kinds[rows] != CODES["mixed"]
    first, second = (np.lexsort((s.indices[plain], rows[plain])) for s in (a, b))
    for x, y in ((a.indices, b.indices), (a.weights, b.weights)):
        if not np.array_equal(x[plain][first], y[plain][second]):
            return False
    mixed = np.flatnonzero(a.kinds == CODES["mixed"])
    return all(a.label(row) == b.label(row) for row in mixed.tolist())


class RowArrays:
    """Growing rows: a number a row, and each distinct statement encoded once."""

    def __init__(self, index: dict[ClassName, int]) -> None:
        self.index = index
        self.numbers = array("i")  # the statement of each row
        self._kinds = array("B")
        self._ends = array("q", [0])
        self._indices = array("i")
        self._weights = array("d")

    def __len__(self) -> int:
        return len(self.numbers)

    def number(self, label: Label) -> int:
        """Encode a statement and return its number; no row states it yet."""
        kind, indices, weights = encode(label, self.index)
        self._kinds.append(kind)
        self._indices.extend(indices)
        self._weights.extend(weights)
        self._ends.append(len(self._indices))
        return len(self._kinds) - 1

    def append(self, label: Label) -> None:
        """Store one more row."""
        self.numbers.append(self.number(label))

    def store(self, classes: list[ClassName], task: str) -> Store:
        """Return the rows as NumPy arrays."""
        statements = Store(
            classes,
            task,
            np.array(self._kinds, dtype=np.uint8),
            np.array(self._ends, dtype=np.int64),
            np.array(self._indices, dtype=np.int32),
            np.array(self._weights, dtype=np.float64),
        )
        return statements.take(np.array(self.numbers, dtype=np.int64))


def check_task(task: str | None) -> None:
    """Raise unless `task` is one of the two tasks, or None."""
    if task is not None and task not in TASKS:
        raise ValueError(
            f'task must be "multiclass" or "multilabel", got {task!r}{suggest(task, TASKS)}'
        )


def check_classes(classes: Iterable[ClassName]) -> list[ClassName]:
    """Return a given class list as plain names; a name that stands twice raises."""
    if isinstance(classes, str):
        raise TypeError(f"classes= takes a list of class names, got the string {classes!r}")
    names = [check_name(name) for name in classes]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"classes= names {twice!r} twice")
    return names


def settle(rows: Store, classes: Iterable[ClassName] | None, task: str | None) -> Store:
    """Fix the class list and the task of accumulated rows and check every row under them.

    Raises
    ------
    RowError
        A row that the task cannot hold, a contradiction, a class that `classes` does not name.
    """
    check_task(task)
    found = rows.classes
    if classes is None:
        if len({isinstance(name, str) for name in found}) > 1:
            some = [next(n for n in found if isinstance(n, kind)) for kind in (str, int)]
            raise ValueError(
                f"classes are named by strings and by integers ({some[0]!r}, {some[1]!r}); use one"
            )
        final = sort_names(found)
    else:
        final = check_classes(classes)
    tags = (rows.kinds == CODES["tags"]).any() or (rows.indices == -2 - CODES["tags"]).any()
    settled = renumber(rows, final)._replace(task=task or ("multilabel" if tags else "multiclass"))
    # An inferred class list may still grow, so "none of these" is no contradiction yet.
    return reduce_rows(settled) if classes is None else check_rows(settled)


def renumber(rows: Store, classes: list[ClassName]) -> Store:
    """Return the rows under another class list; a named class that is not in it raises."""
    if rows.classes is classes or rows.classes == classes:
        return rows._replace(classes=classes)
    index = {name: i for i, name in enumerate(classes)}
    new = np.array([index.get(name, -1) for name in rows.classes], dtype=np.int32)
    named = rows.indices >= 0
    indices = rows.indices.copy()
    indices[named] = new[indices[named]] if len(new) else 0
    if (indices[named] < 0).any():
        _refuse_unknown(rows, classes, index)
    return rows._replace(classes=classes, indices=indices)


def _refuse_unknown(rows: Store, classes: list[ClassName], index: dict[ClassName, int]) -> None:
    absent = np.array([name not in index for name in rows.classes], dtype=bool)
    entry = np.flatnonzero((rows.indices >= 0) & absent[rows.indices])[0]
    first = rows.classes[rows.indices[entry]]
    unknown = [name for name in rows.classes if name not in index]
    alike = next((c for c in classes if str(c) == str(first)), None)
    hint = f" (the classes are of another type: write {alike!r})" if alike is not None else ""
    hint = hint or suggest(first, classes)
    shown = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    raise RowError(
        int(row_of_entries(rows.indptr)[entry]),
        f"labels name classes that are not in classes=: [{shown}]{hint}",
    )


def check_rows(store: Store) -> Store:
    """Reduce every row under the task, and raise where it leaves no class of the list."""
    store = reduce_rows(store)
    refuse_empty(store)
    return store


def reduce_rows(store: Store) -> Store:
    """Reduce every row under the task; what the task cannot hold raises with its row."""
    doubtful = np.flatnonzero(_doubtful(store))
    reduced = []
    for row in doubtful.tolist():
        try:
            reduced.append(store.label(row).reduce(store.task))
        except ValueError as error:
            raise RowError(row, str(error)) from None
    return store.replace(doubtful, reduced) if reduced else store


def _doubtful(store: Store) -> NDArray[np.bool_]:
    """Mark the rows that `reduce` may change or refuse; the others are in final form."""
    kinds = store.kinds
    rows = row_of_entries(store.indptr)
    hard = np.isin(kinds, [CODES["exact"], CODES["either"], CODES["not"]])
    marked: NDArray[np.bool_] = kinds == CODES["mixed"]
    if store.task == "multiclass":
        sums = np.bincount(rows, np.where(store.indices >= 0, store.weights, 0), len(kinds))
        marked |= kinds == CODES["tags"]
        marked |= (kinds == CODES["soft"]) & ~(np.abs(sums - 1) <= 1e-6)
        marked |= (kinds == CODES["votes"]) & (sums <= 0)
        marked |= (kinds == CODES["exact"]) & (sums < 0)
        return marked
    doubted = np.zeros(len(kinds), dtype=bool)
    doubted[rows[hard[rows] & (np.abs(store.weights) < 1)]] = True
    has_extra = np.zeros(len(kinds), dtype=bool)
    has_extra[rows[store.indices == -1]] = True
    marked |= kinds == CODES["evidence"]
    marked |= (kinds == CODES["votes"]) & ~has_extra
    return marked | doubted


def refuse_empty(store: Store) -> None:
    """Raise when a row rules out every class of the list although one is true."""
    if store.task == "multilabel":
        return
    n_classes = len(store.classes)
    listed = np.bincount(
        row_of_entries(store.indptr)[store.indices >= 0], minlength=len(store.kinds)
    )
    can_be_empty = np.isin(store.kinds, [CODES["not"], CODES["evidence"]])
    for row in np.flatnonzero(can_be_empty & (listed == n_classes)).tolist():
        part = store.label(row).parts[0]
        full_trust = part.kind == "not" and part.number == 1
        if full_trust or (part.kind == "evidence" and not any(w for _, w in part.items)):
            raise RowError(
                row,
                f"{Label((part,))!r} rules out every class ({n_classes} in all), so no class is "
                "left; pass classes= if there are others",
            )
