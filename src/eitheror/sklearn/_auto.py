"""What ``PartialLabelClassifier("auto")`` tries, and how it chooses without a true label.

Members: a linear model, a forest by EM, and a network where PyTorch is installed. Each predicts
rows it has not seen; then each alone, and logarithmic pools of several, are scored by the mean log
likelihood of those rows' statements. Exponents of a pool (a temperature, for a member alone) are
fitted on the same rows, so each costs its candidate ``1 / n_samples``, Akaike's correction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from eitheror.labels import Labels
from eitheror.sklearn._em import Candidates, expect_and_maximise
from eitheror.sklearn._start import chosen_linear, unseen_proba
from eitheror.sklearn._statements import Array, Statements, fit_pool, pool

__all__ = ["Choice", "Member", "fit_auto"]


@dataclass(frozen=True)
class Task:
    """The rows that every member learns, and their folds."""

    X: Any
    labels: Labels
    statements: Statements
    sample_weight: Array
    fold: NDArray[np.int64]
    options: Any


@dataclass(frozen=True)
class Member:
    """A model: out-of-fold probabilities of the rows, and the fit on all of them."""

    name: str
    proba: Array
    fitted: Any

    def predict_proba(self, X: Any, n_classes: int) -> Array:
        """Return probabilities `(n_samples, n_classes)`."""
        if hasattr(self.fitted, "columns"):
            return np.asarray(self.fitted.predict_proba(X, n_classes))
        return np.asarray(self.fitted.predict_proba(X), dtype=np.float64)


@dataclass(frozen=True)
class Choice:
    """The members, and the pool of some of them that was kept.

    Attributes
    ----------
    members : dict
        Name to :class:`Member`, all of them.
    best : str
        Names of those kept, joined by " + ".
    exponents : array of shape (n_kept,)
    scores : dict
        For each candidate its ``log_likelihood`` (corrected), ``covering`` (share of rows whose
        prediction the statement allows) and exponents.
    """

    members: dict[str, Member]
    best: str
    exponents: Array
    scores: dict[str, dict[str, float]]

    def predict_proba(self, X: Any, n_classes: int) -> Array:
        """Return the pooled probabilities `(n_samples, n_classes)`."""
        kept = [self.members[name] for name in self.best.split(" + ")]
        return pool([member.predict_proba(X, n_classes) for member in kept], self.exponents)


def fit_auto(
    X: Any, labels: Labels, sample_weight: Array, fold: NDArray[np.int64], options: Any
) -> Choice:
    """Fit the members and keep the pool of them that held-out statements prefer.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    labels : Labels
        ``(n_samples,)``, each saying something.
    sample_weight : array of shape (n_samples,)
    fold : int array of shape (n_samples,)
    options : PartialLabelClassifier
        Its parameters.
    """
    task = Task(X, labels, Statements.of(labels), sample_weight, fold, options)
    members = list(_members(task))
    scores, exponents = {}, {}
    for team in _teams(members):
        name = " + ".join(member.name for member in team)
        scores[name], exponents[name] = _score(team, task)
    best = max(scores, key=lambda name: scores[name]["log_likelihood"])
    return Choice({member.name: member for member in members}, best, exponents[best], scores)


def _members(task: Task) -> Iterator[Member]:
    linear = _linear(task)
    yield linear
    yield _trees(task, linear.proba)
    # the network reads dense tables; importing torch for other rows would be in vain
    if isinstance(task.X, np.ndarray) and find_spec("torch") is not None:
        yield _network(task)


def _linear(task: Task) -> Member:
    fitted = chosen_linear(task.X, task.labels, task.sample_weight)
    same = clone(fitted).set_params(l2=fitted.model_.options["l2"])
    proba = unseen_proba(same, task.X, task.labels, task.sample_weight, task.fold)
    return Member("linear", proba, fitted)


def _trees(task: Task, start: Array) -> Member:
    options = task.options
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=options.random_state)
    candidates = Candidates(
        forest,
        task.X,
        task.statements,
        task.sample_weight,
        task.fold,
        options.max_candidates,
        task.labels.classes,
        options.n_jobs,
    )
    rounds = expect_and_maximise(
        candidates, start, max_iter=options.max_iter, tol=options.tol, patience=options.patience
    )
    return Member("trees", rounds.proba, candidates.fit(rounds.posterior))


def _network(task: Task) -> Member:
    from eitheror.torch import TorchClassifier

    X = task.X.astype(np.float32)
    network = TorchClassifier(random_state=task.options.random_state)
    proba = unseen_proba(network, X, task.labels, task.sample_weight, task.fold)
    fitted = clone(network).fit(X, task.labels, sample_weight=task.sample_weight)
    return Member("network", proba, _Rounded(fitted))


@dataclass(frozen=True)
class _Rounded:
    """A network, fed with the single precision that it learnt from."""

    network: Any

    def predict_proba(self, X: Any) -> Any:
        return self.network.predict_proba(X.astype(np.float32))


def _teams(members: list[Member]) -> Iterator[tuple[Member, ...]]:
    for size in range(1, len(members) + 1):
        yield from combinations(members, size)


def _score(team: tuple[Member, ...], task: Task) -> tuple[dict[str, float], Array]:
    probas = [member.proba for member in team]
    exponents, likelihood = fit_pool(probas, task.statements, task.sample_weight)
    decided = pool(probas, exponents).argmax(axis=1)
    covered = task.statements.weights[np.arange(len(decided)), decided] > 0
    score = {
        "log_likelihood": likelihood - len(team) / len(decided),
        "covering": float(np.average(covered, weights=task.sample_weight)),
    }
    score |= {f"exponent_{m.name}": float(a) for m, a in zip(team, exponents, strict=True)}
    return score, exponents
