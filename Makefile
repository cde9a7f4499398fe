# `make run` and `make test` do all their own set-up, in .venv, from a bare Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help run test lint types promises check bench bench-live fuzz clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: $(VENV)/for-run  ## the site on http://127.0.0.1:8000, with its own database
	$(BIN)/python run.py

test: $(VENV)/for-development $(CLIENTS)  ## all tests
	$(BIN)/python -m pytest

lint: $(VENV)/for-development  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/for-development  ## types
	$(BIN)/mypy

promises: $(VENV)/for-development  ## whether every promise in docs/ has its test
	$(BIN)/python -m tests.covered

check: lint types promises test  ## everything that must be green

bench: $(VENV)/for-benchmarks bench-live  ## measures the site against its peers, for docs/performance.md
	$(BIN)/python -m tests.benchmarks.compare
	$(BIN)/python -m tests.benchmarks.growth
	$(BIN)/python -m tests.benchmarks.sign_ins

bench-live: $(VENV)/for-benchmarks  ## the part of bench that holds ten thousand long-polls
	$(BIN)/python -m tests.benchmarks.live

fuzz: $(VENV)/for-benchmarks  ## strange input to every parser and to a running site, for docs/security.md
	$(BIN)/python -m tests.fuzz.guided
	$(BIN)/python -m tests.fuzz.running_site

clean:  ## removes the environment and the caches; the data in .data stays
	rm -rf $(VENV) tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Latchkey needs Python 3.11 or newer, not " + sys.version.split()[0] \
	    if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || (rm -rf $(VENV); echo "Debian and Ubuntu: apt-get install python3-venv"; exit 1)

$(VENV)/for-run: requirements.txt requirements-embedded.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-embedded.txt
	@touch $@

$(VENV)/for-development: requirements.txt requirements-embedded.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/for-run

$(VENV)/for-benchmarks: requirements-bench.txt $(VENV)/for-development
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

# axios and axe, for tests only. Without them those tests are skipped, and say so.
$(CLIENTS): tests/clients/package-lock.json
	@npm ci --prefix tests/clients --no-audit --no-fund --silent && touch $@ \
	    || echo "npm packages are missing: apt-get install nodejs npm, or look at what npm said"
