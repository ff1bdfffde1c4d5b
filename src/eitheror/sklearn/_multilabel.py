"""`MultilabelPartialClassifier`: one classifier per tag, fitted where the tag is known.

A probability of a tag enters as two weighted rows. "At least one of" ties tags together: its rows
enter with the posterior of each tag, by EM on out-of-fold probabilities, as in `_em.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils._tags import get_tags
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from eitheror.labels import Labels, SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.metrics.agreement import not_contradicted
from eitheror.sklearn._em import deal_rows
from eitheror.sklearn._inputs import checked_rows, checked_weight
from eitheror.sklearn._statements import Array
from eitheror.sklearn._targets import read_target
from eitheror.sklearn._weighted import WeightedFit, check_wrappable, fit_weighted, seeded
from eitheror.training.checks import n_rows

__all__ = ["MultilabelPartialClassifier"]


class MultilabelPartialClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One classifier per tag, from any scikit-learn, LightGBM or XGBoost classifier.

    Each tag is learnt on the rows that say something about it: present, absent, or a probability
    ``v``, which enters as a row with weight ``v`` and one with weight ``1 - v``. In a row that
    says only "at least one of S" a tag of S has the posterior ``s_k / (1 - prod_j (1 - s_j))``,
    which is renewed from models that did not see the row until such rows get no likelier.

    Parameters
    ----------
    estimator : classifier
        Needs `predict_proba`, and `sample_weight` in `fit`; a pipeline may end in such a one.
    cv : int, default 3
        Folds of the E-step, where rows say "at least one of".
    max_iter : int, default 10
        Largest number of rounds there.
    tol : float, default 1e-4
        A round counts as better if the mean log likelihood of these rows rises by more.
    classes : list, optional
        The whole list of tags, when `y` may not name every one.
    n_jobs : int, optional
        Processes for the tags; the model does not depend on it.
    random_state : int, default 0
        Seed of the folds, and of every `random_state` that the estimator leaves at None.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The tags, column order of probabilities.
    estimators_ : list of n_classes classifiers
        None for a tag that is the same in every row that knows it: its probability is constant.
    log_likelihood_ : list of float
        Mean log likelihood of "at least one of", one number a round; empty without such rows.
    n_features_in_ : int
    feature_names_in_ : array of str, where X had names

    See Also
    --------
    PartialLabelClassifier : For one true class.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from eitheror.labels import Labels, not_, tags
    >>> X = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]])
    >>> labels = [tags("dark"), not_("big"), tags("dark"), tags("big"), not_("dark"), tags("big")]
    >>> model = MultilabelPartialClassifier(GaussianNB()).fit(X, Labels(labels))
    >>> model.predict([[9.0]]).tolist(), model.classes_.tolist()
    ([[True, False]], ['big', 'dark'])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        cv: int = 3,
        max_iter: int = 10,
        tol: float = 1e-4,
        classes: Any = None,
        n_jobs: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.max_iter = max_iter
        self.tol = tol
        self.classes = classes
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on tags.

        Parameters
        ----------
        X : array, sparse matrix, DataFrame or list of n_samples rows
            What the estimator takes.
        y : Labels, or matrix of shape (n_samples, n_classes)
            Tags; in a matrix bool or 0/1, or floats with nan for unknown.
        sample_weight : array of shape (n_samples,), optional
            Weight 2 is the row twice.

        Returns
        -------
        self
        """
        check_wrappable(self.estimator, type(self).__name__)
        X = checked_rows(self, X, reset=True)
        target = read_target(y, self.classes)
        self._check_labels(X, target.labels)
        weight = checked_weight(sample_weight, len(target.labels))
        used = np.flatnonzero(weight > 0)
        X, labels, weight = _safe_indexing(X, used), target.labels[used], weight[used]
        self.classes_, self.indicator_dtype_ = target.classes, target.indicator
        estimator = seeded(self.estimator, self.random_state)
        tied = _Tied.of(labels)
        fold = deal_rows(X, labels, self.cv, self.random_state) if len(tied.rows) else None
        problem = _Tags(estimator, X, tied, weight, fold, self.n_jobs)
        values, self.log_likelihood_ = problem.solve(self.max_iter, self.tol)
        for column in np.flatnonzero(np.isnan(values).all(axis=0)):
            raise ValueError(
                f"no row says whether {labels.classes[column]!r} applies; expected at least one "
                "row that knows each tag: leave it out of the classes"
            )
        self.fitted_ = problem.fit(values, np.arange(labels.n_classes))
        self.estimators_ = [fitted.estimator for fitted in self.fitted_]
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each tag.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float64 array of shape (n_samples, n_classes)
        """
        check_is_fitted(self, "fitted_")
        X = checked_rows(self, X)
        return np.column_stack([fitted.predict_proba(X, 2)[:, 1] for fitted in self.fitted_])

    def predict(self, X: Any) -> NDArray[Any]:
        """Tags whose probability is at least one half.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        bool array of shape (n_samples, n_classes)
            In the dtype of `y` if that was a matrix of whole numbers.
        """
        return (self.predict_proba(X) >= 0.5).astype(self.indicator_dtype_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the rows whose predicted tags their label does not contradict.

        Parameters
        ----------
        X : as in fit
        y : as in fit
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        float
        """
        decided = self.predict_proba(X) >= 0.5
        labels = read_target(y, None if isinstance(y, Labels) else self.classes_.tolist()).labels
        self._check_labels(X, labels)
        agreed = not_contradicted(labels, decided, list(self.classes_.tolist()))
        return float(np.average(agreed, weights=sample_weight))

    def _check_labels(self, X: Any, labels: Labels) -> None:
        if labels.task != "multilabel":
            raise ValueError(
                f"the labels have one true class, and {type(self).__name__} is for tags; write "
                "PartialLabelClassifier(estimator), or Labels(..., task='multilabel')"
            )
        if n_rows(X) != len(labels):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {n_rows(X)} rows of "
                f"X, {len(labels)} labels"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        if hasattr(self.estimator, "__sklearn_tags__"):
            tags.input_tags = get_tags(clone(self.estimator)).input_tags
        return tags


@dataclass(frozen=True)
class _Tied:
    """Values of the tags, and the groups of which at least one is present.

    ``values`` is (n_samples, n_classes), nan where unknown; entry j of the groups is row
    ``rows[j]``, tag ``tags[j]``, group ``group[j]``, and ``none[g]`` is the log probability that
    the tags of group g whose probability is given are all absent.
    """

    values: Array
    none: Array
    rows: NDArray[np.int64]
    tags: NDArray[np.int64]
    group: NDArray[np.int64]

    @classmethod
    def of(cls, labels: Labels) -> _Tied:
        targets = labels.sparse()
        values = targets.dense(np.float64)
        rows, tags, group, none = _open_groups(targets, values)
        entries, counts = np.unique(np.stack([rows, tags]), axis=1, return_counts=True)
        if (counts > 1).any():
            row, tag = entries[:, int(np.argmax(counts > 1))]
            raise ValueError(
                f"row {row} names {labels.classes[tag]!r} in two statements 'at least one of', "
                "whose joint posterior is not computed here; expected groups without a common tag: "
                "drop one of the two, or use LinearClassifier"
            )
        return cls(values, none, rows, tags, group)

    def posterior(self, proba: Array) -> tuple[Array, Array]:
        """Posterior of each entry, and the log likelihood of each group, given (n, K)."""
        present = np.clip(proba[self.rows, self.tags], 1e-9, 1 - 1e-9)
        none = self.none.copy()
        np.add.at(none, self.group, np.log1p(-present))
        some = -np.expm1(none)
        return present / some[self.group], np.log(some)

    def filled(self, posterior: Array) -> Array:
        """Return the values with the entries of the groups in place."""
        values = self.values.copy()
        values[self.rows, self.tags] = posterior
        return values


def _open_groups(
    targets: SparseTargets, values: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Array]:
    """Entries of the groups that still say something: unknown tags, none known to be present."""
    n_groups = len(targets.group_ends) - 1
    group = row_of_entries(targets.group_ends)
    rows = row_of_entries(targets.group_indptr)[group]
    tags = targets.group_indices.astype(np.int64)
    known = values[rows, tags]
    with np.errstate(divide="ignore"):
        absent = np.where(np.isnan(known), 0.0, np.log1p(-known))
    none = np.bincount(group, absent, n_groups).astype(np.float64)
    met = np.bincount(group, known == 1, n_groups) > 0
    kept = ~met[group] & np.isnan(known)
    left, group = np.unique(group[kept], return_inverse=True)
    return rows[kept], tags[kept], group.reshape(-1), none[left]


@dataclass(frozen=True)
class _Tags:
    """An estimator, the rows, and what is known of their tags."""

    estimator: Any
    X: Any
    tied: _Tied
    sample_weight: Array
    fold: NDArray[np.int64] | None
    n_jobs: int | None

    def fit(
        self, values: Array, tags: NDArray[np.int64], train: NDArray[np.bool_] | None = None
    ) -> list[WeightedFit]:
        """Fit one estimator for each of `tags` on the rows (of `train`) where it is known."""
        jobs = (delayed(self._fit_tag)(values[:, tag], train) for tag in tags)
        return list(Parallel(n_jobs=self.n_jobs)(jobs))

    def solve(self, max_iter: int, tol: float) -> tuple[Array, list[float]]:
        """Return the values with each group at its posterior, and the likelihood of each round."""
        history: list[float] = []
        best = values = self.tied.values
        if not len(self.tied.rows):
            return best, history
        for _ in range(max_iter):
            proba = self._unseen_proba(values)
            posterior, likelihood = self.tied.posterior(proba)
            first = np.unique(self.tied.group, return_index=True)[1]
            weight = self.sample_weight[self.tied.rows[first]]
            history.append(float(np.average(likelihood, weights=weight)))
            if len(history) > 1 and history[-1] <= max(history[:-1]) + tol:
                break
            best = values = self.tied.filled(posterior)
        return best, history

    def _fit_tag(self, value: Array, train: NDArray[np.bool_] | None) -> WeightedFit:
        known = ~np.isnan(value) if train is None else ~np.isnan(value) & train
        shares = np.stack([1 - value, value], axis=1)
        shares[~known] = 0.0
        rows, codes = np.nonzero(shares)
        if not len(rows):  # nothing known: either is as likely
            rows, codes = np.zeros(2, dtype=np.int64), np.arange(2)
            return fit_weighted(_EvenChances(), self.X, rows, codes, None, [0, 1])
        weights = shares[rows, codes] * self.sample_weight[rows]
        plain = None if (weights == 1).all() else weights
        return fit_weighted(self.estimator, self.X, rows, codes, plain, [0, 1])

    def _unseen_proba(self, values: Array) -> Array:
        """Probabilities of the tags in groups, for the rows that have a group."""
        proba = np.full(values.shape, 0.5)
        tags = np.unique(self.tied.tags)
        asked = np.zeros(len(values), dtype=bool)
        asked[self.tied.rows] = True
        fold = np.zeros(len(values), dtype=np.int64) if self.fold is None else self.fold
        for k in np.unique(fold[asked]):
            train = None if self.fold is None else fold != k
            rows = np.flatnonzero(asked & (fold == k))
            inputs = _safe_indexing(self.X, rows)
            for tag, fitted in zip(tags, self.fit(values, tags, train), strict=True):
                proba[rows, tag] = fitted.predict_proba(inputs, 2)[:, 1]
        return proba


class _EvenChances(BaseEstimator):  # type: ignore[misc]
    """One half for a tag that no row of a fold knows."""

    def fit(self, X: Any, y: Any) -> Self:
        return self

    def predict_proba(self, X: Any) -> Array:
        return np.full((n_rows(X), 2), 0.5)
