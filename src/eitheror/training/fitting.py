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
from eitheror.model import HuffmanParameters, LinearParameters, Model
from eitheror.text import FastTextFeaturizer, Featurizer
from eitheror.text.chunks import n_threads
from eitheror.training.checkpoint import Checkpoint
from eitheror.training.checks import (
    Valid,
    check_lengths,
    check_resume,
    check_sample_weight,
    check_speaking,
    check_targets,
    check_valid,
    idle_note,
    valid_weight,
)
from eitheror.training.continuing import (
    Start,
    continued_options,
    extended_classes,
    own_features,
    unseen_note,
    with_replayed,
)
from eitheror.training.examples import Examples
from eitheror.training.loop import pieces_of, run_epochs
from eitheror.training.options import TREE, TrainOptions, model_loss, resolve, text_options
from eitheror.training.priors import apply_class_weight, class_prior, mean_tags

__all__ = ["MAX_WEIGHTS", "SEPARABLE", "bias_of_prior", "fit", "make_trainer", "start_bias"]

Progress = Callable[[dict[str, Any]], None]
SEPARABLE = ("ova", "ova-n")
# Weights of a linear model above this many fall back to embeddings: 2 GB, and an epoch of minutes.
MAX_WEIGHTS = 500_000_000
# Blocks of texts that share a pass over the output weights are faster from so many of them on; and
# from so many classes on, however few numbers each has.
MANY_WEIGHTS = 50_000
_MANY_CLASSES = 1_000


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
    replay: Valid | None = None,
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
        ``{"event": "epoch", "epoch", "epochs", "loss"[, "valid_loss"]}`` after each epoch. With
        optimizer "newton" these count the tags that are solved, and ``"unit"`` is "tag".
    checkpoint : Checkpoint, optional
        Where to keep the state between epochs (texts only).
    resume : bool
        Go on from the checkpoint if it exists; the model is the one that an undisturbed run gives.
    warm_start : Model, optional
        Go on from this model (texts only): its classes come first, its words and n-grams keep
        their weights, and the new ones of `inputs` are added. Options that stand at their default
        are the model's; its decision rule and calibration are not carried over.
    replay : tuple of (inputs, labels) or (inputs, labels, sample_weight), optional
        Rows that `warm_start` was trained on, so that it does not forget them, or a sample of
        them: four for each new row are drawn, again and again if need be, but no more in all than
        the model was trained on (``options["rows"]``).
    vectors : str or path, optional
        A `.vec` file of word vectors: where the embeddings of the words that it holds start
        (texts only; `features` "auto" becomes "embedding", and `dim` is the file's).

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        For labels that say nothing, a loss that does not fit the task, or wrong shapes; for a
        `warm_start` that cannot be trained, or options that are not its own.
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
    check_resume(checkpoint, resume)
    text = _is_text(inputs)
    if vectors is not None:
        options = _options_with_vectors(options, vectors, text=text, warm=warm_start is not None)
    if replay is not None and warm_start is None:
        raise ValueError("replay came without warm_start: give the rows with the others")
    if warm_start is not None and text:
        options = continued_options(warm_start, options)
        labels = extended_classes(warm_start, labels)
    plan = resolve(options, labels.task, text=text, n_samples=len(labels))
    if plan.features == "numeric":
        _refuse_for_numbers(checkpoint, warm_start)
        return _fit_numbers(inputs, labels, plan, sample_weight, valid, n_jobs, progress)
    if plan.optimizer == "newton":
        _refuse_for_newton(checkpoint, warm_start)
    job = _Job(n_jobs, progress, checkpoint, resume, warm_start, replay, vectors)
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
        replay: Valid | None,
        vectors: str | os.PathLike[str] | None,
    ) -> None:
        self.n_jobs = n_threads(n_jobs)
        self.progress = progress
        self.checkpoint = checkpoint
        self.resume = resume
        self.warm_start = warm_start
        self.start: Start | None = None
        self.replay = replay
        self.vectors = vectors
        self.n_tags = 1.0

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
        n_new, rows_before = len(texts), 0
        if self.warm_start is not None:
            self.start = self._start(self.warm_start, texts, labels)
            rows_before = int(self.warm_start.options.get("rows", 0))
        if self.replay is not None:
            texts, labels, sample_weight = with_replayed(
                texts, labels, sample_weight, self.replay, plan.seed, rows_before
            )
        weight = check_sample_weight(sample_weight, len(labels), np.float32)
        targets = labels.sparse().full_sets_unknown()
        check_targets(labels, targets, plan.loss)
        check_speaking(targets, weight)
        self.n_tags = mean_tags(targets, weight)
        plan = self._resolved(given, labels.task, n_new)
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
        if plan.optimizer == "newton":
            return self._solve(labels, plan, featurizer, examples, held_out, column_weight)
        pieces = pieces_of(examples)
        assert plan.epochs is not None
        piecewise = replace(plan, epochs=plan.epochs * pieces)
        separable = _separable(plan, whole, held_out)
        trainer = self._trainer(examples, piecewise, column_weight, separable)
        n_rows = rows_before + int(np.count_nonzero(whole.speaking() < n_new))
        recorded = {**plan.to_dict(), "rows": n_rows}
        if self.warm_start is not None:
            recorded |= own_features(self.warm_start)
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
            pieces=pieces,
        )
        return Model(
            task=labels.task,
            classes=list(labels.classes),
            options={**recorded, "history": history},
            loss=model_loss(plan.loss),
            featurizer=featurizer,
            parameters=trainer.parameters(),
        )

    def _solve(
        self,
        labels: Labels,
        plan: TrainOptions,
        featurizer: Featurizer | FastTextFeaturizer,
        examples: Examples,
        held_out: Examples | None,
        class_weight: NDArray[np.float32] | None,
    ) -> Model:
        """Solve each tag on its own and put the model together."""
        from eitheror.training.one_vs_rest import fit_one_vs_rest

        solved = fit_one_vs_rest(
            examples,
            plan,
            class_weight=class_weight,
            held_out=held_out,
            n_jobs=self.n_jobs,
            progress=self.progress,
        )
        return Model(
            task=labels.task,
            classes=list(labels.classes),
            options={**plan.to_dict(), **solved.chosen, "history": []},
            loss=plan.loss,
            featurizer=featurizer,
            parameters=LinearParameters(solved.weight, solved.bias),
        )

    def _resolved(self, given: TrainOptions, task: str, n_samples: int) -> TrainOptions:
        return resolve(given, task, text=True, n_samples=n_samples, n_tags=self.n_tags)

    def _say(self, message: str) -> None:
        if self.progress is not None:
            self.progress({"event": "choice", "message": message})

    def _start(self, model: Model, texts: Sequence[str], labels: Labels) -> Start:
        start = Start.of(model, texts, self.n_jobs)
        new = labels.classes[len(model.classes) :]
        shown = ", ".join(map(repr, new[:5])) + (", ..." if len(new) > 5 else "")
        many = "class" if len(new) == 1 else "classes"
        classes = f"{len(new):,} new {many} ({shown})" if new else "no new class"
        self._say(f"{start.new_features:,} new words and n-grams, {classes}")
        if model.decision is not None or model.calibration is not None:
            self._say("the model's decision rule was fitted to the old weights and is left out")
        note = unseen_note(model, labels) if self.replay is None else None
        if note is not None:
            self._say(note)
        return start

    def _features(
        self, texts: Sequence[str], n_classes: int, given: TrainOptions, plan: TrainOptions
    ) -> tuple[Featurizer | FastTextFeaturizer, Rows, TrainOptions]:
        if self.start is not None:
            featurizer = self.start.featurizer
            return featurizer, featurizer.transform(texts, self.n_jobs), plan
        featurizer, rows = Featurizer.fit(texts, text_options(plan), self.n_jobs)
        fits = rows.n_features * n_classes <= MAX_WEIGHTS
        if fits or plan.features == "embedding" or plan.optimizer == "newton":
            return featurizer, rows, plan
        size = f"{rows.n_features:,} features x {n_classes:,} classes"
        if given.features == "tfidf":
            raise ValueError(
                f"a linear model of {size} needs {rows.n_features * n_classes * 4 / 1e9:.0f} GB; "
                "use features='embedding', a larger ngram_min_count or a smaller bucket, or for "
                "tags optimizer='newton'"
            )
        self._say(f"{size} are too many for a linear model: averaged embeddings are trained")
        plan = self._resolved(
            replace(given, features="embedding"), LOSSES[plan.loss].task, len(texts)
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
        if plan.loss == TREE:
            return self._tree_trainer(examples, plan)
        bias = start_bias(examples, plan)
        if self.start is not None:
            bias = self.start.bias(bias, separable=plan.loss in SEPARABLE)
        trainer = make_trainer(
            n_features,
            bias,
            plan,
            class_weight=class_weight,
            separable=separable,
            n_jobs=self.n_jobs,
            blocks=self.start is None or plan.optimizer == "adagrad",
        )
        if self.start is not None:
            self.start.carry_over(trainer)
        return trainer

    def _tree_trainer(self, examples: Examples, plan: TrainOptions) -> Any:
        from eitheror.training.tree import TreeTrainer

        if self.start is None:
            mass = class_prior(examples.targets, examples.weight)
            return TreeTrainer.fresh(lambda: [examples], examples.rows.n_features, mass, plan)
        old = self.start.parameters
        assert isinstance(old, HuffmanParameters)
        trainer = TreeTrainer.on_tree_of(old, examples.rows.n_features, plan)
        self.start.carry_over(trainer)
        return trainer

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
        other = "a model to go on from (--continue)" if warm else "a table of numbers"
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
    return plan.loss in SEPARABLE and not joint


def make_trainer(
    n_features: int,
    bias: NDArray[np.float32],
    plan: TrainOptions,
    *,
    class_weight: NDArray[np.float32] | None,
    separable: bool,
    n_jobs: int,
    blocks: bool = True,
) -> Any:
    """Return the trainer of texts that the options ask for.

    Without `blocks` rows are visited one by one, however many classes there are: from a trained
    model plain steps diverge where those of a block of rows are added.
    """
    if plan.loss == TREE:
        raise ValueError(
            "loss='hs' builds its tree from all the rows before the first step; use 'softmax'"
        )
    n_classes = len(bias)
    many = n_classes >= _MANY_CLASSES or n_classes * (plan.dim or 0) >= MANY_WEIGHTS
    if plan.features == "embedding" and many and blocks and not plan.hogwild:
        from eitheror.training.blocked import BlockedTrainer

        return BlockedTrainer(n_features, bias, plan, class_weight=class_weight, n_jobs=n_jobs)
    if plan.features == "embedding":
        from eitheror.training.embedding import EmbeddingTrainer

        return EmbeddingTrainer(n_features, bias, plan, class_weight=class_weight, n_jobs=n_jobs)
    from eitheror.training.linear import LinearTrainer

    return LinearTrainer(
        n_features,
        bias,
        plan,
        class_weight=class_weight,
        separable=separable,
        n_jobs=n_jobs,
    )


def start_bias(examples: Examples, plan: TrainOptions) -> NDArray[np.float32]:
    """Log prior (softmax) or log odds (one-vs-all), so that the first steps need not find them."""
    return bias_of_prior(class_prior(examples.targets, examples.weight), plan)


def bias_of_prior(prior: NDArray[np.float64], plan: TrainOptions) -> NDArray[np.float32]:
    """Where the intercepts start, given the share of the rows in which each class is true."""
    prior = np.clip(prior, 1e-6, 1.0 - 1e-6)
    if plan.loss in SEPARABLE:
        return np.asarray(np.log(prior / (1.0 - prior)), dtype=np.float32)
    if plan.features == "embedding":
        return np.zeros(len(prior), dtype=np.float32)
    return np.asarray(np.log(prior / prior.sum()), dtype=np.float32)


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
            f"{_going_on(warm_start)} for texts: a linear model on numbers is fitted "
            "in one go, to the old rows and the new ones together"
        )


def _going_on(warm_start: Model | None) -> str:
    """Name what was asked for, as in Python and on the command line."""
    if warm_start is not None:
        return "warm_start (--continue) is"
    return "checkpoint (--checkpoint-every, --resume) is"


def _refuse_for_newton(checkpoint: Checkpoint | None, warm_start: Model | None) -> None:
    if warm_start is not None:
        raise ValueError(
            "optimizer='newton' solves every tag anew and cannot go on from a model "
            "(--continue): train on all rows, or give optimizer='sgd' (--optimizer sgd)"
        )
    if checkpoint is not None:
        raise ValueError(
            "checkpoints (--checkpoint-every, --resume) are for training in passes, and "
            "optimizer='newton' makes none: leave them out, or give optimizer='sgd' "
            "(--optimizer sgd)"
        )


def _is_text(inputs: Any) -> bool:
    if hasattr(inputs, "tocsr") or getattr(getattr(inputs, "dtype", None), "kind", "O") in "fiub":
        return False
    if getattr(inputs, "ndim", 1) == 2:  # a data frame, which iterates over its column names
        return False
    first = next(iter(inputs), None)
    return first is None or isinstance(first, str)
