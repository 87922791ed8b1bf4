# `make check` is what a change must pass; BIN says where the tools are installed.
BIN ?= .venv/bin

.PHONY: check test test-all fuzz

check:
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 -m "not slow"

test:
	$(BIN)/pytest -q -n 2 -m "not slow"

test-all:
	$(BIN)/pytest -q -n 2 --dist loadfile

# Outside of the suite: hostile input for everything that parses.
FUZZ_SECONDS ?= 600
fuzz:
	PYTHONPATH=tests:tests/guard:tests/deployment $(BIN)/python -W error -m fuzz --seconds $(FUZZ_SECONDS)
