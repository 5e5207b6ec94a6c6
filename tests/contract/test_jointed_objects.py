"""Contract of all engines for objects that are fixed, and for objects on joints: a cabinet with drawer, knob and door."""

# N envs

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import isaaclab_mimic_ext as mimic
import isaaclab_mimic_ext.tasks as tasks
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.math import invert_pose
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.joints import ObjectJoints
from tests.engines import make_on_default_device

FOLDER = Path(__file__).resolve().parents[1] / "furniture"
DRAWER, KNOB, DOOR = range(3)
EMBEDDED = ("kinematic", "mujoco")


@pytest.fixture(autouse=True)
def tasks_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "__path__", list(tasks.__path__))


@pytest.fixture
def task() -> Task:
    with torch.device("cpu"):
        return mimic.load_task("cabinet", FOLDER)


def build(task: Task, engine: str, num_envs: int, events: Mapping[str, EventCfg] | None = None) -> MimicEnv:
    chosen = task.config.events if events is None else events
    env = make_on_default_device(task, SimCfg(engine=engine, num_threads=1), chosen, num_envs)
    env.reset(torch.arange(num_envs), Draws(5, torch.arange(num_envs)))
    return env


def joint_pos(env: MimicEnv) -> Tensor:
    return env.get_state()["articulation"]["cabinet"]["joint_position"].clone()


def pose_of(env: MimicEnv, name: str) -> Tensor:
    return env.object_pose[:, env.object_names.index(name)].clone()


def follow(env: MimicEnv, pos: Tensor, gripper: float, num_steps: int) -> None:
    """Move the hands to positions (N, 3), env frame [m], with constant orientation."""
    target = env.eef_pose.clone()
    target[:, 0, :3, 3] = pos
    for _ in range(num_steps):
        env.step(env.target_eef_pose_to_action(target, torch.full((env.num_envs, 1, 1), gripper)))


def point_of(pose: Tensor, point: tuple[float, float, float]) -> Tensor:
    return (pose @ torch.tensor([*point, 1.0])[:, None])[:, :3, 0]


@pytest.mark.parametrize("name", EMBEDDED)
def test_reset_draws_bases_and_joints_and_places_the_objects_on_joints_on_their_bases(task: Task, name: str) -> None:
    env = build(task, name, 8)
    drawn, base = joint_pos(env), pose_of(env, "cabinet")
    assert ((drawn[:, DRAWER] >= 0.0) & (drawn[:, DRAWER] <= 0.03)).all() and len(set(drawn[:, DRAWER].tolist())) == 8
    assert (drawn[:, KNOB] == 0.0).all() and len({round(float(x), 5) for x in base[:, 0, 3]}) == 8
    in_base = invert_pose(base) @ pose_of(env, "drawer")
    torch.testing.assert_close(in_base[:, 1, 3], -0.02 - drawn[:, DRAWER])
    door = (invert_pose(base) @ pose_of(env, "door"))[:, :2, 0]
    torch.testing.assert_close(door, torch.stack((torch.cos(drawn[:, DOOR]), -torch.sin(drawn[:, DOOR])), dim=-1))
    root = env.get_state()["rigid_object"]["drawer"]["root_pose"]
    torch.testing.assert_close(root[:, :3], pose_of(env, "drawer")[:, :3, 3])
    torch.testing.assert_close(env.observations()["drawer_joint_pos"], drawn[:, [DRAWER]])


@pytest.mark.parametrize("name", EMBEDDED)
def test_joint_state_is_restored_in_other_envs_with_the_same_bits(task: Task, name: str) -> None:
    env = build(task, name, 3)
    before = trees.map(torch.clone, env.get_state())
    env.reset_to(trees.take(before, torch.tensor([2, 0])), torch.tensor([0, 1]))
    after = trees.flatten(env.get_state())
    for path, leaf in trees.flatten(before).items():
        if "drawer" in path or "door" in path or "cabinet" in path:
            assert torch.allclose(after[path][:2], leaf[[2, 0]], atol=1e-6), path
            if path.startswith("articulation/cabinet/joint"):
                assert torch.equal(after[path][:2], leaf[[2, 0]]), path


def test_hand_pulls_the_drawer_open_by_its_handle_and_the_base_stays(task: Task, engine: str) -> None:
    still = {"robot": EventCfg("robot", joint_std=0.0)}
    env = build(task, engine, 2, still)
    # The closing axis of the hand is the y axis, along which the drawer slides.
    handle = point_of(pose_of(env, "knob"), (0.0, 0.0, 0.0))
    above = handle + torch.tensor([0.0, 0.0, 0.12])
    base = pose_of(env, "cabinet")
    for pos, gripper, steps in ((above, 1.0, 45), (handle, 1.0, 25), (handle, -1.0, 12)):
        follow(env, pos, gripper, steps)
    opened = handle - torch.tensor([0.0, 0.11, 0.0])
    follow(env, opened, -1.0, 40)
    assert (joint_pos(env)[:, DRAWER] > 0.08).all()
    assert env.get_subtask_term_signals()["open"].all() and env.success().all()
    assert torch.equal(pose_of(env, "cabinet"), base)
    assert (joint_pos(env)[:, DOOR].abs() < 1e-3).all()


@pytest.mark.parametrize("name", EMBEDDED)
def test_env_does_not_depend_on_the_number_of_envs(task: Task, name: str) -> None:
    few, many = build(task, name, 2), build(task, name, 5)
    for env in (few, many):
        follow(env, torch.tensor([0.5, 0.1, 0.3]), 1.0, 3)
    for path, leaf in trees.flatten(few.get_state()).items():
        assert torch.equal(leaf, trees.flatten(many.get_state())[path][:2]), path


def test_velocities_of_objects_on_joints_follow_from_their_motion(task: Task) -> None:
    joints, objects = ObjectJoints(task.objects, torch.device("cpu")), len(task.objects)
    pos, vel = torch.tensor([[0.05, 0.3, 0.7]]), torch.tensor([[0.2, 0.0, -0.4]])
    root = torch.eye(4).expand(1, objects, 4, 4).clone()
    step = 1e-3
    before, after = (joints.place(root, pos + sign * step * vel) for sign in (-1, 1))
    moved = joints.velocities(joints.place(root, pos), torch.zeros(1, objects, 6), vel)
    torch.testing.assert_close(moved[..., :3], (after - before)[..., :3, 3] / (2 * step), atol=1e-3, rtol=0)
    assert moved[0, task.object_id("door"), 3:].tolist() == pytest.approx([0.0, 0.0, 0.4])


@pytest.fixture
def kinematic(task: Task) -> Iterator[MimicEnv]:
    yield build(task, "kinematic", 4, {"cabinet": replace(task.config.events["randomize_cabinet"])})


def test_kinematic_door_turns_with_the_hand_up_to_its_limit(kinematic: MimicEnv) -> None:
    env = kinematic
    handle = point_of(pose_of(env, "door"), (-0.18, -0.03, 0.0))
    follow(env, handle + torch.tensor([0.0, 0.0, 0.1]), 1.0, 30)
    follow(env, handle, 1.0, 10)
    follow(env, handle, -1.0, 6)
    hinge = pose_of(env, "door")[:, :3, 3]
    angle = torch.tensor(1.0)
    lever = handle - hinge
    turned = torch.stack(
        (
            torch.cos(angle) * lever[:, 0] + torch.sin(angle) * lever[:, 1],
            -torch.sin(angle) * lever[:, 0] + torch.cos(angle) * lever[:, 1],
            lever[:, 2],
        ),
        dim=-1,
    )
    # The hand moves along an axis that turns the door clockwise, seen from above, which is its positive direction.
    follow(env, hinge + turned, -1.0, 12)
    torch.testing.assert_close(joint_pos(env)[:, DOOR], torch.ones(4), atol=1e-3, rtol=0)
    assert (joint_pos(env)[:, DRAWER] == 0.0).all()


def test_kinematic_drawer_takes_along_the_cube_in_it(kinematic: MimicEnv, task: Task) -> None:
    env, rows = kinematic, torch.arange(4)
    state = trees.map(torch.clone, env.get_state())
    state["articulation"]["cabinet"]["joint_position"][:, DRAWER] = 0.12
    env.reset_to(state, rows)
    state = trees.map(torch.clone, env.get_state())
    state["rigid_object"]["cube"]["root_pose"][:, :3] = pose_of(env, "drawer")[:, :3, 3] - torch.tensor([0.0, 0.0, 0.01])
    env.reset_to(state, rows)
    before = invert_pose(pose_of(env, "drawer")) @ pose_of(env, "cube")
    grip = pose_of(env, "drawer") @ torch.tensor([0.0, -0.15, 0.04, 1.0])
    follow(env, grip[:, :3] + torch.tensor([0.0, 0.0, 0.12]), 1.0, 30)
    follow(env, grip[:, :3], 1.0, 10)
    follow(env, grip[:, :3], -1.0, 6)
    inward = (pose_of(env, "cabinet")[:, :3, :3] @ torch.tensor([0.0, 0.2, 0.0])[:, None])[..., 0]
    follow(env, grip[:, :3] + inward, -1.0, 12)
    assert (joint_pos(env)[:, DRAWER] == 0.0).all()
    torch.testing.assert_close(invert_pose(pose_of(env, "drawer")) @ pose_of(env, "cube"), before, atol=1e-5, rtol=0)
