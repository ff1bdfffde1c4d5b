"""From the dict in a model's config.json back to the rule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

import numpy as np

from eitheror.decide.calibration import Calibration
from eitheror.decide.classes import CostMatrix, Reject
from eitheror.decide.conformal import ConformalSet
from eitheror.decide.expected import ExpectedJaccard
from eitheror.decide.joint import ExpectedF1
from eitheror.decide.rules import Argmax, Rule, Threshold, TopK, TunedThreshold

__all__ = ["from_config"]


def from_config(config: Mapping[str, Any]) -> Rule:
    """Read back what `Rule.to_config` wrote.

    Examples
    --------
    >>> from_config({"rule": "threshold", "threshold": 0.3, "at_least_one": True})
    Threshold(0.3, at_least_one=True)
    """
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
    try:
        rule: Rule = readers[name](**rest)
    except TypeError as error:
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
) -> ExpectedF1 | ExpectedJaccard:
    rule = rule_type(at_least_one=at_least_one)
    rule.calibration_ = None if calibration is None else Calibration.from_config(calibration)
    return rule


def _conformal_from_config(
    confidence_level: float, threshold: float | None, n_rows: int, guarantee: str
) -> ConformalSet:
    rule = ConformalSet(confidence_level)
    rule.threshold_ = inf if threshold is None else float(threshold)
    rule.n_rows_, rule.guarantee_ = int(n_rows), guarantee
    return rule
