import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from eitheror import decide
from eitheror._kernels.rows import Rows
from eitheror.model import (
    EmbeddingParameters,
    LinearParameters,
    Model,
    SparseWeight,
    check_output,
    load,
)
from eitheror.model.storage import _sha256
from eitheror.text import Featurizer, TextOptions

TEXTS = ["the app crashed", "I was charged twice", "how do I install it?", ""] * 5


def _text_model(family="embedding", loss="softmax", classes=("bug", "billing", "help")):
    options = TextOptions("mean" if family == "embedding" else "tfidf", 2, (3, 4))
    featurizer, rows = Featurizer.fit(TEXTS, options)
    rng = np.random.default_rng(0)
    bias = rng.normal(size=len(classes)).astype(np.float32)
    if family == "embedding":
        parameters = EmbeddingParameters(
            rng.normal(size=(rows.n_features, 5)).astype(np.float32),
            rng.normal(size=(len(classes), 5)).astype(np.float32),
            bias,
        )
    else:
        weight = rng.normal(size=(rows.n_features, len(classes))).astype(np.float32)
        if family == "sparse":
            weight[rng.random(weight.shape) < 0.95] = 0
        parameters = LinearParameters(weight, bias)
    task = "multiclass" if loss == "softmax" else "multilabel"
    return Model(task, list(classes), {"lr": 0.1, "dim": 5}, loss, featurizer, parameters)


def _number_model():
    return Model(
        "multiclass",
        [3, 7],
        {},
        "softmax",
        None,
        LinearParameters(
            np.float32([[1, -1], [0, 2]]),
            np.float32([0.5, 0]),
            mean=np.array([1e6, 0.0]),
            scale=np.array([1.0, 2.0]),
        ),
        feature_names=["height", "width"],
    )


MODELS = {
    "embedding": _text_model,
    "linear": lambda: _text_model("linear", "ova"),
    "sparse": lambda: _text_model("sparse", "pal-n"),
    "numbers": _number_model,
}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


# --- predicting ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["embedding", "linear", "sparse"])
def test_logits_equal_the_formula(family):
    """Logits are the documented product of the dense rows and the parameters, in float64."""
    model = _text_model(family)
    X = model.featurizer.transform(TEXTS).to_dense().astype(np.float64)
    if family == "embedding":
        expected = X @ model.parameters.embedding @ model.parameters.weight.T
    else:
        expected = X @ model.parameters.weight
    logits = model.decision_function(TEXTS)
    assert np.float32 == logits.dtype
    np.testing.assert_allclose(expected + model.parameters.bias, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["embedding", "linear", "sparse"])
def test_large_inputs_and_threads_change_nothing(family):
    """Many rows go through the kernels, in any number of threads, to the same probabilities."""
    model = _text_model(family, "ova")
    if family == "sparse":
        weight = SparseWeight.from_dense(model.parameters.weight)
        model.parameters = LinearParameters(weight, model.parameters.bias)
    proba = model.predict_proba(TEXTS * 500)
    assert proba.tobytes() == model.predict_proba(TEXTS * 500, n_jobs=3).tobytes()
    np.testing.assert_allclose(np.tile(model.predict_proba(TEXTS), (500, 1)), proba, atol=1e-6)


@given(
    logits=hnp.arrays(
        np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32), fill=st.nothing()
    )
)
def test_softmax_losses_give_shares_and_sigmoid_losses_marginals(logits):
    """Probabilities add to 1 for a softmax loss and are sigmoids for one-vs-all, at any logit."""
    for loss, task in (("softmax", "multiclass"), ("pal", "multilabel"), ("ova", "multilabel")):
        parameters = LinearParameters(logits, np.zeros(4, np.float32))
        model = Model(task, list("abcd"), {}, loss, None, parameters)
        proba = model.predict_proba(np.eye(3)).astype(np.float64)
        wide = logits.astype(np.float64)
        if loss == "ova":
            with np.errstate(over="ignore"):
                expected = 1 / (1 + np.exp(-wide))
        else:
            expected = np.exp(wide - wide.max(axis=1, keepdims=True))
            expected /= expected.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(1, proba.sum(axis=1), atol=1e-6)
        np.testing.assert_allclose(expected, proba, rtol=2e-5, atol=1e-38)


def test_the_loss_says_what_the_probabilities_are():
    """Softmax over tags gives shares, not marginals, and the model says so."""
    meanings = [_text_model("linear", loss).proba_meaning for loss in ("softmax", "ova", "pal-n")]
    assert ["probabilities", "marginals", "shares"] == meanings


def test_numbers_are_standardised():
    """Dense, sparse and `Rows` inputs give ((x - mean) / scale) @ weight + bias."""
    sparse = pytest.importorskip("scipy.sparse")
    model = _number_model()
    expected = [[1 + 0.5, -1 + 4.0]]
    assert expected == model.decision_function([[1e6 + 1, 4.0]]).tolist()
    X = sparse.csr_array([[0.0, 4.0]])
    np.testing.assert_allclose([[0.5 - 1e6, 4 + 1e6]], model.decision_function(X))
    np.testing.assert_allclose(
        [[0.5 - 1e6, 4 + 1e6]], model.decision_function(Rows.from_dense([[0.0, 4.0]]))
    )


def test_no_rows_give_an_empty_matrix():
    """No texts, and a table without rows, give a (0, n_classes) matrix."""
    assert (0, 3) == _text_model().predict_proba([]).shape
    assert (0, 2) == _number_model().predict_proba(np.zeros((0, 2))).shape


@pytest.mark.parametrize(
    ("model", "inputs", "error", "message"),
    [
        (_text_model, "one text", TypeError, r"write \[text\]"),
        (_text_model, np.eye(2), TypeError, "the model reads texts: pass a list of str"),
        (_text_model, ["a", 1.5], TypeError, "row 1: 1.5 is a float"),
        (_number_model, ["a b"], TypeError, "the model reads numbers"),
        (_number_model, [[1.0]], ValueError, "inputs have 1 features; .* trained on 2"),
        (_number_model, [1.0, 2.0], ValueError, r"one row is X.reshape\(1, -1\)"),
        (_number_model, [[1.0, np.nan]], ValueError, "row 0, feature 1 is nan"),
    ],
)
def test_wrong_inputs_are_refused(model, inputs, error, message):
    """The error says what came and what the model reads."""
    with pytest.raises(error, match=message):
        model().predict_proba(inputs)


def test_errors_count_rows_from_the_first_input():
    """The row in an error is the row of the whole input, however it was cut for prediction."""
    with pytest.raises(ValueError, match="row 5000: the text holds"):
        _text_model().predict_proba(["fine"] * 5000 + ["\ud83d"])


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    """A nan weight is refused before anything is written."""
    model = _text_model()
    model.parameters.bias[0] = np.nan
    with pytest.raises(ValueError, match="bias: a value is nan or infinite"):
        model.save(tmp_path / "m")
    assert [] == list(tmp_path.iterdir())


def test_the_default_rule_follows_task_and_loss():
    """Argmax for one class, .5 for marginals, the largest share for shares."""
    rules = [_text_model("linear", loss).rule() for loss in ("softmax", "ova", "pal")]
    assert [decide.Argmax(), decide.Threshold(0.5), decide.TopK(1)] == rules


def test_decide_names_the_classes():
    """Decisions are lists of class names, one where one class is true."""
    proba = np.array([[0.2, 0.5, 0.3], [0.9, 0.6, 0.1]])
    assert [["billing"], ["bug"]] == _text_model().decide(proba)
    model = _text_model("linear", "ova")
    model.set_decision(decide.Threshold(0.3))
    assert [["billing", "help"], ["bug", "billing"]] == model.decide(proba)


def test_calibration_is_applied_and_makes_marginals(tmp_path):
    """A calibrated model predicts transformed numbers, before and after a round trip."""
    model = _text_model(loss="pol")
    texts = ["the app crashes", "a refund", "help me", "crash", "refund now"]
    raw = model.predict_proba(texts)
    known = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0.0]])
    calibration = decide.Calibration().fit(known, raw)
    model.calibration = calibration.to_config()
    expected = calibration.transform(raw).astype(np.float32)
    assert "marginals" == model.proba_meaning
    np.testing.assert_array_equal(expected, model.predict_proba(texts))
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(expected, load(tmp_path / "m").predict_proba(texts))


def test_a_calibration_of_other_classes_is_refused(tmp_path):
    """A stored calibration must fit the class list."""
    model = _text_model(loss="pol")
    model.calibration = {"calibration": "logistic", "coefficients": [0, 1, 0, 0], "log_counts": [0]}
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="calibration: finite numbers for 3 classes"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "both"}, "task='both'"),
        ({"loss": "hinge"}, "loss: 'hinge' came; one of"),
        ({"loss": "ova"}, "loss 'ova' is not for task 'multiclass'"),
        ({"classes": ["a", "b"]}, "2 classes came with parameters of 3"),
        ({"classes": ["a", "b", "a"]}, "classes: 'a' stands there twice"),
        ({"classes": ["a", "b", True]}, "classes: True came; a name is a str or an int"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(changes, message):
    """The error names the entry."""
    fine = vars(_text_model())
    with pytest.raises(ValueError, match=message):
        Model(**{**fine, **changes})


# --- saving and loading ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_save_and_load_is_the_identity(name, tmp_path):
    """A loaded model predicts the same bits and saves to the same bytes."""
    model = MODELS[name]()
    model.set_decision(decide.TopK(1))
    model.calibration = {
        "calibration": "logistic",
        "coefficients": [0.1, 1.5, 0.0, -0.2],
        "log_counts": [0.5] * len(model.classes),
    }
    model.save(tmp_path / "a.model")
    again = load(tmp_path / "a.model")
    again.save(tmp_path / "b.model")
    assert _bytes(tmp_path / "a.model") == _bytes(tmp_path / "b.model")
    assert {"config.json", "model.safetensors"} == set(_bytes(tmp_path / "a.model"))
    inputs = TEXTS if model.featurizer else [[0.0, 1.0]]
    np.testing.assert_allclose(
        model.decision_function(inputs), again.decision_function(inputs), rtol=1e-5, atol=1e-6
    )
    for field in ("task", "classes", "options", "loss", "decision", "calibration"):
        assert getattr(model, field) == getattr(again, field)
    assert model.feature_names == again.feature_names


def test_class_names_keep_their_types(tmp_path):
    """Ints stay ints and strings strings, whatever characters they hold."""
    classes = [-3, "3", 'é "quoted"\n', "__label__x"]
    model = Model(
        "multiclass",
        classes,
        {},
        "softmax",
        None,
        LinearParameters(np.ones((1, 4), np.float32), np.zeros(4, np.float32)),
    )
    model.save(tmp_path / "m")
    assert classes == load(tmp_path / "m").classes


@settings(max_examples=30, deadline=None)
@given(
    weight=hnp.arrays(
        np.float32, (6, 5), elements=st.sampled_from([0, 0, 0, 0, 0, 1, -2.5]), fill=st.just(0)
    )
)
def test_sparse_weights_are_the_dense_ones(weight, tmp_path_factory):
    """CSR weights hold the matrix, in memory and through a file."""
    assert weight.tolist() == SparseWeight.from_dense(weight).to_dense().tolist()
    folder = tmp_path_factory.mktemp("sparse") / "m"
    parameters = LinearParameters(weight, np.zeros(5, np.float32))
    model = Model("multilabel", list("abcde"), {}, "ova", None, parameters)
    model.save(folder)
    assert weight.tolist() == load(folder).decision_function(np.eye(6)).tolist()


def test_mostly_zero_weights_are_stored_sparse(tmp_path):
    """Zeros of a linear text model take no space on disk."""
    _text_model("sparse").save(tmp_path / "m")
    names = set(load_file(tmp_path / "m" / "model.safetensors"))
    assert {"weight.indptr", "weight.indices", "weight.values"} < names
    assert isinstance(load(tmp_path / "m").parameters.weight, SparseWeight)


def test_both_files_are_readable_alike(tmp_path):
    """The tensors are no more private than the config."""
    _text_model().save(tmp_path / "m")
    modes = {file.name: file.stat().st_mode for file in (tmp_path / "m").iterdir()}
    assert modes["config.json"] == modes["model.safetensors"]


def test_saving_replaces_a_model(tmp_path):
    """The new model takes the name; nothing of the old one is left."""
    _text_model().save(tmp_path / "m")
    _number_model().save(tmp_path / "m")
    assert [3, 7] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    """Saving to a symbolic link replaces the model that it points to."""
    _text_model().save(tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    _number_model().save(tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert [3, 7] == load(tmp_path / "v1").classes


# --- crashes ---------------------------------------------------------------------------------


def test_load_and_save_recover_from_a_crash_between_the_renames(tmp_path):
    """With the old model moved away and the new one complete, the new one is read and kept."""
    _text_model().save(tmp_path / "m.old")
    _number_model().save(tmp_path / "m.new")
    assert [3, 7] == load(tmp_path / "m").classes
    check_output(tmp_path / "m")
    _text_model(classes=("x", "y", "z")).save(tmp_path / "m")
    assert ["x", "y", "z"] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_crash_before_the_first_rename_leaves_the_old_model(tmp_path):
    """Half of a new model beside the old one is ignored, and removed by the next save."""
    _text_model().save(tmp_path / "m")
    (tmp_path / "m.new").mkdir()
    (tmp_path / "m.new" / "model.safetensors").write_bytes(b"half")
    assert ["bug", "billing", "help"] == load(tmp_path / "m").classes
    _number_model().save(tmp_path / "m")
    assert [3, 7] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_crash_during_the_first_save_leaves_no_model(tmp_path):
    """Half of a first model is no model."""
    (tmp_path / "m.new").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no model"):
        load(tmp_path / "m")


def test_a_crash_before_the_old_one_is_removed_is_harmless(tmp_path):
    """The new model is read; the next save removes what is left of the old one."""
    _number_model().save(tmp_path / "m")
    _text_model().save(tmp_path / "m.old")
    assert [3, 7] == load(tmp_path / "m").classes
    _number_model().save(tmp_path / "m")
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


@pytest.mark.slow
def test_kill_at_any_moment_leaves_a_whole_model(tmp_path):
    """Killed while it replaces a model over and over, a writer leaves one that loads."""
    program = (
        "import sys, numpy as np\n"
        "from eitheror.model import LinearParameters, Model\n"
        "weight, bias = np.ones((50_000, 2), np.float32), np.zeros(2, np.float32)\n"
        "for turn in range(1_000_000):\n"
        "    model = Model('multiclass', [turn, -1], {}, 'softmax', None,"
        " LinearParameters(weight, bias))\n"
        "    model.save(sys.argv[1])\n"
        "    print(turn, flush=True)\n"
    )
    turns = []
    for delay in np.random.default_rng(0).uniform(0, 0.02, 12):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "m")], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            load(tmp_path / "m")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        turns.append(load(tmp_path / "m").classes[0])
    assert all(turn >= 0 for turn in turns)


# --- what is no model ------------------------------------------------------------------------


def test_a_path_that_is_not_a_model_is_never_replaced(tmp_path):
    """Files, folders of other things and models with something added are refused and kept."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "bert"}')
    for name in ("file", "folder", "hf"):
        with pytest.raises(FileExistsError, match=f"{name} exists and is not a model"):
            _text_model().save(tmp_path / name)
    _text_model().save(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds 'notes.txt' besides a model"):
        check_output(tmp_path / "m")
    assert "mine" == (tmp_path / "m" / "notes.txt").read_text() == (tmp_path / "file").read_text()


@pytest.mark.parametrize("ending", ["new", "old"])
def test_neighbours_with_the_names_in_use_are_kept(ending, tmp_path):
    """A foreign PATH.new or PATH.old is refused, not deleted."""
    (tmp_path / f"m.{ending}").mkdir()
    (tmp_path / f"m.{ending}" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=rf"m\.{ending} is needed while a model is written"):
        _text_model().save(tmp_path / "m")
    assert ["notes.txt"] == os.listdir(tmp_path / f"m.{ending}")


def test_a_missing_parent_folder_is_named(tmp_path):
    """The folder that a model should stand in has to exist."""
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; make it first"):
        check_output(tmp_path / "missing" / "m")


def test_loading_what_is_no_model_says_so(tmp_path):
    """A missing path, a file, and a folder without a config each have their message."""
    with pytest.raises(FileNotFoundError, match="m: there is no model; `eitheror train FILE -o"):
        load(tmp_path / "m")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file: not a model: a model is a folder"):
        load(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: not a model: config.json is missing"):
        load(tmp_path / "empty")


# --- damage ----------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path) -> Path:
    """Return the folder of a small sparse text model."""
    _text_model("sparse", "ova").save(tmp_path / "m")
    return tmp_path / "m"


def _rewrite(folder: Path, arrays: dict, *, describe: bool = True) -> None:
    """Replace the tensors and make the config agree, as a careful forger would."""
    file = folder / "model.safetensors"
    save_file(arrays, file)
    config = json.loads((folder / "config.json").read_text())
    config |= {"tensors_bytes": file.stat().st_size, "tensors_sha256": _sha256(file)}
    if describe:
        config["tensors"] = {
            name: {"dtype": str(a.dtype), "shape": list(a.shape)} for name, a in arrays.items()
        }
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], r"model\.safetensors: cut short: \d+ bytes, \d+ were written"),
        (lambda data: b"", r"model\.safetensors: cut short: 0 bytes"),
        (lambda data: data + b"x", r"model\.safetensors: too long"),
        (lambda data: data[:-1] + b"\x55", r"model\.safetensors: its SHA-256 is not the one"),
    ],
)
def test_a_changed_tensors_file_is_refused(damage, message, saved):
    """A truncated, over-long or changed file is named with what is wrong."""
    file = saved / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=message):
        load(saved)


def test_a_missing_tensors_file_is_named(saved):
    """Half a model folder says which half is missing."""
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors: the file is missing"):
        load(saved)


@pytest.mark.parametrize("describe", [True, False])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bias", None, "bias: the array is missing"),
        ("extra", lambda a: np.zeros(1, np.float32), "extra: "),
        ("bias", lambda a: a[:-1], "bias: float32 of shape .2,?. came"),
        ("bias", lambda a: np.append(a, a), "bias: float32 of shape .6,?. came"),
        ("bias", lambda a: a.astype(np.float64), "bias: float64 of shape .3,?. came"),
        ("bias", lambda a: a.astype(np.float16), "bias: "),
        ("weight.values", lambda a: a[:-1], r"weight\.values: float32 of shape"),
        ("weight.indices", lambda a: a[:-1], r"weight\.indices: uint16 of shape"),
        ("weight.indptr", lambda a: a[:-1], r"weight\.indptr: int64 of shape"),
        ("text.idf", lambda a: a[:-1], r"(text\.)?idf"),
        ("text.words.bytes", lambda a: a[:-1], r"words\.bytes"),
    ],
)
def test_forged_tensors_of_wrong_shape_are_refused(name, change, message, describe, saved):
    """Missing, unknown, short, long and mistyped arrays are named, whatever the config says."""
    arrays = load_file(saved / "model.safetensors")
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays.get(name))
    _rewrite(saved, arrays, describe=describe)
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{message}"):
        load(saved)


def _with(array: np.ndarray, place: int, value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bias", lambda a: _with(a, 0, np.nan), "bias: a value is nan or infinite"),
        ("weight.values", lambda a: _with(a, 0, np.inf), "weight.values: a value is nan or inf"),
        ("weight.indices", lambda a: _with(a, 0, 3), r"weight.indices: a class outside 0 \.\. 2"),
        ("weight.indptr", lambda a: _with(a, 1, -1), "weight.indptr: not a rising list"),
        ("weight.indptr", lambda a: a + 1, "weight.indptr: not a rising list"),
        ("text.ngrams.buckets", lambda a: _with(a, 0, -1), "a bucket outside"),
        ("text.words.lengths", lambda a: _with(a, 0, -5), "a length outside"),
    ],
)
def test_forged_values_out_of_range_are_refused(name, change, message, saved):
    """Numbers that no training can have written are refused before anything is indexed."""
    arrays = load_file(saved / "model.safetensors")
    arrays[name] = change(arrays[name])
    _rewrite(saved, arrays)
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{message}"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not a model of eitheror"),
        ({"format_version": 99}, "format version 99; this eitheror reads version 1"),
        ({"classes": None}, "classes: None came"),
        ({"classes": ["a", "a", "b"]}, "classes: 'a' stands there twice"),
        ({"classes": ["a", "b", 1.5]}, "classes: 1.5 came; a name is a str or an int"),
        ({"task": "both"}, "task: 'both' came"),
        ({"loss": "hinge"}, "loss: 'hinge' came"),
        ({"family": "tree"}, "family: 'tree' came"),
        ({"featurizer": 3}, "featurizer: an object or null was expected"),
        ({"decision": []}, "decision: an object or null was expected"),
        ({"options": None}, "options: an object was expected"),
        ({"tensors": []}, "tensors: an object was expected"),
        ({"feature_names": [1]}, r"feature_names: \[1\] came"),
    ],
)
def test_wrong_config_entries_are_named(changes, message, saved):
    """The error names config.json and the entry."""
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        load(saved)


@pytest.mark.parametrize("key", ["task", "classes", "loss", "decision", "featurizer"])
def test_missing_config_entries_are_named(key, saved):
    """The error names the entry that is missing."""
    config = json.loads((saved / "config.json").read_text())
    del config[key]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"config\.json: {key}: the entry is missing"):
        load(saved)


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "[" * 100_000, "\xff", "[]"])
def test_a_config_that_is_no_json_object_is_refused(text, saved):
    """Cut, nested or foreign JSON is refused with the file's name."""
    (saved / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"config\.json: not "):
        load(saved)


def test_the_config_tells_nothing_about_the_run(saved):
    """The config holds no path, time or thread count; its keys are sorted."""
    text = (saved / "config.json").read_text()
    assert str(saved.parent) not in text
    keys = list(json.loads(text))
    assert sorted(keys) == keys


def test_loading_and_predicting_a_few_lines_does_not_start_numba(saved):
    """A model loads and predicts a short input without Numba."""
    program = (
        "import sys\n"
        "from eitheror.model import load\n"
        "assert (1, 3) == load(sys.argv[1]).predict_proba(['the app']).shape\n"
        "assert 'numba' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(saved)], check=True)
