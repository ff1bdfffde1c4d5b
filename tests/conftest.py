"""Settings of the whole test suite."""

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

# No deadline: machines are shared, and a slow example is no wrong one. The CI run draws the same
# examples each time, so that it fails only for a reason that the change brought.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Keras chooses its backend when it is imported: here one that other tests load anyway.
INSTALLED = [name for name in ("torch", "jax", "tensorflow") if find_spec(name)]
os.environ.setdefault("KERAS_BACKEND", INSTALLED[0] if INSTALLED else "tensorflow")

# Tests of an adapter are skipped where its framework is absent, except those named in
# EITHEROR_TEST_BACKENDS=torch,jax,keras,tensorflow,hf: where they run for sure, as in CI.
PACKAGES = {name: name for name in ("torch", "jax", "keras", "tensorflow")} | {"hf": "transformers"}


def pytest_configure() -> None:
    """Stop where a framework that is to be tested is not installed."""
    for name in filter(None, os.environ.get("EITHEROR_TEST_BACKENDS", "").split(",")):
        if name not in PACKAGES:
            raise pytest.UsageError(
                f"EITHEROR_TEST_BACKENDS names {name!r}; it lists some of {', '.join(PACKAGES)}"
            )
        if find_spec(PACKAGES[name]) is None:
            raise pytest.UsageError(
                f"EITHEROR_TEST_BACKENDS names {name}, and {PACKAGES[name]} is not installed: "
                "pip install 'eitheror[test]'"
            )
