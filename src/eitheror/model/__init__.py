"""A fitted model: predict, save, load.

In: texts or numbers. Out: logits, probabilities, decisions. The model is data only: a description
that JSON can hold and arrays; `load` runs no code from the folder and checks every array.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eitheror.model.fitted import Model, load
from eitheror.model.parameters import EmbeddingParameters, LinearParameters, SparseWeight
from eitheror.model.storage import check_output

if TYPE_CHECKING:
    from eitheror.model.fasttext import import_fasttext
    from eitheror.model.huffman import CodedHuffmanParameters, HuffmanParameters
    from eitheror.model.quantised import (
        CodedEmbeddingParameters,
        CodedLinearParameters,
        CodedRows,
        CodedWeight,
    )

__all__ = [
    "CodedEmbeddingParameters",
    "CodedHuffmanParameters",
    "CodedLinearParameters",
    "CodedRows",
    "CodedWeight",
    "EmbeddingParameters",
    "HuffmanParameters",
    "LinearParameters",
    "Model",
    "SparseWeight",
    "check_output",
    "import_fasttext",
    "load",
]

# What few models need is fetched when it is first touched.
_HOME = {
    "CodedEmbeddingParameters": "quantised",
    "CodedHuffmanParameters": "huffman",
    "CodedLinearParameters": "quantised",
    "CodedRows": "quantised",
    "CodedWeight": "quantised",
    "HuffmanParameters": "huffman",
    "import_fasttext": "fasttext",
}


def __getattr__(name: str) -> object:
    """Fetch a name from its module on first touch."""
    if name not in _HOME:
        raise AttributeError(f"module 'eitheror.model' has no attribute {name!r}")
    value = getattr(import_module(f"eitheror.model.{_HOME[name]}"), name)
    globals()[name] = value
    return value
