"""Isaac Lab for the contract tests that need more of it than its file handler."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.isaaclab_scenes import Task, run_planner
from tests.contract.isaaclab_side.messages import Film, Trial
from tests.contract.isaaclab_side.process import IsaacLabProcess


@pytest.fixture(scope="session")
def isaaclab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsaacLabProcess]:
    """The real Isaac Lab 2.3 in a process of its own, with stand-ins for Omniverse."""
    folder = os.environ.get("ISAACLAB_CONTRACT_PATH")
    if not folder:
        pytest.skip(
            "ISAACLAB_CONTRACT_PATH is not set: a folder with tests/contract/isaaclab_packages.txt; make test makes it"
        )
    if sys.version_info[:2] != (3, 11):
        pytest.skip("Isaac Lab 2.3 is for Python 3.11 only")
    for needed in (Path("isaaclab", "source", "isaaclab_mimic"), Path("gymnasium"), Path("prettytable")):
        if not (Path(folder) / needed).is_dir():
            pytest.skip(f"ISAACLAB_CONTRACT_PATH: {Path(folder) / needed} is not there; make test installs it")
    process = IsaacLabProcess(Path(folder), tmp_path_factory.mktemp("isaaclab"))
    yield process
    process.close()


@pytest.fixture
def both(isaaclab_process: IsaacLabProcess) -> Callable[[Task, list[Film]], list[tuple[Trial, Trial]]]:
    """Runs the same trials with our planner and with Isaac Lab's generator."""

    def run(task: Task, films: list[Film]) -> list[tuple[Trial, Trial]]:
        planner, ours = run_planner(task, films)
        theirs = isaaclab_process.ask("trials", "run", task.problem(films, planner))
        return list(zip(ours, theirs, strict=True))

    return run
