"""`eitheror compare`: every treatment of the labels of a file, side by side."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from eitheror.cli._model import name_of
from eitheror.cli._options import (
    FileOptions,
    Inputs,
    Json,
    Task,
    Threads,
    count,
    print_json,
    report_skipped,
    seconds_in,
)

__all__ = ["compare"]


def compare(
    files: Inputs,
    /,
    *,
    metric: Annotated[
        str | None,
        Parameter(
            show_default=False,
            help="What to rank by: accuracy for one true class; for tags f1_micro (the default), "
            "f1_macro, f1_samples, jaccard_micro, jaccard_macro, jaccard_samples or accuracy.",
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        Parameter(negative=(), show_default=False, help="Only these; may be given several times."),
    ] = None,
    folds: Annotated[int, Parameter(help="Parts that the rows are dealt into.")] = 5,
    budget: Annotated[
        str | None,
        Parameter(
            show_default=False,
            help="Time, as 60s or 5m: no fold but the first is begun that would go beyond it.",
        ),
    ] = None,
    report: Annotated[
        str | None, Parameter(show_default=False, help="HTML file for the report.")
    ] = None,
    resume: Annotated[
        str | None,
        Parameter(show_default=False, help="Folder where finished fits are kept and found again."),
    ] = None,
    seed: Annotated[int, Parameter(help="Deals the folds; same seed, same table.")] = 0,
    task: Annotated[
        Task | None, Parameter(help="One class true, or any number [default: told by the file].")
    ] = None,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    """Try every sensible treatment of the labels on the same folds and say which is best.

    Rows are scored by what their labels say, on models that have not seen them.

    Parameters
    ----------
    files
        Rows with what is known about them; several files are read as one; - is standard input.
    """
    import eitheror as eo
    from eitheror.files import read_table

    if report is not None:  # now, and not after an hour of training
        from eitheror.report.page import checked_target

        checked_target(report)
    seconds = None if budget is None else seconds_in(budget, "--budget")
    table = read_table(files, task=task, **layout.keywords())
    report_skipped(table.skipped)
    progress = _Progress()
    try:
        found = eo.compare(
            table.inputs,
            table.labels,
            strategy,
            sample_weight=table.weight,
            metric=metric,
            folds=folds,
            budget=seconds,
            random_state=seed,
            n_jobs=thread or -1,
            progress=progress,
            resume=resume,
        )
    except KeyboardInterrupt:
        if resume is not None:
            print(f"finished fits are in {resume}; the same command goes on", file=sys.stderr)
        raise
    finally:
        progress.end()
    if report is not None:
        from eitheror.report import comparison_page, write_page

        write_page(report, comparison_page(found.to_dict(), f"Comparison: {name_of(files)}"))
        print(f"{report} written", file=sys.stderr)
    if as_json:
        print_json(found.to_dict())
        return 0
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found.kinds.items())
    print(f"{count(len(table), 'row')}: {kinds}")
    print(found)
    for note in found.notes:
        print(note)
    for name, reason in found.refused.items():
        print(f"not tried: {name} ({reason})")
    return 0


class _Progress:
    """One line on a terminal that says what is done and how long the rest will take."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, event: dict[str, Any]) -> None:
        line = "scoring"
        if event["event"] == "fit":
            line = (
                f"{event['done']} of {event['total']}: {event['strategy']}, fold {event['fold']}; "
                f"about {event['seconds_left']:.0f} s left"
            )
        if self.shown:
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self.shown:
            print(f"\r{'':<78}\r", end="", file=sys.stderr, flush=True)
