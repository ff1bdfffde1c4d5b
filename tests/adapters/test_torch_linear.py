"""The sparse linear loss: the dense loss of the same logits, in value and gradient."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eitheror as eo

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from eitheror.torch import (  # noqa: E402  (only where PyTorch is)
    partial_cross_entropy,
    partial_linear_cross_entropy,
)

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
CLASSES = list("abcde")
STATEMENTS = [
    "a",
    "e",
    None,
    eo.exact("b", trust=0.7),
    eo.either("b", "c"),
    eo.either("a", "e", trust=0.8),
    eo.either(*CLASSES),
    eo.not_("d"),
    eo.not_("a", "b", "c", "d"),
    eo.not_("a", "b", trust=0.9),
    eo.evidence({"a": 1, "b": 0.3}, rest=0.1),
    eo.evidence({"a": 0.2}, rest=1.0),
    eo.soft({"a": 0.25, "e": 0.75}),
    eo.soft({name: 0.2 for name in CLASSES}),
    eo.votes({"a": 2, "b": 1}),
]


def layer(rows, scale, dtype, seed=0):
    """Features, weight and bias of a layer whose logits are about as large as the scale."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows, 3), (len(CLASSES), 3), (len(CLASSES),))
    made = [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes]
    return [tensor.requires_grad_() for tensor in (made[0], made[1] * scale, made[2])]


def both(inputs, labels, chunk_size=None, **options):
    """The sparse and the dense loss, each with the gradients of a sum with unequal weights."""
    features, weight, bias = inputs
    logits = features @ weight.T if bias is None else features @ weight.T + bias
    targets = torch.from_numpy(labels.sparse().dense(np.float64))
    values = (
        partial_linear_cross_entropy(*inputs, labels, chunk_size=chunk_size, **options),
        partial_cross_entropy(logits, targets, **options),
    )
    given_ = [tensor for tensor in inputs if tensor is not None]
    factors = torch.linspace(0.5, 2, values[0].numel(), dtype=values[0].dtype)
    return [
        (value, *torch.autograd.grad((value.view(-1) * factors).sum(), given_)) for value in values
    ]


def assert_same(sparse, dense, factor=1.0):
    """Equal to the tolerance of the precision, relative to the largest number of each tensor.

    Gradients of features are sums of weights: ``factor`` is the size of those that cancel.
    """
    for actual, expected in zip(sparse, dense, strict=True):
        scale = max(1.0, factor, expected.abs().max().item())
        torch.testing.assert_close(
            actual / scale, expected / scale, rtol=0, atol=TOLERANCE[expected.dtype]
        )


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_is_the_dense_loss(dtype, data):
    """Any statements, reduction, size of logits and of chunk: the dense value and gradients."""
    labels = data.draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=8))
    reduction = data.draw(st.sampled_from(["mean", "sum", "none"]))
    scale = data.draw(st.sampled_from([0.1, 10.0, 1e3]))
    inputs = layer(len(labels), scale, dtype, seed=data.draw(st.integers(0, 99)))
    chunk_size = data.draw(st.sampled_from([None, 1, 3, 100]))
    labels = eo.Labels(labels, classes=CLASSES)
    assert_same(*both(inputs, labels, chunk_size, reduction=reduction), factor=scale)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_every_kind_of_statement(statement, dtype):
    """Each statement alone, in a batch of its own."""
    labels = eo.Labels([statement] * 3, classes=CLASSES)
    assert_same(*both(layer(3, 5.0, dtype), labels))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_class_names_are_cross_entropy_of_a_linear_layer(scale):
    """Exact labels cost what PyTorch's own loss of a linear layer charges."""
    inputs = layer(6, scale, torch.float64)
    names = ["a", "c", "e", "b", "d", "a"]
    labels = eo.Labels(names, classes=CLASSES)
    y = torch.tensor([CLASSES.index(name) for name in names])
    logits = inputs[0] @ inputs[1].T + inputs[2]
    expected = torch.nn.functional.cross_entropy(logits, y)
    actual = partial_linear_cross_entropy(*inputs, labels)
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=1e-14)


def test_many_blocks_and_sparse_targets():
    """Rows in many blocks, inner blocks and batches taken from one CSR are the dense loss."""
    rng = np.random.default_rng(0)
    n, k = 40, 30_000
    names = list(range(k))
    drawn = rng.integers(0, k, (n, 3)).tolist()
    made = [
        [eo.exact(row[0]), eo.either(*row), eo.not_(*row), eo.unknown][i % 4]
        for i, row in enumerate(drawn)
    ]
    labels = eo.Labels(made, classes=names)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((n, 2), (k, 2), (k,))
    ]
    assert_same(*both(inputs, labels, chunk_size=16))
    rows = np.array([3, 1, 7, 30])
    some = partial_linear_cross_entropy(inputs[0][rows], *inputs[1:], labels.sparse().take(rows))
    same = partial_linear_cross_entropy(inputs[0][rows], *inputs[1:], labels[rows])
    assert same.item() == some.item()


def test_without_bias_and_with_frozen_parts():
    """No bias, or parts that need no gradient: the others are the same."""
    labels = eo.Labels(STATEMENTS, classes=CLASSES)
    features, weight, bias = layer(len(STATEMENTS), 3.0, torch.float64)
    assert_same(*both((features, weight, None), labels))
    whole = partial_linear_cross_entropy(features, weight, bias, labels)
    (expected,) = torch.autograd.grad(whole, weight)
    part = partial_linear_cross_entropy(features.detach(), weight, bias.detach(), labels)
    part.backward()
    assert features.grad is None
    assert bias.grad is None
    torch.testing.assert_close(weight.grad, expected)
    with torch.no_grad():
        assert whole.item() == partial_linear_cross_entropy(features, weight, bias, labels).item()


@pytest.mark.parametrize("listed", ["c", eo.either("a", "c"), eo.not_("a"), eo.soft({"c": 1.0})])
def test_classes_that_cannot_be(listed):
    """A bias of -inf takes a class out, as it does in the dense loss."""
    features, weight, bias = layer(1, 1.0, torch.float64)
    with torch.no_grad():
        bias[1] = -torch.inf
    weight.requires_grad_(False)
    labels = eo.Labels([listed], classes=CLASSES)
    found = []
    for loss in (
        partial_linear_cross_entropy(features, weight, bias, labels),
        partial_cross_entropy(features @ weight.T + bias, torch.from_numpy(labels.to_targets())),
    ):
        found.append((loss, *torch.autograd.grad(loss, [features, bias])))
    assert_same(*found)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_known_is_zero(reduction):
    """Unknown rows cost 0 and move nothing."""
    labels = eo.Labels([None, None], classes=CLASSES)
    inputs = layer(2, 1.0, torch.float32)
    value = partial_linear_cross_entropy(*inputs, labels, reduction=reduction)
    assert 0 == value.abs().sum().item()
    for slope in torch.autograd.grad(value.sum(), inputs):
        assert torch.equal(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_16_bit_layers(narrow):
    """A 16-bit layer gives a float32 loss and gradients in its own precision."""
    labels = eo.Labels(STATEMENTS, classes=CLASSES)
    inputs = [t.detach().to(narrow) for t in layer(len(STATEMENTS), 1.0, torch.float32)]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    value = partial_linear_cross_entropy(*inputs, labels)
    slopes = torch.autograd.grad(value, inputs)
    wide = [tensor.detach().float().requires_grad_() for tensor in inputs]
    expected = partial_linear_cross_entropy(*wide, labels)
    assert torch.float32 == value.dtype
    torch.testing.assert_close(value, expected, rtol=1e-2, atol=1e-2)
    for slope, right in zip(slopes, torch.autograd.grad(expected, wide), strict=True):
        assert narrow == slope.dtype
        torch.testing.assert_close(slope.float(), right, rtol=0.05, atol=1e-2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_float16_gradients_of_very_many_classes(reduction):
    """Gradients that are tiny in each class are not lost before a loss scale can lift them."""
    names = list(range(20_000))
    labels = eo.Labels([eo.not_(0), eo.not_(1)] * 64, classes=names)
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator) for shape in ((128, 4), (20_000, 4))]
    factor = 2.0**12 / (1 if reduction == "mean" else 128)
    slopes = []
    for dtype in (torch.float32, torch.float16):
        inputs = [(t * s).to(dtype).requires_grad_() for t, s in zip(made, (1, 0.01), strict=True)]
        value = partial_linear_cross_entropy(*inputs, None, labels, reduction=reduction)
        slopes.append(torch.autograd.grad(value.sum() * factor, inputs))
    for wide, narrow in zip(*slopes, strict=True):
        assert (narrow.float() - wide).norm() <= 0.02 * wide.norm()


def test_float16_sums_over_rows_stay_in_range():
    """The gradient of a class that half a million units of features add up to is finite."""
    labels = eo.Labels([eo.not_("a")] * 4000, classes=["a", "b"])
    features = torch.full((4000, 2), 250.0, dtype=torch.float16)
    weight = torch.zeros((2, 2), dtype=torch.float16, requires_grad=True)
    value = partial_linear_cross_entropy(features, weight, None, labels, chunk_size=4000)
    value.backward()
    assert torch.equal(torch.tensor([[125.0] * 2, [-125.0] * 2]).half(), weight.grad)


def test_under_autocast_the_layer_takes_its_precision():
    """16-bit features with float32 weights, as autocast makes them, are what a Linear takes."""
    labels = eo.Labels(STATEMENTS, classes=CLASSES)
    features, weight, bias = layer(len(STATEMENTS), 1.0, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        value = partial_linear_cross_entropy(features.bfloat16(), weight, bias, labels)
        logits = torch.nn.functional.linear(features.bfloat16(), weight, bias)
        expected = partial_cross_entropy(logits, labels)
    torch.testing.assert_close(value, expected, rtol=1e-2, atol=1e-2)
    slopes = torch.autograd.grad(value, (features, weight, bias))
    assert [torch.float32] * 3 == [slope.dtype for slope in slopes]


def test_second_derivatives_are_refused():
    """A gradient that is to be differentiated again is an error, and not silently a constant."""
    inputs = layer(1, 1.0, torch.float64)
    value = partial_linear_cross_entropy(*inputs, ONE)
    with pytest.raises(RuntimeError, match="partial_cross_entropy"):
        torch.autograd.grad(value, inputs[0], create_graph=True)


ONE = eo.Labels(["a"], classes=CLASSES)
TAGS = eo.Labels([eo.tags("a")], classes=CLASSES)
X, W, B = torch.zeros(1, 3), torch.zeros(5, 3), torch.zeros(5)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((X, W, B, torch.ones(1, 5)), TypeError, "partial_cross_entropy"),
        ((X, W, B, TAGS), ValueError, "multilabel"),
        ((X, W[:, :2], B, ONE), ValueError, r"\(1, 3\) and weight \(5, 2\)"),
        ((X, W, B[:4], ONE), ValueError, r"bias has shape \(4,\)"),
        ((X, W[:4], B[:4], ONE), ValueError, "1 rows of 5 classes"),
        ((torch.zeros(2, 3), W, B, ONE), ValueError, "2 rows of features"),
        ((X, W.double(), B, ONE), TypeError, "float64"),
    ],
)
def test_mistakes_are_named(arguments, error, says):
    """What does not fit is refused, with the two sides of it."""
    with pytest.raises(error, match=says):
        partial_linear_cross_entropy(*arguments)
    with pytest.raises(ValueError, match="chunk_size is 0"):
        partial_linear_cross_entropy(X, W, B, ONE, chunk_size=0)


def test_a_row_that_allows_nothing():
    """Weights of 0 for every class are no statement: nan, as from the dense loss."""
    sparse = ONE.sparse()
    nothing = replace(sparse, values=np.zeros_like(sparse.values))
    assert np.isnan(partial_linear_cross_entropy(X, W, B, nothing).item())
    assert np.isnan(partial_cross_entropy(X @ W.T, torch.from_numpy(nothing.dense())).item())
