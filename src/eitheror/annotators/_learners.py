"""How `CrowdClassifier` trains a classifier that it did not write.

Three kinds: the linear model of `eitheror.training`, estimators that read `Labels`, and any
classifier with `sample_weight`, which gets each row once per class, weighted by the posterior.
Each offers `fit(rows, belief)` and probabilities with one column per class.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eitheror.annotators._model import as_evidence
from eitheror.labels import ClassName, Labels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TARGETS = ("auto", "evidence", "posterior")
_LEAST = 1e-3  # posteriors below are left out of the expanded rows


@dataclass(frozen=True)
class Belief:
    """What is believed about the rows that have votes.

    Attributes
    ----------
    log_evidence : float64 array of shape (n_samples, n_classes)
        Log likelihood of the votes under each class.
    proba : float64 array of shape (n_samples, n_classes)
        Posterior, votes and classifier together.
    classes : list
    """

    log_evidence: Floats
    proba: Floats
    classes: list[ClassName]

    @cached_property
    def labels(self) -> Labels:
        """The evidence as labels, for estimators that read them."""
        return as_evidence(self.log_evidence, self.classes)


class Learner(Protocol):
    """Trains on some rows and predicts others."""

    def fit(self, X: Any, rows: Ints, belief: Belief) -> Any:
        """Return a classifier fitted on `rows` of X."""

    def proba(self, fitted: Any, X: Any, n_classes: int) -> Floats:
        """Return its probabilities, shape (n_samples, n_classes)."""


def make_learner(estimator: Any, targets: str) -> Learner:
    """Return the learner for an estimator, or say what is missing."""
    if targets not in TARGETS:
        words = ", ".join(map(repr, TARGETS))
        raise ValueError(f"targets={targets!r}; expected one of {words}")
    if estimator is None:
        return LinearLearner()
    for method in ("fit", "predict_proba"):
        if not hasattr(estimator, method):
            raise TypeError(
                f"{estimator!r} has no {method}(); the annotators' mistakes are estimated from "
                "probabilities, so give a classifier that offers them"
            )
    if targets == "auto":
        ours = type(estimator).__module__.partition(".")[0] == "eitheror"
        targets = "evidence" if ours else "posterior"
    if targets == "evidence":
        return StatementLearner(estimator)
    if "sample_weight" not in inspect.signature(estimator.fit).parameters:
        raise TypeError(
            f"{estimator!r}.fit takes no sample_weight, which carries the posterior; if it reads "
            "Labels (a pipeline that ends in an estimator of eitheror), say targets='evidence'"
        )
    return WeightedLearner(estimator)


class LinearLearner:
    """The linear model of `eitheror.training`; its penalty is chosen at the first fit."""

    def __init__(self) -> None:
        from eitheror.training import TrainOptions  # loads compiled loops: only where used

        self._options = TrainOptions(loss="softmax")

    def fit(self, X: Any, rows: Ints, belief: Belief) -> Any:
        """Minimise minus the log probability of the evidence."""
        from eitheror.training import fit

        model = fit(take(X, rows), belief.labels[rows], self._options)
        if self._options.l2 is None and "l2" in model.options:
            self._options = replace(self._options, l2=model.options["l2"])
        return model

    def proba(self, fitted: Any, X: Any, n_classes: int) -> Floats:
        """Return probabilities; the columns are those of the labels."""
        return np.asarray(fitted.predict_proba(X), dtype=np.float64)


class StatementLearner:
    """An estimator whose `fit` takes `Labels`."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def fit(self, X: Any, rows: Ints, belief: Belief) -> Any:
        """Fit a copy on the evidence."""
        return copy.deepcopy(self._estimator).fit(take(X, rows), belief.labels[rows])

    def proba(self, fitted: Any, X: Any, n_classes: int) -> Floats:
        """Return probabilities; the columns are those of the labels."""
        return np.asarray(fitted.predict_proba(X), dtype=np.float64)


class WeightedLearner:
    """Any classifier with `sample_weight`, on rows repeated once per class."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def fit(self, X: Any, rows: Ints, belief: Belief) -> Any:
        """Fit a copy on (row, class) pairs weighted by the posterior."""
        at, column = np.nonzero(belief.proba[rows] > _LEAST)
        weight = belief.proba[rows][at, column]
        fitted = copy.deepcopy(self._estimator)
        return fitted.fit(take(X, rows[at]), column, sample_weight=weight)

    def proba(self, fitted: Any, X: Any, n_classes: int) -> Floats:
        """Return probabilities; classes that the fit did not see get 0."""
        proba = fitted.predict_proba(X)
        found = np.zeros((len(proba), n_classes))
        found[:, np.asarray(fitted.classes_, dtype=np.int64)] = proba
        return found


def take(X: Any, rows: Ints) -> Any:
    """Return some rows of an array, a sparse matrix, a table or a list of texts."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, Sequence):
        return [X[i] for i in rows.tolist()]
    return X[rows]
