# `make` alone lists the targets.

SHELL := /bin/bash
CARGO ?= cargo
NPM ?= npm
WEB := clients/web
E2E := tests/e2e
export AWS_LC_SYS_USE_SYSTEM := 0

.DEFAULT_GOAL := help
.PHONY: help build run demo-matrix demo-matrix-deps test unit e2e lint fmt bench bench-rivals gate gate-update fuzz web web-test deploy-check deps clean

help: ## This list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

build: web ## Everything, release profile
	$(CARGO) build --release --workspace

run: web ## A call in the browser: builds, starts, prints an address to open in two tabs
	$(CARGO) run -p sfu-server -- --dev

demo-matrix-deps: ## Fetches what demo-matrix needs: Synapse (into .demo/), browsers, packages
	tools/demo-matrix-deps.sh

demo-matrix: web ## A Matrix call in the browser: two homeservers, the focus, a room; prints a link for each of two users
	@CARGO_NET_OFFLINE=true $(CARGO) build -p sfu-server
	@exec node tools/demo-matrix.mjs

test: deps lint unit web-test deploy-check e2e gate ## Everything that CI runs: lints, unit tests, simulations, the web client, real browsers
	@echo "make test: all passed"

unit: web ## Unit tests and simulations
	$(CARGO) test --workspace --all-features

web-test: web ## Tests of the TypeScript client
	cd $(WEB) && $(NPM) run --silent check && $(NPM) test

e2e: deps web .demo/synapse/requirements.txt ## Real browsers against the real server, in a network namespace of their own
# What `unit` has built: without `--tests`, tokio has other features, and most dependencies are compiled once more.
	$(CARGO) build --workspace --all-features --bins --tests
	tools/e2e.sh full

lint: web ## Formatting, clippy, fuzz targets, documentation, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	$(CARGO) check --quiet --manifest-path fuzz/Cargo.toml
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items
	tools/deny.sh

fmt: ## Formats the Rust code
	$(CARGO) fmt --all

bench: ## Cost per packet, memory, join time; prints them beside benches/scoreboard.md
	tools/bench.sh

bench-rivals: ## Installs Janus and LiveKit for `sfu-bench peers`
	tools/install-rivals.sh

gate: deps ## Instructions and allocations per forwarded packet against benches/scoreboard.md
	$(CARGO) run --release -q -p sfu-bench -- gate

gate-update: deps ## Writes what `make gate` counts into benches/scoreboard.md
	$(CARGO) run --release -q -p sfu-bench -- gate --update

fuzz: ## Every fuzz target for SECONDS (default 20) each
	fuzz/run.sh $(SECONDS_PER_TARGET)

web: $(WEB)/dist/index.html ## The call page

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/src $(WEB)/*.json $(WEB)/*.mjs -type f 2>/dev/null)
	cd $(WEB) && $(NPM) run --silent build
	@touch $@

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && $(NPM) ci --no-audit --no-fund

deploy-check: ## Container files, systemd unit and example configuration, as far as this machine can check them
	deploy/check.sh

# Where Synapse cannot be had, the tests that need it are skipped aloud; under CI that is a failure.
.demo/synapse/requirements.txt: tools/synapse-requirements.txt
	tools/demo-matrix-deps.sh synapse || [ "$$CI" != true ]

deps: ## Browsers and tools that the tests need, where they may be installed
	tools/deps.sh

clean: ## Removes what was built
	$(CARGO) clean
	rm -rf $(WEB)/dist $(WEB)/node_modules $(E2E)/node_modules
