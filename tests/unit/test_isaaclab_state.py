"""State of an Isaac Lab scene, read with few operations, or by Isaac Lab's method where it differs."""

# N = 3 envs

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.scene_state import SceneStateReader


def asset(first: float) -> Any:
    values = first + torch.arange(3.0 * 7).reshape(3, 7)
    return SimpleNamespace(
        data=SimpleNamespace(root_pose_w=values, root_vel_w=values[:, :6], joint_pos=-values, joint_vel=2 * values)
    )


class Scene:
    """Scene with a robot and two objects, and with the groups `others`; counts the calls of Isaac Lab's method."""

    def __init__(self, **others: Any):
        self.env_origins = torch.tensor([[0.0, 0.0, 0.0], [2.5, 0.0, 0.0], [0.0, 2.5, 0.0]])
        self.articulations, self.rigid_objects = {"robot": asset(0.1)}, {"mug": asset(7.0), "box": asset(9.0)}
        self.others, self.num_calls = others, 0

    def get_state(self, is_relative: bool) -> dict[str, Any]:
        self.num_calls += 1

        def of(data: Any, has_joints: bool) -> dict[str, Any]:
            pose = data.root_pose_w.clone()
            pose[:, :3] -= self.env_origins
            joints = {"joint_position": data.joint_pos, "joint_velocity": data.joint_vel} if has_joints else {}
            return {"root_pose": pose, "root_velocity": data.root_vel_w, **joints}

        groups = {"articulation": self.articulations, "deformable_object": {}, "rigid_object": self.rigid_objects}
        states = {
            group: {name: of(each.data, group == "articulation") for name, each in assets.items()}
            for group, assets in groups.items()
        }
        return {**states, **self.others}


@pytest.fixture(autouse=True)
def release_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "quat_is_xyzw", lambda: True)


def test_state_of_robots_and_rigid_objects_is_read_without_isaaclabs_method() -> None:
    scene = Scene()
    reader = SceneStateReader(scene)
    scene.rigid_objects["mug"].data.root_pose_w = scene.rigid_objects["mug"].data.root_pose_w + 1.0
    leaves, expected = trees.flatten(reader.read()), trees.flatten(scene.get_state(is_relative=True))
    assert list(leaves) == list(expected) and len(leaves) == 8
    assert all(torch.equal(leaf, expected[path]) for path, leaf in leaves.items())
    assert scene.num_calls == 2  # The check of the reader, and the comparison above.


def test_fixed_roots_are_read_once_until_they_are_forgotten() -> None:
    scene = Scene()
    robot, mug = scene.articulations["robot"], scene.rigid_objects["mug"]
    robot.is_fixed_base = True
    reader = SceneStateReader(scene, fixed_roots_stay=True)
    before = {path: leaf.clone() for path, leaf in trees.flatten(reader.read()).items()}
    for each in (robot, mug):
        each.data.root_pose_w += 1.0
    robot.data.joint_pos += 1.0
    changed = {path for path, leaf in trees.flatten(reader.read()).items() if not torch.equal(leaf, before[path])}
    robot_joints = "articulation/robot/joint_position"
    assert changed == {robot_joints, "rigid_object/mug/root_pose", "rigid_object/mug/root_velocity"}
    reader.forget_fixed_roots()
    leaves, expected = trees.flatten(reader.read()), trees.flatten(scene.get_state(is_relative=True))
    assert list(leaves) == list(expected) and all(torch.equal(leaf, expected[path]) for path, leaf in leaves.items())


def test_state_with_other_assets_is_that_of_isaaclabs_method() -> None:
    scene = Scene(gripper={"suction": torch.ones(3, 1)})
    leaves = trees.flatten(SceneStateReader(scene).read())
    assert len(leaves) == 9 and torch.equal(leaves["gripper/suction"], torch.ones(3, 1))
