"""Compiled epoch of averaged embeddings for many classes: a block of texts at a time.

The model and the losses are those of `embedding`, where each text reads and writes the weights of
all the classes. Here a block of texts shares one reading and one writing: the losses of its rows
are taken at the weights that the block finds, and their gradients are added up.

The weights are cut into tiles of 16 classes, ``tiles[tile, d, lane]``, so that one vector holds the
same number of 16 classes and every product is a sum of scaled vectors. Each number is a sum in an
order that does not depend on who computes it: threads share out the rows of a block, and groups of
tiles whose sums are put together in the end, and the bits stay the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import Features, Targets
from eitheror._kernels.barrier import meet
from eitheror._kernels.blocks import DIMS, GROUPS, TEXTS, Room, Weights
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.losses import row_gradient, uniform_draw
from eitheror._kernels.parted import (
    parted_gradients,
    parted_rows,
    parted_sums,
    parted_tops,
)
from eitheror._kernels.simd import (
    LANES,
    add,
    add_product,
    add_scaled,
    every,
    larger,
    load,
    prefetch,
    quotient,
    root,
    store,
    total,
    zeros,
)

__all__ = ["blocked_epoch", "blocked_loss"]

Floats = NDArray[np.float32]
Chunks = tuple[int, ...]

_RUN = 16  # tiles, and numbers of their classes, that stay in the first cache: 16 KB
_LINE = 16  # float32 numbers in a cache line


@jit(EXACT, bare=True)
def _average(
    order: NDArray[np.int64],
    n_block: int,
    origin: int,
    features: Features,
    embedding: Floats,
    chunks: Chunks,
    hidden: Floats,
) -> None:
    """Write the mean embeddings of the texts of a block; 0 past the end of `order`."""
    indptr, indices, _ = features
    width = embedding.shape[1]
    step = LANES * len(chunks)
    n_rows = order.shape[0]
    for position in range(origin, origin + n_block):
        if position + 1 < min(origin + n_block, n_rows):
            later = order[position + 1]
            for j in range(indptr[later], indptr[later + 1]):
                for line in range(0, width, _LINE):
                    prefetch(embedding, np.intp(indices[j]) * width + line)
        place = (position - origin) * width
        first, last = np.int64(0), np.int64(0)
        if position < n_rows:
            first, last = indptr[order[position]], indptr[order[position] + 1]
        share = np.float32(1.0 / max(int(last - first), 1))
        for part in range(0, width, step):
            h = zeros(chunks)
            for j in range(first, last):
                h = add(h, load(embedding, np.intp(indices[j]) * width + part, chunks))
            store(hidden, place + part, add_scaled(zeros(chunks), share, h))


@jit(EXACT, bare=True)
def _logits(
    hidden: Floats, first: int, last: int, tiles: Floats, bias: Floats, out: Floats
) -> None:
    """Write W h + bias of a block's texts for the classes of tiles first .. last, padding too."""
    dims = tiles.shape[1]
    n_block = out.shape[1]
    one = (0,)
    for tile in range(first, last):
        for text in range(0, n_block, TEXTS):
            a = load(bias, tile * LANES, one)
            b, c, d = a, a, a
            for j in range(dims):
                w = load(tiles, (tile * dims + j) * LANES, one)
                a = add_scaled(a, hidden[text, j], w)
                b = add_scaled(b, hidden[text + 1, j], w)
                c = add_scaled(c, hidden[text + 2, j], w)
                d = add_scaled(d, hidden[text + 3, j], w)
            place = (tile * n_block + text) * LANES
            store(out, place, a)
            store(out, place + LANES, b)
            store(out, place + 2 * LANES, c)
            store(out, place + 3 * LANES, d)


@jit(EXACT, bare=True)
def _back(gradient: Floats, first: int, last: int, tiles: Floats, sums: Floats) -> None:
    """Add W' g of the classes of tiles first .. last to `sums`, lane by lane, for a block's texts.

    Two texts and two numbers are summed at a time. A few numbers of the classes stay in the first
    cache while the texts go by.
    """
    dims = tiles.shape[1]
    n_block = gradient.shape[1]
    one = (0,)
    for part in range(0, dims, _RUN):
        for text in range(0, n_block, 2):
            for j in range(part, min(part + _RUN, dims), 2):
                place = (text * dims + j) * LANES
                a, b = load(sums, place, one), load(sums, place + LANES, one)
                c = load(sums, place + dims * LANES, one)
                d = load(sums, place + (dims + 1) * LANES, one)
                for tile in range(first, last):
                    g = load(gradient, (tile * n_block + text) * LANES, one)
                    k = load(gradient, (tile * n_block + text + 1) * LANES, one)
                    v = load(tiles, (tile * dims + j) * LANES, one)
                    w = load(tiles, (tile * dims + j) * LANES + LANES, one)
                    a = add_product(a, g, v)
                    b = add_product(b, g, w)
                    c = add_product(c, k, v)
                    d = add_product(d, k, w)
                store(sums, place, a)
                store(sums, place + LANES, b)
                store(sums, place + dims * LANES, c)
                store(sums, place + (dims + 1) * LANES, d)


@jit(EXACT, bare=True)
def _take_row(tiled: Floats, text: int, row: Floats) -> None:
    """Copy the numbers of a text's classes out of the tiles."""
    for k in range(row.shape[0]):
        row[k] = tiled[k // LANES, text, k % LANES]


@jit(EXACT, bare=True)
def _put_row(row: Floats, text: int, tiled: Floats) -> None:
    """Copy the numbers of a text's classes into the tiles."""
    for k in range(row.shape[0]):
        tiled[k // LANES, text, k % LANES] = row[k]


@jit(SUMS, bare=True)
def _weigh(gradient: Floats, factor: np.float32) -> None:
    for k in range(gradient.shape[0]):
        gradient[k] *= factor


@jit(EXACT, bare=True)
def _rows(
    order: NDArray[np.int64],
    origin: int,
    start: int,
    stop: int,
    targets: Targets,
    class_weight: Floats,
    room: Room,
    code: int,
    smoothing: float,
    seed: int,
    epoch: int,
) -> None:
    """Write losses and gradients of texts start .. stop of a block; 0 past the end of `order`."""
    value, listed = room.value, room.listed[start]
    logits, slope = room.row_logits[start], room.row_gradients[start]
    for text in range(start, stop):
        value[text] = 0.0
        slope[:] = np.float32(0.0)
        if origin + text < order.shape[0]:
            i = order[origin + text]
            factor = targets.row_weight[i]
            draw = uniform_draw(seed, epoch, i)
            _take_row(room.logits, text, logits)
            value[text] = factor * row_gradient(
                code, i, targets, logits, 0, class_weight, smoothing, draw, listed, slope
            )
            if factor != np.float32(1.0):
                _weigh(slope, factor)
        _put_row(slope, text, room.gradient)


@jit(EXACT, part=True)
def _move(gradient: Floats, hidden: Floats, tile: int, speed: Any, tiles: Floats) -> None:
    """Add speed times G' H of one tile of classes to its weights."""
    n_block = gradient.shape[1]
    dims = tiles.shape[1]
    one = (0,)
    for j in range(0, dims, DIMS):
        a, b = zeros(one), zeros(one)
        c, d = zeros(one), zeros(one)
        for text in range(n_block):
            g = load(gradient, (tile * n_block + text) * LANES, one)
            a = add_scaled(a, hidden[text, j], g)
            b = add_scaled(b, hidden[text, j + 1], g)
            c = add_scaled(c, hidden[text, j + 2], g)
            d = add_scaled(d, hidden[text, j + 3], g)
        place = (tile * dims + j) * LANES
        store(tiles, place, add_product(load(tiles, place, one), speed, a))
        place += LANES
        store(tiles, place, add_product(load(tiles, place, one), speed, b))
        place += LANES
        store(tiles, place, add_product(load(tiles, place, one), speed, c))
        place += LANES
        store(tiles, place, add_product(load(tiles, place, one), speed, d))


@jit(SUMS, bare=True)
def _square_mean(vectors: Floats, row: int, dim: int) -> np.float32:
    total = np.float32(0.0)
    for d in range(dim):
        total += vectors[row, d] * vectors[row, d]
    return total / np.float32(dim)


@jit(EXACT, part=True)
def _plain_speed(gradient: Floats, sizes: Floats, tile: int, rate: np.float32, bias: Floats) -> Any:
    """Change the intercepts of a tile's classes and return their -rate.

    The rate is less where several texts push the same class: taken one after the other, the second
    would find the class already moved. The curvature that a text adds is at most
    ``|g| (|h|^2 + 1)``, but for shares and smoothing, whose g is 0 at their optimum; what goes
    beyond the largest one damps the step as in an implicit one.
    """
    n_block = gradient.shape[1]
    place = tile * LANES
    one = (0,)
    slope, bends, most = zeros(one), zeros(one), zeros(one)
    for text in range(n_block):
        g = load(gradient, (tile * n_block + text) * LANES, one)
        slope = add(slope, g)
        bend = add_scaled(zeros(one), sizes[text], g)
        bend = larger(bend, add_scaled(zeros(one), -sizes[text], g))
        bends = add(bends, bend)
        most = larger(most, bend)
    beyond = add_scaled(bends, np.float32(-1.0), most)
    damped = add_scaled(every(np.float32(1.0), one), rate, beyond)
    speed = quotient(every(-rate, one), damped)
    store(bias, place, add_product(load(bias, place, one), speed, slope))
    return speed


@jit(EXACT, part=True)
def _adagrad_speed(
    gradient: Floats, sizes: Floats, tile: int, rate: np.float32, bias: Floats,
    weight_squares: Floats, bias_squares: Floats,
) -> Any:  # fmt: skip
    """Add to the sums of squares, else as `_plain_speed`.

    The intercepts have sums of their own: their input is 1 where h is near 0.
    """
    n_block = gradient.shape[1]
    place = tile * LANES
    one = (0,)
    slope, scaled, squares = zeros(one), zeros(one), zeros(one)
    for text in range(n_block):
        g = load(gradient, (tile * n_block + text) * LANES, one)
        slope = add(slope, g)
        squares = add_product(squares, g, g)
        scaled = add_product(scaled, g, add_scaled(zeros(one), sizes[text], g))
    scaled = add(load(weight_squares, place, one), scaled)
    squares = add(load(bias_squares, place, one), squares)
    store(weight_squares, place, scaled)
    store(bias_squares, place, squares)
    falling = every(-rate, one)
    moved = add_product(load(bias, place, one), quotient(falling, root(squares)), slope)
    store(bias, place, moved)
    return quotient(falling, root(scaled))


@jit(EXACT, bare=True)
def _group(
    group: int, room: Room, sizes: Floats, sums: Floats, rate: np.float32, weights: Weights
) -> None:
    """Write what a group's classes pass back, W' g, then change their weights and intercepts.

    A few classes at a time, so that both find the weights in the cache. `sums` is room for what
    each lane adds up.
    """
    hidden, gradient, parts = room.hidden, room.gradient, room.parts
    _, tiles, bias, _, weight_squares, bias_squares = weights
    n_tiles, dims, _ = tiles.shape
    begin, end = n_tiles * group // GROUPS, n_tiles * (group + 1) // GROUPS
    sums[:] = np.float32(0.0)
    for first in range(begin, end, _RUN):
        last = min(first + _RUN, end)
        _back(gradient, first, last, tiles, sums)
        if weight_squares.shape[0] > 0:
            for tile in range(first, last):
                speed = _adagrad_speed(
                    gradient, sizes, tile, rate, bias, weight_squares, bias_squares
                )
                _move(gradient, hidden, tile, speed, tiles)
        else:
            for tile in range(first, last):
                speed = _plain_speed(gradient, sizes, tile, rate, bias)
                _move(gradient, hidden, tile, speed, tiles)
    for text in range(gradient.shape[1]):
        for j in range(dims):
            parts[group, text, j] = total(load(sums, (text * dims + j) * LANES, (0,)))


@jit(EXACT, bare=True)
def _groups(
    first: int, last: int, room: Room, rate: np.float32, dim: int, weights: Weights
) -> None:
    """`_group` of groups first .. last."""
    sizes, sums = room.sizes[first], room.sums[first]
    adaptive = weights.weight_squares.shape[0] > 0
    for text in range(room.hidden.shape[0]):
        sizes[text] = _square_mean(room.hidden, text, dim)
        if not adaptive:  # of the embedding and the intercept's 1
            sizes[text] = np.float32(1.0) + np.float32(dim) * sizes[text]
    for group in range(first, last):
        _group(group, room, sizes, sums, rate, weights)


@jit(EXACT, bare=True)
def _put_together(parts: Floats, dim: int, back: Floats) -> None:
    """Write what all the groups pass back."""
    for text in range(back.shape[0]):
        for j in range(dim):
            back[text, j] = parts[0, text, j]
    for group in range(1, parts.shape[0]):
        for text in range(back.shape[0]):
            for j in range(dim):
                back[text, j] += parts[group, text, j]


@jit(EXACT, bare=True)
def _step_embedding(
    order: NDArray[np.int64],
    origin: int,
    features: Features,
    room: Room,
    rate: np.float32,
    dim: int,
    chunks: Chunks,
    weights: Weights,
) -> None:
    """Change the embeddings of a block's features, text by text."""
    indptr, indices, _ = features
    embedding, squares, back = weights.embedding, weights.embedding_squares, room.back
    width = embedding.shape[1]
    step = LANES * len(chunks)
    stop = min(origin + back.shape[0], order.shape[0])
    for position in range(origin, stop):
        start, end = indptr[order[position]], indptr[order[position] + 1]
        share = np.float32(1.0 / max(end - start, 1))
        speed = -rate * share
        text = position - origin
        if squares.shape[0] > 0:
            size = share * share * _square_mean(back, text, dim)
            for j in range(start, end):
                squares[indices[j]] += size
        for part in range(0, width, step):
            b = load(back, text * width + part, chunks)
            slowed = add_scaled(zeros(chunks), speed, b)
            for j in range(start, end):
                place = np.intp(indices[j]) * width + part
                row = load(embedding, place, chunks)
                if squares.shape[0] > 0:
                    own = speed / np.sqrt(squares[indices[j]])
                    store(embedding, place, add_scaled(row, own, b))
                else:
                    store(embedding, place, add(row, slowed))


@jit(EXACT, bare=True)
def blocked_epoch(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    class_weight: Floats,
    weights: Weights,
    room: Room,
    chunks: Chunks,
    dim: int,
    code: int,
    rate_start: float,
    rate_stop: float,
    smoothing: float,
    seed: int,
    epoch: int,
    words: NDArray[np.int64],
    thread: int,
    n_threads: int,
) -> float:
    """One pass over the rows of `order` in blocks; returns the weighted sum of their losses.

    Threads call it together, each with the same arrays, and wait for each other between the parts
    of a block. Weights of classes stay with a thread, and the losses of its rows go to and fro; the
    embeddings are left to the first one.

    Parameters
    ----------
    order, features, targets, class_weight, chunks, dim, code, smoothing, seed, epoch
        As in `eitheror._kernels.embedding.embedding_epoch`.
    weights : Weights
        Changed in place.
    room : Room
    rate_start, rate_stop : float
        The learning rate falls from one to the other.
    words : int64 array
        From `meeting_words`; see `eitheror._kernels.barrier.meet`.
    thread, n_threads : int

    Returns
    -------
    float
        The same for each thread; nan where one of them has failed.
    """
    n_block = room.gradient.shape[1]
    n_tiles = weights.tiles.shape[0]
    n_rows = order.shape[0]
    alone = n_threads == 1
    start, stop = n_block * thread // n_threads, n_block * (thread + 1) // n_threads
    first, last = GROUPS * thread // n_threads, GROUPS * (thread + 1) // n_threads
    loss = 0.0
    meetings = 0
    for origin in range(0, n_rows, n_block):
        rate = np.float32(rate_start + (rate_stop - rate_start) * (origin / n_rows))
        if thread == 0:
            _average(order, n_block, origin, features, weights.embedding, chunks, room.hidden)
        meetings += n_threads
        if not (alone or meet(words, meetings)):
            return math.nan
        _logits(
            room.hidden,
            n_tiles * first // GROUPS,
            n_tiles * last // GROUPS,
            weights.tiles,
            weights.bias,
            room.logits,
        )
        parted = parted_rows(order, origin, n_block, targets, code, smoothing)
        if parted:
            parted_tops(first, last, room)
        meetings += n_threads
        if not (alone or meet(words, meetings)):
            return math.nan
        if parted:
            for group in range(first, last):
                parted_sums(order, origin, group, targets, room)
            meetings += n_threads
            if not (alone or meet(words, meetings)):
                return math.nan
            parted = parted_gradients(order, origin, first, last, targets, room)
        if not parted:
            if start < stop:
                _rows(
                    order,
                    origin,
                    start,
                    stop,
                    targets,
                    class_weight,
                    room,
                    code,
                    smoothing,
                    seed,
                    epoch,
                )
            meetings += n_threads
            if not (alone or meet(words, meetings)):
                return math.nan
        if first < last:
            _groups(first, last, room, rate, dim, weights)
        for text in range(n_block):
            loss += room.values[first, text] if parted else room.value[text]
        meetings += n_threads
        if not (alone or meet(words, meetings)):
            return math.nan
        if thread == 0:
            _put_together(room.parts, dim, room.back)
            _step_embedding(order, origin, features, room, rate, dim, chunks, weights)
    return loss


@jit(EXACT, bare=True)
def blocked_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    weights: Weights,
    room: Room,
    chunks: Chunks,
    code: int,
) -> float:
    """Weighted sum of the losses of the rows in `order`, no weight changed."""
    hidden, logits = room.hidden, room.logits
    n_block = logits.shape[1]
    row, slope, listed = room.row_logits[0], room.row_gradients[0], room.listed[0]
    no_weight = slope[:0]
    total = 0.0
    for origin in range(0, order.shape[0], n_block):
        _average(order, n_block, origin, features, weights.embedding, chunks, hidden)
        _logits(hidden, 0, weights.tiles.shape[0], weights.tiles, weights.bias, logits)
        for text in range(min(n_block, order.shape[0] - origin)):
            i = order[origin + text]
            _take_row(logits, text, row)
            total += targets.row_weight[i] * row_gradient(
                code, i, targets, row, 0, no_weight, 0.0, 0.0, listed, slope
            )
    return total
