"""Different end effectors, a cart with a magnet and a hand with two fingers, from Isaac Lab's dicts to trials."""

# N envs, T steps of the source demo,
# A = 12 action entries: position (3) and gripper (1) of the cart, pose (6) and gripper (2) of the hand

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import by_name, noisy_and_clean_actions
from isaaclab_mimic_ext.envs.isaaclab import actions as isaaclab_actions
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.env import IsaacLabEnv
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle, pose_from_pos_rot, quat_xyzw_from_matrix
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.watch import TrialWatch

NUM_ENVS, NUM_STEPS, NUM_NOISY = 3, 12, 5
EEFS = ("cart", "hand")
STD = 0.01
CART_NOISE = [STD, 2 * STD, 3 * STD]


class CartAndHand:
    """Isaac Lab Mimic env with dicts by end effector. Actions are absolute for the cart and relative for the hand."""

    num_envs, device, step_dt = NUM_ENVS, "cpu", 0.05
    cfg = SimpleNamespace(subtask_configs=dict.fromkeys(EEFS))
    action_manager = SimpleNamespace(total_action_dim=12)
    recorder_manager = SimpleNamespace(record_post_reset=lambda env_ids: None)

    def __init__(self) -> None:
        self.poses = {"cart": poses(torch.zeros(NUM_ENVS, 3)), "hand": poses(torch.ones(NUM_ENVS, 3))}
        self.actions: list[Tensor] = []

    def reset(self, env_ids: Tensor) -> None:
        pass

    def place_trials(self, env_ids: Tensor, draws: Draws) -> None:
        """All trials are the same: nothing to place."""

    def step(self, actions: Tensor) -> None:
        self.actions.append(actions.clone())
        self.poses = self.action_to_target_eef_pose(actions)

    def get_robot_eef_pose(self, eef_name: str) -> Tensor:
        return self.poses[eef_name]

    def get_object_poses(self) -> dict[str, Tensor]:
        return {"box": poses(torch.zeros(NUM_ENVS, 3))}

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        return {}

    def target_eef_pose_to_action(
        self, targets: dict[str, Tensor], grippers: dict[str, Tensor], action_noise_dict: Any = None, env_id: int = 0
    ) -> Tensor:
        present, hand = self.poses["hand"][env_id], targets["hand"]
        turn = axis_angle_from_matrix(hand[:3, :3] @ present[:3, :3].T)
        hand_action = torch.cat((hand[:3, 3] - present[:3, 3], turn))
        return torch.cat((targets["cart"][:3, 3], grippers["cart"], hand_action, grippers["hand"]))

    def action_to_target_eef_pose(self, actions: Tensor) -> dict[str, Tensor]:
        present = self.poses["hand"]
        hand = pose_from_pos_rot(
            present[:, :3, 3] + actions[:, 4:7], matrix_from_axis_angle(actions[:, 7:10]) @ present[:, :3, :3]
        )
        return {"hand": hand, "cart": poses(actions[:, :3])}

    def actions_to_gripper_actions(self, actions: Tensor) -> dict[str, Tensor]:
        return {"hand": actions[..., 10:], "cart": actions[..., 3:4]}


class BatchedCartAndHand(CartAndHand):
    """The same env with a batched conversion of targets, whose arguments have no padding."""

    def target_eef_poses_to_actions(self, targets: Any, grippers: Any, noise: Any) -> Tensor:
        convert = super().target_eef_pose_to_action
        rows = [
            convert({k: v[i] for k, v in targets.items()}, {k: v[i] for k, v in grippers.items()}, None, i) for i in range(3)
        ]
        actions = torch.stack(rows)
        if noise is not None:
            actions[:, :3] += noise["cart"]
            actions[:, 4:10] += noise["hand"]
        return actions


class NoRecorder:
    """Replacement of the recorder that stores nothing."""

    def begin(self, env_ids: Tensor) -> None: ...
    def before_step(self, step: Tensor) -> None: ...
    def after_step(self, step: Tensor, actions: Tensor, success: Tensor, clean_actions: Tensor | None = None) -> None: ...


def poses(pos: Tensor) -> Tensor:
    """Poses (..., 4, 4) at positions (..., 3) [m], without rotation."""
    return pose_from_pos_rot(pos, torch.eye(3).expand(*pos.shape[:-1], 3, 3))


@pytest.fixture(params=[CartAndHand, BatchedCartAndHand])
def env(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> IsaacLabEnv:
    monkeypatch.setattr(compat, "quat_is_xyzw", lambda: False)
    monkeypatch.setattr(isaaclab_actions, "isaaclab_quat_from_matrix", lambda rot, unique: quat_xyzw_from_matrix(rot))
    success = SimpleNamespace(func=lambda env: torch.zeros(NUM_ENVS, dtype=torch.bool), params={})
    return IsaacLabEnv(request.param(), success, "Cart-And-Hand")


@pytest.fixture
def demo() -> SourceDemo:
    """Source demo in which both end effectors move randomly and the grippers change halfway."""
    generator = torch.Generator().manual_seed(2)
    steps = 0.02 * torch.rand(NUM_STEPS, 2, 3, generator=generator)
    target = poses(steps.cumsum(0) + torch.tensor([[0.0] * 3, [1.0] * 3]))
    actions = torch.zeros(NUM_STEPS, 12)
    half = torch.where(torch.arange(NUM_STEPS) < NUM_STEPS // 2, 1.0, -1.0)
    actions[:, 3], actions[:, 10], actions[:, 11] = half, half, 0.5 * half
    shown = {name: target[:, eef].numpy() for eef, name in enumerate(EEFS)}
    box = poses(torch.zeros(NUM_STEPS, 3)).numpy()
    return SourceDemo("demo_0", actions.numpy(), shown, shown, {"box": box}, {})


def subtasks(cart_noise: Any = CART_NOISE) -> dict[str, list[SubTaskConfig]]:
    def work(noise: Any) -> SubTaskConfig:
        return SubTaskConfig("box", None, num_interpolation_steps=0, num_fixed_steps=0, action_noise=noise)

    return {"cart": [work(cart_noise)], "hand": [work(STD)]}


def pool_of(env: IsaacLabEnv, demo: SourceDemo) -> SourcePool:
    return build_pool([demo], subtasks(), env.object_names, env.actions_to_gripper_actions, env.device)


def random_actions() -> Tensor:
    return 0.2 * torch.rand(NUM_ENVS, 12, generator=torch.Generator().manual_seed(1)) - 0.1


def test_gripper_and_pose_dims_give_the_entries_of_each_end_effector(env: IsaacLabEnv) -> None:
    assert (env.eef_names, env.gripper_dims, env.pose_dims) == (EEFS, (1, 2), (3, 6))
    assert env.converter.method == ("own" if hasattr(env._env, "target_eef_poses_to_actions") else "loop")


def test_gripper_actions_are_padded_with_zeros_at_any_number_of_axes(env: IsaacLabEnv) -> None:
    actions = random_actions()
    expected = torch.stack((torch.stack((actions[:, 3], torch.zeros(NUM_ENVS)), -1), actions[:, 10:]), dim=1)
    assert torch.equal(env.actions_to_gripper_actions(actions), expected)
    assert torch.equal(env.actions_to_gripper_actions(actions.expand(4, NUM_ENVS, 12)), expected.expand(4, NUM_ENVS, 2, 2))


def test_actions_are_restored_from_targets_and_grippers(env: IsaacLabEnv) -> None:
    actions = random_actions()
    grippers = env.actions_to_gripper_actions(actions)
    again = env.target_eef_pose_to_action(env.action_to_target_eef_pose(actions), grippers)
    torch.testing.assert_close(again, actions, atol=1e-6, rtol=0)
    # Values in the padding have no effect.
    grippers[:, 0, 1] = 7.0
    assert torch.equal(env.target_eef_pose_to_action(env.action_to_target_eef_pose(actions), grippers), again)


def test_noise_is_added_to_pose_entries_and_not_to_padding(env: IsaacLabEnv) -> None:
    grippers = env.actions_to_gripper_actions(random_actions())
    still = env.target_eef_pose_to_action(env.eef_pose, grippers)
    moved = env.target_eef_pose_to_action(
        env.eef_pose, grippers, torch.arange(1.0, 13.0).reshape(2, 6).expand(NUM_ENVS, 2, 6)
    )
    expected = torch.tensor([1.0, 2, 3, 0, 7, 8, 9, 10, 11, 12, 0, 0]).expand(NUM_ENVS, 12)
    torch.testing.assert_close(moved - still, expected, atol=1e-5, rtol=0)


def test_noisy_and_clean_actions_equal_those_of_separate_conversions(env: IsaacLabEnv) -> None:
    grippers = env.actions_to_gripper_actions(random_actions())
    noise = torch.arange(1.0, 13.0).reshape(2, 6).expand(NUM_ENVS, 2, 6)
    noisy, clean = noisy_and_clean_actions(env, env.eef_pose, grippers, noise)
    assert torch.equal(noisy, env.target_eef_pose_to_action(env.eef_pose, grippers, noise))
    assert torch.equal(clean, env.target_eef_pose_to_action(env.eef_pose, grippers))


def test_source_pool_pads_the_grippers(env: IsaacLabEnv, demo: SourceDemo) -> None:
    gripper = pool_of(env, demo).gripper_action
    actions = torch.from_numpy(demo.actions)
    assert gripper.shape == (2, 1, NUM_STEPS, 2)
    assert torch.equal(gripper[0, 0], torch.stack((actions[:, 3], torch.zeros(NUM_STEPS)), dim=-1))
    assert torch.equal(gripper[1, 0], actions[:, 10:])


def test_noise_has_one_value_per_pose_entry_of_each_end_effector(env: IsaacLabEnv) -> None:
    table = build_table(subtasks(), env.object_names, env.pose_dims, env.device)
    torch.testing.assert_close(table.noise_std, torch.tensor([[[*CART_NOISE, 0.0, 0.0, 0.0]], [[STD] * 6]]))
    with pytest.raises(TaskSpecError, match=r"cart\.0\.action_noise: must have .* 3 in all \(got 6\); use 3"):
        build_table(subtasks([STD] * 6), env.object_names, env.pose_dims, env.device)


def test_trial_uses_grippers_and_noise_of_each_end_effector(env: IsaacLabEnv, demo: SourceDemo) -> None:
    config = DataGenConfig(generation_num_trials=NUM_ENVS, seed=4, num_final_hold_steps=0)
    pool, table = pool_of(env, demo), build_table(subtasks(), env.object_names, env.pose_dims, env.device)
    planner = TrialPlanner(pool, table, build_constraints([], subtasks(), env.device), config, NUM_ENVS)
    watch = TrialWatch(env, config, [[None], [None]])
    generator = Generator(env, planner, NoRecorder(), TrialLedger(config), watch, config)  # type: ignore[arg-type]
    generator.begin_trials()
    achieved = []
    for _ in range(NUM_NOISY):
        achieved.append(by_name(EEFS, env.eef_pose.clone()))
        generator.step()
    draws = Draws(config.seed, torch.arange(NUM_ENVS))
    for step, (actions, before) in enumerate(zip(env._env.actions, achieved, strict=True)):
        # The achieved pose of the source demo comes first, with the gripper action of its first step.
        source = max(step - 1, 0)
        normal = draws.normal(Stream.ACTION_NOISE, (2, 6), torch.full((NUM_ENVS,), step))
        target = {name: torch.from_numpy(demo.target_eef_pose[name][source]) for name in EEFS}
        cart = target["cart"][:3, 3] + normal[:, 0, :3] * torch.tensor(CART_NOISE)
        turn = axis_angle_from_matrix(target["hand"][:3, :3] @ before["hand"][:, :3, :3].mT)
        hand = torch.cat((target["hand"][:3, 3] - before["hand"][:, :3, 3], turn), dim=-1) + STD * normal[:, 1]
        torch.testing.assert_close(actions[:, :3], cart, atol=1e-5, rtol=0)
        torch.testing.assert_close(actions[:, 4:10], hand, atol=1e-5, rtol=0)
        assert np.array_equal(actions[:, [3, 10, 11]], np.broadcast_to(demo.actions[source, [3, 10, 11]], (NUM_ENVS, 3)))
