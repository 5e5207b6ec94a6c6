"""Actions, observations and resets of arms on a table, the same in all engines."""

# N envs, n of them addressed, E arms (one end effector each), O objects, Q of them on joints, A joints of an arm, J = A + 2
# entries of its joint state (fingers last)

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.events import JointSampler, MeshSampler, PlacementSampler, ScaleSampler, joint_noise_std
from isaaclab_mimic_ext.envs.panda.kinematics import base_poses
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.kernels.actions import NUM_ENTRIES, NUM_POSE, ActionKernels
from isaaclab_mimic_ext.kernels.observations import NearestQuaternions
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.user_code import wrong_result
from isaaclab_mimic_ext.uploads import upload

POS_SCALE = 0.05
"""Distance of the target from the end effector for an action of 1 [m]."""
ROT_SCALE = 0.25
"""Rotation of the target relative to the end effector for an action of 1 [rad]."""
STEP_DT = 0.05
"""Duration of one control step [s]."""
ACTION_DIM = NUM_ENTRIES
"""Number of action entries per arm: pose, then gripper."""
POSE_ACTION_DIM = NUM_POSE
"""Number of pose entries per arm."""


class RelativeActions:
    """Relative task-space control (IK-Rel) of E arms.

    The action of an arm has 7 entries: (dx, dy, dz) / 0.05 m, a rotation vector / 0.25 rad, and the gripper. Translation and
    rotation are in the env frame, relative to the current pose of the end effector, each entry clipped to [-1, 1]. A
    negative gripper entry closes, 0 and a positive one open, as in Isaac Lab.
    """

    def __init__(self, num_arms: int, device: torch.device):
        self._num_arms = num_arms
        self.spec = {"type": "ik_rel", "pos_scale": POS_SCALE, "rot_scale": ROT_SCALE, "dim": ACTION_DIM * num_arms}
        """Description of the actions that is stored in datasets."""
        self._scale = torch.tensor([POS_SCALE] * 3 + [ROT_SCALE] * 3, device=device)
        self._kernels: dict[int, ActionKernels] = {}
        """Kernels by number of envs: Isaac Lab's methods convert the target of one env, too."""

    def to_targets(self, actions: Tensor, eef_pose: Tensor) -> Tensor:
        """Target poses (N, E, 4, 4), env frame [m], of actions (N, A) relative to `eef_pose` (N, E, 4, 4)."""
        return self._for_size(len(actions)).to_targets(actions, eef_pose).clone()

    def from_targets(self, target_pose: Tensor, eef_pose: Tensor, gripper: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) that lead from `eef_pose` to `target_pose`, both (N, E, 4, 4), env frame [m].

        `gripper` is (N, E, 1). `noise`, (N, E, 6) in the units of the action, is added to the pose entries.
        """
        return self._for_size(len(target_pose)).from_targets(target_pose, eef_pose, gripper, noise)[0].clone()

    def noisy_and_clean(
        self, target_pose: Tensor, eef_pose: Tensor, gripper: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Actions (N, A) with and without noise; arguments as in `from_targets`."""
        noisy, clean = self._for_size(len(target_pose)).from_targets(target_pose, eef_pose, gripper, noise)
        return noisy.clone(), clean.clone()

    def grippers(self, actions: Tensor) -> Tensor:
        """Gripper entries (..., E, 1) of actions (..., A)."""
        return actions.unflatten(-1, (self._num_arms, ACTION_DIM))[..., POSE_ACTION_DIM:]

    def _for_size(self, num_envs: int) -> ActionKernels:
        if num_envs not in self._kernels:
            self._kernels[num_envs] = ActionKernels(num_envs, self._num_arms, self._scale)
        return self._kernels[num_envs]


class Observer:
    """Observations of a scene, in the order in which they are recorded."""

    def __init__(self, task: Task, device: torch.device):
        self._task = task
        self._robots = arms_of(task)
        self._home = self._robots.home.to(device)
        home_pose = base_poses(task.arms, device) @ self._robots.forward_kinematics(self._home)
        self._home_eef_quat = quat_xyzw_from_matrix(home_pose[..., :3, :3])
        self._quaternions: dict[int, NearestQuaternions] = {}

    def __call__(self, scene: SceneState, last_action: Tensor) -> dict[str, Tensor]:
        """Observations, term -> (N, ...); quaternions are xyzw."""
        terms = {"actions": last_action}
        joint_pos_rel = scene.joint_pos - self._home
        # For a hand that points down, w is near 0. Normalizing to w >= 0 would flip the sign with the smallest motion.
        eef_quat = self._for_size(len(joint_pos_rel))(scene.eef_pose).clone()
        for index, arm in enumerate(self._task.arms):
            prefix = "" if len(self._task.arms) == 1 else f"{arm.name}_"
            fingers = scene.finger_pos[:, index]
            terms[f"{prefix}joint_pos"] = self._robots.own(index, joint_pos_rel[:, index])
            terms[f"{prefix}joint_vel"] = self._robots.own(index, scene.joint_vel[:, index])
            terms[f"{prefix}eef_pos"] = scene.eef_pose[:, index, :3, 3]
            terms[f"{prefix}eef_quat"] = eef_quat[:, index]
            terms[f"{prefix}gripper_pos"] = torch.stack((fingers[:, 0], -fingers[:, 1]), dim=-1)
        for name, root_pose in zip(self._task.object_names, scene.root_pose.unbind(1), strict=True):
            terms[f"{name}_pos"] = root_pose[:, :3]
            terms[f"{name}_quat"] = root_pose[:, 3:]
        for column, name in enumerate(self._task.jointed_names):
            terms[f"{name}_joint_pos"] = scene.object_joint_pos[:, column, None]
        own = self._task.observations(scene)
        if taken := next((name for name in own if name in terms), None):
            function = inspect.unwrap(type(self._task).observations)
            raise wrong_result(function, f"'{taken}' is the name of an observation that all tasks have; use another name")
        return {**terms, **own}

    def _for_size(self, num_envs: int) -> NearestQuaternions:
        if num_envs not in self._quaternions:
            self._quaternions[num_envs] = NearestQuaternions(num_envs, self._home_eef_quat)
        return self._quaternions[num_envs]


class ResetSampler:
    """Draws initial states of trials: poses of the objects, and joint positions of the arms around the home posture.

    Placements are drawn on the host, because how often they are drawn depends on them: the host would wait for a GPU.
    """

    def __init__(self, task: Task, events: Mapping[str, EventCfg], device: torch.device):
        self._device = device
        self._placement = PlacementSampler(task, events, torch.device("cpu"))
        self._object_joints = JointSampler(task, events)
        self._scales = ScaleSampler(task, events)
        self._meshes = MeshSampler(task)
        self._joint_std = joint_noise_std(task, events).to(device)
        self._rest_height = torch.tensor([obj.rest_height for obj in task.objects], device=device)
        robots = arms_of(task)
        self._num_joints = robots.num_joints
        self._home = robots.home.to(device)
        self._limits = robots.limits.to(device, torch.float32).unbind(-1)

    def sample(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Joint positions (n, E, J) [rad, m] and object poses (n, O, 7), position [m] and quaternion xyzw, env frame.

        The poses of objects on joints are not drawn: they follow from `sample_object_joints`.

        Raises:
            ConfigError: no placement without overlap was found.
        """
        placements = upload(self._placement.sample(draws.on_host), self._device)
        root_pose = torch.zeros(*placements.shape[:2], 7, device=placements.device)
        root_pose[..., :2] = placements[..., :2]
        root_pose[..., 2] = self._rest_height
        root_pose[..., 5] = torch.sin(0.5 * placements[..., 2])
        root_pose[..., 6] = torch.cos(0.5 * placements[..., 2])
        num_arms = len(self._joint_std)
        joint_pos = self._home.expand(len(placements), -1, -1).clone()
        noise = draws.normal(Stream.JOINT_POSITION, (num_arms, self._num_joints))
        joint_pos[..., : self._num_joints] += self._joint_std[:, None] * noise
        joint_pos[..., : self._num_joints].clamp_(*self._limits)
        return joint_pos, root_pose

    @property
    def scaled_objects(self) -> tuple[str, ...]:
        """Names of the objects whose size is drawn."""
        return self._scales.names

    def sample_scales(self, draws: Draws) -> Tensor:
        """Factors (n, O) of the sizes of the objects."""
        return upload(self._scales.sample(draws.on_host), self._device)

    @property
    def drawn_meshes(self) -> tuple[str, ...]:
        """Names of the objects whose mesh is drawn."""
        return self._meshes.names

    def sample_meshes(self, draws: Draws) -> Tensor:
        """Numbers of the meshes of the objects in their lists, (n, O) int64."""
        return upload(self._meshes.sample(draws.on_host), self._device)

    def sample_object_joints(self, draws: Draws) -> Tensor:
        """Positions (n, Q) of the joints of objects [m, rad]."""
        return upload(self._object_joints.sample(draws.on_host), self._device)
