"""Annotate demos: replay them and record poses, targets and subtask signals.

Signals come from the task, or from marks (`datasets/marks.py`).
"""

# N demos (one per env), T steps of one demo

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.marks import DemoMarks, marked_signal
from isaaclab_mimic_ext.datasets.replay import AfterStep, replay
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.skills import check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors, by_name
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.run.episodes import unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout

INFO = "obs/datagen_info"


@dataclass(frozen=True)
class SignalSource:
    """Source of the signals of an annotation.

    Attributes:
        auto: take signals from the task, and from `marks`; False: only from `marks`.
        starts: annotate start signals, too (SkillGen).
        marks: marks by demo; a mark replaces the signal of the task.
    """

    auto: bool = True
    starts: bool = False
    marks: Mapping[str, DemoMarks] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplayedDemo:
    """Replay of one demo.

    Attributes:
        info: recorded arrays of `obs/datagen_info` before each step, path -> (T, ...).
        failure: reason to reject the demo; None if its replay succeeded.
    """

    demo: Demo
    info: dict[str, np.ndarray]
    failure: str | None


@dataclass(frozen=True)
class Annotation:
    """Result of annotating one demo.

    Attributes:
        leaves: arrays of the demo, including those of `obs/datagen_info`, path -> (T, ...).
        ends: ends of the subtasks of each end effector [steps].
        starts: starts of the skills of each end effector [steps]; empty without start signals.
        rejection: reason why the demo cannot be used; None if it can.
    """

    demo: Demo
    leaves: dict[str, np.ndarray]
    ends: dict[str, list[int]]
    starts: dict[str, list[int]]
    rejection: str | None


def annotate(
    env: MimicEnv,
    demos: Sequence[Demo],
    subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]],
    num_success_steps: int,
    source: SignalSource,
    after_step: AfterStep = lambda *_: None,
) -> list[Annotation]:
    """Replay one demo per env, record poses, targets and signals before each step, and find the subtask boundaries.

    Args:
        subtasks: subtasks of each end effector.
        demos, num_success_steps, after_step: see `replay_with_info`.

    Raises:
        SourceDataError: the actions of a demo do not fit the env.
        ConfigError: the initial state of a demo lacks an object or arm of the scene.
    """
    replayed = replay_with_info(env, demos, num_success_steps, source, after_step)
    return [find_boundaries(each, subtasks, source) for each in replayed]


def replay_with_info(
    env: MimicEnv,
    demos: Sequence[Demo],
    num_success_steps: int,
    source: SignalSource,
    after_step: AfterStep = lambda *_: None,
) -> list[ReplayedDemo]:
    """Replay one demo per env, and record poses, targets and signals before each step.

    Args:
        demos: N demos.
        num_success_steps: the task must be solved in each of this many last steps.
        source: source of the signals; its marks have no effect.
        after_step: see `AfterStep`.

    Raises:
        SourceDataError: the actions of a demo do not fit the env.
        ConfigError: the initial state of a demo lacks an object or arm of the scene.
    """
    no_action = torch.zeros(env.num_envs, env.action_dim, device=env.device)
    layout = RowLayout("info", {"obs": {"datagen_info": _datagen_info(env, no_action, source)}})
    buffer = RowBuffer(layout, env.num_envs, max(demo.num_steps for demo in demos), env.device)

    def record_info(step: Tensor, actions: Tensor) -> None:
        buffer.write(step, {"obs": {"datagen_info": _datagen_info(env, actions, source)}})

    steps_successful = replay(env, demos, record_info, after_step).tolist()
    replayed = []
    for index, demo in enumerate(demos):
        rows = buffer.take(torch.tensor([index], device=env.device), demo.num_steps)
        info = unpack(layout.fields, {name: values[0] for name, values in rows.items()})
        solved = steps_successful[index]
        failure = None
        if solved < num_success_steps:
            failure = f"the replay must be successful in each of its last {num_success_steps} steps (got {solved})"
        replayed.append(ReplayedDemo(demo, info, failure))
    return replayed


def _datagen_info(env: MimicEnv, actions: Tensor, source: SignalSource) -> NestedTensors:
    info: NestedTensors = {
        "eef_pose": by_name(env.eef_names, env.eef_pose),
        "target_eef_pose": by_name(env.eef_names, env.action_to_target_eef_pose(actions)),
        "object_pose": by_name(env.object_names, env.object_pose),
    }
    if source.auto:
        info["subtask_term_signals"] = env.get_subtask_term_signals()
    if source.auto and source.starts:
        info["subtask_start_signals"] = env.get_subtask_start_signals()
    return info


def find_boundaries(
    replayed: ReplayedDemo, subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]], source: SignalSource
) -> Annotation:
    """Find the subtask boundaries of a replayed demo. A demo without valid boundaries is rejected."""
    demo, info, failure = replayed.demo, replayed.info, replayed.failure
    ends: dict[str, list[int]] = {}
    starts: dict[str, list[int]] = {}
    try:
        info = info | _marked_signals(demo, source.marks.get(demo.name, DemoMarks()))
        annotated = _source_demo(demo, info)
        for eef_name, configs in subtasks.items():
            signals = [config.subtask_term_signal for config in configs]
            _check_signals(demo.name, annotated, signals, source)
            ends[eef_name] = subtask_ends(annotated, signals)
            check_offsets(eef_name, configs, {demo.name: ends[eef_name]})
            if source.starts:
                spans = skill_spans(annotated, signals)
                check_skill_offsets(eef_name, configs, {demo.name: spans})
                starts[eef_name] = [start for start, _ in spans]
    except MimicError as error:
        failure = failure or str(error)
    return Annotation(demo, demo.leaves | info, ends, starts, failure)


def _marked_signals(demo: Demo, marks: DemoMarks) -> dict[str, np.ndarray]:
    """Signals of the marks of a demo, path -> (T,) bool."""
    leaves = {}
    for group, steps in (("subtask_term_signals", marks.term), ("subtask_start_signals", marks.start)):
        for signal, step in steps.items():
            is_start = group == "subtask_start_signals"
            leaves[f"{INFO}/{group}/{signal}"] = marked_signal(demo.name, signal, step, demo.num_steps, is_start)
    return leaves


def _check_signals(place: str, demo: SourceDemo, signals: Sequence[str | None], source: SignalSource) -> None:
    """Refuse a demo that lacks a signal of a subtask.

    Args:
        signals: term signal of each subtask. The last subtask ends with the demo and needs only a start signal.
    """
    needed = [("term", signal, demo.subtask_term_signals) for signal in signals[:-1]]
    needed += [("start", signal, demo.subtask_start_signals) for signal in signals if source.starts]
    for kind, signal, present in needed:
        if signal is not None and signal not in present:
            rule = f"{kind} signal '{signal}' is not marked" + (" and is not a signal of the task" if source.auto else "")
            raise SourceDataError(f"{place}: {rule}; add '{place}: {{{kind}: {{{signal}: <step>}}}}' to marks_file")


def _source_demo(demo: Demo, info: Mapping[str, np.ndarray]) -> SourceDemo:
    def group(name: str) -> dict[str, np.ndarray]:
        return trees.subtree(info, f"{INFO}/{name}")

    return SourceDemo(
        name=demo.name,
        actions=demo.leaves["actions"],
        eef_pose=group("eef_pose"),
        target_eef_pose=group("target_eef_pose"),
        object_pose=group("object_pose"),
        subtask_term_signals=group("subtask_term_signals"),
        subtask_start_signals=group("subtask_start_signals"),
    )
