"""The Keras losses, on each backend that is installed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("keras_checks.py")
pytest.importorskip("keras", reason="Keras is not installed: pip install 'eitheror[keras]'")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_losses_keep_their_promises_on_the_backend(backend):
    """Every check of `keras_checks.py` passes in a process whose Keras uses this backend."""
    if find_spec(backend) is None:
        pytest.skip(f"Keras' backend {backend} is not installed")
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_ENABLE_X64": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-2000:]
