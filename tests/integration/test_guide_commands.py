"""Commands of a guide for Isaac Lab on the embedded engine: only the paths of the scripts change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.errors import DependencyMissing
from isaaclab_mimic_ext.learn.robomimic import require_robomimic
from tests import guide_commands as guide
from tests import requires

requires.module("mujoco.batch", "mujoco")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("guide")
    env = mimic.make_env(mimic.load_task("desktop_organizer"), "mujoco")
    keys = guide.typed_keys(env, folder)
    env.close()
    logs = guide.run_until_split(guide.PYTHON, keys, folder)
    assert "Saved demo 2 of 2" in logs["record"]
    assert "Annotated 2 of 2 demos" in logs["annotate"]
    assert "Generated 2 successful demos" in logs["generate"]
    yield folder


def test_guides_commands_write_the_files_that_the_guide_names(folder: Path) -> None:
    names = {path.name for path in (folder / "datasets").iterdir()}
    files = {"desktop_organizer_raw.hdf5", "desktop_organizer_annotated.hdf5", "generated_dataset.hdf5"}
    assert names == files | {"generated_dataset"}


@pytest.mark.train
def test_guides_training_and_playing_run(folder: Path) -> None:
    with requires.available("train", DependencyMissing):
        require_robomimic()
    log = guide.run(guide.PYTHON, "train", guide.TRAIN, folder, "", "agent.experiment.epoch_every_n_steps=2")
    assert "renamed" not in log
    checkpoint = sorted((folder / "logs" / "robomimic").rglob("*.pth"))[0]
    log = guide.run(guide.PYTHON, "evaluate", guide.PLAY, folder, "", f"--checkpoint={checkpoint}", "--video=false")
    assert "MuJoCo" in log
