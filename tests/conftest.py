"""Fixtures of several suites, and settings of all tests."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests import requires
from tests.kinematic_sources import write_source_file

# No test depends on the speed of the machine.
hypothesis.settings.register_profile("any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any speed")


def pytest_configure() -> None:
    """Refuse unknown names in `MIMIC_TEST_REQUIRES`."""
    requires.required()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Run torch on one thread: the operations are small, and threads would only compete."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each available device."""
    if request.param == "cuda" and not torch.cuda.is_available():
        requires.missing("cuda", "torch.cuda.is_available() is False")
    return torch.device(request.param)


@pytest.fixture(params=["kinematic", "mujoco"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that needs no extra environment."""
    if request.param == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    return request.param


@pytest.fixture(scope="session")
def kinematic_source(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Annotated source demonstrations from the kinematic engine, on which nearly every trial succeeds."""
    return write_source_file(tmp_path_factory.mktemp("sources") / "kinematic.hdf5")
