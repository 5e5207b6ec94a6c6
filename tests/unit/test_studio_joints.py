"""Objects on joints in the scenes of the studio: what the pages draw moves with the joint."""

import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene, present_body_poses
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.live_poses import LiveFrame
from isaaclab_mimic_ext.studio.live_grid import grid_poses
from isaaclab_mimic_ext.studio.trial_motion import poses_of
from tests import requires

OPENED = 0.15
"""Distance by which the drawer is open [m]."""


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_open_drawer_is_drawn_open_on_each_tab(engine: str) -> None:
    requires.module("mujoco", "mujoco")
    task = mimic.load_task("mug_cleanup")
    env = mimic.make_env(task, engine, num_envs=1)
    scene = PosedScene(task)
    env_ids = torch.tensor([0])
    env.reset(env_ids, Draws(0, env_ids))
    states = [env.get_state()]
    recorded = [present_body_poses(env, scene)]
    opened = trees.map(torch.clone, states[0])
    opened["articulation"]["cabinet"]["joint_position"][:] = OPENED
    env.reset_to(opened, env_ids)
    states.append(env.get_state())
    recorded.append(present_body_poses(env, scene))
    drawer = next(each["body"] for each in describe_scene(scene)["objects"] if each["name"] == "drawer")
    arrays = [trees.map(lambda leaf: leaf.cpu().numpy(), state) for state in states]
    one = np.ones(1, dtype=np.int32)
    shown = {
        "record": recorded,
        "mark, and a trial in watch": poses_of(scene, trees.map(lambda *leaves: np.concatenate(leaves), *arrays)),
        "watch": [grid_poses(scene, LiveFrame(one, one, one > 0, state))[0] for state in arrays],
    }
    for tab, (before, after) in shown.items():
        moved = np.linalg.norm(np.asarray(after)[:, :3] - np.asarray(before)[:, :3], axis=1)
        assert moved[drawer] == pytest.approx(OPENED, abs=1e-3), tab
        assert (moved > 0.01).sum() == 1, f"{tab}: nothing else moves"
