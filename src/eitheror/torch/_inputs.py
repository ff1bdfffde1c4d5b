"""What a module reads: arrays, tensors or sparse rows, one batch of tensors at a time."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Inputs"]


class Inputs:
    """Rows of inputs that become tensors batch by batch.

    Parameters
    ----------
    X : array, tensor or sparse matrix of shape (n_samples, ...)
        The first axis is the rows. Floats, bools and bytes become float32; other whole numbers
        int64 (for an embedding layer), unless ``as_float``. A tensor keeps its dtype. Sparse rows
        are made dense batch by batch.
    as_float : bool
        Whole numbers become float32, too.

    Raises
    ------
    ValueError
        For inputs without rows or of one axis, and for numbers that are not finite.

    Examples
    --------
    >>> Inputs(np.ones((3, 2))).take(np.array([0, 2])).dtype
    torch.float32
    """

    def __init__(self, X: Any, *, as_float: bool = False) -> None:
        self.sparse = hasattr(X, "tocsr")
        if self.sparse:
            self.rows = X.tocsr()
        elif isinstance(X, Tensor):
            self.rows = X.float() if as_float else X
        else:
            self.rows = _numbers(np.asarray(X), as_float)
        if len(self.shape) < 2 or 0 in self.shape[1:]:
            raise ValueError(
                f"X has shape {self.shape}; expected rows first and at least one more axis, "
                "such as (n_samples, n_features) or (n_samples, channels, height, width)"
            )
        self._check_finite()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows."""
        return tuple(self.rows.shape)

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def take(self, rows: NDArray[np.int64], device: Any = "cpu") -> Tensor:
        """Return some rows as a tensor on the device."""
        if isinstance(self.rows, Tensor):
            return self.rows[torch.as_tensor(rows, device=self.rows.device)].to(device)
        chosen = self.rows[rows]
        if self.sparse:
            chosen = chosen.toarray().astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(chosen)).to(device)

    def scales(self, chosen: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and scale of each column of a table over chosen rows (mean 0 for sparse rows)."""
        from eitheror.training.standardise import Standardiser

        rows = self.rows.cpu().numpy() if isinstance(self.rows, Tensor) else self.rows
        found = Standardiser.fit(rows[chosen].astype(np.float64))
        mean = np.zeros(self.shape[1]) if found.mean is None else found.mean
        return mean, found.scale

    def digest(self) -> str:
        """SHA-256 of the rows."""
        rows = self.rows.cpu().numpy() if isinstance(self.rows, Tensor) else self.rows
        parts = (rows.indptr, rows.indices, rows.data) if self.sparse else (rows,)
        digest = hashlib.sha256(str((self.shape, str(rows.dtype))).encode())
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def _check_finite(self) -> None:
        if isinstance(self.rows, Tensor):
            bad = ~torch.isfinite(self.rows).all() if self.rows.is_floating_point() else False
        else:
            values = self.rows.data if self.sparse else self.rows
            bad = values.dtype.kind == "f" and not np.isfinite(values).all()
        if bad:
            raise ValueError(
                "X holds a number that is nan or infinite; expected finite numbers: replace "
                "missing values first (an imputer, or an indicator column)"
            )


def _numbers(X: NDArray[Any], as_float: bool) -> NDArray[Any]:
    if X.dtype.kind not in "fiub":
        raise TypeError(
            f"X has dtype {X.dtype}; a module reads numbers: turn texts into numbers first"
        )
    whole = X.dtype.kind in "iu" and X.dtype != np.uint8 and not as_float
    return X.astype(np.int64 if whole else np.float32, copy=False)
