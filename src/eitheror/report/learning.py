"""Would more rows help? The model's own training, repeated on fewer of its rows.

In: a model, the rows it was trained on, and rows it has not seen. Out: a score with its interval
for an eighth, a quarter, half and all of the rows, and a sentence that rests on the paired
difference of the last two. The parts are nested, so that each model has seen all that the one
before it saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.decide import Argmax, Rule
from eitheror.labels import Labels
from eitheror.metrics import Bounds, evaluate, paired_difference
from eitheror.model import Model
from eitheror.report.words import score_of_rule

if TYPE_CHECKING:
    from eitheror.training import TrainOptions

__all__ = ["learning_curve", "stored_options"]

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_LOW_IS_GOOD = ("log_loss", "hamming")


def learning_curve(
    model: Model,
    inputs: Any,
    labels: Labels,
    test_inputs: Any,
    test_labels: Labels,
    *,
    metric: str | None = None,
    sample_weight: ArrayLike | None = None,
    shares: Sequence[float] = _SHARES,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train on growing parts of the rows with the model's options, and score each part.

    Parameters
    ----------
    model : Model
        Gives the options, the classes, and for tags the calibration and the decision rule. For one
        true class the most probable class is decided, whatever the rule.
    inputs, labels
        The rows the model was trained on, with its classes.
    test_inputs, test_labels
        Rows that it was not trained on.
    metric : str, optional
        Of `metrics.paired_difference`; default what the rule is for: accuracy for one true class,
        else the score the rule was tuned for or maximises, else ``f1_micro``.
    sample_weight : array of shape (n_samples,), optional
    shares : sequence of float
        Rising, above 0 and up to 1.
    seed : int, default 0
        Which rows are in which part.
    n_jobs : int, default 1
    progress : callable, optional
        Called before each training with ``{"rows", "done", "total"}``.

    Returns
    -------
    dict
        ``metric``, ``decision``, ``test_rows``; ``points``: a dict a part with ``rows``, ``lower``,
        ``upper``, ``interval``, ``seconds``; ``gain``: of the last part over the one before, with
        ``from``, ``to`` (rows), ``lower``, ``upper``, ``interval``; None for a single part; and
        ``verdict``, the gain in a sentence.

    Raises
    ------
    ValueError
        If the rows say nothing or name a class that the model does not have, the shares do not
        rise, or the metric is one that is better when lower.
    """
    # Here and not above: a page of scores needs no trainer, which takes a while to import.
    from eitheror.training import fit
    from eitheror.training.checks import check_speaking

    classes = list(model.classes)
    _check(labels, classes, shares)
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight)
    check_speaking(labels.sparse(), weight)
    rule = Argmax() if model.task == "multiclass" else model.rule()
    metric = metric or score_of_rule(rule)
    if metric in _LOW_IS_GOOD:
        raise ValueError(f"metric={metric!r} is better when lower; give a score such as accuracy")
    order = np.random.default_rng(seed).permutation(len(labels))
    parts = [np.sort(order[: max(1, round(share * len(labels)))]) for share in shares]
    says = (labels.kinds != 0) & (weight > 0)
    parts = [part for part in parts if says[part].any()]
    points: list[dict[str, Any]] = []
    probas: list[NDArray[np.float32]] = []
    for place, part in enumerate(parts):
        if progress is not None:
            progress({"rows": len(part), "done": place, "total": len(parts)})
        start = time.perf_counter()
        fewer = fit(
            inputs[part] if hasattr(inputs, "shape") else [inputs[row] for row in part],
            labels[part],
            stored_options(model),
            sample_weight=None if sample_weight is None else weight[part],
            n_jobs=n_jobs,
        )
        fewer.calibration = model.calibration
        probas.append(fewer.predict_proba(test_inputs, n_jobs))
        seconds = time.perf_counter() - start
        scores = evaluate(test_labels, probas[-1], classes, rule, meaning=model.proba_meaning)
        points.append(
            {"rows": len(part), **scores["metrics"][metric], "seconds": round(seconds, 2)}
        )
    gain = _gain(test_labels, probas, points, metric, classes, rule, seed)
    return {
        "metric": metric,
        "decision": rule.describe(),
        "test_rows": len(test_labels),
        "points": points,
        "gain": gain,
        "verdict": _verdict(gain, metric),
    }


def stored_options(model: Model) -> TrainOptions:
    """Return the options that the model was trained with.

    Examples
    --------
    >>> from eitheror.model import LinearParameters
    >>> parameters = LinearParameters(np.float32([[2.0, 0.0]]), np.float32([0.0, 0.0]))
    >>> stored = {"features": "numeric", "loss": "softmax", "l2": 0.01, "iterations": 7}
    >>> stored_options(Model("multiclass", ["a", "b"], stored, "softmax", None, parameters)).l2
    0.01
    """
    from eitheror.training import TrainOptions

    names = {field.name for field in fields(TrainOptions)}
    stored = {name: value for name, value in model.options.items() if name in names}
    if "char_ngrams" in stored:
        stored["char_ngrams"] = tuple(stored["char_ngrams"])
    if isinstance(weights := stored.get("class_weight"), Mapping):
        stored["class_weight"] = {
            name: weights[str(name)] for name in model.classes if str(name) in weights
        }
    return TrainOptions(**{**stored, "loss": model.loss})


def _check(labels: Labels, classes: list[Any], shares: Sequence[float]) -> None:
    if list(labels.classes) != classes:
        new = [name for name in labels.classes if name not in set(classes)]
        what = f"name {new[0]!r}, which the model does not know" if new else "have other classes"
        raise ValueError(
            f"the training rows {what}; give the rows that the model was trained on, read with "
            "classes=model.classes"
        )
    if not shares or list(shares) != sorted({*shares}) or not 0 < shares[0] <= shares[-1] <= 1:
        raise ValueError(f"shares={list(shares)}; give rising numbers above 0 and up to 1")


def _gain(
    labels: Labels,
    probas: list[NDArray[np.float32]],
    points: list[dict[str, Any]],
    metric: str,
    classes: list[Any],
    rule: Rule,
    seed: int,
) -> dict[str, Any] | None:
    if len(points) < 2:
        return None
    bounds: Bounds = paired_difference(
        labels,
        probas[-1],
        probas[-2],
        metric,
        classes=classes,
        decision=rule,
        other_decision=rule,
        seed=seed,
    )
    return {
        "from": points[-2]["rows"],
        "to": points[-1]["rows"],
        "lower": bounds.lower,
        "upper": bounds.upper,
        "interval": None if bounds.interval is None else list(bounds.interval),
    }


def _verdict(gain: dict[str, Any] | None, metric: str) -> str:
    if gain is None:
        return "There are too few rows for a curve."
    step = f"from {gain['from']:,} to {gain['to']:,} rows"
    low, high = gain["lower"], gain["upper"]
    change = f"{low:+.3f}" if high - low < 5e-4 else f"{low:+.3f} to {high:+.3f}"
    if gain["interval"] is None:
        return f"{metric} changes by {change} {step}."
    change += f" (95 %: {gain['interval'][0]:+.3f} to {gain['interval'][1]:+.3f})"
    if gain["interval"][0] > 0:
        return f"More rows still help: {step} {metric} changes by {change}."
    if gain["interval"][1] < 0:
        return f"More rows did not help, they cost: {step} {metric} changes by {change}."
    open_ = "These test rows do not settle whether more rows help"
    return f"{open_}: {step} {metric} changes by {change}."
