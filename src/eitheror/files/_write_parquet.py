"""Writing Parquet, through pyarrow (the extra `data`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any, Final

import msgspec

from eitheror.files._out import Rows, statement_keys
from eitheror.files._parquet import import_pyarrow
from eitheror.labels import STATEMENT_KEYS

__all__ = ["write_parquet"]

_BATCH: Final = 4096


def write_parquet(stream: IO[bytes], rows: Rows) -> None:
    """Write all rows, a batch at a time."""
    pyarrow = import_pyarrow()
    used: dict[str, set[type]] = {}
    for row, label in enumerate(rows.labels or ()):
        for key, value in statement_keys(label, row).items():
            used.setdefault(key, set()).add(type(value))
    types = _types(pyarrow, used, rows)
    fixed = {name: _array(pyarrow, values) for name, values in _carried(rows).items()}
    fields = [pyarrow.field(name, kind) for name, kind in types.items()]
    fields += [pyarrow.field(name, values.type) for name, values in fixed.items()]
    with pyarrow.parquet.ParquetWriter(stream, pyarrow.schema(fields)) as writer:
        for start in range(0, len(rows), _BATCH):
            span = range(start, min(start + _BATCH, len(rows)))
            records = [_record(rows, row) for row in span]
            arrays = [
                pyarrow.array([_value(record.get(name), kind) for record in records], type=kind)
                for name, kind in types.items()
            ]
            arrays += [values.slice(start, len(span)) for values in fixed.values()]
            writer.write_batch(pyarrow.record_batch(arrays, schema=pyarrow.schema(fields)))


def _types(pyarrow: Any, used: dict[str, set[type]], rows: Rows) -> dict[str, Any]:
    text, number = pyarrow.string(), pyarrow.float64()
    names = pyarrow.list_(text)
    types: dict[str, Any] = {}
    if rows.numeric:
        named = rows.feature_names is not None
        types["features"] = pyarrow.map_(text, number) if named else pyarrow.list_(number)
    else:
        types[rows.text] = text
    for key in STATEMENT_KEYS:
        if key not in used:
            continue
        if key == "either" and _nested(rows):
            types[key] = pyarrow.list_(names)
        elif key in ("either", "not", "tags", "absent"):
            types[key] = names
        elif key in ("soft", "votes", "evidence"):
            types[key] = pyarrow.map_(text, number)
        elif key == "label" or (key == "rest" and str in used[key]):
            types[rows.label if key == "label" else key] = text
        else:
            types[key] = number
    return types


def _nested(rows: Rows) -> bool:
    """Tell whether some row holds several `either` statements, which need a list of lists."""
    return any(sum(p.kind == "either" for p in label.parts) > 1 for label in rows.labels or ())


def _record(rows: Rows, row: int) -> dict[str, Any]:
    said = {} if rows.labels is None else statement_keys(rows.labels[row], row)
    record = {rows.label if key == "label" else key: value for key, value in said.items()}
    if rows.numeric:
        return record | {"features": rows.named_features_of(row)}
    return record | {rows.text: rows.text_of(row)}


def _value(value: Any, kind: Any) -> Any:
    """Return a value in the form of its column."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list) and value and str(kind).startswith("list<item: list<"):
        return value if isinstance(value[0], list) else [value]
    return str(value) if isinstance(value, float) and str(kind) == "string" else value


def _carried(rows: Rows) -> dict[str, Sequence[Any]]:
    """Return the columns that are written as they are."""
    carried: dict[str, Sequence[Any]] = {}
    if rows.weight is not None:
        carried["weight"] = [float(w) for w in rows.weight]
    if rows.ids is not None:
        carried["id"] = rows.ids
    return carried | dict(rows.columns)


def _array(pyarrow: Any, values: Sequence[Any]) -> Any:
    """Return a column; values of several types become JSON text."""
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, TypeError, OverflowError):
        texts = [
            v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode()
            for v in values
        ]
        return pyarrow.array(texts, type=pyarrow.string())
