"""One class is true: the loss of evidence (sets, complements, trust) and of shares.

A row of targets is read by SEMANTICS: *evidence* if its largest entry is exactly 1, else *shares*
if it adds to 1, else it is no statement and its loss is nan. Both readings are computed for every
row, with the other rows' targets replaced by ones that say nothing, and added.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eitheror.losses._arrays import (
    Array,
    Softmax,
    check_smoothing,
    covariance_times,
    is_16_bit,
    is_first_largest,
    log_loss,
    log_loss_gradient,
    log_loss_hvp,
    nan_unless,
    prepare,
    softmax,
    spread,
    total,
    widen,
)


class Readings(NamedTuple):
    """Rows of multiclass targets as the statements they are.

    ``weights`` and ``against`` are w and 1 - w of evidence rows (1 and 0 elsewhere), ``shares`` the
    shares of the other rows (0 elsewhere), all ``(n, K)``. Of shape ``(n, 1)``: ``is_evidence``;
    ``valid``, the row is a statement; ``speaks``, it says something.
    """

    weights: Array
    against: Array
    shares: Array
    is_evidence: Array
    valid: Array
    speaks: Array


def read_targets(xp: Any, targets: Array, dtype: Any) -> Readings:
    """Tell evidence from shares, in the precision in which the targets are given."""
    tolerance = 1e-2 if is_16_bit(targets) else 1e-6
    t = widen(xp, targets)
    in_range = (t >= 0) & (t <= 2)  # an entry above 2 can be neither; nan is outside as well
    t = xp.where(in_range, t, 0.0)
    in_range = xp.all(in_range, axis=-1, keepdims=True)
    evidence = in_range & (xp.max(t, axis=-1, keepdims=True) == 1)
    shares = in_range & ~evidence & (xp.abs(total(xp, t) - 1) <= tolerance)
    weights = xp.where(evidence, t, 1.0)
    return Readings(
        xp.astype(weights, dtype),
        xp.astype(1.0 - weights, dtype),
        xp.astype(xp.where(shares, t, 0.0), dtype),
        evidence,
        evidence | shares,
        shares | xp.any(weights != 1, axis=-1, keepdims=True),
    )


class _Side(NamedTuple):
    """A weighted log-sum-exp over some classes: ``top + log(mass)``, with its softmax ``share``."""

    top: Array
    mass: Array
    share: Array
    empty: Array
    certain: Array


def _side(xp: Any, f: Array, weights: Array) -> _Side:
    member = (weights > 0) & (f > -xp.inf)
    top = xp.max(xp.where(member, f, -xp.inf), axis=-1, keepdims=True)
    certain = top == xp.inf
    member = member & (~certain | (f == xp.inf))
    finite_top = xp.where(xp.isfinite(top), top, 0.0)
    finite = xp.where(xp.isfinite(f), f, 0.0)
    terms = xp.where(member, weights * xp.exp(xp.where(member, finite - finite_top, 0.0)), 0.0)
    mass = total(xp, terms)
    empty = mass == 0
    mass = xp.where(empty, 1.0, mass)
    return _Side(finite_top, mass, terms / mass, empty, certain)


class Evidence(NamedTuple):
    """The pieces of the evidence loss: value, sigma(d), sigma(-d), and the softmax of each side."""

    value: Array
    slope: Array
    flat: Array
    against: Array
    allowed: Array
    impossible: Array


def evidence(xp: Any, f: Array, weights: Array, against: Array) -> Evidence:
    """-log sum_k w_k p_k = softplus(d), d = lse(f + log(1 - w)) - lse(f + log w)."""
    no, yes = _side(xp, f, against), _side(xp, f, weights)
    # Each side is shifted by its own largest logit; their difference comes last, with the digits
    # it rounds away (which matter to e^d in float32).
    shift = no.top - yes.top
    back = shift - no.top
    lost = (no.top - (shift - back)) - (yes.top + back)
    masses = xp.log(no.mass) - xp.log(yes.mass)
    d = shift + masses + lost
    surely = no.empty | (yes.certain & ~no.certain)
    never = yes.empty | (no.certain & ~yes.certain)
    plain = ~(surely | never)
    # e = exp(-|d|) by its factors, so that d is not rounded first; in halves, so that no factor
    # underflows before e does
    wrong = d > 0
    half = xp.exp(0.5 * xp.where(wrong, -shift, shift))
    e = (half * xp.exp(xp.where(wrong, -masses, masses))) * half
    e = xp.where(plain, e * (1.0 + xp.where(wrong, -lost, lost)), 0.0)
    value = xp.where(plain & wrong, d, 0.0) + xp.log1p(e)
    value = xp.where(surely, 0.0, xp.where(never, xp.inf, value))
    slope = xp.where(surely, 0.0, xp.where(wrong | never, 1.0, e)) / (1.0 + e)
    flat = xp.where(never, 0.0, xp.where(wrong & ~surely, e, 1.0)) / (1.0 + e)
    return Evidence(value, slope, flat, no.share, yes.share, yes.empty)


class Row(NamedTuple):
    """Everything about a batch that value, gradient and Hessian-vector product have in common."""

    xp: Any
    evidence: Evidence
    parts: Softmax
    amounts: Array
    keep: float
    valid: Array


def read_row(xp: Any, f: Array, targets: Array, label_smoothing: float) -> Row:
    """Take a batch of logits and targets apart."""
    smoothing = check_smoothing(label_smoothing)
    reading = read_targets(xp, targets, f.dtype)
    parts = softmax(xp, f)
    f = xp.where(parts.valid, f, 0.0)
    amounts = reading.shares
    if smoothing:
        amounts = (1.0 - smoothing) * amounts + smoothing * spread(xp, parts, reading.speaks)
    return Row(
        xp,
        evidence(xp, f, reading.weights, reading.against),
        parts,
        amounts,
        1.0 - smoothing,
        reading.valid & parts.valid,
    )


def row_value(row: Row) -> Array:
    """Return the loss of each row."""
    value = row.keep * row.evidence.value + log_loss(row.xp, row.parts, row.amounts)
    return nan_unless(row.xp, row.valid, value)[..., 0]


def row_gradient(row: Row) -> Array:
    """Return the gradient of each row's loss."""
    e = row.evidence
    gradient = row.keep * e.slope * (e.against - e.allowed)
    gradient = gradient + log_loss_gradient(row.xp, row.parts, row.amounts)
    return nan_unless(row.xp, row.valid & ~e.impossible, gradient)


def partial_softmax_cross_entropy(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Minus the log of the probability that the softmax gives to each row's statement.

    Evidence ``w`` (the row's largest entry is exactly 1) costs ``-log sum_k w_k p_k`` with
    ``p = softmax(logits)``; shares ``t`` (the row adds to 1) cost ``-sum_k t_k log p_k``. One class
    named exactly is both, and is the usual cross-entropy.

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)
        Any array-API library; any number of leading dimensions. -inf is a class that cannot be.
    targets : array of shape (n_samples, n_classes)
        What is known, as ``Labels.to_targets()`` gives it: 1 for a class that may be true, 0 for
        one that is ruled out, between for one in doubt; or shares. A row of ones says nothing and
        costs 0.
    label_smoothing : float, default 0
        With ``e``, rows that say something cost ``(1 - e) loss + e mean_k(-log p_k)``, the mean
        over the classes that can be.

    Returns
    -------
    array of shape (n_samples,)
        In the precision of the logits, float32 for 16-bit logits. nan for a row that is neither
        evidence nor shares, for a nan logit, and where no softmax exists (all logits -inf, two
        +inf); +inf where every class the statement allows has a logit of -inf.

    See Also
    --------
    partial_sigmoid_binary_cross_entropy : when several classes can be true at once.
    uniform_target_cross_entropy : when candidates are to be kept equally likely.

    Notes
    -----
    **Domain.** Finite for all finite logits, without clipping. Computed as ``softplus(d)``,
    ``d = lse(f + log(1 - w)) - lse(f + log w)``, each side shifted by its own largest logit. The
    loss of a set is not convex in the logits.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> logits = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> losses.partial_softmax_cross_entropy(logits, np.array([[1.0, 0, 1, 0]])).round(6)
    array([1.313262])
    >>> losses.partial_softmax_cross_entropy(logits, np.array([[1.0, 1, 1, 1]]))
    array([0.])
    """
    xp, f, (t,) = prepare(logits, targets)
    return row_value(read_row(xp, f, t, label_smoothing))


def partial_softmax_cross_entropy_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`partial_softmax_cross_entropy` with respect to the logits.

    ``sigmoid(d) (r - q)``, with q the softmax over what the statement allows and r over what it
    rules out; ``p - t`` for shares. Each row adds to 0.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)
        0 at a logit of -inf; nan in the rows whose loss is nan, and in those whose loss is infinite
        because the statement allows only logits of -inf.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> either_first_or_last = np.array([[1.0, 0.0, 0.0, 1.0]])
    >>> losses.partial_softmax_cross_entropy_gradient(np.zeros((1, 4)), either_first_or_last)
    array([[-0.25,  0.25,  0.25, -0.25]])
    """
    xp, f, (t,) = prepare(logits, targets)
    return row_gradient(read_row(xp, f, t, label_smoothing))


def partial_softmax_cross_entropy_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`partial_softmax_cross_entropy` times a vector, row by row.

    ``sigmoid(d) (R v - Q v + sigmoid(-d) (r - q) (r - q)'v)`` with ``R = diag r - r r'`` and
    ``Q = diag q - q q'``; ``(diag p - p p') v`` for shares. The Hessian of a set is indefinite.

    Parameters
    ----------
    logits, targets, vectors : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose gradient is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.partial_softmax_cross_entropy_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[ 0.25, -0.25]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    v = xp.astype(v, f.dtype)
    row = read_row(xp, f, t, label_smoothing)
    e = row.evidence
    difference = e.against - e.allowed
    product = (
        covariance_times(xp, e.against, is_first_largest(xp, e.against), v)
        - covariance_times(xp, e.allowed, is_first_largest(xp, e.allowed), v)
        + e.flat * difference * total(xp, difference * v)
    )
    product = row.keep * e.slope * product + log_loss_hvp(xp, row.parts, row.amounts, v)
    return nan_unless(xp, row.valid & ~e.impossible, product)
