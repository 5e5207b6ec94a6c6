"""Command lines with Hydra's overrides and Isaac Lab's flags: launch, configuration and end of the process.

Isaac Lab and Isaac Sim are stubs (`tests/isaaclab_standin`); tests replace the `main` of the command.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forked_scripts import ROOT, Ended, Scripts, open_scripts
from tests.isaaclab_standin import V2_2, write_isaaclab
from tests.own_task import write_task
from tests.processes import HANG_S

MIMIC = "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"
SOURCE = ROOT / "tasks/stack_cube/data/source_demos.hdf5"
SHOW = "print('CFG', json.dumps(dataclasses.asdict(cfg)), flush=True)"


@pytest.fixture(scope="module")
def isaaclab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_isaaclab(tmp_path_factory.mktemp("isaaclab") / "packages")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with open_scripts(tmp_path_factory.mktemp("scripts")) as opened:
        yield opened


def config_of(done: Ended) -> dict[str, Any]:
    """Configuration that `SHOW` printed."""
    assert done.exit_code == 0, done.stderr
    config: dict[str, Any] = json.loads(done.rest_of_line("CFG "))
    return config


def start(folder: Path, packages: Path, body: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `generate.py` in a separate process, with `body` as its `main`."""
    program = folder / "probe.py"
    program.write_text(
        "import os, sys, time, types\n"
        "from isaaclab_mimic_ext.commands.main import run_script\n"
        f"def main(cfg):\n    {body}\n"
        "app = types.ModuleType('isaaclab_mimic_ext.commands.generate'); app.main = main\n"
        "sys.modules[app.__name__] = app\n"
        "if __name__ == '__main__': run_script('generate')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(program), *arguments]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=folder, env=environment)


def test_launcher_flags_are_recorded_and_passed_to_the_launcher(scripts: Scripts, isaaclab: Path) -> None:
    words = [
        "sim=isaaclab",
        "--headless",
        "num_envs=3",
        "--device",
        "cpu",
        "--enable_cameras",
        "--rendering_mode",
        "quality",
    ]
    kit_args = "--ext-folder=/a b --x='1'"
    done = scripts.run(SHOW, *words, "--kit_args", kit_args, "--xr", "--verbose", "seed=3", packages=isaaclab)
    config = config_of(done)
    assert config["sim"]["launcher_args"] == ["--rendering_mode=quality", f"--kit_args={kit_args}", "--xr", "--verbose"]
    assert (config["headless"], config["device"], config["enable_cameras"], config["num_envs"]) == (True, "cpu", True, 3)
    given, flags = done.rest_of_line("STARTED WITH ").split(" FLAGS ")
    for part in (
        "'headless': True",
        "'device': 'cpu'",
        "'enable_cameras': True",
        "'rendering_mode': 'quality'",
        "'xr': True",
    ):
        assert part in given
    assert flags == "['--verbose']"


def test_embedded_engine_launches_nothing_and_warns_about_launcher_flags(scripts: Scripts, isaaclab: Path) -> None:
    done = scripts.run(SHOW, "sim=kinematic", "--xr", packages=isaaclab)
    assert done.exit_code == 0
    assert "STARTED" not in done.stdout
    assert "sim.launcher_args: ignored by engine 'kinematic' (got --xr)" in done.stderr


def test_auto_selects_mujoco_although_isaaclab_is_installed(scripts: Scripts, isaaclab: Path) -> None:
    done = scripts.run(SHOW, packages=isaaclab)
    assert (config_of(done)["sim"]["engine"], "STARTED" in done.stdout) == ("mujoco", False)
    assert "Running on MuJoCo (not started by `isaaclab -p`; not on a GPU: this machine has no CUDA device)" in done.stderr


@pytest.mark.parametrize(
    ("body", "exit_code", "word"),
    [
        ("raise BudgetExhausted('25 failures in a row')", 3, "BudgetExhausted: 25 failures in a row"),
        ("raise Interrupted('stopped', 15)", 143, "Interrupted: stopped"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("logging.getLogger('x').info('Saved 10 demos'); print('table')", 0, "Saved 10 demos"),
    ],
)
def test_exit_codes_and_last_messages_are_kept_with_isaac_sim(
    body: str, exit_code: int, word: str, scripts: Scripts, isaaclab: Path
) -> None:
    done = scripts.run(body, "sim=isaaclab", packages=isaaclab)
    assert done.exit_code == exit_code
    assert word in done.stderr
    assert ("CLOSED" in done.stdout) == (exit_code == 0)
    assert ("table" in done.stdout) == (exit_code == 0)


def test_sigterm_ends_the_process_by_the_signal_although_isaac_sim_would_exit_with_0(isaaclab: Path, tmp_path: Path) -> None:
    process = start(tmp_path, isaaclab, "print('RUNNING', flush=True); time.sleep(100000)", "sim=isaaclab")
    assert process.stdout is not None
    while "RUNNING" not in process.stdout.readline():
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=HANG_S)
    assert process.returncode == -signal.SIGTERM


def test_overrides_replace_values_of_the_registered_configuration(scripts: Scripts, isaaclab: Path) -> None:
    words = ["--task", MIMIC, f"input_file={SOURCE}", "subtask_configs.gripper.0.action_noise=0.01", "seed=7"]
    config = config_of(scripts.run(SHOW, *words, packages=isaaclab))
    assert config["task"] == {"name": "isaaclab", "id": MIMIC, "preset": "isaaclab"}
    assert config["sim"]["engine"] == "isaaclab"
    assert (config["datagen_config"]["seed"], config["datagen_config"]["generation_num_trials"]) == (7, 10)
    assert list(config["subtask_configs"]) == ["gripper"]
    first, last = config["subtask_configs"]["gripper"]
    assert (first["action_noise"], first["object_ref"], first["subtask_term_offset_range"]) == (0.01, "cube_2", [10, 20])
    assert (last["action_noise"], last["subtask_term_signal"]) == (0.03, None)
    assert config["output_dir"].startswith(f"datasets/{MIMIC}/")


def test_task_file_of_the_user_can_be_based_on_a_registered_task(scripts: Scripts, isaaclab: Path, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "user_task.yaml").write_text(
        f"# @package _global_\ndefaults: [isaaclab]\ntask: {{id: {MIMIC}}}\nall_subtasks: {{action_noise: 0.02}}\n"
    )
    done = scripts.run(SHOW, "--config-dir", str(tmp_path), "task=user_task", f"input_file={SOURCE}", packages=isaaclab)
    assert [subtask["action_noise"] for subtask in config_of(done)["subtask_configs"]["gripper"]] == [0.02, 0.02]
    assert config_of(done)["output_dir"].startswith("datasets/user_task/")


# fmt: off
IDS = (
    "Isaac-Coffee-Franka-Mimic-IK-Rel-v0, Isaac-Desktop-Organizer-Cluttered-Franka-Mimic-IK-Rel-v0, "
    "Isaac-Desktop-Organizer-Franka-Mimic-IK-Rel-v0, "
    f"Isaac-Endless-Mimic-v0, Isaac-Mug-Cleanup-Franka-Mimic-IK-Rel-v0, Isaac-Square-Peg-Franka-Mimic-IK-Rel-v0, "
    f"{MIMIC.replace('Rel', 'Abs')}, {MIMIC}, "
    "Isaac-Tabletop-Stack-Cube-Franka-Mimic-IK-Rel-v0, Isaac-Two-Arm-Lift-Tray-Franka-Mimic-IK-Rel-v0"
)
NO_ID = f"ConfigError: task.id: must be the gym id of a Mimic task (got no value); choices: {IDS}"
BAD_INPUT = [
    (["task=isaaclab", f"task.id={MIMIC}", "input_file=a", "subtask_configs.gripper.0.actoin_noise=0"],
     "ConfigError: subtask_configs.gripper.0.actoin_noise: generate has no such field (did you mean 'action_noise'?)"),
    (["task=isaaclab", f"task.id={MIMIC}", "input_file=a", "subtask_configs.gripper.0.action_noise=loud"],
     "TaskSpecError: subtask_configs.gripper.0 (grasp_1): action_noise must be a number >= 0, or a list with one "
     "number per pose entry of the action (got 'loud')"),
    (["task=isaaclab", f"task.id={MIMIC}"],
     "ConfigError: input_file: must be set, because a task registered with Isaac Lab has no source demos here; use "
     "input_file=<annotated source demos.hdf5>"),
    (["task=isaaclab"], NO_ID),
    (["task=isaaclab", "task.id="], NO_ID),
    (["--task", "Isaac-Stack-Cube-Frank-IK-Rel-Mimic-v0"],
     "ConfigError: task.id: 'Isaac-Stack-Cube-Frank-IK-Rel-Mimic-v0' is not registered with Isaac Lab; "
     f"choices: {IDS} (did you mean '{MIMIC}'?)"),
    (["--task", "Isaac-Cartpole-v0"],
     "ConfigError: task.id: CartpoleEnvCfg, the configuration of this environment, is not a Mimic configuration: "
     "datagen_config and subtask_configs not found; use an id whose configuration derives from "
     "isaaclab.envs.mimic_env_cfg.MimicEnvCfg (these ids contain 'Mimic' or 'Skillgen')"),
    (["--task", "Isaac-Endless-Mimic-v0"],
     "ConfigError: task.id: requires a task with a termination term 'success', by which trials are judged (got "
     "'Isaac-Endless-Mimic-v0'); add the term, or use another task"),
    (["--task", MIMIC, "sim=mujoco"],
     "ConfigError: sim.engine: must be isaaclab with task=isaaclab (got 'mujoco'); choices: isaaclab"),
    (["task.name=isaaclab", f"task.id={MIMIC}"],
     "ConfigError: task.name: must not be 'isaaclab'; use task=isaaclab, which reads a registered configuration"),
    (["--task", MIMIC, "device=cuda:99"],
     "ConfigError: device: 'cuda:99' does not exist: this machine has 0 CUDA devices; use device=cpu"),
    (["sim=isaaclab", "physics=newton_mjwarp"],
     "ConfigError: sim.physics: 'newton_mjwarp' requires Isaac Lab 3 (got 2.3); use sim.physics=default"),
    (["sim=isaaclab", "presets=rgb"], "ConfigError: sim.presets: requires Isaac Lab 3 (got 2.3); remove it"),
    (["sim=isaaclab", "--rendering_mode", "nice"],
     "ConfigError: sim.launcher_args: argument --rendering_mode: invalid choice: 'nice'"),
    (["--rendering_mod", "nice"], "ConfigError: --rendering_mod: generate has no such flag"),
    (["--livestream"], "ConfigError: --livestream: requires a value, e.g. --livestream <value>"),
]
# fmt: on


@pytest.mark.parametrize(("words", "message"), BAD_INPUT)
def test_invalid_input_is_reported_in_one_line(words: list[str], message: str, scripts: Scripts, isaaclab: Path) -> None:
    done = scripts.run(SHOW, *words, packages=isaaclab)
    assert done.message.startswith(message)
    assert done.exit_code == 2
    assert "CFG" not in done.stdout


def test_own_task_without_a_scene_for_isaaclab_is_refused(scripts: Scripts, isaaclab: Path, tmp_path: Path) -> None:
    words = ["--config-dir", str(write_task(tmp_path)), "task=pick_cube", "sim=isaaclab", f"input_file={SOURCE}"]
    done = scripts.run(SHOW, *words, packages=isaaclab)
    assert done.message.startswith(
        "SimulatorUnavailable: sim.engine: task 'pick_cube' has no scene for Isaac Lab (tasks/pick_cube/isaaclab/); use "
        "sim=mujoco"
    )
    assert done.exit_code == 2


NOT_INSTALLED = (
    "Isaac Lab is not installed in this Python; install it as described at https://isaac-sim.github.io/IsaacLab, or"
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sim=isaaclab"], f"SimulatorUnavailable: sim.engine: {NOT_INSTALLED} use sim=mujoco"),
        (["--task", MIMIC], f"SimulatorUnavailable: sim.engine: {NOT_INSTALLED} use sim=mujoco"),
        (
            ["sim=mujoco", "--viz", "none"],
            f"SimulatorUnavailable: --viz: a flag of Isaac Lab's launcher, which is not available: {NOT_INSTALLED} "
            "leave the flag out",
        ),
        (["sim.physics=newton"], f"SimulatorUnavailable: sim.engine: {NOT_INSTALLED} use sim=mujoco"),
    ],
)
def test_missing_isaaclab_is_reported_in_one_line(words: list[str], message: str, scripts: Scripts) -> None:
    done = scripts.run(SHOW, *words)
    assert done.message == message
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            V2_2,
            "is not a supported release (found extension 0.45.9); supported: 2.3 and 3.x; install one of them, or use",
        ),
        ("0.54.2", "Isaac Lab is installed without a simulator: requires Isaac Sim; install it"),
    ],
)
def test_isaaclab_that_cannot_run_is_refused_and_not_selected_by_auto(
    version: str, message: str, scripts: Scripts, tmp_path: Path
) -> None:
    packages = write_isaaclab(tmp_path / "packages", version, with_sim=False)
    done = scripts.run(SHOW, "sim=isaaclab", packages=packages)
    assert message in done.message
    assert done.exit_code == 2
    done = scripts.run(SHOW, packages=packages)
    assert config_of(done)["sim"]["engine"] == "mujoco"


def test_each_job_of_a_sweep_starts_isaac_sim_in_a_separate_process(isaaclab: Path, tmp_path: Path) -> None:
    body = "print('JOB', os.getpid(), cfg.datagen_config.seed, cfg.output_dir, flush=True)"
    words = ["--task", MIMIC, "seed=1,2", f"input_file={SOURCE}", "subtask_configs.gripper.0.action_noise=0.01"]
    process = start(tmp_path, isaaclab, body, "-m", *words)
    stdout, stderr = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, stderr
    jobs = [line.split()[1:] for line in stdout.splitlines() if line.startswith("JOB ")]
    assert [seed for _, seed, _ in jobs] == ["1", "2"]
    assert len({pid for pid, _, _ in jobs}) == 2
    assert [Path(folder).name for _, _, folder in jobs] == ["0", "1"]
    assert stdout.count("STARTED") == 2
