"""MuJoCo Warp: inverse kinematics, sizes of buffers, and faults. `tests/contract/test_engines.py` tests the physics."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import warp as wp

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.envs.mujoco_warp_sizes import Sizes
from isaaclab_mimic_ext.envs.panda.kinematics import (
    HOME,
    IK_DAMPING,
    JOINT_LIMITS,
    POSTURE_GAIN,
    joint_step,
    point_jacobian,
    pose_error,
)
from isaaclab_mimic_ext.errors import ConfigError, SimulationError, SimulatorUnavailable
from isaaclab_mimic_ext.kernels import launch
from isaaclab_mimic_ext.kernels.arms import joint_target_kernel
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

NUM_ROWS = 200
TASK = load_task("desktop_organizer")


@pytest.mark.parametrize(("num_joints", "rot_weight", "max_step"), [(7, 1.0, 1e9), (6, 1.0, 0.02), (5, 0.1, 1e9)])
def test_inverse_kinematics_of_the_kernel_and_of_torch_agree(
    device: torch.device, num_joints: int, rot_weight: float, max_step: float
) -> None:
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(NUM_ROWS, *shape, generator=generator)

    def rotations(scale: float) -> torch.Tensor:
        return matrix_from_axis_angle(scale * random(3))

    point, rot, anchor = 0.3 * random(3), rotations(2.0), 0.3 * random(num_joints, 3)
    axis = torch.nn.functional.normalize(random(num_joints, 3), dim=-1)
    target = pose_from_pos_rot(point + 0.02 * random(3), rotations(0.3) @ rot)
    home, limits = torch.tensor(HOME[:num_joints]), torch.tensor(JOINT_LIMITS[:num_joints])
    joint_pos = home + 0.1 * random(num_joints)
    posture_step = POSTURE_GAIN * (home - joint_pos)
    error = pose_error(target, pose_from_pos_rot(point, rot))
    jacobian = point_jacobian(point, anchor, axis)
    expected = joint_pos + joint_step(jacobian, error, posture_step, IK_DAMPING, rot_weight, max_step)
    low, high = limits.unbind(-1)

    def ours(tensor: torch.Tensor, dtype: Any = None) -> Any:
        return wp.from_torch(tensor.to(device).contiguous(), dtype=dtype)

    result = torch.zeros(NUM_ROWS, 1, num_joints, device=device)
    indices = ours(torch.arange(num_joints, dtype=torch.int32)[None])
    inputs = [
        ours(target[:, None], wp.mat44), ours(joint_pos), ours(point[:, None], wp.vec3), ours(rot[:, None], wp.mat33),
        ours(anchor, wp.vec3), ours(axis, wp.vec3), ours(torch.zeros(1, dtype=torch.int32)), indices, indices,
        ours(limits, wp.vec2), ours(home), POSTURE_GAIN, IK_DAMPING, rot_weight, max_step,
    ]  # fmt: skip
    launch(joint_target_kernel, (NUM_ROWS, 1), inputs, [wp.from_torch(result)], result.device)
    torch.testing.assert_close(result[:, 0].cpu(), expected.clamp(low, high), atol=2e-4, rtol=0)


def test_default_sizes_leave_room_for_grasps() -> None:
    requires.module("mujoco", "mujoco")
    sizes = Sizes().completed(build_model(TASK), num_arms=1)
    # Measured over whole trials: at most 19 contacts and 65 rows.
    assert sizes.contacts is not None and 24 <= sizes.contacts <= 64
    assert sizes.constraints is not None and 80 <= sizes.constraints <= 256


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "size"), [("contacts", 4), ("constraints", 8)])
def test_buffer_that_is_too_small_is_reported_with_the_setting_and_a_size_that_suffices(setting: str, size: int) -> None:
    requires.module("mujoco_warp", "mujoco_warp")

    def run(value: int) -> None:
        sizes: dict[str, Any] = {setting: value}
        if setting == "contacts":
            sizes["convex_contacts"] = min(value, 8)
        env = make_env(TASK, SimCfg(engine="mujoco_warp", **sizes), {}, 2)
        env.reset(torch.arange(2), Draws(1, torch.arange(2)))
        hold = env.target_eef_pose_to_action(env.eef_pose, torch.ones(2, 1, 1))
        for _ in range(10):
            env.step(hold)
        env.check()

    with pytest.raises(SimulationError, match=rf"^sim\.{setting}: {size} per env are too few") as caught:
        run(size)
    proposed = re.search(rf"use sim\.{setting}=(\d+)$", str(caught.value))
    assert proposed is not None
    run(int(proposed[1]))


def test_overflow_is_reported_after_a_reset_too_and_no_episode_is_recorded() -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    env = make_env(TASK, SimCfg(engine="mujoco_warp", constraints=8), {}, 1)
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    recorder = EpisodeRecorder(env, 4, writer=SimpleNamespace(output=SimpleNamespace(failed_path=None)))  # type: ignore[arg-type]
    env.step(torch.zeros(1, 7))
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    outcomes = TrialOutcomes(*(np.zeros(1, dtype=np.int64) for _ in range(3)))
    with pytest.raises(SimulationError, match=r"^sim\.constraints"):
        recorder.put(recorder.take(torch.arange(1), outcomes.lengths), outcomes, committed=0)


def test_buffer_of_convex_shapes_larger_than_that_of_contacts_is_refused() -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    with pytest.raises(ConfigError, match=r"sim.convex_contacts: must be <= sim.contacts, which is 8 \(got 16\)"):
        make_env(TASK, SimCfg(engine="mujoco_warp", contacts=8, convex_contacts=16))


def test_missing_mujoco_warp_is_reported_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    with pytest.raises(SimulatorUnavailable, match=r"pip install isaaclab-mimic-ext\[gpu\]"):
        make_env(TASK, "mujoco_warp")


def test_scene_that_mujoco_warp_cannot_simulate_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    mujoco_warp = requires.module("mujoco_warp", "mujoco_warp")

    def refuse(model: Any) -> None:
        raise NotImplementedError("Integrator: RK4 is unsupported.")

    monkeypatch.setattr(mujoco_warp, "put_model", refuse)
    with pytest.raises(
        SimulatorUnavailable, match=r"'desktop_organizer': Integrator: RK4 is unsupported\.; use sim=mujoco$"
    ):
        make_env(TASK, "mujoco_warp")


def test_names_of_overflow_bits_are_those_of_mujoco_warp() -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    from mujoco_warp._src.types import OverflowType

    lost = ("NEFC", "NJMAX_NNZ", "BROADPHASE", "NARROWPHASE", "CCD")
    assert [int(OverflowType[kind]) for kind in lost] == [1, 2, 4, 8, 16]
