"""`CrowdClassifier`: a classifier and the annotators' mistakes, learnt together.

The classifier sees what the votes cannot: that an item looks like others. So it settles items with
few or split votes, which shows who was wrong, which makes better weights for the classifier. Only
probabilities for rows that the classifier has not seen enter that circle, because a model that
memorises its training rows would confirm whatever it was told.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.annotators._em import normalised, pooled_pseudo_votes, posterior
from eitheror.annotators._learners import Belief, Learner, make_learner, take
from eitheror.annotators._model import AnnotatorModel
from eitheror.annotators._votes import Floats, Ints, Votes
from eitheror.labels import ClassName, Labels

__all__ = ["CrowdClassifier"]

_MIX = 1e-3  # share of the uniform distribution in the classifier's opinion: no class is vetoed


class CrowdClassifier:
    """Joint EM of a classifier and a confusion matrix per annotator.

    Alternates, from an `AnnotatorModel` of the votes alone::

        classifier  fitted on the votes' weights w of each row (or on the posteriors q)
        q_i(y)      proportional to p(y | x_i) w_i(y), p from a classifier that did not see row i
        C_a         expected counts under q, plus the prior of AnnotatorModel

    Parameters
    ----------
    estimator : classifier, optional
        With ``fit`` and ``predict_proba``; copied, never changed. Default: the linear model of
        ``eitheror.LinearClassifier``, whose penalty is chosen once, by held-out evidence.
    targets : {"auto", "evidence", "posterior"}, default "auto"
        What the classifier is fitted on: likelihood weights as `Labels` (estimators of eitheror,
        and pipelines that end in one), or each row once per class with the posterior as
        ``sample_weight`` (any other classifier).
    annotator_model : AnnotatorModel, optional
        How the annotators are modelled; its options are used, itself is not fitted.
    cv : int, default 5
        Folds for the probabilities of unseen rows.
    max_iter : int, default 10
        Rounds at most. 0: the weights of the votes alone, kept fixed.
    tol : float, default 0.005
        Stop when the mean change of the posteriors is below.
    random_state : int, default 0
        Deals the folds.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Column order.
    classifier_ : fitted classifier
    item_proba_ : array of shape (n_samples, n_classes)
        Posterior of each row of X: its votes and the classifier that did not see it.
    annotator_model_ : AnnotatorModel
        Confusions, report and `labels_` of the items that have votes, as learnt together; its
        ``objective_`` is the log likelihood of the votes given the classifier, round by round.
    n_iter_ : int

    Notes
    -----
    The likelihood of a round is taken with out-of-fold probabilities, so it need not rise in every
    round. Without `known` items the classes are settled up to their order only, as for
    `AnnotatorModel`.

    References
    ----------
    Raykar et al. (2010), Learning from crowds, JMLR 11 (joint EM with a linear model).

    Examples
    --------
    >>> X = np.array([[i % 2 + i / 100] for i in range(40)])
    >>> items = [i for i in range(40) for _ in range(3)]
    >>> annotators = ["ann", "bob", "eve"] * 40
    >>> votes = [("hi" if (i % 2) != (a == "eve" and i % 3 == 0) else "lo")
    ...          for i, a in zip(items, annotators)]
    >>> model = CrowdClassifier().fit(X, items, annotators, votes)
    >>> model.predict([[0.1], [1.2]]).tolist()
    ['lo', 'hi']
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        targets: str = "auto",
        annotator_model: AnnotatorModel | None = None,
        cv: int = 5,
        max_iter: int = 10,
        tol: float = 0.005,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.targets = targets
        self.annotator_model = annotator_model
        self.cv = cv
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"CrowdClassifier({self.estimator!r}, random_state={self.random_state!r})"

    def fit(
        self,
        X: Any,
        items: Any,
        annotators: Any,
        votes: Any,
        *,
        classes: Sequence[ClassName] | None = None,
        known: Mapping[Any, Any] | None = None,
    ) -> Self:
        """Learn from rows and a table with one line per vote.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n_samples, n_features), or list of texts
            What the estimator takes. Rows without votes are allowed; the classifier is not
            fitted on them.
        items : sequence of int
            Row of X that each vote is about, from 0.
        annotators, votes, classes, known
            As in :meth:`AnnotatorModel.fit`; one class is true.

        Returns
        -------
        CrowdClassifier
        """
        from eitheror.training.checks import n_rows  # loads compiled loops: only where used

        learner = make_learner(self.estimator, self.targets)
        votes_only = copy.copy(self.annotator_model or AnnotatorModel())
        rows = check_rows(items, n_rows(X))
        votes_only.fit(rows.tolist(), annotators, votes, classes=classes, known=known)
        if votes_only.task_ != "multiclass":
            raise ValueError(
                "these votes are tags; CrowdClassifier needs one true class a row. Fit an "
                "AnnotatorModel, and train on its labels_"
            )
        self.classes_ = np.asarray(votes_only.classes_)
        self.annotator_model_ = votes_only
        self._alternate(X, learner, votes_only)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the classifier's probabilities, shape (n_samples, n_classes)."""
        if not hasattr(self, "classifier_"):
            raise ValueError(
                "this CrowdClassifier is not fitted; call fit(X, items, annotators, votes)"
            )
        return self._learner.proba(self.classifier_, X, len(self.classes_))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row."""
        names: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return names

    # --- fitting ----------------------------------------------------------------------------

    def _alternate(self, X: Any, learner: Learner, model: AnnotatorModel) -> None:
        votes, known, options = model._parts
        alpha = pooled_pseudo_votes(votes, options, known)
        confusion, proba = model.confusion_, model.proba_
        evidence = log_evidence(votes, confusion, known)
        voted = np.array(model.items_, dtype=np.int64)
        inputs = take(X, voted)
        fold = deal(inputs, model, self.cv, self.random_state)
        history: list[float] = []
        while True:
            belief = Belief(evidence, proba, model.classes_)
            classifier = learner.fit(inputs, np.arange(len(voted)), belief)
            unseen = out_of_fold(learner, inputs, belief, fold)
            before = proba
            proba, total = posterior(np.log(unseen) + evidence)
            history.append(total)
            moved = np.abs(proba - before).sum(axis=1).mean() / 2
            if len(history) > self.max_iter or (len(history) > 1 and moved < self.tol):
                break
            counts = votes.expected_counts(proba, confusion, votes.likelihood(confusion))
            confusion = normalised(counts + alpha, options.symmetric)
            evidence = log_evidence(votes, confusion, known)
        model._adopt_joint(confusion, evidence, proba, history)
        self.classifier_, self._learner, self.n_iter_ = classifier, learner, len(history) - 1
        self.item_proba_ = learner.proba(classifier, X, len(model.classes_))
        self.item_proba_[voted] = proba


def log_evidence(votes: Votes, confusion: Floats, known: Floats | None) -> Floats:
    """Return the log weights of votes and of what else is known, (n_items, n_classes)."""
    found = votes.log_evidence(votes.likelihood(confusion))
    return found if known is None else found + known


def check_rows(items: Any, n_samples: int) -> Ints:
    """Return the row numbers of the votes, or say which is none."""
    rows = np.asarray(items)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(
            "items of CrowdClassifier are row numbers of X, one for each vote; got "
            f"{rows.dtype} of shape {rows.shape}"
        )
    wrong = np.flatnonzero((rows < 0) | (rows >= n_samples))
    if len(wrong):
        raise ValueError(
            f"vote {wrong[0]} is about row {rows[wrong[0]]}, and X has {n_samples} rows "
            f"(0 to {n_samples - 1})"
        )
    return rows.astype(np.int64)


def deal(inputs: Any, model: AnnotatorModel, n_folds: int, seed: int) -> Ints:
    """Return a fold for each row: equal rows share one, and likely classes are dealt evenly."""
    from eitheror.training.folds import content_keys, deal_folds  # loads compiled loops

    keys = content_keys(inputs)
    n_different = len(np.unique(keys))
    if not 2 <= n_folds <= n_different:
        raise ValueError(
            f"cv={n_folds} with {n_different} different rows that have votes; expected a number "
            "from 2 to that"
        )
    likely = [model.classes_[k] for k in model.proba_.argmax(axis=1)]
    labels = Labels(likely, classes=model.classes_)
    return deal_folds(labels, n_folds, keys=keys, rng=np.random.default_rng(seed))


def out_of_fold(learner: Learner, inputs: Any, belief: Belief, fold: Ints) -> Floats:
    """Return probabilities of classifiers that did not see the row, every class above 0."""
    n_classes = belief.proba.shape[1]
    unseen = np.empty_like(belief.proba)
    for k in range(int(fold.max()) + 1):
        fitted = learner.fit(inputs, np.flatnonzero(fold != k), belief)
        rows = np.flatnonzero(fold == k)
        unseen[rows] = learner.proba(fitted, take(inputs, rows), n_classes)
    mixed: Floats = (1 - _MIX) * unseen + _MIX / n_classes
    return mixed
