"""`eitheror convert`: labels from one format to another, losing nothing."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from eitheror.cli._options import (
    FILES,
    FileOptions,
    Input,
    Json,
    Task,
    count,
    print_json,
    report_skipped,
)

__all__ = ["convert"]


def convert(
    source: Input,
    target: Input,
    /,
    *,
    to: Annotated[
        str | None,
        Parameter(group=FILES, help="Format to write [default: told by the name; jsonl for -]."),
    ] = None,
    to_columns: Annotated[
        bool,
        Parameter(
            group=FILES,
            negative=(),
            show_default=False,
            help="CSV: a column for each kind of statement, not the short form; "
            "read it with --plain-labels.",
        ),
    ] = False,
    flatten: Annotated[
        bool,
        Parameter(
            group=FILES,
            negative=(),
            show_default=False,
            help="fastText, TSV: line breaks and tabs in texts become spaces.",
        ),
    ] = False,
    task: Annotated[
        Task | None, Parameter(help="One class true, or any number [default: told by the file].")
    ] = None,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    as_json: Json = False,
) -> int:
    """Write the rows of a file in another format, every statement as it was.

    A format that cannot hold a statement is refused, with the row and a format that can.

    Parameters
    ----------
    source
        File to read; - is standard input.
    target
        File to write; - is standard output.
    """
    from eitheror import files
    from eitheror.files import ReadOptions
    from eitheror.labels import DataError, RowError

    table = files.read_table(source, task=task, need_labels=False, **layout.keywords())
    report_skipped(table.skipped)
    try:
        files.write(
            target,
            table.inputs,
            table.labels,
            format=to or ("jsonl" if target == "-" else None),
            weight=None if table.weight is None else table.weight.tolist(),
            ids=table.ids,
            columns=table.columns,
            prefix=layout.prefix or ReadOptions.prefix,
            underscores=layout.underscores,
            plain_labels=to_columns,
            flatten=flatten,
            feature_names=table.feature_names,
        )
    except RowError as error:
        problem = error.problem.replace("plain_labels=True", "--to-columns")
        raise DataError(table.where(error.row), problem) from None
    report = {"rows": len(table.labels), "target": target, "skipped": len(table.skipped)}
    # the file itself may be on standard output
    with_report = sys.stderr if target == "-" else sys.stdout
    if as_json and target != "-":
        print_json(report)
    else:
        print(f"{count(len(table.labels), 'row')} written to {target}", file=with_report)
    return 0
