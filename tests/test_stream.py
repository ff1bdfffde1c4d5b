"""`fit_files`: the same model whatever the memory, a cache that is right or rebuilt, clear ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eitheror as eo
from eitheror.cli import main
from eitheror.labels import DataError
from eitheror.model import Model
from eitheror.training import (
    CacheDamagedError,
    Checkpoint,
    MemoryLimitError,
    TrainOptions,
    fit,
    fit_files,
    stream_store,
)
from eitheror.training.embedding import EmbeddingTrainer
from eitheror.training.options import resolve
from eitheror.training.stream_budget import memory_limit, model_bytes
from eitheror.training.stream_cache import building

CLASSES = ["bread", "fish", "sweet"]
EMBEDDING = TrainOptions(features="embedding", dim=6, epochs=3)
HALVES = TrainOptions(features="embedding", dim=440, epochs=3)  # two threads share each text
LINEAR = TrainOptions(features="tfidf", epochs=3)
TREE = TrainOptions(loss="hs", dim=6, epochs=3)


def rows(n: int, seed: int = 0, *, tags: bool = False) -> list[dict[str, Any]]:
    """Made rows, sorted by class, with statements of every kind and some weights."""
    random = np.random.default_rng(seed)
    made = []
    for row in range(n):
        true, other = CLASSES[3 * row // n], CLASSES[(3 * row // n + 1 + row % 2) % 3]
        words = [f"{true}{random.integers(30)}" for _ in range(5)]
        words += [f"w{random.integers(300)}" for _ in range(8)]
        item: dict[str, Any] = {"text": " ".join(random.permutation(words))}
        kind = row % 10
        if tags:
            item |= [{"tags": [true]}, {"not": [other]}, {"either": [true, other]}][min(kind, 2)]
            item |= {} if kind < 4 else {"tags": [true]}
            if kind >= 4:
                item.pop("either", None)
        elif kind == 1:
            item["either"] = [true, other]
        elif kind == 2:
            item["not"] = [other]
        elif kind == 3:
            item["votes"] = {true: 3, other: 1}
        elif kind == 4:
            item["soft"] = {true: 0.75, other: 0.25}
        elif kind != 5:
            item["label"] = true
        if row % 7 == 0:
            item["weight"] = 2.0
        made.append(item)
    return made


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    """Write rows as JSONL, packed if the name says so."""
    text = "".join(json.dumps(item) + "\n" for item in made)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a file of 3,000 rows: six pieces."""
    return write(tmp_path / "rows.jsonl", rows(3000))


def cache_of(path: Path) -> Path:
    """Where the cache of a file stands."""
    return path.with_name(path.name + ".eitheror-cache")


def bytes_of(model: Model) -> dict[str, bytes]:
    """Every array of the parameters and the vocabulary."""
    assert model.featurizer is not None
    tensors = {**model.parameters.tensors(), **model.featurizer.tensors()}
    return {name: array.tobytes() for name, array in tensors.items()}


class Events(list):  # type: ignore[type-arg]
    """Collects progress events."""

    def __call__(self, event: dict[str, Any]) -> None:
        self.append(event)

    def phases(self) -> set[str]:
        return {event["phase"] for event in self if event["event"] == "rows"}

    def notes(self) -> str:
        return " ".join(event["message"] for event in self if event["event"] == "choice")


@pytest.mark.parametrize(
    "options", [EMBEDDING, HALVES, LINEAR, TREE], ids=["embedding", "halves", "tfidf", "tree"]
)
def test_neither_memory_nor_threads_change_a_byte(data: Path, tmp_path: Path, options):
    """Every limit and number of threads gives the same model, with or without a cache."""
    models = []
    for place, (memory, n_jobs) in enumerate([("400M", 1), ("1G", 2), ("400M", 3)]):
        cache = tmp_path / f"cache{min(place, 1)}"
        cache.mkdir(exist_ok=True)
        models.append(fit_files(data, options, memory=memory, n_jobs=n_jobs, cache=cache))
    assert bytes_of(models[0]) == bytes_of(models[1]) == bytes_of(models[2])
    assert models[0].options == models[1].options == models[2].options


@pytest.mark.parametrize("options", [EMBEDDING, LINEAR, TREE], ids=["embedding", "tfidf", "tree"])
def test_only_the_order_of_visits_differs_from_training_in_memory(data: Path, options):
    """Features and options are those of `fit`, and a file sorted by class is learnt as well."""
    texts, labels = eo.read(data)
    weight = eo.files.read_table(data).weight
    expected = fit(texts, labels, options, sample_weight=weight)
    actual = fit_files(data, options)
    assert expected.featurizer is not None
    assert actual.featurizer is not None
    for name, array in expected.featurizer.tensors().items():
        assert array.tobytes() == actual.featurizer.tensors()[name].tobytes(), name
    history = "history"
    assert {k: v for k, v in expected.options.items() if k != history} == {
        k: v for k, v in actual.options.items() if k != history
    }
    test = rows(300, seed=1)
    truth = np.repeat(np.arange(3), 100)
    found = [
        (model.predict_proba([row["text"] for row in test]).argmax(axis=1) == truth).mean()
        for model in (expected, actual)
    ]
    assert abs(found[0] - found[1]) < 0.02
    assert found[1] > 0.9


def test_the_next_run_reads_the_cache(data: Path):
    """It tokenises nothing, says where the rows are from, and gives the same bytes."""
    first, second = Events(), Events()
    models = [fit_files(data, EMBEDDING, progress=events) for events in (first, second)]
    assert {"reading", "rows", "pass"} >= first.phases() >= {"reading", "rows"}
    assert set() == second.phases() & {"reading", "rows"}
    assert "tokenised rows are read from" in second.notes()
    assert bytes_of(models[0]) == bytes_of(models[1])
    # What does not shape the features leaves the cache as it is.
    third = Events()
    fit_files(data, TrainOptions(features="embedding", dim=4, epochs=1), progress=third)
    assert set() == third.phases() & {"reading", "rows"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: write(path, rows(3000, seed=5)), "rows.jsonl has changed"),
        (lambda path: os.utime(path, ns=(1, 1)), "rows.jsonl has changed"),
        (lambda path: (cache_of(path) / "meta.json").unlink(), "it is not complete"),
        (lambda path: (cache_of(path) / "meta.json").write_text("{"), "meta.json is damaged"),
        (lambda path: os.truncate(cache_of(path) / "rows-0000", 100), "100 bytes"),
        (lambda path: (cache_of(path) / "rows-0000").unlink(), "-1 bytes"),
    ],
)
def test_what_differs_builds_the_cache_anew(data: Path, change, reason: str):
    """A changed file, or a cache with a part missing, is rebuilt, and the reason said."""
    fit_files(data, EMBEDDING)
    change(data)
    events = Events()
    model = fit_files(data, EMBEDDING, progress=events)
    assert reason in events.notes()
    assert "reading" in events.phases()
    assert bytes_of(fit_files(data, EMBEDDING)) == bytes_of(model)


def test_other_options_build_the_cache_anew(data: Path):
    """Options of the text or of the reader are named where they differ."""
    fit_files(data, EMBEDDING)
    for options, read, reason in (
        (TrainOptions(features="embedding", min_count=2), {}, "min_count was 1 and is 2"),
        (TrainOptions(features="embedding", min_count=2), {"ignore": ["weight"]}, "ignore was"),
    ):
        events = Events()
        fit_files(data, options, progress=events, **read)
        assert reason in events.notes()


@pytest.mark.parametrize("file", ["rows-0000", "index-0000"])
def test_a_changed_byte_in_the_cache_is_never_data(data: Path, file: str):
    """A flipped bit stops the run or rebuilds the cache; the run after it is right."""
    expected = bytes_of(fit_files(data, EMBEDDING))
    damaged = cache_of(data) / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    if file.startswith("rows"):
        with pytest.raises(CacheDamagedError, match=r"checksum.*run again"):
            fit_files(data, EMBEDDING)
    assert expected == bytes_of(fit_files(data, EMBEDDING))


def test_a_killed_run_leaves_nothing_to_take_for_whole(data: Path):
    """Killed while it builds, a run leaves no cache; the next one starts clean."""
    script = f"""
import os, signal
from eitheror.training import TrainOptions, fit_files
def kill(event):
    if event.get("phase") == "rows":
        os.kill(os.getpid(), signal.SIGKILL)
fit_files({str(data)!r}, TrainOptions(features="embedding", dim=6, epochs=3), progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert -signal.SIGKILL == done.returncode
    assert not cache_of(data).exists()
    left = data.with_name(data.name + ".eitheror-cache.new")
    assert left.is_dir()
    model = fit_files(data, EMBEDDING)
    assert not left.exists()
    assert "tokens-0000" not in {path.name for path in cache_of(data).iterdir()}
    fresh = write(data.with_name("fresh.jsonl"), rows(3000))
    assert bytes_of(model) == bytes_of(fit_files(fresh, EMBEDDING))


def test_a_full_disk_is_said_and_leaves_the_old_model(data: Path, tmp_path: Path):
    """Where the cache cannot grow, the message names the folder and the option; nothing is left."""
    output = tmp_path / "old.model"
    assert 0 == main(["train", str(data), "-o", str(output), "--memory", "400M", "--epoch", "1"])
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    other = write(tmp_path / "other.jsonl", rows(3000, seed=3))
    script = f"""
import resource, sys
from eitheror.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(main(["train", {str(other)!r}, "-o", {str(output)!r}, "--memory", "400M"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 2 == done.returncode
    assert "cannot be written in" in done.stderr
    assert "--cache DIR" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert [] == list(tmp_path.glob("other.jsonl.*"))
    assert before == {path.name: path.read_bytes() for path in output.iterdir()}


def test_a_folder_that_cannot_be_written_is_named(data: Path, tmp_path: Path):
    """A missing or a read-only folder for the cache is an error that names the option."""
    with pytest.raises(FileNotFoundError, match="name a folder with enough room: --cache DIR"):
        fit_files(data, EMBEDDING, cache=tmp_path / "nowhere")
    if os.geteuid() == 0:
        return  # root may write anywhere
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="--cache DIR"):
        fit_files(data, EMBEDDING, cache=closed)


def test_two_runs_do_not_build_one_cache(data: Path):
    """While a run builds a cache, another one is refused, and the first one's stays whole."""
    pytest.importorskip("fcntl", reason="no file locks on this system")
    with building(cache_of(data)) as folder:
        (folder / "part").write_text("half")
        with pytest.raises(BlockingIOError, match="another run is building this cache"):
            fit_files(data, EMBEDDING)
        assert "half" == (folder / "part").read_text()


def test_a_run_keeps_its_rows_when_another_replaces_the_cache(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Runs with other options of the text share the folder; the first one ends as if alone."""
    monkeypatch.setattr(stream_store, "_FILE_BYTES", 20_000)  # so that there are several files
    (tmp_path / "own").mkdir()
    expected = bytes_of(fit_files(data, EMBEDDING, cache=tmp_path / "own"))
    fit_files(data, EMBEDDING)
    before = (cache_of(data) / "meta.json").read_bytes()

    def replace_cache(event: dict[str, Any]) -> None:
        if event["event"] == "data":  # before the first row is read
            fit_files(data, LINEAR)

    assert expected == bytes_of(fit_files(data, EMBEDDING, progress=replace_cache))
    assert before != (cache_of(data) / "meta.json").read_bytes()


def test_a_weight_that_is_too_large_is_named_with_its_line(tmp_path: Path):
    """Weights are 32-bit numbers; what is larger names the line, not a row of some block."""
    made = rows(100)
    made[7]["weight"] = 1e39
    with pytest.raises(DataError, match=r"heavy\.jsonl:8: sample weight 1e\+39"):
        fit_files(write(tmp_path / "heavy.jsonl", made), EMBEDDING)


def test_the_limit_is_a_size_from_256m_up():
    """What is no size, or less than Python itself takes, is refused."""
    assert memory_limit("0.5G") == memory_limit("512M") == memory_limit(512 << 20)
    for memory in ("255M", 1000, "0", "-1G"):
        with pytest.raises(ValueError, match="memory="):
            memory_limit(memory)
    with pytest.raises(ValueError, match="expected a size such as 500M or 2G"):
        memory_limit("lots")


def test_the_limit_counts_rows_with_their_padding():
    """What a model is said to take holds the trainer's tables and a copy without the padding."""
    for dim in (1, 16, 100, 129, 176, 200, 272, 300):
        options = TrainOptions(features="embedding", dim=dim, epochs=1)
        plan = resolve(options, "multiclass", text=True, n_samples=9)
        bias = np.zeros(3, np.float32)
        trainer = EmbeddingTrainer(1000, bias, plan, class_weight=None, n_jobs=1)
        tables = trainer.embedding.nbytes + trainer.weight.nbytes
        assert tables + 4 * 1003 * dim <= model_bytes(plan, 1000, 3, 0), dim


def test_a_model_that_does_not_fit_says_its_size_and_what_helps(data: Path):
    """Before the passes, with features x dim and the options that make it smaller."""
    events = Events()
    with pytest.raises(MemoryLimitError, match=r"classes\) x dim 150000 needs .* smaller --dim"):
        fit_files(
            data, TrainOptions(features="embedding", dim=150_000), memory="512M", progress=events
        )
    assert {"reading"} == events.phases()
    assert not cache_of(data).exists()


def test_a_vocabulary_that_does_not_fit_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Counting stops before memory is over the limit."""
    monkeypatch.setattr("eitheror.training.stream_budget._resident", lambda: 256 << 20)
    monkeypatch.setattr("eitheror.training.stream_budget._FRESH", 256 << 20)  # all of it counts
    with pytest.raises(MemoryLimitError, match="counting the words needs"):
        fit_files(data, EMBEDDING, memory="256M")


@pytest.mark.parametrize(
    ("loss", "weight"),
    [("softmax", "balanced"), ("uniform", {"bread": 3.0}), ("random-pick", None)],
)
def test_class_weights_and_losses_of_one_true_class(data: Path, loss: str, weight):
    """They train as in memory: the last loss is close to that of `fit`."""
    options = TrainOptions(
        features="embedding", dim=6, epochs=6, loss=loss, class_weight=weight, optimizer="sgd"
    )
    texts, labels = eo.read(data)
    table = eo.files.read_table(data)
    expected = fit(texts, labels, options, sample_weight=table.weight).options["history"]
    actual = fit_files(data, options).options["history"]
    assert len(expected) == len(actual)
    assert actual[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.2)


@pytest.mark.parametrize("features", ["embedding", "tfidf"])
def test_tags_and_at_least_one_of(tmp_path: Path, features: str):
    """Tags with joint statements train with "ova"; the losses that cannot read them say the row."""
    path = write(tmp_path / "tags.jsonl", rows(1500, tags=True))
    options = TrainOptions(features=features, epochs=6, class_weight="balanced")
    texts, labels = eo.read(path)
    weight = eo.files.read_table(path).weight
    expected = fit(texts, labels, options, sample_weight=weight).options["history"]
    model = fit_files(path, options)
    assert "multilabel" == model.task
    assert model.options["history"][-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.2)
    with pytest.raises(ValueError, match=r"tags.jsonl:3: loss='pal' cannot read"):
        fit_files(path, TrainOptions(features=features, loss="pal"))


def test_several_files_packed_or_not(data: Path, tmp_path: Path):
    """Files of several formats are one data set, as in `read`."""
    made = rows(3000)
    parts = [
        write(tmp_path / "one.jsonl.gz", made[:1000]),
        write(tmp_path / "two.jsonl", made[1000:]),
    ]
    events = Events()
    model = fit_files(parts, LINEAR, progress=events)
    whole = fit_files(data, LINEAR)
    found = next(event for event in events if event["event"] == "data")
    assert (3000, eo.read(data)[1].kind_counts()) == (found["rows"], found["kinds"])
    assert model.featurizer is not None
    assert whole.featurizer is not None
    assert whole.featurizer.words() == model.featurizer.words()


def test_bad_rows_are_refused_or_counted(tmp_path: Path):
    """A row that the task cannot hold is named with its line, or left out and counted."""
    made = rows(1200)
    made[7] = {"text": "both", "either": [], "label": 3}
    made[900] = {"text": "none is left", "not": CLASSES}
    path = write(tmp_path / "bad.jsonl", made)
    with pytest.raises(DataError, match=r"bad.jsonl:8"):
        fit_files(path, EMBEDDING)
    events = Events()
    fit_files(path, EMBEDDING, progress=events, skip_bad=True)
    found = next(event for event in events if event["event"] == "data")
    assert 2 == found["n_skipped"]
    assert ["bad.jsonl:8", "bad.jsonl:901"] == [
        Path(line.split(": ")[0]).name for line in found["skipped"]
    ]


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_the_tree_is_that_of_training_in_memory(tmp_path: Path, weight):
    """Built from pieces, the tree of 70 classes and its first intercepts are those of `fit`."""
    random = np.random.default_rng(3)
    made = []
    for k in np.minimum(random.geometric(0.05, 4000), 70):
        words = [f"g{k // 7}", f"c{k}", *(f"w{n}" for n in random.integers(200, size=4))]
        said: dict[str, Any] = {"label": f"class {k}"}
        if len(made) % 5 == 0:
            said = {"either": sorted({f"class {k}", "class 1", "class 2"})}
        made.append({"text": " ".join(words), **said, "weight": 1 + len(made) % 2})
    path = write(tmp_path / "many.jsonl", made)
    table = eo.files.read_table(path)
    # A step of 1e-9 moves no intercept that float32 could tell apart.
    options = TrainOptions(
        loss="hs", dim=4, epochs=1, lr=1e-9, optimizer="sgd", class_weight=weight
    )
    expected = fit(table.inputs, table.labels, options, sample_weight=table.weight).parameters
    actual = fit_files(path, options).parameters
    assert "huffman" == actual.family
    for name, array in expected.tensors().items():
        np.testing.assert_allclose(array, actual.tensors()[name], atol=1e-6, err_msg=name)


def test_held_out_rows_stop_training(data: Path, tmp_path: Path):
    """`valid` is watched, a new class in it is passed over, and patience keeps the best pass."""
    held_out = [*rows(300, seed=2), {"text": "new", "label": "new class"}]
    valid = write(tmp_path / "valid.jsonl", held_out)
    options = TrainOptions(features="embedding", dim=6, epochs=40, lr=3.0, patience=2)
    model = fit_files(data, options, valid=valid)
    losses = [entry["valid_loss"] for entry in model.options["history"]]
    assert len(losses) < 40
    assert int(np.argmin(losses)) == len(losses) - 3
    given = eo.read(valid, classes=CLASSES, new_classes=True)[1]
    assert 4 == given.n_classes
    with pytest.raises(ValueError, match="--valid"):
        fit_files(data, options)


@pytest.mark.parametrize("options", [HALVES, LINEAR, TREE], ids=["halves", "tfidf", "tree"])
def test_a_resumed_run_ends_in_the_same_bytes(data: Path, tmp_path: Path, options):
    """Stopped between passes and resumed, also with another limit, it is the undisturbed run."""
    expected = bytes_of(fit_files(data, options))
    checkpoint = Checkpoint(tmp_path / "state")

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_files(data, options, progress=stop, checkpoint=checkpoint)
    model = fit_files(data, options, memory="1G", n_jobs=2, checkpoint=checkpoint, resume=True)
    assert expected == bytes_of(model)
    assert 3 == len(model.options["history"])


def test_what_cannot_be_read_in_blocks_is_refused(data: Path, tmp_path: Path):
    """Standard input, numbers, formats that combine rows, and missing files: each says why."""
    with pytest.raises(ValueError, match="standard input or an open stream came"):
        fit_files("-", EMBEDDING)
    with pytest.raises(ValueError, match="needs all rows in memory"):
        fit_files(data, TrainOptions(loss="ova", optimizer="newton"))
    with pytest.raises(ValueError, match="combines rows in memory"):
        fit_files(data, EMBEDDING, format="long")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        fit_files(tmp_path / "none.jsonl", EMBEDDING)
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text('{"features": [1, 2], "label": "a"}\n{"features": [2, 1], "label": "b"}\n')
    with pytest.raises(DataError, match="only texts are read in blocks"):
        fit_files(numbers, EMBEDDING)
    one = write(tmp_path / "one.jsonl", [{"text": "a", "label": "x"}] * 3)
    with pytest.raises(DataError, match="only one class"):
        fit_files(one, EMBEDDING)
    nothing = write(tmp_path / "nothing.jsonl", [{"text": "a"}] * 3)
    with pytest.raises(DataError, match="no label in the whole file"):
        fit_files(nothing, EMBEDDING)


def test_the_command_streams(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`train --memory` reports what `train` does, and refuses what needs all rows."""
    valid = write(tmp_path / "valid.jsonl", rows(300, seed=2))
    words = ["train", str(data), "-o", str(tmp_path / "m"), "--memory", "400M", "--epoch", "2"]
    assert 0 == main([*words, "--features", "embedding", "--valid", str(valid), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert 3000 == report["rows"]
    assert eo.read(data)[1].kind_counts() == report["kinds"]
    assert 2 == report["options"]["epochs"]
    assert report["valid"]["n"] > 0
    assert any("tokenised rows are kept in" in note for note in report["notes"])
    assert "multiclass" == eo.load(tmp_path / "m").task
    for more in (["--autotune", "60s"], ["--continue", str(tmp_path / "m")], ["--replay", "old"]):
        assert 2 == main([*words, *more])
        assert "needs all rows in memory" in capsys.readouterr().err
    assert 2 == main(["train", str(data), "-o", str(tmp_path / "m"), "--cache", str(tmp_path)])
    assert "--cache is for --memory" in capsys.readouterr().err


@pytest.mark.slow
def test_the_process_stays_below_the_limit(tmp_path: Path):
    """The peak that the system counts is below the limit, for two sizes of a file alike."""
    peaks = []
    made = rows(4000)
    for times in (10, 40):
        path = write(tmp_path / f"{times}.jsonl", made * times)
        script = f"""
import resource
from pathlib import Path
from eitheror.training import TrainOptions, fit_files
model = fit_files({str(path)!r}, TrainOptions(features="embedding", dim=16, epochs=2),
                  memory="256M", n_jobs=2)
model.save({str(path)!r} + ".model")
status = Path("/proc/self/status")  # there ru_maxrss is that of whoever started the process, too
if status.exists():
    print(next(line.split()[1] for line in status.open() if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) << (0 if sys.platform == "darwin" else 10))
    assert max(peaks) < 256 << 20
    assert peaks[1] - peaks[0] < 24 << 20
