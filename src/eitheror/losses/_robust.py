"""Losses of a statement's probability other than minus its log: some bounded, some robust.

With ``P = sum_k w_k p_k``, what the model gives to the statement, each is ``psi(-log P)`` for one
increasing function psi: ``1 - P``, ``(1 - P^q) / q``, ``exp(1 - P)``. So value, gradient and
Hessian are those of the likelihood, bent by psi' and psi''. All of them give rows that the model
contradicts less weight: good where some statements are wrong, and slow where the model is.

Shares ``t`` cost the mean loss of one class drawn by them, ``sum_k t_k psi(-log p_k)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from eitheror.losses._arrays import (
    Array,
    Softmax,
    check_smoothing,
    covariance_times,
    is_first_largest,
    log_loss_gradient,
    log_loss_hvp,
    nan_unless,
    prepare,
    softmax,
    spread,
    total,
)
from eitheror.losses._multiclass import Evidence, evidence, read_targets


class _Bent(NamedTuple):
    """psi, its first and its second derivative by ``-log P``."""

    value: Array
    first: Array
    second: Array


# (library, -log P, P, 1 - P) -> psi and its derivatives
_Shape = Callable[[Any, Array, Array, Array], _Bent]


def _one_minus(xp: Any, loss: Array, right: Array, wrong: Array) -> _Bent:
    return _Bent(wrong, right, -right)


def _exponential(xp: Any, loss: Array, right: Array, wrong: Array) -> _Bent:
    e = xp.exp(wrong)
    return _Bent(e, e * right, -e * right * wrong)


def _box_cox(q: float) -> _Shape:
    if not 0 < q <= 1:
        raise ValueError(
            f"q is {q}; expected 0 < q <= 1 (towards 0 the loss is -log P, at 1 it is 1 - P)"
        )

    def shape(xp: Any, loss: Array, right: Array, wrong: Array) -> _Bent:
        power = xp.exp(-q * loss)
        return _Bent(-xp.expm1(-q * loss) / q, power, -q * power)

    return shape


class _Row(NamedTuple):
    """What value, gradient and Hessian-vector product of a batch have in common.

    ``whole`` is psi at the statement, ``(n, 1)``, and counts ``keep`` times (0 where the row is no
    evidence); ``single`` is psi at each class alone, and counts ``amounts`` times.
    """

    evidence: Evidence
    whole: _Bent
    keep: Array
    parts: Softmax
    single: _Bent
    amounts: Array
    valid: Array


def _row(xp: Any, f: Array, targets: Array, shape: _Shape, label_smoothing: float) -> _Row:
    smoothing = check_smoothing(label_smoothing)
    reading = read_targets(xp, targets, f.dtype)
    parts = softmax(xp, f)
    e = evidence(xp, xp.where(parts.valid, f, 0.0), reading.weights, reading.against)
    says = reading.is_evidence & reading.speaks
    amounts = reading.shares
    if smoothing:
        amounts = (1.0 - smoothing) * amounts + smoothing * spread(xp, parts, reading.speaks)
    return _Row(
        e,
        shape(xp, e.value, e.flat, e.slope),
        (1.0 - smoothing) * xp.astype(says, f.dtype),
        parts,
        shape(xp, parts.gap + parts.excess, parts.proba, parts.others),
        amounts,
        reading.valid & parts.valid,
    )


def _value(logits: Array, targets: Array, shape: _Shape, label_smoothing: float) -> Array:
    xp, f, (t,) = prepare(logits, targets)
    row = _row(xp, f, t, shape, label_smoothing)
    value = row.keep * row.whole.value + total(xp, row.amounts * row.single.value)
    return nan_unless(xp, row.valid, value)[..., 0]


def _gradient(logits: Array, targets: Array, shape: _Shape, label_smoothing: float) -> Array:
    xp, f, (t,) = prepare(logits, targets)
    row = _row(xp, f, t, shape, label_smoothing)
    e = row.evidence
    gradient = row.keep * row.whole.first * e.slope * (e.against - e.allowed)
    gradient = gradient + log_loss_gradient(xp, row.parts, row.amounts * row.single.first)
    return nan_unless(xp, row.valid, gradient)


def _hvp(
    logits: Array, targets: Array, vectors: Array, shape: _Shape, label_smoothing: float
) -> Array:
    xp, f, (t, v) = prepare(logits, targets, vectors)
    v = xp.astype(v, f.dtype)
    row = _row(xp, f, t, shape, label_smoothing)
    e, whole = row.evidence, row.whole
    # psi' times the Hessian of -log P, plus psi'' times its gradient, twice
    g = e.against - e.allowed
    product = (
        covariance_times(xp, e.against, is_first_largest(xp, e.against), v)
        - covariance_times(xp, e.allowed, is_first_largest(xp, e.allowed), v)
    ) * whole.first
    product = product + (whole.first * e.flat + whole.second * e.slope) * g * total(xp, g * v)
    product = row.keep * e.slope * product
    # the same for each class alone: gradient p - e_k, Hessian diag p - p p'
    p, top = row.parts.proba, row.parts.top
    product = product + log_loss_hvp(xp, row.parts, row.amounts * row.single.first, v)
    centred = v - total(xp, xp.where(top, v, 0.0))
    pull = row.amounts * row.single.second * (total(xp, p * centred) - centred)
    product = product + total(xp, pull) * p - pull
    return nan_unless(xp, row.valid, product)


def set_mean_absolute_error(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """One minus the probability of the statement: ``1 - sum_k w_k p_k``.

    Between 0 and 1 whatever the statement says, so a wrong one cannot pull far. Its gradient is
    that of :func:`partial_softmax_cross_entropy` times the statement's probability: a row that the
    model finds nearly impossible teaches almost nothing, and a model that starts wrong stays wrong.
    That is part of the loss and not of its computation.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. A row of ones costs 0; shares cost
        ``1 - sum_k t_k p_k``.
    label_smoothing : float, default 0
        With ``e``, rows that say something cost ``(1 - e) loss + e mean_k(1 - p_k)``.

    Returns
    -------
    array of shape (n_samples,)
        nan for a row that is no statement, and where no softmax exists.

    See Also
    --------
    generalised_cross_entropy : between this loss and the likelihood.

    Notes
    -----
    **Domain.** In [0, 1], 1 where the statement allows only logits of -inf. Not convex. The
    minimiser puts everything on one class, the one that most statements allow; the scores are no
    probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> first_or_last = np.array([[1.0, 0.0, 0.0, 1.0]])
    >>> losses.set_mean_absolute_error(np.zeros((1, 4)), first_or_last)
    array([0.5])
    >>> losses.set_mean_absolute_error(np.array([[0.0, 1e4, 0.0, 0.0]]), first_or_last)
    array([1.])
    """
    return _value(logits, targets, _one_minus, label_smoothing)


def set_mean_absolute_error_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`set_mean_absolute_error`: ``P (1 - P) (r - q)``.

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
    >>> losses.set_mean_absolute_error_gradient(np.zeros((1, 4)), np.array([[1.0, 0, 0, 1]]))
    array([[-0.125,  0.125,  0.125, -0.125]])
    """
    return _gradient(logits, targets, _one_minus, label_smoothing)


def set_mean_absolute_error_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`set_mean_absolute_error` times a vector, row by row.

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
    >>> losses.set_mean_absolute_error_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[0., 0.]])
    """
    return _hvp(logits, targets, vectors, _one_minus, label_smoothing)


def generalised_cross_entropy(
    logits: Array, targets: Array, *, q: float = 0.7, label_smoothing: float = 0.0
) -> Array:
    """``(1 - P^q) / q`` of the statement's probability P: between the likelihood and ``1 - P``.

    For exact labels the loss of Zhang and Sabuncu (Generalized cross entropy loss for training
    deep neural networks with noisy labels, NeurIPS 2018), here for every statement. Its gradient is
    that of :func:`partial_softmax_cross_entropy` times ``P^q``.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. A row of ones costs 0; shares cost
        ``sum_k t_k (1 - p_k^q) / q``.
    q : float, default 0.7
        Above 0, at most 1. Towards 0 the loss is the likelihood, at 1 it is
        :func:`set_mean_absolute_error`.
    label_smoothing : float, default 0
        With ``e``, rows that say something cost ``(1 - e) loss + e mean_k((1 - p_k^q) / q)``.

    Returns
    -------
    array of shape (n_samples,)
        nan for a row that is no statement, and where no softmax exists.

    Notes
    -----
    **Domain.** In [0, 1 / q]. Not convex. The minimiser of exact labels is proportional to
    ``P(class)^(1 / (1 - q))``: the order is kept and the scores are too sure.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> first_or_last = np.array([[1.0, 0.0, 0.0, 1.0]])
    >>> losses.generalised_cross_entropy(np.zeros((1, 4)), first_or_last).round(6)
    array([0.549183])
    """
    return _value(logits, targets, _box_cox(q), label_smoothing)


def generalised_cross_entropy_gradient(
    logits: Array, targets: Array, *, q: float = 0.7, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`generalised_cross_entropy`: ``P^q (1 - P) (r - q)``.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
    q : float, default 0.7
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.generalised_cross_entropy_gradient(
    ...     np.zeros((1, 4)), np.array([[1.0, 0, 0, 1]]), q=1.0
    ... )
    array([[-0.125,  0.125,  0.125, -0.125]])
    """
    return _gradient(logits, targets, _box_cox(q), label_smoothing)


def generalised_cross_entropy_hvp(
    logits: Array, targets: Array, vectors: Array, *, q: float = 0.7, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`generalised_cross_entropy` times a vector, row by row.

    Parameters
    ----------
    logits, targets, vectors : arrays of shape (n_samples, n_classes)
    q : float, default 0.7
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.generalised_cross_entropy_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... ).round(4)
    array([[ 0.0462, -0.0462]])
    """
    return _hvp(logits, targets, vectors, _box_cox(q), label_smoothing)


def scl_exp(logits: Array, targets: Array, *, label_smoothing: float = 0.0) -> Array:
    """``exp(1 - P)``, the exponential of the probability that the model gives to what is ruled out.

    SCL-EXP of Chou, Niu, Lin, Sugiyama (Unbiased risk estimators can mislead: a case study of
    learning with complementary labels, ICML 2020), here for every statement. Its gradient is that
    of :func:`set_mean_absolute_error` times a number between 1 and e.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. Shares cost
        ``sum_k t_k exp(1 - p_k)``.
    label_smoothing : float, default 0
        With ``e``, rows that say something cost ``(1 - e) loss + e mean_k(exp(1 - p_k))``.

    Returns
    -------
    array of shape (n_samples,)
        nan for a row that is no statement, and where no softmax exists.

    Notes
    -----
    **Domain.** In [1, e] as published, so a row that the model fits perfectly costs 1; a row of
    ones says nothing and costs 0. Not convex. The minimiser keeps the order of the classes and is
    not calibrated.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.scl_exp(np.zeros((1, 4)), np.array([[0.0, 1, 1, 1]])).round(6)
    array([1.284025])
    """
    return _value(logits, targets, _exponential, label_smoothing)


def scl_exp_gradient(logits: Array, targets: Array, *, label_smoothing: float = 0.0) -> Array:
    """Gradient of :func:`scl_exp`: ``exp(1 - P) P (1 - P) (r - q)``.

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
    >>> losses.scl_exp_gradient(np.zeros((1, 4)), np.array([[0.0, 1, 1, 1]])).round(4)
    array([[ 0.2408, -0.0803, -0.0803, -0.0803]])
    """
    return _gradient(logits, targets, _exponential, label_smoothing)


def scl_exp_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`scl_exp` times a vector, row by row.

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
    >>> losses.scl_exp_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... ).round(4)
    array([[ 0.103, -0.103]])
    """
    return _hvp(logits, targets, vectors, _exponential, label_smoothing)
