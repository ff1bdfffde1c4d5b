"""The network that `TorchClassifier` trains when it is given none, and how a module comes to be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["SkipMLP", "build_module"]

_FLOOR, _LARGEST_FLOOR = 0.3, 10.0


class SkipMLP(nn.Module):  # type: ignore[misc]
    """A perceptron with one hidden layer beside a linear model, on standardised inputs.

    ``logits = V relu(W z + b) + A z + c`` with ``z = (x - mean) / scale``. The linear path carries
    what a linear model can say, so that the hidden layer need only add to it. While it trains, `z`
    gets normal noise and hidden units are dropped. `V`, `A` and `c` start at 0: all classes are
    equally likely, and the first step is the same for "A or B" as for half A, half B.

    Parameters
    ----------
    n_features, n_outputs : int
    hidden : int, default 256
        Units of the hidden layer.
    noise : float, default 0.5
        Standard deviation of the noise, in units of standardised inputs.
    dropout : float, default 0
        Share of hidden units that are dropped.

    Examples
    --------
    >>> SkipMLP(3, 2)(torch.ones(1, 3)).tolist()
    [[0.0, 0.0]]
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden: int = 256,
        noise: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.hidden = nn.Linear(n_features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, n_outputs)
        self.skip = nn.Linear(n_features, n_outputs, bias=False)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        for weight in (self.output.weight, self.output.bias, self.skip.weight):
            nn.init.zeros_(weight)

    def standardise(self, mean: Any, spread: Any) -> None:
        """Set the mean and the scale of each feature from its mean and spread (n_features,).

        ``scale^2 = spread^2 + 0.3 min(mean of spread^2, 10 spread^2)``: where columns share a unit
        (pixels, embeddings) those that hardly vary are not blown up to the size of the others;
        where they do not, no column is made more than twice as small by it.
        """
        self.mean.copy_(torch.as_tensor(mean))
        variance = torch.as_tensor(spread, dtype=torch.float64) ** 2
        floor = torch.minimum(variance.mean(), _LARGEST_FLOOR * variance)
        self.scale.copy_((variance + _FLOOR * floor).sqrt())

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, shape (n_samples, n_outputs), of inputs (n_samples, n_features)."""
        z = (X - self.mean) / self.scale
        if self.training and self.noise:
            z = z + self.noise * torch.randn_like(z)
        return self.output(self.dropout(torch.relu(self.hidden(z)))) + self.skip(z)


def build_module(
    module: nn.Module | Callable[[int, int], nn.Module] | None, n_features: int, n_outputs: int
) -> nn.Module:
    """Return a module of its own: a copy of the one given, or what the callable makes.

    Parameters
    ----------
    module : nn.Module, callable (n_features, n_outputs) -> nn.Module, or None
        None is :class:`SkipMLP`.
    n_features : int
        Length of the inputs' second axis: columns of a table, channels of images.
    n_outputs : int
        Number of classes.

    Examples
    --------
    >>> build_module(nn.Linear, 3, 2)
    Linear(in_features=3, out_features=2, bias=True)
    """
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    made = (SkipMLP if module is None else module)(n_features, n_outputs)
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"module(n_features, n_outputs) returned a {type(made).__name__}; expected a "
            "torch.nn.Module"
        )
    return made
