"""The decision rule of a strategy for tags, so that none loses by a rule that does not fit it.

Several rules suit a metric. Which one a fold is decided with, and its thresholds, are told by the
other folds alone: each of these is decided by a rule fitted on the rest of them, and the rule
that scores best there is fitted on all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.decide import (
    ExpectedF1,
    ExpectedJaccard,
    Rule,
    Threshold,
    TopK,
    TunedThreshold,
    score_decision,
)

__all__ = ["Choice", "decided_by_best_rule", "rules_for"]

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Makers = dict[str, Callable[[], Rule]]
Choice = Counter[str]
"""How many folds each rule, by its name, was chosen for."""

_MOST_ENTRIES = 500_000  # rows * tags that the choice of a rule looks at


def rules_for(metric: str, meaning: str) -> Makers:
    """Return the rules that suit a metric, the simplest first.

    Parameters
    ----------
    metric : str
        Of `decide.METRICS`.
    meaning : {"marginals", "shares"}
        What the numbers of the model are; a share has no fixed threshold of its own.

    Examples
    --------
    >>> list(rules_for("jaccard_samples", "marginals"))[2:]
    ['the most probable tag', 'expected Jaccard', 'expected Jaccard, at least one tag']
    >>> list(rules_for("f1_macro", "shares"))[1:]
    ['one threshold, at least one tag', 'a threshold a tag', 'a threshold a tag, at least one tag']
    """
    rules: Makers = {
        "one threshold": lambda: TunedThreshold(metric),
        "one threshold, at least one tag": lambda: TunedThreshold(metric, at_least_one=True),
    }
    if metric.endswith(("micro", "macro")):
        rules["a threshold a tag"] = lambda: TunedThreshold(metric, per_class=True)
        rules["a threshold a tag, at least one tag"] = lambda: TunedThreshold(
            metric, per_class=True, at_least_one=True
        )
        return rules
    rules["the most probable tag"] = lambda: TopK(1)
    expected: dict[str, tuple[str, Any]] = {
        "jaccard_samples": ("expected Jaccard", ExpectedJaccard),
        "f1_samples": ("expected F1", ExpectedF1),
    }
    if metric in expected:
        name, rule = expected[metric]
        rules[name] = rule
        rules[f"{name}, at least one tag"] = lambda: rule(at_least_one=True)
    elif meaning == "marginals":
        rules["threshold .5"] = Threshold
    return rules


def decided_by_best_rule(
    targets: Floats, proba: Floats, folds: NDArray[np.int64], metric: str, meaning: str
) -> tuple[Bools, Choice]:
    """Decide every row with the rule and the thresholds that the other folds tell.

    Parameters
    ----------
    targets : array of shape (n_samples, n_classes)
        1, 0, a fraction, or nan for unknown; no row without a known entry.
    proba : array of shape (n_samples, n_classes)
        From models that have not seen the row.
    folds : int array of shape (n_samples,)
    metric, meaning : str
        As for `rules_for`.

    Returns
    -------
    decided : bool array of shape (n_samples, n_classes)
    chosen : Counter
        Folds that each rule was chosen for.
    """
    if len(targets) < 3:  # they tell no rule
        return proba >= 0.5, Counter(["threshold .5"])
    folds = _at_least_three(folds)
    makers = rules_for(metric, meaning)
    step = -(-targets.size // _MOST_ENTRIES)
    sample = slice(None, None, step)  # to choose the rule; its thresholds come from all rows
    names = _best_names(targets[sample], proba[sample], folds[sample], metric, makers)
    decided = np.zeros(proba.shape, dtype=bool)
    for part, name in names.items():
        rest = folds != part
        rule = makers[name]().fit(targets[rest], proba[rest])
        decided[~rest] = rule.predict(proba[~rest])
    return decided, Counter(names.values())


def _best_names(
    targets: Floats, proba: Floats, folds: NDArray[np.int64], metric: str, makers: Makers
) -> dict[int, str]:
    """Return for each fold the rule that decides the other folds best."""
    parts = np.unique(folds).tolist()
    held_out = {name: np.zeros((len(parts), *proba.shape), dtype=bool) for name in makers}
    for name, without in held_out.items():
        for i, one in enumerate(parts):
            for j, other in enumerate(parts[:i]):
                # one fit serves both: neither fold has seen the other's labels
                rest = (folds != one) & (folds != other)
                rule = makers[name]().fit(targets[rest], proba[rest])
                without[i][folds == other] = rule.predict(proba[folds == other])
                without[j][folds == one] = rule.predict(proba[folds == one])
    found = {}
    for i, part in enumerate(parts):
        rest = folds != part
        scores = {
            name: score_decision(metric, targets[rest], without[i][rest])
            for name, without in held_out.items()
        }
        found[part] = max(scores, key=scores.__getitem__)  # the first, so the simplest, of equals
    return found


def _at_least_three(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split folds where there are fewer than three: two to choose on must be left."""
    present, place = np.unique(folds, return_inverse=True)
    if len(present) >= 3:
        return folds
    split = 4 // len(present)
    order = np.empty(len(folds), dtype=np.int64)
    for fold in range(len(present)):
        mine = place == fold
        order[mine] = np.arange(mine.sum())
    return np.asarray(place * split + order % split, dtype=np.int64)
