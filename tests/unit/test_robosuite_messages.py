"""Messages of the engine `robosuite` without robosuite."""

import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import EventCfg, RobosuiteCfg, SimCfg
from isaaclab_mimic_ext.envs.factory import choose_engine, make_env
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import load_task


def sim(python: str | None = None) -> SimCfg:
    return SimCfg(engine="robosuite", robosuite=RobosuiteCfg(python=python))


def test_tasks_of_robosuite_select_their_engine() -> None:
    assert choose_engine(SimCfg(), "robosuite_stack")[0] == "robosuite"


def test_a_different_engine_is_refused_for_a_task_of_robosuite() -> None:
    with pytest.raises(ConfigError, match=r"'robosuite_stack' must be used with sim=robosuite \(got 'mujoco'\)"):
        make_env(load_task("robosuite_stack"), "mujoco")


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="'stack_cube' has no environment in robosuite"):
        make_env(load_task("stack_cube"), sim())


def test_a_python_that_is_not_found_is_reported() -> None:
    with pytest.raises(
        SimulatorUnavailable, match=r"sim.robosuite.python: '/no/python' is not a program; run `make robosuite"
    ):
        make_env(load_task("robosuite_stack"), sim("/no/python"))


def test_without_an_environment_the_target_that_creates_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isaaclab_mimic_ext.envs.robosuite.installation.FOLDER", ".venv-none")
    with pytest.raises(SimulatorUnavailable, match="robosuite is not installed; run `make robosuite-env`"):
        make_env(load_task("robosuite_stack"), sim())


def test_a_python_without_robosuite_is_named() -> None:
    with pytest.raises(SimulatorUnavailable, match="has no module 'robosuite'; run `make robosuite-env`"):
        make_env(load_task("robosuite_stack"), sim(sys.executable))


def test_a_worker_that_ends_at_its_start_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho no license >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(SimulatorUnavailable, match=r"ended at its start \(exit code 3; last line: no license"):
        make_env(load_task("robosuite_stack"), sim(str(script)))


def test_a_randomization_is_refused() -> None:
    task = load_task("robosuite_stack")
    with pytest.raises(ConfigError, match=r"events: must be empty with sim=robosuite.*\(got cube\)"):
        make_env(task, sim(), {"cube": EventCfg(asset="cubeA")})
