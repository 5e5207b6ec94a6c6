# make demo: 100 generated demonstrations from a clean checkout.  make test, make lint: the checks.  Each sets up what it needs.

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# The first that is one of the supported versions; python3 again if none is, for the message below.
PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
preset := quick
CONTRACT := .venv-contract
LEROBOT := .venv-lerobot
PACKAGING := pyproject.toml setup.py constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo train-env pipeline test test-lerobot lint format clean

help:
	@echo "make demo    set up $(VENV), generate 100 demonstrations into datasets/"
	@echo "make train-env  add what training needs (robomimic, torchvision) to $(VENV)"
	@echo "make pipeline preset=quick  record, annotate, generate, split, train, evaluate; quick, normal, full, high_quality"
	@echo "make test    set up $(VENV), run the tests"
	@echo "make test-lerobot  set up $(LEROBOT) (several GB), run the tests of the LeRobot export"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff format the code"
	@echo "make clean   remove $(VENV), caches and build outputs; datasets/ stays"
	@echo "PYTHON=python3.12 make ... takes another Python (3.11 to 3.13)"

demo: $(VENV)/.mujoco
	$(BIN)/python scripts/generate.py task=desktop_organizer num_envs=100 --headless

train-env: $(VENV)/.train

pipeline: $(VENV)/.mujoco $(VENV)/.train
	$(BIN)/python scripts/pipeline.py preset=$(preset)

test: $(VENV)/.dev $(VENV)/.train $(CONTRACT)/.done
	ISAACLAB_CONTRACT_PATH=$(abspath $(CONTRACT))/site $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(PYTEST_ARGS)

test-lerobot: $(LEROBOT)/.done
	$(LEROBOT)/bin/python -m pytest -m lerobot tests/integration/test_lerobot.py $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(CONTRACT) $(LEROBOT) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The version is checked before anything is made, and said in words.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: there is no '$(PYTHON)'. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c '$(SUPPORTED)' || { \
		echo "make: '$(PYTHON)' is $$($(PYTHON) --version 2>&1); Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: '$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.mujoco: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[mujoco]'
	@touch $@

$(VENV)/.dev: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[mujoco,dev]'
	@touch $@ $(VENV)/.mujoco

# Without their own dependencies: see the extra `train` in pyproject.toml.
$(VENV)/.train: $(PACKAGING) | $(VENV)/.mujoco
	$(PIP) install -c constraints.txt -e '.[mujoco,train]'
	$(PIP) install -c constraints.txt --no-deps robomimic torchvision
	@touch $@

# Isaac Lab 2.3 itself, as far as it runs without a simulator: for the contract tests, never installed into $(VENV). It is for
# Python 3.11 only; elsewhere, and offline, they skip and say so.
$(CONTRACT)/.done: tests/contract/isaaclab_packages.txt | $(VENV)/.dev
	@mkdir -p $(CONTRACT)
	@rm -rf $(CONTRACT)/site
	$(PIP) install --quiet --no-deps --target $(CONTRACT)/site -r $< \
		|| { rm -rf $(CONTRACT)/site; echo "make: Isaac Lab cannot be installed here; its contract tests will skip" >&2; }
	@touch $@

# lerobot wants an older torch and numpy than constraints.txt, so that it never comes into $(VENV).
$(LEROBOT)/.done: pyproject.toml
	$(PYTHON) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip --disable-pip-version-check install -e '.[lerobot]' 'pytest>=8.2'
	@touch $@
