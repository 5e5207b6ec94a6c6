"""Outputs of commands in a checkout are ignored by git; files of users are not."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config.hydra import DATASETS_DIR, LOGS_DIR
from isaaclab_mimic_ext.files.writing import part_path
from tests import requires

pytestmark = requires.mark("git", shutil.which("git") is not None, "not found")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    shutil.copy(ROOT / ".gitignore", folder)
    return folder


def is_ignored(checkout: Path, path: str | Path) -> bool:
    return subprocess.run(["git", "check-ignore", "--quiet", str(path)], cwd=checkout).returncode == 0


def outputs_in(page: str) -> list[Path]:
    """Files and folders that the commands of a page write, with a name in each folder and the name of an unfinished file."""
    words = re.findall(r'\b(output_file|output_dir|picture_file|video_file)="?([\w/.-]+\w)', page)
    paths = [Path(value) / "demo.hdf5" if field == "output_dir" else Path(value) for field, value in words]
    return [*paths, *map(part_path, paths)]


def test_outputs_of_the_commands_in_the_readme_are_ignored(checkout: Path) -> None:
    outputs = outputs_in((ROOT / "README.md").read_text())
    assert len(outputs) > 5
    assert [str(path) for path in outputs if not is_ignored(checkout, path)] == []


@pytest.mark.parametrize("folder", [DATASETS_DIR, LOGS_DIR, "sweeps/action_noise", "multirun"])
def test_default_output_folders_are_ignored(checkout: Path, folder: str | Path) -> None:
    assert is_ignored(checkout, Path(folder) / "a" / "b")


@pytest.mark.parametrize(
    "path", ["my_tasks/task/cube.yaml", "my_tasks/cube/task.py", "tasks/cube/data/source_demos.hdf5", "runner.py"]
)
def test_files_of_user_tasks_are_not_ignored(checkout: Path, path: str) -> None:
    assert not is_ignored(checkout, path)
