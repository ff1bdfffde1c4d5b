"""Simulated crowds for the tests of annotator models."""

import numpy as np

from eitheror.labels import either, not_

__all__ = ["accuracy_of", "crowd", "said"]


def crowd(rng, n_items=200, n_classes=3, accuracy=(0.9, 0.8, 0.7, 0.6, 0.75), share=0.8):
    """Return truth, items, annotators and perceived classes of a simulated crowd."""
    truth = rng.integers(n_classes, size=n_items)
    items, annotators, seen = [], [], []
    for i, y in enumerate(truth):
        for a, right in enumerate(accuracy):
            if rng.random() < share:
                wrong = (y + rng.integers(1, n_classes)) % n_classes
                items.append(i)
                annotators.append(a)
                seen.append(int(y if rng.random() < right else wrong))
    return truth, items, annotators, seen


def accuracy_of(model, truth):
    """Return the share of items whose most probable class is the true one."""
    return float((model.predict() == truth[np.array(model.items_)]).mean())


def said(rng, seen, n_classes, form):
    """Return statements about perceived classes: exact, a set of two, or one rejected class."""
    others = [(v + int(rng.integers(1, n_classes))) % n_classes for v in seen]
    if form == "exact":
        return list(seen)
    if form == "either":
        return [either(v, other) for v, other in zip(seen, others, strict=True)]
    return [not_(other) for other in others]
