# Everything from a fresh clone: `make demo`, `make test`. Needs Linux, Python >= 3.11, Node >= 20 and make; a C compiler
# is used where there is one.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .stamps
WORKERS ?= 2
NATIVE := $(wildcard consensus/arithmetic/native/*.c consensus/arithmetic/native/*.inc)
SOLIDITY := $(shell find contracts/src contracts/test contracts/script -name '*.sol' 2>/dev/null)

export PATH := $(CURDIR)/tools/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: test-long help setup demo test test-contracts attacks gas snapshots test-python test-install test-interop bench-exact bench-dispute bench-serve bench-net attack-dispute test-softfloat slither prove lint lock clean simulate bench-pipeline test-oracles bench-aggregate bench-byzantine chaos bench-quorums fuzz-net bench-cohort bench-cohort-alone attack-gateway fuzz-gateway bench-volunteer dashboard e2e-browser bench-gpu test-fused load-gateway
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

setup: $(STAMPS)/package $(STAMPS)/npm ## virtual environment, compiled kernels, contract toolchain

demo: $(STAMPS)/package $(STAMPS)/npm ## a network of three honest nodes and two cheats; writes demo-report.json
	$(BIN)/python -m node.demo

test: test-contracts test-python ## every test

test-contracts: $(STAMPS)/contracts  # where CI is set: 512 runs of a fuzz test, 256 sequences of 64 calls of an invariant
	$(if $(CI),FOUNDRY_PROFILE=ci) forge test --gas-snapshot-check=true --gas-snapshot-emit=false

attacks: $(STAMPS)/python $(STAMPS)/contracts ## every attack on the contracts by name, one line each
	$(BIN)/python tools/attacks.py

gas: $(STAMPS)/contracts ## gas of every verb against contracts/snapshots; fails where one has changed
	forge test --match-contract Gas --gas-snapshot-check=true --gas-snapshot-emit=false

snapshots: $(STAMPS)/contracts ## write the gas figures in contracts/snapshots anew
	forge test --gas-snapshot-check=false

test-python: $(STAMPS)/package $(STAMPS)/npm $(STAMPS)/contracts $(STAMPS)/dashboard
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=40

test-install: $(STAMPS)/package ## install the package elsewhere and run it from there
	$(BIN)/python -m pytest -q tests/install -m install

test-long: $(STAMPS)/package ## six members of a cohort over the real network, one of them offline: many minutes
	$(BIN)/python -m pytest -q tests/cohort -m long

test-fused: $(STAMPS)/package $(STAMPS)/triton ## the GPU's fused kernels, interpreted on the processor, bit for bit
	PYTHONPATH=$(STAMPS)/triton $(BIN)/python -m pytest -q -n $(WORKERS) tests/arithmetic/test_fused.py tests/commitments/test_device_roots.py

test-interop: $(STAMPS)/package $(STAMPS)/interop ## identify and gossip with js-libp2p, both ways
	$(BIN)/python -m pytest -q tests/interop -m interop

test-oracles: $(STAMPS)/package $(STAMPS)/oracles ## the robust rules against ByzFL's and Flower's
	$(BIN)/python -m pytest -q -s tests/aggregation -m oracles

dashboard: $(STAMPS)/package $(STAMPS)/dashboard ## build the pages anew into the package
	$(BIN)/python tools/dashboard.py

e2e-browser: $(STAMPS)/package $(STAMPS)/npm $(STAMPS)/dashboard ## the pages in a real Chromium: a person joins, trains, looks on, pays; accessibility
	$(BIN)/python -m pytest -q tests/browser -m browser

bench-aggregate: $(STAMPS)/package $(STAMPS)/oracles ## the robust rules against ByzFL's; writes bench/results/aggregate.json
	$(BIN)/python bench/aggregate.py

bench-byzantine: $(STAMPS)/package ## training with poisoned updates; writes bench/results/byzantine.json
	$(BIN)/python -m bench.byzantine

attack-gateway: $(STAMPS)/package ## volunteers that lie to a gateway; writes bench/results/gateway-attacks.json
	$(BIN)/python -m bench.gateway_attacks

fuzz-gateway: $(STAMPS)/package ## 10,000 malformed uploads to a running gateway; writes bench/results/fuzz-gateway.json
	$(BIN)/python -m bench.fuzz_gateway

bench-exact: $(STAMPS)/package ## exact against native training; writes bench/results/exact.json
	$(BIN)/python bench/exact.py

bench-gpu: $(STAMPS)/package ## exact against native training on an NVIDIA GPU; writes bench/results/gpu.json
	$(BIN)/python -m bench.gpu

bench-dispute: $(STAMPS)/package $(STAMPS)/npm ## what a dispute costs; writes bench/results/dispute.json
	$(BIN)/python -m bench.dispute

bench-pipeline: $(STAMPS)/package ## 2, 3 and 4 stages against one process; writes bench/results/pipeline.json
	$(BIN)/python -m bench.pipeline

bench-cohort-alone: $(STAMPS)/package ## a cohort's rounds in one process, against the best synchronous rate
	$(BIN)/python -m bench.cohort_alone rate=0.001

bench-cohort: $(STAMPS)/package ## two quorums and two async nodes against one process; writes bench/results/cohort.json
	$(BIN)/python -m bench.cohort
bench-volunteer: $(STAMPS)/package ## bytes of volunteers' uploads and what they cost the model; writes bench/results/volunteer.json
	$(BIN)/python -m bench.volunteer

bench-serve: $(STAMPS)/package ## serving against native generation, and 200 requests at once; writes bench/results/serve.json
	$(BIN)/python bench/serve.py

fuzz-net: $(STAMPS)/package ## 10,000 junk messages on every protocol and topic; writes bench/results/fuzz-net.json
	$(BIN)/python -m bench.fuzz_net

bench-net: $(STAMPS)/package ## streams against TCP and HTTP, gossip and DHT by nodes; writes bench/results/net.json
	$(BIN)/python -m bench.net

chaos: $(STAMPS)/package $(STAMPS)/npm ## faults in real processes: killed, cut off, slow, no chain; writes bench/results/chaos.json
	$(BIN)/python -m bench.chaos $(CASES)

bench-quorums: $(STAMPS)/package ## N nodes form quorums, train, sync, dissolve (N=20); writes bench/results/quorums.json
	$(BIN)/python -m bench.quorums --nodes $(if $(filter command,$(firstword $(origin N))),$(N),20)
load-gateway: $(STAMPS)/package ## 100 volunteers at once for five minutes; writes bench/results/gateway.json
	$(BIN)/python -m bench.gateway_load

N ?= 1000
simulate: $(STAMPS)/package ## the rules of quorums on N simulated machines (N=1000); writes bench/results/simulate.json
	$(BIN)/python -m bench.simulate --nodes $(N)

attack-dispute: $(STAMPS)/package $(STAMPS)/npm ## every lie about every op kind; writes bench/results/attack-dispute.json
	$(BIN)/python -m bench.dispute_attacks

test-softfloat: $(STAMPS)/package $(STAMPS)/npm ## a million pairs an op against the processor
	SOFTFLOAT_CASES=1000000 $(BIN)/python -m pytest -q tests/differential/test_softfloat.py

slither: $(STAMPS)/audit $(STAMPS)/npm ## static analysis of the contracts; docs/AUDIT.md says what is left out and why
	FOUNDRY_OUT=$(STAMPS)/slither/out FOUNDRY_CACHE_PATH=$(STAMPS)/slither/cache $(STAMPS)/audit/bin/slither .

HALMOS := FOUNDRY_PROFILE=symbolic $(STAMPS)/audit/bin/halmos --forge-build-out $(STAMPS)/symbolic/out

prove: $(STAMPS)/audit $(STAMPS)/npm ## halmos: bonds, slashes and splits conserve every wei, no terminal state can be left
	$(HALMOS) --match-contract '(Staking|Registry|Games)Symbolic'
	$(HALMOS) --match-contract '(Split|Slash)Symbolic' --solver-command '$(STAMPS)/audit/bin/python tools/cvc5_solver.py'

lint: $(STAMPS)/package $(STAMPS)/contracts $(STAMPS)/dashboard ## every linter, and what is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	forge fmt --check
	FOUNDRY_OUT=$(STAMPS)/lint/out FOUNDRY_CACHE_PATH=$(STAMPS)/lint/cache forge lint  # it overwrites artefacts
	$(BIN)/python tools/export_artifacts.py --check
	$(BIN)/python tools/protos.py --check
	$(BIN)/python tools/wasm.py --check
	npm run --silent --prefix dashboard check
	$(BIN)/python tools/dashboard.py --check

lock: ## write requirements.lock anew from pyproject.toml
	$(BIN)/python tools/lock.py

clean: ## remove everything that was built or installed
	rm -rf .venv node_modules tests/interop/node_modules dashboard/node_modules $(STAMPS) contracts/out contracts/cache build .demo
	find consensus -name '*.so' -delete

$(STAMPS)/python: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: $(STAMPS)/python pyproject.toml $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

# A venv of its own: halmos needs an older rich than the node.
$(STAMPS)/audit: pyproject.toml
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check \
	  $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["audit"])')
	@touch $@

# Apart, because it is as large as PyTorch and only these tests need it; CUDA builds of PyTorch bring it.
$(STAMPS)/triton: pyproject.toml $(STAMPS)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ \
	  $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fused"])')
	@touch $@

# A venv of its own, and without the libraries' dependencies: only their aggregators run. PyTorch is the node's.
$(STAMPS)/oracles: pyproject.toml $(STAMPS)/python
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["oracles"])')
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/node.pth
	@touch $@

$(STAMPS)/npm: package.json package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	  || { echo "Node.js 20 or newer is needed for the development chain and the contracts"; exit 1; }
	npm install --no-save --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

# js-libp2p: only the test of interoperability needs it, so it stands apart from the contracts' toolchain.
$(STAMPS)/interop: tests/interop/package.json tests/interop/package-lock.json
	npm ci --prefix tests/interop --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

# The pages' own tools stand apart too: Vite, TypeScript, Biome, axe.
$(STAMPS)/dashboard: dashboard/package.json dashboard/package-lock.json
	npm ci --prefix dashboard --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/contracts: $(STAMPS)/npm foundry.toml $(SOLIDITY)
	forge build --quiet
	@touch $@
