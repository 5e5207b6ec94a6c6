"""A small kinematic robot: a controller drives the base to its target; the hand reaches its target in one step."""

# N envs, A = 8 action entries: position and gripper of base and hand, T steps of the source demo

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.math import pose_from_pos_rot
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.watch import TrialWatch
from isaaclab_mimic_ext.run.writer import EpisodeWriter

EEFS = ("body", "hand")
NEAR = 0.01
"""Distance at which the base has reached its target [m]."""
NUM_DRIVE, NUM_WORK = 12, 6
"""Numbers of steps in which the source demo drives, and then works."""
DEMO_GOAL = (1.0, 0.0, 0.0)


def poses(pos: Tensor) -> Tensor:
    """Poses (..., 4, 4) that are not turned, at positions (..., 3) [m]."""
    return pose_from_pos_rot(pos, torch.eye(3).expand(*pos.shape[:-1], 3, 3))


class MobileBaseEnv:
    """The base starts at the origin; the goal is about 1 m ahead. Success: the base is at the goal and the hand beyond it.

    Args:
        speed: (N,), how far each env's base drives in a step [m].
    """

    device, step_dt = torch.device("cpu"), 0.05
    eef_names, object_names, action_dim = EEFS, ("goal",), 8
    gripper_dims, pose_dims = (1, 1), (3, 3)
    failure_reasons = ()

    def __init__(self, speed: list[float]):
        self.speed = torch.tensor(speed)
        self.num_envs = len(speed)
        self.eef_pos = torch.zeros(self.num_envs, 2, 3)
        self.base_target = torch.zeros(self.num_envs, 3)
        self.goal = torch.tensor(DEMO_GOAL).repeat(self.num_envs, 1)

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        self.eef_pos[env_ids] = 0.0
        self.base_target[env_ids] = 0.0
        shift = draws.uniform(Stream.OBJECT_POSE, (2,)) - 0.5
        self.goal[env_ids, :2] = torch.tensor(DEMO_GOAL[:2]) + 0.4 * shift

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        rows = torch.arange(self.num_envs) if env_ids is None else env_ids
        self.base_target[rows], hand = actions[rows, :3], actions[rows, 4:7]
        way = self.base_target[rows] - self.eef_pos[rows, 0]
        distance = way.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        self.eef_pos[rows, 0] += way * (self.speed[rows, None] / distance).clamp(max=1.0)
        self.eef_pos[rows, 1] = hand

    def get_navigation_state(self) -> dict[str, Tensor]:
        is_there = (self.base_target - self.eef_pos[:, 0]).norm(dim=-1) < NEAR
        return {"is_navigating": ~is_there, "navigation_goal_reached": is_there}

    @property
    def eef_pose(self) -> Tensor:
        return poses(self.eef_pos)

    @property
    def object_pose(self) -> Tensor:
        return poses(self.goal[:, None])

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        return {"arrive": (self.eef_pos[:, 0] - self.goal).norm(dim=-1) < 2 * NEAR}

    def success(self) -> Tensor:
        is_beyond = self.eef_pos[:, 1, 0] > self.goal[:, 0] + 0.2
        return self.get_subtask_term_signals()["arrive"] & is_beyond

    def failure_conditions(self) -> dict[str, Tensor]:
        return self.get_subtask_term_signals()

    def check(self) -> None:
        pass

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        return None

    def target_eef_pose_to_action(self, target: Tensor, gripper: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.cat((target[..., :3, 3], gripper), dim=-1).flatten(1)

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        return actions[..., 3::4, None]

    def observations(self) -> dict[str, Tensor]:
        return {"base_pos": self.eef_pos[:, 0], "hand_pos": self.eef_pos[:, 1]}

    def get_state(self) -> dict[str, Any]:
        return {"rigid_object": {"base": {"root_pose": self.eef_pos[:, 0]}}}

    def processed_actions(self) -> None:
        return None

    def env_args(self) -> dict[str, Any]:
        return {"env_name": "mobile_base", "type": 2}


def source_demo() -> SourceDemo:
    """The base drives to the goal and arrives at the end of the drive; then the hand reaches 30 cm beyond the goal."""
    num_steps = NUM_DRIVE + NUM_WORK
    goal = torch.tensor(DEMO_GOAL)
    fraction = torch.arange(num_steps)[:, None] / NUM_DRIVE
    base = fraction.clamp(max=1.0) * goal
    hand_target = base + torch.tensor([0.3, 0.0, 0.0]) * (fraction > 1)
    hand = torch.cat((hand_target[:1], hand_target[:-1]))
    target = {"body": poses(goal.expand(num_steps, 3)), "hand": poses(hand_target)}
    achieved = {"body": poses(base), "hand": poses(hand)}
    return SourceDemo(
        name="demo_0",
        actions=np.ones((num_steps, 8), np.float32),
        eef_pose={name: pose.numpy() for name, pose in achieved.items()},
        target_eef_pose={name: pose.numpy() for name, pose in target.items()},
        object_pose={"goal": poses(goal.expand(num_steps, 3)).numpy()},
        subtask_term_signals={"arrive": np.arange(num_steps) >= NUM_DRIVE - 1},
    )


def make_generator(env: MobileBaseEnv, output: Path, config: DataGenConfig) -> Generator:
    """Both drive, then work, in subtasks that end together."""
    drive = SubTaskConfig("goal", "arrive", num_interpolation_steps=0, action_noise=0.0)
    work = SubTaskConfig("goal", num_interpolation_steps=0, action_noise=0.0)
    subtasks = {eef: [drive, work] for eef in EEFS}
    pool = build_pool([source_demo()], subtasks, env.object_names, env.actions_to_gripper_actions, env.device)
    table = build_table(subtasks, env.object_names, env.pose_dims, env.device)
    planner = TrialPlanner(pool, table, build_constraints([], subtasks, env.device), config, env.num_envs)
    writer = EpisodeWriter(Output(output, output.with_name("failed.hdf5")), episode_format(env))
    recorder = EpisodeRecorder(env, planner.horizon, writer)
    watch = TrialWatch(env, config, [["arrive", None], ["arrive", None]], planner.failure_messages)
    return Generator(env, planner, recorder, TrialLedger(config), watch, config)
