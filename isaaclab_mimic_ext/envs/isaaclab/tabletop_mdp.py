"""Terms of Isaac Lab's managers for table-top tasks; all of them ask the task, which every engine asks."""

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
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import SceneState, Task


def observation_names(task: Task) -> tuple[str, ...]:
    """The observation terms of a task, in the order in which they are recorded."""
    num_arms, num_objects = len(task.arms), len(task.objects)
    joints = torch.tensor(HOME).expand(1, num_arms, len(HOME))
    nowhere = torch.eye(4).expand(1, num_objects, 4, 4)
    scene = SceneState(
        joints, joints, torch.eye(4).expand(1, num_arms, 4, 4), nowhere, torch.zeros(1, num_objects, 7), joints
    )
    return tuple(Observer(task, torch.device("cpu"))(scene, torch.zeros(1, 0)))


class SceneObservations:
    """The observations of an env at one instant, handed out term by term; quaternions in Isaac Lab's order.

    The manager asks for every term once an instant: a term that has been handed out already is the first of the next one.
    """

    def __init__(self, env: Any, task_name: str):
        self._env = env
        self._reader = scene_reader(env, task_name)
        self._observe = Observer(self._reader.task, torch.device(env.device))
        self._left: dict[str, Tensor] = {}

    def take(self, name: str) -> Tensor:
        """The observation of that name, (N, ...)."""
        if name not in self._left:
            self._left = self._observe(self._reader.read(), self._env.action_manager.action)
        term = {name: self._left.pop(name)}
        return compat.tree_to_isaaclab(term, self._reader.task.quaternion_columns)[name]


def observation(env: Any, task_name: str, name: str) -> Tensor:
    """One of the task's observations, (N, ...)."""
    if not hasattr(env, "tabletop_observations"):
        env.tabletop_observations = SceneObservations(env, task_name)
    return env.tabletop_observations.take(name)


def success(env: Any, task_name: str) -> Tensor:
    """Whether the task is solved at this instant, (N,) bool."""
    return cached_task(task_name).success(scene_reader(env, task_name).read())


def reset_sampler(env: Any, task: Task) -> ResetSampler:
    """What draws how trials begin, by the randomization in the env's configuration."""
    # Isaac Lab's command lines make plain containers of configurations and back.
    events = {
        name: event if isinstance(event, EventCfg) else EventCfg(**event) for name, event in env.cfg.trial_events.items()
    }
    return ResetSampler(task, events, torch.device(env.device))


class PlaceObjects(ManagerTermBase):
    """Reset event: objects and joints at random, by the task's own randomization, from torch's global generator."""

    def __init__(self, cfg: Any, env: Any):
        super().__init__(cfg, env)
        task = cached_task(cfg.params["task_name"])
        self.sampler = reset_sampler(env, task)

    def __call__(self, env: Any, env_ids: Tensor, task_name: str) -> None:
        seed = int(torch.randint(2**62, ()))
        env_ids = env_ids.long()
        draws = Draws(seed, torch.arange(len(env_ids), device=env.device))
        scene_reader(env, task_name).write(env_ids, *self.sampler.sample(draws))


class ClippedIKAction(DifferentialInverseKinematicsAction):
    """Differential IK whose actions are clipped to [-1, 1] before they are scaled, as on every engine."""

    def process_actions(self, actions: Tensor) -> None:
        super().process_actions(actions.clamp(-1.0, 1.0))


@configclass
class ClippedIKActionCfg(DifferentialInverseKinematicsActionCfg):
    """Configuration of `ClippedIKAction`."""

    class_type: Any = ClippedIKAction
