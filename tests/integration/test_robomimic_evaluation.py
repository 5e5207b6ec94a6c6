"""Evaluations of policies from `scripts/train.py`; `make train-env` installs the requirements of these tests."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.errors import DependencyMissing
from isaaclab_mimic_ext.learn.robomimic import require_robomimic
from tests import requires
from tests.forked_scripts import message_of, run_script
from tests.train_files import make_train_file

pytestmark = pytest.mark.train

with requires.available("train", DependencyMissing):
    require_robomimic()

SMALL = ("agent.algo.actor_layer_dims=[32,32]", "agent.experiment.epoch_every_n_steps=4", "agent.train.batch_size=16")
FAST = ("sim=kinematic", "num_envs=4", "num_episodes=6", "horizon=20", "video=false")


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_script(script, *arguments, cwd=cwd, needs_robomimic=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a training of two epochs, with a checkpoint for each epoch."""
    folder = tmp_path_factory.mktemp("training")
    dataset = make_train_file(folder / "demo.hdf5")
    done = run("train", f"input_file={dataset}", "output_dir=run", "epochs=2", "save_every=1", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def evaluate(trained: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    done = run("evaluate", f"checkpoint={trained}", f"output_dir={folder}", *FAST, *arguments, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "evaluation.json").read_text())


def test_every_checkpoint_of_a_training_is_evaluated_and_reported_with_its_metadata(trained: Path, tmp_path: Path) -> None:
    found = evaluate(trained, tmp_path / "a")
    assert [checkpoint["epoch"] for checkpoint in found["checkpoints"]] == [1, 2]
    assert found["checkpoints"][0]["training"]["num_train_demos"] == 3
    assert all(checkpoint["num_episodes"] == 6 and checkpoint["reasons"] for checkpoint in found["checkpoints"])


def test_epoch_is_read_from_the_checkpoint_if_its_name_has_none(trained: Path, tmp_path: Path) -> None:
    found = evaluate(trained / "models/last.pth", tmp_path / "a")
    (checkpoint,) = found["checkpoints"]
    assert (checkpoint["name"], checkpoint["epoch"]) == ("last", 2)


def change_metadata(trained: Path, tmp_path: Path, **replaced: Any) -> Path:
    content = torch.load(trained / "models/model_epoch_1.pth", weights_only=True)
    content["isaaclab_mimic_ext"].update(replaced)
    path = tmp_path / "changed.pth"
    torch.save(content, path)
    return path


def test_checkpoint_for_a_different_task_is_refused_before_a_file_is_written(trained: Path, tmp_path: Path) -> None:
    path = change_metadata(trained, tmp_path, task="stack_cube")
    done = run("evaluate", "task=desktop_organizer", f"checkpoint={path}", "output_dir=a", *FAST, cwd=tmp_path)
    assert "trained for task 'stack_cube', not 'desktop_organizer'" in message_of(done)
    assert done.returncode == 2
    assert not (tmp_path / "a").exists()


def test_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_text("no checkpoint")
    done = run("evaluate", "checkpoint=model.pth", "output_dir=a", *FAST, cwd=tmp_path)
    assert "model.pth is not a file of torch.save" in message_of(done)
    assert done.returncode == 2
