# make demo: the main job on two real photos; make test: all tests; make fast: those that need no more than
# a few minutes and nothing but Python; make docs: the reference of commands.
# All make the environment first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a process for each core; tests of one xdist_group (tests/conftest.py) stay in one process
PARALLEL := -n logical --dist loadgroup

.PHONY: demo test fast docs lint types check bench clean

demo: $(VENV)/installed
	$(BIN)/mivolo demo

test: $(VENV)/installed
	$(BIN)/python -m pytest $(PARALLEL)

fast: $(VENV)/installed
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not ray and not browser and not s3 and not root"

docs: $(VENV)/installed
	$(BIN)/typer mivolo_cli.cli utils docs --name mivolo --output docs/commands.md

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

check: lint types test

# a few minutes on two cores; nothing else should run meanwhile
bench: $(VENV)/installed
	$(BIN)/python bench/model.py --json bench-model.json
	$(BIN)/python bench/scan.py --json bench-scan.json
	$(BIN)/python bench/memory.py --json bench-memory.json

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) mivolo-demo build dist .pytest_cache .ruff_cache .mypy_cache
