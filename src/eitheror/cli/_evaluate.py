"""`eitheror evaluate`: a model and a file in, scores out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eitheror.cli._model import read_for_model
from eitheror.cli._options import (
    FileOptions,
    Input,
    Json,
    ModelPath,
    Threads,
    count,
    print_json,
    report_skipped,
    score,
)

if TYPE_CHECKING:
    from eitheror.files import Table

__all__ = ["evaluate"]

_ABOUT = {
    "accuracy": "rows decided right",
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
_MULTICLASS = ("accuracy", "f1_macro", "log_loss", "calibration_error")


def evaluate(
    model: ModelPath,
    file: Input,
    /,
    *,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    """Score a model on a file; bounds where the file leaves the truth open.

    Parameters
    ----------
    model
        Folder that `eitheror train` wrote.
    file
        Rows with what is known about them; - is standard input.
    """
    import eitheror as eo

    fitted = eo.load(model)
    table = read_for_model(fitted, file, layout)
    report_skipped(table.skipped)
    proba = fitted.predict_proba(table.inputs, n_jobs=thread or -1)
    report = eo.evaluate(
        table.labels, proba, fitted.classes, fitted.rule(), meaning=fitted.proba_meaning
    )
    print_json(report) if as_json else _print_report(report, table)
    return 0


def _print_report(report: dict[str, Any], table: Table) -> None:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in table.labels.kind_counts().items())
    print(f"{count(report['n'], 'row')}: {kinds}")
    if report["unseen_labels"]:
        print(f"{count(report['unseen_labels'], 'label')} of classes that the model does not know")
    print(f"decision: {report['decision']}")
    names = report["metrics"] if report["task"] == "multilabel" else _MULTICLASS
    rows = [(name, score(report["metrics"][name]), _ABOUT.get(name, "")) for name in names]
    rows = [row for row in rows if row[1]]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, about in rows:
        print(f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {about}".rstrip())
