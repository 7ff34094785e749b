PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-slow check bench docs lock clean

demo: $(STAMP)  ## the main job on this machine, with simulated data
	$(BIN)/undercurrent demo --out demo-out

test: $(STAMP)  ## every test that a continuous integration should wait for
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)  ## the tests marked slow
	$(BIN)/python -m pytest -m slow --timeout 1200

check: $(STAMP)  ## lint, format, types, import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(STAMP)  ## measure the engine and the analyses, and print the tables
	$(BIN)/python -m benchmarks.engine && $(BIN)/python -m benchmarks.analyses

docs: $(STAMP)  ## check that the documents' links and commands exist
	$(BIN)/python -m pytest tests/test_docs.py

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

lock:  ## resolve the ranges of pyproject.toml afresh
	sh scripts/lock $(PYTHON)

clean:
	rm -rf .venv demo-out
