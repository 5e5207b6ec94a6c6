"""Tasks that are registered with Isaac Lab: their configurations, and commands that are refused in one line."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.envs.isaaclab.make import import_registered
from isaaclab_mimic_ext.errors import ConfigError
from tests.forked_scripts import ROOT, run_script
from tests.isaaclab.conftest import NO_ASSETS
from tests.isaaclab.scenes import OVPHYSX

STOCK = "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"
VISUOMOTOR = "Isaac-Stack-Cube-Franka-IK-Rel-Visuomotor-Mimic-v0"
PINK = "Isaac-PickPlace-GR1T2-Abs-Mimic-v0"
SOURCE = f"input_file={ROOT / 'tasks/stack_cube/data/source_demos.hdf5'}"


def test_overrides_and_flags_replace_values_of_a_registered_task(tmp_path: Path) -> None:
    words = ["--task", STOCK, "--headless", "--device", "cpu", "--viz", "none", "num_envs=4", "input_file=a.hdf5"]
    words += ["physics=newton_mjwarp", "subtask_configs.franka.1.action_noise=0.01", "--cfg", "job", "--resolve"]
    done = run_script("generate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = OmegaConf.create(done.stdout)
    subtasks = config.subtask_configs.franka
    assert [subtask.object_ref for subtask in subtasks] == ["cube_2", "cube_1", "cube_3", "cube_2"]
    assert [subtask.subtask_term_signal for subtask in subtasks] == ["grasp_1", "stack_1", "grasp_2", None]
    assert [subtask.action_noise for subtask in subtasks] == [0.03, 0.01, 0.03, 0.03]
    assert (config.datagen_config.generation_num_trials, config.num_envs) == (10, 4)
    assert (list(config.sim.launcher_args), config.sim.physics) == (["--viz=none"], "newton_mjwarp")
    assert config.output_dir.startswith(f"datasets/{STOCK}/")


ORGANIZER = ["sim=isaaclab", "task=desktop_organizer"]
# fmt: off
REFUSED = [
    (["--task", STOCK, SOURCE, "subtask_configs.franka.0.actoin_noise=0"],
     r"^ConfigError: .*generate has no such field \(did you mean 'action_noise'\?\)"),
    (["--task", STOCK.replace("Rel", "Real"), SOURCE],
     f"^ConfigError: .* is not registered with Isaac Lab; choices: .*did you mean '{STOCK}'"),
    (["--task", "Isaac-Cartpole-v0", SOURCE],
     "^ConfigError: .* is not a Mimic configuration: datagen_config and subtask_configs not found"),
    (["--task", VISUOMOTOR, SOURCE],
     rf"^SimulatorUnavailable: task.id: '{VISUOMOTOR}' has RTX cameras, which require Isaac Sim, and Isaac Sim"),
    (["--task", PINK, SOURCE],
     rf"^SimulatorUnavailable: task.id: '{PINK}' requires a package that is not installed: .*pinocchio"),
    (["--task", STOCK, SOURCE],
     rf"^SimulatorUnavailable: task.id: '{STOCK}' requires assets that cannot be read from {NO_ASSETS}: .*franka_panda.usd"
     r".*blue_block.usd.* and \d more; connect to it, or set the environment variable ISAACSIM_ASSET_ROOT to a folder"),
    ([*ORGANIZER, "device=cuda:99"],
     r"^ConfigError: device: 'cuda:99' does not exist: this machine has .* CUDA devices?; use device=cpu"),
    ([*ORGANIZER, "--viz", "rerun"],
     r'^SimulatorUnavailable: sim.launcher_args: --viz=rerun requires rerun, .*; install with `pip install "isaaclab'),
    ([*ORGANIZER, "--viz", "nice"], r"^ConfigError: sim.launcher_args: .*nice"),
    ([*ORGANIZER, "physics=isaacsim_physx"], r"^SimulatorUnavailable: sim.physics: 'isaacsim_physx' requires Isaac Sim"),
    ([*ORGANIZER, "physics=newton_kamino"],
     r"^ConfigError: sim.physics: 'newton_kamino' is not a preset of '.*'; choices: .*newton_mjwarp"),
    ([*ORGANIZER, "renderer=nice"], r"^ConfigError: sim.renderer: 'nice' is not a preset of "),
    ([*ORGANIZER, "presets=rgb"], r"^ConfigError: sim.presets: 'rgb' is not a preset of "),
    (["sim=mujoco", "task=desktop_organizer"],
     r"^SimulatorUnavailable: mujoco: requires MuJoCo >= 3.17 .*in an environment without Isaac Lab 3.0$"),
]
# fmt: on


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words[-2:]) for words, _ in REFUSED])
def test_command_that_cannot_run_is_refused_in_one_line_and_writes_nothing(
    words: list[str], message: str, tmp_path: Path
) -> None:
    done = run_script("generate", *words, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if re.match(r"\w+: ", line)]
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())


def test_ids_of_release_2_3_are_found_under_their_new_names() -> None:
    assert import_registered("Isaac-Stack-Cube-Franka-IK-Rel-Skillgen-v0", OVPHYSX) == (
        "IsaacContrib-Stack-Cube-Franka-IK-Rel-Skillgen"
    )
    assert import_registered(STOCK, OVPHYSX) == STOCK


def test_launchers_parser_reports_invalid_flags() -> None:
    with pytest.raises(ConfigError, match="--livestream: requires a value"):
        translate(["--livestream"], GenerateCfg)
    assert translate(["--livestream", "2", "--xr"], GenerateCfg) == ["sim.launcher_args=['--livestream=2','--xr']"]


def test_flags_of_release_2_3_are_accepted() -> None:
    words = ["--headless", "--enable_cameras", "--rendering_mode", "quality", "--enable_pinocchio"]
    assert translate(words, GenerateCfg) == [
        "headless=true",
        "enable_cameras=true",
        "sim.launcher_args=['--rendering_mode=quality','--enable_pinocchio']",
    ]
