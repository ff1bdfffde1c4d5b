"""The public surface: its names, and what touching or importing it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import eitheror as eo

NAMES = [
    "Label",
    "Labels",
    "LinearClassifier",
    "PartialLabelClassifier",
    "TextClassifier",
    "annotators",
    "audit",
    "compare",
    "decide",
    "either",
    "evaluate",
    "evidence",
    "exact",
    "export_onnx",
    "files",
    "fit_files",
    "hf",
    "import_fasttext",
    "jax",
    "keras",
    "labels",
    "load",
    "losses",
    "metrics",
    "noise",
    "not_",
    "read",
    "report",
    "shrink",
    "sklearn",
    "soft",
    "tags",
    "torch",
    "tune_hyperparameters",
    "unknown",
    "votes",
    "write",
]
FRAMEWORKS = {"hf": "transformers", "jax": "jax", "keras": "keras", "torch": "torch"}
HEAVY = ("sklearn", "numba", "torch", "scipy", "jax", "pandas", "pyarrow")


def modules_after(code: str) -> set[str]:
    """Return the top-level modules in sys.modules after the code ran in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('|'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return {name.split(".")[0] for name in done.stderr.splitlines()[-1].split("|")}


def test_all_is_the_whole_surface():
    """__all__ is sorted and is exactly the documented list."""
    assert sorted(NAMES) == eo.__all__
    assert set(NAMES) <= set(dir(eo))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_fetched(name):
    """Each public name is there, and has a docstring."""
    if name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[name], reason=f"{FRAMEWORKS[name]} is not installed")
    assert getattr(eo, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails like in any other module."""
    with pytest.raises(AttributeError, match="module 'eitheror' has no attribute 'Lables'"):
        eo.Lables  # noqa: B018


def test_the_version_is_the_packages():
    """__version__ is the version in pyproject.toml."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    assert f'version = "{eo.__version__}"' in pyproject.read_text(encoding="utf-8")


def test_importing_eitheror_loads_nothing_heavy():
    """`import eitheror` leaves scikit-learn, Numba, SciPy, torch and even NumPy alone."""
    loaded = modules_after("import eitheror")
    assert set() == loaded & {*HEAVY, "numpy"}


def test_labels_need_numpy_only():
    """Making labels and their targets loads NumPy and nothing heavier."""
    loaded = modules_after(
        "import eitheror as eo; eo.Labels([eo.not_('a'), eo.either('a', 'b'), 'c']).to_targets()"
    )
    assert "numpy" in loaded
    assert set() == loaded & set(HEAVY)


def test_reading_a_file_loads_nothing_heavy(tmp_path):
    """Reading JSONL needs neither Numba nor scikit-learn nor pyarrow."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "hello", "label": "a"}\n{"text": "bye", "not": ["b"]}\n')
    loaded = modules_after(f"import eitheror as eo; eo.read({str(path)!r})")
    assert set() == loaded & set(HEAVY)


def test_the_command_answers_help_without_the_trainer():
    """`eitheror --help` loads neither NumPy nor anything heavier."""
    loaded = modules_after(
        "from eitheror.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert set() == loaded & {*HEAVY, "numpy"}


def test_predicting_never_needs_scikit_learn():
    """The model, the trainer and the decision rules import no scikit-learn."""
    loaded = modules_after("import eitheror.model, eitheror.training, eitheror.decide")
    assert "sklearn" not in loaded


def test_scores_need_no_trainer():
    """What prints scores imports neither trainers nor Numba, and training without a search none."""
    code = (
        "import sys, eitheror.report.words, eitheror.cli._autotune\n"
        "eitheror.cli._autotune.AutotuneFlags().wanted()\n"
        "print([name for name in ('numba', 'eitheror.training', 'eitheror.search') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
