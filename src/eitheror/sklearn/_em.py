"""Expectation maximisation around a classifier that knows nothing of statements.

M-step: fit on candidate rows, each weighted by the posterior of its class. E-step: the posterior
from *out-of-fold* probabilities, because flexible models such as trees confirm their own in-sample
posteriors and never move. The posterior pools the model with the start, with exponents fitted to
the likelihood of the statements, and the round under whose posterior the held-out statements are
likeliest is kept: rounds of a model that is poorer than its start drift away from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from eitheror.labels import Labels
from eitheror.sklearn._statements import Array, Statements, candidate_rows, fit_pool, pool
from eitheror.sklearn._weighted import WeightedFit, fit_weighted
from eitheror.training.folds import content_keys, deal_folds

__all__ = ["Candidates", "Rounds", "deal_rows", "expect_and_maximise", "prior_proba"]


@dataclass(frozen=True)
class Candidates:
    """An estimator with the rows it is fitted on, and how they are divided.

    Attributes
    ----------
    estimator : classifier
    X : array, sparse matrix, DataFrame or list of n_samples rows
    statements : Statements
    sample_weight : float64 array of shape (n_samples,)
    fold : int64 array of shape (n_samples,) or None
        None takes the E-step on the rows' own predictions: classical EM.
    most : int or None
        Largest number of candidate classes of one row.
    names : list
        Class names.
    n_jobs : int or None
    """

    estimator: Any
    X: Any
    statements: Statements
    sample_weight: Array
    fold: NDArray[np.int64] | None
    most: int | None
    names: list[Any]
    n_jobs: int | None

    def fit(self, posterior: Array, train: NDArray[np.bool_] | None = None) -> WeightedFit:
        """Fit on all rows, or on those of `train`."""
        rows, classes, weights = candidate_rows(posterior, self.most)
        if train is not None:
            kept = train[rows]
            rows, classes, weights = rows[kept], classes[kept], weights[kept]
        weights = weights * self.sample_weight[rows]
        return fit_weighted(self.estimator, self.X, rows, classes, weights, self.names)

    def unseen_proba(self, posterior: Array) -> Array:
        """Return probabilities of each row from a model fitted without its fold."""
        if self.fold is None:
            return self.fit(posterior).predict_proba(self.X, len(self.names))
        folds = range(int(self.fold.max()) + 1)
        parts = Parallel(n_jobs=self.n_jobs)(delayed(_held_out)(self, posterior, k) for k in folds)
        proba = np.empty_like(posterior)
        for k, part in zip(folds, parts, strict=True):
            proba[self.fold == k] = part
        return proba


@dataclass(frozen=True)
class Rounds:
    """What EM ended with: the posterior to fit on, and how likely the statements were.

    Attributes
    ----------
    posterior : array of shape (n_samples, n_classes)
    proba : array of shape (n_samples, n_classes)
        Out-of-fold probabilities of the model fitted on that posterior.
    log_likelihood : list of float
        Mean over the rows, one number a round.
    best : int
        The round whose posterior is kept.
    """

    posterior: Array
    proba: Array
    log_likelihood: list[float]
    best: int


def expect_and_maximise(
    candidates: Candidates, start: Array, *, max_iter: int, tol: float, patience: int
) -> Rounds:
    """Run EM until the statements get no likelier.

    Parameters
    ----------
    candidates : Candidates
    start : array of shape (n_samples, n_classes)
        Probabilities of the rows from another model, out of fold too.
    max_iter : int
        Largest number of rounds; each fits the estimator once per fold.
    tol : float
        A round counts as better if the mean log likelihood rises by more.
    patience : int
        Stop after so many rounds that are no better.
    """
    statements = candidates.statements
    posterior = statements.posterior(start)
    history: list[float] = []
    best = Rounds(posterior, start, history, -1)
    for step in range(max_iter):
        proba = candidates.unseen_proba(posterior)
        history.append(_score(candidates, proba))
        if best.best < 0 or history[-1] > history[best.best] + tol:
            best = Rounds(posterior, proba, history, step)
        elif step - best.best >= patience:
            break
        posterior = _expect(candidates, start, proba)
    return best


def prior_proba(statements: Statements, sample_weight: Array) -> Array:
    """Return the class shares under which the statements are likeliest, the same in each row."""
    n, k = statements.weights.shape
    share = np.full(k, 1.0 / k)
    for _ in range(100):
        posterior = statements.posterior(np.broadcast_to(share, (n, k)))
        share = np.average(posterior, axis=0, weights=sample_weight)
    return np.tile(share, (n, 1))


def deal_rows(X: Any, labels: Labels, cv: int, seed: int | None) -> NDArray[np.int64] | None:
    """Return the fold of each row, never one content in two; None where all rows are alike."""
    keys = content_keys(X)
    distinct = len(np.unique(keys))
    if distinct < 2:
        return None
    return deal_folds(labels, min(cv, distinct), keys=keys, rng=np.random.default_rng(seed))


def _held_out(candidates: Candidates, posterior: Array, k: int) -> Array:
    assert candidates.fold is not None
    fitted = candidates.fit(posterior, candidates.fold != k)
    held_out = _safe_indexing(candidates.X, np.flatnonzero(candidates.fold == k))
    return fitted.predict_proba(held_out, len(candidates.names))


def _score(candidates: Candidates, proba: Array) -> float:
    """Mean log likelihood: at the best temperature, or plain where EM is the classical one."""
    if candidates.fold is not None:
        return fit_pool([proba], candidates.statements, candidates.sample_weight)[1]
    values = candidates.statements.log_likelihood(np.maximum(proba, 1e-300))
    return float(np.average(values, weights=candidates.sample_weight))


def _expect(candidates: Candidates, start: Array, proba: Array) -> Array:
    statements = candidates.statements
    if candidates.fold is None:
        return statements.posterior(proba)
    exponents, _ = fit_pool([start, proba], statements, candidates.sample_weight)
    return statements.posterior(pool([start, proba], exponents))
