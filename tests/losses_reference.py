"""The losses a second time: from their definitions, row by row, in 50 digits (mpmath).

Every function takes the logits and the target of one row as exact numbers and returns
``(loss, gradient, scale)``. ``scale`` is what rounding errors of a gradient entry are measured
against: the sum of the sizes of the terms it is the difference of. Sums run over positive terms
only, so that 50 digits are enough at logits of 1e4.
"""

import math

import mpmath
from mpmath import mpf

mpmath.mp.dps = 50


def numbers(row):
    """Return a row of floats, of any precision, as exact mpmath numbers."""
    return [mpf(float(x)) for x in row]


def _odds(f):
    """e^f, with e^-inf = 0."""
    return [mpmath.exp(x) for x in f]


def evidence(f, w):
    """-log(sum w p) = log1p(U / W)."""
    e = _odds(f)
    allowed = mpmath.fsum(a * x for a, x in zip(w, e, strict=True))
    against = mpmath.fsum((1 - a) * x for a, x in zip(w, e, strict=True))
    slope = against / (against + allowed)
    r = [(1 - a) * x / against if against else mpf(0) for a, x in zip(w, e, strict=True)]
    q = [a * x / allowed for a, x in zip(w, e, strict=True)]
    gradient = [slope * (a - b) for a, b in zip(r, q, strict=True)]
    scale = [slope * (a + b) for a, b in zip(r, q, strict=True)]
    return mpmath.log1p(against / allowed), gradient, scale


def cross_entropy(f, c):
    """Sum of c_k (lse f - f_k), for amounts c of any sign."""
    e = _odds(f)
    z = mpmath.fsum(e)
    without = [mpmath.fsum(e[:k] + e[k + 1 :]) for k in range(len(e))]
    others = [mpmath.fsum(c[:k] + c[k + 1 :]) for k in range(len(c))]
    loss = mpmath.fsum(c[k] * mpmath.log1p(without[k] / e[k]) for k in range(len(e)) if c[k])
    up = [e[k] / z * others[k] for k in range(len(e))]
    down = [without[k] / z * c[k] for k in range(len(e))]
    gradient = [a - b for a, b in zip(up, down, strict=True)]
    return loss, gradient, [abs(a) + abs(b) for a, b in zip(up, down, strict=True)]


def softmax(f, t, smoothing=0):
    """The evidence loss or the cross-entropy of shares, smoothed."""
    n, ones = len(t), all(x == 1 for x in t)
    loss, gradient, scale = evidence(f, t) if max(t) == 1 else cross_entropy(f, t)
    if not smoothing or ones:
        return loss, gradient, scale
    even = cross_entropy(f, [mpf(1) / n] * n)
    e = mpf(smoothing)
    return (
        (1 - e) * loss + e * even[0],
        [(1 - e) * a + e * b for a, b in zip(gradient, even[1], strict=True)],
        [(1 - e) * a + e * b for a, b in zip(scale, even[2], strict=True)],
    )


def uniform(f, t, smoothing=0):
    """Cross-entropy with the weights as shares."""
    if all(x == 1 for x in t):
        return cross_entropy(f, [mpf(0)] * len(t))
    mass = mpmath.fsum(t) if max(t) == 1 else mpf(1)
    e, n = mpf(smoothing), len(t)
    return cross_entropy(f, [(1 - e) * x / mass + e / n for x in t])


def negated(f, t):
    """+log p of what is ruled out; one class named and shares: cross-entropy."""
    if max(t) == 1 and sum(x > 0 for x in t) > 1:
        t = [x - 1 for x in t]
    return cross_entropy(f, t)


def bent(f, t, shape, smoothing=0):
    """psi(-log P) of evidence, the mean of psi over shares; `shape` gives psi and psi'."""
    if all(x == 1 for x in t):
        return cross_entropy(f, [mpf(0)] * len(t))
    e, odds, n = mpf(smoothing), _odds(f), len(t)
    z = mpmath.fsum(odds)
    wrong = [mpmath.fsum(odds[:k] + odds[k + 1 :]) / z for k in range(n)]
    single = [shape(x / z, u) for x, u in zip(odds, wrong, strict=True)]
    shares = [mpf(0)] * n if max(t) == 1 else t
    amounts = [(1 - e) * x + e / n for x in shares]
    value = mpmath.fsum(a * psi[0] for a, psi in zip(amounts, single, strict=True))
    charged = [a * psi[1] for a, psi in zip(amounts, single, strict=True)]
    _, gradient, scale = cross_entropy(f, charged)
    if max(t) == 1:
        allowed = mpmath.fsum(a * x for a, x in zip(t, odds, strict=True))
        against = mpmath.fsum((1 - a) * x for a, x in zip(t, odds, strict=True))
        psi = shape(allowed / (allowed + against), against / (allowed + against))
        _, slope, size = evidence(f, t)
        value += (1 - e) * psi[0]
        gradient = [a + (1 - e) * psi[1] * b for a, b in zip(gradient, slope, strict=True)]
        scale = [a + (1 - e) * psi[1] * b for a, b in zip(scale, size, strict=True)]
    return value, gradient, scale


def set_mae(f, t, smoothing=0):
    """1 - P."""
    return bent(f, t, lambda right, wrong: (wrong, right), smoothing)


def gce(f, t, smoothing=0):
    """(1 - P^.7) / .7."""
    q = mpf(0.7)  # the float that the losses get

    def shape(right, wrong):
        loss = mpmath.log1p(wrong / right)
        return -mpmath.expm1(-q * loss) / q, mpmath.exp(-q * loss)

    return bent(f, t, shape, smoothing)


def scl_exp(f, t, smoothing=0):
    """exp(1 - P)."""
    return bent(f, t, lambda r, w: (mpmath.exp(w), mpmath.exp(w) * r), smoothing)


def op(f, t, smoothing=0):
    """Cross-entropy of 1 - t under the softmax of -f."""
    if all(x == 1 for x in t):
        return cross_entropy(f, [mpf(0)] * len(t))
    e, n = mpf(smoothing), len(t)
    amounts = [(1 - e) * (1 - x) + e * (1 - mpf(1) / n) for x in t]
    loss, gradient, scale = cross_entropy([-x for x in f], amounts)
    return loss, [-g for g in gradient], scale


def ova(f, t, smoothing=0, normalise=False):
    """Binary cross-entropy over the entries that are not nan."""
    known = [not mpmath.isnan(x) for x in t]
    mass = mpmath.fsum(x for x, k in zip(t, known, strict=True) if k)
    e, loss, gradient, scale = mpf(smoothing), mpf(0), [], []
    for x, y, k in zip(f, t, known, strict=True):
        y = (1 - e) * (y / mass if normalise and mass else y) + e / 2
        if not k:
            gradient.append(mpf(0))
            scale.append(mpf(0))
            continue
        up, down = mpmath.exp(x), mpmath.exp(-x)
        loss += y * mpmath.log1p(down) + (1 - y) * mpmath.log1p(up)
        parts = (1 - y) / (1 + down), y / (1 + up)
        gradient.append(parts[0] - parts[1])
        scale.append(parts[0] + parts[1])
    return loss, gradient, scale


def ova_n(f, t, smoothing=0):
    """Binary cross-entropy with t / sum(t)."""
    return ova(f, t, smoothing, normalise=True)


def pal(f, t, smoothing=0, normalise=False):
    """Cross-entropy of every tag."""
    tags = [mpf(0) if mpmath.isnan(x) else x for x in t]
    mass = mpmath.fsum(tags)
    if normalise and mass:
        tags, mass = [x / mass for x in tags], mpf(1)
    e = mpf(smoothing)
    return cross_entropy(f, [(1 - e) * x + e * mass / len(t) for x in tags])


def pal_n(f, t, smoothing=0):
    """Cross-entropy, the mean over the tags."""
    return pal(f, t, smoothing, normalise=True)


def _members(f, mask):
    inside = [k for k, m in enumerate(mask) if m]
    return inside, _odds([f[k] for k in inside])


def _spread(n, inside, values):
    out = [mpf(0)] * n
    for k, value in zip(inside, values, strict=True):
        out[k] = value
    return out


def _excess(e):
    """prod(1 + e) - 1 and prod(1 + e) - 1 - sum(e), by sums of positive terms."""
    grown, crossed, total = mpf(0), mpf(0), mpf(0)
    for x in e:
        crossed += x * grown
        grown += x * (1 + grown)
        total += x
    return grown, crossed, total


def at_least_one(f, mask):
    """-log(1 - 1 / prod(1 + e))."""
    inside, e = _members(f, mask)
    grown, _, _ = _excess(e)
    gradient = [-(x / (1 + x)) / grown for x in e]
    gradient = _spread(len(f), inside, gradient)
    return mpmath.log1p(1 / grown), gradient, [abs(g) for g in gradient]


def exactly_one(f, mask):
    """-log(sum(e) / prod(1 + e))."""
    inside, e = _members(f, mask)
    _, crossed, total = _excess(e)
    without = [mpmath.fsum(e[:k] + e[k + 1 :]) for k in range(len(e))]
    pairs = list(zip(e, without, strict=True))
    gradient = _spread(len(f), inside, [x / (1 + x) * (o - 1) / total for x, o in pairs])
    scale = _spread(len(f), inside, [x / (1 + x) * (o + 1) / total for x, o in pairs])
    return mpmath.log1p((1 + crossed) / total), gradient, scale


def at_most_one(f, mask):
    """-log((1 + sum(e)) / prod(1 + e))."""
    inside, e = _members(f, mask)
    _, crossed, total = _excess(e)
    without = [mpmath.fsum(e[:k] + e[k + 1 :]) for k in range(len(e))]
    gradient = [x / (1 + x) * o / (1 + total) for x, o in zip(e, without, strict=True)]
    gradient = _spread(len(f), inside, gradient)
    return mpmath.log1p(crossed / (1 + total)), gradient, gradient


REFERENCES = {
    "softmax": softmax,
    "uniform": uniform,
    "random-pick": uniform,
    "negated": negated,
    "set-mae": set_mae,
    "gce": gce,
    "scl-exp": scl_exp,
    "op": op,
    "ova": ova,
    "ova-n": ova_n,
    "pal": pal,
    "pal-n": pal_n,
    "pol": pal_n,
    "at_least_one": at_least_one,
    "exactly_one": exactly_one,
    "at_most_one": at_most_one,
}


def numeric_derivative(function, f, vector):
    """Directional derivative of a function of the logits, by differences of 50-digit numbers."""
    h = mpf(10) ** -18
    up = function([x + h * v for x, v in zip(f, vector, strict=True)])
    down = function([x - h * v for x, v in zip(f, vector, strict=True)])
    if isinstance(up, list):
        return [(a - b) / (2 * h) for a, b in zip(up, down, strict=True)]
    return (up - down) / (2 * h)


def relative_error(actual, expected, scale, smallest):
    """abs(actual - expected) / scale, with numbers below `smallest` counted as that."""
    if math.isnan(actual) or math.isinf(actual):
        return math.inf
    return float(abs(mpf(float(actual)) - expected) / max(scale, mpf(float(smallest))))
