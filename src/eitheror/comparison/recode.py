"""Labels rewritten the way people do it by hand: the options that a comparison sets side by side.

In: Labels. Out: Labels that say something else, on purpose, and how to read the answer back.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import KINDS, MARGINALS, UNKNOWN, ClassName, Label, Labels, exact

__all__ = [
    "candidates_as_tags",
    "drawn_once",
    "exact_only",
    "joined",
    "ruled_out",
    "sets_of",
    "tag_sets",
    "without_joint",
]

_LARGEST_SET = 3  # "A or B or C" may be a class of its own; "not D" is not
_MOST_JOINED = 50


def exact_only(labels: Labels) -> Labels:
    """Return the labels with every row unknown that does not name one class."""
    keep = labels.exact_index() >= 0
    rows = [label if kept else None for label, kept in zip(labels, keep, strict=True)]
    return Labels(rows, classes=labels.classes, task="multiclass")


def candidates_as_tags(labels: Labels) -> Labels:
    """Return tags: 1 for every class that is possible, 0 for every class ruled out.

    Weights and shares become fractions; rows that say nothing stay unknown.

    Examples
    --------
    >>> from eitheror.labels import not_
    >>> list(candidates_as_tags(Labels(["a", not_("a")], classes=["a", "b", "c"])))
    [tags('a'), tags('b', 'c')]
    """
    targets = labels.sparse()
    matrix = targets.dense(np.float64)
    matrix[targets.mode == UNKNOWN] = np.nan
    return Labels.from_indicator(matrix, classes=labels.classes)


def drawn_once(labels: Labels, rng: np.random.Generator) -> Labels:
    """Return one class a row, drawn once by the row's weights or shares."""
    targets = labels.sparse()
    weights = targets.dense(np.float64).cumsum(axis=1)
    chosen = (weights < rng.random(len(labels))[:, None] * weights[:, -1:]).sum(axis=1)
    rows = [
        None if mode == UNKNOWN else exact(labels.classes[k])
        for mode, k in zip(targets.mode.tolist(), chosen.tolist(), strict=True)
    ]
    return Labels(rows, classes=labels.classes, task="multiclass")


def sets_of(labels: Labels) -> list[tuple[ClassName, ...] | None]:
    """Return, for each row, the two or three classes it hesitates between, or None.

    `either`, `soft` and `votes` name such classes; what rules classes out does not.
    """
    found: list[tuple[ClassName, ...] | None] = []
    for label in labels:
        named = tuple(label.named)
        between = label.kind in ("either", "soft", "votes")
        found.append(named if between and 2 <= len(named) <= _LARGEST_SET else None)
    return found


def joined(labels: Labels) -> tuple[Labels, NDArray[np.float64], Counter[tuple[ClassName, ...]]]:
    """Make a class of its own of every pair or triple that rows hesitate between.

    Returns
    -------
    labels : Labels
        Over the classes and the joint ones (at most 50, the most frequent).
    split : array of shape (n_joint_and_classes, n_classes)
        How the probability of each new class is shared among the old ones.
    counts : Counter
        Rows of each joint class that was made.
    """
    sets = sets_of(labels)
    counts = Counter(group for group in sets if group is not None)
    kept = [group for group, _ in counts.most_common(_MOST_JOINED)]
    names = {group: " & ".join(map(str, group)) for group in kept}
    rows: list[Label | None] = []
    for label, group in zip(labels, sets, strict=True):
        rows.append(label if group is None else exact(names[group]) if group in names else None)
    classes = [*labels.classes, *names.values()]
    split = np.zeros((len(classes), labels.n_classes))
    split[: labels.n_classes] = np.eye(labels.n_classes)
    for place, group in enumerate(kept, start=labels.n_classes):
        split[place, [labels.class_index[name] for name in group]] = 1 / len(group)
    made = Counter({group: counts[group] for group in kept})
    return Labels(rows, classes=classes, task="multiclass"), split, made


def ruled_out(labels: Labels) -> NDArray[np.int64]:
    """Return the rows that rule out one class and say nothing else, without doubt.

    Examples
    --------
    >>> from eitheror.labels import not_
    >>> ruled_out(Labels(["a", not_("a"), not_("a", "b"), not_("b", trust=0.9)]))
    array([1])
    """
    negative = np.flatnonzero(labels.kinds == KINDS.index("not"))
    parts = [(row, labels[row].parts[0]) for row in negative.tolist()]
    plain = [row for row, part in parts if len(part.names) == 1 and part.number == 1]
    return np.array(plain, dtype=np.int64)


def without_joint(labels: Labels) -> Labels:
    """Return the labels with "at least one of" statements left out: no other loss reads them."""
    targets = labels.sparse()
    if not len(targets.group_indices):
        return labels
    return Labels.from_indicator(targets.dense(np.float64), classes=labels.classes)


def tag_sets(labels: Labels) -> tuple[Labels, NDArray[np.bool_]]:
    """Make a class of every set of tags that occurs (the label powerset).

    Only rows whose tags are fully known have a set; the others become unknown.

    Returns
    -------
    labels : Labels
        Classes 0, 1, ... for the sets.
    sets : bool array of shape (n_sets, n_classes)
    """
    targets = labels.sparse()
    matrix = targets.dense(np.float64)
    known = (targets.mode == MARGINALS) & np.isin(matrix, (0.0, 1.0)).all(axis=1)
    sets, of_row = np.unique(matrix[known] == 1, axis=0, return_inverse=True)
    rows: list[Label | None] = [None] * len(labels)
    for row, place in zip(np.flatnonzero(known).tolist(), of_row.ravel().tolist(), strict=True):
        rows[row] = exact(place)
    return Labels(rows, classes=range(len(sets)), task="multiclass"), sets
