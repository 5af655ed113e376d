# Everything a checkout needs is installed into .venv; nothing outside this folder is touched.

# Another interpreter: make test PYTHON=python3.13
PYTHON ?= python3
# Test files that run side by side. With three a run on two cores is a tenth shorter, and the fault
# tests, which start many processes, get into each other's way.
JOBS ?= 2
# Passed on to the demo or the bench: make demo ARGS="--recipients 20000 --kill-worker"
ARGS ?=
# What `make bench-compare` compares: two revisions, as git names them.
A ?= HEAD~1
B ?= HEAD

VENV := .venv
BIN := $(VENV)/bin
CREATED := $(VENV)/.created
LOCAL := $(VENV)/.installed-local
TEST := $(VENV)/.installed-test
# Errors are still printed; only progress and warnings are not.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps of `make test` print one after the other, also under -j.
.NOTPARALLEL:
.PHONY: help demo test lint types unit coverage soak bench bench-rest bench-scale bench-compare plots clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(LOCAL) ## run a whole campaign against a simulated Twilio, and audit it
	$(BIN)/sender demo $(ARGS)

test: lint types ## lint, types, and every test but the long ones
	$(BIN)/python -m pytest -m "not soak" -n $(JOBS) --dist loadfile --no-loadscope-reorder \
	  $(PYTEST_ARGS)

lint: $(TEST) ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TEST) ## mypy, strict
	$(BIN)/mypy

unit: $(TEST) ## the tests without I/O: seconds
	$(BIN)/python -m pytest tests/unit

coverage: PYTEST_ARGS = --cov --cov-branch --cov-report=term:skip-covered
coverage: test ## the same tests, and which lines of ours they run (in-process only)

soak: $(TEST) ## the long runs
	$(BIN)/python -m pytest -m soak -o timeout=0

bench: $(LOCAL) ## how fast it is, as ratios; on an idle machine (make bench ARGS="--rounds 7")
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-rest: $(LOCAL) ## what webhooks, STOPs, small campaigns, lists and a start cost
	$(BIN)/python -m benchmarks.rest $(ARGS)

bench-scale: $(LOCAL) ## a campaign of a million, from its file to its end
	$(BIN)/python -m benchmarks.scale $(ARGS)

plots: $(LOCAL) ## draw what the benches wrote, into docs/
	@$(PIP_INSTALL) -e '.[bench]'
	$(BIN)/python -m benchmarks.plots

bench-compare: $(LOCAL) ## the same of two revisions (make bench-compare A=v1 B=HEAD)
	$(BIN)/python -m benchmarks.compare $(A) $(B) $(ARGS)

clean: ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is not." \
	       "Name another: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "'$(PYTHON)' cannot make virtual environments;" \
	       "on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(LOCAL): pyproject.toml $(CREATED)
	@echo "Installing into $(VENV) (about a minute the first time) ..."
	@$(PIP_INSTALL) -e '.[local]'
	@touch $@

# Holds all of the above, so `make demo` after `make test` installs nothing.
$(TEST): pyproject.toml $(CREATED)
	@echo "Installing into $(VENV) (about a minute the first time) ..."
	@$(PIP_INSTALL) -e '.[local,test]'
	@touch $(LOCAL) $@
