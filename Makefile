# Every target does all of its own set-up: `make run` and `make test` are enough on a fresh machine.
# ARGS is handed to the program that a target runs: make run ARGS="--listen 127.0.0.1:9000".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# What the lock file says is what is built and tested.
LOCKED := --locked
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/bin/cargo-deny
ARGS ?=
# Of `make faults`, and of `make sim`.
SEED ?= 1
RUNS ?= 10000
CUTS ?= 20
KILLS ?= 50

.PHONY: help run test test-long bench faults sim sim-controls mutants mutant fmt check-fmt clippy deny tidy generate advisories setup clean

help: ## Say what there is.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup ## Build and start the server; prints its address and the first administrator's code.
	$(CARGO) run $(LOCKED) --release --package chirrup -- serve $(ARGS)

test: check-fmt clippy deny tidy mutant ## Everything that must hold: format, lints, licences, tests, tidiness.
	$(CARGO) test $(LOCKED) --workspace

test-long: test ## The same, then many more random cases and the tests that take long.
	PROPTEST_CASES=20000 CHIRRUP_DAMAGES=2000 $(CARGO) test $(LOCKED) --workspace --release -- --include-ignored

bench: setup ## Measure, beside floors of this machine: ARGS="--quick", ARGS="--json", ARGS="--only sends".
	$(CARGO) build $(LOCKED) --release --package chirrup --package chirrup-bench
	$(TARGET)/release/chirrup-bench $(ARGS)

faults: setup ## Cut the power and kill, under load: SEED=n CUTS=c KILLS=k, ARGS="--stops 0" and more.
	$(CARGO) build $(LOCKED) --release --package chirrup --package chirrup-faults
	@$(TARGET)/release/chirrup-faults --seed $(SEED) --cuts $(CUTS) --kills $(KILLS) $(ARGS)

sim: setup ## Live through RUNS schedules from SEED on, and judge them; prints what fails, shortened.
	$(CARGO) build $(LOCKED) --release --package chirrup-sim
	@$(TARGET)/release/chirrup-sim --seed $(SEED) --runs $(RUNS) $(ARGS)

sim-controls: setup ## Break each rule of the simulation's list, and tell which schedule found it.
	$(CARGO) build $(LOCKED) --release --package chirrup-sim
	@$(TARGET)/release/chirrup-sim --controls --seed $(SEED)

mutants: mutant ## Break each rule, see which test notices, and write docs/mutants.md anew.
	CHIRRUP_TEST_WRITE_MUTANTS=1 $(CARGO) test $(LOCKED) --package chirrup --test promises -- --exact --nocapture \
		mutants::every_mutant_is_caught_by_a_test_that_passes_without_it

# For tests alone; they build it themselves if it is not there.
mutant: setup
	$(CARGO) clippy $(LOCKED) --package chirrup-mutants --features mutants -- -D warnings
	$(CARGO) build $(LOCKED) --package chirrup-mutant --features mutants

fmt: setup ## Format all code.
	$(CARGO) fmt --all

generate: setup ## Write the generated parts of PROTOCOL.md anew.
	$(CARGO) run $(LOCKED) --quiet --package xtask -- generate

check-fmt: setup
	$(CARGO) fmt --all -- --check

clippy: setup
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings

tidy: setup
	$(CARGO) run $(LOCKED) --quiet --package xtask -- tidy

# The advisories come out of a database that is fetched; it is read here where a copy is at hand.
deny: $(DENY)
	$(DENY) --all-features check bans licenses sources
	@if compgen -G "$${CARGO_HOME:-$$HOME/.cargo}/advisory-dbs/*" >/dev/null; then \
		$(DENY) --all-features check --disable-fetch advisories; \
	else \
		echo "deny: no advisory database at hand, so only the crates banned in deny.toml are refused ('make advisories' fetches one)"; \
	fi

advisories: $(DENY) ## Fetch the advisory database and check the lock file against it.
	$(DENY) --all-features check advisories

# Unoptimised, which builds in half the time and checks this workspace in a second.
$(DENY): | setup
	@if [ "$$(cargo-deny --version 2>/dev/null)" = "cargo-deny $(DENY_VERSION)" ]; then \
		mkdir -p $(dir $(DENY)) && ln -sf "$$(command -v cargo-deny)" $(DENY); \
	else \
		$(CARGO) install --locked --debug --version $(DENY_VERSION) --no-default-features \
			--root $(TARGET)/tools --target-dir $(TARGET)/tools/build cargo-deny && \
		rm -rf $(TARGET)/tools/build; \
	fi

setup:
	@scripts/setup

clean: ## Remove what was built.
	$(CARGO) clean
