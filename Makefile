# Every target sets itself up: `make install` prepares .venv once and again when its inputs change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
# The release the weights were checked with. It is named alone and first, because a range would
# take the newest build with its gigabytes of GPU libraries. Override it for a machine of your own.
TORCH ?= torch==2.13.0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Two processes, each with a PostgreSQL server of its own: most tests wait more than they count.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help install develop demo test check lint types audit server ordeal faults bench train clean

help: ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## prepare .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Ouvidor needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install -q '$(TORCH)' -c constraints.txt
	$(BIN)/python -m pip install -q -e . -c constraints.txt
	touch $@

develop: $(DEVELOPED) ## prepare .venv with what tests need, too

# mypy has to see the package under its name; the link gives it that.
$(DEVELOPED): $(STAMP)
	$(BIN)/python -m pip install -q --group dev -c constraints.txt
	mkdir -p $(VENV)/src && ln -sfn ../.. $(VENV)/src/ouvidor
	touch $@

demo: install ## the whole cycle on the stand-in brand, offline
	$(BIN)/ouvidor demo --keep demo-out

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: develop
	MYPYPATH=$(VENV)/src $(BIN)/mypy --strict -p ouvidor

audit: develop ## bandit, and known holes of libraries where their database can be reached
	$(BIN)/bandit -q -ll -r . -c pyproject.toml
	$(BIN)/python .ci/audit

check: lint types ## lint, types and fast tests: before every commit
	$(PYTEST) --dist loadscope -m "not slow and not ordeal"

test: develop ## all tests
	$(PYTEST) --dist loadscope -m "not ordeal"

server: develop ## the tests that take a SQLite file, on a PostgreSQL server
	$(PYTEST) --dist loadscope -m "not ordeal" --server

ordeal: develop ## kill rounds, random histories, soak
	$(PYTEST) -m ordeal

faults: develop ## every fault at random, 200 kills among them, and what was lost
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m faults

bench: develop ## speed and memory, as ratios measured in one run
	for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done
	test -z "$$OUVIDOR_CORPUS" || $(BIN)/python benchmarks/spikes/run.py

train: develop ## the shipped weights anew, from CORPUS/data/open and our own text
	$(BIN)/python -m ouvidor.nlp.training.train --corpus $(CORPUS) --state .training

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out
