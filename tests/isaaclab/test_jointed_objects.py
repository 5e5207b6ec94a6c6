"""Objects on joints in Isaac Lab on OvPhysX: a cabinet with a drawer that has a knob, and with a door."""

# N envs

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import isaaclab_mimic_ext as mimic
import isaaclab_mimic_ext.tasks as tasks
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.rng import Draws
from tests.isaaclab.scenes import OVPHYSX

FURNITURE = Path(__file__).parents[1] / "furniture"
NUM_ENVS = 3
EVERY_ENV = torch.arange(NUM_ENVS)
TRIALS = Draws(7, EVERY_ENV)


@pytest.fixture(scope="module")
def task() -> Iterator[mimic.Task]:
    path = list(tasks.__path__)
    yield mimic.load_task("cabinet", FURNITURE)
    tasks.__path__[:] = path


@pytest.fixture(scope="module")
def env(task: mimic.Task) -> Iterator[MimicEnv]:
    env = mimic.make_env(task, OVPHYSX, num_envs=NUM_ENVS)
    yield env
    env.close()


@pytest.fixture
def kinematic(task: mimic.Task) -> MimicEnv:
    env = make_env(task, SimCfg(engine="kinematic"), task.config.events, NUM_ENVS)
    env.reset(EVERY_ENV, TRIALS)
    return env


def test_a_trial_begins_as_on_embedded_engines_with_bases_and_joints_at_random(env, kinematic):
    env.reset(EVERY_ENV, TRIALS)
    for term, values in kinematic.observations().items():
        torch.testing.assert_close(env.observations()[term], values, atol=2e-5, rtol=0.0, msg=term)
    assert len({round(float(value), 5) for value in env.observations()["drawer_joint_pos"]}) == NUM_ENVS
    assert len({round(float(x), 5) for x in env.object_pose[:, 0, 0, 3]}) == NUM_ENVS


def test_recorded_joints_are_in_the_order_of_the_task(env, kinematic):
    """Isaac Lab sorts the joints of an articulation by their distance from its root."""
    own = [f"{name}_joint" for name in env.task.jointed_names]
    assert {*own} == {*env._env.scene["cabinet"].joint_names} and own != env._env.scene["cabinet"].joint_names
    env.reset(EVERY_ENV, TRIALS)
    found, expected = (each.get_state()["articulation"]["cabinet"]["joint_position"] for each in (env, kinematic))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0.0)
    assert env.env_args()["joint_names"] == kinematic.env_args()["joint_names"]


def test_a_recorded_state_of_another_engine_is_restored(env, kinematic):
    kinematic.reset(EVERY_ENV, Draws(8, EVERY_ENV))
    state = kinematic.get_state()
    state["articulation"]["cabinet"]["joint_position"] = torch.tensor([[0.1, -0.5, 1.2]]).repeat(NUM_ENVS, 1)
    env.reset_to(state, EVERY_ENV)
    restored = env.get_state()
    torch.testing.assert_close(
        restored["articulation"]["cabinet"]["joint_position"], state["articulation"]["cabinet"]["joint_position"]
    )
    drawer, knob = (env.object_pose[:, env.object_names.index(name)] for name in ("drawer", "knob"))
    torch.testing.assert_close(
        torch.linalg.inv(drawer) @ knob, _knob_in_drawer(-0.5).expand(NUM_ENVS, 4, 4), atol=1e-4, rtol=0
    )


def test_parts_stay_where_they_are_put_and_the_root_is_fixed(env):
    env.reset(EVERY_ENV, TRIALS)
    before = {name: values.clone() for name, values in env.observations().items()}
    for _ in range(20):
        env.step(env.target_eef_pose_to_action(env.eef_pose, torch.ones(NUM_ENVS, 1, 1)))
    for name in ("cabinet_pos", "drawer_joint_pos", "door_joint_pos", "knob_pos"):
        torch.testing.assert_close(env.observations()[name], before[name], atol=2e-3, rtol=0.0, msg=name)


def _knob_in_drawer(angle: float) -> torch.Tensor:
    """Pose (4, 4) of the knob, turned about y by `angle` [rad], in the frame of the drawer."""
    cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return torch.tensor([[cos, 0.0, sin, 0.0], [0.0, 1.0, 0.0, -0.15], [-sin, 0.0, cos, 0.04], [0.0, 0.0, 0.0, 1.0]])
