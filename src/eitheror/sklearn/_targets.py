"""What may stand in place of `y`, read once: every form becomes :class:`Labels` or an error.

scikit-learn's own tools re-encode targets silently in places (`cross_val_predict` turns the columns
of a matrix into ranks). Whatever bears the marks of that is refused here, because training on it
would succeed and be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from eitheror.labels import Label, Labels

__all__ = ["ReadTarget", "as_labels", "read_target"]


@dataclass(frozen=True)
class ReadTarget:
    """Labels, and how the caller spelt them.

    ``classes`` are the class names in the caller's own dtype (column order of the labels);
    ``indicator`` is the dtype of a 0/1 matrix that came in, in which predictions go out.
    """

    labels: Labels
    classes: NDArray[Any]
    indicator: np.dtype[Any]


def as_labels(y: Any, classes: Any = None, task: str | None = None) -> Labels:
    """Return `y` as :class:`Labels`.

    Parameters
    ----------
    y : Labels, 1-D array-like, or 2-D array of shape (n_samples, n_classes)
        Labels are taken as they are. 1-D: class names, or `Label` objects, None for unknown. 2-D:
        tags; bool or 0/1, or floats 0, 1 and nan for unknown.
    classes : list, optional
        The whole class list; names outside it are refused.
    task : {"multiclass", "multilabel"}, optional

    Returns
    -------
    Labels

    Raises
    ------
    ValueError, TypeError
        For anything that can be read in two ways, and for numbers that scikit-learn has re-encoded.

    Examples
    --------
    >>> as_labels(np.array(["b", "a"]))
    Labels([exact('b'), exact('a')], classes=['a', 'b'], task='multiclass')
    >>> as_labels([[True, False], [True, True]]).task
    'multilabel'
    """
    return read_target(y, classes, task).labels


def read_target(y: Any, classes: Any = None, task: str | None = None) -> ReadTarget:
    """Read `y` as :func:`as_labels` does, and remember its spelling."""
    if isinstance(y, Labels):
        return _plain(Labels(y, classes=classes, task=task) if classes or task else y)
    if hasattr(y, "toarray"):
        y = y.toarray()
    if isinstance(y, list | tuple) and _holds_statements(y):
        return _plain(Labels(y, classes=classes, task=task))
    array = np.asarray(y)
    if array.dtype == object and array.ndim == 1 and _holds_statements(array):
        return _plain(Labels(array, classes=classes, task=task))
    if array.ndim == 2 and array.shape[1] > 1:
        return _from_matrix(array, classes)
    return _from_names(y, classes, task)


def _holds_statements(y: Any) -> bool:
    """Whether a list has anything but names: Label objects, None, nan, sets, dicts."""
    return any(
        value is None
        or isinstance(value, Label | set | frozenset | dict)
        or (isinstance(value, float) and np.isnan(value) and any(isinstance(v, str) for v in y))
        for value in y
    )


def _plain(labels: Labels) -> ReadTarget:
    return ReadTarget(labels, _names(labels.classes), np.dtype(bool))


def _names(classes: list[Any]) -> NDArray[Any]:
    return np.asarray(classes) if classes else np.empty(0, dtype=object)


# --- 1-D: names -----------------------------------------------------------------------------


def _from_names(y: Any, classes: Any, task: str | None) -> ReadTarget:
    if y is None:
        raise ValueError(
            "this estimator requires y to be passed, but the target y is None; expected Labels or "
            "one class name a row (None inside a list of labels means unknown)"
        )
    y = column_or_1d(y, warn=True)
    if y.dtype.kind in "fc":
        assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if classes is not None:
        labels = Labels(y.tolist(), classes=list(classes), task=task)
        return _plain(labels)
    spelt, codes = np.unique(y, return_inverse=True)
    names = _portable(spelt)
    if -1 in names and not set(names) <= {-1, 1}:
        raise ValueError(
            f"row {int(np.flatnonzero(y == -1)[0])}: -1 can be read two ways: unknown -- write "
            "None in a list of labels -- or a class that is called -1 -- then name it in classes=. "
            "Only beside the class 1 alone is it read as scikit-learn's second class"
        )
    labels = Labels([names[code] for code in codes], classes=names, task=task)
    return ReadTarget(labels, spelt, np.dtype(bool))


def _portable(spelt: NDArray[Any]) -> list[Any]:
    """Class names as the labels hold them: strings stay, whole numbers become int."""
    if spelt.dtype.kind in "bf":
        return [int(value) for value in spelt]
    return [str(v) if isinstance(v, str) else v for v in spelt.tolist()]


# --- 2-D: tags ------------------------------------------------------------------------------

_WRITE = "write Labels.from_indicator(Y) for tags, from_candidates(Y) for sets of candidates, or "
_WRITE += "from_proba(Y) for shares"


def _from_matrix(matrix: NDArray[Any], classes: Any) -> ReadTarget:
    if matrix.dtype.kind not in "buif":
        raise ValueError(f"y is a matrix of {matrix.dtype}; {_WRITE}")
    known = matrix[~np.isnan(matrix)] if matrix.dtype.kind == "f" else matrix
    odd = known[(known != 0) & (known != 1)]
    if odd.size:
        raise ValueError(
            f"y is a matrix that holds {odd.flat[0]}; expected 0, 1 or nan. Other numbers can be "
            "read as shares or as tag probabilities, or are ranks that scikit-learn's "
            f"cross_val_predict wrote over them (use out_of_fold_proba); {_WRITE}"
        )
    if matrix.dtype.kind in "ui":
        _refuse_constant_columns(matrix)
    labels = Labels.from_indicator(matrix, classes=None if classes is None else list(classes))
    # whole-number matrices come back in their own dtype, as scikit-learn's do; others as bool
    dtype = matrix.dtype if matrix.dtype.kind in "ui" else np.dtype(bool)
    return ReadTarget(labels, _names(labels.classes), dtype)


def _refuse_constant_columns(matrix: NDArray[Any]) -> None:
    """Refuse a column of zeros: `cross_val_predict` writes that over a column of ones."""
    empty = np.flatnonzero(~matrix.any(axis=0))
    if len(empty) and len(matrix) > 1:
        raise ValueError(
            f"column {empty[0]} of y is 0 in every row. scikit-learn's cross_val_predict writes "
            "that over a column of ones, so it cannot be trusted: use out_of_fold_proba in place "
            "of cross_val_predict. If the tag really never applies, pass a bool matrix or "
            "Labels.from_indicator(Y)"
        )
