"""Annotators: how reliable each is, and what their votes together say about every item.

`AnnotatorModel` reads votes alone; `CrowdClassifier` learns a classifier and the annotators at
once. A vote is any statement: exact, one of several, a rejection.
"""

from eitheror.annotators._crowd import CrowdClassifier
from eitheror.annotators._model import AnnotatorModel
from eitheror.annotators._report import AnnotatorLine, AnnotatorReport

__all__ = ["AnnotatorLine", "AnnotatorModel", "AnnotatorReport", "CrowdClassifier"]
