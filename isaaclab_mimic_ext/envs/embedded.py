"""Base class of the engines that need no Isaac Lab: MuJoCo and kinematic. Subclasses add only the simulation."""

# N envs, n of them addressed, E arms (one end effector each), O objects, Q of them on joints, J entries of an arm's joint
# state (fingers last)

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.config.recorded_task import own_dirs, own_preset
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.object_meshes import MESH, check_numbers, recorded_meshes
from isaaclab_mimic_ext.envs.object_sizes import SCALE
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.envs.robots.reach import check_mesh_widths
from isaaclab_mimic_ext.envs.scene_env import SceneEnv
from isaaclab_mimic_ext.envs.tabletop import (
    ACTION_DIM,
    POS_SCALE,
    POSE_ACTION_DIM,
    ROT_SCALE,
    STEP_DT,
    Observer,
    RelativeActions,
    ResetSampler,
)
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.quaternions import as_entry
from isaaclab_mimic_ext.math import pose_from_pos_quat
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Arm, Task, mesh_digests
from isaaclab_mimic_ext.task.joints import ObjectJoints
from isaaclab_mimic_ext.task.meshes import meshes_entry
from isaaclab_mimic_ext.task.robot import observations_entry, robot_entry

__all__ = ["POS_SCALE", "ROT_SCALE", "STEP_DT", "EmbeddedEnv"]


class EmbeddedEnv(SceneEnv, ABC):
    """`MimicEnv` for tasks with arms under relative task-space control (IK-Rel, 20 Hz); see `RelativeActions`."""

    engine: str

    def __init__(self, task: Task, events: Mapping[str, EventCfg], num_envs: int, device: str | torch.device = "cpu"):
        if num_envs < 1:
            raise ConfigError(f"num_envs: must be >= 1 (got {num_envs})")
        self.task = task
        self.num_envs = num_envs
        self.device = _with_index(torch.device(device))
        self.step_dt = STEP_DT
        self.eef_names = task.eef_names
        self.object_names = task.object_names
        self.num_arms = len(task.arms)
        self.action_dim = ACTION_DIM * self.num_arms
        self.gripper_dims = (ACTION_DIM - POSE_ACTION_DIM,) * self.num_arms
        self.pose_dims = (POSE_ACTION_DIM,) * self.num_arms
        self._resets = ResetSampler(task, events, self.device)
        self._control = RelativeActions(self.num_arms, self.device)
        self._observe = Observer(task, self.device)
        self._joints = ObjectJoints(task.objects, self.device)
        self._articulations = Articulations(task)
        self.robots = arms_of(task)
        check_mesh_widths(task)
        self._home = self.robots.home.to(self.device)
        self._rest_height = torch.tensor([obj.rest_height for obj in task.objects], device=self.device)
        self._last_action = torch.zeros(num_envs, self.action_dim, device=self.device)
        self._violated = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._base_pose_quat = [_base_pose_quat(arm, self.device).expand(num_envs, 7) for arm in task.arms]
        self._base_velocity = torch.zeros(num_envs, 6, device=self.device)
        self._scaled_names: tuple[str, ...] = ()
        self.object_scale: Tensor | None = None
        if self._resets.scaled_objects:
            self._begin_scaling(self._resets.scaled_objects)
        self.object_mesh: Tensor | None = None
        if drawn := self._resets.drawn_meshes:
            if not self.has_mesh_lists:
                raise ConfigError(f"objects.{drawn[0]}.mesh: a list requires sim=mujoco or kinematic (got {self.engine})")
            self.object_mesh = torch.zeros(num_envs, len(self.object_names), dtype=torch.int64, device=self.device)

    object_scale: Tensor | None
    """Factors (N, O) of the sizes of the objects; None: all objects have their own size."""
    has_scales = False
    """Whether the engine can change the sizes of objects."""
    object_mesh: Tensor | None
    """Numbers (N, O) int64 of the meshes of the objects in their lists; None: no object has several."""
    has_mesh_lists = False
    """Whether the engine can give the same object different meshes in different envs."""

    def _begin_scaling(self, names: tuple[str, ...], place: str = "events: scale_range") -> None:
        """Let objects have another size than their own. `place` is what asks for it, for the error.

        Raises:
            ConfigError: the engine cannot change sizes.
        """
        if not self.has_scales:
            raise ConfigError(f"{place} of '{names[0]}' requires sim=mujoco (got {self.engine})")
        self._scaled_names = tuple(name for name in self.object_names if name in {*self._scaled_names, *names})
        if self.object_scale is None:
            self.object_scale = torch.ones(self.num_envs, len(self.object_names), device=self.device)

    def _write_scales(self, env_ids: Tensor, scales: Tensor) -> None:
        """Set the sizes of the objects of the n envs `env_ids` to their own times `scales` (n, O), before `_write_state`."""

    def _write_meshes(self, env_ids: Tensor, numbers: Tensor) -> None:
        """Give the objects of the n envs `env_ids` the meshes `numbers` (n, O), after their sizes, before `_write_state`."""

    @abstractmethod
    def _write_state(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        """Set the n envs `env_ids` to a state (layouts of `SceneState`, leading axis n) and update `scene`."""

    @abstractmethod
    def _advance(self, target_eef_pose: Tensor, open_gripper: Tensor, env_ids: Tensor | None) -> None:
        """Advance by one control step and update `scene`.

        `target_eef_pose` is (N, E, 4, 4), env frame [m]; `open_gripper` is (N, E) bool; only `env_ids` advance, None: all.
        """

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        joint_pos, root_pose = self._resets.sample(draws)
        object_joint_pos = self._resets.sample_object_joints(draws)
        zeros = torch.zeros(*root_pose.shape[:2], 6, device=self.device)
        still = torch.zeros_like(object_joint_pos)
        if self.object_scale is not None:
            scales = self._resets.sample_scales(draws)
            root_pose[..., 2] *= scales
            self._set_scales(env_ids, scales)
        if self.object_mesh is not None:
            self._set_meshes(env_ids, self._resets.sample_meshes(draws))
        self._reset_to(env_ids, joint_pos, torch.zeros_like(joint_pos), root_pose, zeros, object_joint_pos, still)

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        def arms(leaf: str) -> Tensor:
            own = zip(rows_of("articulation", arm_names, leaf), self.robots.robots, strict=True)
            return torch.stack([self.robots.padded(each, robot) for each, robot in own], dim=1)

        def stacked(group: str, names: tuple[str, ...], leaf: str) -> Tensor:
            return torch.stack(rows_of(group, names, leaf), dim=1)

        def rows_of(group: str, names: tuple[str, ...], leaf: str) -> list[Tensor]:
            rows = state[group]
            missing = [name for name in names if name not in rows]
            if missing:
                raise ConfigError(f"state.{group}: '{missing[0]}' not found; {choices(missing[0], rows)}")
            return [rows[name][leaf].to(self.device, torch.float32) for name in names]

        arm_names = tuple(arm.name for arm in self.task.arms)
        self._reset_scales(state, env_ids)
        self._reset_meshes(state["rigid_object"], env_ids)
        self._reset_to(
            env_ids,
            arms("joint_position"),
            arms("joint_velocity"),
            stacked("rigid_object", self.object_names, "root_pose"),
            stacked("rigid_object", self.object_names, "root_velocity"),
            *self._articulations.joints_of(state, len(env_ids), self.device),
        )

    def _reset_scales(self, state: NestedTensors, env_ids: Tensor) -> None:
        """Set the sizes of a state. Objects of which it contains none get their own."""
        objects = state["rigid_object"]
        names = tuple(name for name in self.object_names if SCALE in objects.get(name, {}))
        if not {*names} <= {*self._scaled_names}:
            self._begin_scaling(names, "state.rigid_object: the recorded size")
        if self.object_scale is not None:
            scales = torch.ones(len(env_ids), len(self.object_names), device=self.device)
            for name in names:
                scales[:, self.task.object_id(name)] = objects[name][SCALE].to(scales)[:, 0]
            self._set_scales(env_ids, scales)

    def _set_scales(self, env_ids: Tensor, scales: Tensor) -> None:
        assert self.object_scale is not None
        self.object_scale = self.object_scale.index_copy(0, env_ids, scales)
        self._write_scales(env_ids, scales)

    def _reset_meshes(self, objects: NestedTensors, env_ids: Tensor) -> None:
        """Set the meshes of a state. Objects of which it contains none get the first one."""
        for name in (name for name in self.object_names if MESH in objects.get(name, {})):
            check_numbers(name, objects[name][MESH], self.task.objects[self.task.object_id(name)])
        if self.object_mesh is not None:
            numbers = recorded_meshes(objects, self.object_names, len(env_ids)).to(self.device)
            self._set_meshes(env_ids, numbers if numbers.shape[1] else torch.zeros_like(self.object_mesh[env_ids]))

    def _set_meshes(self, env_ids: Tensor, numbers: Tensor) -> None:
        assert self.object_mesh is not None
        self.object_mesh = self.object_mesh.index_copy(0, env_ids, numbers)
        self._write_meshes(env_ids, numbers)

    def _reset_to(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        self._last_action.index_fill_(0, env_ids, 0.0)
        self._violated.index_fill_(0, env_ids, False)
        if self._joints:
            pose = pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:])
            root_pose = self._joints.place_roots(root_pose, self._joints.place(pose, object_joint_pos))
        self._write_state(env_ids, joint_pos, joint_vel, root_pose, root_velocity, object_joint_pos, object_joint_vel)

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        target_eef_pose = self._control.to_targets(actions, self.scene.eef_pose)
        open_gripper = self._control.grippers(actions)[..., 0] >= 0
        if env_ids is None:
            self._last_action.copy_(actions)
        else:
            self._last_action[env_ids] = actions[env_ids]
        self._advance(target_eef_pose, open_gripper, env_ids)
        violates = self.task.violates(self.scene)
        if violates is not None:
            self._violated |= violates

    def success(self) -> Tensor:
        return self.task.success(self.scene) & ~self._violated

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        hopeless = super().hopeless(over)
        return self._violated if hopeless is None else hopeless | self._violated

    def observations(self) -> NestedTensors:
        return self._observe(self.scene, self._last_action)

    def get_state(self) -> NestedTensors:
        arms = {}
        for index, arm in enumerate(self.task.arms):
            arms[arm.name] = {
                "joint_position": self.robots.own(index, self.scene.joint_pos[:, index]),
                "joint_velocity": self.robots.own(index, self.scene.joint_vel[:, index]),
                "root_pose": self._base_pose_quat[index],
                "root_velocity": self._base_velocity,
            }
        objects = self._object_states()
        if self.object_scale is not None:
            for name in self._scaled_names:
                objects[name][SCALE] = self.object_scale[:, self.task.object_id(name), None]
        if self.object_mesh is not None:
            for name in self._resets.drawn_meshes:
                objects[name][MESH] = self.object_mesh[:, self.task.object_id(name), None].float()
        return {"articulation": {**arms, **self._articulations.states(self.scene)}, "rigid_object": objects}

    def processed_actions(self) -> Tensor | None:
        return None

    def env_args(self) -> dict[str, Any]:
        return {
            "env_name": self.task.name,
            "type": 2,
            "engine": self.engine,
            "sim_args": {"dt": self.step_dt, "decimation": 1, "render_interval": 1, "num_envs": self.num_envs},
            "action": self._control.spec,
            "eef_names": list(self.eef_names),
            "object_names": list(self.object_names),
            **as_entry(self.task.quaternion_columns),
            **observations_entry(self.task.robot_observations),
            **own_dirs(self.task.name),
            **own_preset(self.task.name, self.task.preset),
            **robot_entry(self.task.robot, self.robots.digest),
            **meshes_entry(self.task.object_cfgs, mesh_digests(self.task)),
            **self._articulations.entry,
        }

    def close(self) -> None:
        """Release the resources of the engine."""


def _with_index(device: torch.device) -> torch.device:
    """Device with the index of the GPU that `cuda` stands for."""
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def _base_pose_quat(arm: Arm, device: torch.device) -> Tensor:
    """Pose of an arm's base in the env frame, (7,): position [m] and quaternion xyzw."""
    half_yaw = torch.tensor(arm.base_yaw / 2)
    pose = torch.tensor([*arm.base_pos, 0.0, 0.0, 0.0, 1.0])
    pose[5:] = torch.stack((torch.sin(half_yaw), torch.cos(half_yaw)))
    return pose.to(device)
