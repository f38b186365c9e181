# The only entry points; `make help` lists them. Each is a script of its own in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-short bench-backup lint lint-deps image dist soak fuzz faults

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## watch real containers' logs arrive, through a kill of the agent (2 minutes)
	@scripts/demo

test: ## everything that must hold; installs what it needs (root or sudo)
	@scripts/test

bench: ## measure speed and memory next to other programs (20 minutes); fails when they got worse
	@scripts/bench full
	@$(MAKE) --no-print-directory bench-backup BENCH_BACKUP="--rounds 1 --out target/bench/results"

bench-short: ## the same in two minutes, without what takes long
	@scripts/bench short

bench-backup: ## backup and restore next to pg_dump and pg_restore
	@scripts/docker-engine
	@scripts/stack-images
	@scripts/bench-backup $(BENCH_BACKUP)

lint: ## formatting, clippy, documentation, house limits, dependencies
	@scripts/lint

lint-deps: ## licences, sources and banned crates of the dependency tree
	@scripts/lint-deps

image: ## build the agent's container image, for amd64 and arm64
	@scripts/docker-engine
	@scripts/agent-image amd64 arm64

dist: ## make the release archives for both, in dist/: image, platform-ops, deploy/, SBOM
	@scripts/docker-engine
	@scripts/dist amd64 arm64

soak: ## the test of rotation, kills and outages for ten minutes, or SOAK=seconds
	@scripts/soak $(SOAK)

fuzz: ## search for inputs that break the core, for a minute or FUZZ=seconds
	@scripts/setup
	@scripts/fuzz $(FUZZ)

faults: ## write docs/faults.md and faults-ops.md: which test holds which fault, by the last test run
	@scripts/faults
