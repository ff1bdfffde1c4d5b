"""Losses of statements: minus the log of the probability that the model gives to what is known.

``(logits, targets)`` in, one number a row out; for each loss also its gradient (``..._gradient``)
and its Hessian times a vector (``..._hvp``) with respect to the logits. Targets are those of
``Labels.to_targets()``. Logits, never probabilities: nothing is clipped, nothing gets an epsilon.

One code serves NumPy and every array-API library (torch, JAX, ...): the library of the logits does
the computing. The functions are the reference for the compiled trainers and for the adapters.
`LOSSES` lists them by the word of the ``loss`` option.

>>> import eitheror as eo
>>> import numpy as np
>>> labels = eo.Labels(["a", eo.either("a", "b"), eo.not_("c"), None], classes=["a", "b", "c"])
>>> eo.losses.partial_softmax_cross_entropy(np.zeros((4, 3)), labels.to_targets()).round(4)
array([1.0986, 0.4055, 0.4055, 0.    ])
"""

from eitheror.losses._alternatives import (
    draw_one_candidate,
    draw_one_label,
    negated_cross_entropy,
    negated_cross_entropy_gradient,
    negated_cross_entropy_hvp,
    uniform_target_cross_entropy,
    uniform_target_cross_entropy_gradient,
    uniform_target_cross_entropy_hvp,
)
from eitheror.losses._constraints import (
    at_least_one,
    at_least_one_gradient,
    at_least_one_hvp,
    at_most_one,
    at_most_one_gradient,
    at_most_one_hvp,
    exactly_one,
    exactly_one_gradient,
    exactly_one_hvp,
)
from eitheror.losses._multiclass import (
    partial_softmax_cross_entropy,
    partial_softmax_cross_entropy_gradient,
    partial_softmax_cross_entropy_hvp,
)
from eitheror.losses._multilabel import (
    one_vs_all_normalised,
    one_vs_all_normalised_gradient,
    one_vs_all_normalised_hvp,
    partial_sigmoid_binary_cross_entropy,
    partial_sigmoid_binary_cross_entropy_gradient,
    partial_sigmoid_binary_cross_entropy_hvp,
    pick_all_labels,
    pick_all_labels_gradient,
    pick_all_labels_hvp,
    pick_all_labels_normalised,
    pick_all_labels_normalised_gradient,
    pick_all_labels_normalised_hvp,
)
from eitheror.losses._order import (
    order_preserving,
    order_preserving_gradient,
    order_preserving_hvp,
    order_preserving_proba,
)
from eitheror.losses._registry import LOSSES, Loss
from eitheror.losses._robust import (
    generalised_cross_entropy,
    generalised_cross_entropy_gradient,
    generalised_cross_entropy_hvp,
    scl_exp,
    scl_exp_gradient,
    scl_exp_hvp,
    set_mean_absolute_error,
    set_mean_absolute_error_gradient,
    set_mean_absolute_error_hvp,
)

__all__ = [
    "LOSSES",
    "Loss",
    "at_least_one",
    "at_least_one_gradient",
    "at_least_one_hvp",
    "at_most_one",
    "at_most_one_gradient",
    "at_most_one_hvp",
    "draw_one_candidate",
    "draw_one_label",
    "exactly_one",
    "exactly_one_gradient",
    "exactly_one_hvp",
    "generalised_cross_entropy",
    "generalised_cross_entropy_gradient",
    "generalised_cross_entropy_hvp",
    "negated_cross_entropy",
    "negated_cross_entropy_gradient",
    "negated_cross_entropy_hvp",
    "one_vs_all_normalised",
    "one_vs_all_normalised_gradient",
    "one_vs_all_normalised_hvp",
    "order_preserving",
    "order_preserving_gradient",
    "order_preserving_hvp",
    "order_preserving_proba",
    "partial_sigmoid_binary_cross_entropy",
    "partial_sigmoid_binary_cross_entropy_gradient",
    "partial_sigmoid_binary_cross_entropy_hvp",
    "partial_softmax_cross_entropy",
    "partial_softmax_cross_entropy_gradient",
    "partial_softmax_cross_entropy_hvp",
    "pick_all_labels",
    "pick_all_labels_gradient",
    "pick_all_labels_hvp",
    "pick_all_labels_normalised",
    "pick_all_labels_normalised_gradient",
    "pick_all_labels_normalised_hvp",
    "scl_exp",
    "scl_exp_gradient",
    "scl_exp_hvp",
    "set_mean_absolute_error",
    "set_mean_absolute_error_gradient",
    "set_mean_absolute_error_hvp",
    "uniform_target_cross_entropy",
    "uniform_target_cross_entropy_gradient",
    "uniform_target_cross_entropy_hvp",
]
