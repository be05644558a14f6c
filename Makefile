# Every target does its own set-up. One cargo profile and one package selection (the whole workspace) for all of them, so that
# dependencies, RocksDB above all, are compiled once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# In CI the target directory outlives the clone, whose own crates are compiled once.
ifeq ($(CI),true)
export CARGO_INCREMENTAL ?= 0
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/drawbridge/target
endif
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN := $(TARGET)/release/drawbridge
BENCH := $(TARGET)/release/drawbridge-bench
CARGO_FLAGS := --release --workspace --locked

# Sizes of the slow proofs: N cycles or transactions, a small number by default.
N ?=
SEED ?= 1
# Of how many files of published vectors the sample in `make test` runs one.
SAMPLE ?= 16
ARGS ?=
# What ends a step of `make test` that hangs, with exit code 124.
LIMIT ?=
# Size of the load of devices: how many, for how long each time, and updates a second where they are paced.
DEVICES ?= 1000
LOAD_SECONDS ?= 20
PACED ?= 500
# Of the measurements of nodes that meet: empty and full blocks, transfers in a full one, rounds, blocks through a line of nodes.
EMPTY ?= 20000
FULL ?= 2000
TRANSFERS ?= 1700
ROUNDS ?= 1
BLOCKS ?= 30
# Of the attacks on a node: headers with bad seals in a second, megabytes of orphans, sybils.
HEADERS ?= 10000
ORPHANS_MB ?= 64
SYBILS ?= 200
# After how many milliseconds the attacked node's allocator gives back what is free, so that what is measured is what the node holds.
PURGE_DELAY ?= 10

# bash counts its own SECONDS; only what make was given limits the cluster.
ifeq ($(origin SECONDS),command line)
CLUSTER_SECONDS := --seconds $(SECONDS)
unexport SECONDS
endif
CLUSTER_DIR ?= cluster

.PHONY: run build build-all setup setup-all desk-built test lint doc unit contracts desk clients tools orders hostile proxy devices
.PHONY: device-load device-load-sample conformance conformance-sample bench rpc-load rpc-load-sample rpc-abuse help abuse-sample
.PHONY: faults crash power disk-full io-errors corrupt differential cluster partitions simulate hostile-peers fuzz fuzz-guided meeting
.PHONY: hostile-peers-sample meeting-sample sync-rate propagation

help: ## shows the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: build ## starts the dev chain (ARGS="--datadir DIR --http.port N" and more)
	exec $(BIN) --dev $(ARGS)

cluster: build ## four miners and a node for JSON-RPC on this machine, and a live table (SECONDS=n ends them)
	@[ -d "$(CLUSTER_DIR)" ] || $(BIN) network new --nodes 4 --out "$(CLUSTER_DIR)" --lightkdf --miner-cpu 20
	exec $(BIN) network run "$(CLUSTER_DIR)" $(CLUSTER_SECONDS)

build: setup desk-built
	cargo build $(CARGO_FLAGS)

# The tests' features are unified with those of the programs, so that one build serves both.
build-all: setup-all desk-built
	cargo build $(CARGO_FLAGS) --all-targets

setup:
	@scripts/setup.sh

setup-all:
	@scripts/setup.sh all

# The browser application, which cargo embeds: built where its sources changed, left out where there is no Node.js.
desk-built: setup
	@scripts/desk.sh

test: export DRAWBRIDGE_SKIP_WITHOUT_ANVIL = 1
test: export LIMIT = timeout --kill-after=30s 20m
test: lint doc unit conformance-sample contracts desk clients tools orders hostile proxy devices device-load-sample faults differential rpc-load-sample partitions abuse-sample hostile-peers-sample meeting-sample ## runs every check, the slow ones small
	@echo "make test: all checks passed"

lint: setup-all desk-built ## cargo fmt and clippy, warnings as errors; the crate `proof` without std
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	scripts/no-std.sh

doc: setup-all desk-built
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --document-private-items

unit: setup-all desk-built
	cargo nextest run $(CARGO_FLAGS) --no-fail-fast

contracts: setup-all ## compiles the contracts again and compares with the checked-in artifacts
	$(LIMIT) scripts/contracts.sh

desk: build-all ## the desk: type check, unit tests, and the whole story in a real browser
	$(LIMIT) scripts/desk.sh test
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/desk-e2e.sh

clients: build-all ## ethers, viem, web3.js and web3.py against a dev node
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/clients.sh

tools: build-all ## Foundry, Hardhat and Truffle: their own suites against dev nodes
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/tools.sh

orders: build-all ## the order experiment: seller, buyer and device over JSON-RPC
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/orders.sh

hostile: build-all ## hostile attempts on the device path: none may open a lock (HOSTILE_ATTEMPTS, HOSTILE_GOOD)
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/hostile.sh

proxy: build-all ## nginx in front of live nodes: login, limits, balancing, failover, WebSocket, retries of reads alone
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/proxy.sh

devices: build-all ## AWS's device SDKs against the embedded broker and Mosquitto; the shadow service killed (DEVICE_KILLS)
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/devices.sh

device-load: build-all ## shadow updates under load beside Mosquitto's plain messages (DEVICES, LOAD_SECONDS, PACED)
	PATH=$$PATH:/usr/sbin $(LIMIT) $(TARGET)/release/examples/device_load $(BIN) $(DEVICES) $(LOAD_SECONDS) $(PACED)

device-load-sample:
	@$(MAKE) device-load DEVICES=40 LOAD_SECONDS=1 PACED=50

faults: crash power disk-full io-errors corrupt ## the five below (N cycles of each, SEED)

crash: build-all ## kills the node in every situation of its life and checks what is left (N, SEED)
	$(LIMIT) $(BENCH) crash kill --node $(BIN) --cycles $(or $(N),15) --seed $(SEED)

power: build-all ## power losses: what was not synced is lost in part (N, SEED)
	$(LIMIT) $(BENCH) crash power --node $(BIN) --cycles $(or $(N),8) --seed $(SEED)

disk-full: build-all ## fills a small file system under the node; takes root (N, SEED)
	$(LIMIT) $(BENCH) crash full --node $(BIN) --cycles $(or $(N),2) --seed $(SEED)

io-errors: build-all ## calls on the database's files fail (N, SEED)
	$(LIMIT) $(BENCH) crash io --node $(BIN) --cycles $(or $(N),8) --seed $(SEED)

corrupt: build-all ## damages files of the database (N, SEED)
	$(LIMIT) $(BENCH) crash corrupt --node $(BIN) --cycles $(or $(N),15) --seed $(SEED)

differential: build-all ## the same random transactions here and in Anvil or DRAWBRIDGE_OTHER_NODE (N, SEED)
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/differential.sh $(or $(N),200) $(SEED)

conformance: build-all ## published test vectors, all of them, through the ledger's own doors (ARGS="--suite state --fork Osaka" and more)
	$(LIMIT) $(BENCH) conformance $(or $(ARGS),--document docs/conformance.md)

conformance-sample: build-all
	$(LIMIT) $(BENCH) conformance --sample $(SAMPLE)

partitions: build-all ## five nodes in network namespaces: partitions, loss, slow links, kills (N, SEED)
	$(LIMIT) $(BENCH) partitions --node $(BIN) --faults $(or $(N),5) --seed $(SEED)

rpc-abuse: build-all ## hostile and careless clients against JSON-RPC, and others are still served (ABUSE="--idle 1000 --calls 20" and more)
	$(LIMIT) $(BENCH) abuse --node $(BIN) --seed $(SEED) --strict $(ABUSE)

abuse-sample: build-all
	$(LIMIT) $(BENCH) abuse --node $(BIN) --seed $(SEED) --idle 500 --slow 200 --readers 20 --seconds 3 --malformed 10000 --calls 20 --blocks 20

simulate: setup-all ## N simulated networks from SEED on; TRACE=1 prints what happens
	SEED=$(SEED) SEEDS=$(or $(N),500) cargo nextest run $(CARGO_FLAGS) --profile long --test simulation --no-capture -E 'test(nodes_agree)'

hostile-peers: build-all ## a node under attack over loopback: frames, bombs, requests, bad seals, orphans, sybils, half-open and silent ones, unread answers, TURNS of N seconds of each (HEADERS, ORPHANS_MB, SYBILS; STRICT=1 on a quiet machine)
	MIMALLOC_PURGE_DELAY=$(PURGE_DELAY) $(LIMIT) $(BENCH) hostile-peers --node $(BIN) --seconds $(or $(N),2) --turns $(or $(TURNS),1) --headers $(HEADERS) --orphans-mb $(ORPHANS_MB) --sybils $(SYBILS) $(if $(STRICT),--strict)

hostile-peers-sample: build-all
	MIMALLOC_PURGE_DELAY=$(PURGE_DELAY) $(LIMIT) $(BENCH) hostile-peers --node $(BIN) --seconds 2

fuzz: setup-all ## N mutated messages of each kind, and N arbitrary events for the machine (N, SEED)
	SEED=$(SEED) FUZZ=$(or $(N),20000) cargo nextest run $(CARGO_FLAGS) --profile long --test messages --no-capture -E 'test(fuzz::)'
	SEED=$(SEED) FUZZ=$(or $(N),20000) cargo nextest run $(CARGO_FLAGS) --profile long --test machine --no-capture -E 'test(fuzz::)'

fuzz-guided: build-all ## libFuzzer on each kind of message, N seconds each, by what it reaches (N, SEED)
	scripts/fuzz.sh $(or $(N),60) $(SEED) $(TARGET)

meeting: sync-rate propagation ## the two below

sync-rate: build-all ## catching up over loopback beside the import of the same chain from a file (EMPTY, FULL, TRANSFERS, ROUNDS)
	$(LIMIT) $(BENCH) meeting --node $(BIN) sync --empty-blocks $(EMPTY) --full-blocks $(FULL) --transfers $(TRANSFERS) --rounds $(ROUNDS)

propagation: build-all ## full blocks through a line of five nodes (BLOCKS, TRANSFERS)
	$(LIMIT) $(BENCH) meeting --node $(BIN) line --blocks $(BLOCKS) --transfers $(TRANSFERS)

meeting-sample: build-all
	$(LIMIT) $(BENCH) meeting --node $(BIN) sync --empty-blocks 300 --full-blocks 10 --transfers 100
	$(LIMIT) $(BENCH) meeting --node $(BIN) line --blocks 2 --transfers 100

rpc-load: build-all ## reads of this node and of Anvil or DRAWBRIDGE_OTHER_NODE, over 1 and 32 connections (ARGS="--read-seconds 10")
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/rpc-load.sh $(ARGS)

# Every answer is compared with what stands on the chain; the figures of so short a run say nothing.
rpc-load-sample: build-all
	DRAWBRIDGE_BIN=$(BIN) $(LIMIT) scripts/rpc-load.sh --read-seconds 0.1 --read-blocks 3 --read-transfers 20

bench: build-all ## all measurements; figures and commands stand in bench/README.md
	scripts/bench.sh
