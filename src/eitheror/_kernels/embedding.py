"""Compiled epoch of averaged embeddings: fastText's model, one row at a time, any loss.

``h = mean_j E[j]`` over a text's features, ``f = W h + bias``. Arrays in, arrays changed in place,
one loss out. Two threads can visit a text together, each half of its features (`halves`), and end
in the same bits as one.

A row of E is `width` numbers, a whole number of vectors (`layout`), so that `h` and its gradient
stay in registers. W has such rows too; with many classes it is turned, `dim` rows of a number for
each class, as a vector then holds classes and nothing is added across its lanes.

The time goes into fetching rows of E: each row of the next text is asked for while one of this text
is stored, and before that its list of features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.ahead import ask_for_statement
from eitheror._kernels.arrays import (
    CLASS_CHUNKS,
    Common,
    Features,
    Room,
    Stretch,
    Targets,
    aligned,
    class_layout,
    layout,
)
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.halves import FIRST_NUMBER, add_halves, leave_half, wait_for
from eitheror._kernels.losses import row_gradient, statement_gradient, uniform_draw
from eitheror._kernels.simd import (
    LANES,
    add,
    add_product,
    add_scaled,
    dot,
    load,
    prefetch,
    store,
    total,
    zeros,
)

__all__ = [
    "Common",
    "aligned",
    "class_layout",
    "embedding_epoch",
    "embedding_loss",
    "layout",
]

Floats = NDArray[np.float32]
Chunks = tuple[int, ...]

_LINE = 16  # float32 numbers in a cache line


@jit(EXACT, part=True)
def _row_of(feature: int, n_hot: int, hot_shift: int) -> Any:
    """Row of the table that holds a feature: a thread's own copy of the frequent ones."""
    row = np.intp(feature)
    return row + hot_shift if row < n_hot else row


@jit(EXACT, part=True)
def _ask_for_features(
    order: NDArray[np.int64],
    position: int,
    indptr: NDArray[np.int64],
    middles: NDArray[np.int32],
    indices: NDArray[np.int32],
) -> None:
    """Prefetch the features of the third text from here, and where those of the eighth are."""
    n_rows = order.shape[0]
    if position + 8 < n_rows:
        prefetch(indptr, order[position + 8])
        if middles.shape[0] > 0:
            prefetch(middles, order[position + 8])
    if position + 3 < n_rows:
        later = order[position + 3]
        for j in range(indptr[later], indptr[later + 1], _LINE):
            prefetch(indices, j)


@jit(EXACT, part=True)
def _ask_for_row(
    feature: int, part: int, step: int, embedding: Floats, n_hot: int, hot_shift: int
) -> None:
    """Prefetch a part of a feature's embedding."""
    place = _row_of(feature, n_hot, hot_shift) * embedding.shape[1] + part
    for line in range(0, step, _LINE):
        prefetch(embedding, place + line)


@jit(EXACT, part=True)
def _mean_row(
    indices: NDArray[np.int32],
    start: int,
    middle: int,
    stop: int,
    embedding: Floats,
    chunks: Chunks,
    n_hot: int,
    hot_shift: int,
    hidden: Floats,
) -> None:
    """Write h, the sum over the first features plus that over those from `middle` on."""
    width = embedding.shape[1]
    share = np.float32(1.0 / max(stop - start, 1))
    for part in range(0, width, LANES * len(chunks)):
        h = zeros(chunks)
        for j in range(start, middle):
            row = _row_of(indices[np.uintp(j)], n_hot, hot_shift)
            h = add(h, load(embedding, row * width + part, chunks))
        odd = zeros(chunks)
        for j in range(middle, stop):
            row = _row_of(indices[np.uintp(j)], n_hot, hot_shift)
            odd = add(odd, load(embedding, row * width + part, chunks))
        store(hidden, part, add_scaled(zeros(chunks), share, add(h, odd)))


@jit(EXACT, part=True)
def _logits(
    hidden: Floats, weight: Floats, bias: Floats, chunks: Chunks, turned: bool, logits: Floats
) -> None:
    """Write W h + bias."""
    n_rows, width = weight.shape
    if turned:
        for part in range(0, width, LANES * len(CLASS_CHUNKS)):
            f = zeros(CLASS_CHUNKS)
            for d in range(n_rows):
                f = add_scaled(f, hidden[d], load(weight, d * width + part, CLASS_CHUNKS))
            store(logits, part, f)
        for k in range(bias.shape[0]):
            logits[k] += bias[k]
    else:
        for part in range(0, width, LANES * len(chunks)):
            h = load(hidden, part, chunks)
            for k in range(n_rows):
                f_k = dot(h, load(weight, k * width + part, chunks))
                logits[k] = f_k + (bias[k] if part == 0 else logits[k])


@jit(SUMS, part=True)
def _square_mean(vector: Floats, dim: int) -> float:
    total = np.float32(0.0)
    for d in range(dim):
        total += vector[d] * vector[d]
    return float(total / np.float32(dim))


@jit(SUMS, part=True)
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


@jit(EXACT, part=True)
def _backward(
    gradient: Floats,
    rates: Floats,
    hidden: Floats,
    weight: Floats,
    bias: Floats,
    chunks: Chunks,
    turned: bool,
    back: Floats,
) -> None:
    """Write W' g with the old W to `back`; then W -= rates h' and bias -= rates."""
    n_rows, width = weight.shape
    if turned:
        for d in range(n_rows):
            h_d, sums = -hidden[d], zeros(CLASS_CHUNKS)
            for part in range(0, width, LANES * len(CLASS_CHUNKS)):
                w_d = load(weight, d * width + part, CLASS_CHUNKS)
                sums = add_product(sums, w_d, load(gradient, part, CLASS_CHUNKS))
                w_d = add_scaled(w_d, h_d, load(rates, part, CLASS_CHUNKS))
                store(weight, d * width + part, w_d)
            back[d] = total(sums)
    else:
        for part in range(0, width, LANES * len(chunks)):
            b = zeros(chunks)
            for k in range(n_rows):
                b = add_scaled(b, gradient[k], load(weight, k * width + part, chunks))
            store(back, part, b)
            h = load(hidden, part, chunks)
            for k in range(n_rows):
                w = load(weight, k * width + part, chunks)
                store(weight, k * width + part, add_scaled(w, -rates[k], h))
    for k in range(bias.shape[0]):
        bias[k] -= rates[k]


@jit(EXACT, part=True)
def _update(
    indices: NDArray[np.int32],
    start: int,
    stop: int,
    next_start: int,
    next_stop: int,
    embedding: Floats,
    squares: Floats,
    chunks: Chunks,
    n_hot: int,
    hot_shift: int,
    back: Floats,
    speed: np.float32,
) -> None:
    """Add speed * back to the rows of a text, with row Adagrad over the root of their squares.

    For each row one of the next text's is asked for.
    """
    width, step = embedding.shape[1], LANES * len(chunks)
    ahead, n_ahead = next_start - start, start + next_stop - next_start
    both = min(stop, n_ahead)
    # Loops without a question in them: a step on a short row costs no more than a branch.
    for part in range(0, width, step):
        b = add_scaled(zeros(chunks), speed, load(back, part, chunks))
        if squares.shape[0] > 0:
            for j in range(start, stop):
                row = _row_of(indices[np.uintp(j)], n_hot, hot_shift)
                own = np.float32(1.0) / np.sqrt(squares[row])
                new = add_scaled(load(embedding, row * width + part, chunks), own, b)
                store(embedding, row * width + part, new)
            for j in range(start, n_ahead):
                prefetch(squares, _row_of(indices[np.uintp(j + ahead)], n_hot, hot_shift))
                _ask_for_row(indices[np.uintp(j + ahead)], part, step, embedding, n_hot, hot_shift)
            continue
        for j in range(start, both):
            _ask_for_row(indices[np.uintp(j + ahead)], part, step, embedding, n_hot, hot_shift)
            place = _row_of(indices[np.uintp(j)], n_hot, hot_shift) * width + part
            store(embedding, place, add(load(embedding, place, chunks), b))
        for j in range(both, stop):
            place = _row_of(indices[np.uintp(j)], n_hot, hot_shift) * width + part
            store(embedding, place, add(load(embedding, place, chunks), b))
        for j in range(both, n_ahead):
            _ask_for_row(indices[np.uintp(j + ahead)], part, step, embedding, n_hot, hot_shift)


@jit(EXACT, bare=True)
def _merge(own: Floats, start: int, common: Floats, old: Floats) -> None:
    """Add what a thread changed to what is common, and go on from there; rows from `start` on."""
    for i in range(common.shape[0]):
        for d in range(common.shape[1]):
            common[i, d] += own[start + i, d] - old[i, d]
            old[i, d] = common[i, d]
            own[start + i, d] = old[i, d]


@jit(EXACT, bare=True)
def _merge_list(own: Floats, start: int, common: Floats, old: Floats) -> None:
    for i in range(common.shape[0]):
        common[i] += own[start + i] - old[i]
        old[i] = common[i]
        own[start + i] = old[i]


@jit(EXACT, bare=True)
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
    chunks: Chunks,
    dim: int,
    turned: bool,
    n_hot: int,
    hot_shift: int,
    common: Common,
    stretch: Stretch,
    code: int,
    rate_start: float,
    rate_stop: float,
    smoothing: float,
    seed: int,
    epoch: int,
    room: Room,
) -> float:
    """One pass over the rows of `order`; returns the weighted sum of their losses.

    Parameters
    ----------
    order, features, targets, class_weight, code, rate_start, rate_stop, smoothing, seed, epoch
        As in `eitheror._kernels.linear.linear_epoch`; features without values.
    embedding, weight, bias : float32 arrays, (n_features, width), (rows, width'), (n_classes,)
        Changed in place; `weight` has the shape that `class_layout` says.
    embedding_squares, weight_squares : float32 arrays of shape (n_features,), (n_classes,) or empty
        Row Adagrad's sums, the first one for each row of `embedding`; empty means plain steps.
    chunks : tuple of zeros
        From `layout`, as `width`.
    dim : int
        Numbers of a row that are not padding.
    turned : bool
        From `class_layout`.
    n_hot, hot_shift : int
        Features below `n_hot` are found `hot_shift` rows further down, in a thread's own copy.
    common : Common
        `weight`, `bias` and those rows are a thread's own and are merged with the common ones after
        every `every` texts and at the end; 0 means that they are all there is.
    stretch : Stretch
        Which rows, and whether two threads visit them, each half of a row's features. The second
        one has its own `weight`, `bias` and `weight_squares`, and makes the same of them.
    room : Room
        From `embedding_room`, new or of the same epoch's other rows: its padding is 0.
    """
    n_classes = bias.shape[0]
    all_logits, all_gradient, rates, listed, hidden, back = room
    logits, gradient = all_logits[:n_classes], all_gradient[:n_classes]
    adaptive = embedding_squares.shape[0] > 0
    indptr, indices, _ = features
    ends, named, worth, rest, mode, group_indptr, group_ends, group_indices, row_weight = targets
    begin, end, thread, loss, middles, slots = stretch
    halved = middles.shape[0] > 0
    n_rows = order.shape[0]
    for position in range(begin, end):
        i = order[position]
        start, stop = indptr[i], indptr[i + 1]
        middle = start + middles[i] if halved else stop
        first = middle if thread == 1 else start
        last = middle if thread == 0 else stop
        if thread >= 0:
            slot = 2 * thread + (position & 1)
            number = np.int32(position - begin + FIRST_NUMBER)
            leave_half(indices, first, last, embedding, chunks, slots, slot, number)
        _ask_for_features(order, position, indptr, middles, indices)
        ask_for_statement(
            order,
            position,
            ends,
            named,
            worth,
            rest,
            mode,
            group_indptr,
            group_ends,
            group_indices,
            row_weight,
        )
        if thread >= 0:
            if not wait_for(slots, slot ^ 2, number):
                break
            share = np.float32(1.0 / max(stop - start, 1))
            add_halves(slots, slot, slot ^ 2, embedding.shape[1], share, chunks, hidden)
        else:
            _mean_row(indices, start, middle, stop, embedding, chunks, n_hot, hot_shift, hidden)
        _logits(hidden, weight, bias, chunks, turned, all_logits)
        factor = row_weight[i]
        loss += factor * statement_gradient(
            code,
            mode[i],
            ends[i],
            ends[i + 1],
            rest[i],
            named,
            worth,
            group_indptr[i],
            group_indptr[i + 1],
            group_ends,
            group_indices,
            logits,
            0,
            class_weight,
            smoothing,
            uniform_draw(seed, epoch, i),
            listed,
            gradient,
        )
        rate = np.float32(rate_start + (rate_stop - rate_start) * (position / n_rows))
        rate *= factor
        size = factor * factor * _square_mean(hidden, dim) if adaptive else 0.0
        _rates(gradient, rate, np.float32(size), weight_squares, rates)
        _backward(all_gradient, rates, hidden, weight, bias, chunks, turned, back)
        share = np.float32(1.0 / max(stop - start, 1))
        if adaptive:
            size = float(share) ** 2 * factor * factor * _square_mean(back, dim)
            for j in range(first, last):
                embedding_squares[_row_of(indices[np.uintp(j)], n_hot, hot_shift)] += size
        later = order[min(position + 1, n_rows - 1)]
        later_middle = indptr[later] + middles[later] if halved else indptr[later + 1]
        _update(
            indices,
            first,
            last,
            later_middle if thread == 1 else indptr[later],
            later_middle if thread == 0 else indptr[later + 1],
            embedding,
            embedding_squares,
            chunks,
            n_hot,
            hot_shift,
            back,
            -rate * share,
        )
        at_end = position == n_rows - 1
        if common.every > 0 and (at_end or (position + common.phase) % common.every == 0):
            _merge(weight, 0, common.weight, common.old_weight)
            _merge_list(bias, 0, common.bias, common.old_bias)
            _merge(embedding, hot_shift, common.rows, common.old_rows)
            if adaptive:
                _merge_list(weight_squares, 0, common.weight_squares, common.old_weight_squares)
                _merge_list(
                    embedding_squares, hot_shift, common.row_squares, common.old_row_squares
                )
    return loss


@jit(EXACT, bare=True)
def embedding_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    embedding: Floats,
    weight: Floats,
    bias: Floats,
    chunks: Chunks,
    turned: bool,
    code: int,
    room: Room,
) -> float:
    """Weighted sum of the losses of the rows in `order`, nothing changed but the room."""
    n_classes = bias.shape[0]
    all_logits, all_gradient, _, listed, hidden, _ = room
    logits, gradient = all_logits[:n_classes], all_gradient[:n_classes]
    no_weight = gradient[:0]
    indptr, indices, _ = features
    loss = 0.0
    for i in order:
        start, stop = indptr[i], indptr[i + 1]
        _mean_row(indices, start, stop, stop, embedding, chunks, 0, 0, hidden)
        _logits(hidden, weight, bias, chunks, turned, all_logits)
        loss += targets.row_weight[i] * row_gradient(
            code, i, targets, logits, 0, no_weight, 0.0, 0.0, listed, gradient
        )
    return loss
