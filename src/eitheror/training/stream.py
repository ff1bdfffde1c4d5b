"""`fit_files`: files that may be larger than memory in, a `Model` out.

The text is tokenised once into a cache beside the file, and training reads the cache piece by
piece. Vocabulary, model and the pieces in work stay under the limit; where they cannot, the run
stops before the work with what would make them smaller.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror.files import ReadOptions, read_table
from eitheror.files._stream import BlockReader
from eitheror.labels import Labels
from eitheror.model import Model
from eitheror.text import Featurizer
from eitheror.text.chunks import n_threads
from eitheror.training.checkpoint import Checkpoint
from eitheror.training.checks import (
    Valid,
    check_resume,
    check_valid,
    idle_message,
    known_rows,
    valid_weight,
)
from eitheror.training.examples import Examples
from eitheror.training.fitting import MAX_WEIGHTS, SEPARABLE, bias_of_prior, make_trainer
from eitheror.training.loop import run_epochs
from eitheror.training.options import TREE, TrainOptions, model_loss, resolve, text_options
from eitheror.training.priors import prior_sums
from eitheror.training.stream_budget import Budget, memory_limit, model_bytes
from eitheror.training.stream_build import build
from eitheror.training.stream_cache import (
    Cache,
    building,
    cache_folder,
    cache_key,
    finish,
    open_cache,
)
from eitheror.training.stream_loop import Pieces, StreamTrainer
from eitheror.training.stream_pace import Progress
from eitheror.training.stream_pieces import PIECE_ROWS
from eitheror.training.stream_store import CacheDamagedError
from eitheror.training.weights import balanced, balanced_or_given

__all__ = ["fit_files"]

Path_ = str | os.PathLike[str]


def fit_files(
    paths: Path_ | Sequence[Path_],
    options: TrainOptions | None = None,
    *,
    memory: str | int = "500M",
    cache: Path_ | None = None,
    valid: Path_ | Valid | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    **read: Any,
) -> Model:
    r"""Train on files of texts that may be larger than memory.

    The model differs from that of `fit` only by the order in which rows are visited: pieces of up
    to 512 rows from all over the files, up to 32 at a time, shuffled together. It depends on
    neither `memory` nor `n_jobs`.

    Parameters
    ----------
    paths : path or sequence of paths
        Files by name, in any format of `eitheror.files.read` that is read row by row.
    options : TrainOptions, optional
        As in `fit`.
    memory : str or int
        What the process may take at most: "500M", "2G", or bytes; at least "256M". What it holds
        already beyond a fresh Python with NumPy and the kernels (160 MB) does not count.
    cache : path, optional
        Folder for the cache of tokenised rows. Default: the folder of the first file. The next
        run with the same files and options reads it; a file or an option that changed makes it
        anew.
    valid : path, or tuple as in `fit`, optional
        Held-out rows. They are kept in memory.
    n_jobs : int
        Threads; -1 is all cores.
    progress : callable, optional
        Called with the events of `fit`, with ``{"event": "rows", "phase", "rows", "of", "rate",
        "left"}`` during a pass, and with ``{"event": "data", ...}`` when the files are known.
    checkpoint : Checkpoint, optional
        Where to keep the state between epochs.
    resume : bool
        Go on from the checkpoint if it exists.
    **read
        The fields of `eitheror.files.ReadOptions`.

    Returns
    -------
    Model

    Raises
    ------
    MemoryLimitError
        If the vocabulary or the model does not fit, with its size and what makes it smaller.
    CacheDamagedError
        If a piece of the cache is not what was written; the next run builds it anew.
    OSError
        If the cache cannot be written, with the folder; nothing half-written is left.
    DataError, ValueError
        As `eitheror.files.read` and `fit`.

    Examples
    --------
    >>> import tempfile
    >>> rows = ["red apple,fruit", "blue sky,air", "green apple,fruit", "grey sky,air"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "things.csv"
    ...     _ = path.write_text("text,label\n" + "\n".join(rows))
    ...     model = fit_files(path, TrainOptions(epochs=20), memory="1G")
    >>> model.classes[model.predict_proba(["apple"]).argmax()]
    'fruit'
    """
    options = options or TrainOptions()
    check_resume(checkpoint, resume)
    budget = Budget(memory_limit(memory))
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if read.get("feature_columns") or read.get("feature_names"):
        raise ValueError("memory= (--memory) is for texts, and columns of numbers were named")
    if options.optimizer == "newton":
        raise ValueError(
            "optimizer='newton' needs all rows in memory: leave it or memory= (--memory) out"
        )
    if options.patience is not None and valid is None:
        raise ValueError("patience needs held-out rows in a file of their own: --valid (valid=)")
    reader = BlockReader(given, ReadOptions.make(read))
    job = _Job(options, reader, budget, n_threads(n_jobs), progress)
    found = job.cached(cache_folder(given, cache))
    with found.rows:
        job.tell(found)
        try:
            return job.train(found, valid, checkpoint, resume)
        except CacheDamagedError as error:
            found.forget()
            raise CacheDamagedError(f"{error}; run again, and the cache is built anew") from None


class _Job:
    """One call of `fit_files`."""

    def __init__(
        self,
        options: TrainOptions,
        reader: BlockReader,
        budget: Budget,
        n_jobs: int,
        progress: Progress | None,
    ) -> None:
        self.options = options
        self.reader = reader
        self.budget = budget
        self.n_jobs = n_jobs
        self.progress = progress

    def say(self, event: dict[str, Any]) -> None:
        """Report an event."""
        if self.progress is not None:
            self.progress(event)

    def note(self, message: str) -> None:
        """Report what was decided."""
        self.say({"event": "choice", "message": message})

    # -- the cache -----------------------------------------------------------------------------

    def cached(self, folder: Path) -> Cache:
        """Return the cache of the files, built if it is not there."""
        # What shapes features does not depend on the task, which only the whole file tells.
        loss = TREE if self.options.loss == TREE else "auto"
        shapes = resolve(replace(self.options, loss=loss), "multiclass", text=True)
        text = text_options(shapes)
        key = cache_key(self.reader.paths, text, self.reader.options, PIECE_ROWS)
        found, why = open_cache(folder, key)
        if found is not None:
            self.note(f"tokenised rows are read from {folder}")
            return found
        if why is not None:
            self.note(f"{folder} is built anew: {why}")
        with building(folder) as new:
            built = build(
                new,
                self.reader,
                text,
                self.budget,
                n_jobs=self.n_jobs,
                progress=self.progress,
                check=self._check_size,
            )
            if cache_key(self.reader.paths, text, self.reader.options, PIECE_ROWS) != key:
                raise ValueError("a file was changed while it was read; train again")
            finish(new, key, built.facts, built.arrays, built.featurizer)
        found, why = open_cache(folder, key)
        if found is None:
            raise CacheDamagedError(f"{folder}: {why or 'it was removed'}, just after it was built")
        size = sum(path.stat().st_size for path in folder.iterdir())
        self.note(f"tokenised rows are kept in {folder} ({size / 1e6:,.0f} MB)")
        return found

    def tell(self, cache: Cache) -> None:
        """Report what the files hold."""
        facts = cache.facts
        self.say(
            {
                "event": "data",
                "rows": facts["n_rows"],
                "classes": len(facts["classes"]),
                "task": facts["task"],
                "kinds": facts["kinds"],
                "n_skipped": facts["n_skipped"],
                "skipped": [f"{where}: {problem}" for where, problem in facts["skipped"]],
            }
        )

    def _plan(self, task: str, n_rows: int, n_tags: float = 1.0) -> TrainOptions:
        return resolve(self.options, task, text=True, n_samples=n_rows, n_tags=n_tags)

    def _check_size(
        self, featurizer: Featurizer, classes: list[Any], task: str, rows: int = 0
    ) -> int:
        """Refuse a model that cannot be trained under the limit; return its size."""
        plan = self._plan(task, 1)
        n_features, n_classes = featurizer.n_features, len(classes)
        if plan.features == "embedding":
            shape = f"({n_features:,} features + {n_classes:,} classes) x dim {plan.dim}"
            advice = "a smaller --dim, a larger --min-count or --ngram-min-count"
        else:
            shape = f"{n_features:,} features x {n_classes:,} classes"
            advice = "--features embedding, a larger --ngram-min-count or a smaller --bucket"
            if n_features * n_classes > MAX_WEIGHTS:
                raise ValueError(f"a linear model of {shape} is too large: {advice}")
        vocabulary = sum(array.nbytes for array in featurizer.tensors().values())
        size = model_bytes(plan, n_features, n_classes, vocabulary, rows)
        self.budget.need(size, f"a model of {shape} needs", advice)
        return size

    # -- training ------------------------------------------------------------------------------

    def train(
        self,
        cache: Cache,
        valid: Path_ | Valid | None,
        checkpoint: Checkpoint | None,
        resume: bool,
    ) -> Model:
        """Train on the rows of the cache."""
        facts = cache.facts
        classes, task = facts["classes"], facts["task"]
        n_tags = cache.index["sum.true"].sum() / max(cache.index["weight"].sum(), 1e-30)
        plan = self._plan(task, facts["n_rows"], float(n_tags))
        self._check_rows(cache, plan)
        watched = self._watched(valid, cache, plan)
        pieces = Pieces(cache, self._class_weight(cache, plan), plan.loss)
        self.budget.release()
        rows = pieces.group_bytes()
        size = self._check_size(cache.featurizer, classes, task, rows)
        ahead = self.budget.left > size + rows
        inner = self._trainer(pieces, watched, plan)
        trainer = StreamTrainer(inner, plan.seed, ahead, self.progress)
        history = run_epochs(
            trainer,
            pieces,
            plan,
            valid=watched,
            progress=self.progress,
            checkpoint=checkpoint,
            resume=resume,
        )
        return Model(
            task=task,
            classes=list(classes),
            options={
                **plan.to_dict(),
                "rows": int(cache.index["speaking"].sum()),
                "history": history,
            },
            loss=model_loss(plan.loss),
            featurizer=cache.featurizer,
            parameters=trainer.parameters(),
        )

    def _check_rows(self, cache: Cache, plan: TrainOptions) -> None:
        facts = cache.facts
        if not cache.index["speaking"].any():
            raise ValueError(
                f"none of the {facts['n_rows']:,} rows says anything that counts; expected at "
                "least one label of positive weight"
            )
        if facts["joint"] is not None and plan.loss != "ova":
            raise ValueError(
                f"{facts['joint']}: loss={plan.loss!r} cannot read 'at least one of' some tags; "
                "use loss='ova', or leave such rows out"
            )
        note = idle_message(facts["idle"], facts["n_rows"], plan.loss)
        if note is not None:
            self.note(note)

    def _watched(
        self, valid: Path_ | Valid | None, cache: Cache, plan: TrainOptions
    ) -> Examples | None:
        if valid is None:
            return None
        classes, task = cache.facts["classes"], cache.facts["task"]
        if not isinstance(valid, tuple):
            valid = self._read_valid(valid, classes, task)
        texts, labels = check_valid(valid, Labels([], classes, task), plan.loss)
        rows = cache.featurizer.transform(texts, self.n_jobs)
        weight = valid_weight(valid, np.float32)
        return Examples(rows, labels.sparse().full_sets_unknown(), weight)

    def _read_valid(self, path: Path_, classes: list[Any], task: str) -> Valid:
        """Return the held-out rows that name no class which the training files lack."""
        options = self.reader.options
        said = {field.name: getattr(options, field.name) for field in fields(options)}
        said |= {"task": task, "need_labels": False}
        if options.classes_file is not None:
            del said["classes"]  # the file says the same
        elif options.classes is None:
            said |= {"classes": classes, "new_classes": True}
        table = read_table(path, **said)
        return known_rows(table.inputs, table.labels, table.weight, len(classes))

    def _class_weight(self, cache: Cache, plan: TrainOptions) -> NDArray[np.float64] | None:
        if plan.class_weight == "balanced":
            return balanced(cache.index["sum.mass"])
        nothing = Labels([], cache.facts["classes"], cache.facts["task"])
        return balanced_or_given(plan.class_weight, nothing, nothing.sparse(), np.zeros(0))

    def _trainer(self, pieces: Pieces, watched: Examples | None, plan: TrainOptions) -> Any:
        assert plan.epochs is not None
        index = pieces.cache.index
        sums = index["sum.true"], index["sum.known"]
        if plan.class_weight is not None and pieces.column_weight is None:
            parts = (pieces.read(group) for group in pieces.groups(pieces.speaking()))
            heavier = [prior_sums(part.targets, part.weight) for part in parts]
            sums = np.sum([true for true, _ in heavier], 0), np.sum([n for _, n in heavier], 0)
        prior = (sums[0] + 0.5) / (sums[1] + 1.0)
        n_groups = len(pieces.groups(pieces.speaking()))
        groupwise = replace(plan, epochs=plan.epochs * n_groups)
        n_features = pieces.cache.featurizer.n_features
        if plan.loss == TREE:
            from eitheror.training.tree import TreeTrainer

            rows = partial(pieces.parts, self.progress)
            return TreeTrainer.fresh(rows, n_features, prior, groupwise)
        joint = pieces.cache.facts["joint"] is not None
        if watched is not None:
            joint = joint or len(watched.targets.group_indices) > 0
        return make_trainer(
            n_features,
            bias_of_prior(prior, plan),
            groupwise,
            class_weight=pieces.column_weight,
            separable=plan.loss in SEPARABLE and not joint,
            n_jobs=self.n_jobs,
        )
