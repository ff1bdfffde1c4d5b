import io
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save

from eitheror import decide
from eitheror._kernels.rows import Rows
from eitheror.model import (
    LinearParameters,
    Model,
    SparseWeight,
    check_output,
    load,
)
from eitheror.model.storage import write_tensors
from models import MODELS, TEXTS, file_bytes, number_model, text_model

# --- predicting ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["embedding", "linear", "sparse"])
def test_logits_equal_the_formula(family):
    """Logits are the documented product of the dense rows and the parameters, in float64."""
    model = text_model(family)
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
    model = text_model(family, "ova")
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
    meanings = [text_model("linear", loss).proba_meaning for loss in ("softmax", "ova", "pal-n")]
    assert ["probabilities", "marginals", "shares"] == meanings


def test_numbers_are_standardised():
    """Dense, sparse and `Rows` inputs give ((x - mean) / scale) @ weight + bias."""
    sparse = pytest.importorskip("scipy.sparse")
    model = number_model()
    expected = [[1 + 0.5, -1 + 4.0]]
    assert expected == model.decision_function([[1e6 + 1, 4.0]]).tolist()
    X = sparse.csr_array([[0.0, 4.0]])
    np.testing.assert_allclose([[0.5 - 1e6, 4 + 1e6]], model.decision_function(X))
    np.testing.assert_allclose(
        [[0.5 - 1e6, 4 + 1e6]], model.decision_function(Rows.from_dense([[0.0, 4.0]]))
    )


def test_no_rows_give_an_empty_matrix():
    """No texts, and a table without rows, give a (0, n_classes) matrix."""
    assert (0, 3) == text_model().predict_proba([]).shape
    model = text_model("linear", "ova")
    assert [] == model.named(np.zeros((0, 3), bool)) == model.named(np.zeros(0, int))
    assert (0, 2) == model.predict_top([], 2, n_jobs=2)[0].shape
    assert (0, 2) == number_model().predict_proba(np.zeros((0, 2))).shape


@pytest.mark.parametrize(
    ("model", "inputs", "error", "message"),
    [
        (text_model, "one text", TypeError, r"write \[text\]"),
        (text_model, np.eye(2), TypeError, "the model reads texts: pass a list of str"),
        (text_model, ["a", 1.5], TypeError, "row 1: 1.5 is a float"),
        (number_model, ["a b"], TypeError, "the model reads numbers"),
        (number_model, [[1.0]], ValueError, "inputs have 1 features; .* trained on 2"),
        (number_model, [1.0, 2.0], ValueError, r"one row is X.reshape\(1, -1\)"),
        (number_model, [[1.0, np.nan]], ValueError, "row 0, feature 1 is nan"),
    ],
)
def test_wrong_inputs_are_refused(model, inputs, error, message):
    """The error says what came and what the model reads."""
    with pytest.raises(error, match=message):
        model().predict_proba(inputs)


def test_errors_count_rows_from_the_first_input():
    """The row in an error is the row of the whole input, however it was cut for prediction."""
    with pytest.raises(ValueError, match="row 5000: the text holds"):
        text_model().predict_proba(["fine"] * 5000 + ["\ud83d"])


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    """A nan weight is refused before anything is written."""
    model = text_model()
    model.parameters.bias[0] = np.nan
    with pytest.raises(ValueError, match="bias: a value is nan or infinite"):
        model.save(tmp_path / "m")
    assert [] == list(tmp_path.iterdir())


def test_the_default_rule_follows_task_and_loss():
    """Argmax for one class, .5 for marginals, the largest share for shares."""
    rules = [text_model("linear", loss).rule() for loss in ("softmax", "ova", "pal")]
    assert [decide.Argmax(), decide.Threshold(0.5), decide.TopK(1)] == rules


def test_predict_decides_the_probabilities():
    """`predict` is `decide` of `predict_proba`, and `classes_` the class list."""
    model = text_model()
    assert model.decide(model.predict_proba(TEXTS)) == model.predict(TEXTS)
    assert model.classes == model.classes_


def test_decide_names_the_classes():
    """Decisions are lists of class names, one where one class is true."""
    proba = np.array([[0.2, 0.5, 0.3], [0.9, 0.6, 0.1]])
    assert [["billing"], ["bug"]] == text_model().decide(proba)
    model = text_model("linear", "ova")
    model.set_decision(decide.Threshold(0.3))
    assert [["billing", "help"], ["bug", "billing"]] == model.decide(proba)


def test_calibration_is_applied_and_makes_marginals(tmp_path):
    """A calibrated model predicts transformed numbers, before and after a round trip."""
    model = text_model(loss="pol")
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
    model = text_model(loss="pol")
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
    fine = vars(text_model())
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
    assert file_bytes(tmp_path / "a.model") == file_bytes(tmp_path / "b.model")
    assert {"config.json", "model.safetensors"} == set(file_bytes(tmp_path / "a.model"))
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
    text_model("sparse").save(tmp_path / "m")
    names = set(load_file(tmp_path / "m" / "model.safetensors"))
    assert {"weight.indptr", "weight.indices", "weight.values"} < names
    assert isinstance(load(tmp_path / "m").parameters.weight, SparseWeight)


def test_both_files_are_readable_alike(tmp_path):
    """The tensors are no more private than the config."""
    text_model().save(tmp_path / "m")
    modes = {file.name: file.stat().st_mode for file in (tmp_path / "m").iterdir()}
    assert modes["config.json"] == modes["model.safetensors"]


def test_saving_replaces_a_model(tmp_path):
    """The new model takes the name; nothing of the old one is left."""
    text_model().save(tmp_path / "m")
    number_model().save(tmp_path / "m")
    assert [3, 7] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    """Saving to a symbolic link replaces the model that it points to."""
    text_model().save(tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    number_model().save(tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert [3, 7] == load(tmp_path / "v1").classes


# --- crashes ---------------------------------------------------------------------------------


def test_load_and_save_recover_from_a_crash_between_the_renames(tmp_path):
    """With the old model moved away and the new one complete, the new one is read and kept."""
    text_model().save(tmp_path / "m.old")
    number_model().save(tmp_path / "m.new")
    assert [3, 7] == load(tmp_path / "m").classes
    check_output(tmp_path / "m")
    text_model(classes=("x", "y", "z")).save(tmp_path / "m")
    assert ["x", "y", "z"] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_crash_before_the_first_rename_leaves_the_old_model(tmp_path):
    """Half of a new model beside the old one is ignored, and removed by the next save."""
    text_model().save(tmp_path / "m")
    (tmp_path / "m.new").mkdir()
    (tmp_path / "m.new" / "model.safetensors").write_bytes(b"half")
    assert ["bug", "billing", "help"] == load(tmp_path / "m").classes
    number_model().save(tmp_path / "m")
    assert [3, 7] == load(tmp_path / "m").classes
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_crash_during_the_first_save_leaves_no_model(tmp_path):
    """Half of a first model is no model."""
    (tmp_path / "m.new").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no model"):
        load(tmp_path / "m")


def test_a_crash_before_the_old_one_is_removed_is_harmless(tmp_path):
    """The new model is read; the next save removes what is left of the old one."""
    number_model().save(tmp_path / "m")
    text_model().save(tmp_path / "m.old")
    assert [3, 7] == load(tmp_path / "m").classes
    number_model().save(tmp_path / "m")
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


@pytest.mark.slow
def test_kill_at_any_moment_leaves_a_whole_model(tmp_path):
    """Killed while it replaces a model over and over, a writer leaves one that loads."""
    program = (
        "import sys, numpy as np\n"
        "from eitheror.model import LinearParameters, Model\n"
        "weight, bias = np.ones((50_000, 2), np.float32), np.zeros(2, np.float32)\n"
        "for turn in range(int(sys.argv[2]), 1 << 40):\n"
        "    model = Model('multiclass', [turn, -1], {}, 'softmax', None,"
        " LinearParameters(weight, bias))\n"
        "    model.save(sys.argv[1])\n"
        "    print(turn, flush=True)\n"
    )
    for number, delay in enumerate(np.random.default_rng(0).uniform(0, 0.02, 12)):
        first = number * 1_000_000
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "m"), str(first)],
            stdout=subprocess.PIPE,
        )
        assert f"{first}\n".encode() == writer.stdout.readline()
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            load(tmp_path / "m")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert first <= load(tmp_path / "m").classes[0] < first + 1_000_000


def test_what_a_killed_safetensors_left_is_removed(tmp_path):
    """A temporary file in MODEL.new does not stop the next save."""
    (tmp_path / "m.new").mkdir()
    (tmp_path / "m.new" / ".tmpAb12Cd").write_bytes(b"half")
    check_output(tmp_path / "m")
    number_model().save(tmp_path / "m")
    assert ["m"] == sorted(entry.name for entry in tmp_path.iterdir())


# --- what is no model ------------------------------------------------------------------------


def test_a_path_that_is_not_a_model_is_never_replaced(tmp_path):
    """Files, folders of other things and models with something added are refused and kept."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "bert"}')
    for name in ("file", "folder", "hf"):
        with pytest.raises(FileExistsError, match=f"{name} exists and is not a model"):
            text_model().save(tmp_path / name)
    text_model().save(tmp_path / "m")
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
        text_model().save(tmp_path / "m")
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


def test_arrays_are_written_as_the_package_writes_them():
    """Every type, empty arrays and single numbers: the bytes are those of safetensors."""
    names = "bool uint8 int8 int16 uint16 float16 int32 uint32 float32 float64 int64 uint64"
    tensors = {f"{name} é": np.arange(6).reshape(2, 3).astype(name) for name in names.split()}
    tensors |= {"none": np.empty((0, 4), np.float32), "one": np.array(2.0)}
    for header in (None, {"format": 'a "quoted" word'}):
        stream = io.BytesIO()
        write_tensors(stream, tensors, header)
        assert save(tensors, header) == stream.getvalue()


def test_saving_copies_no_table(tmp_path):
    """A table of 8 MB is written from where it stands."""
    parameters = LinearParameters(np.ones((1_000_000, 2), np.float32), np.zeros(2, np.float32))
    model = Model("multiclass", ["a", "b"], {}, "softmax", None, parameters)
    tracemalloc.start()
    try:
        model.save(tmp_path / "m")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < parameters.weight.nbytes / 2
