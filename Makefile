# What one does here. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help run test check fix bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build, move the rows of examples/quickstart into the sandbox and message events back, show what arrived
	@scripts/setup build
	cargo build
	@scripts/quickstart

test: ## every test; installs and starts what they need, stops it again
	scripts/test

check: ## formatting and lints, as they must be before a commit
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fix: ## fix formatting and simple lints
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

bench: ## rows, streams and events against what the machine can do at best; QUICK=1 for a first look, WHAT=… for a part, PEERS=1 adds rivals
	scripts/bench

clean: ## stop the servers, remove what setup, runs and benches made; keep the build
	-scripts/servers stop
	rm -rf .servers .venv .venv-peers clients/node/node_modules examples/*/.tidegate
