"""What estimators check of X: texts; or columns, their names, and weights.

The values of numbers are the inner estimator's business, and so are its own errors about them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, validate_data

from eitheror.text import Texts

__all__ = ["checked_rows", "checked_texts", "checked_weight"]


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


def checked_texts(X: Any) -> list[str] | Texts:
    """Return texts, one a row; ValueError for anything else."""
    if isinstance(X, str | bytes) or not hasattr(X, "__len__"):
        raise ValueError(f"X is {X!r:.60}; expected a list of texts, one string a row")
    if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:
        X = np.asarray(X)[:, 0]
    if isinstance(X, Texts):
        return X
    texts = X if isinstance(X, list) else list(np.asarray(X, dtype=object))
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"row {row} of X is {text!r:.60}, not a string; expected a list of texts (numbers "
                "are for LinearClassifier)"
            )
    return texts
