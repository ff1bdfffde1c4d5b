"""Which rows a search learns from, which it chooses by, and which it keeps to itself.

Three parts: *training* rows, *selection* rows that candidates are scored on and decision rules are
fitted to, and *check* rows that no candidate sees, for the one score that the choice has not
flattered. Rows with the same content share a part; rows that say nothing are for training only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import UNKNOWN, Labels
from eitheror.training.folds import deal_folds

__all__ = ["FEWEST", "Parts", "deal_parts", "deal_rungs", "informative", "split_valid"]

FEWEST = 10
"""Selection rows, and check rows, below which there is nothing to choose by."""

REDUCTION = 3
"""Each rung of the ladder has so many times the rows of the one below."""

_FIRST_RUNG = 2000  # fewer rows rank candidates by chance
_RUNGS = 3
_BLOCK = 4096  # rows that are looked at as a whole matrix

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Parts:
    """Row numbers of the three parts.

    Attributes
    ----------
    train, selection, check : int64 arrays
        With validation rows of your own, `selection` and `check` count those.
    """

    train: Rows
    selection: Rows
    check: Rows


def informative(labels: Labels) -> NDArray[np.bool_]:
    """Return which rows can be scored: they say something; about single tags, where tags are asked.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> informative(Labels(["a", either("a", "b"), None])).tolist()
    [True, True, False]
    """
    targets = labels.sparse()
    if labels.task == "multiclass":
        return np.asarray(targets.mode != UNKNOWN)
    known = np.zeros(len(targets), dtype=bool)
    for start in range(0, len(targets), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(targets)))
        known[rows] = ~np.isnan(targets.take(rows).dense()).all(axis=1)
    return known


def deal_parts(labels: Labels, keys: Keys, validation: float, rng: np.random.Generator) -> Parts:
    """Hold out a share of the rows: two thirds of it to choose by, one third to check.

    Parameters
    ----------
    labels : Labels
    keys : uint64 array of shape (n_samples,)
        Content of each row.
    validation : float
        Share of the rows held out, above 0 and up to .5.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If a part is left with too few rows to be of use.
    """
    if not 0 < validation <= 0.5:
        raise ValueError(f"validation={validation!r}; expected a share above 0 and up to 0.5")
    where = f"with validation={validation:g} of {len(labels)} rows"
    _check_size("check", int(len(labels) * validation / REDUCTION), where)
    n_folds = max(6, round(REDUCTION / validation))
    _check_distinct(keys, n_folds)
    folds = deal_folds(labels, n_folds, keys=keys, rng=rng)
    speaks = informative(labels)
    parts = Parts(
        np.flatnonzero(folds > 2),
        np.flatnonzero(speaks & ((folds == 1) | (folds == 2))),
        np.flatnonzero(speaks & (folds == 0)),
    )
    _check_sizes(parts, where)
    return parts


def split_valid(n_train: int, labels: Labels, keys: Keys, rng: np.random.Generator) -> Parts:
    """Deal validation rows that were given: two thirds to choose by, one third to check.

    Raises
    ------
    ValueError
        If they are too few.
    """
    _check_distinct(keys, REDUCTION)
    folds = deal_folds(labels, REDUCTION, keys=keys, rng=rng)
    speaks = informative(labels)
    parts = Parts(
        np.arange(n_train),
        np.flatnonzero(speaks & (folds > 0)),
        np.flatnonzero(speaks & (folds == 0)),
    )
    _check_sizes(parts, f"of {len(labels)} validation rows")
    return parts


def deal_rungs(labels: Labels, keys: Keys, rng: np.random.Generator) -> list[Rows]:
    """Return growing parts of the training rows, each in the next, the last of them all rows.

    The first has a ninth of the rows, or a third, or all: the smallest with 2,000 or more.

    Parameters
    ----------
    labels : Labels
        Of the training rows.
    keys : uint64 array
    rng : numpy.random.Generator

    Examples
    --------
    >>> labels = Labels(["a", "b"] * 4000)
    >>> keys = np.arange(8000, dtype=np.uint64)
    >>> [len(rows) for rows in deal_rungs(labels, keys, np.random.default_rng(0))]
    [2667, 8000]
    """
    n = len(labels)
    n_folds = REDUCTION ** (_RUNGS - 1)
    while n_folds > 1 and n / n_folds < _FIRST_RUNG:
        n_folds //= REDUCTION
    if n_folds == 1 or len(np.unique(keys)) < n_folds:
        return [np.arange(n)]
    folds = deal_folds(labels, n_folds, keys=keys, rng=rng)
    sizes = [REDUCTION**step for step in range(_RUNGS) if REDUCTION**step <= n_folds]
    return [np.flatnonzero(folds < size) for size in sizes]


def _check_distinct(keys: Keys, wanted: int) -> None:
    if (distinct := len(np.unique(keys))) < wanted:
        raise ValueError(
            f"{distinct} different inputs among {len(keys)} rows; rows with the same input share "
            f"a part, and a search needs {wanted} different ones at the least"
        )


def _check_sizes(parts: Parts, where: str) -> None:
    _check_size("selection", len(parts.selection), where)
    _check_size("check", len(parts.check), where)


def _check_size(name: str, n: int, where: str) -> None:
    if n < FEWEST:
        raise ValueError(
            f"{n} rows that say something are left for the {name} part {where}; "
            f"expected {FEWEST} or more: give more rows, or a larger validation part"
        )
