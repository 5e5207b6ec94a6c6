"""Isaac Lab scenes that are written and read once per control step, where nothing acts in between."""

from types import SimpleNamespace
from typing import Any

import pytest

from isaaclab_mimic_ext.envs.isaaclab.control_steps import SceneAccess, may_skip_physics_steps

DT, DECIMATION = 0.01, 5


class Scene:
    """Scene that lists the calls of its methods."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.articulations: dict[str, Any] = {}
        self.rigid_objects = {"cube": SimpleNamespace(permanent_wrench_composer=SimpleNamespace(active=False))}

    def write_data_to_sim(self) -> None:
        self.calls.append("write")

    def update(self, dt: float) -> None:
        self.calls.append(round(dt, 6))


def step(scene: Any, access: SceneAccess, dt: float = DT) -> None:
    """One control step, as in Isaac Lab."""
    with access.control_step():
        for _ in range(round(DT * DECIMATION / dt)):
            scene.write_data_to_sim()
            scene.update(dt)


def test_scene_is_written_before_the_first_physics_step_and_read_after_the_last() -> None:
    scene = Scene()
    access = SceneAccess(scene, DT * DECIMATION)
    step(scene, access)
    step(scene, access)
    assert scene.calls == ["write", 0.05] * 2


def test_physics_that_runs_all_steps_in_one_call_is_read_after_this_call() -> None:
    scene = Scene()
    step(scene, SceneAccess(scene, DT * DECIMATION), DT * DECIMATION)
    assert scene.calls == ["write", 0.05]


def test_resets_write_and_read_the_scene_as_often_as_they_ask_for_it() -> None:
    scene = Scene()
    access = SceneAccess(scene, DT * DECIMATION)
    step(scene, access)
    for _ in range(2):
        scene.write_data_to_sim()
        scene.update(0.0)
    step(scene, access)
    assert scene.calls == ["write", 0.05, "write", 0.0, "write", 0.0, "write", 0.05]


def test_step_that_fails_leaves_no_time_to_the_next_step() -> None:
    scene = Scene()
    access = SceneAccess(scene, DT * DECIMATION)
    with pytest.raises(RuntimeError), access.control_step():
        scene.update(DT)
        raise RuntimeError
    step(scene, access)
    assert scene.calls == ["write", 0.05]


def test_reset_within_the_control_step_writes_and_reads_the_scene() -> None:
    scene = Scene()
    with SceneAccess(scene, DT).control_step():
        scene.write_data_to_sim()
        scene.update(DT)
        scene.write_data_to_sim()
        scene.update(0.0)
    assert scene.calls == ["write", DT, "write", 0.0]


def test_permanent_external_force_acts_in_each_physics_step() -> None:
    scene = Scene()
    access = SceneAccess(scene, DT * DECIMATION)
    scene.rigid_objects["cube"].permanent_wrench_composer.active = True
    step(scene, access)
    assert scene.calls == ["write", DT] * DECIMATION
    scene.rigid_objects["cube"].permanent_wrench_composer.active = False
    step(scene, access)
    assert scene.calls[2 * DECIMATION :] == ["write", 0.05]


def env(**changes: Any) -> Any:
    """Env of an included task, with changes."""
    terms = {"arm": SimpleNamespace(acts_once=True), "gripper": SimpleNamespace(acts_once=True)}
    parts: dict[str, Any] = {
        "terms": terms,
        "modes": ["reset"],
        "sensors": {},
        "recorders": None,
        "implicit": True,
    } | changes
    arm = SimpleNamespace(actuators={"arm": SimpleNamespace(is_implicit_model=parts["implicit"])})
    return SimpleNamespace(
        action_manager=SimpleNamespace(active_terms=list(parts["terms"]), get_term=parts["terms"].get),
        event_manager=SimpleNamespace(available_modes=parts["modes"]),
        scene=SimpleNamespace(sensors=parts["sensors"], articulations={"arm": arm}),
        cfg=SimpleNamespace(mimic_recorder_config=parts["recorders"]),
    )


@pytest.mark.parametrize(
    ("changes", "may_skip"),
    [
        ({}, True),
        ({"modes": []}, True),
        ({"modes": ["reset", "interval"]}, False),
        ({"sensors": {"camera": object()}}, False),
        ({"recorders": object()}, False),
        ({"implicit": False}, False),
        ({"terms": {"arm": SimpleNamespace(acts_once=True), "base": SimpleNamespace()}}, False),
    ],
)
def test_each_physics_step_is_kept_where_something_acts_or_reads_in_it(changes: dict[str, Any], may_skip: bool) -> None:
    assert may_skip_physics_steps(env(**changes)) is may_skip
