"""Tests with robosuite 1.5 in worker processes. `make robosuite-test` runs them; elsewhere they skip."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import RobosuiteCfg, SimCfg
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.robosuite.env import RobosuiteEnv
from isaaclab_mimic_ext.envs.robosuite.installation import find_python
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from tests import requires

FOLDER = Path(__file__).parent

MakeEnv = Callable[..., RobosuiteEnv]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.robosuite)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def python() -> str:
    """Path of the Python with robosuite; reported as missing if there is none."""
    with requires.available("robosuite", SimulatorUnavailable):
        return find_python(None)


@pytest.fixture
def make() -> Iterator[MakeEnv]:
    """Function (num_envs, num_processes, task, control) that creates environments, which end with the test."""
    made = []

    def make(num_envs: int, num_processes: int = 1, task: str = "robosuite_stack", control: str = "own") -> RobosuiteEnv:
        sim = SimCfg(engine="robosuite", robosuite=RobosuiteCfg(num_processes=num_processes, control=control))
        env = make_env(load_task(task), sim, {}, num_envs)
        assert isinstance(env, RobosuiteEnv)
        made.append(env)
        return env

    yield make
    for env in made:
        env.close()
