"""`TrialPlanner` compared with the real `DataGenerator` of Isaac Lab 2.3: complete trials, one end effector, no constraints.

Both run with the same source file, offsets, selections and film (poses of end effector and objects after each step). The
planner has `legacy_small_rotation`. Noise is not drawn; only its standard deviation is compared. Intended differences are in
`test_isaaclab_differences.py`.
"""

import numpy as np
import pytest

from tests.contract.film_env import successes_of
from tests.contract.isaaclab_scenes import Task, random_films, random_task, run_planner
from tests.contract.isaaclab_side.messages import Film, Trial
from tests.contract.isaaclab_side.process import IsaacLabProcess
from tests.contract.shipped_tasks import shipped_task

pytestmark = pytest.mark.isaaclab

NUM_TASKS = 40
NUM_BLOCKS = 5
NUM_SCENES = 8
"""Number of scenes per task."""
NUM_SHIPPED_SCENES = 3
TOLERANCE = 1e-5


def compare(task: Task, films: list[Film], process: IsaacLabProcess) -> int:
    """Compare each step of each trial with Isaac Lab's; return the number of waypoints."""
    planner, ours = run_planner(task, films)
    theirs = process.call("trials", "run", task.problem(films, planner))
    (eef,) = task.subtasks
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        compare_trial(f"{task.source.name}, trial {number}", mine, other, eef)
    return sum(len(trial.pose[eef]) for trial in ours)


def compare_trial(place: str, ours: Trial, theirs: Trial, eef: str) -> None:
    assert ours.demos[eef] == theirs.demos[eef], place
    assert len(ours.pose[eef]) == len(theirs.pose[eef]), place
    assert np.abs(ours.pose[eef] - theirs.pose[eef]).max() <= TOLERANCE, place
    np.testing.assert_array_equal(ours.gripper[eef], theirs.gripper[eef], place)
    np.testing.assert_allclose(ours.noise[eef], theirs.noise[eef].ravel(), rtol=0.0, atol=1e-8, err_msg=place)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    folder = tmp_path_factory.mktemp("tasks")
    return [random_task(seed, folder) for seed in range(NUM_TASKS)]


@pytest.mark.parametrize("block", range(NUM_BLOCKS))
def test_waypoints_of_random_scenes_equal_those_of_isaac_lab(block, isaaclab_process, tasks):
    per_block = NUM_TASKS // NUM_BLOCKS
    num_waypoints = 0
    for seed in range(block * per_block, (block + 1) * per_block):
        num_waypoints += compare(tasks[seed], random_films(tasks[seed], NUM_SCENES, seed), isaaclab_process)
    assert num_waypoints > 10 * per_block * NUM_SCENES


def test_random_scenes_cover_all_rules(tasks):
    configs = [task.config for task in tasks]
    subtasks = [subtask for task in tasks for subtask in task.subtasks["franka"]]
    assert NUM_TASKS * NUM_SCENES >= 300
    for name in (
        "generation_select_src_per_subtask", "generation_select_src_per_arm",
        "generation_transform_first_robot_pose", "generation_interpolate_from_last_target_pose",
    ):  # fmt: skip
        assert {getattr(config, name) for config in configs} == {False, True}, name
    assert {len(task.subtasks["franka"]) for task in tasks} == set(range(1, 6))
    assert {len(task.demos()) for task in tasks} == set(range(1, 9))
    assert {s.num_interpolation_steps for s in subtasks} == set(range(8))
    assert {s.num_fixed_steps for s in subtasks} == set(range(5))
    assert any(s.num_interpolation_steps == s.num_fixed_steps == 0 for s in subtasks)
    assert any(s.num_interpolation_steps == 0 < s.num_fixed_steps for s in subtasks)
    assert {s.selection_strategy for s in subtasks} == {
        "random", "nearest_neighbor_object", "nearest_neighbor_robot_distance",
    }  # fmt: skip
    assert {s.object_ref is None for s in subtasks} == {False, True}
    assert {s.apply_noise_during_interpolation for s in subtasks} == {False, True}
    assert {task.subtasks["franka"][0].first_subtask_start_offset_range for task in tasks} == {(0, 0), (1, 1), (2, 2)}
    assert len({s.subtask_term_offset_range for s in subtasks}) == 10


@pytest.mark.parametrize("name", ["desktop_organizer", "stack_cube"])
def test_waypoints_from_included_source_demos_equal_those_of_isaac_lab(name, isaaclab_process):
    task = shipped_task(name)
    task.config.legacy_small_rotation = True
    task.config.num_final_hold_steps = 0
    task.config.compat_select = "isaaclab"
    assert compare(task, films_near_source_demos(task, NUM_SHIPPED_SCENES), isaaclab_process) > 200 * NUM_SHIPPED_SCENES


def films_near_source_demos(task: Task, num_films: int) -> list[Film]:
    """Films with random poses near those of a source demo."""
    films = random_films(task, num_films, seed=1, rotation=0.5)
    demos = task.demos()
    for number, film in enumerate(films):
        demo = demos[number % len(demos)]
        at = np.linspace(0, demo.num_steps - 1, len(film.success)).astype(int)
        for moved, source in ((film.eef_pose, demo.eef_pose), (film.object_pose, demo.object_pose)):
            for name, pose in moved.items():
                jump = pose.copy()
                jump[:, :3, 3] *= 0.2
                moved[name] = source[name][at] @ jump
    return films


def test_success_rule_any_step_judges_trials_as_isaac_lab_does(isaaclab_process, tasks):
    verdicts = []
    for seed in range(3):
        task, films = tasks[seed], random_films(tasks[seed], NUM_SCENES, seed)
        planner, _ = run_planner(task, films)
        theirs = [trial.success for trial in isaaclab_process.call("trials", "run", task.problem(films, planner))]
        assert successes_of(task, films, success_rule="any_step") == theirs
        verdicts += theirs
    assert 0 < sum(verdicts) < len(verdicts)
