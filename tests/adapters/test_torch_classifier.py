"""`TorchClassifier`: scikit-learn's interface around a torch module trained on statements."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from scipy import sparse  # noqa: E402
from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from torch import nn  # noqa: E402

import eitheror as eo  # noqa: E402
from eitheror.losses import LOSSES  # noqa: E402
from eitheror.torch import SkipMLP, TorchClassifier  # noqa: E402
from eitheror.torch._shares import class_shares, open_share  # noqa: E402
from eitheror.training import Checkpoint, TrainingDivergedError  # noqa: E402


def blobs(n: int = 120, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated clusters and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    centres = np.random.default_rng(1).normal(size=(k, 4)) * 6
    return centres[y] + rng.normal(size=(n, 4)), y


def mixed(y: np.ndarray, k: int = 3, seed: int = 4) -> eo.Labels:
    """Exact, either, not and unknown rows that are all true."""
    rng = np.random.default_rng(seed)
    rows = []
    for own in y.tolist():
        other = (own + int(rng.integers(1, k))) % k
        kind = rng.integers(4)
        rows.append([own, eo.either(own, other), eo.not_(other), None][kind])
    return eo.Labels(rows, classes=range(k))


def same(a: TorchClassifier, b: TorchClassifier) -> bool:
    """Whether two fitted modules hold the same numbers."""
    pairs = zip(a.module_.state_dict().items(), b.module_.state_dict().items(), strict=True)
    return all(m == n and torch.equal(v, w) for (m, v), (n, w) in pairs)


def test_learns_from_mixed_statements():
    """A third of the rows exact, the others vague: nearly every row is right."""
    X, y = blobs(240)
    model = TorchClassifier(epochs=30).fit(X, mixed(y))
    assert (model.predict(X) == y).mean() >= 0.97
    assert model.predict_proba(X).shape == (240, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-6)
    assert model.score(X, eo.Labels(y.tolist())) == (model.predict(X) == y).mean()


def test_rows_without_a_statement_change_nothing():
    """Unknown rows, and rows of weight 0, are not there."""
    X, y = blobs(60)
    labels = eo.Labels([int(c) if i % 2 else None for i, c in enumerate(y)], classes=range(3))
    known = np.flatnonzero(labels.exact_index() >= 0)
    weight = np.ones(60)
    weight[known[:5]] = 0
    first = TorchClassifier(epochs=2).fit(X, labels, sample_weight=weight)
    second = TorchClassifier(epochs=2).fit(X[known[5:]], labels[known[5:]])
    assert [entry["loss"] for entry in first.history_] == pytest.approx(
        [entry["loss"] for entry in second.history_], rel=1e-4
    )


def test_same_seed_same_model_and_nothing_else_is_touched():
    """A seed decides the model; torch's own random state and the given module stay as they were."""
    X, y = blobs(60)
    given = nn.Linear(4, 3)
    before = given.weight.detach().clone()
    state = torch.get_rng_state()
    first, second, other = (
        TorchClassifier(given, epochs=2, batch_size=20, random_state=seed).fit(X, y)
        for seed in (1, 1, 2)
    )
    assert same(first, second)
    assert not same(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(given.weight, before)


@pytest.mark.parametrize("loss", ["softmax", "proden", "random-pick"])
@pytest.mark.parametrize("patience", [None, 3])
def test_a_resumed_run_ends_in_the_same_model(tmp_path, loss, patience):
    """Stopped after two epochs and resumed, a run ends in the tensors of an uninterrupted one."""
    X, y = blobs(60)
    labels = mixed(y)
    options = {"loss": loss, "patience": patience, "validation": 0.25}
    whole = TorchClassifier(epochs=5, **options).fit(X, labels)

    class Stop(Exception):
        pass

    def stop(event):
        if event["event"] == "epoch" and event["epoch"] == 3:
            raise Stop

    where = Checkpoint(tmp_path / "run.checkpoint", every=2)
    with pytest.raises(Stop):
        TorchClassifier(epochs=5, checkpoint=where, progress=stop, **options).fit(X, labels)
    resumed = TorchClassifier(epochs=5, checkpoint=where, resume=True, **options).fit(X, labels)
    assert same(whole, resumed)
    assert whole.history_ == resumed.history_
    again = TorchClassifier(epochs=5, checkpoint=where, resume=True, **options).fit(X, labels)
    assert same(whole, again)


def test_a_run_with_callables_resumes(tmp_path):
    """An optimizer and a schedule of one's own do not keep a run from going on."""
    X, y = blobs(60)

    def options():
        return {
            "optimizer": lambda groups, lr: torch.optim.RMSprop(groups, lr=lr),
            "schedule": lambda done: 1.0 - done,
            "checkpoint": tmp_path / "c",
        }

    first = TorchClassifier(epochs=3, **options()).fit(X, y)
    assert same(first, TorchClassifier(epochs=3, resume=True, **options()).fit(X, y))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    """Other data or options than those of the checkpoint are an error, not a mixture."""
    X, y = blobs(60)
    TorchClassifier(epochs=2, checkpoint=tmp_path / "c").fit(X, y)
    with pytest.raises(ValueError, match="other data or options"):
        TorchClassifier(epochs=2, checkpoint=tmp_path / "c", resume=True).fit(X + 1, y)
    with pytest.raises(ValueError, match="other data or options"):
        TorchClassifier(epochs=2, lr=0.1, checkpoint=tmp_path / "c", resume=True).fit(X, y)


def test_save_and_load_default_module(tmp_path):
    """The default module comes back by itself, and predicts the same bits."""
    X, y = blobs(60)
    names = np.array(["a", "b", "c"])[y]
    model = TorchClassifier(epochs=2).fit(X, names)
    model.save(tmp_path / "m.model")
    assert sorted(p.name for p in (tmp_path / "m.model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    loaded = TorchClassifier.load(tmp_path / "m.model")
    assert loaded.predict_proba(X).tolist() == model.predict_proba(X).tolist()
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    assert loaded.partial_fit(X, names).n_epochs_ == 1


def test_save_and_load_a_module_of_ones_own(tmp_path):
    """Tensors of another module are put into the module that is given again; half ones, too."""
    X, y = blobs(60)
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    model = TorchClassifier(module, epochs=2).fit(X, y)
    model.save(tmp_path / "m.model")
    with pytest.raises(ValueError, match="give it again"):
        TorchClassifier.load(tmp_path / "m.model")
    with pytest.raises(ValueError, match="do not fit"):
        TorchClassifier.load(tmp_path / "m.model", nn.Linear(4, 3))
    loaded = TorchClassifier.load(tmp_path / "m.model", module)
    assert loaded.predict_proba(X).tolist() == model.predict_proba(X).tolist()
    model.module_[0].bfloat16()
    model.save(tmp_path / "m.model")
    again = TorchClassifier.load(tmp_path / "m.model", module)
    assert torch.equal(again.module_[0].weight, model.module_[0].weight.float())


def test_a_folder_of_another_kind_is_refused(tmp_path):
    """A linear model is not read as a torch one, nor the other way round."""
    X, y = blobs(30)
    eo.LinearClassifier(l2=0.1).fit(X, y).save(tmp_path / "linear.model")
    with pytest.raises(ValueError, match="read it with eitheror"):
        TorchClassifier.load(tmp_path / "linear.model")
    TorchClassifier(epochs=1).fit(X, y).save(tmp_path / "torch.model")
    with pytest.raises(ValueError, match="family"):
        eo.load(tmp_path / "torch.model")


def test_images_and_token_numbers_reach_the_module_as_they_are():
    """Images keep their axes; whole numbers come as int64 for an embedding layer."""
    X, y = blobs(40, k=2)
    images = X.reshape(40, 1, 2, 2)
    net = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(3, 2))
    assert TorchClassifier(net, epochs=20, lr=0.05).fit(images, y).score(images, y) >= 0.9
    tokens = (X > 0).astype(np.int32) + 2 * np.arange(4)
    bag = nn.EmbeddingBag(8, 2, mode="sum")
    assert TorchClassifier(bag, epochs=20, lr=0.1).fit(tokens, y).score(tokens, y) >= 0.9


def test_sparse_rows_and_tensors():
    """CSR rows and torch tensors give the model of the same dense array."""
    X, y = blobs(40)
    X[X < 1] = 0
    csr = sparse.csr_matrix(X)
    module = nn.Linear(4, 3)
    first, second, third = (
        TorchClassifier(module, epochs=2).fit(given, y)
        for given in (X, csr, torch.from_numpy(X).float())
    )
    assert same(first, second)
    assert same(first, third)
    assert TorchClassifier(SkipMLP, epochs=2).fit(csr, y).predict(csr).shape == (40,)


def test_works_in_scikit_learns_tools():
    """clone, pipelines, searches and cross-validation take it as a classifier."""
    X, y = blobs(60)
    model = TorchClassifier(nn.Linear(4, 3), epochs=5, lr=0.05)
    assert is_classifier(model)
    assert clone(model).get_params().keys() == model.get_params().keys()
    assert cross_val_score(model, X, y, cv=2).shape == (2,)
    pipe = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipe, {"torchclassifier__lr": [0.01, 0.05]}, cv=2).fit(X, y)
    assert search.best_estimator_.predict(X).shape == (60,)
    proba = eo.sklearn.out_of_fold_proba(model, X, mixed(y), cv=2)
    assert proba.shape == (60, 3)


def test_not_fitted_is_said():
    """Predicting before fitting is scikit-learn's NotFittedError."""
    with pytest.raises(NotFittedError, match="call fit first"):
        TorchClassifier().predict([[0.0]])


def test_two_classes_have_one_decision_column():
    """decision_function has scikit-learn's shapes, and its sign is the decision."""
    X, y = blobs(60, k=2)
    model = TorchClassifier(epochs=10).fit(X, y)
    decision = model.decision_function(X)
    assert decision.shape == (60,)
    assert ((decision > 0) == (model.predict(X) == 1)).all()
    assert TorchClassifier(epochs=1).fit(*blobs(30)).decision_function(X).shape == (60, 3)


TRAINABLE = [word for word, loss in LOSSES.items() if loss.trainable]


@pytest.mark.parametrize("loss", [*TRAINABLE, "proden"])
def test_every_trainable_loss_trains(loss):
    """Each word of the loss option brings its loss down and predicts."""
    X, y = blobs(90)
    multilabel = loss in LOSSES and LOSSES[loss].task == "multilabel"
    labels = eo.Labels.from_indicator(np.eye(3, dtype=bool)[y]) if multilabel else mixed(y)
    model = TorchClassifier(loss=loss, epochs=20, batch_size=32).fit(X, labels)
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]
    assert model.score(X, labels) >= 0.9
    assert model.proba_meaning_ == LOSSES.get(loss, LOSSES["softmax"]).proba_meaning


def test_a_loss_that_cannot_be_trained_is_refused_with_the_reason():
    """The negated gradient, an unknown word, and a loss of the other task are explained."""
    X, y = blobs(20)
    for loss, message in (
        ("negated", "it has no minimum"),
        ("sofmax", "expected 'auto' or one of"),
        ("ova", "is for multilabel labels"),
    ):
        with pytest.raises(ValueError, match=message):
            TorchClassifier(loss=loss).fit(X, y)


def test_first_step_equals_the_gradient_of_the_loss():
    """One SGD step on all rows moves the weights by lr times the gradient of the mean loss."""
    X, y = blobs(30)
    labels = mixed(y)
    module = nn.Linear(4, 3).double()
    options = {"optimizer": lambda groups, lr: torch.optim.SGD(groups, lr=lr), "lr": 0.1}
    tensors = torch.from_numpy(X)
    model = TorchClassifier(
        module, epochs=1, batch_size=30, schedule="constant", mean_penalty=0.0, **options
    ).fit(tensors, labels)
    speaking = np.flatnonzero(labels.kinds != 0)
    value = (
        LOSSES["softmax"]
        .value(module(tensors[speaking]), torch.from_numpy(labels[speaking].to_targets()))
        .mean()
    )
    (gradient,) = torch.autograd.grad(value, module.weight)
    expected = module.weight.detach() - 0.1 * gradient
    torch.testing.assert_close(model.module_.weight.detach(), expected, rtol=1e-6, atol=1e-9)


def test_proden_weights_are_the_posterior_of_the_statement():
    """After an epoch each row's weights are its model probabilities on what it allows."""
    from eitheror.torch._objective import Objective

    labels = eo.Labels(
        [eo.either(0, 1), eo.not_(0), 2, eo.soft({0: 0.5, 1: 0.5})], classes=range(3)
    )
    objective = Objective(labels.sparse(), "proden")
    proba = np.array([[0.6, 0.2, 0.2]] * 4, dtype=np.float32)
    objective.move(proba, np.arange(4))
    expected = [[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 1], [0.5, 0.5, 0]]
    np.testing.assert_allclose(objective.moving, expected, rtol=1e-6)


def test_tags_with_unknowns_and_groups():
    """Tags learn from closed rows, open rows and "at least one of" rows together."""
    X, y = blobs(150, k=3)
    rng = np.random.default_rng(9)
    rows = []
    for own in y.tolist():
        name, other = "abc"[own], "abc"[(own + 1) % 3]
        rows.append(
            [
                eo.tags(name),
                eo.tags(name, absent=[other], rest="unknown"),
                eo.either(name, other) & eo.not_("abc"[(own + 2) % 3]),
            ][rng.integers(3)]
        )
    labels = eo.Labels(rows, classes=["a", "b", "c"], task="multilabel")
    model = TorchClassifier(epochs=30, lr=0.01, batch_size=15).fit(X, labels)
    decided = model.predict(X)
    assert decided.dtype == bool
    assert (decided == np.eye(3, dtype=bool)[y]).all(axis=1).mean() >= 0.9
    assert model.score(X, labels) >= 0.9


def test_group_loss_is_the_reference():
    """A row's "at least one of" costs what `eitheror.losses.at_least_one` says."""
    from eitheror.losses import at_least_one
    from eitheror.torch._objective import Objective

    labels = eo.Labels([eo.either("a", "b"), eo.tags("c")], ["a", "b", "c"], task="multilabel")
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.1, 0.2, 0.3]])
    found = Objective(labels.sparse(), "ova")(logits, np.array([1, 0]), 0)
    joint = at_least_one(logits[1:], torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(found[1:], joint)


def test_early_stopping_keeps_the_best_epoch():
    """With patience the module is that of the epoch whose held-out loss was the smallest."""
    X, y = blobs(90)
    labels = mixed(y)
    model = TorchClassifier(epochs=200, lr=0.05, patience=3, validation=0.3).fit(X, labels)
    losses = [entry["held_out_loss"] for entry in model.history_]
    assert len(losses) == int(np.argmin(losses)) + 1 + 3 or len(losses) == 200
    valid = blobs(40, seed=5)
    watched = TorchClassifier(epochs=4, lr=0.05).fit(X, labels, valid=(valid[0], mixed(valid[1])))
    best = min(watched.history_, key=lambda entry: entry["held_out_loss"])
    shorter = TorchClassifier(epochs=4, lr=0.05).fit(X, labels)
    assert best["held_out_loss"] > 0
    assert [e["loss"] for e in shorter.history_] == [e["loss"] for e in watched.history_]


def test_held_out_rows_count_with_their_weight():
    """Weight 2 is the held-out row twice, and weight 0 is the row left out."""
    X, y = blobs(60)
    labels, weight = mixed(y), np.arange(60) % 3
    twice = np.repeat(np.arange(60), weight)
    one, two = (
        TorchClassifier(epochs=3, lr=0.05, random_state=0).fit(X, labels, valid=valid)
        for valid in ((X, labels, weight), (X[twice], labels[twice]))
    )
    losses = [[e["held_out_loss"] for e in model.history_] for model in (one, two)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_partial_fit_goes_on():
    """Passes over batches bring the loss down; classes are those of the first call."""
    X, y = blobs(90)
    model = TorchClassifier(lr=0.02)
    for _ in range(15):
        model.partial_fit(X, mixed(y), classes=range(3))
    assert model.n_epochs_ == 15
    assert model.score(X, y) >= 0.95
    with pytest.raises(ValueError, match="first call of partial_fit fixed the classes"):
        model.partial_fit(X, np.full(90, 7))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns(precision):
    """Under autocast the model learns as well, and predicts in float32."""
    X, y = blobs(90)
    model = TorchClassifier(epochs=20, mixed_precision=precision).fit(X, mixed(y))
    assert model.score(X, y) >= 0.95
    assert model.predict_proba(X).dtype == np.float32


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", lambda done: 1 - done**2])
def test_schedules_rise_and_fall(schedule):
    """Warm-up starts at 0 and reaches the full rate; then the schedule has the rest of the run."""
    from eitheror.torch._training import factor

    assert factor(schedule, 0.2, 0.0) == 0.0
    assert factor(schedule, 0.2, 0.1) == 0.5
    assert factor(schedule, 0.2, 0.2) == 1.0
    assert 0.0 <= factor(schedule, 0.2, 0.999) <= 1.0


def test_progress_reports_each_epoch():
    """The callback gets one dict an epoch with the loss that the history keeps."""
    X, y = blobs(30)
    seen = []
    model = TorchClassifier(epochs=3, progress=seen.append).fit(X, y)
    epochs = [event for event in seen if event["event"] == "epoch"]
    assert [event["loss"] for event in epochs] == [entry["loss"] for entry in model.history_]


def test_a_class_that_is_never_predicted_is_named():
    """A model that has lost a class says so, without any true label."""
    X, y = blobs(60)
    labels = eo.Labels([eo.not_((int(c) + 1) % 3) for c in y], classes=range(3))

    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, X):
            return self.inner(X) - torch.tensor([0.0, 0.0, 1e4])

    seen = []
    model = TorchClassifier(Blind(), epochs=2, progress=seen.append).fit(X, labels)
    assert model.never_predicted_ == [2]
    assert "never predicted on the training rows: 2" in model.report_["message"]
    assert seen[-1] == {"event": "report", "message": model.report_["message"]}
    assert [] == TorchClassifier(epochs=20).fit(X, y).never_predicted_


def test_classes_that_no_statement_allows_are_not_missed():
    """A class of the list that every row rules out is not reported as lost."""
    X, y = blobs(60)
    labels = eo.Labels(y.tolist(), classes=[0, 1, 2, 3])
    assert [] == TorchClassifier(epochs=20).fit(X, labels).never_predicted_


def test_the_default_module_starts_even_and_reads_standardised_columns():
    """Before training all classes are level; columns come at mean 0 and, alone, at one scale."""
    X, _ = blobs(50)
    module = SkipMLP(4, 3)
    module.standardise(X.mean(axis=0), X.std(axis=0))
    assert module(torch.from_numpy(X).float()).abs().max() == 0.0
    z = (torch.from_numpy(X) - module.mean) / module.scale
    torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-6)
    assert (z.std(0) <= 1.0).all()
    assert (z.std(0) >= 0.45).all()
    rare = SkipMLP(2, 3)
    rare.standardise(np.zeros(2), np.array([1.0, 1e-6]))
    assert rare.scale.tolist() == pytest.approx([(1 + 0.3 * 0.5) ** 0.5, 2e-6])


def test_a_fitted_estimator_can_be_fitted_to_other_columns():
    """A second fit starts over; predicting other columns is refused."""
    X, y = blobs(30)
    model = TorchClassifier(epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features; the model was fitted with 4"):
        model.predict(X[:, :2])
    assert model.fit(X[:, :2], y).predict(X[:, :2]).shape == (30,)


def test_class_shares_solve_the_stationarity_conditions():
    """EM ends where ``(sum_i q_ik + a) / (n + a K)`` is the share itself."""
    rng = np.random.default_rng(0)
    matrix = (rng.random((50, 4)) < 0.6).astype(float)
    matrix[np.arange(50), rng.integers(4, size=50)] = 1.0
    labels = eo.Labels.from_candidates(matrix.astype(bool))
    weight = rng.random(50) + 0.5
    shares = class_shares(labels.sparse(), weight, pseudo_rows=2.0)
    posterior = matrix * shares
    posterior /= posterior.sum(axis=1, keepdims=True)
    expected = (weight @ posterior + 2.0) / (weight.sum() + 8.0)
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_exact_labels_have_no_penalty():
    """On exact labels and shares the objective is the stock loss: nothing is left open."""
    labels = eo.Labels(["a", "b", eo.soft({"a": 0.5, "b": 0.5})])
    assert open_share(labels.sparse(), np.ones(3)) == 0.0
    X, y = blobs(60)
    with_penalty, without = (
        TorchClassifier(epochs=2, mean_penalty=amount).fit(X, y) for amount in (0.5, 0.0)
    )
    assert same(with_penalty, without)


@pytest.mark.parametrize(
    ("options", "X", "y", "message"),
    [
        ({}, np.ones((2, 2)), ["a", "b", "a"], "2 inputs came with 3 labels"),
        ({}, np.ones((2, 2)), ["a", "a"], "only one class"),
        ({}, np.ones((2, 2)), [None, None], "no class"),
        ({}, np.ones(2), ["a", "b"], "expected rows first"),
        ({}, np.array([[np.nan], [1.0]]), ["a", "b"], "finite numbers"),
        ({}, np.ones((2, 2, 2)), ["a", "b"], "give a module"),
        ({"epochs": 0}, np.ones((2, 2)), ["a", "b"], "epochs=0"),
        ({"warmup": 1.0}, np.ones((2, 2)), ["a", "b"], "warmup=1.0"),
        ({"schedule": "cosin"}, np.ones((2, 2)), ["a", "b"], "schedule='cosin'"),
        ({"mixed_precision": "fp8"}, np.ones((2, 2)), ["a", "b"], "fp8"),
        ({"module": nn.Linear(2, 5)}, np.ones((2, 2)), ["a", "b"], "one logit a class"),
    ],
)
def test_what_cannot_be_trained_is_refused(options, X, y, message):
    """Inputs, labels and options that do not go together are named before training."""
    with pytest.raises(ValueError, match=message):
        TorchClassifier(**options).fit(X, y)


def test_wrong_types_are_refused():
    """Texts are no numbers; a callable must make a module; an unknown parameter is suggested."""
    with pytest.raises(TypeError, match="a module reads numbers"):
        TorchClassifier().fit(np.array([["x"], ["y"]]), ["a", "b"])
    with pytest.raises(TypeError, match="returned a int"):
        TorchClassifier(lambda d, k: d).fit(np.ones((2, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="did you mean"):
        TorchClassifier().set_params(epoch=3)


def test_a_loss_that_is_no_number_stops_the_run():
    """Divergence is an error that names the learning rate, not a model of nan."""
    X, y = blobs(30)
    with pytest.raises(TrainingDivergedError, match="use a smaller lr"):
        TorchClassifier(nn.Linear(4, 3), optimizer="sgd", lr=1e38, epochs=5).fit(X * 1e5, y)


@pytest.mark.slow
def test_digits_from_one_excluded_class_a_row():
    """One uniform complementary label a row teaches the default model digits: .75 and more."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    train, test = order[:1400], order[1400:]
    excluded = (y + rng.integers(1, 10, len(y))) % 10
    labels = eo.Labels([eo.not_(int(c)) for c in excluded], classes=range(10))
    model = TorchClassifier(random_state=0).fit(X[train], labels[train])
    assert (model.predict(X[test]) == y[test]).mean() >= 0.75
    assert model.never_predicted_ == []
