"""`eitheror predict`: one line out for each line in, in order."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

from eitheror.cli._answer import answer
from eitheror.cli._options import FileOptions, Input, Json, ModelPath, Threads

__all__ = ["predict"]


def predict(
    model: ModelPath,
    file: Input,
    /,
    *,
    top: Annotated[
        int | None,
        Parameter(
            validator=cyclopts.validators.Number(gte=1),
            help="With --json: only the K most probable classes.",
        ),
    ] = None,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    r"""Print the decision for each row of a file: classes, tab-separated, one line a row.

    Labels in the file are not read. With --json a line is
    {"decision": ["bug"], "proba": {"bug": 0.71, ...}}, classes by falling probability.
    Without it a tab or a line break in a class name is printed as \t or \n.

    Parameters
    ----------
    model
        Folder that `eitheror train` wrote.
    file
        JSONL, CSV, Parquet, fastText lines or plain text, one row a line; - is standard input.
    """
    said = layout.keywords()
    return answer(model, file, said, top=top, thread=thread, as_json=as_json)
