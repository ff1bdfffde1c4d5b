"""The loss of each row as autograd functions: few passes over memory, careful where it matters.

Nearly every row goes the short way, through one softmax. The rows that would lose digits there (a
statement that the model all but rules out, an infinite logit, targets that are no statement) are
computed once more by `eitheror.losses`, which also gives all second derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat.torch as xp
import torch
from torch import Tensor

from eitheror.losses import _arrays, _multiclass

__all__ = ["LogLoss", "StatementLoss", "StatementLossTraced", "TagLoss", "read_targets"]

# Below these, the mass that a softmax leaves to one side has lost digits to the shift by the
# largest logit, or comes near the smallest numbers of the precision.
SMALLEST_ALLOWED = {torch.float32: 1e-13, torch.float64: 1e-200}
SMALLEST_EXCLUDED = {torch.float32: 1e-30, torch.float64: 1e-200}
# Whole numbers of as many bytes as a float.
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# Numbers in a block of rows: few enough to stay in the cache from one step to the next.
BLOCK = 2**20


def read_targets(targets: Tensor, dtype: torch.dtype) -> _multiclass.Readings:
    """Tell evidence from shares in each row, as the reference does."""
    return _multiclass.read_targets(xp, targets, dtype)


def _batch_first(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> Any:
    """Return the tensors of a vmap with the mapped axis in front, in all of them."""
    return [
        tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(tensors, dims, strict=True)
    ]


class _Facts(NamedTuple):
    """What is found out about each row: its loss, whether it says anything, and its gradient.

    ``slope`` times ``scale`` is the gradient: the first a matrix, the second a number a row.
    ``careful`` rows are left to the reference.
    """

    value: Tensor
    speaks: Tensor
    careful: Tensor
    scale: Tensor
    slope: Tensor

    def rows(self, part: slice) -> _Facts:
        """Return the facts of some rows, counted over all leading axes."""
        value, speaks, careful, scale = (fact.view(-1)[part] for fact in self[:-1])
        return _Facts(
            value, speaks, careful, scale, self.slope.view(-1, self.slope.shape[-1])[part]
        )


class StatementLoss(torch.autograd.Function):  # type: ignore[misc]
    """The loss of each row's statement, and the other facts (`_Facts`)."""

    @staticmethod
    def forward(f: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        slope = torch.empty_like(f, memory_format=torch.contiguous_format)
        value, scale = (slope.new_empty(f.shape[:-1]) for _ in range(2))
        speaks, careful = (torch.empty_like(value, dtype=torch.bool) for _ in range(2))
        facts = _Facts(value, speaks, careful, scale, slope)
        logits, targets = (x.reshape(-1, f.shape[-1]) for x in (f, t))
        parts = _blocks(logits)
        room = torch.empty_like(logits[parts[0]] if parts else logits)
        for part in parts:
            rows = facts.rows(part)
            _evaluate(logits[part], targets[part], room[: len(rows.value)], rows)
        if careful.any():
            reading = _multiclass.read_row(xp, f[careful], t[careful], 0.0)
            value[careful] = _multiclass.row_value(reading)
            slope[careful] = _multiclass.row_gradient(reading)
            scale[careful] = 1.0
        return tuple(facts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs, *output[-2:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if grad is None:
            return None, None
        f, t, scale, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            return grad[..., None] * _StatementGradient.apply(f, t), None
        return slope * (grad * scale)[..., None], None

    @staticmethod
    def vmap(info: Any, in_dims: Any, f: Tensor, t: Tensor) -> tuple[Any, Any]:
        output = StatementLoss.apply(*_batch_first(info.batch_size, in_dims, (f, t)))
        return output, (0,) * len(output)


def _blocks(f: Tensor) -> list[slice]:
    """Return runs of rows that stay in the cache; all rows at once where many threads share them.

    Each step over a block is a parallel region of its own, and each region waits for all threads.
    """
    alone = f.device.type == "cpu" and torch.get_num_threads() == 1
    size = max(1, BLOCK // max(1, f[:1].numel()) if alone else len(f))
    return [slice(start, start + size) for start in range(0, len(f), size)]


def _evaluate(f: Tensor, t: Tensor, room: Tensor, facts: _Facts) -> None:
    """Fill in the facts of a block of rows; ``room`` is for as many numbers as there are."""
    # floats that are not negative have the order of their bits, which compare faster
    whole = BITS[t.element_size()]
    one = int(t.new_ones(()).view(whole))
    bits = t.view(whole)
    least, largest = torch.aminmax(bits)
    if largest < one:
        _read_shares(f, t, room, facts)
    else:
        evidence = bits.amax(-1) == one
        first, then = _read_evidence, _read_shares
        if 2 * int(evidence.sum()) < len(f):
            first, then, evidence = then, first, ~evidence
        first(f, t, room, facts)
        rows = (~evidence).nonzero()[:, 0]
        if len(rows):
            others = _Facts(*(fact.new_empty(len(rows), *fact.shape[1:]) for fact in facts))
            then(f.index_select(0, rows), t.index_select(0, rows), room[: len(rows)], others)
            for fact, other in zip(facts, others, strict=True):
                fact.index_copy_(0, rows, other)
    if least < 0:
        facts.careful.logical_or_((t.amin(-1) >= 0).logical_not_())


def _read_evidence(f: Tensor, t: Tensor, part: Tensor, facts: _Facts) -> None:
    """Fill in the facts of rows whose largest target is 1."""
    proba = torch.softmax(f, -1, out=facts.slope)
    torch.mul(proba, t.to(f.dtype), out=part)
    allowed = part.sum(-1)
    excluded = proba.sub_(part).sum(-1)
    # p (1 - w) - p w (1 - w).p / w.p, of which the scale is the sum that should be 1
    odds = excluded / allowed
    facts.slope.addcmul_(part, odds[:, None], value=-1)
    torch.reciprocal(allowed + excluded, out=facts.scale)
    torch.log1p(odds, out=facts.value)
    torch.gt(excluded, SMALLEST_EXCLUDED[f.dtype], out=facts.speaks)
    lost = (allowed > SMALLEST_ALLOWED[f.dtype]).logical_not_()
    if not facts.speaks.all():
        # a row of ones leaves exactly nothing to the other side, and its loss is as exact
        quiet = ~facts.speaks
        torch.ne(t.amin(-1), 1, out=facts.speaks)
        lost |= quiet & facts.speaks
    facts.careful.copy_(lost)


def _read_shares(f: Tensor, t: Tensor, part: Tensor, facts: _Facts) -> None:
    """Fill in the facts of rows whose targets should add to 1."""
    wide = _arrays.widen(xp, t)
    mass = wide.sum(-1)
    amounts = wide.to(f.dtype)
    proba = torch.softmax(f, -1, out=facts.slope)
    gaps = torch.sub(f.amax(-1, keepdim=True), f, out=part).mul_(amounts).sum(-1)
    # the largest probability is 1 / sum exp(f - max f), so that minus its log is lse(f) - max f
    cost = gaps - mass * proba.amax(-1).log()
    torch.addcmul(amounts, proba, mass.to(f.dtype)[:, None], value=-1, out=facts.slope)
    facts.scale.fill_(-1.0)
    facts.value.copy_(cost)
    facts.speaks.fill_(True)
    shares = (mass - 1).abs() <= (1e-2 if _arrays.is_16_bit(t) else 1e-6)
    torch.logical_and(shares, cost.isfinite(), out=facts.careful).logical_not_()


class StatementLossTraced(torch.autograd.Function):  # type: ignore[misc]
    """`StatementLoss` without a look at any value, for compilers, which fuse it themselves."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, t: Tensor) -> Tensor:
        value: Tensor = _multiclass.row_value(_multiclass.read_row(xp, f, t, 0.0))
        return value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[..., None] * _StatementGradient.apply(*ctx.saved_tensors), None


class _StatementGradient(torch.autograd.Function):  # type: ignore[misc]
    """The gradient of the loss of each row, differentiated by its Hessian-vector product."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, t: Tensor) -> Tensor:
        gradient: Tensor = _multiclass.row_gradient(_multiclass.read_row(xp, f, t, 0.0))
        return gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        f, t = ctx.saved_tensors
        return _multiclass.partial_softmax_cross_entropy_hvp(f, t, grad), None


class LogLoss(torch.autograd.Function):  # type: ignore[misc]
    """-sum_k c_k log p_k of each row, for amounts c that are not negative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, amounts: Tensor) -> Tensor:
        parts = _arrays.softmax(xp, f)
        value = _arrays.log_loss(xp, parts, amounts)
        return _arrays.nan_unless(xp, parts.valid, value)[..., 0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[..., None] * _LogLossGradient.apply(*ctx.saved_tensors), None


class _LogLossGradient(torch.autograd.Function):  # type: ignore[misc]
    """The gradient of `LogLoss`, differentiated by its Hessian-vector product."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, amounts: Tensor) -> Tensor:
        parts = _arrays.softmax(xp, f)
        return _arrays.nan_unless(xp, parts.valid, _arrays.log_loss_gradient(xp, parts, amounts))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        f, amounts = ctx.saved_tensors
        parts = _arrays.softmax(xp, f)
        return _arrays.log_loss_hvp(xp, parts, amounts, grad), None


class TagLoss(torch.autograd.Function):  # type: ignore[misc]
    """yes softplus(-f) + no softplus(f) of each entry; all three of one shape."""

    @staticmethod
    def forward(f: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        # no part is negative, so no digits cancel
        if not torch.compiler.is_compiling() and _all_finite(f):
            value = torch.empty_like(f, memory_format=torch.contiguous_format)
            tensors = [tensor.reshape(-1) for tensor in (f, yes, no, value)]
            for part in _blocks(tensors[0]):
                _softplus_parts(*(tensor[part] for tensor in tensors))
            return value
        # what counts nothing may be infinite
        right = yes * _arrays.softplus(xp, torch.where(yes > 0, -f, 0.0))
        return right + no * _arrays.softplus(xp, torch.where(no > 0, f, 0.0))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * _TagGradient.apply(*ctx.saved_tensors), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, f: Tensor, yes: Tensor, no: Tensor) -> tuple[Any, int]:
        return TagLoss.apply(*_batch_first(info.batch_size, in_dims, (f, yes, no))), 0


def _all_finite(f: Tensor) -> bool:
    """Whether no logit is infinite or nan (which the smallest and the largest would be, too)."""
    return not f.numel() or bool(torch.stack(torch.aminmax(f)).isfinite().all())


def _softplus_parts(f: Tensor, yes: Tensor, no: Tensor, value: Tensor) -> None:
    """Fill in (yes + no) log(1 + exp(-abs(f))) + yes max(-f, 0) + no max(f, 0)."""
    torch.abs(f, out=value).neg_().exp_().log1p_().mul_(yes + no)
    value.addcmul_(f.clamp(min=0), no).addcmul_(f.clamp(max=0), yes, value=-1)


class _TagGradient(torch.autograd.Function):  # type: ignore[misc]
    """The gradient of `TagLoss`: no sigmoid(f) - yes sigmoid(-f)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        return (no * torch.sigmoid(f)).addcmul_(yes, torch.sigmoid(-f), value=-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        f, yes, no = ctx.saved_tensors
        return grad * (yes + no) * torch.sigmoid(f) * torch.sigmoid(-f), None, None
