"""Import the JSON configuration of a task of MimicGen as a task file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError, choices
from isaaclab_mimic_ext.files.writing import check_output, created_folder, write_text
from isaaclab_mimic_ext.task.definition import Task

_GENERATION = {
    "guarantee": "generation_guarantee",
    "num_trials": "generation_num_trials",
    "keep_failed": "generation_keep_failed",
    "select_src_per_subtask": "generation_select_src_per_subtask",
    "transform_first_robot_pose": "generation_transform_first_robot_pose",
    "interpolate_from_last_target_pose": "generation_interpolate_from_last_target_pose",
}
"""Field of `experiment.generation` -> field of `datagen_config`."""
_NAMES = {"object_ref": "objects", "subtask_term_signal": "signals"}
"""Field of a subtask with a name of the task -> field of `rename`."""
_COUNTERPARTS = {
    "experiment.source.dataset_path": "input_file, after `mimic import`",
    "experiment.source.filter_key": "demos",
    "experiment.source.n": "demos",
    "experiment.source.start": "demos",
    "experiment.generation.path": "output_dir",
    "experiment.task.name": "task",
    "experiment.task.robot": "robot",
    "experiment.max_num_failures": "none: all failed demos are kept with generation_keep_failed=true",
    "experiment.render_video": "video",
    "experiment.num_demo_to_render": "num_video_demos",
    "experiment.num_fail_demo_to_render": "num_video_demos",
    "obs.camera_names": "cameras",
}
"""Field that is not imported -> field of `mimic generate` with its meaning."""
_IMPORTED = ("name", "type", "experiment.name", "experiment.seed")
"""Fields that are imported, or that only name the file, in addition to those of `_GENERATION` and the subtasks."""


@dataclass(frozen=True)
class ImportedConfig:
    """Result of `import_config`.

    Attributes:
        num_subtasks: number of subtasks.
        not_imported: field of the file that is set and has no place in a task file -> field of `mimic generate` to use, or
            an empty text.
    """

    num_subtasks: int
    not_imported: Mapping[str, str] = field(default_factory=dict)


def import_config(
    input_file: Path,
    output_file: Path,
    task: Task,
    renamed_objects: Mapping[str, str] | None = None,
    renamed_signals: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> ImportedConfig:
    """Write a task file with the subtasks and settings of a JSON file of MimicGen.

    Args:
        task: task with its configuration, which the task file extends; it has one end effector.
        renamed_objects, renamed_signals: name in the JSON file -> name in the task.

    Raises:
        SourceDataError: the JSON file is missing, damaged, or not one of MimicGen.
        ConfigError: an object or a signal is not in the task.
        OutputError: the task file exists and `overwrite` is not set, or cannot be written.
    """
    check_output(output_file, overwrite)
    content = _read(input_file)
    if len(task.eef_names) != 1:
        raise ConfigError(
            f"base_task: must have one end effector, as all tasks of MimicGen (got {', '.join(task.eef_names)})"
        )
    spec, renamed = content["task"]["task_spec"], (renamed_objects or {}, renamed_signals or {})
    for (name, kind), names in zip(_NAMES.items(), renamed, strict=True):
        in_file = [str(values[name]) for values in spec.values() if values.get(name) is not None]
        for unknown in sorted(set(names) - set(in_file)):
            raise ConfigError(f"rename.{kind}: '{unknown}' is not in {input_file}; {choices(unknown, sorted({*in_file}))}")
    subtasks = [_subtask(f"task.task_spec.{name}", values, task, *renamed) for name, values in spec.items()]
    experiment = content.get("experiment", {})
    generation = experiment.get("generation", {})
    settings = {ours: generation[name] for name, ours in _GENERATION.items() if generation.get(name) is not None}
    if experiment.get("seed") is not None:
        settings["seed"] = experiment["seed"]
    text = _task_file(input_file.name, task, settings, subtasks)
    with created_folder(output_file.parent):
        write_text(output_file, text, "output_file", kind=OutputError)
    return ImportedConfig(len(subtasks), _not_imported(content))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise SourceDataError(f"input_file: {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SourceDataError(f"input_file: {path}: is not a JSON file: {error}") from error
    spec = content.get("task", {}).get("task_spec") if isinstance(content, dict) and _is_tree(content.get("task")) else None
    if not _is_tree(spec) or not spec or not all(_is_tree(each) for each in spec.values()):
        raise SourceDataError(
            f"input_file: {path}: must be a configuration of MimicGen, with subtasks in task.task_spec; see "
            "mimicgen/exps/templates"
        )
    found: dict[str, Any] = content
    for name in ("experiment", "obs"):
        if not _is_tree(found.get(name, {})):
            raise SourceDataError(f"input_file: {path}: {name}: must be an object (got {found[name]!r})")
    return found


def _is_tree(value: Any) -> bool:
    return isinstance(value, dict)


def _subtask(
    place: str, values: Mapping[str, Any], task: Task, objects: Mapping[str, str], signals: Mapping[str, str]
) -> dict[str, Any]:
    """Values of a subtask by the names of `SubTaskConfig`, with the names of the task."""
    known = {each.name for each in fields(SubTaskConfig)}
    for name in values:
        if name not in known:
            raise ConfigError(f"{place}.{name}: is not a field of a subtask; {choices(name, sorted(known))}")
    found = {name: value for name, value in values.items() if value is not None}
    allowed = (task.object_names, task.signal_names)
    for (name, kind), renamed, names in zip(_NAMES.items(), (objects, signals), allowed, strict=True):
        if name not in found:
            continue
        found[name] = renamed.get(found[name], found[name])
        if found[name] not in names:
            raise ConfigError(
                f"{place}.{name}: '{found[name]}' is not in task '{task.name}'; {choices(found[name], names)}; "
                f"rename it with rename.{kind}.{found[name]}=<name>"
            )
    return found


def _task_file(source: str, task: Task, settings: Mapping[str, Any], subtasks: list[dict[str, Any]]) -> str:
    head = f"# @package _global_\n# Subtasks and settings of MimicGen's {source}, imported for the task {task.preset}.\n"
    content = {
        "defaults": [task.preset],
        "datagen_config": dict(settings),
        "subtask_configs": {task.eef_names[0]: subtasks},
    }
    return head + OmegaConf.to_yaml({name: value for name, value in content.items() if value})


def _not_imported(content: Mapping[str, Any]) -> dict[str, str]:
    imported = {*_IMPORTED, *(f"experiment.generation.{name}" for name in _GENERATION)}
    set_fields = (place for place, value in _leaves(content) if value not in (None, [], {}))
    return {
        place: _COUNTERPARTS.get(place, "")
        for place in set_fields
        if place not in imported and not place.startswith("task.task_spec.")
    }


def _leaves(content: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if _is_tree(value):
            yield from _leaves(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value
