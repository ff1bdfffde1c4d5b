"""`TextClassifier` and `LinearClassifier`: scikit-learn estimators around one `Model` each.

Constructors store, `fit` checks. `y` may be `Labels` or any ordinary target; `classes_` comes from
the labels' whole class list, never from the rows of a fold, so that a fold without a class still
has its column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from eitheror.labels import Labels
from eitheror.metrics.agreement import names_of, not_contradicted
from eitheror.model import Model, load
from eitheror.sklearn._inputs import checked_texts
from eitheror.sklearn._targets import ReadTarget, read_target
from eitheror.training import TrainOptions, fit
from eitheror.training.checks import n_rows
from eitheror.training.incremental import Increment
from eitheror.training.options import as_seed

__all__ = ["LinearClassifier", "TextClassifier"]


class _StatementClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What the two estimators share; subclasses say what X is and which options they have."""

    model_: Model
    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on statements.

        Parameters
        ----------
        X : list of str, or array or sparse matrix of shape (n_samples, n_features)
            What the estimator reads: texts or numbers.
        y : Labels or array-like
            ``(n_samples,)`` statements; or plain class names; or a matrix of tags, bool or 0/1 or
            with nan for unknown.
        sample_weight : array of shape (n_samples,), optional
            Weight 2 is the row twice.

        Returns
        -------
        self
        """
        inputs = self._inputs(X, reset=True)
        target = read_target(y, self.classes, self.task)
        self._check_length(inputs, target.labels)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X=np.empty((n_rows(inputs), 1)))
        model = fit(
            inputs,
            target.labels,
            self._options(),
            sample_weight=sample_weight,
            n_jobs=self._threads(),
        )
        self._adopt(model, target)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Logits before the softmax or sigmoid.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float32 array of shape (n_samples, n_classes)
            With two exclusive classes ``(n_samples,)``, the second class's logit minus the
            first's, as scikit-learn has it.
        """
        logits = self._model().decision_function(self._inputs(X), n_jobs=self._threads())
        if self.model_.task == "multiclass" and len(self.classes_) == 2:
            return np.asarray(logits[:, 1] - logits[:, 0])
        return np.asarray(logits)

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities of the classes (``model_.proba_meaning`` says of what kind).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float32 array of shape (n_samples, n_classes)
            Rows add to 1 for losses that share one unit among the classes; for one-vs-all losses
            each entry is a probability of its own.
        """
        proba = self._model().predict_proba(self._inputs(X), n_jobs=self._threads())
        return np.asarray(proba)

    def predict(self, X: Any) -> NDArray[Any]:
        """Decide with the model's rule (the most probable class; tags of at least one half).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        array
            ``(n_samples,)`` class names where one class is true; else a bool matrix ``(n_samples,
            n_classes)`` (in the dtype of `y` if that was a matrix of whole numbers).
        """
        decided = self._decide(self.predict_proba(X))
        if decided.ndim == 1:
            return names_of(self.classes_, decided)
        return decided.astype(self.indicator_dtype_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the predictions that their label does not contradict.

        Accuracy where labels are exact (for tags: the whole set right). A label that leaves
        several answers open is content with each of them; an unknown one with all.

        Parameters
        ----------
        X : as in fit
        y : as in fit
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        float
        """
        decided = self._decide(self.predict_proba(X))
        task = self.model_.task if not isinstance(y, Labels) else None
        labels = read_target(y, task=task).labels
        self._check_length(decided, labels)
        agreed = not_contradicted(labels, decided, self.model_.classes)
        return float(np.average(agreed, weights=sample_weight))

    def save(self, path: str | Path) -> None:
        """Write the model folder: `config.json` and `model.safetensors`, no pickle.

        Parameters
        ----------
        path : str or Path
            Replaced if it is a model already.
        """
        self._model().save(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model folder into an estimator that predicts; loading runs no code.

        Parameters
        ----------
        path : str or Path
            Written by :meth:`save` or by ``eitheror train``.

        Returns
        -------
        estimator
            Its parameters are those the model records; class names come back as the labels had
            them (text or int). `classes`, `task` and `n_jobs` are not recorded and stand at their
            defaults: set them again before another `fit`.
        """
        model = load(path)
        if (model.featurizer is not None) != cls._reads_text:
            kind = "texts" if model.featurizer is not None else "numbers"
            raise ValueError(f"{path} is a model of {kind}, which {cls.__name__} does not read")
        recorded = {**model.options, "random_state": model.options.get("seed", 0)}
        if isinstance(recorded.get("class_weight"), dict):  # JSON keys are text, classes may be int
            spelt = {str(name): name for name in model.classes}
            weights = recorded["class_weight"].items()
            recorded["class_weight"] = {spelt.get(name, name): value for name, value in weights}
        known = {name: recorded[name] for name in cls._get_param_names() if name in recorded}
        estimator = cls(**known)
        labels = Labels([], classes=model.classes, task=model.task)
        estimator._adopt(model, read_target(labels))
        return estimator

    # --- for subclasses ---------------------------------------------------------------------

    _reads_text = False

    def _inputs(self, X: Any, reset: bool = False) -> Any:
        raise NotImplementedError

    def _options(self) -> TrainOptions:
        raise NotImplementedError

    # --- shared -----------------------------------------------------------------------------

    def _adopt(self, model: Model, target: ReadTarget) -> None:
        self.model_ = model
        self.classes_ = target.classes
        self.indicator_dtype_ = target.indicator
        self.fixed_classes_ = self.classes is not None

    def _model(self) -> Model:
        check_is_fitted(self, "model_")
        return self.model_

    def _known(self) -> ReadTarget:
        """Return the classes as they are, for a model that goes on."""
        labels = Labels([], classes=self.model_.classes, task=self.model_.task)
        return ReadTarget(labels, self.classes_, self.indicator_dtype_)

    def _threads(self) -> int:
        return 1 if self.n_jobs is None else int(self.n_jobs)

    def _decide(self, proba: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(self.model_.rule().predict(proba))

    @staticmethod
    def _check_length(inputs: Any, labels: Labels) -> None:
        if n_rows(inputs) != len(labels):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {n_rows(inputs)} "
                f"rows of X, {len(labels)} labels"
            )


class LinearClassifier(_StatementClassifier):
    """Linear classifier on numbers, trained on statements about the labels.

    Minimises the mean of minus the log probability of each row's statement plus
    ``l2 / 2 * |W|^2`` by L-BFGS over all rows; features are standardised inside. With exact labels
    it is multinomial logistic regression (one-vs-all for tags).

    Parameters
    ----------
    loss : str, default "auto"
        "softmax" where one class is true, "ova" for tags. Also "uniform", "ova-n", "pal", "pal-n";
        "random-pick" and "pol" are taken in expectation, which makes them "uniform" and "pal-n".
    l2 : float or "auto", default "auto"
        Penalty on the weights of scaled features. "auto": the one that makes held-out statements
        likeliest, found by fits on parts of the rows; a given number is several times faster.
    optimizer, scaling : str, optional
        "newton": each tag solved on its own, for thousands of tags. "unit", "tfidf": rows of counts
        to length 1. See `eitheror.training.TrainOptions`.
    epochs : int, optional
        At most so many L-BFGS iterations (300).
    lr : float, default 0.1
        Step of :meth:`partial_fit`; `fit` has no steps to choose.
    label_smoothing : float, default 0
        Share of the loss given to the mean over all classes.
    class_weight : "balanced" or dict, optional
        Weight of each class; a row that allows several classes gets their mean.
    patience : int, optional
        Hold out rows and stop after so many iterations without a better held-out likelihood.
    validation : float, default 0.1
        Share of the rows that `patience` holds out.
    classes : list, optional
        The whole class list, when `y` may not name every class. Names outside it are refused.
    task : {"multiclass", "multilabel"}, optional
        Read from the labels by default.
    n_jobs : int, optional
        Threads; the model does not depend on it.
    random_state : int, default 0
        Recorded; the fit itself draws nothing.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Column order of probabilities.
    model_ : eitheror.model.Model
    n_features_in_ : int
    feature_names_in_ : array of str, where X had names

    See Also
    --------
    TextClassifier : The same for texts.

    Examples
    --------
    >>> from eitheror.labels import Labels, either, not_
    >>> X = np.array([[0.0], [1.0], [4.0], [5.0], [9.0], [10.0]])
    >>> labels = Labels(["low", not_("high"), either("low", "mid"), "mid", not_("low"), "high"])
    >>> LinearClassifier(l2=0.01).fit(X, labels).predict([[0.5], [9.5]]).tolist()
    ['low', 'high']
    """

    def __init__(
        self,
        *,
        loss: str = "auto",
        l2: float | str = "auto",
        optimizer: str | None = None,
        scaling: str | None = None,
        epochs: int | None = None,
        lr: float = 0.1,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        patience: int | None = None,
        validation: float = 0.1,
        classes: Any = None,
        task: str | None = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.loss = loss
        self.l2 = l2
        self.optimizer = optimizer
        self.scaling = scaling
        self.epochs = epochs
        self.lr = lr
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.patience = patience
        self.validation = validation
        self.classes = classes
        self.task = task
        self.n_jobs = n_jobs
        self.random_state = random_state

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on training on new rows: one pass of small steps over them.

        Differs from `fit`: Adagrad steps over blocks of 32 rows in the order given, once, with no
        search for `l2` ("auto" is 1e-4 here). The first call fixes the classes and the
        standardisation of the features, so its rows should be typical. Later rows are not weighed
        against all earlier ones as a fit on everything would do; `fit` on all rows is better
        wherever they are still at hand.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : as in fit
        classes : list, optional
            The whole class list; needed at the first call if `y` is plain and lacks a class.
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        self
        """
        first = not hasattr(self, "model_")
        inputs = self._inputs(X, reset=first)
        target = _read_batch(self, y, classes, first)
        self._check_length(inputs, target.labels)
        if first:
            state = Increment.begin(inputs, target.labels, self.scaling)
        else:
            state = self.__dict__.get("increment_") or Increment.resume(self.model_)
        state.learn(inputs, target.labels, self._options(), self.lr, sample_weight)
        self._adopt(state.model(self._options()), target if first else self._known())
        self.increment_ = state
        return self

    def _inputs(self, X: Any, reset: bool = False) -> Any:
        if not reset:
            check_is_fitted(self, "model_")
        return validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset
        )

    def _adopt(self, model: Model, target: ReadTarget) -> None:
        self.__dict__.pop("increment_", None)
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            model.feature_names = [str(name) for name in names]
        super()._adopt(model, target)
        self.n_features_in_ = model.parameters.n_features
        if model.feature_names is not None:
            self.feature_names_in_: NDArray[Any] = np.asarray(model.feature_names, dtype=object)

    def _options(self) -> TrainOptions:
        return _train_options(self, "lr", features="numeric")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags


class TextClassifier(_StatementClassifier):
    """Text classifier trained on statements about the labels.

    Two families of features: "tfidf", a sparse linear model on weighted word and character
    n-grams, and "embedding", the mean of word vectors (fastText's model). Options left None are
    chosen; ``model_.options`` says what was.

    Parameters
    ----------
    features : {"auto", "tfidf", "embedding"}, default "auto"
        "auto" is "tfidf".
    loss : str, default "auto"
        "softmax" where one class is true, "ova" for tags. Also "uniform" and "ova-n", "pal",
        "pal-n"; and "random-pick" and "pol", which draw one candidate or tag at each visit
        (fastText's way), the same ones for the same seed.
    epochs : int, optional
        Passes over the rows.
    lr : float, optional
        Learning rate at the start; it falls to 0.
    dim : int, optional
        Width of the embeddings.
    word_ngrams : int, optional
        Longest run of words that is a feature.
    char_ngrams : tuple of (int, int), optional
        Shortest and longest run of characters within a word that is a feature; (0, 0) for none.
    bucket : int, optional
        Number of buckets that n-grams are hashed into.
    min_count : int, optional
        A word must occur so often.
    lowercase : bool, default True
    l2 : float or "auto", optional
        Penalty, for "tfidf".
    optimizer : {"sgd", "adagrad", "newton"}, optional
    label_smoothing : float, default 0
    class_weight : "balanced" or dict, optional
    patience : int, optional
        Stop after so many epochs without a better likelihood of held-out statements.
    validation : float, default 0.1
        Share of the rows that `patience` holds out.
    classes : list, optional
        The whole class list, when `y` may not name every class. Names outside it are refused.
    task : {"multiclass", "multilabel"}, optional
        Read from the labels by default.
    n_jobs : int, optional
        Threads; the model does not depend on it.
    random_state : int, default 0
        Same seed, same model.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Column order of probabilities.
    model_ : eitheror.model.Model

    See Also
    --------
    LinearClassifier : The same for tables of numbers.

    Examples
    --------
    >>> from eitheror.labels import Labels, not_
    >>> texts = ["red apple", "blue sky", "green apple", "grey sky"]
    >>> labels = Labels(["fruit", "air", not_("air"), "air"])
    >>> TextClassifier(epochs=20).fit(texts, labels).predict(["apple"]).tolist()
    ['fruit']
    """

    _reads_text = True

    def __init__(
        self,
        *,
        features: str = "auto",
        loss: str = "auto",
        epochs: int | None = None,
        lr: float | None = None,
        dim: int | None = None,
        word_ngrams: int | None = None,
        char_ngrams: tuple[int, int] | None = None,
        bucket: int | None = None,
        min_count: int | None = None,
        lowercase: bool = True,
        l2: float | str | None = None,
        optimizer: str | None = None,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        patience: int | None = None,
        validation: float = 0.1,
        classes: Any = None,
        task: str | None = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.features = features
        self.loss = loss
        self.epochs = epochs
        self.lr = lr
        self.dim = dim
        self.word_ngrams = word_ngrams
        self.char_ngrams = char_ngrams
        self.bucket = bucket
        self.min_count = min_count
        self.lowercase = lowercase
        self.l2 = l2
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.patience = patience
        self.validation = validation
        self.classes = classes
        self.task = task
        self.n_jobs = n_jobs
        self.random_state = random_state

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on training on new texts, from the present weights.

        The first call is `fit` on its rows. Each later call adds the new words and n-grams of its
        rows, and new classes unless `classes` was given; it trains all `epochs` on its own rows,
        with the learning rate from the start again, so a small odd batch can undo earlier ones,
        and a class that it holds no row of is forgotten where new classes come. Put rows of before
        among the new ones, or use `fit` on all rows wherever they are still at hand.

        Parameters
        ----------
        X : list of str
        y : as in fit
        classes : list, optional
            The whole class list, read at the first call; names outside it are refused then.
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        self
        """
        first = not hasattr(self, "model_")
        texts = self._inputs(X)
        target = _read_batch(self, y, classes, first, grows=True)
        self._check_length(texts, target.labels)
        model = fit(
            texts,
            target.labels,
            self._options(),
            sample_weight=sample_weight,
            n_jobs=self._threads(),
            warm_start=None if first else self.model_,
        )
        fixed = classes is not None if first else self.fixed_classes_
        self._adopt(model, target)
        self.fixed_classes_ |= fixed
        return self

    def _inputs(self, X: Any, reset: bool = False) -> Any:
        return checked_texts(X)

    def _options(self) -> TrainOptions:
        return _train_options(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.classifier_tags.multi_label = True
        tags.no_validation = True
        return tags


_NOT_OPTIONS = ("classes", "task", "n_jobs", "random_state")


def _train_options(estimator: _StatementClassifier, *own: str, **fixed: Any) -> TrainOptions:
    """Return the options of the same names, but for the estimator's own."""
    names = set(estimator._get_param_names()) - {*_NOT_OPTIONS, *own}
    fixed |= {name: getattr(estimator, name) for name in names}
    return TrainOptions(**fixed, seed=as_seed(estimator.random_state))


def _read_batch(
    estimator: _StatementClassifier, y: Any, classes: Any, first: bool, grows: bool = False
) -> ReadTarget:
    """Labels of one `partial_fit` call, under the known classes and, if it grows, new ones."""
    if first:
        classes = estimator.classes if classes is None else list(np.asarray(classes).tolist())
        return read_target(y, classes, estimator.task)
    model = estimator.model_
    labels = read_target(y, None, model.task if not isinstance(y, Labels) else None).labels
    known = set(model.classes)
    new = [name for name in labels.classes if name not in known]
    if new and (estimator.fixed_classes_ or not grows):
        raise ValueError(
            f"y names {new[0]!r}, and the first call of partial_fit fixed the classes "
            f"{model.classes}; name all classes there: partial_fit(X, y, classes=[...])"
        )
    labels = labels.with_classes([*model.classes, *new])
    return ReadTarget(labels, _extended(estimator.classes_, new), estimator.indicator_dtype_)


def _extended(known: NDArray[Any], new: list[Any]) -> NDArray[Any]:
    """Return the caller's class names with more behind them, in one dtype if they are alike."""
    if not new:
        return known
    names = [*known.tolist(), *new]
    alike = np.asarray(names)
    return alike if alike.dtype.kind == known.dtype.kind else np.asarray(names, dtype=object)
