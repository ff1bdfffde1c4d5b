"""`Model`: features, parameters, classes and a decision rule, kept together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import Rows
from eitheror.decide.calibration import sigmoid
from eitheror.losses import LOSSES, Loss
from eitheror.model.parameters import LinearParameters, parameters_from_tensors
from eitheror.model.storage import read_folder, write_folder
from eitheror.text import (
    FastTextFeaturizer,
    Featurizer,
    check_featurizer_config,
    featurizer_from_parts,
)

if TYPE_CHECKING:
    from eitheror.decide import Rule
    from eitheror.model.parameters import Parameters

__all__ = ["BLOCK_ROWS", "Model", "load"]


BLOCK_ROWS = 4096
"""Rows that are featurised and multiplied at a time; last digits depend on which they are."""
_TASKS = ("multiclass", "multilabel")
_FAMILIES = (
    "linear", "embedding", "huffman", "linear-coded", "embedding-coded", "huffman-coded",
)  # fmt: skip
_KEYS = {
    "task", "classes", "options", "loss", "decision", "calibration", "family", "featurizer",
    "feature_names",
}  # fmt: skip
_TEXT = "text."  # prefix of the featurizer's arrays in the file

Inputs: TypeAlias = Any  # texts, or a dense or sparse matrix of shape (n_samples, n_features)


@dataclass(eq=False)
class Model:
    """A fitted classifier.

    Parameters
    ----------
    task : {"multiclass", "multilabel"}
        Whether one class is true, or any number.
    classes : list of str or int
        Names of the logits' columns.
    options : dict
        What training was told and decided; JSON-able, without times, paths or thread counts.
    loss : str
        Name of the loss in `eitheror.losses.LOSSES`; says what the probabilities are.
    featurizer : Featurizer, FastTextFeaturizer or None
        Texts to rows; None for a model of numbers.
    parameters : LinearParameters, EmbeddingParameters or HuffmanParameters, or their coded forms
        Of `eitheror.model`.
    decision : dict or None
        Config of a decision rule; None is the default rule of the task and loss.
    calibration : dict or None
        JSON-able settings that go with the decision.
    feature_names : list of str or None
        Columns of a model of numbers, in order, where they have names.

    Examples
    --------
    >>> parameters = LinearParameters(np.float32([[2.0, 0.0]]), np.float32([0.0, 0.0]))
    >>> model = Model("multiclass", ["no", "yes"], {}, "softmax", None, parameters)
    >>> model.predict_proba([[0.0]]).tolist(), model.decide(model.predict_proba([[1.0]]))
    ([[0.5, 0.5]], [['no']])
    """

    task: str
    classes: list[Any]
    options: dict[str, Any]
    loss: str
    featurizer: Featurizer | FastTextFeaturizer | None
    parameters: Parameters
    decision: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    feature_names: list[str] | None = None

    def __post_init__(self) -> None:
        _check_description(self)

    @property
    def proba_meaning(self) -> str:
        """What `predict_proba` returns: "probabilities", "shares" or "marginals"."""
        return "marginals" if self.calibration else _loss(self.loss).proba_meaning

    def decision_function(self, inputs: Inputs, n_jobs: int = 1) -> NDArray[np.float32]:
        """Logits.

        Parameters
        ----------
        inputs : sequence of str, or array, sparse matrix or Rows of shape (n_samples, n_features)
            What the model was trained on.
        n_jobs : int
            Threads; -1 is all cores. The result does not depend on it.

        Returns
        -------
        float32 array of shape (n_samples, n_classes)

        Raises
        ------
        TypeError
            If texts came for a model of numbers or the other way round.
        ValueError
            If the number of features differs, or a value is nan or infinite.
        """
        return self._scores(inputs, n_jobs, lambda logits: logits)

    def predict_proba(self, inputs: Inputs, n_jobs: int = 1) -> NDArray[np.float32]:
        """Probabilities: softmax or sigmoid of the logits, by the loss; calibrated once tuned.

        For the losses of tags that train a softmax (`pal`, `pal-n`, `pol`) they are shares that
        add to 1, not the chance that a tag applies; `proba_meaning` says which.

        Parameters
        ----------
        inputs, n_jobs
            As for `decision_function`.

        Returns
        -------
        float32 array of shape (n_samples, n_classes)

        Raises
        ------
        TypeError, ValueError
            As `decision_function`.
        """
        link = _softmax if _loss(self.loss).proba == "softmax" else sigmoid
        proba = self._scores(inputs, n_jobs, link)
        if self.calibration is None:
            return proba
        from eitheror.decide import Calibration

        return Calibration.from_config(self.calibration).transform(proba).astype(np.float32)

    @property
    def searches(self) -> bool:
        """Whether a decision needs no more than the most probable class, found on a tree."""
        plain = self.decision is None and self.calibration is None and self.task == "multiclass"
        return plain and self.parameters.family in ("huffman", "huffman-coded")

    def rule(self) -> Rule:
        """Return the decision rule: the stored one, or the default of the task and loss."""
        from eitheror import decide

        if self.decision is None:
            return decide.default_rule(self.task, self.proba_meaning)
        return decide.from_config(self.decision)

    def set_decision(self, rule: Rule) -> None:
        """Store a decision rule in the model."""
        self.decision = rule.to_config()

    @property
    def classes_(self) -> list[Any]:
        """The class list under scikit-learn's name; equals `labels.classes`."""
        return self.classes

    def predict(self, inputs: Inputs, n_jobs: int = 1) -> list[list[Any]]:
        """Names of the classes that the stored rule chooses for each input.

        Parameters
        ----------
        inputs, n_jobs
            As for `decision_function`.

        Returns
        -------
        list of lists
            As `decide` of `predict_proba`.
        """
        return self.named(self.choose(inputs, n_jobs))

    def choose(self, inputs: Inputs, n_jobs: int = 1) -> NDArray[Any]:
        """Positions in `classes` that the stored rule chooses for each input: `predict` in numbers.

        Parameters
        ----------
        inputs, n_jobs
            As for `decision_function`.

        Returns
        -------
        int array of shape (n_samples,), or bool array of shape (n_samples, n_classes)
            One position a row, -1 where the rule declines to choose; or, from a rule that gives
            sets, whether each class is chosen.
        """
        if self.searches:
            return self.predict_top(inputs, 1, n_jobs)[0][:, 0]
        return self._decided(self.predict_proba(inputs, n_jobs), n_jobs)

    def named(self, chosen: NDArray[Any]) -> list[list[Any]]:
        """Names of the classes that `choose` chose for each row."""
        if chosen.ndim == 1:
            return [[self.classes[column]] if column >= 0 else [] for column in chosen.tolist()]
        rows, columns = np.nonzero(chosen)
        names = [self.classes[column] for column in columns.tolist()]
        ends = np.cumsum(np.bincount(rows, minlength=len(chosen))).tolist()
        return [names[start:end] for start, end in pairwise([0, *ends])]

    def predict_top(
        self, inputs: Inputs, k: int = 1, n_jobs: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the k most probable classes of each input.

        A model with a tree over its classes (``loss="hs"``) looks at a small part of them.

        Parameters
        ----------
        inputs, n_jobs
            As for `decision_function`.
        k : int
            How many; at most the number of classes.

        Returns
        -------
        columns : int32 array of shape (n_samples, k)
            Positions in `classes`, the most probable first, of equal ones the one that comes first.
        proba : float32 array of shape (n_samples, k)
            What `predict_proba` says of them.

        Raises
        ------
        TypeError, ValueError
            As `decision_function`; ValueError for another k.
        """
        from eitheror.model.top import top_classes

        if self.featurizer is not None and not isinstance(inputs, Rows):
            inputs = _texts(inputs)
        return top_classes(self, inputs, k, n_jobs)

    def decide(self, proba: NDArray[Any], n_jobs: int = 1) -> list[list[Any]]:
        """Names of the classes that the rule chooses for each row of probabilities.

        Parameters
        ----------
        proba : array of shape (n_samples, n_classes)
            From `predict_proba`.
        n_jobs : int
            Threads of the rules that search for each row; -1 is all cores. The result does not
            depend on it.

        Returns
        -------
        list of lists
            Of class names, in the order of `classes`. Where one class is true: one name a row, none
            where the rule declines to choose, several where it gives sets.
        """
        return self.named(self._decided(proba, n_jobs))

    def _decided(self, proba: NDArray[Any], n_jobs: int) -> NDArray[Any]:
        rule = self.rule()
        threads = {"n_jobs": n_jobs} if "n_jobs" in signature(rule.predict).parameters else {}
        chosen: NDArray[Any] = rule.predict(proba, **threads)
        return chosen

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to the folder `path`, replacing a model that is there.

        The same model gives the same bytes. A crash leaves the old model or the new one.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        FileExistsError
            If `path` is something else than a model.
        FileNotFoundError
            If the folder that it should stand in does not exist.
        ValueError
            If the model could not be loaded again: an array with nan, or of a wrong shape.
        """
        _check_description(self)
        tensors = dict(self.parameters.tensors())
        family = self.parameters.family
        n_features = None if self.featurizer is None else self.featurizer.n_features
        parameters_from_tensors(family, tensors, n_features, len(self.classes))
        if self.featurizer is not None:
            tensors |= {_TEXT + name: a for name, a in self.featurizer.tensors().items()}
        config = {
            "task": self.task,
            "classes": self.classes,
            "options": self.options,
            "loss": self.loss,
            "decision": self.decision,
            "calibration": self.calibration,
            "family": family,
            "featurizer": None if self.featurizer is None else self.featurizer.config(),
            "feature_names": self.feature_names,
        }
        write_folder(path, config, tensors)

    def _scores(
        self,
        inputs: Inputs,
        n_jobs: int,
        link: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        from eitheror.text.chunks import in_threads, n_threads

        blocks, logits_of = self._blocks(inputs)
        out = np.empty((blocks[-1].stop, len(self.classes)), dtype=np.float32)

        def work(block: slice) -> None:
            out[block] = link(logits_of(block))

        in_threads(work, blocks, n_threads(n_jobs))
        return out

    def _blocks(self, inputs: Inputs) -> tuple[list[slice], Callable[[slice], Any]]:
        rows: Any
        if self.featurizer is None:
            rows = _numbers(inputs, self.parameters.n_features)
        elif isinstance(inputs, Rows):
            rows = inputs
        else:
            rows = _texts(inputs)
        starts = range(0, max(len(rows), 1), BLOCK_ROWS)
        blocks = [slice(start, min(start + BLOCK_ROWS, len(rows))) for start in starts]
        return blocks, partial(self._logits, rows)

    def _logits(self, inputs: Any, block: slice) -> NDArray[np.float32]:
        if isinstance(inputs, Rows):
            return self.parameters.logits(inputs.take(block))
        if isinstance(inputs, np.ndarray):
            return cast(LinearParameters, self.parameters).dense_logits(inputs[block])
        assert self.featurizer is not None
        rows = self.featurizer.transform(inputs[block], first_row=block.start)
        return self.parameters.logits(rows)


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that `Model.save` wrote. Runs no code from the folder.

    If a writer died while it replaced the model, the new model is read where it is complete, else
    the old one.

    Parameters
    ----------
    path : str or path
        The model's folder.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        Naming the file and the entry or array that is missing, damaged or does not fit.
    """

    def made(config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Model:
        missing = sorted(_KEYS - set(config))
        if missing:
            raise ValueError(f"{path}/config.json: {missing[0]}: the entry is missing")
        try:
            _check_types(config)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}/config.json: {error}") from None
        try:
            return _assemble(config, tensors)
        except ValueError as error:
            raise ValueError(f"{path}/model.safetensors: {error}") from None

    return read_folder(path, made)


def _assemble(config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Model:
    text = {name.removeprefix(_TEXT): a for name, a in tensors.items() if name.startswith(_TEXT)}
    rest = {name: array for name, array in tensors.items() if not name.startswith(_TEXT)}
    featurizer, n_features = None, None
    if config["featurizer"] is not None:
        featurizer = featurizer_from_parts(config["featurizer"], text)
        n_features = featurizer.n_features
    elif text:
        raise ValueError(f"{_TEXT}{min(text)}: no such array belongs in a model of numbers")
    parameters = parameters_from_tensors(config["family"], rest, n_features, len(config["classes"]))
    return Model(
        config["task"],
        config["classes"],
        config["options"],
        config["loss"],
        featurizer,
        parameters,
        decision=config["decision"],
        calibration=config["calibration"],
        feature_names=config["feature_names"],
    )


def _check_types(config: dict[str, Any]) -> None:
    dict_or_none = ("featurizer", "decision", "calibration")
    for key in dict_or_none:
        if config[key] is not None and not isinstance(config[key], dict):
            raise ValueError(f"{key}: an object or null was expected")
    if config["family"] not in _FAMILIES:
        torch = "; eitheror.torch.TorchClassifier.load reads it" * (config["family"] == "torch")
        raise ValueError(
            f"family: {config['family']!r} came; one of {_FAMILIES} was expected{torch}"
        )
    if config["family"] != "linear" and config["featurizer"] is None:
        raise ValueError("featurizer: null came; a model of this family reads texts")
    _check_classes(config["classes"])
    _check_names(config["feature_names"])
    _check_calibration(config["calibration"], len(config["classes"]))
    if config["task"] not in _TASKS:
        raise ValueError(f"task: {config['task']!r} came; one of {_TASKS} was expected")
    if not isinstance(config["options"], dict):
        raise ValueError("options: an object was expected")
    if _loss(config["loss"]).task != config["task"]:
        raise ValueError(f"loss: {config['loss']!r} is not for task {config['task']!r}")
    _check_decision(config["decision"], config["task"], len(config["classes"]))
    _check_text_options(config["featurizer"])


def _check_decision(decision: dict[str, Any] | None, task: str, n_classes: int) -> None:
    if decision is None:
        return
    from eitheror import decide

    try:
        rule = decide.from_config(decision)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"decision: {error}") from None
    try:
        decided = rule.predict(np.full((1, n_classes), 0.5, np.float32))
    except (ValueError, TypeError) as error:
        raise ValueError(f"decision: the rule does not fit {n_classes} classes: {error}") from None
    if decided.ndim == 1 and task != "multiclass":
        raise ValueError(
            f"decision: {decision['rule']} is for one true class; tags need another rule"
        )


def _check_text_options(options: dict[str, Any] | None) -> None:
    if options is None:
        return
    try:
        check_featurizer_config(options)
    except (ValueError, TypeError) as error:
        raise ValueError(f"featurizer: {error}") from None


def _check_calibration(calibration: dict[str, Any] | None, n_classes: int) -> None:
    if calibration is None:
        return
    from eitheror.decide import Calibration

    fitted = Calibration.from_config(calibration)
    numbers = np.append(fitted.coefficients_, fitted.log_counts_)
    if len(fitted.log_counts_) != n_classes or not np.isfinite(numbers).all():
        raise ValueError(f"calibration: finite numbers for {n_classes} classes were expected")


def _check_description(model: Model) -> None:
    _check_classes(model.classes)
    _check_names(model.feature_names)
    if model.task not in _TASKS:
        raise ValueError(f"task={model.task!r}: one of {_TASKS} was expected")
    if _loss(model.loss).task != model.task:
        raise ValueError(f"loss {model.loss!r} is not for task {model.task!r}")
    if model.parameters.n_classes != len(model.classes):
        raise ValueError(
            f"{len(model.classes)} classes came with parameters of {model.parameters.n_classes}"
        )


def _check_classes(classes: Any) -> None:
    if not isinstance(classes, list) or not classes:
        raise ValueError(f"classes: {classes!r:.80} came; a list of class names was expected")
    plain = set(map(type, classes)) <= {str, int}  # of a million names, a look at each takes long
    for name in () if plain else classes:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"classes: {name!r:.80} came; a name is a str or an int")
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"classes: {twice!r} stands there twice")


def _check_names(names: Any) -> None:
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names: {names!r:.80} came; a list of str or None was expected")


def _texts(inputs: Any) -> Sequence[str]:
    if isinstance(inputs, str):
        raise TypeError("one str came; a list of texts was expected: write [text]")
    if hasattr(inputs, "tocsr") or getattr(inputs, "ndim", 1) != 1:
        raise TypeError(
            f"a {type(inputs).__name__} came; the model reads texts: pass a list of str"
        )
    return inputs if isinstance(inputs, Sequence) else list(inputs)


def _numbers(inputs: Any, n_features: int) -> Rows | NDArray[Any]:
    rows: Rows | NDArray[Any]
    if isinstance(inputs, Rows):
        width, rows = inputs.n_features, inputs
    elif hasattr(inputs, "tocsr"):
        width, rows = inputs.shape[1], Rows.from_csr(inputs)
    else:
        rows = _finite_matrix(np.asarray(inputs), n_features)
        width = rows.shape[1]
    if width != n_features:
        raise ValueError(f"inputs have {width} features; the model was trained on {n_features}")
    return rows


def _finite_matrix(matrix: NDArray[Any], n_features: int) -> NDArray[Any]:
    if matrix.dtype.kind not in "fiub":
        raise TypeError(
            f"inputs of dtype {matrix.dtype} came; the model reads numbers: pass an array of "
            f"shape (n_samples, {n_features})"
        )
    if matrix.ndim != 2:
        raise ValueError(
            f"inputs of shape {matrix.shape} came; (n_samples, {n_features}) was expected: one "
            "row is X.reshape(1, -1)"
        )
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"row {row}, feature {column} is {matrix[row, column]}; a finite number was "
            "expected: drop the row, or fill it in"
        )
    return matrix


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    proba: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return proba


def _loss(name: Any) -> Loss:
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(f"loss: {name!r} came; one of {sorted(LOSSES)} was expected")
    return LOSSES[name]
