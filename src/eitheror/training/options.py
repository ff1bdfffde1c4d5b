"""`TrainOptions`: everything a person can say about training, and how the rest is decided.

In: the options as given (None means "choose"), the task and the kind of input. Out: options with
every field filled in, which is what the model records. Nothing here depends on a clock, a path or
the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from eitheror.labels import ClassName, suggest
from eitheror.losses import LOSSES

__all__ = [
    "TREE",
    "TrainOptions",
    "as_seed",
    "learning_rates",
    "model_loss",
    "on_command_line",
    "resolve",
    "text_options",
]

FEATURES = ("auto", "embedding", "tfidf", "numeric")
OPTIMIZERS = ("sgd", "adagrad", "newton")
SCALINGS = ("standard", "unit", "tfidf")
TREE = "hs"
"""Value of `loss` that computes "softmax" by a tree over the classes."""

# Chosen by benchmarks/defaults.py on held-out training rows of three data sets.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "tfidf": {
        "word_ngrams": 2,
        "char_ngrams": (3, 5),
        "bucket": 2_000_000,
        "min_count": 1,
        "ngram_min_count": 2,
        "l2": 3e-6,
    },
    "embedding": {
        "word_ngrams": 1,
        "char_ngrams": (0, 0),
        "bucket": 2_000_000,
        "min_count": 1,
        "ngram_min_count": 1,
        "dim": 100,
    },
}
_OPTIMIZER = {
    ("tfidf", "ova"): "sgd",
    ("tfidf", "exclusive"): "adagrad",
    ("tfidf", "pick"): "adagrad",
    ("embedding", "ova"): "sgd",
    ("embedding", "exclusive"): "adagrad",
    ("embedding", "tree"): "adagrad",
    ("embedding", "pick"): "sgd",
}
_MANY_ROWS = 3000
# What shapes the features of a text, or the steps of SGD; a table of numbers has neither.
_TEXT_ONLY = (
    "lr",
    "dim",
    "word_ngrams",
    "char_ngrams",
    "bucket",
    "min_count",
    "ngram_min_count",
    "lowercase",
    "optimizer",
    "hogwild",
)
# What gradient steps need, and a solution tag by tag does not.
_STEPS_ONLY = ("lr", "patience", "hogwild")
# Options that the command line spells in other words.
_COMMAND_LINE = {
    "epochs": "--epoch",
    "char_ngrams": "--minn, --maxn",
    "lowercase": "--keep-case",
}
_PACE = {  # (features, family of the loss, optimizer) -> epochs, lr
    ("tfidf", "ova", "sgd"): (5, 2.0),
    ("tfidf", "exclusive", "sgd"): (5, 2.0),
    ("tfidf", "pick", "sgd"): (5, 2.0),
    ("tfidf", "ova", "adagrad"): (5, 1.0),
    ("tfidf", "exclusive", "adagrad"): (5, 0.4),
    ("tfidf", "pick", "adagrad"): (5, 1.0),
    ("embedding", "ova", "sgd"): (10, 0.5),
    ("embedding", "exclusive", "sgd"): (10, 0.5),
    ("embedding", "pick", "sgd"): (10, 0.5),
    ("embedding", "tree", "sgd"): (10, 1.0),
    ("embedding", "ova", "adagrad"): (5, 0.3),
    ("embedding", "exclusive", "adagrad"): (5, 0.2),
    ("embedding", "tree", "adagrad"): (5, 0.5),
    ("embedding", "pick", "adagrad"): (5, 0.3),
}
# Losses that add up what each true tag of a row asks of its embeddings, and how many tags the rates
# above are for: with more of them plain steps add up and diverge.
_ADDED_UP = ("ova", "pal")
_USUAL_TAGS = 4


@dataclass(frozen=True)
class TrainOptions:
    """What to train and how; None leaves the choice to the defaults.

    Parameters
    ----------
    features : {"auto", "embedding", "tfidf", "numeric"}
        "tfidf": a linear model on weighted word and character n-grams, the choice for texts.
        "embedding": averaged word vectors, fastText's model; smaller for many classes. "numeric":
        a linear model on a table of numbers.
    loss : str
        "auto": "softmax" where one class is true, "ova" where several may be. Else "softmax",
        "uniform" (the target spread over the candidates), "random-pick" (a candidate drawn at each
        visit), "hs" (a tree over the classes, for thousands to a million; averaged embeddings of
        texts only), and for numbers the robust "set-mae", "gce" and "scl-exp" and the convex "op";
        or "ova", "ova-n", "pal", "pal-n", "pol" (what fastText does with several tags).
    epochs : int, optional
        Passes over the rows.
    lr : float, optional
        Learning rate at the start; it falls linearly to 0. What is chosen for embeddings of tags is
        less where a row has more than 4 true tags, by the factor 4 / (their mean number).
    dim : int, optional
        Width of the embeddings.
    word_ngrams, char_ngrams, bucket, min_count, ngram_min_count, lowercase
        How a text becomes features: see `eitheror.text.TextOptions`.
    l2 : float or "auto", optional
        Penalty on the weights of a linear model, from 0 up; for numeric features and "newton"
        None and "auto" choose it.
    optimizer : {"sgd", "adagrad", "newton"}, optional
        Plain steps, or steps that shrink for features seen often. "newton": for tags (loss "ova"),
        each tag's logistic regression solved on its own to the optimum, in memory that does not
        grow with features times tags; also for numbers. `epochs` is then the most Newton steps.
    scaling : {"standard", "unit", "tfidf"}, optional
        What a table of numbers goes through. "standard", the choice: columns to mean 0 and a common
        scale. For counts and indicators of words also "unit": rows to length 1, and "tfidf": that
        after columns are weighted by their inverse frequency.
    label_smoothing : float
        Share of the loss given to the mean over all classes.
    class_weight : "balanced" or dict, optional
        Weight of each class; a row that allows several classes gets their mean.
    patience : int, optional
        Stop after so many epochs without a better likelihood of the held-out statements, and keep
        the best epoch.
    validation : float
        Share of the rows held out when `patience` is set and no validation rows are given.
    seed : int
        Same data, options and seed: same model.
    hogwild : bool
        Several threads write to one model without waiting for each other: faster for embeddings
        with short texts, a small `dim` or more than two threads, and not reproducible.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> TrainOptions(loss="ova", epochs=5).epochs
    5
    >>> TrainOptions(loss="sofmax")
    Traceback (most recent call last):
    ...
    ValueError: unknown loss 'sofmax' (did you mean "softmax"?)
    """

    features: str = "auto"
    loss: str = "auto"
    epochs: int | None = None
    lr: float | None = None
    dim: int | None = None
    word_ngrams: int | None = None
    char_ngrams: tuple[int, int] | None = None
    bucket: int | None = None
    min_count: int | None = None
    ngram_min_count: int | None = None
    lowercase: bool = True
    l2: float | str | None = None
    optimizer: str | None = None
    scaling: str | None = None
    label_smoothing: float = 0.0
    class_weight: str | Mapping[ClassName, float] | None = None
    patience: int | None = None
    validation: float = 0.1
    seed: int = 0
    hogwild: bool = False

    def __post_init__(self) -> None:
        if self.loss in LOSSES and not LOSSES[self.loss].trainable:
            raise ValueError(f"loss={self.loss!r} cannot be trained: {LOSSES[self.loss].reason}")
        _check_word("features", self.features, FEATURES)
        _check_word("loss", self.loss, ("auto", TREE, *LOSSES))
        if self.optimizer is not None:
            _check_word("optimizer", self.optimizer, OPTIMIZERS)
        if self.scaling is not None:
            _check_word("scaling", self.scaling, SCALINGS)
        for name, low in (("epochs", 1), ("dim", 1), ("patience", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or value != int(value) or value < low
            ):
                raise ValueError(
                    f"{name}={value!r} ({on_command_line(name)}): "
                    f"expected a whole number from {low} up"
                )
        if self.lr is not None and not (_is_number(self.lr) and 0 < self.lr < float("inf")):
            raise ValueError(f"lr={self.lr!r}: expected a number above 0")
        if self.l2 is not None and not isinstance(self.l2, str):
            if not (_is_number(self.l2) and 0 <= self.l2 < float("inf")):
                raise ValueError(f"l2={self.l2!r}: expected 0 or a number above")
        _check_char_ngrams(self.char_ngrams)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing!r}: expected 0 <= value < 1")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation={self.validation!r}: expected a share between 0 and 1")
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            raise ValueError(
                f"class_weight={self.class_weight!r}: expected 'balanced', or a weight a class"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON values, without None and what the features ignore."""
        given = {name: _plain(value) for name, value in asdict(self).items() if value is not None}
        if self.char_ngrams is not None:
            given["char_ngrams"] = list(self.char_ngrams)
        if isinstance(self.class_weight, Mapping):
            given["class_weight"] = {str(k): float(v) for k, v in self.class_weight.items()}
        if self.features == "numeric":
            given = {name: value for name, value in given.items() if name not in _TEXT_ONLY}
            if self.optimizer == "newton":
                given["optimizer"] = self.optimizer
        return given


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"unknown {name} {value!r}{suggest(str(value), words)}")


def _is_number(value: Any) -> bool:
    numbers = (int, float, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def on_command_line(name: str) -> str:
    """Return the option of `eitheror train` that sets a field of `TrainOptions`.

    Examples
    --------
    >>> on_command_line("epochs"), on_command_line("word_ngrams")
    ('--epoch', '--word-ngrams')
    """
    return _COMMAND_LINE.get(name, f"--{name.replace('_', '-')}")


def _check_char_ngrams(char_ngrams: Any) -> None:
    """Refuse lengths that are not 1 <= shortest <= longest; a longest of 0 is no n-grams."""
    if char_ngrams is None:
        return
    pair = tuple(char_ngrams) if isinstance(char_ngrams, tuple | list) else ()
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not (pair == (0, 0) or 1 <= pair[0] <= pair[1] <= 20):
        raise ValueError(
            f"char_ngrams={char_ngrams!r} ({on_command_line('char_ngrams')}): expected the "
            "shortest and the longest length, 1 <= shortest <= longest <= 20, or (0, 0) for none"
        )


def _refuse_text_only(options: TrainOptions) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name == "optimizer" and value == "newton":
            continue
        if field.name in _TEXT_ONLY and value != field.default:
            raise ValueError(
                f"{field.name}={value!r} ({on_command_line(field.name)}) has no meaning for a "
                "table of numbers, whose linear model is fitted to all rows at once; leave it out"
            )


def _check_newton(options: TrainOptions, features: str, loss: str) -> None:
    """Refuse what does not go with one solution a tag."""
    if _family(loss) != "ova":
        instead = "use loss='ova'"
        if LOSSES[model_loss(loss)].task == "multiclass":
            instead = "leave optimizer out, or read the labels with task='multilabel'"
        raise ValueError(
            f"optimizer='newton' solves each tag on its own, and loss={loss!r} joins the classes; "
            + instead
        )
    if features == "embedding":
        raise ValueError(
            "optimizer='newton' solves linear models: use features='tfidf', or 'sgd' or 'adagrad' "
            "for embeddings"
        )
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in _STEPS_ONLY and value != field.default:
            raise ValueError(
                f"{field.name}={value!r} ({on_command_line(field.name)}) has no meaning for "
                "optimizer='newton', which goes to the optimum; leave it out"
            )


def as_seed(random_state: Any) -> int:
    """Return a whole number from an int, a generator, or (None) the system."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if hasattr(random_state, "randint"):
        return int(random_state.randint(2**31 - 1))
    return int(random_state)


def learning_rates(options: TrainOptions, epoch: int) -> tuple[float, float]:
    """Return the rates at the start and the end of an epoch: from `lr` in a line to 0.

    Examples
    --------
    >>> learning_rates(TrainOptions(epochs=4, lr=0.5), 1)
    (0.375, 0.25)
    """
    assert options.epochs is not None
    assert options.lr is not None
    first, last = (options.lr * (1.0 - e / options.epochs) for e in (epoch, epoch + 1))
    return first, last


def resolve(
    options: TrainOptions,
    task: str,
    *,
    text: bool,
    n_samples: int = _MANY_ROWS,
    n_tags: float = 1.0,
) -> TrainOptions:
    """Fill in what the options leave open, for a task and a kind of input.

    Parameters
    ----------
    options : TrainOptions
    task : {"multiclass", "multilabel"}
    text : bool
        Whether the inputs are texts (else a table of numbers).
    n_samples : int
        Number of rows: few are passed over more often.
    n_tags : float
        Mean number of true tags a row: many make plain steps of embeddings shorter.

    Returns
    -------
    TrainOptions

    Raises
    ------
    ValueError
        If the loss does not fit the task, the features the input, or an option the features.

    Examples
    --------
    >>> resolve(TrainOptions(), "multilabel", text=True).loss
    'ova'
    """
    loss = _loss(options.loss, task)
    features = _features(options.features, text) if loss != TREE else _of_tree(options, text)
    if options.optimizer == "newton":
        _check_newton(options, features, loss)
    if features == "numeric":
        _refuse_text_only(options)
        return replace(options, features=features, loss=loss)
    if options.scaling is not None:
        raise ValueError(
            f"scaling={options.scaling!r} is for tables of numbers; a text's features are weighted "
            "by features='tfidf'; leave it out"
        )
    if not LOSSES[model_loss(loss)].text:
        raise ValueError(
            f"loss={loss!r} trains models of numbers (features='numeric') and "
            "eitheror.torch.TorchClassifier; the trainers of texts do not have it. For texts use "
            "'softmax', with trust= or a transition matrix (eitheror.noise) where statements can "
            "be wrong"
        )
    defaults = dict(_DEFAULTS[features])
    family = _family(loss)
    optimizer = options.optimizer or _OPTIMIZER[features, family]
    defaults["optimizer"] = optimizer
    if optimizer == "newton":
        del defaults["l2"]
    else:
        epochs, lr = _PACE[features, family, optimizer]
        if loss in _ADDED_UP and (features, optimizer) == ("embedding", "sgd"):
            lr = float(f"{lr * min(1.0, _USUAL_TAGS / max(n_tags, 1.0)):.3g}")
        defaults["lr"] = lr
        defaults["epochs"] = min(4 * epochs, max(epochs, epochs * _MANY_ROWS // max(n_samples, 1)))
    if features == "embedding" and options.l2:
        raise ValueError("l2 is for linear models (features='tfidf' or 'numeric'); leave it out")
    if features == "tfidf" and options.dim is not None:
        raise ValueError("dim is the width of embeddings: use it with features='embedding'")
    if isinstance(options.l2, str) and optimizer != "newton":
        raise ValueError(f"l2={options.l2!r}: expected a number, as the features are {features}")
    missing = {k: v for k, v in defaults.items() if getattr(options, k) is None}
    return replace(options, features=features, loss=loss, **missing)


def _family(loss: str) -> str:
    """Name what the loss does: one sigmoid a class, one true class, or a softmax over tags."""
    if loss == TREE:
        return "tree"
    if LOSSES[loss].proba == "sigmoid":
        return "ova"
    return "exclusive" if LOSSES[loss].task == "multiclass" else "pick"


def _features(features: str, text: bool) -> str:
    if features == "auto":
        return "tfidf" if text else "numeric"
    if text and features == "numeric":
        raise ValueError("features='numeric' came with texts; use 'tfidf' or 'embedding'")
    if not text and features != "numeric":
        raise ValueError(f"features={features!r} reads texts, and numbers came; use 'numeric'")
    return features


def model_loss(loss: str) -> str:
    """Return what the probabilities of a model of this loss are: those of a loss in `LOSSES`."""
    return "softmax" if loss == TREE else loss


def _of_tree(options: TrainOptions, text: bool) -> str:
    """Return the features of a label tree; refuse what it does not have."""
    what = None if text else "a table of numbers"
    if options.features not in ("auto", "embedding"):
        what = f"features={options.features!r}"
    elif options.hogwild:
        what = "hogwild"
    elif options.label_smoothing:
        what = "label_smoothing (every class of every row would count)"
    if what is not None:
        raise ValueError(
            f"{what} came with loss='hs': a tree over the classes is trained on averaged "
            "embeddings of texts, on one thread, without smoothing; leave it out, or use "
            "loss='softmax'"
        )
    return "embedding"


def _loss(loss: str, task: str) -> str:
    if loss == "auto":
        return "softmax" if task == "multiclass" else "ova"
    if task == "multilabel" and LOSSES[model_loss(loss)].task != task:
        raise ValueError(
            f"loss={loss!r} needs exactly one true class a row, and these labels are tags; "
            "use 'pol', which is what fastText's softmax does with tags, or 'ova'"
        )
    if LOSSES[model_loss(loss)].task != task:
        raise ValueError(
            f"loss={loss!r} is for tags (task='multilabel'), and here one class is true in each "
            "row; use 'softmax', or read the labels with task='multilabel'"
        )
    return loss


def text_options(options: TrainOptions) -> Any:
    """`eitheror.text.TextOptions` of resolved options."""
    from eitheror.text import TextOptions

    return TextOptions(
        weighting="tfidf" if options.features == "tfidf" else "mean",
        word_ngrams=options.word_ngrams or 1,
        char_ngrams=options.char_ngrams or (0, 0),
        bucket=options.bucket or 2_000_000,
        min_count=options.min_count or 1,
        ngram_min_count=options.ngram_min_count or 1,
        lowercase=options.lowercase,
    )
