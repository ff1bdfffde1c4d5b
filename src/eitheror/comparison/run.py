"""Every strategy on the same folds: probabilities for each row from models that did not see it."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror import __version__
from eitheror.comparison.data import Data
from eitheror.comparison.strategies import Setting, Strategy
from eitheror.labels import RowError

__all__ = ["Outcome", "run_folds"]

Progress = Callable[[dict[str, Any]], None]
_LEAST = 2  # one alone is no comparison


@dataclass(eq=False)
class Outcome:
    """What one strategy did on the folds that were run.

    Attributes
    ----------
    proba : array of shape (n_samples, n_classes)
        Rows outside the folds that were run are nan.
    seconds : list of float
        Training time of each fold, with the prediction of its held-out rows.
    meaning : str
        "probabilities", "marginals" or "shares".
    n_parameters : int
        Of the model of the last fold.
    """

    strategy: Strategy
    proba: NDArray[np.float32]
    seconds: list[float] = field(default_factory=list)
    meaning: str = ""
    n_parameters: int = 0


def run_folds(
    strategies: Sequence[Strategy],
    setting: Setting,
    data: Data,
    folds: NDArray[np.int64],
    *,
    budget: float | None,
    progress: Progress | None,
    store: Path | None,
) -> tuple[list[Outcome], int, dict[str, str]]:
    """Train every strategy on every fold, fold by fold, until the time is spent.

    Returns
    -------
    outcomes : list of Outcome
        One a strategy that could be trained. With `budget`, those that were not begun on the first
        fold when the time was spent are left out; two at least were begun.
    n_folds : int
        Folds that all of these finished. Without `budget` all of them.
    left_out : dict of str to str
        The other strategies, and why.

    Raises
    ------
    ValueError
        If no strategy could be trained; a row that cannot be read stops all at once.
    """
    shape = (len(data.labels), data.labels.n_classes)
    outcomes = [Outcome(s, np.full(shape, np.nan, np.float32)) for s in strategies]
    kept = _Store(store, data, folds, setting)
    start, n_folds = time.monotonic(), int(folds.max()) + 1
    left_out: dict[str, str] = {}
    for fold in range(n_folds):
        spent = time.monotonic() - start
        if budget is not None and fold and spent * (fold + 1) / fold > budget:
            return outcomes, fold, left_out
        for place, outcome in enumerate(list(outcomes)):
            spent = time.monotonic() - start
            if budget is not None and not fold and place >= _LEAST and spent > budget:
                late = outcomes[outcomes.index(outcome) :]
                reason = f"the budget of {budget:g} s was spent before its first fold"
                left_out |= {other.strategy.name: reason for other in late}
                outcomes = [other for other in outcomes if other not in late]
                break
            try:
                _one(outcome, kept, setting, data, folds, fold)
            except RowError:
                raise
            except ValueError as error:  # one that cannot be trained here must not end the others
                outcomes.remove(outcome)
                if not outcomes:
                    raise
                left_out[outcome.strategy.name] = f"with fold {fold + 1} held out: {error}"
                continue
            if progress is not None:
                done, total = sum(len(o.seconds) for o in outcomes), n_folds * len(outcomes)
                left = (time.monotonic() - start) / done * (total - done)
                if budget is not None:
                    left = min(left, max(budget - (time.monotonic() - start), 0.0))
                progress(
                    {
                        "event": "fit",
                        "strategy": outcome.strategy.name,
                        "fold": fold + 1,
                        "folds": n_folds,
                        "done": done,
                        "total": total,
                        "seconds_left": left,
                    }
                )
    return outcomes, n_folds, left_out


def _one(
    outcome: Outcome,
    kept: _Store,
    setting: Setting,
    data: Data,
    folds: NDArray[np.int64],
    fold: int,
) -> None:
    train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    found = kept.load(outcome.strategy.name, fold)
    if found is None:
        start = time.perf_counter()
        try:
            fitted = outcome.strategy.fit(setting, data.take(train))
        except RowError as error:  # the row of the fold is not the row of the file
            raise RowError(int(train[error.row]), error.problem) from None
        proba = np.asarray(fitted.predict_proba(data.take(test).inputs), dtype=np.float32)
        found = (proba, time.perf_counter() - start, fitted.meaning, fitted.n_parameters)
        kept.save(outcome.strategy.name, fold, found)
    outcome.proba[test] = found[0]
    outcome.seconds.append(found[1])
    outcome.meaning, outcome.n_parameters = found[2], found[3]


Found = tuple[NDArray[np.float32], float, str, int]


class _Store:
    """Finished fits in a folder, so that a comparison that was stopped goes on where it was.

    A file's name holds the digest of everything its numbers depend on: a changed file or option
    finds nothing and starts anew.
    """

    def __init__(
        self,
        folder: Path | None,
        data: Data,
        folds: NDArray[np.int64],
        setting: Setting,
    ) -> None:
        self.folder = folder
        if folder is None:
            return
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; give a folder for the finished fits")
        folder.mkdir(parents=True, exist_ok=True)
        inputs, labels = data.inputs, data.labels
        digest = blake2b(digest_size=12)
        said = (__version__, sorted(asdict(setting.options).items()), setting.seed)
        digest.update(repr(said).encode())
        digest.update(folds.tobytes())
        if data.weight is not None:
            digest.update(data.weight.tobytes())
        # the same statements over other columns are other probabilities
        digest.update(repr((labels.task, list(labels.classes))).encode())
        for label in labels:
            digest.update(repr(label).encode())
        if hasattr(inputs, "indptr"):
            for part in (inputs.indptr, inputs.indices, inputs.data):
                digest.update(repr((inputs.shape, part.dtype)).encode() + part.tobytes())
        elif hasattr(inputs, "tobytes"):
            digest.update(repr((inputs.shape, inputs.dtype)).encode() + inputs.tobytes())
        else:
            for text in inputs:
                digest.update(text.encode() + b"\0")
        self.digest = digest.hexdigest()

    def _path(self, name: str, fold: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{name.replace(' ', '-')}-{fold}-{self.digest}.npz"

    def load(self, name: str, fold: int) -> Found | None:
        """Return what was kept, or None where nothing is or the file is damaged."""
        if self.folder is None or not self._path(name, fold).exists():
            return None
        try:
            with np.load(self._path(name, fold), allow_pickle=False) as data:
                return (
                    data["proba"],
                    float(data["seconds"]),
                    str(data["meaning"]),
                    int(data["n_parameters"]),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, fold: int, found: Found) -> None:
        """Write under a temporary name, then rename."""
        if self.folder is None:
            return
        path = self._path(name, fold)
        new = path.with_suffix(f".{os.getpid()}.new.npz")
        proba, seconds, meaning, n_parameters = found
        try:
            np.savez(
                new,
                proba=proba,
                seconds=seconds,
                meaning=np.str_(meaning),
                n_parameters=n_parameters,
            )
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
