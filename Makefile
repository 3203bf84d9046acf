# `make demo` and `make test` do everything on a fresh machine with Python 3.11+ and the package registries.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready
PEERS  := build/bench# packages that only the benches need, beside the environment and not in it
BENCH  := OMP_NUM_THREADS=1 PYTHONPATH=$(PEERS) $(BIN)/python

.PHONY: demo test check unit kafka bench bench-growth memory soak lock clean
.DEFAULT_GOAL := demo

demo: $(READY)                ## replay the recorded fault and name its cause
	$(BIN)/tocsin replay deploy/demo/recording.csv.gz

test: check unit              ## lint, types and every test

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/python -m pytest -n 2

kafka: $(READY)               ## a real broker, the demo recording through it, findings as they arrive; Ctrl-C ends it
	$(BIN)/python tests/kafka/demo.py

bench: $(READY) $(PEERS)/ready      ## what everything costs beside its peers: one table, five minutes of a core
	$(BENCH) tests/bench/speed.py

bench-growth: $(READY)        ## how that grows, to 10^6 rows, 1,000 variables and 10,000 systems
	$(BENCH) tests/bench/growth.py

memory: $(READY)              ## resident memory over a million rows: up to half an hour
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/memory.py

soak: $(READY)                ## a thousand SIGKILLs of tocsin run and a minute without a broker: three quarters of an hour
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/soak.py --kills 1000 --outage 60

lock: $(READY)                ## after a change of dependencies in pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	  --extra torch --group dev --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	  --group bench --constraints requirements.lock --no-emit-package numpy --no-emit-package scipy \
	  --custom-compile-command "make lock" -o tests/bench/requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info

# Installed once; again only when the lock or the package's own description changes.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked packages (torch with its CUDA libraries is large: a minute or two)"
	@$(BIN)/pip install -q uv
	@$(BIN)/uv pip install -p $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q -p $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(PEERS)/ready: tests/bench/requirements.lock | $(READY)
	@$(BIN)/uv pip install -q -p $(BIN)/python --target $(PEERS) --no-deps --require-hashes -r $<
	@touch $@
