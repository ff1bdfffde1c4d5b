"""Scores when the truth is only partly known.

Labels and probabilities in, numbers out. Where the labels leave something open, a score is a
range: `lower` for the truth that suits the decision least among those the labels allow, `upper`
for the one that suits it best. Fully known labels give `lower == upper`, the usual score.
Nothing is ever filled in from the model's own probabilities.
"""

from eitheror.metrics._selective import coverage_bounds
from eitheror.metrics.channel import evaluate_through_channel
from eitheror.metrics.evaluation import (
    accuracy_bounds,
    evaluate,
    precision_at_k,
    recall_at_k,
)
from eitheror.metrics.intervals import Bounds
from eitheror.metrics.mistakes import confusions, contradicted_rows
from eitheror.metrics.paired import paired_difference
from eitheror.metrics.probabilities import calibration_error, statement_log_loss
from eitheror.metrics.tables import class_table, reliability_curve

__all__ = [
    "Bounds",
    "accuracy_bounds",
    "calibration_error",
    "class_table",
    "confusions",
    "contradicted_rows",
    "coverage_bounds",
    "evaluate",
    "evaluate_through_channel",
    "paired_difference",
    "precision_at_k",
    "recall_at_k",
    "reliability_curve",
    "statement_log_loss",
]
