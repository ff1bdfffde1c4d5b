"""The first posterior of EM: probabilities from a model that learns from statements itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.impute import SimpleImputer

from eitheror.labels import Labels
from eitheror.sklearn._em import prior_proba
from eitheror.sklearn._estimators import LinearClassifier
from eitheror.sklearn._statements import Array, Statements
from eitheror.sklearn._validation import out_of_fold_proba

__all__ = ["chosen_linear", "start_proba", "unseen_proba"]


def start_proba(
    start: Any, X: Any, labels: Labels, sample_weight: Array, fold: NDArray[np.int64] | None
) -> Array:
    """Return probabilities of the rows, out of fold, from what `start` names.

    Parameters
    ----------
    start : {"linear", "prior"} or estimator
    X : as in fit
    labels : Labels
        ``(n_samples,)``.
    sample_weight : array of shape (n_samples,)
    fold : int array of shape (n_samples,) or None
        None predicts the rows that were learnt.
    """
    if isinstance(start, str):
        if start == "prior":
            return prior_proba(Statements.of(labels), sample_weight)
        if start != "linear":
            raise ValueError(
                f"start={start!r}; expected 'linear', 'prior' or an estimator that learns from "
                "statements"
            )
        X = _numbers(X)
        penalty = chosen_linear(X, labels, sample_weight).model_.options["l2"]
        start = LinearClassifier(l2=penalty)
    if fold is None:
        fitted = clone(start).fit(X, labels, sample_weight=sample_weight)
        return np.asarray(fitted.predict_proba(X), dtype=np.float64)
    return unseen_proba(start, X, labels, sample_weight, fold)


def chosen_linear(X: Any, labels: Labels, sample_weight: Array) -> LinearClassifier:
    """Return a linear classifier fitted with the penalty that held-out statements prefer."""
    return LinearClassifier().fit(X, labels, sample_weight=sample_weight)


def unseen_proba(
    estimator: Any, X: Any, labels: Labels, sample_weight: Array, fold: NDArray[np.int64]
) -> Array:
    """Return probabilities of each row from a clone fitted on the other folds' statements."""
    parts = range(int(fold.max()) + 1)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in parts]
    proba = out_of_fold_proba(estimator, X, labels, splits, sample_weight=sample_weight)
    return np.asarray(proba, dtype=np.float64)


def _numbers(X: Any) -> Any:
    """Return X as numbers without gaps: a missing one is the mean of its column."""
    if hasattr(X, "tocsr"):
        return X.tocsr()
    try:
        numbers = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "X holds things that are not numbers, and start='linear' takes numbers only; write "
            "start='prior', or an estimator that reads such rows and learns from statements, such "
            "as start=TextClassifier()"
        ) from None
    if np.isnan(numbers).any():
        return SimpleImputer(keep_empty_features=True).fit_transform(numbers)
    return numbers
