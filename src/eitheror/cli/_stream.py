"""`eitheror train --memory`: files that may be larger than memory in, a model folder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from eitheror.cli._options import FileOptions, count, report_skipped

if TYPE_CHECKING:
    from eitheror.model import Model
    from eitheror.training import Checkpoint, TrainOptions

__all__ = ["StreamFlags", "pace_line", "train_streamed"]

_STREAM = Group("Files larger than memory", sort_key=2)
_PHASES = {
    "reading": "reading",
    "rows": "numbering features",
    "tree": "building the tree of classes",
    "pass": "pass",
}


@Parameter(name="*", group=_STREAM)
@dataclass(frozen=True)
class StreamFlags:
    """How much memory training may take."""

    memory: Annotated[
        str | None,
        Parameter(
            show_default=False,
            help="Most memory that the process may take, as in 500M or 2G: texts are tokenised "
            "once into a cache on disk and read from there.",
        ),
    ] = None
    cache: Annotated[
        str | None,
        Parameter(
            show_default=False,
            help="Folder for that cache [default: beside the first file].",
        ),
    ] = None

    def wanted(self, **others: object) -> bool:
        """Tell whether to stream; refuse options that need all rows in memory."""
        if self.memory is None:
            if self.cache is not None:
                raise ValueError("--cache is for --memory, which did not come: --memory 500M")
            return False
        came = [name for name, value in others.items() if value]
        if came:
            option = f"--{came[0].replace('_', '-')}"
            raise ValueError(f"{option} needs all rows in memory: leave it or --memory out")
        return True


def train_streamed(
    files: Sequence[str],
    options: TrainOptions,
    flags: StreamFlags,
    layout: FileOptions,
    *,
    task: str | None,
    valid: str | None,
    n_jobs: int,
    progress: Any,
    checkpoint: Checkpoint | None,
    resume: bool,
) -> tuple[Model, dict[str, Any]]:
    """Train, and return the model with the report on what the files hold.

    Parameters
    ----------
    progress : callable
        Its `data` holds the last event "data".
    """
    import eitheror as eo
    from eitheror.training import fit_files

    assert flags.memory is not None
    keywords = layout.keywords()
    model = fit_files(
        files,
        options,
        memory=flags.memory,
        cache=flags.cache,
        valid=valid,
        n_jobs=n_jobs,
        progress=progress,
        checkpoint=checkpoint,
        resume=resume,
        task=task,
        **keywords,
    )
    data = progress.data
    left_out = data["n_skipped"] - len(data["skipped"])
    report_skipped([*data["skipped"], *[""] * left_out])
    report = {
        "task": model.task,
        "rows": data["rows"],
        "kinds": data["kinds"],
        "classes": len(model.classes),
        "skipped": data["n_skipped"],
        "valid": None,
    }
    if valid is not None:
        keywords |= {"task": model.task, "need_labels": False}
        if "classes_file" not in keywords:
            keywords |= {"classes": model.classes, "new_classes": True}
        held_out = eo.files.read_table(valid, **keywords)
        proba = model.predict_proba(held_out.inputs, n_jobs=n_jobs)
        report["valid"] = eo.evaluate(
            held_out.labels, proba, model.classes, meaning=model.proba_meaning
        )
    return model, report


def pace_line(event: dict[str, Any]) -> str:
    """Return how far a pass is, in one line.

    >>> pace_line({"phase": "pass", "rows": 5000, "of": 20000, "rate": 1000.0, "left": 15.0})
    'pass: 5,000 of 20,000 rows, 1,000 a second, 15 s left'
    """
    name = _PHASES[event["phase"]]
    of = "" if event["of"] is None else f"{event['rows']:,} of "
    rows = count(event["rows"] if event["of"] is None else event["of"], "row")
    left = "" if event["left"] is None else f", {_time(event['left'])} left"
    return f"{name}: {of}{rows}, {event['rate']:,.0f} a second{left}"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
