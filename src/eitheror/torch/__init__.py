"""Statements in PyTorch: losses for any network.

>>> import torch
>>> import eitheror as eo
>>> from eitheror.torch import PartialCrossEntropyLoss
>>> labels = eo.Labels(["a", eo.either("a", "b"), eo.not_("c"), None], classes=["a", "b", "c"])
>>> targets = torch.from_numpy(labels.to_targets())
>>> PartialCrossEntropyLoss()(torch.zeros(4, 3), targets)
tensor(0.6365)
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "eitheror.torch needs PyTorch, which is not installed: pip install 'eitheror[torch]'"
    ) from error

from eitheror.torch._classifier import TorchClassifier
from eitheror.torch._linear import partial_linear_cross_entropy
from eitheror.torch._losses import (
    PartialBCEWithLogitsLoss,
    PartialCrossEntropyLoss,
    partial_binary_cross_entropy_with_logits,
    partial_cross_entropy,
)
from eitheror.torch._modules import SkipMLP
from eitheror.torch._tree import HierarchicalSoftmax

__all__ = [
    "HierarchicalSoftmax",
    "PartialBCEWithLogitsLoss",
    "PartialCrossEntropyLoss",
    "SkipMLP",
    "TorchClassifier",
    "partial_binary_cross_entropy_with_logits",
    "partial_cross_entropy",
    "partial_linear_cross_entropy",
]
