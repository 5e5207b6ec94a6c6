"""Poses, targets and signals of recorded demos that are not annotated, from their recorded states, without a replay."""

# T steps of the demo

from collections.abc import Sequence
from dataclasses import replace

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import CheckedTaskCfg, MimicEnvCfg, SimCfg
from isaaclab_mimic_ext.envs.base import NestedTensors, by_name
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.task.definition import Task

_INFO = "obs/datagen_info"
_BATCH_SIZE = 1000
"""Number of steps that are computed together."""


def is_recording(file: h5py.File, names: Sequence[str]) -> bool:
    """Return whether demos of a file have states, but none of them is annotated."""
    demos = [file["data"].get(name) for name in names]
    return any("states" in demo for demo in demos if demo is not None) and not any(
        _INFO in demo for demo in demos if demo is not None
    )


def with_info(demo: Demo, task: Task, cfg: CheckedTaskCfg | MimicEnvCfg, with_starts: bool) -> Demo:
    """Add `obs/datagen_info` to a recorded demo, as an annotation would whose replay has exactly the recorded states.

    Args:
        demo: demo with arrays, quaternions xyzw.
        with_starts: add start signals (SkillGen), too.

    Raises:
        SourceDataError: the demo lacks states of an arm or object, or its actions do not fit the task.
    """
    demo.check_lengths()
    before = _states_before(demo)
    pieces: list[dict[str, np.ndarray]] = []
    for first in range(0, demo.num_steps, _BATCH_SIZE):
        actions = torch.from_numpy(np.asarray(demo.leaves["actions"][first : first + _BATCH_SIZE], np.float32))
        env = make_env(task, SimCfg(engine="kinematic"), cfg.events, len(actions))
        if actions.shape[1] != env.action_dim:
            rule = f"must have {env.action_dim} entries (got {actions.shape[1]})"
            demo.refuse(f"dataset 'actions' {rule}; use the task of the recording")
        rows = {path: torch.from_numpy(leaf[first : first + _BATCH_SIZE]) for path, leaf in before.items()}
        try:
            env.reset_to(trees.unflatten(rows), torch.arange(len(actions)))
        except (ConfigError, KeyError) as error:
            demo.refuse(f"states: {str(error).split('; ')[0]}; use the task with which the demo was recorded")
        info: NestedTensors = {
            "eef_pose": by_name(env.eef_names, env.eef_pose),
            "target_eef_pose": by_name(env.eef_names, env.action_to_target_eef_pose(actions)),
            "object_pose": by_name(env.object_names, env.object_pose),
            "subtask_term_signals": env.get_subtask_term_signals(),
        }
        if with_starts:
            info["subtask_start_signals"] = env.get_subtask_start_signals()
        pieces.append({path: leaf.numpy() for path, leaf in trees.flatten(info).items()})
    leaves = {f"{_INFO}/{path}": np.concatenate([piece[path] for piece in pieces]) for path in pieces[0]}
    return replace(demo, leaves={**demo.leaves, **leaves})


def recorded_signals(
    file: h5py.File, name: str, task: Task, cfg: CheckedTaskCfg | MimicEnvCfg
) -> dict[str, NDArray[np.bool_]]:
    """Term signals of the task at the recorded states of a demo, name -> (T,); empty without states of the task."""
    if not {"initial_state", "states"} <= set(file["data"][name]):
        return {}
    try:
        demo = read_demo(file, name, ("actions", "initial_state", "states"), as_xyzw=True, verify=False)
        leaves = with_info(demo, task, cfg, with_starts=False).below(f"{_INFO}/subtask_term_signals")
    except (SourceDataError, ConfigError):
        return {}
    return {signal: leaf.reshape(len(leaf)).astype(bool) for signal, leaf in leaves.items()}


def _states_before(demo: Demo) -> dict[str, np.ndarray]:
    """States before each action, path -> (T, ...) float32; a recording contains those after each action."""
    first, after = demo.below("initial_state"), demo.below("states")
    missing = sorted(path for path in first if path in after and first[path].shape != (1, *after[path].shape[1:]))
    if missing:
        demo.refuse(f"initial_state/{missing[0]}: must have one row of the shape in states; record the demo again")
    return {
        path: np.concatenate((first[path], leaf[:-1])).astype(np.float32) for path, leaf in after.items() if path in first
    }
