"""Two-arm tray lift on both engines: scripted operator, and generation from the included source demos."""

# D demos (one per env), T frames

from functools import cache
from itertools import pairwise
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.operator import MAX_FRAMES, HandPlans, plan_demos
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.task import LEVEL_ANGLE
from tests import requires
from tests.jobs import command, run_generation
from tests.named_poses import object_poses

TASK = "two_arm_lift_tray"
EEFS = ("left", "right")
IN_ORDER = ("lift", "place", "pick", "hand_over", "take")
WITHOUT_CONSTRAINTS = "task_constraint_configs=[]"


def source(task: str) -> Path:
    return conf_dir().parent / "tasks" / task / "data" / "source_demos.hdf5"


def build(engine: str, num_demos: int) -> tuple[MimicEnv, HandPlans]:
    events = load_config("generate", [f"task={TASK}", "output_dir=unused"]).events
    env = make_env(load_task(TASK), SimCfg(engine=engine), events, num_demos)
    draws = Draws(11, torch.arange(num_demos))
    env.reset(torch.arange(num_demos), draws)
    return env, plan_demos(object_poses(env), env.eef_pose, draws)


def perform(env: MimicEnv, plan: HandPlans) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Signals (D, T) before each step; success (D, T) and tilt of the tray (D, T) [rad] after each step."""
    signals: dict[str, list[Tensor]] = {name: [] for name in env.get_subtask_term_signals()}
    success, tilt = [], []
    for step in range(plan.target_eef_pose.shape[1]):
        for name, signal in env.get_subtask_term_signals().items():
            signals[name].append(signal)
        env.step(env.target_eef_pose_to_action(plan.target_eef_pose[:, step], plan.gripper_action[:, step]))
        success.append(env.success())
        tilt.append(torch.acos(object_poses(env)["tray"][:, 2, 2].clamp(max=1.0)))
    return {name: torch.stack(values, 1) for name, values in signals.items()}, torch.stack(success, 1), torch.stack(tilt, 1)


@cache
def performance(engine: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    return perform(*build(engine, 10))


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_operator_solves_the_task_with_a_level_tray(engine: str) -> None:
    _, success, tilt = performance(engine)
    assert success[:, -5:].all(1).float().mean() >= 0.9
    assert tilt.max() < 0.5 * LEVEL_ANGLE


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_signals_rise_in_the_order_of_the_subtasks(engine: str) -> None:
    signals, _, _ = performance(engine)
    rises = {name: signal.int().argmax(1) for name, signal in signals.items()}
    assert all(bool(signal.any(1).all()) for signal in signals.values())
    for name in ("left_grasp", "right_grasp"):
        assert (rises["lift"] - rises[name]).min() >= 12
    for earlier, later in pairwise(IN_ORDER):
        assert (rises[later] - rises[earlier]).min() >= 40


def test_hands_that_do_not_lift_together_tilt_the_tray_and_fail() -> None:
    requires.module("mujoco.batch", "mujoco")
    env, plan = build("mujoco", 2)
    # The right hand is delayed by half a second after it has grasped the tray.
    begin, delay = 85, 10
    for tensor in (plan.target_eef_pose, plan.gripper_action):
        tensor[:, begin + delay :, 1] = tensor[:, begin:-delay, 1].clone()
    _, success, tilt = perform(env, plan)
    assert (tilt.amax(1) > LEVEL_ANGLE).all()
    assert not success.any()


def test_demos_take_twenty_to_thirty_five_seconds() -> None:
    _, plan = build("kinematic", 200)
    assert plan.length.min() >= 400
    assert plan.length.max() <= MAX_FRAMES
    assert plan.length.unique().numel() > 20


def test_hands_move_smoothly_and_less_than_one_action_per_step() -> None:
    _, plan = build("kinematic", 200)
    velocity = plan.target_eef_pose[..., :3, 3].diff(dim=1)
    assert velocity.norm(dim=-1).max() < 0.05
    assert velocity.diff(dim=1).norm(dim=-1).max() < 0.01


def test_hands_keep_their_distance_while_they_carry() -> None:
    _, plan = build("kinematic", 64)
    closed = (plan.gripper_action[..., 0] < 0).all(-1)
    between = plan.target_eef_pose[:, :, 1, :3, 3] - plan.target_eef_pose[:, :, 0, :3, 3]
    distance = between.norm(dim=-1)
    spread = torch.where(closed, distance, -torch.inf).amax(1) - torch.where(closed, distance, torch.inf).amin(1)
    # Before the carry, a hand may rest with tremor while it waits for the other hand.
    assert spread.max() < 0.003


def test_plan_of_a_demo_does_not_depend_on_the_number_of_demos() -> None:
    _, many = build("kinematic", 8)
    _, few = build("kinematic", 3)
    shortest = min(many.target_eef_pose.shape[1], few.target_eef_pose.shape[1])
    assert torch.equal(many.length[:3], few.length)
    torch.testing.assert_close(many.target_eef_pose[:3, :shortest], few.target_eef_pose[:, :shortest])


def test_demos_of_two_hands_can_be_recorded_annotated_and_used_for_generation(tmp_path: Path) -> None:
    raw, annotated = tmp_path / "raw.hdf5", tmp_path / "annotated.hdf5"
    common = (f"task={TASK}", "sim=kinematic")
    command("record", load_config("record_demos", [*common, "num_demos=3", f"output_file={raw}"]))
    command("annotate", load_config("annotate_demos", [*common, f"input_file={raw}", f"output_file={annotated}"]))
    with h5py.File(annotated) as file:
        info = file["data/demo_0/obs/datagen_info"]
        assert set(info["eef_pose"]) == set(info["target_eef_pose"]) == set(EEFS)
        assert file["data/demo_0/actions"].shape[1] == 14
    report = generate("kinematic", tmp_path, 5, f"input_file={annotated}")
    assert report.num_successes == 5


def generate(engine: str, tmp_path: Path, num_trials: int, *overrides: str) -> RunResult:
    settings = (
        f"task={TASK}",
        f"sim.engine={engine}",
        f"num_envs={num_trials}",
        f"datagen_config.generation_num_trials={num_trials}",
        "datagen_config.generation_guarantee=false",
        "video=false",
        f"output_dir={tmp_path / 'run'}",
    )
    report = run_generation(load_config("generate", [*settings, *overrides]))
    assert report is not None
    return report


def test_generation_from_included_demos_succeeds_without_physics(tmp_path: Path) -> None:
    assert generate("kinematic", tmp_path, 10).num_successes >= 9


@pytest.mark.slow
def test_generation_from_included_demos_succeeds_with_physics(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    assert generate("mujoco", tmp_path, 12).num_successes >= 10


@pytest.mark.slow
def test_most_trials_without_constraints_tilt_the_tray(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    report = generate("mujoco", tmp_path, 12, WITHOUT_CONSTRAINTS)
    assert report.num_successes <= 6
    assert report.failures["the tray was tilted"] >= 6


@pytest.mark.parametrize(("task", "other"), [(TASK, "desktop_organizer"), ("desktop_organizer", TASK)])
def test_source_with_a_different_number_of_arms_is_refused_before_files_are_written(
    task: str, other: str, tmp_path: Path
) -> None:
    settings = [
        f"task={task}",
        "sim=kinematic",
        "num_envs=2",
        f"input_file={source(other)}",
        f"output_dir={tmp_path / 'run'}",
    ]
    with pytest.raises(SourceDataError, match=f"was recorded for task '{other}', not '{task}'"):
        run_generation(load_config("generate", settings))
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
