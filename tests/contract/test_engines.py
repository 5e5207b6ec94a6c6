"""Contract of all engines, with and without physics."""

# N envs, n of them addressed

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv, noisy_and_clean_actions
from isaaclab_mimic_ext.envs.embedded import POS_SCALE, ROT_SCALE
from isaaclab_mimic_ext.envs.panda.kinematics import forward_kinematics
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, rotation_angle
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import Task, load_task
from tests import requires
from tests.engines import make_on_default_device
from tests.named_poses import object_poses

EEF = "franka"
NEAR = {"x": [-0.05, 0.05], "y": [-0.05, 0.05]}


@dataclass(frozen=True)
class Setup:
    """Task and engine of a test.

    Attributes:
        target: object that the gripper grasps in these tests.
        grip_height: height of the grasp above the frame of `target` [m].
        yaw: largest initial yaw of `target` [rad].
    """

    engine: str
    task: Task
    events: Mapping[str, EventCfg]
    target: str
    grip_height: float
    yaw: float

    def make(self, num_envs: int, num_threads: int = 1) -> MimicEnv:
        sim = SimCfg(engine=self.engine, num_threads=num_threads)
        return make_on_default_device(self.task, sim, self.events, num_envs)


def desktop_organizer(engine: str) -> Setup:
    events = {
        "ketchup": EventCfg("ketchup", pose_range=NEAR | {"yaw": [-3.14, 3.14]}),
        "orange_juice": EventCfg("orange_juice", pose_range={"x": [-0.3, 0.3], "y": [-0.3, 0.3]}, min_separation=0.06),
        "robot": EventCfg("robot", joint_std=0.02),
    }
    return Setup(engine, load_task("desktop_organizer"), events, "ketchup", 0.018, 3.14)


def stack_cube(engine: str) -> Setup:
    # The hand does not turn in these tests, so the yaw of the cube must be small for the fingers to grasp two faces.
    events = {
        "cube_2": EventCfg("cube_2", pose_range=NEAR | {"yaw": [-0.2, 0.2]}),
        "robot": EventCfg("robot", joint_std=0.02),
    }
    return Setup(engine, load_task("stack_cube"), events, "cube_2", 0.012, 0.2)


@pytest.fixture(params=[desktop_organizer, stack_cube])
def setup(request: pytest.FixtureRequest, engine: str) -> Setup:
    return request.param(engine)


@pytest.fixture(params=[desktop_organizer, stack_cube])
def exact_setup(request: pytest.FixtureRequest, exact_engine: str) -> Setup:
    return request.param(exact_engine)


def build(setup: Setup, num_envs: int, num_threads: int = 1) -> MimicEnv:
    """Envs in which env i is reset to trial i."""
    env = setup.make(num_envs, num_threads)
    env.reset(torch.arange(num_envs), draws(num_envs))
    return env


def draws(num_envs: int) -> Draws:
    return Draws(3, torch.arange(num_envs))


def random_actions(num_envs: int, step: int) -> Tensor:
    """Random actions (N, A) that move down to the objects and use the gripper."""
    actions = 0.5 * draws(num_envs).normal(Stream.ACTION_NOISE, (7,), step)
    actions[:, 2] -= 0.3
    return actions


def outputs(env: MimicEnv) -> dict[str, Tensor]:
    """Copy of all outputs of an env, by name."""
    shown = {
        **env.get_state(),
        "observations": env.observations(),
        "objects": object_poses(env),
        "signals": env.get_subtask_term_signals(),
        "eef": env.eef_pose[:, 0],
        "success": env.success(),
    }
    if env.processed_actions() is not None:
        shown["processed_actions"] = env.processed_actions()
    return {name: leaf.clone() for name, leaf in trees.flatten(shown).items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], rows: Tensor | slice = slice(None)) -> None:
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        assert torch.equal(leaf[rows], other[name][rows]), name


def follow(env: MimicEnv, pos: Tensor, gripper: float, num_steps: int) -> None:
    """Move the end effectors to positions (N, 3), env frame [m], with constant orientation."""
    target = env.eef_pose[:, 0].clone()
    target[:, :3, 3] = pos
    for _ in range(num_steps):
        gripper_action = torch.full((env.num_envs, 1, 1), gripper)
        env.step(env.target_eef_pose_to_action(target[:, None], gripper_action))


def grasp_position(setup: Setup, env: MimicEnv) -> Tensor:
    return object_poses(env)[setup.target][:, :3, 3] + torch.tensor([0.0, 0.0, setup.grip_height])


def test_engine_satisfies_the_protocol(setup: Setup) -> None:
    env = build(setup, 2)
    assert isinstance(env, MimicEnv)
    assert (env.eef_names, env.object_names) == ((EEF,), tuple(obj.name for obj in setup.task.objects))
    assert (env.action_dim, env.gripper_dims, env.pose_dims) == (7, (1,), (6,))
    assert env.env_args()["engine"] == setup.engine


def test_observations_have_the_names_and_shapes_of_the_stack_task(setup: Setup) -> None:
    names = setup.task.object_names
    shapes = {name: tuple(leaf.shape) for name, leaf in build(setup, 3).observations().items()}
    robot = {"actions": (3, 7), "joint_pos": (3, 9), "joint_vel": (3, 9), "eef_pos": (3, 3), "eef_quat": (3, 4)}
    objects = {f"{name}_pos": (3, 3) for name in names} | {f"{name}_quat": (3, 4) for name in names}
    own = {
        "desktop_organizer": {"ketchup_from_eef": (3, 3), "basket_from_ketchup": (3, 3)},
        "stack_cube": {"object": (3, 39), "cube_positions": (3, 9), "cube_orientations": (3, 12), "close_up": (3, 12)}
        | dict.fromkeys(("cube_2_from_eef", "cube_3_from_eef", "cube_1_from_cube_2", "cube_2_from_cube_3"), (3, 3))
        | {"cube_turns": (3, 3)},
    }
    assert shapes == robot | {"gripper_pos": (3, 2)} | objects | own[setup.task.name]


def test_outputs_are_float32_or_bool_with_one_row_per_env(setup: Setup) -> None:
    for name, leaf in outputs(build(setup, 3)).items():
        assert leaf.shape[0] == 3, name
        assert leaf.dtype in (torch.float32, torch.bool), name


def test_eef_pose_agrees_with_forward_kinematics(setup: Setup) -> None:
    env = build(setup, 5)
    joint_pos = env.get_state()["articulation"]["robot"]["joint_position"]
    torch.testing.assert_close(env.eef_pose[:, 0], forward_kinematics(joint_pos[:, :7]), atol=2e-6, rtol=0)


def test_unclipped_target_pose_is_restored_from_its_action(setup: Setup) -> None:
    env = build(setup, 16)
    offset = 2.0 * draws(16).uniform(Stream.ACTION_NOISE, (6,)) - 1.0
    eef_pose = env.eef_pose[:, 0]
    rot = matrix_from_axis_angle(0.5 * ROT_SCALE * offset[:, 3:]) @ eef_pose[:, :3, :3]
    target = pose_from_pos_rot(eef_pose[:, :3, 3] + POS_SCALE * offset[:, :3], rot)
    gripper = torch.where(offset[:, :1] > 0, 1.0, -1.0)
    actions = env.target_eef_pose_to_action(target[:, None], gripper[:, None])
    decoded = env.action_to_target_eef_pose(actions)[:, 0]
    torch.testing.assert_close(decoded, target, atol=2e-6, rtol=0)
    assert torch.equal(env.actions_to_gripper_actions(actions)[:, 0], gripper)


def test_noise_is_added_in_action_units_before_clipping(setup: Setup) -> None:
    env = build(setup, 2)
    noise = torch.tensor([[[0.3] * 6], [[1.7] * 6]])
    actions = env.target_eef_pose_to_action(env.eef_pose, torch.ones(2, 1, 1), noise)
    torch.testing.assert_close(actions, torch.tensor([[0.3] * 6 + [1.0], [1.0] * 7]), atol=1e-5, rtol=0)


def test_noisy_and_clean_actions_are_bitwise_those_of_separate_conversions(setup: Setup) -> None:
    env = build(setup, 3)
    generator = torch.Generator().manual_seed(6)
    target = env.eef_pose.clone()
    target[..., :3, 3] += 0.05 * torch.randn(3, env.num_arms, 3, generator=generator)
    noise, gripper = torch.randn(3, env.num_arms, 6, generator=generator), torch.ones(3, env.num_arms, 1)
    noisy, clean = noisy_and_clean_actions(env, target, gripper, noise)
    assert torch.equal(noisy, env.target_eef_pose_to_action(target, gripper, noise))
    assert torch.equal(clean, env.target_eef_pose_to_action(target, gripper))


def test_constant_target_is_reached(setup: Setup) -> None:
    env = build(setup, 4)
    target = env.eef_pose[:, 0].clone()
    target[:, :3, 3] += torch.tensor([0.08, 0.10, -0.04])
    target[:, :3, :3] = matrix_from_axis_angle(torch.tensor([[0.1, 0.1, 0.5]] * 4)) @ target[:, :3, :3]
    for _ in range(40):
        env.step(env.target_eef_pose_to_action(target[:, None], torch.ones(4, 1, 1)))
    reached = env.eef_pose[:, 0]
    assert (reached[:, :3, 3] - target[:, :3, 3]).norm(dim=-1).max() < 0.002
    assert rotation_angle(reached[:, :3, :3], target[:, :3, :3]).max() < 0.01


def test_partial_reset_does_not_change_a_bit_of_the_other_envs(setup: Setup) -> None:
    env = build(setup, 6)
    for step in range(5):
        env.step(random_actions(6, step))
    before = outputs(env)
    env.reset(torch.tensor([4, 1]), Draws(9, torch.tensor([100, 101])))
    assert_same(before, outputs(env), torch.tensor([0, 2, 3, 5]))
    assert not torch.equal(before[f"objects/{setup.target}"][4], object_poses(env)[setup.target][4])


def test_partial_reset_does_not_change_later_steps_of_other_envs(exact_setup: Setup) -> None:
    one, other = build(exact_setup, 3), build(exact_setup, 3)
    for step in range(10):
        if step == 5:
            other.reset(torch.tensor([1]), Draws(9, torch.tensor([100])))
        one.step(random_actions(3, step))
        other.step(random_actions(3, step))
    assert_same(outputs(one), outputs(other), torch.tensor([0, 2]))


def test_unsorted_env_ids_get_their_own_trials(setup: Setup) -> None:
    env = build(setup, 3)
    env.reset(torch.tensor([2, 0, 1]), Draws(5, torch.tensor([12, 10, 11])))
    expected = setup.make(3)
    expected.reset(torch.arange(3), Draws(5, torch.tensor([10, 11, 12])))
    assert_same(outputs(env), outputs(expected))


def test_stepping_some_envs_does_not_change_a_bit_of_the_others(exact_setup: Setup) -> None:
    env, together = build(exact_setup, 5), build(exact_setup, 5)
    before = outputs(env)
    active = torch.tensor([0, 3])
    for step in range(5):
        env.step(random_actions(5, step), active)
        together.step(random_actions(5, step))
    assert_same(before, outputs(env), torch.tensor([1, 2, 4]))
    assert_same(outputs(together), outputs(env), active)


def test_env_does_not_depend_on_the_number_of_envs(exact_setup: Setup) -> None:
    # On one core, MuJoCo Warp is slow.
    sizes, num_steps = ((1, 7, 32), 30) if exact_setup.engine == "mujoco_warp" else ((1, 7, 64), 50)
    envs = [build(exact_setup, size, num_threads=2) for size in sizes]
    for step in range(num_steps):
        for env, size in zip(envs, sizes, strict=True):
            env.step(random_actions(size, step))
    shown = [outputs(env) for env in envs]
    for size, fewer in zip(sizes[:2], shown[:2], strict=True):
        assert_same({name: leaf[:size] for name, leaf in shown[2].items()}, fewer)


def test_env_recovers_at_the_reset_from_a_state_that_is_not_finite(exact_setup: Setup) -> None:
    env, fresh = build(exact_setup, 3), build(exact_setup, 3)
    state = env.get_state()
    velocity = state["articulation"]["robot"]["joint_velocity"].clone()
    velocity[1] = torch.nan
    state["articulation"]["robot"]["joint_velocity"] = velocity
    env.reset_to(state, torch.arange(3))
    fresh.reset_to(fresh.get_state(), torch.arange(3))
    for each in (env, fresh):
        each.step(random_actions(3, 0))
    assert_same(outputs(env), outputs(fresh), torch.tensor([0, 2]))
    for each in (env, fresh):
        each.reset(torch.arange(3), draws(3))
        for step in range(3):
            each.step(random_actions(3, step))
    assert_same(outputs(env), outputs(fresh))


def test_env_does_not_depend_on_its_history_before_the_reset(exact_setup: Setup) -> None:
    used, fresh = build(exact_setup, 3), build(exact_setup, 3)
    for step in range(20):
        used.step(random_actions(3, step))
    used.reset(torch.arange(3), draws(3))
    assert_same(outputs(used), outputs(fresh))
    for step in range(5):
        used.step(random_actions(3, step))
        fresh.step(random_actions(3, step))
    assert_same(outputs(used), outputs(fresh))


@pytest.mark.parametrize("task", [desktop_organizer, stack_cube])
def test_mujoco_does_not_depend_on_the_number_of_threads(task: Callable[[str], Setup]) -> None:
    requires.module("mujoco.batch", "mujoco")
    envs = [build(task("mujoco"), 5, num_threads) for num_threads in (1, 2, 3)]
    for step in range(50):
        for env in envs:
            env.step(random_actions(5, step))
    shown = [outputs(env) for env in envs]
    assert_same(shown[0], shown[1])
    assert_same(shown[0], shown[2])


def test_state_restores_the_scene(setup: Setup) -> None:
    env = build(setup, 3)
    follow(env, grasp_position(setup, env) + torch.tensor([0.0, 0.0, 0.1]), 1.0, 15)
    follow(env, grasp_position(setup, env), 1.0, 10)
    follow(env, grasp_position(setup, env), -1.0, 10)
    follow(env, grasp_position(setup, env) + torch.tensor([0.0, 0.0, 0.1]), -1.0, 5)
    saved = {name: leaf.clone() for name, leaf in trees.flatten(env.get_state()).items()}
    other = build(setup, 3)
    other.reset_to(env.get_state(), torch.arange(3))
    for name, leaf in trees.flatten(other.get_state()).items():
        torch.testing.assert_close(leaf, saved[name], atol=1e-5, rtol=1e-5, msg=name)
    for each in (env, other):
        follow(each, each.eef_pose[:, 0, :3, 3] + torch.tensor([0.0, 0.0, 0.05]), -1.0, 5)
    target = setup.target
    torch.testing.assert_close(object_poses(other)[target], object_poses(env)[target], atol=2e-3, rtol=0)


def test_signals_rise_in_the_order_of_the_subtasks(engine: str) -> None:
    setup = desktop_organizer(engine)
    env = build(setup, 4)
    seen = []

    def note() -> None:
        seen.append({name for name, signal in env.get_subtask_term_signals().items() if bool(signal.all())})

    grasp = grasp_position(setup, env)
    basket = object_poses(env)["basket"][:, :3, 3].clone()
    note()
    follow(env, grasp + torch.tensor([0.0, 0.0, 0.1]), 1.0, 20)
    follow(env, grasp, 1.0, 15)
    note()
    follow(env, grasp, -1.0, 8)
    note()
    follow(env, grasp + torch.tensor([0.0, 0.0, 0.18]), -1.0, 20)
    note()
    follow(env, basket + torch.tensor([0.0, 0.0, 0.25]), -1.0, 25)
    follow(env, basket + torch.tensor([0.0, 0.0, 0.095]), -1.0, 20)
    assert not env.success().any()
    follow(env, basket + torch.tensor([0.0, 0.0, 0.095]), 1.0, 8)
    follow(env, basket + torch.tensor([0.0, 0.0, 0.25]), 1.0, 12)
    note()
    assert seen == [set(), {"reach"}, {"reach", "grasp"}, {"reach", "grasp", "lift"}, {"place"}]
    assert env.success().all()


def test_fingers_stop_at_the_faces_of_the_held_object(setup: Setup) -> None:
    env = build(setup, 2)
    follow(env, grasp_position(setup, env) + torch.tensor([0.0, 0.0, 0.1]), 1.0, 20)
    follow(env, grasp_position(setup, env), 1.0, 15)
    follow(env, grasp_position(setup, env), -1.0, 10)
    fingers = env.get_state()["articulation"]["robot"]["joint_position"][:, 7:]
    half_width = next(grip.half_width for grip in setup.task.graspable()[EEF] if grip.object_name == setup.target)
    torch.testing.assert_close(fingers, torch.full((2, 2), half_width), atol=1e-3, rtol=0)


def test_objects_stay_at_the_poses_of_the_reset(setup: Setup) -> None:
    env = build(setup, 8)
    before = env.get_state()["rigid_object"]
    hold = env.target_eef_pose_to_action(env.eef_pose, torch.ones(8, 1, 1))
    for _ in range(20):
        env.step(hold)
    for name, after in env.get_state()["rigid_object"].items():
        torch.testing.assert_close(after["root_pose"], before[name]["root_pose"], atol=1e-3, rtol=0, msg=name)


def test_reset_randomizes_within_the_ranges_of_the_events(setup: Setup) -> None:
    env = build(setup, 64)
    target = object_poses(env)[setup.target]
    default_pos = setup.task.objects[setup.task.object_id(setup.target)].default_pos
    offset = target[:, :2, 3] - torch.tensor(default_pos)
    assert offset.abs().max() <= 0.05 + 1e-6
    assert offset.std(0).min() > 0.02
    assert torch.atan2(target[:, 1, 0], target[:, 0, 0]).abs().max() > setup.yaw / 2
    joints = env.get_state()["articulation"]["robot"]["joint_position"][:, :7]
    assert 0.015 < joints.std(0).mean() < 0.025
