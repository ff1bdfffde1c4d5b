"""Passes over pieces of rows that stand on disk, as the epoch loop sees them.

To `run_epochs` a piece is what a row is in memory: it permutes pieces, and asks for a pass in that
order. `StreamTrainer` reads some pieces at a time, shuffles their rows, and lets a trainer of
rows in memory make one short epoch of them; the next ones are read meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels
from eitheror.training.examples import Examples
from eitheror.training.priors import apply_class_weight
from eitheror.training.stream_cache import Cache
from eitheror.training.stream_pace import Pace, Progress
from eitheror.training.stream_pieces import unpack

__all__ = ["Pieces", "StreamTrainer"]

_TOGETHER = 32  # pieces that are mixed with each other


class Pieces:
    """The rows of a cache, in place of `Examples`.

    Parameters
    ----------
    cache : Cache
    class_weight : float64 array of shape (n_classes,), optional
    loss : str
        Resolved.

    Attributes
    ----------
    weight : float64 array of shape (n_pieces,)
        Weight of the rows of each piece that say something, as last read.
    """

    def __init__(self, cache: Cache, class_weight: NDArray[np.float64] | None, loss: str) -> None:
        self.cache = cache
        self.task: str = cache.facts["task"]
        self.n_classes = len(cache.facts["classes"])
        self.weight = cache.index["weight"].copy()
        self.column_weight: NDArray[np.float32] | None = None
        self._class_weight = class_weight
        self._loss = loss
        self._nothing = Labels([], cache.facts["classes"], self.task)
        if class_weight is not None:
            none = self._nothing.sparse()
            weight = np.zeros(0, np.float32)
            self.column_weight = apply_class_weight(
                class_weight, loss, self._nothing, none, weight
            )[2]

    def __len__(self) -> int:
        return len(self.weight)

    def speaking(self) -> NDArray[np.int64]:
        """Return the pieces with a row that says something and counts."""
        return np.flatnonzero(self.cache.index["speaking"])

    def arrays(self) -> tuple[tuple[NDArray[Any], ...], ...]:
        """Return what tells these rows from others: the checksums of the pieces."""
        return ((self.cache.index["entries"][:, 3], self.cache.index["rows"]),)

    def groups(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the pieces that are mixed with each other, in order.

        Groups are alike in size, as the learning rate falls by the same step in each.
        """
        return np.array_split(order, max(1, -(-len(order) // _TOGETHER)))

    def read(self, pieces: Sequence[int] | NDArray[np.int64]) -> Examples:
        """Return the rows of some pieces.

        Raises
        ------
        CacheDamagedError
            If they are not what was written.
        """
        entries = self.cache.index["entries"]
        found = [self.cache.rows.read(entries[piece]) for piece in pieces]
        examples = unpack(found, self.cache.featurizer, self.task, self.n_classes)
        if self._class_weight is None:
            return examples
        targets, weight, _ = apply_class_weight(
            self._class_weight, self._loss, self._nothing, examples.targets, examples.weight
        )
        examples = Examples(examples.rows, targets, weight)
        self._weigh(pieces, examples)
        return examples

    def parts(self, progress: Progress | None = None) -> Iterator[Examples]:
        """Yield all rows in the order of the files, as many at a time as are mixed with each other.

        Parameters
        ----------
        progress : callable, optional
            Told how far the phase "tree" is.
        """
        rows = self.cache.index["rows"]
        pace, done = Pace(progress, "tree", int(rows.sum())), 0
        for group in self.groups(np.arange(len(rows))):
            yield self.read(group)
            done += int(rows[group].sum())
            pace.at(done)

    def group_bytes(self) -> int:
        """Return what the largest group may take while it is read, at the worst."""
        sizes = np.sort(self.cache.index["entries"][:, 2])[-_TOGETHER:]
        return 4 * int(sizes.sum())

    def _weigh(self, pieces: Sequence[int] | NDArray[np.int64], examples: Examples) -> None:
        counts = np.zeros(len(examples))
        speaking = examples.speaking()
        counts[speaking] = examples.weight[speaking]
        starts = np.cumsum(self.cache.index["rows"][pieces]) - self.cache.index["rows"][pieces]
        self.weight[pieces] = np.add.reduceat(counts, starts)


class StreamTrainer:
    """A trainer whose epochs run over pieces.

    Parameters
    ----------
    inner : Trainer of rows in memory
        Made for ``epochs * n_groups`` epochs: its learning rate falls group by group.
    seed : int
    ahead : bool
        Whether the next group is read while one is visited.
    progress : callable, optional
    """

    def __init__(self, inner: Any, seed: int, ahead: bool, progress: Progress | None) -> None:
        self.inner = inner
        self.seed = seed
        self.ahead = ahead
        self.progress = progress

    def epoch(self, examples: Any, order: NDArray[np.int64], number: int) -> float:
        """Make one pass over these pieces; return the weighted sum of the rows' losses."""
        groups = examples.groups(order)
        rows = examples.cache.index["rows"]
        pace = Pace(self.progress, "pass", int(rows[order].sum()))
        total, done = 0.0, 0
        for place, group in enumerate(self._read(examples, groups)):
            step = number * len(groups) + place
            shuffle = np.random.default_rng([self.seed, 3, step])
            total += self.inner.epoch(group, shuffle.permutation(group.speaking()), step)
            done += len(group)
            pace.at(done)
        return total

    def loss(self, examples: Examples, order: NDArray[np.int64]) -> float:
        """Return the weighted sum of the losses of held-out rows."""
        return float(self.inner.loss(examples, order))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that the next epoch starts from, by name."""
        state: dict[str, NDArray[Any]] = self.inner.state()
        return state

    def parameters(self) -> Any:
        """Return the model's parameters."""
        return self.inner.parameters()

    def _read(self, pieces: Pieces, groups: list[NDArray[np.int64]]) -> Iterator[Examples]:
        if not self.ahead:
            yield from map(pieces.read, groups)
            return
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(pieces.read, groups[0])
            for group in groups[1:]:
                found = waiting.result()
                waiting = pool.submit(pieces.read, group)
                yield found
                del found
            yield waiting.result()
