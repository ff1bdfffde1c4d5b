"""`AnnotatorModel`: who is how reliable, and what the votes say about each item.

In: items, annotators and statements, side by side. Out: a confusion matrix per annotator, the
posterior of every item, and `labels_`, likelihood weights for a classifier: they leave the class
frequencies out, because the classifier brings its own opinion about the item.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.annotators._em import (
    Channel,
    Options,
    class_frequencies,
    fit_channel,
    held_out,
)
from eitheror.annotators._report import AnnotatorReport, report_lines
from eitheror.annotators._votes import Table, Votes, encode_multiclass, encode_tag, read_table
from eitheror.labels import SHARES, ClassName, Labels, suggest

__all__ = ["AnnotatorModel"]

Floats = NDArray[np.float64]

CONFUSIONS = ("full", "symmetric", "auto")
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Tried by ``prior_strength="auto"``."""

_FOLDS = 5
_FLOOR = 1e-30  # weights below are no more certain, and float32 still holds them


class AnnotatorModel:
    """Dawid and Skene's model of annotators, for votes that are statements of any form.

    The annotator perceives class v with probability ``C_a[y, v]`` where y is true, and writes a
    statement that contains v, by a rule that depends on the statement only. A statement with
    weights s then has the likelihood::

        w_y = sum_v s_v C_a[y, v]

    which is ``C_a[y, v]`` for the exact vote v (Dawid and Skene 1979), the sum over S for
    ``either`` S, the sum over the others for ``not_``. ``unknown`` says nothing. A ``soft`` vote
    counts as parts of votes. The matrices are estimated by EM from the share of the votes; each
    gets a prior of `prior_strength` pseudo-votes per class, spread like the confusion of all
    annotators together. Tags (``task="multilabel"``) are taken one by one, absent against present.

    Parameters
    ----------
    confusion : {"full", "symmetric", "auto"}, default "full"
        A matrix per annotator; one accuracy per annotator (mistakes fall evenly on the other
        classes); or whichever makes held-out votes likelier.
    prior_strength : float or "auto", default 1.0
        Pseudo-votes per class. 1, the weight of a single vote, is the unit-information prior.
        "auto" takes what makes held-out votes likeliest among 0.5, 1, 2, 4 and 8.
    max_iter : int, default 500
        EM steps at most.
    tol : float, default 1e-7
        Stop when a step gains less than `tol` per vote.
    random_state : int, default 0
        Deals the held-out votes; the fit itself draws nothing.

    Attributes
    ----------
    items_, annotators_ : list
        Names in order of first appearance.
    classes_ : list
        Column order.
    confusion_ : array of shape (n_annotators, n_classes, n_classes)
        Rows: true class, columns: perceived class. Tags: ``(n_classes, n_annotators, 2, 2)``,
        absent before present.
    class_prior_ : array of shape (n_classes,)
        Class frequencies (of tags: how often each is present).
    proba_ : array of shape (n_items, n_classes)
        Posterior of each item, class frequencies included.
    labels_ : Labels
        One row per item: the votes as ``evidence``, largest weight 1, class frequencies *not*
        included. Tags: ``soft``, the posterior itself, because tags have no evidence form.
    loglikelihood_ : float
        Log probability of the votes, up to a term that depends on their form only.
    objective_ : list of float
        Log likelihood plus log prior after each EM step; never falls. Tags: one list per tag.
    converged_ : bool
    chosen_ : dict
        ``confusion`` and ``prior_strength`` as used; with "auto" also ``held_out``, the mean log
        likelihood of a held-out vote for each candidate.

    Notes
    -----
    Time grows with votes times classes, memory with annotators times the square of the classes.
    The votes alone settle the classes only up to their order: if every annotator called cats dogs
    and dogs cats, nothing would show. The start from the vote shares and the prior choose the order
    in which most annotators are right. `known` items settle it. Where an item has a single vote,
    nothing is learnt about its annotator, and the vote is believed.

    References
    ----------
    Dawid, Skene (1979), Maximum likelihood estimation of observer error-rates using the EM
    algorithm, Journal of the Royal Statistical Society C 28.

    Examples
    --------
    >>> from eitheror.labels import either, not_
    >>> items = ["x", "x", "x", "y", "y", "y", "z", "z"]
    >>> annotators = ["ann", "bob", "eve", "ann", "bob", "eve", "ann", "bob"]
    >>> votes = ["cat", "cat", "dog", "dog", "dog", not_("dog"), either("cat", "fox"), "fox"]
    >>> model = AnnotatorModel().fit(items, annotators, votes)
    >>> dict(zip(model.items_, model.predict().tolist()))
    {'x': 'cat', 'y': 'dog', 'z': 'fox'}
    """

    def __init__(
        self,
        confusion: str = "full",
        *,
        prior_strength: float | str = 1.0,
        max_iter: int = 500,
        tol: float = 1e-7,
        random_state: int = 0,
    ) -> None:
        self.confusion = confusion
        self.prior_strength = prior_strength
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __repr__(self) -> str:
        given = f"prior_strength={self.prior_strength!r}, random_state={self.random_state!r}"
        return f"AnnotatorModel({self.confusion!r}, {given})"

    def fit(
        self,
        items: Iterable[Hashable],
        annotators: Iterable[Hashable],
        votes: Any,
        *,
        classes: Sequence[ClassName] | None = None,
        task: str | None = None,
        known: Mapping[Any, Any] | None = None,
    ) -> Self:
        """Estimate the annotators and the items from a table with one row per vote.

        Parameters
        ----------
        items, annotators : sequence of text or numbers, one for each vote
        votes : Labels, or what `Labels` accepts
            ``(n_votes,)`` statements. Two rows of one annotator on one item count as two votes.
        classes, task : optional
            As in `Labels`, where the votes do not name every class.
        known : mapping from item to label, optional
            What is known about items besides the votes, such as checked answers. Items without
            votes may be among them only if they stand in `items`.

        Returns
        -------
        AnnotatorModel

        Raises
        ------
        ValueError
            Sequences of different length, no vote that says anything, fewer than two classes,
            counts of several people, or `known` items without a vote.
        """
        self._check_options()
        table = read_table(items, annotators, votes, classes, task)
        return self._fit_table(table, known_labels(table, known))

    def _fit_table(self, table: Table, known: Labels | None) -> Self:
        self.__dict__.pop("labels_", None)  # of an earlier fit
        self._table = table
        self.items_, self.annotators_ = table.items, table.annotators
        self.classes_ = table.labels.classes
        self.task_ = table.labels.task
        if self.task_ == "multilabel":
            self._fit_tags(table, known)
        else:
            self._fit_classes(table, known)
        return self

    def predict(self) -> NDArray[Any]:
        """Return the most probable class of each item, or the tags more likely present than not.

        Returns
        -------
        array
            ``(n_items,)`` class names in the order of `items_`; tags: bool ``(n_items, K)``.
        """
        self._fitted()
        if self.task_ == "multilabel":
            return np.asarray(self.proba_ >= 0.5)
        names: NDArray[Any] = np.asarray(self.classes_)[self.proba_.argmax(axis=1)]
        return names

    @cached_property
    def labels_(self) -> Labels:
        """What the votes say about each item, as labels to train on; made when first asked for."""
        self._fitted()
        if self.task_ == "multilabel":
            return Labels.from_proba(self.proba_, self.classes_, task="multilabel")
        return as_evidence(self._log_evidence, self.classes_)

    def report(self) -> AnnotatorReport:
        """Return the annotators as a table: votes, accuracy, and who needs a look.

        Examples
        --------
        >>> items = [i for i in range(40) for _ in range(4)]
        >>> annotators = ["ann", "bob", "cid", "eve"] * 40
        >>> truth = [i % 2 for i in range(40)]
        >>> votes = [t if who != "eve" else 1 - t for t in truth for who in annotators[:4]]
        >>> print(AnnotatorModel().fit(items, annotators, votes).report())
        annotator  votes  accuracy  kappa  note
        ann           40     0.981  0.963
        bob           40     0.981  0.963
        cid           40     0.981  0.963
        eve           40     0.029 -0.942  worse than chance
        """
        self._fitted()
        return AnnotatorReport(report_lines(self._table, self.confusion_, self.class_prior_))

    # --- fitting ----------------------------------------------------------------------------

    def _check_options(self) -> None:
        if self.confusion not in CONFUSIONS:
            hint = suggest(self.confusion, CONFUSIONS)
            words = ", ".join(map(repr, CONFUSIONS))
            raise ValueError(f"confusion={self.confusion!r}; expected one of {words}{hint}")
        strength = self.prior_strength
        if strength == "auto":
            return
        if isinstance(strength, str | bool) or not 0 < strength < np.inf:
            raise ValueError(
                f"prior_strength={strength!r}; expected 'auto' or a finite number above 0"
            )

    def _options(self, confusion: str, strength: float) -> Options:
        return Options(confusion == "symmetric", strength, self.max_iter, self.tol)

    def _choose(self, encoded: list[Votes], n_rows: int) -> Options:
        """Options as given, or those that make held-out votes (of all tags) likeliest."""
        kinds = ("full", "symmetric") if self.confusion == "auto" else (self.confusion,)
        strengths = STRENGTHS if self.prior_strength == "auto" else (float(self.prior_strength),)
        tried = [(kind, strength) for kind in kinds for strength in strengths]
        self.chosen_: dict[str, Any] = {}
        best = tried[0]
        if len(tried) > 1:
            scores = {pair: self._held_out(encoded, n_rows, *pair) for pair in tried}
            best = max(tried, key=scores.__getitem__)
            self.chosen_["held_out"] = scores
        self.chosen_ |= {"confusion": best[0], "prior_strength": best[1]}
        return self._options(*best)

    def _held_out(
        self, encoded: list[Votes], n_rows: int, confusion: str, strength: float
    ) -> float:
        """Return the mean log likelihood of a held-out vote; of tags, the mean over the tags."""
        options = self._options(confusion, strength)
        scores = [held_out(votes, options, n_rows, _FOLDS, self.random_state) for votes in encoded]
        return float(np.mean(scores))

    def _fit_classes(self, table: Table, known: Labels | None) -> None:
        if len(self.classes_) < 2:
            raise ValueError(
                f"the votes name {len(self.classes_)} class ({self.classes_}); give classes= with "
                "all of them, at least two"
            )
        votes = encode_multiclass(table)
        _refuse_silence(len(votes.item))
        logs = None
        if known is not None:
            with np.errstate(divide="ignore"):
                logs = np.log(known.sparse().dense(np.float64))
        options = self._choose([votes], len(table.labels))
        found = fit_channel(votes, options, logs)
        self._parts = votes, logs, options
        self.confusion_, self.class_prior_ = found.confusion, found.class_prior
        self.proba_ = found.proba
        self.loglikelihood_ = found.loglikelihood
        self.objective_: list[Any] = found.objective
        self.converged_ = found.converged
        self._log_evidence = found.log_evidence

    def _adopt_joint(
        self, confusion: Floats, log_evidence: Floats, proba: Floats, objective: list[float]
    ) -> None:
        """Take over what was learnt together with a classifier."""
        self.confusion_, self.proba_ = confusion, proba
        self.class_prior_ = class_frequencies(proba)
        self.loglikelihood_, self.objective_ = objective[-1], objective
        self._log_evidence = log_evidence
        self.__dict__.pop("labels_", None)  # the cached ones were of the votes alone

    def _fit_tags(self, table: Table, known: Labels | None) -> None:
        values = table.labels.to_targets()
        encoded = [encode_tag(table, values[:, k]) for k in range(len(self.classes_))]
        _refuse_silence(int((~np.isnan(values)).sum()))
        options = self._choose(encoded, len(table.labels))
        logs = _known_tags(known)
        found = [
            fit_channel(votes, options, None if logs is None else logs[k])
            for k, votes in enumerate(encoded)
        ]
        self._adopt_tags(found)

    def _adopt_tags(self, found: list[Channel]) -> None:
        self.confusion_ = np.stack([channel.confusion for channel in found])
        self.class_prior_ = np.array([channel.class_prior[1] for channel in found])
        self.proba_ = np.stack([channel.proba[:, 1] for channel in found], axis=1)
        self.loglikelihood_ = sum(channel.loglikelihood for channel in found)
        self.objective_ = [channel.objective for channel in found]
        self.converged_ = all(channel.converged for channel in found)

    def _fitted(self) -> None:
        if not hasattr(self, "proba_"):
            raise ValueError(
                "this AnnotatorModel is not fitted; call fit(items, annotators, votes)"
            )


def _refuse_silence(n_facts: int) -> None:
    if n_facts == 0:
        raise ValueError(
            "no vote says anything: every row is unknown, or leaves every class possible"
        )


def known_labels(table: Table, known: Mapping[Any, Any] | None) -> Labels | None:
    """Return what is known besides the votes as one label per item."""
    if not known:
        return None
    strangers = [name for name in known if name not in set(table.items)]
    if strangers:
        raise ValueError(f"known names items that have no vote: {strangers[:5]}")
    rows = [known.get(name) for name in table.items]
    labels = Labels(rows, classes=table.labels.classes, task=table.labels.task)
    blended = np.flatnonzero(labels.sparse().mode == SHARES)
    if len(blended):
        row = int(blended[0])
        raise ValueError(
            f"known says {labels[row]!r} of item {table.items[row]!r}; shares are a target and no "
            "evidence: write exact, either, not_ or evidence"
        )
    return labels


def _known_tags(known: Labels | None) -> list[Floats] | None:
    """Return log weights (n_items, 2) of absent and present for each tag."""
    if known is None:
        return None
    values = known.to_targets()
    weights = np.stack([1 - values, values], axis=2)
    weights[np.isnan(weights)] = 1.0
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    return [logs[:, k] for k in range(values.shape[1])]


def as_evidence(logs: Floats, classes: Sequence[ClassName]) -> Labels:
    """Return log likelihoods (n_items, K) as `evidence`, largest weight 1; a flat row as unknown.

    Parameters
    ----------
    logs : float64 array of shape (n_items, K)
        ``-inf`` rules a class out.
    classes : sequence of str or int
    """
    ruled_out = np.isneginf(logs)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = np.where(ruled_out, 0.0, np.maximum(weights, _FLOOR))
    return Labels.from_evidence(weights, classes)
