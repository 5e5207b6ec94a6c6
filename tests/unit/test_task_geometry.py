"""Bounding boxes of the tasks' objects against their MuJoCo scenes, and held objects."""

# N envs, E end effectors, O objects

import mujoco
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.envs.panda.kinematics import FINGER_OPEN, HAND_BOXES
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.math import pose_from_pos_rot
from isaaclab_mimic_ext.run.build import build_motion_planner
from isaaclab_mimic_ext.task.definition import SceneObject, SceneState, load_task
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.tasks.desktop_organizer.task import DesktopOrganizer

TOLERANCE = 1e-3
DOWN = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def corners(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Corners of the bounding box of a geom, (8, 3), frame of its body [m]."""
    center, half_size = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(-1, 3)
    rot = np.zeros(9)
    mujoco.mju_quat2Mat(rot, model.geom_quat[geom])
    return (center + signs * half_size) @ rot.reshape(3, 3).T + model.geom_pos[geom]


def solid_geoms(model: mujoco.MjModel, body: str) -> list[int]:
    of_body = np.flatnonzero(model.geom_bodyid == model.body(body).id)
    return [int(geom) for geom in of_body if model.geom_contype[geom]]


@pytest.mark.parametrize("name", [name for name in available_tasks() if load_task(name).engine is None])
def test_bounding_box_contains_the_object_and_is_not_too_large(name):
    task = load_task(name)
    model = build_model(task)
    for obj in task.objects:
        points = np.concatenate([corners(model, geom) for geom in solid_geoms(model, obj.name)])
        low, high = points.min(0), points.max(0)
        center, half_size = np.array(obj.box_center), np.array(obj.box_half_size)
        assert (low >= center - half_size - TOLERANCE).all(), f"{obj.name} is outside of its box"
        assert (high <= center + half_size + TOLERANCE).all(), f"{obj.name} is outside of its box"
        assert (high - low >= half_size).all(), f"the box of {obj.name} is more than twice as large as the object"


def test_boxes_of_the_hand_contain_its_solid_geoms():
    model = build_model(load_task("desktop_organizer"))
    data = mujoco.MjData(model)
    data.qpos[[model.joint(f"robot/finger{index}").qposadr[0] for index in (1, 2)]] = FINGER_OPEN
    mujoco.mj_forward(model, data)
    site = model.site("robot/eef").id
    for body in ("robot/hand", "robot/finger1", "robot/finger2"):
        index = model.body(body).id
        for geom in np.flatnonzero((model.geom_bodyid == index) & (model.geom_conaffinity > 0)):
            in_env = corners(model, int(geom)) @ data.xmat[index].reshape(3, 3).T + data.xpos[index]
            points = (in_env - data.site_xpos[site]) @ data.site_xmat[site].reshape(3, 3)
            within = [(np.abs(points - np.array(center)) <= np.array(half) + TOLERANCE).all() for center, half in HAND_BOXES]
            assert any(within), f"{body}: geom {geom} is not inside of a box"


class _Tray(DesktopOrganizer):
    objects = (SceneObject("tray", footprint_radius=0.2, rest_height=0.0, default_pos=(0.5, 0.0)),)


def test_motion_planner_refuses_an_object_without_a_height():
    with pytest.raises(TaskSpecError, match=r"'tray'.*half_size"):
        build_motion_planner(_Tray(), torch.device("cpu"))


def scene(finger: float, *eef_above_ketchup: float) -> SceneState:
    """Envs with the bottle at its default position, one env per height of the hand above the center of the bottle [m]."""
    task, num_envs = load_task("desktop_organizer"), len(eef_above_ketchup)
    pos = torch.tensor([[*obj.default_pos, obj.rest_height] for obj in task.objects]).repeat(num_envs, 1, 1)
    eef_pos = pos[:, :1].clone()
    eef_pos[:, 0, 2] += torch.tensor(eef_above_ketchup)
    joint_pos = torch.full((num_envs, 1, 9), finger)
    return SceneState(
        joint_pos=joint_pos,
        joint_vel=torch.zeros_like(joint_pos),
        eef_pose=pose_from_pos_rot(eef_pos, DOWN.expand(num_envs, 1, 3, 3)),
        object_pose=pose_from_pos_rot(pos, torch.eye(3).expand(num_envs, len(task.objects), 3, 3)),
        root_pose=torch.zeros(num_envs, len(task.objects), 7),
        root_velocity=torch.zeros(num_envs, len(task.objects), 6),
    )


def test_closed_gripper_holds_the_object_between_its_fingers():
    task = load_task("desktop_organizer")
    held = task.attached_objects(scene(0.025, 0.0, 0.04, 0.055, 0.08))
    assert held[:, 0].tolist() == [task.object_id("ketchup")] * 3 + [-1]


def test_open_gripper_is_empty():
    assert load_task("desktop_organizer").attached_objects(scene(FINGER_OPEN, 0.0, 0.04)).tolist() == [[-1], [-1]]


def test_start_signals_of_the_desktop_organizer_have_the_names_of_its_term_signals():
    task = load_task("desktop_organizer")
    now = scene(FINGER_OPEN, 0.3, 0.08)
    signals = task.start_signals(now)
    assert tuple(signals) == task.signal_names
    assert {name: values.tolist() for name, values in signals.items()} == {
        "reach": [False, True], "grasp": [False, False], "lift": [False, False], "place": [False, False],
    }  # fmt: skip
