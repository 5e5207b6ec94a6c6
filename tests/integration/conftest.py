"""What the tests of runs that are killed and resumed share, and the browser of the tests of pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.session import RunFolder
from tests.browser import Browser, open_browser
from tests.faults import ForkServer, open_fork_server
from tests.runs import PATIENT, SHAKY, TARGET, run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture(scope="module")
def arguments(kinematic_source: Path) -> list[str]:
    """The command line of a run."""
    quiet = ("video=false", "progress=false")
    return ["sim=kinematic", f"input_file={kinematic_source}", *quiet, "num_envs=8", TARGET, SHAKY, PATIENT]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with open_fork_server(tmp_path_factory.mktemp("fork_server")) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("undisturbed"))
    run(kinematic_source, folder)
    return folder


@pytest.fixture(scope="module")
def digest(undisturbed: RunFolder) -> str:
    return dataset_digest(undisturbed.demos)
