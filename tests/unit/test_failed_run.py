"""Files of a run that fails because of a mistake: none before a trial has ended, all afterwards."""

from pathlib import Path

import pytest
import torch

from isaaclab_mimic_ext.errors import TaskCodeError
from isaaclab_mimic_ext.run.build import start_env
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.session import RunFolder, open_run, opened_store
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
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
