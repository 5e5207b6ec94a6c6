"""Terms of Isaac Lab's managers for table-top tasks. All terms call the task, which all engines share."""

# N envs, n of them addressed

from typing import Any

import torch
from isaaclab.envs.mdp.actions.actions_cfg import BinaryJointPositionActionCfg, DifferentialInverseKinematicsActionCfg
from isaaclab.envs.mdp.actions.binary_joint_actions import BinaryJointPositionAction
from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.managers import ManagerTermBase
from isaaclab.utils import configclass
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.tabletop_scene import ARM_JOINTS, FINGER_JOINTS, cached_task, scene_reader
from isaaclab_mimic_ext.envs.panda.kinematics import (
    HOME,
    IK_DAMPING,
    JOINT_LIMITS,
    NUM_ARM_JOINTS,
    POSTURE_GAIN,
    joint_step,
)
from isaaclab_mimic_ext.envs.tabletop import Observer, ResetSampler
from isaaclab_mimic_ext.math import rotate
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import SceneState, Task


def observation_names(task: Task) -> tuple[str, ...]:
    """Names of a task's observation terms, in the recorded order."""
    num_arms, num_objects = len(task.arms), len(task.objects)
    joints = torch.tensor(HOME).expand(1, num_arms, len(HOME))
    identity = torch.eye(4).expand(1, num_objects, 4, 4)
    scene = SceneState(
        joints,
        joints,
        torch.eye(4).expand(1, num_arms, 4, 4),
        identity,
        torch.zeros(1, num_objects, 7),
        torch.zeros(1, num_objects, 6),
        torch.zeros(1, len(task.jointed_names)),
    )
    return tuple(Observer(task, torch.device("cpu"))(scene, torch.zeros(1, 0)))


class SceneObservations:
    """Observations of an env at one instant, returned term by term, with quaternions in Isaac Lab's order.

    Isaac Lab's manager reads each term once per instant. The second read of a term therefore begins the next instant, for
    which all terms are computed again.
    """

    def __init__(self, env: Any, task_name: str):
        self._env = env
        self._reader = scene_reader(env, task_name)
        self._observe = Observer(self._reader.task, torch.device(env.device))
        self._unread: dict[str, Tensor] = {}
        self._scene: tuple[int, SceneState] | None = None

    def scene(self) -> SceneState:
        """State at the last observations; the current state in a step whose observations are not computed yet."""
        if self._scene is None or self._scene[0] != self._env.common_step_counter:
            return self._reader.read()
        return self._scene[1]

    def take(self, name: str) -> Tensor:
        """Return the observation `name`, (N, ...), and mark it as read."""
        if name not in self._unread:
            scene = self._reader.read()
            self._scene = self._env.common_step_counter, scene
            self._unread = self._observe(scene, self._env.action_manager.action)
        term = {name: self._unread.pop(name)}
        return compat.tree_to_isaaclab(term, self._reader.task.quaternion_columns)[name]


def scene_observations(env: Any, task_name: str) -> SceneObservations:
    """Observations of an Isaac Lab env; one object per env."""
    if not hasattr(env, "tabletop_observations"):
        env.tabletop_observations = SceneObservations(env, task_name)
    return env.tabletop_observations


def observation(env: Any, task_name: str, name: str) -> Tensor:
    """Observation `name` of the task, (N, ...)."""
    return scene_observations(env, task_name).take(name)


def success(env: Any, task_name: str) -> Tensor:
    """Return whether the task is solved at this instant, (N,) bool."""
    return cached_task(task_name).success(scene_observations(env, task_name).scene())


def reset_sampler(env: Any, task: Task) -> ResetSampler:
    """Make the sampler of initial states of trials, with the randomization in the env's configuration."""
    # Isaac Lab's command lines convert configurations to plain containers and back, so an event may be a dict.
    events = {
        name: event if isinstance(event, EventCfg) else EventCfg(**event) for name, event in env.cfg.trial_events.items()
    }
    return ResetSampler(task, events, torch.device(env.device))


class PlaceObjects(ManagerTermBase):
    """Reset event: write random joints and object poses by the task's randomization, seeded by torch's global generator."""

    def __init__(self, cfg: Any, env: Any):
        super().__init__(cfg, env)
        task = cached_task(cfg.params["task_name"])
        self.sampler = reset_sampler(env, task)

    def __call__(self, env: Any, env_ids: Tensor | slice | None, task_name: str) -> None:
        seed = int(torch.randint(2**62, ()))
        env_ids = compat.listed_envs(env_ids, env.num_envs, env.device)
        draws = Draws(seed, torch.arange(len(env_ids), device=env.device))
        scene_reader(env, task_name).write(env_ids, *self.sampler.sample(draws), self.sampler.sample_object_joints(draws))


class ArmAction(DifferentialInverseKinematicsAction):
    """Relative task-space control in the env frame, with the control law of all engines.

    Joint targets are computed once per control step. Isaac Lab's term computes them in each physics step, from the pose at
    that time.
    """

    acts_once = True
    """Joint targets are set once per control step."""

    def __init__(self, cfg: Any, env: Any):
        super().__init__(cfg, env)
        self._home = torch.tensor(HOME[:NUM_ARM_JOINTS], device=self.device)
        self._low, self._high = torch.tensor(JOINT_LIMITS, device=self.device).unbind(-1)

    def process_actions(self, actions: Tensor) -> None:
        """Set the joint targets of all envs; actions (N, 6) are clipped to [-1, 1] before scaling."""
        self._raw_actions[:] = actions
        self._processed_actions[:] = actions.clamp(-1.0, 1.0) * self._scale
        joint_pos = compat.tensor(self._asset.data.joint_pos)[:, self._joint_ids]
        posture_step = POSTURE_GAIN * (self._home - joint_pos)
        step = joint_step(self._eef_jacobian(), self._processed_actions, posture_step, IK_DAMPING)
        # The gripper's term, which follows, sets them together with those of the fingers.
        self._asset.arm_joint_targets = (joint_pos + step).clamp(self._low, self._high)

    def apply_actions(self) -> None:
        """Keep the joint targets: the articulation holds them until new targets are set."""

    def _eef_jacobian(self) -> Tensor:
        """Jacobian (N, 6, 7) of the end effector, env frame."""
        linear, angular = self.jacobian_w.split(3, dim=1)
        hand_quat = compat.quat_from_isaaclab(compat.tensor(self._asset.data.body_link_quat_w)[:, self._body_idx])
        arm = rotate(self._offset_pos, hand_quat)
        return torch.cat((linear + torch.linalg.cross(angular, arm[..., None], dim=1), angular), dim=1)


@configclass
class ArmActionCfg(DifferentialInverseKinematicsActionCfg):
    """Configuration of `ArmAction`."""

    class_type: Any = ArmAction


class GripperAction(BinaryJointPositionAction):
    """Gripper that opens for positive and closes for negative actions; joint targets are set once per control step."""

    acts_once = True

    def __init__(self, cfg: Any, env: Any):
        super().__init__(cfg, env)
        joint_ids = self._asset.find_joints([*ARM_JOINTS, *FINGER_JOINTS], preserve_order=True)[0]
        self._all_joint_ids = torch.tensor(joint_ids, device=self.device)

    def process_actions(self, actions: Tensor) -> None:
        """Set the joint targets of the arm and the fingers in all envs."""
        super().process_actions(actions)
        targets = torch.cat((self._asset.arm_joint_targets, self._processed_actions), dim=1)
        compat.set_next_joint_targets(self._asset, targets, self._all_joint_ids)

    def apply_actions(self) -> None:
        """Keep the joint targets, as `ArmAction`."""


@configclass
class GripperActionCfg(BinaryJointPositionActionCfg):
    """Configuration of `GripperAction`."""

    class_type: Any = GripperAction
