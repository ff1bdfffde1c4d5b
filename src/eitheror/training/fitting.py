"""`fit`: inputs and labels in, a `Model` out.

Texts go through a `Featurizer` and one of two SGD trainers (sparse linear, averaged embeddings);
tables of numbers go to `eitheror.training.numeric`. Everything that was decided on the way is
recorded in `model.options`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror._kernels.rows import Rows
from eitheror.labels import Labels, SparseTargets
from eitheror.losses import LOSSES
from eitheror.model import (
    EmbeddingParameters,
    HuffmanParameters,
    LinearParameters,
    Model,
    SparseWeight,
)
from eitheror.text import FastTextFeaturizer, Featurizer
from eitheror.text.chunks import n_threads
from eitheror.training.checkpoint import Checkpoint
from eitheror.training.checks import (
    Valid,
    check_lengths,
    check_sample_weight,
    check_speaking,
    check_targets,
    check_valid,
    idle_note,
    valid_weight,
)
from eitheror.training.examples import Examples
from eitheror.training.loop import run_epochs
from eitheror.training.options import TrainOptions, resolve, text_options
from eitheror.training.priors import apply_class_weight, class_prior

__all__ = ["fit"]

Progress = Callable[[dict[str, Any]], None]
_SEPARABLE = ("ova", "ova-n")
# Weights of a linear model above this many fall back to embeddings: 2 GB, and an epoch of minutes.
_MAX_WEIGHTS = 500_000_000


def fit(
    inputs: Any,
    labels: Labels,
    options: TrainOptions | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    valid: Valid | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    warm_start: Model | None = None,
    vectors: str | os.PathLike[str] | None = None,
) -> Model:
    """Train a model on statements about the truth.

    Parameters
    ----------
    inputs : sequence of str, or array or sparse matrix of shape (n_samples, n_features)
        Texts or numbers.
    labels : Labels
        ``(n_samples,)`` statements of either task; rows that say nothing are passed over.
    options : TrainOptions, optional
        What is left None is chosen; see `eitheror.training.options`.
    sample_weight : array of shape (n_samples,), optional
        Weight 2 is the row twice.
    valid : tuple of (inputs, labels) or (inputs, labels, sample_weight), optional
        Held-out rows with the same classes: their likelihood is reported after each epoch, and
        `patience` watches it.
    n_jobs : int
        Threads; -1 is all cores. The model does not depend on it unless `hogwild` is set.
    progress : callable, optional
        Called with a dict: ``{"event": "choice", "message"}`` when something was decided, and
        ``{"event": "epoch", "epoch", "epochs", "loss"[, "valid_loss"]}`` after each epoch.
    checkpoint : Checkpoint, optional
        Where to keep the state between epochs (texts only).
    resume : bool
        Go on from the checkpoint if it exists; the model is the one that an undisturbed run gives.
    warm_start : Model, optional
        Start from the features and parameters of this model (texts only).
    vectors : str or path, optional
        A `.vec` file of word vectors: where the embeddings of the words that it holds start
        (texts only; `features` "auto" becomes "embedding", and `dim` is the file's).

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        For labels that say nothing, a loss that does not fit the task, or wrong shapes.
    TrainingDivergedError
        If the loss stops being finite.

    Examples
    --------
    >>> from eitheror.labels import Labels, not_
    >>> texts = ["red apple", "blue sky", "green apple", "grey sky"]
    >>> labels = Labels(["fruit", "air", not_("air"), "air"])
    >>> model = fit(texts, labels, TrainOptions(epochs=20))
    >>> model.predict_proba(["apple"]).argmax(axis=1)
    array([1])
    """
    options = options or TrainOptions()
    check_lengths(inputs, labels)
    text = _is_text(inputs)
    if vectors is not None:
        options = _options_with_vectors(options, vectors, text=text, warm=warm_start is not None)
    plan = resolve(options, labels.task, text=text, n_samples=len(labels))
    if plan.features == "numeric":
        _refuse_for_numbers(checkpoint, warm_start)
        return _fit_numbers(inputs, labels, plan, sample_weight, valid, n_jobs, progress)
    job = _Job(n_jobs, progress, checkpoint, resume, warm_start, vectors)
    return job.run(inputs, labels, options, plan, sample_weight, valid)


class _Job:
    """One call of `fit` on texts: what does not change between a first try and a fallback."""

    def __init__(
        self,
        n_jobs: int,
        progress: Progress | None,
        checkpoint: Checkpoint | None,
        resume: bool,
        warm_start: Model | None,
        vectors: str | os.PathLike[str] | None,
    ) -> None:
        self.n_jobs = n_threads(n_jobs)
        self.progress = progress
        self.checkpoint = checkpoint
        self.resume = resume
        self.warm_start = warm_start
        self.vectors = vectors

    def run(
        self,
        texts: Sequence[str],
        labels: Labels,
        given: TrainOptions,
        plan: TrainOptions,
        sample_weight: ArrayLike | None,
        valid: Valid | None,
    ) -> Model:
        """Featurise, choose, train, and put the model together."""
        weight = check_sample_weight(sample_weight, len(labels), np.float32)
        targets = labels.sparse().full_sets_unknown()
        check_targets(labels, targets, plan.loss)
        check_speaking(targets, weight)
        _tell_idle(targets, plan.loss, self.progress)
        watched = None
        if valid is not None:
            watched = *check_valid(valid, labels, plan.loss), valid_weight(valid, np.float32)
        targets, weight, column_weight = apply_class_weight(
            plan.class_weight, plan.loss, labels, targets, weight
        )
        featurizer, rows, plan = self._features(texts, labels.n_classes, given, plan)
        whole = Examples(rows, targets, weight)
        examples, held_out = self._held_out(whole, featurizer, watched, plan)
        trainer = self._trainer(examples, plan, column_weight, _separable(plan, whole, held_out))
        recorded = plan.to_dict()
        if self.vectors is not None:
            recorded["pretrained_words"] = self._start_from_vectors(trainer, featurizer)
        history = run_epochs(
            trainer,
            examples,
            plan,
            valid=held_out,
            progress=self.progress,
            checkpoint=self.checkpoint,
            resume=self.resume,
        )
        return Model(
            task=labels.task,
            classes=list(labels.classes),
            options={**recorded, "history": history},
            loss=plan.loss,
            featurizer=featurizer,
            parameters=trainer.parameters(),
        )

    def _say(self, message: str) -> None:
        if self.progress is not None:
            self.progress({"event": "choice", "message": message})

    def _features(
        self, texts: Sequence[str], n_classes: int, given: TrainOptions, plan: TrainOptions
    ) -> tuple[Featurizer | FastTextFeaturizer, Rows, TrainOptions]:
        if self.warm_start is not None:
            featurizer = self.warm_start.featurizer
            if featurizer is None:
                raise ValueError("warm_start is a model of numbers, and texts came")
            return featurizer, featurizer.transform(texts, self.n_jobs), plan
        featurizer, rows = Featurizer.fit(texts, text_options(plan), self.n_jobs)
        if plan.features == "embedding" or rows.n_features * n_classes <= _MAX_WEIGHTS:
            return featurizer, rows, plan
        size = f"{rows.n_features:,} features x {n_classes:,} classes"
        if given.features == "tfidf":
            raise ValueError(
                f"a linear model of {size} needs {rows.n_features * n_classes * 4 / 1e9:.0f} GB; "
                "use features='embedding', a larger ngram_min_count or a smaller bucket"
            )
        self._say(f"{size} are too many for a linear model: averaged embeddings are trained")
        plan = resolve(
            replace(given, features="embedding"),
            LOSSES[plan.loss].task,
            text=True,
            n_samples=len(texts),
        )
        featurizer, rows = Featurizer.fit(texts, text_options(plan), self.n_jobs)
        return featurizer, rows, plan

    def _held_out(
        self,
        examples: Examples,
        featurizer: Featurizer | FastTextFeaturizer,
        watched: tuple[Any, Labels, NDArray[np.float32]] | None,
        plan: TrainOptions,
    ) -> tuple[Examples, Examples | None]:
        if watched is not None:
            texts, held_out, weight = watched
            rows = featurizer.transform(texts, self.n_jobs)
            return examples, Examples(rows, held_out.sparse().full_sets_unknown(), weight)
        if plan.patience is None:
            return examples, None
        speaking = examples.speaking()
        count = max(1, round(plan.validation * len(speaking)))
        if count >= len(speaking):
            raise ValueError(
                f"patience needs held-out rows, and only {len(speaking)} rows say something; "
                "give valid=(inputs, labels), or leave patience out"
            )
        chosen = np.random.default_rng([plan.seed, 2]).permutation(speaking)[:count]
        rest = np.setdiff1d(np.arange(len(examples)), chosen)
        self._say(f"{count} rows are held out to decide when to stop")
        return examples.take(rest), examples.take(np.sort(chosen))

    def _trainer(
        self,
        examples: Examples,
        plan: TrainOptions,
        class_weight: NDArray[np.float32] | None,
        separable: bool,
    ) -> Any:
        n_features = examples.rows.n_features
        start = self.warm_start.parameters if self.warm_start is not None else None
        if isinstance(start, HuffmanParameters):
            raise ValueError(
                "warm_start has fastText's tree over the classes (loss hs), which is not trained "
                "here: start from a model of another loss, or without one"
            )
        bias = _start_bias(examples, plan) if start is None else start.bias
        if plan.features == "embedding":
            from eitheror.training.embedding import EmbeddingTrainer

            if not isinstance(start, EmbeddingParameters | None):
                raise ValueError("warm_start is a linear model: use features='tfidf'")
            if start is not None and start.embedding.shape[1] != plan.dim:
                plan = replace(plan, dim=start.embedding.shape[1])
            return EmbeddingTrainer(
                n_features, bias, plan, class_weight=class_weight, n_jobs=self.n_jobs, start=start
            )
        from eitheror.training.linear import LinearTrainer

        if not isinstance(start, LinearParameters | None):
            raise ValueError("warm_start is a model of embeddings: use features='embedding'")
        return LinearTrainer(
            n_features,
            bias,
            plan,
            class_weight=class_weight,
            separable=separable,
            n_jobs=self.n_jobs,
            start=None if start is None else _dense(start.weight),
        )

    def _start_from_vectors(self, trainer: Any, featurizer: Featurizer | FastTextFeaturizer) -> int:
        """Put the file's vectors into the embedding table; returns how many words it holds."""
        from eitheror.training.vectors import read_vectors

        assert self.vectors is not None
        assert isinstance(featurizer, Featurizer)  # warm_start and vectors exclude each other
        words = featurizer.words()
        found = read_vectors(self.vectors, words, lowercase=featurizer.options.lowercase)
        rows = found.places + featurizer.first_word
        trainer.embedding[rows, : found.vectors.shape[1]] = found.vectors
        self._say(f"{len(rows):,} of {len(words):,} words start from the vectors given")
        return len(rows)


def _options_with_vectors(
    options: TrainOptions, vectors: str | os.PathLike[str], *, text: bool, warm: bool
) -> TrainOptions:
    """Return the options with the features and the dimension that word vectors need."""
    from eitheror.training.vectors import vector_width

    if not text or warm:
        other = "warm_start" if warm else "a table of numbers"
        raise ValueError(f"word vectors start the embeddings of texts, and {other} came as well")
    if options.features not in ("auto", "embedding"):
        raise ValueError(
            f"features={options.features!r} has no embeddings that word vectors could start; use "
            "features='embedding'"
        )
    width = vector_width(vectors)
    if options.dim not in (None, width):
        raise ValueError(
            f"dim={options.dim} came, and the word vectors have {width} numbers: leave dim out"
        )
    return replace(options, features="embedding", dim=width)


def _separable(plan: TrainOptions, *parts: Examples | None) -> bool:
    """Whether classes may be trained apart: no row, learnt from or watched, joins several."""
    joint = any(len(part.targets.group_indices) for part in parts if part is not None)
    return plan.loss in _SEPARABLE and not joint


def _start_bias(examples: Examples, plan: TrainOptions) -> NDArray[np.float32]:
    """Log prior (softmax) or log odds (one-vs-all), so that the first steps need not find them."""
    prior = np.clip(class_prior(examples.targets, examples.weight), 1e-6, 1.0 - 1e-6)
    if plan.loss in _SEPARABLE:
        return np.asarray(np.log(prior / (1.0 - prior)), dtype=np.float32)
    if plan.features == "embedding":
        return np.zeros(len(prior), dtype=np.float32)
    return np.asarray(np.log(prior / prior.sum()), dtype=np.float32)


def _dense(weight: NDArray[np.float32] | SparseWeight) -> NDArray[np.float32]:
    return weight.to_dense() if isinstance(weight, SparseWeight) else weight


def _fit_numbers(
    inputs: Any,
    labels: Labels,
    plan: TrainOptions,
    sample_weight: ArrayLike | None,
    valid: Valid | None,
    n_jobs: int,
    progress: Progress | None,
) -> Model:
    from eitheror.training.numeric import fit_numeric

    targets = labels.sparse()
    check_targets(labels, targets, plan.loss)
    _tell_idle(targets, plan.loss, progress)
    fitted = fit_numeric(
        inputs,
        labels,
        plan,
        sample_weight=sample_weight,
        valid=valid,
        n_jobs=n_jobs,
        progress=progress,
    )
    return Model(
        task=labels.task,
        classes=list(labels.classes),
        options={**plan.to_dict(), **fitted.chosen},
        loss=plan.loss,
        featurizer=None,
        parameters=fitted.parameters,
    )


def _tell_idle(targets: SparseTargets, loss: str, progress: Progress | None) -> None:
    note = idle_note(targets, loss)
    if note is not None and progress is not None:
        progress({"event": "choice", "message": note})


def _refuse_for_numbers(checkpoint: Checkpoint | None, warm_start: Model | None) -> None:
    if checkpoint is not None or warm_start is not None:
        raise ValueError(
            "checkpoint and warm_start are for texts: a linear model on numbers is fitted in one go"
        )


def _is_text(inputs: Any) -> bool:
    if hasattr(inputs, "tocsr") or getattr(getattr(inputs, "dtype", None), "kind", "O") in "fiub":
        return False
    if getattr(inputs, "ndim", 1) == 2:  # a data frame, which iterates over its column names
        return False
    first = next(iter(inputs), None)
    return first is None or isinstance(first, str)
