"""What a search may choose: features, loss, regularisation and pace, around the defaults.

In: the options a person fixed, the task, the kind of input. Out: for each trial of Optuna the
`TrainOptions` to train with. The defaults lie inside every range, and rates and passes are
searched as multiples of the default for the features and loss at hand, so that a choice of one
does not spoil the range of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eitheror.labels import Labels
from eitheror.losses import LOSSES
from eitheror.training import TrainOptions
from eitheror.training.checks import check_targets
from eitheror.training.options import resolve

__all__ = ["Space", "losses_for"]

_NGRAMS = {"none": (0, 0), "2-4": (2, 4), "3-5": (3, 5), "3-6": (3, 6)}
_SPAN = 4.0  # rates from a quarter of the default to four times it
_PASSES = (1, 2, 4)
_DIM = (50, 100, 200)
_L2 = {"tfidf": (1e-8, 1e-4), "numeric": (1e-5, 1.0)}
_LEFT_OUT = ("random-pick", "ova-n")  # a noisier "uniform"; shares where "ova" has marginals


def losses_for(labels: Labels, *, text: bool) -> tuple[str, ...]:
    """Return the losses that can be trained on these statements, the default first.

    Where every row is exact the losses that differ only on partial rows are left out.

    Examples
    --------
    >>> from eitheror.labels import either, tags
    >>> losses_for(Labels(["a", either("a", "b")]), text=True)
    ('softmax', 'uniform')
    >>> losses_for(Labels(["a", "b"]), text=True)
    ('softmax',)
    """
    usable = [
        name
        for name, loss in LOSSES.items()
        if loss.task == labels.task
        and loss.trainable
        and (loss.text or not text)
        and name not in _LEFT_OUT
        and (text or name != "pol")  # all rows at once, it is "pal-n"
        and _reads(labels, name)
    ]
    if labels.task == "multiclass" and _all_exact(labels) and "uniform" in usable:
        usable.remove("uniform")
    default = "softmax" if labels.task == "multiclass" else "ova"
    return tuple(sorted(usable, key=lambda name: name != default))


def _reads(labels: Labels, loss: str) -> bool:
    try:
        check_targets(labels, labels.sparse(), loss)
    except ValueError:
        return False
    return True


def _all_exact(labels: Labels) -> bool:
    return bool(((labels.exact_index() >= 0) | (labels.kinds == 0)).all())


@dataclass(frozen=True)
class Space:
    """The options that a trial can take.

    Parameters
    ----------
    given : TrainOptions
        What is not None (or "auto") here is fixed.
    task : {"multiclass", "multilabel"}
    text : bool
    n_samples : int
        Training rows, on which default passes depend.
    losses : tuple of str
    balance : bool
        Whether "every class counts the same" is among the choices: it serves macro scores.
    n_tags : float
        Mean number of true tags a row, on which default rates depend.
    """

    given: TrainOptions
    task: str
    text: bool
    n_samples: int
    losses: tuple[str, ...]
    balance: bool
    n_tags: float = 1.0

    def resolved(self, options: TrainOptions, n_samples: int | None = None) -> TrainOptions:
        """Return options with everything filled in, for so many rows."""
        n = self.n_samples if n_samples is None else n_samples
        return resolve(options, self.task, text=self.text, n_samples=n, n_tags=self.n_tags)

    def suggest(self, trial: Any) -> TrainOptions:
        """Ask an Optuna trial for every open option."""
        given = self.given
        features = self._features(trial)
        loss = given.loss if given.loss != "auto" else _choice(trial, "loss", self.losses)
        chosen = replace(given, features=features, loss=loss)
        if self.balance and given.class_weight is None:
            weight = _choice(trial, "class_weight", ("none", "balanced"))
            chosen = replace(chosen, class_weight=None if weight == "none" else weight)
        if features == "numeric":
            return self.resolved(replace(chosen, l2=self._penalty(trial)))
        base = self.resolved(chosen)
        return replace(base, **self._text(trial, base))

    def starts(self) -> list[dict[str, Any]]:
        """Return the first trials, in the words of `suggest`.

        The defaults; then the defaults of each other loss, and of the other features.
        """
        base = self.resolved(self.given)
        losses = (base.loss,) if self.given.loss != "auto" else self.losses
        found = [self._defaults(base.features, loss) for loss in losses]
        if self.text and self._features_open():
            other = "embedding" if base.features == "tfidf" else "tfidf"
            found.append(self._defaults(other, base.loss))
        return found

    def _defaults(self, features: str, loss: str) -> dict[str, Any]:
        base = self.resolved(replace(self.given, features=features, loss=loss))
        names = {"features": features, "loss": loss, "class_weight": "none"}
        if base.features == "numeric":
            return {**names, "l2": "auto"}
        ngrams = {value: word for word, value in _NGRAMS.items()}
        own = {
            "word_ngrams": base.word_ngrams,
            "char_ngrams": ngrams.get(base.char_ngrams or (0, 0)),
            "min_count": base.min_count,
            "ngram_min_count": base.ngram_min_count,
            "lr": 1.0,
            "passes": 1,
            "l2": base.l2,
            "dim": base.dim,
        }
        return {**names, **{f"{base.features}.{name}": value for name, value in own.items()}}

    def at(self, options: TrainOptions, n_samples: int) -> TrainOptions:
        """Return the options for a part of the rows: as many more passes as the default makes."""
        if options.features == "numeric" or options.epochs is None or self.given.epochs is not None:
            return options
        free = replace(options, epochs=None)
        whole, part = self.resolved(free).epochs, self.resolved(free, n_samples).epochs
        assert whole is not None
        assert part is not None
        return replace(options, epochs=max(1, round(options.epochs * part / whole)))

    def _features(self, trial: Any) -> str:
        if not self.text:
            return "numeric"
        if self._features_open():
            return str(_choice(trial, "features", ("tfidf", "embedding")))
        return self.resolved(self.given).features

    def _features_open(self) -> bool:
        """Whether neither the features are fixed nor an option that only one of them has."""
        return self.given.features == "auto" and self.given.dim is None and self.given.l2 is None

    def _penalty(self, trial: Any) -> Any:
        if self.given.l2 is not None:
            return self.given.l2
        if _choice(trial, "l2", ("auto", "given")) == "auto":
            return None
        return _short(trial.suggest_float("l2.value", *_L2["numeric"], log=True))

    def _text(self, trial: Any, base: TrainOptions) -> dict[str, Any]:
        features = base.features
        assert base.lr is not None
        assert base.epochs is not None

        def name(word: str) -> str:
            return f"{features}.{word}"  # the same word has another range for other features

        ngrams = _choice(trial, name("char_ngrams"), tuple(_NGRAMS), self._open("char_ngrams"))
        linear = features == "tfidf"
        found = {
            "char_ngrams": None if ngrams is None else _NGRAMS[ngrams],
            "word_ngrams": self._whole(trial, name("word_ngrams"), 1, 3),
            "min_count": self._whole(trial, name("min_count"), 1, 3),
            "ngram_min_count": self._whole(trial, name("ngram_min_count"), 1, 4),
            "dim": None if linear else _choice(trial, name("dim"), _DIM, self._open("dim")),
        }
        if self._open("lr"):
            factor = trial.suggest_float(name("lr"), 1 / _SPAN, _SPAN, log=True)
            found["lr"] = _short(base.lr * factor)
        if self._open("epochs"):
            found["epochs"] = base.epochs * _choice(trial, name("passes"), _PASSES)
        if linear and self._open("l2"):
            found["l2"] = _short(trial.suggest_float(name("l2"), *_L2["tfidf"], log=True))
        return {word: value for word, value in found.items() if value is not None}

    def _open(self, word: str) -> bool:
        return getattr(self.given, word) is None

    def _whole(self, trial: Any, name: str, low: int, high: int) -> int | None:
        if not self._open(name.split(".")[1]):
            return None
        return int(trial.suggest_int(name, low, high))


def _choice(trial: Any, name: str, words: Sequence[Any], is_open: bool = True) -> Any:
    """Ask for one of the words; None where there is no question, the word where there is one."""
    if not is_open:
        return None
    return words[0] if len(words) == 1 else trial.suggest_categorical(name, words)


def _short(value: float) -> float:
    """Return three digits of a number: all that a person would copy."""
    return float(f"{value:.3g}")
