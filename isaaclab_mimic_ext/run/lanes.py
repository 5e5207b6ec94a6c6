"""Lanes: which environment runs which trial, at which step, and for how many steps its task has been solved."""

# N envs (one lane each), n of them addressed

import numpy as np
import torch
from torch import Tensor


class Lanes:
    """State of N lanes, one per environment, shared by every loop that runs trials side by side.

    A loop begins trials in free lanes, advances all lanes once per control step, and ends the lanes whose trial is over.
    An idle lane keeps step 0 and its last success counter.

    Attributes:
        trial: (N,) int64, number of the lane's trial; of its last one where the lane is idle.
        step: (N,) int64, steps that the trial has made.
        num_success_steps: (N,) int64, steps in a row, up to now, in which the task was solved.
        is_active: (N,) bool, lanes that run a trial.
        active: the same on the host.
    """

    def __init__(self, num_envs: int, device: torch.device | str):
        self._device = device
        self.trial = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.step = torch.zeros_like(self.trial)
        self.num_success_steps = torch.zeros_like(self.trial)
        self.is_active = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.active = np.zeros(num_envs, dtype=bool)
        self._active_ids: Tensor | None = None

    @property
    def num_active(self) -> int:
        return int(np.count_nonzero(self.active))

    @property
    def num_free(self) -> int:
        return len(self.active) - self.num_active

    @property
    def env_ids(self) -> Tensor | None:
        """Active lanes as `MimicEnv.step` takes them: sorted indices, None where all are active."""
        if self.active.all():
            return None
        if self._active_ids is None:
            self._active_ids = self.upload(np.flatnonzero(self.active))
        return self._active_ids

    def begin(self, trials: np.ndarray) -> Tensor:
        """Begin trials (n,) in the first n free lanes; their indices, (n,)."""
        places = np.flatnonzero(~self.active)[: len(trials)]
        assert len(places) == len(trials), f"{len(trials)} trials for {len(places)} free lanes"
        env_ids = self.upload(places)
        if not len(trials):
            return env_ids
        self.active[places] = True
        self._active_ids = None
        self.trial[env_ids] = self.upload(trials)
        self.step[env_ids] = 0
        self.num_success_steps[env_ids] = 0
        self.is_active[env_ids] = True
        return env_ids

    def advance(self, success: Tensor) -> None:
        """Count one control step of the active lanes, after which the task is solved or not, (N,) bool."""
        counted = (self.num_success_steps + 1) * success
        self.num_success_steps = torch.where(self.is_active, counted, self.num_success_steps)
        self.step += self.is_active

    def has_held(self, num_steps: int) -> Tensor:
        """Whether the task has been solved in each of the last `num_steps` steps, (N,) bool."""
        return self.num_success_steps >= num_steps

    def active_among(self, mask: Tensor) -> np.ndarray:
        """Indices (n,) of the active lanes for which a mask (N,) holds, on the host."""
        return np.flatnonzero(mask.cpu().numpy() & self.active)  # sync: the loop's one

    def end(self, places: np.ndarray) -> None:
        """Free the lanes with these indices (n,)."""
        if not len(places):
            return
        self.active[places] = False
        self._active_ids = None
        env_ids = self.upload(places)
        self.is_active[env_ids] = False
        # What is recorded of an idle lane goes to step 0, where its next trial overwrites it.
        self.step[env_ids] = 0

    def upload(self, array: np.ndarray) -> Tensor:
        """An array on the device of the lanes."""
        return torch.from_numpy(array).to(self._device)
