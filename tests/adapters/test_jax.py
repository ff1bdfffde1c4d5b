"""The JAX losses: NumPy's numbers under every transformation."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from eitheror import losses
from strategies import draw_logits, draw_targets

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'eitheror[jax]'")
ours = importlib.import_module("eitheror.jax")

TASKS = {
    "partial_softmax_cross_entropy": "multiclass",
    "partial_sigmoid_binary_cross_entropy": "multilabel",
}
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
every_loss = pytest.mark.parametrize("name", TASKS)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def problem(name, dtype, seed=0, n_samples=40, n_classes=5):
    """Logits up to 1e4, targets of every kind, and vectors."""
    rng = np.random.default_rng(seed)
    logits = draw_logits(rng, n_samples, n_classes)
    targets = draw_targets(rng, TASKS[name], n_samples, n_classes).astype(float)
    vectors = rng.standard_normal((n_samples, n_classes))
    return [a.astype(dtype) for a in (logits, targets, vectors)]


@pytest.fixture
def precision(dtype):
    """Let JAX compute in the precision of the test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", dtype == "float64")
    yield
    jax.config.update("jax_enable_x64", before)


@every_loss
@every_dtype
@pytest.mark.parametrize("label_smoothing", [0.0, pytest.param(0.1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("precision")
def test_value_gradient_and_hessian_are_the_references(name, dtype, label_smoothing):
    """Under jit and vmap: forward, reverse and both orders of them equal NumPy to the digits."""
    logits, targets, vectors = problem(name, dtype)

    def loss(f, t):
        return getattr(ours, name)(f, t, label_smoothing=label_smoothing)

    @jax.jit
    @jax.vmap
    def compiled(f, t, v):
        slope = jax.grad(loss)
        return (
            loss(f, t),
            slope(f, t),
            jax.jvp(lambda f: slope(f, t), (f,), (v,))[1],
            jax.grad(lambda f: slope(f, t) @ v)(f),
        )

    references = [
        getattr(losses, name + part)(*arrays, label_smoothing=label_smoothing)
        for part, arrays in [
            ("", (logits, targets)),
            ("_gradient", (logits, targets)),
            ("_hvp", (logits, targets, vectors)),
        ]
    ]
    actual = compiled(logits, targets, vectors)
    for result, expected in zip(actual, [*references, references[2]], strict=True):
        assert dtype == result.dtype
        scale = 1 + np.abs(expected).max(initial=0, where=np.isfinite(expected), axis=-1)
        np.testing.assert_allclose(
            result, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale.max()
        )


@every_loss
def test_forward_mode_and_hessian(name):
    """jax.jvp is the gradient times the step, jax.hessian the matrix of the products."""
    f, t, v = (a[:6] for a in problem(name, "float32", seed=1))
    loss = getattr(ours, name)
    _, moved = jax.jit(lambda f, v: jax.jvp(lambda f: loss(f, t), (f,), (v,)))(f, v)
    slope = getattr(losses, name + "_gradient")(f, t)
    np.testing.assert_allclose(moved, (slope * v).sum(axis=1), rtol=1e-5, atol=1e-5)
    hessian = jax.jit(jax.vmap(jax.hessian(loss)))(f, t)
    expected = getattr(losses, name + "_hvp")(f, t, v)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", hessian, v), expected, atol=2e-6)


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_logits(name, dtype):
    """The loss comes in float32, its gradient in the precision of the logits."""
    logits = jax.numpy.asarray([[1024.0, -1024.0, 0.5]], dtype=dtype)
    targets = np.array([[0.0, 1.0, 0.0]], dtype=np.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda f: getattr(ours, name)(f, targets).sum()))(
        logits
    )
    assert "float32" == value.dtype
    assert dtype == gradient.dtype
    expected = getattr(losses, name)(np.asarray(logits, dtype=np.float32), targets)[0]
    assert expected == value


@every_loss
def test_targets_are_data(name):
    """No derivative flows into the targets, and theirs may be integers or booleans."""
    logits = np.array([[0.5, 1.0, -2.0]], dtype=np.float32)
    targets = np.array([[0, 1, 0]])
    slopes = jax.jit(jax.grad(lambda f, t: getattr(ours, name)(f, t).sum(), argnums=(0, 1)))
    expected, towards_targets = slopes(logits, targets.astype(np.float32))
    assert not towards_targets.any()
    slope = jax.jit(jax.grad(lambda f, t: getattr(ours, name)(f, t).sum()))
    for kind in (int, bool):
        np.testing.assert_array_equal(slope(logits, targets.astype(kind)), expected)


@every_loss
def test_stock_losses_on_exact_labels(name):
    """Exact labels cost what JAX's own log-softmax and log-sigmoid say."""
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((30, 4)).astype(np.float32) * 5
    if TASKS[name] == "multiclass":
        targets = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 30)]
        stock = -(targets * jax.nn.log_softmax(logits)).sum(axis=1)
    else:
        targets = (rng.random((30, 4)) < 0.5).astype(np.float32)
        log_yes, log_no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        stock = -(targets * log_yes + (1 - targets) * log_no).sum(axis=1)
    actual = jax.jit(getattr(ours, name))(logits, targets)
    np.testing.assert_allclose(actual, stock, rtol=4e-6, atol=1e-6)


@every_loss
def test_rows_that_are_no_statement_are_nan(name):
    """An invalid row costs nan and spares the others."""
    cost = jax.jit(getattr(ours, name))(np.zeros((2, 3)), np.array([[2.0, 0, 0], [0, 1, 0]]))
    assert [True, False] == np.isnan(cost).tolist()


@every_loss
def test_arguments_are_checked(name):
    """Shapes must agree, and label smoothing is a share."""
    with pytest.raises(ValueError, match=r"they need one shape, \(n_samples, n_classes\)"):
        getattr(ours, name)(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"label_smoothing is 2; it is a share between 0 and 1"):
        getattr(ours, name)(np.zeros((2, 3)), np.ones((2, 3)), label_smoothing=2)


def test_gradient_descent_learns_from_complements():
    """A linear model told only what each row is not finds the classes."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 4)).astype(np.float32)
    truth = (x @ rng.standard_normal((4, 3))).argmax(axis=1)
    targets = 1.0 - np.eye(3)[(truth + rng.integers(1, 3, 300)) % 3]

    @jax.jit
    def step(w):
        return w - jax.grad(lambda w: ours.partial_softmax_cross_entropy(x @ w, targets).mean())(w)

    w = jax.numpy.zeros((4, 3))
    for _ in range(150):
        w = step(w)
    assert ((x @ w).argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.slow
def test_doubles_everywhere():
    """With JAX_ENABLE_X64 lists and arrays are computed in float64."""
    code = (
        "import jax.numpy as jnp\n"
        "from eitheror.jax import partial_softmax_cross_entropy as loss\n"
        "cost = loss([[1e4, -1e4, 3.0]], [[0.0, 1.0, 1.0]])\n"
        "assert cost.dtype == jnp.float64, cost.dtype\n"
        "assert cost[0] == 9997.0, cost\n"
    )
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
