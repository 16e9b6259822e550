# Every command a user or CI needs. Nothing is assumed but python3, make and git.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PORT ?= 8000

# Recipes read these from the environment: there nothing in them is run, by make or by the shell.
GIVEN := PORT MODEL SAMPLES TARGET ENV CHART QUICK PEERS
$(foreach name,$(GIVEN),$(if $(filter-out undefined,$(origin $(name))),$(eval override $(name) := $$(value $(name)))))
export $(GIVEN)
MAKEOVERRIDES := # nor by the make that `sam build` starts

export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.uv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Tools of this checkout must not pick up another environment that happens to be active.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

READY := .venv/.ready
WHEELS := build/wheels/x86_64/.ready build/wheels/arm64/.ready
INFRA_WHEELS := build/wheels/infra/.ready
# Two builds at once would write into each other's folders; `infra run` takes the same lock.
ONE_AT_A_TIME := mkdir -p build && flock build/.lock
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --upgrade \
	--python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate
DOWNLOAD := python3.13 -m pip download -qq --disable-pip-version-check --require-hashes --no-deps --only-binary :all:
OR_SAY_WHY := || { echo "These packages could not be downloaded: that needs PyPI." >&2; exit 1; }

.PHONY: help run rehearse test test-kserve test-models build bench deploy wheel train lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Serve on http://127.0.0.1:8000 what `sam build` made (PORT=, MODEL=path/to/any.onnx)
	@exec .venv/bin/infra run "--port=$$PORT" $${MODEL:+"--model=$$MODEL"}

rehearse: $(READY) ## Rehearse the release of a model on this machine (MODEL=path/to/any.onnx, SAMPLES=rows.csv, TARGET=column)
	@exec .venv/bin/infra rehearse $${SAMPLES:+"--samples=$$SAMPLES"} $${TARGET:+"--target=$$TARGET"} -- "$${MODEL:-layers/model/model.onnx}"

# A module's tests stay together, since they share what is served; the end-to-end tests, which take
# longest, begin. More than two processes would be too many for tests of what happens in time.
PYTEST := pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --cov --cov-report=

# Checks need some region; a deployment takes the profile's.
run rehearse test: export AWS_DEFAULT_REGION ?= us-east-1
test: $(READY) $(WHEELS) $(INFRA_WHEELS) ## Lint, types, import contracts, template checks, unit, integration and end-to-end tests
	ruff check .
	ruff format --check .
	mypy
	PYTHONPATH=functions lint-imports
	cfn-lint template.yaml infra/stacks/*.yaml # a nested template is not checked with its parent
	sam validate --lint
	$(ONE_AT_A_TIME) sam build
	infra size
	infra prepare
	$(PYTEST)

test-kserve: $(READY) ## Test with the KServe SDK's client, in an environment of its own
	uv venv --quiet --clear build/kserve
	uv pip install --quiet --python build/kserve --require-hashes -r tests/e2e/kserve.txt
	build/kserve/bin/python -m pytest --confcutdir tests/e2e tests/e2e/example/test_kserve.py

test-models: $(READY) $(WHEELS) ## Test clones that hold another model and README (MODEL=churn, or all of tests/models/foreign)
	python -m tests.foreign_models $${MODEL:+"$$MODEL"}

build: $(READY) ## Build the function and both layers into .aws-sam/ and check their sizes
	$(ONE_AT_A_TIME) sam build
	infra size

bench: build $(WHEELS) ## Measure start, requests, hostile bodies, size, load and cost (PEERS=1, QUICK=1, CHART=path)
	infra prepare
	python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(PEERS),--peers) $${CHART:+"--chart=$$CHART"}

deploy: build ## Check, deploy to AWS as samconfig.toml says, and say how the release ended (ENV=prod)
	.venv/bin/infra deploy $${ENV:+"--env=$$ENV"}

wheel: $(READY) ## Build the sdist and the wheel of the `infra` command into build/dist/
	rm -rf build/dist
	hatchling build --directory build/dist

# The training's numpy and onnxruntime are those of the runtime layer; after an upgrade, `make train`.
lock: | .uv/.ready ## Resolve every dependency again into the hash-pinned requirements files
	$(COMPILE) pyproject.toml --group dev --universal -o requirements-dev.txt
	$(COMPILE) pyproject.toml -c requirements-dev.txt --universal -o requirements.txt
	$(COMPILE) --group runtime -c requirements-dev.txt --python-platform x86_64-manylinux_2_28 -o layers/runtime/requirements.txt
	$(COMPILE) --group kserve -o tests/e2e/kserve.txt
	$(COMPILE) --group managed-runtime -c requirements-dev.txt --python-platform x86_64-manylinux_2_28 -o infra/local/functions/requirements.txt
	grep -oE '^(numpy|onnxruntime)==[^ ]+' layers/runtime/requirements.txt | $(COMPILE) layers/model/training/requirements.in -c /dev/stdin \
		--excludes layers/model/training/excludes.txt --universal -o layers/model/training/requirements.txt
	echo uv | $(COMPILE) - -o .ci/uv.txt

train: | .uv/.ready ## Rebuild the example model from its data, bit for bit
	uv venv --quiet --clear build/train
	uv pip install --quiet --python build/train --no-deps --require-hashes -r layers/model/training/requirements.txt
	build/train/bin/python layers/model/training/train.py

clean: ## Remove everything that was built or installed
	rm -rf .venv .uv .aws-sam build .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The environment of the tools, rebuilt when a lock file changes.
$(READY): requirements-dev.txt .python-version | .uv/.ready
	@uv venv --quiet --clear .venv || { echo "Python $$(cat .python-version) is needed (the Lambda runtime): it was not found and could not be downloaded. Install it and put python$$(cat .python-version) on the PATH." >&2; exit 1; }
	@echo "Installing the tools (about a minute the first time) ..."
	@uv pip install --quiet --require-hashes -r requirements-dev.txt $(OR_SAY_WHY)
	@uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Wheels of the runtime layer for both processors: its tests build it without the network.
build/wheels/x86_64/.ready: MACHINE := x86_64
build/wheels/arm64/.ready: MACHINE := aarch64
$(WHEELS): layers/runtime/requirements.txt | $(READY)
	@echo "Downloading the runtime layer's wheels for $(MACHINE) ..."
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(DOWNLOAD) --implementation cp --python-version 3.13 --abi cp313 --abi abi3 --abi none \
		$(foreach tag,2_34 2_31 2_28 2_27 2_17,--platform manylinux_$(tag)_$(MACHINE)) \
		--platform manylinux2014_$(MACHINE) --dest $(@D) --requirement layers/runtime/requirements.txt $(OR_SAY_WHY)
	@touch $@

# Wheels of the `infra` command's dependencies (100 MB): a test installs it where nothing else is.
$(INFRA_WHEELS): requirements.txt | $(READY)
	@echo "Downloading the wheels of the infra command's dependencies ..."
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(DOWNLOAD) --dest $(@D) --requirement requirements.txt $(OR_SAY_WHY)
	@touch $@

# uv, from the PATH or from PyPI. A stamp, since .uv/bin is the first place on the PATH.
.uv/.ready: .ci/uv.txt
	@rm -rf .uv && mkdir -p .uv/bin
	@if command -v uv >/dev/null; then ln -s "$$(command -v uv)" .uv/bin/uv; \
	else echo "Installing uv into .uv/ ..."; \
		python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/uv.txt \
		|| { echo "uv could not be installed: that needs PyPI, and python3 with the venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }; fi
	@touch $@
