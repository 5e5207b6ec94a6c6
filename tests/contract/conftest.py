"""Fixtures of the contract tests that run Isaac Lab in a separate process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import requires
from tests.contract.isaaclab_scenes import Task, run_planner
from tests.contract.isaaclab_side.messages import Film, Trial
from tests.contract.isaaclab_side.process import IsaacLabProcess

FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use Isaac Lab 2.3's wheel."""
    for item in items:
        if item.path.parent == FOLDER and {"isaaclab", "isaaclab_process"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.contract)


@pytest.fixture(scope="session")
def isaaclab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsaacLabProcess]:
    """Isaac Lab 2.3 in a separate process, with stubs for Omniverse."""
    process = IsaacLabProcess(requires.contract_site(), tmp_path_factory.mktemp("isaaclab"))
    yield process
    process.close()


@pytest.fixture
def both(isaaclab_process: IsaacLabProcess) -> Callable[[Task, list[Film]], list[tuple[Trial, Trial]]]:
    """Function that runs the same trials with the planner of this package and with Isaac Lab's generator."""

    def run(task: Task, films: list[Film]) -> list[tuple[Trial, Trial]]:
        planner, ours = run_planner(task, films)
        theirs = isaaclab_process.call("trials", "run", task.problem(films, planner))
        return list(zip(ours, theirs, strict=True))

    return run
