"""Markdown about included tasks from their configuration: objects, subtasks, signals, success, randomization, presets."""

import inspect
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.config.task import EventCfg, SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.task.definition import JointedObject, SceneObject, Task

_HEAD_OF_EVENTS = (
    "| object or robot | x [m] | y [m] | yaw [rad] | distance to others [m] | joints: deviation, or range [rad, m] |\n"
    "|---|---|---|---|---|---|"
)


@cache
def presets() -> dict[str, list[str]]:
    """Return the presets of each included task: folder of the task -> names of its files in `conf/task/`, base first."""
    by_task: dict[str, list[str]] = {}
    for name in sorted({path.stem for path in (conf_dir() / "task").glob("*.yaml")} - {"isaaclab"}):
        by_task.setdefault(_load(name).name, []).append(name)
    return by_task


def task_list() -> str:
    """Return the Markdown of a table of the included tasks and their presets."""
    rows = []
    for base, names in presets().items():
        for name in names:
            place = f"{base}.md" if name == base else f"{base}.md#task{name}"
            rows.append(f"| [`{name}`]({place}) | {description(name)} | {_subtask_count(_load(name))} |")
    return "\n".join(["| `task=` | task | subtasks |", "|---|---|---|", *rows])


def task_facts(name: str) -> str:
    """Return the Markdown of the facts about a task, with one section per topic."""
    task = _load(name)
    sections = [_overview(task), _objects(task), _subtasks(task), _signals(task), _success(task), _events(task)]
    if others := presets()[name][1:]:
        sections.append(["## Presets", "", *(line for other in others for line in _preset(name, other))])
    return "\n\n".join("\n".join(section) for section in sections)


def description(preset: str) -> str:
    """Return the description of a task file: its comment below the package."""
    lines = (conf_dir() / "task" / f"{preset}.yaml").read_text().splitlines()[1:]
    comment = [line.removeprefix("# ") for line in lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")]]
    return " ".join(comment)


@cache
def _load(preset: str) -> Task:
    return load_task(preset)


def _overview(task: Task) -> list[str]:
    arms = "; ".join(f"`{arm.eef_name}` (arm `{arm.name}`)" for arm in task.arms)
    path = Path(inspect.getfile(type(task))).parent / "data" / "source_demos.hdf5"
    with h5py.File(path) as file:
        demos = file["data"]
        lengths = [int(demo.attrs["num_samples"]) for demo in demos.values()]
    return [
        "| | |",
        "|---|---|",
        f"| end effectors | {arms} |",
        f"| action | {7 * len(task.arms)} entries: for each end effector translation, rotation vector, gripper |",
        f"| source demos | {len(lengths)} included, {min(lengths)} to {max(lengths)} steps |",
        f"| presets | {', '.join(f'`{name}`' for name in presets()[task.name])} |",
    ]


def _objects(task: Task) -> list[str]:
    rows = []
    for obj in task.objects:
        size = " x ".join(f"{200 * half:.3g}" for half in obj.box_half_size)
        rows.append(f"| `{obj.name}` | {size} | {_place(obj)} |")
    return ["## Objects", "", "| object | bounding box [cm] | default place x, y [m] |", "|---|---|---|", *rows]


def _place(obj: SceneObject) -> str:
    if isinstance(obj, JointedObject):
        return f"{obj.kind} of `{obj.base}`, {_number(obj.limits[0])} to {_number(obj.limits[1])}"
    return f"{_number(obj.default_pos[0])}, {_number(obj.default_pos[1])}" + (", fixed" if obj.fixed else "")


def _subtasks(task: Task) -> list[str]:
    lines = ["## Subtasks"]
    for eef_name, subtasks in task.config.subtask_configs.items():
        heading = ["", f"### End effector `{eef_name}`"] if len(task.arms) > 1 else []
        lines += [*heading, "", "| # | moves with | until | offset of the end [steps] | noise | source demo |"]
        lines += ["|---|---|---|---|---|---|", *(_subtask(index, each) for index, each in enumerate(subtasks))]
    if task.config.task_constraint_configs:
        lines += ["", "### Constraints", "", *map(_constraint, task.config.task_constraint_configs)]
    return lines


def _subtask(index: int, subtask: SubTaskConfig) -> str:
    until = f"`{subtask.subtask_term_signal}`" if subtask.subtask_term_signal else "the end"
    low, high = subtask.subtask_term_offset_range
    offset = f"{low} to {high}" if (low, high) != (0, 0) else "none"
    kwargs = ", ".join(f"{key} = {value}" for key, value in subtask.selection_strategy_kwargs.items())
    chosen = f"`{subtask.selection_strategy}`" + (f" ({kwargs})" if kwargs else "")
    return f"| {index} | {_code(subtask.object_ref) or 'nothing'} | {until} | {offset} | {subtask.action_noise} | {chosen} |"


def _constraint(constraint: SubTaskConstraintConfig) -> str:
    (first, one), (second, other) = constraint.eef_subtask_constraint_tuple
    pair = f"`{first}` {one} and `{second}` {other}"
    if constraint.constraint_type == "sequential":
        return f"- sequential: {pair}, in this order"
    begins = ", begin together" if constraint.coordination_synchronize_start else ""
    return f"- coordination: {pair} share one source demo and one transform (`{constraint.coordination_scheme}`){begins}"


def _signals(task: Task) -> list[str]:
    lines = ["## Signals", "", _body(type(task).signals)]
    if starts := _body(type(task).start_signals):
        lines += ["", f"Start signals of skills ([SkillGen](../skillgen.md)): {starts}"]
    return lines


def _success(task: Task) -> list[str]:
    condition = _condition(type(task).success)
    lines = ["## Success and failure", "", f"Solved: {condition}."]
    if extra := _body(type(task).success):
        lines[-1] += f" {extra}"
    lines[-1] += " The task must be solved in each of the last 5 steps of a trial."
    if type(task).violates is not Task.violates:
        lines += ["", f"A trial fails if in any step {_condition(type(task).violates)}."]
    reasons = "; ".join(f"*{reason.name}*" for reason in task.failure_reasons)
    return [*lines, "", f"Reasons of failure, in the order in which they are checked: {reasons}."]


def _events(task: Task) -> list[str]:
    rows = [_event(event) for event in task.config.events.values()]
    if not rows:
        return ["## Initial scenes", "", _picture(task.name), "", "The engine places the objects."]
    return [
        "## Initial scenes",
        "",
        _picture(task.name),
        "",
        "Ranges are relative to the default place.",
        "",
        _HEAD_OF_EVENTS,
        *rows,
    ]


def _picture(preset: str) -> str:
    return f"![Three initial scenes of {preset}](../pictures/task_{preset}.jpg)"


def _event(event: EventCfg) -> str:
    ranges = (_range(event.pose_range.get(axis)) for axis in ("x", "y", "yaw"))
    separation = _number(event.min_separation) if event.min_separation else ""
    joints = event.joint_std or _range(event.joint_range)
    return f"| `{event.asset}` | {' | '.join(ranges)} | {separation} | {joints} |"


def _range(limits: Sequence[float] | None) -> str:
    if limits is None:
        return ""
    low, high = limits
    if math.isclose(-low, high):
        return "any" if math.isclose(high, math.pi, rel_tol=1e-6) else f"±{_number(high)}"
    return f"{_number(low)} to {_number(high)}"


def _preset(base: str, other: str) -> Iterator[str]:
    """Yield the section of a preset: its description, its randomization, and the other values that differ from the task."""
    task, preset = _load(base), _load(other)
    yield from (f"(task{other})=", f"### `task={other}`", "", description(other), "")
    before, after = (_flat(OmegaConf.to_container(OmegaConf.structured(each.config))) for each in (task, preset))
    changed = [path for path, value in after.items() if value != before.get(path)]
    if any(path.startswith("events.") for path in changed):
        yield from (_picture(other), "", _HEAD_OF_EVENTS, *(_event(event) for event in preset.config.events.values()), "")
    rows = [
        f"| `{path}` | {_code(before.get(path)) or 'not set'} | {_code(after[path])} |"
        for path in changed
        if not path.startswith("events.")
    ]
    if rows:
        yield from (f"| field | `{base}` | in this preset |", "|---|---|---|", *rows, "")


def _flat(node: Any, place: str = "") -> dict[str, Any]:
    """Return the values of nested dicts and lists of dicts: dotted name -> value."""
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        node = dict(enumerate(node))
    if not isinstance(node, dict) or not node:
        return {place.removesuffix("."): node}
    return {path: value for key, child in node.items() for path, value in _flat(child, f"{place}{key}.").items()}


def _code(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _condition(function: Any) -> str:
    """Return the condition in the first line of a docstring: `Return whether <condition>, (N,) bool.`"""
    match = re.match(r"Return whether (.*?), \(N,\) bool\.", inspect.getdoc(function) or "", re.DOTALL)
    assert match is not None, function
    return " ".join(match[1].split())


def _body(function: Any) -> str:
    """Return a docstring without its first paragraph."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[2].split())


def _subtask_count(task: Task) -> str:
    return " + ".join(str(len(subtasks)) for subtasks in task.config.subtask_configs.values())
