"""Folders of the user's own tasks that files record, so that readers of a file find its task without `--config-dir`."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config.hydra import find_tasks_in
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.task.folders import available_tasks, task_dir, task_dirs

log = logging.getLogger(__name__)

KEY = "task_dirs"
"""Key of the folders in the env_args of a dataset, the facts of a run and the facts of a checkpoint."""


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
