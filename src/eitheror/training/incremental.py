"""A linear model on numbers that goes on learning: Adagrad steps over batches as they come.

In: batches of features and labels. Out: a `Model` at any time. The first batch fixes the classes
and the standardisation. Kept apart from the full-batch fit because it answers another question:
what to do when earlier rows are gone.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.labels import Labels
from eitheror.model import LinearParameters, Model, SparseWeight
from eitheror.training.checks import check_lengths, check_sample_weight
from eitheror.training.objectives import OBJECTIVES
from eitheror.training.options import TrainOptions, resolve
from eitheror.training.problem import Setup, Threads, one_blas_thread
from eitheror.training.standardise import Standardiser, as_matrix
from eitheror.training.weights import balanced_or_given, row_weights

__all__ = ["Increment"]

_BATCH = 32
_DEFAULT_L2 = 1e-4


class Increment:
    """Weights that take steps, and the sums of squared gradients that set their length.

    Parameters
    ----------
    theta : float64 array
        Weights row by row, then the intercepts.
    scaler : Standardiser
    classes : list
    task : str

    Examples
    --------
    >>> X, labels = np.array([[0.0], [1.0], [2.0], [3.0]]), Labels(["a", "a", "b", "b"])
    >>> state = Increment.begin(X, labels)
    >>> for _ in range(20):
    ...     state.learn(X, labels, TrainOptions(), lr=0.5)
    >>> state.model(TrainOptions()).predict_proba([[0.0]]).argmax()
    np.int64(0)
    """

    def __init__(
        self, theta: NDArray[np.float64], scaler: Standardiser, classes: list[Any], task: str
    ) -> None:
        self._theta = theta
        self._squares = np.zeros_like(theta)
        self._scaler = scaler
        self._classes = classes
        self._task = task

    @classmethod
    def begin(cls, X: Any, labels: Labels, scaling: str | None = None) -> Self:
        """Start at zero; `X` says how to scale, as the option of that name does."""
        X = as_matrix(X)
        theta = np.zeros((X.shape[1] + 1) * labels.n_classes)
        return cls(theta, Standardiser.fit(X, scaling=scaling), list(labels.classes), labels.task)

    @classmethod
    def resume(cls, model: Model) -> Self:
        """Go on from a fitted model of numbers; the first steps are full ones again."""
        parameters = model.parameters
        if model.featurizer is not None or not isinstance(parameters, LinearParameters):
            raise ValueError("a model of texts came; a linear model of numbers was expected")
        weight = parameters.weight
        dense = weight.to_dense() if isinstance(weight, SparseWeight) else weight
        theta = np.concatenate([dense.ravel(), parameters.bias]).astype(np.float64)
        scale = np.ones(len(dense)) if parameters.scale is None else parameters.scale
        scaler = Standardiser(parameters.mean, scale, parameters.unit_rows)
        return cls(theta, scaler, list(model.classes), model.task)

    def learn(
        self,
        X: Any,
        labels: Labels,
        options: TrainOptions,
        lr: float,
        sample_weight: Any = None,
    ) -> None:
        """Take one pass over the rows, in their order, 32 at a time.

        Parameters
        ----------
        X : array or CSR matrix of shape (n_samples, n_features)
        labels : Labels
            Under the classes of the first batch.
        options : TrainOptions
            ``loss``, ``l2``, ``label_smoothing`` and ``class_weight`` are read.
        lr : float
            Length of the first step of each weight.
        sample_weight : array of shape (n_samples,), optional
            Weight 2 makes the row's part of its step twice as long.

        Raises
        ------
        ValueError
            For a wrong length, or a weight that is negative, nan or infinite; nothing is learnt.
        """
        plan = resolve(options, self._task, text=False)
        l2 = _DEFAULT_L2 if plan.l2 is None or plan.l2 == "auto" else float(plan.l2)
        check_lengths(X, labels)
        Z = self._scaler.transform(as_matrix(X))
        targets = labels.sparse()
        weight = check_sample_weight(sample_weight, len(targets), np.float64)
        by_class = balanced_or_given(plan.class_weight, labels, targets, weight)
        weight = weight * row_weights(targets, by_class)
        with one_blas_thread(), Threads(1) as threads:
            objective = OBJECTIVES[plan.loss]
            setup = Setup(
                objective, plan.loss, plan.label_smoothing, by_class, moments=None, threads=threads
            )
            for start in range(0, len(targets), _BATCH):
                rows = np.arange(start, min(start + _BATCH, len(targets)))
                problem = setup.problem(Z[rows], targets.take(rows), weight[rows])
                if problem is None:
                    continue
                _, gradient = problem.value_and_gradient(self._theta, l2)
                self._squares += gradient**2
                self._theta -= lr * gradient / (np.sqrt(self._squares) + 1e-8)

    def model(self, options: TrainOptions) -> Model:
        """Return the model as it is now."""
        plan = resolve(options, self._task, text=False)
        parameters = self._scaler.parameters(self._theta, len(self._classes))
        return Model(self._task, self._classes, plan.to_dict(), plan.loss, None, parameters)
