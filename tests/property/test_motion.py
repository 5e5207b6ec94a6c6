"""Planned paths against scenes that are checked point by point."""

# L steps, P points of a box

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.plan.motion_geometry import Speed
from tests.motion_scenes import HAND, planner, random_query

OBJECTS = [(0.025, 0.025, 0.05), (0.04, 0.12, 0.08), (0.03, 0.03, 0.12), (0.06, 0.02, 0.03)]


def points_of(center: np.ndarray, half_size: np.ndarray) -> np.ndarray:
    """A grid of points in a box, its corners included, (P, 3)."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 7)] * 3), axis=-1).reshape(-1, 3)
    return center + grid * half_size


def inside(points: np.ndarray, pose: np.ndarray, half_size: np.ndarray) -> np.ndarray:
    """Which points (..., 3) are in a box about a frame."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    return (np.abs(local) < half_size).all(-1)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_no_point_of_hand_or_load_enters_a_box_except_near_the_ends(seed, held):
    problem = random_query(seed, num_rows=4, num_objects=len(OBJECTS), held=held)
    boxes = planner(OBJECTS)
    plan = boxes.plan(problem)
    for row in torch.nonzero(plan.success).flatten().tolist():
        eef, objects = problem.eef_pose[row].double().numpy(), problem.object_pose[row].double().numpy()
        attached = int(problem.attached[row])
        moving = [points_of(np.array(center), np.array(half)) for center, half in HAND]
        if attached >= 0:
            held_points = points_of(np.zeros(3), np.array(OBJECTS[attached]))
            in_env = held_points @ objects[attached, :3, :3].T + objects[attached, :3, 3]
            moving.append((in_env - eef[:3, 3]) @ eef[:3, :3])
        path = plan.path[row, : int(plan.length[row])].double().numpy()
        ends = [problem.start[row].double().numpy(), problem.goal[row].double().numpy()]
        far = np.array([all(not excused(pose, end) for end in ends) for pose in path])
        for points in moving:
            swept = points @ path[:, :3, :3].swapaxes(-1, -2) + path[:, None, :3, 3]
            for index, half_size in enumerate(OBJECTS):
                if index != attached:
                    assert not inside(swept[far], objects[index], np.array(half_size)).any()


def excused(pose: np.ndarray, end: np.ndarray) -> bool:
    offset = pose[:3, 3] - end[:3, 3]
    return bool(np.linalg.norm(offset[:2]) < 0.015 and offset[2] > -0.015)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.004, 0.05), st.floats(0.02, 0.25), st.integers(1, 12))
def test_every_path_keeps_its_speed_limit_and_ends_at_its_goal(seed, distance, angle, window):
    problem = random_query(seed, num_rows=3, num_objects=len(OBJECTS), held=False)
    speed = Speed(distance, angle, window)
    plan = planner(OBJECTS, speed=speed, max_length=400).plan(problem)
    for row in torch.nonzero(plan.success).flatten().tolist():
        poses = torch.cat((problem.start[row][None], plan.path[row])).double()
        moved = (poses[1:, :3, 3] - poses[:-1, :3, 3]).norm(dim=-1)
        turned = rotation_angle(poses[1:, :3, :3], poses[:-1, :3, :3])
        assert float(moved.max()) <= 1.001 * distance + 1e-6
        assert float(turned.max()) <= 1.01 * angle + 2e-3
        after = plan.path[row, int(plan.length[row]) - 1 :]
        assert torch.equal(after, problem.goal[row].expand_as(after))
        assert (plan.path[row, : int(plan.length[row]) - 1] != problem.goal[row]).any()


def test_most_random_scenes_have_a_path():
    """Otherwise the tests above would check nothing."""
    plans = [planner(OBJECTS).plan(random_query(seed, 8, len(OBJECTS), held=True)) for seed in range(10)]
    rate = float(torch.cat([plan.success for plan in plans]).float().mean())
    assert rate == pytest.approx(1.0, abs=0.4)
