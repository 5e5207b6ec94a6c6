"""Kernels of the engines have the bits of the torch operations that they replace."""

# N envs, E end effectors, B pairs of poses

from dataclasses import fields
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.panda.kinematics import pose_error
from isaaclab_mimic_ext.kernels.bodies import BodyPoses, body_poses_torch
from isaaclab_mimic_ext.kernels.observations import NearestQuaternions, nearest_quaternions_torch
from isaaclab_mimic_ext.kernels.pose_errors import PoseErrors
from isaaclab_mimic_ext.math import matrix_from_axis_angle, matrix_from_quat_xyzw, pose_from_pos_rot, rotate
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires


def have_equal_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Unlike `torch.equal`, distinguish zeros by their sign, as a digest does."""
    integers = torch.int64 if one.dtype == torch.float64 else torch.int32
    return one.dtype == other.dtype and torch.equal(one.contiguous().view(integers), other.contiguous().view(integers))


def random_poses(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    pos, turn = (torch.randn(*shape, 3, generator=generator).to(dtype) for _ in range(2))
    return pose_from_pos_rot(pos, matrix_from_axis_angle(2.0 * turn))


@pytest.mark.parametrize(("num_envs", "num_eefs"), [(1, 1), (7, 2), (100, 1), (33, 3)])
def test_quaternions_of_observations_have_the_bits_of_torch(num_envs: int, num_eefs: int) -> None:
    pose, near = random_poses(num_envs, num_eefs), torch.randn(num_eefs, 4, generator=torch.Generator().manual_seed(1))
    quaternions = NearestQuaternions(num_envs, near)(pose)
    assert have_equal_bits(quaternions, nearest_quaternions_torch(pose, near))
    assert ((quaternions * near).sum(-1) > -1e-6).all()


@pytest.mark.parametrize(("num_envs", "num_bodies"), [(1, 1), (7, 5), (100, 3)])
def test_poses_of_bodies_have_the_bits_of_torch(num_envs: int, num_bodies: int) -> None:
    generator = torch.Generator().manual_seed(5)
    world = torch.randn(num_envs, num_bodies, 7, generator=generator)
    origins, reach = torch.randn(num_envs, 3, generator=generator), torch.rand(num_bodies, generator=generator)
    computed = BodyPoses(num_envs, reach)(world.unbind(1), origins)
    for one, other in zip(computed, body_poses_torch(world, origins, reach), strict=True):
        assert have_equal_bits(one, other)


def test_a_rotated_vector_is_the_product_with_the_matrix() -> None:
    generator = torch.Generator().manual_seed(6)
    vector = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    quat = torch.nn.functional.normalize(torch.randn(100, 4, generator=generator, dtype=torch.float64), dim=-1)
    expected = (matrix_from_quat_xyzw(quat) @ vector[..., None])[..., 0]
    torch.testing.assert_close(rotate(vector, quat), expected)


@pytest.mark.parametrize("num_pairs", [1, 7, 100])
@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.02, 1.0, 2.5])
def test_pose_errors_have_the_bits_of_torch(num_pairs: int, size: float) -> None:
    pose = random_poses(num_pairs, dtype=torch.float64)
    turn = matrix_from_axis_angle(size * torch.randn(num_pairs, 3, generator=torch.Generator().manual_seed(2)).double())
    target = pose_from_pos_rot(pose[:, :3, 3] + 0.1, turn @ pose[:, :3, :3]).float()
    assert have_equal_bits(PoseErrors(num_pairs)(target, pose), pose_error(target.double(), pose))


@pytest.mark.parametrize("task", ["desktop_organizer", "two_arm_lift_tray"])
def test_scene_that_a_kernel_reads_has_the_bits_of_torch(task: str) -> None:
    requires.module("mujoco.batch", "mujoco")
    every_env = torch.arange(5)
    env: Any = make_env(load_task(task), "mujoco", num_envs=len(every_env))
    env.reset(every_env, Draws(3, every_env))
    # This rotation has negative entries: their products with a speed of zero are negative zeros.
    env._state.qpos[0, env._layout.root_qpos[:, 3:]] = torch.tensor([0.5, -0.5, 0.1, 0.7], dtype=torch.float64)
    env._call(env._batch.forward)
    assert env._read is not None
    random = torch.randn(env._state.qvel.shape, generator=torch.Generator().manual_seed(4)).double()
    for speeds in (torch.zeros_like(random), -torch.zeros_like(random), random):
        env._state.qvel[:] = speeds
        by_kernel, by_torch = env._read_scene(), env.read_scene_torch()
        for field in fields(by_torch):
            assert have_equal_bits(getattr(by_kernel, field.name), getattr(by_torch, field.name)), field.name
