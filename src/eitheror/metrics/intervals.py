"""95 % intervals for scores that may themselves be ranges.

Shares of rows get Wilson's interval. Between two bounds the critical value is that of Imbens and
Manski: the wider the range, the less likely both ends are missed. Ratios of sums (micro, macro)
and means get the linearised standard error, the limit of the bootstrap over rows, which needs no
seed. A score without any spread over the rows gets none: it has no honest interval.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bounds", "Estimate", "Z", "between", "mean_of", "proportion", "ratio_of"]

_NORMAL = NormalDist()
_CONFIDENCE = 0.95
Z = _NORMAL.inv_cdf((1 + _CONFIDENCE) / 2)
"""1.96, the standard errors on either side of a 95 % interval."""


class Bounds(NamedTuple):
    """A score, or the range it must lie in.

    Attributes
    ----------
    lower, upper : float
        Equal when the labels leave nothing open.
    interval : (float, float) or None
        95 % interval; None where none is honest.
    """

    lower: float
    upper: float
    interval: tuple[float, float] | None = None


class Estimate(NamedTuple):
    """A value and its standard error over rows; None for fewer than two rows."""

    value: float
    error: float | None


def proportion(lower_count: int, upper_count: int, n: int) -> Bounds:
    """Return a share of rows that lies between two counts out of n.

    Wilson's interval where both counts agree; otherwise Wilson's ends with the critical value c
    of Imbens and Manski (2004), Phi(c + width / error) - Phi(-c) = .95.
    """
    lower, upper = lower_count / n, upper_count / n
    c = _critical_value(lower, upper, n)
    return Bounds(lower, upper, (_wilson(lower, n, c)[0], _wilson(upper, n, c)[1]))


def mean_of(values: NDArray[np.floating]) -> Estimate:
    """Return the mean of one value per row."""
    n = len(values)
    mean = float(np.mean(values, dtype=np.float64))
    return Estimate(mean, float(np.std(values, ddof=1)) / sqrt(n) if n > 1 else None)


def ratio_of(tops: NDArray[np.floating], bottoms: NDArray[np.floating]) -> Estimate:
    """Return sum(tops) / sum(bottoms) over rows, 0/0 = 0.

    Each row moves the ratio r by (top - r bottom) / sum(bottoms) to first order.
    """
    total = float(bottoms.sum())
    if total == 0:
        return Estimate(0.0, None)
    value = float(tops.sum()) / total
    return Estimate(value, spread((tops - value * bottoms) / total))


def spread(influence: NDArray[np.floating]) -> float | None:
    """Return the standard error of a sum of row influences."""
    n = len(influence)
    return sqrt(float(influence @ influence) * n / (n - 1)) if n > 1 else None


def between(low: Estimate, high: Estimate, *, top: float = 1.0) -> Bounds:
    """Return bounds from the least and the most favourable truth.

    The interval covers the whole range: it reaches 1.96 standard errors beyond each bound,
    within 0 and `top`.
    """
    lower, upper = low.value, high.value
    if low.error is None or high.error is None or low.error + high.error == 0:
        return Bounds(lower, upper, None)
    return Bounds(lower, upper, (max(0.0, lower - Z * low.error), min(top, upper + Z * high.error)))


def _critical_value(lower: float, upper: float, n: int) -> float:
    error = sqrt(max(lower * (1 - lower), upper * (1 - upper)) / n)
    if upper == lower or error == 0:
        return Z
    width = (upper - lower) / error
    low, high = _NORMAL.inv_cdf(_CONFIDENCE), Z  # one-sided, two-sided
    for _ in range(60):
        middle = (low + high) / 2
        if _NORMAL.cdf(middle + width) - _NORMAL.cdf(-middle) < _CONFIDENCE:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _wilson(share: float, n: int, z: float) -> tuple[float, float]:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
