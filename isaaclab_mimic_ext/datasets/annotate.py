"""Subtask boundaries and object-centred poses for recorded demos, by replaying them."""

# N demos (one an env), T steps of one demo

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.datasets.demos import RecordedDemo
from isaaclab_mimic_ext.datasets.replay import replay
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.record.fields import unpack
from isaaclab_mimic_ext.record.layout import RowBuffer, RowLayout

INFO = "obs/datagen_info"


@dataclass(frozen=True)
class Annotation:
    """What became of one demo.

    Attributes:
        leaves: the demo's own and those of `obs/datagen_info`, path -> (T, ...).
        ends: where the subtasks of each end effector end [steps].
        rejection: why it is no use, or None.
    """

    demo: RecordedDemo
    leaves: dict[str, np.ndarray]
    ends: dict[str, list[int]]
    rejection: str | None


def annotate(
    env: MimicEnv, demos: Sequence[RecordedDemo], subtasks: Mapping[str, list[SubTaskConfig]], num_success_steps: int
) -> list[Annotation]:
    """Replay `demos`, one in each env, and note poses, targets and signals before every step.

    Args:
        num_success_steps: the task must be solved in each of the last so many steps.

    Raises:
        SourceDataError: a demo's actions are not this env's.
        ConfigError: its initial state lacks something of the scene.
    """
    no_action = torch.zeros(env.num_envs, env.action_dim, device=env.device)
    layout = RowLayout("info", {"obs": {"datagen_info": _datagen_info(env, no_action)}})
    buffer = RowBuffer(layout, env.num_envs, max(demo.num_steps for demo in demos), env.device)

    def note(step: Tensor, actions: Tensor) -> None:
        buffer.write(step, {"obs": {"datagen_info": _datagen_info(env, actions)}})

    steps_successful = replay(env, demos, note).tolist()
    annotations = []
    for index, demo in enumerate(demos):
        rows = buffer.take(torch.tensor([index], device=env.device), demo.num_steps)
        info = unpack(layout.fields, {name: values[0] for name, values in rows.items()})
        solved = steps_successful[index]
        failure = None
        if solved < num_success_steps:
            failure = f"the replay is successful in only {solved} of its last {num_success_steps} steps"
        annotations.append(_judge(demo, info, subtasks, failure))
    return annotations


def _datagen_info(env: MimicEnv, actions: Tensor) -> NestedTensors:
    return {
        "eef_pose": {name: env.get_robot_eef_pose(name) for name in env.eef_names},
        "target_eef_pose": env.action_to_target_eef_pose(actions),
        "object_pose": env.get_object_poses(),
        "subtask_term_signals": env.get_subtask_term_signals(),
    }


def _judge(
    demo: RecordedDemo, info: dict[str, np.ndarray], subtasks: Mapping[str, list[SubTaskConfig]], failure: str | None
) -> Annotation:
    ends: dict[str, list[int]] = {}
    try:
        for eef_name, configs in subtasks.items():
            ends[eef_name] = subtask_ends(_source_demo(demo, info), [config.subtask_term_signal for config in configs])
            check_offsets(eef_name, configs, {demo.name: ends[eef_name]})
    except MimicError as error:
        failure = failure or str(error)
    return Annotation(demo, demo.leaves | info, ends, failure)


def _source_demo(demo: RecordedDemo, info: Mapping[str, np.ndarray]) -> SourceDemo:
    def below(group: str) -> dict[str, np.ndarray]:
        prefix = f"{INFO}/{group}/"
        return {path.removeprefix(prefix): leaf for path, leaf in info.items() if path.startswith(prefix)}

    return SourceDemo(
        name=demo.name,
        actions=demo.leaves["actions"],
        eef_pose=below("eef_pose"),
        target_eef_pose=below("target_eef_pose"),
        object_pose=below("object_pose"),
        subtask_term_signals=below("subtask_term_signals"),
    )
