"""`eitheror audit`: what is wrong with the labels of a file, before anything is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from eitheror.cli._options import (
    FileOptions,
    Inputs,
    Json,
    Task,
    print_json,
    report_skipped,
)

if TYPE_CHECKING:
    from eitheror.audit import Report
    from eitheror.files import Table

__all__ = ["audit"]


def audit(
    files: Inputs,
    /,
    *,
    task: Annotated[
        Task | None, Parameter(help="One class true, or any number [default: told by the file].")
    ] = None,
    show: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="List the rows of each finding with their places."
        ),
    ] = False,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    as_json: Json = False,
) -> int:
    """Look for labels that cannot all be right, and say what would help.

    Exit code 1 says that there is a finding of severity error.

    Parameters
    ----------
    files
        Files of rows with what is known about them; - is standard input.
    """
    import eitheror as eo

    table = eo.files.read_table(files, task=task, need_labels=False, **layout.keywords())
    report_skipped(table.skipped)
    report = eo.audit.find_issues(table.labels, inputs=table.inputs, where=table.where)
    if as_json:
        print_json(report.to_dict())
    else:
        print(report)
        if show:
            _print_rows(report, table)
    return int(report.has_errors)


def _print_rows(report: Report, table: Table) -> None:
    for number, finding in enumerate(report.findings, start=1):
        print(f"\n{number}. {finding.message}")
        for row in finding.rows:
            print(f"  {table.where(row)}: {table.labels[row]!r}")
