# `make demo` and `make test` do all of their own set-up on a fresh Debian or Ubuntu machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.csmv-installed
EXTRAS ?= all,dev
DEMO_ROOT ?= csmv-demo

.PHONY: help setup system locked torch demo test test-fast test-all trials mutants check format bench wheel constraints lock clean

help:
	@echo "make demo    set up, then crawl a sandbox site and run the whole pipeline on sample data"
	@echo "make test    set up, then run the tests with coverage"
	@echo "make test-fast  set up, then the tests of a minute: no browser, no Prefect, no PyTorch"
	@echo "make test-all  the same, with tests that take minutes"
	@echo "make trials  set up, then run the trials that take a quarter of an hour each"
	@echo "make check   set up, then lint and type-check"
	@echo "make mutants set up, then count which small faults in the core modules their own tests notice"
	@echo "make bench   set up, then run the benchmarks under tests/benchmarks"
	@echo "make lock    write the hashed locks that images are made from, after a change of constraints.txt"
	@echo "make wheel   set up, then build dist/csmv-*.whl, which pip installs anywhere"

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

# The same without anything that is not in the locks, for an image: first everything but PyTorch, then PyTorch, with its
# CUDA libraries or, from TORCH_INDEX, without. That index can't be in a lock: its wheels are pinned by version alone.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
TORCH_INDEX ?=
LOCKED := --no-deps --only-binary :all: --require-hashes --requirement
locked:
	@sh docker/system-packages.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install $(LOCKED) docker/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .

torch:
	@if [ -n "$(TORCH_INDEX)" ]; then \
	    $(PIP) install --no-deps --only-binary :all: --index-url "$(TORCH_INDEX)" $$(grep -E '^torch(vision)?==' constraints.txt); \
	else $(PIP) install $(LOCKED) docker/requirements.cuda.lock; fi

demo: setup
	@$(BIN)/csmv demo --root $(DEMO_ROOT)

test: setup
	@$(BIN)/coverage erase
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov --cov-report=term

# A minute: what needs neither a browser, Prefect nor PyTorch.
test-fast: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --fast --numprocesses=auto --maxprocesses=4 --dist=loadfile

test-all: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not long" --numprocesses=auto --maxprocesses=4 --dist=loadfile

# Whole-size trials: machines killed for a quarter of an hour, hundreds of videos crawled. An hour and more.
trials: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

# Not part of `make test`: minutes a module. MODULES=pipeline/splits.py for one of them.
mutants: setup
	@$(BIN)/python tests/mutants.py $(MODULES)

# Type-checking wants a folder that is the package: links to the three, inside the environment.
LINKS := $(VENV)/links/csmv
check: setup
	@mkdir -p $(LINKS) && ln -sfn $(CURDIR)/pipeline $(CURDIR)/extractors $(CURDIR)/flows $(LINKS)/
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m csmv.flows.generated --check

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wheel: setup
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/csmv-*.whl

# After a deliberate upgrade in $(VENV): write down what is installed there.
constraints:
	@{ echo "# What the tests ran with. Written by \`make constraints\`; used by \`make setup\`."; \
	   $(BIN)/python -m pip freeze --exclude-editable --exclude csmv | grep -v ' @ '; } > constraints.txt

# After a change of constraints.txt: the same versions with the hashes of their files, for `make locked`. What PyTorch
# brings for CUDA is a lock of its own.
CUDA := ^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==
UV := $(VENV)/uv/bin/uv
lock: setup
	@test -x $(UV) || { $(BIN)/python -m venv $(VENV)/uv && $(VENV)/uv/bin/python -m pip install --quiet uv; }
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    > $(VENV)/build.in
	@$(UV) pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    --python-version 3.11.9 --extra all --constraint constraints.txt --output-file $(VENV)/all.lock pyproject.toml $(VENV)/build.in
	@for part in requirements requirements.cuda; do \
	    echo "# Written by \`make lock\` from constraints.txt; \`make locked torch\` installs it." > docker/$$part.lock; \
	    awk -v cuda="$$([ $$part = requirements ] && echo 0 || echo 1)" \
	        '/^[A-Za-z0-9]/ { is = ($$0 ~ /$(CUDA)/) } is == cuda' $(VENV)/all.lock >> docker/$$part.lock; done

clean:
	rm -rf $(VENV) $(DEMO_ROOT) $(DEMO_ROOT)-crawl .coverage* .pytest_cache .mypy_cache .ruff_cache
