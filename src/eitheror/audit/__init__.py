"""What is wrong, doubtful or missing in labels, found before anything is trained on them.

`find_issues` reads the statements alone; with `inputs` it also looks for repeated texts, with
`proba` for statements that a model finds unlikely. Out comes a `Report` of `Finding`s, each with
the rows, one sentence that says what was found, and one that says what to do.

Everything works on the sparse form: a million rows over a thousand classes stay small.
"""

from __future__ import annotations

from typing import Any

from eitheror.audit._classes import about_classes, nothing_to_learn
from eitheror.audit._facts import Facts, Where, worth
from eitheror.audit._inputs import about_inputs, unlikely
from eitheror.audit.report import Finding, Report
from eitheror.labels import Labels

__all__ = ["Finding", "Report", "find_issues"]

_SEVERITIES = ("error", "warning", "info")


def find_issues(
    labels: Any,
    proba: Any = None,
    inputs: Any = None,
    *,
    where: Where | None = None,
) -> Report:
    """Look through labels for what is wrong, doubtful or missing.

    Parameters
    ----------
    labels : Labels, or what `Labels` accepts
    proba : array of shape (n_samples, n_classes), optional
        Probabilities of a model that was not trained on these rows, columns in the order of
        `labels.classes`.
    inputs : list of str or array of shape (n_samples, n_features), optional
        Finds repeated rows.
    where : callable, optional
        From a row number to how messages should name it, such as `files.Table.where`.
        Default: ``row 17``, from 0.

    Returns
    -------
    Report

    Examples
    --------
    >>> from eitheror.labels import Labels, either, not_
    >>> labels = Labels(["bug", "howto", either("bug", "howto"), not_("bug")])
    >>> report = find_issues(labels, inputs=["it fails", "how?", "hm", "it fails"])
    >>> print(report.findings[0].message)
    row 0 and row 3 have the same text; one says 'bug', the other not 'bug'.
    """
    if not isinstance(labels, Labels):
        labels = Labels(labels)
    if inputs is not None:
        _check_length(
            inputs.shape[0] if hasattr(inputs, "shape") else len(inputs), labels, "inputs"
        )
    facts = Facts(labels, labels.sparse(), where or (lambda row: f"row {row}"))
    found = [*nothing_to_learn(facts), *about_classes(facts)]
    if inputs is not None and not hasattr(inputs, "indptr"):
        found += about_inputs(facts, inputs)
    if proba is not None:
        _check_length(len(proba), labels, "proba")
        found += unlikely(facts, proba)
    return Report(
        len(labels),
        labels.n_classes,
        labels.task,
        labels.kind_counts(),
        worth(facts.targets),
        tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))),
    )


def _check_length(n: int, labels: Labels, name: str) -> None:
    if n != len(labels):
        raise ValueError(f"{n} rows of {name} for {len(labels)} labels; give one a row")
