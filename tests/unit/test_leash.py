"""Target of a person's commands: the hand moves by the commanded distance, and the target stays near a blocked hand."""

# N = 1 env, E = 1 end effector

import math

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.math import rotation_angle, yaw_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.leash import MAX_ANGLE, MAX_DISTANCE, LeashedTarget
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

NUM_SETTLING_STEPS = 15


@pytest.fixture(scope="module")
def mujoco_env() -> MimicEnv:
    requires.module("mujoco.batch", "mujoco")
    return make_env(load_task("desktop_organizer"), "mujoco", {}, 1)


@pytest.fixture
def env(mujoco_env: MimicEnv) -> MimicEnv:
    mujoco_env.reset(torch.zeros(1, dtype=torch.int64), Draws(1, torch.zeros(1, dtype=torch.int64)))
    return mujoco_env


def execute(env: MimicEnv, target: LeashedTarget, motion: Tensor, num_steps: int) -> float:
    """Command a motion (6,) in each step, then settle; return the largest distance of the target from the hand [m]."""
    farthest = 0.0
    for step in range(num_steps + NUM_SETTLING_STEPS):
        command = motion if step < num_steps else torch.zeros(6)
        pose = target.move(command[None, None], env.eef_pose)
        farthest = max(farthest, float((pose - env.eef_pose)[0, 0, :3, 3].norm()))
        env.step(env.target_eef_pose_to_action(pose, torch.ones(1, 1, 1)))
    return farthest


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("num_steps", [4, 10, 20])
def test_hand_moves_by_the_commanded_distance(env: MimicEnv, axis: int, num_steps: int) -> None:
    start, motion = env.eef_pose.clone(), torch.zeros(6)
    motion[axis] = 0.1 / num_steps
    execute(env, LeashedTarget(start), motion, num_steps)
    wanted = torch.zeros(3)
    wanted[axis] = 0.1
    moved = env.eef_pose[0, 0, :3, 3] - start[0, 0, :3, 3]
    assert torch.allclose(moved, wanted, atol=1e-3), moved
    assert float(rotation_angle(env.eef_pose[0, 0, :3, :3], start[0, 0, :3, :3])) < 0.01


def test_hand_rotates_by_the_commanded_angle(env: MimicEnv) -> None:
    start = env.eef_pose.clone()
    execute(env, LeashedTarget(start), torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.06]), 10)
    wanted = yaw_matrix(torch.tensor(0.6)) @ start[0, 0, :3, :3]
    assert float(rotation_angle(env.eef_pose[0, 0, :3, :3], wanted)) < 0.01
    assert float((env.eef_pose - start)[0, 0, :3, 3].norm()) < 1e-3


def test_target_stays_within_the_leash_of_a_hand_on_the_table(env: MimicEnv) -> None:
    target = LeashedTarget(env.eef_pose)
    down = torch.tensor([0.0, 0.0, -0.01, 0.0, 0.0, 0.0])
    assert execute(env, target, down, 60) <= MAX_DISTANCE + 1e-6, "60 cm are commanded, 22 cm above the table"
    lowest = float(env.eef_pose[0, 0, 2, 3])
    num_steps_up = math.ceil(MAX_DISTANCE / 0.01) + 2
    execute(env, target, -down, num_steps_up)
    assert float(env.eef_pose[0, 0, 2, 3]) > lowest + 0.01, "the hand leaves the table as soon as the leash is used up"


def test_rotation_of_a_blocked_hand_is_leashed() -> None:
    hand = torch.eye(4)[None, None]
    target = LeashedTarget(hand)
    for _ in range(50):
        pose = target.move(torch.tensor([[[0.0, 0.0, 0.0, 0.0, 0.0, 0.1]]]), hand)
    assert float(rotation_angle(pose[0, 0, :3, :3], yaw_matrix(torch.tensor(MAX_ANGLE)))) < 1e-3


def test_target_stays_without_a_command() -> None:
    hand = torch.eye(4)[None, None]
    target = LeashedTarget(hand)
    first = target.move(torch.tensor([[[0.02, 0.0, 0.0, 0.0, 0.1, 0.0]]]), hand).clone()
    for _ in range(1000):
        pose = target.move(torch.zeros(1, 1, 6), hand)
    assert torch.allclose(pose, first, atol=1e-5)


def test_each_hand_has_its_own_target() -> None:
    hands = torch.eye(4).repeat(1, 2, 1, 1)
    motion = torch.zeros(1, 2, 6)
    motion[0, 1, 0] = 0.02
    moved = (LeashedTarget(hands).move(motion, hands) - hands)[0, :, 0, 3]
    assert moved.tolist() == pytest.approx([0.0, 0.02])


def test_shortcut_for_small_angles_gives_the_pose_of_the_full_computation() -> None:
    generator = torch.Generator().manual_seed(0)
    hand = torch.eye(4).repeat(1, 200, 1, 1)
    target, angles = LeashedTarget(hand), torch.linspace(0.0, 2.0 * MAX_ANGLE, 200)
    axis = torch.nn.functional.normalize(torch.randn(1, 200, 3, generator=generator), dim=-1)
    motion = torch.cat((torch.zeros(1, 200, 3), axis * angles[:, None]), dim=-1)
    each = torch.cat([LeashedTarget(hand[:, :1]).move(motion[:, i : i + 1], hand[:, :1]) for i in range(200)], dim=1)
    assert torch.equal(each, target.move(motion, hand)), "the largest angle of the batch requires the full computation"
    assert float(rotation_angle(each[0, :, :3, :3], hand[0, :, :3, :3]).max()) < MAX_ANGLE + 1e-3
