"""Fixtures that several suites share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.kinematic_sources import write_source_file


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The operations are small; threads would only get into each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is to run on."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def kinematic_source(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Annotated source demonstrations from the kinematic engine, on which nearly every trial succeeds."""
    return write_source_file(tmp_path_factory.mktemp("sources") / "kinematic.hdf5")
