# make demo: the main job on two real photos; make test: all tests; make docs: the reference of commands.
# All make the environment first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test docs lint types check clean

demo: $(VENV)/installed
	$(BIN)/mivolo demo

test: $(VENV)/installed
	$(BIN)/python -m pytest

docs: $(VENV)/installed
	$(BIN)/typer mivolo_cli.cli utils docs --name mivolo --output docs/commands.md

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

check: lint types test

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) mivolo-demo build dist .pytest_cache .ruff_cache .mypy_cache
