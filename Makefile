# `make demo` and `make test` do all of their own set-up on a fresh Debian or Ubuntu machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.csmv-installed
EXTRAS ?= collect,s3,dev
DEMO_ROOT ?= csmv-demo

.PHONY: help setup system demo test test-all mutants check format bench constraints clean

help:
	@echo "make demo    set up, then crawl a sandbox site and run the whole pipeline on sample data"
	@echo "make test    set up, then run the tests with coverage"
	@echo "make check   set up, then lint and type-check"
	@echo "make mutants set up, then count which small faults in the core modules their own tests notice"
	@echo "make bench   set up, then run the benchmarks under tests/benchmarks"

setup: $(STAMP)

# What pip can't bring: Python's venv module where Debian splits it off, and a browser for the crawl.
system:
	@sh docker/system-packages.sh $(PYTHON)

$(STAMP): pyproject.toml constraints.txt docker/system-packages.sh
	@sh docker/system-packages.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing csmv and what it needs into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

demo: setup
	@$(BIN)/csmv demo --root $(DEMO_ROOT)

test: setup
	@$(BIN)/coverage erase
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov --cov-report=term

test-all: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# Not part of `make test`: minutes a module. MODULES=pipeline/splits.py for one of them.
mutants: setup
	@$(BIN)/python tests/mutants.py $(MODULES)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m csmv.flows.generated --check

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# After a deliberate upgrade in $(VENV): write down what is installed there.
constraints:
	@{ echo "# What the tests ran with. Written by \`make constraints\`; used by \`make setup\`."; \
	   $(BIN)/python -m pip freeze --exclude-editable --exclude csmv | grep -v ' @ '; } > constraints.txt

clean:
	rm -rf $(VENV) $(DEMO_ROOT) $(DEMO_ROOT)-crawl .coverage* .pytest_cache .mypy_cache .ruff_cache
