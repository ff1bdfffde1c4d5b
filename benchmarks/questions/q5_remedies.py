"""The remedies of question 5: models that can say which tags go together, beside those that cannot.

Each learns from the same numbers (`x`, a text as 100 numbers) and returns, for the test rows,
marginal probabilities and its own best guess of the whole set:

- `shared network`: one hidden layer, one sigmoid a tag;
- `one network per class`: each tag has a hidden layer of its own;
- `label powerset`: a softmax over the sets seen in training;
- `classifier chain`: each tag is predicted from the text and the tags before it, most frequent
  tag first (Read et al. 2009); marginals by sampling (Dembczynski et al. 2010);
- `Bernoulli mixture`: a softmax over 8 components, each with one sigmoid a tag, trained by the
  likelihood of the whole set (Li et al. 2016).

All have 32 hidden units, the same steps of Adam, and stop at the held-out likelihood's best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

Tensor = torch.Tensor
HIDDEN, COMPONENTS, DRAWS = 32, 8, 20
EPOCHS, PATIENCE = 150, 6


def trunk(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_outputs))


def set_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Minus the log probability of each row's whole set under independent tags."""
    return nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(-1)


def train(net: nn.Module, loss: Callable[..., Tensor], x: Tensor, y: Tensor, held: Any) -> None:
    """Adam on batches of 64 rows; keeps the parameters with the best held-out loss."""
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-5)
    best, best_loss, waited = None, np.inf, 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            loss(net(x[rows]), y[rows]).mean().backward()
            optimiser.step()
        with torch.no_grad():
            now = float(loss(net(held[0]), held[1]).mean())
        if now < best_loss:
            best, best_loss, waited = {k: v.clone() for k, v in net.state_dict().items()}, now, 0
        elif (waited := waited + 1) == PATIENCE:
            break
    net.load_state_dict(best)


class OneNetworkPerClass(nn.Module):
    """A hidden layer for each tag, computed together."""

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        bound = n_inputs**-0.5
        self.first = nn.Parameter(torch.empty(n_classes, n_inputs, HIDDEN).uniform_(-bound, bound))
        self.shift = nn.Parameter(torch.zeros(n_classes, 1, HIDDEN))
        bound = HIDDEN**-0.5
        self.last = nn.Parameter(torch.empty(n_classes, HIDDEN, 1).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, n_classes)."""
        hidden = torch.relu(x @ self.first + self.shift)
        return (hidden @ self.last)[..., 0].T + self.bias


class Chain(nn.Module):
    """Tag k sees the text and tags 0 .. k-1: a mask on the weights of the tags."""

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.text = trunk(n_inputs, n_classes)
        self.tags = nn.Parameter(torch.zeros(n_classes, n_classes))
        self.register_buffer("before", torch.ones(n_classes, n_classes).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the text alone (n, n_classes)."""
        return self.text(x)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Minus the log probability of the set, one tag after the other."""
        return set_loss(logits + y @ (self.tags * self.before), y)

    def walk(self, logits: Tensor, decide: Callable[[Tensor], Tensor]) -> Tensor:
        """Fix one tag after the other."""
        y = torch.zeros_like(logits)
        weights = self.tags * self.before
        for k in range(logits.shape[1]):
            y[:, k] = decide(torch.sigmoid(logits[:, k] + y @ weights[:, k]))
        return y


Outcome = tuple[np.ndarray, np.ndarray]
"""Marginals (n, n_classes) and guesses of the whole set (n, n_classes)."""


def independent(build: Callable[[int, int], nn.Module]) -> Callable[..., list[Outcome]]:
    def fit(x: Tensor, y: Tensor, held: Any, parts: list[Tensor]) -> list[Outcome]:
        net = build(x.shape[1], y.shape[1])
        train(net, set_loss, x, y, held)
        marginals = [torch.sigmoid(net(part)).numpy(force=True) for part in parts]
        return [(p, p >= 0.5) for p in marginals]

    return fit


def powerset(x: Tensor, y: Tensor, held: Any, parts: list[Tensor]) -> list[Outcome]:
    sets, index = torch.unique(y, dim=0, return_inverse=True)
    numbers = {tuple(row): i for i, row in enumerate(sets.int().tolist())}
    seen = [i for i, row in enumerate(held[1].int().tolist()) if tuple(row) in numbers]
    known = torch.tensor([numbers[tuple(held[1][i].int().tolist())] for i in seen])
    net = trunk(x.shape[1], len(sets))
    loss = nn.CrossEntropyLoss(reduction="none")
    train(net, loss, x, index, (held[0][seen], known))  # a set not seen has no probability
    outcomes = []
    for part in parts:
        proba = torch.softmax(net(part), dim=1).detach()
        guess = sets[proba.argmax(dim=1)]
        outcomes.append(((proba @ sets).numpy(), guess.numpy() > 0))
    return outcomes


def chain(x: Tensor, y: Tensor, held: Any, parts: list[Tensor]) -> list[Outcome]:
    order = torch.argsort(y.sum(0), descending=True)
    back = torch.argsort(order)
    net = Chain(x.shape[1], y.shape[1])
    train(net, net.loss, x, y[:, order], (held[0], held[1][:, order]))
    outcomes = []
    with torch.no_grad():
        for part in parts:
            logits = net(part)
            draws = [net.walk(logits, torch.bernoulli) for _ in range(DRAWS)]
            greedy = net.walk(logits, lambda p: (p >= 0.5).float())
            marginals = torch.stack(draws).mean(0)[:, back]
            outcomes.append((marginals.numpy(), greedy[:, back].numpy() > 0))
    return outcomes


def mixture(x: Tensor, y: Tensor, held: Any, parts: list[Tensor]) -> list[Outcome]:
    n_classes = y.shape[1]
    net = trunk(x.shape[1], COMPONENTS * (n_classes + 1))

    def split(out: Tensor) -> tuple[Tensor, Tensor]:
        out = out.reshape(-1, COMPONENTS, n_classes + 1)
        return torch.log_softmax(out[..., 0], dim=1), out[..., 1:]

    def loss(out: Tensor, y: Tensor) -> Tensor:
        gate, tags = split(out)
        return -torch.logsumexp(gate - set_loss(tags, y[:, None].expand_as(tags)), dim=1)

    train(net, loss, x, y, held)
    outcomes = []
    with torch.no_grad():
        for part in parts:
            out = net(part)
            gate, tags = split(out)
            marginals = (gate.exp()[..., None] * torch.sigmoid(tags)).sum(1)
            modes = (tags >= 0).float()  # each component's likeliest set; the best one of them
            worth = torch.stack([loss(out, modes[:, m]) for m in range(COMPONENTS)])
            guess = modes[torch.arange(len(part)), worth.argmin(0)]
            outcomes.append((marginals.numpy(), guess.numpy() > 0))
    return outcomes


REMEDIES: dict[str, Callable[..., list[Outcome]]] = {
    "shared network": independent(trunk),
    "one network per class": independent(OneNetworkPerClass),
    "label powerset": powerset,
    "classifier chain": chain,
    "Bernoulli mixture": mixture,
}
