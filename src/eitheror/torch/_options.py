"""The options of `TorchClassifier`: checked, resolved to a `Plan`, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eitheror.torch._training import OPTIMIZERS, PRECISIONS, SCHEDULES, Plan
from eitheror.training import Checkpoint

__all__ = ["as_checkpoint", "as_device", "make_plan", "own_randomness"]

# Without `epochs`: as many as make so many steps, within these bounds. Like noise, scale and
# penalty judged by held-out statements: `benchmarks/complementary_digits.py choose`.
_STEPS, _FEWEST, _MOST = 1500, 10, 200

_RANGES = (
    ("lr", 0.0, np.inf),
    ("weight_decay", 0.0, np.inf),
    ("mean_penalty", 0.0, np.inf),
    ("warmup", 0.0, 1.0),
    ("validation", 1e-6, 1.0),
    ("label_smoothing", 0.0, 1.0),
)


def make_plan(estimator: Any, seed: int, n_rows: int) -> Plan:
    """Return the estimator's options, checked, with the number of epochs filled in."""
    _check_options(estimator)
    batches = max(1, round(n_rows / estimator.batch_size))
    epochs = estimator.epochs or int(np.clip(round(_STEPS / batches), _FEWEST, _MOST))
    return Plan(
        epochs=epochs,
        batch_size=estimator.batch_size,
        lr=estimator.lr,
        weight_decay=estimator.weight_decay,
        optimizer=estimator.optimizer,
        schedule=estimator.schedule,
        warmup=estimator.warmup,
        mixed_precision=estimator.mixed_precision,
        mean_penalty=estimator.mean_penalty,
        label_smoothing=estimator.label_smoothing,
        patience=estimator.patience,
        seed=seed,
        device=as_device(estimator.device),
    )


def _check_options(estimator: Any) -> None:
    for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        value = getattr(estimator, name)
        if not callable(value) and value not in known:
            raise ValueError(f"{name}={value!r}; expected a callable or one of {', '.join(known)}")
    if estimator.mixed_precision is not None and estimator.mixed_precision not in PRECISIONS:
        raise ValueError(
            f"mixed_precision={estimator.mixed_precision!r}; expected None or one of "
            f"{', '.join(PRECISIONS)}"
        )
    whole = ("epochs", "batch_size", "patience")
    for name in whole:
        value = getattr(estimator, name)
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name}={value!r}; expected a whole number from 1 on")
    for name, low, high in _RANGES:
        value = getattr(estimator, name)
        if not low <= value < high:
            raise ValueError(f"{name}={value!r}; expected a number from {low} to below {high}")


def as_checkpoint(given: Checkpoint | str | Path | None) -> Checkpoint | None:
    """Return a checkpoint after every epoch where only a folder is named."""
    return given if given is None or isinstance(given, Checkpoint) else Checkpoint(given)


def as_device(given: Any) -> torch.device:
    """Return the device; None is the first GPU, or the CPU where there is none."""
    if given is not None:
        return torch.device(given)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's global random state as it was."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
