"""The training loop of `TorchClassifier`: epochs, schedule, early stopping, checkpoints.

Every epoch seeds its own shuffling, noise and draws from (seed, epoch), so a run that goes on from
a checkpoint ends in the same model as one that was never stopped, and no generator state is kept.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eitheror.labels import UNKNOWN, Labels
from eitheror.torch._inputs import Inputs
from eitheror.torch._objective import PRODEN, Objective
from eitheror.torch._shares import class_shares, open_share
from eitheror.training import Checkpoint, TrainingDivergedError
from eitheror.training.checkpoint import load_state, save_state

__all__ = ["Batches", "Plan", "Trainer", "arrays_of", "load_arrays", "predict_logits", "run"]

Arrays = dict[str, NDArray[Any]]

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}
_LIKELIHOODS = ("softmax", PRODEN)  # whose mean prediction estimates the classes' shares
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Plan:
    """Resolved options of a run; see `TorchClassifier` for their meaning."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    optimizer: Any
    schedule: Any
    warmup: float
    mixed_precision: str | None
    mean_penalty: float
    label_smoothing: float
    patience: int | None
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Batches:
    """Rows to learn from: inputs, their loss, weights of mean 1, and the classes' likely shares."""

    inputs: Inputs
    objective: Objective
    rows: NDArray[np.int64]
    weight: NDArray[np.float32]
    shares: NDArray[np.float64] | None = None
    penalty: float = 0.0

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        labels: Labels,
        weight: NDArray[np.float32],
        rows: NDArray[np.int64],
        loss: str,
        plan: Plan,
    ) -> Batches:
        """Keep the rows that say something and have weight; scale the weights to a mean of 1."""
        targets = labels.sparse()
        speaks = (targets.mode != UNKNOWN) | (np.diff(targets.group_indptr) > 0)
        rows = rows[(speaks & (weight > 0))[rows]]
        if len(rows) == 0:
            raise ValueError("no row is left that says something: give more rows, or no patience")
        weight = weight / weight[rows].mean(dtype=np.float64).astype(np.float32)
        shares, penalty = None, 0.0
        if loss in _LIKELIHOODS and plan.mean_penalty:
            told, told_weight = targets.take(rows), weight[rows].astype(np.float64)
            penalty = plan.mean_penalty * open_share(told, told_weight)
            shares = class_shares(told, told_weight)
        objective = Objective(targets, loss, label_smoothing=plan.label_smoothing, seed=plan.seed)
        return cls(inputs, objective, rows, weight, shares, penalty)

    def digest(self) -> str:
        """SHA-256 of inputs, statements, weights and the choice of rows."""
        digest = hashlib.sha256(self.inputs.digest().encode())
        for array in (self.rows, self.weight, *vars(self.objective.targets).values()):
            if isinstance(array, np.ndarray):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def deal(self, plan: Plan, epoch: int) -> list[NDArray[np.int64]]:
        """Return the epoch's batches: a new order, cut into parts of nearly equal size."""
        order = np.random.default_rng([plan.seed, epoch]).permutation(self.rows)
        return np.array_split(order, max(1, round(len(order) / plan.batch_size)))


@dataclass
class Progress:
    """What a run has come to: plain JSON values."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """A module, its optimizer, and one epoch at a time."""

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        self.module, self.plan = module.to(plan.device), plan
        make = OPTIMIZERS[plan.optimizer] if isinstance(plan.optimizer, str) else plan.optimizer
        self.optimizer = make(_groups(module, plan.weight_decay), lr=plan.lr)
        self.scaler = torch.amp.GradScaler(plan.device.type, enabled=plan.mixed_precision == "fp16")

    def epoch(self, data: Batches, number: int, n_epochs: int) -> float:
        """Learn from every row once; return the mean loss of the rows."""
        self.module.train()
        torch.manual_seed(_mix(self.plan.seed, number))
        batches = data.deal(self.plan, number)
        total = torch.zeros((), device=self.plan.device)  # read once: a GPU need not wait
        for i, rows in enumerate(batches):
            done = (number + i / len(batches)) / n_epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.plan.lr * factor(self.plan.schedule, self.plan.warmup, done)
            total += self._step(data, rows, number * len(batches) + i)
        mean = float(total) / len(data.rows)
        if not math.isfinite(mean):
            raise TrainingDivergedError(
                f"the loss of epoch {number + 1} is {mean}: use a smaller lr than {self.plan.lr}"
            )
        return mean

    def _step(self, data: Batches, rows: NDArray[np.int64], batch: int) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        logits = forward(self.module, data.inputs.take(rows, self.plan.device), self.plan)
        _check_logits(logits, len(rows), data.objective.targets.n_classes)
        weight = torch.from_numpy(data.weight[rows]).to(logits.device)
        losses = data.objective(logits, rows, batch) * weight
        loss = losses.mean()
        if data.shares is not None and data.penalty:
            loss = loss + data.penalty * _mean_penalty(logits, weight, data.shares)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return losses.detach().sum().float()

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON values from which the next epoch starts."""
        arrays = {f"module.{k}": v for k, v in arrays_of(self.module).items()}
        facts: dict[str, Any] = {"scaler": self.scaler.state_dict(), "optimizer": {}}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    arrays[f"optimizer.{index}.{name}"] = _array(value)
                else:
                    facts["optimizer"][f"{index}.{name}"] = value
        return arrays, facts

    def restore(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Take up a state."""
        load_arrays(self.module, arrays, "module.")
        found = {**facts["optimizer"]}
        for key, array in arrays.items():
            if key.startswith("optimizer."):
                found[key.removeprefix("optimizer.")] = torch.from_numpy(array.copy())
        state: dict[int, dict[str, Any]] = {}
        for key, value in found.items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])


def run(
    trainer: Trainer,
    data: Batches,
    *,
    held_out: Batches | None = None,
    report: Callable[[dict[str, Any]], Any] | None = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    fingerprint: str = "",
) -> Progress:
    """Train for the plan's epochs; the module ends at the last, or at the best held-out, epoch."""
    plan, progress = trainer.plan, Progress()
    best: Arrays = {}
    if checkpoint is not None and resume and checkpoint.exists():
        progress, best = _resume(trainer, data, checkpoint, fingerprint)
    saved = time.monotonic()
    while progress.epoch < plan.epochs and not _out_of_patience(progress, plan):
        loss = trainer.epoch(data, progress.epoch, plan.epochs)
        if data.objective.loss == PRODEN:
            _move_weights(trainer, data)
        progress.epoch += 1
        entry = {"epoch": progress.epoch, "loss": loss}
        if held_out is not None:
            entry["held_out_loss"] = _held_out_loss(trainer, held_out)
            if entry["held_out_loss"] < progress.best_loss:
                progress.best_epoch, progress.best_loss = progress.epoch, entry["held_out_loss"]
                best = arrays_of(trainer.module)
        progress.history.append(entry)
        if report is not None:
            report({"event": "epoch", "epochs": plan.epochs, **entry})
        last = progress.epoch == plan.epochs or _out_of_patience(progress, plan)
        elapsed = time.monotonic() - saved
        if checkpoint is not None and (last or checkpoint.due(progress.epoch, elapsed)):
            _save(trainer, data, progress, best, checkpoint, fingerprint)
            saved = time.monotonic()
    if best:
        load_arrays(trainer.module, best, "")
    return progress


def predict_logits(
    module: nn.Module, inputs: Inputs, plan: Plan, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Logits of rows, shape (n_rows, n_outputs), with the module in evaluation mode."""
    module.eval()
    rows = np.arange(len(inputs)) if rows is None else rows
    size = max(1024, plan.batch_size)
    with torch.no_grad():
        parts = [
            module(inputs.take(part, plan.device)).float().cpu().numpy()
            for part in np.array_split(rows, max(1, math.ceil(len(rows) / size)))
        ]
    return np.concatenate(parts)


def forward(module: nn.Module, X: Tensor, plan: Plan) -> Tensor:
    """Logits of a batch, under autocast where the plan asks for mixed precision."""
    if plan.mixed_precision is None:
        return module(X)
    with torch.autocast(plan.device.type, dtype=PRECISIONS[plan.mixed_precision]):
        return module(X)


def factor(schedule: Any, warmup: float, done: float) -> float:
    """Share of `lr` to use when the share `done` of the run is over."""
    if done < warmup:
        return done / warmup
    rest = (done - warmup) / (1.0 - warmup)
    return float((SCHEDULES[schedule] if isinstance(schedule, str) else schedule)(rest))


def load_arrays(module: nn.Module, arrays: Arrays, prefix: str) -> None:
    """Set a module's parameters and buffers from arrays whose names begin with the prefix."""
    own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in own.items()})


def arrays_of(module: nn.Module) -> Arrays:
    """Parameters and buffers of a module as NumPy arrays that files can hold."""
    return {name: _array(value) for name, value in module.state_dict().items()}


def _array(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()  # exact, and files know it
    return np.array((tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor).numpy())


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that are decayed (matrices, filters) and those that are not (biases, norms)."""
    free = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in free if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in free if p.ndim < 2], "weight_decay": 0.0},
    ]


def _mean_penalty(logits: Tensor, weight: Tensor, shares: NDArray[np.float64]) -> Tensor:
    """KL(shares || mean prediction): from what the statements alone say about the classes."""
    proba = torch.softmax(logits.float(), dim=-1)
    mean = (proba * weight[:, None]).sum(0) / weight.sum().clamp_min(1e-12)
    target = torch.from_numpy(shares).to(mean)
    return (target * (target.log() - mean.clamp_min(1e-12).log())).sum()


def _move_weights(trainer: Trainer, data: Batches) -> None:
    logits = predict_logits(trainer.module, data.inputs, trainer.plan, data.rows)
    proba = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
    data.objective.move(proba, data.rows)


def _held_out_loss(trainer: Trainer, held_out: Batches) -> float:
    logits = predict_logits(trainer.module, held_out.inputs, trainer.plan, held_out.rows)
    losses = held_out.objective.held_out(torch.from_numpy(logits), held_out.rows).numpy()
    return float(np.average(losses.astype(np.float64), weights=held_out.weight[held_out.rows]))


def _check_logits(logits: Tensor, n: int, n_classes: int) -> None:
    if tuple(logits.shape) != (n, n_classes):
        raise ValueError(
            f"the module returned shape {tuple(logits.shape)} for {n} rows; expected one logit a "
            f"class, ({n}, {n_classes})"
        )


def _out_of_patience(progress: Progress, plan: Plan) -> bool:
    return plan.patience is not None and progress.epoch - progress.best_epoch >= plan.patience


def _mix(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _save(
    trainer: Trainer,
    data: Batches,
    progress: Progress,
    best: Arrays,
    checkpoint: Checkpoint,
    fingerprint: str,
) -> None:
    arrays, facts = trainer.state()
    arrays.update({f"best.{k}": v for k, v in best.items()})
    if data.objective.moving is not None:
        arrays["moving"] = data.objective.moving
    done = {**progress.__dict__, "best_loss": repr(progress.best_loss)}
    save_state(checkpoint, arrays, {**facts, "progress": done, "fingerprint": fingerprint})


def _resume(
    trainer: Trainer, data: Batches, checkpoint: Checkpoint, fingerprint: str
) -> tuple[Progress, Arrays]:
    arrays, facts = load_state(checkpoint, fingerprint)
    trainer.restore(arrays, facts)
    if "moving" in arrays:
        data.objective.moving = arrays["moving"].copy()
    done = facts["progress"]
    progress = Progress(**{**done, "best_loss": float(done["best_loss"])})
    best = {k.removeprefix("best."): v for k, v in arrays.items() if k.startswith("best.")}
    return progress, best
