"""Cameras of a scene: names, poses from the configuration, and the calibration that datasets contain."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from isaaclab_mimic_ext.config.cameras import camera_cfgs
from isaaclab_mimic_ext.envs.cameras import calibration, camera_names, choose_cameras
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.cameras import CameraCfg, intrinsics
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

mujoco: Any = requires.module("mujoco", "mujoco")
TASKS = ("desktop_organizer", "desktop_organizer_cluttered", "stack_cube", "two_arm_lift_tray")
SIZE = 84


def projected(point: np.ndarray, found: dict[str, Any], T_env_frame: np.ndarray) -> np.ndarray:
    """Pixel (x, y) and depth of a point in the env frame, by the calibration in a file."""
    T_env_camera = T_env_frame @ np.array(found["T_frame_camera"])
    in_camera = np.linalg.inv(T_env_camera) @ np.array([*point, 1.0])
    x, y, depth = np.array(found["K"]) @ in_camera[:3]
    return np.array([x / depth, y / depth, depth])


def pose_of(pos: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.reshape(matrix, (3, 3)), pos
    return pose


def frame_pose(scene: PosedScene, frame: str) -> np.ndarray:
    """Pose of a frame of a calibration in the env frame, (4, 4)."""
    for arm in scene.task.arms:
        if arm.eef_name == frame:
            site = scene.data.site(f"{arm.name}/eef")
            return pose_of(site.xpos, site.xmat)
    if frame in scene.task.object_names:
        return pose_of(scene.data.body(frame).xpos, scene.data.body(frame).xmat)
    assert frame == "env"
    return np.eye(4)


def first_geom_on_the_ray(scene: PosedScene, camera: str, pixel: np.ndarray) -> tuple[str, float]:
    """Body of the first geom on the ray through a pixel, and its depth [m], by MuJoCo's own axes of the camera."""
    model, data = scene.model, scene.data
    slope = math.tan(math.radians(model.camera(camera).fovy[0]) / 2)
    x, y = 2 * pixel / SIZE - 1
    direction = data.camera(camera).xmat.reshape(3, 3) @ np.array([slope * x, -slope * y, -1.0])
    norm = float(np.linalg.norm(direction))
    geom = np.zeros(1, np.int32)
    distance = mujoco.mj_ray(model, data, data.camera(camera).xpos, direction / norm, None, 1, -1, geom)
    return model.body(int(model.geom_bodyid[geom[0]])).name, distance / norm


@pytest.mark.parametrize("task_name", TASKS)
def test_calibration_projects_the_center_of_each_object_to_its_pixel(task_name: str) -> None:
    task = load_task(task_name)
    scene = PosedScene(task)
    for (name, in_model), obj in product(camera_names(scene.model, task).items(), task.objects):
        found = calibration(scene.model, task, in_model, SIZE, SIZE)
        body = scene.data.body(obj.name)
        center = body.xpos + body.xmat.reshape(3, 3) @ np.array(obj.box_center)
        *pixel, depth = projected(center, found, frame_pose(scene, found["frame"]))
        if depth < 0.02 or not all(0 <= each < SIZE for each in pixel):
            assert name != "agentview", f"{obj.name} is not in the picture"
            continue
        T_env_camera = pose_of(scene.data.camera(in_model).xpos, scene.data.camera(in_model).xmat)
        x, y, z = T_env_camera[:3, :3].T @ (center - T_env_camera[:3, 3])
        slope = math.tan(math.radians(scene.model.camera(in_model).fovy[0]) / 2)
        expected = SIZE / 2 * (1 + np.array([x, -y]) / (-z * slope))
        assert np.allclose(pixel, expected, atol=1e-6) and math.isclose(depth, -z, rel_tol=1e-9)


def test_pixel_of_an_object_shows_the_object() -> None:
    task = load_task("stack_cube")
    scene = PosedScene(task)
    found = calibration(scene.model, task, "agentview", SIZE, SIZE)
    for name in task.object_names:
        center = scene.data.body(name).xpos
        *pixel, depth = projected(center, found, np.eye(4))
        seen, distance = first_geom_on_the_ray(scene, "agentview", np.array(pixel))
        assert seen == name and depth - 0.05 < distance < depth


def test_values_of_the_configuration_replace_pose_and_field_of_view() -> None:
    task = load_task("desktop_organizer")
    given = {
        "agentview": CameraCfg(fovy=30.0),
        "wrist": CameraCfg("franka", [0.1, 0.0, -0.1], [0.0, 0.0, 0.05], fovy=60.0),
        "on_basket": CameraCfg("basket", [0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    }
    scene = PosedScene(task, given)
    names = choose_cameras(scene.model, task, ("agentview", "wrist", "on_basket"))
    found = {name: calibration(scene.model, task, in_model, SIZE, SIZE) for name, in_model in names.items()}
    assert [each["frame"] for each in found.values()] == ["env", "franka", "basket"]
    assert np.allclose(found["agentview"]["K"], intrinsics(30.0, SIZE, SIZE))
    assert np.allclose(np.array(found["agentview"]["T_frame_camera"])[:3, 3], task.cameras["agentview"].pos)
    assert np.allclose(np.array(found["wrist"]["T_frame_camera"])[:3, 3], [0.1, 0.0, -0.1])
    looking_down = np.array(found["on_basket"]["T_frame_camera"])[:3, :3]
    assert np.allclose(looking_down, [[0, -1, 0], [-1, 0, 0], [0, 0, -1]], atol=1e-7)


def test_wrist_stands_for_the_cameras_of_all_hands() -> None:
    task = load_task("two_arm_lift_tray")
    model = PosedScene(task).model
    names = choose_cameras(model, task, ("wrist",))
    assert names == {"robot_left_wrist": "robot_left/wrist", "robot_right_wrist": "robot_right/wrist"}
    assert [calibration(model, task, name, SIZE, SIZE)["frame"] for name in names.values()] == ["left", "right"]


BAD_VALUES = [
    ({"front": 5}, "camera_cfgs.front: must be a group of fields (got 5)"),
    ({"front": {"fov": 5}}, "camera_cfgs.front.fov: is not a field of a camera; choices: frame, pos, target, up, fovy"),
    ({"front": {"fovy": 180}}, "camera_cfgs.front.fovy: must be > 0 and < 180 deg (got 180)"),
    ({"front": {"pos": [1, 2]}}, "camera_cfgs.front.pos: must be [x, y, z] (got [1, 2])"),
    ({"front": {"frame": 3}}, "camera_cfgs.front.frame: must be a text (got 3)"),
]


@pytest.mark.parametrize(("given", "message"), BAD_VALUES)
def test_wrong_values_of_a_camera_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        camera_cfgs(given)
    assert str(caught.value).startswith(message)


def test_camera_keeps_the_values_that_are_not_replaced() -> None:
    camera = CameraCfg(pos=[1.0, 0.0, 1.0], target=[0.0, 0.0, 0.0], fovy=40.0).merged(CameraCfg(fovy=20.0))
    assert camera == CameraCfg(pos=[1.0, 0.0, 1.0], target=[0.0, 0.0, 0.0], fovy=20.0)
