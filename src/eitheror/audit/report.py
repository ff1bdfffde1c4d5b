"""Findings, the report that holds them, and how both read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eitheror.labels import Label, either, exact, not_

__all__ = ["Finding", "Report", "count", "in_words", "listed"]

_NAMES_SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Attributes
    ----------
    kind : str
        One word for programs, such as ``contradiction``.
    severity : {"error", "warning", "info"}
        error: rows that cannot both be right, or a file nothing can be learned from.
        warning: likely to hurt. info: good to know.
    rows : tuple of int
        The rows concerned, from 0; may be empty when it is about classes.
    message, advice : str
        What was found, and what to do.
    """

    kind: str
    severity: str
    rows: tuple[int, ...]
    message: str
    advice: str


@dataclass(frozen=True)
class Report:
    """Counts and findings. ``print(report)`` for people, `to_dict` for programs.

    Attributes
    ----------
    n, n_classes : int
    task : {"multiclass", "multilabel"}
    kinds : dict from str to int
        Rows of each kind of statement.
    worth : float
        About how many exact (or fully tagged) rows the statements are worth to a model that
        knows nothing yet.
    findings : tuple of Finding
        Errors first, then warnings.
    """

    n: int
    n_classes: int
    task: str
    kinds: dict[str, int]
    worth: float
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``eitheror audit --json`` prints."""
        found = [asdict(finding) | {"rows": list(finding.rows)} for finding in self.findings]
        return {
            "n": self.n,
            "task": self.task,
            "n_classes": self.n_classes,
            "kinds": self.kinds,
            "worth": self.worth,
            "findings": found,
        }

    @property
    def has_errors(self) -> bool:
        """Return whether any finding has severity error."""
        return any(finding.severity == "error" for finding in self.findings)

    def summary(self) -> str:
        """Return the counts as one line."""
        truth = "one true class each" if self.task == "multiclass" else "any number of tags each"
        last = sorted(self.kinds.items(), key=lambda item: item[0] == "unknown")
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in last)
        ideal = "exact labels" if self.task == "multiclass" else "fully tagged rows"
        worth = f"; worth about {_rounded(self.worth)} {ideal}" if self.worth < self.n else ""
        classes = count(self.n_classes, "class", "classes")
        return f"{count(self.n, 'row')}, {classes}, {truth}: {kinds}{worth}"

    def __str__(self) -> str:
        lines = [
            f"{'-' if finding.severity == 'info' else '!'} {finding.message} {finding.advice}"
            for finding in self.findings
        ]
        return "\n".join([self.summary(), *(lines or ["Nothing found that needs attention."])])


def in_words(label: Label) -> str:
    """Return a label as it is said: 'a' or 'b', not 'c'; as code where that is clearer."""
    names = [repr(name) for name in label.named]
    if label.kind == "exact" and label == exact(*label.named):
        return names[0]
    if label.kind == "either" and label == either(*label.named):
        return " or ".join(names)
    if label.kind == "not" and label == not_(*label.named):
        return "not " + " and not ".join(names)
    return "nothing" if label.kind == "unknown" else repr(label)


def listed(items: list[str]) -> str:
    """Return items as an English list, the middle cut short when there are many."""
    if len(items) > _NAMES_SHOWN:
        items = [*items[: _NAMES_SHOWN - 1], f"{len(items) - _NAMES_SHOWN + 1:,} more"]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def count(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: 1 row, 1,200 rows."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _rounded(number: float) -> str:
    """Return a rough number with two digits."""
    digits = max(0, len(str(int(number))) - 2)
    return f"{int(round(number, -digits)):,}"
