"""Stack cube on both engines: scripted operator, and generation from the included source demos."""

# D demos (one per env), T frames

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.attempts import Operator
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.strokes import HandPlan
from isaaclab_mimic_ext.tasks.stack_cube.operator import MAX_FRAMES, plan_demos, plan_fluent_demos
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_SIZE
from tests import requires
from tests.jobs import run_generation
from tests.named_poses import object_poses

EEF = "franka"
EARLIEST_BOUNDARY = 10
"""Smallest distance of a boundary from the rise of its signal [steps]: lower end of `subtask_term_offset_range`."""
FINGER_TIPS = 0.012
"""Distance of the finger tips below the end effector [m]."""


def build(
    engine: str, num_demos: int, task: str = "stack_cube", operator: Operator = plan_demos
) -> tuple[MimicEnv, HandPlan]:
    events = load_config("generate", [f"task={task}", "output_dir=unused"]).events
    env = make_env(load_task("stack_cube"), SimCfg(engine=engine), events, num_demos)
    draws = Draws(11, torch.arange(num_demos))
    env.reset(torch.arange(num_demos), draws)
    return env, operator(object_poses(env), env.eef_pose[:, 0], draws)


def perform(env: MimicEnv, plan: HandPlan) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Signals (D, T) and end effector heights (D, T) [m] before each step, success (D, T) after it."""
    signals: dict[str, list[Tensor]] = {name: [] for name in env.get_subtask_term_signals()}
    height, success = [], []
    for step in range(plan.target_eef_pose.shape[1]):
        for name, signal in env.get_subtask_term_signals().items():
            signals[name].append(signal)
        height.append(env.eef_pose[:, 0, 2, 3])
        target, gripper = plan.target_eef_pose[:, step], plan.gripper_action[:, step]
        env.step(env.target_eef_pose_to_action(target[:, None], gripper[:, None]))
        success.append(env.success())
    return (
        {name: torch.stack(values, 1) for name, values in signals.items()},
        torch.stack(height, 1),
        torch.stack(success, 1),
    )


@cache
def performance(engine: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    return perform(*build(engine, 20))


@pytest.mark.parametrize(("engine", "share"), [("kinematic", 1.0), ("mujoco", 0.9)])
def test_operator_stacks_the_cubes(engine: str, share: float) -> None:
    _, _, success = performance(engine)
    assert success[:, -5:].all(1).float().mean() >= share


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_signals_rise_once_in_the_order_of_the_subtasks(engine: str) -> None:
    signals, _, _ = performance(engine)
    rises = [signal.int().argmax(1) for signal in signals.values()]
    assert all(bool(signal.any()) for signal in signals.values())
    for earlier, later in pairwise(rises):
        assert (later - earlier).min() > 40


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_hand_is_above_the_other_cubes_before_a_segment_can_end(engine: str) -> None:
    # The next segment, from a different demo, moves sideways. A low hand would hit the cubes.
    signals, height, _ = performance(engine)
    rows = torch.arange(len(height))
    for name, obstacle in (("grasp_1", CUBE_SIZE), ("stack_1", 2 * CUBE_SIZE), ("grasp_2", 2 * CUBE_SIZE)):
        rise = signals[name].int().argmax(1)
        below = FINGER_TIPS if name == "stack_1" else CUBE_SIZE / 2
        assert (height[rows, rise + EARLIEST_BOUNDARY] - below).min() > obstacle, name


def test_demos_take_fifteen_to_twenty_five_seconds() -> None:
    _, plan = build("kinematic", 200)
    assert plan.length.min() >= 300
    assert plan.length.max() <= MAX_FRAMES
    assert plan.length.unique().numel() > 20


def test_hand_moves_smoothly_and_less_than_one_action_per_step() -> None:
    env, plan = build("kinematic", 200)
    path = torch.cat((env.eef_pose[:, :, :3, 3], plan.target_eef_pose[..., :3, 3]), dim=1)
    velocity = path.diff(dim=1)
    assert velocity.norm(dim=-1).max() < 0.05
    assert velocity.diff(dim=1).norm(dim=-1).max() < 0.02


def test_hand_rests_when_the_gripper_moves() -> None:
    _, plan = build("kinematic", 64)
    rows = torch.arange(64)
    for frame in torch.cat((plan.close_frames, plan.open_frames), dim=1).unbind(1):
        for back in range(5):
            now, before = plan.target_eef_pose[rows, frame - back], plan.target_eef_pose[rows, frame - back - 1]
            assert (now[:, :3, 3] - before[:, :3, 3]).norm(dim=-1).max() < 0.001


def test_fluent_operator_stacks_the_cubes() -> None:
    requires.module("mujoco.batch", "mujoco")
    _, _, success = perform(*build("mujoco", 10, operator=plan_fluent_demos))
    assert success[:, -5:].all(1).float().mean() >= 0.9


def test_fluent_hand_turns_upward_when_the_fingers_change_and_never_rests() -> None:
    _, plan = build("kinematic", 6, operator=plan_fluent_demos)
    rows = torch.arange(6)
    climb = plan.target_eef_pose[..., 2, 3].diff(dim=1)
    for frames in (*plan.close_frames.unbind(1), *plan.open_frames.unbind(1)):
        assert (climb[rows, frames - 6] < -0.001).all()
        assert (climb[rows, frames + 2] > 0.001).all()
    # Sum over five frames: a turning point, where the speed is zero for one frame, is not a rest.
    path_length = plan.target_eef_pose[..., :3, 3].diff(dim=1).norm(dim=-1).unfold(1, 5, 1).sum(-1)
    step = torch.arange(path_length.shape[1])
    under_way = (step >= 5) & (step < plan.length[:, None] - 15)
    assert path_length[under_way].min() > 0.004


def test_yaw_of_the_hand_stays_within_the_limits_of_the_wrist() -> None:
    _, plan = build("kinematic", 100, "stack_cube_mimicgen_d1")
    # At zero yaw the palm points down, and the x axis of the hand is parallel to that of the env.
    x_axis = plan.target_eef_pose[:, :, :2, 0]
    assert torch.atan2(x_axis[..., 1], x_axis[..., 0]).abs().max() < 1.35


def generate(engine: str, tmp_path: Path, num_trials: int, task: str = "stack_cube") -> RunResult:
    """Run a generation from the included source demos."""
    settings = (
        f"task={task}",
        f"sim.engine={engine}",
        f"num_envs={num_trials}",
        f"datagen_config.generation_num_trials={num_trials}",
        "datagen_config.generation_guarantee=false",
        "video=false",
        f"output_dir={tmp_path / 'run'}",
    )
    return run_generation(load_config("generate", list(settings)))


def test_generation_from_included_demos_succeeds_without_physics(tmp_path: Path) -> None:
    report = generate("kinematic", tmp_path, 20)
    assert report.num_successes >= 19


def test_generation_from_included_demos_succeeds_with_transits_between_skills(tmp_path: Path) -> None:
    report = generate("kinematic", tmp_path, 20, "stack_cube_skillgen")
    assert report.num_successes >= 18


@pytest.mark.slow
def test_generation_from_included_demos_succeeds_with_physics(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    report = generate("mujoco", tmp_path, 24)
    assert report.num_successes >= 21
