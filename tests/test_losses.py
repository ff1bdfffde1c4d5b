"""The losses at their edges and to the last digits; the laws they share are in test_contracts."""

import re

import mpmath
import numpy as np
import pytest

import eitheror as eo
from eitheror import losses
from losses_reference import REFERENCES, at_most_one, numbers, relative_error
from strategies import draw_logits, draw_targets

INF, NAN = np.inf, np.nan
softmax_loss = losses.partial_softmax_cross_entropy
softmax_gradient = losses.partial_softmax_cross_entropy_gradient


def one_row(function, *rows):
    """Call a loss with one row."""
    return function(*(np.array([row], dtype=float) for row in rows))[0]


# --- accuracy ------------------------------------------------------------------------------

GROUPS = ("at_least_one", "exactly_one", "at_most_one")
TASKS = {name: loss.task for name, loss in losses.LOSSES.items()} | dict.fromkeys(GROUPS, "group")
DISTINCT = [name for name in TASKS if name not in ("random-pick", "pol")]
SMOOTHED = [name for name, loss in losses.LOSSES.items() if name in DISTINCT and loss.trainable]
N_CLASSES = (2, 3, 5, 9)
# Largest relative errors allowed. 16-bit logits are upcast, so they do as well as float32.
ALLOWED = {"float64": 1e-11, "float32": 1e-5, "float16": 1e-5, "bfloat16": 1e-5}


def worst_errors(name, dtype, n_rows, seed):
    """Largest relative errors of values and gradients over drawn rows, against 50 digits.

    Numbers so small that the precision has lost digits anyway are counted as the smallest one that
    keeps them all; a gradient, which is a product of several, gets a margin of 1000.
    """
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    tiny = float(np.finfo(np.float64 if dtype == "float64" else np.float32).tiny)
    if name in GROUPS:
        value, gradient = getattr(losses, name), getattr(losses, f"{name}_gradient")
    else:
        value, gradient = losses.LOSSES[name].value, losses.LOSSES[name].gradient
    rng = np.random.default_rng(seed)
    worst = [0.0, 0.0]
    for n_classes in N_CLASSES:
        n = -(-n_rows // len(N_CLASSES))
        logits = draw_logits(rng, n, n_classes).astype(kind)
        targets = draw_targets(rng, TASKS[name], n, n_classes).astype(kind)
        with np.errstate(all="raise", under="ignore"):
            values, gradients = value(logits, targets), gradient(logits, targets)
        for f, t, v, g in zip(logits, targets, values, gradients, strict=True):
            loss, slope, scale = REFERENCES[name](numbers(f), numbers(t))
            size = max(abs(loss), sum(scale)) if name == "negated" else loss
            worst[0] = max(worst[0], relative_error(v, loss, size, tiny))
            parts = zip(g, slope, scale, strict=True)
            errors = [relative_error(*part, 1000 * tiny) for part in parts]
            worst[1] = max(worst[1], *errors)
    return worst


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("name", DISTINCT)
def test_accuracy_of_drawn_rows(name, dtype):
    """Logits up to 1e4, targets of every kind: right to 1e-11 in float64, to 1e-5 in float32."""
    value_error, gradient_error = worst_errors(name, dtype, n_rows=24, seed=0)
    assert value_error <= ALLOWED[dtype]
    assert gradient_error <= ALLOWED[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ALLOWED)
def test_accuracy_of_ten_thousand_rows(dtype):
    """The same over 10,000 rows, 1,000 of each loss (a quarter of them for 16-bit logits)."""
    n_rows = 250 if dtype.endswith("float16") else 1000
    worst = {name: worst_errors(name, dtype, n_rows, seed=1) for name in DISTINCT}
    assert 10 <= len(worst)
    assert {} == {name: errors for name, errors in worst.items() if max(errors) > ALLOWED[dtype]}


@pytest.mark.parametrize("seed", range(5))
def test_no_loss_is_zero_where_the_truth_is_not(seed):
    """Losses down to the smallest normal number keep their digits: "not l" far below the rest."""
    rng = np.random.default_rng(seed)
    for dtype, deepest in ((np.float32, 86), (np.float64, 700)):
        logits = rng.uniform(-1, 1, (50, 4))
        logits[:, 0] = -np.linspace(1, deepest, 50)
        logits = logits.astype(dtype)
        value = softmax_loss(logits, np.tile(np.array([0, 1, 1, 1], dtype), (50, 1)))
        exact = logits.astype(np.float64)
        expected = np.exp(exact[:, 0]) / np.exp(exact[:, 1:]).sum(axis=1)
        np.testing.assert_allclose(value, np.log1p(expected), rtol=20 * np.finfo(dtype).eps)


def test_references_agree_with_the_definitions():
    """The 50-digit formulas equal the definitions, evaluated with as many digits as it takes."""
    logits = [mpmath.mpf(x) for x in (-30, 5, -200, 12)]
    with mpmath.workdps(400):
        e = [mpmath.exp(x) for x in logits]
        p = [x / sum(e) for x in e]
        none = mpmath.fprod(1 / (1 + x) for x in e)
        definitions = {
            "softmax": -mpmath.log(p[0] + p[2]),
            "uniform": -(mpmath.log(p[0]) + mpmath.log(p[2])) / 2,
            "pal": -mpmath.log(p[0]) - mpmath.log(p[2]),
            "ova": -mpmath.log(e[0] * e[2] * none),
            "at_least_one": -mpmath.log(1 - 1 / ((1 + e[0]) * (1 + e[2]))),
            "exactly_one": -mpmath.log((e[0] + e[2]) / ((1 + e[0]) * (1 + e[2]))),
            "at_most_one": -mpmath.log((1 + e[0] + e[2]) / ((1 + e[0]) * (1 + e[2]))),
        }
    for name, expected in definitions.items():
        actual = REFERENCES[name](logits, numbers([1.0, 0.0, 1.0, 0.0]))[0]
        assert abs(actual - expected) <= abs(expected) * mpmath.mpf(10) ** -45


def test_tiny_losses_of_at_most_one():
    """All tags unlikely: the loss is the sum of the products of pairs, not 0."""
    logits = np.array([[-20.0, -21.5, -300.0], [-170.0, -171.0, -172.0]])
    for row, actual in zip(logits, losses.at_most_one(logits, np.ones((2, 3))), strict=True):
        expected = at_most_one(numbers(row), numbers(np.ones(3)))[0]
        assert float(expected) == pytest.approx(actual, rel=1e-13)


# --- infinite and missing numbers ----------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "targets", "expected"),
    [
        ([-INF, 0, 1], [1, 1, 0], np.log1p(np.e)),  # the impossible candidate is ignored
        ([-INF, 0, 1], [0, 1, 1], 0.0),  # and so is an impossible rival
        ([-INF, 0, 1], [1, 0, 0], INF),  # the statement names only what cannot be
        ([-INF, -INF, 1], [1, 1, 0], INF),
        ([-INF, -INF, 1], [0, 0, 1], 0.0),
        ([INF, 0, 1], [1, 0, 1], 0.0),  # one class is certain, and allowed
        ([INF, 0, 1], [0, 1, 1], INF),  # or not
        ([INF, 0, 1], [0.25, 1, 0], np.log(4)),  # or trusted to a quarter
        ([INF, -INF, 1], [1, 0, 1], 0.0),
        ([INF, 0, 1], [0.5, 0.5, 0], INF),
        ([-INF, 0, 0], [0, 0.5, 0.5], np.log(2)),
        ([-INF, 0, 0], [0.5, 0.5, 0], INF),
        ([INF, INF, 0], [1, 1, 0], NAN),  # no softmax exists
        ([-INF, -INF, -INF], [1, 1, 0], NAN),
        ([NAN, 0, 1], [1, 1, 0], NAN),
        ([NAN, 0, 1], [1, 1, 1], NAN),
    ],
)
def test_infinite_logits_of_exclusive_classes(logits, targets, expected):
    """-inf is a class that cannot be, +inf one that is certain; what is undefined is nan."""
    with np.errstate(all="raise", under="ignore"):
        actual = one_row(softmax_loss, logits, targets)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("logits", "targets", "expected"),
    [
        ([-INF, 0, 0], [1, 1, 0], [0, -0.5, 0.5]),
        ([-INF, 0, 0], [0, 1, 1], [0, 0, 0]),
        ([-INF, 0, 0], [1, 0, 0], [NAN, NAN, NAN]),
        ([INF, 0, 0], [1, 0, 1], [0, 0, 0]),
        ([INF, 0, 0], [0, 1, 1], [1, -0.5, -0.5]),
        ([INF, 0, 0], [0.25, 1, 1], [0, 0, 0]),
        ([INF, 0, 0], [0.5, 0.5, 0], [0.5, -0.5, 0]),
        ([-INF, 0, 0], [0.5, 0.5, 0], [NAN, NAN, NAN]),
        ([INF, INF, 0], [1, 1, 0], [NAN, NAN, NAN]),
    ],
)
def test_gradients_at_infinite_logits(logits, targets, expected):
    """The gradient is its limit; nan where the statement names only what cannot be."""
    np.testing.assert_array_equal(one_row(softmax_gradient, logits, targets), expected)


@pytest.mark.parametrize(
    ("logits", "targets", "loss", "gradient"),
    [
        ([-INF, INF], [0, 1], 0.0, [0, 0]),
        ([-INF, INF], [1, 1], INF, [-1, 0]),
        ([-INF, INF], [NAN, 0], INF, [0, 1]),
        ([-INF, 0], [NAN, NAN], 0.0, [0, 0]),
        ([-INF, 0], [0.25, NAN], INF, [-0.25, 0]),
        ([NAN, 0], [NAN, 1], NAN, [NAN, NAN]),
    ],
)
def test_infinite_logits_of_tags(logits, targets, loss, gradient):
    """A tag that is certain costs 0 or everything; its gradient is the limit."""
    name = "partial_sigmoid_binary_cross_entropy"
    assert loss == pytest.approx(one_row(getattr(losses, name), logits, targets), nan_ok=True)
    actual = one_row(getattr(losses, f"{name}_gradient"), logits, targets)
    np.testing.assert_array_equal(actual, gradient)


@pytest.mark.parametrize(
    ("name", "logits", "loss", "gradient"),
    [
        ("at_least_one", [-INF, -INF], INF, [NAN, NAN]),
        ("at_least_one", [-INF, 0], np.log(2), [0, -0.5]),
        ("at_least_one", [INF, 0], 0.0, [0, 0]),
        ("exactly_one", [-INF, -INF], INF, [NAN, NAN]),
        ("exactly_one", [-INF, 0], np.log(2), [0, -0.5]),
        ("exactly_one", [INF, 0], np.log(2), [0, 0.5]),
        ("exactly_one", [INF, INF], INF, [NAN, NAN]),
        ("at_most_one", [-INF, -INF], 0.0, [0, 0]),
        ("at_most_one", [-INF, 0], 0.0, [0, 0]),
        ("at_most_one", [INF, 0], np.log(2), [0, 0.5]),
        ("at_most_one", [INF, INF], INF, [NAN, NAN]),
    ],
)
def test_infinite_logits_of_counted_tags(name, logits, loss, gradient):
    """How many tags apply when some surely do, or surely do not."""
    with np.errstate(all="raise", under="ignore"):
        assert loss == pytest.approx(one_row(getattr(losses, name), logits, [1, 1]), rel=1e-14)
        actual = one_row(getattr(losses, f"{name}_gradient"), logits, [1, 1])
        product = one_row(getattr(losses, f"{name}_hvp"), logits, [1, 1], [1, 2])
    np.testing.assert_allclose(actual, gradient, rtol=1e-14)
    np.testing.assert_array_equal(np.isnan(product), np.isnan(gradient))


@pytest.mark.parametrize(
    ("name", "expected"), [("at_least_one", NAN), ("exactly_one", NAN), ("at_most_one", 0.0)]
)
def test_empty_masks(name, expected):
    """One of no tags is a contradiction, nan; at most one of none is certain and costs 0."""
    loss = one_row(getattr(losses, name), [1, 2], [0, 0])
    assert expected == pytest.approx(loss, nan_ok=True)
    gradient = one_row(getattr(losses, f"{name}_gradient"), [1, 2], [0, 0])
    np.testing.assert_array_equal(gradient, [expected, expected])


# --- how rows are read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 1, 0], -np.log(2 / 3)),  # evidence: the largest entry is exactly 1
        ([1, 0.1, 0.1], -np.log(1.2 / 3)),
        ([0.5, 0.5, 0], np.log(3)),  # shares: they add to 1
        ([0.5, 0.5 + 9e-7, 0], (1 + 9e-7) * np.log(3)),  # used as they are
        ([0.5, 0.5 + 2e-6, 0], NAN),
        ([1 + 5e-7, 0, 0], (1 + 5e-7) * np.log(3)),
        ([1 - 5e-7, 0, 0], (1 - 5e-7) * np.log(3)),
        ([0.9, 0.9, 0], NAN),
        ([0, 0, 0], NAN),  # a contradiction that reached the loss
        ([1, 2, 0], NAN),
        ([1, 0, -1e-9], NAN),
        ([1, INF, 0], NAN),
        ([1, NAN, 1], NAN),
    ],
)
def test_multiclass_rows_are_evidence_shares_or_nan(row, expected):
    """The largest entry 1: evidence. Else a sum of 1: shares. Else nan, and nan gradient."""
    with np.errstate(all="raise"):
        actual = one_row(softmax_loss, [0, 0, 0], row)
        gradient = one_row(softmax_gradient, [0, 0, 0], row)
    assert expected == pytest.approx(actual, rel=1e-12, nan_ok=True)
    assert np.isnan(expected) == np.isnan(gradient).all() == np.isnan(gradient).any()


def test_16_bit_shares_may_be_off_by_their_rounding():
    """Shares in 16 bits may miss 1 by a hundredth."""
    row = np.array([[0.3, 0.3, 0.395]])
    assert np.isfinite(softmax_loss(np.zeros((1, 3)), row.astype(np.float16)))[0]
    assert np.isnan(softmax_loss(np.zeros((1, 3)), row))[0]


def test_targets_are_read_in_their_own_precision():
    """A float64 row just below 1 stays shares beside float32 logits, where it would round to 1."""
    row = np.array([[1 - 1e-9, 1e-9]])
    loss = softmax_loss(np.array([[-100.0, 0.0]], np.float32), row)
    assert 100.0 == pytest.approx(loss[0], rel=1e-6)
    assert np.float32 == loss.dtype


def test_whole_numbers_and_lists_are_taken():
    """Integer and boolean targets, lists, and integer logits are read as the numbers they are."""
    expected = softmax_loss(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]))
    assert expected == softmax_loss([[1, 2]], [[1, 0]])
    assert expected == softmax_loss(np.array([[1, 2]]), np.array([[True, False]]))


@pytest.mark.parametrize(
    ("logits", "targets"),
    [(np.zeros((2, 3)), np.ones((2, 2))), (np.zeros((2, 3)), np.ones(3)), (1.0, 1.0)],
)
def test_shapes_are_checked(logits, targets):
    """Shapes that differ are refused, not broadcast."""
    shapes = f"the arrays have shapes {np.shape(logits)}, {np.shape(targets)}; "
    with pytest.raises(ValueError, match=re.escape(shapes)):
        softmax_loss(logits, targets)


def test_complex_logits_are_refused():
    """Complex numbers have no place here."""
    with pytest.raises(TypeError, match="logits and targets are real numbers"):
        softmax_loss(np.zeros((1, 2), complex), np.ones((1, 2)))


def test_two_libraries_are_refused():
    """Logits of NumPy and targets of torch: the message names both."""
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"the logits are a ndarray and another .* a Tensor"):
        softmax_loss(np.zeros((1, 2)), torch.ones((1, 2)))


# --- alternatives --------------------------------------------------------------------------


def test_label_smoothing_of_a_set():
    """(1 - e) loss + e mean(-log p), the mean over the classes that can be."""
    logits, row = [1.0, 2.0, 0.5], [1, 1, 0]
    log_p = np.array(logits) - np.log(np.exp(logits).sum())
    expected = 0.9 * one_row(softmax_loss, logits, row) - 0.1 * log_p.mean()
    arguments = np.array([logits]), np.array([row])
    assert expected == pytest.approx(softmax_loss(*arguments, label_smoothing=0.1)[0], rel=1e-14)
    arguments = np.array([[*logits, -INF]]), np.array([[*row, 0]])
    assert expected == pytest.approx(softmax_loss(*arguments, label_smoothing=0.1)[0], rel=1e-14)


@pytest.mark.parametrize("name", SMOOTHED)
def test_label_smoothing_against_the_reference(name):
    """Values and gradients with label smoothing, against 50 digits."""
    rng, loss = np.random.default_rng(3), losses.LOSSES[name]
    logits = draw_logits(rng, 40, 4)
    targets = draw_targets(rng, loss.task, 40, 4)
    values = loss.value(logits, targets, label_smoothing=0.25)
    gradients = loss.gradient(logits, targets, label_smoothing=0.25)
    products = loss.hvp(logits, targets, np.ones_like(logits), label_smoothing=0.25)
    for f, t, v, g, h in zip(logits, targets, values, gradients, products, strict=True):
        expected, slope, scale = REFERENCES[name](numbers(f), numbers(t), 0.25)
        assert relative_error(v, expected, expected, 1e-300) <= 1e-11
        assert max(map(relative_error, g, slope, scale, [1e-300] * 4)) <= 1e-11
        if loss.proba == "softmax":
            np.testing.assert_allclose(h, 0, atol=1e-13)


ROBUST = {  # the loss as a function of minus log P, and its bounds
    "set-mae": (lambda loss: -np.expm1(-loss), 0.0, 1.0),
    "gce": (lambda loss: -np.expm1(-0.7 * loss) / 0.7, 0.0, 1 / 0.7),
    "scl-exp": (lambda loss: np.exp(-np.expm1(-loss)), 1.0, np.e),
}


@pytest.mark.parametrize("name", ROBUST)
def test_robust_losses_are_bent_likelihoods(name):
    """Each is an increasing, bounded function of minus the log of the statement's probability."""
    rng, (bend, low, high) = np.random.default_rng(6), ROBUST[name]
    logits, weights = draw_logits(rng, 300, 5), rng.uniform(0, 1, (300, 5))
    weights[:, 0] = 1.0
    value = losses.LOSSES[name].value(logits, weights)
    np.testing.assert_allclose(value, bend(softmax_loss(logits, weights)), rtol=1e-9, atol=1e-300)
    assert low <= value.min() <= value.max() <= high * (1 + 1e-15)


@pytest.mark.parametrize("name", ROBUST)
def test_robust_losses_of_shares_are_means_over_the_classes(name):
    """Shares cost the mean loss of one class drawn by them."""
    rng, loss = np.random.default_rng(7), losses.LOSSES[name]
    logits, shares = draw_logits(rng, 50, 4), rng.dirichlet(np.ones(4), 50)
    single = np.stack([loss.value(logits, np.tile(e, (50, 1))) for e in np.eye(4)], axis=1)
    expected = (shares * single).sum(axis=1)
    np.testing.assert_allclose(loss.value(logits, shares), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ROBUST)
def test_robust_losses_give_up_on_what_the_model_rules_out(name):
    """A statement that the model finds impossible costs the most there is and teaches nothing."""
    loss, highest = losses.LOSSES[name], ROBUST[name][2]
    for logits in ([1e4, 0.0, -1e4], [INF, 0.0, 0.0], [0.0, 0.0, -INF]):
        with np.errstate(all="raise", under="ignore"):
            value = one_row(loss.value, logits, [0, 0, 1])
            gradient = one_row(loss.gradient, logits, [0, 0, 1])
        assert highest == pytest.approx(value, rel=1e-14)
        np.testing.assert_array_equal(gradient, np.zeros(3))


def test_the_exponent_leads_from_the_likelihood_to_the_absolute_error():
    """q = 1 is set-MAE; a small q is the likelihood; other numbers are refused."""
    logits, weights = np.array([[1.0, 2.0, 0.5]]), np.array([[1.0, 0.0, 0.25]])
    for end in ("", "_gradient"):
        generalised = getattr(losses, f"generalised_cross_entropy{end}")
        robust = getattr(losses, f"set_mean_absolute_error{end}")(logits, weights)
        likelihood = getattr(losses, f"partial_softmax_cross_entropy{end}")(logits, weights)
        np.testing.assert_allclose(generalised(logits, weights, q=1.0), robust, rtol=1e-13)
        np.testing.assert_allclose(generalised(logits, weights, q=1e-9), likelihood, rtol=1e-7)
    for q in (0.0, 1.5, NAN):
        with pytest.raises(ValueError, match=f"q is {q}; expected 0 < q <= 1"):
            losses.generalised_cross_entropy(logits, weights, q=q)


def test_order_preserving_of_one_class_is_the_published_loss():
    """lse(-f) + f_l for "not l", convex: every Hessian product has the sign of its vector."""
    rng = np.random.default_rng(8)
    logits, vectors = rng.normal(size=(40, 5)) * 10, rng.normal(size=(40, 5))
    columns = np.arange(40) % 5
    targets = 1 - np.eye(5)[columns]
    expected = np.logaddexp.reduce(-logits, axis=1) + logits[np.arange(40), columns]
    np.testing.assert_allclose(losses.order_preserving(logits, targets), expected, atol=1e-12)
    products = losses.order_preserving_hvp(logits, targets, vectors)
    assert np.all(np.sum(products * vectors, axis=1) >= -1e-12)


def test_order_preserving_scores_decode_to_probabilities():
    """1 - (K - 1) softmax(-f), cut at 0; nan where there is no softmax."""
    eta = np.array([[0.5, 0.3, 0.2, 0.0]])
    decoded = losses.order_preserving_proba(7 - np.log((1 - eta) / 3))
    np.testing.assert_allclose(decoded, eta, atol=1e-15)
    far = losses.order_preserving_proba(np.array([[-3.0, 0.0, 1.0], [NAN, 0, 0]]))
    np.testing.assert_allclose(far[0].sum(), 1)
    assert 0 == far[0, 0]
    assert np.isnan(far[1]).all()


NEW = ("set-mae", "gce", "scl-exp", "op")


def three_clouds():
    """Return points around three centres, and one class that each is not."""
    rng = np.random.default_rng(9)
    y = np.arange(150) % 3
    X = rng.normal(size=(150, 2)) + 4 * np.array([[0, 0], [1, 0], [0, 1]])[y]
    return X, y, eo.noise.corrupt_complementary(y, 3, random_state=9)


@pytest.mark.parametrize("name", NEW)
def test_models_of_numbers_train_them(name):
    """A linear model learns the classes from what each row is not."""
    X, y, labels = three_clouds()
    model = eo.LinearClassifier(loss=name, l2=0.01).fit(X, labels)
    assert 0.9 < np.mean(model.predict(X) == y)


@pytest.mark.parametrize("name", NEW)
def test_networks_train_them(name):
    """So does a network, by torch's automatic differentiation of the same functions."""
    pytest.importorskip("torch")
    X, y, labels = three_clouds()
    model = eo.torch.TorchClassifier(loss=name, epochs=60, lr=0.01).fit(X, labels)
    assert 0.9 < np.mean(model.predict(X) == y)


@pytest.mark.parametrize("name", NEW)
def test_models_of_texts_refuse_them(name):
    """The refusal names where the loss works and what to use instead."""
    message = rf"loss='{name}' trains models of numbers .* use 'softmax', with trust="
    with pytest.raises(ValueError, match=message):
        eo.TextClassifier(loss=name).fit(["a b", "c d"], ["x", "y"])


@pytest.mark.parametrize("name", NEW)
def test_tags_refuse_them(name):
    """They are losses of exclusive classes."""
    with pytest.raises(ValueError, match=f"loss='{name}' needs exactly one true class a row"):
        eo.LinearClassifier(loss=name).fit([[0.0], [1.0]], [eo.tags("a"), eo.tags("a", "b")])


def test_drawn_candidates_follow_the_weights():
    """Each candidate is drawn in proportion to its weight; what is ruled out never is."""
    targets = np.tile([[1.0, 0.5, 0.0, 0.5]], (20_000, 1))
    drawn = losses.draw_one_candidate(targets, random_state=0)
    assert np.all(drawn.sum(axis=1) == 1)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 0.25, 0, 0.25], atol=0.015)
    np.testing.assert_array_equal(drawn, losses.draw_one_candidate(targets, random_state=0))


def test_drawn_candidates_keep_rows_that_are_no_choice():
    """Exact and unknown rows stay as they are, invalid rows are nan, shares are drawn from."""
    targets = np.array([[0, 1, 0], [1, 1, 1], [0.9, 0.9, 0], [0, 0.5, 0.5]])
    drawn = losses.draw_one_candidate(targets, random_state=np.random.default_rng(1))
    np.testing.assert_array_equal(drawn[:2], targets[:2])
    assert np.isnan(drawn[2]).all()
    assert sorted(drawn[3]) == [0, 0, 1]
    assert 0 == drawn[3, 0]


def test_drawn_labels_are_tags_that_apply():
    """One tag of each row; unknown where none applies; nan where the row is invalid."""
    targets = np.array([[1, 1, 1], [0, np.nan, 0], [0, 2, 0], [0, 1, np.nan]])
    drawn = np.stack([losses.draw_one_label(targets, seed) for seed in range(300)])
    np.testing.assert_allclose(drawn[:, 0].mean(axis=0), 1 / 3, atol=0.1)
    np.testing.assert_array_equal(drawn[0, 1], [1, 1, 1])
    assert np.isnan(drawn[:, 2]).all()
    np.testing.assert_array_equal(drawn[0, 3], [0, 1, 0])


@pytest.mark.parametrize(
    ("draw", "name", "task"),
    [
        (losses.draw_one_candidate, "random-pick", "multiclass"),
        (losses.draw_one_label, "pol", "multilabel"),
    ],
)
def test_the_mean_over_draws_is_the_registered_loss(draw, name, task):
    """Random pick and "pick one label" are registered by their expectation."""
    rng = np.random.default_rng(5)
    targets = draw_targets(rng, task, 12, 3).astype(float)
    logits = rng.standard_normal((12, 3))
    drawn = draw(np.tile(targets, (5000, 1, 1)), rng)
    mean = softmax_loss(np.tile(logits, (5000, 1, 1)), drawn).mean(axis=0)
    np.testing.assert_allclose(mean, losses.LOSSES[name].value(logits, targets), atol=0.1)


def test_the_registry_says_what_is_trained_and_meant():
    """Each word has its task, link and meaning; only the negated gradient is refused."""
    described = {
        name: (loss.task, loss.proba, loss.proba_meaning) for name, loss in losses.LOSSES.items()
    }
    assert {
        "softmax": ("multiclass", "softmax", "probabilities"),
        "uniform": ("multiclass", "softmax", "probabilities"),
        "random-pick": ("multiclass", "softmax", "probabilities"),
        "negated": ("multiclass", "softmax", "probabilities"),
        "set-mae": ("multiclass", "softmax", "probabilities"),
        "gce": ("multiclass", "softmax", "probabilities"),
        "scl-exp": ("multiclass", "softmax", "probabilities"),
        "op": ("multiclass", "softmax", "probabilities"),
        "ova": ("multilabel", "sigmoid", "marginals"),
        "ova-n": ("multilabel", "sigmoid", "shares"),
        "pal": ("multilabel", "softmax", "shares"),
        "pal-n": ("multilabel", "softmax", "shares"),
        "pol": ("multilabel", "softmax", "shares"),
    } == described
    assert ["negated"] == [name for name, loss in losses.LOSSES.items() if not loss.trainable]
    assert "Use 'softmax'" in losses.LOSSES["negated"].reason
    assert all(name == loss.name and loss.reason for name, loss in losses.LOSSES.items())


def test_every_public_function_is_listed():
    """__all__ is sorted and holds each loss with its gradient and product."""
    assert sorted(losses.__all__) == losses.__all__
    families = [name.removesuffix("_gradient") for name in losses.__all__ if "_gradient" in name]
    assert all({name, f"{name}_hvp"} <= set(losses.__all__) for name in families)
