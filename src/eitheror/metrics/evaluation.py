"""`evaluate`: every score of a set of predictions in one dict, and a few scores by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import (
    CostMatrix,
    Reject,
    Rule,
    TopK,
    checked_proba,
    default_rule,
    from_config,
)
from eitheror.metrics._selective import cost_of, decided_scores, held, set_scores
from eitheror.metrics._sets import completions, hamming, macro, micro, samples
from eitheror.metrics._truth import Truth, align
from eitheror.metrics.intervals import Bounds, between, mean_of, proportion, ratio_of
from eitheror.metrics.probabilities import TOLERANCE, checked_range, log_loss_of, reliability_of

__all__ = [
    "accuracy_bounds",
    "decided_matrix",
    "evaluate",
    "gives_sets",
    "precision_at_k",
    "recall_at_k",
    "rule_for",
]

Bools = NDArray[np.bool_]
_MEANINGS = {"multiclass": "probabilities", "multilabel": "marginals"}


def evaluate(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
    *,
    meaning: str | None = None,
) -> dict[str, Any]:
    """Score probabilities, and the decisions made from them, against what is known.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
        What is known about each row; unknown rows and entries are welcome and widen the bounds.
    proba : array of shape (n_samples, n_classes)
    classes : sequence of n_classes names, optional
        Names of the columns of `proba`, matched to `labels.classes` by name. A class that only
        the labels know is never predicted: its tags are false negatives, counted in
        ``unseen_labels``. Without `classes` the columns are `labels.classes`.
    decision : decide.Rule or its config, optional
        How probabilities become decisions; default `decide.default_rule`.
    meaning : {"probabilities", "marginals", "shares"}, optional
        What `proba` holds: a distribution over classes, a probability per tag, or shares that
        add to one over the tags of a row (losses ``pal``, ``pal-n``, ``pol``). Default by task.

    Returns
    -------
    dict
        ``{"n", "task", "unseen_labels", "decision", "metrics": {name: {"lower", "upper",
        "interval"}}}``. ``n`` is all rows. ``lower == upper`` where the labels leave nothing
        open; ``interval`` is the 95 % interval or None. A metric that has no meaning here has
        None for all three. ``log_loss`` and ``calibration_error`` also say over how many
        ``rows`` they were taken. Bounds are sharp, or have ``"outer": True``: no truth gives a
        score beyond them, but perhaps none reaches them (macro averages where one class is true;
        "at least one of" for tags).

        One true class: a rule that may keep silent adds ``decided``, the share of rows with a
        decision, ``accuracy_decided``, the accuracy among them, ``cost``, the mean cost of a row
        in the rule's own terms (None where a row may be of a class without a cost), and
        ``cost_of_argmax``, the cost if the most probable class were always decided. A rule that
        gives sets has ``coverage``, the share of sets that hold the true class, and the mean
        ``set_size`` instead of the scores of single decisions.

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "b", either("a", "c"), None], classes=["a", "b", "c"])
    >>> proba = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]
    >>> report = evaluate(labels, proba)
    >>> report["n"], report["decision"]
    (4, 'the most probable class')
    >>> report["metrics"]["accuracy"]["lower"], report["metrics"]["accuracy"]["upper"]
    (0.25, 0.75)
    """
    proba = checked_proba(proba)
    truth = align(labels, proba, classes)
    meaning = _checked_meaning(meaning, truth.task, proba)
    rule = rule_for(decision, truth.task, meaning)
    decided = rule.predict(proba)
    predicted = decided_matrix(decided, truth, proba.shape, sets=True)
    scores: Mapping[str, Bounds | None]
    if truth.task == "multilabel":
        scores = _tag_scores(truth, proba, predicted)
    elif gives_sets(rule, decided):
        scores = _no_class_scores(truth, proba) | set_scores(truth, predicted)
    else:
        scores = _class_scores(truth, proba, predicted) | _silence_scores(
            truth, proba, rule, decided
        )
    metrics = {name: _entry(bounds) for name, bounds in scores.items()}
    for name in _outer(truth, metrics):
        metrics[name]["outer"] = True
    metrics["log_loss"] = _log_loss_entry(truth, proba, meaning)
    metrics["calibration_error"] = _calibration_entry(truth, proba, meaning)
    return {
        "n": len(proba),
        "task": truth.task,
        "unseen_labels": truth.unseen_labels,
        "decision": rule.describe(),
        "metrics": metrics,
    }


def accuracy_bounds(labels: Any, proba: Any, classes: Sequence[Any] | None = None) -> Bounds:
    """Return the range of accuracies of the most probable class that the labels allow.

    lower = mean 1{S = {h}}, upper = mean 1{h in S} for decision h and the set S of classes that
    the row does not rule out. Sharp: some truth reaches either end. For tags it is the exact
    set, cut at .5.

    Examples
    --------
    >>> from eitheror.labels import Labels, either, not_
    >>> labels = Labels(["a", either("a", "b"), not_("a")], classes=["a", "b", "c"])
    >>> bounds = accuracy_bounds(labels, [[0.6, 0.3, 0.1]] * 3)
    >>> round(bounds.lower, 3), round(bounds.upper, 3)
    (0.333, 0.667)

    References
    ----------
    G. Imbens, C. Manski (2004), "Confidence Intervals for Partially Identified Parameters".
    """
    proba = checked_proba(proba)
    truth = align(labels, proba, classes)
    predicted = decided_matrix(default_rule(truth.task).predict(proba), truth, proba.shape)
    return _accuracy(truth, predicted)


def precision_at_k(
    labels: Any, proba: Any, k: int = 1, classes: Sequence[Any] | None = None
) -> Bounds:
    """Return the share of the k most probable classes of each row that are true.

    Every row counts, also one without any tag. With fewer than k classes, all are taken.

    Examples
    --------
    >>> from eitheror.labels import Labels, tags
    >>> labels = Labels([tags("a", "b"), tags("c")])
    >>> precision_at_k(labels, [[0.9, 0.5, 0.1], [0.1, 0.7, 0.4]], k=2).lower
    0.75
    """
    proba = checked_proba(proba)
    return _precision_at(align(labels, proba, classes), proba, k)


def recall_at_k(
    labels: Any, proba: Any, k: int = 1, classes: Sequence[Any] | None = None
) -> Bounds:
    """Return the share of all true classes that are among the k most probable of their row.

    Over all rows together (fastText's recall), not the mean over rows.

    Examples
    --------
    >>> from eitheror.labels import Labels, tags
    >>> labels = Labels([tags("a", "b"), tags("c")])
    >>> recall_at_k(labels, [[0.9, 0.5, 0.1], [0.1, 0.7, 0.4]], k=2).lower
    1.0
    """
    proba = checked_proba(proba)
    return _recall_at(align(labels, proba, classes), proba, k)


def _checked_meaning(meaning: str | None, task: str, proba: NDArray[Any]) -> str:
    if meaning is None:
        meaning = _MEANINGS[task]
    if meaning not in ("probabilities", "marginals", "shares"):
        raise ValueError(
            f"unknown meaning {meaning!r}; write 'probabilities', 'marginals' or 'shares'"
        )
    checked_range(proba)
    if meaning == "probabilities":
        off = np.abs(proba.sum(axis=1, dtype=np.float64) - 1) > TOLERANCE
        if off.any():
            row = int(np.argmax(off))
            raise ValueError(
                f"proba row {row} adds to {proba[row].sum():.4g}, not 1; "
                "if each class has its own probability, write meaning='marginals'"
            )
    return meaning


def rule_for(
    decision: Rule | Mapping[str, Any] | None, task: str, meaning: str | None = None
) -> Rule:
    """Return a rule given as itself or as its config, or else the default of the task."""
    if decision is None:
        return default_rule(task, meaning)
    return from_config(decision) if isinstance(decision, Mapping) else decision


def decided_matrix(
    decided: NDArray[Any], truth: Truth, shape: tuple[int, ...], *, sets: bool = False
) -> Bools:
    """Return decisions as a bool matrix over all columns of the truth.

    With `sets` a row may name several classes, or none, where one is true.
    """
    predicted = np.zeros(truth.certain.shape, dtype=bool)
    if decided.ndim == 1:
        chosen = np.flatnonzero(decided >= 0)  # -1: no decision, which is never right
        predicted[chosen, decided[chosen]] = True
    else:
        predicted[:, : shape[1]] = decided
        if truth.task == "multiclass" and not sets and (decided.sum(axis=1) != 1).any():
            row = int(np.argmax(decided.sum(axis=1) != 1))
            raise ValueError(
                f"one class is true per row, but the decision for row {row} names "
                f"{int(decided[row].sum())}; decide with Argmax()"
            )
    return predicted


def gives_sets(rule: Rule, decided: NDArray[Any]) -> bool:
    """Say whether a rule's decisions for one true class are sets and not single classes."""
    return decided.ndim == 2 and rule != TopK(1)


def _outer(truth: Truth, metrics: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the scores of decisions whose bounds may be out of reach for every truth."""
    if truth.task == "multiclass":
        names = ["f1_macro", "jaccard_macro"]
    else:
        names = list(metrics) if len(truth.targets.group_indices) else []
    return [name for name in names if metrics[name]["lower"] != metrics[name]["upper"]]


def _silence_scores(
    truth: Truth, proba: NDArray[Any], rule: Rule, decided: NDArray[Any]
) -> dict[str, Bounds | None]:
    """Return what a rule with costs or a right to silence adds."""
    if isinstance(rule, Reject):
        costs = np.full((truth.n_model, truth.n_model + 1), 1.0)
        np.fill_diagonal(costs, 0.0)
        costs[:, -1] = rule.cost
    elif isinstance(rule, CostMatrix):
        costs = rule.costs
        if costs.shape[1] == truth.n_model:  # no decision is not among the choices
            costs = np.column_stack([costs, np.zeros(len(costs))])
    else:
        return {}
    predicted = decided_matrix(decided, truth, (len(decided), truth.n_model))
    return decided_scores(truth, predicted) | {
        "cost": cost_of(truth, decided, costs),
        "cost_of_argmax": cost_of(truth, proba.argmax(axis=1), costs),
    }


def _no_class_scores(truth: Truth, proba: NDArray[Any]) -> dict[str, Bounds | None]:
    """Return null for each score of a single class, where sets are decided."""
    nothing = np.zeros(truth.certain.shape, dtype=bool)
    names = _class_scores(truth, proba, nothing)
    return dict.fromkeys(names) | _ranked_scores(truth, proba)


def _tag_scores(truth: Truth, proba: NDArray[Any], predicted: Bools) -> dict[str, Bounds]:
    worst, best = completions(predicted, truth.certain, truth.possible)
    scores = {"accuracy": _accuracy(truth, predicted), **_ranked_scores(truth, proba)}
    for average, score in (("micro", micro), ("macro", macro), ("samples", samples)):
        for measure in ("f1", "jaccard"):
            scores[f"{measure}_{average}"] = score(measure, worst, best)
    return scores | {"hamming": hamming(worst, best)}


def _class_scores(truth: Truth, proba: NDArray[Any], predicted: Bools) -> dict[str, Bounds]:
    # One class is true in a row and one decided, or none in a share 1 - d of the rows: row scores
    # are the accuracy a, aggregate F1 is 2 a / (1 + d), aggregate Jaccard a / (1 + d - a).
    worst, best = completions(predicted, truth.certain, truth.possible)
    surely, maybe = held(truth, predicted)
    accuracy = proportion(int(surely.sum()), int(maybe.sum()), len(predicted))
    both = 1 + float(np.any(predicted, axis=1).mean())
    wrong = _mapped(accuracy, lambda share: 1 - share)
    return {
        "accuracy": accuracy,
        **_ranked_scores(truth, proba),
        "f1_micro": _mapped(accuracy, lambda share: 2 * share / both),
        "f1_macro": macro("f1", worst, best),
        "f1_samples": accuracy,
        "jaccard_micro": _mapped(accuracy, lambda share: share / (both - share)),
        "jaccard_macro": macro("jaccard", worst, best),
        "jaccard_samples": accuracy,
        "hamming": wrong,
    }


def _ranked_scores(truth: Truth, proba: NDArray[Any]) -> dict[str, Bounds]:
    return {
        "precision_at_1": _precision_at(truth, proba, 1),
        "recall_at_1": _recall_at(truth, proba, 1),
        "precision_at_5": _precision_at(truth, proba, 5),
    }


def _mapped(bounds: Bounds, change: Any) -> Bounds:
    """Return bounds of a monotone function of a score, in order."""
    lower, upper = sorted((change(bounds.lower), change(bounds.upper)))
    if bounds.interval is None:
        return Bounds(lower, upper, None)
    low, high = sorted(change(end) for end in bounds.interval)
    return Bounds(lower, upper, (low, high))


def _accuracy(truth: Truth, predicted: Bools) -> Bounds:
    """Bound the share of rows whose decision is exactly the truth."""
    agrees = ~((truth.certain & ~predicted) | (predicted & ~truth.possible)).any(axis=1)
    settled = (truth.certain == truth.possible).all(axis=1)
    return proportion(int((agrees & settled).sum()), int(agrees.sum()), len(predicted))


def _top(truth: Truth, proba: NDArray[Any], k: int) -> tuple[Bools, int]:
    top = np.zeros(truth.certain.shape, dtype=bool)
    top[:, : proba.shape[1]] = TopK(k).predict(proba)
    return top, min(k, proba.shape[1])


def _precision_at(truth: Truth, proba: NDArray[Any], k: int) -> Bounds:
    top, k = _top(truth, proba, k)
    if truth.task == "multiclass":
        return _mapped(_in_top(truth, top), lambda share: share / k)
    low, high = ((top & part).sum(axis=1) for part in (truth.certain, truth.possible))
    if k == 1:
        return proportion(int(low.sum()), int(high.sum()), len(top))
    return between(mean_of(low / k), mean_of(high / k))


def _recall_at(truth: Truth, proba: NDArray[Any], k: int) -> Bounds:
    top, k = _top(truth, proba, k)
    if truth.task == "multiclass":
        return _in_top(truth, top)
    worst, best = completions(top, truth.certain, truth.possible)
    (low, _, low_all), (high, _, high_all) = worst.counts(1), best.counts(1)
    return between(ratio_of(low, low_all), ratio_of(high, high_all))


def _in_top(truth: Truth, top: Bools) -> Bounds:
    """Bound the share of rows whose one true class is in `top`."""
    surely = ~(truth.possible & ~top).any(axis=1)
    maybe = (truth.possible & top).any(axis=1)
    return proportion(int(surely.sum()), int(maybe.sum()), len(top))


def _entry(bounds: Bounds | None) -> dict[str, Any]:
    if bounds is None:
        return {"lower": None, "upper": None, "interval": None}
    interval = None if bounds.interval is None else [float(end) for end in bounds.interval]
    return {"lower": float(bounds.lower), "upper": float(bounds.upper), "interval": interval}


def _log_loss_entry(truth: Truth, proba: NDArray[Any], meaning: str) -> dict[str, Any]:
    """Null unless `proba` is what the loss is about: shares are not tag probabilities."""
    if meaning != _MEANINGS[truth.task]:
        return _entry(None) | {"rows": 0}
    bounds, rows = log_loss_of(truth, proba)
    return _entry(bounds) | {"rows": rows}


def _calibration_entry(truth: Truth, proba: NDArray[Any], meaning: str) -> dict[str, Any]:
    if meaning == "shares":
        return _entry(None) | {"rows": 0}
    return _entry(reliability_of(truth, proba)) | {"rows": len(proba)}
