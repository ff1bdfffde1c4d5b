"""What is written: the columns of a data set, row by row, with every class name as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eitheror.labels import Label, Labels, RowError

__all__ = ["Lines", "Rows", "closed_tags", "encoded", "numpy_value", "statement_keys"]

Lines = Iterator[tuple[int, str | bytes]]
"""(row of the input, what is written for it); a header has row 0."""


@dataclass(frozen=True)
class Rows:
    """What is written, column by column, with the names of the columns."""

    inputs: Any
    labels: Labels | None
    weight: Sequence[float] | None
    ids: Sequence[Any] | None
    columns: Mapping[str, Sequence[Any]]
    text: str
    label: str
    feature_names: Sequence[str] | None

    @property
    def numeric(self) -> bool:
        """Whether the inputs are features."""
        return not isinstance(self.inputs, list)

    def __len__(self) -> int:
        return int(self.inputs.shape[0]) if self.numeric else len(self.inputs)

    def text_of(self, row: int) -> str:
        """Return the text of a row; it must be encodable."""
        text = self.inputs[row]
        if not isinstance(text, str):
            raise RowError(row, f"the text is {text!r}, not a string")
        if not text.isascii():
            encoded(text, row)
        return text

    def features_of(self, row: int) -> list[float]:
        """Return the features of a row."""
        values = self.inputs[row]
        values = values.toarray()[0] if hasattr(values, "toarray") else np.asarray(values)
        if not np.isfinite(values).all():
            raise RowError(row, "a feature is nan or infinite; fill the gap, or leave the row out")
        return [float(value) for value in values]

    def named_features_of(self, row: int) -> list[float] | dict[str, float]:
        """Return the features of a row, by name where they have names."""
        values = self.features_of(row)
        names = self.feature_names
        return values if names is None else dict(zip(names, values, strict=True))


def encoded(text: str, row: int) -> bytes:
    """Return a text as UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RowError(
            row, "half of a surrogate pair stands alone in a text or a name; UTF-8 cannot hold it"
        ) from None


def statement_keys(label: Label, row: int) -> dict[str, Any]:
    """Return the statement keys of a label with every class name as text."""
    try:
        return {key: _as_text(key, value) for key, value in label.to_dict().items()}
    except ValueError as error:
        raise RowError(row, f"{error}; no file format can hold it") from None


def _as_text(key: str, value: Any) -> Any:
    """Return a value of a statement key with class names as text."""
    if isinstance(value, list):
        return [_as_text("", item) for item in value]
    if isinstance(value, dict):
        return {str(name): number for name, number in value.items()}
    return str(value) if key in ("label", "") else value


def numpy_value(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {value!r} of type {type(value).__name__} as JSON")


def closed_tags(label: Label, task: str, row: int, format: str) -> list[str]:
    """Return the names that apply, when the label says nothing else than which tags apply."""
    said = statement_keys(label, row)
    if not said:
        return []
    if said.keys() == {"label"}:
        return [said["label"]]
    if said.keys() == {"tags"} and said["tags"]:
        return list(said["tags"])
    if said == {"tags": []}:
        raise RowError(
            row, f"no tag applies, which {format} reads as nothing known; JSONL can hold it"
        )
    raise RowError(row, f"{format} cannot hold {label!r}; JSONL can")
