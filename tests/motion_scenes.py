"""Scenes of boxes for tests of motion planners."""

# R rows, O objects

import numpy as np
import torch

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from isaaclab_mimic_ext.plan.motion import BoxPlanner, MotionQuery, Workspace, hand_boxes
from isaaclab_mimic_ext.plan.motion_geometry import Boxes, Speed

HAND = (((0.0, 0.0, -0.02), (0.012, 0.055, 0.03)), ((0.0, 0.0, -0.07), (0.025, 0.102, 0.028)))
DOWN = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def planner(half_sizes: list[tuple[float, float, float]], **settings) -> BoxPlanner:
    """A planner for objects whose frames are in the middle of their boxes."""
    half_size = torch.tensor(half_sizes)
    workspace = Workspace(torch.tensor([[0.0, 0.0, 0.333]]), (0.0, 0.0, -0.21), 0.79, 0.6)
    boxes = Boxes(torch.zeros_like(half_size), half_size)
    return BoxPlanner(boxes, hand_boxes(torch.device("cpu"), HAND), **{"workspace": workspace, **settings})


def down_at(x: float, y: float, z: float, yaw: float = 0.0) -> torch.Tensor:
    """A hand that points down, (4, 4)."""
    turn = matrix_from_axis_angle(torch.tensor([0.0, 0.0, yaw]))
    return pose_from_pos_rot(torch.tensor([x, y, z]), turn @ DOWN)


def standing_at(x: float, y: float, z: float, yaw: float = 0.0) -> torch.Tensor:
    """An upright object, (4, 4)."""
    return pose_from_pos_rot(torch.tensor([x, y, z]), matrix_from_axis_angle(torch.tensor([0.0, 0.0, yaw])))


def query(
    start: torch.Tensor, goal: torch.Tensor, objects: torch.Tensor, attached: int = -1, eef: torch.Tensor | None = None
) -> MotionQuery:
    """Planning query of rows (R, 4, 4), or of one (4, 4), with the hand at the start; objects (..., O, 4, 4)."""
    if start.dim() == 2:
        start, goal, objects = start[None], goal[None], objects[None]
    rows = torch.arange(len(start))
    held = torch.full_like(rows, attached)
    return MotionQuery(rows, torch.zeros_like(rows), start, goal, start if eef is None else eef, objects, held)


def random_query(seed: int, num_rows: int, num_objects: int, held: bool) -> MotionQuery:
    """Hands above a table with objects in any position; every second row holds its first object."""
    rng = np.random.default_rng(seed)

    def poses(low: tuple[float, ...], high: tuple[float, ...], tilt: float, *shape: int) -> torch.Tensor:
        pos = torch.tensor(rng.uniform(low, high, (*shape, 3)), dtype=torch.float32)
        axis = rng.uniform(-1, 1, (*shape, 3)) * (tilt, tilt, 1.5)
        return pose_from_pos_rot(pos, matrix_from_axis_angle(torch.tensor(axis, dtype=torch.float32)))

    objects = poses((0.3, -0.3, 0.0), (0.7, 0.3, 0.15), 1.0, num_rows, num_objects)
    ends = poses((0.3, -0.3, 0.1), (0.6, 0.3, 0.3), 0.3, num_rows, 2)
    ends[..., :3, :3] = ends[..., :3, :3] @ DOWN
    rows = torch.arange(num_rows)
    attached = torch.where((rows % 2 == 0) & held, 0, -1)
    grip = pose_from_pos_rot(torch.tensor([0.0, 0.0, 0.01]), DOWN)
    objects[:, 0] = torch.where((attached >= 0)[:, None, None], ends[:, 0] @ grip, objects[:, 0])
    return MotionQuery(rows, torch.zeros_like(rows), ends[:, 0], ends[:, 1], ends[:, 0], objects, attached)


SLOW = Speed(distance=0.01, angle=0.04, window=8)
