"""Expectation maximisation for Dawid and Skene's channel, on statements of any form.

In: `Votes`. Out: `Channel`, a confusion matrix per annotator and the class frequencies. The model:
item i has a true class y; annotator a perceives v with probability ``C_a[y, v]`` and then writes a
statement that contains v, chosen by a rule that depends on the statement only. So a statement with
weights s has likelihood ``sum_v s_v C_a[y, v]``, and an exact vote ``C_a[y, v]``.

The priors are Dirichlet, given as pseudo-votes, and fixed before the iteration starts; each step
therefore raises one and the same function, the log of the joint density of votes and parameters.

References
----------
Dawid, Skene (1979), Maximum likelihood estimation of observer error-rates using the EM algorithm,
Journal of the Royal Statistical Society C 28.
Kass, Wasserman (1995), A reference Bayesian test for nested hypotheses and its relationship to the
Schwarz criterion, JASA 90 (the unit-information prior).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eitheror.annotators._votes import Votes

Floats = NDArray[np.float64]

_CLASS_PSEUDO = 1.0  # pseudo-items per class in the estimate of the class frequencies
_POOLED_RIGHT, _POOLED_WRONG = 1.0, 0.1  # pseudo-votes of the pooled confusion: it is as good as
# known from the data, and these only keep it positive and its classes in their order


class Options(NamedTuple):
    """How the channel is estimated.

    Attributes
    ----------
    symmetric : bool
        One accuracy per annotator instead of a matrix.
    strength : float
        Pseudo-votes per class and annotator that repeat the pooled confusion.
    max_iter, tol : int, float
        Stop when the objective gains less than `tol` per vote.
    """

    symmetric: bool
    strength: float
    max_iter: int
    tol: float


@dataclass(frozen=True)
class Channel:
    """A fitted channel.

    Attributes
    ----------
    confusion : float64 array of shape (n_annotators, K, K)
        ``C_a[y, v]``, rows add to 1.
    class_prior : float64 array of shape (K,)
    proba : float64 array of shape (n_items, K)
        Posterior of the items.
    log_evidence : float64 array of shape (n_items, K)
        Log likelihood of each item's votes, without the class frequencies.
    loglikelihood : float
    objective : list of float
        Log likelihood plus log prior density after each step; never falls.
    converged : bool
    """

    confusion: Floats
    class_prior: Floats
    proba: Floats
    log_evidence: Floats
    loglikelihood: float
    objective: list[float]
    converged: bool


def fit_channel(votes: Votes, options: Options, known: Floats | None = None) -> Channel:
    """Fit the pooled confusion first, then every annotator's with that as the prior.

    Parameters
    ----------
    votes : Votes
    options : Options
    known : array of shape (n_items, K), optional
        Log weights of what is known about items besides the votes.
    """
    alpha = pooled_pseudo_votes(votes, options, known)
    return climb(votes, alpha, options, start=votes.shares(), known=known)


def pooled_pseudo_votes(votes: Votes, options: Options, known: Floats | None = None) -> Floats:
    """Return the pseudo-votes of the prior, ``strength`` times the pooled confusion, (K, K)."""
    n_classes = votes.n_classes
    first = np.full((n_classes, n_classes), _POOLED_WRONG) + np.eye(n_classes) * _POOLED_RIGHT
    pooled = climb(votes.pooled(), first, options, start=votes.shares(), known=known)
    pseudo_votes: Floats = options.strength * pooled.confusion[0]
    return pseudo_votes


def climb(
    votes: Votes,
    alpha: Floats,
    options: Options,
    *,
    start: Floats,
    known: Floats | None = None,
) -> Channel:
    """Run EM from posteriors `start` with pseudo-votes `alpha` (K, K) for every annotator."""
    confusion = first_guess(votes, alpha, start, options.symmetric)
    prior = class_frequencies(start)
    objective: list[float] = []
    enough = options.tol * max(1.0, float(votes.weight.sum()))
    while True:
        likelihood = votes.likelihood(confusion)
        evidence = votes.log_evidence(likelihood)
        if known is not None:
            evidence = evidence + known
        proba, total = posterior(np.log(prior) + evidence)
        density = float((alpha * np.log(confusion)).sum() + _CLASS_PSEUDO * np.log(prior).sum())
        objective.append(total + density)
        converged = len(objective) > 1 and objective[-1] - objective[-2] < enough
        if converged or len(objective) > options.max_iter:
            break
        counts = votes.expected_counts(proba, confusion, likelihood)
        confusion = normalised(counts + alpha, options.symmetric)
        prior = class_frequencies(proba)
    return Channel(confusion, prior, proba, evidence, total, objective, converged)


def first_guess(votes: Votes, alpha: Floats, start: Floats, symmetric: bool) -> Floats:
    """Return confusions by counting the votes against `start`, a set split evenly."""
    flat = np.full((votes.n_annotators, *alpha.shape), 1 / votes.n_classes)
    counts = votes.expected_counts(start, flat, votes.likelihood(flat))
    return normalised(counts + alpha, symmetric)


def normalised(counts: Floats, symmetric: bool) -> Floats:
    """Return the confusions of (expected and pseudo-) counts, shape (n_annotators, K, K)."""
    if not symmetric:
        free: Floats = counts / counts.sum(axis=2, keepdims=True)
        return free
    n_classes = counts.shape[1]
    right = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
    wrong = (1 - right) / max(1, n_classes - 1)
    same = np.eye(n_classes)
    even: Floats = right[:, None, None] * same + wrong[:, None, None] * (1 - same)
    return even


def class_frequencies(proba: Floats) -> Floats:
    """Return the class frequencies of posteriors, with one pseudo-item per class, (K,)."""
    mass = proba.sum(axis=0) + _CLASS_PSEUDO
    return np.asarray(mass / mass.sum())


def posterior(logs: Floats) -> tuple[Floats, float]:
    """Return ``softmax(logs)`` per row and the sum of the rows' log-sum-exp."""
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    total = weights.sum(axis=1, keepdims=True)
    return weights / total, float((top + np.log(total)).sum())


def held_out(votes: Votes, options: Options, n_rows: int, n_folds: int, seed: int) -> float:
    """Return the mean log likelihood of held-out votes, given the other votes on their items."""
    fold = np.random.default_rng(seed).permutation(n_rows) % n_folds
    total = 0.0
    for k in range(n_folds):
        rest, tested = votes.of_rows(fold != k), votes.of_rows(fold == k)
        channel = fit_channel(rest, options)
        likelihood = tested.likelihood(channel.confusion)[tested.pair]
        said = (channel.proba[tested.item] * likelihood).sum(axis=1)
        total += float((tested.weight * np.log(said)).sum())
    return total / max(1.0, float(votes.weight.sum()))
