"""Files -> (inputs, labels), and back.

JSONL, CSV, TSV, Parquet, fastText, long tables, exports of Prodigy, Label Studio and Argilla;
packed with gz, bz2, xz or zst; `-` is standard input or output. Rows stream through one at a time.
Every error names the file, the line and what to write instead. What a format cannot hold is refused
when writing, with the row and a format that can.
"""

from typing import TYPE_CHECKING

from eitheror.files._collect import Block, Table
from eitheror.files._options import FORMATS, ReadOptions
from eitheror.files._rows import Row
from eitheror.files._streams import open_lines, open_output
from eitheror.files._table import iter_blocks, iter_inputs, iter_rows, read, read_table

if TYPE_CHECKING:
    from eitheror.files._write import WRITE_FORMATS, write

__all__ = [
    "FORMATS",
    "WRITE_FORMATS",
    "Block",
    "ReadOptions",
    "Row",
    "Table",
    "iter_blocks",
    "iter_inputs",
    "iter_rows",
    "open_lines",
    "open_output",
    "read",
    "read_table",
    "write",
]


def __getattr__(name: str) -> object:
    """Fetch what writes files on first touch: most programs only read."""
    if name not in ("WRITE_FORMATS", "write"):
        raise AttributeError(f"module 'eitheror.files' has no attribute {name!r}")
    from eitheror.files import _write

    return getattr(_write, name)
