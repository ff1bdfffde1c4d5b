"""Writing fastText files, which hold one class or several tags, and a text on one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eitheror.files._fasttext import SPACE, label_inside
from eitheror.files._out import Lines, Rows, closed_tags
from eitheror.labels import Labels, RowError

__all__ = ["fasttext_lines"]


def fasttext_lines(rows: Rows, prefix: str, underscores: bool, flatten: bool) -> Lines:
    if rows.numeric:
        raise ValueError(
            "fastText files hold texts, not features; JSONL, CSV and Parquet hold them"
        )
    for name, part in (("weights", rows.weight), ("ids", rows.ids)):
        if part is not None:
            raise ValueError(f"fastText files cannot hold {name}; JSONL, CSV and Parquet can")
    if rows.columns:
        raise ValueError("fastText files cannot hold other columns; JSONL, CSV and Parquet can")
    inside = label_inside(prefix)
    tokens = _fasttext_tokens(rows.labels, prefix, underscores)
    for row in range(len(rows)):
        text = rows.text_of(row)
        text = " ".join(text.split()) if flatten else text
        _check_fasttext_text(text, inside.search(text), row)
        yield row, " ".join([*tokens(row), text]) + "\n"


def _check_fasttext_text(text: str, label: Any, row: int) -> None:
    problem = ""
    if not text:
        problem = "an empty text"
    elif any(sign in text for sign in "\n\r"):
        problem = f"the line break in {text[:60]!r}"
    elif text[0] in SPACE + "\ufeff":
        problem = f"the white space at the beginning of {text[:60]!r}"
    if problem:
        raise RowError(
            row,
            f"a fastText file cannot hold {problem}; JSONL and CSV can, or flatten=True puts "
            "single spaces there",
        )
    if label:
        raise RowError(
            row,
            f"the word {label[1]!r} in the text would be read as a label; JSONL and CSV can hold "
            "it",
        )


def _fasttext_tokens(
    labels: Labels | None, prefix: str, underscores: bool
) -> Callable[[int], list[str]]:
    if labels is None:
        return lambda row: []
    if labels.task == "multilabel":
        counts = (len(label.named) for label in labels)
        if max(counts, default=0) < 2:
            raise ValueError(
                "no row has two tags, so a fastText file would be read as one class a row; write "
                "JSONL, or CSV"
            )

    def make(row: int) -> list[str]:
        names = closed_tags(labels[row], labels.task, row, "a fastText file")
        return [prefix + _fasttext_name(name, underscores, row) for name in names]

    return make


def _fasttext_name(name: str, underscores: bool, row: int) -> str:
    if underscores and "_" in name:
        raise RowError(row, f"the name {name!r} has an underscore, which would be read as a space")
    written = name.replace(" ", "_") if underscores else name
    if any(sign in written for sign in SPACE + "\n\r"):
        raise RowError(
            row,
            f"the name {name!r} contains white space, which a fastText label cannot hold; JSONL "
            "and CSV can, or underscores=True writes _ for a space",
        )
    return written
