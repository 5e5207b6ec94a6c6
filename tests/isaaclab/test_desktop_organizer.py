"""Desktop organizer in Isaac Lab on OvPhysX: equal scenes as in embedded engines, grasps that hold."""

# N envs, T steps of a source demo

from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, rotation_angle
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests.isaaclab.scenes import make_scenes
from tests.named_poses import object_poses

NAME = "desktop_organizer"
SOURCE = Path(__file__).parents[2] / "tasks" / NAME / "data" / "source_demos.hdf5"
NUM_ENVS = 4
EEF = "franka"
OPEN = torch.ones(NUM_ENVS, 1, 1)


@pytest.fixture(scope="module")
def env() -> Iterator[MimicEnv]:
    env = make_scenes(NAME, NUM_ENVS)
    yield env
    env.close()


@pytest.fixture
def trials(env: MimicEnv) -> Draws:
    """Draws of the trials that have just begun in `env`."""
    draws = Draws(7, torch.arange(NUM_ENVS))
    env.reset(torch.arange(NUM_ENVS), draws)
    return draws


def follow(env: MimicEnv, target: Tensor, num_steps: int) -> None:
    for _ in range(num_steps):
        env.step(env.target_eef_pose_to_action(target[:, None], OPEN))


def test_initial_observations_equal_those_of_the_embedded_engines(env, trials):
    other = make_env(load_task(NAME), SimCfg(engine="kinematic"), trial_events(NAME), NUM_ENVS)
    other.reset(torch.arange(NUM_ENVS), trials)
    ours, expected = env.observations(), other.observations()
    assert list(ours) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(ours[name], values, atol=2e-5, rtol=0.0, msg=name)


def test_actions_are_computed_by_the_batched_method_of_the_env(env):
    assert (env.converter.method, env.gripper_dims, env.pose_dims) == ("own", (1,), (6,))


def test_actions_are_converted_back_to_their_targets(env, trials):
    eef_pose = env.eef_pose[:, 0]
    rot = matrix_from_axis_angle(torch.tensor([0.1, -0.2, 0.05])) @ eef_pose[:, :3, :3]
    target = pose_from_pos_rot(eef_pose[:, :3, 3] + torch.tensor([0.02, -0.03, 0.04]), rot)
    actions = env.target_eef_pose_to_action(target[:, None], OPEN)
    torch.testing.assert_close(env.action_to_target_eef_pose(actions)[:, 0], target, atol=1e-5, rtol=0.0)


def test_hand_and_objects_stay_at_rest(env, trials):
    eef_pose, objects = env.eef_pose[:, 0].clone(), {k: v.clone() for k, v in object_poses(env).items()}
    follow(env, eef_pose, 30)
    torch.testing.assert_close(env.eef_pose[:, 0], eef_pose, atol=5e-4, rtol=0.0)
    for name, pose in object_poses(env).items():
        torch.testing.assert_close(pose, objects[name], atol=1e-3, rtol=0.0, msg=name)


def test_hand_reaches_a_pose_52_mm_away_within_half_a_second(env, trials):
    eef_pose = env.eef_pose[:, 0]
    rot = matrix_from_axis_angle(torch.tensor([0.0, 0.0, 0.2])) @ eef_pose[:, :3, :3]
    target = pose_from_pos_rot(eef_pose[:, :3, 3] + torch.tensor([0.03, 0.03, 0.03]), rot)
    follow(env, target, 10)
    reached = env.eef_pose[:, 0]
    assert (reached[:, :3, 3] - target[:, :3, 3]).norm(dim=-1).max() < 2e-3
    assert rotation_angle(reached[:, :3, :3], rot).max() < 0.01


def test_reset_of_one_env_does_not_change_other_envs(env, trials):
    follow(env, env.eef_pose[:, 0], 2)
    before = {name: values.clone() for name, values in env.observations().items()}
    env.reset(torch.tensor([2]), Draws(7, torch.tensor([40])))
    others = torch.tensor([0, 1, 3])
    for name, values in env.observations().items():
        torch.testing.assert_close(values[others], before[name][others], atol=1e-6, rtol=0.0, msg=name)
    assert (env.observations()["ketchup_pos"][2] - before["ketchup_pos"][2]).norm() > 1e-3


def test_reset_by_isaaclabs_own_programs_places_the_objects(env, trials):
    """They reset all envs without a list of indices: in release 3, events then receive a slice."""
    before = object_poses(env)["ketchup"].clone()
    env._env.reset()
    env._begin(torch.arange(NUM_ENVS))
    moved = (object_poses(env)["ketchup"][:, :2, 3] - before[:, :2, 3]).norm(dim=-1)
    assert (moved > 1e-3).all()


def test_replaying_targets_recorded_in_mujoco_puts_the_bottle_into_the_basket(env):
    with h5py.File(SOURCE) as file:
        demos = [file["data"][f"demo_{index}"] for index in range(NUM_ENVS)]
        length = max(len(demo["actions"]) for demo in demos)
        targets = _padded(demos, "obs/datagen_info/target_eef_pose/franka", length)
        actions = _padded(demos, "actions", length)
        env.reset_to(_initial_state(demos), torch.arange(NUM_ENVS))
    for step in range(length):
        grippers = env.actions_to_gripper_actions(actions[:, step])
        env.step(env.target_eef_pose_to_action(targets[:, step, None], grippers))
    assert env.success().all()


def _padded(demos: list[h5py.Group], name: str, length: int) -> Tensor:
    """Rows of demos, (N, T, ...); shorter demos repeat their last row."""
    rows = [torch.from_numpy(demo[name][:]) for demo in demos]
    return torch.stack([torch.cat((row, row[-1:].expand(length - len(row), *row.shape[1:]))) for row in rows])


def _initial_state(demos: list[h5py.Group]) -> dict[str, dict[str, dict[str, Tensor]]]:
    first = demos[0]["initial_state"]
    return {
        group: {
            asset: {
                leaf: torch.stack([torch.from_numpy(demo[f"initial_state/{group}/{asset}/{leaf}"][0]) for demo in demos])
                for leaf in first[group][asset]
            }
            for asset in first[group]
        }
        for group in first
    }
