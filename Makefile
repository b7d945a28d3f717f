# make study | test | lab | lint | clean. Each target sets up .venv by itself when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# Extra words for pip, for example the index of CPU-only builds of PyTorch (see README.md).
PIP_ARGS ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt $(PIP_ARGS)
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: study test lab lint clean

study: $(VENV)/.ready
	@$(BIN)/ldr run params/micro.yaml --cores $(CORES)

test: $(VENV)/.ready-test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest

lab: $(VENV)/.ready
	@$(BIN)/jupyter lab notebooks

lint: $(VENV)/.ready-test
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) runs .snakemake

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch setuptools
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@
