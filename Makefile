# Entry points: `make run` to try Ringback, `make test` for what CI runs. Each sets up what it needs and asks nothing.
# PYTHON=/path/to/python3.11 chooses the interpreter; PYTEST='-k lanes' passes arguments to the tests.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install install-tests run static check test bench chaos screenshots lock

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PYTEST ?= -n auto

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## set up .venv with Ringback in it

# The lock is complete, so pip need not resolve anything; --no-build-isolation takes setuptools from it too.
.venv/.installed: requirements.lock setup.cfg pyproject.toml
	@tools/set-up python
	@echo 'Installing Ringback into .venv (less than a minute, or a few where nothing is cached) …' >&2
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

install-tests: .venv/.installed-tests

.venv/.installed-tests: requirements-test.lock .venv/.installed
	@echo 'Installing what the tests need into .venv …' >&2
	@$(PIP) install --no-deps --require-hashes -r requirements-test.lock
	@touch $@

# At a terminal the server gets its own process group (set -m), so that Ctrl-C reaches it and not make. Otherwise make would
# wait for it to drain and then report an interrupt instead of its exit status.
run: install ## start everything in embedded mode on http://127.0.0.1:8080
	@tools/set-up curl
	@if { : </dev/tty; } 2>/dev/null; then set -m; $(BIN)/ringback serve --quickstart; else exec $(BIN)/ringback serve --quickstart; fi

static: install-tests
	@$(BIN)/ruff format --check --quiet || { echo 'not formatted: $(BIN)/ruff format' >&2; false; }
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check: static ## half a minute: format, lint, types, import contracts, and the tests that need no service
	@$(BIN)/python -m pytest --quiet $(PYTEST) tests/unit

test: static ## everything that CI runs
	@tools/set-up services
	@$(BIN)/python -m pytest $(PYTEST)

bench: install-tests ## the benchmarks, with their tables
	@tools/set-up services
	@$(BIN)/python -m benchmarks

chaos: install-tests ## inject every failure at full size and count losses: about an hour and a half
	@tools/set-up services
	@$(BIN)/python -m tests.chaos

screenshots: install-tests ## take the pictures of the pages in docs/images again: a minute
	@tools/set-up services
	@$(BIN)/python -m tests.browser.screenshots

# A temporary environment: pip-tools and Ringback need nothing of each other.
lock: install ## rewrite the lock files from setup.cfg, with the newest versions that fit
	@$(BIN)/python -m venv --clear .venv/lock && .venv/lock/bin/pip install --quiet --disable-pip-version-check pip-tools
	@export CUSTOM_COMPILE_COMMAND='make lock'; \
	compile='.venv/lock/bin/pip-compile --quiet --no-config --upgrade --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options'; \
	$$compile --all-build-deps -o requirements.lock setup.cfg && $$compile --extra test -c requirements.lock -o requirements-test.lock setup.cfg
	@rm -rf .venv/lock
