"""Votes by annotator as flat arrays: what the EM of `_em` reads.

In: three aligned sequences (item, annotator, statement). Out: `Votes`. A statement about the class
is a row of weights over the classes that the annotator may have perceived: exact is one 1, a set
several, a rejection 0 at what it rejects. Equal statements are stored once, and so is each pair of
annotator and statement, because the same few statements come again and again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import KINDS, SHARES, UNKNOWN, Labels, RowError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 4_000_000  # numbers held at once while pairs are weighed


@dataclass(frozen=True)
class Votes:
    """Statements of annotators about items.

    Attributes
    ----------
    n_items, n_annotators : int
    item, pair : int64 array of shape (n_votes,)
        Item of each vote, and its pair of annotator and statement.
    weight : float64 array of shape (n_votes,)
        1, or the share of a blended vote.
    row : int64 array of shape (n_votes,)
        Position among the statements that came; the parts of a blended vote share it.
    pair_annotator, pair_statement : int64 array of shape (n_pairs,)
    statements : float64 array of shape (n_statements, n_classes)
        Weights in [0, 1], the largest 1.
    """

    n_items: int
    n_annotators: int
    item: Ints
    pair: Ints
    weight: Floats
    row: Ints
    pair_annotator: Ints
    pair_statement: Ints
    statements: Floats

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return int(self.statements.shape[1])

    def of_rows(self, keep: NDArray[np.bool_]) -> Votes:
        """Return the votes whose row is kept; `keep` has one entry per row that came."""
        here = keep[self.row]
        return Votes(
            self.n_items,
            self.n_annotators,
            self.item[here],
            self.pair[here],
            self.weight[here],
            self.row[here],
            self.pair_annotator,
            self.pair_statement,
            self.statements,
        )

    def pooled(self) -> Votes:
        """Return the votes as if one annotator had given them all."""
        return Votes(
            self.n_items,
            1,
            self.item,
            self.pair_statement[self.pair],
            self.weight,
            self.row,
            np.zeros(len(self.statements), dtype=np.int64),
            np.arange(len(self.statements)),
            self.statements,
        )

    def likelihood(self, confusion: Floats) -> Floats:
        """Return P(statement | class) of each pair, up to a factor: (n_pairs, n_classes).

        ``w_y = sum_v s_v C_a[y, v]``.
        """
        found = np.empty((len(self.pair_annotator), self.n_classes))
        for here in self._chunks():
            matrices = confusion[self.pair_annotator[here]]
            said = self.statements[self.pair_statement[here]]
            found[here] = np.einsum("pyv,pv->py", matrices, said)
        return found

    def log_evidence(self, likelihood: Floats) -> Floats:
        """Return the log likelihood of each item's votes under each class, (n_items, n_classes)."""
        logs = np.log(likelihood)
        return _sums(self.item, self.weight[:, None] * logs[self.pair], self.n_items)

    def expected_counts(self, proba: Floats, confusion: Floats, likelihood: Floats) -> Floats:
        """Return how often each annotator perceived v where y is true: (n_annotators, K, K).

        ``N_a[y, v] = sum_votes q_y s_v C_a[y, v] / w_y``: where a statement leaves v open, the
        channel itself says how likely v was what the annotator saw.
        """
        mass = _sums(self.pair, self.weight[:, None] * proba[self.item], len(self.pair_annotator))
        counts = np.zeros_like(confusion)
        for here in self._chunks():
            who = self.pair_annotator[here]
            said = self.statements[self.pair_statement[here]]
            scale = mass[here] / likelihood[here]
            np.add.at(counts, who, scale[:, :, None] * confusion[who] * said[:, None, :])
        return counts

    def shares(self) -> Floats:
        """Return the share of each class in an item's votes, a set split evenly over its classes.

        Items without votes get equal shares. Shape (n_items, n_classes).
        """
        even = self.statements / self.statements.sum(axis=1, keepdims=True)
        given = self.weight[:, None] * even[self.pair_statement[self.pair]]
        total = _sums(self.item, given, self.n_items)
        total[total.sum(axis=1) == 0] = 1.0
        found: Floats = total / total.sum(axis=1, keepdims=True)
        return found

    def _chunks(self) -> list[slice]:
        size = max(1, _CHUNK // self.n_classes**2)
        return [slice(i, i + size) for i in range(0, len(self.pair_annotator), size)]


def _sums(index: Ints, values: Floats, n: int) -> Floats:
    """Return the sum of the rows of `values` that share an index, shape (n, columns)."""
    columns = [np.bincount(index, values[:, k], minlength=n) for k in range(values.shape[1])]
    return np.stack(columns, axis=1)


# --- from sequences to arrays --------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The three sequences, checked and numbered.

    Attributes
    ----------
    items, annotators : list
        Names, in order of first appearance.
    item, annotator : int64 array of shape (n_rows,)
    labels : Labels
    """

    items: list[Any]
    annotators: list[Any]
    item: Ints
    annotator: Ints
    labels: Labels


def read_table(
    items: Iterable[Hashable],
    annotators: Iterable[Hashable],
    votes: Any,
    classes: Sequence[Any] | None,
    task: str | None,
) -> Table:
    """Check the three sequences of a vote table and number items and annotators."""
    labels = votes if isinstance(votes, Labels) else None
    if labels is None or classes is not None or task is not None:
        labels = Labels(votes, classes=classes, task=task)
    item_names, item = _number(items, "items")
    annotator_names, annotator = _number(annotators, "annotators")
    if not len(item) == len(annotator) == len(labels):
        raise ValueError(
            f"{len(item)} items, {len(annotator)} annotators and {len(labels)} votes; give the "
            "three side by side, one entry of each for every vote"
        )
    counted = np.flatnonzero(labels.kinds == KINDS.index("votes"))
    if len(counted):
        raise RowError(
            int(counted[0]),
            f"{labels[int(counted[0])]!r} counts several people, and an annotator model needs to "
            "know who said what; give one row for each vote",
        )
    return Table(item_names, annotator_names, item, annotator, labels)


def _number(names: Iterable[Hashable], what: str) -> tuple[list[Any], Ints]:
    if isinstance(names, str):
        raise TypeError(f"{what} takes one entry for each vote, got the string {names!r}")
    names = names.tolist() if isinstance(names, np.ndarray) else list(names)
    index: dict[Any, int] = {}
    try:
        numbers = [index.setdefault(name, len(index)) for name in names]
    except TypeError:
        raise TypeError(f"{what} must be names (text or numbers), one for each vote") from None
    for row, name in enumerate(names):
        if name is None or name != name:  # nan is not equal to itself
            raise RowError(row, f"{what} holds {name!r}; every vote needs a name there")
    return list(index), np.array(numbers, dtype=np.int64)


def encode_multiclass(table: Table) -> Votes:
    """Return the votes on which of the classes is true; rows that say nothing are left out."""
    found = table.labels.sparse()
    dense = found.dense(np.float64)
    row = np.flatnonzero((found.mode != UNKNOWN) & ~np.all(dense == 1, axis=1))
    blended = found.mode[row] == SHARES
    whole, parts = row[~blended], row[blended]
    # a blend is that many parts of a vote: its log likelihood is sum_k t_k log C_a[y, k]
    at, column = np.nonzero(dense[parts])
    n_classes = dense.shape[1]
    return _assemble(
        table,
        np.concatenate([whole, parts[at]]),
        np.concatenate([dense[whole], np.eye(n_classes)[column]]),
        np.concatenate([np.ones(len(whole)), dense[parts[at], column]]),
    )


def encode_tag(table: Table, values: Floats) -> Votes:
    """Return the votes on one tag, absent (0) or present (1); nan rows are left out."""
    known = np.flatnonzero(~np.isnan(values))
    present = values[known]
    rows = np.concatenate([known[present < 1], known[present > 0]])
    absent = np.count_nonzero(present < 1)
    statements = np.eye(2)[(np.arange(len(rows)) >= absent).astype(int)]
    weight = np.concatenate([1 - present[present < 1], present[present > 0]])
    return _assemble(table, rows, statements, weight)


def _assemble(table: Table, row: Ints, said: Floats, weight: Floats) -> Votes:
    statements, which = np.unique(said, axis=0, return_inverse=True)
    keys = table.annotator[row] * max(1, len(statements)) + which.reshape(-1)
    pairs, pair = np.unique(keys, return_inverse=True)
    return Votes(
        len(table.items),
        len(table.annotators),
        table.item[row],
        pair.astype(np.int64),
        weight.astype(np.float64),
        row.astype(np.int64),
        pairs // max(1, len(statements)),
        pairs % max(1, len(statements)),
        statements,
    )
