"""Annotate demos: replay them and record poses, targets and subtask signals.

Signals come from the task, or from a marks file: YAML with the steps at which signals rise, by demo.

demo_0:
  term: {reach: 63, grasp: 88, lift: 116}
  start: {reach: 55, grasp: 84, lift: 106, place: 179}
"""

# N demos (one per env), T steps of one demo

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.replay import AfterStep, replay
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.skills import check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors, by_name
from isaaclab_mimic_ext.errors import MimicError, SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.run.episodes import unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout

KINDS = ("term", "start")


@dataclass(frozen=True)
class DemoMarks:
    """Steps at which the signals of one demo rise, by signal. A signal is true from its step on.

    Attributes:
        term: steps of term signals: the last step of each subtask.
        start: steps of start signals (SkillGen): the first step of each skill.
    """

    term: dict[str, int] = field(default_factory=dict)
    start: dict[str, int] = field(default_factory=dict)


def read_marks(path: str | Path, demo_names: Iterable[str], signal_names: Iterable[str]) -> dict[str, DemoMarks]:
    """Read a marks file and return its marks by demo.

    Args:
        demo_names: names of all demos of the dataset.
        signal_names: names of all signals of the task; start signals have the names of term signals.

    Raises:
        SourceDataError: the file is missing, is not a marks file, or names an unknown demo or signal.
    """
    names, signals = tuple(demo_names), tuple(signal_names)
    marks = {}
    for demo, kinds in _checked_items(str(path), _load(Path(path)), "demo", names):
        place = f"{path}: {demo}"
        marks[demo] = DemoMarks(
            **{
                kind: dict(_checked_steps(f"{place}: {kind}", steps, signals))
                for kind, steps in _checked_items(place, kinds, "key", KINDS)
            }
        )
    return marks


def write_marks(path: Path, marks: Mapping[str, DemoMarks]) -> None:
    """Write a marks file.

    Raises:
        RecorderError: the file cannot be written.
    """
    content = {name: asdict(of_demo) for name, of_demo in marks.items()}
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(content)))


def marked_signal(place: str, signal: str, step: int, num_steps: int, may_be_first: bool) -> np.ndarray:
    """Signal that rises at `step`, shape (T,) bool.

    Args:
        place: demo, for error messages.
        num_steps: T.
        may_be_first: whether step 0 is valid. A term signal cannot rise in step 0.

    Raises:
        SourceDataError: the step is not valid.
    """
    first = 0 if may_be_first else 1
    if not first <= step < num_steps:
        rule = f"the mark of '{signal}' must be at a step from {first} to {num_steps - 1} (got {step})"
        raise SourceDataError(f"{place}: {rule}; correct the marks file")
    return np.arange(num_steps) >= step


def _load(path: Path) -> Any:
    if not path.is_file():
        raise SourceDataError(f"{path}: not found; check marks_file")
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # YAML's and OmegaConf's errors share no base.
        reason = " ".join(str(error).split())
        raise SourceDataError(
            f"{path}: is not a YAML file ({reason}); write it as 'demo_0: {{term: {{signal: step}}}}'"
        ) from error


def _checked_items(place: str, mapping: Any, kind: str, valid: tuple[str, ...]) -> Iterable[tuple[str, Any]]:
    """Items of a mapping of a marks file whose keys must be in `valid`; `kind` names the keys in errors."""
    if not isinstance(mapping, Mapping):
        raise SourceDataError(f"{place}: {mapping!r} is not a mapping; write 'demo_0: {{term: {{signal: step}}}}'")
    for name, value in mapping.items():
        if name not in valid:
            raise SourceDataError(f"{place}: {kind} '{name}' not found; {choices(str(name), valid)}")
        yield str(name), value


def _checked_steps(place: str, mapping: Any, signals: tuple[str, ...]) -> Iterable[tuple[str, int]]:
    for signal, step in _checked_items(place, mapping, "signal", signals):
        if not isinstance(step, int) or isinstance(step, bool):
            raise SourceDataError(f"{place}.{signal}: must be an integer (got {step!r}); the first step of a demo is 0")
        yield signal, step


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
    """Replay one demo per env, and record poses, targets and signals before each step.

    Args:
        demos: N demos.
        subtasks: subtasks of each end effector.
        num_success_steps: the task must be solved in each of this many last steps.
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
    annotations = []
    for index, demo in enumerate(demos):
        rows = buffer.take(torch.tensor([index], device=env.device), demo.num_steps)
        info = unpack(layout.fields, {name: values[0] for name, values in rows.items()})
        solved = steps_successful[index]
        failure = None
        if solved < num_success_steps:
            failure = f"the replay must be successful in each of its last {num_success_steps} steps (got {solved})"
        annotations.append(_find_boundaries(demo, info, subtasks, source, failure))
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


def _find_boundaries(
    demo: Demo,
    info: dict[str, np.ndarray],
    subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]],
    source: SignalSource,
    failure: str | None,
) -> Annotation:
    """Find the subtask boundaries of a replayed demo. A demo without valid boundaries is rejected.

    Args:
        info: recorded arrays of `obs/datagen_info`, path -> (T, ...).
        failure: reason to reject the demo; None if its replay succeeded.
    """
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
