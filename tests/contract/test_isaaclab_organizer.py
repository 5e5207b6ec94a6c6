"""Configuration and USD prims of the desktop organizer in the real Isaac Lab 2.3, without a simulator."""

# J = 7 arm joints

from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.make import task_yaml, trial_events
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.envs.panda.kinematics import EEF_OFFSET, FINGER_OPEN, HOME, JOINT_LIMITS, forward_kinematics
from isaaclab_mimic_ext.envs.panda.shape import FIRST_COLLIDING_LINK, STIFFNESS
from isaaclab_mimic_ext.envs.tabletop import POS_SCALE, ROT_SCALE, STEP_DT
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks, gym_ids
from tests.contract.isaaclab_side.process import IsaacLabProcess

pytestmark = pytest.mark.isaaclab

TASK = load_task("desktop_organizer")
ARM_JOINTS = [f"panda_joint{index + 1}" for index in range(7)]
FINGER_JOINTS = ["panda_finger_joint1", "panda_finger_joint2"]
IN_MUJOCO = {
    **{f"panda_link{index}": f"robot/link{index}" for index in range(1, 8)},
    "panda_hand": "robot/hand",
    "panda_leftfinger": "robot/finger1",
    "panda_rightfinger": "robot/finger2",
}
HALF_TURN = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def configuration(isaaclab_process: IsaacLabProcess) -> dict[str, Any]:
    return isaaclab_process.call("organizer", "configuration", None)


@pytest.fixture(scope="module")
def panda(isaaclab_process: IsaacLabProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return isaaclab_process.call("organizer", "panda", str(tmp_path_factory.mktemp("usd") / "panda.usda"))


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(TASK)


def inertia_of(model: Any, body: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Mass [kg], center of mass [m] and inertia (3, 3) about it [kg m^2], along the axes of the body."""
    body_id = model.body(body).id
    rot = np.empty(9)
    mujoco.mju_quat2Mat(rot, model.body_iquat[body_id])
    rot = rot.reshape(3, 3)
    inertia = rot @ np.diag(model.body_inertia[body_id]) @ rot.T
    return model.body_mass[body_id], model.body_ipos[body_id], inertia


def test_subtasks_and_generation_settings_equal_those_of_the_task_file(configuration):
    ours, theirs = task_yaml("desktop_organizer"), configuration["mimic"]
    assert list(theirs["subtask_configs"]) == list(ours["subtask_configs"]) == ["franka"]
    for expected, read in zip(ours["subtask_configs"]["franka"], theirs["subtask_configs"]["franka"], strict=True):
        for name, value in expected.items():
            assert read[name] == (tuple(value) if isinstance(read[name], tuple) else value), name
    settings = dict(ours["datagen_config"])
    # As a registered task, its limit counts all failures, as Isaac Lab's does.
    settings["max_total_failures"] = settings.pop("max_num_failures")
    for name, value in settings.items():
        assert theirs["datagen_config"][name] == value, name


def test_randomization_equals_that_of_the_task_file(configuration):
    expected = {name: (e.asset, e.pose_range, e.joint_std) for name, e in trial_events("desktop_organizer").items()}
    assert configuration["events"] == expected
    assert expected["randomize_ketchup"][1]["x"] == [-0.05, 0.05]


def test_observations_have_the_keys_and_order_of_the_embedded_engines(configuration):
    env = make_env(TASK, SimCfg(engine="kinematic"), {}, 1)
    assert configuration["observations"] == list(env.observations())


def test_actions_home_pose_and_controllers_equal_those_of_the_embedded_engines(configuration):
    assert configuration["actions"] == ["arm_action", "gripper_action"]
    assert configuration["scale"] == (POS_SCALE,) * 3 + (ROT_SCALE,) * 3
    assert (configuration["body"], configuration["offset"]) == ("panda_hand", (0.0, 0.0, EEF_OFFSET))
    assert configuration["dt"] == pytest.approx(STEP_DT)
    assert configuration["home"] == dict(zip(ARM_JOINTS + FINGER_JOINTS, HOME, strict=True))
    assert list(configuration["stiffness"].values()) == list(STIFFNESS)


def test_default_positions_of_objects_are_those_of_the_task(configuration):
    expected = {obj.name: (*obj.default_pos, obj.rest_height) for obj in TASK.objects}
    assert configuration["object_pos"] == expected


def test_isaac_lab_reads_converted_quaternions_as_the_same_rotations(isaaclab_process):
    quat = torch.nn.functional.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(1)), dim=-1)
    read, returned = isaaclab_process.call("organizer", "quaternions", quat.numpy())
    for name in ("eef_quat", "root_pose", "object 3", "object 10"):
        np.testing.assert_allclose(read[name], matrix_from_quat_xyzw(quat), atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(returned[name], quat)


def test_arm_has_the_names_of_isaac_labs_franka(panda):
    assert panda["root_is_articulation"]
    assert set(panda["bodies"]) == {"panda_link0", *IN_MUJOCO}
    moving = [name for name, joint in panda["joints"].items() if joint["kind"] != "fixed"]
    assert moving == ARM_JOINTS + FINGER_JOINTS
    root = [joint for joint in panda["joints"].values() if joint["kind"] == "fixed" and not joint["parent"]]
    assert [joint["child"] for joint in root] == [["panda_link0"]]


def test_usd_validators_report_no_errors_for_the_arm(panda):
    assert panda["validation_errors"] == []


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_joints_of_the_usd_file_place_the_hand_as_the_forward_kinematics_do(panda, data):
    angles = [data.draw(st.floats(low, high)) for low, high in JOINT_LIMITS]
    pose = np.eye(4)
    for name, angle in zip([*ARM_JOINTS, "panda_hand_joint"], [*angles, None], strict=True):
        joint = panda["joints"][name]
        rotation = np.eye(4)
        if angle is not None:
            assert joint["axis"] == "Z"
            rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose = pose @ joint["frame_in_parent"] @ rotation @ np.linalg.inv(joint["frame_in_child"])
    pose[:3, 3] += EEF_OFFSET * pose[:3, 2]
    expected = forward_kinematics(torch.tensor(angles, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(pose, expected, atol=1e-6)


def test_poses_of_bodies_in_the_usd_file_agree_with_their_joints(panda):
    for name, joint in panda["joints"].items():
        if joint["parent"]:
            parent, child = (panda["bodies"][joint[end][0]]["pose"] for end in ("parent", "child"))
            expected = parent @ joint["frame_in_parent"] @ np.linalg.inv(joint["frame_in_child"])
            np.testing.assert_allclose(child, expected, atol=1e-6, err_msg=name)


def test_fingers_open_away_from_each_other(panda):
    along_y = {}
    for name in FINGER_JOINTS:
        joint = panda["joints"][name]
        assert joint["axis"] == "Y" and joint["limits"] == pytest.approx((0.0, FINGER_OPEN))
        along_y[name] = joint["frame_in_parent"][1, 1]
    assert along_y == pytest.approx({"panda_finger_joint1": 1.0, "panda_finger_joint2": -1.0})


def test_masses_and_inertia_of_the_arm_equal_those_in_mujoco(panda, model):
    for name, in_mujoco in IN_MUJOCO.items():
        mass, center, inertia = inertia_of(model, in_mujoco)
        if name == "panda_rightfinger":
            center, inertia = HALF_TURN @ center, HALF_TURN @ inertia @ HALF_TURN
        body = panda["bodies"][name]
        assert body["mass"] == pytest.approx(mass, rel=1e-5), name
        np.testing.assert_allclose(body["center"], center, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(body["inertia"], inertia, rtol=1e-3, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("task_name", [name for name in available_tasks() if gym_ids(name)])
def test_masses_and_inertia_of_objects_equal_those_in_mujoco(isaaclab_process, task_name):
    task = load_task(task_name)
    model, bodies = build_model(task), isaaclab_process.call("organizer", "objects", task_name)
    assert set(bodies) == set(task.object_names)
    for name, body in bodies.items():
        mass, center, inertia = inertia_of(model, name)
        assert body["mass"] == pytest.approx(mass, rel=1e-5), name
        np.testing.assert_allclose(body["center"], center, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(body["inertia"], inertia, rtol=1e-3, atol=1e-8, err_msg=name)


def test_drives_and_limits_of_the_arm_equal_those_in_mujoco(panda, model):
    for index, name in enumerate(ARM_JOINTS):
        joint = panda["joints"][name]
        assert np.radians(joint["limits"]) == pytest.approx(JOINT_LIMITS[index], abs=1e-5)
        stiffness, damping, force = joint["drive"]
        actuator = model.actuator(f"robot/joint{index + 1}")
        # USD has gains per degree.
        assert np.degrees(stiffness) == pytest.approx(actuator.gainprm[0], rel=1e-5)
        assert np.degrees(damping) == pytest.approx(-actuator.biasprm[2], rel=1e-5)
        assert force == pytest.approx(actuator.forcerange[1])
    for name in FINGER_JOINTS:
        stiffness, _, force = panda["joints"][name]["drive"]
        actuator = model.actuator("robot/finger1")
        assert (stiffness, force) == pytest.approx((actuator.gainprm[0], actuator.forcerange[1]))


def test_moving_links_have_gravity_compensation_and_colliding_links_have_colliders(panda):
    for name, body in panda["bodies"].items():
        assert body["gravcomp"] == (0.0 if name == "panda_link0" else 1.0), name
    low = [f"panda_link{index}" for index in range(FIRST_COLLIDING_LINK)]
    assert {name for name, body in panda["bodies"].items() if body["num_colliders"] == 0} == set(low)
