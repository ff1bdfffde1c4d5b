"""`eitheror export`: the numeric part of a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eitheror.cli._options import FILES, Json, ModelPath, print_json

__all__ = ["export"]


def export(
    model: ModelPath,
    /,
    *,
    output: Annotated[
        ModelPath, Parameter(name=["--output", "-o"], group=FILES, help="ONNX file to write.")
    ],
    as_json: Json = False,
) -> int:
    """Write an ONNX file that turns features into logits and probabilities.

    Needs the extra `onnx`. How texts become features is not part of the file.

    Parameters
    ----------
    model
        Folder that `eitheror train`, `import` or `shrink` wrote.
    """
    import eitheror as eo

    if output == "-":
        raise ValueError("an ONNX file is not written to standard output: -o model.onnx")
    fitted = eo.load(model)
    eo.export_onnx(fitted, output)
    inputs = ["X"] if fitted.featurizer is None else ["indptr", "indices", "values"]
    report = {
        "file": output,
        "bytes": Path(output).stat().st_size,
        "inputs": inputs,
        "outputs": ["logits", "proba"],
        "classes": len(fitted.classes),
    }
    if as_json:
        print_json(report)
        return 0
    print(
        f"{report['bytes']:,} bytes, {', '.join(inputs)} -> logits, proba of "
        f"{report['classes']} classes; written to {output}"
    )
    return 0
