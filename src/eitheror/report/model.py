"""What is known about one model on one file: every number of its page, as a dict that JSON holds.

In: labels, probabilities and the decision rule. Out: the scores of `evaluate` and, beside them,
what a picture or a table is drawn from. `model_page` renders it and computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import Argmax, Rule, Threshold, TunedThreshold, checked_proba
from eitheror.labels import Labels
from eitheror.metrics import (
    class_table,
    confusions,
    contradicted_rows,
    evaluate,
    reliability_curve,
)
from eitheror.metrics.evaluation import gives_sets, rule_for
from eitheror.metrics.intervals import proportion
from eitheror.report.curves import rejection_curve, set_sizes, threshold_curve
from eitheror.report.words import score_of_rule

__all__ = ["model_report"]

_TEXT = 300  # characters of a text that are shown
_BINS = 10


def model_report(
    labels: Any,
    proba: Any,
    classes: Sequence[Any] | None = None,
    decision: Rule | Mapping[str, Any] | None = None,
    *,
    meaning: str | None = None,
    inputs: Any = None,
    where: Callable[[int], str] | None = None,
    history: Sequence[Mapping[str, float]] | None = None,
    most: int = 20,
) -> dict[str, Any]:
    """Return the scores of `evaluate`, and curves and tables that say where they come from.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes)
        Of a model that was not trained on these rows.
    classes, decision, meaning
        As in `metrics.evaluate`.
    inputs : sequence of str, optional
        The texts, shown with the most contradicted rows, up to 300 characters of each; numbers
        are not shown.
    where : callable, optional
        From a row to its place in a file.
    history : sequence of dict, optional
        ``model.options["history"]``: the loss of each pass of the training.
    most : int, default 20
        Number of confusions and of contradicted rows.

    Returns
    -------
    dict
        The keys of `evaluate`, and, None where it has no meaning here:

        - ``kinds``: rows of each kind of statement
        - ``reliability``: `metrics.reliability_curve` in 10 bins, for one true class with the 95 %
          ``interval`` of each; None for shares
        - ``threshold_curve``: for tags, `threshold_curve` with ``metrics`` (the one that the rule
          is for comes first), ``chosen`` (the rule's own cut) and ``at_least_one``
        - ``rejection_curve``: for one true class; ``set_sizes``: for rules that give sets
        - ``class_table``, ``confusions``
        - ``contradicted_rows``: with ``where`` and ``text``, where known
        - ``history``

    Examples
    --------
    >>> from eitheror.labels import Labels, either
    >>> labels = Labels(["a", "b", either("a", "b")], classes=["a", "b"])
    >>> found = model_report(labels, [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> found["rejection_curve"]["decided"], found["threshold_curve"]
    ([1.0, 0.666667, 0.333333], None)
    >>> found["confusions"][0]["rows"]
    [1, 2]
    """
    labels = labels if isinstance(labels, Labels) else Labels(labels)
    proba = checked_proba(proba)
    rule = rule_for(decision, labels.task, meaning)
    found = evaluate(labels, proba, classes, rule, meaning=meaning)
    decided = rule.predict(proba)
    multiclass = labels.task == "multiclass"
    sets = multiclass and gives_sets(rule, decided)
    named = Argmax() if sets else rule  # a set is no mistake of one class for another
    return {
        **found,
        "kinds": labels.kind_counts(),
        "reliability": None if meaning == "shares" else _reliability(labels, proba, classes),
        "threshold_curve": None if multiclass else _threshold_curve(labels, proba, classes, rule),
        "rejection_curve": rejection_curve(labels, proba, classes) if multiclass else None,
        "set_sizes": set_sizes(labels, decided, classes) if sets else None,
        "class_table": class_table(labels, proba, classes, rule),
        "confusions": confusions(labels, proba, classes, named, most),
        "contradicted_rows": [
            row | _place(row["row"], inputs, where)
            for row in contradicted_rows(labels, proba, classes, named, most)
        ],
        "history": [dict(entry) for entry in history] if history else None,
    }


def _reliability(
    labels: Labels, proba: NDArray[Any], classes: Sequence[Any] | None
) -> list[dict[str, Any]]:
    """Add the interval of a bin's frequency; entries of tags share rows, so theirs has none."""
    found = reliability_curve(labels, proba, classes, bins=_BINS)
    for entry in found:
        entries = entry["entries"]
        low, high = (round(end * entries) for end in entry["frequency"])
        tags = labels.task == "multilabel"
        interval = None if tags else proportion(low, high, entries).interval
        entry["interval"] = None if interval is None else list(interval)
    return found


def _threshold_curve(
    labels: Labels, proba: NDArray[Any], classes: Sequence[Any] | None, rule: Rule
) -> dict[str, Any]:
    """Return the curve of the rule's score, with a point at the rule's own cut if it has one."""
    chosen, at_least_one = None, False
    if isinstance(rule, Threshold):
        chosen, at_least_one = rule.threshold, rule.at_least_one
    elif isinstance(rule, TunedThreshold):
        at_least_one = rule.at_least_one
        chosen = None if rule.per_class else float(np.asarray(rule.threshold_))
    metrics = list(dict.fromkeys([score_of_rule(rule), "f1_micro", "jaccard_micro"]))
    found = threshold_curve(labels, proba, classes, metrics, at_least_one=at_least_one)
    if chosen is not None:
        cuts = sorted({*found["cut"], chosen})
        found = threshold_curve(
            labels, proba, classes, metrics, cuts=cuts, at_least_one=at_least_one
        )
    return found | {
        "metrics": metrics,
        "chosen": chosen,
        "at_least_one": at_least_one,
    }


def _place(row: int, inputs: Any, where: Callable[[int], str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if where is not None:
        found["where"] = where(row)
    if inputs is not None and isinstance(inputs[row], str):
        text = " ".join(inputs[row].split())
        found["text"] = (
            text if len(text) <= _TEXT else text[: _TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"
        )
    return found
