"""The task of docs/new_task.md, built from the page and run with its commands, outside of the package."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import h5py
import pytest

from tests import requires
from tests.forked_scripts import run_mimic
from tests.own_task import PAGE, files_of_the_page, write_task

MOST_LINES = 100
BEFORE_TRAINING = ("record", "annotate", "check", "generate")
TRAINING = ("generate", "split", "train", "evaluate")
SHORTER = {
    "record": ["num_demos=4"],
    "generate": ["num_trials=4", "num_envs=4", "video=false", "progress=false", "sim.num_threads=1"],
    "pipeline": [
        "num_sources=4",
        "num_demos=4",
        "num_envs=4",
        "epochs=1",
        "num_episodes=4",
        "output_dir=out",
        "train=['agent.algo.actor_layer_dims=[8,8]']",
        "generate=['video=false']",
        "evaluate=['video=false','horizon=5']",
    ],
    "split": ["ratio=0.5"],
    "train": ["epochs=1", "agent.algo.actor_layer_dims=[8,8]", "agent.experiment.epoch_every_n_steps=2"],
    "evaluate": ["num_envs=4", "num_episodes=4", "horizon=5", "video=false"],
}
"""Overrides of the commands on the page that make the test cheaper."""


def commands_of_the_page() -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    program, verb, *arguments = command
    assert program == "mimic"
    changed = {override.split("=")[0] for override in SHORTER.get(verb, [])}
    kept = [argument for argument in arguments if argument.split("=")[0] not in changed]
    return run_mimic(verb, *kept, *SHORTER.get(verb, []), cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_task(tmp_path)
    return tmp_path


def test_page_contains_a_complete_task_in_less_than_100_lines() -> None:
    files = files_of_the_page()
    names = {Path(name).name for name in files}
    assert names == {"task.py", "mujoco_scene.py", "operator.py", "pick_cube.yaml"}
    assert sum(len(content.splitlines()) for content in files.values()) < MOST_LINES


def test_task_of_the_page_records_annotates_checks_generates_and_replays(folder: Path) -> None:
    commands = commands_of_the_page()
    assert [command[1] for command in commands] == [*BEFORE_TRAINING, *TRAINING, "pipeline"]
    for command in commands[: len(BEFORE_TRAINING)]:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command[1] == "check":
            assert "0 errors" in done.stdout
    assert (folder / "demos.png").stat().st_size > 10_000
    stats = json.loads((folder / "run/important_stats.json").read_text())
    with h5py.File(folder / "run/demo.hdf5") as file:
        assert len(file["data"]) == 4
        assert json.loads(file["data"].attrs["env_args"])["engine"] == "mujoco"
    assert stats["success_rate"] >= 50, stats  # per cent
    replay = ["mimic", "replay", "--config-dir", "my_tasks", "input_file=raw.hdf5", "num_demos=2"]
    assert run(replay, folder).returncode == 0


@pytest.mark.train
def test_task_of_the_page_trains_a_policy_without_an_agent(folder: Path) -> None:
    requires.module("robomimic", "train")
    commands = commands_of_the_page()
    for command in [*commands[:2], *commands[len(BEFORE_TRAINING) : -1]]:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    settings = json.loads((folder / "policy/config.json").read_text())
    assert settings["algo_name"] == "bc_chunk"
    assert "cube_pos" in settings["observation"]["modalities"]["obs"]["low_dim"]


@pytest.mark.train
def test_task_of_the_page_runs_in_the_pipeline(folder: Path) -> None:
    requires.module("robomimic", "train")
    done = run(commands_of_the_page()[-1], folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "pick_cube" in (folder / "out/report.html").read_text()
    assert json.loads((folder / "out/evaluation/evaluation.json").read_text())["task"] == "pick_cube"


def test_user_task_without_its_folder_is_refused_with_the_remedy(folder: Path) -> None:
    words = ["mimic", "generate", "task.name=pick_cube", "output_dir=run"]
    done = run(words, folder)
    assert done.returncode == 2
    assert "task: 'pick_cube' not found" in done.stderr and "--config-dir <folder>" in done.stderr
