"""What an estimator around another one checks of X: its columns, their names, and weights.

The values are the inner estimator's business, and so are its own errors about them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = ["checked_rows", "checked_weight"]


def checked_rows(estimator: Any, X: Any, reset: bool = False) -> Any:
    """Return X as the inner estimator gets it; the number and names of its columns are checked."""
    if not hasattr(X, "shape") and not isinstance(X, list | tuple):
        X = np.asarray(X)
    if not reset and hasattr(estimator, "n_features_in_") and np.ndim(X) == 1:
        raise ValueError("X has one dimension, expected two. Reshape your data: [row] is one row")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return X


def checked_weight(sample_weight: Any, n: int) -> NDArray[np.float64]:
    """Return one weight of at least 0 per row; None is 1 everywhere."""
    checked = _check_sample_weight(
        sample_weight, X=np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True
    )
    return np.asarray(checked)
