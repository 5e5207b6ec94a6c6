"""Folders of the user's own tasks for a command whose files record them: then `--config-dir` may be left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config.recorded_task import missing_task, recorded_dirs
from isaaclab_mimic_ext.errors import MimicError


def find_config_dirs(words: Sequence[str], known: Sequence[Path]) -> list[Path]:
    """Return the folders that the files of a command line record, if none of the `known` folders has its task.

    Raises:
        SourceDataError: a file records folders of the task, but none of them has it any longer.
    """
    values = {name: value for name, _, value in (word.partition("=") for word in words)}
    task = values.get("task")
    if task is None or any(_has_task(folder, task) for folder in known):
        return []
    for field in ("input_file", "checkpoint"):
        folders = recorded_dirs(_facts(field, values[field])) if field in values else []
        if folders and not any(_has_task(folder, task) for folder in folders):
            raise missing_task(task, folders, values[field])
        if folders:
            return [folder for folder in folders if folder.is_dir()]
    return []


def _has_task(folder: Path, task: str) -> bool:
    return (folder / "task" / f"{task}.yaml").is_file()


def _facts(field: str, value: str) -> Mapping[str, Any]:
    """Return what a file records; empty if it cannot be read, which the command reports later."""
    try:
        if field == "input_file":
            from isaaclab_mimic_ext.files.stream import read_facts

            return read_facts(value.strip("'\"")).env_args
        from isaaclab_mimic_ext.learn.checkpoint import load_checkpoint
        from isaaclab_mimic_ext.learn.checkpoint_files import find_checkpoints

        first = value.strip("[]").split(",")[0].strip("'\"")
        return load_checkpoint(str(find_checkpoints(first)[0].path)).facts
    except MimicError:
        return {}
