"""`TorchClassifier`: any torch module trained on statements, with scikit-learn's interface.

Constructors store, `fit` checks. The module in the constructor is never changed: `fit` trains a
copy. scikit-learn itself is not needed; its `clone`, `Pipeline` and searches work by the methods.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from eitheror.decide import default_rule
from eitheror.labels import UNKNOWN, Labels, suggest
from eitheror.losses import LOSSES
from eitheror.metrics.agreement import not_contradicted
from eitheror.model.storage import read_folder, write_folder
from eitheror.torch._inputs import Inputs
from eitheror.torch._modules import SkipMLP, build_module
from eitheror.torch._objective import PRODEN, resolve_loss
from eitheror.torch._options import (
    as_checkpoint,
    as_device,
    make_plan,
    own_randomness,
)
from eitheror.torch._report import look_back
from eitheror.torch._targets import class_names, read_labels
from eitheror.torch._training import (
    Batches,
    Plan,
    Trainer,
    arrays_of,
    load_arrays,
    predict_logits,
    run,
)
from eitheror.training import Checkpoint
from eitheror.training.checks import (
    check_lengths,
    check_sample_weight,
    check_speaking,
    check_targets,
    check_valid,
    idle_note,
    valid_weight,
)
from eitheror.training.folds import deal_folds
from eitheror.training.options import as_seed

__all__ = ["TorchClassifier"]


class TorchClassifier:
    """A torch module trained on statements about the labels.

    Minimises the mean over the rows of minus the log probability of each row's statement (or the
    loss that `loss` names), plus a light penalty on the mean prediction where statements leave
    classes open. Rows without a statement are passed over.

    Parameters
    ----------
    module : nn.Module, callable (n_features, n_outputs) -> nn.Module, or None
        Maps a batch of inputs to logits ``(n_samples, n_classes)``. An instance is copied, never
        changed. A callable gets the length of the inputs' second axis (columns of a table,
        channels of images). None is :class:`SkipMLP`, for tables of numbers.
    loss : str, default "auto"
        "softmax" where one class is true, "ova" for tags. Any trainable word of
        ``eitheror.losses.LOSSES``; "random-pick" and "pol" draw anew at each visit. "proden":
        cross-entropy to weights that move, after each epoch, to the model's own posterior given
        the statement.
    lr : float, default 1e-3
        Learning rate at its highest.
    epochs : int, optional
        Passes over the rows. Default: about 1,500 steps, between 10 and 200 epochs.
    batch_size : int, default 128
        Batches are cut to nearly equal sizes.
    weight_decay : float, default 0
        Of matrices and filters; biases and norms are never decayed.
    optimizer : {"adamw", "adam", "sgd"} or callable, default "adamw"
        A callable gets ``(parameter_groups, lr=...)``. "sgd" has momentum .9 (Nesterov).
    schedule : {"cosine", "linear", "constant"} or callable, default "cosine"
        Factor of `lr`; a callable gets the share of the run that is over, from 0 to 1.
    warmup : float, default 0
        Share of the run over which `lr` rises from 0 first.
    label_smoothing : float, default 0
    mean_penalty : float, default 0.1
        Weight of ``KL(shares || mean prediction of the batch)``, times the share of rows that
        leave more than one class open: exact labels feel nothing of it. The shares are those that
        the statements alone, without the inputs, make likely, with ten imaginary rows for each
        class. It keeps classes from being forgotten where no row names them for certain. Only
        with one true class and the losses "softmax" and "proden".
    patience : int, optional
        Hold out rows and stop after so many epochs without a better held-out statement likelihood.
        The default trains on all rows for all epochs: vague statements are too few to spare some.
    validation : float, default 0.1
        Share of the rows that `patience` holds out.
    mixed_precision : {"bf16", "fp16"}, optional
        Train under autocast; losses and predictions are computed in full precision.
    device : str or torch.device, optional
        Default: the GPU if there is one.
    checkpoint : eitheror.training.Checkpoint or path, optional
        Folder for the state between epochs, replaced atomically; a path means after every epoch.
    resume : bool, default False
        Go on from the checkpoint if there is one. The result is that of an uninterrupted run.
    progress : callable, optional
        Gets a dict after each epoch (``event`` "epoch", "epoch", "epochs", "loss", with held-out
        rows "held_out_loss"), and for a "choice" or the "report" at the end a ``message``.
    classes : list, optional
        The whole class list, when `y` may not name every class.
    task : {"multiclass", "multilabel"}, optional
        Read from the labels by default.
    random_state : int, default 0
        Same seed, same model (on one kind of machine and number of torch threads). torch's own
        random state is left alone.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Column order of probabilities.
    module_ : nn.Module
        Trained, in evaluation mode.
    history_ : list of dict
        One entry an epoch.
    never_predicted_ : list
        Classes that no training row is given although some statement allows them; seen without
        true labels, and a sign that the fit has lost them. One true class only.
    report_ : dict
        "predicted_shares" on the training rows and "expected_shares" by the statements alone, by
        class; "never_predicted", and a "message" if that is not empty.
    n_epochs_, n_features_in_, task_, loss_, proba_meaning_

    See Also
    --------
    eitheror.sklearn.LinearClassifier : a linear model, fitted to the optimum.
    PartialCrossEntropyLoss : the loss alone, for a loop of your own.

    Examples
    --------
    >>> import eitheror as eo
    >>> X = np.array([[0.0], [1.0], [4.0], [5.0], [9.0], [10.0]])
    >>> labels = eo.Labels(
    ...     ["low", eo.not_("high"), eo.either("low", "mid"), "mid", eo.not_("low"), "high"]
    ... )
    >>> model = TorchClassifier(epochs=50, lr=0.01).fit(X, labels)
    >>> model.predict([[0.5], [9.5]]).tolist()
    ['low', 'high']
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        module: Any = None,
        *,
        loss: str = "auto",
        lr: float = 1e-3,
        epochs: int | None = None,
        batch_size: int = 128,
        weight_decay: float = 0.0,
        optimizer: Any = "adamw",
        schedule: Any = "cosine",
        warmup: float = 0.0,
        label_smoothing: float = 0.0,
        mean_penalty: float = 0.1,
        patience: int | None = None,
        validation: float = 0.1,
        mixed_precision: str | None = None,
        device: Any = None,
        checkpoint: Checkpoint | str | Path | None = None,
        resume: bool = False,
        progress: Any = None,
        classes: Any = None,
        task: str | None = None,
        random_state: Any = 0,
    ) -> None:
        self.module = module
        self.loss = loss
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.schedule = schedule
        self.warmup = warmup
        self.label_smoothing = label_smoothing
        self.mean_penalty = mean_penalty
        self.patience = patience
        self.validation = validation
        self.mixed_precision = mixed_precision
        self.device = device
        self.checkpoint = checkpoint
        self.resume = resume
        self.progress = progress
        self.classes = classes
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, valid: Any = None) -> Self:
        """Train on statements.

        Parameters
        ----------
        X : array, tensor or sparse matrix of shape (n_samples, ...)
            Rows first; what follows is up to the module. Floats (and bools and bytes) reach it as
            float32, other whole numbers as int64, tensors as they are; sparse rows are made dense
            a batch at a time.
        y : Labels or array-like
            ``(n_samples,)`` statements, or plain class names; or a matrix of tags.
        sample_weight : array of shape (n_samples,), optional
        valid : tuple of (X, labels) or (X, labels, sample_weight), optional
            Rows to watch: the epoch that makes their statements likeliest is kept.

        Returns
        -------
        self
        """
        labels, names = read_labels(y, self.classes, self.task)
        inputs = self._inputs(X, reset=True)
        check_lengths(inputs.rows, labels)
        weight = check_sample_weight(sample_weight, len(labels), np.float32)
        plan = self._begin(labels, names, inputs, weight)
        data, held_out = self._parts(inputs, labels, weight, valid, plan)
        with own_randomness(plan.device):
            torch.manual_seed(plan.seed)
            self.module_ = build_module(self.module, inputs.shape[1], labels.n_classes)
            self._standardise(inputs, data.rows)
            trainer = Trainer(self.module_, plan)
            done = run(
                trainer,
                data,
                held_out=held_out,
                report=self.progress,
                checkpoint=as_checkpoint(self.checkpoint),
                resume=self.resume,
                fingerprint=self._fingerprint((data, held_out), plan),
            )
        self.module_.eval()
        self.history_, self.n_epochs_ = done.history, done.epoch
        self._trainer = trainer
        self._look_back(data, plan)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on training: one pass over new rows with the learning rate `lr`.

        The first call makes the module and fixes the classes; features of the default module are
        standardised by its rows. Earlier rows are not weighed against later ones.

        Parameters
        ----------
        X, y, sample_weight : as in fit
        classes : list, optional
            The whole class list; needed at the first call if `y` lacks a class.

        Returns
        -------
        self
        """
        first = not hasattr(self, "module_")
        if first:
            labels, names = read_labels(y, self.classes if classes is None else classes, self.task)
        else:
            labels, names = self._read_more(y), self.classes_
        inputs = self._inputs(X)
        check_lengths(inputs.rows, labels)
        weight = check_sample_weight(sample_weight, len(labels), np.float32)
        plan = replace(self._begin(labels, names, inputs, weight), schedule="constant", warmup=0.0)
        data = Batches.of(inputs, labels, weight, np.arange(len(labels)), self.loss_, plan)
        with own_randomness(plan.device):
            if first:
                torch.manual_seed(plan.seed)
                self.module_ = build_module(self.module, inputs.shape[1], labels.n_classes)
                self._standardise(inputs, data.rows)
                self.n_epochs_, self.history_ = 0, []
            trainer = self.__dict__.get("_trainer") or Trainer(self.module_, plan)
            trainer.plan = plan
            loss = trainer.epoch(data, self.n_epochs_, self.n_epochs_ + 1)
        self.module_.eval()
        self.n_epochs_ += 1
        self.history_ = [*self.history_, {"epoch": self.n_epochs_, "loss": loss}]
        self._trainer = trainer
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Logits of the module.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float32 array of shape (n_samples, n_classes)
            With two exclusive classes ``(n_samples,)``, the second class's logit minus the
            first's, as scikit-learn has it.
        """
        logits = self._logits(X)
        if self.task_ == "multiclass" and len(self.classes_) == 2:
            return np.asarray(logits[:, 1] - logits[:, 0])
        return logits

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities of the classes (``proba_meaning_`` says of what kind).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        float32 array of shape (n_samples, n_classes)
            Softmax or sigmoid of the logits, as the loss has it.
        """
        logits = torch.from_numpy(self._logits(X)).double()
        link = torch.sigmoid(logits) if self._loss.proba == "sigmoid" else logits.softmax(dim=-1)
        return np.asarray(link.float().numpy())

    def predict(self, X: Any) -> NDArray[Any]:
        """Decide: the most probable class; tags of at least one half.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        array
            ``(n_samples,)`` class names where one class is true; else a bool matrix
            ``(n_samples, n_classes)``.
        """
        decided = self._decide(self.predict_proba(X))
        return np.asarray(self.classes_[decided]) if decided.ndim == 1 else decided

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the predictions that their label does not contradict.

        Accuracy where labels are exact (for tags: the whole set right).

        Parameters
        ----------
        X, y : as in fit
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        float
        """
        proba = self.predict_proba(X)
        labels, _ = read_labels(y, None, self.task_ if not isinstance(y, Labels) else None)
        agrees = not_contradicted(labels, self._decide(proba), self.classes_.tolist())
        return float(np.average(agrees, weights=sample_weight))

    def save(self, path: str | Path) -> None:
        """Write the model folder: `config.json` and `model.safetensors`, no pickle.

        The module's tensors are written, not its code: :meth:`load` is given the module again,
        unless it is the default one.

        Parameters
        ----------
        path : str or Path
            Replaced if it is a model already.
        """
        self._check_fitted()
        options = {k: v for k, v in self.get_params().items() if isinstance(v, _PLAIN)}
        config = {
            **dict.fromkeys(("featurizer", "feature_names", "decision", "calibration")),
            "family": "torch",
            "task": self.task_,
            "classes": self.classes_.tolist(),
            "loss": self.loss_,
            "options": {**options, "random_state": self.seed_},
            "n_features": self.n_features_in_,
            "default_module": self.module is None,
        }
        write_folder(path, config, arrays_of(self.module_))

    @classmethod
    def load(cls, path: str | Path, module: Any = None) -> Self:
        """Read a model folder that :meth:`save` wrote; no code is run from it.

        Parameters
        ----------
        path : str or Path
        module : nn.Module or callable (n_features, n_outputs) -> nn.Module, optional
            What was trained; not needed if it was the default.

        Returns
        -------
        TorchClassifier
            It predicts, and `partial_fit` goes on with a fresh optimizer.

        Raises
        ------
        ValueError
            For a folder of another kind, or a module that the tensors do not fit.
        """
        config, tensors = read_folder(path, lambda *found: found)
        if config.get("family") != "torch":
            raise ValueError(
                f"{path} is a model of family {config.get('family')!r}; read it with eitheror.load"
            )
        if module is None and not config["default_module"]:
            raise ValueError(
                f"{path} holds the tensors of a module of your own: give it again, "
                "TorchClassifier.load(path, module)"
            )
        known = inspect.signature(cls).parameters
        options = {k: v for k, v in config["options"].items() if k in known and k != "module"}
        found = cls(module, **options)
        labels = Labels([], classes=config["classes"], task=config["task"])
        found._adopt(labels, class_names(labels.classes), config["n_features"], config["loss"])
        found.seed_ = int(config["options"]["random_state"])
        found.module_ = build_module(module, config["n_features"], labels.n_classes)
        try:
            load_arrays(found.module_, tensors, "")
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{path}: the tensors do not fit the module: {error}") from None
        found.module_.to(as_device(found.device)).eval()
        found.n_epochs_, found.history_ = 0, []
        return found

    # --- scikit-learn's protocol --------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor."""
        known = inspect.signature(type(self)).parameters
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"TorchClassifier has no parameter {name!r}{suggest(name, list(known))}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default and value != defaults[name].default
        ]
        return f"TorchClassifier({', '.join(given)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_label=True),
            input_tags=InputTags(sparse=True, three_d_array=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    # --- inside -------------------------------------------------------------------------------

    def _inputs(self, X: Any, reset: bool = False) -> Inputs:
        inputs = Inputs(X, as_float=self.module is None)
        if self.module is None and len(inputs.shape) != 2:
            raise ValueError(
                f"X has shape {inputs.shape}; the default module reads tables (n_samples, "
                "n_features): give a module for other inputs"
            )
        known = inputs.shape[1] if reset else self.__dict__.get("n_features_in_", inputs.shape[1])
        if self.module is None and inputs.shape[1] != known:
            raise ValueError(f"X has {inputs.shape[1]} features; the model was fitted with {known}")
        return inputs

    def _begin(
        self, labels: Labels, names: NDArray[Any], inputs: Inputs, weight: NDArray[np.float32]
    ) -> Plan:
        """Check the options and the labels; set what `fit` and `partial_fit` set alike."""
        loss = resolve_loss(self.loss, labels.task)
        targets = labels.sparse()
        check_targets(labels, targets, "softmax" if loss == PRODEN else loss)
        check_speaking(targets, weight)
        note = idle_note(targets, loss)
        if note is not None and self.progress is not None:
            self.progress({"event": "choice", "message": note})
        self._adopt(labels, names, inputs.shape[1], loss)
        self.seed_ = as_seed(self.random_state)
        return make_plan(self, self.seed_, int(((targets.mode != UNKNOWN) & (weight > 0)).sum()))

    def _adopt(self, labels: Labels, names: NDArray[Any], n_features: int, loss: str) -> None:
        self.task_, self.loss_, self.n_features_in_ = labels.task, loss, n_features
        self.classes_ = names
        self._loss = LOSSES["softmax" if loss == PRODEN else loss]
        self.proba_meaning_ = self._loss.proba_meaning

    def _parts(
        self, inputs: Inputs, labels: Labels, weight: Any, valid: Any, plan: Plan
    ) -> tuple[Batches, Batches | None]:
        """Return the rows to learn from and those that early stopping watches."""
        rows = np.arange(len(labels))
        if valid is not None:
            check_loss = "softmax" if self.loss_ == PRODEN else self.loss_
            inputs_v = self._inputs(valid[0])
            labels_v, _ = read_labels(valid[1], labels.classes, labels.task)
            read = (inputs_v.rows, labels_v, *valid[2:])
            _, labels_v = check_valid(read, labels, check_loss)
            weight_v = valid_weight(read, np.float32)
            held_out = Batches.of(
                inputs_v, labels_v, weight_v, np.arange(len(labels_v)), self.loss_, plan
            )
            return Batches.of(inputs, labels, weight, rows, self.loss_, plan), held_out
        if self.patience is None:
            return Batches.of(inputs, labels, weight, rows, self.loss_, plan), None
        folds = max(2, round(1 / self.validation))
        fold = deal_folds(labels, folds, rng=np.random.default_rng([plan.seed, 2**32]))
        learnt, watched = (
            Batches.of(inputs, labels, weight, part, self.loss_, plan)
            for part in (rows[fold != 0], rows[fold == 0])
        )
        return learnt, watched

    def _standardise(self, inputs: Inputs, rows: NDArray[np.int64]) -> None:
        if isinstance(self.module_, SkipMLP) and not isinstance(self.module, nn.Module):
            self.module_.standardise(*inputs.scales(rows))

    def _logits(self, X: Any) -> NDArray[np.float32]:
        self._check_fitted()
        inputs = self._inputs(X)
        plan = make_plan(self, self.seed_, 1)
        if len(inputs) == 0:
            return np.zeros((0, len(self.classes_)), np.float32)
        return predict_logits(self.module_.to(plan.device), inputs, plan)

    def _decide(self, proba: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(default_rule(self.task_, self.proba_meaning_).predict(proba))

    def _read_more(self, y: Any) -> Labels:
        labels, _ = read_labels(y, None, self.task_ if not isinstance(y, Labels) else None)
        known = self.classes_.tolist()
        new = [name for name in labels.classes if name not in set(known)]
        if new:
            raise ValueError(
                f"y names {new[0]!r}, and the first call of partial_fit fixed the classes {known}; "
                "name all classes there: partial_fit(X, y, classes=[...])"
            )
        return labels.with_classes(known)

    def _check_fitted(self) -> None:
        if not hasattr(self, "module_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this TorchClassifier is not fitted yet: call fit first")

    def _fingerprint(self, parts: tuple[Batches | None, ...], plan: Plan) -> str:
        """Return what a checkpoint must have in common with the run that goes on from it."""
        if self.checkpoint is None:
            return ""
        shapes = [[name, list(value.shape)] for name, value in self.module_.state_dict().items()]
        facts = {**vars(plan), "loss": self.loss_, "module": shapes}
        text = json.dumps(facts, sort_keys=True, default=lambda x: getattr(x, "__name__", str(x)))
        digest = hashlib.sha256(text.encode())
        for part in parts:
            if part is not None:
                digest.update(part.digest().encode())
        return digest.hexdigest()

    def _look_back(self, data: Batches, plan: Plan) -> None:
        logits = predict_logits(self.module_, data.inputs, plan, data.rows)
        names = self.classes_.tolist()
        self.report_ = look_back(data, logits, names) if self.task_ == "multiclass" else {}
        self.never_predicted_: list[Any] = self.report_.get("never_predicted", [])
        if self.progress is not None and "message" in self.report_:
            self.progress({"event": "report", "message": self.report_["message"]})


_PLAIN = (str, int, float, bool, type(None))
