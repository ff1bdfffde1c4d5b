"""The PyTorch losses: the NumPy reference in value and gradient, PyTorch's own where all is known.

Tolerances: against the reference 1e-6 of the larger of 1 and the number in float32, 1e-12 in
float64. Against PyTorch's own loss 4 units in the last place of the row's loss or, where that is
below 1, of 1.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eitheror as eo
from eitheror import losses
from strategies import draw_logits, draw_targets, problems

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from eitheror.torch import (  # noqa: E402  (only where PyTorch is)
    PartialBCEWithLogitsLoss,
    PartialCrossEntropyLoss,
    partial_binary_cross_entropy_with_logits,
    partial_cross_entropy,
)

functional = torch.nn.functional
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
DTYPES = [torch.float32, torch.float64]
TASKS = ["multiclass", "multilabel"]
LOSS = {
    "multiclass": partial_cross_entropy,
    "multilabel": partial_binary_cross_entropy_with_logits,
}
REFERENCE = {
    "multiclass": (
        losses.partial_softmax_cross_entropy,
        losses.partial_softmax_cross_entropy_gradient,
    ),
    "multilabel": (
        losses.partial_sigmoid_binary_cross_entropy,
        losses.partial_sigmoid_binary_cross_entropy_gradient,
    ),
}
MODULE = {"multiclass": PartialCrossEntropyLoss, "multilabel": PartialBCEWithLogitsLoss}


def ours(task, f, t, **options):
    """Loss of each row and its gradient, as NumPy arrays."""
    f = f.detach().clone().requires_grad_()
    value = LOSS[task](f, t, reduction="none", **options)
    value.sum().backward()
    rows = value.sum(-1) if task == "multilabel" else value
    return rows.detach().numpy(), f.grad.numpy()


def assert_close(expected, actual, tolerance):
    """Equal to a tolerance of the larger of 1 and the number; nan and inf in the same places."""
    np.testing.assert_array_equal(np.isnan(expected), np.isnan(actual))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def assert_is_reference(task, f, t, **options):
    """Value and gradient are those of the reference in float64, at the same logits."""
    value, gradient = REFERENCE[task]
    at = f.double().numpy()
    with np.errstate(all="ignore"):
        expected = value(at, t, **options), gradient(at, t, **options)
    actual = ours(task, f, torch.from_numpy(t), **options)
    for one, other in zip(expected, actual, strict=True):
        assert_close(one, other, TOLERANCE[f.dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_is_the_reference(task, dtype, data):
    """Value and gradient are the reference's, with and without label smoothing."""
    f, t = data.draw(problems(task, bound=1e4))
    smoothing = data.draw(st.sampled_from([0.0, 0.1]))
    scale = data.draw(st.sampled_from([1.0, 1e-3]))
    assert_is_reference(task, torch.from_numpy(f * scale).to(dtype), t, label_smoothing=smoothing)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_is_the_reference_in_bulk(task, dtype):
    """Thousands of rows of every kind in one batch, which leaves no row to a path of its own."""
    rng = np.random.default_rng(0)
    f = torch.from_numpy(draw_logits(rng, 3000, 7)).to(dtype)
    assert_is_reference(task, f, draw_targets(rng, task, 3000, 7))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shares", [True, False])
def test_is_the_reference_with_classes_that_cannot_be(shares, dtype):
    """Logits of -inf are classes that cannot be, for sets and for shares."""
    rng = np.random.default_rng(1)
    f = torch.from_numpy(rng.standard_normal((200, 6))).to(dtype)
    f[torch.from_numpy(rng.random((200, 6)) < 0.3)] = -torch.inf
    f[:, 0] = 1.0
    t = (rng.random((200, 6)) < 0.5).astype(float)
    t[:, 0] = 1.0
    t[0] = 1.0
    if shares:
        t = np.where(f.numpy() == -np.inf, 0.0, t)
        t = t / t.sum(1, keepdims=True)
    assert_is_reference("multiclass", f, t)


@pytest.fixture(params=[1, 2])
def threads(request):
    """On so many threads; one walks a batch in blocks."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("task", TASKS)
def test_rows_in_blocks_are_the_same_rows(task):
    """A batch of many blocks gives each row what it gets alone."""
    rng = np.random.default_rng(2)
    f = torch.from_numpy(rng.standard_normal((1200, 1000)) * 3)
    t = torch.from_numpy(draw_targets(rng, task, 1200, 1000))
    whole, slope = ours(task, f, t)
    some = torch.tensor([0, 1047, 1048, 1049, 1199])
    alone, its_slope = ours(task, f[some], t[some])
    assert_close(alone, whole[some], 1e-13)
    assert_close(its_slope, slope[some], 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_names_are_cross_entropy(smoothing, dtype):
    """One-hot rows cost what `cross_entropy` charges for class numbers, reduced or not."""
    f = 5 * torch.randn(200, 7, dtype=dtype, generator=torch.Generator().manual_seed(0))
    y = torch.arange(200) % 7
    weight = torch.linspace(0.5, 2, 7, dtype=dtype)
    ulp = 4 * torch.finfo(dtype).eps
    for w in (None, weight):
        for reduction in ("none", "mean", "sum"):
            options = {"reduction": reduction, "label_smoothing": smoothing}
            expected = functional.cross_entropy(f, y, w, **options)
            actual = partial_cross_entropy(f, functional.one_hot(y, 7), w, **options)
            # a sum of n numbers rounds up to n times, in whatever order
            terms = 1 if reduction == "none" else 200 if reduction == "sum" else 20
            torch.testing.assert_close(actual, expected, rtol=ulp * terms**0.5, atol=ulp)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_shares_are_cross_entropy_with_probabilities(weighted, smoothing, dtype):
    """Rows of shares cost what `cross_entropy` charges for probabilities, weighted or not."""
    generator = torch.Generator().manual_seed(0)
    f = (5 * torch.randn(200, 7, dtype=dtype, generator=generator)).requires_grad_()
    t = torch.rand(200, 7, dtype=dtype, generator=generator)
    t = t / t.sum(-1, keepdim=True)
    weight = torch.linspace(0.5, 2, 7, dtype=dtype) if weighted else None
    for reduction in ("none", "mean", "sum"):
        options = {"reduction": reduction, "label_smoothing": smoothing}
        expected = functional.cross_entropy(f, t, weight, **options)
        actual = partial_cross_entropy(f, t, weight, **options)
        one, two = (torch.autograd.grad(x.sum(), f)[0] for x in (expected, actual))
        torch.testing.assert_close(actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        torch.testing.assert_close(two, one, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_known_tags_are_binary_cross_entropy(dtype):
    """Where everything is known, values and gradients are `binary_cross_entropy_with_logits`."""
    generator = torch.Generator().manual_seed(0)
    f = (5 * torch.randn(50, 7, dtype=dtype, generator=generator)).requires_grad_()
    t = torch.rand(50, 7, dtype=dtype, generator=generator)
    t[:25] = t[:25].round()
    weights = torch.linspace(0.5, 2, 7, dtype=dtype)
    for weight in (None, weights, torch.rand(50, 1, dtype=dtype, generator=generator)):
        for pos_weight in (None, weights.flip(0)):
            for reduction in ("none", "mean", "sum"):
                options = {"reduction": reduction, "pos_weight": pos_weight}
                expected = functional.binary_cross_entropy_with_logits(f, t, weight, **options)
                actual = partial_binary_cross_entropy_with_logits(f, t, weight, **options)
                one, two = (torch.autograd.grad(x.sum(), f)[0] for x in (expected, actual))
                close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
                torch.testing.assert_close(actual, expected, **close)
                torch.testing.assert_close(two, one, **close)


LABELS = eo.Labels(
    ["a", eo.either("a", "b"), None, eo.not_("c"), eo.soft({"b": 0.25, "c": 0.75}), None],
    classes=["a", "b", "c"],
)
TAGS = eo.Labels(
    [eo.tags("a", "c"), eo.tags("b", rest="unknown"), eo.tags(rest="unknown"), eo.not_("c")],
    classes=["a", "b", "c"],
    task="multilabel",
)


def batch(task):
    """Logits in float64, and labels."""
    labels = LABELS if task == "multiclass" else TAGS
    generator = torch.Generator().manual_seed(3)
    f = torch.randn(len(labels), 3, dtype=torch.float64, generator=generator)
    return f, labels


@pytest.mark.parametrize("task", TASKS)
def test_mean_leaves_out_what_is_unknown(task):
    """The mean is the sum over the number of known rows (entries); unknown ones give 0."""
    f, labels = batch(task)
    each = LOSS[task](f, labels, reduction="none")
    total = LOSS[task](f, labels, reduction="sum")
    known = {"multiclass": 4, "multilabel": 3 + 1 + 0 + 1}[task]
    assert (each != 0).sum().item() == known
    torch.testing.assert_close(total, each.sum())
    torch.testing.assert_close(LOSS[task](f, labels), total / known)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_known_is_zero(task, reduction):
    """A batch of unknown rows costs 0 and moves nothing, smoothed and weighted or not."""
    f = torch.randn(3, 4, requires_grad=True)
    t = torch.full((3, 4), 1.0 if task == "multiclass" else torch.nan)
    for smoothing in (0.0, 0.1):
        for weight in (None, torch.rand(4)):
            options = {"reduction": reduction, "label_smoothing": smoothing}
            value = LOSS[task](f, t, weight, **options)
            (slope,) = torch.autograd.grad(value.sum(), f)
            assert torch.equal(value, torch.zeros_like(value))
            assert torch.equal(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_batch_costs_nothing(task):
    """No rows, no loss: 0 and not nan."""
    assert LOSS[task](torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0


def test_weight_of_a_set_is_the_mean_over_its_classes():
    """A set counts with the mean weight of its classes, and so it does in the denominator."""
    f = torch.randn(2, 4, dtype=torch.float64)
    t = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.float64)
    weight = torch.tensor([1.0, 4.0, 3.0, 0.5], dtype=torch.float64)
    plain = partial_cross_entropy(f, t, reduction="none")
    expected = (2.5 * plain[0] + 3.0 * plain[1]) / (2.5 + 3.0)
    torch.testing.assert_close(partial_cross_entropy(f, t, weight), expected)


@pytest.mark.parametrize("row", [[0.0, 0, 0], [0.5, 0.2, 0.1], [1.5, 0, 0], [-1.0, 1, 1]])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_that_is_no_statement_is_nan(row, weighted):
    """Neither evidence nor shares: the row and the mean are nan, the other rows are not."""
    t = torch.tensor([row, [1.0, 0, 1]])
    weight = torch.ones(3) if weighted else None
    each = partial_cross_entropy(torch.zeros(2, 3), t, weight, reduction="none")
    assert [True, False] == each.isnan().tolist()
    assert partial_cross_entropy(torch.zeros(2, 3), t, weight).isnan()


def test_a_tag_that_is_no_probability_is_nan():
    """An entry outside [0, 1] makes its row nan, as in the reference."""
    t = torch.tensor([[1.5, 0], [1, torch.nan]])
    each = partial_binary_cross_entropy_with_logits(torch.zeros(2, 2), t, reduction="none")
    assert [[True, True], [False, False]] == each.isnan().tolist()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_first_and_second_derivatives(task, smoothing):
    """Gradient and Hessian are those of finite differences, weighted and reduced."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets())
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)

    def loss(logits):
        return LOSS[task](logits, t, weight, label_smoothing=smoothing)

    f.requires_grad_()
    assert torch.autograd.gradcheck(loss, (f,))
    assert torch.autograd.gradgradcheck(loss, (f,))


@pytest.mark.parametrize("task", TASKS)
def test_function_transforms(task):
    """`vmap` over rows of `grad` gives the gradients of the batch, with shared targets as well."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets())
    _, expected = ours(task, f, t)

    def total(logits, targets):
        return LOSS[task](logits, targets, reduction="sum")

    each = torch.func.vmap(torch.func.grad(total))(f, t)
    torch.testing.assert_close(each, torch.from_numpy(expected))
    shared = torch.func.vmap(torch.func.grad(total), in_dims=(0, None))(f, t[1])
    alone = torch.stack([torch.func.grad(total)(row, t[1]) for row in f])
    torch.testing.assert_close(shared, alone)


def assert_compiles(task, backend, options):
    """Value and gradient of the compiled module are those of the module."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets()).float()
    loss = MODULE[task](**options)
    found = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend=backend)):
        logits = f.float().requires_grad_()
        value = function(logits, t)
        value.backward()
        found.append((value.detach(), logits.grad))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("options", [{}, {"weight": torch.ones(3), "label_smoothing": 0.1}])
def test_compiles_without_graph_breaks(task, options):
    """Forward and backward are one graph each, and a compiler's graph gives the same numbers."""
    assert_compiles(task, "aot_eager", options)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_compiles_to_machine_code(task):
    """So does what the default compiler makes of the graphs (about 20 seconds each)."""
    assert_compiles(task, "inductor", {})


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shares", [5, 300, 595])
def test_evidence_and_shares_in_any_proportion(shares, dtype):
    """Whichever kind is rarer in a batch, each row gets its own loss, on any number of threads."""
    rng = np.random.default_rng(6)
    f = torch.from_numpy(rng.standard_normal((600, 50)) * 3).to(dtype)
    t = (rng.random((600, 50)) < 0.3).astype(float)
    t[:, 0] = 1.0
    t[7] = 1.0
    kinds = rng.permutation(600)
    some = kinds[:shares]
    t[some] = rng.dirichlet(np.ones(50), shares)
    t[kinds[-3:]] = [[1.0] + [0.0] * 48 + [bad] for bad in (-1.0, np.nan, 1.5)]
    assert_is_reference("multiclass", f, t)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_16_bit_logits_are_widened(task, narrow, autocast):
    """The loss of 16-bit logits is float32, and that of the same logits in float32."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets()).float()
    f = (f * 2000).to(narrow).requires_grad_()
    wide = f.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        actual = LOSS[task](f, t)
    expected = LOSS[task](wide, t)
    actual.backward()
    expected.backward()
    assert torch.float32 == actual.dtype
    assert expected.item() == actual.item()
    assert torch.equal(wide.grad.to(narrow), f.grad)


@pytest.mark.parametrize("task", TASKS)
def test_16_bit_targets(task):
    """Targets kept in 16 bits are read with the tolerance of 16 bits."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets())
    t = torch.cat([t, torch.tensor([[1 / 3, 1 / 3, 1 / 3]], dtype=t.dtype)])
    f = torch.cat([f, f[:1]])
    each = LOSS[task](f, t.bfloat16(), reduction="none")
    torch.testing.assert_close(each, LOSS[task](f, t, reduction="none"), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_labels_and_modules(task):
    """Labels go in as they are; the module and its copy give what the function does."""
    f, labels = batch(task)
    t = torch.from_numpy(labels.to_targets())
    weight = torch.tensor([0.5, 1.0, 2.0])
    loss = MODULE[task](weight, label_smoothing=0.1)
    again = MODULE[task](torch.zeros(3), label_smoothing=0.1)
    again.load_state_dict(loss.state_dict())
    expected = LOSS[task](f, t, weight, label_smoothing=0.1)
    assert expected.item() == loss(f, labels).item() == again(f, t).item()


@pytest.mark.parametrize("task", TASKS)
def test_any_leading_axes(task):
    """(batch, time, classes) is as many rows, also in another memory order."""
    rng = np.random.default_rng(4)
    f = torch.from_numpy(rng.standard_normal((6, 5)))
    t = torch.from_numpy(draw_targets(rng, task, 6, 5))
    flat, slope = ours(task, f, t)
    folded, its_slope = ours(task, f.view(2, 3, 5), t.view(2, 3, 5))
    other = f.view(2, 3, 5).permute(2, 0, 1).contiguous().permute(1, 2, 0)
    strided, their_slope = ours(task, other, t.view(2, 3, 5))
    for value, gradient in ((folded, its_slope), (strided, their_slope)):
        np.testing.assert_allclose(value.ravel(), flat, rtol=1e-14)
        np.testing.assert_allclose(gradient.reshape(6, 5), slope, rtol=1e-12, atol=1e-15)
    alone = LOSS[task](f[0], t[0], reduction="sum")
    assert alone.item() == pytest.approx(flat[0], rel=1e-14)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("task", TASKS)
def test_cuda(task):
    """On a CUDA device, value and gradient are those of the CPU."""
    rng = np.random.default_rng(5)
    f = torch.from_numpy(draw_logits(rng, 500, 6))
    t = torch.from_numpy(draw_targets(rng, task, 500, 6))
    there = f.cuda().requires_grad_()
    value = LOSS[task](there, t.cuda(), reduction="none")
    value.sum().backward()
    rows = value.sum(-1) if task == "multilabel" else value
    expected, slope = ours(task, f, t)
    assert_close(expected, rows.detach().cpu().numpy(), 1e-12)
    assert_close(slope, there.grad.cpu().numpy(), 1e-12)


LOGITS = torch.zeros(4, 3)
MISTAKES = [
    (LOGITS, torch.zeros(4, dtype=torch.int64), ValueError, "one_hot"),
    (LOGITS, torch.zeros(4, 2), ValueError, r"\(4, 3\) and targets \(4, 2\)"),
    (torch.zeros(2, 3, 5, 7), torch.zeros(2, 5, 7, 3), ValueError, "movedim"),
    (LOGITS.long(), LOGITS, TypeError, "int64"),
    (LOGITS, LOGITS.numpy(), TypeError, "torch.from_numpy"),
    (LOGITS, LOGITS.clone().requires_grad_(), ValueError, "detach"),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("f", "t", "error", "says"), MISTAKES, ids=lambda case: str(case)[:12])
def test_mistakes_are_named(task, f, t, error, says):
    """What does not fit is refused, with what to write instead."""
    with pytest.raises(error, match=says):
        LOSS[task](f, t)


@pytest.mark.parametrize("task", TASKS)
def test_labels_of_the_other_task_are_refused(task):
    """Multilabel statements have another loss, and the message names it."""
    labels = TAGS if task == "multiclass" else LABELS
    other = MODULE["multilabel" if task == "multiclass" else "multiclass"].__name__
    with pytest.raises(ValueError, match=other):
        LOSS[task](torch.zeros(len(labels), 3), labels)


@pytest.mark.parametrize("task", TASKS)
def test_options_are_checked_when_the_module_is_made(task):
    """A bad reduction, smoothing or class weight is refused."""
    with pytest.raises(ValueError, match="'batchmean'"):
        MODULE[task](reduction="batchmean")
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.5"):
        MODULE[task](label_smoothing=1.5)
    name = "weight" if task == "multiclass" else "pos_weight"
    with pytest.raises(ValueError, match=rf"{name} has shape \(2,\)"):
        MODULE[task](**{name: torch.ones(2)})(LOGITS, LOGITS)


@pytest.mark.parametrize("task", MODULE)
def test_weights_may_be_a_list(task):
    """A list of class weights does what the tensor does."""
    weight = [0.5, 2.0, *[1.0] * (LOGITS.shape[-1] - 2)]
    targets = torch.nn.functional.one_hot(torch.arange(len(LOGITS)) % 2, LOGITS.shape[-1]).float()
    listed = MODULE[task](weight=weight)(LOGITS, targets)
    assert MODULE[task](weight=torch.tensor(weight))(LOGITS, targets).item() == listed.item()


def test_a_tag_weight_never_widens_the_logits():
    """A weight with more dimensions than the logits is refused, not broadcast the other way."""
    weight = torch.ones(5, *LOGITS.shape)
    with pytest.raises(ValueError, match="the weight must broadcast to the logits"):
        MODULE["multilabel"](weight=weight)(LOGITS, torch.zeros_like(LOGITS))


WEIGHTS = [("multiclass", "weight"), ("multilabel", "weight"), ("multilabel", "pos_weight")]


@pytest.mark.parametrize(("task", "name"), WEIGHTS)
@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
def test_weights_below_0_are_refused(task, name, wrong):
    """A weight below 0 would reward mistakes: refused by name, nan in compiled code."""
    weight = torch.ones(LOGITS.shape[-1])
    weight[1] = wrong
    targets = torch.zeros_like(LOGITS)
    targets[:, 1] = 1
    with pytest.raises(ValueError, match=rf"^{name} holds {wrong:g}; a weight is a number from 0"):
        MODULE[task](**{name: weight})
    with pytest.raises(ValueError, match=rf"^{name} holds {wrong:g}"):
        LOSS[task](LOGITS, targets, **{name: weight})
    compiled = torch.compile(LOSS[task], fullgraph=True, backend="aot_eager")
    assert compiled(LOGITS, targets, **{name: weight}).isnan()


def test_the_tables_of_the_docs_are_a_fresh_run():
    """docs/numerics.md shows what benchmarks/numerics.py finds now."""
    root = Path(__file__).parents[2]
    script = runpy.run_path(str(root / "benchmarks" / "numerics.py"))
    found = {name: script["rows"](dtype) for name, dtype in script["DTYPES"].items()}
    page = (root / "docs" / "numerics.md").read_text(encoding="utf-8")
    assert script["with_tables"](page, found) == page


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lead", [5, 12, 17, 30, 110, 1e4])
def test_an_excluded_class_that_leads_is_pushed_down(lead, dtype):
    """However sure the network is of an excluded class, loss and gradient are right."""
    f = torch.tensor([[lead, 0.0, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    value = partial_cross_entropy(f, torch.tensor([[0.0, 1, 1, 1]]))
    value.backward()
    d = f[0, 0].item() - np.log(3)
    assert value.item() == pytest.approx(np.logaddexp(0, d), rel=1e-6)
    assert f.grad[0, 0].item() == pytest.approx(1 / (1 + np.exp(-d)), rel=4e-3)
