"""Command lines with the real Isaac Lab, on Newton without Isaac Sim: its stack task is read and checked."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import GenerateCfg, SimCfg
from isaaclab_mimic_ext.envs.factory import choose_engine
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from tests import requires
from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[2]
STOCK = "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"


def has_isaaclab() -> bool:
    """Return whether Isaac Lab is installed, can run, and has its tasks."""
    try:
        find_installation()
    except SimulatorUnavailable:
        return False
    return find_spec("isaaclab_tasks") is not None and find_spec("isaaclab_mimic") is not None


pytestmark = [
    pytest.mark.isaaclab,
    pytest.mark.slow,
    requires.mark("isaaclab", has_isaaclab(), "requires isaaclab_tasks, isaaclab_mimic and a simulator"),
]


def generate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=HANG_S)


def test_overrides_and_flags_replace_values_of_a_registered_task(tmp_path: Path) -> None:
    words = ["--task", STOCK, "--headless", "--device", "cpu", "--viz", "none", "num_envs=4", "input_file=a.hdf5"]
    done = generate(tmp_path, *words, "subtask_configs.franka.1.action_noise=0.01", "--cfg", "job", "--resolve")
    assert done.returncode == 0, done.stderr
    config = OmegaConf.create(done.stdout)
    subtasks = config.subtask_configs.franka
    assert [subtask.object_ref for subtask in subtasks] == ["cube_2", "cube_1", "cube_3", "cube_2"]
    assert [subtask.subtask_term_signal for subtask in subtasks] == ["grasp_1", "stack_1", "grasp_2", None]
    assert [subtask.action_noise for subtask in subtasks] == [0.03, 0.01, 0.03, 0.03]
    assert (config.datagen_config.generation_num_trials, config.num_envs) == (10, 4)
    assert list(config.sim.launcher_args) == ["--viz=none"]
    assert config.output_dir.startswith(f"datasets/{STOCK}/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--task", STOCK, "subtask_configs.franka.0.actoin_noise=0"],
            "generate has no such field (did you mean 'action_noise'?)",
        ),
        (["--task", STOCK.replace("Rel", "Real")], f"is not registered with Isaac Lab; choices: .*did you mean '{STOCK}'"),
        (["--task", "Isaac-Cartpole-v0"], "is not a Mimic configuration: datagen_config and subtask_configs not found"),
    ],
)
def test_invalid_input_is_reported_in_one_line_and_nothing_is_written(
    words: list[str], message: str, tmp_path: Path
) -> None:
    done = generate(tmp_path, *words, "--device", "cpu", "--headless", "input_file=a.hdf5")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ConfigError: ")]
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())


def test_launchers_parser_reports_invalid_flags() -> None:
    with pytest.raises(ConfigError, match="--livestream: requires a value"):
        translate(["--livestream"], GenerateCfg)
    assert translate(["--livestream", "2", "--xr"], GenerateCfg) == ["sim.launcher_args=['--livestream=2','--xr']"]


def test_auto_selects_isaaclab_for_tasks_with_a_scene_in_isaac_lab() -> None:
    assert choose_engine(SimCfg(), "desktop_organizer")[0] == "isaaclab"
    assert choose_engine(SimCfg(), "stack_cube") == ("mujoco", "the task has no scene for Isaac Lab")
