"""What a policy sees of the hand's orientation."""

# N envs

import torch

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import load_task

TASK = load_task("desktop_organizer")


def test_quaternion_of_a_hand_that_trembles_about_pointing_down_never_jumps() -> None:
    num_envs = 50
    env = make_env(TASK, SimCfg(engine="kinematic"), {"robot": EventCfg("robot", joint_std=0.05)}, num_envs)
    draws = Draws(1, torch.arange(num_envs))
    env.reset(torch.arange(num_envs), draws)
    seen = [env.observations()["eef_quat"].clone()]
    for step in range(40):
        actions = 0.3 * draws.normal(Stream.ACTION_NOISE, (7,), step)
        env.step(actions)
        seen.append(env.observations()["eef_quat"].clone())
        rot = matrix_from_quat_xyzw(seen[-1])
        assert torch.allclose(rot, env.eef_pose[:, 0, :3, :3], atol=1e-5)
    quats = torch.stack(seen)
    assert bool((quats[..., 3] < 0).any()) and bool((quats[..., 3] > 0).any()), "the hand no longer passes w = 0"
    assert float((quats[1:] - quats[:-1]).norm(dim=-1).max()) < 0.5
    assert float(quats[..., 0].max()) < 0, "all envs see the same of two quaternions for one orientation"
