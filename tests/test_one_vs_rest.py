"""One logistic regression a tag: its optimum, what each statement weighs, and what is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from eitheror._kernels.rows import Rows
from eitheror.cli import main
from eitheror.labels import Labels, RowError, either, not_, soft, tags, votes
from eitheror.model import LinearParameters, SparseWeight, load
from eitheror.search import tune_hyperparameters
from eitheror.sklearn import LinearClassifier
from eitheror.training import Checkpoint, TrainOptions, fit
from eitheror.training.examples import Examples
from eitheror.training.one_vs_rest import fit_one_vs_rest

NAMES = [f"t{k:02}" for k in range(21)]


def sparse_table(n: int = 300, d: int = 30, k: int = 18, seed: int = 0) -> tuple[Any, NDArray[Any]]:
    """Sparse rows of counts and the tags that a noisy linear model gives them."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.3, size=(n, d)).astype(np.float64)
    W = rng.normal(size=(d, k)) * (rng.random((d, k)) < 0.3)
    truth = X @ W - 1.5 + rng.logistic(size=(n, k)) > 0
    return sp.csr_matrix(X), truth


def examples_of(X: Any, labels: Labels, weight: Any = None) -> Examples:
    """Examples of a table as it stands, without scaling."""
    rows = Rows.from_csr(X) if hasattr(X, "tocsr") else Rows.from_dense(X)
    weight = np.ones(len(labels)) if weight is None else weight
    return Examples(rows, labels.sparse(), np.asarray(weight, np.float32))


def solved(X: Any, labels: Labels, l2: float, **more: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and intercepts of a fit with a given penalty."""
    options = TrainOptions(loss=more.pop("loss", "ova"), l2=l2, **more.pop("options", {}))
    found = fit_one_vs_rest(examples_of(X, labels, more.pop("weight", None)), options, **more)
    return dense(found.weight), found.bias


def dense(weight: SparseWeight | NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights as a matrix, however they are kept."""
    return weight.to_dense() if isinstance(weight, SparseWeight) else weight


def oracle(
    X: NDArray[Any], targets: NDArray[Any], weight: NDArray[Any], l2: float, total: float
) -> NDArray[Any]:
    """Weights and intercept of one tag, in float64 by L-BFGS; nan targets are left out."""
    known = ~np.isnan(targets)
    X, t, w = X[known], targets[known], weight[known] / total

    def value(theta: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        z = X @ theta[:-1] + theta[-1]
        loss = np.logaddexp(0, z) - t * z
        slope = w * (1 / (1 + np.exp(-z)) - t)
        gradient = np.append(X.T @ slope + l2 * theta[:-1], slope.sum())
        return float(w @ loss + l2 / 2 * theta[:-1] @ theta[:-1]), gradient

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(value, np.zeros(X.shape[1] + 1), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
def test_each_tag_is_solved_to_its_optimum(penalty: float) -> None:
    """The weights are scikit-learn's, tag by tag, but for those that are dropped."""
    X, truth = sparse_table()
    W, b = solved(X, Labels.from_indicator(truth), penalty / len(truth))
    for k in range(truth.shape[1]):
        model = LogisticRegression(C=1 / penalty, solver="newton-cg", tol=1e-10, max_iter=1000)
        model.fit(X, truth[:, k])
        kept = W[:, k] != 0
        assert kept.mean() > 0.9
        np.testing.assert_allclose(W[kept, k], model.coef_[0][kept], atol=1e-4 / penalty**0.5)
        np.testing.assert_allclose(b[k], model.intercept_[0], atol=2e-4)
        assert np.abs(model.coef_[0][~kept]).max(initial=0) < 0.01


def test_statements_count_as_they_say() -> None:
    """Absent, unknown, soft, counted and weighted statements: each tag's float64 optimum."""
    X, truth = sparse_table(n=240, k=4, seed=3)
    rng = np.random.default_rng(4)
    names = list("abcd")
    rows: list[Any] = []
    for i, true in enumerate(truth):
        present = [name for name, yes in zip(names, true, strict=True) if yes]
        kind = i % 6
        if kind == 0:
            rows.append(tags(*present))
        elif kind == 1:
            rows.append(not_(*[n for n in names if n not in present][:2] or ["a"]))
        elif kind == 2:
            rows.append(soft({"a": 0.8 if true[0] else 0.25, "c": float(true[2])}))
        elif kind == 3:
            rows.append(tags(*present, rest="unknown") if present else None)
        elif kind == 4:
            rows.append(votes({"b": 3 if true[1] else 1, "d": 2}, voters=4))
        else:
            rows.append(None)
    labels = Labels(rows, classes=names, task="multilabel")
    weight = rng.uniform(0.2, 3.0, len(labels)).astype(np.float32)
    weight[::17] = 0
    targets = labels.to_targets()
    says = ~np.isnan(targets).all(axis=1)
    total = float(weight[says].sum())
    by_class = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
    W, b = solved(X, labels, 0.01, weight=weight, class_weight=by_class)
    for k in range(4):
        # a class weight times the loss is a penalty divided by it
        best = oracle(X.toarray(), targets[:, k], weight.astype(float) * by_class[k], 0.01, total)
        kept = W[:, k] != 0
        np.testing.assert_allclose(W[kept, k], best[:-1][kept], atol=2e-4)
        np.testing.assert_allclose(b[k], best[-1], atol=5e-4)


def test_normalised_targets_and_smoothing() -> None:
    """The loss "ova-n" divides a row's targets by their sum; smoothing moves targets to a half."""
    X, truth = sparse_table(k=5, seed=5)
    labels = Labels.from_indicator(truth)
    W, b = solved(X, labels, 0.02, loss="ova-n", options={"label_smoothing": 0.1})
    counts = np.maximum(truth.sum(axis=1, keepdims=True), 1)
    targets = 0.9 * truth / counts + 0.05
    for k in range(5):
        best = oracle(X.toarray(), targets[:, k], np.ones(len(truth)), 0.02, len(truth))
        kept = W[:, k] != 0
        np.testing.assert_allclose(W[kept, k], best[:-1][kept], atol=2e-4)
        np.testing.assert_allclose(b[k], best[-1], atol=5e-4)


def test_numbers_have_the_optimum_of_the_other_solver() -> None:
    """Newton on a table reaches the objective that L-BFGS over all tags minimises."""
    X, truth = sparse_table(k=6, seed=6)
    labels = Labels.from_indicator(truth)
    for table in (X, X.toarray()):
        one = fit(table, labels, TrainOptions(l2=0.01, optimizer="newton"))
        other = fit(table, labels, TrainOptions(l2=0.01))
        np.testing.assert_allclose(one.predict_proba(table), other.predict_proba(table), atol=2e-3)


def test_threads_and_blocks_change_no_bit() -> None:
    """Any number of threads, and any neighbours in a block: the same bytes for a tag."""
    X, truth = sparse_table(k=40, seed=7)
    labels = Labels.from_indicator(truth)
    examples = examples_of(X, labels)
    runs = [
        fit_one_vs_rest(examples, TrainOptions(loss="ova"), n_jobs=n_jobs) for n_jobs in (1, 2, 5)
    ]
    for run in runs[1:]:
        assert runs[0].chosen == run.chosen
        np.testing.assert_array_equal(dense(runs[0].weight), dense(run.weight))
        np.testing.assert_array_equal(runs[0].bias, run.bias)
    W, b = solved(X, labels, 0.01)
    alone, bias = solved(X, Labels.from_indicator(truth[:, 7:8]), 0.01)
    np.testing.assert_array_equal(W[:, 7], alone[:, 0])
    np.testing.assert_array_equal(b[7], bias[0])


def test_a_tag_that_never_varies_is_its_share() -> None:
    """No weights, and the log odds shrunk by half a row: never, always, and nobody says."""
    X, truth = sparse_table(n=50, k=2)
    rows = [tags(*(["yes", "some"] if some else ["yes"])) for some in truth[:, 0]]
    labels = Labels(rows, classes=["never", "some", "yes"], task="multilabel")
    W, b = solved(X, labels, 0.01)
    np.testing.assert_array_equal(W[:, [0, 2]], 0)
    np.testing.assert_allclose(b[[0, 2]], [-np.log(101), np.log(101)], rtol=1e-5)
    assert np.any(W[:, 1])
    silent = Labels([not_("a", "b"), tags("b", rest="unknown")], classes=["a", "b", "c"])
    W, b = solved(np.eye(2), Labels(list(silent), classes=["a", "b", "c"], task="multilabel"), 0.1)
    assert W[:, [0, 2]].tolist() == [[0, 0], [0, 0]]
    assert b[2] == 0


def test_a_row_of_weight_two_is_the_row_twice() -> None:
    """Repeating a row and doubling its weight are one problem, up to rounding."""
    X, truth = sparse_table(n=80, k=3, seed=9)
    labels = Labels.from_indicator(truth)
    weight = np.ones(80)
    weight[:20] = 2
    W, _ = solved(X, labels, 0.02, weight=weight)
    again = np.r_[np.arange(80), np.arange(20)]
    V, _ = solved(X[again], labels[again], 0.02)
    np.testing.assert_allclose(W, V, atol=1e-5)


def documents(n: int, seed: int, vocabulary: int = 60) -> tuple[list[str], Labels]:
    """Texts of a few words a tag among words of no tag, with one to three tags."""
    rng = np.random.default_rng(seed)
    texts, rows = [], []
    for _ in range(n):
        own = rng.choice(len(NAMES), size=rng.integers(1, 4), replace=False, p=_frequencies())
        words = [f"w{tag}x{rng.integers(4)}" for tag in own for _ in range(4)]
        words += [f"n{word}" for word in rng.integers(vocabulary, size=8)]
        texts.append(" ".join(rng.permutation(words)))
        rows.append(tags(*(NAMES[tag] for tag in own)))
    return texts, Labels(rows, classes=NAMES)


def _frequencies() -> NDArray[np.float64]:
    share = 1 / np.arange(1, len(NAMES) + 1)
    return share / share.sum()


def test_what_is_dropped_changes_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """On new texts no probability moves by 0.005, and the first three tags stay but for ties."""
    texts, labels = documents(300, 1, vocabulary=2000)
    new, _ = documents(200, 2, vocabulary=2000)
    options = TrainOptions(optimizer="newton", l2=1e-2)
    short = fit(texts, labels, options)
    monkeypatch.setattr("eitheror.training.one_vs_rest._TINY", 0.0)
    full = fit(texts, labels, options)
    assert isinstance(short.parameters, LinearParameters)
    assert isinstance(short.parameters.weight, SparseWeight)
    assert short.options["kept_weights"] < 0.5 * full.options["kept_weights"]
    few, all_ = short.predict_proba(new), full.predict_proba(new)
    np.testing.assert_allclose(few, all_, atol=0.005)
    chosen = np.take_along_axis(all_, np.argsort(-few, axis=1)[:, :3], axis=1)
    np.testing.assert_allclose(chosen, -np.sort(-all_, axis=1)[:, :3], atol=0.005)
    np.testing.assert_array_equal(few.argmax(axis=1), all_.argmax(axis=1))


def test_texts_learn_save_and_load(tmp_path: Path) -> None:
    """The model is good on new texts, and the same after it was written and read."""
    texts, labels = documents(150, 1)
    new, truth = documents(100, 2)
    model = fit(texts, labels, TrainOptions(optimizer="newton"))
    proba = model.predict_proba(new)
    hit = truth.to_targets()[np.arange(len(new)), proba.argmax(axis=1)]
    assert hit.mean() > 0.9
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(proba, again.predict_proba(new))
    assert {"optimizer", "l2", "kept_weights", "steps"} <= set(again.options)
    model.save(tmp_path / "twice")
    for name in ("config.json", "model.safetensors"):
        first, second = (tmp_path / folder / name for folder in ("model", "twice"))
        assert first.read_bytes() == second.read_bytes()


def test_more_weights_than_memory_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a dense linear model would not fit, the sparse one is trained all the same."""
    monkeypatch.setattr("eitheror.training.fitting.MAX_WEIGHTS", 100)
    texts, labels = documents(60, 3)
    model = fit(texts, labels, TrainOptions(optimizer="newton", l2=1e-3))
    assert model.options["features"] == "tfidf"
    with pytest.raises(ValueError, match="or for tags optimizer='newton'"):
        fit(texts, labels, TrainOptions(features="tfidf"))


def test_the_penalty_is_chosen_by_held_out_rows() -> None:
    """Left open it is found and told; held-out rows that are given decide it."""
    texts, labels = documents(100, 1)
    told: list[dict[str, Any]] = []
    model = fit(texts, labels, TrainOptions(optimizer="newton"), progress=told.append)
    assert told[0]["message"].startswith("l2=")
    assert told[-1]["epoch"] == told[-1]["epochs"] == len(NAMES)
    wrong = labels.with_classes(NAMES)[np.random.default_rng(0).permutation(100)]
    noisy = fit(texts, labels, TrainOptions(optimizer="newton"), valid=(texts, wrong))
    assert noisy.options["l2"] > 5 * model.options["l2"]


def test_rows_of_length_one() -> None:
    """The scaling of a bag of words: rows however long count alike, before and after saving."""
    X, truth = sparse_table(n=200, seed=11)
    labels = Labels.from_indicator(truth)
    for scaling in ("unit", "tfidf"):
        for optimizer in ("newton", None):
            options = TrainOptions(scaling=scaling, optimizer=optimizer, l2=1e-3)
            model = fit(X, labels, options)
            proba = model.predict_proba(X)
            np.testing.assert_allclose(proba, model.predict_proba(7 * X), atol=1e-5)
            np.testing.assert_allclose(proba, model.predict_proba(X.toarray()), atol=1e-5)
            assert model.options["scaling"] == scaling
    frequency = np.log((1 + 200) / (1 + np.asarray((X > 0).sum(axis=0))[0])) + 1
    scaled = X.multiply(frequency).tocsr()
    scaled = sp.csr_matrix(scaled / np.maximum(sp.linalg.norm(scaled, axis=1), 1e-9)[:, None])
    W, _ = solved(scaled, labels, 1e-3)
    model = fit(X, labels, TrainOptions(scaling="tfidf", optimizer="newton", l2=1e-3))
    assert isinstance(model.parameters, LinearParameters)
    np.testing.assert_allclose(dense(model.parameters.weight), W, atol=1e-3)


def test_scaled_rows_survive_saving(tmp_path: Path) -> None:
    """A model with rows of length 1 is read back as it was."""
    X, truth = sparse_table(n=100, seed=12)
    model = fit(X, Labels.from_indicator(truth), TrainOptions(scaling="unit", l2=1e-3))
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))


def test_the_estimator_takes_both_options() -> None:
    """`LinearClassifier(optimizer="newton", scaling="unit")` is `fit` with these options."""
    X, truth = sparse_table(n=100, k=3, seed=13)
    model = LinearClassifier(optimizer="newton", scaling="unit", l2=0.01).fit(X, truth)
    same = fit(
        X,
        Labels.from_indicator(truth),
        TrainOptions(optimizer="newton", scaling="unit", l2=0.01),
    )
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
    more = LinearClassifier(scaling="unit").partial_fit(X, truth)
    np.testing.assert_allclose(more.predict_proba(X), more.predict_proba(9 * X), atol=1e-6)
    np.testing.assert_allclose(
        model.partial_fit(X, truth).predict_proba(X), model.predict_proba(9 * X), atol=1e-6
    )


def test_the_command_trains_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`eitheror train --optimizer newton` writes a model that `predict` reads."""
    texts, labels = documents(80, 1)
    lines = [
        " ".join(f"__label__{name}" for name in label.named) + " " + text
        for text, label in zip(texts, labels, strict=True)
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    where = [str(tmp_path / "train.txt"), "-o", str(tmp_path / "model")]
    assert 0 == main(["train", *where, "--optimizer", "newton", "--task", "multilabel"])
    told = capsys.readouterr().out
    assert "makes held-out tags likeliest" in told
    assert "optimizer=newton" in told
    assert 0 == main(["predict", str(tmp_path / "model"), str(tmp_path / "train.txt")])
    assert 80 == len(capsys.readouterr().out.splitlines())


JOINT = Labels([either("a", "b"), tags("a")], task="multilabel")
PLAIN = Labels([tags("a"), tags("b")], task="multilabel")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (JOINT, {}, "row 0: .*'at least one of' some tags.*leave optimizer out"),
        (PLAIN, {"l2": 0}, "l2=0 came.*expected a number above 0"),
        (PLAIN, {"loss": "pal"}, "loss='pal' joins the classes; use loss='ova'"),
        (PLAIN, {"lr": 0.1}, "lr=0.1 .* has no meaning for optimizer='newton'"),
        (PLAIN, {"patience": 2}, "patience=2 .* has no meaning"),
        (PLAIN, {"hogwild": True}, "hogwild=True .* has no meaning"),
        (PLAIN, {"features": "embedding"}, "solves linear models: use features='tfidf'"),
        (PLAIN, {"scaling": "unit"}, "scaling='unit' is for tables of numbers"),
        (Labels(["a", "b"]), {}, "leave optimizer out, or read the labels with task='multilabel'"),
    ],
)
def test_refusals_say_what_to_write(labels: Labels, options: dict[str, Any], message: str) -> None:
    """What does not go with a solution a tag is refused, with what to write instead."""
    with pytest.raises(ValueError, match=message):
        fit(["red", "blue"], labels, TrainOptions(**{"optimizer": "newton", **options}))


@pytest.mark.parametrize("weight", [1e-50, 1e-30, 1e20, 1e39])
def test_weights_beyond_float32_are_refused(weight: float) -> None:
    """Weights whose squares float32 cannot hold would stop the solver before its first step."""
    X, truth = sparse_table(n=50, k=2)
    labels, options = Labels.from_indicator(truth), TrainOptions(optimizer="newton", l2=0.01)
    weights = np.full(50, weight)
    with pytest.raises(ValueError, match=r"^the rows weigh .* expected a mean from 1e-09 to 1e"):
        fit(X, labels, options, sample_weight=weights)
    with pytest.raises(ValueError, match=r"^the validation rows weigh"):
        fit(X, labels, options, valid=(X, labels, weights))
    even = fit(X, labels, options).predict_proba(X)
    for near in (1e-8, 1e8):
        same = fit(X, labels, options, sample_weight=np.full(50, near)).predict_proba(X)
        np.testing.assert_allclose(same, even, atol=1e-3)


def test_joint_statements_are_refused_with_their_row() -> None:
    """The row is named, also for numbers and among held-out rows."""
    table = np.eye(2)
    options = TrainOptions(optimizer="newton", l2=0.1)
    with pytest.raises(RowError) as error:
        fit(table, JOINT, options)
    assert error.value.row == 0
    with pytest.raises(ValueError, match="validation row 0 says 'at least one of'"):
        fit(table, PLAIN, options, valid=(table, JOINT))


def test_models_and_checkpoints_are_refused(tmp_path: Path) -> None:
    """There are no passes to keep, and no start to go on from."""
    options = TrainOptions(optimizer="newton", l2=0.1)
    model = fit(["red", "blue"], PLAIN, options)
    with pytest.raises(ValueError, match="cannot go on from a model"):
        fit(["red", "blue"], PLAIN, options, warm_start=model)
    with pytest.raises(ValueError, match="makes none"):
        fit(["red", "blue"], PLAIN, options, checkpoint=Checkpoint(tmp_path / "c"))


def test_a_search_is_refused() -> None:
    """The search is about learning rates and passes, which this solver does not have."""
    with pytest.raises(ValueError, match="a search tries learning rates and passes"):
        tune_hyperparameters(["red", "blue"], PLAIN, options=TrainOptions(optimizer="newton"))


def test_counts_below_zero_are_refused() -> None:
    """An inverse frequency is for counts."""
    with pytest.raises(ValueError, match=r"features hold -1.0; scaling='tfidf' is for counts"):
        fit(-np.eye(2), PLAIN, TrainOptions(scaling="tfidf"))
