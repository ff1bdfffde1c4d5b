"""Models that fastText trained, as models of this package.

In: a `.bin` or `.ftz` file. Out: a `Model` that predicts what fastText does and is saved, tuned and
evaluated like any other. Nothing from the file is run.
"""

from __future__ import annotations

import os

import numpy as np

from eitheror.model._fasttext_file import FastTextFile, read_fasttext_file
from eitheror.model.fitted import Model
from eitheror.model.huffman import HuffmanParameters, huffman_tree
from eitheror.model.parameters import EmbeddingParameters
from eitheror.model.quantised import CodedEmbeddingParameters, CodedRows
from eitheror.text import FastTextFeaturizer, FastTextOptions

__all__ = ["import_fasttext"]

_LOSS = {
    ("softmax", "multiclass"): "softmax",
    ("softmax", "multilabel"): "pol",
    ("hs", "multiclass"): "softmax",
    ("hs", "multilabel"): "pol",
    ("ova", "multilabel"): "ova",
    ("ns", "multilabel"): "ova",
}


def import_fasttext(
    path: str | os.PathLike[str], *, task: str | None = None, prefix: str = "__label__"
) -> Model:
    """Read a classifier that fastText saved, compressed or not.

    The model reads texts as fastText does: the same words, n-grams and hashes, nothing lower-cased.
    `predict_proba` is fastText's probability without the 1e-5 that it adds to each; with the loss
    `hs` it is the product along the tree without the 1e-5 that it adds at each turn; with `ova` and
    `ns` it is the sigmoid itself, where fastText looks it up in a table of 512 steps (up to 0.0078
    lower, and exactly 0 or 1 beyond 8). A text without any known word or n-gram, for which fastText
    answers nothing, gets the probabilities of the zero vector.

    Parameters
    ----------
    path : str or path
        A supervised `.bin` or `.ftz` of format version 11 or 12 (fastText 0.1 to 0.9).
    task : {"multiclass", "multilabel"}, optional
        Whether one label is true, or any number. None: "multilabel" for the losses `ova` and `ns`,
        whose probabilities do not add to 1, else "multiclass".
    prefix : str
        What labels begin with; it is taken off.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read.
    ValueError
        If it is no supervised model of fastText, is damaged, or the task or prefix does not fit.

    Notes
    -----
    The tables of a `.ftz` stay compressed, in memory and in the folder; with the loss `hs` they
    become 32-bit numbers.

    Examples
    --------
    >>> import_fasttext(__file__)  # not a model, but a Python file
    Traceback (most recent call last):
    ...
    ValueError: ...fasttext.py: begins with b'...'; a fastText model (.bin, .ftz) begins with ...
    """
    found = read_fasttext_file(path)
    try:
        return _model(found, task, prefix)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _model(found: FastTextFile, task: str | None, prefix: str) -> Model:
    if task is None:
        task = "multilabel" if found.loss in ("ova", "ns") else "multiclass"
    loss = _LOSS.get((found.loss, task))
    if loss is None:
        raise ValueError(
            f"task={task!r} came for a model of loss {found.loss}; expected "
            + " or ".join(repr(fits) for name, fits in _LOSS if name == found.loss)
        )
    args = found.args
    options = FastTextOptions(
        max(args["word_ngrams"], 1),
        (max(args["minn"], 0), max(args["maxn"], 0)),
        max(args["bucket"], 0),
        found.kept is not None,
    )
    kept = sorted(found.kept, key=found.kept.__getitem__) if found.kept else ()
    return Model(
        task,
        _classes(found.labels, prefix),
        _recorded(found, loss),
        loss,
        FastTextFeaturizer.of(found.words, found.labels, options, kept),
        _parameters(found),
    )


def _parameters(
    found: FastTextFile,
) -> EmbeddingParameters | CodedEmbeddingParameters | HuffmanParameters:
    bias = np.zeros(len(found.labels), dtype=np.float32)
    if isinstance(found.embedding, CodedRows):
        return CodedEmbeddingParameters(found.embedding, found.weight, bias)
    assert not isinstance(found.weight, CodedRows)  # the output is only compressed with the input
    if found.loss != "hs":
        return EmbeddingParameters(found.embedding, found.weight, bias)
    # the last row of fastText's matrix belongs to no node
    weight = np.ascontiguousarray(found.weight[:-1])
    return HuffmanParameters(found.embedding, weight, huffman_tree(found.label_counts))


def _classes(labels: list[bytes], prefix: str) -> list[str]:
    names = [label.decode("utf-8", "backslashreplace") for label in labels]
    other = next((name for name in names if not name.startswith(prefix)), None)
    if other is not None:
        raise ValueError(
            f"the label {other!r} does not begin with {prefix!r}; say what labels begin with "
            '(prefix=, --prefix); "" leaves them as they are'
        )
    return [name.removeprefix(prefix) for name in names]


def _recorded(found: FastTextFile, loss: str) -> dict[str, object]:
    args = found.args
    return {
        "source": f"fastText, format {found.version}",
        "features": "embedding",
        "loss": loss,
        "fasttext_loss": found.loss,
        "quantised": found.quantised,
        "epochs": args["epoch"],
        "dim": args["dim"],
        "word_ngrams": args["word_ngrams"],
        "char_ngrams": [args["minn"], args["maxn"]],
        "bucket": args["bucket"],
        "min_count": args["min_count"],
    }
