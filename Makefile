# The two commands of a new user are `make demo` and `make test`; every target sets itself up.
.DELETE_ON_ERROR:
.PHONY: help venv demo check test custom-resources slow measurements docs lock image clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MKDOCS := $(VENV)/.mkdocs
SCHEMAS := tests/deploy/custom_resources
EXTRAS := cpu,serve,train,imagenet,dev

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(STAMP)  ## make .venv from pyproject.toml and constraints.txt

# --no-compile: Python compiles a module when it is first imported; compiling all of them takes as long as
# the rest of the installation, and most are never imported.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: venv  ## scenes -> train -> certify -> bundle -> serve on 127.0.0.1:8000
	$(BIN)/demur demo

check: venv  ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check docs custom-resources  ## check + docs + the whole test suite (Monte Carlo and soak parts with fewer draws)
	$(BIN)/pytest -n 2 --dist loadgroup

custom-resources: $(SCHEMAS)/node_modules/.installed  ## schemas that the tests hold k8s/ against; needs npm

# Without npm the tests of it are skipped; where CI is set they fail.
$(SCHEMAS)/node_modules/.installed: $(SCHEMAS)/package-lock.json
	@if command -v npm >/dev/null; then \
	  npm ci --prefix $(SCHEMAS) --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed; custom resources of k8s/ are not checked"; fi

slow: venv  ## Monte Carlo and soak parts in full, recorded in docs/measurements
	DEMUR_SLOW=1 DEMUR_RECORD=docs/measurements $(BIN)/pytest -m slow -s
	$(BIN)/python benchmarks/pages.py

# The benchmarks that take less than two minutes each on two cores. The others are run by hand with --record:
# serving.py, soak.py, training_throughput.py, explora.py; the Monte Carlo tables with DEMUR_RECORD.
measurements: venv  ## the cheap benchmarks again, and the pages of docs/measurements
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/certify.py --record
	$(BIN)/python benchmarks/scrc_decision.py --record
	$(BIN)/python benchmarks/decode.py --record
	$(BIN)/python benchmarks/hostile.py --runs 3 --seconds 2 --attack 8 --record
	$(BIN)/python benchmarks/footprint.py --record
	$(BIN)/python benchmarks/rolling_read.py --record
	$(BIN)/python benchmarks/pages.py

docs: $(MKDOCS)  ## the documentation as a site, in site/
	$(BIN)/python docs/assemble.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html; with its search: $(BIN)/python -m http.server --directory site 8080"

# Apart from `make venv`, which a first run of demur waits for.
$(MKDOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

lock: venv  ## the packages of the images with their digests, in locks/, from pyproject.toml and constraints.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" deploy/image/lock.sh

TARGET ?= service
image:  ## an image with docker, podman or buildah: make image TARGET=service BASE=IMAGE@sha256:...
	BASE=$(BASE) deploy/image/build.sh $(TARGET) $(if $(LOCK),demur/$(TARGET):$(LOCK) --build-arg LOCK=$(LOCK))

clean:  ## remove .venv, the site and caches
	rm -rf $(VENV) site build wheels .mypy_cache .ruff_cache .pytest_cache .hypothesis
