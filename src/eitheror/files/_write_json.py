"""Writing JSONL, which holds every statement and every name."""

from __future__ import annotations

from typing import Any

import msgspec

from eitheror.files._out import Lines, Rows, numpy_value, statement_keys

__all__ = ["json_lines"]


def json_lines(rows: Rows) -> Lines:
    """Yield one line a row."""
    encoder = msgspec.json.Encoder(enc_hook=numpy_value)
    for row in range(len(rows)):
        yield row, encoder.encode(_json_record(rows, row)) + b"\n"


def _json_record(rows: Rows, row: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if rows.ids is not None and rows.ids[row] is not None:
        record["id"] = rows.ids[row]
    if not rows.numeric:
        record[rows.text] = rows.text_of(row)
    else:
        record["features"] = rows.named_features_of(row)
    if rows.labels is not None:
        said = statement_keys(rows.labels[row], row)
        record |= {rows.label if key == "label" else key: value for key, value in said.items()}
    if rows.weight is not None:
        record["weight"] = float(rows.weight[row])
    values = {k: v[row] for k, v in rows.columns.items() if v[row] is not None}
    record |= {key: value for key, value in values.items() if key.startswith("_")}
    others = {key: value for key, value in values.items() if not key.startswith("_")}
    meta = {key.removeprefix("meta."): value for key, value in others.items()}
    return record | ({"meta": meta} if meta else {})
