"""Subtask boundaries marked by hand: a YAML file that says of each demo at which step which signal rises.

demo_0:
  term: {reach: 63, grasp: 88, lift: 116}
  start: {reach: 55, grasp: 84, lift: 106, place: 179}
"""

# T steps of one demo
# N demos (one an env), T steps of one demo

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.replay import replay
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.skills import check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors, by_name
from isaaclab_mimic_ext.errors import MimicError, SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.run.episodes import unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout

KINDS = ("term", "start")


@dataclass(frozen=True)
class DemoMarks:
    """The steps at which signals rise, by signal; from then on they are true.

    Attributes:
        term: of termination signals; the step is the subtask's last.
        start: of start signals (SkillGen); the step is the subtask's first.
    """

    term: dict[str, int] = field(default_factory=dict)
    start: dict[str, int] = field(default_factory=dict)


def read_marks(path: str | Path, demo_names: Iterable[str], signal_names: Iterable[str]) -> dict[str, DemoMarks]:
    """The marks of a file, by demo.

    Args:
        demo_names: the demos that there are.
        signal_names: the signals that there are; start signals have the names of term signals.

    Raises:
        SourceDataError: the file is missing or no such file, or names what is not there.
    """
    names, signals = tuple(demo_names), tuple(signal_names)
    marks = {}
    for demo, kinds in _entries(str(path), _load(Path(path)), "demo", names):
        place = f"{path}: {demo}"
        parts = {kind: dict(_steps(f"{place}: {kind}", steps, signals)) for kind, steps in _entries(place, kinds, "", KINDS)}
        marks[demo] = DemoMarks(**parts)
    return marks


def marked_signal(place: str, signal: str, step: int, num_steps: int, may_be_first: bool) -> np.ndarray:
    """A signal (T,) bool that rises at `step`.

    Raises:
        SourceDataError: the step is none of the demo's, or the first, where the signal could not rise.
    """
    first = 0 if may_be_first else 1
    if not first <= step < num_steps:
        reason = f"the mark of '{signal}' is at step {step}, but the demo has steps {first} to {num_steps - 1} to mark"
        raise SourceDataError(f"{place}: {reason}; correct the marks file")
    return np.arange(num_steps) >= step


def _load(path: Path) -> Any:
    if not path.is_file():
        raise SourceDataError(f"{path}: there is no such file; check marks_file")
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # YAML's and OmegaConf's errors share no base.
        reason = " ".join(str(error).split())
        raise SourceDataError(
            f"{path}: is no YAML file ({reason}); write it as 'demo_0: {{term: {{signal: step}}}}'"
        ) from error


def _entries(place: str, mapping: Any, kind: str, valid: tuple[str, ...]) -> Iterable[tuple[str, Any]]:
    if not isinstance(mapping, Mapping):
        raise SourceDataError(f"{place}: {mapping!r} is no mapping; write 'demo_0: {{term: {{signal: step}}}}'")
    for name, value in mapping.items():
        if name not in valid:
            raise SourceDataError(f"{place}: there is no {kind or 'key'} '{name}'; {choices(str(name), valid)}")
        yield str(name), value


def _steps(place: str, mapping: Any, signals: tuple[str, ...]) -> Iterable[tuple[str, int]]:
    for signal, step in _entries(place, mapping, "signal", signals):
        if not isinstance(step, int) or isinstance(step, bool):
            raise SourceDataError(f"{place}.{signal}: {step!r} is no step; give a whole number, 0 is the demo's first step")
        yield signal, step


INFO = "obs/datagen_info"


@dataclass(frozen=True)
class SignalSource:
    """Where the signals of an annotation come from.

    Attributes:
        auto: from the task; otherwise from `marks` alone.
        starts: start signals too (SkillGen).
        marks: by demo; a mark replaces the task's signal.
    """

    auto: bool = True
    starts: bool = False
    marks: Mapping[str, DemoMarks] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotation:
    """What became of one demo.

    Attributes:
        leaves: the demo's own and those of `obs/datagen_info`, path -> (T, ...).
        ends: where the subtasks of each end effector end [steps].
        starts: where its skills start, if asked for [steps].
        rejection: why it is no use, or None.
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
) -> list[Annotation]:
    """Replay `demos`, one in each env, and note poses, targets and signals before every step.

    Args:
        num_success_steps: the task must be solved in each of the last so many steps.

    Raises:
        SourceDataError: a demo's actions are not this env's.
        ConfigError: its initial state lacks something of the scene.
    """
    no_action = torch.zeros(env.num_envs, env.action_dim, device=env.device)
    layout = RowLayout("info", {"obs": {"datagen_info": _datagen_info(env, no_action, source)}})
    buffer = RowBuffer(layout, env.num_envs, max(demo.num_steps for demo in demos), env.device)

    def note(step: Tensor, actions: Tensor) -> None:
        buffer.write(step, {"obs": {"datagen_info": _datagen_info(env, actions, source)}})

    steps_successful = replay(env, demos, note).tolist()
    annotations = []
    for index, demo in enumerate(demos):
        rows = buffer.take(torch.tensor([index], device=env.device), demo.num_steps)
        info = unpack(layout.fields, {name: values[0] for name, values in rows.items()})
        solved = steps_successful[index]
        failure = None
        if solved < num_success_steps:
            failure = f"the replay is successful in only {solved} of its last {num_success_steps} steps"
        annotations.append(_judge(demo, info, subtasks, source, failure))
    return annotations


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


def _judge(
    demo: Demo,
    info: dict[str, np.ndarray],
    subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]],
    source: SignalSource,
    failure: str | None,
) -> Annotation:
    ends: dict[str, list[int]] = {}
    starts: dict[str, list[int]] = {}
    try:
        info = info | _marked(demo, source.marks.get(demo.name, DemoMarks()))
        annotated = _source_demo(demo, info)
        for eef_name, configs in subtasks.items():
            signals = [config.subtask_term_signal for config in configs]
            _check_marked(demo.name, annotated, signals, source)
            ends[eef_name] = subtask_ends(annotated, signals)
            check_offsets(eef_name, configs, {demo.name: ends[eef_name]})
            if source.starts:
                spans = skill_spans(annotated, signals)
                check_skill_offsets(eef_name, configs, {demo.name: spans})
                starts[eef_name] = [start for start, _ in spans]
    except MimicError as error:
        failure = failure or str(error)
    return Annotation(demo, demo.leaves | info, ends, starts, failure)


def _marked(demo: Demo, marks: DemoMarks) -> dict[str, np.ndarray]:
    """The signals that were marked by hand, path -> (T,) bool."""
    leaves = {}
    for group, steps in (("subtask_term_signals", marks.term), ("subtask_start_signals", marks.start)):
        for signal, step in steps.items():
            is_start = group == "subtask_start_signals"
            leaves[f"{INFO}/{group}/{signal}"] = marked_signal(demo.name, signal, step, demo.num_steps, is_start)
    return leaves


def _check_marked(place: str, demo: SourceDemo, signals: Sequence[str | None], source: SignalSource) -> None:
    """Refuse a demo that lacks a signal which a subtask needs."""
    needed = [("term", signal, demo.subtask_term_signals) for signal in signals[:-1]]
    needed += [("start", signal, demo.subtask_start_signals) for signal in signals if source.starts]
    for kind, signal, present in needed:
        if signal is not None and signal not in present:
            reason = f"{kind} signal '{signal}' is not marked" + (", and the task has none" if source.auto else "")
            raise SourceDataError(f"{place}: {reason}; give '{place}: {{{kind}: {{{signal}: <step>}}}}' in marks_file")


def _source_demo(demo: Demo, info: Mapping[str, np.ndarray]) -> SourceDemo:
    def below(group: str) -> dict[str, np.ndarray]:
        return trees.subtree(info, f"{INFO}/{group}")

    return SourceDemo(
        name=demo.name,
        actions=demo.leaves["actions"],
        eef_pose=below("eef_pose"),
        target_eef_pose=below("target_eef_pose"),
        object_pose=below("object_pose"),
        subtask_term_signals=below("subtask_term_signals"),
        subtask_start_signals=below("subtask_start_signals"),
    )
