"""Attempt of a person, whose steps can be taken back and made again."""

# N = 1 env, E end effectors, A action entries

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext.demos.ends import NUM_STEPS_AT_ENDS, DemoEnd
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.leash import LeashedTarget
from isaaclab_mimic_ext.run.live_state import LiveState
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.teleoperation import advance_demos

SOLO = np.array([0])
"""Index of the only lane."""
COMMAND_DIM = 7
OPEN = 1.0
_MAX_MOTION_AT_REST = 5e-4
"""Largest motion of a hand, an object or a joint in one step at which the scene counts as at rest [m, rad]."""


@dataclass(frozen=True)
class MadeStep:
    """A step of an attempt: action (1, A), target (1, E, 4, 4) and grippers (E) after it."""

    action: Tensor
    target: Tensor
    grippers: tuple[float, ...]


class LiveAttempt:
    """The one attempt that runs, in the only scene of an environment.

    `go_to` resets the scene with the same trial and makes the same actions again. A restored state (`reset_to`) would differ
    in its last bits, because it lacks the warm start of the solver. Rows of the recorder before the step stay valid, and are
    written again with the same values.

    Args:
        env: environment with one scene (N = 1).
        num_success_steps: number of solved steps at the end of a demo that the check of source demos requires.
        max_steps: horizon [steps].
    """

    def __init__(self, env: MimicEnv, lanes: Lanes, recorder: EpisodeRecorder, num_success_steps: int, max_steps: int):
        self._env, self._lanes, self._recorder = env, lanes, recorder
        self._num_success_steps, self._max_steps = num_success_steps, max_steps

    def begin(self, seed: int, trials: np.ndarray) -> None:
        """Begin the attempt with the number in `trials` (1,)."""
        self._seed, self._trials = seed, trials
        self._history: list[MadeStep] = []
        self._reset(self._lanes.begin(trials))

    def make_again(self, steps: Sequence[MadeStep], num_steps: int | None = None) -> None:
        """Make the steps of an earlier attempt with the same number, all or the first ones, from its start."""
        self._history = list(steps)
        self.go_to(len(steps) if num_steps is None else num_steps)

    @property
    def made_steps(self) -> tuple[MadeStep, ...]:
        """Steps up to which the attempt can go."""
        return tuple(self._history)

    def _reset(self, env_ids: Tensor) -> None:
        self._env.reset(env_ids, Draws(self._seed, self._lanes.trial))
        self._recorder.begin(env_ids)
        self._target, self._end = LeashedTarget(self._env.eef_pose), DemoEnd(self._env.eef_pose, self._env.step_dt)
        self._pose, self._is_at_rest = self._moving_parts(), True

    @property
    def trial(self) -> int:
        """Number of the attempt."""
        return int(self._trials[0])

    @property
    def num_steps(self) -> int:
        """Number of steps of the attempt."""
        return int(self._lanes.steps_of(SOLO)[0])

    @property
    def must_rest(self) -> bool:
        """Return whether the hands must rest in the next step: the check of source demos requires it at their start."""
        return self.num_steps < NUM_STEPS_AT_ENDS

    def step(self, command: Tensor) -> None:
        """Make one step with a command (1, E, 7). Steps that were taken back are forgotten."""
        pose = self._target.move(command[..., :6], self._env.eef_pose)
        action = self._env.target_eef_pose_to_action(pose, command[..., 6:])
        made = MadeStep(action.clone(), pose.clone(), tuple(command[0, :, 6].tolist()))
        self._history[self.num_steps :] = [made]
        self._make(made)

    def _make(self, made: MadeStep) -> None:
        advance_demos(self._env, self._lanes, self._recorder, made.action)
        self._end.watch(self._env.eef_pose)
        pose = self._moving_parts()
        self._is_at_rest = bool(np.abs(pose - self._pose).max() < _MAX_MOTION_AT_REST)
        self._pose, self._target.pose = pose, made.target

    def go_to(self, step: int) -> None:
        """Take steps back, or make steps again that were taken back, until the attempt has `step` steps."""
        if step < self.num_steps:
            self._lanes.end(SOLO)
            self._reset(self._lanes.begin(self._trials))
        for made in self._history[self.num_steps : step]:
            self._make(made)

    def state(self) -> LiveState:
        """State after the last step."""
        num_steps, num_solved = self.num_steps, int(self._lanes.num_success_steps)
        made = self._history[num_steps - 1] if num_steps else None
        return LiveState(
            step=num_steps,
            signals={name: bool(value) for name, value in self._env.get_subtask_term_signals().items()},
            num_solved_steps=num_solved,
            is_complete=bool(self._end.is_complete(num_solved, self._num_success_steps)),
            num_made_steps=len(self._history),
            grippers=(OPEN,) * len(self._env.eef_names) if made is None else made.grippers,
            is_at_rest=self._is_at_rest,
            target_eef_pose=self._target.pose[0],
            is_full=num_steps >= self._max_steps,
        )

    def _moving_parts(self) -> NDArray[np.float32]:
        """Positions of hands and objects [m], and of joints [rad, fingers m], in one row."""
        joints = [arm["joint_position"] for arm in self._env.get_state()["articulation"].values()]
        values = [each.cpu().numpy().ravel() for each in (self._env.eef_pose, self._env.object_pose, *joints)]
        return np.concatenate(values, dtype=np.float32)


def rest_command(env: MimicEnv) -> Tensor:
    """Command (1, E, 7) of resting hands with open grippers."""
    command = torch.zeros(1, len(env.eef_names), COMMAND_DIM, device=env.device)
    command[..., 6] = OPEN
    return command
