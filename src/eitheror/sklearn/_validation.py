"""Cross-validation for statements: a stratified splitter, and out-of-fold probabilities.

scikit-learn's `cross_val_predict` label-encodes targets on the way, and its `StratifiedKFold`
refuses statements; these two do the same jobs and hand the estimator the labels as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import indexable
from sklearn.utils.metaestimators import _safe_split

from eitheror.labels import Labels
from eitheror.sklearn._targets import as_labels
from eitheror.training.folds import deal_folds

__all__ = ["LabelsKFold", "out_of_fold_proba"]


class LabelsKFold:
    """K folds that each hold their share of every statement.

    Multiclass rows are stratified by ``labels.strata()``, tags by iterative stratification.
    Works as ``cv=`` in scikit-learn's searches; differs from ``StratifiedKFold``, which takes exact
    classes only.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds, at least 2.
    shuffle : bool, default True
        Deal the rows in random order; without it in the order they have.
    random_state : int, default 0
        Seed of the order.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "a", either("a", "b"), either("a", "b"), "b", "b"])
    >>> [len(test) for train, test in LabelsKFold(2).split(np.zeros((6, 1)), labels)]
    [3, 3]

    References
    ----------
    Sechidis, Tsoumakas, Vlahavas (2011), On the stratification of multi-label data, ECML PKDD.
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = True, random_state: int = 0) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def __repr__(self) -> str:
        return (
            f"LabelsKFold(n_splits={self.n_splits}, shuffle={self.shuffle}, "
            f"random_state={self.random_state})"
        )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return self.n_splits

    def split(
        self, X: Any, y: Any, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield (train rows, test rows) of each fold.

        Parameters
        ----------
        X : array-like
            Not read.
        y : Labels, or anything :func:`as_labels` takes
            ``(n_samples,)``.
        groups : ignored
        """
        rng = np.random.default_rng(self.random_state) if self.shuffle else None
        fold = deal_folds(as_labels(y), self.n_splits, rng=rng)
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def out_of_fold_proba(
    estimator: Any,
    X: Any,
    labels: Any,
    cv: Any = 5,
    *,
    sample_weight: Any = None,
    random_state: int = 0,
) -> NDArray[np.floating[Any]]:
    """Probabilities for every row from a model that did not see it.

    Use it in place of ``cross_val_predict(..., method="predict_proba")``, which re-encodes labels.
    The estimator itself is not fitted.

    Parameters
    ----------
    estimator : estimator
        With ``fit(X, labels)``, ``predict_proba`` and ``classes_``: ours, or a pipeline that ends
        in one.
    X : list or array of n_samples rows
    labels : Labels, or anything :func:`as_labels` takes
    cv : int, splitter or list of (train, test), default 5
        A number means :class:`LabelsKFold`. The test parts must cover every row once.
    sample_weight : array of shape (n_samples,), optional
        Passed to ``fit``.
    random_state : int, default 0
        Seed of the folds when `cv` is a number.

    Returns
    -------
    array of shape (n_samples, n_classes)
        Columns in the order of ``labels.classes``.

    Examples
    --------
    >>> from eitheror.labels import Labels, not_
    >>> from eitheror.sklearn import LinearClassifier
    >>> X = np.arange(12.0)[:, None]
    >>> labels = Labels(["low"] * 5 + [not_("low")] + ["high"] * 6)
    >>> out_of_fold_proba(LinearClassifier(l2=0.1), X, labels, cv=3).shape
    (12, 2)
    """
    labels = as_labels(labels)
    X, _ = indexable(X, np.empty(len(labels)))
    splits = _splits(cv, X, labels, random_state)
    seen = np.zeros(len(labels), dtype=np.int64)
    proba: NDArray[np.floating[Any]] | None = None
    for train, test in splits:
        fitted = clone(estimator)
        X_train, y_train = _safe_split(fitted, X, labels, train)
        X_test, _ = _safe_split(fitted, X, labels, test, train)
        fitted.fit(X_train, y_train, **_fit_weight(fitted, sample_weight, train))
        found = np.asarray(fitted.predict_proba(X_test))
        if proba is None:
            proba = np.zeros((len(labels), labels.n_classes), dtype=found.dtype)
        proba[np.ix_(test, _columns(fitted, labels))] = found
        seen[test] += 1
    if proba is None or (seen != 1).any():
        row = int(np.flatnonzero(seen != 1)[0]) if len(seen) else 0
        raise ValueError(
            f"the test parts of cv hold row {row} {seen[row] if len(seen) else 0} times; expected "
            "every row exactly once: use a number of folds or LabelsKFold"
        )
    return proba


def _splits(cv: Any, X: Any, labels: Labels, random_state: int) -> Any:
    if isinstance(cv, int | np.integer):
        return LabelsKFold(int(cv), random_state=random_state).split(X, labels)
    if hasattr(cv, "split"):
        return cv.split(X, labels)
    return cv


def _fit_weight(estimator: Any, sample_weight: Any, rows: NDArray[np.int64]) -> dict[str, Any]:
    if sample_weight is None:
        return {}
    weight = np.asarray(sample_weight)[rows]
    steps = getattr(estimator, "steps", None)
    return {f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": weight}


def _columns(fitted: Any, labels: Labels) -> list[int]:
    """Column of each of the estimator's classes in the labels' order."""
    index = labels.class_index
    names = [getattr(name, "item", lambda name=name: name)() for name in fitted.classes_]
    try:
        return [index[name] for name in names]
    except KeyError as error:
        raise ValueError(
            f"the fitted estimator has the classes {names}, which are not those of the labels, "
            f"{labels.classes}: the labels were re-encoded before they reached it"
        ) from error
