"""Compiled epoch of averaged embeddings for many classes: a block of texts at a time.

The model and the losses are those of `embedding`, where each text reads and writes the weights of
all the classes. Here a block of texts shares one reading and one writing: the losses of its rows
are taken at the weights that the block finds, and their gradients are added up.

The weights are cut into tiles of 16 classes, ``tiles[tile, d, lane]``, so that one vector holds the
same number of 16 classes and every product is a sum of scaled vectors. Each number is a sum in an
order that does not depend on who computes it: rows of a block may be shared out among threads, and
tiles too, and the bits stay the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.arrays import Features, Targets
from eitheror._kernels.barrier import meet
from eitheror._kernels.blocks import DIMS, TEXTS, Room, Weights
from eitheror._kernels.common import EXACT, SUMS, jit
from eitheror._kernels.losses import row_gradient, uniform_draw
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

__all__ = [
    "DIMS",
    "TEXTS",
    "Room",
    "Weights",
    "blocked_epoch",
    "blocked_loss",
    "gradients_of_rows",
    "step_embedding",
    "step_tiles",
]

Floats = NDArray[np.float32]
Chunks = tuple[int, ...]

_RUN = 16  # tiles, and numbers of their classes, that stay in the first cache: 16 KB
_LINE = 16  # float32 numbers in a cache line


@jit(EXACT, bare=True)
def _average(
    order: NDArray[np.int64],
    start: int,
    stop: int,
    origin: int,
    features: Features,
    embedding: Floats,
    chunks: Chunks,
    hidden: Floats,
) -> None:
    """Write the mean embeddings of texts start .. stop of the block; 0 past the end of `order`."""
    indptr, indices, _ = features
    width = embedding.shape[1]
    step = LANES * len(chunks)
    n_rows = order.shape[0]
    for position in range(origin + start, origin + stop):
        if position + 1 < min(origin + stop, n_rows):
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
    hidden: Floats, start: int, stop: int, tiles: Floats, bias: Floats, out: Floats
) -> None:
    """Write W h + bias of texts start .. stop of the block, padding too."""
    n_tiles, dims, _ = tiles.shape
    stride = out.shape[1]
    one = (0,)
    for tile in range(n_tiles):
        for text in range(start, stop, TEXTS):
            a = load(bias, tile * LANES, one)
            b, c, d = a, a, a
            for j in range(dims):
                w = load(tiles, (tile * dims + j) * LANES, one)
                a = add_scaled(a, hidden[text, j], w)
                b = add_scaled(b, hidden[text + 1, j], w)
                c = add_scaled(c, hidden[text + 2, j], w)
                d = add_scaled(d, hidden[text + 3, j], w)
            place = text * stride + tile * LANES
            store(out, place, a)
            store(out, place + stride, b)
            store(out, place + 2 * stride, c)
            store(out, place + 3 * stride, d)


@jit(EXACT, bare=True)
def _back(
    gradient: Floats, start: int, stop: int, tiles: Floats, dim: int, back: Floats, sums: Floats
) -> None:
    """Write W' g of texts start .. stop of the block: two texts and two numbers at a time.

    A few classes and a few numbers of each stay in the first cache while the texts go by. `sums` is
    room for what each lane has added up.
    """
    n_tiles, dims, _ = tiles.shape
    stride = gradient.shape[1]
    one = (0,)
    sums[start:stop] = np.float32(0.0)
    for first in range(0, n_tiles, _RUN):
        last = min(first + _RUN, n_tiles)
        for part in range(0, dims, _RUN):
            for text in range(start, stop, 2):
                for j in range(part, min(part + _RUN, dims), 2):
                    place = (text * dims + j) * LANES
                    a, b = load(sums, place, one), load(sums, place + LANES, one)
                    c = load(sums, place + dims * LANES, one)
                    d = load(sums, place + (dims + 1) * LANES, one)
                    for tile in range(first, last):
                        g = load(gradient, text * stride + tile * LANES, one)
                        k = load(gradient, (text + 1) * stride + tile * LANES, one)
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
    for text in range(start, stop):
        for j in range(dim):
            back[text, j] = total(load(sums, (text * dims + j) * LANES, one))


@jit(SUMS, bare=True)
def _weigh(gradient: Floats, factor: np.float32) -> None:
    for k in range(gradient.shape[0]):
        gradient[k] *= factor


@jit(EXACT, bare=True)
def gradients_of_rows(
    order: NDArray[np.int64],
    origin: int,
    start: int,
    stop: int,
    features: Features,
    targets: Targets,
    class_weight: Floats,
    weights: Weights,
    room: Room,
    n_classes: int,
    chunks: Chunks,
    dim: int,
    code: int,
    smoothing: float,
    seed: int,
    epoch: int,
) -> None:
    """Take the losses of texts start .. stop of a block and what they ask for.

    Parameters
    ----------
    order, features, targets, class_weight, chunks, dim, code, smoothing, seed, epoch
        As in `eitheror._kernels.embedding.embedding_epoch`.
    origin : int
        Position in `order` where the block begins.
    start, stop : int
        Rows of the block, multiples of `TEXTS`; those past the end of `order` get 0.
    weights : Weights
    room : Room
        These rows of it are written: values and gradients times the weights of the rows.
    n_classes : int
    """
    hidden, gradient, back, value = room.hidden, room.gradient, room.back, room.value
    _average(order, start, stop, origin, features, weights.embedding, chunks, hidden)
    _logits(hidden, start, stop, weights.tiles, weights.bias, room.logits)
    listed = room.listed[start // TEXTS]
    for text in range(start, stop):
        slope = gradient[text, :n_classes]
        value[text] = 0.0
        if origin + text >= order.shape[0]:
            slope[:] = np.float32(0.0)
            continue
        logits = room.logits[text, :n_classes]
        i = order[origin + text]
        factor = targets.row_weight[i]
        draw = uniform_draw(seed, epoch, i)
        value[text] = factor * row_gradient(
            code, i, targets, logits, 0, class_weight, smoothing, draw, listed, slope
        )
        if factor != np.float32(1.0):
            _weigh(slope, factor)
    _back(gradient, start, stop, weights.tiles, dim, back, room.sums)


@jit(EXACT, part=True)
def _move(gradient: Floats, hidden: Floats, tile: int, speed: Any, tiles: Floats) -> None:
    """Add speed times G' H of one tile of classes to its weights."""
    n_block, stride = gradient.shape
    dims = tiles.shape[1]
    one = (0,)
    for j in range(0, dims, DIMS):
        a, b = zeros(one), zeros(one)
        c, d = zeros(one), zeros(one)
        for text in range(n_block):
            g = load(gradient, text * stride + tile * LANES, one)
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
def _plain_speed(
    gradient: Floats, sizes: Floats, tile: int, rate: np.float32, bias: Floats
) -> Any:
    """Change the intercepts of a tile's classes and return their -rate.

    The rate is less where several texts push the same class: taken one after the other, the second
    would find the class already moved. The curvature that a text adds is at most
    ``|g| (|h|^2 + 1)``, but for shares and smoothing, whose g is 0 at their optimum; what goes
    beyond the largest one damps the step as in an implicit one.
    """
    n_block, stride = gradient.shape
    place = tile * LANES
    one = (0,)
    slope, bends, most = zeros(one), zeros(one), zeros(one)
    for text in range(n_block):
        g = load(gradient, text * stride + place, one)
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
    n_block, stride = gradient.shape
    place = tile * LANES
    one = (0,)
    slope, scaled, squares = zeros(one), zeros(one), zeros(one)
    for text in range(n_block):
        g = load(gradient, text * stride + place, one)
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
def step_tiles(
    first: int, last: int, room: Room, rate: np.float32, dim: int, weights: Weights
) -> None:
    """Change the weights and intercepts of tiles first .. last by a block's gradient.

    Parameters
    ----------
    first, last : int
    room : Room
        From `gradients_of_rows`.
    rate : float
    dim : int
        Numbers of an embedding that are not padding.
    weights : Weights
        Changed in place.
    """
    hidden, gradient, sizes = room.hidden, room.gradient, room.sizes[first]
    _, tiles, bias, _, weight_squares, bias_squares = weights
    if weight_squares.shape[0] > 0:
        for text in range(gradient.shape[0]):
            sizes[text] = _square_mean(hidden, text, dim)
        for tile in range(first, last):
            speed = _adagrad_speed(
                gradient, sizes, tile, rate, bias, weight_squares, bias_squares
            )
            _move(gradient, hidden, tile, speed, tiles)
        return
    for text in range(gradient.shape[0]):
        sizes[text] = np.float32(1.0) + np.float32(dim) * _square_mean(hidden, text, dim)
    for tile in range(first, last):
        speed = _plain_speed(gradient, sizes, tile, rate, bias)
        _move(gradient, hidden, tile, speed, tiles)


@jit(EXACT, bare=True)
def step_embedding(
    order: NDArray[np.int64],
    origin: int,
    features: Features,
    room: Room,
    rate: np.float32,
    dim: int,
    chunks: Chunks,
    weights: Weights,
) -> None:
    """Change the embeddings of a block's features, text by text.

    Parameters
    ----------
    order, origin, features, room, dim, chunks
        As in `gradients_of_rows`.
    rate : float
    weights : Weights
        Changed in place.
    """
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
    n_classes: int,
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

    Threads call it together, each with the same arrays. They share out the rows of a block, wait
    for each other, share out its classes, and wait again.

    Parameters
    ----------
    rate_start, rate_stop : float
        The learning rate falls from one to the other.
    words : int64 array of shape (2,)
        Zeros; see `eitheror._kernels.barrier.meet`.
    thread, n_threads : int
    others
        As in `gradients_of_rows`; `weights` is changed in place.

    Returns
    -------
    float
        The same for each thread; nan where one of them has failed.
    """
    n_block = room.gradient.shape[0]
    n_tiles = weights.tiles.shape[0]
    n_rows = order.shape[0]
    parts = n_block // TEXTS
    start, stop = parts * thread // n_threads * TEXTS, parts * (thread + 1) // n_threads * TEXTS
    first, last = n_tiles * thread // n_threads, n_tiles * (thread + 1) // n_threads
    total = 0.0
    meetings = 0
    for origin in range(0, n_rows, n_block):
        if start < stop:
            gradients_of_rows(
                order,
                origin,
                start,
                stop,
                features,
                targets,
                class_weight,
                weights,
                room,
                n_classes,
                chunks,
                dim,
                code,
                smoothing,
                seed,
                epoch,
            )
        meetings += n_threads
        if n_threads > 1 and not meet(words, meetings):
            return math.nan
        rate = np.float32(rate_start + (rate_stop - rate_start) * (origin / n_rows))
        if first < last:
            step_tiles(first, last, room, rate, dim, weights)
        if thread == 0:
            step_embedding(order, origin, features, room, rate, dim, chunks, weights)
        for text in range(n_block):
            total += room.value[text]
        meetings += n_threads
        if n_threads > 1 and not meet(words, meetings):
            return math.nan
    return total


@jit(EXACT, bare=True)
def blocked_loss(
    order: NDArray[np.int64],
    features: Features,
    targets: Targets,
    weights: Weights,
    room: Room,
    n_classes: int,
    chunks: Chunks,
    code: int,
) -> float:
    """Weighted sum of the losses of the rows in `order`, no weight changed."""
    hidden, logits = room.hidden, room.logits
    n_block = logits.shape[0]
    slope, listed = room.gradient[0, :n_classes], room.listed[0]
    no_weight = slope[:0]
    total = 0.0
    for origin in range(0, order.shape[0], n_block):
        _average(order, 0, n_block, origin, features, weights.embedding, chunks, hidden)
        _logits(hidden, 0, n_block, weights.tiles, weights.bias, logits)
        for text in range(min(n_block, order.shape[0] - origin)):
            i = order[origin + text]
            row = logits[text, :n_classes]
            total += targets.row_weight[i] * row_gradient(
                code, i, targets, row, 0, no_weight, 0.0, 0.0, listed, slope
            )
    return total
