"""The task of docs/new_task.md, written to a folder, as users write theirs."""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/new_task.md"
TASK, SCENE = "my_tasks/pick_cube/task.py", "my_tasks/pick_cube/mujoco_scene.py"
YAML, OPERATOR = "my_tasks/task/pick_cube.yaml", "my_tasks/pick_cube/operator.py"


def files_of_the_page() -> dict[str, str]:
    """Path -> content of all blocks that follow the name of their file."""
    blocks = re.findall(r"^`(my_tasks/\S+)`\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def write_task(folder: Path, changes: Mapping[str, tuple[str, str]] | None = None) -> Path:
    """Write the task with mistakes: path -> (text, replacement). Return the folder for `--config-dir`."""
    for name, content in files_of_the_page().items():
        if changes is not None and name in changes:
            old, new = changes[name]
            assert old in content, f"{name}: {old}"
            content = content.replace(old, new)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "my_tasks"


def line_of(text: str, name: str, content: Mapping[str, str] | None = None) -> int:
    """Number of the first line of a file of the page that contains a text."""
    lines = (content or files_of_the_page())[name].splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
