"""Training that goes on from a finished model: further rows, new words, new classes.

In: a `Model` of texts, and rows. Out: a `Start`: the class list, the features and the parameters
that training begins with. Old classes and features keep their weights; what is new starts as it
does in a fresh model. Rows of before can be mixed in, so that the model does not forget them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import Labels
from eitheror.model import (
    EmbeddingParameters,
    HuffmanParameters,
    LinearParameters,
    Model,
    SparseWeight,
)
from eitheror.text import FastTextFeaturizer, Featurizer
from eitheror.text.growing import grown
from eitheror.training.checks import Valid, check_lengths, check_sample_weight
from eitheror.training.options import TREE, TrainOptions, on_command_line

__all__ = [
    "Start",
    "continued_options",
    "extended_classes",
    "own_features",
    "unseen_note",
    "with_replayed",
]

# What the features and the meaning of the scores are made of: a model cannot change it.
_FIXED = ("features", "loss", "dim", "word_ngrams", "char_ngrams", "bucket")
# Adagrad goes on with shorter first steps than a fresh model: chosen on rows that
# benchmarks/continue.py leaves out.
_WARM_SUMS = 0.1
_REPLAYED = 4  # old rows for each new one, at most
_HEAVIEST = 2.0  # weight of a row that stands for others: heavier ones make steps that diverge
_SHOWN = 5

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Start:
    """Where training goes on: the features, and what was learnt before.

    Parameters
    ----------
    featurizer : Featurizer or FastTextFeaturizer
        With the new words and n-grams.
    places : int64 array of shape (n_old_features,)
        The number of each old feature among all.
    parameters : LinearParameters, EmbeddingParameters or HuffmanParameters
        Of the old features and classes; the old classes come first in the new list.
    """

    featurizer: Featurizer | FastTextFeaturizer
    places: NDArray[np.int64]
    parameters: LinearParameters | EmbeddingParameters | HuffmanParameters

    @classmethod
    def of(cls, model: Model, texts: Sequence[str], n_jobs: int = 1) -> Start:
        """Return the start from a model, with the features of these texts added.

        Parameters
        ----------
        model : Model
        texts : sequence of str
            A model of fastText keeps its own features: its file says which words there are.
        n_jobs : int
            Threads; the result does not depend on it.

        Raises
        ------
        ValueError
            If the model is one of numbers, or one whose parameters cannot be trained.
        """
        _check_trainable(model)
        assert model.featurizer is not None
        assert isinstance(
            model.parameters, LinearParameters | EmbeddingParameters | HuffmanParameters
        )
        if isinstance(model.featurizer, FastTextFeaturizer):
            places = np.arange(model.featurizer.n_features)
            return cls(model.featurizer, places, model.parameters)
        return cls(*grown(model.featurizer, texts, n_jobs), model.parameters)

    @property
    def new_features(self) -> int:
        """How many words and n-grams were added."""
        return self.featurizer.n_features - len(self.places)

    def bias(self, fresh: Floats, *, separable: bool) -> Floats:
        """Return the intercepts: the old ones, and for each new class one that claims little.

        Parameters
        ----------
        fresh : float32 array of shape (n_classes,)
            Where a fresh model of the new rows would start.
        separable : bool
            One sigmoid a class: a new class takes its own. Where classes compete, `fresh` and the
            old intercepts have no common zero, and a new class takes the lowest old one.
        """
        old = self.parameters.bias
        assert old is not None  # a tree has its own
        new = fresh[len(old) :] if separable else np.full(len(fresh) - len(old), old.min())
        return np.concatenate([old, new]).astype(np.float32)

    def carry_over(self, trainer: Any) -> None:
        """Put the old parameters into a trainer that has been started afresh for all of them."""
        state = trainer.state()
        old = self.parameters
        if isinstance(old, EmbeddingParameters | HuffmanParameters):
            dim, known = old.weight.shape[1], len(old.weight)
            state["embedding"][self.places, :dim] = old.embedding
            # One class a row, or with few classes turned: one class a column.
            rows = state["weight"].T if getattr(trainer, "turned", False) else state["weight"]
            rows[:known, :dim] = old.weight
        else:
            known = old.weight.shape[1]
            dense = old.weight.to_dense() if isinstance(old.weight, SparseWeight) else old.weight
            for name, block in state.items():
                if name.startswith("weight."):
                    first = int(name.removeprefix("weight."))
                    part = dense[:, first : first + block.shape[1]]
                    block[self.places, : part.shape[1]] = part
        for name, sums in state.items():
            kind = name.split(".")[0]
            if kind == "squares" and len(sums):
                sums[self.places] = _WARM_SUMS
            elif kind in ("weight_squares", "bias_squares"):
                sums[:known] = _WARM_SUMS


def continued_options(model: Model, given: TrainOptions) -> TrainOptions:
    """Return the options to go on with: the model's, and over them what is given.

    An option that stands at its default is the model's. `features`, `loss`, `dim`, `word_ngrams`,
    `char_ngrams`, `bucket` and `lowercase` are part of the model.

    Parameters
    ----------
    model : Model
    given : TrainOptions

    Raises
    ------
    ValueError
        If an option that is part of the model is given otherwise, or the model cannot be trained.

    Examples
    --------
    >>> from eitheror.training import fit
    >>> model = fit(["red", "blue"], Labels(["a", "b"]), TrainOptions(word_ngrams=1, epochs=2))
    >>> continued_options(model, TrainOptions(epochs=3)).word_ngrams
    1
    >>> continued_options(model, TrainOptions(word_ngrams=2))
    Traceback (most recent call last):
    ...
    ValueError: word_ngrams=2 came, and the model that training goes on from has word_ngrams=1; ...
    """
    _check_trainable(model)
    names = {field.name: field.default for field in fields(TrainOptions)}
    own = {name: value for name, value in model.options.items() if name in names}
    if "char_ngrams" in own:
        own["char_ngrams"] = tuple(own["char_ngrams"])
    if isinstance(model.featurizer, FastTextFeaturizer):  # its n-grams are fastText's
        own = {name: own[name] for name in ("features", "epochs", "dim") if name in own}
    family = model.parameters.family
    own["features"] = "tfidf" if family == "linear" else "embedding"
    own["loss"] = TREE if family == "huffman" else model.loss
    if own["features"] == "embedding":
        own["dim"] = int(model.parameters.weight.shape[1])
    changed = {n: getattr(given, n) for n, d in names.items() if getattr(given, n) != d}
    for name, value in changed.items():
        if name in (*_FIXED, "lowercase") and value != own.get(name, names[name]):
            raise ValueError(
                f"{name}={value!r} came, and the model that training goes on from has "
                f"{name}={own.get(name, names[name])!r}; leave it out "
                f"({on_command_line(name)}), or train a new model"
            )
    return replace(TrainOptions(**own), **changed)


def own_features(model: Model) -> dict[str, Any]:
    """Return what a model of fastText records about its features, which stay; else nothing."""
    if not isinstance(model.featurizer, FastTextFeaturizer):
        return {}
    names = ("source", "word_ngrams", "char_ngrams", "bucket", "min_count")
    return {name: model.options[name] for name in names if name in model.options}


def extended_classes(model: Model, labels: Labels) -> Labels:
    """Return the labels under the model's classes followed by the new ones.

    Raises
    ------
    ValueError
        If the labels are of the other task.
    """
    if labels.task != model.task:
        raise ValueError(
            f"the labels are {labels.task}, and the model that training goes on from is "
            f"{model.task}: read them with task={model.task!r} (--task {model.task})"
        )
    known = set(model.classes)
    new = [name for name in labels.classes if name not in known]
    if new and model.parameters.family == "huffman":
        raise ValueError(
            f"the labels name {new[0]!r}, and the model has a tree over its {len(known):,} "
            "classes, which stays as it is: train a new model on the old rows and the new ones"
        )
    return labels.with_classes([*model.classes, *new])


def with_replayed(
    texts: Sequence[str],
    labels: Labels,
    sample_weight: ArrayLike | None,
    replay: Valid,
    seed: int,
    n_before: int,
) -> tuple[list[str], Labels, Floats]:
    """Return the rows with rows of before behind them: four for each new one, at most all.

    They are drawn evenly, a few rows that were kept over and over; so that they stand for more
    rows of before, they weigh up to twice as much as others.

    Parameters
    ----------
    texts, labels, sample_weight
        The new rows.
    replay : tuple of (texts, labels) or (texts, labels, sample_weight)
    seed : int
    n_before : int
        Rows that the model was trained on; fewer than are given, or 0 if unknown: those given.

    Raises
    ------
    ValueError
        For wrong lengths, weights, or a class that the new labels' list lacks.
    """
    old_texts, old = replay[0], replay[1]
    try:
        check_lengths(old_texts, old)
        weight = check_sample_weight(replay[2] if len(replay) == 3 else None, len(old), np.float32)
        old = old.with_classes(labels.classes)
    except ValueError as error:
        raise ValueError(f"rows to replay: {error}") from None
    all_before = max(len(old), n_before)
    count = min(all_before, _REPLAYED * len(labels))
    shuffled = np.random.default_rng([seed, 3]).permutation(len(old))
    chosen = np.sort(np.resize(shuffled, count))
    new_weight = check_sample_weight(sample_weight, len(labels), np.float32)
    scaled = weight[chosen] * np.float32(min(all_before / count, _HEAVIEST))
    return (
        [*texts, *(old_texts[row] for row in chosen)],
        Labels.concatenate([labels, old[chosen]]),
        np.concatenate([new_weight, scaled]),
    )


def unseen_note(model: Model, labels: Labels) -> str | None:
    """Return which old classes the rows hold no example of, where new classes come; else None.

    Such classes are forgotten: every row says that the truth is another one.
    """
    known = len(model.classes)
    if labels.n_classes == known:
        return None
    targets = labels.sparse()
    seen = np.zeros(labels.n_classes, dtype=bool)
    seen[targets.indices[targets.values > 0]] = True
    unseen = [model.classes[column] for column in np.flatnonzero(~seen[:known])]
    if not unseen:
        return None
    shown = ", ".join(repr(name) for name in unseen[:_SHOWN])
    more = f" and {len(unseen) - _SHOWN:,} more" if len(unseen) > _SHOWN else ""
    return (
        f"no row is {shown}{more}, and there are new classes: the model forgets what it is not "
        "shown; give rows of before as well (--replay FILE, replay=)"
    )


def _check_trainable(model: Model) -> None:
    if model.featurizer is None:
        raise ValueError(
            "the model that training should go on from is one of numbers, which is fitted to all "
            "rows at once: train again on the old rows and the new ones"
        )
    if not isinstance(model.parameters, LinearParameters | EmbeddingParameters | HuffmanParameters):
        raise ValueError(
            "a small model of codes (eitheror shrink, or a .ftz of fastText) cannot be trained "
            "further: go on from the model that it was made of, and make it again"
        )
