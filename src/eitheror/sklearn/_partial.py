"""`PartialLabelClassifier`: any classifier with sample weights, trained on statements.

The estimator itself never hears of statements: EM turns them into weighted rows. Which rounds EM
makes stands in `_em.py`, what "auto" tries in `_auto.py`.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils._tags import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from eitheror.labels import Labels
from eitheror.metrics.agreement import not_contradicted
from eitheror.sklearn._auto import Choice, Member, fit_auto
from eitheror.sklearn._em import Candidates, deal_rows, expect_and_maximise
from eitheror.sklearn._inputs import checked_rows, checked_weight
from eitheror.sklearn._start import start_proba
from eitheror.sklearn._statements import Statements, candidate_rows
from eitheror.sklearn._targets import read_target
from eitheror.sklearn._weighted import WeightedFit, check_wrappable, fit_weighted, seeded
from eitheror.training.checks import n_rows

__all__ = ["PartialLabelClassifier"]


class PartialLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Any scikit-learn, LightGBM or XGBoost classifier, trained on statements about the labels.

    Expectation maximisation: a row that leaves several classes open enters once for each of them,
    weighted by the posterior ``q_k = w_k p_k / sum_j w_j p_j``; the posterior is renewed from the
    probabilities of models that did not see the row, until held-out statements get no likelier.
    With exact labels it is the estimator itself, fitted once.

    Parameters
    ----------
    estimator : classifier or "auto", default "auto"
        Needs `predict_proba`, and `sample_weight` in `fit`; a pipeline may end in such a one (its
        earlier steps then see the candidate rows, unweighted). "auto" tries a linear model, trees
        and, where PyTorch is installed, a network, and keeps what held-out statements prefer; X
        must be numbers then.
    start : {"linear", "prior"} or estimator, default "linear"
        What gives the first posterior: a `LinearClassifier` (X must be numbers), the class shares
        alone, or an unfitted estimator that learns from statements (`TextClassifier()` for texts).
    cv : int, splitter, list of (train, test) or None, default 3
        Folds of the E-step; with a number rows of equal content stay in one. None takes it on the
        rows' own predictions: classical EM, several times faster, right for models of few
        parameters and useless for trees, which confirm whatever they were given.
    max_iter : int, default 10
        Largest number of rounds; each costs one fit per fold.
    tol : float, default 1e-4
        A round counts as better if the mean log likelihood of a statement rises by more.
    patience : int, default 1
        Stop after so many rounds that are no better.
    max_candidates : int or None, default 20
        A row enters with at most so many classes, the likeliest; ``not_`` of one class among
        thousands would otherwise be thousands of rows. The weight of those left out is spread
        over those kept, and every round chooses anew.
    classes : list, optional
        The whole class list, when `y` may not name every class. Names outside it are refused.
    n_jobs : int, optional
        Processes for the folds; the model does not depend on it.
    random_state : int, default 0
        Seed of the folds, and of every `random_state` that the estimator leaves at None.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Column order of probabilities.
    estimator_ : classifier or None
        The fitted estimator; its classes are numbers, columns of `classes_`. None where one class
        only was left, and for "auto".
    log_likelihood_ : list of float
        Mean log likelihood of the held-out statements at the best temperature, one number a round;
        empty where nothing was open.
    n_iter_ : int
        Rounds made; 1 where nothing was open.
    scores_ : dict
        With "auto": what each candidate scored (see the user guide); else empty.
    best_ : str or None
        With "auto": the candidate that was kept.
    members_ : dict
        With "auto": every fitted member ("linear", "trees", "network"), kept or not.
    n_features_in_ : int
    feature_names_in_ : array of str, where X had names

    See Also
    --------
    LinearClassifier : Learns from statements directly; faster, and the better start.
    MultilabelPartialClassifier : The same idea for tags.

    References
    ----------
    Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
    Jin, Ghahramani (2002), Learning with multiple labels, NeurIPS.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from eitheror.labels import Labels, either, not_
    >>> X = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]])
    >>> labels = Labels(["low", not_("high"), either("low", "high"), "high", not_("low"), "high"])
    >>> PartialLabelClassifier(GaussianNB(), cv=2).fit(X, labels).predict([[1.5], [8.5]]).tolist()
    ['low', 'high']
    """

    fitted_: WeightedFit | Choice
    scores_: dict[str, dict[str, float]]
    best_: str | None
    members_: dict[str, Member]

    def __init__(
        self,
        estimator: Any = "auto",
        *,
        start: Any = "linear",
        cv: Any = 3,
        max_iter: int = 10,
        tol: float = 1e-4,
        patience: int = 1,
        max_candidates: int | None = 20,
        classes: Any = None,
        n_jobs: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.start = start
        self.cv = cv
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.max_candidates = max_candidates
        self.classes = classes
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on statements.

        Parameters
        ----------
        X : array, sparse matrix, DataFrame or list of n_samples rows
            What the estimator takes.
        y : Labels or array-like of shape (n_samples,)
            Statements of any kind where one class is true, or plain class names. Unknown rows
            take no part.
        sample_weight : array of shape (n_samples,), optional
            Weight 2 is the row twice.

        Returns
        -------
        self
        """
        self._check_parameters()
        X = self._inputs(X, reset=True)
        target = read_target(y, self.classes, None)
        labels, self.classes_ = target.labels, target.classes
        self._check_labels(X, labels)
        weight = checked_weight(sample_weight, len(labels))
        used = np.flatnonzero((weight > 0) & (labels.kinds != 0))
        if not len(used):
            raise ValueError(
                f"none of the {len(labels)} rows says anything about its class (unknown, or weight "
                "0); expected at least one statement"
            )
        if len(used) < len(labels):
            X, labels, weight = _safe_indexing(X, used), labels[used], weight[used]
        self._begin()
        if self._is_auto():
            fold = self._folds(X, labels)
            if fold is None:
                raise ValueError(
                    'estimator="auto" compares models on rows they have not seen: it needs cv of '
                    "at least 2 and two rows that differ"
                )
            choice = fit_auto(X, labels, weight, fold, self)
            self.fitted_, self.scores_, self.best_ = choice, choice.scores, choice.best
            self.members_ = choice.members
        else:
            self._fit_estimator(X, labels, weight, sample_weight is not None)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, as the estimator gives them.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float64 array of shape (n_samples, n_classes)
            Rows add to 1; a class that no row could be has 0.
        """
        check_is_fitted(self, "fitted_")
        found = self.fitted_.predict_proba(self._inputs(X), len(self.classes_))
        return np.asarray(found)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        array of shape (n_samples,)
        """
        decided = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[decided])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the predictions that their label does not contradict.

        Accuracy where labels are exact. A label that leaves several answers open is content with
        each of them; an unknown one with all.

        Parameters
        ----------
        X : as in fit
        y : as in fit
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        float
        """
        decided = self.predict_proba(X).argmax(axis=1)
        labels = read_target(y).labels
        self._check_labels(X, labels)
        agreed = not_contradicted(labels, decided, _plain(self.classes_))
        return float(np.average(agreed, weights=sample_weight))

    # --- fitting ----------------------------------------------------------------------------

    def _begin(self) -> None:
        self.estimator_: Any = None
        self.log_likelihood_: list[float] = []
        self.n_iter_ = 1
        self.scores_, self.best_, self.members_ = {}, None, {}

    def _fit_estimator(self, X: Any, labels: Labels, weight: Any, weighted: bool) -> None:
        estimator = seeded(self.estimator, self.random_state)
        statements = Statements.of(labels)
        if statements.open_rows().any():
            fitted = self._fit_open(estimator, X, labels, statements, weight)
        else:
            rows, classes, share = candidate_rows(statements.posterior(np.array(1.0)), None)
            # plain labels give the very fit of the plain estimator: no weights of 1
            plain = not weighted and len(rows) == len(labels)
            weights = None if plain else share * weight[rows]
            fitted = fit_weighted(estimator, X, rows, classes, weights, labels.classes)
        self.fitted_, self.estimator_ = fitted, fitted.estimator

    def _fit_open(
        self, estimator: Any, X: Any, labels: Labels, statements: Statements, weight: Any
    ) -> WeightedFit:
        fold = self._folds(X, labels)
        start = start_proba(self.start, X, labels, weight, fold)
        candidates = Candidates(
            estimator, X, statements, weight, fold, self.max_candidates, labels.classes, self.n_jobs
        )
        rounds = expect_and_maximise(
            candidates, start, max_iter=self.max_iter, tol=self.tol, patience=self.patience
        )
        self.log_likelihood_ = rounds.log_likelihood
        self.n_iter_ = len(rounds.log_likelihood)
        return candidates.fit(rounds.posterior)

    def _folds(self, X: Any, labels: Labels) -> NDArray[np.int64] | None:
        """Fold of each row, never one content in two; None where there is one content."""
        if self.cv is None:
            return None
        if not isinstance(self.cv, int | np.integer):
            return _given_folds(self.cv, X, labels)
        return deal_rows(X, labels, int(self.cv), self.random_state)

    # --- checks -----------------------------------------------------------------------------

    def _is_auto(self) -> bool:
        return isinstance(self.estimator, str) and self.estimator == "auto"

    def _check_parameters(self) -> None:
        if not self._is_auto():
            check_wrappable(self.estimator, type(self).__name__)
        for name, least in (("cv", 2), ("max_iter", 1), ("patience", 1), ("max_candidates", 1)):
            value = getattr(self, name)
            if name in ("cv", "max_candidates") and (value is None or _is_splitting(value)):
                continue
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name}={value!r}; expected a whole number of at least {least}")

    def _inputs(self, X: Any, reset: bool = False) -> Any:
        if self._is_auto():
            return validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=reset)
        return checked_rows(self, X, reset)

    def _check_labels(self, X: Any, labels: Labels) -> None:
        if labels.task != "multiclass":
            raise ValueError(
                f"the labels are tags (any number true), and {type(self).__name__} is for one true "
                "class; write MultilabelPartialClassifier(estimator)"
            )
        if n_rows(X) != len(labels):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {n_rows(X)} rows of "
                f"X, {len(labels)} labels"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self._is_auto():
            tags.input_tags.sparse = True
        elif hasattr(self.estimator, "__sklearn_tags__"):
            tags.input_tags = get_tags(clone(self.estimator)).input_tags
        return tags


def _is_splitting(cv: Any) -> bool:
    return hasattr(cv, "split") or isinstance(cv, list | tuple)


def _given_folds(cv: Any, X: Any, labels: Labels) -> NDArray[np.int64]:
    """Fold of each row in the splits that the caller chose."""
    splits = list(cv.split(X, labels) if hasattr(cv, "split") else cv)
    fold = np.full(len(labels), -1, dtype=np.int64)
    for k, (_, test) in enumerate(splits):
        fold[np.asarray(test)] = k
    if len(splits) < 2 or (fold < 0).any():
        row = int(np.argmin(fold))
        raise ValueError(
            f"cv has {len(splits)} parts and row {row} is in the test rows of none; expected at "
            "least two parts that hold every row once, or a number of folds. (Rows that are "
            "unknown or weigh 0 are left out before: count without them.)"
        )
    return fold


def _plain(classes: NDArray[Any]) -> list[Any]:
    """Class names as labels hold them: whole numbers, not floats or bools."""
    if classes.dtype.kind in "bf":
        return [int(value) for value in classes]
    return list(classes.tolist())
