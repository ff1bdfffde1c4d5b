"""What the Keras losses promise, on the backend that KERAS_BACKEND names.

Keras chooses its backend when it is imported, so `test_keras.py` runs this file once a backend in a
process of its own.
"""

import os

import keras
import numpy as np
import pytest

import eitheror as eo
from eitheror.keras import PartialBinaryCrossentropy, PartialCategoricalCrossentropy
from strategies import draw_logits, draw_targets

BACKEND = os.environ["KERAS_BACKEND"]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
# On torch and JAX, Keras' own binary loss and means round float64 to float32.
COARSE = {"torch": 1e-6, "jax": 1e-6}.get(BACKEND, 1e-12)
LOSSES = {
    "multiclass": (PartialCategoricalCrossentropy, "partial_softmax_cross_entropy"),
    "multilabel": (PartialBinaryCrossentropy, "partial_sigmoid_binary_cross_entropy"),
}
every_task = pytest.mark.parametrize("task", LOSSES)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def value_and_gradient(function, x):
    """Return a function of one array and the gradient of its sum, compiled where Keras compiles."""
    if BACKEND == "torch":
        torch = pytest.importorskip("torch")
        leaf = torch.tensor(x, requires_grad=True)
        value = function(leaf)
        value.sum().backward()
        return value.detach().numpy(), leaf.grad.numpy()
    if BACKEND == "jax":
        jax = pytest.importorskip("jax")

        @jax.jit
        def both(x):
            value, backward = jax.vjp(function, x)
            return value, backward(jax.numpy.ones_like(value))[0]

        return tuple(map(np.asarray, both(x)))
    tf = pytest.importorskip("tensorflow")

    @tf.function(jit_compile=True)
    def compiled(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return value, tape.gradient(value, x)

    return tuple(part.numpy() for part in compiled(tf.constant(x)))


def directional_second_derivative(function, x, vector):
    """Return the derivative of the gradient of the sum along a vector."""
    if BACKEND == "torch":
        torch = pytest.importorskip("torch")
        leaf = torch.tensor(x, requires_grad=True)
        (slope,) = torch.autograd.grad(function(leaf).sum(), leaf, create_graph=True)
        return torch.autograd.grad((slope * torch.tensor(vector)).sum(), leaf)[0].numpy()
    if BACKEND == "jax":
        jax = pytest.importorskip("jax")
        slope = jax.grad(lambda x: function(x).sum())
        return np.asarray(jax.jit(jax.grad(lambda x: (slope(x) * vector).sum()))(x))
    tf = pytest.importorskip("tensorflow")
    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
        along = tf.reduce_sum(inner.gradient(value, x) * vector)
    return outer.gradient(along, x).numpy()


def problem(task, dtype, seed=0, n_samples=200, n_classes=5):
    """Logits of all scales up to 1e4 and targets of every kind."""
    rng = np.random.default_rng(seed)
    logits = draw_logits(rng, n_samples, n_classes)
    targets = draw_targets(rng, task, n_samples, n_classes).astype(float)
    return logits.astype(dtype), targets.astype(dtype)


def terms(task, targets):
    """How many of each row's terms are known: tags, or the row itself."""
    known = ~np.isnan(targets) if task == "multilabel" else (targets != 1).any(1, keepdims=True)
    return known.sum(axis=1)


def computed(function, *arrays):
    """Return a function of arrays as a NumPy array; on JAX compiled once, not op by op."""
    if BACKEND == "jax":
        function = pytest.importorskip("jax").jit(function)
    return np.asarray(keras.ops.convert_to_numpy(function(*arrays)))


def test_keras_uses_the_backend_of_this_run():
    """The process runs on the backend that it is meant to test."""
    assert BACKEND == keras.backend.backend()


@every_task
@every_dtype
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_value_and_gradient_are_the_references(task, dtype, label_smoothing):
    """Rows and gradients equal NumPy's, at logits up to 1e4, to 1e-6 and 1e-12."""
    logits, targets = problem(task, dtype)
    loss, name = LOSSES[task]
    function = loss(reduction=None, label_smoothing=label_smoothing, dtype=dtype)
    value, gradient = value_and_gradient(lambda f: function(targets, f), logits)
    share = np.maximum(terms(task, targets), 1)
    references = (
        getattr(eo.losses, name + part)(logits, targets, label_smoothing=label_smoothing)
        for part in ("", "_gradient")
    )
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert dtype == value.dtype == gradient.dtype
    np.testing.assert_allclose(value, next(references) / share, **tolerance)
    np.testing.assert_allclose(gradient, next(references) / share[:, None], **tolerance)


@every_task
def test_second_derivatives_are_the_references(task):
    """Differentiating twice gives the Hessian-vector product of the reference."""
    logits, targets = problem(task, "float64", n_samples=30)
    logits = np.clip(logits, -30, 30)
    vector = np.random.default_rng(1).standard_normal(logits.shape)
    loss, name = LOSSES[task]
    function = loss(reduction="sum", dtype="float64")
    actual = directional_second_derivative(lambda f: function(targets, f), logits, vector)
    share = np.maximum(terms(task, targets), 1)[:, None]
    expected = getattr(eo.losses, name + "_hvp")(logits, targets, vector) / share
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
@every_dtype
def test_exact_labels_and_shares_give_the_stock_loss(reduction, dtype):
    """One-hot rows and shares cost what Keras' own losses say, to 8 units of rounding."""
    rng = np.random.default_rng(2)
    logits = (rng.standard_normal((40, 5)) * 5).astype(dtype)
    one_hot, shares = np.eye(5)[rng.integers(0, 5, 40)], rng.dirichlet(np.ones(5), 40)
    tags = (rng.random((40, 5)) < 0.4).astype(dtype)
    options = {"from_logits": True, "reduction": reduction, "dtype": dtype}
    pairs = [
        (PartialCategoricalCrossentropy, keras.losses.CategoricalCrossentropy, one_hot),
        (PartialCategoricalCrossentropy, keras.losses.CategoricalCrossentropy, shares),
        (PartialBinaryCrossentropy, keras.losses.BinaryCrossentropy, tags),
    ]
    rounding = 8 * np.finfo(dtype).eps
    for ours, stock, targets in pairs:
        targets = targets.astype(dtype)
        expected, actual = (computed(loss(**options), targets, logits) for loss in (stock, ours))
        if stock is keras.losses.BinaryCrossentropy:
            rounding = max(rounding, COARSE) if dtype == "float64" else rounding
        np.testing.assert_allclose(actual, expected, rtol=rounding, atol=4 * rounding)


@every_task
@pytest.mark.parametrize("weighted", [False, True])
def test_means_leave_the_unknown_out(task, weighted):
    """A mean divides by the rows or tags that are known (or by their weights), in the batch."""
    logits, targets = problem(task, "float64", seed=3, n_samples=30)
    logits = np.clip(logits, -30, 30)
    targets[:7] = 1.0 if task == "multiclass" else np.nan
    weight = np.random.default_rng(4).uniform(0, 2, 30)
    loss, name = LOSSES[task]
    cost = getattr(eo.losses, name)(logits, targets)
    known = terms(task, targets)
    w = weight if weighted else np.ones(30)
    expected = {
        None: w * cost / np.maximum(known, 1),
        "sum": (w * cost / np.maximum(known, 1)).sum(),
        "sum_over_batch_size": (w * cost).sum() / known.sum(),
        "mean_with_sample_weight": (w * cost).sum() / (w * known).sum(),
    }
    for reduction, value in expected.items():
        function = loss(reduction=reduction, dtype="float64")
        for given in (weight, weight[:, None]) if weighted else (None,):
            actual = function(targets, logits, sample_weight=given)
            rounding = COARSE if "mean" in str(reduction) or "size" in str(reduction) else 1e-12
            np.testing.assert_allclose(actual, value, rtol=rounding)


@every_task
def test_a_batch_that_says_nothing_costs_nothing(task):
    """All unknown: 0, not nan, and so is the gradient."""
    logits, _ = problem(task, "float32", n_samples=4)
    unknown = np.full_like(logits, 1.0 if task == "multiclass" else np.nan)
    function = LOSSES[task][0]()
    value, gradient = value_and_gradient(lambda f: function(unknown, f), logits)
    assert 0.0 == value
    assert not gradient.any()


@every_task
def test_masked_rows_are_left_out(task):
    """The mask that Keras layers hand on takes rows out of sum and count."""
    logits, targets = problem(task, "float32", seed=5, n_samples=12)
    mask = np.arange(12) % 3 > 0
    function = LOSSES[task][0]()
    masked = keras.ops.convert_to_tensor(logits)
    try:
        masked._keras_mask = keras.ops.convert_to_tensor(mask)
    except AttributeError:
        pytest.skip("tensors of this backend carry no mask outside of a model")
    expected = computed(function, targets[mask], logits[mask])
    actual = keras.ops.convert_to_numpy(function(targets, masked))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@every_task
def test_rows_that_are_no_statement_are_nan(task):
    """An invalid row costs nan, never a plausible number, and spares the others."""
    bad = [2.0, 0.0, 0.0]
    targets = np.array([bad, [0.0, 1.0, 0.0]], dtype="float32")
    function = LOSSES[task][0](reduction=None)
    cost = computed(function, targets, np.zeros((2, 3), dtype="float32"))
    assert [True, False] == np.isnan(cost).tolist()


@every_task
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_logits_are_computed_in_32_bits(task, dtype):
    """Logits of 16 bits, and a 16-bit dtype asked for, give float32 and the digits of float32."""
    logits = np.array([[1024.0, -1024.0, 0.5]])
    targets = np.array([[0.0, 1.0, 0.0]])
    loss, name = LOSSES[task]
    function = loss(reduction="none", dtype=dtype)
    cost = computed(function, targets, keras.ops.convert_to_tensor(logits, dtype=dtype))
    expected = getattr(eo.losses, name)(logits, targets) / terms(task, targets)
    assert np.float32 == cost.dtype
    np.testing.assert_allclose(cost, expected, rtol=1e-6)


def small_model():
    """A linear model."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])


def statements(task):
    """Rows of three classes, and what is told of them: what some are not, some tags of others."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((240, 4)).astype("float32")
    truth = np.eye(3)[(x @ rng.standard_normal((4, 3))).argmax(axis=1)]
    if task == "multilabel":
        return x, truth, np.where(rng.random(truth.shape) < 0.5, np.nan, truth)
    names = np.array(["a", "b", "c"])
    told = []
    for k in truth.argmax(axis=1):
        wrong = names[(k + rng.integers(1, 3)) % 3]
        told.append(names[k] if rng.random() < 0.1 else eo.not_(wrong))
    return x, truth, eo.Labels(told, classes=names.tolist()).to_targets()


@pytest.mark.parametrize(("task", "jit_compile"), [("multiclass", True), ("multilabel", "auto")])
def test_a_model_learns_from_statements(task, jit_compile, tmp_path):
    """`compile(loss=...)`, `fit` with sample weights, `save` and `load_model`: nan stays in y."""
    x, truth, targets = statements(task)
    model = small_model()
    optimizer = keras.optimizers.Adam(0.1)
    if BACKEND == "torch":  # torch.compile takes minutes; the losses of torch are tested under it
        jit_compile = False
    model.compile(optimizer=optimizer, loss=LOSSES[task][0](), jit_compile=jit_compile)
    history = model.fit(
        x, targets, sample_weight=np.ones(240), epochs=12, batch_size=48, verbose=0
    ).history["loss"]
    assert history[-1] < 0.5 * history[0]
    right = model.predict(x, verbose=0).argmax(axis=1) == truth.argmax(axis=1)
    assert right.mean() > 0.85

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert model.loss.get_config() == again.loss.get_config()
    assert type(model.loss) is type(again.loss)
    expected = model.evaluate(x, targets, verbose=0)
    np.testing.assert_allclose(again.evaluate(x, targets, verbose=0), expected, rtol=1e-6)


@every_task
def test_mixed_precision_models_learn(task):
    """Under the policy mixed_bfloat16 the logits come in 16 bits, and the loss falls."""
    x, _, targets = statements(task)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model()
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss=LOSSES[task][0]())
    history = model.fit(x, targets, epochs=6, batch_size=48, verbose=0).history["loss"]
    assert "bfloat16" == keras.backend.standardize_dtype(model(x[:1]).dtype)
    assert np.isfinite(history).all()
    assert history[-1] < 0.7 * history[0]


@every_task
def test_the_configuration_makes_the_loss_again(task):
    """`get_config` holds every argument."""
    loss = LOSSES[task][0](label_smoothing=0.1, reduction="sum", name="mine", dtype="float64")
    config = loss.get_config()
    expected = {
        "name": "mine",
        "reduction": "sum",
        "from_logits": True,
        "label_smoothing": 0.1,
        "dtype": "float64",
    }
    assert expected == config
    assert config == type(loss).from_config(config).get_config()


@every_task
def test_probabilities_are_refused(task):
    """`from_logits=False` is refused with the reason."""
    with pytest.raises(ValueError, match=r"takes logits: Keras clips probabilities at 1e-7"):
        LOSSES[task][0](from_logits=False)


@every_task
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1)])
def test_targets_need_the_shape_of_the_logits(task, shape):
    """Class numbers and wrong widths are refused, with what to give instead."""
    with pytest.raises(ValueError, match=r"y_true has shape .* as labels.to_targets\(\) gives it"):
        LOSSES[task][0]()(np.zeros(shape), np.zeros((4, 3)))


@every_task
def test_labels_themselves_are_refused(task):
    """A loss names what to write; `fit` fails in Keras, in the words that the docs explain."""
    kind = LOSSES[task][0]
    labels = eo.Labels(["a", "b", "a"], task=task)
    with pytest.raises(TypeError, match=r"y_true are Labels.*write labels.to_targets\(\)"):
        kind()(labels, np.zeros((3, 2), "float32"))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    model.compile(loss=kind())
    with pytest.raises(ValueError, match="Invalid dtype: object"):
        model.fit(np.zeros((3, 2), "float32"), labels, verbose=0)


@every_task
def test_weights_of_single_tags_are_refused(task):
    """A weight a tag would be multiplied with the wrong axis; unknown tags are nan instead."""
    with pytest.raises(ValueError, match=r"needs one weight a row, shape \(3,\)"):
        LOSSES[task][0]()(np.eye(3), np.zeros((3, 3)), sample_weight=np.ones((3, 3)))
