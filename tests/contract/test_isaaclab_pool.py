"""Annotated files in the real `DataGenInfoPool` of Isaac Lab 2.3 and in ours: the same boundaries, the same numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.config.task import DataGenConfig
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError
from tests.contract.isaaclab_scenes import Task, write_source
from tests.contract.shipped_tasks import shipped_task
from tests.jobs import command

pytestmark = pytest.mark.isaaclab

SHIPPED = ("desktop_organizer", "desktop_organizer_cluttered", "stack_cube", "stack_cube_skillgen", "two_arm_lift_tray")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demos, recorded and annotated now, in the form of Isaac Lab 2.3; with start signals."""
    folder = tmp_path_factory.mktemp("recorded")
    raw, annotated = folder / "raw.hdf5", folder / "annotated.hdf5"
    common = ("sim=kinematic", "recorder.format_version=0")
    command("record", load_config("record_demos", [*common, "num_demos=2", f"output_file={raw}"]))
    files = (f"input_file={raw}", f"output_file={annotated}")
    command("annotate", load_config("annotate_demos", [*common, *files, "annotate_subtask_start_signals=true"]))
    return annotated


@pytest.fixture(params=[*SHIPPED, "just recorded", "just recorded, SkillGen"])
def task(request: pytest.FixtureRequest, recorded: Path) -> Task:
    if not request.param.startswith("just recorded"):
        return shipped_task(request.param)
    task = shipped_task("desktop_organizer", recorded)
    if request.param.endswith("SkillGen"):
        task.config = replace(task.config, use_skillgen=True)
        task.subtasks = {"franka": [replace(s, subtask_term_offset_range=(0, 0)) for s in task.subtasks["franka"]]}
    return task


def test_isaac_lab_finds_the_boundaries_poses_and_grippers_that_we_find(isaaclab_process, task):
    boundaries, demos = isaaclab_process.ask("trials", "pool", task.problem())
    pool = task.pool()
    assert len(demos) == pool.num_demos
    for e, (eef_name, configs) in enumerate(task.subtasks.items()):
        compare_boundaries(np.array(boundaries[eef_name]), pool, e, len(configs))
        for d, demo in enumerate(demos):
            length = int(pool.lengths[d])
            np.testing.assert_array_equal(demo["eef_pose"][eef_name], pool.eef_pose[e, d, :length])
            np.testing.assert_array_equal(demo["target_eef_pose"][eef_name], pool.target_eef_pose[e, d, :length])
            np.testing.assert_array_equal(demo["gripper"][eef_name], pool.gripper_action[e, d, :length])
    for d, demo in enumerate(demos):
        for o, name in enumerate(task.object_names):
            np.testing.assert_array_equal(demo["object_pose"][name], pool.object_pose[o, d, : int(pool.lengths[d])])


def compare_boundaries(theirs: np.ndarray, pool: SourcePool, eef_id: int, num_subtasks: int) -> None:
    """(D, S, 2) of an end effector against ours."""
    ends = pool.subtask_ends[eef_id, :, :num_subtasks].numpy()
    starts = np.concatenate((np.zeros_like(ends[:, :1]), ends[:, :-1]), axis=1)
    if pool.subtask_starts is not None:
        starts = pool.subtask_starts[eef_id, :, :num_subtasks].numpy()
    np.testing.assert_array_equal(theirs, np.stack((starts, ends), axis=-1))


def two_subtasks(source: Path) -> Task:
    """Two subtasks about one object, ended by the signals `first` and `second`, with another one after them."""
    subtasks = [SubTaskConfig("mug", signal) for signal in ("first", "second", None)]
    return Task(source, {"franka": subtasks}, ("mug",), DataGenConfig(), [], {"franka": (0, 1)})


def demo_with(name: str = "demo_0", **signals: list[int]) -> SourceDemo:
    """A demo of 30 steps at rest; signals change at the steps that are given."""
    poses = np.tile(np.eye(4, dtype=np.float32), (30, 1, 1))
    steps = np.arange(30)[:, None]
    return SourceDemo(
        name=name,
        actions=np.zeros((30, 1), np.float32),
        eef_pose={"franka": poses},
        target_eef_pose={"franka": poses},
        object_pose={"mug": poses},
        subtask_term_signals={key: (steps >= changes).sum(1) % 2 == 1 for key, changes in signals.items()},
    )


def ends_by_both(isaaclab_process, source: Path) -> tuple[list[int], list[int]]:
    task = two_subtasks(source)
    theirs = isaaclab_process.ask("trials", "pool", task.problem())[0]["franka"][0]
    return [end for _, end in theirs], task.pool().subtask_ends[0, 0].tolist()


def test_rises_after_each_other_end_the_subtasks_one_step_later_in_both(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[8, 12, 15], second=[20])])
    assert ends_by_both(isaaclab_process, source) == ([9, 21, 30], [9, 21, 30])


def test_isaac_lab_takes_a_fall_for_the_end_where_we_refuse_a_signal_that_is_true_from_the_start(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[0, 5, 10], second=[20])])
    task = two_subtasks(source)
    theirs = isaaclab_process.ask("trials", "pool", task.problem())[0]["franka"][0]
    assert theirs[0] == (0, 6)
    with pytest.raises(SourceDataError, match="signal 'first' is already true at step 0"):
        task.pool()


def test_isaac_lab_refuses_a_rise_before_the_previous_end_where_we_take_the_next_one(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[8], second=[3, 5, 20])])
    task = two_subtasks(source)
    assert task.pool().subtask_ends[0, 0].tolist() == [9, 21, 30]
    with pytest.raises(AssertionError, match="subtask termination signal is not increasing: 4 should be greater than 9"):
        isaaclab_process.ask("trials", "pool", task.problem())


def test_isaac_lab_takes_more_actions_than_poses_where_we_refuse_them(isaaclab_process, tmp_path):
    demo = replace(demo_with(first=[8], second=[20]), actions=np.zeros((31, 1), np.float32))
    task = two_subtasks(write_source(tmp_path / "demos.hdf5", [demo]))
    assert isaaclab_process.ask("trials", "pool", task.problem())[0]["franka"][0][-1] == (21, 31)
    with pytest.raises(SourceDataError, match="demo has 31 actions"):
        task.pool()


def test_isaac_lab_numbers_demos_in_the_order_of_the_alphabet_where_ours_is_that_of_their_numbers(
    isaaclab_process, tmp_path
):
    demos = [demo_with(f"demo_{number}", first=[8 + number], second=[25]) for number in range(11)]
    task = two_subtasks(write_source(tmp_path / "demos.hdf5", demos))
    theirs = isaaclab_process.ask("trials", "pool", task.problem())[0]["franka"]
    ours = task.pool().subtask_ends[0, :, 0].tolist()
    assert ours == list(range(9, 20))
    assert [demo[0][1] for demo in theirs] == [ours[i] for i in (0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]
