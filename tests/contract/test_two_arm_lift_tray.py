"""Contract of all engines for scenes with two arms, in addition to `test_engines.py`."""

# N envs, E = 2 end effectors (left, right), A = 14 action entries

import math

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.task import TwoArmLiftTray
from tests import requires
from tests.engines import make_on_default_device
from tests.named_poses import object_poses

TASK = load_task("two_arm_lift_tray")
EEFS = ("left", "right")
OPEN = 1.0


def build(engine: str, num_envs: int) -> MimicEnv:
    """Envs in which env i is reset to trial i."""
    events = load_config("generate", [f"task={TASK.name}", "output_dir=unused"]).events
    env = make_on_default_device(TASK, SimCfg(engine=engine, num_threads=1), events, num_envs)
    env.reset(torch.arange(num_envs), draws(num_envs))
    return env


def draws(num_envs: int) -> Draws:
    return Draws(3, torch.arange(num_envs))


def random_actions(num_envs: int, step: int) -> Tensor:
    """Random actions (N, A) that move down to the table and use the grippers."""
    actions = 0.5 * draws(num_envs).normal(Stream.ACTION_NOISE, (14,), step)
    actions[:, [2, 9]] -= 0.3
    return actions


def outputs(env: MimicEnv) -> dict[str, Tensor]:
    """Copy of all outputs of an env, by name."""
    shown = {**env.get_state(), "observations": env.observations(), "signals": env.get_subtask_term_signals()}
    shown |= {"success": env.success(), "objects": object_poses(env)}
    shown["eefs"] = env.eef_pose
    return {name: leaf.clone() for name, leaf in trees.flatten(shown).items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], rows: Tensor | slice = slice(None)) -> None:
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        assert torch.equal(leaf[rows], other[name][rows]), name


def eef_poses(env: MimicEnv) -> Tensor:
    return env.eef_pose.clone()


def open_grippers(env: MimicEnv) -> Tensor:
    return torch.full((env.num_envs, 2, 1), OPEN)


def test_observations_and_states_are_named_by_arm(engine: str) -> None:
    env = build(engine, 3)
    assert (env.eef_names, env.action_dim) == (EEFS, 14)
    shapes = {"joint_pos": (3, 9), "joint_vel": (3, 9), "eef_pos": (3, 3), "eef_quat": (3, 4), "gripper_pos": (3, 2)}
    robots = {f"robot_{arm}_{term}": shape for arm in EEFS for term, shape in shapes.items()}
    objects = {f"{name}_{term}": (3, width) for name in TASK.object_names for term, width in (("pos", 3), ("quat", 4))}
    found = {name: tuple(leaf.shape) for name, leaf in env.observations().items()}
    assert found == robots | objects | {"actions": (3, 14)}
    assert set(env.get_state()["articulation"]) == {"robot_left", "robot_right"}


def test_arms_face_each_other_across_the_table(engine: str) -> None:
    env = build(engine, 4)
    left, right = env.eef_pose[..., :3, 3].unbind(1)
    assert left[:, 1].max() < 0 < right[:, 1].min()
    for arm, side in (("robot_left", -1.0), ("robot_right", 1.0)):
        base = env.get_state()["articulation"][arm]["root_pose"][0]
        assert base[1] * side > 0.5
        assert torch.isclose(base[5:].norm(), torch.tensor(1.0))


@pytest.mark.parametrize("moving", [0, 1])
def test_each_arm_moves_independently(engine: str, moving: int) -> None:
    env = build(engine, 4)
    resting = 1 - moving
    before, targets = eef_poses(env), eef_poses(env)
    targets[:, moving, 2, 3] += 0.04
    for _ in range(8):
        env.step(env.target_eef_pose_to_action(targets, open_grippers(env)))
    after = eef_poses(env)
    torch.testing.assert_close(after[:, moving, :3, 3], targets[:, moving, :3, 3], atol=5e-3, rtol=0)
    torch.testing.assert_close(after[:, resting], before[:, resting], atol=2e-3, rtol=0)


def test_actions_and_targets_are_inverse_for_both_arms(engine: str) -> None:
    env = build(engine, 4)
    actions = 0.8 * torch.tanh(draws(4).normal(Stream.ACTION_NOISE, (14,)))
    targets = env.action_to_target_eef_pose(actions)
    again = env.target_eef_pose_to_action(targets, env.actions_to_gripper_actions(actions))
    torch.testing.assert_close(again, actions, atol=1e-4, rtol=0)


def test_env_depends_neither_on_the_number_of_envs_nor_on_which_envs_step(exact_engine: str) -> None:
    few, many = build(exact_engine, 3), build(exact_engine, 8)
    untouched = outputs(many)
    for step in range(30):
        few.step(random_actions(3, step))
        many.step(random_actions(8, step), torch.tensor([0, 1, 2, 6]))
    assert_same({name: leaf[:3] for name, leaf in outputs(many).items()}, outputs(few))
    assert_same(outputs(many), untouched, torch.tensor([3, 4, 5, 7]))


def test_state_restores_both_arms(engine: str) -> None:
    env, other = build(engine, 3), build(engine, 3)
    for step in range(20):
        env.step(random_actions(3, step))
    other.reset_to(env.get_state(), torch.arange(3))
    shown = trees.flatten(env.get_state())
    for name, leaf in trees.flatten(other.get_state()).items():
        torch.testing.assert_close(leaf, shown[name], atol=1e-5, rtol=1e-5, msg=name)


def test_state_that_lacks_an_arm_is_refused(engine: str) -> None:
    env = build(engine, 2)
    state = env.get_state()
    del state["articulation"]["robot_right"]
    with pytest.raises(ConfigError, match=r"state\.articulation: 'robot_right' not found"):
        env.reset_to(state, torch.arange(2))


class AlwaysSolved(TwoArmLiftTray):
    """The task with success in each state, so that a trial fails only by a violation."""

    def success(self, scene: SceneState) -> Tensor:
        return torch.ones_like(scene.object_pose[:, 0, 0, 0], dtype=torch.bool)


def test_trial_with_a_tilted_tray_cannot_succeed_until_the_next_reset(engine: str) -> None:
    env = make_on_default_device(AlwaysSolved(), SimCfg(engine=engine, num_threads=1), {}, 2)
    env.reset(torch.arange(2), draws(2))
    level = env.get_state()
    tray = level["rigid_object"]["tray"]
    quat = torch.tensor([[0.0, 0.0, 0.0, 1.0], [math.sin(0.15), 0.0, 0.0, math.cos(0.15)]])
    in_the_air = torch.cat((tray["root_pose"][:, :3] + torch.tensor([0.0, 0.0, 0.3]), quat), dim=-1)
    objects = level["rigid_object"] | {"tray": {**tray, "root_pose": in_the_air}}
    env.reset_to({**level, "rigid_object": objects}, torch.arange(2))
    for _ in range(20):
        env.step(env.target_eef_pose_to_action(eef_poses(env), open_grippers(env)))
        assert env.success().tolist() == [True, False]
    env.reset(torch.tensor([1]), Draws(3, torch.tensor([1])))
    assert env.success().tolist() == [True, True]


def test_arms_collide_with_objects_and_each_other_but_not_with_themselves() -> None:
    requires.module("mujoco.batch", "mujoco")
    from isaaclab_mimic_ext.envs.mujoco_model import build_model

    def bits(name: str) -> dict[str, set[tuple[int, int]]]:
        model = build_model(load_task(name))
        found: dict[str, set[tuple[int, int]]] = {}
        for geom in range(model.ngeom):
            owner = model.body(model.geom_bodyid[geom]).name.split("/")[0]
            kinds = (int(model.geom_contype[geom]), int(model.geom_conaffinity[geom]))
            if kinds != (0, 0):
                found.setdefault(owner, set()).add(kinds)
        return found

    def touch(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return bool(one[0] & other[1] or other[0] & one[1])

    owners = bits("two_arm_lift_tray")
    (left,), (right,), (tray,) = owners["robot_left"], owners["robot_right"], owners["tray"]
    assert touch(left, right) and touch(left, tray) and touch(right, tray)
    assert not touch(left, left) and not touch(right, right)
