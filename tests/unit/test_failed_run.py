"""Files of a run that fails because of a mistake: none before a trial has ended, all afterwards."""

import subprocess
from pathlib import Path

import pytest
import torch

from isaaclab_mimic_ext.errors import TaskCodeError
from isaaclab_mimic_ext.learn import train
from isaaclab_mimic_ext.learn.training_folder import TrainFolder
from isaaclab_mimic_ext.run.build import start_env
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.session import RunFolder, open_run, opened_store
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests import requires
from tests.forked_scripts import run_script
from tests.kinematic_sources import generate_cfg


def fail_after(folder: RunFolder, num_trials: int, resume: bool = False) -> None:
    with pytest.raises(TaskCodeError), open_run(folder, {"seed": 1}, resume):
        folder.config.write_text("seed: 1")
        folder.log.write_text("")
        with opened_store(folder.store) as store:
            for trial in range(num_trials):
                store.add(trial, SUCCEEDED, 4)
            store.commit()
        raise TaskCodeError("task.py, line 9: 'success' must return a tensor")


def test_run_that_fails_before_a_trial_has_ended_leaves_nothing(tmp_path: Path) -> None:
    fail_after(RunFolder(tmp_path / "datasets" / "run"), 0)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_existed_before_a_failed_run_is_empty_again(tmp_path: Path) -> None:
    fail_after(RunFolder(tmp_path), 0)
    assert tmp_path.is_dir() and list(tmp_path.iterdir()) == []


def test_run_that_fails_after_a_trial_has_ended_can_be_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    fail_after(folder, 1)
    fail_after(folder, 0, resume=True)
    with open_run(folder, {"seed": 1}, resume=True) as session:
        assert session.outcomes([]).trials.tolist() == [0]


@pytest.mark.slow
def test_mistake_in_the_first_step_of_a_task_leaves_no_folder(kinematic_source: Path, tmp_path: Path) -> None:
    cfg = generate_cfg(kinematic_source, tmp_path / "run", "num_envs=2")
    env = start_env(cfg)

    def step(actions: torch.Tensor, env_ids: torch.Tensor) -> None:
        raise TaskCodeError("task.py, line 9: NameError: name 'plate' is not defined")

    env.step = step  # type: ignore[method-assign]
    with pytest.raises(TaskCodeError, match="'plate' is not defined"):
        generate_run(cfg, env=env)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", [False, True])
def test_training_that_fails_before_its_first_checkpoint_leaves_nothing(existing: bool, tmp_path: Path) -> None:
    folder = TrainFolder(tmp_path / "logs" / "policy")
    training = object.__new__(train._Training)
    training.folder = folder
    with pytest.raises(TaskCodeError), folder.created(training._has_checkpoint):
        folder.log.write_text("")
        if existing:
            folder.last.touch()
        raise TaskCodeError("task.py, line 9: 'success' must return a tensor")
    assert folder.last.exists() == existing and any(tmp_path.iterdir()) == existing


POLICY = """
import torch
from isaaclab_mimic_ext.errors import TaskCodeError

class Still:
    def __init__(self, request):
        self.request = request

    def reset(self, env_ids):
        pass

    def act(self, observations):
        if "broken" in str(self.request.checkpoint):
            raise TaskCodeError("task.py, line 9: name 'plate' is not defined")
        return torch.zeros(self.request.num_envs, self.request.action_dim)

def make(request):
    return Still(request)
"""
SHORT = (
    "sim=kinematic",
    "num_envs=1",
    "num_episodes=1",
    "horizon=5",
    "policy=still:make",
    "output_dir=out",
    "progress=false",
)


def evaluate_stills(folder: Path, *names: str, video: bool) -> subprocess.CompletedProcess[str]:
    (folder / "still.py").write_text(POLICY)
    for name in names:
        (folder / name).touch()
    words = (f"checkpoint=[{','.join(names)}]", f"video={str(video).lower()}")
    return run_script("evaluate", "task=desktop_organizer", *SHORT, *words, cwd=folder, packages=str(folder))


def test_evaluation_that_fails_in_its_first_episodes_leaves_no_folder(tmp_path: Path) -> None:
    done = evaluate_stills(tmp_path, "broken.pth", video=False)
    assert done.returncode == 2 and "'plate' is not defined" in done.stderr
    assert not (tmp_path / "out").exists()


def test_evaluation_that_fails_later_keeps_the_results_before(tmp_path: Path) -> None:
    done = evaluate_stills(tmp_path, "model_epoch_1.pth", "broken.pth", video=False)
    assert done.returncode == 2 and "model_epoch_1" in (tmp_path / "out/evaluation.json").read_text()


def test_failures_of_every_checkpoint_are_in_a_video(tmp_path: Path) -> None:
    done = evaluate_stills(tmp_path, "model_epoch_1.pth", "model_epoch_2.pth", video=True)
    assert done.returncode == 0, done.stderr
    if "was not drawn" in done.stderr:
        requires.missing("opengl", done.stderr)
    videos = sorted(path.name for path in (tmp_path / "out/videos").iterdir())
    assert videos == ["model_epoch_1_failures.mp4", "model_epoch_2_failures.mp4"]
