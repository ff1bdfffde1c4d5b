"""`shrink`: a model that takes no more than so many bytes on disk.

Forms of the model are written to a folder and measured until the largest that fits is found, so
the promise is about the files and not about an estimate.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from eitheror.labels import Labels
from eitheror.metrics import evaluate
from eitheror.model import EmbeddingParameters, HuffmanParameters, LinearParameters, Model
from eitheror.small.embedding import EmbeddingShrinker
from eitheror.small.linear import LinearShrinker

__all__ = ["shrink"]

_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
_FULL = 0.99  # of the budget: no larger form is looked for
_TRIES = 24
_SCORES = ("accuracy", "precision_at_1", "f1_micro", "log_loss")
_RECORD = 1024  # bytes kept free for the scores before and after

Valid = tuple[Any, Labels]


def shrink(
    model: Model,
    size: int | str = "2M",
    *,
    valid: Valid | None = None,
    seed: int = 0,
    n_jobs: int = 1,
) -> Model:
    """Make a trained model of texts small.

    A linear model keeps the weights that move its logits most, each as one byte and its class; a
    model of embeddings keeps the words that matter most, the frequent ones in 16 bits and the
    others by product quantisation; one with a tree over its classes does the same and keeps the
    tree. Features that are not kept are unknown to the new model. How the bytes are spent is
    decided from the model alone. The new model predicts from the codes, and is saved, loaded, tuned
    and evaluated like any other; it cannot be trained further.

    Parameters
    ----------
    model : Model
        With texts as input. It is not changed.
    size : int or str
        Bytes of the model's folder at most: a number, or one with K, M or G (thousands).
    valid : tuple of (texts, labels), optional
        Held-out rows: what the model scores on them before and after is put into
        ``options["shrunk"]["valid"]``. They decide nothing.
    seed : int
        Same model, size and seed: same bytes.
    n_jobs : int
        Threads that predict for the scores; -1 is all cores. The model does not depend on it.

    Returns
    -------
    Model
        Its ``options["shrunk"]`` says what was kept. A model that fits already comes back with
        nothing lost.

    Raises
    ------
    ValueError
        If no form of the model fits, with the size of the smallest; or if the model reads numbers
        or has been shrunk before.

    Examples
    --------
    >>> import eitheror as eo
    >>> labels = eo.Labels(["fruit", "air", "fruit", "air"])
    >>> texts = ["red apple", "blue sky", "green apple", "grey sky"]
    >>> model = eo.TextClassifier(epochs=20).fit(texts, labels).model_
    >>> small = shrink(model, "8K")
    >>> small.predict(["an apple"])
    [['fruit']]
    """
    budget = _bytes(size)
    if not isinstance(model.parameters, LinearParameters | EmbeddingParameters | HuffmanParameters):
        raise ValueError("the model has been shrunk before; shrink the one that it was made from")
    if model.featurizer is None:
        raise ValueError(
            "a model of numbers came; only models of texts are shrunk: with one weight a feature "
            "and class it is as small as its table of numbers"
        )
    spare = _RECORD if valid is not None else 0
    n_features = model.parameters.n_features
    small = _marked(model, {"features": n_features, "of_features": n_features})
    least = sum(array.nbytes for array in model.parameters.tensors().values())
    if least > budget or _folder_bytes(small) > budget - spare:
        if isinstance(model.parameters, LinearParameters):
            small = _linear(LinearShrinker(model, budget), budget - spare, budget)
        else:
            small = _embedding(EmbeddingShrinker(model, seed), budget - spare, budget)
    if valid is None:
        return small
    scores = {"before": _scores(model, valid, n_jobs), "after": _scores(small, valid, n_jobs)}
    record = {"rows": len(valid[1]), **scores}
    return _marked(small, {**small.options["shrunk"], "valid": record})


def _linear(shrinker: LinearShrinker, room: int, budget: int) -> Model:
    """Return the model with as many weights as fit."""
    low, high = 0, shrinker.most
    smallest = shrinker.with_entries(low)
    low_size, high_size = _folder_bytes(smallest), _folder_bytes(shrinker.with_entries(high))
    if low_size > room:
        raise ValueError(_too_small(budget, low_size + budget - room))
    best = smallest
    if high_size <= room:
        return shrinker.with_entries(high)
    for _ in range(_TRIES):
        # sizes are nearly straight between the two ends
        share = (room * (1 + _FULL) / 2 - low_size) / (high_size - low_size)
        n = min(max(low + int(share * (high - low)), low + 1), high - 1)
        if low_size >= _FULL * room or n <= low:
            break
        tried = shrinker.with_entries(n)
        found = _folder_bytes(tried)
        if found <= room:
            low, low_size, best = n, found, tried
        else:
            high, high_size = n, found
    return best


def _embedding(shrinker: EmbeddingShrinker, room: int, budget: int) -> Model:
    """Return the model by the plan; where the estimate was too low, with fewer rows."""
    assumed = room
    for _ in range(_TRIES):
        plan = shrinker.plan(assumed)
        built = shrinker.built(plan)
        size = _folder_bytes(built)
        if size <= room:
            return built
        if plan.n_rows <= 1:
            break
        assumed -= size - room + 64
    smallest = shrinker.built(shrinker.smallest())
    size = _folder_bytes(smallest)
    if size <= room:
        return smallest
    raise ValueError(_too_small(budget, size + budget - room))


def _marked(model: Model, shrunk: dict[str, Any]) -> Model:
    return replace(model, options={**model.options, "shrunk": shrunk})


def _folder_bytes(model: Model) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        model.save(path)
        return sum(file.stat().st_size for file in path.iterdir())


def _scores(model: Model, valid: Valid, n_jobs: int) -> dict[str, Any]:
    """Lower bounds of a few scores; None for a log loss without end."""
    inputs, labels = valid
    proba = model.predict_proba(inputs, n_jobs=n_jobs)
    metrics = evaluate(labels, proba, model.classes, model.rule(), meaning=model.proba_meaning)
    lower = {name: entry["lower"] for name, entry in metrics["metrics"].items()}
    known = {name: float(lower[name]) for name in _SCORES if lower.get(name) is not None}
    return {name: round(v, 4) if math.isfinite(v) else None for name, v in known.items()}


def _bytes(size: int | str) -> int:
    text = str(size).strip().upper().removesuffix("B")
    unit = _UNITS.get(text[-1:], 1)
    try:
        number = float(text if unit == 1 else text[:-1]) * unit
    except ValueError:
        number = -1.0
    if isinstance(size, bool) or not 1 <= number < 2**53:
        raise ValueError(f"size={size!r}: expected bytes, such as 500000, '500K' or '2M'")
    return int(number)


def _too_small(budget: int, smallest: int) -> str:
    return (
        f"no form of this model fits into {budget:,} bytes: the smallest takes {smallest:,} (its "
        "classes and settings)"
    )
