"""`generate debug=true`: a small run with the settings of a large one, in a folder of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.run import generate
from isaaclab_mimic_ext.run.session import RunFolder
from tests.jobs import command
from tests.kinematic_sources import generate_cfg

FAILING = "subtask_configs.franka.1.action_noise=0.8"


def test_debug_run_is_small_and_leaves_the_large_run_alone(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(generate, "draw_run", lambda folder, *_: drawn.append(folder.path))
    caplog.set_level("INFO")
    cfg = generate_cfg(kinematic_source, tmp_path / "run", "num_envs=100", FAILING, "debug=true", "video=true")
    for _ in range(2):  # The second one replaces the first one.
        command("generate", replace(cfg, output_file=str(tmp_path / "demos.hdf5")))
    folder = RunFolder(tmp_path / "run_debug")
    assert not (tmp_path / "run").exists() and drawn == [folder.path] * 2
    assert "Debug run: 4 trials in 4 envs, in" in caplog.text and "Next, run all trials: mimic generate" in caplog.text
    assert "mimic report" in caplog.text and "train" not in caplog.text
    num_trials = folder.progress.read_text()
    assert '"trials": 4,' in num_trials and '"stop_reason": "target reached"' in num_trials
    assert folder.failed_demos.exists() and (tmp_path / "demos_debug.hdf5").exists()


@pytest.mark.parametrize("contents", [{"config.yaml": "debug: true\n"}, {"config.yaml": "debug: false\n", "run.sqlite": ""}])
def test_debug_run_does_not_replace_other_files(kinematic_source: Path, tmp_path: Path, contents: dict[str, str]) -> None:
    folder = tmp_path / "run_debug"
    folder.mkdir()
    for name, text in contents.items():
        (folder / name).write_text(text)
    with pytest.raises(OutputError, match=r"replaces only a debug run, which .*run_debug does not contain"):
        command("generate", generate_cfg(kinematic_source, tmp_path / "run", "debug=true", "overwrite=true"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == contents


def test_debug_run_without_video_names_the_folder_of_the_large_run(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def draw(*_: object) -> None:
        raise AssertionError("video=false must draw nothing")

    monkeypatch.setattr(generate, "draw_run", draw)
    caplog.set_level("INFO")
    command("generate", generate_cfg(kinematic_source, tmp_path / "run_debug", "debug=true", "num_envs=2"))
    assert RunFolder(tmp_path / "run_debug").store.exists()
    assert caplog.text.splitlines()[-1].endswith(f"mimic generate output_dir={tmp_path / 'run'}")
