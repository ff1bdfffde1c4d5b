"""The losses of statements as PyTorch modules and functions.

Where ``CrossEntropyLoss`` or ``BCEWithLogitsLoss`` stood, with ``Labels.to_targets()`` in place of
class numbers. Each is a custom autograd function of one number a row (or an entry), in the stable
form of `eitheror.losses`; class weights, label smoothing and the reduction are put around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eitheror.labels import Labels
from eitheror.losses._arrays import check_smoothing, is_16_bit
from eitheror.torch._rows import (
    LogLoss,
    StatementLoss,
    StatementLossTraced,
    TagLoss,
    read_targets,
)

__all__ = [
    "PartialBCEWithLogitsLoss",
    "PartialCrossEntropyLoss",
    "partial_binary_cross_entropy_with_logits",
    "partial_cross_entropy",
]

REDUCTIONS = ("mean", "sum", "none")


def partial_cross_entropy(
    logits: Tensor,
    targets: Tensor | Labels,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log of the probability that the softmax gives to each row's statement.

    Evidence ``w`` (the row's largest entry is exactly 1) costs ``-log sum_k w_k p_k`` with
    ``p = softmax(logits)``; shares ``t`` (the row adds to 1) cost ``-sum_k t_k log p_k``. On class
    names and on shares this is ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    logits : tensor of shape (..., n_classes)
        Not probabilities. -inf is a class that cannot be. 16-bit logits are widened inside.
    targets : tensor of shape (..., n_classes), or Labels
        What is known, as ``Labels.to_targets()`` gives it: 1 for a class that may be true, 0 for
        one that is ruled out, between for one in doubt; or shares. A row of ones says nothing.
    weight : tensor of shape (n_classes,), optional
        Weight of each class, from 0 up. A row of evidence counts with the mean weight of its
        classes (``sum_k w_k weight_k / sum_k w_k``); shares weigh each class's part.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of rows that say something; with ``weight``, a row of
        evidence counts as its weight, as in ``cross_entropy``. 0 where no row says anything.
    label_smoothing : float, default 0
        With ``e``, a row that says something costs ``(1 - e) loss + e mean_k(-log p_k)``, the mean
        over the classes that can be.

    Returns
    -------
    tensor
        A number, or of shape (...) for ``"none"``, 0 where nothing is known; in the precision of
        the logits, float32 for 16-bit ones. nan for a row that is neither evidence nor shares.

    Raises
    ------
    ValueError
        For shapes that do not fit, with what to write instead; for a weight below 0 (on a device,
        and in compiled code, the loss is nan instead).

    See Also
    --------
    eitheror.losses.partial_softmax_cross_entropy : the reference, in NumPy.
    partial_linear_cross_entropy : from features, without ever holding the logits.

    Examples
    --------
    >>> import torch
    >>> from eitheror.torch import partial_cross_entropy
    >>> either_first_or_last = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    >>> partial_cross_entropy(torch.zeros(1, 4), either_first_or_last)
    tensor(0.6931)
    """
    check_reduction(reduction)
    smoothing = check_smoothing(label_smoothing)
    logits, targets = _prepare(logits, targets, "multiclass")
    weight = _class_weight("weight", weight, logits)
    with torch.autocast(logits.device.type, enabled=False):
        if weight is None and not smoothing:
            rows = _plain(logits, targets)
        else:
            rows = _weighted(logits, targets, weight, smoothing)
        return _reduce(rows, reduction)


def partial_binary_cross_entropy_with_logits(
    logits: Tensor,
    targets: Tensor | Labels,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of each tag, over the tags that are known.

    ``-t log s - (1 - t) log(1 - s)`` with ``s = sigmoid(logits)`` for each entry that is not nan.
    Where everything is known this is ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Parameters
    ----------
    logits : tensor of shape (..., n_classes)
        Not probabilities. 16-bit logits are widened inside.
    targets : tensor of shape (..., n_classes), or Labels
        1 for a tag that applies, 0 for one that does not, a fraction for a probability, nan for
        unknown.
    weight : tensor, optional
        Of a shape that broadcasts to the logits': the weight of each entry, ``(n_classes,)`` for
        one a class.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of known entries; 0 where none is known.
    label_smoothing : float, default 0
        With ``e``, a known entry ``t`` counts as ``(1 - e) t + e / 2``.
    pos_weight : tensor of shape (n_classes,), optional
        Weight of the part ``-t log s`` of each class.

    Returns
    -------
    tensor
        A number, or of the logits' shape for ``"none"``, 0 where an entry is unknown; in the
        precision of the logits, float32 for 16-bit ones. nan for a row with an entry outside
        [0, 1] or a nan logit.

    Raises
    ------
    ValueError
        For shapes that do not fit, with what to write instead; for a weight below 0 (on a device,
        and in compiled code, the loss is nan instead).

    See Also
    --------
    eitheror.losses.partial_sigmoid_binary_cross_entropy : the reference, in NumPy.

    Examples
    --------
    >>> import torch
    >>> from eitheror.torch import partial_binary_cross_entropy_with_logits
    >>> targets = torch.tensor([[1.0, 0.0, torch.nan]])
    >>> partial_binary_cross_entropy_with_logits(torch.zeros(1, 3), targets)
    tensor(0.6931)
    """
    check_reduction(reduction)
    smoothing = check_smoothing(label_smoothing)
    logits, targets = _prepare(logits, targets, "multilabel")
    pos_weight = _class_weight("pos_weight", pos_weight, logits)
    weight = _entry_weight(weight, logits)
    with torch.autocast(logits.device.type, enabled=False):
        known = (targets == targets).to(targets.dtype)  # nan is not itself
        present = torch.nan_to_num(targets, nan=0.0)
        valid = (present.amin(-1, True) >= 0) & (present.amax(-1, True) <= 1)
        valid = valid & ~logits.amax(-1, True).isnan()
        absent = known - present
        if smoothing:
            half = 0.5 * smoothing * known
            present = (1.0 - smoothing) * present + half
            absent = (1.0 - smoothing) * absent + half
        if pos_weight is not None:
            present = present * pos_weight
        value = TagLoss.apply(logits, present.to(logits.dtype), absent.to(logits.dtype))
        if weight is not None:
            value = value * weight
        value = value * torch.where(valid, 1.0, torch.nan).to(value.dtype)
        return _reduce(_Rows(value, known.to(value.dtype)), reduction)


class PartialCrossEntropyLoss(nn.Module):  # type: ignore[misc]
    """``CrossEntropyLoss`` for statements: exactly one class is true, and something is known of it.

    Parameters
    ----------
    weight : tensor of shape (n_classes,), optional
        Weight of each class; a set counts with the mean weight of its classes.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` is over the rows that say something.
    label_smoothing : float, default 0

    See Also
    --------
    partial_cross_entropy : the same as a function, with all details.

    Examples
    --------
    >>> import torch
    >>> import eitheror as eo
    >>> from eitheror.torch import PartialCrossEntropyLoss
    >>> labels = eo.Labels(["a", eo.either("a", "b"), eo.not_("c"), None], classes=["a", "b", "c"])
    >>> targets = torch.from_numpy(labels.to_targets())
    >>> PartialCrossEntropyLoss(reduction="none")(torch.zeros(4, 3), targets)
    tensor([1.0986, 0.4055, 0.4055, 0.0000])
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        self.register_buffer("weight", _as_tensor("weight", weight))
        self.reduction = reduction
        self.label_smoothing = check_smoothing(label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor | Labels) -> Tensor:
        """Return the loss of logits of shape (..., n_classes) and targets of the same shape."""
        return partial_cross_entropy(
            logits,
            targets,
            self.weight,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the options."""
        return f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"


class PartialBCEWithLogitsLoss(nn.Module):  # type: ignore[misc]
    """``BCEWithLogitsLoss`` for statements: any number of tags apply, and some are unknown.

    Parameters
    ----------
    weight : tensor, optional
        Weight of each entry, of a shape that broadcasts to the logits'.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` is over the entries that are known.
    label_smoothing : float, default 0
    pos_weight : tensor of shape (n_classes,), optional
        Weight of the tags that apply.

    See Also
    --------
    partial_binary_cross_entropy_with_logits : the same as a function, with all details.

    Examples
    --------
    >>> import torch
    >>> import eitheror as eo
    >>> from eitheror.torch import PartialBCEWithLogitsLoss
    >>> labels = eo.Labels([eo.tags("a", rest="unknown"), eo.tags("b")], classes=["a", "b"])
    >>> PartialBCEWithLogitsLoss(reduction="sum")(torch.zeros(2, 2), labels)
    tensor(2.0794)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        self.register_buffer("weight", _as_tensor("weight", weight))
        self.register_buffer("pos_weight", _as_tensor("pos_weight", pos_weight))
        self.reduction = reduction
        self.label_smoothing = check_smoothing(label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor | Labels) -> Tensor:
        """Return the loss of logits of shape (..., n_classes) and targets of the same shape."""
        return partial_binary_cross_entropy_with_logits(
            logits,
            targets,
            self.weight,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
            pos_weight=self.pos_weight,
        )

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the options."""
        return f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"


class _Rows(NamedTuple):
    """The loss of each row (or entry), and what it adds to the denominator of the mean."""

    value: Tensor
    counts: Tensor


def _plain(logits: Tensor, targets: Tensor) -> _Rows:
    if torch.compiler.is_compiling():
        value = StatementLossTraced.apply(logits, targets)
        return _Rows(value, (targets != 1).any(-1).to(value.dtype))
    value, speaks, *_ = StatementLoss.apply(logits, targets)
    return _Rows(value, speaks.to(value.dtype))


def _weighted(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float) -> _Rows:
    reading = read_targets(targets, logits.dtype)
    speaks = (reading.speaks | ~reading.valid).to(logits.dtype)
    amounts = reading.shares
    row_weight = torch.ones_like(speaks)
    if weight is not None:
        mass = reading.weights.sum(-1, keepdim=True)
        mean = (reading.weights * weight).sum(-1, keepdim=True) / mass
        row_weight = torch.where(reading.is_evidence, mean, row_weight)
        amounts = amounts * weight
    if smoothing:
        possible = (logits > -torch.inf).to(logits.dtype)
        spread = speaks * possible / possible.sum(-1, keepdim=True).clamp(min=1)
        spread = spread if weight is None else spread * weight
        amounts = (1.0 - smoothing) * amounts + smoothing * spread
    shares = reading.valid & ~reading.is_evidence
    value = _plain(logits, torch.where(shares, 1.0, targets).to(targets.dtype)).value
    value = (1.0 - smoothing) * row_weight[..., 0] * value + LogLoss.apply(logits, amounts)
    return _Rows(value, (speaks * row_weight)[..., 0])


def _reduce(rows: _Rows, reduction: str) -> Tensor:
    if reduction == "none":
        return rows.value
    if reduction == "sum":
        return rows.value.sum()
    count = rows.counts.sum()
    return rows.value.sum() / torch.where(count == 0, 1.0, count)


def _prepare(logits: Tensor, targets: Tensor | Labels, task: str) -> tuple[Tensor, Tensor]:
    """Return logits of at least 32 bits and targets of their shape, as floats."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        what = str(logits.dtype) if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"logits are {what}; they are a tensor of floats, what the network returns")
    logits = logits.float() if is_16_bit(logits) else logits
    if isinstance(targets, Labels):
        targets = _from_labels(targets, logits, task)
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"targets are a {type(targets).__name__}; "
            "write torch.from_numpy(labels.to_targets()), or give the Labels"
        )
    if targets.shape != logits.shape or not logits.shape or logits.shape[-1] == 0:
        raise ValueError(_explain_shapes(logits, targets))
    if targets.requires_grad:
        raise ValueError(
            "targets require a gradient, which they do not get; write targets.detach()"
        )
    return logits, targets if targets.is_floating_point() else targets.to(logits.dtype)


def _from_labels(labels: Labels, logits: Tensor, task: str) -> Tensor:
    if labels.task != task:
        other = "BCEWithLogits" if task == "multiclass" else "CrossEntropy"
        raise ValueError(f"the labels are {labels.task}; their loss is Partial{other}Loss")
    return torch.from_numpy(labels.to_targets()).to(logits.device)


def _explain_shapes(logits: Tensor, targets: Tensor) -> str:
    found = f"logits have shape {tuple(logits.shape)} and targets {tuple(targets.shape)}"
    if targets.ndim == logits.ndim - 1 and not targets.is_floating_point():
        return (
            f"{found}: class numbers? Targets have one column a class; "
            f"write torch.nn.functional.one_hot(targets, {logits.shape[-1]})"
        )
    if targets.ndim == logits.ndim > 2 and logits.shape[1] != logits.shape[-1]:
        return f"{found}; both need shape (..., n_classes), classes last: logits.movedim(1, -1)"
    return f"{found}; both need shape (..., n_classes), with at least one class"


def _as_tensor(name: str, weight: Any) -> Tensor | None:
    """Return a list of weights as a tensor; a tensor stays as it is. Below 0 raises."""
    if weight is None:
        return None
    if not isinstance(weight, Tensor):
        weight = torch.as_tensor(weight, dtype=torch.get_default_dtype())
    _refuse_negative(name, weight)
    return weight


def _refuse_negative(name: str, weight: Tensor) -> None:
    if weight.is_meta or bool((weight >= 0).all()):
        return
    first = weight[~(weight >= 0)].reshape(-1)[0].item()
    raise ValueError(f"{name} holds {first:g}; a weight is a number from 0 up")


def _usable(name: str, weight: Tensor) -> Tensor:
    """Return the weights, nan for one below 0; raise where looking costs no wait for a device."""
    if weight.device.type == "cpu" and not torch.compiler.is_compiling():
        _refuse_negative(name, weight)
    return torch.where(weight >= 0, weight, torch.nan)


def _entry_weight(weight: Tensor | None, logits: Tensor) -> Tensor | None:
    if weight is None:
        return None
    if torch.broadcast_shapes(weight.shape, logits.shape) != logits.shape:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and the logits {tuple(logits.shape)}; the "
            "weight must broadcast to the logits"
        )
    return _usable("weight", weight.to(logits.dtype))


def _class_weight(name: str, weight: Tensor | None, logits: Tensor) -> Tensor | None:
    if weight is None:
        return None
    if tuple(weight.shape) != (logits.shape[-1],):
        raise ValueError(
            f"{name} has shape {tuple(weight.shape)}; it needs one number a class, "
            f"shape ({logits.shape[-1]},)"
        )
    return _usable(name, weight.to(logits.dtype))


def check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it is one of 'mean', 'sum', 'none'")
