"""Kernels from the store do what Numba's do, and nothing else is ever run from it."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from eitheror._kernels import native, store
from eitheror._kernels.native import Kernel, counts, supported

pytestmark = pytest.mark.skipif(not supported(), reason="kernels are not kept on this platform")

KEPT = {
    "tokens": {"scan", "intern", "subwords", "count", "fill", "combine", "weigh"},
    "product": {"dense_rows", "sparse_product"},
    "coded": {"values_product", "parts_product"},
    "search": {"best_leaves"},
    "embedding": {"embedding_epoch", "embedding_loss"},
    "halves": {"arrange"},
    "linear": {"linear_epoch", "linear_loss"},
    "blocked": {"blocked_epoch", "blocked_loss"},
}
WORK = """
import hashlib, sys
from pathlib import Path
import numpy as np
from eitheror._kernels.native import native
from eitheror._kernels.rows import Rows
from eitheror.labels import Labels, not_
from eitheror.model import CodedRows, CodedWeight, HuffmanParameters
from eitheror.model.huffman import huffman_tree
from eitheror.model.parameters import SparseWeight, rows_product
from eitheror.training.fitting import MANY_WEIGHTS, fit
from eitheror.training.options import TrainOptions

draw = np.random.default_rng(0)
words = [f"wörd{n}" for n in range(300)]
texts = [" ".join(draw.choice(words, 20)) for _ in range(200)]
seen = []

def say(*arrays):
    for array in arrays:
        seen.append(hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())

def train(classes, *, said=None, **options):
    names = [f"c{n}" for n in range(classes)]
    rows = [said or names[n % classes] for n in range(len(texts))]
    rows[:classes] = names
    labels = Labels(rows, classes=names)
    given = TrainOptions(epochs=2, bucket=500, **options)
    model = fit(texts, labels, given, valid=(texts[:50], labels[:50]))
    model.save("model")
    for file in sorted(Path("model").rglob("*")) if Path("model").is_dir() else [Path("model")]:
        if file.is_file() and file.suffix != ".json":
            say(np.frombuffer(file.read_bytes(), np.uint8))
    say(model.predict_proba(texts * 4))

train(3, features="embedding", dim=20, char_ngrams=(3, 4), word_ngrams=2)
train(20, features="embedding", dim=20, loss="random-pick", said=not_("c1"), optimizer="adagrad")
train(20, features="embedding", dim=20, optimizer="adagrad", hogwild=True)
train(3, features="embedding", dim=100, word_ngrams=2)
train(150, features="embedding", dim=MANY_WEIGHTS // 150 + 1)
train(3, features="tfidf", word_ngrams=2)
train(20, features="tfidf", optimizer="sgd", label_smoothing=0.1)
rows = Rows.from_dense(draw.normal(size=(1000, 40)))
say(rows_product(rows, SparseWeight.from_dense(np.eye(40, dtype=np.float32))))
ones, zeros = np.ones((39, 1), np.float32), np.zeros((39, 1), np.uint8)
narrow = np.arange(39, dtype=np.uint16)
say(CodedWeight(np.arange(41).clip(max=39), narrow, zeros[:, 0], ones[0], 39).product(rows))
say(CodedRows(ones[:1], zeros, ones[:1, :, None], ones[:, 0]).product(rows))
tree = draw.normal(size=(40, 8)).astype(np.float32), draw.normal(size=(8, 8)).astype(np.float32)
say(*HuffmanParameters(*tree, huffman_tree([9, 8, 7, 6, 5, 4, 3, 2, 1])).top(rows, 4))
print("numba" in sys.modules, *seen)
"""


def work(folder: Path, **settings: str) -> list[str]:
    """Train and predict in a process of its own; whether it imported Numba, then digests."""
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_models_and_predictions_are_the_same_and_a_warm_process_has_no_numba(tmp_path: Path):
    """Numba's kernels and those of the store give the same bytes; the store needs no Numba."""
    numbas, expected = np.split(work(tmp_path, EITHEROR_NATIVE="0"), [1])
    assert ["True"] == numbas.tolist()
    _, made = np.split(work(tmp_path), [1])
    warm, loaded = np.split(work(tmp_path), [1])
    assert expected.tolist() == made.tolist() == loaded.tolist()
    assert ["False"] == warm.tolist()
    files = [file.name for folder in store.folders() for file in folder.glob("*.kernel")]
    names = {file.split("-")[0] for file in files}
    assert {f"{module}.{name}" for module, kernels in KEPT.items() for name in kernels} <= names


def arguments(n: int = 3) -> tuple[np.ndarray, ...]:
    """Arrays for `tokens.weigh`, whose last one is written."""
    ends, features = np.arange(1, n + 1), np.arange(n, dtype=np.int32)
    damped, idf = np.float32([1, 1.7]), np.linspace(1, 2, n, dtype=np.float32)
    return ends, features, np.ones(n, np.int32), damped, idf, np.empty(n, np.float32)


def ones(n: int = 3) -> list[float]:
    """Return what `weigh` writes for rows of one feature: rows of length 1."""
    return [1.0] * n


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new store with one kernel in it."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    args = arguments()
    Kernel("tokens", "weigh")(*args)
    assert ones() == args[-1].tolist()
    (folder,) = store.folders()
    assert 1 == len(list(folder.iterdir()))
    return folder


def uses() -> tuple[int, int]:
    """Kernels made and loaded when the kernel is first called by a new caller, which is right."""
    before = counts.made, counts.loaded
    args = arguments()
    Kernel("tokens", "weigh")(*args)
    assert ones() == args[-1].tolist()
    return counts.made - before[0], counts.loaded - before[1]


def test_a_kernel_is_made_once(folder: Path) -> None:
    """The second caller loads what the first has kept."""
    assert (0, 1) == uses()


def signed(stored: dict[str, object], code: bytes) -> bytes:
    """Return a file with a right digest."""
    rest = json.dumps(stored).encode() + b"\n" + code
    return b"eitheror kernel 1 " + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def test_damaged_and_foreign_files_are_written_over(folder: Path) -> None:
    """A file that is cut, changed, or of another processor, version or source is not run."""
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    _, head, code = whole.split(b"\n", 2)
    words = json.loads(head)
    place = len(whole) - len(code) // 2
    damaged = [
        b"",
        whole[:-1],
        whole[:200],
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        whole.replace(b"kernel 1", b"kernel 2", 1),
        signed(words | {"identity": words["identity"] + ",+another"}, code),
        signed(words | {"more": 1}, code),
        signed({}, code),
        b"\n".join([whole.split(b"\n")[0], b"[]", code]),
    ]
    for data in damaged:
        file.write_bytes(data)
        assert (1, 0) == uses()
        assert (0, 1) == uses()


def test_what_others_may_write_to_is_not_run(folder: Path) -> None:
    """A file or a folder that the group or everybody may change is as if it were not there."""
    (file,) = folder.iterdir()
    for mode in (0o664, 0o646):
        file.chmod(mode)
        assert (1, 0) == uses()
        assert 0o644 == file.stat().st_mode & 0o777
    for mode in (0o775, 0o757):
        folder.chmod(mode)
        assert (0, 0) == uses()
    folder.chmod(0o755)
    assert (0, 1) == uses()


def test_where_nothing_can_be_kept_numbas_cache_serves(folder: Path) -> None:
    """A kernel that the next process would have to compile again is not compiled here."""
    (file,) = folder.iterdir()
    file.unlink()
    folder.chmod(0o775)
    kernel = Kernel("tokens", "weigh")
    kernel(*arguments())
    assert [kernel._real_run] == list(kernel._known.values())


def test_a_file_that_cannot_be_loaded_is_left_to_numba(folder: Path) -> None:
    """It is whole and current, so that a new one would be no better."""
    (file,) = folder.iterdir()
    _, head, code = file.read_bytes().split(b"\n", 2)
    wrong = [{"returns": "numba"}, {"returns": "int32"}, {"symbol": "none"}, {"needs": 1}]
    for words in wrong:
        whole = signed(json.loads(head) | words, code)
        file.write_bytes(whole)
        assert (0, 0) == uses()
        assert whole == file.read_bytes()


def test_a_kernel_that_cannot_be_kept_is_compiled_for_it_once(folder: Path) -> None:
    """It returns a type that the store does not know; the file says so, and has no code."""
    value = Kernel("elementary", "exp32")(np.float32(1))
    assert value == pytest.approx(np.e)
    (file,) = folder.glob("elementary.*")
    _, head, code = file.read_bytes().split(b"\n", 2)
    assert b"" == code
    assert "numba" == json.loads(head)["returns"]
    mark = file.stat().st_ino
    Kernel("elementary", "exp32")(np.float32(1))
    assert mark == file.stat().st_ino


def test_another_numba_writes_over_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings count like its version: what it makes is another kernel, in the same place."""
    for setting in ("", "1"):
        monkeypatch.setenv("NUMBA_NO_SUCH_SETTING", setting)
        store._compiler.cache_clear()
        assert (1, 0) == uses()
        assert (0, 1) == uses()
        assert 1 == len(list(folder.iterdir()))
    store._compiler.cache_clear()


def test_a_process_older_than_the_sources_keeps_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have imported others than those that its kernels would be filed under."""
    (file,) = folder.iterdir()
    file.unlink()
    monkeypatch.setattr(native, "_STARTED", (store._HERE / "native.py").stat().st_ctime)
    assert (0, 0) == uses()
    assert [] == list(folder.iterdir())


def test_code_whose_names_are_missing_is_not_loaded(folder: Path) -> None:
    """LLVM would end the process: names are looked for before."""
    found = store.read("tokens", "weigh", "i8[1],i4[1],i4[1],f4[1],f4[1],f4[1]")
    assert found is not None
    assert found[0] == folder
    stored = found[1]
    assert isinstance(native._load(stored), int)
    assert native._load(replace(stored, needs=[*stored.needs, "no_such_name"])) is None
    assert stored.needs == native.undefined(stored.code)
    names = ["memset", "log1p", "NRT_Free", "numba_gil_ensure", "PyErr_Clear", "no_such_name"]
    assert ["memset", "log1p"] == list(filter(native._common, names))


def test_no_folder_takes_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written the kernel runs all the same."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert (0, 0) == uses()


def test_switched_off_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EITHEROR_NATIVE=0 leaves all to Numba."""
    monkeypatch.setenv("EITHEROR_NATIVE", "0")
    assert (0, 0) == uses()


def test_bounds_are_checked_by_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks Numba to check indices gets its errors."""
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert not supported()


def test_kernels_that_make_arrays_are_left_to_numba(folder: Path) -> None:
    """Their code needs Numba's memory when it runs."""
    codes = np.empty(2, np.uint8)
    Kernel("coded", "nearest")(np.float32([[0], [3]]), np.float32([[3, 1]]), codes)
    assert [1, 0] == codes.tolist()
    assert 1 == len(list(folder.iterdir()))


def test_any_array_is_right(folder: Path) -> None:
    """Arrays with gaps, backwards, not aligned, read-only, of no items, or on disk."""
    expected = np.linspace(1, 2, 4)
    expected = (expected / np.linalg.norm(expected)).tolist()
    n = 4
    gaps, backwards = np.empty(2 * n, np.float32)[::2], np.empty(n, np.float32)[::-1]
    skewed = np.empty(4 * n + 1, np.uint8)[1:].view(np.float32)
    onto = np.memmap(folder / "values", np.float32, "w+", shape=(n,))
    kernel = Kernel("tokens", "weigh")
    for values in (gaps, backwards, onto, np.empty(n, np.float32)):
        _, *rest, _ = arguments(n)
        for array in rest:
            array.flags.writeable = False
        kernel(np.array([n]), *rest, values)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert native._kind(skewed) is None
    kernel(np.zeros(2, np.int64), *(np.empty(0, array.dtype) for array in arguments()[1:]))


def test_numbers_of_any_type_are_taken(folder: Path) -> None:
    """Every integer type is an integer, and what none can hold is refused as Numba refuses it."""
    kernel = Kernel("tokens", "subwords")
    data = np.frombuffer(b"ab", np.uint8)
    results = []
    for kind in (int, np.int64, np.int32, np.uint8, np.int16, np.uint64):
        ends, buckets = np.zeros(1, np.int64), np.zeros(20, np.int32)
        given = np.zeros(1, np.int64), np.array([2], np.int32), kind(1), kind(3), kind(100)
        results.append((kernel(data, *given, ends, buckets), buckets.tolist()))
        found = type(results[-1][0])
        assert found is int
    assert all(a == b for a, b in pairwise(results))
    assert native._kind(2**63) is None
    assert native._kind(np.zeros(2, ">f4")) is None
    assert native._kind(()) is None


def test_threads_share_a_kernel(folder: Path) -> None:
    """It is loaded once, and each thread gets its own values."""
    before, kernel, n = counts.loaded, Kernel("tokens", "weigh"), 20_000

    def run(_: int) -> bool:
        args = arguments(n)
        kernel(*args)
        return bool(np.isclose(args[-1], 1).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))
    assert 1 == counts.loaded - before
