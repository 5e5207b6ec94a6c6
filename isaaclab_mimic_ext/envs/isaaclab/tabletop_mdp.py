"""Terms of Isaac Lab's managers for table-top tasks. All terms call the task, which all engines share."""

# N envs, n of them addressed

from typing import Any

import torch
from isaaclab.envs.mdp.actions.actions_cfg import DifferentialInverseKinematicsActionCfg
from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
from isaaclab.managers import ManagerTermBase
from isaaclab.utils import configclass
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.tabletop_scene import cached_task, scene_reader
from isaaclab_mimic_ext.envs.panda.kinematics import HOME
from isaaclab_mimic_ext.envs.tabletop import Observer, ResetSampler
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import SceneState, Task


def observation_names(task: Task) -> tuple[str, ...]:
    """Names of a task's observation terms, in the recorded order."""
    num_arms, num_objects = len(task.arms), len(task.objects)
    joints = torch.tensor(HOME).expand(1, num_arms, len(HOME))
    identity = torch.eye(4).expand(1, num_objects, 4, 4)
    scene = SceneState(
        joints, joints, torch.eye(4).expand(1, num_arms, 4, 4), identity, torch.zeros(1, num_objects, 7), joints
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
        scene_reader(env, task_name).write(env_ids, *self.sampler.sample(draws))


class ClippedIKAction(DifferentialInverseKinematicsAction):
    """Differential IK action in the env frame, clipped to [-1, 1] before scaling, as in all engines."""

    def __init__(self, cfg: Any, env: Any):
        super().__init__(cfg, env)
        yaw = torch.tensor([0.0, 0.0, cfg.base_yaw], device=self.device)
        self._from_base = matrix_from_axis_angle(yaw)

    def process_actions(self, actions: Tensor) -> None:
        """Set the target of all envs; Isaac Lab's controller expects translation and rotation in the frame of the base."""
        vectors = actions.clamp(-1.0, 1.0).unflatten(-1, (2, 3))
        super().process_actions((vectors[..., None, :] * self._from_base.T).sum(-1).flatten(-2))


@configclass
class ClippedIKActionCfg(DifferentialInverseKinematicsActionCfg):
    """Configuration of `ClippedIKAction`."""

    class_type: Any = ClippedIKAction
    base_yaw: float = 0.0
    """Rotation of the arm's base about z [rad]."""
