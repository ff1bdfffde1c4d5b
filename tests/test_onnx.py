"""ONNX files give the logits and probabilities of their models."""

import json
from dataclasses import replace

import numpy as np
import pytest

import eitheror as eo
from eitheror.model import HuffmanParameters, LinearParameters, Model, SparseWeight
from models import MODELS, TEXTS, tree_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

MORE = [*TEXTS[:5], "", "zzz", "install it, install it!"]
CALIBRATION = {
    "calibration": "logistic",
    "coefficients": [-0.3, 0.8, 0.2, 0.1, 0.05],
    "log_counts": [1.0, 2.0, 0.5],
}


def run(model: Model, inputs, path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Return logits, probabilities and metadata of the model's ONNX file."""
    eo.export_onnx(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    if model.featurizer is None:
        feed = {"X": np.asarray(inputs, dtype=np.float64)}
    else:
        rows = model.featurizer.transform(inputs)
        feed = {"indptr": rows.indptr, "indices": rows.indices, "values": rows.values}
    logits, proba = session.run(["logits", "proba"], feed)
    return logits, proba, session.get_modelmeta().custom_metadata_map


def unit_row_model() -> Model:
    """Return a model of numbers whose rows are brought to length 1."""
    weight = np.float32([[1, -1], [0, 2]])
    scale = np.array([3.0, 0.5])
    parameters = LinearParameters(weight, np.float32([0, 1]), None, scale, unit_rows=True)
    return Model("multilabel", ["a", "b"], {}, "ova", None, parameters)


def half_model() -> Model:
    """Return a model of texts whose sparse weights are half full: the file holds them whole."""
    model = MODELS["linear"]()
    weight = model.parameters.weight * (np.random.default_rng(1).random((97, 3)) < 0.5)
    parameters = LinearParameters(SparseWeight.from_dense(weight), model.parameters.bias)
    return replace(model, parameters=parameters)


def small(kind: str) -> Model:
    """Return a model whose parameters are codes."""
    from eitheror.small.embedding import EmbeddingShrinker, Plan
    from eitheror.small.linear import LinearShrinker

    model = tree_model() if kind == "tree" else MODELS[kind]()
    if kind == "linear":
        return LinearShrinker(model).with_entries(100)
    return EmbeddingShrinker(model, 0).built(Plan(60, 20, 2, 16, 2))


MADE = {
    **MODELS,
    "half full": half_model,
    "unit rows": unit_row_model,
    "linear, shrunk": lambda: small("linear"),
    "embedding, shrunk": lambda: small("embedding"),
    "tree": tree_model,
    "tree, shrunk": lambda: small("tree"),
}


@pytest.mark.parametrize("name", MADE)
def test_an_onnx_file_gives_what_the_model_gives(name, tmp_path):
    """Logits and probabilities within 1e-5, for dense, sparse, averaged and coded parameters."""
    model = MADE[name]()
    inputs = [[1e6 + 0.5, 2], [1e6 - 1, 0], [0, 0]] if model.featurizer is None else MORE
    logits, proba, about = run(model, inputs, tmp_path / "model.onnx")
    np.testing.assert_allclose(logits, model.decision_function(inputs), rtol=0, atol=1e-5)
    np.testing.assert_allclose(proba, model.predict_proba(inputs), rtol=0, atol=1e-5)
    assert np.float32 == proba.dtype
    assert model.classes == json.loads(about["classes"])
    assert [model.task, model.loss, model.proba_meaning, eo.__version__] == [
        about[key] for key in ("task", "loss", "proba_meaning", "eitheror")
    ]


@pytest.mark.parametrize("plan", ["coded", "exact"])
def test_rows_that_are_all_coded_or_all_exact(plan, tmp_path):
    """A table of one kind of row is exported too."""
    from eitheror.small.embedding import EmbeddingShrinker, Plan

    plans = {"coded": Plan(60, 0, 2, 256, 0), "exact": Plan(9, 9, 1, 256, 0)}
    model = EmbeddingShrinker(MODELS["embedding"](), 0).built(plans[plan])
    _, proba, _ = run(model, MORE, tmp_path / "model.onnx")
    np.testing.assert_allclose(proba, model.predict_proba(MORE), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "sparse"])
def test_the_calibration_is_part_of_the_file(name, tmp_path):
    """Calibrated marginals are those of `predict_proba`, also of sure and hopeless scores."""
    model = MODELS[name]()
    model.calibration = CALIBRATION
    model.parameters.bias[:] = [30, -40, 0]
    _, proba, about = run(model, MORE, tmp_path / "model.onnx")
    np.testing.assert_allclose(proba, model.predict_proba(MORE), rtol=0, atol=1e-5)
    assert "marginals" == about["proba_meaning"]


def test_no_rows_and_rows_without_features(tmp_path):
    """No text gives no row; a text without a known word gives the bias."""
    model = MODELS["linear"]()
    path = tmp_path / "model.onnx"
    _, proba, _ = run(model, ["", ""], path)
    np.testing.assert_allclose(proba, model.predict_proba(["", ""]), rtol=0, atol=1e-6)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    none = {"indptr": np.zeros(1, np.int64), "indices": np.zeros(0, np.int32)}
    found = session.run(["proba"], {**none, "values": np.zeros(0, np.float32)})[0]
    assert (0, len(model.classes)) == found.shape


def test_the_same_model_gives_the_same_bytes(tmp_path):
    """Nothing in the file depends on a clock or a path, and nothing else is left in the folder."""
    for name in ("one.onnx", "two.onnx"):
        eo.export_onnx(MODELS["sparse"](), tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    assert 2 == len(list(tmp_path.iterdir()))


def test_a_tree_of_one_class_without_intercepts(tmp_path):
    """A model of fastText may have a single label, and its nodes have no bias."""
    made = tree_model()
    table, tree = made.parameters.embedding, made.parameters.children
    one = HuffmanParameters(table, np.empty((0, 5), np.float32), np.empty((0, 2), np.int32))
    plain = HuffmanParameters(table, made.parameters.weight, tree)
    for classes, parameters in ((["a"], one), (made.classes, plain)):
        model = replace(made, classes=classes, parameters=parameters)
        logits, _, _ = run(model, MORE, tmp_path / "model.onnx")
        np.testing.assert_allclose(logits, model.decision_function(MORE), rtol=0, atol=1e-5)


def test_a_folder_and_a_place_that_is_not_there_are_refused(tmp_path):
    """The message says what to write."""
    with pytest.raises(IsADirectoryError, match=r"name a file, such as model\.onnx"):
        eo.export_onnx(MODELS["linear"](), tmp_path)
    with pytest.raises(FileNotFoundError, match="make it first"):
        eo.export_onnx(MODELS["linear"](), tmp_path / "no" / "model.onnx")


def test_the_command_writes_the_file(tmp_path, capsys):
    """`eitheror export MODEL -o FILE` says what goes in and what comes out."""
    from eitheror.cli import main

    MODELS["embedding"]().save(tmp_path / "model")
    file = tmp_path / "model.onnx"
    assert 0 == main(["export", str(tmp_path / "model"), "-o", str(file), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert file.stat().st_size == report["bytes"]
    assert ["indptr", "indices", "values"] == report["inputs"]
    assert 2 == main(["export", str(tmp_path / "model"), "-o", "-"])
    assert "standard output" in capsys.readouterr().err
