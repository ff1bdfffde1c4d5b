"""Reading: files of any format -> rows one by one, or one `Table`.

One row is in memory at a time, besides what is kept of it: the text or the numbers, and the encoded
label. Formats that combine rows (long, Prodigy) keep their rows until the file ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO, TypeVar, Unpack

from eitheror.files._batches import Batch, Pieces
from eitheror.files._bulk_json import jsonl_pieces
from eitheror.files._bulk_lines import fasttext_pieces, text_pieces
from eitheror.files._collect import BY_SUFFIX, Block, Collector, Table
from eitheror.files._exports import dialect_of, read_argilla, read_label_studio, read_prodigy
from eitheror.files._fasttext import read_fasttext, read_text
from eitheror.files._jsonl import decode_object, read_jsonl, records
from eitheror.files._long import group_rows
from eitheror.files._options import ReadKeywords, ReadOptions
from eitheror.files._rows import Reading, Row
from eitheror.files._streams import Source, bare_suffix, lines_of
from eitheror.labels import DataError, Labels
from eitheror.text.sequence import Texts

__all__ = ["Path", "iter_blocks", "iter_inputs", "iter_rows", "read", "read_table"]

Path = str | os.PathLike[str] | BinaryIO
"""One input: a path, `-` for standard input, or an open binary stream."""

_Piece = TypeVar("_Piece", Row, Row | Batch)


def read(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> tuple[Any, Labels]:
    r"""Read one or several files: (inputs, labels).

    Parameters
    ----------
    path : path or list of paths
        JSONL, CSV, TSV, Parquet, fastText, exports of Prodigy, Label Studio and Argilla; `-` is
        standard input; gz, bz2, xz and zst are unpacked.
    **options
        The fields of `ReadOptions`.

    Returns
    -------
    inputs : Texts, or array of shape (n_samples, n_features)
        The texts -- indexed, sliced, iterated and compared like a list of str; `list(inputs)` makes
        one --, or the numeric features.
    labels : Labels
        What is known about each row.

    Raises
    ------
    DataError
        The first row that cannot be read, with its file and line and what to write instead.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO(b'{"text": "it fails", "label": "bug"}\n{"text": "hm", "not": ["bug"]}')
    >>> texts, labels = read(file, classes=["billing", "bug"])
    >>> labels
    Labels([exact('bug'), not_('bug')], classes=['billing', 'bug'], task='multiclass')
    """
    table = read_table(path, **options)
    return table.inputs, table.labels


def iter_rows(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> Iterator[Row]:
    r"""Yield the rows of one or several files one by one.

    With `skip_bad=True` a row that cannot be read comes as a `Row` with `input=None` and its
    `error`, so that every row keeps its place; otherwise the error is raised.

    Examples
    --------
    >>> import io
    >>> [row.input for row in iter_rows(io.BytesIO(b"one\ntwo\n"), format="text")]
    ['one', 'two']
    """
    settled = ReadOptions.make(dict(options))
    return _iterate(_as_paths(path), Reading(settled), _rows)


def iter_inputs(
    path: Path | Sequence[Path], **options: Unpack[ReadKeywords]
) -> Iterator[Row | Texts]:
    r"""Yield the rows of one or several files, plain texts many at once, all in order.

    For what needs the inputs only: of the rows in a `Texts` nothing else is passed on. Whatever is
    not a plain text comes as a `Row`, as from `iter_rows`.

    Examples
    --------
    >>> import io
    >>> list(iter_inputs(io.BytesIO(b"one\ntwo\n"), format="text"))
    [['one', 'two']]
    """
    reading = Reading(ReadOptions.make(dict(options)))
    for piece in _iterate(_as_paths(path), reading, _pieces):
        yield piece if isinstance(piece, Row) else Texts([piece.texts])


def read_table(path: Path | Sequence[Path], **options: Unpack[ReadKeywords]) -> Table:
    r"""Read one or several files with everything their rows carry.

    Parameters and errors as in `read`.

    Examples
    --------
    >>> import io
    >>> table = read_table(io.BytesIO(b"text,label,id\nit crashes,bug|install,7\n"), format="csv")
    >>> table.labels[0], table.ids, table.where(0)
    (either('bug', 'install'), ['7'], 'stream:2')
    """
    settled = ReadOptions.make(dict(options))
    reading = Reading(settled)
    collector = Collector(settled)
    for piece in _iterate(_as_paths(path), reading, _pieces):
        collector.add(piece)
    return collector.table(reading)


def iter_blocks(
    path: Path | Sequence[Path], *, rows: int = 65_536, **options: Unpack[ReadKeywords]
) -> Iterator[Block]:
    r"""Yield the rows of one or several files in blocks, for data that memory does not hold.

    Parameters
    ----------
    path : path or list of paths
        As in `read`.
    rows : int, default 65536
        About how many rows a block has: a little more, and in the last one fewer.
    **options
        The fields of `ReadOptions`; whether the files say enough (`need_labels`), whether a row
        fits the classes together with the task, is not checked.

    Returns
    -------
    iterator of Block

    Raises
    ------
    DataError
        As `read`, when the row is reached.

    Examples
    --------
    >>> import io
    >>> blocks = list(iter_blocks(io.BytesIO(b"__label__a one\n__label__b two\n"), rows=1))
    >>> [(list(block.inputs), block.labels.classes) for block in blocks]
    [(['one', 'two'], ['a', 'b'])]
    """
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise ValueError(f"rows={rows!r}: expected a whole number from 1 up")
    settled = ReadOptions.make(dict(options))
    return _blocks(_as_paths(path), Reading(settled), rows)


def _blocks(paths: Sequence[Path], reading: Reading, rows: int) -> Iterator[Block]:
    collector = Collector(reading.options)
    for piece in _iterate(paths, reading, _pieces):
        collector.add(piece)
        if collector.n >= rows:
            yield collector.block()
    if collector.n or collector.skipped:
        yield collector.block()


def _as_paths(path: Path | Sequence[Path]) -> list[Path]:
    if isinstance(path, str | os.PathLike) or hasattr(path, "read"):
        return [path]  # type: ignore[list-item]
    paths = list(path)
    if not paths:
        raise ValueError("no file to read")
    return paths


def _iterate(
    paths: Sequence[Path], reading: Reading, read: Callable[[Source, Reading], Iterator[_Piece]]
) -> Iterator[_Piece]:
    options = reading.options
    for path in paths:
        empty = True
        with Source(path) as source:
            for piece in read(source, reading):
                empty = False
                if isinstance(piece, Row) and piece.error is not None and not options.skip_bad:
                    raise piece.error
                yield piece
        if empty and not options.unlabelled:
            raise DataError(source.name, "the file is empty: it holds no row of data")
    if paths:
        reading.check_missing(source.name)


def _rows(source: Source, reading: Reading) -> Iterator[Row]:
    """Yield the rows of one file, one by one."""
    options = reading.options
    if options.format == "long":
        return group_rows(_ungrouped(source, reading), options.task)
    return _ungrouped(source, reading)


def _pieces(source: Source, reading: Reading) -> Pieces:
    """Yield the same rows, many at once where they are plain."""
    kind = _format_of(source, reading.options)
    if reading.options.format == "long":
        return _rows(source, reading)
    if kind in ("csv", "tsv"):  # what a kind of file needs is imported when one comes
        from eitheror.files._bulk_tables import delimited_pieces

        return delimited_pieces(source, reading, kind)
    if kind == "parquet":
        from eitheror.files._bulk_parquet import parquet_pieces

        return parquet_pieces(source, reading)
    if kind == "fasttext":
        return fasttext_pieces(source, reading)
    if kind == "text":
        return text_pieces(source, reading)
    if kind in ("json", "jsonl"):
        return _json_pieces(source, reading, kind)
    return _rows(source, reading)


def _ungrouped(source: Source, reading: Reading) -> Iterator[Row]:
    kind = _format_of(source, reading.options)
    if kind in ("csv", "tsv"):
        from eitheror.files._delimited import read_delimited

        return read_delimited(source, reading, kind)
    if kind == "parquet":
        from eitheror.files._parquet import read_parquet

        return read_parquet(source, reading)
    if kind == "fasttext":
        return read_fasttext(source, reading)
    if kind == "text":
        return read_text(source, reading)
    return _json_rows(source, reading, kind)


def _json_rows(
    source: Source,
    reading: Reading,
    kind: str,
    lines: Iterator[tuple[int, bytes]] | None = None,
) -> Iterator[Row]:
    # a blank line keeps its place where every line is answered; rows that combine have none
    options = reading.options
    blanks = options.unlabelled and options.format != "long"
    found: Iterator[tuple[int, Any]] = records(source, lines, blanks=blanks)
    if kind == "json":
        lead = []
        for item in found:
            lead.append(item)
            if item[1] is not None:
                break
        first = lead[-1][1] if lead else None
        kind = dialect_of(first) if isinstance(first, dict) else "jsonl"
        found = chain(lead, found)
    if kind != "jsonl":
        found = (item for item in found if item[1] is not None)
    readers = {
        "jsonl": read_jsonl,
        "prodigy": read_prodigy,
        "label-studio": read_label_studio,
        "argilla": read_argilla,
    }
    return readers[kind](found, source.name, reading)


def _json_pieces(source: Source, reading: Reading, kind: str) -> Pieces:
    """Yield the rows of JSONL many at once; of an array or an export, one by one."""
    if source.head().lstrip().startswith(b"["):
        yield from _json_rows(source, reading, kind)
        return
    blocks = source.blocks()
    lead = next(blocks, None)
    if lead is None:
        return
    blocks = chain([lead], blocks)
    if kind == "json" and _dialect(lead) != "jsonl":
        yield from _json_rows(source, reading, kind, lines_of(blocks))
    else:
        yield from jsonl_pieces(source, reading, blocks)


def _dialect(block: tuple[int, bytes]) -> str:
    """Return the form of the first record of a block; "" if there is none."""
    for _, raw in lines_of([block]):
        if not raw.isspace():
            try:
                return dialect_of(decode_object(raw))
            except ValueError:
                return "jsonl"
    return ""


def _format_of(source: Source, options: ReadOptions) -> str:
    """Return the format; "json" means one of those written in JSON, told by its first record."""
    if options.format is not None and options.format != "long":
        return options.format
    suffix = bare_suffix(source.name)
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    head = source.head().lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"{", b"[{")) or (head.startswith(b"[") and head[1:].lstrip()[:1] == b"{"):
        return "json"
    if head.startswith(options.prefix.encode()) or (options.unlabelled and options.format is None):
        return "fasttext"
    if options.format == "long":
        return "csv"
    if not head:
        return "text"
    raise DataError(
        source.name,
        "the format cannot be told from the name or the first bytes; say it: "
        "--format jsonl, csv, tsv, parquet, fasttext, prodigy, label-studio or argilla",
    )
