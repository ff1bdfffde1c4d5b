"""Thousands of classes: blocks of rows, the label tree, and the search for the best classes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import eitheror as eo
from eitheror._kernels import search, search_plain
from eitheror._kernels.barrier import meet
from eitheror._kernels.blocks import CAME, FAILED, meeting_words
from eitheror._kernels.embedding import aligned, layout
from eitheror._kernels.rows import Rows
from eitheror._kernels.tree import Tree, tree_epoch, tree_loss, ways_room
from eitheror.cli import main
from eitheror.labels import Labels, either, evidence, exact, not_, soft, tags, unknown, votes
from eitheror.losses import LOSSES
from eitheror.model import EmbeddingParameters, HuffmanParameters
from eitheror.model.top import largest
from eitheror.training import TrainOptions, fit
from eitheror.training.blocked import BlockedTrainer
from eitheror.training.examples import Examples
from eitheror.training.fitting import make_trainer
from eitheror.training.options import resolve
from eitheror.training.tree import TreeTrainer, label_tree

DIM = 3
NOTHING = np.empty(0, np.float32)


def random_tree(n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Join two nodes at random until one is left."""
    nodes, children = list(range(n_classes)), []
    while len(nodes) > 1:
        first, second = rng.choice(len(nodes), 2, replace=False)
        pair = nodes[first], nodes[second]
        nodes = [node for node in nodes if node not in pair] + [n_classes + len(children)]
        children.append(pair)
    return np.array(children, np.int32)


def hung(children: np.ndarray) -> np.ndarray:
    """Where each node hangs, as `Tree.up` says it."""
    up = np.full(2 * len(children) + 1, -1, np.int32)
    for v, pair in enumerate(children):
        for side, node in enumerate(pair):
            up[node] = 2 * v + side
    return up


def class_log_proba(children: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Logs of all the classes' probabilities, from the root down, in float64."""
    n_classes = len(children) + 1
    score = np.zeros(2 * n_classes - 1)
    for v in range(n_classes - 2, -1, -1):
        left, right = children[v]
        score[left] = score[n_classes + v] - np.logaddexp(0, margins[v])
        score[right] = score[n_classes + v] - np.logaddexp(0, -margins[v])
    return score[:n_classes]


def random_statement(names: list[str], rng: np.random.Generator) -> Any:
    """One statement of a kind that is drawn."""
    n = int(rng.integers(1, len(names))) if len(names) > 1 else 1
    chosen = list(rng.permutation(names)[:n])
    some = {name: float(rng.integers(1, 5)) for name in chosen}
    kinds = [
        lambda: exact(chosen[0]),
        lambda: exact(chosen[0], trust=0.75),
        lambda: not_(*chosen),
        lambda: not_(*chosen, trust=0.5),
        lambda: votes(some),
        lambda: evidence(some, rest=float(rng.choice([0.0, 0.25]))),
        lambda: soft({name: v / sum(some.values()) for name, v in some.items()}),
        lambda: either(*chosen) if n > 1 else exact(chosen[0]),
    ]
    return kinds[rng.integers(len(kinds))]()


def statement_loss(weights: np.ndarray, log_p: np.ndarray, shares: bool) -> float:
    """-log sum w p, or -sum t log p, by enumeration of the classes."""
    if shares:
        return float(-(weights[weights > 0] * log_p[weights > 0]).sum())
    return float(-np.log((weights * np.exp(log_p)).sum()))


def test_a_statement_on_a_tree_has_its_likelihood_by_enumeration() -> None:
    """On 500 random trees loss and gradient of any statement are those of all classes listed."""
    rng = np.random.default_rng(0)
    chunks, width = layout(DIM)
    for _ in range(500):
        n_classes = int(rng.integers(2, 12))
        names = [f"c{k:02}" for k in range(n_classes)]
        children = random_tree(n_classes, rng)
        labels = Labels([random_statement(names, rng)], classes=names)
        targets = labels.sparse()
        rows = Rows.from_dense(np.eye(1))
        features, packed = Examples(rows, targets, np.float32([1.5])).arrays()
        features = features._replace(values=NOTHING)
        embedding = aligned(1, width)
        embedding[0, :DIM] = rng.normal(size=DIM)
        weight = aligned(n_classes - 1, width)
        weight[:, :DIM] = rng.normal(size=(n_classes - 1, DIM)) * 2
        bias = rng.normal(size=n_classes - 1).astype(np.float32)
        margins = weight.astype(float) @ embedding[0].astype(float) + bias
        dense = labels.to_targets()[0]
        shares = bool(targets.mode[0] == 2)

        def loss(m: Any, d: Any = dense, c: Any = children, s: bool = shares) -> float:
            return statement_loss(d, class_log_proba(c, np.asarray(m)), s)

        assert np.isclose(np.exp(class_log_proba(children, margins)).sum(), 1)
        tree = Tree(children, hung(children), weight, bias)
        room = ways_room(n_classes, n_classes, n_classes)
        order = np.zeros(1, np.int64)
        value = tree_loss(order, features, packed, embedding, tree, room, chunks)
        assert np.isclose(value, 1.5 * loss(margins), rtol=1e-5, atol=1e-5)
        step = 1e-5 * np.eye(n_classes - 1)
        slope = [(loss(margins + e) - loss(margins - e)) / 2e-5 for e in step]
        before = bias.copy()
        tree_epoch(
            order, features, packed, embedding, tree, NOTHING, NOTHING, NOTHING, room, chunks, DIM,
            1.0, 0.0,
        )  # fmt: skip
        np.testing.assert_allclose(1.5 * np.array(slope), before - bias, atol=2e-4)


def test_a_set_and_its_complement_add_to_one_on_a_tree() -> None:
    """p(S) + p(not S) = 1, from the losses, also where one of them is next to nothing."""
    rng = np.random.default_rng(1)
    names = [f"c{k}" for k in range(6)]
    children = random_tree(6, rng)
    for scale in (0.1, 1, 10):
        parameters = HuffmanParameters(
            np.float32([[1.0]]),
            (scale * rng.normal(size=(5, 1))).astype(np.float32),
            children,
            np.zeros(5, np.float32),
        )
        for statement, rest in [(exact("c1"), not_("c1")), (either("c0", "c2"), not_("c0", "c2"))]:
            losses = [tree_value(parameters, names, label) for label in (statement, rest)]
            assert np.isclose(np.exp(-np.array(losses)).sum(), 1, atol=1e-6)


def tree_value(parameters: HuffmanParameters, names: list[str], label: Any) -> float:
    """Loss of one statement at the one feature of a tree."""
    rows = Rows(np.array([0, 1]), np.zeros(1, np.int32), None, 1)
    examples = Examples(rows, Labels([label], classes=names).sparse(), np.ones(1, np.float32))
    options = resolve(TrainOptions(loss="hs", dim=1, optimizer="sgd"), "multiclass", text=True)
    trainer = TreeTrainer.on_tree_of(parameters, 1, options)
    trainer.embedding[0, 0] = parameters.embedding[0, 0]
    trainer.weight[:, :1] = parameters.weight
    return trainer.loss(examples, np.zeros(1, np.int64))


def some_rows(n: int, n_features: int, rng: np.random.Generator) -> Rows:
    """Texts of up to five features, one of them empty."""
    lengths = rng.integers(1, 6, n)
    lengths[n // 2] = 0
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = rng.integers(0, n_features, indptr[-1]).astype(np.int32)
    return Rows(indptr, indices, None, n_features)


MULTICLASS = [
    "c00", exact("c01", trust=0.9), either("c00", "c02"), not_("c04"), not_("c05", "c06"),
    evidence({"c00": 1.0, "c01": 0.25}, rest=0.5), soft({"c07": 0.7, "c08": 0.3}),
    votes({"c00": 3, "c09": 1}), unknown,
]  # fmt: skip
MULTILABEL = [
    tags("c00", "c02"), tags("c01", absent=["c02"], rest="unknown"), not_("c03", "c04"),
    soft({"c00": 0.25, "c05": 1.0}), tags(), unknown,
]  # fmt: skip


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("loss", ["softmax", "uniform", "ova", "pal", "pal-n"])
def test_a_pass_in_blocks_is_that_of_numpy(loss: str, optimizer: str) -> None:
    """One pass over 43 rows of every kind equals the same blocks in float64 NumPy."""
    rng = np.random.default_rng(2)
    task = LOSSES[loss].task
    kinds = MULTICLASS if task == "multiclass" else MULTILABEL
    n, n_classes, n_features = 43, 37, 20
    names = [f"c{k:02}" for k in range(n_classes)]
    labels = Labels([kinds[i % len(kinds)] for i in range(n)], classes=names, task=task)
    rows = some_rows(n, n_features, rng)
    row_weight = rng.integers(0, 3, n).astype(np.float32)
    options = TrainOptions(loss=loss, features="embedding", dim=5, lr=0.4, epochs=2,
                           optimizer=optimizer, label_smoothing=0.1)  # fmt: skip
    plan = resolve(options, task, text=True)
    class_weight = rng.random(n_classes).astype(np.float32) if loss == "ova" else None
    bias = rng.normal(size=n_classes).astype(np.float32)
    trainer = BlockedTrainer(n_features, bias, plan, class_weight=class_weight, n_jobs=1)
    trainer.weight[:, :5] = rng.normal(size=(n_classes, 5))
    before = {name: array.astype(float) for name, array in trainer.state().items()}
    examples = Examples(rows, labels.sparse(), row_weight)
    order = rng.permutation(examples.speaking())
    value = trainer.epoch(examples, order, 0)
    total, after = numpy_pass(
        before, rows, labels, row_weight, order, plan, np.ones(n_classes) if class_weight is None
        else class_weight, 
    )  # fmt: skip
    assert np.isclose(total, value, rtol=1e-4)
    for name, array in trainer.state().items():
        np.testing.assert_allclose(after[name], array, rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_losses_in_parts_are_those_of_numpy(optimizer: str) -> None:
    """Blocks that only name true classes part the losses by classes, and hopeless rows do not."""
    rng = np.random.default_rng(9)
    n, n_classes, n_features = 43, 137, 20
    names = [f"c{k:03}" for k in range(n_classes)]
    kinds = ["c000", either("c001", "c099"), exact("c136"), evidence({"c002": 1.0, "c100": 0.25})]
    labels = Labels([kinds[i % len(kinds)] for i in range(n)], classes=names)
    rows = some_rows(n, n_features, rng)
    row_weight = rng.integers(0, 3, n).astype(np.float32)
    options = TrainOptions(features="embedding", dim=5, lr=0.4, epochs=2, optimizer=optimizer)
    plan = resolve(options, "multiclass", text=True)
    bias = rng.normal(size=n_classes).astype(np.float32)
    examples = Examples(rows, labels.sparse(), row_weight)
    for height in (0.0, -90.0):  # of the class that every fourth row names
        bias[136] = height
        trainer = BlockedTrainer(n_features, bias, plan, class_weight=None, n_jobs=3)
        trainer.weight[:, :5] = rng.normal(size=(n_classes, 5))
        before = {name: array.astype(float) for name, array in trainer.state().items()}
        order = rng.permutation(n)
        value = trainer.epoch(examples, order, 0)
        total, after = numpy_pass(
            before, rows, labels, row_weight, order, plan, np.ones(n_classes)
        )  # fmt: skip
        assert np.isclose(total, value, rtol=1e-4)
        for name, array in trainer.state().items():
            np.testing.assert_allclose(after[name], array, rtol=2e-3, atol=3e-5, err_msg=name)


def test_threads_do_not_wait_for_one_that_failed() -> None:
    """A meeting counts who comes, and is off once a thread has failed."""
    words = meeting_words()
    assert meet(words, 1)
    assert meet(words, 2)
    assert words[CAME] == 2
    words[FAILED] = 1
    assert not meet(words, 9)


def numpy_pass(
    state: dict[str, np.ndarray], rows: Rows, labels: Labels, row_weight: np.ndarray,
    order: np.ndarray, plan: TrainOptions, class_weight: np.ndarray,
) -> tuple[float, dict[str, np.ndarray]]:  # fmt: skip
    """Blocks of rows: all gradients at the block's weights, then one step of everything."""
    loss, dim = LOSSES[plan.loss], plan.dim
    E, W, b = state["embedding"], state["weight"], state["bias"]
    adaptive = plan.optimizer == "adagrad"
    dense = labels.to_targets().astype(float)
    x = rows.to_dense().astype(float)
    total = 0.0
    size = 16 if adaptive else 8
    for start in range(0, len(order), size):
        block = order[start : start + size]
        rate = plan.lr * (1 - 0.5 * start / len(order))
        h = x[block] @ E
        f = h @ W.T + b
        keep = {"label_smoothing": plan.label_smoothing}
        values = loss.value(f, dense[block], **keep)
        g = loss.gradient(f, dense[block], **keep) * class_weight
        total += values @ row_weight[block]
        g *= row_weight[block][:, None]
        back = g @ W
        slope, push = g.T @ h, g.sum(0)
        if adaptive:
            state["weight_squares"] += (g**2).T @ (h**2).sum(1) / dim
            state["bias_squares"] += (g**2).sum(0)
            slope = slope / np.sqrt(state["weight_squares"])[:, None]
            push = push / np.sqrt(state["bias_squares"])
        else:
            bend = np.abs(g) * (1 + (h**2).sum(1))[:, None]
            damped = 1 + rate * (bend.sum(0) - bend.max(0))
            slope, push = slope / damped[:, None], push / damped
        W -= rate * slope
        b -= rate * push
        for i, move in zip(block, back, strict=True):
            features = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
            share = 1 / max(len(features), 1)
            for j in features:
                if adaptive:
                    state["squares"][j] += share**2 * (move**2).sum() / dim
            for j in features:
                speed = 1 / np.sqrt(state["squares"][j]) if adaptive else 1.0
                E[j] -= rate * share * speed * move
    return total, state


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_blocks_give_the_same_bits_on_any_number_of_threads(optimizer: str) -> None:
    """One, two and five threads end in equal arrays and report equal losses."""
    rng = np.random.default_rng(3)
    n, n_classes = 75, 9000
    labels = Labels(
        [f"c{k:04}" for k in rng.integers(0, n_classes, n)],
        classes=[f"c{k:04}" for k in range(n_classes)],
    )
    examples = Examples(some_rows(n, 50, rng), labels.sparse(), np.ones(n, np.float32))
    plan = resolve(
        TrainOptions(features="embedding", dim=20, optimizer=optimizer), "multiclass", text=True
    )
    found = []
    for n_jobs in (1, 2, 5):
        trainer = BlockedTrainer(
            50, np.zeros(n_classes, np.float32), plan, class_weight=None, n_jobs=n_jobs
        )
        losses = [trainer.epoch(examples, np.arange(n), number) for number in range(2)]
        found.append((losses, trainer.state()))
    for losses, state in found[1:]:
        assert found[0][0] == losses
        for name, array in state.items():
            np.testing.assert_array_equal(found[0][1][name], array)


@pytest.mark.parametrize("n_classes", [1, 2, 17, 48, 1003])
def test_sets_and_few_classes_give_the_same_bits_on_any_number_of_threads(n_classes: int) -> None:
    """So do blocks with sets kept as bits, groups without classes, weights of 0, a short end."""
    rng = np.random.default_rng(n_classes)
    names = [f"c{k:04}" for k in range(n_classes)]
    most = names[: max(2, n_classes * 3 // 5)]
    for n in (3, 16, 43):
        said = [names[int(k)] for k in rng.integers(n_classes, size=n)]
        if n_classes > 2:
            said[1::12] = [either(*most)] * len(said[1::12])
        examples = Examples(
            some_rows(n, 30, rng),
            Labels(said, classes=names).sparse(),
            rng.integers(0, 3, n).astype(np.float32),
        )
        for optimizer in ("sgd", "adagrad"):
            options = TrainOptions(features="embedding", dim=7, optimizer=optimizer, lr=0.5)
            plan = resolve(options, "multiclass", text=True)
            found = []
            for n_jobs in (1, 2, 3, 4, 8):
                trainer = BlockedTrainer(
                    30, np.zeros(n_classes, np.float32), plan, class_weight=None, n_jobs=n_jobs
                )
                trainer.weight[:, :7] = np.random.default_rng(0).normal(size=(n_classes, 7))
                losses = [trainer.epoch(examples, np.arange(n), number) for number in range(2)]
                assert np.isfinite(losses).all()
                arrays = [array.tobytes() for array in trainer.state().values()]
                found.append((losses, arrays))
            assert all(found[0] == other for other in found[1:])


def documents(n: int, n_classes: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of three words of their class and some that come everywhere."""
    rng = np.random.default_rng(seed)
    texts, names = [], []
    for k in rng.integers(0, n_classes, n):
        own = [f"w{k}x{j}" for j in rng.integers(0, 4, 3)]
        texts.append(" ".join(own + [f"common{j}" for j in rng.integers(0, 9, 3)]))
        names.append(f"class {k}")
    return texts, names


@pytest.fixture(scope="module")
def tree_model() -> eo.model.Model:
    """A tree over 300 classes, trained on exact, set, negative and shared statements."""
    texts, names = documents(6000, 300, 0)
    kinds = [
        lambda name: exact(name),
        lambda name: either(name, "class 7") if name != "class 7" else exact(name),
        lambda name: not_("class 1") if name != "class 1" else exact(name),
        lambda name: soft({name: 0.75, "class 2": 0.25}) if name != "class 2" else exact(name),
    ]
    labels = Labels(
        [kinds[i % 4](name) for i, name in enumerate(names)],
        classes=[f"class {k}" for k in range(300)],
    )
    return fit(texts, labels, TrainOptions(loss="hs", dim=16, epochs=20))


def test_a_tree_learns_from_statements_of_every_kind(tree_model: eo.model.Model) -> None:
    """Nine in ten texts of 300 classes are told right, and the probabilities add to 1."""
    texts, names = documents(400, 300, 1)
    proba = tree_model.predict_proba(texts)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    right = [tree_model.classes[k] == name for k, name in zip(proba.argmax(1), names, strict=True)]
    assert np.mean(right) > 0.9
    assert isinstance(tree_model.parameters, HuffmanParameters)
    assert ("softmax", "hs") == (tree_model.loss, tree_model.options["loss"])


@pytest.mark.parametrize("n_texts", [5, 200])
@pytest.mark.parametrize("k", [1, 4, 300])
def test_the_search_finds_what_sorting_finds(
    tree_model: eo.model.Model, k: int, n_texts: int
) -> None:
    """Best-first search gives the k largest probabilities, compiled and plain alike."""
    texts, _ = documents(n_texts, 300, 2)
    proba = tree_model.predict_proba(texts)
    columns, values = tree_model.predict_top(texts, k)
    np.testing.assert_allclose(-np.sort(-proba, axis=1)[:, :k], values, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.take_along_axis(proba, columns, 1), values, rtol=1e-4, atol=1e-7)
    assert all(len(set(row)) == k for row in columns.tolist())


def test_the_compiled_search_is_the_plain_one() -> None:
    """Both find the same classes in the same order, with equal nodes left and right as well."""
    rng = np.random.default_rng(4)
    children = random_tree(40, rng)
    hidden = rng.normal(size=(30, 4)).astype(np.float32)
    hidden[0] = 0  # all turns even: ties
    weight = rng.normal(size=(39, 4)).astype(np.float32)
    bias = np.where(rng.random(39) < 0.5, 0, rng.normal(size=39)).astype(np.float32)
    found = []
    for module, room in ((search, (np.empty(40), np.empty(40, np.int32))), (search_plain, ())):
        classes, scores = np.empty((30, 40), np.int32), np.empty((30, 40), np.float32)
        module.best_leaves(hidden, children, weight, bias, classes, scores, *room)
        found.append((classes, scores))
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[0][0], found[1][0])


@pytest.mark.parametrize("n_texts", [2, 100])
def test_a_tree_of_one_class_finds_it(n_texts: int) -> None:
    """A tree may be a single leaf, as of a fastText model of one label."""
    parameters = HuffmanParameters(
        np.ones((1, DIM), np.float32), np.empty((0, DIM), np.float32), np.empty((0, 2), np.int32)
    )
    columns, scores = parameters.top(Rows.from_dense(np.ones((n_texts, 1))), 1)
    assert [[0]] * n_texts == columns.tolist()
    assert [[0.0]] * n_texts == scores.tolist()


def test_largest_takes_the_first_of_equals() -> None:
    """Columns come as a stable sort by falling value gives them, for any k."""
    values = np.random.default_rng(5).integers(0, 5, (50, 12)).astype(np.float32)
    for k in range(1, 13):
        expected = np.argsort(-values, axis=1, kind="stable")[:, :k]
        columns, found = largest(values, k)
        np.testing.assert_array_equal(expected, columns)
        np.testing.assert_array_equal(np.take_along_axis(values, expected, 1), found)


def test_predict_top_without_a_tree_sorts() -> None:
    """A model of another loss answers the same question."""
    texts, names = documents(60, 3, 6)
    model = fit(texts, Labels(names), TrainOptions(epochs=2))
    columns, values = model.predict_top(texts, 2)
    proba = model.predict_proba(texts)
    np.testing.assert_array_equal(np.argsort(-proba, axis=1, kind="stable")[:, :2], columns)
    np.testing.assert_array_equal(np.take_along_axis(proba, columns, 1), values)
    with pytest.raises(ValueError, match="k=4 came; a whole number from 1 to 3 was expected"):
        model.predict_top(texts, 4)


def test_a_tree_is_saved_and_loaded(tree_model: eo.model.Model, tmp_path: Any) -> None:
    """The loaded model says the same, and predict is the most probable class."""
    texts, _ = documents(100, 300, 7)
    tree_model.save(tmp_path / "m")
    loaded = eo.load(tmp_path / "m")
    proba = tree_model.predict_proba(texts)
    np.testing.assert_array_equal(proba, loaded.predict_proba(texts))
    expected = [[loaded.classes[k]] for k in proba.argmax(axis=1)]
    assert expected == loaded.predict(texts)


def test_training_a_tree_again_gives_the_same_bytes(tmp_path: Any) -> None:
    """Same rows, options and seed: same files, on one thread and on three."""
    texts, names = documents(400, 40, 8)
    for n_jobs in (1, 3):
        model = fit(texts, Labels(names), TrainOptions(loss="hs", dim=8), n_jobs=n_jobs)
        model.save(tmp_path / str(n_jobs))
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "3" / file).read_bytes()


def test_training_goes_on_from_a_tree(tree_model: eo.model.Model) -> None:
    """The tree is kept; further rows are learnt; a new class is refused with the way out."""
    texts, names = documents(300, 300, 9)
    labels = Labels(names, classes=tree_model.classes)
    model = fit(texts, labels, TrainOptions(epochs=2, lr=0.3), warm_start=tree_model)
    assert isinstance(model.parameters, HuffmanParameters)
    np.testing.assert_array_equal(tree_model.parameters.children, model.parameters.children)
    before, after = (
        np.mean(np.log(m.predict_proba(texts)[np.arange(300), labels.sparse().indices]))
        for m in (tree_model, model)
    )
    assert after > before
    with pytest.raises(ValueError, match="'new', and the model has a tree over its 300 classes"):
        fit(["a"], Labels(["new"]), warm_start=tree_model)


def test_classes_that_share_words_are_neighbours_in_the_tree() -> None:
    """Of four pairs of classes, each pair with words of its own, all become siblings."""
    rng = np.random.default_rng(10)
    names = [f"c{k}" for k in rng.integers(0, 8, 400)]
    rows = np.array([[int(name[1]) // 2 * 5 + rng.integers(0, 5)] for name in names], np.int32)
    data = Rows(np.arange(401, dtype=np.int64), rows.ravel(), None, 20)
    labels = Labels(names, classes=[f"c{k}" for k in range(8)])
    examples = Examples(data, labels.sparse(), np.ones(400, np.float32))
    children = label_tree(lambda: [examples], 20, np.full(8, 1 / 8))
    pairs = {tuple(sorted(pair)) for pair in children.tolist() if max(pair) < 8}
    assert {(0, 1), (2, 3), (4, 5), (6, 7)} == pairs


@pytest.mark.parametrize("n_classes", [2, 3, 50])
def test_the_tree_is_a_tree_and_short_for_frequent_classes(n_classes: int) -> None:
    """Every node hangs once, below a later one; the mean way is near the entropy."""
    mass = 1 / np.arange(1, n_classes + 1)
    mass /= mass.sum()
    rows = Rows(np.zeros(2, np.int64), np.zeros(0, np.int32), None, 3)
    labels = Labels([not_("c00")], classes=[f"c{k:02}" for k in range(n_classes)])
    examples = Examples(rows, labels.sparse(), np.ones(1, np.float32))
    children = label_tree(lambda: [examples], 3, mass)
    np.testing.assert_array_equal(np.arange(2 * n_classes - 2), np.sort(children, axis=None))
    assert (children < np.arange(n_classes, 2 * n_classes - 1)[:, None]).all()
    length = np.zeros(2 * n_classes - 1)
    for v in range(n_classes - 2, -1, -1):
        length[children[v]] = length[n_classes + v] + 1
    entropy = -(mass * np.log2(mass)).sum()
    assert entropy - 1e-9 <= mass @ length[:n_classes] <= entropy + 1


def test_many_classes_are_trained_in_blocks() -> None:
    """With many output weights fit takes blocks; the model is the usual one, and as good."""
    texts, names = documents(2000, 300, 11)
    labels = Labels(names)
    options = TrainOptions(features="embedding", dim=200, epochs=5)
    plan = resolve(options, "multiclass", text=True)
    trainer = make_trainer(
        9, np.zeros(300, np.float32), plan, class_weight=None, separable=False, n_jobs=1
    )
    assert isinstance(trainer, BlockedTrainer)
    model = fit(texts, labels, options)
    assert isinstance(model.parameters, EmbeddingParameters)
    held_out, truth = documents(300, 300, 12)
    right = [a == [b] for a, b in zip(model.predict(held_out), truth, strict=True)]
    assert np.mean(right) > 0.9
    other = fit(texts, labels, options, n_jobs=2)
    np.testing.assert_array_equal(model.parameters.embedding, other.parameters.embedding)


@pytest.mark.parametrize("loss", ["softmax", "hs"])
def test_the_held_out_loss_is_the_likelihood_of_the_statements(loss: str) -> None:
    """`valid_loss` is the mean of what `statement_log_loss` says of the model's probabilities."""
    texts, names = documents(600, 300, 13)
    labels = Labels(names, classes=[f"class {k}" for k in range(300)])
    watched = Labels([either("class 1", "class 2"), not_("class 3"), "class 4"], labels.classes)
    options = TrainOptions(features="embedding", loss=loss, dim=200, epochs=2)
    model = fit(texts, labels, options, valid=(texts[:3], watched))
    proba = model.predict_proba(texts[:3])
    expected = eo.metrics.statement_log_loss(watched, proba).mean()
    assert np.isclose(expected, model.options["history"][-1]["valid_loss"], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "inputs", "message"),
    [
        (TrainOptions(loss="hs", hogwild=True), ["a", "b"], "hogwild came with loss='hs'"),
        (TrainOptions(loss="hs", features="tfidf"), ["a", "b"], "features='tfidf' came with"),
        (TrainOptions(loss="hs", label_smoothing=0.1), ["a", "b"], "label_smoothing"),
        (TrainOptions(loss="hs"), np.eye(2), "a table of numbers came with loss='hs'"),
    ],
)
def test_what_a_tree_lacks_is_refused(options: TrainOptions, inputs: Any, message: str) -> None:
    """The error says what does not go with loss='hs' and what to use."""
    with pytest.raises(ValueError, match=message):
        fit(inputs, Labels(["x", "y"]), options)


def test_a_tree_is_not_for_tags() -> None:
    """Several true classes have no place on a tree of exclusive ones."""
    with pytest.raises(ValueError, match="loss='hs' needs exactly one true class"):
        fit(["a", "b"], Labels([tags("x"), tags("x", "y")]), TrainOptions(loss="hs"))


def test_the_command_trains_and_searches_a_tree(tmp_path: Any, capsys: Any) -> None:
    """`train --loss hs` writes a model whose top classes `predict --json --top` prints."""
    texts, names = documents(200, 6, 14)
    file = tmp_path / "rows.jsonl"
    rows = [{"text": t, "label": n} for t, n in zip(texts, names, strict=True)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = str(tmp_path / "m")
    assert 0 == main(["train", str(file), "-o", model, "--loss", "hs", "--dim", "8"])
    capsys.readouterr()
    assert 0 == main(["predict", model, str(file), "--json", "--top", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert 200 == len(lines)
    assert all(2 == len(line["proba"]) for line in lines)
    assert all(line["decision"] == [next(iter(line["proba"]))] for line in lines)
    assert 0 == main(["predict", model, str(file)])
    plain = capsys.readouterr().out.splitlines()
    assert [line["decision"][0] for line in lines] == plain
