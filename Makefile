# Every target creates what it needs; `make demo` and `make test` work on a fresh clone.
SHELL := /bin/bash
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEV_INSTALLED := $(VENV)/.dev-installed

.PHONY: help demo test check format lint types system-packages lab bench soak explore differential fuzz docs clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cloister needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv" >&2; exit 1; }

$(INSTALLED): $(BIN)/python pyproject.toml
	@echo "installing cloister into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_INSTALLED): $(INSTALLED)
	@echo "installing the development tools into $(VENV)"
	@$(BIN)/python scripts/dev_requirements.py > $(VENV)/dev-requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/dev-requirements.txt
	@touch $@

demo: $(INSTALLED) ## Run the main job: a report over the standard library, a refusal, a verified and a tampered record.
	@$(BIN)/python examples/demo.py

system-packages: ## Install the system packages the tests use, when this user may.
	@scripts/system-packages

test: $(DEV_INSTALLED) system-packages ## Run all tests; in JOBS (1) processes.
	@$(BIN)/python -m compileall -q src  # the tests start a thousand processes, each of which would compile it
	@$(BIN)/python -m pytest $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --dist loadfile) $(PYTEST_ARGS)

check: $(DEV_INSTALLED) format lint types test ## Everything a change must pass: format, lint, types, tests.

format: $(DEV_INSTALLED) ## Check the formatting.
	@$(BIN)/ruff format --check --quiet src tests benchmarks examples scripts fuzz

lint: $(DEV_INSTALLED) ## Run the linter.
	@$(BIN)/ruff check --quiet src tests benchmarks examples scripts fuzz

types: $(DEV_INSTALLED) ## Check the types.
	@$(BIN)/mypy

lab: $(DEV_INSTALLED) ## Run the drivers of VMMs with real programs in an emulated machine; see tests/lab/README.md.
	@$(BIN)/python -m pytest tests/lab -rs

bench: $(DEV_INSTALLED) ## Measure, beside peers, which it installs; GROUP=sandbox measures the groups of that name alone.
	@$(BIN)/python scripts/dev_requirements.py bench > $(VENV)/bench-requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/bench-requirements.txt
	@$(BIN)/python -m benchmarks $(if $(GROUP),"$(GROUP)")

soak: $(DEV_INSTALLED) ## Run RUNS (10000) sandboxes of all kinds and 200 at once, and fail when anything is left of them.
	@$(BIN)/python -m benchmarks.soak --runs $(or $(RUNS),10000)

differential: $(DEV_INSTALLED) ## Compare the engines on COUNT (100000) generated programs, from seed SEED (1) on, in JOBS (2) processes.
	@$(BIN)/python -m tests.differential.explore --count $(or $(COUNT),100000) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2)

fuzz: $(DEV_INSTALLED) ## Fuzz everything that reads plan text, guided by coverage, for FUZZ_SECONDS (60).
	@$(BIN)/python scripts/dev_requirements.py fuzz > $(VENV)/fuzz-requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/fuzz-requirements.txt
	@mkdir -p build/fuzz && cd build/fuzz && PYTHONHASHSEED=0 ../../$(BIN)/python ../../fuzz/reader_and_compiler.py corpus -max_total_time=$(or $(FUZZ_SECONDS),60)

explore: $(DEV_INSTALLED) ## Try the properties with new examples, EXPLORE_TIMES (20) as many as `make test` does.
	@EXPLORE_TIMES=$(or $(EXPLORE_TIMES),20) $(BIN)/python -m pytest -q -o timeout=0 tests/property

docs: $(INSTALLED) ## Write the generated parts of docs/: help texts, builtins and system calls.
	@$(BIN)/python scripts/write_docs.py

clean: ## Remove what the targets created.
	rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
