"""Arrays of the field's usual shapes -> stored labels: masks, indicators, probabilities, counts.

Each function takes one array of shape (n_samples, n_classes), checks it, and returns a `Store`.
A wrong row is named by its position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels._build import Store, check_classes
from eitheror.labels._label import ClassName, RowError
from eitheror.labels._sparse import CODES


def _columns(n_classes: int, classes: Iterable[ClassName] | None) -> list[ClassName]:
    if classes is None:
        return list(range(n_classes))
    names = check_classes(classes)
    if len(names) != n_classes:
        raise ValueError(
            f"classes= names {len(names)} classes, but the array has {n_classes} columns"
        )
    return names


def _matrix(what: str, values: Any) -> NDArray[Any]:
    if hasattr(values, "toarray"):
        values = values.toarray()  # counts and shares name most classes; tags are read sparsely
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(
            f"{what} takes an array of shape (n_samples, n_classes), got shape {array.shape}"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} takes numbers, got an array of dtype {array.dtype}")
    return array


def _first(bad: Any) -> int:
    return int(np.flatnonzero(bad)[0])


def _entries(
    keep: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    rows, columns = np.nonzero(keep)
    indptr = np.zeros(len(keep) + 1, dtype=np.int64)
    np.cumsum(keep.sum(axis=1), out=indptr[1:])
    return indptr, rows, columns.astype(np.int32)


def candidates_store(mask: ArrayLike, classes: Iterable[ClassName] | None) -> Store:
    """Return the store of `Labels.from_candidates`."""
    array = _matrix("from_candidates()", mask)
    if not np.isin(array, (0, 1)).all():
        row = _first(~np.isin(array, (0, 1)).all(axis=1))
        raise RowError(row, f"a candidate mask holds only 0 and 1, got {array[row].tolist()}")
    possible = array.astype(bool)
    counts = possible.sum(axis=1)
    if (counts == 0).any():
        raise RowError(_first(counts == 0), "no class is possible; write a row of ones for unknown")
    indptr, _, columns = _entries(possible)
    kinds = np.where(counts == 1, CODES["exact"], CODES["either"]).astype(np.uint8)
    names = _columns(array.shape[1], classes)
    return Store(names, "multiclass", kinds, indptr, columns, np.ones(len(columns)))


def indicator_store(indicator: ArrayLike, classes: Iterable[ClassName] | None) -> Store:
    """Return the store of `Labels.from_indicator`."""
    if hasattr(indicator, "tocsr"):
        return _sparse_indicator(indicator.tocsr(), classes)
    array = _matrix("from_indicator()", indicator).astype(np.float64)
    known = ~np.isnan(array)
    wrong = known & ~((array >= 0) & (array <= 1))
    if wrong.any():
        row = _first(wrong.any(axis=1))
        raise RowError(
            row, f"entries are 1, 0, a probability between, or nan; got {array[row].tolist()}"
        )
    hard = (~known | (array == 0) | (array == 1)).all(axis=1)
    closed = known.all(axis=1) & hard
    kinds = np.where(hard, CODES["tags"], CODES["soft"]).astype(np.uint8)
    kinds[~known.any(axis=1)] = CODES["unknown"]
    keep = np.where(closed[:, None], array == 1, known)
    extra = (hard & ~closed & known.any(axis=1))[:, None]  # the mark of an open world, -1
    indptr, rows, columns = _entries(np.hstack([keep, extra]))
    weights = np.ones(len(columns))
    inside = columns < array.shape[1]
    weights[inside] = array[rows[inside], columns[inside]]
    columns[~inside] = -1
    return Store(_columns(array.shape[1], classes), "multilabel", kinds, indptr, columns, weights)


def _sparse_indicator(matrix: Any, classes: Iterable[ClassName] | None) -> Store:
    """Read a SciPy matrix of 0 and 1 without making it dense: what is not stored is absent."""
    matrix.sum_duplicates()
    wrong = ~np.isin(matrix.data, (0, 1))
    if wrong.any():
        row = int(np.searchsorted(matrix.indptr, _first(wrong), side="right")) - 1
        value = matrix.data[_first(wrong)]
        raise RowError(row, f"a sparse indicator holds only 0 and 1, got {value}; pass it dense")
    present = matrix.data == 1
    indptr = np.concatenate(([0], np.cumsum(present)))[matrix.indptr].astype(np.int64)
    columns = matrix.indices[present].astype(np.int32)
    kinds = np.full(matrix.shape[0], CODES["tags"], dtype=np.uint8)
    names = _columns(matrix.shape[1], classes)
    return Store(names, "multilabel", kinds, indptr, columns, np.ones(len(columns)))


def proba_store(proba: ArrayLike, classes: Iterable[ClassName] | None, task: str) -> Store:
    """Return the store of `Labels.from_proba`."""
    array = _matrix("from_proba()", proba).astype(np.float64)
    wrong = ~((array >= 0) & (array <= 1 + 1e-6)).all(axis=1)
    if wrong.any():
        row = _first(wrong)
        raise RowError(row, f"probabilities are between 0 and 1, got {array[row].tolist()}")
    keep = array > 0 if task == "multiclass" else np.ones(array.shape, dtype=bool)
    indptr, rows, columns = _entries(keep)
    kinds = np.full(len(array), CODES["soft"], dtype=np.uint8)
    weights = np.minimum(array[rows, columns], 1.0)
    return Store(_columns(array.shape[1], classes), task, kinds, indptr, columns, weights)


def votes_store(
    counts: ArrayLike, classes: Iterable[ClassName] | None, voters: ArrayLike | None
) -> Store:
    """Return the store of `Labels.from_votes`."""
    array = _matrix("from_votes()", counts).astype(np.float64)
    wrong = ~((array >= 0) & np.isfinite(array)).all(axis=1)
    if wrong.any():
        row = _first(wrong)
        raise RowError(row, f"votes are counts of 0 or more, got {array[row].tolist()}")
    names = _columns(array.shape[1], classes)
    kinds = np.full(len(array), CODES["votes"], dtype=np.uint8)
    if voters is None:
        kinds[array.sum(axis=1) == 0] = CODES["unknown"]
        indptr, rows, columns = _entries(array > 0)
        return Store(names, "multiclass", kinds, indptr, columns, array[rows, columns])
    asked = np.broadcast_to(np.asarray(voters, dtype=np.float64), (len(array),))
    wrong = ~(asked >= array.max(axis=1, initial=0.0))
    if wrong.any():
        row = _first(wrong)
        raise RowError(
            row, f"{array[row].max():g} votes for one class of only {asked[row]:g} voters"
        )
    kinds[asked == 0] = CODES["unknown"]
    keep = np.hstack([array > 0, (asked > 0)[:, None]])
    indptr, rows, columns = _entries(keep)
    weights = np.hstack([array, asked[:, None]])[rows, columns]
    columns[columns == array.shape[1]] = -1
    return Store(names, "multilabel", kinds, indptr, columns, weights)


def evidence_store(weights: ArrayLike, classes: Iterable[ClassName] | None) -> Store:
    """Return the store of `Labels.from_evidence`."""
    array = _matrix("from_evidence()", weights).astype(np.float64)
    wrong = ~((array >= 0) & np.isfinite(array)).all(axis=1)
    if wrong.any():
        row = _first(wrong)
        raise RowError(row, f"weights are numbers of 0 or more, got {array[row].tolist()}")
    largest = array.max(axis=1, initial=0.0)
    if not largest.all():
        raise RowError(_first(largest == 0), "every weight is 0, so no class is left")
    speaks = (array != largest[:, None]).any(axis=1)
    indptr, rows, columns = _entries(np.repeat(speaks[:, None], array.shape[1], axis=1))
    kinds = np.where(speaks, CODES["evidence"], CODES["unknown"]).astype(np.uint8)
    names = _columns(array.shape[1], classes)
    scaled = array[rows, columns] / largest[rows]
    return Store(names, "multiclass", kinds, indptr, columns, scaled)


def frame_columns(frame: Any, keys: Sequence[str]) -> tuple[dict[str, list[Any]], int]:
    """Return the statement columns of a table as lists, gaps as None, and the number of rows."""
    present = [key for key in keys if key in list(getattr(frame, "columns", frame))]
    columns = {key: [_cell(value) for value in frame[key]] for key in present}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError("the columns have different lengths: " + str(sorted(lengths)))
    return columns, lengths.pop() if lengths else 0


def _cell(value: Any) -> Any:
    """Turn what tables hold into plain Python: gaps are None, arrays are lists."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if hasattr(value, "as_py"):
        value = value.as_py()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, dict):  # Parquet structs carry a null for every field that is absent
        return {k: v for k, v in value.items() if v is not None}
    return value
