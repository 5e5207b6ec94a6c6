"""Scripted operator of the desktop organizer on both engines."""

# D demos (one per env), T frames

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.strokes import HandPlan
from isaaclab_mimic_ext.tasks.desktop_organizer.operator import MAX_FRAMES, plan_demos, plan_fluent_demos
from tests import requires
from tests.named_poses import object_poses

EEF = "franka"
TABLE = {"x": [-0.3, 0.3], "y": [-0.3, 0.3], "yaw": [-3.14159, 3.14159]}
EVENTS = {
    "ketchup": EventCfg("ketchup", pose_range={"x": [-0.05, 0.05], "y": [-0.05, 0.05], "yaw": [-3.14159, 3.14159]}),
    "basket": EventCfg("basket", pose_range={"x": [-0.05, 0.05], "y": [-0.05, 0.05]}),
    "orange_juice": EventCfg("orange_juice", pose_range=TABLE, min_separation=0.06),
    "cream_cheese": EventCfg("cream_cheese", pose_range=TABLE, min_separation=0.06),
    "robot": EventCfg("robot", joint_std=0.02),
}


def build(engine: str, num_demos: int) -> tuple[MimicEnv, HandPlan]:
    env = make_env(load_task("desktop_organizer"), SimCfg(engine=engine), EVENTS, num_demos)
    draws = Draws(11, torch.arange(num_demos))
    env.reset(torch.arange(num_demos), draws)
    return env, plan_demos(object_poses(env), env.eef_pose[:, 0], draws)


def perform(env: MimicEnv, plan: HandPlan) -> tuple[dict[str, Tensor], Tensor]:
    """Signals (D, T) before each step, success (D, T) after it."""
    signals: dict[str, list[Tensor]] = {name: [] for name in env.get_subtask_term_signals()}
    success = []
    for step in range(plan.target_eef_pose.shape[1]):
        for name, signal in env.get_subtask_term_signals().items():
            signals[name].append(signal)
        target, gripper = plan.target_eef_pose[:, step], plan.gripper_action[:, step]
        env.step(env.target_eef_pose_to_action(target[:, None], gripper[:, None]))
        success.append(env.success())
    return {name: torch.stack(values, 1) for name, values in signals.items()}, torch.stack(success, 1)


def first_rise(signal: Tensor) -> Tensor:
    assert signal.any(1).all()
    return signal.int().argmax(1)


def assert_annotatable(signals: dict[str, Tensor]) -> None:
    """Check that signals rise one after another, with distances large enough for random offsets of the boundaries."""
    reach, grasp, lift = (first_rise(signals[name]) for name in ("reach", "grasp", "lift"))
    assert (reach > 0).all()
    assert (grasp - reach).min() >= 12
    assert (lift - grasp).min() >= 12
    assert (signals["reach"].shape[1] - lift).min() >= 50


def test_operator_succeeds_in_nine_of_ten_scenes_with_physics() -> None:
    requires.module("mujoco.batch", "mujoco")
    env, plan = build("mujoco", 20)
    signals, success = perform(env, plan)
    held = success[:, -5:].all(1)
    assert held.float().mean() >= 0.9
    assert_annotatable({name: signal[held] for name, signal in signals.items()})


def test_operator_always_succeeds_without_physics() -> None:
    env, plan = build("kinematic", 64)
    signals, success = perform(env, plan)
    assert success[:, -5:].all()
    assert_annotatable(signals)


def test_demos_take_ten_to_fifteen_seconds() -> None:
    _, plan = build("kinematic", 200)
    assert plan.length.min() >= 200
    assert plan.length.max() <= MAX_FRAMES
    assert plan.length.unique().numel() > 20


def test_hand_moves_smoothly_and_less_than_one_action_per_step() -> None:
    env, plan = build("kinematic", 200)
    path = torch.cat((env.eef_pose[:, :, :3, 3], plan.target_eef_pose[..., :3, 3]), dim=1)
    velocity = path.diff(dim=1)
    assert velocity.norm(dim=-1).max() < 0.025
    assert velocity.diff(dim=1).norm(dim=-1).max() < 0.005


def test_hand_rests_when_the_gripper_moves() -> None:
    _, plan = build("kinematic", 64)
    rows = torch.arange(64)
    for frame in (plan.close_frames[:, 0], plan.open_frames[:, 0]):
        for back in range(5):
            now, before = plan.target_eef_pose[rows, frame - back], plan.target_eef_pose[rows, frame - back - 1]
            assert (now[:, :3, 3] - before[:, :3, 3]).norm(dim=-1).max() < 0.001


def test_plan_of_a_demo_does_not_depend_on_the_number_of_demos() -> None:
    _, many = build("kinematic", 8)
    _, few = build("kinematic", 3)
    shortest = min(many.target_eef_pose.shape[1], few.target_eef_pose.shape[1])
    assert torch.equal(many.length[:3], few.length)
    torch.testing.assert_close(many.target_eef_pose[:3, :shortest], few.target_eef_pose[:, :shortest])


def test_fluent_hand_moves_while_the_fingers_change_and_turns_upward_within_four_frames() -> None:
    env, _ = build("kinematic", 6)
    plan = plan_fluent_demos(object_poses(env), env.eef_pose[:, 0], Draws(11, torch.arange(6)))
    rows = torch.arange(6)
    climb = plan.target_eef_pose[:, 1:, 2, 3] - plan.target_eef_pose[:, :-1, 2, 3]
    for frames in (plan.close_frames[:, 0], plan.open_frames[:, 0]):
        assert (climb[rows, frames - 1] < -0.001).all()
        assert (climb[rows, frames + 4] > 0.001).all()


def test_fluent_hand_never_rests() -> None:
    env, _ = build("kinematic", 6)
    plan = plan_fluent_demos(object_poses(env), env.eef_pose[:, 0], Draws(11, torch.arange(6)))
    speed = plan.target_eef_pose[..., :3, 3].diff(dim=1).norm(dim=-1)
    # Sum over five frames: a turning point, where the speed is zero for one frame, is not a rest.
    path_length = speed.unfold(1, 5, 1).sum(-1)
    under_way = torch.arange(path_length.shape[1]) < plan.length[:, None] - 15
    assert path_length[under_way].min() > 0.004
