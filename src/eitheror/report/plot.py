"""Lines, bands and marks over two axes, as inline SVG that is read without colour.

In: numbers in the units of the axes. Out: one `<svg>` with a title and a description for those who
do not see it. Lines differ by their dashes, marks by their shapes; a legend names both.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eitheror.report.intervals import ticks

__all__ = ["DASHES", "Plot"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 440, 250, 48, 14, 10, 42, 19
_SMALL = 6.5  # a letter of a small word, in pixels, at the most
_INK = "#1b1b1b"
DASHES = ("", "7 4", "2 3", "10 3 2 3")
"""How the first, second, third and fourth line are drawn."""

Values = Sequence[float | None]
Ticks = Sequence[tuple[float, str]]


class Plot:
    """A picture that grows line by line; the first thing drawn lies at the bottom.

    Parameters
    ----------
    name : str
        An id, one of its own in the page.
    title, about : str
        What it shows, and what it says in a sentence or two.
    x, y : pair of float
        The ends of the axes.
    x_label, y_label : str
    x_ticks, y_ticks : sequence of (value, text), optional
        Default: round numbers.

    Examples
    --------
    >>> plot = Plot("p", "A line", "It rises.", (0, 1), (0, 1), "time", "height")
    >>> plot.line([0, 0.5, 1], [0, None, 1], "growth")
    >>> svg = plot.svg()
    >>> "growth" in svg, "A line" in svg, "http" in svg
    (True, True, False)
    """

    def __init__(
        self,
        name: str,
        title: str,
        about: str,
        x: tuple[float, float],
        y: tuple[float, float],
        x_label: str,
        y_label: str,
        *,
        x_ticks: Ticks | None = None,
        y_ticks: Ticks | None = None,
    ) -> None:
        self.name, self.title, self.about = name, title, about
        self._x, self._y = _apart(*x), _apart(*y)
        self._labels = (x_label, y_label)
        self._x_ticks = _round(*self._x) if x_ticks is None else x_ticks
        self._y_ticks = _round(*self._y) if y_ticks is None else y_ticks
        self._drawn: list[str] = []
        self._legend: list[tuple[str, str]] = []

    def line(self, xs: Sequence[float], ys: Values, label: str = "", dash: str = "") -> None:
        """Draw a line through the points; a None leaves a gap."""
        steps, pen_down = [], False
        for x, y in zip(xs, ys, strict=True):
            if y is not None:
                steps.append(f"{'L' if pen_down else 'M'}{self._at(x, y)}")
            pen_down = y is not None
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        style = f'fill="none" stroke="{_INK}" stroke-width="1.8"{dashes}'
        self._drawn.append(f'<path d="{"".join(steps)}" {style}/>')
        if label:
            self._legend.append((f'<path d="M0 0h26" {style}/>', label))

    def band(self, xs: Sequence[float], lows: Values, highs: Values, label: str = "") -> None:
        """Shade what lies between two lines."""
        there = [
            (x, low, high)
            for x, low, high in zip(xs, lows, highs, strict=True)
            if low is not None and high is not None
        ]
        ends = [(x, high) for x, _, high in there] + [(x, low) for x, low, _ in there[::-1]]
        points = " ".join(self._at(*end) for end in ends)
        style = 'fill="#1b1b1b" fill-opacity=".13" stroke="none"'
        self._drawn.append(f'<polygon points="{points}" {style}/>')
        if label:
            self._legend.append((f'<path d="M0 -6h26v12h-26z" {style}/>', label))

    def range(self, x: float, low: float, high: float, kind: str = "whisker") -> None:
        """Draw an upright line from low to high: a whisker with caps, a thick bar, or a stem."""
        left, top = self._place(x, high)
        bottom = self._place(x, low)[1]
        path = f"M{left:.1f} {bottom:.1f}V{top:.1f}"
        if kind == "whisker":
            path += f"M{left - 4:.1f} {bottom:.1f}h8M{left - 4:.1f} {top:.1f}h8"
        self._drawn.append(f'<path d="{path}" fill="none" {_UPRIGHT[kind]}/>')

    def mark(self, x: float, y: float, shape: str = "dot", says: str = "", label: str = "") -> None:
        """Draw a mark: dot, ring, square or diamond; `says` is shown to the pointer."""
        left, top = self._place(x, y)
        inner = f"<title>{escape(says)}</title>" if says else ""
        self._drawn.append(
            f'<g transform="translate({left:.1f} {top:.1f})">{_SHAPES[shape]}{inner}</g>'
        )
        if label:
            self._legend.append((f'<g transform="translate(13 0)">{_SHAPES[shape]}</g>', label))

    def note(self, sample: str, label: str) -> None:
        """Name in the legend what has no line of its own: dot, bar, whisker or level."""
        self._legend.append((_SAMPLES[sample], label))

    def upright(self, x: float, text: str) -> None:
        """Draw a dashed line over the whole height, with a word at its foot."""
        left = self._place(x, 0)[0]
        _, right = self._ends()
        anchor, gap = ("end", -5) if left > (right + _LEFT) / 2 else ("start", 5)
        self._drawn.append(
            f'<path d="M{left:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{_INK}" stroke-width="1" '
            f'stroke-dasharray="3 3"/>{_text(left + gap, _HEIGHT - _BOTTOM - 7, text, anchor)}'
        )

    def level(self, y: float) -> None:
        """Draw a dotted line over the whole width."""
        self.line(list(self._x), [y, y], dash="1 4")

    def text(self, x: float, y: float, text: str, *, below: float = 0) -> None:
        """Write a word centred at a point, or that many pixels below it, within the picture."""
        left, top = self._place(x, y)
        half = len(text) * _SMALL / 2
        left = min(max(left, half), _WIDTH - half)
        self._drawn.append(_text(left, top + below, text, "middle", ' class="small"'))

    def svg(self) -> str:
        """Return the picture."""
        legend = [
            f'<g transform="translate({_LEFT} {_HEIGHT + 10 + place * _LEGEND})">{sample}'
            f"{_text(34, 4.5, words)}</g>"
            for place, (sample, words) in enumerate(self._legend)
        ]
        height = _HEIGHT + (_LEGEND * len(legend) + 4 if legend else 0)
        ids = f"{self.name}-title {self.name}-about"
        return "\n".join(
            [
                f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="{ids}">',
                f'<title id="{self.name}-title">{escape(self.title)}</title>',
                f'<desc id="{self.name}-about">{escape(self.about)}</desc>',
                *self._axes(),
                *self._drawn,
                *legend,
                "</svg>",
            ]
        )

    def _axes(self) -> list[str]:
        left, right = self._ends()
        base = _HEIGHT - _BOTTOM
        parts = []
        for value, word in self._y_ticks:
            at = self._place(self._x[0], value)[1]
            parts.append(f'<path d="M{left} {at:.1f}H{right}" stroke="#ddd"/>')
            parts.append(_text(left - 6, at + 4.5, word, "end"))
        for value, word in self._x_ticks:
            at = self._place(value, self._y[0])[0]
            parts.append(f'<path d="M{at:.1f} {base}v4" stroke="#777"/>')
            parts.append(_text(at, base + 18, word, "middle"))
        parts.append(f'<path d="M{left} {base}H{right}" stroke="#777"/>')
        parts.append(_text((left + right) / 2, base + 36, self._labels[0], "middle"))
        if self._labels[1]:
            turned = f'<g transform="translate(12 {(base + _TOP) / 2:.0f}) rotate(-90)">'
            parts.append(f"{turned}{_text(0, 0, self._labels[1], 'middle')}</g>")
        return parts

    def _ends(self) -> tuple[int, int]:
        return _LEFT + (8 if self._labels[1] else 0), _WIDTH - _RIGHT

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, right = self._ends()
        base = _HEIGHT - _BOTTOM
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return left + across * (right - left), base - up * (base - _TOP)

    def _at(self, x: float, y: float) -> str:
        left, top = self._place(x, y)
        return f"{left:.1f} {top:.1f}"


_SHAPES = {
    "dot": f'<circle r="4.5" fill="{_INK}"/>',
    "ring": f'<circle r="4.5" fill="#fff" stroke="{_INK}" stroke-width="1.5"/>',
    "square": f'<rect x="-4.5" y="-4.5" width="9" height="9" fill="{_INK}"/>',
    "diamond": f'<path d="M0 -8L7 0L0 8L-7 0Z" fill="#fff" stroke="{_INK}" stroke-width="2.2"/>',
}

_UPRIGHT = {
    "whisker": f'stroke="{_INK}" stroke-width="1.2"',
    "bar": 'stroke="#8a8a8a" stroke-width="7"',
    "stem": f'stroke="{_INK}" stroke-width="1" stroke-dasharray="2 3"',
}
_SAMPLES = {
    "level": f'<path d="M0 0h26" stroke="{_INK}" stroke-width="1.8" stroke-dasharray="1 4"/>',
    "dot": f'<g transform="translate(13 0)">{_SHAPES["dot"]}</g>',
    "bar": '<path d="M13 -7v14" ' + _UPRIGHT["bar"] + "/>",
    "whisker": '<path d="M13 -7v14M9 -7h8M9 7h8" ' + _UPRIGHT["whisker"] + "/>",
}


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _round(low: float, high: float) -> list[tuple[float, str]]:
    # a round end is a tick too, though 1 // 0.2 is 4 in binary
    return [(value, f"{value:g}") for value in ticks(low, high + (high - low) * 1e-9)]
