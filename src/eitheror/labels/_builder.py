"""Labels one at a time or many at once -> stored rows; each distinct statement is encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror.labels._build import RowArrays, Store
from eitheror.labels._label import ClassName, Label, RowError
from eitheror.labels._text import bare

__all__ = ["RowsBuilder"]

_MOST_KNOWN: Final = 1 << 16
_PLAIN: Final = {str, int, type(None), Label}


class RowsBuilder:
    """Accumulate labels in little memory, and hand out the rows as they are."""

    def __init__(self) -> None:
        self._rows = RowArrays({})
        self._known: dict[Label | ClassName | None, int] = {}  # the numbers of statements

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, value: Label | ClassName | None) -> None:
        """Add one row; a value that is no label raises `TypeError` or `ValueError` at once."""
        self._rows.numbers.append(self.number(value))

    def extend(self, values: Sequence[Label | ClassName | None]) -> None:
        """Add many rows, as `append` each; a value that is no label raises `RowError`.

        Examples
        --------
        >>> builder = RowsBuilder()
        >>> builder.extend(["cat", None, "cat"])
        >>> builder.rows().kinds.tolist()
        [1, 0, 1]
        """
        if {*map(type, values)} <= _PLAIN:  # True is no class, though it equals 1
            distinct: Iterable[Any] = dict.fromkeys(values)
        else:
            distinct = ()
        number: dict[Any, int] = {}
        try:
            for value in distinct:  # in the order in which they came first
                number[value] = self.number(value)
        except (ValueError, TypeError) as error:
            raise RowError(values.index(value), str(error)) from None
        if number:
            self._rows.numbers.extend(map(number.__getitem__, values))
            return
        for row, value in enumerate(values):
            try:
                self.append(value)
            except (ValueError, TypeError) as error:
                raise RowError(row, str(error)) from None

    def number(self, value: Label | ClassName | None) -> int:
        """Return the number of a statement, which `extend_numbers` takes; no row is added."""
        if type(value) not in _PLAIN:
            return self._rows.number(bare(value))
        number = self._known.get(value)
        if number is None:
            number = self._rows.number(bare(value))
            if len(self._known) < _MOST_KNOWN:
                self._known[value] = number
        return number

    def extend_numbers(self, numbers: NDArray[np.int32]) -> None:
        """Add one row for each number that `number` returned.

        Examples
        --------
        >>> builder = RowsBuilder()
        >>> cat, dog = builder.number("cat"), builder.number("dog")
        >>> builder.extend_numbers(np.array([cat, dog, cat], dtype=np.int32))
        >>> builder.rows().kinds.tolist()
        [1, 1, 1]
        """
        self._rows.numbers.frombytes(np.ascontiguousarray(numbers, dtype=np.int32).tobytes())

    def rows(self) -> Store:
        """Return the rows so far as they are, checked under no class list and no task.

        Classes are numbered by their first use.
        """
        return self._rows.store(list(self._rows.index), "")

    def restart(self) -> None:
        """Forget rows and statements, and keep the numbers of the classes."""
        self._rows, self._known = RowArrays(self._rows.index), {}
