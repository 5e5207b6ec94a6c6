"""Scripts as a user starts them: messages about invalid command lines, exit codes, and flags of Hydra."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.forked_scripts import ROOT, message_of, run_script

# fmt: off
BAD_INPUT = [
    ("generate", ["num_env=3"], ["num_env: generate has no such field", "did you mean 'num_envs'?"]),
    ("generate", ["+num_env=3"], ["num_env: generate has no such field", "did you mean 'num_envs'?"]),
    ("generate", ["num_envs=abc"], ["num_envs: must be an integer (got 'abc')"]),
    ("generate", ["num_envs=0"], ["num_envs: must be >= 1 (got 0)"]),
    ("generate", ["num_envs=1.5"], ["num_envs: must be an integer (got 1.5)"]),
    ("generate", ["overwrite=maybe"], ["overwrite: must be true or false (got 'maybe')"]),
    ("generate", ["input_file=null"], ["input_file: must not be null; leave it out to keep its default"]),
    ("generate", ["output_dir=${foo}"], ["output_dir", "'foo'"]),
    ("generate", ["task=desktop_orgnizer"], ["'desktop_orgnizer' not found", "did you mean 'desktop_organizer'?"]),
    ("generate", ["--task", "desktop_orgnizer"], ["'desktop_orgnizer' not found", "desktop_organizer_wide"]),
    ("generate", ["task.name=foo"], ["task: 'foo' not found", "desktop_organizer"]),
    ("generate", ["sim=mujco"], ["sim", "'mujco' not found", "did you mean 'mujoco'?"]),
    ("generate", ["sim.engine=mujco"], ["sim.engine", "did you mean 'mujoco'?"]),
    ("generate", ["sim=isaaclab"], ["SimulatorUnavailable: sim.engine: Isaac Lab is not installed"]),
    ("generate", ["recorder.compression=gzp"], ["recorder.compression", "did you mean 'gzip'?"]),
    ("generate", ["datagen_config.seeds=1"], ["datagen_config.seeds", "did you mean 'seed'?"]),
    ("generate", ["datagen_config=3"], ["datagen_config: 3 is not a group of fields", "datagen_config.<field>=<value>"]),
    ("generate", ["seed=-1"], ["datagen_config.seed", "-1"]),
    ("generate", ["seed=1", "datagen_config.seed=2"], ["datagen_config.seed", "is set twice"]),
    ("generate", ["seed=1,2"], ["datagen_config.seed=1,2", "--multirun"]),
    ("generate", ["subtask_configs.franka.0.action_nois=0.1"],
     ["subtask_configs.franka.0.action_nois", "did you mean 'action_noise'?"]),
    ("generate", ["subtask_configs.franka.0.action_noise=loud"],
     ["subtask_configs.franka.0 (reach): action_noise must be a number >= 0, or a list", "got 'loud'"]),
    ("generate", ["sim=kinematic", "subtask_configs.franka.0.action_noise=[0.1,0.1]"],
     ["subtask_configs.franka.0.action_noise: must have one entry per pose entry", "6 in all (got 2)"]),
    ("generate",
     ["task_constraint_configs=[{constraint_type: sequential, eef_subtask_constraint_tuple: [[franka, 0], [left, 0]]}]"],
     ["task_constraint_configs.0", "end effector 'left' is not in subtask_configs", "franka"]),
    ("generate", ["subtask_configs.franka.9.action_noise=0.1"], ["subtask_configs.franka.9", "0, 1, 2, 3"]),
    ("generate", ["subtask_configs.frank.0.action_noise=0.1"], ["subtask_configs.frank", "did you mean 'franka'?"]),
    ("generate", ["subtask_configs.franka.2.object_ref=ketchop"],
     ["subtask_configs.franka.2 (lift)", "'ketchop'", "did you mean 'ketchup'?"]),
    ("generate", ["task.subtask_configs.franka.2.object_ref=ketchop"], ["subtask_configs.franka.2 (lift)", "'ketchop'"]),
    ("generate", ["subtask_configs.franka.0.selection_strategy=nearest"], ["selection_strategy 'nearest'", "random"]),
    ("generate", ["events.randomize_ketchop.pose_range.x=[0,1]"],
     ["'randomize_ketchop'", "did you mean 'randomize_ketchup'?"]),
    ("generate", ["events.randomize_ketchup.pose_range.x=[1,0]"], ["events.randomize_ketchup.pose_range.x", "[1.0, 0.0]"]),
    ("generate", ["events.randomize_ketchup.pose_range.x=0.1"],
     ["events.randomize_ketchup.pose_range.x: 0.1 is not a list", "pose_range.x=[<value>,<value>]"]),
    ("generate", ["events.randomize_ketchup.pose_range=0.1"], ["0.1 is not a mapping", "names: x, y, yaw"]),
    ("generate", ["device=cuda:99"], ["device", "'cuda:99'", "device=cpu"]),
    ("generate", ["foo"], ["'foo' is not an override"]),
    ("generate", ["num_envs=[1,"], ["'num_envs=[1,' is not an override"]),
    ("generate", ["--headles"], ["--headles", "did you mean '--headless'?"]),
    ("generate", ["--num_envs"], ["--num_envs", "requires a value"]),
    ("generate", ["--config-dir=/nope"], ["/nope"]),
    ("generate", ["--config-name=nope"], ["nope"]),
    ("generate", ["hydra.run.dir=/proc/nope"], ["hydra.run.dir"]),
    ("generate", ["input_file=nope.hdf5"], ["nope.hdf5"]),
    ("generate", ["input_file=copy (1).hdf5"], ["input_file: copy (1).hdf5: not found"]),
    ("generate", ["sim=kinematic", "subtask_configs.franka.0.subtask_term_offset_range=[3,60]"],
     ["source_demos.hdf5: demo_0, franka: subtask 'grasp'", "would then have no steps; narrow"]),
    ("generate", ["sim=kinematic", "subtask_configs.franka.0.subtask_term_signal=lift"],
     ["source_demos.hdf5: demo_0: signal 'grasp' never rises"]),
    ("record_demos", ["teleop_device=keybord"], ["teleop_device", "'keybord'", "scripted"]),
    ("record_demos", ["num_demos=0"], ["num_demos: must be >= 1 (got 0)"]),
    ("annotate_demos", ["auto=perhaps"], ["auto: must be true or false (got 'perhaps')"]),
    ("split_dataset", [], ["input_file", "must be set"]),
    ("split_dataset", ["input_file=a.hdf5", "ratio=1.5"], ["ratio: must be > 0 and < 1", "got 1.5"]),
    ("inspect_dataset", ["input_files=a.hdf5"], ["did you mean 'input_file'?"]),
]
# fmt: on


@pytest.mark.parametrize(("script", "arguments", "words"), BAD_INPUT)
def test_invalid_input_is_reported_in_one_line_with_exit_code_2(
    script: str, arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    done = run_script(script, *arguments, cwd=tmp_path)
    message = message_of(done)
    assert [word for word in words if word not in message] == [], message
    assert done.returncode == 2
    assert not list(tmp_path.rglob("*.hdf5"))


def test_composed_configuration_is_shown_with_every_override(tmp_path: Path) -> None:
    arguments = ["--headless", "--num_envs", "7", "seed=3", "subtask_configs.franka.0.num_fixed_steps=2", "sim=kinematic"]
    done = run_script("generate", "--cfg", "job", *arguments, cwd=tmp_path)
    assert done.returncode == 0
    for line in ("headless: true", "num_envs: 7", "seed: 3", "num_fixed_steps: 2", "engine: kinematic"):
        assert line in done.stdout


def test_wide_preset_widens_only_the_range_of_the_ketchup(tmp_path: Path) -> None:
    done = run_script("generate", "--cfg", "job", "task=desktop_organizer_wide", "--package", "events", cwd=tmp_path)
    assert done.stdout.count("0.15") == 4
    assert done.stdout.count("0.05") == 4


@pytest.mark.parametrize("script", ["generate", "record_demos", "annotate_demos", "split_dataset", "inspect_dataset"])
def test_help_lists_the_fields(script: str, tmp_path: Path) -> None:
    done = run_script(script, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(r"^  \w+_file = ", done.stdout, re.MULTILINE)


def test_user_task_is_checked_like_an_included_task(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [desktop_organizer]\ndatagen_config: {generation_num_trials: 5}\n"
    (tmp_path / "task" / "mine.yaml").write_text(text)
    done = run_script("generate", f"--config-dir={tmp_path}", "task=mine", "num_envs=0", cwd=tmp_path)
    assert done.returncode == 2
    assert "num_envs" in message_of(done)


def test_failing_job_sets_the_exit_code_of_a_sweep_without_ending_it(tmp_path: Path) -> None:
    done = run_script("generate", "-m", "num_envs=0,-1", cwd=tmp_path)
    assert done.returncode == 2
    assert "num_envs: must be >= 1 (got 0)" in done.stderr
    assert "num_envs: must be >= 1 (got -1)" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.glob("multirun/*/*/*")] == ["multirun.yaml"]  # No empty folders of jobs.


def probe(tmp_path: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `generate` with a replaced main."""
    return run_script("generate", *arguments, cwd=tmp_path, body=body)


@pytest.mark.parametrize(
    ("body", "exit_code", "word"),
    [
        ("raise BudgetExhausted('25 failures in a row')", 3, "BudgetExhausted: 25 failures in a row"),
        ("raise RecorderError('disk full')", 1, "RecorderError: disk full"),
        ("raise Interrupted('stopped', signal.SIGTERM)", 143, "Interrupted: stopped"),
        ("raise KeyboardInterrupt", 130, "Interrupted"),
    ],
)
def test_error_of_a_run_becomes_its_exit_code(body: str, exit_code: int, word: str, tmp_path: Path) -> None:
    done = probe(tmp_path, body)
    assert word in message_of(done)
    assert done.returncode == exit_code


def test_unexpected_error_keeps_its_traceback(tmp_path: Path) -> None:
    done = probe(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and "Traceback" in done.stderr


def test_defaults_are_the_included_source_demos_and_a_dated_folder_in_datasets(tmp_path: Path) -> None:
    done = probe(tmp_path, "print(json.dumps([cfg.input_file, cfg.output_dir]))")
    assert done.returncode == 0, done.stderr
    source, folder = json.loads(done.stdout.splitlines()[-1])
    assert source == str(ROOT / "tasks/desktop_organizer/data/source_demos.hdf5")
    assert re.fullmatch(r"datasets/desktop_organizer/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{3}", folder)


def test_each_job_of_a_sweep_has_its_own_folder(tmp_path: Path) -> None:
    done = probe(tmp_path, "print('folder', cfg.output_dir)", "-m", "seed=1,2,3")
    folders = {line for line in done.stdout.splitlines() if line.startswith("folder ")}
    assert done.returncode == 0, done.stderr
    assert len(folders) == 3
