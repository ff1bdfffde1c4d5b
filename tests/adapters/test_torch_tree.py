"""Hierarchical softmax: the tree's probabilities, and the loss of statements over the tree."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import eitheror as eo  # noqa: E402
from eitheror import losses  # noqa: E402
from eitheror.torch import HierarchicalSoftmax  # noqa: E402

KINDS = ("exact", "set", "not", "weights", "shares", "trust", "unknown")


def targets_of(kind: str, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of one kind of statement as a matrix."""
    own = rng.integers(k, size=n)
    matrix = np.zeros((n, k))
    if kind == "exact":
        matrix[np.arange(n), own] = 1.0
    elif kind == "set":
        matrix = (rng.random((n, k)) < 0.4).astype(float)
        matrix[np.arange(n), own] = 1.0
    elif kind == "not":
        matrix[:] = 1.0
        matrix[np.arange(n), own] = 0.0
    elif kind == "weights":
        matrix = rng.random((n, k))
        matrix /= matrix.max(axis=1, keepdims=True)
    elif kind == "shares":
        matrix = rng.dirichlet(np.ones(k), size=n)
    elif kind == "trust":
        matrix[:] = 0.25
        matrix[np.arange(n), own] = 1.0
    else:
        matrix[:] = 1.0
    return matrix


def case(k: int, seed: int = 0, n: int = 25) -> tuple[HierarchicalSoftmax, torch.Tensor]:
    """A tree over skewed counts and features, in float64."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    tree = HierarchicalSoftmax(4, rng.integers(1, 1000, k) ** 2).double()
    return tree, torch.randn(n, 4, dtype=torch.float64) * 3


def flat(tree: HierarchicalSoftmax, features: torch.Tensor, targets: np.ndarray) -> torch.Tensor:
    """The loss of the same leaf probabilities without a tree."""
    return losses.partial_softmax_cross_entropy(tree.log_proba(features), torch.from_numpy(targets))


@pytest.mark.parametrize("k", [2, 3, 7, 40])
def test_probabilities_add_to_one(k):
    """The leaves of a tree share one unit."""
    tree, features = case(k)
    total = tree.log_proba(features).logsumexp(dim=1)
    torch.testing.assert_close(total, torch.zeros(25, dtype=torch.float64), rtol=0, atol=1e-14)


def test_log_proba_is_the_product_along_the_path():
    """A leaf's log probability is the sum of log sigmoids of the turns that lead to it."""
    tree, features = case(3)
    tree = HierarchicalSoftmax(4, [1, 1, 9]).double()
    z = tree.logits(features)
    first, rest = torch.nn.functional.logsigmoid(z), torch.nn.functional.logsigmoid(-z)
    expected = {first[0, 0].item(), rest[0, 0].item()}
    log_p = tree.log_proba(features)[0]
    assert log_p[2].item() in expected
    pair = torch.logsumexp(log_p[:2], 0).item()
    assert min(abs(pair - side) for side in expected - {log_p[2].item()}) < 1e-14


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [2, 3, 40])
def test_loss_equals_the_flat_loss(k, kind):
    """Over the tree and over all leaves at once, a statement has one loss, to 1e-12."""
    tree, features = case(k, seed=k)
    targets = targets_of(kind, len(features), k, np.random.default_rng(k))
    actual = tree(features, torch.from_numpy(targets))
    torch.testing.assert_close(actual, flat(tree, features, targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_the_flat_gradient(kind):
    """So do the gradients with respect to features, weights and biases."""
    tree, features = case(30, seed=3)
    targets = targets_of(kind, len(features), 30, np.random.default_rng(5))
    features.requires_grad_()
    of = (features, tree.weight, tree.bias)
    actual = torch.autograd.grad(tree(features, torch.from_numpy(targets)).sum(), of)
    expected = torch.autograd.grad(flat(tree, features, targets).sum(), of)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_numeric_gradient_and_second_derivative(kind):
    """Gradient and Hessian agree with differences."""
    tree, features = case(5, seed=1, n=4)
    targets = torch.from_numpy(targets_of(kind, 4, 5, np.random.default_rng(2)))
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tree(x, targets), features)
    assert torch.autograd.gradgradcheck(lambda x: tree(x, targets), features)


def test_labels_and_their_matrix_have_one_loss():
    """Labels, their targets and (for exact classes) class numbers say the same."""
    tree, features = case(6, n=5)
    classes = list("abcdef")
    labels = eo.Labels(
        ["a", eo.either("b", "d"), eo.not_("c", "a"), None, eo.soft({"a": 0.5, "f": 0.5})], classes
    )
    torch.testing.assert_close(
        tree(features, labels),
        tree(features, torch.from_numpy(labels.to_targets())),
        rtol=1e-14,
        atol=0,
    )
    exact = torch.tensor([0, 5, 3, 3, 1])
    named = eo.Labels([classes[i] for i in exact], classes)
    assert tree(features, named).tolist() == tree(features, exact).tolist()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_logits(kind, sign):
    """At logits of +-1e4 losses and gradients are finite and agree with 50-digit arithmetic."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
    k, n = 6, 8
    tree, _ = case(k, seed=4)
    rng = np.random.default_rng(7)
    targets = targets_of(kind, n, k, rng)
    with torch.no_grad():
        tree.weight.copy_(torch.eye(k - 1, 4, dtype=torch.float64))
        tree.bias.copy_(torch.from_numpy(rng.choice([-1e4, 0.5, 1e4], size=k - 1)))
    features = torch.from_numpy(sign * rng.choice([0.0, 1e4, 3.0], size=(n, 4))).requires_grad_()
    actual = tree(features, torch.from_numpy(targets))
    (gradient,) = torch.autograd.grad(actual.sum(), features)
    assert torch.isfinite(gradient).all()
    z = tree.logits(features).detach().numpy()
    with mpmath.workdps(50):
        for i in range(n):
            proba = _leaf_probabilities(tree, z[i], mpmath)
            expected = _reference(targets[i], proba, mpmath)
            assert abs(actual[i].item() - expected) <= 1e-12 * abs(expected) + 1e-300


def _leaf_probabilities(tree, z, mpmath):
    """Leaf probabilities from the inner logits, found by asking the tree itself for its turns."""
    turns = {}
    for node in range(len(z)):
        probe = np.zeros(len(z))
        probe[node] = 1.0
        with torch.no_grad():
            bias = tree.bias.clone()
            tree.bias.copy_(torch.from_numpy(probe))
            log_p = tree.log_proba(torch.zeros(1, 4, dtype=torch.float64))[0]
            tree.bias.copy_(bias)
        base = -np.log(2.0) * tree.depths
        turns[node] = np.sign(np.round(log_p.numpy() - base, 9))
    proba = []
    for leaf in range(tree.n_classes):
        p = mpmath.mpf(1)
        for node, turn in turns.items():
            if turn[leaf]:
                p *= 1 / (1 + mpmath.exp(-mpmath.mpf(float(turn[leaf] * z[node]))))
        proba.append(p)
    return proba


def _reference(row, proba, mpmath):
    if row.max() == 1.0:
        allowed = mpmath.fsum(mpmath.mpf(w) * p for w, p in zip(row, proba, strict=True))
        against = mpmath.fsum((1 - mpmath.mpf(w)) * p for w, p in zip(row, proba, strict=True))
        return float(mpmath.log1p(against / allowed))
    return float(-mpmath.fsum(t * mpmath.log(p) for t, p in zip(row, proba, strict=True)))


def test_an_exact_class_touches_its_path_only():
    """The gradient of an exact row is 0 in every node off its path."""
    tree = HierarchicalSoftmax(3, np.ones(64))
    features = torch.randn(1, 3)
    tree(features, torch.tensor([17])).sum().backward()
    assert int((tree.bias.grad != 0).sum()) == tree.depths[17] == 6


def test_frequent_classes_have_short_paths():
    """Path lengths are those of a Huffman code: here the optimal 1, 2, 3, 3."""
    assert HierarchicalSoftmax(1, [50, 30, 15, 5]).depths.tolist() == [1, 2, 3, 3]
    counts = np.random.default_rng(0).integers(1, 10_000, 300)
    p = counts / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= (p * HierarchicalSoftmax(1, counts).depths).sum() < entropy + 1


def test_the_same_counts_make_the_same_tree():
    """Ties are broken by the order of the classes, so a state_dict keeps its meaning."""
    first, second = (HierarchicalSoftmax(4, np.ones(37)) for _ in range(2))
    second.load_state_dict(first.state_dict())
    features = torch.randn(5, 4)
    assert torch.equal(first.log_proba(features), second.log_proba(features))


def test_the_state_of_another_tree_is_refused():
    """Weights mean nothing on other nodes: a state_dict carries its tree."""
    state = torch.nn.Sequential(HierarchicalSoftmax(4, [1, 2, 9])).state_dict()
    with pytest.raises(ValueError, match=r"state at '0.tree' is of a tree over other counts"):
        torch.nn.Sequential(HierarchicalSoftmax(4, [9, 2, 1])).load_state_dict(state)


def test_sparse_targets_are_labels():
    """A training loop keeps ``labels.sparse()`` and takes the rows of a batch from it."""
    tree, features = case(6, n=5)
    labels = eo.Labels(["a", eo.either("b", "d"), eo.not_("c"), None, "f"], list("abcdef"))
    rows = np.array([4, 1, 3])
    actual = tree(features[rows], labels.sparse().take(rows))
    assert torch.equal(tree(features, labels)[rows], actual)


def test_targets_of_another_type_are_refused():
    """A list is not taken for targets."""
    with pytest.raises(TypeError, match=r"targets are a list; give Labels"):
        HierarchicalSoftmax(2, [1, 2])(torch.zeros(2, 2), ["a", "b"])


def test_rows_that_are_no_statement_are_nan():
    """All-zero rows and numbers out of range have no plausible loss."""
    tree = HierarchicalSoftmax(2, [1, 1, 1])
    targets = torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [0.5, 0.1, 0.1], [1.0, 0, 0]])
    assert torch.isnan(tree(torch.zeros(4, 2), targets)).tolist() == [True, True, True, False]


def test_16_bit_features_give_float32_losses():
    """bfloat16 in, float32 out, as everywhere."""
    tree = HierarchicalSoftmax(2, [1, 1, 1]).bfloat16()
    labels = eo.Labels(["a", eo.not_("a")], classes=["a", "b", "c"])
    assert tree(torch.ones(2, 2, dtype=torch.bfloat16), labels).dtype == torch.float32


def test_more_knowledge_never_lowers_the_loss():
    """L(unknown) = 0 <= L(set) <= L(member), and L(not N) = L(either of the rest)."""
    tree, features = case(5, n=1)
    classes = list("abcde")

    def loss(statement):
        return tree(features, eo.Labels([statement], classes)).item()

    assert loss(None) == 0.0
    assert 0.0 <= loss(eo.either("a", "b", "c")) <= loss(eo.either("a", "b")) <= loss("a")
    assert abs(loss(eo.not_("d", "e")) - loss(eo.either("a", "b", "c"))) < 1e-14


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t, x: t(x, torch.zeros(2, 4)), "expected \\(n_samples, 3\\)"),
        (lambda t, x: t(x, torch.tensor([0, 3])), "row 1: class 3"),
        (lambda t, x: t(x, eo.Labels([eo.tags("a"), eo.tags("b", "c")])), "are tags"),
        (lambda t, x: t(x, eo.Labels(["a", "b"])), "have 2 classes, the tree has 3"),
        (lambda t, x: t(x[:1], torch.tensor([0, 1])), "came with 2 targets"),
        (lambda t, x: t(x[:, :1], torch.tensor([0, 1])), "expected \\(2, 2\\)"),
        (lambda t, x: HierarchicalSoftmax(2, [3]), "two classes or more"),
        (lambda t, x: HierarchicalSoftmax(2, [3, -1]), "number >= 0"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    """Shapes, classes and counts that do not fit are named."""
    with pytest.raises(ValueError, match=message):
        make(HierarchicalSoftmax(2, [1, 2, 3]), torch.zeros(2, 2))
