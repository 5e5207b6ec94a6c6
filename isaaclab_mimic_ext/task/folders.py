"""Folders that contain tasks."""

import re
from pathlib import Path


def task_dirs() -> list[Path]:
    """Folders that contain tasks: `tasks/`, then those of `--config-dir`."""
    import isaaclab_mimic_ext.tasks as package

    return [Path(folder) for folder in package.__path__]


def task_dir(name: str) -> Path:
    """Folder of a task; it need not exist."""
    folders = [folder / name for folder in task_dirs()]
    return next((folder for folder in folders if (folder / "task.py").is_file()), folders[0])


def available_tasks() -> list[str]:
    """Names of the available tasks, sorted: folders with a `task.py`."""
    return sorted({path.parent.name for folder in task_dirs() for path in folder.glob("*/task.py")})


def own_task_hint() -> str:
    """Return the end of the message that a task is not found: how to name the folder of a user's own task."""
    given = task_dirs()[1:]
    for folder in given:
        if not folder.is_dir():
            return f"; --config-dir: folder '{folder}' not found"
        if not (folder / "task").is_dir():
            near = [each for each in (folder.parent, *sorted(folder.iterdir())) if (each / "task").is_dir()]
            hint = f"; did you mean --config-dir {near[0]}?" if near else ""
            return f"; --config-dir: folder '{folder}' has no folder 'task' with the task's .yaml file{hint}"
    folders = ", ".join(map(str, given))
    return f"; --config-dir: {folders} has no such task" if given else "; for your own task, use --config-dir <folder>"


def task_of_gym_id(gym_id: str) -> str | None:
    """Name of the included task whose Isaac Lab scene is registered under a gym id; None if there is none."""
    return next((name for name in available_tasks() if gym_id in gym_ids(name)), None)


def gym_ids(task_name: str) -> list[str]:
    """Gym ids that `<task>/isaaclab/__init__.py` registers, read from its source: importing it requires Isaac Lab."""
    module = task_dir(task_name) / "isaaclab" / "__init__.py"
    return sorted(set(re.findall(r'"(Isaac-[\w-]+-v\d+)"', module.read_text(encoding="utf-8")))) if module.is_file() else []
