"""The end of a recording of the studio, and of the studio, in the terminal."""

import logging
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands import studio
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import Interrupted, NotContinuable, RecorderError
from isaaclab_mimic_ext.run.live import UnsavedDemo
from isaaclab_mimic_ext.studio.device import Phase
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.kept_demos import read_kept_demos
from isaaclab_mimic_ext.studio.path_steps import PathFiles
from isaaclab_mimic_ext.studio.record_tab import Progress, RecordTab
from tests.kinematic_sources import make_kinematic_env

RAW = Path("session/raw.hdf5")


@pytest.fixture
def tab() -> RecordTab:
    tab = RecordTab(make_kinematic_env(1), cast(PosedScene, None), Progress(str(RAW), 10))
    tab._last_frame = b"frame"
    return tab


def recorded(tab: RecordTab, outcome: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether a signal has ended a recording with this outcome, the number of its demos or an error."""

    def record(*_: Any, **__: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return SimpleNamespace(num_demos=outcome)

    monkeypatch.setattr(studio, "record", record)
    cfg = load_config("studio", ["output_dir=session"])
    return studio._record(cfg, cast(MimicEnv, None), RAW, tab, StopRequest())


def test_end_of_a_recording_names_the_next_step_of_the_page(
    tab: RecordTab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert not recorded(tab, 0, monkeypatch)
    assert "Next" not in caplog.text
    assert not recorded(tab, 2, monkeypatch)
    assert "Next, mark the demos: tab Mark of the page." in caplog.text
    assert not any("mimic " in line for line in caplog.messages), "the page does this without a terminal"
    assert tab.device.reason == "2 demos are in session/raw.hdf5"


def test_recording_of_another_device_is_complete_and_leads_to_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    env, raw = make_kinematic_env(1), tmp_path / "raw.hdf5"
    mimic.record(env, raw, "scripted", num_demos=2)
    tab = RecordTab(env, PosedScene(env.task), Progress(str(raw), 10, read_kept_demos(raw, env.object_names)))
    tab.progress.can_continue = True
    cfg = load_config("studio", [f"output_dir={tmp_path}"])
    assert not studio._record(cfg, env, raw, tab, StopRequest())
    assert tab.device.phase is Phase.DONE
    text = f"2 demos are in {raw}. The page cannot add demos, because the file was recorded with teleop_device=scripted. "
    assert tab.device.reason == f"{text}To record here, start the studio with another output_dir"
    assert "Next, mark the demos" in caplog.text
    assert not tab.progress.can_continue
    steps = PathFiles(StudioFolder(tmp_path), "desktop_organizer").states(studio._recorded(tab), {})
    assert [(step.figure, step.is_next) for step in steps[:2]] == [("2 of 2 demos", False), ("", True)]
    raw.rename(tmp_path / "moved.hdf5")
    studio._show_complete(tab, raw, NotContinuable("output_file: raw.hdf5", "was started with other values", "use them"))
    assert tab.device.phase is Phase.FAILED
    remedy = "use the old values, or start the studio with another output_dir"
    assert tab.device.reason == f"the recording in {raw} was started with other values; {remedy}"


def test_recording_that_was_ended_stays_ended_and_can_be_continued(tmp_path: Path) -> None:
    env, raw = make_kinematic_env(1), tmp_path / "raw.hdf5"
    cfg = load_config("studio", [f"output_dir={tmp_path}"])
    mimic.record(env, raw, "scripted", num_demos=2, seed=cfg.datagen_config.seed, operator_name="browser")
    tab = RecordTab(env, PosedScene(env.task), Progress(str(raw), 10, read_kept_demos(raw, env.object_names)))
    tab.progress.can_continue = True
    assert not studio._begin(cfg, env, raw, tab, StopRequest())
    assert (tab.device.phase, tab.device.reason) == (Phase.DONE, f"2 demos are in {raw}")
    assert (tab.progress.num_wanted, tab.progress.can_continue) == (10, True), "the page offers to record the missing 8"


def test_demo_that_cannot_be_written_is_reported_on_the_page_and_in_the_terminal(
    tab: RecordTab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tab.device.unsaved = UnsavedDemo(1, ())
    recorded(tab, RecorderError("raw.hdf5 cannot be written: No space left on device"), monkeypatch)
    assert tab.device.phase is Phase.FAILED
    for text in (tab.device.reason, caplog.text):
        assert "No space left on device; the finished demo is not lost: 'Try again' makes its steps again" in text


def test_studio_without_a_running_recording_ends_without_an_error(tab: RecordTab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tab.device.set_phase(Phase.DONE, "2 demos are in session/raw.hdf5")
    studio._end(tab, StudioFolder(Path("session")), False, StopRequest())
    assert f"with 0 demos; continue with: mimic studio output_dir={Path('session').absolute()}" in caplog.text


def test_studio_ends_with_an_error_during_a_recording_and_after_a_failed_one(tab: RecordTab) -> None:
    folder, stop = StudioFolder(Path("session")), StopRequest()
    stop._note(signal.SIGINT, None)
    with pytest.raises(Interrupted, match="the studio has ended with 0 demos; continue with: ") as interrupted:
        studio._end(tab, folder, True, stop)
    assert interrupted.value.exit_code == 130
    tab.device.set_phase(Phase.FAILED, "raw.hdf5 cannot be written")
    with pytest.raises(RecorderError, match="cannot be written; the studio has ended with 0 demos; continue with: "):
        studio._end(tab, folder, False, StopRequest())
