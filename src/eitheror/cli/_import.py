"""`eitheror import`: a model that fastText trained, as a model folder."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from eitheror.cli._options import (
    FILES,
    Input,
    Json,
    ModelPath,
    Task,
    check_folder,
    count,
    print_json,
)

__all__ = ["import_"]


def import_(
    file: Input,
    /,
    *,
    output: Annotated[
        ModelPath, Parameter(name=["--output", "-o"], help="Folder to write the model to.")
    ],
    task: Annotated[
        Task | None,
        Parameter(help="One class true, or any number [default: multilabel for ova and ns]."),
    ] = None,
    prefix: Annotated[
        str, Parameter(group=FILES, help="What labels begin with; it is taken off.")
    ] = "__label__",
    as_json: Json = False,
) -> int:
    """Write a model that fastText trained to a folder that all commands read.

    Parameters
    ----------
    file
        Supervised .bin or .ftz file of fastText.
    """
    import eitheror as eo

    check_folder(output)
    model = eo.import_fasttext(file, task=task, prefix=prefix)
    model.save(output)
    report = {
        "model": output,
        "task": model.task,
        "classes": len(model.classes),
        "features": model.parameters.n_features,
        "loss": model.loss,
        "fasttext_loss": model.options["fasttext_loss"],
    }
    if as_json:
        print_json(report)
        return 0
    truth = "one is true" if model.task == "multiclass" else "any number is true"
    print(
        f"{count(len(model.classes), 'class', 'classes')}, {truth}; {report['features']:,} words "
        f"and n-grams, loss {report['fasttext_loss']}; written to {output}"
    )
    return 0
