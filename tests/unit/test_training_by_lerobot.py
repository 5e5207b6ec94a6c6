"""`algo=act` without lerobot, and fields that its training does not have; `tests/integration` has the training itself."""

import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing
from isaaclab_mimic_ext.learn.train import train_run
from isaaclab_mimic_ext.learn.training_by_lerobot import train_act
from tests import requires

requires.module("mujoco", "mujoco")


def configuration(folder: Path, *arguments: str):  # type: ignore[no-untyped-def]  # TrainCfg
    words = ["task=desktop_organizer", "algo=act", "input_file=demo.hdf5", f"output_dir={folder / 'policy'}"]
    return load_config("train", [*words, *arguments])


def test_missing_lerobot_is_one_sentence_and_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyMissing, match=r"^algo: act requires the lerobot library, which cannot"):
        train_act(configuration(tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["evaluate_every=1", "resume=true", "full_pass=true", "normalize_actions=none"])
def test_field_that_lerobots_training_does_not_have_is_refused(tmp_path: Path, field: str) -> None:
    name = field.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^{name}: has no effect with algo=act, which lerobot trains"):
        train_act(configuration(tmp_path, field))


def test_library_and_pipeline_name_the_command_that_trains_act(tmp_path: Path) -> None:
    from tests.train_files import make_train_file

    path = make_train_file(tmp_path / "demo.hdf5")
    cfg = configuration(tmp_path, f"input_file={path}")
    with pytest.raises(ConfigError, match="algo: act is trained by lerobot, only by the command `mimic train`"):
        train_run(cfg, None)  # type: ignore[arg-type]  # Refused before the monitor is used.
