# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need in .venv.
# Needs Python 3.11 or newer; PYTHON=python3.12 picks another.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
TESTS := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal

.PHONY: demo test check check-long docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.train  ## train a CNN on the bundled digits, write demo/report.html
	$(BIN)/convgrad train --data digits --out demo --seed $(SEED) --overwrite

test: $(VENV)/.test  ## run the tests, a process on each core
	$(TESTS)

check: $(VENV)/.check  ## lint, types, docs, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --doctest-modules --doctest-ignore-import-errors src/convgrad
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build/html

check-long: $(VENV)/.test  ## hours: ten times as many draws, 200 000 cases on every instruction set, planted mistakes
	CONVGRAD_TEST_EXAMPLES=1000 $(TESTS)
	$(BIN)/convgrad check --backend ours --isa all --cases 200000 --seed $(SEED)
	$(BIN)/python tools/mutate.py

docs: $(VENV)/.check  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q docs docs/_build/html

clean:
	rm -rf $(VENV) demo docs/_build docs/api/generated

# One marker file per set of tools; a changed pyproject.toml installs them again.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "convgrad needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"

$(VENV)/.train: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[train]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e . --group test
	@touch $@

$(VENV)/.check: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e ".[train]" --group test --group lint --group docs
	@touch $@
