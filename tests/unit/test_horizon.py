"""Horizon of a trial: without random offsets, the exact number of its steps."""

# D demos, T steps, S subtasks

from dataclasses import replace

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.rng import Draws
from tests.golden.specs import OBJECTS, Spec, random_skill_spec, random_spec
from tests.golden.test_skills_against_oracle import MAX_LENGTH, BumpPlanner

CPU = torch.device("cpu")
HOLD = 3
LENGTHS = (6, 9)
"""Lengths of the two segments [steps]."""
CLOSES_AT = 6
"""With the first step of the second segment."""


class ShortPlanner(BumpPlanner):
    max_length = 1


def spec_of(settle: int = 0, offsets: tuple[int, int] = (0, 0)) -> Spec:
    """One end effector, one demo of two segments; the gripper closes between them, and opens again before the end."""
    spec = random_spec(0, num_eefs=1)
    (eef,) = spec.eefs
    num_steps = sum(LENGTHS)
    poses, gripper = np.tile(np.eye(4), (num_steps, 1, 1)), np.ones((num_steps, 1))
    gripper[CLOSES_AT:-1] = -1.0
    demo = replace(
        spec.demos[0],
        eef={eef: poses},
        target={eef: poses},
        gripper={eef: gripper},
        objects=dict.fromkeys(OBJECTS, poses),
        signals={eef: [np.arange(num_steps) >= CLOSES_AT - 1]},
    )
    first = replace(
        spec.subtasks[eef][0], num_settle=0, end_offsets=offsets, num_interpolation=2, num_fixed=1, strategy="random"
    )
    second = replace(first, num_settle=settle, end_offsets=(0, 0), num_interpolation=0, num_fixed=0)
    config = replace(spec.config, num_final_hold_steps=HOLD, generation_transform_first_robot_pose=True)
    rules = replace(spec.rules, start_offsets={eef: (0, 0)})
    return replace(spec, demos=[demo], subtasks={eef: [first, second]}, config=config, rules=rules)


def num_steps_of(planner: TrialPlanner, spec: Spec, trial: int = 0) -> int:
    """Number of steps of a trial in a scene that does not move."""
    pose, row = torch.eye(4).expand(1, 1, 4, 4), torch.zeros(1, dtype=torch.int64)
    objects, attached = pose.expand(1, len(OBJECTS), 4, 4), torch.full((1, 1), len(OBJECTS) - 1)
    planner.begin_trials(row, Draws(spec.config.seed, row + trial), pose)
    due, ended = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    num_steps = 0
    while not ended:
        if due.any():
            planner.begin_segments(row, row, pose, objects, attached)
        planner.waypoints()
        due, ended = planner.advance()
        num_steps += 1
    return num_steps


@pytest.mark.parametrize("settle", [0, 1, 7])
def test_horizon_is_the_length_of_a_trial_without_random_offsets(settle: int) -> None:
    spec = spec_of(settle)
    planner = spec.planner(1, CPU)
    assert planner.horizon == num_steps_of(planner, spec) == sum(LENGTHS) + 2 + 1 + 2 + 2 * settle + HOLD


def test_horizon_covers_the_latest_ends_that_can_be_drawn() -> None:
    spec = spec_of(offsets=(-2, 3))
    planner = spec.planner(1, CPU)
    lengths = {num_steps_of(planner, spec, trial) for trial in range(20)}
    # An offset shortens one segment and extends the other by the same number. The horizon uses the longest of each.
    assert lengths == {sum(LENGTHS) + 5 + HOLD}
    assert planner.horizon == sum(LENGTHS) + 3 + 2 + 5 + HOLD


def test_horizon_covers_the_longest_transits() -> None:
    spec = random_skill_spec(0)
    planner = spec.planner(1, CPU, BumpPlanner())
    num_subtasks = len(spec.subtasks[spec.eefs[0]])
    short = spec.planner(1, CPU, ShortPlanner())
    assert planner.horizon - short.horizon == num_subtasks * (MAX_LENGTH - ShortPlanner.max_length)
