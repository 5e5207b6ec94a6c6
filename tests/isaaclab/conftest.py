"""Tests with the real Isaac Lab 3.0, without Isaac Sim. `make isaaclab-test` runs them; elsewhere they skip."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from tests import requires
from tests.processes import HANG_S

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]

NO_ASSETS = "/no/assets"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.isaaclab)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def isaaclab() -> None:
    """Report Isaac Lab 3.0 with OvPhysX and Newton as missing if this Python does not have it. Assets are not downloaded."""
    os.environ["ISAACSIM_ASSET_ROOT"] = NO_ASSETS  # Before Isaac Lab is imported, here and in processes that tests start.
    with requires.available("isaaclab", SimulatorUnavailable):
        installation = find_installation()
    if not (installation.is_3 and installation.has_ovphysx and installation.has_newton):
        requires.missing("isaaclab", f"requires release 3.0 with OvPhysX and Newton (found {installation})")


@pytest.fixture(scope="session")
def launcher() -> Run:
    """Function that runs a script of this project as users of PyPI's Isaac Lab do: `isaaclab -p scripts/<name>.py`."""

    def run(
        script: str, *words: str, cwd: Path, exit_code: int = 0, typed: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("isaaclab")
        command = [str(program), "-p", str(ROOT / "scripts" / f"{script}.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=HANG_S, input=typed)
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        return done

    return run
