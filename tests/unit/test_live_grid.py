"""Frames of all environments of a run, as bytes for the page."""

# n environments, B bodies that move

import threading
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.run.live_poses import LiveFrame
from isaaclab_mimic_ext.studio import live_grid
from isaaclab_mimic_ext.studio.live_grid import (
    HEAD,
    MAX_BYTES_PER_S,
    POS_UNIT,
    QUAT_UNIT,
    LiveGrid,
    encode_grid,
    used_envs,
)
from tests.processes import HANG_S


def frame(count: int) -> LiveFrame:
    numbers = np.arange(count, dtype=np.int32)
    return LiveFrame(numbers + 5, 2 * numbers, numbers % 2 == 0, {})


def test_frame_keeps_positions_to_a_tenth_of_a_millimeter_and_rotations_to_a_hundredth_of_a_degree() -> None:
    rng = np.random.default_rng(1)
    bodies = rng.uniform(-1, 1, (3, 4, 7)).astype(np.float32)
    bodies[..., 3:] /= np.linalg.norm(bodies[..., 3:], axis=-1, keepdims=True)
    encoded = encode_grid(9, frame(3), bodies)
    assert HEAD.unpack_from(encoded) == (9, 3, 4, 0)
    heads = np.frombuffer(encoded, "<i4", 9, HEAD.size).reshape(3, 3)
    assert heads.tolist() == [[5, 0, 1], [6, 2, 0], [7, 4, 1]]
    poses = np.frombuffer(encoded, "<i2", offset=HEAD.size + heads.nbytes).reshape(3, 4, 7)
    assert np.abs(poses[..., :3] * POS_UNIT - bodies[..., :3]).max() <= 1e-4
    assert np.abs(poses[..., 3:] * QUAT_UNIT - bodies[..., 3:]).max() <= 1e-4


def test_poses_that_are_not_finite_or_far_away_become_numbers() -> None:
    bodies = np.full((1, 2, 7), np.nan, dtype=np.float32)
    bodies[0, 1, :3] = (np.inf, -100.0, 100.0)
    poses = np.frombuffer(encode_grid(1, frame(1), bodies), "<i2", offset=HEAD.size + 12).reshape(2, 7)
    assert poses.tolist() == [[0] * 7, [32767, -32767, 32767, 0, 0, 0, 0]]


def test_environments_that_have_never_run_a_trial_are_not_shown() -> None:
    trials, steps = np.array([0, 1, 2, 0, 0], dtype=np.int32), np.zeros(5, dtype=np.int32)
    active = np.array([True, False, True, False, False])
    states = {"object": {"root_pose": np.arange(35.0).reshape(5, 7)}}
    shown = used_envs(LiveFrame(trials, steps, active, states))
    assert (len(shown.trials), len(shown.is_active), shown.states["object"]["root_pose"].shape) == (3, 3, (3, 7))
    assert len(used_envs(LiveFrame(trials[3:], steps[3:], active[3:], {})).trials) == 1, "a picture needs one environment"


def test_scene_that_cannot_be_drawn_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_grid, "_WAIT_S", 0.01)
    monkeypatch.setattr(live_grid, "_RETRY_S", 0.01)
    reports: list[str] = []
    enough = threading.Event()

    def fail() -> PosedScene:
        raise SimulatorUnavailable("mujoco: not installed")

    def report(is_live: bool, text: str) -> None:
        reports.append(text)
        if len(reports) == 2:
            enough.set()

    grid = LiveGrid(lambda: tmp_path, fail, lambda frame: None, report)
    grid.start()
    assert enough.wait(HANG_S), "the thread has not ended silently"
    grid.close()
    assert set(reports) == {"the scene of the task cannot be drawn (mujoco: not installed)"}
    assert len([each for each in caplog.records if each.exc_info]) == 1, "reported once in the terminal"


def test_100_environments_are_sent_at_least_10_times_per_second_within_300_kb() -> None:
    size = len(encode_grid(1, frame(100), np.zeros((100, 15, 7), dtype=np.float32)))
    assert MAX_BYTES_PER_S <= 300_000
    assert MAX_BYTES_PER_S / size >= 10
