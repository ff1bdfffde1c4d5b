"""The short ways of predicting give what the long ones do, and start nothing that is not needed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eitheror.cli import app, main
from eitheror.cli._answer import _batches, ranked_columns
from eitheror.cli._main import STDIO, plain_predict
from eitheror.cli._options import FileOptions
from eitheror.cli._predict import predict
from eitheror.decide import Argmax, ExpectedF1, Reject, Threshold, TopK
from eitheror.files import Row
from eitheror.labels import Labels, tags
from eitheror.model import LinearParameters, Model, SparseWeight, load
from eitheror.text import Featurizer, TextOptions, Texts
from eitheror.training import TrainOptions, fit
from eitheror.training.warmup import warm_up

TEXTS = ["red apple", "blue sky", "green apple", "grey sky", "red sky", "ripe green apple"]
CLASSES = ["fruit", "air", "fruit", "air", "air", "fruit"]
HEAVY = {
    "cyclopts",
    "numba",
    "llvmlite",
    "scipy",
    "sklearn",
    "torch",
    "pyarrow",
    "pandas",
    "numpy.ma",
}


@pytest.fixture(params=["tfidf", "embedding"])
def model(request, tmp_path):
    """A stored model of either kind."""
    options = TrainOptions(features=request.param, epochs=1)
    fit(TEXTS, Labels(CLASSES), options).save(tmp_path / "model")
    return tmp_path / "model"


def test_one_line_starts_no_compiler_and_no_other_command(model):
    """`predict` on a line imports no numba, scipy or cyclopts, nor another command."""
    code = (
        "import sys; from eitheror.cli import main; main(['predict', sys.argv[1], '-']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        input="ripe red apple\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert set() == HEAVY & loaded
    commands = {name for name in loaded if name.startswith("eitheror.cli._")}
    expected = {f"eitheror.cli.{name}" for name in ("_answer", "_main", "_model")}
    assert expected == commands
    assert done.stdout.strip() in ("fruit", "air")


WORDS = ["model", "lines.txt", "-", "2", "07", "-3", "", "--json", "--format", "text", "--thread"]


@given(st.lists(st.sampled_from([*WORDS, "--top", "--format=csv", "--help"]), max_size=7))
def test_a_plain_command_line_means_what_the_full_reader_says(words):
    """Where `predict` is read without cyclopts, cyclopts finds the same arguments."""
    said = plain_predict(["predict", *words])
    if said is None:
        return
    masked = [STDIO if word == "-" else word for word in ["predict", *words]]
    command, bound, _ = app.parse_args(masked)
    assert predict is command
    full = dict(bound.arguments)
    layout = full.pop("layout", FileOptions())
    assert said == full | {"keywords": layout.keywords()}


def test_most_command_lines_of_predict_are_plain():
    """Model and file, with output, format and threads in any order, need no cyclopts."""
    words = ["--json", "m", "--thread", "2", "-", "--format", "text"]
    expected = {
        "model": "m", "file": "-", "keywords": {"format": "text"}, "thread": 2, "as_json": True
    }  # fmt: skip
    assert expected == plain_predict(["predict", *words])
    assert [None] * 4 == [
        plain_predict(line) for line in ([], ["train", "m", "f"], ["predict", "m"], ["--help"])
    ]


@pytest.mark.parametrize("rule", [Argmax(), Reject(0.9), TopK(2), Threshold(0.4)])
def test_chosen_columns_are_the_names_that_predict_gives(rule, model, capsys, tmp_path):
    """`choose`, `predict` and the command's lines say the same for any rule."""
    fitted = load(model)
    fitted.set_decision(rule)
    fitted.save(model)
    chosen = fitted.choose(TEXTS)
    if chosen.ndim == 1:
        columns = [[column] if column >= 0 else [] for column in chosen.tolist()]
    else:
        columns = [np.flatnonzero(row).tolist() for row in chosen]
    expected = [[fitted.classes[column] for column in row] for row in columns]
    assert expected == fitted.predict(TEXTS) == fitted.named(chosen)
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS))
    assert 0 == main(["predict", str(model), str(tmp_path / "lines.txt"), "--format", "text"])
    assert ["\t".join(row) for row in expected] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("features", ["tfidf", "embedding"])
def test_the_command_prints_the_same_digits_on_any_number_of_threads(features, tmp_path, capsys):
    """Blocks of rows, on which the last digits depend, do not move with the threads."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in row) for row in rng.integers(0, 3000, (25_000, 8)).tolist()]
    options = TrainOptions(features=features, epochs=1, char_ngrams=(0, 0), dim=None)
    names = [f"c{i % 20}" for i in range(500)]
    fit(texts[:500], Labels(names), options).save(tmp_path / "m")
    lines = [json.dumps({"text": text}) for text in texts]
    lines[5000] = ""  # null
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    printed = []
    for n_threads in ("1", "3"):
        words = ["predict", str(tmp_path / "m"), str(tmp_path / "rows.jsonl"), "--json"]
        assert 0 == main([*words, "--thread", n_threads])
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[0] == printed[1]
    assert 25_000 == len(printed[0])
    assert [5000] == [i for i, line in enumerate(printed[0]) if line == "null"]


@given(st.lists(st.integers(0, 30), max_size=9), st.integers(1, 20))
def test_batches_are_as_large_as_they_may_be_and_no_larger(sizes, size):
    """Texts that came many at once are cut, so that memory is bounded by the batch."""
    numbers = iter(range(1000))
    pieces = [[str(next(numbers)) for _ in range(n)] for n in sizes]
    rows = [Texts.of(piece) if piece else Row("f", 1, None) for piece in pieces]
    expected = [text for piece in pieces for text in (piece or [None])]
    found = []
    for batch in _batches(rows, size):
        inputs = [text for row in batch for text in (row if isinstance(row, Texts) else [None])]
        found += [inputs]
    assert expected == [text for inputs in found for text in inputs]
    assert all(len(inputs) == size for inputs in found[:-1])
    assert all(0 < len(inputs) <= size for inputs in found)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("width", [1, 2, 10, 15, 16, 17, 31, 32, 100, 128, 130, 736])
def test_the_product_of_rows_is_right_at_any_width(width, stored):
    """The vector loop equals the sum in float64, also for the last rows of the table."""
    from eitheror._kernels.dense import dense_product

    draw = np.random.default_rng(width)
    lengths = draw.integers(0, 9, 50)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = draw.integers(0, 23, indptr[-1]).astype(np.int32)
    indices[-1] = 22
    weight = draw.normal(size=(23, width)).astype(np.float32)
    values = draw.normal(size=len(indices)).astype(np.float32)
    mean = np.repeat(1 / np.maximum(lengths, 1), lengths)
    factors = values.astype(np.float64) if stored else mean
    expected = np.zeros((50, width))
    np.add.at(expected, np.repeat(np.arange(50), lengths), factors[:, None] * weight[indices])
    found = dense_product(indptr, indices, values if stored else None, weight)
    assert (50, width) == found.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_table_of_no_rows_is_read_nowhere():
    """Rows without features give zeros, even where the table has none."""
    from eitheror._kernels.dense import dense_product

    empty = np.zeros((0, 10), np.float32)
    found = dense_product(np.zeros(4, np.int64), np.zeros(0, np.int32), None, empty)
    assert [[0.0] * 10] * 3 == found.tolist()


def test_sparse_weights_are_not_made_dense_for_a_few_rows():
    """A few rows and many give the same logits, from the sparse weights and from a dense copy."""
    weight = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    sparse = LinearParameters(SparseWeight.from_dense(weight), np.zeros(3, np.float32))
    model = Model("multiclass", ["a", "b", "c"], {}, "softmax", None, sparse)
    X = np.random.default_rng(1).normal(size=(700, 40))
    few, many = model.decision_function(X[:5]), model.decision_function(X)
    np.testing.assert_allclose(few, many[:5], atol=1e-5)
    np.testing.assert_allclose(many, X @ weight, atol=1e-4)


@given(
    values=hnp.arrays(
        np.float32, st.integers(1, 30), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5])
    ),
    top=st.none() | st.integers(1, 40),
)
def test_the_top_classes_are_the_front_of_a_stable_sort(values, top):
    """`--top K` shows what sorting all classes would show first, ties in the order of classes."""
    assert (-values).argsort(kind="stable")[:top].tolist() == ranked_columns(values, top).tolist()


def test_threads_reach_the_rule():
    """`predict(n_jobs=)` is handed to a rule that searches for each row; the answer stays."""
    labels = Labels([tags(name) for name in CLASSES])
    model = fit(TEXTS, labels, TrainOptions(epochs=1))
    asked = []

    class Asked(ExpectedF1):
        def predict(self, proba, n_jobs=1):
            asked.append(n_jobs)
            return super().predict(proba, n_jobs)

    model.rule = Asked
    assert model.predict(TEXTS) == model.predict(TEXTS, n_jobs=2)
    assert [1, 2] == asked


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([1, 1], "a word begins inside a character"), ([2], None)],
)
def test_every_stored_word_is_whole_characters(lengths, message):
    """Bytes that are UTF-8 together but not word by word are refused."""
    tensors = {
        "words.bytes": np.frombuffer("é".encode(), np.uint8),
        "words.lengths": np.array(lengths, np.int32),
        "ngrams.buckets": np.zeros(0, np.int32),
    }
    config = Featurizer.fit(["one"], TextOptions(word_ngrams=1))[0].config()
    if message is None:
        assert ["é"] == Featurizer.from_parts(config, tensors).words()
        return
    with pytest.raises(ValueError, match=message):
        Featurizer.from_parts(config, tensors)


def test_a_changed_file_is_reported_as_changed(model):
    """Damage is named as such, whatever else it breaks in the file that is read meanwhile."""
    file = model / "model.safetensors"
    data = bytearray(file.read_bytes())
    for place in (3, len(data) // 2, len(data) - 1):
        damaged = data.copy()
        damaged[place] ^= 255
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="its SHA-256 is not the one"):
            load(model)


def test_a_warmup_of_no_width_is_refused():
    """A width that no embedding can have is an error, not a warm-up of nothing."""
    with pytest.raises(ValueError, match="dim=0"):
        warm_up(dims=[0])


@pytest.mark.slow
def test_a_second_warmup_compiles_nothing(tmp_path):
    """After `eitheror warmup` all kernels are in the cache that it names, whatever is trained."""
    command = [sys.executable, "-m", "eitheror", "warmup", "--dim", "10", "--json"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert 0 == found["compiled"] < found["loaded"]
    assert found["folders"]
    done = subprocess.run(
        [sys.executable, "-c", USES], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert [] == json.loads(done.stdout.splitlines()[-1])


USES = """
import json
from pathlib import Path
import eitheror as eo
from eitheror.training import TrainOptions, fit, fit_files
from eitheror.training.warmup import _kernels

texts = [f"word{n % 11} and word{n % 7} of text {n}" for n in range(600)]

def labels(n, task="multiclass"):
    names = [f"c{k}" for k in range(n)]
    return eo.Labels([names[row % n] for row in range(600)], classes=names, task=task)

def use(n, task="multiclass", n_jobs=2, small=True, **options):
    model = fit(texts, labels(n, task), TrainOptions(epochs=1, **options), n_jobs=n_jobs)
    model.save("model")
    model = eo.load("model")
    model.predict(texts * 10, n_jobs)
    model.predict_top(texts * 10, 2)
    if small:
        eo.shrink(model, "20K").predict(texts * 10)
    return model

for n in (2, 28, 90, 300):
    use(n, small=n < 300)
    use(n, features="embedding", dim=10, small=n < 300)
use(300, "multilabel", small=False)
use(40, "multilabel", optimizer="newton", l2=0.01)
use(40, "multilabel", features="embedding", dim=10)
use(300, loss="hs", dim=10, small=False)
use(28, features="embedding", dim=10, hogwild=True)
for n_jobs in (1, 2):
    use(30_000, features="embedding", dim=10, n_jobs=n_jobs, small=False)
more = fit(texts, labels(5), TrainOptions(epochs=1), warm_start=use(4))
Path("rows.txt").write_text("".join(f"__label__{n % 9} {t}\\n" for n, t in enumerate(texts)))
for features in ("tfidf", "embedding"):
    dim = 10 if features == "embedding" else None
    fit_files("rows.txt", TrainOptions(features=features, dim=dim, epochs=1), memory="1G")
print(json.dumps(sorted({k.__name__ for k in _kernels() if sum(k.stats.cache_misses.values())})))
"""
