"""Check before training that the env of the task will give a policy the observations that the policy is trained on."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets.replay import is_embedded
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.learn.data import DatasetFacts
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot

log = logging.getLogger(__name__)


def check_shapes(facts: DatasetFacts, keys: Sequence[str], task_name: str) -> None:
    """Check the shapes of the observations that a policy uses, and of the actions.

    Datasets of embedded engines are compared with the env of their task. An observation that the env does not have is only
    a warning: a policy may be trained for a different env.

    Raises:
        SourceDataError: an observation is not a vector, or an observation or the actions differ from those of the env.
    """
    for key in keys:
        if len(facts.obs_shapes[key]) != 1:
            shape = ("T", *facts.obs_shapes[key])
            raise SourceDataError(
                f"{facts.path}: 'obs/{key}' must have shape (T, D) (got {_text(shape)}); reshape it in the dataset, or "
                "leave it out of the low_dim observations of the agent"
            )
    of_env = _shapes_of_env(task_name, facts.env_args) if is_embedded(facts.env_args.get("engine")) else {}
    for key in keys:
        expected, found = of_env.get(key, facts.obs_shapes[key]), facts.obs_shapes[key]
        if found != expected:
            raise _differs(facts, f"obs/{key}", found, expected, task_name)
    if of_env and of_env["actions"] != (facts.action_dim,):
        raise _differs(facts, "actions", (facts.action_dim,), of_env["actions"], task_name)
    if of_env and (added := [key for key in keys if key not in of_env]):
        log.warning(
            "%s: the env of task '%s' does not have the observations %s; `mimic evaluate` cannot run policies with them",
            facts.path, task_name, ", ".join(added),
        )  # fmt: skip


def _shapes_of_env(task_name: str, env_args: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the observations of a task's env, the last action included; empty if the env cannot be created."""
    if task_name not in available_tasks():
        return {}
    try:
        env = make_env(load_task(task_name, recorded_robot(env_args), recorded_objects(env_args)), "kinematic", events={})
        try:
            shapes = {name: tuple(value.shape[1:]) for name, value in trees.flatten(env.observations()).items()}
            return {**shapes, "actions": (env.action_dim,)}
        finally:
            env.close()
    except MimicError:
        return {}


def _differs(
    facts: DatasetFacts, name: str, found: tuple[int, ...], expected: tuple[int, ...], task_name: str
) -> SourceDataError:
    return SourceDataError(
        f"{facts.path}: '{name}' must have shape {_text(('T', *expected))} as in the env of task '{task_name}' (got "
        f"{_text(('T', *found))}), or the policy cannot be evaluated; generate the dataset again, or leave the observation "
        "out of the agent"
    )


def _text(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))})"
