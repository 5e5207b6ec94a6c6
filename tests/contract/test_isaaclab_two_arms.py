"""Several end effectors compared with Isaac Lab 2.3: equal results and intended differences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.config import SubTaskConstraintConfig
from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.errors import TaskSpecError
from tests.contract.isaaclab_scenes import Task, differences, every_subtask, random_films, random_task, run_planner
from tests.contract.isaaclab_side.messages import Film, Trial

pytestmark = pytest.mark.isaaclab

TOLERANCE = 1e-5


def task_of_arms(seed: int, folder: Path, num_eefs: int = 2) -> Task:
    """Task of the end effectors `franka`, `left`, `right`, each with its own selection and without offsets."""
    task = random_task(seed, folder, num_eefs, generation_select_src_per_arm=True)
    return every_subtask(task, subtask_term_offset_range=(0, 0))


def sequential(former: tuple[str, int], latter: tuple[str, int], min_time_diff: int) -> SubTaskConstraintConfig:
    pair = [list(former), list(latter)]
    return SubTaskConstraintConfig(pair, "sequential", sequential_min_time_diff=min_time_diff)


def coordination(first: tuple[str, int], second: tuple[str, int], scheme: str) -> SubTaskConstraintConfig:
    return SubTaskConstraintConfig([list(first), list(second)], "coordination", coordination_scheme=scheme)


def assert_same(ours: Trial, theirs: Trial) -> None:
    assert ours.demos == theirs.demos
    for eef, poses in ours.pose.items():
        assert len(poses) == len(theirs.pose[eef])
        assert differences(poses, theirs.pose[eef]).max() <= TOLERANCE
        np.testing.assert_array_equal(ours.gripper[eef], theirs.gripper[eef])


def test_trials_without_constraints_equal_those_of_isaac_lab(both, tmp_path):
    for seed in range(6):
        task = task_of_arms(seed, tmp_path, num_eefs=2 + seed % 2)
        for ours, theirs in both(task, random_films(task, 3, seed)):
            assert_same(ours, theirs)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_arm_that_waits_before_its_end_waits_as_in_isaac_lab(both, tmp_path, num_steps):
    num_waits = 0
    for seed in range(6):
        task = task_of_arms(seed, tmp_path)
        task.constraints = [sequential(("franka", len(task.subtasks["franka"]) - 1), ("left", 0), num_steps)]
        for ours, theirs in both(task, random_films(task, 3, seed)):
            assert_same(ours, theirs)
            num_waits += (differences(ours.pose["left"][1:], ours.pose["left"][:-1]) == 0.0).sum() > 3
    assert num_waits > 5


def test_sequential_constraint_of_zero_steps_is_refused_where_isaac_lab_ignores_it(isaaclab_process, tmp_path):
    task = task_of_arms(1, tmp_path)
    films = random_films(task, 2, seed=1)
    planner, _ = run_planner(task, films)
    free = isaaclab_process.call("trials", "run", task.problem(films, planner))
    task.constraints = [sequential(("franka", 0), ("left", 0), 0)]
    bound = isaaclab_process.call("trials", "run", task.problem(films, planner))
    for one, other in zip(free, bound, strict=True):
        np.testing.assert_array_equal(one.pose["left"], other.pose["left"])
    with pytest.raises(TaskSpecError, match=r"sequential_min_time_diff: must be -1 .*\(got 0\)"):
        check_constraints(task.constraints, task.subtasks)


def test_segment_is_transformed_to_the_object_pose_after_waiting_where_isaac_lab_uses_the_pose_before(both, tmp_path):
    """With the pose before waiting, an arm would reach for a handed-over object at its old place."""
    for seed in range(4):
        task = task_of_arms(seed, tmp_path)
        # One subtask only, so that the last pose belongs to the segment that waited.
        task.subtasks["left"] = task.subtasks["left"][-1:]
        task = every_subtask(task, object_ref="mug", selection_strategy="random", selection_strategy_kwargs={})
        task.constraints = [sequential(("franka", 0), ("left", 0), -1)]
        films = random_films(task, 3, seed)
        ours, theirs = last_poses(both(task, films))
        ours_at_rest, theirs_at_rest = last_poses(both(task, [at_rest(film) for film in films]))
        np.testing.assert_allclose(theirs, theirs_at_rest, atol=TOLERANCE)
        np.testing.assert_allclose(ours_at_rest, theirs_at_rest, atol=TOLERANCE)
        assert np.abs(ours - theirs).max() > 0.05


def last_poses(trials: list[tuple[Trial, Trial]]) -> tuple[np.ndarray, np.ndarray]:
    """Last poses of the second arm in each trial, of the planner and of Isaac Lab, each (trials, 4, 4)."""
    ours, theirs = zip(*trials, strict=True)
    return np.stack([t.pose["left"][-1] for t in ours]), np.stack([t.pose["left"][-1] for t in theirs])


def at_rest(film: Film) -> Film:
    return replace(film, object_pose={name: poses[:1] for name, poses in film.object_pose.items()})


def test_arm_that_waits_before_its_begin_holds_its_pose_where_isaac_lab_holds_the_first_waypoint(both, tmp_path):
    for seed in range(3):
        task = every_subtask(task_of_arms(seed, tmp_path), num_interpolation_steps=3)
        task.constraints = [sequential(("franka", 0), ("left", 0), -1)]
        films = random_films(task, 2, seed)
        for film, (ours, theirs) in zip(films, both(task, films), strict=True):
            current = film.eef_pose["left"][0]
            assert np.abs(ours.pose["left"][:3] - current).max() == 0.0
            assert differences(theirs.pose["left"][:3], theirs.pose["left"][[0]]).max() == 0.0
            assert np.abs(theirs.pose["left"][0] - current).max() > 0.01


def test_arm_waits_for_all_former_subtasks_where_isaac_lab_waits_for_the_first_to_finish(both, tmp_path):
    task = next(t for t in (task_of_arms(seed, tmp_path) for seed in range(20)) if len(t.subtasks["franka"]) > 2)
    early, late = (sequential(("franka", index), ("left", 0), -1) for index in (0, 2))
    films = random_films(task, 1, seed=1)

    def starts(*constraints: SubTaskConstraintConfig) -> tuple[int, int]:
        """Step in which the second arm leaves its first pose, of the planner and of Isaac Lab."""
        (trials,) = both(replace(task, constraints=list(constraints)), films)
        ours, theirs = ((differences(t.pose["left"][1:], t.pose["left"][:-1]) > 0.0).argmax() for t in trials)
        return int(ours), int(theirs)

    (ours_early, theirs_early), (ours_late, theirs_late) = starts(early), starts(late)
    assert ours_early < ours_late
    assert theirs_early < theirs_late
    assert starts(early, late) == starts(late, early) == (ours_late, theirs_early)


def test_all_latter_subtasks_continue_where_isaac_lab_continues_only_that_of_the_last_constraint(isaaclab_process, tmp_path):
    task = task_of_arms(2, tmp_path, num_eefs=3)
    task.constraints = [sequential(("franka", 0), (latter, 0), -1) for latter in ("left", "right")]
    films = random_films(task, 1, seed=1)
    planner, _ = run_planner(task, films)
    with pytest.raises(AssertionError, match="a trial of more than 600 steps"):
        isaaclab_process.call("trials", "run", task.problem(films, planner))


def test_coordination_by_transform_works_where_isaac_labs_generator_fails(isaaclab_process, tmp_path):
    task = every_subtask(task_of_arms(2, tmp_path), object_ref="mug")
    task.constraints = [coordination(("franka", 0), ("left", 0), "transform")]
    films = random_films(task, 1, seed=1)
    planner, _ = run_planner(task, films)
    with pytest.raises(AssertionError, match="no attribute 'get_delta_object_pose'"):
        isaaclab_process.call("trials", "run", task.problem(films, planner))


@pytest.mark.parametrize("scheme", ["replay", "translate"])
def test_coordinated_arms_arrive_together_where_isaac_lab_is_up_to_one_step_apart(both, tmp_path, scheme):
    apart = []
    for seed in range(8):
        task = every_subtask(task_of_arms(seed, tmp_path), object_ref="mug")
        lasts = [(eef, len(configs) - 1) for eef, configs in task.subtasks.items()]
        task.constraints = [coordination(*lasts, scheme)]
        for trials in both(task, random_films(task, 2, seed)):
            ours, theirs = ([arrival(trial.pose[eef]) for eef in task.subtasks] for trial in trials)
            assert ours[0] == ours[1]
            apart.append(abs(theirs[0] - theirs[1]))
    assert set(apart) == {0, 1}


def arrival(poses: np.ndarray) -> int:
    """Step in which the last pose is reached."""
    return int(np.flatnonzero(differences(poses, poses[-1:]) > 0.0)[-1]) + 1
