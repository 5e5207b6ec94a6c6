"""Pauses of demos: their places and lengths, and the note on them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.checks.examine import check_demos
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.datasets.pauses import dataset_pauses
from isaaclab_mimic_ext.demos.pauses import AT_START, BETWEEN, Pause, find_pauses, pauses_text, summarize_pauses

STEP_DT = 0.05
TASKS = Path(__file__).resolve().parents[2] / "tasks"
SOURCES = TASKS / "desktop_organizer/data/source_demos.hdf5"


def targets(*spans: tuple[int, float]) -> dict[str, np.ndarray]:
    """Poses of a hand that moves for numbers of steps at speeds [m/s]."""
    speeds = np.repeat([speed for _, speed in spans], [steps for steps, _ in spans])
    poses = np.tile(np.eye(4), (len(speeds), 1, 1))
    poses[:, 0, 3] = np.cumsum(speeds * STEP_DT)
    return {"franka": poses}


def grippers(num_steps: int, *changes: int) -> dict[str, np.ndarray]:
    """Gripper commands that begin open and change at these steps."""
    actions = np.ones((num_steps, 1))
    for step in changes:
        actions[step:] *= -1
    return {"franka": actions}


def test_pauses_are_found_at_the_start_around_gripper_changes_and_between_motions() -> None:
    poses = targets((4, 0.0), (10, 0.2), (9, 0.0), (10, 0.2), (5, 0.0), (10, 0.2), (3, 0.0), (10, 0.2), (8, 0.0))
    assert find_pauses(poses, grippers(69, 20, 48), STEP_DT) == [
        Pause(AT_START, 0, 4),
        Pause("before the gripper closes", 14, 6),
        Pause("after the gripper closes", 20, 3),
        Pause(BETWEEN, 33, 5),
        Pause("after the gripper opens", 48, 3),
    ]


def test_pause_that_ends_with_a_gripper_change_in_motion_is_before_it() -> None:
    poses = targets((5, 0.2), (4, 0.0), (5, 0.2))
    assert find_pauses(poses, grippers(14, 9), STEP_DT) == [Pause("before the gripper closes", 5, 4)]


def test_a_turning_hand_does_not_pause() -> None:
    poses = targets((20, 0.0))
    angles = 0.02 * np.arange(20)
    poses["franka"][:, 0, 0] = poses["franka"][:, 1, 1] = np.cos(angles)
    poses["franka"][:, 1, 0], poses["franka"][:, 0, 1] = np.sin(angles), -np.sin(angles)
    assert find_pauses(poses, grippers(20), STEP_DT) == []


def test_a_hand_that_waits_for_a_moving_hand_does_not_pause() -> None:
    poses = {"left": targets((5, 0.2), (15, 0.0))["franka"], "right": targets((15, 0.2), (5, 0.2))["franka"]}
    gripper = grippers(20)["franka"]
    assert find_pauses(poses, {"left": gripper, "right": gripper}, STEP_DT) == []


def test_summary_counts_the_longest_pause_of_each_demo() -> None:
    first = [Pause(BETWEEN, 10, 3), Pause(BETWEEN, 30, 6)]
    (summary,) = summarize_pauses([first, [Pause(BETWEEN, 40, 8)], []])
    assert (summary.num_steps, summary.longest, summary.first) == (7, 8, 35)
    assert (summary.num_demos, summary.num_examined, summary.is_common) == (2, 3, True)
    assert pauses_text([summary]) == (
        "the hand rests between two motions (7 steps, in 2): medians of 3 demos, at most 8 steps"
    )


def test_check_notes_the_pauses_of_the_included_operator_and_the_demos_stay_ready() -> None:
    report = check_demos(SOURCES, load_task("desktop_organizer"), num_draws=10)
    (note,) = [finding for finding in report.findings if finding.check == "pauses"]
    assert note.level == "note" and report.is_healthy
    assert "before the gripper closes (13)" in note.found and "algo=bc_chunk" in note.remedy


def with_noise(path: Path, noise: float) -> Path:
    """Source demos as generation writes them: `actions_clean`, noise in `actions`, and no annotations."""
    rng = np.random.default_rng(0)
    with h5py.File(SOURCES) as sources, h5py.File(path, "w") as file:
        sources.copy("data", file)
        for demo in file["data"].values():
            del demo["obs/datagen_info"]
            demo["actions_clean"] = demo["actions"][()]
            demo["actions"][...] += noise * rng.standard_normal(demo["actions"].shape).astype(np.float32)
    return path


def test_pauses_of_a_dataset_are_those_of_its_actions_without_noise(tmp_path: Path) -> None:
    arms = load_task("desktop_organizer").arms
    names = [f"demo_{index}" for index in range(10)]
    summaries = {each.place: each for each in dataset_pauses(with_noise(tmp_path / "demo.hdf5", 0.2), names, arms)}
    assert summaries["before the gripper closes"].num_steps == 13
    assert summaries["before the gripper closes"].num_demos == 10
    assert summaries["after the gripper opens"].num_steps == pytest.approx(11, abs=1)


def test_pauses_of_a_dataset_with_other_actions_are_unknown(tmp_path: Path) -> None:
    path = with_noise(tmp_path / "demo.hdf5", 0.0)
    assert dataset_pauses(path, ["demo_0"], load_task("two_arm_lift_tray").arms) == []
