"""What a fitted model does with its own training rows, seen without true labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import SparseTargets
from eitheror.labels._sparse import row_of_entries
from eitheror.torch._shares import class_shares
from eitheror.torch._training import Batches

__all__ = ["look_back"]


def look_back(data: Batches, logits: NDArray[np.float32], names: list[Any]) -> dict[str, Any]:
    """Compare the classes that the rows are given with what the statements alone say of them.

    Parameters
    ----------
    data : Batches
        The training rows; one true class.
    logits : array of shape (n_rows, n_classes)
        Of these rows.
    names : list
        The classes.

    Returns
    -------
    dict
        "predicted_shares", "expected_shares", "never_predicted" (classes that some statement
        allows and no row is given) and, if there are any, "message".
    """
    targets = data.objective.targets.take(data.rows)
    expected = class_shares(targets, data.weight[data.rows].astype(np.float64))
    predicted = np.bincount(logits.argmax(axis=1), minlength=len(names)) / len(logits)
    never = np.flatnonzero((predicted == 0) & _allowed(targets))
    report: dict[str, Any] = {
        "predicted_shares": dict(zip(names, predicted.tolist(), strict=True)),
        "expected_shares": dict(zip(names, expected.tolist(), strict=True)),
        "never_predicted": [names[k] for k in never],
    }
    if len(never):
        listed = ", ".join(f"{names[k]!r} (about {expected[k]:.0%})" for k in never)
        report["message"] = (
            f"never predicted on the training rows: {listed}; in brackets the share of rows that "
            "the statements alone make likely. A larger mean_penalty, or exact labels of some rows "
            "of these classes, would tell"
        )
    return report


def _allowed(targets: SparseTargets) -> NDArray[np.bool_]:
    """Mark the classes that some row leaves possible, named or among its rest."""
    named = np.bincount(targets.indices[targets.values > 0], minlength=targets.n_classes) > 0
    open_rows = targets.rest > 0
    listed = np.bincount(
        targets.indices[open_rows[row_of_entries(targets.indptr)]], minlength=targets.n_classes
    )
    return np.asarray(named | (listed < open_rows.sum()))
