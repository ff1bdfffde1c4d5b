"""`eitheror shrink`: a model of texts in few bytes."""

from __future__ import annotations

import os
from typing import Annotated, Any

from cyclopts import Parameter

from eitheror.cli._model import read_for_model
from eitheror.cli._options import (
    FILES,
    FileOptions,
    Input,
    Json,
    ModelPath,
    Threads,
    check_folder,
    print_json,
    report_skipped,
    spelt,
)

__all__ = ["kept_line", "score_lines", "shrink"]


def shrink(
    model: ModelPath,
    /,
    *,
    output: Annotated[
        ModelPath, Parameter(name=["--output", "-o"], help="Folder to write the model to.")
    ],
    size: Annotated[
        str, Parameter(help="Bytes of the folder at most; K, M and G are thousands.")
    ] = "2M",
    valid: Annotated[
        Input | None,
        Parameter(
            group=FILES,
            show_default=False,
            help="Held-out rows: scores before and after. They decide nothing.",
        ),
    ] = None,
    seed: Annotated[int, Parameter(help="Same model, size and seed: same bytes.")] = 0,
    layout: FileOptions = FileOptions(),  # noqa: B008  # frozen
    thread: Threads = None,
    as_json: Json = False,
) -> int:
    """Write a small form of a model of texts, which predicts like any other.

    Parameters
    ----------
    model
        Folder that `eitheror train` or `eitheror import` wrote; it stays as it is.
    """
    import eitheror as eo

    check_folder(output)
    if os.path.realpath(output) == os.path.realpath(model):
        raise ValueError(
            f"-o {output} is the model itself, and a small one cannot be trained further: name "
            "another folder"
        )
    fitted = eo.load(model)
    held_out = None
    if valid is not None:
        table = read_for_model(fitted, valid, layout)
        report_skipped(table.skipped)
        held_out = (table.inputs, table.labels)
    small = eo.shrink(fitted, size, valid=held_out, seed=seed, n_jobs=thread or -1)
    small.save(output)
    kept, scores = small.options["shrunk"].copy(), small.options["shrunk"].get("valid")
    kept.pop("valid", None)
    report = {
        "model": output,
        "bytes": _bytes(output),
        "bytes_before": _bytes(model),
        "kept": kept,
        "valid": scores,
    }
    if as_json:
        print_json(report)
        return 0
    print(f"{report['bytes_before']:,} bytes -> {report['bytes']:,}; written to {output}")
    print(kept_line(kept))
    print(*score_lines(scores), sep="\n")
    return 0


def _bytes(folder: str) -> int:
    from pathlib import Path

    return sum(file.stat().st_size for file in Path(folder).iterdir())


def kept_line(kept: dict[str, int]) -> str:
    """Return what was kept, in one line.

    >>> kept_line({"features": 20, "of_features": 1000, "part_width": 4})
    'kept: 20 of 1,000 features; part_width=4'
    """
    pairs = [
        f"{kept[name]:,} of {kept[f'of_{name}']:,} {name}"
        for name in ("features", "weights")
        if name in kept
    ]
    named = {"features", "of_features", "weights", "of_weights"}
    rest = {name: value for name, value in kept.items() if name not in named}
    return f"kept: {', '.join(pairs)}{'; ' if rest else ''}{spelt(rest)}"


def score_lines(valid: dict[str, Any] | None) -> list[str]:
    """Return the lines that say what was lost.

    >>> score_lines({"rows": 9, "before": {"accuracy": 0.5}, "after": {"accuracy": 0.25}})
    ['on 9 held-out rows:', '  accuracy          0.5000 ->  0.2500  (-0.2500)']
    """
    if valid is None:
        return ["accuracy: not measured; --valid FILE says what it is before and after"]
    before, after = valid["before"], valid["after"]
    lines = []
    for name, old in before.items():
        new = after[name]
        shown = [f"{score:.4f}" if score is not None else "inf" for score in (old, new)]
        change = f"({new - old:+.4f})" if None not in (old, new) else ""
        lines.append(f"  {name:<16}{shown[0]:>8} ->{shown[1]:>8}  {change}".rstrip())
    return [f"on {valid['rows']:,} held-out rows:", *lines]
