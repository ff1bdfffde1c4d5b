"""The work of `eitheror predict`: one line out for each line in, in order.

Apart from the command's own file (`_predict`), which needs what reads command lines: a plain line
does without it (`_main`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from eitheror.cli._model import input_of, inputs_of, keywords_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eitheror.files import Row
    from eitheror.model import Model
    from eitheror.text import Texts

__all__ = ["answer", "ranked_columns"]

_ROWS = 8192  # a thread
_THREADS = 64  # beyond which a batch does not grow
_PIPED = 4096  # answered at a time where another program may be waiting
_CELLS = 1 << 25  # probabilities in memory at a time
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def answer(
    model: str,
    file: str,
    keywords: Mapping[str, Any],
    *,
    top: int | None = None,
    thread: int | None = None,
    as_json: bool = False,
) -> int:
    """Print the decision for each row of a file, and return the exit code.

    Parameters
    ----------
    model, file : str
    keywords : mapping
        How the file is laid out, as keywords of `eo.read`.
    top, thread, as_json
        As the command's.
    """
    import eitheror as eo
    from eitheror import files
    from eitheror.files import Row
    from eitheror.model.fitted import BLOCK_ROWS
    from eitheror.text.chunks import n_threads

    if top is not None and not as_json:
        raise ValueError("--top says how many probabilities --json shows; add --json")
    fitted = eo.load(model)
    # a pipe is answered as lines come, and numbers come as rows
    quick = fitted.featurizer is not None and file != "-"
    read = files.iter_inputs if quick else files.iter_rows
    rows = read(file, unlabelled=True, **keywords_for(fitted, keywords))
    searches = fitted.searches and (top is not None or not as_json)
    # The last digits depend on which rows a block holds: batches are whole blocks, so that these
    # are the same on any number of threads; of numbers, which rows are sparse, so batches are, too.
    size = _ROWS * min(n_threads(thread or -1), _THREADS) if quick else _ROWS
    size = size if searches else max(1, min(size, _CELLS // len(fitted.classes)))
    size -= size % BLOCK_ROWS if size > BLOCK_ROWS else 0
    if file == "-":
        size = 1 if sys.stdin.isatty() else min(_PIPED, size)
    skipped = 0
    for batch in _batches(rows, size):
        inputs = _inputs(fitted, batch, "skip_bad" in keywords)
        skipped += sum(isinstance(row, Row) and row.error is not None for row in batch)
        sys.stdout.write(_lines(fitted, inputs, as_json, top, thread or -1))
        if file == "-":
            sys.stdout.flush()
    if skipped:
        from eitheror.cli._options import count

        print(f"{count(skipped, 'row')} could not be read: null", file=sys.stderr)
    return 0


def _batches(rows: Iterable[Row | Texts], size: int) -> Iterator[list[Row | Texts]]:
    """Gather `size` rows, the last time those that are left."""
    from eitheror.text import Texts

    batch: list[Row | Texts] = []
    n = 0
    for piece in rows:
        while isinstance(piece, Texts) and n + len(piece) > size:
            yield [*batch, piece[: size - n]]
            batch, n, piece = [], 0, piece[size - n :]
        batch.append(piece)
        n += len(piece) if isinstance(piece, Texts) else 1
        if n == size:
            yield batch
            batch, n = [], 0
    if batch:
        yield batch


def _inputs(model: Model, rows: list[Row | Texts], skip_bad: bool) -> Sequence[Any]:
    """Return what the model reads, None for a blank line and a row that is to be skipped."""
    from eitheror.text import Texts

    many = [row for row in rows if isinstance(row, Texts)]
    if len(many) == len(rows):
        return Texts.concatenate(many)
    inputs: list[Any] = []
    for row in rows:
        if isinstance(row, Texts):
            inputs += row
        else:
            inputs.append(_input(model, row, skip_bad))
    return inputs


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


def _lines(model: Model, inputs: Sequence[Any], as_json: bool, top: int | None, n_jobs: int) -> str:
    """Return one line a row; `null` for a row that could not be read."""
    good, texts = inputs, model.featurizer is not None
    if isinstance(inputs, list):  # else texts, read many at once
        # An empty text stands in for one that is missing, which leaves the blocks as they are.
        good = [item or "" if texts else item for item in inputs if texts or item is not None]
    if not good:
        return "null\n" * len(inputs)
    if as_json:
        lines = _json_lines(model, inputs_of(model, good), top, n_jobs)
    else:
        lines = _plain_lines(model, inputs_of(model, good), n_jobs)
    if isinstance(inputs, list):
        left = iter(lines)
        lines = [next(left) if texts or item is not None else "" for item in inputs]
        pairs = zip(inputs, lines, strict=True)
        lines = ["null" if item is None else line for item, line in pairs]
    return "\n".join([*lines, ""])


def _plain_lines(model: Model, inputs: Any, n_jobs: int) -> list[str]:
    chosen = model.choose(inputs, n_jobs)
    if chosen.ndim == 1:  # one class a row, or none
        columns = chosen.tolist()
        written = {column: _written(model.classes[column]) for column in set(columns)} | {-1: ""}
        return [written[column] for column in columns]
    decided = model.named(chosen)
    written = {name: _written(name) for name in set(chain.from_iterable(decided))}
    return ["\t".join([written[name] for name in names]) for names in decided]


def _written(name: str | int) -> str:
    return str(name).translate(_ESCAPES)


def _json_lines(model: Model, inputs: Any, top: int | None, n_jobs: int) -> list[str]:
    lines = []
    if top is not None and model.searches:
        best, values = model.predict_top(inputs, min(top, len(model.classes)), n_jobs)
        for columns, shown in zip(best.tolist(), values.tolist(), strict=True):
            names = [model.classes[column] for column in columns]
            pairs = zip(names, shown, strict=True)
            ranked = {str(name): round(value, 6) for name, value in pairs}
            line = {"decision": names[:1], "proba": ranked}
            lines.append(json.dumps(line, ensure_ascii=False))
        return lines
    proba = model.predict_proba(inputs, n_jobs)
    for names, values in zip(model.decide(proba, n_jobs), proba, strict=True):
        order = ranked_columns(values, top)
        shown = zip(order.tolist(), values[order].tolist(), strict=True)
        ranked = {str(model.classes[column]): round(value, 6) for column, value in shown}
        lines.append(json.dumps({"decision": names, "proba": ranked}, ensure_ascii=False))
    return lines


def ranked_columns(values: NDArray[Any], top: int | None) -> NDArray[Any]:
    """Return the columns of the `top` largest values by falling value, ties by column.

    >>> import numpy
    >>> ranked_columns(numpy.array([0.1, 0.4, 0.1, 0.4]), 3).tolist()
    [1, 3, 0]
    """
    import numpy as np

    columns: NDArray[Any] = np.arange(len(values))
    if top is not None and top < len(values):  # only what reaches the last place is sorted
        place = len(values) - top
        columns = (values >= np.partition(values, place)[place]).nonzero()[0]
    ranked: NDArray[Any] = columns[(-values[columns]).argsort(kind="stable")][:top]
    return ranked
