"""Statement losses and their gradients for a block of rows, fused for full-batch optimisation.

In: logits ``(n_rows, n_classes)`` and the matching rows of :class:`~eitheror.labels.SparseTargets`.
Out: one loss per row and the gradient with respect to the logits. The formulas are those of
:mod:`eitheror.losses` (and are tested against them); here value and gradient share their
exponentials, because an optimiser always wants both.

A block is homogeneous (all rows of one mode): :func:`order_by_mode` sorts rows so, once, which
keeps index juggling out of the inner loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import MARGINALS, SHARES, UNKNOWN, SparseTargets
from eitheror.labels._sparse import row_of_entries

__all__ = ["OBJECTIVES", "Block", "Objective", "effective_mode", "make_block", "order_by_mode"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Block:
    """Targets of consecutive rows, ready for an objective.

    ``dense`` is ``(n_rows, n_classes)``: evidence weights, shares, or marginals with nan for
    unknown entries, as ``mode`` says. ``groups`` holds the "at least one of" statements of
    multilabel rows as flat arrays ``(row, class, start of each group)``, or None.
    """

    mode: int
    dense: Floats
    groups: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None
    smoothing: float
    column_weight: Floats | None


Objective = Callable[[Floats, Block], tuple[Floats, Floats]]


def order_by_mode(targets: SparseTargets) -> NDArray[np.int64]:
    """Rows that say something, grouped by mode; rows that say nothing are left out."""
    mode = np.asarray(targets.mode)
    has_group = np.diff(targets.group_indptr) > 0
    kept = np.flatnonzero((mode != UNKNOWN) | has_group)
    return kept[np.argsort(effective_mode(mode[kept]), kind="stable")].astype(np.int64)


def effective_mode(mode: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mode of rows that say something: one with groups only is MARGINALS without known entries."""
    return np.where(mode == UNKNOWN, np.uint8(MARGINALS), mode)


def make_block(
    targets: SparseTargets,
    smoothing: float = 0.0,
    column_weight: Floats | None = None,
) -> Block:
    """Dense targets of rows that all have one mode (see :func:`order_by_mode`)."""
    mode = int(effective_mode(np.asarray(targets.mode))[0])
    return Block(mode, targets.dense(np.float64), _groups(targets), smoothing, column_weight)


def _groups(
    targets: SparseTargets,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    if len(targets.group_indices) == 0:
        return None
    ends = np.asarray(targets.group_ends, dtype=np.int64)
    row_of_group = row_of_entries(targets.group_indptr)
    rows = np.repeat(row_of_group, np.diff(ends))
    return rows, np.asarray(targets.group_indices, dtype=np.int64), ends[:-1]


# --- one class is true ---------------------------------------------------------------------


def _softmax(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    if block.mode == SHARES:
        value, gradient = _shares(logits, block.dense)
    else:
        value, gradient = _evidence(logits, block.dense)
    return _smooth(logits, value, gradient, block)


def _evidence(logits: Floats, weights: Floats) -> tuple[Floats, Floats]:
    # d = lse(f + log(1-w)) - lse(f + log w); loss = softplus(d)
    # gradient = sigmoid(d) * (softmax of the ruled-out part - softmax of the allowed part)
    against, max_against, sum_against = _weighted_exp(logits, 1.0 - weights)
    allowed, max_allowed, sum_allowed = _weighted_exp(logits, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        # an empty "against" part gives log 0 = -inf: loss 0, gradient 0; an empty allowed part
        # is a contradiction: nan
        d = (max_against - max_allowed) + np.log(sum_against / sum_allowed)
        contradiction = sum_allowed == 0
        value = np.logaddexp(0.0, d)
        scale = np.exp(-np.logaddexp(0.0, -d))
    value[contradiction] = np.nan
    sum_against[sum_against == 0] = 1.0
    against *= (scale / sum_against)[:, None]
    allowed *= (scale / sum_allowed)[:, None]
    return value, against - allowed


def _weighted_exp(logits: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """``w exp(f - m)`` with m the largest logit of positive weight, m itself, and the row sum."""
    masked = np.where(weights > 0, logits, -np.inf)
    top = masked.max(axis=1)
    top[np.isneginf(top)] = 0.0
    masked -= top[:, None]
    np.exp(masked, out=masked)
    masked *= weights
    return masked, top, masked.sum(axis=1)


def _log_softmax(logits: Floats) -> tuple[Floats, Floats]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    shifted -= np.log(total)
    exp /= total
    return shifted, exp


def _shares(logits: Floats, shares: Floats) -> tuple[Floats, Floats]:
    # -sum t_k log p_k; gradient p - t
    log_p, p = _log_softmax(logits)
    return -_weighted_log(shares, log_p).sum(axis=1), p - shares


def _weighted_log(shares: Floats, log_p: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(shares > 0, shares * log_p, 0.0)  # 0 log 0 = 0


def _smooth(logits: Floats, value: Floats, gradient: Floats, block: Block) -> tuple[Floats, Floats]:
    # (1-e) loss + e mean_k(-log p_k); rows that say nothing stay at 0
    if block.smoothing == 0:
        return value, gradient
    log_p, p = _log_softmax(logits)
    smoothing = block.smoothing * _speaks(block)
    value = (1 - smoothing) * value - smoothing * log_p.mean(axis=1)
    smoothing = smoothing[:, None]
    gradient = (1 - smoothing) * gradient + smoothing * (p - 1 / logits.shape[1])
    return value, gradient


def _uniform(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # every class that is not ruled out gets its share of the weight: one half each for "A or B"
    shares = block.dense / block.dense.sum(axis=1, keepdims=True)
    value, gradient = _shares(logits, shares)
    speaks = _speaks(block)
    value, gradient = value * speaks, gradient * speaks[:, None]
    return _smooth(logits, value, gradient, block)


_Bend = Callable[[Floats], tuple[Floats, Floats]]


def _set_mae(loss: Floats) -> tuple[Floats, Floats]:
    # 1 - P
    return -np.expm1(-loss), np.exp(-loss)


def _gce(loss: Floats) -> tuple[Floats, Floats]:
    # (1 - P^q) / q, q = .7
    return -np.expm1(-0.7 * loss) / 0.7, np.exp(-0.7 * loss)


def _scl_exp(loss: Floats) -> tuple[Floats, Floats]:
    # exp(1 - P)
    wrong = -np.expm1(-loss)
    return np.exp(wrong), np.exp(wrong - loss)


def _bent(bend: _Bend) -> Objective:
    """psi(-log P) for psi and its derivative; shares cost the mean of psi over their classes."""

    def objective(logits: Floats, block: Block) -> tuple[Floats, Floats]:
        amounts = np.zeros_like(block.dense)
        value: Floats = np.zeros(len(logits))
        gradient: Floats = np.zeros_like(block.dense)
        if block.mode == SHARES:
            amounts = (1 - block.smoothing) * block.dense
        else:
            loss, slope = _evidence(logits, block.dense)
            bent, first = bend(loss)
            value = (1 - block.smoothing) * bent * _speaks(block)
            gradient = (1 - block.smoothing) * first[:, None] * slope
        amounts += block.smoothing / logits.shape[1] * _speaks(block)[:, None]
        if amounts.any():
            log_p, p = _log_softmax(logits)
            bent, first = bend(-log_p)
            value = value + (amounts * bent).sum(axis=1)
            charged = amounts * first
            gradient = gradient + charged.sum(axis=1, keepdims=True) * p - charged
        return value, gradient

    return objective


def _speaks(block: Block) -> NDArray[np.bool_]:
    """Rows that say something: a set of all classes does not."""
    return np.asarray((block.dense != 1).any(axis=1))


def _order_preserving(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # sum_k u_k (lse(-f) + f_k), u = 1 - w: what the row rules out
    ruled_out = np.maximum(1.0 - block.dense, 0.0)
    if block.smoothing:
        even = (1 - 1 / logits.shape[1]) * _speaks(block)[:, None]
        ruled_out = (1 - block.smoothing) * ruled_out + block.smoothing * even
    log_p, p = _log_softmax(-logits)
    value = -_weighted_log(ruled_out, log_p).sum(axis=1)
    return value, ruled_out - ruled_out.sum(axis=1, keepdims=True) * p


# --- several classes may be true -----------------------------------------------------------


def _one_vs_all(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # sum over known entries of softplus(f) - y f, gradient sigmoid(f) - y
    value, gradient = _binary(logits, block.dense, block)
    if block.groups is not None:
        _add_groups(logits, block, value, gradient)
    return value, gradient


def _binary(logits: Floats, targets: Floats, block: Block) -> tuple[Floats, Floats]:
    known = ~np.isnan(targets)
    y = np.where(known, targets, 0.0)
    if block.smoothing:
        y = y * (1 - block.smoothing) + block.smoothing / 2
    weight = known if block.column_weight is None else known * block.column_weight
    softplus = np.logaddexp(0.0, logits)
    entry = np.where(known, softplus - y * logits, 0.0) * weight
    return entry.sum(axis=1), (np.exp(logits - softplus) - y) * weight


def _add_groups(logits: Floats, block: Block, value: Floats, gradient: Floats) -> None:
    """Add -log(1 - prod_k (1 - sigmoid(f_k))) of every "at least one of" group, in place."""
    assert block.groups is not None
    rows, columns, starts = block.groups
    f = logits[rows, columns].astype(np.float64)
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    # s = sum softplus(f); loss = -log(1 - e^-s). For very negative f, log softplus(f) = f.
    softplus = np.logaddexp(0.0, f)
    with np.errstate(divide="ignore"):
        log_softplus = np.where(f < -30, f, np.log(softplus))
    top = np.maximum.reduceat(log_softplus, starts)
    log_s = top + np.log(np.add.reduceat(np.exp(log_softplus - top[group]), starts))
    s = np.exp(log_s)
    # log(e^s - 1), from log s where s is tiny
    log_expm1 = np.where(s < 1e-8, log_s, s + np.log(-np.expm1(-np.maximum(s, 1e-300))))
    loss = s - log_expm1
    slope = -np.exp((f - softplus) - log_expm1[group])
    weight = np.ones(len(starts))
    if block.column_weight is not None:
        sizes = np.diff(np.append(starts, len(rows)))
        weight = np.add.reduceat(block.column_weight[columns], starts) / sizes
    np.add.at(value, rows[starts], loss * weight)
    np.add.at(gradient, (rows, columns), slope * weight[group])


def _one_vs_all_normalised(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # as _one_vs_all with target y / |y|: sigmoid(f_k) estimates E[y_k / |y|]
    present = np.nansum(block.dense, axis=1, keepdims=True)
    return _binary(logits, block.dense / np.where(present > 0, present, 1.0), block)


def _pick_all(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # |y| lse(f) - sum over present tags of f; unknown tags count as not named
    tags = np.nan_to_num(block.dense)
    if block.column_weight is not None:
        tags = tags * block.column_weight
    return _tag_shares(logits, tags, block.smoothing)


def _pick_all_normalised(logits: Floats, block: Block) -> tuple[Floats, Floats]:
    # the same divided by |y|; a row without a tag says nothing here
    tags = np.nan_to_num(block.dense)
    present = tags.sum(axis=1, keepdims=True)
    tags = tags / np.where(present > 0, present, 1.0)
    if block.column_weight is not None:
        tags = tags * block.column_weight
    return _tag_shares(logits, tags, block.smoothing)


def _tag_shares(logits: Floats, tags: Floats, smoothing: float) -> tuple[Floats, Floats]:
    mass = tags.sum(axis=1, keepdims=True)
    tags = (1 - smoothing) * tags + smoothing * mass / logits.shape[1]
    log_p, p = _log_softmax(logits)
    return -_weighted_log(tags, log_p).sum(axis=1), mass * p - tags


OBJECTIVES: dict[str, Objective] = {
    "softmax": _softmax,
    "uniform": _uniform,
    "random-pick": _uniform,
    "set-mae": _bent(_set_mae),
    "gce": _bent(_gce),
    "scl-exp": _bent(_scl_exp),
    "op": _order_preserving,
    "ova": _one_vs_all,
    "ova-n": _one_vs_all_normalised,
    "pal": _pick_all,
    "pal-n": _pick_all_normalised,
    "pol": _pick_all_normalised,
}
"""Objectives by the word of the ``loss`` option. The two that draw a label at random are optimised
in expectation, which is "uniform" for "random-pick" and "pal-n" for "pol"."""
