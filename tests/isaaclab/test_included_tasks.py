"""Included tasks in Isaac Lab on OvPhysX: equal scenes as in embedded engines, grasps that hold."""

# N envs, E end effectors, T steps of a source demo

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from torch import Tensor

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.isaaclab import mimic_fields_of
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.make import task_yaml, trial_events
from isaaclab_mimic_ext.envs.panda.kinematics import (
    HOME,
    IK_DAMPING,
    NUM_ARM_JOINTS,
    POSTURE_GAIN,
    base_poses,
    forward_kinematics,
    joint_step,
)
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, rotation_angle
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks, gym_ids
from isaaclab_mimic_ext.task.objects import jointed_objects
from tests.isaaclab.scenes import make_scenes
from tests.named_poses import object_poses

TASKS = Path(__file__).parents[2] / "tasks"
NUM_ENVS = 3


@pytest.fixture(scope="module", params=[name for name in available_tasks() if gym_ids(name)])
def env(request: pytest.FixtureRequest) -> Iterator[MimicEnv]:
    env = make_scenes(request.param, NUM_ENVS)
    yield env
    env.close()


@pytest.fixture
def trials(env: MimicEnv) -> Draws:
    """Draws of the trials that have just begun in `env`."""
    draws = Draws(7, torch.arange(NUM_ENVS))
    env.reset(torch.arange(NUM_ENVS), draws)
    return draws


def source_demos(env: MimicEnv) -> Path:
    return TASKS / env.task.name / "data" / "source_demos.hdf5"


def first_placed(env: MimicEnv) -> int:
    """Index of the first object that a reset places at random."""
    ranges = {event.asset: event.pose_range.get("x", (0.0, 0.0)) for event in env.task.config.events.values()}
    assets = {asset for asset, (low, high) in ranges.items() if low < high}
    return next(index for index, name in enumerate(env.object_names) if name in assets)


def open_grippers(env: MimicEnv) -> Tensor:
    return torch.ones(NUM_ENVS, len(env.eef_names), 1)


def moved(eef_pose: Tensor, offset: tuple[float, ...], rotation: tuple[float, ...]) -> Tensor:
    """Poses (N, E, 4, 4) moved by `offset` [m] and turned by the rotation vector `rotation` [rad], both in the env frame."""
    rot = matrix_from_axis_angle(torch.tensor(rotation)) @ eef_pose[..., :3, :3]
    return pose_from_pos_rot(eef_pose[..., :3, 3] + torch.tensor(offset), rot)


def follow(env: MimicEnv, target: Tensor, num_steps: int) -> None:
    for _ in range(num_steps):
        env.step(env.target_eef_pose_to_action(target, open_grippers(env)))


def test_initial_observations_equal_those_of_the_embedded_engines(env, trials):
    name = env.task.name
    other = make_env(load_task(name), SimCfg(engine="kinematic"), trial_events(name), NUM_ENVS)
    other.reset(torch.arange(NUM_ENVS), trials)
    ours, expected = env.observations(), other.observations()
    assert list(ours) == list(expected)
    for term, values in expected.items():
        torch.testing.assert_close(ours[term], values, atol=2e-5, rtol=0.0, msg=term)


def test_subtasks_and_constraints_equal_those_of_the_task_file(env):
    found, expected = mimic_fields_of(env._env.cfg), task_yaml(env.task.name)
    assert _object_refs(found) == _object_refs(expected)
    constraints = expected.get("task_constraint_configs", [])
    assert len(found["task_constraint_configs"]) == len(constraints)
    for constraint, read in zip(constraints, found["task_constraint_configs"], strict=True):
        assert {name: read[name] for name in constraint} == constraint


def _object_refs(fields: dict[str, Any]) -> dict[str, list[str | None]]:
    return {eef: [cfg.get("object_ref") for cfg in subtasks] for eef, subtasks in fields["subtask_configs"].items()}


EXPECTED_ATTACHED = {
    "coffee": [None, "coffee_pod", None, None],
    "desktop_organizer": [None, None, "ketchup", "ketchup"],
    "desktop_organizer_cluttered": [None, None, "ketchup", "ketchup"],
    "mug_cleanup": [None, None, "mug", None],
    "square_peg": [None, "square_nut", None, None],
    "stack_cube": [None, "cube_2", None, "cube_3"],
    "two_arm_lift_tray": [None, "tray", "tray", None],
}
"""Object that the gripper of the first end effector should hold when each of its first subtasks begins."""


def test_expected_attached_objects_are_those_grasped_and_not_yet_placed(env):
    own, eef = env._env, env.eef_names[0]
    found = [own.get_expected_attached_object(eef, index, own.cfg) for index in range(4)]
    assert found == EXPECTED_ATTACHED[env.task.name]


def test_actions_are_computed_by_the_batched_method_of_the_env(env):
    num_eefs = len(env.eef_names)
    assert (env.converter.method, env.gripper_dims, env.pose_dims) == ("own", (1,) * num_eefs, (6,) * num_eefs)


def test_recorded_state_is_bitwise_that_of_isaaclabs_method(env, trials):
    own, theirs = env.get_state(), env._env.scene.get_state(is_relative=True)
    leaves, expected = trees.flatten(own), trees.flatten(theirs)
    parts = {name for obj in jointed_objects(env.task.objects) for name in (obj.base, obj.name)}
    own_leaves = {f"rigid_object/{name}/{leaf}" for name in parts for leaf in ("root_pose", "root_velocity")}
    assert env._state_reader._is_known
    assert {*leaves} - {*expected} == own_leaves
    assert all(torch.equal(leaves[path], leaf) for path, leaf in expected.items())


def test_actions_are_converted_back_to_their_targets(env, trials):
    target = moved(env.eef_pose, (0.02, -0.03, 0.04), (0.1, -0.2, 0.05))
    actions = env.target_eef_pose_to_action(target, open_grippers(env))
    torch.testing.assert_close(env.action_to_target_eef_pose(actions), target, atol=1e-5, rtol=0.0)


def test_hands_and_objects_stay_at_rest(env, trials):
    eef_pose, objects = env.eef_pose.clone(), {k: v.clone() for k, v in object_poses(env).items()}
    follow(env, eef_pose, 30)
    torch.testing.assert_close(env.eef_pose, eef_pose, atol=5e-4, rtol=0.0)
    for name, pose in object_poses(env).items():
        torch.testing.assert_close(pose, objects[name], atol=1e-3, rtol=0.0, msg=name)


def test_hands_reach_a_pose_52_mm_away_within_half_a_second(env, trials):
    """Also with a base that is rotated: actions are in the env frame."""
    target = moved(env.eef_pose, (-0.03, 0.03, 0.03), (0.1, 0.0, 0.2))
    follow(env, target, 10)
    reached = env.eef_pose
    assert (reached[..., :3, 3] - target[..., :3, 3]).norm(dim=-1).max() < 2e-3
    assert rotation_angle(reached[..., :3, :3], target[..., :3, :3]).max() < 0.01


def test_joint_targets_are_one_step_of_the_inverse_kinematics_of_all_engines(env, trials):
    """Isaac Lab's own term computes targets again in each physics step."""
    joint_pos = env._env.scene_state().joint_pos[..., :NUM_ARM_JOINTS].clone()
    offset, rotation = (0.02, -0.01, 0.015), (0.05, 0.1, -0.05)
    follow(env, moved(env.eef_pose, offset, rotation), 1)
    for index, arm in enumerate(env.task.arms):
        targets = env._env.scene[arm.name].actuators.target_command.position.torch
        base_rot = base_poses((arm,))[0, :3, :3]
        error = torch.cat([torch.tensor(vector) @ base_rot for vector in (offset, rotation)])
        home = torch.tensor(HOME[:NUM_ARM_JOINTS])
        for scene, before in enumerate(joint_pos[:, index]):
            posture_step = POSTURE_GAIN * (home - before)
            step = joint_step(_jacobian(before)[None], error[None], posture_step[None], IK_DAMPING)[0]
            torch.testing.assert_close(targets[scene, :NUM_ARM_JOINTS], before + step, atol=1e-3, rtol=0.0)


def _jacobian(joint_pos: Tensor) -> Tensor:
    """Jacobian (6, 7) of the end effector, base frame, by automatic differentiation of the forward kinematics."""
    pose = forward_kinematics(joint_pos)
    slope = torch.autograd.functional.jacobian(forward_kinematics, joint_pos)
    spin = torch.einsum("abj,cb->jac", slope[:3, :3], pose[:3, :3])
    return torch.cat((slope[:3, 3], torch.stack((spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]))))


def test_motion_is_bitwise_that_of_scenes_that_are_written_and_read_in_each_physics_step(env, monkeypatch):
    def positions() -> list[Tensor]:
        env.reset(torch.arange(NUM_ENVS), Draws(7, torch.arange(NUM_ENVS)))
        follow(env, moved(env.eef_pose, (0.02, -0.01, 0.015), (0.05, 0.1, -0.05)), 10)
        return [value.clone() for value in trees.flatten(env.get_state()).values()]

    assert env._env._scene_access is not None
    positions()  # The first episode of a new scene may differ by 1e-7.
    once = positions()
    monkeypatch.setattr(env._env, "_scene_access", None)
    assert all(torch.equal(one, each) for one, each in zip(once, positions(), strict=True))


def test_reset_of_one_env_does_not_change_other_envs(env, trials):
    follow(env, env.eef_pose, 2)
    before = {name: values.clone() for name, values in env.observations().items()}
    env.reset(torch.tensor([1]), Draws(7, torch.tensor([40])))
    others = torch.tensor([0, 2])
    for name, values in env.observations().items():
        torch.testing.assert_close(values[others], before[name][others], atol=1e-6, rtol=0.0, msg=name)
    moved_object = f"{env.object_names[first_placed(env)]}_pos"
    assert (env.observations()[moved_object][1] - before[moved_object][1]).norm() > 1e-3


def test_reset_by_isaaclabs_own_programs_places_the_objects(env, trials):
    """They reset all envs without a list of indices: in release 3, events then receive a slice."""
    index = first_placed(env)
    before = env.object_pose[:, index, :2, 3].clone()
    env._env.reset()
    env._begin(torch.arange(NUM_ENVS))
    assert ((env.object_pose[:, index, :2, 3] - before).norm(dim=-1) > 1e-3).all()


def test_replaying_targets_recorded_in_mujoco_solves_the_task(env):
    with h5py.File(source_demos(env)) as file:
        demos = [file["data"][f"demo_{index}"] for index in range(NUM_ENVS)]
        length = max(len(demo["actions"]) for demo in demos)
        per_eef = [_padded(demos, f"obs/datagen_info/target_eef_pose/{name}", length) for name in env.eef_names]
        targets, actions = torch.stack(per_eef, dim=2), _padded(demos, "actions", length)
        env.reset_to(_initial_state(demos), torch.arange(NUM_ENVS))
    for step in range(length):
        grippers = env.actions_to_gripper_actions(actions[:, step])
        env.step(env.target_eef_pose_to_action(targets[:, step], grippers))
        fingers = env._env.scene_state().finger_pos
        assert (fingers[..., 0] - fingers[..., 1]).abs().max() < 1e-3, f"fingers are not coupled in step {step}"
    assert env.success().all()


def test_generated_demos_are_valid(env, tmp_path):
    """Runs grasps, constraints between end effectors, and transits. Of many trials, more than 80 % succeed."""
    demos = mimic.load_demos(source_demos(env), env)
    config = mimic.GenerationCfg(num_trials=NUM_ENVS, guarantee=False, seed=101)
    run = mimic.generate(env, demos, config, tmp_path / "run")
    assert run.num_successes >= 1
    assert validate_dataset(run.dataset).is_valid(strict=True)


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
