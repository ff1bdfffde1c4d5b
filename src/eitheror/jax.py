"""The losses of statements for JAX, as functions in the manner of optax.

One number a row, to be averaged by the caller: ``partial_softmax_cross_entropy(logits,
targets).mean()`` where ``optax.softmax_cross_entropy(logits, targets).mean()`` stood. They run
under ``jax.jit``, ``jax.vmap``, ``jax.grad``, ``jax.jvp`` and ``jax.hessian``.

The derivatives are written out, as ``jax.custom_jvp`` and not ``jax.custom_vjp``: JAX transposes a
forward rule for ``jax.grad``, so the one rule serves both modes, and the rule of the gradient (its
Hessian-vector product) makes second derivatives as exact as the first.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

from eitheror import losses
from eitheror.losses._arrays import check_smoothing

try:
    import jax
except ModuleNotFoundError as error:
    raise ImportError(
        "eitheror.jax needs JAX, which is not installed: pip install 'eitheror[jax]'"
    ) from error

__all__ = ["partial_sigmoid_binary_cross_entropy", "partial_softmax_cross_entropy"]

Array: TypeAlias = Any


def _differentiable(value: Any, gradient: Any, product: Any) -> Any:
    """Return a loss whose first and second derivatives in the logits are the ones given."""

    @partial(jax.custom_jvp, nondiff_argnums=(2,))
    def slope(logits: Array, targets: Array, label_smoothing: float) -> Array:
        return gradient(logits, targets, label_smoothing=label_smoothing)

    @slope.defjvp  # type: ignore[untyped-decorator]
    def slope_moves(label_smoothing: float, at: Any, towards: Any) -> tuple[Array, Array]:
        (logits, targets), (step, _) = at, towards
        moved = product(logits, targets, step, label_smoothing=label_smoothing)
        return slope(logits, targets, label_smoothing), moved

    @partial(jax.custom_jvp, nondiff_argnums=(2,))
    def loss(logits: Array, targets: Array, label_smoothing: float) -> Array:
        return value(logits, targets, label_smoothing=label_smoothing)

    @loss.defjvp  # type: ignore[untyped-decorator]
    def loss_moves(label_smoothing: float, at: Any, towards: Any) -> tuple[Array, Array]:
        (logits, targets), (step, _) = at, towards
        moved = (slope(logits, targets, label_smoothing) * step).sum(axis=-1)
        cost = loss(logits, targets, label_smoothing)
        return cost, moved.astype(cost.dtype)

    return loss


_softmax = _differentiable(
    losses.partial_softmax_cross_entropy,
    losses.partial_softmax_cross_entropy_gradient,
    losses.partial_softmax_cross_entropy_hvp,
)
_sigmoid = _differentiable(
    losses.partial_sigmoid_binary_cross_entropy,
    losses.partial_sigmoid_binary_cross_entropy_gradient,
    losses.partial_sigmoid_binary_cross_entropy_hvp,
)


def partial_softmax_cross_entropy(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Minus the log of the probability that the softmax gives to each row's statement.

    Evidence ``w`` (the row's largest entry is exactly 1) costs ``-log sum_k w_k p_k`` with
    ``p = softmax(logits)``; shares ``t`` (the row adds to 1) cost ``-sum_k t_k log p_k``. On
    one-hot rows and on shares it is ``optax.softmax_cross_entropy``.

    Parameters
    ----------
    logits : array of shape (..., n_classes)
        -inf is a class that cannot be.
    targets : array of shape (..., n_classes)
        ``labels.to_targets()``: 1 for a class that may be true, 0 for one that is ruled out,
        between for one in doubt; or shares. A row of ones says nothing and costs 0. Targets are
        data: no derivative flows into them.
    label_smoothing : float, default 0
        A number, not a traced array. With ``e``, rows that say something cost
        ``(1 - e) loss + e mean_k(-log p_k)``.

    Returns
    -------
    array of shape (...)
        One loss a row, in the precision of the logits, float32 for 16-bit logits; nan for a row
        that is neither evidence nor shares. ``.mean()`` counts the rows that say nothing; divide
        by ``(targets != 1).any(axis=-1).sum()`` to leave them out.

    See Also
    --------
    partial_sigmoid_binary_cross_entropy : when several classes can be true at once.
    eitheror.losses.partial_softmax_cross_entropy : the same for every array library.

    Notes
    -----
    **Domain.** Finite for all finite logits, without clipping. The loss of a set is not convex.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from eitheror.jax import partial_softmax_cross_entropy
    >>> logits, either_first_or_last = jnp.zeros((1, 4)), jnp.array([[1.0, 0.0, 0.0, 1.0]])
    >>> partial_softmax_cross_entropy(logits, either_first_or_last).round(4)
    Array([0.6931], dtype=float32)
    >>> jax.grad(lambda f: partial_softmax_cross_entropy(f, either_first_or_last).mean())(logits)
    Array([[-0.25,  0.25,  0.25, -0.25]], dtype=float32)
    """
    return _softmax(*_arrays(logits, targets), check_smoothing(label_smoothing))


def partial_sigmoid_binary_cross_entropy(
    logits: Array, targets: Array, *, label_smoothing: float = 0.0
) -> Array:
    """Binary cross-entropy of each tag, added over the tags of a row that are known.

    ``sum_k softplus(f_k) - t_k f_k`` over the entries that are not nan. It is the sum over the last
    axis of ``optax.sigmoid_binary_cross_entropy``, which returns each entry.

    Parameters
    ----------
    logits : array of shape (..., n_classes)
    targets : array of shape (..., n_classes)
        1 applies, 0 does not, a fraction is a probability, nan is unknown and costs nothing.
        Targets are data: no derivative flows into them.
    label_smoothing : float, default 0
        A number, not a traced array. With ``e``, a known entry ``t`` counts as
        ``(1 - e) t + e / 2``.

    Returns
    -------
    array of shape (...)
        One loss a row, in the precision of the logits, float32 for 16-bit logits; nan for a row
        with an entry outside [0, 1] that is not nan. For the mean over the known entries, divide
        the sum by ``(~jnp.isnan(targets)).sum()``.

    See Also
    --------
    partial_softmax_cross_entropy : when exactly one class is true.
    eitheror.losses.partial_sigmoid_binary_cross_entropy : the same for every array library.

    Notes
    -----
    **Domain.** Finite for all finite logits, convex in them.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from eitheror.jax import partial_sigmoid_binary_cross_entropy
    >>> targets = jnp.array([[1.0, 0.0, jnp.nan]])
    >>> partial_sigmoid_binary_cross_entropy(jnp.zeros((1, 3)), targets).round(4)
    Array([1.3863], dtype=float32)
    """
    return _sigmoid(*_arrays(logits, targets), check_smoothing(label_smoothing))


def _arrays(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return both as JAX arrays of floats."""
    logits, targets = jax.numpy.asarray(logits), jax.numpy.asarray(targets)
    if not jax.numpy.issubdtype(logits.dtype, jax.numpy.floating):
        logits = logits.astype(float)
    return logits, targets
