"""`eitheror train --autotune 5m`: a search over options in place of one training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from eitheror.cli._options import count, seconds_in

if TYPE_CHECKING:
    from eitheror.files import Table
    from eitheror.labels import Labels
    from eitheror.search import SearchResult
    from eitheror.training import TrainOptions

__all__ = ["AutotuneFlags", "autotune", "flags_of", "print_search"]

_SEARCH = Group("How to search", sort_key=2)
_Default = Parameter(show_default=False)
_VALIDATION = 0.2
# Options whose flag is not their name with dashes.
_FLAGS = {"epochs": "--epoch", "lowercase": "--keep-case", "char_ngrams": "--minn"}


@Parameter(name="*", group=_SEARCH)
@dataclass(frozen=True)
class AutotuneFlags:
    """Whether to search options, for how long and for which score."""

    autotune: Annotated[
        str | None,
        _Default,
        Parameter(
            help="Search the options for that time, as 60s or 5m; training options that are "
            "given are kept. Needs eitheror[tune]."
        ),
    ] = None
    autotune_trials: Annotated[
        int | None,
        _Default,
        Parameter(help="Try so many sets of options; same number and seed, same model."),
    ] = None
    metric: Annotated[
        str | None,
        _Default,
        Parameter(
            help="Score to search for: accuracy or log_loss for one true class; for tags f1_micro "
            "(the default), f1_macro, f1_samples, jaccard_micro, jaccard_macro, jaccard_samples or "
            "accuracy."
        ),
    ] = None

    def wanted(self) -> bool:
        """Return whether to search; a metric without a search is an error."""
        wanted = self.autotune is not None or self.autotune_trials is not None
        if self.metric is not None and not wanted:
            raise ValueError(
                f"--metric {self.metric} is the score that --autotune searches for; write "
                "--autotune 5m with it, or tune the trained model with eitheror tune"
            )
        if wanted:  # now, and not after the files are read
            from eitheror.search.run import load_optuna

            load_optuna()
        return wanted


def autotune(
    how: AutotuneFlags,
    table: Table,
    valid: tuple[Any, Labels] | None,
    options: TrainOptions,
    *,
    validation: float | None,
    n_jobs: int,
) -> SearchResult:
    """Search on the rows of a table, with a line of progress on a terminal."""
    from eitheror.search import tune_hyperparameters

    progress = _Progress()
    try:
        return tune_hyperparameters(
            table.inputs,
            table.labels,
            metric=how.metric,
            budget=None if how.autotune is None else seconds_in(how.autotune, "--autotune"),
            n_trials=how.autotune_trials,
            valid=valid,
            validation=_VALIDATION if validation is None else validation,
            random_state=options.seed,
            n_jobs=n_jobs,
            options=options,
            sample_weight=table.weight,
            progress=progress,
        )
    finally:
        progress.end()


def flags_of(options: TrainOptions) -> list[str]:
    """Return the words of the command line that stand for these options.

    Examples
    --------
    >>> from eitheror.training import TrainOptions
    >>> " ".join(flags_of(TrainOptions(features="tfidf", epochs=5, char_ngrams=(3, 5))))
    '--features tfidf --epoch 5 --minn 3 --maxn 5'
    """
    from eitheror.training import TrainOptions

    defaults = TrainOptions().to_dict()
    words: list[str] = []
    for name, value in options.to_dict().items():
        if defaults.get(name) == value or (name == "validation" and options.patience is None):
            continue
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        if name == "char_ngrams":
            words += [flag, str(value[0]), "--maxn", str(value[1])]
        elif isinstance(value, bool):
            words.append(flag)
        else:
            words += [flag, str(value)]
    return words


def print_search(found: SearchResult) -> None:
    """Print the best trials, the honest score, and how to train with the same options."""
    parts = {part: len(rows) for part, rows in found.rows.items()}
    print(
        f"{count(parts['train'], 'row')} to train on, {parts['selection']:,} to choose by, "
        f"{parts['check']:,} to check"
    )
    print(found)
    print(f"the same options: {' '.join(flags_of(found.chosen.options))}")
    print(f"the same search: --autotune-trials {found.n_trials}")
    if found.best == 0:
        print("without --autotune the defaults also learn from the rows held out here")


class _Progress:
    """One line on a terminal: the trial under way, the best score, the time that is left."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self.best = ""

    def __call__(self, event: dict[str, Any]) -> None:
        if not self.shown:
            return
        if event.get("best") is not None:
            self.best = f", best {event['best']:.3f}"
        total = "" if event["n_trials"] is None else f" of {event['n_trials']}"
        left = event["seconds_left"]
        time = "" if left is None else f"; about {left:.0f} s left"
        doing = f" on {count(event['rows'], 'row')}" if event["event"] == "fit" else ""
        line = f"trial {event['trial'] + 1}{total}{doing}{self.best}{time}"
        print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self.shown:
            print(f"\r{'':<78}\r", end="", file=sys.stderr, flush=True)
