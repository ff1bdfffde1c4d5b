"""`eitheror tune`: the decision rule of a model, chosen on held-out rows.

Whatever is fitted to the rows is scored twice: on the rows themselves, and cross-fitted, where each
row is decided by a rule fitted to the others. The difference is the optimism, and is printed.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from eitheror.cli._costs import read_costs
from eitheror.cli._evaluate import print_scores, report_of, scores_of
from eitheror.cli._model import name_of, read_for_model
from eitheror.cli._options import (
    FileOptions,
    Input,
    Json,
    ModelPath,
    Threads,
    count,
    print_json,
    report_skipped,
    score,
)

if TYPE_CHECKING:
    from eitheror.decide import Calibration, Rule
    from eitheror.files import Table
    from eitheror.model import Model

__all__ = ["tune"]

_FOLDS = 5
_TAGS = Group("Any number of tags", sort_key=1)
_ONE = Group("One true class: one of these", sort_key=2)
_Off = Parameter(negative=(), show_default=False)
_Default = Parameter(show_default=False)
Metric = Literal[
    "f1_micro",
    "f1_macro",
    "f1_samples",
    "jaccard_micro",
    "jaccard_macro",
    "jaccard_samples",
    "accuracy",
]
_UNFLATTERED = "nothing is fitted to the rows, so these scores are not flattered by them"
_EXPECTED = {"expected-jaccard": "jaccard_samples", "expected-f1": "f1_samples"}


@Parameter(name="*", group=_TAGS)
@dataclass(frozen=True)
class TagFlags:
    """How the tags of a row are decided."""

    metric: Annotated[
        Metric | None,
        _Default,
        Parameter(help="The score to choose the threshold for; with another rule, to print."),
    ] = None
    rule: Annotated[
        Literal["threshold", "expected-jaccard", "expected-f1"],
        Parameter(help="A threshold, or for each row the set with the highest expected score."),
    ] = "threshold"
    per_class: Annotated[bool, _Off, Parameter(help="A threshold a class; needs more rows.")] = (
        False
    )
    at_least_one: Annotated[
        bool, _Off, Parameter(help="Always choose the most probable tag as well.")
    ] = False
    calibrate: Annotated[
        bool, _Default, Parameter(help="Calibrate the probabilities first (the default).")
    ] = True

    @property
    def fits(self) -> bool:
        """Whether anything is fitted to the rows."""
        return self.calibrate or self.rule == "threshold"

    def check(self, shares: bool) -> None:
        """Refuse what does not go together."""
        if self.rule == "threshold" and self.metric is None:
            raise ValueError(
                "--metric says which score the threshold is chosen for: f1_micro, f1_macro, "
                "f1_samples, jaccard_micro, jaccard_macro, jaccard_samples or accuracy"
            )
        if self.rule != "threshold" and self.per_class:
            raise ValueError(f"--per-class is about thresholds, and --rule {self.rule} has none")
        if self.rule != "threshold" and shares and not self.calibrate:
            raise ValueError(
                f"--rule {self.rule} needs the probability of each tag, and this model's numbers "
                "are shares; leave --no-calibrate out"
            )


@Parameter(name="*", group=_ONE)
@dataclass(frozen=True)
class ClassFlags:
    """What is decided where one class is true."""

    reject_cost: Annotated[
        float | None,
        _Default,
        Parameter(
            help="Say nothing where that is cheaper: the cost of silence, a mistake costing 1. "
            "With 1 a model is never silent, as before it was tuned."
        ),
    ] = None
    cost_matrix: Annotated[
        str | None,
        _Default,
        Parameter(
            help="CSV of costs by class names: a row for each true class, a column for each "
            "decision; a column called nothing is the cost of silence."
        ),
    ] = None
    conformal: Annotated[
        float | None,
        _Default,
        Parameter(help="Sets that hold the true class with this confidence, as in 0.9."),
    ] = None

    def make(self, classes: list[Any]) -> Rule:
        """Return the rule that was asked for, not fitted."""
        from eitheror.decide import ConformalSet, CostMatrix, Reject

        if self.reject_cost is not None:
            return Reject(self.reject_cost)
        if self.cost_matrix is not None:
            return CostMatrix(read_costs(self.cost_matrix, classes))
        assert self.conformal is not None
        return ConformalSet(self.conformal)


def tune(
    model: ModelPath,
    file: Input,
    /,
    *,
    tags: TagFlags = TagFlags(),  # frozen
    one: ClassFlags = ClassFlags(),  # frozen
    report: Annotated[
        str | None, _Default, Parameter(help="HTML file for a report on these rows.")
    ] = None,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    """Choose the decision rule, on rows the model was not trained on.

    Only the decision rule in the model folder, and the calibration of its
    probabilities, are replaced. Where something is fitted to the rows, two scores
    are printed: the cross-fitted one is honest, the other has seen its own answers.

    Parameters
    ----------
    model
        Folder that `eitheror train` wrote.
    file
        Held-out rows with what is known about them; - is standard input.
    """
    import eitheror as eo

    if report is not None:
        from eitheror.report.page import checked_target

        checked_target(report)
    fitted = eo.load(model)
    fitted.calibration = None  # tuning starts from what the model itself says
    _check_words(fitted, model, tags, one)
    rule = one.make(fitted.classes) if fitted.task == "multiclass" else None
    table = read_for_model(fitted, file, layout)
    report_skipped(table.skipped)
    if len(table) < _FOLDS:
        raise ValueError(f"{name_of(file)}: {len(table)} rows; tuning needs {_FOLDS} at the least")
    proba = fitted.predict_proba(table.inputs, n_jobs=thread or -1)
    if rule is None:
        found = _tune_tags(fitted, tags, table, proba)
    elif one.conformal is not None:
        found = _tune_sets(fitted, rule, table, proba)
    else:
        found = _set_costs(fitted, rule, table, proba)
    fitted.save(model)
    if report is not None:
        _write_report(report, f"{model}, tuned on {name_of(file)}", fitted, table, found)
    if as_json:
        print_json(found)
        return 0
    _print(found)
    print(f"stored in {model}")
    return 0


def _check_words(fitted: Model, model: str, tags: TagFlags, one: ClassFlags) -> None:
    """Refuse options of the other task, and one true class with none or several of its own."""
    said = [
        f"--{field.name.replace('_', '-')}"
        for flags in (tags, one)
        for field in fields(flags)
        if getattr(flags, field.name) != field.default
    ]
    for_one = [f"--{field.name.replace('_', '-')}" for field in fields(one)]
    if fitted.task == "multilabel":
        wrong = [word for word in said if word in for_one]
        if wrong:
            raise ValueError(
                f"{model}: any number of tags is true in a row; {wrong[0]} is for one true class"
            )
        tags.check(fitted.proba_meaning == "shares")
        return
    wrong = [word for word in said if word not in for_one]
    if wrong or not said:
        what = f"{wrong[0]} is for models of tags" if wrong else "there is no score to tune for"
        raise ValueError(
            f"{model}: one class is true in each row; {what}. Write one of {', '.join(for_one)}"
        )
    if len(said) > 1:
        raise ValueError(f"{' and '.join(said)}: a model has one decision rule; write one of them")


def _tune_tags(fitted: Model, flags: TagFlags, table: Table, proba: Any) -> dict[str, Any]:
    import numpy as np

    labels, n_classes = table.labels, len(fitted.classes)
    proba = _padded(proba, labels.n_classes)
    metric = flags.metric or _EXPECTED[flags.rule]
    if flags.rule == "threshold":
        rule, cross_fitted, on_file = _threshold(fitted, flags, metric, labels, proba)
        if flags.per_class:
            rule.threshold_ = np.asarray(rule.threshold_)[:n_classes]
    else:
        rule, cross_fitted, on_file = _expected(fitted, flags, metric, labels, proba)
    fitted.set_decision(rule)
    return {
        "metric": metric,
        "decision": rule.describe(),
        "score_cross_fitted": cross_fitted,
        "score_on_file": on_file,
        # an expectation of the model's own probabilities learns nothing from the rows
        "optimism": on_file - cross_fitted if flags.fits else None,
    }


def _threshold(
    fitted: Model, flags: TagFlags, metric: str, labels: Any, proba: Any
) -> tuple[Any, float, float]:
    import numpy as np

    from eitheror.decide import Calibration, TunedThreshold, cross_fitted_score

    rule = TunedThreshold(metric, flags.per_class, at_least_one=flags.at_least_one)
    calibration = Calibration() if flags.calibrate else None
    scores = cross_fitted_score(rule, labels, proba, metric, cv=_FOLDS, calibration=calibration)
    if calibration is not None:
        # float32, as predict gives them: the cut must fall between the numbers it will meet.
        proba = calibration.fit(labels, proba).transform(proba).astype(np.float32)
        _store_calibration(fitted, calibration)
    return rule.fit(labels, proba), *scores


def _expected(
    fitted: Model, flags: TagFlags, metric: str, labels: Any, proba: Any
) -> tuple[Any, float, float]:
    """Fit a rule that maximises an expectation; it learns a calibration and a shift."""
    from eitheror.decide import ExpectedF1, ExpectedJaccard, cross_fitted_score, score_decision

    kind = ExpectedJaccard if flags.rule == "expected-jaccard" else ExpectedF1
    rule = kind(at_least_one=flags.at_least_one)
    if not flags.calibrate:
        score_ = score_decision(metric, labels, rule.predict(proba))
        return rule, score_, score_
    scores = cross_fitted_score(rule, labels, proba, metric, cv=_FOLDS)
    calibration = rule.fit(labels, proba).calibration_
    assert calibration is not None
    # Kept by the model, so that it also predicts the probabilities that decide.
    _store_calibration(fitted, calibration)
    rule.calibration_ = None
    return rule, *scores


def _store_calibration(fitted: Model, calibration: Calibration) -> None:
    calibration.log_counts_ = calibration.log_counts_[: len(fitted.classes)]
    fitted.calibration = calibration.to_config()


def _tune_sets(fitted: Model, rule: Any, table: Table, proba: Any) -> dict[str, Any]:
    """Calibrate conformal sets; their coverage is scored on rows that took no part as well."""
    import numpy as np

    from eitheror.metrics import coverage_bounds

    labels = table.labels
    wide = _padded(proba, labels.n_classes)
    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    held_out = np.empty(proba.shape, dtype=bool)
    for part in range(_FOLDS):
        rows, rest = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        fitted_rule = copy.deepcopy(rule).fit(labels[rest], wide[rest])
        held_out[rows] = fitted_rule.predict(proba[rows])
    on_file = rule.fit(labels, wide).predict(proba)
    fitted.set_decision(rule)
    honest, flattering = (
        coverage_bounds(labels, chosen, fitted.classes)._asdict() for chosen in (held_out, on_file)
    )
    several = int(((labels.exact_index() < 0) & (labels.kinds != 0)).sum())
    return {
        "metric": "coverage",
        "decision": rule.describe(),
        "score_cross_fitted": honest,
        "score_on_file": flattering,
        "optimism": {end: flattering[end] - honest[end] for end in ("lower", "upper")},
        "set_size_cross_fitted": float(held_out.sum(axis=1).mean()),
        "set_size_on_file": float(on_file.sum(axis=1).mean()),
        "rows": rule.n_rows_,
        "rows_with_several_candidates": several,
        "confidence_level": rule.confidence_level,
        "guarantee": rule.guarantee_,
    }


def _set_costs(fitted: Model, rule: Rule, table: Table, proba: Any) -> dict[str, Any]:
    """Store a rule that follows from costs alone; the rows only show what it does."""
    fitted.set_decision(rule)
    found = scores_of(fitted, table, proba)
    return {
        "metric": "cost",
        "decision": rule.describe(),
        "score_cross_fitted": found["metrics"]["cost"],
        "score_on_file": found["metrics"]["cost"],
        "optimism": None,
        **{key: found[key] for key in ("n", "task", "metrics")},
    }


def _padded(proba: Any, n_classes: int) -> Any:
    """Add a column of zeros for each class that only the file names: it is always missed."""
    import numpy as np

    return np.pad(proba, ((0, 0), (0, n_classes - proba.shape[1])))


def _write_report(
    path: str, title: str, fitted: Model, table: Table, found: dict[str, Any]
) -> None:
    from eitheror.report import model_page, write_page

    proba = fitted.predict_proba(table.inputs)
    write_page(path, model_page(report_of(fitted, table, proba) | {"tuning": found}, title))
    print(f"{path} written", file=sys.stderr)


def _print(found: dict[str, Any]) -> None:
    print(f"decision: {found['decision']}")
    metric, honest, flattering = (
        found[key] for key in ("metric", "score_cross_fitted", "score_on_file")
    )
    if metric == "coverage":
        print(f"coverage: {score(honest)} cross-fitted, {score(flattering)} on the file itself")
        low, high = (found["optimism"][end] for end in ("lower", "upper"))
        sizes = found["set_size_cross_fitted"], found["set_size_on_file"]
        print(f"optimism: {low:+.3f} (lowest), {high:+.3f} (highest)")
        print(f"classes in a set: {sizes[0]:.2f} cross-fitted, {sizes[1]:.2f} on the file itself")
        print(_guarantee(found))
    elif metric == "cost":
        print_scores(found)
        print(_UNFLATTERED)
    elif found["optimism"] is None:
        print(f"{metric}: {honest:.3f}")
        print(_UNFLATTERED)
    else:
        print(f"{metric}: {honest:.3f} cross-fitted, {flattering:.3f} on the file itself")
        print(f"optimism: {found['optimism']:+.3f}; the cross-fitted score is what to expect")


def _guarantee(found: dict[str, Any]) -> str:
    text = (
        f"guarantee: of new rows like these, {found['confidence_level']:.4g} or more have the true "
        f"class in their set (calibrated on {count(found['rows'], 'row')})"
    )
    several = found["rows_with_several_candidates"]
    if several:
        text += (
            f"; {several:,} of them leave the class open and count with the least probable "
            "candidate, which keeps the promise as long as the truth is among them and makes "
            "the sets larger"
        )
    return text
