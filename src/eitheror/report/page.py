"""The frame of every page: style, escaping, numbers, and a safe way to write it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

__all__ = ["Html", "checked_target", "page", "table", "write_page"]

_FIRST = b"<!doctype html"
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1b1b;
  background: #fff; max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.about { color: #555; }
.verdict { font-size: 1.05rem; border-left: 4px solid #1b1b1b; padding: .25rem 0 .25rem 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal;
  overflow-wrap: anywhere; min-width: 8rem; }
td.words, th.words { white-space: normal; text-align: left; min-width: 14rem; }
.best td:first-child { font-weight: 700; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1b1b1b; }
figure { margin: 0; break-inside: avoid; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
figcaption { color: #555; font-size: .95rem; margin-top: .25rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 1.5rem 2rem; align-items: start; }
figure svg { min-width: 0; max-width: 34rem; }
figure svg text { font-size: 13px; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
figure svg text.small, td svg text { font-size: 11px; }
td svg { min-width: 0; width: 5.5rem; height: .8rem; display: inline-block; }
summary { cursor: pointer; padding: .4rem 0; }
ol.rows { padding-left: 2rem; max-width: 46rem; }
ol.rows li { margin: .6rem 0; break-inside: avoid; }
ol.rows q, ol.rows span { overflow-wrap: anywhere; }
@media (max-width: 40rem) { th, td { padding: .3rem .4rem; font-size: .9rem; }
  td.words, th.words { min-width: 12rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  tr, svg { break-inside: avoid; } .wide { overflow: visible; }
  th, td { padding: .2rem .35rem; font-size: .85rem; } }
"""


class Html(str):
    """A cell that is HTML already; any other text is escaped."""

    __slots__ = ()


def page(title: str, *parts: str) -> str:
    """Return a whole page; `parts` are HTML."""
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marked: Sequence[bool] = (),
    words: int | None = None,
) -> str:
    """Return a table that scrolls sideways where the page is narrow; cells are text or `Html`.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences of str
    marked : sequence of bool, optional
        Rows whose first cell is set bold.
    words : int, optional
        Column that holds sentences and may wrap.
    """
    head = "".join(
        f'<th scope="col"{" class=words" if column == words else ""}>{escape(cell)}</th>'
        for column, cell in enumerate(header)
    )
    body = []
    for place, row in enumerate(rows):
        kind = ' class="best"' if place < len(marked) and marked[place] else ""
        cells = "".join(
            f"<td{' class=words' if column == words else ''}>{_cell(cell)}</td>"
            for column, cell in enumerate(row)
        )
        body.append(f"<tr{kind}>{cells}</tr>")
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>"
    )


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Html) else escape(cell)


def checked_target(path: str | Path) -> Path:
    """Return the path of a page, or raise ValueError where none can be written."""
    target = Path(path)
    try:
        if target.is_dir():
            raise ValueError(f"{target} is a folder; give the name of an HTML file")
        if not target.parent.is_dir():
            raise ValueError(f"{target}: there is no folder {target.parent}; make it first")
        if target.exists() and not _is_page(target):
            raise ValueError(
                f"{target} exists and is no HTML page, so it is not overwritten; give another name"
            )
        new = _temporary(target)
        new.touch()
        new.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{target}: no file can be written there ({reason})") from None
    return target


def write_page(path: str | Path, html: str) -> None:
    """Write a page under a temporary name and rename it, so that no half of it is ever seen."""
    target = checked_target(path)
    new = _temporary(target)
    try:
        new.write_text(html, encoding="utf-8")
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _is_page(target: Path) -> bool:
    """Say whether a file may be replaced by a page: it is one, or it is empty."""
    if not target.is_file():  # a device or a pipe
        return False
    with target.open("rb") as stream:
        head = stream.read(len(_FIRST))
    return not head or head.lower() == _FIRST


def _temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}.{os.getpid()}.new")
