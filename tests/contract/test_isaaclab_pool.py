"""`SourcePool` compared with the real `DataGenInfoPool` of Isaac Lab 2.3: same boundaries and values of a file."""

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
    """Dataset of two demos, recorded and annotated here in the format of Isaac Lab 2.3, with start signals."""
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


def test_boundaries_poses_and_gripper_actions_equal_those_of_isaac_lab(isaaclab_process, task):
    boundaries, demos = isaaclab_process.call("trials", "pool", task.problem())
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
    """Compare boundaries of one end effector, (D, S, 2), with those of the pool."""
    ends = pool.subtask_ends[eef_id, :, :num_subtasks].numpy()
    starts = np.concatenate((np.zeros_like(ends[:, :1]), ends[:, :-1]), axis=1)
    if pool.subtask_starts is not None:
        starts = pool.subtask_starts[eef_id, :, :num_subtasks].numpy()
    np.testing.assert_array_equal(theirs, np.stack((starts, ends), axis=-1))


def task_of_three_subtasks(source: Path) -> Task:
    """Three subtasks related to one object; the signals `first` and `second` end the first two."""
    subtasks = [SubTaskConfig("mug", signal) for signal in ("first", "second", None)]
    return Task(source, {"franka": subtasks}, ("mug",), DataGenConfig(), [], {"franka": (0, 1)})


def demo_with(name: str = "demo_0", **signals: list[int]) -> SourceDemo:
    """Demo of 30 steps at rest; the value of each signal changes at the given steps."""
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


def subtask_ends_of_both(isaaclab_process, source: Path) -> tuple[list[int], list[int]]:
    task = task_of_three_subtasks(source)
    theirs = isaaclab_process.call("trials", "pool", task.problem())[0]["franka"][0]
    return [end for _, end in theirs], task.pool().subtask_ends[0, 0].tolist()


def test_subtasks_end_one_step_after_the_first_rise_of_their_signals_in_both(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[8, 12, 15], second=[20])])
    assert subtask_ends_of_both(isaaclab_process, source) == ([9, 21, 30], [9, 21, 30])


def test_signal_that_is_true_from_the_start_is_refused_where_isaac_lab_uses_its_fall(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[0, 5, 10], second=[20])])
    task = task_of_three_subtasks(source)
    theirs = isaaclab_process.call("trials", "pool", task.problem())[0]["franka"][0]
    assert theirs[0] == (0, 6)
    with pytest.raises(SourceDataError, match="signal 'first' is already true at step 0"):
        task.pool()


def test_rise_before_the_previous_end_is_skipped_where_isaac_lab_refuses_it(isaaclab_process, tmp_path):
    source = write_source(tmp_path / "demos.hdf5", [demo_with(first=[8], second=[3, 5, 20])])
    task = task_of_three_subtasks(source)
    assert task.pool().subtask_ends[0, 0].tolist() == [9, 21, 30]
    with pytest.raises(AssertionError, match="subtask termination signal is not increasing: 4 should be greater than 9"):
        isaaclab_process.call("trials", "pool", task.problem())


def test_more_actions_than_poses_are_refused_where_isaac_lab_accepts_them(isaaclab_process, tmp_path):
    demo = replace(demo_with(first=[8], second=[20]), actions=np.zeros((31, 1), np.float32))
    task = task_of_three_subtasks(write_source(tmp_path / "demos.hdf5", [demo]))
    assert isaaclab_process.call("trials", "pool", task.problem())[0]["franka"][0][-1] == (21, 31)
    with pytest.raises(SourceDataError, match="one row for each of the demo's 31 actions"):
        task.pool()


def test_demos_are_ordered_by_number_where_isaac_lab_orders_them_alphabetically(isaaclab_process, tmp_path):
    demos = [demo_with(f"demo_{number}", first=[8 + number], second=[25]) for number in range(11)]
    task = task_of_three_subtasks(write_source(tmp_path / "demos.hdf5", demos))
    theirs = isaaclab_process.call("trials", "pool", task.problem())[0]["franka"]
    ours = task.pool().subtask_ends[0, :, 0].tolist()
    assert ours == list(range(9, 20))
    assert [demo[0][1] for demo in theirs] == [ours[i] for i in (0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]
