"""Statements through a known channel: the weights that make their likelihood right.

With ``T[y, e] = P(e is written | y is true)``, a written ``e`` is evidence with the weights
``T[:, e]`` (Patrini et al., Making deep neural networks robust to label noise: a loss correction
approach, CVPR 2017, call the loss of these weights *forward*; Yu et al., Learning with biased
complementary labels, ECCV 2018, use it for classes ruled out). Weights count up to a factor, so
each row is scaled to a largest weight of 1.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import (
    KINDS,
    SHARES,
    UNKNOWN,
    ClassName,
    Label,
    Labels,
    RowError,
    either,
    evidence,
    exact,
    suggest,
    unknown,
)
from eitheror.noise._checks import as_share, as_transition

__all__ = ["apply_transition", "trust_from_error_rate"]

_WORDS = ("written", "not")
_MOST_RULED_OUT = 12  # the subsets of the classes ruled out are walked through


def apply_transition(
    labels: Labels,
    transition: ArrayLike,
    *,
    kind: Literal["written", "not"] = "written",
    rows: ArrayLike | None = None,
) -> Labels:
    """Turn statements that came through a channel into the evidence that they are.

    The likelihood of the result finds the class probabilities if the matrix is right and of full
    rank; `partial_softmax_cross_entropy`, every trainer and every metric take it as it is.

    Parameters
    ----------
    labels : Labels
        Statements about exclusive classes.
    transition : array of shape (n_classes, n_classes)
        ``T[y, e]``, rows in the order of `labels.classes`, each adding to 1.
    kind : {"written", "not"}
        "written": the writer takes y for e with probability ``T[y, e]`` and says something that is
        equally likely for each class it allows *if e were true*. Exact ``e`` becomes the weights
        ``T[:, e]``, a set their sum over its members, "not l" the sum over all others, votes the
        product over the voters, each of whom errs alone.
        "not": ``T[y, l]`` is the probability that a writer who says one thing that y is *not* says
        l. "Not l" becomes ``T[:, l]``; several classes count as drawn one after the other without
        replacement, as `corrupt_complementary` does. Statements of other kinds stay as they are.
    rows : array of int or bool, optional
        Rows that came through the channel; the others stay as they are. None: all.

    Returns
    -------
    Labels
        The same classes. Rows that say nothing still say nothing.

    Raises
    ------
    ValueError
        A `RowError` for shares (a target of their own, not evidence) and for a statement that
        cannot be written under `transition`.

    See Also
    --------
    estimate_transition : the matrix from data.
    trust_from_error_rate : the same for one number, the share of wrong statements.

    Examples
    --------
    >>> import eitheror as eo
    >>> labels = eo.Labels(["a", eo.either("a", "b"), eo.not_("a")], classes=["a", "b", "c"])
    >>> apply_transition(labels, [[0.8, 0.2, 0], [0.4, 0.6, 0], [0, 0, 1]]).to_targets().round(3)
    array([[1. , 0.5, 0. ],
           [1. , 1. , 0. ],
           [0.2, 0.6, 1. ]])
    >>> said_not = [[0, 0.9, 0.1], [0.5, 0, 0.5], [0.1, 0.9, 0]]
    >>> apply_transition(labels, said_not, kind="not")[2]
    evidence({'b': 1, 'c': 0.2})
    """
    if kind not in _WORDS:
        raise ValueError(f"unknown kind {kind!r}{suggest(str(kind), _WORDS)}")
    if labels.task != "multiclass":
        raise ValueError(
            "the labels are tags (task='multilabel'); a transition is between classes of which "
            "one is true"
        )
    matrix = as_transition(transition, labels.n_classes)
    if matrix.shape[1] != labels.n_classes:
        raise ValueError(
            f"transition has shape {matrix.shape}; expected one column for each of the "
            f"{labels.n_classes} classes"
        )
    chosen = np.arange(len(labels)) if rows is None else np.arange(len(labels))[np.asarray(rows)]
    weights = (_written if kind == "written" else _ruled_out)(labels, matrix, chosen)
    return _replaced(labels, weights)


def trust_from_error_rate(error: float, n_classes: int, allowed: int = 1) -> float:
    """Return the `trust` of statements of which a known share is wrong.

    ``1 - error / (1 - error) * allowed / (n_classes - allowed)``: the weight of a class that the
    statement rules out is P(statement | such a class) / P(statement | a class it allows), if errors
    fall on every wrong statement of that size alike. A share of wrong labels of .1 among three
    classes is a weight of .056, not .1.

    Parameters
    ----------
    error : float
        Share of the statements that are wrong, from 0 to less than 1.
    n_classes : int
    allowed : int, default 1
        How many classes the statement allows: 1 for `exact`, 2 for "A or B", ``n_classes - 1`` for
        "not C".

    Returns
    -------
    float
        To be written as ``trust=``; at 0 the statement says nothing (write `unknown`).

    Raises
    ------
    ValueError
        Where errors are so many that the statement speaks against what it says.

    Examples
    --------
    >>> round(trust_from_error_rate(0.1, 3), 4)
    0.9444
    >>> round(trust_from_error_rate(0.1, 10, allowed=9), 4)
    0.0
    """
    as_share("error", error)
    if not 1 <= allowed < n_classes:
        raise ValueError(
            f"allowed={allowed}; expected 1 to {n_classes - 1}, of {n_classes} classes"
        )
    limit = (n_classes - allowed) / n_classes
    if error > limit + 1e-12:
        raise ValueError(
            f"error={error:g}: statements that allow {allowed} of {n_classes} classes and are "
            f"wrong more often than {limit:g} speak against what they say"
        )
    weight = error / (1 - error) * allowed / (n_classes - allowed)
    return max(0.0, 1.0 - weight)


Weights = dict[int, NDArray[np.float64]]


def _written(labels: Labels, matrix: Any, rows: NDArray[np.int64]) -> Weights:
    """Weights of statements about the class that the writer took the true one for."""
    targets = labels.sparse()
    mode, kinds = targets.mode, labels.kinds
    votes = KINDS.index("votes")
    dense = targets.dense(np.float64)
    found: Weights = {}
    for row in rows.tolist():
        if mode[row] == UNKNOWN:
            continue
        if kinds[row] == votes:
            found[row] = _votes_weights(labels, matrix, row)
        elif mode[row] == SHARES:
            raise RowError(
                row,
                f"{labels[row]!r} gives shares, which are a target and not evidence; a transition "
                "goes with exact, either, not_, evidence or votes",
            )
        else:
            found[row] = _scaled(matrix @ dense[row], labels, row)
    return found


def _votes_weights(labels: Labels, matrix: Any, row: int) -> NDArray[np.float64]:
    counts = dict(labels[row].parts[0].items)
    index = labels.class_index
    with np.errstate(divide="ignore"):
        logs = [n * np.log(matrix[:, index[name]]) for name, n in counts.items() if n > 0]
    total = np.sum(logs, axis=0)
    top = total.max()
    return _scaled(np.exp(total - top) if top > -np.inf else np.zeros(len(total)), labels, row)


def _ruled_out(labels: Labels, matrix: Any, rows: NDArray[np.int64]) -> Weights:
    """Weights of "not" statements, by the probability that these classes were drawn."""
    found: Weights = {}
    known: dict[tuple[ClassName, ...], NDArray[np.float64]] = {}
    negative, index = KINDS.index("not"), labels.class_index
    for row in rows[labels.kinds[rows] == negative].tolist():
        part = labels[row].parts[0]
        if part.number != 1:
            raise RowError(
                row,
                f"{labels[row]!r} has a trust of its own; the transition says how often statements "
                "are wrong (its diagonal), so write them without trust",
            )
        if part.names not in known:
            if len(part.names) > _MOST_RULED_OUT:
                raise RowError(
                    row,
                    f"{len(part.names)} classes are ruled out; kind='not' counts the orders in "
                    f"which up to {_MOST_RULED_OUT} were drawn",
                )
            columns = [index[name] for name in part.names]
            known[part.names] = _scaled(_drawn_together(matrix[:, columns]), labels, row)
        found[row] = known[part.names]
    return found


def _drawn_together(chance: Any) -> NDArray[np.float64]:
    """P(these columns are drawn, in any order, without replacement), for each row."""
    n = chance.shape[1]
    reached = np.zeros((1 << n, len(chance)))
    reached[0] = 1.0
    for drawn in range(1 << n):
        inside = [j for j in range(n) if drawn >> j & 1]
        left = 1.0 - chance[:, inside].sum(axis=1)
        for j in (j for j in range(n) if not drawn >> j & 1):
            # where nothing is left to draw, the class has no chance either
            step = np.divide(chance[:, j], left, out=np.zeros(len(chance)), where=left > 1e-12)
            reached[drawn | 1 << j] += reached[drawn] * step
    return np.asarray(reached[-1])


def _scaled(weights: NDArray[np.float64], labels: Labels, row: int) -> NDArray[np.float64]:
    top = weights.max()
    if not top > 0:
        raise RowError(
            row, f"{labels[row]!r} is never written under this transition, whatever is true"
        )
    return np.asarray(weights / top)


def _replaced(labels: Labels, weights: Weights) -> Labels:
    """Put evidence in the place of the rows that have weights."""
    made: dict[bytes, Label] = {}
    new: list[Label] = []
    for row in range(len(labels)):
        if row not in weights:
            new.append(labels[row])
            continue
        key = weights[row].tobytes()
        if key not in made:
            made[key] = _statement(labels.classes, weights[row])
        new.append(made[key])
    return Labels(new, classes=labels.classes, task=labels.task)


def _statement(classes: list[ClassName], weights: NDArray[np.float64]) -> Label:
    """Return the plainest statement with these weights."""
    possible = [name for name, w in zip(classes, weights.tolist(), strict=True) if w > 0]
    if np.isin(weights, (0.0, 1.0)).all():
        if len(possible) == len(classes):
            return unknown
        return exact(possible[0]) if len(possible) == 1 else either(*possible)
    return evidence({n: w for n, w in zip(classes, weights.tolist(), strict=True) if w > 0})
