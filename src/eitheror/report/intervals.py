"""A picture of scores with their intervals, one line each, as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import floor, log10
from typing import NamedTuple

__all__ = ["Line", "interval_plot", "ticks"]

_WIDTH, _MARGIN, _STEP, _TOP, _BOTTOM = 440, 14, 42, 6, 42


class Line(NamedTuple):
    """One score: its name, value, interval, and whether it is level with the best."""

    name: str
    value: float
    interval: tuple[float, float] | None
    level: bool


def interval_plot(lines: Sequence[Line], axis: str) -> str:
    """Return dots with whiskers; filled where a score is level with the best, hollow elsewhere.

    Names stand above their lines, so that the picture is legible on a telephone.

    Parameters
    ----------
    lines : sequence of Line
    axis : str
        What the scale shows.
    """
    ends = [end for line in lines for end in (line.interval or (line.value, line.value))]
    ends += [line.value for line in lines]
    low, high = min(ends), max(ends)
    space = (high - low) * 0.04 or 0.05
    low, high = low - space, high + space
    scale = (_WIDTH - 2 * _MARGIN) / (high - low)
    base = _TOP + _STEP * len(lines)

    def x(value: float) -> str:
        return f"{_MARGIN + (value - low) * scale:.1f}"

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {base + _BOTTOM}" role="img" '
        f'aria-label="{escape(axis)} by strategy">'
    ]
    for tick in ticks(low, high):
        parts.append(
            f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{_TOP}" y2="{base}" stroke="#ddd"/>'
            f'<text x="{x(tick)}" y="{base + 17}" text-anchor="middle">{tick:g}</text>'
        )
    for place, line in enumerate(lines):
        parts += _line(line, _TOP + _STEP * place, x)
    parts.append(
        f'<text x="{_WIDTH / 2:g}" y="{base + 36}" text-anchor="middle">{escape(axis)}</text></svg>'
    )
    return "\n".join(parts)


def _line(line: Line, top: int, x: Callable[[float], str]) -> list[str]:
    y = top + 29
    parts = [f'<text x="0" y="{top + 15}">{escape(line.name)}</text>']
    if line.interval is not None:
        start, end = (x(value) for value in line.interval)
        parts.append(
            f'<path d="M{start} {y}H{end}M{start} {y - 5}v10M{end} {y - 5}v10" '
            'stroke="#1b1b1b" stroke-width="1.5" fill="none"/>'
        )
    fill = "#1b1b1b" if line.level else "#fff"
    parts.append(
        f'<circle cx="{x(line.value)}" cy="{y}" r="5" fill="{fill}" stroke="#1b1b1b" '
        f'stroke-width="1.5"><title>{escape(line.name)}: {line.value:.3f}</title></circle>'
    )
    return parts


def ticks(low: float, high: float) -> list[float]:
    """Return three to seven round numbers between two ends.

    Examples
    --------
    >>> ticks(0.37, 0.83)
    [0.4, 0.5, 0.6, 0.7, 0.8]
    """
    step = 10.0 ** floor(log10(high - low))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if (high - low) / s <= 7)
    first = int(-(-low // step))
    return [round(step * i, 10) for i in range(first, int(high // step) + 1)]
