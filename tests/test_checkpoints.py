"""Work is never lost: damaged checkpoints, full disks, locked folders, Ctrl-C and kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from eitheror.cli import main
from eitheror.labels import Labels
from eitheror.model import load
from eitheror.training import Checkpoint, TrainOptions, fit
from eitheror.training.checkpoint import load_state, save_state

TEXTS = [f"{'red apple' if k % 2 else 'blue sky'} w{k % 7} w{k % 11}" for k in range(60)]
NAMES = ["fruit" if k % 2 else "air" for k in range(60)]
LABELS = Labels(NAMES)
OPTIONS = TrainOptions(epochs=3)


def folder_bytes(path: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint that `fit` wrote."""
    checkpoint = Checkpoint(tmp_path_factory.mktemp("c"))
    fit(TEXTS, LABELS, OPTIONS, checkpoint=checkpoint)
    return checkpoint.file.read_bytes()


def resumed_from(data: bytes) -> None:
    """Try to go on from a checkpoint of these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(folder)
        checkpoint.file.write_bytes(data)
        fit(TEXTS, LABELS, OPTIONS, checkpoint=checkpoint, resume=True)


# --- damage ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.data())
def test_every_damaged_byte_is_found(written: bytes, data: st.DataObject) -> None:
    """A checkpoint with any byte turned is refused; the error names the file and what to do."""
    place = data.draw(st.integers(0, len(written) - 1))
    turned = written[:place] + bytes([written[place] ^ 0xFF]) + written[place + 1 :]
    with pytest.raises(ValueError, match=r"state.safetensors: .*delete the folder"):
        resumed_from(turned)


@settings(max_examples=20)
@given(st.data())
def test_every_cut_is_found(written: bytes, data: st.DataObject) -> None:
    """A checkpoint that is cut short anywhere is refused."""
    length = data.draw(st.integers(0, len(written) - 1))
    with pytest.raises(ValueError, match=r"no readable checkpoint.*delete the folder"):
        resumed_from(written[:length])


def test_every_kind_of_array_comes_back(tmp_path: Path) -> None:
    """Arrays of every dtype and shape, empty ones and turned ones too, are read as they were."""
    kinds = "float16 float32 float64 bool uint8 int8 uint16 int16 uint32 int32 uint64 int64"
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind).T for kind in kinds.split()}
    arrays |= {"none": np.zeros((0, 4)), "one": np.float32([[[7]]]), "number": np.array(3.5)}
    save_state(Checkpoint(tmp_path), arrays, {"fingerprint": "x", "epoch": 2})
    found, facts = load_state(Checkpoint(tmp_path), "x", arrays)
    assert {"fingerprint": "x", "epoch": 2} == facts
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (found[name].dtype, found[name].shape)
        assert array.tolist() == found[name].tolist()


def test_other_files_are_no_checkpoints(tmp_path: Path, written: bytes) -> None:
    """A text, and somebody else's safetensors file, are refused by name; the model stays."""
    model = tmp_path / "m"
    fit(TEXTS, LABELS, OPTIONS).save(model)
    before = folder_bytes(model)
    foreign = tmp_path / "foreign"
    save_file({"x": np.zeros(3, np.float32)}, foreign, metadata={"format": "pt"})
    for data, message in (
        (b"not a checkpoint at all", "no readable checkpoint"),
        (foreign.read_bytes(), "no checkpoint of this version"),
        (written.replace(b"eitheror-checkpoint-2", b"eitheror-checkpoint-1"), "no checkpoint of"),
    ):
        with pytest.raises(ValueError, match=message):
            resumed_from(data)
    assert before == folder_bytes(model)


@pytest.mark.parametrize("other", [{"epochs": 4}, {"seed": 1}, {"lr": 0.3}])
def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    """The error says that data or options differ, and the checkpoint stays for the right ones."""
    checkpoint = Checkpoint(tmp_path)
    fit(TEXTS, LABELS, OPTIONS, checkpoint=checkpoint)
    before = checkpoint.file.read_bytes()
    changed = TrainOptions(**({"epochs": 3} | other))
    with pytest.raises(ValueError, match="written with other data or options"):
        fit(TEXTS, LABELS, changed, checkpoint=checkpoint, resume=True)
    assert before == checkpoint.file.read_bytes()


def test_a_half_written_new_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """What a writer left that died before the rename changes nothing."""
    whole = fit(TEXTS, LABELS, OPTIONS)
    checkpoint = Checkpoint(tmp_path)
    fit(TEXTS, LABELS, OPTIONS, checkpoint=checkpoint)
    (tmp_path / "state.safetensors.new").write_bytes(b"half")
    resumed = fit(TEXTS, LABELS, OPTIONS, checkpoint=checkpoint, resume=True)
    assert whole.decision_function(TEXTS).tobytes() == resumed.decision_function(TEXTS).tobytes()


# --- how often ------------------------------------------------------------------------------


def test_time_decides_when_but_not_what(tmp_path: Path) -> None:
    """Checkpoints by time: all epochs, or the last alone; the model is the same."""

    def epochs_kept(name: str, seconds: float) -> tuple[list[bool], bytes]:
        checkpoint = Checkpoint(tmp_path / name, seconds=seconds)
        kept: list[bool] = []
        model = fit(
            TEXTS,
            LABELS,
            OPTIONS,
            checkpoint=checkpoint,
            progress=lambda event: kept.append(checkpoint.exists()),
        )
        return kept, model.decision_function(TEXTS).tobytes()

    always, rarely = epochs_kept("a", 0.0), epochs_kept("b", 1e9)
    assert ([True] * 3, [False, False, True]) == (always[0], rarely[0])
    assert always[1] == rarely[1]
    with pytest.raises(ValueError, match="seconds: expected 0 or more"):
        Checkpoint(tmp_path, seconds=-1.0)


@pytest.mark.parametrize(
    ("every", "message"), [("often", "--checkpoint-every often"), ("0", "every 0 epochs")]
)
def test_the_command_refuses_other_intervals(tmp_path: Path, every: str, message: str) -> None:
    """A number of passes or a time is wanted; the error shows both."""
    write_rows(tmp_path / "rows.jsonl")
    result = command(tmp_path, "train", "rows.jsonl", "-o", "m", "--checkpoint-every", every)
    assert (2, True) == (result.returncode, message in result.stderr), result.stderr


@pytest.mark.parametrize("features", ["tfidf", "embedding"])
def test_a_long_pass_is_made_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    """Between the pieces of a pass progress is told and a checkpoint can be written and resumed."""
    monkeypatch.setattr("eitheror.training.loop._PIECE", 40)
    monkeypatch.setattr("eitheror.training.stream_pace._EVERY", 0.0)
    options = TrainOptions(features=features, epochs=3, optimizer="sgd", lr=1.0)
    told: list[dict[str, Any]] = []
    whole = fit(TEXTS, LABELS, options, progress=told.append)
    rows = [event["rows"] for event in told if event["event"] == "rows"]
    assert rows == sorted(rows[: len(rows) // 3]) * 3
    assert (60, True) == (max(rows), len(set(rows)) > 2)
    checkpoint = Checkpoint(tmp_path, seconds=0.0)

    class Killed(Exception):
        pass

    def kill(event: dict[str, Any]) -> None:
        if event["event"] == "rows" and checkpoint.exists() and kill_at.pop() == 0:
            raise Killed

    for moment in (1, 4, 6):  # the first within a pass
        kill_at = list(range(moment + 1))
        with pytest.raises(Killed):
            fit(TEXTS, LABELS, options, checkpoint=checkpoint, resume=True, progress=kill)
    resumed = fit(TEXTS, LABELS, options, checkpoint=checkpoint, resume=True)
    assert whole.options == resumed.options
    assert whole.decision_function(TEXTS).tobytes() == resumed.decision_function(TEXTS).tobytes()


# --- full disks and locked folders ----------------------------------------------------------


def write_rows(path: Path) -> None:
    """The rows as a JSONL file."""
    said = zip(TEXTS, NAMES, strict=True)
    path.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in said))


def command(folder: Path, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in its own process, in that folder, after some lines of Python."""
    code = f"import sys\nfrom eitheror.cli import main\n{before}\nsys.exit(main({list(words)!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


@pytest.mark.parametrize("keeps", [False, True], ids=["model", "checkpoint"])
def test_a_full_disk_leaves_the_old_model(tmp_path: Path, keeps: bool) -> None:
    """Where a file cannot grow, the error says so; model and checkpoint are as they were."""
    pytest.importorskip("resource")
    write_rows(tmp_path / "rows.jsonl")
    words = ["train", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "m")]
    words += ["--checkpoint-every", "1"] if keeps else []
    assert 0 == main(words)
    before = {name: folder_bytes(tmp_path / name) for name in ("m", "m.checkpoint")[: 1 + keeps]}
    result = command(tmp_path, *words, "--epoch", "2", before=FULL.format(size=500))
    what = "the checkpoint was not written" if keeps else "the model was not written"
    assert (2, 1) == (result.returncode, result.stderr.count("\n")), result.stderr
    assert what in result.stderr
    assert "File too large" in result.stderr
    after = {name: folder_bytes(tmp_path / name) for name in before}
    assert before == after
    assert {"m", "rows.jsonl", *before} == {entry.name for entry in tmp_path.iterdir()}


# Root may write everywhere, so the child becomes nobody once what it needs is loaded and compiled.
NOBODY = """
import os
main(["train", "rows.jsonl", "-o", "warm"])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="folders are not locked by their mode here")
@pytest.mark.parametrize("more", [[], ["--checkpoint-every", "1"]], ids=["model", "checkpoint"])
def test_a_locked_folder_is_named_before_any_work(more: list[str]) -> None:
    """Where the folder cannot be written to, training does not begin; the model stays."""
    with tempfile.TemporaryDirectory() as name:
        folder, locked = Path(name), Path(name) / "locked"
        folder.chmod(0o755)
        write_rows(folder / "rows.jsonl")
        locked.mkdir()
        assert 0 == main(["train", str(folder / "rows.jsonl"), "-o", str(locked / "m")])
        before = folder_bytes(locked / "m")
        locked.chmod(0o555)
        words = ["train", "rows.jsonl", "-o", "locked/m", *more]
        result = command(folder, *words, before=NOBODY)
        locked.chmod(0o755)
        assert 2 == result.returncode, result.stderr
        assert "cannot be written to" in result.stderr
        assert "Traceback" not in result.stderr
        assert before == folder_bytes(locked / "m")


def test_a_checkpoint_folder_that_is_a_file_is_named(tmp_path: Path, capsys: Any) -> None:
    """What stands where the folder should be is left alone."""
    write_rows(tmp_path / "rows.jsonl")
    (tmp_path / "m.checkpoint").write_text("mine")
    words = ["train", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "m")]
    assert 2 == main([*words, "--checkpoint-every", "1"])
    assert "m.checkpoint: File exists" in capsys.readouterr().err
    assert "mine" == (tmp_path / "m.checkpoint").read_text()


# --- Ctrl-C and kill -9 ---------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """An interrupted training ends with code 130 and no traceback, and names its checkpoint."""
    write_rows(tmp_path / "rows.jsonl")
    words = ["train", "rows.jsonl", "-o", "m", "--epoch", "1000000", "--checkpoint-every", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "eitheror", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a script, its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "m.checkpoint" / "state.safetensors").exists():
        with pytest.raises(subprocess.TimeoutExpired):  # it is still training
            process.wait(timeout=0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert 130 == process.returncode, error
    assert "finished passes are in m.checkpoint; the same command with --resume goes on" in error
    assert "interrupted" == error.splitlines()[-1]
    assert "Traceback" not in error


# After each pass the child waits to be told to go on: however long this process is kept from the
# processor, the child is never more than a pass ahead, and is killed before it is done.
CHILD = """
import json, sys
from eitheror.labels import Labels
from eitheror.training import Checkpoint, TrainOptions, fit
def told(event):
    if event["event"] == "epoch":
        print(event["epoch"], flush=True)
        sys.stdin.readline()
texts, names, options, n_jobs = json.load(open("job.json"))
fit(texts, Labels(names), TrainOptions(**options), n_jobs=n_jobs, checkpoint=Checkpoint("c"),
    resume=True, progress=told).save("m")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tfidf", "embedding", "halves"])
def test_kill_9_five_times_and_the_same_bytes(tmp_path: Path, kind: str) -> None:
    """A run that is killed five times, and resumed each time, ends in the undisturbed bytes."""
    options: dict[str, Any] = {"features": kind, "epochs": 30, "patience": 25}
    texts = TEXTS
    if kind == "halves":  # long enough for two threads; the run that nobody kills has one
        options |= {"features": "embedding", "dim": 100}
        texts = [f"{text} " * 10 for text in TEXTS]
    fit(texts, LABELS, TrainOptions(**options)).save(tmp_path / "whole")
    (tmp_path / "job.json").write_text(json.dumps([texts, NAMES, options, 2]))
    random, begun = np.random.default_rng(), 0
    for _ in range(5):
        last = begun + int(random.integers(1, 5))
        with subprocess.Popen(
            [sys.executable, "-c", CHILD],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for epoch in map(int, process.stdout):
                begun = epoch
                process.stdin.write("go on\n")
                if epoch >= last:
                    break
            with contextlib.suppress(subprocess.TimeoutExpired):  # some moment of the next pass
                process.wait(random.uniform(0.0, 0.01))
            process.kill()
        assert -signal.SIGKILL == process.returncode
    subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert folder_bytes(tmp_path / "whole") == folder_bytes(tmp_path / "m")
    assert 2 == len(load(tmp_path / "m").classes)
