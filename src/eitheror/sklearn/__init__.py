"""Estimators with scikit-learn's interface, and cross-validation that keeps labels whole.

In: features or texts, and `y` as :class:`~eitheror.labels.Labels` or any ordinary scikit-learn
target. Out: fitted estimators, out-of-fold probabilities. Thin on purpose: the work is done by
:mod:`eitheror.training`, and a fitted estimator holds one :class:`eitheror.model.Model`. This is
the only module that imports scikit-learn at its top.
"""

from eitheror.sklearn._estimators import LinearClassifier, TextClassifier
from eitheror.sklearn._targets import as_labels
from eitheror.sklearn._validation import LabelsKFold, out_of_fold_proba

__all__ = ["LabelsKFold", "LinearClassifier", "TextClassifier", "as_labels", "out_of_fold_proba"]
