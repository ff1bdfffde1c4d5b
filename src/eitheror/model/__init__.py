"""A fitted model: predict, save, load.

In: texts or numbers. Out: logits, probabilities, decisions. The model is data only: a description
that JSON can hold and arrays; `load` runs no code from the folder and checks every array.
"""

from eitheror.model.fasttext import import_fasttext
from eitheror.model.fitted import Model, load
from eitheror.model.huffman import CodedHuffmanParameters, HuffmanParameters
from eitheror.model.parameters import EmbeddingParameters, LinearParameters, SparseWeight
from eitheror.model.quantised import (
    CodedEmbeddingParameters,
    CodedLinearParameters,
    CodedRows,
    CodedWeight,
)
from eitheror.model.storage import check_output

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
