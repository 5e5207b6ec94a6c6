"""Content of one demo for its page: motion, signals, subtasks, facts, and what the file does not contain."""

# T steps of the demo, A action entries, E end effectors

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task, recorded_preset, recorded_task
from isaaclab_mimic_ext.envs.captions import used_sources
from isaaclab_mimic_ext.envs.playback import demo_states
from isaaclab_mimic_ext.envs.recorded_scene import Moment, computed_signals, grasp_step, moments, recorded_scene
from isaaclab_mimic_ext.errors import ConfigError, MimicError, SourceDataError, choices
from isaaclab_mimic_ext.files.attributes import attributes_of, indices
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.grippers import gripper_columns
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, text_of, texts_of
from isaaclab_mimic_ext.files.selection import LeftOut, check_has_actions
from isaaclab_mimic_ext.files.stream import check_actions, read_facts
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot
from isaaclab_mimic_ext.texts import counted

_INFO = ("obs/datagen_info", "datagen_info")
"""Groups of the annotation: Isaac Lab's, and robomimic's."""


@dataclass(frozen=True)
class SubtaskSpan:
    """Steps of one subtask of an end effector; `end` is exclusive.

    Attributes:
        signal: term signal that ends the subtask; empty for the last subtask without a signal.
        source: source demo of its segment; empty if it is not recorded.
    """

    eef: str
    index: int
    signal: str
    description: str
    object_ref: str
    start: int
    end: int
    source: str


@dataclass
class DemoContent:
    """Everything that the page of a demo shows.

    Attributes:
        demo: demo with arrays.
        task: task that the file records; None if it is not available.
        states: recorded states, quaternions xyzw; None without states.
        scene: scenes of the states.
        signals: term signals, name -> (T,).
        spans: subtasks of all end effectors.
        grippers: end effector -> whether its gripper is commanded to close, (T,).
        action_names: names of the action entries.
        missing: sentences about what the file does not contain.
    """

    path: Path
    demo: Demo
    env_args: Mapping[str, Any]
    task: Task | None = None
    states: dict[str, Any] | None = None
    scene: SceneState | None = None
    signals: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    spans: list[SubtaskSpan] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    grippers: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    action_names: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        return self.demo.num_steps

    def moments(self) -> list[Moment]:
        """Start, ends of subtasks, and end of the demo; its first grasp if no signal is known."""
        found = moments(self.num_steps, self.signals)
        step = None if self.task is None or self.scene is None or self.signals else grasp_step(self.task, self.scene)
        return found if step is None else [found[0], Moment(step, "grasp"), found[-1]]


def read_content(input_file: str | Path, demo: str | None) -> DemoContent:
    """Read one demo of a file.

    Args:
        demo: name of the demo; None: the first one that can be read.

    Raises:
        ConfigError: the file does not contain the demo.
        SourceDataError: the file is missing, or the demo is damaged.
    """
    facts = read_facts(input_file)
    if demo is not None and demo not in facts.demo_names:
        raise ConfigError(f"demo: '{demo}' is not in {input_file}; {_known(demo, facts.demo_names)}")
    with open_hdf5(input_file) as file:
        left_out = LeftOut(str(input_file))
        names = facts.demo_names if demo is None else [demo]
        _, found = next(left_out.usable(names, lambda name: _readable(file, name)))
        content = DemoContent(Path(input_file), found, facts.env_args)
        _add_motion(content, file)
        _add_signals(content)
        attributes = attributes_of(file["data"])
        content.sources = used_sources(file, content.demo.attributes.get("source_demos"))
        content.spans = _spans(content, attributes)
    _add_actions(content)
    _note_missing_facts(content)
    return content


def _known(name: str, names: Sequence[str]) -> str:
    """Choices of an error about an unknown demo; only the first and the last of many."""
    if len(names) <= 20:
        return choices(name, names)
    return f"choices: {', '.join(names[:5])}, ..., {names[-1]} ({counted(len(names), 'demo')})"


def _readable(file: h5py.File, name: str) -> Demo:
    """Read a demo.

    Raises:
        SourceDataError: it has no actions (T, A), or datasets of different lengths.
    """
    check_has_actions(file, name)
    demo = read_demo(file, name, as_xyzw=True)
    check_actions(demo)
    demo.check_lengths()
    return demo


def _add_motion(content: DemoContent, file: h5py.File) -> None:
    name = recorded_task(content.env_args)
    if name is None:
        content.missing.append("The file does not name a task of this package: no frames, and only recorded signals.")
        return
    try:
        find_recorded_task(name, content.env_args, content.path)
        content.task = load_task(
            recorded_preset(content.env_args) or name,
            robot=recorded_robot(content.env_args),
            objects=recorded_objects(content.env_args),
        )
    except MimicError as error:
        content.missing.append(f"The task is not available: {error}.")
        return
    try:
        content.states = demo_states(file, content.demo.name, content.task)
        content.scene = recorded_scene(content.task, content.states)
    except MimicError as error:
        content.missing.append(f"No frames: {error}.")


def _add_signals(content: DemoContent) -> None:
    for group in _INFO:
        recorded = content.demo.below(f"{group}/subtask_term_signals")
        leaves = {name: leaf for name, leaf in recorded.items() if leaf.dtype.kind in "biuf"}
        if leaves:
            rows = {name: np.asarray(leaf).reshape(len(leaf), -1)[:, 0] for name, leaf in leaves.items()}
            content.signals = {name: row.astype(bool) for name, row in rows.items()}
            return
    if content.task is not None and content.scene is not None:
        content.signals = computed_signals(content.task, content.scene)
        content.missing.append("Term signals are not recorded; they are computed from the recorded states.")
    else:
        content.missing.append("Term signals are not recorded; annotate the demo with `mimic annotate`.")


def _spans(content: DemoContent, attributes: Mapping[str, Any]) -> list[SubtaskSpan]:
    """Subtasks of all end effectors: each ends at the first rise of its signal after the end of the subtask before it."""
    names = texts_of(attributes.get("source_demo_names", ()))
    used = content.demo.attributes.get("source_demos")
    spans = []
    for row, (eef, subtasks) in enumerate(_subtask_configs(content, attributes).items()):
        start = 0
        for index, subtask in enumerate(subtasks):
            signal = str(subtask.get("subtask_term_signal") or "")
            end = _end(content, signal, start, is_last=index == len(subtasks) - 1)
            source = _source(names, used, row, index)
            text, object_ref = str(subtask.get("description") or ""), str(subtask.get("object_ref") or "")
            spans.append(SubtaskSpan(eef, index, signal, text, object_ref, start, end, source))
            start = end
    return spans


def _end(content: DemoContent, signal: str, start: int, is_last: bool) -> int:
    if is_last or signal not in content.signals:
        return content.num_steps
    values = content.signals[signal]
    rises = np.flatnonzero(values[1:] & ~values[:-1]) + 1
    usable = rises[rises >= start]
    return int(usable[0]) + 1 if len(usable) else content.num_steps


def _source(names: Sequence[str], used: Any, row: int, index: int) -> str:
    table = indices(used)
    if table.ndim != 2 or row >= table.shape[0] or index >= table.shape[1] or table[row, index] < 0:
        return ""
    number = int(table[row, index])
    return names[number] if number < len(names) else str(number)


def _subtask_configs(content: DemoContent, attributes: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Subtasks by end effector: those that the file records, else those of the task."""
    text = attributes.get("config")
    if text is not None:
        try:
            found: Any = OmegaConf.to_container(OmegaConf.create(text_of(text)), resolve=False)
            return {str(eef): list(subtasks) for eef, subtasks in found["subtask_configs"].items() if subtasks}
        except (YAMLError, OmegaConfBaseException, ValueError, KeyError, TypeError, AttributeError, AssertionError):
            content.missing.append("The recorded configuration cannot be read; subtasks are those of the task.")
    if content.task is None or content.task.config is None:
        return {}
    return {eef: [vars(each) for each in row] for eef, row in content.task.config.subtask_configs.items() if row}


def _add_actions(content: DemoContent) -> None:
    actions = content.demo.leaves["actions"]
    columns = _gripper_columns(content, actions.shape[1])
    content.action_names = [str(index) for index in range(actions.shape[1])]
    spec = content.env_args.get("action")
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    if kind in ("ik_rel", "robosuite_osc") and actions.shape[1] % 7 == 0:
        content.action_names = ["x", "y", "z", "rx", "ry", "rz", "gripper"] * (actions.shape[1] // 7)
    for eef, places in columns.items():
        commands = actions[:, list(places)]
        # In actions of robosuite, positive commands close.
        content.grippers[eef or "gripper"] = ((commands > 0) if kind == "robosuite_osc" else (commands < 0)).any(-1)
        for place in places:
            content.action_names[place] = "gripper"


def _gripper_columns(content: DemoContent, action_dim: int) -> dict[str, tuple[int, ...]]:
    try:
        columns = gripper_columns(content.path, content.env_args, action_dim)
    except SourceDataError as error:
        content.missing.append(f"Gripper commands: {error}.")
        return {}
    if not columns:
        content.missing.append("The file does not state which action entries command the gripper.")
    return columns


def _note_missing_facts(content: DemoContent) -> None:
    attributes = content.demo.attributes
    absent = [name for name in ("trial", "seed", "success") if name not in attributes]
    if absent:
        content.missing.append(f"Not recorded: {', '.join(absent)}.")
    if "source_demos" not in attributes:
        content.missing.append("No source demos are recorded: the demo was recorded by an operator, or imported.")
    if "actions_clean" not in content.demo.leaves and "source_demos" in attributes:
        content.missing.append("Actions without noise (actions_clean) are not recorded.")
