"""Planner of transits: selected routes, and failures where no path exists."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.plan.motion import MOTION_FAILURES, MotionFailure, MotionPlan
from isaaclab_mimic_ext.plan.motion_geometry import Mover, touches
from tests.motion_scenes import SLOW, down_at, planner, query, random_query, standing_at

START, GOAL = down_at(0.5, -0.2, 0.15), down_at(0.5, 0.2, 0.12, yaw=0.8)
WALL, POLE, BLOCK = (0.5, 0.02, 0.1), (0.03, 0.03, 0.25), (0.03, 0.03, 0.05)
FAR = standing_at(3.0, 3.0, 0.0)


def highest(plan: MotionPlan) -> float:
    return float(plan.path[..., 2, 3].max())


def widest(plan: MotionPlan) -> float:
    """Largest distance of the path from the vertical plane through start and goal [m]."""
    return float((plan.path[..., 0, 3] - 0.5).abs().max())


def test_path_without_obstacles_is_straight():
    plan = planner([BLOCK]).plan(query(START, GOAL, FAR[None]))
    assert bool(plan.success)
    assert highest(plan) <= 0.15 + 1e-6
    assert widest(plan) < 1e-6
    direction = plan.path[0, :, :3, 3] - START[:3, 3]
    along = direction / direction.norm(dim=-1, keepdim=True)
    expected = (GOAL - START)[:3, 3] / (GOAL - START)[:3, 3].norm()
    torch.testing.assert_close(along, expected.expand_as(along), atol=1e-4, rtol=0)


def test_path_ends_at_the_goal_and_stays_there():
    plan = planner([BLOCK]).plan(query(START, GOAL, FAR[None]))
    after = plan.path[0, int(plan.length) - 1 :]
    assert torch.equal(after, GOAL.expand_as(after))


def test_path_from_a_pose_to_itself_takes_one_step():
    plan = planner([BLOCK]).plan(query(START, START, FAR[None]))
    assert bool(plan.success) and int(plan.length) == 1


def test_no_step_is_longer_than_allowed():
    plan = planner([WALL], speed=SLOW).plan(query(START, GOAL, standing_at(0.5, 0.0, 0.1)[None]))
    assert bool(plan.success)
    steps = torch.cat((START[None], plan.path[0]))
    distance = (steps[1:, :3, 3] - steps[:-1, :3, 3]).norm(dim=-1)
    angle = rotation_angle(steps[1:, :3, :3], steps[:-1, :3, :3])
    assert float(distance.max()) <= SLOW.distance * 1.01
    assert float(angle.max()) <= SLOW.angle * 1.02
    assert float(distance[:2].max()) < 0.4 * SLOW.distance, "it starts with a jolt"


def test_path_over_a_low_obstacle_is_no_higher_than_needed():
    plan = planner([WALL]).plan(query(START, GOAL, standing_at(0.5, 0.0, 0.1)[None]))
    assert bool(plan.success)
    top, fingers = 0.2, 0.01
    assert top + fingers + 0.015 <= highest(plan) <= top + fingers + 0.015 + 0.03 + 1e-5


def test_path_goes_around_a_tall_narrow_obstacle():
    plan = planner([POLE]).plan(query(START, GOAL, standing_at(0.5, 0.0, 0.25)[None]))
    assert bool(plan.success)
    assert highest(plan) <= 0.15 + 1e-6
    assert 0.1 < widest(plan) < 0.25


def test_higher_of_two_obstacles_determines_the_height_of_the_path():
    low, high = standing_at(0.5, -0.07, 0.05), standing_at(0.5, 0.05, 0.1)
    plan = planner([(0.5, 0.02, 0.05), WALL]).plan(query(START, GOAL, torch.stack((low, high))))
    assert bool(plan.success) and highest(plan) >= 0.2 + 0.025


def test_attached_object_moves_with_the_hand():
    """The bottle reaches 8 cm below the end effector, the fingers 1 cm."""
    bottle = START @ down_at(0.0, 0.0, 0.03)
    objects = torch.stack((standing_at(0.5, 0.0, 0.1), bottle))
    boxes = planner([WALL, (0.025, 0.025, 0.05)])
    carried = boxes.plan(query(START, GOAL, objects, attached=1))
    alone = boxes.plan(query(START, GOAL, torch.stack((objects[0], FAR))))
    assert bool(carried.success) and bool(alone.success)
    assert highest(alone) < 0.26
    assert highest(carried) >= 0.2 + 0.08 + 0.015 - 1e-6


def test_attached_object_is_not_an_obstacle():
    bottle = START @ down_at(0.0, 0.0, 0.03)
    plan = planner([(0.025, 0.025, 0.05)]).plan(query(START, GOAL, bottle[None], attached=0))
    assert bool(plan.success) and highest(plan) <= 0.15 + 1e-6


def test_object_at_the_goal_may_be_touched_and_is_approached_from_above():
    goal = down_at(0.5, 0.2, 0.06)
    thing = standing_at(0.5, 0.2, 0.05)
    plan = planner([(0.04, 0.04, 0.05)]).plan(query(down_at(0.5, -0.2, 0.05), goal, thing[None]))
    assert bool(plan.success)
    path = plan.path[0, :, :3, 3]
    beside = (path[:, :2] - goal[:2, 3]).norm(dim=-1) > 0.06
    low = path[:, 2] < 0.10
    near = (path[:, :2] - goal[:2, 3]).norm(dim=-1) < 0.09
    assert not bool((beside & low & near).any())


def test_short_descent_onto_an_object_is_straight():
    goal, start = down_at(0.5, 0.2, 0.06), down_at(0.5, 0.2, 0.15)
    plan = planner([(0.025, 0.025, 0.05)]).plan(query(start, goal, standing_at(0.5, 0.2, 0.05)[None]))
    assert bool(plan.success) and highest(plan) <= 0.15 + 1e-6


def test_released_object_is_left_upwards_even_if_the_goal_is_next_to_it():
    """The fingers surround a cube; the goal is 8 cm to the side. The path must not cross the cube."""
    cube, start, goal = standing_at(0.5, 0.0, 0.023), down_at(0.5, 0.0, 0.03), down_at(0.58, 0.0, 0.03)
    plan = planner([(0.023, 0.023, 0.023)]).plan(query(start, goal, cube[None]))
    assert bool(plan.success)
    path = plan.path[0, :, :3, 3]
    aside = (path[:, 0] - 0.5).abs() > 0.015
    fingers_low, beside = path[:, 2] - 0.01 < 0.046, (path[:, 0] - 0.5).abs() < 0.023 + 0.012
    assert not bool((aside & fingers_low & beside).any())
    assert highest(plan) > 0.05


def test_hand_can_leave_an_object_that_is_nearer_than_the_clearance():
    """A tower is 8 mm from the palm, and the fingers surround a cube: the path begins vertically."""
    cube, tower = standing_at(0.5, 0.0, 0.023), standing_at(0.5, 0.055 + 0.008 + 0.03, 0.15)
    boxes = planner([(0.023, 0.023, 0.023), (0.03, 0.03, 0.03)])
    plan = boxes.plan(query(down_at(0.5, 0.0, 0.03), down_at(0.5, -0.2, 0.3), torch.stack((cube, tower))))
    assert bool(plan.success)


def failure_of(plan: MotionPlan) -> MotionFailure:
    assert not bool(plan.success)
    assert MOTION_FAILURES[int(plan.failure)]
    return MotionFailure(int(plan.failure))


def test_goal_behind_a_wall_that_is_too_high_is_refused():
    wall = (1.0, 0.02, 0.5)
    plan = planner([wall]).plan(query(START, GOAL, standing_at(0.5, 0.0, 0.5)[None]))
    assert failure_of(plan) == MotionFailure.OUT_OF_REACH
    assert int(plan.length) == 1
    assert torch.equal(plan.path[0], START.expand_as(plan.path[0]))


def test_goal_under_a_roof_has_no_clear_path():
    roof, walls = (0.3, 0.1, 0.01), (0.3, 0.01, 0.5)
    goal = down_at(0.5, 0.2, 0.1)
    objects = torch.stack((standing_at(0.5, 0.28, 0.3), standing_at(0.5, 0.12, 0.5)))
    plan = planner([roof, walls], max_length=400).plan(query(START, goal, objects))
    assert failure_of(plan) == MotionFailure.OBSTRUCTED


def test_path_with_too_many_steps_is_refused():
    plan = planner([BLOCK], max_length=20).plan(query(START, GOAL, FAR[None]))
    assert failure_of(plan) == MotionFailure.TOO_LONG
    assert plan.path.shape[1] == 20


def test_failed_row_does_not_change_the_other_rows():
    objects = torch.stack((standing_at(0.5, 0.0, 0.5), FAR))[:, None]
    both = query(START.expand(2, 4, 4), GOAL.expand(2, 4, 4), objects)
    plan = planner([(1.0, 0.02, 0.5)]).plan(both)
    assert plan.success.tolist() == [False, True]


@pytest.mark.parametrize("held", [False, True])
def test_path_of_a_row_does_not_depend_on_the_other_rows(held):
    problem = random_query(3, num_rows=11, num_objects=4, held=held)
    boxes = planner([(0.03, 0.03, 0.05), (0.05, 0.1, 0.1), BLOCK, (0.02, 0.15, 0.12)])
    together = boxes.plan(problem)
    boxes.batch_size = 4
    in_parts = boxes.plan(problem)
    for row in range(11):
        alone = boxes.plan(type(problem)(*(value[row : row + 1] for value in dataclasses.astuple(problem))))
        for plan in (alone, in_parts):
            at = 0 if plan is alone else row
            assert torch.equal(plan.path[at], together.path[row])
            assert int(plan.length[at]) == int(together.length[row])
            assert int(plan.failure[at]) == int(together.failure[row])


class _Count(TorchDispatchMode):
    """Counts tensor operations."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_number_of_operations_does_not_depend_on_the_number_of_rows():
    boxes = planner([(0.03, 0.03, 0.05), BLOCK])
    totals = []
    for num_rows in (2, boxes.batch_size):
        problem = random_query(5, num_rows, num_objects=2, held=True)
        with _Count() as count:
            boxes.plan(problem)
        totals.append(count.total)
    assert totals[0] == totals[1] > 100


def test_boxes_near_each_other_do_not_touch():
    boxes = planner([BLOCK])
    poses = torch.stack((down_at(0.0, 0.03 + 0.102 + 0.019, 0.0), down_at(0.0, 0.03 + 0.102 + 0.021, 0.0)))
    thing = standing_at(0.0, 0.0, 0.05)[None, None]
    mover = Mover.of(boxes.hand, boxes.objects, poses[:1], thing, torch.tensor([-1]))
    touching = touches(mover, poses[None, None], boxes.objects, thing, torch.tensor(0.02))
    assert touching.flatten(3).any(-1).tolist() == [[[True, False]]]
