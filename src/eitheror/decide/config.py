"""From the dict in a model's config.json back to the rule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf, isfinite
from typing import Any

import numpy as np

from eitheror.decide.calibration import Calibration
from eitheror.decide.classes import CostMatrix, Reject
from eitheror.decide.conformal import ConformalSet
from eitheror.decide.expected import ExpectedJaccard
from eitheror.decide.joint import ExpectedF1
from eitheror.decide.rules import Argmax, Rule, Threshold, TopK, TunedThreshold

__all__ = ["from_config"]

_FLAGS = {"at_least_one", "per_class"}
_GUARANTEES = ("finite sample", "asymptotic")


def from_config(config: Mapping[str, Any]) -> Rule:
    """Read back what `Rule.to_config` wrote.

    Examples
    --------
    >>> from_config({"rule": "threshold", "threshold": 0.3, "at_least_one": True})
    Threshold(0.3, at_least_one=True)
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"a decision rule is a dict, as `to_config` gives it; got {config!r:.80}")
    rest = dict(config)
    name = rest.pop("rule", None)
    readers: dict[Any, Any] = {
        "argmax": Argmax,
        "top_k": TopK,
        "threshold": Threshold,
        "tuned_threshold": _tuned_from_config,
        "reject": Reject,
        "cost_matrix": CostMatrix,
        "conformal_set": _conformal_from_config,
        "expected_jaccard": partial(_expected_from_config, ExpectedJaccard),
        "expected_f1": partial(_expected_from_config, ExpectedF1),
    }
    if not isinstance(name, str) or name not in readers:
        raise ValueError(f"unknown decision rule {name!r}; known are {', '.join(readers)}")
    for word in _FLAGS & rest.keys():
        if not isinstance(rest[word], bool):
            raise ValueError(f"decision rule {name!r}: {word} is {rest[word]!r}; write true, false")
    try:
        rule: Rule = readers[name](**rest)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"decision rule {name!r} does not fit its entries: {error}") from error
    return rule


def _tuned_from_config(
    metric: str,
    per_class: bool,
    at_least_one: bool,
    min_present: int,
    threshold: float | list[float],
    score_on_file: float,
) -> TunedThreshold:
    rule = TunedThreshold(metric, per_class, at_least_one=at_least_one, min_present=min_present)
    cuts = np.asarray(threshold, dtype=np.float64)
    if cuts.ndim != int(per_class) or not np.isfinite(cuts).all():
        raise ValueError(
            "decision rule 'tuned_threshold' needs one finite threshold, or with per_class "
            f"a list of one per class; got {threshold!r}"
        )
    rule.threshold_ = cuts if per_class else float(cuts)
    rule.score_ = float(score_on_file)
    return rule


def _expected_from_config(
    rule_type: type[ExpectedF1] | type[ExpectedJaccard],
    at_least_one: bool,
    calibration: Mapping[str, Any] | None,
    shift: float = 0.0,
) -> ExpectedF1 | ExpectedJaccard:
    if isinstance(shift, bool) or not isinstance(shift, int | float):
        raise TypeError(f"shift is {shift!r}, a number was expected")
    rule = rule_type(at_least_one=at_least_one, shift=shift)
    rule.calibration_ = None if calibration is None else Calibration.from_config(calibration)
    return rule


def _conformal_from_config(
    confidence_level: float, threshold: float | None, n_rows: int, guarantee: str
) -> ConformalSet:
    rule = ConformalSet(confidence_level)
    rule.threshold_ = inf if threshold is None else float(threshold)
    rule.n_rows_, rule.guarantee_ = int(n_rows), guarantee
    finite = threshold is None or isfinite(rule.threshold_)
    if not finite or rule.n_rows_ < 1 or guarantee not in _GUARANTEES:
        raise ValueError(
            "decision rule 'conformal_set' needs a finite threshold or null, 1 row or more, and a "
            f"guarantee of {_GUARANTEES}; got {threshold!r}, {n_rows!r}, {guarantee!r:.40}"
        )
    return rule
