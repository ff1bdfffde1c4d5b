"""What people write instead of the loss of the statement, to compare with and to explain.

The uniform target treats "A or B" as half A and half B; the random pick does so in expectation;
the negated gradient climbs the loss of a ruled-out class. `docs/losses.md` says what each does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike, NDArray

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
    spread,
    total,
)
from eitheror.losses._multiclass import read_targets


class _Charges(NamedTuple):
    """The softmax, and the amount of log loss that each class is charged."""

    parts: Softmax
    amounts: Array
    valid: Array


def _uniform(xp: Any, f: Array, targets: Array, label_smoothing: float) -> _Charges:
    smoothing = check_smoothing(label_smoothing)
    reading, parts = read_targets(xp, targets, f.dtype), softmax(xp, f)
    even = xp.where(reading.is_evidence & reading.speaks, reading.weights, 0.0)
    mass = total(xp, even)
    amounts = reading.shares + even / xp.where(mass > 0, mass, xp.ones_like(mass))
    if smoothing:
        amounts = (1.0 - smoothing) * amounts + smoothing * spread(xp, parts, reading.speaks)
    return _Charges(parts, amounts, reading.valid & parts.valid)


def uniform_target_cross_entropy(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Cross-entropy with the candidates equally likely: "A or B" becomes half A, half B.

    ``-sum_k w_k log p_k / sum_k w_k``. It is the loss of the set plus a term that forbids the model
    to prefer one candidate; the fitted probabilities tend to an average over each set, not to the
    truth. Right for items that lie in between, wrong for "I do not know which".

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. A row of ones says nothing and costs
        0; shares are used as they are.
    label_smoothing : float, default 0

    Returns
    -------
    array of shape (n_samples,)

    See Also
    --------
    partial_softmax_cross_entropy : leaves the choice between the candidates open.

    Notes
    -----
    **Domain.** Finite for all finite logits, convex in them; +inf where a candidate has a logit of
    -inf.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> logits, either = np.array([[4.0, 0, 0, 0]]), np.array([[1.0, 0, 0, 1.0]])
    >>> losses.uniform_target_cross_entropy(logits, either).round(6)
    array([2.05349])
    """
    xp, f, (t,) = prepare(logits, targets)
    charges = _uniform(xp, f, t, label_smoothing)
    return nan_unless(xp, charges.valid, log_loss(xp, charges.parts, charges.amounts))[..., 0]


def uniform_target_cross_entropy_gradient(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Gradient of :func:`uniform_target_cross_entropy`: ``p - w / sum(w)``.

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
    >>> losses.uniform_target_cross_entropy_gradient(np.zeros((1, 4)), np.array([[1.0, 0, 0, 1]]))
    array([[-0.25,  0.25,  0.25, -0.25]])
    """
    xp, f, (t,) = prepare(logits, targets)
    charges = _uniform(xp, f, t, label_smoothing)
    return nan_unless(xp, charges.valid, log_loss_gradient(xp, charges.parts, charges.amounts))


def uniform_target_cross_entropy_hvp(
    logits: Array, targets: Array, vectors: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Hessian of :func:`uniform_target_cross_entropy` times a vector: ``(diag p - p p') v``.

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
    >>> losses.uniform_target_cross_entropy_hvp(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    ... )
    array([[ 0.25, -0.25]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    charges = _uniform(xp, f, t, label_smoothing)
    product = log_loss_hvp(xp, charges.parts, charges.amounts, xp.astype(v, f.dtype))
    return nan_unless(xp, charges.valid, product)


def _negated(xp: Any, f: Array, targets: Array) -> _Charges:
    reading, parts = read_targets(xp, targets, f.dtype), softmax(xp, f)
    named = xp.sum(xp.astype(reading.weights > 0, xp.int32), axis=-1, keepdims=True)
    amounts = xp.where(named == 1, reading.weights, -reading.against)
    amounts = xp.where(reading.is_evidence, amounts, reading.shares)
    return _Charges(parts, amounts, reading.valid & parts.valid)


def negated_cross_entropy(logits: Array, targets: Array) -> Array:
    """Cross-entropy with its sign turned for ruled-out classes: ``+log p_l`` for "not l".

    The gradient is minus that of the cross-entropy of ``l``. It points where the gradient of
    ``-log(1 - p_l)`` points, with length ``1 - p_l`` instead of ``p_l``: it never stops, and the
    loss falls without bound. Here to be looked at; the trainers refuse it.

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)
        Targets as for :func:`partial_softmax_cross_entropy`. A row that names one class costs its
        cross-entropy, any other evidence ``sum_k (1 - w_k) log p_k``, shares their cross-entropy.

    Returns
    -------
    array of shape (n_samples,)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> not_first = np.array([[0.0, 1, 1, 1]])
    >>> losses.negated_cross_entropy(np.array([[-100.0, 0, 0, 0]]), not_first).round(4)
    array([-101.0986])
    """
    xp, f, (t,) = prepare(logits, targets)
    charges = _negated(xp, f, t)
    return nan_unless(xp, charges.valid, log_loss(xp, charges.parts, charges.amounts))[..., 0]


def negated_cross_entropy_gradient(logits: Array, targets: Array) -> Array:
    """Gradient of :func:`negated_cross_entropy`: ``e_l - p`` for "not l".

    Parameters
    ----------
    logits, targets : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.negated_cross_entropy_gradient(np.zeros((1, 2)), np.array([[0.5, 1.0]]))
    array([[ 0.25, -0.25]])
    """
    xp, f, (t,) = prepare(logits, targets)
    charges = _negated(xp, f, t)
    return nan_unless(xp, charges.valid, log_loss_gradient(xp, charges.parts, charges.amounts))


def negated_cross_entropy_hvp(logits: Array, targets: Array, vectors: Array) -> Array:
    """Hessian of :func:`negated_cross_entropy` times a vector; negative for ruled-out classes.

    Parameters
    ----------
    logits, targets, vectors : arrays of shape (n_samples, n_classes)

    Returns
    -------
    array of shape (n_samples, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.negated_cross_entropy_hvp(
    ...     np.zeros((1, 4)), np.array([[0.0, 1, 1, 1]]), np.array([[1.0, 0, 0, 0]])
    ... )
    array([[-0.1875,  0.0625,  0.0625,  0.0625]])
    """
    xp, f, (t, v) = prepare(logits, targets, vectors)
    charges = _negated(xp, f, t)
    product = log_loss_hvp(xp, charges.parts, charges.amounts, xp.astype(v, f.dtype))
    return nan_unless(xp, charges.valid, product)


def draw_one_candidate(
    targets: ArrayLike, random_state: int | np.random.Generator | None = None
) -> NDArray[np.floating[Any]]:
    """Replace each multiclass statement by one class drawn from its candidates.

    A candidate is drawn in proportion to its weight or share. Drawn anew for each epoch and given
    to :func:`partial_softmax_cross_entropy`, this is the "random pick"; its expectation is
    :func:`uniform_target_cross_entropy`, so the draw adds noise and nothing else.

    Parameters
    ----------
    targets : array of shape (n_samples, n_classes)
        As for :func:`partial_softmax_cross_entropy`; NumPy.
    random_state : int, Generator or None
        What to draw with.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        One 1 a row; rows of ones (nothing known) as they were; nan where the row is no statement.

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.draw_one_candidate(np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), 0)
    array([[0., 1., 0.],
           [1., 1., 1.]])
    """
    t = _floats(targets)
    reading = read_targets(array_namespace(t), t, t.dtype)
    drawn = _draw(np.where(reading.is_evidence, reading.weights, reading.shares), random_state)
    drawn = np.where(reading.speaks, drawn, 1.0)
    return np.where(reading.valid, drawn, np.nan).astype(t.dtype)


def draw_one_label(
    targets: ArrayLike, random_state: int | np.random.Generator | None = None
) -> NDArray[np.floating[Any]]:
    """Replace each multilabel row by one tag drawn from those that apply: "pick one label".

    Given to :func:`partial_softmax_cross_entropy`, this is what fastText's softmax trains on; its
    expectation is :func:`pick_all_labels_normalised`.

    Parameters
    ----------
    targets : array of shape (n_samples, n_classes)
        As for :func:`partial_sigmoid_binary_cross_entropy`; NumPy.
    random_state : int, Generator or None
        What to draw with.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        One 1 a row; ones (nothing known) where no tag applies; nan where an entry is outside
        [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from eitheror import losses
    >>> losses.draw_one_label(np.array([[0.0, 1.0, np.nan], [0.0, 0.0, 0.0]]), 0)
    array([[0., 1., 0.],
           [1., 1., 1.]])
    """
    t = _floats(targets)
    known = np.where(t > 0, t, np.zeros_like(t))
    drawn = np.where(np.any(known > 0, axis=-1, keepdims=True), _draw(known, random_state), 1.0)
    valid = np.all(np.isnan(t) | ((t >= 0) & (t <= 1)), axis=-1, keepdims=True)
    return np.where(valid, drawn, np.nan).astype(t.dtype)


def _floats(targets: ArrayLike) -> NDArray[np.floating[Any]]:
    t = np.asarray(targets)
    return t if np.issubdtype(t.dtype, np.floating) else t.astype(np.float64)


def _draw(
    weights: ArrayLike, random_state: int | np.random.Generator | None
) -> NDArray[np.float64]:
    """Mark one class a row, drawn in proportion to the weights."""
    rng = np.random.default_rng(random_state)
    ends = np.cumsum(np.asarray(weights), axis=-1, dtype=np.float64)
    last = ends[..., -1:]
    level = np.minimum(rng.random(last.shape) * last, np.nextafter(last, 0.0))
    picked = np.argmax(ends > level, axis=-1)[..., None]
    return np.asarray(np.arange(ends.shape[-1]) == picked, dtype=np.float64)
