# Ironbook's front door. `make help` lists the targets; everything they install goes into .venv and build/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# cmake and ninja of the system if there are any, else those that pip brings into the environment
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHON
JOBS ?= 2
RELEASE := build/release
SANITIZE := build/sanitize
FUZZ := build/fuzz
FUZZ_SECONDS ?= 10
FUZZ_LONG_SECONDS ?= 1800
SOAK_COMMANDS ?= 100000000
SOAK_SEED ?= 1

C_FILES = $(shell find engine_node tests benchmarks -name '*.[ch]' ! -name vocabulary.h ! -name names.h | sort)
DASHBOARD_FILES = $(shell find dashboard -path dashboard/node_modules -prune -o -type f ! -name .npmrc -print)
CMAKE_FLAGS = -G Ninja -DPython3_EXECUTABLE=$(CURDIR)/$(PY)

.PHONY: help venv engine build dashboard functions screenshots report-screenshots demo-report test-dashboard generate format lint lint-c lint-python test test-c test-core test-sanitize test-fuzz test-python test-terraform terraform-apply-local terraform-tools bundle images terraform-docs services soak fuzz \
	up demo bench-ingress bench-replay bench-match bench-depth bench-streams bench-gateway bench-cold-start clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-21s %s\n", $$1, $$2}'

# ---- environment and build ------------------------------------------------------------------------------------------

INSTALL = $(PY) -m pip install -q --disable-pip-version-check --no-build-isolation \
	--config-settings=wheel.cmake=false --config-settings=editable.mode=inplace

# What runs Ironbook, and ccxt to trade with; $(VENV)/.ready has what checks and tests it as well.
$(VENV)/.runs: pyproject.toml ops/system-packages
	@ops/system-packages build
	@test -x $(PY) || { echo "making $(VENV): a minute or two, the first time"; $(PYTHON) -m venv $(VENV); }
	@$(PY) -c 'import sys; sys.exit("Ironbook needs Python 3.11 or newer, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@command -v cmake >/dev/null && command -v ninja >/dev/null || $(PY) -m pip install -q --disable-pip-version-check cmake ninja
	@echo "installing Python packages into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check 'scikit-build-core>=0.10'
	@$(INSTALL) -e '.[embedded,gateway,streams]' 'ccxt>=4.5'
	@touch $@

$(VENV)/.ready: $(VENV)/.runs
	@echo "installing what tests and checks need into $(VENV)"
	@$(INSTALL) -e '.[dev]'
	@touch $@

venv: $(VENV)/.ready ## the Python environment, in .venv

$(RELEASE)/build.ninja: $(VENV)/.runs
	@mkdir -p build
	@cmake -S . -B $(RELEASE) $(CMAKE_FLAGS) -DCMAKE_BUILD_TYPE=Release >build/release.log 2>&1 || { cat build/release.log; exit 1; }
	@touch $@

build: $(RELEASE)/build.ninja ## the C libraries, the extension module, C tests and benchmark programs (incremental)
	@ninja -C $(RELEASE) -j $(JOBS) -k 0 --quiet 2>&1 | (grep -vE 'no work to do|GLOB mismatch|^-- ' || true)

engine: $(RELEASE)/build.ninja
	@ninja -C $(RELEASE) -j $(JOBS) --quiet _engine 2>&1 | (grep -vE 'no work to do|GLOB mismatch|^-- ' || true)

dashboard/node_modules/.ready: dashboard/package.json dashboard/package-lock.json dashboard/.npmrc | $(VENV)/.runs
	@echo "installing the dashboard's packages into dashboard/node_modules"
	@cd dashboard && ../ops/with-node npm ci --silent
	@touch $@

gateway/assets/index.html: dashboard/node_modules/.ready $(DASHBOARD_FILES)
	@mkdir -p build
	@ops/with-node npm --prefix dashboard run --silent build >build/dashboard.log 2>&1 || { cat build/dashboard.log; exit 1; }

dashboard: gateway/assets/index.html ## the page to trade and watch on, into gateway/assets (incremental)
	@:

screenshots: $(VENV)/.ready build dashboard ## pictures of the page in docs/images, from a running stack
	@ops/system-packages browser
	@$(PY) -m tests.dashboard.screenshots

report-screenshots: $(VENV)/.ready build ## pictures of a day's report in docs/images, from a tape through a running engine
	@ops/system-packages browser
	@$(PY) -m tests.functions.reporting.screenshots

demo-report: $(VENV)/.ready build ## a day's report by the reporting function, without AWS: plays a flow, prints the path of the page
	@$(PY) -m tests.functions.reporting.demo

generate: $(VENV)/.ready ## vocabulary.h, vocabulary.py and the wire pages from schemas/*.json
	@$(PY) -m schemas.generate

format: $(VENV)/.ready ## C by clang-format, imports and simple repairs of Python by ruff
	@$(BIN)/clang-format -i $(C_FILES)
	@$(BIN)/ruff check --fix --quiet . || true

# ---- checks ---------------------------------------------------------------------------------------------------------

lint: lint-c lint-python ## clang-format, ruff, mypy --strict, generated files

lint-c: $(VENV)/.ready
	@echo "== clang-format"
	@test -z "$(C_FILES)" || $(BIN)/clang-format --dry-run -Werror $(C_FILES)

lint-python: $(VENV)/.ready
	@echo "== ruff, mypy, generated files"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(PY) -m schemas.generate --check

test-dashboard: dashboard/node_modules/.ready
	@echo "== the dashboard's types and pure parts"
	@ops/with-node npm --prefix dashboard run --silent check

test-c: build
	@echo "== C tests"
	@ctest --test-dir $(RELEASE) --output-on-failure -j $(JOBS) --no-tests=ignore

test-core: $(VENV)/.ready
	@echo "== the core alone"
	@mkdir -p build
	@test -f build/core/build.ninja || cmake -S engine_node/core -B build/core -G Ninja >build/core.log 2>&1 \
		|| { cat build/core.log; exit 1; }
	@ninja -C build/core -j $(JOBS) --quiet
	@ctest --test-dir build/core --output-on-failure -j $(JOBS) --no-tests=ignore

test-sanitize: $(VENV)/.ready
	@echo "== C tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@mkdir -p build
	@test -f $(SANITIZE)/build.ninja || cmake -S . -B $(SANITIZE) $(CMAKE_FLAGS) -DCMAKE_BUILD_TYPE=Debug -DIRONBOOK_SANITIZE=ON \
		-DIRONBOOK_EXTENSION=OFF >build/sanitize.log 2>&1 || { cat build/sanitize.log; exit 1; }
	@ninja -C $(SANITIZE) -j $(JOBS) --quiet
	@ctest --test-dir $(SANITIZE) --output-on-failure -j $(JOBS) --no-tests=ignore

$(FUZZ)/.built: .FORCE
	@ops/system-packages test
	@mkdir -p build
	@test -f $(FUZZ)/build.ninja || cmake -S . -B $(FUZZ) $(CMAKE_FLAGS) -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
		-DIRONBOOK_FUZZ=ON -DIRONBOOK_TESTS=ON >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
	@ninja -C $(FUZZ) -j $(JOBS) --quiet fuzzers
.FORCE:

test-fuzz: $(VENV)/.ready $(FUZZ)/.built
	@tests/fuzz/run $(FUZZ)/fuzz $(FUZZ_SECONDS)

functions: $(VENV)/.runs ## the zips that AWS Lambda runs, in build/functions (incremental)
	@$(BIN)/ironbook functions package

terraform-tools: ## the AWS provider, tflint, terraform-docs and checkov, found or built outside the checkout (about an hour, once a machine)
	@ops/terraform-tools

terraform-docs: ## the tables in the READMEs of terraform/
	@$(PYTHON) terraform/modules/identity/table.py
	@ops/terraform-check docs

terraform-apply-local: $(VENV)/.ready ## every environment applied, planned again ("No changes") and destroyed, without an account (ENVIRONMENTS=dev: one)
	@ops/terraform-tools run $(PY) -m tests.terraform.apply_local $(ENVIRONMENTS)

bundle: $(VENV)/.runs ## what an engine node in AWS installs: wheels in one archive, and its SHA-256
	@ops/make-bundle

images: dashboard ## container images of gateway, stream workers and verifier, by docker, podman or buildah (IMAGES=streams: one)
	@ops/make-images $(IMAGES)

test-terraform: ## terraform/: format, validity, tests with a mocked provider, tflint, checkov (where make terraform-tools was run)
	@ops/terraform-check

services: $(VENV)/.ready
	@ops/system-packages services
	@ops/system-packages bench
	@$(BIN)/ironbook services fetch >/dev/null

test-python: build dashboard services
	@ops/system-packages browser
	@tests/terraform/debian-root >/dev/null
	@echo "== pytest, files shared out to $(JOBS) processes"
	@$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: ## all checks and all tests; the last line is pytest's
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test-dashboard
	@$(MAKE) --no-print-directory test-c
	@$(MAKE) --no-print-directory test-core
	@$(MAKE) --no-print-directory test-sanitize
	@$(MAKE) --no-print-directory test-fuzz
	@$(MAKE) --no-print-directory test-terraform
	@$(MAKE) --no-print-directory test-python

soak: build services ## 1,000 kills, long property runs, 100,000,000 commands against the plain book (some hours)
	@$(RELEASE)/tools/differential --commands $(SOAK_COMMANDS) --seed $(SOAK_SEED)
	@IRONBOOK_SOAK=1 ctest --test-dir $(RELEASE) --output-on-failure -j $(JOBS) --timeout 7200
	@IRONBOOK_SOAK=1 $(PY) -m pytest --timeout=7200

fuzz: $(VENV)/.ready $(FUZZ)/.built ## each fuzz target for FUZZ_LONG_SECONDS (30 minutes)
	@tests/fuzz/run $(FUZZ)/fuzz $(FUZZ_LONG_SECONDS)

# ---- seeing it work -------------------------------------------------------------------------------------------------

up: engine dashboard ## engine node, gateway and dashboard in ./.ironbook, until Ctrl-C; prints the URL and how to trade with ccxt
	@$(BIN)/ironbook up

demo: engine dashboard ## start an engine node, sign orders, show book, fills and latency, stop
	@$(BIN)/ironbook demo

bench-ingress: build ## signed order to acknowledgement against plain echoes; orders a second
	@$(PY) -m benchmarks.run ingress --real

bench-replay: build ## commands a second from journal to state; bytes a resting order
	@$(PY) -m benchmarks.run replay --real

bench-match: build ## nanoseconds a command, the core alone, beside exchange-core and orderbook-rs
	@$(PY) -m benchmarks.run match --real

bench-depth: build ## nanoseconds a command and the worst one, with 10^3 to 10^7 resting orders
	@$(PY) -m benchmarks.depth --real --plot docs/reference/depth.svg

bench-streams: build ## orders and events for each CPU-second of the workers, beside per-message agents; publisher, delay
	@$(PY) -m benchmarks.streams --real

bench-gateway: $(VENV)/.ready build ## signed orders over HTTP beside bare echoes, Starlette and FastAPI; the engine while the gateway is abused
	@ops/system-packages bench
	@$(PY) -m benchmarks.gateway --real

bench-cold-start: $(VENV)/.ready ## what each Lambda function's import costs from its zip, and how large that is
	@$(PY) -m benchmarks.cold_start --real

clean: ## build/ and what the build left in the tree; .venv stays
	@rm -rf build engine_node/_engine*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
