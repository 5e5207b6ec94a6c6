# Targets: see `make help`. Each target installs what it needs.

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# The first supported version found; python3 if there is none, for the error message below.
PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
preset := quick
CONTRACT := .venv-contract
ISAACLAB := .venv-isaaclab
LEROBOT := .venv-lerobot
ROBOSUITE := .venv-robosuite
PACKAGING := pyproject.toml setup.py constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo studio train-env pipeline check test test-all test-contract isaaclab-test lerobot-test cluster-test robosuite-env robosuite-test image-test image-sbom durations lint format docs docs-links docs-pictures clean

# Tests run on all cores; tests of one file share their fixtures. MIMIC_TEST_REQUIRES=train,opengl,... turns missing requirements
# from skips into failures (tests/requires.py).
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
NO_EXTRA := -m "not contract and not isaaclab and not lerobot and not cluster and not robosuite"

help:
	@echo "make demo           install $(VENV) and generate 100 demos in datasets/demo"
	@echo "make studio         install $(VENV) and open the page on which demos are recorded, marked and generated from"
	@echo "make train-env      add training dependencies (robomimic, torchvision) to $(VENV)"
	@echo "make pipeline preset=quick   record, annotate, generate, split, train, evaluate; presets: quick, normal, full, high_quality, visual"
	@echo "make check          install $(VENV) and run the fast tests: unit, property, golden; at most 90 CPU seconds"
	@echo "make test           install $(VENV) and run all tests that need no extra environment"
	@echo "make test-all       also run test-contract, isaaclab-test, lerobot-test, cluster-test and robosuite-test"
	@echo "make test-contract  install $(CONTRACT) (250 MB, Python 3.11) and compare with Isaac Lab 2.3"
	@echo "make isaaclab-test  install $(ISAACLAB) (2.4 GB, Python 3.11) and run the tests with Isaac Lab 3.0 on OvPhysX and Newton"
	@echo "make lerobot-test   install $(LEROBOT) (6 GB) and run the tests of LeRobot's datasets and policies"
	@echo "make cluster-test   start Slurm (apt-get install slurm-wlm munge) on this machine and Ray, and run the tests of job arrays and workers"
	@echo "make robosuite-env  install robosuite 1.5 in $(ROBOSUITE) (1.2 GB), for sim=robosuite"
	@echo "make robosuite-test install $(ROBOSUITE) and run the tests of the engine robosuite"
	@echo "make image-test     build docker/Dockerfile.cpu (apt-get install buildah podman mmdebstrap) and compare its dataset with a native run"
	@echo "make image-sbom     write the bill of materials (CycloneDX) of this image to build/sbom.cdx.json"
	@echo "make durations      run the tests and list those above 10 CPU seconds that are not marked slow"
	@echo "make lint           run ruff and mypy"
	@echo "make format         format the code with ruff"
	@echo "make docs           build the documentation in build/site; a broken link or an unknown name fails"
	@echo "make docs-links     request the external links of the documentation; a link that is not found fails (requires the network)"
	@echo "make docs-pictures  draw the pictures of the documentation again, into docs/pictures and docs/demos.gif"
	@echo "make clean          remove $(VENV), caches and build outputs, but not datasets/"
	@echo "Python 3.11 to 3.13; select one with: make PYTHON=python3.12 ..."

demo: $(VENV)/.mujoco
	$(BIN)/mimic demo

studio: $(VENV)/.mujoco
	$(BIN)/mimic studio

train-env: $(VENV)/.train

pipeline: $(VENV)/.mujoco $(VENV)/.train
	$(BIN)/mimic pipeline preset=$(preset)

check: $(VENV)/.dev
	$(PYTEST) -m "not slow" tests/unit tests/property tests/golden $(PYTEST_ARGS)

test: $(VENV)/.dev $(VENV)/.train
	$(PYTEST) $(NO_EXTRA) $(PYTEST_ARGS)

test-all: test test-contract isaaclab-test lerobot-test cluster-test robosuite-test

test-contract: $(VENV)/.dev $(CONTRACT)/.done
	ISAACLAB_CONTRACT_PATH=$(abspath $(CONTRACT))/site $(PYTEST) -m contract tests/contract $(PYTEST_ARGS)

# One process, because a process runs one Isaac Lab: parallel ones only compete for the cores. A missing requirement fails.
isaaclab-test: $(ISAACLAB)/.done
	MIMIC_TEST_REQUIRES=isaaclab $(ISAACLAB)/bin/python -m pytest -m isaaclab tests/isaaclab $(PYTEST_ARGS)

lerobot-test: $(LEROBOT)/.done
	$(LEROBOT)/bin/python -m pytest -m lerobot tests/integration/test_lerobot.py tests/integration/test_lerobot_policy.py $(PYTEST_ARGS)

# Slurm listens on free ports while the tests run, and accepts only requests that are signed with its new key.
cluster-test: $(VENV)/.dev $(VENV)/.ray
	MIMIC_TEST_REQUIRES=slurm,ray,submitit $(BIN)/python -m pytest -m cluster tests/cluster $(PYTEST_ARGS)

robosuite-env: $(ROBOSUITE)/.done

# One process: each test starts its own workers.
robosuite-test: $(VENV)/.dev $(ROBOSUITE)/.done
	MIMIC_TEST_REQUIRES=robosuite $(BIN)/python -m pytest -m robosuite tests/robosuite $(PYTEST_ARGS)

# IMAGE_BUILD_FLAGS: flags of the build, such as the folders of a local package index.
image-test: $(VENV)/.mujoco
	docker/test_image.sh $(BIN)/mimic

image-sbom: $(VENV)/.mujoco
	$(PIP) install -c constraints.txt cyclonedx-bom
	$(BIN)/python docker/sbom.py localhost/isaaclab-mimic-ext:cpu build/sbom.cdx.json

# Reports only: the exit code does not depend on the durations or on failing tests.
durations: $(VENV)/.dev $(VENV)/.train
	-$(PYTEST) -p tests.cpu_time $(NO_EXTRA) $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Strict (-W): broken links, missing anchors and unknown API names fail. -E: pages also depend on the schema and the tasks.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -E -c docs . build/site
	@echo "Open build/site/index.html"

# Requires the network: external links are requested, each once.
docs-links: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -E -b linkcheck -c docs . build/links

docs-pictures: $(VENV)/.docs
	PYTHONPATH=. $(BIN)/python docs/site/draw_pictures.py
	$(BIN)/python docs/draw_animation.py

clean:
	rm -rf $(VENV) $(CONTRACT) $(ISAACLAB) $(LEROBOT) $(ROBOSUITE) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The version is checked before anything is created.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: '$(PYTHON)' not found; install Python 3.11, 3.12 or 3.13, or specify one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c '$(SUPPORTED)' || { \
		echo "make: '$(PYTHON)' must be Python 3.11, 3.12 or 3.13 (got $$($(PYTHON) --version 2>&1)); specify one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: '$(PYTHON)' cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.mujoco: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[mujoco]'
	@touch $@

$(VENV)/.dev: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[mujoco,gpu,dev]'
	@touch $@ $(VENV)/.mujoco

$(VENV)/.ray: $(PACKAGING) | $(VENV)/.mujoco
	$(PIP) install -c constraints.txt -e '.[ray,submitit]'
	@touch $@

# Installed without their own dependencies; the extra `train` in pyproject.toml has the reason.
$(VENV)/.train: $(PACKAGING) | $(VENV)/.mujoco
	$(PIP) install -c constraints.txt -e '.[mujoco,train]'
	$(PIP) install -c constraints.txt --no-deps robomimic torchvision
	@touch $@

$(VENV)/.docs: $(PACKAGING) | $(VENV)/.mujoco
	$(PIP) install -c constraints.txt -e '.[mujoco,docs]'
	@touch $@

# Isaac Lab 2.3, the part that runs without a simulator, for the contract tests; never installed into $(VENV). It needs Python
# 3.11. With other versions, and offline, the contract tests skip with a message.
$(CONTRACT)/.done: tests/contract/isaaclab_packages.txt | $(VENV)/.dev
	@mkdir -p $(CONTRACT)
	@rm -rf $(CONTRACT)/site
	$(PIP) install --quiet --no-deps --target $(CONTRACT)/site -r $< \
		|| { rm -rf $(CONTRACT)/site; echo "make: Isaac Lab cannot be installed; its contract tests will skip" >&2; }
	@touch $@

# Isaac Lab 3.0 without Isaac Sim: only the packages that are imported, and the PyTorch of constraints.txt. By its metadata,
# Isaac Lab requires Python 3.12 and PyTorch 2.11; it also runs with these, so its metadata is not checked.
$(ISAACLAB)/.done: tests/isaaclab/packages.txt $(PACKAGING)
	rm -rf $(ISAACLAB)
	$(PYTHON) -m venv $(ISAACLAB)
	$(ISAACLAB)/bin/python -m pip --disable-pip-version-check install -c constraints.txt torch
	$(ISAACLAB)/bin/python -m pip --disable-pip-version-check install --no-deps --ignore-requires-python -r $< -e .
	@touch $@

# lerobot needs an older torch and numpy than constraints.txt, so it has a separate environment.
$(LEROBOT)/.done: pyproject.toml
	$(PYTHON) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip --disable-pip-version-check install -e '.[lerobot,mujoco]' 'pytest>=8.2' 'hypothesis>=6.100'
	@touch $@

# robosuite needs an older MuJoCo and numpy than constraints.txt. Its workers import nothing of this package.
$(ROBOSUITE)/.done: tests/robosuite/packages.txt
	rm -rf $(ROBOSUITE)
	$(PYTHON) -m venv $(ROBOSUITE)
	$(ROBOSUITE)/bin/python -m pip --disable-pip-version-check install -r $<
	@touch $@
