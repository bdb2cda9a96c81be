# All targets but help and clean make the environment first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a process for each core; tests of one xdist_group (tests/conftest.py) stay in one process
PARALLEL := -n logical --dist loadgroup
FAST := -m "not slow and not ray and not browser and not s3 and not root"

.PHONY: help demo test fast coverage lint types check docs site templates package bench clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

demo: $(VENV)/installed  ## find the people on two real photos
	$(BIN)/mivolo demo

test: $(VENV)/installed  ## run all tests
	$(BIN)/python -m pytest $(PARALLEL)

fast: $(VENV)/installed  ## run the tests that need a few minutes and nothing but Python
	$(BIN)/python -m pytest $(PARALLEL) $(FAST)

coverage: $(VENV)/installed  ## run the fast tests and list the lines that they miss (build/coverage/index.html)
	$(BIN)/python -m pytest $(PARALLEL) $(FAST) --cov --cov-report=term:skip-covered --cov-report=html

lint: $(VENV)/installed  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed  ## check types
	$(BIN)/mypy

check: lint types test  ## what has to pass before a change is merged

docs: $(VENV)/installed  ## write docs/commands.md, the reference of commands
	$(BIN)/python docs/reference.py

site: $(VENV)/installed  ## build the documentation site (build/site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

templates: $(VENV)/installed  ## write the graphs of the embedded models (weights/*.template)
	$(BIN)/python -m mivolo_cli.runtime.template_writer

package: $(VENV)/installed  ## build the wheel and the source distribution (dist/)
	$(BIN)/python -m build --outdir dist

bench: $(VENV)/installed  ## measure speed and memory: a few minutes, with nothing else running
	$(BIN)/python bench/model.py --json bench-model.json
	$(BIN)/python bench/scan.py --json bench-scan.json
	$(BIN)/python bench/memory.py --json bench-memory.json

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:  ## remove the environment and all that was built
	rm -rf $(VENV) mivolo-demo build dist .coverage* .pytest_cache .ruff_cache .mypy_cache
