"""The end of a recording by hand: solved and at rest for one step longer than the check of source demos requires."""

# N envs, E end effectors

import torch

from isaaclab_mimic_ext.demos.ends import MAX_SPEED_AT_ENDS, NUM_STEPS_AT_ENDS, DemoEnd

STEP_DT = 0.05
SLOW, FAST = 0.9 * MAX_SPEED_AT_ENDS * STEP_DT, 1.1 * MAX_SPEED_AT_ENDS * STEP_DT


def end_after(*distances: list[float]) -> DemoEnd:
    """Watch two hands that move by these distances in each step [m]."""
    pose = torch.eye(4).repeat(1, 2, 1, 1)
    end = DemoEnd(pose, STEP_DT)
    for moved in distances:
        pose[0, :, 0, 3] += torch.tensor(moved)
        end.watch(pose)
    return end


def is_complete(end: DemoEnd, num_solved_steps: int, num_success_steps: int = 5) -> bool:
    return bool(end.is_complete(num_solved_steps, num_success_steps))


def test_demo_lasts_one_solved_step_longer_than_required() -> None:
    end = end_after(*[[SLOW, SLOW]] * 10)
    assert [is_complete(end, solved) for solved in (0, 5, 6)] == [False, False, True]


def test_demo_lasts_until_every_hand_has_rested_one_step_longer_than_required() -> None:
    for num_steps in range(NUM_STEPS_AT_ENDS + 1):
        assert not is_complete(end_after([SLOW, FAST], *[[SLOW, SLOW]] * num_steps), 100)
    assert is_complete(end_after([SLOW, FAST], *[[SLOW, SLOW]] * (NUM_STEPS_AT_ENDS + 1)), 100)


def test_motion_of_one_hand_starts_the_rest_again() -> None:
    assert not is_complete(end_after(*[[SLOW, SLOW]] * 10, [FAST, SLOW]), 100)
