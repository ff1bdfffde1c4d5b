"""The numbers of the theory that the losses must reproduce, in float64.

`facts_core.json` holds them, as decimal strings with at least 25 digits. Where the design folder
stands beside the checkout, the file is compared with it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from eitheror import losses

HERE = Path(__file__).parent
FACTS = {
    fact["id"]: fact
    for fact in json.loads((HERE / "facts_core.json").read_text(encoding="utf-8"))["facts"]
}
WANTED = ("L01", "L02", "L03", "M06", "M07")  # and all E...
SOURCE = HERE.parents[1] / "shared" / "design" / "facts.json"


def floats(numbers):
    """Return decimal strings as float64."""
    return np.array([float(x) for x in numbers])


def mask(classes, n_classes):
    """Return 1 at the given classes and 0 elsewhere."""
    return np.isin(np.arange(n_classes), classes).astype(float)


def value_and_gradient(name, logits, targets):
    """Return loss and gradient of one row."""
    value = getattr(losses, name)(logits[None], targets[None])
    gradient = getattr(losses, f"{name}_gradient")(logits[None], targets[None])
    return float(value[0]), gradient[0]


def close(fact, expected, actual):
    """Compare as the fact says: relative to each number, plus the absolute part if any."""
    rtol, atol = float(fact["rtol"]), float(fact["atol"])
    np.testing.assert_allclose(actual, floats(np.atleast_1d(expected)), rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "fact",
    [FACTS[i] for i in FACTS if FACTS[i]["call"]["fn"] in ("set_nll", "evidence_nll")],
    ids=lambda fact: fact["id"],
)
def test_loss_of_evidence(fact):
    """The loss and gradient of a set, a complement and of weights are those of the theory."""
    call, expected = fact["call"], fact["expected"]
    logits = floats(call["f"])
    weights = floats(call["w"]) if "w" in call else mask(call["S"], len(logits))
    if weights.max() != 1:  # one row of a transition matrix: evidence has largest weight 1
        offset, weights = -np.log(weights.max()), weights / weights.max()
    else:
        offset = 0.0
    name = "partial_softmax_cross_entropy"
    loss, gradient = value_and_gradient(name, logits, weights)
    close(fact, expected["loss"], [loss + offset])
    assert not np.signbit(loss)
    if "grad" in expected:
        atol = float(fact["grad_atol"])
        np.testing.assert_allclose(
            gradient, floats(expected["grad"]), rtol=float(fact["rtol"]), atol=atol
        )


def test_e14_rejections_together_cost_more_than_apart():
    """Excluding two classes at once costs more than the two exclusions added."""
    fact = FACTS["E14"]
    logits = np.log(floats(fact["call"]["p"]))
    rows = 1 - np.stack([mask([0, 1], 4), mask([0], 4), mask([1], 4)])
    cost = losses.partial_softmax_cross_entropy(np.tile(logits, (3, 1)), rows)
    close(fact, fact["expected"], [cost[0], cost[1] + cost[2]])


def test_e18_uniform_target_is_the_set_plus_forced_indifference():
    """The uniform target costs the set's loss, log of its size, and KL(uniform, p on the set)."""
    fact = FACTS["E18"]
    logits, row = floats(fact["call"]["f"]), mask(fact["call"]["S"], 4)
    loss, gradient = value_and_gradient("uniform_target_cross_entropy", logits, row)
    of_set, _ = value_and_gradient("partial_softmax_cross_entropy", logits, row)
    close(fact, fact["expected"]["loss"], [loss])
    close(fact, fact["expected"]["kl_to_uniform"], [loss - of_set - np.log(2)])
    np.testing.assert_allclose(gradient, floats(fact["expected"]["grad"]), rtol=1e-12)


def test_e19_random_pick_adds_noise_to_the_uniform_gradient():
    """Drawing a candidate adds gradient noise of variance 1 - 1/|S| to the uniform target's."""
    fact = FACTS["E19"]
    size = fact["call"]["size"]
    logits, row = np.zeros((1, 5)), mask(range(size), 5)[None]
    picks = [mask([k], 5)[None] for k in range(size)]
    gradients = np.concatenate(
        [losses.partial_softmax_cross_entropy_gradient(logits, pick) for pick in picks]
    )
    mean = losses.uniform_target_cross_entropy_gradient(logits, row)[0]
    np.testing.assert_allclose(gradients.mean(axis=0), mean, atol=1e-15)
    close(fact, fact["expected"], [np.mean(np.sum((gradients - mean) ** 2, axis=1))])


def test_e20_negated_gradient_has_the_same_direction_and_another_length():
    """The negated gradient is (1 - p)/p times the gradient of -log(1 - p)."""
    fact = FACTS["E20"]
    logits, row = floats(fact["call"]["f"]), 1 - mask([fact["call"]["l"]], 4)
    _, negated = value_and_gradient("negated_cross_entropy", logits, row)
    _, complementary = value_and_gradient("partial_softmax_cross_entropy", logits, row)
    np.testing.assert_allclose(negated / complementary, float(fact["expected"]), rtol=1e-12)


def test_e21_negated_loss_never_stops():
    """Ten steps of gradient descent: the negated loss runs away, the complementary one settles."""
    fact = FACTS["E21"]
    n_classes = fact["call"]["K"]
    row, reached = 1 - mask([0], n_classes)[None], []
    for name in ("negated_cross_entropy", "partial_softmax_cross_entropy"):
        logits = np.zeros((1, n_classes))
        for _ in range(fact["call"]["steps"]):
            logits = logits - getattr(losses, f"{name}_gradient")(logits, row)
        reached.append(float(getattr(losses, name)(logits, row)[0]))
    close(fact, fact["expected"], reached)


def test_e22_the_unbiased_estimator_is_unbounded_below():
    """Sum of all classes' losses minus (K - 1) times the excluded one's is far below 0."""
    fact = FACTS["E22"]
    logits = floats(fact["call"]["f"])
    n_classes = len(logits)
    each = losses.partial_softmax_cross_entropy(np.tile(logits, (n_classes, 1)), np.eye(n_classes))
    estimate = each.sum() - (n_classes - 1) * each[fact["call"]["l"]]
    close(fact, fact["expected"], [estimate])


def test_e23_the_forward_loss_is_the_complementary_loss_plus_a_constant():
    """With the uniform channel, -log P(excluded class) is the loss of "not l" plus log(K - 1)."""
    fact = FACTS["E23"]
    n_classes = fact["call"]["K"]
    logits = np.linspace(-1, 2, n_classes)
    p = np.exp(logits) / np.exp(logits).sum()
    forward = -np.log((1 - p[0]) / (n_classes - 1))
    loss, _ = value_and_gradient("partial_softmax_cross_entropy", logits, 1 - mask([0], n_classes))
    close(fact, fact["expected"], [forward - loss])


@pytest.mark.parametrize(("key", "name"), [("L01", "at_least_one"), ("L02", "exactly_one")])
def test_how_many_tags_apply(key, name):
    """The losses of "at least one" and "exactly one" keep their digits at any logits."""
    fact = FACTS[key]
    actual = [
        getattr(losses, name)(floats(f)[None], np.ones((1, len(f))))[0] for f in fact["call"]["fs"]
    ]
    close(fact, fact["expected"], actual)


def minimiser(name, targets, weights):
    """Newton's method, with bounded steps, on one row of logits shared by all items."""
    n_classes = targets.shape[1]
    logits = np.zeros(n_classes)
    gradient_of, hvp_of = (getattr(losses, f"{name}_{part}") for part in ("gradient", "hvp"))
    for _ in range(60):
        tiled = np.tile(logits, (len(targets), 1))
        gradient = weights @ gradient_of(tiled, targets)
        hessian = np.stack(
            [weights @ hvp_of(tiled, targets, np.tile(e, (len(targets), 1)))
             for e in np.eye(n_classes)]
        )  # fmt: skip
        step = np.linalg.lstsq(hessian, gradient, rcond=1e-12)[0]
        logits = logits - step / max(1.0, np.abs(step).max())
    return logits


def test_l03_what_the_reductions_estimate():
    """One-vs-all tends to P(y_k), pick-all to its share, the normalised ones to E[y_k / |y|]."""
    fact = FACTS["L03"]
    targets = np.stack([mask(s, fact["call"]["K"]) for s in fact["call"]["labelsets"]])
    weights = floats(fact["call"]["P"])
    ova, pal, pal_n = fact["expected"]

    def softmax(f):
        return np.exp(f) / np.exp(f).sum()

    def sigmoid(f):
        return 1 / (1 + np.exp(-f))

    marginals = sigmoid(minimiser("partial_sigmoid_binary_cross_entropy", targets, weights))
    close(fact, ova, marginals)
    close(fact, pal, softmax(minimiser("pick_all_labels", targets, weights)))
    close(fact, pal_n, softmax(minimiser("pick_all_labels_normalised", targets, weights)))
    close(fact, pal_n, sigmoid(minimiser("one_vs_all_normalised", targets, weights)))


def of_uniform_complements(name, fact):
    """Logits that minimise the expected loss of uniform complementary labels."""
    eta = floats(fact["call"]["eta"])
    targets, weights = 1 - np.eye(len(eta)), (1 - eta) / (len(eta) - 1)

    def risk(logits):
        tiled = np.tile(logits, (len(eta), 1))
        value = getattr(losses, name)(tiled, targets)
        return weights @ value, weights @ getattr(losses, f"{name}_gradient")(tiled, targets)

    options = {"gtol": 1e-10, "maxiter": 10_000}
    return minimize(risk, np.zeros(len(eta)), jac=True, method="BFGS", options=options).x


def test_m06_scl_exp_keeps_the_order_and_is_not_calibrated():
    """The minimiser of exp(1 - P) ranks the classes rightly and drops the rarest."""
    logits = of_uniform_complements("scl_exp", FACTS["M06"])
    close(FACTS["M06"], FACTS["M06"]["expected"], np.exp(logits) / np.exp(logits).sum())


def test_m07_the_order_preserving_loss_decodes_to_the_class_probabilities():
    """Its minimiser has softmax(f) in proportion to 1 / (1 - eta), and decodes to eta."""
    fact = FACTS["M07"]
    logits = of_uniform_complements("order_preserving", fact)
    close(fact, fact["expected"], np.exp(logits) / np.exp(logits).sum())
    decoded = losses.order_preserving_proba(logits[None])[0]
    np.testing.assert_allclose(decoded, floats(fact["call"]["eta"]), rtol=1e-6)


@pytest.mark.skipif(not SOURCE.exists(), reason="the design folder is not beside this checkout")
def test_the_committed_facts_are_those_of_the_design():
    """facts_core.json agrees with the design's facts, and leaves out none about losses."""
    source = {fact["id"]: fact for fact in json.loads(SOURCE.read_text(encoding="utf-8"))["facts"]}
    wanted = {i for i in source if i.startswith("E") or i in WANTED}
    assert wanted == set(FACTS)
    for key, fact in FACTS.items():
        assert fact == {name: source[key][name] for name in fact}
