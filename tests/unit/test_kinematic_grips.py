"""Kinematic engine: one object held by several grippers."""

# N = 1 scene, two arms

import math

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.task.definition import Arm, Graspable, SceneObject, SceneState, Task, once_per_scene
from tests.named_poses import object_poses

GRIP = 0.15
"""Distance from the center of the bar to the grip point of each hand [m]."""
REST = 0.01
HANDS = ("left", "right")


class Bar(Task):
    """Task with two arms that face each other across a bar with a grip at each end."""

    name = "bar"
    arms = (
        Arm("robot_left", "left", base_pos=(0.5, -0.5, 0.0), base_yaw=math.pi / 2),
        Arm("robot_right", "right", base_pos=(0.5, 0.5, 0.0), base_yaw=-math.pi / 2),
    )
    objects = (SceneObject("bar", footprint_radius=0.2, rest_height=REST, default_pos=(0.5, 0.0)),)
    signal_names = ()
    table_bounds = ((0.0, 1.0), (-0.5, 0.5))

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        return {}

    def success(self, scene: SceneState) -> Tensor:
        return torch.zeros(len(scene.eef_pose), dtype=torch.bool)

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {
            "left": (Graspable("bar", half_width=0.01, grip_pos=(0.0, -GRIP, 0.0)),),
            "right": (Graspable("bar", half_width=0.01, grip_pos=(0.0, GRIP, 0.0)),),
        }


class LowBar(Bar):
    """`Bar` with success when the bar is low; its height is computed once per scene, also for the support."""

    @once_per_scene
    def _height(self, scene: SceneState) -> Tensor:
        return scene.object_pose[:, 0, 2, 3].clone()

    def success(self, scene: SceneState) -> Tensor:
        return self._height(scene) < 2 * REST

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        return torch.zeros_like(self._height(scene))


def move(
    env: KinematicEnv, places: dict[str, tuple[float, float, float]], grippers: dict[str, float], num_steps: int = 25
) -> None:
    """Move the hands in `places` to positions [m]; other hands stay. `grippers`: gripper actions of all hands."""
    targets = env.eef_pose.clone()
    for name, place in places.items():
        targets[0, HANDS.index(name), :3, 3] = torch.tensor(place)
    actions = torch.tensor([[[grippers[name]] for name in HANDS]])
    for _ in range(num_steps):
        env.step(env.target_eef_pose_to_action(targets, actions))


def bar_pos(env: KinematicEnv) -> list[float]:
    return object_poses(env)["bar"][0, :3, 3].tolist()


def lifted(task: Task) -> KinematicEnv:
    """Env in which both hands hold the bar, 20 cm above the table."""
    env = KinematicEnv(task, {}, 1)
    ends = {"left": (0.5, -GRIP, REST), "right": (0.5, GRIP, REST)}
    move(env, ends, {"left": 1.0, "right": 1.0})
    move(env, ends, {"left": -1.0, "right": -1.0})
    up = {name: (x, y, z + 0.2) for name, (x, y, z) in ends.items()}
    move(env, up, {"left": -1.0, "right": -1.0})
    return env


@pytest.fixture
def env() -> KinematicEnv:
    return lifted(Bar())


def test_both_hands_lift_the_bar_together(env: KinematicEnv) -> None:
    assert bar_pos(env) == pytest.approx([0.5, 0.0, REST + 0.2], abs=1e-5)


def test_bar_falls_when_the_last_hand_opens(env: KinematicEnv) -> None:
    for _ in range(3):
        move(env, {}, {"left": 1.0, "right": -1.0}, num_steps=1)
        assert bar_pos(env) == pytest.approx([0.5, 0.0, REST + 0.2], abs=1e-5)
    move(env, {}, {"left": 1.0, "right": 1.0})
    assert bar_pos(env) == pytest.approx([0.5, 0.0, REST], abs=1e-5)


def test_success_in_the_step_of_a_fall_is_that_of_the_fallen_bar() -> None:
    env = lifted(LowBar())
    assert not env.success()[0]
    move(env, {}, {"left": 1.0, "right": 1.0}, num_steps=1)
    assert env.success()[0]


@pytest.mark.parametrize(("giver", "taker", "side"), [("left", "right", 1.0), ("right", "left", -1.0)])
def test_bar_moves_with_the_hand_that_still_holds_it(env: KinematicEnv, giver: str, taker: str, side: float) -> None:
    grippers = {giver: 1.0, taker: -1.0}
    move(env, {}, grippers)
    move(env, {taker: (0.6, side * GRIP, REST + 0.1)}, grippers)
    assert bar_pos(env) == pytest.approx([0.6, 0.0, REST + 0.1], abs=1e-5)


def test_bar_moves_with_the_first_arm_if_the_arms_disagree(env: KinematicEnv) -> None:
    move(env, {"left": (0.6, -GRIP, REST + 0.2)}, {"left": -1.0, "right": -1.0})
    assert bar_pos(env) == pytest.approx([0.6, 0.0, REST + 0.2], abs=1e-5)
    move(env, {"right": (0.4, GRIP, REST + 0.2)}, {"left": -1.0, "right": -1.0})
    assert bar_pos(env) == pytest.approx([0.6, 0.0, REST + 0.2], abs=1e-5)


def test_hand_that_closes_away_from_its_own_grip_stays_empty() -> None:
    env = KinematicEnv(Bar(), {}, 1)
    other_end = {"left": (0.5, GRIP - 0.05, REST)}
    move(env, other_end, {"left": 1.0, "right": 1.0})
    move(env, other_end, {"left": -1.0, "right": 1.0})
    fingers = env.get_state()["articulation"]["robot_left"]["joint_position"][0, 7:]
    assert fingers.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    move(env, {"left": (0.5, GRIP - 0.05, 0.3)}, {"left": -1.0, "right": 1.0})
    assert bar_pos(env) == pytest.approx([0.5, 0.0, REST], abs=1e-5)
