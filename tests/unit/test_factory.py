"""Engines by name: what is said when there is none."""

import sys
from importlib.util import find_spec

import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.factory import choose_engine, isaaclab_scene, make_env
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks, gym_ids, task_of_gym_id
from tests import requires

TASK = load_task("desktop_organizer")


def test_unknown_engine_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"sim.engine.*'mojoco'.*mujoco, mujoco_warp, kinematic.*did you mean 'mujoco'"):
        make_env(TASK, SimCfg(engine="mojoco"), {}, 1)


@requires.mark("no-isaaclab", find_spec("isaaclab") is None, "Isaac Lab is installed")
def test_isaaclab_is_said_to_be_missing() -> None:
    with pytest.raises(SimulatorUnavailable, match=r"Isaac Lab is not installed.*or use sim=mujoco"):
        make_env(TASK, SimCfg(engine="isaaclab"), {}, 1)


@pytest.mark.parametrize(
    ("sim", "task_name", "engine", "reason"),
    [
        (SimCfg(), "desktop_organizer", "mujoco", "not started by `isaaclab -p`"),
        (SimCfg(), "isaaclab", "isaaclab", "the task is registered with Isaac Lab"),
        (SimCfg(physics="ovphysx"), "desktop_organizer", "isaaclab", "sim.physics is set, which only Isaac Lab has"),
        (SimCfg(presets=["rgb"]), "desktop_organizer", "isaaclab", "sim.presets is set, which only Isaac Lab has"),
        (SimCfg(env={"decimation": 10}), "stack_cube", "isaaclab", "sim.env is set, which only Isaac Lab has"),
        (SimCfg(engine="kinematic"), "desktop_organizer", "kinematic", "sim=kinematic"),
    ],
)
def test_engine_of_auto_follows_from_the_command(sim: SimCfg, task_name: str, engine: str, reason: str) -> None:
    assert choose_engine(sim, task_name) == (engine, reason)


@pytest.mark.parametrize(
    ("sim", "fault"),
    [
        (
            SimCfg(engine="kinematic", physics="newton"),
            r"^sim.physics: .* 'isaaclab' \(got engine 'kinematic'\); .*sim=isaaclab",
        ),
        (SimCfg(engine="mujoco", env={"sim": {"dt": 0.005}}), r"^sim.env: .* 'isaaclab' \(got engine 'mujoco'\)"),
        (SimCfg(contacts=8), r"^sim.contacts: .* 'mujoco_warp' \(got engine 'mujoco'\); .*sim=mujoco_warp"),
    ],
)
def test_settings_of_a_different_engine_are_refused(sim: SimCfg, fault: str) -> None:
    """They would have no effect."""
    with pytest.raises(ConfigError, match=fault):
        choose_engine(sim, TASK.name)
    with pytest.raises(ConfigError, match=fault):
        make_env(TASK, sim)


@pytest.mark.parametrize(
    ("device", "engine", "has_cuda", "expected"),
    [
        ("auto", "isaaclab", True, ("cuda:0", "this machine has a CUDA device")),
        ("auto", "isaaclab", False, ("cpu", "this machine has no CUDA device")),
        ("auto", "mujoco", True, ("cpu", "this engine runs on the CPU")),
        ("cpu", "isaaclab", True, ("cpu", "device=cpu")),
        ("cuda:1", "mujoco", True, ("cuda:1", "device=cuda:1")),
    ],
)
def test_device_is_the_gpu_if_engine_and_machine_have_one(
    device: str, engine: str, has_cuda: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    assert resolve_device(device, engine) == expected


def test_a_task_without_a_scene_for_isaaclab_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isaaclab_mimic_ext.envs.factory.isaaclab_module", lambda _: None)
    with pytest.raises(
        SimulatorUnavailable, match=r"'stack_cube' has no scene for Isaac Lab \(tasks/stack_cube/isaaclab/\)"
    ):
        make_env(load_task("stack_cube"), SimCfg(engine="isaaclab"), {}, 1)


@pytest.mark.parametrize("name", [name for name in available_tasks() if load_task(name).engine is None])
def test_all_included_tasks_have_a_scene_for_isaaclab(name: str) -> None:
    assert isaaclab_scene(name) == f"isaaclab_mimic_ext.tasks.{name}.isaaclab"
    assert [task_of_gym_id(gym_id) for gym_id in gym_ids(name)] == [name, name]


def test_missing_mujoco_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(SimulatorUnavailable, match=r"pip install isaaclab-mimic-ext\[mujoco\]"):
        make_env(TASK, SimCfg(engine="mujoco"), {}, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "stack_cube"}, r"task: must be a Task \(got 'stack_cube'\); use load_task"),
        ({"num_envs": "3"}, r"num_envs: must be an integer >= 1 \(got '3'\)"),
        ({"num_envs": 2.5}, r"num_envs: must be an integer >= 1 \(got 2.5\)"),
        ({"device": "abc"}, r"device: 'abc' is not a valid device; choices: cpu, cuda"),
    ],
)
def test_wrong_argument_of_make_env_is_refused_with_its_name_and_value(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(**{"task": TASK, "engine": "kinematic", **arguments})
