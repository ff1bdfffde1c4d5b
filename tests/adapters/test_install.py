"""The install matrix: what importing each adapter loads, and what it says without its framework."""

import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = (
    "torch",
    "jax",
    "keras",
    "tensorflow",
    "transformers",
    "sklearn",
    "lightgbm",
    "xgboost",
)
# What importing an adapter may load; Keras itself brings its backend.
LOADS = {
    "torch": {"torch"},
    "jax": {"jax"},
    "hf": {"torch"},
}
BACKENDS = ("torch", "jax", "tensorflow")
NEEDS = {
    "torch": ("torch", "eitheror.torch needs PyTorch, which is not installed: "),
    "jax": ("jax", "eitheror.jax needs JAX, which is not installed: "),
    "keras": ("keras", "eitheror.keras needs Keras 3, which is not installed: "),
    "hf": ("torch", "eitheror.hf needs PyTorch, which is not installed: "),
}
# Every finder of modules, made blind to the named packages: for importing as for looking.
HIDE = """
import sys

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in {hidden!r}
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Blind, sys.meta_path)
"""


def python(code, hidden=(), **environment):
    """Run code in a process of its own, in which some packages are not installed."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=set(hidden)) + code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return done.stdout.splitlines()[-1] if done.stdout else ""


def loaded_by(module, hidden=(), **environment):
    """Return the frameworks that are loaded when a module has been imported."""
    code = (
        f"import {module}\nprint(*({{n.split('.')[0] for n in sys.modules}} & {set(FRAMEWORKS)}))"
    )
    return set(python(code, hidden, **environment).split())


def installed(*packages):
    """Skip the test unless the packages are there."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def test_the_package_loads_no_framework():
    """`import eitheror` and its labels, losses, noise and readers load no framework."""
    assert set() == loaded_by("eitheror, eitheror.labels, eitheror.losses, eitheror.files")


@pytest.mark.parametrize("adapter", LOADS)
def test_an_adapter_loads_its_own_framework_only(adapter):
    """`import eitheror.jax` loads JAX and no other framework, and so each."""
    installed(*LOADS[adapter])
    assert LOADS[adapter] == loaded_by(f"eitheror.{adapter}")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_loads_what_keras_loads(backend):
    """`import eitheror.keras` loads what Keras itself does, with the backend it was told to use."""
    installed("keras", backend)
    ours, keras = (loaded_by(name, KERAS_BACKEND=backend) for name in ("eitheror.keras", "keras"))
    assert {"keras", backend} <= ours == keras
    others = {*BACKENDS} - {backend}
    assert not others & loaded_by("eitheror.keras", hidden=others, KERAS_BACKEND=backend)


@pytest.mark.parametrize("adapter", NEEDS)
def test_a_missing_framework_is_named(adapter):
    """Without its framework an adapter raises ImportError, which says what to install."""
    framework, message = NEEDS[adapter]
    code = (
        f"try:\n    import eitheror.{adapter}\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    expected = f"ImportError {message}pip install 'eitheror[{adapter}]'"
    assert expected == python(code, hidden={framework})


def test_a_missing_optuna_is_named():
    """A search without Optuna: ImportError says what to install, and the extra holds it."""
    code = (
        "import eitheror as eo\n"
        "rows = [[float(i)] for i in range(120)]\n"
        "try:\n    eo.tune_hyperparameters(rows, ['a', 'b'] * 60)\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    expected = (
        "ImportError eitheror.tune_hyperparameters needs Optuna, which is not installed: "
        "pip install 'eitheror[tune]'"
    )
    assert expected == python(code, hidden={"optuna"})
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert any(
        line.startswith("optuna") for line in pyproject["project"]["optional-dependencies"]["tune"]
    )


def test_a_missing_backend_of_keras_is_named():
    """Keras without its backend: which package is missing, and how to choose another."""
    installed("keras")
    code = (
        "try:\n    import eitheror.keras\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    message = python(code, hidden={"jax"}, KERAS_BACKEND="jax")
    expected = "ImportError Keras is installed, but the backend it is told to use needs jax, which"
    assert message.startswith(expected)
    assert "KERAS_BACKEND" in message


@pytest.mark.slow
@pytest.mark.parametrize("adapter", LOADS)
def test_adapters_need_nothing_of_each_other(adapter):
    """With every other framework absent an adapter still works."""
    installed(*LOADS[adapter])
    others = {*FRAMEWORKS} - LOADS[adapter]
    assert LOADS[adapter] == loaded_by(f"eitheror.{adapter}", hidden=others)


@pytest.mark.parametrize("extra", NEEDS)
def test_extras_install_what_the_adapters_need(extra):
    """pyproject.toml has the extra that the message names, and it holds the framework."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert any(
        line.startswith(NEEDS[extra][0])
        for line in pyproject["project"]["optional-dependencies"][extra]
    )
