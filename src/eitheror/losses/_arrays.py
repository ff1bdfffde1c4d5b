"""What all losses share: one array library in and out, checked shapes, stable elementary functions.

Logits of any array-API library come in; everything is computed with functions of that library, in
the logits' precision (float32 for 16-bit logits). No step looks at a value in Python, so the losses
run unchanged under ``jax.jit``; every ``where`` has finite numbers on the side it drops, so that
automatic differentiation of a value gives its gradient and not nan.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any


def prepare(logits: Array, *others: Array) -> tuple[Any, Array, list[Array]]:
    """Return the library, the logits as floats of at least 32 bits, and the others beside them.

    Lists and NumPy arrays among ``others`` move to the logits' library and device.
    """
    if not array_api_compat.is_array_api_obj(logits):
        logits = np.asarray(logits)
    xp = array_api_compat.array_namespace(logits)
    moved = [_beside(xp, logits, other) for other in others]
    shapes = [tuple(array.shape) for array in (logits, *moved)]
    if len(set(shapes)) > 1 or not shapes[0] or shapes[0][-1] == 0:
        raise ValueError(
            f"the arrays have shapes {', '.join(map(str, shapes))}; "
            "they need one shape, (n_samples, n_classes), with at least one class"
        )
    return xp, widen(xp, logits), moved


def widen(xp: Any, array: Array) -> Array:
    """Return the array as floats of at least 32 bits."""
    if is_16_bit(array):
        return xp.astype(array, xp.float32)
    if xp.isdtype(array.dtype, ("bool", "integral")):
        return xp.astype(array, xp.__array_namespace_info__().default_dtypes()["real floating"])
    if xp.isdtype(array.dtype, "complex floating"):
        raise TypeError(f"the array holds {array.dtype}; logits and targets are real numbers")
    return array


def is_16_bit(array: Array) -> bool:
    """Whether the array holds float16 or bfloat16."""
    return str(array.dtype).endswith("float16")


def _beside(xp: Any, logits: Array, other: Array) -> Array:
    if array_api_compat.is_array_api_obj(other):
        if array_api_compat.array_namespace(other) is xp:
            return other
        if not array_api_compat.is_numpy_array(other):
            raise TypeError(
                f"the logits are a {type(logits).__name__} and another argument is a "
                f"{type(other).__name__}; give NumPy arrays or arrays of the logits' library"
            )
    device = array_api_compat.device(logits) if array_api_compat.is_torch_array(logits) else None
    return xp.asarray(np.asarray(other), device=device)


def check_smoothing(label_smoothing: float) -> float:
    """Return the amount of label smoothing, a share of the loss between 0 and 1."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is {label_smoothing}; it is a share between 0 and 1")
    return float(label_smoothing)


def nan_unless(xp: Any, valid: Array, result: Array) -> Array:
    """Return the result, nan where it is not valid (and nan in its derivative, too)."""
    return result * xp.where(valid, xp.ones_like(result), xp.nan)


def total(xp: Any, array: Array) -> Array:
    """Return the sum over the classes, which stay as an axis of length 1."""
    return xp.sum(array, axis=-1, keepdims=True)


def sum_without(xp: Any, array: Array, largest: Array) -> Array:
    """Return, for each entry, the sum of the row's other entries; ``largest`` marks the largest.

    All entries have one sign, so that what is subtracted is at most half of what it is taken from.
    """
    rest = total(xp, xp.where(largest, 0.0, array))
    first = total(xp, xp.where(largest, array, 0.0))
    return xp.where(largest, rest, first + (rest - array))


def softplus(xp: Any, x: Array) -> Array:
    """log(1 + e^x), accurate however small or large."""
    # The exponent is -|x|, written so that its derivative at 0 is that of the branch x <= 0.
    return xp.where(x > 0, x, 0.0) + xp.log1p(xp.exp(xp.where(x > 0, -x, x)))


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + e^-x), accurate however small or large."""
    e = xp.exp(xp.where(x > 0, -x, x))
    return xp.where(x > 0, 1.0, e) / (1.0 + e)


class Softmax(NamedTuple):
    """The softmax of a row, in the pieces that keep their digits.

    Of shape ``(n, K)``: ``gap`` is the largest logit minus each logit (infinite for a class that
    cannot be), ``proba`` and ``others`` are p and 1 - p, ``top`` marks the largest logit and
    ``impossible`` the logits of -inf. Of shape ``(n, 1)``: ``excess`` is lse(f) minus the largest
    logit; ``valid`` is false where the softmax is undefined (a nan, two +inf, all -inf).
    """

    gap: Array
    proba: Array
    others: Array
    top: Array
    impossible: Array
    excess: Array
    valid: Array


def softmax(xp: Any, logits: Array) -> Softmax:
    """Take the softmax of each row apart."""
    valid = softmax_exists(xp, logits)
    f = xp.where(valid, logits, 0.0)
    top = is_first_largest(xp, f)
    # Not max(f): at ties its derivative would be split between classes that `top` tells apart.
    largest = total(xp, xp.where(top, f, 0.0))
    # A logit of +inf leaves only its own class; shifting by 0 keeps the dropped numbers finite.
    possible = (f > -xp.inf) & ((largest < xp.inf) | top)
    finite = xp.where(xp.isfinite(f), f, 0.0)
    shift = xp.where(xp.isfinite(largest), largest, 0.0)
    gap = xp.where(possible & ~top, shift - finite, 0.0)
    below = xp.where(possible & ~top, xp.exp(-gap), 0.0)
    rest = total(xp, below)
    proba = xp.where(top, 1.0, below) / (1.0 + rest)
    others = xp.where(top, rest / (1.0 + rest), 1.0 - proba)
    gap = xp.where(possible, gap, xp.inf)
    return Softmax(gap, proba, others, top, f == -xp.inf, xp.log1p(rest), valid)


def log_loss(xp: Any, parts: Softmax, amounts: Array) -> Array:
    """-sum_k c_k log p_k for amounts c of one sign, of shape (n, 1)."""
    counted = amounts != 0
    gaps = xp.where(counted, amounts * xp.where(counted, parts.gap, 0.0), 0.0)
    return total(xp, gaps) + total(xp, amounts) * parts.excess


def log_loss_gradient(xp: Any, parts: Softmax, amounts: Array) -> Array:
    """sum(c) p - c, nan where an amount is charged to a class that cannot be."""
    # p (sum(c) - c) - c (1 - p): the form that keeps its digits as p tends to 0 or 1
    others = sum_without(xp, amounts, is_first_largest(xp, xp.abs(amounts)))
    gradient = parts.proba * others - amounts * parts.others
    return nan_unless(xp, ~charges_impossible(xp, parts, amounts), gradient)


def log_loss_hvp(xp: Any, parts: Softmax, amounts: Array, vectors: Array) -> Array:
    """sum(c) (diag p - p p') v, nan where an amount is charged to a class that cannot be."""
    product = total(xp, amounts) * covariance_times(xp, parts.proba, parts.top, vectors)
    return nan_unless(xp, ~charges_impossible(xp, parts, amounts), product)


def charges_impossible(xp: Any, parts: Softmax, amounts: Array) -> Array:
    """Whether a logit of -inf carries an amount, of shape (n, 1): no gradient exists there."""
    return xp.any((amounts != 0) & parts.impossible, axis=-1, keepdims=True)


def spread(xp: Any, parts: Softmax, mass: Array) -> Array:
    """Spread a row's mass evenly over the classes that can be."""
    possible = xp.astype(~parts.impossible, parts.proba.dtype)
    return (
        xp.astype(mass, possible.dtype)
        * possible
        / xp.maximum(total(xp, possible), xp.ones_like(parts.excess))
    )


def softmax_exists(xp: Any, logits: Array) -> Array:
    """Return, of shape (n, 1), whether the softmax of the row is defined."""
    number = xp.all(~xp.isnan(logits), axis=-1, keepdims=True)
    possible = xp.any(logits > -xp.inf, axis=-1, keepdims=True)
    certain = xp.sum(xp.astype(logits == xp.inf, xp.int32), axis=-1, keepdims=True)
    return number & possible & (certain <= 1)


def is_first_largest(xp: Any, array: Array) -> Array:
    """Mark the largest entry of each row, the first one of several."""
    where = xp.argmax(array, axis=-1, keepdims=True)
    device = getattr(array, "device", None)  # None while JAX traces
    classes = xp.arange(array.shape[-1], dtype=where.dtype, device=device)
    return classes == where


def covariance_times(xp: Any, proba: Array, top: Array, vectors: Array) -> Array:
    """(diag p - p p') v; v counts from its value at the top class, so that nothing cancels."""
    v = vectors - total(xp, xp.where(top, vectors, 0.0))
    return proba * (v - total(xp, proba * v))
