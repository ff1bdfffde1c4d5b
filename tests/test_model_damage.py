"""Damaged, forged and tuned models: what loading refuses, and what it says."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from eitheror import decide
from eitheror.model import LinearParameters, Model, load
from eitheror.model.storage import _sha256
from models import CLASSES, MODELS, TEXTS, text_model


@pytest.fixture
def saved(tmp_path) -> Path:
    """Return the folder of a small sparse text model."""
    text_model("sparse", "ova").save(tmp_path / "m")
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


def _forge(folder: Path, data: bytes) -> None:
    """Write other bytes as tensors, with a config that says so."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").write_bytes(data)
    config |= {"tensors_bytes": len(data), "tensors_sha256": hashlib.sha256(data).hexdigest()}
    (folder / "config.json").write_text(json.dumps(config))


def _split(data: bytes) -> tuple[dict, bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _joined(header: object, rest: bytes, pad: int = 0) -> bytes:
    words = json.dumps(header).encode() + b" " * pad
    return len(words).to_bytes(8, "little") + words + rest


def _with(**entry: object):
    """Return what changes the header's entry of the bias."""

    def change(data: bytes) -> bytes:
        header, rest = _split(data)
        return _joined(header | {"bias": header["bias"] | entry}, rest)

    return change


@pytest.mark.parametrize(
    "forge",
    [
        lambda data: data[:5],
        lambda data: (2**60).to_bytes(8, "little") + data[8:],
        lambda data: _joined([], b""),
        lambda data: data.replace(b"{", b"[", 1),
        lambda data: _joined({"bias": 3}, b""),
        lambda data: data + b"x",
        lambda data: data[:-4],
        _with(data_offsets=[0, 2**40]),
        _with(data_offsets=[-8, 0]),
        _with(data_offsets=[0]),
        _with(shape=[-1, -3]),
        _with(shape=[2.5]),
        _with(shape=[2**70]),
        _with(dtype=["F32"]),
        _with(shape="3"),
        _with(shape={}),
        _with(shape=[1] * 65),
        _with(other=1),
    ],
)
def test_a_forged_header_is_refused(forge, saved):
    """A file of tensors whose header does not describe its bytes is no safetensors file."""
    _forge(saved, forge((saved / "model.safetensors").read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file"):
        load(saved)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "BF16", "shape": [6]}, "bias: BF16 is no type of the arrays of a model"),
        ({"dtype": "F32", "shape": [2**70, 0]}, "not a safetensors file: shape"),
        ({"dtype": "F32", "shape": [2**40, 2**40, 0]}, "not a safetensors file: shape"),
    ],
)
def test_arrays_that_numpy_cannot_hold_are_refused(entry, message, saved):
    """A type or shape that config and header agree on is still one that a model can have."""
    config = json.loads((saved / "config.json").read_text())
    header, rest = _split((saved / "model.safetensors").read_bytes())
    begin, end = header["bias"]["data_offsets"]
    if 0 in entry["shape"]:  # the bytes of the bias go to nobody
        rest = rest[:begin] + rest[end:]
        for other in header.values():
            cut = end - begin if other["data_offsets"][0] >= end else 0
            other["data_offsets"] = [place - cut for place in other["data_offsets"]]
        end = begin
    header["bias"] = entry | {"data_offsets": [begin, end]}
    name = {"F32": "float32"}.get(entry["dtype"], entry["dtype"])
    config["tensors"]["bias"] = {"dtype": name, "shape": entry["shape"]}
    (saved / "config.json").write_text(json.dumps(config))
    _forge(saved, _joined(header, rest))
    with pytest.raises(ValueError, match=rf"model\.safetensors: {message}"):
        load(saved)


def test_what_other_programs_write_is_read(saved):
    """Notes in the header, any padding and arrays in another order give the same model."""
    expected = load(saved)
    header, rest = _split((saved / "model.safetensors").read_bytes())
    moved, parts, place = {"__metadata__": {"by": "hand"}}, [], 0
    for name, entry in reversed(header.items()):
        begin, end = entry["data_offsets"]
        parts.append(rest[begin:end])
        moved[name] = entry | {"data_offsets": [place, place + end - begin]}
        place += end - begin
    _forge(saved, _joined(moved, b"".join(parts), pad=3))
    found = load(saved)
    assert expected.predict_proba(TEXTS).tolist() == found.predict_proba(TEXTS).tolist()
    for name, array in expected.parameters.tensors().items():
        assert array.tolist() == found.parameters.tensors()[name].tolist()


def test_a_file_of_several_parts_is_read_whole(tmp_path):
    """A file larger than what is read and hashed at a time comes back to the last number."""
    weight = np.arange(3_000_000, dtype=np.float32).reshape(-1, 2)
    model = Model(
        "multiclass", ["a", "b"], {}, "softmax", None, LinearParameters(weight, weight[0])
    )
    model.save(tmp_path / "m")
    assert np.array_equal(weight, load(tmp_path / "m").parameters.weight)


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


@pytest.mark.parametrize("family", ["embedding", "numbers"])
def test_a_single_number_is_no_table(family, tmp_path):
    """An array without sides is refused like any other of a wrong shape."""
    MODELS[family]().save(tmp_path / "m")
    arrays = load_file(tmp_path / "m" / "model.safetensors")
    _rewrite(tmp_path / "m", arrays | {"weight": np.array(1.0, np.float32)})
    with pytest.raises(
        ValueError, match=r"model\.safetensors: (weight|embedding|mean|scale): float"
    ):
        load(tmp_path / "m")


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
        ({"loss": "softmax"}, "loss: 'softmax' is not for task 'multilabel'"),
        ({"calibration": {"calibration": "logistic", "coefficients": [0, 1, 0, 0]}}, "not a calib"),
        ({"calibration": {"calibration": "logistic", "coefficients": 4}}, "not a calibration"),
        ({"decision": {"rule": ["top_k"]}}, "decision: unknown decision rule"),
        ({"decision": {"rule": "magic"}}, "decision: unknown decision rule 'magic'"),
        ({"decision": {"rule": "argmax"}}, "decision: argmax is for one true class"),
        ({"decision": {"rule": "top_k", "k": "x"}}, "decision: "),
        (
            {
                "decision": {
                    "rule": "tuned_threshold",
                    "metric": "f1_micro",
                    "per_class": True,
                    "at_least_one": False,
                    "min_present": 0,
                    "threshold": [0.5],
                    "score_on_file": 1.0,
                }
            },
            "decision: the rule does not fit 3 classes",
        ),
    ],
)
def test_wrong_config_entries_are_named(changes, message, saved):
    """The error names config.json and the entry."""
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"char_ngrams": [3, "x"]}, r"char_ngrams\[1\]='x'"),
        ({"bucket": 2**26 + 1}, "bucket=67108865: expected a whole number, 1 to 67108864"),
        ({"colour": 1}, ".* were expected"),
    ],
)
def test_wrong_text_options_are_named(changes, message, saved):
    """The error names config.json, the featurizer and the option."""
    config = json.loads((saved / "config.json").read_text())
    config["featurizer"] |= changes
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"config\.json: featurizer: {message}"):
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


@pytest.mark.parametrize("per_class", [False, True])
def test_a_tuned_model_decides_as_it_was_scored(per_class, tmp_path, capsys):
    """Decisions of the saved model on the tuning rows have the score that tune reports."""
    from eitheror.cli._tune import TagFlags, tune

    text_model("linear", "ova").save(tmp_path / "m")
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS * 3)]
    truth = np.random.default_rng(1).random((len(texts), 3)) < 0.4
    lines = [
        json.dumps({"text": text, "tags": [n for n, on in zip(CLASSES, row, strict=True) if on]})
        for text, row in zip(texts, truth.tolist(), strict=True)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    flags = TagFlags(metric="f1_micro", per_class=per_class)
    tune(tmp_path / "m", tmp_path / "rows.jsonl", tags=flags, as_json=True)
    report = json.loads(capsys.readouterr().out)
    model = load(tmp_path / "m")
    chosen = model.rule().predict(model.predict_proba(texts))
    assert report["score_on_file"] == decide.score_decision("f1_micro", truth.astype(float), chosen)
