"""Decision rules: probabilities in, decisions out.

A rule is a small object with ``fit(labels, proba)`` (returns itself), ``predict(proba)``,
``to_config()`` and ``describe()``. `Argmax`, `Reject` and `CostMatrix` answer with class indices
of shape ``(n_samples,)``, -1 for no decision; every other rule answers with a boolean matrix
``(n_samples, n_classes)``, columns in the order of the classes. A rule is stored in a model as its
config, a plain dict; `from_config` reads it back.

Rules see probabilities only, never the model that made them, so they serve any framework.
What is not known about a row takes no part in tuning.
"""

from eitheror.decide._targets import checked_proba
from eitheror.decide.calibration import Calibration
from eitheror.decide.classes import CostMatrix, Reject, condition, product_of_experts
from eitheror.decide.config import from_config
from eitheror.decide.conformal import ConformalSet, conformal_rank
from eitheror.decide.expected import ExpectedJaccard, expected_jaccard
from eitheror.decide.joint import (
    ExpectedF1,
    best_f1_set,
    best_set_of_draws,
    expected_f1,
    f1_parameters,
)
from eitheror.decide.rules import (
    Argmax,
    Rule,
    Threshold,
    TopK,
    TunedThreshold,
    default_rule,
)
from eitheror.decide.scoring import METRICS, cross_fitted_score, score_decision

__all__ = [
    "METRICS",
    "Argmax",
    "Calibration",
    "ConformalSet",
    "CostMatrix",
    "ExpectedF1",
    "ExpectedJaccard",
    "Reject",
    "Rule",
    "Threshold",
    "TopK",
    "TunedThreshold",
    "best_f1_set",
    "best_set_of_draws",
    "checked_proba",
    "condition",
    "conformal_rank",
    "cross_fitted_score",
    "default_rule",
    "expected_f1",
    "expected_jaccard",
    "f1_parameters",
    "from_config",
    "product_of_experts",
    "score_decision",
]
