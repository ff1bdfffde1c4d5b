# Every target sets up what it needs in .venv and nowhere else; a second run finds it there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check docs bench clean

help:
	@echo 'make demo    train, evaluate and decide on two small data sets (core dependencies only)'
	@echo 'make test    the whole test suite'
	@echo 'make check   formatting, lint, types, tests: what CI runs'
	@echo 'make docs    the documentation as a site in site/'
	@echo 'make bench   the benchmark scripts in benchmarks/'

demo: $(VENV)/.core
	$(BIN)/eitheror demo --output demo-output

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.test $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean

bench: $(VENV)/.test $(VENV)/.bench
	@for script in $(filter-out %/figure.py,$(wildcard benchmarks/[a-z]*.py benchmarks/questions/q*.py)) benchmarks/figure.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf demo-output site .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'eitheror needs Python 3.11 or newer; say which with: make PYTHON=python3.12 demo' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras: newer than pyproject.toml means installed.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.test $(VENV)/.dev $(VENV)/.docs $(VENV)/.bench: $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[$*]'
	@touch $@ $(VENV)/.core
