"""Several classes can be true: a sigmoid each, with unknown entries, and the softmax reductions.

Targets hold 1 for a tag that applies, 0 for one that does not, a fraction for a probability, nan
for unknown. The reductions of Menon et al. (2019) differ in what their scores estimate: P(y_k) for
one-vs-all, P(y_k) / sum_j P(y_j) for "pick all labels", E[y_k / |y|] for the normalised ones.

References
----------
A. K. Menon, A. S. Rawat, S. Reddi, S. Kumar. Multilabel reductions: what is my loss optimising?
NeurIPS 2019. https://papers.nips.cc/paper/9245
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eitheror.losses._arrays import (
    Array,
    Softmax,
    check_smoothing,
    is_first_largest,
    log_loss,
    log_loss_gradient,
    log_loss_hvp,
    nan_unless,
    prepare,
    sigmoid,
    softmax,
    softplus,
    spread,
    sum_without,
    total,
    widen,
)


class _Tags(NamedTuple):
    """Multilabel targets in their own precision: ``tags`` t and ``absent`` 1 - t, 0 where unknown.

    ``known`` marks the entries that count; ``valid`` has shape ``(n, 1)``.
    """

    tags: Array
    absent: Array
    known: Array
    valid: Array


def _read(xp: Any, targets: Array, *, normalise: bool) -> _Tags:
    t = widen(xp, targets)
    unknown = xp.isnan(t)
    in_range = (t >= 0) & (t <= 1)
    valid = xp.all(in_range | unknown, axis=-1, keepdims=True)
    tags = xp.where(in_range, t, 0.0)
    absent = xp.where(in_range, 1.0 - tags, 0.0)
    if normalise:
        others = sum_without(xp, tags, is_first_largest(xp, tags))
        mass = total(xp, tags)
        named = mass > 0
        mass = xp.where(named, mass, xp.ones_like(mass))
        tags = tags / mass
        absent = xp.where(named, xp.where(in_range, others / mass, 0.0), absent)
    return _Tags(tags, absent, in_range, valid)


class Sigmoids(NamedTuple):
    """Logits with nan rows replaced, and the parts of the targets for and against each tag."""

    f: Array
    yes: Array
    no: Array
    valid: Array


def sigmoids(
    xp: Any, logits: Array, targets: Array, label_smoothing: float, *, normalise: bool = False
) -> Sigmoids:
    """Take a batch of logits and targets apart."""
    smoothing = check_smoothing(label_smoothing)
    read = _read(xp, targets, normalise=normalise)
    usable = xp.all(~xp.isnan(logits), axis=-1, keepdims=True)
    f = xp.where(usable, logits, 0.0)
    yes, no = read.tags, read.absent
    if smoothing:
        half = xp.where(read.known, xp.full_like(yes, 0.5 * smoothing), 0.0)
        yes = (1.0 - smoothing) * yes + half
        no = (1.0 - smoothing) * no + half
    return Sigmoids(f, xp.astype(yes, f.dtype), xp.astype(no, f.dtype), read.valid & usable)


def binary(xp: Any, s: Sigmoids) -> Array:
    """Return the binary cross-entropy of each row."""
    # t softplus(-f) + (1 - t) softplus(f): no part is negative, so no digits cancel
    parts = s.yes * softplus(xp, xp.where(s.yes > 0, -s.f, 0.0))
    parts = parts + s.no * softplus(xp, xp.where(s.no > 0, s.f, 0.0))
    return nan_unless(xp, s.valid, total(xp, parts))[..., 0]


def binary_gradient(xp: Any, s: Sigmoids) -> Array:
    """Return the gradient of each row's binary cross-entropy."""
    return nan_unless(xp, s.valid, s.no * sigmoid(xp, s.f) - s.yes * sigmoid(xp, -s.f))


def _binary_hvp(xp: Any, s: Sigmoids, vectors: Array) -> Array:
    curvature = (s.yes + s.no) * sigmoid(xp, s.f) * sigmoid(xp, -s.f)
    return nan_unless(xp, s.valid, curvature * xp.astype(vectors, s.f.dtype))


def partial_sigmoid_binary_cross_entropy(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Binary cross-entropy of each tag, added over the tags that are known.

    ``sum_k softplus(f_k) - t_k f_k`` over the entries that are not nan: one-vs-all. Its sigmoid
    estimates the probability P(y_k = 1) of each tag.

    Parameters
    ----------
    logits : array of shape (n_samples, n_classes)
        Any array-API library; any number of leading dimensions.
    targets : array of shape (n_samples, n_classes)
        1 applies, 0 does not, a fraction is a probability, nan is unknown and costs nothing.
    label_smoothing : float, default 0
        With ``e``, a known entry ``t`` counts as ``(1 - e) t + e / 2``.

    Returns
    -------
    array of shape (n_samples,)
        In the precision of the logits, float32 for 16-bit logits. nan for a row with an entry
        outside [0, 1] or a nan logit.

    See Also
    --------
    at_least_one : for "one of these tags applies".
    pick_all_labels : the softmax reduction.

    Notes
    -----
    **Domain.** Finite for all finite logits, convex in them. +inf where a logit of -inf meets a tag
    that applies, or +inf one that does not.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> targets = np.array([[1.0, 0.0, np.nan]])
    >>> losses.partial_sigmoid_binary_cross_entropy(np.zeros((1, 3)), targets).round(6)
    array([1.386294])
    """
    xp, f, (t,) = prepare(logits, targets)
    return binary(xp, sigmoids(xp, f, t, label_smoothing))


def partial_sigmoid_binary_cross_entropy_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`partial_sigmoid_binary_cross_entropy`: ``sigmoid(f) - t``, 0 if unknown.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose loss is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> targets = np.array([[1.0, 0.0, np.nan]])
    >>> losses.partial_sigmoid_binary_cross_entropy_gradient(np.zeros((1, 3)), targets)
    array([[-0.5,  0.5,  0. ]])
    """
    xp, f, (t,) = prepare(logits, targets)
    return binary_gradient(xp, sigmoids(xp, f, t, label_smoothing))


def partial_sigmoid_binary_cross_entropy_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`partial_sigmoid_binary_cross_entropy` times a vector: ``sigma sigma' v``.

    Parameters
    ----------
    logits, targets, vectors : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples, n_classes)
        nan in the rows whose loss is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> targets = np.array([[1.0, np.nan]])
    >>> losses.partial_sigmoid_binary_cross_entropy_hvp(np.zeros((1, 2)), targets, np.ones((1, 2)))
    array([[0.25, 0.  ]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    return _binary_hvp(xp, sigmoids(xp, f, t, label_smoothing), v)


def one_vs_all_normalised(logits: Array, targets: Array, *, label_smoothing: float = 0.0) -> Array:
    """Binary cross-entropy with the targets divided by the number of tags that apply.

    As :func:`partial_sigmoid_binary_cross_entropy` with ``t_k / sum_j t_j`` over the known tags;
    its sigmoid estimates E[y_k / abs(y)], which orders the tags for recall at k.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples,)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.one_vs_all_normalised(np.array([[2.0, 0.0]]), np.array([[1.0, 1.0]])).round(6)
    array([1.820075])
    """
    xp, f, (t,) = prepare(logits, targets)
    return binary(xp, sigmoids(xp, f, t, label_smoothing, normalise=True))


def one_vs_all_normalised_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`one_vs_all_normalised`: ``sigmoid(f) - t / sum(t)``, 0 if unknown.

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
    >>> losses.one_vs_all_normalised_gradient(np.zeros((1, 3)), np.array([[1.0, 1.0, 0.0]]))
    array([[0. , 0. , 0.5]])
    """
    xp, f, (t,) = prepare(logits, targets)
    return binary_gradient(xp, sigmoids(xp, f, t, label_smoothing, normalise=True))


def one_vs_all_normalised_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`one_vs_all_normalised` times a vector, row by row.

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
    >>> targets = np.array([[1.0, 1.0]])
    >>> losses.one_vs_all_normalised_hvp(np.zeros((1, 2)), targets, np.ones((1, 2)))
    array([[0.25, 0.25]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    return _binary_hvp(xp, sigmoids(xp, f, t, label_smoothing, normalise=True), v)


class _Picks(NamedTuple):
    """The softmax, and the amount of log loss that each tag is charged."""

    parts: Softmax
    amounts: Array
    valid: Array


def _picks(
    xp: Any, logits: Array, targets: Array, label_smoothing: float, *, normalise: bool = False
) -> _Picks:
    smoothing = check_smoothing(label_smoothing)
    read = _read(xp, targets, normalise=normalise)
    parts = softmax(xp, logits)
    amounts = xp.astype(read.tags, logits.dtype)
    if smoothing:
        mass = total(xp, amounts)
        amounts = (1.0 - smoothing) * amounts + smoothing * spread(xp, parts, mass)
    return _Picks(parts, amounts, read.valid & parts.valid)


def pick_all_labels(logits: Array, targets: Array, *, label_smoothing: float = 0.0) -> Array:
    """Softmax cross-entropy added over all tags that apply: ``sum_k t_k (-log p_k)``.

    The softmax estimates P(y_k) / sum_j P(y_j), shares and not marginals. Tags that are absent or
    unknown are not named; a row that names none costs 0 and teaches nothing.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_sigmoid_binary_cross_entropy`.
    label_smoothing : float, default 0
        With ``e``, the share ``e`` of the row's tags is spread over all classes.

    Returns
    -------
    array of shape (n_samples,)

    See Also
    --------
    pick_all_labels_normalised : the mean over the tags instead of their sum.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.pick_all_labels(np.zeros((1, 4)), np.array([[1.0, 1.0, 0.0, np.nan]])).round(6)
    array([2.772589])
    """
    xp, f, (t,) = prepare(logits, targets)
    picks = _picks(xp, f, t, label_smoothing)
    return nan_unless(xp, picks.valid, log_loss(xp, picks.parts, picks.amounts))[..., 0]


def pick_all_labels_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`pick_all_labels`: ``sum(t) p - t``.

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
    >>> losses.pick_all_labels_gradient(np.zeros((1, 4)), np.array([[1.0, 1.0, 0.0, 0.0]]))
    array([[-0.5, -0.5,  0.5,  0.5]])
    """
    xp, f, (t,) = prepare(logits, targets)
    picks = _picks(xp, f, t, label_smoothing)
    return nan_unless(xp, picks.valid, log_loss_gradient(xp, picks.parts, picks.amounts))


def pick_all_labels_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`pick_all_labels` times a vector: ``sum(t) (diag p - p p') v``.

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
    >>> losses.pick_all_labels_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[ 0.5, -0.5]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    picks = _picks(xp, f, t, label_smoothing)
    product = log_loss_hvp(xp, picks.parts, picks.amounts, xp.astype(v, f.dtype))
    return nan_unless(xp, picks.valid, product)


def pick_all_labels_normalised(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Softmax cross-entropy, the mean over the tags that apply.

    ``sum_k t_k (-log p_k) / sum_k t_k``. It is also the expectation of "pick one label", the loss
    of a tag drawn anew at each visit (fastText's softmax on rows with several labels). The softmax
    estimates E[y_k / abs(y)], so "A and B" and "A or B, each half the time" look the same to it.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_sigmoid_binary_cross_entropy`.
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples,)

    See Also
    --------
    draw_one_label : the sample whose expectation this is.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> targets = np.array([[1.0, 1.0, 0.0, 0.0]])
    >>> losses.pick_all_labels_normalised(np.zeros((1, 4)), targets).round(6)
    array([1.386294])
    """
    xp, f, (t,) = prepare(logits, targets)
    picks = _picks(xp, f, t, label_smoothing, normalise=True)
    return nan_unless(xp, picks.valid, log_loss(xp, picks.parts, picks.amounts))[..., 0]


def pick_all_labels_normalised_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`pick_all_labels_normalised`: ``p - t / sum(t)``.

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
    >>> targets = np.array([[1.0, 1.0, 0.0, 0.0]])
    >>> losses.pick_all_labels_normalised_gradient(np.zeros((1, 4)), targets)
    array([[-0.25, -0.25,  0.25,  0.25]])
    """
    xp, f, (t,) = prepare(logits, targets)
    picks = _picks(xp, f, t, label_smoothing, normalise=True)
    return nan_unless(xp, picks.valid, log_loss_gradient(xp, picks.parts, picks.amounts))


def pick_all_labels_normalised_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`pick_all_labels_normalised` times a vector: ``(diag p - p p') v``.

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
    >>> losses.pick_all_labels_normalised_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[ 0.25, -0.25]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    picks = _picks(xp, f, t, label_smoothing, normalise=True)
    product = log_loss_hvp(xp, picks.parts, picks.amounts, xp.astype(v, f.dtype))
    return nan_unless(xp, picks.valid, product)
