"""Find the transition matrix: which class is written when another one is true.

In: statements, and what a model that did not see them thinks of each row (or the truth of some
rows). Out: `TransitionEstimate`. The matrix maximises the likelihood of the statements with the
model's probabilities held fixed, by EM; joint fits of both are identified only up to a permutation
of the classes, so they are left to the caller, one round at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from eitheror.labels import EVIDENCE, KINDS, ClassName, Labels, RowError, suggest
from eitheror.noise._checks import as_proba

__all__ = ["TransitionEstimate", "estimate_transition"]

_METHODS = ("em", "confident")
_WORDS = ("written", "not")
_FEW = 10  # rows of a class below which its row of the matrix is a rough guess
_SINGULAR = 0.02  # smallest singular value, in shares of the largest, of a matrix to be trusted


@dataclass(frozen=True)
class TransitionEstimate:
    """An estimated transition matrix; NumPy functions and `apply_transition` take it as one.

    Attributes
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        ``T[y, e]``, each row adds to 1.
    classes : list
        Names of rows and columns.
    counts : ndarray of shape (n_classes,)
        Expected number of rows of each true class that the estimate stands on.
    rank : int
        Numerical rank of the matrix. Below n_classes, the likelihood cannot tell some classes
        apart however many rows there are.
    condition : float
        Largest over smallest singular value; errors of the data grow by it.
    log_likelihood : float
        Mean log probability of the statements used.
    iterations : int
        Steps of EM; 0 for the "confident" method.
    """

    matrix: NDArray[np.float64]
    classes: list[ClassName]
    counts: NDArray[np.float64]
    rank: int
    condition: float
    log_likelihood: float
    iterations: int
    _notes: list[str] = field(default_factory=list, repr=False)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.matrix, dtype=dtype)

    @property
    def notes(self) -> list[str]:
        """What stands in the way of trusting the matrix, a sentence each; empty if nothing does."""
        return list(self._notes)


def estimate_transition(
    labels: Labels,
    proba: ArrayLike | None = None,
    *,
    truth: Labels | None = None,
    kind: Literal["written", "not"] = "written",
    method: Literal["em", "confident"] = "em",
    allow_wrong: bool = False,
    prior: float = 1.0,
    max_iter: int = 1000,
) -> TransitionEstimate:
    """Estimate P(e is written | y is true) from statements and class probabilities.

    Parameters
    ----------
    labels : Labels
        Statements about exclusive classes, as written.
    proba : array of shape (n_samples, n_classes), optional
        Out-of-fold probabilities. For "em" those of the *true* class: from a model trained on
        exact rows, or on `apply_transition` of an earlier estimate. For "confident" those of a
        model trained on the written labels as they are.
    truth : Labels, optional
        Exact where the truth of a row is known and unknown elsewhere; it replaces the row's
        probabilities. A few exact rows are what makes the estimate of a strong bias work. Without
        `proba` only these rows count.
    kind : {"written", "not"}
        As for `apply_transition`. "written" reads exact labels, sets and evidence; "not" reads
        statements that rule out one class.
    method : {"em", "confident"}
        "em": the matrix of the highest likelihood. "confident", for exact labels only: counts of
        (class the model is sure of, class written), where it is sure if its probability is at least
        its mean over the rows with that label (the confident joint of Northcutt, Jiang, Chuang,
        Confident learning, JAIR 2021). It is the better first round where there is nothing but
        wrong labels; "em" is better from the second on.
    allow_wrong : bool, default False
        For ``kind="not"``: whether a true class can be ruled out. False keeps the diagonal at 0.
    prior : float, default 1.0
        Rows of each true class that are made up, spread evenly over what can be written.
    max_iter : int, default 1000
        Steps of EM at most; it ends when no entry moves by 1e-6.

    Returns
    -------
    TransitionEstimate

    Raises
    ------
    ValueError
        For shapes that do not fit, and where no row can be used.

    See Also
    --------
    apply_transition : statements through the matrix.

    Examples
    --------
    >>> import eitheror as eo
    >>> truth = eo.Labels(["a"] * 100 + ["b"] * 100, classes=["a", "b"])
    >>> written = eo.Labels(["a"] * 80 + ["b"] * 120, classes=["a", "b"])
    >>> estimate_transition(written, truth=truth, prior=0).matrix.round(3)
    array([[0.8, 0.2],
           [0. , 1. ]])
    """
    for name, value, words in (("kind", kind, _WORDS), ("method", method, _METHODS)):
        if value not in words:
            raise ValueError(f"unknown {name} {value!r}{suggest(str(value), words)}")
    if labels.task != "multiclass":
        raise ValueError("the labels are tags; a transition is between exclusive classes")
    if not 0 <= prior < np.inf:
        raise ValueError(f"prior={prior!r}; expected a number of rows, 0 or more")
    if max_iter < 1:
        raise ValueError(f"max_iter={max_iter!r}; expected 1 or more")
    written = _written(labels) if kind == "written" else _ruled_out(labels)
    chance, used = _chance(labels, proba, truth)
    rows = np.flatnonzero(written.any(axis=1) & used)
    if not len(rows):
        raise ValueError(
            f"none of the {len(labels)} rows has both a statement that kind={kind!r} reads and a "
            "probability or a known truth"
        )
    allowed = np.ones((labels.n_classes,) * 2)
    if kind == "not" and not allow_wrong:
        np.fill_diagonal(allowed, 0.0)
    made_up = prior * allowed / allowed.sum(axis=1, keepdims=True)
    if method == "confident":
        counts, steps = _confident(labels, chance, rows, kind), 0
    else:
        counts, steps = _expected(written, chance, rows, allowed, made_up, max_iter)
    matrix = _normalised(counts + made_up, allowed)
    return _report(matrix, labels, counts.sum(axis=1), written[rows], chance[rows], steps)


def _written(labels: Labels) -> NDArray[np.float64]:
    """Weights of the classes that may have been perceived; 0 in rows that are not read."""
    targets = labels.sparse()
    weights = targets.dense(np.float64)
    weights[(targets.mode != EVIDENCE) | (weights == 1).all(axis=1)] = 0.0
    return np.asarray(weights)


def _ruled_out(labels: Labels) -> NDArray[np.float64]:
    """1 at the class ruled out, in rows that rule out one class and nothing else."""
    marks = np.zeros((len(labels), labels.n_classes))
    for row in np.flatnonzero(labels.kinds == KINDS.index("not")).tolist():
        part = labels[row].parts[0]
        if len(part.names) == 1 and part.number == 1:
            marks[row, labels.class_index[part.names[0]]] = 1.0
    return marks


def _chance(
    labels: Labels, proba: ArrayLike | None, truth: Labels | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities of the true class, and the rows that have some."""
    n, k = len(labels), labels.n_classes
    if proba is None and truth is None:
        raise ValueError("give proba (out-of-fold probabilities), truth (exact labels), or both")
    chance = np.zeros((n, k)) if proba is None else as_proba(proba, n, k)
    used = np.full(n, proba is not None)
    if truth is not None:
        if len(truth) != n:
            raise ValueError(f"truth has {len(truth)} rows and labels {n}; expected as many")
        known = truth.with_classes(labels.classes).exact_index()
        rows = np.flatnonzero(known >= 0)
        chance[rows] = np.eye(k)[known[rows]]
        used[rows] = True
    return chance, used


def _expected(
    written: NDArray[np.float64],
    chance: NDArray[np.float64],
    rows: NDArray[np.int64],
    allowed: NDArray[np.float64],
    made_up: NDArray[np.float64],
    max_iter: int,
) -> tuple[NDArray[np.float64], int]:
    """Return expected counts of (true, written) at the matrix of the highest likelihood."""
    said, p = written[rows], chance[rows]
    matrix = _normalised((p.T @ said) * allowed + made_up, allowed)
    counts, steps = made_up, 0
    for _ in range(max_iter):
        likelihood = np.einsum("iy,iy->i", p, said @ matrix.T)
        if not (likelihood > 0).all():
            row = int(rows[np.argmin(likelihood)])
            raise RowError(
                row,
                "the statement cannot be written for any class that can be true here; a known "
                "truth that is ruled out needs allow_wrong=True, a zero in proba a prior above 0",
            )
        # the chance that y was true and e perceived, added over the rows
        counts = matrix * (p.T @ (said / likelihood[:, None]))
        new, steps = _normalised(counts + made_up, allowed), steps + 1
        moved, matrix = float(np.abs(new - matrix).max()), new
        if moved < 1e-6:
            break
    return counts, steps


def _normalised(counts: NDArray[np.float64], allowed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that add to 1; an empty one is spread over what is allowed."""
    total = counts.sum(axis=1, keepdims=True)
    filled = np.where(total > 0, counts, allowed)
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))


def _confident(
    labels: Labels, chance: NDArray[np.float64], rows: NDArray[np.int64], kind: str
) -> NDArray[np.float64]:
    """Count (class the model is sure of, class written)."""
    written = labels.exact_index()[rows]
    if kind == "not" or (written < 0).any():
        raise ValueError('method="confident" counts exact labels; use method="em" for others')
    p, k = chance[rows], labels.n_classes
    level = np.full(k, np.inf)
    for e in np.unique(written):
        level[e] = p[written == e, e].mean()
    sure = p >= level
    best = np.where(sure, p, -1.0).argmax(axis=1)
    counts = np.zeros((k, k))
    kept = sure.any(axis=1)
    np.add.at(counts, (best[kept], written[kept]), 1.0)
    return counts


def _report(
    matrix: NDArray[np.float64],
    labels: Labels,
    counts: NDArray[np.float64],
    said: NDArray[np.float64],
    chance: NDArray[np.float64],
    steps: int,
) -> TransitionEstimate:
    singular = np.linalg.svd(matrix, compute_uv=False)
    rank = int(np.count_nonzero(singular > _SINGULAR * singular[0]))
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")
    with np.errstate(divide="ignore"):
        fit = float(np.log(np.einsum("iy,iy->i", chance, said @ matrix.T)).mean())
    notes = []
    if rank < len(matrix):
        notes.append(
            f"the matrix has rank {rank} of {len(matrix)} (condition {condition:.3g}): statements "
            "through it cannot tell some classes apart; add exact labels"
        )
    for name, count in zip(labels.classes, counts.tolist(), strict=True):
        if count < _FEW:
            notes.append(
                f"class {name!r}: only {count:.1f} rows of it are expected, too few for its "
                "row; give truth= for some"
            )
    return TransitionEstimate(
        matrix, list(labels.classes), counts, rank, condition, fit, steps, notes
    )
