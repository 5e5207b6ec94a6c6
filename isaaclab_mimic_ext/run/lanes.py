"""Lanes: the trial of each environment, its step, and for how many steps in a row the task has been solved."""

# N envs (one lane each), n of them addressed

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.uploads import upload


class Lanes:
    """State of N lanes, one per environment, shared by every loop that runs trials in parallel.

    A loop begins trials in free lanes, advances all lanes once per control step, and ends the lanes whose trial is over.
    An idle lane has step 0 and keeps its last success counter.

    Attributes:
        trial: (N,) int64, number of the trial of each lane; of the last trial if the lane is idle.
        step: (N,) int64, number of steps that the trial has made.
        num_success_steps: (N,) int64, number of latest steps in a row in which the task was solved.
        is_active: (N,) bool, lanes that run a trial and count.
        active: (N,) bool, the same on the host (NumPy).
        num_steps: number of steps of the batch.
    """

    def __init__(self, num_envs: int, device: torch.device | str):
        self._device = device
        self.trial = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.step = torch.zeros_like(self.trial)
        self.num_success_steps = torch.zeros_like(self.trial)
        self.is_active = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.active = np.zeros(num_envs, dtype=bool)
        self.num_steps = 0
        self._begun_at = np.zeros(num_envs, dtype=np.int64)
        self._trials = np.zeros(num_envs, dtype=np.int64)
        self._active_ids: Tensor | None = None

    @property
    def num_active(self) -> int:
        """Number of lanes that run a trial."""
        return int(np.count_nonzero(self.active))

    @property
    def active_steps(self) -> np.ndarray:
        """Number of steps that the trial of each active lane has made, (n,), on the host."""
        return self.steps_of(self.active)

    def steps_of(self, lane_ids: np.ndarray) -> np.ndarray:
        """Number of steps that the trials of active lanes have made, on the host; `lane_ids`: indices (n,) or mask (N,)."""
        return self.num_steps - self._begun_at[lane_ids]

    def trials_of(self, lane_ids: np.ndarray) -> np.ndarray:
        """Numbers of the trials of lanes (n,), on the host, (n,)."""
        return self._trials[lane_ids]

    @property
    def num_free(self) -> int:
        """Number of idle lanes."""
        return len(self.active) - self.num_active

    @property
    def env_ids(self) -> Tensor | None:
        """Indices of the active lanes, sorted, for `MimicEnv.step`; None if all lanes are active."""
        if self.active.all():
            return None
        if self._active_ids is None:
            self._active_ids = self.upload(np.flatnonzero(self.active))
        return self._active_ids

    def begin(self, trials: np.ndarray) -> Tensor:
        """Begin trials (n,) in the first n free lanes, and return the indices of these lanes, (n,)."""
        lane_ids = np.flatnonzero(~self.active)[: len(trials)]
        assert len(lane_ids) == len(trials), f"{len(trials)} trials for {len(lane_ids)} free lanes"
        env_ids = self.upload(lane_ids)
        if not len(trials):
            return env_ids
        self.active[lane_ids] = True
        self._begun_at[lane_ids] = self.num_steps
        self._trials[lane_ids] = trials
        self._active_ids = None
        self.trial[env_ids] = self.upload(trials)
        self.step.index_fill_(0, env_ids, 0)
        self.num_success_steps.index_fill_(0, env_ids, 0)
        self.is_active.index_fill_(0, env_ids, True)
        return env_ids

    def advance(self, success: Tensor) -> None:
        """Count one control step of the active lanes; `success` (N,) bool: the task is solved after this step."""
        counted = (self.num_success_steps + 1) * success
        self.num_success_steps = torch.where(self.is_active, counted, self.num_success_steps)
        self.step += self.is_active
        self.num_steps += 1

    def rest(self, ends: Tensor) -> None:
        """Stop to count in the lanes whose trials have ended, `ends` (N,) bool, until the host frees them."""
        self.is_active &= ~ends

    def has_held(self, num_steps: int) -> Tensor:
        """Return whether the task was solved in each of the last `num_steps` steps, (N,) bool."""
        return self.num_success_steps >= num_steps

    def active_among(self, mask: Tensor) -> np.ndarray:
        """Return the indices (n,) of the active lanes in which a mask (N,) is true, on the host."""
        return np.flatnonzero(mask.cpu().numpy() & self.active)  # sync: the only one of the loop

    def end(self, lane_ids: np.ndarray) -> None:
        """Free the lanes with these indices (n,)."""
        if not len(lane_ids):
            return
        self.active[lane_ids] = False
        self._active_ids = None
        env_ids = self.upload(lane_ids)
        self.is_active.index_fill_(0, env_ids, False)
        # Recording continues in idle lanes, but only into step 0, which the next trial overwrites.
        self.step.index_fill_(0, env_ids, 0)

    def upload(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device of the lanes."""
        # sync: none, the upload is only started
        return upload(torch.from_numpy(array), self._device)
