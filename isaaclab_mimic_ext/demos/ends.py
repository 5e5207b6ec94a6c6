"""Ends of a demo: when a hand rests, and how long a recording lasts after the task is solved."""

# N envs, E end effectors

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MAX_SPEED_AT_ENDS = 0.05
"""Largest speed of the hand in the first and last steps [m/s]. This is 1/6 of its largest speed in a demo (0.23 to 0.32 in
the included demos, 0.007 at their ends). A faster hand means that the demo began or ended during a motion."""
NUM_STEPS_AT_ENDS = 2
"""Number of steps at each end of a demo in which the hand must rest."""


class DemoEnd:
    """Decides in which step a recording by hand is complete, such that the check of source demos finds no cropped end.

    An annotated demo contains what was true before each of its steps. Success and rest must therefore last one step longer
    than the check requires.

    Args:
        eef_pose: (N, E, 4, 4), poses of the hands at the start [m].
        step_dt: duration of a step [s].
    """

    def __init__(self, eef_pose: Tensor, step_dt: float):
        self._pos, self._step_dt = _positions(eef_pose), step_dt
        self._num_resting_steps = np.zeros(len(eef_pose), dtype=np.int64)

    def watch(self, eef_pose: Tensor) -> None:
        """Observe the poses (N, E, 4, 4) of the hands after a step."""
        pos = _positions(eef_pose)
        moved = pos - self._pos
        speed = np.sqrt((moved * moved).sum(-1).max(-1)) / self._step_dt
        self._num_resting_steps = (self._num_resting_steps + 1) * (speed <= MAX_SPEED_AT_ENDS)
        self._pos = pos

    def is_complete(self, num_solved_steps: NDArray[np.int64] | int, num_success_steps: int) -> NDArray[np.bool_]:
        """Return whether the recording may end now, (N,) bool.

        Args:
            num_solved_steps: (N,) or one for all envs, number of latest steps in a row in which the task was solved.
            num_success_steps: number of solved steps at the end that the check requires.
        """
        return np.logical_and(num_solved_steps > num_success_steps, self._num_resting_steps > NUM_STEPS_AT_ENDS)


def _positions(pose: Tensor) -> NDArray[np.float32]:
    """Copy of the positions of poses (..., 4, 4) on the host, (..., 3)."""
    return pose.cpu().numpy()[..., :3, 3].copy()
