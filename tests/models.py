"""Small models that the tests of models share."""

from pathlib import Path

import numpy as np

from eitheror.model import EmbeddingParameters, HuffmanParameters, LinearParameters, Model
from eitheror.model.huffman import huffman_tree
from eitheror.text import Featurizer, TextOptions

CLASSES = ("bug", "billing", "help")
TEXTS = ["the app crashed", "I was charged twice", "how do I install it?", ""] * 5


def text_model(family="embedding", loss="softmax", classes=("bug", "billing", "help")):
    """Return a model of texts with random parameters, `family` embedding, linear or sparse."""
    options = TextOptions("mean" if family == "embedding" else "tfidf", 2, (3, 4))
    featurizer, rows = Featurizer.fit(TEXTS, options)
    rng = np.random.default_rng(0)
    bias = rng.normal(size=len(classes)).astype(np.float32)
    if family == "embedding":
        parameters = EmbeddingParameters(
            rng.normal(size=(rows.n_features, 5)).astype(np.float32),
            rng.normal(size=(len(classes), 5)).astype(np.float32),
            bias,
        )
    else:
        weight = rng.normal(size=(rows.n_features, len(classes))).astype(np.float32)
        if family == "sparse":
            weight[rng.random(weight.shape) < 0.95] = 0
        parameters = LinearParameters(weight, bias)
    task = "multiclass" if loss == "softmax" else "multilabel"
    return Model(task, list(classes), {"lr": 0.1, "dim": 5}, loss, featurizer, parameters)


def number_model():
    """Return a linear model of two numbers."""
    return Model(
        "multiclass",
        [3, 7],
        {},
        "softmax",
        None,
        LinearParameters(
            np.float32([[1, -1], [0, 2]]),
            np.float32([0.5, 0]),
            mean=np.array([1e6, 0.0]),
            scale=np.array([1.0, 2.0]),
        ),
        feature_names=["height", "width"],
    )


def tree_model():
    """Return a model of texts with random embeddings and a tree over seven classes."""
    featurizer, rows = Featurizer.fit(TEXTS, TextOptions("mean", 2, (3, 4)))
    rng = np.random.default_rng(1)
    parameters = HuffmanParameters(
        rng.normal(size=(rows.n_features, 5)).astype(np.float32),
        rng.normal(size=(6, 5)).astype(np.float32),
        huffman_tree([40, 9, 9, 4, 2, 1, 1]),
        rng.normal(size=6).astype(np.float32),
    )
    return Model("multiclass", list("abcdefg"), {"dim": 5}, "softmax", featurizer, parameters)


MODELS = {
    "embedding": text_model,
    "linear": lambda: text_model("linear", "ova"),
    "sparse": lambda: text_model("sparse", "pal-n"),
    "numbers": number_model,
}


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
