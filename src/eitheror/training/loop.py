"""The epoch loop: shuffle, train, watch the held-out statements, stop, keep checkpoints.

In: a trainer (linear or embedding), the examples and resolved options. The trainer is left at the
parameters to keep. Every random number depends on (seed, epoch) only, so a run needs no other state
to go on than the trainer's arrays. A long epoch is made in pieces, between which progress is told,
Ctrl-C acts and a checkpoint can be written; the cut depends on the rows alone.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eitheror.losses import LOSSES
from eitheror.training.checkpoint import Checkpoint, fingerprint, load_state, save_state
from eitheror.training.examples import Examples, Visited
from eitheror.training.options import TrainOptions, model_loss
from eitheror.training.stream_pace import Pace

__all__ = ["Trainer", "TrainingDivergedError", "pieces_of", "run_epochs"]

# A mean loss so far above the usual one, and that stays there, comes from steps that are too long;
# one as far as `_WILD` does at once. Between them training recovers from a bad start by itself.
_FAR, _WILD, _MARGIN = 2.0, 20.0, 0.5
_PIECE = 4_000_000  # features of the rows that are visited in one go: a second, more or less

Progress = Callable[[dict[str, Any]], None]


class Trainer(Protocol):
    """What the loop needs of a trainer."""

    def epoch(self, examples: Any, order: NDArray[np.int64], number: int) -> float:
        """Make one pass over these rows; return the weighted sum of their losses."""

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Return the weighted sum of the losses of these rows."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that the next epoch starts from, by name."""


class TrainingDivergedError(ValueError):
    """The loss stopped being a finite number."""


@dataclass
class _Run:
    """What happened so far; plain JSON values but for `best`."""

    epoch: int = 0
    piece: int = 0
    total: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, NDArray[Any]] | None = None


@dataclass
class _Keeper:
    """Writes checkpoints when they are due, if there are to be any."""

    checkpoint: Checkpoint | None
    trainer: Trainer
    mark: str
    saved: float = field(default_factory=time.monotonic)

    def after_piece(self, run: _Run) -> None:
        if self.checkpoint is not None and self.checkpoint.seconds is not None:
            self._save_if(run, self.checkpoint.due(run.epoch, time.monotonic() - self.saved))

    def after_epoch(self, run: _Run) -> None:
        if self.checkpoint is not None:
            due = self.checkpoint.due(run.epoch, time.monotonic() - self.saved)
            self._save_if(run, run.finished or due)

    def _save_if(self, run: _Run, due: bool) -> None:
        if due:
            assert self.checkpoint is not None
            save_state(self.checkpoint, _arrays(self.trainer, run), _facts(run, self.mark))
            self.saved = time.monotonic()


@dataclass
class _Watch:
    """Says once if the losses are far above what they should be."""

    options: TrainOptions
    progress: Progress | None
    told: bool = False
    before: float = math.inf  # loss of the last pass, if it was far off

    def look(self, loss: float, usual: float, *, last: bool) -> None:
        """Compare the loss of an epoch, maybe the last one, with the lowest one that is known."""
        far = loss > _FAR * usual + _MARGIN
        stays = far and (last or loss >= self.before or loss > _WILD * usual + _MARGIN)
        self.before = loss if far else math.inf
        if self.told or not stays:
            return
        self.told = True
        message = (
            f"the steps are too long: a pass had a mean loss of {loss:.4g}, where a model that "
            f"knows nothing, or the one of an earlier pass, has {usual:.4g}; "
            f"{_advice(self.options)}"
        )
        if self.progress is None:
            warnings.warn(message, UserWarning, stacklevel=5)
        else:
            self.progress({"event": "choice", "message": message})


def _of_no_claim(n_classes: int, options: TrainOptions) -> float:
    """Return the most that a row costs a model that finds all classes equally likely.

    Infinite where that depends on how many tags the rows have, or on class weights.
    """
    if LOSSES[model_loss(options.loss)].task == "multiclass":
        return math.log(n_classes)
    return (
        n_classes * math.log(2) if options.loss == "ova" and not options.class_weight else math.inf
    )


def _advice(options: TrainOptions) -> str:
    smaller = (
        f"use a smaller learning rate (for instance lr={(options.lr or 1.0) / 4:g}, --lr on the "
        "command line)"
    )
    return smaller + " or optimizer='adagrad'" * (options.optimizer != "adagrad")


def pieces_of(examples: Examples) -> int:
    """Return into how many pieces an epoch over these rows is cut.

    The trainer is made for ``epochs * pieces`` epochs, each of them one piece.
    """
    return max(1, len(examples.rows.indices) // _PIECE)


def run_epochs(
    trainer: Trainer,
    examples: Visited,
    options: TrainOptions,
    *,
    valid: Examples | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    pieces: int = 1,
) -> list[dict[str, float]]:
    """Train for `options.epochs` epochs, or until `options.patience` says stop.

    Parameters
    ----------
    trainer : Trainer
        Changed in place.
    examples : Examples or Pieces
        Rows to learn from, in memory or on disk.
    valid : Examples, optional
        Rows to watch.
    options : TrainOptions
        Resolved.
    progress : callable, optional
        Called after each epoch with `event`, `epoch`, `epochs`, `loss` and, if there are
        validation rows, `valid_loss`; and between pieces as `Pace` says. What is wrong with a loss
        that is finite comes as a "choice", and without `progress` as a `UserWarning`.
    checkpoint : Checkpoint, optional
    resume : bool
        Go on from the checkpoint, if there is one.
    pieces : int
        What `pieces_of` gave when the trainer was made.

    Returns
    -------
    list of dict
        One `{"epoch", "loss"[, "valid_loss"]}` an epoch; mean losses a row.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite.
    ValueError, OSError
        If the checkpoint to go on from is damaged or another run's, or one cannot be written.
    """
    assert options.epochs is not None
    mark, run = "", _Run()
    if checkpoint:
        checkpoint.prepare()
        mark = fingerprint(options.to_dict(), trainer.state(), examples, valid)
        if resume and checkpoint.exists():
            run = _restore(trainer, *load_state(checkpoint, mark, _arrays(trainer, run)))
    keeper, watch = _Keeper(checkpoint, trainer, mark), _Watch(options, progress)
    usual = min(
        [_of_no_claim(examples.n_classes, options), *(past["loss"] for past in run.history)]
    )
    speaking = examples.speaking()
    while not run.finished and run.epoch < options.epochs:
        order = np.random.default_rng([options.seed, 1, run.epoch]).permutation(speaking)
        total = _visit(trainer, examples, np.array_split(order, pieces), run, keeper, progress)
        run.epoch += 1
        entry = {"epoch": float(run.epoch), "loss": _mean(total, examples, speaking, options)}
        if valid is not None:
            watched = valid.speaking()
            entry["valid_loss"] = _mean(trainer.loss(valid, watched), valid, watched, options)
            _keep_best(run, trainer, entry["valid_loss"], options.patience)
        run.finished = run.finished or run.epoch == options.epochs
        watch.look(entry["loss"], usual, last=run.finished)
        usual = min(usual, entry["loss"])
        run.history.append(entry)
        keeper.after_epoch(run)
        if progress is not None:
            progress({"event": "epoch", "epochs": options.epochs, **entry, "epoch": run.epoch})
    if run.best is not None:
        _copy(run.best, trainer.state())
    return run.history


def _visit(
    trainer: Trainer,
    examples: Visited,
    parts: list[NDArray[np.int64]],
    run: _Run,
    keeper: _Keeper,
    progress: Progress | None,
) -> float:
    """Make the rest of an epoch, piece by piece; returns the sum of the losses of all of it."""
    pace = Pace(progress if len(parts) > 1 else None, "pass", sum(map(len, parts)))
    while run.piece < len(parts):
        number = run.epoch * len(parts) + run.piece
        run.total += trainer.epoch(examples, parts[run.piece], number)
        run.piece += 1
        pace.at(sum(map(len, parts[: run.piece])))
        if run.piece < len(parts):
            keeper.after_piece(run)
    total, run.piece, run.total = run.total, 0, 0.0
    return total


def _mean(total: float, examples: Visited, rows: NDArray[np.int64], options: TrainOptions) -> float:
    mean = total / max(float(examples.weight[rows].sum(dtype=np.float64)), 1e-30)
    if not math.isfinite(mean):
        raise TrainingDivergedError(
            f"training diverged: the loss is {mean} with lr={options.lr}; {_advice(options)}"
        )
    return mean


def _keep_best(run: _Run, trainer: Trainer, loss: float, patience: int | None) -> None:
    if patience is None:
        return
    if loss < run.best_loss:
        run.best_loss, run.best_epoch = loss, run.epoch
        run.best = {name: array.copy() for name, array in trainer.state().items()}
    run.finished = run.epoch - run.best_epoch >= patience


def _facts(run: _Run, mark: str) -> dict[str, Any]:
    best_loss = None if math.isinf(run.best_loss) else run.best_loss
    return {
        "fingerprint": mark,
        "epoch": run.epoch,
        "piece": run.piece,
        "total": run.total,
        "best_epoch": run.best_epoch,
        "best_loss": best_loss,
        "finished": run.finished,
        "history": run.history,
    }


def _arrays(trainer: Trainer, run: _Run) -> dict[str, NDArray[Any]]:
    best = {f"best.{name}": array for name, array in (run.best or {}).items()}
    return {**{f"now.{name}": array for name, array in trainer.state().items()}, **best}


def _restore(trainer: Trainer, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> _Run:
    def part(prefix: str) -> dict[str, NDArray[Any]]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    _copy(part("now."), trainer.state())
    best_loss = facts["best_loss"]
    return _Run(
        facts["epoch"],
        facts["piece"],
        facts["total"],
        facts["best_epoch"],
        math.inf if best_loss is None else best_loss,
        facts["finished"],
        facts["history"],
        part("best.") or None,
    )


def _copy(source: dict[str, NDArray[Any]], target: dict[str, NDArray[Any]]) -> None:
    for name, array in target.items():
        array[...] = source[name]
