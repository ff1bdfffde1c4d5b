"""Labels as statements: `Label`, the constructors, `Labels`, and their sparse numbers.

What a person knows goes in ("not this", "one of these", "three said A and one said B"), one
statement a row. The statement is stored; numbers are derived late, by `to_targets` and `sparse`.
"""

from eitheror.labels._label import (
    ClassName,
    Label,
    RowError,
    either,
    evidence,
    exact,
    not_,
    soft,
    suggest,
    tags,
    unknown,
    votes,
)
from eitheror.labels._labels import Labels, LabelsBuilder
from eitheror.labels._sparse import EVIDENCE, KINDS, MARGINALS, SHARES, UNKNOWN, SparseTargets
from eitheror.labels._text import STATEMENT_KEYS


class DataError(ValueError):
    """Bad data, and where it stands.

    Attributes
    ----------
    where : str
        The place, such as `tickets.jsonl:17`.
    problem : str
        What came, what was expected and what to write instead.

    Examples
    --------
    >>> raise DataError("tickets.jsonl:17", "no text")
    Traceback (most recent call last):
    ...
    eitheror.labels.DataError: tickets.jsonl:17: no text
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem

    def __reduce__(self) -> tuple[type["DataError"], tuple[str, str]]:
        return type(self), (self.where, self.problem)


__all__ = [
    "EVIDENCE",
    "KINDS",
    "MARGINALS",
    "SHARES",
    "STATEMENT_KEYS",
    "UNKNOWN",
    "ClassName",
    "DataError",
    "Label",
    "Labels",
    "LabelsBuilder",
    "RowError",
    "SparseTargets",
    "either",
    "evidence",
    "exact",
    "not_",
    "soft",
    "suggest",
    "tags",
    "unknown",
    "votes",
]
