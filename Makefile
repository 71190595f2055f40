# `make test` is what CI runs. Everything here works from a fresh clone.
.PHONY: help setup build release test quick fmt lint worlds web e2e screenshots readme fuzz bench chaos vendor

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## install what the tests need (Debian: by apt-get and pip; elsewhere: says what is missing)
	@scripts/setup

build: ## both programs, debug
	cargo build --workspace

release: ## both programs, optimized
	cargo build --workspace --release

test: setup ## install what is needed, then everything that CI checks
	@scripts/test

quick: ## what can be checked without a browser: format, lints, unit and integration tests
	@scripts/test fmt lint rust web

fmt: ## format the Rust code
	cargo fmt --all

lint: ## clippy, warnings as errors
	@scripts/test lint

worlds: ## 100,000 simulated worlds of the scheduler; some minutes
	SKEP_WORLDS=100000 cargo test -p scheduler --test all in_all_worlds

web: ## tests of the dashboard's logic
	@scripts/test web

e2e: ## the dashboard in a real browser, against real programs
	@scripts/test e2e

screenshots: setup ## pictures of every view of the dashboard, in target/screenshots/all
	@scripts/screenshots

readme: ## the commands of the README
	@scripts/test readme

fuzz: ## libFuzzer on everything that is read from strangers, FUZZ_SECONDS=60 for each target
	@scripts/fuzz

bench: ## side by side: pytest on real suites, trigger to first test, bare inserts, bare commands; the page of a large job
	bench/real-suites
	bench/suites
	bench/trigger-latency
	bench/store
	bench/commands
	bench/page
	bench/first-load
	bench/line-to-pixel

chaos: ## real processes under a seeded schedule of faults, on both databases; scripts/chaos --help
	cargo build --workspace --bins
	scripts/chaos

vendor: ## fetch the dashboard's pinned libraries again
	scripts/vendor-web
