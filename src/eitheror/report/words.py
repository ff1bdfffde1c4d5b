"""What each score is called, which a person is shown, and which a rule is for; page and screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eitheror.decide import Argmax, ExpectedF1, ExpectedJaccard, Rule, TunedThreshold

__all__ = ["ABOUT", "score_of_rule", "shown_scores"]

ABOUT = {
    "accuracy": "rows decided right",
    "decided": "rows with a decision",
    "accuracy_decided": "rows decided right, of those with a decision",
    "cost": "mean cost of a row",
    "cost_of_argmax": "mean cost of a row, were the most probable class always decided",
    "coverage": "sets that hold the true class",
    "set_size": "mean number of classes in a set",
    "precision_at_1": "most probable classes that are true",
    "recall_at_1": "true classes that are the most probable one",
    "precision_at_5": "five most probable classes that are true",
    "f1_micro": "F1 over all decisions together",
    "f1_macro": "F1, mean over classes",
    "f1_samples": "F1, mean over rows",
    "jaccard_micro": "Jaccard index over all decisions together",
    "jaccard_macro": "Jaccard index, mean over classes",
    "jaccard_samples": "Jaccard index, mean over rows",
    "hamming": "single yes or no decisions that are wrong",
    "log_loss": "mean loss of the statements",
    "calibration_error": "distance between probability and frequency",
}
_MULTICLASS = (
    *("accuracy", "decided", "accuracy_decided", "cost", "cost_of_argmax"),
    *("coverage", "set_size"),
    *("f1_macro", "log_loss", "calibration_error"),
)


def score_of_rule(rule: Rule) -> str:
    """Return the score that a decision rule is for; ``f1_micro`` for tags if it is for none.

    Examples
    --------
    >>> score_of_rule(ExpectedJaccard()), score_of_rule(Argmax())
    ('jaccard_samples', 'accuracy')
    """
    if isinstance(rule, TunedThreshold):
        return rule.metric
    best_for: tuple[tuple[type[Rule], str], ...] = (
        (ExpectedJaccard, "jaccard_samples"),
        (ExpectedF1, "f1_samples"),
        (Argmax, "accuracy"),
    )
    return next((metric for kind, metric in best_for if isinstance(rule, kind)), "f1_micro")


def shown_scores(report: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Return name, entry and meaning of the scores to show, of what `evaluate` gave.

    For one true class many scores are the accuracy under another name; they are left out. A score
    of only some rows says of how many.

    Examples
    --------
    >>> import eitheror as eo
    >>> report = eo.evaluate(["a", "b", None], [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    >>> [(name, what) for name, _, what in shown_scores(report)][2]
    ('log_loss', 'mean loss of the statements, 2 rows')
    """
    metrics = report["metrics"]
    names = list(metrics) if report["task"] == "multilabel" else list(_MULTICLASS)
    if "coverage" in metrics:
        names.insert(0, "precision_at_1")
    found = []
    for name in names:
        entry = metrics.get(name)
        if entry is None or entry["lower"] is None:
            continue
        rows = entry.get("rows", report["n"])
        part = f", {rows:,} row{'' if rows == 1 else 's'}" if rows != report["n"] else ""
        found.append((name, entry, ABOUT.get(name, "") + part))
    return found
