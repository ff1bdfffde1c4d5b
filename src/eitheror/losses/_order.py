"""The order-preserving loss: cross-entropy of the ruled-out classes under ``softmax(-f)``.

Convex, which no likelihood of a set is. It learns how often each class is ruled out, and the
classes in the order of how seldom that happens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eitheror.losses._arrays import (
    Array,
    Softmax,
    check_smoothing,
    log_loss,
    log_loss_gradient,
    log_loss_hvp,
    nan_unless,
    prepare,
    softmax,
    total,
)
from eitheror.losses._multiclass import read_targets


class _Exclusions(NamedTuple):
    """``softmax(-f)``, and how much each class is ruled out."""

    parts: Softmax
    amounts: Array
    valid: Array


def _exclusions(xp: Any, f: Array, targets: Array, label_smoothing: float) -> _Exclusions:
    smoothing = check_smoothing(label_smoothing)
    reading, parts = read_targets(xp, targets, f.dtype), softmax(xp, -f)
    # shares t: class k is ruled out with probability 1 - t_k (t may miss its sum by rounding)
    missing = xp.where(reading.shares < 1, 1.0 - reading.shares, 0.0)
    amounts = xp.where(reading.is_evidence, reading.against, missing)
    if smoothing:
        even = 1.0 - 1.0 / f.shape[-1]
        amounts = (1.0 - smoothing) * amounts + smoothing * even
        amounts = xp.where(reading.speaks, amounts, 0.0)
    return _Exclusions(parts, amounts, reading.valid & parts.valid)


def order_preserving(logits: Array, targets: Array, *, label_smoothing: float = 0.0) -> Array:
    """Cross-entropy of what is ruled out: ``lse(-f) + f_l`` for "not l", added over the classes.

    ``sum_k (1 - w_k) (lse(-f) + f_k)`` for evidence w; the loss of Liu, Cao, Zhang (Consistent
    complementary-label learning via order-preserving losses, AISTATS 2023) where one class is ruled
    out. It is convex, so there is one minimum and the start does not matter.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. An exact label rules out every other
        class; shares t rule class k out to the amount ``1 - t_k``; a row of ones costs 0.
    label_smoothing : float, default 0
        With ``e``, each class is ruled out to the amount ``(1 - e) (1 - w_k) + e (1 - 1 / K)``.

    Returns
    -------
    array of shape (n_samples,)
        nan for a row that is no statement, and where ``softmax(-logits)`` does not exist.

    See Also
    --------
    order_preserving_proba : what the logits say about the classes.

    Notes
    -----
    **Domain.** Finite and not negative for finite logits. A logit of -inf is no class that cannot
    be, as for the other losses, but one that is always ruled out. At the minimum
    ``softmax(-logits)`` is P(class is ruled out), divided by its sum, so the order of the logits is
    that of the classes wherever each wrong class is ruled out equally often.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.order_preserving(np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1, 1]])).round(6)
    array([1.861995])
    """
    xp, f, (t,) = prepare(logits, targets)
    out = _exclusions(xp, f, t, label_smoothing)
    return nan_unless(xp, out.valid, log_loss(xp, out.parts, out.amounts))[..., 0]


def order_preserving_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`order_preserving`: ``u - sum(u) softmax(-f)``, ``u = 1 - w``.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.order_preserving_gradient(np.zeros((1, 4)), np.array([[0.0, 1, 1, 1]]))
    array([[ 0.75, -0.25, -0.25, -0.25]])
    """
    xp, f, (t,) = prepare(logits, targets)
    out = _exclusions(xp, f, t, label_smoothing)
    return nan_unless(xp, out.valid, -log_loss_gradient(xp, out.parts, out.amounts))


def order_preserving_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`order_preserving` times a vector: ``sum(u) (diag s - s s') v``.

    Parameters
    ----------
    logits, targets, vectors : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.order_preserving_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[ 0.25, -0.25]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    out = _exclusions(xp, f, t, label_smoothing)
    product = log_loss_hvp(xp, out.parts, out.amounts, xp.astype(v, f.dtype))
    return nan_unless(xp, out.valid, product)


def order_preserving_proba(logits: Array) -> Array:
    """Class probabilities from logits of :func:`order_preserving`: ``1 - (K - 1) softmax(-f)``.

    Right at the minimum where each wrong class is ruled out equally often (uniform complementary
    labels, sets drawn by their size alone, exact labels). What comes out below 0, as it does away
    from the minimum, is set to 0 and the row is scaled to 1.

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> ruled_out = (1 - np.array([[0.5, 0.3, 0.2]])) / 2
    >>> losses.order_preserving_proba(-np.log(ruled_out)).round(6)
    array([[0.5, 0.3, 0.2]])
    """
    xp, f, _ = prepare(logits)
    parts = softmax(xp, -f)
    proba = 1.0 - (f.shape[-1] - 1.0) * parts.proba
    proba = xp.where(proba > 0, proba, 0.0)
    return nan_unless(xp, parts.valid, proba / total(xp, proba))
