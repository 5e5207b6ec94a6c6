"""Environments for tests that run with each engine, on the device that `torch.get_default_device` names."""

from collections.abc import Mapping

import torch

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.task.definition import Task


def make_on_default_device(task: Task, sim: SimCfg, events: Mapping[str, EventCfg], num_envs: int) -> MimicEnv:
    """Envs on the default device. Only the test's own tensors are made there by default, not those of the package."""
    device = torch.get_default_device()
    with torch.device("cpu"):
        return make_env(task, sim, events, num_envs, device)
