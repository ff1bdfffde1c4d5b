"""The loss of a batch of statements by the word of the ``loss`` option, as torch computes it.

Targets stay sparse and become dense one batch at a time, so that memory does not grow with rows
times classes (moving weights excepted, which are one number a row and class).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eitheror.labels import EVIDENCE, SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.losses import LOSSES, at_least_one, draw_one_candidate, draw_one_label
from eitheror.torch._losses import partial_cross_entropy

__all__ = ["WORDS", "Objective", "resolve_loss"]

PRODEN = "proden"
WORDS = (*(word for word, loss in LOSSES.items() if loss.trainable), PRODEN)
"""What the ``loss`` option of `TorchClassifier` may be, besides "auto"."""

_DRAWS: dict[str, Any] = {"random-pick": draw_one_candidate, "pol": draw_one_label}


def resolve_loss(word: str, task: str) -> str:
    """Return the loss that the option means for the task; refuse a word that does not fit.

    Examples
    --------
    >>> resolve_loss("auto", "multilabel")
    'ova'
    """
    if word == "auto":
        return "softmax" if task == "multiclass" else "ova"
    known = LOSSES.get("softmax" if word == PRODEN else word)
    if known is None:
        raise ValueError(f"loss={word!r}; expected 'auto' or one of {', '.join(WORDS)}")
    if not known.trainable:
        raise ValueError(f"loss={word!r}: {known.reason}")
    if known.task != task:
        fitting = [w for w in WORDS if LOSSES["softmax" if w == PRODEN else w].task == task]
        raise ValueError(
            f"loss={word!r} is for {known.task} labels, and these are {task}; use one of "
            f"{', '.join(fitting)}"
        )
    return word


class Objective:
    """Loss of chosen rows given their logits.

    Parameters
    ----------
    targets : SparseTargets
        What is known of each row.
    loss : str
        A word of `WORDS`.
    label_smoothing : float
    seed : int
        Draws of "random-pick" and "pol" follow from it and from the number of the batch.
    """

    def __init__(
        self, targets: SparseTargets, loss: str, *, label_smoothing: float = 0.0, seed: int = 0
    ) -> None:
        self.targets, self.loss = targets, loss
        self.label_smoothing, self.seed = label_smoothing, seed
        self.moving: NDArray[np.float32] | None = None
        if loss == PRODEN:
            self.moving = _even(targets.dense(np.float32))

    def __call__(self, logits: Tensor, rows: NDArray[np.int64], batch: int) -> Tensor:
        """Return the loss of each row, shape (n_rows,); `batch` numbers the batches of a run."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.moving is not None:
            weights = torch.from_numpy(self.moving[rows]).to(logits)
            return -(weights * torch.log_softmax(logits, dim=-1)).sum(dim=-1)
        chosen = self.targets.take(rows)
        dense = chosen.dense(np.float64 if logits.dtype == torch.float64 else np.float32)
        word = self.loss
        if word in _DRAWS:
            dense = _DRAWS[word](dense, np.random.default_rng([self.seed, batch]))
            word = "softmax"
        given = torch.from_numpy(np.ascontiguousarray(dense)).to(logits)
        value = _row_loss(word, logits, given, self.label_smoothing)
        return _add_groups(value, logits, chosen)

    def held_out(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return minus the log likelihood of each row's statement, without draws or smoothing."""
        chosen = self.targets.take(rows)
        word = "softmax" if self.loss == PRODEN else self.loss
        targets = torch.from_numpy(chosen.dense(np.float32)).to(logits.device)
        return _add_groups(_row_loss(word, logits, targets, 0.0), logits, chosen)

    def move(self, proba: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Set the moving weights of rows to the posterior given statement and probabilities.

        ``q = w p / sum_k w_k p_k``; rows of shares keep them.
        """
        assert self.moving is not None
        chosen = self.targets.take(rows)
        weights = chosen.dense(np.float32)
        evidence = (chosen.mode == EVIDENCE)[:, None]
        posterior = np.where(evidence, weights * np.maximum(proba, 1e-30), weights)
        self.moving[rows] = _even(posterior)


def _row_loss(word: str, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Loss of each row: by torch's own function where there is one, else by the reference."""
    if word == "softmax":
        return partial_cross_entropy(
            logits, targets, reduction="none", label_smoothing=label_smoothing
        )
    value: Tensor = LOSSES[word].value(logits, targets, label_smoothing=label_smoothing)
    return value


def _even(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _add_groups(value: Tensor, logits: Tensor, targets: SparseTargets) -> Tensor:
    """Add the loss of every "at least one of" group to its row."""
    if len(targets.group_indices) == 0:
        return value
    owner = row_of_entries(targets.group_indptr)
    mask = np.zeros((len(owner), targets.n_classes), dtype=np.float32)
    mask[row_of_entries(targets.group_ends), targets.group_indices] = 1.0
    rows = torch.from_numpy(owner).to(logits.device)
    joint = at_least_one(logits[rows], torch.from_numpy(mask).to(logits))
    return value.index_add(0, rows, joint)
