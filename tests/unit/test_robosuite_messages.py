"""Messages of the engine `robosuite` without robosuite."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import EventCfg, RobosuiteCfg, SimCfg
from isaaclab_mimic_ext.envs.factory import choose_engine, make_env
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.envs.robosuite.workers import STEP, Workers
from isaaclab_mimic_ext.errors import ConfigError, SimulationError, SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import load_task

COUNTER = """
import json, mmap, os, sys, time
import numpy as np

sys.stdin.readline()
arrays = {"count": [[], "<i8"], "mask": [[], "|u1"], "seed": [[], "<u8"], "action": [[1], "<f8"]}
arrays.update(write_qpos=[[1], "<f8"], write_qvel=[[1], "<f8"])
print(json.dumps({"arrays": arrays}), flush=True)
place = json.loads(sys.stdin.readline())
memory = np.frombuffer(mmap.mmap(place["memory"], 0), dtype=np.uint8)
first, number = place["rows"]
offset = place["arrays"]["count"][0]
count = memory[offset : offset + 8 * (first + number)].view("<i8")
for row in range(first, first + number):
    count[row] = 0
    print("{}", flush=True)
for line in sys.stdin:
    if os.path.exists("%s"):
        os.rename("%s", "%s.seen")
        time.sleep(1000)
    mask = memory[place["arrays"]["mask"][0] :]
    for row in range(first, first + number):
        count[row] = (count[row] + 1 if line.strip() == "s" else 0) if mask[row] else count[row]
    print("{}", flush=True)
"""
"""Program that counts steps of each row. While a file exists, it does not answer."""


def sim(python: str | None = None, max_wait: float = 60.0) -> SimCfg:
    return SimCfg(engine="robosuite", robosuite=RobosuiteCfg(python=python, max_wait=max_wait))


def program(folder: Path, body: str) -> str:
    """Write an executable file that runs a shell script instead of the worker. Return its path."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return str(script)


def python_with(folder: Path, modules: Mapping[str, str]) -> str:
    """Write modules, path -> source, and a Python that finds them. Return its path."""
    for path, source in modules.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    return program(folder, f'PYTHONPATH="{folder}" exec "{sys.executable}" "$@"')


def counter(folder: Path) -> str:
    (folder / "counter.py").write_text(COUNTER % ((folder / "hangs",) * 3))
    return program(folder, f'exec "{sys.executable}" "{folder}/counter.py"')


def test_tasks_of_robosuite_select_their_engine() -> None:
    assert choose_engine(SimCfg(), "robosuite_stack")[0] == "robosuite"


def test_a_different_engine_is_refused_for_a_task_of_robosuite() -> None:
    with pytest.raises(ConfigError, match=r"'robosuite_stack' must be used with sim=robosuite \(got 'mujoco'\)"):
        make_env(load_task("robosuite_stack"), "mujoco")


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="'stack_cube' has no environment in robosuite"):
        make_env(load_task("stack_cube"), sim())


def test_a_scene_that_only_robosuite_has_is_named_when_it_is_drawn() -> None:
    with pytest.raises(SimulatorUnavailable, match="'robosuite_lift' has no scene for MuJoCo, only for robosuite"):
        build_model(load_task("robosuite_lift"))


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
    python = program(tmp_path, "echo no license >&2; exit 3")
    with pytest.raises(SimulatorUnavailable, match=r"ended at its start \(exit code 3; last line: no license"):
        make_env(load_task("robosuite_stack"), sim(python))


def test_a_worker_that_hangs_at_its_start_is_reported(tmp_path: Path) -> None:
    python = program(tmp_path, "echo waits for a license >&2; exec sleep 1000")
    expected = r"ended at its start \(no answer within 0.5 s, see sim.robosuite.max_wait; last line: waits for a license"
    with pytest.raises(SimulatorUnavailable, match=expected):
        make_env(load_task("robosuite_stack"), sim(python, max_wait=0.5))


def test_a_different_release_is_named_even_if_it_cannot_create_the_environment(tmp_path: Path) -> None:
    python = python_with(tmp_path, {"robosuite/__init__.py": "__version__ = '2.0.0'\n"})
    with pytest.raises(SimulatorUnavailable, match=r"its robosuite must be 1.5 or 1.4.1 \(got 2.0.0\); run `make robosuite"):
        make_env(load_task("robosuite_stack"), sim(python))


def test_the_unrelated_mimicgen_of_pypi_is_named_and_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    modules = {
        "robosuite/__init__.py": "__version__ = '1.5.2'\n",
        "mimicgen/__init__.py": f"open({str(trace)!r}, 'w')\n",
        "mimicgen/main.py": "",
    }
    task = load_task("robosuite_stack")
    monkeypatch.setattr(type(task), "imports", ("mimicgen",))
    expected = "'mimicgen' of .* is an unrelated package of PyPI, not NVIDIA's MimicGen; uninstall it, then install MimicGen"
    with pytest.raises(SimulatorUnavailable, match=expected):
        make_env(task, sim(python_with(tmp_path, modules)))
    assert not trace.exists()


def test_a_missing_mimicgen_is_reported_with_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = load_task("robosuite_stack")
    monkeypatch.setattr(type(task), "imports", ("mimicgen",))
    python = python_with(tmp_path, {"robosuite/__init__.py": "__version__ = '1.5.2'\n"})
    with pytest.raises(
        SimulatorUnavailable, match=r"no module 'mimicgen'; install MimicGen with `pip install git\+https://"
    ):
        make_env(task, sim(python))


def test_a_worker_that_hangs_is_replaced_and_its_steps_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workers = Workers(counter(tmp_path), {}, num_envs=3, num_workers=2, max_wait=5.0)
    with caplog.at_level(logging.WARNING):
        workers.request("r", [0, 1, 2])
        workers.request(STEP, [0, 1, 2])
        workers.request(STEP, [0, 2])
        (tmp_path / "hangs").touch()
        workers.request(STEP, [0, 1])
    assert (workers.num_deaths, workers.arrays["count"].tolist()) == (1, [3, 2, 2])
    assert "no answer within 5 s, see sim.robosuite.max_wait" in caplog.text
    workers.close()


def test_a_worker_that_hangs_in_each_attempt_ends_the_run(tmp_path: Path) -> None:
    workers = Workers(counter(tmp_path), {}, num_envs=1, num_workers=1, max_wait=5.0)
    program(tmp_path, "exec sleep 1000")
    workers._max_wait = 0.5  # of the replacements
    (tmp_path / "hangs").touch()
    with pytest.raises(SimulationError, match=r"died 3 times in the same step .*no answer within 0.5 s"):
        workers.request(STEP, [0])


def test_a_randomization_is_refused() -> None:
    task = load_task("robosuite_stack")
    with pytest.raises(ConfigError, match=r"events: must be empty with sim=robosuite.*\(got cube\)"):
        make_env(task, sim(), {"cube": EventCfg(asset="cubeA")})
