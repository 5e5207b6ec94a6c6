"""Square peg: signals and success in hand-made scenes, the operator's choice of yaws, and clearances."""

import math

import pytest
import torch

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.square_peg.operator import _choose_yaws
from isaaclab_mimic_ext.tasks.square_peg.task import BAR_HALF, GRIP, HANDLE_HALF, OUTER_HALF, PEG_HALF, THICKNESS

TASK = load_task("square_peg")


def scene(
    offset: tuple[float, float] = (0.0, 0.0),
    height: float = THICKNESS / 2,
    finger: float = 0.04,
    hand: tuple[float, float, float] = (-0.0635, 0.0, 0.1),
) -> SceneState:
    """One scene: the nut at an offset from the peg and at a height, the hand relative to the nut [m]."""
    state = KinematicEnv(TASK, {}, 1).scene
    peg, nut = state.object_pose[0, 1, :3, 3], state.object_pose[0, 0]
    nut[:3, 3] = torch.tensor([float(peg[0]) + offset[0], float(peg[1]) + offset[1], height])
    state.eef_pose[0, 0, :3, 3] = nut[:3, 3] + torch.tensor(hand)
    state.joint_pos[..., -2:] = finger
    return state


@pytest.mark.parametrize(
    ("changes", "solved"),
    [
        ({}, True),
        ({"offset": (0.029, -0.029)}, True),
        ({"offset": (0.031, 0.0)}, False),
        ({"height": 0.049}, True),
        ({"height": 0.051}, False),
        ({"finger": 0.016}, False),
        ({"hand": (0.042, 0.0, 0.0)}, False),
        ({"hand": (0.043, 0.0, 0.0)}, True),
    ],
)
def test_solved_means_a_nut_low_on_the_peg_and_an_open_hand_that_is_clear(changes: dict, solved: bool) -> None:
    assert bool(TASK.success(scene(**changes))) is solved


def test_nut_counts_as_grasped_only_by_its_handle_and_at_its_width() -> None:
    assert bool(TASK.signals(scene(hand=GRIP, finger=HANDLE_HALF[1]))["grasp"])
    assert not bool(TASK.signals(scene(hand=GRIP, finger=0.0))["grasp"])
    assert not bool(TASK.signals(scene(hand=(-GRIP[0], 0.0, 0.0), finger=HANDLE_HALF[1]))["grasp"])


def test_hole_is_13_mm_wider_than_the_peg() -> None:
    hole = 2 * (OUTER_HALF - 2 * BAR_HALF)
    assert 1000 * (hole - 2 * PEG_HALF) == pytest.approx(13.5)


def test_operator_turns_the_nut_so_that_it_fits_and_the_wrist_reaches_both_yaws() -> None:
    yaw = torch.linspace(-math.pi, math.pi, 25)
    axis = torch.stack((torch.zeros_like(yaw), torch.zeros_like(yaw), yaw), dim=-1)
    nut = pose_from_pos_rot(torch.tensor([0.4475, 0.1675, 0.01]).expand(25, 3), matrix_from_axis_angle(axis))
    peg = torch.eye(4).repeat(25, 1, 1)
    peg[:, :2, 3] = torch.tensor([0.79, 0.10])
    grasp, place, nut_yaw = _choose_yaws(nut, peg)
    assert float(torch.stack((grasp, place)).min()) >= -1.85 and float(torch.stack((grasp, place)).max()) <= 3.2
    turn, turned = nut_yaw - yaw, place - grasp
    torch.testing.assert_close(torch.sin(turn - turned), torch.zeros(25), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cos(turn - turned), torch.ones(25), atol=1e-5, rtol=0)
    assert torch.allclose(torch.sin(2 * nut_yaw), torch.zeros(25), atol=1e-5)
