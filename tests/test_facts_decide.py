"""The core facts D01 to D03 and V04 of the project's theory, reproduced by the library."""

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from eitheror.decide import ExpectedJaccard, TunedThreshold, expected_jaccard
from eitheror.labels import Labels, not_, tags
from eitheror.metrics import evaluate

FACTS = {
    "D01": [
        0.3819660112501051518,
        0.7639320225002103036,
        0.6180339887498948482,
        0.3819660112501051518,
    ],
    "D02": [0.35, 2 / 3, 0.8],
    "D03": [[0, 1, 2], 0.58695],
    "V04": [0.2, 0.5],
}


def test_d01_golden_ratio_threshold():
    """Marginals uniform on (0, 1): the best cut t is (3 - sqrt 5)/2, F* = 2t, J*/(1 + J*) = t."""
    n = 200_000
    marginal = (np.arange(n) + 0.5) / n
    labels = marginal[:, None]  # the expected count of each entry, so sums are expectations
    f1 = TunedThreshold("f1_micro").fit(labels, marginal[:, None])
    jaccard = TunedThreshold("jaccard_micro").fit(labels, marginal[:, None])
    threshold, best_f1, best_jaccard, from_jaccard = FACTS["D01"]
    assert threshold == pytest.approx((3 - sqrt(5)) / 2, rel=1e-15)
    assert threshold == pytest.approx(f1.threshold_, abs=1 / n)
    assert best_f1 == pytest.approx(f1.score_, rel=1e-9)
    assert best_jaccard == pytest.approx(jaccard.score_, rel=1e-9)
    assert from_jaccard == pytest.approx(jaccard.score_ / (1 + jaccard.score_), rel=1e-9)


def test_d02_exact_threshold():
    """Eight pairs: cut .35, Jaccard 2/3, F1 4/5."""
    proba = np.array([[0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3, 0.2]]).T
    labels = np.array([[1, 1, 0, 1, 0, 1, 0, 0]]).T
    jaccard = TunedThreshold("jaccard_micro").fit(labels, proba)
    f1 = TunedThreshold("f1_micro").fit(labels, proba)
    assert FACTS["D02"] == pytest.approx([jaccard.threshold_, jaccard.score_, f1.score_], rel=1e-12)


def test_d03_expected_jaccard():
    """Independent tags (.9, .6, .45, .3, .1): the set {0, 1, 2} with expected Jaccard .58695."""
    proba = [[0.9, 0.6, 0.45, 0.3, 0.1]]
    chosen, score = FACTS["D03"]
    assert chosen == np.flatnonzero(ExpectedJaccard().predict(proba)[0]).tolist()
    assert score == pytest.approx(expected_jaccard(proba).max(), rel=1e-12)


def test_v04_jaccard_with_unknown_tags():
    """Predicted 111000, true 10?1?0: micro Jaccard lies in [1/5, 1/2]."""
    known = tags("a", "d", absent=["b", "f"], rest="unknown") & not_("b")
    labels = Labels([known], classes=list("abcdef"))
    report = evaluate(labels, [[0.9, 0.9, 0.9, 0.1, 0.1, 0.1]])
    bounds = report["metrics"]["jaccard_micro"]
    assert FACTS["V04"] == pytest.approx([bounds["lower"], bounds["upper"]], rel=1e-12)


def test_the_constants_are_those_of_the_fact_file():
    """The numbers above are copies; where the shared file is at hand they are compared."""
    path = Path(__file__).resolve().parents[2] / "shared" / "design" / "facts.json"
    if not path.exists():
        pytest.skip("../shared/design/facts.json is not here")
    facts = {fact["id"]: fact["expected"] for fact in json.loads(path.read_text())["facts"]}

    def numbers(value):
        return [x for v in value for x in numbers(v)] if isinstance(value, list) else [float(value)]

    for name, expected in FACTS.items():
        assert numbers(facts[name]) == pytest.approx(numbers(expected), rel=1e-15)
