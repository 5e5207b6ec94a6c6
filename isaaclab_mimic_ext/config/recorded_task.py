"""Task of a file: its name and preset, and the folders of the user's own tasks, so that readers find it without options."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config.hydra import find_tasks_in
from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.errors import SourceDataError

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.folders import available_tasks, task_dir, task_dirs

log = logging.getLogger(__name__)

KEY = "task_dirs"
"""Key of the folders in the env_args of a dataset, the facts of a run and the facts of a checkpoint."""


_PRESET = "preset"
"""Key of the preset in the env_args of a dataset and the facts of a checkpoint; it is left out if it is the task's name."""


def own_preset(task_name: str, preset: str | None) -> dict[str, str]:
    """Entry with the preset of a task; empty if the preset has the name of the task."""
    return {} if preset in (None, task_name) else {_PRESET: str(preset)}


def recorded_task(facts: Mapping[str, Any]) -> str | None:
    """Name of the task that a file of this package records; None for files of other programs and registered tasks.

    Args:
        facts: env_args of a dataset, or facts of a checkpoint.
    """
    name = facts.get("task", facts.get("env_name"))
    is_ours = "engine" in facts and isinstance(name, str) and GYM_ID.fullmatch(name) is None
    return name if is_ours else None


def recorded_preset(facts: Mapping[str, Any]) -> str | None:
    """Preset that a file records: the value of `task=` that composes its configuration; None as for `recorded_task`."""
    task, preset = recorded_task(facts), facts.get(_PRESET)
    return preset if task is not None and isinstance(preset, str) else task


def check_recorded_task(path: str | Path, env_args: Mapping[str, Any], task: "Task") -> None:
    """Check that a dataset was recorded for a task, or for one whose scene has all of its objects and end effectors.

    Args:
        path: the dataset, for messages.
        env_args: its env_args.

    Raises:
        SourceDataError: the dataset was recorded for a different task.
    """
    recorded = recorded_task(env_args)
    if recorded in (None, task.name):
        return
    scene = {*env_args.get("object_names", ()), *env_args.get("eef_names", ())}
    if not scene >= {*task.object_names, *task.eef_names}:
        raise SourceDataError(different_task(path, str(recorded_preset(env_args)), task.name))


def different_task(place: str | Path, recorded: str, wanted: str) -> str:
    """Message about a file of a different task than the one that is used."""
    return f"{place}: was recorded for task '{recorded}', not '{wanted}'; use task={recorded}, or a file of '{wanted}'"


def own_dirs(task_name: str) -> dict[str, list[str]]:
    """Entry with the user's folders that a task depends on, absolute; empty for a task of this package."""
    folder = task_dir(task_name).parent
    of_task = [folder] if folder in task_dirs()[1:] else []
    folders = dict.fromkeys(str(path.resolve()) for path in (*program.config_dirs, *of_task))
    return {KEY: [*folders]} if folders else {}


def recorded_dirs(facts: Mapping[str, Any]) -> list[Path]:
    """Return the folders in the entry that `own_dirs` made; empty if there is none."""
    found = facts.get(KEY)
    return [Path(folder) for folder in found if isinstance(folder, str)] if isinstance(found, list) else []


def find_recorded_task(task_name: str, facts: Mapping[str, Any], place: str | Path) -> None:
    """Make the task of a file available from the folders that the file records.

    Args:
        task_name: name of the task.
        facts: mapping with the entry of `own_dirs`.
        place: the file, for messages.

    Raises:
        SourceDataError: the folders no longer contain the task.
    """
    folders = recorded_dirs(facts)
    if task_name in available_tasks() or not folders:
        return
    for folder in folders:
        if (folder / task_name / "task.py").is_file():
            log.info("Using task '%s' in %s, as recorded in %s", task_name, folder, place)
            find_tasks_in(folder)
            return
    raise missing_task(task_name, folders, place)


def missing_task(task_name: str, folders: Iterable[Path], place: str | Path) -> SourceDataError:
    """Error for a task that is no longer in the folders that a file records."""
    places = " and ".join(str(folder) for folder in folders)
    return SourceDataError(
        f"{place}: task '{task_name}' was in {places} and is no longer there; give its present folder with --config-dir "
        "<folder>"
    )
