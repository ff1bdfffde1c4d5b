"""The scores that rules are tuned for, over the entries that are known.

Every score is a function of three counts: hits (predicted and present), predicted, present,
taken over all entries (micro), per class (macro) or per row (samples). An unknown entry is
left out of all three; a fraction counts as that part of a tag.

`score_decision` is the plain definition; `_search` finds the best cut of the same scores
without trying them one by one, and the tests hold the two together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.decide._targets import checked_proba, tag_targets

if TYPE_CHECKING:
    from eitheror.decide.calibration import Calibration
    from eitheror.decide.rules import Rule

__all__ = [
    "METRICS",
    "check_metric",
    "cross_fitted_score",
    "samples_scores",
    "score_decision",
    "set_fraction",
    "set_score",
]

METRICS = (
    "f1_micro",
    "f1_macro",
    "f1_samples",
    "jaccard_micro",
    "jaccard_macro",
    "jaccard_samples",
    "accuracy",
)


def check_metric(metric: str) -> str:
    """Return `metric`, or raise ValueError naming the words that exist."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; write one of {', '.join(METRICS)}")
    return metric


def set_fraction(
    measure: str, hits: Any, predicted: Any, present: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return top and bottom of F1 = 2h / (p + t) or Jaccard = h / (p + t - h)."""
    if measure == "f1":
        return 2 * hits, predicted + present
    return hits, predicted + present - hits


def set_score(
    measure: str,
    hits: ArrayLike,
    predicted: ArrayLike,
    present: ArrayLike,
    *,
    empty: float,
) -> NDArray[np.float64]:
    """Score counts: F1 is 2h/(p+t), Jaccard h/(p+t-h), accuracy 1 if h = p = t.

    Parameters
    ----------
    measure : {"f1", "jaccard", "accuracy"}
    hits, predicted, present : arrays of one shape
        h, p and t.
    empty : float
        The score where nothing is predicted and nothing is present.
    """
    h, p, t = np.broadcast_arrays(*(np.asarray(c, np.float64) for c in (hits, predicted, present)))
    if measure == "accuracy":
        equal: NDArray[np.bool_] = (h == p) & (h == t)
        return equal.astype(np.float64)
    top, bottom = set_fraction(measure, h, p, t)
    score = np.full(h.shape, float(empty))
    np.divide(top, bottom, out=score, where=bottom > 0)
    return score


def score_decision(metric: str, labels: Any, predicted: Any) -> float:
    """Return the score of a decision over the known entries.

    Macro averages run over the classes that are predicted or present somewhere; samples
    averages and accuracy over the rows with any known entry, where an empty prediction of an
    empty row scores 1. A score of nothing at all (0/0) is 0.

    Parameters
    ----------
    metric : str
        One of `METRICS`. ``accuracy`` is the exact set.
    labels : Labels, SparseTargets or array of shape (n_samples, n_classes)
    predicted : bool array of shape (n_samples, n_classes)

    Examples
    --------
    >>> score_decision("jaccard_micro", [[1, 0, float("nan")]], [[True, True, True]])
    0.5
    """
    measure, _, average = check_metric(metric).partition("_")
    predicted = np.asarray(predicted, dtype=bool)
    targets = tag_targets(labels, checked_proba(predicted))
    known = ~np.isnan(targets)
    present = np.where(known, targets, 0.0).astype(np.float64)
    chosen = predicted & known
    hits = np.where(chosen, present, 0.0)
    axis = {"micro": None, "macro": 0}.get(average, 1)
    counts = [np.asarray(part.sum(axis=axis)) for part in (hits, chosen, present)]
    if axis == 1:
        scores = set_score(measure, *counts, empty=1.0)[known.any(axis=1)]
    else:
        scores = set_score(measure, *counts, empty=0.0)
        scores = scores[(counts[1] > 0) | (counts[2] > 0)]
    return float(scores.mean()) if scores.size else 0.0


def samples_scores(
    measure: str,
    targets: NDArray[np.floating[Any]],
    decisions: Iterable[NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Return the score of each row with a known entry, for several decisions on the same rows.

    The mean of a row of the result is the samples score of that decision. Only the chosen entries
    are looked at, which are few.

    Parameters
    ----------
    measure : {"f1", "jaccard"}
    targets : array of shape (n_samples, n_classes)
        1 present, 0 absent, nan unknown, as `tag_targets` gives them.
    decisions : iterable of bool arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_decisions, n_rows)

    Examples
    --------
    >>> targets = np.array([[1.0, 1, np.nan], [np.nan] * 3])
    >>> samples_scores("jaccard", targets, [targets > 0, targets < 0])
    array([[1.],
           [0.]])
    """
    known = ~np.isnan(targets)
    present = np.sum(targets, axis=1, where=known, dtype=np.float64)
    counting, n_samples = known.any(axis=1), len(targets)
    scores = []
    for chosen in decisions:
        rows, columns = np.nonzero(chosen)
        counted = known[rows, columns]
        rows, columns = rows[counted], columns[counted]
        hits = np.bincount(rows, targets[rows, columns], minlength=n_samples)
        predicted = np.bincount(rows, minlength=n_samples)
        scores.append(set_score(measure, hits, predicted, present, empty=1.0)[counting])
    return np.stack(scores)


def cross_fitted_score(
    rule: Rule,
    labels: Any,
    proba: Any,
    metric: str,
    cv: int = 5,
    seed: int = 0,
    *,
    calibration: Calibration | None = None,
) -> tuple[float, float]:
    """Return the honest and the optimistic score of a rule that is tuned on this file.

    The first score decides each row with a rule fitted on the other folds; the second fits
    and scores the rule on all rows, which flatters it (with
    30 entries of calibrated scores: .54 reported, .36 true). `rule` itself is left as it is.

    Parameters
    ----------
    rule : Rule
        Any rule with a boolean decision.
    labels : Labels, SparseTargets or array of shape (n_samples, n_classes)
    proba : array of shape (n_samples, n_classes)
        Probabilities of a model that has not seen these rows.
    metric : str
        One of `METRICS`.
    cv : int, default 5
        Number of folds; at least 2 and at most the number of rows.
    seed : int, default 0
        Which rows share a fold.
    calibration : Calibration, optional
        Fitted inside each fold, before the rule.

    Returns
    -------
    (cross_fitted, on_file) : pair of float
    """
    proba = checked_proba(proba)
    targets = tag_targets(labels, proba)
    if not 2 <= cv <= len(proba):
        raise ValueError(f"cv={cv} folds of {len(proba)} rows; write 2 to {len(proba)}")
    fold = np.random.default_rng(seed).permutation(len(proba)) % cv
    held_out = np.empty(proba.shape, dtype=bool)
    for part in range(cv):
        rows, rest = fold == part, fold != part
        held_out[rows] = _fitted_decision(rule, calibration, targets[rest], proba[rest])(
            proba[rows]
        )
    on_file = _fitted_decision(rule, calibration, targets, proba)(proba)
    return score_decision(metric, targets, held_out), score_decision(metric, targets, on_file)


def _fitted_decision(
    rule: Rule,
    calibration: Calibration | None,
    targets: NDArray[np.floating[Any]],
    proba: NDArray[np.floating[Any]],
) -> Any:
    rule = copy.deepcopy(rule)
    if calibration is None:
        return rule.fit(targets, proba).predict
    calibration = copy.deepcopy(calibration).fit(targets, proba)
    # float32, as a calibrated model predicts.
    rule.fit(targets, calibration.transform(proba).astype(np.float32))
    return lambda unseen: rule.predict(calibration.transform(unseen).astype(np.float32))
