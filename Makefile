# Everything below works from a fresh clone with git, make and Python 3.11+ and reaches only package registries.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CACHE := $(or $(STOWPLAN_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stowplan)
LOCK := requirements/dev.txt
VENV := $(CACHE)/venv-$(shell cat $(LOCK) | sha256sum | cut -c1-12)-$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
READY := $(VENV)/.ready
PY := $(VENV)/bin/python
export PYTHONPATH := $(CURDIR)/operator
export PATH := $(VENV)/bin:$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY):
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install python3, or set PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "==> virtual environment from $(LOCK) (once per lock; kept in the cache)"
	@rm -rf '$(VENV)' && mkdir -p '$(CACHE)'
	@$(PYTHON) -m venv '$(VENV)' || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 2; }
	@$(PY) -m pip install --disable-pip-version-check --quiet --require-hashes -r $(LOCK)
	@touch $@

.PHONY: venv
venv: $(READY) ## Make the virtual environment, print where it is
	@echo $(VENV)

.PHONY: tools
tools: $(READY) ## Build the control plane binaries (once per version; kept in the cache)
	@$(PY) -m tests.controlplane build
	@$(PY) -m tests.parity --build

.PHONY: cluster
cluster: $(READY) ## Start a local control plane with fake nodes in the foreground
	@$(PY) -m tests.controlplane up $(ARGS)

.PHONY: cluster-down
cluster-down: $(READY) ## Stop the control planes started by `make cluster`
	@$(PY) -m tests.controlplane down

.PHONY: demo
demo: $(READY) ## Place a stateful cluster over failure domains and watch
	@$(PY) -m tests.demo $(ARGS)

.PHONY: bench
bench: $(READY) ## Measure beside kube-scheduler and bare binding
	@$(PY) -m tests.bench $(ARGS)

.PHONY: scenarios
scenarios: $(READY) ## Run what goes wrong in the life of a stateful service, with stock Kubernetes and with ours
	@$(PY) -m tests.scenarios $(ARGS)

.PHONY: parity
parity: $(READY) ## Compare with kube-scheduler's own plugins on 100,000 pods
	@$(PY) -m tests.parity --pods 100000 $(ARGS)

.PHONY: test
test: check unit e2e ## All checks and all tests

.PHONY: unit
unit: $(READY) ## Tests that need no control plane
	@$(PY) -m pytest -q -m 'not e2e' -n 2 $(ARGS)

.PHONY: e2e
e2e: $(READY) tools ## Tests on a real control plane
	@$(PY) -m pytest -q -m e2e -n 2 --dist loadfile $(ARGS)

.PHONY: check
check: $(READY) ## Format, lint, types, import contracts, generated files
	@ruff format --check -q operator tests scripts
	@ruff check -q operator tests scripts
	@mypy --no-error-summary
	@lint-imports --no-cache >/tmp/stowplan-imports.$$$$ || { cat /tmp/stowplan-imports.$$$$; exit 1; }
	@$(PY) -m scripts.generate --check
	@$(PY) -m tests.chart

.PHONY: format
format: $(READY) ## Format and fix what can be fixed
	@ruff format operator tests scripts
	@ruff check --fix operator tests scripts

.PHONY: generate
generate: $(READY) ## Write the CRDs, the chart's copy and the API reference from the models
	@$(PY) -m scripts.generate

.PHONY: lock
lock: ## Write requirements/*.txt anew from pyproject.toml (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(ARGS) pyproject.toml -o requirements/runtime.txt
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(ARGS) pyproject.toml --group dev -o requirements/dev.txt
