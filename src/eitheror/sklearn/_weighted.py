"""Any classifier fitted on weighted rows: what it must offer, and probabilities of all classes.

The wrapped estimator sees class *numbers* 0, 1, ... without gaps, which XGBoost insists on, and
only the classes that occur in its rows. What comes back has a column for every class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from eitheror.training.checks import n_rows

__all__ = ["WeightedFit", "check_wrappable", "fit_weighted", "seeded"]


@dataclass(frozen=True)
class WeightedFit:
    """A fitted estimator and the columns of its classes; no estimator where there is one class."""

    estimator: Any
    columns: NDArray[np.int64]

    def predict_proba(self, X: Any, n_classes: int) -> NDArray[np.float64]:
        """Return probabilities `(n_samples, n_classes)`, 0 for classes never seen."""
        n = n_rows(X)
        proba = np.zeros((n, n_classes))
        if self.estimator is None:
            proba[:, self.columns] = 1.0
        elif n:
            proba[:, self.columns] = self.estimator.predict_proba(X)
        return proba


def check_wrappable(estimator: Any, owner: str) -> None:
    """Raise unless the estimator has probabilities and takes sample weights.

    Parameters
    ----------
    estimator : object
        An unfitted classifier, or a pipeline that ends in one.
    owner : str
        Class name of the caller, for the message.
    """
    name = type(estimator).__name__
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"{owner}(estimator={estimator!r:.60}): expected a classifier object, such as "
            "RandomForestClassifier()"
        )
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{owner}: {name} has no predict_proba with these parameters, and the posterior of a "
            "row's candidates needs probabilities; wrap it in CalibratedClassifierCV, choose "
            "parameters that give probabilities (SGDClassifier(loss='log_loss')), or use "
            "LinearClassifier"
        )
    last = _last_step(estimator)
    if not has_fit_parameter(last, "sample_weight"):
        raise TypeError(
            f"{owner}: fit of {type(last).__name__} takes no sample_weight, and candidates enter "
            "as weighted rows; use an estimator that takes it (RandomForestClassifier, "
            "HistGradientBoostingClassifier, LogisticRegression, GaussianNB, LightGBM, XGBoost), "
            "or LinearClassifier, which learns from statements itself"
        )


def seeded(estimator: Any, random_state: int | None) -> Any:
    """Return a clone whose open `random_state` parameters are set; given ones are kept."""
    copy = clone(estimator)
    if random_state is not None:
        parameters = copy.get_params(deep=True)
        copy.set_params(
            **{
                name: random_state
                for name, value in parameters.items()
                if value is None and (name == "random_state" or name.endswith("__random_state"))
            }
        )
    return copy


def fit_weighted(
    estimator: Any,
    X: Any,
    rows: NDArray[np.int64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    names: list[Any],
) -> WeightedFit:
    """Fit a clone on the entries `(X[rows], classes)` with `weights`.

    Parameters
    ----------
    estimator : classifier
        Checked by :func:`check_wrappable`.
    X : array, sparse matrix, DataFrame or list of n_samples rows
    rows, classes : int arrays of shape (n_entries,)
        Row of X, and class, of each entry.
    weights : array of shape (n_entries,) or None
        None fits without weights, as the estimator would be by itself.
    names : list
        Class names, for a `class_weight` that names classes.
    """
    columns, codes = np.unique(classes, return_inverse=True)
    if len(columns) == 1:
        return WeightedFit(None, columns)
    fitted = clone(estimator)
    _name_by_number(fitted, [names[column] for column in columns])
    whole = len(rows) == n_rows(X) and (rows == np.arange(len(rows))).all()
    inputs = X if whole else _safe_indexing(X, rows)
    fitted.fit(inputs, codes, **_weight_argument(fitted, weights))
    return WeightedFit(fitted, columns)


def _weight_argument(estimator: Any, weights: Any) -> dict[str, Any]:
    if weights is None:
        return {}
    steps = getattr(estimator, "steps", None)
    return {f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": weights}


def _last_step(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else estimator


def _name_by_number(estimator: Any, names: list[Any]) -> None:
    """Rename the keys of a `class_weight` dict to the numbers that the estimator sees."""
    last = _last_step(estimator)
    given = last.get_params(deep=False).get("class_weight")
    if isinstance(given, dict):
        number = {name: code for code, name in enumerate(names)}
        last.set_params(class_weight={number[n]: w for n, w in given.items() if n in number})
