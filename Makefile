# Every target does its own set-up. One cargo profile and one package selection (the whole workspace) for all of them, so that
# dependencies, RocksDB above all, are compiled once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# In CI the target directory outlives the clone.
ifeq ($(CI),true)
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/drawbridge/target
endif
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN := $(TARGET)/release/drawbridge
CARGO_FLAGS := --release --workspace --locked

# Sizes of the slow proofs.
CRASH_CYCLES ?= 20
SEED ?= 1
STATE_TESTS ?= sample
N ?= 5
ARGS ?=

# bash counts its own SECONDS; only what make was given limits the cluster.
ifeq ($(origin SECONDS),command line)
CLUSTER_SECONDS := --seconds $(SECONDS)
unexport SECONDS
endif
CLUSTER_DIR ?= cluster

.PHONY: cluster partitions simulate run build build-all setup setup-all test lint doc unit contracts clients orders crash conformance bench help

help: ## shows the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: build ## starts the dev chain (ARGS="--datadir DIR --http.port N" and more)
	exec $(BIN) --dev $(ARGS)

cluster: build ## four miners and a node for JSON-RPC on this machine, and a live table (SECONDS=n ends them)
	@[ -d "$(CLUSTER_DIR)" ] || $(BIN) network new --nodes 4 --out "$(CLUSTER_DIR)" --lightkdf --miner-cpu 20
	exec $(BIN) network run "$(CLUSTER_DIR)" $(CLUSTER_SECONDS)

build: setup
	cargo build $(CARGO_FLAGS)

# The tests' features are unified with those of the programs, so that one build serves both.
build-all: setup-all
	cargo build $(CARGO_FLAGS) --all-targets

setup:
	@scripts/setup.sh

setup-all:
	@scripts/setup.sh all

test: lint doc unit contracts clients orders crash partitions ## runs every check, the slow ones small
	@echo "make test: all checks passed"

lint: setup-all ## cargo fmt and clippy, warnings as errors
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

doc: setup-all
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --document-private-items

unit: setup-all
	DRAWBRIDGE_STATE_TESTS=$(STATE_TESTS) cargo nextest run $(CARGO_FLAGS) --no-fail-fast

contracts: setup-all ## compiles the contracts again and compares with the checked-in artifacts
	scripts/contracts.sh

clients: build-all ## ethers, viem, web3.js and web3.py against a dev node
	DRAWBRIDGE_BIN=$(BIN) scripts/clients.sh

orders: build-all ## the order experiment: seller, buyer and device over JSON-RPC
	DRAWBRIDGE_BIN=$(BIN) scripts/orders.sh

crash: build-all ## kills the node under load and checks what is left (CRASH_CYCLES, SEED)
	$(TARGET)/release/crash --node $(BIN) --cycles $(CRASH_CYCLES) --seed $(SEED)

simulate: setup-all ## N simulated networks from SEED on; TRACE=1 prints what happens
	SEED=$(SEED) SEEDS=$(if $(filter file,$(origin N)),500,$(N)) cargo nextest run $(CARGO_FLAGS) --test simulation --no-capture -E 'test(nodes_agree)'

partitions: build-all ## five nodes in network namespaces: partitions, loss, slow links, kills (N, SEED)
	$(TARGET)/release/partitions --node $(BIN) --faults $(N) --seed $(SEED)

conformance: setup-all ## the official state and trie tests through the ledger's own state, all of them
	DRAWBRIDGE_STATE_TESTS=all cargo nextest run $(CARGO_FLAGS) --no-capture -E 'binary(state_tests) or binary(trie_vectors)'

bench: build-all ## all measurements; figures and commands stand in bench/README.md
	scripts/bench.sh
