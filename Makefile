# Every target sets up .venv by itself when it is missing or older than pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal
export AMARANTH_USE_YOSYS := builtin
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
# One line for each package, and one for the long silence at the end.
SHORTEN := sed -un -e 's/^Collecting \([A-Za-z0-9._-]*\).*/  \1/p' -e 's/^Installing collected.*/  installing them/p'

.PHONY: demo test test-slow test-all lint bench clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/galton demo

test: $(STAMP)
	$(PYTEST)

test-slow: $(STAMP)
	$(PYTEST) -m "cosim or build"

test-all: $(STAMP)
	$(PYTEST) -m ""

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/galton bench

$(STAMP): pyproject.toml constraints.txt
	@sh tools/check-system $(PYTHON)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@echo "galton: installing packages into $(VENV), once; a few minutes"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[all]' | $(SHORTEN)
	@touch $@

clean:
	rm -rf $(VENV) build dist
