"""`eitheror train`: files of statements in, a model folder out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from eitheror.cli._autotune import AutotuneFlags, autotune, print_search
from eitheror.cli._options import (
    FILES,
    FileOptions,
    Inputs,
    Json,
    ModelPath,
    Task,
    Threads,
    check_folder,
    count,
    print_json,
    report_skipped,
    score,
    seconds_in,
    spelt,
)
from eitheror.cli._stream import StreamFlags, pace_line, train_streamed

if TYPE_CHECKING:
    from eitheror.files import Table
    from eitheror.labels import Labels
    from eitheror.model import Model
    from eitheror.search import SearchResult
    from eitheror.training import Checkpoint, TrainOptions

__all__ = ["train"]

_TRAINING = Group("How to train", sort_key=1)
_Default = Parameter(show_default=False)
_NOT_OPTIONS = ("history", "rows")


@Parameter(name="*", group=_TRAINING)
@dataclass(frozen=True)
class TrainFlags:
    """Training options; what is not given is chosen from the data and printed."""

    features: Annotated[
        Literal["auto", "embedding", "tfidf", "numeric"],
        Parameter(help="embedding (fastText's model), tfidf (linear on n-grams) or numeric."),
    ] = "auto"
    loss: Annotated[
        str,
        Parameter(
            help="softmax; for thousands of classes: hs; for tags: ova, pal, pal-n, pol (as "
            "fastText does), ova-n; for numbers with wrong statements: gce, set-mae."
        ),
    ] = "auto"
    epoch: Annotated[int | None, _Default, Parameter(help="Passes over the rows.")] = None
    lr: Annotated[float | None, _Default, Parameter(help="Learning rate.")] = None
    optimizer: Annotated[
        Literal["sgd", "adagrad", "newton"] | None,
        _Default,
        Parameter(help="How steps are made; newton solves each tag on its own (ova)."),
    ] = None
    scaling: Annotated[
        Literal["standard", "unit", "tfidf"] | None,
        _Default,
        Parameter(help="For numbers: standard; unit or tfidf for counts of words."),
    ] = None
    dim: Annotated[int | None, _Default, Parameter(help="Length of an embedding.")] = None
    word_ngrams: Annotated[
        int | None, _Default, Parameter(name="--word-ngrams", help="Longest sequence of words.")
    ] = None
    minn: Annotated[int | None, _Default, Parameter(help="Shortest character n-gram.")] = None
    maxn: Annotated[
        int | None, _Default, Parameter(help="Longest character n-gram; 0 is none.")
    ] = None
    bucket: Annotated[int | None, _Default, Parameter(help="Hash buckets of n-grams.")] = None
    min_count: Annotated[
        int | None, _Default, Parameter(help="Words that come less often are left out.")
    ] = None
    ngram_min_count: Annotated[
        int | None, _Default, Parameter(help="N-grams that come less often are left out.")
    ] = None
    keep_case: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Capital letters differ from small ones."),
    ] = False
    l2: Annotated[float | None, _Default, Parameter(help="Weight of the L2 penalty.")] = None
    label_smoothing: Annotated[
        float, Parameter(help="Part of the loss that goes to all classes evenly.")
    ] = 0.0
    class_weight: Annotated[
        Literal["balanced"] | None,
        _Default,
        Parameter(help="balanced: every class counts the same."),
    ] = None
    patience: Annotated[
        int | None,
        _Default,
        Parameter(help="Stop after that many passes without gain on the held-out rows."),
    ] = None
    validation: Annotated[
        float | None,
        _Default,
        Parameter(
            help="Part of the rows held out for --patience (0.1) or --autotune (0.2) without "
            "--valid."
        ),
    ] = None
    seed: Annotated[int, Parameter(help="Same seed and data, same model.")] = 0
    hogwild: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Threads share the weights: faster, not reproducible.",
        ),
    ] = False

    def options(self) -> TrainOptions:
        """Return the same as `TrainOptions`."""
        from eitheror.training import TrainOptions

        ngrams: dict[str, Any] = {}
        if self.minn is not None or self.maxn is not None:
            longest = self.minn if self.maxn is None else self.maxn
            shortest = self.minn if self.minn is not None else min(3, longest or 0)
            ngrams["char_ngrams"] = (shortest, longest)
        return TrainOptions(
            features=self.features,
            loss=self.loss,
            epochs=self.epoch,
            lr=self.lr,
            optimizer=self.optimizer,
            scaling=self.scaling,
            dim=self.dim,
            word_ngrams=self.word_ngrams,
            bucket=self.bucket,
            min_count=self.min_count,
            ngram_min_count=self.ngram_min_count,
            lowercase=not self.keep_case,
            l2=self.l2,
            label_smoothing=self.label_smoothing,
            class_weight=self.class_weight,
            patience=self.patience,
            validation=0.1 if self.validation is None else self.validation,
            seed=self.seed,
            hogwild=self.hogwild,
            **ngrams,
        )


def train(
    files: Inputs,
    /,
    *,
    output: Annotated[
        ModelPath, Parameter(name=["--output", "-o"], help="Folder to write the model to.")
    ],
    valid: Annotated[
        str | None,
        Parameter(group=FILES, help="Held-out file to watch and to report on."),
    ] = None,
    pretrained_vectors: Annotated[
        str | None,
        Parameter(group=FILES, help="File of word vectors (.vec) that embeddings start from."),
    ] = None,
    continue_from: Annotated[
        str | None,
        Parameter(
            name="--continue",
            group=FILES,
            help="Model to go on from: rows, words and classes are added to it.",
        ),
    ] = None,
    replay: Annotated[
        str | None,
        Parameter(group=FILES, help="Rows that --continue's model knows, so that it keeps them."),
    ] = None,
    task: Annotated[
        Task | None, Parameter(help="One class true, or any number [default: told by the file].")
    ] = None,
    flags: TrainFlags = TrainFlags(),
    how: AutotuneFlags = AutotuneFlags(),  # noqa: B008  # frozen
    stream: StreamFlags = StreamFlags(),  # noqa: B008  # frozen
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    checkpoint_every: Annotated[
        str | None,
        Parameter(help="Write MODEL.checkpoint/ after every N passes, or every 5m."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Go on from MODEL.checkpoint/.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Train a model on files of statements and write it to a folder.

    Parameters
    ----------
    files
        JSONL, CSV, TSV, Parquet or fastText files, plain or compressed; - is standard input.
    """
    from eitheror import files as io
    from eitheror.training import fit

    check_folder(output)
    searches = how.wanted()
    saved = _checkpoint(output, checkpoint_every, resume, searches)
    if searches and pretrained_vectors is not None:
        raise ValueError(
            "--autotune searches features and widths, which --pretrained-vectors fixes: leave one "
            "of them out"
        )
    progress, found, n_jobs = _Progress(), None, thread or -1
    start = time.perf_counter()
    if stream.wanted(
        autotune=searches,
        pretrained_vectors=pretrained_vectors,
        **{"continue": continue_from},
        replay=replay,
    ):
        with _interruptible(saved):
            model, report = train_streamed(
                files,
                flags.options(),
                stream,
                layout,
                task=task,
                valid=valid,
                n_jobs=n_jobs,
                progress=progress,
                checkpoint=saved,
                resume=resume,
            )
        return _finish(model, output, report, progress, start, as_json=as_json)
    earlier = _earlier_model(continue_from, replay, pretrained_vectors, searches)
    if earlier is None:
        table = io.read_table(files, task=task, **layout.keywords())
    else:
        table = _read_more(files, earlier.classes, layout, task or earlier.task, new_classes=True)
    report_skipped(table.skipped)
    held_out = None if valid is None else _read_valid(valid, table, layout)
    watched = None if held_out is None else _watched(held_out, table.labels.n_classes)
    if searches:
        found = autotune(
            how,
            table,
            None if watched is None else watched[:2],
            flags.options(),
            validation=flags.validation,
            n_jobs=n_jobs,
        )
        model, held_out = found.model, None  # the held-out rows are scored by the search
    else:
        with _interruptible(saved):
            model = fit(
                table.inputs,
                table.labels,
                flags.options(),
                sample_weight=table.weight,
                valid=watched,
                n_jobs=n_jobs,
                progress=progress,
                checkpoint=saved,
                resume=resume,
                warm_start=earlier,
                replay=None if replay is None else _replayed(replay, table, layout),
                vectors=pretrained_vectors,
            )
    if table.feature_names is not None:
        model.feature_names = table.feature_names
    report = _report(model, table, held_out, n_jobs)
    return _finish(model, output, report, progress, start, found, as_json=as_json)


def _finish(
    model: Model,
    output: str,
    report: dict[str, Any],
    progress: _Progress,
    start: float,
    found: SearchResult | None = None,
    *,
    as_json: bool,
) -> int:
    """Write the model, and print the report."""
    progress.end()
    model.save(output)
    report |= {
        "options": {key: value for key, value in model.options.items() if key not in _NOT_OPTIONS},
        "notes": progress.notes,
        "seconds": round(time.perf_counter() - start, 1),
        "model": output,
    }
    if as_json:
        print_json(report if found is None else report | {"search": found.to_dict()})
    else:
        _print_report(report, found)
    return 0


def _checkpoint(output: str, every: str | None, resume: bool, searches: bool) -> Checkpoint | None:
    """Return where to keep the state between passes, if anywhere."""
    from eitheror.training import Checkpoint

    if every is None and not resume:
        return None
    if searches:
        raise ValueError(
            "--autotune trains many models, and --resume and --checkpoint-every are about one: "
            "leave these out"
        )
    path = f"{output.rstrip('/')}.checkpoint"
    if every is not None and every[-1:].isalpha():
        saved = Checkpoint(path, seconds=seconds_in(every, "--checkpoint-every"))
    else:
        saved = Checkpoint(path, every=_passes(every))
    if resume and not saved.exists():
        print(f"{saved.path}: no checkpoint there, so training starts over", file=sys.stderr)
    return saved


def _passes(every: str | None) -> int:
    if every is None:
        return 1
    try:
        return int(every)
    except ValueError:
        raise ValueError(
            f"--checkpoint-every {every}: expected a number of passes, or a time such as 60s or 5m"
        ) from None


@contextmanager
def _interruptible(saved: Checkpoint | None) -> Iterator[None]:
    """Say on Ctrl-C what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if saved is None:
            print("no model was written; --checkpoint-every keeps finished passes", file=sys.stderr)
        elif saved.exists():
            print(
                f"finished passes are in {saved.path}; the same command with --resume goes on",
                file=sys.stderr,
            )
        else:
            print("no model and no checkpoint was written yet", file=sys.stderr)
        raise


class _Progress:
    """Keeps what training decided; shows its epochs on a terminal, on standard error."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.data: dict[str, Any] = {}
        self.shown = sys.stderr.isatty()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "choice":
            self.notes.append(event["message"])
        elif event["event"] == "data":
            self.data = event
        elif event["event"] == "rows":
            if self.shown:
                print(f"\r{pace_line(event):<79}", end="", file=sys.stderr, flush=True)
        elif self.shown:
            held_out = f", held out {event['valid_loss']:.4f}" if "valid_loss" in event else ""
            done = f"{event.get('unit', 'pass')} {event['epoch']} of {event['epochs']}"
            line = f"{done}: loss {event['loss']:.4f}{held_out}"
            print(f"\r{line:<79}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line of the last epoch."""
        if self.shown:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)


def _earlier_model(
    path: str | None, replay: str | None, vectors: str | None, searches: bool
) -> Model | None:
    """Read the model that training goes on from, if any."""
    if path is None:
        if replay is not None:
            raise ValueError(
                "--replay came without --continue MODEL: give the file beside the other"
            )
        return None
    if searches:
        raise ValueError("--autotune trains new models, and --continue goes on from one")
    if vectors is not None:
        raise ValueError(
            "--pretrained-vectors starts the embeddings of a new model, and --continue goes on "
            "with those of another: leave one of them out"
        )
    from eitheror.model import load

    return load(path)


def _replayed(path: str, table: Table, layout: FileOptions) -> tuple[Any, Labels, Any]:
    old = _read_more(path, table.labels.classes, layout, table.labels.task, new_classes=False)
    _check_alike(table.inputs, old)
    return old.inputs, old.labels, old.weight


def _read_more(
    files: Inputs | str, classes: list[Any], layout: FileOptions, task: str, *, new_classes: bool
) -> Table:
    """Read rows under a class list that is known before them."""
    from eitheror import files as io

    keywords = layout.keywords() | {"task": task}
    if "classes_file" not in keywords:
        keywords |= {"classes": classes, "new_classes": new_classes}
    return io.read_table(files, **keywords)


def _read_valid(valid: str, table: Table, layout: FileOptions) -> Table:
    from eitheror import files as io

    keywords = layout.keywords() | {"task": table.labels.task, "feature_names": table.feature_names}
    if "classes_file" not in keywords:
        keywords |= {"classes": table.labels.classes, "new_classes": True}
    held_out = io.read_table(valid, need_labels=False, **keywords)
    _check_alike(table.inputs, held_out)
    return held_out


def _check_alike(inputs: Any, held_out: Table) -> None:
    """Refuse held-out rows that are not of the kind and width of the training rows."""
    from eitheror.labels import DataError
    from eitheror.text import Texts

    if not len(held_out):
        return
    texts, came_texts = isinstance(inputs, Texts), isinstance(held_out.inputs, Texts)
    where = held_out.where(0)
    if texts != came_texts:
        wanted, came = ("texts", "numbers") if texts else ("numbers", "texts")
        raise DataError(where, f"{came} came, and the training rows are {wanted}")
    if not texts and held_out.inputs.shape[1] != inputs.shape[1]:
        raise DataError(
            where,
            f"{held_out.inputs.shape[1]} features; the training rows have {inputs.shape[1]}",
        )


def _watched(held_out: Table, n_classes: int) -> tuple[Any, Labels, Any]:
    """Return the held-out rows that name no class which the training files lack, with weights."""
    import numpy as np

    from eitheror.text import Texts

    labels, weight = held_out.labels, held_out.weight
    if weight is None:
        weight = np.ones(len(labels))
    if labels.n_classes == n_classes:
        return held_out.inputs, labels, weight
    new = set(labels.classes[n_classes:])
    rows = np.array([i for i, label in enumerate(labels) if not new & set(label.named)], dtype=int)
    texts = held_out.inputs
    chosen = texts.take(rows) if isinstance(texts, Texts) else texts[rows]
    return chosen, labels[rows].with_classes(labels.classes[:n_classes]), weight[rows]


def _report(model: Model, table: Table, held_out: Table | None, n_jobs: int) -> dict[str, Any]:
    import eitheror as eo

    report = {
        "task": model.task,
        "rows": len(table.labels),
        "kinds": table.labels.kind_counts(),
        "classes": len(model.classes),
        "skipped": len(table.skipped),
        "valid": None,
    }
    if held_out is not None:
        proba = model.predict_proba(held_out.inputs, n_jobs=n_jobs)
        report["valid"] = eo.evaluate(
            held_out.labels, proba, model.classes, meaning=model.proba_meaning
        )
    return report


def _print_report(report: dict[str, Any], found: SearchResult | None) -> None:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in report["kinds"].items())
    truth = "one is true" if report["task"] == "multiclass" else "any number is true"
    print(f"{count(report['rows'], 'row')}: {kinds}")
    print(f"{count(report['classes'], 'class', 'classes')}, {truth} ({report['task']})")
    for note in report["notes"]:
        print(note)
    if found is None:
        print(spelt(_telling(report["options"])))
    else:
        print_search(found)
    if report["valid"] is not None:
        name = "accuracy" if report["task"] == "multiclass" else "precision_at_1"
        value = score(report["valid"]["metrics"][name])
        print(f"held out, {count(report['valid']['n'], 'row')}: {name} {value}")
    print(f"{report['model']} written ({report['seconds']:.1f} s)")


def _telling(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those that are off or have nothing to act on."""
    silent = {"lowercase"} if options["features"] == "numeric" else set()
    if "patience" not in options:
        silent.add("validation")
    return {
        name: value
        for name, value in options.items()
        if name not in silent and (name == "seed" or value not in (False, 0, None))
    }
