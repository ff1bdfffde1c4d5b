"""The annotators as a table: how many votes, how accurate, who needs a look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.annotators._votes import Table

__all__ = ["AnnotatorLine", "AnnotatorReport"]

Floats = NDArray[np.float64]

_FEW = 5  # votes below which an accuracy is mostly the prior
_EMPTY = 0.1  # |kappa| below which votes hardly depend on the truth


@dataclass(frozen=True)
class AnnotatorLine:
    """What the model thinks of one annotator.

    Attributes
    ----------
    annotator : str or int
    votes : int
        Statements that say something.
    shared : int
        Those of them on items that somebody else judged too.
    accuracy : float
        Probability that an exact vote is right, at the estimated class frequencies (of tags: the
        mean over the tags).
    kappa : float
        Accuracy beyond what the same votes would reach by chance: 1 always right, 0 as good as
        blind, negative worse than that.
    note : str
        Empty, or what to look at.
    """

    annotator: Any
    votes: int
    shared: int
    accuracy: float
    kappa: float
    note: str


@dataclass(frozen=True)
class AnnotatorReport:
    """Lines in the order of `annotators_`. ``print(report)`` for people, `to_dict` for programs.

    Attributes
    ----------
    lines : tuple of AnnotatorLine
    """

    lines: tuple[AnnotatorLine, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the lines as plain values, ready for JSON."""
        return {"annotators": [asdict(line) for line in self.lines]}

    def __str__(self) -> str:
        width = max(len("annotator"), *(len(str(line.annotator)) for line in self.lines))
        rows = [f"{'annotator':<{width}}  votes  accuracy  kappa  note"]
        rows += [
            f"{line.annotator!s:<{width}}  {line.votes:>5}  {line.accuracy:>8.3f} "
            f"{line.kappa:>6.3f}  {line.note}".rstrip()
            for line in self.lines
        ]
        return "\n".join(rows)


def report_lines(table: Table, confusion: Floats, prior: Floats) -> tuple[AnnotatorLine, ...]:
    """Return one line per annotator, from the vote table and the fitted channel."""
    speaking = table.labels.kinds > 0
    n = len(table.annotators)
    votes = np.bincount(table.annotator[speaking], minlength=n)
    shared = np.bincount(table.annotator[speaking & _judged_by_others(table, speaking)], None, n)
    if confusion.ndim == 4:  # tags: absent and present
        both = np.stack([1 - prior, prior], axis=1)
        each = [_accuracy(confusion[k], both[k]) for k in range(len(prior))]
        accuracy, chance = (np.mean(values, axis=0) for values in zip(*each, strict=True))
    else:
        accuracy, chance = _accuracy(confusion, prior)
    kappa = (accuracy - chance) / np.maximum(1 - chance, 1e-12)
    return tuple(
        AnnotatorLine(
            name,
            int(votes[a]),
            int(shared[a]),
            float(accuracy[a]),
            float(kappa[a]),
            _note(int(votes[a]), int(shared[a]), float(kappa[a])),
        )
        for a, name in enumerate(table.annotators)
    )


def _judged_by_others(table: Table, speaking: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows are about an item that a second annotator said something about."""
    pairs = np.unique(table.item[speaking] * len(table.annotators) + table.annotator[speaking])
    judges = np.bincount(pairs // len(table.annotators), minlength=len(table.items))
    return np.asarray(judges[table.item] > 1)


def _accuracy(confusion: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return each annotator's chance to be right, and that of the same votes given blindly."""
    right = np.einsum("ayy,y->a", confusion, prior)
    votes = np.einsum("ayv,y->av", confusion, prior)
    return right, votes @ prior


def _note(votes: int, shared: int, kappa: float) -> str:
    if shared == 0:
        return "not measured: no item shared with others"
    if votes < _FEW:
        return "few votes: mostly the prior"
    if kappa <= -_EMPTY:
        return "worse than chance"
    return "hardly depends on the truth" if kappa < _EMPTY else ""
