"""Every reason of failure of the desktop organizer is detected when its fault is planted; hopeless trials end early."""

# N envs

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.build import build_generator, load_pool, start_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.session import RunFolder, open_run
from isaaclab_mimic_ext.run.store import RunStore, TrialRecord
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.reasons import DIVERGED, FLICKERED, NOT_HELD, TOO_LATE
from tests import requires
from tests.jobs import run_generation
from tests.kinematic_sources import TASK, generate_cfg

Fault = Callable[[Generator, int, torch.Tensor], None]
"""Spoils a trial before the env makes `step`; may change its actions (N, A)."""

KETCHUP, BASKET = 0, 1
QUIET = [f"subtask_configs.franka.{index}.action_noise=0" for index in range(4)]
GRIPPER, Z = 6, 2
OPEN, CLOSE = 1.0, -1.0
PLANNED_TO_FAIL = 20


def run_spoiled(source: Path, folder: Path, fault: Fault) -> TrialRecord:
    """Run only trial 0, without noise and with a fault, and return its record."""
    one = ("num_envs=1", "datagen_config.generation_num_trials=1", "datagen_config.generation_guarantee=false")
    cfg = generate_cfg(source, folder, *one, *QUIET)
    env = start_env(cfg)
    step = env.step
    with open_run(RunFolder(folder), {}, resume=False) as session:
        generator = build_generator(cfg, env, load_pool(cfg, env), session)

        def spoiled_step(actions: torch.Tensor, env_ids: torch.Tensor | None = None) -> None:
            fault(generator, int(generator.lanes.step[0]), actions)
            step(actions, env_ids)

        env.step = spoiled_step  # type: ignore[method-assign]
        generator.run()
        generator.close()
    env.close()
    (record,) = RunStore(RunFolder(folder).store, read_only=True).records()
    return record


def move_object(generator: Generator, index: int, offset: tuple[float, float, float]) -> None:
    scene = generator.env.scene  # type: ignore[attr-defined]
    scene.object_pose[:, index, :3, 3] += torch.tensor(offset)
    scene.root_pose[:, index, :3] += torch.tensor(offset)


def in_basket(generator: Generator) -> bool:
    env = generator.env
    return bool(env.failure_conditions()["place"][0]) and bool((env.scene.finger_pos[0] > 0.03).all())  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def clean(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialRecord:
    """Record of the trial without a fault."""
    record = run_spoiled(kinematic_source, tmp_path_factory.mktemp("clean"), lambda generator, step, actions: None)
    assert record.success and record.reason == ""
    return record


def too_high(generator: Generator, step: int, actions: torch.Tensor) -> None:
    actions[:, Z] = actions[:, Z].clamp(min=0.0)


def never_closed(generator: Generator, step: int, actions: torch.Tensor) -> None:
    actions[:, GRIPPER] = OPEN


def slips(generator: Generator, step: int, actions: torch.Tensor) -> None:
    lifted = generator.env.failure_conditions()["lift"]
    generator.env._holding[lifted] = False  # type: ignore[attr-defined]


def basket_gone(generator: Generator, step: int, actions: torch.Tensor) -> None:
    """Remove the basket after the transit to it is planned."""
    is_there = float(generator.env.scene.object_pose[0, BASKET, 0, 3]) < 0.6  # type: ignore[attr-defined]
    if is_there and int(generator.planner.subtask[0, 0]) == 3:
        move_object(generator, BASKET, (0.25, -0.2, 0.0))


def taken_out(generator: Generator, step: int, actions: torch.Tensor) -> None:
    if int(generator.lanes.num_success_steps[0]) >= 3:
        move_object(generator, KETCHUP, (0.3, 0.0, 0.0))


def keeps_hold(generator: Generator, step: int, actions: torch.Tensor) -> None:
    if bool(generator.env.failure_conditions()["place"][0]):
        actions[:, GRIPPER] = CLOSE


def stays(generator: Generator, step: int, actions: torch.Tensor) -> None:
    if bool(generator.env.failure_conditions()["released"][0]):
        actions[:, :GRIPPER] = 0.0


def breaks(generator: Generator, step: int, actions: torch.Tensor) -> None:
    if step >= 30:
        generator.env.scene.root_pose[:, -1] = torch.nan  # type: ignore[attr-defined]


def no_plan(generator: Generator, step: int, actions: torch.Tensor) -> None:
    if step == PLANNED_TO_FAIL:
        planner = type(generator.planner)
        generator.planner.__class__ = type("Failing", (planner,), {"failure": torch.tensor([2])})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (too_high, "never reached"),
        (never_closed, "never grasped"),
        (slips, "dropped"),
        (basket_gone, "not in the basket"),
        (taken_out, "did not stay in the basket"),
        (keeps_hold, "did not let go"),
        (stays, "did not retreat"),
        (breaks, DIVERGED),
        (no_plan, "the planner failed: "),
    ],
)
def test_planted_fault_is_reported_as_its_reason(fault: Fault, reason: str, kinematic_source: Path, tmp_path: Path) -> None:
    record = run_spoiled(kinematic_source, tmp_path / "run", fault)
    assert not record.success
    assert record.reason.startswith(reason)


def test_step_of_a_drop_is_the_step_in_which_the_gripper_lost_the_bottle(
    clean: TrialRecord, kinematic_source: Path, tmp_path: Path
) -> None:
    record = run_spoiled(kinematic_source, tmp_path / "run", slips)
    lifted = clean.notes["reached"][2]
    assert lifted < record.notes["step"] < clean.notes["reached"][3]


def test_step_of_diverged_physics_is_the_first_step_that_is_not_finite(kinematic_source: Path, tmp_path: Path) -> None:
    record = run_spoiled(kinematic_source, tmp_path / "run", breaks)
    assert record.notes["step"] in (30, 31)


def test_planner_failure_ends_its_trial_immediately(kinematic_source: Path, tmp_path: Path) -> None:
    record = run_spoiled(kinematic_source, tmp_path / "run", no_plan)
    assert record.length == PLANNED_TO_FAIL + 1
    assert record.notes["stopped"]


def test_trial_that_ends_when_a_segment_is_due_does_not_affect_the_next_trial(
    kinematic_source: Path, tmp_path: Path
) -> None:
    """Its env begins a new trial in that very step; what was due belonged to the old one."""
    cfg = generate_cfg(kinematic_source, tmp_path, "num_envs=4", "datagen_config.generation_num_trials=8", *QUIET)
    env = start_env(cfg)
    begun: list[tuple[int, int]] = []
    with open_run(RunFolder(tmp_path), {}, resume=False) as session:
        generator = build_generator(cfg, env, load_pool(cfg, env), session)
        advance, begin = generator.planner.advance, generator.planner.begin_segments
        dues = []

        def advance_and_fail() -> tuple[torch.Tensor, torch.Tensor]:
            due, ended = advance()
            dues.append(int(due.sum()))
            generator.watch.stopped |= due.any(1)
            return due, ended

        def noted_begin(env_ids: torch.Tensor, *others: torch.Tensor) -> None:
            begun.extend((generator.env_steps, env_id) for env_id in env_ids.tolist())
            begin(env_ids, *others)

        generator.planner.advance = advance_and_fail  # type: ignore[method-assign]
        generator.planner.begin_segments = noted_begin  # type: ignore[method-assign]
        generator.begin_trials()
        while sum(dues) < 6:
            generator.step()
        generator.close()
    env.close()
    assert generator.ledger.num_ended >= 6
    assert max(Counter(begun).values()) == 1


@pytest.mark.parametrize(
    ("above", "first_open", "last_open", "reason"),
    [(0.0, 0, 2, TOO_LATE), (0.15, 4, 0, NOT_HELD), (0.15, 8, 2, FLICKERED)],
)
def test_success_that_is_not_held_has_its_own_reason(
    above: float, first_open: int, last_open: int, reason: str, clean: TrialRecord, kinematic_source: Path, tmp_path: Path
) -> None:
    """Once the bottle lies in the basket and the hand is above a height, its fingers are open in some steps only."""
    since: list[int] = []

    def fingers_close(generator: Generator, step: int, actions: torch.Tensor) -> None:
        scene = generator.env.scene  # type: ignore[attr-defined]
        if not since and not (in_basket(generator) and float(scene.eef_pose[0, 0, 2, 3]) > above):
            return
        since.append(step)
        is_open = len(since) <= first_open or clean.length - step <= last_open
        scene.joint_pos[..., -2:] = 0.04 if is_open else 0.0
        actions[:, GRIPPER] = OPEN if is_open else CLOSE

    record = run_spoiled(kinematic_source, tmp_path / "run", fingers_close)
    assert record.reason == reason


SHAKY = [f"subtask_configs.franka.{index}.action_noise={noise}" for index, noise in enumerate((0.25, 0.45, 0.3, 0.3))]


def generate(source: Path, folder: Path, *overrides: str) -> tuple[RunFolder, list[TrialRecord], dict[str, int], int]:
    """A run's folder, the records of its trials, why they failed, and how many env steps they took."""
    rules = ("datagen_config.max_num_failures=null", "datagen_config.generation_guarantee=true", "num_envs=16")
    report = run_generation(generate_cfg(source, folder, *rules, *overrides))
    assert report is not None
    run = RunFolder(folder)
    records = [r for r in RunStore(run.store, read_only=True).records() if r.trial < report.num_attempts]
    return run, records, report.failures, report.env_steps


def _check_that_stopping_keeps_the_same_demos(source: Path, parent: Path, *overrides: str) -> list[TrialRecord]:
    whole, all_records, failures, num_steps = generate(source, parent / "whole", *overrides)
    stopping = "datagen_config.stop_hopeless_trials=true"
    short, records, short_failures, num_short_steps = generate(source, parent / "short", *overrides, stopping)
    assert dataset_digest(short.demos) == dataset_digest(whole.demos)
    assert [record.success for record in records] == [record.success for record in all_records]
    assert sum(short_failures.values()) == sum(failures.values())
    stopped = [(short, long) for short, long in zip(records, all_records, strict=True) if short.notes["stopped"]]
    assert len(stopped) >= 3, "the test needs hopeless trials; shake more"
    assert not any(record.notes["stopped"] for record in all_records)
    assert all(not short.success and short.length < long.length for short, long in stopped)
    assert num_short_steps < num_steps
    return [short for short, _ in stopped]


def test_stopping_hopeless_trials_keeps_the_same_demos(kinematic_source: Path, tmp_path: Path) -> None:
    target = "datagen_config.generation_num_trials=60"
    stopped = _check_that_stopping_keeps_the_same_demos(kinematic_source, tmp_path, *SHAKY, target)
    assert Counter(record.reason for record in stopped)["never grasped"]


def test_stopping_hopeless_trials_keeps_the_same_demos_with_success_in_any_step(
    kinematic_source: Path, tmp_path: Path
) -> None:
    overrides = ("datagen_config.generation_num_trials=60", "datagen_config.success_rule=any_step")
    _check_that_stopping_keeps_the_same_demos(kinematic_source, tmp_path, *SHAKY, *overrides)


@pytest.mark.slow
def test_stopping_hopeless_trials_keeps_the_same_demos_with_physics(tmp_path: Path) -> None:
    """There bottles tip over, roll and are pushed about."""
    requires.module("mujoco.batch", "mujoco")
    import isaaclab_mimic_ext.tasks as tasks

    source = Path(tasks.__path__[0]) / TASK / "data" / "source_demos.hdf5"
    noise = [f"subtask_configs.franka.{index}.action_noise={noise}" for index, noise in enumerate((0.15, 0.2, 0.3, 0.3))]
    overrides = ("sim.engine=mujoco", "sim.num_threads=1", "datagen_config.generation_num_trials=25")
    _check_that_stopping_keeps_the_same_demos(source, tmp_path, *noise, *overrides)


def test_no_trial_in_the_scene_of_a_source_demo_is_hopeless_before_its_grasp() -> None:
    """The bottle stands on the table, and the hand is far away: only that the grasp is over makes this hopeless."""
    env = start_env(generate_cfg(Path(), Path(), "num_envs=8"))
    over = {"grasp": torch.zeros(8, dtype=torch.bool)}
    assert not env.hopeless(over).any()  # type: ignore[union-attr]
    assert env.hopeless({"grasp": torch.ones(8, dtype=torch.bool)}).all()  # type: ignore[union-attr]
    assert load_task(TASK).hopeless(env.scene, {}) is None  # type: ignore[attr-defined]
    env.close()


def test_record_contains_initial_places_and_selected_source_demos(clean: TrialRecord) -> None:
    notes = clean.notes
    task = load_task(TASK)
    scene = np.array(notes["scene"])
    assert scene.shape == (len(task.objects), 3)
    for obj, (x, y, _) in zip(task.objects[:2], scene, strict=False):
        assert abs(x - obj.default_pos[0]) <= 0.05 and abs(y - obj.default_pos[1]) <= 0.05
    assert notes["reached"] == sorted(notes["reached"]) and notes["reached"][0] > 0
    assert notes["subtask"] == [3]
    assert np.array(notes["source_demos"]).shape == (1, 4)
    tracking = np.array(notes["tracking"], dtype=float)
    assert tracking.shape == (1, 4, 4)
    # Without noise the kinematic engine does what it is told, but in the first, longest ways.
    assert (tracking[..., 0] < 0.05).all() and (tracking[..., 1] >= tracking[..., 0]).all()
