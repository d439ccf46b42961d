# Needs Python 3.11 to 3.13 with pip. Everything else is installed into .venv, at the versions in constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.earshot
WORKERS ?= 2
PYTEST ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo run test prove bench lint lock

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

setup: $(STAMP)  ## install into .venv what is missing
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "setup: $(VENV) is ready",:)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "setup: needs Python 3.11 to 3.13; say which: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setup: installing into $(VENV) with $(PYTHON) (one to three minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install --quiet pip
	@$(BIN)/python -m pip install --quiet -c constraints.txt hatchling
	@$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@
	@echo "setup: done"

demo: setup
	@echo "demo: the sample company (made and loaded once, then kept)"
	@$(BIN)/python -m queries demo
	@echo "demo: finding how sure each rule must be (some twenty seconds, the first time)"
	@$(BIN)/python -m triggers check >/dev/null
	@echo "demo: evaluating the rules"
	@$(BIN)/python -m triggers run --once

run: demo  ## the sample company's monthly review, in the browser
	@echo "run: starting the dashboard (Ctrl+C stops it)"
	@$(BIN)/python -m dashboard

test: setup  ## everything that can be tested on this machine
	@echo "test: pytest with $(WORKERS) workers (make test PYTEST='-k word' for some of it)"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q $(PYTEST)

prove: setup  ## the whole matrices, of which `test` runs a part
	@echo "prove: pytest over the whole matrices (long)"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q --prove $(PYTEST)

bench: setup  ## how fast it is, in ratios measured in one run
	@echo "bench: 1M and 10M contacts (make bench BENCH=--large for 100M)"
	@$(BIN)/python -m tests.benchmarks $(BENCH)

lint: setup  ## format, rules and types
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff . 2>&1 | head -40; exit 1; }
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "lint: mypy"
	@$(BIN)/python -m mypy --no-error-summary

lock: ## move constraints.txt to the newest versions that pyproject.toml allows
	@echo "lock: resolving in build/lock"
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet -e '.[test,lint]'
	@{ sed '/^[^#]/d' constraints.txt; build/lock/bin/python -m pip freeze --exclude earshot; } > build/lock.txt
	@mv build/lock.txt constraints.txt && rm -rf build/lock
	@git diff --stat -- constraints.txt
