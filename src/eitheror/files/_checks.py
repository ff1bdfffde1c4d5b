"""Which rows of a data set cannot stay, all found in one pass.

In: the labels of the rows, the class list, the task. Out: each row that `Labels` would refuse, with
the problem. `Labels` itself stops at the first, which is right unless bad rows are to be skipped.
"""

from __future__ import annotations

from collections.abc import Sequence

from eitheror.labels import ClassName, Label, Labels, RowError

__all__ = ["bad_rows"]


def bad_rows(
    labels: Sequence[Label],
    rows: Sequence[int],
    classes: Sequence[ClassName] | None,
    task: str | None,
) -> dict[int, str]:
    """Return the rows that `Labels` refuses, each with its problem.

    Parameters
    ----------
    labels : sequence of Label
        What is known about each row.
    rows : sequence of int
        The rows to look at.
    classes : sequence of str or int, optional
        The whole class list; None takes any name.
    task : {"multiclass", "multilabel"}, optional
        Default: told by the labels of `rows`.

    Examples
    --------
    >>> from eitheror import exact, soft
    >>> bad_rows([exact("a"), soft({"a": 0.5}), exact("b")], range(3), ["a"], None).keys()
    dict_keys([1, 2])
    """
    if task is None:
        tagged = any(part.kind == "tags" for row in rows for part in labels[row].parts)
        task = "multilabel" if tagged else "multiclass"
    known = None if classes is None else frozenset(classes)
    found = {}
    for row in rows:
        problem = _problem(labels[row], classes, known, task)
        if problem is not None:
            found[row] = problem
    return found


def _problem(
    label: Label,
    classes: Sequence[ClassName] | None,
    known: frozenset[ClassName] | None,
    task: str,
) -> str | None:
    """Return why a row cannot stay, None where it can."""
    if known is not None and not known.issuperset(label.named):
        return _refusal(label, classes, task)
    try:
        reduced = label.reduce(task)
    except ValueError as error:
        return str(error)
    # only a label that names every class can leave none of them
    if known is not None and len(reduced.named) == len(known):
        return _refusal(label, classes, task)
    return None


def _refusal(label: Label, classes: Sequence[ClassName] | None, task: str) -> str | None:
    """Return what `Labels` says about one row alone."""
    try:
        Labels([label], classes, task)
    except RowError as error:
        return error.problem
    return None
