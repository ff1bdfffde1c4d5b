"""How many of some tags apply, when each tag has its own sigmoid: at least, exactly, at most one.

With ``e_k = exp(f_k)`` the three probabilities are ``1 - 1/P``, ``E/P`` and ``(1 + E)/P``, where
``P = prod (1 + e_k)`` and ``E = sum e_k`` run over the tags of the mask. The losses below are these
formulas rewritten until no difference of large numbers and no overflow is left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eitheror.losses._arrays import (
    Array,
    covariance_times,
    is_first_largest,
    nan_unless,
    prepare,
    sigmoid,
    softmax,
    softplus,
    sum_without,
    total,
    widen,
)

# Below this, log(1 + x) / x and (1 - e^-x) / x are 1. It stays far above the numbers whose squares,
# which automatic differentiation forms, vanish in float32.
_TINY = 1e-16


class _Members(NamedTuple):
    """Logits of the tags in the mask. ``f`` is 0 outside it, ``inside`` says where it holds.

    ``lifted`` is f with -inf outside. Of shape ``(n, 1)``: ``valid`` (no nan logit, a mask of 0
    and 1), ``any`` (the mask holds a tag), ``several`` (more than one tag is sure, +inf).
    """

    f: Array
    inside: Array
    lifted: Array
    valid: Array
    any: Array
    several: Array


def _members(xp: Any, logits: Array, mask: Array) -> _Members:
    m = widen(xp, mask)
    inside = m == 1
    proper = xp.all(inside | (m == 0), axis=-1, keepdims=True)
    number = xp.all(~xp.isnan(logits), axis=-1, keepdims=True)
    f = xp.where(inside & number, logits, 0.0)
    lifted = xp.where(inside, f, -xp.inf)
    sure = xp.sum(xp.astype(lifted == xp.inf, xp.int32), axis=-1, keepdims=True)
    some = xp.any(inside, axis=-1, keepdims=True)
    return _Members(f, inside, lifted, proper & number, some, sure > 1)


def _kept(xp: Any, members: _Members, array: Array) -> Array:
    return xp.where(members.inside, array, 0.0)


# --- at least one --------------------------------------------------------------------------


class _AtLeastOne(NamedTuple):
    """``likely``: none of the tags has probability at most 1/2. Two forms meet there.

    ``none`` is that probability q; ``log_s`` and ``s`` are s = sum softplus(f) = -log q, exact for
    unlikely rows; ``share`` is e^f over its sum after weighting, so that s share = e^f there.
    """

    members: _Members
    none: Array
    likely: Array
    s: Array
    log_s: Array
    share: Array


def _at_least_one(xp: Any, logits: Array, mask: Array) -> _AtLeastOne:
    members = _members(xp, logits, mask)
    none = xp.prod(xp.where(members.inside, sigmoid(xp, -members.f), 1.0), axis=-1, keepdims=True)
    likely = none <= 0.5
    # Unlikely rows have f < 0 throughout: s = e^top * sum of e^(f - top) softplus(f) / e^f.
    possible = members.inside & (members.f > -xp.inf) & ~likely
    f = xp.where(possible, members.f, 0.0)
    top = xp.max(xp.where(possible, f, -xp.inf), axis=-1, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0.0)
    e = xp.exp(f)
    tiny = e < _TINY
    ratio = xp.where(tiny, 1.0, xp.log1p(xp.where(tiny, 1.0, e)) / xp.where(tiny, 1.0, e))
    scaled = xp.where(possible, xp.exp(xp.where(possible, f - top, 0.0)), 0.0)
    mass = total(xp, scaled * ratio)
    mass = xp.where(mass > 0, mass, xp.ones_like(mass))
    log_s = top + xp.log(mass)
    return _AtLeastOne(members, none, likely, xp.exp(top) * mass, log_s, scaled / mass)


def _some_over_s(xp: Any, s: Array) -> Array:
    """(1 - e^-s) / s, 1 at 0."""
    tiny = s < _TINY
    s = xp.where(tiny, 1.0, s)
    return xp.where(tiny, 1.0, -xp.expm1(-s) / s)


def at_least_one(logits: Array, mask: Array) -> Array:
    """Minus the log of the probability that at least one of the tags applies.

    ``-log(1 - prod_k (1 - sigmoid(f_k)))`` over the tags of the mask: "one of these, or several".

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)
        Any array-API library; any number of leading dimensions.
    mask : array of shape (n_samples, n_classes)
        1 or True for the tags in question, 0 or False for the others.

    Returns
    -------
    array of shape (n_samples,)
        In the precision of the logits, float32 for 16-bit logits. nan for an empty mask (a
        contradiction), a mask entry that is neither 0 nor 1, and a nan logit.

    See Also
    --------
    partial_softmax_cross_entropy : the same statement when exactly one class is true.

    Notes
    -----
    **Domain.** Finite for all finite logits; +inf if every logit of the mask is -inf. "Not all of
    them" is ``at_least_one(-logits, mask)``. Not convex.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_least_one(np.zeros((1, 3)), np.array([[1, 1, 0]])).round(6)
    array([0.287682])
    """
    xp, f, (m,) = prepare(logits, mask)
    a = _at_least_one(xp, f, m)
    unlikely = -(a.log_s + xp.log(_some_over_s(xp, a.s)))
    value = xp.where(a.likely, -xp.log1p(-xp.where(a.likely, a.none, 0.0)), unlikely)
    impossible = a.members.any & xp.all(a.members.lifted == -xp.inf, axis=-1, keepdims=True)
    value = xp.where(impossible, xp.inf, value)
    return nan_unless(xp, a.members.valid & a.members.any, value)[..., 0]


def at_least_one_gradient(logits: Array, mask: Array) -> Array:
    """Gradient of :func:`at_least_one`: ``-sigmoid(f_k) / (exp(s) - 1)``, ``s = sum softplus(f)``.

    Parameters
    ----------
    logits, mask : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        0 outside the mask; nan in the rows whose loss is nan or +inf.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_least_one_gradient(np.zeros((1, 3)), np.array([[1, 1, 0]])).round(6)
    array([[-0.166667, -0.166667,  0.      ]])
    """
    xp, f, (m,) = prepare(logits, mask)
    return _at_least_one_slope(xp, _at_least_one(xp, f, m))


def _at_least_one_slope(xp: Any, a: _AtLeastOne) -> Array:
    none = xp.where(a.likely, a.none, 0.0)
    likely = sigmoid(xp, a.members.f) * (none / (1.0 - none))
    # s / (e^s - 1) = e^-s / ((1 - e^-s) / s)
    unlikely = a.share * sigmoid(xp, -a.members.f) * (xp.exp(-a.s) / _some_over_s(xp, a.s))
    slope = _kept(xp, a.members, xp.where(a.likely, -likely, -unlikely))
    possible = xp.any(a.members.lifted > -xp.inf, axis=-1, keepdims=True)
    return nan_unless(xp, a.members.valid & possible, slope)


def at_least_one_hvp(logits: Array, mask: Array, vectors: Array) -> Array:
    """Hessian of :func:`at_least_one` times a vector, row by row.

    ``g (g'v) exp(s) + g sigmoid(-f) v`` with g the gradient.

    Parameters
    ----------
    logits, mask, vectors : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose gradient is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_least_one_hvp(np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    array([[0.25]])
    """
    xp, f, (m, v) = prepare(logits, mask, vectors)
    a = _at_least_one(xp, f, m)
    v = _kept(xp, a.members, xp.astype(v, f.dtype))
    g = _at_least_one_slope(xp, a)
    # g exp(s) = -sigmoid(f) / (1 - q) where q is small and may be 0
    likely = -sigmoid(xp, a.members.f) / (1.0 - xp.where(a.likely, a.none, 0.0))
    steep = xp.where(a.likely, likely, g / xp.where(a.likely, 1.0, a.none))
    outer = _kept(xp, a.members, steep) * total(xp, g * v)
    return outer + g * sigmoid(xp, -a.members.f) * v


# --- exactly one, at most one --------------------------------------------------------------


class _Sums(NamedTuple):
    """e^(f - pivot) of the members, ``pivot = max(0, largest logit)``, so that nothing overflows.

    Of shape ``(n, K)``: ``e``, ``top`` (the first largest), and ``without``, the sum of e without
    each tag's own. Of shape ``(n, 1)``: the largest logit, ``one`` = e^-pivot, the sum of e.
    """

    members: _Members
    largest: Array
    top: Array
    one: Array
    e: Array
    first: Array
    without: Array
    mass: Array


def _sums(xp: Any, logits: Array, mask: Array) -> _Sums:
    members = _members(xp, logits, mask)
    top = is_first_largest(xp, members.lifted)
    largest = total(xp, xp.where(top, members.lifted, 0.0))
    top = top & members.inside
    sure = largest == xp.inf
    pivot = xp.where((largest > 0) & ~sure, largest, 0.0)
    present = members.inside & (members.f > -xp.inf) & ~sure
    e = xp.where(present, xp.exp(xp.where(present, members.f - pivot, 0.0)), 0.0)
    e = xp.where(sure, xp.astype(top, e.dtype), e)
    first = total(xp, xp.where(top, e, 0.0))
    one = xp.where(sure, 0.0, xp.exp(-pivot))
    return _Sums(members, largest, top, one, e, first, sum_without(xp, e, top), total(xp, e))


def _exists(xp: Any, sums: _Sums) -> Array:
    """Whether "exactly one" has a loss at all: a valid row whose mask holds a tag."""
    return sums.members.valid & sums.members.any


def exactly_one(logits: Array, mask: Array) -> Array:
    """Minus the log of the probability that exactly one of the tags applies.

    ``sum_k softplus(f_k) - lse(f)`` over the tags of the mask. Softmax cross-entropy is binary
    cross-entropy of the one-hot row minus this loss: a softmax is independent sigmoids given that
    exactly one applies.

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)
    mask : array of shape (n_samples, n_classes)
        1 or True for the tags in question, 0 or False for the others.

    Returns
    -------
    array of shape (n_samples,)
        nan for an empty mask, a mask entry that is neither 0 nor 1, and a nan logit.

    Notes
    -----
    **Domain.** Finite for all finite logits; +inf if every logit of the mask is -inf or two are
    +inf. Not convex.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.exactly_one(np.array([[2.0, -1.0, 0.5]]), np.ones((1, 3))).round(6)
    array([1.172955])
    """
    xp, f, (m,) = prepare(logits, mask)
    s = _sums(xp, f, m)
    members = s.members
    # pivot on the largest logit: sum of the others' softplus + softplus(-top) - log1p(R)
    impossible = (s.largest == -xp.inf) | members.several
    lifted = xp.where(impossible, 0.0, members.lifted)
    others = xp.where(members.inside & ~s.top, members.f, -xp.inf)
    largest = xp.where(impossible, 0.0, s.largest)
    value = total(xp, softplus(xp, others)) + softplus(xp, -largest) - softmax(xp, lifted).excess
    value = xp.where(impossible, xp.inf, value)
    return nan_unless(xp, _exists(xp, s), value)[..., 0]


def exactly_one_gradient(logits: Array, mask: Array) -> Array:
    """Gradient of :func:`exactly_one`: ``sigmoid(f) - softmax(f)`` over the mask.

    Parameters
    ----------
    logits, mask : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        0 outside the mask; nan in the rows whose loss is nan or +inf.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.exactly_one_gradient(np.zeros((1, 4)), np.ones((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    xp, f, (m,) = prepare(logits, mask)
    s = _sums(xp, f, m)
    proba, exists = _given_one(xp, s)
    # sigmoid(f) (E' - 1) / E, E' without the tag itself; sigmoid(f) / E = p sigmoid(-f)
    large = s.largest >= 0
    scale = xp.where(
        large,
        sigmoid(xp, s.members.f) / xp.where(large, s.mass, 1.0),
        proba * sigmoid(xp, -s.members.f),
    )
    return nan_unless(xp, exists, _kept(xp, s.members, scale * (s.without - s.one)))


def _given_one(xp: Any, s: _Sums) -> tuple[Array, Array]:
    """Return the softmax over the mask, and where "exactly one" has a gradient."""
    exists = _exists(xp, s) & (s.largest > -xp.inf) & ~s.members.several
    parts = softmax(xp, xp.where(exists, s.members.lifted, 0.0))
    return _kept(xp, s.members, parts.proba), exists


def exactly_one_hvp(logits: Array, mask: Array, vectors: Array) -> Array:
    """Hessian of :func:`exactly_one` times a vector: ``sigma sigma' v - (diag p - p p') v``.

    Parameters
    ----------
    logits, mask, vectors : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose gradient is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.exactly_one_hvp(np.zeros((1, 2)), np.ones((1, 2)), np.array([[1.0, 0.0]]))
    array([[0.  , 0.25]])
    """
    xp, f, (m, v) = prepare(logits, mask, vectors)
    s = _sums(xp, f, m)
    proba, exists = _given_one(xp, s)
    v = _kept(xp, s.members, xp.astype(v, f.dtype))
    independent = sigmoid(xp, s.members.f) * sigmoid(xp, -s.members.f) * v
    return nan_unless(xp, exists, independent - covariance_times(xp, proba, s.top, v))


def at_most_one(logits: Array, mask: Array) -> Array:
    """Minus the log of the probability that none or one of the tags applies.

    ``sum_k softplus(f_k) - log(1 + sum_k exp(f_k))`` over the tags of the mask.

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)
    mask : array of shape (n_samples, n_classes)
        1 or True for the tags in question, 0 or False for the others. An empty mask costs 0.

    Returns
    -------
    array of shape (n_samples,)
        nan for a mask entry that is neither 0 nor 1, and a nan logit.

    Notes
    -----
    **Domain.** Finite for all finite logits; +inf if two logits of the mask are +inf. Not convex.
    Computed as ``sum_k log1p(e_k E_k / (1 + E_k + e_k))``, ``E_k`` the sum of the e before k, which
    keeps its digits when all tags are unlikely.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_most_one(np.array([[0.0, 0.0], [-20.0, -20.0]]), np.ones((2, 2)))
    array([2.87682072e-01, 4.24835424e-18])
    """
    xp, f, (m,) = prepare(logits, mask)
    s = _sums(xp, f, m)
    # The largest comes first; the others follow in their order.
    e = xp.where(s.top, 0.0, s.e)
    before = s.first + (xp.cumulative_sum(e, axis=-1) - e)
    ratio = before / (s.one + before + e)
    logit = xp.where(s.members.inside & ~s.top & ~s.members.several, s.members.f, -xp.inf)
    likely = logit > 0
    ratio = xp.where(likely | (logit > -xp.inf), ratio, 1.0)
    steep = xp.where(likely, logit, 0.0) + xp.log(xp.where(likely, ratio, 1.0))
    small = xp.log1p(xp.exp(xp.where(likely, 0.0, logit)) * ratio)
    value = total(xp, xp.where(likely, softplus(xp, steep), small))
    value = xp.where(s.members.several, xp.inf, value)
    return nan_unless(xp, s.members.valid, value)[..., 0]


def at_most_one_gradient(logits: Array, mask: Array) -> Array:
    """Gradient of :func:`at_most_one`: ``sigmoid(f_k) E_k / (1 + E)``, ``E_k`` without tag k.

    Parameters
    ----------
    logits, mask : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        0 outside the mask; nan in the rows whose loss is nan or +inf.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_most_one_gradient(np.zeros((1, 3)), np.ones((1, 3)))
    array([[0.25, 0.25, 0.25]])
    """
    xp, f, (m,) = prepare(logits, mask)
    s = _sums(xp, f, m)
    return _at_most_one_slope(xp, s)


def _at_most_one_slope(xp: Any, s: _Sums) -> Array:
    slope = sigmoid(xp, s.members.f) * (s.without / (s.one + s.mass))
    return nan_unless(xp, s.members.valid & ~s.members.several, _kept(xp, s.members, slope))


def at_most_one_hvp(logits: Array, mask: Array, vectors: Array) -> Array:
    """Hessian of :func:`at_most_one` times a vector, row by row.

    ``g (sigmoid(-f) - p) v + p (p'v - p v)`` with g the gradient and ``p = e / (1 + E)``.

    Parameters
    ----------
    logits, mask, vectors : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose gradient is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.at_most_one_hvp(np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2))).round(6)
    array([[0.138889, 0.138889]])
    """
    xp, f, (m, v) = prepare(logits, mask, vectors)
    s = _sums(xp, f, m)
    v = _kept(xp, s.members, xp.astype(v, f.dtype))
    p = s.e / (s.one + s.mass)
    own = _at_most_one_slope(xp, s) * (sigmoid(xp, -s.members.f) - p) * v
    return own + p * (total(xp, p * v) - p * v)
