"""eitheror: train classifiers when a label is a statement about the truth.

"Not this", "one of these", "probably", "three said A and one said B": every statement about a
label has one loss, minus the log of the probability that the model gives to the statement.

>>> import eitheror as eo
>>> labels = eo.Labels(["bug", eo.either("bug", "install"), eo.not_("billing"), None])
>>> labels.classes
['billing', 'bug', 'install']

Importing this package loads nothing, not even NumPy: each public name is fetched from its
module when it is first touched (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eitheror import (
        annotators,
        audit,
        decide,
        files,
        hf,
        jax,
        keras,
        labels,
        losses,
        metrics,
        noise,
        report,
        sklearn,
        torch,
    )
    from eitheror.comparison import compare
    from eitheror.files import read, write
    from eitheror.labels import (
        Label,
        Labels,
        either,
        evidence,
        exact,
        not_,
        soft,
        tags,
        unknown,
        votes,
    )
    from eitheror.metrics import evaluate
    from eitheror.model import import_fasttext, load
    from eitheror.onnx import export_onnx
    from eitheror.search import tune_hyperparameters
    from eitheror.sklearn import LinearClassifier, PartialLabelClassifier, TextClassifier
    from eitheror.small import shrink
    from eitheror.training import fit_files

__version__ = "0.1.0"

__all__ = [
    "Label",
    "Labels",
    "LinearClassifier",
    "PartialLabelClassifier",
    "TextClassifier",
    "annotators",
    "audit",
    "compare",
    "decide",
    "either",
    "evaluate",
    "evidence",
    "exact",
    "export_onnx",
    "files",
    "fit_files",
    "hf",
    "import_fasttext",
    "jax",
    "keras",
    "labels",
    "load",
    "losses",
    "metrics",
    "noise",
    "not_",
    "read",
    "report",
    "shrink",
    "sklearn",
    "soft",
    "tags",
    "torch",
    "tune_hyperparameters",
    "unknown",
    "votes",
    "write",
]

_MODULES = (
    *("annotators", "audit", "decide", "files", "labels", "losses", "metrics", "noise"),
    *("report", "sklearn"),
    *("hf", "jax", "keras", "torch"),  # each needs its framework
)
_HOME = {
    "LinearClassifier": "sklearn",
    "PartialLabelClassifier": "sklearn",
    "TextClassifier": "sklearn",
    "compare": "comparison",
    "evaluate": "metrics",
    "export_onnx": "onnx",
    "fit_files": "training",
    "import_fasttext": "model",
    "load": "model",
    "read": "files",
    "shrink": "small",
    "tune_hyperparameters": "search",
    "write": "files",
}


def __getattr__(name: str) -> object:
    """Fetch a public name from its module on first touch."""
    if name not in __all__:
        raise AttributeError(f"module 'eitheror' has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f"eitheror.{name}")
    value = getattr(import_module(f"eitheror.{_HOME.get(name, 'labels')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
