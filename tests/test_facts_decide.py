"""The facts of the project's theory about decisions and evaluation, reproduced by the library.

D01 to D07, V01 to V04 and L04, read from `facts_decide.json`; L03 is in test_facts. Where the
design folder stands beside the checkout, the file is compared with it.
"""

import json
import re
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from eitheror.decide import (
    ExpectedJaccard,
    TunedThreshold,
    best_f1_set,
    condition,
    conformal_rank,
    expected_jaccard,
    f1_parameters,
    product_of_experts,
)
from eitheror.labels import Labels, not_, tags
from eitheror.metrics import evaluate, evaluate_through_channel
from eitheror.metrics.intervals import critical_value
from eitheror.noise import unbiased_weights

HERE = Path(__file__).parent
FACTS = {
    fact["id"]: fact
    for fact in json.loads((HERE / "facts_decide.json").read_text(encoding="utf-8"))["facts"]
}
WANTED = [*(f"D0{i}" for i in range(1, 8)), *(f"V0{i}" for i in range(1, 5)), "L03", "L04"]
SOURCE = HERE.parents[1] / "shared" / "design" / "facts.json"


def numbers(value):
    """Return decimal strings, however nested, as floats in one list."""
    if isinstance(value, list):
        return [x for v in value for x in numbers(v)]
    return [float(value)]


def holds(fact, *actual):
    """Compare with what the fact says, as closely as it says."""
    rtol, atol = float(fact["rtol"]), float(fact["atol"])
    assert numbers(fact["expected"]) == pytest.approx(list(actual), rel=rtol, abs=atol)


def test_d01_golden_ratio_threshold():
    """Marginals uniform on (0, 1): the best cut t is (3 - sqrt 5)/2, F* = 2t, J*/(1 + J*) = t."""
    n = 200_000
    marginal = (np.arange(n) + 0.5) / n
    labels = marginal[:, None]  # the expected count of each entry, so sums are expectations
    f1 = TunedThreshold("f1_micro").fit(labels, marginal[:, None])
    jaccard = TunedThreshold("jaccard_micro").fit(labels, marginal[:, None])
    threshold, best_f1, best_jaccard, from_jaccard = numbers(FACTS["D01"]["expected"])
    assert threshold == pytest.approx((3 - sqrt(5)) / 2, rel=1e-15)
    assert threshold == pytest.approx(f1.threshold_, abs=1 / n)
    assert best_f1 == pytest.approx(f1.score_, rel=1e-9)
    assert best_jaccard == pytest.approx(jaccard.score_, rel=1e-9)
    assert from_jaccard == pytest.approx(jaccard.score_ / (1 + jaccard.score_), rel=1e-9)


def test_d02_exact_threshold():
    """Eight pairs: cut .35, Jaccard 2/3, F1 4/5."""
    call = FACTS["D02"]["call"]
    proba, labels = np.array(numbers(call["scores"]))[:, None], np.array(call["y"])[:, None]
    jaccard = TunedThreshold("jaccard_micro").fit(labels, proba)
    f1 = TunedThreshold("f1_micro").fit(labels, proba)
    holds(FACTS["D02"], jaccard.threshold_, jaccard.score_, f1.score_)


def test_d03_expected_jaccard():
    """Independent tags (.9, .6, .45, .3, .1): the set {0, 1, 2} with expected Jaccard .58695."""
    proba = [numbers(FACTS["D03"]["call"]["p"])]
    chosen = np.flatnonzero(ExpectedJaccard().predict(proba)[0])
    holds(FACTS["D03"], *chosen, expected_jaccard(proba).max())


def test_d04_f1_set_of_a_joint_law():
    """Law {A} .5, {A,B} .3, {B,C} .2: the set {A, B} with expected F1 .7333."""
    call = FACTS["D04"]["call"]
    draws = [np.isin(np.arange(call["K"]), members) for members in call["labelsets"]]
    chosen, score = best_f1_set(*f1_parameters(draws, numbers(call["P"])))
    holds(FACTS["D04"], *np.flatnonzero(chosen), score)


def test_d05_extra_evidence_about_an_item():
    """Told "not 1 or 2", (.2, .4, .3, .1) becomes (2/3, 0, 0, 1/3)."""
    call = FACTS["D05"]["call"]
    others = [k for k in range(len(call["p"])) if k not in call["S"]]
    found = condition([numbers(call["p"])], Labels([not_(*others)], classes=range(4)))
    holds(FACTS["D05"], *found[0])


def test_d06_the_same_source_twice_is_counted_twice():
    """(.7, .3) with itself is 49/58; with class-dependent rejection p q picks the wrong class."""
    call = FACTS["D06"]["call"]
    doubled = product_of_experts([numbers(call["p"])], [numbers(call["p"])])[0, 0]
    eta, rho = np.array(numbers(call["eta"])), np.array(numbers(call["rho"]))
    not_rejected = 1 - rho * (1 - eta)
    holds(FACTS["D06"], doubled, product_of_experts([eta], [not_rejected])[0].argmax())


def test_d07_ranks():
    """alpha = .1: n = 8 is too few, n = 9 takes the 9th, n = 200 the 181st."""
    fact = FACTS["D07"]
    ranks = [conformal_rank(n, 1 - float(fact["call"]["alpha"])) for n in fact["call"]["ns"]]
    assert fact["expected"] == ["none" if rank is None else rank for rank in ranks]


def test_v01_accuracy_from_complementary_labels():
    """K = 10, n = 1000, 11 decisions hit the class ruled out: .901 with standard error .0297."""
    call = FACTS["V01"]["call"]
    hits, n, k = call["hits"], call["n"], call["K"]
    proba = np.tile(np.r_[0.91, np.full(k - 1, 0.01)], (n, 1))
    rows = [not_(0)] * hits + [not_(1 + i % (k - 1)) for i in range(n - hits)]
    weights = unbiased_weights(Labels(rows, classes=range(k)), kind="not")
    accuracy = evaluate_through_channel(weights, proba)["metrics"]["accuracy"]
    scores = weights[np.arange(n), proba.argmax(axis=1)]
    holds(FACTS["V01"], accuracy["lower"], scores.std() / sqrt(n))
    low, high = accuracy["interval"]
    assert low < accuracy["lower"] < high
    assert 2 * 1.96 * scores.std() / sqrt(n) == pytest.approx(high - low, rel=0.05)


def test_v02_one_complementary_label_against_an_exact_one():
    """The variance of the accuracy is (K - 2 + a) / a times that of exact labels."""
    call = FACTS["V02"]["call"]
    k = call["K"]
    weights = unbiased_weights(Labels([not_(0), not_(1)], classes=range(k)), kind="not")
    hit, missed = weights[0, 0], weights[1, 0]  # class 0 is decided
    ratios = []
    for a in numbers(call["a"]):
        r = (1 - a) / (k - 1)  # how often the decided class is the one ruled out
        mean = r * hit + (1 - r) * missed
        assert a == pytest.approx(mean, rel=1e-12)
        ratios.append((r * hit**2 + (1 - r) * missed**2 - mean**2) / (a * (1 - a)))
    holds(FACTS["V02"], *ratios)


def test_v03_interval_between_two_bounds():
    """Accuracy between .6 and .8 of 200 rows: Imbens and Manski's interval [.5430, .8465].

    The fact has normal ends; `evaluate` takes Wilson's ends with the same critical value.
    """
    call = FACTS["V03"]["call"]
    low, high, n = float(call["lo"]), float(call["hi"]), call["n"]
    errors = [sqrt(share * (1 - share) / n) for share in (low, high)]
    c = critical_value(high - low, max(errors))
    holds(FACTS["V03"], low - c * errors[0], high + c * errors[1])
    rows = ["a"] * 120 + [not_("b")] * 40 + ["b"] * 40
    labels = Labels(rows, classes=["a", "b", "c"])
    accuracy = evaluate(labels, [[0.8, 0.1, 0.1]] * n)["metrics"]["accuracy"]
    assert (low, high) == pytest.approx((accuracy["lower"], accuracy["upper"]))
    assert numbers(FACTS["V03"]["expected"]) == pytest.approx(accuracy["interval"], abs=0.006)


def test_v04_jaccard_with_unknown_tags():
    """Predicted 111000, true 10?1?0: micro Jaccard lies in [1/5, 1/2]."""
    call = FACTS["V04"]["call"]
    names = list("abcdef")
    present, absent = (
        [c for c, v in zip(names, call["truth"], strict=True) if v == value] for value in (1, 0)
    )
    labels = Labels([tags(*present, absent=absent, rest="unknown")], classes=names)
    report = evaluate(labels, [[0.9 if v else 0.1 for v in call["pred"]]])
    bounds = report["metrics"]["jaccard_micro"]
    holds(FACTS["V04"], bounds["lower"], bounds["upper"])


def test_l04_one_threshold_on_shares_cannot_give_the_sets_that_one_on_marginals_gives():
    """One item has four tags, the other E (.7) or F (.3): best micro Jaccard 5/6 against 47/53."""
    present = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0.7, 0.3]])
    shares = present / present.sum(axis=1, keepdims=True)  # what a softmax over tags tends to
    best = [
        TunedThreshold("jaccard_micro").fit(present, proba).score_ for proba in (shares, present)
    ]
    holds(FACTS["L04"], *best)


def test_every_wanted_fact_has_its_test():
    """No fact of the list is without a test that is named after it."""
    source = "".join(
        (HERE / name).read_text(encoding="utf-8")
        for name in ("test_facts_decide.py", "test_facts.py")
    )
    named = {name.upper() for name in re.findall(r"def test_([a-z]\d\d)_", source)}
    assert [] == [name for name in WANTED if name not in named]


def test_the_file_is_that_of_the_design():
    """The facts here are copies; where the shared file is at hand they are compared."""
    if not SOURCE.exists():
        pytest.skip("../shared/design/facts.json is not here")
    facts = {fact["id"]: fact for fact in json.loads(SOURCE.read_text())["facts"]}
    assert {name: facts[name] for name in FACTS} == FACTS
    assert set(WANTED) - {"L03"} == set(FACTS)
