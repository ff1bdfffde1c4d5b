"""`eitheror tune`: the decision rule of a model, chosen for a score on held-out rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from eitheror.cli._model import read_for_model
from eitheror.cli._options import (
    FileOptions,
    Input,
    Json,
    ModelPath,
    Threads,
    print_json,
    report_skipped,
)

__all__ = ["tune"]

_FOLDS = 5
Metric = Literal[
    "f1_micro",
    "f1_macro",
    "f1_samples",
    "jaccard_micro",
    "jaccard_macro",
    "jaccard_samples",
    "accuracy",
]


def tune(
    model: ModelPath,
    file: Input,
    /,
    *,
    metric: Annotated[Metric, Parameter(help="The score to choose the decision rule for.")],
    per_class: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="One threshold for each class; needs more rows."
        ),
    ] = False,
    at_least_one: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="Always choose the most probable tag as well."
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        Parameter(show_default=False, help="Calibrate the probabilities first (the default)."),
    ] = True,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    """Choose the decision rule for a score, on rows the model was not trained on.

    Only the decision rule in the model folder, and the calibration of its
    probabilities, are replaced. Of the two scores printed the cross-fitted one
    is honest; the other has seen its own answers.

    Parameters
    ----------
    model
        Folder that `eitheror train` wrote.
    file
        Held-out rows with what is known about them; - is standard input.
    """
    import numpy as np

    import eitheror as eo

    fitted = eo.load(model)
    if fitted.task == "multiclass":
        raise ValueError(
            f"{model}: one class is true in each row, so the most probable class is the decision "
            "and there is nothing to tune; tune is for models of tags"
        )
    table = read_for_model(fitted, file, layout)
    report_skipped(table.skipped)
    if len(table) < _FOLDS:
        raise ValueError(f"{file}: {len(table)} rows; tuning needs {_FOLDS} at the least")
    labels = table.labels
    fitted.calibration = None  # tuning starts from what the model itself says
    proba = _padded(fitted.predict_proba(table.inputs, n_jobs=thread or -1), labels.n_classes)
    rule = eo.decide.TunedThreshold(metric, per_class, at_least_one=at_least_one)
    calibration = eo.decide.Calibration() if calibrate else None
    cross_fitted, on_file = eo.decide.cross_fitted_score(
        rule, labels, proba, metric, cv=_FOLDS, calibration=calibration
    )
    n_classes = len(fitted.classes)
    if calibration is not None:
        # float32, as predict gives them: the cut must fall between the numbers it will meet.
        proba = calibration.fit(labels, proba).transform(proba).astype(np.float32)
        calibration.log_counts_ = calibration.log_counts_[:n_classes]
        fitted.calibration = calibration.to_config()
    rule.fit(labels, proba)
    if per_class:
        rule.threshold_ = np.asarray(rule.threshold_)[:n_classes]
    fitted.set_decision(rule)
    fitted.save(model)
    report = {
        "metric": metric,
        "decision": rule.describe(),
        "score_cross_fitted": cross_fitted,
        "score_on_file": on_file,
    }
    if as_json:
        print_json(report)
        return 0
    print(f"decision: {rule.describe()}")
    print(f"{metric}: {cross_fitted:.3f} cross-fitted, {on_file:.3f} on the file itself")
    print(f"stored in {model}")
    return 0


def _padded(proba: Any, n_classes: int) -> Any:
    """Add a column of zeros for each class that only the file names: its tags are missed ones."""
    import numpy as np

    return np.pad(proba, ((0, 0), (0, n_classes - proba.shape[1])))
