"""Estimators with scikit-learn's interface, and cross-validation that keeps labels whole.

In: features or texts, and `y` as :class:`~eitheror.labels.Labels` or any ordinary scikit-learn
target. Out: fitted estimators, out-of-fold probabilities. Thin on purpose: the work of our own
models is done by :mod:`eitheror.training`, and such an estimator holds one
:class:`eitheror.model.Model`; any other classifier learns statements by EM around it. This is the
only module that imports scikit-learn at its top.
"""

from eitheror.sklearn._estimators import LinearClassifier, TextClassifier
from eitheror.sklearn._multilabel import MultilabelPartialClassifier
from eitheror.sklearn._partial import PartialLabelClassifier
from eitheror.sklearn._targets import as_labels
from eitheror.sklearn._validation import LabelsKFold, out_of_fold_proba

__all__ = [
    "LabelsKFold",
    "LinearClassifier",
    "MultilabelPartialClassifier",
    "PartialLabelClassifier",
    "TextClassifier",
    "as_labels",
    "out_of_fold_proba",
]
