# Everything one must know: `make lab`, `make demo`, `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIS := .clis
# tests wait for processes half of their time: three of them keep two processors busy
JOBS ?= 3
# JupyterLab refuses to run as root unless told that it is meant
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab demo test test-fast check bench clis oldest widgets notebooks gallery lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

lab: $(READY)  ## open JupyterLab on the first notebook
	$(BIN)/jupyter lab $(AS_ROOT) notebooks/01-first-agent.ipynb

demo: $(READY)  ## the same without a browser: a family of rehearsal agents, their tree and costs
	@$(BIN)/python -m madrox_nb.demo

test: $(READY)  ## all tests; groups that lack something are skipped and say what provides it
	$(BIN)/pytest -n $(JOBS) --dist loadgroup

test-fast: $(READY)  ## only the tests that need neither kernels, servers, real CLIs nor a browser
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not real and not browser"

check: $(READY)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## the measurements, as ratios taken in one run
	$(BIN)/python bench/run.py
	$(BIN)/python bench/widgets.py

clis: $(CLIS)/.ready  ## install the pinned real CLIs and MCP clients that the tests drive

$(CLIS)/.ready: $(READY) tests/real/package.json tests/real/package-lock.json tests/real/programs.txt
	mkdir -p $(CLIS)
	cp tests/real/package.json tests/real/package-lock.json $(CLIS)/
	npm ci --prefix $(CLIS) --ignore-scripts --no-fund --no-audit
	while read -r program package; do \
		$(BIN)/uv venv -q --clear --python $(BIN)/python $(CLIS)/$$program && \
		$(BIN)/uv pip install -q --python $(CLIS)/$$program/bin/python $$package || exit 1; \
	done < tests/real/programs.txt
	touch $@

oldest: .oldest/.ready  ## an environment of the oldest supported versions, for the stop button's test

.oldest/.ready: $(READY) pyproject.toml
	$(BIN)/uv venv -q --clear --python $(BIN)/python .oldest
	$(BIN)/uv pip install -q --python .oldest/bin/python --resolution lowest-direct --editable .
	@touch $@

widgets:  ## build the widgets into madrox_nb/static, after their own tests
	npm ci --prefix widgets --no-fund --no-audit
	npm --prefix widgets run check
	npm --prefix widgets test
	npm --prefix widgets run build

notebooks: $(READY)  ## run the notebooks and store what they show
	$(BIN)/python tests/outputs.py

gallery: $(READY)  ## take the pictures of docs/gallery.md anew, in a real JupyterLab
	$(BIN)/pytest -q -p no:cacheprovider tests/browser/gallery.py

lock: $(READY)  ## pin what is tested: requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra lab --extra duckdb --extra plot --extra test --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url -q -o requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "madrox_nb needs Python 3.11 or later; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "this Python can't make environments; on Debian: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

clean:  ## remove what make made here
	rm -rf $(VENV) .oldest $(CLIS) widgets/node_modules
