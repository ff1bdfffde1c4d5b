"""Compiled epoch of averaged embeddings: fastText's model, one row at a time, any loss.

``h = sum_j x_j E[j]``, ``f = W h + bias``; a row whose values are ``1 / length`` averages. Arrays
in, arrays changed in place, one loss out. The classes are taken four at a time, so that `h` and its
gradient are read and written once for four rows of `W`; widths are padded to the vector size by the
caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, SUMS, Features, Targets, jit
from eitheror._kernels.losses import row_gradient, uniform_draw

__all__ = ["embedding_epoch", "embedding_loss"]

Floats = NDArray[np.float32]


@jit(SUMS)
def _average(features: Features, start: int, stop: int, embedding: Floats, hidden: Floats) -> None:
    hidden[:] = np.float32(0.0)
    for j in range(start, stop):
        x = features.values[j]
        row = embedding[features.indices[j]]
        for d in range(hidden.shape[0]):
            hidden[d] += x * row[d]


@jit(SUMS)
def _output(hidden: Floats, weight: Floats, bias: Floats, out: Floats) -> None:
    """Write W h + bias."""
    n_classes, width = weight.shape
    k = 0
    while k + 4 <= n_classes:
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        s0 = s1 = s2 = s3 = np.float32(0.0)
        for d in range(width):
            h = hidden[d]
            s0 += w0[d] * h
            s1 += w1[d] * h
            s2 += w2[d] * h
            s3 += w3[d] * h
        out[k] = s0 + bias[k]
        out[k + 1] = s1 + bias[k + 1]
        out[k + 2] = s2 + bias[k + 2]
        out[k + 3] = s3 + bias[k + 3]
        k += 4
    while k < n_classes:
        w0 = weight[k]
        s0 = np.float32(0.0)
        for d in range(width):
            s0 += w0[d] * hidden[d]
        out[k] = s0 + bias[k]
        k += 1


@jit(SUMS)
def _backward(
    gradient: Floats,
    hidden: Floats,
    rates: Floats,
    weight: Floats,
    back: Floats,
) -> None:
    """Write W' g with the old W to `back`, then W -= rate g h'; `rates` holds rate * g."""
    n_classes, width = weight.shape
    back[:] = np.float32(0.0)
    k = 0
    while k + 4 <= n_classes:
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        g0, g1, g2, g3 = gradient[k], gradient[k + 1], gradient[k + 2], gradient[k + 3]
        r0, r1, r2, r3 = rates[k], rates[k + 1], rates[k + 2], rates[k + 3]
        for d in range(width):
            h = hidden[d]
            v0, v1, v2, v3 = w0[d], w1[d], w2[d], w3[d]
            back[d] += g0 * v0 + g1 * v1 + g2 * v2 + g3 * v3
            w0[d] = v0 - r0 * h
            w1[d] = v1 - r1 * h
            w2[d] = v2 - r2 * h
            w3[d] = v3 - r3 * h
        k += 4
    while k < n_classes:
        w0, g0, r0 = weight[k], gradient[k], rates[k]
        for d in range(width):
            back[d] += g0 * w0[d]
            w0[d] -= r0 * hidden[d]
        k += 1


@jit(SUMS)
def _square_mean(vector: Floats) -> float:
    total = np.float32(0.0)
    for d in range(vector.shape[0]):
        total += vector[d] * vector[d]
    return float(total / np.float32(vector.shape[0]))


@jit(SUMS)
def _step(row: Floats, gradient: Floats, rate: np.float32) -> None:
    for d in range(row.shape[0]):
        row[d] -= rate * gradient[d]


@jit(SUMS)
def _rates(
    gradient: Floats, rate: np.float32, size: np.float32, squares: Floats, rates: Floats
) -> None:
    """Write rate * gradient, or with row Adagrad rate * gradient / sqrt(sum of squares)."""
    if squares.shape[0] == 0:
        for k in range(gradient.shape[0]):
            rates[k] = rate * gradient[k]
    else:
        for k in range(gradient.shape[0]):
            squares[k] += gradient[k] * gradient[k] * size
            rates[k] = rate * gradient[k] / np.sqrt(squares[k])


@jit(EXACT)
def embedding_epoch(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    class_weight: Floats,
    embedding: Floats,
    weight: Floats,
    bias: Floats,
    embedding_squares: Floats,
    weight_squares: Floats,
    code: int,
    rate_start: float,
    rate_stop: float,
    smoothing: float,
    seed: int,
    epoch: int,
) -> float:
    """One pass over the rows of `order`; returns the weighted sum of their losses.

    Parameters
    ----------
    order, features, targets, class_weight, code, rate_start, rate_stop, smoothing, seed, epoch
        As in `eitheror._kernels.linear.linear_epoch`.
    embedding, weight, bias : float32 arrays, (n_features, width), (n_classes, width), (n_classes,)
        Changed in place.
    embedding_squares, weight_squares : float32 arrays of shape (n_features,), (n_classes,) or empty
        Row Adagrad's sums; empty means plain steps.
    """
    n_classes, width = weight.shape
    logits = np.empty(n_classes, np.float32)
    gradient = np.empty(n_classes, np.float32)
    rates = np.empty(n_classes, np.float32)
    listed = np.empty(n_classes, np.float64)
    hidden = np.empty(width, np.float32)
    back = np.empty(width, np.float32)
    adaptive = embedding_squares.shape[0] > 0
    total = 0.0
    n_rows = order.shape[0]
    for position in range(n_rows):
        i = order[position]
        start, stop = features.indptr[i], features.indptr[i + 1]
        _average(features, start, stop, embedding, hidden)
        _output(hidden, weight, bias, logits)
        draw = uniform_draw(seed, epoch, i)
        factor = targets.row_weight[i]
        total += factor * row_gradient(
            code, i, targets, logits, 0, class_weight, smoothing, draw, listed, gradient
        )
        rate = np.float32(rate_start + (rate_stop - rate_start) * (position / n_rows))
        rate *= factor
        size = factor * factor * _square_mean(hidden) if adaptive else 0.0
        _rates(gradient, rate, np.float32(size), weight_squares, rates)
        _step(bias, rates, np.float32(1.0))
        _backward(gradient, hidden, rates, weight, back)
        size = factor * factor * _square_mean(back) if adaptive else 0.0
        for j in range(start, stop):
            feature = features.indices[j]
            x = features.values[j]
            speed = float(rate * x)
            if adaptive:
                embedding_squares[feature] += x * x * size
                speed /= np.sqrt(embedding_squares[feature])
            _step(embedding[feature], back, np.float32(speed))
    return total


@jit(EXACT)
def embedding_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    embedding: Floats,
    weight: Floats,
    bias: Floats,
    code: int,
) -> float:
    """Weighted sum of the losses of the rows in `order`, nothing changed."""
    n_classes, width = weight.shape
    logits = np.empty(n_classes, np.float32)
    gradient = np.empty(n_classes, np.float32)
    listed = np.empty(n_classes, np.float64)
    hidden = np.empty(width, np.float32)
    no_weight = np.empty(0, np.float32)
    total = 0.0
    for i in order:
        _average(features, features.indptr[i], features.indptr[i + 1], embedding, hidden)
        _output(hidden, weight, bias, logits)
        total += targets.row_weight[i] * row_gradient(
            code, i, targets, logits, 0, no_weight, 0.0, 0.0, listed, gradient
        )
    return total
