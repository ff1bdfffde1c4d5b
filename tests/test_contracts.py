"""The laws that every loss passes. A new loss is one line in `losses.LOSSES` and passes them all.

The "how many" losses (at least, exactly, at most one of a mask) are held to the same laws where
they apply.
"""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings

import eitheror as eo
from eitheror import losses
from losses_reference import REFERENCES, numbers, numeric_derivative
from strategies import draw_logits, draw_targets, problems

# --- losses --------------------------------------------------------------------------------

GROUPS = ("at_least_one", "exactly_one", "at_most_one")
TASKS = {
    **{name: loss.task for name, loss in losses.LOSSES.items()},
    **dict.fromkeys(GROUPS, "group"),
}
MULTICLASS = [name for name, task in TASKS.items() if task == "multiclass"]
MULTILABEL = [name for name, task in TASKS.items() if task == "multilabel"]
SOFTMAX = [name for name, loss in losses.LOSSES.items() if loss.proba == "softmax"]
STOCK = [name for name, loss in losses.LOSSES.items() if loss.stock]
# Functions of a probability: knowing more can only cost more. With the entry that says nothing.
MONOTONE = {
    **dict.fromkeys(("softmax", "set-mae", "gce", "scl-exp", "op"), 1.0),
    **dict.fromkeys(("ova", "pal"), np.nan),
}
BACKENDS = ("array_api_strict", "torch")

DISTINCT = [name for name in TASKS if name not in ("random-pick", "pol")]  # two are others' means
SLOW = pytest.mark.slow

every_loss = pytest.mark.parametrize("name", TASKS)
few = settings(max_examples=25, deadline=None)


def functions(name):
    """Return value, gradient and Hessian-vector product of a loss."""
    if name in GROUPS:
        return tuple(getattr(losses, name + part) for part in ("", "_gradient", "_hvp"))
    loss = losses.LOSSES[name]
    return loss.value, loss.gradient, loss.hvp


def drawn_problem(name, seed, n_samples=40, n_classes=5):
    """Return logits of all scales, targets of all kinds, and vectors."""
    rng = np.random.default_rng(seed)
    logits = draw_logits(rng, n_samples, n_classes)
    targets = draw_targets(rng, TASKS[name], n_samples, n_classes).astype(float)
    return logits, targets, rng.standard_normal((n_samples, n_classes))


@every_loss
def test_gradient_is_the_derivative_of_the_value(name):
    """Moving one logit changes the loss as the gradient says, at logits up to 1e4."""
    logits, targets, _ = drawn_problem(name, seed=1, n_samples=12, n_classes=4)
    gradient = functions(name)[1](logits, targets)
    for f, t, actual in zip(map(numbers, logits), map(numbers, targets), gradient, strict=True):
        for k in range(4):
            e = [float(j == k) for j in range(4)]
            expected = numeric_derivative(lambda x, t=t: REFERENCES[name](x, t)[0], f, e)
            assert float(expected) == pytest.approx(actual[k], rel=1e-9, abs=1e-11)


@every_loss
def test_hvp_is_the_derivative_of_the_gradient(name):
    """Moving along v changes the gradient by the Hessian times v, at logits up to 1e4."""
    logits, targets, vectors = drawn_problem(name, seed=2, n_samples=25, n_classes=4)
    products = functions(name)[2](logits, targets, vectors)
    rows = zip(logits, targets, vectors, products, strict=True)
    for f, t, v, actual in ([*map(numbers, row[:3]), row[3]] for row in rows):
        expected = numeric_derivative(lambda x, t=t: REFERENCES[name](x, t)[1], f, v)
        np.testing.assert_allclose(actual, [float(x) for x in expected], rtol=1e-9, atol=1e-11)


@every_loss
def test_hessian_is_symmetric(name):
    """The products with the unit vectors make a symmetric matrix."""
    logits, targets, _ = drawn_problem(name, seed=3)
    hvp = functions(name)[2]
    columns = [hvp(logits, targets, np.broadcast_to(e, logits.shape)) for e in np.eye(5)]
    hessian = np.stack(columns, axis=-1)
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, -1, -2), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_gradients_add_to_zero(name):
    """A softmax cannot tell a shift of all logits, so each gradient row adds to 0."""
    logits, targets, _ = drawn_problem(name, seed=4)
    total = functions(name)[1](logits, targets).sum(axis=1)
    np.testing.assert_allclose(total, 0, atol=1e-13 * 5)


@pytest.mark.parametrize("name", SOFTMAX)
@pytest.mark.parametrize("shift", [3.0, -1024.0, 4096.0])
def test_a_constant_added_to_the_logits_changes_nothing(name, shift):
    """Logits that differ by an exactly representable shift give the same loss and gradient."""
    logits, targets, _ = drawn_problem(name, seed=5)
    logits = np.round(np.clip(logits, -50, 50) * 64) / 64
    value, gradient, _ = functions(name)
    np.testing.assert_allclose(value(logits + shift, targets), value(logits, targets), rtol=1e-13)
    np.testing.assert_allclose(
        gradient(logits + shift, targets), gradient(logits, targets), rtol=1e-13, atol=1e-300
    )


@every_loss
def test_permuting_classes_permutes_gradients(name):
    """The order of the classes is a name, nothing more."""
    logits, targets, _ = drawn_problem(name, seed=6)
    order = np.array([3, 0, 4, 1, 2])
    value, gradient, _ = functions(name)
    permuted = logits[:, order], targets[:, order]
    np.testing.assert_allclose(value(*permuted), value(logits, targets), rtol=1e-13)
    np.testing.assert_allclose(
        gradient(*permuted), gradient(logits, targets)[:, order], rtol=1e-11, atol=1e-15
    )


@every_loss
def test_rows_do_not_touch_each_other(name):
    """The loss of some rows is that part of the loss of all rows."""
    logits, targets, vectors = drawn_problem(name, seed=7)
    rows = np.array([5, 2, 31])
    for function, arguments in zip(functions(name), [(), (), (vectors,)], strict=True):
        whole = function(logits, targets, *arguments)
        part = function(logits[rows], targets[rows], *(a[rows] for a in arguments))
        np.testing.assert_array_equal(part, whole[rows])


@every_loss
def test_leading_dimensions_are_rows(name):
    """Logits of shape (a, b, K) give losses of shape (a, b), and one row gives a number."""
    logits, targets, vectors = drawn_problem(name, seed=8, n_samples=6)
    for function, arguments in zip(functions(name), [(), (), (vectors,)], strict=True):
        flat = function(logits, targets, *arguments)
        cube = [a.reshape(2, 3, 5) for a in (logits, targets, *arguments)]
        np.testing.assert_array_equal(function(*cube), flat.reshape(2, 3, *flat.shape[1:]))
        first = [a[0] for a in (logits, targets, *arguments)]
        np.testing.assert_array_equal(function(*first), flat[0])


@pytest.mark.parametrize("name", [*MULTICLASS, *MULTILABEL])
def test_a_row_that_says_nothing_costs_exactly_nothing(name):
    """Unknown: loss, gradient and Hessian are 0, not small, and so with label smoothing."""
    logits, _, vectors = drawn_problem(name, seed=9)
    unknown = np.full_like(logits, 1.0 if name in MULTICLASS else np.nan)
    value, gradient, hvp = functions(name)
    assert not value(logits, unknown).any()
    assert not gradient(logits, unknown).any()
    assert not hvp(logits, unknown, vectors).any()
    if losses.LOSSES[name].trainable:
        assert not value(logits, unknown, label_smoothing=0.2).any()
        assert not gradient(logits, unknown, label_smoothing=0.2).any()


@pytest.mark.parametrize("name", MONOTONE)
@few
@given(problem=problems("multilabel"))
def test_more_knowledge_never_lowers_the_loss(name, problem):
    """Taking entries out of a statement (possible, or unknown) never costs more."""
    logits, drawn = problem
    silent = MONOTONE[name]
    if TASKS[name] == "multiclass":  # a set that holds the first class, and larger sets
        drawn = np.where(drawn >= 0.5, 1.0, 0.0)
        drawn[:, 0] = 1.0
    value = functions(name)[0]
    before = value(logits, drawn)
    for k in range(drawn.shape[1]):
        vaguer = drawn.copy()
        vaguer[:, k] = silent
        assert np.all(value(logits, vaguer) <= before * (1 + 1e-12))


@few
@given(problem=problems("multiclass"))
def test_either_is_below_exact_and_not_is_either_of_the_rest(problem):
    """L(either S) <= L(exact k) for k in S, and L(not N) = L(either the others)."""
    logits = np.pad(problem[0][:1], ((0, 0), (0, 1)))
    names = [f"class {k}" for k in range(logits.shape[1])]

    def loss(*labels):
        targets = eo.Labels(labels, classes=names, task="multiclass").to_targets()
        tiled = np.repeat(logits, len(labels), axis=0)
        return losses.partial_softmax_cross_entropy(tiled, targets)

    either = loss(eo.either(*names[:-1]))[0]
    assert np.all(either <= loss(*names[:-1]) * (1 + 1e-12))
    assert either == loss(eo.not_(names[-1]))[0]
    assert 0 == loss(eo.unknown)[0]


@few
@given(problem=problems("group"))
def test_counts_of_tags_add_to_one(problem):
    """P(none) + P(at least one) = 1, and P(none) + P(exactly one) = P(at most one)."""
    logits, mask = problem
    none = np.exp(-losses.partial_sigmoid_binary_cross_entropy(logits, np.where(mask, 0, np.nan)))
    some, one, few_or_none = (np.exp(-functions(name)[0](logits, mask)) for name in GROUPS)
    np.testing.assert_allclose(none + some, 1, rtol=1e-12)
    np.testing.assert_allclose(none + one, few_or_none, rtol=1e-12)


INVALID = {
    "multiclass": [[0.5, 0.2, 0.2], [0, 0, 0], [1, -0.1, 0], [2, 0, 0], [1, np.nan, 0]],
    "multilabel": [[0, 1.5, 0], [-0.1, 1, 0], [np.inf, 0, 0], [0, 0, -np.inf]],
    "group": [[0.5, 1, 0], [2, 1, 1], [np.nan, 1, 0]],
}


@every_loss
def test_invalid_rows_are_nan_and_spare_the_others(name):
    """A row that is no statement, and a nan logit: nan loss and gradient, in that row only."""
    bad = np.array(INVALID[TASKS[name]])
    targets = np.insert(bad, 1, [0, 1, 0], axis=0)
    logits = np.linspace(-1, 2, targets.size).reshape(targets.shape)
    logits, targets = (
        np.insert(logits, 0, [np.nan, 0, 0], axis=0),
        np.insert(targets, 0, [0, 1, 0], axis=0),
    )
    expected = np.arange(len(logits)) != 2
    value, gradient, hvp = functions(name)
    for result in (gradient(logits, targets), hvp(logits, targets, np.ones_like(logits))):
        np.testing.assert_array_equal(np.isnan(result).all(axis=1), expected)
        np.testing.assert_array_equal(np.isnan(result).any(axis=1), expected)
    np.testing.assert_array_equal(np.isnan(value(logits, targets)), expected)


@pytest.mark.parametrize("name", [n for n in losses.LOSSES if losses.LOSSES[n].trainable])
@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_label_smoothing_is_a_share(name, wrong):
    """label_smoothing outside [0, 1] is refused."""
    with pytest.raises(ValueError, match=r"label_smoothing is .*; it is a share between 0 and 1"):
        functions(name)[0](np.zeros((1, 2)), np.ones((1, 2)), label_smoothing=wrong)


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_precision_of_the_result(name, dtype):
    """The result has the precision of the logits; 16-bit logits give float32."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = getattr(ml_dtypes, dtype) if dtype == "bfloat16" else np.dtype(dtype)
    logits, targets, vectors = drawn_problem(name, seed=10)
    value, gradient, hvp = functions(name)
    expected = np.float64 if dtype == "float64" else np.float32
    logits = logits.astype(kind)
    for result in (
        value(logits, targets),
        gradient(logits, targets),
        hvp(logits, targets, vectors),
    ):
        assert expected == result.dtype
        assert np.isfinite(result).all()


@every_loss
@pytest.mark.parametrize("module", BACKENDS)
def test_every_library_computes_what_numpy_computes(name, module):
    """array-api-strict and torch give NumPy's numbers, in float32 (JAX: under jit, below)."""
    xp = pytest.importorskip(module)
    logits, targets, vectors = (a.astype(np.float32) for a in drawn_problem(name, seed=11))
    arguments = [(logits, targets), (logits, targets), (logits, targets, vectors)]
    for function, arrays in zip(functions(name), arguments, strict=True):
        expected = function(*arrays)
        actual = function(*(xp.asarray(a) for a in arrays))
        assert type(xp.asarray(logits)) is type(actual)
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", ["torch", "jax.numpy"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_logits_of_every_library_give_float32(module, dtype):
    """torch and JAX logits in 16 bits are upcast inside, and the loss comes back in float32."""
    xp = pytest.importorskip(module)
    logits = xp.asarray([[1000.0, -1000.0, 0.5]], dtype=getattr(xp, dtype))
    targets = xp.asarray([[0.0, 1.0, 0.0]], dtype=getattr(xp, dtype))
    function = losses.partial_softmax_cross_entropy
    if module == "jax.numpy":  # one compilation instead of one an operation
        function = importlib.import_module("jax").jit(function)
    loss = function(logits, targets)
    assert xp.float32 == loss.dtype
    assert 2000.0 == float(loss[0])


@every_loss
def test_targets_may_be_numpy_beside_any_logits(name):
    """`labels.to_targets()` is NumPy; it goes with torch logits as it is."""
    torch = pytest.importorskip("torch")
    logits, targets, _ = drawn_problem(name, seed=12)
    value = functions(name)[0]
    expected = value(torch.asarray(logits), torch.asarray(targets))
    assert torch.equal(expected, value(torch.asarray(logits), targets))


# JAX compiles for a second or two a loss: the others run with the slow tests.
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("softmax", "ova", "at_least_one") else pytest.param(name, marks=SLOW)
        for name in DISTINCT
    ],
)
def test_losses_compile_and_differentiate_with_jax(name):
    """Value, gradient, product and jax.grad run under jit and vmap, and agree with NumPy."""
    jax = pytest.importorskip("jax")
    value, gradient, hvp = functions(name)

    @jax.jit
    @jax.vmap
    def compiled(f, t, v):
        return value(f, t), gradient(f, t), hvp(f, t, v), jax.grad(value)(f, t)

    logits, targets, vectors = drawn_problem(name, seed=13)
    logits[:3] = 0.0
    logits, targets, vectors = (a.astype(np.float32) for a in (logits, targets, vectors))
    slope = gradient(logits, targets)
    expected = value(logits, targets), slope, hvp(logits, targets, vectors), slope
    for ours, numpys in zip(compiled(logits, targets, vectors), expected, strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=2e-5, atol=2e-6)


@every_loss
def test_automatic_differentiation_gives_the_gradient(name):
    """Differentiating a value with torch is safe at any logits, ties too, and is the gradient."""
    torch = pytest.importorskip("torch")
    logits, targets, _ = drawn_problem(name, seed=14)
    logits[:3] = 0.0
    value, gradient, _ = functions(name)
    f = torch.tensor(logits, requires_grad=True)
    value(f, torch.asarray(targets)).sum().backward()
    np.testing.assert_allclose(f.grad, gradient(logits, targets), rtol=1e-11, atol=1e-14)


def stock_losses():
    """Return the framework's loss on fully known, exact targets, by the name of ours."""
    functional = importlib.import_module("torch.nn.functional")

    def one_class(logits, targets):
        return functional.cross_entropy(logits, targets.argmax(dim=1), reduction="none")

    def each_class(logits, targets):
        stock = functional.binary_cross_entropy_with_logits
        return stock(logits, targets, reduction="none").sum(dim=1)

    sigmoid = [name for name, loss in losses.LOSSES.items() if loss.proba == "sigmoid"]
    return {name: each_class if name in sigmoid else one_class for name in STOCK}


@pytest.mark.parametrize("name", STOCK)
def test_exact_labels_give_the_stock_loss(name):
    """One class named, all else ruled out: torch's cross_entropy or its BCE with logits."""
    torch = pytest.importorskip("torch")
    logits, _, _ = drawn_problem(name, seed=15)
    targets = np.eye(5)[np.arange(40) % 5]
    expected = stock_losses()[name](torch.asarray(logits), torch.asarray(targets))
    np.testing.assert_allclose(
        functions(name)[0](logits, targets), expected, rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("name", [name for name in STOCK if name in MULTICLASS])
def test_shares_give_the_stock_loss(name):
    """Shares cost torch's cross_entropy with probability targets."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(16)
    logits, shares = rng.standard_normal((40, 5)) * 10, rng.dirichlet(np.ones(5), 40)
    stock = torch.nn.functional.cross_entropy
    expected = stock(torch.asarray(logits), torch.asarray(shares), reduction="none")
    np.testing.assert_allclose(functions(name)[0](logits, shares), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "uniform", "pal", "pal-n"])
def test_label_smoothing_of_exact_labels_is_the_stock_one(name):
    """One class named: torch's cross_entropy with label_smoothing."""
    torch = pytest.importorskip("torch")
    logits, _, _ = drawn_problem(name, seed=17)
    columns = np.arange(40) % 5
    expected = torch.nn.functional.cross_entropy(
        torch.asarray(logits), torch.asarray(columns), reduction="none", label_smoothing=0.1
    )
    actual = functions(name)[0](logits, np.eye(5)[columns], label_smoothing=0.1)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
