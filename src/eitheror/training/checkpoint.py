"""Checkpoints: the state between two epochs in one file, and a run that goes on from it.

`MODEL.checkpoint/state.safetensors` holds the trainer's arrays and, as text in its header, the
epoch, the history, a fingerprint of data, options and starting point, and a SHA-256 of all that. It
is written to a second name, flushed and renamed, so whatever moment the writer dies at, the
checkpoint of before stays until the new one is whole. A run that goes on from a checkpoint ends in
the same bytes as one that was never stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.model.storage import write_tensors
from eitheror.training.examples import Visited

__all__ = ["Checkpoint", "fingerprint", "load_state", "save_state"]

_FILE = "state.safetensors"
_FORMAT = "eitheror-checkpoint-2"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Where to keep checkpoints, and how often to write one.

    Parameters
    ----------
    path : path-like
        A folder, such as `tickets.model.checkpoint`.
    every : int
        Epochs between two checkpoints; the last epoch always writes one.
    seconds : float, optional
        In place of `every`: a checkpoint after the first epoch that ends so long after the last
        one. The model does not depend on it.

    Raises
    ------
    ValueError
        For an `every` below 1, or seconds below 0.

    Examples
    --------
    >>> Checkpoint("tickets.model.checkpoint", every=5).exists()
    False
    """

    path: str | os.PathLike[str]
    every: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"checkpoint every {self.every} epochs: expected 1 or more")
        if self.seconds is not None and not self.seconds >= 0:
            raise ValueError(f"checkpoint every {self.seconds} seconds: expected 0 or more")

    @property
    def file(self) -> Path:
        """The file that holds the state."""
        return Path(self.path) / _FILE

    def exists(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.file.is_file()

    def due(self, epoch: int, elapsed: float) -> bool:
        """Whether to write one after this epoch, so many seconds after the last one.

        Examples
        --------
        >>> Checkpoint("c", every=5).due(10, 0.1), Checkpoint("c", seconds=60).due(10, 0.1)
        (True, False)
        """
        return epoch % self.every == 0 if self.seconds is None else elapsed >= self.seconds

    def prepare(self) -> None:
        """Make the folder, before any work is done that it should keep.

        Raises
        ------
        OSError
            Naming the folder, if it cannot be made or written to.
        """
        try:
            Path(self.path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(Path(self.path), error) from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(
                f"{os.fspath(self.path)}: the folder cannot be written to, and checkpoints should "
                "go there"
            )


def fingerprint(options: dict[str, Any], start: Arrays, *parts: Visited | None) -> str:
    """SHA-256 of the options, of the arrays that training starts from, and of the examples."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    _add(digest, start)
    for examples in parts:
        digest.update(b"|")
        if examples is not None:
            for array in itertools.chain(*examples.arrays()):
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save_state(checkpoint: Checkpoint, arrays: Arrays, facts: dict[str, Any]) -> None:
    """Replace the checkpoint by these arrays and facts (JSON values), or leave the old one.

    Raises
    ------
    OSError
        If it cannot be written; the checkpoint of before is as it was.
    """
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(facts, sort_keys=True)
    header = {"format": _FORMAT, "facts": text, "sha256": _digest(whole, text)}
    new = checkpoint.file.with_name(_FILE + ".new")
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as stream:
            write_tensors(stream, whole, header)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(checkpoint.file)
        _sync(new.parent)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise _unwritable(new, error) from None


def load_state(
    checkpoint: Checkpoint, expected: str, like: Arrays | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and facts of a checkpoint written by a run with this fingerprint.

    Parameters
    ----------
    checkpoint : Checkpoint
    expected : str
        What `fingerprint` gives.
    like : mapping of str to array, optional
        Arrays that have to be there, in these shapes.

    Raises
    ------
    ValueError
        Naming the file: it is damaged or no checkpoint, or another run or version wrote it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint.file, framework="numpy") as stream:
            header = stream.metadata() or {}
            if header.get("format") != _FORMAT:
                raise _refused(checkpoint, "no checkpoint of this version of eitheror")
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}
    except (SafetensorError, OSError) as error:
        raise _refused(checkpoint, f"no readable checkpoint ({error})") from None
    text = header.get("facts", "")
    if _digest(arrays, text) != header.get("sha256"):
        raise _refused(checkpoint, "damaged: its SHA-256 is not the one that was written")
    facts: dict[str, Any] = json.loads(text)
    if facts["fingerprint"] != expected:
        raise ValueError(
            f"{checkpoint.file}: the checkpoint was written with other data or options; "
            "go on with the same ones, or delete the folder to start over"
        )
    for name, array in (like or {}).items():
        if name not in arrays or arrays[name].shape != array.shape:
            raise _refused(checkpoint, "a checkpoint of another version of eitheror")
    return arrays, facts


def _digest(arrays: Arrays, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    _add(digest, arrays)
    return digest.hexdigest()


def _add(digest: Any, arrays: Arrays) -> None:
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"|{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)


def _refused(checkpoint: Checkpoint, problem: str) -> ValueError:
    return ValueError(
        f"{checkpoint.file}: {problem}; delete the folder to start over (a model that is there "
        "stays as it is)"
    )


def _unwritable(place: Path, error: OSError) -> OSError:
    return type(error)(
        f"{place}: {error.strerror}: the checkpoint was not written; one of before is as it was: "
        "make room, then go on with --resume (resume=True)"
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
