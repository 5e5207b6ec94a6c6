"""The command lines that commands print, pasted in a different folder, and the task of a file without `--config-dir`."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.forked_scripts import run_mimic
from tests.integration.test_new_task_page import files_of_the_page

SMALLER = {
    "annotate": ["sim=kinematic"],
    "check": ["num_draws=10"],
    "generate": ["sim=kinematic", "num_envs=4", "num_trials=4", "video=false", "output_dir=run"],
    "split": ["ratio=0.5"],
    "train": ["epochs=1", "agent.algo.actor_layer_dims=[8]", "agent.experiment.epoch_every_n_steps=1", "output_dir=policy"],
    "evaluate": ["sim=kinematic", "num_envs=2", "num_episodes=2", "horizon=5", "video=false", "output_dir=evaluation"],
}
"""Overrides that make the commands cheaper; all others are pasted unchanged."""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Folder with a user's own task, in a place whose name needs quotes."""
    for name, content in files_of_the_page().items():
        path = tmp_path / "my files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "my files" / "my_tasks"


def hint_in(done: subprocess.CompletedProcess[str], start: str = "Next, ") -> list[str]:
    """Words of the command line in the line of the output that contains `start`."""
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if start in line)
    return shlex.split(line.split(start, 1)[1].partition(": ")[2])


def paste(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line that was printed."""
    program = words.index("isaaclab_mimic_ext") + 1
    assert os.path.basename(words[0]).startswith("python") and words[1:program] == ["-m", "isaaclab_mimic_ext"]
    verb, *arguments = words[program:]
    smaller = SMALLER.get(verb, [])
    kept = [word for word in arguments if word.partition("=")[0] not in {each.partition("=")[0] for each in smaller}]
    done = run_mimic(verb, *kept, *smaller, cwd=cwd)
    assert done.returncode == 0, (verb, done.stderr)
    return done


def without_config_dir(words: list[str]) -> list[str]:
    at = words.index("--config-dir")
    return words[:at] + words[at + 2 :]


@pytest.mark.slow
def test_printed_commands_lead_from_recording_to_evaluation_in_other_folders(tasks: Path, tmp_path: Path) -> None:
    """Only the first command has `--config-dir`: the files record the folder of the task."""
    first = ("--config-dir", "my_tasks", "task=pick_cube", "num_demos=4", "output_file=raw.hdf5", "sim=kinematic")
    done = run_mimic("record", *first, cwd=tasks.parent)
    assert done.returncode == 0, done.stderr
    words = hint_in(done)
    assert words[words.index("--config-dir") + 1] == str(tasks)
    words, verbs, report = without_config_dir(words), [], []
    for number in range(10):
        (folder := tmp_path / f"folder {number}").mkdir()
        done = paste(words, folder)
        verbs.append(words[3])
        if verbs[-1] == "generate":
            report = hint_in(done, "To see success by subtask")
        if verbs[-1] == "evaluate":
            break
        words = hint_in(done)
    assert verbs == ["annotate", "check", "generate", "split", "train", "evaluate"]
    page = paste(report, tmp_path)
    assert "4 trials, 0 failed" in page.stdout
    dataset = Path(report[-1].partition("=")[2].strip("'")) / "demo.hdf5"
    replayed = run_mimic("replay", f"input_file='{dataset}'", "num_demos=1", cwd=tmp_path)
    assert f"Using task 'pick_cube' in {tasks}" in replayed.stderr and "1 of 1 demo" in replayed.stdout
    shutil.move(tasks, tmp_path / "elsewhere")
    gone = run_mimic("replay", f"input_file='{dataset}'", cwd=tmp_path)
    expected = f"task 'pick_cube' was in {tasks} and is no longer there; give its present folder with --config-dir <folder>"
    assert gone.returncode == 2 and expected in gone.stderr
    gone = run_mimic("check", "task=pick_cube", f"input_file='{dataset}'", cwd=tmp_path)
    assert gone.returncode == 2 and expected in gone.stderr
    found = run_mimic("replay", "--config-dir", "elsewhere", f"input_file='{dataset}'", "num_demos=1", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
