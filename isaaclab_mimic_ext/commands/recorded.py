"""The task of a command from the files that it reads: then `task=` and `--config-dir` may be left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import quoted, unquoted
from isaaclab_mimic_ext.commands.overrides import selected_engines
from isaaclab_mimic_ext.commands.text_values import split_items
from isaaclab_mimic_ext.config import AnnotateDemosCfg, RecordDemosCfg
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.config.recorded_task import missing_task, recorded_dirs, recorded_preset
from isaaclab_mimic_ext.envs.isaaclab.installation import can_run
from isaaclab_mimic_ext.errors import MimicError, SourceDataError

_FIELDS = ("checkpoint", "input_file")
"""Fields whose files record their task, the decisive one first."""
_OF_RECORDING = {"datagen_config.seed": "seed", "teleop_device": "teleop_device"}
"""Field of a recording -> its name in the facts of the recording."""
_TASK = re.compile(r"\+{0,2}task(\.\w+)?=")
"""Start of an override that selects a task."""


def task_of_files(words: Sequence[str], schema: type) -> tuple[list[str], str]:
    """Return the overrides of the task that the files of a command line record, and the file.

    `annotate` replays demos, so it also gets the engine Isaac Lab, if the demos were recorded there and Isaac Lab can run.
    Both are empty if the command has no task, the command line selects one, or no file records one.
    """
    names = {field.name for field in fields(schema)}
    if "task" not in names or any(_TASK.match(word) for word in words):
        return [], ""
    values = _values(words)
    for field in _FIELDS:
        if field in names and field in values and (preset := recorded_preset(_facts(field, values[field]))) is not None:
            engine = _engine_of_file(words, schema, field, values[field])
            return [f"task={quoted(preset)}", *engine], unquoted(values[field])
    return [], ""


def words_of_recording(words: Sequence[str], schema: type) -> list[str]:
    """Return the overrides with which the recording in `output_file` was started, except for fields that the words set.

    These are its task, engine, operator and seed. Empty if the words do not resume a recording, or if there is none.
    """
    values = _values(words)
    if schema is not RecordDemosCfg or values.get("resume") != "true" or "output_file" not in values:
        return []
    facts = _facts("output_file", values["output_file"])
    preset, engine = recorded_preset(facts), str(facts.get("engine"))
    found: dict[str, Any] = {} if preset is None or any(_TASK.match(word) for word in words) else {"task": preset}
    is_engine = (conf_dir() / "sim" / f"{engine}.yaml").is_file()
    if is_engine and not selected_engines(words) and (engine != "isaaclab" or can_run()):
        found["sim"] = engine
    found |= {name: facts[key] for name, key in _OF_RECORDING.items() if key in facts and name not in values}
    return [f"{name}={quoted(value) if isinstance(value, str) else value}" for name, value in found.items()]


def _engine_of_file(words: Sequence[str], schema: type, field: str, path: str) -> list[str]:
    is_replayed_there = schema is AnnotateDemosCfg and _facts(field, path).get("engine") == "isaaclab"
    return ["sim=isaaclab"] if is_replayed_there and not selected_engines(words) and can_run() else []


def find_config_dirs(words: Sequence[str], known: Sequence[Path]) -> list[Path]:
    """Return the folders that the files of a command line record, if none of the `known` folders has its task.

    Raises:
        SourceDataError: a file records folders of the task, but none of them has it any longer; or it records no folder,
            and the task is not in the known folders.
    """
    values = _values(words)
    task = values.get("task")
    if task is None or any(_has_task(folder, task) for folder in known):
        return []
    for field in (*_FIELDS, *(("output_file",) if values.get("resume") == "true" else ())):
        facts = _facts(field, values[field]) if field in values else {}
        folders = recorded_dirs(facts)
        if not folders and recorded_preset(facts) == task:
            remedy = f"give the folder that contains task/{task}.yaml with --config-dir <folder>"
            raise SourceDataError(f"{values[field]}: was recorded for task '{task}', which is not found; {remedy}")
        if folders and not any(_has_task(folder, task) for folder in folders):
            raise missing_task(task, folders, values[field])
        if folders:
            return [folder for folder in folders if folder.is_dir()]
    return []


def _values(words: Sequence[str]) -> dict[str, str]:
    given = {name.lstrip("+"): value for name, _, value in (word.partition("=") for word in words)}
    return {name: unquoted(value) if name == "task" else value for name, value in given.items()}


def _has_task(folder: Path, task: str) -> bool:
    return (folder / "task" / f"{task}.yaml").is_file()


def _facts(field: str, value: str) -> Mapping[str, Any]:
    """Return what a file records; empty if it cannot be read, which the command reports later."""
    try:
        if field == "output_file":
            from isaaclab_mimic_ext.run.recording import recorded_facts

            return recorded_facts(Path(unquoted(value)))
        if field == "input_file":
            from isaaclab_mimic_ext.files.stream import read_env_args

            return read_env_args(unquoted(value))
        from isaaclab_mimic_ext.learn.checkpoint import load_checkpoint
        from isaaclab_mimic_ext.learn.checkpoint_files import find_checkpoints

        first = unquoted(split_items(value.removeprefix("[").removesuffix("]"))[0].strip())
        checkpoint = load_checkpoint(str(find_checkpoints(first)[0].path))
        return {**checkpoint.content["env_metadata"], **checkpoint.facts}
    except MimicError:
        return {}
