"""The compiled kernels against slow NumPy twins: losses, gradients, one epoch of each model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eitheror._kernels.arrays import Features, Stretch, Targets, embedding_room, linear_room
from eitheror._kernels.embedding import (
    Common,
    aligned,
    embedding_epoch,
    embedding_loss,
    layout,
)
from eitheror._kernels.linear import linear_epoch, linear_loss
from eitheror._kernels.losses import CODES, EVALUATION, exp32, row_gradient, uniform_draw
from eitheror.labels import (
    Labels,
    either,
    evidence,
    exact,
    not_,
    soft,
    tags,
    unknown,
    votes,
)
from eitheror.losses import LOSSES
from eitheror.training.options import TrainOptions

CLASSES = list("abcdefghij")
MULTICLASS = Labels(
    [
        "a",
        exact("b", trust=0.9),
        either("a", "c", "j"),
        either("b", "d", trust=0.8),
        not_("e"),
        not_("f", "g", trust=0.75),
        evidence({"a": 1.0, "b": 0.25, "c": 0.0}, rest=0.5),
        soft({"h": 0.7, "i": 0.3}),
        votes({"a": 3, "j": 1}),
        either("a", "b") & not_("b", trust=0.5),
        unknown,
        not_(*CLASSES[1:]),
    ],
    classes=CLASSES,
)
MULTILABEL = Labels(
    [
        tags("a", "c"),
        tags("b", absent=["c"], rest="unknown"),
        not_("d", "e"),
        soft({"a": 0.25, "f": 1.0}),
        votes({"g": 3, "h": 5}, voters=5),
        tags(),
        unknown,
        tags(*CLASSES),
    ],
    classes=CLASSES,
    task="multilabel",
)
DRAWN = ("random-pick", "pol")
TRAINABLE = [name for name, loss in LOSSES.items() if loss.trainable and loss.text]
NO_WEIGHT = np.empty(0, np.float32)
_NOTHING = (np.empty((0, 0), np.float32), NO_WEIGHT, NO_WEIGHT) * 2
ALONE = Common(*_NOTHING[:5], *_NOTHING[:5], 0, 0)


def whole(n: int) -> Stretch:
    """All of an epoch, on one thread, the features not cut in halves."""
    return Stretch(0, n, -1, 0.0, np.empty(0, np.int32), np.empty((0, 0), np.float32))


def labels_for(loss: str) -> Labels:
    """Every kind of row of the loss's task."""
    return MULTICLASS if LOSSES[loss].task == "multiclass" else MULTILABEL


def pack(labels: Labels, weight: Any = None) -> Targets:
    """Targets as the kernels take them."""
    targets = labels.sparse()
    row_weight = np.ones(len(labels)) if weight is None else np.asarray(weight)
    return Targets(
        targets.indptr,
        targets.indices,
        targets.values,
        targets.rest,
        targets.mode,
        targets.group_indptr,
        targets.group_ends,
        targets.group_indices,
        row_weight.astype(np.float32),
    )


def run_row(
    loss: str, targets: Targets, row: int, logits: Any, smoothing: float = 0.0, draw: float = 0.0
) -> tuple[float, np.ndarray]:
    """Value and gradient of one row, on a copy of the logits that must come back unchanged."""
    f = np.asarray(logits, dtype=np.float32).copy()
    before, out = f.copy(), np.full_like(f, 7.0)
    value = row_gradient(
        CODES[loss], row, targets, f, 0, NO_WEIGHT, smoothing, draw, np.empty(len(f)), out
    )
    np.testing.assert_array_equal(before, f)
    return value, out


def test_every_trainable_loss_has_a_kernel() -> None:
    """The kernels know the words of `LOSSES` that texts train with, and no others."""
    assert set(TRAINABLE) == set(CODES)
    assert set(CODES.values()) == set(EVALUATION)


def test_exp32_is_exact_to_two_in_ten_million() -> None:
    """The polynomial exponential has a relative error below 2e-7 on the range of float32."""
    x = np.linspace(-87, 88, 20_001, dtype=np.float32)
    got = np.array([exp32(v) for v in x], dtype=np.float64)
    expected = np.exp(x.astype(np.float64))
    assert np.max(np.abs(got / expected - 1)) < 2e-7
    assert [exp32(np.float32(v)) for v in (-89.0, -1e30, -np.inf)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("loss", [name for name in TRAINABLE if name not in DRAWN])
def test_rows_equal_the_reference(loss: str, smoothing: float) -> None:
    """Value and gradient of every kind of row are those of `eitheror.losses`."""
    labels = labels_for(loss)
    targets, dense = pack(labels), labels.to_targets()
    random = np.random.default_rng(1)
    for scale in (0.1, 3.0, 20.0):
        logits = (scale * random.standard_normal(dense.shape)).astype(np.float32)
        wide = logits.astype(np.float64)
        speaks = targets.mode > 0
        expected = LOSSES[loss].value(wide, dense, label_smoothing=smoothing)
        slopes = LOSSES[loss].gradient(wide, dense, label_smoothing=smoothing)
        for row in np.flatnonzero(speaks):
            value, gradient = run_row(loss, targets, row, logits[row], smoothing)
            assert value == pytest.approx(expected[row], rel=2e-5, abs=2e-5)
            np.testing.assert_allclose(gradient, slopes[row], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("row", "n_classes"),
    [
        (not_("a"), 2),
        (not_("a", "b"), 4),
        (not_("a", trust=0.9), 2),
        (evidence({"a": 0.0, "b": 1.0}, rest=0.25), 6),
        (evidence({"a": 0.0, "b": 1.0}, rest=0.5), 4),
        (evidence({"a": 0.5, "b": 1.0}, rest=0.125), 6),
        (either("a", "b"), 4),
    ],
)
def test_what_is_denied_may_weigh_as_much_as_the_classes_not_listed(
    row: Any, n_classes: int
) -> None:
    """With equal logits, as at the start, two sums can be the same and are still not one thing."""
    labels = Labels([row], classes=CLASSES[:n_classes])
    expected = LOSSES["softmax"].gradient(np.zeros((1, n_classes)), labels.to_targets())
    _, gradient = run_row("softmax", pack(labels), 0, np.zeros(n_classes))
    np.testing.assert_allclose(gradient, expected[0], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("loss", TRAINABLE)
def test_unknown_rows_cost_nothing(loss: str) -> None:
    """A row that says nothing has loss 0 and gradient 0."""
    value, gradient = run_row(loss, pack(Labels(["a", None])), 1, [3.0])
    assert value == 0.0
    assert gradient.tolist() == [0.0]


@pytest.mark.parametrize("loss", DRAWN)
def test_drawn_labels_average_to_the_expectation(loss: str) -> None:
    """The mean gradient over all draws is the gradient of the expected loss."""
    labels = labels_for(loss)
    targets, dense = pack(labels), labels.to_targets()
    logits = np.random.default_rng(2).standard_normal(dense.shape).astype(np.float32)
    expected = LOSSES[loss].gradient(logits.astype(np.float64), dense)
    draws = (np.arange(2000) + 0.5) / 2000
    for row in np.flatnonzero(targets.mode > 0):
        mean = np.mean([run_row(loss, targets, row, logits[row], 0.0, d)[1] for d in draws], axis=0)
        np.testing.assert_allclose(mean, expected[row], atol=2e-3)


def test_weights_far_below_the_top_keep_their_digits() -> None:
    """Weighted classes hundreds below the top: loss and gradient to a part in a million."""
    labels = Labels([evidence({"a": 1.0, "b": 0.9, "c": 0.3})], classes=CLASSES)
    f = np.float32([747.1423, 746.25, 700.5, -3.0, 849.0, 12.0, 0.0, -500.0, 100.0, 600.5])
    expected = LOSSES["softmax"].value(f[None].astype(float), labels.to_targets())
    slopes = LOSSES["softmax"].gradient(f[None].astype(float), labels.to_targets())
    value, gradient = run_row("softmax", pack(labels), 0, f)
    assert value == pytest.approx(expected[0], rel=1e-8)
    np.testing.assert_allclose(gradient, slopes[0], atol=2e-7)


def test_extreme_logits_stay_finite_and_right() -> None:
    """At logits of 1e4 the statement loss is 2e4, 0 or 1e4, with the right gradient."""
    f = [1e4, -1e4, 0.0, 3.0]
    rows = [exact("b"), either("b", "c"), either("a", "b"), not_("a"), unknown]
    targets = pack(Labels(rows, classes=list("abcd")))
    assert run_row("softmax", targets, 0, f)[0] == pytest.approx(2e4, rel=1e-6)
    value, gradient = run_row("softmax", targets, 1, f)
    assert value == pytest.approx(1e4, rel=1e-6)
    np.testing.assert_allclose(gradient, [1, 0, -1, 0], atol=1e-6)
    value, gradient = run_row("softmax", targets, 2, f)
    assert value == 0.0
    assert gradient.tolist() == [0.0, 0.0, 0.0, 0.0]
    value, gradient = run_row("softmax", targets, 3, [1e4, 0.0, 0.0, -2e4])
    assert value == pytest.approx(1e4 - np.log(2), rel=1e-6)
    np.testing.assert_allclose(gradient, [1, -0.5, -0.5, 0], atol=1e-6)


@pytest.mark.parametrize("loss", ["ova", "ova-n"])
def test_blocks_of_classes_make_up_the_row(loss: str) -> None:
    """One-vs-all over two blocks of classes gives the whole row's gradient, and its loss in sum."""
    targets = pack(MULTILABEL)
    logits = np.random.default_rng(3).standard_normal((len(MULTILABEL), 10)).astype(np.float32)
    for row in range(len(MULTILABEL)):
        whole, gradient = run_row(loss, targets, row, logits[row])
        total, parts = 0.0, []
        for first, last in ((0, 4), (4, 10)):
            out = np.empty(last - first, np.float32)
            total += row_gradient(
                CODES[loss], row, targets, logits[row, first:last].copy(), first, NO_WEIGHT,
                0.0, 0.0, np.empty(10), out,
            )  # fmt: skip
            parts.append(out)
        assert total == pytest.approx(whole, rel=1e-5, abs=1e-6)
        np.testing.assert_array_equal(gradient, np.concatenate(parts))


@pytest.mark.parametrize("f", [(-1e4, -1e4), (-40.0, -40.0), (0.0, 0.0), (3.0, -2.0), (50.0, 1.0)])
def test_at_least_one_of_a_group(f: tuple[float, float]) -> None:
    """A group costs -log(1 - prod(1 - sigmoid)), with its gradient, at any logits."""
    from eitheror.losses import at_least_one

    labels = Labels([either("a", "b"), tags("c")], classes=list("abc"), task="multilabel")
    value, gradient = run_row("ova", pack(labels), 0, [*f, 5.0])
    mask = np.array([[True, True, False]])
    wide = np.array([[*f, 5.0]])
    assert value == pytest.approx(float(at_least_one(wide, mask)[0]), rel=1e-6)
    step = 1e-4
    for k in (0, 1):
        up, down = wide.copy(), wide.copy()
        up[0, k] += step
        down[0, k] -= step
        slope = (at_least_one(up, mask) - at_least_one(down, mask))[0] / (2 * step)
        assert gradient[k] == pytest.approx(float(slope), abs=1e-4)
    assert gradient[2] == 0.0


def test_draws_are_uniform_and_depend_on_all_three_numbers() -> None:
    """`uniform_draw` covers [0, 1) evenly and changes with seed, epoch and row."""
    draws = np.array([uniform_draw(0, 1, row) for row in range(20_000)])
    assert 0.0 <= draws.min()
    assert draws.max() < 1.0
    assert abs(draws.mean() - 0.5) < 0.01
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] / 2000 - 1).max() < 0.1
    assert len({uniform_draw(*key) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}) == 4


# --- one epoch against its NumPy twin ------------------------------------------------------


def random_features(n: int, n_features: int, seed: int = 0) -> tuple[Features, np.ndarray]:
    """Sparse rows and the same as a dense matrix."""
    random = np.random.default_rng(seed)
    dense = random.standard_normal((n, n_features)) * (random.random((n, n_features)) < 0.4)
    dense = dense.astype(np.float32)
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    return Features(indptr.astype(np.int64), columns.astype(np.int32), dense[rows, columns]), dense


def random_means(n: int, n_features: int, seed: int = 0) -> tuple[Features, np.ndarray]:
    """Rows of features that count the same, one of them twice in a row, and as a dense matrix."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, n_features, n)
    rows = [random.integers(0, n_features, length) for length in lengths]
    dense = np.zeros((n, n_features))
    for i, row in enumerate(rows):
        np.add.at(dense[i], row, 1 / max(len(row), 1))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = np.concatenate(rows).astype(np.int32)
    return Features(indptr, indices, np.empty(0, np.float32)), dense


def gradients(loss: str, labels: Labels, row: int, logits: np.ndarray) -> np.ndarray:
    """Gradient of one row by the reference."""
    return LOSSES[loss].gradient(logits[None].astype(np.float64), labels.to_targets()[row][None])[0]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("loss", ["softmax", "uniform", "ova", "ova-n", "pal", "pal-n"])
def test_linear_epoch_equals_its_twin(loss: str, adaptive: bool) -> None:
    """An epoch of the linear kernel makes the steps that plain NumPy makes."""
    labels = labels_for(loss)
    n, n_features, k = len(labels), 6, len(CLASSES)
    features, dense = random_features(n, n_features)
    weights = np.linspace(0.5, 1.5, n).astype(np.float32)
    targets = pack(labels, weights)
    order = np.random.default_rng(4).permutation(n)
    decay, start, stop = 0.05, 0.4, 0.1
    W, b = np.zeros((n_features, k)), np.zeros(k)
    sums, bias_sum = np.full(n_features, 0.01), 0.01
    expected_loss = 0.0
    for position, i in enumerate(order):
        f = dense[i] @ W + b
        if targets.mode[i] == 0:
            g = np.zeros(k)
        else:
            g = gradients(loss, labels, i, f)
            value = LOSSES[loss].value(f[None], labels.to_targets()[i][None])[0]
            expected_loss += weights[i] * value
        rate = start + (stop - start) * position / n
        W *= 1 - rate * decay
        size = weights[i] ** 2 * (g @ g)
        speed, bias_speed = np.ones(n_features), 1.0
        if adaptive:
            sums += dense[i] ** 2 * size
            bias_sum += size
            speed, bias_speed = 1 / np.sqrt(sums), 1 / np.sqrt(bias_sum)
        W -= rate * weights[i] * np.outer(speed * dense[i], g)
        b -= rate * weights[i] * bias_speed * g
    weight, bias = np.zeros((n_features, k), np.float32), np.zeros(k, np.float32)
    squares = np.full(n_features if adaptive else 0, 0.01, np.float32)
    bias_squares = np.full(1 if adaptive else 0, 0.01, np.float32)
    got = linear_epoch(
        order, features, targets, NO_WEIGHT, weight, bias, squares, bias_squares,
        CODES[loss], 0, start, stop, decay, 0.0, 0, 0, linear_room(k),
    )  # fmt: skip
    assert got == pytest.approx(expected_loss, rel=1e-4)
    np.testing.assert_allclose(weight, W, atol=2e-5)
    np.testing.assert_allclose(bias, b, atol=2e-5)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("dim", [8, 40, 100, 130])
@pytest.mark.parametrize("loss", ["softmax", "ova", "pal-n"])
def test_embedding_epoch_equals_its_twin(loss: str, dim: int, adaptive: bool, turned: bool) -> None:
    """An epoch makes the steps that plain NumPy makes, however the output weights lie."""
    labels = labels_for(loss)
    n, n_features, k = len(labels), 6, len(CLASSES)
    chunks, width = layout(dim)
    features, dense = random_means(n, n_features)
    weights = np.linspace(0.5, 1.5, n).astype(np.float32)
    targets = pack(labels, weights)
    order = np.random.default_rng(4).permutation(n)
    random = np.random.default_rng(5)
    embedding, table = aligned(n_features, width), aligned(*((dim, 32) if turned else (k, width)))
    weight = (table.T if turned else table)[:k, :dim]
    embedding[:, :dim] = random.standard_normal((n_features, dim)) / np.sqrt(dim)
    weight[...] = random.standard_normal((k, dim))
    bias = np.zeros(k, np.float32)
    E, W, b = embedding[:, :dim].astype(float), weight.astype(float), np.zeros(k)
    e_sums, w_sums = np.full(n_features, 0.01), np.full(k, 0.01)
    start, stop = 0.3, 0.1
    for position, i in enumerate(order):
        if targets.mode[i] == 0:
            continue
        h = dense[i] @ E
        g = gradients(loss, labels, i, W @ h + b)
        rate = (start + (stop - start) * position / n) * weights[i]
        speed, row_speed = np.ones(k), np.ones(n_features)
        back = g @ W
        if adaptive:
            w_sums += g**2 * weights[i] ** 2 * np.mean(h**2)
            row = features.indices[features.indptr[i] : features.indptr[i + 1]]
            share = 1 / max(len(row), 1)
            np.add.at(e_sums, row, share**2 * weights[i] ** 2 * np.mean(back**2))
            speed, row_speed = 1 / np.sqrt(w_sums), 1 / np.sqrt(e_sums)
        W -= rate * np.outer(speed * g, h)
        b -= rate * speed * g
        E -= rate * np.outer(row_speed * dense[i], back)
    squares = np.full(n_features if adaptive else 0, 0.01, np.float32)
    weight_squares = np.full(k if adaptive else 0, 0.01, np.float32)
    embedding_epoch(
        order, features, targets, NO_WEIGHT, embedding, table, bias, squares, weight_squares,
        chunks, dim, turned, 0, 0, ALONE, whole(n), CODES[loss], start, stop, 0.0, 0, 0,
        embedding_room(k, table.shape[1], width),
    )  # fmt: skip
    np.testing.assert_allclose(weight, W, atol=5e-5)
    np.testing.assert_allclose(bias, b, atol=5e-5)
    np.testing.assert_allclose(embedding[:, :dim], E, atol=5e-5)
    assert not embedding[:, dim:].any()
    assert not table.T[k:].any() if turned else not table[:, dim:].any()


def test_a_copy_of_the_frequent_rows_is_trained_in_their_stead() -> None:
    """With the first rows copied further down, the same steps are made, on the copies."""
    n, n_features, k, n_hot = len(MULTICLASS), 6, len(CLASSES), 2
    features, _ = random_means(n, n_features)
    targets, order = pack(MULTICLASS), np.arange(len(MULTICLASS))
    chunks, width = layout(20)
    start = aligned(n_features + n_hot, width)
    start[:n_features] = np.random.default_rng(1).standard_normal((n_features, width))
    start[n_features:] = start[:n_hot]
    ends = []
    for hot in (0, n_hot):
        table, weight, bias = start.copy(), aligned(k, width), np.zeros(k, np.float32)
        embedding_epoch(
            order, features, targets, NO_WEIGHT, table, weight, bias, NO_WEIGHT, NO_WEIGHT,
            chunks, 20, False, hot, n_features, ALONE, whole(n), CODES["softmax"], 0.5, 0.1, 0.0,
            0, 0, embedding_room(k, width, width),
        )  # fmt: skip
        ends.append((table, weight))
    (plain, plain_weight), (split, split_weight) = ends
    np.testing.assert_array_equal(split_weight, plain_weight)
    np.testing.assert_array_equal(split[n_hot:n_features], plain[n_hot:n_features])
    np.testing.assert_array_equal(split[n_features:], plain[:n_hot])
    np.testing.assert_array_equal(split[:n_hot], start[:n_hot])
    assert (plain[:n_hot] != start[:n_hot]).any()


def test_held_out_losses_are_weighted_sums() -> None:
    """`linear_loss` and `embedding_loss` add the rows' losses by weight and change nothing."""
    n, k = len(MULTICLASS), len(CLASSES)
    features, dense = random_features(n, 6)
    weights = np.linspace(0.5, 1.5, n)
    targets = pack(MULTICLASS, weights)
    order = np.arange(n)[targets.mode > 0]
    random = np.random.default_rng(6)
    W = random.standard_normal((6, k)).astype(np.float32)
    b = random.standard_normal(k).astype(np.float32)
    values = LOSSES["softmax"].value(dense @ W + b, MULTICLASS.to_targets())
    expected = float((values * weights)[order].sum())
    code = CODES["softmax"]
    got = linear_loss(order, features, targets, W, b, code, 0, linear_room(k))
    assert got == pytest.approx(expected, rel=1e-4)
    chunks, width = layout(6)
    features, dense = random_means(n, 6)
    values = LOSSES["softmax"].value(dense @ W + b, MULTICLASS.to_targets())
    expected = float((values * weights)[order].sum())
    E, V, turned = np.eye(6, width, dtype=np.float32), aligned(k, width), aligned(6, 32)
    V[:, :6], turned[:, :k] = W.T, W
    for table in (V, turned):
        room = embedding_room(k, table.shape[1], width)
        got = embedding_loss(
            order, features, targets, E, table, b, chunks, table is turned, code, room
        )
        assert got == pytest.approx(expected, rel=1e-4)


def test_option_words_are_the_losses() -> None:
    """Every trainable loss is an option word, and an untrainable one is refused with its reason."""
    for name, loss in LOSSES.items():
        if loss.trainable:
            assert TrainOptions(loss=name).loss == name
        else:
            with pytest.raises(ValueError, match="cannot be trained") as caught:
                TrainOptions(loss=name)
            assert loss.reason in str(caught.value)
