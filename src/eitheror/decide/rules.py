"""The rules themselves: argmax, top-k, a cut that is given, a cut that is tuned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._search import best_cut, best_cut_per_class, top_mask
from eitheror.decide._targets import checked_proba, tag_targets
from eitheror.decide.scoring import check_metric, score_decision

__all__ = [
    "Argmax",
    "Rule",
    "Threshold",
    "TopK",
    "TunedThreshold",
    "default_rule",
]


class Rule(ABC):
    """What every decision rule can do."""

    def fit(self, labels: Any, proba: Any) -> Self:
        """Return self; rules with nothing to learn ignore the arguments."""
        return self

    @abstractmethod
    def predict(self, proba: Any) -> NDArray[Any]:
        """Return the decision for each row of `proba`."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Return the rule as a dict that JSON can hold; `eitheror.decide.from_config` reads it."""

    @abstractmethod
    def describe(self) -> str:
        """Return the rule as one line of English."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.to_config() == other.to_config()

    def __hash__(self) -> int:
        return hash(repr(self.to_config()))


class Argmax(Rule):
    """Choose the most probable class. Optimal for accuracy when one class is true.

    Equal probabilities go to the first class.

    Examples
    --------
    >>> Argmax().predict([[0.2, 0.5, 0.3]])
    array([1])
    """

    def predict(self, proba: Any) -> NDArray[np.int64]:
        """Return class indices of shape (n_samples,)."""
        best: NDArray[np.int64] = checked_proba(proba).argmax(axis=1).astype(np.int64)
        return best

    def to_config(self) -> dict[str, Any]:
        """Return ``{"rule": "argmax"}``."""
        return {"rule": "argmax"}

    def describe(self) -> str:
        """Return the rule in words."""
        return "the most probable class"

    def __repr__(self) -> str:
        return "Argmax()"


class TopK(Rule):
    """Choose the `k` most probable classes of each row. Optimal for precision at k.

    Parameters
    ----------
    k : int
        At least 1. More than the number of classes means all of them.

    Examples
    --------
    >>> TopK(2).predict([[0.2, 0.5, 0.3]])
    array([[False,  True,  True]])
    """

    def __init__(self, k: int) -> None:
        if isinstance(k, bool) or not 1 <= k < np.inf or int(k) != k:
            raise ValueError(f"TopK({k!r}): k is the number of classes to choose, 1 or more")
        self.k = int(k)

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return a bool matrix (n_samples, n_classes); ties go to the first class."""
        return top_mask(checked_proba(proba), self.k)

    def to_config(self) -> dict[str, Any]:
        """Return ``{"rule": "top_k", "k": k}``."""
        return {"rule": "top_k", "k": self.k}

    def describe(self) -> str:
        """Return the rule in words."""
        return "the most probable class" if self.k == 1 else f"the {self.k} most probable classes"

    def __repr__(self) -> str:
        return f"TopK({self.k})"


class Threshold(Rule):
    """Choose every class with probability `threshold` or more.

    At .5 this is optimal for Hamming loss when the probabilities are calibrated marginals.

    Parameters
    ----------
    threshold : float, default 0.5
    at_least_one : bool, default False
        Also choose the most probable class of a row where nothing reaches the threshold.

    Examples
    --------
    >>> Threshold(0.4).predict([[0.2, 0.5, 0.3], [0.1, 0.2, 0.1]])
    array([[False,  True, False],
           [False, False, False]])
    """

    def __init__(self, threshold: float = 0.5, *, at_least_one: bool = False) -> None:
        if not np.isfinite(threshold):
            raise ValueError(f"Threshold({threshold!r}): the threshold is a finite number")
        self.threshold = float(threshold)
        self.at_least_one = bool(at_least_one)

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return a bool matrix (n_samples, n_classes)."""
        return _above(proba, np.float64(self.threshold), self.at_least_one)

    def to_config(self) -> dict[str, Any]:
        """Return the threshold and the option under ``{"rule": "threshold"}``."""
        return {
            "rule": "threshold",
            "threshold": self.threshold,
            "at_least_one": self.at_least_one,
        }

    def describe(self) -> str:
        """Return the rule in words."""
        return f"every class with probability {self.threshold:.4g} or more" + _or_best(
            self.at_least_one
        )

    def __repr__(self) -> str:
        return f"Threshold({self.threshold!r}{', at_least_one=True' * self.at_least_one})"


class TunedThreshold(Rule):
    """Choose every class above a cut that maximises `metric` on the labels given to `fit`.

    The cut is found exactly, by one sort. It is placed midway between two distinct scores;
    "predict nothing" is one of the choices; unknown entries take no part. For aggregate
    (micro) F1 and Jaccard and calibrated marginals one cut for all classes is optimal among
    all decision rules; `per_class` repairs miscalibrated classes, serves macro
    scores, and overfits more.

    Parameters
    ----------
    metric : str
        ``f1_micro f1_macro f1_samples jaccard_micro jaccard_macro jaccard_samples`` or
        ``accuracy`` (the exact set).
    per_class : bool, default False
        One cut for each class. Micro and macro scores only: samples scores and accuracy tie
        the classes together, and no exact search is known.
    at_least_one : bool, default False
        Always choose the most probable class of a row, whether it reaches its cut or not. Usually
        the larger part of the gain in samples scores.
    min_present : int, optional
        With `per_class`: classes present in fewer rows take the one cut for all. Default 10 for
        macro scores, where the best cut of a class with two examples is often "almost always",
        which no new row confirms; 0 for micro scores, where a rare class cannot gain by that.

    Attributes
    ----------
    threshold_ : float, or array of shape (n_classes,) with `per_class`
    score_ : float
        The score on the rows given to `fit`: optimistic, never report it as the quality of
        the rule. `cross_fitted_score` gives an honest one.

    Examples
    --------
    >>> labels = [[1, 1, 0, 1], [0, 1, 0, 0]]
    >>> proba = [[0.9, 0.8, 0.7, 0.6], [0.55, 0.4, 0.3, 0.2]]
    >>> rule = TunedThreshold("jaccard_micro").fit(labels, proba)
    >>> round(rule.threshold_, 12), round(rule.score_, 3)
    (0.35, 0.667)

    References
    ----------
    Z. Lipton, C. Elkan, B. Naryanaswamy (2014), "Optimal Thresholding of Classifiers to
    Maximize F1 Measure".
    W. Dinkelbach (1967), "On Nonlinear Fractional Programming".
    """

    def __init__(
        self,
        metric: str,
        per_class: bool = False,
        *,
        at_least_one: bool = False,
        min_present: int | None = None,
    ) -> None:
        check_metric(metric)
        if per_class and not metric.endswith(("micro", "macro")):
            raise ValueError(
                f"TunedThreshold({metric!r}, per_class=True): {metric} ties the classes "
                "together; use per_class=False, or a micro or macro metric"
            )
        self.metric = metric
        self.per_class = bool(per_class)
        self.at_least_one = bool(at_least_one)
        self.min_present = _min_present(metric) if min_present is None else int(min_present)

    def fit(self, labels: Any, proba: Any) -> Self:
        """Find the cut.

        Parameters
        ----------
        labels : Labels, SparseTargets or array of shape (n_samples, n_classes)
            Tags; unknown entries are left out, fractions count as parts of a tag.
        proba : array of shape (n_samples, n_classes)
            Probabilities of a model that has not been trained on these rows (held-out rows,
            or `eitheror.sklearn.out_of_fold_proba`).
        """
        proba = checked_proba(proba)
        targets = tag_targets(labels, proba)
        if np.isnan(targets).all():
            raise ValueError("every label is unknown: there is nothing to tune the cut on")
        self.threshold_: float | NDArray[np.float64]
        if self.per_class:
            self.threshold_ = best_cut_per_class(
                self.metric,
                targets,
                proba,
                at_least_one=self.at_least_one,
                min_present=self.min_present,
            )
            self.score_ = score_decision(self.metric, targets, self.predict(proba))
        else:
            self.threshold_, self.score_ = best_cut(
                self.metric, targets, proba, at_least_one=self.at_least_one
            )
        return self

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return a bool matrix (n_samples, n_classes)."""
        self._check_fitted()
        cuts = np.asarray(self.threshold_, dtype=np.float64)
        proba = checked_proba(proba)
        if cuts.ndim and len(cuts) != proba.shape[1]:
            raise ValueError(
                f"proba has {proba.shape[1]} classes, the rule was tuned for {len(cuts)}"
            )
        return _above(proba, cuts, self.at_least_one)

    def to_config(self) -> dict[str, Any]:
        """Return options and cut; raises ValueError before `fit`."""
        self._check_fitted()
        return {
            "rule": "tuned_threshold",
            "metric": self.metric,
            "per_class": self.per_class,
            "at_least_one": self.at_least_one,
            "min_present": self.min_present,
            "threshold": np.asarray(self.threshold_).tolist(),
            "score_on_file": self.score_,
        }

    def describe(self) -> str:
        """Return the rule in words."""
        self._check_fitted()
        cuts = np.atleast_1d(self.threshold_)
        best = _or_best(self.at_least_one)
        if self.per_class:
            return (
                f"every class with probability at its own cut or more ({len(cuts)} cuts from "
                f"{cuts.min():.4g} to {cuts.max():.4g}, tuned for {self.metric}){best}"
            )
        return f"every class with probability {cuts[0]:.4g} or more (tuned for {self.metric}){best}"

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise ValueError(f"{self!r} has no cut yet; call fit(labels, proba) first")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TunedThreshold):
            return False
        mine, theirs = vars(self), vars(other)
        return mine.keys() == theirs.keys() and all(
            bool(np.array_equal(mine[name], theirs[name])) for name in mine
        )

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        changed = self.min_present != _min_present(self.metric)
        return (
            f"TunedThreshold({self.metric!r}{', per_class=True' * self.per_class}"
            f"{', at_least_one=True' * self.at_least_one}"
            f"{f', min_present={self.min_present}' * changed})"
        )


def default_rule(task: str, meaning: str | None = None) -> Rule:
    """Return the rule of a model that was not tuned.

    Parameters
    ----------
    task : {"multiclass", "multilabel"}
    meaning : {"probabilities", "marginals", "shares"}, optional
        What the model's numbers are. Shares (``pal``, ``pal-n``, ``pol``) add to one over the
        tags of a row, so no fixed threshold means anything: the largest is chosen.

    Examples
    --------
    >>> default_rule("multilabel", "shares")
    TopK(1)
    """
    if task == "multiclass":
        return Argmax()
    if task != "multilabel":
        raise ValueError(f"unknown task {task!r}; write 'multiclass' or 'multilabel'")
    return TopK(1) if meaning == "shares" else Threshold(0.5)


def _min_present(metric: str) -> int:
    return 10 if metric.endswith("macro") else 0


def _above(proba: Any, cuts: Any, at_least_one: bool) -> NDArray[np.bool_]:
    proba = checked_proba(proba)
    # The cut stays float64: rounded to float32 it could fall onto the score just below it.
    chosen: NDArray[np.bool_] = proba >= np.asarray(cuts, dtype=np.float64)
    return chosen | top_mask(proba, 1) if at_least_one else chosen


def _or_best(at_least_one: bool) -> str:
    return ", and always the most probable one" if at_least_one else ""
