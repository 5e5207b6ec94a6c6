"""The environment protocol by example: the smallest environment in which demos can be generated.

`DummyEnv` implements `MimicEnv` with plain tensors. Actions move its hand in one step; the task is to touch a cube.
`make_generator` builds the parts of a run, and the tests run it to its end.
"""

# N envs, n of them addressed, E = 1 end effector, O = 1 object, A = 4 action entries: position [m] and gripper, T steps

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.base import MimicEnv
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
from isaaclab_mimic_ext.task.reasons import FailureReason


class DummyEnv:
    device, step_dt = torch.device("cpu"), 0.05
    eef_names, object_names = ("hand",), ("cube",)
    action_dim, pose_dims, gripper_dims = 4, (3,), (1,)
    failure_reasons = (FailureReason("the cube was never touched", condition="touches"),)

    def __init__(self, num_envs: int, reach: float = 1.0):
        self.num_envs, self.reach = num_envs, reach
        self.eef_pose, self.object_pose = (torch.eye(4).repeat(num_envs, 1, 1, 1) for _ in range(2))

    # Begin trials. Random numbers come from the draws of the trial, so they do not depend on the env.
    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        self.eef_pose[env_ids] = torch.eye(4)
        self.object_pose[env_ids, 0, :2, 3] = draws.uniform(Stream.OBJECT_POSE, (2,))

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        rows = slice(None) if env_ids is None else env_ids
        self.eef_pose[rows, 0, :3, 3] = actions[rows, :3].clamp(max=self.reach)

    # Convert target poses to actions, and back.
    def target_eef_pose_to_action(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        position = target_eef_pose[:, 0, :3, 3]
        return torch.cat((position if noise is None else position + noise[:, 0], gripper_action[:, 0]), dim=1)

    def action_to_target_eef_pose(self, actions: Tensor) -> Tensor:
        target = self.eef_pose.clone()
        target[:, 0, :3, 3] = actions[:, :3]
        return target

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        return actions[..., None, 3:]

    # The task, evaluated after every step.
    def success(self) -> Tensor:
        return (self.eef_pose - self.object_pose)[:, 0, :3, 3].norm(dim=1) < 0.05

    def failure_conditions(self) -> dict[str, Tensor]:
        return {"touches": self.success()}

    # Recorded data.
    def observations(self) -> dict[str, Any]:
        return {"hand_pos": self.eef_pose[:, 0, :3, 3], "cube_pos": self.object_pose[:, 0, :3, 3]}

    def get_state(self) -> dict[str, Any]:
        return {"rigid_object": {"cube": {"root_pose": self.object_pose[:, 0, :3, 3]}}}

    def env_args(self) -> dict[str, Any]:
        return {"env_name": "dummy", "type": 2}

    # Not used here: failures of the physics, restoring states, subtask signals, SkillGen, a mobile base, hopeless trials.
    def reset_to(self, state: dict[str, Any], env_ids: Tensor) -> None:
        self.object_pose[env_ids, 0, :3, 3] = state["rigid_object"]["cube"]["root_pose"]

    def check(self) -> None:
        pass

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        return {}

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        return {}

    def get_attached_objects(self) -> Tensor:
        return torch.full((self.num_envs, 1), -1)

    def get_navigation_state(self) -> None:
        return None

    def hopeless(self, over: Mapping[str, Tensor]) -> None:
        return None

    def processed_actions(self) -> None:
        return None

    def close(self) -> None:
        pass


def straight_to_the_cube(num_steps: int = 20) -> SourceDemo:
    """A source demo in which the hand goes straight to a cube at (0.3, 0.2, 0)."""
    cube, hand = np.tile(np.eye(4, dtype=np.float32), (2, num_steps, 1, 1))
    cube[:, :3, 3] = 0.3, 0.2, 0.0
    hand[:, :3, 3] = np.linspace(0, 1, num_steps)[:, None].clip(max=0.7) / 0.7 * cube[:, :3, 3]
    return SourceDemo("demo_0", np.zeros((num_steps, 4), np.float32), {"hand": hand}, {"hand": hand}, {"cube": cube}, {})


def make_generator(env: MimicEnv, config: DataGenConfig, dataset: Path) -> Generator:
    # The source demo, cut into subtasks: here one, whose motion relates to the cube.
    subtasks = {"hand": [SubTaskConfig("cube", action_noise=0.01)]}
    pool = build_pool([straight_to_the_cube()], subtasks, env.object_names, env.actions_to_gripper_actions, env.device)
    # The planner computes the target pose of each env's hand in every step.
    table, constraints = (
        build_table(subtasks, env.object_names, env.pose_dims, env.device),
        build_constraints([], subtasks, env.device),
    )
    planner = TrialPlanner(pool, table, constraints, config, env.num_envs)
    # The watch judges trials, the ledger counts them, the recorder passes their episodes to the writer.
    watch, ledger = TrialWatch(env, config, signals=[[None]]), TrialLedger(config)
    recorder = EpisodeRecorder(env, planner.horizon, EpisodeWriter(Output(dataset), episode_format(env)))
    return Generator(env, planner, recorder, ledger, watch, config)


def test_dummy_env_implements_the_protocol() -> None:
    assert isinstance(DummyEnv(1), MimicEnv)


def test_run_ends_when_it_has_its_demos(tmp_path: Path) -> None:
    generator = make_generator(DummyEnv(num_envs=4), DataGenConfig(generation_num_trials=10), tmp_path / "demo.hdf5")
    generator.run()
    result = generator.close()
    assert (result.num_demos, result.success_rate, result.failures) == (10, 1.0, {})
    with h5py.File(result.dataset) as file:
        assert len(file["data"]) == 10
        hand, cube = (file["data/demo_9/obs"][name][-1] for name in ("hand_pos", "cube_pos"))
    assert np.linalg.norm(hand - cube) < 0.05


def test_budget_ends_a_run_in_which_many_cubes_are_out_of_reach(tmp_path: Path) -> None:
    config = DataGenConfig(generation_num_trials=10, max_trials=6)
    generator = make_generator(DummyEnv(num_envs=4, reach=0.6), config, tmp_path / "demo.hdf5")
    generator.run()
    result = generator.close()
    assert not result.target_reached and result.stop_reason == "max_trials: 6 trials were made"
    assert result.num_attempts == 6 and 0 < result.num_demos < 6
    assert result.failures == {"the cube was never touched": 6 - result.num_demos}
