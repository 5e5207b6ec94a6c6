"""Fixtures of several suites, and settings of all tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import torch

from tests import requires
from tests.kinematic_sources import write_source_file

# No test depends on the speed of the machine.
hypothesis.settings.register_profile("any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any speed")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse unknown names in `MIMIC_TEST_REQUIRES`, and hide GPUs from all tests but those of GPUs.

    Otherwise `sim=auto` would select another engine on a machine with a GPU.
    """
    words = f"{config.option.markexpr} {config.option.keyword}"
    if not ({"gpu", "cuda"} & {*words.split()} or "cuda" in requires.required()):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


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


EXACT_ENGINES = ("kinematic", "mujoco", "mujoco_warp")
"""Engines in which an env has the same bits for any number of envs. On a GPU, threads add up forces in any order."""


@pytest.fixture(params=[*EXACT_ENGINES, pytest.param("mujoco_warp on cuda", marks=pytest.mark.gpu)])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each engine that needs no extra environment. New tensors of the test are on the engine's device."""
    with started_engine(request.param) as name:
        yield name


@pytest.fixture(params=EXACT_ENGINES)
def exact_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of `EXACT_ENGINES`."""
    with started_engine(request.param) as name:
        yield name


@contextmanager
def started_engine(title: str) -> Iterator[str]:
    name, _, device = title.partition(" on ")
    if name != "kinematic":
        requires.module("mujoco.batch" if name == "mujoco" else name, name)
    if device == "cuda" and not torch.cuda.is_available():
        requires.missing("cuda", "torch.cuda.is_available() is False")
    with torch.device(device or "cpu"):
        yield name


@pytest.fixture(scope="session")
def kinematic_source(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Annotated source demonstrations from the kinematic engine, on which nearly every trial succeeds."""
    return write_source_file(tmp_path_factory.mktemp("sources") / "kinematic.hdf5")
