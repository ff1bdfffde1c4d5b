"""Words that several commands share: the layout of files, output, and how they are spelt.

In: tokens of the command line. Out: frozen dataclasses whose fields are the keywords of the Python
functions, so that a word means the same at the command line and in `eo.read(...)`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from cyclopts import Group, Parameter, validators

from eitheror.cli._main import STDIO

__all__ = [
    "FILES",
    "LAYOUT",
    "FileOptions",
    "Input",
    "Inputs",
    "Json",
    "ModelPath",
    "Task",
    "Threads",
    "check_folder",
    "count",
    "print_json",
    "report_skipped",
    "score",
    "seconds_in",
    "spelt",
]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}

FILES: Final = Group("What to read and write", sort_key=0)
LAYOUT: Final = Group("How the file is laid out", sort_key=4)


def _path(_: object, tokens: Sequence[Any]) -> str:
    return _unmask(tokens[0].value)


def _paths(_: object, tokens: Sequence[Any]) -> list[str]:
    return [_unmask(token.value) for token in tokens]


def _unmask(word: str) -> str:
    return "-" if word == STDIO else word


Input = Annotated[str, Parameter(converter=_path, group=FILES)]
Inputs = Annotated[list[str], Parameter(converter=_paths, negative=(), group=FILES)]
ModelPath = Annotated[str, Parameter(converter=_path, group=FILES)]
Task = Literal["multiclass", "multilabel"]
Json = Annotated[
    bool,
    Parameter(
        name="--json", negative=(), show_default=False, help="Print JSON for a program to read."
    ),
]
Threads = Annotated[
    int | None,
    Parameter(
        name="--thread",
        validator=validators.Number(gte=1),
        help="Number of threads; the result does not depend on it, unless trained with --hogwild.",
    ),
]
_Word = Annotated[str | None, Parameter(show_default=False)]
_Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*", group=LAYOUT)
@dataclass(frozen=True)
class FileOptions:
    """How to read a file; told by its name and its first bytes where nothing is said."""

    format: Annotated[
        _Word,
        Parameter(
            help="jsonl, csv, tsv, parquet, fasttext, text, long (one row per item and tag), "
            "prodigy, label-studio or argilla."
        ),
    ] = None
    text: Annotated[_Word, Parameter(help="Key or column of the text [default: text].")] = None
    label: Annotated[
        _Word, Parameter(help="Key or column of the plain label [default: label].")
    ] = None
    id: Annotated[_Word, Parameter(help="Key or column of the row's id [default: id].")] = None
    weight: Annotated[
        _Word, Parameter(help="Key or column of the row's sample weight [default: weight].")
    ] = None
    columns: Annotated[
        _Word, Parameter(help="CSV: names of the columns in order, with commas between.")
    ] = None
    feature_columns: Annotated[
        _Word,
        Parameter(help="CSV, Parquet: columns that are numeric features, as in a,b or 'x*'."),
    ] = None
    sep: Annotated[_Word, Parameter(help="CSV: the sign between cells, one character or tab.")] = (
        None
    )
    no_header: Annotated[
        bool,
        Parameter(
            name="--no-header", negative=(), show_default=False, help="CSV: the first line is data."
        ),
    ] = False
    label_sep: Annotated[
        _Word, Parameter(help="The label's cell holds several tags with this sign between.")
    ] = None
    classes_file: Annotated[
        _Word, Parameter(help="File with the whole class list, one name a line.")
    ] = None
    ignore: Annotated[
        _Word, Parameter(help="Keys or columns to leave out, with commas between.")
    ] = None
    plain_labels: Annotated[
        _Flag, Parameter(help="CSV: a label's cell is one class name, never a|b or !c.")
    ] = False
    short_form: Annotated[
        _Flag, Parameter(help="fastText: read __label__a|b and __label__!c as statements.")
    ] = False
    prefix: Annotated[
        _Word, Parameter(help="fastText: what a label begins with [default: __label__].")
    ] = None
    underscores: Annotated[
        _Flag, Parameter(help="fastText: underscores in labels stand for spaces.")
    ] = False
    skip_bad: Annotated[
        _Flag, Parameter(help="Leave out rows that cannot be read; count and list them.")
    ] = False

    def keywords(self) -> dict[str, Any]:
        """Return what was said, as keywords of `eo.read`."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in said.items() if value not in (None, False)}


def check_folder(output: str) -> None:
    """Refuse standard output as the place of a model, and what no model can be written to.

    >>> check_folder("-")
    Traceback (most recent call last):
    ...
    ValueError: a model is a folder, which standard output cannot be: -o MODEL
    """
    from eitheror.model import check_output

    if output == "-":
        raise ValueError("a model is a folder, which standard output cannot be: -o MODEL")
    check_output(output)


def print_json(value: object) -> None:
    """Print one line of JSON; what is not a number is null."""
    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars and arrays, tuples and nan into what JSON holds."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 row`, `1,200 rows`, `2 classes`.

    >>> count(1200, "row"), count(1, "row"), count(2, "class", "classes")
    ('1,200 rows', '1 row', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def score(entry: dict[str, Any]) -> str:
    """Return `0.810`, or `0.780 to 0.860` where the truth is partly open, with its interval.

    >>> score({"lower": 0.5, "upper": 0.75, "interval": [0.4, 0.85]})
    '0.500 to 0.750 (95 %: 0.400 to 0.850)'
    """
    lower, upper, interval = entry["lower"], entry["upper"], entry["interval"]
    if lower is None:
        return ""
    text = f"{lower:.3f}" if upper - lower < 5e-4 else f"{lower:.3f} to {upper:.3f}"
    return text + (f" (95 %: {interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def seconds_in(time: str, option: str) -> float:
    """Return the seconds in `60s`, `5m` or `1h`; a bare number is seconds.

    >>> seconds_in("5m", "--budget"), seconds_in("90", "--budget")
    (300.0, 90.0)
    """
    unit = _UNITS.get(time[-1:], None)
    try:
        value = float(time[:-1] if unit else time) * (unit or 1.0)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{option} {time}: expected a time such as 60s, 5m or 1h")
    return value


def spelt(options: Mapping[str, Any]) -> str:
    """Return options in one line.

    >>> spelt({"loss": "ova", "char_ngrams": [3, 5], "lr": 0.5})
    'loss=ova char_ngrams=3,5 lr=0.5'
    """
    return " ".join(f"{name}={_word(value)}" for name, value in options.items())


def _word(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def report_skipped(skipped: Sequence[Any]) -> None:
    """List on standard error the rows that --skip-bad left out."""
    for problem in skipped[:20]:
        print(f"skipped {problem}", file=sys.stderr)
    if len(skipped) > 20:
        print(f"skipped {len(skipped) - 20:,} more", file=sys.stderr)
    if skipped:
        print(f"{count(len(skipped), 'row')} skipped", file=sys.stderr)
