# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= $(firstword $(foreach name,python3.11 python3,$(shell $(name) -c $(IS_RECENT) 2>/dev/null && echo $(name))))
IS_RECENT := 'import sys; sys.exit(sys.version_info < (3, 11))'

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile
SLOW_LAYERS := $(wildcard */tests/faults */tests/fuzz */tests/bench */tests/soak)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-all mutate fmt check docs lock clean

help: ## print this
	@echo "Hyperwatch. make …"
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  %-9s %s\n", $$1, $$2 }'

setup: .venv/run.stamp ## install the requirements into .venv

run: .venv/run.stamp ## start all services; settings such as PORT=8081 and DEMO_MARKET=0 are accepted
	@$(BIN)/python manage.py up

# The schemathesis plugin takes 2 s to import in each worker; only the layer fuzz uses it.
test: .venv/test.stamp ## run the layers unit, db and server; ARGS="-k whales" selects
	@$(PYTEST) -p no:schemathesis $(ARGS)

test-slow: .venv/test.stamp ## run the other layers: faults, fuzz, bench, soak
	@$(PYTEST) $(SLOW_LAYERS) $(ARGS)

test-all: .venv/test.stamp ## run every layer
	@$(PYTEST) $(wildcard */tests) $(ARGS)

mutate: .venv/test.stamp ## mutation test: remove each guard of mutations.toml, expect its test to fail; ARGS="redis" selects
	@$(BIN)/python -m hyperwatch.tests.run_mutations $(ARGS)

fmt: .venv/test.stamp ## format the code and fix the lint errors that ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: .venv/test.stamp ## check formatting, lint, types, migrations and spelling
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/codespell .

# A separate environment: the dependencies of mkdocs and of the application are independent.
docs: .venv/docs.stamp .venv/run.stamp ## write the generated parts of docs/ and build site/
	@$(BIN)/python -m hyperwatch.tests.generate_docs
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

# The lock files are valid for every platform and for Python 3.11 or later.
lock: $(BIN)/python ## pin and hash the packages of requirements*.in and their dependencies
	@$(BIN)/python -m venv .venv/lock
	@.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@for name in requirements requirements-dev requirements-docs; do .venv/lock/bin/uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  $(ARGS) --output-file $$name.txt $$name.in || exit 1; done

clean: ## remove .venv, caches and builds; the data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later was not found: install it, or set PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; \
	  echo "$(PYTHON) cannot create a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }

.venv/run.stamp: requirements.txt | $(BIN)/python
	@echo "Installing the requirements into .venv …"
	@$(PIP) --require-hashes -r requirements.txt
	@touch $@

.venv/test.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "Installing the requirements of the tests into .venv …"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@ .venv/run.stamp

.venv/docs.stamp: requirements-docs.txt | $(BIN)/python
	@echo "Installing the requirements of the documentation into .venv/docs …"
	@$(BIN)/python -m venv .venv/docs
	@.venv/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@
