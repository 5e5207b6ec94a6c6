"""Coffee: signals and success in hand-made scenes, and geometry of holder, pod and lid."""

import math

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.coffee.task import (
    HOLDER_HALF_HEIGHT,
    HOLDER_POS,
    HOLE_RADIUS,
    IN_HOLDER,
    LID_HALF,
    OPEN_ANGLE,
    POD_HALF_HEIGHT,
    POD_RADIUS,
    RIM,
    SEAT,
)
from tests import requires

TASK = load_task("coffee")
SEATED = SEAT + POD_HALF_HEIGHT


def scene(lid: float = 0.0, pod: tuple[float, float, float] = (0.0, 0.0, SEATED), finger: float = 0.04) -> SceneState:
    """One scene: joint position of the lid [rad], position of the pod from the axis of the holder, and its height [m]."""
    env = KinematicEnv(TASK, {}, 1)
    state = env.get_state()
    state["articulation"]["coffee_machine"]["joint_position"] = torch.tensor([[lid]])
    env.reset_to(state, torch.arange(1))
    pose, offset = env.scene.object_pose, torch.tensor((HOLDER_POS[0] + pod[0], HOLDER_POS[1] + pod[1], pod[2]))
    pose[0, TASK.object_id("coffee_pod"), :3, 3] = pose[0, TASK.object_id("coffee_machine"), :3, 3] + offset
    env.scene.joint_pos[..., -2:] = finger
    return env.scene


@pytest.mark.parametrize(
    ("changes", "solved"),
    [
        ({}, True),
        ({"lid": math.radians(14.9)}, True),
        ({"lid": math.radians(15.1)}, False),
        ({"lid": OPEN_ANGLE}, False),
        ({"pod": (IN_HOLDER - 1e-4, 0.0, SEATED)}, True),
        ({"pod": (0.0, IN_HOLDER + 1e-4, SEATED)}, False),
        ({"pod": (0.0, 0.0, HOLDER_POS[2] - HOLDER_HALF_HEIGHT + POD_HALF_HEIGHT - 1e-3)}, False),
        ({"pod": (0.0, 0.0, 0.208 - POD_HALF_HEIGHT)}, False),
    ],
)
def test_solved_means_a_pod_in_the_holder_below_the_closed_lid(changes: dict, solved: bool) -> None:
    assert bool(TASK.success(scene(**changes))) is solved


def test_pod_is_held_by_fingers_at_its_flange_only() -> None:
    for finger, held in ((POD_RADIUS, True), (0.0, False), (0.04, False)):
        state = scene(finger=finger)
        state.eef_pose[0, 0, :3, 3] = state.object_pose[0, TASK.object_id("coffee_pod"), :3, 3]
        assert bool(TASK.signals(state)["grasp"]) is held


def test_support_of_a_pod_is_the_holder_or_the_table() -> None:
    assert float(TASK.support_height("coffee_pod", scene())) == pytest.approx(SEAT)
    assert float(TASK.support_height("coffee_pod", scene(pod=(0.1, 0.0, 0.3)))) == 0.0


def test_lid_starts_open_and_the_open_lid_stays_open() -> None:
    """Gravity holds the lid behind its hinge, until a hand pushes it over."""
    requires.module("mujoco", "mujoco")
    import mujoco

    model = build_model(TASK)
    data = mujoco.MjData(model)
    joint = model.joint("lid")
    data.qpos[joint.qposadr[0]] = OPEN_ANGLE
    mujoco.mj_step(model, data, nstep=500)
    assert data.qpos[joint.qposadr[0]] == pytest.approx(OPEN_ANGLE, abs=0.02)
    data.qpos[joint.qposadr[0]] = math.radians(80.0)
    mujoco.mj_step(model, data, nstep=500)
    assert data.qpos[joint.qposadr[0]] == pytest.approx(0.0, abs=0.02)


def test_seated_pod_fits_into_the_hole_and_below_the_closed_lid() -> None:
    lid = scene().object_pose[0, TASK.object_id("lid"), 2, 3] - LID_HALF[2]
    assert POD_RADIUS < HOLE_RADIUS
    assert RIM - 0.002 < SEAT + 2 * POD_HALF_HEIGHT < float(lid)


def test_pod_that_is_dropped_into_the_hole_comes_to_rest_on_the_floor_of_the_holder() -> None:
    requires.module("mujoco", "mujoco")
    import mujoco

    model = build_model(TASK)
    data = mujoco.MjData(model)
    data.qpos[model.joint("lid").qposadr[0]] = OPEN_ANGLE
    start = model.joint("coffee_pod").qposadr[0]
    mujoco.mj_forward(model, data)
    machine = data.body("coffee_machine").xpos.copy()
    data.qpos[start : start + 3] = machine + np.array((*HOLDER_POS[:2], SEATED + 0.011))
    mujoco.mj_step(model, data, nstep=1000)
    assert data.body("coffee_pod").xpos[2] == pytest.approx(machine[2] + SEATED, abs=1e-3)
