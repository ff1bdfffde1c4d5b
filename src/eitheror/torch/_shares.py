"""What the statements alone, without the inputs, say about how common each class is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import EVIDENCE, SHARES, SparseTargets
from eitheror.labels._sparse import row_of_entries

__all__ = ["class_shares", "open_share"]

Vector = NDArray[np.float64]

_STEPS = 1000
_TOLERANCE = 1e-7


def class_shares(targets: SparseTargets, weight: Vector, pseudo_rows: float = 10.0) -> Vector:
    """Estimate the share of each class by maximum likelihood with imaginary rows for each class.

    Maximises ``sum_i weight_i log sum_k w_ik s_k + a sum_k log s_k`` over shares s by EM; the
    problem is concave. Valid under the condition under which the set likelihood is (a statement
    is equally likely whichever of its classes is true); `a` keeps what few or vague statements say
    from counting for much.

    Parameters
    ----------
    targets : SparseTargets
        Multiclass, ``(n_samples,)``.
    weight : array of shape (n_samples,)
    pseudo_rows : float, default 10
        The number `a`.

    Returns
    -------
    array of shape (n_classes,)
        Adds to 1.

    Examples
    --------
    >>> from eitheror import Labels, not_
    >>> labels = Labels(["a"] * 80 + [not_("a")] * 20, classes=["a", "b", "c"])
    >>> class_shares(labels.sparse(), np.ones(100)).round(2).tolist()
    [0.69, 0.15, 0.15]
    """
    k = targets.n_classes
    rows = row_of_entries(targets.indptr)
    weight = np.where((targets.mode == EVIDENCE) | (targets.mode == SHARES), weight, 0.0)
    is_share = targets.mode == SHARES
    fixed = np.where(is_share[rows], weight[rows] * targets.values, 0.0)
    fixed_mass = np.bincount(targets.indices, fixed, k) + pseudo_rows
    weight = np.where(is_share, 0.0, weight)
    rest = np.where(is_share, 0.0, targets.rest).astype(np.float64)
    above = targets.values - rest[rows]  # what the listed classes have over the rest
    shares = np.full(k, 1.0 / k)
    for _ in range(_STEPS):
        likelihood = rest + np.bincount(rows, above * shares[targets.indices], len(targets))
        ratio = np.divide(weight, likelihood, out=np.zeros_like(weight), where=weight > 0)
        listed = np.bincount(targets.indices, above * ratio[rows], k)
        mass = fixed_mass + shares * (listed + rest @ ratio)
        new = mass / mass.sum()
        change = np.abs(new - shares).max()
        shares = new
        if change < _TOLERANCE:
            break
    return np.asarray(shares)


def open_share(targets: SparseTargets, weight: Vector) -> float:
    """Return the share of the weight on rows that leave more than one class possible.

    Examples
    --------
    >>> from eitheror import Labels, either
    >>> labels = Labels(["a", either("b", "c")], classes=["a", "b", "c", "d"])
    >>> open_share(labels.sparse(), np.ones(2))
    0.5
    """
    rows = row_of_entries(targets.indptr)
    listed = np.bincount(rows, targets.values - targets.rest[rows], len(targets))
    sums = listed + targets.rest.astype(np.float64) * targets.n_classes
    is_open = (targets.mode == EVIDENCE) & (sums > 1.0)
    return float(np.average(is_open, weights=weight))
