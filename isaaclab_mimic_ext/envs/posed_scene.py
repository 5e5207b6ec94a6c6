"""A task's scene in MuJoCo that follows the states of any engine, for pictures and for pages that draw it themselves."""

# E arms, O objects, B bodies that move

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.cameras import merged_cameras
from isaaclab_mimic_ext.envs.mujoco_layout import SceneLayout
from isaaclab_mimic_ext.envs.mujoco_model import build_model, import_mujoco
from isaaclab_mimic_ext.envs.object_meshes import MESH, SceneMeshes
from isaaclab_mimic_ext.envs.object_sizes import SCALE, ObjectSizes
from isaaclab_mimic_ext.envs.panda.kinematics import joint_step, point_jacobian, pose_error
from isaaclab_mimic_ext.envs.robots import Robot, arms_of, robot_of_arm
from isaaclab_mimic_ext.math import pose_from_pos_quat, pose_from_pos_rot
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Task

_MAX_IK_STEPS = 30


class PosedScene:
    """Kinematics of one scene.

    Args:
        cameras: values that replace those of the cameras of the scene and of the task, and further cameras.
        has_looks: prepare the scene for `Looks`.

    Attributes:
        model, data: MuJoCo's model of the scene, and its data in the last state.
        meshes: meshes of objects that have several, which are further bodies for pages.

    Raises:
        ConfigError: a camera is not valid.
        SimulatorUnavailable: MuJoCo is not installed, or the task has no scene for MuJoCo.
    """

    def __init__(self, task: Task, cameras: Mapping[str, CameraCfg] | None = None, has_looks: bool = False):
        self._mujoco = import_mujoco()
        self.task, self._robots = task, arms_of(task).robots
        self.model = build_model(task, merged_cameras(task, cameras or {}), has_looks)
        self.data = self._mujoco.MjData(self.model)
        self._layout = SceneLayout.from_model(self.model, task)
        self._own_qpos = [self._qpos_of(robot, arm.name) for robot, arm in zip(self._robots, task.arms, strict=True)]
        self._articulations = Articulations(task)
        self._sizes = ObjectSizes(self.model, task.object_names)
        self.meshes = SceneMeshes(self.model, task.objects)
        self._forward()

    def _qpos_of(self, robot: Robot, arm_name: str) -> NDArray[np.int64]:
        names = (*robot.joint_names, *robot.gripper_joint_names)
        return np.array([int(self.model.joint(f"{arm_name}/{name}").qposadr[0]) for name in names])

    def set_state(self, state: NestedTensors) -> None:
        """Set a state in the layout of `get_state` without the leading axis."""
        articulations, objects = state["articulation"], state["rigid_object"]
        for index, arm in enumerate(self.task.arms):
            joint_pos = np.asarray(articulations[arm.name]["joint_position"], dtype=np.float64)
            model_pos = self._robots[index].model_joint_pos(torch.from_numpy(joint_pos)).numpy()
            self.data.qpos[self._own_qpos[index]] = model_pos
        self._sizes.write_to(self.model, {name: leaves[SCALE] for name, leaves in objects.items() if SCALE in leaves})
        self.meshes.show({name: leaves[MESH] for name, leaves in objects.items() if MESH in leaves})
        root_pose = np.stack([np.asarray(objects[name]["root_pose"], np.float64) for name in self.task.object_names])
        layout = self._layout
        self.data.qpos[layout.root_qpos.numpy()] = root_pose[layout.free.numpy()]
        if len(layout.bound):
            mocap, fixed_pose = layout.mocap.numpy(), root_pose[layout.fixed.numpy()]
            self.data.mocap_pos[mocap], self.data.mocap_quat[mocap] = fixed_pose[:, :3], fixed_pose[:, [6, 3, 4, 5]]
            joints, _ = self._articulations.joints_of(state, 1)
            self.data.qpos[layout.object_qpos.numpy()] = joints[0].numpy()
        self._forward()
        for index, arm in enumerate(self.task.arms):
            if "eef_pose" in articulations[arm.name]:
                # A copy, because the values may be read-only.
                eef_pose = np.asarray(articulations[arm.name]["eef_pose"]).astype(np.float64)
                self._solve_arm_joints(index, torch.from_numpy(eef_pose))

    def body_poses(self) -> NDArray[np.float32]:
        """Poses of all bodies but the world in the last state, (B, 7): position [m] and quaternion xyzw; see `meshes`."""
        poses = np.concatenate((self.data.xpos[1:], self.data.xquat[1:, [1, 2, 3, 0]]), axis=1, dtype=np.float32)
        return np.concatenate((poses, self.meshes.body_poses(poses)))

    def pos_quats(self, poses: Tensor) -> NDArray[np.float32]:
        """Positions [m] and quaternions xyzw, (E, 7), of poses (E, 4, 4)."""
        rows, quat = np.empty((len(poses), 7), dtype=np.float32), np.empty(4)
        for row, pose in zip(rows, poses.cpu().numpy().astype(np.float64), strict=True):
            self._mujoco.mju_mat2Quat(quat, pose[:3, :3].ravel())
            row[:3], row[3:] = pose[:3, 3], quat[[1, 2, 3, 0]]
        return rows

    def _forward(self) -> None:
        self._mujoco.mj_kinematics(self.model, self.data)
        self._mujoco.mj_comPos(self.model, self.data)
        self._mujoco.mj_camlight(self.model, self.data)

    def _solve_arm_joints(self, index: int, pose: Tensor) -> None:
        """Move the joints of an arm by inverse kinematics until its end effector reaches `pose`.

        `pose` is (7,), position [m] and quaternion xyzw. The kinematic engine records this pose, but no matching joints.
        """
        layout, data = self._layout, self.data
        target = pose_from_pos_quat(pose[:3], pose[3:])[None]
        robot = self._robots[index]
        adr = self._own_qpos[index][: robot.num_joints]
        joints, site = layout.arm_joint[index, : robot.num_joints].numpy(), int(layout.eef_site[index])
        low, high = np.array(robot.joint_limits).T
        for _ in range(_MAX_IK_STEPS):
            point = torch.tensor(data.site_xpos[site])[None]
            error = pose_error(target, pose_from_pos_rot(point, torch.tensor(data.site_xmat[site]).view(1, 3, 3)))
            if float(error.norm()) < 1e-3:
                return
            anchor, axis = torch.tensor(data.xanchor[joints])[None], torch.tensor(data.xaxis[joints])[None]
            at_rest = torch.zeros(1, robot.num_joints).double()
            step = joint_step(point_jacobian(point, anchor, axis), error, at_rest, 0.05)
            data.qpos[adr] = np.clip(data.qpos[adr] + step[0].numpy().clip(-0.5, 0.5), low, high)
            self._forward()


def present_body_poses(env: MimicEnv, scene: PosedScene) -> NDArray[np.float32]:
    """Poses (B, 7) of the bodies of the first env now, as `PosedScene.body_poses`.

    An env that simulates the same bodies has the method `body_poses`; for others, the scene is posed.
    """
    method = getattr(env, "body_poses", None)
    if method is not None and not scene.meshes.bodies:
        poses: NDArray[np.float32] = method()[0]
        return poses
    scene.set_state(trees.map(lambda leaf: leaf[0].cpu().numpy(), env.get_state()))
    return scene.body_poses()


_KINDS = ("plane", "hfield", "sphere", "capsule", "ellipsoid", "cylinder", "box", "mesh")
"""MuJoCo's types of geoms, by number."""


def describe_scene(scene: PosedScene) -> dict[str, Any]:
    """Describe what a page draws, as JSON: bodies with their shapes, cameras and hands.

    Positions are in the frame of their body [m], quaternions are xyzw. Body -1 is the world; others are indices into
    `PosedScene.body_poses`.
    """
    model, task = scene.model, scene.task
    return {
        "bodies": [*(model.body(index).name for index in range(1, model.nbody)), *scene.meshes.bodies],
        "shapes": [_shape(scene, index) for index in range(model.ngeom) if _is_visible(scene, index)],
        "meshes": [_mesh(model, index) for index in range(model.nmesh)],
        "cameras": [_camera(model, index) for index in range(model.ncam)],
        "hands": [_hand(model, robot_of_arm(task, arm.eef_name), arm.name, arm.eef_name) for arm in task.arms],
        "objects": [{"name": name, "body": model.body(name).id - 1} for name in task.object_names],
    }


def _is_visible(scene: PosedScene, geom: int) -> bool:
    model = scene.model
    return scene.meshes.group_of(geom) < 3 and bool(_color(model, geom)[3] > 0) and int(model.geom_type[geom]) != 1


def _color(model: Any, geom: int) -> list[float]:
    material = int(model.geom_matid[geom])
    return _rounded(model.geom_rgba[geom] if material < 0 else model.mat_rgba[material])


def _shape(scene: PosedScene, geom: int) -> dict[str, Any]:
    model, mesh_body = scene.model, scene.meshes.geoms.get(geom)
    kind = _KINDS[int(model.geom_type[geom])]
    return {
        "kind": kind,
        "body": int(model.geom_bodyid[geom]) - 1 if mesh_body is None else model.nbody - 1 + mesh_body,
        "size": _rounded(model.geom_size[geom]),
        **_place(model.geom_pos[geom], model.geom_quat[geom]),
        "color": _color(model, geom),
        **({"mesh": int(model.geom_dataid[geom])} if kind == "mesh" else {}),
    }


def _mesh(model: Any, mesh: int) -> dict[str, Any]:
    first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
    first_face, num_faces = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    return {
        "vertices": _rounded(model.mesh_vert[first : first + count].ravel()),
        "faces": model.mesh_face[first_face : first_face + num_faces].ravel().tolist(),
    }


def _camera(model: Any, camera: int) -> dict[str, Any]:
    return {
        "name": model.camera(camera).name,
        "body": int(model.cam_bodyid[camera]) - 1,
        **_place(model.cam_pos[camera], model.cam_quat[camera]),
        "fovy": float(model.cam_fovy[camera]),
    }


def _hand(model: Any, robot: Robot, arm_name: str, eef_name: str) -> dict[str, Any]:
    """Hand of an arm: the place of its end effector in the frame of a body, the bodies that belong to it, and the arm."""
    site = model.site(f"{arm_name}/eef")
    fingers = [model.body(f"{arm_name}/{finger}").id - 1 for finger in robot.finger_bodies]
    cameras = [model.camera(index).name for index in range(model.ncam)]
    wrist = f"{arm_name}/wrist"
    return {
        "name": eef_name,
        "body": int(model.site_bodyid[site.id]) - 1,
        "base": model.body(f"{arm_name}/{robot.base_body}").id - 1,
        "arm": arm_name,
        **_place(model.site_pos[site.id], model.site_quat[site.id]),
        "fingers": fingers,
        "camera": wrist if wrist in cameras else None,
    }


def _place(pos: Any, quat_wxyz: Any) -> dict[str, list[float]]:
    return {"pos": _rounded(pos), "quat": _rounded([*quat_wxyz[1:], quat_wxyz[0]])}


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]
