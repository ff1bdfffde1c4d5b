"""95 % intervals for scores that may themselves be ranges.

A share of rows gets Wilson's interval. Any other score between 0 and a top (ratios of sums, means,
macro averages) has a linearised standard error, the limit of the bootstrap over rows, which needs
no seed; its interval is Wilson's for as many rows as a share with that error would have. So it
stays inside its range, leans towards the middle, and has a width where no spread was seen. The
mean of losses, which have no top, gets Student's t corrected for skewness (Hall).

Between two bounds the critical value is that of Imbens and Manski: the interval covers the true
score, wherever between the bounds it is, and the wider the range, the less likely both ends
are missed.
"""

from __future__ import annotations

from math import isinf, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bounds",
    "Estimate",
    "Z",
    "between",
    "critical_value",
    "mean_of",
    "proportion",
    "ratio_of",
    "spread",
    "student",
]

_NORMAL = NormalDist()
_CONFIDENCE = 0.95
Z = _NORMAL.inv_cdf((1 + _CONFIDENCE) / 2)
"""1.96, the standard errors on either side of a 95 % interval."""

_NO_SKEW = 1e-6


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
    """A value with what its interval is made of.

    Attributes
    ----------
    value : float
    error : float or None
        Standard error over rows; None for fewer than two.
    n : int
        Number of rows.
    centre : float or None
        The value less its bias, if that is known; the interval is laid around it.
    spread : float or None
        What value (1 - value) stands for in the interval; by default just that.
    skewness : float
        Of the values of the rows; used where a score has no top.
    """

    value: float
    error: float | None
    n: int = 0
    centre: float | None = None
    spread: float | None = None
    skewness: float = 0.0


def proportion(lower_count: int, upper_count: int, n: int) -> Bounds:
    """Return a share of rows that lies between two counts out of n.

    Wilson's interval where both counts agree; otherwise Wilson's ends with the critical value c
    of Imbens and Manski (2004), Phi(c + width / error) - Phi(-c) = .95.
    """
    lower, upper = lower_count / n, upper_count / n
    error = sqrt(max(lower * (1 - lower), upper * (1 - upper)) / n)
    c = critical_value(upper - lower, error)
    return Bounds(lower, upper, (_wilson(lower, n, c)[0], _wilson(upper, n, c)[1]))


def mean_of(values: NDArray[np.floating]) -> Estimate:
    """Return the mean of one value per row."""
    n = len(values)
    mean = float(np.mean(values, dtype=np.float64))
    if n < 2:
        return Estimate(mean, None, n)
    away = values - mean
    variance = float(np.mean(away**2, dtype=np.float64))
    cubed = float(np.mean(away**3, dtype=np.float64))
    skewness = cubed / variance**1.5 if variance > 0 else 0.0
    return Estimate(mean, sqrt(variance / (n - 1)), n, skewness=skewness)


def ratio_of(tops: NDArray[np.floating], bottoms: NDArray[np.floating]) -> Estimate:
    """Return sum(tops) / sum(bottoms) over rows, 0/0 = 0.

    Each row moves the ratio r by (top - r bottom) / sum(bottoms) to first order.
    """
    total = float(bottoms.sum())
    if total == 0:
        return Estimate(0.0, None)
    value = float(tops.sum()) / total
    counted = int(np.count_nonzero(bottoms))
    return Estimate(value, spread((tops - value * bottoms) / total), counted)


def spread(influence: NDArray[np.floating]) -> float | None:
    """Return the standard error of a sum of row influences."""
    n = len(influence)
    return sqrt(float(influence @ influence) * n / (n - 1)) if n > 1 else None


def between(low: Estimate, high: Estimate, *, top: float = 1.0) -> Bounds:
    """Return bounds from the least and the most favourable truth.

    The 95 % interval covers the score, which is 0 at least and `top` at most. None where fewer than
    two rows count, or where a score without a top shows no spread.
    """
    lower, upper = low.value, high.value
    if low.error is None or high.error is None or min(low.n, high.n) < 2:
        return Bounds(lower, upper, None)
    c = critical_value(upper - lower, max(low.error, high.error))
    if isinf(top):
        if low.error + high.error == 0:
            return Bounds(lower, upper, None)
        start, stop = _skewed_ends(low, c)[0], _skewed_ends(high, c)[1]
        return Bounds(lower, upper, (max(0.0, start), stop))
    start, stop = _ends(low, top, c)[0], _ends(high, top, c)[1]
    return Bounds(lower, upper, (min(start, lower), max(stop, upper)))


def critical_value(width: float, error: float) -> float:
    """Return c with Phi(c + width / error) - Phi(-c) = .95: 1.96 for no width, 1.645 for a wide.

    Examples
    --------
    >>> [round(critical_value(width, 0.1), 3) for width in (0.0, 0.1, 1.0)]
    [1.96, 1.681, 1.645]
    """
    if width <= 0 or error == 0:
        return Z
    low, high = _NORMAL.inv_cdf(_CONFIDENCE), Z  # one-sided, two-sided
    for _ in range(60):
        middle = (low + high) / 2
        if _NORMAL.cdf(middle + width / error) - _NORMAL.cdf(-middle) < _CONFIDENCE:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _ends(estimate: Estimate, top: float, c: float) -> tuple[float, float]:
    """Return Wilson's ends for as many rows as a share with this error would have."""
    value, error, n, centre, seen, _ = estimate
    assert error is not None
    share = min(max((value if centre is None else centre) / top, 0.0), 1.0)
    seen = share * (1 - share) if seen is None else seen
    alike = n if error == 0 or seen <= 0 else seen / (error / top) ** 2
    low, high = _wilson(share, alike, student(c, n))
    return low * top, high * top


def _skewed_ends(estimate: Estimate, c: float) -> tuple[float, float]:
    """Return the ends of an interval for a mean of skewed values (Hall, 1992).

    Few rows with a large loss make a mean that is often too low and rarely far too high: the
    interval reaches further up. A cubic in t takes the skewness out; here is its inverse.
    """
    error, n, skew = estimate.error, estimate.n, estimate.skewness
    assert error is not None
    z = student(c, n)
    if abs(skew) < _NO_SKEW:
        return estimate.value - z * error, estimate.value + z * error
    low, high = (
        3 * sqrt(n) / skew * (float(np.cbrt(1 + skew * (x / sqrt(n) - skew / (6 * n)))) - 1)
        for x in (z, -z)
    )
    return estimate.value - low * error, estimate.value - high * error


def student(z: float, n: int) -> float:
    """Return the quantile of Student's t for n - 1 degrees that belongs to a normal quantile."""
    # t = z + (z^3 + z) / 4v + (5 z^5 + 16 z^3 + 3 z) / 96 v^2: Cornish and Fisher
    v = max(n - 1, 1)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v * v)


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
