"""Mug cleanup: signals and success in hand-made scenes, and geometry of the drawer."""

import math

import pytest
import torch

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.mug_cleanup.task import DRAWER_POS, FLOOR, INSIDE_HIGH, INSIDE_LOW, MUG_HEIGHT, MUG_RADIUS
from tests import requires

TASK = load_task("mug_cleanup")
ON_FLOOR = FLOOR + MUG_HEIGHT / 2


def scene(
    drawer: float = 0.0, mug: tuple[float, float, float] = (0.0, 0.0, ON_FLOOR), tilt: float = 0.0, finger: float = 0.04
) -> SceneState:
    """One scene: joint position of the drawer, position of the mug in the drawer [m] and its tilt [rad]."""
    env = KinematicEnv(TASK, {}, 1)
    state = env.get_state()
    state["articulation"]["cabinet"]["joint_position"] = torch.tensor([[drawer]])
    env.reset_to(state, torch.arange(1))
    pose = env.scene.object_pose
    pose[0, TASK.object_id("mug")] = pose[0, TASK.object_id("drawer")]
    pose[0, TASK.object_id("mug"), :3, 3] += torch.tensor(mug)
    pose[0, TASK.object_id("mug"), :3, :3] = matrix_from_axis_angle(torch.tensor([tilt, 0.0, 0.0]))
    env.scene.joint_pos[..., -2:] = finger
    return env.scene


@pytest.mark.parametrize(
    ("changes", "solved"),
    [
        ({}, True),
        ({"drawer": 0.009}, True),
        ({"drawer": 0.011}, False),
        ({"tilt": 0.04}, True),
        ({"tilt": 0.05}, False),
        ({"mug": (0.0, 0.0, ON_FLOOR + 0.004)}, False),
        ({"mug": (INSIDE_HIGH[0] + 0.001, 0.0, ON_FLOOR)}, False),
        ({"mug": (0.0, INSIDE_LOW[1] - 0.001, ON_FLOOR)}, False),
    ],
)
def test_solved_means_an_upright_mug_on_the_floor_of_the_closed_drawer(changes: dict, solved: bool) -> None:
    assert bool(TASK.success(scene(**changes))) is solved


def test_drawer_counts_as_open_once_the_hand_has_left_it() -> None:
    state = scene(drawer=0.15)
    assert bool(TASK.signals(state)["open"])
    near = scene(drawer=0.15)
    near.eef_pose[0, 0, :3, 3] = near.object_pose[0, TASK.object_id("drawer"), :3, 3] + torch.tensor([0.0, -0.16, 0.04])
    assert not bool(TASK.signals(near)["open"])
    assert not bool(TASK.signals(scene(drawer=0.09))["open"])


def test_mug_is_held_by_fingers_at_its_wall_only() -> None:
    for finger, held in ((MUG_RADIUS, True), (0.0, False), (0.04, False)):
        state = scene(finger=finger)
        state.eef_pose[0, 0, :3, 3] = state.object_pose[0, TASK.object_id("mug"), :3, 3]
        assert bool(TASK.signals(state)["grasp"]) is held


def test_mug_fits_below_the_casing_and_the_scene_has_no_contacts_at_rest() -> None:
    requires.module("mujoco", "mujoco")
    import mujoco

    model = build_model(TASK)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    bodies = {model.body(model.geom_bodyid[geom]).name for contact in data.contact for geom in contact.geom}
    assert bodies <= {"world", "mug"}
    top = min(
        model.geom_pos[geom][2] - model.geom_size[geom][2]
        for geom in range(model.ngeom)
        if model.body(model.geom_bodyid[geom]).name == "cabinet" and model.geom_pos[geom][2] > 0.1
    )
    assert DRAWER_POS[2] + FLOOR + MUG_HEIGHT < top
    assert math.isclose(sum(model.body_mass[model.body("drawer").id : model.body("drawer").id + 1]), 7.85, rel_tol=0.01)
