"""Decisions where one class is true: costs, the right to say nothing, and two sources combined.

Probabilities of shape ``(n_samples, n_classes)`` whose rows add to 1 come in. Rules answer with
class indices, and with -1 where they decline to choose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._targets import checked_proba
from eitheror.decide.rules import Rule
from eitheror.labels import SHARES, Labels

__all__ = ["CostMatrix", "Reject", "condition", "product_of_experts"]

_SHOWN = 5
_ROUNDING = 4
"""Units in the last place by which equal probabilities may differ."""


class Reject(Rule):
    """Choose the most probable class, or nothing (-1) where that would cost more (Chow's rule).

    With cost 1 for a wrong class and `cost` for saying nothing, choosing is better when
    ``max p > 1 - cost``. Where both cost the same, up to rounding, the class is named.

    Parameters
    ----------
    cost : float
        Cost of saying nothing, from 0 (never worth a risk) to 1 (never say nothing).

    Examples
    --------
    >>> Reject(0.3).predict([[0.8, 0.2], [0.6, 0.4]])
    array([ 0, -1])
    >>> Reject(0.3).predict([[0.7, 0.3]])  # a tie
    array([0])

    References
    ----------
    C. Chow (1970), "On Optimum Recognition Error and Reject Tradeoff".
    """

    def __init__(self, cost: float) -> None:
        if not 0 <= cost <= 1:
            raise ValueError(f"Reject({cost!r}): the cost of no decision lies between 0 and 1")
        self.cost = float(cost)

    def predict(self, proba: Any) -> NDArray[np.int64]:
        """Return class indices of shape (n_samples,), -1 for no decision."""
        proba = checked_proba(proba)
        # .7 in float32 is below 1 - .3: a tie up to rounding is a tie, and then Chow decides
        slack = _ROUNDING * float(np.finfo(proba.dtype).eps)
        sure = proba.max(axis=1).astype(np.float64) >= 1 - self.cost - slack
        return np.where(sure, proba.argmax(axis=1), -1).astype(np.int64)

    def to_config(self) -> dict[str, Any]:
        """Return the cost under ``{"rule": "reject"}``."""
        return {"rule": "reject", "cost": self.cost}

    def describe(self) -> str:
        """Return the rule in words."""
        return f"the most probable class where its probability is {1 - self.cost:.4g} or more"

    def __repr__(self) -> str:
        return f"Reject({self.cost!r})"


class CostMatrix(Rule):
    """Choose the decision with the lowest expected cost, ``argmin_d sum_k p_k costs[k, d]``.

    Parameters
    ----------
    costs : array of shape (n_classes, n_classes) or (n_classes, n_classes + 1)
        Cost of deciding d (column) when k (row) is true, in the order of the classes. A last
        column more than classes is the cost of no decision, answered as -1.

    Examples
    --------
    A missed fire (class 1) costs ten false alarms:

    >>> CostMatrix([[0, 1], [10, 0]]).predict([[0.8, 0.2], [0.95, 0.05]])
    array([1, 0])
    """

    def __init__(self, costs: Any) -> None:
        matrix = np.asarray(costs, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] - matrix.shape[0] not in (0, 1) or matrix.size == 0:
            raise ValueError(
                f"costs has shape {matrix.shape}; give a row for each true class and a column for "
                "each decision: the classes, and optionally one more for no decision"
            )
        if not np.isfinite(matrix).all():
            raise ValueError("costs must be finite numbers")
        self.costs = matrix

    def predict(self, proba: Any) -> NDArray[np.int64]:
        """Return class indices of shape (n_samples,), -1 for no decision; ties go to the first."""
        proba = checked_proba(proba)
        if proba.shape[1] != len(self.costs):
            raise ValueError(
                f"proba has {proba.shape[1]} classes, the costs {len(self.costs)} rows"
            )
        best = (proba @ self.costs).argmin(axis=1).astype(np.int64)
        return np.where(best == proba.shape[1], -1, best)

    def to_config(self) -> dict[str, Any]:
        """Return the costs under ``{"rule": "cost_matrix"}``."""
        return {"rule": "cost_matrix", "costs": self.costs.tolist()}

    def describe(self) -> str:
        """Return the rule in words."""
        nothing = ", or none" if self.costs.shape[1] > self.costs.shape[0] else ""
        return f"the class with the lowest expected cost{nothing}"

    def __repr__(self) -> str:
        return f"CostMatrix({self.costs.tolist()!r})"


def condition(proba: Any, labels: Any) -> NDArray[np.float64]:
    """Return the probabilities given what is known about the same items, ``p w / sum(p w)``.

    Right when the statement was made without looking at the model: for evidence weights w
    proportional to P(statement | class) this is Bayes' rule.

    Parameters
    ----------
    proba : array of shape (n_samples, n_classes)
    labels : Labels, or what `Labels` accepts, of n_samples rows
        Statements about the rows; ``None`` changes nothing. Shares (`soft`, `votes`) are not
        evidence about an item: write the likelihood weights with `evidence`.

    Returns
    -------
    array of shape (n_samples, n_classes)

    Raises
    ------
    ValueError
        Shares; or a row whose statement has probability 0.

    Examples
    --------
    >>> from eitheror.labels import Labels, not_
    >>> labels = Labels([not_("b", "c")], classes=["a", "b", "c", "d"])
    >>> condition([[0.2, 0.4, 0.3, 0.1]], labels).round(4)
    array([[0.6667, 0.    , 0.    , 0.3333]])
    """
    proba = _not_negative(proba)
    targets = (labels if isinstance(labels, Labels) else Labels(labels)).sparse()
    if targets.task != "multiclass":
        raise ValueError("condition() is for one true class; for tags, overwrite the known entries")
    if (len(targets), targets.n_classes) != proba.shape:
        raise ValueError(
            f"labels are {len(targets)} rows x {targets.n_classes} classes, proba is "
            f"{proba.shape[0]} x {proba.shape[1]}; both need the same rows and classes"
        )
    shares = np.flatnonzero(targets.mode == SHARES)
    if len(shares):
        raise ValueError(
            f"row {shares[0]} holds shares (soft or votes), which are no evidence about the item; "
            "write evidence({class: P(statement | class), ...})"
        )
    return _normalised(proba * targets.dense(np.float64), "the statement has probability 0")


def product_of_experts(p: Any, q: Any, prior: Any = None) -> NDArray[np.float64]:
    """Combine two sources about one true class: ``p q / prior``, each row scaled to add to 1.

    It is Bayes' rule in two cases. (1) q is proportional to P(extra evidence | class); then leave
    `prior` out. (2) p and q are posteriors from two views that are independent given the class;
    then `prior` must be the class prior that both contain, or rare classes are lost. In
    any other case it is a heuristic: two models of the *same* inputs count the same evidence
    twice, which makes .7 and .7 into .845. One model trained on all statements needs none of this.

    Parameters
    ----------
    p, q : arrays of shape (n_samples, n_classes)
        Not negative; rows of `q` need not add to 1.
    prior : array of shape (n_classes,) or (n_samples, n_classes), optional
        Class probabilities that both sources contain; positive.

    Returns
    -------
    array of shape (n_samples, n_classes)

    Raises
    ------
    ValueError
        Different shapes, negative numbers, or a row where the sources exclude each other.

    Examples
    --------
    >>> product_of_experts([[0.7, 0.3]], [[0.7, 0.3]]).round(3)  # the same source twice
    array([[0.845, 0.155]])
    >>> product_of_experts([[0.97, 0.03]], [[0.8, 0.2]], prior=[0.9, 0.1]).round(3)
    array([[0.935, 0.065]])

    References
    ----------
    G. Hinton (2002), "Training Products of Experts by Minimizing Contrastive Divergence".
    """
    p, q = (_not_negative(source) for source in (p, q))
    if p.shape != q.shape:
        raise ValueError(f"p has shape {p.shape} and q {q.shape}; both need the same")
    joint = p * q
    if prior is not None:
        base = np.asarray(prior, dtype=np.float64)
        if base.shape not in (p.shape, p.shape[1:]) or not (base > 0).all():
            raise ValueError(
                f"prior has shape {base.shape}; give {p.shape[1]} positive class probabilities"
            )
        joint = joint / base
    return _normalised(joint, "no class is possible for both sources")


def _not_negative(proba: Any) -> NDArray[np.float64]:
    proba = checked_proba(proba).astype(np.float64)
    if not ((proba >= 0) & (proba < np.inf)).all():
        raise ValueError("probabilities are finite and not negative; these look like logits")
    return np.asarray(proba)


def _normalised(joint: NDArray[np.float64], problem: str) -> NDArray[np.float64]:
    total = joint.sum(axis=1, keepdims=True)
    empty = np.flatnonzero(total[:, 0] == 0)
    if len(empty):
        more = ", ..." if len(empty) > _SHOWN else ""
        rows = ", ".join(map(str, empty[:_SHOWN].tolist())) + more
        raise ValueError(f"rows {rows}: {problem}")
    result: NDArray[np.float64] = joint / total
    return result
