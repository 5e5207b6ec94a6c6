"""Requirements of tests: programs, libraries and devices that may be missing. The only place that skips tests.

A test whose requirement is missing skips with the reason. Requirements listed in the environment variable
`MIMIC_TEST_REQUIRES` (comma-separated) must be met: there, a missing one is a failure. CI lists all that it installs.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from isaaclab_mimic_ext.errors import MimicError, choices

VARIABLE = "MIMIC_TEST_REQUIRES"
REQUIREMENTS = {
    "mujoco": "MuJoCo with `mujoco.batch`",
    "mujoco_warp": "MuJoCo Warp, which simulates on a GPU, and on a CPU for tests",
    "opengl": "EGL or OSMesa, for pictures and videos",
    "browser": "Chromium, for tests of the studio's page",
    "train": "robomimic (make train-env)",
    "contract": "Isaac Lab 2.3's wheel, without a simulator (make test-contract)",
    "isaaclab": "Isaac Lab 3.0 with OvPhysX and Newton (make isaaclab-test)",
    "lerobot": "lerobot (make lerobot-test)",
    "gymnasium": "gymnasium, the interface of vector environments",
    "slurm": "Slurm's programs: apt-get install slurm-wlm munge (make cluster-test)",
    "ray": "Ray: pip install ray (make cluster-test)",
    "robosuite": "robosuite 1.5 in .venv-robosuite (make robosuite-test)",
    "submitit": "submitit, which submits the jobs of a sweep",
    "meshes": "trimesh, scipy and coacd, which read meshes",
    "cuda": "a CUDA device",
    "git": "git",
    "linux": "/proc and limits on file sizes",
    "unprivileged": "a user without root privileges",
    "no-isaaclab": "an environment without Isaac Lab",
    "no-lerobot": "an environment without lerobot",
}
"""Name -> meaning."""


def required() -> set[str]:
    """Return the names in `MIMIC_TEST_REQUIRES`.

    Raises:
        pytest.UsageError: a name is unknown.
    """
    names = {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
    for name in sorted(names - set(REQUIREMENTS)):
        raise pytest.UsageError(f"{VARIABLE}: '{name}' is not a requirement; {choices(name, REQUIREMENTS)}")
    return names


def missing(requirement: str, reason: object) -> NoReturn:
    """Skip the test or module, or fail it if the requirement must be met."""
    assert requirement in REQUIREMENTS, requirement
    text = f"{requirement} ({REQUIREMENTS[requirement]}): {reason}"
    if requirement in required():
        pytest.fail(f"{VARIABLE} lists a requirement that is missing: {text}", pytrace=False)
    pytest.skip(text, allow_module_level=True)


def module(name: str, requirement: str) -> ModuleType:
    """Return an imported module, or report its requirement as missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(requirement, error)


@contextmanager
def available(requirement: str, *errors: type[MimicError]) -> Iterator[None]:
    """Report the requirement as missing if the block raises one of `errors`."""
    try:
        yield
    except errors as error:
        missing(requirement, error)


def mark(requirement: str, is_met: bool, reason: str) -> pytest.MarkDecorator:
    """Return a mark that skips its tests if the requirement is missing; if it must be met, they run and fail."""
    assert requirement in REQUIREMENTS, requirement
    return pytest.mark.skipif(not is_met and requirement not in required(), reason=f"{requirement}: {reason}")


def contract_site() -> Path:
    """Return the folder with Isaac Lab 2.3's packages, or report it as missing."""
    folder = os.environ.get("ISAACLAB_CONTRACT_PATH")
    if not folder:
        missing("contract", "ISAACLAB_CONTRACT_PATH is not set; make test-contract sets it")
    if sys.version_info[:2] != (3, 11):
        missing("contract", "Isaac Lab 2.3 needs Python 3.11")
    for needed in (Path("isaaclab", "source", "isaaclab_mimic"), Path("gymnasium"), Path("prettytable"), Path("toml")):
        if not (Path(folder) / needed).is_dir():
            missing("contract", f"ISAACLAB_CONTRACT_PATH: {Path(folder) / needed} not found; make test-contract installs it")
    return Path(folder)
