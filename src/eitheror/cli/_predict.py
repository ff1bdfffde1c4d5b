"""`eitheror predict`: one line out for each line in, in order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

from eitheror.cli._model import input_of, inputs_of, keywords_for
from eitheror.cli._options import FileOptions, Input, Json, ModelPath, Threads, count

if TYPE_CHECKING:
    from eitheror.files import Row
    from eitheror.model import Model

__all__ = ["predict"]

_ROWS = 4096
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


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
    import eitheror as eo
    from eitheror import files

    if top is not None and not as_json:
        raise ValueError("--top says how many probabilities --json shows; add --json")
    fitted = eo.load(model)
    rows = files.iter_rows(file, unlabelled=True, **keywords_for(fitted, layout))
    size = 1 if file == "-" and sys.stdin.isatty() else _ROWS
    skipped = 0
    while batch := list(islice(rows, size)):
        inputs = [_input(fitted, row, layout.skip_bad) for row in batch]
        skipped += sum(row.error is not None for row in batch)
        for line in _lines(fitted, inputs, as_json, top, thread or -1):
            print(line)
        if size == 1:
            sys.stdout.flush()
    if skipped:
        print(f"{count(skipped, 'row')} could not be read: null", file=sys.stderr)
    return 0


def _input(model: Model, row: Row, skip_bad: bool) -> Any:
    """Return what the model reads, or None for a blank line and a row that is to be skipped."""
    from eitheror.labels import DataError

    if row.input is None and row.error is None:
        return None  # a blank line
    try:
        return input_of(model, row)
    except DataError as error:
        if not skip_bad:
            raise
        print(f"skipped {error}", file=sys.stderr)
        return None


def _lines(
    model: Model, inputs: list[Any], as_json: bool, top: int | None, n_jobs: int
) -> Iterator[str]:
    """Yield one line a row; `null` for a row that could not be read."""
    good = [item for item in inputs if item is not None]
    decided: Iterator[tuple[list[Any], Any]] = iter(())
    if good:
        proba = model.predict_proba(inputs_of(model, good), n_jobs=n_jobs)
        decided = iter(zip(model.decide(proba), proba, strict=True))
    for item in inputs:
        if item is None:
            yield "null"
            continue
        names, values = next(decided)
        if not as_json:
            yield "\t".join(str(name).translate(_ESCAPES) for name in names)
            continue
        order = (-values).argsort(kind="stable")[:top]
        ranked = {str(model.classes[column]): round(float(values[column]), 6) for column in order}
        yield json.dumps({"decision": names, "proba": ranked}, ensure_ascii=False)
