"""Checkpoints: the state between two epochs in one file, and a run that goes on from it.

`MODEL.checkpoint/state.safetensors` holds the trainer's arrays and, as text in its header, the
epoch, the history and a fingerprint of data and options. It is written to a second name, flushed
and renamed, so a crash leaves the previous checkpoint. A run that goes on from a checkpoint ends in
the same bytes as one that was never stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.training.examples import Examples

__all__ = ["Checkpoint", "fingerprint", "load_state", "save_state"]

_FILE = "state.safetensors"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Where to keep checkpoints, and how often to write one.

    Parameters
    ----------
    path : path-like
        A folder, such as `tickets.model.checkpoint`.
    every : int
        Epochs between two checkpoints; the last epoch always writes one.

    Examples
    --------
    >>> Checkpoint("tickets.model.checkpoint", every=5).exists()
    False
    """

    path: str | os.PathLike[str]
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"checkpoint every {self.every} epochs: expected 1 or more")

    @property
    def file(self) -> Path:
        """The file that holds the state."""
        return Path(self.path) / _FILE

    def exists(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.file.is_file()


def fingerprint(options: dict[str, Any], *parts: Examples | None) -> str:
    """SHA-256 of the options and of every array of the examples."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for examples in parts:
        digest.update(b"|")
        if examples is not None:
            for array in itertools.chain(*examples.arrays()):
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save_state(
    checkpoint: Checkpoint, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]
) -> None:
    """Replace the checkpoint by these arrays and facts (JSON values), or leave the old one."""
    from safetensors.numpy import save

    folder = Path(checkpoint.path)
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / (_FILE + ".new")
    header = {"format": str(_FORMAT), "facts": json.dumps(facts, sort_keys=True)}
    data = save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata=header)
    with new.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(checkpoint.file)


def load_state(
    checkpoint: Checkpoint, expected: str
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and facts of a checkpoint written by a run with this fingerprint.

    Raises
    ------
    ValueError
        If the file is damaged, or another run wrote it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint.file, framework="numpy") as stream:
            header = stream.metadata() or {}
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}
        facts = json.loads(header["facts"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{checkpoint.file}: no readable checkpoint ({error}); delete the folder to start over"
        ) from None
    if facts.get("fingerprint") != expected:
        raise ValueError(
            f"{checkpoint.file}: the checkpoint was written with other data or options; "
            "go on with the same ones, or delete the folder to start over"
        )
    return arrays, facts
