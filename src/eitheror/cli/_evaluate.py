"""`eitheror evaluate`: a model and a file in, scores out, and a page that explains them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eitheror.cli._model import name_of, read_for_model
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
    from eitheror.model import Model

__all__ = ["evaluate", "print_scores", "report_of", "scores_of"]


def evaluate(
    model: ModelPath,
    file: Input,
    /,
    *,
    report: Annotated[
        str | None, Parameter(show_default=False, help="HTML file for the report.")
    ] = None,
    learning_curve: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            show_default=False,
            help="A file the model was trained on, may be given several times: train again on an "
            "eighth, a quarter, half and all of these rows, score each, and say whether more rows "
            "still help.",
        ),
    ] = None,
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

    if report is not None:  # now, and not after a learning curve
        from eitheror.report.page import checked_target

        checked_target(report)
    fitted = eo.load(model)
    table = read_for_model(fitted, file, layout)
    report_skipped(table.skipped)
    proba = fitted.predict_proba(table.inputs, n_jobs=thread or -1)
    found = report_of(fitted, table, proba) if report else scores_of(fitted, table, proba)
    if learning_curve:
        found["learning_curve"] = _learning_curve(
            fitted, learning_curve, table, layout, thread or -1
        )
    if report is not None:
        from eitheror.report import model_page, write_page

        write_page(report, model_page(found, f"{model} on {name_of(file)}"))
        print(f"{report} written", file=sys.stderr)
    if as_json:
        print_json(found)
        return 0
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in table.labels.kind_counts().items())
    print(f"{count(found['n'], 'row')}: {kinds}")
    if found["unseen_labels"]:
        print(f"{count(found['unseen_labels'], 'label')} of classes that the model does not know")
    print(f"decision: {found['decision']}")
    print_scores(found)
    if learning_curve:
        _print_curve(found["learning_curve"])
    return 0


def scores_of(fitted: Model, table: Table, proba: Any) -> dict[str, Any]:
    """Return `evaluate` of a model on the rows of a file."""
    import eitheror as eo

    return eo.evaluate(
        table.labels, proba, fitted.classes, fitted.rule(), meaning=fitted.proba_meaning
    )


def report_of(fitted: Model, table: Table, proba: Any) -> dict[str, Any]:
    """Return `model_report` of a model on the rows of a file."""
    from eitheror.report import model_report

    history = fitted.options.get("history")
    return model_report(
        table.labels,
        proba,
        fitted.classes,
        fitted.rule(),
        meaning=fitted.proba_meaning,
        inputs=table.inputs,
        where=table.where,
        history=history if isinstance(history, list) else None,
    )


def print_scores(found: dict[str, Any]) -> None:
    """Print each score with its range, interval and meaning, one a line."""
    from eitheror.report.words import shown_scores

    rows = [(name, score(entry), about) for name, entry, about in shown_scores(found)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, about in rows:
        print(f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {about}".rstrip())


def _learning_curve(
    fitted: Model, trained_on: list[str], test: Table, layout: FileOptions, n_jobs: int
) -> dict[str, Any]:
    from eitheror.report import learning_curve

    table = read_for_model(fitted, trained_on, layout)
    report_skipped(table.skipped)
    return learning_curve(
        fitted,
        table.inputs,
        table.labels,
        test.inputs,
        test.labels,
        sample_weight=table.weight,
        n_jobs=n_jobs,
        progress=_progress if sys.stderr.isatty() else None,
    )


def _progress(event: dict[str, Any]) -> None:
    line = f"training {event['done'] + 1} of {event['total']}: {count(event['rows'], 'row')}"
    print(f"\r{line:<60}", end="\r", file=sys.stderr, flush=True)


def _print_curve(curve: dict[str, Any]) -> None:
    print(f"learning curve, {curve['metric']} ({curve['decision']}):")
    width = max(len(f"{point['rows']:,}") for point in curve["points"])
    for point in curve["points"]:
        print(f"  {point['rows']:>{width},} rows  {score(point)}  {point['seconds']:.1f} s")
    print(curve["verdict"])
