"""What the expected-score rules share: calibrate, score every prefix, choose the best one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from eitheror.decide._targets import checked_proba
from eitheror.decide.calibration import Calibration
from eitheror.decide.rules import Rule

__all__ = ["PrefixRule"]


class PrefixRule(Rule):
    """Choose, for each row, the number of most probable tags with the highest expected score.

    A subclass gives `name` (the word in the config), `measure` (in words) and `scores`.
    """

    name: str
    measure: str

    def __init__(self, *, at_least_one: bool = False) -> None:
        self.at_least_one = bool(at_least_one)
        self.calibration_: Calibration | None = None

    @staticmethod
    @abstractmethod
    def scores(proba: Any) -> NDArray[np.float64]:
        """Return the expected score of the k most probable tags, (n_samples, n_classes + 1)."""

    def fit(self, labels: Any, proba: Any) -> Self:
        """Calibrate the marginals on labels and out-of-fold probabilities."""
        self.calibration_ = Calibration().fit(labels, proba)
        return self

    def predict(self, proba: Any) -> NDArray[np.bool_]:
        """Return a bool matrix (n_samples, n_classes)."""
        proba = checked_proba(proba)
        if self.calibration_ is not None:
            proba = self.calibration_.transform(proba)
        least = int(self.at_least_one)
        sizes = self.scores(proba)[:, least:].argmax(axis=1) + least
        order = np.argsort(-proba, axis=1, kind="stable")
        chosen = np.zeros(proba.shape, dtype=bool)
        np.put_along_axis(chosen, order, np.arange(proba.shape[1]) < sizes[:, None], axis=1)
        return chosen

    def to_config(self) -> dict[str, Any]:
        """Return the rule's word, options and calibration."""
        calibration = self.calibration_
        return {
            "rule": self.name,
            "at_least_one": self.at_least_one,
            "calibration": None if calibration is None else calibration.to_config(),
        }

    def describe(self) -> str:
        """Return the rule in words."""
        kind = "the set" if not self.at_least_one else "the set of at least one class"
        return f"{kind} with the highest expected {self.measure}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'at_least_one=True' * self.at_least_one})"
