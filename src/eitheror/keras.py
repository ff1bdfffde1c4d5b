"""The losses of statements for Keras 3, on its TensorFlow, JAX and PyTorch backends.

Use them in ``model.compile(loss=...)`` with ``y = labels.to_targets()``. They take logits, so the
last layer has no activation. Value and gradient are computed by the formulas of `eitheror.losses`
with ``keras.ops``; the gradient is their own, not what automatic differentiation makes of the
value. Importing this module imports Keras, with the backend that ``KERAS_BACKEND`` names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from eitheror.labels import Labels
from eitheror.losses._arrays import check_smoothing
from eitheror.losses._multiclass import read_row, row_gradient, row_value
from eitheror.losses._multilabel import binary, binary_gradient, sigmoids

try:
    import keras
except ModuleNotFoundError as error:
    if error.name == "keras":
        message = (
            "eitheror.keras needs Keras 3, which is not installed: pip install 'eitheror[keras]'"
        )
    else:
        message = (
            f"Keras is installed, but the backend it is told to use needs {error.name}, which is "
            "not: install it, or set the environment variable KERAS_BACKEND to torch, jax or "
            "tensorflow before Keras is imported"
        )
    raise ImportError(message) from error
if int(keras.__version__.split(".")[0]) < 3:
    raise ImportError(
        f"eitheror.keras needs Keras 3, and {keras.__version__} is installed: "
        "pip install 'eitheror[keras]'"
    )

__all__ = ["PartialBinaryCrossentropy", "PartialCategoricalCrossentropy"]

Tensor: TypeAlias = Any


class _Ops:
    """``keras.ops`` under the names of the array API that the formulas are written in."""

    inf = float("inf")
    nan = float("nan")
    float32 = "float32"
    int32 = "int32"

    astype = staticmethod(keras.ops.cast)
    abs = staticmethod(keras.ops.abs)
    all = staticmethod(keras.ops.all)
    any = staticmethod(keras.ops.any)
    argmax = staticmethod(keras.ops.argmax)
    exp = staticmethod(keras.ops.exp)
    full_like = staticmethod(keras.ops.full_like)
    isfinite = staticmethod(keras.ops.isfinite)
    isnan = staticmethod(keras.ops.isnan)
    log = staticmethod(keras.ops.log)
    log1p = staticmethod(keras.ops.log1p)
    max = staticmethod(keras.ops.max)
    ones_like = staticmethod(keras.ops.ones_like)
    sum = staticmethod(keras.ops.sum)
    where = staticmethod(keras.ops.where)

    @staticmethod
    def maximum(first: Tensor, second: Tensor) -> Tensor:
        """Return the larger entries; keras.ops.maximum makes float32 of float64 on torch."""
        return keras.ops.where(first > second, first, second)

    @staticmethod
    def arange(stop: int, *, dtype: Any, device: Any) -> Tensor:
        """Count from 0; Keras places tensors itself."""
        del device
        return keras.ops.arange(stop, dtype=dtype)

    @staticmethod
    def isdtype(dtype: Any, kind: Any) -> bool:
        """Tell whether a dtype is of a kind; tensors are real numbers when they get here."""
        del dtype
        return bool(kind == "real floating")


def _differentiable(
    value: Callable[[Tensor], Tensor], gradient: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return the function of the logits that has this value and this gradient, row by row."""

    @keras.ops.custom_gradient  # type: ignore[untyped-decorator]
    def function(logits: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            # TensorFlow and JAX hand over the upstream gradient alone, torch the logits before it.
            inputs = logits
            if upstream is None:
                (upstream,) = arguments
            else:
                (inputs,) = arguments
            return gradient(inputs) * keras.ops.expand_dims(upstream, -1)

        return value(logits), backward

    return function  # type: ignore[no-any-return]


def _at_least_1(counts: Tensor) -> Tensor:
    """Return what to divide a sum by, which is 0 where the count is."""
    return _Ops.maximum(counts, keras.ops.ones_like(counts))


class _PartialLoss(keras.losses.Loss):  # type: ignore[misc]
    """What both losses share: their arguments, and a mean over what is known.

    A subclass says what each row costs in all, and how many of the terms that the stock loss
    averages over are known.
    """

    def __init__(
        self,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if not from_logits:
            raise ValueError(
                f"{type(self).__name__} takes logits: Keras clips probabilities at 1e-7, and the "
                "gradient of a row that is surely wrong is then 0. Leave from_logits=True and the "
                "activation of the last layer out"
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if self.dtype in ("float16", "bfloat16"):  # the sums need more digits than these have
            super().__init__(name=self.name, reduction=reduction, dtype="float32")
        self.from_logits = True
        self.label_smoothing = check_smoothing(label_smoothing)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the reduced loss, the unknown left out of sum and count."""
        if isinstance(y_true, Labels):
            raise TypeError("y_true are Labels, and Keras reads arrays: write labels.to_targets()")
        # Keras hands a mask of the rows over in this attribute of the predictions.
        mask = getattr(y_pred, "_keras_mask", None)
        y_true = keras.ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = keras.ops.convert_to_tensor(y_pred)
        self._check_shapes(y_true, y_pred)
        if mask is not None:
            y_pred._keras_mask = mask
        known = self._known(y_true)
        rows = keras.ops.ones_like(known) if mask is None else keras.ops.cast(mask, self.dtype)
        weights = self._weights(known, rows, sample_weight)
        return super().__call__(y_true, y_pred, weights)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the mean over what is known of each row, of shape ``(n_samples,)``."""
        return self._cost(y_true, y_pred) / _at_least_1(self._known(y_true))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        own = {"from_logits": True, "label_smoothing": self.label_smoothing, "dtype": self.dtype}
        return {**super().get_config(), **own}

    def _weights(self, known: Tensor, rows: Tensor, sample_weight: Tensor | None) -> Tensor | None:
        """Return the sample weights by which Keras' reduction becomes the mean over the known."""
        if sample_weight is not None:
            sample_weight = keras.ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            if len(sample_weight.shape) == len(known.shape) + 1 and sample_weight.shape[-1] == 1:
                sample_weight = keras.ops.squeeze(sample_weight, axis=-1)
            if len(sample_weight.shape) > len(known.shape):
                raise ValueError(
                    f"sample_weight has shape {tuple(sample_weight.shape)}; it needs one weight a "
                    f"row, shape {tuple(known.shape)} (an unknown tag is nan in y_true)"
                )
        if self.reduction in (None, "none", "sum"):
            return sample_weight
        if self.reduction != "mean_with_sample_weight":
            # Keras will divide by the number of rows: sum(rows).
            known = known * keras.ops.sum(rows) / _at_least_1(keras.ops.sum(known * rows))
        return known if sample_weight is None else known * sample_weight

    def _check_shapes(self, y_true: Tensor, y_pred: Tensor) -> None:
        given, wanted = tuple(y_true.shape), tuple(y_pred.shape)
        same = len(given) == len(wanted) >= 2 and all(
            a == b or a is None or b is None for a, b in zip(given, wanted, strict=True)
        )
        if not same:
            raise ValueError(
                f"y_true has shape {given} and the logits have {wanted}; both need "
                "(n_samples, n_classes), as labels.to_targets() gives it"
            )

    def _cost(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        raise NotImplementedError

    def _known(self, y_true: Tensor) -> Tensor:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="eitheror")
class PartialCategoricalCrossentropy(_PartialLoss):
    """Categorical cross-entropy for labels that say less than one class, or more than one.

    A row of evidence ``w`` (its largest entry is exactly 1) costs ``-log sum_k w_k p_k`` with
    ``p = softmax(logits)``, a row of shares ``-sum_k t_k log p_k``; a row of ones says nothing and
    costs nothing. On one-hot rows it is ``keras.losses.CategoricalCrossentropy(from_logits=True)``.

    Parameters
    ----------
    from_logits : True
        Only logits are taken; False is refused.
    label_smoothing : float, default 0
        With ``e``, rows that say something cost ``(1 - e) loss + e mean_k(-log p_k)``.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None}
        As in Keras, but a mean is taken over the rows that say something: ``sum(weight * loss)``
        divided by the number of those rows (by the sum of their weights for
        ``"mean_with_sample_weight"``). A batch that says nothing costs 0.
    name : str, optional
    dtype : str, optional
        What to compute in, ``keras.config.floatx()`` by default; 16-bit types become float32.

    Raises
    ------
    ValueError
        For ``from_logits=False``, and when ``y_true`` has not the shape of the logits.

    See Also
    --------
    PartialBinaryCrossentropy : when several classes can be true at once.
    eitheror.losses.partial_softmax_cross_entropy : the same for arrays, with its domain.

    Notes
    -----
    **Domain.** Finite for all finite logits, without clipping. nan for a row of ``y_true`` that is
    neither evidence nor shares.

    Examples
    --------
    >>> import eitheror.keras as eo_keras
    >>> import numpy as np
    >>> loss = eo_keras.PartialCategoricalCrossentropy()
    >>> either_first_or_third = np.array([[1.0, 0.0, 1.0, 0.0]])
    >>> round(float(loss(either_first_or_third, np.array([[1.0, 2.0, 3.0, 4.0]]))), 4)
    1.3133
    """

    def __init__(
        self,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "partial_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, reduction, name, dtype)

    def _cost(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        def row(logits: Tensor) -> Any:
            return read_row(_Ops, logits, y_true, self.label_smoothing)

        return _differentiable(lambda f: row_value(row(f)), lambda f: row_gradient(row(f)))(y_pred)

    def _known(self, y_true: Tensor) -> Tensor:
        return keras.ops.cast(keras.ops.any(y_true != 1, axis=-1), self.dtype)


@keras.saving.register_keras_serializable(package="eitheror")
class PartialBinaryCrossentropy(_PartialLoss):
    """Binary cross-entropy of each tag, over the tags that are known.

    ``softplus(f_k) - t_k f_k`` for the entries of ``y_true`` that are not nan. On rows without nan
    it is ``keras.losses.BinaryCrossentropy(from_logits=True)``.

    Parameters
    ----------
    from_logits : True
        Only logits are taken; False is refused.
    label_smoothing : float, default 0
        With ``e``, a known entry ``t`` counts as ``(1 - e) t + e / 2``.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None}
        As in Keras, but a mean is taken over the entries that are known, in the whole batch:
        ``sum(weight * loss)`` divided by their number. None and ``"sum"`` take the mean of each
        row's known entries, 0 for a row with none.
    name : str, optional
    dtype : str, optional
        What to compute in, ``keras.config.floatx()`` by default; 16-bit types become float32.

    Raises
    ------
    ValueError
        For ``from_logits=False``, and when ``y_true`` has not the shape of the logits.

    See Also
    --------
    PartialCategoricalCrossentropy : when exactly one class is true.

    Notes
    -----
    **Domain.** Finite for all finite logits, without clipping. nan for a row of ``y_true`` with an
    entry outside [0, 1] that is not nan.

    Examples
    --------
    >>> import eitheror.keras as eo_keras
    >>> import numpy as np
    >>> loss = eo_keras.PartialBinaryCrossentropy()
    >>> round(float(loss(np.array([[1.0, 0.0, np.nan]]), np.zeros((1, 3)))), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "partial_binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, reduction, name, dtype)

    def _cost(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        def row(logits: Tensor) -> Any:
            return sigmoids(_Ops, logits, y_true, self.label_smoothing)

        value, gradient = lambda f: binary(_Ops, row(f)), lambda f: binary_gradient(_Ops, row(f))
        return _differentiable(value, gradient)(y_pred)

    def _known(self, y_true: Tensor) -> Tensor:
        known = keras.ops.cast(~keras.ops.isnan(y_true), self.dtype)
        return keras.ops.sum(known, axis=-1)
