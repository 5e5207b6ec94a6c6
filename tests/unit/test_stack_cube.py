"""Stack cube: signals, success and reasons of failure in hand-made scenes."""

# N envs (scenes)

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.math import yaw_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_SIZE
from tests.named_poses import object_poses

TASK = load_task("stack_cube")
EEF = "franka"
REST = CUBE_SIZE / 2
LEVELS = [REST, REST + CUBE_SIZE, REST + 2 * CUBE_SIZE]
AWAY = (0.5, 0.0, 0.4)
HALF_OPEN, CLOSED, OPEN = 0.03, 0.0, 0.04


def scene(
    cube_1: tuple[float, float, float] = (0.4, 0.0, REST),
    cube_2: tuple[float, float, float] = (0.5, 0.1, REST),
    cube_3: tuple[float, float, float] = (0.6, 0.0, REST),
    eef: tuple[float, float, float] = AWAY,
    finger: float = OPEN,
) -> SceneState:
    """One scene with upright cubes, from the positions of cubes and end effector [m]."""
    env = KinematicEnv(TASK, {}, 1)
    for index, pos in enumerate((cube_1, cube_2, cube_3)):
        env.scene.object_pose[0, index, :3, 3] = torch.tensor(pos)
        env.scene.root_pose[0, index, :3] = torch.tensor(pos)
    env.scene.eef_pose[0, 0, :3, 3] = torch.tensor(eef)
    env.scene.joint_pos[..., -2:] = finger
    return env.scene


def stack(sideways_2: float = 0.0, sideways_3: float = 0.0, **other: Any) -> SceneState:
    """Stack of cubes; cube_2 and cube_3 are shifted in x against the cube below [m]."""
    x = 0.4 + sideways_2
    return scene(cube_2=(x, 0.0, LEVELS[1]), cube_3=(x + sideways_3, 0.0, LEVELS[2]), **other)


def true_signals(state: SceneState) -> set[str]:
    return {name for name, signal in TASK.signals(state).items() if bool(signal)}


@pytest.mark.parametrize(("cube", "signal"), [("cube_2", "grasp_1"), ("cube_3", "grasp_2")])
def test_each_cube_has_its_own_grasp_signal(cube: str, signal: str) -> None:
    pos = scene().object_pose[0, TASK.object_id(cube), :3, 3].tolist()
    assert true_signals(scene(eef=tuple(pos), finger=CUBE_SIZE / 2)) == {signal}


@pytest.mark.parametrize("finger", [OPEN, HALF_OPEN, CLOSED])
def test_fingers_that_do_not_touch_the_faces_of_the_cube_do_not_grasp_it(finger: float) -> None:
    assert true_signals(scene(eef=(0.5, 0.1, REST), finger=finger)) == set()


def test_fingers_that_close_away_from_the_cube_do_not_grasp_it() -> None:
    assert true_signals(scene(eef=(0.5, 0.1, REST + 0.07), finger=CUBE_SIZE / 2)) == set()


def test_stack_signal_needs_an_open_gripper() -> None:
    on_top = (0.4, 0.0, LEVELS[1])
    assert true_signals(scene(cube_2=on_top)) == {"stack_1"}
    assert true_signals(scene(cube_2=on_top, finger=HALF_OPEN)) == set()


def test_second_stack_signal_depends_on_the_upper_cubes_only() -> None:
    assert true_signals(stack()) == {"stack_1", "stack_2"}
    assert true_signals(stack(0.05)) == {"stack_2"}
    assert true_signals(stack(finger=HALF_OPEN)) == set()


@pytest.mark.parametrize(
    ("expected", "state"),
    [
        (set(), scene()),
        (set(), scene(eef=(0.5, 0.1, REST + 0.10))),
        ({"grasp_1"}, scene(eef=(0.5, 0.1, REST + 0.08))),
        ({"grasp_2"}, scene(eef=(0.6, 0.0, REST + 0.08))),
        (set(), scene(cube_2=(0.4, 0.0, LEVELS[1] + 0.06))),
        (set(), scene(cube_2=(0.45, 0.0, LEVELS[1] + 0.04))),
        ({"stack_1"}, scene(cube_2=(0.41, 0.0, LEVELS[1] + 0.04))),
        ({"stack_1", "stack_2"}, stack()),
    ],
    ids=["apart", "above 2", "at 2", "at 3", "2 high above 1", "2 beside 1", "2 above 1", "stacked"],
)
def test_skill_starts_when_the_hand_or_the_held_cube_is_near(expected: set[str], state: SceneState) -> None:
    assert {name for name, signal in TASK.start_signals(state).items() if bool(signal)} == expected


def test_cubes_side_by_side_or_swapped_are_not_stacked() -> None:
    assert true_signals(scene(cube_2=(0.4 + CUBE_SIZE, 0.0, REST))) == set()
    assert true_signals(scene(cube_1=(0.4, 0.0, LEVELS[1]), cube_2=(0.4, 0.0, REST))) == set()


def test_stack_of_three_cubes_is_success() -> None:
    assert bool(TASK.success(stack()))
    assert bool(TASK.success(stack(0.02, -0.02)))


@pytest.mark.parametrize(
    "state",
    [
        scene(),
        scene(cube_2=(0.4, 0.0, LEVELS[1])),
        scene(cube_3=(0.5, 0.1, LEVELS[1])),
        scene(cube_2=(0.4, 0.0, LEVELS[2]), cube_3=(0.4, 0.0, LEVELS[1])),
        stack(0.05),
        stack(0.0, 0.05),
        stack(eef=(0.4, 0.0, LEVELS[2] + 0.02)),
        stack(finger=HALF_OPEN),
    ],
    ids=["apart", "two", "two others", "wrong order", "2 beside 1", "3 beside 2", "hand not clear", "gripper not open"],
)
def test_incomplete_stack_or_hand_that_is_not_clear_is_not_success(state: SceneState) -> None:
    assert not bool(TASK.success(state))


def test_observations_equal_those_of_isaac_lab() -> None:
    state = scene(eef=(0.1, 0.2, 0.3))
    terms = TASK.observations(state)
    first, second, third = ([*state.root_pose[0, index].tolist()] for index in range(3))
    between = [torch.tensor(a[:3]) - torch.tensor(b[:3]) for a, b in ((first, second), (second, third), (first, third))]
    from_eef = [torch.tensor(cube[:3]) - torch.tensor([0.1, 0.2, 0.3]) for cube in (first, second, third)]
    expected = torch.cat([torch.tensor([*first, *second, *third]), *from_eef, *between])
    torch.testing.assert_close(terms["object"][0], expected)
    torch.testing.assert_close(terms["cube_positions"][0], torch.tensor([*first[:3], *second[:3], *third[:3]]))
    torch.testing.assert_close(terms["cube_orientations"][0], torch.tensor([*first[3:], *second[3:], *third[3:]]))


@settings(deadline=None, max_examples=60)
@given(hand_yaw=st.floats(-3.0, 3.0), yaws=st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
def test_observations_contain_vectors_between_hand_and_cubes_and_relative_yaws(hand_yaw: float, yaws: list[float]) -> None:
    state = scene(cube_1=(0.4, 0.0, REST), cube_2=(0.5, 0.1, REST), cube_3=(0.6, -0.1, LEVELS[1]), eef=(0.1, 0.2, 0.3))
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    state.eef_pose[0, 0, :3, :3] = yaw_matrix(torch.tensor(hand_yaw)) @ down
    for index, yaw in enumerate(yaws):
        state.object_pose[0, index, :3, :3] = yaw_matrix(torch.tensor(yaw))
    terms = TASK.observations(state)
    for name, expected in (
        ("cube_2_from_eef", [0.4, -0.1, REST - 0.3]),
        ("cube_3_from_eef", [0.5, -0.3, LEVELS[1] - 0.3]),
        ("cube_1_from_cube_2", [-0.1, -0.1, 0.0]),
        ("cube_2_from_cube_3", [-0.1, 0.2, -CUBE_SIZE]),
        ("cube_turns", [math.sin(yaw - hand_yaw) for yaw in yaws]),
    ):
        torch.testing.assert_close(terms[name], torch.tensor([expected]), atol=1e-5, rtol=0)


def test_close_up_enlarges_a_centimeter_near_the_goal_only() -> None:
    places = [0.0, 0.01, 0.20, 0.21]
    close_up = torch.cat([TASK.observations(scene(eef=(0.5 - x, 0.1, REST)))["close_up"][:, :3] for x in places])
    assert torch.equal(close_up[0], torch.zeros(3))
    assert close_up[1, 0] > 0.3 and close_up[1, 1:].abs().max() < 1e-6
    assert 0.99 < close_up[2, 0] < close_up[3, 0] + 1e-6 < 1.0 + 2e-6


@settings(deadline=None, max_examples=60)
@example(x=0.0113, y=0.0278, yaw=0.4)
@example(x=0.0278, y=0.0113, yaw=0.4)
@given(x=st.floats(-0.06, 0.06), y=st.floats(-0.06, 0.06), yaw=st.floats(-math.pi, math.pi))
def test_cube_lands_on_the_cube_below_its_center(x: float, y: float, yaw: float) -> None:
    state = scene(cube_2=(0.4 + x, y, 0.3))
    state.object_pose[0, 0, :2, :2] = torch.tensor([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    along = [abs(math.cos(yaw) * x + math.sin(yaw) * y), abs(-math.sin(yaw) * x + math.cos(yaw) * y)]
    if max(along) < REST - 1e-4:
        assert float(TASK.support_height("cube_2", state)) == pytest.approx(CUBE_SIZE, abs=1e-6)
    elif max(along) > REST + 1e-4:
        assert float(TASK.support_height("cube_2", state)) == 0.0


@pytest.mark.parametrize(("lower", "upper"), [("cube_1", "cube_2"), ("cube_2", "cube_1")])
def test_third_cube_lands_on_the_upper_of_two_stacked_cubes(lower: str, upper: str) -> None:
    places = {lower: (0.4, 0.0, LEVELS[0]), upper: (0.4, 0.0, LEVELS[1]), "cube_3": (0.41, 0.0, 0.3)}
    assert float(TASK.support_height("cube_3", scene(**places))) == pytest.approx(2 * CUBE_SIZE, abs=1e-6)


def reason(*states: SceneState) -> str:
    """Reason of failure of a trial that consists of the given states."""
    observer = FailureObserver(TASK.failure_reasons, TASK.conditions(states[0]), 1, torch.device("cpu"))
    env_ids = torch.zeros(1, dtype=torch.int64)
    observer.begin(env_ids)
    for step, state in enumerate(states):
        observer.watch(torch.tensor([step]), TASK.conditions(state), TASK.success(state))
    code, _ = observer.reasons(env_ids, torch.tensor([len(states)]))
    return observer.names[int(code)]


START = scene()
GRASPED_2 = scene(eef=(0.5, 0.1, REST), finger=CUBE_SIZE / 2)
LIFTED_2 = scene(cube_2=(0.5, 0.1, 0.15), eef=(0.5, 0.1, 0.15), finger=CUBE_SIZE / 2)
TWO = {"cube_2": (0.4, 0.0, LEVELS[1])}
STACKED_2 = scene(**TWO)
GRASPED_3 = scene(**TWO, eef=(0.6, 0.0, REST), finger=CUBE_SIZE / 2)
LIFTED_3 = scene(**TWO, cube_3=(0.6, 0.0, 0.2), eef=(0.6, 0.0, 0.2), finger=CUBE_SIZE / 2)
ON_2 = [START, GRASPED_2, LIFTED_2, STACKED_2]


@pytest.mark.parametrize(
    ("expected", "states"),
    [
        ("cube_2 was never grasped", [START]),
        ("cube_2 was never lifted", [START, GRASPED_2, START]),
        ("cube_2 was dropped", [START, GRASPED_2, LIFTED_2, START]),
        ("cube_2 was not put on cube_1", [START, GRASPED_2, LIFTED_2]),
        ("cube_2 was knocked off cube_1", [*ON_2, START]),
        ("cube_2 was knocked off cube_1", [*ON_2, GRASPED_3, LIFTED_3, START]),
        ("cube_3 was never grasped", ON_2),
        ("cube_3 was never lifted", [*ON_2, GRASPED_3]),
        ("cube_3 was dropped", [*ON_2, GRASPED_3, LIFTED_3, STACKED_2]),
        ("cube_3 was not put on cube_2", [*ON_2, GRASPED_3, LIFTED_3]),
        ("cube_3 fell off cube_2", [*ON_2, GRASPED_3, LIFTED_3, stack(), STACKED_2]),
    ],
)
def test_failed_trial_has_the_expected_reason(expected: str, states: list[SceneState]) -> None:
    assert reason(*states) == expected


def over(*names: str) -> dict[str, Tensor]:
    return {name: torch.tensor([name in names]) for name in TASK.signal_names}


def test_trial_is_hopeless_if_a_subtask_is_over_and_its_cube_is_lost() -> None:
    assert not bool(TASK.hopeless(START, over()))
    assert bool(TASK.hopeless(START, over("grasp_1")))
    assert not bool(TASK.hopeless(GRASPED_2, over("grasp_1")))
    assert not bool(TASK.hopeless(LIFTED_2, over("grasp_1")))
    assert bool(TASK.hopeless(START, over("grasp_1", "stack_1")))
    assert not bool(TASK.hopeless(STACKED_2, over("grasp_1", "stack_1")))
    assert bool(TASK.hopeless(STACKED_2, over("grasp_1", "stack_1", "grasp_2")))
    assert not bool(TASK.hopeless(LIFTED_3, over("grasp_1", "stack_1", "grasp_2")))
    assert not bool(TASK.hopeless(stack(), over("grasp_1", "stack_1", "grasp_2")))


def step_to(env: KinematicEnv, pos: Tensor, gripper: float, num_steps: int = 10) -> None:
    target = env.eef_pose[:, 0].clone()
    target[:, :3, 3] = pos
    for _ in range(num_steps):
        env.step(env.target_eef_pose_to_action(target[:, None], torch.full((env.num_envs, 1, 1), gripper)))


@pytest.mark.slow
def test_kinematic_gripper_stacks_the_cubes() -> None:
    events = {name: EventCfg(name, pose_range={"yaw": [-1.0, 1.0]}) for name in TASK.object_names}
    env = KinematicEnv(TASK, events, 3)
    env.reset(torch.arange(3), Draws(1, torch.arange(3)))
    up, hand_up = torch.tensor([0.0, 0.0, 0.2]), torch.tensor([0.0, 0.0, 0.01])
    for level, name in ((1, "cube_2"), (2, "cube_3")):
        cube = object_poses(env)[name][:, :3, 3].clone() + hand_up
        step_to(env, cube + up, 1.0)
        step_to(env, cube, 1.0)
        step_to(env, cube, -1.0)
        step_to(env, cube + up, -1.0)
        base = object_poses(env)["cube_1"][:, :3, 3] + hand_up
        step_to(env, base + up, -1.0)
        step_to(env, base + torch.tensor([0.0, 0.0, level * CUBE_SIZE + 0.005]), -1.0)
        step_to(env, base + torch.tensor([0.0, 0.0, level * CUBE_SIZE + 0.005]), 1.0)
        step_to(env, base + up, 1.0)
        height = object_poses(env)[name][:, 2, 3]
        torch.testing.assert_close(height, torch.full((3,), LEVELS[level]), atol=1e-6, rtol=0)
    assert env.success().all()


def test_kinematic_gripper_grasps_the_nearest_of_two_cubes_in_reach() -> None:
    env = KinematicEnv(TASK, {}, 1)
    state = env.get_state()
    for name, pos in (("cube_2", (0.50, 0.10, REST)), ("cube_3", (0.53, 0.10, REST))):
        state["rigid_object"][name]["root_pose"] = torch.tensor([[*pos, 0.0, 0.0, 0.0, 1.0]])
    env.reset_to(state, torch.arange(1))
    goal = torch.tensor([[0.52, 0.10, REST]])
    step_to(env, goal + torch.tensor([0.0, 0.0, 0.1]), 1.0, 20)
    step_to(env, goal, 1.0)
    step_to(env, goal, -1.0)
    held = env.get_state()
    step_to(env, goal + torch.tensor([0.0, 0.0, 0.1]), -1.0)
    poses = object_poses(env)
    assert float(poses["cube_3"][0, 2, 3]) == pytest.approx(REST + 0.1, abs=1e-5)
    assert float(poses["cube_2"][0, 2, 3]) == pytest.approx(REST, abs=1e-6)
    # The held cube can be determined from the state alone.
    other = KinematicEnv(TASK, {}, 1)
    other.reset_to(held, torch.arange(1))
    step_to(other, goal + torch.tensor([0.0, 0.0, 0.1]), -1.0)
    assert float(object_poses(other)["cube_3"][0, 2, 3]) == pytest.approx(REST + 0.1, abs=1e-5)
