"""`eitheror demo`: the whole way on two small data sets, with the commands shown as they run.

Out: a folder with the data files and the models, so that every line can be run again by hand.
The digits come with scikit-learn; the support tickets were written for this project.
"""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from importlib.resources import files as package_files
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from eitheror.cli._options import FILES, Json, print_json

if TYPE_CHECKING:
    import numpy as np

    from eitheror.labels import Label

__all__ = ["demo"]

_TICKETS = (
    "tickets.jsonl",
    "tickets_test.jsonl",
    "tags.jsonl",
    "tags_valid.jsonl",
    "tags_test.jsonl",
)
_QUESTIONS = (
    "I was charged twice and want my money back",
    "Setup stops at 80 percent on my new computer",
    "The page freezes as soon as I paste a picture",
    "Could you add a dark mode?",
)
_TWO_THINGS = "I was charged twice, and the app crashes"
_TRAINING_DIGITS = 1400


def demo(
    *,
    output: Annotated[
        str,
        Parameter(name=["--output", "-o"], group=FILES, help="Folder for the files and models."),
    ] = "demo-output",
    seed: Annotated[int, Parameter(help="Which digits keep which statements.")] = 0,
    as_json: Json = False,
) -> int:
    """Train, evaluate and decide on digits and support tickets, and explain each step."""
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{output}: this is a file; name a folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TICKETS:
        source = package_files("eitheror") / "_demo" / name
        (folder / name).write_bytes(source.read_bytes())
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        accuracy = _show(folder, seed)
    if as_json:
        models = sorted(str(path) for path in folder.glob("*.model"))
        print_json({"output": output, "models": models, "digits_accuracy": accuracy})
    return 0


def _show(folder: Path, seed: int) -> dict[str, float]:
    """Run the three parts; return the accuracies of the first."""
    accuracy = _digits(folder, seed)
    _tickets(folder)
    _tags(folder)
    _say(
        f"""
        Everything is in {folder}/: the data as JSONL, the models as folders of text and numbers.
        Next: eitheror --help, and the tour in docs/tour.md.
        """
    )
    return accuracy


def _digits(folder: Path, seed: int) -> dict[str, float]:
    _title("1. Images of digits, where almost nobody said which digit it is")
    _say(
        f"""
        {_TRAINING_DIGITS} images of digits, 64 grey values each. One in ten has its digit;
        three in ten only a list of three that holds it; five in ten only one digit that it is
        not; one in ten nothing. A row looks like {{"features": [...], "not": ["7"]}}.
        """
    )
    exact = _write_digits(folder, seed)
    _run("train", folder / "digits.jsonl", "-o", folder / "digits.model")
    _run("evaluate", folder / "digits.model", folder / "digits_test.jsonl")
    names = {"exact": "digits_exact", "statements": "digits", "truth": "digits_truth"}
    accuracy = {key: _accuracy(folder, name) for key, name in names.items()}
    _say(
        f"""
        The same model, trained in three ways, is right on this share of those images:
          {accuracy["exact"]:.1%}  only on the {exact} images that have their digit
          {accuracy["statements"]:.1%}  on all statements, as above
          {accuracy["truth"]:.1%}  on the digits of all images, had they been known
        """
    )
    return accuracy


def _tickets(folder: Path) -> None:
    _title("2. Support tickets, labelled by people who were not always sure")
    _say("First: do the labels make sense at all?")
    _run("audit", folder / "tickets.jsonl")
    _say("Then train on them as they are, and evaluate on tickets the model has not seen.")
    _run("train", folder / "tickets.jsonl", "-o", folder / "tickets.model")
    _run("evaluate", folder / "tickets.model", folder / "tickets_test.jsonl")
    _say(
        """
        Some test tickets, too, only say "one of these" or "not that". So accuracy is a range:
        low if every doubt goes against the model, high if all go its way.
        """
    )
    (folder / "new.txt").write_text("\n".join(_QUESTIONS) + "\n", encoding="utf-8")
    _say(
        "Four new tickets, and the class that the model gives to each:\n\n"
        + "\n".join(f"  {question}" for question in _QUESTIONS)
    )
    _run("predict", folder / "tickets.model", folder / "new.txt")


def _tags(folder: Path) -> None:
    _title("3. Tickets about several things at once")
    _say(
        """
        Now any number of tags can be true, and often only some of them were noted:
        {"tags": ["billing"], "rest": "unknown"}. The decision rule is tuned on held-out tickets.
        """
    )
    _run("train", folder / "tags.jsonl", "-o", folder / "tags.model")
    _run("tune", folder / "tags.model", folder / "tags_valid.jsonl", "--metric", "jaccard_micro")
    _run("evaluate", folder / "tags.model", folder / "tags_test.jsonl")
    (folder / "new_tags.txt").write_text(_TWO_THINGS + "\n", encoding="utf-8")
    _say(f"A new ticket, and its tags:\n\n  {_TWO_THINGS}")
    _run("predict", folder / "tags.model", folder / "new_tags.txt")


def _write_digits(folder: Path, seed: int) -> int:
    """Write the four files of digits; return the number of training rows with their digit."""
    import numpy as np
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))
    train, test = order[:_TRAINING_DIGITS], order[_TRAINING_DIGITS:]
    said = [_statement(int(digits[row]), rng) for row in train]
    exact = [row for row, label in zip(train, said, strict=True) if label.kind == "exact"]
    names = {row: {"label": str(digits[row])} for row in order}
    statements = {row: label.to_dict() for row, label in zip(train, said, strict=True)}
    for name, rows, keys in (
        ("digits", train, statements),
        ("digits_exact", exact, names),
        ("digits_truth", train, names),
        ("digits_test", test, names),
    ):
        lines = [
            json.dumps({"features": images[row].astype(int).tolist(), **keys[row]}) + "\n"
            for row in rows
        ]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return len(exact)


def _statement(digit: int, rng: np.random.Generator) -> Label:
    """Return what is kept of a digit: 10 % exact, 30 % either of 3, 50 % one not, 10 % nothing."""
    import eitheror as eo

    others = [str(other) for other in range(10) if other != digit]
    draw = rng.random()
    if draw < 0.1:
        return eo.exact(str(digit))
    if draw < 0.4:
        return eo.either(str(digit), *rng.choice(others, 2, replace=False).tolist())
    if draw < 0.9:
        return eo.not_(str(rng.choice(others)))
    return eo.unknown


def _accuracy(folder: Path, name: str) -> float:
    """Return the share of test digits that a model trained on the named file gets right."""
    import eitheror as eo
    from eitheror.training import fit

    model = fit(*eo.read(folder / f"{name}.jsonl"))
    images, labels = eo.read(folder / "digits_test.jsonl", classes=model.classes)
    report = eo.evaluate(labels, model.predict_proba(images), model.classes)
    return float(report["metrics"]["accuracy"]["lower"])


def _title(text: str) -> None:
    print(f"{text}\n{'=' * len(text)}\n", flush=True)


def _say(text: str) -> None:
    print(dedent(text).strip() + "\n", flush=True)


def _run(*words: object) -> None:
    """Show a command, run it as it stands, and leave an empty line."""
    from eitheror.cli._main import main

    tokens = [str(word) for word in words]
    print(f"$ eitheror {shlex.join(tokens)}", flush=True)
    if main(tokens) == 2:
        raise ValueError(f"the demo stopped at: eitheror {shlex.join(tokens)}")
    print(flush=True)
