"""The loss of statements about very many classes, from features, without the logits.

The rows are walked in blocks. For each block the logits of all classes stand in one buffer, which
becomes their exponentials and then their gradient, so that every logit and every exponential is
computed once and the buffer is all the memory that is needed beside the gradients themselves.
Statements stay sparse: only the classes that a row lists are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eitheror.labels import EVIDENCE, SHARES, UNKNOWN, Labels, SparseTargets
from eitheror.torch._losses import check_reduction
from eitheror.torch._rows import BLOCK

__all__ = ["partial_linear_cross_entropy"]

# Logits held at a time: enough rows for a matrix product at full speed.
BUFFER = 2**24
# What float16 gradients are multiplied by until they are in float32.
LIFT = 2.0**8


def partial_linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Labels | SparseTargets,
    *,
    reduction: str = "mean",
    chunk_size: int | None = None,
) -> Tensor:
    """`partial_cross_entropy` of a linear layer's logits, which are never held all at once.

    ``partial_cross_entropy(features @ weight.T + bias, labels.to_targets())`` for any number of
    classes: neither the logits nor the targets are made as a matrix of shape (n_samples,
    n_classes).

    Parameters
    ----------
    features : tensor of shape (n_samples, n_features)
        What the last linear layer would be given.
    weight : tensor of shape (n_classes, n_features)
        As ``torch.nn.Linear`` holds it, in the dtype of the features. Under ``autocast`` they may
        differ, and all take autocast's dtype, as in ``torch.nn.Linear``.
    bias : tensor of shape (n_classes,), or None
    labels : Labels or SparseTargets, of length n_samples
        Multiclass statements. In a training loop, make ``sparse = labels.sparse()`` once and give
        ``sparse.take(rows)`` for each batch. A row may list the classes it allows or those it
        rules out, with weights, or shares; its time grows with what it lists. Weights and shares
        are float32 here, so that .7 is .69999999.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` is over the rows that say something, 0 where none does. With ``"none"`` the
        logits are computed a second time for the gradient.
    chunk_size : int, optional
        Rows whose logits are held at a time; by default as many as make 64 MB of float32, but at
        most a sixteenth of the rows (or 16).

    Returns
    -------
    tensor
        A number, or of shape (n_samples,) for ``"none"``, 0 for rows that say nothing; in the
        precision of the features, float32 for 16-bit ones. nan for a row that allows no class.

    Raises
    ------
    ValueError
        For shapes that do not fit and for multilabel labels.
    RuntimeError
        Where a second derivative is asked for: `partial_cross_entropy` has it.

    See Also
    --------
    partial_cross_entropy : from logits, with class weights and label smoothing.

    Notes
    -----
    With ``"mean"`` and ``"sum"`` the gradient is computed together with the value: three matrix
    products in all, as many as a linear layer needs.

    Examples
    --------
    >>> import torch
    >>> import eitheror as eo
    >>> from eitheror.torch import partial_linear_cross_entropy
    >>> labels = eo.Labels(["a", eo.either("a", "b"), eo.not_("c"), None], classes=["a", "b", "c"])
    >>> head = torch.nn.Linear(5, 3)
    >>> features = torch.zeros(4, 5, requires_grad=True)
    >>> loss = partial_linear_cross_entropy(features, head.weight, head.bias, labels)
    >>> loss.backward()
    >>> features.grad.shape
    torch.Size([4, 5])
    """
    check_reduction(reduction)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it is a number of rows, at least 1")
    targets = labels.sparse() if isinstance(labels, Labels) else labels
    features, weight, bias = _one_dtype(features, weight, bias)
    _check(features, weight, bias, targets)
    speaks = _speaks(targets)
    if not speaks.all():
        targets = targets.take(np.flatnonzero(speaks))
    known = torch.from_numpy(speaks).to(features.device)
    told = features if known.all() else features[known]
    statements = _Statements.read(targets, features.device)
    size = chunk_size or _default_rows(len(told), weight.shape[0])
    with torch.autocast(features.device.type, enabled=False):
        value = _LinearLoss.apply(told, weight, bias, statements, size, reduction)
    if reduction == "none":
        return value.new_zeros(len(features)).index_put((known,), value)
    return value


def _speaks(targets: SparseTargets) -> NDArray[np.bool_]:
    """Return which rows say something: not those that give every class the weight 1."""
    doubts = np.concatenate([[0], np.cumsum(targets.values != 1)])
    open_ = np.diff(doubts[targets.indptr]) == 0
    open_ &= (targets.rest == 1) | (np.diff(targets.indptr) == targets.n_classes)
    speaks: NDArray[np.bool_] = targets.mode != UNKNOWN
    speaks &= (targets.mode != EVIDENCE) | ~open_
    return speaks


def _allows_nothing(targets: SparseTargets) -> NDArray[np.bool_]:
    """Return which rows of evidence give every class the weight 0."""
    positive = np.concatenate([[0], np.cumsum(targets.values > 0)])
    listed = np.diff(positive[targets.indptr]) > 0
    others = (targets.rest > 0) & (np.diff(targets.indptr) < targets.n_classes)
    void: NDArray[np.bool_] = (targets.mode == EVIDENCE) & ~listed & ~others
    return void


class _Statements(NamedTuple):
    """Sparse targets of rows that all say something, as tensors.

    For each row: ``rest``, the weight of the classes that it does not list, and ``shares``,
    whether it is shares. For each listed class: its ``row``, ``column`` and ``value``. ``ends`` are
    the rows' bounds among the listed.
    """

    ends: Tensor
    rest: Tensor
    shares: Tensor
    row: Tensor
    column: Tensor
    value: Tensor

    @classmethod
    def read(cls, targets: SparseTargets, device: torch.device) -> _Statements:
        """Move targets to a device."""
        ends = torch.from_numpy(targets.indptr)
        row = torch.repeat_interleave(torch.arange(len(targets)), ends.diff())
        columns = torch.from_numpy(targets.indices).long()
        parts = (
            torch.from_numpy(np.where(_allows_nothing(targets), np.float32(np.nan), targets.rest)),
            torch.from_numpy(targets.mode == SHARES),
            row,
            columns,
            torch.from_numpy(targets.values),
        )
        return cls(ends, *(part.to(device) for part in parts))

    def rows(self, start: int, end: int) -> _Statements:
        """Return the statements of a run of rows, which are counted from its start."""
        first, last = int(self.ends[start]), int(self.ends[end])
        return _Statements(
            self.ends[start : end + 1] - first,
            self.rest[start:end],
            self.shares[start:end],
            self.row[first:last] - start,
            self.column[first:last],
            self.value[first:last],
        )


class _Sides(NamedTuple):
    """The value of each row, and what its gradient is made of.

    The gradient is ``unlisted`` times the exponential of the logit (less the row's largest) for
    the classes that a row does not list, one number a row, and ``listed`` for those it lists.
    """

    value: Tensor
    unlisted: Tensor
    listed: Tensor


class _Gradients(NamedTuple):
    """Gradients to add to, or None where none is wanted."""

    features: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @classmethod
    def wanted(cls, needed: tuple[bool, ...], *tensors: Tensor | None) -> _Gradients:
        """Return room for the gradients that are needed, in 32 bits at least."""
        return cls(
            *(
                torch.zeros_like(tensor, dtype=_wide(tensor.dtype))
                if need and tensor is not None
                else None
                for need, tensor in zip(needed, tensors, strict=True)
            )
        )


class _LinearLoss(torch.autograd.Function):  # type: ignore[misc]
    """The reduced loss; its gradient is computed with it unless it is wanted row by row."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        statements: _Statements,
        size: int,
        reduction: str,
    ) -> Tensor:
        ctx.statements, ctx.size, ctx.reduction = statements, size, reduction
        n = max(len(features), 1) if reduction == "mean" else 1
        # no loss scale can lift the gradients here, and those of one class in many are tiny
        lift = LIFT if features.dtype == torch.float16 and reduction != "none" else 1.0
        scale = features.new_full((len(features),), lift, dtype=_wide(features.dtype))
        ctx.divisor = lift * n
        needed = tuple(ctx.needs_input_grad[:3]) if reduction != "none" else (False,) * 3
        gradients = _Gradients.wanted(needed, features, weight, bias)
        value = _walk(features, weight, bias, statements, size, scale, gradients)
        inputs = (features, weight, bias)
        ctx.save_for_backward(*(inputs if reduction == "none" else gradients))
        return value if reduction == "none" else value.sum() / n

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # else the second derivative would silently be 0
            raise RuntimeError(
                "partial_linear_cross_entropy has no second derivative (create_graph=True); "
                "write partial_cross_entropy(features @ weight.T + bias, targets)"
            )
        if ctx.reduction != "none":
            part = grad / ctx.divisor
            saved = ctx.saved_tensors
            return *(None if x is None else x * part for x in saved), None, None, None
        features, weight, bias = ctx.saved_tensors
        gradients = _Gradients.wanted(ctx.needs_input_grad[:3], features, weight, bias)
        scale = grad.contiguous()
        _walk(features, weight, bias, ctx.statements, ctx.size, scale, gradients)
        return *gradients, None, None, None


def _walk(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    statements: _Statements,
    size: int,
    scale: Tensor,
    gradients: _Gradients,
) -> Tensor:
    """Return the loss of each row and add the gradients of ``sum(scale * loss)``."""
    n, n_classes = len(features), weight.shape[0]
    value = torch.empty_like(scale)
    wanted = any(gradient is not None for gradient in gradients)
    room = weight.new_empty((min(size, n), n_classes))
    for start in range(0, n, size):
        end = min(start + size, n)
        x = features[start:end]
        logits = _logits(x, weight, bias, room[: end - start])
        for first, last in _inner(end - start, n_classes, logits.device):
            rows = slice(start + first, start + last)
            here = statements.rows(rows.start, rows.stop)
            value[rows] = _differentiate(logits[first:last], here, scale[rows], wanted)
        if wanted:
            _add(gradients, start, x, weight, logits)
    return value


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)
    return out.to(_wide(out.dtype))


def _inner(n: int, n_classes: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Return runs of rows whose logits stay in the cache; all rows on other devices."""
    size = max(1, BLOCK // n_classes) if device.type == "cpu" else n
    return ((first, min(first + size, n)) for first in range(0, n, size))


def _differentiate(f: Tensor, statements: _Statements, scale: Tensor, wanted: bool) -> Tensor:
    """Return the loss of each row; the logits become the gradient of ``sum(scale * loss)``."""
    places = statements.row * f.shape[1] + statements.column
    flat = f.view(-1)
    listed = flat[places]
    flat[places] = -torch.inf
    top = f.amax(-1)
    top = torch.where(top == -torch.inf, 0.0, top)  # every class is listed
    mass = f.sub_(top[:, None]).exp_().sum(-1)
    sides = _combine(statements, listed, top, mass)
    if wanted:
        f.mul_((scale * sides.unlisted)[:, None])
        flat[places] = sides.listed * scale[statements.row]
    return sides.value


def _combine(statements: _Statements, listed: Tensor, top: Tensor, mass: Tensor) -> _Sides:
    """Weigh the listed logits of each row against the exponentials of all others.

    The side that is allowed and the side that is ruled out are each shifted by their own largest
    logit, and their difference is taken last. For shares the second side is all classes.
    """
    row, shares = statements.row, statements.shares
    value, rest = statements.value.to(top.dtype), statements.rest.to(top.dtype)
    yes = _Side.weigh(row, value, listed, rest, top, mass)
    against = torch.where(shares[row], 1.0, 1.0 - value)
    no = _Side.weigh(row, against, listed, torch.where(shares, 1.0, 1.0 - rest), top, mass)
    d = torch.where(no.mass == 0, -torch.inf, (no.top - yes.top) + (no.log_mass - yes.log_mass))
    d = torch.where((yes.mass == 0) & ~shares, torch.inf, d)
    loss = d.clamp(min=0) + torch.log1p(torch.exp(-d.abs()))
    surprise = torch.where(value > 0, (no.top[row] - listed) + no.log_mass[row], 0.0)
    cost = torch.zeros_like(loss).index_add_(0, row, value * surprise)
    charged = torch.zeros_like(loss).index_add_(0, row, value)
    slope = torch.where(shares, charged, torch.sigmoid(d))
    unlisted = slope * (no.unlisted - torch.where(shares, 0.0, yes.unlisted))
    held = torch.where(shares[row], value / charged[row], yes.listed)
    return _Sides(torch.where(shares, cost, loss), unlisted, slope[row] * (no.listed - held))


class _Side(NamedTuple):
    """A weighted sum of exponentials, ``mass exp(top)`` in each row, and the shares in it.

    ``unlisted`` is the share of a class that is not listed, over the exponential of its logit
    less the largest unlisted one.
    """

    top: Tensor
    mass: Tensor
    log_mass: Tensor
    unlisted: Tensor
    listed: Tensor

    @classmethod
    def weigh(
        cls, row: Tensor, weights: Tensor, listed: Tensor, rest: Tensor, top: Tensor, mass: Tensor
    ) -> _Side:
        """Add up the listed logits with their weights, and the others with the weight ``rest``."""
        others = (rest > 0) & (mass > 0)
        largest = torch.where(others, top, -torch.inf)
        counted = torch.where(weights > 0, listed, -torch.inf)
        largest = largest.scatter_reduce(0, row, counted, "amax")
        largest = torch.where(largest == -torch.inf, 0.0, largest)
        # what has no weight may lie above the largest that has
        away = torch.where(others, top - largest, 0.0).exp() * rest
        near = torch.where(weights > 0, listed - largest[row], 0.0).exp() * weights
        total = (away * mass).double().index_add_(0, row, near.double()).to(mass.dtype)
        safe = torch.where(total == 0, 1.0, total)
        return cls(largest, total, safe.log(), away / safe, near / safe[row])


def _add(gradients: _Gradients, start: int, x: Tensor, weight: Tensor, slope: Tensor) -> None:
    """Add what a block of rows, with this gradient in its logits, gives."""
    narrow = slope.to(x.dtype)
    if gradients.features is not None:
        gradients.features[start : start + len(x)] = narrow @ weight
    if gradients.weight is not None:
        if x.dtype == torch.bfloat16:
            gradients.weight.add_(narrow.t() @ x)
        else:  # float16 has too short a range for sums over rows
            gradients.weight.addmm_(slope.t(), x.to(slope.dtype))
    if gradients.bias is not None:
        gradients.bias.add_(slope.sum(0))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _one_dtype(
    features: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return what came; in autocast's dtype where it is on and the dtypes differ."""
    kind = features.device.type
    if features.dtype == weight.dtype or not torch.is_autocast_enabled(kind):
        return features, weight, bias
    narrow = torch.get_autocast_dtype(kind)
    return features.to(narrow), weight.to(narrow), None if bias is None else bias.to(narrow)


def _default_rows(n: int, n_classes: int) -> int:
    return max(1, min(BUFFER // n_classes, max(16, n // 16)))


def _check(features: Tensor, weight: Tensor, bias: Tensor | None, targets: SparseTargets) -> None:
    if not isinstance(targets, SparseTargets):
        raise TypeError(
            f"labels are a {type(targets).__name__}; give Labels, or labels.sparse(); "
            "for a matrix of targets there is partial_cross_entropy"
        )
    if targets.task != "multiclass":
        raise ValueError("the labels are multilabel; this loss is for classes of which one is true")
    if features.ndim != 2 or weight.ndim != 2 or features.shape[1] != weight.shape[1]:
        raise ValueError(
            f"features have shape {tuple(features.shape)} and weight {tuple(weight.shape)}; "
            "they need (n_samples, n_features) and (n_classes, n_features), as in nn.Linear"
        )
    dtypes = {str(tensor.dtype) for tensor in (features, weight, bias) if tensor is not None}
    if len(dtypes) > 1:
        raise TypeError(
            f"features, weight and bias hold {' and '.join(sorted(dtypes))}; give them one dtype"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias has shape {tuple(bias.shape)}; it needs one number a class, ({weight.shape[0]},)"
        )
    if len(targets) != len(features) or targets.n_classes != weight.shape[0]:
        raise ValueError(
            f"the labels are {len(targets)} rows of {targets.n_classes} classes; there are "
            f"{len(features)} rows of features and {weight.shape[0]} rows of weight"
        )
