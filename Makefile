# Everything here needs only `make` and a Python from 3.10 to 3.14; the rest is created under .venv/,
# .tools/ and .demo/. `PYTHON=python3.13 make ...` picks another interpreter, and `WORKERS=0 make test`
# runs the tests in one process instead of one for each core.

PYTHON ?= python3
PYTEST_ARGS ?=
WORKERS ?= auto
BENCH_ARGS ?=

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

UV_VERSION := 0.13.8
UV := .tools/uv/bin/uv
BIN := .venv/bin

# One lock file with hashes for each environment, for every supported Python and platform.
GROUPS := dev meltano target-jsonl target-postgres
resolve = $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header \
	--no-annotate $(if $(filter dev,$(1)),pyproject.toml) --group pyproject.toml:$(1) --output-file $(2)
install = $(UV) venv --quiet --clear $(1) && \
	$(UV) pip install --quiet --python $(1) --require-hashes --requirements requirements/$(2).txt

# uv uses the interpreter above and never downloads one; an environment that happens to be active
# is left alone.
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never
# As pip does. Without it each run of a program would compile all that it imports, where Python may not write bytecode.
export UV_COMPILE_BYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

say = @printf '\033[1m==> %s\033[0m\n' "$(1)"

.PHONY: help demo test lint format format-check types docs docs-check lock lock-check check bench clean env

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.stamp .tools/meltano/.stamp ## Load Pendo and Pipedrive into PostgreSQL with Meltano
	@$(BIN)/python -m demo

test: .venv/.stamp .tools/target-jsonl/.stamp .tools/target-postgres/.stamp ## Run the tests (PYTEST_ARGS="-k state")
	$(call say,Tests)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		$(PYTEST_ARGS)

lint: .venv/.stamp ## Check style with ruff
	@$(BIN)/ruff check .

format-check: .venv/.stamp ## Check that `make format` would change nothing
	@$(BIN)/ruff format --check .

format: .venv/.stamp ## Fix what ruff can fix, then format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

types: .venv/.stamp ## Check types with mypy in strict mode
	@$(BIN)/mypy

docs: .venv/.stamp ## Write the README's settings and streams tables anew
	@$(BIN)/python -m scripts.docs

docs-check: .venv/.stamp ## Check that tables, meltano.yml and the Hub definition are current
	@$(BIN)/python -m scripts.docs --check

lock: $(UV) ## Resolve pyproject.toml's requirements anew, keeping pinned versions that still fit
	@$(foreach group,$(GROUPS),$(call resolve,$(group),requirements/$(group).txt) &&) true

lock-check: $(UV) ## Check that the files under requirements/ fit pyproject.toml
	@mkdir -p .tools/lock && cp requirements/*.txt .tools/lock/
	@$(foreach group,$(GROUPS),$(call resolve,$(group),.tools/lock/$(group).txt) &&) true
	@diff -ru requirements .tools/lock && echo 'requirements/ fits pyproject.toml'

check: ## Run every gate that CI runs
	@.ci/run

bench: .venv/.stamp ## Compare speed with another tap and a bare loop (BENCH_ARGS="--scenario A --full")
	@$(BIN)/python -m benchmarks.compare $(BENCH_ARGS)

clean: ## Remove all that `make` and Meltano created
	rm -rf .venv .tools .demo .meltano output .mypy_cache .pytest_cache .ruff_cache .hypothesis

env: .venv/.stamp ## Create the development environment only

# --- environments ------------------------------------------------------------------------------------

$(UV):
	$(call say,Installing uv $(UV_VERSION))
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 10) else f"Python 3.10 or newer is needed, {sys.executable} is {v[0]}.{v[1]}; set PYTHON=...")'
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet "uv==$(UV_VERSION)"

.venv/.stamp: pyproject.toml requirements/dev.txt | $(UV)
	$(call say,Creating the environment .venv)
	@$(call install,.venv,dev)
	@$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.tools/meltano/.stamp .tools/target-jsonl/.stamp .tools/target-postgres/.stamp: .tools/%/.stamp: requirements/%.txt | $(UV)
	$(call say,Installing $*)
	@$(call install,.tools/$*,$*)
	@touch $@
