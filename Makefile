# Every target makes or reuses .venv by itself, from the pinned and hashed lock in .ci/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench kill-nine simulate-policies mutants mixed-run bare scenarios abandon openai2 lock clean help

help:  ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/make \1|\2/' | column -t -s '|'

$(STAMP): .ci/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hfrouter needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo 'installing into $(VENV) (about a minute)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) --require-hashes -r .ci/requirements.lock
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## the main job against a simulated router whose providers fail; no token needed
	@$(BIN)/hfrouter demo

test: $(STAMP)  ## the whole suite, with the coverage that routing/ and cost/ must keep
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='*/hfrouter/routing/*,*/hfrouter/cost/*' --fail-under=95

check: $(STAMP)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

kill-nine: $(STAMP)  ## kill writers of the ledger 200 times and more: nothing lost, doubled or held for ever (a minute)
	$(BIN)/python -m tests.process.kill_nine
	$(BIN)/python -m tests.process.one_budget --limit 5000000

bench: $(STAMP)  ## CPU per call as ratios to the openai SDK and ChatOpenAI, on one local stub
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/deciding.py

scenarios: $(STAMP)  ## S01-S16 through both adapters in real time, whole answers and raw streams, as a table (90 s)
	$(BIN)/python -m tests.scenarios

abandon: $(STAMP)  ## 10,000 streams left half-way, of the core and both adapters: no row, descriptor or task is lost
	$(BIN)/python -m tests.cancellation.ten_thousand

mixed-run: $(STAMP)  ## 10,000 calls of every kind with faults: ledger, answers, events and the simulator's bill agree
	$(BIN)/python -m tests.cost.mixed_run

simulate-policies: $(STAMP)  ## routing policies side by side in virtual time: ours, its peers and an oracle (some two minutes)
	$(BIN)/python -m benchmarks.policies

mutants: $(STAMP)  ## how many small wrong changes to routing/ its tests notice, and which they do not (some 20 minutes)
	$(BIN)/python -m tests.mutants

bare: $(STAMP)  ## the wheel: it holds exactly the packages, and the core works with no extra installed
	$(BIN)/python tests/wheel/check.py

.venv-openai2/.ready: .ci/requirements-openai2.lock pyproject.toml
	@echo 'installing into .venv-openai2'
	@test -x .venv-openai2/bin/python || $(PYTHON) -m venv .venv-openai2
	@.venv-openai2/bin/python $(PIP) --require-hashes -r .ci/requirements-openai2.lock
	@.venv-openai2/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

openai2: .venv-openai2/.ready  ## the core's and the adapters' tests on the 2.x SDK
	.venv-openai2/bin/python -m pytest -n 2 tests/core tests/wire tests/faults tests/recordings tests/routing tests/cost tests/process \
		tests/langchain tests/llamaindex tests/scenarios tests/cancellation

UV_COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --quiet --constraint .ci/constraints.txt

lock:  ## renew the locks (needs uv on the PATH)
	$(UV_COMPILE) pyproject.toml --extra langchain --extra llamaindex --extra cli --extra sim --extra otel --group dev --output-file .ci/requirements.lock
	$(UV_COMPILE) .ci/openai2.in --output-file .ci/requirements-openai2.lock

clean:  ## remove what the other targets made
	rm -rf .venv .venv-openai2 build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
