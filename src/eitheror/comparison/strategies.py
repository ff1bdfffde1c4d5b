"""The strategies: what to do with statements, each as one function from training rows to a model.

All of them train the built-in linear models on the same features, so that only the treatment of
the labels differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.comparison import recode
from eitheror.comparison.data import Data
from eitheror.decide import product_of_experts
from eitheror.labels import Labels
from eitheror.model import LinearParameters, Model
from eitheror.noise import apply_transition, estimate_transition
from eitheror.training import TrainOptions, fit
from eitheror.training.checks import n_rows

__all__ = ["STRATEGIES", "Fitted", "Setting", "Strategy", "applicable"]

Proba = NDArray[np.floating[Any]]
_MOST_MODELS = 40
_FEWEST = 5  # exact rows of each class, one for each fold or so
_MOST_ALONE = 0.5


@dataclass(frozen=True)
class Setting:
    """What all strategies of a comparison share."""

    options: TrainOptions
    n_jobs: int
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What a strategy gives back: probabilities for new inputs, their meaning, and its size."""

    predict_proba: Callable[[Any], Proba]
    meaning: str
    n_parameters: int


@dataclass(frozen=True)
class Strategy:
    """One way of treating statements.

    Parameters
    ----------
    name, what : str
        The word in tables, and one line of explanation.
    task : {"multiclass", "multilabel"}
    refuse : callable
        ``(labels) -> str | None``: why it cannot be tried on these labels, or None.
    fit : callable
        ``(setting, data) -> Fitted``.
    """

    name: str
    what: str
    task: str
    refuse: Callable[[Labels], str | None]
    fit: Callable[[Setting, Data], Fitted]


def applicable(labels: Labels) -> tuple[list[Strategy], dict[str, str]]:
    """Return the strategies that make sense for these labels, and why the others do not."""
    mine = [strategy for strategy in STRATEGIES if strategy.task == labels.task]
    reasons = {strategy.name: strategy.refuse(labels) for strategy in mine}
    chosen = [strategy for strategy in mine if reasons[strategy.name] is None]
    return chosen, {name: reason for name, reason in reasons.items() if reason}


def _trained(setting: Setting, data: Data, loss: str) -> Fitted:
    options = replace(setting.options, loss=loss, seed=setting.seed)
    model = fit(data.inputs, data.labels, options, sample_weight=data.weight, n_jobs=setting.n_jobs)
    return Fitted(
        lambda inputs: model.predict_proba(inputs, setting.n_jobs),
        model.proba_meaning,
        _size(model),
    )


def _size(model: Model) -> int:
    parameters = model.parameters
    if isinstance(parameters, LinearParameters):
        weight = parameters.weight
        values = weight if isinstance(weight, np.ndarray) else weight.values
        return int(values.size + parameters.bias.size)
    return sum(array.size for array in parameters.tensors().values())


def _loss(word: str) -> Callable[[Setting, Data], Fitted]:
    return lambda setting, data: _trained(setting, data, word)


# --- one class is true ----------------------------------------------------------------------


def _drop(setting: Setting, data: Data) -> Fitted:
    return _trained(setting, data.saying(recode.exact_only(data.labels)), "softmax")


def _random_pick(setting: Setting, data: Data) -> Fitted:
    rng = np.random.default_rng(setting.seed)
    return _trained(setting, data.saying(recode.drawn_once(data.labels, rng)), "softmax")


def _recoded(setting: Setting, data: Data) -> Fitted:
    sigmoids = _trained(setting, data.saying(recode.candidates_as_tags(data.labels)), "ova")

    def predict(new: Any) -> Proba:
        return _rows_to_one(sigmoids.predict_proba(new))

    return Fitted(predict, "probabilities", sigmoids.n_parameters)


def _product(setting: Setting, data: Data) -> Fitted:
    sigmoids, softmax = _recoded(setting, data), _drop(setting, data)

    def predict(new: Any) -> Proba:
        tiny = np.finfo(np.float32).tiny  # neither model rules a class out for good
        p, q = (np.maximum(m.predict_proba(new), tiny) for m in (sigmoids, softmax))
        return product_of_experts(p, q)

    return Fitted(predict, "probabilities", sigmoids.n_parameters + softmax.n_parameters)


def _joint_classes(setting: Setting, data: Data) -> Fitted:
    joined, split, _ = recode.joined(data.labels)
    wide = _trained(setting, data.saying(joined), "softmax")
    return Fitted(lambda new: wide.predict_proba(new) @ split, "probabilities", wide.n_parameters)


def _forward(setting: Setting, data: Data) -> Fitted:
    """Learn from exact rows how the class that is ruled out is chosen, then from all rows.

    The matrix is estimated twice: with probabilities of a model of the exact rows, then with
    those of models of all rows, each of half of them for the other half.
    """
    truth = recode.exact_only(data.labels)
    proba = _trained(setting, data.saying(truth), "softmax").predict_proba(data.inputs)
    weighed = data.saying(_through(data.labels, truth, proba))
    place = np.arange(len(truth))
    if data.keys is not None:  # the same input in both halves would make the matrix look clean
        place = np.unique(data.keys, return_inverse=True)[1].ravel()
    halves = [np.flatnonzero(place % 2 == half) for half in (0, 1)]
    proba = np.empty((len(truth), truth.n_classes))
    for mine, others in (halves, halves[::-1]):
        model = _trained(setting, weighed.take(others), "softmax")
        proba[mine] = model.predict_proba(weighed.take(mine).inputs)
    return _trained(setting, data.saying(_through(data.labels, truth, proba)), "softmax")


def _through(labels: Labels, truth: Labels, proba: Proba) -> Labels:
    """Return the labels with "not" statements as the evidence of an estimated choice."""
    found = estimate_transition(labels, _rows_to_one(proba), truth=truth, kind="not")
    return apply_transition(labels, found.matrix, kind="not", rows=recode.ruled_out(labels))


def _rows_to_one(proba: Proba) -> Proba:
    total = proba.sum(axis=1, keepdims=True)
    even = np.full_like(proba, 1 / proba.shape[1])
    return np.asarray(np.divide(proba, total, out=even, where=total > 0))


def _needs_partial(labels: Labels) -> str | None:
    partial = (labels.exact_index() < 0) & (labels.kinds != 0)
    return None if partial.any() else "every row is exact or unknown: it is the likelihood itself"


def _needs_exact(labels: Labels) -> str | None:
    if (reason := _needs_partial(labels)) is not None:
        return reason
    seen = np.unique(labels.exact_index())
    if (seen >= 0).sum() < 2:
        return "fewer than two classes have an exact row"
    return None


def _needs_pairs(labels: Labels) -> str | None:
    if any(group is not None for group in recode.sets_of(labels)):
        return None
    return "no row hesitates between two or three classes"


def _needs_channel(labels: Labels) -> str | None:
    ruled_out = recode.ruled_out(labels)
    if not len(ruled_out):
        return (
            "no row rules out one class; how often other statements are wrong cannot be told from "
            "rows that all came the same way"
        )
    exact = np.bincount(labels.exact_index()[labels.exact_index() >= 0], minlength=labels.n_classes)
    if (exact < _FEWEST).any():
        name = labels.classes[int(exact.argmin())]
        return (
            f"class {name!r} has {exact.min()} exact rows; the choice of what is ruled out is "
            f"learnt from {_FEWEST} or more of each class"
        )
    return None


# --- any number of tags ---------------------------------------------------------------------


def _softmax_of_tags(word: str) -> Callable[[Setting, Data], Fitted]:
    return lambda setting, data: _trained(
        setting, data.saying(recode.without_joint(data.labels)), word
    )


def _powerset(setting: Setting, data: Data) -> Fitted:
    classes, sets = recode.tag_sets(data.labels)
    if len(sets) < 2:
        raise ValueError("fewer than two different sets of tags are left to learn from")
    model = _trained(setting, data.saying(classes), "softmax")
    return Fitted(
        lambda new: model.predict_proba(new) @ sets.astype(np.float64),
        "marginals",
        model.n_parameters,
    )


def _separate(setting: Setting, data: Data) -> Fitted:
    models = [_one_tag(setting, data, k) for k in range(data.labels.n_classes)]
    return Fitted(
        lambda new: np.column_stack([model.predict_proba(new) for model in models]),
        "marginals",
        sum(model.n_parameters for model in models),
    )


def _one_tag(setting: Setting, data: Data, column: int) -> Fitted:
    """Fit one sigmoid on the rows where the tag is known."""
    values = data.labels.sparse().dense(np.float64)[:, [column]]
    known = np.flatnonzero(~np.isnan(values[:, 0]))
    seen = np.unique(values[known])
    if len(seen) < 2:  # never, or always: nothing to learn from
        constant = float(seen[0]) if len(seen) else 0.5
        return Fitted(lambda new: np.full((n_rows(new), 1), constant), "marginals", 1)
    one = Labels.from_indicator(values[known], classes=[data.labels.classes[column]])
    return _trained(setting, data.take(known).saying(one), "ova")


def _chain(setting: Setting, data: Data) -> Fitted:
    """Each tag sees the inputs and the tags before it, the most frequent first."""
    values = data.labels.sparse().dense(np.float64)
    order = np.argsort(-np.nansum(values, axis=0), kind="stable")
    steps: list[Fitted] = []
    given = data
    for column in order.tolist():
        steps.append(_one_tag(setting, given, column))
        present = np.nan_to_num(values[:, column]) >= 0.5
        given = given.given(_with_tag(given.inputs, present, column))

    def predict(new: Any) -> Proba:
        proba = np.empty((n_rows(new), len(order)))
        for column, step in zip(order.tolist(), steps, strict=True):
            proba[:, column] = step.predict_proba(new)[:, 0]
            new = _with_tag(new, proba[:, column] >= 0.5, column)
        return proba

    return Fitted(predict, "marginals", sum(step.n_parameters for step in steps))


def _with_tag(inputs: Any, present: NDArray[np.bool_], column: int) -> Any:
    """Append a tag to the inputs: a word of its own to a text, a column to a table."""
    if hasattr(inputs, "indptr"):
        from scipy.sparse import csr_array, hstack

        return hstack([inputs, csr_array(present[:, None].astype(inputs.dtype))], format="csr")
    if isinstance(inputs, np.ndarray) and inputs.ndim == 2:
        return np.column_stack([inputs, present])
    word = f" tagxx{column}xx"
    return [text + word if tag else text for text, tag in zip(inputs, present, strict=True)]


def _needs_few(labels: Labels) -> str | None:
    if labels.n_classes > _MOST_MODELS:
        return f"{labels.n_classes} tags would need a model each; tried up to {_MOST_MODELS}"
    return None


def _needs_sets(labels: Labels) -> str | None:
    of_row = recode.tag_sets(labels)[0].exact_index()
    counts = np.bincount(of_row[of_row >= 0])
    if not len(counts):
        return "no row has all its tags known, so no row has a set"
    if len(counts) == 1:
        return "all rows whose tags are known have the same set"
    alone = int((counts == 1).sum())
    if alone > _MOST_ALONE * counts.sum():
        return (
            f"{alone:,} of {counts.sum():,} rows have a set of tags that no other row has, so "
            "there is nothing to learn it from"
        )
    return None


def _always(labels: Labels) -> str | None:
    return None


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "likelihood",
        "minus the log of the probability of each statement",
        "multiclass",
        _always,
        _loss("softmax"),
    ),
    Strategy(
        "drop partial rows",
        "train on the exactly labelled rows only",
        "multiclass",
        _needs_exact,
        _drop,
    ),
    Strategy(
        "uniform target",
        "spread the target evenly over the candidates",
        "multiclass",
        _needs_partial,
        _loss("uniform"),
    ),
    Strategy(
        "random pick",
        "draw one of the candidates, once",
        "multiclass",
        _needs_partial,
        _random_pick,
    ),
    Strategy(
        "multi-label recoding",
        "a sigmoid for each class: possible 1, ruled out 0; the largest wins",
        "multiclass",
        _needs_partial,
        _recoded,
    ),
    Strategy(
        "product p q",
        "sigmoids on the recoded rows times a softmax on the exact rows",
        "multiclass",
        _needs_exact,
        _product,
    ),
    Strategy(
        "joint classes",
        "a new class for each pair or triple that rows hesitate between, split evenly afterwards",
        "multiclass",
        _needs_pairs,
        _joint_classes,
    ),
    Strategy(
        "forward, estimated T",
        "the likelihood, with the habit of what is ruled out estimated from the exact rows",
        "multiclass",
        _needs_channel,
        _forward,
    ),
    Strategy(
        "ova", "one sigmoid a tag, unknown tags left out", "multilabel", _always, _loss("ova")
    ),
    Strategy(
        "pal",
        "softmax, the loss of every tag of a row added up",
        "multilabel",
        _always,
        _softmax_of_tags("pal"),
    ),
    Strategy(
        "pal-n",
        "softmax, the mean over the tags of a row",
        "multilabel",
        _always,
        _softmax_of_tags("pal-n"),
    ),
    Strategy(
        "pol",
        "softmax of one tag drawn at each visit, as fastText does",
        "multilabel",
        _always,
        _softmax_of_tags("pol"),
    ),
    Strategy(
        "label powerset",
        "a class for each set of tags that occurs",
        "multilabel",
        _needs_sets,
        _powerset,
    ),
    Strategy(
        "one model a tag",
        "a model of its own for each tag, features and all",
        "multilabel",
        _needs_few,
        _separate,
    ),
    Strategy(
        "classifier chain",
        "each tag sees the tags before it, the most frequent first",
        "multilabel",
        _needs_few,
        _chain,
    ),
)
"""Everything that `compare` knows to try."""
