"""Statements in blocks: what their class list and task are is settled when the last one is known.

Classes are numbered by first use over all blocks, so a block's arrays can leave memory; the class
list and the task are those that `Labels` of all rows together would have.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from eitheror.labels._build import Store, check_classes, check_task
from eitheror.labels._label import ClassName, sort_names
from eitheror.labels._sparse import CODES

__all__ = ["Statements"]

_TAGS = CODES["tags"]


class Statements:
    """The class names of blocks of statements, and what has been said.

    Attributes
    ----------
    said : bool
        Whether any row says something.

    Examples
    --------
    >>> from eitheror.labels import LabelsBuilder
    >>> statements, builder = Statements(), LabelsBuilder()
    >>> for name in ("bug", "billing"):
    ...     builder.append(name)
    >>> arrays = statements.add(builder._rows.store(["bug", "billing"], ""))
    >>> statements.settled(None, None)
    (['billing', 'bug'], 'multiclass')
    >>> statements.store(arrays).indices.tolist()
    [0, 1]
    """

    def __init__(self) -> None:
        self.said = False
        self._names: list[ClassName] = []
        self._tags = False

    def add(self, store: Store) -> dict[str, NDArray[Any]]:
        """Return the statements of a block as arrays."""
        self._names = store.classes
        self.said |= bool(store.kinds.any())
        self._tags |= bool((store.kinds == _TAGS).any() or (store.indices == -2 - _TAGS).any())
        return {
            "said.kinds": store.kinds,
            "said.indptr": store.indptr,
            "said.indices": store.indices,
            "said.weights": store.weights,
        }

    def settled(
        self, classes: list[ClassName] | None, task: str | None
    ) -> tuple[list[ClassName], str]:
        """Return the class list and the task.

        Parameters
        ----------
        classes : list of str or int, optional
            As given; else every class that is named, sorted.
        task : {"multiclass", "multilabel"}, optional
            As given; else "multilabel" if a row lists tags.
        """
        check_task(task)
        names = sort_names(self._names) if classes is None else check_classes(classes)
        return names, task or ("multilabel" if self._tags else "multiclass")

    def store(self, arrays: dict[str, NDArray[Any]]) -> Store:
        """Return the arrays of a block under the names found in all blocks."""
        return Store(
            self._names,
            "",
            arrays["said.kinds"],
            arrays["said.indptr"],
            arrays["said.indices"],
            arrays["said.weights"],
        )
