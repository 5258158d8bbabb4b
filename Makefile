# Common tasks. Run `make` to list them.

.DEFAULT_GOAL := help
.PHONY: help run test check audit fix bench dist prove-dist fuzz clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build, move the rows of examples/quickstart into the sandbox and message events back, show what arrived; on a terminal, end in the dashboard
	@scripts/setup build
	cargo build
	@scripts/quickstart

test: ## run every test; installs and starts the servers they need, stops them again
	scripts/test

check: ## check formatting, lints, the links of doc comments and dependencies, as required before a commit; installs cargo-deny and cargo-machete once
	scripts/check
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --quiet

audit: ## look for security advisories of dependencies; needs the network
	scripts/check audit

fix: ## fix formatting and simple lints
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

bench: ## measure rows, streams and events against the limits of the machine; QUICK=1 for a first look, WHAT=… for a part, PEERS=1 adds rivals
	scripts/bench

dist: ## build what people install into dist/: a tarball, a Debian package, a wheel
	scripts/dist

prove-dist: ## install what is in dist/ where there is no compiler, Node.js or Python, and call each verb; as root, with debootstrap
	scripts/prove-dist

fuzz: ## fuzz what reads bytes of others, guided by coverage; SECONDS_EACH=60 for each target, TARGETS=… for some
	scripts/fuzz $(TARGETS)

clean: ## stop servers; remove generated files but keep build artifacts
	-scripts/servers stop
	rm -rf .servers .venv .venv-peers .venv-api .venv-airflow .venv-mcp clients/node/node_modules examples/*/.tidegate
