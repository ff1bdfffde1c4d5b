"""The losses by the word of the ``loss`` option: what each trains, what its scores mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from eitheror.losses import _alternatives as alternatives
from eitheror.losses import _multiclass as multiclass
from eitheror.losses import _multilabel as multilabel
from eitheror.losses import _order as order
from eitheror.losses import _robust as robust
from eitheror.losses._arrays import Array


@dataclass(frozen=True)
class Loss:
    """One loss as the trainers, the models and the tests know it.

    Parameters
    ----------
    name : str
        The word of the ``loss`` option.
    task : {"multiclass", "multilabel"}
        The targets it reads.
    value, gradient : callable
        ``(logits, targets, *, label_smoothing=0.0)``; shapes ``(n,)`` and ``(n, n_classes)``.
    hvp : callable
        ``(logits, targets, vectors, *, label_smoothing=0.0)`` of shape ``(n, n_classes)``.
    trainable : bool
        Whether the trainers accept it.
    reason : str
        What it is for; if it is not trainable, why not and what to use instead.
    proba : {"softmax", "sigmoid"}
        The link from logits to what ``predict_proba`` returns.
    proba_meaning : {"probabilities", "shares", "marginals"}
        What these numbers are: of exclusive classes; of a tag among the tags of an item; of a tag
        applying at all.
    convex : {"always", "exact", "never"}
        Whether the loss is convex in the logits: for every statement; where each row names one
        class or gives shares; not even then.
    stock : bool
        Whether an exact label costs the cross-entropy of the frameworks (and shares theirs).
    text : bool
        Whether the trainers of texts have it, too. `LinearClassifier`, ``eitheror train`` on
        numbers and `eitheror.torch.TorchClassifier` have every loss that is trainable.
    """

    name: str
    task: Literal["multiclass", "multilabel"]
    value: Callable[..., Array]
    gradient: Callable[..., Array]
    hvp: Callable[..., Array]
    trainable: bool
    reason: str
    proba: Literal["softmax", "sigmoid"]
    proba_meaning: Literal["probabilities", "shares", "marginals"]
    convex: Literal["always", "exact", "never"] = "always"
    stock: bool = True
    text: bool = True


_UNIFORM = (
    alternatives.uniform_target_cross_entropy,
    alternatives.uniform_target_cross_entropy_gradient,
    alternatives.uniform_target_cross_entropy_hvp,
)
_PICK_NORMALISED = (
    multilabel.pick_all_labels_normalised,
    multilabel.pick_all_labels_normalised_gradient,
    multilabel.pick_all_labels_normalised_hvp,
)

_ALL = (
    Loss(
        "softmax",
        "multiclass",
        multiclass.partial_softmax_cross_entropy,
        multiclass.partial_softmax_cross_entropy_gradient,
        multiclass.partial_softmax_cross_entropy_hvp,
        True,
        "minus the log of the probability of the statement; the default",
        "softmax",
        "probabilities",
        convex="exact",
    ),
    Loss(
        "uniform",
        "multiclass",
        *_UNIFORM,
        True,
        "keeps the candidates of a set equally likely; for items that lie in between",
        "softmax",
        "probabilities",
    ),
    Loss(
        "random-pick",
        "multiclass",
        *_UNIFORM,
        True,
        "one candidate drawn at each visit: 'uniform' in expectation, plus noise",
        "softmax",
        "probabilities",
    ),
    Loss(
        "negated",
        "multiclass",
        alternatives.negated_cross_entropy,
        alternatives.negated_cross_entropy_gradient,
        alternatives.negated_cross_entropy_hvp,
        False,
        "it has no minimum: the gradient of +log p of a ruled-out class never fades, so training "
        "drives the logits apart for ever. Use 'softmax': -log(1 - p) points the same way and "
        "stops",
        "softmax",
        "probabilities",
        convex="exact",
    ),
    Loss(
        "set-mae",
        "multiclass",
        robust.set_mean_absolute_error,
        robust.set_mean_absolute_error_gradient,
        robust.set_mean_absolute_error_hvp,
        True,
        "one minus the probability of the statement: bounded, for statements that can be wrong; "
        "little is learnt from rows that the model rules out, and scores are no probabilities",
        "softmax",
        "probabilities",
        convex="never",
        stock=False,
        text=False,
    ),
    Loss(
        "gce",
        "multiclass",
        robust.generalised_cross_entropy,
        robust.generalised_cross_entropy_gradient,
        robust.generalised_cross_entropy_hvp,
        True,
        "(1 - P^.7) / .7 of the probability P of the statement: bounded, for statements that can "
        "be wrong; between 'softmax' and 'set-mae'",
        "softmax",
        "probabilities",
        convex="never",
        stock=False,
        text=False,
    ),
    Loss(
        "scl-exp",
        "multiclass",
        robust.scl_exp,
        robust.scl_exp_gradient,
        robust.scl_exp_hvp,
        True,
        "the exponential of the probability of what is ruled out; to compare with, its scores are "
        "not calibrated",
        "softmax",
        "probabilities",
        convex="never",
        stock=False,
        text=False,
    ),
    Loss(
        "op",
        "multiclass",
        order.order_preserving,
        order.order_preserving_gradient,
        order.order_preserving_hvp,
        True,
        "cross-entropy of what is ruled out: convex; the scores only order the classes, "
        "`order_preserving_proba` makes them probabilities",
        "softmax",
        "probabilities",
        stock=False,
        text=False,
    ),
    Loss(
        "ova",
        "multilabel",
        multilabel.partial_sigmoid_binary_cross_entropy,
        multilabel.partial_sigmoid_binary_cross_entropy_gradient,
        multilabel.partial_sigmoid_binary_cross_entropy_hvp,
        True,
        "one sigmoid a tag, unknown tags left out; the default",
        "sigmoid",
        "marginals",
        convex="exact",
    ),
    Loss(
        "ova-n",
        "multilabel",
        multilabel.one_vs_all_normalised,
        multilabel.one_vs_all_normalised_gradient,
        multilabel.one_vs_all_normalised_hvp,
        True,
        "one sigmoid a tag for its share among the item's tags; orders for recall at k",
        "sigmoid",
        "shares",
    ),
    Loss(
        "pal",
        "multilabel",
        multilabel.pick_all_labels,
        multilabel.pick_all_labels_gradient,
        multilabel.pick_all_labels_hvp,
        True,
        "softmax cross-entropy of every tag; orders for precision at k",
        "softmax",
        "shares",
    ),
    Loss(
        "pal-n",
        "multilabel",
        *_PICK_NORMALISED,
        True,
        "softmax cross-entropy, the mean over an item's tags; orders for recall at k",
        "softmax",
        "shares",
    ),
    Loss(
        "pol",
        "multilabel",
        *_PICK_NORMALISED,
        True,
        "softmax cross-entropy of one tag drawn at each visit, as fastText does; 'pal-n' in "
        "expectation, which is what the functions here compute",
        "softmax",
        "shares",
    ),
)

LOSSES: dict[str, Loss] = {loss.name: loss for loss in _ALL}
"""Every loss by the word of the ``loss`` option."""
