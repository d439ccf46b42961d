# Needs Python 3.11 to 3.13 with pip. Everything else is installed into .venv, at the versions in constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.earshot
TOOLS := $(VENV)/.earshot-tools
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
# One more than there are cores: some tests wait for servers, others for the clock.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
# A worker takes whole files, in our order: what tests of a module share is made once.
DIST := --dist loadfile --no-loadscope-reorder
PYTEST ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OPENBLAS_NUM_THREADS ?= 1
# Tests start hundreds of processes: each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup tools demo run test newest prove bench lint lock

# The newest Python promised, where it is at hand; a pyenv shim is there whether or not its Python is.
NEWEST ?= $(shell for p in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do \
	"$$p" -c '' 2>/dev/null && command -v "$$p" && break; done)

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

setup: $(STAMP)  ## install what is missing into .venv
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "setup: $(VENV) is ready",:)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "setup: needs Python 3.11 to 3.13; say which: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setup: installing into $(VENV) with $(PYTHON) (one to three minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install --quiet pip
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation -e .
	@touch $@
	@echo "setup: done"

tools: $(TOOLS)

$(TOOLS): $(STAMP)
	@echo "tools: installing into $(VENV) what testing needs"
	@$(PIP) --no-build-isolation -e '.[test,lint]'
	@touch $@

demo: setup
	@echo "demo: the sample company (made and loaded once, then kept)"
	@$(BIN)/python -m queries demo
	@echo "demo: finding how sure each rule must be (some twenty seconds, the first time)"
	@$(BIN)/python -m triggers check >/dev/null
	@echo "demo: evaluating the rules"
	@$(BIN)/python -m triggers run --once

run: demo  ## show the sample company's monthly review in the browser
	@echo "run: starting the dashboard (Ctrl+C stops it)"
	@$(BIN)/python -m dashboard

test: tools  ## run the tests
	@echo "test: pytest with $(WORKERS) workers (make test PYTEST='-k word' for some of it)"
	@$(BIN)/python -m pytest -n $(WORKERS) $(DIST) -q $(PYTEST)

newest:  ## run `make test` on the newest supported Python, in a separate environment
	@$(if $(NEWEST),$(MAKE) --no-print-directory test VENV=.venv-newest PYTHON=$(NEWEST),echo "newest: no Python 3.13 here")

prove: tools  ## run the tests in full (`make test` runs a part of the long ones), then `make newest`
	@echo "prove: pytest with every test in full (long)"
	@$(BIN)/python -m pytest -n $(WORKERS) $(DIST) -q --prove $(PYTEST)
	@$(MAKE) --no-print-directory newest

bench: tools  ## measure speed, as ratios between timings of the same run
	@echo "bench: 1M and 10M contacts (make bench BENCH=--large for 100M)"
	@$(BIN)/python -m tests.benchmarks $(BENCH)

lint: tools  ## check formatting, lint rules and types
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff . 2>&1 | head -40; exit 1; }
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "lint: mypy"
	@$(BIN)/python -m mypy --no-error-summary

lock: ## update constraints.txt to the newest versions that pyproject.toml allows
	@echo "lock: resolving in build/lock"
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet -e '.[test,lint]'
	@{ sed '/^[^#]/d' constraints.txt; build/lock/bin/python -m pip freeze --exclude earshot; } > build/lock.txt
	@mv build/lock.txt constraints.txt && rm -rf build/lock
	@git diff --stat -- constraints.txt
