"""Statements that can be wrong: known and estimated channels, and corrupted data for benchmarks.

A channel is a matrix ``T[y, e]``, the probability that ``e`` is written when ``y`` is true.
`apply_transition` turns statements into the evidence that they are under a channel, after which
every trainer, loss and metric of the package treats them rightly. `estimate_transition` finds the
matrix. The `corrupt_...` functions make such statements from true classes.

>>> import eitheror as eo
>>> from eitheror.noise import apply_transition, flip_transition
>>> apply_transition(eo.Labels(["a", "b", None], classes=["a", "b"]), flip_transition(2, 0.2))
Labels([evidence({'a': 1, 'b': 0.25}), evidence({'a': 0.25, 'b': 1}), unknown], \
classes=['a', 'b'], task='multiclass')
"""

from eitheror.noise._channel import apply_transition, trust_from_error_rate
from eitheror.noise._corrupt import (
    complementary_transition,
    corrupt_complementary,
    corrupt_flip,
    corrupt_sets,
    flip_transition,
)
from eitheror.noise._estimate import TransitionEstimate, estimate_transition
from eitheror.noise._unbiased import unbiased_weights

__all__ = [
    "TransitionEstimate",
    "apply_transition",
    "complementary_transition",
    "corrupt_complementary",
    "corrupt_flip",
    "corrupt_sets",
    "estimate_transition",
    "flip_transition",
    "trust_from_error_rate",
    "unbiased_weights",
]
