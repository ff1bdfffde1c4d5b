"""The losses of statements for Hugging Face: ``Trainer(compute_loss_func=loss("multiclass"))``.

`label_matrix` writes statements as the ``labels`` column of a dataset, `loss` reads it in
``Trainer``, `config_for` names the classes in the model's configuration. What is unknown is written
as -100, the value that ``Trainer`` does not count: its ``num_items_in_batch``, taken over all
batches of one update, is then the number of known cells, and the loss is the mean over what is
known however the update is split (``gradient_accumulation_steps``, several devices).

Only PyTorch is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels
from eitheror.losses._arrays import check_smoothing

try:
    import torch
except ModuleNotFoundError as error:
    raise ImportError(
        "eitheror.hf needs PyTorch, which is not installed: pip install 'eitheror[hf]'"
    ) from error

from eitheror.torch import partial_binary_cross_entropy_with_logits, partial_cross_entropy

__all__ = ["TrainerLoss", "config_for", "label_matrix", "loss"]

Tensor: TypeAlias = Any
IGNORED = -100.0  # what Trainer leaves out of num_items_in_batch
TASKS = ("multiclass", "multilabel")


@dataclass(frozen=True)
class TrainerLoss:
    """A loss to give to ``Trainer`` as ``compute_loss_func``; `loss` makes it.

    Attributes
    ----------
    task : {"multiclass", "multilabel"}
    label_smoothing : float

    Examples
    --------
    >>> import torch
    >>> from eitheror.hf import TrainerLoss
    >>> compute_loss = TrainerLoss("multiclass")
    >>> compute_loss({"logits": torch.zeros(1, 4)}, torch.tensor([[1.0, 0, 0, 1]]))
    tensor(0.6931)
    """

    task: str
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it is one of {', '.join(map(repr, TASKS))}")
        check_smoothing(self.label_smoothing)

    def __call__(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Return the mean loss over what is known, in all batches of the update.

        Parameters
        ----------
        outputs : what the model returned
            With ``logits`` of shape (..., n_classes).
        labels : tensor of shape (..., n_classes), or (...)
            The matrix of `label_matrix`; or class numbers, -100 where unknown.
        num_items_in_batch : tensor or int, optional
            The number of cells of ``labels`` that are not -100, in all batches of the update.
            Without it, the mean is over this batch.
        """
        logits = _logits(outputs)
        batch = _read(self.task, logits, labels)
        if num_items_in_batch is None:
            cells = batch.known.sum()
        else:
            _refuse_uncounted(batch)
            cells = torch.as_tensor(num_items_in_batch, device=logits.device)
        function = (
            partial_cross_entropy
            if self.task == "multiclass"
            else partial_binary_cross_entropy_with_logits
        )
        total = function(
            logits, batch.targets, reduction="sum", label_smoothing=self.label_smoothing
        )
        return total / (cells / batch.cells_per_term).clamp(min=1)


def loss(task: str, *, label_smoothing: float = 0.0) -> TrainerLoss:
    """Return the loss to give to ``Trainer`` as ``compute_loss_func``.

    A sum over rows (``"multiclass"``) or over tags (``"multilabel"``), divided by the number of
    those that are known in all batches of the update; the model's own loss on exact labels.

    Parameters
    ----------
    task : {"multiclass", "multilabel"}
        One class is true, or several tags may be: ``labels.task``.
    label_smoothing : float, default 0
        As in :func:`eitheror.torch.partial_cross_entropy`. ``label_smoothing_factor`` of
        ``TrainingArguments`` is not used with a ``compute_loss_func``.

    Returns
    -------
    TrainerLoss
        Called by ``Trainer`` as ``(outputs, labels, num_items_in_batch=None)``. It refuses labels
        in which something is unknown and not written as -100, because ``Trainer`` counts it.

    See Also
    --------
    label_matrix : the ``labels`` column that it reads.

    Examples
    --------
    >>> import torch
    >>> import eitheror as eo
    >>> from eitheror.hf import label_matrix, loss
    >>> labels = eo.Labels([eo.either("a", "b"), eo.not_("a"), None], classes=["a", "b", "c"])
    >>> matrix = torch.from_numpy(label_matrix(labels))
    >>> loss("multiclass")({"logits": torch.zeros(3, 3)}, matrix, num_items_in_batch=6)
    tensor(0.4055)
    """
    return TrainerLoss(task, label_smoothing)


def label_matrix(labels: Labels) -> NDArray[np.float32]:
    """Return statements as the ``labels`` column of a dataset, -100 where nothing is known.

    Parameters
    ----------
    labels : Labels

    Returns
    -------
    float32 array of shape (n_samples, n_classes)
        ``labels.to_targets()``, with -100 in the rows (multiclass) or entries (multilabel) that
        are unknown. ``Trainer`` does not count cells of -100 in ``num_items_in_batch``.

    Examples
    --------
    >>> import eitheror as eo
    >>> from eitheror.hf import label_matrix
    >>> label_matrix(eo.Labels([eo.either("a", "b"), None], classes=["a", "b", "c"]))
    array([[   1.,    1.,    0.],
           [-100., -100., -100.]], dtype=float32)
    """
    targets = labels.to_targets(dtype=np.float32)
    silent = np.isnan(targets)
    if labels.task == "multiclass":
        silent = np.broadcast_to((targets == 1).all(axis=1, keepdims=True), targets.shape)
    return np.where(silent, np.float32(IGNORED), targets)


def config_for(labels: Labels) -> dict[str, Any]:
    """Return what a model's configuration says about the classes, for ``from_pretrained``.

    Parameters
    ----------
    labels : Labels

    Returns
    -------
    dict
        ``num_labels``, ``id2label``, ``label2id`` and ``problem_type`` (by which a pipeline takes
        the softmax or the sigmoid).

    Examples
    --------
    >>> import eitheror as eo
    >>> from eitheror.hf import config_for
    >>> config_for(eo.Labels(["cat", eo.not_("cat")], classes=["cat", "dog"]))["id2label"]
    {0: 'cat', 1: 'dog'}
    """
    names = [str(name) for name in labels.classes]
    single = labels.task == "multiclass"
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": "single_label_classification" if single else "multi_label_classification",
    }


def _logits(outputs: Any) -> Tensor:
    """Return the logits of what a model returned."""
    if isinstance(outputs, tuple):
        return outputs[0]
    if "logits" not in outputs:
        raise ValueError(
            f"the model returned {', '.join(map(str, outputs))} and no logits; "
            "the loss is for classification models"
        )
    return outputs["logits"]


class _Batch(NamedTuple):
    """Labels as the loss reads them.

    ``targets`` has the shape of the logits; ``known`` and ``counted`` mark the cells of the labels
    that say something, and those that Trainer counts; ``cells_per_term`` of them make one term of
    the sum.
    """

    targets: Tensor
    known: Tensor
    counted: Tensor
    cells_per_term: int


def _read(task: str, logits: Tensor, labels: Tensor) -> _Batch:
    """Take the labels of a batch apart."""
    if labels is None:
        raise ValueError(
            'Trainer passed no labels; the column of the dataset is to be called "labels"'
        )
    counted = labels != IGNORED
    if labels.shape == logits.shape[:-1] and not labels.is_floating_point():
        return _read_numbers(task, labels, counted, logits.shape[-1])
    if labels.shape != logits.shape:
        raise ValueError(
            f"the labels have shape {tuple(labels.shape)} and the logits {tuple(logits.shape)}; "
            "both need (n_samples, n_classes), as eitheror.hf.label_matrix(labels) gives it"
        )
    if task == "multilabel":
        targets = torch.where(counted, labels, torch.nan)
        return _Batch(targets, ~targets.isnan(), counted, 1)
    written = counted.any(dim=-1, keepdim=True)
    if (written & ~counted).any():
        # the loss would be nan, which Trainer shows as 0 in its log
        raise ValueError(
            "the labels hold rows of which some cells are -100: where one class is true, a row is "
            'known or unknown as a whole; for tags write loss("multilabel")'
        )
    targets = torch.where(written, labels, 1.0)
    speaks = (targets != 1).any(dim=-1, keepdim=True).expand(targets.shape)
    return _Batch(targets, speaks, counted, targets.shape[-1])


def _read_numbers(task: str, labels: Tensor, counted: Tensor, n_classes: int) -> _Batch:
    """Take class numbers apart, one a row."""
    if task == "multilabel":
        raise ValueError(
            f"the labels are class numbers of shape {tuple(labels.shape)}; several tags need a "
            "column each: eitheror.hf.label_matrix(labels)"
        )
    one_hot = torch.nn.functional.one_hot(torch.where(counted, labels, 0), n_classes)
    return _Batch(torch.where(counted[..., None], one_hot, 1).float(), counted, counted, 1)


def _refuse_uncounted(batch: _Batch) -> None:
    """Refuse what says nothing and is not written as -100: Trainer has counted it as known."""
    if (batch.counted & ~batch.known).any():
        raise ValueError(
            "the labels hold unknown rows or entries (all ones, or nan) that Trainer counts as "
            "known in num_items_in_batch; write them as -100, as eitheror.hf.label_matrix(labels) "
            "does"
        )
